# Links with TLS: what mod_ssl and our own sockets do together. What users see of
# it, row by row, is in tls.t.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Certs ();
use Usher::Client ();
use Usher::Httpd ();
use Usher::Pattern;
use Usher::Wait;
use Usher::WebSocket ();

my $prefork = $ENV{USHER_MPM} eq 'prefork';
my $certs = Usher::Certs->new;
my %backend = (
    two   => Usher::Backend->new(tls => { versions => '1.2' }),
    three => Usher::Backend->new(tls => { versions => '1.3', late_tickets => 1 }),
    small => Usher::Backend->new(tls => {}, rcvbuf => 4096, sndbuf => 4096),
    wrong => Usher::Backend->new(tls => { cert => 'wrong' }),
    expired => Usher::Backend->new(tls => { cert => 'expired' }),
    other => Usher::Backend->new(tls => { cert => 'other' }),
    names => Usher::Backend->new(tls => { names => { 'named.test' => 'named' } }),
    wss   => Usher::Backend->new(tls => {}, rcvbuf => 65536, sndbuf => 65536),
    any   => Usher::Backend->new(tls => { versions => '1.3' }),
    unix  => Usher::Backend->new(tls => {}, unix => 1),
);
my $tls = "SSLProxyEngine On\nSSLProxyVerify require\nSSLProxyCACertificateFile @{[ $certs->ca ]}\n";
my $httpd = backend_httpd(<<"EOT", modules => ['ssl', 'socache_shmcb']);
$tls
UsherBackendTimeout first=20s connect=20s
@{[ map { "ProxyPass /$_/ https://localhost:@{[ $backend{$_}->port ]}/\n" } grep { !/^(?:unix|wss|any)$/ } sort keys %backend ]}
<Location /hasty/>
    UsherBackendTimeout connect=1s
    ProxyPass https://localhost:@{[ $backend{three}->port ]}/
</Location>
<Location /total/>
    UsherBackendTimeout total=500ms
    ProxyPass https://localhost:@{[ $backend{three}->port ]}/
</Location>
ProxyPass /wss/ wss://localhost:@{[ $backend{wss}->port ]}/
ProxyPass /any/ https://localhost:@{[ $backend{any}->port ]}/ upgrade=ANY timeout=20
ProxyPass /unix/ unix:@{[ $backend{unix}->path ]}|https://localhost/
<Location /preserved/>
    ProxyPreserveHost On
    ProxyPass https://localhost:@{[ $backend{names}->port ]}/
</Location>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName localhost
    CustomLog logs/usher_log usher
</VirtualHost>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName other.test
    $tls
    CustomLog logs/usher_log usher
</VirtualHost>
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$_->on('/ok', http_answer(200, [], 'kept')) for values %backend;

my $log = sub { open my $fh, '<', $httpd->error_log or die; local $/; return join "\n", grep { /USHER/ } split /\n/, <$fh> };
sub says { my ($what) = @_; return wait_until { $log->() =~ $what } 5 }

my $client = Usher::Client->new(port => $httpd->port);
my $used = time;

