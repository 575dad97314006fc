# How many requests a member has at a time, over all children: never more than
# UsherMemberMax, whoever is killed; and requests that wait for a place (UsherQueue).
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::CoreTest ();
use Usher::HTTP1;
use Usher::Httpd ();
use Usher::Wait;
use Usher::WebSocket ();

my $prefork = $ENV{USHER_MPM} eq 'prefork';
my ($a, $b, $c) = backends(qw(a b c));
my ($A, $B, $C) = map { $_->url } $a, $b, $c;
my $serial = 0; # of clusters
my $holds = 0;

# One child of 20 threads, or 23 processes: a quarter of them is five either way.
my $twenty = $prefork ? "StartServers 20\nMinSpareServers 1\nMaxSpareServers 23\nServerLimit 23\nMaxRequestWorkers 23\n"
    : "StartServers 1\nServerLimit 1\nThreadsPerChild 20\nMinSpareThreads 1\nMaxSpareThreads 20\nMaxRequestWorkers 20\n";
# Several children, of several threads each where the MPM has some. With 15 clients no more are
# asked for, however long that takes: httpd warns when it has as many as it may.
my $children = $prefork ? "StartServers 24\nMinSpareServers 8\nMaxSpareServers 24\nServerLimit 32\nMaxRequestWorkers 32\n"
    : "StartServers 3\nServerLimit 6\nThreadsPerChild 12\nMinSpareThreads 36\nMaxSpareThreads 72\nMaxRequestWorkers 72\n";

# Each cluster has a name of its own, so that none inherits another's counts.
sub cluster {
    my ($settings, @members) = @_;

    $serial++;
    return "<Proxy balancer://load$serial>\nProxySet lbmethod=usher\n$settings\n"
        . join('', map { "BalancerMember $_\n" } @members)
        . "</Proxy>\nProxyPass /t !\nProxyPass / balancer://load$serial/\n"
        . "Header always set X-Queue %{USHER_QUEUE}e env=USHER_QUEUE\n";
}

sub httpd {
    my ($workers, $conf, %opt) = @_;

    return Usher::Httpd->new(
        conf => "$workers<Location /t>\nSetHandler usher-test\n</Location>\n$conf",
        modules => [qw(proxy headers)], usher => [qw(usher usher_balancer usher_backend ushertest)], %opt);
}

