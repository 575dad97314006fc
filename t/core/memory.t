# Retained shared memory: it outlives restarts, children of all generations
# share it, another size or layout carries over what fits, and the death of a
# process that changes it loses nothing and lets nobody wait.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::CoreTest;
use Usher::Wait;

my $httpd = core_httpd();
ok $httpd->start, 'starts' or diag $httpd->console;

subtest 'contents and address survive restarts' => sub {
    my $first = ask($httpd, 'pid');
    is $first->{size}, 65536, 'the default size';
    is hex(substr $first->{base}, -2) % 64, 0, 'aligned as promised';
    is ask($httpd, 'set=4711')->{status}, 200, 'written';
    for my $how (qw(graceful restart graceful)) {
        ok $httpd->$how, $how;
        my $now = wait_until {
            my $answer = ask($httpd, 'pid');
            $answer->{generation} > $first->{generation} && $answer;
        };
        is $now->{value}, 4711, "$how: the value is there";
        is $now->{base}, $first->{base}, "$how: at the same address";
        isnt $now->{pid}, $first->{pid}, "$how: seen by another child";
        $first = $now;
    }
};

subtest 'children of two generations share it' => sub {
    my $old = background($httpd, 'wait=99');
    wait_until { ask($httpd, 'pid')->{status} == 200 };
    ok $httpd->graceful, 'graceful restart while an old child is at work';
    my $new = ask($httpd, 'set=99');
    is $new->{status}, 200, 'a new child writes';
    my $seen = answer_of($old);
    is $seen->{value}, 99, 'the old child sees it';
};

subtest 'another size carries over what fits' => sub {
    ask($httpd, 'set=5');
    ask($httpd, 'move') for 1 .. 20;
    my $before = ask($httpd, 'check');
    is $before->{lost}, 0, 'the ledger is whole';

    $httpd->conf(core_conf("UsherMemory test 128K\n"));
    ok $httpd->graceful, 'larger';
    ok $httpd->log->wait_for(qr/USHER1010: memory "test" was 64K of layout 1 and is 128K of layout 1: $before->{accounts} records carried over, 0 dropped/),
        'the log says how much came over';
    wait_until { ask($httpd, 'pid')->{size} == 131072 };
    is ask($httpd, 'pid')->{value}, 5, 'contents came over';
    is ask($httpd, 'check')->{lost}, 0, 'and are whole';

    $httpd->conf(core_conf("UsherMemory test 4K\n"));
    ok $httpd->graceful, 'smaller';
    my $line = $httpd->log->wait_for(qr/is 4K of layout 1: \d+ records carried over, [1-9]\d* dropped/);
    ok $line, 'the log says what was dropped';
    wait_until { ask($httpd, 'pid')->{size} == 4096 };
    is ask($httpd, 'pid')->{value}, 5, 'what fits came over';
};

subtest 'another layout' => sub {
    $httpd->conf(core_conf("UsherTestLayout 2\n"));
    ok $httpd->graceful, 'to a newer layout';
    ok $httpd->log->wait_for(qr/was 4K of layout 1 and is 64K of layout 2: \d+ records carried over/), 'said';
    my $answer = wait_until { my $a = ask($httpd, 'check'); $a->{layout} == 2 && $a };
    # Money moved out of the part that was kept stays away: up to 20 moves of 10.
    cmp_ok abs($answer->{lost}), '<=', 20 * 10 * 100, 'contents were translated';
    is ask($httpd, 'pid')->{value}, 5, 'the value came over';

    $httpd->log->expect(qr/USHER1011: memory "test" was 64K of layout 2 and is 64K of layout 1: it begins empty/);
    $httpd->conf(core_conf());
    ok $httpd->graceful, 'back to one that does not understand the newer';
    $answer = wait_until { my $a = ask($httpd, 'check'); $a->{layout} == 1 && $a };
    is $answer->{lost}, 0, 'begins empty and whole';
    is ask($httpd, 'pid')->{value}, 0, 'without the value';
};

subtest 'another layout, when a child has died in the middle of a change' => sub {
    # Nobody may come by until the restart who mends it, as the tick would.
    my %old = map { $_ => 1 } $httpd->children;
    $httpd->conf(core_conf("UsherTestTick off\n"));
    ok $httpd->graceful, 'the tick changes nothing';
    ok((wait_until { my $pid = ask($httpd, 'ticks')->{last_pid}; $pid && !$old{$pid} }), 'from now on');
    $httpd->conf(core_conf("UsherTestLayout 2\n"));
    isnt ask($httpd, 'die')->{status}, 200, 'a child dies';
    $httpd->log->expect(qr/USHER1011: memory "test" was 64K of layout 1 and is 64K of layout 2: it begins empty/);
    ok $httpd->graceful, 'the next change of layout goes on';
    my $answer = wait_until { my $a = ask($httpd, 'check'); $a->{layout} == 2 && $a };
    is $answer->{lost}, 0, 'begins empty and whole: nobody repairs what he does not understand';
    $httpd->log->expect(qr/USHER1011: .* it begins empty/);
    $httpd->conf(core_conf());
    $httpd->graceful;
    wait_until { ask($httpd, 'check')->{layout} == 1 };
};

