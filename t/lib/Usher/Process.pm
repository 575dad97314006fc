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
    CORE::kill 'KILL', -$self->{pid} if $self->{grouped};
    delete $self->{pid};
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

# As a crash: at once, with the processes that it has.
sub kill {
    my ($self) = @_;

    return unless $self->running;
    CORE::kill 'KILL', $self->children, $self->{pid};
    waitpid delete $self->{pid}, 0;
    return;
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
