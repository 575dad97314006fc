# Members that sign themselves in: in effect in all children after their first good check, gone
# for new requests when they leave, and nothing is left of them but what a request still uses.
use strict;
use warnings FATAL => 'all';

use POSIX ();
use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::CoreTest ();
use Usher::Env ();
use Usher::Load ();
use Usher::Load::Backend ();
use Usher::Wait;
use Usher::TunnelTest ();
use Usher::WebSocket ();

plan skip_all => 'needs mod_usher_backend' if !grep { $_ eq 'standin' } modes();

my $check = 'UsherCheck tcp interval=200ms timeout=20s rise=2 fall=2 slowstart=0' . "\nUsherMembers upgrade=websocket";

sub cluster {
    my ($more, $after) = @_;

    return "<Proxy balancer://app>\nProxySet lbmethod=usher-requests\n" . ($more // $check) . "\n</Proxy>\n"
        . "ProxyPass /t !\nProxyPass / balancer://app/\n" . ($after // '');
}

sub httpd {
    my $httpd = balancer_httpd('standin', cluster(@_), loglevel => 'info usher_balancer:trace2');

    $httpd->log->tolerate(qr/USHER3063/); # where a request comes before the first member
    return $httpd;
}

sub join_in { my ($httpd, $route, $backend, @more) = @_; return Usher::CoreTest::ask($httpd, 'join=' . join ',', 'app', $route, ref $backend ? $backend->url : $backend, @more)->{rv} }
sub leave { return Usher::CoreTest::ask($_[0], "leave=app,$_[1]")->{rv} }

# Until all children send all requests to these.
sub settles {
    my ($httpd, $members) = @_;

    return wait_until { my %by = map { $_ => 1 } map { who($httpd) } 1 .. 12; join(' ', sort keys %by) eq $members } 30;
}

subtest 'an empty cluster fills and empties' => sub {
    my ($a, $b) = backends(qw(a b));
    my $httpd = httpd();
    ok $httpd->start, 'starts without members' or diag $httpd->console;
    $httpd->log->expect(qr/USHER3063: balancer:\/\/app has no members: none has signed in yet/);
    my $answer = Usher::Client->get($httpd->port, '/');
    is $answer->{status}, 503, 'nobody is there';
    like $answer->{head}, qr/^Retry-After: 1\r$/m, 'for now';
    is join_in($httpd, 'a', $a), 0, 'one signs in';
    ok settles($httpd, 'a'), 'and serves';
    ok $httpd->log->wait_for(qr/USHER3060: balancer:\/\/app: \S+ \(route "a"\), which has signed in, gets requests/), 'which the log says';
    is join_in($httpd, 'b', $b), 0, 'another one';
    ok settles($httpd, 'a b'), 'serves beside it, in all children';
    is leave($httpd, 'a'), 0, 'the first one leaves';
    ok settles($httpd, 'b'), 'and gets nothing any more';
    $httpd->finish('nothing unforeseen in the log');
};


# All requests of this backend so far but those of health checks, which have no path of ours.
sub asked { return scalar grep { $_->{uri} =~ /^\/(?!health)/ } $_[0]->requests }

subtest 'nobody is asked before the first good check' => sub {
    my ($a, $b, $c) = backends(qw(a b c));
    my $httpd = httpd("$check\nBalancerMember " . $a->url);
    ok $httpd->start, 'starts with a static member' or diag $httpd->console;
    $httpd->log->expect(qr/USHER3045: balancer:\/\/app: \S+ is down, as its health check \(http\) failed: status 503/);
    $b->on('/health', http_answer(503, [], 'not yet'));
    is join_in($httpd, 'b', $b, 'check=/health'), 0, 'one signs in whose check fails';
    ok wait_until { scalar(() = $b->requests('/health')) >= 2 }, 'it is asked, and again soon';
    is counts($httpd, 20), 'a:20', 'and gets nothing';
    is asked($b), 0, 'not one request';
    $b->on('/health', http_answer(200, [], 'now'));
    ok settles($httpd, 'a b'), 'one good check is enough';
    $b->on('/health', http_answer(503, [], 'not any more'));
    ok settles($httpd, 'a'), 'when its checks fail later, it gets nothing';
    $b->on('/health', http_answer(200, [], 'again'));
    ok settles($httpd, 'a b'), 'until they go well again';
    # Its next check may come before it signs in elsewhere.
    $httpd->log->tolerate(qr/USHER3008: balancer:\/\/app: \S+ gets no requests for a while|USHER3045: .* failed: (?:no connection|closed)/);
    $b->stop;
    is join_in($httpd, 'b', $c, 'check=tcp'), 0, 'the same route signs in from another place';
    ok settles($httpd, 'a c'), 'and serves there';
    $httpd->log->expect(qr/USHER3061: balancer:\/\/app: a registered member \(route "x"\) gets no requests, as mod_usher_backend does not serve its scheme/);
    is join_in($httpd, 'x', 'fcgi://127.0.0.1:9'), 0, 'what cannot be served';
    ok settles($httpd, 'a c'), 'is left out';
    ok $httpd->log->wait_for(qr/USHER3061/), 'which the log says';
    $httpd->finish('nothing unforeseen in the log');
};

subtest 'who fails rests, as static members do' => sub {
    my ($a, $b) = backends(qw(a b));
    my $httpd = httpd("UsherCheck tcp interval=1h timeout=20s rise=1 fall=1 slowstart=0");
    ok $httpd->start, 'starts' or diag $httpd->console;
    join_in($httpd, 'a', $a);
    join_in($httpd, 'b', $b);
    ok settles($httpd, 'a b'), 'two members';
    $httpd->log->expect(qr/USHER3008: balancer:\/\/app: \S+ gets no requests for a while/);
    $httpd->log->tolerate(qr/USHER2\d\d\d/);
    # The next one comes in an hour: else that might find out before any request does.
    my $url = $b->url;
    ok((wait_until { 2 <= grep { /check of \Q$url\E: passed/ } $httpd->log->lines }), 'its second check, a second after the first');
    $b->stop;
    is counts($httpd, 12), 'a:12', 'all requests are answered';
    ok $httpd->log->wait_for(qr/USHER3008/), 'and it rests';
    $httpd->finish('nothing unforeseen in the log');
};

subtest 'drain: its sessions only' => sub {
    my ($a, $b) = backends(qw(a b));
    my $httpd = httpd("$check\nUsherStickyCookie APP secure=off");
    ok $httpd->start, 'starts' or diag $httpd->console;
    join_in($httpd, 'a', $a);
    join_in($httpd, 'b', $b);
    ok settles($httpd, 'a b'), 'two members';
    my %cookie;
    for (1 .. 8) {
        my $answer = Usher::Client->get($httpd->port, '/');
        $cookie{ $answer->{body} } = $1 if $answer->{head} =~ /^Set-Cookie: (APP=[^;]*)/m;
    }
    is_deeply [sort keys %cookie], ['a', 'b'], 'both have sessions';
    my $stay = sub { return counts($httpd, 12, '/', [Cookie => $cookie{a}]) };
    is $stay->(), 'a:12', 'which stay';
    for my $how ('drain=600000', 'weight=0') {
        join_in($httpd, 'a', $a, $how);
        ok settles($httpd, 'b'), "$how: no new requests";
        is $stay->(), 'a:12', 'but those of its sessions';
        join_in($httpd, 'a', $a);
        ok settles($httpd, 'a b'), 'it serves again';
    }
    leave($httpd, 'a');
    ok settles($httpd, 'b'), 'gone';
    is who($httpd, '/', [Cookie => $cookie{a}]), 'b', 'its sessions move';
    join_in($httpd, 'a', $a);
    ok settles($httpd, 'a b'), 'back';
    is $stay->(), 'a:12', 'its users find it again';
    $httpd->finish('nothing unforeseen in the log');
};

# The stock modules ask again and again (timeout=) for a member that nofailover= holds them to.
subtest 'a session of a member that leaves, in the hands of the stock modules' => sub {
    my ($a, $b) = backends(qw(a b));
    my $httpd = balancer_httpd('standin', "<Proxy balancer://app>\nProxySet lbmethod=usher-requests nofailover=On timeout=@{[ 5 * patience ]}\n$check\nUsherStickyCookie APP secure=off\n</Proxy>\n"
        . "<Location /off>\nUsherBackend Off\n</Location>\nProxyPass /t !\nProxyPass / balancer://app/\n", modules => [qw(proxy proxy_http proxy_balancer slotmem_shm headers)]);
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/USHER30(?:30|63)|proxy_balancer/);
    join_in($httpd, 'a', $a);
    ok settles($httpd, 'a'), 'one member';
    my ($cookie) = Usher::Client->get($httpd->port, '/')->{head} =~ /^Set-Cookie: (APP=[^;]*)/m;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        my $answer = Usher::Client->get($httpd->port, '/off', [Cookie => $cookie], timeout => 60);
        POSIX::_exit($answer->{status} == 503 ? 0 : 1);
    }
    ok $httpd->log->wait_for(qr/USHER3030: balancer:\/\/app: 503, as \S+, which this session belongs to/), 'it is waited for';
    leave($httpd, 'a');
    join_in($httpd, "c$_", $b), leave($httpd, "c$_"), who($httpd) for 1 .. 10;
    waitpid $pid, 0;
    is $?, 0, 'it gets 503';
    open my $fh, '<', $httpd->error_log or die $!;
    cmp_ok scalar(grep { /USHER3030/ } <$fh>), '<', 90, 'nobody speaks of it any more when it has left';
    $httpd->finish('nothing unforeseen in the log');
};

