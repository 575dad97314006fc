# Clients of HTTP/2: the rows of Usher::Faults again, where a cut answer is a
# reset stream; and streams that the client resets.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Env ();
use Usher::Faults ();
use Usher::Faults::Test;
use Usher::H2 ();
use Usher::Pattern;
use Usher::Wait;

if ($ENV{USHER_MPM} eq 'prefork') {
    pass('mod_http2 does not work with the prefork MPM');
    done_testing;
    exit;
}
plan skip_all => 'this httpd has no mod_http2' unless Usher::Env::load_modules('http2');

my @rows = faults_rows(clients => ['h2']);
my @ports = faults_ports(6);
my $backend = Usher::Backend->new;
my $ajp = Usher::Backend->new(protocol => 'ajp');
my $httpd = backend_httpd(<<"EOT" . faults_conf(\@ports), modules => ['http2']);
Protocols h2c http/1.1
H2MaxWorkers 60
UsherBackendTimeout @{[ faults_times() ]}
UsherBackendRest Off
UsherReplayBudget percent=100 least=1000
<Location /long>
    UsherBackendTimeout first=20s between=20s
</Location>
ProxyPass /long/ @{[ $backend->url('/') ]}
ProxyPass /ajp/ @{[ $ajp->url('/') ]}
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);

faults_play($httpd, \@rows, ports => \@ports);
for my $phase (Usher::Faults::phases()) {
    my @these = grep { $_->{phase} eq $phase } @rows or next;
    my @wrong = grep { defined $_->{wrong} } map { { %$_, wrong => scalar Usher::Faults::wrong($_) } } @these;
    ok(!@wrong, sprintf '%s (%d rows)', Usher::Faults::about($phase), scalar @these);
    diag(map { "  $_->{id}: $_->{wrong}\n" } @wrong[0 .. ($#wrong < 14 ? $#wrong : 14)]) if @wrong;
}

my $answer = http_answer(200, ['Content-Type' => 'text/plain'], 'x' x 100);
subtest 'the client resets a stream' => sub {
    my %play = (
        'before the answer' => [stall],
        'within its body'   => [at($answer, length($answer) - 50, stall)],
        'within a large one' => [http_answer(200, [], undef, length => 500_000_000), fill(500_000_000)],
    );
    for my $name (sort keys %play) {
        for my $how (qw(cancel reset)) {
            my $id = "$name-$how" =~ s/\W/-/gr;
            $backend->clear;
            $backend->on('/gone', $play{$name});
            $backend->on('/ok', http_answer(200, [], 'ok'));
            my $h2 = Usher::H2->new(port => $httpd->port);
            my $stream = $h2->start(GET => '/long/gone', ['x-id' => $id]);
            ok((wait_until { scalar $backend->deliveries($id) }), "$name: the backend has the request");
            $h2->wait_for(5, sub { $_[0]->stream($stream)->{body_len} >= 50 }) if $name =~ /within/;
            my $start = time;
            $h2->$how($stream);
            # It goes on reading, as clients do.
            ok((wait_until { $h2->pump if $how eq 'cancel'; ($backend->deliveries($id))[0]{gone_at}
                || grep { $_->{state} eq 'closed' && $_->{closed_at} >= $start } $backend->connections } 5),
                $how eq 'cancel' ? 'the stream is reset: the backend sees the end' : 'so it does when the whole connection is');
            soon($start, 1.3, 'within a second');
            like(logged($httpd, $id)->{state} // '', qr/^C[HD]$/, 'state: the client');
            next if $how ne 'cancel';
            my $next = $h2->answer($h2->start(GET => '/long/ok'));
            ok($next->{complete} && $next->{body} eq 'ok', 'the other streams go on');
        }
    }
};

subtest 'many streams of one connection' => sub {
    $backend->clear;
    $backend->on(qr{^/s/}, [stall(0.2), echo]);
    my $h2 = Usher::H2->new(port => $httpd->port);
    my @streams = map { $h2->start(GET => "/long/s/$_", ['x-id' => "s$_"]) } 1 .. 20;
    my @wrong = grep { $h2->answer($streams[$_])->{body} !~ m{^GET /s/@{[ $_ + 1 ]} } } 0 .. $#streams;
    is_deeply(\@wrong, [], 'each has its own answer');
};

subtest 'large bodies' => sub {
    $backend->clear;
    $backend->on('/up', echo);
    $backend->on('/down', [http_answer(200, [], undef, length => 5_000_000), fill(5_000_000)]);
    my $h2 = Usher::H2->new(port => $httpd->port);
    my $stream = $h2->start(POST => '/long/up', [], 1);
    $h2->send_pattern($stream, 3_000_000);
    is($h2->answer($stream)->{body}, 'POST /up 3000000 ' . pattern_sha1(3_000_000) . "\n", 'up');
    my $down = $h2->answer($h2->start(GET => '/long/down'));
    ok($down->{complete} && $down->{body} eq pattern(0, 5_000_000), 'down');
};

subtest 'over AJP' => sub {
    $ajp->on('/up', echo);
    $ajp->on('/down', [ajp_send_headers(200, []), fill(5_000_000, as => 'ajp'), ajp_end()]);
    $ajp->on('/cut', [ajp_send_headers(200, []), ajp_body_chunk('x' x 1000), ajp_body_chunk(''), stall(0.1), cut]);
    my $h2 = Usher::H2->new(port => $httpd->port);
    my $stream = $h2->start(POST => '/ajp/up', [], 1);
    $h2->send_pattern($stream, 3_000_000);
    is($h2->answer($stream)->{body}, 'POST /up 3000000 ' . pattern_sha1(3_000_000) . "\n", 'a body without a length');
    my $down = $h2->answer($h2->start(GET => '/ajp/down'));
    ok($down->{complete} && $down->{body} eq pattern(0, 5_000_000), 'down');
    # Without that moment there may be nothing before the reset.
    my $cut;
    in_calm {
        $cut = $h2->answer($h2->start(GET => '/ajp/cut'));
        $cut->{body_len} == 1000;
    };
    is("$cut->{end} $cut->{body_len}", 'reset 1000', 'an answer that is cut resets its stream');
};

$httpd->log->tolerate(qr/USHER2\d\d\d/);
$httpd->finish('httpd lives, and logs nothing but what broke');
done_testing;
