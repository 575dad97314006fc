# The handler usher-status: what it shows, to whom, and that an administrator can switch
# members by it, for all children at once and over graceful restarts.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::CoreTest;
use Usher::Env ();
use Usher::HTTP1;
use Usher::StatusTest;
use Usher::Wait;

my ($a, $b, $c) = backends(qw(a b c));
my ($A, $B, $C) = map { $_->url } $a, $b, $c;
my $time = qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/;

sub cluster {
    my ($name, @members) = @_;

    return join "\n", "<Proxy balancer://$name>", 'ProxySet lbmethod=usher-requests', (map { "BalancerMember $_" } @members), '</Proxy>', '';
}

sub two { return cluster($_[0] // 'app', "$A route=one", "$B route=two") . "ProxyPass / balancer://@{[ $_[0] // 'app' ]}/\n" }

sub next_generation {
    my ($httpd) = @_;
    my $before = ask($httpd, 'pid')->{generation};

    $httpd->graceful or return 0;
    return wait_until { (ask($httpd, 'pid')->{generation} // -1) > $before };
}

subtest 'text, JSON, and their headers' => sub {
    my $httpd = status_httpd(two());
    ok $httpd->start, 'starts' or diag $httpd->console;
    row($httpd, 6);
    my $before = status($httpd);
    my $text = status_get($httpd);
    is $text->{status}, 200, 'shown, and not asked of a backend by "ProxyPass /"';
    is $text->{headers}{'content-type'}, 'text/plain; charset=us-ascii', 'as text';
    is $text->{headers}{'cache-control'}, 'no-store', 'that no cache keeps';
    is $text->{headers}{'x-content-type-options'}, 'nosniff', 'and no browser takes for anything else';
    like $text->{content}, qr/^Usher on \S+ at 20\S+\+00:00\n\nbalancer:\/\/app \(cluster\): 6 requests, 0 sent again, 0 not sent again, 0 wait, 0 refused as all were full\n  MEMBER +ROUTE +STATE /,
        'the cluster and its columns';
    for (["$A", 'one'], ["$B", 'two']) {
        like $text->{content}, qr/^  \Q$_->[0]\E +$_->[1] +up +1 +100 +0 +- +3 +3 +0 +0 /m, "a line for $_->[1]";
    }
    my ($column) = map { index $_, 'STATE' } grep { /STATE/ } split /\n/, $text->{content};
    is_deeply [map { substr $_, $column, 3 } grep { /^  http/ } split /\n/, $text->{content}], ['up ', 'up '], 'the columns are aligned';

    my $raw = status_get($httpd, query => '?format=json')->{content};
    my @ms = $raw =~ /"response_ms": (\S+?),?\n/g;
    is scalar(grep { /^(?:0\.\d\d?|\d\d?\.\d|\d{3,}\.0)$/ } @ms), 2, 'times of three digits at most' or diag "@ms";
    like $text->{content}, qr/^  \Q$A\E .* 0 +(?:0\.\d\d?|\d\d?(?:\.\d)?|\d{3,})  - /m, 'in the text as well';
    for (['?format=json', {}], ['', { Accept => 'application/json' }]) {
        my $json = status_get($httpd, query => $_->[0], headers => $_->[1]);
        is $json->{headers}{'content-type'}, 'application/json', "JSON ($_->[0])";
        ok $json->{json}, 'that can be read';
        is $json->{headers}{'x-content-type-options'}, 'nosniff', 'with the same headers';
    }
    is status_get($httpd, query => '?format=text', headers => { Accept => 'application/json' })->{headers}{'content-type'},
        'text/plain; charset=us-ascii', 'the query goes before Accept';
    my $head = status_get($httpd, method => 'HEAD');
    is "$head->{status} " . ($head->{content} // ""), "200 ", "HEAD";
    is status_get($httpd, method => $_)->{status}, 405, "not $_" for qw(PUT DELETE);

    my $after = status($httpd);
    delete @{$_}{qw(time token)} for $before, $after;
    is_deeply $after, $before, 'to look changes nothing';
    $httpd->finish('nothing alarming in the log');
};

subtest 'how members stand, and why' => sub {
    my @stand = (['+D', 'disabled'], ['+S', 'stopped'], ['+N', 'draining'], ['+R', 'spare'], ['+H', 'standby'], ['+C', 'check failed']);
    my $httpd = status_httpd(cluster('app', "$A route=one loadfactor=3", "$B route=two",
            map { "http://127.0.0.1:9/$_ route=s$_ lbset=1 status=$stand[$_][0]" } 0 .. $#stand)
        . "<Location /off>\nUsherBackend Off\n</Location>\nProxyPass / balancer://app/\n", modules => [qw(proxy_http)]);
    ok $httpd->start, 'starts' or diag $httpd->console;
    is counts($httpd, 4), 'a:3 b:1', 'requests';
    my $status = status($httpd);
    my ($app) = @{ $status->{clusters} };
    like $status->{time}, $time, 'the time, in UTC with its offset';
    is_deeply [@$app{qw(name kind switches requests replays refused_replays server)}],
        ['balancer://app', 'cluster', JSON::PP::true, 4, 0, 0, undef], 'the cluster';
    my $one = member($status, 'one');
    is_deeply { %$one{qw(url route state why loadfactor weight share lbset in_flight max elected answered failed rests tries waiting admin check)} },
        { url => $A, route => 'one', state => 'up', why => '', loadfactor => 3, weight => 3, share => 100, lbset => 0, in_flight => 0, max => undef,
          elected => 3, answered => 3, failed => 0, rests => 0, tries => 0, waiting => 0, admin => undef, check => undef }, 'a member that is up';
    like $one->{id}, qr/^[0-9a-f]{32}$/, 'its id';
    cmp_ok $one->{response_ms}, '>', 0, 'how long it takes';
    is member($status, 's0')->{response_ms}, undef, 'not known of one that was not asked';
    for my $i (0 .. $#stand) {
        my $member = member($status, "s$i");
        is $member->{state}, $stand[$i][1], $stand[$i][1];
        cmp_ok length($member->{why}), '>', 10, "and why: $member->{why}";
    }

    $httpd->log->tolerate(qr/usher_backend:|USHER30|proxy/);
    $a->stop;
    is row($httpd, 2), 'bb', 'a member fails';
    my $resting = member(status($httpd), 'one');
    is $resting->{state}, 'resting', 'it rests';
    like $resting->{why}, qr/^after failures, for another \d+ s; last failure \d+ s ago: no connection could be made$/, 'for how long, and why';
    like $resting->{since}, $time, 'since when';
    is_deeply [@$resting{qw(rests failed)}], [1, 1], 'how often';
    $a->start;
    ask($httpd, "up=balancer://app,-,one,$A");
    $a->stop;
    my $off = '';
    ok((wait_until { $off .= row($httpd, 4, '/off'); member(status($httpd), 'one')->{state} eq 'in error' }),
       'marked in error by the stock modules') or diag "answers: $off";
    $a->start;
    $httpd->finish('nothing else in the log');
};

subtest 'a member that comes back slowly' => sub {
    my $httpd = status_httpd(two() . "UsherBackendRest rest=100ms slowstart=1h\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/usher_backend:|USHER30/);
    $a->stop;
    is row($httpd, 2), 'bb', 'one rests';
    $a->start;
    ok((wait_until { member(status($httpd), 'one')->{state} eq 'due' } 5), 'its rest is over') or diag explain status($httpd);
    ok((wait_until { who($httpd) eq 'a' } 5), 'it is tried');
    my $one = member(status($httpd), 'one');
    is $one->{state}, 'starting', 'it has a part of its share';
    is $one->{share}, 5, 'which is told';
    cmp_ok $one->{tries}, '>=', 1, 'it was tried';
    $httpd->finish('nothing else in the log');
};

subtest 'health checks' => sub {
    my $httpd = status_httpd(cluster('app', "$A route=one", "$B route=two", 'UsherCheck')
        =~ s/BalancerMember UsherCheck/UsherCheck http path=\/health interval=200ms timeout=20s rise=1 fall=1 slowstart=0/r . "ProxyPass / balancer://app/\n");
    $httpd->log->expect(qr/USHER3045: .*\Q$A\E is down/);
    $a->on('/health', http_answer(500, [], ''));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok((wait_until { member(status($httpd), 'one')->{state} eq 'check failed' && member(status($httpd), 'two')->{check} } 10), 'one is down');
    my $status = status($httpd);
    my ($one, $two) = map { member($status, $_) } qw(one two);
    like $one->{why}, qr/^status 500 after [\d.]+ ?m?s$/, 'and why';
    like $one->{since}, $time, 'since when';
    is $one->{check}{state}, 'down', 'its check';
    cmp_ok $one->{check}{failed}, '>=', 1, 'how often';
    is $two->{state}, 'up', 'the other one is up';
    is $two->{check}{state}, 'up', 'as its check says';
    like $two->{check}{last}, qr/^passed after /, 'how the last one went';
    like $two->{check}{$_}, $time, "$_" for qw(at since);
    like $two->{check}{ms}, qr/^\d+(?:\.\d+)?$/, 'how long it took';
    like status_get($httpd)->{content}, qr/^  \Q$A\E +one +check failed .* status 500 after /m, 'the same as text';
    $httpd->log->tolerate(qr/USHER3046/);
    $a->clear;
    $a->on(qr{.}, http_answer(200, [], 'a'));
    ok((wait_until { member(status($httpd), 'one')->{state} eq 'up' } 10), 'up again');
    $httpd->finish('nothing else in the log');
};

subtest 'checks that pass again' => sub {
    my $httpd = status_httpd(cluster('app', "$A route=one", "$B route=two", 'UsherCheck')
        =~ s/BalancerMember UsherCheck/UsherCheck http path=\/health interval=200ms timeout=10s rise=1000 fall=1/r . "ProxyPass / balancer://app/\n");
    $httpd->log->expect(qr/USHER3045: .*\Q$A\E is down/);
    $a->on('/health', http_answer(500, [], ''));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok((wait_until { (member(status($httpd), 'one')->{why} // '') =~ /^status 500/ } 10), 'one is down');
    $a->clear;
    $a->on(qr{.}, http_answer(200, [], 'a'));
    ok((wait_until { member(status($httpd), 'one')->{why} =~ /^[1-9]\d? of 1000 good checks that make it up again$/ } 10), 'why it is still down')
        or diag explain member(status($httpd), 'one');
    is member(status($httpd), 'one')->{state}, 'check failed', 'which it is';
    $httpd->finish('nothing else in the log');
};

subtest 'a member that is full' => sub {
    my $conf = sub { my ($max) = @_; return two() =~ s/<\/Proxy>/UsherMemberMax $max\n$&/r };
    my $httpd = status_httpd($conf->('2 one'));
    ok $httpd->start, 'starts' or diag $httpd->console;
    row($httpd, 2);
    is_deeply [map { member(status($httpd), $_)->{max} } qw(one two)], [2, undef], 'the maximum of each';
    $a->on('/held', [hold('full'), http_answer(200, [], 'a')]);
    $b->on('/held', http_answer(200, [], 'b'));
    my @clients = map { Usher::Client->new(port => $httpd->port) } 1 .. 4;
    $_->send(http_request(GET => '/held')) for @clients;
    ok((wait_until { $a->holding('full') == 2 }), 'as many requests');
    my $one = member(status($httpd), 'one');
    is_deeply [@$one{qw(state why in_flight)}], ['full', '2 of 2 requests in flight (UsherMemberMax)', 2], 'full, and why';
    is member(status($httpd), 'two')->{state}, 'up', 'the other one is not';
    $a->release('full');
    $_->answer for @clients;
    @clients = (); # a kept connection holds a thread of the worker MPM, also at a stop
    ok((wait_until { member(status($httpd), 'one')->{state} eq 'up' }), 'until they have gone');
    $httpd->conf(balancer_conf("<Location /status>\nSetHandler usher-status\nRequire local\n</Location>\n" . $conf->('7')));
    ok next_generation($httpd), 'another maximum';
    is_deeply [map { member(status($httpd), $_)->{max} } qw(one two)], [7, 7], 'is shown';
    $httpd->finish('nothing in the log');
};

subtest 'sessions' => sub {
    my $httpd = status_httpd(two() =~ s/<\/Proxy>/UsherStickyCookie S\nUsherStickyScope test\n<\/Proxy>/r);
    ok $httpd->start, 'starts' or diag $httpd->console;
    is member(status($httpd), 'one')->{sessions}, 0, 'none yet';
    for my $n (1 .. 40) {
        my ($cookie) = Usher::Client->get($httpd->port, '/')->{head} =~ /^Set-Cookie: (S=[^;\r]+)/mi;
        who($httpd, '/', [Cookie => $cookie]);
    }
    my $status = status($httpd);
    my @sessions = map { member($status, $_)->{sessions} } qw(one two);
    # An estimate: two are told apart by 255 of 256 chances.
    cmp_ok abs($_ - 20), '<=', 4, "of each member: about 20 ($_)" for @sessions;
    is_deeply [@{ $status->{clusters}[0]{sticky} }{qw(new valid forged malformed)}], [40, 40, 0, 0], 'what became of cookies';
    like status_get($httpd)->{content}, qr/^  sticky cookies: valid 40, .*new 40/m, 'as text as well';
    is_deeply change($httpd, 'app', 'one', 'drain')->{json}{left}, { in_flight => 0, sessions => $sessions[0] }, 'what is left at a member';
    $httpd->log->tolerate(qr/UsherStickyKeys|USHER30\d\d/);
    $httpd->finish('nothing else in the log');
};

subtest 'texts that somebody else wrote' => sub {
    my $httpd = status_httpd(two());
    ok $httpd->start, 'starts' or diag $httpd->console;
    row($httpd, 4);
    for my $round (1 .. 20) {
        ask($httpd, "hostile=balancer://app,-,one,$A");
        my $text = status_get($httpd);
        my $json = status_get($httpd, query => '?format=json');
        is "$text->{status} $json->{status}", '200 200', "shown, $round" if $round == 1 || $text->{status} ne '200' || !$json->{json};
        unlike $text->{content}, qr/[^\n -~]/, 'only what can be printed' if $round == 1 || $text->{content} =~ /[^\n -~]/;
        unlike $json->{content}, qr/[^\n -~]/, 'in JSON as well' if $round == 1 || $json->{content} =~ /[^\n -~]/;
        BAIL_OUT('no JSON') if !$json->{json};
    }
    like status_get($httpd)->{content}, qr/^  <script>\\x1b\[2J\\x0d\\x0a"\\x+ /m, 'as it is, but harmless';
    like member(status($httpd), 'two')->{state}, qr/^up$/, 'the others are not touched';
    $httpd->finish('nothing in the log');
};

subtest 'a switch counts at once in all children, and over a graceful restart' => sub {
    my $httpd = status_httpd(two() =~ s/lbmethod=\S+/$& stickysession=S/r);
    ok $httpd->start, 'starts' or diag $httpd->console;
    like counts($httpd, 12), qr/^a:6 b:6$/, 'both serve';
    my $session = [Cookie => 'S=x.one'];
    is row($httpd, 4, '/', $session), 'aaaa', 'a session';

    my $done = change($httpd, 'app', 'one', 'drain');
    is $done->{status}, 200, 'drain' or diag $done->{content};
    is_deeply { %{ $done->{json} }{qw(cluster member from to left)} },
        { cluster => 'balancer://app', member => $A, from => 'enabled', to => 'drain', left => { in_flight => 0, sessions => undef } }, 'what it was, what it is, what is left';
    like status_get($httpd, form => { cluster => 'app', member => 'one', action => 'drain', token => status($httpd)->{token} })->{content},
        qr/: was already drain; left: /, 'once more, as text';
    is row($httpd, 24), 'b' x 24, 'no new requests, from any child';
    is row($httpd, 12, '/', $session), 'a' x 12, 'its session goes on';
    my $one = member(status($httpd), 'one');
    is $one->{state}, 'draining', 'shown';
    is $one->{why}, 'drained by 127.0.0.1', 'and by whom';
    like $one->{since}, $time, 'since when';
    is $one->{admin}{setting}, 'drain', 'as a setting';
    ok next_generation($httpd), 'graceful restart';
    is row($httpd, 24), 'b' x 24, 'it drains on';

    is change($httpd, 'app', 'one', 'drain')->{json}{from}, 'drain', 'once more is no error';
    is change($httpd, 'app', $A, 'off')->{json}{to}, 'off', 'off';
    is row($httpd, 12, '/', $session), 'b' x 12, 'its sessions go elsewhere';
    is member(status($httpd), 'one')->{state}, 'off', 'shown';
    is change($httpd, 'balancer://app', member(status($httpd), 'one')->{id}, 'enable')->{json}{to}, 'enabled', 'enable';
    like row($httpd, 24), qr/a.*b|b.*a/, 'both serve';

    is change($httpd, 'app', 'one', 'weight', 3)->{json}{to}, 'enabled, weight 3', 'weight';
    like counts($httpd, 16), qr/^a:12 b:4$/, 'its share, from all children';
    is_deeply [@{ member(status($httpd), 'one') }{qw(loadfactor weight)}], [1, 3], 'both are shown';
    is change($httpd, 'app', 'one', 'weight', 0)->{json}{to}, 'enabled, weight 0', 'weight 0';
    is row($httpd, 12), 'b' x 12, 'no new requests';
    is row($httpd, 4, '/', $session), 'aaaa', 'its session goes on';
    is change($httpd, 'app', 'one', 'enable')->{json}{to}, 'enabled', 'enable ends that, too';
    change($httpd, 'app', 'one', 'weight', 3);
    is change($httpd, 'app', 'one', 'weight', 'default')->{json}{to}, 'enabled', 'the weight of the configuration';
    like counts($httpd, 12), qr/^a:6 b:6$/, 'counts again';

    change($httpd, 'app', $_, 'drain') for qw(one two);
    $httpd->log->expect(qr/USHER3007/);
    is who($httpd), 503, 'all are drained';
    my $token = status($httpd)->{token};
    $httpd->stop;
    ok $httpd->start && (wait_until { status_get($httpd)->{status} eq '200' }), 'a stop and a start';
    like counts($httpd, 12), qr/^a:6 b:6$/, 'forget it';
    $httpd->log->expect(qr/USHER9011: usher-status: 127\.0\.0\.1 was not allowed action drain for member one of app \(bad_token\)/);
    is change_raw($httpd, { cluster => 'app', member => 'one', action => 'drain', token => $token })->{json}{error}, 'bad_token',
        'and the tokens of before';
    my @audit = grep { /USHER9010/ } $httpd->log->lines;
    like $audit[1], qr/ balancer:\/\/app: was already drain$/, 'or that it was so';
    like $audit[0], qr/:notice\].*USHER9010: usher-status: 127\.0\.0\.1 switched member \Q$A\E \(one\) of balancer:\/\/app: enabled -> drain$/, 'who, whom, from what to what';
    is scalar @audit, 12, 'a line for each';
    $httpd->finish('nothing else in the log');
};

for my $method (qw(usher usher-busyness usher-hash)) {
    subtest "lbmethod=$method: at once, too" => sub {
        my $httpd = status_httpd(two() =~ s/usher-requests/$method/r);
        my $some = sub { join '', map { who($httpd, "/$_[0]$_") } 1 .. 40 };
        ok $httpd->start, 'starts' or diag $httpd->console;
        # With usher-hash one client has one member.
        my ($home, $route, $rest) = $some->('1') =~ /a/ ? qw(a one b) : qw(b two a);
        for my $action (qw(drain off)) {
            is change($httpd, 'app', $route, $action)->{status}, 200, $action;
            is $some->($action), $rest x 40, 'the other one serves alone';
            is change($httpd, 'app', $route, 'enable')->{status}, 200, 'enable';
            like $some->('2'), qr/$home/, 'it serves again';
        }
        $httpd->finish('nothing alarming in the log');
    };
}

subtest 'who may not' => sub {
    my $httpd = status_httpd(<<"EOT" . two());
<Location /status>
    SetHandler usher-status
    AuthType Basic
    AuthName status
    AuthUserFile \@ROOT\@/users
    Require valid-user
</Location>
EOT
    open my $fh, '>', $httpd->root . '/users' or die $!;
    print $fh map { "$_:" . crypt($_, '$1$salt') . "\n" } qw(anna bert);
    close $fh;
    my %anna = (Authorization => 'Basic ' . 'YW5uYTphbm5h'); # anna:anna
    my %bert = (Authorization => 'Basic ' . 'YmVydDpiZXJ0');
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/auth_basic|USHER9011/);
    is status_get($httpd)->{status}, 401, 'without a password nothing is shown';
    my $token = status($httpd, headers => \%anna)->{token};
    my %form = (cluster => 'app', member => 'one', action => 'off', token => $token);
    my %host = (Host => 'localhost:' . $httpd->port);
    my @refused = (
        ['no password', {}, {}, 401, undef],
        ['no token', { token => '' }, {}, 403, 'bad_token'],
        ['another token', { token => $token =~ tr/0-9a-f/1-9a-f0/r }, {}, 403, 'bad_token'],
        ['a part of the token', { token => substr $token, 0, 16 }, {}, 403, 'bad_token'],
        ['a longer token', { token => "${token}00" }, {}, 403, 'bad_token'],
        ['the token of another user', {}, {%bert}, 403, 'bad_token'],
        ['a page of another site', {}, { %anna, Origin => 'http://evil.example' }, 403, 'foreign_site'],
        ['a page of another port', {}, { %anna, Origin => 'http://127.0.0.1:1' }, 403, 'foreign_site'],
        ['a page of nowhere', {}, { %anna, Origin => 'null' }, 403, 'foreign_site'],
        ['a browser that says so', {}, { %anna, 'Sec-Fetch-Site' => 'cross-site' }, 403, 'foreign_site'],
        ['a neighbour', {}, { %anna, 'Sec-Fetch-Site' => 'same-site' }, 403, 'foreign_site'],
        ['an unknown cluster', { cluster => 'nothing' }, {%anna}, 404, 'unknown_cluster'],
        ['a part of a name', { cluster => 'ap' }, {%anna}, 404, 'unknown_cluster'],
        ['a longer name', { cluster => 'app2' }, {%anna}, 404, 'unknown_cluster'],
        ['of another host', { cluster => 'app@www.example.com' }, {%anna}, 404, 'unknown_cluster'],
        ['an unknown member', { member => 'three' }, {%anna}, 404, 'unknown_member'],
        ['no member', { member => '' }, {%anna}, 404, 'unknown_member'],
        ['an unknown action', { action => 'kill' }, {%anna}, 422, 'bad_action'],
        (map { ["the weight \"$_\"", { action => 'weight', value => $_ }, {%anna}, 422, 'bad_value'] } '', 'x', '101', '-1', '1.5', '3 ', '99999999999999999999'),
        ['a member with a NUL', { member => "one\0" }, {%anna}, 422, 'missing_field'],
        ['a large field', { member => 'x' x 5000 }, {%anna}, 413, 'bad_form'],
        (map { ["$_ twice", \"&$_=one", {%anna}, 400, 'bad_form'] } qw(cluster member action token)),
        ['many fields', { map { $_ => 1 } 1 .. 100 }, {%anna}, 413, 'bad_form'],
        ['another kind of body', {}, { %anna, 'Content-Type' => 'text/plain' }, 415, 'no_form'],
    );
    for my $case (@refused) {
        my ($name, $fields, $headers, $status, $error) = @$case;
        my %h = %$headers || $status == 401 ? %$headers : %anna;
        my $got = change_raw($httpd, ref $fields eq 'HASH' ? { %form, %$fields } : join('&', map { "$_=$form{$_}" } sort keys %form) . $$fields, headers => \%h);
        is "$got->{status} " . ($got->{json}{error} // ''), "$status " . ($error // ''), $name or diag $got->{content};
    }
    my $elsewhere = change_raw($httpd, \%form, headers => \%anna, from => '127.0.0.2');
    is $elsewhere->{json}{error}, 'bad_token', 'the token of another address';
    is status_get($httpd, form => '', headers => \%anna)->{status}, 403, 'an empty form';
    my $text = status_get($httpd, form => { %form, token => 'x' }, headers => \%anna);
    like $text->{content}, qr/^bad_token: .* ask for the status, which has a new one$/, 'told as text';
    is row($httpd, 2) =~ tr/a//, 1, 'nothing was changed';
    my @lines = grep { /USHER9011/ } $httpd->log->lines;
    is scalar @lines, @refused + 2, 'each is told in the log';
    like $lines[0], qr/:warn\].*USHER9011: usher-status: anna\@127\.0\.0\.1 was not allowed action off for member one of app \(bad_token\)/, 'who, what, and why';
    unlike join('', @lines), qr/\Q$token\E/, 'without the token';

    is change_raw($httpd, \%form, headers => { %anna, Origin => 'http://127.0.0.1:' . $httpd->port, 'Sec-Fetch-Site' => 'same-origin' })->{status},
        200, 'a page of this site';
    is change_raw($httpd, { %form, token => '' , action => 'enable' } , headers => { %anna, 'X-Usher-Token' => $token })->{status}, 403, 'one token, not two';
    delete $form{token};
    is change_raw($httpd, \%form, headers => { %anna, 'X-Usher-Token' => $token, 'Content-Type' => 'application/x-www-form-urlencoded; charset=utf-8' })->{status},
        200, 'the token as a field of the head';
    is member(status($httpd, headers => \%bert), 'one')->{admin}{by}, 'anna@127.0.0.1', 'who it was';
    $httpd->finish('nothing else in the log');
};

subtest 'not by a name that is none of ours' => sub {
    my $httpd = status_httpd(two() . "<VirtualHost *>\nServerName name.example\nServerAlias alias.example\n</VirtualHost>\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $port = $httpd->port;
    my $ask = sub { return Usher::Client->get($port, '/status', [Host => $_[0]]) };
    is $ask->($_)->{status}, 200, "shown to $_" for '127.0.0.1', "127.0.0.1:$port", '10.1.2.3:9', '[::1]', "[::1]:$port", 'localhost', "LocalHost:$port", 'name.example', 'alias.example', "ALIAS.example:$port";
    $httpd->log->expect(qr/:warn\].*USHER1056: \/status: the status is not shown, as the host evil\.example is neither/);
    $httpd->log->tolerate(qr/USHER1056/);
    for my $host ('evil.example', "evil.example:$port", 'localhost.evil.example', '127.0.0.1.evil.example', '::1.example', 'xlocalhost', 'a.alias.example') {
        my $answer = $ask->($host);
        like $answer->{status}, $host =~ /^::/ ? qr/^400$/ : qr/^403$/, "not to $host";
        unlike $answer->{body}, qr/token=|balancer:/, 'and tells nothing';
        like $answer->{body}, qr/^foreign_host: .*ServerAlias/, 'but the remedy' if $host !~ /^::/;
    }
    my $token = status($httpd)->{token};
    my $post = "cluster=app&member=one&action=off&token=$token";
    my $client = Usher::Client->new(port => $port);
    $client->send("POST /status HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: @{[ length $post ]}\r\n\r\n$post");
    is $client->answer->{status}, 403, 'nor may it switch';
    is member(status($httpd), 'one')->{state}, 'up', 'nothing was changed';
    $httpd->finish('nothing else in the log');
};

subtest 'not without a Require' => sub {
    my $httpd = status_httpd(two());
    my $handler = "SetHandler usher-status\n";
    my @wrong = (
        ['none', "<Location /status>\n$handler</Location>\n"],
        ['in another section', "<Location /status>\n$handler</Location>\n<Location /status>\nRequire local\n</Location>\n"],
        ['for some methods', "<Location /status>\n$handler<Limit GET>\nRequire local\n</Limit>\n</Location>\n"],
        ['for the whole server', "$handler"],
        ['a directory', "<Directory \@HTDOCS\@>\n${handler}Require local\n</Directory>\n"],
        ['a condition', "<Location /status>\nRequire local\n<If true>\n$handler</If>\n</Location>\n"],
        ['one of two', "<Location /a>\n${handler}Require local\n</Location>\n<Location /status>\n$handler</Location>\n"],
        ['in a virtual host', "<VirtualHost *:1>\n<Location /status>\n$handler</Location>\n</VirtualHost>\n"],
        ['an expression', "<Location /status>\nSetHandler \"%{tolower:usher-status}\"\n</Location>\n"],
    );
    for my $case (@wrong) {
        $httpd->conf($case->[1] . two());
        my ($code, $out) = $httpd->configtest;
        isnt $code, 0, "$case->[0]: refused by configtest";
        like $out, qr/USHER1053: \S+httpd\.conf:\d+: SetHandler usher-status has to stand in a <Location> section with a Require of its own/, 'with file, line and remedy';
    }
    for my $require ("Require local\n", "<RequireAll>\nRequire local\nRequire method GET POST\n</RequireAll>\n", "<IfModule authz_core_module>\nRequire local\n</IfModule>\n") {
        $httpd->conf("<LocationMatch ^/st>\n$handler$require</LocationMatch>\n" . two());
        my ($code, $out) = $httpd->configtest;
        is $code, 0, "accepted: $require" or diag $out;
    }

    $httpd->conf(balancer_conf("<Location /status>\n${handler}Require local\n</Location>\n" . two()));
    ok $httpd->start, 'starts' or diag $httpd->console;
    is status_get($httpd)->{status}, 200, 'shown';
    $httpd->conf(balancer_conf("<Location /status>\n$handler</Location>\n" . two()));
    $httpd->log->expect(qr/:emerg\].*USHER1053/, qr/USHER1055: \/status: the status is not shown/);
    ok next_generation($httpd), 'after a restart without it';
    is status_get($httpd)->{status}, 403, 'nothing is shown';
    like row($httpd, 4), qr/^(?:ab|ba)+$/, 'and the site goes on';
    $httpd->finish('nothing else in the log');
};

subtest 'the Require beside the handler counts, whatever else allows' => sub {
    my $place = "<Location /status>\nSetHandler usher-status\nRequire ip %s\n</Location>\n";
    my %more = ('a section behind it' => "%s<Location />\nRequire all granted\n</Location>\n", 'a condition' => "%s<If true>\nRequire all granted\n</If>\n",
        'Satisfy Any' => "<Location />\nSatisfy Any\n</Location>\n%s");
    for my $what (sort keys %more) {
        my $httpd = status_httpd(sprintf($more{$what}, sprintf $place, '192.0.2.1') . two(), modules => ['access_compat']);
        $httpd->log->expect(qr/USHER1054: \/status: the status is not shown, as the Require beside its SetHandler/, qr/AH01630/);
        ok $httpd->start, 'starts' or diag $httpd->console;
        is status_get($httpd)->{status}, 403, "$what opens nothing";
        $httpd->conf(balancer_conf(sprintf($more{$what}, sprintf $place, '127.0.0.1') . two()));
        ok next_generation($httpd), 'with an address that it allows';
        is status_get($httpd)->{status}, 200, 'it is shown';
        $httpd->finish('nothing else in the log');
    }
};

subtest 'other ways to the handler' => sub {
    my $httpd = status_httpd(<<'EOT', modules => [qw(rewrite mime)]);
<Location /status>
    SetHandler usher-status
    Require local
</Location>
<Directory @HTDOCS@>
    AllowOverride All
    Require all granted
</Directory>
TypesConfig /dev/null
AddHandler usher-status .status
RewriteEngine On
RewriteRule ^/rewritten$ @HTDOCS@/index.html [H=usher-status]
EOT
    for my $dir (['hosted', "SetHandler usher-status\n"], ['rewritten2', "RewriteEngine On\nRewriteRule ^ - [H=usher-status]\n"]) {
        mkdir $httpd->root . "/htdocs/$dir->[0]";
        open my $fh, '>', $httpd->root . "/htdocs/$dir->[0]/.htaccess" or die $!;
        print $fh $dir->[1];
        close $fh;
    }
    open my $fh, '>', $httpd->root . '/htdocs/x.status' or die $!;
    close $fh;
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->expect(map { qr/USHER1055: $_/ } '/hosted/', '/rewritten2/', '/x\.status', '/rewritten');
    for my $uri ('/hosted/', '/rewritten2/', '/x.status', '/rewritten') {
        my $answer = status_get($httpd, place => $uri);
        is $answer->{status}, 403, "$uri leads nowhere";
        unlike $answer->{content}, qr/Usher on|token/, 'and tells nothing';
    }
    is status_get($httpd)->{status}, 200, 'the right one does';
    $httpd->finish('nothing else in the log');
};

subtest 'clusters of one name, one route twice, balancers that are no clusters' => sub {
    my $httpd = status_httpd(join '', "BalancerInherit Off\nProxyPassInherit Off\n",
        map { "<VirtualHost *>\nServerName $_->[0]\n" . cluster('app', @{ $_->[1] }) . "ProxyPass /status !\nProxyPass / balancer://app/\n</VirtualHost>\n" }
            ['one.example', ["$A route=x", "$B route=y"]], ['two.example', ["$A route=x", "$B route=x"]]);
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $answers = sub { row($httpd, 4, '/', [Host => $_[0]]) };
    $answers->($_) for qw(one.example two.example);
    my @clusters = @{ status($httpd)->{clusters} };
    is scalar @clusters, 2, 'both are shown';
    like $clusters[0]{server}, qr/^one\.example:/, 'and whose they are';
    $httpd->log->tolerate(qr/USHER9011/);
    is change($httpd, 'app', 'y', 'off')->{json}{error}, 'ambiguous_cluster', 'the name alone is not enough';
    is change($httpd, 'app@two.example', 'x', 'off')->{json}{error}, 'ambiguous_member', 'nor the route of two';
    is change($httpd, 'app@two.example', $A, 'off')->{status}, 200, 'with its host and the URL it is';
    is $answers->('two.example'), 'bbbb', 'switched';
    like $answers->('one.example'), qr/^(?:ab|ba)+$/, 'in that one only';
    is change($httpd, $clusters[0]{id}, 'x', 'off')->{status}, 200, 'by its id';
    is $answers->('one.example'), 'bbbb', 'the other one';
    $httpd->finish('nothing else in the log');

    $httpd = status_httpd(cluster('bare', $A) . "ProxyPass / balancer://bare/\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    is change($httpd, 'bare', $A, 'off')->{status}, 200, 'a member without a route';
    ok +(grep { /switched member \Q$A\E of balancer:\/\/bare: enabled -> off$/ } $httpd->log->lines), 'is told without one';
    $httpd->finish('nothing in the log');

    $httpd = status_httpd("<Proxy balancer://stock>\nBalancerMember $A route=one\nBalancerMember $B route=two status=+D\n</Proxy>\nProxyPass /plain $C\nProxyPass / balancer://stock/\n",
        modules => [qw(lbmethod_byrequests)]);
    ok $httpd->start, 'starts' or diag $httpd->console;
    is row($httpd, 2) . who($httpd, '/plain'), 'aac', 'requests';
    my $status = status($httpd);
    is_deeply { map { $_->{name} => "$_->{kind} $_->{switches}" } @{ $status->{clusters} } }, { 'balancer://stock' => 'balancer 0', $C => 'backend 0' },
        'a stock balancer and a plain backend are shown' or diag explain $status;
    $httpd->log->tolerate(qr/USHER9011/);
    is change($httpd, 'stock', 'one', 'off')->{json}{error}, 'no_cluster', 'but cannot be switched';
    is row($httpd, 2), 'aa', 'nor are';
    $httpd->finish('nothing else in the log');
};

done_testing;