subtest 'what an answer says of its place is mapped' => sub {
    my ($a) = backends('a');
    my $httpd = httpd($check, "ProxyPassReverse /deep/ balancer://app/low/\nProxyPassReverse / balancer://app/\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    join_in($httpd, 'a', $a);
    ok settles($httpd, 'a'), 'one member';
    for my $case (['/x', '/x'], ['/', '/'], ['/low/y?z', '/deep/y?z']) {
        my ($path, $mapped) = @$case;
        $a->on('/go', http_answer(302, [Location => $a->url($path)], ''));
        my ($to) = Usher::Client->get($httpd->port, '/go')->{head} =~ /^Location: (.*)\r$/m;
        is $to, 'http://localhost:' . $httpd->port . $mapped, "to its $path";
    }
    $a->on('/go', http_answer(302, [Location => 'http://elsewhere.test/x'], ''));
    like +Usher::Client->get($httpd->port, '/go')->{head}, qr/^Location: http:\/\/elsewhere\.test\/x\r$/m, 'other places stay';
    $a->on('/go', http_answer(302, [Location => $a->url('') . '0/low/y'], ''));
    like +Usher::Client->get($httpd->port, '/go')->{head}, qr/^Location: ${\ $a->url('') }0\/low\/y\r$/m, 'a port that only begins as its own does, too';
    $httpd->finish('nothing unforeseen in the log');
};

# Children come and go: the new ones know who has signed in.
subtest 'restarts, and children that are killed' => sub {
    my ($a) = backends('a');
    my $httpd = httpd();
    ok $httpd->start, 'starts' or diag $httpd->console;
    join_in($httpd, 'a', $a);
    ok settles($httpd, 'a'), 'one member';
    $httpd->graceful;
    is counts($httpd, 24), 'a:24', 'after a graceful restart at once';
    my $pid = Usher::CoreTest::ask($httpd, 'pid')->{pid};
    $httpd->log->tolerate(qr/AH00051|AH00052|exit signal Killed/);
    kill 'KILL', $pid;
    ok wait_until { !kill 0, $pid }, 'a child is killed';
    is counts($httpd, 24), 'a:24', 'the others, and a new one, serve on';
    $httpd->finish('nothing unforeseen in the log');
};

sub secret { return ($_[0]->requests)[-1]{ajp}{attributes}{secret} // '' }

subtest 'the AJP secret' => sub {
    my $ajp = Usher::Backend->new(protocol => 'ajp');
    $ajp->on(qr{.}, ajp_answer(200, ['Content-Type' => 'text/plain'], 'ajp'));
    my $httpd = httpd("$check\nUsherMembers secret=all", 'UsherTestSecrets On');
    ok $httpd->start, 'starts' or diag $httpd->console;
    join_in($httpd, 'a', $ajp);
    ok settles($httpd, 'ajp'), 'serves with that of UsherMembers';
    is secret($ajp), 'all', 'which it gets';
    join_in($httpd, 'a', $ajp, 'secret=name:good');
    ok wait_until { who($httpd) eq 'ajp' && secret($ajp) eq 's3cret' }, 'then with its own';
    $httpd->log->expect(qr/USHER3062: balancer:\/\/app: registered member ajp:\S+ \(route "b"\) gets no requests, as its AJP secret is not known/);
    join_in($httpd, 'b', $ajp, 'secret=name:bad');
    ok $httpd->log->wait_for(qr/USHER3062/), 'one whose secret is not known is told of';
    $ajp->clear;
    $ajp->on(qr{.}, ajp_answer(200, ['Content-Type' => 'text/plain'], 'ajp'));
    is counts($httpd, 12), 'ajp:12', 'and left out';
    is scalar(grep { ($_->{ajp}{attributes}{secret} // '') ne 's3cret' } $ajp->requests), 0, 'nothing went without it';
    $httpd->finish('nothing unforeseen in the log');
};

# Until no connection to a member that has left is open. Whoever makes the next list frees what is
# left of the one before; or the tick does.
sub lets_go {
    my ($httpd, $left, $other) = @_;

    return wait_until {
        for (1 .. 4) {
            join_in($httpd, 'c', $other);
            leave($httpd, 'c');
            who($httpd);
        }
        !grep { $_->{state} ne 'closed' } $left->connections;
    } 60;
}

# What a member that left still has to do it ends in peace.
subtest 'a tunnel goes on when its member has left' => sub {
    my ($a, $b) = backends(qw(a b));
    my $httpd = httpd();
    ok $httpd->start, 'starts' or diag $httpd->console;
    $a->on('/chat', [@Usher::TunnelTest::echo]);
    join_in($httpd, 'a', $a);
    ok settles($httpd, 'a'), 'one member';
    my $ws = Usher::WebSocket->open(Usher::Client->new(port => $httpd->port), '/chat', []);
    ok !$ws->{refused}, 'a WebSocket' or diag $ws->{refused};
    $ws->say('one');
    is $ws->message->{payload}, 'one', 'echoes';
    join_in($httpd, 'b', $b);
    leave($httpd, 'a');
    ok settles($httpd, 'b'), 'its member leaves';
    join_in($httpd, "c$_", $b), leave($httpd, "c$_"), who($httpd) for 1 .. 10;
    $ws->say('two');
    is $ws->message->{payload}, 'two', 'it goes on';
    $ws->close(1000);
    $ws->{client}->close; # httpd waits for that, too, before the tunnel is over
    ok lets_go($httpd, $a, $b), 'then nothing is kept open to the server that has left';
    $httpd->finish('nothing unforeseen in the log');
};

# Joins and leaves under load: nobody sees them.
subtest 'under load no request fails' => sub {
    my @backends = map { my $backend = Usher::Load::Backend->new($_); $backend->start; $backend } qw(one two three);
    my $httpd = httpd();
    ok $httpd->start, 'starts' or diag $httpd->console;
    join_in($httpd, $_->name, $_->url) for @backends;
    ok wait_until { my $answer = Usher::Client->get($httpd->port, '/?id=1-1&size=100&ms=0&chunked=0'); $answer->{status} == 200 }, 'they serve';
    my $load = Usher::Load->new(port => $httpd->port, paths => ['/'], clients => 8);
    for my $round (1 .. ($ENV{USHER_LONG} ? 60 : 4)) {
        my $backend = $backends[ $round % @backends ];
        is leave($httpd, $backend->name), 0, 'one leaves';
        my $since = Usher::Load::now();
        ok $load->wait_for(sub { $_->{end} eq 'ok' && $_->{began} > $since }, 30), 'the others serve';
        $httpd->graceful if $round == 2;
        is join_in($httpd, $backend->name, $backend->url), 0, 'it comes back';
        ok $load->wait_for(sub { $_->{by} eq $backend->name && $_->{began} > $since }, 30), 'and serves';
    }
    ok $load->end, 'all clients came to their end';
    my @failed = grep { $_->{end} ne 'ok' && !($_->{end} eq 'lost' && !$_->{fresh}) } $load->requests;
    is @failed, 0, 'no request failed' or diag map { "$_->{id} $_->{method} $_->{end} $_->{status} by $_->{by}\n" } @failed;
    $httpd->finish('nothing unforeseen in the log');
};

sub rss { open my $fh, '<', "/proc/$_[0]/statm" or return 0; return (split ' ', readline $fh)[1] * 4 }
sub fds { opendir my $dir, "/proc/$_[0]/fd" or return 0; return scalar grep { !/^\./ } readdir $dir }

# Lists, members, connections: whatever comes and goes, a child keeps what it needs.
subtest 'memory is constant' => sub {
    my ($a) = backends('a');
    my $httpd = httpd("$check\nBalancerMember " . $a->url . ' route=fixed', $ENV{USHER_MPM} eq 'prefork' ? '' : "ServerLimit 1\nStartServers 1\nThreadsPerChild 4\nThreadLimit 4\nMinSpareThreads 1\nMaxSpareThreads 4\nMaxRequestWorkers 4\nKeepAlive Off\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $pid = Usher::CoreTest::ask($httpd, 'pid')->{pid};
    my $rounds = $ENV{USHER_LONG} ? 1000 : 50;
    my (@rss, @fds);
    for my $half (0, 1, 2) {
        my $job = Usher::CoreTest::background($httpd, "churn=$rounds,50,app," . $a->url, 300);
        is who($httpd), 'a', 'served' for 1 .. 10;
        who($httpd) for 1 .. 5 * $rounds;
        is Usher::CoreTest::answer_of($job)->{rounds}, $rounds, 'members came and went';
        wait_until { fds($pid) <= ($fds[0] // 1e9) + 8 } 30;
        push @rss, rss($pid);
        push @fds, fds($pid);
    }
    note "RSS @rss KiB, descriptors @fds";
    if (!Usher::Env::slowed()) {
        cmp_ok $rss[2] - $rss[1], '<', 1500, 'memory does not grow';
    }
    cmp_ok $fds[2], '<=', $fds[0] + 8, 'nor do connections';
    $httpd->finish('nothing unforeseen in the log');
} if $ENV{USHER_MPM} ne 'prefork';

subtest 'what configtest says of UsherMembers' => sub {
    for my $case (['an unknown key', 'retry=1', qr/UsherMembers "retry=1": takes key=value with the keys timeout, /],
        ['a bad time', 'timeout=never', qr/UsherMembers "timeout=never": timeout takes 1ms to 24h/],
        ['a bad word', 'keepalive=maybe', qr/UsherMembers "keepalive=maybe": keepalive takes off or on/],
        ['too long a secret', 'secret=' . 'x' x 64, qr/secret takes a text of up to 63 bytes/],
        ['nothing', '', qr/UsherMembers needs at least one of timeout/]) {
        my ($name, $keys, $message) = @$case;
        my $httpd = httpd("UsherMembers $keys");
        my ($code, $text) = $httpd->configtest;
        isnt $code, 0, "$name is refused";
        like $text, $message, 'and told';
    }
    my $httpd = httpd('', "UsherMembers timeout=5\n");
    my ($code, $text) = $httpd->configtest;
    like $text, qr/UsherMembers .*belongs into the section <Proxy balancer:\/\/name>/, 'only of a cluster';
};

done_testing;
