# Our own sticky cookie and the application's route, each served by the stock handlers and by
# mod_usher_backend: which member serves, what the client gets, what the backend sees.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BackendTest qw(one_child);
use Usher::BalancerTest;
use Usher::Certs ();
use Usher::Client ();
use Usher::CoreTest ();
use Usher::H2 ();
use Usher::Httpd ();
use Usher::Sticky;
use Usher::Wait;

my ($a, $b, $c) = backends(qw(a b c));
my ($A, $B, $C) = map { $_->url } $a, $b, $c;
my @three = ("$A route=r1", "$B route=r2", "$C route=r3");
my %route = (a => 'r1', b => 'r2', c => 'r3');
my $file = key_file(7);
my $host = 'localhost'; # the ServerName of Usher::Httpd
my $token = qr/[A-Za-z0-9_-]{60,200}/;

for my $backend ($a, $b, $c) {
    my $name = { $A => 'a', $B => 'b', $C => 'c' }->{ $backend->url };
    my %answers = (
        304 => http_answer(304, [ETag => '"x"']), 302 => http_answer(302, [Location => '/else'], $name),
        204 => http_answer(204, []), 404 => http_answer(404, ['X-Of' => 'member'], 'not here'), 500 => http_answer(500, [], 'oops'),
        clear => http_answer(200, ['Set-Cookie' => 'A=1', 'Set-Cookie' => 'USHER=; Max-Age=0; Path=/', 'Set-Cookie' => 'USHERX=2'], $name),
        public => http_answer(200, ['Cache-Control' => 'public, max-age=60'], $name),
        private => http_answer(200, ['Cache-Control' => 'max-age=60, private'], $name),
        large => http_answer(200, [], $name x 1_000_000),
    );
    $backend->on(qr{/$_(?:\?|\z)}, $answers{$_}) for sort keys %answers;
    $backend->on(qr{/cut(?:\?|\z)}, [at($answers{large}, 5000, cut)]) if $name;
}

