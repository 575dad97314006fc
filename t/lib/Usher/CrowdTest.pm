# What tests of a crowd of servers share: an httpd at which it signs in, with its keys.
package Usher::CrowdTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Usher::Crowd ();
use Usher::Httpd ();
use Usher::Signed ();

our @EXPORT = qw(crowd_httpd crowd_of crowd_signed);

# Of the servers, and of the administrator; each is its policy's name, too.
my %key = map { $_ => { keyid => $_, secret => join '', map { chr int rand 256 } 1 .. 32 } } qw(crowd admin);

# crowd_httpd($conf, \@backends, %options of Usher::Httpd): the servers are these backends.
sub crowd_httpd {
    my ($more, $backends, %opt) = @_;
    my $ports = join ',', map { $_->port } @$backends;
    my $httpd = Usher::Httpd->new(modules => [qw(authz_host proxy)], %opt, conf => $more . <<"EOT");
MaxKeepAliveRequests 0
KeepAliveTimeout 300
UsherRegisterKeys \@ROOT\@/register.keys
UsherRegisterPolicy crowd clusters=app addresses=own loopback ports=$ports schemes=http members=4096
UsherRegisterPolicy admin admin clusters=*
<Location "/usher-register">
    SetHandler usher-register
    Require local
</Location>
<Proxy balancer://app>
    ProxySet lbmethod=usher
</Proxy>
ProxyPass / balancer://app/
EOT
    Usher::Signed::key_file($httpd->root . '/register.keys', map { [$_, $key{$_}{secret}, $_] } sort keys %key);
    return $httpd;
}

# crowd_of(\@nodes, \@backends, %options of Usher::Crowd)
sub crowd_of {
    my ($nodes, $backends, %opt) = @_;

    return Usher::Crowd->new(ports => [map { $_->port } @$nodes], urls => [map { $_->url } @$backends],
        key => $key{crowd}, admin => $key{admin}, %opt);
}

# A client with the servers' key.
sub crowd_signed {
    my ($node) = @_;

    return Usher::Signed->new(port => $node->port, %{ $key{crowd} });
}

1;
