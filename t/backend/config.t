# The directives of mod_usher_backend: what configtest refuses and says, what
# holds where nothing is set, and how sections and virtual hosts go together.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Httpd ();
use Usher::Wait;

my ($a, $b) = map { Usher::Backend->new } 1, 2;
my @modules = qw(proxy proxy_balancer slotmem_shm lbmethod_byrequests log_config);

# Refused values: directive => [arguments, what the message names besides it]
my %refused = (
    UsherBackend => [
        ['', ''], ['Maybe', 'On'], ['On Off', ''],
    ],
    UsherBackendAnswer => [
        ['', ''], ['head=1', '1'], ['head=17M', '17M'], ['head=', 'head'], ['head=abc', 'abc'], ['head=-1K', '-1K'], ['fields=0', '0'], ['fields=10001', '10001'],
        ['fields=x', 'x'], ['fields=1.5', '1.5'], ['size=1K', 'size'], ['1K', '1K'],
    ],
    UsherBackendRest => [
        ['', ''], ['On', 'On'], ['failures=0', '0'], ['failures=1001', '1001'], ['within=500ms', '500ms'], ['within=2h', '2h'], ['rest=50ms', '50ms'], ['rest=2h', '2h'],
        ['slowstart=2h', '2h'], ['share=0', '0'], ['share=101', '101'], ['share=50%', '50%'],
        ['tries=3', 'tries'], ['Off failures=3', 'Off'],
    ],
    UsherBackendTimeout => [
        ['', ''], ['5s', '5s'], ['connect=0', '0'], ['connect=0ms', '0ms'], ['connect=2d', '2d'], ['first=5x', '5x'], ['first=off', 'off'],
        ['send=', 'send'], ['between=-1s', '-1s'], ['total=0', '0'], ['total=never', 'never'], ['read=1s', 'read'],
    ],
    UsherClientFin => [
        ['', ''], ['maybe', 'maybe'], ['on', 'on'], ['gone halfclose', ''],
    ],
    UsherReplay => [
        ['', ''], ['on', 'on'], ['always', 'always'], ['safe idempotent', ''],
    ],
    UsherReplayBudget => [
        ['', ''], ['percent=101', '101'], ['percent=-1', '-1'], ['percent=20%', '20%'], ['within=500ms', '500ms'], ['within=61s', '61s'], ['within=2m', '2m'],
        ['least=1001', '1001'], ['least=x', 'x'], ['most=3', 'most'], ['20', '20'],
    ],
    UsherReplayBuffer => [
        ['', ''], ['memory=65M', '65M'], ['memory=-1', '-1'], ['memory=x', 'x'], ['file=2T', '2T'], ['disk=1M', 'disk'], ['64K', '64K'],
    ],
);
my %accepted = (
    UsherBackend        => ['On', 'Off', 'on', 'OFF'],
    UsherBackendAnswer  => ['head=1K', 'head=16M', 'fields=1', 'fields=10000', 'head=256K fields=500', 'fields=5 head=2K'],
    UsherBackendRest    => ['Off', 'failures=1', 'failures=1000 within=1s rest=100ms slowstart=0 share=1', 'within=1h rest=1h slowstart=1h share=100', 'failures=5 within=30s'],
    UsherBackendTimeout => ['connect=1ms', 'first=1d', 'connect=500ms first=2m total=10m', 'send=1s between=1s', 'total=off', 'first=5'],
    UsherClientFin      => ['gone', 'halfclose', 'auto', 'Auto'],
    UsherReplay         => ['off', 'safe', 'idempotent', 'Off'],
    UsherReplayBudget   => ['percent=0', 'percent=100 within=1s least=0', 'within=60s', 'least=1000', 'percent=10 within=30s'],
    UsherReplayBuffer   => ['memory=0', 'memory=64M', 'file=0', 'file=1T', 'memory=128K file=100M'],
);
# configtest is a process each: all that is accepted at once, what is refused
# one by one.
subtest 'accepted' => sub {
    my $httpd = Usher::Httpd->new(modules => \@modules);
    for my $name (sort keys %accepted) {
        my @lines = map { "$name $_" } @{ $accepted{$name} };
        my $text = join '', map { "$lines[$_]\n<VirtualHost *:1>\n$lines[$_]\n</VirtualHost>\n"
            . ($name eq 'UsherReplayBudget' ? '' : "<Location /$_>\n$lines[$_]\n</Location>\n<Proxy http://127.0.0.1:1$_/>\n$lines[$_]\n</Proxy>\n") } 0 .. $#lines;
        $httpd->conf($text);
        my ($code, $out) = $httpd->configtest;
        is($code, 0, join ', ', @{ $accepted{$name} }) or diag "$name: $out";
    }
};
for my $name (sort keys %refused) {
    subtest "$name: refused" => sub {
        my $httpd = Usher::Httpd->new(modules => \@modules);
        for my $case (@{ $refused{$name} }) {
            my ($value, $named) = @$case;
            $httpd->conf("$name $value\n");
            my ($code, $out) = $httpd->configtest;
            isnt($code, 0, $value eq '' ? 'without a value' : qq("$value")) or next;
            like($out, qr/\Q$name\E/, 'the message names the directive');
            like($out, qr/\Q$named\E/, "and $named") if $named ne '';
            unlike($out, qr/Invalid command/, 'it is known');
            my ($said) = $out =~ /^(?:AH\S+ )?\S.*line \d+ of [^\n]*:?\n(.*)/s;
            cmp_ok(length($said // $out), '>', length("$name $value") + 10, 'and tells what to do') or diag $out;
        }
    };
}
subtest 'what is missing is said' => sub {
    for my $case ([[qw(log_config)], [qw(usher usher_backend)], qr/mod_proxy|proxy_module|undefined symbol/, 'mod_proxy'],
        [\@modules, [qw(usher_backend)], qr/needs mod_usher/, 'mod_usher']) {
        my ($theirs, $ours, $says, $name) = @$case;
        my $httpd = Usher::Httpd->new(modules => $theirs, usher => $ours);
        my ($code, $out) = $httpd->configtest;
        isnt($code, 0, "without $name: refused");
        like($out, $says, 'and said so');
    }
};

# ---- what they do, by default and merged

my $pair = sub { return pair_conf($a, $b, @_) };
my $sound = http_answer(200, [Connection => 'close'], 'sound');

sub reset_members {
    $_->clear for $a, $b;
    $_->on(qr{}, $sound) for $a, $b;
    $a->on(qr{/cut}, [cut]);
    $_->on(qr{/slow}, [stall(0.8), $sound]) for $a, $b;
    $_->on(qr{/fields}, http_answer(200, [Connection => 'close', map { ("X-$_" => 1) } 1 .. 20], 'sound')) for $a, $b;
    return;
}

# Requests to several vhosts of one httpd, each by its name.
sub to {
    my ($httpd, $host, $uri, $method, $body) = @_;

    return ask($httpd, $method // 'GET', $uri, [Host => $host], $body)->{status} // 'none';
}

subtest 'UsherBackend: server, virtual host, Location, Proxy' => sub {
    my $httpd = backend_httpd(<<"EOT", modules => ['proxy_http']);
UsherBackend Off
<Location /a/on/>
    UsherBackend On
</Location>
<Location /a/on/off/>
    UsherBackend Off
</Location>
<Proxy @{[ $b->url ]}/>
    UsherBackend On
</Proxy>
ProxyPass /a/ @{[ $a->url('/') ]}
ProxyPass /b/ @{[ $b->url('/') ]}
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName main.example
    CustomLog logs/usher_log usher
</VirtualHost>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName on.example
    UsherBackend On
    CustomLog logs/usher_log usher
    <Location /a/off/>
        UsherBackend Off
    </Location>
</VirtualHost>
EOT
    ok($httpd->start, 'httpd starts') or diag $httpd->console;
    reset_members();
    my $n = 0;
    for my $case (['main.example', '/a/x', 0], ['main.example', '/a/on/x', 1], ['main.example', '/a/on/off/x', 0], ['main.example', '/b/x', 1],
        ['on.example', '/a/x', 1], ['on.example', '/a/off/x', 0], ['on.example', '/b/x', 1]) {
        my ($host, $uri, $ours) = @$case;
        my $id = 'who' . ++$n;
        is(ask($httpd, GET => $uri, [Host => $host, 'X-Id' => $id])->{status}, 200, "$host $uri: served");
        my $line = logged($httpd, $id);
        is(($line->{env_state} // '-') ne '-' ? 1 : 0, $ours, $ours ? 'by mod_usher_backend' : 'by mod_proxy_http');
    }
    $httpd->finish('nothing in the log');
};

subtest 'UsherBackend Off without mod_proxy_http' => sub {
    my $httpd = backend_httpd("UsherBackend Off\nProxyPass /a/ @{[ $a->url('/') ]}\n");
    my ($code, $out) = $httpd->configtest;
    if ($code == 0) {
        ok($httpd->start, 'httpd starts');
        is(to($httpd, 'a', '/a/x'), 500, 'nobody serves, as mod_proxy says');
        $httpd->log->tolerate(qr/AH01144/);
        $httpd->finish('mod_proxy says why');
    } else {
        like($out, qr/UsherBackend/, 'refused, and said why');
    }
};

subtest 'defaults' => sub {
    my $httpd = backend_httpd($pair->('two', ''));
    ok($httpd->start, 'httpd starts') or diag $httpd->console;
    $httpd->log->tolerate(qr/USHER2\d\d\d/);
    reset_members();
    is(to($httpd, 'a', '/two/x'), 200, 'UsherBackend: it serves');
    is(to($httpd, 'a', '/two/cut', 'PUT', 'body'), 200, 'UsherReplay idempotent: a PUT is sent again');
    is(to($httpd, 'a', '/two/cut', 'POST', 'body'), 502, 'but no POST');
    is(to($httpd, 'a', '/two/fields'), 200, 'UsherBackendAnswer: 20 fields are not too many');
    is(to($httpd, 'a', '/two/slow'), 200, 'UsherBackendTimeout: nothing is too slow yet');
    $httpd->finish('only what was cut');
};

subtest 'merged' => sub {
    my $httpd = backend_httpd(<<"EOT");
UsherReplay off
UsherBackendTimeout first=300ms
UsherBackendAnswer fields=10
UsherBackendRest Off
UsherReplayBudget percent=0 least=0
UsherReplayBuffer memory=0 file=0
UsherClientFin halfclose
@{[ $pair->('two', '') ]}
<Location /two/again/>
    UsherReplay idempotent
</Location>
<Location /two/patient/>
    UsherBackendTimeout first=20s
</Location>
<Location /two/between/>
    UsherBackendTimeout between=5s
</Location>
<Location /two/many/>
    UsherBackendAnswer fields=100
</Location>
<Location /two/head/>
    UsherBackendAnswer head=32K
</Location>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName inherits.example
</VirtualHost>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName own.example
    UsherReplay idempotent
    UsherBackendTimeout first=20s
    UsherBackendAnswer fields=100
    UsherReplayBudget percent=100 least=10
    UsherReplayBuffer memory=64K
</VirtualHost>
EOT
    ok($httpd->start, 'httpd starts') or diag $httpd->console;
    $httpd->log->tolerate(qr/USHER2\d\d\d/);
    my @cases = (
        # host, path, what comes, why
        ['inherits.example', '/two/cut', 502, 'UsherReplay: the server\'s'],
        ['own.example', '/two/cut', 200, 'UsherReplay: the virtual host\'s'],
        ['inherits.example', '/two/again/cut', 502, 'UsherReplayBudget: the server\'s, with none to spend'],
        ['own.example', '/two/again/cut', 200, 'UsherReplayBudget: the virtual host\'s'],
        ['inherits.example', '/two/slow', 504, 'UsherBackendTimeout: the server\'s'],
        ['own.example', '/two/slow', 200, 'UsherBackendTimeout: the virtual host\'s'],
        ['inherits.example', '/two/patient/slow', 200, 'UsherBackendTimeout: the Location\'s'],
        ['inherits.example', '/two/between/slow', 504, 'UsherBackendTimeout: a key that the Location leaves out is the server\'s'],
        ['inherits.example', '/two/fields', 502, 'UsherBackendAnswer: the server\'s'],
        ['own.example', '/two/fields', 200, 'UsherBackendAnswer: the virtual host\'s'],
        ['inherits.example', '/two/many/fields', 200, 'UsherBackendAnswer: the Location\'s'],
        ['inherits.example', '/two/head/fields', 502, 'UsherBackendAnswer: a key that the Location leaves out is the server\'s'],
    );
    for my $case (@cases) {
        my ($host, $uri, $status, $why) = @$case;
        my $got;
        in_calm {
            reset_members();
            $got = to($httpd, $host, $uri);
            $got == $status;
        };
        is($got, $status, $why);
    }
    reset_members();
    is(to($httpd, 'own.example', '/two/cut', 'PUT', 'body'), 200, 'UsherReplayBuffer: the virtual host\'s');
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send(http_request(GET => '/two/patient/slow', [Host => 'inherits.example']));
    wait_until { scalar $a->requests(qr/slow/) };
    $client->half_close;
    is($client->answer->{status} // 'none', 200, 'UsherClientFin: the server\'s');
    ok($httpd->graceful, 'a graceful restart');
    reset_members();
    ok((in_calm { to($httpd, 'inherits.example', '/two/fields') == 502 }), 'keeps them');
    $httpd->log->tolerate(qr/AH00288|AH03490/);
    $httpd->finish('only what was refused');
};

$_->stop for $a, $b;
done_testing;