# What all children together know of a member, and of its cluster.
sub known {
    my ($httpd, $url) = @_;

    return Usher::CoreTest::ask($httpd, "look=balancer://load$serial,-,-," . ($url // $A));
}

# A request that its backend holds until released; its name.
sub held {
    my ($httpd, $backend, %opt) = @_;
    my $name = 'h' . ++$holds;
    my $client = $opt{client} // Usher::Client->new(port => $httpd->port);

    $backend->on("/$name", [hold($name), http_answer(200, [], $name)]);
    $client->send(http_request(GET => "/$name", $opt{headers}));
    return ($client, $name);
}

sub reaches {
    my ($backend, $name) = @_;

    return wait_until { $backend->holding($name) };
}

sub value { return http_value($_[0]{headers}, $_[1]) // '' }

# How many of these have something to read.
sub answered { return scalar grep { $_->wire->ready('r', 0) } @_ }

subtest 'never more than the maximum, over all children' => sub {
    my $httpd = httpd($children, cluster('UsherMemberMax 3', $A));
    my $began = time;
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->expect(qr/USHER3022: balancer:\/\/load\d+: all members that may have this request have as many as UsherMemberMax lets them have; the client got 503 with Retry-After, as 1 did up to now\. Let requests wait a while \(UsherQueue\), raise UsherMemberMax, or add members/);
    for my $round (1 .. ($ENV{USHER_LONG} ? 50 : 5)) {
        my @clients = map { Usher::Client->new(port => $httpd->port) } 1 .. 15;
        $a->on("/r$round", [hold("r$round"), http_answer(200, [], 'held')]);
        $_->send(http_request(GET => "/r$round")) for @clients;
        ok((wait_until { $a->holding("r$round") == 3 && answered(@clients) == 12 }), "round $round: three are there")
            or diag $a->holding("r$round") . ' and ' . answered(@clients);
        is known($httpd)->{in_flight}, 3, 'counted';
        $a->release("r$round");
        my @answers = map { $_->answer } @clients;
        is join(' ', sort map { $_->{status} } @answers), join(' ', (200) x 3, (503) x 12), 'the others got 503';
        is scalar(grep { $_->{status} == 503 && value($_, 'Retry-After') eq '1' } @answers), 12, 'with Retry-After';
        ok((wait_until { known($httpd)->{in_flight} == 0 }), 'none is left');
    }
    cmp_ok scalar(grep { /USHER3022/ } $httpd->log->lines), '<=', 1 + (time - $began) / 60, 'said once a minute';
    is known($httpd)->{cluster_in_flight}, 0, 'the cluster has none either';
    $httpd->finish('nothing else in the log');
};

subtest 'members of their own maximum, and none' => sub {
    my $httpd = httpd($children, cluster("UsherMemberMax 1 two\nUsherMemberMax 2\nUsherMemberMax Off $C", "$A route=one", "$B route=two", $C));
    ok $httpd->start, 'starts' or diag $httpd->console;
    my @held;
    for (1 .. 12) {
        my $name = 'm' . ++$holds;
        my $client = Usher::Client->new(port => $httpd->port);
        $_->on("/$name", [hold($name), http_answer(200, [], $name)]) for $a, $b, $c;
        $client->send(http_request(GET => "/$name"));
        wait_until { $a->holding($name) + $b->holding($name) + $c->holding($name) };
        push @held, [$client, $name];
    }
    is join(' ', map { known($httpd, $_)->{in_flight} } $A, $B, $C), '2 1 9', 'each has what it may';
    for my $held (@held) { $_->release($held->[1]) for $a, $b, $c }
    is join(' ', map { $_->[0]->answer->{status} } @held), join(' ', (200) x 12), 'all are answered';
    is known($httpd)->{cluster_in_flight}, 0, 'none is left';
    $httpd->finish('nothing in the log');
};

subtest 'a full member is left out: the next lbset, not one that rests' => sub {
    my $httpd = httpd($children, cluster("UsherMemberMax 1\nUsherBackendRest failures=1 rest=1h share=100", "$A", "$B lbset=1"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    my ($client, $name) = held($httpd, $a);
    ok reaches($a, $name), 'the first set serves';
    is who($httpd), 'b', 'then the next one';
    ok known($httpd, $B), 'which is known';
    Usher::CoreTest::ask($httpd, "rest=balancer://load$serial,-,-,$B");
    $httpd->log->expect(qr/USHER3022/);
    is who($httpd), '503', 'a member that rests is no way out';
    $a->release($name);
    is $client->answer->{body}, $name, 'answered';
    is who($httpd), 'a', 'and free again';
    $httpd->finish('nothing else in the log');
};

# Three wait behind one that is held, and have its place one after the other; the longest
# waiting one is woken first. True if they came in that order: where a stall keeps it from
# running, one of the others may be faster.
sub in_order {
    my ($httpd) = @_;
    my ($client, $name) = held($httpd, $a);
    my ($in_order, @waiting, $next) = 1;

    ok reaches($a, $name), 'one is there';
    for my $n (1 .. 3) {
        push @waiting, [held($httpd, $a)];
        ok((wait_until { known($httpd)->{cluster_waiting} == $n }), "$n wait");
        my $came = time;
        wait_until { time > $came + 1.05 }; # the queue tells two apart that came so long after one another
    }
    $a->release($name);
    my $first = $client->answer;
    is $first->{body}, $name, 'the first one is answered';
    is value($first, 'X-Queue'), '', 'it has not waited';
    for my $left (2, 1, 0) {
        ok((wait_until { ($next) = grep { $a->holding($waiting[$_][1]) } 0 .. $#waiting; defined $next }), 'the next one has the place')
            or return;
        $in_order = 0 if $next > 0;
        my ($waiter, $its) = @{ splice @waiting, $next, 1 };
        is known($httpd)->{cluster_waiting}, $left, 'the others wait on';
        $a->release($its);
        my $answer = $waiter->answer;
        is $answer->{body}, $its, 'and is answered';
        cmp_ok value($answer, 'X-Queue'), '>=', 1050, 'USHER_QUEUE tells how long it waited';
    }
    ok((wait_until { known($httpd)->{cluster_in_flight} == 0 }), 'none is left');
    return $in_order;
}

subtest 'the queue: first come, first served' => sub {
    my $httpd = httpd($twenty, cluster("UsherMemberMax 1\nUsherQueue 30s", $A));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok((in_calm { in_order($httpd) }), 'in the order they came in');
    $httpd->finish('nothing in the log');
};

subtest 'at most a quarter of the workers waits' => sub {
    my $httpd = httpd($twenty, cluster("UsherMemberMax 1\nUsherQueue 30s", $A));
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->expect(qr/USHER3022: .*Let requests wait longer, or more of them \(UsherQueue, most=\)/);
    my ($client, $name) = held($httpd, $a);
    ok reaches($a, $name), 'one is there';
    my @clients = map { Usher::Client->new(port => $httpd->port) } 1 .. 8;
    $_->send(http_request(GET => '/')) for @clients;
    ok((wait_until { answered(@clients) == 3 }), 'three are answered at once') or diag answered(@clients);
    ok((wait_until { known($httpd)->{cluster_waiting} == 5 }), 'five wait'); # counted after they have their place
    is value($_->answer, 'Retry-After'), '30', 'the others shall come back later' for grep { answered($_) } @clients;
    $a->release($name);
    is $client->answer->{body}, $name, 'the first one is answered';
    ok((wait_until { known($httpd)->{cluster_in_flight} == 0 && known($httpd)->{cluster_waiting} == 0 }), 'and those that waited');
    $httpd->finish('nothing else in the log');
};

subtest 'most=, and the end of the time' => sub {
    my $queue = patience > 1 ? 7100 : 1100; # ms: not over when the first two are refused
    my $later = 1 + int $queue / 1000;
    my $httpd = httpd($twenty, cluster("UsherMemberMax 1\nUsherQueue ${queue}ms most=10%", $A));
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->expect(qr/USHER3022/);
    my ($client, $name) = held($httpd, $a);
    ok reaches($a, $name), 'one is there';
    my $began = time;
    my @clients = map { Usher::Client->new(port => $httpd->port) } 1 .. 4;
    $_->send(http_request(GET => '/')) for @clients;
    ok((wait_until { answered(@clients) >= 2 }), 'two are refused at once');
    cmp_ok time - $began, '<', $queue / 1000 - 0.1, 'without waiting';
    my @answers = map { $_->answer } @clients;
    cmp_ok time - $began, '>=', $queue / 1000 - 0.1, 'the others waited';
    is join(' ', map { $_->{status} . ' ' . value($_, 'Retry-After') } @answers), join(' ', ("503 $later") x 4), 'and were refused then';
    is scalar(grep { value($_, 'X-Queue') ne '' && value($_, 'X-Queue') >= $queue - 100 } @answers), 2, 'USHER_QUEUE of both';
    is known($httpd)->{cluster_waiting}, 0, 'none waits any more';
    $a->release($name);
    is $client->answer->{body}, $name, 'the first one is answered';
    $httpd->finish('nothing else in the log');
};

subtest 'a client that leaves the queue' => sub {
    my $httpd = httpd($twenty, cluster("UsherMemberMax 1\nUsherQueue 60s", $A) . "LogFormat \"%U %s %{USHER_STATE}e\" states\nCustomLog logs/states states\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my ($client, $name) = held($httpd, $a);
    ok reaches($a, $name), 'one is there';
    for my $how ('close', 'reset', 'half_close') {
        my ($waiter, $its) = held($httpd, $a);
        ok((wait_until { known($httpd)->{cluster_waiting} == 1 }), 'one waits');
        $waiter->$how;
        ok((wait_until { known($httpd)->{cluster_waiting} == 0 }), "$how: it waits no more");
        ok((wait_until { open my $fh, '<', $httpd->root . '/logs/states' or return; grep { /^\/$its 499 CQ$/ } <$fh> }), 'as the log tells');
        is scalar($a->requests("/$its")), 0, 'its request was sent to nobody';
    }
    $a->release($name);
    is $client->answer->{body}, $name, 'the first one is answered';
    $httpd->finish('nothing in the log');
};

# A connection of its own, and which child serves it.
sub at_child {
    my ($httpd) = @_;
    my $client = Usher::Client->new(port => $httpd->port);
    my $answer = $client->request(POST => '/t?pid', ['Content-Length' => 0]);

    return ($client, $answer->{body} =~ /pid=(\d+)/ ? $1 : die "no pid: $answer->{body}\n");
}

subtest 'a child is killed' => sub {
    my $httpd = httpd($children, cluster("UsherMemberMax 2\nUsherQueue 40s", $A));
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/AH1039[23]: children are killed successively|USHER1018/);
    for my $round (1 .. ($ENV{USHER_LONG} ? 20 : 2)) {
        my ($one, $pid) = at_child($httpd);
        my ($other, $pid_of_other);
        my @kept; # as long as they are there, others get the next connections
        wait_until { ($other, $pid_of_other) = at_child($httpd); push @kept, $other; $pid_of_other != $pid };
        my (undef, $name) = held($httpd, $a, client => $one);
        my (undef, $name_of_other) = held($httpd, $a, client => $other);
        ok((reaches($a, $name) && reaches($a, $name_of_other)), 'requests in two children');
        my ($waiter, $its) = held($httpd, $a);
        ok((wait_until { known($httpd)->{cluster_waiting} == 1 }), 'and one that waits');
        is known($httpd)->{in_flight}, 2, 'two are counted';
        kill 'KILL', $pid;
        ok((wait_until { known($httpd)->{in_flight} == 1 || $a->holding($its) }), 'one is killed: its request counts no more');
        # The one that waited may have been in that child.
        ok((wait_until { known($httpd)->{cluster_waiting} == 0 }), 'who waited waits no more');
        $a->release($_) for $its, $name_of_other;
        is $other->answer->{body}, $name_of_other, "the other child's is answered";
        ok((wait_until { my $known = known($httpd); !$known->{in_flight} && !$known->{cluster_in_flight} }), 'none is left');
        $_->close for $waiter, @kept;
    }
    Usher::CoreTest::ask($httpd, "miscount=balancer://load$serial,-,-,$A");
    ok((wait_until { my $known = known($httpd); !$known->{in_flight} && !$known->{waiting} }), 'wild counts are made right');
    is who($httpd), 'a', 'and requests are served';
    $httpd->finish('nothing else in the log');
};

subtest 'a graceful restart' => sub {
    my $conf = cluster('UsherMemberMax 2', $A);
    my $httpd = httpd($children, $conf);
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->expect(qr/USHER3022/);
    my @old = held($httpd, $a);
    ok reaches($a, $old[1]), 'one is there';
    ok $httpd->graceful, 'restarts';
    my @new = held($httpd, $a);
    ok reaches($a, $new[1]), 'one of the new generation, too';
    is who($httpd), '503', 'together they are two';
    # Nothing is mended that is right.
    my $before = time;
    wait_until { time > $before + ($ENV{USHER_LONG} ? 5 : 2) };
    is known($httpd)->{in_flight}, 2, 'still';
    $httpd->conf("$children<Location /t>\nSetHandler usher-test\n</Location>\nUsherMemory registry 100K\n$conf");
    ok $httpd->graceful, 'restarts with a smaller registry';
    ok((wait_until { known($httpd)->{in_flight} == 0 }), 'requests of before it do not count');
    $a->release($_) for $old[1], $new[1];
    is $_->[0]->answer->{body}, $_->[1], 'they are answered' for \@old, \@new;
    is known($httpd)->{in_flight}, 0, 'and nothing is taken out';
    is who($httpd), 'a', 'requests are served';
    $httpd->finish('nothing else in the log');
};

subtest 'a WebSocket' => sub {
    my $httpd = httpd($children, cluster('UsherMemberMax 1', "$A upgrade=websocket"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->expect(qr/USHER3022/);
    $a->on('/ws', [switch_to, websocket_echo, cut]);
    my $client = Usher::Client->new(port => $httpd->port);
    my $ws = Usher::WebSocket->open($client, '/ws', []);
    is $ws->{refused}, undef, 'open';
    is known($httpd)->{in_flight}, 1, 'it counts';
    is who($httpd), '503', 'as long as it lasts';
    $client->close;
    ok((wait_until { known($httpd)->{in_flight} == 0 }), 'then no more');
    is who($httpd), 'a', 'and there is room';
    $httpd->finish('nothing else in the log');
};

# A session's member has one request, which stays there: the client, its request's name, and what
# the others of the session send.
sub session_held {
    my ($httpd) = @_;
    my @mine = (Cookie => 'S=x.one');
    my ($client, $its) = held($httpd, $a, headers => \@mine);

    ok reaches($a, $its), 'a session is at its member';
    return ($client, $its, \@mine);
}

sub session_cluster { return cluster("ProxySet stickysession=S $_[1]\nUsherMemberMax 1 one\nUsherQueue $_[0]", "$A route=one", "$B route=two") }

subtest 'sessions' => sub {
    for my $case (['no queue', '0', '', 'b'], ['nofailover=On, no queue', '0', 'nofailover=On', '503'],
                  ['a queue', '1s', '', 'b'], ['nofailover=On, a queue', '1s', 'nofailover=On', '503']) {
        my ($name, $queue, $set, $then) = @$case;
        my $httpd = httpd($twenty, session_cluster($queue, $set));
        ok $httpd->start, "$name: starts" or diag $httpd->console;
        $httpd->log->expect(qr/USHER3022/) if $then eq '503';
        my ($client, $its, $mine) = session_held($httpd);
        my $answer = Usher::Client->get($httpd->port, '/', $mine);
        is $answer->{status} == 200 ? $answer->{body} : $answer->{status}, $then, "another one in the end: $then";
        my $waited = value($answer, 'X-Queue');
        ok $queue ? $waited >= 900 : $waited eq '', 'after it waited as it should';
        $a->release($its);
        is $client->answer->{body}, $its, 'the first one is answered';
        $httpd->finish('nothing else in the log');
    }
};

subtest 'a session that waits for its member' => sub {
    for my $set ('', 'nofailover=On') {
        my $httpd = httpd($twenty, session_cluster('60s', $set));
        ok $httpd->start, "$set: starts" or diag $httpd->console;
        my ($client, $its, $mine) = session_held($httpd);
        my ($waiter, $next) = held($httpd, $a, headers => $mine);
        ok((wait_until { known($httpd)->{waiting} == 1 }), 'it waits for its member');
        is who($httpd), 'b', 'others do not wait for that';
        $a->release($_) for $its, $next;
        is $waiter->answer->{body}, $next, 'and goes there, if there is room in time';
        is $client->answer->{body}, $its, 'the first one is answered';
        $httpd->finish('nothing in the log');
    }
};

subtest 'what configtest refuses' => sub {
    my $long = 'x' x 20;
    for my $case (
        ['UsherMemberMax', qr/UsherMemberMax "": takes a number from 1 to 1000000, or Off, and then the routes or URLs/],
        ['UsherMemberMax 0', qr/UsherMemberMax "0": takes a number from 1 /], ['UsherMemberMax -1', qr/"-1": takes/],
        ['UsherMemberMax 10x', qr/"10x": takes/], ['UsherMemberMax 1000001', qr/"1000001": takes/], ['UsherMemberMax ""', qr/"": takes/],
        ["UsherMemberMax 5 $long", qr/USHER3023: <Proxy balancer:\/\/load\d+>: UsherMemberMax names "$long", and no member has this route or URL/],
        ['UsherQueue', qr/UsherQueue takes a time/], ['UsherQueue 1s 2s 3s', qr/UsherQueue takes a time/],
        ['UsherQueue soon', qr/"soon": takes a time up to 60s; 0 or Off: no request waits/], ['UsherQueue 61s', qr/"61s": takes/],
        ['UsherQueue 1s most=26%', qr/"most=26%": takes most=1% to most=25%/], ['UsherQueue 1s most=0', qr/"most=0": takes/],
        ['UsherQueue 1s least=5%', qr/"least=5%": takes/], ['UsherQueue 2s', qr/USHER3023: .*UsherQueue does nothing without UsherMemberMax/],
        ['UsherMemberMax 7', undef], ["UsherMemberMax off\nUsherQueue off", undef], ["UsherMemberMax 7 one $B\nUsherQueue 2s most=10%", undef],
    ) {
        my ($line, $says) = @$case;
        my ($code, $out) = httpd('', cluster($line, "$A route=one", $B))->configtest;
        is $code != 0, defined $says, "$line: " . ($says ? 'refused' : 'fine') or diag $out;
        like $out, $says, 'and why' if $says;
    }
    for my $where ("<Location />\n%s\n</Location>", '%s', "<Proxy http://127.0.0.1/>\n%s\n</Proxy>") {
        for my $line ('UsherMemberMax 1', 'UsherQueue 1s') {
            my ($code, $out) = httpd('', cluster('', $A) . sprintf("$where\n", $line))->configtest;
            like $out, qr/belongs into the section <Proxy balancer:\/\/name> of its cluster/, sprintf $where =~ s/\n/ /gr, $line;
        }
    }
    my ($code, $out) = balancer_httpd('stock', cluster('UsherMemberMax 1', $A))->configtest;
    like $out, qr/USHER3023: .*UsherMemberMax does nothing without mod_usher_backend/, 'without mod_usher_backend';
};

done_testing;
