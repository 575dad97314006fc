# A real Tomcat with a connector for https: sessions, redirects, large bodies in
# both directions, WebSockets, its death and its return.
use strict;
use warnings FATAL => 'all';

use Digest::SHA ();
use Test::More;
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Pattern;
use Usher::TLSTest;
use Usher::Tomcat ();
use Usher::Wait;

my $missing = Usher::Tomcat->missing;
plan skip_all => $missing if $missing;

my $tomcat = Usher::Tomcat->start(proto => 'https', route => 'web');
my $httpd = tls_httpd(trusting() . <<"EOT", modules => ['headers']);
UsherBackendTimeout connect=20s first=60s
<Location /web/>
    ProxyPass @{[ $tomcat->url ]}/
    ProxyPassReverse @{[ $tomcat->url ]}/
    ProxyPassReverseCookiePath / /web/
</Location>
<Proxy balancer://app>
    BalancerMember @{[ $tomcat->url ]} route=web retry=0
    ProxySet stickysession=JSESSIONID
</Proxy>
<Location /app>
    ProxyPass balancer://app
    ProxyPassReverse balancer://app
    ProxyPassReverseCookiePath / /app/
</Location>
EOT
ok $httpd->start, 'httpd starts' or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER201[2567]/);

my $large = 100 * 1024 * 1024;

sub client { Usher::Client->new(port => $httpd->port) // die "connect: $!\n" }

# A page of "name: value" lines.
sub fields { return { $_[0]{body} =~ /^([\w-]+): (.*)$/mg } }

sub header { return http_value($_[0]{headers}, $_[1]) // '' }

# What big.jsp streams.
sub digits_sha1 {
    my ($length) = @_;
    my $block = join '', map { chr($_ % 64 == 63 ? 10 : 48 + $_ % 64 % 10) } 0 .. 65535;
    my $sha = Digest::SHA->new(1);

    for (my $left = $length; $left > 0; $left -= 65536) {
        $sha->add($left < 65536 ? substr $block, 0, $left : $block);
    }
    return $sha->hexdigest;
}

subtest 'sessions, cookies, redirects' => sub {
    for my $name (qw(web app)) {
        my $client = client();
        my $first = $client->request(GET => "/$name/");
        my ($cookie, $rest) = header($first, 'Set-Cookie') =~ /^(JSESSIONID=[^;]+)(.*)$/;
        like $rest // '', qr{;\s*Path=/$name/(?:;|$)}, "/$name/: the cookie has the path that clients see";
        like $cookie // '', qr/\.web$/, 'its session id ends in the route';
        for my $count (2 .. 4) {
            is fields($client->request(GET => "/$name/", [Cookie => $cookie]))->{count}, $count, "request $count is of the same session";
        }
        my $answer = $client->request(GET => "/$name/redirect.jsp?how=absolute&to=echo.jsp", [Host => 'localhost:' . $httpd->port]);
        is $answer->{status}, 302, 'a redirect';
        like header($answer, 'Location'), qr{/$name/echo\.jsp$}, 'is mapped by ProxyPassReverse';
        unlike header($answer, 'Location'), qr{:@{[ $tomcat->port ]}/}, 'and does not show where Tomcat is';
        is $client->request(GET => "/$name/error.jsp?code=503")->{status}, 503, 'a status of the application\'s own';
    }
};

subtest 'large bodies' => sub {
    my $sha1 = digits_sha1($large);
    for my $chunked (0, 1) {
        my $client = client();
        $client->send(http_request(GET => "/app/big.jsp?bytes=$large" . ($chunked ? '&chunked=1' : '')));
        my $answer = $client->answer(timeout => 60, discard => 1);
        ok $answer->{complete}, 'a download comes to its end';
        is "$answer->{body_len} $answer->{sha1}", "$large $sha1", 'as it was sent';
    }
    my $client = client();
    $client->send(http_request(POST => '/web/echo.jsp', ['Content-Type' => 'application/octet-stream', 'Content-Length' => $large]));
    $client->send_pattern($large, 60);
    my $page = fields($client->answer(timeout => 60));
    is $page->{'body-bytes'}, $large, 'an upload arrives';
    is $page->{'body-sha1'}, pattern_sha1($large), 'as it was sent';
};

subtest 'many requests' => sub {
    my @clients = map { client() } 1 .. 8;
    my $bad = 0;
    for my $round (1 .. 40) {
        $_->send(http_request(GET => '/web/error.jsp?code=200')) for @clients;
        $bad += grep { ($_->answer->{status} // 0) != 200 } @clients;
    }
    is $bad, 0, 'over eight connections of clients: all are served';
};

subtest 'events' => sub {
    my $client = client();
    $client->send(http_request(GET => '/web/async.jsp?n=20&ms=100'));
    ok $client->until(sub { ${ $_[0] } =~ /id: 2\n/ || undef }, 20), 'come one by one';
    ok $client->answer(timeout => 20, discard => 1)->{complete}, 'to their end';
};

subtest 'killed, and back' => sub {
    my %client = map { $_ => client() } qw(chunked old);
    my $uri = "/web/big.jsp?bytes=$large&chunked=1";
    $client{chunked}->send(http_request(GET => $uri, ['X-Id' => 'killed']));
    $client{old}->send("GET $uri HTTP/1.0\r\n\r\n");
    ok $client{$_}->until(sub { length ${ $_[0] } > 1000 || undef }, 20), "$_: it has begun" for sort keys %client;
    $tomcat->kill;
    for my $name (sort keys %client) {
        my $answer = $client{$name}->answer(timeout => 20, discard => 1);
        ok !$answer->{complete}, "$name: the client sees that it is cut ($answer->{end})";
    }
    is logged($httpd, 'killed')->{state}, 'SD', 'and the log tells who cut it';
    is ask($httpd, GET => '/web/')->{status}, 503, 'no Tomcat: 503';
    is ask($httpd, GET => '/app/')->{status}, 503, 'the same for the balancer';
    $tomcat->launch;
    ok $tomcat->wait_up, 'it starts again';
    ok((wait_until { ask($httpd, GET => "/$_/error.jsp?code=200")->{status} == 200 } 15), "/$_/ is served again") for qw(web app);
    is ask($httpd, GET => "/$_/")->{status}, 200, 'and stays so' for (qw(web app)) x 3;
};

$httpd->finish('the log has only what was announced');
done_testing;
