# Three nodes of httpd that share a database, a real one: all of them know the same members,
# whichever of them was told; a node or the database that is killed or stopped in the middle of
# registrations costs nobody's membership and no client's request. In check-long each database is
# both stopped and killed.
use strict;
use warnings FATAL => 'all';

use List::Util qw(min);
use Test::More;
use Usher::Asker ();
use Usher::Client ();
use Usher::CrowdTest;
use Usher::Load::Backend ();
use Usher::Signed ();
use Usher::SQL ();
use Usher::Wait;

my $long = $ENV{USHER_LONG};
my @backends = map { Usher::Load::Backend->new($_) } qw(one two);
$_->start for @backends;

sub node {
    my ($store) = @_;

    return crowd_httpd("UsherStore $store\n", \@backends, usher => [qw(usher usher_backend usher_balancer usher_register)]);
}

my (@nodes, $crowd);

sub same {
    my ($when, @which) = @_;

    for my $i (@which ? @which : 0 .. $#nodes) {
        my @wrong;
        my $since = Usher::Asker::now();
        do {
            my $next = Usher::Asker::now() + 0.1;
            $crowd->idle(sub { Usher::Asker::now() < $next });
            @wrong = $crowd->differences($nodes[$i]->port);
        } while (@wrong && Usher::Asker::now() < $since + patient(60));
        is_deeply [@wrong[0 .. min($#wrong, 9)]], [], sprintf '%s: node %d knows who is there (%.1f s)', $when, $i + 1, Usher::Asker::now() - $since;
    }
    return;
}

sub signed { return crowd_signed($nodes[$_[0]]) }

# A node goes on without its database: serves, renews leases, and says of what must last that it cannot now.
sub cut_off {
    my ($what) = @_;
    my $one = $crowd->{members}[0]{route};

    for my $i (0 .. $#nodes) {
        is(Usher::Client->get($nodes[$i]->port, '/?id=x')->{status}, 200, "$what: node " . ($i + 1) . ' serves');
        is signed($i)->heartbeat('app', $one)->{status}, 200, 'and takes heartbeats';
    }
    my $answer;
    wait_until { $answer = signed(0)->put('app', 'late', { url => $backends[0]->url }); $answer->{status} == 503 } 30;
    is "$answer->{status} " . Usher::Signed::code($answer), '503 store-down', 'who wants to register is told to come again';
    is(Usher::Client->get($nodes[0]->port, '/?id=x')->{status}, 200, 'it still serves');
    return;
}

# It may have become true, or not: as with any answer that was lost.
sub back {
    my ($what) = @_;
    ok((wait_until { signed(0)->put('app', 'late', { url => $backends[0]->url })->{status} =~ /^20[01]$/ } 60),
        "$what: it is registered");
    for my $i (1, 2) {
        ok((wait_until { signed($i)->show('app', 'late')->{status} == 200 } 60), 'the others hear of it');
    }
    ok((wait_until { signed(1)->remove('app', 'late')->{status} == 204 } 60), 'and it signs out');
    return same($what);
}

sub stop_database {
    my ($sql) = @_;

    $sql->freeze;
    cut_off('the database is stopped');
    $sql->thaw;
    return back('it goes on');
}

sub kill_database {
    my ($sql) = @_;

    $crowd->churn(0.3, 0.02);
    $sql->kill;
    cut_off('the database is killed');
    ok $sql->launch->wait_up, 'the database starts again';
    $crowd->settle;
    return back('it is there again');
}

for my $kind (qw(mysql pgsql)) {
    subtest $kind => sub {
        my $sql = Usher::SQL->start($kind);
        @nodes = map { node($sql->url) } 1 .. 3;
        for my $node (@nodes) {
            ok $node->start, 'a node starts' or return diag $node->console;
            $node->log->tolerate(qr/AH00098|usher-register:|USHER60\d\d|USHER10[6-9]\d|USHER2\d\d\d|USHER3\d\d\d/);
        }
        $crowd = crowd_of(\@nodes, \@backends, members => 12, spread => 1, heartbeat => 1, lease => 60, tries => 500);
        $crowd->join_all;
        same('who signed in at one node');

        # One node is told what another one signed in.
        ok((wait_until { signed(0)->put('app', 'shared', { url => $backends[0]->url })->{status} =~ /^20[01]$/ } 30), 'signed in at one node');
        ok((wait_until { signed(1)->drain('app', 'shared', { deadline => 60 })->{status} == 200 } 30), 'drained at the second');
        ok((wait_until { (signed(2)->show('app', 'shared')->{json}{state} // '') eq 'draining' } 30), 'which the third knows');
        ok((wait_until { signed(2)->remove('app', 'shared')->{status} == 204 } 30), 'signed out there');
        same('signed out');

        # A node is killed while they come and go.
        $crowd->churn(0.5, 0.02);
        $nodes[2]->kill;
        $crowd->churn(0.5, 0.02);
        ok $nodes[2]->start, 'a node that was killed starts again';
        $crowd->settle;
        same('a node was killed');
        is_deeply [$crowd->wrong], [], 'nobody was refused';

        stop_database($sql) if $long || $kind eq 'mysql';
        kill_database($sql) if $long || $kind eq 'pgsql';
        is_deeply [$crowd->wrong], [], 'nobody was refused';
        undef $crowd;
        for my $node (@nodes) {
            my $down = grep { /store/ && /:(?:error|crit|alert|warn)\]/ } $node->log->lines;
            cmp_ok $down, '<', 12, 'the log does not repeat it' or diag join "\n", $node->log->lines;
            $node->finish('nothing else in the log');
        }
        @nodes = ();
    };
}
$_->stop for @backends;
done_testing;
