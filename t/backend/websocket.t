# Tunnels: WebSockets and other upgrades, from clients of HTTP/1, TLS and HTTP/2,
# to plain backends, a stock balancer, a cluster and a real Tomcat. How they end is
# in tunnel_ends.t.
use strict;
use warnings FATAL => 'all';

use Digest::SHA ();
use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Certs ();
use Usher::Client ();
use Usher::Env ();
use Usher::H2 ();
use Usher::HTTP1;
use Usher::Pattern;
use Usher::Tomcat ();
use Usher::TunnelTest;
use Usher::Wait;
use Usher::WebSocket qw(ws_frame CLOSE PONG);
use Usher::Wire ();

my $large = 20 * 1024 * 1024;
# Small buffers, so that they are full before $large bytes have gone.
my $backend = Usher::Backend->new(rcvbuf => 65536, sndbuf => 65536);
# What no WebSocket shall come to
my $ajp = Usher::Backend->new(protocol => 'ajp');
my $url = $backend->url('/');
my $ws_url = $url =~ s/^http/ws/r;
my $tls_port = free_port();
my $has_h2 = $ENV{USHER_MPM} ne 'prefork' && Usher::Env::load_modules('http2');
my $has_tls = Usher::Env::load_modules('ssl') && qx(openssl version 2>/dev/null);
my $h2_conf = $has_h2 ? "Protocols h2c http/1.1\nH2WebSockets On\nH2MaxWorkers 60\n" : '';

my $httpd = backend_httpd('', modules => ['reqtimeout', $has_h2 ? 'http2' : (), $has_tls ? qw(ssl socache_shmcb) : ()]);
my $tls_conf = $has_tls ? tls_conf() : '';
$httpd->conf(Usher::BackendTest::usher_log() . <<"EOT");
Timeout @{[ 2 * patience - 1 ]}
SendBufferSize 65536
ReceiveBufferSize 65536
ProxyReceiveBufferSize 65536
RequestReadTimeout body=@{[ 2 * patience - 1 ]}
$h2_conf
ProxyPass /http/ ${url}http/ upgrade=websocket timeout=20
ProxyPass /ws/ ${ws_url}ws/ timeout=20
ProxyPass /any/ ${url}any/ upgrade=ANY timeout=20
ProxyPass /none/ ${url}none/ timeout=20
<Proxy balancer://stock>
    BalancerMember @{[ $ws_url =~ s{/$}{}r ]} timeout=20
</Proxy>
ProxyPass /stock/ balancer://stock/stock/
<Proxy balancer://cluster>
    BalancerMember @{[ $ws_url =~ s{/$}{}r ]} timeout=20 route=a
    ProxySet lbmethod=usher
</Proxy>
ProxyPass /cluster/ balancer://cluster/cluster/
<Proxy balancer://mixed>
    BalancerMember @{[ $ajp->url ]} route=ajp
    BalancerMember @{[ $ws_url =~ s{/$}{}r ]} timeout=20 route=ws
    ProxySet lbmethod=usher stickysession=JSESSIONID
</Proxy>
ProxyPass /mixed/ balancer://mixed/mixed/
$tls_conf
EOT
tunnels($httpd, $backend);
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);

sub tls_conf {
    my $root = $httpd->root;
    my $out = qx(openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout $root/key.pem -out $root/cert.pem 2>&1);
    die "openssl: $out\n" if $?;
    return <<"EOT";
Listen 127.0.0.1:$tls_port
<VirtualHost 127.0.0.1:$tls_port>
    Timeout 20
    SSLEngine On
    SSLCertificateFile $root/cert.pem
    SSLCertificateKeyFile $root/key.pem
    ProxyPass /ws/ ${ws_url}tls-ws/ timeout=20
    ProxyPass /any/ ${url}tls-any/ upgrade=ANY timeout=20
</VirtualHost>
EOT
}

# A client that speaks TLS by way of the openssl command.
sub tls_client {
    socketpair my $ours, my $theirs, Socket::AF_UNIX(), Socket::SOCK_STREAM(), 0 or die "socketpair: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        close $ours;
        open STDIN, '<&', $theirs or die $!;
        open STDOUT, '>&', $theirs or die $!;
        open STDERR, '>', '/dev/null' or die $!;
        exec 'openssl', 's_client', '-quiet', '-no_ign_eof', '-nocommands',
            '-connect', "127.0.0.1:$tls_port" or POSIX::_exit(127);
    }
    close $theirs;
    return bless { wire => Usher::Wire->new($ours) }, 'Usher::Client';
}

