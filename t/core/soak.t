# Eight processes lock, write and are killed -9 at random, amid graceful and
# ordinary restarts: memory checks out, and nobody waits. Six seconds; sixty in
# check-long.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time sleep);
use Usher::CoreTest;
use Usher::Wait;

my $seconds = $ENV{USHER_LONG} ? 60 : 6;

# One request per child, whatever the MPM: eight clients are eight processes.
my $httpd = core_httpd(<<'EOT');
<IfModule mpm_prefork_module>
    StartServers 12
    MinSpareServers 12
    MaxSpareServers 24
    MaxRequestWorkers 24
</IfModule>
<IfModule !mpm_prefork_module>
    StartServers 12
    ServerLimit 96
    ThreadsPerChild 1
    MinSpareThreads 12
    MaxSpareThreads 24
    MaxRequestWorkers 24
</IfModule>
EOT
# Whether a kill or a restart hits while the lock is held is chance; so is
# whether httpd finds itself short of children for a moment, and which of its
# own messages a killed child or an ordinary restart brings.
$httpd->log->tolerate(qr/USHER1018/, qr/AH1039[23]: children are killed successively/,
    qr/AH00161|AH0028[678]|AH00484|AH03490|AH10159|AH00045|AH00046|AH00047/, qr/exit signal (?:Killed|Terminated)/);
# httpd's own, see Usher::Httpd: here connections are open at each restart.
$httpd->log->tolerate(qr/exit signal Segmentation fault/) if $ENV{USHER_MPM} ne 'prefork';
ok $httpd->start, 'starts' or diag $httpd->console;

# Not one that was killed before and waits for httpd to notice.
sub alive {
    my ($pid) = @_;

    open my $fh, '<', "/proc/$pid/stat" or return 0;
    return (readline($fh) // '') !~ /\) Z /;
}

# Clients that keep eight children at work, whichever those are just then, and
# write down which answered, until the file "over" is there.
my $answered = $httpd->root . '/answered';
my $over = $httpd->root . '/over';
my $began = time;
my $latest = $began + patient($seconds + 20);

# The process that answered, and 0 for a lock that did not fail it, of each answer.
sub answers {
    open my $fh, '<', $answered or return;
    return map { [split] } grep { /\n/ } <$fh>;
}

# Where the machine stalls, few requests may have come to their end when the time is over.
sub is_enough {
    my %pids = map { $_->[0] => 1 } answers();

    return keys %pids >= 8;
}

my @clients = map {
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open my $fh, '>>', $answered or die $!;
        while (!-e $over && time < $latest) {
            my $answer = ask($httpd, 'hammer=1', 10);
            syswrite $fh, "$answer->{pid} $answer->{rv}\n" if $answer->{status} == 200;
        }
        require POSIX;
        POSIX::_exit(0);
    }
    $pid;
} 1 .. 8;

my ($killed, $restarted) = (0, 0);
my $next_restart = time + 1.5;
while (time < $began + $seconds || (!is_enough() && time < $latest)) {
    if (time >= $next_restart) {
        # As log rotation does, and as an administrator in a hurry.
        kill $restarted++ % 2 ? 'HUP' : 'USR1', $httpd->pid;
        $next_restart = time + 1.5;
    }
    my @children = grep { alive($_) } $httpd->children;
    $killed += kill 'KILL', $children[rand @children] if @children;
    sleep 0.05 + rand 0.2;
}
open my $end, '>', $over or die $!;
waitpid $_, 0 for @clients;
cmp_ok $killed, '>=', 2 * $seconds / patience, "$killed children killed and $restarted restarts in $seconds s";

$began = time;
my $check = wait_until { my $c = ask($httpd, 'check', 5); $c->{status} == 200 && $c } 10;
soon($began, 10, 'the lock is free');
diag "$check->{moves} moves, $check->{repairs} repairs, longest wait $check->{longest_wait_us} us";
is $check->{rv}, 0, 'it works';
is $check->{lost}, 0, 'nothing is lost';
cmp_ok $check->{moves}, '>', 100 * $seconds / patience, 'moves went on all the time';
cmp_ok $check->{repairs}, '>', 0, 'some kills hit the middle of a move, and it was mended'
    if $ENV{USHER_LONG}; # in the short run that is chance; "die" below is not
in_time($check->{longest_wait_us} / 1e6, 3, 'nobody waited long for the lock');

my %pids = map { $_->[0] => 1 } answers();
cmp_ok scalar(keys %pids), '>=', 8, scalar(keys %pids) . ' processes did it';
is_deeply [grep { $_->[1] } answers()], [], 'and the lock never failed them';

is ask($httpd, 'die')->{status}, 599, 'one more is killed, surely while it holds the lock';
my $after = ask($httpd, 'check', 5 * patience);
is $after->{lost}, 0, 'nothing is lost then either';
cmp_ok $after->{repairs}, '>', $check->{repairs}, 'as it was mended';
my $ticks = ask($httpd, 'ticks');
is $ticks->{overlaps}, 0, 'never two ticks at the same time';
ok((wait_until { ask($httpd, 'ticks')->{ticks} > $ticks->{ticks} } 15), 'and it still ticks');

$httpd->finish('only the announced in the log');
done_testing;
