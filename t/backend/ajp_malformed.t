# Packets of an AJP backend that are none, or come when they must not: never
# passed on, never half of them, and nothing of them is left for who comes next.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::AJP;
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Pattern;
use Usher::Wait;

my ($backend, $other) = map { Usher::Backend->new(protocol => 'ajp') } 1 .. 2;
my $big = Usher::Backend->new(protocol => 'ajp');
my $httpd = backend_httpd(<<"EOT");
UsherBackendTimeout first=@{[ 2 * patience ]}s between=@{[ 2 * patience ]}s
UsherReplayBudget percent=100 least=1000
<Location />
    UsherBackendRest Off
</Location>
ProxyPass /one/ @{[ $backend->url('/') ]}
ProxyPass /big/ @{[ $big->url('/') ]} iobuffersize=65536
ProxyPass /ping/ ajp://127.1:@{[ $backend->port ]}/ ping=@{[ patience ]}
<Proxy balancer://two>
    BalancerMember @{[ $backend->url ]}
    BalancerMember @{[ $other->url ]} lbset=1
</Proxy>
ProxyPass /two/ balancer://two/
<Proxy balancer://rests>
    BalancerMember @{[ $backend->url ]}
    BalancerMember @{[ $other->url ]} lbset=1
</Proxy>
ProxyPass /rests/ balancer://rests/
<Location /rests/>
    UsherBackendRest failures=3
</Location>
<Location /few/>
    UsherBackendAnswer head=2K fields=10
</Location>
ProxyPass /few/ @{[ $backend->url('/') ]}
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);

my @type = ('Content-Type' => 'text/plain');
my $evil = ajp_answer(200, [@type], 'EVIL');

