# WebSocket (RFC 6455): frames as bytes and back, for both sides, and a client.
#   my $ws = Usher::WebSocket->open($client, '/chat', ['X-Id' => 7]);   # a Usher::Client
#   $ws->{answer}                            # of the handshake; {refused} says what was wrong
#   $ws->say('hello'); $ws->message->{payload};
#   $ws->ping('x'); $ws->close(1000); $ws->message->{opcode};   # 10, 8
# Over HTTP/2, with extended CONNECT (RFC 8441):
#   my $ws = Usher::WebSocket->open_h2($h2, '/chat', ['x-id' => 7]);
package Usher::WebSocket;

use strict;
use warnings FATAL => 'all';

use Digest::SHA ();
use Exporter 'import';
use MIME::Base64 qw(encode_base64);
use Time::HiRes ();
use Usher::HTTP1;

our @EXPORT_OK = qw(ws_frame ws_take ws_accept ws_mask TEXT BINARY CLOSE PING PONG);

use constant { CONTINUATION => 0, TEXT => 1, BINARY => 2, CLOSE => 8, PING => 9, PONG => 10 };

my $patience = 10;

# ---- frames

# The value that proves that a server has understood this key.
sub ws_accept {
    my ($key) = @_;

    return encode_base64(Digest::SHA::sha1("${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), '');
}

sub ws_mask {
    my ($bytes, $mask) = @_;

    return $bytes ^ substr($mask x (length($bytes) / 4 + 1), 0, length $bytes);
}

# ws_frame(opcode, payload, more => 1 (not the last fragment), mask => 4 bytes)
sub ws_frame {
    my ($opcode, $payload, %opt) = @_;
    my $length = length $payload;
    my $bit = defined $opt{mask} ? 128 : 0;
    my $head = chr(($opt{more} ? 0 : 128) | $opcode)
        . ($length < 126 ? pack('C', $bit | $length) : $length < 65536 ? pack('Cn', $bit | 126, $length)
            : pack('CQ>', $bit | 127, $length));

    return $head . ($bit ? $opt{mask} . ws_mask($payload, $opt{mask}) : $payload);
}

# The frame at the start of $$in, taken off it: { opcode, more, masked, payload };
# nothing while it is incomplete.
sub ws_take {
    my ($in) = @_;

    return if length $$in < 2;
    my ($first, $length) = unpack 'CC', $$in;
    my $masked = $length & 128;
    my ($at, $size) = (2, $length & 127);
    if ($size >= 126) {
        my ($format, $wide) = $size == 126 ? ('n', 2) : ('Q>', 8);
        return if length $$in < 2 + $wide;
        $at += $wide;
        $size = unpack $format, substr $$in, 2, $wide;
    }
    my $mask = $masked ? substr $$in, $at, 4 : '';
    $at += 4 if $masked;
    return if length $$in < $at + $size;
    my $payload = substr $$in, $at, $size;
    substr $$in, 0, $at + $size, '';
    return { opcode => $first & 15, more => !($first & 128), masked => !!$masked,
             payload => $masked ? ws_mask($payload, $mask) : $payload };
}

# ---- the client

sub _key { return encode_base64(join('', map { chr int rand 256 } 1 .. 16), '') }

# The head of a handshake. Names given take the place of what is usual.
sub handshake {
    my ($path, $key, $headers) = @_;

    return http_request(GET => $path, ['Connection' => 'Upgrade', 'Upgrade' => 'websocket',
        'Sec-WebSocket-Version' => 13, 'Sec-WebSocket-Key' => $key, @{ $headers // [] }]);
}

# open(client, path, [headers], behind => bytes sent with the handshake)
sub open {
    my ($class, $client, $path, $headers, %opt) = @_;
    my $key = _key();
    my $self = bless { client => $client, message => undef }, $class;

    $client->send(handshake($path, $key, $headers) . ($opt{behind} // ''));
    my $answer = $self->{answer} = $client->answer;
    my $found = $answer->{headers} // [];
    $self->{refused} = ($answer->{status} // 'no answer') ne '101' ? 'status ' . ($answer->{status} // $answer->{end})
        : !http_has_token($found, 'Connection', 'upgrade') ? 'no Connection: Upgrade'
        : lc(http_value($found, 'Upgrade') // '') ne 'websocket' ? 'no Upgrade: websocket'
        : (http_value($found, 'Sec-WebSocket-Accept') // '') ne ws_accept($key) ? 'a wrong Sec-WebSocket-Accept' : undef;
    return $self;
}

sub open_h2 {
    my ($class, $h2, $path, $headers) = @_;
    my $self = bless { h2 => $h2, stream => $h2->connect_to($path, 'websocket', $headers) }, $class;

    $h2->wait_for($patience, sub { my $s = $h2->stream($self->{stream}); defined $s->{status} || $s->{end} });
    my $status = $h2->stream($self->{stream})->{status} // 'none';
    $self->{refused} = "status $status" if $status ne '200';
    return $self;
}

sub stream { $_[0]{stream} }

sub send_bytes {
    my ($self, $bytes, $seconds) = @_;

    return $self->{h2} ? $self->{h2}->send_data($self->{stream}, $bytes, $seconds // $patience)
        : $self->{client}->send($bytes, $seconds);
}

# One frame, masked as a client's must be. Returns how many bytes of it went.
sub frame {
    my ($self, $opcode, $payload, %opt) = @_;

    return $self->send_bytes(ws_frame($opcode, $payload, mask => pack('N', int rand 2 ** 32), %opt), $opt{seconds});
}

sub say   { my ($self, $payload, %opt) = @_; return $self->frame(BINARY, $payload, %opt) }
sub ping  { my ($self, $payload) = @_; return $self->frame(PING, $payload // '') }
sub close { my ($self, $code, $why) = @_; return $self->frame(CLOSE, pack('n', $code // 1000) . ($why // '')) }

# In fragments of $size bytes each.
sub say_in_pieces {
    my ($self, $payload, $size) = @_;

    for (my $at = 0; $at < length $payload; $at += $size) {
        $self->frame($at ? CONTINUATION : BINARY, substr($payload, $at, $size), more => $at + $size < length $payload);
    }
    return;
}

# The next message: fragments are put together, pings and the like come as they
# are. undef when the connection ends or the time is over: {how} tells.
sub message {
    my ($self, $seconds) = @_;
    my $take = sub {
        my ($in) = @_;
        while (my $frame = ws_take($in)) {
            return $frame if $frame->{opcode} >= 8;
            if ($frame->{opcode}) { $self->{message} = $frame } else { $self->{message}{payload} .= $frame->{payload} }
            return delete $self->{message} unless $frame->{more};
        }
        return;
    };

    return $self->_until_h2($take, $seconds // $patience) if $self->{h2};
    my $message = $self->{client}->until($take, $seconds);
    $self->{how} = $self->{client}{how} unless $message;
    return $message;
}

sub _until_h2 {
    my ($self, $take, $seconds) = @_;
    my $stream = $self->{h2}->stream($self->{stream});
    my $message;

    $self->{h2}->wait_for($seconds, sub { $message = $take->(\$stream->{body}); $message || $stream->{end} });
    $self->{how} = $stream->{end} // 'timeout' unless $message;
    return $message;
}

1;
