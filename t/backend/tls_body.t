# Bodies over TLS: large ones both ways, slow readers at both ends, many small
# records; one that ends with the connection is whole only with close_notify.
# With Usher::Backend, and with "openssl s_server".
use strict;
use warnings FATAL => 'all';

use IO::Handle ();
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Env ();
use Usher::H2 ();
use Usher::Pattern;
use Usher::TLSTest;
use Usher::Wait;

my $h2 = $ENV{USHER_MPM} ne 'prefork' && Usher::Env::load_modules('http2');
my $large = 100 * 1024 * 1024;
my %backend = (v12 => tls_backend(versions => '1.2'), v13 => tls_backend(versions => '1.3'));
my $s_port = free_port();
my $httpd = tls_httpd(($h2 ? "Protocols h2c http/1.1\n" : '') . trusting() . <<"EOT", modules => [$h2 ? 'http2' : ()]);
UsherBackendTimeout connect=20s first=20s between=20s send=20s
UsherBackendRest Off
ProxyPass /v12/ @{[ $backend{v12}->url('/') ]} retry=0
ProxyPass /v13/ @{[ $backend{v13}->url('/') ]}
ProxyPass /s_server/ https://127.0.0.1:$s_port/ retry=0
<Location /short>
    UsherBackendTimeout between=400ms
</Location>
ProxyPass /short/ @{[ $backend{v13}->url('/') ]}
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER201[256]/);

