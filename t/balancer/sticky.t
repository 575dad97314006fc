# Sessions stay with their member, as with mod_proxy_balancer and any other
# lbmethod: each case is also put to lbmethod=byrequests, for comparison.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Wait;
use Usher::Client ();
use Usher::Httpd ();

my ($a, $b, $c) = backends(qw(a b c));
my ($A, $B, $C) = map { $_->url } $a, $b, $c;
my %name_of = ($A => 'a', $B => 'b', $C => 'c');
my @three = ("$A route=r1", "$B route=r2", "$C route=r3");

# name => [members, ProxySet, URI, Cookie or undef, who may answer,
#          "session's route/its name/changed"]
my @cases = (
    ['a cookie', \@three, 'stickysession=SID', '/', 'SID=abc.r2', 'b', 'r2/SID/'],
    ['among others', \@three, 'stickysession=SID', '/', 'x=1; SID=abc.r3;y=2', 'c', 'r3/SID/'],
    ['with blanks before its =', \@three, 'stickysession=SID', '/', 'SID =abc.r3', 'c', 'r3/SID/'],
    ['not one whose name only ends so', \@three, 'stickysession=SID', '/', 'XSID=abc.r2', 'abc', '//1'],
    ['the second of two names', \@three, 'stickysession=SID', '/', 'XSID=abc.r1; SID=q.r2', 'b', 'r2/SID/'],
    ['no session', \@three, 'stickysession=SID', '/', undef, 'abc', '//1'],
    ['a value without a route', \@three, 'stickysession=SID', '/', 'SID=abc', 'abc', '//1'],
    ['an empty route', \@three, 'stickysession=SID', '/', 'SID=abc.', 'abc', '/SID/1'],
    ['a route that nobody has', \@three, 'stickysession=SID', '/', 'SID=abc.r9', 'abc', 'r9/SID/1'],
    ['the first separator counts', \@three, 'stickysession=SID', '/', 'SID=a.b.r2', 'abc', 'b.r2/SID/1'],
    ['another separator', \@three, 'stickysession=SID stickysessionsep=!', '/', 'SID=a.b!r2', 'b', 'r2/SID/'],
    ['a path parameter', \@three, 'stickysession=SID|sid scolonpathdelim=On', '/x;sid=abc.r3;z=1', undef, 'c', 'r3/sid/'],
    ['a query parameter', \@three, 'stickysession=SID|sid', '/x?y=1&sid=abc.r3&z=1', undef, 'c', 'r3/sid/'],
    ['it goes before a cookie', \@three, 'stickysession=SID|sid scolonpathdelim=On', '/x;sid=abc.r3', 'SID=abc.r1', 'c', 'r3/sid/'],
    ['one name for both', \@three, 'stickysession=sid scolonpathdelim=On', '/x;sid=abc.r3', undef, 'c', 'r3/sid/'],
    ['without scolonpathdelim the rest is the value', \@three, 'stickysession=sid', '/x;sid=abc.r3;z=1', undef, 'abc', 'r3;z=1/sid/1'],
    ['no stickysession', \@three, 'nofailover=Off', '/', 'SID=abc.r2', 'abc', '//'],
    ['a member that drains keeps its sessions', ["$A route=r1 status=+N", @three[1, 2]], 'stickysession=SID', '/', 'SID=abc.r1', 'a', 'r1/SID/'],
    ['and gets no new ones', ["$A route=r1 status=+N", @three[1, 2]], 'stickysession=SID', '/', undef, 'bc', '//1'],
    ['a member that is off', [$three[0], "$B route=r2 status=+D", $three[2]], 'stickysession=SID', '/', 'SID=abc.r2', 'ac', 'r2/SID/1'],
    ['which redirects', [$three[0], "$B route=r2 redirect=r3 status=+D", $three[2]], 'stickysession=SID', '/', 'SID=abc.r2', 'c', 'r3/SID/1'],
    ['redirects over two', ["$A route=r1 redirect=r2 status=+D", "$B route=r2 redirect=r3 status=+D", $three[2]], 'stickysession=SID', '/', 'SID=abc.r1', 'c', 'r3/SID/1'],
    ['redirects in a ring', ["$A route=r1 redirect=r2 status=+D", "$B route=r2 redirect=r1 status=+D", $three[2]], 'stickysession=SID', '/', 'SID=abc.r1', 'c', 'r1/SID/1'],
    ['a standby with the same route', [$three[0], "$B route=r2 status=+D", "$C route=r2 status=+H"], 'stickysession=SID', '/', 'SID=abc.r2', 'c', 'r2/SID/'],
    ['nofailover', [$three[0], "$B route=r2 status=+D", $three[2]], 'stickysession=SID nofailover=On', '/', 'SID=abc.r2', '503', undef],
    ['nofailover with a route that nobody has', \@three, 'stickysession=SID nofailover=On', '/', 'SID=abc.r9', 'abc', 'r9/SID/1'],
    ['nofailover without a session', \@three, 'stickysession=SID nofailover=On', '/', undef, 'abc', '//1'],
);

# All cases in one configuration, each with a path of its own.
sub conf {
    my ($method) = @_;
    my $text = '';

    for my $i (0 .. $#cases) {
        my (undef, $members, $set) = @{ $cases[$i] };
        $text .= "<Proxy balancer://s$i>\nProxySet lbmethod=$method $set\n"
            . join('', map { "BalancerMember $_\n" } @$members) . "</Proxy>\nProxyPass /s$i balancer://s$i\n";
    }
    my $env = join '/', map { "%{BALANCER_$_}e" } qw(SESSION_ROUTE SESSION_STICKY ROUTE_CHANGED NAME WORKER_NAME WORKER_ROUTE);
    return "${text}Header set X-Env \"$env\"\n"
        . qq(LogFormat "%U %{session-route}n %{session-sticky}n" notes\nCustomLog logs/notes notes\n);
}

