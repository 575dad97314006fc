# The head of an answer as the client gets it: line by line what mod_proxy_http
# makes of the same one, in the same order; and where a malformed one is refused
# instead. (What else is malformed is in malformed.t.)
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::SameTest;
use Usher::Wait;

my $backend = Usher::Backend->new;
my $unix = Usher::Backend->new(unix => 1);
my ($to, $port) = ($backend->url, $backend->port);
my $socket = 'unix:' . $unix->path;

# Places that differ in a line or two, all proxied alike.
my %places = (
    plain     => '',
    reverse   => "ProxyPassReverse $to/\nProxyPassReverse http://backend.example:8080/app/\nProxyPassReverseCookieDomain backend.example www.example\n"
        . "ProxyPassReverseCookiePath /app /reverse",
    preserve  => "ProxyPreserveHost On\nProxyPassReverse $to/",
    override  => 'ProxyErrorOverride On',
    some      => 'ProxyErrorOverride On 404 503',
    header    => "Header set X-A \"by httpd\"\nHeader append X-B \"by httpd\"\nHeader unset X-C\nHeader add Set-Cookie own=1\nHeader merge Vary Own\n"
        . "Header edit Location ^http https\nHeader always set X-Always 1\nHeader echo ^X-Echo",
    early     => 'Header onsuccess set X-A "by httpd"',
    old       => 'SetEnv force-response-1.0 1',
    nogzip    => 'SetOutputFilter DEFLATE',
    expires   => "ExpiresActive On\nExpiresDefault A60",
    type      => 'ForceType text/x-forced',
    charset   => 'AddDefaultCharset utf-8',
    session   => 'Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/"',
);
# What can be said for a virtual host only.
my %vhosts = (
    'via-on.test'    => 'ProxyVia On',
    'via-full.test'  => 'ProxyVia Full',
    'via-block.test' => 'ProxyVia Block',
    'canonical.test' => "UseCanonicalName On\nProxyVia On",
    'ignore.test'    => 'ProxyBadHeader Ignore',
    'body.test'      => 'ProxyBadHeader StartBody',
    'pages.test'     => "ErrorDocument 404 /plain/page\nErrorDocument 503 \"our own 503\"\nErrorDocument 401 \"our own 401\"",
);
my $vhosts = join '', map { "<VirtualHost *>\nServerName $_\n$vhosts{$_}\n</VirtualHost>\n" } sort keys %vhosts;
my $locations = join '', map { "<Location /$_/>\nProxyPass $to/\n$places{$_}\n</Location>\n" } sort keys %places;
my $conf = <<"EOT" . $locations . <<"EOT" . $vhosts;
ProxyTimeout @{[ 5 * patience ]}
ProxyPass /unix/ "$socket|http://backend.example/"
ProxyPassReverse /unix/ http://backend.example/
ProxyPass /bal/ balancer://one/
ProxyPassReverse /bal/ balancer://one/
<Proxy balancer://one>
    BalancerMember $to route=one
</Proxy>
ProxyPass /upgrade/ $to/upgrade/ upgrade=websocket
ProxyPass /short/ $to/short/ responsefieldsize=256
EOT
<VirtualHost *>
    ServerName localhost
</VirtualHost>
EOT
my $pair = Usher::SameTest->new($conf, backends => [$backend, $unix], modules => [qw(headers env filter deflate expires)]);

sub request { return http_request(@_) }