sub client { Usher::Client->new(port => $httpd->port) // die "connect: $!\n" }

sub download {
    my ($uri, %opt) = @_;
    my $client = client();

    $client->send(http_request(GET => $uri));
    return $client->answer(timeout => 60, discard => 1, %opt);
}

sub upload {
    my ($uri, $size, $chunked) = @_;
    my $client = client();

    $client->send(http_request(POST => $uri, [$chunked ? ('Transfer-Encoding' => 'chunked') : ('Content-Length' => $size)]));
    if ($chunked) {
        for (my $at = 0; $at < $size; $at += 100_000) {
            my $n = $size - $at < 100_000 ? $size - $at : 100_000;
            last if $client->send(sprintf("%x\r\n", $n) . pattern($at, $n) . "\r\n", 60) < $n;
        }
        $client->send("0\r\n\r\n");
    } else {
        $client->send_pattern($size, 60);
    }
    return $client->answer(timeout => 60);
}

for my $version (qw(v12 v13)) {
    subtest "$version: large bodies" => sub {
        my $backend = $backend{$version};
        my $sha1 = pattern_sha1($large);
        $backend->on('/down', [http_answer(200, [], undef, length => $large), fill($large)]);
        $backend->on('/chunks', [http_answer(200, ['Transfer-Encoding' => 'chunked'], undef), fill($large, as => 'chunked'), "0\r\n\r\n"]);
        $backend->on('/until', [http_answer(200, [Connection => 'close'], undef), fill($large)]);
        $backend->on('POST /up', echo);
        for my $uri (qw(down chunks until)) {
            my $answer = download("/$version/$uri");
            ok($answer->{complete}, "download, $uri: to its end");
            is("$answer->{body_len} $answer->{sha1}", "$large $sha1", 'as it was sent');
        }
        is(upload("/$version/up", $large, $_)->{body}, "POST /up $large $sha1\n", 'upload, ' . ($_ ? 'chunked' : 'Content-Length')) for 0, 1;
    };
    subtest "$version: slow readers" => sub {
        my $backend = $backend{$version};
        my $size = 20_000_000;
        $backend->clear;
        $backend->on('/down', [http_answer(200, [], undef, length => $size), fill($size)]);
        my $slow = client();
        $slow->send(http_request(GET => "/$version/down"));
        # Nothing is read until all buffers are full, and then not all at once.
        $slow->wire->pause(0.5);
        ok(!grep({ defined $_->{answered_at} } $backend->requests('/down')), 'the backend has to wait');
        $slow->until(sub { return length ${ $_[0] } > 400_000 ? 1 : undef }, 10);
        $slow->wire->pause(0.3);
        my $answer = $slow->answer(timeout => 30, discard => 1);
        is("$answer->{body_len} $answer->{sha1}", "$size " . pattern_sha1($size), 'a client that reads late');
        $size = 2_500_000;
        $backend->on('POST /slowly', [read_slowly(16384, 0.004), echo]);
        is(upload("/$version/slowly", $size)->{body}, "POST /slowly $size " . pattern_sha1($size) . "\n", 'a backend that reads slowly');
    };
    subtest "$version: records" => sub {
        my $backend = $backend{$version};
        for my $n (1, 7, 1000) {
            my $size = $n * 3000;
            $backend->on('/small', [records($n), http_answer(200, [], undef, length => $size), fill($size)]);
            my $answer = download("/$version/small");
            is("$answer->{body_len} $answer->{sha1}", "$size " . pattern_sha1($size), "records of $n bytes");
        }
        $backend->on('/chunks', [records(3), http_answer(200, [], pattern(0, 9000), chunked => 5)]);
        is(download("/$version/chunks")->{sha1}, pattern_sha1(9000), 'chunks across records');
        my $whole = http_answer(200, [], pattern(0, 2000));
        $backend->on('/drops', [records(100), trickle($whole, 100, 0.005)]);
        is(download("/$version/drops")->{sha1}, pattern_sha1(2000), 'one after the other');
        # The head, and the body's first byte, in a record each: events.
        $backend->on('/event', [http_answer(200, ['Transfer-Encoding' => 'chunked'], undef), "5\r\nfirst\r\n", hold("event-$version"), "0\r\n\r\n"]);
        my $client = client();
        $client->send(http_request(GET => "/$version/event"));
        ok($client->until(sub { ${ $_[0] } =~ /first/ || undef }, 3), 'what has come is passed on at once');
        $backend->release("event-$version");
        ok($client->answer->{complete}, 'and then the rest');
    };
}

# Bodies that end with the connection, cut and whole; and framed ones.
my $until = http_answer(200, [Connection => 'close'], 'x' x 3000, length => undef);
my $length = http_answer(200, [], 'x' x 3000);
my $chunks = http_answer(200, [], 'x' x 3000, chunked => 500);
my %play = (
    'close_notify, then closed' => [$until, notify, cut],
    'close_notify alone'        => [$until, notify, stall(3)],
    'close_notify and reset'    => [$until, notify, stall(0.1), rst],
    'closed without'            => [$until, stall(0.1), cut],
    'reset'                     => [$until, stall(0.1), rst],
    'cut within a record'       => [$until, stall(0.1), raw("\x17\3\3\1\0" . 'z' x 100), cut],
    'garbage'                   => [$until, stall(0.1), raw("\x17\3\3\0\x20" . 'z' x 32), stall(3)],
    'close_notify within Content-Length' => [at($length, length($length) - 1000, stall(0.1), notify, stall(3))],
    'close_notify within a chunk'        => [at($chunks, length($chunks) - 1000, stall(0.1), notify, stall(3))],
    'close_notify before the last chunk' => [at($chunks, length($chunks) - 5, stall(0.1), notify, stall(3))],
    'Content-Length, closed without'     => [$length, cut],
    'the last chunk, closed without'     => [$chunks, cut],
);
my %whole = map { $_ => 1 } 'close_notify, then closed', 'close_notify alone', 'close_notify and reset', 'Content-Length, closed without', 'the last chunk, closed without';

for my $version (qw(v12 v13)) {
    subtest "$version: whole or cut" => sub {
        my $backend = $backend{$version};
        for my $name (sort keys %play) {
            for my $kind ('old', 'new', $h2 ? 'h2' : ()) {
                my $id = "$version-$kind-$name" =~ s/\W/-/gr;
                $backend->on('/end', $play{$name});
                my ($start, $answer);
                # What comes a moment later may come with the head.
                in_calm {
                    $id .= 'x';
                    $start = time;
                    if ($kind eq 'h2') {
                        my $conn = Usher::H2->new(port => $httpd->port);
                        $answer = $conn->answer($conn->start(GET => "/$version/end", ['x-id' => $id]), timeout => 5);
                    } else {
                        $answer = ask($httpd, GET => "/$version/end", ['X-Id' => $id], undef, version => $kind eq 'old' ? '1.0' : '1.1');
                    }
                    $whole{$name} ? $answer->{complete} : ($answer->{status} // 200) == 200;
                };
                my $note = "$name, $kind";
                soon($start, 2.5, "$note: at once");
                if ($whole{$name}) {
                    ok($answer->{complete}, "$note: whole") or diag explain { %$answer, body => undef };
                    is($answer->{body_len}, 3000, "$note: all of it");
                    is(logged($httpd, $id)->{state}, '--', "$note: state");
                } else {
                    ok(!$answer->{complete}, "$note: cut, and visibly");
                    is($answer->{end}, 'reset', "$note: by a reset") if $kind ne 'new';
                    like(logged($httpd, $id)->{state}, qr/^[SP]D$/, "$note: state");
                    is($answer->{status} // 200, 200, "$note: begun");
                    ok($httpd->log->wait_for(qr{USHER201[56].*https://.*/$version/end}, 2), "$note: logged");
                }
            }
        }
    };
}

subtest 'too slow within the body' => sub {
    my $backend = $backend{v13};
    $backend->on('/gap', [at($length, length($length) - 1000, stall(3))]);
    my $answer = download('/short/gap');
    ok(!$answer->{complete} && $answer->{body_len} == 2000, 'what came, and a cut');
    in_time($answer->{time}, 2, 'in its time');
    # A part of a record is no progress for the client, nor is it for us.
    $backend->on('/part', [at($length, length($length) - 1000, raw("\x17\3\3\x10\0" . 'z' x 100), stall(3))]);
    $answer = download('/short/part');
    ok(!$answer->{complete}, 'a part of a record and no more: cut');
    in_time($answer->{time}, 2, 'in its time');
};

# A real peer: what is typed into s_server is what it sends.
sub s_server {
    my (@options) = @_;
    my $root = $httpd->root;
    my ($in, $to);

    unlink "$root/s_server";
    pipe $in, $to or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDIN, '<&', $in or die $!;
        open STDOUT, '>', "$root/s_server" or die $!;
        open STDERR, '>&', \*STDOUT;
        close $to;
        exec 'openssl', 's_server', '-accept', "127.0.0.1:$s_port", '-cert', certs()->cert('good'), '-key', certs()->key('good'), @options
            or POSIX::_exit(127);
    }
    close $in;
    $to->autoflush(1);
    wait_until { _said(qr/^ACCEPT/m) } 5;
    return ($pid, $to);
}

sub _text {
    open my $fh, '<', $httpd->root . '/s_server' or return '';
    local $/;
    return scalar <$fh> // '';
}

sub _said { my ($regex) = @_; return _text() =~ $regex }

# TLS 1.3's KeyUpdate: "K" asks for one of ours, too.
sub new_keys {
    my ($type, $command) = @_;
    my $count = sub { my @all = _text() =~ /SSL_do_handshake/g; return scalar @all };
    my $was = $count->();

    print $type "$command\n";
    return wait_until { $count->() > $was } 5;
}

sub ended { my ($pid) = @_; kill 'TERM', $pid; return waitpid $pid, 0 }

subtest 'openssl s_server' => sub {
    local $SIG{PIPE} = 'IGNORE';
    for my $version ('1_2', '1_3') {
        my ($pid, $type) = s_server("-tls$version");
        my $client = client();
        $client->send(http_request(GET => '/s_server/one', ['X-Id' => "s-$version"]));
        ok((wait_until { _said(qr/X-Id: s-$version/) } 5), "$version: s_server has the request");
        # What is typed at once is one piece, and a command only at its start: so
        # each waits until the one before has come through.
        my @commands = $version eq '1_3' ? ('k', 'K') : ();
        print $type "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
        my $seen = '\r\n\r\n';
        for my $word ('first', 'secon') {
            $client->until(sub { return ${ $_[0] } =~ /$seen\z/ || undef }, 5);
            new_keys($type, shift @commands) if @commands;
            print $type "$word\n";
            $seen = "$word\n";
        }
        my $answer = $client->answer;
        is($answer->{status}, 200, 'its answer') or diag explain $answer;
        is($answer->{body}, "first\nsecon\n", 'whole' . ($version eq '1_3' ? ', across new keys' : ''));
        if ($version eq '1_3') {
            # While the connection is idle: the next request must be served.
            new_keys($type, 'K');
            $client->send(http_request(GET => '/s_server/two', ['X-Id' => 's-two']));
            ok((wait_until { _said(qr/X-Id: s-two/) } 5), 'a key update while it is idle: the next request comes');
            print $type "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntwo\n";
            $answer = $client->answer;
            is(tells($answer), "200 complete two\n", 'and has its answer');
        }
        ended($pid);
        is(download('/s_server/one')->{status}, 503, 'it is gone: 503');
    }
};

$httpd->finish('httpd lives, and logs only what was cut');
%backend = ();
done_testing;
