# A client that goes away ends its request within a second, and the member
# sees that; who only ended its sending side may be waiting for the answer.
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
my $fins = join '', map { <<"EOT" } qw(gone halfclose auto);
<Location /$_/>
    UsherClientFin $_
</Location>
ProxyPass /$_/ @{[ $backend->url('/') ]}
EOT
my $httpd = backend_httpd(<<"EOT");
Timeout 20
UsherBackendTimeout connect=10s
ProxyPass /a/ @{[ $backend->url('/') ]}
ProxyPass /full/ @{[ $full->url('/') ]}
<Proxy balancer://two>
    BalancerMember @{[ $backend->url ]}
    BalancerMember @{[ $other->url ]} lbset=1
    UsherBackendRest failures=1 rest=1h share=100
</Proxy>
ProxyPass /two/ balancer://two/
$fins
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$_->on('/ok', http_answer(200, [], 'ok')) for $backend, $other, $full;
my $answer = http_answer(200, ['Content-Type' => 'text/plain'], 'x' x 100);

# What the member is doing when the client goes.
my @moments = (
    # name, play, body of the request, wait until the member ...
    ['before the answer', [stall], undef, 0, qr/^CH$/],
    ['before the answer to a POST', [stall], 'a body', 0, qr/^CH$/],
    ['within the head of the answer', [at($answer, 30, stall)], undef, 0, qr/^CH$/],
    ['within a head that trickles in', [trickle("HTTP/1.1 200 OK\r\nX: " . 'x' x 1000, 1, 0.03)], undef, 0, qr/^CH$/],
    ['within its body', [at($answer, length($answer) - 50, stall)], undef, 50, qr/^CD$/],
    ['within one that flows slowly', [at($answer, length($answer) - 100, trickle('', 1, 0)), trickle('x' x 100, 1, 0.2)], undef, 3, qr/^CD$/],
    ['within a large one that it does not read', [http_answer(200, [], undef, length => 100_000_000), fill(100_000_000)], undef, 0, qr/^CD$/],
);
for my $moment (@moments) {
    my ($name, $play, $body, $bytes, $state) = @$moment;
    $play = [substr($answer, 0, length($answer) - 100), trickle('x' x 100, 1, 0.2)] if $name =~ /slowly/;

    subtest "gone $name" => sub {
        for my $kept (0, 1) {
            $_->clear for $backend, $other;
            $_->on('/ok', http_answer(200, [], 'ok')) for $backend, $other;
            $backend->on('/wait', $play);
            my $client = Usher::Client->new(port => $httpd->port);
            $client->request(GET => '/two/ok') if $kept;
            my $id = "$name-$kept" =~ s/\W/-/gr;
            $client->send(http_request(defined $body ? 'POST' : 'GET', '/two/wait', ['X-Id' => $id], $body));
            ok((wait_until { scalar $backend->deliveries($id) }), 'the member has the request');
            if ($bytes) {
                $client->until(sub { ${ $_[0] } =~ /\r\n\r\nx{$bytes}/ || undef }, 5);
            } elsif ($name =~ /large/) {
                # until it has begun, and nothing moves any more
                $client->until(sub { length ${ $_[0] } > 1000 || undef }, 5);
                wait_until { 0 } 0.3;
            }
            my $start = time;
            $client->reset;
            my $gone = wait_until { ($backend->deliveries($id))[0]{gone_at} || (grep { $_->{state} eq 'closed' && $_->{closed_at} >= $start } $backend->connections) } 5;
            ok($gone, 'the member sees the connection end');
            soon($start, 1.3, 'within a second');
            like(logged($httpd, $id)->{state} // '', $state, 'state: the client');
            like(logged($httpd, $id)->{attempts} // '', qr/^[^,=]*=client[^,]*$/, 'the attempt: ended by the client');
            is(scalar $backend->deliveries($id) + scalar $other->deliveries($id), 1, 'sent once');
            my $next = ask($httpd, GET => '/two/ok', ['X-Id' => "next-$id"]);
            is($next->{status}, 200, 'the next request is served');
            is(scalar $backend->deliveries("next-$id"), 1, 'by the same member: it is not blamed');
        }
    };
}

subtest 'gone while it sends' => sub {
    for my $how (qw(reset close)) {
        for my $chunked (0, 1) {
            $_->clear for $backend, $other;
            $_->on('/ok', http_answer(200, [], 'ok')) for $backend, $other;
            $backend->on('/up', echo);
            my $id = "up-$how-$chunked";
            my $client = Usher::Client->new(port => $httpd->port);
            if ($chunked) {
                $client->send(http_request(POST => '/two/up', ['X-Id' => $id, 'Transfer-Encoding' => 'chunked']) . "30d40\r\n");
            } else {
                $client->send(http_request(POST => '/two/up', ['X-Id' => $id, 'Content-Length' => 400_000]));
            }
            $client->send_pattern(200_000);
            wait_until { scalar $backend->deliveries($id) } 0.5;    # it may not have been sent yet
            my $start = time;
            $client->$how;
            my $line = logged($httpd, $id);
            like($line->{state} // '', qr/^C[RHD]$/, "$how" . ($chunked ? ', chunked' : '') . ': state: the client');
            soon($start, 1.5, 'within a second');
            ok((wait_until { !grep { $_->{state} eq 'open' } $backend->connections } 3), 'no connection to the member is left');
            is(scalar(grep { $_->{complete} } $backend->deliveries($id)), 0, 'the member never takes it for complete');
            cmp_ok(scalar $backend->deliveries($id) + scalar $other->deliveries($id), '<=', 1, 'sent once at most');
            ask($httpd, GET => '/two/ok', ['X-Id' => "next-$id"]);
            is(scalar $backend->deliveries("next-$id"), 1, 'the member is not blamed');
        }
    }
};

# A connection to this port that has no answer yet
sub is_connecting {
    my ($port) = @_;
    my $address = sprintf '0100007F:%04X', $port;

    open my $fh, '<', '/proc/net/tcp' or return 1;
    return scalar grep { (split)[2] eq $address && (split)[3] eq '02' } <$fh>;
}

subtest 'gone while connecting' => sub {
    $full->full;
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(GET => '/full/ok', ['X-Id' => 'connecting']));
    ok((wait_until { is_connecting($full->port) }), 'it is at that');
    my $start = time;
    $client->reset;
    like(logged($httpd, 'connecting')->{state} // '', qr/^CC$/, 'state CC');
    soon($start, 1.3, 'within a second');
    $full->resume;
};

subtest 'the end of the sending side' => sub {
    my @kinds = (['HTTP/1.0', '1.0', []], ['Connection: close', '1.1', [Connection => 'close']], ['kept', '1.1', []]);
    for my $fin (qw(gone halfclose auto)) {
        for my $kind (@kinds) {
            my ($name, $version, $headers) = @$kind;
            my $goes_on = $fin eq 'halfclose' || ($fin eq 'auto' && $name ne 'kept');
            for my $body (undef, 'body') {
                my $id = "$fin-$name-" . ($body // 'none') =~ s/\W/-/gr;
                $backend->clear;
                $backend->on('/wait', [stall]) if !$goes_on;
                $backend->on('/wait', [stall(0.3), http_answer(200, [], 'an answer after all')]) if $goes_on;
                my $client = Usher::Client->new(port => $httpd->port);
                $client->send(http_request($body ? 'POST' : 'GET', "/$fin/wait", ['X-Id' => $id, @$headers], $body, version => $version));
                wait_until { scalar $backend->deliveries($id) };
                my $start = time;
                $client->half_close;
                my $end = $client->answer(timeout => 3);
                my $what = "$fin, $name, " . ($body ? 'POST' : 'GET');
                if ($goes_on) {
                    is(tells($end), '200 complete an answer after all', "$what: goes on");
                } else {
                    isnt($end->{status} // 0, 200, "$what: ends the request");
                    soon($start, 1.3, 'within a second');
                    ok((wait_until { ($backend->deliveries($id))[0]{gone_at} } 2), 'the member sees it');
                    is(logged($httpd, $id)->{state} // '', 'CH', 'state CH');
                }
            }
        }
    }
};

subtest 'a request that was cut short by FIN' => sub {
    for my $fin (qw(gone halfclose auto)) {
        $backend->clear;
        $backend->on('/up', echo);
        my $client = Usher::Client->new(port => $httpd->port);
        $client->send(http_request(POST => "/$fin/up", ['X-Id' => "short-$fin", 'Content-Length' => 100]) . 'x' x 50);
        $client->half_close;
        my $end = $client->answer(timeout => 5);
        like($end->{status} // 'nothing', qr/^(?:400|nothing)$/, "$fin: no answer as if it were whole");
        is(scalar(grep { $_->{complete} } $backend->deliveries("short-$fin")), 0, 'nor does the member take it so');
    }
};

subtest 'who waits is not gone' => sub {
    $backend->clear;
    $backend->on('/wait', [stall(1.5), http_answer(200, [], 'at last')]);
    my @clients = map { Usher::Client->new(port => $httpd->port) } 1 .. 4;
    $_->send(http_request(GET => '/auto/wait')) for @clients;
    # A second request that waits behind the first is no sign of an end.
    $clients[0]->send(http_request(GET => '/auto/wait'));
    is(tells($_->answer), '200 complete at last', 'a patient client gets its answer') for @clients;
    is(tells($clients[0]->answer), '200 complete at last', 'and one that sent the next request early both');
};

subtest 'a slow reader is not gone' => sub {
    $backend->clear;
    $backend->on('/large', [http_answer(200, [], undef, length => 8_000_000), fill(8_000_000)]);
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(GET => '/a/large', ['X-Id' => 'reader']));
    wait_until { 0 } 1.2;
    my $end = $client->answer(discard => 1);
    ok($end->{complete}, 'it gets all');
    is($end->{sha1}, pattern_sha1(8_000_000), 'as it was sent');
};

$httpd->log->tolerate(qr/USHER2\d\d\d/);
$httpd->finish('httpd lives; a client that goes is no error');
done_testing;
