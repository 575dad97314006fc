# The stick table: a client stays with the member that an answer has taught, by cookie, header or
# expression; over children, restarts and other sizes; until it expires, is cleared, or the
# member cannot serve.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::CoreTest ();
use Usher::Wait;

plan skip_all => 'mod_usher_backend is not there' if !grep { $_ eq 'standin' } modes();

my %member = map { $_->[0] => $_->[1] } map { [$_, backends($_)] } qw(a b c);
my %url = map { $_ => $member{$_}->url } keys %member;
my $many = 40; # so often nobody comes to the same of three members by chance

# Each answers /login with fields that name its session: an id, and the member's name
sub session {
    my ($path, $status, @fields) = @_;

    for my $name (keys %member) {
        $member{$name}->on($path, http_answer($status, [map { s/NAME/$name/r } @fields], $name));
    }
    return;
}

sub cluster {
    my ($name, $sticks, @more) = @_;
    my $path = $name eq 'app' ? '/' : "/$name/";

    return "<Proxy balancer://$name>\nProxySet lbmethod=usher\n"
        . join('', map { "BalancerMember $url{$_} route=$_\n" } @more ? @more : sort keys %url)
        . join('', map { "UsherStick $_\n" } @$sticks) . "</Proxy>\nProxyPass $path balancer://$name/\n";
}

sub httpd_with {
    my ($text, %opt) = @_;
    my $httpd = balancer_httpd('standin', "MaxKeepAliveRequests 0\nUsherBackendRest rest=1s slowstart=0\n$text", %opt);

    ok $httpd->start, 'starts' or diag $httpd->console;
    return $httpd;
}

