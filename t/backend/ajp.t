# The same configuration with mod_proxy_ajp and with mod_usher_backend: the same
# requests reach the container as the same packets, and the client gets the same,
# but for what the page says is different.
use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path remove_tree);
use MIME::Base64 qw(encode_base64);
use Test::More;
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Env ();
use Usher::Pattern;
use Usher::Wait;

my $backend = Usher::Backend->new(protocol => 'ajp');
my $six = eval { Usher::Backend->new(protocol => 'ajp', host => '::1') };
my ($to, $port) = ($backend->url, $backend->port);
# The secret and the balancer's members are other workers: other names for them.
my ($secret, $one, $two) = map { "ajp://$_:$port" } '127.1', '127.0.1', 'localhost';
my $tls = certificates();
my %tls_port = map { $_ => free_port() } qw(usher stock);
my $conf = <<"EOT" . ($six ? "Listen [::1]:\@PORT\@\nProxyPass /six/ @{[ $six->url('/') ]}\n" : '');
ProxyTimeout @{[ 5 * patience ]}
LimitRequestFieldSize 70000
LimitRequestLine 70000
<Directory />
    Require all granted
</Directory>
ProxyPass        /plain/ $to/
ProxyPassReverse /plain/ $to/
ProxyPassReverseCookieDomain backend.example www.example
ProxyPassReverseCookiePath / /plain/
ProxyPass        /nocanon/ $to/ nocanon
ProxyPass        /noquery/ $to/ noquery
ProxyPass        /deep/ $to/a/b/
ProxyPass        /secret/ $secret/ secret=only-we-two-know-it
ProxyPass        /not/ !
ProxyPass        /bal/ balancer://one/
ProxyPass        /sticky/ balancer://sticky/
<Proxy balancer://one>
    BalancerMember $one
</Proxy>
<Proxy balancer://sticky>
    BalancerMember $two route=one
    ProxySet stickysession=JSESSIONID|jsessionid scolonpathdelim=On
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
<Location /env/>
    ProxyPass $to/
    SetEnv AJP_colour red
    SetEnv AJP_a.b.c "with blanks"
    SetEnv AJP_empty ""
    SetEnv COLOUR blue
    SetEnv ajp_small no
</Location>
<Location /user/>
    ProxyPass $to/
    AuthType Basic
    AuthName "AJP"
    AuthUserFile \@ROOT\@/users
    Require valid-user
</Location>
<Location /lookup/>
    ProxyPass $to/
    HostnameLookups On
</Location>
<Location /headers/>
    ProxyPass $to/
    RequestHeader set X-Set by-httpd
    RequestHeader unset X-Unset
    Header set X-Added by-httpd
</Location>
<VirtualHost *>
    ServerName localhost
    RewriteEngine On
    RewriteOptions Inherit
</VirtualHost>
<VirtualHost *>
    ServerName names.example
    ServerAlias *.names.example
    UseCanonicalName On
    ProxyPass /plain/ $to/
</VirtualHost>
<VirtualHost *>
    ServerName remote.example
    RemoteIPHeader X-Real-IP
    RemoteIPInternalProxy 127.0.0.1
    ProxyPass /plain/ $to/
</VirtualHost>
RewriteEngine On
RewriteRule ^/rewrite/(.*) $to/\$1 [P]
RewriteRule ^/rewritene/(.*) $to/\$1 [P,NE]
ErrorDocument 404 "our own 404"
ErrorDocument 503 "our own 503"
EOT
sub tls_conf {
    my ($who) = @_;

    return $tls ? <<"EOT" : '';
Listen 127.0.0.1:$tls_port{$who}
<VirtualHost 127.0.0.1:$tls_port{$who}>
    ServerName tls.example
    SSLEngine On
    SSLProtocol TLSv1.2
    SSLCertificateFile $tls/server.pem
    SSLCertificateKeyFile $tls/server.key
    SSLCACertificateFile $tls/root.pem
    SSLVerifyDepth 3
    SSLSessionTickets Off
    ProxyPass /plain/ $to/
    <Location /exported/>
        ProxyPass $to/
        SSLOptions +ExportCertData +StdEnvVars
    </Location>
    SSLVerifyClient optional
</VirtualHost>
EOT
}
my @modules = qw(headers env setenvif rewrite remoteip authn_core authn_file authz_user auth_basic ssl socache_shmcb);
my %httpd = (
    usher => backend_httpd($conf . tls_conf('usher'), modules => \@modules),
    stock => stock_httpd($conf . tls_conf('stock'), modules => [@modules, 'proxy_ajp']),
);
for my $who (sort keys %httpd) {
    open my $fh, '>', $httpd{$who}->root . '/users' or die $!;
    # "pass", hashed with SHA1
    print $fh "user:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n";
    close $fh;
    ok($httpd{$who}->start, "$who: httpd starts") or BAIL_OUT($httpd{$who}->console);
}
$httpd{stock}->log->tolerate(qr/./);

