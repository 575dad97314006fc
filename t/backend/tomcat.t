# A real Tomcat behind mod_usher_backend, over HTTP: sessions, redirects, large
# bodies in both directions, events that come one by one, and its death in the
# middle of all that.
use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path);
use Test::More;
use Time::HiRes ();
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Env ();
use Usher::HTTP1;
use Usher::Pattern;
use Usher::Tomcat ();
use Usher::Wait;

my $missing = Usher::Tomcat->missing;
plan skip_all => $missing if $missing;

# The application of build/run, and a folder that takes uploads: a JSP refuses
# PUT.
my $webapp = Usher::Env::builddir() . "/t/work/webapp-$$";
make_path($webapp);
system('cp', '-R', Usher::Env::srcdir() . '/build/webapp/.', $webapp) == 0 or die "cp: $?\n";
system('chmod', '-R', 'u+w', $webapp);
make_path("$webapp/files");
my $web_xml = do { local (@ARGV, $/) = "$webapp/WEB-INF/web.xml"; <> };
$web_xml =~ s{(?=  <welcome-file-list>)}{<<'EOT'}e;
  <servlet>
    <servlet-name>files</servlet-name>
    <servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class>
    <init-param><param-name>readonly</param-name><param-value>false</param-value></init-param>
  </servlet>
  <servlet-mapping>
    <servlet-name>files</servlet-name>
    <url-pattern>/files/*</url-pattern>
  </servlet-mapping>
EOT
open my $fh, '>', "$webapp/WEB-INF/web.xml" or die $!;
print $fh $web_xml;
close $fh;
# Tells that it was reached, and answers after a minute.
open $fh, '>', "$webapp/reached.jsp" or die $!;
print $fh <<'EOT';
<%@ page session="false" contentType="text/plain; charset=UTF-8" %>
<%
    new java.io.File(application.getRealPath("/files"), "reached").createNewFile();
    Thread.sleep(60000);
%>
EOT
close $fh;
END { system('rm', '-rf', $webapp) if $webapp && !$ENV{USHER_KEEP_WORK} }

my $tomcat = Usher::Tomcat->start(route => 'web', webapp => $webapp);
my $large = Usher::Backend->new;
my $ajp = Usher::Backend->new(protocol => 'ajp');
$ajp->on('/error.jsp', ajp_answer(200, [], 'over AJP'));
my $httpd = backend_httpd(<<"EOT", modules => [qw(headers)]);
UsherBackendTimeout first=60s
<Proxy balancer://app>
    BalancerMember @{[ $tomcat->url ]} route=web
    ProxySet stickysession=JSESSIONID
</Proxy>
<Location /web/>
    ProxyPass @{[ $tomcat->url ]}/
    ProxyPassReverse @{[ $tomcat->url ]}/
    ProxyPassReverseCookiePath / /web/
</Location>
<Location /app>
    ProxyPass balancer://app
    ProxyPassReverse balancer://app
    ProxyPassReverseCookiePath / /app/
</Location>
# As in docs/conf/example.conf: one member over HTTP, one over AJP.
<Proxy balancer://mixed>
    BalancerMember @{[ $tomcat->url ]} retry=1
    BalancerMember @{[ $ajp->url ]} retry=1
</Proxy>
ProxyPass /mixed/ balancer://mixed/
ProxyPass /large/ @{[ $large->url('/') ]}
EOT
ok $httpd->start, 'httpd starts' or BAIL_OUT($httpd->console);

my $mib = 1024 * 1024;

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

# Sends a body of $length bytes of Usher::Pattern, and returns the answer.
sub upload {
    my ($method, $uri, $length, %opt) = @_;
    my $client = client();
    my $head = "$method $uri HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n";

    if (!$opt{chunked}) {
        $client->send("${head}Content-Length: $length\r\n\r\n");
        $client->send_pattern($length, $opt{limit} // 60);
    } else {
        $client->send("${head}Transfer-Encoding: chunked\r\n\r\n");
        for (my $at = 0; $at < $length; $at += 100_000) {
            my $size = $length - $at < 100_000 ? $length - $at : 100_000;
            last if $client->send(sprintf("%x\r\n", $size) . pattern($at, $size) . "\r\n", 60) < $size;
        }
        $client->send("0\r\n\r\n");
    }
    return $client->answer(timeout => $opt{limit} // 60);
}

sub download {
    my ($uri, %opt) = @_;
    my $client = client();

    $client->send(http_request(GET => $uri));
    return $client->answer(timeout => 60, discard => 1, %opt);
}

subtest 'sessions, cookies, redirects' => sub {
    for my $name (qw(web app)) {
        my $client = client();
        my $first = $client->request(GET => "/$name/");
        my ($cookie, $rest) = header($first, 'Set-Cookie') =~ /^(JSESSIONID=[^;]+)(.*)$/;
        like $rest, qr{;\s*Path=/$name/(?:;|$)}, "/$name/: the cookie has the path that clients see";
        like $cookie, qr/\.web$/, 'its session id ends in the route';
        is fields($first)->{client}, '127.0.0.1', 'Tomcat knows the client\'s address';
        for my $count (2 .. 4) {
            my $next = $client->request(GET => "/$name/", [Cookie => $cookie]);
            is fields($next)->{count}, $count, "request $count is of the same session";
            is header($next, 'Set-Cookie'), '', 'which needs no other cookie';
        }
        my $base = $httpd->url('') =~ s/127\.0\.0\.1/localhost/r;
        for my $how (qw(absolute relative path)) {
            my $answer = $client->request(GET => "/$name/redirect.jsp?how=$how&to=echo.jsp", [Host => 'localhost:' . $httpd->port]);
            is $answer->{status}, 302, "redirect, $how";
            my $location = header($answer, 'Location');
            # Tomcat knows only its own path: what begins with "/" is for "Header
            # edit", as the example configuration does it.
            if ($how eq 'path') {
                is $location, '/echo.jsp', 'stays what it is';
            } elsif ($how eq 'relative') {
                like $location, qr{^echo\.jsp$|/$name/echo\.jsp$}, 'leads to the page for clients';
            } else {
                like $location, qr{/$name/echo\.jsp$}, 'is mapped by ProxyPassReverse';
                unlike $location, qr{:@{[ $tomcat->port ]}/}, 'and does not show where Tomcat is';
            }
        }
        is header($client->request(GET => "/$name/redirect.jsp?how=external&to=echo.jsp"), 'Location'),
            'https://sso.example.org/echo.jsp', 'a redirect elsewhere stays';
        is $client->request(GET => "/$name/error.jsp?code=503")->{status}, 503, 'a status of the application\'s own';
    }
};

subtest 'uploads of 100 MiB' => sub {
    my $size = 100 * $mib;
    my $sha1 = pattern_sha1($size);

    for my $chunked (0, 1) {
        my $kind = $chunked ? 'chunked' : 'Content-Length';
        my $answer = upload(POST => '/web/echo.jsp', $size, chunked => $chunked);
        is $answer->{status}, 200, "POST, $kind";
        is fields($answer)->{'body-bytes'}, $size, 'all of it arrives';
        is fields($answer)->{'body-sha1'}, $sha1, 'as it was sent';

        $answer = upload(PUT => '/web/files/upload', $size, chunked => $chunked);
        is $answer->{status}, $chunked ? 204 : 201, "PUT, $kind";
        $answer = download('/web/files/upload');
        is $answer->{body_len}, $size, 'it can be downloaded again';
        is $answer->{sha1}, $sha1, 'as it was sent';
    }
    my $answer = upload(PUT => '/web/echo.jsp', $size);
    is $answer->{status}, 405, 'an answer before the upload is over reaches the client';
};

subtest 'downloads of 100 MiB' => sub {
    my $size = 100 * $mib;
    my $sha1 = digits_sha1($size);

    for my $chunked (0, 1) {
        my $answer = download("/app/big.jsp?bytes=$size" . ($chunked ? '&chunked=1' : ''));
        is $answer->{framing}, $chunked ? 'chunked' : 'length', $chunked ? 'chunked' : 'Content-Length';
        ok $answer->{complete}, 'it comes to its end';
        is "$answer->{body_len} $answer->{sha1}", "$size $sha1", 'as it was sent';
    }
};

# Each event as it comes: [number, text, when]
sub events {
    my ($uri, $count) = @_;
    my $client = client();
    my (@events, $head);

    $client->send(http_request(GET => $uri));
    for (1 .. $count) {
        my $event = $client->until(sub {
            my ($in) = @_;
            $head = $1 if !$head && $$in =~ s/^(HTTP.*?\r\n\r\n)//s;
            return $$in =~ s/^.*?id: (\d+)\ndata: ([^\n]*)\n\n//s ? [$1, $2, Time::HiRes::time()] : undef;
        }, 20) // last;
        push @events, $event;
    }
    $client->close;
    return @events;
}

subtest 'events, one by one' => sub {
    # The page is compiled before the time counts.
    download("/web/$_.jsp?n=1&ms=1") for qw(events async);
    my (@events, @gaps);
    ok((in_calm {
        @events = events('/web/events.jsp?n=20&ms=400', 4);
        @gaps = map { $_->[2] - $events[0][2] } @events;
        @events == 4 && !grep { $gaps[$_] < 0.4 * $_ - 0.3 || $gaps[$_] > 0.4 * $_ + 1 } 1 .. 3;
    }), 'events arrive while the answer goes on, and none is kept back') or diag "after @gaps seconds";
    ok((in_calm {
        @events = events('/web/async.jsp?n=20&ms=300', 4);
        @gaps = map { $_->[1] =~ /sent by sender at (\d+) ms$/ ? $_->[2] - $1 / 1000 : 'unknown' } @events;
        @events == 4 && !grep { $_ eq 'unknown' || $_ >= 1 } @gaps;
    }), 'the same from an asynchronous servlet') or diag "arrived @gaps seconds after they were sent";
    like $_->[1], qr/begun by (?!sender,)\S+, sent by sender /, "event $_->[0] is sent by another thread" for @events;
    my $answer = download('/web/async.jsp?n=3&ms=10', discard => 0);
    ok $answer->{complete}, 'and comes to its end';
    is scalar(() = $answer->{body} =~ /^data: /mg), 3, 'with all events';
};

# The bodies of six answers over that balancer, each kind once.
sub mixed {
    my @answers = map { ask($httpd, GET => '/mixed/error.jsp?code=200') } 1 .. 6;
    my %seen = map { ($_->{status} . ' ' . ($_->{body} =~ /^over AJP/ ? 'ajp' : 'http') => 1) } @answers;

    return join ', ', sort keys %seen;
}

subtest 'one member behind HTTP, one behind AJP' => sub {
    is mixed(), '200 ajp, 200 http', 'they take turns';
    $ajp->stop;
    $httpd->log->expect(qr{USHER2012: ajp://[^ ]+: it could not be connected to});
    is mixed(), '200 http', 'AJP is gone: all by HTTP';
    $ajp->start;
    ok((wait_until { mixed() eq '200 ajp, 200 http' } 10), 'it is back: they take turns');
};

subtest 'killed in the middle' => sub {
    my $size = 100 * $mib;
    my %uri = (length => "/web/big.jsp?bytes=$size", chunked => "/app/big.jsp?bytes=$size&chunked=1");
    my %client = map { $_ => client() } qw(length chunked old post events);

    $httpd->log->expect(qr/USHER2015/, qr/USHER2016/)->tolerate(qr/USHER201[27]/);
    $client{$_}->send(http_request(GET => $uri{$_}, ['X-Id' => "killed-$_"])) for qw(length chunked);
    $client{old}->send("GET $uri{chunked} HTTP/1.0\r\nX-Id: killed-old\r\n\r\n");
    $client{events}->send(http_request(GET => '/web/async.jsp?n=1000&ms=50', ['X-Id' => 'killed-events']));
    $client{post}->send(http_request(POST => '/web/reached.jsp', ['X-Id' => 'killed-post'], 'body'));
    # Each has a part of its answer; and the POST is there.
    for my $name (qw(length chunked old events)) {
        ok $client{$name}->until(sub { length ${ $_[0] } > 1000 || undef }, 20), "$name: it has begun";
    }
    ok((wait_until { -e $tomcat->{root} . '/base/webapps/ROOT/files/reached' } 20), 'post: Tomcat has it');
    $tomcat->kill;
    my %answer = map { $_ => $client{$_}->answer(timeout => 20, discard => 1) } sort keys %client;
    for my $name (qw(length chunked old events)) {
        is $answer{$name}{status}, 200, "$name: begun";
        ok !$answer{$name}{complete}, "the client sees that it is cut ($answer{$name}{end})";
        cmp_ok $answer{$name}{body_len}, '<', $size, "after $answer{$name}{body_len} bytes";
        is logged($httpd, "killed-$name")->{state}, 'SD', 'and the log tells who cut it';
    }
    is $answer{old}{end}, 'reset', 'HTTP/1.0: by a reset';
    is $answer{post}{status}, 502, 'a POST without an answer yet: 502';
    cmp_ok scalar(@{[ split /,/, logged($httpd, 'killed-post')->{attempts} // '' ]}), '==', 1, 'sent once';

    my $began = Time::HiRes::time();
    is ask($httpd, GET => '/web/')->{status}, 503, 'no Tomcat: 503';
    is ask($httpd, GET => '/app/')->{status}, 503, 'the same for the balancer';
    soon($began, 1, 'at once');
    is mixed(), '200 ajp', 'by AJP where a balancer has both';

    $tomcat->launch;
    my %first;
    wait_until {
        for my $name (qw(web app)) {
            $first{$name} //= Time::HiRes::time() if ask($httpd, GET => "/$name/error.jsp?code=200")->{status} == 200;
        }
        return $first{web} && $first{app};
    } 60;
    ok $first{$_}, "/$_/ is served again, without a restart of httpd" for qw(web app);
    is ask($httpd, GET => "/$_/")->{status}, 200, 'and stays so' for (qw(web app)) x 3;
    ok((wait_until { mixed() eq '200 ajp, 200 http' } 10), 'and HTTP takes turns with AJP again');
};

# Minutes of it.
subtest 'more than 4 GiB' => sub {
    my $size = 4 * 1024 * $mib + 100 * $mib + 17;
    my $sha1 = pattern_sha1($size);

    $large->on('/large', [http_answer(200, [], undef, length => $size), fill($size)]);
    $large->on('/chunks', [http_answer(200, ['Transfer-Encoding' => 'chunked'], undef),
                           fill($size, as => 'chunked'), "0\r\n\r\n"]);
    for my $uri (qw(/large /chunks)) {
        my $answer = download("/large$uri", timeout => 600);
        ok $answer->{complete}, "download, $uri: to its end";
        is "$answer->{body_len} $answer->{sha1}", "$size $sha1", 'as it was sent';
    }
    $large->on('PUT /upload', echo);
    for my $chunked (0, 1) {
        my $answer = upload(PUT => '/large/upload', $size, chunked => $chunked, limit => 600);
        is $answer->{body}, "PUT /upload $size $sha1\n", 'upload, ' . ($chunked ? 'chunked' : 'Content-Length');
    }
} if $ENV{USHER_LONG};

$httpd->finish('the log has only what was announced');
done_testing;
