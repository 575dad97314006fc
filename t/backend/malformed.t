# Answers that are none: never passed on, never half of them, and nothing of
# them is left for who comes next.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Wait;

my $backend = Usher::Backend->new;
my $other = Usher::Backend->new;
my $long = Usher::Backend->new;
my $httpd = backend_httpd(<<"EOT");
UsherBackendTimeout first=@{[ 2 * patience ]}s between=@{[ 2 * patience ]}s
UsherBackendRest Off
UsherReplayBudget percent=100 least=1000
ProxyPass /one/ @{[ $backend->url('/') ]}
ProxyPass /long/ @{[ $long->url('/') ]} responsefieldsize=20000
<Proxy balancer://two>
    BalancerMember @{[ $backend->url ]}
    BalancerMember @{[ $other->url ]} lbset=1
</Proxy>
ProxyPass /two/ balancer://two/
<Location /few>
    UsherBackendAnswer head=2K fields=10
</Location>
ProxyPass /few/ @{[ $backend->url('/') ]}
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);

my $line = "HTTP/1.1 200 OK\r\n";
my $type = "Content-Type: text/plain\r\n";
my $length = "Content-Length: 4\r\n";
my $many = join '', map { "X-$_: $_\r\n" } 1 .. 250;

# Heads that are none. The bytes, then the connection stays as it is.
my %head = (
    'no HTTP'                          => "hello\r\n\r\n",
    'TLS'                              => "\x15\x03\x01\x00\x02\x02\x46\r\n\r\n",
    'HTTP/0.9'                         => "<html>an answer without a head</html>\r\n\r\n",
    'HTTP/2'                           => "HTTP/2.0 200 OK\r\n$length\r\nbody",
    'a status with letters'            => "HTTP/1.1 2x0 OK\r\n$length\r\nbody",
    'a status of two digits'           => "HTTP/1.1 20 OK\r\n$length\r\nbody",
    'a status of four digits'          => "HTTP/1.1 2000 OK\r\n$length\r\nbody",
    'a status below 100'               => "HTTP/1.1 099 OK\r\n$length\r\nbody",
    'NUL in the status line'           => "HTTP/1.1 200 O\0K\r\n$length\r\nbody",
    'NUL in a value'                   => "$line${type}X-A: a\0b\r\n$length\r\nbody",
    'NUL in a name'                    => "$line${type}X\0A: a\r\n$length\r\nbody",
    'a bare CR in a value'             => "$line${type}X-A: a\rSet-Cookie: b=c\r\n$length\r\nbody",
    'a control character in a value'   => "$line${type}X-A: a\x01b\r\n$length\r\nbody",
    'a space in a name'                => "$line${type}X A: a\r\n$length\r\nbody",
    'no name'                          => "$line$type: a\r\n$length\r\nbody",
    'a line without a colon'           => "$line${type}what is this\r\n$length\r\nbody",
    'two lengths'                      => "$line$length" . "Content-Length: 5\r\n\r\nbody",
    'two lengths in one field'         => "${line}Content-Length: 4, 5\r\n\r\nbody",
    'a negative length'                => "${line}Content-Length: -4\r\n\r\nbody",
    'a length with a sign'             => "${line}Content-Length: +4\r\n\r\nbody",
    'a length in hex'                  => "${line}Content-Length: 0x4\r\n\r\nbody",
    'an empty length'                  => "${line}Content-Length:\r\n\r\nbody",
    'a length beyond all numbers'      => "${line}Content-Length: 99999999999999999999999\r\n\r\nbody",
    'a length and chunks'              => "$line${length}Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    'chunks and a length'              => "${line}Transfer-Encoding: chunked\r\n$length\r\n4\r\nbody\r\n0\r\n\r\n",
    'a line that is too long'          => "${line}X-A: " . 'a' x 9000 . "\r\n$length\r\nbody",
    'a name that is too long'          => $line . 'X' x 9000 . ": a\r\n$length\r\nbody",
    'a head that is too large'         => $line . join('', map { "X-$_: " . 'a' x 1000 . "\r\n" } 1 .. 70) . "$length\r\nbody",
    'a head without an end'            => $line . 'X-A: ' . 'a' x 100_000,
    'too many fields'                  => "$line$many$length\r\nbody",
    'interim answers without end'      => "HTTP/1.1 102 Processing\r\n\r\n" x 200 . "$line$length\r\nbody",
);
my $sound = http_answer(200, [Connection => 'close'], 'from the other one');
for my $name (sort keys %head) {
    subtest "a head with $name" => sub {
        $_->clear for $backend, $other;
        $backend->on('/a', [$head{$name}, stall]);
        $other->on('/a', $sound);
        my $answer = ask($httpd, GET => '/one/a', ['X-Id' => 'one']);
        is($answer->{status}, 502, 'the client gets a 502') or diag explain $answer->{head}, $answer->{end};
        is($answer->{end}, 'complete', 'a whole one');
        ok((wait_until { !grep { $_->{state} ne 'closed' } $backend->connections } 2), 'the connection is closed');
        $answer = ask($httpd, GET => '/two/a', ['X-Id' => 'two']);
        is($answer->{body}, 'from the other one', 'a GET goes to another member');
        $backend->on('/a', [$head{$name}, stall]);
        $answer = ask($httpd, POST => '/two/a', ['X-Id' => 'post'], 'body');
        is($answer->{status}, 502, 'a POST does not');
        is(scalar $other->deliveries('post'), 0, 'nowhere');
    };
}

