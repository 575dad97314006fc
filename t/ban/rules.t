# Rules: what configtest refuses; what counts and what does not; where a rule bans and where it
# only logs; who looks like a proxy; and that nobody writes lines of his own into the log.
use strict;
use warnings FATAL => 'all';

use MIME::Base64 qw(encode_base64);
use Test::More;
use Usher::Certs;
use Usher::Client ();
use Usher::HTTP1;
use Usher::Httpd ();
use Usher::Wait;

my $rule = 'UsherBanRule wp';

# name => [lines, what configtest says (undef: nothing)]
my @cases = (
    ['nothing', '', undef],
    ['all keys', "UsherBanRule a-Z_9 on=request status=404,500-599 path=^/x method=GET,POST \"expr=%{HTTP_HOST} =~ /a b/\" "
        . "max=0 within=1s for=1s for-max=3650d remember=0 v4=8 v6=16 wider=off mode=log\n", undef],
    ['the other ends', "$rule on=rate max=1000000000 within=7d for=3650d remember=3650d v4=32 v6=128 wider=255 mode=enforce\n", undef],
    ['an expression with blanks', "$rule expr=\"%{REQUEST_STATUS} -eq 404\" max=1\n", undef],
    ['for= beyond the default of for-max=', "$rule path=x max=1 for=60d\n", undef],
    ['in sections', "UsherBanMode enforce\n<VirtualHost *>\nUsherBan Off\nUsherBanMode log\nUsherBanRule a on=handshake max=1\n"
        . "<Location /x>\nUsherBan On\nUsherBanMode enforce\nUsherBanRule b on=rate max=1\n</Location>\n</VirtualHost>\n", undef],
    (map { ["kind $_", "$rule on=$_ max=1\n", undef] } qw(auth register rate handshake)),
    ['bytes', "$rule on=bytes max=100M within=1m\n", undef],
    ['no name', "UsherBanRule\n", qr/UsherBanRule "": takes a name first/],
    ['a name with a dot', "UsherBanRule a.b path=x max=1\n", qr/"a\.b": takes a name first, of 1 to 23 letters, digits/],
    ['a long name', 'UsherBanRule ' . 'x' x 24 . " path=x max=1\n", qr/takes a name first/],
    ['the same name', "$rule path=x max=1\n<VirtualHost *>\n$rule path=x max=1\n</VirtualHost>\n", qr/there is a rule of this name already/],
    ['no keys', "$rule\n", qr/UsherBanRule needs at least one of on/],
    ['no max', "$rule path=x\n", qr/UsherBanRule needs max=: how many are allowed/],
    ['a maximum that is none', "$rule path=x max=few\n", qr/"max=few": max takes a number/],
    ['a size where a number is due', "$rule path=x max=10M\n", qr/"max=10M": max takes a number/],
    ['a number that is no size', "$rule on=bytes max=-1\n", qr/"max=-1": max takes a size with on=bytes/],
    ['an unknown key', "$rule path=x max=1 ban=1h\n", qr/"ban=1h": takes key=value with the keys on, status/],
    ['an unknown kind', "$rule on=error max=1\n", qr/"on=error": on takes .*request.*handshake/],
    ['nothing to match', "$rule max=1\n", qr/needs status=, path=, method= or expr=: on=request would count every request/],
    ['a status of six hundred', "$rule status=600 max=1\n", qr/"status=600": status takes statuses/],
    ['a method with a blank', "$rule \"method=GET POST\" max=1\n", qr/"method=GET POST": method takes methods/],
    ['a method in small letters', "$rule method=GET,post max=1\n", qr/"method=GET,post": method takes methods .*in capitals, as GET,POST/],
    ['a broken regular expression', "$rule path=( max=1\n", qr/"path=\(": path takes a regular expression, and this is none/],
    ['a broken expression', "$rule expr=%{ max=1\n", qr/UsherBanRule "expr=%\{": /],
    ['a short window', "$rule path=x max=1 within=0\n", qr/"within=0": within takes 1s to 7d/],
    ['a longest below the first', "$rule path=x max=1 for=2h for-max=1h\n", qr/for-max= must not be less than for=/],
    ['a wide prefix', "$rule path=x max=1 v4=7\n", qr/"v4=7": v4 takes 8 to 32/],
    ['a wide prefix of IPv6', "$rule path=x max=1 v6=129\n", qr/"v6=129": v6 takes 16 to 128/],
    ['wider after one', "$rule path=x max=1 wider=1\n", qr/"wider=1": wider takes 2 to 255, or off/],
    ['handshakes of a path', "<Location /x>\n$rule on=handshake max=1\n</Location>\n", qr/on=handshake: there is no request yet/],
    ['handshakes with a status', "$rule on=handshake status=404 max=1\n", qr/on=handshake: there is no request yet/],
    ['perhaps', "UsherBan perhaps\n", qr/UsherBan "perhaps": takes Off or On/],
    ['two modes', "UsherBanMode log enforce\n", qr/UsherBanMode takes one argument, log or enforce/],
    ['undeclared in a section', "<Location /x>\nUsherBanUndeclared ban\n</Location>\n", qr/UsherBanUndeclared belongs outside of all sections/],
    ['undeclared', "UsherBanUndeclared maybe\n", qr/UsherBanUndeclared "maybe": takes ban or spare/],
);
for my $case (@cases) {
    my ($name, $conf, $says) = @$case;
    my ($code, $out) = Usher::Httpd->new(name => "ban-rules-$$", conf => $conf, usher => [qw(usher usher_ban)])->configtest;

    is !!$code, !!$says, "$name: " . ($says ? 'refused' : 'fine') or diag $out;
    like $out, $says, "$name: and why" if $says;
}

