# Answers of AJP containers that are early, or whole before they are ended, and
# packets without an end that bring nothing.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Pattern;
use Usher::Wait;

my ($backend, $other, $kept, $floods) = map { Usher::Backend->new(protocol => 'ajp') } 1 .. 4;
my $httpd = backend_httpd(<<"EOT");
Timeout 20
UsherReplayBudget percent=100 least=1000
ProxyPass /kept/ @{[ $kept->url('/') ]}
ProxyPass /calm/ @{[ $floods->url('/') ]}
<Location /total/>
    ProxyPass @{[ $floods->url('/') ]}
    UsherBackendTimeout total=1s
</Location>
<Proxy balancer://two>
    BalancerMember @{[ $backend->url ]}
    BalancerMember @{[ $other->url ]} lbset=1
    UsherBackendRest failures=1 rest=1h share=100
</Proxy>
ProxyPass /two/ balancer://two/
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);

my @all = ($backend, $other, $kept, $floods);
my $ok = ajp_answer(200, ['Content-Type' => 'text/plain'], 'ok');

sub reset_all {
    $_->clear, $_->on('/ok', $ok) for @all;
    return;
}

# So much time passes; there is nothing to wait for.
sub pass_time { my $end = time + $_[0]; wait_until { time >= $end } $_[0] + 1; return }

# A client may stop when it has a 413, and Tomcat does not end its answer before it has got
# the body that it asked for.
subtest 'an early answer to a client that pauses' => sub {
    my $body = 'too much of it';
    for my $status (413, 403, 500) {
        for my $length (0, length $body) {
            for my $asks (0, 1) {
                $backend->close_idle;
                reset_all();
                my $id = "paused-$status-$length-$asks";
                my $bytes = ajp_send_headers($status, [$length ? ('Content-Length' => $length) : ()]) . ajp_body_chunk($body);
                $backend->on('/up', [read_body(16_384), $asks ? ask_body(1, $bytes) : ($bytes, ask_body(1)), ajp_end()]);
                my $client = Usher::Client->new(port => $httpd->port);
                $client->send(http_request(POST => '/two/up', ['X-Id' => $id, 'Content-Length' => 100_000]) . 'b' x 16_384);
                my $start = time;
                my $answer = $client->answer(timeout => 5);
                my $case = "$status, " . ($length ? 'a length' : 'no length') . ($asks ? ', asked before' : ', asked after');
                like(tells($answer), qr/^$status (?:complete|closed) $body$/, "$case: the answer");
                ok($answer->{complete}, 'whole') or diag explain $answer;
                soon($start, 1, 'at once');
                $client->close;
                like(logged($httpd, $id)->{attempts}, qr/=ok/, 'it went well');
                ok((wait_until { !grep { $_->{state} ne 'closed' } $backend->connections } 3), 'the connection is closed');
            }
        }
    }
};

