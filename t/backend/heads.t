# The head of a request as it goes to the backend: line by line what
# mod_proxy_http makes of the same one, in the same order.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::SameTest;
use Usher::Wait;

my $backend = Usher::Backend->new;
my $unix = Usher::Backend->new(unix => 1);
my $six = eval { Usher::Backend->new(host => '::1') };
my $far = Usher::Backend->new;    # a proxy, as it were
my ($to, $port) = ($backend->url, $backend->port);
my $socket = 'unix:' . $unix->path;

# Places that differ in a line or two, all proxied alike.
my $auth = "AuthType Basic\nAuthName a\nAuthUserFile \@HTDOCS\@/users\nRequire valid-user";
my %places = (
    plain     => '',
    preserve  => 'ProxyPreserveHost On',
    noadd     => 'ProxyAddHeaders Off',
    presnoadd => "ProxyAddHeaders Off\nProxyPreserveHost On",
    old       => 'SetEnv force-proxy-request-1.0 1',
    once      => 'SetEnv proxy-nokeepalive 1',
    nohundred => 'Proxy100Continue Off',
    chain     => 'SetEnv Proxy-Chain-Auth 1',
    auth      => $auth,
    authchain => "$auth\nSetEnv Proxy-Chain-Auth 1",
);
# What a module of others does just before the head is sent.
my %hooks = (
    tell      => 'SetEnv fixups-tell 1',
    copy      => "SetEnv fixups-copy 1\nSetEnv fixups-add \"X-A: of the hook\"",
    set       => 'SetEnv fixups-set "X-A: of the hook"',
    add       => 'SetEnv fixups-add "X-A: of the hook"',
    unset     => 'SetEnv fixups-unset X-A',
    sethost   => 'SetEnv fixups-set "Host: of.the.hook"',
    addhost   => 'SetEnv fixups-add "Host: of.the.hook"',
    addhostp  => "SetEnv fixups-add \"Host: of.the.hook\"\nProxyPreserveHost On",
    unsethost => 'SetEnv fixups-unset Host',
    unsethosp => "SetEnv fixups-unset Host\nProxyPreserveHost On",
    unsetxff  => 'SetEnv fixups-unset X-Forwarded-For',
    addxff    => 'SetEnv fixups-add "x-forwarded-for: 192.0.2.9"',
    addconn   => 'SetEnv fixups-add "X-Connection: X-A"',
    setcookie => "SetEnv fixups-set \"Cookie: c=d\"\nSetEnv fixups-tell 1",
);
my @operations = map { my $name = $_; map { "$_ $name" . (/unset/ ? '' : ' "X-A, by httpd"') }
    qw(set append merge add unset setifempty) } qw(X-Forwarded-For X-Forwarded-Host X-Forwarded-Server
    Host Expect Via Connection X-A Proxy-Authorization Keep-Alive Content-Length Transfer-Encoding);
push @operations, 'edit* X-A b by-httpd', 'edit Host o 0', 'add Connection close', 'set Connection X-B early',
    'add X-Forwarded-For 192.0.2.8 early', 'set Expect 100-continue', 'merge Expect 100-continue',
    'add x-a "in other letters"', 'set X-A ""', 'set X-A "%{X-NONE}e"';
$places{"op$_"} = "RequestHeader $operations[$_]" for 0 .. $#operations;

# What can be said for a virtual host only.
my %vhosts = (
    'via-on.test'    => 'ProxyVia On',
    'via-full.test'  => 'ProxyVia Full',
    'via-block.test' => 'ProxyVia Block',
    'canonical.test' => "UseCanonicalName On\nProxyVia On",
    'physical.test'  => "UseCanonicalName On\nUseCanonicalPhysicalPort On\nProxyVia Full",
    'dns.test'       => "UseCanonicalName DNS\nProxyVia On",
    'slashes.test'   => 'AllowEncodedSlashes On',
    'nodecode.test'  => 'AllowEncodedSlashes NoDecode',
    'remote.test'    => "RemoteIPHeader X-Real-IP\nRemoteIPInternalProxy 127.0.0.1\nRemoteIPProxiesHeader X-Proxies",
    'unmerged.test'  => "AllowEncodedSlashes NoDecode\nMergeSlashes Off",
);
my $vhosts = join '', map { "<VirtualHost *>\nServerName $_\n$vhosts{$_}\nRewriteEngine On\n"
    . "RewriteOptions Inherit\n</VirtualHost>\n" } sort keys %vhosts;
