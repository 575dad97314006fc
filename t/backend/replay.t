# Which requests are sent a second time, how many, and what a member is blamed
# for: UsherReplay, UsherReplayBudget, UsherReplayBuffer, UsherBackendRest.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Pattern;
use Usher::Wait;

my ($a, $b) = map { Usher::Backend->new } 1, 2;
my $pair = sub { return pair_conf($a, $b, @_) };
my $free = 'UsherBackendRest Off';
my $httpd = backend_httpd(<<"EOT", modules => [qw(setenvif headers)]);
UsherReplayBudget percent=100 least=1000
@{[ map { $pair->("replay-$_", "$free\nUsherReplay $_") } qw(off safe idempotent) ]}
@{[ $pair->('default', $free) ]}
@{[ $pair->('none', "$free\nUsherReplayBuffer memory=0 file=0") ]}
@{[ $pair->('small', "$free\nUsherReplayBuffer memory=1K file=10K") ]}
@{[ $pair->('large', "$free\nUsherReplayBuffer memory=1K file=10M") ]}
SetEnvIf Request_URI "/report" usher-no-replay
@{[ $pair->('rest', 'UsherBackendRest failures=3 within=20s rest=1s slowstart=0 share=50') ]}
@{[ $pair->('all', 'UsherBackendRest failures=1 rest=1h share=100') ]}
@{[ $pair->('blame', 'UsherBackendRest failures=2 within=20s rest=1h share=100') ]}
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);

my $n = 0;
my $sound = http_answer(200, [Connection => 'close'], 'sound');

