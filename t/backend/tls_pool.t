# Connections to backends over TLS: kept and used again, left when they have
# ended, made in their time; members of balancers; restarts; memory.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Env ();
use Usher::TLSTest;
use Usher::Wait;

my $prefork = $ENV{USHER_MPM} eq 'prefork';
my $cluster = grep { $_ eq 'usher_balancer' } Usher::Env::usher_modules();
my $keep = http_answer(200, [], 'kept');
my %member = (
    v12     => tls_backend(versions => '1.2'),
    v13     => tls_backend(versions => '1.3'),
    late    => tls_backend(versions => '1.3', late_tickets => 1),
    many    => tls_backend(versions => '1.3', tickets => 9),
    none    => tls_backend(tickets => 0),
    stalls  => tls_backend(),
    asks    => tls_backend(versions => '1.3', ask => 'ask'),
    once    => tls_backend(),
    one     => tls_backend(),
    two     => tls_backend(),
    unix    => Usher::Backend->new(unix => 1, tls => {}),
);
my $plain = Usher::Backend->new;
my $full = Usher::Backend->new(backlog => 1, tls => {});
$_->on('/ok', $keep) for values %member, $plain, $full;

# Handshakes that are well may take their time.
my $patient = ' connectiontimeout=20';
my $balancer = sub {
    my ($name, $more, @urls) = @_;

    return "<Proxy balancer://$name>\n" . join('', map { "BalancerMember $_ retry=0\n" } map { /connectiontimeout/ ? $_ : "$_$patient" } @urls) . "$more\n</Proxy>\n"
        . "ProxyPass /$name/ balancer://$name/\n";
};
my $httpd = tls_httpd(trusting() . join('', map { "ProxyPass /$_/ \"@{[ $member{$_}->url('/') ]}\" retry=0$patient"
        . ($_ eq 'once' ? ' disablereuse=on' : '') . "\n" } qw(v12 v13 late many none once asks unix)) . <<"EOT");
UsherBackendTimeout first=20s
UsherBackendRest Off
SSLProxyCheckPeerName off
ProxyPass /stalls/ @{[ $member{stalls}->url('/') ]} retry=0 connectiontimeout=500ms
ProxyPass /full/ @{[ $full->url('/') ]} retry=0 connectiontimeout=500ms
<Location /patient/>
    ProxyPass @{[ $member{stalls}->url('/') ]}
    UsherBackendTimeout connect=20s
</Location>
SSLProxyMachineCertificateFile @{[ certs()->pair('client') ]}
@{[ $balancer->('both', '', $member{one}->url, $member{two}->url) ]}
@{[ $balancer->('mixed', '', $member{one}->url, $plain->url) ]}
@{[ $balancer->('first', '', $member{stalls}->url . ' connectiontimeout=500ms', $member{two}->url . ' lbset=1') ]}
@{[ $cluster ? $balancer->('cluster', 'ProxySet lbmethod=usher', $member{one}->url, $plain->url, $member{two}->url) : '' ]}
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER201[267]/);

# All over one connection of a client, so that one child has them all.
my $client = Usher::Client->new(port => $httpd->port);
my $used = time;

