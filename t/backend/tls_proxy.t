# TLS to backends through another proxy (ProxyRemote): it is asked to CONNECT,
# and the handshake is with the backend. The other proxy may refuse, be silent
# or break.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Pattern;
use Usher::TLSTest;
use Usher::Wait;

my $established = "HTTP/1.0 200 Connection established\r\n\r\n";
my ($good, $other, $wrong, $second) = (tls_backend(ask => 'ask'), tls_backend(cert => 'other'), tls_backend(cert => 'wrong'), tls_backend());
my $proxy = Usher::Backend->new;
my $httpd = tls_httpd(<<"EOT" . trusting());
UsherBackendTimeout connect=20s first=20s
<Location /once/>
    UsherBackendTimeout connect=500ms
</Location>
UsherBackendRest Off
SSLProxyMachineCertificateFile @{[ certs()->pair('client') ]}
@{[ map { "ProxyRemote " . $_->url . "/ " . $proxy->url . "\n" } $good, $other, $wrong ]}
ProxyPass /good/ @{[ $good->url('/') ]} retry=0
ProxyPass /once/ @{[ $good->url('/once/') ]} retry=0 disablereuse=on
ProxyPass /calm/ @{[ $good->url('/calm/') ]} retry=0 disablereuse=on
ProxyPass /other/ @{[ $other->url('/') ]} retry=0
ProxyPass /wrong/ @{[ $wrong->url('/') ]} retry=0
ProxyPass /direct/ @{[ $second->url('/') ]} retry=0
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER201[26]|AH01146/);

sub reset_all {
    $_->close_idle, $_->clear for $good, $other, $wrong, $second, $proxy;
    $_->on(qr{/ok}, http_answer(200, [], 'ok')), $_->on(qr{/echo}, echo) for $good, $other, $wrong, $second;
    $proxy->on('CONNECT', [$established, tunnel]);
    return;
}

subtest 'through it' => sub {
    reset_all();
    my $client = Usher::Client->new(port => $httpd->port);
    is(tells($client->request(GET => '/good/ok')), '200 complete ok', 'an answer') for 1 .. 3;
    my ($connect) = $proxy->requests;
    is("$connect->{method} $connect->{uri}", 'CONNECT 127.0.0.1:' . $good->port, 'the other proxy was asked for the backend');
    # mod_proxy_http keeps it.
    is(scalar $proxy->requests, $ENV{USHER_STOCK} ? 1 : 3, 'for each connection: they are not kept');
    ok((wait_until { !grep { $_->{state} ne 'closed' } $good->connections } 3), 'nor left open') unless $ENV{USHER_STOCK};
    is(($good->requests)[0]{uri}, '/ok', 'that has a path, not a URL');
    is(tls_of($good)->{client}, 'proxy.test', 'and our certificate');
    like($connect->{raw}, qr{^CONNECT \S+ HTTP/1\.[01]\r\n}, 'CONNECT by the book');
    unlike($connect->{raw}, qr{/ok|Cookie|X-Id}i, 'with nothing of the request in it');
    my $before = scalar $proxy->requests;
    is(tells(ask($httpd, GET => '/direct/ok')), '200 complete ok', 'where no ProxyRemote is meant: directly');
    is(scalar $proxy->requests, $before, 'without the other proxy');
    my $size = 5_000_000;
    $client->send(http_request(POST => '/good/echo', ['Content-Length' => $size]));
    $client->send_pattern($size);
    is($client->answer->{body}, "POST /echo $size " . pattern_sha1($size) . "\n", 'a large upload');
};

subtest 'it is the backend that is verified' => sub {
    reset_all();
    for my $path ('other', 'wrong') {
        my $answer = ask($httpd, GET => "/$path/ok");
        is($answer->{status}, 503, "$path: 503");
        ok($httpd->log->wait_for(qr{USHER2016.*(?:certificate|verif).*/$path/ok}i, 3), 'the log tells why');
    }
    is(scalar $_->requests, 0, 'nothing is delivered') for $other, $wrong;
};

# What the other proxy does to CONNECT: a status that is expected, what the log
# says, and how long it takes at least
my %play = (
    'refused, 403'      => [http_answer(403, [], 'not there'), qr/^50[23]$/, qr/403/],
    'refused, 407'      => [http_answer(407, ['Proxy-Authenticate' => 'Basic realm="x"'], 'who are you'), qr/^50[23]$/, qr/407/],
    'refused, 502'      => [http_answer(502, [Connection => 'close'], ''), qr/^50[23]$/, qr/502/],
    'no answer'         => [[stall], qr/^504$/, qr/time/i],
    'half an answer'    => [[substr($established, 0, 20), stall], qr/^504$/, qr/time/i],
    'closed'            => [[cut], qr/^50[23]$/, qr/./],
    'reset'             => [[rst], qr/^50[23]$/, qr/./],
    'closed within'     => [[substr($established, 0, 20), cut], qr/^50[23]$/, qr/./],
    'no HTTP'           => [["SSH-2.0-OpenSSH\r\n\r\n", stall], qr/^50[234]$/, qr/./],
    'no end of a head'  => [['HTTP/1.1 200 OK' . "\r\nX: y" x 20_000, stall], qr/^50[234]$/, qr/./],
    'connected, silent' => [[$established, stall], qr/^504$/, qr/time/i],
    'connected, cut'    => [[$established, cut], qr/^50[23]$/, qr/./],
    'connected, clear text' => [[$established, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL", stall], qr/^503$/, qr/./],
);

subtest 'when it fails' => sub {
    for my $name (sort keys %play) {
        my ($play, $status, $says) = @{ $play{$name} };
        for my $method (qw(GET POST)) {
            reset_all();
            $proxy->on('CONNECT', $play);
            # Only who is silent is waited for.
            my $uri = ('504' =~ $status ? '/once/' : '/calm/') . "$method-$name" =~ s/\W+/-/gr;
            my $answer = ask($httpd, $method, $uri, ['X-Id' => $uri], $method eq 'POST' ? 'body' : undef);
            like($answer->{status}, $status, "$name, $method: $answer->{status}");
            unlike($answer->{body}, qr/EVIL|not there|who are you/, 'and nothing that the other proxy said');
            in_time($answer->{time}, 2.5, 'in its time');
            is(scalar $good->requests, 0, 'nothing is delivered');
            my $line = $httpd->log->wait_for(qr{USHER2016.*\Q$uri\E}, 3);
            like($line // '', $says, 'the log tells') or diag($line // 'nothing');
            ok((wait_until { !grep { $_->{state} ne 'closed' } $proxy->connections } 3), 'no connection is left');
        }
    }
    $proxy->stop;
    is(ask($httpd, GET => '/once/ok')->{status}, 503, 'it is not there: 503');
    $proxy->start;
    reset_all();
    is(tells(ask($httpd, GET => '/good/ok')), '200 complete ok', 'it is back');
};

$httpd->finish('httpd lives, and logs only what failed');
undef $_ for $good, $other, $wrong, $second, $proxy;
done_testing;
