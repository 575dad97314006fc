# A raw HTTP/1 client: sends exactly the bytes given, reads with a deadline,
# and tells how an answer ended.
#   my $c = Usher::Client->new(port => 8080);
#   $c->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
#   my $a = $c->answer;        # ->{status}, ->{body}, ->{complete}, ->{end}
#   $c->send(...);             # the next request on the same connection
package Usher::Client;

use strict;
use warnings FATAL => 'all';

use Digest::SHA ();
use Errno qw(ECONNRESET EINPROGRESS);
use IO::Handle ();
use Socket qw(AF_INET AF_UNIX SOCK_STREAM SOL_SOCKET SO_ERROR AI_NUMERICHOST AI_NUMERICSERV);
use Time::HiRes ();
use Usher::HTTP1;
use Usher::Pattern;
use Usher::Wait;
use Usher::Wire ();

# Seconds that anything may take unless a call says otherwise; those by patient(), too.
my $limit = 10;

# new(port => n, host => default 127.0.0.1, or unix => path, timeout =>
# seconds for the connect, from => our address): undef and $! where nobody accepts. With
# tls => { name => SNI, options of Usher::Wire::TLS::context } dies where the
# handshake fails.
sub new {
    my ($class, %opt) = @_;
    my ($family, $address) = _address(%opt);

    socket my $sock, $family, SOCK_STREAM, 0 or return;
    _bind($sock, $opt{from}) if $opt{from};
    my $wire = Usher::Wire->new($sock);
    if (!connect $sock, $address) {
        return if $! != EINPROGRESS;
        $wire->ready('w', patient($opt{timeout} // $limit)) or return;
        $! = unpack 'i', getsockopt $sock, SOL_SOCKET, SO_ERROR;
        return if $! && $! != ECONNRESET;
        # Accepted, and reset so soon that we learn it instead of "connected".
        $wire->{ended} = 'reset' if $!;
    }
    return bless { wire => $opt{tls} ? _secure($sock, %{ $opt{tls} }) : $wire }, $class;
}

# The port is chosen at connect(), so that many connections fit.
sub _bind {
    my ($sock, $from) = @_;

    setsockopt $sock, Socket::IPPROTO_IP(), 24, pack 'i', 1 if $^O eq 'linux';    # IP_BIND_ADDRESS_NO_PORT
    return bind $sock, Socket::pack_sockaddr_in(0, Socket::inet_aton($from)) || die "bind $from: $!\n";
}

sub _secure {
    my ($sock, %tls) = @_;

    require Usher::Wire::TLS;
    my $wire = Usher::Wire::TLS->new($sock, client => 1, name => delete $tls{name},
        context => Usher::Wire::TLS::context(%tls, client => 1));
    my $why = $wire->handshake(patient($limit));
    die "handshake: $why\n" if $why;
    return $wire;
}

sub _address {
    my (%opt) = @_;

    return (AF_UNIX, Socket::pack_sockaddr_un($opt{unix})) if $opt{unix};
    my ($error, $found) = Socket::getaddrinfo($opt{host} // '127.0.0.1', $opt{port},
        { flags => AI_NUMERICHOST | AI_NUMERICSERV, socktype => SOCK_STREAM });
    die "$opt{host}: $error\n" if $error;
    return @$found{qw(family addr)};
}

# get(port, uri, [name => value, ...]): the answer to one request on a
# connection of its own; dies where nobody accepts.
sub get {
    my ($class, $port, $uri, $headers, %opt) = @_;
    my $self = $class->new(port => $port) // die "connect to port $port: $!\n";

    return $self->request(GET => $uri, $headers, undef, %opt);
}

# request(method, uri, [name => value, ...], body, options of http_request):
# send it and return the answer.
sub request {
    my ($self, $method, $uri, $headers, $body, %opt) = @_;

    $self->send(http_request($method, $uri, $headers, $body, %opt));
    return $self->answer(head => $method eq 'HEAD');
}

sub wire { $_[0]{wire} }

# Our port, to be found in logs and journals.
sub port {
    my ($self) = @_;
    my $name = getsockname $self->{wire}->sock;

    return (Socket::sockaddr_family($name) == AF_INET ? Socket::unpack_sockaddr_in($name)
        : Socket::unpack_sockaddr_in6($name))[0];
}

# Send bytes within $seconds: how many went out; fewer where the peer closed
# or does not read.
sub send {
    my ($self, $bytes, $seconds) = @_;

    return $self->{wire}->write($bytes, patient($seconds // $limit));
}

# Send in pieces of $size bytes with $seconds between them.
sub trickle {
    my ($self, $bytes, $size, $seconds) = @_;
    my $sent = 0;

    for (my $at = 0; $at < length $bytes; $at += $size) {
        $self->{wire}->pause($seconds) if $at;
        my $piece = substr $bytes, $at, $size;
        my $put = $self->send($piece);
        $sent += $put;
        last if $put < length $piece;
    }
    return $sent;
}

# Send $count bytes of Usher::Pattern without holding them: how many went out.
sub send_pattern {
    my ($self, $count, $seconds) = @_;
    my $end = Time::HiRes::time() + patient($seconds // 60);
    my $sent = 0;

    while ($sent < $count) {
        my $size = $count - $sent > 262144 ? 262144 : $count - $sent;
        my $put = $self->send(pattern($sent, $size), $end - Time::HiRes::time());
        $sent += $put;
        last if $put < $size;
    }
    return $sent;
}

sub half_close { return $_[0]{wire}->half_close }
sub close      { return $_[0]{wire}->close }
sub reset      { return $_[0]{wire}->reset }

# How the server ended the connection ('closed', 'reset'), as far as it can
# be seen without reading; '' while it is open.
sub peer_gone { return $_[0]{wire}->peer_gone }

# Everything until the end: (bytes, 'closed' | 'reset' | 'timeout').
sub read_all {
    my ($self, $seconds) = @_;
    my $end = Time::HiRes::time() + patient($seconds // $limit);
    my $wire = $self->{wire};
    my $how;

    do {
        $how = $wire->read_more(_left($end));
    } while $how eq 'data';
    return (substr($wire->{in}, 0, length $wire->{in}, ''), $how);
}

# Read until $take->(\$input) returns something defined, and return that;
# undef when the connection or the time is over first ($c->{how} tells).
sub until {
    my ($self, $take, $seconds) = @_;
    my $end = Time::HiRes::time() + patient($seconds // $limit);
    my $wire = $self->{wire};

    while (1) {
        my $value = $take->(\$wire->{in});
        return $value if defined $value;
        $self->{how} = $wire->read_more(_left($end));
        return if $self->{how} ne 'data';
    }
}

# The next answer on this connection, a hash:
#   status, reason, proto, headers ([[name, value], ...]), head (its bytes),
#   body, body_len, sha1 (hex, of the decoded body), trailers,
#   interim   [answers of 1xx that came before]
#   framing   'length', 'chunked', 'close' (until FIN) or 'none'
#   complete  true if the framing says that the body is whole
#   end       'complete' (more may follow), 'closed' (FIN), 'reset' (RST),
#             'timeout', 'malformed' (then {bad} says why)
#   bytes     of the answer that came, interim ones too; time: seconds
# Options: timeout => seconds for all of it, head => 1 (the request was
# HEAD), discard => 1 (keep no body), interim => 1 (return at a 1xx).
sub answer {
    my ($self, %opt) = @_;
    my $wire = $self->{wire};
    my $start = Time::HiRes::time();
    my $end = $start + patient($opt{timeout} // $limit);
    my $before = $wire->{received} - length $wire->{in};
    my @interim;
    my $answer;

    while (1) {
        $answer = $self->_head($end);
        last unless ($answer->{status} // '') =~ /^1/ && $answer->{status} != 101 && !$opt{interim};
        push @interim, $answer;
    }
    @$answer{qw(interim body body_len)} = (\@interim, '', 0);
    $self->_body($answer, $end, %opt) if defined $answer->{status} && !$answer->{end};
    $answer->{bytes} = $wire->{received} - length($wire->{in}) - $before;
    $answer->{time} = Time::HiRes::time() - $start;
    return $answer;
}

sub _head {
    my ($self, $end) = @_;
    my $wire = $self->{wire};
    my $length;

    until ($length = http_head_end(\$wire->{in})) {
        my $how = $wire->read_more(_left($end));
        next if $how eq 'data';
        return { end => $how, complete => 0, head => substr $wire->{in}, 0, length $wire->{in}, '' };
    }
    my $head = substr $wire->{in}, 0, $length, '';
    my ($line, $headers) = http_parse_head($head);
    my ($proto, $status, $reason) = ($line // '') =~ m{^(HTTP/\d\.\d) (\d{3})(?: (.*))?$};
    return { end => 'malformed', complete => 0, head => $head, bad => 'head' } unless defined $status;
    return { proto => $proto, status => $status, reason => $reason // '', headers => $headers, head => $head };
}

sub _body {
    my ($self, $answer, $end, %opt) = @_;
    my $wire = $self->{wire};
    my ($kind, $length) = _framing($answer, $opt{head});
    my $body = Usher::HTTP1::Body->new($kind, $length);
    my $sha = Digest::SHA->new(1);
    my $how = '';

    while (1) {
        while (length(my $bytes = $body->take(\$wire->{in}))) {
            $answer->{body} .= $bytes unless $opt{discard};
            $answer->{body_len} += length $bytes;
            $sha->add($bytes);
        }
        last if $body->{done} || $body->{bad};
        $how = $wire->read_more(_left($end));
        last if $how ne 'data';
    }
    $answer->{framing} = $kind;
    $answer->{complete} = !!($body->{done} || ($kind eq 'close' && $how eq 'closed'));
    $answer->{end} = $body->{bad} ? 'malformed' : $body->{done} ? 'complete' : $how;
    $answer->{bad} = $body->{bad} if $body->{bad};
    $answer->{trailers} = $body->{trailers};
    $answer->{sha1} = $sha->hexdigest;
    return;
}

sub _framing {
    my ($answer, $head) = @_;
    my $length = http_value($answer->{headers}, 'Content-Length');

    return ('none') if $head || $answer->{status} =~ /^(?:1\d\d|204|304)$/;
    return ('chunked') if http_has_token($answer->{headers}, 'Transfer-Encoding', 'chunked');
    return ('length', $length) if defined $length && $length =~ /^\d+$/;
    return ('close');
}

sub _left {
    my ($end) = @_;
    my $left = $end - Time::HiRes::time();

    return $left > 0 ? $left : 0;
}

1;
