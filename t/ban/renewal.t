# A certificate is renewed while the site is for few countries only, while rules ban, and while
# httpd restarts: certbot and an authority of our own (pebble), which asks from 127.0.0.1.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::ACME ();
use Usher::Backend ();
use Usher::Client ();
use Usher::Env ();
use Usher::Httpd ();
use Usher::MMDB ();
use Usher::Wait;

my $backend = Usher::Backend->new;
$backend->on('/', "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
my $httpd = Usher::Httpd->new(
    modules => [qw(proxy alias authz_host watchdog)], usher => [qw(usher usher_backend usher_geo usher_ban)], conf => '');
my $root = $httpd->root;
Usher::MMDB::make("$root/country.mmdb", 'country');
mkdir "$root/acme" or die "$root/acme: $!";
my $url = $backend->url;
$httpd->conf(<<"EOT");
UsherGeoDatabase country $root/country.mmdb
UsherBanNever -loopback 127.0.0.1
UsherBanMode enforce
UsherBanRule curious status=403,404 max=1 within=10m for=1h
ProxyPass /.well-known/acme-challenge/ !
Alias /.well-known/acme-challenge/ $root/acme/.well-known/acme-challenge/
ProxyPass / $url/
<Location "/">
    Require usher-country JP
</Location>
EOT
$httpd->log->tolerate(qr/USHER8\d{3}|AH01630/);
ok $httpd->start, 'starts' or diag $httpd->console;

sub status {
    my ($from, $path) = @_;
    my $client = Usher::Client->new(port => $httpd->port, from => $from) // return 'none';

    $client->send("GET $path HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n");
    my $wire = $client->wire;
    1 while $wire->read_more(patient(10)) eq 'data';
    return $wire->{in} =~ m{^HTTP/1\.1 (\d+)} ? $1 : 'cut';
}

is status('127.0.0.2', '/'), 200, 'the site is for Japan';
is status('127.0.0.4', '/'), 403, 'not for Germany';
is status('127.0.0.4', '/.well-known/acme-challenge/none'), 404, 'but a challenge is for everybody';

my $acme = Usher::ACME->new(http_port => $httpd->port);

# The authority waits for an answer for some seconds only.
sub certbot {
    my @arguments = @_;
    my @did;

    in_calm { @did = $acme->certbot("$root/acme", @arguments); !$did[0] };
    return @did;
}

my ($code, $said) = certbot('certonly -d www.example.com');
is $code, 0, 'a certificate' or diag $said;
my $serial = $acme->serial('www.example.com');

is status('127.0.0.6', '/.well-known/acme-challenge/none'), 404, 'who asks for challenges in vain' for 1 .. 4;
is status('127.0.0.6', '/'), 403, 'is not let in elsewhere, nor banned';
ok wait_until { status('127.0.0.4', '/') eq 'cut' }, 'who tries that again and again is';
is status('127.0.0.2', '/'), 200, 'others are not';

sub restarts { return scalar grep { /resuming normal operations/ } $httpd->log->lines }

# While httpd restarts again and again.
my $pid = fork // die "fork: $!";
if (!$pid) {
    my $httpd_pid = $httpd->pid;
    for (1 .. 5) {
        my $before = restarts();
        kill 'USR1', $httpd_pid;
        wait_until { restarts() > $before } 60;
        select undef, undef, undef, 0.5;
    }
    POSIX::_exit(0);
}
($code, $said) = certbot('renew --force-renewal --no-random-sleep-on-renew');
is $code, 0, 'renewed, with rules that ban and httpd restarting' or diag $said;
isnt $acme->serial('www.example.com'), $serial, 'another certificate';
waitpid $pid, 0;
is status('127.0.0.4', '/'), 'cut', 'still banned';

undef $acme;
$backend->finish if $backend->can('finish');
$httpd->finish('no harm done');
done_testing;
