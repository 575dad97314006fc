# build/what-failed: of a long log the few lines that tell what failed.
use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path remove_tree);
use Test::More;

my $dir = "$ENV{USHER_BUILDDIR}/t/work/what-failed-$$";
make_path($dir);

sub what_failed {
    my ($lines, $log) = @_;

    open my $fh, '>', "$dir/log" or die $!;
    print $fh $log;
    close $fh;
    return qx(sh '$ENV{USHER_SRCDIR}/build/what-failed' $lines '$dir/log');
}

my $passed = join '', map { "PASS: t/unit/x $_ - x\n" } 1 .. 500;
my $summary = "# TOTAL: 502\n# FAIL:  1\n# ERROR: 1\nSee ./test-suite.log\nmake: *** [Makefile:1: check] Error 2\n";

is what_failed(30, $passed . <<"EOT" . $passed . $summary), <<'EOT', 'a unit test, and what a script says of it';
# t/build/y.t: Unsteady, passed when run again: not ok 3 - y
# t/build/y.t: Failed test 'y'
PASS: t/build/y.t 3 - y
FAIL: t/unit/tally 8 - tally.c:tally:kills: Assertion failed
ERROR: t/unit/tally - exited with status 1
FAIL: t/build/docs.t 7 - x
# t/build/docs.t: Failed test 'x'
# t/build/docs.t: got: '1'
# t/build/docs.t: Looks like you failed 1 test of 7.
EOT
FAIL: t/unit/tally 8 - tally.c:tally:kills: Assertion failed
ERROR: t/unit/tally - exited with status 1
FAIL: t/build/docs.t 7 - x
# t/build/docs.t: Failed test 'x'
# t/build/docs.t: got: '1'
EOT

# Two files failed, one of them again.
sub httpd_run {
    my (@failed) = @_;
    my $text = "t/core/tick.t .... ok\n" x 50;

    for my $file (@failed) {
        $text .= "\n    #   Failed test 'hits of $file'\n    #   at $file line 107.\n    #     '0'\n    #         >=\n    #     '1'\n"
            . "    # Looks like you failed 1 test of 5.\n\n#   Failed test 'many of $file'\n#   at $file line 9.\n$file .... \nFailed 1/5 subtests\n";
    }
    return $text . "Test Summary Report\n"
        . join('', map { "$_ (Wstat: 256 (exited 1) Tests: 5 Failed: 1)\n  Failed test:  2\n  Non-zero exit status: 1\n" } @failed)
        . "Files=50, Tests=500, 10 wallclock secs\nResult: " . (@failed ? 'FAIL' : 'PASS') . "\n";
}
is what_failed(30, $passed . httpd_run('t/a/x.t', 't/a/y.t') . httpd_run('t/a/y.t') . "make: *** Error 1\n"), <<'EOT', 'httpd tests: the last run';
t/a/y.t (Wstat: 256 (exited 1) Tests: 5 Failed: 1)
  Failed test:  2
    #   Failed test 'hits of t/a/y.t'
    #   at t/a/y.t line 107.
    #     '0'
    #         >=
    #     '1'
#   Failed test 'many of t/a/y.t'
#   at t/a/y.t line 9.
EOT
is what_failed(3, httpd_run('t/a/x.t', 't/a/y.t')), <<'EOT', 'which tests, where there is room for no more';
t/a/x.t (Wstat: 256 (exited 1) Tests: 5 Failed: 1)
  Failed test:  2
t/a/y.t (Wstat: 256 (exited 1) Tests: 5 Failed: 1)
EOT
is length((split /\n/, what_failed(5, 'FAIL: t/unit/x 1 - ' . 'y' x 5000 . "\n"))[0]), 200, 'no line is long';
is what_failed(2, "CC a.c\na.c:1:2: error: x\nb.c:1:2: error: y\nb.c:2: error: z\n$summary"),
    "a.c:1:2: error: x\nb.c:1:2: error: y\n", 'a build: its first errors';
is what_failed(2, "one\ntwo\nthree\n"), "two\nthree\n", 'anything else: its end';
is what_failed(5, ''), '', 'nothing';

remove_tree($dir);
done_testing;
