# Each phase has its time; when it is over the client gets a 504, or sees a cut,
# and a late answer reaches nobody.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Pattern;
use Usher::Wait;

my $backend = Usher::Backend->new;
my $other = Usher::Backend->new;
my $full = Usher::Backend->new(backlog => 1);
my $deaf = Usher::Backend->new(rcvbuf => 4096);
my $two = sub {
    my ($name, @urls) = @_;

    return "<Proxy balancer://$name>\nBalancerMember $urls[0]\nBalancerMember $urls[1] lbset=1\n</Proxy>\n"
        . "ProxyPass /$name/ balancer://$name/\n";
};
# Short are only those times that a request is about: what is well may take its time.
my $httpd = backend_httpd(<<"EOT");
UsherBackendTimeout connect=400ms send=20s first=20s between=20s
UsherBackendRest Off
UsherReplayBudget percent=100 least=1000
Timeout 20
ProxyPass /a/ @{[ $backend->url('/') ]}
ProxyPass /full/ @{[ $full->url('/') ]}
ProxyPass /deaf/ @{[ $deaf->url('/') ]}
@{[ $two->('two', $backend->url, $other->url) ]}
@{[ $two->('fulltwo', $full->url, $other->url) ]}
<Location /deaf>
    UsherBackendTimeout send=400ms
</Location>
<LocationMatch "/(?:late|half|drops)\$">
    UsherBackendTimeout first=400ms
</LocationMatch>
<Location /a/gap>
    UsherBackendTimeout between=400ms
</Location>
<Location /total>
    UsherBackendTimeout total=700ms first=20s between=20s
</Location>
ProxyPass /total/ @{[ $backend->url('/') ]}
ProxyPass /slow/ @{[ $backend->url('/') ]}
<Location /slow>
    UsherBackendTimeout send=400ms between=400ms
</Location>
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);
$_->on('/ok', http_answer(200, [], 'ok')) for $backend, $other, $full;

# As ask(); its time is from before it is sent.
sub timed {
    my $start = time;
    my $answer = ask(@_);

    return { %$answer, time => time - $start };
}

# between 0.4 and 0.4 + some: a busy machine is slow
sub took {
    my ($seconds, $least, $name) = @_;

    return ok($seconds >= $least - 0.05 && $seconds < $least + 2 + 3 * (patience - 1), sprintf '%s (%.2f s)', $name, $seconds);
}

subtest 'connect' => sub {
    $full->full;
    for my $case (['GET', undef], ['POST', 'body']) {
        my $answer = timed($httpd, $case->[0], '/full/ok', ['X-Id' => "full-$case->[0]"], $case->[1]);
        is($answer->{status}, 504, "$case->[0], nobody accepts: 504");
        took($answer->{time}, 0.4, 'in its time');
        is(logged($httpd, "full-$case->[0]")->{state}, 'sC', 'state sC');
        like(logged($httpd, "full-$case->[0]")->{attempts}, qr/^[^,=]*=unreachable[^,]*$/, 'unreachable');
        $answer = ask($httpd, $case->[0], '/fulltwo/ok', ['X-Id' => "next-$case->[0]"], $case->[1]);
        is(tells($answer), '200 complete ok', "$case->[0]: another member is asked");
        like(logged($httpd, "next-$case->[0]")->{attempts}, qr/^[^,=]*=unreachable[^,]*,[^,=]*=ok[^,]*$/, 'and told so');
    }
    $full->resume;
};

