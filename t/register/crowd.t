# A crowd of servers signs in at two nodes, sends heartbeats and comes and goes at random, while
# clients ask both nodes without a pause: no client's request fails, nobody is lost, nobody stays
# who has left, and the memory of httpd does not grow. A hundred for some seconds; in check-long a
# thousand for two minutes.
use strict;
use warnings FATAL => 'all';

use List::Util qw(max min sum0);
use Test::More;
use Usher::Asker ();
use Usher::Bench::Cpu ();
use Usher::CrowdTest;
use Usher::Env ();
use Usher::Load;
use Usher::Load::Backend ();
use Usher::Wait;

my $long = $ENV{USHER_LONG};
my ($members, $seconds, $heartbeat) = $long ? (1000, 120, 5) : (100, 8, 1);
my @backends = map { Usher::Load::Backend->new($_) } qw(one two three four);
$_->start for @backends;

# As many processes all the time: what they use can be compared.
my $conf = <<'EOT';
<IfModule mpm_prefork_module>
    StartServers 80
    MinSpareServers 1
    MaxSpareServers 80
    ServerLimit 80
    MaxRequestWorkers 80
</IfModule>
<IfModule !mpm_prefork_module>
    StartServers 2
    ServerLimit 2
    ThreadsPerChild 48
    MinSpareThreads 1
    MaxSpareThreads 96
    MaxRequestWorkers 96
</IfModule>
EOT

# KiB that all processes of a node use by themselves, and their parts of what they share.
sub memory {
    my ($httpd) = @_;

    return sum0 map {
        open my $fh, '<', "/proc/$_/smaps_rollup" or ();
        $fh ? map { /^Pss:\s+(\d+)/ ? $1 : () } <$fh> : ();
    } Usher::Bench::Cpu::pids($httpd->pid);
}

my @nodes = map { crowd_httpd($conf, \@backends, loglevel => 'warn') } 1, 2;
ok $_->start, 'httpd starts' or BAIL_OUT($_->console) for @nodes;

my $crowd = crowd_of(\@nodes, \@backends, members => $members, heartbeat => $heartbeat, lease => 60);

sub same {
    my ($when) = @_;

    for my $i (0, 1) {
        my @wrong;
        my $end = Usher::Asker::now() + patient(60);
        do {
            my $next = Usher::Asker::now() + 0.25;
            $crowd->idle(sub { Usher::Asker::now() < $next });
            @wrong = $crowd->differences($nodes[$i]->port);
        } while (@wrong && Usher::Asker::now() < $end);
        is_deeply [@wrong[0 .. min($#wrong, 9)]], [], "$when: node $i knows exactly who is there, and all of them serve";
    }
    return;
}

$crowd->join_all;
same('all have come');
my @loads = map { Usher::Load->new(port => $_->port, paths => ['/'], clients => 8) } @nodes;
$crowd->churn($seconds / 2, $seconds / $members / 2);
my @before = map { memory($_) } @nodes;
$crowd->churn($seconds / 2, $seconds / $members / 2);
$crowd->settle;
my @after = map { memory($_) } @nodes;
same('after all the coming and going');

for my $load (@loads) {
    ok $load->end, 'the clients come to their end';
    my @all = $load->requests;
    my @failed = grep { $_->{end} ne 'ok' } @all;
    cmp_ok scalar @all, '>', 100, @all . ' requests';
    is @failed, 0, 'none of them failed' or diag map { "$_->{method} $_->{path} $_->{status} $_->{end}\n" } @failed[0 .. min(9, $#failed)];
    my %by = map { $_->{by} => 1 } @all;
    is join(' ', sort keys %by), 'four one three two', 'all backends served';
}
is_deeply [$crowd->wrong], [], 'no server was refused what it asked for';
my @times = sort { $a <=> $b } $crowd->times;
diag sprintf '%s; durable changes: median %.1f ms, slowest %.0f ms; memory %s KiB', join(', ', map { "$_: " . $crowd->counts->{$_} } sort keys %{ $crowd->counts }),
    1000 * $times[@times / 2], 1000 * $times[-1], join ' and ', map { "$before[$_] -> $after[$_]" } 0, 1;

# ASan keeps what was freed.
if (!grep { $_ eq 'sanitizers' } Usher::Env::slowed()) {
    cmp_ok $after[$_], '<', $before[$_] * 1.1 + 4096, "node $_: memory does not grow" for 0, 1;
}
$_->finish('its log has only what was announced') for @nodes;
$_->stop for @backends;
done_testing;
