# The store with its file, as a module uses it: what was acknowledged is there after anything, what
# was deleted never comes back, and one byte wrong anywhere harms nothing.
use strict;
use warnings FATAL => 'all';

use Fcntl qw(S_IMODE);
use Test::More;
use Usher::CoreTest;
use Usher::Env ();
use Usher::Wait;

my $conf = "UsherTestStore\n";

sub put { return ask($_[0], "put=$_[1]") }

# { k1 => [state, number, version, length, life] }
sub cells {
    my ($httpd) = @_;
    my $text = ask($httpd, 'cells')->{text} // '';

    return { map { my ($key, @cell) = split; ($key => \@cell) } split /\n/, $text };
}

# { k1 => number } of those that are there
sub values_of {
    my ($cells) = @_;

    return { map { $cells->{$_}[0] == 1 ? ($_ => $cells->{$_}[1]) : () } keys %$cells };
}

# By a child that is not killed meanwhile.
sub state {
    my ($httpd) = @_;

    return wait_until { my $state = ask($httpd, 'store'); $state->{status} == 200 && $state };
}

sub journal { return $_[0]->root . '/state/store.journal' }

sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', $file or die "$file: $!";
    local $/;
    return scalar <$fh>;
}

# In place, so that owner and mode stay.
sub spew {
    my ($file, $bytes) = @_;

    open my $fh, '+<:raw', $file or die "$file: $!";
    truncate $fh, 0;
    print $fh $bytes;
    close $fh or die "$file: $!";
    return;
}

subtest 'changes, conflicts, and what outlives a stop' => sub {
    my $httpd = core_httpd($conf);
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $first = put($httpd, 'k1,5,0');
    is $first->{result}, 'done', 'a new record';
    is put($httpd, 'k1,6,0')->{result}, 'conflict', 'not new a second time';
    my $conflict = put($httpd, 'k1,6,1');
    is_deeply [@$conflict{qw(result version)}], ['conflict', $first->{version}], 'nor over another version: that is told';
    my $second = put($httpd, "k1,6,$first->{version}");
    is $second->{result}, 'done', 'but over the one that is there';
    cmp_ok $second->{version}, '>', $first->{version}, 'with a greater version';
    is put($httpd, 'k2,1,0,4000')->{result}, 'done', 'a long one';
    is put($httpd, 'k3,1,0')->{result}, 'done', 'a third';
    is put($httpd, 'k3,-')->{result}, 'done', 'deleted';
    is put($httpd, 'k4,7,0;k5,7,0')->{result}, 'done', 'two together';
    is put($httpd, 'k6,8,0;k5,8,0')->{result}, 'conflict', 'or none of them';
    is put($httpd, 'k7,9,0,0,3600000')->{result}, 'done', 'one with a life';
    is put($httpd, 'k8,1,0,0,1')->{result}, 'done', 'and a short one';
    is ask($httpd, 'hand=k9,4,0')->{result}, 'handed', 'one that nobody waits for';
    ok +(wait_until { cells($httpd)->{k9} }), 'comes as well';
    my $cells = cells($httpd);
    is_deeply values_of($cells), { k1 => 6, k2 => 1, k4 => 7, k5 => 7, k7 => 9, k8 => 1, k9 => 4 }, 'all of it was told';
    is $cells->{k2}[3], 4000, 'with its whole text';
    is $cells->{k3}[0], 2, 'and what was deleted';
    # They are told of before they are counted.
    wait_until { state($httpd)->{changes} >= 10 };
    my $state = state($httpd);
    is $state->{up}, 1, 'it is up';
    like $state->{text}, qr{^name: file:/\S+/state$}m, 'and has a name';
    is $state->{changes}, 10, 'counts changes';
    my @stat = stat journal($httpd);
    is S_IMODE($stat[2]), 0600, 'a file for nobody else';
    is $stat[4], (stat $httpd->root . '/state')[4], 'of the user that children run as';

    $httpd->stop;
    ok $httpd->start, 'starts again';
    my $after = cells($httpd);
    is_deeply values_of($after), { k1 => 6, k2 => 1, k4 => 7, k5 => 7, k7 => 9, k9 => 4 }, 'and knows all of it, but what is over';
    is_deeply [map { $after->{$_}[2] } qw(k1 k3)], [map { $cells->{$_}[2] } qw(k1 k3)], 'with its version, also of what was deleted';
    cmp_ok $after->{k7}[4], '<=', 3600000, 'and with what is left of its life';
    cmp_ok $after->{k7}[4], '>', 1800000, 'all but a moment';
    is put($httpd, 'k3,2,0')->{result}, 'conflict', 'what was deleted is not new';
    is put($httpd, "k3,2,$cells->{k3}[2]")->{result}, 'done', 'but can come back with its version';
    my $told = state($httpd)->{told};
    ok $httpd->graceful, 'graceful restart';
    ok +(wait_until { put($httpd, 'k1,7')->{result} eq 'done' }), 'goes on';
    is values_of(cells($httpd))->{k1}, 7, 'with the next change';
    ok $httpd->restart, 'restart';
    is put($httpd, 'k1,8')->{result}, 'done', 'as well';
    $httpd->finish('quietly');
};

