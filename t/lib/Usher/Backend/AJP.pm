# A backend's connection that speaks AJP13. A CPING is a request with the
# method "CPING"; where no rule names it, CPONG is the answer.
package Usher::Backend::AJP;

use strict;
use warnings FATAL => 'all';

use parent 'Usher::Backend::Connection';
use Usher::AJP;
use Usher::HTTP1;

sub _packet {
    my ($self) = @_;
    my $payload;

    until (defined($payload = eval { ajp_take(\$self->{wire}{in}, "\x12\x34") })) {
        $self->bad($@) if $@;
        $self->more(8192);
    }
    return $payload;
}

sub read_request {
    my ($self) = @_;
    my $payload = $self->_packet;

    return { method => 'CPING', uri => '', headers => [], complete => 1 } if $payload eq "\x0A";
    my $ajp = eval { ajp_decode_forward($payload) } // $self->bad($@);
    my $length = http_value($ajp->{headers}, 'Content-Length');
    my $query = $ajp->{attributes}{query_string};
    $self->bad('Content-Length') if defined $length && $length !~ /^\d+$/;
    $self->{body} = { left => $length, first => $length, piece => '' };
    # Without a length nothing tells whether there is a body: only asking does.
    my $none = defined $length ? !$length : $ajp->{method} =~ /^(?:GET|HEAD|OPTIONS|TRACE|DELETE)$/
        && !defined http_value($ajp->{headers}, 'Transfer-Encoding');
    return { method => $ajp->{method}, uri => $ajp->{uri} . (defined $query ? "?$query" : ''), proto => $ajp->{proto},
             headers => $ajp->{headers}, ajp => $ajp, complete => $none ? 1 : 0 };
}

sub body_piece {
    my ($self, $max) = @_;
    my $body = $self->{body};

    if (!length $body->{piece}) {
        # With a Content-Length the first packet comes unasked.
        my $size = $body->{first} ? undef : $self->_ask_for_body;
        $body->{first} = 0;
        $body->{piece} = $self->_body_packet;
        $self->bad('more body than asked for') if defined $size && length $body->{piece} > $size;
        $self->{request}{complete} = 1 if !length $body->{piece} && !$body->{left};
        $self->bad('the body ended before its Content-Length') if !length $body->{piece} && $body->{left};
    }
    my $bytes = substr $body->{piece}, 0, $max, '';
    if (defined $body->{left}) {
        $self->bad('more body than its Content-Length') if length $bytes > $body->{left};
        $body->{left} -= length $bytes;
        $self->{request}{complete} = 1 unless $body->{left};
    }
    return $bytes;
}

# For as much as a packet can have, or as read_asking() says.
sub _ask_for_body {
    my ($self) = @_;
    my $sizes = $self->{body}{sizes} // [$Usher::AJP::GET_MAX];
    my $size = shift @$sizes;

    push @$sizes, $size;
    $self->{wire}->write(ajp_get_body($size));
    return $size;
}

sub _body_packet {
    my ($self) = @_;
    my $payload = $self->_packet;

    return '' if $payload eq '' || $payload eq "\0\0";
    my $length = unpack 'n', $payload;
    $self->bad('length of a body packet') if length $payload < 2 || $length != length($payload) - 2;
    return substr $payload, 2;
}

sub step_read_asking {
    my ($self, @sizes) = @_;

    $self->{body}{sizes} = \@sizes;
    return $self->read_all_body;
}

# Asks for the body again and again, also when it is at its end; with bytes of the
# answer behind the question.
sub step_ask_body {
    my ($self, $times, $behind, $size) = @_;
    my $req = $self->{request};

    $self->_body_packet if delete $self->{body}{first};
    for (my $n = 0; !defined $times || $n < $times; $n++) {
        $self->put(ajp_get_body($size) . ($behind // ''));
        my $bytes = $self->_body_packet;
        $req->{body_len} += length $bytes;
        $self->{sha}->add($bytes);
        $req->{complete} = 1 unless length $bytes;
    }
    return $self->note_body;
}

sub step_say_continue { die "say_continue() is for HTTP\n" }

sub answer {
    my ($self, @answer) = @_;

    return ajp_answer(@answer);
}

sub default_play {
    my ($self) = @_;
    my $req = $self->{request};

    return ajp_cpong() if $req->{method} eq 'CPING';
    return ajp_answer(404, ['Content-Type' => 'text/plain'], "no rule for $req->{method} $req->{uri}\n");
}

# The last packet was END_RESPONSE without reuse.
sub says_close {
    my ($self) = @_;

    return $self->{sent_tail} eq ajp_end(0);
}

1;