# The same answer through both. $lines: what the head has behind its first line, without
# an end; the rest as for same(). %opt: first => the first line, body, request.
sub same {
    my ($name, $lines, %opt) = @_;
    my $body = exists $opt{body} ? $opt{body} : 'a body';
    my $head = ($opt{first} // 'HTTP/1.1 200 OK') . "\r\n" . join '', map { "$_\r\n" } @$lines;

    $head .= 'Content-Length: ' . length($body) . "\r\n" if defined $body && !$opt{open};
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $pair->play($head . "\r\n" . ($body // ''), $opt{open} ? cut : ());
    return $pair->same($name, $opt{request} // request(GET => '/plain/a'),
        but => sub { _cookies_last($_[0]); $opt{but}->($_[0]) if $opt{but} });
}

# mod_proxy_http moves them behind the other fields.
sub _cookies_last {
    my ($got) = @_;

    for my $lines ($got->{answer}, @{ $got->{interim} }) {
        @$lines = ((grep { !/^Set-Cookie:/i } @$lines), grep { /^Set-Cookie:/i } @$lines);
    }
    return;
}

# An answer that is there as a whole may get a length.
sub any_framing {
    my ($got) = @_;

    $got->{answer} = [grep { !/^(?:Content-Length|Transfer-Encoding):/ } @{ $got->{answer} }];
    return;
}

# Of several blanks where a line was folded one is as good.
sub one_blank {
    my ($got) = @_;

    s/:\K[ \t]+|[ \t]+/ /g for @{ $got->{answer} };
    return;
}

# What comes of an answer here, where mod_proxy_http does something else with it.
sub ours {
    my ($bytes, $request) = @_;

    $pair->play($bytes);
    return $pair->through('usher', $request // request(GET => '/plain/a'));
}

my @bases = qw(plain reverse preserve header unix bal override type charset expires);
my %fields = (
    'none'              => [],
    'usual ones'        => ['Date: Sun, 06 Nov 1994 08:49:37 GMT', 'Server: backend/1', 'Content-Type: text/html', 'ETag: "a"',
                            'Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT', 'Cache-Control: no-cache', 'Vary: Cookie', 'Accept-Ranges: bytes'],
    'thirty'            => [map { "X-$_: value $_" } 1 .. 30],
    'a hundred'         => [map { "X-$_: value $_" } 1 .. 100],
    'long ones'         => [map { "X-$_: " . 'v' x (1000 * $_) } 1 .. 7],
    'twice each'        => [map { ("X-$_: a", "x-$_: b") } 1 .. 10],
    'duplicates'        => ['X-A: b', 'Vary: a', 'X-A: c', 'vary: b', 'Link: </a>', 'Link: </b>', 'X-A: d', 'WWW-Authenticate: A', 'WWW-Authenticate: B'],
    'cookies'           => ['Set-Cookie: a=b', 'X-A: b', 'Set-Cookie: c=d; Path=/app/x; Domain=backend.example', 'set-cookie: e=f; path=/app; secure',
                            'SET-COOKIE: g=h; DOMAIN=.backend.example; PATH=/other; HttpOnly', 'Set-Cookie: i', 'Set-Cookie:', 'Set-Cookie: ; path=/app',
                            'Set-Cookie: j=k; Domain=backend.example; Path=/app; Domain=backend.example', 'Set-Cookie2: l=m; Path=/app', 'Set-Cookie: n="; Path=/app"'],
    'locations'         => ["Location: $to/b?c", "Content-Location: $to/d", "URI: $to/e", "Destination: $to/f", "location: http://backend.example:8080/app/g",
                            "X-Location: $to/h", 'Location: /app/i', "Location: http://backend.example/j", 'Content-Location: k', "destination: $to", "Location: balancer://one/l"],
    'old dates'         => ['Date: Sunday, 06-Nov-94 08:49:37 GMT', 'Expires: Sun Nov  6 08:49:37 1994', 'Last-Modified: Sun, 6 Nov 1994 08:49:37 GMT', 'X-Date: Sunday, 06-Nov-94 08:49:37 GMT'],
    'other dates'       => ['date: Sun, 06 Nov 1994 08:49:37 +0100', 'EXPIRES: 0', 'last-modified: yesterday'],
    'odd dates'         => ['Date: Sun, 06 Nov 1994 08:49:37 X', 'Expires: -1', 'Last-Modified: Sun, 99 Nov 1994 08:49:37 GMT'],
    'dates twice'       => ['Date: Sun, 06 Nov 1994 08:49:37 GMT', 'Date: Mon, 07 Nov 1994 08:49:37 GMT', 'Expires: 0', 'Expires: Sun Nov  6 08:49:37 1994', 'Last-Modified: x', 'Last-Modified: Sun Nov  6 08:49:37 1994'],
    'no dates'          => ['Date:', 'Expires:', 'Last-Modified:'],
    'hop by hop'        => ['Keep-Alive: timeout=5', 'Proxy-Authenticate: Basic realm="a"', 'TE: trailers', 'Trailer: X-T', 'Upgrade: h2c', 'Proxy-Connection: close', 'X-A: b'],
    'HOP BY HOP'        => ['KEEP-ALIVE: timeout=5', 'PROXY-AUTHENTICATE: Basic realm="a"', 'te: trailers', 'TRAILER: X-T', 'upgrade: h2c', 'PROXY-CONNECTION: close', 'X-A: b'],
    'hop by hop twice'  => [map { ("$_: a", 'X-A: b', "$_: c") } 'Keep-Alive', 'Proxy-Authenticate', 'TE', 'Trailer', 'Upgrade', 'Proxy-Connection'],
    'Via'               => ['Via: 1.1 other', 'X-A: b', 'via: 1.0 another'],
    'server'            => ['server: backend/1', 'SERVER: backend/2'],
    'blanks'            => ['X-A:b', 'X-B:   c', "X-C:\td", "X-D: e \t ", "X-E:  f  g\th ", 'X-F: ', 'X-G:', "X-H:\t", 'X-I: :', 'X-J:k:l'],
    'bytes above 127'   => ["X-A: \xe4\xf6", "Content-Type: text/plain; a=\xff"],
    'odd names'         => ['!#$%&\'*+-.^_`|~09aZ: b', 'X_A: c'],
    'odd letters'       => ['cONTENT-tYPE: text/plain', 'eTAG: "a"', 'x-powered-BY: b', 'CACHE-CONTROL: c', 'CONTENT-location: /x', 'www-AUTHENTICATE: Basic'],
    'no content type'   => ['Content-Encoding: x', 'Content-Language: de', 'Content-Language: en'],
    'types'             => ['Content-Type: Text/HTML; Charset=UTF-8'],
    'several types'     => ['Content-Type: text/html', 'Content-Type: text/plain; charset=x', 'X-A: b', 'content-type: image/png'],
    'an empty type'     => ['Content-Type:'],
    'an odd type'       => ['Content-Type: nothing'],
    'a plain type'      => ['Content-Type: text/plain'],
    'a type with blanks'=> ['Content-Type:  text/html ; charset = "a b" ;x=y  '],
    'what httpd adds'   => ['Age: 1', 'Allow: GET', 'Accept-Ranges: none', 'X-Always: 2', 'X-Echo: no', 'Vary: Own', 'Content-MD5: a', 'Status: 404', 'X-Sendfile: /etc/passwd', 'Alt-Svc: clear'],
);

subtest 'fields' => sub {
    for my $base (@bases) {
        same("$base: $_", $fields{$_}, request => request(GET => "/$base/a", ['X-Echo' => 'yes'])) for sort keys %fields;
    }
    same("HTTP/1.0: $_", $fields{$_}, first => 'HTTP/1.0 200 OK') for sort keys %fields;
    same("to HTTP/1.0: $_", $fields{$_}, request => "GET /plain/a HTTP/1.0\r\n\r\n") for sort keys %fields;
    same("304: $_", $fields{$_}, first => 'HTTP/1.1 304 Not Modified', body => undef) for sort keys %fields;
    same("to HEAD: $_", [@{ $fields{$_} }, 'Content-Length: 5'], request => request(HEAD => '/plain/a'), body => undef) for sort keys %fields;
    for my $base (qw(old nogzip early session)) {
        same("$base: $_", $fields{$_}, request => request(GET => "/$base/a")) for 'usual ones', 'cookies', 'none', 'types', 'Via';
    }
};

subtest 'folded lines' => sub {
    for my $base (qw(plain reverse header)) {
        same("$base: $_->[0]", $_->[1], request => request(GET => "/$base/a"), but => \&one_blank)
            for ['with more', ['X-A: b', '  c', "\td", 'X-B: e', 'Content-Type: text/plain;', ' charset=utf-8']], ['with nothing', ['X-A: b', ' ', 'X-B: c']],
                ['at once', ['X-A:', ' b']], ['a location', ["Location: $to/b", '  c']], ['a cookie', ['Set-Cookie: a=b;', ' path=/app;', "\tsecure"]];
    }
};

subtest 'virtual hosts' => sub {
    for my $host (sort keys %vhosts) {
        for my $base (qw(plain override some header)) {
            same("$host: $base: $_", $fields{$_}, request => request(GET => "/$base/a", [Host => $host])) for 'none', 'usual ones', 'Via', 'cookies', 'hop by hop';
            same("$host: $base: $_", ['X-A: b', 'Via: 1.1 a', 'WWW-Authenticate: Basic realm="a"', 'Set-Cookie: c=d'], first => "HTTP/1.1 $_",
                request => request(GET => "/$base/a", [Host => $host])) for '401 Unauthorized', '404 Not Found', '503 Service Unavailable';
        }
        same("$host: letters", $fields{Via}, request => request(GET => '/plain/a', [Host => uc "$host:81"]));
        same("$host: HTTP/1.0", $fields{Via}, request => "GET /plain/a HTTP/1.0\r\nHost: $host\r\n\r\n");
    }
};

my @tokens = ('close', 'keep-alive', 'Close', 'CLOSE, X-A', 'X-A', 'X-A, X-B', 'x-a,x-b', 'X-A,,X-B', ',X-A', 'X-A,', ', ,X-A ,', '', ' ', ',', 'Set-Cookie',
    'Content-Type', 'Date, Server', 'Location', 'Via', 'Connection', 'ETag, close, Vary', 'Transfer-Encoding', 'Upgrade', 'X-None', 'keep-alive, close', 'X-A, X-A', "X-A\t,\tX-B", 'X-A' x 100);
subtest 'Connection' => sub {
    my @others = ('X-A: b', 'Set-Cookie: a=b', 'ETag: "a"', 'Vary: c', 'X-B: d', 'Content-Type: text/plain', 'Date: Sun, 06 Nov 1994 08:49:37 GMT', 'Server: e', 'Via: 1.1 f', 'Location: /g', 'Set-Cookie: h=i');
    for my $tokens (@tokens) {
        same("$tokens, last", [@others, "Connection: $tokens"]);
        same("$tokens, first", ["connection: $tokens", @others]);
        same("$tokens, 304", ["Connection: $tokens", @others], first => 'HTTP/1.1 304 Not Modified', body => undef);
        same("$tokens, until the end", [@others, "Connection: $tokens"], open => 1, but => \&any_framing);
    }
    same('two lines', ['Connection: X-A', @others, 'CONNECTION: X-B, close']);
    same('with Upgrade', ['Connection: Upgrade', 'Upgrade: websocket', @others], request => request(GET => "/$_/a")) for qw(plain upgrade);
    same('with another Upgrade', ['Connection: Upgrade', 'Upgrade: h2c', @others], request => request(GET => '/upgrade/a'));
    same('status 426', ['Connection: Upgrade', 'Upgrade: WebSocket', @others], first => 'HTTP/1.1 426 Upgrade Required', request => request(GET => '/upgrade/a'));
};

subtest 'the first line' => sub {
    for my $reason ('OK', '', ' ', 'Very Well Indeed', 'OK ', '  OK', "\xe4", 'x' x 1000, '200 200', 'OK: yes', '<b>') {
        same("200, reason \"$reason\"", ['X-A: b'], first => "HTTP/1.1 200 $reason");
        same("404, reason \"$reason\"", ['X-A: b'], first => "HTTP/1.1 404 $reason");
    }
    same('no blank behind the status', ['X-A: b'], first => 'HTTP/1.1 200');
    same("HTTP/1.0 $_", ['X-A: b'], first => "HTTP/1.0 $_") for '200 OK', '404', '404 No';
    same("HTTP/1.0 with $_", [$_, 'X-A: b'], first => 'HTTP/1.0 200 OK') for 'Connection: keep-alive', 'Connection: close';
    same('HTTP/1.2', ['X-A: b'], first => 'HTTP/1.2 200 OK');
    for my $status (200 .. 208, 226, 299, 300 .. 308, 399, 400 .. 418, 421 .. 431, 451, 499, 500 .. 511, 520, 599, 600, 999) {
        my @bare = $status =~ /^(?:204|304)$/ ? (body => undef) : ();
        same("$_: $status", ['X-A: b', 'WWW-Authenticate: Basic realm="a"', 'Location: /b', 'Content-Type: text/plain', 'Set-Cookie: a=b'], first => "HTTP/1.1 $status Own", @bare,
            request => request(GET => "/$_/a")) for 'plain', $status < 400 ? 'override' : ();
        same("HEAD: $status", ['X-A: b', 'Content-Length: 5'], first => "HTTP/1.1 $status", body => undef, request => request(HEAD => '/plain/a'));
    }
    same("$_->[0]: $_->[1]", ['X-A: b', 'WWW-Authenticate: Basic realm="a"', 'Set-Cookie: a=b'], first => "HTTP/1.1 $_->[1]", request => request(GET => "/$_->[0]/a"))
        for map { my $base = $_; map { [$base, $_] } '400 Bad Request', '401 Unauthorized', '403 Forbidden', '404 Not Found', '500 Internal Server Error', '503 Service Unavailable' } qw(override some);
    same("$_ with a length", ['Content-Length: 5', 'X-A: b'], first => "HTTP/1.1 $_ Own", body => undef) for 204, 304;
    same("205 without a length", ['X-A: b'], first => "HTTP/1.1 205 Own", body => '');
};

subtest 'lines without a colon' => sub {
    for my $host (qw(localhost ignore.test)) {
        for my $line ('nonsense', 'two words', $host eq 'localhost' ? () : 'HTTP/1.0 200 OK') {
            same("$host: $line, $_->[0]", $_->[1], request => request(GET => '/plain/a', [Host => $host]))
                for ['first', [$line, 'X-A: b']], ['amid', ['X-A: b', $line, 'X-B: c']], ['last', ['X-A: b', $line]];
        }
    }
};

subtest 'interim answers' => sub {
    # (A Content-Type would stay for the final one with mod_proxy_http.)
    for my $lines ([], [grep { !/^Content-Type/ } @{ $fields{'usual ones'} }], $fields{'hop by hop'}, $fields{cookies}, ['Connection: X-A, Link', 'X-A: b', 'Link: </a>', 'link: </b>']) {
        for my $first ('103 Early Hints', '102 Processing', '199') {
            my $interim = "HTTP/1.1 $first\r\n" . join('', map { "$_\r\n" } @$lines) . "\r\n";
            same("$_: $first: " . @$lines, ['X-A: final'], first => $interim . 'HTTP/1.1 200 OK', request => request(GET => "/$_/a")) for qw(plain header);
        }
    }
};

subtest 'where it is not the same' => sub {
    my $got = ours("HTTP/1.1 200 OK\r\nX-A : b\r\nX-B\t: c\r\nContent-Length : 1\r\n\r\nx");
    is_deeply([grep { /^X/ } @{ $got->{answer} }], ['X-A: b', 'X-B: c'], 'blanks before the colon are removed (RFC 9112, 5.1)');
    is("$got->{end} $got->{body}", 'complete x', 'there is no other harm in them');
    $got = ours("HTTP/1.1 200 OK\r\nConnection: Content-Length, X-A\r\nX-A: b\r\nContent-Length: 1\r\n\r\nx");
    is("$got->{end} $got->{body}", 'complete x', 'Connection names Content-Length: it counts all the same');
    is(scalar(grep { /^X-A/ } @{ $got->{answer} }), 0, 'what else it names is removed');
    $got = ours("HTTP/1.1 404 So Sorry\r\nContent-Length: 1\r\n\r\nx", request(GET => '/override/a'));
    is($got->{answer}[0], 'HTTP/1.1 404 Not Found', "httpd's own page has its own reason");
    $got = ours("HTTP/1.1 200 OK\r\nHTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx");
    is($got->{answer}[0], 'HTTP/1.1 502 Bad Gateway', 'a status line among the fields has no colon either');
    $got = ours("HTTP/1.1 103 Early Hints\r\nContent-Type: text/css\r\n\r\n" . http_answer(200, [], 'x'));
    is(scalar(grep { /^Content-Type/ } @{ $got->{answer} }), 0, 'the type of an interim answer is its own');
};

$pair->finish;
$_->stop for $backend, $unix;
done_testing;
