# Members that signed themselves in are seen and switched as static ones are: in the status, by
# usherctl, in the access log; and what the balancer answers to who signs them in.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::CoreTest;
use Usher::Ctl;
use Usher::StatusTest;
use Usher::Wait;

my ($a, $b, $c, $d) = backends(qw(a b c d));
my ($A, $B, $C, $D) = map { $_->url } $a, $b, $c, $d;

sub cluster {
    my ($name, @more) = @_;

    return join "\n", "<Proxy balancer://$name>", 'ProxySet lbmethod=usher-requests', 'UsherCheck tcp interval=200ms timeout=20s slowstart=0', @more,
        '</Proxy>', '';
}

# A listener that is taken, and answers no check.
my $port = free_port();
my $main = cluster('app', "BalancerMember $A route=one") . "ProxyPass / balancer://app/\n";
my $hosts = join '', map { "<VirtualHost *:$_->[1]>\nServerName $_->[0].example.com\n" . cluster('two') . "ProxyPass / balancer://two/\n</VirtualHost>\n" }
    ['x', free_port()], ['y', free_port()];
my $httpd = status_httpd($main . $hosts . qq{CustomLog "logs/usher" "%{member}^US %{cluster}^US %U"\n}, modules => ['log_config'],
    usher => [qw(usher usher_balancer usher_backend usher_log ushertest usher_status)]);
ok $httpd->start, 'starts' or diag $httpd->console;

sub told { my ($what, @args) = @_; return ask($httpd, "$what=" . join ',', @args) }
sub registered { return member(status($httpd), $_[0]) }

subtest 'who may join' => sub {
    my $may = sub { my $is = told(may => @_); return join ' ', $is->{may}, $is->{text} =~ /canonical:(\S+)/ };
    is $may->('app'), 'ok app', 'a cluster';
    is $may->('App'), 'ok app', 'in any letters';
    is $may->('ap'), 'no_cluster -', 'none';
    is $may->('appp'), 'no_cluster -', 'none';
    is $may->('two'), 'ambiguous -', 'one that two hosts have';
    is $may->('two@x.example.com'), 'ok two@x.example.com', 'one of them';
    is $may->('two@z.example.com'), 'no_cluster -', 'none of them';
    is $may->('app', 'two', $B), 'ok app', 'a member';
    is $may->('app', 'two', 'ajp://127.0.0.1:8009'), 'ok app', 'by AJP';
    is $may->('app', 'two', "fcgi://127.0.0.1:1"), 'no_scheme app', 'nobody serves that';
    is $may->('app', 'two', "https://127.0.0.1:1"), 'no_scheme app', 'nor https without mod_ssl';
    is $may->('app', 'two', "nothing"), 'no_scheme app', 'nor what is no URL';
    is $may->('app', 'one', $B), 'route_taken app', 'a route of a BalancerMember';
    is $may->('app', 'two', $A), 'own_url app', 'a URL of a BalancerMember';
    is $may->('app', 'two', $A =~ s/^http/ws/r), 'own_url app', 'by any scheme';
    is $may->('app', 'two', $A =~ s/^http/ajp/r), 'ok app', 'but AJP is another server';
};

subtest 'how it does' => sub {
    is told(how => 'app', 'two')->{check}, 'unknown', 'of one that is not there nothing is known';
    is told(how => 'none', 'two')->{known}, 0, 'of no cluster';
    told(join => 'app', 'two', $B, 'owner=tc', 'weight=1');
    ok +(wait_until { told(how => 'app', 'two')->{check} eq 'up' } 30), 'up after its check';
    ok +(wait_until { counts($httpd, 8) =~ /b:4/ } 30), 'it serves';
    cmp_ok told(how => 'app', 'two')->{elected}, '>=', 4, 'requests are counted';
    told(join => 'app', 'dead', "http://127.0.0.1:$port");
    ok +(wait_until { my $is = told(how => 'app', 'dead'); $is->{text} =~ /reason: \S/ && $is->{check} ne 'up' } 30), 'why it is not';
};

