# A client for the benchmarks: the same request again and again on one
# connection, and the whole answer each time.
package Usher::Bench::Client;

use strict;
use warnings FATAL => 'all';

use IO::Socket::INET ();
use Usher::Bench::Backend ();

# new(port, path => ..., fields => how many more, body => bytes of a POST,
# method => another one)
sub new {
    my ($class, $port, %opt) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 60)
        or die "port $port of 127.0.0.1: $!\n";
    my $body = 'x' x ($opt{body} // 0);

    $socket->autoflush(1);
    my $request = join '', $opt{method} // ($opt{body} ? 'POST' : 'GET'), " $opt{path} HTTP/1.1\r\nHost: 127.0.0.1:$port\r\n",
        (map { sprintf "%s: %s\r\n", Usher::Bench::Backend::field($_) } 1 .. $opt{fields} // 0),
        $opt{body} ? "Content-Length: $opt{body}\r\n" : '', "\r\n", $body;
    return bless { socket => $socket, request => $request }, $class;
}

# With such a cookie, if any. Dies unless the answer is a whole 200; returns the
# cookie that it sets, or nothing.
sub request {
    my ($self, $cookie) = @_;
    my $request = $self->{request};
    my $got = '';

    $request =~ s/\r\n\r\n/\r\nCookie: $cookie\r\n\r\n/ if defined $cookie;
    print { $self->{socket} } $request or die "the proxy closed the connection\n";
    while ($got !~ /\r\n\r\n/) {
        sysread $self->{socket}, $got, 65536, length $got or die "no answer from the proxy\n";
    }
    my ($head, $body) = split /\r\n\r\n/, $got, 2;
    die "the proxy answered ", $head =~ /^(.*)/, "\n" unless $head =~ m{^HTTP/1\.1 200 };
    my ($set) = $head =~ /^Set-Cookie: ([^;\r\n]+)/im;
    if (my ($left) = $head =~ /^Content-Length: (\d+)/im) {
        $left -= length $body;
        while ($left > 0) {
            my $n = sysread $self->{socket}, my $piece, 1 << 20 or die "the answer was cut\n";
            $left -= $n;
        }
    } else {
        $self->_chunks($body);
    }
    return $set;
}

# mod_proxy_ajp passes on no length. No data of ours looks like the last chunk.
sub _chunks {
    my ($self, $got) = @_;

    while ($got !~ /(?:^|\r\n)0\r\n\r\n\z/) {
        $got = substr $got, -16 if length $got > 16;
        sysread $self->{socket}, $got, 1 << 20, length $got or die "the answer was cut\n";
    }
    return;
}

1;
