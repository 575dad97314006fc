# Large bodies: answers that go from socket to socket where nothing stands between,
# and uploads that are read in large pieces. All is as with small ones: what the
# client gets, who ended it, what is counted; and nothing is held back.
use strict;
use warnings FATAL => 'all';

use IO::Socket::INET ();
use Socket qw(MSG_OOB);
use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Httpd ();
use Usher::Pattern;
use Usher::Wait;

my $large = 1_000_000;
my $more = 100_000_000; # than sockets hold
my $backend = Usher::Backend->new;
my $unix = Usher::Backend->new(unix => 1);
my $urgent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => free_port(), Listen => 1, ReuseAddr => 1)
    or BAIL_OUT("no port: $!");
my $httpd = backend_httpd(<<"EOT", modules => [qw(env logio ratelimit reqtimeout status)]);
Timeout @{[ 2 * patience ]}
MaxKeepAliveRequests 0
UsherBackendTimeout between=20s
UsherReplay off
LogFormat "%{X-Id}i %B %O %I" bytes
CustomLog logs/bytes_log bytes
<Location /filter/>
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 1000000
</Location>
<Location /plain/>
    SetEnv usher-no-splice
</Location>
<Location /halts>
    UsherBackendTimeout between=1s
</Location>
ProxyPass /filter/ @{[ $backend->url('/') ]}
ProxyPass /urgent/ http://127.0.0.1:@{[ $urgent->sockport ]}/
ProxyPass /unix/ @{[ $unix->url('/') ]}
ProxyPass /plain/ @{[ $backend->url('/') ]}
ProxyPass /slow/ @{[ $backend->url('/') ]}
ProxyPass / @{[ $backend->url('/') ]}
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);