# "a:40" of requests that stay, more of those that do not
sub stays { return counts($_[0], $_[3] // $many, $_[1], $_[2]) }
sub cookie { return [Cookie => "SID=$_[0]"] }

session('/login', 200, 'Set-Cookie' => 'X=1', 'Set-Cookie' => 'SID=id-NAME; Path=/; HttpOnly', 'Set-Cookie' => 'Y=2');
session('/login-long', 200, 'Set-Cookie' => 'SID=' . 'l' x 1025);
session('/login-longest', 200, 'Set-Cookie' => 'SID=' . 'm' x 1024);
session('/login-other', 200, 'Set-Cookie' => 'OTHER=other-NAME');
session('/login-error', 500, 'Set-Cookie' => 'SID=error-NAME');
session('/logout', 200, 'Set-Cookie' => 'SID=; Max-Age=0; Expires=Thu, 01-Jan-1970 00:00:10 GMT; Path=/');
session('/logout-named', 200, 'Set-Cookie' => 'SID=named-NAME; Expires=Thu, 01 Jan 1970 00:00:00 GMT');
session('/login-named', 200, 'Set-Cookie' => 'SID=named-NAME');
session('/new-id', 200, 'Set-Cookie' => 'SID=x; Max-Age=0', 'Set-Cookie' => 'SID=new-NAME');
session('/learn', 200, 'X-Learn' => 'kept');
session('/header', 200, 'X-Session' => 'header-NAME');

subtest 'rules' => sub {
    my $httpd = httpd_with(join '',
        cluster(cookie => ['cookie:SID']),
        cluster(twin => ['cookie:SID']),
        cluster(header => ['header:X-Client']),
        cluster(expr => ['"expr:%{req:X-A}-%{req:X-B}" expire=1h']),
        cluster(answer => ['header:X-Session learn=header:X-Session']),
        cluster(other => ['expr:%{req:X-Sid} learn=cookie:SID']),
        cluster(request => ['cookie:SID learn=request']),
        cluster(off => ['cookie:SID learn=off']),
        cluster(two => ['header:X-Client', 'cookie:SID']),
        cluster(error => ['cookie:SID']) =~ s/lbmethod=usher/$& failonstatus=503/r,
        cluster(none => []));

    my $who = who($httpd, '/cookie/login');
    is stays($httpd, '/cookie/', cookie("id-$who")), "$who:$many", 'a cookie that an answer has set';
    is stays($httpd, '/cookie/', [Cookie => "A=1; SID=; SID=id-$who; B=2"]), "$who:$many", 'among others';
    is stays($httpd, '/cookie/', [Cookie => qq(SID="id-$who")]), "$who:$many", 'in quotes';
    isnt stays($httpd, '/cookie/', cookie("id-$who-")), "$who:$many", 'another value is another client';
    isnt stays($httpd, '/cookie/', cookie('id')), "$who:$many", 'a part of it, too';
    isnt stays($httpd, '/cookie/', []), "$who:$many", 'without it the method decides';
    isnt stays($httpd, '/twin/', cookie("id-$who")), "$who:$many", 'another cluster has learned nothing';
    isnt stays($httpd, '/none/', cookie("id-$who")), "$who:$many", 'nor has one without rules';
    $who = who($httpd, '/cookie/login-other');
    isnt stays($httpd, '/cookie/', cookie("other-$who")), "$who:$many", 'another cookie is not learned';
    $who = who($httpd, '/cookie/login-longest');
    is stays($httpd, '/cookie/', cookie('m' x 1024)), "$who:$many", 'a long value';
    $who = who($httpd, '/cookie/login-long');
    isnt stays($httpd, '/cookie/', cookie('l' x 1025)), "$who:$many", 'a longer one is no key';

    $who = who($httpd, '/header/', ['X-Client' => 'me']);
    is stays($httpd, '/header/', ['x-client' => 'me']), "$who:$many", 'a header, learned from the request';
    isnt stays($httpd, '/header/', [map { ('X-Client' => $_) } 'me', 'you']), "$who:$many", 'another value';

    $who = who($httpd, '/expr/', ['X-A' => 'one', 'X-B' => 'two']);
    is stays($httpd, '/expr/', ['X-B' => 'two', 'X-A' => 'one']), "$who:$many", 'an expression';
    isnt join('', map { who($httpd, '/expr/', ['X-A' => 'one', 'X-B' => $_]) } 1 .. $many), $who x $many, 'another value';

    $who = who($httpd, '/answer/header', ['X-Session' => 'of-before']);
    is stays($httpd, '/answer/', ['X-Session' => "header-$who"]), "$who:$many", "an answer's header";
    isnt stays($httpd, '/answer/', ['X-Session' => 'of-before']), "$who:$many", 'and not that of its request';

    $who = who($httpd, '/other/login');
    is stays($httpd, '/other/', ['X-Sid' => "id-$who"]), "$who:$many", 'learned of a cookie, followed by an expression';

    $who = who($httpd, '/request/', cookie('mine'));
    is stays($httpd, '/request/', cookie('mine')), "$who:$many", "a request's cookie";

    $who = who($httpd, '/off/login', cookie('off'));
    isnt stays($httpd, '/off/', cookie("id-$who")), "$who:$many", 'learn=off';

    my $first = who($httpd, '/two/', ['X-Client' => 'first']);
    my ($login) = grep { $_ ne $first } map { who($httpd, '/two/login') } 1 .. $many;
    is stays($httpd, '/two/', ['X-Client' => 'first', @{ cookie("id-$login") }]), "$first:$many", 'the first rule that finds something counts';
    is who($httpd, '/two/', ['X-Client' => 'nobody', @{ cookie("id-$login") }]), $login, 'then the second';

    my $status = Usher::Client->get($httpd->port, '/error/login-error');
    is $status->{status}, 500, 'an answer that is an error';
    is stays($httpd, '/error/', cookie("error-$status->{body}")), "$status->{body}:$many", 'teaches as well';
    $httpd->finish('nothing in the log');
};

subtest 'cleared' => sub {
    my $httpd = httpd_with(cluster(app => ['cookie:SID', 'header:X-None']));
    my $who = who($httpd, '/login');
    my $cookie = cookie("id-$who");

    is stays($httpd, '/', $cookie), "$who:$many", 'a session';
    is who($httpd, '/logout', $cookie), $who, 'ends';
    isnt stays($httpd, '/', $cookie), "$who:$many", 'its cookie means nothing any more';
    $who = who($httpd, '/login-named');
    is stays($httpd, '/', cookie("named-$who")), "$who:$many", 'another one';
    wait_until { who($httpd, '/logout-named') eq $who };
    isnt stays($httpd, '/', cookie("named-$who")), "$who:$many", 'cleared by its value, in a request without it';
    $who = who($httpd, '/login');
    is who($httpd, '/new-id', cookie("id-$who")), $who, 'a session that gets another id';
    is stays($httpd, '/', cookie("new-$who")), "$who:$many", 'goes on';
    isnt stays($httpd, '/', cookie("id-$who")), "$who:$many", 'under that one only';
    $httpd->finish('nothing in the log');
};

subtest 'expiry' => sub {
    my $expire = 3 * patience;
    my $httpd = httpd_with(cluster(app => ["header:X-Client expire=${expire}s", "header:X-Key learn=header:X-Learn expire=${expire}s"]));
    my $client = Usher::Client->new(port => $httpd->port);
    my $ask = sub { $client->request(GET => '/', ['X-Client' => "client-$_[0]"])->{body} };
    my $who = who($httpd, '/learn');
    my $use = sub { $client->request(GET => '/', ['X-Key' => 'kept'])->{body} };
    my ($next, $moved) = (0, 0);
    # That one is used all the time.
    my @who = map { $moved += $use->() ne $who if $_ % 20 == 0; $ask->($_) } 0 .. 400 * patience;

    is $use->(), $who, 'an entry';
    # each of the others is asked for once, as asking makes it live longer
    my $gone = wait_until {
        $moved += $use->() ne $who;
        $next++;
        $next > $#who || $ask->($next) ne $who[$next];
    } 15;
    ok $gone && $next <= $#who, 'entries that are not used expire';
    is $moved, 0, 'one that is used, and not learned again, does not';
    is join('', map { $use->() } 1 .. $many), $who x $many, 'and lives on';
    $httpd->finish('nothing in the log');
};

subtest 'a member that fails, and comes back' => sub {
    my $httpd = httpd_with(cluster(app => ['cookie:SID']));
    my $who = who($httpd, '/login');
    my $cookie = cookie("id-$who");

    is stays($httpd, '/', $cookie), "$who:$many", 'a session';
    $httpd->log->tolerate(qr/USHER/);
    $member{$who}->stop;
    my $other = who($httpd, '/', $cookie);
    like $other, qr/^[abc]$/, 'another member serves it';
    isnt $other, $who, 'which is not the one that failed';
    is stays($httpd, '/', $cookie), "$other:$many", 'and keeps it';
    $member{$who}->start;
    ok((wait_until { who($httpd) eq $who }), 'the member is back');
    is stays($httpd, '/', $cookie), "$other:$many", 'the session stays where it is now';
    $httpd->finish('log');
};

subtest 'a member that rests, with nofailover' => sub {
    my $httpd = httpd_with(cluster(app => ['cookie:SID']) =~ s/lbmethod=usher/$& nofailover=On/r);
    my $who = who($httpd, '/login');

    $httpd->log->tolerate(qr/USHER/);
    $member{$who}->stop;
    is stays($httpd, '/', cookie("id-$who"), 5), '503:5', 'no other one may serve';
    $member{$who}->start;
    ok((wait_until { who($httpd, '/', cookie("id-$who")) eq $who }), 'until it is back');
    $httpd->finish('log');
};

subtest 'restarts' => sub {
    my $conf = cluster(app => ['cookie:SID']);
    my $httpd = httpd_with("ProxyPass /t !\n$conf");
    my $who = who($httpd, '/login');
    my $cookie = cookie("id-$who");
    my $generation = sub { Usher::CoreTest::ask($httpd, 'pid')->{generation} // -1 };
    my $again = sub {
        my ($how, $text) = @_;
        my $before = $generation->();
        $httpd->conf(balancer_conf("UsherBackendRest rest=1s slowstart=0\nProxyPass /t !\n$text"));
        $httpd->$how;
        return wait_until { $generation->() > $before } 20;
    };

    ok $again->(graceful => $conf), 'a graceful restart';
    is stays($httpd, '/', $cookie), "$who:$many", 'keeps entries';
    ok $again->(restart => $conf), 'an ordinary restart';
    is stays($httpd, '/', $cookie), "$who:$many", 'too';
    ok $again->(graceful => "UsherMemory sticks 64M\n$conf"), 'another size';
    is stays($httpd, '/', $cookie), "$who:$many", 'keeps them';
    ok $httpd->log->wait_for(qr/USHER1010: memory "sticks" was 6M of layout 1 and is 64M of layout 1: 1 records carried over, 0 dropped/), 'the log says how many';
    ok $again->(graceful => "UsherMemory sticks 64K\n$conf"), 'a small one';
    is stays($httpd, '/', $cookie), "$who:$many", 'too';
    ok $again->(graceful => "UsherMemory sticks 64K\n" . cluster(app => ['cookie:SID expire=1h', 'header:X'], reverse sort keys %url)), 'another order of members and rules';
    is stays($httpd, '/', $cookie), "$who:$many", 'does not matter';
    ok $again->(graceful => "UsherMemory sticks 64K\n" . cluster(app => ['cookie:SID'], grep { $_ ne $who } sort keys %url)), 'without that member';
    my $other = who($httpd, '/', $cookie);
    like $other, qr/^[abc]$/, 'another one serves';
    is stays($httpd, '/', $cookie), "$other:$many", 'and keeps the session';
    $httpd->finish('nothing else in the log');
};

subtest 'more entries than there is room for' => sub {
    my $httpd = httpd_with("UsherMemory sticks 64K\n" . cluster(app => ['header:X-Client']));
    my $client = Usher::Client->new(port => $httpd->port);
    my $found = 0;
    my $ask = sub { $client->request(GET => '/', ['X-Client' => $_[0]])->{body} };
    my @who = map { $ask->("client-$_") } 1 .. 2000;

    for (my $i = $#who; $i > $#who - 200; --$i) {
        $found += $ask->('client-' . ($i + 1)) eq $who[$i];
    }
    is $found, 200, 'the newest stay';
    $httpd->finish('nothing in the log');
};

# configuration of the cluster, or of all => what configtest says; undef: nothing
my @wrong = (
    ['UsherStick', qr/UsherStick takes cookie:NAME, header:NAME or "expr:EXPRESSION"/],
    ['UsherStick SID', qr/UsherStick "SID": takes cookie:NAME, header:NAME or/],
    ['UsherStick cookie:', qr/UsherStick "cookie:": takes/],
    ['UsherStick "cookie:a b"', qr/UsherStick "cookie:a b": takes/],
    ['UsherStick header:X:Y', qr/UsherStick "header:X:Y": takes/],
    ['UsherStick expr:', qr/UsherStick "expr:": takes/],
    ['UsherStick "expr:%{nofunction:x}"', qr/UsherStick "expr:%\{nofunction:x\}": httpd cannot read the expression: /],
    ['UsherStick cookie:SID learn=', qr/learn takes cookie:NAME, header:NAME, request or off/],
    ['UsherStick cookie:SID learn=on', qr/UsherStick "learn=on": learn takes cookie:NAME, header:NAME, request or off/],
    ['UsherStick cookie:SID learn=expr:x', qr/UsherStick "learn=expr:x": learn takes/],
    ['UsherStick cookie:SID expire=0', qr/UsherStick "expire=0": expire takes a time from 1s to 30d/],
    ['UsherStick cookie:SID expire=31d', qr/expire takes a time from 1s to 30d/],
    ['UsherStick cookie:SID size=3', qr/UsherStick "size=3": takes key=value with the keys learn and expire/],
    [join("\n", ('UsherStick cookie:SID') x 9), qr/UsherStick stands there more than 8 times/],
    [join("\n", ('UsherStick cookie:SID') x 8), undef],
    ['UsherStick COOKIE:SID learn=HEADER:x expire=30d', undef],
);
for my $case (@wrong) {
    my ($lines, $says) = @$case;
    my ($code, $out) = balancer_httpd('standin', cluster(app => []) =~ s/(?=<\/Proxy>)/$lines\n/r)->configtest;

    is $code != 0, defined $says, (split /\n/, $lines)[0] . (defined $says ? ': refused' : ': fine') or diag $out;
    like $out, $says, 'and why' if $says;
}
my ($code, $out) = balancer_httpd('standin', "UsherStick cookie:SID\n" . cluster(app => []))->configtest;
isnt $code, 0, 'outside of a section: refused';
like $out, qr/UsherStick belongs into the section <Proxy balancer:\/\/name>/, 'and why';

subtest 'a restart into what configtest refuses' => sub {
    my $httpd = httpd_with("ProxyPass /t !\n" . cluster(app => ['cookie:SID']));
    my $who = who($httpd, '/login');

    $httpd->log->expect(qr/USHER1001: .* UsherStick "SID": takes cookie:NAME/);
    $httpd->conf(balancer_conf("ProxyPass /t !\n" . cluster(app => ['cookie:SID', 'SID'])));
    ok $httpd->graceful, 'httpd goes on';
    is stays($httpd, '/', cookie("id-$who")), "$who:$many", 'with the lines that are right';
    $httpd->finish('nothing else in the log');
};

subtest 'a member that is full' => sub {
    my ($d, $e) = backends(qw(d e));
    my $members = join '', map { 'BalancerMember ' . $_->[0]->url . " route=$_->[1]\n" } [$d, 'd'], [$e, 'e'];
    my $httpd = httpd_with("<Proxy balancer://full>\nProxySet lbmethod=usher\n${members}UsherMemberMax 1\nUsherStick cookie:SID\nUsherStick header:X-Client\n</Proxy>\n"
        . "ProxyPass / balancer://full/\n");
    $d->on('/login', http_answer(200, ['Set-Cookie' => 'SID=of-d'], 'd'));
    $e->on('/login', http_answer(200, [], 'e'));
    ok((wait_until { who($httpd, '/login') eq 'd' } 5), 'a session');
    my $client = 0;
    ok((wait_until { who($httpd, '/', ['X-Client' => ++$client]) eq 'd' } 5), 'and a client');
    $d->on('/long', [hold('long'), http_answer(200, [], 'd')]);
    my $long = Usher::Client->new(port => $httpd->port);
    $long->send("GET /long HTTP/1.1\r\nHost: localhost\r\nCookie: SID=of-d\r\n\r\n");
    ok((wait_until { $d->holding('long') } 10), 'one request fills it');
    is who($httpd, '/', cookie('of-d')) . who($httpd, '/', ['X-Client' => $client]), 'ee', 'the next ones go elsewhere';
    $d->release('long');
    is $long->answer->{status}, 200, 'it is done';
    is row($httpd, 12, '/', cookie('of-d')) . row($httpd, 12, '/', ['X-Client' => $client]), 'd' x 24, 'and both still belong there';
    $httpd->finish('nothing alarming in the log');
};

done_testing;
