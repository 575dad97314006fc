# A backend that holds every request: it reads what comes, says once what it was
# told to say, and no more. For HTTP or AJP, as it does not look at what it reads.
# It stands in for the backends of Usher::Bench::Backend.
package Usher::Bench::Holder;

use strict;
use warnings FATAL => 'all';

use parent 'Usher::Process';
use IO::Select ();
use IO::Socket::INET ();
use POSIX ();
use Usher::Wait;

# start(bytes to say)
sub start {
    my ($class, $say) = @_;
    my @listeners = map {
        IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => free_port(), Listen => 256, ReuseAddr => 1) or die "listen: $!\n";
    } 1 .. 3;

    pipe my $told, my $tell or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        local $SIG{TERM} = sub { POSIX::_exit(0) };
        close $told;
        _serve($tell, $say, @listeners);
        POSIX::_exit(0);
    }
    return bless { pid => $pid, owner => $$, told => $told, held => 0, ports => [map { $_->sockport } @listeners] }, $class;
}

sub port { $_[0]{ports}[0] }
sub secret { 'unused' }
sub packet_size { 8192 }

# Until its parent has gone.
sub _serve {
    my ($tell, $say, @listeners) = @_;
    my $sockets = IO::Select->new(@listeners);
    my %new;

    while (getppid != 1) {
        for my $socket ($sockets->can_read(1)) {
            if (grep { $_ == $socket } @listeners) {
                my $connection = $socket->accept or next;
                $sockets->add($connection);
                $new{$connection} = 1;
            } elsif (sysread $socket, my $bytes, 65536) {
                next unless delete $new{$socket};
                syswrite $socket, $say;
                syswrite $tell, '.';
            } else {
                $sockets->remove($socket);
                close $socket;
            }
        }
    }
    return;
}

# Waits until it holds so many requests; dies when they do not come.
sub wait_for {
    my ($self, $n) = @_;
    my $ready = IO::Select->new($self->{told});

    while ($self->{held} < $n) {
        $ready->can_read(20) or die "only $self->{held} requests reached the backend, not $n\n";
        $self->{held} += sysread $self->{told}, my $bytes, $n - $self->{held};
    }
    return;
}

sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->stop;
    return;
}

1;
