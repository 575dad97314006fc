# A client that does TLS handshakes and nothing else: each on a connection of its own,
# which it then closes in the orderly way.
package Usher::Bench::Handshakes;

use strict;
use warnings FATAL => 'all';

use IO::Socket::INET ();
use Net::SSLeay ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);

Net::SSLeay::initialize();
my %version = ('1.2' => Net::SSLeay::TLS1_2_VERSION(), '1.3' => Net::SSLeay::TLS1_3_VERSION());

# new(port, version => '1.2' or '1.3', resumed => 1)
sub new {
    my ($class, $port, %opt) = @_;
    my $context = Net::SSLeay::CTX_new_with_method(Net::SSLeay::TLS_client_method()) or die _why('context');

    Net::SSLeay::CTX_set_min_proto_version($context, $version{ $opt{version} });
    Net::SSLeay::CTX_set_max_proto_version($context, $version{ $opt{version} });
    my $self = bless { port => $port, context => $context }, $class;
    $self->{session} = $self->_session if $opt{resumed};
    return $self;
}

sub DESTROY {
    my ($self) = @_;

    Net::SSLeay::SESSION_free($self->{session}) if $self->{session};
    Net::SSLeay::CTX_free($self->{context});
    return;
}

# So many of them; dies where one is not as it should be.
sub run {
    my ($self, $n) = @_;

    for (1 .. $n) {
        my ($socket, $tls) = $self->_connect;
        my $resumed = Net::SSLeay::session_reused($tls);
        die "handshake: ", $resumed ? 'resumed' : 'not resumed', "\n" if !$resumed != !$self->{session};
        _close($socket, $tls);
    }
    return $n;
}

sub _connect {
    my ($self) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Proto => 'tcp', Timeout => 60)
        or die "port $self->{port} of 127.0.0.1: $!\n";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1; # its last words do not wait for an answer to those before
    my $tls = Net::SSLeay::new($self->{context}) or die _why('connection');

    Net::SSLeay::set_fd($tls, fileno $socket);
    Net::SSLeay::set_tlsext_host_name($tls, 'localhost');
    Net::SSLeay::set_session($tls, $self->{session}) if $self->{session};
    Net::SSLeay::connect($tls) == 1 or die _why('handshake');
    return ($socket, $tls);
}

# Until the server has closed it, too.
sub _close {
    my ($socket, $tls) = @_;

    Net::SSLeay::shutdown($tls);
    1 while sysread $socket, my $rest, 65536;
    Net::SSLeay::free($tls);
    return;
}

# One that can be resumed: the tickets of TLS 1.3 come with what follows the handshake.
sub _session {
    my ($self) = @_;
    my ($socket, $tls) = $self->_connect;

    Net::SSLeay::write($tls, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    while (defined(my $got = Net::SSLeay::read($tls))) { last if $got eq '' }
    my $session = Net::SSLeay::get1_session($tls);
    _close($socket, $tls);
    return $session;
}

sub _why { return "$_[0]: " . Net::SSLeay::ERR_error_string(Net::SSLeay::ERR_get_error()) . "\n" }

1;
