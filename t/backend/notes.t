# What the access log can tell of a proxied request: the items and variables of
# the page, and when they say what.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Wait;

my ($a, $b) = map { Usher::Backend->new } 1, 2;
my $unix = Usher::Backend->new(unix => 1);
my $httpd = backend_httpd(<<"EOT");
UsherBackendRest Off
UsherReplayBudget percent=100 least=1000
<Location /one/slow>
    UsherBackendTimeout first=600ms between=600ms
</Location>
ProxyPass /one/ @{[ $a->url('/') ]}
ProxyPass /unix/ "@{[ $unix->url('/') ]}"
ProxyPass /path/ @{[ $b->url('/some/path/') ]}
<Proxy balancer://two>
    BalancerMember @{[ $a->url ]} retry=0
    BalancerMember @{[ $b->url ]} retry=0 lbset=1
</Proxy>
ProxyPass /two/ balancer://two/
ProxyPass /doc/ @{[ $a->url('/') ]}
<Location /doc/>
    ErrorDocument 502 /one/page
</Location>
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);

my ($url_a, $url_b) = ($a->url, $b->url);
my $time = qr/(?:\d+|-)/;
my $number = qr/\d+/;
my $n = 0;

# Asks, and returns what is in the log.
sub told {
    my ($uri, $method, $body, %how) = @_;
    my $id = 'n' . ++$n;

    ask($httpd, $method // 'GET', $uri, ['X-Id' => $id], $body, %how);
    my $line = logged($httpd, $id);
    is($line->{"env_$_"}, $line->{$_}, "USHER_\U$_\E is the same as %{$_}^US") for qw(state attempts times);
    is($line->{note_state}, $line->{state}, 'and so is the note');
    return $line;
}

my $sound = http_answer(200, [], 'a sound answer');
$_->on('/ok', $sound) for $a, $b, $unix;
$b->on('/some/path/ok', $sound);

subtest 'an answer' => sub {
    my $line = told('/one/ok');
    is($line->{state}, '--', 'state: ended well');
    like($line->{attempts}, qr{^\Q$url_a\E=ok/$number/$number/$number/$number$}, 'one attempt, with its four times');
    my ($member, $outcome, @times) = $line->{attempts} =~ m{^(.*)=(\w+)/(\d+)/(\d+)/(\d+)/(\d+)$};
    like($line->{times}, qr{^$number/$number/$number/$number/$number$}, 'times: five');
    my @all = split m{/}, $line->{times};
    is_deeply([@all[0 .. 3]], \@times, 'the first four are those of the attempt');
    my $sum = 0;
    $sum += $_ for @all[0 .. 3];
    cmp_ok($all[4], '>=', $sum, 'the total is no less than their sum');
    is($line->{replays}, 0, 'USHER_REPLAYS');
    is($line->{member}, $url_a, 'USHER_MEMBER');
    my ($sent, $received) = ($line->{bytes} // '') =~ m{^(\d+)/(\d+)$};
    is($received, length $sound, 'USHER_BYTES: what came, with the head');
    is($sent, length(($a->requests)[-1]{raw}), 'and what was sent');
};

subtest 'times are what they say' => sub {
    $a->on('/first', [stall(0.2), $sound]);
    # From what httpd saw: a stall may hide a part of the backend's.
    my $first;
    in_calm { $first = (split m{/}, told('/one/first')->{times})[2]; $first >= 190_000 };
    cmp_ok($first, '>=', 190_000, 'first: until the head, in microseconds');
    in_time($first / 1e6, 1.5, 'not more');
    $a->on('/body', [at($sound, length($sound) - 5, stall(0.2))]);
    my @times;
    in_calm { @times = split m{/}, told('/one/body')->{times}; $times[3] >= 190_000 };
    cmp_ok($times[3], '>=', 190_000, 'body');
    cmp_ok($times[4], '>=', 190_000, 'total');
    my $line = told('/one/ok');
    my $again = told('/one/ok', 'POST', 'some bytes');
    my ($sent, $received) = split m{/}, $again->{bytes};
    is($sent, length(($a->requests)[-1]{raw}) + 10, 'bytes: with the body');
};

subtest 'members by their URL' => sub {
    like(told('/path/ok')->{attempts}, qr{^\Q$url_b\E[^=]*=ok/}, 'host and port');
    my $line = told('/unix/ok');
    like($line->{attempts}, qr{^[^=]+=ok/$number/$number/$number/$number$}, 'a unix socket');
    is($line->{state}, '--', 'ended well');
    is(told('/two/ok')->{member}, $url_a, 'a member of a balancer');
};

subtest 'two attempts' => sub {
    $a->on('/cut', [cut]);
    $b->on('/cut', $sound);
    my $line = told('/two/cut');
    is($line->{state}, '--', 'state: it ended well');
    like($line->{attempts}, qr{^\Q$url_a\E=cut/$number/$number/-/-,\Q$url_b\E=ok/$number/$number/$number/$number$},
        'attempts: both, "-" where the first did not come so far');
    is($line->{replays}, 1, 'USHER_REPLAYS 1');
    is($line->{member}, $url_b, 'USHER_MEMBER: who answered');
    my ($last) = $line->{attempts} =~ m{,.*=ok/(.*)$};
    like($line->{times}, qr{^\Q$last\E/\d+$}, 'times: those of the attempt that answered');
};

subtest 'who ended it and when' => sub {
    my $cut = sub { return [at($sound, $_[0], cut)] };
    my @cases = (
        # state, outcome, play, method, body
        ['SH', 'cut', [cut]], ['SH', 'cut', $cut->(20)], ['SH', 'cut', [rst]],
        ['SD', 'cut', [at($sound, length($sound) - 3, stall(0.1), cut)]], ['SD', 'cut', [at($sound, length($sound) - 3, stall(0.1), rst)]],
        ['PH', 'malformed', ["no HTTP\r\n\r\n", stall]],
        ['PD', 'malformed', [http_answer(200, ['Transfer-Encoding' => 'chunked']) . "4\r\nbody\r\n", stall(0.1), "zz\r\n", stall]],
        ['sH', 'timeout', [stall]], ['sH', 'timeout', [at($sound, 20, stall)]], ['sD', 'timeout', [at($sound, length($sound) - 3, stall)]],
        ['--', 'ok', http_answer(500, [Connection => 'close'], 'x')], ['--', 'ok', http_answer(304, [], undef)],
    );
    for my $case (@cases) {
        my ($state, $outcome, $play) = @$case;
        my $uri = $outcome eq 'timeout' ? '/slow' : '/case';
        $a->on($uri, $play);
        for my $method (qw(GET POST)) {
            # Some ends come a moment after the head, and not with it.
            my $line;
            in_calm {
                $line = told("/one$uri", $method, $method eq 'POST' ? 'body' : undef);
                $line->{state} eq $state;
            };
            is($line->{state}, $state, "$method: $state");
            like($line->{attempts}, qr{^(?:\Q$url_a\E=(?:cut|stale)[^,]*,)?\Q$url_a\E=$outcome(?:/$time){4}$}, "$method: $outcome");
            like($line->{times}, qr{^$time/$time/$time/$time/$number$}, "$method: times");
        }
    }
    $b->stop;
    my $line = told('/path/ok');
    is($line->{state}, 'SC', 'refused: SC');
    like($line->{attempts}, qr{^\Q$url_b\E[^=]*=refused/$time/-/-/-$}, 'no time');
    like($line->{times}, qr{^$time/-/-/-/$number$}, 'but the total');
    $b->start;
};

subtest 'an error page from a backend' => sub {
    $a->on('/lost', cut);
    $a->on('/page', http_answer(200, [], 'a page of regret'));
    my $answer = ask($httpd, GET => '/doc/lost', ['X-Id' => 'doc']);
    # With the page's own status, as with mod_proxy_http without ProxyErrorOverride.
    is("$answer->{status} $answer->{body}", '200 a page of regret', 'the client gets it');
    my $line = logged($httpd, 'doc');
    is($line->{state}, 'SH', 'the log has what became of the request');
    like($line->{attempts}, qr{^\Q$url_a\E=cut/}, 'not of the page');
};

subtest 'what is not proxied' => sub {
    ask($httpd, GET => '/index.html', ['X-Id' => 'own']);
    my $line = logged($httpd, 'own');
    is("$line->{state} $line->{attempts} $line->{times}", 'LR - -', 'has nothing of it but that httpd answered');
};

$a->stop;
$b->stop;
$unix->stop;
$httpd->finish('httpd lives');
done_testing;