my %all = (%places, %hooks);
my $locations = join '', map { "<Location /$_/>\nProxyPass $to/\n$all{$_}\n</Location>\n" } sort keys %all;
my $conf = <<"EOT" . ($six ? "ProxyPass /six/ @{[ $six->url('/') ]}\n" : '') . $locations . <<"EOT" . $vhosts;
ProxyTimeout @{[ 5 * patience ]}
LimitRequestFields 200
LimitRequestFieldSize 70000
<Directory \@HTDOCS\@>
    Require all granted
    Options +Includes
    SetOutputFilter INCLUDES
</Directory>
ProxyPass /nocanon/ $to/ nocanon
ProxyPass /noquery/ $to/ noquery
ProxyPass /mapped/ $to/ mapping=encoded
ProxyPass /deep/ $to/a/b/
ProxyPass /bare $to
ProxyPass /upper/ http://LocalHost:$port/
ProxyPass /ping/ $to/ping/ ping=@{[ 2 * patience ]}
<Location /pingset/>
    ProxyPass $to/ping/
    RequestHeader set Expect other
</Location>
<Location /pingmerge/>
    ProxyPass $to/ping/
    RequestHeader merge Expect 100-continue
    RequestHeader add Expect other
</Location>
ProxyPass /fresh/ $to/fresh/ disablereuse=On
ProxyPass /upgrade/ $to/upgrade/ upgrade=websocket
ProxyPass /any/ $to/any/ upgrade=ANY
ProxyPassMatch ^/match/(.*)\$ $to/\$1
ProxyPassMatch ^/matchtwo/(\\w+)/(.*)\$ $to/\$2/of/\$1
ProxyPassMatch ^/matchquery/(\\w+)\$ $to/q?p=\$1
ProxyPass /unix/ "$socket|http://localhost/"
ProxyPass /unixname/ "$socket|http://Unix.Example/x/"
ProxyPass /unixport/ "$socket|http://unix.example:80/"
ProxyPass /unixother/ "$socket|http://unix.example:8080/"
ProxyPass /unixsix/ "$socket|http://[2001:db8::1]/"
ProxyPass /unixsixport/ "$socket|http://[2001:db8::1]:8080/"
ProxyPass /bal/ balancer://one/
ProxyPass /sticky/ balancer://sticky/path/
<Proxy balancer://one>
    BalancerMember $to
</Proxy>
<Proxy balancer://sticky>
    BalancerMember $to/member route=one
    ProxySet stickysession=JSESSIONID|jsessionid scolonpathdelim=On
</Proxy>
<Proxy balancer://from-rewrite>
    BalancerMember $to/rewritten
</Proxy>
EOT
<LocationMatch ^/inmatch/(.*)\$>
    ProxyPassMatch $to/\$1
</LocationMatch>
<Location /perdir/>
    RewriteEngine On
    RewriteRule ^.*/perdir/(.*)\$ $to/\$1 [P]
</Location>
RewriteEngine On
RewriteRule ^/rewrite/(.*) $to/\$1 [P]
RewriteRule ^/rewritene/(.*) $to/\$1 [P,NE]
RewriteRule ^/rewriteb/(.*) $to/b?b=\$1 [P,B]
RewriteRule ^/rewriteqsa/(.*) $to/\$1?x=y [P,QSA]
RewriteRule ^/rewriteqsd/(.*) $to/\$1 [P,QSD]
RewriteRule ^/rewriteq/(.*) $to/\$1? [P]
RewriteRule ^/rewritef/(.*) $to/\$1#fragment [P,NE]
RewriteRule ^/rewriteqf/(.*) $to/\$1?a=b#fragment [P,NE]
RewriteRule ^/rewritenopath/ $to [P]
RewriteRule ^/rewritedots/(.*) $to/a/../\$1 [P]
RewriteRule ^/rewriteuser/(.*) http://user:word\@127.0.0.1:$port/\$1 [P]
RewriteRule ^/rewriteupper/(.*) HTTP://LOCALHOST:$port/\$1 [P]
RewriteRule ^/rewriteshort/(.*) http://127.1:$port/\$1 [P]
RewriteRule ^/rewritezeros/(.*) http://127.0.0.1:0$port/\$1 [P]
RewriteRule ^/rewritebal/(.*) balancer://from-rewrite/\$1 [P]
RewriteRule ^/rewriteunix/(.*) "$socket|http://Rewrite.Example/\$1" [P]
ProxyRemote http://far.example/ http://127.0.0.1:@{[ $far->port ]}
ProxyRemote http://far-away.example:8080/ http://127.0.0.1:@{[ $far->port ]}
ProxyRemote http://creds.example/ http://127.0.0.1:@{[ $far->port ]} us:er
RewriteRule ^/viaproxy/(.*) http://far.example/\$1 [P]
RewriteRule ^/viacreds/(.*) http://creds.example/\$1 [P]
Header set X-After "expr=%{req:Host} %{req:Via} %{req:X-Forwarded-For} %{req:Connection} %{req:TE} %{req:Expect}"
<VirtualHost *>
    ServerName localhost
    ProxyRequests On
    RewriteEngine On
    RewriteOptions Inherit
