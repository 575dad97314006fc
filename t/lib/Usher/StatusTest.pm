# What the tests of the status share: an httpd with a handler usher-status, what it
# shows as a structure, and changes with a token.
package Usher::StatusTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use HTTP::Tiny ();
use JSON::PP ();
use Usher::BalancerTest;

our @EXPORT = qw(status_httpd status_get status change change_raw member);

my $place = <<'EOT';
<Location /status>
    SetHandler usher-status
    Require local
</Location>
EOT

# status_httpd($conf, %options of Usher::Httpd): with the handler at /status, where it is in
# the way of "ProxyPass /" unless $conf has one.
sub status_httpd {
    my ($conf, %opt) = @_;
    my $modules = delete $opt{modules} // [];

    return balancer_httpd('standin', ($conf =~ /usher-status/ ? '' : $place) . $conf,
        modules => [qw(authz_host authn_core authn_file auth_basic authz_user proxy proxy_balancer slotmem_shm headers), @$modules],
        usher => [qw(usher usher_balancer usher_backend ushertest usher_status)], %opt);
}

# One request: { status, content, headers, json }; options: method, query, headers, form, from
# (the client's address)
sub status_get {
    my ($httpd, %opt) = @_;
    my $http = HTTP::Tiny->new(proxy => undef, keep_alive => 0, $opt{from} ? (local_address => $opt{from}) : ());
    my %request = (headers => $opt{headers} // {});

    if (defined $opt{form}) {
        $request{content} = ref $opt{form} ? $http->www_form_urlencode($opt{form}) : $opt{form};
        $request{headers} = { 'Content-Type' => 'application/x-www-form-urlencoded', %{ $request{headers} } };
    }
    my $answer = $http->request($opt{method} // (defined $opt{form} ? 'POST' : 'GET'),
        $httpd->url(($opt{place} // '/status') . ($opt{query} // '')), \%request);
    $answer->{json} = eval { JSON::PP->new->decode($answer->{content}) };
    return $answer;
}

# What is shown, as a structure.
sub status { return status_get($_[0], query => '?format=json', @_[1 .. $#_])->{json} }

# A member of what status() gave, by the end of its URL or its route.
sub member {
    my ($status, $which, $cluster) = @_;
    my ($found) = grep { ($_->{route} // '') eq $which || ($_->{url} // '') =~ /\Q$which\E$/ }
        map { @{ $_->{members} } } grep { !$cluster || $_->{name} eq $cluster } @{ $status->{clusters} };

    return $found // {};
}

# change($httpd, cluster, member, action, value): what is answered; a token is fetched.
sub change {
    my ($httpd, $cluster, $member, $action, $value) = @_;

    return change_raw($httpd, { cluster => $cluster, member => $member, action => $action,
        defined $value ? (value => $value) : (), token => status($httpd)->{token} });
}

# The same with these fields; options of status_get().
sub change_raw {
    my ($httpd, $form, %opt) = @_;

    return status_get($httpd, query => '?format=json', form => $form, %opt);
}

1;