# SEND_HEADERS whose fields are these bytes.
sub raw_headers {
    my ($fields, %opt) = @_;

    return ajp_frame(pack('Cn', 4, $opt{status} // 200) . ($opt{reason} // ajp_string('OK')) . pack('n', $opt{count} // 1) . $fields);
}

# Heads with these fields, and a body.
sub answer { my ($headers, %opt) = @_; return ajp_answer(200, [@type, @$headers], 'body', %opt) }

# On the same connection of the client, where that was kept: then it is the same child's.
sub next_own {
    my ($client) = @_;
    my $answer = $client->request(GET => '/one/next');

    $answer = Usher::Client->new(port => $httpd->port)->request(GET => '/one/next') if $answer->{end} =~ /^(?:closed|reset)$/;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is($answer->{body}, 'its own answer', 'the next request gets its own answer');
}

sub closed { return wait_until { !grep { $_->{state} ne 'closed' } $backend->connections } 3 }

# What comes instead of a head; then the connection stays as it is.
my %head = (
    'HTTP'                              => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    'the magic of a proxy'              => ajp_frame(pack('Cn', 4, 200) . ajp_string('OK') . "\0\0", to => 1),
    'another magic'                     => ajp_frame(pack('Cn', 4, 200) . ajp_string('OK') . "\0\0", magic => 'AC'),
    'an empty packet'                   => ajp_frame('') . answer([]),
    'a packet of no known type'         => ajp_frame("\x01") . answer([]),
    'a shutdown'                        => ajp_frame("\x07") . answer([]),
    'type 255'                          => ajp_frame("\xFF") . answer([]),
    'a FORWARD_REQUEST'                 => ajp_frame(substr(ajp_forward(), 4)),
    'a CPONG that nobody asked for'     => ajp_cpong() . answer([]),
    'a body'                            => ajp_body_chunk('EVIL') . answer([]),
    'its end'                           => ajp_end(1),
    'its end, without reuse'            => ajp_end(0),
    'a packet longer than 8192'         => answer(['X-A' => 'a' x 8300]),
    'a packet of 65535'                 => ajp_frame(pack('Cn', 4, 200) . ajp_string('OK') . "\0\0" . "\0" x 65528),
    'no reason, no fields'              => ajp_frame(pack('Cn', 4, 200)),
    'half a status'                     => ajp_frame(pack('CC', 4, 0)),
    'no count of fields'                => ajp_frame(pack('Cn', 4, 200) . ajp_string('OK')),
    'a type alone'                      => ajp_frame("\x04") . answer([]),
    'a reason beyond the packet'        => raw_headers('', reason => ajp_string('OK', length => 60_000), count => 0),
    'a reason as long as the packet'    => ajp_frame(pack('Cnn', 4, 200, 4) . "OK\0\0"),
    'a reason without NUL'              => raw_headers('', reason => ajp_string('OK', nul => 0) . 'x', count => 0),
    'a value beyond the packet'         => raw_headers(ajp_string('X-A') . ajp_string('a', length => 9000)),
    'a value one byte beyond'           => raw_headers(ajp_string('X-A') . ajp_string('abc', length => 4)),
    'a value without NUL'               => raw_headers(ajp_string('X-A') . ajp_string('abc', nul => 0) . 'x'),
    'a value that ends with the packet' => raw_headers(ajp_string('X-A') . ajp_string('abc', nul => 0)),
    'a name beyond the packet'          => raw_headers(ajp_string('X-A', length => 9000) . ajp_string('a')),
    'a name without NUL'                => raw_headers(ajp_string('X-A', nul => 0) . 'x' . ajp_string('a')),
    'a null name'                       => raw_headers(ajp_string(undef) . ajp_string('a')),
    'an empty name'                     => raw_headers(ajp_string('') . ajp_string('a')),
    'code 0 of a name'                  => raw_headers(pack('n', 0xA000) . ajp_string('a')),
    'an unknown code of a name'         => raw_headers(pack('n', 0xA00C) . ajp_string('a')),
    'the greatest code of a name'       => raw_headers(pack('n', 0xA0FF) . ajp_string('a')),
    'code A1xx of a name'               => raw_headers(pack('n', 0xA101) . ajp_string('a')),
    'one field less than counted'       => ajp_send_headers(200, [@type], count => 2) . ajp_body_chunk('body') . ajp_end(),
    '65535 fields counted'              => ajp_send_headers(200, [@type], count => 65_535) . ajp_body_chunk('body') . ajp_end(),
    'more than 200 fields'              => answer([map { ("X-$_" => $_) } 1 .. 250]),
    'a space in a name'                 => answer(['X A' => 'a']),
    'a colon in a name'                 => answer(['X:A' => 'a']),
    'Content-Length that is none'       => answer(['Content-Length' => 'abc']),
    'an empty Content-Length'           => answer(['Content-Length' => '']),
    'a negative Content-Length'         => answer(['Content-Length' => '-4']),
    'a Content-Length with a sign'      => answer(['Content-Length' => '+4']),
    'Content-Length in hex'             => answer(['Content-Length' => '0x4']),
    'two lengths'                       => answer(['Content-Length' => 4, 'Content-Length' => 5]),
    'two lengths in one field'          => answer(['Content-Length' => '4, 5']),
    'two lengths, one of them spelled'  => raw_headers(pack('n', 0xA003) . ajp_string('4') . ajp_string('content-length') . ajp_string('5'), count => 2)
                                            . ajp_body_chunk('body') . ajp_end(),
    'a length beyond all numbers'       => answer(['Content-Length' => '99999999999999999999999']),
    (map { ("status $_" => ajp_answer($_, [@type], 'body')) } 0, 1, 99, 100, 101, 102, 103, 1000, 65_535),
    (map { my ($name, $bytes) = @$_; (
        "$name in a value"          => answer(['X-A' => "a${bytes}Set-Cookie: b=c"]),
        "$name in a name"           => answer(["X-A${bytes}Set-Cookie" => 'a']),
        "$name in the reason"       => answer([], reason => "OK${bytes}Set-Cookie: b=c"),
        "$name in Location"         => ajp_answer(302, [Location => "/a${bytes}Set-Cookie: b=c"], 'body'),
        "$name at the end of a value" => answer(['X-A' => "a$bytes"]),
    ) } ['CR LF', "\r\n"], ['CR', "\r"], ['LF', "\n"], ['NUL', "\0"], ['a control character', "\x01"]),
    'GET_BODY_CHUNK, cut short'         => ajp_frame("\x06\x10") . answer([]),
);
my $sound = ajp_answer(200, [@type], 'from the other one', reuse => 0);
for my $name (sort keys %head) {
    subtest "instead of a head: $name" => sub {
        $_->clear for $backend, $other;
        $backend->on('/a', [$head{$name}, stall]);
        $backend->on('/next', ajp_answer(200, [@type], 'its own answer', reuse => 0));
        $other->on('/a', $sound);
        my $client = Usher::Client->new(port => $httpd->port);
        my $answer = $client->request(GET => '/one/a', ['X-Id' => 'one']);
        is($answer->{status}, 502, 'the client gets a 502') or diag explain $answer->{head}, $answer->{end};
        is($answer->{end}, 'complete', 'a whole one');
        unlike($answer->{head} // '', qr/Set-Cookie/i, 'without any of its fields');
        ok(closed(), 'the connection is closed');
        next_own($client);
        $answer = ask($httpd, GET => '/two/a?b=c', ['X-Id' => 'two']);
        is($answer->{body}, 'from the other one', 'a GET goes to another member');
        $backend->on('/a', [$head{$name}, stall]);
        $answer = ask($httpd, POST => '/two/a', ['X-Id' => 'post'], 'body');
        is($answer->{status}, 502, 'a POST does not');
        is(scalar $other->deliveries('post'), 0, 'nowhere');
    };
}

# What comes within a body: the client has the head, and sees a cut.
my %body = (
    'the headers again'              => ajp_send_headers(200, [@type]) . ajp_end(),
    'a whole second answer'          => $evil,
    'an empty packet'                => ajp_frame('') . ajp_end(),
    'a packet of no known type'      => ajp_frame("\x07") . ajp_end(),
    'a CPONG'                        => ajp_cpong() . ajp_end(),
    'the magic of a proxy'           => ajp_frame(pack('Cn', 3, 4) . "EVIL\0", to => 1) . ajp_end(),
    'HTTP'                           => "HTTP/1.1 200 OK\r\n\r\n",
    'a packet longer than 8192'      => ajp_body_chunk('E' x 8200) . ajp_end(),
    'a packet of 65535'              => ajp_body_chunk('E' x 65_531) . ajp_end(),
    'a chunk longer than its packet' => ajp_frame(pack('Cn', 3, 100) . "EVIL\0") . ajp_end(),
    'a chunk one byte longer'        => ajp_frame(pack('Cn', 3, 5) . 'EVIL') . ajp_end(),
    'a chunk of 65535'               => ajp_frame(pack('Cn', 3, 65_535) . "EVIL\0") . ajp_end(),
    'a chunk without a length'       => ajp_frame("\x03") . ajp_end(),
    'a chunk with half a length'     => ajp_frame("\x03\x00") . ajp_end(),
    'an END_RESPONSE without reuse'  => ajp_frame("\x05"),
);
for my $name (sort keys %body) {
    subtest "within a body: $name" => sub {
        for my $version ('1.1', '1.0') {
            # A moment between them, so that the head is on its way to the client.
            my $answer;
            in_calm {
                $backend->clear;
                $backend->on('/a', [ajp_send_headers(200, [@type]), ajp_body_chunk('first'), ajp_body_chunk(''), stall(0.05), $body{$name}, stall]);
                $answer = ask($httpd, GET => '/one/a', ['X-Id' => 'b'], undef, version => $version);
                ($answer->{status} // 0) != 502;
            };
            is($answer->{status}, 200, "HTTP/$version: begun");
            ok(!$answer->{complete}, 'not taken for complete') or diag tells($answer);
            like($answer->{end}, $version eq '1.0' ? qr/^reset$/ : qr/^(?:closed|reset)$/, 'ended by a cut');
            like($answer->{body}, qr/^(?:first)?\z/, 'nothing of it is passed on');
            ok(closed(), 'the connection is closed');
            is(scalar $backend->deliveries('b'), 1, 'it was asked once');
        }
    };
}

subtest 'lengths that do not agree' => sub {
    my %wrong = (
        'less than Content-Length'      => [ajp_send_headers(200, [@type, 'Content-Length' => 10]), ajp_body_chunk('body'), ajp_end()],
        'nothing of Content-Length'     => [ajp_send_headers(200, [@type, 'Content-Length' => 10]), ajp_end()],
        'more than Content-Length'      => [ajp_send_headers(200, [@type, 'Content-Length' => 4]), ajp_body_chunk('bodyEVIL'), ajp_end()],
        'more, in a packet of its own'  => [ajp_send_headers(200, [@type, 'Content-Length' => 4]), ajp_body_chunk('body'), ajp_body_chunk('EVIL'), ajp_end()],
        'a body after length 0'         => [ajp_send_headers(200, [@type, 'Content-Length' => 0]), ajp_body_chunk('EVIL'), ajp_end()],
    );
    for my $name (sort keys %wrong) {
        for my $pause (0, 1) {
            my @play = $pause ? map { ($_, stall(0.05)) } @{ $wrong{$name} } : (join '', @{ $wrong{$name} });
            for my $version ('1.1', '1.0') {
                $backend->clear;
                $backend->on('/wrong', [@play]);
                $backend->on('/next', ajp_answer(200, [@type], 'its own answer', reuse => 0));
                my $client = Usher::Client->new(port => $httpd->port);
                $client->send(http_request(GET => '/one/wrong', [$version eq '1.0' ? (Connection => 'keep-alive') : ()], undef, version => $version));
                my $answer = $client->answer(timeout => 5);
                my $what = "$name, " . ($pause ? 'piece by piece' : 'at once') . ", HTTP/$version";
                like(tells($answer), $name =~ /less|nothing/ ? qr/^(?:502 complete|200 (?:closed|reset) (?:body)?\z)/
                    : qr/^(?:502 complete|200 (?:closed|reset|complete) (?:body|bod?|b?)\z)/, "$what: 502, or no more than was announced");
                unlike($answer->{body}, qr/EVIL/, 'nothing more is passed on');
                next_own($client);
                ok(closed(), 'the connection was closed');
            }
        }
    }
};

subtest 'a body where there is none' => sub {
    for my $case ([HEAD => 200], [GET => 204], [GET => 304], [HEAD => 404]) {
        my ($method, $status) = @$case;
        for my $length (0, 1) {
            $backend->clear;
            $backend->on('/none', [ajp_answer($status, ['X-A' => 'b', $length ? ('Content-Length' => 4) : ()], 'EVIL')]);
            $backend->on('/next', ajp_answer(200, [@type], 'its own answer'));
            my $client = Usher::Client->new(port => $httpd->port);
            my $answer = $client->request($method => '/one/none', $status == 304 ? ['If-None-Match' => '"a"'] : []);
            like($answer->{status} // $answer->{end}, qr/^(?:$status|502|closed)$/, "$method, $status with a body: its head, or a 502");
            unlike($answer->{body} // '', qr/EVIL/, 'no body');
            next_own($client) for 1 .. 2;
        }
    }
};

# What an answer is for, GET or POST, whoever asks for a body without an end.
subtest 'a body is asked for again and again' => sub {
    my %ask = (
        'GET'              => ['GET', undef],
        'GET, query'       => ['GET', undef, '?a=b'],
        'POST'             => ['POST', 'a body'],
        'POST, chunked'    => ['POST', 'a body', '', chunked => 2],
        'POST, empty'      => ['POST', ''],
    );
    for my $name (sort keys %ask) {
        my ($method, $body, $query, %how) = @{ $ask{$name} };
        $backend->close_idle;
        $backend->clear;
        $backend->on('/ask', [ask_body(), $evil]);
        my $answer = ask($httpd, $method, '/one/ask' . ($query // ''), ['X-Id' => 'ask'], $body, %how);
        is($answer->{status}, 502, "$name: after its end that is malformed: 502");
        in_time($answer->{time}, 1.5, 'soon');
        ok(closed(), 'the connection is closed');
        is(scalar(grep { $_->{bad} } $backend->connections), 0, 'and httpd spoke AJP until then');
        $backend->on('/ask', [ajp_send_headers(200, [@type]), ajp_body_chunk('first'), ajp_body_chunk(''), stall(0.05), ask_body(), ajp_end()]);
        $answer = ask($httpd, $method, '/one/ask' . ($query // ''), ['X-Id' => 'ask'], $body, %how);
        like(tells($answer), qr/^(?:200 (?:closed|reset) (?:first)?|502 complete .*)\z/s, "$name: within the answer: a cut that the client sees");
        ok(closed(), 'the connection is closed');
    }
    # The end of it may be asked for once.
    $backend->clear;
    $backend->on('/once', [ask_body(1), ajp_answer(200, [@type], 'sound')]);
    is(tells(ask($httpd, POST => '/one/once', [], 'a body')), '200 complete sound', 'its end may be asked for');
    # Nothing is asked for: whatever comes of it, it comes soon, and once.
    $backend->close_idle;
    $backend->on('/zero', [read_body, ajp_get_body(0), stall]);
    my $answer = ask($httpd, POST => '/one/zero', ['X-Id' => 'zero'], 'x' x 20_000);
    like($answer->{status}, qr/^50[24]$/, '0 bytes are asked for: no answer comes of it');
    is(scalar $backend->deliveries('zero'), 1, 'sent once');
    ok(closed(), 'the connection is closed');
};

subtest 'packets that nobody asked for' => sub {
    my $client = Usher::Client->new(port => $httpd->port);
    my $get = sub {
        my ($uri, $method, $body) = @_;
        my $answer = $client->request($method // 'GET', $uri, [], $body);
        $client = Usher::Client->new(port => $httpd->port) if $answer->{end} ne 'complete';
        return $answer->{body} // '';
    };
    my %after = (
        'an answer'      => $evil,
        'headers'        => ajp_send_headers(200, [@type, 'X-Evil' => 'yes']),
        'a body'         => ajp_body_chunk('EVIL'),
        'an end'         => ajp_end(),
        'a CPONG'        => ajp_cpong(),
        'GET_BODY_CHUNK' => ajp_get_body(),
        'half a packet'  => 'AB',
    );
    for my $name (sort keys %after) {
        for my $pause (0, 1) {
            for my $method (qw(GET POST)) {
                my $what = "$name, " . ($pause ? 'later' : 'at once') . ", then $method";
                $backend->clear;
                my $later = "later-$name-$method" =~ s/\W/-/gr;
                $backend->on('/more', [ajp_answer(200, [@type], 'sound'), $pause ? hold($later) : (), $after{$name}]);
                $backend->on('/next', ajp_answer(200, [@type], 'its own answer'));
                # The end of its own answer and what is too much may come in one piece.
                like($get->('/one/more'), $pause ? qr/^sound$/ : qr/^(?:sound)?$|502|Bad Gateway/, "$what: the answer itself");
                $backend->release($later) if $pause;
                wait_until { grep { $_->{uri} =~ /more/ && defined $_->{answered_at} } $backend->requests } 2;
                is($get->('/one/next', $method, $method eq 'POST' ? 'body' : undef), 'its own answer', 'the next request gets its own answer');
                my ($more) = $backend->requests('/more');
                my ($next) = $backend->requests('/next');
                isnt($next->{conn}, $more->{conn}, 'over another connection');
            }
        }
    }
    # At accept, before any request.
    $backend->clear;
    $backend->on('/next', ajp_answer(200, [@type], 'its own answer'));
    $backend->on('ACCEPT', [$evil], []);
    my @answers = map { $get->('/one/next') } 1 .. 3;
    cmp_ok(scalar(grep { $_ ne 'its own answer' } @answers), '<=', 1, 'never one request behind') or diag "@answers";
};

# With Content-Length the client has its answer before END_RESPONSE is there.
subtest 'END_RESPONSE comes late' => sub {
    my $whole = ajp_send_headers(200, [@type, 'Content-Length' => 5]) . ajp_body_chunk('sound');
    my %late = (
        'never'              => [stall],
        'a cut'              => [stall(0.1), cut],
        'without reuse'      => [stall(0.1), ajp_end(0), stall],
        'an answer after it' => [stall(0.1), ajp_end() . $evil],
        'an answer then'     => [stall(0.1), ajp_end(), stall(0.05), $evil],
        'headers instead'    => [stall(0.1), $evil],
        'more of the body'   => [stall(0.1), ajp_body_chunk('EVIL'), ajp_end()],
        'GET_BODY_CHUNK'     => [stall(0.1), ajp_get_body(), ajp_end()],
        'half of it'         => [stall(0.1), substr(ajp_end(), 0, 5), stall],
        'garbage'            => [stall(0.1), 'HTTP/1.1 200 OK', stall],
    );
    for my $name (sort keys %late) {
        for my $case (['GET', 0], ['GET', 0.13], ['POST', 0.2]) {
            my ($method, $pause) = @$case;
            # What comes when the next request is out is an answer to that; and the
            # first one waits for what does not come.
            next if $name eq 'an answer then' && $pause < 0.2 || $name =~ /never|half/ && $pause;
            $backend->close_idle;
            $backend->clear;
            $backend->on('/late', [$whole, @{ $late{$name} }]);
            $backend->on('/next', ajp_answer(200, [@type], 'its own answer'));
            my $client = Usher::Client->new(port => $httpd->port);
            my $answer = $client->request(GET => '/one/late');
            is($answer->{body}, 'sound', "$name: the answer");
            wait_until { 0 } $pause if $pause;
            # By then it is there, however slow all is.
            wait_until { defined +(($backend->requests('/late'))[0] // {})->{answered_at} } if $name eq 'an answer then';
            for my $turn (1 .. 2) {
                my $next = $client->request($method => '/one/next', ['X-Id' => 'next'], $method eq 'POST' ? 'body' : undef);
                $next = ask($httpd, $method => '/one/next', ['X-Id' => 'next'], $method eq 'POST' ? 'body' : undef) if $next->{end} =~ /^(?:closed|reset)$/;
                is($next->{body}, 'its own answer', "$method $pause s later: the next request gets its own answer");
            }
            is(scalar $backend->deliveries('next'), 2, 'each sent once');
            my ($late) = $backend->requests('/late');
            is(scalar(grep { $_->{conn} == $late->{conn} } $backend->deliveries('next')), 0, 'over another connection');
        }
    }
    # And where it does come it may be used again.
    $backend->close_idle;
    $backend->clear;
    $backend->on('/late', [$whole, stall(0.05), ajp_end()]);
    $backend->on('/next', ajp_answer(200, [@type], 'its own answer'));
    my $client = Usher::Client->new(port => $httpd->port);
    $client->request(GET => '/one/late');
    wait_until { 0 } 0.2;
    is($client->request(GET => '/one/next')->{body}, 'its own answer', 'late, but sound');
};

subtest 'more than a CPONG' => sub {
    for my $more ($evil, ajp_cpong(), ajp_body_chunk('EVIL')) {
        $backend->close_idle;
        $backend->clear;
        $backend->on('CPING', [ajp_cpong() . $more], ajp_cpong());
        $backend->on('/next', ajp_answer(200, [@type], 'its own answer', reuse => 0));
        my $answer = ask($httpd, GET => '/ping/next');
        unlike($answer->{body} // '', qr/EVIL/, 'what comes with it is delivered to nobody');
        like($answer->{status}, qr/^(?:200|50[23])$/, 'but an answer');
        is(ask($httpd, GET => '/ping/next')->{body}, 'its own answer', 'the next request gets its own');
        ok(closed(), 'no connection is left');
    }
};

subtest 'END_RESPONSE says: no reuse' => sub {
    $backend->close_idle;
    $backend->clear;
    $backend->on('/no', [ajp_answer(200, [@type], 'x', reuse => 0), stall]);
    $backend->on('/yes', ajp_answer(200, [@type], 'x'));
    my $client = Usher::Client->new(port => $httpd->port);
    for (1 .. 3) {
        is($client->request(GET => '/one/no')->{body}, 'x', 'an answer');
        ok(closed(), 'httpd closes the connection');
    }
    is($client->request(GET => '/one/yes')->{body}, 'x', 'an answer') for 1 .. 3;
    is(join(' ', map { $_->{n} } $backend->requests), '1 1 1 1 2 3', 'each has its own connection, until reuse is allowed');
};

subtest 'one is no reason to rest' => sub {
    $_->clear for $backend, $other;
    $backend->on('/bad', [ajp_end(1), stall]);
    $backend->on('/fine', ajp_answer(200, [@type], 'first'));
    $other->on(qr{}, ajp_answer(200, [@type], 'second'));
    is(ask($httpd, POST => '/rests/bad', [], 'x')->{status}, 502, 'malformed');
    is(ask($httpd, GET => '/rests/fine')->{body}, 'first', 'the next request goes there as before') for 1 .. 3;
};

# What is odd but sound is passed on.
my %odd = (
    'an empty reason'            => [answer([], reason => ''), 200],
    'a null reason'              => [raw_headers('', reason => ajp_string(undef), count => 0) . ajp_body_chunk('body') . ajp_end(), 200],
    'a reason of Tomcat'         => [answer([], reason => '200'), 200],
    'a status nobody knows'      => [ajp_answer(299, [@type], 'body'), 299],
    'a flush before the headers' => [ajp_body_chunk('') . answer([]), 200],
    'flushes everywhere'         => [ajp_send_headers(200, [@type]) . join('', map { ajp_body_chunk('') . ajp_body_chunk($_) } qw(b o d y)) . ajp_body_chunk('') . ajp_end(), 200],
    'names spelled out'          => [answer(['Content-Length' => 4], coded => 0), 200],
    'the same length twice'      => [answer(['Content-Length' => 4, 'Content-Length' => 4]), 200],
    'bytes above 127'            => [answer(['X-A' => "\xe4\xf6"]), 200],
    'an empty value'             => [answer(['X-A' => '']), 200],
    'a tab in a value'           => [answer(['X-A' => "a\tb"]), 200],
    'no field at all'            => [ajp_send_headers(200, []) . ajp_body_chunk('body') . ajp_end(), 200],
    'many fields, allowed'       => [answer([map { ("X-$_" => $_) } 1 .. 190]), 200],
    'Transfer-Encoding'          => [answer(['Transfer-Encoding' => 'chunked']), 200],
    'a packet of 8192'           => [ajp_send_headers(200, [@type]) . ajp_body_chunk('body' . 'x' x 8180) . ajp_end(), 200],
);
for my $name (sort keys %odd) {
    my ($bytes, $status) = @{ $odd{$name} };
    # In one piece, and byte by byte.
    for my $play ($bytes, [trickle($bytes, length $bytes > 1000 ? 1500 : 1, 0.001)]) {
        $backend->clear;
        $backend->on('/a', $play);
        my $answer = ask($httpd, GET => '/one/a');
        is($answer->{status}, $status, "$name: passed on" . (ref $play ? ', in pieces' : ''));
        like($answer->{body}, qr/^body/, 'with its body');
        is($answer->{end}, 'complete', 'a whole one');
    }
}

subtest 'sizes of packets' => sub {
    my $httpd = backend_httpd(<<"EOT");
UsherBackendRest Off
ProxyIOBufferSize 65536
ProxyPass /main/ @{[ $backend->url('/') ]}
ProxyPass /key/ @{[ $big->url('/') ]} iobuffersize=16384
EOT
    ok($httpd->start, 'httpd starts') or diag $httpd->console;
    $httpd->log->tolerate(qr/USHER2\d\d\d/);
    my $try = sub {
        my ($uri, $member, $size) = @_;
        my $data = pattern(0, $size - 8);
        $member->on('/body', ajp_send_headers(200, [@type]) . ajp_body_chunk($data) . ajp_end());
        my $body = ask($httpd, GET => "$uri/body");
        my $head = ajp_send_headers(200, [map { ("X-$_" => 'a' x 900) } 1 .. $size / 1000]);
        $member->on('/head', $head . ajp_body_chunk('body') . ajp_end());
        return join ' ', ($body->{complete} && $body->{body} eq $data ? 'whole' : 'refused'), ask($httpd, GET => "$uri/head")->{status};
    };
    is($try->('/main', $backend, 65_535), 'whole 200', 'ProxyIOBufferSize 65536: a packet of 65535');
    is($try->('/main', $backend, 8_000), 'whole 200', 'and small ones');
    is($try->('/key', $big, 16_384), 'whole 200', 'iobuffersize=16384: that is a packet');
    is($try->('/key', $big, 16_385), 'refused 200', 'one byte more is none');
    is($try->('/key', $big, 18_000), 'refused 502', 'nor with headers');
    is($try->('/key', $big, 8_193), 'whole 200', 'but more than 8192 is');
    $httpd->finish('the log has what was malformed');
};

subtest 'limits can be moved' => sub {
    $backend->clear;
    $backend->on('/a', answer([map { ("X-$_" => 1) } 1 .. 12]));
    is(ask($httpd, GET => '/few/a')->{status}, 502, 'UsherBackendAnswer fields=10: 13 are too many');
    is(ask($httpd, GET => '/one/a')->{status}, 200, 'elsewhere they are not');
    $backend->on('/a', answer(['X-A' => 'a' x 3000]));
    is(ask($httpd, GET => '/few/a')->{status}, 502, 'UsherBackendAnswer head=2K');
    is(ask($httpd, GET => '/one/a')->{status}, 200, 'elsewhere it may be longer');
    $big->on('/a', ajp_send_headers(200, [@type]) . ajp_body_chunk('x' x 60_000) . ajp_end());
    is(ask($httpd, GET => '/big/a')->{body_len}, 60_000, 'iobuffersize=65536: longer packets');
};

$httpd->finish('httpd lives, and logs only what was malformed');
$_->stop for $backend, $other, $big;
done_testing;
