# Many requests at once from one process, over kept connections: for tests in which hundreds of
# servers sign in, which cannot all be processes.
#
#   my $asker = Usher::Asker->new(ports => [8080, 8081], connections => 16);   # to each
#   $asker->ask(8080, sub { "GET ..." }, sub { my ($status, $body, $seconds) = @_; ... });
#   $asker->at(now() + 1, sub { ... });
#   $asker->turn while $asker->pending;
#
# The bytes of a request are asked for when there is a connection for it. Status 0: the
# connection ended without a whole answer, or there was none.
package Usher::Asker;

use strict;
use warnings FATAL => 'all';

use Errno qw(EAGAIN EINPROGRESS EINTR);
use Socket qw(AF_INET INADDR_LOOPBACK IPPROTO_TCP SOCK_STREAM TCP_NODELAY);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

sub new {
    my ($class, %opt) = @_;
    my %line = map { $_ => { idle => [], open => 0, queue => [] } } @{ $opt{ports} };

    return bless { connections => $opt{connections} // 16, timeout => $opt{timeout} // 60, line => \%line, busy => {}, reads => '',
                   timers => [] }, $class;
}

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# Requests that have no answer yet.
sub pending {
    my ($self) = @_;
    my $n = keys %{ $self->{busy} };

    $n += @{ $_->{queue} } for values %{ $self->{line} };
    return $n;
}

sub ask {
    my ($self, $port, $make, $done) = @_;

    push @{ $self->{line}{$port}{queue} }, [$make, $done];
    return $self->_send($port);
}

# Calls it in turn() once it is time.
sub at {
    my ($self, $when, $call) = @_;
    my $timers = $self->{timers};
    my ($from, $to) = (0, scalar @$timers);

    while ($from < $to) {
        my $middle = int(($from + $to) / 2);
        $timers->[$middle][0] <= $when ? ($from = $middle + 1) : ($to = $middle);
    }
    splice @$timers, $from, 0, [$when, $call];
    return;
}

# Answers and timers that are due; waits for the next one, as long as $most seconds.
sub turn {
    my ($self, $most) = @_;
    my $wait = $most // 0.05;
    my $timers = $self->{timers};

    if (@$timers) {
        my $left = $timers->[0][0] - now();
        $wait = $left > 0 ? $left : 0 if $left < $wait;
    }
    my $found = select my $ready = $self->{reads}, undef, undef, $wait;
    if ($found > 0) {
        my $bits = unpack 'b*', $ready;
        for (my $fd = index $bits, '1'; $fd >= 0; $fd = index $bits, '1', $fd + 1) {
            $self->_read($fd) if $self->{busy}{$fd};
        }
    }
    my $now = now();
    $self->_late($now) if $now > ($self->{looked} // 0) + 1;
    (shift @$timers)->[1]->() while @$timers && $timers->[0][0] <= $now;
    return;
}

sub _send {
    my ($self, $port) = @_;
    my $line = $self->{line}{$port};

    while (@{ $line->{queue} }) {
        my $sock = pop @{ $line->{idle} };
        if (!$sock) {
            return if $line->{open} >= $self->{connections};
            $sock = _connect($port);
            ++$line->{open} if $sock;
        }
        my ($make, $done) = @{ shift @{ $line->{queue} } };
        if (!$sock) {
            $done->(0, '', 0);
            next;
        }
        my $bytes = $make->();
        my $fd = fileno $sock;
        my $since = now();
        local $SIG{PIPE} = 'IGNORE';
        my $put = syswrite $sock, $bytes;
        $self->{busy}{$fd} = { sock => $sock, port => $port, done => $done, since => $since, in => '' };
        vec($self->{reads}, $fd, 1) = 1;
        # What is not taken at once is a connection that has ended: the requests are short.
        $self->_end($fd, 0, '') if !defined $put || $put < length $bytes;
    }
    return;
}

sub _connect {
    my ($port) = @_;

    socket my $sock, AF_INET, SOCK_STREAM, 0 or return;
    connect $sock, Socket::pack_sockaddr_in($port, INADDR_LOOPBACK) or return;
    setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, pack 'i', 1;
    return $sock;
}

sub _read {
    my ($self, $fd) = @_;
    my $conn = $self->{busy}{$fd};
    my $got = sysread $conn->{sock}, $conn->{in}, 65536, length $conn->{in};

    return if !defined $got && ($! == EAGAIN || $! == EINTR);
    return $self->_end($fd, 0, $conn->{in}) unless $got;
    my $end = index $conn->{in}, "\r\n\r\n";
    return if $end < 0;
    my $head = substr $conn->{in}, 0, $end + 2;
    my ($status) = $head =~ m{^HTTP/1\.1 (\d{3})} or return $self->_end($fd, 0, $conn->{in});
    my $body = substr $conn->{in}, $end + 4;
    if ($head =~ /^Transfer-Encoding: *chunked/mi) {
        return if $body !~ /(?:^|\r\n)0\r\n\r\n\z/;
        $body = _dechunk($body);
    } elsif ($head =~ /^Content-Length: *(\d+)/mi) {
        return if length $body < $1;
    } elsif ($status != 204) {
        return $self->_end($fd, 0, $conn->{in});
    }
    return $self->_end($fd, $status, $body, $head !~ /^Connection: *close/mi);
}

sub _dechunk {
    my ($bytes) = @_;
    my $body = '';

    while ($bytes =~ s/^([0-9a-fA-F]+)[^\r\n]*\r\n//) {
        my $size = hex $1 or last;
        $body .= substr $bytes, 0, $size, '';
        substr $bytes, 0, 2, '';
    }
    return $body;
}

# The answer is there; or it will not come, and the connection is closed.
sub _end {
    my ($self, $fd, $status, $body, $keep) = @_;
    my $conn = delete $self->{busy}{$fd};
    my $line = $self->{line}{ $conn->{port} };

    vec($self->{reads}, $fd, 1) = 0;
    if ($keep) { push @{ $line->{idle} }, $conn->{sock} }
    else { --$line->{open} }
    $conn->{done}->($status, $body, now() - $conn->{since});
    return $self->_send($conn->{port});
}

sub _late {
    my ($self, $now) = @_;

    $self->{looked} = $now;
    for my $fd (keys %{ $self->{busy} }) {
        $self->_end($fd, 0, 'timeout') if $self->{busy}{$fd} && $now - $self->{busy}{$fd}{since} > $self->{timeout};
    }
    return;
}

1;