# One cluster: its members, the lines of its section, lines about its path.
sub cluster {
    my ($name, $members, $lines, $more) = @_;

    return "<Proxy balancer://$name>\n" . join('', map { "BalancerMember $_\n" } @$members)
        . "ProxySet lbmethod=usher\nUsherStickyKeys $file\n$lines\n</Proxy>\n<Location /$name>\nProxyPass balancer://$name\n" . ($more // '') . "\n</Location>\n";
}

my $cookie = 'UsherStickyCookie USHER';
my %clusters = (
    plain => [\@three, $cookie],
    nameless => [[$A, $B, $C], $cookie],
    all => [\@three, 'UsherStickyCookie "S!x" path=/all domain=.example.com secure=on httponly=off samesite=None attribute=Partitioned'],
    bare => [\@three, "$cookie httponly=off samesite=off nocache=off indirect=off"],
    strict => [\@three, "$cookie samesite=Strict"],
    none => [\@three, "$cookie samesite=None"],
    post => [\@three, "$cookie postonly=on"],
    keep => [\@three, "$cookie preserve=on"],
    timed => [\@three, "$cookie idle=20m life=2h"],
    scoped => [\@three, "$cookie\nUsherStickyScope here"],
    domain => [\@three, "$cookie domain=.Example.com"],
    drain => [["$A route=r1 status=+N", @three[1, 2]], $cookie],
    off => [["$A route=r1 status=+D", @three[1, 2]], $cookie],
    hop => [["$A route=r1 status=+D redirect=r3", @three[1, 2]], $cookie],
    twin => [["$A route=r1 status=+D", $three[1], "$C route=r1 status=+H"], $cookie],
    held => [["$A route=r1 status=+D", @three[1, 2]], "$cookie\nProxySet nofailover=On"],
    dead => [['http://127.0.0.1:1 route=r1 retry=0'], $cookie, "ErrorDocument 404 /errors/404"],
    pages => [\@three, $cookie, "ProxyErrorOverride On 404 500\nErrorDocument 404 /pages/page"],
    unset => [\@three, $cookie, 'Header unset Set-Cookie'],
    edit => [\@three, $cookie, 'Header edit Set-Cookie Lax Strict'],
    away => [\@three, $cookie, "RedirectMatch 302 /away/there /x"],
    follow => [\@three, 'UsherStickyFollow JSESSIONID'],
    nourl => [\@three, 'UsherStickyFollow JSESSIONID url=off'],
    named => [\@three, 'UsherStickyFollow SID url=sid separator=!'],
    both => [\@three, "$cookie\nUsherStickyFollow JSESSIONID"],
    count => [\@three, "$cookie idle=30m"],
    merged => [\@three, $cookie],
    gone => [\@three, $cookie],
);

sub conf {
    return join('', map { cluster($_, @{ $clusters{$_} }) } sort keys %clusters) . <<"EOT";
<Proxy balancer://merged>
    UsherStickyCookie MERGED
</Proxy>
<Proxy balancer://gone>
    UsherStickyCookie off
</Proxy>
Header always set X-State "%{USHER_COOKIE}e"
Header always set X-Worker "%{BALANCER_WORKER_NAME}e"
LogFormat "%U %{USHER_COOKIE}e %{Set-Cookie}o" cookies
CustomLog logs/cookies cookies
EOT
}

sub start {
    my ($mode, $conf, %opt) = @_;
    my $httpd = balancer_httpd($mode, $conf, modules => [qw(proxy proxy_balancer slotmem_shm headers alias setenvif), $mode eq 'stock' ? 'proxy_http' : ()], %opt);

    ok $httpd->start, "$mode: starts" or diag $httpd->console, join "\n", $httpd->log->lines;
    return $httpd;
}

# A token of a cluster, for a route; options as of seal()
sub token_for { my ($cluster, $route, %opt) = @_; return seal($opt{file} // $file, scope_of($cluster, $opt{scope} // $host), member_of($cluster, route => $route), %opt) }
sub seen { my ($name) = @_; return unseal($file, scope_of($name, $_[2] // $host), $_[1]) }

for my $mode (modes()) {
    my $httpd = start($mode, conf());

    subtest "$mode: a session stays" => sub {
        my $first = visit($httpd, '/plain/');
        like $first->{who}, qr/^[abc]$/, 'a first visit';
        like $first->{set}, qr/^$token; Path=\/; HttpOnly; SameSite=Lax$/, 'its cookie';
        is $first->{state}, 'new', 'which is new';
        like $first->{head}, qr/^Cache-Control: private\r$/m, 'no cache keeps that answer';
        my $open = seen(plain => $first->{token});
        is $open->{member}, member_of(plain => route => $route{ $first->{who} }), 'it names the member';
        cmp_ok abs($open->{first} - time), '<', 30, 'when it began';
        is $open->{last}, $open->{first}, 'and when it was used last';
        my @next = map { visit($httpd, '/plain/', cookie => "USHER=$first->{token}") } 1 .. 12;
        is join('', map { $_->{who} } @next), $first->{who} x 12, 'all that follow go there';
        is join(' ', map { "$_->{sets}$_->{state}" } @next), join(' ', ('0valid') x 12), 'and need no other cookie';
        unlike $next[0]{head}, qr/^Cache-Control/m, 'and may be kept';
        my @others = grep { $_->{who} eq $first->{who} } map { visit($httpd, '/plain/') } 1 .. 20;
        is scalar(grep { $_->{token} eq $first->{token} || substr($_->{token}, 10, 40) eq substr($first->{token}, 10, 40) } @others), 0, 'cookies for one member look unrelated';
        isnt seen(plain => $others[0]{token})->{session}, $open->{session}, 'each is another session';
        my $nameless = visit($httpd, '/nameless/');
        is row($httpd, 6, '/nameless/', [Cookie => "USHER=$nameless->{token}"]), $nameless->{who} x 6, 'members need no route';
    };

    subtest "$mode: attributes" => sub {
        my $all = visit($httpd, '/all/', name => 'S!x');
        like $all->{set}, qr/^$token; Path=\/all; Domain=\.example\.com; Secure; SameSite=None; Partitioned$/, 'all of them';
        is who($httpd, '/all/', [Cookie => "S!x=$all->{token}"]), $all->{who}, 'the name is compared as it is';
        my $bare = visit($httpd, '/bare/');
        like $bare->{set}, qr/^$token; Path=\/$/, 'none of them';
        unlike $bare->{head}, qr/^Cache-Control/m, 'nocache=off';
        like visit($httpd, '/strict/')->{set}, qr/^$token; Path=\/; HttpOnly; SameSite=Strict$/, 'SameSite=Strict';
        like visit($httpd, '/none/')->{set}, qr/^$token; Path=\/; HttpOnly$/, 'no SameSite=None on a connection without TLS, which browsers would refuse';
        like visit($httpd, '/plain/public')->{head}, qr/^Cache-Control: public, max-age=60, private\r$/m, 'what the application says of caches stays';
        like visit($httpd, '/plain/private')->{head}, qr/^Cache-Control: max-age=60, private\r$/m, 'and is enough where it is';
        is visit($httpd, '/merged/', name => 'MERGED')->{sets}, 1, 'a later section replaces the cookie';
        is visit($httpd, '/gone/')->{sets}, 0, 'or takes it away';
        is visit($httpd, '/unset/')->{sets}, 0, 'mod_headers may take it out';
        like visit($httpd, '/edit/')->{set}, qr/SameSite=Strict$/, 'or change it';
    };

    subtest "$mode: what the backend sees" => sub {
        my $mine = visit($httpd, '/plain/')->{token};
        my $look = sub {
            my ($uri, $field) = @_;
            visit($httpd, "$uri?id=" . ++$main::id, cookie => $field);
            my ($request) = map { $_->deliveries($main::id) } $a, $b, $c;
            return $request->{header}{cookie} // 'none';
        };
        is $look->('/plain/', "USHER=$mine"), 'none', 'nothing, where it is the only cookie';
        is $look->('/plain/', "x=1; USHER=$mine; y=\"2\""), 'x=1; y="2"', 'the others, as they came';
        is $look->('/plain/', "USHERX=1; XUSHER=2; usher=3; USHER = $mine"), 'USHERX=1; XUSHER=2; usher=3', 'those whose name is like it';
        is $look->('/plain/', 'USHER=forged; x=1'), 'x=1', 'not one that is refused either';
        is $look->('/bare/', "USHER=$mine; x=1"), "USHER=$mine; x=1", 'indirect=off: all';
    };

    subtest "$mode: postonly, preserve" => sub {
        is visit($httpd, '/post/')->{sets}, 0, 'GET: none';
        my $post = visit($httpd, '/post/', method => 'POST', body => 'x');
        is $post->{sets}, 1, 'POST: one';
        is row($httpd, 6, '/post/', [Cookie => "USHER=$post->{token}"]), $post->{who} x 6, 'which holds for all';
        my $keep = visit($httpd, '/keep/clear');
        is "$keep->{sets} $keep->{set}", '1 ; Max-Age=0; Path=/', 'preserve: the application clears it';
        like $keep->{head}, qr/^Set-Cookie: A=1\r\n.*^Set-Cookie: USHERX=2\r$/ms, 'with its others';
        is visit($httpd, '/keep/')->{sets}, 1, 'else it is set';
        my $over = visit($httpd, '/plain/clear');
        like "$over->{sets} $over->{set}", qr/^1 $token;/, 'without preserve ours is the only one';
        like $over->{head}, qr/^Set-Cookie: A=1\r\n.*^Set-Cookie: USHERX=2\r$/ms, 'beside those of other names';
    };

    subtest "$mode: cookies that do not count" => sub {
        my $good = token_for(plain => 'r2');
        is who($httpd, '/plain/', [Cookie => "USHER=$good"]), 'b', 'one that another node has made counts';
        my %bad = (
            cut => substr($good, 0, -1), longer => "${good}A", empty => '', garbage => 'x' x length $good,
            'of another cluster' => token_for(bare => 'r2'), 'of another scope' => token_for(plain => 'r2', scope => 'elsewhere'),
            'of another key with that id' => do { my $other = key_file(8); my $text = key_line(8) =~ s/^\S+/00000007/r; open my $fh, '>', $other; print $fh $text; close $fh; token_for(plain => 'r2', file => $other) },
            'of a key that is not there' => token_for(plain => 'r2', file => key_file(9)),
            'six minutes from the future' => token_for(plain => 'r2', age => -360),
        );
        for my $bit (0 .. 6 * length($good) - 1) {
            next if $bit % 37; # the unit test flips them all
            my $flipped = $good;
            substr($flipped, int($bit / 6), 1) = substr($flipped, int($bit / 6), 1) eq 'A' ? 'B' : 'A';
            $bad{"changed at $bit"} = $flipped;
        }
        for my $name (sort keys %bad) {
            my $answer = visit($httpd, '/plain/', cookie => "USHER=$bad{$name}");
            like "$answer->{who} $answer->{state} $answer->{sets}", qr/^[abc] forged 1$/, "$name: refused, and a new one set";
        }
        is visit($httpd, '/scoped/', cookie => 'USHER=' . token_for(scoped => 'r2', scope => 'here'))->{state}, 'valid', 'UsherStickyScope';
        is visit($httpd, '/scoped/', cookie => 'USHER=' . token_for(scoped => 'r2'))->{state}, 'forged', 'instead of the server\'s name';
        is visit($httpd, '/domain/', cookie => 'USHER=' . token_for(domain => 'r2', scope => 'example.com'))->{state}, 'valid', 'the domain is the scope';
        for my $case (['expired', 'r2', 'r2'], ['several', 'x', 'r2'], ['first', 'r2', 'r3']) {
            my ($name, @routes) = @$case;
            my @tokens = map { $_ eq 'x' ? 'x' : token_for(plain => $_) } @routes;
            is who($httpd, '/plain/', [Cookie => join '; ', map { "USHER=$_" } @tokens]), 'b', "$name: the first of several that counts";
        }
        isnt join('', map { who($httpd, '/plain/', [Cookie => join '; ', map { "USHER=$_" } ('x') x 4, $good]) } 1 .. 6), 'b' x 6, 'no more than four are looked at';
    };

    subtest "$mode: time" => sub {
        my $at = sub { my ($cluster, %opt) = @_; my $answer = visit($httpd, "/$cluster/", cookie => 'USHER=' . token_for($cluster => 'r2', %opt)); return ($answer, $answer->{state}) };
        is +($at->('plain', age => -60))[1], 'valid', 'a minute from the future: clocks differ';
        is +($at->('plain', age => 86400 * 3000))[1], 'valid', 'without idle= and life= it is good for ever';
        is +($at->('timed', age => 60))[1], 'valid', 'idle=20m: used a minute ago';
        my ($fresh, $state) = $at->('timed', age => 3600, idle => 310);
        is $state, 'refreshed', 'used five minutes ago: sealed anew';
        my $open = seen(timed => $fresh->{token});
        is $open->{member}, member_of(timed => route => 'r2'), 'for its member';
        is $open->{session}, 1, 'and session';
        cmp_ok abs(time - 3600 - $open->{first}), '<', 30, 'that began when it began';
        cmp_ok abs(time - $open->{last}), '<', 30, 'and was used now';
        is +($at->('timed', age => 3600, idle => 29 * 60))[1], 'refreshed', 'used 29 minutes ago: idle, a quarter of it, and clocks that differ';
        my ($late, $word) = $at->('timed', age => 3600, idle => 31 * 60);
        is "$word $late->{sets}", 'expired 1', 'and 31 minutes: over';
        is +($at->('timed', age => 124 * 60, idle => 0))[1], 'valid', 'life=2h';
        is +($at->('timed', age => 126 * 60, idle => 0))[1], 'expired', 'is over';
    };

    subtest "$mode: a member that cannot serve" => sub {
        my $drain = token_for(drain => 'r1');
        is row($httpd, 6, '/drain/', [Cookie => "USHER=$drain"]), 'a' x 6, 'draining: its sessions stay';
        unlike row($httpd, 8, '/drain/'), qr/a/, 'and there are no new ones';
        my $moved = visit($httpd, '/off/', cookie => 'USHER=' . token_for(off => 'r1', age => 100));
        like "$moved->{who} $moved->{state} $moved->{sets}", qr/^[bc] moved 1$/, 'off: its users go elsewhere';
        is row($httpd, 4, '/off/', [Cookie => "USHER=$moved->{token}"]), $moved->{who} x 4, 'and stay there';
        is seen(off => $moved->{token})->{session}, 1, 'as the same session';
        is visit($httpd, '/hop/', cookie => 'USHER=' . token_for(hop => 'r1'))->{who}, 'c', 'redirect=';
        my $twin = visit($httpd, '/twin/', cookie => 'USHER=' . token_for(twin => 'r1'));
        is "$twin->{who} $twin->{state}", 'c valid', 'a standby with its route';
        my $gone = visit($httpd, '/plain/', cookie => 'USHER=' . token_for(plain => 'r9'));
        is "$gone->{state} $gone->{sets}", 'moved 1', 'a member that is not there any more';
        my $held = visit($httpd, '/held/', cookie => 'USHER=' . token_for(held => 'r1'));
        is "$held->{who} $held->{state} $held->{sets}", '503 down 0', 'nofailover: 503';
        $httpd->log->expect(qr{USHER3030: balancer://held: 503, as \Q$A\E, which this session belongs to})->tolerate(qr/AH01167|AH01170/);
        is visit($httpd, '/held/', cookie => 'USHER=' . token_for(held => 'r9'))->{state}, 'moved', 'but not for a member that is not there';
        like visit($httpd, '/held/')->{who}, qr/^[bc]$/, 'nor without a session';
    };

    subtest "$mode: whose answer it is" => sub {
        for my $case (['/plain/302', 302], ['/plain/304', 304], ['/plain/204', 204], ['/plain/404', 404], ['/plain/500', 500], ['/pages/204', 204]) {
            my $answer = visit($httpd, $case->[0]);
            is "$answer->{status} $answer->{sets} $answer->{state}", "$case->[1] 1 new", "$case->[0]: the member's";
        }
        my $head = visit($httpd, '/plain/', method => 'HEAD');
        is "$head->{status} $head->{sets}", '200 1', 'HEAD';
        my $old = Usher::Client->new(port => $httpd->port);
        $old->send("GET /plain/ HTTP/1.0\r\n\r\n");
        like $old->answer->{head}, qr/^Set-Cookie: USHER=$token;/m, 'HTTP/1.0';
        $httpd->log->tolerate(qr/USHER2\d\d\d|AH0095[79]|AH01114|AH00940|USHER3008/);
        my $dead = visit($httpd, '/dead/');
        is "$dead->{status} $dead->{sets}", '503 0', 'no member answers: httpd\'s own, no cookie';
        is visit($httpd, '/away/there')->{sets}, 0, 'a redirect of another module: none';
        my $own = visit($httpd, '/pages/500');
        is "$own->{status} $own->{sets}", '500 0', 'ProxyErrorOverride: httpd\'s own, none';
        unlike $own->{body}, qr/oops/, 'indeed';
        my @pages = map { visit($httpd, '/pages/404', cookie => 'USHER=' . token_for(pages => 'r2')) } 1 .. 4;
        is join(' ', map { "$_->{body} $_->{sets}" } @pages), 'b 0 b 0 b 0 b 0', 'an error page of a cluster: its session is known, though its cookie is hidden';
    };

    subtest "$mode: the application's route" => sub {
        my @cases = (
            ['a cookie', 'follow', '/', 'JSESSIONID=abc.r2', 'b'],
            ['quoted', 'follow', '/', 'JSESSIONID="abc.r2"', 'b'],
            ['the name as it is', 'follow', '/', 'jsessionid=abc.r2', 'abc'],
            ['the first route that is known', 'follow', '/', 'JSESSIONID=x.r9; JSESSIONID=y; JSESSIONID=z.r3; JSESSIONID=z.r2', 'c'],
            ['the first separator', 'follow', '/', 'JSESSIONID=a.b.r2', 'abc'],
            ['a path parameter', 'follow', '/x;jsessionid=abc.r2', undef, 'b'],
            ['inside the path', 'follow', '/x;a=1;jsessionid=abc.r2/y', undef, 'b'],
            ['a query parameter', 'follow', '/x?a=1&jsessionid=abc.r2&z', undef, 'b'],
            ['a cookie goes before', 'follow', '/x;jsessionid=abc.r2', 'JSESSIONID=abc.r3', 'c'],
            ['a path goes before a query', 'follow', '/x;jsessionid=abc.r2?jsessionid=abc.r3', undef, 'b'],
            ['but not a cookie without a known route', 'follow', '/x;jsessionid=abc.r2', 'JSESSIONID=abc.r9', 'b'],
            ['a part of the path is none', 'follow', '/jsessionid=abc.r2', undef, 'abc'],
            ['url=off', 'nourl', '/x;jsessionid=abc.r2?jsessionid=abc.r2', undef, 'abc'],
            ['names and separator', 'named', '/x;sid=abc!r2', undef, 'b'],
            ['and the cookie', 'named', '/', 'SID=a.b!r3', 'c'],
            ['our cookie goes first', 'both', '/', 'JSESSIONID=abc.r2; USHER=' . token_for(both => 'r3'), 'c'],
            ['then the route', 'both', '/', 'JSESSIONID=abc.r2; USHER=x', 'b'],
        );
        for my $case (@cases) {
            my ($name, $cluster, $uri, $field, $who) = @$case;
            if (length $who == 1) {
                is row($httpd, 4, "/$cluster$uri", [defined $field ? (Cookie => $field) : ()]), $who x 4, $name;
            } else {
                like row($httpd, 9, "/$cluster$uri", [defined $field ? (Cookie => $field) : ()]), qr/^(.)(?!\1+\z)/, $name;
            }
        }
        my $both = visit($httpd, '/both/', cookie => 'JSESSIONID=abc.r2');
        is seen(both => $both->{token})->{member}, member_of(both => route => 'r2'), 'our cookie then names the same member';
        is visit($httpd, '/follow/')->{sets}, 0, 'no cookie of ours where none is asked for';
    };
    subtest "$mode: counts" => sub {
        my $counts = sub { my ($url) = @_; my $got = Usher::CoreTest::ask($httpd, "up=balancer://count,-,$_[1],$url"); return $got };
        my $of = sub { return 'USHER=' . token_for(count => @_) };
        visit($httpd, '/count/', cookie => $of->('r2', session => $_ % 5 * 1_000_003)) for 1 .. 20;
        visit($httpd, '/count/', cookie => $of->('r3', session => 77));
        visit($httpd, '/count/', cookie => $of->('r9'));
        visit($httpd, '/count/', cookie => $of->('r2', age => 3600));
        visit($httpd, '/count/', cookie => $of->('r2', age => -3600));
        visit($httpd, '/count/', cookie => $of->('r2', idle => 1000));
        visit($httpd, '/count/', cookie => $_) for 'USHER=x', 'USHER=' . token_for(plain => 'r2'), 'USHER=' . token_for(count => 'r2', file => key_file(9)), 'x=1';
        my ($two, $three) = ($counts->($B, 'r2'), $counts->($C, 'r3'));
        is join(' ', map { "$_=$two->{$_}" } qw(valid malformed unknown_key forged expired early new refreshed moved down)),
            'valid=23 malformed=1 unknown_key=1 forged=1 expired=1 early=1 new=6 refreshed=1 moved=1 down=1', 'what became of all cookies';
        like $two->{sessions}, qr/^[56]$/, 'sessions of one member, once each';
        like $three->{sessions}, qr/^[12]$/, 'and of another one';
    };
    $httpd->finish("$mode: log");
}

# Whose name a log line has; it is written after its answer.
sub logged {
    my ($httpd, $uri) = @_;
    my $line;

    wait_until { open my $fh, '<', $httpd->root . '/logs/cookies' or die $!; ($line) = reverse grep { /^\Q$uri\E / } <$fh>; $line };
    return $line // '';
}

my $items = qq(Header always set X-State "%{USHER_COOKIE}e"\nLogFormat "%U %{USHER_COOKIE}e %{Set-Cookie}o" cookies\nCustomLog logs/cookies cookies\n);

for my $mode (modes()) {
    subtest "$mode: two nodes with one key file, and new keys" => sub {
        my $keys = key_file(1);
        my $conf = cluster(app => \@three, "$cookie\nUsherStickyScope shop") =~ s/\Q$file\E/$keys/r . $items;
        my ($one, $two) = map { start($mode, $conf) } 1 .. 2;
        my $seal = sub { return seal($keys, scope_of('app', 'shop'), member_of(app => route => $_[0]), @_[1 .. $#_]) };
        my $first = visit($one, '/app/');
        is row($two, 6, '/app/', [Cookie => "USHER=$first->{token}"]), $first->{who} x 6, 'the other node keeps the session, no state is shared';
        is visit($two, '/app/', cookie => 'USHER=' . $seal->('r2', age => -60))->{state}, 'valid', 'a node whose clock is a minute ahead';
        is visit($two, '/app/', cookie => 'USHER=' . $seal->('r2', age => 60))->{state}, 'valid', 'or behind';
        my $old = $seal->('r2');
        for my $node ($one, $two) {
            Usher::Sticky::write_keys($keys, 2, 1);
            ok $node->graceful, 'a new key, before the old one';
        }
        my $again = visit($one, '/app/', cookie => "USHER=$old");
        is "$again->{who} $again->{state}", 'b refreshed', 'the old cookie holds, and is sealed with the new key';
        is visit($two, '/app/', cookie => "USHER=$again->{token}")->{state}, 'valid', 'which both nodes know';
        Usher::Sticky::write_keys($keys, 2);
        ok $_->graceful, 'the old key is taken out' for $one, $two;
        is visit($one, '/app/', cookie => "USHER=$old")->{state}, 'forged', 'its cookies mean nothing any more';
        is visit($two, '/app/', cookie => "USHER=$again->{token}")->{who}, 'b', 'those sealed anew do';
        $_->finish("log") for $one, $two;
    };

    subtest "$mode: a member fails, and comes back" => sub {
        my ($d, $e) = backends(qw(d e));
        my $conf = cluster(app => [$d->url . ' route=r1 retry=1', $e->url . ' route=r2 retry=1'], $cookie) . $items . "UsherBackendRest rest=1s slowstart=0\n";
        my $httpd = start($mode, $mode eq 'stock' ? $conf =~ s/^UsherBackendRest.*\n//mr : $conf);
        $httpd->log->tolerate(qr/USHER2\d\d\d|USHER3008|AH0095[79]|AH01114|AH00940|AH01167/);
        my $token = token_for(app => 'r1', session => 77);
        is who($httpd, '/app/', [Cookie => "USHER=$token"]), 'd', 'its member';
        $d->stop;
        my $moved;
        ok((wait_until { $moved = visit($httpd, '/app/', cookie => "USHER=$token"); $moved->{who} eq 'e' } 5), 'it ends: the other one serves');
        is "$moved->{state} $moved->{sets}", 'moved 1', 'with a new cookie';
        is unseal($file, scope_of('app', $host), $moved->{token})->{session}, 77, 'of the same session';
        $d->start;
        is row($httpd, 3, '/app/', [Cookie => "USHER=$moved->{token}"]), 'eee', 'it comes back: who was moved stays where he is';
        ok((wait_until { who($httpd, '/app/', [Cookie => "USHER=$token"]) eq 'd' } 10), 'and old cookies are good again');
        $httpd->finish('log');
    };

    subtest "$mode: TLS and HTTP/2" => sub {
        my $certs = Usher::Certs->new;
        my $tls = free_port();
        my $h2c = $ENV{USHER_MPM} ne 'prefork'; # which mod_http2 does not serve
        my $httpd = start($mode, "Listen 127.0.0.1:$tls\n" . cluster(app => \@three, $cookie) . cluster(none => \@three, "$cookie samesite=None") . cluster(off => \@three, "$cookie secure=off")
            . "<VirtualHost *:$tls>\nSSLEngine on\nSSLCertificateFile " . $certs->cert('good') . "\nSSLCertificateKeyFile " . $certs->key('good') . "\n</VirtualHost>\n" . ($h2c ? "Protocols h2c http/1.1\n" : '') . $items,
            modules => [qw(proxy proxy_balancer slotmem_shm headers ssl), $h2c ? 'http2' : (), $mode eq 'stock' ? 'proxy_http' : ()]);
        my %over = (port => $tls, tls => { name => 'localhost', ca => $certs->ca });
        like visit($httpd, '/app/', %over)->{set}, qr/^$token; Path=\/; Secure; HttpOnly; SameSite=Lax$/, 'TLS: Secure';
        like visit($httpd, '/none/', %over)->{set}, qr/^$token; Path=\/; Secure; HttpOnly; SameSite=None$/, 'with SameSite=None';
        like visit($httpd, '/off/', %over)->{set}, qr/^$token; Path=\/; HttpOnly; SameSite=Lax$/, 'secure=off';
        like visit($httpd, '/app/')->{set}, qr/^$token; Path=\/; HttpOnly; SameSite=Lax$/, 'and none without TLS';
        if ($h2c) {
            # mod_http2 may let go of a request, which is logged then, as late as its connection ends.
            my $h2 = Usher::H2->new(port => $httpd->port);
            is $h2->answer($h2->start(GET => '/app/h2'))->{status}, 200, 'HTTP/2';
            $h2->close;
            like logged($httpd, '/app/h2'), qr{^/app/h2 new USHER=$token; Path=/; HttpOnly; SameSite=Lax$}, 'sets it, too';
            my $good = token_for(app => 'r3');
            $h2 = Usher::H2->new(port => $httpd->port);
            is $h2->answer($h2->start(GET => '/app/valid', [cookie => 'a=1', cookie => "USHER=$good"]))->{body}, 'c', 'and reads it, from several fields';
            $h2->close;
            like logged($httpd, '/app/valid'), qr{^/app/valid valid -$}, 'and leaves it';
        }
        $httpd->log->tolerate(qr/\[ssl:warn\]/);
        $httpd->finish('log');
    };
}

if (grep { $_ eq 'standin' } modes()) {
    subtest 'a large body goes its short way' => sub {
        my $httpd = Usher::Httpd->new(conf => one_child() . cluster(app => \@three, "$cookie\nUsherCheck tcp interval=1h timeout=20s"), usher => [qw(usher usher_balancer usher_backend)], modules => [qw(proxy)],
            loglevel => 'info usher_balancer:trace2');
        ok $httpd->start, 'starts' or diag $httpd->console;
        ok $httpd->log->wait_for(qr/check of \S+: passed/), 'its checks have begun, with a pipe of their own';
        my $pipes = sub { my %ends = map { (readlink($_) // '') => 1 } map { glob "/proc/$_/fd/*" } $httpd->children; return scalar grep { /^pipe:/ } keys %ends };
        visit($httpd, '/app/'); # a child that serves has all of its own
        my $idle = $pipes->();
        my $client = Usher::Client->new(port => $httpd->port);
        $_->on('/slow', at([http_answer(200, [], 'x' x 8_000_000)], 4_000_000, hold('large'))) for $a, $b, $c;
        $client->send("GET /app/slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
        ok $client->until(sub { length ${ $_[0] } > 3_000_000 || undef }, 20), 'half of it is there';
        is $pipes->() - $idle, 1, 'with a new cookie: through a pipe';
        $client->close;
        $_->release('large') for $a, $b, $c;
        $httpd->log->tolerate(qr/USHER2\d\d\d/);
        $httpd->finish('log');
    };

    subtest 'a member that is full' => sub {
        my ($d, $e) = backends(qw(d e));
        my $httpd = start('standin', cluster(app => [$d->url . ' route=r1', $e->url . ' route=r2'], "$cookie\nUsherMemberMax 1") . $items);
        my $field = 'USHER=' . token_for(app => 'r1');
        $d->on('/long', [hold('long'), http_answer(200, [], 'd')]);
        my $client = Usher::Client->new(port => $httpd->port);
        $client->send("GET /app/long HTTP/1.1\r\nHost: localhost\r\nCookie: $field\r\n\r\n");
        ok((wait_until { $d->holding('long') } 10), 'one request fills it');
        my $other = visit($httpd, '/app/', cookie => $field);
        is "$other->{who} $other->{state} $other->{sets}", 'e down 0', 'the next one goes elsewhere, the session stays where it is';
        $d->release('long');
        is $client->answer->{status}, 200, 'it is done';
        ok((wait_until { who($httpd, '/app/', [Cookie => $field]) eq 'd' } 5), 'and the session there again');
        $httpd->finish('log');
    };

    subtest 'a WebSocket of a session at an AJP member' => sub {
        my $httpd = start('standin', cluster(app => ['ajp://127.0.0.1:1 route=r1', "$B route=r2"], $cookie) . $items);
        my $other = visit($httpd, '/app/', cookie => 'USHER=' . token_for(app => 'r1'), headers => [Upgrade => 'websocket', Connection => 'Upgrade']);
        is "$other->{who} $other->{state} $other->{sets}", 'b down 0', 'it goes elsewhere, the session stays where it is';
        $httpd->finish('log');
    };
}

# What configtest says of a directive's line.
my @lines = (
    ['UsherStickyCookie', qr/takes off, or the cookie's name and options/],
    ['UsherStickyCookie "a b"', qr/"a b": a cookie's name is made of letters/],
    ['UsherStickyCookie "a;b"', qr/"a;b": a cookie's name/],
    ['UsherStickyCookie ' . 'a' x 129, qr/128 at most/],
    ['UsherStickyCookie A what=1', qr/"what=1": takes key=value with the keys path, domain, /],
    ['UsherStickyCookie A path=app', qr/"path=app": begins with \//],
    ['UsherStickyCookie A "path=/a;b"', qr/"path=\/a;b": begins with/],
    ['UsherStickyCookie A domain=a..b', qr/"domain=a..b": takes the name of a domain/],
    ['UsherStickyCookie A domain=example.com:80', qr/takes the name of a domain/],
    ['UsherStickyCookie A "attribute=a; b"', qr/takes one attribute, without a ;/],
    ['UsherStickyCookie A secure=maybe', qr/"secure=maybe": secure takes auto, on or off/],
    ['UsherStickyCookie A samesite=None secure=off', qr/"samesite=None": browsers take it only with secure=on or secure=auto/],
    ['UsherStickyCookie A idle=0s', qr/"idle=0s": idle takes 1s to 366d, or off/],
    ['UsherStickyCookie A life=soon', qr/"life=soon"/],
    ['UsherStickyCookie __Host-A', qr/__Host- only with secure=on/],
    ['UsherStickyCookie __host-A secure=on path=/a', qr/__Host- only with/],
    ['UsherStickyCookie __Host-A secure=on domain=a.b', qr/__Host- only with/],
    ['UsherStickyCookie __Secure-A secure=auto', qr/__Secure- only with secure=on/],
    ['UsherStickyCookie __Host-A secure=on', undef],
    ['UsherStickyCookie __Secure-A secure=on domain=.a.b path=/x', undef],
    ['UsherStickyFollow', qr/takes off, or the name of the application's cookie/],
    ['UsherStickyFollow "a b"', qr/"a b": is no name of a cookie/],
    ['UsherStickyFollow A separator=..', qr/separator takes one character/],
    ['UsherStickyScope', qr/takes one text/],
    ['UsherStickyScope ""', qr/takes one text/],
    ['UsherStickyScope a b', qr/takes one text/],
);
my $where = (modes())[-1];
for my $case (@lines) {
    my ($line, $says) = @$case;
    my ($code, $out) = balancer_httpd($where, "<Proxy balancer://app>\nBalancerMember $A\nProxySet lbmethod=usher\n$line\n</Proxy>\n")->configtest;

    if ($says) {
        isnt $code, 0, "$line: refused";
        like $out, $says, "$line: and why";
    } else {
        is $code, 0, "$line: fine" or diag $out;
    }
}
for my $name (qw(UsherStickyCookie UsherStickyFollow UsherStickyScope)) {
    my ($code, $out) = balancer_httpd($where, "<Location />\n$name A\n</Location>\n")->configtest;
    like $out, qr/$name belongs into the section <Proxy balancer:\/\/name>/, "$name: not elsewhere";
}

subtest 'a scope that httpd made up' => sub {
    my $conf = cluster(app => \@three, $cookie);
    my $host_of = sub { return "<VirtualHost *:\@PORT@>\n$_[1]\n" . $conf =~ s/UsherStickyCookie/$_[0]UsherStickyCookie/r . "</VirtualHost>\n" };
    my @cases = (
        ['ServerName', $conf, 0], ['a host without one', $host_of->('', ''), 1], ['a host with one', $host_of->('', 'ServerName a'), 0],
        ['UsherStickyScope', $host_of->("UsherStickyScope a\n", ''), 0], ['a domain', $host_of->('', '') =~ s/USHER$/USHER domain=a.b/mr, 0],
    );
    for my $case (@cases) {
        my ($name, $text, $warns) = @$case;
        my ($code, $out) = balancer_httpd($where, $text)->configtest;
        is $code, 0, "$name: fine" or diag $out;
        is scalar(() = $out =~ /USHER3032: balancer:\/\/app: its cookies hold for the name that httpd made up/g), $warns, "$name: " . ($warns ? 'a warning' : 'no warning');
    }
};

done_testing;