subtest 'a piece whose module is gone is kept for its return' => sub {
    ask($httpd, 'set=8');
    $httpd->conf(core_conf(), usher => ['usher']);
    ok $httpd->graceful, 'without the module';
    ok $httpd->log->wait_for(qr/USHER1015: memory "test" \(64K\) is used by no module now/), 'said';
    $httpd->conf(core_conf(), usher => [qw(usher ushertest)]);
    ok $httpd->graceful, 'and with it again';
    my $now;
    wait_until(sub { ($now = ask($httpd, 'pid'))->{status} == 200 && defined $now->{value} });
    is $now->{value}, 8, 'it finds its contents';
};

subtest 'a child that wrote over the header' => sub {
    is ask($httpd, 'smash')->{status}, 200, 'size, name and all';
    $httpd->log->expect(qr/USHER1014: memory "test": its header was overwritten/);
    $httpd->log->tolerate(qr/USHER1018: memory "test"/); # by whom it is locked stands there, too
    ok $httpd->graceful, 'the parent does not believe it';
    my $now;
    wait_until(sub { (($now = ask($httpd, 'check'))->{lost} // 1) == 0 });
    is_deeply [@$now{qw(rv lost)}], [0, 0], 'begins empty and whole';
    is ask($httpd, 'pid')->{size}, 65536, 'in its own size';
};

$httpd->finish('no other warning');

# The directives say what locks there are; each must survive its holder.
for my $mutex ('default', 'pthread', 'fcntl', 'flock:logs', 'sysvsem') {
    subtest "the holder of a lock is killed: Mutex $mutex" => sub {
        my $server = core_httpd($mutex eq 'default' ? '' : "Mutex $mutex usher\n");
        ok $server->start, 'starts' or diag $server->console;
        $server->log->expect(qr/USHER1018: memory "test": process \d+ ended while it changed it/);
        is ask($server, 'move')->{rv}, 0, 'a move';
        isnt ask($server, 'die')->{status}, 200, 'a child dies in the middle of a move';
        my $began = time;
        my $after = ask($server, 'check');
        soon($began, 3, 'nobody waits');
        is_deeply [@$after{qw(rv lost repairs)}], [0, 0, 1], 'the next one has mended it';
        is ask($server, 'move')->{rv}, 0, 'and moves go on';
        ok $server->graceful, 'graceful restart';
        is ask($server, 'check')->{lost}, 0, 'still whole';
        $server->finish('only the announced in the log');
    };
}

# An ordinary restart ends children in the middle of everything: the lock must
# not lose count of its users (see core_memory_child_init).
subtest 'ordinary restarts while the lock is in use' => sub {
    my $server = core_httpd();
    ok $server->start, 'starts';
    $server->log->tolerate(qr/AH00045|AH00046|AH00047|USHER1018/);
    # httpd's own, see Usher::Httpd: here connections are open at each restart.
    $server->log->tolerate(qr/exit signal Segmentation fault/) if $ENV{USHER_MPM} ne 'prefork';
    # Children with threads wait for them, and are harder to hit.
    for my $round (1 .. ($ENV{USHER_MPM} eq 'prefork' ? 6 : 2)) {
        my @clients = map { background($server, 'hammer=4', 30) } 1 .. 4;
        my $before = ask($server, 'check')->{moves};
        wait_until { (ask($server, 'check')->{moves} // 0) > $before + 100 };
        my $how = $round % 3 == 2 ? 'graceful' : 'restart';
        $server->$how;
        kill 'KILL', map { $_->{pid} } @clients;
        waitpid $_->{pid}, 0 for @clients;
    }
    my $check;
    wait_until { ($check = ask($server, 'check'))->{status} == 200 };
    is_deeply [@$check{qw(rv lost)}], [0, 0], 'it works and nothing is lost';
    is ask($server, 'move')->{rv}, 0, 'and moves go on';
    $server->finish('only the announced in the log');
};

subtest 'a stopped child that holds the lock does not stop a restart' => sub {
    my $server = core_httpd();
    ok $server->start, 'starts';
    ask($server, 'set=3');
    my $holder = background($server, 'hold=60', 90);
    # The lock is held when a move does not come back at once.
    ok((wait_until { 2 == grep { ask($server, 'move', 0.5 * patience)->{status} == 599 } 1, 2 }), 'the lock is held');
    $server->log->expect(qr/USHER1012: memory "test": cannot change to 16K now, it keeps what it has/);
    # The children that hold and wait end only by force; one of those that wait is the tick's.
    $server->log->tolerate(qr/AH00045|AH00046|AH00047|exit signal|USHER1018|USHER1020|USHER1023/);
    $server->conf(core_conf("UsherMemory test 16K\n"));
    my $began = time;
    ok $server->graceful, 'graceful restart with another size';
    soon($began, 20, 'did not wait for the lock');
    my $answer = wait_until { my $a = ask($server, 'pid', 2); $a->{status} == 200 && $a };
    is $answer->{value}, 3, 'the site answers, with what it had';
    is $answer->{size}, 65536, 'in the old size';
    kill 'KILL', $holder->{pid};
    waitpid $holder->{pid}, 0;
    $server->finish('only the announced in the log');
};

if ($> == 0) {
    subtest 'a lock that children cannot use' => sub {
        my $server = core_httpd("Mutex flock:closed usher\n");
        mkdir $server->root . '/closed', 0700;
        ok $server->start, 'starts' or diag $server->console;
        $server->log->expect(qr/USHER1017: memory "\w+": this child cannot use its lock/);
        isnt ask($server, 'move')->{rv}, 0, 'nothing is changed without it';
        $server->finish('and it is said');
    };
}

done_testing;