sub talk {
    my ($ws, $what) = @_;

    is($ws->{refused}, undef, "$what: the handshake") or diag(explain($ws->{answer})), return;
    for my $size (0, 1, 125, 126, 65535, 65536, 300_000) {
        my $bytes = pattern(0, $size);
        $ws->say($bytes);
        my $message = $ws->message;
        ok($message && $message->{payload} eq $bytes && !$message->{masked}, "$what: $size bytes and back")
            or diag($ws->{how} // 'another message');
    }
    $ws->ping('are you there');
    my $pong = $ws->message // {};
    is(join(' ', $pong->{opcode} // '', $pong->{payload} // ''), PONG . ' are you there', "$what: ping");
    $ws->say_in_pieces('in fragments', 5);
    is(($ws->message // {})->{payload}, 'in fragments', "$what: fragments");
    $ws->close(1000, 'done');
    my $close = $ws->message // {};
    is($close->{opcode}, CLOSE, "$what: close");
    is($ws->message, undef, "$what: and then");
    return $ws->{how};
}

subtest 'WebSocket' => sub {
    for my $place (qw(http ws any stock cluster)) {
        my $id = new_id();
        on('/chat', [@echo]);
        is(talk(ws("/$place/chat", $id), $place), 'closed', "$place: the end");
        ok(is_closed($id), "$place: the backend's connection is closed");
        my $line = logged($httpd, $id);
        is($line->{status}, 101, "$place: logged as 101");
        is($line->{state}, '--', "$place: ended well");
    }
};

subtest 'a cluster with members that cannot' => sub {
    on($_, [@echo]) for '/chat', '/chat;JSESSIONID=1.ajp';
    for my $n (1 .. 4) {
        my $ws = ws($n == 4 ? '/mixed/chat;JSESSIONID=1.ajp' : '/mixed/chat', new_id());
        is($ws->{refused}, undef, $n == 4 ? 'of a session there' : "handshake $n");
        $ws->close(1000, 'done') if !$ws->{refused};
    }
    is(scalar $ajp->connections, 0, 'AJP got none of them');
};

subtest 'over TLS' => sub {
    plan skip_all => 'this httpd has no mod_ssl, or there is no openssl command' if !$has_tls;
    my $id = new_id();
    is(talk(ws('/ws/chat', $id, client => tls_client()), 'TLS'), 'closed', 'the end');
    ok(is_closed($id), "the backend's connection is closed");
    is(logged($httpd, $id)->{state}, '--', 'ended well');
    # Small pieces in one record, and a record larger than what is read at once.
    my $client = upgraded('/any/both', my $other = new_id(), tls_client(), 'x') if on('/both', [switch_to, echo_bytes, cut]);
    $client->send(pattern(0, 500_000));
    my $got = '';
    $client->until(sub { $got .= substr ${ $_[0] }, 0, length ${ $_[0] }, ''; length $got >= 500_001 ? 1 : undef }, 10);
    ok($got eq 'x' . pattern(0, 500_000), 'half a megabyte and back');
    $client->close;
    ok(is_closed($other), 'the end goes on');
};

subtest 'over HTTP/2' => sub {
    plan skip_all => 'this httpd has no mod_http2' if !$has_h2;
    # httpd ends a connection that is idle for long, so each part has its own.
    my $h2 = Usher::H2->new(port => $httpd->port);
    plan skip_all => 'this mod_http2 has no extended CONNECT' if !$h2->offers_connect;
    for my $place (qw(ws http cluster)) {
        my $id = new_id();
        $h2 = Usher::H2->new(port => $httpd->port);
        my $ws = Usher::WebSocket->open_h2($h2, "/$place/chat", ['x-id' => $id]);
        is(talk($ws, "h2 $place"), 'complete', 'the stream ends');
        ok(is_closed($id), "the backend's connection is closed");
        # mod_http2 may let go of a request, which is logged then, as late as its connection ends.
        $h2->close;
        is(logged($httpd, $id)->{state}, '--', 'ended well');
    }
    my $id = new_id();
    $h2 = Usher::H2->new(port => $httpd->port);
    my $ws = Usher::WebSocket->open_h2($h2, '/ws/chat', ['x-id' => $id]);
    is(Usher::WebSocket->open_h2($h2, '/ws/chat', ['x-id' => new_id()])->{refused}, undef, 'two on a connection');
    $ws->say(pattern(0, 3_000_000));
    ok(($ws->message // { payload => '' })->{payload} eq pattern(0, 3_000_000), 'a large message');
    $h2->end($ws->stream);
    ok(is_closed($id), 'the client ends the stream: the backend sees it');
    is($h2->answer($ws->stream)->{end}, 'complete', 'and the stream is over');

    # mod_http2 tells of it a moment after the end of its input.
    my ($other, $state);
    ok((in_calm {
        $h2 = Usher::H2->new(port => $httpd->port);
        $other = Usher::WebSocket->open_h2($h2, '/ws/chat', ['x-id' => $id = new_id()]);
        $other->say('x');
        is(($other->message // {})->{payload}, 'x', 'one more stream');
        my $start = time;
        $h2->cancel($other->stream);
        ok((wait_until { $h2->pump; (connection_of($id)->{state} // '') eq 'closed' } 3), 'reset: the backend sees it');
        soon($start, 1.3, 'within a second');
        ($state = logged($httpd, $id)->{state} // '') eq 'CD';
    }), 'state: the client') or diag $state;

    on('/broken', [switch_to, read_body(0), take_bytes(1), rst]);
    $h2 = Usher::H2->new(port => $httpd->port);
    $other = Usher::WebSocket->open_h2($h2, '/ws/broken', ['x-id' => $id = new_id()]);
    $other->send_bytes('x');
    my $end = $h2->answer($other->stream)->{end};
    is($end, 'reset', 'the backend breaks it: the stream is reset');
    is(logged($httpd, $id)->{state}, 'SD', 'state: the backend');

    my $other_h2 = Usher::H2->new(port => $httpd->port);
    on('/push', [switch_to, both_ways($large), cut]);
    my $stream = $other_h2->connect_to('/ws/push', 'websocket', ['x-id' => $id = new_id()]);
    my $sent = pattern(0, 3_000_000);
    is($other_h2->send_data($stream, $sent), length $sent, 'much goes up');
    $other_h2->end($stream);
    my $answer = $other_h2->answer($stream, timeout => 20);
    ok($answer->{complete} && $answer->{body} eq pattern(0, $large), 'and down at once');
    is(request($id)->{sha1}, pattern_sha1(3_000_000), 'as it was sent');

    $other_h2 = Usher::H2->new(port => $httpd->port);
    $other_h2->connect_to('/ws/push', 'websocket', ['x-id' => $id = new_id()]);
    ok(is_closed($id, 5), 'a client that takes nothing');
    like(logged($httpd, $id)->{state}, qr/^[cC]D$/, 'state: the client');
    $other_h2->reset;

    on('/refuse', http_answer(403, [], 'no'));
    $other = Usher::WebSocket->open_h2(Usher::H2->new(port => $httpd->port), '/ws/refuse', ['x-id' => new_id()]);
    like($other->{refused}, qr/^status (403|0)$/, 'refused by the backend');
} if $ENV{USHER_MPM} ne 'prefork'; # mod_http2 does not work there

subtest 'to a backend over TLS' => sub {
    plan skip_all => 'this httpd has no mod_ssl, or there is no openssl command' if !$has_tls;
    my $secure = Usher::Backend->new(tls => {});
    my $port = $secure->port;
    my $front = backend_httpd(<<"EOT", modules => [qw(ssl socache_shmcb)]);
SSLProxyEngine On
SSLProxyVerify require
SSLProxyCACertificateFile @{[ Usher::Certs->new->ca ]}
ProxyPass /ws/ wss://localhost:$port/ws/
ProxyPass /any/ https://localhost:$port/any/ upgrade=ANY
EOT
    $front->log->tolerate(qr/\[ssl:warn\]|USHER204\d/);
    ok($front->start, 'httpd before it');
    tunnels($front, $secure);
    on('/chat', [switch_to, websocket_echo, notify, cut]);
    is(talk(ws('/ws/chat', my $id = new_id()), 'wss'), 'closed', 'the end');
    is(logged($front, $id)->{state}, '--', 'ended well');
    on('/push', [switch_to, both_ways(3_000_000), notify, cut]);
    my $client = upgraded('/any/push', $id = new_id());
    is($client->send(pattern(0, 3_000_000)), 3_000_000, 'much goes up');
    $client->half_close;
    my ($bytes, $how) = $client->read_all(20);
    ok($how eq 'closed' && $bytes eq pattern(0, 3_000_000), "and down, behind the client's end") or diag length($bytes), $how;
    is(request($id)->{sha1}, pattern_sha1(3_000_000), 'as it was sent');
    is(logged($front, $id)->{state}, '--', 'ended well');
    on('/chat', [@echo]);
    my $ws = ws('/ws/chat', $id = new_id());
    $ws->close;
    is(($ws->message // {})->{opcode}, CLOSE, 'a backend that closes without close_notify');
    $ws->{client}->close;
    is(logged($front, $id)->{state}, 'SD', 'counts as broken');
    tunnels($httpd, $backend);
    $front->finish('nothing in the log');
};

subtest 'a real Tomcat' => sub {
    plan skip_all => Usher::Tomcat->missing if Usher::Tomcat->missing;
    my $tomcat = Usher::Tomcat->start;
    is(Usher::Client->get($tomcat->port, '/websocket.jsp')->{status}, 200, 'has a WebSocket');
    my $front = backend_httpd("ProxyPass / ws://127.0.0.1:@{[ $tomcat->port ]}/\n");
    ok($front->start, 'httpd before it');
    my $ws = ws('/websocket', my $id = new_id(), client => Usher::Client->new(port => $front->port));
    is($ws->{refused}, undef, 'the handshake');
    $ws->frame(1, 'hello');
    is(($ws->message // {})->{payload}, 'hello', 'a text and back');
    $ws->say_in_pieces(pattern(0, 3_000_000), 100_000);
    ok(($ws->message(20) // { payload => '' })->{payload} eq pattern(0, 3_000_000), 'much and back');
    $ws->ping('there?');
    is(($ws->message // {})->{opcode}, PONG, 'ping');
    $ws->frame(1, 'close');
    is(substr(($ws->message // { payload => '' })->{payload}, 2), 'as you wish', 'it closes');
    $ws->close;
    is($ws->message, undef, 'and so do we');
    is($ws->{how}, 'closed', 'in good order');
    $ws->{client}->close;
    is(logged($front, $id)->{state}, '--', 'ended well');
    $front->finish('nothing in the log');
};

subtest 'bytes behind the heads' => sub {
    my $id = new_id();
    on('/early', [switch_to(undef, ws_frame(1, 'welcome')), websocket_echo, cut]);
    my $ws = ws('/ws/early', $id, behind => ws_frame(2, 'at once', mask => 'abcd'));
    is($ws->{refused}, undef, 'the handshake');
    is(($ws->message // {})->{payload}, 'welcome', 'what the backend says with its 101');
    is(($ws->message // {})->{payload}, 'at once', 'what the client says with its request');
    # More than any buffer of a head.
    on('/flood', [switch_to(undef, pattern(0, 300_000)), echo_bytes, cut]);
    my $client = upgraded('/any/flood', $id = new_id(), undef, my $sent = pattern(300_000, 200_000));
    $client->half_close;
    my ($bytes, $how) = $client->read_all;
    ok($bytes eq pattern(0, 500_000), 'much of both arrives') or diag length $bytes;
    is($how, 'closed', 'and the end');
};

subtest 'large, both ways at once' => sub {
    my $id = new_id();
    on('/both', [switch_to, both_ways($large), cut]);
    my $client = upgraded('/any/both', $id);
    my ($sent, $got) = (0, 0);
    my $sha = Digest::SHA->new(1);
    my $end = time + 30 * patience;
    while ($sent < $large && time < $end) {
        $sent += $client->send(pattern($sent, 65536), 0.01);
        $client->wire->read_more(0);
        $got += length $client->wire->{in};
        $sha->add(substr $client->wire->{in}, 0, length $client->wire->{in}, '');
    }
    $client->half_close;
    my ($rest, $how) = $client->read_all(30);
    $got += length $rest;
    $sha->add($rest);
    is($how, 'closed', 'the end');
    is($got, $large, 'the client got all');
    is($sha->hexdigest, pattern_sha1($large), 'as it was sent');
    ok(is_closed($id), 'the backend is done');
    is(request($id)->{body_len}, $sent, 'and got all');
    is(request($id)->{sha1}, pattern_sha1($sent), 'as it was sent');
    my $line = logged($httpd, $id);
    is($line->{state}, '--', 'ended well');
    my ($out, $in) = $line->{bytes} =~ m{^(\d+)/(\d+)$};
    cmp_ok($out - $sent, '<', 2000, "bytes: sent ($line->{bytes})");
    cmp_ok($out, '>', $sent, 'and the head');
    cmp_ok($in - $large, '<', 2000, 'received');
    cmp_ok($in, '>', $large, 'and the head');
};

subtest 'a client that writes all before it reads' => sub {
    # One direction stands still: the other one goes on.
    my $id = new_id();
    on('/push', [switch_to, both_ways($large), cut]);
    my $client = upgraded('/any/push', $id);
    my $put = $client->send_pattern($large, 20);
    is($put, $large, 'it can send all while it reads nothing');
    $client->half_close;
    my ($bytes, $how) = $client->read_all(30);
    ok($how eq 'closed' && $bytes eq pattern(0, $large), 'and then read all');
    is(request($id)->{sha1}, pattern_sha1($large), 'the backend got what it sent');
    # An echo takes no more until it is read from.
    on('/echo', [switch_to, echo_bytes, cut]);
    $client = upgraded('/any/echo', $id = new_id());
    $put = $client->send(pattern(0, $large), 0.7 * patience);
    cmp_ok($put, '<', $large, "with an echo it stalls ($put bytes)");
    cmp_ok($put, '>', 100_000, 'within bounds');
    my $memory = memory();
    cmp_ok($memory, '<', 400_000, "nothing piles up in httpd ($memory KB)") if !$ENV{ASAN_OPTIONS};
    my $got = 0;
    my $sha = Digest::SHA->new(1);
    my $take = sub {
        $got += length $client->wire->{in};
        $sha->add(substr $client->wire->{in}, 0, length $client->wire->{in}, '');
    };
    my $end = time + 30 * patience;
    while ($put < $large && time < $end) {
        $client->wire->read_more(0.05);
        $take->();
        $put += $client->send(substr(pattern($put, 65536 < $large - $put ? 65536 : $large - $put), 0), 0);
    }
    $client->half_close;
    while ($client->wire->read_more(10 * patience) eq 'data') { $take->() }
    is($got, $large, 'and goes on');
    is($sha->hexdigest, pattern_sha1($large), 'with nothing lost');
};

sub memory {
    my ($most) = sort { $b <=> $a } map {
        open my $fh, '<', "/proc/$_/status";
        my ($rss) = $fh ? join('', <$fh>) =~ /VmRSS:\s+(\d+)/ : 0;
        $rss // 0;
    } $httpd->children;
    return $most;
}

subtest 'no tunnel' => sub {
    my %answer = (200 => 'plain', 403 => 'no', 426 => 'another version');
    for my $status (sort keys %answer) {
        on('/no', http_answer($status, [], $answer{$status}));
        my $client = client();
        my $ws = ws('/ws/no', undef, client => $client);
        is(tells($ws->{answer}), "$status complete $answer{$status}", "$status is an answer like others");
        is($client->request(GET => '/http/no')->{status}, $status, 'and the connection is kept');
    }
    on('/chat', [@echo]);
    is(ws('/none/chat')->{refused}, 'status 502', 'a 101 that was not asked for: no upgrade= there');
    is(client()->request(GET => '/ws/chat')->{status}, 502, 'nor by the client');
    on('/other', [switch_to('chess'), cut]);
    is(ws('/ws/other')->{refused}, 'status 502', 'another protocol than what was asked for');
    on('/hasty', [leave_body, switch_to('websocket'), cut]);
    my $client = client();
    $client->send("POST /ws/hasty HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 100000\r\n\r\n" . 'x' x 20000);
    is($client->answer->{status}, 502, 'before the request was read');
};

$httpd->log->tolerate(qr/\[ssl:warn\]/);
$httpd->finish('httpd lives, and logs nothing but what broke');
done_testing;