sub get {
    my ($uri, $headers, $method, $body) = @_;
    # httpd keeps it for five seconds.
    $client = Usher::Client->new(port => $httpd->port) if time - $used > 3;
    $used = time;
    my $answer = $client->request($method // 'GET', $uri, $headers, $body);

    $client = Usher::Client->new(port => $httpd->port) if $answer->{end} ne 'complete'
        || http_has_token($answer->{headers}, 'Connection', 'close');
    return $answer;
}

sub half_closed {
    my ($port) = @_;
    my $address = sprintf '0100007F:%04X', $port;

    open my $fh, '<', '/proc/net/tcp' or return 0;
    return scalar grep { (split)[2] eq $address && (split)[3] eq '08' } <$fh>;
}

subtest 'one after the other, over the same' => sub {
    for my $name (qw(v12 v13 late many none unix)) {
        my $backend = $member{$name};
        is(tells(get("/$name/ok")), '200 complete kept', "$name: an answer") for 1 .. 5;
        is(scalar $backend->connections, 1, "$name: all over one connection");
        # For a POST it must have been in use within the last second.
        ok((in_calm {
            my $status = get("/$name/ok", [], 'POST', 'body')->{status};
            $status == 200 && ($backend->requests)[-1]{n} > 1;
        }), "$name: also to a POST");
        is(tls_of($backend)->{protocol}, $name eq 'v12' ? 'TLSv1.2' : 'TLSv1.3', 'of that protocol');
    }
    get('/once/ok') for 1 .. 3;
    is(scalar $member{once}->connections, 3, 'disablereuse=on: each has its own');
    ok((wait_until { !grep { $_->{state} ne 'closed' } $member{once}->connections } 2), 'none is left');
};

subtest 'what comes while it is idle' => sub {
    for my $name (qw(v12 v13)) {
        my $backend = $member{$name};
        for my $how (undef, 'rst') {
            for my $method (qw(GET POST)) {
                for my $pause ($method eq 'GET' && !$how ? (0, 1) : 0) {
                    $backend->clear;
                    $backend->on('/ok', $keep);
                    get("/$name/ok");
                    wait_until { grep { $_->{state} eq 'idle' } $backend->connections } 2;
                    $backend->close_idle($how);
                    my $case = join ', ', $name, $how // 'close_notify and fin', $method, $pause ? 'later' : 'at once';
                    ok((wait_until { !half_closed($backend->port) } 2.5), "$case: httpd closes its end within two seconds") if $pause;
                    my $id = join '-', 'idle', $name, $how // 'fin', $method, $pause;
                    is(tells(get("/$name/ok", ['X-Id' => $id], $method, $method eq 'POST' ? 'body' : undef)), '200 complete kept', "$case: the next is served");
                    is(scalar $backend->deliveries($id), 1, 'sent once');
                }
            }
        }
        # Closed without close_notify; ended but not closed; and garbage.
        for my $case (['cut', idle(0.05, 'cut')], ['close_notify alone', notify], ['garbage', raw("\x17\3\3\0\x20" . 'x' x 32)], ['plain text', raw("HTTP/1.1 408\r\n\r\n")]) {
            my ($what, $step) = @$case;
            for my $method (qw(GET POST)) {
                $backend->clear;
                $backend->on('/ok', $keep);
                $backend->on('/then', [$keep, $step]);
                is(tells(get("/$name/then")), '200 complete kept', "$name, $what: the answer itself");
                wait_until { defined +(($backend->requests('/then'))[0] // {})->{answered_at} } 2;
                wait_until { !grep { $_->{state} ne 'closed' } $backend->connections } 2 if $what eq 'cut';
                my $id = "$name-$what-$method" =~ s/\W/-/gr;
                is(tells(get("/$name/ok", ['X-Id' => $id], $method, $method eq 'POST' ? 'body' : undef)), '200 complete kept', "$name, $what: the next $method is served");
                is(scalar $backend->deliveries($id), 1, 'sent once');
                is(($backend->deliveries($id))[0]{n}, 1, 'over a fresh one');
            }
        }
    }
};

subtest 'messages of TLS within' => sub {
    my $answer = http_answer(200, [], 'x' x 100);
    my ($v12, $asks) = @member{qw(v12 asks)};
    $v12->clear;
    $v12->on('/again', [renegotiate, $answer]);
    $v12->on('/within', [at($answer, 80, renegotiate)]);
    for my $uri ('/v12/again', '/v12/within') {
        my $start = time;
        my $got = get($uri);
        is(tells($got), '200 complete ' . 'x' x 100, "$uri: a new handshake is asked for, the answer comes");
        soon($start, 3, 'without a wait');
    }
    $asks->on('/later', [ask_certificate, $answer, stall(0.1)]);
    my $got = get('/asks/later');
    is(tells($got), '200 complete ' . 'x' x 100, 'TLS 1.3: the certificate is asked for later');
    is(tells(get('/asks/ok')), '200 complete kept', 'the next one');
    $_->on('/ok', $keep) for $v12;
    is(tells(get('/v12/ok')), '200 complete kept', 'and with TLS 1.2');
};

subtest 'made in its time' => sub {
    my $stalls = $member{stalls};
    for my $case (['accepted, and then silence', ['ACCEPT', [stall], []]], ['after the first message', ['HELLO', [stall], []]],
        ['within the handshake', ['HELLO', [flight(60), stall], []]], ['one byte at a time', ['HELLO', [flight(undef, 1, 0.02)], []]]) {
        my ($name, $on) = @$case;
        for my $path ('stalls', 'first') {
            for my $method ($path eq 'first' ? qw(GET POST) : 'POST') {
                $stalls->clear;
                $stalls->on('/ok', $keep);
                $stalls->on(@$on);
                my $id = "$path-$method-$name" =~ s/\W/-/gr;
                my $start = time;
                my $answer = ask($httpd, $method, "/$path/ok", ['X-Id' => $id], $method eq 'POST' ? 'body' : undef);
                soon($start, 2.5, "$name, $method /$path: in its time");
                cmp_ok(time - $start, '>', 0.4, 'not before') if $path eq 'stalls';
                is($answer->{status}, $path eq 'stalls' ? 504 : 200, $path eq 'stalls' ? 'nobody else: 504' : 'another member: served');
                is(scalar $stalls->deliveries($id), 0, 'nothing is delivered');
                like(logged($httpd, $id)->{attempts}, $path eq 'stalls' ? qr/^[^,=]*=(?:unreachable|refused)[^,]*$/ : qr/^[^,=]*=(?:unreachable|refused)[^,]*,[^,=]*=ok[^,]*$/, 'told so');
                is(logged($httpd, $id)->{state}, 'sC', 'state sC') if $path eq 'stalls';
                # Else what is meant for the next one might be this one's, where the backend is slow to accept it.
                ok((wait_until {
                    my @all = $stalls->connections;
                    @all && !grep { $_->{state} ne 'closed' } @all;
                }), 'the backend has done with it');
                ok($httpd->log->wait_for(qr{USHER201[26].*(?:time|handshake).*$path/ok}, 2), 'the log tells that it took too long');
            }
        }
    }
    $full->full;
    my $answer = ask($httpd, GET => '/full/ok');
    is($answer->{status}, 504, 'nobody accepts: 504');
    in_time($answer->{time}, 2, 'as without TLS');
    $full->resume;

    # Of the slow one nothing is left, and who waits is not alone.
    $stalls->clear;
    $stalls->on('/ok', $keep);
    ok((wait_until { !grep { $_->{state} ne 'closed' } $stalls->connections } 5), 'no connection is left');
    ok((in_calm { tells(get('/stalls/ok')) eq '200 complete kept' }), 'and it serves again');
};

subtest 'the client goes during the handshake' => sub {
    my $stalls = $member{stalls};
    for my $how (qw(close reset)) {
        $stalls->close_idle;
        $stalls->clear;
        $stalls->on('HELLO', [stall], []);
        my $gone = Usher::Client->new(port => $httpd->port);
        $gone->send(http_request(GET => '/patient/ok', ['X-Id' => "gone-$how"]));
        ok((wait_until { grep { defined $_->{holding} } $stalls->connections } 3), 'the handshake has begun');
        $gone->$how;
        ok((wait_until { !grep { $_->{state} ne 'closed' } $stalls->connections } 3), "$how: the connection to the backend is given up");
        like(logged($httpd, "gone-$how")->{status} // '', qr/^(?:499|50[34])$/, 'and the request logged');
        is(scalar $stalls->requests, 0, 'not delivered');
    }
    $stalls->clear;
};

subtest 'members of balancers' => sub {
    for my $name ('both', 'mixed', $cluster ? 'cluster' : ()) {
        my @all = $name eq 'both' ? @member{qw(one two)} : $name eq 'mixed' ? ($member{one}, $plain) : ($member{one}, $plain, $member{two});
        $_->clear, $_->on('/ok', $keep), $_->on('/up', echo) for @all;
        is(tells(get("/$name/ok")), '200 complete kept', "$name: request $_") for 1 .. 12;
        is(scalar(grep { !$_->requests } @all), 0, 'each member has some');
        is(get("/$name/up", [], 'POST', 'abc')->{status}, 200, 'a POST');
        for my $down (@all) {
            $down->stop;
            my @answers = map { tells(get("/$name/ok", [], $_ % 2 ? ('GET') : ('POST', 'x'))) } 1 .. 6;
            is(scalar(grep { $_ ne '200 complete kept' } @answers), 0, "one is down: nobody notices ($answers[0])");
            $down->start;
        }
        # It accepts, but not with TLS.
        my $first = $all[0];
        $first->on('HELLO', [alert(80)]);
        $first->close_idle;
        my @answers = map { tells(get("/$name/ok", [], $_ % 2 ? ('GET') : ('POST', 'x'))) } 1 .. 6;
        is(scalar(grep { $_ ne '200 complete kept' } @answers), 0, 'one refuses each handshake: the same');
        $first->clear;
        $_->on('/ok', $keep) for @all;
        $_->stop for @all;
        is(get("/$name/ok", [], $_, $_ eq 'POST' ? 'x' : undef)->{status}, 503, "all are down, $_: 503") for qw(GET POST);
        $_->start, $_->on('/ok', $keep) for @all;
        ok((wait_until { tells(get("/$name/ok")) eq '200 complete kept' } 5), 'and back');
    }
};

subtest 'graceful restart' => sub {
    my $backend = $member{v13};
    $backend->clear;
    $backend->on('/ok', $keep);
    $backend->on('/slow', [stall(0.8), $keep]);
    my $slow = Usher::Client->new(port => $httpd->port);
    $slow->send(http_request(GET => '/v13/slow'));
    wait_until { scalar $backend->requests('/slow') };
    $httpd->log->tolerate(qr/AH00288|AH03490/);    # a small scoreboard
    ok($httpd->graceful, 'while a request is under way');
    is(tells($slow->answer), '200 complete kept', 'it gets its answer');
    is(ask($httpd, GET => "/$_/ok")->{status}, 200, "and so do new ones, $_") for qw(v12 v13 late);
};

# A handshake costs some memory, which must come back.
subtest 'many handshakes' => sub {
    my $rounds = $ENV{USHER_LONG} ? 4000 : 600;
    my $rss = sub {
        my $sum = 0;
        for my $pid ($httpd->children) {
            open my $fh, '<', "/proc/$pid/status" or next;
            $sum += $_ for map { /^VmRSS:\s+(\d+)/ ? $1 : () } <$fh>;
        }
        return $sum;
    };
    $client = Usher::Client->new(port => $httpd->port);
    $member{once}->clear;
    $member{once}->on('/ok', $keep);
    get('/once/ok') for 1 .. 200;
    my $before = $rss->();
    my $bad = grep { tells(get('/once/ok')) ne '200 complete kept' } 1 .. $rounds;
    is($bad, 0, "$rounds more");
    my $grown = $rss->() - $before;
    # ASan gives nothing back for a while.
    my $asan = grep { open my $fh, '<', "/proc/$_/maps" or die $!; scalar grep { /libasan/ } <$fh> } $httpd->children;
    cmp_ok($grown, '<', 200 * $rounds / 100 + 6000, "grown by $grown KiB") unless $asan;
} if !$prefork;

$httpd->log->tolerate(qr/AH00045/) if $ENV{USHER_MPM} eq 'worker';
$httpd->finish('httpd lives, and says nothing of closed idle connections');
%member = ();
undef $_ for $plain, $full;
done_testing;
