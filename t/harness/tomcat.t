# Real Tomcats behind httpd's own mod_proxy_http and mod_proxy_ajp: what the
# other tests with Tomcat build on works, and how the stock handlers behave.
use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(sha1_hex);
use LWP::UserAgent ();
use Test::More;
use Usher::Httpd ();
use Usher::Tomcat ();
use Usher::Wait;

my $missing = Usher::Tomcat->missing;
plan skip_all => $missing if $missing;

my $web = Usher::Tomcat->start(proto => 'http', route => 'web');
my $ajp = Usher::Tomcat->start(proto => 'ajp', route => 'ajp', secret => 'of-this-test');

# retry=0: a member that could not be reached is asked again at once. The wrong
# secret comes first, with a longer URL: otherwise both were the same worker.
my $httpd = Usher::Httpd->new(
    usher => ['usher'], modules => [qw(unixd log_config proxy proxy_http proxy_ajp)],
    conf => <<"EOT",
ProxyPass /wrong/ @{[ $ajp->url ]}/wrong/ secret=of-another-test
<Location /http/>
    ProxyPass @{[ $web->url ]}/ retry=0
    ProxyPassReverse @{[ $web->url ]}/
    ProxyPassReverseCookiePath / /http/
</Location>
<Location /ajp/>
    ProxyPass @{[ $ajp->url ]}/ retry=0 secret=of-this-test
    ProxyPassReverseCookiePath / /ajp/
</Location>
EOT
);
ok $httpd->start, 'httpd is up' or BAIL_OUT($httpd->console);

sub agent { LWP::UserAgent->new(max_redirect => 0, env_proxy => 0, timeout => 20 * patience, @_) }

# A page of "name: value" lines.
sub fields {
    my ($response) = @_;

    return { $response->content =~ /^([\w-]+): (.*)$/mg };
}

for my $tomcat ($web, $ajp) {
    my $proto = $tomcat->proto;
    my $url = $httpd->url("/$proto");
    my $agent = agent(cookie_jar => {});

    # Who answers, and what it knows of the client
    my $page = fields($agent->get("$url/"));
    is $page->{connector}, $proto, "$proto: served by that connector";
    is $page->{client}, '127.0.0.1', "$proto: the client's address";
    is $page->{scheme}, 'http', "$proto: the scheme";

    # The session goes on, by a cookie that ends in the route
    is $page->{route}, $tomcat->route, "$proto: the session id ends in the route";
    my $again = fields($agent->get("$url/"));
    is $again->{session}, $page->{session}, "$proto: the session is kept";
    is $again->{count}, 2, "$proto: and counts";

    # A body that is larger than any buffer on the way
    my $body = join '', map { chr int rand 256 } 1 .. 1024 * 1024;
    my $echo = fields($agent->post("$url/echo.jsp", 'Content-Type' => 'application/octet-stream', Content => $body));
    is $echo->{'body-bytes'}, length $body, "$proto: 1 MiB arrives";
    is $echo->{'body-sha1'}, sha1_hex($body), "$proto: and is what was sent";

    my $big = $agent->get("$url/big.jsp?bytes=3000000&chunked=1");
    is length $big->content, 3_000_000, "$proto: 3 MB come back";
    is $agent->get("$url/error.jsp?code=418")->code, 418, "$proto: a status of the application's own";

    # Two events, of which the second comes a second later
    my $is_early = in_calm {
        my @chunks;
        $agent->get("$url/events.jsp?n=2&ms=1000", ':content_cb' => sub { push @chunks, $_[0] });
        like $chunks[0], qr/event 1 of 2/, "$proto: the first event";
        return $chunks[0] !~ /event 2/;
    };
    ok $is_early, "$proto: is not kept back";
}

is agent()->get($httpd->url('/http/redirect.jsp?how=absolute'))->header('Location'),
    $httpd->url('/http/index.jsp'), 'ProxyPassReverse maps a redirect';

is agent()->get($httpd->url('/wrong/'))->code, 403, 'a wrong AJP secret is refused';

# A Tomcat that is gone, and comes back
$httpd->log->expect(qr/AH00957: \w+: attempt to connect to 127\.0\.0\.1/, qr/AH01114|AH00896/);
for my $tomcat ($web, $ajp) {
    my $proto = $tomcat->proto;
    my $url = $httpd->url("/$proto/");

    ok $tomcat->stop, "$proto: Tomcat ends when told to";
    is agent()->get($url)->code, 503, "$proto: gone: 503";
    ok $tomcat->restart, "$proto: Tomcat starts on the same port";
    is agent()->get($url)->code, 200, "$proto: and is served again";
}

# A Tomcat that crashes
my $agent = agent();
$web->kill;
ok !$web->running, 'Tomcat is killed';
is $agent->get($httpd->url('/http/'))->code, 503, 'killed: 503';

$httpd->finish;
done_testing;
