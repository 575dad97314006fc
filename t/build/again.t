# build/again: a unit test that fails once and then passes has passed, and is named; where it
# fails twice, crashes, or a sanitizer has something to say, it has failed.
use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path remove_tree);
use Test::More;

my $dir = "$ENV{USHER_BUILDDIR}/t/work/again-test-$$";
make_path($dir);

# A shell script as a test; $run tells which time it is. (wait status, stdout, stderr, times run)
sub again {
    my ($script, %env) = @_;
    local %ENV = (%ENV, USHER_AGAIN => 1, USHER_BUILDDIR => $dir, %env);

    unlink "$dir/runs";
    open my $fh, '>', "$dir/test" or die $!;
    print $fh "echo >>'$dir/runs'; run=\$(wc -l <'$dir/runs')\n$script\n";
    close $fh;
    my $out = qx(sh '$ENV{USHER_SRCDIR}/build/again' sh '$dir/test' 2>'$dir/err');
    my $status = $?;
    my ($err, $runs) = map { do { local (@ARGV, $/) = ("$dir/$_"); <> // '' } } qw(err runs);
    return ($status, $out, $err, length $runs);
}

my $once = 'echo 1..1; if test $run -eq 1; then echo "not ok 1 - x: was 3"; echo noise >&2; exit 1; fi; echo ok 1 - x';
is_deeply [again('echo 1..1; echo ok 1 - x; echo noise >&2')], [0, "1..1\nok 1 - x\n", "noise\n", 1], 'passes: once';
is_deeply [again($once)],
    [0, "# Unsteady, passed when run again: not ok 1 - x: was 3\n1..1\nok 1 - x\n", "noise\n", 2], 'fails once: named';
is_deeply [again($once, USHER_AGAIN => '')], [1 << 8, "1..1\nnot ok 1 - x: was 3\n", "noise\n", 1],
    'without USHER_AGAIN: failed';
is_deeply [again('echo 1..1; echo "not ok 1 - run $run"; exit 1')],
    [1 << 8, "# Failed before, too: not ok 1 - run 1\n1..1\nnot ok 1 - run 2\n", '', 2], 'fails twice: failed';
is_deeply [again('echo 1..1; echo ok 1; test $run -eq 2')],
    [0, "# Unsteady, passed when run again: exit status 1\n1..1\nok 1\n", '', 2], 'an exit status alone';

my %crashes = (
    'a signal'            => 'kill -SEGV $$',
    'a signal in a child' => 'echo "not ok 1 - x: Received signal 11 (Segmentation fault)"; exit 1',
    'an end in a child'   => 'echo "not ok 1 - x: Early exit with return value 1"; exit 1',
    'no such program'     => 'exit 127',
);
for my $name (sort keys %crashes) {
    my ($status, $out, $err, $runs) = again("if test \$run -eq 1; then $crashes{$name}; fi");
    isnt $status, 0, "$name: failed";
    is $runs, 1, "$name: not run again";
}
my ($status, $out, $err, $runs) = again('echo "==1==ERROR: AddressSanitizer: heap-use-after-free" >&2; exit 1');
is_deeply [$status, $runs], [1 << 8, 1], 'a report of a sanitizer: failed, not run again';
is $out, "# Report: ==1==ERROR: AddressSanitizer: heap-use-after-free\n", 'and shown';
is_deeply [glob "$dir/t/work/*"], [], 'nothing is left';

remove_tree($dir);
done_testing;
