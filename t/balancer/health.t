# Members that fail get no requests for a while, are tried by one request, and
# come back; all children know it together, and a graceful restart forgets
# nothing.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BalancerTest;
use Usher::CoreTest;
use Usher::Wait;

my ($a, $b) = backends(qw(a b));
my ($A, $B) = map { $_->url } $a, $b;

sub cluster {
    my ($name, $more, $set) = @_;

    return "<Proxy balancer://$name>\nProxySet lbmethod=usher-requests @{[ $set // '' ]}\n"
        . "BalancerMember $A\nBalancerMember $B\n" . ($more // '') . "</Proxy>\nProxyPass /t !\n"
        . "ProxyPass / balancer://$name/\n";
}

sub next_generation {
    my ($httpd) = @_;
    my $before = ask($httpd, 'pid')->{generation};

    $httpd->graceful or return 0;
    return wait_until { (ask($httpd, 'pid')->{generation} // -1) > $before };
}

for my $mode (modes()) {
    subtest "$mode: what is known of a member outlives a graceful restart" => sub {
        my $httpd = balancer_httpd($mode, cluster('app'));
        ok $httpd->start, 'starts' or diag $httpd->console;
        like row($httpd, 6), qr/^(?:ab)+$/, 'both serve';
        is ask($httpd, "rest=balancer://app,-,-,$A")->{rests}, 1, 'one begins to rest';
        is row($httpd, 6), 'bbbbbb', 'and gets no requests, from any child';
        ok next_generation($httpd), 'graceful restart';
        is row($httpd, 6), 'bbbbbb', 'it rests on';
        ok $httpd->restart, 'ordinary restart';
        is row($httpd, 6), 'bbbbbb', 'it rests on';
        ask($httpd, "rest=balancer://app,-,-,$B");
        # The stock modules do not tell how it went; else who answers is up.
        like row($httpd, 4), $mode eq 'stock' ? qr/^(?:ab|ba)+$/ : qr/^(?:aaaa|bbbb)$/, 'when all rest, all serve';
        ask($httpd, "up=balancer://app,-,-,$A");
        ok((wait_until { row($httpd, 4) eq 'aaaa' }), 'one is up again');
        ask($httpd, "up=balancer://app,-,-,$B");
        my $wrong = 0;
        for (1 .. 100) {
            ask($httpd, "garble=balancer://app,-,-,$A");
            $wrong++ if row($httpd, 2) !~ /^[ab]{2}$/;
        }
        is $wrong, 0, 'whatever stands in the record, requests are served';
        ask($httpd, "up=balancer://app,-,-,$A");
        ok((wait_until { (my $count = () = row($httpd, 100) =~ /a/g) >= 30 }), 'and the shares are kept within a while');
        $httpd->log->tolerate(qr/USHER3010/);
        $httpd->finish('nothing else in the log');
    };
}


subtest 'a member that refuses connections' => sub {
    my $httpd = balancer_httpd('standin', cluster('app', "UsherBackendRest rest=1s slowstart=0s\n"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    like row($httpd, 4), qr/^(?:ab)+$/, 'both serve';
    $a->stop;
    $httpd->log->expect(qr/USHER3008: balancer:\/\/app: \Q$A\E gets no requests for a while .* as no connection could be made to it; 0 of 1 other members rest/,
        qr/USHER3010: balancer:\/\/app: \Q$A\E answers again/);
    $httpd->log->tolerate(qr/usher_backend:/);
    is row($httpd, 20), 'b' x 20, 'no request is lost';
    my $began = time;
    my ($lost, $tried) = (0, 0);
    ok((wait_until {
        $lost++ if row($httpd, 10) ne 'b' x 10;
        $tried = grep { /USHER3009: balancer:\/\/app: \Q$A\E was tried again, and rests on/ } $httpd->log->lines;
        $tried && time > $began + 2.5;
    }), 'it is tried');
    is $lost, 0, 'nor then';
    cmp_ok $tried, '<=', 2 + time - $began, 'once a second at most';
    $a->start;
    ok((wait_until { who($httpd) eq 'a' } 4), 'it comes back within its rest');
    like row($httpd, 6), qr/^(?:ab|ba)+$/, 'with its whole share';
    is scalar(grep { /USHER3008/ } $httpd->log->lines), 1, 'said once';
    $httpd->finish('nothing else in the log');
};

subtest 'slow start' => sub {
    my $httpd = balancer_httpd('standin', cluster('app', "UsherBackendRest rest=200ms slowstart=@{[ 20 * patience ]}s\n"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    $a->stop;
    $httpd->log->tolerate(qr/usher_backend:|USHER3008/);
    is row($httpd, 4), 'bbbb', 'one rests';
    $a->start;
    ok((wait_until { who($httpd) eq 'a' } 4), 'it is back');
    my $count = () = row($httpd, 80) =~ /a/g;
    cmp_ok $count, '<=', 16, "with a small share: $count of 80";
    cmp_ok $count, '>=', 1, 'but some';
    $httpd->finish('nothing else in the log');
};

subtest 'all members are down' => sub {
    my $httpd = balancer_httpd('standin', cluster('app', "UsherBackendRest rest=1h share=100\n"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/usher_backend:|USHER3008/);
    $_->stop for $a, $b;
    like row($httpd, 3), qr/^(?:50[23]){3}$/, 'the client is told';
    $b->start;
    is row($httpd, 4), 'bbbb', 'who comes back is found by the next request';
    $a->start;
    is row($httpd, 4), 'bbbb', 'the other one rests on meanwhile';
    $httpd->finish('nothing else in the log');
};

subtest 'share: not more members rest than may' => sub {
    my $httpd = balancer_httpd('standin', cluster('app', "UsherBackendRest failures=1 rest=1h share=49\n"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/usher_backend:/);
    $a->on('/cut', [cut]);
    is row($httpd, 6, '/cut'), 'b' x 6, 'no request is lost';
    like row($httpd, 6), qr/^(?:ab|ba){3}$/, 'it does not rest';
    $a->clear;
    $a->on(qr{.}, http_answer(200, [], 'a'));
    $httpd->log->expect(qr/USHER3008/);
    $a->stop;
    is row($httpd, 6), 'b' x 6, 'no request is lost';
    $a->start;
    is row($httpd, 6), 'b' x 6, 'but without a connection it does';
    $httpd->finish('nothing else in the log');
};

for my $method (qw(usher-requests byrequests)) {
    subtest "$method: all but one are down" => sub {
        my ($c) = backends('c');
        my $httpd = balancer_httpd('standin', cluster('app', 'BalancerMember ' . $c->url . "\nUsherBackendRest rest=1h\n") =~ s/=usher-requests/=$method/r,
            modules => [qw(proxy proxy_balancer slotmem_shm lbmethod_byrequests headers)]);
        ok $httpd->start, 'starts' or diag $httpd->console;
        $_->stop for $a, $c;
        is row($httpd, 20), 'b' x 20, 'no request is lost';
        my @lines = grep { /USHER20(?:12|20)/ } $httpd->log->lines;
        is scalar @lines, 2, 'two requests found out';
        $httpd->log->tolerate(qr/USHER(?:2012|2020|2017|3008)/);
        $a->start;
        $httpd->finish('nothing else in the log');
    };
}

subtest 'members that the stock modules have marked in error' => sub {
    my $httpd = balancer_httpd('standin', cluster('app') . "<Location /off>\nUsherBackend Off\n</Location>\n",
        modules => [qw(proxy proxy_http proxy_balancer slotmem_shm headers)]);
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/proxy/);
    $_->stop for $a, $b;
    is who($httpd, '/off'), 503, 'both are down';
    $_->start for $a, $b;
    like row($httpd, 4), qr/^(?:ab|ba)+$/, 'and serve when they are up again';
    $a->stop;
    is row($httpd, 3, '/off'), 'bbb', 'one is down';
    $a->start;
    is row($httpd, 4), 'bbbb', 'while others serve it waits';
    $httpd->finish('nothing else in the log');
};

# Who looks at all members for each request takes no account of sessions.
subtest 'a member that is due and full is not looked for with each request' => sub {
    my ($x, $y, $z) = backends(qw(x y z));
    my $httpd = balancer_httpd('standin', "<Proxy balancer://app>\nProxySet lbmethod=usher-requests stickysession=S\nUsherMemberMax 1 three\n"
        . join('', map { "BalancerMember " . $_->[0]->url . " route=$_->[1]\n" } [$x, 'one'], [$y, 'two'], [$z, 'three'])
        . "</Proxy>\nProxyPass / balancer://app/\nUsherBackendRest failures=1 rest=1s share=50 slowstart=0\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->expect(qr/USHER3008/);
    $httpd->log->tolerate(qr/usher_backend:/);
    $z->on('/cut', [cut()]);
    $z->on('/hold', [hold('z'), http_answer(200, [], 'z')]);
    row($httpd, 1, '/cut', [Cookie => 'S=x.three']);
    my $client;
    ok((wait_until {
        $client = Usher::Client->new(port => $httpd->port);
        $client->send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
        wait_until { $z->holding('z') || $client->wire->ready('r', 0) };
        $z->holding('z');
    }), 'it is tried after its rest, and hangs');
    my $since = time;
    wait_until { time > $since + 3 };
    like row($httpd, 4), qr/^(?:xy|yx)+$/, 'it is due again, and has no room';
    is row($httpd, 2, '/', [Cookie => 'S=x.one']), 'xx', 'a session';
    like row($httpd, 4), qr/^yy(?:xy|yx)$/, 'whose requests were turns';
    $z->release('z');
    $httpd->finish('nothing else in the log');
};

subtest 'off' => sub {
    my $httpd = balancer_httpd('standin', cluster('app', "UsherBackendRest Off\n"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/usher_backend:/);
    $a->stop;
    is row($httpd, 6), 'b' x 6, 'no request is lost';
    is join(' ', map { /usher_backend:(\w+)/ } grep { /USHER20(?:12|20)/ } $httpd->log->lines), 'warn info info', 'and the log is told once';
    $a->start;
    like row($httpd, 6), qr/^(?:ab|ba){3}$/, 'it did not rest';
    $httpd->finish('nothing else in the log');
};

subtest 'failures within a time, failonstatus' => sub {
    my $httpd = balancer_httpd('standin', cluster('app', "UsherBackendRest failures=2 within=1m rest=1h\n", 'failonstatus=500,501'));
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/usher_backend:/);
    $httpd->log->expect(qr/USHER3008: .* its answer's status is in failonstatus/);
    $a->on('/bad', http_answer(500, [], 'a'));
    $b->on('/bad', http_answer(500, [], 'b'));
    $a->on('/other', http_answer(502, [], 'a'));
    $b->on('/other', http_answer(502, [], 'b'));
    row($httpd, 8, '/other');
    like row($httpd, 4), qr/^(?:ab|ba){2}$/, 'an answer of another status is no failure';
    # a fails twice; b may not rest as well
    row($httpd, 8, '/bad');
    my $row = row($httpd, 6);
    like $row, qr/^(?:a{6}|b{6})$/, "one of them rests: $row";
    $httpd->finish('nothing else in the log');
    $_->clear for $a, $b;
    $a->on(qr{.}, http_answer(200, [], 'a'));
    $b->on(qr{.}, http_answer(200, [], 'b'));
};

subtest 'nofailover: a resting member of the session is tried' => sub {
    my $conf = cluster('app', "UsherBackendRest rest=1h\n", 'stickysession=S nofailover=On') =~ s/BalancerMember (\S+):(\d+)/BalancerMember $1:$2 route=r$2/gr;
    my $httpd = balancer_httpd('standin', $conf);
    my $port = $a->port;
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/usher_backend:|USHER3008/);
    is who($httpd, '/', [Cookie => "S=x.r$port"]), 'a', 'a session';
    $a->stop;
    like who($httpd, '/', [Cookie => "S=x.r$port"]), qr/^50[23]$/, 'its member is down';
    is row($httpd, 4), 'bbbb', 'others have another one';
    $a->start;
    is who($httpd, '/', [Cookie => "S=x.r$port"]), 'a', 'it is back for its session at once';
    $httpd->finish('nothing else in the log');
};

subtest 'members with one route' => sub {
    my $conf = sub { cluster($_[0], "UsherBackendRest rest=1h\n", 'stickysession=S') =~ s/(BalancerMember) \Q$A\E/$1 $A route=x/r =~ s/(BalancerMember) \Q$B\E/$1 $B route=x $_[1]/r };
    my $httpd = balancer_httpd('standin', $conf->('both', ''));
    ok $httpd->start, 'starts' or diag $httpd->console;
    like row($httpd, 12), qr/^(?:ab|ba){6}$/, 'each has its turns';
    $httpd->log->tolerate(qr/USHER2012/);
    $httpd->log->expect(qr/USHER3008: balancer:\/\/pair: \Q$A\E gets no requests/);
    $httpd->conf(balancer_conf($conf->('pair', 'status=+H')));
    ok next_generation($httpd), 'a member and its standby';
    is row($httpd, 4, '/', [Cookie => 'S=s.x']), 'aaaa', 'a session';
    $a->stop;
    is row($httpd, 12, '/', [Cookie => 'S=s.x']), 'b' x 12, 'goes on at the standby';
    is scalar(grep { /USHER2012/ } $httpd->log->lines), 1, 'one request found out';
    is row($httpd, 4), 'bbbb', 'and no new session did';
    $a->start;
    $httpd->finish('nothing else in the log');
};

subtest 'a child that is killed leaves nothing behind' => sub {
    my $httpd = balancer_httpd('standin', cluster('app', "UsherBackendRest rest=500ms slowstart=0s\n"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/usher_backend:|USHER30|AH00052|AH1039[23]/);
    $a->stop;
    is row($httpd, 2), 'bb', 'one rests';
    $a->{backlog} = 128;
    $a->start;
    $a->on('/slow', [stall(60)]);
    # Whoever tries it is killed in the middle of that.
    my $client = Usher::Client->new(port => $httpd->port);
    select undef, undef, undef, 0.6;
    $client->send(http_request(GET => '/slow'));
    ok((wait_until { scalar $a->requests('/slow') } 3), 'it is tried');
    my ($pid) = map { $_->{pid} } ask($httpd, 'pid');
    open my $fh, '<', "/proc/$httpd->{pid}/task/$httpd->{pid}/children" or die $!;
    kill 'KILL', split ' ', <$fh>;
    ok((wait_until { who($httpd) eq 'a' } 10), 'somebody else tries it, and it is back');
    like row($httpd, 6), qr/^(?:ab|ba){3}$/, 'with its share';
    $a->clear;
    $a->on(qr{.}, http_answer(200, [], 'a'));
    $httpd->finish('nothing else in the log');
};

subtest 'the budget of replays' => sub {
    my $httpd = balancer_httpd('standin', cluster('app') . "UsherReplayBudget percent=0 least=2 within=60s\nUsherBackendRest Off\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/usher_backend:/);
    $_->on('/cut', [cut]) for $a, $b;
    my $before = () = map { $_->requests('/cut') } $a, $b;
    row($httpd, 6, '/cut');
    my $after = () = map { $_->requests('/cut') } $a, $b;
    is $after - $before, 8, 'six requests, of which two were sent again';
    $httpd->finish('nothing else in the log');
};

done_testing;