</VirtualHost>
EOT
my @pair = ($conf, backends => [grep { $_ } $backend, $unix, $six, $far],
    modules => [qw(headers env setenvif remoteip rewrite include authn_core authn_file authz_user auth_basic)],
    files => {
        # "pass", hashed with SHA1
        'users'      => "user:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n",
        'page.shtml' => "a <!--#include virtual=\"/plain/included?x=y\" --> <!--#include virtual=\"/preserve/included\" --> z\n",
    });
my $pair = Usher::SameTest->new(@pair);
$pair->play(http_answer(200, ['X-From' => 'backend'], 'sound'));

sub request { return http_request(@_) }
sub same { local $Test::Builder::Level = $Test::Builder::Level + 1; return $pair->same(@_) }

# A vhost of its own for each: it is told by the field Host.
sub on { my ($host, @more) = @_; return [Host => $host, @more] }

subtest 'how many fields, and how long' => sub {
    for my $base (qw(plain preserve noadd bal unix)) {
        same("$base: none", "GET /$base/a HTTP/1.0\r\n\r\n");
        same("$base: Host alone", request(GET => "/$base/a"));
        for my $n (1, 2, 7, 8, 9, 30, 100, 190) {
            same("$base: $n", request(GET => "/$base/a", [map { ("X-$_" => "value $_") } 1 .. $n]));
        }
        same("$base: twice each", request(GET => "/$base/a", [map { ("X-$_" => 'a', "x-$_" => 'b') } 1 .. 20]));
        same("$base: long ones", request(GET => "/$base/a", [map { ("X-$_" => 'v' x (1000 * $_)) } 1 .. 8]));
        same("$base: $_ bytes", request(GET => "/$base/a", ['X-A' => 'v' x $_])) for 4000, 8000, 8190, 16_384, 65_000;
        same("$base: a long name", request(GET => "/$base/a", ['X' x 5000 => 'a']));
    }
    same('a long path', request(GET => '/plain/' . 'p' x 7000 . '?' . 'q' x 500));
};

