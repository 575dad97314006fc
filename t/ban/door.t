# Who is turned away, and where: before the TLS handshake, behind the PROXY protocol and RemoteIPHeader, on
# connections that were open; and who never is: neighbours, proxies, members.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Certs;
use Usher::Client ();
use Usher::H2;
use Usher::Httpd ();
use Usher::TLSClient;
use Usher::Wait;
use Usher::Wire::TLS;

# name => [lines, what configtest says (undef: nothing)]
my @cases = (
    ['all words', "UsherBanNever -loopback -own -members -proxies 192.0.2.7 192.0.2.0/24 2001:db8::/32\nUsherBanProxies 198.51.100.0/24\n"
        . "UsherBanRefuse reset\nUsherBanAnswer 429\nUsherBanExempt /a /b/\n<Location /x>\nUsherBanAnswer close\n</Location>\n"
        . "<VirtualHost *>\nUsherBanRefuse close\nUsherBanExempt none\n</VirtualHost>\n", undef],
    ['never nobody', "UsherBanNever\n", qr/UsherBanNever takes addresses, prefixes of them, file:/],
    ['never a name', "UsherBanNever www.example.com\n", qr/UsherBanNever "www\.example\.com" is no address nor prefix of addresses: write it as/],
    ['bits behind the prefix', "UsherBanNever 192.0.2.7/24\n", qr/"192\.0\.2\.7\/24" is no address nor prefix/],
    ['another group', "UsherBanNever -friends\n", qr/"-friends": there are -loopback, -own, -members and -proxies/],
    ['a file that is missing', "UsherBanNever file:/nonexistent/list\n", qr/\/nonexistent\/list/],
    ['a question', "UsherBanNever geo:planet:Mars\n", qr/"geo:planet:Mars": takes geo:country:JP,KR or/],
    ['a question without mod_usher_geo', "UsherBanNever geo:country:JP\n", qr/USHER8041: UsherBanNever "geo:country:JP": it needs mod_usher_geo: add/],
    ['never in a section', "<Location /x>\nUsherBanNever 192.0.2.7\n</Location>\n", qr/UsherBanNever/],
    ['proxies in a virtual host', "<VirtualHost *>\nUsherBanProxies 192.0.2.7\n</VirtualHost>\n", qr/UsherBanProxies belongs outside of all sections/],
    ['no proxies', "UsherBanProxies\n", qr/UsherBanProxies takes the addresses of proxies/],
    ['half a proxy', "UsherBanProxies 192.0.2\n", qr/UsherBanProxies "192\.0\.2" is no address nor prefix/],
    ['drop', "UsherBanRefuse drop\n", qr/UsherBanRefuse "drop": takes close or reset/],
    ['404', "UsherBanAnswer 404\n", qr/UsherBanAnswer "404": takes 403, 429 or close/],
    ['two answers', "UsherBanAnswer 403 429\n", qr/UsherBanAnswer takes one argument, 403, 429 or close/],
    ['exempt from nothing', "UsherBanExempt\n", qr/UsherBanExempt takes paths, or none/],
    ['a relative path', "UsherBanExempt a\n", qr/UsherBanExempt "a": takes paths that begin with a slash/],
    ['a path that is not decoded', "UsherBanExempt /%61\n", qr/UsherBanExempt "\/%61": takes paths/],
    ['a header that everybody may send', "RemoteIPHeader X-Forwarded-For\n", qr/USHER8040: .*any client may claim any address/, 1],
    ['a header of proxies', "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 192.0.2 192.0.2.0/255.255.255.0 192.0.2.7 2001:db8::/32\n", undef],
    ['a header of a virtual host, and the main server\'s proxies', "RemoteIPTrustedProxy 192.0.2.7\n<VirtualHost *>\nRemoteIPHeader X-Real-IP\n</VirtualHost>\n", undef],
    ['nobody of IPv4', "UsherBanNever 0.0.0.0/0\n", qr/USHER8045: UsherBanNever: has all of IPv4 in it \(0\.0\.0\.0\/0\), so that nobody .*"UsherBan Off"/, 1],
    ['nobody of IPv4, in two halves', "UsherBanNever 128.0.0.0/1\nUsherBanNever 0.0.0.0/1\n", qr/USHER8045: UsherBanNever: has all of IPv4/, 1],
    ['nobody at all', "UsherBanNever ::/0\n", qr/USHER8045: UsherBanNever: has all of IPv4 .*USHER8045: UsherBanNever: has all of IPv6/s, 1],
    ['halves', "UsherBanNever 128.0.0.0/1 2000::/4\n", undef],
    ['all are proxies', "UsherBanProxies ::/0\n", qr/USHER8045: UsherBanProxies, RemoteIPInternalProxy and RemoteIPTrustedProxy: has all of IPv4/, 1],
    ['all are trusted proxies', "RemoteIPHeader X-Forwarded-For\nRemoteIPTrustedProxy 0.0.0.0/1 128.0.0.0/1\n", qr/USHER8045: .*RemoteIPTrustedProxy: has all of IPv4/, 1],
    (map { ["members: $_->[0]", "$_->[1]UsherBanRule a on=rate max=1\nProxyPass /x http://127.0.0.1:8080/\n", $_->[2], 1, [qw(remoteip proxy proxy_http proxy_balancer slotmem_shm)]] }
        ['with addresses', "ProxyPass /y http://[::1]:8080/\nProxyPass /z http://localhost/\n", undef],
        ['with names', "ProxyPass /y http://app1.example:8080/\nProxyPass /z http://app1.example:8081/\n<VirtualHost *>\nProxyPass / http://app2.example/\n</VirtualHost>\n",
            qr/USHER8046: members that are named by a host's name may be banned .*: app1\.example, app2\.example\. .*"UsherBanNever" with their addresses/],
        ['of a balancer', "<Proxy balancer://app>\nBalancerMember http://app3.example:8080\nBalancerMember http://127.0.0.2:8080\n</Proxy>\nProxyPass /y balancer://app/\n",
            qr/USHER8046: .*: app3\.example\. /],
        ['with names, left out', "UsherBanNever -members\nProxyPass /y http://app1.example:8080/\n", undef]),
    ['mod_remoteip is not there', "RemoteIPHeader X-Forwarded-For\n", qr/RemoteIPHeader needs mod_remoteip: add "LoadModule/, 0, []],
);
for my $case (@cases) {
    my ($name, $conf, $says, $passes, $modules) = @$case;
    my ($code, $out) = Usher::Httpd->new(name => "ban-door-$$", conf => $conf, modules => $modules // ['remoteip'], usher => [qw(usher usher_ban)])->configtest;

    is !!$code, !!($says && !$passes), "$name: " . ($code ? 'refused' : 'fine') or diag $out;
    like $out, $says, "$name: and why" if $says;
    unlike $out, qr/USHER80/, "$name: nothing is wrong" if !$says;
}

my $has_h2 = $ENV{USHER_MPM} ne 'prefork';
my $certs = Usher::Certs->new;
my ($tls, $reset, $proxied, $proxied_tls, $close) = map { free_port() } 1 .. 5;
my $cdn = '127.0.5.1';
my $vhost_tls = "SSLEngine On\nSSLCertificateFile @{[ $certs->cert('good') ]}\nSSLCertificateKeyFile @{[ $certs->key('good') ]}\n"
    . ($has_h2 ? "Protocols h2 http/1.1\n" : '');
my $httpd = Usher::Httpd->new(
    modules => [qw(remoteip ssl proxy proxy_http proxy_balancer slotmem_shm), $has_h2 ? 'http2' : ()],
    usher => [qw(usher usher_ban usher_tls usher_backend usher_balancer)], conf => <<"EOT");
@{[ join '', map { "Listen 127.0.0.1:$_\n" } $reset, $proxied, $close ]}
@{[ join '', map { "Listen 127.0.0.1:$_ https\n" } $tls, $proxied_tls ]}
@{[ $has_h2 ? 'Protocols h2c http/1.1' : '' ]}
UsherBanNever -loopback 127.0.0.1
UsherBanProxies 127.0.5.2
KeepAliveTimeout 60
MaxKeepAliveRequests 0
UsherBanMode enforce
UsherBanList listed \@ROOT\@/listed
UsherBanRule trap path=^/trap max=0 for=2h
UsherBanRule bad status=400,408 max=0
UsherBanRule tls on=handshake max=0
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxyList \@ROOT\@/cdn
<Location /off>
    UsherBan Off
</Location>
<Location /later>
    UsherBanAnswer 429
</Location>
<Location /close>
    UsherBanAnswer close
</Location>
<Proxy balancer://app>
    BalancerMember http://127.0.5.9:1
    ProxySet lbmethod=usher
</Proxy>
ProxyPass /app balancer://app
<VirtualHost 127.0.0.1:$tls>
    ServerName localhost:$tls
    $vhost_tls
</VirtualHost>
<VirtualHost 127.0.0.1:$reset>
    UsherBanRefuse reset
</VirtualHost>
<VirtualHost 127.0.0.1:$proxied>
    RemoteIPProxyProtocol On
</VirtualHost>
<VirtualHost 127.0.0.1:$proxied_tls>
    ServerName localhost:$proxied_tls
    RemoteIPProxyProtocol On
    $vhost_tls
</VirtualHost>
<VirtualHost 127.0.0.1:$close>
    UsherBan Off
</VirtualHost>
EOT

sub write_file {
    my ($name, $text) = @_;

    open my $fh, '>', $httpd->root . "/$name" or die "$name: $!";
    print $fh $text;
    close $fh;
    return;
}
write_file('listed', "127.0.8.0/24\n");
write_file('cdn', "# the CDN\n127.0.5.1 127.0.6.0/255.255.255.0\n");

my $next = 1;
# Another client: an address of this machine that nothing is known of.
sub stranger { return '127.0.4.' . ++$next }

sub connected { my ($from, $port) = @_; return Usher::Client->new(port => $port // $httpd->port, from => $from) }

# Asks on an open connection: the status; how it ended where there was none.
sub ask {
    my ($client, $uri, @headers) = @_;
    my $answer = $client->request(GET => $uri, [@headers]);

    return $answer->{status} // $answer->{end};
}

# The same on a connection of its own.
sub visit {
    my ($from, $uri, %opt) = @_;
    my $client = connected($from, $opt{port}) or return 'refused';
    my $got = ask($client, $uri, @{ $opt{headers} // [] });

    $client->close;
    return $got;
}

# What comes at last: it may come a moment later.
sub becomes {
    my ($get, $right, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got;

    wait_until { ($got = $get->()) =~ $right } 30;
    return like $got, $right, $name;
}

my $gone = qr/^(?:closed|reset|refused)$/;

# One test: an address gets itself banned.
sub trapped {
    my ($from) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    visit($from, '/trap');
    return becomes(sub { visit($from, '/') }, $gone, "$from is banned");
}

# Seconds and a connection's end; what came before.
sub first_bytes {
    my ($from, $port, $bytes) = @_;
    my $client = connected($from, $port) or return ('', 'refused');
    my ($got, $how);

    $client->send($bytes);
    ($got, $how) = $client->read_all(20);
    $client->close;
    return ($got, $how);
}

sub handshake { my (%opt) = @_; return Usher::TLSClient->new(port => $tls, %opt)->failed }

$httpd->log->tolerate(qr/USHER80\d\d|USHER[1-6]0\d\d|AH\d+/);
$httpd->start or BAIL_OUT('httpd does not start: ' . $httpd->console);

subtest 'before the handshake' => sub {
    my ($bad, $good) = (stranger(), stranger());

    is handshake(from => $bad), '', 'who did nothing is let in';
    is visit($bad, '/index.html'), 200, 'and served';
    trapped($bad);
    my $hello = Usher::TLSClient->new(port => $tls, from => $good)->hello;
    my ($got, $how) = first_bytes($bad, $tls, pack('Cnn', 22, 0x0301, length $hello) . $hello);
    is $got, '', 'not a byte of a handshake, not even an alert';
    like $how, $gone, 'the connection is closed';
    isnt handshake(from => $bad), '', 'as a client of TLS sees it';
    is handshake(from => $good), '', 'a neighbour is let in';
    ok $httpd->log->wait_for(qr/USHER8042: \Q$bad\E is refused: banned by rule trap, for another (?:2h|\d+m)/), 'the log tells by what rule';
    is visit($bad, '/index.html', port => $close), 200, 'UsherBan Off in a virtual host with an address of its own';
    like +(first_bytes($bad, $reset, "GET / HTTP/1.0\r\n\r\n"))[1], qr/^(?:reset|refused)$/, 'UsherBanRefuse reset';
};

subtest 'in a list' => sub {
    my ($bad, $good) = ('127.0.8.1', stranger());

    for my $port ($tls, $proxied_tls) {
        my $hello = Usher::TLSClient->new(port => $tls, from => $good)->hello;
        my ($got, $how) = first_bytes($bad, $port, ($port == $tls ? '' : "PROXY TCP4 $bad 127.0.0.1 1 2\r\n") . pack('Cnn', 22, 0x0301, length $hello) . $hello);
        is $got, '', 'where there is TLS, not a byte of a handshake';
        like $how, $gone, 'the connection is closed';
    }
    is handshake(from => $good), '', 'a neighbour is let in';
    is visit($bad, '/index.html'), 403, 'where there is none, a request is answered';
    is visit($bad, '/.well-known/acme-challenge/token'), 404, 'as he may ask for a path that is exempt';
};

subtest 'connections that were open' => sub {
    my ($bad, $good) = (stranger(), stranger());
    my ($open, $other) = (connected($bad), connected($good));

    is ask($_, '/index.html'), 200, 'an open connection' for $open, $other;
    trapped($bad);
    my $answer = $open->request(GET => '/index.html');
    is $answer->{status}, 403, 'the next request is refused';
    like $answer->{head}, qr/^Connection: close/mi, 'and ends the connection';
    is +($open->read_all)[1], 'closed', 'it is closed';
    is ask($other, '/index.html'), 200, 'a neighbour goes on';
};

subtest 'connections of HTTP/2 that were open' => sub {
    my ($bad, $good) = (stranger(), stranger());
    my ($h2, $other) = map { Usher::H2->new(port => $httpd->port, from => $_) } $bad, $good;

    is $_->answer($_->start(GET => '/index.html'))->{status}, 200, 'an open connection' for $h2, $other;
    trapped($bad);
    my $answer = $h2->answer($h2->start(GET => '/index.html'));
    is $answer->{body} =~ /usher test/ ? 'the page' : '', '', 'the next stream has no page';
    ok $h2->wait_for(20, sub { $_[0]{gone} || $h2->stream($h2->start(GET => '/'))->{end} && 0 }) || $h2->{gone}, 'and the connection ends';
    is $other->answer($other->start(GET => '/index.html'))->{body}, "usher test\n", 'a neighbour goes on';
} if $has_h2;

subtest 'clients behind a CDN that tells them in a header' => sub {
    my ($bad, $good) = ('192.0.2.1', '192.0.2.2');
    my $link = connected($cdn);
    my $of = sub { my ($client, $uri) = @_; return ask($link, $uri, 'X-Forwarded-For' => $client) };

    is $of->($_, '/index.html'), 200, "$_ is served" for $bad, $good;
    $of->($bad, '/trap');
    becomes(sub { $of->($bad, '/index.html') }, qr/^403$/, 'who is banned is answered');
    is $of->($good, '/index.html'), 200, 'his neighbour is served on the same connection';
    is $of->($bad, '/off/x'), 404, 'UsherBan Off in a <Location>';
    is $of->($bad, '/off/../index.html'), 403, 'which a path only seems to be in';
    is $of->($bad, '/.well-known/acme-challenge/token'), 404, 'the path of renewals is exempt';
    is $of->($bad, $_), 403, "$_ is not" for '/.well-known/acme-challenge/../../index.html', '/.well-known/acme-challenge/..;/index.html',
        '/.well-known/acme-challenge/%2e%2e/%2e%2e/index.html', '/.well-known/acme-challenge', '/.well-known/acme-challengeX', '/.well-known/acme-challenge/token?page=admin',
        '/.well-known/acme-challenge/admin/index.html';
    my $answer = $link->request(GET => '/later/x', ['X-Forwarded-For' => $bad]);
    is $answer->{status}, 429, 'UsherBanAnswer 429';
    my ($seconds) = $answer->{head} =~ /^Retry-After: (\d+)/mi;
    cmp_ok $seconds // 0, '>', 3600, 'with the rest of two hours in seconds';
    cmp_ok $seconds // 0, '<=', 7200, 'and no more';
    like $of->($bad, '/close/x'), $gone, 'UsherBanAnswer close';
    is visit($cdn, '/index.html', headers => ['X-Forwarded-For' => $good]), 200, 'the CDN itself is let in';
};

subtest 'the same by HTTP/2' => sub {
    my ($bad, $good) = ('192.0.2.3', '192.0.2.4');
    my $h2 = Usher::H2->new(port => $httpd->port, from => $cdn);
    my $of = sub { my ($client, $uri, $link) = @_; $link //= $h2; return $link->answer($link->start(GET => $uri, ['x-forwarded-for' => $client])) };

    is $of->($_, '/index.html')->{body}, "usher test\n", "$_ is served" for $bad, $good;
    $of->($bad, '/trap');
    becomes(sub { $of->($bad, '/index.html')->{body} }, qr/Forbidden/, 'who is banned is answered');
    is $of->($bad, '/index.html', Usher::H2->new(port => $httpd->port, from => $cdn))->{status}, 403, 'with 403';
    is $of->($good, '/index.html')->{body}, "usher test\n", 'his neighbour is served on the same connection';
} if $has_h2;

sub v1 { return "PROXY TCP4 $_[0] 192.0.2.254 40000 443\r\n" }
sub v2 { return "\r\n\r\n\0\r\nQUIT\n" . pack('CCn', 0x21, 0x11, 12) . pack('C4 C4 nn', split(/\./, $_[0]), 192, 0, 2, 254, 40000, 443) }

# A client of TLS behind a PROXY header: '' or why the handshake failed.
sub proxied_handshake {
    my ($header) = @_;
    my $client = connected('127.0.5.3', $proxied_tls);

    $client->send($header);
    my $wire = Usher::Wire::TLS->new($client->wire->sock, client => 1, context => Usher::Wire::TLS::context(client => 1));
    my $failed = $wire->handshake(20);
    $client->close;
    return $failed;
}

subtest 'clients behind the PROXY protocol' => sub {
    my $get = "GET /index.html HTTP/1.0\r\n\r\n";

    for my $version ([v1 => \&v1, '192.0.2.11', '192.0.2.12'], [v2 => \&v2, '192.0.2.13', '192.0.2.14']) {
        my ($name, $header, $bad, $good) = @$version;

        like +(first_bytes('127.0.5.3', $proxied, $header->($_) . $get))[0], qr/usher test/, "$name: $_ is served" for $bad, $good;
        is proxied_handshake($header->($bad)), '', "$name: his handshake, too";
        first_bytes('127.0.5.3', $proxied, $header->($bad) . "GET /trap HTTP/1.0\r\n\r\n");
        becomes(sub { (first_bytes('127.0.5.3', $proxied, $header->($bad) . $get))[0] || 'nothing' }, qr/^nothing$/, "$name: then not a byte");
        isnt proxied_handshake($header->($bad)), '', "$name: nor a handshake";
        is proxied_handshake($header->($good)), '', "$name: his neighbour's is fine";
        my $client = connected('127.0.5.3', $proxied);
        $client->trickle($header->($bad) . $get, 5, 0.01);
        is +($client->read_all)[0], '', "$name: in pieces as well";
    }
    like +(first_bytes('127.0.5.3', $proxied, "PROXY UNKNOWN ::1 ::1 1 2\r\n$get"))[0], qr/usher test/, 'a proxy that tells nobody is served';
    first_bytes('127.0.5.3', $proxied, "PROXY UNKNOWN ::1 ::1 1 2\r\nGET /trap HTTP/1.0\r\n\r\n");
    like +(first_bytes('127.0.5.3', $proxied, v1('192.0.2.15') . $get))[0], qr/usher test/, 'and never banned';
    is visit('127.0.5.3', '/index.html'), 200, 'not at other doors either';
    my $log = join "\n", $httpd->log->lines;
    unlike $log, qr/AH10184/, 'mod_remoteip does not complain of each refused connection';
};

subtest 'what goes wrong before the client is known is nobody\'s' => sub {
    my @bad = ("GET / HTTP/1.1\r\n\r\n", "GE T / HTTP/9\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.21\r\nbad header\r\n\r\n");

    for my $from ($cdn, '127.0.5.2', '127.0.6.77') {
        first_bytes($from, $httpd->port, $_) for @bad;
        first_bytes($from, $tls, $_) for "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "garbage that is no TLS\r\n\r\n";
        for my $port ($httpd->port, $tls) {
            my $half = connected($from, $port);
            $half->send("GET / HTTP/1.1\r\nHost: a\r\nX-Forw");
            $half->close;
        }
        is visit($from, '/index.html', headers => ['X-Forwarded-For' => '192.0.2.22']), 200, "requests through $from are served";
        is handshake(from => $from), '', 'and handshakes';
        visit($from, '/trap');
    }
    my ($direct, $client) = (stranger(), '192.0.2.23');
    first_bytes($direct, $httpd->port, $bad[1]);
    becomes(sub { visit($direct, '/') }, $gone, 'who comes himself is banned for the same');
    visit($cdn, '/index.html', headers => ['X-Forwarded-For' => $client, Host => 'a b']);
    first_bytes('127.0.5.3', $proxied, v1('192.0.2.24') . $bad[1]);
    becomes(sub { (first_bytes('127.0.5.3', $proxied, v1('192.0.2.24') . "GET / HTTP/1.0\r\n\r\n"))[0] || 'nothing' }, qr/^nothing$/,
        'and who is named by a PROXY header');
    for my $from ($cdn, '127.0.5.2', '127.0.6.77') {
        is visit($from, '/index.html'), 200, "$from is not banned";
    }
};

subtest 'who never is' => sub {
    is visit($_, '/trap'), 404, "$_ in the trap" for '127.0.0.1', '127.0.5.9';
    ok $httpd->log->wait_for(qr/127\.0\.0\.1\b.*(?:UsherBanNever|an address of this machine)/), 'told why: this machine';
    ok $httpd->log->wait_for(qr/127\.0\.5\.9\b.*a member/), 'told why: a member';
    is visit($_, '/index.html'), 200, "$_ is served" for '127.0.0.1', '127.0.5.9';
};

$httpd->finish('nothing else in the log');
done_testing;
