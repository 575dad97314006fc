# What TLS to backends shares between virtual hosts, <Proxy> sections and the
# names that clients ask for, and what it keeps apart.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Env ();
use Usher::Names ();
use Usher::TLSTest;
use Usher::Wait;

my $prefork = $ENV{USHER_MPM} eq 'prefork';
my $cluster = grep { $_ eq 'usher_balancer' } Usher::Env::usher_modules();
my $keep = http_answer(200, [], 'kept');

# SSLProxy* of a <Proxy> section makes a connection what it is.
subtest 'sections have connections of their own' => sub {
    my ($asks, $other) = (tls_backend(ask => 'ask'), tls_backend(cert => 'other'));
    my ($to, $strange) = ($asks->url, $other->url);
    my $server = tls_httpd(<<"EOT");
UsherBackendTimeout connect=20s
UsherBackendRest Off
SSLProxyEngine On
SSLProxyCACertificateFile @{[ certs()->ca ]}
ProxyPass /a/ $to/
ProxyPass /o/ $strange/ retry=0
<Proxy $to/admin>
    SSLProxyMachineCertificateFile @{[ certs()->pair('client') ]}
</Proxy>
<Proxy $to/second>
    SSLProxyMachineCertificateFile @{[ certs()->pair('client2') ]}
</Proxy>
<ProxyMatch /pattern/>
    SSLProxyMachineCertificateFile @{[ certs()->pair('client2') ]}
</ProxyMatch>
<Proxy $strange/strict>
    SSLProxyVerify require
</Proxy>
EOT
    ok($server->start, 'httpd starts') or return diag $server->console;
    $server->log->tolerate(qr/USHER201[267]/);
    my %shows = (public => '', 'admin/x' => 'proxy.test', 'admin/y' => 'proxy.test', 'second/x' => 'proxy2.test', 'x/pattern/y' => 'proxy2.test');
    $_->on(qr{.}, $keep) for $asks, $other;
    my $http = Usher::Client->new(port => $server->port);
    for my $turn (1 .. 3) {
        for my $path (sort keys %shows) {
            my $id = "$path-$turn" =~ s/\W/-/gr;
            is(tells($http->request(GET => "/a/$path", ['X-Id' => $id])), '200 complete kept', "$path, $turn");
            is((($asks->deliveries($id))[0] // {})->{tls}{client}, $shows{$path}, 'shows the certificate of its section, or none');
        }
        is($http->request(GET => '/o/any')->{status}, 200, 'one that is trusted in one place');
        my $strict = $http->request(GET => '/o/strict', ['X-Id' => "strict-$turn"]);
        is($strict->{status}, 503, 'is not in the other');
        is(scalar $other->deliveries("strict-$turn"), 0, 'and gets nothing');
        $http = Usher::Client->new(port => $server->port);    # it closes after an error
    }
    # Two children of the prefork MPM may have had a turn.
    cmp_ok(scalar $asks->connections, '<=', 4, 'and each kept theirs') if !$prefork;
    $server->finish('log');
};

# What holds for a member holds for all virtual hosts together.
subtest 'max=, several virtual hosts' => sub {
    my $member = tls_backend();
    my $server = tls_httpd(<<"EOT" . join '', map { <<"VHOST" } 1 .. 4);
UsherBackendTimeout connect=20s
SSLProxyEngine On
SSLProxyCheckPeerName off
<Proxy balancer://limited>
    BalancerMember @{[ $member->url ]} max=1 acquire=30000
</Proxy>
EOT
<VirtualHost *:\@PORT\@>
    ServerName v$_.case
    SSLProxyEngine On
    SSLProxyCheckPeerName off
    ProxyPass / balancer://limited/
</VirtualHost>
VHOST
    ok($server->start, 'httpd starts') or return diag $server->console;
    $member->on('/slow', [stall(0.3), $keep]);
    my @clients = map {
        my $http = Usher::Client->new(port => $server->port);
        $http->send(http_request(GET => '/slow', [Host => "v$_.case", Connection => 'close']));
        $http;
    } 1 .. 4;
    is(tells($_->answer), '200 complete kept', 'each is served in its turn') for @clients;
    my @times = sort { $a <=> $b } map { $_->{at} } $member->requests('/slow');
    is(scalar(grep { $times[$_] - $times[$_ - 1] < 0.25 } 1 .. $#times), 0, 'one after the other') or diag "@times";
    # httpd closes one before it makes another; the member may note that end later.
    ok((wait_until { 1 == grep { $_->{state} ne 'closed' } $member->connections }), 'max=1: one connection is left');
    $server->finish('log');
} if !$prefork;

subtest 'smax=, many names' => sub {
    my $member = tls_backend();
    my $server = tls_httpd(<<"EOT");
UsherBackendTimeout connect=20s
SSLProxyEngine On
SSLProxyCheckPeerName off
ProxyPreserveHost On
ProxyPass / @{[ $member->url('/') ]} smax=3 ttl=3600
EOT
    ok($server->start, 'httpd starts') or return diag $server->console;
    my $http = Usher::Client->new(port => $server->port);
    my $of = sub { return $http->request(GET => '/ok', [Host => $_[0]])->{status} };
    is($of->("foreign$_.case"), 200, "name $_") for 1 .. 6;
    my $before = () = $member->connections;
    is($of->('own.case'), 200, 'another one') for 1 .. 6;
    is(scalar(() = $member->connections) - $before, 1, 'has a connection that is used again');
    ok((wait_until { 3 >= grep { $_->{state} ne 'closed' } $member->connections } 3), 'and no more than smax= are kept') if !$prefork;    # by each child
    $server->finish('log');
};

# A client may ask for any name; that its member has no certificate for it is not the member's fault.
subtest 'a foreign Host lets nobody rest' => sub {
    for my $how ('stock', $cluster ? 'cluster' : ()) {
        my @pair = map { tls_backend(cert => 'named') } 1, 2;
        my $expired = tls_backend(cert => 'expired');
        my $known = Usher::Names->new('named.test' => ['127.0.0.1']);
        my @urls = map { $_->url =~ s/127\.0\.0\.1/named.test/r } @pair;
        my $lb = $how eq 'cluster' ? 'ProxySet lbmethod=usher' : '';
        my $server = tls_httpd(trusting() . <<"EOT", $known->options);
ProxyPreserveHost On
UsherBackendTimeout connect=20s
UsherBackendRest failures=2 rest=1h
<Proxy balancer://b>
    BalancerMember $urls[0] route=a
    BalancerMember $urls[1] route=b
    ProxySet stickysession=S
    $lb
</Proxy>
ProxyPass /b/ balancer://b/
<Proxy balancer://e>
    BalancerMember @{[ $expired->url ]} route=a
    BalancerMember $urls[1] route=b
    ProxySet stickysession=S
    $lb
</Proxy>
ProxyPass /e/ balancer://e/
EOT
        ok($server->start, "$how: httpd starts") or return diag $server->console;
        $server->log->tolerate(qr/USHER(?:201[2-7]|300\d)/);
        my $n = 0;
        my $asked = sub {
            my ($place, $host, $route) = @_;
            my $id = "$how-$place-" . ++$n;
            my $answer = ask($server, GET => "/$place/ok", [Host => $host, 'X-Id' => $id, Cookie => "S=s.$route"]);
            return ($answer->{status}, join(' ', map { scalar $_->deliveries($id) } @pair), logged($server, $id)->{attempts});
        };
        is(join(' ', ($asked->('b', 'named.test', $_))[0, 1]), $_ eq 'a' ? '200 1 0' : '200 0 1', "$how: session of $_") for qw(a b);
        for my $turn (1 .. 4) {
            for my $route (qw(a b)) {
                my ($status) = $asked->('b', "foreign$turn.example", $route);
                is($status, 503, 'a name that nobody has');
                is(join(' ', ($asked->('b', 'named.test', $_))[0, 1]), $_ eq 'a' ? '200 1 0' : '200 0 1', "the session of $_ is still there") for qw(a b);
            }
        }
        # But one that has a fault of its own rests.
        my ($status, $got, $attempts) = $asked->('e', 'named.test', 'a');
        is("$status $got", '200 0 1', 'an expired certificate: the other one serves');
        like($attempts, qr/=refused.*,.*=ok/, 'it was tried');
        ($status, $got, $attempts) = $asked->('e', 'named.test', 'a');
        is("$status $got", '200 0 1', 'then');
        unlike($attempts, qr/,/, 'it rests') or diag $attempts;
        $server->finish('log');
    }
};

done_testing;
