# What a backend does for one request: a play, a list of steps. A string is a
# step that sends its bytes; all others are made by these functions, which
# Usher::Backend exports:
#
#   the answer
#     at($play, $n, @steps)      the play with these steps after its first $n bytes
#     garble($bytes, $n, $with)  the bytes with others at offset $n
#     fill($n, %how)             $n bytes of Usher::Pattern, never held in memory;
#                                as => 'chunked' or 'ajp' frames them, piece => bytes each
#     trickle($bytes, $n, $s)    pieces of $n bytes with $s seconds between them
#     echo()                     200 with "METHOD uri body_len sha1\n" of this request
#   time
#     stall($s)                  seconds; without: until the peer closes or the test ends
#     hold($name)                until $backend->release($name), or the peer closes
#   the connection
#     cut()                      close with FIN
#     rst()                      close with RST, after what was sent has arrived
#     half_close()               FIN, and read on until the peer closes
#     tunnel()                   CONNECT: connect to where it says, and pass on all bytes
#     idle($s, 'cut' | 'rst')    after this answer, close so when no request comes for $s seconds
#   the request (a play without any of these reads all of it first)
#     read_body($n)              $n more bytes of the body; without: all
#     read_slowly($n, $s)        all, $n bytes at a time with $s seconds between
#     leave_body()               nothing
#     say_continue()             send "100 Continue"
#     read_asking(@sizes)        AJP: all, with GET_BODY_CHUNKs for these sizes in turn
#     ask_body($times, $bytes, $n)  AJP: GET_BODY_CHUNK again and again (without: for ever),
#                                with these bytes of the answer behind it, for $n bytes
#   TLS (see also on() in Usher::Backend); cut() is then without close_notify
#     flight($n, $size, $s)      the server's first flight, $n bytes of it (without: all), as a
#                                trickle where $size is given; goes on with the rest after the play
#     certificate($name)         another one of Usher::Certs, for this connection
#     alert($number)             a fatal alert, in clear
#     raw($bytes)                bytes that are no TLS
#     notify()                   close_notify
#     records($n)                from now on each record has $n bytes
#     renegotiate()              ask for a new handshake (TLS 1.2)
#     ask_certificate()          ask for the client's certificate now (TLS 1.3)
#
#   another protocol (after these the connection is closed)
#     switch_to($name, $behind)  "101 Switching Protocols" to it, default what was asked for; a
#                                WebSocket's key is answered; and these bytes in the same packet
#     websocket_echo()           says each frame back, pings too, until a close frame
#     echo_bytes()               says all bytes back, as they come, until the peer's FIN
#     take_bytes($n)             reads $n bytes; without: until the peer's FIN (their number and
#                                SHA-1 are the request's body_len and sha1)
#     both_ways($n)              sends $n bytes of Usher::Pattern while it reads, until all is
#                                sent and the peer's FIN came
#
# When a play is over the connection is kept for another request, unless the
# request was not read to its end, or request or answer said "close".
package Usher::Backend::Play;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Usher::AJP ();
use Usher::Pattern;

our @EXPORT = qw(at garble fill trickle echo stall hold cut rst half_close idle
    read_body read_slowly read_asking leave_body say_continue ask_body
    switch_to websocket_echo echo_bytes take_bytes both_ways
    flight certificate alert raw notify records renegotiate ask_certificate tunnel);

sub _step { my ($do, @with) = @_; return bless { do => $do, with => [@with] }, 'Usher::Backend::Step' }

sub cut          { return _step('cut') }
sub rst          { return _step('rst') }
sub half_close   { return _step('half_close') }
sub stall        { return _step('stall', @_) }
sub hold         { return _step('hold', @_) }
sub trickle      { return _step('trickle', @_) }
sub idle         { return _step('idle', @_) }
sub echo         { return _step('echo') }
sub read_body    { return _step('read_body', @_) }
sub read_slowly  { return _step('read_slowly', @_) }
sub leave_body   { return _step('leave_body') }
sub say_continue { return _step('say_continue') }
sub read_asking  { return _step('read_asking', @_) }
sub ask_body     { return _step('ask_body', @_) }

sub switch_to      { return _step('switch_to', @_) }
sub websocket_echo { return _step('websocket_echo') }
sub echo_bytes     { return _step('echo_bytes') }
sub take_bytes     { return _step('take_bytes', @_) }
sub both_ways      { return _step('both_ways', @_) }
sub tunnel       { return _step('tunnel') }