for (['handshake', 'tls'], ['register', 'register']) {
    my ($on, $module) = @$_;
    my ($code, $out) = Usher::Httpd->new(name => "ban-rules-$$", conf => "$rule on=$on max=1\n", usher => [qw(usher usher_ban)])->configtest;
    is $code, 0, "on=$on without the module that tells: fine";
    like $out, qr/USHER8063: UsherBanRule on=$on counts nothing, as mod_usher_$module is not loaded: add "LoadModule usher_${module}_module/, 'but warned of';
}

# Rules of the main server count in all virtual hosts, others in theirs.
my $vhost = "<VirtualHost *>\nUsherTLS %s\n%s</VirtualHost>\n";
my $handshake = "$rule on=handshake max=1\n";
for (['off', "UsherTLS Off\n$handshake", 1], ['on', $handshake, 0],
     ['on in a virtual host', "UsherTLS Off\n$handshake" . sprintf($vhost, 'On', ''), 0],
     ['off in all', "UsherTLS Off\n$handshake" . sprintf($vhost, 'Off', ''), 1],
     ['off where the rule is', sprintf($vhost, 'Off', $handshake), 1],
     ['on where the rule is', "UsherTLS Off\n" . sprintf($vhost, 'On', $handshake), 0]) {
    my ($name, $conf, $is_vain) = @$_;
    my ($code, $out) = Usher::Httpd->new(name => "ban-rules-$$", conf => $conf, modules => ['ssl'], usher => [qw(usher usher_ban usher_tls)])->configtest;
    is $code, 0, "handshakes, $name: fine";
    is !!($out =~ /USHER8064: UsherBanRule wp: on=handshake counts nothing where it stands.*"UsherTLS On"/), !!$is_vain, ($is_vain ? '' : 'not ') . 'warned of'
        or diag $out;
}

my $certs = Usher::Certs->new;
my ($tls, $inner) = (free_port(), free_port());
my $httpd = Usher::Httpd->new(
    modules => [qw(alias authn_core authn_file auth_basic authz_user authz_host rewrite ssl headers proxy proxy_balancer remoteip slotmem_shm dir)],
    usher => [qw(usher usher_ban usher_tls usher_backend usher_balancer usher_register)], conf => <<"EOT");
