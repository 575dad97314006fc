# What goes on between httpd and an AJP container, in its order and its time:
# sizes of heads, pings, kept connections, flushes, draining, early answers,
# bodies that are asked for piece by piece, and clients that go away.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Env ();
use Usher::Pattern;
use Usher::Wait;

my ($backend, $other, $kept, $pinged) = map { Usher::Backend->new(protocol => 'ajp') } 1 .. 4;
my $deaf = Usher::Backend->new(protocol => 'ajp', rcvbuf => 4096);
my $unix = Usher::Backend->new(protocol => 'ajp', unix => 1);
my $ping = patience > 1 ? 3000 : 300; # ms
my $clusters = grep { $_ eq 'usher_balancer' } Usher::Env::usher_modules();
my $drain = sub {
    my ($name, $more) = @_;

    return <<"EOT";
<Proxy balancer://$name>
    BalancerMember @{[ $backend->url ]} route=one
    BalancerMember @{[ $other->url ]} route=two status=+N
    ProxySet stickysession=JSESSIONID $more
</Proxy>
ProxyPass /$name/ balancer://$name/
EOT
};
my $httpd = backend_httpd(<<"EOT" . $drain->('drain', '') . ($clusters ? $drain->('drained', 'lbmethod=usher') : ''));
Timeout 20
LimitRequestFieldSize 70000
LimitRequestLine 70000
UsherReplayBudget percent=100 least=1000
ProxyPass /a/ @{[ $backend->url('/') ]}
ProxyPass /big/ ajp://127.1:@{[ $backend->port ]}/ iobuffersize=65536
ProxyPass /once/ ajp://localhost:@{[ $backend->port ]}/ disablereuse=on
ProxyPass /deaf/ @{[ $deaf->url('/') ]}
<Location /own/>
    ProxyPass ajp://127.0.1:@{[ $kept->port ]}/
    ProxyErrorOverride On
</Location>
ProxyPass /kept/ @{[ $kept->url('/') ]}
ProxyPass /ping/ @{[ $pinged->url('/') ]} ping=${ping}ms
ProxyPass /unix/ "@{[ $unix->url('/') ]}"
<Proxy balancer://two>
    BalancerMember ajp://127.0.1:@{[ $backend->port ]}
    BalancerMember ajp://127.0.1:@{[ $other->port ]} lbset=1
    UsherBackendRest failures=1 rest=1h share=100
</Proxy>
ProxyPass /two/ balancer://two/
<Proxy balancer://pings>
    BalancerMember ajp://127.1:@{[ $pinged->port ]} ping=${ping}ms
    BalancerMember ajp://127.1:@{[ $other->port ]} ping=${ping}ms lbset=1
    UsherBackendRest Off
</Proxy>
ProxyPass /pings/ balancer://pings/
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);

my @all = ($backend, $other, $kept, $pinged, $unix, $deaf);
my $ok = ajp_answer(200, ['Content-Type' => 'text/plain'], 'ok');

sub reset_all {
    $_->clear, $_->on('/ok', $ok) for @all;
    return;
}

# So much time passes; there is nothing to wait for.
sub pass_time { my $end = time + $_[0]; wait_until { time >= $end } $_[0] + 1; return }

sub pings { my ($member) = @_; return scalar map { @{ $_->{pings} } } $member->connections }

# Over one connection of the client, as long as that lasts: then the same child's.
my $client;

sub over_one {
    my ($method, $uri, $headers) = @_;
    my $body = $method =~ /^P/ ? 'body' : undef;

    $client //= Usher::Client->new(port => $httpd->port);
    my $answer = $client->request($method, $uri, $headers, $body);
    $client = undef if $answer->{end} ne 'complete' || http_has_token($answer->{headers}, 'Connection', 'close');
    return $answer;
}