# A child that works for the store, which those who wait for it have to do without.
sub holder {
    my ($httpd) = @_;

    put($httpd, 'k4000,1');
    return state($httpd)->{holder};
}

sub stop_child {
    my ($pid) = @_;

    kill STOP => $pid;
    wait_until {
        open my $fh, '<', "/proc/$pid/stat" or return 1;
        (readline $fh) =~ /\) T /;
    };
    return;
}

# Asks another child than one that is stopped, which may have taken the connection just before.
sub others {
    my ($httpd, $command) = @_;
    my $answer;

    wait_until { ($answer = ask($httpd, $command, 5))->{status} == 200 } 60;
    return $answer;
}

subtest 'many at once share one commit; a store that hangs holds up nobody else' => sub {
    my $httpd = core_httpd($conf);
    ok $httpd->start, 'starts';
    my $before = state($httpd);
    my $pid = holder($httpd);
    stop_child($pid);
    is others($httpd, "hand=k$_,$_,0")->{result}, 'handed', "change $_ is handed over" for 1 .. 20;
    is others($httpd, 'soon=k30,1,0')->{result}, 'down', 'who waits does so no longer than he wants';
    my $busy;
    for my $i (100 .. 400) {
        last if ($busy = others($httpd, "hand=k$i,1,0")->{result}) ne 'handed';
    }
    is $busy, 'busy', 'there is an end to what can wait';
    kill CONT => $pid;
    ok +(wait_until { put($httpd, 'k31,1')->{result} eq 'done' } 60), 'then it goes on';
    ok +(wait_until { keys(%{ values_of(cells($httpd)) }) > 250 } 60), 'with all that was handed over';
    my $after = state($httpd);
    cmp_ok $after->{commits} - $before->{commits}, '<', ($after->{changes} - $before->{changes}) / 5, 'together, not one by one';
    ok !exists cells($httpd)->{k30}, 'but for what was given up';
    $httpd->finish('quietly');
};

# One client: changes its own cells as fast as it can, until the file "end" is there or nobody
# answers any more. Writes of each cell which states it may have: [state, number], ...
sub client {
    my ($httpd, $number) = @_;
    my $first = 200 * $number;
    my (%may, %known);
    my ($n, $downs) = (0, 0);
    my $failed = 0;

    while ($failed < 3 && !-e $httpd->root . '/end') {
        my ($a, $b) = map { 'k' . ($first + 2 * int(rand 20) + $_) } 0, 1;
        my $both = rand() < 0.3;
        my $new = !$both && $known{$a} && $known{$a}[0] == 1 && rand() < 0.3 ? [2, 0] : [1, ++$n];
        my $text = $new->[0] == 2 ? '-' : $new->[1];
        my $answer = ask($httpd, "put=$a,$text" . ($both ? ";$b,$text" : ''));
        my $result = $answer->{status} == 200 ? $answer->{result} : 'cut';
        $failed = $result eq 'cut' ? $failed + 1 : 0;
        ++$downs if $result eq 'down';
        for my $cell ($a, $both ? $b : ()) {
            if ($result eq 'done') {
                $known{$cell} = $new;
                $may{$cell} = [$new];
            }
            elsif ($result ne 'busy' && $result ne 'conflict') {
                push @{ $may{$cell} //= [[0, 0]] }, $new;
            }
        }
    }
    return "down $downs\n" . join '', map { my $cell = $_; "$cell " . join(' ', map { "$_->[0]:$_->[1]" } @{ $may{$cell} }) . "\n" } sort keys %may;
}

# Begins clients; what they write is read by ended(). All of them are answered, whoever is killed:
# who takes over does what was asked.
sub clients {
    my ($httpd, $count) = @_;

    return map {
        my $number = $_;
        pipe my $read, my $write or die "pipe: $!";
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            close $read;
            srand $number;
            print $write client($httpd, $number);
            close $write;
            require POSIX;
            POSIX::_exit(0);
        }
        close $write;
        { pid => $pid, from => $read };
    } 1 .. $count;
}

