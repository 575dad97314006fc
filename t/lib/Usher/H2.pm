# A client of HTTP/2 without TLS (prior knowledge), or (client => a connected one, scheme =>
# 'https') with it, that tells how each stream
# ended. It decodes no header but the status of the first answer on its
# connection: take a new one where the status matters.
#   my $h2 = Usher::H2->new(port => 8080);
#   my $id = $h2->start(GET => '/a', ['x-id' => 7]);
#   my $a = $h2->answer($id);     # ->{status}, ->{body}, ->{complete}, ->{end}
#   $h2->cancel($id);             # RST_STREAM
#   my $id = $h2->connect_to('/ws', 'websocket');       # extended CONNECT (RFC 8441)
#   $h2->send_data($id, 'bytes'); $h2->end($id);
package Usher::H2;

use strict;
use warnings FATAL => 'all';

use Time::HiRes ();
use Usher::Client ();
use Usher::Pattern;
use Usher::Wait;

my %type = (DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6, GOAWAY => 7, WINDOW_UPDATE => 8, CONTINUATION => 9);
my %name = reverse %type;

sub new {
    my ($class, %opt) = @_;
    my $client = $opt{client} // Usher::Client->new(%opt) // return;
    my $self = bless { client => $client, next => 1, streams => {}, window => 65535, initial => 65535,
        scheme => $opt{scheme} // 'http', authority => $opt{authority} // 'localhost' }, $class;

    # The answers' windows are as large as can be.
    $client->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . _frame('SETTINGS', 0, 0, pack 'nN', 4, 0x7fffffff)
        . _frame('WINDOW_UPDATE', 0, 0, pack 'N', 0x7fffffff - 65535));
    return $self;
}

sub _frame {
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length $payload), 1) . pack('CCN', $type{$type}, $flags, $stream) . $payload;
}

# A field, literal and never indexed; lengths up to 16K.
sub _field {
    my ($name, $value) = @_;
    my $string = sub {
        my $length = length $_[0];
        return chr($length) . $_[0] if $length < 127;
        $length -= 127;
        my $bytes = chr 127;
        while ($length >= 128) { $bytes .= chr($length % 128 + 128); $length = int($length / 128) }
        return $bytes . chr($length) . $_[0];
    };

    return "\x10" . $string->(lc $name) . $string->($value);
}

