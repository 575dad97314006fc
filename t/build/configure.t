# configure says which package is missing, and what a switch needs.
use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path remove_tree);
use Test::More;

my $dir = "$ENV{USHER_BUILDDIR}/t/work/configure-$$";
my $apxs = $ENV{USHER_APXS};

# A source tree that is configured itself cannot be built elsewhere: links to
# all of it but that.
make_path("$dir-src");
for my $file (glob "'$ENV{USHER_SRCDIR}'/*") {
    my $name = substr $file, 1 + length $ENV{USHER_SRCDIR};
    symlink $file, "$dir-src/$name" unless $name eq 'config.status';
}

# configure in a folder of its own: (exit code, what it printed)
sub configure {
    my ($args) = @_;

    remove_tree($dir);
    make_path($dir);
    my $out = qx(cd '$dir' && '$dir-src/configure' $args 2>&1);
    return ($? >> 8, $out);
}

# An apxs whose httpd has other headers than this machine's.
sub fake_apxs {
    my ($name, $old, $new) = @_;
    my $include = "$dir-$name";

    make_path($include);
    chomp(my $from = qx($apxs -q $old->[1]));
    open my $in, '<', "$from/$old->[0]" or die "$from/$old->[0]: $!";
    open my $out, '>', "$include/$old->[0]" or die $!;
    while (<$in>) {
        s/$new->[0]/$new->[1]/;
        print $out $_;
    }
    close $out;
    open my $script, '>', "$include/apxs" or die $!;
    print $script "#!/bin/sh\ntest \"\$2\" = EXTRA_CPPFLAGS && exit 0\n",
        "test \"\$2\" = $old->[1] && { echo $include; exit; }\nexec $apxs \"\$@\"\n";
    close $script;
    chmod 0755, "$include/apxs";
    return "$include/apxs";
}

my @cases = (
    ['no apxs', '--with-apxs=/nowhere/apxs',
        qr/no working apxs \(\/nowhere\/apxs\): install apache2-dev \(Debian, Ubuntu\) or httpd-devel/],
    ['an httpd that is too old',
        '--with-apxs=' . fake_apxs('old', ['ap_release.h', 'INCLUDEDIR'],
            [qr/(AP_SERVER_PATCHLEVEL_NUMBER\s+)\d+/, 'AP_SERVER_PATCHLEVEL_NUMBER 51']),
        qr/Usher needs httpd >= 2\.4\.52: install a newer apache2-dev/],
    ['an APR that is too old',
        '--with-apxs=' . fake_apxs('apr', ['apr_version.h', 'APR_INCLUDEDIR'],
            [qr/(APR_MINOR_VERSION\s+)\d+/, 'APR_MINOR_VERSION 6']),
        qr/Usher needs APR >= 1\.7: install a newer libapr1-dev/],
    ['fuzzers without clang', '--enable-fuzzers CC=gcc', qr/--enable-fuzzers needs clang: install clang/],
);
for my $case (@cases) {
    my ($name, $args, $says) = @$case;
    my ($code, $out) = configure($args);

    isnt $code, 0, "$name: refused";
    like $out, $says, "$name: and said what to do";
}

# Without a library what needs it is left out, and that is said.
make_path("$dir-pkg");
open my $fake, '>', "$dir-pkg/pkg-config" or die $!;
print $fake "#!/bin/sh\ncase \"\$*\" in *jansson* | *zlib* | *libmaxminddb*) exit 1 ;; esac\nexec pkg-config \"\$@\"\n";
close $fake;
chmod 0755, "$dir-pkg/pkg-config";
my ($code, $out) = configure("PKG_CONFIG='$dir-pkg/pkg-config'");
is $code, 0, 'without jansson, libmaxminddb and zlib: configured' or diag $out;
like $out, qr/^  modules +usher usher_backend usher_balancer usher_linger usher_log usher_tls$/m, 'which modules there are';
like $out, qr/^  left out\s+usher_ban, usher_register, usher_status: install libjansson-dev \(jansson-devel\)\n\s+usherctl members, usherctl bans: install .*\n\s+usher_geo: install libmaxminddb-dev .*\n\s+compressed logs in usherctl: install zlib1g-dev /m, 'and which are left out, and why';
my $made = do { local (@ARGV, $/) = ("$dir/Makefile"); <> };
unlike $made, qr/^am__append_\d+ = mod_usher_(?:ban|geo|register|status)\.la/m, 'they are not built';

remove_tree($dir, "$dir-src", "$dir-pkg", "$dir-old", "$dir-apr");
done_testing;