sub get {
    my ($uri, $headers, $method, $body) = @_;
    # The worker MPM keeps one for five seconds; its one child has the next one, too.
    $client = Usher::Client->new(port => $httpd->port) if $ENV{USHER_MPM} eq 'worker' && time - $used > 2;
    $used = time;
    my $answer = $client->request($method // 'GET', $uri, $headers, $body);

    $client = Usher::Client->new(port => $httpd->port) if $answer->{end} ne 'complete'
        || http_has_token($answer->{headers}, 'Connection', 'close');
    return $answer;
}

for my $name (qw(two three unix)) {
    subtest $name => sub {
        my $backend = $backend{$name};
        my $size = 5_000_000;
        is(tells(get("/$name/ok")), '200 complete kept', 'an answer') for 1 .. 3;
        is(scalar $backend->connections, 1, 'all over one connection') unless $prefork;
        # For a POST it must have been in use within the last second.
        ok((in_calm {
            my @told = map { tells(get("/$name/ok", [], 'POST', 'body')) } 1 .. 3;
            "@told" eq join(' ', ('200 complete kept') x 3) && ($prefork || 3 == grep { $_->{n} > 1 } ($backend->requests)[-3 .. -1]);
        }), 'to a POST, too');
        $backend->on('/down', [http_answer(200, [], undef, length => $size), fill($size)]);
        $backend->on('POST /up', echo);
        $client->send(http_request(GET => "/$name/down", [Host => 'localhost']));
        is($client->answer(discard => 1, timeout => 60)->{sha1}, pattern_sha1($size), 'a large answer');
        ok((in_calm {
            $client->send(http_request(POST => "/$name/up", [Host => 'localhost', 'Content-Length' => $size]));
            $client->send_pattern($size) == $size && ($client->answer->{body} // '') eq "POST /up $size " . pattern_sha1($size) . "\n"
                && ($prefork || ($backend->requests)[-1]{n} > 1);
        }), 'a large request arrives, over a connection that was kept');
        ok((wait_until { 1 == grep { $_->{state} ne 'closed' } $backend->connections }), 'still one connection') unless $prefork;
        is((($backend->connections)[0]{tls} // {})->{sni}, 'localhost', 'asked for by name');
    };
}

subtest 'small buffers' => sub {
    my $size = 3_000_000;
    $backend{small}->on('POST /slow', [read_slowly(100_000, 0.01), echo]);
    $backend{small}->on('POST /up', echo);
    for my $uri ('up', 'slow') {
        $client->send(http_request(POST => "/small/$uri", [Host => 'localhost', 'Content-Length' => $size]));
        is($client->send_pattern($size), $size, 'a large request');
        is($client->answer->{status}, 200, 'arrives');
    }
};

subtest 'records of one byte' => sub {
    $backend{three}->on('/tiny', [records(1), http_answer(200, [], 'x' x 3000)]);
    is(get('/three/tiny')->{body}, 'x' x 3000, 'whole');
};

subtest 'a new handshake within (TLS 1.2), a certificate asked for (TLS 1.3)' => sub {
    $backend{two}->on('/again', [renegotiate, http_answer(200, [], 'after it')]);
    is(tells(get('/two/again')), '200 complete after it', 'renegotiated');
    is(tells(get('/two/ok')), '200 complete kept', 'and kept');
};

subtest 'ends' => sub {
    my $until = http_answer(200, [Connection => 'close'], 'hello', length => undef);
    for my $name (qw(two three)) {
        my $backend = $backend{$name};
        $backend->on('/whole', $until);
        $backend->on('/cut', [at($until, length($until) - 2, cut)]);
        $backend->on('/early', [cut]);
        is(tells(get("/$name/whole")), '200 complete hello', "$name: with close_notify it is whole");
        my $answer = ask($httpd, GET => "/$name/cut", ['X-Id' => "cut-$name"], undef, version => '1.0');
        ok(($answer->{status} // 502) == 502 || $answer->{end} ne 'complete', "$name: without it, it is cut") or diag explain $answer;
        is(get("/$name/early")->{status}, 502, "$name: no answer");
    }
    ok(says(qr/TLS was not ended in order/), 'the log says so');
};

subtest 'handshakes that fail' => sub {
    for my $case (['wrong', qr/its certificate is for elsewhere\.example, not for localhost/],
        ['expired', qr/its certificate is not accepted: certificate has expired/],
        ['other', qr/its certificate is not accepted: unable to get local issuer certificate/]) {
        my ($name, $why) = @$case;
        is(get("/$name/ok", ['X-Id' => "fail-$name"])->{status}, 503, $name);
        ok(says($why), 'the log says why');
        like(logged($httpd, "fail-$name")->{attempts} // '', qr/=refused/, 'refused');
    }
    for my $case (['cut', [flight(50), cut], qr/it closed the connection within the TLS handshake/],
        ['reset', [flight(50), rst], qr/the connection broke within the TLS handshake/],
        ['alert', [alert(40)], qr/it refused the TLS handshake \(alert: handshake failure\)/],
        ['plain', ["HTTP/1.1 400 Bad Request\r\n\r\n", cut], qr/it does not speak TLS there/],
        ['slow', [flight(50), stall], qr/its TLS handshake was not done in time/]) {
        my ($name, $play, $why) = @$case;
        $backend{three}->on('HELLO', $play, []);
        $backend{three}->close_idle;
        my $before = () = $backend{three}->connections;
        my $from = time;
        my $answer = ask($httpd, GET => $name eq 'slow' ? '/hasty/ok' : '/three/ok');
        is($answer->{status}, $name eq 'slow' ? 504 : 503, $name);
        soon($from, 3, 'in time');
        ok(says($why), 'the log says why');
        # Else it might be the next one's turn first.
        ok((wait_until {
            my @all = $backend{three}->connections;
            @all > $before && !grep { $_->{state} ne 'closed' } @all;
        }), 'the backend has done with it');
    }
    is(get('/three/ok')->{status}, 200, 'the next one is well');
};

sub all_closed {
    my ($backend) = @_;

    $backend->close_idle;
    return wait_until { !grep { $_->{state} ne 'closed' } $backend->connections } 4;
}

subtest 'a handshake that is not to be waited for' => sub {
    all_closed($backend{three});
    $backend{three}->on('HELLO', [flight(50), stall], []);
    my $gone = Usher::Client->new(port => $httpd->port);
    $gone->send(http_request(GET => '/three/ok', [Host => 'localhost', 'X-Id' => 'gone']));
    ok((wait_until { grep { defined $_->{holding} } $backend{three}->connections }), 'it hangs');
    $gone->reset;
    my $line = logged($httpd, 'gone', 3);
    is("$line->{status} $line->{state}", '499 CC', 'the client went away');
    $backend{three}->on('HELLO', [flight(50), stall], []);
    my $from = time;
    is(ask($httpd, GET => '/total/ok', ['X-Id' => 'total'])->{status}, 504, 'the total time is over');
    soon($from, 2, 'in time');
    $backend{three}->on('HELLO', []);
};

subtest 'idle' => sub {
    my $backend = $backend{three};
    get('/three/ok');
    ok(all_closed($backend), 'closed by the backend: closed here');
    get('/three/ok');
    my @before = $backend->connections;
    sleep 2;
    get('/three/ok');
    is(scalar $backend->connections, scalar @before, 'the keeper leaves a good one alone, with tickets') unless $prefork;
    is(ask($httpd, GET => '/three/ok', [Host => 'other.test'])->{status}, 200, 'another virtual host');
    is(scalar $backend->connections, @before + 1, 'has connections of its own') unless $prefork;
};

subtest 'names' => sub {
    is(tells(get('/preserved/ok', [Host => 'named.test'])), '200 complete kept', 'the one that the client asked for') for 1 .. 2;
    is(tells(get('/preserved/ok', [Host => 'good.test'])), '200 complete kept', 'another one') for 1 .. 2;
    is(tells(get('/preserved/ok', [Host => 'named.test'])), '200 complete kept', 'the first again');
    is(scalar $backend{names}->connections, 2, 'a connection for each') unless $prefork;
    is(get('/preserved/ok', [Host => 'evil.test'])->{status}, 503, 'one that the certificate does not have');
};

subtest 'tunnels' => sub {
    my $backend = $backend{wss};
    $backend->on('/chat', [switch_to, websocket_echo, notify, cut]);
    my $ws = Usher::WebSocket->open(Usher::Client->new(port => $httpd->port), '/wss/chat', ['X-Id' => 'wss']);
    for my $size (5, 500, 70_000, 3_000_000) {
        my $bytes = pattern(0, $size);
        $ws->say($bytes);
        ok((($ws->message // {})->{payload} // '') eq $bytes, "$size bytes and back") or diag($ws->{how} // 'no message');
    }
    $ws->close(1000, 'done');
    is(($ws->message // {})->{opcode}, Usher::WebSocket::CLOSE, 'close');
    undef $ws;
    is(logged($httpd, 'wss')->{state}, '--', 'ended well');

    $backend{any}->on('/digest', [switch_to, take_bytes, 'you said something', notify, cut]);
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(GET => '/any/digest', [Host => 'localhost', 'X-Id' => 'half', Connection => 'Upgrade', Upgrade => 'raw/1']));
    is($client->answer->{status}, 101, 'another protocol: 101');
    $client->send(pattern(0, 300_000));
    $client->half_close;
    my ($rest) = $client->read_all;
    is($rest, 'you said something', "the client's end goes on, what the backend says then comes back");
    is((($backend{any}->requests)[-1] || {})->{body_len}, 300_000, 'all before it has arrived');
};

subtest 'through a proxy (ProxyRemote)' => sub {
    my $backend = Usher::Backend->new(tls => {});
    my $refused = Usher::Backend->new(tls => {});
    my $proxy = Usher::Httpd->new(usher => [], modules => [qw(proxy proxy_connect log_config)], conf => <<"EOT");
ProxyRequests On
AllowCONNECT @{[ $backend->port ]}
LogFormat "%r %{Proxy-Authorization}i" connect
CustomLog logs/connect_log connect
EOT
    ok($proxy->start, 'a proxy') or diag $proxy->console;
    my $httpd = backend_httpd(<<"EOT", modules => ['ssl', 'socache_shmcb']);
$tls
UsherBackendTimeout first=20s connect=20s
ProxyRemote * http://127.0.0.1:@{[ $proxy->port ]} us:er
ProxyPass /a/ https://localhost:@{[ $backend->port ]}/
ProxyPass /refused/ https://localhost:@{[ $refused->port ]}/
EOT
    ok($httpd->start, 'httpd starts') or diag $httpd->console;
    $_->on('/ok', http_answer(200, [], 'kept')) for $backend, $refused;
    is(tells(ask($httpd, GET => '/a/ok')), '200 complete kept', 'an answer') for 1 .. 2;
    my ($request) = $backend->requests('/ok');
    is($request->{uri} // $request->{target} // '', '/ok', 'asked for by its path') or diag explain $request;
    is($request->{header}{'proxy-authorization'}, undef, 'without what is for the proxy');
    is(ask($httpd, GET => '/refused/ok')->{status}, 503, 'the proxy does not want to');
    like(do { open my $fh, '<', $httpd->error_log or die; local $/; <$fh> },
        qr/the proxy on the way answered 403 .* to CONNECT localhost/, 'the log says why');
    # The proxy logs a tunnel when it is over.
    ok((wait_until {
        open my $fh, '<', $proxy->root . '/logs/connect_log' or die;
        grep { m{^CONNECT localhost:@{[ $backend->port ]} HTTP/1\.1 Basic dXM6ZXI=$} } <$fh>;
    }), 'with its password');
    $proxy->stop;
    is(ask($httpd, GET => '/a/ok')->{status}, 503, 'no proxy');
};

subtest 'not configured' => sub {
    my $conf = "ProxyPass /two/ https://localhost:@{[ $backend{two}->port ]}/\n" . pair_conf($backend{two}, $backend{three}, 'pair', '');
    for my $case ([[], qr/USHER2031.*LoadModule ssl_module/, 1], [['ssl', 'socache_shmcb'], qr/USHER2032.*SSLProxyEngine On/, 0]) {
        my ($modules, $says, $warned) = @$case;
        my $httpd = backend_httpd($conf, modules => $modules);
        my ($code, $out) = $httpd->configtest;
        is($code, 0, 'the configuration is accepted');
        is($out =~ /USHER2030/ ? 1 : 0, $warned, $warned ? 'with a warning' : 'without a warning');
        ok($httpd->start, 'httpd starts') or diag $httpd->console;
        is(ask($httpd, GET => '/two/ok', ['X-Id' => 'off'])->{status}, 503, 'the client gets 503');
        is(ask($httpd, GET => '/pair/ok', ['X-Id' => 'off'])->{status}, 503, 'with a balancer too') for 1 .. 3;
        my $log = do { open my $fh, '<', $httpd->error_log or die; local $/; <$fh> };
        like($log, $says, 'the log says what to do');
        unlike($log, qr/USHER2017/, 'no member rests');
    }
};

done_testing;
