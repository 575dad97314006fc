# The same configuration with mod_proxy_http and with mod_usher_backend: the
# same requests reach the backend as the same bytes, and the client gets the
# same; what the page says is different is tested elsewhere.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Pattern;
use Usher::Wait;

my $backend = Usher::Backend->new;
my $unix = Usher::Backend->new(unix => 1);
my $switching = Usher::Backend->new;
my $far = Usher::Backend->new;    # a proxy, as it were
my ($to, $port) = ($backend->url, $backend->port);
my $conf = <<"EOT";
ProxyTimeout @{[ 5 * patience ]}
ProxyPass        /plain/ $to/
ProxyPassReverse /plain/ $to/
ProxyPassReverseCookieDomain backend.example www.example
ProxyPassReverseCookiePath / /plain/
ProxyPass        /nocanon/ $to/ nocanon
ProxyPass        /noquery/ $to/ noquery
ProxyPass        /deep/ $to/a/b/
ProxyPass        /unix/ "@{[ $unix->url('/') ]}"
ProxyPass        /secret/ !
ProxyPass        /bal/ balancer://one/
ProxyPass        /upgrade/ @{[ $switching->url('/') ]} upgrade=websocket
<Proxy balancer://one>
    BalancerMember $to
</Proxy>
<Location /preserve/>
    ProxyPass $to/
    ProxyPreserveHost On
</Location>
<Location /noadd/>
    ProxyPass $to/
    ProxyAddHeaders Off
</Location>
<Location /override/>
    ProxyPass $to/
    ProxyErrorOverride On
</Location>
<Location /override404/>
    ProxyPass $to/
    ProxyErrorOverride On 404
</Location>
<LocationMatch ^/(env-[\\w.-]+)/(.*)>
    ProxyPassMatch $to/\$2
</LocationMatch>
SetEnvIf Request_URI ^/env-force-proxy-request-1.0/ force-proxy-request-1.0
SetEnvIf Request_URI ^/env-proxy-nokeepalive/ proxy-nokeepalive
SetEnvIf Request_URI ^/env-proxy-sendcl/ proxy-sendcl
SetEnvIf Request_URI ^/env-proxy-sendchunked/ proxy-sendchunked
SetEnvIf Request_URI ^/env-proxy-sendchunks/ proxy-sendchunks
SetEnvIf Request_URI ^/env-proxy-initial-not-pooled/ proxy-initial-not-pooled
SetEnvIf Request_URI ^/env-proxy-interim-response/ proxy-interim-response=RFC
SetEnvIf Request_URI ^/env-proxy-interim-suppress/ proxy-interim-response=Suppress
SetEnvIf Request_URI ^/env-chain-auth/ Proxy-Chain-Auth
RequestHeader set X-Set by-httpd
RequestHeader unset X-Unset
Header set X-Added by-httpd
RewriteEngine On
RewriteRule ^/rewrite/(.*) $to/\$1 [P]
RewriteRule ^/rewritene/(.*) $to/\$1 [P,NE]
ErrorDocument 404 "our own 404"
ErrorDocument 503 "our own 503"
ProxyRequests On
ProxyVia On
ProxyRemote http://far.example/ http://127.0.0.1:@{[ $far->port ]}
EOT
my %httpd = (
    usher => backend_httpd($conf, modules => [qw(headers env setenvif rewrite)], loglevel => 'info'),
    stock => stock_httpd($conf, modules => [qw(headers env setenvif rewrite)]),
);
for my $who (sort keys %httpd) {
    ok($httpd{$who}->start, "$who: httpd starts") or BAIL_OUT($httpd{$who}->console);
}
$httpd{stock}->log->tolerate(qr/./);

