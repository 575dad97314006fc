# Real Tomcats that know nothing of each other, and have no jvmRoute: by UsherStick each session
# stays with its Tomcat, over HTTP and AJP, and over restarts of httpd. It is HAProxy's
#
#     stick-table type string len 64 size 100k expire 30m
#     stick store-response res.cook(JSESSIONID)
#     stick on req.cook(JSESSIONID)
use strict;
use warnings FATAL => 'all';

use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use List::Util qw(shuffle);
use Test::More;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::CoreTest ();
use Usher::Env ();
use Usher::Tomcat ();
use Usher::Wait;

my $missing = Usher::Tomcat->missing;
plan skip_all => $missing if $missing;
plan skip_all => 'mod_usher_backend is not there' if !grep { $_ eq 'standin' } modes();

# The application of the other tests, and a page that counts a session's requests.
sub webapp {
    my $from = Usher::Env::srcdir() . '/build/webapp';
    my $to = Usher::Env::builddir() . "/t/work/webapp-$$";

    remove_tree($to);
    for my $dir ('', '/WEB-INF') {
        make_path("$to$dir");
        -f && copy($_, "$to$dir/") for glob "$from$dir/*";
    }
    open my $fh, '>', "$to/counter.jsp" or die "$to: $!";
    print $fh <<'EOT';
<%@ page contentType="text/plain" trimDirectiveWhitespaces="true" %>
<%
    Integer seen = (Integer) session.getAttribute("seen");
    int count = seen == null ? 1 : seen + 1;

    session.setAttribute("seen", count);
    if (request.getParameter("renew") != null) {
        request.changeSessionId();
    }
    out.print(count + " of " + request.getServletContext().getAttribute("jakarta.servlet.context.tempdir"));
    if (request.getParameter("end") != null) {
        session.invalidate();
    }
%>
EOT
    close $fh;
    return $to;
}

my $webapp = webapp();
my @tomcats = map { Usher::Tomcat->start(proto => $_, webapp => $webapp) } qw(http ajp);
my $secret = $tomcats[1]->secret;

sub conf {
    my ($stick) = @_;

    return <<"EOT";
<Proxy balancer://app>
    BalancerMember @{[ $tomcats[0]->url ]}
    BalancerMember @{[ $tomcats[1]->url ]} secret=$secret
    ProxySet lbmethod=usher
    $stick
</Proxy>
ProxyPass /t !
ProxyPass / balancer://app/
EOT
}

my $httpd = balancer_httpd('standin', conf('UsherStick cookie:JSESSIONID expire=30m'));
ok $httpd->start, 'starts' or diag $httpd->console;

# A visitor: keeps the cookie that he gets, and notes what the page says.
sub visit {
    my ($visitor, $query) = @_;
    my $answer = Usher::Client->get($httpd->port, '/counter.jsp' . ($query // ''),
        $visitor->{id} ? [Cookie => "other=1; JSESSIONID=$visitor->{id}"] : []);

    $visitor->{id} = $1 if ($answer->{head} // '') =~ /^Set-Cookie: JSESSIONID=(\w+)/mi;
    my ($count, $tomcat) = ($answer->{body} // '') =~ /^(\d+) of (\S+)/ or return "$answer->{status}: $answer->{body}";
    $visitor->{tomcat} //= $tomcat;
    return $count if $tomcat eq $visitor->{tomcat};
    return "$count at another Tomcat";
}

my @visitors = map { {} } 1 .. 20;
my %seen;

for my $visitor (@visitors) {
    is visit($visitor), 1, 'a new session' if !$visitor->{id};
    $seen{ $visitor->{tomcat} }++;
}
is scalar(keys %seen), 2, 'both Tomcats have some';

# Nobody's count has a gap or begins anew. They come in any order: in the same one each time,
# taking turns would bring them back to their Tomcats.
sub round {
    my ($count, $what) = @_;

    is join(' ', map { visit($_) } shuffle @visitors), join(' ', ($count) x @visitors), $what;
    return;
}

round(2, 'all go on where they were');
round(3, 'and on');
my $generation = Usher::CoreTest::ask($httpd, 'pid')->{generation};
for my $n (4 .. 8) {
    ok $httpd->graceful, 'a graceful restart';
    round($n, 'loses nobody');
}
wait_until { Usher::CoreTest::ask($httpd, 'pid')->{generation} >= $generation + 5 };
round(9, 'nor in the children of the last one');
is join(' ', map { visit($_, '?renew=1') } shuffle @visitors), join(' ', (10) x @visitors), 'sessions that get another id';
round(11, 'go on');

# Without the table this test would see it.
my $before = Usher::CoreTest::ask($httpd, 'pid')->{generation};
$httpd->conf(balancer_conf(conf('')));
ok $httpd->graceful, 'without UsherStick';
wait_until { Usher::CoreTest::ask($httpd, 'pid')->{generation} > $before };
isnt join(' ', map { visit({%$_}) } shuffle @visitors), join(' ', (12) x @visitors), 'sessions are lost';

$httpd->finish('nothing in the log');
remove_tree($webapp);
done_testing;
