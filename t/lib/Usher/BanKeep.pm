# What tests of bans that are kept share: an httpd that bans scanners, and a key to look and change by.
package Usher::BanKeep;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use JSON::PP ();
use Usher::Client ();
use Usher::Httpd ();
use Usher::Signed ();
use Usher::Wait;

our @EXPORT = qw(keep_httpd guard scan ban_of banned_is stored);

my $secret = 'the secret of those who guard us.';

my $conf = <<'EOT';
UsherBanNever -loopback -own 127.0.0.1
UsherBanMode enforce
UsherBanRule scan path=^/scan status=404 max=2 within=1m for=1h for-max=1d remember=1d wider=off
UsherBanRule short path=^/short status=404 max=0 within=1m for=1s for-max=1d remember=1d wider=off
UsherRegisterKeys @ROOT@/register.keys
UsherRegisterPolicy guards bans
<Location /usher-register>
    SetHandler usher-register
    Require local
</Location>
<Location /usher-ban>
    SetHandler usher-ban
    Require local
</Location>
EOT

# keep_httpd($conf, %options of Usher::Httpd)
sub keep_httpd {
    my ($more, %opt) = @_;
    my $httpd = Usher::Httpd->new(conf => $conf . ($more // ''), modules => [qw(authz_host)], usher => [qw(usher usher_register usher_ban)], %opt);

    Usher::Signed::key_file($httpd->root . '/register.keys', ['guard', $secret, 'guards']);
    $httpd->log->tolerate(qr/usher-ban|usher-register|USHER80(?:43|71)|AH00098/);
    return $httpd;
}

# Who may ban and free by hand: guard($httpd)->call(PUT => '/bans/192.0.2.1', { for => '1h' })
sub guard {
    my ($httpd, %opt) = @_;

    return Usher::Signed->new(port => $httpd->port, keyid => 'guard', secret => $secret, location => '/usher-ban', %opt);
}

# Requests of a path from an address; how the last one was answered, 0: not at all.
sub scan {
    my ($httpd, $from, $times, $path) = @_;
    my $status = 0;

    for (1 .. $times) {
        my $client = Usher::Client->new(port => $httpd->port, from => $from) or return 0;
        $client->send('GET ' . ($path // '/scan') . " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        $status = $client->answer->{status} // 0;
    }
    return $status;
}

# The ban of exactly this prefix, over or not; undef: there is none.
sub ban_of {
    my ($httpd, $prefix) = @_;
    my $answer = Usher::Client->get($httpd->port, '/usher-ban/bans?all=1&limit=0');

    die "usher-ban does not answer\n" if ($answer->{status} // 0) != 200;
    return (grep { $_->{prefix} eq $prefix } @{ JSON::PP->new->utf8->decode($answer->{body})->{bans} })[0];
}

# Waits until it is "banned", "over" or undef: none.
sub banned_is {
    my ($httpd, $prefix, $state) = @_;

    return wait_until { ((ban_of($httpd, $prefix) // {})->{state} // '') eq ($state // '') } 30;
}

# Waits until the store has the ban: it is in the jail before.
sub stored {
    my ($httpd, $prefix) = @_;

    return wait_until { (ban_of($httpd, $prefix) // {})->{stored} } 60;
}

1;
