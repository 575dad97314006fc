# Load by wrk: clients that ask one after the other on connections that they keep.
package Usher::Bench::Wrk;

use strict;
use warnings FATAL => 'all';

use Usher::Env ();

# { share => ms within which that share of the answers was there }, for 50 and 99
sub latencies {
    my ($url, %opt) = @_;
    my $got = _wrk($url, %opt);
    my %within = $got =~ /^WITHIN (\d+) ([\d.]+)$/mg or die "wrk: $got";

    return \%within;
}

# (requests that went well, those that did not) in so many seconds; fields =>
# more of them in each request; headers => [name => value, ...];
# cookies => a file, each request has the next line of it
sub load {
    my ($url, %opt) = @_;
    my $got = _wrk($url, %opt);
    my ($good, $bad) = $got =~ /^BENCH (\d+) (\d+)$/m or die "wrk: $got";

    return ($good, $bad);
}

sub _wrk {
    my ($url, %opt) = @_;
    my @headers = @{ $opt{headers} // [] };
    my @more = map { ('-H', "$headers[2 * $_]: $headers[2 * $_ + 1]") } 0 .. @headers / 2 - 1;
    local $ENV{BENCH_FIELDS} = $opt{fields} // 0;
    local $ENV{BENCH_COOKIES} = $opt{cookies} // '';

    open my $wrk, '-|', 'wrk', '-t', 1, '-c', $opt{clients}, '-d', $opt{seconds}, '--timeout', '20s',
        '-s', Usher::Env::srcdir() . '/t/bench/load.lua', @more, $url or die "wrk: $!";
    local $/;
    my $got = <$wrk> // '';
    close $wrk;
    return $got;
}

1;
