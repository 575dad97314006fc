# The tick: once a second in exactly one child, taken over when that child is
# killed or belongs to an older generation; slow work is named.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::CoreTest;
use Usher::Wait;

my $httpd = core_httpd();
# The tick's child is killed soon after it began: in the middle of its work, it may be.
$httpd->log->tolerate(qr/USHER1018|AH1039[23]: children are killed successively/);
ok $httpd->start, 'starts' or diag $httpd->console;

my $first = wait_until { my $t = ask($httpd, 'ticks'); $t->{ticks} > 0 && $t } 5;
ok $first, 'it ticks within seconds of the start';

subtest 'once a second, in one child' => sub {
    my $began = time;
    my $start = ask($httpd, 'ticks')->{ticks};
    my %pids;
    my $now;
    wait_until {
        $now = ask($httpd, 'ticks');
        ++$pids{ $now->{last_pid} };
        $now->{ticks} >= $start + 5;
    } 15;
    my $passed = time - $began;
    cmp_ok $passed, '>', 3.5, "not faster (5 ticks in $passed s)";
    in_time($passed, 10, 'not much slower');
    is keys %pids, 1, 'all in the same child';
    is $now->{overlaps}, 0, 'never two at the same time';
};

subtest 'the child that ticks is killed' => sub {
    for my $round (1 .. 3) {
        my $before = ask($httpd, 'ticks');
        kill 'KILL', $before->{last_pid};
        my $killed_at = time;
        my $after = wait_until {
            my $t = ask($httpd, 'ticks');
            ($t->{ticks} // 0) > $before->{ticks} + 1 && $t->{last_pid} != $before->{last_pid} && $t;
        } 15;
        ok $after, "round $round: another child ticks";
        soon($killed_at, 8, "round $round: within seconds");
    }
    is ask($httpd, 'ticks')->{overlaps}, 0, 'never two at the same time';
};

subtest 'a newer generation takes it over' => sub {
    my $before = ask($httpd, 'ticks');
    # A request that keeps a child of the old generation alive
    my $old = background($httpd, 'wait=7');
    wait_until { ask($httpd, 'pid')->{status} == 200 };
    ok $httpd->graceful, 'graceful restart';
    my $after = wait_until {
        my $t = ask($httpd, 'ticks');
        $t->{last_pid} != $before->{last_pid} && $t->{ticks} > $before->{ticks} + 2 && $t;
    } 15;
    ok $after, 'another child ticks, and goes on counting';
    is $after->{overlaps}, 0, 'never two at the same time';
    ask($httpd, 'set=7');
    is answer_of($old)->{value}, 7, 'the old child lived meanwhile';
};

subtest 'slow work is named' => sub {
    $httpd->conf(core_conf("UsherTestTick 700ms\n"));
    $httpd->log->expect(qr/USHER1020: tick: "counting" took (?:[7-9]\d\d|\d{4,})ms|took \d+s/);
    ok $httpd->graceful, 'with slow work';
    # How often each child has said so: one of those before may have been slow as well.
    my $said = sub {
        my %times;
        ++$times{$_} for map { /\[pid (\d+).*USHER1020: tick: "counting"/ } $httpd->log->lines;
        return \%times;
    };
    ok((wait_until { $said->()->{ ask($httpd, 'ticks')->{last_pid} // 0 } }), 'its name and time are in the log');
    my $before = ask($httpd, 'ticks')->{ticks};
    wait_until { ask($httpd, 'ticks')->{ticks} > $before + 2 } 15;
    is_deeply [grep { $_ != 1 } values %{ $said->() }], [], 'once, not at every tick';
};

subtest 'a restart does not cut work short' => sub {
    $httpd->conf(core_conf("UsherTestTick 400ms\n"));
    # Ordinary restarts are no fault of the work; being slow under load is none.
    $httpd->log->tolerate(qr/AH00045|USHER1020/);
    $httpd->graceful;
    my $before = ask($httpd, 'ticks');
    for my $round (1 .. 3) {
        my $ticks = ask($httpd, 'ticks')->{ticks};
        wait_until { (ask($httpd, 'ticks')->{ticks} // 0) > $ticks } 15; # just begun
        ok $httpd->restart, "round $round: restart while work is under way";
    }
    my $last = ask($httpd, 'ticks')->{ticks};
    wait_until { (ask($httpd, 'ticks')->{ticks} // 0) > $last } 15;
    # A child waits for a second; where the machine stalls in that one that is not enough.
    cmp_ok ask($httpd, 'ticks')->{cuts} - $before->{cuts}, '<', patience, 'all of it was finished';
};

subtest 'the parent has its own' => sub {
    my $before = ask($httpd, 'ticks')->{parent_ticks};
    ok((wait_until { ask($httpd, 'ticks')->{parent_ticks} > $before } 25), 'it is called');
};

subtest 'stuck work is named while it is stuck, and stops with its child' => sub {
    $httpd->conf(core_conf("UsherTestTick 60s\n"));
    $httpd->log->expect(qr/USHER1023: tick: "counting" has been at work in child \d+ for \d+s/);
    ok $httpd->graceful, 'with work that hangs';
    ok $httpd->log->wait_for(qr/USHER1023/, 45), 'named while it runs';
    my ($pid) = map { /USHER1023.* in child (\d+)/ } $httpd->log->lines;
    my $before = ask($httpd, 'ticks');
    kill 'KILL', $pid;
    ok((wait_until { ask($httpd, 'ticks')->{ticks} > $before->{ticks} } 10), 'after its end another child goes on');
    # Now stop: another child hangs in its work, and is ended by httpd.
    $httpd->log->tolerate(qr/AH00045|AH00046|AH00047/);
} if $ENV{USHER_LONG};

$httpd->finish('only the announced in the log');
done_testing;
