# How tunnels end: one side does, or breaks, or nobody says anything; httpd
# restarts, stops or is killed. What goes through them is in websocket.t.
use strict;
use warnings FATAL => 'all';

use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::TLSTest;
use Usher::TunnelTest;
use Usher::Wait;
use Usher::WebSocket qw(CLOSE);

my $backend = Usher::Backend->new(rcvbuf => 65536, sndbuf => 65536);
my $url = $backend->url('/');
my $ws_url = $url =~ s/^http/ws/r;
my $httpd = backend_httpd(<<"EOT", modules => [qw(env reqtimeout)]);
Timeout @{[ patience ]}
RequestReadTimeout body=@{[ patience ]}
SendBufferSize 65536
<Location /short/>
    UsherBackendTimeout total=1500ms
</Location>
ProxyPass /any/ ${url}any/ upgrade=ANY timeout=20
ProxyPass /ws/ ${ws_url}ws/ timeout=20
ProxyPass /short/ ${ws_url}short/ timeout=1
ProxyPass /both/ ${ws_url}both/ timeout=20
<Location /both/>
    SetEnv proxy-nohalfclose 1
</Location>
EOT
tunnels($httpd, $backend);
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);

subtest 'ends' => sub {
    my $id = new_id();
    on('/digest', [switch_to, take_bytes, 'you said something', cut]);
    my $client = upgraded('/any/digest', $id);
    $client->send('something');
    $client->half_close;
    is(join(' ', $client->read_all), 'you said something closed', "the client's end goes on, and the answer to it comes back");
    is(request($id)->{body_len}, 9, 'all before it has arrived');
    is(logged($httpd, $id)->{state}, '--', 'ended well');

    on('/halfway', ['HTTP/1.1 101 Ok' . "\r\nConnection: upgrade\r\nUpgrade: raw/1\r\n\r\nbye", half_close]);
    $client = upgraded('/any/halfway', $id = new_id());
    my ($bytes, $how) = $client->read_all(5);
    is("$bytes $how", 'bye closed', "the backend's end goes on");
    is(connection_of($id)->{state}, 'open', 'the other half is open');
    $client->send('more');
    $client->close;
    ok(is_closed($id), 'until the client ends it');
    is(logged($httpd, $id)->{state}, '--', 'ended well');

    on('/halfway2', ['HTTP/1.1 101 Ok' . "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbye", half_close]);
    $client = ws('/both/halfway2', $id = new_id())->{client};
    ok(is_closed($id), "proxy-nohalfclose: the backend's end ends both");
    on('/silent', [switch_to, stall]);
    $client = ws('/both/silent', $id = new_id())->{client};
    $client->half_close;
    is(($client->read_all(3))[1], 'closed', "and so does the client's");
    is(logged($httpd, $id)->{state}, '--', 'ended well');
};

subtest 'broken' => sub {
    my $id = new_id();
    on('/silent', [switch_to, stall]);
    my $client = upgraded('/any/silent', $id);
    my $start = time;
    $client->reset;
    ok((wait_until { request($id)->{gone} || connection_of($id)->{state} eq 'closed' } 3), 'by the client: the backend sees it');
    soon($start, 1, 'at once');
    is(logged($httpd, $id)->{state}, 'CD', 'state: the client');
    ok($httpd->log->wait_for(qr/USHER2040: \Q$url\E\S*: the client broke the tunnel \(raw\/1\)/, 3), 'and the log says so');

    on('/rst', [switch_to, 'last words', take_bytes(2), rst]);
    $client = upgraded('/any/rst', $id = new_id());
    $client->send('go');
    is(join(' ', $client->read_all(3)), 'last words closed', 'by the backend: the client has what was said before');
    is(logged($httpd, $id)->{state}, 'SD', 'state: the backend');
    ok($httpd->log->wait_for(qr/USHER2041: \Q$url\E\S*: the backend broke the tunnel/, 3), 'and the log says so');

    # While nobody reads
    on('/push', [switch_to, fill(50_000_000), cut]);
    $client = upgraded('/any/push', $id = new_id());
    $client->reset;
    ok(is_closed($id), 'a client that goes while it is sent much');
    is(logged($httpd, $id)->{state}, 'CD', 'state: the client');
};