subtest 'send' => sub {
    $deaf->on('POST /up', [leave_body, stall]);
    for my $chunked (0, 1) {
        my $client = Usher::Client->new(port => $httpd->port);
        my $start = time;
        if ($chunked) {
            $client->send(http_request(POST => '/deaf/up', ['X-Id' => "send-$chunked"], pattern(0, 12_000_000), chunked => 65536), 8);
        } else {
            $client->send(http_request(POST => '/deaf/up', ['X-Id' => "send-$chunked", 'Content-Length' => 12_000_000]));
            $client->send_pattern(12_000_000, 8);
        }
        my $answer = $client->answer;
        is($answer->{status}, 504, 'a member that does not read: 504' . ($chunked ? ' (chunked)' : ''));
        soon($start, 6, 'in its time');
        is(scalar $deaf->deliveries("send-$chunked"), 1, 'sent once');
        like(logged($httpd, "send-$chunked")->{state}, qr/^s[HD]$/, 'state: the member was too slow');
    }
};

subtest 'a slow member that makes progress is not too slow' => sub {
    $backend->on('POST /slowly', [read_slowly(1_000_000, 0.1), http_answer(200, [], 'read')]);
    ok((in_calm {
        my $client = Usher::Client->new(port => $httpd->port);
        my $start = time;
        $client->send(http_request(POST => '/slow/slowly', ['Content-Length' => 15_000_000]));
        $client->send_pattern(15_000_000);
        ($client->answer->{body} // '') eq 'read' && time - $start > 0.4;
    }), 'an upload at its own pace, which takes longer than any one time');
    my $answer = http_answer(200, [], 'y' x 60);
    $backend->on('/trickle', [substr($answer, 0, -60), trickle('y' x 60, 6, 0.1)]);
    ok((in_calm {
        my $got = timed($httpd, GET => '/slow/trickle');
        tells($got) eq '200 complete ' . 'y' x 60 && $got->{time} > 0.4;
    }), 'so does an answer in small pieces');
};

subtest 'first' => sub {
    for my $method (qw(GET POST PUT)) {
        $_->clear for $backend, $other;
        $backend->on('/late', [stall]);
        $other->on('/late', http_answer(200, [], 'other'));
        my $answer = timed($httpd, $method, '/two/late', ['X-Id' => "first-$method"], $method eq 'GET' ? undef : 'body');
        is($answer->{status}, 504, "$method: 504");
        took($answer->{time}, 0.4, 'in its time');
        # It may read what it got only after the client has its answer.
        wait_until { $backend->deliveries("first-$method") };
        is(scalar $backend->deliveries("first-$method") + scalar $other->deliveries("first-$method"), 1, 'sent once');
        is(logged($httpd, "first-$method")->{state}, 'sH', 'state sH');
        like(logged($httpd, "first-$method")->{attempts}, qr/^[^,=]*=timeout[^,]*$/, 'one attempt: timeout');
    }
    $backend->clear;
    my $head = http_answer(200, ['X-A' => 'b' x 200], 'body');
    $backend->on('/half', [at($head, 20, stall)]);
    is(ask($httpd, GET => '/a/half')->{status}, 504, 'half a head: 504');
    $backend->on('/drops', [trickle($head, 1, 0.05)]);
    is(ask($httpd, GET => '/a/drops')->{status}, 504, 'a head in drops: it is the whole head that has the time');
};

subtest 'a late answer reaches nobody' => sub {
    $backend->clear;
    $backend->on('/late', [hold('late'), http_answer(200, [], 'LATE')]);
    $backend->on('/next', http_answer(200, [], 'its own answer'));
    my $kept = Usher::Client->new(port => $httpd->port);
    is($kept->request(GET => '/a/next')->{body}, 'its own answer', 'a connection to the member is kept');
    is($kept->request(GET => '/a/late')->{status}, 504, 'a late answer: 504');
    ok((wait_until { (($backend->requests('/late'))[0] // {})->{gone} } 2), 'the member sees the end');
    my ($wrong, $asked) = (0, 0);
    for my $n (1 .. 40) {
        $backend->release('late') if $n == 10;
        ++$asked;
        my $answer = ask($httpd, GET => '/a/next', [Connection => 'close']);
        ++$wrong if tells($answer) ne '200 complete its own answer';
    }
    is($wrong, 0, "$asked requests around its coming get their own");
};

subtest 'between' => sub {
    $backend->clear;
    my $answer = http_answer(200, [], 'x' x 100);
    $backend->on('/gap', [at($answer, length($answer) - 40, stall)]);
    my $got = timed($httpd, GET => '/a/gap', ['X-Id' => 'gap']);
    is("$got->{status} $got->{body_len}", '200 60', 'a gap in the body: the client has what came');
    ok(!$got->{complete} && $got->{end} =~ /^(?:closed|reset)$/, 'and sees that it is cut');
    took($got->{time}, 0.4, 'in its time');
    is(logged($httpd, 'gap')->{state}, 'sD', 'state sD');
    my ($conn) = map { $_->{conn} } $backend->deliveries('gap');
    ok((wait_until { grep { $_->{id} == $conn && $_->{state} eq 'closed' } $backend->connections } 2), 'the connection is closed');
    $got = ask($httpd, GET => '/a/gap', [], undef, version => '1.0');
    is($got->{end}, 'reset', 'HTTP/1.0: reset');
};

subtest 'total' => sub {
    $backend->clear;
    my $answer = http_answer(200, [], 'x' x 100);
    $backend->on('/wait', [stall]);
    my $got = timed($httpd, GET => '/total/wait', ['X-Id' => 'total']);
    is($got->{status}, 504, 'no answer in the total time: 504');
    took($got->{time}, 0.7, 'in its time');
    like(logged($httpd, 'total')->{state}, qr/^sH$/, 'state sH');
    $backend->on('/drips', [substr($answer, 0, length($answer) - 100), trickle('x' x 100, 1, 0.1)]);
    my $id = 'drips';
    # Where even the head comes too late: once more.
    in_calm {
        $got = timed($httpd, GET => '/total/drips', ['X-Id' => $id .= 'x']);
        $got->{status} == 200;
    };
    ok($got->{status} == 200 && !$got->{complete}, 'a body that is not over in it: cut');
    took($got->{time}, 0.7, 'in its time');
    like(logged($httpd, $id)->{state}, qr/^sD$/, 'state sD');
    # A slow client's upload counts, too.
    my $client = Usher::Client->new(port => $httpd->port);
    $backend->on('/up', echo);
    $client->send(http_request(POST => '/total/up', ['Content-Length' => 100, 'X-Id' => 'slow']));
    my $start = time;
    $client->trickle('x' x 40, 1, 0.05);
    my $end = $client->answer;
    like($end->{status} // 'none', qr/^(?:408|504)$/, 'a client that takes that long to send: an answer');
    soon($start, 4, 'in its time');
};

$httpd->finish('httpd lives, and logs only what was too slow');

# Without UsherBackendTimeout the worker's keys, ProxyTimeout and Timeout count.
subtest 'times by the stock directives' => sub {
    $full->full;
    my $httpd = backend_httpd(<<"EOT");
Timeout 30
ProxyTimeout 1
ProxyPass /key/ @{[ $backend->url('/') ]} timeout=2
ProxyPass /proxy/ @{[ $other->url('/') ]}
ProxyPass /full/ @{[ $full->url('/') ]} connectiontimeout=300ms
EOT
    ok($httpd->start, 'httpd starts') or diag $httpd->console;
    $httpd->log->tolerate(qr/USHER2\d\d\d/);
    $_->on('/wait', [stall]) for $backend, $other;
    my $answer = timed($httpd, GET => '/key/wait');
    is($answer->{status}, 504, 'timeout=2: 504');
    took($answer->{time}, 2, 'after two seconds');
    $answer = timed($httpd, GET => '/proxy/wait');
    is($answer->{status}, 504, 'ProxyTimeout 1: 504');
    took($answer->{time}, 1, 'after one');
    $answer = timed($httpd, GET => '/full/ok');
    is($answer->{status}, 504, 'connectiontimeout=300ms: 504');
    took($answer->{time}, 0.3, 'after that');
    $httpd->finish('only what was too slow in the log');
};

done_testing;
