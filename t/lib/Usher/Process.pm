# A process that a test started, and ends: what Usher::Httpd and Usher::Tomcat
# share. The object has its pid, its wait status once it has ended, the folder
# root, and the test's own pid as owner: what that forks does not end it.
package Usher::Process;

use strict;
use warnings FATAL => 'all';

use File::Path qw(remove_tree);
use POSIX qw(WNOHANG);
use Usher::Wait;

sub pid { $_[0]{pid} }

sub running {
    my ($self) = @_;

    return 0 unless $self->{pid};
    return 1 if waitpid($self->{pid}, WNOHANG) == 0;
    $self->{status} = $?;
    # What it leaves behind, where it has a group of its own (a crashed httpd's
    # children go on listening).
    my $pid = delete $self->{pid};
    _end(-$pid) if $self->{grouped};
    return 0;
}

# TERM, and time to end what it is doing: true where it did.
sub stop {
    my ($self) = @_;

    return 1 unless $self->running;
    CORE::kill 'TERM', $self->{pid};
    return 1 if wait_until { !$self->running } 30;
    $self->kill;
    return 0;
}

# As a crash: at once, with the processes that it has. In a group it has no time to
# start another one.
sub kill {
    my ($self) = @_;

    return unless $self->running;
    my $pid = $self->{pid};
    my @children = $self->{grouped} ? () : $self->children;
    CORE::kill 'KILL', $self->{grouped} ? -$pid : ($pid, @children);
    waitpid delete $self->{pid}, 0;
    _end($self->{grouped} ? -$pid : @children);
    return;
}

# The same of some of its processes, or of all but itself.
sub kill_children {
    my ($self, @which) = @_;

    return _end(@which ? @which : $self->children);
}

# Kills processes, or a group, and waits until none of their threads is left: a killed one has
# its ports and locks until it has run once more, which may be late where others want the
# machine too. The leader of a process that is a zombie says nothing of its other threads.
sub _end {
    my @which = @_ or return;

    CORE::kill 'KILL', @which;
    wait_until { !grep { _lives($_) } map { $_ < 0 ? _group(-$_) : $_ } @which } 30;
    return;
}

# What stands in a file of /proc/PID behind the name, which may have blanks.
sub _stat {
    my ($file) = @_;

    open my $fh, '<', $file or return;
    my ($rest) = (<$fh> // '') =~ /.*\) (.*)/s or return;
    return split ' ', $rest;
}

sub _lives {
    my ($pid) = @_;

    return grep { ((_stat($_))[0] // 'X') !~ /[ZX]/ } glob "/proc/$pid/task/*/stat";
}

# Whether one of its threads runs, or would if there were a processor for it.
sub busy {
    my ($self) = @_;

    return grep { ((_stat($_))[0] // '') =~ /[RD]/ } map { glob "/proc/$_/task/*/stat" } $self->{pid} // (), $self->children;
}

sub _group {
    my ($group) = @_;

    return grep { ((_stat("/proc/$_/stat"))[2] // 0) == $group } map { m{/(\d+)$} } glob '/proc/[0-9]*';
}

# The pids of its children.
sub children {
    my ($self) = @_;

    return unless $self->{pid};
    open my $fh, '<', "/proc/$self->{pid}/task/$self->{pid}/children" or return;
    return split ' ', scalar(<$fh>) // '';
}

sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->stop;
    remove_tree($self->{root}) unless $ENV{USHER_KEEP_WORK};
    return;
}

1;
