# A stream socket with deadlines and an input buffer, the same for both ends:
# Usher::Client and the connections of Usher::Backend.
#   my $wire = Usher::Wire->new($socket);
#   $wire->read_more($seconds)     'data' (now in $wire->{in}), 'closed', 'reset' or 'timeout'
#   $wire->write($bytes, $seconds) how many bytes went out
package Usher::Wire;

use strict;
use warnings FATAL => 'all';

use Errno qw(EAGAIN EINTR);
use Socket qw(SOL_SOCKET SO_LINGER SHUT_WR IPPROTO_TCP TCP_NODELAY MSG_PEEK MSG_DONTWAIT);
use Time::HiRes ();

# How long one wait sleeps at most, seconds: what has no file descriptor
# (a command to the backend, a peer that went away) is noticed this late.
my $nap = 0.02;

# new(connected socket, watch => handle, watched => sub): when the handle
# becomes readable (the end of a pipe), every wait calls the sub.
sub new {
    my ($class, $sock, %opt) = @_;

    $sock->blocking(0);
    # A unix socket has no such option; errors are meant to be ignored.
    setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, pack 'i', 1;
    return bless { %opt, sock => $sock, in => '', received => 0, sent => 0 }, $class;
}

sub sock { $_[0]{sock} }

# Wait until the socket can be read ('r') or written ('w'), $seconds at most
# (undef: no limit); '' for no more than letting time pass.
sub ready {
    my ($self, $what, $seconds) = @_;
    my ($reads, $writes) = ('', '');

    vec($reads, fileno $self->{sock}, 1) = 1 if $what eq 'r';
    vec($writes, fileno $self->{sock}, 1) = 1 if $what eq 'w';
    vec($reads, fileno $self->{watch}, 1) = 1 if $self->{watch};
    my $found = select $reads, $writes, undef, $seconds;
    $self->{watched}->() if $found > 0 && $self->{watch} && vec($reads, fileno $self->{watch}, 1);
    return $found > 0;
}

# Wait until this socket or the other one can be read.
sub ready_either {
    my ($self, $other, $seconds) = @_;
    my $reads = '';

    vec($reads, fileno $_, 1) = 1 for grep { $_ } $self->{sock}, $other->{sock}, $self->{watch};
    my $found = select $reads, undef, undef, $seconds;
    $self->{watched}->() if $found > 0 && $self->{watch} && vec($reads, fileno $self->{watch}, 1);
    return $found > 0;
}

# Let $seconds pass (undef: no limit), or less once $until returns true.
sub pause {
    my ($self, $seconds, $until) = @_;
    my $end = defined $seconds ? Time::HiRes::time() + $seconds : undef;

    until ($until && $until->()) {
        my $left = defined $end ? $end - Time::HiRes::time() : $nap;
        return if $left <= 0;
        $self->ready('', $left < $nap || !$until ? $left : $nap);
    }
    return;
}

# More input into $self->{in}, $max bytes at most: 'data', 'closed' (FIN),
# 'reset' (RST) or 'timeout' after $seconds (undef: no limit).
sub read_more {
    my ($self, $seconds, $max) = @_;
    my $end = defined $seconds ? Time::HiRes::time() + $seconds : undef;

    return $self->{ended} if $self->{ended};
    while (1) {
        my $got = sysread $self->{sock}, $self->{in}, $max // 65536, length $self->{in};
        if ($got) {
            $self->{received} += $got;
            return 'data';
        }
        return 'closed' if defined $got;
        next if $! == EINTR;
        return 'reset' if $! != EAGAIN;
        my $left = defined $end ? $end - Time::HiRes::time() : undef;
        return 'timeout' if defined $left && $left <= 0;
        $self->ready('r', $left);
    }
}

# Send bytes: how many the kernel took within $seconds (undef: no limit).
# Fewer than given: the peer does not read, or is gone.
sub write {
    my ($self, $bytes, $seconds) = @_;
    my $end = defined $seconds ? Time::HiRes::time() + $seconds : undef;
    my $done = 0;

    local $SIG{PIPE} = 'IGNORE';
    while ($done < length $bytes) {
        my $put = syswrite $self->{sock}, $bytes, length($bytes) - $done, $done;
        if (defined $put) {
            $done += $put;
            $self->{sent} += $put;
            next;
        }
        next if $! == EINTR;
        last if $! != EAGAIN;
        my $left = defined $end ? $end - Time::HiRes::time() : undef;
        last if defined $left && $left <= 0;
        $self->ready('w', $left);
    }
    return $done;
}

# Whether the peer has closed ('closed') or reset ('reset') although we do
# not read now; '' if not.
sub peer_gone {
    my ($self) = @_;
    my $info = $^O eq 'linux' ? getsockopt $self->{sock}, IPPROTO_TCP, 11 : undef;    # TCP_INFO

    if (defined $info) {
        my $state = unpack 'C', $info;
        return $state == 7 ? 'reset'                                # CLOSE
            : (grep { $state == $_ } 6, 8, 9, 11) ? 'closed' : '';  # TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING
    }
    # Sees the end only where nothing unread lies before it.
    my $found = recv $self->{sock}, my $byte, 1, MSG_PEEK | MSG_DONTWAIT;
    return defined $found ? (length $byte ? '' : 'closed') : $! == EAGAIN ? '' : 'reset';
}

# The end of our side; the other may still send.
sub half_close { return shutdown $_[0]{sock}, SHUT_WR }

# Close with FIN. Input that was not read would make it a reset, so what has
# come is thrown away; what comes later is answered with RST by the kernel.
sub close {
    my ($self) = @_;

    $self->half_close;
    for (1 .. 1024) {
        my $got = sysread $self->{sock}, my $waste, 65536;
        last unless $got;
    }
    return CORE::close $self->{sock};
}

# Close with RST. It would overtake what is still to be delivered, so wait
# for that first, 5 seconds at most. On a unix socket this is a mere close.
sub reset {
    my ($self) = @_;

    $self->pause(5, sub {
        my $size = pack 'i', 0;
        return !ioctl($self->{sock}, 0x5411, $size) || !unpack('i', $size) || $self->peer_gone; # SIOCOUTQ
    }) if $^O eq 'linux';
    setsockopt $self->{sock}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    return CORE::close $self->{sock};
}

1;
