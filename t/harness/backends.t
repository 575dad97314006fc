# The harness for what happens when connections are cut: Usher::Backend does
# on the wire what its script says, Usher::Client sees how an answer ended,
# and the journal tells what was delivered. Without httpd; backends_proxied.t
# is with it.
use strict;
use warnings FATAL => 'all';

use Digest::SHA ();
use File::Path ();
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use Usher::AJP;
use Usher::Backend;
use Usher::Client ();
use Usher::Pattern;
use Usher::Wait;

my $text = ['Content-Type' => 'text/plain'];
my $short = http_answer(200, $text, 'twelve bytes');

# What the backend sends for GET $uri, and how it ends.
sub fetch {
    my ($backend, $uri) = @_;
    my $client = $backend->client;

    $client->send(http_request(GET => $uri));
    return $client->read_all;
}

# Waits until so many bytes have come, which are still to be read.
sub has_come {
    my ($client, $length) = @_;

    return $client->until(sub { length ${ $_[0] } >= $length || undef });
}

# One test: the backend's answer to GET $uri is these bytes and this end.
sub sends {
    my ($backend, $uri, $bytes, $end, $name) = @_;
    my $client = $backend->client;

    $client->send(http_request(GET => $uri));
    has_come($client, length $bytes);
    my ($got, $how) = $client->read_all($end eq 'timeout' ? 0.1 : 10);

    return ok($got eq $bytes && $how eq $end, $name)
        || !diag("got ", length $got, " bytes and '$how', expected ", length $bytes, " and '$end'");
}

