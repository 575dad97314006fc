# Real Tomcats behind mod_usher_backend, over AJP: secrets, sizes of packets,
# what an application is told, sessions, large bodies, events, draining, and
# their death in the middle of all that.
use strict;
use warnings FATAL => 'all';

use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes ();
use Usher::BackendTest;
use Usher::Certs ();
use Usher::Client ();
use Usher::Env ();
use Usher::HTTP1;
use Usher::Pattern;
use Usher::Tomcat ();
use Usher::Wait;

my $missing = Usher::Tomcat->missing;
plan skip_all => $missing if $missing;

my $large = Usher::Tomcat->start(proto => 'ajp', route => 'large', packet_size => 65_536, attributes => 'colour|shape', drain_valve => 1);
my $small = Usher::Tomcat->start(proto => 'ajp', route => 'small');
my $secret = $large->secret;
my ($l, $s) = ($large->port, $small->port);
my $certs = Usher::Certs->new;
my $tls_port = free_port();
my $clusters = grep { $_ eq 'usher_balancer' } Usher::Env::usher_modules();
my @balancers = ('bal', $clusters ? 'cluster' : ());
my $balancer = sub {
    my ($name, $more, $status) = @_;

    return <<"EOT";
<Proxy balancer://$name>
    BalancerMember ajp://127.0.0.1:$l route=large secret=$secret iobuffersize=65536 $status
    BalancerMember ajp://127.0.0.1:$s route=small secret=$secret
    ProxySet stickysession=JSESSIONID $more
</Proxy>
<Location /$name/>
    ProxyPass balancer://$name/
    ProxyPassReverse balancer://$name/
    ProxyPassReverseCookiePath / /$name/
</Location>
EOT
};
my $httpd = backend_httpd(<<"EOT", modules => [qw(env remoteip authn_core authn_file authz_user auth_basic ssl socache_shmcb)]);
UsherBackendTimeout first=60s
LimitRequestFieldSize 70000
<Location />
    Require all granted
</Location>
<VirtualHost *:\@PORT\@>
    ServerName localhost
</VirtualHost>
<VirtualHost *:\@PORT\@>
    ServerName remote.example
    RemoteIPHeader X-Real-IP
    RemoteIPInternalProxy 127.0.0.1
</VirtualHost>
Listen 127.0.0.1:$tls_port
<VirtualHost 127.0.0.1:$tls_port>
    ServerName tls.example
    SSLEngine On
    SSLCertificateFile @{[ $certs->cert('good') ]}
    SSLCertificateKeyFile @{[ $certs->key('good') ]}
    SSLCACertificateFile @{[ $certs->ca ]}
    SSLVerifyClient optional
    SSLVerifyDepth 3
    SSLOptions +ExportCertData
</VirtualHost>
ProxyPass /large/ ajp://127.0.0.1:$l/ secret=$secret iobuffersize=65536
ProxyPass /small/ ajp://127.0.0.1:$s/ secret=$secret
ProxyPass /toolarge/ ajp://127.1:$s/ secret=$secret iobuffersize=65536
ProxyPass /wrong/ ajp://127.0.1:$s/ secret=of-another-one
ProxyPass /none/ ajp://127.1:$l/
<Location /user/>
    ProxyPass ajp://127.0.0.1:$l/
    AuthType Basic
    AuthName "AJP"
    AuthUserFile \@ROOT\@/users
    Require valid-user
</Location>
<Location /colour/>
    ProxyPass ajp://127.0.0.1:$l/
    SetEnv AJP_colour "dark red"
</Location>
<Location /taste/>
    ProxyPass ajp://127.0.0.1:$l/
    SetEnv AJP_taste sour
</Location>
@{[ $balancer->('bal', '', '') ]}
@{[ $clusters ? $balancer->('cluster', 'lbmethod=usher', '') : '' ]}
@{[ $balancer->('drain', '', 'status=+N') ]}
EOT
open my $users, '>', $httpd->root . '/users' or die $!;
print $users "user:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n";    # "pass"
close $users;
# mod_ssl of its certificate and its version; a member that rests and comes back.
$httpd->log->tolerate(qr/AH018\d\d|AH01909|USHER30(?:08|10)/);
ok $httpd->start, 'httpd starts' or BAIL_OUT($httpd->console);

my $mib = 1024 * 1024;

