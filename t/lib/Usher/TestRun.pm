# Apache::TestRun as Usher needs it: works as root, knows the MPM to run, and
# counts skipped tests as failures where USHER_NO_SKIP is set (CI).
package Usher::TestRun;

use strict;
use warnings FATAL => 'all';

use parent 'Apache::TestRun';
use File::Path qw(make_path);
use TAP::Harness ();
use Usher::Env ();
use Usher::Wait;

# Modules of httpd that tests use beside ours; those built in are left out.
my @modules = qw(authz_core authz_host mime alias dir headers env setenvif
    rewrite status socache_shmcb ssl http2 proxy proxy_http proxy_ajp
    proxy_balancer slotmem_shm lbmethod_byrequests);

sub run {
    my ($self, @args) = @_;
    my @rest;

    while (defined(my $arg = shift @args)) {
        if ($arg =~ /^--?mpm$/) {
            $ENV{USHER_MPM} = shift @args;
        } else {
            push @rest, $arg;
        }
    }
    $ENV{USHER_MPM} ||= 'event';
    -e "$ENV{USHER_LIBEXEC}/mod_mpm_$ENV{USHER_MPM}.so"
        or die "t/TEST: -mpm $ENV{USHER_MPM}: no mod_mpm_$ENV{USHER_MPM}.so in $ENV{USHER_LIBEXEC}\n";
    chdir $ENV{USHER_BUILDDIR} or die "t/TEST: $ENV{USHER_BUILDDIR}: $!\n";
    $self->check_runtime_user;
    make_path('t/conf', 't/logs', 't/work');
    write_base('t/base.conf');
    # Reconfigured each time: another MPM, other modules, another free port, which is not for any
    # run of tests beside this one (as Apache::Test's own choice would be).
    unlink 't/conf/apache_test_config.pm';
    $self->SUPER::run(
        -httpd => $ENV{USHER_HTTPD}, -apxs => $ENV{USHER_APXS},
        -httpd_conf => "$ENV{USHER_BUILDDIR}/t/base.conf",
        -servername => 'localhost', -port => free_port(), -threadsperchild => 16,
        @rest
    );
}

# LoadModule lines belong in the file named by -httpd_conf: need_module()
# looks nowhere else.
sub write_base {
    my ($file) = @_;

    open my $fh, '>', $file or die "$file: $!";
    print $fh Usher::Env::load_modules("mpm_$ENV{USHER_MPM}", @modules), Usher::Env::load_usher();
    close $fh;
}

# Apache::Test refuses root. Started by root, httpd runs its children as
# nobody; all that is needed then is that nobody can come in.
sub check_runtime_user {
    my ($self) = @_;

    return 1 if $> != 0;
    if (my $dir = Usher::Env::closed_directory($ENV{USHER_BUILDDIR})) {
        print STDERR <<"EOT";
t/TEST: httpd's children run as user "nobody", who cannot enter $dir
        (a directory above $ENV{USHER_BUILDDIR}).
        Either: chmod o+x $dir
        or build elsewhere (after "make distclean", if you have built here):
            mkdir /var/tmp/usher && cd /var/tmp/usher && $ENV{USHER_SRCDIR}/configure && make check
        or run the tests as an ordinary user.
EOT
        exit 1;
    }
    return 1;
}

sub run_tests {
    my ($self) = @_;

    return $self->SUPER::run_tests unless $self->{opts}{'run-tests'};
    my @tests = Apache::TestHarness->get_tests({
        tests => $self->{tests}, order => $self->{opts}{order}, verbose => 0 });
    my $harness = TAP::Harness->new({ verbosity => $self->{opts}{verbose} ? 1 : 0, merge => 0, timer => 1 });
    unlink 't/logs/crashed';
    my $result = $harness->runtests(@tests);
    my ($last, @again) = ($result);
    for (1 .. 2) {
        my @failed = files_to_run_again($last) or last;
        @again = @failed if !@again;
        $last = $harness->runtests(@failed);
    }
    my @skipped = sort { $a cmp $b } $result->skipped;
    my $failed = !$last->all_passed || !$result->total;

    print "Unsteady, passed when run again: @again\n" if @again && !$failed;

    if (@skipped && $ENV{USHER_NO_SKIP}) {
        print "Skipped, which counts as failed here: @skipped\n";
        $failed = 1;
    }
    # Test files skipped whole are no "skipped" test for the aggregator.
    for my $file ($result->descriptions) {
        my ($parser) = $result->parsers($file);
        next unless defined $parser->skip_all;
        print "$file was skipped: ", $parser->skip_all, "\n";
        $failed = 1 if $ENV{USHER_NO_SKIP};
    }
    # Tests watch over their own lines of the shared server's log; a crash in
    # it may come when none of them looks.
    if (open my $log, '<', 't/logs/error_log') {
        if (my @crashes = grep { /exit signal|AH00060|Sanitizer|runtime error:/ } <$log>) {
            print "In t/logs/error_log, which counts as failed:\n", @crashes;
            $failed = 1;
        }
    }
    $self->{usher_failed} = $failed;
    return;
}

# CI's machines stall. With USHER_AGAIN set, a few files that failed may show that up to twice
# more, by themselves; never where a process crashed or a sanitizer had something to say.
sub files_to_run_again {
    my ($result) = @_;
    my %failed = map { $_ => 1 } map { $result->$_ } qw(failed exit wait parse_errors);
    my @failed = sort keys %failed;

    return if !$ENV{USHER_AGAIN} || @failed > 6 || -e 't/logs/crashed';
    return @failed;
}

sub stop {
    my ($self, @args) = @_;
    my $rc = $self->SUPER::stop(@args);

    exit 1 if $self->{usher_failed};
    return $rc;
}

1;
