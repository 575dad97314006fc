# Whom each lbmethod gives requests to: load factors, slow members, requests in flight,
# keys; with a thousand members as with three, for all children.
use strict;
use warnings FATAL => 'all';

use List::Util qw(max);
use POSIX ();
use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::CoreTest ();
use Usher::Wait;

my ($a, $b, $c, $d, $e) = backends(qw(a b c d e));
my ($A, $B, $C, $D, $E) = map { $_->url } $a, $b, $c, $d, $e;
my $standin = (grep { $_ eq 'standin' } modes())[0];

# A cluster of these members under /
sub cluster {
    my ($method, @lines) = @_;

    return "MaxKeepAliveRequests 0\nTimeout 20\n<Proxy balancer://app>\nProxySet lbmethod=$method\n" . join('', map { /^Usher/ ? "$_\n" : "BalancerMember $_\n" } @lines)
        . "</Proxy>\nProxyPass /t !\nProxyPass / balancer://app/\nHeader set X-Member %{BALANCER_WORKER_ROUTE}e\n";
}

# Who answers these URIs, one after the other on one connection: its name and its route.
sub served {
    my ($httpd, @uris) = @_;
    my $client = Usher::Client->new(port => $httpd->port, timeout => 20);
    my (@who, @routes);

    for my $uri (@uris) {
        my ($path, @headers) = ref $uri ? @$uri : $uri;
        $client->send(http_request(GET => $path, \@headers));
        my $answer = $client->answer(timeout => 20);
        push @who, ($answer->{status} // 0) == 200 ? $answer->{body} : $answer->{status} // $answer->{end};
        push @routes, $answer->{head} =~ /^X-Member: (\S+)/m ? $1 : '';
    }
    return (\@who, \@routes);
}

sub count_of {
    my %count;

    $count{$_}++ for @_;
    return \%count;
}

# Another configuration, and its children.
sub reconfigure {
    my ($httpd, $conf) = @_;
    my $before = Usher::CoreTest::ask($httpd, 'pid')->{generation};

    $httpd->conf(balancer_conf($conf));
    $httpd->graceful or return 0;
    return wait_until { (Usher::CoreTest::ask($httpd, 'pid')->{generation} // -1) > $before };
}

# Requests that have come, and stay: how many each has.
sub held {
    my @counts;

    for my $backend (@_) {
        push @counts, scalar(my @all = $backend->requests('/hold'));
    }
    return @counts;
}

# One request more is held by someone. Returns its client.
sub hold_one {
    my ($httpd, $backends, @headers) = @_;
    my ($before, $now) = (0, 0);
    my $client = Usher::Client->new(port => $httpd->port, timeout => 20);

    $before += $_ for held(@$backends);
    $client->send(http_request(GET => '/hold', \@headers));
    wait_until { $now = 0; $now += $_ for held(@$backends); $now > $before } 20 or die "nobody got the request\n";
    return $client;
}

sub release {
    my ($name, $backends, @clients) = @_;

    $_->release($name) for @$backends;
    $_->answer(timeout => 20) for @clients;
    for my $backend (@$backends) {
        $backend->clear;
    }
    my %name = map { $_->[0] => $_->[1] } [$a => 'a'], [$b => 'b'], [$c => 'c'], [$d => 'd'], [$e => 'e'];
    $_->on(qr{.}, http_answer(200, ['Content-Type' => 'text/plain'], $name{$_})) for @$backends;
    return;
}

my $clusters = 0;

for my $mode (modes()) {
    my @members = ("$A loadfactor=5", "$B loadfactor=3", "$C loadfactor=2");
    my $httpd = balancer_httpd($mode, cluster('usher', @members));
    ok $httpd->start, "$mode: starts" or diag $httpd->console;
    my $n = patience > 1 ? 200 : 500;
    my %want = (a => $n / 2, b => $n * 0.3, c => $n / 5);
    for my $method (qw(usher usher-requests usher-busyness)) {
        my $count;
        # Who has been slow for a moment gets less for ten seconds: each time it is a cluster that
        # has known nobody before.
        my $kept = in_calm {
            $clusters++;
            reconfigure($httpd, cluster($method, @members) =~ s/balancer:\/\/app/$&$clusters/gr) or return;
            $count = count_of(@{ (served($httpd, ('/') x $n))[0] });
            return !grep { abs(($count->{$_} // 0) - $want{$_}) > max(2, $want{$_} / 50) } keys %want;
        };
        ok $kept, "$mode: $method: load factors are kept" or diag explain $count;
    }
    $httpd->finish("$mode: log");
}

for my $mode (modes()) {
    subtest "$mode: usher-hash" => sub {
        my @five = map { "$_->[1] route=$_->[0]" } [a => $A], [b => $B], [c => $C], [d => $D], [e => $E];
        my $key = 'UsherHashKey "%{req:X-Key}"';
        my @keys = map { ['/', 'X-Key' => "key $_"] } 1 .. 200;
        my $httpd = balancer_httpd($mode, cluster('usher-hash', @five, $key));
        ok $httpd->start, 'starts' or diag $httpd->console;

        my ($first) = served($httpd, @keys);
        my $count = count_of(@$first);
        is join('', sort keys %$count), 'abcde', 'all get some';
        my @off = grep { abs($_ - 40) > 32 } values %$count;
        is "@off", '', 'each its share, but for chance' or diag explain $count;
        # The stock modules may still count the request before.
        my @again = map { (served($httpd, $_))[0][0] } @keys[0 .. 49];
        is_deeply \@again, [@$first[0 .. 49]], 'a key has one member, in all children' if $mode ne 'stock';
        ok $httpd->restart, 'restart';
        is_deeply((served($httpd, @keys))[0], $first, 'also after a restart');

        # Only what was the other one's moves, and to all others.
        my $moved = sub {
            my ($who, @lines) = @_;
            ok reconfigure($httpd, cluster('usher-hash', @lines, $key)), "$who";
            my ($now) = served($httpd, @keys);
            my @wrong = grep { $first->[$_] ne 'c' && $now->[$_] ne $first->[$_] } 0 .. $#keys;
            is "@wrong", '', "$who: no other key moves";
            my $heirs = count_of(map { $now->[$_] } grep { $first->[$_] eq 'c' } 0 .. $#keys);
            is join('', sort keys %$heirs), 'abde', "$who: its keys go to all others";
        };
        $moved->('a member leaves', @five[0, 1, 3, 4]);
        $moved->('a member is switched off', @five[0, 1], "$five[2] status=+D", @five[3, 4]);
        ok reconfigure($httpd, cluster('usher-hash', reverse(@five), $key)), 'all are back, in another order';
        is_deeply((served($httpd, @keys))[0], $first, 'all keys are where they were');

        # Without a key it is any member; without a directive the client's address.
        my $any = count_of(@{ (served($httpd, ('/') x 40))[0] });
        cmp_ok scalar(keys %$any), '>=', 4, 'requests without a key go to all';
        ok reconfigure($httpd, cluster('usher-hash', @five)), 'no UsherHashKey';
        my $one = count_of(@{ (served($httpd, ('/') x 20))[0] });
        is scalar(keys %$one), 1, 'a client has one member';
        $httpd->finish('log');
    };
}

for my $mode (modes()) {
    subtest "$mode: requests in flight" => sub {
        my @three = ($a, $b, $c);
        my $httpd = balancer_httpd($mode, cluster('usher-busyness', "$A loadfactor=2", $B, $C));
        ok $httpd->start, 'starts' or diag $httpd->console;
        $_->on('/hold', [hold("busy-$mode"), http_answer(200, [], 'x')]) for @three;
        my @clients = map { hold_one($httpd, \@three) } 1 .. 8;
        is join(' ', held(@three)), '4 2 2', 'usher-busyness: each has its share of those in flight';
        release("busy-$mode", \@three, @clients);

        my @four = ($a, $b, $c, $d);
        ok reconfigure($httpd, cluster('usher-hash', $A, $B, $C, $D, 'UsherHashKey one')), 'usher-hash';
        $_->on('/hold', [hold("hash-$mode"), http_answer(200, [], 'x')]) for @four;
        my @above;
        @clients = ();
        for my $n (1 .. 12) {
            push @clients, hold_one($httpd, \@four);
            my $most = max(held(@four));
            my $bound = POSIX::ceil(1.25 * $n / 4);
            push @above, "$most of $n" if $most > $bound;
        }
        is "@above", '', 'a busy key has more than one member, none of them a quarter above its share';
        release("hash-$mode", \@four, @clients);
        $httpd->finish('log');
    };
}

if ($standin) {
    subtest 'usher: a slow member gets less' => sub {
        my $httpd = balancer_httpd($standin, cluster('usher', $A, $B, $C));
        ok $httpd->start, 'starts' or diag $httpd->console;
        $c->on(qr{.}, [stall(0.06), http_answer(200, [], 'c')]);
        my $count;
        ok((wait_until {
            $count = count_of(@{ (served($httpd, ('/') x 100))[0] });
            ($count->{c} // 0) < 20 && !grep { ($count->{$_} // 0) < 30 } qw(a b);
        } 30), 'less than its share, the others theirs') or diag explain $count;
        cmp_ok $count->{c}, '>', 0, 'but some';
        $c->clear;
        $c->on(qr{.}, http_answer(200, [], 'c'));
        my $least = $count->{c};
        ok((wait_until { $count = count_of(@{ (served($httpd, ('/') x 100))[0] }); $count->{c} > $least + 4 } 60), 'more and more when it is quick again');
        $httpd->finish('log');
    };

    subtest 'usher: the busier of two waits' => sub {
        my $httpd = balancer_httpd($standin, cluster('usher', $A, $B));
        ok $httpd->start, 'starts' or diag $httpd->console;
        $a->on('/hold', [hold('two'), http_answer(200, [], 'x')]);
        $b->on('/hold', [hold('two'), http_answer(200, [], 'x')]);
        my @clients = map { hold_one($httpd, [$a, $b]) } 1 .. 6;
        is join(' ', held($a, $b)), '3 3', 'both have as many';
        release('two', [$a, $b], @clients);
        $httpd->finish('log');
    };

    subtest 'children that are killed leave no requests in flight' => sub {
        my $httpd = balancer_httpd($standin, cluster('usher-busyness', $A, $B));
        ok $httpd->start, 'starts' or diag $httpd->console;
        $httpd->log->tolerate(qr/AH00052|AH1039[23]|usher_backend:/);
        $a->on('/hold', [hold('killed'), http_answer(200, [], 'x')]);
        $b->on('/hold', [hold('killed'), http_answer(200, [], 'x')]);
        my @clients = map { hold_one($httpd, [$a, $b]) } 1 .. 5;
        open my $fh, '<', "/proc/$httpd->{pid}/task/$httpd->{pid}/children" or die $!;
        kill 'KILL', split ' ', <$fh>;
        $_->answer(timeout => 20) for @clients;
        ok((wait_until { my $count = count_of(map { who($httpd) } 1 .. 20); abs(($count->{a} // 0) - ($count->{b} // 0)) <= 2 } 20), 'both get as many as ever');
        release('killed', [$a, $b]);
        $httpd->finish('log');
    };

    subtest 'a thousand members' => sub {
        my $all = Usher::Backend->new(host => '0.0.0.0');
        my $port = $all->port;
        # A connection that is kept is a process of it.
        $all->on(qr{.}, http_answer(200, [Connection => 'close'], 'x'));
        my @members = map { sprintf 'http://127.9.%d.%d:%d route=m%d', $_ / 250, 1 + $_ % 250, $port, $_ } 0 .. 999;
        my $httpd = balancer_httpd($standin, cluster('usher-requests', @members) =~ s/ProxySet/ProxySet stickysession=S/r);
        ok $httpd->start, 'starts' or diag $httpd->console;
        my ($who, $routes) = served($httpd, ('/') x 300);
        is_deeply $routes, [map { "m$_" } 0 .. 299], 'each has its turn' or diag count_of(@$who);
        ($who, $routes) = served($httpd, map { ['/', Cookie => "S=x.m$_"] } 0, 499, 777, 999);
        is "@$routes", 'm0 m499 m777 m999', 'sessions have their member';
        for my $method (qw(usher usher-busyness)) {
            ok reconfigure($httpd, cluster($method, @members)), $method;
            ($who, $routes) = served($httpd, ('/') x 300);
            cmp_ok scalar(keys %{ count_of(@$routes) }), '>', 220, "$method: hardly any has had two requests";
        }
        ok reconfigure($httpd, cluster('usher-hash', @members, 'UsherHashKey %{REQUEST_URI}')), 'usher-hash';
        ($who, $routes) = served($httpd, map { "/$_" } 1 .. 100);
        is_deeply((served($httpd, map { "/$_" } 1 .. 100))[1], $routes, 'usher-hash: a key has one member');
        cmp_ok scalar(keys %{ count_of(@$routes) }), '>', 70, 'and others have others';
        $httpd->finish('log');
    };
}

for my $case (
    ['no expression', "<Proxy balancer://x>\nUsherHashKey \"%{req:X\"\n</Proxy>\n", qr/UsherHashKey "%\{req:X" is no string expression/],
    ['elsewhere', "<Location /x>\nUsherHashKey one\n</Location>\n", qr/UsherHashKey belongs into the section/],
) {
    my ($name, $conf, $message) = @$case;
    my $httpd = balancer_httpd((modes())[-1], $conf);
    ok !$httpd->start, "UsherHashKey: $name is refused";
    like $httpd->console, $message, "$name: and why";
}

($a, $b, $c, $d, $e) = ();
done_testing;
