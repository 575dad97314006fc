# Connections that linger answer as all others do: whatever serves, however
# requests come, with all of httpd's limits; and they linger when they should.
use strict;
use warnings FATAL => 'all';

use List::Util qw(max);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::Certs ();
use Usher::Client ();
use Usher::Env ();
use Usher::H2 ();
use Usher::LingerTest;
use Usher::Pattern;
use Usher::Wait;

my $event = is_event();
my $backend = Usher::Backend->new;
my $certs = Usher::Certs->new;
my $tls_port = free_port();

sub tls_host {
    my ($port) = @_;

    return <<"EOT";
Listen 127.0.0.1:$port
<VirtualHost *:$port>
    SSLEngine On
    SSLCertificateFile @{[ $certs->cert('good') ]}
    SSLCertificateKeyFile @{[ $certs->key('good') ]}
</VirtualHost>
EOT
}

my $httpd = linger_httpd(<<"EOT", modules => [qw(proxy proxy_http ssl reqtimeout log_config)]);
UsherLingerMaxHits 0
# Else a thread is held by what the client does not take.
EnableSendfile On
KeepAliveTimeout @{[ 3 * patience ]}
RequestReadTimeout header=@{[ 2 * patience - 1 ]}
LogFormat "%r\\t%{tid}P\\t%k" served
CustomLog logs/served served
ProxyPass /usher/ @{[ $backend->url('/') ]}
<Location /stock/>
    UsherBackend Off
</Location>
ProxyPass /stock/ @{[ $backend->url('/') ]}
@{[ tls_host($tls_port) ]}
EOT
$httpd->log->tolerate(qr/AH0(?:1873|1882)/); # no session cache, a newer OpenSSL
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$backend->on(qr{/page}, http_answer(200, ['Content-Type' => 'text/plain'], 'a page'));
$backend->on(qr{/echo}, echo);
{
    open my $fh, '>', $httpd->root . '/htdocs/large' or die $!;
    print $fh pattern(0, 1 << 20) for 1 .. 24;
    close $fh or die $!;
}

# One child of 25 threads.
my $small = <<'EOT';
ServerLimit 1
ThreadLimit 25
ThreadsPerChild 25
MaxRequestWorkers 25
MaxSpareThreads 25
EOT

sub client { return Usher::Client->new(port => $httpd->port, @_) }

# One that has shown that it is busy; its thread waits. (On a machine that is very
# slow requests can come late.)
sub busy {
    my $client;

    for (1 .. 10) {
        my $before = counters($httpd);
        $client = client();
        asks($client, 10) == 10 or die 'no answer';
        last if !$event || counted($httpd, $before)->{Hits};
    }
    return $client;
}

# Until it was so once.
sub counts_once {
    my ($name, $what, $do) = @_;
    my $before = counters($httpd);

    for (1 .. ($event ? 10 : 1)) {
        $do->();
        last if wait_until { counted($httpd, $before)->{$name} } 0.5;
    }
    return counts($before, $name, 1, $what);
}

sub ends { my ($client) = @_; return wait_until { $client->peer_gone } 8 }

