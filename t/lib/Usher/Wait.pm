# Polling instead of sleeping, and free ports.
package Usher::Wait;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IO::Socket::INET ();
use Test::More ();
use Time::HiRes ();

our @EXPORT = qw(wait_until soon free_port port_answers);

# So many times longer may everything take: CI's machines stall, and run two rows of
# tests side by side.
my $patience = $ENV{USHER_PATIENCE} || 1;

# wait_until { condition } [seconds, default 10]: what the condition returned
# as soon as it is true, else false when the time is over. Less than 2 s is how long
# something shall not happen, and stays as it is.
sub wait_until(&;$) {
    my ($condition, $limit) = @_;
    my $end = Time::HiRes::time() + (($limit //= 10) < 2 ? $limit : $limit * $patience);

    while (1) {
        my $value = $condition->();
        return $value if $value;
        return if Time::HiRes::time() >= $end;
        Time::HiRes::sleep(0.02);
    }
}

# One test: what began then took less than so many seconds.
sub soon {
    my ($from, $limit, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::cmp_ok(Time::HiRes::time() - $from, '<', $limit * $patience, $name);
}

# A port of 127.0.0.1 that nobody listens on, below the kernel's ephemeral
# ports so that no outgoing connection takes it meanwhile. Each process
# starts looking elsewhere, and never gives the same port twice.
# Rows of tests that run side by side (build/test) have ports of their own: one that a test
# has closed for a moment shall be nobody else's.
my $lowest = 12000 + 6000 * ($ENV{USHER_ROW} // 0);
my $highest = defined $ENV{USHER_ROW} ? $lowest + 5999 : 30000;
my $next;

sub free_port {
    $next //= $lowest + ($$ * 37) % ($highest - $lowest);
    for (1 .. 500) {
        $next = $lowest if ++$next > $highest;
        my $sock = IO::Socket::INET->new(
            LocalAddr => '127.0.0.1', LocalPort => $next, Listen => 1, ReuseAddr => 1, Proto => 'tcp') or next;
        close $sock;
        return $next;
    }
    die "no free port on 127.0.0.1 between $lowest and $highest\n";
}

sub port_answers {
    my ($port) = @_;

    return !!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 2);
}

1;
