# usherctl bans, against a server that says what it likes: what is asked, how it is signed, and
# what becomes of the answers. What httpd makes of it is t/ban/handler.t's.
use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256_base64 sha1_hex sha256_base64);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;
use Usher::Backend;
use Usher::Ctl;
use Usher::Wait;

my $secret = join '', map { chr(7 * $_ % 256) } 1 .. 32;
my $keys = ctl_file('keys', "# of the proxy\nother " . encode_base64('x' x 32, '') . " guards\nops.1 " . encode_base64($secret, '') . " guards\n");
chmod 0600, $keys;
my $server = Usher::Backend->new;
my $json = JSON::PP->new->canonical->utf8;
my %ban = (prefix => '192.0.2.7', state => 'banned', since => '2026-11-22T18:13:36+00:00', until => '2026-11-22T19:13:36+00:00',
    left => 3541, forgotten => '2026-12-22T19:13:36+00:00', times => 1, events => 6, by => 'rule', name => 'wp', why => 'GET /wp-login.php',
    stored => JSON::PP::true);

# (code, out, err, the request that came) when the server answers so.
sub bans {
    my ($status, $answer, @args) = @_;

    $server->clear;
    $server->on(qr{.}, http_answer($status, [], ref $answer ? $json->encode($answer) : $answer));
    my @told = usherctl('bans', '--url', $server->url . '/usher-ban', @args);
    return (@told, ($server->requests)[-1]);
}

sub field {
    my ($asked, $name) = @_;
    return (map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $asked->{headers} })[0];
}

subtest 'what is shown' => sub {
    my ($code, $out, $err, $asked) = bans(200, { bans => [\%ban, { %ban, prefix => '2001:db8::/64', until => undef, left => undef, by => 'hand', name => 'ops' }],
        more => JSON::PP::true });
    is "$code$err", '0', 'a list';
    is $out, <<'EOT', 'as a table';
PREFIX         STATE   UNTIL                      SECONDS  TIMES  EVENTS  BY    NAME  WHY
192.0.2.7      banned  2026-11-22T19:13:36+00:00     3541      1       6  rule  wp    GET /wp-login.php
2001:db8::/64  banned  -                                -      1       6  hand  ops   GET /wp-login.php
and more: --limit
EOT
    is "$asked->{method} $asked->{uri}", 'GET /usher-ban/bans?all=0', 'what was asked';
    is field($asked, 'Signature'), undef, 'and it is not signed';
    ($code, $out, $err, $asked) = bans(200, { bans => [] }, '--all', '--limit', '5', '--rule', 'a&b', 'list', '192.0.2.0/24');
    is "$code$out", "0no bans\n", 'none';
    is $asked->{uri}, '/usher-ban/bans?all=1&limit=5&name=a%26b&within=192.0.2.0/24', 'some of them';
    ($code, $out, $err, $asked) = bans(200, { prefix => '192.0.2.7', message => 'is banned', ban => \%ban, proxy => JSON::PP::false },
        'explain', '192.0.2.7');
    is "$asked->{method} $asked->{uri}", 'GET /usher-ban/bans/192.0.2.7', 'explain';
    like $out, qr/^192\.0\.2\.7: is banned\n  proxy +no\nban\n.*^  events +6\n.*^  stored +yes\n/ms, 'and all of it';
    like((bans(200, { bans => [\%ban] }, '--json'))[1], qr/"prefix": "192\.0\.2\.7"/, '--json');
};

# RFC 9421 by another implementation
subtest 'what is signed' => sub {
    for my $case ([[qw(add 2001:db8::/64 forever), "a \"reason\" \x{c3}\x{bc}"], 'PUT', '/usher-ban/bans/2001:db8::/64'],
        [[qw(add 192.0.2.7 1h)], 'PUT', '/usher-ban/bans/192.0.2.7'], [[qw(remove 192.0.2.7)], 'DELETE', '/usher-ban/bans/192.0.2.7']) {
        my ($args, $method, $path) = @$case;
        my ($code, $out, $err, $asked) = bans(200, { prefix => $path =~ s{.*bans/}{}r, message => 'is so', ban => undef }, '--key', "$keys:ops.1", @$args);
        is "$code$err", '0', "@$args[0, 1]" or next;
        is "$asked->{method} $asked->{uri}", "$method $path", 'what was asked';
        my ($params) = field($asked, 'Signature-Input') =~ /^sig=(.*)/;
        like $params, qr/;created=\d+;nonce="[0-9a-f]{32}";keyid="ops\.1";alg="hmac-sha256"$/, 'its parameters';
        my @lines = (qq("\@method": $method), '"@authority": 127.0.0.1:' . $server->port, qq("\@path": $path), '"@query": ?');
        if ($method eq 'PUT') {
            my $body = $json->encode({ for => $args->[2], why => $args->[3] ? "a \"reason\" \x{fc}" : '' });
            my $digest = 'sha-256=:' . sha256_base64($body) . '=:';
            is field($asked, 'Content-Digest'), $digest, 'the digest fits the body';
            is $asked->{sha1}, sha1_hex($body), 'which says it all';
            is field($asked, 'Content-Type'), 'application/json', 'as JSON';
            push @lines, qq("content-digest": $digest);
        }
        my $mac = hmac_sha256_base64(join("\n", @lines, qq("\@signature-params": $params)), $secret);
        is field($asked, 'Signature'), "sig=:$mac=:", 'the signature fits';
    }
    isnt field((bans(200, {}, '-K', "$keys:ops.1", qw(remove 192.0.2.7)))[3], 'Signature-Input'),
        field((bans(200, {}, '-K', "$keys:ops.1", qw(remove 192.0.2.7)))[3], 'Signature-Input'), 'never twice the same';
};