# Bodies that are none: the client has the head, and sees a cut.
my $chunked = "$line${type}Transfer-Encoding: chunked\r\n\r\n";
my %body = (
    'a chunk size of letters'          => "4\r\nbody\r\nxyz\r\n",
    'a chunk size with a sign'         => "4\r\nbody\r\n-4\r\nbody\r\n0\r\n\r\n",
    'a chunk size with 0x'             => "4\r\nbody\r\n0x4\r\nbody\r\n0\r\n\r\n",
    'a chunk size beyond all numbers'  => "4\r\nbody\r\nfffffffffffffffff\r\nbody\r\n0\r\n\r\n",
    'an empty chunk size'              => "4\r\nbody\r\n\r\nbody\r\n0\r\n\r\n",
    'a chunk longer than its size'     => "4\r\nbody\r\n2\r\nbody\r\n0\r\n\r\n",
    'a chunk shorter than its size'    => "4\r\nbody\r\n6\r\nbody\r\n0\r\n\r\n",
    'a chunk size without an end'      => "4\r\nbody\r\n4;" . 'a' x 100_000,
    'NUL in a trailer'                 => "4\r\nbody\r\n0\r\nX-A: a\0b\r\n\r\n",
    'a trailer without a colon'        => "4\r\nbody\r\n0\r\nwhat is this\r\n\r\n",
    'too many trailers'                => "4\r\nbody\r\n0\r\n$many\r\n",
);
for my $name (sort keys %body) {
    subtest "a body with $name" => sub {
        for my $version ('1.1', '1.0') {
            # A moment between them, so that the head is on its way to the client.
            my $answer;
            in_calm {
                $backend->clear;
                $backend->on('/a', [$chunked, "5\r\nfirst\r\n", stall(0.05), $body{$name}, stall]);
                $answer = ask($httpd, GET => '/one/a', ['X-Id' => 'b'], undef, version => $version);
                ($answer->{status} // 0) != 502;
            };
            ok(!$answer->{complete}, "HTTP/$version: not taken for complete") or diag tells($answer);
            like($answer->{end}, $version eq '1.0' ? qr/^reset$/ : qr/^(?:closed|reset)$/, 'ended by a cut');
            unlike($answer->{body}, qr/Bad Gateway|html|HTTP/i, 'no error page in it');
            ok((wait_until { !grep { $_->{state} ne 'closed' } $backend->connections } 2), 'the connection is closed');
            is(scalar $backend->deliveries('b'), 1, 'it was asked once');
        }
    };
}

subtest 'more body than was announced' => sub {
    my $client = Usher::Client->new(port => $httpd->port);
    my $evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";

    $backend->clear;
    $backend->on('/more', ["$line$length\r\nbody", $evil]);
    $backend->on('/later', ["$line$length\r\nbody", stall(0.2), $evil]);
    $backend->on('/next', http_answer(200, [], 'its own answer'));
    my $get = sub {
        my ($method, $uri) = @_;
        my $answer = $client->request($method => $uri);
        $client = Usher::Client->new(port => $httpd->port) if $answer->{end} ne 'complete';
        return $answer;
    };
    my $sound = sub {
        my ($answer, $name) = @_;
        return like(tells($answer), qr/^(?:20[04]|304) \w+ (?:body|bod?|b?)\z|^502 complete /, "$name: only what was announced, or a 502");
    };
    for my $round (1 .. 4) {
        $sound->($get->(GET => '/one/more'), "round $round");
        # What is too much is there before the next request is.
        wait_until { $round == grep { $_->{uri} =~ /more/ && defined $_->{answered_at} } $backend->requests } 2;
        is($get->(GET => '/one/next')->{body}, 'its own answer', 'the next request gets its own answer');
        $get->(GET => '/one/later');
        # Bytes come while the connection is kept.
        wait_until { $round == grep { $_->{uri} =~ /later/ && defined $_->{answered_at} } $backend->requests } 2;
        is($get->(GET => '/one/next')->{body}, 'its own answer', 'also when bytes came later');
    }
    for my $case ([204 => "HTTP/1.1 204 No Content\r\n\r\n$evil"], [304 => "HTTP/1.1 304 Not Modified\r\n\r\n$evil"],
        [chunks => "${line}Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n$evil"]) {
        $backend->on('/bodyless', $case->[1]);
        $sound->($get->(GET => '/one/bodyless'), $case->[0]);
        wait_until { (grep { $_->{uri} =~ /bodyless/ } $backend->requests) == grep { $_->{uri} =~ /bodyless/ && defined $_->{answered_at} } $backend->requests } 2;
        is($get->(GET => '/one/next')->{body}, 'its own answer', "bytes after it ($case->[0]) reach nobody");
    }
    $backend->on('HEAD /head', "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n$evil");
    like($get->(HEAD => '/one/head')->{status}, qr/^(?:200|502)$/, 'HEAD');
    is($get->(GET => '/one/next')->{body}, 'its own answer', 'a body after the answer to HEAD reaches nobody');
};

subtest 'an answer that nobody asked for' => sub {
    my $client = Usher::Client->new(port => $httpd->port);

    $backend->clear;
    $backend->on('/next', http_answer(200, [], 'its own answer'));
    # Sent at accept, before any request: with the request already there it is
    # an answer as any other, but the second answer is one too many.
    $backend->on('ACCEPT', ["$line$length\r\nEVIL"], []);
    my @answers = map { $client->request(GET => '/one/next')->{body} } 1 .. 3;
    cmp_ok(scalar(grep { $_ ne 'its own answer' } @answers), '<=', 1, 'it is never one request behind')
        or diag "@answers";
};

# What is odd but sound is passed on as before.
my %odd = (
    'a reason that is empty'      => ["HTTP/1.1 200 \r\n$length\r\nbody", 200],
    'no reason at all'            => ["HTTP/1.1 200\r\n$length\r\nbody", 200],
    'HTTP/1.0'                    => ["HTTP/1.0 200 OK\r\n$length\r\nbody", 200],
    'a status nobody knows'       => ["HTTP/1.1 299 Strange\r\n$length\r\nbody", 299],
    'the same length twice'       => ["$line$length$length\r\nbody", 200],
    # RFC 9112, 5.1: a proxy removes it.
    'a space before the colon'    => ["${line}X-A : a\r\n$length\r\nbody", 200],
    'a tab before the value'      => ["${line}Content-Length:\t4\r\n\r\nbody", 200],
    'no space before the value'   => ["${line}Content-Length:4\r\n\r\nbody", 200],
    'bytes above 127'             => ["${line}X-A: \xe4\xf6\r\n$length\r\nbody", 200],
    'an empty value'              => ["${line}X-A:\r\n$length\r\nbody", 200],
    'an empty line before it'     => ["\r\n$line$length\r\nbody", 200],
    'lines that end with LF'      => ["HTTP/1.1 200 OK\nContent-Length: 4\n\nbody", 200],
    'a continued line'            => ["${line}X-A: a\r\n b\r\n$length\r\nbody", qr/^(?:200|502)$/],
    'chunks with extensions'      => ["${line}Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nbody\r\n0\r\n\r\n", 200],
    'upper case chunk sizes'      => ["${line}Transfer-Encoding: Chunked\r\n\r\n0004\r\nbody\r\n000\r\n\r\n", 200],
    'a long line, allowed'        => ["${line}X-A: " . 'a' x 8000 . "\r\n$length\r\nbody", 200],
    'many fields, allowed'        => [$line . join('', map { "X-$_: $_\r\n" } 1 .. 190) . "$length\r\nbody", 200],
);
for my $name (sort keys %odd) {
    my ($bytes, $status) = @{ $odd{$name} };
    $backend->clear;
    $backend->on('/a', $bytes);
    my $answer = ask($httpd, GET => '/one/a');
    like($answer->{status} // $answer->{end}, qr/^$status$/, "$name: passed on");
    is($answer->{body}, 'body', "$name: with its body") if ($answer->{status} // 0) != 502;
}

subtest 'limits can be moved' => sub {
    $backend->clear;
    $long->on('/a', "${line}X-A: " . 'a' x 15_000 . "\r\n$length\r\nbody");
    is(ask($httpd, GET => '/long/a')->{body}, 'body', 'responsefieldsize: a longer line');
    $backend->on('/a', $line . join('', map { "X-$_: 1\r\n" } 1 .. 12) . "$length\r\nbody");
    is(ask($httpd, GET => '/few/a')->{status}, 502, 'UsherBackendAnswer fields=10: 13 are too many');
    is(ask($httpd, GET => '/one/a')->{status}, 200, 'elsewhere they are not');
    $backend->on('/a', "${line}X-A: " . 'a' x 3000 . "\r\n$length\r\nbody");
    is(ask($httpd, GET => '/few/a')->{status}, 502, 'UsherBackendAnswer head=2K');
    is(ask($httpd, GET => '/one/a')->{status}, 200, 'elsewhere 64K');
};

$httpd->finish('httpd lives, and logs only what was malformed');
done_testing;
