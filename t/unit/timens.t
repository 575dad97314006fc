# An expiry in a time namespace, where the boot clock can be set: time spent
# suspended counts, and a boot clock that runs behind is not believed.
use strict;
use warnings FATAL => 'all';

use Test::More;

my $tool = "$ENV{USHER_BUILDDIR}/t/unit/expirytool";
my ($way) = grep { !system("$_ --boottime 1 true >/dev/null 2>&1") }
    'unshare --time --fork', 'unshare --user --map-root-user --time --fork';

# The seconds left of a record, in a namespace or here.
sub left {
    my ($record, $in) = @_;
    my $out = qx($in '$tool' load '$record');

    return $? ? "exit $?" : 0 + $out;
}

my $record = qx('$tool' save 90);
chomp $record;
like $record, qr/^left=\d+us utc=\d{4}-\S+\+00:00 up=\d+us boot=\S+$/, 'a record of 90 s';
my $left = left($record, '');
ok $left > 70 && $left <= 90, "read at once, 90 s are left ($left)";

if ($way) {
    my %shifted = (
        '--boottime 30'    => [40, 60, 'suspended for 30 s: they count'],
        '--boottime 100'   => [0, 0, 'suspended for 100 s: over'],
        '--monotonic 30'   => [70, 90, 'the monotonic clock does not matter'],
        '--boottime -3'    => [70, 90, 'a boot clock behind the record: what passed in UTC counts'],
    );
    for my $how (sort keys %shifted) {
        my ($min, $max, $name) = @{ $shifted{$how} };
        my $seen = left($record, "$way $how");
        ok $seen >= $min && $seen <= $max, "$name ($seen s left)";
    }
} else {
    pass 'no time namespaces on this machine: t/unit/expiry has the cases with a stubbed clock';
}
done_testing;
