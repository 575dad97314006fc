# usherctl members, against an httpd with usher-status.
use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Certs;
use Usher::Ctl;
use Usher::StatusTest;
use Usher::Wait;

my ($a, $b) = backends(qw(a b));
my ($A, $B) = map { $_->url } $a, $b;
my $app = "<Proxy balancer://app>\nProxySet lbmethod=usher-requests\nBalancerMember $A route=one\nBalancerMember $B route=two\n</Proxy>\nProxyPass / balancer://app/\n";

my $httpd = status_httpd($app);
ok $httpd->start, 'httpd starts' or diag $httpd->console;
row($httpd, 4);
my @at = ('--url', $httpd->url('/status'));
sub members { return usherctl('members', @_) }

my ($code, $out, $err) = members(@at);
is $code, 0, 'shown' or diag $err;
like $out, qr/^Usher on .*\n\nbalancer:\/\/app \(cluster\): 4 requests/m, 'the cluster';
like $out, qr/^  \Q$A\E +one +up +1 +100 +0 +- +2 +2 +0 +0 /m, 'and its members';
unlike $out, qr/token/, 'without a token';
is((members(@at, 'list'))[1] =~ s/ at 20.*//r, $out =~ s/ at 20.*//r, 'list is the same');
($code, $out) = members('--json', @at);
is(member(JSON::PP->new->decode($out), 'two')->{state}, 'up', '--json');

($code, $out, $err) = members(@at, qw(drain app one));
is "$code$err", '0', 'drain';
is $out, "balancer://app, $A: enabled -> drain; left: 0 requests, - sessions\n", 'and what is left';
is row($httpd, 8), 'b' x 8, 'it is so';
($code, $out) = members(@at, '-j', 'off', 'app', $A);
is(JSON::PP->new->decode($out)->{to}, 'off', 'off, as JSON');
is((members(qw(enable balancer://app one), @at))[0], 0, 'enable, options last');
is((members(@at, qw(weight app two 3)))[1], "balancer://app, $B: enabled -> enabled, weight 3; left: 0 requests, - sessions\n", 'weight');
like counts($httpd, 16), qr/^a:4 b:12$/, 'it is so';
is((members(@at, qw(weight app two default)))[0], 0, 'and the one of the configuration');

$httpd->log->tolerate(qr/USHER9011/);
for ([[qw(off nothing one)], qr/^unknown_cluster: /], [[qw(off app three)], qr/^unknown_member: /], [[qw(weight app one 1000)], qr/^bad_value: /],
    [['off', 'app&cluster=app', 'one&member=two'], qr/^unknown_cluster: /]) {
    ($code, $out, $err) = members(@at, @{ $_->[0] });
    is "$code$out", '1', "refused: @{ $_->[0] }";
    like $err, $_->[1], 'and told why';
}
is((members(@$_))[0], 2, "wrong usage: @$_") for ['nothing'], ['drain'], ['drain', 'app'], ['drain', 'app', 'one', 'two'], ['weight', 'app', 'one'],
    ['--url'], ['--nothing'], ['--url', 'file:///etc/passwd'], ['list', 'app'];
like((members('--help'))[1], qr/^usage: usherctl members/, '--help');
for (['nobody there', 'http://127.0.0.1:' . Usher::Wait::free_port() . '/status', qr/^usherctl: http:\S+: .*connect/i],
    ['a page that is none', $httpd->url('/elsewhere'), qr/answered 200, and that is not the status of Usher/]) {
    ($code, $out, $err) = members('--url', $_->[1]);
    is "$code$out", '1', "$_->[0]: failed";
    like $err, $_->[2], 'and told why';
}
$httpd->finish('nothing alarming in the log');

# A server that answers what it likes.
my $mad = Usher::Backend->new;
for my $case (
    ['text', '{"clusters":[{"name":"\u001b[2Jx","members":[{"url":"\u001b[31mred\u0007","state":["x"],"in_flight":"y"}, 7, null]}, "x", {}],"token":"a&action=off"}', 0],
    ['other types', '{"clusters":{"a":1}}', 0],
    ['nothing', '{}', 0],
    ['a list', '[1,2]', 1],
    ['garbage', "\0\1\2", 1],
    ['deep', '[' x 100_000, 1],
    ['another place', '{"clusters":[]}', 1, 302, [Location => 'file:///etc/passwd']],
) {
    $mad->clear;
    $mad->on(qr{.}, http_answer($case->[3] // 200, $case->[4] // [], $case->[1]));
    ($code, $out, $err) = members('--url', $mad->url . '/x');
    is $code, $case->[2], "$case->[0]: taken as it is";
    unlike $out . $err, qr/[^\n -~]/, 'only what can be printed';
    unlike $out, qr/root:/, 'nothing else is asked for';
}

# Over a unix socket
my $local = Usher::Backend->new(unix => 1);
$local->on(qr{^/status}, http_answer(200, [], '{"clusters":[],"server":"local"}'));
($code, $out, $err) = members('--url', 'http://whoever/status', '--unix-socket', $local->path);
like $out, qr/^Usher on local /, '--unix-socket' or diag $err;

# With TLS and a password
my $certs = Usher::Certs->new;
my $port = Usher::Wait::free_port();
my $tls = status_httpd(<<"EOT" . $app, modules => [qw(ssl)]);
Listen 127.0.0.1:$port
<VirtualHost *:$port>
    SSLEngine on
    SSLCertificateFile @{[ $certs->cert('good') ]}
    SSLCertificateKeyFile @{[ $certs->key('good') ]}
</VirtualHost>
<Location /status>
    SetHandler usher-status
    AuthType Basic
    AuthName status
    AuthUserFile \@ROOT\@/users
    Require valid-user
</Location>
EOT
open my $fh, '>', $tls->root . '/users' or die $!;
print $fh 'anna:' . crypt('s3 cret', '$1$salt') . "\n";
close $fh;
my ($right, $wrong) = (ctl_file('right', "s3 cret\n"), ctl_file('wrong', "secret\n"));
$tls->log->tolerate(qr/AH01617|ssl/);
ok $tls->start, 'an httpd with TLS and passwords' or diag $tls->console;
@at = ('--url', "https://127.0.0.1:$port/status");
($code, $out, $err) = members(@at);
is "$code$out", '1', 'an unknown authority is not trusted';
like $err, qr/certificate/i, 'and told';
is((members(@at, '--insecure'))[2], "usherctl: $at[1] answered 401, and that is not the status of Usher: log in with --user\n", '--insecure');
is((members(@at, '-k', '--user', 'anna', '--password', $wrong))[0], 1, 'a wrong password');
is((members(@at, '-k', '--user', 'anna', '--password', '/nowhere'))[0], 1, 'no password');
($code, $out, $err) = members(@at, '-k', '--user', 'anna', '--password', $right, qw(drain app two));
is $code, 0, '--user, --password' or diag $err;
ok +(grep { /USHER9010: usher-status: anna\@127\.0\.0\.1 switched/ } $tls->log->lines), 'the log tells who it was';
$tls->finish('nothing alarming in the log');

done_testing;
