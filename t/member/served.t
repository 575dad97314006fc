# usher-member and mod_usher_register: servers come, serve and go, and no request is lost.
use strict;
use warnings FATAL => 'all';

use MIME::Base64 qw(encode_base64);
use Test::More;
use Usher::BalancerTest;
use Usher::MemberTest;
use Usher::RegisterTest;
use Usher::Wait;

my ($a, $b) = backends(qw(a b));

# The configuration of a server whose application is $backend.
sub config_of {
    my ($httpd, $backend, %more) = @_;

    return member_config(PROXY => 'http://127.0.0.1:' . $httpd->port . '/usher-register', URL => 'http://self:' . $backend->port, ROUTE => 'a',
        KEY_ID => 'one', KEY => encode_base64(Usher::RegisterTest::_secret('one'), ''), LEASE => 10 * patience, DRAIN => 20 * patience, READY => undef, %more);
}

sub answers { return join '', sort keys %{ { map { $_ => 1 } map { who($_[0]) } 1 .. 12 } } }

my $httpd = register_httpd("");
ok $httpd->start, 'httpd starts' or diag $httpd->console;
my $signer = signer($httpd, 'one');
my $A = config_of($httpd, $a);
my $at = 'http://127.0.0.1:' . $httpd->port . '/usher-register';

# The commands one by one
my ($code, $out, $err);
# It asks the application for a second at most.
ok((in_calm { ($code, $out, $err) = member($A, 'check'); $code == 0 }), 'check') or diag $out, $err;
like $out, qr{^application: tcp://127.0.0.1:\d+ answers\n\Q$at\E: the key is accepted; app/a is not registered\n.* -?[0-9] s ahead}, 'all is well, and it is not there';
is((member($A, 'register'))[0], 0, 'register');
ok state_is($signer, 'a', 'up'), 'it is up';
is answers($httpd), 'a', 'and serves';
is((member($A, qw(heartbeat --load 0.5 --weight 3)))[0], 0, 'heartbeat');
like((member($A, 'status'))[1], qr{^\Q$at\E: app/a http://127\.0\.0\.1:\d+ up, weight 3, 0 requests, \d+ sessions, lease ends in \d+ s$}, 'status');
my $labelled = config_of($httpd, $a, LABELS => 'state=down,zone=b "c" \\d', WEIGHT => 2, CHECK => '/x y');
($code, $out, $err) = member($labelled, 'register');
is $code, 1, 'what mod_usher_register refuses is refused';
like $err, qr{^usher-member: \Q$at\E: refused, bad-value: .*check}, 'with its words';
$labelled = config_of($httpd, $a, LABELS => 'state=down,zone=b "c" \\d', WEIGHT => 2);
is((member($labelled, 'register'))[0], 0, 'labels');
is_deeply $signer->show('app', 'a')->{json}{labels}, { state => 'down', zone => 'b "c" \\d' }, 'come as they are';
like((member($labelled, 'status'))[1], qr/ up, weight 2/, 'and do not hide the state');
is((member($A, 'drain', '-w', '60'))[0], 0, 'drain -w');
is state_of($signer, 'a'), 'draining', 'it drains';
is((member($A, 'register'))[0], 0, 'and comes back');
is state_of($signer, 'a') =~ s/checking/up/r, 'up', 'to serve';
is((member($A, 'deregister'))[0], 0, 'deregister');
is state_of($signer, 'a'), '', 'it is gone';
is((member($A, 'deregister'))[0], 0, 'which can be said again');
is((member($A, 'heartbeat'))[0], 1, 'a heartbeat is for those that are there');

# What is refused
quiet($httpd);
for my $case (
    ['a wrong key', { KEY => encode_base64('x' x 32, '') }, qr/bad-signature: .*\(the key of \S+ is not that of one/],
    ['an unknown key', { KEY_ID => 'nobody' }, qr/unknown-key: .*UsherRegisterKeys/],
    ['an unknown cluster', { CLUSTER => 'nowhere' }, qr/refused, (?:unknown|forbidden)-cluster/],
    ['another scheme', { URL => 'ws://self:' . $a->port }, qr/refused, forbidden-scheme/],
    ['a port', { URL => 'http://self:80' }, qr/refused, forbidden-port/],
    ['an address', { URL => 'http://192.0.2.1:8080' }, qr/refused, forbidden-address: .* 127\.0\.0\.1; URL=/],
    ['a weight', { WEIGHT => 60 }, qr/refused, forbidden-weight/],
) {
    my ($name, $set, $words) = @$case;
    ($code, $out, $err) = member(config_of($httpd, $a, READY => 'none', %$set), 'register');
    is $code, 1, "$name: refused";
    like $err, $words, 'and told why';
}

# Two servers, one of which is restarted under load, at two proxies of which one is dead
my $dead = 'http://127.0.0.1:' . free_port() . '/usher-register';
shell('busybox', 'sh');
my $first = member_run(config_of($httpd, $a, LOAD => 'system'));
shell('dash');
my $second = member_run(config_of($httpd, $b, ROUTE => 'b', PROXY => [$at, $dead]));
ok state_is($signer, $_, 'up'), "$_ signs in" for qw(a b);
ok wait_until(sub { defined $signer->show('app', 'a')->{json}{load} }), 'its heartbeats come, with its load';
my %got;
$first->signal('TERM');
until (!$first->running) { ++$got{ who($httpd) } }
is $first->code, 0, 'a drains and ends' or diag $first->text;
like $first->text, qr{registered app/a .* draining, .*deregistered app/a\n\z}s, 'in good order';
++$got{ who($httpd) } for 1 .. 5;
is_deeply [grep { !/^[ab]$/ } keys %got], [], 'no request was lost';
is state_of($signer, 'a'), '', 'it is gone';
is who($httpd), 'b', 'the other one serves';
$first = member_run($A);
ok state_is($signer, 'a', 'up'), 'and comes again';

# httpd is restarted: all are there again, by its store or by themselves.
ok $httpd->graceful, 'httpd restarts gracefully';
is join(' ', map { state_of($signer, $_) } qw(a b)), 'up up', 'both are there';
$httpd->stop;
ok wait_until(sub { $first->text =~ /\Q$at\E: cannot be reached/ }), 'httpd is stopped: told once';
ok $httpd->start, 'and started again';
ok state_is($signer, $_, 'up'), "$_ is there again" for qw(a b);
ok wait_until(sub { $first->text =~ /reached again|registered app\/a.*registered app\/a/s }), 'and knows it' or diag $first->text;

# The application dies before it: nobody is waited for.
$b->stop;
$second->signal('TERM');
is $second->code, 4, 'signed out where it could be';
is state_of($signer, 'b'), '', 'there';

# Killed, it sends nothing more.
$first->signal('KILL');
is $first->code, -1, 'killed';
# After a start of httpd leases last for a minute at least.
ok wait_until(sub { grep { m{app/a has sent no heartbeat} } $httpd->log->lines }, 100), 'its lease ends' if $ENV{USHER_LONG};
$httpd->finish('nothing alarming in the log');

done_testing;
