# Sixteen clients ask without a pause, while backends crash, restart, are all
# gone and come back, and httpd's children are killed or replaced: what the
# clients see of it, and how often the backends got each request. Seven seconds;
# many rounds in check-long. USHER_STOCK=1 shows how mod_proxy_http fares.
use strict;
use warnings FATAL => 'all';

use List::Util qw(max min);
use Test::More;
use Time::HiRes qw(sleep);
use Usher::Env ();
use Usher::Httpd ();
use Usher::Load;
use Usher::Load::Backend ();
use Usher::Wait;

my $stock = $ENV{USHER_STOCK};
my $rounds = $ENV{USHER_LONG} ? 12 : 1;
my %backend = map { $_ => Usher::Load::Backend->new($_) } qw(one two three);
my @backends = @backend{qw(one two three)};
$_->start for @backends;

# The same backends behind each kind of balancer that there is.
my %kind = (stock => 'lbmethod=byrequests');
$kind{usher} = 'lbmethod=usher' if !$stock && grep { $_ eq 'usher_balancer' } Usher::Env::usher_modules();
note 'without lbmethod=usher: mod_usher_balancer is not built' if !$kind{usher};
my $conf = <<'EOT';
<IfModule mpm_prefork_module>
    StartServers 24
    MinSpareServers 20
    MaxSpareServers 40
    MaxRequestWorkers 60
</IfModule>
<IfModule !mpm_prefork_module>
    StartServers 3
    ServerLimit 32
    # More than clients: a child whose threads are all busy closes idle connections.
    ThreadLimit 32
    ThreadsPerChild 32
    MinSpareThreads 24
    MaxSpareThreads 192
    MaxRequestWorkers 192
</IfModule>
MaxKeepAliveRequests 0
UsherBackendRest rest=1s slowstart=1s
EOT
for my $name (sort keys %kind) {
    $conf .= "<Proxy balancer://$name>\n" . join('', map { "    BalancerMember " . $_->url . "\n" } @backends)
        . "    ProxySet $kind{$name}\n</Proxy>\nProxyPass /$name/ balancer://$name/\n";
}
$conf =~ s/^Usher.*\n//mg if $stock;
my $httpd = Usher::Httpd->new(conf => $conf, $stock ? (usher => []) : (),
    modules => [qw(proxy proxy_balancer slotmem_shm lbmethod_byrequests), $stock ? 'proxy_http' : ()]);
# What breaks is told in the log; which children httpd finds itself short of,
# and whether a lock is held by a child that is killed, is chance.
$httpd->log->expect($stock ? qr/AH00957/ : qr/USHER20\d\d/)->tolerate(qr/USHER1018|USHER30\d\d/, qr/exit signal Killed/,
    qr/AH1039[23]: children are killed successively/, qr/AH00161|AH00484|AH03490|AH10159|AH00045|AH00046/);
ok $httpd->start, 'httpd starts' or BAIL_OUT($httpd->console);

my $load = Usher::Load->new(port => $httpd->port, paths => [map { "/$_/" } sort keys %kind]);
my @windows;    # { what, from, to }: requests that were under way in it
my @back;       # ms from the first backend that listens to the first answer, and to the last failure

sub window {
    my ($what, $from) = @_;

    push @windows, { what => $what, from => $from, to => now() };
    return $windows[-1];
}

# Each kind is served, and where names are given by each of these backends.
sub served {
    my (@by) = @_;
    my %missing = map { my $kind = $_; map { ("/$kind/ $_" => 1) } @by ? @by : 'any' } keys %kind;

    return $load->wait_for(sub {
        delete @missing{ "$_->{path} $_->{by}", "$_->{path} any" } if $_->{end} eq 'ok';
        return !%missing;
    }, 15);
}

