# The registry: one record per cluster and member, the same for all children;
# it outlives restarts and another size, and what nobody asks for any more is
# given up, but not soon.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::CoreTest;
use Usher::Env ();
use Usher::Wait;

# Records are given up when eleven minutes are over: there must have been so many.
my $httpd = core_httpd("UsherTestMembers 3\n", env => { USHERTEST_BOOTED => 3600 },
    preload => Usher::Env::builddir() . '/.libs/ushertestclock.so');
ok $httpd->start, 'starts' or diag $httpd->console;

sub member { return ask($httpd, "member=$_[0]") }

# A request that is answered by a child of a generation after $before.
sub wait_generation {
    my ($before) = @_;

    return wait_until { (ask($httpd, 'pid')->{generation} // -1) > $before };
}

subtest 'all children know the same' => sub {
    my $first = member('m1');
    is $first->{route}, 'm1', 'a member that was entered when httpd started';
    my %pids;
    my $n = 1;
    wait_until {
        $pids{ ask($httpd, 'pid')->{pid} } = 1;
        !is(member('m1')->{elected}, ++$n, 'each count is on top of the others') || $n > 40 && keys %pids > 1;
    };
    cmp_ok scalar keys %pids, '>', 1, 'several children did it';
    is member('m2')->{elected}, 1, 'another member has its own';
    is member('late')->{elected}, 1, 'one that a child asks for first';
    is member('late')->{elected}, 2, 'is there for all from then on';
    isnt member('late')->{generation}, $first->{generation}, 'records differ in their generation';
};

subtest 'restarts keep it' => sub {
    my $before = member('m1');
    my $late = member('late');
    for my $how (qw(graceful restart)) {
        my $generation = ask($httpd, 'pid')->{generation};
        ok $httpd->$how, $how;
        wait_generation($generation);
        my $now = member('m1');
        is $now->{elected}, $before->{elected} + 1, 'the count goes on';
        is $now->{generation}, $before->{generation}, 'in the same record';
        $before = $now;
    }
    is member('late')->{generation}, $late->{generation}, 'also of a member that only a child asked for';
};

subtest 'another size' => sub {
    my $before = member('m3');
    my $generation = ask($httpd, 'pid')->{generation};
    $httpd->conf(core_conf("UsherMemory registry 128K\n"));
    ok $httpd->graceful, 'smaller';
    ok $httpd->log->wait_for(qr/USHER1010: memory "registry" was 8704K of layout 2 and is 128K of layout 2: [5-9] records carried over, 0 dropped/),
        'the log says what came over';
    wait_generation($generation);
    is_deeply [@{ member('m3') }{qw(generation elected)}], [$before->{generation}, $before->{elected} + 1], 'and it is whole';
};

subtest 'full, and what is given up' => sub {
    $httpd->log->expect(qr/USHER1027: registry: its 62 places are taken/);
    is ask($httpd, 'members=100')->{given}, 60, 'as many as there is room for, beside the cluster and "late"';
    is ask($httpd, 'members=100')->{given}, 60, 'and no more';
    is scalar(grep { /USHER1027/ } $httpd->log->lines), 1, 'said once';
    my $before = member('m50');
    my $generation = ask($httpd, 'pid')->{generation};
    ok $httpd->graceful, 'a restart, after which nobody asks for them';
    wait_generation($generation);
    is ask($httpd, 'age')->{left}, 1, 'a record is known to be left';
    # It was left eleven minutes ago, but for its lock nobody looked since.
    is member('new')->{none}, 0, 'it is given to one that is new';
    is member('newer')->{none}, 1, 'the others are not yet';
    is member('m49')->{none}, 0, 'they are there';
    is member('m50')->{none}, 1, 'the one that was given up is not';
    isnt member('new')->{generation}, $before->{generation}, 'who has it has another generation';
};

subtest 'a bad size' => sub {
    $httpd->conf(core_conf("UsherMemory registry 1K\n"));
    my ($code, $out) = $httpd->configtest;
    isnt $code, 0, 'refused';
    like $out, qr/USHER1005: UsherMemory registry 1K: the size must be 64K or more, up to 1G/, 'with the bounds';
};

$httpd->finish('only the announced in the log');

subtest 'children killed while they enter members' => sub {
    my $server = core_httpd("UsherMemory registry 2M\n");
    ok $server->start, 'starts';
    $server->log->tolerate(qr/USHER1018|AH00052|AH1039[23]: children are killed successively/);
    for my $round (1 .. 5) {
        my @clients = map { background($server, "members=" . $round * 150) } 1 .. 3;
        my $pid = ask($server, 'pid')->{pid};
        kill 'KILL', $pid if $pid;
        answer_of($_) for @clients;
    }
    is ask($server, 'members=750')->{given}, 750, 'all have a record';
    my %generation;
    $generation{ ask($server, "member=m$_")->{generation} }++ for 1 .. 100;
    is scalar keys %generation, 100, 'of their own';
    is ask($server, 'members=1007')->{given}, 1007, 'and no place is lost';
    $server->finish('only the announced in the log');
};

done_testing;
