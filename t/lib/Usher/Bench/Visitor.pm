# A client that asks for one page over TLS on a connection of its own, from an address of
# its own, and may be refused anywhere on the way.
package Usher::Bench::Visitor;

use strict;
use warnings FATAL => 'all';

use Errno qw(ECONNRESET);
use Net::SSLeay ();
use Socket qw(AF_INET SOCK_STREAM IPPROTO_IP IPPROTO_TCP TCP_NODELAY inet_aton pack_sockaddr_in);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep);

Net::SSLeay::initialize();
my $context = Net::SSLeay::CTX_new_with_method(Net::SSLeay::TLS_client_method());
my $address_no_port = 24; # the port is chosen at connect(), so that many connections fit

# ask(port, from => address, forwarded => address): the status; '' where the connection ended before
sub ask {
    my ($port, %opt) = @_;
    my $answer = '';

    socket my $socket, AF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
    setsockopt $socket, IPPROTO_IP, $address_no_port, pack 'i', 1;
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    bind $socket, pack_sockaddr_in(0, inet_aton($opt{from})) or die "$opt{from}: $!\n";
    connect $socket, pack_sockaddr_in($port, inet_aton('127.0.0.1')) or $! == ECONNRESET or die "port $port: $!\n";
    my $tls = Net::SSLeay::new($context);
    Net::SSLeay::set_fd($tls, fileno $socket);
    if (Net::SSLeay::connect($tls) == 1) {
        my $field = $opt{forwarded} ? "X-Forwarded-For: $opt{forwarded}\r\n" : '';
        Net::SSLeay::write($tls, "GET /index.html HTTP/1.1\r\nHost: localhost\r\n${field}Connection: close\r\n\r\n");
        while (defined(my $got = Net::SSLeay::read($tls))) { last if $got eq ''; $answer .= $got }
    }
    Net::SSLeay::free($tls);
    return $answer =~ m{^HTTP/1\.1 (\d+)} ? $1 : '';
}

# Does something so many times a second, as far as it can, for so many seconds: how often it did it.
sub pace {
    my ($seconds, $rate, $do) = @_;
    my $start = clock_gettime(CLOCK_MONOTONIC);
    my $n = 0;

    while ((my $passed = clock_gettime(CLOCK_MONOTONIC) - $start) < $seconds && $n < $seconds * $rate) {
        my $early = $n / $rate - $passed;
        sleep $early if $early > 0;
        $do->($n++);
    }
    return $n;
}

# flood(port, seconds, rate, wants => status, from => sub of the number): a process of its own that asks
# for so long, with what CPU time nobody else wants. done() waits for it: how often it asked; dies where somebody was not
# answered so.
sub flood {
    my ($port, $seconds, $rate, %opt) = @_;
    my $pid = open(my $told, '-|') // die "fork: $!\n";

    if (!$pid) {
        setpriority 0, 0, 19;
        my $wrong = 0;
        my $n = pace($seconds, $rate, sub { ++$wrong if ask($port, from => $opt{from}->($_[0])) ne $opt{wants} });
        syswrite STDOUT, "$wrong $n\n";
        require POSIX;
        POSIX::_exit(0);
    }
    return bless { pid => $pid, told => $told }, __PACKAGE__;
}

sub done {
    my ($self) = @_;
    my ($wrong, $n) = split ' ', readline($self->{told}) // '1 0';

    close $self->{told};
    die "flood: $wrong were not answered as they were to be\n" if $wrong;
    return $n;
}

1;
