# What a backend does after "101 Switching Protocols": the steps for it, of the
# connections that speak HTTP/1.
package Usher::Backend::Tunnel;

use strict;
use warnings FATAL => 'all';

use Digest::SHA ();
use Usher::HTTP1;
use Usher::Pattern;
use Usher::WebSocket qw(ws_accept ws_frame ws_take CLOSE PING PONG);

sub step_switch_to {
    my ($self, $name, $behind) = @_;
    my $headers = $self->{request}{headers};
    my $key = http_value($headers, 'Sec-WebSocket-Key');

    $self->{switched} = 1;
    return $self->put(http_answer(101, ['Connection' => 'Upgrade',
        'Upgrade' => $name // http_value($headers, 'Upgrade') // 'nothing',
        defined $key ? ('Sec-WebSocket-Accept' => ws_accept($key)) : ()], undef,
        reason => 'Switching Protocols') . ($behind // ''));
}

sub step_websocket_echo {
    my ($self) = @_;
    my $in = \$self->{wire}{in};

    while (1) {
        my $frame = ws_take($in);
        if (!$frame) {
            return if $self->_more ne 'data';
            next;
        }
        my $opcode = $frame->{opcode} == PING ? PONG : $frame->{opcode};
        $self->put(ws_frame($opcode, $frame->{masked} ? $frame->{payload} : 'not masked', more => $frame->{more}));
        return if $opcode == CLOSE;
    }
}

sub step_echo_bytes {
    my ($self) = @_;

    do {
        $self->put(substr $self->{wire}{in}, 0, length $self->{wire}{in}, '');
    } while $self->_more eq 'data';
    return;
}

sub step_take_bytes {
    my ($self, $n) = @_;

    while (1) {
        $self->_took($n);
        last if defined $n && $n <= $self->{request}{body_len};
        last if $self->_more ne 'data';
    }
    return $self->note_body;
}

sub step_both_ways {
    my ($self, $count) = @_;
    my $wire = $self->{wire};
    my ($sent, $ended) = (0, 0);
    my $out = '';

    while (!$ended || $sent < $count) {
        if ($out eq '' && $sent < $count) {
            my $size = $count - $sent > 65536 ? 65536 : $count - $sent;
            $out = pattern($sent, $size);
        }
        if (length $out) {
            my $put = $wire->write($out, $ended ? undef : 0);
            $sent += $put;
            substr $out, 0, $put, '';
        }
        next if $ended;
        my $got = $wire->read_more($sent < $count ? 0.005 : undef);
        die Usher::Backend::Connection::_over('peer', 'reset') if $got eq 'reset';
        $ended = $got eq 'closed';
        $self->_took;
    }
    return $self->note_body;
}

# What has come counts as taken; $limit bytes in all, the rest waits.
sub _took {
    my ($self, $limit) = @_;
    my $wire = $self->{wire};
    my $size = length $wire->{in};

    $size = $limit - $self->{request}{body_len} if defined $limit && $size > $limit - $self->{request}{body_len};
    my $bytes = substr $wire->{in}, 0, $size, '';
    $self->{request}{body_len} += $size;
    $self->{sha}->add($bytes);
    return;
}

# More from the peer: 'data' or 'closed'; a reset is noted and ends it.
sub _more {
    my ($self) = @_;
    my $got = $self->{wire}->read_more(undef);

    if ($got eq 'reset') {
        $self->note_gone('reset');
        die Usher::Backend::Connection::_over('peer', 'reset');
    }
    $self->note_gone('closed') if $got eq 'closed';
    return $got;
}

1;
