# What the tests of TLS to backends share.
package Usher::TLSTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Usher::Backend;
use Usher::BackendTest;
use Usher::Certs ();
use Usher::Httpd ();
use Usher::Wait;

our @EXPORT = qw(certs tls_backend tls_httpd tls_stock trusting tls_of ssl_modules quiet);

my $certs;

sub certs { return $certs //= Usher::Certs->new }

sub ssl_modules { return qw(ssl) }

# A backend with TLS that answers /ok; options as of Usher::Wire::TLS::context.
sub tls_backend {
    my (%tls) = @_;
    my $backend = Usher::Backend->new(tls => \%tls);

    $backend->on(qr{/ok(?:$|\?)}, http_answer(200, [], 'ok'));
    $backend->on(qr{/echo(?:$|\?)}, echo);
    return $backend;
}

# Lines that trust the backends' CA and nobody else.
sub trusting {
    return "SSLProxyEngine On\nSSLProxyVerify require\nSSLProxyCACertificateFile " . certs()->ca . "\n";
}

# As backend_httpd(), with mod_ssl. What mod_ssl says of handshakes that fail is
# no surprise in these tests, what else it says is.
sub tls_httpd {
    my ($conf, %opt) = @_;
    my $more = delete $opt{modules} // [];

    return quiet(backend_httpd($conf, modules => [ssl_modules(), @$more], %opt));
}

sub tls_stock {
    my ($conf, %opt) = @_;
    my $more = delete $opt{modules} // [];

    return quiet(stock_httpd($conf =~ s/^\s*Usher.*\n//mgr, modules => [ssl_modules(), @$more], %opt));
}

# AH01873, AH01882: no session cache, built with a newer OpenSSL; AH01961/2: not
# enabled; AH02003 to 5, AH0241x: the handshake, date or name; AH02039/40:
# verification; AH02268/9: client certificates
sub quiet {
    my ($httpd) = @_;

    $httpd->log->tolerate(qr/AH0(?:1873|1882|1961|1962|2003|2004|2005|2411|2412|2039|2040|226[89])|SSL Library Error/);
    return $httpd;
}

# What the newest connection of a backend agreed on: { sni, protocol, ... }.
sub tls_of {
    my ($backend) = @_;
    my $found = wait_until { my $conn = ($backend->connections)[-1]; $conn && $conn->{tls} } 3;

    return $found || {};
}

1;
