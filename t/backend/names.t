# Names and addresses of backends: what a name means is looked up in the
# background, all its addresses are tried, and nothing needs a restart. The
# names are the test's own (Usher::Names).
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Names ();
use Usher::Wait;

my $prefork = $ENV{USHER_MPM} eq 'prefork';
my $names = Usher::Names->new;
# Connections that are not kept, so that each request has to connect.
my $plain = http_answer(200, [Connection => 'close'], 'ok');
my $keep = http_answer(200, [], 'kept');
my @backends;

# A backend on this address; on 127.0.0.2 it is the only one on its port.
sub backend {
    my ($host, %opt) = @_;
    my $backend = Usher::Backend->new(host => $host, %opt);

    $backend->on(qr{/ok$}, $plain);
    $backend->on(qr{/keep$}, $keep);
    push @backends, $backend;
    return $backend;
}

sub pair {
    my ($host, %opt) = @_;
    my $first = backend('127.0.0.1', %opt);

    return ($first, backend($host, port => $first->port));
}

my $second = backend('127.0.0.2');
my $six = eval { backend('::1') };
my ($full, $open) = pair('127.0.0.2', backlog => 1);
my ($hole, $hole2) = pair('127.0.0.2', backlog => 1);
my ($old, $new) = pair('127.0.0.2');
my ($was, $is) = pair('127.0.0.2');
my $late = backend('127.0.0.1');
my $slow = backend('127.0.0.1');
my $kept = backend('127.0.0.1');
my $nobody = free_port();
my @methods = qw(GET HEAD POST PUT PATCH DELETE OPTIONS);
my @names;
# How long an address may take, and a look-up, which another thread does.
my $connect = 0.4 * patience;

# A line of the configuration; each path is a worker of its own, which learns by
# itself which addresses answer.
sub name {
    my ($path, $host, $port, $keys, @addresses) = @_;

    $names->set($host => @addresses ? \@addresses : undef) unless grep { $_ eq $host } @names;
    push @names, $host;
    return "ProxyPass /$path/ http://$host:$port/$path/ $keys\n";
}

my $ttl; # the key, where this httpd has it
{
    my $probe = backend_httpd("ProxyPass / http://127.0.0.1:9/ addressttl=1\n");
    $ttl = ($probe->configtest)[0] == 0 ? 'addressttl=1' : '';
}
my $source_port = free_port();
my $long = '/' . 'long/' x 30 . 'socket';
my $httpd = backend_httpd(join('', <<"EOT",
MaxKeepAliveRequests 0
UsherBackendTimeout connect=@{[ 1000 * $connect ]}ms first=20s
Listen 127.0.0.1:$source_port
<VirtualHost 127.0.0.1:$source_port>
    ProxySourceAddress 127.0.0.5
    ProxyPass /four/ http://127.0.0.1:@{[ $late->port ]}/
    @{[ $six ? "ProxyPass /six/ @{[ $six->url('/') ]}" : '' ]}
</VirtualHost>
ProxyPass /gone/ "unix:/nowhere/gone|http://localhost/"
<Location /long>
    SetHandler "proxy:unix:$long|http://long/"
</Location>
EOT
    map({ name("two-$_", "two.test", $second->port, '', '127.0.0.1', '127.0.0.2') } @methods),
    $six ? name('to6', 'to6.test', $six->port, '', '127.0.0.1', '::1') : '',
    name('from6', 'from6.test', $late->port, '', '::1', '127.0.0.1'),
    name('many', 'many.test', $second->port, '', (map { "127.0.0.$_" } 11 .. 25), '127.0.0.2'),
    name('full', 'full.test', $full->port, '', '127.0.0.1', '127.0.0.2'),
    name('again', 'again.test', $full->port, $ttl, '127.0.0.1', '127.0.0.2'),
    name('once', 'once.test', $full->port, 'disablereuse=On', '127.0.0.1', '127.0.0.2'),
    name('hole', 'hole.test', $hole->port, '', '127.0.0.1', '127.0.0.2'),
    name('one', 'one.test', $hole->port, '', '127.0.0.1'),
    name('refused', 'refused.test', $nobody, '', '127.0.0.1', '127.0.0.2'),
    name('mixed', 'mixed.test', $full->port, '', '127.0.0.3', '127.0.0.1'),
    name('mixed2', 'mixed2.test', $full->port, '', '127.0.0.1', '127.0.0.3'),
    map({ name("moved-$_", 'moved.test', $old->port, '', '127.0.0.1') } qw(GET POST)),
    name('ttl', 'ttl.test', $was->port, $ttl, '127.0.0.1'),
    name('late', 'late.test', $late->port, ''),
    name('first', 'first.test', $late->port, '', '127.0.0.1'),
    name('slow', 'slow.test', $slow->port, $ttl, '127.0.0.1'),
    name('idle', 'idle.test', $kept->port, '', '127.0.0.1'),
    name('beside', 'beside.test', $old->port, '', '127.0.0.1'),
    "ProxyPass /smax/ @{[ $kept->url('/smax/') ]} smax=1\n",
    "ProxyPass /idle-ttl/ @{[ $slow->url('/idle-ttl/') ]} ttl=1\n",
    "ProxyPass /fresh/ @{[ $second->url('/fresh/') ]} enablereuse=Off\n",
    "ProxyPass /alive/ @{[ $second->url('/alive/') ]} keepalive=On\n",
    "ProxyPass /not-alive/ @{[ $second->url('/not-alive/') ]} keepalive=Off\n",
), $names->options);

