# An expiry in a time namespace, where the boot clock can be set: time spent
# suspended counts, and a boot clock that runs behind is not believed.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my $tool = "$ENV{USHER_BUILDDIR}/t/unit/expirytool";
my ($way) = grep { !system("$_ --boottime 1 true >/dev/null 2>&1") }
    'unshare --time --fork', 'unshare --user --map-root-user --time --fork';

# The seconds left of a record, in a namespace or here.
sub left {
    my ($record, $in) = @_;
    my $out = qx($in '$tool' load '$record');

    die "$in $tool load: wait status $?" if $?;
    return 0 + $out;
}

# What has passed since the record was made is less, however long the machine stalls.
my $began = clock_gettime(CLOCK_MONOTONIC);

sub is_left {
    my ($left, $most, $name) = @_;
    my $least = $most - (clock_gettime(CLOCK_MONOTONIC) - $began) - 0.01;

    ok $left <= $most && ($left >= $least || $left == 0 && $least < 0), "$name ($left s left)";
    return;
}

my $record = qx('$tool' save 90);
chomp $record;
like $record, qr/^left=\d+us utc=\d{4}-\S+\+00:00 up=\d+us boot=\S+$/, 'a record of 90 s';
is_left(left($record, ''), 90, 'read at once, 90 s are left');

if ($way) {
    my %shifted = (
        '--boottime 30'    => [60, 'suspended for 30 s: they count'],
        '--boottime 100'   => [0, 'suspended for 100 s: over'],
        '--monotonic 30'   => [90, 'the monotonic clock does not matter'],
        '--boottime -3'    => [90, 'a boot clock behind the record: what passed in UTC counts'],
    );
    for my $how (sort keys %shifted) {
        is_left(left($record, "$way $how"), @{ $shifted{$how} });
    }
} else {
    pass 'no time namespaces on this machine: t/unit/expiry has the cases with a stubbed clock';
}
done_testing;