# start(method, path, [name => value, ...], more): sends the head; without
# "more" the request ends with it. Returns the stream.
sub start {
    my ($self, $method, $path, $headers, $more, $protocol) = @_;
    my $id = $self->{next};
    my @headers = @{ $headers // [] };
    my $block = _field(':method', $method) . _field(':scheme', $self->{scheme}) . _field(':authority', $self->{authority}) . _field(':path', $path)
        . (defined $protocol ? _field(':protocol', $protocol) : '');

    $self->{next} += 2;
    while (my ($name, $value) = splice @headers, 0, 2) { $block .= _field($name, $value) }
    $self->{streams}{$id} = { body => '', body_len => 0, window => $self->{initial} };
    $self->{client}->send(_frame('HEADERS', $more ? 4 : 5, $id, $block));
    return $id;
}

# Whether the server takes extended CONNECT, as its settings tell.
sub offers_connect {
    my ($self) = @_;

    $self->wait_for(10, sub { $_[0]{settled} });
    return $self->{connect};
}

# connect_to(path, protocol, [name => value, ...]): a stream that stays open.
sub connect_to {
    my ($self, $path, $protocol, $headers) = @_;

    $self->offers_connect;
    return $self->start(CONNECT => $path, $headers, 1, $protocol);
}

# Sends bytes as the windows allow: how many went.
sub send_data {
    my ($self, $id, $bytes, $seconds) = @_;
    my $end = Time::HiRes::time() + patient($seconds // 10);
    my $stream = $self->{streams}{$id};
    my $at = 0;

    while ($at < length $bytes && !$stream->{end}) {
        my ($size) = sort { $a <=> $b } 16384, length($bytes) - $at, $stream->{window}, $self->{window};
        if ($size <= 0) {
            last if !$self->_read($end - Time::HiRes::time());
            next;
        }
        $self->{client}->send(_frame('DATA', 0, $id, substr $bytes, $at, $size));
        $_->{window} -= $size for $stream, $self;
        $at += $size;
    }
    return $at;
}

# Our side of the stream is over.
sub end { my ($self, $id) = @_; return $self->{client}->send(_frame('DATA', 1, $id, '')) }

# Sends $count bytes of the pattern as the request's body, as the windows
# allow; false where the stream ended meanwhile.
sub send_pattern {
    my ($self, $id, $count, $seconds, $unfinished) = @_;
    my $end = Time::HiRes::time() + patient($seconds // 10);
    my $stream = $self->{streams}{$id};

    for (my $at = 0; $at < $count;) {
        my ($size) = sort { $a <=> $b } 16384, $count - $at, $stream->{window}, $self->{window};
        if ($size <= 0) {
            return 0 if !$self->_read($end - Time::HiRes::time());
            return 0 if $stream->{end};
            next;
        }
        $self->{client}->send(_frame('DATA', $at + $size == $count && !$unfinished ? 1 : 0, $id, pattern($at, $size)));
        $_->{window} -= $size for $stream, $self;
        $at += $size;
    }
    return 1;
}

sub cancel {
    my ($self, $id) = @_;

    return $self->{client}->send(_frame('RST_STREAM', 0, $id, pack 'N', 8));
}

sub reset { return $_[0]{client}->reset }
sub close { return $_[0]{client}->close }

# answer(stream, timeout => seconds): status, body, body_len, complete, and
# end: 'complete', 'reset' (RST_STREAM; {code}), 'closed', 'timeout'.
sub answer {
    my ($self, $id, %opt) = @_;
    my $start = Time::HiRes::time();
    my $end = $start + patient($opt{timeout} // 10);
    my $stream = $self->{streams}{$id};

    until ($stream->{end}) {
        $self->_read($end - Time::HiRes::time()) or last;
    }
    return { %$stream, end => $stream->{end} // $self->{gone} // 'timeout', complete => ($stream->{end} // '') eq 'complete',
        interim => [], headers => [], time => Time::HiRes::time() - $start };
}

# Reads until the sub says so, or the time is over.
sub wait_for {
    my ($self, $seconds, $condition) = @_;
    my $end = Time::HiRes::time() + patient($seconds);

    until ($condition->($self)) {
        $self->_read($end - Time::HiRes::time()) or return $condition->($self);
    }
    return 1;
}

# Takes what has come.
sub pump {
    my ($self) = @_;

    1 while $self->_read(0);
    return;
}

sub stream { $_[0]{streams}{ $_[1] } }

# One more frame; false at the end of the connection or the time.
sub _read {
    my ($self, $seconds) = @_;
    my $in = \$self->{client}->wire->{in};
    my $end = Time::HiRes::time() + $seconds;

    until (length $$in >= 9 && length $$in >= 9 + unpack 'N', "\0" . substr $$in, 0, 3) {
        my $left = $end - Time::HiRes::time();
        my $how = $self->{client}->wire->read_more($left > 0 ? $left : 0);
        next if $how eq 'data';
        $self->{gone} = $how if $how ne 'timeout';
        return 0;
    }
    my ($type, $flags, $id) = unpack 'x3CCN', substr $$in, 0, 9;
    my $payload = substr substr($$in, 0, 9 + unpack('N', "\0" . substr $$in, 0, 3), ''), 9;
    $self->_take($name{$type} // '', $flags, $id & 0x7fffffff, $payload);
    return 1;
}

sub _take {
    my ($self, $type, $flags, $id, $payload) = @_;
    my $stream = $self->{streams}{$id};

    if ($type eq 'SETTINGS' && !($flags & 1)) {
        while (length $payload) {
            my ($key, $value) = unpack 'nN', substr $payload, 0, 6, '';
            $self->{connect} = $value if $key == 8;
            next if $key != 4;
            $_->{window} += $value - $self->{initial} for values %{ $self->{streams} };
            $self->{initial} = $value;
        }
        $self->{settled} = 1;
        $self->{client}->send(_frame('SETTINGS', 1, 0, ''));
    } elsif ($type eq 'PING' && !($flags & 1)) {
        $self->{client}->send(_frame('PING', 1, 0, $payload));
    } elsif ($type eq 'WINDOW_UPDATE') {
        ($id ? $stream // {} : $self)->{window} += unpack 'N', $payload;
    } elsif ($type eq 'GOAWAY') {
        $self->{goaway} = unpack 'x4N', $payload;
    } elsif (!$stream) {
        return;
    } elsif ($type eq 'RST_STREAM') {
        @$stream{qw(end code)} = ('reset', unpack 'N', $payload) unless $stream->{end};
    } elsif ($type eq 'HEADERS') {
        my $status = _status($payload);
        $stream->{status} = $status if ($stream->{status} // 100) < 200;
        $stream->{end} //= 'complete' if $flags & 1;
    } elsif ($type eq 'DATA') {
        $stream->{body} .= $payload;
        $stream->{body_len} += length $payload;
        $stream->{end} //= 'complete' if $flags & 1;
        # Credit again, so that a large answer flows.
        $self->{client}->send(_frame('WINDOW_UPDATE', 0, 0, pack 'N', length $payload)) if length $payload && $flags == 0;
    }
    return;
}

# The status is the first field: indexed, or a literal of plain or Huffman
# coded digits.
my @indexed = (200, 204, 206, 304, 400, 404, 500);
my %digit = ('00000' => 0, '00001' => 1, '00010' => 2, '011001' => 3, '011010' => 4, '011011' => 5, '011100' => 6,
    '011101' => 7, '011110' => 8, '011111' => 9);

sub _status {
    my ($block) = @_;
    # Changes of the table's size may come first.
    1 while $block =~ s/^[\x20-\x3f]//;
    my $first = ord $block;

    return $indexed[$first - 0x88] if $first >= 0x88 && $first <= 0x8e;
    return 0 unless $first == 0x48 || $first == 0x08 || $first == 0x18;
    my $length = ord substr $block, 1, 1;
    my $value = substr $block, 2, $length & 127;
    return $value unless $length & 128;
    my $bits = unpack 'B*', $value;
    my $status = '';
    while (length $status < 3 && $bits =~ s/^(0000[01]|00010|011[01]..)//) { $status .= $digit{$1} // '?' }
    return $status;
}

1;