# How many offsets of an answer do not give exactly that many bytes and $end.
sub wrong_offsets {
    my ($backend, $uri, $answer, $step, $end, $exchange) = @_;
    my @wrong;

    for my $n (0 .. length $answer) {
        $backend->on($uri, [at($answer, $n, $step)]);
        my ($got, $how) = $exchange->($backend, $uri);
        push @wrong, "$n: " . length($got) . " bytes, $how" if $got ne substr($answer, 0, $n) || $how ne $end;
    }
    diag(@wrong[0 .. ($#wrong < 5 ? $#wrong : 5)]) if @wrong;
    return scalar @wrong;
}

subtest 'messages as bytes, and back' => sub {
    my $bytes = http_answer(200, [A => 1, A => 2], 'hello world', chunked => 4, trailers => [T => 'x']);
    my ($line, $headers) = http_parse_head(substr $bytes, 0, http_head_end(\$bytes));
    my $whole = substr $bytes, http_head_end(\$bytes);

    is($line, 'HTTP/1.1 200 OK', 'status line');
    is(http_value($headers, 'a'), '1, 2', 'a header that comes twice');
    for my $split (0 .. length $whole) {
        my $body = Usher::HTTP1::Body->new('chunked');
        my ($in, $out) = ('', '');
        for my $piece (substr($whole, 0, $split), substr $whole, $split) {
            $in .= $piece;
            while (length(my $more = $body->take(\$in))) { $out .= $more }
        }
        next if $out eq 'hello world' && $body->{done} && "@{ $body->{trailers}[0] }" eq 'T x' && $in eq '';
        fail("chunked body split at $split: $out");
    }
    for my $cut (0 .. length($whole) - 1) {
        my $body = Usher::HTTP1::Body->new('chunked');
        my $in = substr $whole, 0, $cut;
        1 while length $body->take(\$in);
        fail("chunked body cut at $cut taken for whole") if $body->{done};
    }
    for my $bad ("x\r\n", "5\r\nhelloXX", "0\r\nno colon\r\n") {
        my ($body, $in) = (Usher::HTTP1::Body->new('chunked'), $bad);
        1 while length $body->take(\$in);
        ok($body->{bad}, "malformed: $body->{bad}");
    }
    is(pattern(0, 200000), pattern(0, 70001) . pattern(70001, 129999), 'the pattern depends on the offset only');
    is(pattern_sha1(200000), Digest::SHA::sha1_hex(pattern(0, 200000)), 'its SHA-1');
};

subtest 'AJP as bytes, and back' => sub {
    my %request = (method => 'PATCH', uri => '/a b', remote_addr => '192.0.2.1', server_name => 'www',
        server_port => 443, is_ssl => 1, headers => [Host => 'h', 'X-Own' => "\xe9", Cookie => 'a=b', Cookie => 'c=d'],
        query_string => 'q=1', secret => 's3', ssl_key_size => 256, ssl_cipher => 'C',
        request_attributes => [AJP_X => 'y']);
    my $in = ajp_forward(%request);
    my $frame = $in;
    my $got = ajp_decode_forward(ajp_take(\$in, "\x12\x34"));

    is($in, '', 'one frame');
    is_deeply([@$got{qw(method uri remote_addr remote_host server_name server_port is_ssl coded)}],
        ['PATCH', '/a b', '192.0.2.1', undef, 'www', 443, 1, 3], 'FORWARD_REQUEST: fields');
    is_deeply($got->{headers}, [[Host => 'h'], ['X-Own' => "\xe9"], [Cookie => 'a=b'], [Cookie => 'c=d']], 'headers');
    is_deeply($got->{attributes}, { query_string => 'q=1', secret => 's3', ssl_key_size => 256, ssl_cipher => 'C',
        stored_method => 'PATCH' }, 'attributes, ssl_key_size as a number');
    is_deeply($got->{request_attributes}, { AJP_X => 'y' }, 'request attributes');
    for my $n (0 .. length($frame) - 1) {
        my $part = substr $frame, 0, $n;
        fail("$n bytes taken for a frame") if defined ajp_take(\$part, "\x12\x34");
        next if $n < 4;
        fail("FORWARD_REQUEST of $n bytes decoded") if eval { ajp_decode_forward(substr $part, 4); 1 };
    }
    # By hand, so that a mistake on both sides of the codec shows.
    is(unpack('H*', ajp_send_headers(404, ['Content-Type' => 'a', X => 'b'], reason => 'No')),
        '41420018' . '040194' . '00024e6f00' . '0002' . 'a001' . '00016100' . '00015800' . '00016200', 'SEND_HEADERS');
    is(unpack('H*', join '', ajp_body_chunk('hi'), ajp_get_body(16), ajp_end, ajp_end(0), ajp_cpong, ajp_cping,
        ajp_body('hi'), ajp_body),
        '4142000603000268690041420003060010' . '414200020501' . '414200020500' . '4142000109' . '123400010a'
        . '1234000400026869' . '123400020000', 'the short packets');

    my $answer = ajp_answer(200, ['Content-Type' => 'x', 'X-Y' => 'z'], 'abcdef', chunk => 4)
        . ajp_get_body(9) . ajp_cpong;
    my @packets;
    while (defined(my $payload = ajp_take(\$answer, 'AB'))) { push @packets, ajp_decode($payload) }
    is_deeply(\@packets, [
        { type => 'SEND_HEADERS', status => 200, reason => 'OK', headers => [['Content-Type' => 'x'], ['X-Y' => 'z']] },
        { type => 'SEND_BODY_CHUNK', body => 'abcd' }, { type => 'SEND_BODY_CHUNK', body => 'ef' },
        { type => 'END_RESPONSE', reuse => 1 }, { type => 'GET_BODY_CHUNK', length => 9 }, { type => 'CPONG' },
    ], 'what a container sends');
    for my $bad (['string without NUL', "\x03\0\2hi!"], ['too short', "\x03\0\x09hi\0"], ['too long', "\x05\1\0"],
        ['unknown type', "\x07"], ['unknown header code', "\x04\0\xc8\0\0\0\0\1\xa0\x7f\0\0\0"]) {
        ok(!eval { ajp_decode($bad->[1]) }, "refused: $bad->[0]");
    }
    ok(!eval { my $x = "\x12\x34\0\1\x05"; ajp_take(\$x, 'AB'); 1 }, 'refused: frame of the other side');
};

subtest 'answers, byte for byte' => sub {
    my $backend = Usher::Backend->new;

    is(wrong_offsets($backend, '/cut', $short, cut, 'closed', \&fetch), 0, 'cut at every byte: exactly these, then FIN');
    is(wrong_offsets($backend, '/rst', $short, rst, 'reset', \&fetch), 0, 'reset at every byte: exactly these, then RST');

    $backend->on('/stall', [at($short, 20, stall)]);
    sends($backend, '/stall', substr($short, 0, 20), 'timeout', 'stall: some bytes, then nothing');
    $backend->on('/late', [at($short, 20, stall(0.3)), cut]);
    my $start = time;
    sends($backend, '/late', $short, 'closed', 'stall for a time');
    cmp_ok(time - $start, '>=', 0.3, 'which has passed');
    $backend->on('/trickle', [trickle($short, 20, 0.05), cut]);
    $start = time;
    sends($backend, '/trickle', $short, 'closed', 'trickle');
    cmp_ok(time - $start, '>=', int((length($short) - 1) / 20) * 0.05, 'with its pauses');
    $backend->on('/garble', [garble($short, 9, 'XYZ'), cut]);
    sends($backend, '/garble', 'HTTP/1.1 XYZ' . substr($short, 12), 'closed', 'other bytes at an offset');
    $backend->on('/extra', [$short, 'extra', cut]);
    sends($backend, '/extra', "${short}extra", 'closed', 'bytes after the end');
    $backend->on('/half', [$short, half_close]);
    sends($backend, '/half', $short, 'closed', 'half-close');
    wait_until { ($backend->connections)[-1]{state} eq 'closed' };
    is(($backend->connections)[-1]{closed_by}, 'peer', 'after which the peer closes');

    for my $as (qw(plain chunked ajp)) {
        my $fill = fill(1000, as => $as, piece => 300);
        $backend->on("/fill/$as", [$fill, cut]);
        my ($all) = fetch($backend, "/fill/$as");
        my ($wrong, $n) = (0, 0);
        for ($n = 0; $n <= length $all; $n += 41) {
            $backend->on("/fill/$as", [at(['', $fill], $n, '<>'), cut]);
            my ($got) = fetch($backend, "/fill/$as");
            $wrong++ if $got ne substr($all, 0, $n) . '<>' . substr($all, $n);
        }
        is($wrong, 0, "fill as $as, something put in at any offset");
    }
    ok(!eval { at($short, 1 + length $short, cut); 1 }, 'an offset behind the end is refused');
    ok(!eval { $backend->on('/x', undef); 1 }, 'a play of nothing is refused');
    $backend->stop;
};

subtest 'how an answer ends, as the client sees it' => sub {
    my $backend = Usher::Backend->new;
    my $chunked = http_answer(200, $text, 'twelve bytes', chunked => 5, trailers => [T => 1]);
    my $until_close = http_answer(200, $text, 'twelve bytes', length => undef);
    my %plays = (
        length    => [[$short], 'complete', 1, 'length', 12],
        chunked   => [[$chunked], 'complete', 1, 'chunked', 12],
        close     => [[$until_close, cut], 'closed', 1, 'close', 12],
        short     => [[at($short, length($short) - 1, cut)], 'closed', !!0, 'length', 11],
        unchunked => [[at($chunked, length($chunked) - 1, cut)], 'closed', !!0, 'chunked', 12],
        aborted   => [[$until_close, rst], 'reset', !!0, 'close', 12],
        stalled   => [[at($short, length($short) - 5, stall)], 'timeout', !!0, 'length', 7],
        garbled   => [[garble($chunked, 4 + index($chunked, "\r\n\r\n5"), 'x'), cut], 'malformed', !!0, 'chunked', 0],
    );

    for my $name (sort keys %plays) {
        my ($play, @expected) = @{ $plays{$name} };
        $backend->on("/$name", $play);
        my $client = $backend->client;
        $client->send(http_request(GET => "/$name"));
        has_come($client, length($short) - 5) if $name eq 'stalled';
        my $answer = $client->answer(timeout => $name eq 'stalled' ? 0.2 : 10);
        is_deeply([@$answer{qw(end complete framing body_len)}], \@expected, $name);
    }
    $backend->on('/none', cut);
    my $answer = Usher::Client->get($backend->port, '/none');
    ok($answer->{end} eq 'closed' && !$answer->{complete} && !defined $answer->{status} && !$answer->{bytes},
        'no byte at all');

    my $client = $backend->client;
    $backend->on('HEAD /head', http_answer(200, [], undef, length => 1000));
    is($client->request(HEAD => '/head')->{end}, 'complete', 'HEAD has no body');
    $backend->on('/interim', "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n$chunked");
    $answer = $client->request(GET => '/interim');
    is_deeply([$answer->{status}, $answer->{interim}[0]{status}, $answer->{trailers}], [200, 103, [[T => 1]]],
        'interim answer and trailers, on the same connection');
    $client->trickle(http_request(GET => '/length') x 2, 7, 0.001);
    is($client->answer->{body} . $client->answer->{body}, 'twelve bytes' x 2, 'pipelined, sent in pieces');
    is($client->request(GET => '/nowhere')->{status}, 404, 'no rule: 404');
    is((map { $_->{n} } $backend->requests('/nowhere'))[0], 5, 'five requests on this connection');
    $client->send("GET /length HTTP/1.1\r\nHost: a\r\n\r\n");
    $client->half_close;
    is($client->answer->{end}, 'complete', 'a half-closed client is answered');
    $client = $backend->client;
    $client->send(http_request(GET => '/length'));
    $client->answer;
    $client->reset;
    ok(wait_until { ($backend->connections)[-1]{how} }, 'a client that resets');
    is(($backend->connections)[-1]{how}, 'reset', 'is seen to');
    $backend->stop;
    ok(!Usher::Client->new(port => $backend->port), 'nobody listens after stop()');
};

subtest 'which play, and the journal' => sub {
    my $backend = Usher::Backend->new;
    my $rule = $backend->on('/once', [at($short, 30, cut)], $short);
    my ($id) = 'id-7';

    my @ends = map { Usher::Client->get($backend->port, "/once?id=$id")->{end} } 1 .. 3;
    is("@ends", 'closed complete complete', 'the first is cut, later ones are answered');
    is(scalar $backend->deliveries($id), 3, 'three deliveries, by query');
    is_deeply([map { "$_->{rule}/$_->{nth}" } $backend->requests('/once')], ["$rule/1", "$rule/2", "$rule/3"], 'noted');
    $backend->on('/once', http_answer(204));
    is(Usher::Client->get($backend->port, '/once')->{status}, 204, 'changed while it runs');
    $backend->on('POST /once', http_answer(201));
    is(Usher::Client->get($backend->port, '/once')->{status}, 204, 'by method');
    $backend->on(qr{^/o.*[?]x}, http_answer(206, [], ''));
    is(Usher::Client->get($backend->port, '/once?x')->{status}, 206, 'by regular expression');
    $backend->on({ path => '/once', reused => 1 }, cut);
    my $client = $backend->client;
    is($client->request(GET => '/once')->{status}, 204, 'a fresh connection is served');
    is($client->request(GET => '/once')->{end}, 'closed', 'a reused one is closed after the request');

    my $body = pattern(0, 5000);
    $backend->clear;
    $backend->on('/post', echo);
    my $sha1 = pattern_sha1(5000);
    $client = $backend->client;
    for my $how ([], [chunked => 999, trailers => [T => 'x']]) {
        my $answer = $client->request(POST => '/post', ['X-Id' => $id], $body, @$how);
        is($answer->{body}, "POST /post 5000 $sha1\n", "the body arrives (@$how)");
    }
    is_deeply([map { [@$_{qw(method uri body_len sha1 complete n)}, $_->{header}{'x-id'}] } $backend->deliveries($id)],
        [['POST', '/post', 5000, $sha1, 1, 1, $id], ['POST', '/post', 5000, $sha1, 1, 2, $id]], 'noted as delivered');
    is_deeply(($backend->requests)[1]{trailers}, [[T => 'x']], 'with trailers');
    is(($backend->requests)[0]{raw},
        "POST /post HTTP/1.1\r\nHost: localhost\r\nX-Id: $id\r\nContent-Length: 5000\r\n\r\n",
        'and the head\'s bytes');

    $client = $backend->client;
    $client->send(substr http_request(POST => '/post', ['X-Id' => 'part'], $body), 0, 3000);
    $client->close;
    wait_until { scalar $backend->deliveries('part') };
    ok(wait_until { ($backend->connections)[-1]{state} eq 'closed' }, 'a body that is cut');
    my ($part) = $backend->deliveries('part');
    my $head = length $part->{raw};
    is_deeply([@$part{qw(complete body_len sha1)}], [0, 3000 - $head, pattern_sha1(3000 - $head)],
        'is noted as far as it came');
    $client = $backend->client;
    $client->send("GET /half HTTP");
    $client->close;
    ok(wait_until { ($backend->connections)[-1]{partial} }, 'half a head');
    is(($backend->connections)[-1]{partial}, 'GET /half HTTP', 'is kept');
    is(scalar $backend->requests('/half'), 0, 'and is no request');

    $backend->on('/hold', [at($short, 30, hold('gate'))]);
    $client = $backend->client;
    $client->send(http_request(GET => '/hold'));
    ok(wait_until { $backend->holding('gate') }, 'held');
    is($client->answer(timeout => 0.1)->{end}, 'timeout', 'before the end of the head');
    my $other = $backend->client;
    $other->send(http_request(GET => '/hold'));
    ok(wait_until { $backend->holding('gate') == 2 }, 'another one');
    $other->close;
    ok(wait_until { ($backend->requests('/hold'))[-1]{gone} }, 'that gives up');
    is(($backend->requests('/hold'))[-1]{gone}, 'closed', 'is noted before the answer is over');
    $backend->release('gate');
    my $rest = $client->until(sub { length ${ $_[0] } >= length($short) - 30 ? ${ $_[0] } : undef });
    is($rest, substr($short, 30), 'released');
    ok(!defined(($backend->requests('/hold'))[0]{gone}), 'the first never went away');
    $backend->stop;
};

subtest 'the connection' => sub {
    my $backend = Usher::Backend->new(backlog => 4);

    $backend->on('/', $short);
    $backend->on('ACCEPT', cut, rst, stall, ["early"], [$short, cut], []);
    is(join('/', $backend->client->read_all), '/closed', 'accept and close');
    is(join('/', $backend->client->read_all), '/reset', 'accept and reset');
    my $client = $backend->client;
    $client->send(http_request(GET => '/'));
    ok((wait_until { defined +($backend->connections)[-1]{holding} }), 'the third one');
    is(join('/', $client->read_all(0.1)), '/timeout', 'accept and stall');
    my $eager = $backend->client;
    $eager->until(sub { ${ $_[0] } =~ /early/ || undef });
    is(join('/', $eager->read_all(0.1)), 'early/timeout', 'bytes before the request');
    is($backend->client->answer->{end}, 'complete', 'an answer before the request');
    is($backend->client->request(GET => '/')->{end}, 'complete', 'and then as usual');

    $backend->on('/idle', [$short, idle(0.1)], [$short, idle(0, 'rst')]);
    $client = $backend->client;
    is($client->request(GET => '/idle')->{end}, 'complete', 'kept');
    is(join('/', $client->read_all), '/closed', 'but closed when idle for a while');
    my $c = wait_until { my ($last) = reverse $backend->connections; $last->{state} eq 'closed' && $last };
    ok($c->{closed_by} eq 'backend' && $c->{closed_at} - $c->{opened_at} >= 0.1, 'as noted');
    $client = $backend->client;
    $client->request(GET => '/idle');
    is(join('/', $client->read_all), '/reset', 'or reset');

    my @clients = map { $backend->client } 1 .. 3;
    $_->request(GET => '/') for @clients;
    cmp_ok($backend->close_idle, '>=', 3, 'all idle connections closed on command');
    is(join('/', map { $_->peer_gone } @clients), 'closed/closed/closed', 'when that returns, they are closed');
    $client = $backend->client;
    $client->request(GET => '/');
    $backend->close_idle('rst');
    is(join('/', $client->read_all), '/reset', 'or reset');

    $backend->pause;
    my $before = $backend->connections;
    $client = $backend->client;
    $client->send(http_request(GET => '/'));
    is(join('/', $client->read_all(0.1)), '/timeout', 'connected, but not accepted');
    $backend->full;
    ok(!Usher::Client->new(port => $backend->port, timeout => 0.3), 'backlog full: connecting hangs');
    $backend->resume;
    is($client->answer->{end}, 'complete', 'accepted at last');
    is($backend->connections, $before + 1, 'connections that filled the backlog are not listed');

    my $port = $backend->port;
    $backend->stop;
    ok(!Usher::Client->new(port => $port), 'down: refused');
    is(scalar(grep { $_->{state} ne 'closed' } $backend->connections), 0, 'no connection is open');
    $backend->start;
    is($backend->port, $port, 'up again on the same port');
    is($backend->client->request(GET => '/')->{end}, 'complete', 'with the same script');
    $backend->stop;

    for my $unix (Usher::Backend->new(unix => 1)) {
        like($unix->url, qr{^unix:/.*\|http://localhost$}, 'on a unix socket');
        $unix->on('/', $short);
        is($unix->client->request(GET => '/')->{end}, 'complete', 'answers');
        is(wrong_offsets($unix, '/cut', $short, cut, 'closed', \&fetch), 0, 'cut at every byte');
        $unix->stop;
    }
    SKIP: {
        my $v6 = eval { Usher::Backend->new(host => '::1') } or skip "no ::1 here", 1;
        $v6->on('/', $short);
        is($v6->client->request(GET => '/')->{end}, 'complete', 'on [::1]');
        $v6->stop;
    }
};

subtest 'the request\'s body' => sub {
    my $backend = Usher::Backend->new(rcvbuf => 8192);
    my $early = http_answer(413, [Connection => 'close'], 'too much');
    my @expect = (Expect => '100-continue', 'Content-Length' => 4);
    my $mib = 1 << 20;

    # A client that sends $count bytes of body, or as many as it can.
    my $upload = sub {
        my ($uri, $count, $seconds) = @_;
        my $client = $backend->client;
        $client->send(http_request(POST => $uri, ['Content-Length' => $count]));
        return ($client, $client->send_pattern($count, $seconds));
    };
    $backend->on('/stop', [read_body(1000), stall]);
    my ($client, $sent) = $upload->('/stop', 64 * $mib, 0.3);
    cmp_ok($sent, '<', 64 * $mib, 'reading stops: sending does as well');
    wait_until { (($backend->requests('/stop'))[0] // {})->{body_len} };
    is_deeply([@{ ($backend->requests('/stop'))[0] }{qw(body_len sha1 complete)}], [1000, pattern_sha1(1000), 0],
        'after exactly so many bytes');
    $backend->on('/gone', [read_body(1000), cut], [read_body(1000), rst]);
    for my $how (qw(closed reset)) {
        ($client, $sent) = $upload->('/gone', 64 * $mib);
        cmp_ok($sent, '<', 64 * $mib, "$how while the body is sent");
    }
    $backend->on('/early', [leave_body, $early, rst]);
    $client = $backend->client;
    $client->send(http_request(POST => '/early', ['Content-Length' => 10]) . 'half');
    my $answer = $client->answer;
    is_deeply([@$answer{qw(status end)}], [413, 'complete'], 'answered early');
    is(join('/', $client->read_all), '/reset', 'and reset');
    $backend->on('/slow', [read_slowly(10, 0.05), $short]);
    my $start = time;
    ($client) = $upload->('/slow', 40);
    is($client->answer->{status}, 200, 'read slowly');
    cmp_ok(time - $start, '>=', 0.15, 'with its pauses');

    $backend->on('/100', $short, [read_body, $short], [say_continue, read_body, $short]);
    for my $n (1 .. 3) {
        $client = $backend->client;
        $client->send(http_request(POST => '/100', [@expect]));
        $answer = $client->answer(interim => 1, timeout => $n == 2 ? 0.2 : 10);
        is($answer->{status}, $n == 2 ? undef : 100, ('100 Continue', 'withheld', 'sent by the script')[$n - 1]);
        $client->send('body');
        is($client->answer->{status}, 200, 'then the answer');
    }
    $backend->stop;
};

subtest 'large bodies' => sub {
    my $backend = Usher::Backend->new;
    my $size = 100_000_000;
    my $start = time;

    $backend->on('/down', [http_answer(200, [], undef, length => $size), fill($size)]);
    $backend->on('/chunked', [http_answer(200, ['Transfer-Encoding' => 'chunked']),
        fill($size, as => 'chunked'), "0\r\n\r\n"]);
    $backend->on('/up', echo);
    my $client = $backend->client;
    for my $uri ('/down', '/chunked') {
        $client->send(http_request(GET => $uri));
        my $answer = $client->answer(discard => 1, timeout => 60);
        is_deeply([@$answer{qw(end body_len body)}, $answer->{sha1}], ['complete', $size, '', pattern_sha1($size)],
            "$uri: 100 MB");
    }
    $client->send(http_request(POST => '/up', ['Content-Length' => $size]));
    is($client->send_pattern($size), $size, '/up: 100 MB');
    is($client->answer->{body}, "POST /up $size " . pattern_sha1($size) . "\n", 'arrived');
    SKIP: {
        open my $fh, '<', '/proc/self/status' or skip 'no /proc here', 1;
        my ($peak) = map { /^VmHWM:\s+(\d+)/ } <$fh>;
        cmp_ok($peak, '<', 90_000, 'not held in memory (KiB)');
    }
    soon($start, 30, 'and not slow');

    $backend->on('/unread', [leave_body, $short, cut]);
    is(join('/', map { $_->send(http_request(POST => '/unread', [], 'x' x 20_000)); $_->answer->{end}, $_->read_all }
        $backend->client), 'complete//closed', 'closed with FIN also where the body was not read');
    $backend->on('/abandoned', [http_answer(200, [], undef, length => $size), fill($size)]);
    $client->send(http_request(GET => '/abandoned'));
    wait_until { scalar $backend->requests('/abandoned') };
    $client->close;
    ok(wait_until { ($backend->requests('/abandoned'))[0]{gone} }, 'a client that goes away meanwhile is noted');
    $backend->stop;
};

subtest 'AJP' => sub {
    my $backend = Usher::Backend->new(protocol => 'ajp');
    my $answer = ajp_answer(200, $text, 'twelve bytes');
    my $asked = sub {
        my ($server, $uri) = @_;
        my $client = $server->client;
        $client->send(ajp_forward(uri => $uri));
        return $client->read_all(2);
    };
    my $next = sub { ajp_decode($_[0]->until(sub { ajp_take($_[0], 'AB') }) // return {}) };

    is(wrong_offsets($backend, '/cut', $answer, cut, 'closed', $asked), 0, 'cut at every byte');
    is(wrong_offsets($backend, '/rst', $answer, rst, 'reset', $asked), 0, 'reset at every byte');
    my %sent = (
        body_first  => ajp_body_chunk('x') . $answer,
        twice       => ajp_send_headers(200) . $answer,
        no_headers  => ajp_end,
        long_frame  => ajp_frame("\x05\1", length => 9000),
        no_nul      => ajp_frame("\x04\0\xc8" . ajp_string('OK', nul => 0) . "\0\0"),
        other_magic => ajp_frame("\x05\1", magic => 'BA'),
    );
    for my $name (sort keys %sent) {
        $backend->on("/$name", [$sent{$name}, cut]);
        is(($asked->($backend, "/$name"))[0], $sent{$name}, "sent as it is: $name");
    }

    my $client = $backend->client;
    $client->send(ajp_cping);
    is($next->($client)->{type}, 'CPONG', 'CPING is answered');
    $backend->on('/up', [echo, idle(60)]);
    $client->send(ajp_forward(method => 'POST', uri => '/up', query_string => 'id=1', headers => ['Content-Length' => 6])
        . ajp_body('abc'));
    is($next->($client)->{type}, 'GET_BODY_CHUNK', 'the rest of the body is asked for');
    $client->send(ajp_body('def'));
    is($next->($client)->{status}, 200, 'and then answered');
    is($next->($client)->{body}, 'POST /up?id=1 6 ' . Digest::SHA::sha1_hex('abcdef') . "\n", 'body');
    is_deeply($next->($client), { type => 'END_RESPONSE', reuse => 1 }, 'end');
    $client->send(ajp_forward(method => 'POST', uri => '/up'));
    for my $piece ('abc', '') {
        is($next->($client)->{type}, 'GET_BODY_CHUNK', 'a body of unknown length: asked for until its end');
        $client->send(ajp_body($piece));
    }
    is($next->($client)->{status}, 200, 'and then answered');
    is(scalar $backend->deliveries(1), 1, 'one delivery with this id');
    is_deeply([map { @$_{qw(body_len complete n)} } $backend->requests('/up')], [6, 1, 1, 3, 1, 2], 'CPING is no request');

    $backend->on('/ask', ask_body);
    $client = $backend->client;
    $client->send(ajp_forward(method => 'POST', uri => '/ask', headers => ['Content-Length' => 1]) . ajp_body('x'));
    for (1 .. 5) {
        last if !is($next->($client)->{type}, 'GET_BODY_CHUNK', 'asked again and again');
        $client->send(ajp_body);
    }
    $backend->on('CPING', stall);
    $client = $backend->client;
    $client->send(ajp_cping);
    is(join('/', $client->read_all(0.1)), '/timeout', 'CPING is not answered');
    $backend->on('/close', ajp_answer(200, [], '', reuse => 0));
    is(($asked->($backend, '/close'))[1], 'closed', 'reuse 0: closed');
    $client = $backend->client;
    $client->send("\x12\x34\0\2\x02\x63");
    is(join('/', $client->read_all), '/closed', 'a request that is malformed');
    ok(wait_until { (($backend->connections)[-1]{bad} // '') =~ /method code/ }, 'is noted');
    $backend->stop;
};

subtest 'the end' => sub {
    # A test that is killed: its backend's processes go with it.
    pipe my $read, my $write;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        my $backend = Usher::Backend->new;
        $backend->on('/', stall);
        my $client = $backend->client;
        $client->send(http_request(GET => '/'));
        wait_until { scalar $backend->requests };
        open my $fh, '<', "/proc/$backend->{pid}/task/$backend->{pid}/children";
        syswrite $write, join(' ', $backend->port, $backend->{dir}, $backend->{pid}, $fh ? <$fh> : ()) . "\n";
        sleep 60;
        POSIX::_exit(0);
    }
    close $write;
    my ($port, $dir, @pids) = split ' ', <$read>;
    ok(Usher::Client->new(port => $port), 'listens');
    kill 'KILL', $pid;
    waitpid $pid, 0;
    ok(wait_until { !Usher::Client->new(port => $port) }, 'not after the test was killed');
    cmp_ok(scalar @pids, '>=', 2, 'an acceptor and a connection');
    # Zombies, where no init reaps them, are gone too.
    my $alive = sub { open my $fh, '<', "/proc/$_[0]/stat" or return 0; return <$fh> !~ /\) Z / };
    ok(wait_until { !grep { $alive->($_) } @pids }, 'no process is left');
    File::Path::remove_tree($dir) unless $ENV{USHER_KEEP_WORK};
};

done_testing;
