# Watches an error log: any warning that a test did not announce fails it.
package Usher::LogWatch;

use strict;
use warnings FATAL => 'all';

use Test::More ();
use Usher::Wait;

# A line that must be announced: of level warn or above, a child's death, or
# a sanitizer's report. [module:level] is in every line of httpd's own format.
my $crash = qr/exit[ ]signal|AH00060|AddressSanitizer|LeakSanitizer|runtime[ ]error:/x;
# What is slow where the machine stalls: regular work (USHER1020), the end of a child that was
# told to end (AH00045), so that those of the next generation find less room; and a parent that
# sees late which children it has: few that are idle, or several that a test has killed.
my $stall = $ENV{USHER_PATIENCE}
    ? qr/USHER1020|AH00045|AH00161|AH0028[678]|AH00484|AH03490|AH10159|AH1039[23]/ : qr/(?!)/;
my $alarming = qr/\[\w*:(?:warn|error|crit|alert|emerg)\]|$crash/x;

sub new {
    my ($class, $file) = @_;
    my $self = bless { file => $file, from => 0, expected => [] }, $class;

    $self->{from} = -s $file || 0;
    return $self;
}

# Announce a line: each regular expression must match at least one line by
# the time of finish(), and lines matched are no failure.
sub expect {
    my ($self, @regexes) = @_;

    push @{ $self->{expected} }, map { { regex => $_, must => 1 } } @regexes;
    return $self;
}

# Lines that may be there or not, as what other processes do at a kill -9.
sub tolerate {
    my ($self, @regexes) = @_;

    push @{ $self->{expected} }, map { { regex => $_, must => 0 } } @regexes;
    return $self;
}

# All lines since new() or the last finish().
sub lines {
    my ($self) = @_;

    open my $fh, '<', $self->{file} or return;
    seek $fh, $self->{from}, 0;
    my @lines = <$fh>;
    chomp @lines;
    return @lines;
}

# True as soon as a line matches; for things that are logged a moment later.
sub wait_for {
    my ($self, $regex, $limit) = @_;

    return wait_until { (grep { $_ =~ $regex } $self->lines)[0] } $limit;
}

# Such a test is not run again (Usher::TestRun).
sub note_crash {
    open my $fh, '>', "$ENV{USHER_BUILDDIR}/t/logs/crashed" or return;
    close $fh;
    return;
}

# One test: what was announced has come, and nothing else that alarms; nor is
# there anything wrong that the caller knows of.
sub finish {
    my ($self, $name, @wrong) = @_;
    my @lines = $self->lines;

    for my $want (grep { $_->{must} } @{ $self->{expected} }) {
        push @wrong, "announced, but not in the log: $want->{regex}"
            unless grep { $_ =~ $want->{regex} } @lines;
    }
    for my $line (grep { $_ =~ $alarming && $_ !~ $stall } @lines) {
        next if grep { $line =~ $_->{regex} } @{ $self->{expected} };
        push @wrong, "not announced: $line";
        note_crash() if $line =~ $crash;
    }
    $self->{from} = -s $self->{file} || 0;
    $self->{expected} = [];
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::ok(!@wrong, $name // 'error log: only what was announced')
        || !Test::More::diag(join "\n", @wrong);
}

1;