my %fields = (
    'duplicates'        => ['X-A' => 'b', 'X-B' => 'c', 'X-A' => 'd', Cookie => 'a=b', Cookie => 'c=d', 'x-a' => 'e'],
    'empty values'      => ['X-A' => '', 'X-B' => '', Cookie => '', Via => '', 'X-Forwarded-For' => ''],
    'blanks'            => ['X-A' => "  b \t ", 'X-B' => "\tc  d\t"],
    'bytes above 127'   => ['X-A' => "\xe4\xf6", Cookie => "a=\xff"],
    'X-Forwarded-*'     => ['X-Forwarded-For' => '192.0.2.1', 'X-Forwarded-Host' => 'a.example', 'X-Forwarded-Server' => 'b.example'],
    'x-forwarded-*'     => ['x-forwarded-FOR' => '192.0.2.1', 'x-ForwARDED-host' => 'a.example', 'X-FORWARDED-SERVER' => 'b.example'],
    'X-Forwarded-* twice' => [map { ($_ => 'one', 'X-A' => 'b', lc $_ => 'two') } 'X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Server'],
    'Via'               => [Via => '1.1 somebody'],
    'via twice'         => [via => '1.0 fred', 'X-A' => 'b', VIA => '1.1 nowhere (Apache/1.1)'],
    'host in other letters' => [HOST => 'localhost', 'X-A' => 'b'],
    'host last'         => ['X-A' => 'b', 'X-B' => 'c', host => 'localhost'],
    'host with a port'  => [Host => 'localhost:8080'],
    'host with its own port' => [Host => 'localhost:@PORT@'],
    'HOST in capitals'  => [Host => 'LOCALHOST'],
    'host that is none of ours' => [Host => 'Other.Example:81'],
    'host is an address'=> [Host => '127.0.0.1'],
    'host is one of IPv6' => [Host => '[::1]:80'],
    'host with a dot'   => [Host => 'localhost.'],
    'hop by hop'        => ['Keep-Alive' => '300', 'Proxy-Connection' => 'keep-alive', TE => 'trailers', Trailer => 'X-T', Upgrade => 'h2c', 'X-A' => 'b'],
    'HOP BY HOP'        => ['KEEP-ALIVE' => '300', 'PROXY-CONNECTION' => 'close', te => 'gzip', TRAILER => 'X-T', upgrade => 'h2c', 'X-A' => 'b'],
    'hop by hop twice'  => [map { ($_ => 'a', 'X-A' => 'b', $_ => 'c') } 'Keep-Alive', 'Proxy-Connection', 'TE', 'Trailer', 'Upgrade'],
    'conditional'       => ['If-None-Match' => '"a"', 'If-Modified-Since' => 'Sun, 06 Nov 1994 08:49:37 GMT', 'If-Match' => '"b"',
                            'If-Unmodified-Since' => 'Sun, 06 Nov 1994 08:49:37 GMT', 'If-Range' => '"a"', Range => 'bytes=0-1'],
    'Proxy-Authorization' => ['Proxy-Authorization' => 'Basic YTpi', 'X-A' => 'b'],
    'Authorization'     => [Authorization => 'Basic dXNlcjpwYXNz', 'Proxy-Authorization' => 'Basic YTpi', 'X-A' => 'b'],
    'Content-Length: 0' => ['Content-Length' => 0, 'X-A' => 'b'],
    'what proxies know' => [Proxy => 'http://evil.example', Forwarded => 'for=192.0.2.1', 'Max-Forwards' => 3, 'X-Forwarded-Proto' => 'https',
                            Warning => '199 - "x"', Date => 'Sun, 06 Nov 1994 08:49:37 GMT', 'HTTP2-Settings' => 'AAA', Pragma => 'no-cache'],
    'folded, of old'    => ['X-A' => "b\r\n  and more", 'X-B' => 'c'],
    'fields without a meaning' => [map { ($_ => 'a') } 'Via2', 'X-Vi', 'Hosts', 'TEE', 'X-TE', 'Upgrades', 'Expects', 'Expec', 'X-Forwarded-Fo', 'X-Forwarded-Port',
                            'X_Forwarded_For', 'If-Matches', 'If-None', 'Connections', 'Keep_Alive', 'Proxy-Connections', 'Transfer-Encodings', 'Content-Lengths', 'Trailers',
                            'Ate', 'Vib', 'Most', 'Except', 'Ubgrade', 'If-Batch', 'Koep-Alive', 'X-Forwarded-Fox', 'Proxy-Authorisation', 'X-Forwarded-Hosts', 'If-Unmodified_Since'],
    'odd names'         => ['!#$%&\'*+-.^_`|~09aZ' => 'b', 'X_A' => 'c'],
);
my @tokens = ('close', 'keep-alive', 'Close', 'CLOSE, X-A', 'X-A', 'X-A, X-B', 'x-a,x-b', 'X-A,,X-B', ',X-A', 'X-A,', ', ,X-A ,', '', ' ', ',',
    'X-A X-B', 'X-A;q=1, X-B', '"X-A"', '"X-A, X-B"', "'X-A'", 'X-A; X-B', 'X-A="b"', 'Host', 'host, X-A', 'Via', 'X-Forwarded-For',
    'X-Forwarded-Host, X-Forwarded-Server', 'Content-Length', 'Transfer-Encoding', 'Expect', 'Cookie', 'Connection', 'Connection, X-A',
    'Upgrade', 'TE, close', 'Proxy-Authorization', 'keep-alive, close', 'X-None', 'X-A, X-A, X-A', "X-A,\tX-B", 'X-A/X-B', 'X-A\\', '\\X-A',
    '"X-A', 'X-A"', '(X-A)', '=X-A', "X-A\xe4", 'X-A, close, X-B', 'Connection, close', 'X-A' x 100, join(', ', map { "X-$_" } 'A' .. 'Z'));

