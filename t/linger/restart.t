# Children that end: a lingering connection's last request is answered, none is
# lost that would not be without, and killed children leave the counters sound.
use strict;
use warnings FATAL => 'all';

use Socket qw(IPPROTO_TCP TCP_CORK);
use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::Client ();
use Usher::LingerTest;
use Usher::Load;
use Usher::Load::Backend ();
use Usher::Wait;

my $event = is_event();
my $rounds = $ENV{USHER_LONG} ? 60 : 10;
my $app = Usher::Load::Backend->new('app');
$app->start;

sub load { return Usher::Load->new(port => $_[0]->port, paths => ['/app/'], posts => 0, think => 0.0001, clients => 8) }

# What became of requests: { ok => n, lost => n (on a kept connection), ... }
sub ends {
    my ($load) = @_;
    my %ends = (ok => 0, lost => 0);

    ++$ends{ $_->{end} eq 'lost' && $_->{fresh} ? 'lost at once' : $_->{end} } for $load->requests;
    return \%ends;
}

sub answered { my ($load) = @_; return $load->wait_for(sub { $_->{end} eq 'ok' }, 10) }

# The event MPM has room for two generations.
my $conf = <<"EOT";
<IfModule !mpm_prefork_module>
    ThreadsPerChild 20
    MaxSpareThreads 120
    MaxRequestWorkers 120
</IfModule>
MaxKeepAliveRequests 0
ProxyPass /app/ @{[ $app->url ]}/
EOT

# What became of requests over some restarts, with UsherLinger so.
sub restarted {
    my ($mode) = @_;
    my $httpd = linger_httpd("$conf\nUsherLingerTime 20ms\nUsherLinger $mode\n", modules => [qw(proxy proxy_http)]);

    $httpd->log->tolerate(qr/AH10159|AH00484|AH03490/);
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $load = load($httpd);
    for my $round (1 .. $rounds) {
        wait_until { $load->requests >= 300 * $round } 10;
        $httpd->graceful;
    }
    ok answered($load), "$mode: answers after $rounds restarts";
    my $counted = counters($httpd);
    ok $load->end, 'all clients came to their end';
    my $ends = ends($load);
    note "UsherLinger $mode: ", explain($ends), explain($counted);
    is_deeply [grep { !/^(?:ok|lost)$/ } keys %$ends], [], 'requests are answered, or lost by a kept connection';
    cmp_ok $counted->{Last}, '>', 0, 'some were the last ones of their connections' if $event && $mode eq 'On';
    $httpd->finish('nothing is logged that alarms');
    return $ends;
}

# How many are lost hangs on what just went on when a child was told to end.
subtest 'graceful restarts under load' => sub {
    my %ends;
    in_calm {
        %ends = map { $_ => restarted($_) } 'Off', 'On';
        !$event || $ends{On}{lost} <= $ends{Off}{lost} + 2 + 4 * (patience - 1);
    };
    cmp_ok $ends{On}{lost}, '<=', $ends{Off}{lost} + 2 + 4 * (patience - 1), 'no more are lost than without' if $event;
};

# A request and the end of the client's side, in one packet.
sub request_with_end {
    my ($client) = @_;

    setsockopt $client->wire->sock, IPPROTO_TCP, TCP_CORK, 1 or die "setsockopt: $!";
    $client->send(http_request(GET => '/index.html'));
    $client->half_close;
    return $client->answer;
}

where_it_waits 'the last request of a promised connection' => sub {
    my $backend = Usher::Backend->new;
    my $answer = http_answer(200, [], 'x' x 100);
    my $tries = 5 * patience;
    $backend->on("/$_", [at([$answer], length($answer) - 50, hold("end $_"))]) for 1 .. 2 * $tries;
    my $httpd = linger_httpd("$conf\nProxyPass /slow/ @{[ $backend->url('/') ]}\n", modules => [qw(proxy proxy_http)]);
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $before = counters($httpd);
    my ($served, $served_half) = (0, 0);
    # A client that is held up for 20 ms comes too late: some of them do not.
    for my $n (1 .. 2 * $tries) {
        my $client = Usher::Client->new(port => $httpd->port);
        $client->send(http_request(GET => "/slow/$n"));
        ok $client->until(sub { ${ $_[0] } =~ /\r\n\r\nx/ || undef }), 'an answer has begun';
        ok $httpd->graceful, 'its child is told to end';
        $backend->release("end $n");
        my $first = $client->answer;
        is $first->{body_len}, 100, 'it ends';
        ok !http_has_token($first->{headers}, 'Connection', 'close'), 'and has promised to keep the connection';
        my $last = $n <= $tries ? $client->request(GET => '/index.html') : request_with_end($client);
        next if ($last->{status} // 0) != 200;
        ++($n <= $tries ? $served : $served_half);
        ok http_has_token($last->{headers}, 'Connection', 'close'), 'one more request is answered, and says close';
    }
    cmp_ok $served, '>=', 3, "$served of $tries have their last request answered";
    cmp_ok $served_half, '>=', 3, "$served_half of $tries that close their side after it";
    my $got = counted($httpd, $before);
    is $got->{Last} // 0, $served, 'and are counted';
    cmp_ok $got->{Closed} // 0, '>=', $served_half, 'these as closed';
    $httpd->finish('nothing is logged that alarms');
};

subtest 'children that end by themselves, or are killed' => sub {
    my $httpd = linger_httpd("$conf\nMaxConnectionsPerChild 20\nUsherLingerTime 2ms\n", modules => [qw(proxy proxy_http)]);
    $httpd->log->tolerate(qr/AH10159|AH00484|AH03490|exit signal Killed|USHER1018/);
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $load = load($httpd);
    my $counted = counters($httpd);
    my $shrunk = 0;
    for my $n (1 .. 40) {
        Usher::Client->get($httpd->port, '/index.html', [Connection => 'close']);
        if ($n % 10 == 0) {
            my ($child) = $httpd->children;
            $httpd->kill_children($child) if $child;
            answered($load);
        }
        my $now = counters($httpd);
        $shrunk += grep { $now->{$_} < $counted->{$_} } keys %$counted;
        $counted = $now;
    }
    is $shrunk, 0, 'counters only grow';
    $httpd->graceful;
    my $after = counters($httpd);
    is scalar(grep { $after->{$_} < $counted->{$_} } keys %$counted), 0, 'over a restart too';
    ok answered($load), 'answers';
    ok $load->end, 'all clients came to their end';
    cmp_ok $after->{Hits}, '>', 0, 'with hits' if $event;
    my $from = time;
    kill 'WINCH', $httpd->pid;
    ok((wait_until { !$httpd->running } 8), 'a graceful stop ends');
    soon($from, 6, 'in time');
};
done_testing;
