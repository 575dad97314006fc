# Whose turn it is: load factors, lbset, spares, standbys, and members that are
# switched off; the same for all children, with both ways of serving.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::BalancerTest;
use Usher::CoreTest ();
use Usher::Wait;

my ($a, $b, $c) = backends(qw(a b c));
my ($A, $B, $C) = map { $_->url } $a, $b, $c;

# A cluster of these members under /
sub cluster {
    return "<Proxy balancer://app>\nProxySet lbmethod=usher-requests\n" . join('', map { "BalancerMember $_\n" } @_)
        . "</Proxy>\nProxyPass /t !\nProxyPass / balancer://app/\n";
}

# name => [members, what a row of requests gives]
my @cases = (
    ['by turns', ["$A", "$B", "$C"], 9, qr/^(?:abc)+$/],
    ['3 : 1 : 1, evenly spread', ["$A loadfactor=3", "$B", "$C"], 25, qr/^(?:abaca){5}$/],
    ['1 : 5', ["$A loadfactor=1", "$B loadfactor=5"], 18, qr/^(?:bbabbb|bbbabb){3}$/],
    ['3 : 1 : 2', ["$A loadfactor=3", "$B", "$C loadfactor=2"], 12, qr/^(?:acabca|acabac|acacab|acbaca){2}$/],
    ['one member', ["$A"], 4, qr/^a+$/],
    ['disabled', ["$A status=+D", "$B", "$C"], 4, qr/^(?:bc)+$/],
    ['stopped', ["$A", "$B status=+S", "$C"], 4, qr/^(?:ac)+$/],
    ['draining', ["$A", "$B", "$C status=+N"], 4, qr/^(?:ab)+$/],
    ['lbset: the first one only', ["$A lbset=1", "$B lbset=0", "$C lbset=0"], 6, qr/^(?:bc)+$/],
    ['lbset: the next one when none is left', ["$A lbset=4", "$B lbset=1 status=+D", "$C lbset=7"], 4, qr/^a+$/],
    ['a standby waits', ["$A", "$B status=+H", "$C"], 6, qr/^(?:ac)+$/],
    ['a standby serves when none is left', ["$A status=+D", "$B status=+H", "$C status=+S"], 4, qr/^b+$/],
    ['a spare waits', ["$A", "$B", "$C status=+R"], 4, qr/^(?:ab)+$/],
    ['a spare stands in for one that is off', ["$A", "$B status=+D", "$C status=+R"], 4, qr/^(?:ac)+$/],
    ['a spare stands in for one that drains', ["$A", "$B status=+N", "$C status=+R"], 4, qr/^(?:ac)+$/],
    ['nobody', ["$A status=+D", "$B status=+D", "$C status=+D"], 2, qr/^(?:503)+$/],
);

for my $mode (modes()) {
    my $httpd = balancer_httpd($mode, cluster("$A"));
    my $started;
    my $round = 0;
    for my $case (@cases) {
        my ($name, $members, $n, $expected) = @$case;
        # Another name, so that each begins with fresh turns.
        my $conf = cluster(@$members) =~ s{balancer://app}{"balancer://app" . $round}ger;
        $round++;
        $httpd->conf(balancer_conf($conf));
        if ($started) {
            my $before = Usher::CoreTest::ask($httpd, 'pid')->{generation};
            $httpd->graceful;
            wait_until { (Usher::CoreTest::ask($httpd, 'pid')->{generation} // -1) > $before };
        } else {
            $started = ok($httpd->start, "$mode: starts") or diag $httpd->console;
        }
        $httpd->log->expect($mode eq 'stock' ? qr/AH01170/ : qr/USHER3007: balancer:\/\/app\d+: none of its 3 members/)
            if $name eq 'nobody';
        like row($httpd, $n), $expected, "$mode: $name";
    }
    my $lines = grep { /USHER3004: balancer:\/\/app0 is a cluster of 3 members; its requests are carried by (.*)/
        && $1 eq ($mode eq 'stock' ? 'the stock modules' : 'mod_usher_backend, except where UsherBackend is Off') } $httpd->log->lines;
    cmp_ok $lines, '>', 0, "$mode: the log says who serves";
    $httpd->finish("$mode: only the announced in the log");
}

done_testing;
