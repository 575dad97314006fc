# TLS to backends: mod_ssl's directives mean what they mean to mod_proxy_http,
# each tried with both; which name is asked for; what the log says of handshakes
# that fail; what is missing.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Httpd ();
use Usher::Names ();
use Usher::TLSTest;
use Usher::Wait;

my $certs = certs();
my $stock_too = $ENV{USHER_STOCK} ? 0 : 1;
my $ca = 'SSLProxyCACertificateFile ' . $certs->ca . "\n";
my $trust = "SSLProxyVerify require\n$ca";
my %names = map { ("$_.test" => ['127.0.0.1']) } qw(named good any.wild elsewhere);
my $names = Usher::Names->new(%names);

my %backend = (
    (map { ($_ => tls_backend(cert => $_)) } qw(good named cn wrong expired future revoked other selfsigned chained unchained)),
    tls12    => tls_backend(versions => '1.2'),
    tls13    => tls_backend(versions => '1.3'),
    rsa12    => tls_backend(cert => 'rsa', versions => '1.2'),
    asks     => tls_backend(ask => 'ask'),
    requires => tls_backend(ask => 'require', versions => '1.2'),
    needs13  => tls_backend(ask => 'require', versions => '1.3'),
    virtual  => tls_backend(names => { 'named.test' => 'named' }),
);
my $machine = 'SSLProxyMachineCertificateFile ' . $certs->pair('client') . "\n";
my $crl = 'SSLProxyCARevocationFile ' . $certs->crl . "\n";

# [name, backend, lines of the vhost, what is expected: 1, or the reason that the
# log gives, or { what the backend has seen }; 0: what mod_proxy_http does.
# late: the backend says no after the handshake, when the request is on its way]
my @cases = (
    ['on',              'good',       '', 1],
    ['verified',        'good',       $trust, 1],
    ['othername',       'wrong',      '', qr/elsewhere/],
    ['othername-ok',    'wrong',      "SSLProxyCheckPeerName off\n$trust", 1],
    ['cn',              'cn',         '', 0],
    ['cn-ok',           'cn',         "SSLProxyCheckPeerName off\n", 1],
    ['othercn',         'wrong',      "SSLProxyCheckPeerName off\nSSLProxyCheckPeerCN on\n", qr/elsewhere/],
    ['othercn-ok',      'wrong',      "SSLProxyCheckPeerCN off\n", 1],
    ['expired',         'expired',    '', qr/expired/],
    ['expired-ok',      'expired',    "SSLProxyCheckPeerExpire off\n", 1],
    ['expired-verify',  'expired',    $trust, qr/expired/],
    ['expired-both',    'expired',    "SSLProxyCheckPeerExpire off\n$trust", qr/expired/],
    ['future',          'future',     '', qr/not yet valid|not valid before/],
    ['future-verify',   'future',     $trust, qr/not yet valid|not valid before/],
    ['other',           'other',      '', 1],
    ['other-verify',    'other',      $trust, qr/issuer|verif/],
    ['other-optional',  'other',      "SSLProxyVerify optional\n$ca", qr/issuer|verif/],
    ['other-noca',      'other',      "SSLProxyVerify optional_no_ca\n$ca", 0],
    ['self',            'selfsigned', '', 1],
    ['self-verify',     'selfsigned', $trust, qr/self.signed/],
    ['chain',           'chained',    "SSLProxyVerifyDepth 2\n$trust", 1],
    ['chain-depth',     'chained',    $trust, qr/chain too long|depth/],
    ['chain-missing',   'unchained',  "SSLProxyVerifyDepth 2\n$trust", qr/issuer|verif/],
    ['revoked',         'revoked',    $trust, 1],
    ['revoked-crl',     'revoked',    "SSLProxyCARevocationCheck leaf\n$crl$trust", qr/revoked/],
    ['good-crl',        'good',       "SSLProxyCARevocationCheck leaf\n$crl$trust", 1],
    ['v12',             'good',       "SSLProxyProtocol TLSv1.2\n", { protocol => 'TLSv1.2' }],
    ['v13',             'good',       "SSLProxyProtocol TLSv1.3\n", { protocol => 'TLSv1.3' }],
    ['not13',           'good',       "SSLProxyProtocol all -TLSv1.3\n", { protocol => 'TLSv1.2' }],
    ['v12-only13',      'tls13',      "SSLProxyProtocol TLSv1.2\n", qr/protocol version/],
    ['v13-only12',      'tls12',      "SSLProxyProtocol TLSv1.3\n", qr/protocol version/],
    ['cipher12',        'tls12',      "SSLProxyCipherSuite ECDHE-ECDSA-AES128-GCM-SHA256\n", { cipher => 'ECDHE-ECDSA-AES128-GCM-SHA256' }],
    ['cipher13',        'tls13',      "SSLProxyCipherSuite TLSv1.3 TLS_CHACHA20_POLY1305_SHA256\n", { cipher => 'TLS_CHACHA20_POLY1305_SHA256' }],
    ['no-cipher',       'rsa12',      "SSLProxyCipherSuite ECDHE-ECDSA-AES128-GCM-SHA256\n", qr/handshake failure/],
    ['asked',           'asks',       '', { client => '' }],
    ['shown',           'asks',       $machine, { client => 'proxy.test' }],
    ['required',        'requires',   $machine, { client => 'proxy.test' }],
    ['missing',         'requires',   '', qr/handshake failure|alert/],
    ['missing13',       'needs13',    '', qr/certificate required|alert/, 'late'],
    ['required13',      'needs13',    $machine, { client => 'proxy.test' }],
    ['client-of-other', 'requires',   'SSLProxyMachineCertificateFile ' . $certs->pair('otherclient') . "\n", qr/handshake failure|alert/],
    # The name that is asked for
    ['by-address',      'virtual',    $trust, { sni => '' }],
    ['by-name',         'virtual',    "$trust#named.test", { sni => 'named.test' }],
    ['wildcard',        'virtual',    "$trust#any.wild.test", { sni => 'any.wild.test' }],
    ['no-such-name',    'virtual',    "$trust#elsewhere.test", qr/name/i],
);

