# Ends that only look like the client's: TLS that is closed in good order, a certificate that
# is refused for one place, and a stop of httpd.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::Certs ();
use Usher::Client ();
use Usher::CoreTest ();
use Usher::Httpd ();
use Usher::TLSClient ();
use Usher::Wait;

my $certs = Usher::Certs->new;
my $backend = Usher::Backend->new;
my $tls = free_port();
my $httpd = Usher::Httpd->new(usher => [qw(usher usher_backend usher_log usher_tls)],
    modules => [qw(proxy ssl socache_shmcb log_config authz_core)], conf => <<"EOT");
LogFormat "%r %{state}^US" state
CustomLog logs/state state
UsherTLSLog logs/tls
ProxyPass /app/ @{[ $backend->url('/') ]}
Listen 127.0.0.1:$tls
<VirtualHost 127.0.0.1:$tls>
    SSLEngine On
    SSLCertificateFile @{[ $certs->cert('good') ]}
    SSLCertificateKeyFile @{[ $certs->key('good') ]}
    SSLCACertificateFile @{[ $certs->ca ]}
    <Location /secure>
        SSLVerifyClient require
    </Location>
</VirtualHost>
EOT

sub state_of {
    my ($path) = @_;
    my $state;

    wait_until { open my $fh, '<', $httpd->root . '/logs/state' or return;
        ($state) = map { m{^GET \Q$path\E HTTP/1\.1 (\S+)$} ? $1 : () } <$fh>; defined $state } 10;
    return $state;
}

ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);

# Of TLS 1.3 there are tickets that it has not read: its end would be a reset.
my $client = Usher::TLSClient->new(port => $tls, versions => '1.2');
$client->send("GET /leaves HTTP/1.1\r\nHos");
$client->close;
is(state_of('/leaves'), 'CR--', 'the client ends TLS within the head: its end');

for my $version ('1.2', '1.3') {
    $client = Usher::TLSClient->new(port => $tls, versions => $version);
    $client->send("GET /secure/$version HTTP/1.1\r\nHost: a\r\n\r\n");
    $client->read_all;
    is(state_of("/secure/$version"), 'PR--', "TLS $version: httpd refuses who has no certificate");
}

# Children of prefork end at once, and tell of nothing.
if ($ENV{USHER_MPM} ne 'prefork') {
    $backend->on('/waits', [hold('stop'), http_answer(200, [], 'late')]);
    my $waits = Usher::Client->new(port => $httpd->port);
    $waits->send("GET /app/waits HTTP/1.1\r\nHost: a\r\n\r\n");
    ok((wait_until { scalar $backend->requests('/waits') }), 'a request is with the backend');
    kill 'TERM', $httpd->{pid};
    is_deeply([$waits->read_all], ['', 'closed'], 'httpd is stopped');
    $backend->release('stop');
    like(state_of('/app/waits'), qr/^P[HD]--$/, 'it was not the client that ended it');
    ok((wait_until { !$httpd->running } 20), 'httpd has ended');
}
# What mod_ssl says of certificates that are missing.
$httpd->log->tolerate(qr/AH0\d+|AH10158|SSL Library Error|USHER20\d\d/);
$httpd->log->finish('nothing else in the log');
done_testing;
