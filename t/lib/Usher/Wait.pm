# Polling instead of sleeping, and free ports.
package Usher::Wait;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IO::Socket::INET ();
use Time::HiRes ();

our @EXPORT = qw(wait_until free_port port_answers);

# wait_until { condition } [seconds, default 10]: what the condition returned
# as soon as it is true, else false when the time is over.
sub wait_until(&;$) {
    my ($condition, $limit) = @_;
    my $end = Time::HiRes::time() + ($limit // 10);

    while (1) {
        my $value = $condition->();
        return $value if $value;
        return if Time::HiRes::time() >= $end;
        Time::HiRes::sleep(0.02);
    }
}

# A port of 127.0.0.1 that nobody listens on, below the kernel's ephemeral
# ports so that no outgoing connection takes it meanwhile. Each process
# starts looking elsewhere, and never gives the same port twice.
my $next;

sub free_port {
    $next //= 12000 + ($$ * 37) % 18000;
    for (1 .. 500) {
        $next = 12000 if ++$next > 30000;
        my $sock = IO::Socket::INET->new(
            LocalAddr => '127.0.0.1', LocalPort => $next, Listen => 1, ReuseAddr => 1, Proto => 'tcp') or next;
        close $sock;
        return $next;
    }
    die "no free port on 127.0.0.1 between 12000 and 30000\n";
}

sub port_answers {
    my ($port) = @_;

    return !!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 2);
}

1;
