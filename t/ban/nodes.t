# Nodes of httpd that share a database, a real one: who is banned at one is banned at all of them, at
# once; who is freed is free; two that ban the same one agree. A node that could not reach the
# database tells of its bans, and hears of others', when it can.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::BanKeep;
use Usher::SQL ();
use Usher::Wait;

sub state_of { return (ban_of(@_) // {})->{state} // '' }

# As UsherStore has it: no node need be restarted, and none asked.
sub same {
    my ($nodes, $prefix, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok +(wait_until {
        my @all = map { ban_of($_, $prefix) // {} } @$nodes;
        my %kinds = map { join(' ', map { $_ // '' } @$_{qw(state times events by name why stored)}) => 1 } @all;
        my @left = sort { $a <=> $b } map { $_->{left} // 0 } @all;
        keys %kinds == 1 && $all[0]{stored} && $left[-1] - $left[0] <= 3;
    } 60), $name;
}

# Both ban the same ones at the same moment.
sub race {
    my ($nodes) = @_;
    my @scanners = map { "127.0.0.$_" } 20 .. 25;
    my @pids;

    for my $node (@$nodes) {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            scan($node, $_, 3) for @scanners;
            require POSIX;
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }
    waitpid $_, 0 for @pids;
    for my $scanner (@scanners) {
        same($nodes, $scanner, "$scanner, whom two banned at once: they agree");
        is state_of($nodes->[0], $scanner), 'banned', 'that he is';
    }
    return;
}

sub cut_off {
    my ($sql, $nodes) = @_;

    $sql->freeze;
    scan($nodes->[0], '127.0.0.30', 3);
    ok banned_is($nodes->[0], '127.0.0.30', 'banned'), 'without a database a node bans for itself';
    is scan($nodes->[0], '127.0.0.30', 1, '/index.html'), 0, 'and turns away';
    $sql->thaw;
    same($nodes, '127.0.0.30', 'and tells of it when it is back');
    return;
}

for my $kind (qw(sqlite3 mysql pgsql)) {
    subtest $kind => sub {
        my $sql = Usher::SQL->start($kind);
        my @nodes = map { keep_httpd('UsherStore ' . $sql->url . "\n") } 1, 2;
        for my $node (@nodes) {
            $node->log->tolerate(qr/USHER10[678]\d/);
            ok $node->start, 'a node starts' or return diag $node->console;
        }
        scan($nodes[0], '127.0.0.9', 3);
        ok banned_is($nodes[1], '127.0.0.9', 'banned'), 'banned at one node, banned at the other one';
        same(\@nodes, '127.0.0.9', 'for as long');
        is scan($nodes[1], '127.0.0.9', 1, '/index.html'), 0, 'and turned away there';
        is scan($nodes[1], '127.0.0.8', 1, '/index.html'), 200, 'his neighbour is not';
        is guard($nodes[1])->call(PUT => '/bans/127.0.0.9', { for => '2d' })->{status}, 200, 'prolonged at the other one';
        ok +(wait_until { (ban_of($nodes[0], '127.0.0.9')->{left} // 0) > 86400 } 30), 'the first one hears of it';
        is guard($nodes[1])->call(DELETE => '/bans/127.0.0.9')->{status}, 200, 'freed there';
        ok banned_is($nodes[0], '127.0.0.9', undef), 'freed here';
        is scan($nodes[0], '127.0.0.9', 1, '/index.html'), 200, 'and served';

        race(\@nodes);
        cut_off($sql, \@nodes) if $kind eq 'pgsql';

        $nodes[1]->kill;
        scan($nodes[0], '127.0.0.10', 3);
        ok stored($nodes[0], '127.0.0.10'), 'the database has a ban that a killed node has not heard of';
        ok $nodes[1]->start, 'it starts again' or diag $nodes[1]->console;
        is state_of($nodes[1], '127.0.0.10'), 'banned', 'it knows at once what it has missed';
        my $bans = grep { / ban 127\.0\.0\.9 by="node"/ } $nodes[1]->log->lines;
        is $bans, 1, 'what another node did is said once';
        $_->finish('nothing else in the log') for @nodes;
    };
}
done_testing;