# What each cell may be: { k1 => { "1:5" => 1, ... } }
sub ended {
    my %may;

    for my $client (@_) {
        while (readline $client->{from}) {
            my ($cell, @states) = split;
            if ($cell eq 'down') {
                is $states[0], 0, 'a client was never told that the store is down';
                next;
            }
            $may{$cell} = { map { $_ => 1 } @states };
        }
        waitpid $client->{pid}, 0;
    }
    return \%may;
}

sub wrong_cells {
    my ($httpd, $may) = @_;
    my $cells = cells($httpd);

    return map {
        my $is = $cells->{$_} ? "$cells->{$_}[0]:$cells->{$_}[1]" : '0:0';
        $may->{$_}{$is} ? () : "$_ is $is, not one of " . join ' ', sort keys %{ $may->{$_} };
    } sort keys %$may;
}

subtest 'kill -9 of the child that works, and of everything, while eight clients write' => sub {
    my $httpd = core_httpd($conf);
    $httpd->log->tolerate(qr/AH00052|AH00098|USHER1018|USHER1070|AH1039[23]/);
    ok $httpd->start, 'starts';
    my $rounds = $ENV{USHER_LONG} ? 20 : 2;
    for my $round (1 .. $rounds) {
        my @clients = clients($httpd, 8);
        my $pid = 0;
        for my $kill (1 .. 3) {
            my $changes = state($httpd)->{changes};
            wait_until {
                my $state = state($httpd);
                ($state->{changes} // 0) > $changes + 100 && $state->{holder} != $pid && ($pid = $state->{holder});
            } 60;
            kill KILL => $pid if $pid;
        }
        my $changes = state($httpd)->{changes} // 0;
        ok +(wait_until { (state($httpd)->{changes} // 0) > $changes + 100 } 60), "round $round: others take over";
        if ($round % 2) {
            $httpd->kill;
        }
        else {
            open my $fh, '>', $httpd->root . '/end';
        }
        my $may = ended(@clients);
        unlink $httpd->root . '/end';
        cmp_ok scalar(keys %$may), '>', 40, "round $round: cells were written";
        is_deeply [wrong_cells($httpd, $may)], [], 'as they were acknowledged' if $httpd->{pid};
        $httpd->kill if $httpd->{pid};
        ok $httpd->start, 'starts again' or diag $httpd->console;
        is_deeply [wrong_cells($httpd, $may)], [], "round $round: all that was acknowledged is there, nothing else, nothing deleted";
        $httpd->stop;
        unlink journal($httpd);
        ok $httpd->start, 'anew';
    }
    $httpd->finish('quietly');
};

subtest 'the journal is written anew when it is long' => sub {
    my $httpd = core_httpd($conf);
    ok $httpd->start, 'starts';
    put($httpd, 'k1,-') if put($httpd, 'k1,1,0')->{result} eq 'done';
    my $n = 0;
    for my $round (1 .. 300) {
        ++$n if put($httpd, 'k' . (10 + $round % 4) . ",$round,-,4000")->{result} eq 'done';
    }
    is $n, 300, 'more than a megabyte of changes';
    ok $httpd->log->wait_for(qr/USHER1073: store \S+: written anew/), 'the log says so';
    ok +(wait_until { -s journal($httpd) < 200_000 } 60), 'and it is short again';
    put($httpd, 'k20,3,0');
    $httpd->kill;
    ok $httpd->start, 'starts after kill -9';
    is_deeply values_of(cells($httpd)), { k10 => 300, k11 => 297, k12 => 298, k13 => 299, k20 => 3 }, 'with all that is there';
    is cells($httpd)->{k1}[0], 2, 'and knows what was deleted';
    $httpd->log->tolerate(qr/AH00052|AH00098/);
    $httpd->finish('quietly');
};

subtest 'wrong bytes, torn ends' => sub {
    my $httpd = core_httpd($conf);
    ok $httpd->start, 'starts';
    put($httpd, "k$_,$_,0") for 1 .. 5;
    put($httpd, 'k2,-');
    my $cells = cells($httpd);
    $_->[4] = 0 for values %$cells;
    $httpd->stop;
    my $bytes = slurp(journal($httpd));
    my $length = length $bytes;
    $httpd->log->tolerate(qr/USHER1069|AH00020/);
    my $is_same = sub {
        my ($what) = @_;

        if (!ok $httpd->start, "$what: starts") {
            diag $httpd->console;
            return;
        }
        my $now = cells($httpd);
        $_->[4] = 0 for values %$now;
        is_deeply $now, $cells, "$what: all is there, what was deleted is not";
        my $seen = cells($httpd)->{k1}[2];
        is ask($httpd, "put=k1,1,$seen")->{result}, 'done', "$what: and goes on";
        $httpd->stop;
        isnt slurp(journal($httpd)), $bytes, "$what: in the file too";
    };
    # In the file's head, a frame's head, its length, a body, and at the end
    for my $at (3, 34, 37, 150, $length - 30, $length - 1) {
        my $copy = $bytes;
        substr($copy, $at, 1) ^= "\x41";
        spew(journal($httpd), $copy);
        $is_same->("byte $at is wrong");
    }
    cmp_ok scalar(grep { /USHER1069: store \S+: wrong bytes that were found and mended: 1,/ } $httpd->log->lines), '>=', 6, 'said in the log';
    spew(journal($httpd), $bytes . substr $bytes, 32, 90);
    $httpd->log->tolerate(qr/USHER1070: store \S+: the last 90 bytes were being written when httpd was ended/);
    $is_same->('a torn end');
    ok scalar(grep { /USHER1070/ } $httpd->log->lines), 'said in the log';

    # Damaged for good
    my $copy = $bytes;
    substr($copy, $_, 1) ^= "\x41" for 150, 160;
    spew(journal($httpd), $copy);
    $httpd->log->expect(qr/USHER1060: UsherStore file:: \S+: store\.journal is damaged at byte \d+ of $length, and what follows cannot be believed\. Put a copy/);
    ok !$httpd->start, 'a file that cannot be believed is refused at the start';
    ok $httpd->log->wait_for(qr/USHER1060/), 'with the remedy';
    is slurp(journal($httpd)), $copy, 'and not touched';
    rename journal($httpd), journal($httpd) . '.damaged';
    ok $httpd->start, 'without it httpd starts';
    is_deeply cells($httpd), {}, 'with an empty store';
    is put($httpd, 'k1,1,0')->{result}, 'done', 'that works';
    is put($httpd, 'k2,1,0')->{result}, 'done', 'and again';

    # While httpd runs
    my $pid = holder($httpd);
    my $good = slurp(journal($httpd));
    $copy = $good;
    substr($copy, $_, 1) ^= "\x41" for 4, 8;
    spew(journal($httpd), $copy);
    $httpd->log->tolerate(qr/AH00052|USHER1018/);
    $httpd->log->expect(qr/:error\].*USHER1064: store file:\S+ does not work/);
    $httpd->log->expect(qr/:error\].*USHER1071: store \S+: store\.journal is no journal/);
    kill KILL => $pid;
    ok $httpd->log->wait_for(qr/USHER1064/, 60), 'a file that is damaged while httpd runs: the log says it when it is next read';
    is state($httpd)->{up}, 0, 'the store is down';
    is put($httpd, 'k3,1,0')->{result}, 'down', 'changes are refused';
    is values_of(cells($httpd))->{k1}, 1, 'what is known stays';
    ok $httpd->graceful, 'a graceful restart does not end httpd';
    is ask($httpd, 'pid')->{status}, 200, 'which serves';
    spew(journal($httpd), $good);
    ok +(wait_until { put($httpd, 'k3,1,0')->{result} eq 'done' } 60), 'with the file as it was the store works again by itself';
    unlink journal($httpd);
    $httpd->log->expect(qr/:error\].*USHER1072: store \S+: was removed, or replaced/);
    ok +(wait_until { -s journal($httpd) } 60), 'a file that is removed is written anew';
    $httpd->stop;
    ok $httpd->start, 'starts again';
    is_deeply values_of(cells($httpd)), { k1 => 1, k2 => 1, k3 => 1, k4000 => 1 }, 'with all that was there';
    $httpd->finish('quietly');
};

# Where a file system can be mounted: a disk that is really full
sub full_disk {
    my ($httpd, $dir) = @_;

    $httpd->conf(core_conf("${conf}UsherStore file:$dir/store\n"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    is put($httpd, "k$_,$_,0")->{result}, 'done', "change $_" for 1 .. 3;
    open my $fh, '>', "$dir/filler" or die "$dir: $!";
    $fh->autoflush(1);
    1 while syswrite $fh, 'x' x 4096;
    close $fh;
    $httpd->log->expect(qr/:error\].*USHER1064: store file:\S+ does not work/);
    my ($n, $answer) = (3);
    for my $i (4 .. 60) {
        $answer = put($httpd, "k$i,$i,0,4000")->{result};
        last if $answer ne 'done';
        $n = $i;
    }
    is $answer, 'down', 'then there is no more room: a change is refused';
    ok +(wait_until { state($httpd)->{up} == 0 }), 'the store is down';
    is put($httpd, 'k100,1,0')->{result}, 'down', 'all changes are refused';
    my $is = { map { $_ => $_ } 1 .. $n };
    is_deeply { map { s/k//r => values_of(cells($httpd))->{$_} } keys %{ values_of(cells($httpd)) } }, $is, 'what was there stays';
    unlink "$dir/filler";
    ok +(wait_until { put($httpd, 'k101,1,0')->{result} eq 'done' } 60), 'with room again it works, without a restart';
    ok $httpd->log->wait_for(qr/USHER1063: store \S+ works again/), 'the log says so';
    is scalar(grep { /USHER1064/ } $httpd->log->lines), 1, 'and that it did not once';
    $httpd->kill;
    $httpd->log->tolerate(qr/AH00098|AH00052/);
    ok $httpd->start, 'starts after kill -9';
    is_deeply values_of(cells($httpd)), { (map { ("k$_" => $_) } 1 .. $n), k101 => 1 }, 'with all that was acknowledged';
    $httpd->finish('quietly');
    system "umount $dir";
}

{
    my $httpd = core_httpd($conf);
    my $dir = $httpd->root . '/small';
    mkdir $dir;
    if ($> == 0 && system("mount -t tmpfs -o size=160k,mode=755 none $dir 2>/dev/null") == 0) {
        subtest 'a small disk that is full' => sub { full_disk($httpd, $dir) };
    }
}

subtest 'a disk that hangs, fails, and is full' => sub {
    my $httpd = core_httpd($conf, preload => Usher::Env::builddir() . '/.libs/ushertestdisk.so');
    my $root = $httpd->root;
    $httpd->{env} = { USHERTEST_DISK => $root };
    my $fault = sub {
        open my $fh, '>', "$root/$_[0]" or die "$root/$_[0]: $!";
    };
    $httpd->log->expect(qr/:error\].*USHER1064: store file:\S+ does not work/);
    $httpd->log->tolerate(qr/USHER1070|USHER1067/);
    ok $httpd->start, 'starts';
    is put($httpd, 'k1,1,0')->{result}, 'done', 'a change';

    $fault->('hang');
    is ask($httpd, 'soon=k2,1,0')->{result}, 'down', 'nothing is acknowledged that is not on the disk';
    is ask($httpd, 'soon=k3,1,0')->{result}, 'down', 'who comes later does not wait longer';
    is ask($httpd, 'pid')->{status}, 200, 'other requests are answered';
    ok !exists cells($httpd)->{k2}, 'nobody is told of the change';
    ok $httpd->graceful, 'the child that hangs does not hold up a restart';
    is ask($httpd, 'pid')->{status}, 200, 'which is complete';
    isnt ask($httpd, 'soon=k4,1,0')->{result}, 'done', 'but for changes';
    unlink "$root/hang";
    ok +(wait_until { (put($httpd, 'k5,1,0')->{result} // '') eq 'done' } 60), 'goes on';

    for my $kind (qw(fail full)) {
        $fault->($kind);
        is put($httpd, 'k6,1,0,3000')->{result}, 'down', "$kind: a change is refused";
        ok +(wait_until { state($httpd)->{up} == 0 }), "$kind: the store is down" if $kind eq 'full';
        ok !exists cells($httpd)->{k6}, "$kind: nobody is told of it";
        unlink "$root/$kind";
        ok +(wait_until { (put($httpd, "k7,1")->{result} // '') eq 'done' } 60), "$kind: then it works again";
    }
    # Killed between write and sync: the next one finds it in the file, but not on the disk
    my $pid = holder($httpd);
    my $size = -s journal($httpd);
    $fault->('hang');
    is ask($httpd, 'hand=k9,1,0')->{result}, 'handed', 'a change';
    ok +(wait_until { -s journal($httpd) > $size }), 'is written';
    $fault->('fail');
    kill KILL => $pid;
    $httpd->log->tolerate(qr/AH00052|USHER1018/);
    ok +(wait_until { !kill 0, $pid }), 'who would have had it on the disk is killed';
    unlink "$root/hang";
    ok +(wait_until { state($httpd)->{up} == 0 }), 'the next one takes nothing for kept that the disk does not take';
    ok !exists cells($httpd)->{k9}, 'and tells nobody';
    unlink "$root/fail";
    ok +(wait_until { values_of(cells($httpd))->{k9} } 60), 'before it is there';

    $fault->('hang');
    is ask($httpd, 'soon=k8,1,0')->{result}, 'down', 'hangs again';
    my $values = values_of(cells($httpd));
    $httpd->kill;
    unlink "$root/hang";
    $httpd->log->tolerate(qr/AH00052|AH00098/);
    ok $httpd->start, 'starts after kill -9 while it hung';
    my $after = values_of(cells($httpd));
    is_deeply [grep { $_ ne 'k8' && $values->{$_} != ($after->{$_} // -1) } sort keys %$values], [], 'with all that was acknowledged';
    $httpd->finish('quietly');
};

subtest 'one httpd for a directory' => sub {
    my $httpd = core_httpd($conf);
    ok $httpd->start, 'starts';
    put($httpd, 'k1,1,0');
    my $state = $httpd->root . '/state';
    my $other = core_httpd("${conf}UsherStore file:$state\n");
    $other->log->expect(qr/:emerg\].*USHER1060: UsherStore file:\Q$state\E: \Q$state\E: is used by another httpd, process $httpd->{pid}: give each one/);
    $other->log->tolerate(qr/AH00020/);
    ok !$other->start, 'another httpd is refused';
    ok $other->log->wait_for(qr/USHER1060/), 'with the reason';
    # Its parent is killed, its children are left.
    kill KILL => $httpd->{pid};
    waitpid $httpd->{pid}, 0;
    ok $other->start, 'when the parent was killed, another one takes over';
    is_deeply values_of(cells($other)), { k1 => 1 }, 'and knows all';
    is put($other, 'k1,2')->{result}, 'done', 'and writes';
    isnt ask($httpd, 'soon=k1,3')->{result} // 'gone', 'done', 'those left do not';
    kill KILL => -$httpd->{pid};
    delete $httpd->{pid};
    $other->finish('quietly');
};

subtest 'UsherStore' => sub {
    my $httpd = core_httpd($conf);
    my $root = $httpd->root;
    for (['UsherStore', 'takes one argument'], ['UsherStore file: none', 'takes one argument'],
        ['UsherStore redis:x', '"redis:x": is none of file:'], ['UsherStore none:x', 'UsherStore none:x: takes nothing after'],
        ["UsherStore file:$root/httpd.conf", 'httpd.conf is no directory'],
        ["<VirtualHost *:1>\nUsherStore none\n</VirtualHost>", 'belongs outside of all sections']) {
        $httpd->conf(core_conf("$conf$_->[0]\n"));
        my ($code, $out) = $httpd->configtest;
        isnt $code, 0, "$_->[0]: refused";
        like $out, qr/\Q$_->[1]\E/, 'with the reason';
    }
    $httpd->conf(core_conf("${conf}UsherStore none\n"));
    $httpd->log->expect(qr/:notice\].*USHER1061: UsherStore none: what modules would keep/);
    ok $httpd->start, 'none: starts';
    is put($httpd, 'k1,1,0')->{result}, 'done', 'changes';
    is put($httpd, 'k1,1,0')->{result}, 'conflict', 'and compares';
    is_deeply [glob "$root/state/*"], [], 'nothing is written';
    $httpd->conf(core_conf("${conf}UsherStore file:\n"));
    ok $httpd->graceful, 'another store at a restart';
    ok +(wait_until { -s "$root/state/store.journal" } 60), 'is made';
    is put($httpd, 'k2,1,0')->{result}, 'done', 'and used';
    $httpd->conf(core_conf("${conf}UsherStore file:$root/httpd.conf\n"));
    $httpd->log->expect(qr/:emerg\].*USHER1060: UsherStore file:\S+httpd\.conf: \S+ is no directory; it goes on with file:\Q$root\E\/state/);
    ok $httpd->graceful, 'a wrong one at a restart';
    ok +(wait_until { put($httpd, 'k2,2')->{result} eq 'done' } 60), 'goes on with that which was';
    $httpd->finish('quietly');
};

done_testing;
