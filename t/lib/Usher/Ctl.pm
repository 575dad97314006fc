# usherctl as the tests in t/usherctl run it, and what it printed as a structure.
package Usher::Ctl;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Path qw(make_path remove_tree);
use Usher::Env ();

our @EXPORT = qw(usherctl ctl_file ctl_data sections);

my $count = 0;
my $dir;

END { remove_tree($dir) if $dir && !$ENV{USHER_KEEP_WORK} }

# (exit code, stdout, stderr) of usherctl with these arguments; -1 for a code
# where a signal ended it.
sub usherctl {
    my @args = @_;
    my $err = ctl_file('stderr', '');
    my $words = join ' ', map { "'" . s/'/'\\''/gr . "'" } Usher::Env::builddir() . '/usherctl/usherctl', @args;
    my $out = qx($words 2>'$err');
    my $code = $? & 127 ? -1 : $? >> 8;

    open my $fh, '<', $err or die "$err: $!";
    local $/;
    return ($code, $out, scalar <$fh> // '');
}

# A file of the test's own; its path.
sub ctl_file {
    my ($name, $text) = @_;

    if (!$dir) {
        $dir = Usher::Env::builddir() . "/t/work/usherctl-$$";
        make_path($dir);
    }
    my $path = "$dir/" . ++$count . "-$name";
    open my $fh, '>:raw', $path or die "$path: $!";
    print $fh $text;
    close $fh;
    return $path;
}

# A file of t/usherctl/data.
sub ctl_data { return Usher::Env::srcdir() . "/t/usherctl/data/$_[0]" }

sub _words {
    my ($line) = @_;
    my @words;

    while ($line =~ /\G\s*(?:"((?:[^"\\]|\\.)*)"|(\S+))/g) {
        push @words, defined $1 ? $1 =~ s/\\(["\\])/$1/gr : $2;
    }
    return @words;
}

# A configuration without its comments: section => [lines as "Directive a b"],
# words without quotes. A section is '' for the main server, "VirtualHost name"
# or "Proxy url"; what lies in a host is "name: Proxy url".
sub sections {
    my ($conf) = @_;
    my @open;
    my $host = '';
    my %found = ('' => []);

    for my $line (split /\n/, $conf) {
        next if $line =~ /^\s*(?:#|$)/;
        if ($line =~ m{^\s*</}) {
            pop @open;
            $host = '' unless @open;
            next;
        }
        if ($line =~ /^\s*<(.*)>\s*$/) {
            my $name = join ' ', _words($1);
            push @open, $name =~ /^VirtualHost/ ? $name : ($host eq '' ? '' : "$host: ") . $name;
            $found{ $open[-1] } //= [] if $name !~ /^VirtualHost (?!_)/;
            next;
        }
        my @words = _words($line);
        if ($words[0] eq 'ServerName' && $open[-1] =~ /^VirtualHost/) {
            $host = $words[1];
            $open[-1] = "VirtualHost $host";
            $found{ $open[-1] } = [];
        }
        push @{ $found{ @open ? $open[-1] : '' } }, join ' ', @words;
    }
    return \%found;
}

1;
