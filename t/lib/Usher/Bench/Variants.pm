# Several httpds that differ in a few modules and lines, each compared with the
# first one: what do these cost? Instructions are counted in valgrind, CPU time in
# short turns; t/bench/README tells what that means.
package Usher::Bench::Variants;

use strict;
use warnings FATAL => 'all';

use List::Util qw(min);
use Usher::Bench::Client ();
use Usher::Bench::Cpu ();
use Usher::Bench::Profile ();
use Usher::Callgrind ();
use Usher::Httpd ();

# Each operation is counted in so many parts, of which the median is taken: so what
# happens once a second is not in it.
my $parts = 10;

# What no httpd passes on.
our $own_path = '/bench/own';

# start({ modules => [httpd's], usher => [ours], conf => text }, options of Usher::Httpd):
# one child with threads
sub start {
    my ($variant, @more) = @_;
    my $httpd = Usher::Httpd->new(
        loglevel => 'warn', modules => $variant->{modules}, usher => $variant->{usher}, mpm => 'event', @more,
        conf => <<"EOT");
ServerLimit 1
StartServers 1
ThreadLimit 64
ThreadsPerChild 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
MaxKeepAliveRequests 0
KeepAliveTimeout 60
Timeout 60
$variant->{conf}
EOT
    $httpd->start or die "$variant->{title}: httpd does not start: ", $httpd->console;
    return $httpd;
}

# What each of the operations takes in instructions, as Usher::Bench::Profile has them.
# An operation is called with (httpd, how often).
sub instructions {
    my ($dir, $variant, $n, @operations) = @_;
    my @command = Usher::Callgrind::command("$dir/count", Usher::Callgrind::marked());

    unlink glob "'$dir/count'*";
    local $ENV{USHER_HTTPD} = Usher::Callgrind::httpd_script("$dir/httpd", @command);
    my $httpd = start($variant, args => ['-X']);
    chmod 0666, "$dir/count"; # made by root, written by the child's user
    my $files = 0;
    my $mark = sub {
        Usher::Bench::Client->new($httpd->port, method => 'OPTIONS', path => $own_path)->request;
        return "$dir/count." . ++$files;
    };
    my @median = map { _counted($_, $httpd, $mark, int($n / $parts) || 1) } @operations;
    $httpd->stop;
    return @median;
}

# The first files are those of the start, and of a mark that finds things cold.
sub _counted {
    my ($operation, $httpd, $mark, $n) = @_;
    my $middle = sub { (sort { Usher::Callgrind::total($a) <=> Usher::Callgrind::total($b) } @_)[@_ / 2] };

    $operation->($httpd, $n);
    $mark->() for 1 .. 2;
    my $none = $middle->(map { $mark->() } 1 .. 5);
    my @files = map { $operation->($httpd, $n); $mark->() } 1 .. $parts;
    return Usher::Bench::Profile::per_request(map({ Usher::Bench::Profile::of($_) } $middle->(@files), $none), $n);
}

# turns(how many rounds, [httpd, operation], ...): CPU seconds for one of what the
# operation does, of each httpd in each round. They take turns, and each round begins
# with another one. An operation says how often it did it.
sub turns {
    my ($rounds, @runners) = @_;
    my @cost;

    $_->[1]->() for @runners; # warms up
    for my $round (0 .. $rounds - 1) {
        for my $i (map { ($_ + $round) % @runners } 0 .. $#runners) {
            my ($httpd, $operation) = @{ $runners[$i] };
            my $before = Usher::Bench::Cpu::seconds($httpd->pid);
            my $n = $operation->() or die "nothing went well\n";
            $cost[$i][$round] = (Usher::Bench::Cpu::seconds($httpd->pid) - $before) / $n;
        }
    }
    return @cost;
}

sub quantile {
    my ($share, @values) = @_;

    @values = sort { $a <=> $b } @values;
    my $at = $share * $#values;
    my $low = int $at;
    return $values[$low] + ($at - $low) * ($values[min($low + 1, $#values)] - $values[$low]);
}

# "| 44.1 us | 1.003 | 0.998 to 1.010 |": the median, and the ratios to the first one
sub text {
    my ($cost, $base) = @_;
    my @ratio = map { $cost->[$_] / $base->[$_] } 0 .. $#$cost;

    return sprintf '| %.1f us | %.3f | %.3f to %.3f |', 1e6 * quantile(0.5, @$cost), map { quantile($_, @ratio) } 0.5, 0.25, 0.75;
}

1;