Listen 127.0.0.1:$tls https
Listen 127.0.0.1:$inner
UsherBanNever -loopback 127.0.0.1
UsherBanMode enforce
KeepAliveTimeout 60
# As sites have it for their application servers: no client has sent that
RequestHeader set X-Forwarded-Proto https
RequestHeader merge Via here
RemoteIPHeader CF-Connecting-IP
RemoteIPInternalProxy 127.0.0.1
ErrorDocument 404 /gone.html
DirectoryIndex index.html
UsherBanRule missing status=404 max=3
UsherBanRule login path=^/wp-login method=POST,PUT max=2
UsherBanRule agent "expr=%{HTTP_USER_AGENT} == 'bad bot'" max=1
UsherBanRule tells status=404 path=^/tell max=0 mode=log
UsherBanRule tls on=handshake max=2
UsherBanRule broken status=400,408,414,431 max=2
UsherBanRule nets path=^/nets max=3 v4=24
UsherBanRule failed on=auth max=2
RewriteEngine On
RewriteRule ^/wp-login - [R=405,L]
RewriteRule ^/tell - [R=404,L]
<Location /rate>
    UsherBanRule quick on=rate max=10 within=1m
</Location>
<Location /bytes>
    UsherBanRule much on=bytes max=10K
</Location>
<Location /off>
    UsherBan Off
</Location>
<Location /log>
    UsherBanMode log
    UsherBanRule try status=404 max=1
    UsherBanRule but status=410 max=1 mode=enforce
</Location>
Redirect 410 /log/gone
Alias /bytes/ \@ROOT\@/htdocs/
Alias /rate/ \@ROOT\@/htdocs/
Alias /locked/ \@ROOT\@/htdocs/
<Location /locked>
    AuthType Basic
    AuthName locked
    AuthUserFile \@ROOT\@/users
    Require valid-user
</Location>
<Location /forbidden>
    Require ip 192.0.2.1
</Location>
<Location /usher-register>
    UsherBanRule signs on=register max=2
    SetHandler usher-register
    Require all granted
</Location>
UsherRegisterKeys \@ROOT\@/register.keys
UsherRegisterPolicy tomcats clusters=app
<VirtualHost 127.0.0.1:$tls>
    ServerName localhost:$tls
    SSLEngine On
    SSLCertificateFile @{[ $certs->cert('good') ]}
    SSLCertificateKeyFile @{[ $certs->key('good') ]}
</VirtualHost>
<VirtualHost 127.0.0.1:$inner>
    ServerName localhost:$inner
    UsherBanMode log
</VirtualHost>
EOT

sub write_file {
    my ($name, $text) = @_;
    my $file = $httpd->root . "/$name";
    my $umask = umask 077;

    open my $fh, '>', $file or die "$file: $!";
    print $fh $text;
    close $fh;
    umask $umask;
    chown +(getpwnam 'nobody')[2], -1, $file if $> == 0;
    return;
}
write_file('htdocs/gone.html', "gone\n");
write_file('htdocs/closed', 'closed');
chmod 0, $httpd->root . '/htdocs/closed';
write_file('htdocs/large', 'x' x 6000);
write_file('users', 'alice:{SHA}' . encode_base64(pack('H*', 'a94a8fe5ccb19ba61c4c0873d391e987982fbbd3')) . "bob:x\n");
write_file('register.keys', 'one ' . encode_base64('k' x 32, '') . " tomcats\n");

my $next = 1;
# Another client: an address of this machine that nothing is known of.
sub stranger { return '127.0.9.' . ++$next }

