# What the client gets, and how often a member is asked, whatever breaks: the
# rows of Usher::Faults, each of them against what the page says of it.
# USHER_FAULTS=phase-kind (or any part of a row's name, a regular expression)
# plays those rows only; USHER_STOCK=1 plays them with mod_proxy_http.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Env ();
use Usher::Faults ();
use Usher::Httpd ();
use Usher::Wait;

my $stock = $ENV{USHER_STOCK};
my $prefork = $ENV{USHER_MPM} eq 'prefork';
my $wanted = $ENV{USHER_FAULTS};
Usher::Faults::add_layout(cluster => sub {
    my ($n, @members) = @_;

    return Usher::Faults::balancer("cluster$n", 'ProxySet lbmethod=usher', @members);
}) if !$stock && grep { $_ eq 'usher_balancer' } Usher::Env::usher_modules();
my @rows = $wanted ? grep { $_->{id} =~ /$wanted/ } Usher::Faults::rows() : Usher::Faults::sample(Usher::Faults::rows());
# Each child has its own connections: there only who comes over the same
# connection finds those of the request before.
@rows = grep { $_->{pool} eq 'fresh' || $_->{client} eq 'kept' } @rows if $prefork;

my @ports = map { [free_port(), free_port()] } 1 .. 8;
my $conf = <<'EOT' . join '', map { Usher::Faults::conf($_, @{ $ports[$_] }) } 0 .. $#ports;
<IfModule mpm_prefork_module>
    StartServers 8
    MaxRequestWorkers 32
</IfModule>
<IfModule !mpm_prefork_module>
    StartServers 1
    ServerLimit 4
    ThreadLimit 64
    ThreadsPerChild 64
    MaxRequestWorkers 64
    MinSpareThreads 2
    MaxSpareThreads 64
</IfModule>
EOT
$conf .= $stock ? "ProxyTimeout 1\n" : <<'EOT';
UsherBackendTimeout connect=1s send=500ms first=500ms between=500ms
UsherBackendRest Off
UsherReplayBudget percent=100 least=1000
LogFormat "%{X-Id}i\t%{state}^US\t%{attempts}^US\t%{times}^US" usher
CustomLog logs/usher_log usher
EOT
my $httpd = Usher::Httpd->new(conf => $conf, $stock ? (usher => []) : (), modules => [qw(proxy proxy_balancer
    slotmem_shm lbmethod_byrequests log_config), $stock ? 'proxy_http' : ()]);
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);

Usher::Faults::run($httpd->port, \@rows, ports => \@ports);
# On a busy machine a sound answer may be too slow for these times: once more.
my @slow = grep { ($_->{got}{error} // '') =~ /504/ || ($_->{got}{status} // 0) eq '504' && $_->{kind} ne 'stall' } @rows;
$_->{id} .= '-again' for @slow;
Usher::Faults::run($httpd->port, \@slow, ports => \@ports) if @slow && @slow < @rows / 20;
my @lines = $httpd->log->lines;
$httpd->log->tolerate($stock ? qr/./ : qr/USHER2\d\d\d/);
$httpd->finish('httpd lives, and logs nothing but what broke');

# What the log tells of each
if (open my $log, '<', $httpd->root . '/logs/usher_log') {
    my %row = map { $_->{id} => $_ } @rows;
    while (my $line = <$log>) {
        chomp $line;
        my ($id, @items) = split /\t/, $line, -1;
        @{ $row{$id}{got} }{qw(state attempts times)} = @items if $row{$id};
    }
    is(scalar(grep { !defined $_->{got}{state} } @rows), 0, 'every request is in the access log');
}

diag(map { sprintf "%s %.2f\n", $_->{id}, $_->{got}{spent} } (sort { $b->{got}{spent} <=> $a->{got}{spent} } @rows)[0..30]) if $ENV{USHER_SLOW};
for my $phase (Usher::Faults::phases()) {
    for my $kind (qw(sound cut rst stall garble)) {
        my @these = grep { $_->{phase} eq $phase && $_->{kind} eq $kind } @rows or next;
        my @wrong = grep { defined $_->{wrong} } map { { %$_, wrong => scalar Usher::Faults::wrong($_) } } @these;
        ok(!@wrong, sprintf '%s, %s (%d rows)', Usher::Faults::about($phase), $kind, scalar @these);
        diag(map { "  $_->{id}: $_->{wrong}\n" } @wrong[0 .. ($#wrong < 14 && !$wanted ? $#wrong : $wanted ? $#wrong : 14)]) if @wrong;
        diag('  and ', @wrong - 15, ' more') if @wrong > 15 && !$wanted;
    }
}

# Cut answers are in the error log: backend, URL, how much of how much.
if (!$stock) {
    my @cut = grep { $_->{phase} eq 'length' && $_->{kind} eq 'cut' } @rows;
    my @told = grep { m{127\.0\.0\.1:\d+.*600 of 1000 bytes.*/row} } @lines;
    cmp_ok(scalar @told, '>=', scalar @cut, 'the error log tells of each cut answer where, what, and how much of it came');
}

done_testing;