subtest 'heads that do not fit a packet' => sub {
    my %too = (
        'a cookie'         => [431, '/ok', [Cookie => 'a=' . 'b' x 9000]],
        'many headers'     => [431, '/ok', [map { ("X-$_" => 'a' x 200) } 1 .. 60]],
        'a query'          => [414, '/ok?' . 'q' x 9000, []],
        'a path'           => [414, '/' . 'p' x 9000, []],
    );
    for my $name (sort keys %too) {
        my ($status, $uri, $headers) = @{ $too{$name} };
        for my $method (qw(GET POST)) {
            for my $base (qw(a two)) {
                reset_all();
                my $id = "large-$name-$method-$base" =~ s/\W/-/gr;
                my $answer = ask($httpd, $method, "/$base$uri", ['X-Id' => $id, @$headers], $method eq 'POST' ? 'body' : undef);
                is($answer->{status}, $status, "$name, $method: $status");
                is(scalar $backend->requests + scalar $other->requests, 0, 'nobody is asked');
                ask($httpd, GET => '/two/ok', ['X-Id' => "after-$id"]);
                is(scalar $backend->deliveries("after-$id"), 1, 'and nobody rests');
            }
        }
    }
    # To the byte.
    reset_all();
    my $send = sub {
        my ($base, $length) = @_;
        return ask($httpd, GET => "/$base/ok", ['X-Long' => 'x' x $length])->{status};
    };
    my ($fits, $not) = (7000, 8192);
    while ($not - $fits > 1) {
        my $length = int(($fits + $not) / 2);
        ${ $send->('a', $length) == 200 ? \$fits : \$not } = $length;
    }
    $send->('a', $fits);
    my ($got) = reverse grep { length($_->{header}{'x-long'} // '') == $fits } $backend->requests;
    my @headers = map { @$_ } @{ $got->{ajp}{headers} };
    my $packet = ajp_forward(%{ $got->{ajp} }, headers => \@headers, %{ $got->{ajp}{attributes} },
        request_attributes => [map { ($_ => $got->{ajp}{request_attributes}{$_}) } sort keys %{ $got->{ajp}{request_attributes} }]);
    # The client's port has four or five digits.
    cmp_ok(length $packet, '>=', 8191, 'the longest that goes fills a packet');
    cmp_ok(length $packet, '<=', 8192, 'and no more');
    is($send->('big', $_), 200, "iobuffersize=65536: a header of $_ bytes") for 8_200, 30_000, 60_000;
    is($send->('big', 66_000), 431, 'one of 66000 does not fit');
    # The length of a name from 0xA000 on would be read as the code of one.
    for my $case ([0x9FFF, 200], [0xA000, 431], [0xA001, 431], [0xA003, 431], [0xA00E, 431]) {
        reset_all();
        my ($length, $status) = @$case;
        is(ask($httpd, GET => '/big/ok', ['X' x $length => '5'])->{status}, $status, "a name of $length bytes: $status");
        is(scalar(grep { $_->{bad} } $backend->connections), 0, 'nothing malformed is sent');
    }
};

subtest 'ping=' => sub {
    reset_all();
    is(tells(over_one(GET => '/ping/ok')), '200 complete ok', 'an answer') for 1 .. 3;
    is(tells(over_one(POST => '/ping/ok', [])), '200 complete ok', 'and to a POST');
    is(pings($pinged), 4, 'a CPING before each') if $ENV{USHER_MPM} ne 'prefork';
    is(join(' ', map { $_->{n} } $pinged->requests), '1 2 3 4', 'over one connection');
    # Not answered: over a fresh connection.
    my %bad = (cut => cut, 'not answered' => [stall], garbage => ["\x16\x03\x01 no AJP", stall], 'another packet' => [ajp_end(), stall]);
    for my $name (sort keys %bad) {
        for my $method (qw(GET POST)) {
            $pinged->close_idle;
            reset_all();
            over_one(GET => '/ping/ok');
            $pinged->on('CPING', $bad{$name}, ajp_cpong());
            my $id = "ping-$name-$method" =~ s/\W/-/gr;
            my $answer = over_one($method => '/ping/ok', ['X-Id' => $id]);
            is(tells($answer), '200 complete ok', "$name, $method: it goes on over a fresh connection");
            is(join(' ', map { $_->{n} } $pinged->deliveries($id)), '1', 'sent once');
            ok((wait_until { 1 == grep { $_->{state} ne 'closed' } $pinged->connections } 2), 'the other connection is closed');
            # Never answered: to the next member.
            $pinged->on('CPING', $bad{$name});
            $answer = over_one($method => '/pings/ok', ['X-Id' => "next-$id"]);
            is(tells($answer), '200 complete ok', 'never answered: the next member');
            is(scalar $other->deliveries("next-$id") . scalar $pinged->deliveries("next-$id"), '10', 'sent there only');
            cmp_ok($answer->{time}, '<', 5 * $ping / 1000, 'soon');
            $answer = over_one($method => '/ping/ok', ['X-Id' => "none-$id"]);
            like($answer->{status}, qr/^50[234]$/, 'where there is none, an error');
            is(scalar $pinged->deliveries("none-$id"), 0, 'and nothing is sent');
        }
    }
};

subtest 'a CPING over what was idle for long' => sub {
    my @cases = ([POST => 0, 0], [GET => 0, 0], [GET => 1.3, 0], [POST => 1.3, 1], [PATCH => 1.3, 1]);
    push @cases, [GET => 10.5, 1] if $ENV{USHER_LONG};
    for my $case (@cases) {
        my ($method, $idle, $pings) = @$case;
        my $answer;
        # It may be idle for longer than meant, or its CPONG be late.
        in_calm {
            $kept->close_idle;
            reset_all();
            over_one(GET => '/kept/ok');
            pass_time($idle);
            $answer = over_one($method => '/kept/ok');
            pings($kept) == $pings && 1 == $kept->connections;
        };
        is(tells($answer), '200 complete ok', "$method after $idle s");
        is(pings($kept), $pings, $pings ? 'with a CPING' : 'without a CPING');
        is(scalar $kept->connections, 1, 'over the same connection');
    }
    # It is closed meanwhile without an end that can be seen: nobody answers.
    for my $bad (cut, [stall]) {
        $kept->close_idle;
        reset_all();
        over_one(GET => '/kept/ok');
        $kept->on('CPING', $bad);
        pass_time(1.3);
        my $answer = over_one(POST => '/kept/ok', ['X-Id' => 'aged']);
        is(tells($answer), '200 complete ok', 'not answered: it goes on over a fresh connection');
        is(scalar $kept->deliveries('aged'), 1, 'sent once');
        in_time($answer->{time}, 2.5, 'a CPONG has a second');
    }
};

subtest 'kept connections' => sub {
    $backend->close_idle;
    reset_all();
    is(tells(over_one(GET => '/a/ok')), '200 complete ok', 'an answer') for 1 .. 5;
    is(scalar $backend->connections, 1, 'all over one connection');
    for my $how (undef, 'rst') {
        for my $method (qw(GET POST)) {
            $backend->close_idle($how);
            my $id = 'closed-' . ($how // 'fin') . "-$method";
            is(tells(over_one($method => '/a/ok', ['X-Id' => $id])), '200 complete ok',
                "$method after the container closed it (" . ($how // 'fin') . ')');
            is(scalar $backend->deliveries($id), 1, 'sent once');
        }
    }
    reset_all();
    over_one(GET => '/once/ok') for 1 .. 3;
    is(join(' ', map { $_->{n} } $backend->requests), '1 1 1', 'disablereuse=on: none');
    reset_all();
    is(tells(over_one($_ => '/unix/ok', [])), '200 complete ok', "a unix socket: $_") for qw(GET POST);
    is(scalar $unix->connections, 1, 'kept, too');
    # One that the container closes just when the request is sent.
    reset_all();
    $backend->on('/short', [$ok, idle(0.03, 'cut')]);
    my %status;
    for my $n (1 .. 60) {
        my $method = $n % 3 ? 'GET' : 'POST';
        my $answer = ask($httpd, $method => '/a/short', ['X-Id' => "race-$n"], $method eq 'POST' ? 'body' : undef);
        ++$status{"$method " . ($answer->{status} // $answer->{end})};
        select undef, undef, undef, 0.02 + $n % 20 / 1000;
    }
    is($status{'GET 200'}, 40, 'every GET is served') or diag explain \%status;
    is(($status{'POST 200'} // 0) + ($status{'POST 502'} // 0), 20, 'every POST is served or a 502');
    my %times;
    ++$times{ $_->{header}{'x-id'} } for grep { $_->{method} eq 'POST' } $backend->requests;
    is(scalar(grep { $_ > 1 } values %times), 0, 'no POST came twice');
};

subtest 'a flush is passed on at once' => sub {
    reset_all();
    my $head = ajp_send_headers(200, ['Content-Type' => 'text/event-stream']);
    my $flush = ajp_body_chunk('');
    $backend->on('/events', [$head, map({ (ajp_body_chunk("data: $_\n\n"), $flush, hold("event$_")) } 1 .. 3), ajp_end()]);
    $backend->on('/head', [ajp_send_headers(200, ['X-Early' => 'yes']), $flush, hold('head'), ajp_body_chunk('body'), ajp_end()]);
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(GET => '/a/events'));
    for my $n (1 .. 3) {
        my $start = time;
        ok($client->until(sub { ${ $_[0] } =~ /data: $n\n\n/ || undef }, 2), "event $n comes while the answer goes on");
        soon($start, 1, 'at once');
        $backend->release("event$n");
    }
    my $answer = $client->answer;
    ok($answer->{complete} && $answer->{body} eq "data: 1\n\ndata: 2\n\ndata: 3\n\n", 'and its end') or diag explain $answer;
    $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(GET => '/a/head'));
    ok($client->until(sub { ${ $_[0] } =~ /X-Early: yes\r\n(?:.*\r\n)*\r\n/ || undef }, 2), 'a head alone');
    $backend->release('head');
    is($client->answer->{body} // '', 'body', 'and its body later');
};

subtest 'how a member of a balancer stands' => sub {
    for my $name ('drain', $clusters ? 'drained' : ()) {
        reset_all();
        ask($httpd, GET => "/$name/ok") for 1 .. 4;
        ask($httpd, GET => "/$name/ok", [Cookie => 'JSESSIONID=ABC.two']);
        my $told = sub { return join ' ', map { $_->{ajp}{request_attributes}{JK_LB_ACTIVATION} // 'none' } $_[0]->requests };
        is($told->($backend), 'ACT ACT ACT ACT', "$name: requests without a session go to who is active");
        is($told->($other), 'DIS', 'those of a session to who drains, and it is told so');
    }
    reset_all();
    ask($httpd, GET => '/a/ok');
    is(($backend->requests)[0]{ajp}{request_attributes}{JK_LB_ACTIVATION}, undef, 'a plain one is told nothing');
};

subtest 'a 403 that closes the connection' => sub {
    reset_all();
    my $hint = sub { return scalar grep { /usher_backend.*secret/i } $httpd->log->lines };
    my $before = $hint->();
    $backend->on('/no', ajp_answer(403, [], 'no'));
    is(ask($httpd, GET => '/a/no')->{status}, 403, 'a plain 403');
    is($hint->(), $before, 'is the application\'s');
    # Tomcat sends this in one piece or in two, with a length or without.
    for my $head (ajp_send_headers(403, []), ajp_send_headers(403, ['Content-Length' => 0])) {
        for my $pause (0, 0.05) {
            $backend->on('/no', [$head, $pause ? stall($pause) : (), ajp_end(0)]);
            my $status;
            # The end of an answer that is whole has a second to come.
            my $told = in_calm {
                # The client is still there: what comes after it went is nobody's business.
                my $patient = Usher::Client->new(port => $httpd->port);
                $before = $hint->();
                $status = $patient->request(GET => '/a/no')->{status};
                wait_until { $hint->() > $before } 2;
            };
            is($status, 403, 'one that closes the connection');
            ok($told, 'the log says what it may mean');
        }
    }
};

subtest 'answers before the request is over' => sub {
    for my $status (413, 200) {
        my $early = ajp_answer($status, ['Content-Type' => 'text/plain'], 'an early answer', reuse => 0);
        for my $how (qw(close stay), 'after a part') {
            for my $chunked (0, 1) {
                reset_all();
                my $id = "early-$how-$status-$chunked" =~ s/\W/-/gr;
                $backend->on('/up', [$how =~ /part/ ? read_body(100_000) : leave_body, $early, $how eq 'stay' ? stall(2) : ()]);
                my $client = Usher::Client->new(port => $httpd->port);
                if ($chunked) {
                    $client->send(http_request(POST => '/a/up', ['X-Id' => $id], pattern(0, 2_000_000), chunked => 10_000), 5);
                } else {
                    $client->send(http_request(POST => '/a/up', ['X-Id' => $id, 'Content-Length' => 2_000_000]));
                    $client->send_pattern(2_000_000, 5);
                }
                is(tells($client->answer(timeout => 5)), "$status complete an early answer", "$status, $how" . ($chunked ? ', chunked' : ''));
                is(scalar $backend->deliveries($id), 1, 'sent once');
            }
        }
    }
    # The connection may be used again where the rest of the body was never asked for.
    reset_all();
    $backend->on('/up', [read_body(20_000), ajp_answer(413, [], 'too much'), stall(0.2)]);
    for (1 .. 2) {
        is(ask($httpd, POST => '/a/up', [], pattern(0, 200_000))->{status}, 413, 'an early answer that allows reuse');
        is(tells(ask($httpd, GET => '/a/ok')), '200 complete ok', 'the next request is served');
    }
    is(scalar(grep { $_->{bad} } $backend->connections), 0, 'and httpd speaks AJP');
    # This container closes such a connection when its time is over.
    $backend->close_idle;
};

subtest 'bodies that are asked for' => sub {
    my $size = 100_003;
    my $sum = pattern_sha1($size);
    for my $sizes ([8186], [1, 7, 8186, 100], [2, 5000], [8186, 1], [65_535], [8184]) {
        for my $chunked (0, 1) {
            reset_all();
            $backend->on('/up', [read_asking(@$sizes), echo]);
            # A byte at a time takes its time.
            my $answer = ask($httpd, POST => '/a/up', [], pattern(0, $size), $chunked ? (chunked => 777) : ());
            is($answer->{body}, "POST /up $size $sum\n", "pieces of @$sizes" . ($chunked ? ', chunked' : ''));
            is(scalar(grep { $_->{bad} } $backend->connections), 0, 'none is larger than was asked for');
        }
    }
    reset_all();
    $backend->on('/up', [read_asking(65_530), echo]);
    is(ask($httpd, POST => '/big/up', [], pattern(0, $size))->{body}, "POST /up $size $sum\n", 'packets of 65536');
    $backend->on('/up', echo);
    for my $length (0, 1, 8185, 8186, 8187, 16_372) {
        for my $chunked (0, 1) {
            my $answer = ask($httpd, POST => '/a/up', [], pattern(0, $length), $chunked ? (chunked => 1000) : ());
            is($answer->{body}, "POST /up $length " . pattern_sha1($length) . "\n", "$length bytes" . ($chunked ? ', chunked' : ''));
        }
    }
};

subtest 'large bodies' => sub {
    reset_all();
    my $size = 20 * 1024 * 1024;
    my $sum = pattern_sha1($size);
    for my $chunked (0, 1) {
        $backend->on('/up', [$chunked ? () : read_slowly(8186, 0.001), echo]);
        my $client = Usher::Client->new(port => $httpd->port);
        if ($chunked) {
            $client->send(http_request(POST => '/a/up', [], pattern(0, $size), chunked => 50_000), 30);
        } else {
            $client->send(http_request(POST => '/a/up', ['Content-Length' => $size]));
            $client->send_pattern($size, 30);
        }
        is($client->answer(timeout => 30)->{body}, "POST /up $size $sum\n", $chunked ? 'up, chunked' : 'up, read slowly');
    }
    $backend->on('/length', [ajp_send_headers(200, ['Content-Length' => $size]), fill($size, as => 'ajp'), ajp_end()]);
    $backend->on('/none', [ajp_send_headers(200, []), fill($size, as => 'ajp', piece => 8000), ajp_end()]);
    for my $uri (qw(length none)) {
        my $client = Usher::Client->new(port => $httpd->port);
        $client->send(http_request(GET => "/a/$uri"));
        pass_time(0.3);    # a slow reader is not gone
        my $answer = $client->answer(timeout => 30, discard => 1);
        ok($answer->{complete}, "down, $uri: to its end");
        is($answer->{sha1}, $sum, 'as it was sent');
    }
};

# The end of a body does not always fit what the container's kernel takes.
subtest 'a container that reads late' => sub {
    my $http = Usher::Client->new(port => $httpd->port);
    for my $length (1, 4000, 8186, 8187, 16_372, 65_536, 300_000, 1_000_001) {
        for my $chunked (0, 1) {
            reset_all();
            $deaf->on('/up', [stall(0.05), echo]);
            my $answer = $http->request(POST => '/deaf/up', [], pattern(0, $length), $chunked ? (chunked => 5000) : ());
            is($answer->{body}, "POST /up $length " . pattern_sha1($length) . "\n", "$length bytes" . ($chunked ? ', chunked' : ''));
            is(tells($http->request(GET => '/deaf/ok')), '200 complete ok', 'the next request over the same connection');
        }
    }
};

subtest 'an error page of httpd\'s own' => sub {
    # (Longer than httpd may be held up.)
    for my $case (['trickles' => [trickle(join('', map { ajp_body_chunk('x') } 1 .. 200), 8, 0.05), ajp_end()]], ['never ends' => [ajp_body_chunk('x'), stall]],
        ['is short' => []]) {
        my ($name, $rest) = @$case;
        $kept->close_idle;
        reset_all();
        $kept->on('/error', @$rest ? [ajp_send_headers(500, []), @$rest] : ajp_answer(500, [], 'x'));
        $client = undef;
        my $answer = over_one(GET => '/own/error');
        like(tells($answer), qr/^500 complete .*Internal Server Error/s, "instead of a page that $name");
        in_time($answer->{time}, 0.6, 'soon');
        is(tells(over_one(GET => '/own/ok')), '200 complete ok', 'the next request is served');
        is(($kept->requests('/ok'))[0]{n}, $name =~ /short/ ? 2 : 1, $name =~ /short/ ? 'over the same connection' : 'over another connection') if $ENV{USHER_MPM} ne 'prefork';
    }
};

subtest 'clients that go away' => sub {
    my $answer = ajp_answer(200, ['Content-Type' => 'text/plain'], 'x' x 100);
    my $half = length($answer) - 60;
    my %moment = (
        'before the answer'        => [[stall], undef, qr/^CH$/],
        'before that to a POST'    => [[stall], 'a body', qr/^CH$/],
        'within the head'          => [[at($answer, 12, stall)], undef, qr/^CH$/],
        'within the body'          => [[ajp_send_headers(200, []), ajp_body_chunk('x' x 50), ajp_body_chunk(''), stall], undef, qr/^CD$/],
        'within a large one'       => [[ajp_send_headers(200, []), fill(100_000_000, as => 'ajp')], undef, qr/^CD$/],
        'while it sends'           => [[read_body], 100_000, qr/^C[RHD]$/],
    );
    for my $name (sort keys %moment) {
        my ($play, $body, $state) = @{ $moment{$name} };
        for my $kept (0, 1) {
            reset_all();
            $backend->on('/gone', $play);
            my $id = "gone-$name-$kept" =~ s/\W/-/gr;
            my $client = Usher::Client->new(port => $httpd->port);
            $client->request(GET => '/two/ok') if $kept;
            if (($body // '') eq '100000') {
                $client->send(http_request(POST => '/two/gone', ['X-Id' => $id, 'Content-Length' => 200_000]));
                $client->send_pattern(100_000);
            } else {
                $client->send(http_request($body ? 'POST' : 'GET', '/two/gone', ['X-Id' => $id], $body));
            }
            ok((wait_until { scalar $backend->deliveries($id) }), "$name: the container has the request");
            $client->until(sub { ${ $_[0] } =~ /x{50}/ || undef }, 5) if $name eq 'within the body';
            if ($name =~ /large/) {
                # until nothing moves any more
                $client->until(sub { length ${ $_[0] } > 1000 || undef }, 5);
                pass_time(0.3);
            }
            my $start = time;
            $client->reset;
            ok((wait_until { ($backend->deliveries($id))[0]{gone_at} || (grep { $_->{state} eq 'closed' && $_->{closed_at} >= $start } $backend->connections) } 5),
                'it sees the connection end');
            soon($start, 1.3, 'within a second');
            like(logged($httpd, $id)->{state} // '', $state, 'state: the client');
            is(scalar(grep { $_->{complete} } $backend->deliveries($id)), 0, 'never taken for complete') if $name =~ /sends/;
            is(scalar $other->deliveries($id), 0, 'sent once');
            is(ask($httpd, GET => '/two/ok', ['X-Id' => "next-$id"])->{status}, 200, 'the next request is served');
            is(scalar $backend->deliveries("next-$id"), 1, 'by the same member: it is not blamed');
        }
    }
};

$httpd->finish('httpd lives');
$_->stop for @all;
done_testing;
