# Polling instead of sleeping, and free ports.
package Usher::Wait;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IO::Socket::INET ();
use Test::More ();
use Time::HiRes ();

our @EXPORT = qw(patience patient wait_until soon in_time in_calm free_port port_answers);

# So many times longer may everything take: CI's machines stall, and run two rows of
# tests side by side.
my $patience = $ENV{USHER_PATIENCE} || 1;

# For times in a configuration, and upper limits: 400 * patience.
sub patience() { return $patience }

# How long something that shall happen may take, seconds. Less than 2 s is how long something
# shall not happen, and stays as it is.
sub patient {
    my ($seconds) = @_;

    return $seconds < 2 ? $seconds : $seconds * $patience;
}

# wait_until { condition } [seconds, default 10]: what the condition returned
# as soon as it is true, else false when the time, by patient(), is over.
sub wait_until(&;$) {
    my ($condition, $limit) = @_;
    my $end = Time::HiRes::time() + patient($limit // 10);

    while (1) {
        my $is_last = Time::HiRes::time() >= $end; # a stall may come between this and the look
        my $value = $condition->();
        return $value if $value;
        return if $is_last;
        Time::HiRes::sleep(0.02);
    }
}

# One test: what began then took less than so many seconds. What is quick may still meet a
# stall or two.
sub soon {
    my ($from, $limit, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return in_time(Time::HiRes::time() - $from, $limit, $name);
}

# The same of what took so many seconds.
sub in_time {
    my ($took, $limit, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::cmp_ok($took, '<', $limit * $patience + 2 * ($patience - 1), $name);
}

# in_calm { what returns true where it went well }: for what hangs on short times, which a stall
# can spoil: where one is to be expected it may try again.
sub in_calm(&) {
    my ($try) = @_;

    for (1 .. ($patience > 1 ? 6 : 1)) {
        my $value = $try->();
        return $value if $value;
    }
    return;
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
