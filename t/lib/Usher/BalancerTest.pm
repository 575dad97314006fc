# What the tests in t/balancer share: backends that say who they are, an httpd
# with a cluster of them, and whom a row of requests went to. Each is run twice:
# served by mod_proxy_http ("stock") and by mod_usher_backend ("standin").
package Usher::BalancerTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Usher::Backend;
use Usher::Client ();
use Usher::CoreTest ();
use Usher::Env ();
use Usher::Httpd ();
use Usher::Wait;

our @EXPORT = qw(backends balancer_httpd balancer_conf modes who row counts);

# How a cluster can be served here.
sub modes { return ('stock', (grep { $_ eq 'usher_backend' } Usher::Env::usher_modules()) ? 'standin' : ()) }

# backends('a', 'b'): each answers everything with its name.
sub backends {
    return map {
        my $backend = Usher::Backend->new;
        $backend->on(qr{.}, http_answer(200, ['Content-Type' => 'text/plain'], $_));
        $backend;
    } @_;
}

sub balancer_conf { return Usher::CoreTest::core_conf($_[0]) }

# balancer_httpd($mode, $conf, %options of Usher::Httpd)
sub balancer_httpd {
    my ($mode, $conf, %opt) = @_;

    return Usher::Httpd->new(
        conf => balancer_conf($conf),
        modules => [qw(proxy proxy_balancer slotmem_shm headers), $mode eq 'stock' ? 'proxy_http' : ()],
        usher => [qw(usher usher_balancer ushertest), $mode eq 'stock' ? () : 'usher_backend'], %opt);
}

# Who answers a request; its status where that is not 200.
sub who {
    my ($httpd, $uri, $headers) = @_;
    my $answer = Usher::Client->get($httpd->port, $uri // '/', $headers);

    return ($answer->{status} // '') eq '200' ? $answer->{body} : $answer->{status} // $answer->{end};
}

# The answers of $n requests, as one word.
sub row {
    my ($httpd, $n, $uri, $headers) = @_;

    return join '', map { who($httpd, $uri, $headers) } 1 .. $n;
}

# The same as "a:3 b:1".
sub counts {
    my %count;

    $count{ who(@_[0, 2 .. $#_]) }++ for 1 .. $_[1];
    return join ' ', map { "$_:$count{$_}" } sort keys %count;
}

1;