# Nothing more can come for the client: it does not wait for END_RESPONSE.
subtest 'answers that are whole' => sub {
    my %whole = (
        'HEAD'          => ['HEAD', 200, ['Content-Length' => 5]],
        'HEAD, no length' => ['HEAD', 200, []],
        '204'           => ['GET', 204, []],
        '205'           => ['GET', 205, ['Content-Length' => 5]],
        '304'           => ['GET', 304, []],
        'a length'      => ['GET', 200, ['Content-Length' => 5], ajp_body_chunk('whole')],
        'a length of 0' => ['GET', 200, ['Content-Length' => 0]],
        'POST'          => ['POST', 200, ['Content-Length' => 5], ajp_body_chunk('whole')],
    );
    for my $name (sort keys %whole) {
        my ($method, $status, $headers, @body) = @{ $whole{$name} };
        my $conditional = $status == 304 ? ['If-None-Match' => '"a"'] : [];
        for my $then ([stall], [rst], [ajp_end(0)]) {
            $backend->close_idle;
            reset_all();
            my $how = ref $then->[0] ? $then->[0]{do} : 'end';
            my $id = "whole-$name-$how" =~ s/\W/-/gr;
            $backend->on('/whole', [ajp_send_headers($status, $headers), @body, ajp_body_chunk(''), @$then]);
            my $client = Usher::Client->new(port => $httpd->port);
            my $answer = $client->request($method, '/two/whole', ['X-Id' => $id, @$conditional], $method eq 'POST' ? 'body' : undef);
            is(tells($answer), "$status complete " . (@body ? 'whole' : ''), "$name, $how: the answer");
            in_time($answer->{time}, 0.7, 'at once');
            is(tells($client->request(GET => '/two/ok', ['X-Id' => "next-$id"])), '200 complete ok', 'the next request');
            is(scalar $backend->deliveries("next-$id"), 1, 'goes to the same member');
            is((($backend->deliveries("next-$id"))[0] // {})->{n}, 1, 'over another connection');
            is(logged($httpd, $id)->{state}, '--', 'ended well');
            my ($got) = $backend->deliveries($id);
            ok((wait_until { !grep { $got && $_->{id} eq $got->{conn} && $_->{state} ne 'closed' } $backend->connections } 2.5), 'the one without an end is closed soon');
        }
    }
};

# Tomcat tells the length of what was written, and swallows it.
subtest 'status 205' => sub {
    reset_all();
    for my $length (undef, 0, 6) {
        $backend->on('/205', [ajp_send_headers(205, [defined $length ? ('Content-Length' => $length) : ()]), ajp_end()]);
        my $client = Usher::Client->new(port => $httpd->port);
        my $answer = $client->request(GET => '/two/205', ['X-Id' => 'l' . ($length // 'none')]);
        is(tells($answer), '205 complete ', 'Content-Length: ' . ($length // 'none'));
        is(http_value($answer->{headers}, 'Content-Length') // 0, 0, 'is not passed on');
        is(tells($client->request(GET => '/two/ok', ['X-Id' => 'after-' . ($length // 'none')])), '200 complete ok', 'the next request');
        is(scalar $backend->deliveries('after-' . ($length // 'none')), 1, 'goes to the same member');
    }
};

# What brings nothing, or nothing that anybody gets, may not go on and on.
subtest 'floods' => sub {
    my $flushes = ajp_body_chunk('') x 400;
    my $head = ajp_send_headers(200, []);
    my $endless = fill(1 << 40, as => 'ajp');
    my %flood = (
        'flushes before the head'    => ['GET', [($flushes) x 1000], qr/^502 /],
        'flushes after it'           => ['GET', [$head, ($flushes) x 1000], qr/^(?:200 (?:reset|closed)|502) /],
        'a body for HEAD'            => ['HEAD', [$head, $endless], qr/^200 complete/],
        'flushes for HEAD'           => ['HEAD', [$head, ($flushes) x 1000], qr/^200 complete/],
        'a body for 204'             => ['GET', [ajp_send_headers(204, []), $endless], qr/^204 complete/],
        'a body behind its length'   => ['GET', [ajp_send_headers(200, ['Content-Length' => 4]), ajp_body_chunk('body'), ($flushes) x 1000], qr/^200 complete/],
        # Slowly: as many as may come, but for longer than the request may take.
        'slow ones before the head'  => ['GET', [trickle($flushes, length $flushes, 0), trickle(ajp_body_chunk('') x 100, 9 * 5, 0.2)], qr/^504 /, 1],
        'slow ones after it'         => ['GET', [$head, trickle(ajp_body_chunk('') x 100, 9 * 5, 0.2)], qr/^200 (?:reset|closed)/, 1],
        'a body for a slow client'   => ['GET', [$head, $endless], qr/^200 (?:reset|closed)/, 1],
    );
    for my $name (sort keys %flood) {
        my ($method, $play, $tells, $total) = @{ $flood{$name} };
        my $place = $total ? 'total' : 'calm';
        my $id = "flood-$name" =~ s/\W/-/gr;
        my ($answer, $start);
        # Where even the head comes when total= is over: once more.
        in_calm {
            $floods->close_idle;
            reset_all();
            $floods->on('/flood', $play);
            my $client = Usher::Client->new(port => $httpd->port);
            $start = time;
            $client->send(http_request($method => "/$place/flood", ['X-Id' => $id .= 'x']));
            pass_time(1.2) if $name =~ /client/;
            $answer = $client->answer(head => $method eq 'HEAD', timeout => 6, discard => 1);
            tells($answer) =~ $tells;
        };
        like(tells($answer), $tells, "$name: " . ($total ? 'until total= is over' : 'told from a body'));
        soon($start, 3, 'in its time');
        ok((wait_until { !grep { $_->{state} ne 'closed' } $floods->connections } 3), 'the connection is closed');
        like(logged($httpd, $id)->{state}, $name =~ /client/ ? qr/^[cs]/ : $total ? qr/^[sP]/ : qr/^[-SP]/, $name =~ /client/ ? 'who was slow' : 'the client is not blamed');
        is(tells(ask($httpd, GET => '/calm/ok')), '200 complete ok', 'the next request is served');
    }
    # As many as a container may send.
    reset_all();
    $floods->on('/some', [$flushes, $head, $flushes, ajp_body_chunk('x'), $flushes, ajp_end()]);
    is(tells(ask($httpd, GET => '/calm/some')), '200 complete x', 'some hundreds are none');
};

# The client has got nothing, and the container nothing but the head and what it asked for.
subtest 'half of a GET_BODY_CHUNK' => sub {
    for my $bytes (0, 5, 6) {
        for my $case ([PUT => '200 complete'], [POST => '502 complete']) {
            my ($method, $tells) = @$case;
            $kept->close_idle;
            reset_all();
            my $http = Usher::Client->new(port => $httpd->port);
            $kept->on('/up', [leave_body, $bytes ? substr(ajp_get_body(), 0, $bytes) : (), stall(0.05), cut], [read_body, echo]);
            $http->request(GET => '/kept/ok');
            my $answer = $http->request($method => '/kept/up', [], pattern(0, 40_000), chunked => 4000);
            like(tells($answer), qr/^$tells/, "$method, $bytes bytes of it and a cut after a kept connection: $tells");
        }
    }
};

$httpd->finish('httpd lives');
$_->stop for @all;
done_testing;