# Each client has asked since, and so has met what became of the connection that it had.
sub all_have_asked {
    my %left = map { $_ => 1 } 1 .. $load->{clients};

    return $load->wait_for(sub {
        delete $left{ $_->{id} =~ s/-.*//r };
        return !%left;
    }, 15);
}

sub crash_backends {
    for my $backend (@backends[0, 1]) {
        my $from = now();
        $backend->crash;
        sleep 0.2;
        ok served(), 'a backend is killed: the others serve';
        $backend->start;
        window('a backend is killed', $from);
        ok served($backend->name), 'it is back, and gets its requests';
    }
    return;
}

sub roll_backends {
    my $from = now();

    for my $backend (@backends) {
        $backend->leave;
        sleep 0.1;
        $backend->start;
        served();
    }
    window('backends are restarted, one after the other', $from);
    ok served(map { $_->name } @backends), 'restarted one after the other: each gets requests again';
    return;
}

sub all_down {
    my $from = now();

    $_->crash for @backends;
    ok $load->wait_for(sub { $_->{status} == 503 }, 5), 'no backend at all: 503';
    sleep 0.5;
    my $at = $backends[1]->start;
    served();
    sleep 0.2;
    window('no backend listens', $from)->{to} = $at;
    $_->start for @backends[0, 2];
    my @after = grep { $_->{began} >= $at } $load->requests;
    my @bad = grep { $_->{end} ne 'ok' } @after;
    my @first = map { my $path = "/$_/"; min(map { $_->{ended} - $at }
        grep { $_->{end} eq 'ok' && $_->{path} eq $path } @after) // 99 } keys %kind;
    push @back, { first => max(@first),
                  bad => @bad ? max(map { $_->{began} - $at } @bad) : 0 };
    ok served(map { $_->name } @backends), 'all are back: each gets requests again';
    return;
}

sub kill_children {
    for (1 .. 3) {
        my $from = now();
        my @children = $httpd->children;
        kill 'KILL', $children[rand @children];
        sleep 0.15;
        ok served(), 'a child of httpd is killed: the service goes on';
        ok all_have_asked(), 'for all clients';
        window('a child of httpd is killed', $from);
    }
    return;
}

sub restart_httpd {
    my $from = now();
    my @old = $httpd->children;

    ok $httpd->graceful, 'httpd restarts gracefully';
    ok served(), 'the service goes on';
    ok((wait_until { my %left = map { $_ => 1 } $httpd->children; !grep { $left{$_} } @old } 30), 'those before are gone');
    ok all_have_asked(), 'all clients have asked the new ones';
    window('httpd restarts gracefully', $from);
    return;
}

my $began = now();
ok served(map { $_->name } @backends), 'all backends are asked';
# UsherReplayBudget: so that there are requests of which some may be replayed, as many as clients
# may have at one backend.
ok((wait_until { my %at; $at{ $_->{path} }++ for $load->requests; keys %kind == grep { $_ >= 100 } values %at } 15), 'a hundred times');
for (1 .. $rounds) {
    crash_backends();
    restart_httpd();
    roll_backends();
    kill_children();
    all_down();
    restart_httpd();
}
ok $load->end, 'the clients come to their end';

# What the clients saw
my @all = $load->requests;
my $seconds = now() - $began;
diag sprintf '%d requests in %.1f s, %s', scalar @all, $seconds, join ', ',
    map { my $kind = $_; "$kind: " . grep { $_->{path} eq "/$kind/" } @all } sort keys %kind;

sub within {
    my ($request, $what) = @_;

    return grep { $_->{what} =~ $what && $request->{ended} >= $_->{from} && $request->{began} <= $_->{to} } @windows;
}

sub told {
    my ($request) = @_;
    my @when = within($request, qr/./);

    return sprintf '%s %s%s %s: %s %s, %.3f s after %.3f s%s', @$request{qw(id method)}, $request->{fresh} ? ' (fresh)' : '',
        @$request{qw(path end status)}, $request->{ended} - $request->{began}, $request->{began} - $began,
        @when ? ", when $when[0]{what}" : '';
}

sub none {
    my ($name, @bad) = @_;

    return ok(!@bad, $name) || diag(map { told($_) . "\n" } @bad[0 .. min(14, $#bad)]);
}

my @failed = grep { $_->{end} ne 'ok' } @all;
my %counted;
$counted{"$_->{method} $_->{end}" . ($_->{end} eq 'error' ? " $_->{status}" : '')}++ for @failed;
diag 'failed: ', join(', ', map { "$counted{$_} $_" } sort keys %counted) || 'none';
none('no request hangs', grep { $_->{end} eq 'timeout' || $_->{ended} - $_->{began} > 8 * patience } @all);
none('no answer is another request\'s', grep { $_->{end} eq 'wrong' } @all);
none('httpd always listens', grep { $_->{end} eq 'refused' } @all);

# A killed child takes its connections along: those of its requests are not
# looked at any more. A kept connection that httpd closes just when its client
# sends a request is nobody's fault: the client knows that it may happen, as
# with the stock modules.
my @seen = grep { !($_->{end} =~ /^(?:lost|cut)$/ && within($_, qr/child/)) } @failed;
my @lost = grep { $_->{end} eq 'lost' } @seen;
none('a request on a fresh connection is always answered', grep { $_->{fresh} } @lost);
none('a kept one is closed under a request at graceful restarts only', grep { !within($_, qr/gracefully/) } @lost);
cmp_ok scalar(@lost), '<=', 2 * $rounds * 16, @lost . ' requests met a connection that httpd closed';
@seen = grep { $_->{end} ne 'lost' } @seen;
none('no answer is cut', grep { $_->{end} eq 'cut' } @seen);
none('a GET fails only while all backends are down',
    grep { $_->{method} eq 'GET' && !within($_, qr/no backend/) } @seen);
none('a POST fails only when a backend ends',
    grep { $_->{method} eq 'POST' && !within($_, qr/backend/) } @seen);
none('with 502 or 503', grep { $_->{status} !~ /^50[23]$/ } @seen);
my @posts = grep { $_->{method} eq 'POST' && !within($_, qr/no backend/) } @seen;
cmp_ok scalar(@posts), '<=', $rounds * 5 * 16, @posts . ' POSTs failed, of those under way at a backend that ended';

diag 'after the first backend listens, ms to the first answer (and to the last failure): ',
    join ', ', map { sprintf '%.0f (%.0f)', 1000 * $_->{first}, 1000 * $_->{bad} } @back;
in_time(max(map { @$_{qw(first bad)} } @back), 0.5, 'the service is back at once when a backend is');

# What the backends got
my %delivered;
for my $backend (@backends) {
    my %times = $backend->deliveries;
    $delivered{$_} += $times{$_} for keys %times;
}
none('no POST is delivered twice', grep { $_->{method} eq 'POST' && ($delivered{ $_->{id} } // 0) > 1 } @all);
none('no GET more than twice', grep { ($delivered{ $_->{id} } // 0) > 2 } @all);
diag scalar(grep { ($delivered{ $_->{id} } // 0) == 2 } @all), ' GETs were delivered twice';
none('whatever was answered had been delivered', grep { $_->{end} eq 'ok' && !$delivered{ $_->{id} } } @all);

$httpd->finish('httpd was there all the time, and its log has only what was announced');
$_->stop for @backends;
done_testing;