# All over one connection of a client, so that one child has them all.
my $client;
my $used = 0;

sub get {
    my ($uri, $id, $method) = @_;

    # The worker MPM keeps one for five seconds; its one child has the next one, too.
    undef $client if $ENV{USHER_MPM} eq 'worker' && time - $used > 2;
    $client //= Usher::Client->new(port => $httpd->port);
    my $start = $used = time;
    my $answer = $client->request($method // 'GET', $uri, ['X-Id' => $id // 'any'],
        ($method // '') =~ /^P/ ? 'body' : undef);
    $answer->{took} = time - $start;
    undef $client if $answer->{end} ne 'complete' || http_has_token($answer->{headers}, 'Connection', 'close');
    return $answer;
}

# Seconds that the attempt which answered took to connect.
sub connect_time {
    my ($id) = @_;
    my ($us) = (logged($httpd, $id)->{times} // '') =~ m{^(\d+)/};

    return ($us // 1e9) / 1e6;
}

# A request that is answered, whose attempt had not to wait for an address that does not answer.
sub connects_at_once {
    my ($uri, $id, $method) = @_;

    return in_calm { get($uri, $id .= 'x', $method)->{status} == 200 && connect_time($id) < $connect - 0.01 };
}

sub rows {
    open my $fh, '<', '/proc/net/tcp' or return;
    return map { [split] } <$fh>;
}

sub address { return sprintf '%02X%02X%02X%02X:%04X', reverse(split /\./, $_[0]), $_[1] }

# Of the open connections to this port: those whose row has the timer or state.
sub sockets {
    my ($host, $port, $test) = @_;
    my $address = address($host, $port);

    return grep { $_->[2] eq $address && $test->($_) } rows();
}

# Accepts again, and those that waited for it keep no new one out.
sub accepts_again {
    my ($backend) = @_;
    my $address = address($backend->host, $backend->port);

    $backend->resume;
    return wait_until { !grep { $_->[1] eq $address && $_->[3] eq '0A' && $_->[4] !~ /:0+$/ } rows() };
}

# A backend goes down and its name gets another address, where another one is: what the
# next request gets, if it finds that. Where a stall holds up the look-up, the name moves back.
sub follows {
    my ($name, $uri, $id, $method) = @_;
    my ($from, $to) = ([$old, '127.0.0.1'], [$new, '127.0.0.2']);

    return in_calm {
        $from->[0]->stop;
        $names->set($name => [$to->[1]]);
        my $answer = get($uri, $id .= 'x', $method);
        $from->[0]->start;
        my $there = $to->[0]->deliveries($id);
        ($from, $to) = ($to, $from);
        return tells($answer) eq '200 complete ok' && $there == 1 ? $answer : undef;
    };
}

sub gone {
    my (@pids) = @_;

    return !grep { -e "/proc/$_" } @pids;
}

# The log has these lines only for requests that this test lets fail.
$httpd->log->tolerate(qr{USHER2016: (?:unix:\S+|http://(?:hole|one|refused|mixed2?|late|first)\.test:\d+): });
$httpd->log->tolerate(qr{USHER2016: http://(?:moved|beside)\.test:\d+: }) if patience > 1;
$names->hang('two.test');
ok($httpd->start, 'httpd starts while the name server does not answer') or BAIL_OUT($httpd->console);
is($names->asked('two.test'), 0, 'and has not asked it');
$names->answer('two.test');

subtest 'an address that refuses' => sub {
    for my $method (@methods) {
        is(get("/two-$method/ok", "two-$method", $method)->{status}, 200, "$method: the next address is used");
        like(logged($httpd, "two-$method")->{attempts}, qr/^[^,=]+=ok[^,]*$/, 'in the same attempt');
        is(scalar $second->deliveries("two-$method"), 1, 'sent once');
    }
    is(tells(get('/from6/ok')), '200 complete ok', '::1 refuses: 127.0.0.1 is used');
    is(tells(get('/many/ok')), '200 complete ok', 'fifteen refuse: the sixteenth is used');
    SKIP: {
        skip 'no ::1 here', 1 unless $six;
        is(tells(get('/to6/ok')), '200 complete ok', '127.0.0.1 refuses: ::1 is used');
    }
};

subtest 'an address that does not answer' => sub {
    $full->full;
    is(tells(get('/full/ok', 'full-1')), '200 complete ok', 'the next address is used');
    cmp_ok(connect_time('full-1'), '>=', $connect - 0.01, 'after the time that connect= gives');
    in_time(connect_time('full-1'), 0.79, 'and not much later');
    for my $method (qw(GET POST)) {
        ok(connects_at_once('/full/ok', "full-$method", $method), "$method later: answered by the address that is known to answer");
    }
    is(get('/once/ok', 'once-1')->{status}, 200, 'disablereuse=On: the next address is used');
    ok(connects_at_once('/once/ok', 'once-2'), 'and known the next time');
    accepts_again($full);
    $open->stop;
    is(tells(get('/full/ok', 'full-last')), '200 complete ok', 'when only that one answers again, it is used');
    $open->start;
    $full->full;
};

subtest 'no address answers' => sub {
    $hole->full;
    $hole2->full;
    my $answer = get('/hole/ok', 'hole');
    is($answer->{status}, 504, 'two that do not answer: 504');
    cmp_ok($answer->{took}, '>=', 2 * $connect - 0.01, 'each had its time');
    in_time($answer->{took}, 1.5, 'once');
    is(logged($httpd, 'hole')->{state}, 'sC', 'state sC');
    $answer = get('/one/ok', 'one');
    is($answer->{status}, 504, 'one that does not answer: 504');
    in_time($answer->{took}, 0.75, 'its time passes once');
    is(get('/refused/ok', 'refused')->{status}, 503, 'two that refuse: 503');
    is(logged($httpd, 'refused')->{state}, 'SC', 'state SC');
    is(get("/$_/ok", $_)->{status}, 503, "$_: one refuses, one does not answer: 503") for qw(mixed mixed2);
    accepts_again($_) for $hole, $hole2, $full;
    is(tells(get('/hole/ok')), '200 complete ok', 'they answer again: so does httpd, at once');
};

subtest 'a backend that moved' => sub {
    is(tells(get("/moved-$_/ok", "here-$_", $_)), '200 complete ok', "$_: before") for qw(GET POST);
    is(scalar $old->deliveries('here-POST'), 1, 'at its first address');
    for my $method (qw(GET POST)) {
        my $answer = follows('moved.test', "/moved-$method/ok", "moved-$method", $method);
        ok($answer, "$method: the very next request finds it, at its new address") or next;
        in_time($answer->{took}, 0.95, 'at once');
    }
};

subtest 'ttl= and addressttl=' => sub {
    ok((in_calm {
        get('/idle-ttl/keep')->{status} == 200 && 1 == grep { $_->{state} ne 'closed' } $slow->connections;
    }), 'ttl=1: answered, and the connection is kept');
    SKIP: {
        skip 'httpd has no addressttl=', 6 unless $ttl;
        $full->full;
        is(tells(get('/again/ok')), '200 complete ok', 'addressttl=1: one of two addresses does not answer');
        is(tells(get('/ttl/ok')), '200 complete ok', 'for another name the first one does');
        $names->set('ttl.test' => ['127.0.0.2']);
        ok((wait_until { get('/ttl/ok'); scalar $is->requests } 4), 'new connections go to the new address');
        $names->set('ttl.test' => undef);
        ok($names->wait_asked('ttl.test', 4), 'then the name is not known any more');
        is((grep { get('/ttl/ok')->{status} == 200 } 1 .. 50), 50, 'it keeps the address that it had');
        ok(connects_at_once('/again/ok', 'again'), 'what did not answer is remembered, also when the name was looked up');
        $full->resume;
    }
    ok((wait_until { !grep { $_->{state} ne 'closed' } $slow->connections } 3.5), 'ttl=1: not kept for long');
    is(scalar(grep { ($_->{closed_by} // 'nobody') ne 'peer' } $slow->connections), 0, 'closed by httpd');
};

subtest 'a name that is not known' => sub {
    for my $method (qw(GET POST)) {
        my $answer = get('/late/ok', "late-$method", $method);
        is($answer->{status}, 503, "$method: 503");
        in_time($answer->{took}, 1.5, 'at once');
    }
    ok($httpd->log->wait_for(qr/USHER2016: http:\/\/late\.test:\d+: its name is not known \(.*\); the client got 503/, 2),
        'the log says why');
    $names->set('late.test' => ['127.0.0.1']);
    ok((in_calm { tells(get('/late/ok')) eq '200 complete ok' }), 'as soon as it is known it is served');
    $names->hang('first.test');
    my $answer = get('/first/ok', 'first');
    is($answer->{status}, 503, 'one that the name server does not tell: 503');
    in_time($answer->{took}, 4, 'soon');
    $names->answer('first.test');
    ok((in_calm { tells(get('/first/ok')) eq '200 complete ok' }), 'as soon as it does it is served');
};

subtest 'unix sockets' => sub {
    is(get('/gone/ok')->{status}, 503, 'a path that is not there: 503');
    ok($httpd->log->wait_for(qr/USHER2016: unix:\S+\/gone\|.*No such file or directory/, 2), 'the log says why');
    is(get('/long/ok')->{status}, 503, 'a path that is too long: 503');
    ok($httpd->log->wait_for(qr/USHER2016: unix:\S+\|.*File name too long/, 2), 'the log says why');
};

subtest 'ProxySourceAddress' => sub {
    my $from = Usher::Client->new(port => $source_port);
    is($from->request(GET => '/four/ok', ['X-Id' => 'from'])->{status}, 200, 'answered');
    my ($request) = $late->deliveries('from');
    my ($conn) = grep { $_->{id} == $request->{conn} } $late->connections;
    is($conn->{from}, '127.0.0.5', 'the backend sees that address');
    SKIP: {
        skip 'no ::1 here', 1 unless $six;
        is($from->request(GET => '/six/ok')->{status}, 200, 'for a backend of the other family it does not matter');
    }
};

subtest 'keys of the worker' => sub {
    $second->clear;
    $second->on(qr{/keep$}, $keep);
    is(get('/fresh/keep')->{status}, 200, 'enablereuse=Off: answered') for 1 .. 3;
    is(join(' ', map { $_->{n} } $second->requests), '1 1 1', 'each over a connection of its own');
    is(join(' ', map { $_->{header}{connection} // '' } $second->requests), 'close close close', 'and says so');
    for my $case (['alive', 2, 'keepalive=On: TCP looks after'], ['not-alive', 0, 'keepalive=Off: it does not']) {
        my ($path, $timer, $name) = @$case;
        my %before = map { $_->[1] => 1 } sockets('127.0.0.2', $second->port, sub { 1 });
        is(get("/$path/keep")->{status}, 200, "$path: answered") for 1 .. 2;
        my @rows = sockets('127.0.0.2', $second->port, sub { $_[0][3] eq '01' && !$before{ $_[0][1] } });
        is(join(' ', map { 0 + substr $_->[5], 0, 2 } @rows), $timer, "$name the one connection");
    }
    SKIP: {
        skip 'each child has one thread', 1 if $prefork;
        $kept->on(qr{/hold$}, [hold('three'), $keep]);
        my @three = map { Usher::Client->new(port => $httpd->port) } 1 .. 3;
        $_->send(http_request(GET => '/smax/hold')) for @three;
        wait_until { $kept->holding('three') == 3 };
        $kept->release('three');
        $_->answer for @three;
        ok((wait_until { 1 == grep { $_->{state} ne 'closed' } $kept->connections } 3), 'smax=1: of three one is kept');
    }
};

subtest 'a name server that does not answer' => sub {
    plan skip_all => 'httpd has no addressttl=' unless $ttl;
    is(tells(get('/slow/ok')), '200 complete ok', 'a name that was looked up');
    is(tells(get('/idle/keep')), '200 complete kept', 'another one');
    is(tells(get('/beside/ok')), '200 complete ok', 'a third one');
    $names->hang('slow.test');
    ok($names->wait_asked('slow.test', 4), 'is looked up again');
    my $longest = 0;
    for my $n (1 .. 10) {
        my $answer = get('/slow/ok');
        $longest = $answer->{took} if $longest < $answer->{took};
        is($answer->{status}, 200, 'meanwhile requests are served');
    }
    in_time($longest, 0.9, 'at once');
    $kept->close_idle;
    ok((wait_until { !sockets('127.0.0.1', $kept->port, sub { $_[0][3] eq '08' }) } 2.5),
        'a connection that its backend closed is closed as ever');
    ok(follows('beside.test', '/beside/ok', 'beside'), 'a backend of another name that moved is found');
    undef $client;
};

subtest 'children end while the name server does not answer' => sub {
    plan skip_all => 'httpd has no addressttl=' unless $ttl;
    my @before = $httpd->children;
    my $start = time;
    ok($httpd->graceful, 'a graceful restart');
    ok((wait_until { gone(@before) } 10), 'the old children end');
    soon($start, 5, 'soon');
    $names->answer('slow.test');
    is(tells(get('/slow/ok')), '200 complete ok', 'the new ones serve');
    $names->hang('slow.test');
    ok($names->wait_asked('slow.test', 4), 'they ask again');
    $start = time;
    $httpd->finish('httpd ends well, and has logged nothing else');
    soon($start, 5, 'and soon');
};

$_->stop for @backends;
done_testing;
