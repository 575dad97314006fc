# Where things are on this machine; t/TEST sets the variables.
package Usher::Env;

use strict;
use warnings FATAL => 'all';

use File::Spec ();
use File::Basename qw(basename dirname);

sub srcdir   { $ENV{USHER_SRCDIR}   // die "run the tests with t/TEST\n" }
sub builddir { $ENV{USHER_BUILDDIR} // die "run the tests with t/TEST\n" }

# The modules compiled into httpd, as a set of names without "mod_".
my $builtin;

sub builtin {
    $builtin ||= { map { /^\s+(?:mod_)?(\w+)\.c$/ ? ($1 => 1) : () } qx($ENV{USHER_HTTPD} -l) };
    return $builtin;
}

# LoadModule lines for modules of httpd; those built in and those that this
# httpd does not have are left out.
sub load_modules {
    my @names = @_;
    my $text = '';

    for my $name (@names) {
        my $file = "$ENV{USHER_LIBEXEC}/mod_$name.so";
        next if builtin()->{$name} || !-e $file;
        $text .= "LoadModule ${name}_module $file\n";
    }
    return $text;
}

# Names of the modules that were built: usher (the core), usher_backend, ...
sub usher_modules {
    my @files = sort { length $a <=> length $b || $a cmp $b }
        glob "'" . builddir() . "'/.libs/mod_usher*.so";
    return map { basename($_) =~ /^mod_(usher(?:_[a-z]+)?)\.so$/ ? $1 : () } @files;
}

# Those of them that work beside these modules of httpd: mod_usher_tls needs mod_ssl.
sub usher_beside {
    my %there = map { $_ => 1 } @_;

    return grep { $_ ne 'usher_tls' || $there{ssl} } usher_modules();
}

# What makes this build execute more than an installed one would, if anything: a
# list of words.
sub slowed {
    my $text = do { local (@ARGV, $/) = (builddir() . '/Makefile'); <> };
    my ($flags) = $text =~ /^CFLAGS = (.*)$/m;

    return (($text =~ /^USHER_PRELOAD = \S/m ? 'sanitizers' : ()), ($text =~ /^enable_coverage = yes$/m ? 'coverage' : ()),
        ($flags =~ /(?:^|\s)-O[2s3](?:\s|$)/ ? () : 'no optimization'));
}

# LoadModule lines for our modules, all that were built or those named.
sub load_usher {
    my @names = @_ ? @_ : usher_modules();

    return join '', map { "LoadModule ${_}_module " . builddir() . "/.libs/mod_$_.so\n" } @names;
}

# The first directory above and with $path that "nobody" cannot enter.
sub closed_directory {
    my ($path) = @_;
    my ($uid, $gid) = (getpwnam('nobody'))[2, 3];
    my @above;

    for (my $dir = File::Spec->rel2abs($path); ; $dir = dirname($dir)) {
        unshift @above, $dir;
        last if $dir eq '/';
    }
    for my $dir (@above) {
        my ($mode, $owner, $group) = (stat $dir)[2, 4, 5];
        my $bit = $owner == $uid ? 0100 : $group == $gid ? 0010 : 0001;
        return $dir unless defined $mode && $mode & $bit;
    }
    return;
}

1;