# With TLS the client can tell an end from a break.
subtest 'a client over TLS' => sub {
    my $tls_port = free_port();
    my %to = (plain => Usher::Backend->new, tls => tls_backend(versions => '1.3'), tls12 => tls_backend(versions => '1.2'));
    my $server = tls_httpd(<<"EOT" . join('', map { "ProxyPass /$_/ " . $to{$_}->url('/') . " upgrade=ANY timeout=20\n" } sort keys %to) . "</VirtualHost>\n");
Listen 127.0.0.1:$tls_port
<VirtualHost 127.0.0.1:$tls_port>
    SSLEngine On
    SSLCertificateFile @{[ certs()->pair('good') ]}
    SSLProxyEngine On
    SSLProxyCheckPeerName off
EOT
    ok($server->start, 'httpd starts') or return diag $server->console;
    $server->log->tolerate(qr/USHER2\d\d\d/);
    for my $name (sort keys %to) {
        my %ends = (rst => ['SD', rst], $name eq 'plain' ? (fin => ['--', cut]) : ('close_notify' => ['--', notify, cut], 'no close_notify' => ['SD', cut]));
        for my $how (sort keys %ends) {
            my ($state, @end) = @{ $ends{$how} };
            $to{$name}->on('/end', [switch_to, 'x' x 1000, @end]);
            my $id = "tls-$name-$how" =~ s/\W/-/gr;
            my $client = Usher::Client->new(port => $tls_port, tls => {});
            $client->send(http_request(GET => "/$name/end", ['X-Id' => $id, 'Connection' => 'Upgrade', 'Upgrade' => 'raw/1']));
            is($client->answer->{status}, 101, "$name, $how: 101");
            my ($bytes) = $client->read_all(4);
            is(length $bytes, 1000, 'all that was said');
            is($client->wire->{notified} ? 'an end' : 'a break', $state eq '--' ? 'an end' : 'a break', 'and how it ended');
            is(logged($server, $id)->{state}, $state, "state $state");
        }
    }
    $server->finish('log');
};

# The time that httpd's children have computed, in seconds.
sub cpu {
    my $ticks = 0;

    for my $pid ($httpd->children) {
        open my $fh, '<', "/proc/$pid/stat" or next;
        my @fields = split ' ', <$fh> =~ s/^.*\) //r;
        $ticks += $fields[11] + $fields[12];
    }
    return $ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

subtest 'waiting costs nothing' => sub {
    on('/halfway', [switch_to('raw/1'), half_close]);
    on('/silent', [switch_to, stall]);
    on('/deaf', [switch_to, stall(1 + 3 * patience), cut]);    # it does not see the client's end
    on('/flood', [switch_to, fill(1_500_000), rst]);
    my ($halfway, $ended, $full, $stalled) = map { new_id() } 1 .. 4;
    my @clients = (upgraded('/any/halfway', $halfway), upgraded('/any/deaf', $ended), upgraded('/any/flood', $full), upgraded('/any/silent', $stalled));
    $clients[1]->half_close;
    my $put = $clients[3]->send('x' x 30_000_000, 0.5);
    # A processor that is taken away meanwhile may count as used.
    ok((in_calm {
        my $before = cpu();
        select undef, undef, undef, 0.8;
        cpu() - $before < 0.1 * patience;
    }), 'one side has ended, one does not read, the other is gone');
    is(connection_of($_)->{state}, 'open', 'still open') for $halfway, $ended, $stalled;
    my ($bytes, $how) = $clients[2]->read_all;
    is(length $bytes, 1_500_000, 'what a backend said before it broke is delivered');
    my $sock = (pop @clients)->wire->sock;    # reset() would wait for what nobody takes
    setsockopt $sock, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    close $sock;
    $_->close for @clients;
    ok(is_closed($_, 5), 'ends') for $halfway, $ended, $full, $stalled;
    is(logged($httpd, $full)->{state}, 'SD', 'broken');
};