# A root, a CA below it, and certificates of a server and a client by that CA;
# nothing where there is no openssl command.
sub certificates {
    my $dir = Usher::Env::builddir() . "/t/work/ajp-certs-$$";
    my $run = sub { return system("openssl @_ >>$dir/log 2>&1") == 0 };
    my $key = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
    my $made = 1;

    make_path($dir);
    open my $fh, '>', "$dir/ca.ext" or die $!;
    print $fh "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n";
    close $fh;
    $made &&= $run->("req -x509 $key -days 30 -subj /CN=root -keyout $dir/root.key -out $dir/root.pem");
    for my $pair (['middle', 'root'], ['server', 'middle'], ['client', 'middle']) {
        my ($name, $by) = @$pair;
        $made &&= $run->("req -new $key -subj /CN=$name -keyout $dir/$name.key -out $dir/$name.csr");
        $made &&= $run->("x509 -req -days 30 -CA $dir/$by.pem -CAkey $dir/$by.key -CAcreateserial -in $dir/$name.csr -out $dir/$name.pem",
            $name eq 'middle' ? "-extfile $dir/ca.ext" : ());
    }
    chmod 0644, glob "'$dir'/*";
    return $made ? $dir : undef;
}
END { remove_tree($tls) if $tls && !$ENV{USHER_KEEP_WORK} }

