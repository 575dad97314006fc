# The configurations of docs/migration/pitfalls.md do what the page says they
# do: each is taken from the page as it stands there, with the test's backends in
# place of the application.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Env ();
use Usher::Httpd ();

my ($app, $other) = map { Usher::Backend->new } 1, 2;
my $ajp = Usher::Backend->new(protocol => 'ajp');
my $page = do {
    open my $fh, '<', Usher::Env::srcdir() . '/docs/migration/pitfalls.md' or die $!;
    local $/;
    <$fh>;
};

# The n-th configuration under a heading ('' for the beginning of the page)
sub shown {
    my ($heading, $n) = @_;
    my ($part) = $heading eq '' ? $page =~ /\A(.*?)^## /ms : $page =~ /^## \Q$heading\E\n(.*?)(?=^## |\z)/ms;
    my @blocks = ($part // die "no heading $heading\n") =~ /^```apache\n(.*?)^```/gms;
    my $conf = $blocks[$n // 0] // die "$heading: no configuration\n";

    my %port = (8081 => $app->port, 8082 => $other->port, 8009 => $ajp->port);
    $conf =~ s/(127\\?\.0\\?\.0\\?\.1):(8081|8082|8009)/$1:$port{$2}/g;
    return $conf;
}

my ($httpd, $public);
sub serve {
    my ($heading, $n) = @_;

    $_->clear for $app, $other, $ajp;
    $httpd = backend_httpd(shown($heading, $n), modules => [qw(alias headers filter rewrite substitute setenvif), $heading =~ /certificates/ ? qw(ssl socache_shmcb) : ()]);
    ok($httpd->start, "$heading: httpd starts") or diag $httpd->console, $httpd->log->lines;
    $public = 'www.example.com:' . $httpd->port;
    $httpd->log->tolerate(qr/ssl:warn/) if $heading =~ /certificates/;
    return;
}

sub served {
    my ($name) = @_;

    $httpd->finish("$name: no surprises in the log");
    return;
}

# The answer to a GET, and the request as the backend got it
sub got {
    my ($uri, @headers) = @_;
    my $id = "r$uri" . rand;
    my $answer = ask($httpd, GET => $uri, ['X-Id' => $id, Host => $public, @headers]);
    my ($request) = map { $_->deliveries($id) } $app, $other, $ajp;

    return ($answer, $request // { header => {} });
}

sub field {
    my ($answer, $name) = @_;

    return http_value($answer->{headers}, $name);
}

my $inner = 'http://127.0.0.1:' . $app->port;
my ($answer, $request);

serve('Redirects to the wrong host');
$app->on('/app/login', http_answer(302, [Location => "$inner/app/home?a=b"], ''));
$app->on('/app/elsewhere', http_answer(302, [Location => 'http://elsewhere.example.com/app/'], ''));
($answer) = got('/app/login');
is field($answer, 'Location'), "http://$public/app/home?a=b", 'a redirect to the inner server is one to the public name';
($answer) = got('/app/elsewhere');
is field($answer, 'Location'), 'http://elsewhere.example.com/app/', 'another one is left alone';
served('redirects');

serve('Absolute links');
$app->on('/app/', http_answer(200, ['Content-Type' => 'text/html'], qq(<base href="$inner/app/"><a href="$inner/app/x">)));
($answer, $request) = got('/app/', 'Accept-Encoding' => 'gzip');
is $answer->{body}, '<base href="/app/"><a href="/app/x">', 'links to the inner server are links here';
is $request->{header}{'accept-encoding'}, undef, 'the page came without compression';
served('links');

serve('Host names');
($answer, $request) = got('/app/x');
is_deeply [@{ $request->{header} }{qw(host x-forwarded-host)}], [$public, $public], 'the application gets the public name';
served('host names');

serve('Another path');
$app->on('/shop/login', http_answer(302, [Location => "$inner/shop/home", 'Set-Cookie' => 'JSESSIONID=1; Path=/shop; HttpOnly'], ''));
($answer, $request) = got('/app/login');
is $request->{uri}, '/shop/login', 'another path: mapped';
is field($answer, 'Location'), "http://$public/app/home", 'a redirect is mapped back';
like field($answer, 'Set-Cookie'), qr{^JSESSIONID=1; Path=/app; HttpOnly$}i, 'the path of a cookie is';
($answer) = got('/shop/a/b');
is_deeply [$answer->{status}, field($answer, 'Location')], [302, "http://$public/app/a/b"], 'links with the inner path find the outer one';
served('another path');

serve('Cookies');
$app->on('/shop/x', http_answer(200, ['Set-Cookie' => 'A=b; Path=/shop/sub; Domain=inner.example.com'], ''));
($answer) = got('/app/x');
like field($answer, 'Set-Cookie'), qr{^A=b; Path=/app; Domain=www\.example\.com$}i, 'path and domain of a cookie';
served('cookies');

serve('Cookies', 1);
$_->[0]->on(qr{.}, http_answer(200, [], $_->[1])) for [$app, 'one'], [$other, 'two'];
is((got('/app/', Cookie => 'JSESSIONID=abc.two'))[0]{body}, 'two', 'a session in a cookie') for 1 .. 3;
is((got('/app/x;jsessionid=abc.one'))[0]{body}, 'one', 'a session in the URL') for 1 .. 3;
served('sessions');

for my $heading ('', 'https in front, http behind') {
    serve($heading);
    ($answer, $request) = got('/app/x', 'X-Forwarded-Proto' => 'gopher', 'X-Forwarded-Port' => '1');
    is_deeply [@{ $request->{header} }{qw(host x-forwarded-proto x-forwarded-port)}], [$public, 'http', $httpd->port],
        'the application learns name, scheme and port, not what a client says of them';
    served('scheme');
}

serve("The client's address");
($answer, $request) = got('/app/x', 'X-Forwarded-For' => '192.0.2.99');
is $request->{header}{'x-forwarded-for'}, '127.0.0.1', 'a client cannot claim an address';
served('addresses');

serve('Trailing slashes');
($answer) = got('/app');
is_deeply [$answer->{status}, field($answer, 'Location')], [302, "http://$public/app/"], 'the path without its slash leads to the one with it';
($answer, $request) = got('/app/page');
is $request->{uri}, '/app/page', 'and the others are whole';
served('slashes');

serve('Encoded slashes');
($answer, $request) = got('/app/a%2Fb%20c');
is $request->{uri}, '/app/a%2Fb%20c', 'an encoded slash arrives as it was sent';
served('encoded slashes');

serve('Path parameters');
$app->on(qr{.}, http_answer(200, [], 'from the application'));
for my $uri ('/app/private', '/app/private/x', '/app/private;x/y', '/app;x/private/y', '/app/x/..;/private/y', '/app/private;x', '/app/.;/private') {
    is((got($uri))[0]{status}, 404, "$uri is not passed on");
}
is((got($_))[0]{status}, 200, "$_ is") for '/app/x', '/app/x;jsessionid=1', '/app/privateer';
served('path parameters');

serve('WebSockets');
$app->on('/app/ws', ["HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello", cut]);
($answer, $request) = got('/app/ws', Connection => 'Upgrade', Upgrade => 'websocket');
is_deeply [$answer->{status}, $request->{header}{upgrade}], [101, 'websocket'], 'an upgrade is passed on, and its answer';
$httpd->log->tolerate(qr/USHER\d+/);
served('WebSockets');

serve('Large headers');
$app->on('/app/x', http_answer(200, ['X-Large' => 'y' x 20_000], ''));
($answer, $request) = got('/app/x', Cookie => 'a=' . 'x' x 20_000);
is_deeply [$answer->{status}, length $request->{header}{cookie}, length field($answer, 'X-Large')], [200, 20_002, 20_000], 'large cookies and headers, both ways';
served('large headers');

serve('Large uploads');
my $client = Usher::Client->new(port => $httpd->port);
$client->send("POST /app/x HTTP/1.1\r\nHost: $public\r\nX-Id: large\r\nContent-Length: 104857601\r\n\r\n");
$answer = $client->answer;
is $answer->{status}, 413, 'an upload over the limit is refused before it has come';
is scalar $app->deliveries('large'), 0, 'and not passed on';
served('uploads');

serve('Client certificates', 1);
$ajp->on(qr{.}, ajp_answer(200, [], 'over AJP'));
($answer, $request) = got('/app/x');
is_deeply [$answer->{body}, $request->{ajp}{attributes}{secret}, $request->{ajp}{server_name}],
    ['over AJP', 'only-we-two-know-it', 'www.example.com'], 'over AJP: the secret and the public name';
served('AJP');

serve('Error pages');
$app->on(qr{.}, http_answer(503, [], 'the inner page'));
is((got('/app/x'))[0]{body}, 'We are back in a moment.', 'a page of httpd');
is((got('/app/api/x'))[0]{body}, 'the inner page', 'what programs read stays as it is');
$app->on('/app/404', http_answer(404, [], 'not here'));
is((got('/app/404'))[0]{body}, 'not here', 'and other statuses');
served('error pages');
# Before the modules that they need are gone
undef $_ for $httpd, $app, $other, $ajp;
done_testing;