# One request whose first delivery is cut: (status, deliveries).
sub cut_once {
    my ($base, $method, $body, %opt) = @_;
    my $id = 'r' . ++$n;

    $_->clear for $a, $b;
    $_->on(qr{}, $sound) for $a, $b;
    $a->on(qr{/cut|/report}, [$opt{break} // cut], $sound);
    my $answer = ask($httpd, $method, "/$base/" . ($opt{path} // 'cut'), ['X-Id' => $id, @{ $opt{headers} // [] }], $body, @{ $opt{how} // [] });
    return join ' ', $answer->{status} // 'none', scalar $a->deliveries($id) + scalar $b->deliveries($id);
}

subtest 'UsherReplay' => sub {
    my @methods = qw(GET HEAD OPTIONS TRACE PUT DELETE POST PATCH PROPFIND STRANGE);
    my %again = (
        'replay-off'        => {},
        'replay-safe'       => { map { $_ => 1 } qw(GET HEAD OPTIONS TRACE) },
        'replay-idempotent' => { map { $_ => 1 } qw(GET HEAD OPTIONS TRACE PUT DELETE) },
        'default'           => { map { $_ => 1 } qw(GET HEAD OPTIONS TRACE PUT DELETE) },
    );
    for my $base (sort keys %again) {
        for my $method (@methods) {
            my $body = $method =~ /^P(?:UT|OST|ATCH)$/ ? 'body' : undef;
            is(cut_once($base, $method, $body), $again{$base}{$method} ? '200 2' : '502 1',
                "$base: $method " . ($again{$base}{$method} ? 'is sent again' : 'is not'));
        }
    }
    is(cut_once('default', 'GET', undef, path => 'cut?a=b&c=d'), '200 2', 'a query string does not matter');
    is(cut_once('default', 'GET', undef, path => 'report'), '502 1', 'usher-no-replay: not for this one');
    is(cut_once('default', 'GET', undef, headers => [Connection => 'Upgrade', Upgrade => 'websocket']), '502 1',
        'a request for an upgrade is not sent again');
    # Nothing was sent: it goes on in any case.
    $a->stop;
    for my $base (sort keys %again) {
        for my $method (qw(GET POST)) {
            $b->clear;
            $b->on(qr{}, $sound);
            is(ask($httpd, $method, "/$base/refused", ['X-Id' => "refused-$base-$method"], $method eq 'POST' ? 'body' : undef)->{status}, 200,
                "$base: a refused $method goes on");
            is(scalar $b->deliveries("refused-$base-$method"), 1, 'to the other member');
        }
    }
    $a->start;
};

subtest 'UsherReplayBuffer' => sub {
    # undef: whatever came with the head may be held anyway
    my %again = (none => [undef, 0, 0], small => [1, 0, 0], large => [1, 1, 1], default => [1, 1, 0]);
    my @sizes = (500, 200_000, 5_000_000);
    for my $base (sort keys %again) {
        for my $i (0 .. $#sizes) {
            next unless defined $again{$base}[$i];
            for my $chunked (0, 1) {
                # The request is read whole, then cut.
                is(cut_once($base, 'PUT', pattern(0, $sizes[$i]), how => [$chunked ? (chunked => 10_000) : ()]), $again{$base}[$i] ? '200 2' : '502 1',
                    "$base: a PUT of $sizes[$i] bytes" . ($chunked ? ' in chunks' : '') . ($again{$base}[$i] ? ' is sent again' : ' is not'));
            }
        }
        is(cut_once($base, 'GET', undef), '200 2', "$base: without a body it is");
    }
    # What is sent again is the same.
    for my $base (qw(large default)) {
        $_->clear for $a, $b;
        $a->on('/cut', [cut]);
        $b->on('/cut', echo);
        is(ask($httpd, PUT => "/$base/cut", [], pattern(0, 300_000))->{body}, 'PUT /cut 300000 ' . pattern_sha1(300_000) . "\n", "$base: the same bytes, from a file");
        is(ask($httpd, PUT => "/$base/cut", [], pattern(0, 300_000), chunked => 7777)->{body}, 'PUT /cut 300000 ' . pattern_sha1(300_000) . "\n", "$base: in chunks, too");
    }
};

subtest 'two deliveries at most' => sub {
    for my $base (qw(default replay-idempotent)) {
        for my $break (cut, rst) {
            $_->clear for $a, $b;
            $_->on('/always', [$break]) for $a, $b;
            my $id = 'max' . ++$n;
            is(ask($httpd, GET => "/$base/always", ['X-Id' => $id])->{status}, 502, 'cut wherever it goes: 502');
            is(scalar $a->deliveries($id) + scalar $b->deliveries($id), 2, 'two deliveries, no more');
        }
    }
};

subtest 'what a member is blamed for' => sub {
    my $first = sub {
        my ($base) = @_;
        my $id = 'f' . ++$n;
        my $answer = ask($httpd, GET => "/$base/fine", ['X-Id' => $id]);
        is($answer->{status}, 200, 'served') if ($answer->{status} // 0) != 200;
        return scalar $a->deliveries($id) ? 'first' : scalar $b->deliveries($id) ? 'second' : 'nobody';
    };
    my $reset = sub {
        $_->clear for $a, $b;
        $_->on(qr{}, $sound) for $a, $b;
    };

    $reset->();
    is($first->('blame'), 'first', 'at first the first member serves');
    my %no_blame = (
        'its own 500'            => [http_answer(500, [], 'x')],
        'its own 502'            => [http_answer(502, [], 'x')],
        'its own 503'            => [http_answer(503, [], 'x')],
        'its own 504'            => [http_answer(504, [], 'x')],
        'a 404'                  => [http_answer(404, [], 'x')],
    );
    for my $name (sort keys %no_blame) {
        $reset->();
        $a->on('/odd', $no_blame{$name});
        my $status = $no_blame{$name}[0] =~ /^HTTP\S+ (\d+)/ ? $1 : 0;
        my @got = map { ask($httpd, GET => '/blame/odd') } 1 .. 4;
        is($_->{status} . $_->{body}, $status . 'x', "$name is passed on") for $got[0];
        is($first->('blame'), 'first', 'and no reason to rest');
    }
    # Faults of clients
    $reset->();
    for my $bytes ("POST /blame/x HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n", "POST /blame/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST /blame/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "POST /blame/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST /blame/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\nbody", "GET /blame/\0 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /blame/x HTTP/1.1\r\n\r\n",
        "POST /blame/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n") {
        for (1 .. 3) {
            my $client = Usher::Client->new(port => $httpd->port);
            $client->send($bytes);
            my $answer = $client->answer(timeout => 5);
            like($answer->{status} // 'none', qr/^4\d\d$/, 'a malformed request is the client\'s fault') if $_ == 1;
        }
        is($first->('blame'), 'first', 'and no reason to rest');
    }
    for my $how (qw(reset close)) {
        $reset->();
        $a->on('/slow', [stall(3)]);
        for (1 .. 3) {
            my $client = Usher::Client->new(port => $httpd->port);
            my $id = 'g' . ++$n;
            $client->send("POST /blame/slow HTTP/1.1\r\nHost: a\r\nX-Id: $id\r\nContent-Length: 10\r\n\r\nhalf");
            wait_until { scalar $a->deliveries($id) } 0.2;
            $client->$how;
            logged($httpd, $id);
        }
        is($first->('blame'), 'first', "a client that goes ($how) is no reason to rest");
    }
    # Once is not enough, twice is.
    $reset->();
    $a->on('POST /bad', [cut]);
    is(ask($httpd, POST => '/blame/bad', [], 'x')->{status}, 502, 'a cut');
    is($first->('blame'), 'first', 'one is not enough to rest');
    is(ask($httpd, POST => '/blame/bad', [], 'x')->{status}, 502, 'another one');
    is($first->('blame'), 'second', 'with failures=2 two are');
    is(ask($httpd, POST => '/blame/bad', [], 'x')->{status}, 200, 'nobody sees the bad one now');
};

subtest 'a member that rests' => sub {
    my %served;
    my $share = sub {
        my ($count) = @_;
        $_->clear for $a, $b;
        $_->on(qr{}, $sound) for $a, $b;
        my @wrong = grep { $_->{status} != 200 } map { ask($httpd, GET => '/rest/fine') } 1 .. $count;
        is(scalar @wrong, 0, 'every request is served');
        return join ' ', scalar $a->requests('/fine'), scalar $b->requests('/fine');
    };
    is($share->(5), '5 0', 'sound: the first member has all');
    $a->stop;
    my $before = $httpd->log->lines;
    my $start = time;
    is(ask($httpd, GET => '/rest/fine', ['X-Id' => 'down1'])->{status}, 200, 'it goes down: the request is served');
    like(logged($httpd, 'down1')->{attempts} // '', qr/=refused.*,.*=ok/, 'by the other one');
    for my $k (1 .. 8) { ask($httpd, GET => '/rest/fine', ['X-Id' => "rests$k"]) }
    is(scalar(grep { (logged($httpd, "rests$_")->{attempts} // '') =~ /refused/ } 1 .. 8), 0, 'while it rests nobody asks it') if time - $start < 0.9;
    ok((grep { /USHER2\d\d\d.*(?:rest|gets no requests)/ } $httpd->log->lines), 'the log tells that it rests');
    $a->start;
    $a->on(qr{}, $sound);
    ok((wait_until { ask($httpd, GET => '/rest/fine', ['X-Id' => 'b' . ++$n]); scalar $a->deliveries("b$n") } 4), 'it comes back');
    soon($start, 3.5, 'soon after its rest');
    is($share->(5), '5 0', 'and has its requests again');
};

subtest 'all rest' => sub {
    $_->clear for $a, $b;
    $_->on('POST /bad', [cut]) for $a, $b;
    $_->on('/fine', $sound) for $a, $b;
    for (1 .. 6) { ask($httpd, POST => '/all/bad', [], 'x') }
    my @status = map { ask($httpd, GET => '/all/fine')->{status} } 1 .. 5;
    is("@status", '200 200 200 200 200', 'then all are tried');
};
$httpd->finish('httpd lives');

subtest 'UsherReplayBudget' => sub {
    my $httpd = backend_httpd(<<"EOT");
UsherBackendRest Off
UsherReplayBudget percent=20 within=60s least=3
@{[ $pair->('one', '') ]}
@{[ $pair->('two', '') ]}
ProxyPass /plain/ @{[ $a->url('/') ]}
EOT
    ok($httpd->start, 'httpd starts') or diag $httpd->console;
    $httpd->log->tolerate(qr/USHER2\d\d\d/);
    $_->clear for $a, $b;
    $a->on('/bad', [cut]);
    $b->on('/bad', $sound);
    $_->on('/fine', $sound) for $a, $b;
    my @status = map { ask($httpd, GET => '/one/bad')->{status} } 1 .. 6;
    is("@status[0 .. 2]", '200 200 200', 'three are always sent again');
    is("@status[4, 5]", '502 502', 'then no more');
    ok((grep { /USHER2011/ } $httpd->log->lines), 'the log tells why');
    is(ask($httpd, GET => '/two/bad')->{status}, 200, 'another balancer has its own budget');
    ask($httpd, GET => '/one/fine') for 1 .. 60;
    @status = map { ask($httpd, GET => '/one/bad')->{status} } 1 .. 20;
    my $again = grep { $_ == 200 } @status;
    cmp_ok($again, '>=', 8, "with more requests there are more: $again");
    cmp_ok($again, '<=', 16, 'but not beyond a fifth');
    $httpd->finish('only what was cut in the log');
};

$_->stop for $a, $b;
done_testing;