# What came to the container: the packet with its headers by name (those of one
# name in their order) and the body, but for the ports of client and httpd.
# Headers of the connection alone are not passed on (another thing than stock).
sub packets {
    my ($who) = @_;
    my $own = $httpd{$who}->port;
    my $drop = $who eq 'stock';

    return [map {
        my $req = $_;
        my %ajp = %{ $req->{ajp} };
        my @headers = @{ $ajp{headers} };
        my @named = map { lc } map { split /\s*,\s*/, $_->[1] } grep { lc $_->[0] eq 'connection' } @headers;
        my %hop = map { $_ => 1 } $drop ? (qw(connection keep-alive proxy-connection te trailer transfer-encoding upgrade expect), @named) : ();
        delete $hop{$_} for qw(host content-length);
        $ajp{headers} = [map { join ': ', $_->[0], $_->[1] =~ s/:$own\b/:PORT/gr } sort { lc $a->[0] cmp lc $b->[0] } grep { !$hop{ lc $_->[0] } } @headers];
        $ajp{server_port} = 'PORT' if $ajp{server_port} == $own || $ajp{server_port} == $tls_port{$who};
        $ajp{request_attributes} = { %{ $ajp{request_attributes} } };
        $ajp{request_attributes}{AJP_REMOTE_PORT} =~ s/^\d+$/PORT/;
        delete $ajp{coded};
        # Some methods have a code, and mod_proxy_ajp does not know it.
        delete $ajp{attributes}{stored_method};
        # A balancer's member gets this one more (the page says so).
        delete $ajp{request_attributes}{JK_LB_ACTIVATION};
        $ajp{order} = [grep { !/^(?:JK_LB_ACTIVATION|stored_method)$/ } @{ $ajp{order} }];
        # As the session, its id is the server's own.
        $ajp{attributes} = { %{ $ajp{attributes} }, ssl_session => 'there' } if $ajp{attributes}{ssl_session};
        +{ %ajp, body => join ' ', $req->{body_len}, $req->{sha1} // '', $req->{complete} };
    } map { $_->requests } $backend, $six // ()];
}

# What came to the client. mod_proxy_ajp sends chunks in any case.
sub seen {
    my ($who, $answer) = @_;
    my $own = $httpd{$who}->port;
    my @headers = map { "$_->[0]: $_->[1]" =~ s/:$own\b/:PORT/gr } grep { $_->[0] !~ /^(?:Date|Server|Content-Length|Transfer-Encoding)$/ } @{ $answer->{headers} // [] };

    return { map({ $_ => $answer->{$_} } qw(status reason)), end => $answer->{complete} ? 'complete' : $answer->{end}, headers => [sort { lc $a cmp lc $b } @headers],
        body => ($answer->{body} // '') =~ s/:$own\b|port $own\b/:PORT/gr };
}

sub play {
    my (@play) = @_;

    for my $member ($backend, $six // ()) {
        $member->clear;
        $member->on(qr{}, @play ? @play : ajp_answer(200, ['X-From' => 'container', 'Content-Length' => 5], 'sound'));
    }
    return;
}

# One test: these bytes have the same effect through both. Options: play; host
# (of httpd); but => sub { what the client saw, to hide what may differ };
# head => sub { the packet, likewise }.
sub same {
    my ($name, $bytes, %opt) = @_;
    my (%packet, %seen);

    for my $who (qw(stock usher)) {
        play(@{ $opt{play} // [] });
        my $client = Usher::Client->new(port => $httpd{$who}->port, $opt{host} ? (host => $opt{host}) : ());
        $client->send($bytes =~ s/\@PORT\@/$httpd{$who}->port/ger);
        my $answer = $client->answer(timeout => 5, head => scalar $bytes =~ /^HEAD/);
        $seen{$who} = seen($who, $answer);
        $packet{$who} = packets($who);
    }
    $opt{but}->($_) for $opt{but} ? values %seen : ();
    map { $opt{head}->($_) } map { @$_ } values %packet if $opt{head};
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $ok = is_deeply($packet{usher}, $packet{stock}, "$name: the container gets the same") || !diag explain { usher => $packet{usher}, stock => $packet{stock} };
    return is_deeply($seen{usher}, $seen{stock}, "$name: so does the client") && $ok || !diag explain \%seen;
}

# What reaches the container of a request that ends well; and the answer.
sub forwarded {
    my ($bytes, %opt) = @_;
    my $which = $opt{httpd} // $httpd{usher};

    play(@{ $opt{play} // [] });
    my $client = Usher::Client->new(port => $which->port);
    $client->send($bytes);
    my $answer = $client->answer(timeout => 5, head => scalar $bytes =~ /^HEAD/);
    my ($got) = $backend->requests;
    return ($got->{ajp} // {}, $answer, $got // {});
}

sub field { my ($packet, $name) = @_; return http_value($packet->{headers} // [], $name) }
sub request { return http_request(@_) }

subtest 'paths' => sub {
    for my $base (qw(plain nocanon noquery deep bal sticky rewrite rewritene)) {
        for my $path ('a', '', 'a%20b', 'a%2fb', 'a%2Fb', '%0d%0aX-Evil:%201', '%00', 'a%0ab', '..;/a', 'a/..;/b', 'a/../b', './a',
            '%2e%2e/a', 'a//b', 'a;b=c', 'a;jsessionid=ABC.one', 'a;jsessionid=ABC.two?b=c', 'a%3bb', 'a%3fb', 'a%23b', '%C3%A4', '%ff', 'a+b',
            'a&b', 'a%7Eb', 'a|b', 'a"b', '%25', '%2525', 'a?b=c', 'a?b=c%20d', 'a?b=%0d%0aX', 'a?b=c?d', 'a?', 'a?b={c}|"', "a'b", 'a:b', 'a\\b') {
            same("/$base/$path", request(GET => "/$base/$path", [Connection => 'close']));
        }
    }
};

subtest 'methods' => sub {
    for my $method (qw(GET HEAD POST PUT DELETE OPTIONS PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK ACL REPORT VERSION-CONTROL CHECKIN
        CHECKOUT UNCHECKOUT SEARCH MKWORKSPACE UPDATE LABEL MERGE BASELINE-CONTROL MKACTIVITY STRANGE get)) {
        same($method, request($method => '/plain/a', [], $method =~ /^P/ ? 'a body' : undef));
        same("$method with a body", request($method => '/plain/a', [], 'a body')) if $method =~ /^(?:GET|HEAD|DELETE|OPTIONS|SEARCH|STRANGE)$/;
    }
    same('TRACE', request(TRACE => '/plain/a', ['X-A' => 'b']));
    same('OPTIONS *', "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    same("$_->[0] with Max-Forwards: $_->[1]", request($_->[0] => '/plain/a', ['Max-Forwards' => $_->[1]]))
        for map { my $m = $_; map { [$m, $_] } 1, 10 } qw(TRACE OPTIONS GET);
};

subtest 'headers' => sub {
    my %fields = (
        'all that have a code' => [map { ($_ => "value of $_") } qw(Accept Accept-Charset Accept-Encoding Accept-Language Authorization Content-Type
            Cookie Cookie2 Pragma Referer User-Agent)],
        'in other cases'  => ['ACCEPT' => '*/*', 'user-agent' => 'x', 'coOkie' => 'a=b'],
        'hop by hop'      => ['Keep-Alive' => '300', 'Proxy-Connection' => 'x', TE => 'trailers', Trailer => 'X-T', Upgrade => 'foo', 'X-A' => 'b'],
        'Connection'      => [Connection => 'X-Gone, keep-alive', 'X-Gone' => 'a', 'X-A' => 'b'],
        'X-Forwarded-*'   => ['X-Forwarded-For' => '192.0.2.1', 'X-Forwarded-Host' => 'a.example', 'X-Forwarded-Server' => 'b.example'],
        'twice'           => ['X-A' => 'b', 'X-A' => 'c', Cookie => 'a=b', Cookie => 'c=d', Accept => 'a', Accept => 'b'],
        'conditional'     => ['If-None-Match' => '"a"', 'If-Modified-Since' => 'Sun, 06 Nov 1994 08:49:37 GMT'],
        'an empty one'    => ['X-Empty' => '', Accept => ''],
        'bytes above 127' => ['X-A' => "\xe4\xf6"],
        'many'            => [map { ("X-$_" => "value $_") } 1 .. 90],
        'long'            => [Cookie => 'a=' . 'b' x 6000],
        'set and unset'   => ['X-Set' => 'client', 'X-Unset' => 'client'],
        'Via'             => [Via => '1.1 somebody'],
        'names near codes' => ['Accepts' => 'a', 'Accep' => 'b', 'X-Cookie' => 'c'],
    );
    for my $base (qw(plain preserve noadd bal headers)) {
        same("$base: $_", request(GET => "/$base/a", $fields{$_})) for sort keys %fields;
    }
    same('HTTP/1.0', "GET /plain/a HTTP/1.0\r\n\r\n");
    same('HTTP/1.0 with Host', "GET /preserve/a HTTP/1.0\r\nHost: other.example:8080\r\n\r\n");
    same('another Host', request(GET => '/plain/a', [Host => 'other.example']));
    same('another Host and port', request(GET => '/plain/a', [Host => 'other.example:8080']));
    same('an absolute URL', "GET http://localhost:\@PORT\@/plain/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    same('UseCanonicalName On', request(GET => '/plain/a', [Host => 'x.names.example']));
};

subtest 'what httpd knows' => sub {
    same('AJP_ variables', request(GET => '/env/a'));
    same('a secret', request(GET => '/secret/a'));
    my @auth = (Authorization => 'Basic ' . encode_base64('user:pass', ''));
    same('a user', request(GET => '/user/a', [@auth]));
    same('no user', request(GET => '/user/a', []));
    same('a name of the client', request(GET => '/lookup/a'));
    same('mod_remoteip', request(GET => '/plain/a', [Host => 'remote.example', 'X-Real-IP' => '192.0.2.7']));
    same('mod_remoteip, IPv6', request(GET => '/plain/a', [Host => 'remote.example', 'X-Real-IP' => '2001:db8::7']));
    same('mod_remoteip, no address', request(GET => '/plain/a', [Host => 'remote.example', 'X-Real-IP' => 'nobody']));
    same('a session', request(GET => '/sticky/a', [Cookie => "JSESSIONID=ABC.one"]));
    same('a session of nobody', request(GET => '/sticky/a', [Cookie => "JSESSIONID=ABC.nobody"]));
    same('a session without a route', request(GET => '/sticky/a', [Cookie => "JSESSIONID=ABC"]));
    same('excluded', request(GET => '/not/a'));
    if ($six) {
        same('IPv6', request(GET => '/plain/a'), host => '::1');
        same('IPv6 behind', request(GET => '/six/a'), host => '::1');
    }
    # And by the page, beside what is the same.
    my ($packet) = forwarded(request(GET => '/env/a?x=y', [@auth]));
    is_deeply({ %{ $packet->{request_attributes} }, AJP_REMOTE_PORT => '' },
        { colour => 'red', 'a.b.c' => 'with blanks', empty => '', AJP_LOCAL_ADDR => '127.0.0.1', AJP_REMOTE_PORT => '' }, 'AJP_name: attribute "name"');
    is($packet->{attributes}{query_string}, 'x=y', 'the query');
    ($packet) = forwarded(request(GET => '/secret/a'));
    is($packet->{attributes}{secret}, 'only-we-two-know-it', 'the secret');
    ($packet) = forwarded(request(GET => '/plain/a'));
    is($packet->{attributes}{secret}, undef, 'no secret where none is configured');
    is($packet->{remote_host}, undef, 'no name of the client without HostnameLookups');
    ($packet) = forwarded(request(GET => '/user/a', [@auth]));
    is("@{ $packet->{attributes} }{qw(remote_user auth_type)}", 'user Basic', 'user and authentication type');
    ($packet) = forwarded(request(GET => '/sticky/a', [Cookie => 'JSESSIONID=ABC.one']));
    is($packet->{attributes}{route}, 'one', 'the route of the session');
    is($packet->{request_attributes}{JK_LB_ACTIVATION}, 'ACT', 'JK_LB_ACTIVATION for a member of a balancer');
};

subtest 'bodies' => sub {
    my $long = pattern(0, 100_000);
    # Where its length is not known it is read before it is sent, or asked for.
    for my $base (qw(plain bal)) {
        same("$base: Content-Length", request(POST => "/$base/a", ['Content-Type' => 'text/plain'], 'a body'));
        same("$base: none", request(POST => "/$base/a", ['Content-Length' => 0]));
        same("$base: long", request(POST => "/$base/a", [], $long));
        same("$base: as long as a packet", request(POST => "/$base/a", [], pattern(0, $_))) for 8184 .. 8188;
        same("$base: GET", request(GET => "/$base/a", [], 'a body'));
        for my $case (['chunked', 'a chunked body', 5], ['long and chunked', $long, 5000], ['chunked and empty', '', 5]) {
            my ($packet, $answer, $got) = forwarded(request(POST => "/$base/a", [], $case->[1], chunked => $case->[2]), play => [echo]);
            is($answer->{body}, "POST /a @{[ length $case->[1] ]} $got->{sha1}\n", "$base: $case->[0]");
            is($got->{sha1}, Digest::SHA::sha1_hex($case->[1]), 'as it was sent');
            is(field($packet, 'Transfer-Encoding'), undef, 'without Transfer-Encoding');
        }
    }
    play(echo);
    my $client = Usher::Client->new(port => $httpd{usher}->port);
    $client->send(request(POST => '/plain/a', [Expect => '100-continue', 'Content-Length' => 4]));
    is($client->answer(interim => 1)->{status}, 100, 'Expect: 100-continue: httpd says it');
    $client->send('body');
    is($client->answer->{status}, 200, 'then there is an answer');
    my ($got) = $backend->requests;
    my $packet = $got->{ajp};
    is($got->{body_len}, 4, 'the body comes');
    is(field($packet, 'Expect'), undef, 'Expect is not passed on');
    is(field($packet, 'Content-Length'), 4, 'its length is');
    ($packet, undef, $got) = forwarded(request(POST => '/plain/a', [Connection => 'Content-Length, close'], 'body'), play => [echo]);
    is(field($packet, 'Content-Length') . " $got->{body_len}", '4 4', 'Connection takes the length away from no body');
    ($packet, undef, $got) = forwarded(request(POST => '/plain/a', ['Content-Length' => 3, Connection => 'Transfer-Encoding, close'], 'chunked', chunked => 2), play => [echo]);
    is($got->{body_len}, 7, 'nor its chunks, beside a length that is none');
};

subtest 'answers' => sub {
    my $play = sub { return play => [ajp_answer(@_, reason => 'A Reason')] };
    same("status $_", request(GET => '/plain/a'), $play->($_, ['X-A' => 'b', $_ == 401 ? ('WWW-Authenticate' => 'Basic realm="a"') : ()], $_ =~ /^(?:204|304)$/ ? undef : 'text'))
        for 200 .. 203, 204, 206, 226, 300, 301, 303, 304, 307, 308, 400 .. 404, 407, 409, 410, 413, 416, 418, 429, 451, 500 .. 504, 507, 599;
    same('HEAD', request(HEAD => '/plain/a'), $play->(200, ['Content-Length' => 5], undef));
    same('HEAD, no length', request(HEAD => '/plain/a'), $play->(200, [], undef));
    same('HEAD and an error', request(HEAD => '/plain/a'), $play->(404, ['Content-Length' => 10], undef));
    same('304 with a length', request(GET => '/plain/a', ['If-None-Match' => '"a"']), $play->(304, [ETag => '"a"', 'Content-Length' => 5], undef));
    same('no length', request(GET => '/plain/a'), $play->(200, [], 'a body'));
    same('no length, to HTTP/1.0', "GET /plain/a HTTP/1.0\r\n\r\n", $play->(200, [], 'a body'));
    same('a length', request(GET => '/plain/a'), $play->(200, ['Content-Length' => 6], 'a body'));
    same('an empty body', request(GET => '/plain/a'), $play->(200, ['Content-Length' => 0], ''));
    same('nothing', request(GET => '/plain/a'), $play->(200, [], undef));
    same('long', request(GET => '/plain/a'), $play->(200, [], pattern(0, 300_000)));
    my %fields = (
        'all that have a code' => ['Content-Type' => 'text/html; charset=utf-8', 'Content-Language' => 'de', 'Last-Modified' => 'Sun, 06 Nov 1994 08:49:37 GMT',
            Location => '/x', 'Set-Cookie' => 'a=b', 'Set-Cookie2' => 'c=d', 'Servlet-Engine' => 'e', Status => 'f', 'WWW-Authenticate' => 'Basic realm="a"'],
        'twice'        => ['Set-Cookie' => 'a=b', 'Set-Cookie' => 'c=d', 'X-A' => 'b', 'X-A' => 'c', Link => '</a>', Link => '</b>'],
        'own'          => [Server => 'backend/1', Via => '1.1 other', 'X-Added' => 'by backend'],
        'Date'         => [Date => 'Sun, 06 Nov 1994 08:49:37 GMT', Expires => '0'],
        'encoded'      => ['Content-Encoding' => 'gzip', Vary => 'Accept-Encoding'],
    );
    for my $base (qw(plain headers)) {
        same("$base: fields: $_", request(GET => "/$base/a"), $play->(200, [@{ $fields{$_} }, 'Content-Length' => 1], 'x')) for sort keys %fields;
    }
    same("redirect to $_", request(GET => '/plain/a'), $play->(302, [Location => $_, 'Content-Length' => 1], 'x'))
        for "$to/b", "http://127.0.0.1:$port/b?c=d", "http://localhost/plain/b", 'http://other.example/b', '/b', "//127.0.0.1:$port/b";
    same("Content-Location, URI: $to/b", request(GET => '/plain/a'), $play->(200, ['Content-Location' => "$to/b", URI => "$to/b", 'Content-Length' => 1], 'x'));
    same("cookie $_", request(GET => '/plain/a'), $play->(200, ['Set-Cookie' => $_, 'Content-Length' => 1], 'x'))
        for 'a=b; Path=/; Domain=backend.example', 'a=b; path=/x; Secure; HttpOnly', 'a=b; domain=other.example', 'a=b';
    # With the reason that the error page of httpd has, too.
    my %reason = (200 => 'OK', 302 => 'Found', 404 => 'Not Found', 500 => 'Internal Server Error', 503 => 'Service Unavailable');
    for my $base (qw(override override404)) {
        my $with = sub { my ($status, @more) = @_; return play => [ajp_answer($status, @more, reason => $reason{$status})] };
        same("$base: $_", request(GET => "/$base/a"), $with->($_, ['X-A' => 'b', 'Content-Length' => 14], 'of the backend')) for sort keys %reason;
        same("$base: HEAD $_", request(HEAD => "/$base/a"), $with->($_, ['Content-Length' => 5], undef)) for 404;
        same("$base: a long page", request(GET => "/$base/a"), $with->(404, ['Content-Length' => 50_000], 'x' x 50_000));
    }
    # The page: the reason is httpd's own where the container has only the number.
    for my $case ([200, '200', 'OK'], [404, '404', 'Not Found'], [200, '', 'OK'], [200, 'Very Well', 'Very Well']) {
        my (undef, $answer) = forwarded(request(GET => '/plain/a'), play => [ajp_answer($case->[0], [], 'x', reason => $case->[1])]);
        is($answer->{reason}, $case->[2], "reason \"$case->[1]\" of $case->[0]");
    }
    my (undef, $answer) = forwarded(request(GET => '/plain/a'), play => [ajp_answer(200, [Connection => 'X-Gone', 'X-Gone' => 'a', 'Keep-Alive' => 'timeout=5',
        'Transfer-Encoding' => 'chunked', 'X-A' => 'b'], 'x')]);
    is(join(' ', $answer->{status}, $answer->{body}, map { http_value($answer->{headers}, $_) // 'none' } 'X-Gone', 'X-A'), '200 x none b', 'headers of the connection are not passed on');
};

# What the page says of the headers that a directive asks for.
subtest 'ProxyPreserveHost, ProxyAddHeaders, ProxyVia' => sub {
    my $httpd = backend_httpd(($six ? <<"EOT" : '') . <<"EOT");
<Location /six/>
    ProxyPass @{[ $six->url('/') ]}
    ProxyPreserveHost Off
</Location>
EOT
<Location /is/>
    ProxyPass $to/
</Location>
<Location /off/>
    ProxyPass $to/
    ProxyPreserveHost Off
</Location>
<Location /add/>
    ProxyPass $to/
    ProxyAddHeaders On
</Location>
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName plain.example
    ProxyPass / $to/
</VirtualHost>
<VirtualHost *>
    ServerName via.example
    ProxyVia On
    ProxyPass / $to/
</VirtualHost>
<VirtualHost *>
    ServerName block.example
    ProxyVia Block
    ProxyPass / $to/
</VirtualHost>
EOT
    plan skip_all => 'stock' if $ENV{USHER_STOCK};
    ok($httpd->start, 'httpd starts') or diag $httpd->console;
    my $of = sub {
        my ($uri, $headers, @names) = @_;
        my ($packet, $answer) = forwarded(request(GET => $uri, $headers), httpd => $httpd);
        return join ' ', map { field($packet, $_) // 'none' } @names;
    };
    is($of->('/is/a', [Host => 'plain.example'], qw(Host X-Forwarded-For X-Forwarded-Host X-Forwarded-Server Via)), 'plain.example none none none none', 'nothing is added');
    is($of->('/is/a', [Host => "any.example"], qw(Host X-Forwarded-For)), 'any.example none', 'the client\'s Host');
    is($of->('/off/a', [Host => 'any.example'], 'Host'), "127.0.0.1:$port", 'ProxyPreserveHost Off: the container\'s name');
    is($of->('/add/a', [Host => 'any.example'], qw(Host X-Forwarded-For X-Forwarded-Host)), 'any.example 127.0.0.1 any.example', 'ProxyAddHeaders On');
    is($of->('/add/a', [Host => 'any.example', 'X-Forwarded-For' => '192.0.2.1'], qw(X-Forwarded-For)), '192.0.2.1, 127.0.0.1', 'beside what is there');
    is($of->('/add/a', [Host => 'any.example', Connection => 'X-Forwarded-For, X-Forwarded-Host, close'], qw(X-Forwarded-For X-Forwarded-Host)),
        '127.0.0.1 any.example', 'the client\'s Connection takes nothing of that away');
    is($of->('/is/a', [Host => 'any.example', Connection => 'Host, close'], 'Host'), 'any.example', 'nor Host');
    if ($six) {
        play();
        ask($httpd, GET => '/six/a', [Host => 'any.example']);
        is(http_value((($six->requests)[0] // {})->{headers} // [], 'Host'), '[::1]:' . $six->port, 'ProxyPreserveHost Off, IPv6');
    }
    like($of->('/a', [Host => 'via.example'], 'Via'), qr/^1\.1 \S+/, 'ProxyVia On');
    like($of->('/a', [Host => 'via.example', Via => '1.0 other'], 'Via'), qr/^1\.0 other, 1\.1 \S+/, 'beside what is there');
    is($of->('/a', [Host => 'block.example', Via => '1.0 other'], 'Via'), 'none', 'ProxyVia Block');
    is($of->('/a', [Host => 'plain.example', Via => '1.0 other'], 'Via'), '1.0 other', 'ProxyVia Off');
    my (undef, $answer) = forwarded(request(GET => '/a', [Host => 'via.example']), httpd => $httpd);
    like(http_value($answer->{headers}, 'Via') // 'none', qr/^1\.1 \S+/, 'in the answer, too');
    $httpd->finish('only that');
};

# openssl s_client's answer to one request.
sub over_tls {
    my ($who, $uri, @args) = @_;

    my $head = "GET $uri HTTP/1.1\r\nHost: tls.example\r\nConnection: close\r\n\r\n";
    open my $fh, '>', "$tls/request" or die $!;
    print $fh $head;
    close $fh;
    return scalar qx(openssl s_client -quiet -ign_eof -connect 127.0.0.1:$tls_port{$who} @args <'$tls/request' 2>/dev/null);
}

subtest 'TLS' => sub {
    plan skip_all => 'no openssl command' unless $tls;
    my @client = ("-cert '$tls/client.pem'", "-key '$tls/client.key'", "-cert_chain '$tls/middle.pem'");
    my %case = ('no certificate' => [], 'a certificate' => ["-cert '$tls/client.pem'", "-key '$tls/client.key'", "-cert_chain '$tls/middle.pem'"]);
    for my $name (sort keys %case) {
        for my $uri (qw(/plain/a /exported/a)) {
            my (%packet, %body);
            for my $who (qw(stock usher)) {
                play();
                $body{$who} = over_tls($who, $uri, @{ $case{$name} });
                $packet{$who} = packets($who);
            }
            like($body{usher}, qr/\r\n\r\nsound/, "$name, $uri: an answer");
            my $got = $packet{usher}[0];
            if ($uri eq '/exported/a' && $name ne 'no certificate') {
                # The page: the chain too.
                my $sent = join '', map { local (@ARGV, $/) = "$tls/$_.pem"; my $pem = <>; $pem =~ s/\s+/\n/gr } 'client', 'middle';
                is($got->{attributes}{ssl_cert} =~ s/\s+/\n/gr, $sent, 'the certificate and its chain');
                $_->{attributes}{ssl_cert} = 'there' for $got, $packet{stock}[0];
            }
            is_deeply($packet{usher}, $packet{stock}, 'the container gets the same') or diag explain \%packet;
            is($got->{is_ssl}, 1, 'TLS');
            like($got->{attributes}{ssl_cipher}, qr/^[A-Z0-9-]+$/, 'the cipher');
            like($got->{attributes}{ssl_key_size}, qr/^(?:128|256)$/, 'the size of its key');
            is($got->{request_attributes}{AJP_SSL_PROTOCOL}, 'TLSv1.2', 'the protocol');
            is(defined $got->{attributes}{ssl_cert}, $name ne 'no certificate', $name);
        }
    }
};

$httpd{usher}->log->tolerate(qr/USHER2\d\d\d|AH\d+/);
$_->finish('httpd lives') for @httpd{qw(usher stock)};
$_->stop for $backend, $six // ();
done_testing;
