# Usher::Backend and Usher::Client on both sides of httpd, with the proxy
# modules that it comes with: what the one sends the other sees, and the
# journal shows what httpd delivered.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::AJP;
use Usher::Backend;
use Usher::Client ();
use Usher::Httpd ();
use Usher::Pattern;
use Usher::Wait;

my $text = ['Content-Type' => 'text/plain'];
my $short = http_answer(200, $text, 'twelve bytes');

my $http = Usher::Backend->new;
my $ajp = Usher::Backend->new(protocol => 'ajp');
my $unix = Usher::Backend->new(unix => 1);
my $httpd = Usher::Httpd->new(usher => [], modules => [qw(proxy proxy_http proxy_ajp)], conf => <<"EOT");
ProxyPass /http/ @{[ $http->url('/') ]} retry=0
ProxyPass /ajp/ @{[ $ajp->url('/') ]} retry=0 secret=s3cret ping=@{[ 5 * patience ]}
ProxyPass /unix/ "@{[ $unix->url('/') ]}"
ProxyTimeout @{[ 10 * patience ]}
EOT
ok($httpd->start, 'httpd starts') or diag $httpd->console;
my $port = $httpd->port;
my $ask = sub { Usher::Client->get($port, @_) };

$http->on('/plain', $short);
my $answer = $ask->('/http/plain', ['X-Id' => 'p']);
is_deeply([@$answer{qw(status body end)}], [200, 'twelve bytes', 'complete'], 'http: a plain answer');
$http->on('/chunked', http_answer(200, $text, 'twelve bytes', chunked => 5));
$answer = $ask->('/http/chunked');
is_deeply([@$answer{qw(status body end framing)}], [200, 'twelve bytes', 'complete', 'chunked'], 'http: a chunked one');
for my $bytes ($short, http_answer(200, $text, 'twelve bytes', chunked => 5)) {
    $http->on('/truncated', [at($bytes, length($bytes) - 3, cut)]);
    $answer = $ask->('/http/truncated', ['X-Id' => 't']);
    ok($answer->{status} == 200 && !$answer->{complete} && $answer->{end} ne 'timeout',
        'http: a truncated answer arrives truncated: ' . $answer->{end});
}
$http->on('/up', echo);
my $client = Usher::Client->new(port => $port);
$client->send(http_request(POST => '/http/up', ['X-Id' => 'u', 'Content-Length' => 3_000_000]));
$client->send_pattern(3_000_000);
is($client->answer->{body}, 'POST /up 3000000 ' . pattern_sha1(3_000_000) . "\n", 'http: a POST');
is(scalar $http->deliveries($_->[0]), $_->[1], "http: deliveries of $_->[0]") for ['p', 1], ['t', 2], ['u', 1];

$unix->on('/plain', $short);
is($ask->('/unix/plain')->{body}, 'twelve bytes', 'http on a unix socket');

$ajp->on('/plain', ajp_answer(200, $text, 'twelve bytes'));
$answer = $ask->('/ajp/plain?a=b', ['X-Id' => 'p', 'User-Agent' => 'test', Cookie => 'c=d']);
is_deeply([@$answer{qw(status body end)}], [200, 'twelve bytes', 'complete'], 'ajp: a plain answer');
my ($got) = $ajp->deliveries('p');
is_deeply([$got->{uri}, @{ $got->{ajp} }{qw(method proto uri remote_addr server_port is_ssl)}],
    ['/plain?a=b', 'GET', 'HTTP/1.1', '/plain', '127.0.0.1', $port, 0], 'ajp: the request as httpd sent it');
is_deeply([@{ $got->{header} }{qw(user-agent cookie x-id)}], ['test', 'c=d', 'p'], 'ajp: headers');
cmp_ok($got->{ajp}{coded}, '>=', 2, 'ajp: some came as a code');
is_deeply([@{ $got->{ajp}{attributes} }{qw(secret query_string)}], ['s3cret', 'a=b'], 'ajp: attributes');
$ajp->on('/up', echo);
$client = Usher::Client->new(port => $port);
$client->send(http_request(POST => '/ajp/up', ['Content-Length' => 300_000]));
$client->send_pattern(300_000);
is($client->answer->{body}, 'POST /up 300000 ' . pattern_sha1(300_000) . "\n", 'ajp: a POST');
$answer = $client->request(POST => '/ajp/up', [], pattern(0, 30_000), chunked => 5000);
is($answer->{body}, 'POST /up 30000 ' . pattern_sha1(30_000) . "\n", 'ajp: a chunked POST');
$ajp->on('/large', [ajp_send_headers(200, $text), fill(1_000_000, as => 'ajp'), ajp_end]);
$answer = $ask->('/ajp/large');
is_deeply([@$answer{qw(end sha1)}], ['complete', pattern_sha1(1_000_000)], 'ajp: a large answer');
my $two_chunks = ajp_answer(200, $text, 'twelve bytes', chunk => 6);
$ajp->on('/truncated', [at($two_chunks, length($two_chunks) - 12, cut)]);
$answer = $ask->('/ajp/truncated');
ok(!$answer->{complete} && $answer->{end} ne 'timeout', 'ajp: a truncated answer arrives truncated');

# The client leaves while the backend is still answering.
$http->on('/left', [http_answer(200, [], undef, length => 1e9), fill(1e9)]);
$client = Usher::Client->new(port => $port);
$client->send(http_request(GET => '/http/left'));
wait_until { scalar $http->requests('/left') };
$client->reset;
ok(wait_until { ($http->requests('/left'))[0]{gone} }, 'httpd closes the backend\'s connection early, which is noted');

# A backend closes idle connections; the next request has one of its own.
$ask->('/http/plain');
my $before = $http->connections;
cmp_ok($http->close_idle, '>=', 1, 'connections that httpd kept are closed');
is($ask->('/http/plain')->{status}, 200, 'httpd opens another');
is($http->connections, $before + 1, 'as noted');
$http->on('ACCEPT', rst);
$http->close_idle;
# 502, or 503 where the reset came before httpd saw itself connected.
like($ask->('/http/plain')->{status}, qr/^50[23]$/, 'reset at accept: 502 or 503');
$http->stop;
is($ask->('/http/plain')->{status}, 503, 'down: 503');
$ajp->stop;
$httpd->log->expect(qr/AH01110/, qr/AH00957/, qr/AH00893/);
$httpd->log->tolerate(qr/proxy_http:|proxy_ajp:|AH00898/);
$httpd->finish('the log has what was announced');

done_testing;