subtest 'fields' => sub {
    for my $base (qw(plain preserve noadd presnoadd old once chain unix bal rewrite)) {
        same("$base: $_", request(GET => "/$base/a", $fields{$_})) for sort keys %fields;
    }
    for my $base (qw(unixname unixport unixother unixsix unixsixport upper sticky), $six ? 'six' : (), grep { !/^op/ } sort keys %places) {
        next if $base =~ /^auth/;
        same("$base: $_", request(GET => "/$base/a", $fields{$_})) for 'duplicates', 'X-Forwarded-*', 'host last', 'hop by hop';
        same("$base: HTTP/1.0", "GET /$base/a HTTP/1.0\r\nX-A: b\r\n\r\n");
        same("$base: HTTP/1.0 with Host", "GET /$base/a HTTP/1.0\r\nhost: Other.Example:8080\r\n\r\n");
    }
    same("auth: $_", request(GET => "/$_/a", [Authorization => 'Basic dXNlcjpwYXNz', 'Proxy-Authorization' => 'Basic YTpi']))
        for qw(auth authchain);
    same("auth: refused", request(GET => '/auth/a', ['X-A' => 'b']), reaches => 0);
};

subtest 'Connection' => sub {
    my @others = ('X-A' => 'b', 'X-B' => 'c', Cookie => 'd', Via => '1.1 e', 'X-Forwarded-For' => '192.0.2.1', 'X-C' => 'f');
    for my $base (qw(plain preserve unix)) {
        for my $tokens (@tokens) {
            same("$base: $tokens", request(GET => "/$base/a", [@others, Connection => $tokens]));
            same("$base: $tokens, first", request(GET => "/$base/a", [Connection => $tokens, @others]));
            same("$base: $tokens, POST", request(POST => "/$base/a", [@others, Connection => $tokens], 'a body'));
        }
        same("$base: two lines", request(GET => "/$base/a", [Connection => 'X-A', @others, connection => 'X-B, keep-alive']));
        same("$base: three lines", request(GET => "/$base/a", [Connection => '', @others, connection => 'close', CONNECTION => 'X-C']));
        same("$base: a field of that name", request(GET => "/$base/a", [$_ => 'b', 'X-A' => 'c', Connection => lc $_])) for 'Close', 'Keep-Alive', 'Upgrade';
        same("$base: it names Host", "GET /$base/a HTTP/1.1\r\nHost: localhost\r\nConnection: host\r\nX-A: b\r\n\r\n");
        same("$base: HTTP/1.0, keep-alive", "GET /$base/a HTTP/1.0\r\nConnection: keep-alive, X-A\r\nX-A: b\r\n\r\n");
    }
};

subtest 'RequestHeader' => sub {
    my @cases = ([], ['X-A' => 'b'], ['X-A' => 'b', Connection => 'keep-alive'], ['X-A' => 'b', Connection => 'X-B', 'X-B' => 'c', 'X-A' => 'd'],
        ['X-Forwarded-For' => '192.0.2.1', 'x-forwarded-host' => 'a.example', 'X-Forwarded-Server' => 'c', Via => '1.1 a', 'Proxy-Authorization' => 'a']);
    for my $n (0 .. $#operations) {
        # What it says of the length is not what comes.
        next if $operations[$n] =~ /Content-Length|Transfer-Encoding/;
        same("$operations[$n]: " . @$_ / 2 . ' fields', request(GET => "/op$n/a", $_), reaches => undef) for @cases;
        same("$operations[$n]: POST", request(POST => "/op$n/a", $cases[1], 'a body'), reaches => undef);
        same("$operations[$n]: POST, chunked", request(POST => "/op$n/a", $cases[3], 'a body', chunked => 2), reaches => undef);
    }
};

subtest 'virtual hosts' => sub {
    same("remote.test: $_", request(GET => '/plain/a', on('remote.test', 'X-A' => 'b', 'X-Real-IP' => $_, 'X-Forwarded-For' => 'c'))) for '192.0.2.7', '2001:db8::1', '192.0.2.7, 127.0.0.1', 'x';
    for my $host (sort keys %vhosts) {
        for my $base (qw(plain preserve noadd rewrite)) {
            same("$host: $base", request(GET => "/$base/a", on($host)));
            same("$host: $base, letters and port", request(GET => "/$base/a", on(uc "$host:81")));
            same("$host: $base, Via", request(GET => "/$base/a", on($host, via => '1.0 a', 'X-A' => 'b', Via => '1.1 c')));
            same("$host: $base, HTTP/1.0", "GET /$base/a HTTP/1.0\r\nHost: $host\r\n\r\n");
            same("$host: $base, HTTP/1.0, absolute", "GET http://$host:\@PORT\@/$base/a HTTP/1.0\r\n\r\n");
            same("$host: $base, absolute", "GET http://$host:\@PORT\@/$base/a HTTP/1.1\r\nHost: other.example\r\n\r\n");
            same("$host: $base, Connection names Via", request(GET => "/$base/a", on($host, Via => '1.1 a', Connection => 'Via')));
        }
    }
};

