# usher-member as the tests in t/member run it, with a shell of their choice.
package Usher::MemberTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Path qw(make_path remove_tree);
use MIME::Base64 qw(encode_base64);
use POSIX qw(WNOHANG);
use Usher::Env ();
use Usher::Process ();
use Usher::Wait;

our @ISA = ('Usher::Process');
our @EXPORT = qw(shells shell member_file member_config member member_run secret_bytes);

my $count = 0;
my $dir;
my @shell = ('dash');

END { remove_tree($dir) if $dir && !$ENV{USHER_KEEP_WORK} }

# The shells of this machine that it has to run with.
sub shells {
    return grep { system("command -v $_->[0] >/dev/null 2>&1") == 0 } ['dash'], ['busybox', 'sh'], ['bash'];
}

# Which one is taken from now on.
sub shell { return @shell = @_ }

# The key of all these tests, and bytes that only it has.
sub secret_bytes { return 'K3yOfTests-' . 'x' x 20 . "\xfe" }

# A file of the test's own with these rights; its path.
sub member_file {
    my ($name, $text, $mode) = @_;

    if (!$dir) {
        $dir = Usher::Env::builddir() . "/t/work/member-$$";
        make_path($dir);
    }
    my $path = $name =~ m{/} ? $name : "$dir/" . ++$count . "-$name";
    open my $fh, '>:raw', $path or die "$path: $!";
    print $fh $text;
    close $fh;
    chmod $mode // 0600, $path;
    return $path;
}

# A configuration, of lines NAME => value; PROXY may be a list. Without one of these names
# it is what the tests have; undef leaves it out. Its path.
sub member_config {
    my (%set) = @_;
    my %all = (CLUSTER => 'app', ROUTE => 'tomcat1', URL => 'ajp://self:8009', KEY_ID => 'tomcat1',
        KEY => encode_base64(secret_bytes(), ''), READY => 'none', TIMEOUT => 5 * patience, %set);
    my $file = delete $all{file} // 'member.conf';
    my $text = "# A configuration\n\n";

    for my $name (sort grep { defined $all{$_} } keys %all) {
        $text .= "$name=$_\n" for ref $all{$name} ? @{ $all{$name} } : $all{$name};
    }
    return member_file($file, $text);
}

sub _command { return (@shell, Usher::Env::srcdir() . '/member/usher-member', @_) }

# (exit code, stdout, stderr) of usher-member; -1 for a code where a signal ended it.
sub member {
    my ($config, @args) = @_;
    my ($out, $err) = (member_file('out', ''), member_file('err', ''));
    my $words = join ' ', map { "'" . s/'/'\\''/gr . "'" } _command(defined $config ? ('-c', $config) : (), @args);

    system "$words </dev/null >'$out' 2>'$err'";
    return ($? & 127 ? -1 : $? >> 8, map { _slurp($_) } $out, $err);
}

sub _slurp {
    my ($path) = @_;

    open my $fh, '<', $path or die "$path: $!";
    local $/;
    return scalar <$fh> // '';
}

# usher-member run (or another command), as a process: stop(), running(), and text() of what
# it said.
sub member_run {
    my ($config, @args) = @_;

    push @args, 'run' unless grep { /^[a-z]/ } @args;
    my $said = member_file('run', '');
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        setpgrp;
        open STDIN, '<', '/dev/null' or die;
        open STDOUT, '>>', $said or die;
        open STDERR, '>>', $said or die;
        exec { $shell[0] } _command('-c', $config, @args) or POSIX::_exit(127);
    }
    return bless { pid => $pid, said => $said, root => "$said.none", owner => $$ }, __PACKAGE__;
}

sub text { return _slurp($_[0]{said}) }

# A signal to it alone, not to what it has started.
sub signal {
    my ($self, $name) = @_;

    return CORE::kill $name, $self->{pid};
}

# The exit code, once it has ended.
sub code {
    my ($self) = @_;

    wait_until { !$self->running } 60;
    return $self->{status} & 127 ? -1 : $self->{status} >> 8;
}

1;