sub vhost {
    my ($name, $backend, $lines) = @_;
    my $url = $backend->url =~ s/127\.0\.0\.1/$lines =~ s{#(\S+)}{} ? $1 : '127.0.0.1'/er;

    return "<VirtualHost *:\@PORT\@>\nServerName $name.case\nSSLProxyEngine On\n"
        . ($lines =~ s/#\S+//r) . "ProxyPass / $url/ retry=0\n</VirtualHost>\n";
}

# The status that one gets, and what the backend saw of the connection.
sub result {
    my ($httpd, $case, $id) = @_;
    my ($name, $backend) = ($case->[0], $backend{ $case->[1] });

    $backend->clear;
    $backend->on(qr{/ok}, http_answer(200, [Connection => 'close'], 'ok'));
    my $answer = ask($httpd, GET => "/$name/ok", [Host => "$name.case", 'X-Id' => $id]);
    return ($answer, ($backend->deliveries($id))[0] // {});
}

# Handshakes that are well may take their time.
my $patient = "UsherBackendTimeout connect=20s\nProxyTimeout 20\n";
my $conf = $patient . join '', map { vhost($_->[0], $backend{ $_->[1] }, $_->[2]) } @cases;
my %as_stock;

subtest 'mod_proxy_http, to compare with' => sub {
    my $httpd = tls_stock($conf, $names->options);
    ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
    $httpd->log->tolerate(qr/AH(?:01084|01097|00961|01102|00898|01102|01095|00940)/);
    for my $case (@cases) {
        my ($answer) = result($httpd, $case, "stock-$case->[0]");
        $as_stock{ $case->[0] } = $answer->{status} == 200 ? 'served' : 'refused';
        my $expected = $case->[3];
        # Where nothing is expected it is what it is with mod_proxy_http.
        is($as_stock{ $case->[0] }, ref $expected eq 'Regexp' ? 'refused' : 'served', $case->[0]) if $expected;
        note("$case->[0]: $as_stock{ $case->[0] }");
    }
    $httpd->finish('and nothing surprising in the log');
} if $stock_too;

subtest 'SSLProxy directives' => sub {
    my $httpd = tls_httpd($conf, $names->options);
    ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
    $httpd->log->tolerate(qr/USHER2016/);
    for my $case (@cases) {
        my ($name, undef, undef, $expected, $late) = @$case;
        my $id = "usher-$name";
        my ($answer, $got) = result($httpd, $case, $id);
        my $result = $answer->{status} == 200 ? 'served' : 'refused';
        is($result, $as_stock{$name}, "$name: $result") if $stock_too;
        if ($result eq 'refused') {
            is($answer->{status}, $late ? 502 : 503, "$name: " . ($late ? 'cut' : 'as if there were nobody'));
            is(scalar $backend{ $case->[1] }->deliveries($id), 0, "$name: nothing is delivered");
            my $line = $httpd->log->wait_for(qr{USHER2016.*/$name/ok}, 3);
            ok($line, "$name: the log tells of it") or next;
            like($line, $expected, "$name: and why") if ref $expected eq 'Regexp';
            like($line, qr/:${\ $backend{ $case->[1] }->port }\b/, "$name: of which backend");
            next if $late;
            like(logged($httpd, $id)->{attempts}, qr/^[^,=]*=(?:refused|unreachable)[^,]*$/, "$name: one attempt, refused");
            is(logged($httpd, $id)->{state}, 'SC', "$name: state SC");
        } elsif (ref $expected eq 'HASH') {
            is($got->{tls}{$_}, $expected->{$_}, "$name: $_") for sort keys %$expected;
        }
    }
    $httpd->finish('and nothing surprising in the log');
};

# Where the directives may be: the nearest section counts.
subtest 'sections' => sub {
    my $conf = <<"EOT";
${patient}SSLProxyEngine On
$trust
<VirtualHost *:\@PORT\@>
    ServerName inherits.case
    ProxyPass /good/ @{[ $backend{good}->url('/') ]}
    ProxyPass /other/ @{[ $backend{other}->url('/') ]} retry=0
</VirtualHost>
<VirtualHost *:\@PORT\@>
    ServerName sets.case
    SSLProxyEngine On
    SSLProxyVerify none
    ProxyPass /other/ @{[ $backend{other}->url('/') ]} retry=0
    ProxyPass /wrong/ @{[ $backend{wrong}->url('/') ]} retry=0
    <Proxy @{[ $backend{wrong}->url('/') ]}>
        SSLProxyCheckPeerName off
        SSLProxyCheckPeerCN off
    </Proxy>
</VirtualHost>
<VirtualHost *:\@PORT\@>
    ServerName section.case
    SSLProxyEngine Off
    <Proxy @{[ $backend{asks}->url('/') ]}>
        SSLProxyEngine On
        SSLProxyVerify require
        $ca
        $machine
        SSLProxyProtocol TLSv1.2
    </Proxy>
    ProxyPass /asks/ @{[ $backend{asks}->url('/') ]} retry=0
    ProxyPass /good/ @{[ $backend{good}->url('/') ]} retry=0
    <Proxy balancer://secure>
        BalancerMember @{[ $backend{asks}->url ]} retry=0
        SSLProxyEngine On
        SSLProxyVerify require
        $ca
        SSLProxyMachineCertificateFile @{[ $certs->pair('client2') ]}
    </Proxy>
    ProxyPass /balanced/ balancer://secure/
    <Proxy balancer://strict>
        BalancerMember @{[ $backend{other}->url ]} retry=0
        SSLProxyEngine On
        SSLProxyVerify require
        $ca
    </Proxy>
    ProxyPass /strict/ balancer://strict/
</VirtualHost>
EOT
    my @rows = (
        ['inherits', '/good/', 200],  ['inherits', '/other/', 503],
        ['sets', '/other/', 200],     ['sets', '/wrong/', 200],
        ['section', '/asks/', 200, { client => 'proxy.test', protocol => 'TLSv1.2' }], ['section', '/good/', 503],
        ['section', '/balanced/', 200, { client => 'proxy2.test' }], ['section', '/strict/', 503],
    );
    for my $stock ($stock_too ? (1, 0) : 0) {
        my $httpd = $stock ? tls_stock($conf) : tls_httpd($conf);
        my $who = $stock ? 'mod_proxy_http' : 'usher';
        ok($httpd->start, "$who: starts") or do { diag $httpd->console; next };
        $httpd->log->tolerate($stock ? qr/AH\d+/ : qr/USHER2016|USHER2017|USHER2032/);
        for my $row (@rows) {
            my ($host, $path, $status, $seen) = @$row;
            my $id = "$who-$host$path" =~ s/\W/-/gr;
            my $answer = ask($httpd, GET => "${path}ok", [Host => "$host.case", 'X-Id' => $id]);
            is($answer->{status} == 200 ? 'served' : 'refused', $status == 200 ? 'served' : 'refused', "$who: $host $path");
            is($answer->{status}, $status, "$who: by $status") if !$stock;
            next unless $seen;
            my ($got) = map { $_->deliveries($id) } @backend{qw(asks good)};
            is($got->{tls}{$_}, $seen->{$_}, "$who: $host $path: $_") for sort keys %$seen;
        }
        $httpd->finish("$who: log");
    }
};

# With ProxyPreserveHost On the name is the client's: asked for, checked, and
# no connection serves two of them.
subtest 'ProxyPreserveHost On' => sub {
    my $virtual = $backend{virtual};
    my $conf = "${patient}ProxyPreserveHost On\n" . trusting() . "ProxyPass / @{[ $virtual->url('/') ]} retry=0\n";
    for my $stock ($stock_too ? (1, 0) : 0) {
        my $httpd = $stock ? tls_stock($conf) : tls_httpd($conf);
        my $who = $stock ? 'mod_proxy_http' : 'usher';
        ok($httpd->start, "$who: starts") or next;
        $httpd->log->tolerate($stock ? qr/AH\d+/ : qr/USHER2016/);
        $virtual->clear;
        $virtual->on(qr{/ok}, http_answer(200, [], 'ok'));
        my $client = Usher::Client->new(port => $httpd->port);
        for my $n (1 .. 3) {
            for my $host (qw(named.test good.test any.wild.test 127.0.0.1)) {
                my $id = "$who-$host-$n";
                is($client->request(GET => '/ok', [Host => $host, 'X-Id' => $id])->{status}, 200, "$who: $host");
                my ($got) = $virtual->deliveries($id);
                is($got->{header}{host}, $host, 'passed on');
                is($got->{tls}{sni}, $host =~ /test/ ? $host : '', 'and asked for by SNI');
            }
        }
        my $answer = ask($httpd, GET => '/ok', [Host => 'elsewhere.test', 'X-Id' => "$who-no"]);
        isnt($answer->{status}, 200, "$who: a name that the certificate is not good for");
        is(scalar $virtual->deliveries("$who-no"), 0, 'is delivered nothing');
        if (!$stock) {
            is($answer->{status}, 503, 'answered with 503');
            for my $host ('good.test:1234', 'GOOD.TEST') {
                is(ask($httpd, GET => '/ok', [Host => $host, 'X-Id' => $host])->{status}, 200, "Host: $host");
                like(($virtual->deliveries($host))[0]{tls}{sni}, qr/^good\.test$/i, 'without the port');
            }
        }
        $httpd->finish("$who: log");
    }
};

# Each has its own connections, as its certificates and trust are its own.
subtest 'not shared between virtual hosts' => sub {
    my $asks = $backend{asks};
    my $member = tls_backend(ask => 'ask');
    my $httpd = tls_httpd(<<"EOT");
$patient
<Proxy balancer://shared>
    BalancerMember @{[ $member->url ]} retry=0
</Proxy>
<VirtualHost *:\@PORT\@>
    ServerName one.case
    SSLProxyEngine On
    $machine
    ProxyPass /balanced/ balancer://shared/
    ProxyPass / @{[ $asks->url('/') ]} retry=0
</VirtualHost>
<VirtualHost *:\@PORT\@>
    ServerName two.case
    SSLProxyEngine On
    SSLProxyMachineCertificateFile @{[ $certs->pair('client2') ]}
    ProxyPass /balanced/ balancer://shared/
    ProxyPass / @{[ $asks->url('/') ]} retry=0
</VirtualHost>
<VirtualHost *:\@PORT\@>
    ServerName strict.case
    SSLProxyEngine On
    SSLProxyVerify require
    SSLProxyCACertificateFile @{[ $certs->otherca ]}
    ProxyPass /balanced/ balancer://shared/
    ProxyPass / @{[ $asks->url('/') ]} retry=0
</VirtualHost>
EOT
    ok($httpd->start, 'httpd starts') or return diag $httpd->console;
    $httpd->log->tolerate(qr/USHER201[67]/);
    for my $path ('/', '/balanced/') {
        my $backend = $path eq '/' ? $asks : $member;
        my $client = Usher::Client->new(port => $httpd->port);
        for my $n (1 .. 4) {
            for my $case (['one', 'proxy.test'], ['two', 'proxy2.test']) {
                my $id = "$case->[0]-$n-" . length $path;
                is($client->request(GET => "${path}ok", [Host => "$case->[0].case", 'X-Id' => $id])->{status}, 200, "$path: $case->[0]");
                is(($backend->deliveries($id))[0]{tls}{client}, $case->[1], 'shows its own certificate');
            }
        }
        my $strict = ask($httpd, GET => "${path}ok", [Host => 'strict.case', 'X-Id' => 'strict']);
        is($strict->{status}, 503, "$path: who does not trust it does not go over another's connection");
        is(scalar $backend->deliveries('strict'), 0, 'nothing is delivered');
    }
    $httpd->finish('and nothing surprising in the log');
};

subtest 'what is missing is said' => sub {
    my $good = $backend{good};
    $good->clear;
    for my $case (['mod_ssl is not loaded', \&backend_httpd, "ProxyPass / @{[ $good->url('/') ]} retry=0\n", qr/mod_ssl/],
        ['SSLProxyEngine is off', \&tls_httpd, "ProxyPass / @{[ $good->url('/') ]} retry=0\n", qr/SSLProxyEngine/],
        ['for a member', \&tls_httpd, "<Proxy balancer://b>\nBalancerMember @{[ $good->url ]} retry=0\n</Proxy>\nProxyPass / balancer://b/\n", qr/SSLProxyEngine/]) {
        my ($name, $make, $lines, $says) = @$case;
        my $httpd = $make->($lines);
        my ($code, $out) = $httpd->configtest;
        is($code, 0, "$name: httpd starts all the same");
        # What is configured of mod_ssl is its secret until a connection is made.
        like($out, $says, 'but configtest warns') if $says =~ /mod_ssl/;
        ok($httpd->start, 'starts') or next;
        $httpd->log->tolerate(qr/USHER2\d\d\d/, qr/AH0196[12]|AH00961|AH01102/);
        is(ask($httpd, GET => '/ok')->{status}, 503, 'answered with 503');
        ok($httpd->log->wait_for(qr/USHER2\d\d\d.*(?:$says)/, 3), 'the log names the remedy');
        ok((wait_until { !grep { $_->{state} ne 'closed' } $good->connections } 3), 'no connection is left');
        is(scalar $good->requests, 0, 'and nothing was sent in clear');
        $httpd->finish('log');
    }
    # Told only where it concerns somebody.
    my $httpd = tls_httpd("SSLProxyEngine On\nProxyPass / @{[ $good->url('/') ]}\n");
    my ($code, $out) = $httpd->configtest;
    unlike($out, qr/USHER/, 'all is there: no warning');
    my $section = tls_httpd("<Proxy @{[ $good->url('/') ]}>\nSSLProxyEngine On\n</Proxy>\nProxyPass / @{[ $good->url('/') ]}\n");
    ($code, $out) = $section->configtest;
    unlike($out, qr/USHER/, 'no more where it is in the section of the backend');
};

%backend = ();
done_testing;
