# Each .so shows its module struct and nothing else: a second visible copy of
# libusher would silently be the one that another module runs.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(basename);
use Test::More;

my @modules = glob "'$ENV{USHER_BUILDDIR}'/.libs/mod_usher*.so";
ok @modules > 0, 'modules were built';
for my $so (@modules) {
    my ($name) = basename($so) =~ /^mod_(\w+)\.so$/;
    # What compilers' run-time libraries of sanitizers and gcov add is not ours.
    my @symbols = grep { !/^(?:__asan|__ubsan|__gcov|__sanitizer|_init$|_fini$)/ }
        map { (split)[-1] } qx(nm -D --defined-only '$so');
    is_deeply \@symbols, ["${name}_module"], "$name shows its module struct alone";
}
done_testing;