# Asks from an address: the status; how it ended where there was none.
sub ask {
    my ($from, $uri, %opt) = @_;
    my $client = Usher::Client->new(port => $opt{port} // $httpd->port, from => $from) or return 'refused';
    my $answer = $client->request($opt{method} // 'GET', $uri, $opt{headers} // [], undef);

    $client->close;
    return $answer->{status} // $answer->{end};
}

sub is_refused { return ask($_[0], '/', port => $_[1]) !~ /^\d/ }

# One test: an address is turned away, at once or a moment later.
sub banned {
    my ($from, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok +(wait_until { is_refused($from) } 30), $name;
}

sub free {
    my ($from, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok !(wait_until { is_refused($from) } 0.3), $name;
}

$httpd->log->tolerate(qr/USHER80\d\d|USHER60\d\d|USHER30\d\d|AH0\d+/);
$httpd->start or BAIL_OUT('httpd does not start: ' . $httpd->console);

subtest 'so many are allowed, the next one bans' => sub {
    my ($bad, $good) = (stranger(), stranger());

    is ask($bad, "/missing$_"), 404, "missing page $_" for 1 .. 3;
    free($bad, 'as many as max= are allowed');
    is ask($good, '/missing'), 404, 'a neighbour misses one, too';
    is ask($bad, '/missing'), 404, 'one more';
    banned($bad, 'is turned away');
    free($good, 'his neighbour is not');
};

subtest 'what everybody may ask for does not count' => sub {
    my $authority = stranger();

    is ask($authority, "/.well-known/acme-challenge/$_"), 404, 'a challenge that is not there' for 1 .. 5;
    free($authority, 'whoever looks for it is not turned away');
    is ask($authority, '/.well-known/acme-challenge/../../x'), 404, 'by a detour' for 1 .. 2;
    is ask($authority, '/.well-known/acme-challenge/x?page=1'), 404, 'with a query, for a page behind "RewriteRule . /index.php"';
    is ask($authority, '/.well-known/acme-challenge/x', method => 'POST'), 404, 'by another method';
    banned($authority, 'a detour is no way round');
};

subtest 'method and path' => sub {
    my $bad = stranger();

    ask($bad, '/wp-login.php') for 1 .. 5;
    ask($bad, '/', method => 'POST') for 1 .. 5;
    free($bad, 'one without the other does not count');
    ask($bad, '/wp-login.php', method => $_) for qw(POST PUT POST);
    banned($bad, 'both do');
};

subtest 'an expression' => sub {
    my ($bad, $good) = (stranger(), stranger());

    for my $from ($bad, $good) {
        ask($from, '/', headers => ['User-Agent' => $from eq $bad ? 'bad bot' : 'good bot']) for 1 .. 2;
    }
    banned($bad, 'true for one');
    free($good, 'not for another');
};

subtest 'failed authentication' => sub {
    my ($bad, $good, $curious) = (stranger(), stranger(), stranger());
    my @right = (headers => [Authorization => 'Basic ' . encode_base64('alice:test', '')]);
    my @wrong = (headers => [Authorization => 'Basic ' . encode_base64('alice:tset', '')]);

    is ask($good, '/locked/index.html'), 401, 'asked for a password' for 1 .. 5;
    is ask($good, '/locked/index.html', @right), 200, 'the right one' for 1 .. 5;
    free($good, 'to be asked for a password is no failure');
    is ask($bad, '/locked/index.html', @wrong), 401, 'a wrong password' for 1 .. 3;
    banned($bad, 'a wrong password is');
    is ask($curious, '/forbidden/x'), 403, 'not allowed in' for 1 .. 3;
    banned($curious, 'and not to be allowed in');
    is ask($good, '/closed'), 403, 'a file that nobody may read' for 1 .. 5;
    free($good, 'says nothing of who asks for it');
};

subtest 'requests and bytes' => sub {
    my ($quick, $greedy) = (stranger(), stranger());

    is ask($quick, '/rate/index.html'), 200, "request $_" for 1 .. 10;
    free($quick, 'as many as max= are allowed');
    ask($quick, '/rate/index.html');
    banned($quick, 'one more');
    is ask($greedy, '/bytes/large'), 200, 'six thousand bytes';
    free($greedy, 'are allowed');
    ask($greedy, '/bytes/large');
    banned($greedy, 'twelve are not');
};

subtest 'requests that cannot be read' => sub {
    my @bytes = ("no request at all\r\n\r\n", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 'GET /' . 'x' x 9000 . " HTTP/1.1\r\nHost: x\r\n\r\n");

    for my $bytes (@bytes) {
        my $bad = stranger();
        for (1 .. 3) {
            my $client = Usher::Client->new(port => $httpd->port, from => $bad) or next;
            $client->send($bytes);
            like $client->answer->{status}, qr/^4(?:00|14)$/, 'is refused';
            $client->close;
        }
        banned($bad, 'who sends many of them is turned away');
    }
};

subtest 'a network' => sub {
    my @net = map { "127.0.20.$_" } 1 .. 5;

    is ask($_, '/nets/'), 404, "a request of $_" for @net[0 .. 2];
    free($net[0], 'so many are allowed to all of the network');
    ask($net[3], '/nets/');
    banned($net[4], 'the next one bans it, with those who did nothing');
    free('127.0.21.1', 'but not the next network');
};

subtest 'handshakes' => sub {
    my ($bad, $shy) = (stranger(), stranger());
    my $knock = sub {
        my ($from, $bytes) = @_;
        my $client = Usher::Client->new(port => $tls, from => $from) or return;

        $client->send($bytes) if length $bytes;
        $client->half_close;
        $client->read_all;
        $client->close;
    };

    $knock->($shy, '') for 1 .. 5;
    $knock->($bad, "garbage that is no TLS\r\n\r\n") for 1 .. 3;
    banned($bad, 'who sends garbage is turned away');
    free($shy, 'who sends nothing, as a health check does, is not');
};

subtest 'registrations' => sub {
    my ($bad, $asker) = (stranger(), stranger());

    is ask($asker, '/usher-register/nowhere'), 404, 'what is not there' for 1 .. 3;
    is ask($bad, '/usher-register/members'), 401, 'without a signature' for 1 .. 3;
    banned($bad, 'is turned away');
    free($asker, 'who asks for what is not there is not');
};

subtest 'where it is off, and where it only logs' => sub {
    my ($off, $log, $but, $inner_one) = map { stranger() } 1 .. 4;

    is ask($off, '/off/x'), 404, 'missing where UsherBan is Off' for 1 .. 6;
    free($off, 'does not count');
    is ask($log, '/log/x'), 404, 'missing where UsherBanMode is log' for 1 .. 2;
    ok $httpd->log->wait_for(qr/\Q$log\E.*\btry\b/), 'is logged';
    free($log, 'and nobody is turned away');
    is ask($but, '/log/gone'), 410, 'gone' for 1 .. 2;
    banned($but, 'mode=enforce is stronger than UsherBanMode');
    is ask($inner_one, '/x', port => $inner), 404, 'missing in another virtual host' for 1 .. 4;
    ok $httpd->log->wait_for(qr/\Q$inner_one\E.*\bmissing\b/), 'is logged there';
    free($inner_one, 'where UsherBanMode is log');
};

subtest 'nobody writes lines of his own' => sub {
    my $evil = stranger();

    ask($evil, '/tell%0a[Mon] [core:emerg] [pid 1] %22forged%22%1b[2J%c3%a9%00');
    ask($evil, '/tell%0aforged-line%22%1b%c3%a9%7f', headers => [Host => 'localhost']);
    ok $httpd->log->wait_for(qr/\Q$evil\E.*\btells\b/), 'what he did is logged';
    free($evil, 'and nobody is turned away: mode=log is stronger than UsherBanMode enforce');
    my @lines = $httpd->log->lines;
    is_deeply [grep { /^forged/ || /[^\x20-\x7e\n]/ } @lines], [], 'on one line, in plain ASCII';
    is scalar(grep { /\btells\b.*forged-line/ } @lines) > 0, 1, 'with what he sent, escaped';
};

subtest 'who looks like a proxy' => sub {
    my ($proxy, $plain) = (stranger(), stranger());

    is ask($proxy, "/m$_", headers => ['X-Forwarded-For' => "192.0.2.$_"]), 404, 'through a proxy' for 1 .. 6;
    ok $httpd->log->wait_for(qr/USHER8021: \Q$proxy\E is not banned.*RemoteIPInternalProxy or UsherBanProxies/), 'is told';
    free($proxy, 'and not turned away');
    ask($proxy, '/m', headers => ['X-Forwarded-For' => '192.0.2.9']) for 1 .. 6;
    is scalar(grep { /USHER8021: \Q$proxy\E/ } $httpd->log->lines), 1, 'once';
    is ask($plain, '/missing'), 404, 'another one misses pages' for 1 .. 4;
    banned($plain, 'and is turned away');
    my $strange = stranger();
    is ask($strange, "/a%2fb$_", headers => ['X-Forwarded-For' => "192.0.2.$_"]), 404, 'a path that httpd refuses at once' for 1 .. 4;
    ok $httpd->log->wait_for(qr/USHER8021: \Q$strange\E is not banned/), 'through a proxy as well';
};

subtest 'behind a declared proxy' => sub {
    my $through = sub {
        my ($path, $clients) = @_;
        return ask('127.0.0.1', $path, headers => ['CF-Connecting-IP' => $clients, 'X-Forwarded-For' => '192.0.2.7', Via => '1.1 cdn']);
    };

    is $through->("/m$_", '198.51.100.7'), 404, 'a client behind it' for 1 .. 4;
    ok +(wait_until { $through->('/index.html', '198.51.100.7') == 403 } 30), "is banned: the headers are the proxy's own";
    is $through->('/index.html', '198.51.100.9'), 200, 'another one is not';
    is $through->("/m$_", '192.0.2.7, 198.51.100.8'), 404, 'one that hands on what others ask' for 1 .. 4;
    ok $httpd->log->wait_for(qr/USHER8021: 198\.51\.100\.8 is not banned/), 'looks like a proxy';
    is $through->('/index.html', '198.51.100.8'), 200, 'and is not turned away';
};

subtest 'who has much of the traffic' => sub {
    my ($much, $little) = (stranger(), stranger());

    for my $from ($much, $little) {
        my $client = Usher::Client->new(port => $httpd->port, from => $from);
        for (1 .. ($from eq $much ? 1050 : 60)) {
            my $answer = $client->request(GET => '/index.html');
            $client = Usher::Client->new(port => $httpd->port, from => $from) if ($answer->{head} // '') =~ /^Connection: close/mi;
        }
    }
    is ask($_, '/missing'), 404, "$_ misses a page" for map { ($_) x 4 } $much, $little;
    ok $httpd->log->wait_for(qr/USHER8020: \Q$much\E is not banned.*: \d\d % of the good requests/), 'is told';
    free($much, 'and not turned away');
    banned($little, 'another one is');
};

subtest 'UsherBanUndeclared ban, and what a restart refuses' => sub {
    my $conf = do { local (@ARGV, $/) = ($httpd->root . '/httpd.conf'); <> };
    my $proxy = stranger();

    $conf =~ s/^.*?KeepAlive On\n//s;
    $httpd->conf("UsherBanLog \@ROOT\@/logs/bans\nUsherBanUndeclared ban\nUsherBanRule torn path=( max=1\n$conf");
    ok $httpd->graceful, 'a broken line does not end httpd at a restart';
    ok $httpd->log->wait_for(qr/USHER1001: .*UsherBanRule "path=\(".*the site goes on without this line/), 'it is told';
    $httpd->log->expect(qr/USHER1001/);
    is ask($proxy, "/m$_", headers => ['X-Forwarded-For' => "192.0.2.$_"]), 404, 'through a proxy' for 1 .. 4;
    banned($proxy, 'who looks like a proxy is turned away now');

    my $evil = stranger();
    my $told = sub {
        open my $fh, '<', $httpd->root . '/logs/bans' or return;
        return grep { /\Q$evil\E / } <$fh>;
    };
    ask($evil, '/tell%0aban%20192.0.2.1%20by=%22%5c%22%1b%c3%a9%7f', headers => [Host => 'localhost']);
    ok +(wait_until { $told->() } 30), 'UsherBanLog has a line of who would write his own';
    my ($line, @more) = $told->();
    like $line, qr/^\S+ would-ban \S+ by="rule tells" [\x20-\x7e]+\n\z/, 'in plain ASCII';
    like $line, qr/ why="\QGET \/tell\x0Aban 192.0.2.1 by=\"\\\"\x1B\xC3\xA9\x7F 404 localhost"\E\n/, 'with all he sent, escaped';
    is_deeply \@more, [], 'and only one';
};
$httpd->finish('nothing else alarms');

subtest 'a restart without mod_usher' => sub {
    my $conf = "UsherBanNever -loopback\nUsherBanMode enforce\nUsherBanRule missing status=404 max=0\n";
    my $bare = Usher::Httpd->new(conf => $conf, usher => [qw(usher usher_ban)]);

    $bare->start or return fail('httpd does not start: ' . $bare->console);
    $bare->log->expect(qr/USHER1002/);
    $bare->conf($conf, usher => ['usher_ban']);
    ok $bare->graceful, 'httpd goes on';
    is ask(stranger(), '/missing', port => $bare->port), 404, 'and serves' for 1 .. 3;
    $bare->finish('no child ends');
};
done_testing;