# Pipes that the children have just now.
sub pipes {
    my %ends;

    $ends{ readlink($_) // '' }++ for map { glob "/proc/$_/fd/*" } $httpd->children;
    return scalar grep { /^pipe:/ } keys %ends;
}
# A child that serves has all of its own.
ask($httpd, GET => '/first');
my $idle = pipes();

# The bytes that httpd has counted: of the body, all sent, all received.
sub counted {
    my ($id) = @_;

    return wait_until {
        open my $log, '<', $httpd->root . '/logs/bytes_log' or return;
        my ($line) = grep { s/^\Q$id\E // } <$log>;
        return defined $line ? [split ' ', $line] : undef;
    } 5;
}

# What is announced and sent of it, and what comes then.
sub answer_of {
    my ($length, $sent, @then) = @_;

    return [http_answer(200, [], undef, length => $length), fill($sent), @then];
}

# A client that has asked for it, on a fresh connection.
sub asking {
    my ($uri, $id, %opt) = @_;
    my $client = Usher::Client->new(port => $httpd->port);

    $client->send(http_request(GET => $uri, ['X-Id' => $id], undef, %opt));
    return $client;
}

# Until so many bytes of an answer's body are there.
sub has_got {
    my ($client, $length) = @_;

    return $client->until(sub { ${ $_[0] } =~ /\r\n\r\n/ && length(${ $_[0] }) - $+[0] >= $length || undef }, 5);
}

subtest 'of any length, one after the other' => sub {
    my $client = Usher::Client->new(port => $httpd->port);
    for my $length (100_000, 131_072, 131_073, 135_168, 135_169, 200_000, 262_144, $large, 5_000_000) {
        my $id = "length-$length";
        $backend->on('/a', answer_of($length, $length));
        $client->send(http_request(GET => '/a', ['X-Id' => $id]));
        my $end = $client->answer(discard => 1);
        is("$end->{end} $end->{sha1}", 'complete ' . pattern_sha1($length), "$length bytes");
        is(logged($httpd, $id)->{state}, '--', 'ended well');
        my $counted = counted($id);
        is($counted->[0], $length, 'and were counted');
        is($counted->[1], $end->{bytes}, 'with the head');
    }
    is(scalar $backend->connections, 1, 'over one connection');
    ok((wait_until { pipes() == $idle }), 'no pipe is left');
};

subtest 'whose bytes go from socket to socket, and whose do not' => sub {
    my @cases = (
        ['large', '/s', $large, 1],
        ['short', '/s', 100_000, 0],
        ['with a filter', '/filter/s', $large, 0],
        ['told so', '/plain/s', $large, 0],
        ['over a unix socket', '/unix/s', $large, 1],
        ['for HTTP/1.0', '/s', $large, 1, version => '1.0'],
    );
    for my $case (@cases) {
        my ($name, $uri, $length, $spliced, %opt) = @$case;
        my $half = $length - 4000;
        my $hold = "way-$name" =~ s/\W/-/gr;
        my $server = $uri =~ /unix/ ? $unix : $backend;
        $server->clear;
        $server->on('/s', answer_of($length, $half, hold($hold), pattern($half, 4000)));
        my $client = asking($uri, $hold, %opt);
        ok(has_got($client, $half), "$name: what the backend sends is there before it goes on");
        is(pipes() - $idle, $spliced ? 1 : 0, "$name: " . ($spliced ? 'through a pipe' : 'no pipe'));
        $server->release($hold);
        my $end = $client->answer(discard => 1);
        is("$end->{end} $end->{sha1}", 'complete ' . pattern_sha1($length), 'all of it');
        ok((wait_until { pipes() == $idle }), 'the pipe is closed');
    }
};

subtest 'in small pieces' => sub {
    $backend->on('/t', [http_answer(200, [], undef, length => $large), trickle(pattern(0, 300_000), 30_000, 0.05), fill_from(300_000)]);
    my $client = asking('/t', 'pieces');
    my $start = time;
    ok(has_got($client, 100_000), 'the first ones come');
    soon($start, 0.4, 'before the last ones are sent');
    my $end = $client->answer(discard => 1);
    is("$end->{end} $end->{sha1}", 'complete ' . pattern_sha1($large), 'all of it');
};

# The rest of a large body.
sub fill_from {
    my ($offset) = @_;

    return pattern($offset, $large - $offset);
}

subtest 'cut by the backend' => sub {
    for my $way (['cut', cut], ['reset', stall(0.1), rst], ['halt', stall]) {
        my ($name, @then) = @$way;
        for my $sent (200_000, $large - 4096, $large - 1) {
            my $uri = $name eq 'halt' ? '/halts' : '/c';
            my $id = "$name-$sent";
            my $end;
            $backend->clear;
            $backend->on($uri, answer_of($large, $sent, @then));
            # All of it has to be taken in that moment, or in that time.
            in_calm {
                $end = asking($uri, $id .= 'x')->answer(discard => 1);
                $end->{body_len} == $sent;
            };
            is("$end->{status} $end->{end} $end->{body_len}", "200 closed $sent", "$name after $sent bytes: what came, and no more");
            is(logged($httpd, $id)->{state}, $name eq 'halt' ? 'sD' : 'SD', 'the backend did it');
            ok((wait_until { !grep { $_->{state} eq 'open' } $backend->connections } 3), 'no connection to it is left');
        }
    }
};

subtest 'longer than announced' => sub {
    $backend->clear;
    $backend->on('/l', [http_answer(200, [], undef, length => $large), fill($large + 1)]);
    my $end = asking('/l', 'longer')->answer(discard => 1);
    cmp_ok($end->{body_len}, '<=', $large, 'the client gets no more than that');
    is($end->{sha1}, pattern_sha1($end->{body_len}), 'as it was sent');
    $backend->on('/l', answer_of(10, 10));
    is(ask($httpd, GET => '/l')->{body}, pattern(0, 10), 'nor does the next request get it');
};

subtest 'the client goes' => sub {
    for my $how (qw(reset close)) {
        $backend->clear;
        $backend->on('/g', answer_of($more, 500_000, stall));
        my $client = asking('/slow/g', "gone-$how");
        ok(has_got($client, 500_000), 'while the backend says nothing');
        my $start = time;
        $client->$how;
        is(logged($httpd, "gone-$how")->{state}, 'CD', "$how: state CD");
        soon($start, 1.3, 'within a second');
        $backend->on('/g', answer_of($more, $more));
        $client = asking('/g', "going-$how");
        ok(has_got($client, 500_000), 'while it flows');
        $client->$how;
        is(logged($httpd, "going-$how")->{state}, 'CD', 'state CD');
    }
};

subtest 'the client takes nothing' => sub {
    $backend->clear;
    $backend->on('/n', answer_of($more, $more));
    my $start = time;
    my $client = asking('/n', 'idle');
    is(logged($httpd, 'idle', 8)->{state}, 'CD', 'for longer than Timeout: state CD');
    cmp_ok(time - $start, '>', 1.8 * patience, 'not before');
    isnt($client->answer(discard => 1)->{end}, 'complete', 'it sees that it is cut');
    ok((wait_until { !grep { $_->{state} eq 'open' } $backend->connections } 3), 'no connection to the backend is left');

    $client = asking('/n', 'slow');
    wait_until { 0 } 1;
    my $end = $client->answer(discard => 1);
    is("$end->{end} $end->{sha1}", 'complete ' . pattern_sha1($more), 'for a second: it gets all');
};

subtest 'a graceful restart' => sub {
    $backend->clear;
    $backend->on('/r', answer_of($large, 500_000, hold('restart'), pattern(500_000, $large - 500_000)));
    my $client = asking('/slow/r', 'restart');
    ok(has_got($client, 500_000), 'in the middle of it');
    ok($httpd->graceful, 'httpd goes on');
    $backend->release('restart');
    my $end = $client->answer(discard => 1);
    is("$end->{end} $end->{sha1}", 'complete ' . pattern_sha1($large), 'the client gets all');
};

subtest 'uploads, with the next request behind them' => sub {
    $backend->clear;
    $backend->on('/u', echo);
    $backend->on('/b', http_answer(200, [], 'behind'));
    my $client = Usher::Client->new(port => $httpd->port);
    for my $length (20_000, 70_000, 131_072, $large, 5_000_000) {
        for my $chunks (undef, 1000, 100_000) {
            my $id = join '-', 'up', $length, $chunks // ();
            my $sent = http_request(POST => '/u', ['X-Id' => $id], pattern(0, $length), $chunks ? (chunked => $chunks) : ());
            my $next = http_request(GET => '/b');
            $client->send($sent . $next);
            is(tells($client->answer), "200 complete POST /u $length " . pattern_sha1($length) . "\n",
                "$length bytes" . ($chunks ? " in chunks of $chunks" : ''));
            is(tells($client->answer), '200 complete behind', 'and the next one');
            my $counted = counted($id);
            cmp_ok($counted->[2], '>=', $length, 'counted');
            # How far httpd has looked at the next one, and counted that, depends on its MPM.
            cmp_ok($counted->[2], '<', length($sent) + 2 * length($next), 'once');
        }
    }
};

subtest 'an urgent byte in between' => sub {
    my $client = asking('/urgent/', 'urgent');
    my $link = $urgent->accept;
    $link->autoflush(1);
    local $/ = "\r\n\r\n";
    like(scalar <$link>, qr/^GET/, 'the backend is asked');
    print {$link} "HTTP/1.1 200 OK\r\nContent-Length: $large\r\n\r\n", pattern(0, 300_000);
    ok(has_got($client, 300_000), 'has begun');
    send $link, '!', MSG_OOB;
    print {$link} pattern(300_000, $large - 300_000);
    my $end = $client->answer(discard => 1, timeout => 5);
    is("$end->{end} $end->{sha1}", 'complete ' . pattern_sha1($large), 'does not hold up what follows');
};

subtest 'an upload in small pieces' => sub {
    $backend->on('/u', echo);
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(POST => '/u', ['Content-Length' => 100_000]));
    $client->trickle(pattern(0, 100_000), 7_777, 0.02);
    is(tells($client->answer), '200 complete POST /u 100000 ' . pattern_sha1(100_000) . "\n", 'arrives');
};

$httpd->log->tolerate(qr/USHER2\d\d\d/);
$httpd->finish('httpd lives');
done_testing;
