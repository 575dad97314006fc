# What t/backend/faults.t, ajp_faults.t and tls_faults.t share: the rows of Usher::Faults for
# one kit of members, each of them against what the page says of it.
# USHER_FAULTS=phase-kind (or any part of a row's name, a regular expression)
# plays those rows only; USHER_STOCK=1 plays them with httpd's own modules.
package Usher::Faults::Test;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Test::More;
use Usher::Env ();
use Usher::Faults ();
use Usher::Faults::Player ();
use Usher::Httpd ();
use Usher::TLSTest;
use Usher::Wait;

our @EXPORT = qw(faults_rows faults_ports faults_times faults_conf faults_play faults_test);

# The rows to play: those that USHER_FAULTS names, or a sample.
sub faults_rows {
    my (%opt) = @_;
    my $wanted = $ENV{USHER_FAULTS};
    my @rows = Usher::Faults::rows(%opt);

    return $wanted ? grep { $_->{id} =~ /$wanted/ } @rows : Usher::Faults::sample(@rows);
}

# Ports for the members of so many players.
sub faults_ports {
    my ($players, $kit) = @_;

    return map { [map { free_port() } Usher::Faults::kit($kit)] } 1 .. $players;
}

# The times that the rows are played with.
sub faults_times {
    my $ms = 500 * patience;

    return 'connect=' . patience . "s send=${ms}ms first=${ms}ms between=${ms}ms";
}

sub faults_conf {
    my ($ports, $kit) = @_;

    return join '', map { Usher::Faults::conf($_, $ports->[$_], $kit) } 0 .. $#$ports;
}

# Plays the rows; on a busy machine a sound answer may be too slow for these
# times, or what came be broken before the client has got of it: once more. Where it
# stalls there is no telling what a row comes to: all that went wrong, a few times.
sub faults_play {
    my ($httpd, $rows, %opt) = @_;

    Usher::Faults::Player::play($httpd->port, $rows, %opt);
    for (1 .. patience) {
        my @slow = grep { patience > 1 ? defined Usher::Faults::wrong($_) : _was_slow($_) } @$rows;
        return if !@slow || @slow > 2 + patience * @$rows / 20;
        diag 'played again: ' . join ' ', map { $_->{id} } @slow;
        $_->{id} .= '-again' for @slow;
        Usher::Faults::Player::play($httpd->port, \@slow, %opt);
    }
    return;
}

sub _was_slow {
    my ($row) = @_;
    my $status = $row->{got}{status} // 0;

    return ($row->{got}{error} // '') =~ /504/ || $status eq '504' && $row->{kind} ne 'stall'
        || $status eq '502' && Usher::Faults::has_begun($row);
}

# The whole test of a kit; returns (httpd's log lines, rows).
sub faults_test {
    my ($kit) = @_;
    my $stock = $ENV{USHER_STOCK};

    if (!$stock && grep { $_ eq 'usher_balancer' } Usher::Env::usher_modules()) {
        Usher::Faults::add_layout(cluster => sub { return Usher::Faults::balancer('ProxySet lbmethod=usher', '', @_) });
    }
    my @rows = faults_rows(kit => $kit);
    # Each child has its own connections: there only who comes over the same
    # connection finds those of the request before.
    @rows = grep { $_->{pool} eq 'fresh' || $_->{client} eq 'kept' } @rows if $ENV{USHER_MPM} eq 'prefork';
    my @ports = faults_ports(8, $kit);
    my $httpd = _httpd(faults_conf(\@ports, $kit), $kit);
    ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);

    faults_play($httpd, \@rows, ports => \@ports, kit => $kit);
    my @lines = $httpd->log->lines;
    $httpd->log->tolerate($stock ? qr/./ : qr/USHER2\d\d\d/);
    quiet($httpd) if $kit eq 'https';
    $httpd->finish('httpd lives, and logs nothing but what broke');
    _add_logged($httpd, @rows);
    diag(map { sprintf "%s %.2f\n", $_->{id}, $_->{got}{spent} } (sort { $b->{got}{spent} <=> $a->{got}{spent} } @rows)[0 .. 30]) if $ENV{USHER_SLOW};
    _judge($kit, @rows);

    # Cut answers are in the error log: backend, URL, how much of how much.
    my @cut = grep { $_->{phase} eq 'length' && $_->{kind} eq 'cut' } @rows;
    my @told = grep { m{127\.0\.0\.1:\d+.*[56]\d\d of 1000 bytes.*/row} } @lines;
    cmp_ok(scalar @told, '>=', scalar @cut, 'the error log tells of each cut answer where, what, and how much of it came') if !$stock;
    return;
}

sub _httpd {
    my ($layouts, $kit) = @_;
    my $stock = $ENV{USHER_STOCK};
    my $conf = <<'EOT' . $layouts;
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

    $conf = trusting() . $conf if $kit eq 'https';
    $conf .= $stock ? "ProxyTimeout 1\n" : 'UsherBackendTimeout ' . faults_times() . "\n" . <<'EOT';
UsherBackendRest Off
UsherReplayBudget percent=100 least=1000
LogFormat "%{X-Id}i\t%{state}^US\t%{attempts}^US\t%{times}^US" usher
CustomLog logs/usher_log usher
EOT
    return Usher::Httpd->new(conf => $conf, $stock ? (usher => []) : (), modules => [qw(proxy proxy_balancer
        slotmem_shm lbmethod_byrequests log_config), $kit eq 'https' ? ssl_modules() : (), $stock ? qw(proxy_http proxy_ajp) : ()]);
}

# What the log tells of each
sub _add_logged {
    my ($httpd, @rows) = @_;
    my %row = map { $_->{id} => $_ } @rows;

    open my $log, '<', $httpd->root . '/logs/usher_log' or return;
    while (my $line = <$log>) {
        chomp $line;
        my ($id, @items) = split /\t/, $line, -1;
        @{ $row{$id}{got} }{qw(state attempts times)} = (substr(shift @items, 0, 2), @items) if $row{$id};
    }
    return is(scalar(grep { !defined $_->{got}{state} } @rows), 0, 'every request is in the access log');
}

sub _judge {
    my ($kit, @rows) = @_;
    my $most = $ENV{USHER_FAULTS} ? $#rows : 14;

    for my $phase (Usher::Faults::phases()) {
        for my $kind (qw(sound cut rst stall garble)) {
            my @these = grep { $_->{phase} eq $phase && $_->{kind} eq $kind } @rows or next;
            my @wrong = grep { defined $_->{wrong} } map { { %$_, wrong => scalar Usher::Faults::wrong($_) } } @these;
            ok(!@wrong, sprintf '%s, %s (%d rows)', Usher::Faults::about($phase, $kit), $kind, scalar @these);
            diag(map { "  $_->{id}: $_->{wrong}\n" } @wrong[0 .. ($#wrong < $most ? $#wrong : $most)]) if @wrong;
            diag('  and ', $#wrong - $most, ' more') if $#wrong > $most;
        }
    }
    return;
}

1;
