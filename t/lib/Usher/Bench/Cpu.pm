# CPUs: which one a program may use, and how much of its time it has used.
package Usher::Bench::Cpu;

use strict;
use warnings FATAL => 'all';

use POSIX ();

# The pids of a process and all that come from it.
sub pids {
    my @pids = grep { defined } @_;

    for (my $i = 0; $i < @pids; ++$i) {
        for my $file (glob "/proc/$pids[$i]/task/*/children") {
            open my $fh, '<', $file or next;
            push @pids, split ' ', scalar(<$fh>) // '';
        }
    }
    return @pids;
}

# User and system seconds that they have used so far. The scheduler counts
# nanoseconds for each thread (and forgets those of threads that have ended, but
# there are none); where it does not tell, /proc/PID/stat has hundredths.
sub seconds {
    my ($precise, $ticks) = (0, 0);

    for my $pid (pids(@_)) {
        for my $file (glob "/proc/$pid/task/*/schedstat") {
            open my $fh, '<', $file or next;
            $precise += (split ' ', scalar(<$fh>) // '')[0] // 0;
        }
        open my $fh, '<', "/proc/$pid/stat" or next;
        my @field = split ' ', <$fh> =~ s/.*\)//sr;
        $ticks += $field[11] + $field[12];
    }
    return $precise ? $precise / 1e9 : $ticks / (POSIX::sysconf(POSIX::_SC_CLK_TCK()) || 100);
}

# (the first core that we may use, for what is measured; the others, for load and
# backends)
sub cores {
    my ($list) = qx(taskset -cp $$) =~ /: (\S+)$/m;
    my @cores = map { my ($from, $to) = split /-/; $from .. $to // $from } split /,/, $list;

    return ($cores[0], @cores > 1 ? join(',', @cores[1 .. $#cores]) : $cores[0]);
}

# This process, and what it starts from now on.
sub move_to {
    my ($core) = @_;

    qx(taskset -cp $core $$);
    die "taskset: exit $?\n" if $?;
    return;
}

1;
