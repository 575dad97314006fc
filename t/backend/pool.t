# The connections that are kept to members: used again while they are good,
# left in time, never used when something is wrong with them.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Wait;

my $prefork = $ENV{USHER_MPM} eq 'prefork';
my %member = map { $_ => Usher::Backend->new } qw(plain once one queue ttl name two);
my $unix = Usher::Backend->new(unix => 1);
my $six = eval { Usher::Backend->new(host => '::1') };
my $httpd = backend_httpd(<<"EOT" . ($six ? "ProxyPass /six/ @{[ $six->url('/') ]}\n" : ''));
UsherBackendTimeout first=20s
UsherReplayBudget percent=100 least=1000
ProxyPass /plain/ @{[ $member{plain}->url('/') ]}
ProxyPass /once/ @{[ $member{once}->url('/') ]} disablereuse=on
ProxyPass /one/ @{[ $member{one}->url('/') ]} max=1 acquire=300
ProxyPass /queue/ @{[ $member{queue}->url('/') ]} max=1 acquire=20000
ProxyPass /ttl/ @{[ $member{ttl}->url('/') ]} ttl=1
ProxyPass /name/ http://localhost:@{[ $member{name}->port ]}/
ProxyPass /unix/ "@{[ $unix->url('/') ]}"
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
my $keep = http_answer(200, [], 'kept');
$_->on('/ok', $keep) for values %member, $unix, $six // ();

# All over one connection of a client, so that one child has them all.
my $client = Usher::Client->new(port => $httpd->port);
my $used = time;