# What came to a backend: the head's lines in order but for the ports of the
# two httpds, and the body.
sub heads {
    my ($who, @backends) = @_;
    my $own = $httpd{$who}->port;

    return [map {
        my ($first, @lines) = split /\r\n/, $_->{raw} =~ s/:$own\b/:PORT/gr;
        [$first, (sort { lc $a cmp lc $b } @lines), "body $_->{body_len} " . ($_->{sha1} // '') . " $_->{complete}"];
    } map { $_->requests } @backends];
}

# What came to the client.
sub seen {
    my ($who, $answer) = @_;
    my $own = $httpd{$who}->port;
    my @headers = map { "$_->[0]: $_->[1]" =~ s/:$own\b/:PORT/gr } grep { $_->[0] !~ /^(?:Date|Server)$/ } @{ $answer->{headers} // [] };

    return { map({ $_ => $answer->{$_} } qw(status reason end)), headers => [sort { lc $a cmp lc $b } @headers],
        body => ($answer->{body} // '') =~ s/:$own\b|port $own\b/:PORT/gr, interim => [map { $_->{status} } @{ $answer->{interim} // [] }],
        trailers => $answer->{trailers} };
}

# One test: these bytes have the same effect through both.
sub same {
    my ($name, $bytes, %opt) = @_;
    my (%head, %seen);

    for my $who (qw(stock usher)) {
        $_->clear for $backend, $unix, $far;
        $opt{play} ? $_->on(qr{}, @{ $opt{play} }) : $_->on(qr{}, http_answer(200, ['X-From' => 'backend'], 'sound'))
            for $backend, $unix, $far;
        my $client = Usher::Client->new(port => $httpd{$who}->port);
        $client->send($bytes =~ s/\@PORT\@/$httpd{$who}->port/ger);
        my $answer = $client->answer(timeout => 5, head => scalar $bytes =~ /^HEAD/);
        $seen{$who} = seen($who, $answer);
        $head{$who} = heads($who, $backend, $unix, $far);
        # One that cuts must have done so: who sends the next request over that is out of luck.
        wait_until { !grep { $_->{state} eq 'open' } map { $_->connections } $backend, $unix } if $opt{play} && ref $opt{play}[0];
    }
    my $hides = $opt{but} // sub { };
    $hides->($_) for values %seen;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $ok = is_deeply($head{usher}, $head{stock}, "$name: the backend gets the same") || !diag explain { usher => $head{usher}, stock => $head{stock} };
    return is_deeply($seen{usher}, $seen{stock}, "$name: so does the client") && $ok || !diag explain \%seen;
}

sub request { return http_request(@_) }

subtest 'paths' => sub {
    for my $base (qw(plain nocanon noquery deep unix bal rewrite rewritene env-none)) {
        for my $path ('a', '', 'a%20b', 'a%2fb', 'a%2Fb', '%0d%0aX-Evil:%201', '%00', 'a%0ab', '..;/a', 'a/..;/b', 'a/../b', './a',
            '%2e%2e/a', 'a//b', 'a;b=c', 'a%3bb', 'a%3fb', 'a%23b', '%C3%A4', '%ff', 'a+b', 'a&b', '~a', 'a%7Eb', 'a|b', 'a"b',
            '%25', '%2525', 'a?b=c', 'a?b=c%20d', 'a?b=%0d%0aX', 'a?b=c?d', 'a?', 'a?b={c}|"', "a'b", 'a(b)', 'a:b', 'a@b', 'a^b', 'a\\b') {
            same("/$base/$path", request(GET => "/$base/$path", ['X-Id' => 'x', Connection => 'close']));
        }
    }
};

subtest 'methods' => sub {
    for my $method (qw(GET HEAD POST PUT DELETE OPTIONS PATCH PROPFIND STRANGE)) {
        same($method, request($method => '/plain/a', [], $method =~ /^P/ ? 'a body' : undef));
        same("$method with a body", request($method => '/plain/a', [], 'a body'));
    }
    same('TRACE', request(TRACE => '/plain/a', ['X-A' => 'b']));
    same("$_->[0] with Max-Forwards: $_->[1]", request($_->[0] => '/plain/a', ['Max-Forwards' => $_->[1]]))
        for map { my $m = $_; map { [$m, $_] } 0, 1, 10, 'x' } qw(TRACE OPTIONS GET);
    same('OPTIONS *', "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    same('CONNECT', "CONNECT 127.0.0.1:$port HTTP/1.1\r\nHost: a\r\n\r\n");
};

subtest 'request fields' => sub {
    my %fields = (
        'hop by hop'    => ['Keep-Alive' => '300', 'Proxy-Connection' => 'x', TE => 'trailers', Trailer => 'X-T', Upgrade => 'foo', 'X-A' => 'b'],
        'Connection'    => [Connection => 'X-Gone, keep-alive', 'X-Gone' => 'a', 'X-A' => 'b'],
        'Connection with what must stay' => [Connection => 'Host, X-Forwarded-For, Content-Length, close'],
        'X-Forwarded-*' => ['X-Forwarded-For' => '192.0.2.1', 'X-Forwarded-Host' => 'a.example', 'X-Forwarded-Server' => 'b.example'],
        'Via'           => [Via => '1.1 somebody'],
        'twice'         => ['X-A' => 'b', 'X-A' => 'c', Cookie => 'a=b', Cookie => 'c=d'],
        'conditional'   => ['If-None-Match' => '"a"', 'If-Modified-Since' => 'Sun, 06 Nov 1994 08:49:37 GMT', Range => 'bytes=0-1'],
        'authorization' => [Authorization => 'Basic YTpi', 'Proxy-Authorization' => 'Basic YTpi'],
        'set and unset' => ['X-Set' => 'client', 'X-Unset' => 'client'],
        'Expect that is none' => [Expect => 'something'],
        'an empty one'  => ['X-Empty' => ''],
        'bytes above 127' => ['X-A' => "\xe4\xf6"],
        'Proxy'         => [Proxy => 'http://evil.example'],
        'X-Forwarded-Proto' => ['X-Forwarded-Proto' => 'https'],
        'Accept-Encoding'   => ['Accept-Encoding' => 'gzip'],
    );
    for my $base (qw(plain preserve noadd bal rewrite env-chain-auth unix)) {
        same("$base: $_", request(GET => "/$base/a", $fields{$_})) for sort keys %fields;
    }
    same('HTTP/1.0', "GET /plain/a HTTP/1.0\r\n\r\n");
    same('HTTP/1.0 with Host', "GET /preserve/a HTTP/1.0\r\nHost: other.example:8080\r\n\r\n");
    same('HTTP/1.0 keep-alive', "GET /plain/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    same('another Host', request(GET => '/preserve/a', [Host => 'other.example']));
    same('an absolute URL', "GET http://localhost:\@PORT\@/plain/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
};

subtest 'request bodies' => sub {
    my $long = pattern(0, 100_000);
    for my $base (qw(plain unix bal env-force-proxy-request-1.0 env-proxy-nokeepalive env-proxy-sendcl env-proxy-sendchunked env-proxy-sendchunks env-proxy-initial-not-pooled)) {
        same("$base: Content-Length", request(POST => "/$base/a", ['Content-Type' => 'text/plain'], 'a body'));
        same("$base: none", request(POST => "/$base/a", ['Content-Length' => 0]));
        same("$base: long", request(POST => "/$base/a", [], $long));
        same("$base: chunked", request(POST => "/$base/a", [], 'a chunked body', chunked => 5));
        same("$base: long and chunked", request(POST => "/$base/a", [], $long, chunked => 5000));
        same("$base: chunked and empty", request(POST => "/$base/a", ['Transfer-Encoding' => 'chunked']) . "0\r\n\r\n");
        same("$base: GET", request(GET => "/$base/a"));
    }
    same('chunked with trailers', request(POST => '/plain/a', [Trailer => 'X-T'], 'body', chunked => 2, trailers => ['X-T' => 'y']));
    same('a chunk size that is none', request(POST => '/plain/a', ['Transfer-Encoding' => 'chunked', Connection => 'close']) . "xyz\r\n");
    same('a length that is none', request(POST => '/plain/a', ['Content-Length' => 'abc']));
    same('two lengths', request(POST => '/plain/a', ['Content-Length' => 4, 'Content-Length' => 5]) . 'body');
    same('length and chunks', request(POST => '/plain/a', ['Content-Length' => 4, 'Transfer-Encoding' => 'chunked', Connection => 'close']) . "4\r\nbody\r\n0\r\n\r\n");
};

# An answer that is there as a whole may get a length; HEAD needs neither.
my $any_framing = sub {
    my ($seen) = @_;

    $seen->{headers} = [grep { !/^(?:Content-Length|Transfer-Encoding):/ } @{ $seen->{headers} }];
    $seen->{end} = 'complete' if $seen->{end} eq 'closed';
    return;
};
subtest 'answers' => sub {
    my $play = sub { return play => [http_answer(@_)] };
    same("status $_", request(GET => '/plain/a'), $play->($_, ['X-A' => 'b'], $_ =~ /^(?:204|304)$/ ? undef : 'text'))
        for 200, 201, 202, 203, 206, 226, 300, 301, 303, 307, 308, 304, 204, 205, 400, 401, 403, 404, 407, 409, 410, 413, 416, 418, 429, 451, 500, 501, 502, 503, 504, 507, 599;
    same("$_->[0], HEAD", request(HEAD => '/plain/a'), play => [$_->[1]], but => $any_framing)
        for ['length', http_answer(200, ['Content-Length' => 5])], ['chunked', http_answer(200, ['Transfer-Encoding' => 'chunked'])],
            ['nothing', [http_answer(200, []), cut]];

    same('HEAD and an error', request(HEAD => '/plain/a'), $play->(404, ['Content-Length' => 10], undef));
    same('204 with a length', request(GET => '/plain/a'), $play->(204, ['Content-Length' => 0], undef));
    same('304 with a length', request(GET => '/plain/a', ['If-None-Match' => '"a"']), $play->(304, [ETag => '"a"', 'Content-Length' => 5], undef));
    same('chunked', request(GET => '/plain/a'), $play->(200, [], 'a chunked body', chunked => 5), but => $any_framing);
    same('chunked, to HTTP/1.0', "GET /plain/a HTTP/1.0\r\n\r\n", $play->(200, [], 'a chunked body', chunked => 5), but => $any_framing);
    same('chunked with trailers', request(GET => '/plain/a', [TE => 'trailers']), $play->(200, [Trailer => 'X-T'], 'a chunked body', chunked => 5, trailers => ['X-T' => 'y']), but => $any_framing);
    same('until the end', request(GET => '/plain/a'), play => [[http_answer(200, [], 'a body', length => undef), cut]], but => $any_framing);
    same('until the end, to HTTP/1.0', "GET /plain/a HTTP/1.0\r\n\r\n", play => [[http_answer(200, [], 'a body', length => undef), cut]], but => $any_framing);
    same('an empty body', request(GET => '/plain/a'), $play->(200, [], ''));
    same('another reason', request(GET => '/plain/a'), $play->(200, [], 'x', reason => 'Very Well'));
    same('HTTP/1.0', request(GET => '/plain/a'), $play->(200, [], 'x', version => '1.0'));
    same('Content-Encoding', request(GET => '/plain/a', ['Accept-Encoding' => 'gzip']), $play->(200, ['Content-Encoding' => 'gzip', Vary => 'Accept-Encoding'], "\x1f\x8b"));
    my %fields = (
        'hop by hop'  => ['Keep-Alive' => 'timeout=5', 'Proxy-Authenticate' => 'Basic realm="a"', Upgrade => 'h2c', Connection => 'Upgrade, X-Gone', 'X-Gone' => 'a', 'X-A' => 'b'],
        'twice'       => ['Set-Cookie' => 'a=b', 'Set-Cookie' => 'c=d', 'X-A' => 'b', 'X-A' => 'c', Link => '</a>', Link => '</b>'],
        'dates'       => [Date => 'Sun, 06 Nov 1994 08:49:37 GMT', 'Last-Modified' => 'Sun, 06 Nov 1994 08:49:37 GMT', Expires => '0'],
        'own'         => [Server => 'backend/1', Via => '1.1 other', 'X-Added' => 'by backend', 'Content-Type' => 'text/html; charset=utf-8'],
        'authenticate'=> ['WWW-Authenticate' => 'Basic realm="a"'],
    );
    same("fields: $_", request(GET => '/plain/a'), $play->(200, $fields{$_}, 'x')) for sort keys %fields;
    same("redirect to $_", request(GET => '/plain/a'), $play->(302, [Location => $_], 'x'))
        for "$to/b", "http://127.0.0.1:$port/b?c=d", 'http://other.example/b', '/b', "//127.0.0.1:$port/b";
    same("Content-Location, URI: $to/b", request(GET => '/plain/a'), $play->(200, ['Content-Location' => "$to/b", URI => "$to/b", Destination => "$to/b"], 'x'));
    same("cookie $_", request(GET => '/plain/a'), $play->(200, ['Set-Cookie' => $_], 'x'))
        for 'a=b; Path=/; Domain=backend.example', 'a=b; path=/x; Secure; HttpOnly', 'a=b; domain=other.example', 'a=b';
    for my $base (qw(override override404)) {
        same("$base: $_", request(GET => "/$base/a"), $play->($_, ['X-A' => 'b', 'WWW-Authenticate' => 'Basic realm="a"'], 'of the backend')) for 200, 302, 404, 500, 503;
        same("$base: 401", request(GET => "/$base/a"), $play->(401, ['WWW-Authenticate' => 'Basic realm="a"'], 'of the backend', reason => 'Unauthorized'));
        same("$base: HEAD $_", request(HEAD => "/$base/a"), $play->($_, ['Content-Length' => 5], undef)) for 404;
        same("$base: the next request on the connection", request(GET => "/$base/a"), $play->(404, [], 'x' x 5000));
    }
};

subtest 'interim answers' => sub {
    my $final = http_answer(200, [], 'x');
    for my $base (qw(plain env-proxy-interim-response env-proxy-interim-suppress)) {
        same("$base: $_->[0]", request(GET => "/$base/a"), play => [$_->[1] . $final])
            for ['103', "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"], ['102', "HTTP/1.1 102 Processing\r\n\r\n"],
                ['100', "HTTP/1.1 100 Continue\r\n\r\n"], ['three of them', "HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n" x 3];
    }
    same('103 to HTTP/1.0', "GET /plain/a HTTP/1.0\r\n\r\n", play => ["HTTP/1.1 103 Early Hints\r\n\r\n$final"]);
};

subtest 'forward proxy' => sub {
    same('http URL', "GET $to/a?b=c HTTP/1.1\r\nHost: 127.0.0.1:$port\r\nProxy-Connection: keep-alive\r\n\r\n");
    same('http URL, POST', "POST $to/a HTTP/1.1\r\nHost: 127.0.0.1:$port\r\nContent-Length: 4\r\n\r\nbody");
    same('another Host', "GET $to/a HTTP/1.1\r\nHost: other.example\r\n\r\n");
    same('HTTP/1.0', "GET $to/a HTTP/1.0\r\n\r\n");
    same('ProxyRemote', "GET http://far.example/a?b HTTP/1.1\r\nHost: far.example\r\nProxy-Authorization: Basic YTpi\r\n\r\n");
    same('ProxyRemote, POST', "POST http://far.example/a HTTP/1.1\r\nHost: far.example\r\nContent-Length: 4\r\n\r\nbody");
    same('excluded', request(GET => '/secret/a'));
};

# The rest is not for comparing: order and time matter.
my $httpd = $httpd{usher};
subtest 'Expect: 100-continue, end to end' => sub {
    $backend->clear;
    $backend->on('/wait', [leave_body, stall(0.3), say_continue, read_body, http_answer(200, [], 'got it')]);
    $backend->on('/no', [leave_body, http_answer(417, [Connection => 'close'], 'no')]);
    $backend->on('/final', [leave_body, http_answer(200, [], 'not needed')]);
    my $client = Usher::Client->new(port => $httpd->port);
    my $start = time;
    $client->send(http_request(POST => '/plain/wait', [Expect => '100-continue', 'Content-Length' => 4]));
    my $first = $client->answer(interim => 1);
    is($first->{status}, 100, '100 comes from the backend');
    cmp_ok(time - $start, '>', 0.25, 'when the backend says it');
    $client->send('body');
    is(tells($client->answer), '200 complete got it', 'then the answer');
    is(($backend->requests('/wait'))[0]{header}{expect}, '100-continue', 'the backend was asked');
    for my $uri (qw(no final)) {
        # After a second without an answer httpd asks for the body itself.
        my $answer;
        ok((in_calm {
            $client = Usher::Client->new(port => $httpd->port);
            $client->send(http_request(POST => "/plain/$uri", [Expect => '100-continue', 'Content-Length' => 4]));
            $answer = $client->answer;
            !@{ $answer->{interim} };
        }), "$uri: no 100");
        is($answer->{status}, $uri eq 'no' ? 417 : 200, 'but the answer itself');
    }
};

subtest 'early answers' => sub {
    for my $how ('cut', 'rst', 'stay') {
        for my $status (413, 401, 200) {
            $backend->clear;
            my $answer = http_answer($status, [Connection => 'close'], 'an early answer');
            $backend->on('/up', [read_body(1000), $answer, $how eq 'cut' ? cut : $how eq 'rst' ? (stall(0.1), rst) : stall(2)]);
            for my $chunked (0, 1) {
                my $client = Usher::Client->new(port => $httpd->port);
                if ($chunked) {
                    $client->send(http_request(POST => '/plain/up', ['X-Id' => "$how-$status-$chunked"], pattern(0, 2_000_000), chunked => 10_000), 5);
                } else {
                    $client->send(http_request(POST => '/plain/up', ['X-Id' => "$how-$status-$chunked", 'Content-Length' => 2_000_000]));
                    $client->send_pattern(2_000_000, 5);
                }
                my $got = $client->answer(timeout => 5);
                is(tells($got), "$status complete an early answer", "$status, then $how" . ($chunked ? ', chunked' : ''));
                is(scalar $backend->deliveries("$how-$status-$chunked"), 1, 'sent once');
            }
        }
    }
};

# A client that pauses hears of it all the same, also where httpd has a page of its own.
# (409: httpd ends the connection after a 413 by itself.)
subtest 'early answers to a client that pauses' => sub {
    for my $base (qw(plain override)) {
        $backend->clear;
        $backend->on('/up', [read_body(16_384), http_answer(409, [Connection => 'close'], 'an early answer'), stall(3)]);
        my $client = Usher::Client->new(port => $httpd->port);
        $client->send(http_request(POST => "/$base/up", ['X-Id' => "pauses-$base", 'Content-Length' => 100_000]) . 'b' x 20_000);
        my $start = time;
        my $answer = $client->answer(timeout => 5);
        is($answer->{status}, 409, "$base: the answer");
        like($answer->{body}, $base eq 'plain' ? qr/^an early answer$/ : qr/Conflict/, 'its page');
        soon($start, 1, 'at once');
    }
};

subtest 'events are passed on at once' => sub {
    $backend->clear;
    my $head = http_answer(200, ['Content-Type' => 'text/event-stream', 'Transfer-Encoding' => 'chunked']);
    my @events = map { sprintf "%x\r\n%s\r\n", length, $_ } map { "data: $_\n\n" } 1 .. 3;
    $backend->on('/events', [$head, map({ ($_, hold('event')) } @events), "0\r\n\r\n"]);
    $backend->on('/plainevents', [http_answer(200, ['Content-Type' => 'text/event-stream', Connection => 'close']), "data: 1\n\n", hold('late'), cut]);
    for my $base (qw(plain bal unix)) {
        next if $base eq 'unix';
        my $client = Usher::Client->new(port => $httpd->port);
        my $start = time;
        $client->send(http_request(GET => "/$base/plainevents"));
        ok($client->until(sub { ${ $_[0] } =~ /data: 1\n\n/ || undef }, 2), "$base: an event comes while the answer goes on");
        soon($start, 1, 'at once');
        $client->reset;
    }
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(GET => '/plain/events'));
    ok($client->until(sub { ${ $_[0] } =~ /data: 1\n\n/ || undef }, 2), 'chunked: the first one');
    $backend->release('event');
    my $answer = $client->answer;
    ok($answer->{complete} && $answer->{body} eq "data: 1\n\ndata: 2\n\ndata: 3\n\n", 'and the rest') or diag explain $answer;
    # A head without a body, yet.
    $backend->on('/head', [http_answer(200, ['X-Early' => 'yes'], undef, length => 4), hold('head'), 'body']);
    $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(GET => '/plain/head'));
    ok($client->until(sub { ${ $_[0] } =~ /X-Early: yes\r\n(?:.*\r\n)*\r\n/ || undef }, 2), 'a head alone, too');
    $backend->release('head');
    is($client->answer->{body} // '', 'body', 'and its body later');
};

subtest 'an upgrade' => sub {
    $backend->clear;
    my $switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    $switching->on('/ws', [$switch, 'hello', stall(0.2), 'again', cut]);
    my @upgrade = (Connection => 'Upgrade', Upgrade => 'websocket');
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(GET => '/upgrade/ws', [@upgrade, 'X-Id' => 'ws']));
    my ($all, $how) = $client->read_all(5);
    like($all, qr{^HTTP/1\.1 101 .*\r\n\r\nhelloagain\z}s, 'a tunnel, both pieces pass');
    is($how, 'closed', 'and its end');
    my ($got) = $switching->deliveries('ws');
    is(lc $got->{header}{upgrade}, 'websocket', 'the backend was asked');
    $client = Usher::Client->new(port => $httpd->port);
    is($client->request(GET => '/plain/ws2', [@upgrade, 'X-Id' => 'no'])->{status}, 404, 'without upgrade= it is a plain request');
    is((($backend->deliveries('no'))[0] // {})->{header}{upgrade}, undef, 'without Upgrade');
};

subtest 'large bodies' => sub {
    $backend->clear;
    $backend->on('/large', [http_answer(200, [], undef, length => 20_000_000), fill(20_000_000)]);
    $backend->on('/chunks', [http_answer(200, ['Transfer-Encoding' => 'chunked']), fill(5_000_000, as => 'chunked'), "0\r\n\r\n"]);
    $backend->on('/up', echo);
    is(ask($httpd, GET => '/plain/large')->{sha1}, pattern_sha1(20_000_000), 'down');
    is(ask($httpd, GET => '/plain/chunks')->{sha1}, pattern_sha1(5_000_000), 'down in chunks');
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(POST => '/plain/up', ['Content-Length' => 20_000_000]));
    $client->send_pattern(20_000_000);
    is($client->answer->{body}, 'POST /up 20000000 ' . pattern_sha1(20_000_000) . "\n", 'up');
};

$httpd->log->tolerate(qr/USHER2\d\d\d|AH\d+/);
$_->finish('httpd lives') for @httpd{qw(usher stock)};
$_->stop for $backend, $unix, $switching, $far;
done_testing;