subtest 'silence' => sub {
    on('/chat', [@echo]);
    my ($id, $ws, $start);
    ok((in_calm {
        $ws = ws('/short/chat', $id = new_id());
        $start = time;
        my $said = 0;
        for (1 .. 4) {
            select undef, undef, undef, 0.4;
            $ws->say('x');
            ++$said if $ws->message;
        }
        $said == 4;
    }), 'one that is not silent for so long');
    is($ws->message(3), undef, 'closed');
    is($ws->{how}, 'closed', 'in good order');
    cmp_ok(time - $start, '>', 2.4, 'not while something is said, whatever total= says');
    soon($start, 4, 'a second after the last word: Timeout is as long');
    ok(is_closed($id), 'the backend sees the end');
    my $line = logged($httpd, $id);
    is($line->{state}, 'sD', 'state: idle for too long');
    my @times = split m{/}, $line->{times};
    cmp_ok($times[3], '>', 2_400_000, 'its time is how long it was open');
    ok($httpd->log->wait_for(qr/USHER2021: \Q$ws_url\E\S*: nothing went through/, 3), 'and the log says so');

    on('/flood', [switch_to, fill(50_000_000), cut]);
    in_calm {
        $ws = ws('/short/flood', $id = new_id());
        !$ws->{refused};
    };
    my $client = $ws->{client};
    ok(is_closed($id, 5), 'a client that takes nothing');
    is(logged($httpd, $id)->{state}, 'cD', 'state: the client was too slow');
    $client->reset;
};

subtest 'restarts' => sub {
    $httpd->log->tolerate(qr/AH00288|AH03490/);    # a small scoreboard
    my $id = new_id();
    on('/chat', [@echo]);
    my $ws = ws('/ws/chat', $id);
    $ws->say('before');
    is(($ws->message // {})->{payload}, 'before', 'a tunnel');
    ok($httpd->graceful, 'a graceful restart');
    $ws->say('after');
    is(($ws->message // {})->{payload}, 'after', 'it goes on');
    select undef, undef, undef, 1.2;
    $ws->say('long after');
    is(($ws->message // {})->{payload}, 'long after', 'for as long as it likes');
    $ws->close;
    is(($ws->message // {})->{opcode}, CLOSE, 'and ends well');
    ok(is_closed($id), 'on both sides');
};

# An httpd that ends: with a tunnel, and a client that is told so.
sub ending_httpd {
    my $ending = backend_httpd(<<"EOT");
GracefulShutdownTimeout @{[ 4 * patience - 3 ]}
ProxyPass /ws/ ${ws_url}end-ws/ timeout=60
EOT
    ok($ending->start, 'another httpd');
    on('/chat', [@echo]);
    my $id = new_id();
    my $ws = ws('/ws/chat', $id, client => Usher::Client->new(port => $ending->port));
    $ws->say('x');
    is(($ws->message // {})->{payload}, 'x', 'with a tunnel');
    return ($ending, $ws, $id);
}

sub ended {
    my ($ending, $ws, $id, $limit) = @_;
    my $start = time;

    is($ws->message($limit), undef, 'its client');
    like($ws->{how}, qr/^(?:closed|reset)$/, 'sees the end');
    ok(is_closed($id, $limit), 'so does the backend');
    soon($start, $limit, sprintf 'soon (%.1f s)', time - $start);
    return;
}

subtest 'a graceful stop' => sub {
    my ($ending, $ws, $id) = ending_httpd();
    kill 'WINCH', $ending->pid;
    select undef, undef, undef, 0.5;
    $ws->say('y');
    is(($ws->message // {})->{payload}, 'y', 'the tunnel goes on');
    ended($ending, $ws, $id, 5);
    ok((wait_until { !$ending->running } 4), 'httpd ends');
    is(logged($ending, $id)->{state}, 'PD', 'logged: httpd ended it') if $ENV{USHER_MPM} ne 'prefork';
    $ending->log->tolerate(qr/USHER2\d\d\d/);
    $ending->log->finish('no crash');
};

subtest 'a stop' => sub {
    for my $restarted (0, 1) {
        my ($ending, $ws, $id) = ending_httpd();
        ok($ending->graceful, 'after a graceful restart') if $restarted;
        kill 'TERM', $ending->pid;
        ended($ending, $ws, $id, 2.5);
        ok((wait_until { !$ending->running } 5), 'httpd ends');
        is(logged($ending, $id)->{state}, 'PD', 'logged: httpd ended it') if $ENV{USHER_MPM} ne 'prefork';
        # Parents complain of children that take a moment.
        $ending->log->tolerate(qr/USHER2\d\d\d|AH00045/);
        $ending->log->finish('no crash');
    }
};

subtest 'a child is killed' => sub {
    my ($ending, $ws, $id) = ending_httpd();
    kill 'KILL', $ending->children;
    ended($ending, $ws, $id, 3);
    $ending->log->tolerate(qr/AH00051|AH00052|exit signal Killed|USHER/);
    $ending->finish('httpd lives');
};

$httpd->finish('httpd lives, and logs nothing but what broke');
done_testing;
