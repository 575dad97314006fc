# What the tests in t/register share: an httpd with mod_usher_register and keys, and clients
# that sign.
package Usher::RegisterTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Usher::BalancerTest;
use Usher::Signed ();
use Usher::Wait;

our @EXPORT = qw(register_httpd signer state_of state_is quiet);

# KEYID => policy
our %keys = (one => 'tomcats', two => 'tomcats', few => 'few', far => 'far', boss => 'operators');

my $conf = <<'EOT';
UsherRegisterKeys @ROOT@/register.keys
UsherRegisterPolicy tomcats clusters=app addresses=127.0.0.0/8 ports=1024-65535 schemes=http,ajp weight=50 loopback
UsherRegisterPolicy few clusters=app addresses=own ports=1024-65535 schemes=http members=2 loopback
UsherRegisterPolicy far clusters=* addresses=192.0.2.0/24 ports=8009 schemes=ajp
UsherRegisterPolicy operators admin clusters=*
<Location /usher-register>
    SetHandler usher-register
    Require local
</Location>
EOT

sub _secret { return substr "the secret of $_[0]" . '.' x 32, 0, 32 }

# register_httpd($conf, %options of Usher::Httpd): a cluster "app" of nobody, unless $conf has it.
sub register_httpd {
    my ($more, %opt) = @_;
    my $cluster = $more =~ m{balancer://app>} ? '' : "<Proxy balancer://app>\nProxySet lbmethod=usher\n</Proxy>\n";
    my $modules = delete $opt{modules} // [];
    my $httpd = balancer_httpd('standin', $conf . $cluster . "ProxyPass / balancer://app/\n" . $more,
        modules => [qw(proxy proxy_balancer slotmem_shm headers authz_host reqtimeout), @$modules],
        usher => [qw(usher usher_balancer usher_backend usher_register ushertest)], %opt);
    my $file = $httpd->root . '/register.keys';

    Usher::Signed::key_file($file, map { [$_, _secret($_), $keys{$_}] } sort keys %keys);
    chown +(getpwnam 'nobody')[2], -1, $file if $> == 0;
    return $httpd;
}

# What is refused, and a cluster of nobody, is told in the log.
sub quiet { return $_[0]->log->tolerate(qr/usher-register|USHER30(?:45|63)/) }

# A client with one of the keys.
sub signer {
    my ($httpd, $keyid, %opt) = @_;

    return Usher::Signed->new(port => $httpd->port, keyid => $keyid, secret => _secret($keyid), %opt);
}

# How a member is.
sub state_of {
    my ($signer, $route) = @_;

    return $signer->show('app', $route)->{json}{state} // '';
}

# Waits until it is.
sub state_is {
    my ($signer, $route, $state) = @_;

    return wait_until { state_of($signer, $route) eq $state } 30;
}

1;
