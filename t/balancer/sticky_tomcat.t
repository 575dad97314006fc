# Two real Tomcats that know nothing of each other's sessions, behind two httpd nodes that share
# nothing but a key file: each user's counter goes up without a gap, over AJP and HTTP, through
# graceful restarts, new keys and a drain; and begins anew only where a Tomcat was killed.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::Env ();
use Usher::Httpd ();
use Usher::Sticky;
use Usher::Tomcat ();
use Usher::Wait;

my $missing = Usher::Tomcat->missing;
plan skip_all => $missing if $missing;

# One visit of a user: his cookies go along, and the answer's are kept. Returns route and counter.
sub turn {
    my ($user, $httpd) = @_;
    my $answer = Usher::Client->get($httpd->port, '/', [%{ $user->{jar} } ? (Cookie => join '; ', map { "$_=$user->{jar}{$_}" } sort keys %{ $user->{jar} }) : ()]);

    for my $set ($answer->{head} =~ /^Set-Cookie: (.*?)\r$/mig) {
        $user->{jar}{$1} = $2 if $set =~ /^([^=]+)=([^;]*)/;
    }
    my %page = ($answer->{body} // '') =~ /^(\w+): (.*)$/mg;
    return ($page{route} // $answer->{status} // $answer->{end}, $page{count} // 0);
}

# All users visit in turn, by each of the nodes: what goes wrong, as text.
sub gaps {
    my ($users, @nodes) = @_;
    my @wrong;

    for my $user (@$users) {
        for my $node (@nodes) {
            my ($route, $count) = turn($user, $node);
            push @wrong, "user $user->{n}: $route $count after $user->{route} $user->{count}" if $route ne $user->{route} || $count != $user->{count} + 1;
            @$user{qw(route count)} = ($route, $count);
        }
    }
    return join "\n", @wrong;
}

my %tomcats;
my $standin = grep { $_ eq 'standin' } modes();
for my $case (['http', 'stock'], $standin ? (['http', 'standin'], ['ajp', 'standin']) : ()) {
    my ($proto, $mode) = @$case;

    subtest "$proto, $mode" => sub {
        my %tomcat = %{ $tomcats{$proto} //= { map { $_ => Usher::Tomcat->start(proto => $proto, route => $_) } qw(one two) } };
        my $secret = $proto eq 'ajp' ? ' secret=' . $tomcat{one}->secret : '';
        my $keys = key_file(1);
        my $conf = sub {
            my (%status) = @_;
            return balancer_conf("<Proxy balancer://app>\n" . join('', map { "BalancerMember " . $tomcat{$_}->url . " route=$_ retry=1$secret $status{$_}\n" } sort keys %tomcat)
                . "ProxySet lbmethod=usher\nUsherStickyCookie APPSRV\nUsherStickyKeys $keys\n</Proxy>\nProxyPass / balancer://app/\n"
                . ($mode eq 'standin' ? "UsherBackendRest rest=1s slowstart=0\n" : ''));
        };
        my @nodes = map { balancer_httpd($mode, '') } 1 .. 2;
        for my $node (@nodes) {
            $node->conf($conf->(one => '', two => ''));
            ok $node->start, 'a node starts' or diag $node->console;
        }
        my @users = map { { n => $_, jar => {} } } 1 .. 8;
        for my $user (@users) {
            # Eight users that are spread: the first visit makes the session.
            @$user{qw(route count)} = turn($user, $nodes[ $user->{n} % 2 ]);
            is $user->{count}, 1, "user $user->{n} has a session at $user->{route}";
        }
        my %at = map { $_->{route} => 1 } @users;
        for (1 .. 40) { # both have some
            last if 2 == keys %at;
            push @users, { n => @users + 1, jar => {} };
            @{ $users[-1] }{qw(route count)} = turn($users[-1], $nodes[0]);
            $at{ $users[-1]{route} } = 1;
        }
        is join(' ', sort keys %at), 'one two', 'both serve';
        is gaps(\@users, @nodes, @nodes), '', 'all go on, by either node';
        ok $_->graceful, 'a graceful restart' for @nodes;
        is gaps(\@users, @nodes), '', 'no gap';
        Usher::Sticky::write_keys($keys, 2, 1);
        ok $_->graceful, 'a new key' for @nodes;
        is gaps(\@users, @nodes), '', 'no gap';
        Usher::Sticky::write_keys($keys, 2);
        ok $_->graceful, 'the old one is gone' for @nodes;
        is gaps(\@users, @nodes), '', 'no gap';
        for my $node (@nodes) {
            $node->conf($conf->(one => 'status=+N', two => ''));
            ok $node->graceful, 'one drains';
        }
        is gaps(\@users, @nodes), '', 'no gap';
        is join(' ', map { (turn({ jar => {} }, $nodes[0]))[0] } 1 .. 4), 'two two two two', 'new users go to two';
        for my $node (@nodes) {
            $node->conf($conf->(one => '', two => ''));
            ok $node->graceful, 'it does no longer';
        }
        my ($there, $here) = ([grep { $_->{route} eq 'one' } @users], [grep { $_->{route} eq 'two' } @users]);
        $_->log->tolerate(qr/USHER2\d\d\d|USHER30(?:08|10)|AH0095[79]|AH01114|AH00940|AH00992|AH01167|AH01102/) for @nodes;
        $tomcat{one}->kill;
        is gaps($here, @nodes), '', 'one is killed: the users of two see nothing of it';
        for my $user (@$there) {
            my ($route, $count) = turn($user, $nodes[0]);
            is "$route $count", 'two 1', "user $user->{n} of one begins anew at two";
            @$user{qw(route count)} = ($route, $count);
        }
        $tomcat{one}->launch;
        ok $tomcat{one}->wait_up, 'one comes back';
        my $seen = wait_until { grep { (turn({ jar => {} }, $nodes[0]))[0] eq 'one' } 1 .. 4 } 30;
        ok $seen, 'and gets new users';
        is gaps(\@users, @nodes, @nodes), '', 'whoever has a session stays where it is';
        $_->finish('log') for @nodes;
    };
}
done_testing;