sub flight          { return _step('flight', @_) }

sub certificate {
    my ($name) = @_;

    require Usher::Certs;
    my $certs = Usher::Certs->new;
    return _step('certificate', $certs->cert($name), $certs->key($name));
}

sub alert           { return _step('alert', @_) }
sub raw             { return _step('raw', @_) }
sub notify          { return _step('notify') }
sub records         { return _step('records', @_) }
sub renegotiate     { return _step('renegotiate') }
sub ask_certificate { return _step('ask_certificate') }

my %piece = (plain => 65536, chunked => 16384, ajp => $Usher::AJP::CHUNK_MAX);

# fill($n, as => 'plain', piece => bytes): no last chunk, no END_RESPONSE.
sub fill {
    my ($count, %how) = @_;
    my $as = $how{as} // 'plain';
    my $fill = { count => $count, as => $as, piece => $how{piece} // $piece{$as} // die "fill: as => $as\n" };

    @$fill{qw(from to)} = (0, _fill_length($fill));
    return _step('fill', $fill);
}

# A frame around one piece.
sub frame {
    my ($as, $bytes) = @_;

    return $as eq 'plain' ? $bytes
        : $as eq 'chunked' ? sprintf "%x\r\n%s\r\n", length $bytes, $bytes : Usher::AJP::ajp_body_chunk($bytes);
}

sub _fill_length {
    my ($fill) = @_;
    my $size = $fill->{piece};
    my $last = $fill->{count} % $size;
    my $length = int($fill->{count} / $size) * length frame($fill->{as}, 'x' x $size);

    return $length + ($last ? length frame($fill->{as}, 'x' x $last) : 0);
}

sub garble {
    my ($bytes, $at, $with) = @_;

    substr $bytes, $at, length $with, $with;
    return $bytes;
}

# at($play, $n, @steps): the play's bytes are counted over all its steps.
sub at {
    my ($play, $n, @steps) = @_;
    my @items = steps($play);
    my @before;

    while (@items && $n >= (my $length = _length($items[0]))) {
        push @before, shift @items;
        $n -= $length;
    }
    if ($n > 0) {
        die "at: the play is $n bytes too short\n" unless @items;
        my ($head, $tail) = _split(shift @items, $n);
        push @before, $head;
        unshift @items, $tail;
    }
    return [@before, @steps, @items];
}

# The steps of a play: a string, a step, or a list of them.
sub steps {
    my ($play) = @_;

    return ref $play eq 'ARRAY' ? map { steps($_) } @$play : ($play);
}

# How many bytes of the answer a step is; what echo() sends is not counted.
sub _length {
    my ($step) = @_;

    return length $step unless ref $step;
    my $with = $step->{with}[0];
    return $step->{do} eq 'fill' ? $with->{to} - $with->{from} : $step->{do} eq 'trickle' ? length $with : 0;
}

sub _split {
    my ($step, $n) = @_;

    return (substr($step, 0, $n), substr($step, $n)) unless ref $step;
    my ($with, @rest) = @{ $step->{with} };
    return (trickle(substr($with, 0, $n), @rest), trickle(substr($with, $n), @rest)) if $step->{do} eq 'trickle';
    my $middle = $with->{from} + $n;
    return (_step('fill', { %$with, to => $middle }), _step('fill', { %$with, from => $middle }));
}

# Calls $write->(bytes) for all bytes of a fill step; stops where it returns
# false.
sub each_fill {
    my ($fill, $write) = @_;
    my $start = 0;

    for (my $done = 0; $done < $fill->{count} && $start < $fill->{to}; $done += $fill->{piece}) {
        my $left = $fill->{count} - $done;
        my $bytes = frame($fill->{as}, pattern($done, $left < $fill->{piece} ? $left : $fill->{piece}));
        my $end = $start + length $bytes;
        my $from = $fill->{from} > $start ? $fill->{from} - $start : 0;
        my $to = $fill->{to} < $end ? $fill->{to} - $start : length $bytes;
        $start = $end;
        next if $from >= $to;
        $write->(substr $bytes, $from, $to - $from) or return;
    }
    return;
}

# Whether a play decides itself how the request is read.
sub reads_itself {
    my ($play) = @_;

    return !!grep { ref $_ && $_->{do} =~ /^(?:read_|leave_|ask_|say_)/ } steps($play);
}

1;