sub get {
    my ($uri, $headers, $method, $body) = @_;
    # The worker MPM keeps one for five seconds; its one child has the next one, too.
    $client = Usher::Client->new(port => $httpd->port) if $ENV{USHER_MPM} eq 'worker' && time - $used > 2;
    $used = time;
    my $answer = $client->request($method // 'GET', $uri, $headers, $body);

    $client = Usher::Client->new(port => $httpd->port) if $answer->{end} ne 'complete'
        || http_has_token($answer->{headers}, 'Connection', 'close');
    return $answer;
}

# Sockets of httpd whose peer has closed: left open by us.
sub half_closed {
    my ($port) = @_;
    my $address = sprintf '0100007F:%04X', $port;

    open my $fh, '<', '/proc/net/tcp' or return 0;
    return scalar grep { (split)[2] eq $address && (split)[3] eq '08' } <$fh>;
}

subtest 'one after the other, over the same' => sub {
    for my $name ('plain', 'name', 'unix', $six ? 'six' : ()) {
        my $backend = $name eq 'unix' ? $unix : $name eq 'six' ? $six : $member{$name};
        is(get("/$name/ok")->{status}, 200, "$name: an answer") for 1 .. 5;
        is(scalar $backend->connections, 1, "$name: all over one connection");
        # For a POST it must have been in use within the last second.
        ok((in_calm {
            my $status = get("/$name/ok", [], 'POST', 'body')->{status};
            $status == 200 && ($backend->requests)[-1]{n} > 1;
        }), "$name: also to a POST");
    }
};

subtest 'not kept' => sub {
    my $backend = $member{plain};
    my %not = (
        'Connection: close'   => http_answer(200, [Connection => 'close'], 'x'),
        'HTTP/1.0'            => http_answer(200, [], 'x', version => '1.0'),
        'until the end'       => [http_answer(200, [], 'x', length => undef), cut],
    );
    for my $name (sort keys %not) {
        $backend->clear;
        $backend->on('/ok', $keep);
        $backend->on('/not', $not{$name});
        is(get('/plain/not')->{body}, 'x', "$name: the answer");
        ok((wait_until { !grep { $_->{state} ne 'closed' } $backend->connections } 2), 'closed') for 1;
        is(get('/plain/ok')->{status}, 200, 'the next one is served');
    }
    $backend->on('/old', http_answer(200, [Connection => 'keep-alive'], 'x', version => '1.0'));
    get('/plain/old') for 1 .. 3;
    cmp_ok((($backend->requests('/old'))[-1] // {})->{n} // 0, '>=', 3, 'HTTP/1.0 with keep-alive is kept');
    get('/once/ok') for 1 .. 3;
    is(scalar $member{once}->connections, 3, 'disablereuse=on: each has its own');
    is(join(' ', map { $_->{header}{connection} // '' } $member{once}->requests), 'close close close', 'and says so');
    ok((wait_until { !grep { $_->{state} ne 'closed' } $member{once}->connections } 2), 'none is left');
};

subtest 'closed by the member while idle' => sub {
    my $backend = $member{plain};
    for my $how (undef, 'rst') {
        for my $method (qw(GET POST)) {
            for my $pause (0, 1) {
                $backend->clear;
                $backend->on('/ok', $keep);
                get('/plain/ok');
                wait_until { grep { $_->{state} eq 'idle' } $backend->connections } 2;
                $backend->close_idle($how);
                my $name = join ', ', $how // 'fin', $method, $pause ? 'later' : 'at once';
                if ($pause) {
                    ok((wait_until { !half_closed($backend->port) } 2.5), "$name: httpd closes its end within two seconds");
                }
                my $id = "idle-" . ($how // 'fin') . "-$method-$pause";
                my $answer = get('/plain/ok', ['X-Id' => $id], $method, $method eq 'POST' ? 'body' : undef);
                is(tells($answer), '200 complete kept', "$name: the next request is served");
                is(scalar $backend->deliveries($id), 1, 'sent once');
            }
        }
    }
    if (!$prefork) {
        $backend->clear;
        $backend->on('/many', [hold('many'), $keep]);
        my @many = map { Usher::Client->new(port => $httpd->port) } 1 .. 8;
        $_->send(http_request(GET => '/plain/many')) for @many;
        wait_until { $backend->holding('many') == 8 };
        $backend->release('many');
        $_->answer for @many;
        ok((wait_until { 8 <= grep { $_->{state} eq 'idle' } $backend->connections }), 'eight are kept');
        $backend->close_idle;
        ok((wait_until { !half_closed($backend->port) } 2.5), 'and closed within two seconds when the member closed them');
    }
};

subtest 'requests that meet a closing connection' => sub {
    my $backend = $member{plain};
    my (%status, $twice);

    $backend->clear;
    $backend->on('/short', [http_answer(200, [], 'short'), idle(0.03, 'cut')]);
    for my $n (1 .. 120) {
        my $method = $n % 3 ? 'GET' : 'POST';
        my $answer = get('/plain/short', ['X-Id' => "race-$n"], $method, $method eq 'POST' ? 'body' : undef);
        ++$status{"$method " . ($answer->{status} // $answer->{end})};
        select undef, undef, undef, 0.02 + $n % 20 / 1000;
    }
    is($status{'GET 200'}, 80, 'every GET is served') or diag explain \%status;
    is(($status{'POST 200'} // 0) + ($status{'POST 502'} // 0), 40, 'every POST is served or a 502');
    cmp_ok($status{'POST 200'} // 0, '>=', 40 - 4 * patience, 'and most are served');
    my %times;
    ++$times{ $_->{header}{'x-id'} } for grep { $_->{method} eq 'POST' } $backend->requests;
    is(scalar(grep { $_ > 1 } values %times), 0, 'no POST came twice');
};

subtest 'the member says how long it keeps them' => sub {
    my $backend = $member{plain};
    $backend->clear;
    $backend->on('/three', http_answer(200, ['Keep-Alive' => 'timeout=3, max=100'], 'x'));
    ok((in_calm {
        get('/plain/three') for 1 .. 2;
        my ($first, $second) = ($backend->requests)[-2, -1];
        $second->{n} == $first->{n} + 1;
    }), 'timeout=3: used again at once');
    my $left = time + 2.1;
    wait_until { time > $left } 3;
    get('/plain/three');
    is(($backend->requests)[-1]{n}, 1, 'not after two seconds: left a second before the member closes it');
    ok((wait_until { grep { $_->{state} eq 'closed' && $_->{closed_by} eq 'peer' } $backend->connections } 3), 'by httpd');
    $backend->clear;
    $backend->on('/one', http_answer(200, ['Keep-Alive' => 'timeout=1'], 'x'));
    get('/plain/one');
    $left = time + 0.7;
    wait_until { time > $left } 3;
    get('/plain/one');
    is(($backend->requests)[-1]{n}, 1, 'timeout=1: left well before a second');
    get('/ttl/ok');
    $left = time + 1.2;
    wait_until { time > $left } 3;
    get('/ttl/ok');
    is(($member{ttl}->requests)[-1]{n}, 1, 'ttl=1: not used again after a second');
};

subtest 'unread bytes' => sub {
    my $backend = $member{plain};
    $backend->clear;
    $backend->on('/ok', $keep);
    $backend->on('/extra', [http_answer(200, [], 'x'), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"]);
    for my $n (1 .. 5) {
        get('/plain/extra');
        # They are there before the next request is.
        wait_until { $n == grep { $_->{uri} eq '/extra' && defined $_->{answered_at} } $backend->requests } 2;
        is(get('/plain/ok')->{body}, 'kept', 'what came after an answer is nobody\'s');
    }
};

# Each child of the prefork MPM has one thread.
subtest 'no more than max' => sub {
    my @first = map { Usher::Client->new(port => $httpd->port) } 1, 2;
    for my $place (qw(one queue)) {
        $member{$place}->on('/hold', [hold('busy'), $keep]);
        $first[ $place eq 'queue' ]->send(http_request(GET => "/$place/hold"));
        wait_until { $member{$place}->holding('busy') };
    }
    my $start = time;
    my $second = ask($httpd, GET => '/one/ok', ['X-Id' => 'limit']);
    is($second->{status}, 503, 'max=1 and busy: 503');
    cmp_ok(time - $start, '>=', 0.25, 'after acquire');
    soon($start, 2, 'not much later');
    like(logged($httpd, 'limit')->{attempts} // '', qr/=limit/, 'told so');
    my $third = Usher::Client->new(port => $httpd->port);
    $third->send(http_request(GET => '/queue/ok'));
    wait_until { 0 } 0.1;
    $member{$_}->release('busy') for qw(one queue);
    is($third->answer->{status}, 200, 'who waits for longer gets it when it is free');
    is($_->answer->{status}, 200, 'as the first') for @first;
    is(scalar $member{$_}->connections, 1, 'over one connection, all of them') for qw(one queue);
} if !$prefork;

subtest 'a member that was away' => sub {
    my $backend = $member{two};
    my $port = $backend->port;
    my $plain = $member{once};
    $plain->stop;
    like(get('/once/ok', [], $_, $_ eq 'POST' ? 'body' : undef)->{status}, qr/^50[23]$/, "down: $_") for qw(GET POST);
    $plain->start;
    $plain->on('/ok', $keep);
    is(get('/once/ok')->{status}, 200, 'back: at once, a plain worker is not put out of service');
};

subtest 'graceful restart' => sub {
    my $backend = $member{plain};
    $backend->clear;
    $backend->on('/ok', $keep);
    $backend->on('/slow', [stall(0.8), $keep]);
    my $slow = Usher::Client->new(port => $httpd->port);
    $slow->send(http_request(GET => '/plain/slow'));
    wait_until { scalar $backend->requests('/slow') };
    $httpd->log->tolerate(qr/AH00288|AH03490/);    # a small scoreboard
    ok($httpd->graceful, 'while a request is under way');
    is(tells($slow->answer), '200 complete kept', 'it gets its answer');
    is(ask($httpd, GET => '/plain/ok')->{status}, 200, 'and so do new ones');
};

$httpd->log->tolerate(qr/USHER2\d\d\d/);
# The worker MPM does not end threads that wait; it asks once more, and says so.
$httpd->log->tolerate(qr/AH00045/) if $ENV{USHER_MPM} eq 'worker';
$httpd->finish('httpd lives, and says nothing of closed idle connections');
done_testing;
