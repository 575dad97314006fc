# What configtest refuses of a cluster, that a restart into it does not end the
# site, which virtual hosts share a cluster, and URLs where mod_proxy_balancer is
# not loaded.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::Httpd ();
use Usher::Wait;

my ($a, $b, $c) = backends(qw(a b c));
my ($A, $B, $C) = map { $_->url } $a, $b, $c;
my $standin = grep { $_ eq 'standin' } modes();

sub cluster {
    return "<Proxy balancer://app>\nProxySet lbmethod=usher-requests\n" . join('', map { "BalancerMember $_\n" } @_)
        . "</Proxy>\nProxyPass / balancer://app/\n";
}

# name => [mode, configuration, what configtest says (undef: nothing), options]
my @cases = (
    ['no core', 'stock', cluster($A), qr/USHER1002: mod_usher_balancer needs mod_usher: add "LoadModule usher_module/, usher => ['usher_balancer']],
    ['nobody carries its requests', 'stock', cluster($A), qr/USHER3001: balancer:\/\/app cannot be a cluster .* no module carries its requests: load mod_usher_backend, or mod_proxy_balancer and mod_proxy_http/, modules => [qw(proxy proxy_http headers)]],
    ['an fcgi member', 'stock', cluster($A, 'fcgi://127.0.0.1:9000'),
        qr/USHER3001: balancer:\/\/app cannot be a cluster \(lbmethod=usher-requests\): its member fcgi:\/\/127.0.0.1:9000 is no http, https, ws, wss or ajp server: give this balancer another lbmethod/],
    ['an https member, with the stock handlers', 'stock', cluster('https://127.0.0.1:8443'), undef],
    ['an ajp member, with the stock handlers', 'stock', cluster('ajp://127.0.0.1:8009'), undef],
    ['an https and an ajp member', 'standin', cluster($A, 'https://127.0.0.1:8443', 'ajp://127.0.0.1:8009'), undef],
    ['a ws member', 'standin', cluster($A, 'ws://127.0.0.1:8443'), undef],
    ['no member', 'standin', "<Proxy balancer://app>\nProxySet lbmethod=usher-requests\n</Proxy>\nProxyPass / balancer://app/\n", undef],
    ['ProxyRemote for all', 'standin', cluster($A) . "ProxyRemote * http://127.0.0.1:3128\n",
        qr/USHER3001: .* "ProxyRemote \*" holds for it too, .* such as "ProxyRemote http"/],
    ['ProxyRemote by its name', 'standin', cluster($A) . "ProxyRemote balancer://app http://127.0.0.1:3128\n", qr/USHER3001: .* "ProxyRemote balancer:\/\/app" holds for it too/],
    ['ProxyRemoteMatch', 'standin', cluster($A) . "ProxyRemoteMatch app http://127.0.0.1:3128\n", qr/USHER3001: .* "ProxyRemote app" holds for it too/],
    ['ProxyRemote for others', 'standin', cluster($A) . "ProxyRemote http http://127.0.0.1:3128\nProxyRemote balancer://other http://127.0.0.1:3128\n", undef],
    ['in a virtual host', 'stock', "<VirtualHost *:\@PORT@>\n" . cluster('fcgi://127.0.0.1:9000') . "</VirtualHost>\n", qr/USHER3001: balancer:\/\/app cannot be a cluster/],
    ['a directive of ours, lbmethod in ProxyPass of a virtual host', 'stock',
        "<Proxy balancer://app>\nBalancerMember $A\nUsherCheck tcp\n</Proxy>\n<VirtualHost *:\@PORT@>\nProxyPass / balancer://app/ lbmethod=usher-requests\n</VirtualHost>\n", undef],
    ['two mistakes in one section', 'standin', "<Proxy balancer://app>\nProxySet lbmethod=usher\nBalancerMember $A\nUsherMemberMax 5 nobody\nUsherCheck cping\n</Proxy>\n",
        qr/USHER3023: .*UsherMemberMax.*USHER3023: .*UsherCheck cping/s],
    ['lbmethod in ProxyPass', 'stock', "<Proxy balancer://app>\nBalancerMember $A\n</Proxy>\nProxyPass / balancer://app/ lbmethod=usher-requests\n", undef],
);

# Going back to the stock balancer is one word, so this is said and not refused.
for my $set ('', 'ProxySet lbmethod=byrequests') {
    for my $where (['main server', '', ''], ['virtual host', "<VirtualHost *:\@PORT@>\n", "</VirtualHost>\n"]) {
        my $httpd = balancer_httpd('stock', "$where->[1]<Proxy balancer://app>\nBalancerMember $A\n$set\nUsherCheck tcp\n</Proxy>\nProxyPass / balancer://app/\n$where->[2]",
            modules => [qw(proxy proxy_http proxy_balancer lbmethod_byrequests slotmem_shm headers)]);
        my ($code, $out) = $httpd->configtest;
        is $code, 0, "a directive of ours without a cluster ($where->[0], '$set'): no error";
        is scalar(() = $out =~ /USHER3056: <Proxy balancer:\/\/app>: its Usher directives mean nothing, .* add "ProxySet lbmethod=usher"/g), 1, 'but said, once';
    }
}

# What does nothing is said, too.
{
    my $httpd = balancer_httpd('stock', cluster($A) =~ s{</Proxy>}{UsherHashKey "%{HTTP_HOST}"\nUsherStick cookie:S\n</Proxy>}r);
    my ($code, $out) = $httpd->configtest;
    is $code, 0, 'directives that do nothing: no error';
    like $out, qr/USHER3057: <Proxy balancer:\/\/app>: UsherHashKey means nothing with lbmethod=usher-requests: write "ProxySet lbmethod=usher-hash"/, 'but said: UsherHashKey';
    like $out, qr/USHER3058: <Proxy balancer:\/\/app>: UsherStick means nothing without mod_usher_backend/, 'and UsherStick';
}

for my $case (@cases) {
    my ($name, $mode, $conf, $says, %opt) = @$case;

    next if $mode eq 'standin' && !$standin;
    my $httpd = balancer_httpd($mode, $conf, %opt);
    my ($code, $out) = $httpd->configtest;
    if ($says) {
        isnt $code, 0, "$name: refused";
        like $out, $says, "$name: and why";
    } else {
        is $code, 0, "$name: fine" or diag $out;
    }
}

subtest 'virtual hosts that inherit a cluster' => sub {
    my $hosts = join '', map { "<VirtualHost *:\@PORT@>\nServerName $_\n\%s\n</VirtualHost>\n" } qw(one two);
    my ($code, $out) = balancer_httpd('stock', cluster('fcgi://127.0.0.1:9000') . sprintf $hosts, '', '')->configtest;
    my $count = () = $out =~ /USHER3001/g;
    is $count, 1, 'what is wrong with it is said once';
    return if !$standin;
    ($code, $out) = balancer_httpd('standin', cluster($A) . sprintf $hosts, "ProxyPass /v balancer://app\nProxyRemote * http://127.0.0.1:3128", '')->configtest;
    isnt $code, 0, 'ProxyRemote in a host that has a ProxyPass to it: refused';
    like $out, qr/USHER3001: .* "ProxyRemote \*" holds for it too/, 'and why';
};

for my $mode (modes()) {
    subtest "$mode: a restart into what configtest refuses" => sub {
        my $httpd = balancer_httpd($mode, cluster($A, $B));
        ok $httpd->start, 'starts' or diag $httpd->console;
        like row($httpd, 4), qr/^(?:ab)+$/, 'both serve';
        $httpd->log->expect(qr/USHER3001: balancer:\/\/app cannot be a cluster/);
        $httpd->conf(balancer_conf(cluster($A, $B, 'fcgi://127.0.0.1:9000 status=+D')));
        ok $httpd->graceful, 'httpd goes on';
        ok $httpd->log->wait_for(qr/USHER3004: balancer:\/\/app is a cluster of 3 members; its requests are carried by the stock modules/), 'without us in the middle';
        like row($httpd, 4), qr/^(?:ab|ba)+$/, 'and answers';
        $httpd->conf(balancer_conf(cluster($A, $B, $C)));
        ok $httpd->graceful, 'mended';
        ok((wait_until { who($httpd) eq 'c' }), 'and all is well');
        $httpd->finish('only the announced in the log');
    };

    subtest "$mode: a restart without the core" => sub {
        my $httpd = balancer_httpd($mode, cluster($A, $B), modules => [qw(proxy proxy_http proxy_balancer slotmem_shm)]);
        my @all = @{ $httpd->{usher} };
        ok $httpd->start, 'starts' or diag $httpd->console;
        like row($httpd, 4), qr/^(?:ab)+$/, 'both serve';
        $httpd->log->expect(qr/USHER1002: mod_usher_balancer needs mod_usher/);
        $httpd->log->tolerate(qr/USHER1002: mod_usher(?:test|_backend) needs/);
        $httpd->conf(balancer_conf(cluster($A, $B)), usher => [grep { $_ ne 'usher' } @all]);
        ok $httpd->graceful, 'httpd goes on';
        ok $httpd->log->wait_for(qr/USHER3004: .* carried by the stock modules/), 'with the stock modules';
        like row($httpd, 12), qr/^[ab]+$/, 'and answers';
        $httpd->conf(balancer_conf(cluster($A, $B)), usher => \@all);
        ok $httpd->graceful, 'mended';
        like row($httpd, 4), qr/^(?:ab|ba)+$/, 'both serve';
        $httpd->finish('only the announced in the log');
    };

    subtest "$mode: virtual hosts" => sub {
        my ($second, $third) = (Usher::Wait::free_port(), Usher::Wait::free_port());
        my $httpd = balancer_httpd($mode, cluster($A, $B) =~ s{ProxyPass / balancer://app/}{ProxyPass /m balancer://app}r . <<"EOT");
Listen 127.0.0.1:$second
<VirtualHost *:\@PORT@>
    ServerName inherits
    ProxyPass /v balancer://app
</VirtualHost>
<VirtualHost *:\@PORT@>
    ServerName own
    <Proxy balancer://own>
        BalancerMember $C
        ProxySet lbmethod=usher-requests
    </Proxy>
    ProxyPass /v balancer://own
</VirtualHost>
Listen 127.0.0.1:$third
<VirtualHost *:\@PORT@>
    ServerName twin
    <Proxy balancer://twin>
        BalancerMember $A
        BalancerMember $B
        ProxySet lbmethod=usher-requests
    </Proxy>
    ProxyPass /v balancer://twin
</VirtualHost>
<VirtualHost 127.0.0.1:$third>
    ServerName twin
    <Proxy balancer://twin>
        BalancerMember $A
        BalancerMember $C
        ProxySet lbmethod=usher-requests
    </Proxy>
    ProxyPass /v balancer://twin
</VirtualHost>
<VirtualHost *:\@PORT@>
    ServerName other
    <Proxy balancer://own>
        BalancerMember $A
        ProxySet lbmethod=usher-requests
    </Proxy>
    ProxyPass /v balancer://own
</VirtualHost>
EOT
        ok $httpd->start, 'starts' or diag $httpd->console;
        # One row of turns for the main server (on the second port) and the host.
        my $turns = '';
        for (1 .. 4) {
            $turns .= who($httpd, '/v/', [Host => 'inherits']);
            $turns .= Usher::Client->get($second, '/m/')->{body};
        }
        is $turns, 'abababab', 'a host that inherits a cluster shares it';
        is row($httpd, 2, '/v/', [Host => 'own']), 'cc', 'one of its own is another';
        is row($httpd, 2, '/v/', [Host => 'other']), 'aa', 'also with the same name';
        $turns = '';
        for (1 .. 4) {
            $turns .= who($httpd, '/v/', [Host => 'twin']);
            $turns .= Usher::Client->get($third, '/v/', [Host => 'twin'])->{body};
        }
        is $turns, 'aabcaabc', 'or with the same name and host name, on two ports';
        my @lines = grep { /USHER3004/ } $httpd->log->lines;
        is scalar(grep { /balancer:\/\/app / } @lines), 1, 'one cluster, not one per host';
        is scalar(grep { /balancer:\/\/own / } @lines), 2, 'and two of the other name';
        $httpd->finish('nothing else in the log');
    };
}

sub uri_at_backend {
    my ($httpd, $uri) = @_;

    $a->clear;
    $a->on(qr{.}, http_answer(200, [], 'x'));
    my $answer = Usher::Client->get($httpd->port, $uri);
    return $answer->{status} . ' ' . join ' ', map { $_->{uri} } $a->requests;
}

my @uris = ('/', '/x?', '/a%20b/c%2Bd', '/x?y=%20z&u=1', '/%e2%82%ac', '/a;b=c,d', '/x%3Fy', '/a%0d%0aX:%20y', '/x?y=%0d%0a', '/%7e/~', '/a%25b', '/x/../y', '/a//b');

subtest 'URLs as the backend gets them' => sub {
    my $stock = balancer_httpd('stock', cluster($A) =~ s/usher-requests/byrequests/r, usher => [], modules => [qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests)]);
    ok $stock->start, 'starts' or diag $stock->console;
    my %stock = map { $_ => uri_at_backend($stock, $_) } @uris;
    $stock->log->tolerate(qr/proxy/);
    $stock->finish('log');
    for my $mode (modes()) {
        my $httpd = balancer_httpd($mode, cluster($A));
        ok $httpd->start, "$mode: starts" or diag $httpd->console;
        is uri_at_backend($httpd, $_), $stock{$_}, "$mode: $_ as with byrequests" for @uris;
        $httpd->finish("$mode: log");
    }
    plan skip_all => 'mod_usher_backend is not there' if !$standin;
    my $httpd = balancer_httpd('standin', cluster($A, $B), modules => ['proxy', 'headers']);
    ok $httpd->start, 'without mod_proxy_balancer: starts' or diag $httpd->console;
    like row($httpd, 2), qr/^(?:[abx]{2})$/, 'members serve';
    $httpd->conf(balancer_conf(cluster($A)));
    $httpd->graceful;
    for my $uri (@uris) {
        wait_until { uri_at_backend($httpd, '/') eq '200 /' } if $uri eq '/';
        is uri_at_backend($httpd, $uri), $uri =~ /^\/a%0d/ ? '400 ' : $stock{$uri}, "$uri: without mod_proxy_balancer";
    }
    ok $httpd->log->wait_for(qr/USHER3005: a URL of a cluster is refused: there are control characters in its path/), 'said';
    $httpd->finish('nothing alarming in the log');
};

subtest 'UsherBackend Off' => sub {
    plan skip_all => 'mod_usher_backend is not there' if !$standin;
    my $httpd = balancer_httpd('standin', <<"EOT" . cluster($A, $B), modules => [qw(proxy proxy_http proxy_balancer slotmem_shm headers)]);
<Location /off>
    UsherBackend Off
</Location>
LogFormat "%U %{USHER_STATE}e" states
CustomLog logs/states states
EOT
    ok $httpd->start, 'starts' or diag $httpd->console;
    $a->on(qr{.}, http_answer(200, [], 'a'));
    my $row = '';
    for (1 .. 4) {
        for my $uri ('/on', '/off') {
            $row .= who($httpd, $uri);
        }
    }
    like $row, qr/^(?:ab)+$/, 'one row of turns for both';
    my $states = wait_until {
        open my $fh, '<', $httpd->root . '/logs/states' or return;
        local $/;
        my $text = readline $fh;
        ($text =~ tr/\n//) == 8 && $text;
    };
    # Two children may write in any order.
    is join('', sort split /^/m, $states), "/off -\n" x 4 . "/on --\n" x 4, 'each served as it is told';
    $httpd->finish('nothing in the log');
};

subtest 'without mod_proxy_balancer' => sub {
    plan skip_all => 'mod_usher_backend is not there' if !$standin;
    my @modules = (modules => [qw(proxy headers)]);
    my $httpd = balancer_httpd('standin', "<Location /off>\nUsherBackend Off\n</Location>\n" . cluster($A, $B), @modules);
    my @all = @{ $httpd->{usher} };
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->expect(qr/USHER3013: balancer:\/\/app: no module carries this request: mod_usher_backend is told not to .* Remove that line, or load mod_proxy_balancer/,
        qr/USHER3013: .* mod_usher_backend does not serve this cluster/, qr/USHER3001: .* no module carries its requests/);
    like row($httpd, 2), qr/^[abx]{2}$/, 'members serve';
    is who($httpd, '/off'), 503, 'UsherBackend Off: 503';
    $httpd->conf(balancer_conf(cluster($A, $B)), @modules, usher => [grep { $_ ne 'usher_backend' } @all]);
    ok $httpd->graceful, 'a restart without mod_usher_backend';
    ok((wait_until { who($httpd) eq '503' }), '503 as well');
    $httpd->conf(balancer_conf(cluster($A, $B)), @modules, usher => \@all);
    ok $httpd->graceful, 'mended';
    ok((wait_until { row($httpd, 2) =~ /^[abx]{2}$/ }), 'members serve');
    $httpd->finish('only the announced in the log');
};

# Before the modules that they need go.
($a, $b, $c) = ();
done_testing;
