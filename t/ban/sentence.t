# Sentences: several of one network, those among others who are never banned, who comes back, trials; and that
# bans and counts outlive restarts, other sizes of their memory, and children that are killed.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Client ();
use Usher::Httpd ();
use Usher::Wait;

sub conf {
    my (%opt) = @_;

    return <<"EOT";
UsherBanNever -loopback 127.0.0.1 127.0.12.200
UsherBanMode @{[ $opt{mode} // 'enforce' ]}
UsherBanLog \@ROOT\@/logs/bans
@{[ map { "UsherMemory $_ $opt{$_}\n" } grep { $opt{$_} } qw(bans ban-counts) ]}
UsherBanRule missing status=404 path=^/missing max=3 for=1h wider=4
UsherBanRule soon status=404 path=^/soon max=0 for=1s for-max=1h remember=1h wider=off
EOT
}

my $httpd = Usher::Httpd->new(conf => conf(), usher => [qw(usher usher_ban)]);

$httpd->log->tolerate(qr/USHER80\d\d|USHER10\d\d|AH1039[23]/);
$httpd->start or BAIL_OUT('httpd does not start: ' . $httpd->console);

# A request is counted a moment after its answer, but before its connection ends.
sub ask {
    my ($from, $uri) = @_;
    my $client = Usher::Client->new(port => $httpd->port, from => $from) or return 'refused';
    my $answer = $client->request('GET', $uri, [ Connection => 'close' ], undef);

    $client->read_all;
    $client->close;
    return $answer->{status} // $answer->{end};
}

sub is_refused { return ask($_[0], '/index.html') !~ /^\d/ }

sub misbehave {
    my ($from) = @_;

    ask($from, '/missing') for 1 .. 4;
    return;
}

# One test: an address is turned away, at once or a moment later.
sub banned {
    my ($from, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok +(wait_until { is_refused($from) } 30), $name;
}

sub free {
    my ($from, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return is ask($from, '/index.html'), 200, $name;
}

# Lines of UsherBanLog about an address or network.
sub lines {
    my ($prefix) = @_;

    open my $fh, '<', $httpd->root . '/logs/bans' or return;
    return grep { / \Q$prefix\E / } <$fh>;
}

# One test: the log has a line of him, at once or a moment later.
sub logged {
    my ($prefix, $like, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok +(wait_until { grep { /$like/ } lines($prefix) } 30), $name;
}

subtest 'several of one network' => sub {
    misbehave("127.0.11.$_") for 1 .. 3;
    banned("127.0.11.$_", "127.0.11.$_") for 1 .. 3;
    free('127.0.11.200', 'three are not a network');
    misbehave('127.0.11.4');
    banned('127.0.11.200', 'four are');
    free('127.0.13.1', 'the next network is another one');
    logged('127.0.11.0/24', qr/ ban .* by="rule missing" .* times=1 .* note="several of this network"/, 'and the log tells of it');
};

# By a proxy, as this machine has no such addresses.
subtest 'IPv6, with a rule as it is by default' => sub {
    my $behind = Usher::Httpd->new(modules => ['remoteip'], usher => [qw(usher usher_ban)], conf => <<'EOT');
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 127.0.0.1
UsherBanMode enforce
UsherBanRule missing status=404 max=1 for=1h
EOT
    my $of = sub {
        my $client = Usher::Client->new(port => $behind->port);
        return $client->request('GET', $_[1], [ 'X-Forwarded-For' => $_[0] ], undef)->{status};
    };

    $behind->log->tolerate(qr/USHER80\d\d/);
    ok $behind->start, 'starts' or return diag $behind->console;
    for my $n (1 .. 4) {
        is $of->("2001:db8:0:$n\::1", '/missing'), 404, "$n: once" for 1 .. 2;
        ok +(wait_until { $of->("2001:db8:0:$n\::2", '/index.html') == 403 } 30), "$n: the whole /64 is banned";
        is $of->('2001:db8:0:ff::1', '/index.html'), 200, 'others are not' if $n < 4;
    }
    ok +(wait_until { $of->('2001:db8:0:ff::1', '/index.html') == 403 } 30), 'after four the /56 is';
    is $of->('2001:db8:0:100::1', '/index.html'), 200, 'its neighbour is not';
    $behind->finish('nothing else in the log');
};

subtest 'somebody among them is never banned' => sub {
    misbehave("127.0.12.$_") for 1 .. 6;
    banned("127.0.12.$_", "127.0.12.$_") for 1 .. 6;
    free('127.0.12.100', 'others are not');
    misbehave('127.0.12.200');
    logged('127.0.12.200', qr/ spare /, 'what he does is logged');
    free('127.0.12.200', 'but he is not banned');
};

subtest 'who comes back' => sub {
    for my $time (1 .. 2) {
        ask('127.0.14.1', '/soon');
        ok +(wait_until { grep { /times=$time / } lines('127.0.14.1') } 30), "banned, time $time";
        ok +(wait_until { !is_refused('127.0.14.1') } 60), 'and free again';
    }
};

subtest 'a graceful restart, and memory of another size' => sub {
    my $from = '127.0.15.1';

    misbehave('127.0.15.9');
    banned('127.0.15.9', 'banned');
    is ask($from, '/missing'), 404, 'half of what would ban him' for 1 .. 2;
    ok $httpd->graceful, 'a graceful restart';
    banned('127.0.15.9', 'still banned');
    $httpd->conf(conf(bans => '1M', 'ban-counts' => '128K'));
    ok $httpd->graceful, 'another one, with other sizes';
    banned('127.0.15.9', 'still banned');
    free($from, 'he is not yet');
    is ask($from, '/missing'), 404, 'the other half' for 1 .. 2;
    banned($from, 'then he is');
};

subtest 'children are killed' => sub {
    for my $round (1 .. 2) {
        my $from = "127.0.16.$round";

        misbehave($from);
        banned($from, 'banned');
        my @children = $httpd->children;
        kill 'KILL', @children;
        ok +(wait_until { ask('127.0.0.1', '/index.html') eq '200' } 60), 'httpd serves again';
        banned($from, 'still banned');
    }
};

subtest 'a rule that only logs' => sub {
    my $from = '127.0.17.1';

    $httpd->conf(conf(mode => 'log'));
    ok $httpd->graceful, 'UsherBanMode log';
    banned('127.0.15.9', 'who is banned stays so');
    misbehave($from) for 1 .. 3;
    logged($from, qr/ would-ban /, 'who would be is logged');
    is grep({ / would-ban / } lines($from)), 1, 'once';
    free($from, 'but he is not');
    $httpd->conf(conf());
    ok $httpd->graceful, 'UsherBanMode enforce';
    free($from, 'a trial bans nobody later');
    misbehave($from);
    banned($from, 'what he does now does');
    logged($from, qr/ ban .* times=1 /, 'for the first time');
};

$httpd->finish('httpd');
done_testing;