subtest 'methods, bodies and Expect' => sub {
    for my $base (qw(plain preserve old once bal unix ping fresh)) {
        for my $method (qw(GET HEAD OPTIONS POST STRANGE)) {
            same("$base: $method", request($method => "/$base/a", ['X-A' => 'b']));
            same("$base: $method, length", request($method => "/$base/a", ['X-A' => 'b'], 'a body'));
            same("$base: $method, chunked", request($method => "/$base/a", ['X-A' => 'b'], 'a body', chunked => 3));
        }
        same("$base: Expect, HTTP/1.0", "POST /$base/a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody");
        same("$base: HTTP/1.0, length", "POST /$base/a HTTP/1.0\r\nContent-Length: 4\r\nX-A: b\r\n\r\nbody");
        same("$base: length of nothing", request(POST => "/$base/a", ['Content-Length' => '0', 'X-A' => 'b']));
        same("$base: length with zeros", request(POST => "/$base/a", ['Content-Length' => '0004', 'X-A' => 'b']) . 'body');
        same("$base: chunks of nothing", request(POST => "/$base/a", ['Transfer-Encoding' => 'chunked']) . "0\r\n\r\n");
        same("$base: Chunked", request(POST => "/$base/a", ['Transfer-Encoding' => 'Chunked']) . "2\r\nab\r\n0\r\n\r\n");
        same("$base: trailers", request(POST => "/$base/a", [Trailer => 'X-T', TE => 'trailers'], 'body', chunked => 2, trailers => ['X-T' => 'y']));
        same("$base: Connection names the length", request(POST => "/$base/a", [Connection => 'Content-Length, X-A', 'X-A' => 'b'], 'a body'));
    }
    same("OPTIONS $_", "OPTIONS $_ HTTP/1.1\r\nHost: localhost\r\n\r\n") for '/plain/*', '/bare/*', '/bare';
};

# Where the client waits with its body it is not read before the backend asks for it:
# with mod_proxy_http it is framed by how much of it happens to be there. An expectation
# without a body, which no client may have (RFC 9110, 10.1.1), is not passed on.
my $framing = sub { $_ = [grep { !/^(?:Transfer-Encoding|Content-Length):/ } @$_] for @{ $_[0]{requests} }; return };
my $expectation = sub { $_ = [grep { !/^Expect:/i } @$_] for @{ $_[0]{requests} }; return };

# httpd itself asks for the body then. A client that did not wait gets no 100 any more.
my $late = sub { $_[0]{interim} = []; $_[0]{answer} = [grep { $_ ne 'Connection: close' } @{ $_[0]{answer} }]; return };

subtest 'Expect' => sub {
    for my $base (qw(nohundred old)) {
        same("$base: length", request(POST => "/$base/a", [Expect => '100-continue', 'X-A' => 'b'], 'a body'), but => $late);
        same("$base: chunked", request(POST => "/$base/a", ['X-A' => 'b', expect => '100-Continue'], 'a body', chunked => 3), but => $late);
        same("$base: nothing", request(GET => "/$base/a", [Expect => '100-continue']));
    }
    for my $base (qw(plain preserve once bal unix ping)) {
        for my $expect ('100-continue', '100-Continue', '100-continue, other', 'other, 100-continue', 'other', '100-continue;q=1', '') {
            same("$base: Expect: $expect, length", request(POST => "/$base/a", [Expect => $expect, 'X-A' => 'b'], 'a body'), reaches => undef);
            same("$base: Expect: $expect, chunked", request(POST => "/$base/a", ['X-A' => 'b', expect => $expect], 'a body', chunked => 3), reaches => undef, but => $framing);
            same("$base: Expect: $expect, nothing", request(GET => "/$base/a", [Expect => $expect]), reaches => undef, but => $expectation);
        }
        same("$base: other fields", request(POST => "/$base/a", [Via => 'a', Expect => '100-continue', Connection => 'Expect, X-A', 'X-A' => 'b'], 'a body'));
    }
    for my $base (qw(pingset pingmerge)) {
        same("$base: length", request(POST => "/$base/a", ['X-A' => 'b'], 'a body'));
        same("$base: Expect, length", request(POST => "/$base/a", ['X-A' => 'b', Expect => '100-continue'], 'a body'));
        same("$base: nothing", request(GET => "/$base/a", ['X-A' => 'b']));
    }
    my $got = $pair->through('usher', request(GET => '/plain/a', [Expect => '100-continue']));
    is(scalar(grep { /^Expect/ } @{ $got->{requests}[0] }), 0, 'without a body it is not passed on');
};