subtest 'the status' => sub {
    my $two = registered('two');
    is "$two->{source} $two->{state} $two->{url}", "registered up $B", 'a registered member';
    is_deeply [@{ $two->{registration} }{qw(owner lease drain_in load)}], ['tc', 3600, undef, undef], 'what it has signed in with';
    cmp_ok $two->{registration}{expires_in}, '>', 3500, 'its lease';
    like $two->{registration}{registered}, qr/^20\d\d-/, 'when';
    is $two->{weight}, 1, 'its weight';
    is registered('one')->{source} . (registered('one')->{registration} // '-'), 'static-', 'a static one';
    my $dead = registered('dead');
    like $dead->{state}, qr/^(?:checking|check failed)$/, 'one that has not proved that it serves';
    like $dead->{why}, qr/first check/, 'and why it does not';
    my $text = status_get($httpd)->{content};
    like $text, qr/^  MEMBER +ROUTE +OWNER +LEASE +STATE /m, 'columns of them';
    like $text, qr/^  \Q$B\E +two +tc +3\d\d\d +up +1 /m, 'a line';
    like $text, qr/^  \Q$A\E +one +- +- +up +1 /m, 'a static one beside it';
    is scalar(() = $text =~ /OWNER/g), 1, 'no such columns where nobody has signed in';
    told(leave => 'app', 'dead');
    ok !registered('dead')->{url}, 'who has left is not shown';
};

subtest 'switched' => sub {
    is change($httpd, 'app', 'two', 'drain')->{json}{to}, 'drain', 'drained';
    is registered('two')->{state}, 'draining', 'it is so';
    is row($httpd, 8), 'a' x 8, 'no new requests';
    my $text = change($httpd, 'app', $B, 'weight', 3)->{json}{to};
    is $text, 'drain, weight 3', 'another weight, by its URL';
    is change($httpd, 'app', 'two', 'enable')->{json}{to}, 'enabled, weight 3', 'enabled';
    is counts($httpd, 16), 'a:4 b:12', 'it is so, in all children';
    my @at = ('--url', $httpd->url('/status'));
    is((usherctl('members', @at, qw(weight app two default)))[0], 0, 'by usherctl as well');
    like((usherctl('members', @at))[1], qr/^  \Q$B\E +two +tc +3\d\d\d +up +1 /m, 'which shows it');
    is((usherctl('members', @at, qw(off app two)))[0], 0, 'off');
    is row($httpd, 4), 'a' x 4, 'it is so';
    usherctl('members', @at, qw(enable app two));
};

subtest 'signing out' => sub {
    told(join => 'app', 'two', $B, 'owner=tc', 'drain=600000');
    ok +(wait_until { registered('two')->{state} eq 'draining' } 30), 'draining';
    like registered('two')->{why}, qr/^signs out, in another \d+ s/, 'for how long';
    cmp_ok registered('two')->{registration}{drain_in}, '>', 500, 'in seconds';
    ok +(wait_until { row($httpd, 4) eq 'a' x 4 } 30), 'no new requests';
    told(leave => 'app', 'two');
    ok !registered('two')->{url}, 'gone';
};

subtest 'hosts that have one name' => sub {
    told(join => 'two@x.example.com', 'r', $C);
    told(join => 'two@y.example.com', 'r', $D);
    my %by = map { my $cluster = $_; map { ($cluster->{server} =~ /^(\w)/)[0] . " $_->{url}" => 1 } @{ $cluster->{members} } }
        grep { $_->{name} eq 'balancer://two' } @{ status($httpd)->{clusters} };
    is_deeply [sort keys %by], ["x $C", "y $D"], 'each has its own member, of one route';
    ok +(wait_until { told(how => 'two@y.example.com', 'r')->{check} eq 'up' } 30), 'which is checked';
};

subtest 'the access log' => sub {
    my $lines = sub { open my $file, '<', $httpd->root . '/logs/usher' or return ''; local $/; return readline($file) // '' };
    ok +(wait_until { $lines->() =~ /^two app \/$/m } 30), 'names the registered member' or diag $lines->();
};

$httpd->log->expect(qr/USHER3045: balancer:\/\/app: \S+:$port is down/);
$httpd->finish('nothing alarming in the log');

done_testing;