# What each case gives: [who, env of the session, all the rest is as it must be]
sub answers {
    my ($httpd) = @_;

    return map {
        my ($name, $members, undef, $uri, $cookie) = @{ $cases[$_] };
        my $answer = Usher::Client->get($httpd->port, "/s$_" . ($uri eq '/' ? '/' : $uri), defined $cookie ? [Cookie => $cookie] : []);
        my ($env) = $answer->{head} =~ /^X-Env: (.*)\r$/m;
        my @env = split m{/}, ($env // '') =~ s/\(null\)//gr, 4;
        my $who = $answer->{status} == 200 ? $answer->{body} : $answer->{status};
        [$who, join("/", map { $_ // "" } @env[0 .. 2]), $env[3] // ''];
    } 0 .. $#cases;
}

my $reference = Usher::Httpd->new(conf => conf('byrequests'), usher => [],
    modules => [qw(proxy proxy_http proxy_balancer lbmethod_byrequests slotmem_shm headers)]);
ok $reference->start, 'byrequests: starts' or diag $reference->console;
my @reference = answers($reference);
my %seen = (byrequests => \@reference);
$reference->log->expect(qr/AH01167/);
$reference->finish('byrequests: log');

for my $mode (modes()) {
    my $httpd = balancer_httpd($mode, conf('usher'));
    ok $httpd->start, "$mode: starts" or diag $httpd->console;
    $seen{$mode} = [answers($httpd)];
    $httpd->log->expect($mode eq 'stock' ? qr/AH01167/ : qr/USHER3007: .* of a session with route r2/);
    # A line is written after its answer, and two threads write in any order.
    my $notes = '';
    wait_until {
        open my $fh, '<', $httpd->root . '/logs/notes' or die $!;
        local $/;
        ($notes = <$fh> // '') =~ tr/\n// >= @cases;
    } 5;
    like $notes, qr{^/s0/ r2 SID$}m, "$mode: notes of a request with a session";
    like $notes, qr{^/s5/ - -$}m, "$mode: and without";
    $httpd->finish("$mode: log");
}

for my $mode (modes()) {
    subtest "$mode: requests of sessions are turns" => sub {
        my $httpd = balancer_httpd($mode, "<Proxy balancer://app>\nBalancerMember $A route=r1\nBalancerMember $B route=r2\nBalancerMember $C route=r3 status=+N\n"
            . "ProxySet lbmethod=usher-requests stickysession=SID\n</Proxy>\nProxyPass / balancer://app/\n");
        ok $httpd->start, 'starts' or diag $httpd->console;
        my $session = sub { row($httpd, $_[1], '/', [Cookie => "SID=x.$_[0]"]) };
        like row($httpd, 4), qr/^(?:ab)+$/, 'by turns';
        is $session->('r1', 1), 'a', 'a session of a';
        is row($httpd, 3), 'bab', 'the next one goes to b';
        is $session->('r2', 2), 'bb', 'two of b';
        like row($httpd, 4), qr/^aa(?:ab|ba)$/, 'the next two go to a';
        $session->('r1', 40);
        like row($httpd, 24), qr/^b{4,5}(?:ab|ba)+b?$/, 'a busy session does not leave a without others for ever';
        $session->('r3', 20);
        like row($httpd, 4), qr/^(?:ab|ba)+$/, 'a member that drains has no turns';
        $httpd->finish('log');
    };
}

subtest 'many members whose redirects are a ring' => sub {
    my $members = join '', map { my ($i, $from, $to) = ($_, $_ % 2 ? qw(x y) : qw(y x));
        "BalancerMember http://127.0.0.$i:9 route=$from redirect=$to status=+D\n" } 1 .. 16;
    my $httpd = balancer_httpd((modes())[-1], "<Proxy balancer://app>\n${members}BalancerMember $A route=r1\nProxySet lbmethod=usher-requests stickysession=SID\n</Proxy>\n"
        . "ProxyPass / balancer://app/\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $start = time;
    is who($httpd, '/', [Cookie => 'SID=s.x']), 'a', 'another member serves';
    soon($start, 5, 'soon');
    $httpd->finish('log');
};

for my $i (0 .. $#cases) {
    my ($name, $members, $who, $env) = @{ $cases[$i] }[0, 1, 5, 6];

    for my $mode (sort keys %seen) {
        my ($did, $session, $rest) = @{ $seen{$mode}[$i] };
        if ($who eq '503') {
            is $did, 503, "$mode: $name";
            next;
        }
        like $did, qr/^[$who]$/, "$mode: $name";
        my ($worker) = grep { $name_of{$_} eq $did } keys %name_of;
        my ($route) = map { /route=(\w+)/ } grep { /^\Q$worker\E / } @$members;
        is $session, $name =~ /redirects/ ? $session : $env, "$mode: $name: the session's environment";
        is $rest, "balancer://s$i/$worker/$route", "$mode: $name: the member's environment";
    }
    is $_->[0], $_->[1], "$name: the environment is that of byrequests"
        for map { [$seen{$_}[$i][1], $reference[$i][1]] } grep { $_ ne 'byrequests' } sort keys %seen;
}

done_testing;