subtest 'an upgrade that is not taken' => sub {
    for my $base (qw(plain upgrade any)) {
        for my $upgrade ('websocket', 'WebSocket', 'h2c', 'websocket, h2c', 'h2c, websocket', 'other', '') {
            for my $connection ('Upgrade', 'keep-alive, upgrade', 'X-A', 'close', 'Upgrade, X-A') {
                same("$base: $upgrade, $connection", request(GET => "/$base/a", [Connection => $connection, Upgrade => $upgrade, 'X-A' => 'b']));
            }
        }
        same("$base: POST", request(POST => "/$base/a", [Connection => 'Upgrade', Upgrade => 'websocket'], 'a body'));
        same("$base: HTTP/1.0", "GET /$base/a HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    }
};

# All bytes, encoded and as they are where that is allowed; eight at a time.
sub eight { my ($format, @bytes) = @_; return map { my $n = $_; join 'a', map { sprintf $format, $_ } grep { defined } @bytes[$n .. $n + 7] } map { 8 * $_ } 0 .. $#bytes / 8 }
my @bytes = (map({ eight($_, grep { !/^(?:0|37|47)\z/ } 0 .. 255) } '%%%02x', '%%%02X'), eight('%c', 33 .. 126), eight('%c', 128 .. 255));
my @paths = ('', 'a', '?', 'a?', 'a??', 'a?b=c', 'a?b=c?d', 'a?b={c}|"', 'a?%20%0d%00%ff', "a?\xe4", 'a//b', '/', '//', '/a//', './a', 'a/./b', 'a/../b',
    '../a', '../../a', '..', '.', 'a/..', 'a/.', '%2e%2e/a', 'a/%2e/b', '..;/a', 'a/..;x=y/b', ';', ';a=b', 'a;b=c', 'a;b=c/d;e', 'a%3bb=c', 'a%2fb', 'a%2Fb', 'a%252fb',
    '%2f', '%2f%2f', 'a/%2f/b', 'a%5cb', 'a\\b', 'a%23b', 'a%3fb', 'a%3Fb?c', '%25', '%25zz', '%zz', 'a%', 'a%2', '%c3%a4', "\xc3\xa4", 'a+b', 'a%2bb',
    "!\$&'()*+,;=:@-._~", 'a[b]', 'a%5bb%5d', 'a|b', 'a^b', 'a`b', 'a{b}', 'a"b', 'a<b>', 'http://a/b', 'a:80/b', '@a', ':a', 'a?http://b/', 'a?b#c', 'a#b', 'a%0ab', 'a;jsessionid=x.one');

subtest 'bytes of the path and of the query' => sub {
    for my $base (qw(plain nocanon mapped rewrite rewriteb match)) {
        same("/$base/$_", "GET /$base/$_?$_ HTTP/1.1\r\nHost: localhost\r\n\r\n", reaches => undef) for @bytes;
    }
};

subtest 'paths' => sub {
    for my $base (qw(plain nocanon mapped match rewrite unix)) {
        same("/$base/$_", request(GET => "/$base/$_"), reaches => undef) for @paths;
    }
    for my $base (qw(noquery deep bare upper inmatch matchtwo/x unixname unixsix bal sticky perdir rewritene rewriteb rewriteqsa rewriteqsd rewriteq
        rewritef rewriteqf rewritenopath rewritedots rewriteuser rewriteupper
        rewriteshort rewritezeros rewritebal rewriteunix), $six ? 'six' : ()) {
        same("/$base/$_", request(GET => "/$base/$_"), reaches => undef)
            for '', 'a', 'a?', 'a?b=c?d', '?b', 'a//b', '../a', 'a/..;x/b', 'a%2fb', 'a%3bb;c=d', 'a%3fb%23c%25', "%c3\xa4", 'a%20b+c', 'a[b]|{c}"', 'a;jsessionid=x.one';
    }
    for my $host (qw(slashes.test nodecode.test unmerged.test)) {
        for my $base (qw(plain nocanon mapped rewrite match)) {
            same("$host: /$base/$_", request(GET => "/$base/$_", on($host)), reaches => undef)
                for 'a/b', 'a%2fb', 'a%2Fb', '%2f', '%2f%2f', 'a/%2f/b', 'a%252fb', 'a//b', '//', 'a/..%2fb', 'a%2f..%2fb', 'a%5cb', 'a\\b?c%2fd';
        }
    }
    same("/$_", request(GET => "/$_"), reaches => undef)
        for qw(bare bare? bare?a=b bare/ bareword bare;a bare%2fa plain plain?a matchquery/a matchquery/a?b=c match/ match inmatch/);
    same('a cookie of a session', request(GET => '/sticky/a', [Cookie => 'a=b; JSESSIONID=x.one']));
};

subtest 'requests within a request' => sub {
    for my $name (sort keys %fields) {
        same($name, request(GET => '/page.shtml', $fields{$name}), reaches => undef);
    }
    same('not modified since', request(GET => '/page.shtml', ['If-Modified-Since' => 'Sun, 09 Sep 2035 01:46:40 GMT']), reaches => undef);
    same('HEAD', request(HEAD => '/page.shtml', ['X-A' => 'b']), reaches => undef);
    same('HTTP/1.0', "GET /page.shtml HTTP/1.0\r\n\r\n");
    same('POST', request(POST => '/page.shtml', ['X-A' => 'b'], 'a body'), reaches => undef);
};

subtest 'forward proxy' => sub {
    for my $base (qw(viaproxy viacreds)) {
        same("/$base/: $_", request(GET => "/$base/a?b", $fields{$_})) for 'Proxy-Authorization', 'duplicates', 'host last';
        same("/$base/: Connection", request(GET => "/$base/a", ['X-A' => 'b', 'Proxy-Authorization' => 'a', Connection => 'Proxy-Authorization, X-A']));
    }
    for my $url ("$to/a", "$to", "$to/?a=b", "$to/a%2fb", "$to/a b", "$to/%7ea/../b", "http://LOCALHOST:$port/A", "http://user:word\@127.0.0.1:$port/", 'http://far.example/a?b',
        'http://far.example', 'http://creds.example/a', 'http://FAR.example:80/a', 'http://far-away.example:8080/a;b', $six ? $six->url('/a') : ()) {
        same("GET $url", "GET $url HTTP/1.1\r\nHost: other.example\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic YTpi\r\nX-A: b\r\n\r\n", reaches => undef);
        same("GET $url, 1.0", "GET $url HTTP/1.0\r\n\r\n", reaches => undef);
        same("POST $url", "POST $url HTTP/1.1\r\nHost: other.example\r\nContent-Length: 4\r\nX-Forwarded-For: 192.0.2.1\r\n\r\nbody", reaches => undef);
        same("OPTIONS $url", "OPTIONS $url HTTP/1.1\r\nHost: other.example\r\n\r\n", reaches => undef);
    }
};

$pair->finish;

# The same with a module that has a hook on what mod_proxy sends.
$pair = Usher::SameTest->new(@pair, more => ['ushertestfixups']);
$pair->play(http_answer(200, ['X-From' => 'backend'], 'sound'));
subtest 'hooks of other modules' => sub {
    for my $base (qw(plain preserve noadd old chain unix bal rewrite), sort keys %hooks) {
        same("$base: $_", request(GET => "/$base/a", $fields{$_})) for 'duplicates', 'X-Forwarded-*', 'host last', 'hop by hop', 'Via', 'Proxy-Authorization', 'conditional';
        same("$base: Connection", request(GET => "/$base/a", ['X-A' => 'b', Connection => 'X-A, Host, X-Forwarded-For', 'X-Forwarded-For' => 'c']));
        same("$base: POST", request(POST => "/$base/a", ['X-A' => 'b'], 'a body'));
        same("$base: POST, chunked", request(POST => "/$base/a", ['X-A' => 'b', Expect => '100-continue'], 'a body', chunked => 3), but => sub { $framing->($_[0]); $late->($_[0]) });
        same("$base: HTTP/1.0", "GET /$base/a HTTP/1.0\r\nX-A: b\r\n\r\n");
        same("$base: in a page", request(GET => '/page.shtml', ['X-A' => 'b']));
        same("$base: $_", request(GET => "/$base/a", on($_, Via => '1.1 b'))) for qw(via-full.test via-block.test canonical.test);
    }
};

$pair->finish;
$_->stop for grep { $_ } $backend, $unix, $six, $far;
done_testing;
