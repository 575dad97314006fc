# The kernel takes a few bytes of a request at a time, and then none for a
# moment: all of it arrives all the same, over AJP, HTTP and TLS, and no
# connection is used again before it has.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Env ();
use Usher::Pattern;
use Usher::TLSTest;
use Usher::Wait;

my %backend = (ajp => Usher::Backend->new(protocol => 'ajp'), http => Usher::Backend->new, tls => tls_backend());
my @kinds = sort keys %backend;
my $ping = Usher::Backend->new(protocol => 'ajp');
my $file = Usher::Env::builddir() . "/t/work/short-$$";
my $httpd = tls_httpd(trusting() . <<"EOT" . join('', map { "ProxyPass /$_/ " . $backend{$_}->url('/') . " iobuffersize=65536\n" } @kinds),
LimitRequestFieldSize 70000
LimitRequestLine 70000
UsherBackendTimeout send=@{[ 3 * patience ]}s first=@{[ 3 * patience ]}s
UsherReplay off
ProxyPass /ping/ @{[ $ping->url('/') ]} ping=@{[ 2 * patience ]}
EOT
    preload => Usher::Env::builddir() . '/.libs/ushertestshort.so', env => { USHERTEST_SHORT => $file });
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);

# So many bytes a call, and microseconds until the next one.
sub takes {
    my ($bytes, $wait) = @_;

    open my $fh, '>', "$file.new" or die "$file.new: $!\n";
    print $fh "$bytes " . ($wait // 0) . "\n";
    close $fh;
    return rename "$file.new", $file;
}

END { unlink $file if $file }

for my $kind (@kinds, 'ping') {
    my $backend = $backend{$kind} // $ping;
    my ($ok, @echo) = $kind =~ /ajp|ping/ ? ajp_answer(200, [], 'ok') : http_answer(200, [], 'ok');
    for my $case ([1, 1, 100, 3000], [7, 5, 8185, 8186, 30_000], [1000, 0, 100_000, 300_001]) {
        my ($bytes, @lengths) = @$case;
        takes($bytes);
        $backend->clear;
        $backend->on('/ok', $ok);
        $backend->on('/up', echo);
        my $client = Usher::Client->new(port => $httpd->port);
        is(tells($client->request(GET => "/$kind/ok?$_", ['X-Long' => 'x' x ($_ * $bytes)])), '200 complete ok', "$kind, $bytes at a time: a head")
            for 1, $kind eq 'ping' ? 7 : 50;
        for my $length (@lengths) {
            for my $chunked (0, 1) {
                my $answer = $client->request(POST => "/$kind/up", [], pattern(0, $length), $chunked ? (chunked => 5000) : ());
                is(tells($answer), "200 complete POST /up $length " . pattern_sha1($length) . "\n", "$length bytes" . ($chunked ? ', chunked' : ''));
            }
        }
        is(scalar(grep { $_->{bad} || $_->{partial} } $backend->connections), 0, 'all is understood');
    }
}

# What is left of a request must never be followed by another one: the backend
# would take that for the rest.
subtest 'answered before it is sent' => sub {
    for my $kind (qw(ajp http)) {
        my $backend = $backend{$kind};
        my $ajp = $kind eq 'ajp';
        takes(65_536);
        $backend->close_idle;
        $backend->clear;
        # This one reads when it has answered.
        my $early = $ajp ? ajp_answer(200, [], 'early') : http_answer(200, [], 'early');
        $backend->on('ACCEPT', [stall(0.2), $early, stall(0.5)], []);
        $backend->on('/ok', $ajp ? ajp_answer(200, [], 'ok') : http_answer(200, [], 'ok'));
        my $client = Usher::Client->new(port => $httpd->port);
        takes(100, 10_000);
        my $first = $client->request(GET => "/$kind/first", ['X-Long' => 'x' x 60_000]);
        takes(65_536);
        $client = Usher::Client->new(port => $httpd->port) if $first->{end} ne 'complete';
        is(tells($client->request(GET => "/$kind/ok", [Cookie => 'second', 'X-Id' => "second-$kind"])), '200 complete ok', "$kind: the next request is served");
        is(($backend->deliveries("second-$kind"))[0]{n}, 1, 'over another connection');
        ok((wait_until { 1 >= grep { $_->{state} ne 'closed' } $backend->connections } 3), 'the other one is closed');
        is(scalar $backend->requests('/first'), 0, 'with what it has of the first one');
    }
};

$httpd->finish('httpd lives');
done_testing;