subtest 'what is refused' => sub {
    my $error = { error => { code => 'never-banned', message => "it may never be banned: \e[2J" } };
    my ($code, $out, $err) = bans(409, $error, '--key', "$keys:ops.1", qw(add 192.0.2.7 1h));
    is "$code$out", '1', 'by the server';
    is $err, "usherctl: never-banned: it may never be banned: \\x1b[2J\n", 'and told why, without what a terminal would obey';
    ($code, $out, $err) = bans(401, { error => { code => 'unsigned', message => 'no signature' } }, qw(remove 192.0.2.7));
    is $err, "usherctl: unsigned: no signature: --key\n", 'a change without a key: what to do';
    for (['list', 'list'], ['bans that are none', 'list', bans => { active => 1 }], ['explain', 'explain', '192.0.2.7']) {
        my ($name, $what, @rest) = @$_;
        my ($status, $said, $why) = bans(200, { clusters => [], @rest == 2 ? @rest : () }, $what, @rest == 1 ? @rest : ());
        is "$status$said", '1', "another handler, $name: not taken for usher-ban";
        like $why, qr/answered 200, and that is not usher-ban: name its place with --url/, 'and told so';
    }
    like((bans(403, '<html>no</html>'))[2], qr/answered 403, and that is not usher-ban: it does not let you in \(Require\)/, 'no Require');
    my $open = ctl_file('open', "ops " . encode_base64($secret, '') . " guards\n");
    chmod 0644, $open;
    my $broken = ctl_file('broken', "ops short guards\n");
    chmod 0600, $broken;
    for (["$keys:nobody", qr/it has no key "nobody"/], [$keys, qr/a key is FILE:KEYID/], ['/nowhere:ops', qr/there is no such file/],
        ["$open:ops", qr/mode|access|others/], ["$broken:ops", qr/line 1: /]) {
        $server->clear;
        ($code, $out, $err) = usherctl('bans', '--url', $server->url, '--key', $_->[0], qw(remove 192.0.2.7));
        is "$code$out", '1', "key $_->[0]";
        like $err, $_->[1], 'and told why';
        unlike $err, qr/short|\Q@{[ encode_base64($secret, '') ]}/, 'nothing of what is in the file';
        is scalar($server->requests), 0, 'nothing is asked';
    }
    is((usherctl('bans', @$_))[0], 2, "wrong usage: @$_") for ['nothing'], ['add', '192.0.2.7'], ['add', '192.0.2.7', '1h', 'a', 'b'], ['explain'],
        ['remove', 'x/../y'], ['explain', '192.0.2.7/24'], ['list', '2001:db8::1/64'], ['--url'], ['--nothing'], ['--url', 'file:///etc/passwd'];
    like((usherctl('bans', '--help'))[1], qr/^usage: usherctl bans/, '--help');
    is((usherctl('bans', '--url', 'http://127.0.0.1:' . Usher::Wait::free_port()))[0], 1, 'nobody there');
};

subtest 'answers that are none' => sub {
    for my $case (['text', '{"bans":[{"prefix":"\u001b[2Jx","why":"\u001b[31mred\u0007\u2028","left":"y","times":[1],"until":{}},7,"x",null]}'],
        ['other types', '{"bans":{"a":1}}'], ['nothing', '{}'], ['a list', '[1,2]'], ['garbage', "\0\1\2"], ['deep', '[' x 100_000],
        ['a number', '{"ban":7,"prefix":[],"message":{}}']) {
        for my $args ([], ['explain', '192.0.2.7'], ['--key', "$keys:ops.1", 'remove', '192.0.2.7'], ['--json']) {
            my ($code, $out, $err) = bans(200, $case->[1], @$args);
            cmp_ok $code, '>=', 0, "$case->[0], @$args: no crash";
            unlike $out . $err, qr/[^\n -~]/, 'only what can be printed';
        }
    }
};

done_testing;
