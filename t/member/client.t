# usher-member's commands, against a server that checks signatures by itself.
use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;
use Usher::Env ();
use Usher::MemberServer;
use Usher::MemberTest;
use Usher::Wait;

my $key = secret_bytes();
my $server = Usher::MemberServer->new(keys => { tomcat1 => $key, long => $key x 4, short => 'x' x 16 });
my $config = member_config(PROXY => $server->url);
my $at = $server->url;

sub said {
    my ($body) = @_;

    return JSON::PP->new->canonical->encode(JSON::PP->new->decode($body));
}
sub last_request { return ($server->requests)[-1] }

# All commands in all shells
cmp_ok scalar(shells()), '>=', 2, 'dash and busybox are there';
for my $shell (shells()) {
    shell(@$shell);
    my $in = "@$shell";
    for my $case (
        ['register',   'PUT /usher-register/members/app/tomcat1', '{"url":"ajp://self:8009"}'],
        ['heartbeat',  'POST /usher-register/members/app/tomcat1/heartbeat', '{}'],
        ['status',     'GET /usher-register/members/app/tomcat1', ''],
        ['drain',      'POST /usher-register/members/app/tomcat1/drain', '{"deadline":60}'],
        ['deregister', 'DELETE /usher-register/members/app/tomcat1', ''],
        ['check',      'GET /usher-register/members/app/tomcat1', ''],
    ) {
        my ($code, $out, $err) = member($config, $case->[0]);
        my $r = last_request();
        is $code, 0, "$in: $case->[0]" or diag $err;
        is $r->{wrong}, '', "$in: $case->[0] is signed";
        is "$r->{method} $r->{uri}", $case->[1], 'and is what was meant';
        is $r->{body}, $case->[2], 'with this body';
        is $err, '', 'nothing on stderr';
        is $out, '', 'nothing is told' if $case->[0] !~ /status|check/;
        like $out, qr{^\Q$at\E: app/tomcat1 ajp://self:8009 up, weight 1, 0 requests, 0 sessions, lease ends in 20 s$}, 'status tells' if $case->[0] eq 'status';
        like $out, qr{the key is accepted; app/tomcat1 is not registered\n.*reached from 127.0.0.1; its clock is -?[0-9] s ahead}s, 'check tells' if $case->[0] eq 'check';
    }
    # A key longer than a block of SHA-256, and one that has another length
    for my $id (qw(long short)) {
        my $other = member_config(PROXY => $at, KEY_ID => $id, KEY => encode_base64($id eq 'long' ? $key x 4 : 'x' x 16, ''));
        is((member($other, 'register'))[0], 0, "$in: a $id key");
    }
}

# All that a member can say
shell('dash');
my $more = member_config(PROXY => $at, WEIGHT => 5, LEASE => '1m', CHECK => '"/health?x=\\1"', LABELS => 'zone=a,rack=7 "b"', SECRET => 'p&"w\\d $HOME `id`',
    URL => 'http://auto:8080');
is((member($more, 'register', '-v'))[0], 0, 'a member with everything');
is said(last_request()->{body}), '{"check":"/health?x=\\\\1","labels":{"rack":"7 \"b\"","zone":"a"},"lease":60,"secret":"p&\"w\\\\d $HOME `id`","url":"http://127.0.0.1:8080","weight":5}',
    'is said as it was written, with the address that was found';
like((member($more, 'status'))[1], qr/up, weight 5/, 'labels do not mislead the reader');
is((member($config, 'heartbeat', '--load', '0.75', '--weight', 7))[0], 0, 'heartbeat with load and weight');
is last_request()->{body}, '{"load":0.75,"weight":7}', 'as given';
is((member($config, qw(drain 5m)))[0], 0, 'drain with a time');
is last_request()->{body}, '{"deadline":300}', 'in seconds';
my ($code, $out, $err) = member($config, 'heartbeat', '-v');
like $err, qr{^usher-member: \Q$at\E: app/tomcat1 .* draining, .*, removed in 300 s}m, '-v tells';

# A key in a file of its own; the address to connect to
my $keyfile = member_file('key', encode_base64($key, '') . "\n");
my $elsewhere = "http://www.example.test:" . $server->port . "/usher-register 127.0.0.1";
($code, $out, $err) = member(member_config(PROXY => $elsewhere, KEY => undef, KEY_FILE => $keyfile), 'register');
is "$code$err", '0', 'KEY_FILE, PROXY with an address';
is last_request()->{field}{host}, 'www.example.test:' . $server->port, 'signed for its own name';

# drain -w
$server->on(qr/./, sessions => 3, times => 3);
$server->on(qr/./, requests => 1, times => 1);
is((member($config, 'register'))[0], 0, 'registered');
($code, $out, $err) = member($config, qw(drain -w 60));
is "$code$err", '0', 'drain -w waits until nothing is left';
cmp_ok scalar(grep { $_->{method} eq 'GET' } ($server->requests)[-2 .. -1]), '>', 0, 'it has asked';
$server->on(qr/./, sessions => 3);
($code, $out, $err) = member($config, qw(drain -w 1));
is $code, 5, 'or the time is over';
like $err, qr/1 s are over, with 0 requests and 3 sessions left/, 'and told';
$server->clear;

# What a proxy refuses
my $before = sub { my $n = $server->requests; return sub { $server->requests - $n } };
for my $case (
    [403, 'forbidden-port',    1, qr/refused, forbidden-port: because of the test$/m, 1],
    [403, 'forbidden-address', 1, qr/this server's address there is 127\.0\.0\.1; URL=ajp:\/\/self:8009/, 1],
    [401, 'unknown-key',       1, qr/KEY_ID=tomcat1 of \S+ has to be in the file of UsherRegisterKeys/, 1],
    [409, 'route-taken',       1, qr/route-taken/, 1],
    [409, 'conflict',          3, qr/conflict/, 2],
    [503, 'store-down',        3, qr/store-down/, 2],
    [429, 'too-many-failures', 3, qr/too-many-failures/, 2],
) {
    my ($status, $error, $want, $words, $tries) = @$case;
    my $new = $before->();
    $server->on(qr/^PUT/, status => $status, code => $error);
    ($code, $out, $err) = member($config, qw(-t 2 register));
    is $code, $want, "$error: exit code";
    like $err, $words, 'told, with a remedy';
    is $new->(), $tries, "$tries tries";
    $server->clear;
}
$server->on(qr/^PUT/, status => 401, code => 'stale', date => 'Sun, 06 Nov 1994 08:49:37 GMT');
like((member($config, 'register'))[2], qr/refused, stale: .* \(here it is \w{3}, \d\d \w{3} 20\d\d \S+ GMT, there Sun, 06 Nov 1994 08:49:37 GMT: set the clocks\)/, 'stale: both times');
$server->on(qr/./, date => 'Sun, 06 Nov 1994 08:49:37 GMT');
my ($ahead) = (member($config, 'check'))[1] =~ /its clock is (-\d+) s ahead/;
ok abs(time + $ahead - 784111777) < 120, 'check: the clock in seconds' or diag $ahead;
$server->clear;
$server->on(qr/./, status => 503, code => 'store-down', times => 2);
is((member($config, 'register'))[0], 0, 'once it is able again, a try succeeds');
is((member(member_config(PROXY => $at, KEY => encode_base64('y' x 32, '')), 'register'))[0], 1, 'a wrong key is refused');

# Several proxies
my $second = Usher::MemberServer->new(keys => { tomcat1 => $key });
my $dead = 'http://127.0.0.1:' . free_port() . '/usher-register';
for my $case (
    ['both',                      0, $at, $second->url],
    ['one of them is dead',       4, $dead, $at],
    ['both are dead',             3, $dead, "$dead/2"],
    ['one dead, one refuses',     1, $dead, $at . '/nothing'],
) {
    my ($name, $want, @proxies) = @$case;
    ($code, $out, $err) = member(member_config(PROXY => \@proxies), qw(-t 1 register));
    is $code, $want, "several proxies: $name";
    like $err, qr/^usher-member: \Q$dead\E: cannot be reached: Failed to connect/m, 'which one is told' if $want;
}
is scalar($second->requests(qr/^PUT/)), 1, 'the second one was told';

# Answers that are none
for my $case (
    ['another page', "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<html>nothing</html>", 1, qr/answered 404, and that is no answer of usher-register: is the path/],
    ['nothing', '', 3, qr/cannot be reached: Empty reply/],
    ['garbage', "\0\1\2\r\n\r\n", 3, qr/cannot be reached/],
    ['too long', "HTTP/1.1 200 OK\r\n\r\n" . 'x' x 500_000, 3, qr/cannot be reached/],
    ['escapes', qq(HTTP/1.1 403 No\r\n\r\n{"error":{"code":"x\e[31m","message":"\\"a\\" \e]0;b\a\\u001b \xc3\xa4"}}), 1, qr/refused, x\[31m: "a" \]0;b/],
) {
    $server->on(qr/./, raw => $case->[1]);
    ($code, $out, $err) = member($config, qw(-t 1 register));
    is $code, $case->[2], "$case->[0]: exit code";
    like $err, $case->[3], 'and told';
    unlike $err, qr/[^\n -~]/, 'only what can be printed';
    $server->clear;
}

# The configuration is not run, and refused where it is wrong.
my $mark = member_file('mark', '');
unlink $mark;
for my $case (
    [{ KEY => undef }, qr/KEY= is missing: the key in base64/],
    [{ KEY => 'AAAA' }, qr/the key is not base64 of 16 bytes/],
    [{ KEY => "\$(touch $mark)" }, qr/the key is not base64/],
    [{ ROUTE => "`touch $mark`" }, qr/ROUTE=.* is not a name/],
    [{ CLUSTER => 'a/b' }, qr/CLUSTER=a\/b is not a name/],
    [{ PROXY => undef }, qr/PROXY= is missing/],
    [{ PROXY => 'ftp://a/b' }, qr/PROXY=ftp:\/\/a\/b is no URL/],
    [{ PROXY => 'https://www.example.com' }, qr/is no URL such as/],
    [{ PROXY => "$at/../x" }, qr/no path with/],
    [{ PROXY => "$at?x=\"y\"" }, qr/letters, digits/],
    [{ URL => 'tomcat' }, qr/is no URL with a port/],
    [{ WEIGHT => 'much' }, qr/WEIGHT=much is no number/],
    [{ LEASE => '1y' }, qr/LEASE=1y is no time/],
    [{ LABELS => 'a' }, qr/LABELS=a is not/],
    [{ CERTIFICATE => '/nowhere' }, qr/cannot be read|one of them/],
    [{ CA_FILE => '/nowhere' }, qr/CA_FILE/],
    [{ WIEGHT => 1 }, qr/line \d+: WIEGHT is not known/],
    [{ SECRET => 'a', SECRET_NAME => 'b' }, qr/one of them/],
    [{ READY => 'yes' }, qr/READY=yes is not/],
    [{ PATH => '/nowhere' }, qr/PATH is not known/],
    [{ ROUTE => "a\eb" }, qr/line \d+ has a control character/],
    [{ KEY_FILE => '/nowhere' }, qr/\/nowhere is not there/],
) {
    my ($name) = keys %{ $case->[0] };
    ($code, $out, $err) = member(member_config(PROXY => $at, %{ $case->[0] }), 'register');
    is $code, 2, "$name: a wrong value is refused";
    like $err, $case->[1], 'and told' or diag $err;
}
ok !-e $mark, 'nothing of it was run';
for my $mode (0604, 0620, 0602, 0644, 0660) {
    chmod $mode, $config;
    ($code, $out, $err) = member($config, 'status');
    is $code, 2, sprintf 'a configuration with rights %04o is refused', $mode;
    like $err, qr/chmod 600/, 'with the remedy';
}
chmod 0640, $config;
isnt((member($config, 'register'))[0], 2, 'its group may read it');
chmod 0644, $keyfile;
is((member(member_config(PROXY => $at, KEY => undef, KEY_FILE => $keyfile), 'status'))[0], 2, 'a KEY_FILE that all can read is refused');
is((member('/nowhere/member.conf', 'status'))[0], 2, 'no configuration');
is((member(member_file('x.conf', "nonsense\n"), 'status'))[0], 2, 'no NAME=VALUE');

# Usage
is((member($config, @$_))[0], 2, "wrong usage: @$_")
    for [], ['nothing'], ['--nothing', 'status'], ['status', 'now'], ['-c'], ['-t', 'x', 'status'], ['-w', 'status'], ['--load', 'much', 'heartbeat'],
    ['--load', '1', 'register'], ['-p', 'x', 'status'], ['drain', 'soon'], ['drain', '1', '2'];
like((member(undef, '--help'))[1], qr/^usage: usher-member .*Exit codes: 0 done/s, '--help');

# What comes with it
my $member = Usher::Env::srcdir() . '/member';
my ($version) = slurp(Usher::Env::srcdir() . '/configure.ac') =~ /^AC_INIT\(\[usher\], \[([^\]]+)\]\)/m;
is((member(undef, '--version'))[1], "usher-member $version\n", 'its version is that of Usher');
like slurp("$member/usher-member.8"), qr/^\.TH .*"Usher \Q$version\E"/, 'and that of its page';
is qx(mandoc -Tlint -W warning '$member/usher-member.8' 2>&1), '', 'the page is good roff';
my ($known) = slurp("$member/usher-member") =~ /^set_option\(\) \{\n(.*?)^\}/ms;
for my $name ($known =~ /^        ([A-Z_]+)\)/gm) {
    for my $file ("$member/usher-member.8", Usher::Env::srcdir() . '/docs/usher-member.md') {
        like slurp($file), qr/\b$name\b/, "$name is in " . $file =~ s{.*/}{}r;
    }
}
(my $sample = slurp("$member/usher-member.conf.sample")) =~ s/^#(?=[A-Z_]+=)//gm;
$sample =~ s/^(?:CA_FILE|SECRET_FILE|KEY)=.*\n//gm;
is((member(member_file('sample.conf', $sample . 'KEY=' . encode_base64($key, '') . "\n"), 'check', '-n'))[2], '', 'the sample is good, with all of its lines');
(my $web = slurp("$member/examples/webapp.conf")) =~ s/^KEY_FILE=.*/KEY=@{[ encode_base64($key, '') ]}/m;
is((member(member_file('web.conf', $web), 'check', '-n'))[2], '', 'so is the example');

sub slurp {
    my ($file) = @_;

    open my $fh, '<', $file or die "$file: $!";
    local $/;
    return scalar <$fh>;
}

done_testing;