sub client { return Usher::Client->new(port => $httpd->port) // die "connect: $!\n" }

# A page of "name: value" lines; of several with one name the last.
sub fields { return { $_[0]{body} =~ /^([\w-]+): (.*)$/mg } }

sub header { return http_value($_[0]{headers}, $_[1]) // '' }

sub page { return fields(ask($httpd, GET => @_)) }

# Sends $length bytes of Usher::Pattern in one piece or in chunks.
sub upload {
    my ($uri, $length, $chunked, $stop) = @_;
    my $client = client();
    my $head = ["X-Id" => $uri, $chunked ? ('Transfer-Encoding' => 'chunked') : ('Content-Length' => $length)];

    $client->send(http_request(POST => $uri, $head));
    for (my $at = 0; $at < $length; $at += 100_000) {
        my $size = $length - $at < 100_000 ? $length - $at : 100_000;
        my $bytes = pattern($at, $size);
        $bytes = sprintf("%x\r\n%s\r\n", $size, $bytes) if $chunked;
        last if $client->send($bytes, 60) < length $bytes;
        $stop->($at) if $stop;
    }
    $client->send("0\r\n\r\n") if $chunked;
    return $client->answer(timeout => 60);
}

sub digits_sha1 {
    my ($length) = @_;
    my $block = join '', map { chr($_ % 64 == 63 ? 10 : 48 + $_ % 64 % 10) } 0 .. 65_535;
    my $sha = Digest::SHA->new(1);

    for (my $left = $length; $left > 0; $left -= 65_536) {
        $sha->add($left < 65_536 ? substr $block, 0, $left : $block);
    }
    return $sha->hexdigest;
}

sub told { my ($regex) = @_; return scalar grep { $_ =~ $regex } $httpd->log->lines }

subtest 'secrets' => sub {
    is ask($httpd, GET => "/$_/request.jsp")->{status}, 200, "$_: the right one" for qw(large small);
    $httpd->log->expect(qr/usher_backend:\w+\].*secret/i);
    for my $name (qw(wrong none)) {
        my $before = told(qr/usher_backend.*secret/i);
        my $client = client();
        is $client->request(GET => "/$name/request.jsp")->{status}, 403, "$name: 403";
        ok((wait_until { told(qr/usher_backend.*secret/i) > $before } 2), 'and the log says what it may be');
    }
    unlike join("\n", $httpd->log->lines), qr/\Q$secret\E|of-another-one/, 'it does not tell them';
};

subtest 'what the application is told' => sub {
    my $page = page('/large/request.jsp', [Host => 'www.example:8080']);
    my %is = (method => 'GET', client => '127.0.0.1', local => '127.0.0.1', server => 'www.example:8080', scheme => 'http',
        secure => 'false', user => 'null', authentication => 'null', activation => 'null', cipher => 'null');
    is $page->{$_}, $is{$_}, "$_" for sort keys %is;
    my $client = client();
    is fields($client->request(GET => '/large/request.jsp'))->{'client-port'}, $client->port, 'the client\'s port';
    is page('/large/request.jsp', [Host => 'remote.example', 'X-Real-IP' => '192.0.2.7'])->{client}, '192.0.2.7', 'its address behind mod_remoteip';
    is page('/large/request.jsp', [Host => 'remote.example', 'X-Real-IP' => '2001:db8::7'])->{client}, '2001:db8::7', 'one of IPv6';
    $page = page('/user/request.jsp', [Authorization => 'Basic ' . encode_base64('user:pass', '')]);
    is "$page->{user} $page->{authentication}", 'user Basic', 'its name, and how it was asked for';
    is ask($httpd, GET => '/user/request.jsp')->{status}, 401, 'httpd asks for it';
    is page("/$_/request.jsp")->{activation}, 'ACT', "$_: how the member stands" for @balancers;
    is page('/colour/request.jsp?attribute=colour')->{attribute}, 'dark red', 'an attribute that Tomcat allows';
    my $before = told(qr/usher_backend.*attribute/i);
    is $client->request(GET => '/taste/request.jsp?attribute=taste')->{status}, 403, 'one that it does not: 403';
    ok((wait_until { told(qr/usher_backend.*attribute/i) > $before } 2), 'and the log says what it may be');
    is ask($httpd, GET => '/colour/request.jsp')->{status}, 200, 'the next request is served';
};

subtest 'TLS' => sub {
    my $get = sub {
        my (%tls) = @_;
        my $client = Usher::Client->new(port => $tls_port, tls => { name => 'localhost', versions => '1.2', %tls });
        my $answer = $client->request(GET => '/large/request.jsp', [Host => 'tls.example', Connection => 'close']);
        return (fields($answer), join ' ', $answer->{body} =~ /^certificate: (.*)$/mg);
    };
    my ($page, $certificates) = $get->();
    is "$page->{scheme} $page->{secure} $page->{server}", 'https true tls.example:443', 'https';
    like $page->{cipher}, qr/^[A-Z0-9_-]+$/, "cipher $page->{cipher}";
    like $page->{'key-size'}, qr/^(?:128|256)$/, 'the size of its key';
    is $page->{'tls-version'}, 'TLSv1.2', 'the protocol';
    is $certificates, '', 'no certificate';
    ($page, $certificates) = $get->(cert => $certs->cert('client'), key => $certs->key('client'));
    is $certificates, 'CN=proxy.test', 'the client\'s certificate';
    ($page, $certificates) = $get->(cert => $certs->cert('chainclient'), key => $certs->key('chainclient'));
    like $certificates, qr/^CN=chained\.test CN=Usher test middle/, 'one with its chain';
};

subtest 'methods, errors, headers' => sub {
    for my $method (qw(PATCH PROPFIND STRANGE)) {
        my $answer = ask($httpd, $method => '/small/echo.jsp?x=y', [], 'a body');
        ok((wait_until { grep { m{"$method /echo\.jsp\?x=y HTTP/1\.1"} } $small->access_log } 5), "$method comes as it is");
        is $answer->{status}, 405, 'and so does the answer';
    }
    my $answer = ask($httpd, HEAD => '/small/big.jsp?bytes=5000');
    is "$answer->{status} " . header($answer, 'Content-Length') . " $answer->{end}", '200 5000 complete', 'HEAD';
    $answer = ask($httpd, GET => '/small/error.jsp?code=304');
    is "$answer->{status} $answer->{end} $answer->{body_len}", '304 complete 0', 'not modified';
    $answer = ask($httpd, GET => '/small/nothing');
    is "$answer->{status} $answer->{reason}", '404 Not Found', 'an error, with httpd\'s reason';
    like $answer->{body}, qr/HTTP Status 404/, 'and Tomcat\'s page';
    for my $code (204, 500, 503) {
        is ask($httpd, GET => "/small/error.jsp?code=$code")->{status}, $code, "$code of the application\'s own";
    }
    is ask($httpd, GET => '/small/error.jsp?code=200')->{status}, 200, 'and it goes on';
    $answer = ask($httpd, POST => '/small/echo.jsp?a=%20b&c=d', ['X-Twice' => 'one', 'X-Twice' => 'two', 'X-Empty' => '', 'Accept-Language' => 'de'], 'a body');
    my $page = fields($answer);
    is "$page->{method} $page->{uri} $page->{query} $page->{'body-bytes'}", 'POST /echo.jsp a=%20b&c=d 6', 'a request as it was sent';
    like $answer->{body}, qr/^header: x-twice: one(?:, |\nheader: x-twice: )two\n/mi, 'a header twice';
    like $answer->{body}, qr/^header: accept-language: de$/mi, 'and one with a code';
};

subtest 'sizes of packets' => sub {
    my @cookies = map { (Cookie => "c$_=" . 'x' x 1000) } 1 .. 60;
    my $cookie = [Cookie => join '; ', map { "c$_=" . 'x' x 1000 } 1 .. 60];
    cmp_ok page('/large/request.jsp', $cookie)->{'cookie-bytes'}, '>', 60_000, '60 KiB of cookies in a packet of 64 KiB';
    is ask($httpd, GET => '/small/request.jsp', $cookie)->{status}, 431, 'not in one of 8 KiB';
    is page('/small/request.jsp', [Cookie => 'a=' . 'x' x 7000])->{'cookie-bytes'}, 7002, 'but 7000 bytes';
    like ask($httpd, GET => '/toolarge/request.jsp', ['X-Id' => 'toolarge', @$cookie])->{status}, qr/^(?:50[02]|4\d\d)$/, 'Tomcat has another size: an error';
    is ask($httpd, GET => '/toolarge/request.jsp')->{status}, 200, 'small ones are served';
};

subtest 'sessions' => sub {
    for my $name (@balancers) {
        my %route;
        for my $n (1 .. 4) {
            my $client = client();
            my $first = $client->request(GET => "/$name/");
            my ($cookie, $route) = header($first, 'Set-Cookie') =~ /^(JSESSIONID=[^;.]+\.(\w+))/;
            ok $route, "$name: a session of " . ($route // 'nobody');
            like header($first, 'Set-Cookie'), qr{;\s*Path=/$name/(?:;|$)}, 'with the path that clients see';
            $route{$route}++;
            for my $count (2 .. 3) {
                my $page = fields($client->request(GET => "/$name/", [Cookie => $cookie]));
                is "$page->{count} $page->{route}", "$count $route", 'goes on there';
            }
        }
        is join(' ', sort keys %route), 'large small', 'both have sessions';
    }
};

subtest 'uploads of 100 MiB' => sub {
    my $size = 100 * $mib;
    my $sha1 = pattern_sha1($size);

    for my $name (qw(large small)) {
        for my $chunked (0, 1) {
            my $answer = upload("/$name/echo.jsp", $size, $chunked);
            is $answer->{status}, 200, "$name, " . ($chunked ? 'chunked' : 'Content-Length');
            is join(' ', @{ fields($answer) }{qw(body-bytes body-sha1)}), "$size $sha1", 'as it was sent';
        }
    }
    my $client = client();
    $client->send(http_request(PUT => '/small/echo.jsp', ['Content-Length' => $size]));
    $client->send_pattern($size, 20);
    is $client->answer->{status}, 405, 'an answer before the upload is over reaches the client';
    is ask($httpd, GET => '/small/error.jsp?code=200')->{status}, 200, 'and it goes on';
};

subtest 'downloads of 100 MiB' => sub {
    my $size = 100 * $mib;
    my $sha1 = digits_sha1($size);

    for my $name (qw(large small)) {
        for my $chunked (0, 1) {
            my $client = client();
            $client->send(http_request(GET => "/$name/big.jsp?bytes=$size" . ($chunked ? '&chunked=1' : '')));
            my $answer = $client->answer(timeout => 60, discard => 1);
            is $answer->{framing}, $chunked ? 'chunked' : 'length', "$name: " . ($chunked ? 'chunked' : 'Content-Length');
            is "$answer->{body_len} $answer->{sha1} $answer->{end}", "$size $sha1 complete", 'as it was sent';
        }
    }
};

# When each of the first events came: [number, when, Tomcat's time of it].
sub events {
    my ($uri, $count) = @_;
    my $client = client();
    my @events;

    $client->send(http_request(GET => $uri));
    for (1 .. $count) {
        push @events, $client->until(sub {
            my ($in) = @_;
            return $$in =~ s/^.*?id: (\d+)\ndata: ([^\n]*)\n\n//s ? [$1, Time::HiRes::time(), $2 =~ /at (\d+) ms/ ? $1 / 1000 : 0] : undef;
        }, 20) // last;
    }
    $client->close;
    return @events;
}

subtest 'events, one by one' => sub {
    # The page is compiled before the time counts.
    ask($httpd, GET => "/small/$_.jsp?n=1&ms=1") for qw(events async);
    my @events;
    # Where we are held up several are there at once, and all of them late.
    in_calm {
        @events = events('/small/events.jsp?n=20&ms=400', 3);
        !grep { $events[$_][1] - $events[0][1] <= 0.4 * $_ - 0.3 } 1 .. $#events;
    };
    is scalar(@events), 3, 'events arrive while the answer goes on';
    cmp_ok $events[$_][1] - $events[0][1], '>', 0.4 * $_ - 0.3, 'one by one' for 1 .. $#events;
    in_calm {
        @events = events('/small/async.jsp?n=20&ms=200', 3);
        !grep { $_->[1] - $_->[2] >= 1 } @events;
    };
    is scalar(@events), 3, 'the same from an asynchronous servlet';
    cmp_ok $_->[1] - $_->[2], '<', 1, sprintf 'event %d arrives %.3f s after it was sent', $_->[0], $_->[1] - $_->[2] for @events;
};

subtest 'a member drains' => sub {
    my $client = client();
    my $first = $client->request(GET => '/large/');
    my ($session) = header($first, 'Set-Cookie') =~ /^(JSESSIONID=[^;]+)/;
    my $page = fields($client->request(GET => '/drain/', [Cookie => $session]));
    is "$page->{route} $page->{count}", 'large 2', 'its sessions go on';
    is fields($client->request(GET => '/drain/'))->{route}, 'small', 'new ones go elsewhere' for 1 .. 3;
    my $gone = $client->request(GET => '/drain/', [Cookie => 'JSESSIONID=0123456789ABCDEF.large']);
    is $gone->{status}, 307, 'a session that it does not know: LoadBalancerDrainingValve sends the user away';
    like header($gone, 'Set-Cookie'), qr/JSESSIONID=;|Max-Age=0|1970/, 'without its cookie';
};

subtest 'killed in the middle' => sub {
    my $size = 100 * $mib;
    my %client = map { $_ => client() } qw(length chunked old post events);

    $httpd->log->expect(qr/USHER2015/, qr/USHER2016/)->tolerate(qr/USHER2\d\d\d/);
    $client{length}->send(http_request(GET => "/large/big.jsp?bytes=$size", ['X-Id' => 'killed-length']));
    $client{chunked}->send(http_request(GET => "/large/big.jsp?bytes=$size&chunked=1", ['X-Id' => 'killed-chunked']));
    $client{old}->send("GET /large/big.jsp?bytes=$size&chunked=1 HTTP/1.0\r\nX-Id: killed-old\r\n\r\n");
    $client{events}->send(http_request(GET => '/large/async.jsp?n=1000&ms=50', ['X-Id' => 'killed-events']));
    $client{post}->send(http_request(POST => '/large/slow.jsp?ms=60000', ['X-Id' => 'killed-post'], 'body'));
    for my $name (qw(length chunked old events)) {
        ok $client{$name}->until(sub { length ${ $_[0] } > 1000 || undef }, 20), "$name: it has begun";
    }
    my $upload = upload('/large/echo.jsp', $size, 0, sub { $large->kill if $_[0] >= 10 * $mib });
    is $upload->{status}, 502, 'an upload: 502';
    my %answer = map { $_ => $client{$_}->answer(timeout => 20, discard => 1) } sort keys %client;
    for my $name (qw(length chunked old events)) {
        is $answer{$name}{status}, 200, "$name: begun";
        ok !$answer{$name}{complete}, "the client sees that it is cut ($answer{$name}{end})";
        is logged($httpd, "killed-$name")->{state}, 'SD', 'and the log tells who cut it';
    }
    is $answer{old}{end}, 'reset', 'HTTP/1.0: by a reset';
    is $answer{post}{status}, 502, 'a POST without an answer yet: 502';
    is scalar(@{ [split /,/, logged($httpd, 'killed-post')->{attempts} // ''] }), 1, 'sent once';
    my $began = Time::HiRes::time();
    is ask($httpd, GET => '/large/')->{status}, 503, 'no Tomcat: 503';
    soon($began, 1, 'at once');
    is ask($httpd, GET => "/$_/request.jsp", [Cookie => 'JSESSIONID=ABC.large'])->{status}, 200, "$_: the other one serves" for @balancers;
};

subtest 'comes back, and is killed again, under load' => sub {
    my %status;
    my $round = sub {
        my @clients = map { client() } 1 .. 6;
        $clients[$_]->send(http_request($_ % 3 ? 'GET' : 'POST', '/' . $balancers[$_ % @balancers] . '/slow.jsp?ms=20', [Connection => 'close'], $_ % 3 ? undef : 'body')) for 0 .. 5;
        $status{ ($_ % 3 ? 'GET ' : 'POST ') . ($clients[$_]->answer(timeout => 20)->{status} // 'none') }++ for 0 .. 5;
        return;
    };
    $large->launch;
    my $up = wait_until { $round->(); ask($httpd, GET => '/large/error.jsp?code=200')->{status} == 200 } 60;
    ok $up, 'it is served again, without a restart of httpd';
    $round->() for 1 .. 5;
    for (1 .. 2) {
        my $clients = client();
        $clients->send(http_request(GET => '/large/slow.jsp?ms=5000'));
        $round->();
        $large->kill;
        $round->() for 1 .. 10;
        is $clients->answer->{status}, 502, 'killed: its own requests are cut';
        $large->launch;
        wait_until { $round->(); ask($httpd, GET => '/large/error.jsp?code=200')->{status} == 200 } 60;
    }
    is join(' ', grep { /^GET/ } sort keys %status), 'GET 200', 'every GET over a balancer is served' or diag explain \%status;
    is join(' ', grep { /^POST/ && !/ (?:200|502)$/ } sort keys %status), '', 'every POST is served, or a 502';
    my %routes = map { (page("/$balancers[-1]/")->{route} // 'none') => 1 } 1 .. 30;
    ok((wait_until { $routes{ page("/$balancers[-1]/")->{route} // 'none' } = 1; 2 == keys %routes } 30), 'and both have sessions again');
};

$httpd->finish('the log has only what was announced');
done_testing;