# The counters change a moment after the client has its answer.
sub counts {
    my ($before, $name, $least, $what) = @_;

    return ok !counted($httpd, $before)->{$name}, "$what, but not with this MPM" unless $event;
    return ok((wait_until { (counted($httpd, $before)->{$name} // 0) >= $least } 5), $what)
        || diag explain counted($httpd, $before);
}

subtest 'the same thread serves a busy connection' => sub {
    for my $uri ('/index.html', '/usher/page', '/stock/page') {
        my ($before, $answers, $most);
        my $try = 0;
        in_calm {
            my %thread = ('' => 0);
            ++$try;
            $before = counters($httpd);
            $answers = asks(client(), 30, "$uri?n$try");
            open my $fh, '<', $httpd->root . '/logs/served' or die $!;
            while (<$fh>) {
                my ($line, $tid, $k) = split /\t/;
                ++$thread{$tid} if $line =~ m{ \Q$uri?n$try\E } && $k >= 4;
            }
            $most = max(values %thread);
            !$event || $most >= 15 && (counted($httpd, $before)->{Hits} // 0) >= 5;
        };
        is $answers, 30, "$uri: answers";
        counts($before, Hits => 5, 'hits');
        cmp_ok $most, '>=', 15, 'most by one thread' if $event;
    }
};

subtest 'TLS' => sub {
    plan skip_all => 'this httpd has no mod_ssl' unless Usher::Env::load_modules('ssl');
    my ($before, $client, $answers);
    in_calm {
        $before = counters($httpd);
        $client = Usher::Client->new(port => $tls_port, tls => { name => 'localhost' });
        $answers = asks($client, 20);
        !$event || (counted($httpd, $before)->{Hits} // 0) >= 5;
    };
    is $answers, 20, 'answers';
    $client->send("GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n" x 3);
    is $client->answer->{status}, 200, 'pipelined' for 1 .. 3;
    is asks($client, 3), 3, 'and on';
    counts($before, Hits => 5, 'hits');
};

subtest 'the client goes' => sub {
    for my $how ('close', 'reset') {
        counts_once(Closed => "$how while a thread waits", sub {
            my $client = client();
            asks($client, 10);
            wait_until { 0 } 0.01; # until it does
            $client->$how;
        });
        my $client = busy();
        $client->send("GET /index.html HT");
        $client->$how;
        is asks(client(), 3), 3, "$how in the middle of a request: others are served";
    }
};

where_it_waits 'requests that come late' => sub {
    my ($client, $before);
    # None but those two may be late: all credit that there can be is worth one of them.
    in_calm {
        $client->close if $client;
        $client = busy();
        $before = counters($httpd);
        asks($client, 10);
        my $got = counted($httpd, $before);
        ($got->{Hits} // 0) >= 8 && !$got->{Misses} && !$got->{SkippedLate};
    };
    for my $n (1 .. 2) {
        counts($before, Misses => $n, "miss $n");
        is asks($client, 1), 1, 'a late request is answered';
    }
    counts($before, SkippedLate => 1, 'after two of them nobody waits');
    my $skipped = counted($httpd, $before)->{SkippedLate};
    wait_until { 0 } 0.15;
    is asks($client, 1), 1, 'a third one';
    counts($before, SkippedLate => $skipped + 1, 'nobody waits');
    is counted($httpd, $before)->{Misses}, 2, 'no third miss';
    ok((in_calm {
        $before = counters($httpd);
        asks($client, 15) == 15 && counted($httpd, $before)->{Hits};
    }), 'and it is busy again: hits');

    $before = counters($httpd);
    $client = client();
    is asks($client, 1), 1, 'a new connection';
    counts($before, SkippedLate => 1, 'has yet to show that it is busy');
};

subtest 'pipelined and split requests' => sub {
    my $client = busy();
    $client->send(join '', map { "GET /usher/page?$_ HTTP/1.1\r\nHost: a\r\n\r\n" } 1 .. 20);
    is join(' ', map { $client->answer->{body} // '' } 1 .. 20), join(' ', ('a page') x 20), 'twenty at once';
    for my $size (1, 7) {
        $client->trickle("GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n", $size, 0.002);
        is $client->answer->{status}, 200, "in pieces of $size";
    }
    $client->send("GET /index.html HTTP/1.1\r\nHost: a\r\n\r\nGET /index.h");
    is $client->answer->{status}, 200, 'one and a half';
    $client->send("tml HTTP/1.1\r\nHost: a\r\n\r\n");
    is $client->answer->{status}, 200, 'and the other half';
    $client->send("\r\n");
    is asks($client, 1), 1, 'after an empty line';
    my $body = 'x' x 100_000;
    for my $n (1 .. 5) {
        like $client->request('POST', '/usher/echo', [], $body)->{body}, qr/^POST \S+ 100000 /, "POST $n";
    }
    is $client->request('HEAD', '/index.html')->{status}, 200, 'HEAD';
    is $client->request('GET', '/nowhere')->{status}, 404, 'not found';
    is asks($client, 2), 2, 'and on';
};

subtest 'limits' => sub {
    my $client = busy();
    # Before the last request, as the time begins when that is answered.
    my $from = time;
    is asks($client, 1), 1, 'a last request';
    ok ends($client), 'KeepAliveTimeout ends a connection';
    my $took = time - $from;
    cmp_ok $took, '>=', 2.8 * patience, 'not before its time';
    in_time($took, 5, 'nor much later');

    $client = busy();
    $client->send("GET /index.html HTTP/1.1\r\nHost");
    like $client->answer(timeout => 5)->{status} // 408, qr/^408$/, 'mod_reqtimeout ends a slow request';
    ok ends($client), 'and its connection';

    my $limited = linger_httpd("MaxKeepAliveRequests 5\n");
    ok $limited->start, 'starts' or diag $limited->console;
    $client = Usher::Client->new(port => $limited->port);
    is asks($client, 5), 5, 'five requests';
    my $last = $client->request('GET', '/index.html');
    ok http_has_token($last->{headers}, 'Connection', 'close'), 'MaxKeepAliveRequests: the sixth one says close';
    ok ends($client), 'and is the last';
    $limited->finish('nothing is logged that alarms');
};

subtest 'an answer that the client has yet to take' => sub {
    my $before = counters($httpd);
    my $client = client();
    $client->send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    counts($before, SkippedOutput => 1, 'nobody waits');
    my $answer = $client->answer(discard => 1, timeout => 20);
    is $answer->{body_len}, 24 << 20, 'it comes whole';
    is asks($client, 2), 2, 'and on';
};

where_there_is_http2 'HTTP/2' => sub {
    plan skip_all => 'this httpd has no mod_http2' unless Usher::Env::load_modules('http2');
    my $h2 = linger_httpd("Protocols h2c http/1.1\n", modules => ['http2']);
    ok $h2->start, 'starts' or diag $h2->console;
    my $before = counters($h2);
    my $client = Usher::H2->new(port => $h2->port);
    is $client->answer($client->start('GET', '/index.html'))->{status}, 200, 'an answer' for 1 .. 5;
    is_deeply counted($h2, $before), {}, 'nothing waits';
    $client->close;
    $h2->finish('nothing is logged that alarms');
};

where_it_waits 'how long' => sub {
    my $timed = linger_httpd(<<'EOT');
<VirtualHost *:@PORT@>
    ServerName long
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName short
    UsherLingerTime 30ms
</VirtualHost>
EOT
    ok $timed->start, 'starts' or diag $timed->console;
    # What is counted of a request 60 ms after others. (On a machine that is very
    # slow it can come too late for both, and the others for the short one.)
    for my $case (['short', 'Misses', 'Hits'], ['long', 'Hits', 'Misses']) {
        my ($host, $some, $none) = @$case;
        ok((wait_until {
            my $client = Usher::Client->new(port => $timed->port);
            asks($client, 15, '/index.html', [Host => $host]);
            my $before = counters($timed);
            wait_until { 0 } 0.05; # and those 10 ms of asks()
            asks($client, 1, '/index.html', [Host => $host]);
            $client->close;
            my $got = counted($timed, $before);
            $got->{$some} && !$got->{$none};
        } 10), "$host: $some, no $none");
    }
    $timed->finish('nothing is logged that alarms');
};

where_it_waits 'enough in a row' => sub {
    my $few = linger_httpd("UsherLingerMaxHits 3\n");
    ok $few->start, 'starts' or diag $few->console;
    my ($answers, $got);
    in_calm {
        my $before = counters($few);
        $answers = asks(Usher::Client->new(port => $few->port), 22);
        $got = counted($few, $before);
        ($got->{SkippedCap} // 0) >= 1 && ($got->{Hits} // 0) > $got->{SkippedCap};
    };
    is $answers, 22, 'answers';
    cmp_ok $got->{SkippedCap} // 0, '>=', 1, 'through the listener now and then';
    cmp_ok $got->{Hits} // 0, '>', $got->{SkippedCap}, 'hits between';
    $few->finish('nothing is logged that alarms');
};

# Threads are few: nobody waits for a client that would be waited for, as its requests are in time.
sub refuses {
    my ($of) = @_;
    my ($answers, $got);

    in_calm {
        my $before = counters($of);
        $answers = asks(Usher::Client->new(port => $of->port), 20);
        $got = counted($of, $before);
        $got->{SkippedThreads} || $got->{Hits};
    };
    is $answers, 20, 'answers';
    cmp_ok $got->{SkippedThreads} // 0, '>=', 1, 'nobody waits';
    ok !$got->{Hits}, 'at all';
    return;
}

where_it_waits 'few threads' => sub {
    my $slow = Usher::Backend->new;
    $slow->on(qr{/slow}, [hold('slow'), http_answer(200, [], 'slow')]);
    # Forty threads: with two of them in use there are too few.
    my $short = linger_httpd("UsherLingerIdleThreads 95%\nProxyPass /slow @{[ $slow->url('/slow') ]}\n", modules => [qw(proxy proxy_http)]);
    ok $short->start, 'starts' or diag $short->console;
    my $before;
    ok((in_calm {
        $before = counters($short);
        asks(Usher::Client->new(port => $short->port), 20) == 20 && counted($short, $before)->{Hits};
    }), 'alone: answers, and hits');
    my @slow = map { my $client = Usher::Client->new(port => $short->port); $client->send(http_request(GET => '/slow', ['X-Id' => 'slow'])); $client } 1 .. 3;
    ok((wait_until { $slow->deliveries('slow') == 3 } 10), 'three threads are in use');
    refuses($short);
    $slow->release('slow');
    is $_->answer->{body}, 'slow', 'a slow answer' for @slow;
    ok((wait_until {
        $before = counters($short);
        asks(Usher::Client->new(port => $short->port), 20);
        counted($short, $before)->{Hits};
    } 10), 'and again when they are done');
    $short->finish('nothing is logged that alarms');
};

where_it_waits 'threads in TLS handshakes' => sub {
    plan skip_all => 'this httpd has no mod_ssl' unless Usher::Env::load_modules('ssl');
    my $port = free_port();
    my $tls = linger_httpd($small . tls_host($port), modules => ['ssl']);
    $tls->log->tolerate(qr/AH0(?:1873|1882)/);
    ok $tls->start, 'starts' or diag $tls->console;
    my $before;
    ok((in_calm {
        $before = counters($tls);
        asks(Usher::Client->new(port => $tls->port), 20) == 20 && counted($tls, $before)->{Hits};
    }), 'answers, and hits');
    my @stuck = map { Usher::Client->new(port => $port) } 1 .. 20;
    $_->send("\x16") for @stuck;
    ok((wait_until { server_status($tls) =~ /^BusyWorkers: (\d+)/m && $1 > 20 } 10), 'twenty handshakes have begun');
    refuses($tls);
    $_->close for @stuck;
    $tls->finish('nothing is logged that alarms');
};

# Clients that all ask again and again, of a process of its own: its pid.
sub hot {
    my ($port, $count) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    my @clients = map { Usher::Client->new(port => $port) } 1 .. $count;
    while (1) {
        $_->send(http_request(GET => '/index.html')) for @clients;
        $_->answer->{status} or POSIX::_exit(1) for @clients;
    }
}

# An idle thread is worth AsyncRequestWorkerFactor connections: 25 + 2 * 25 at most,
# but 25 + 2 * 11 where 14 threads wait, which are fewer than there are.
where_it_waits 'as many connections as without' => sub {
    my $full = linger_httpd($small . "KeepAliveTimeout 60\nMaxKeepAliveRequests 0\n");
    # The MPM may look just when the child is closed.
    $full->log->tolerate(qr/AH00484/);
    ok $full->start, 'starts' or diag $full->console;
    my @idle = map { Usher::Client->new(port => $full->port) } 1 .. 45;
    is asks($_, 1), 1, 'one to be idle' for @idle;
    my $before = counters($full);
    my $hot = hot($full->port, 14);
    ok((wait_until { counted($full, $before)->{SkippedThreads} } 20), 'nobody waits when that closes the child');
    my @took;
    for (1 .. 10) {
        my $from = time;
        is asks(Usher::Client->new(port => $full->port), 1), 1, 'a new connection';
        push @took, time - $from;
        # For longer than the pause: it begins again.
        wait_until { 0 } 0.15;
    }
    my $median = (sort { $a <=> $b } @took)[5];
    in_time($median, 0.3, sprintf 'is answered soon: within %.0f ms', 1000 * $median);
    kill 'KILL', $hot;
    waitpid $hot, 0;
    $full->finish('nothing is logged that alarms');
};

subtest 'the status page' => sub {
    my $page = Usher::Client->get($httpd->port, '/server-status', [Connection => 'close'])->{body};
    like $page, qr{<tr><td>waited, and the next request came</td><td>\d+</td></tr>}, 'has the counters';
    is join(' ', sort keys %{ counters($httpd) }), 'Closed Hits Last Misses SkippedCap SkippedLate SkippedOutput SkippedThreads', '?auto too';
};
$httpd->finish('nothing is logged that alarms');
done_testing;
