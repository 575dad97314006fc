# The handler usher-ban and usherctl bans: who may look, who may change, and that what is changed is so.
use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use Test::More;
use Usher::Client;
use Usher::Ctl;
use Usher::Httpd;
use Usher::Signed;
use Usher::Wait;

my %policy = (ops => 'guards', 'ops.2' => 'guards', tomcat => 'tomcats', boss => 'operators');
my $place = <<'EOT';
<Location /usher-ban>
    SetHandler usher-ban
    Require local
</Location>
EOT
my $keys = <<'EOT';
UsherRegisterKeys @ROOT@/register.keys
UsherRegisterPolicy guards bans
UsherRegisterPolicy tomcats
UsherRegisterPolicy operators admin bans
<Location /usher-register>
    SetHandler usher-register
    Require local
</Location>
EOT
my $never = "UsherBanNever -loopback -own 127.0.0.1\n";

sub secret { return substr "the secret of $_[0]" . '.' x 32, 0, 32 }

# With what stands behind it proxied to nobody: nothing of the handler is.
sub ban_httpd {
    my ($conf, @usher) = @_;
    my $httpd = Usher::Httpd->new(conf => $conf, modules => [qw(proxy authz_host)], usher => ['usher', @usher]);
    my $umask = umask 077;

    open my $fh, '>', $httpd->root . '/register.keys' or die $!;
    print $fh map { Usher::Signed::key_line($_, secret($_), $policy{$_}) } sort keys %policy;
    close $fh;
    umask $umask;
    return $httpd;
}

my $trap = "UsherBanRule trap path=^/index method=DELETE max=0 mode=enforce\n";
my $httpd = ban_httpd("${trap}ProxyPass /index.html !\nProxyPass / http://127.0.0.1:1/\n$place$keys$never", qw(usher_register usher_ban));
ok $httpd->start, 'httpd starts' or diag $httpd->console;
$httpd->log->tolerate(qr/usher-ban|usher-register|USHER8043/);

sub signer { my ($keyid, %opt) = @_; return Usher::Signed->new(port => $httpd->port, keyid => $keyid, secret => secret($keyid), location => '/usher-ban', %opt) }
my $ops = signer('ops');

# Without a signature.
sub ask {
    my ($path, $method, @headers) = @_;
    my $client = Usher::Client->new(port => $httpd->port) // die 'connect';
    $client->send(($method // 'GET') . " $path HTTP/1.1\r\nHost: 127.0.0.1:" . $httpd->port . "\r\n" . join('', map { "$_\r\n" } @headers) . "\r\n");
    my $answer = $client->answer(head => ($method // '') eq 'HEAD');
    $answer->{json} = eval { JSON::PP->new->utf8->decode($answer->{body}) };
    return $answer;
}
sub code { return Usher::Signed::code($_[0]) }
sub bans { return [sort map { $_->{prefix} } @{ ask("/usher-ban/bans$_[0]")->{json}{bans} }] }

# "200", or how the connection ended.
sub page_from {
    my ($from) = @_;
    my $client = Usher::Client->new(port => $httpd->port, from => $from) // return 'refused';
    $client->send("GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return $client->answer->{status} || 'closed';
}

subtest 'who may' => sub {
    is ask('/usher-ban')->{status}, 200, 'anybody whom Require lets in may look';
    is code($ops->call(PUT => '/bans/127.0.0.9', { for => '1h' }, signature => undef)), 'unsigned', 'no signature, no change';
    is code($ops->call(PUT => '/bans/127.0.0.9', { for => '1h' }, secret => 'x' x 32)), 'bad-signature', 'a wrong one';
    is code($ops->call(PUT => '/bans/127.0.0.9', { for => '1h' }, sent => { target => '/usher-ban/bans/127.0.0.8' })), 'bad-signature', 'of another address';
    is code(signer('tomcat')->call(PUT => '/bans/127.0.0.9', { for => '1h' })), 'forbidden-bans', 'a key without "bans"';
    ok $httpd->log->wait_for(qr/USHER8085: usher-ban: tomcat may not ban or free anybody/), 'and it is logged';
    is code(signer('tomcat')->call(DELETE => '/bans/127.0.0.9')), 'forbidden-bans', 'it frees nobody either';
    is $ops->call(PUT => '/bans/127.0.0.9', { for => '1h' }, headers => [Origin => 'http://evil.test'])->{status}, 403, 'a page of another site';
    my $text = $ops->text(DELETE => '/bans/127.0.0.9');
    is code($ops->send($text)), 'unknown-ban', 'a right one';
    is code($ops->send($text)), 'replayed', 'but once';
    is code(signer('ops', location => '/usher-register')->put('app', 'one', { url => 'http://self:8080' })), 'forbidden-cluster',
        'a key for bans signs no members in';
    isnt code(signer('boss', location => '/usher-register')->put('app', 'one', { url => 'http://self:8080' })), 'forbidden-cluster',
        "an operator's might";
    is_deeply bans('?all=1'), [], 'nothing has changed';
    is page_from('127.0.0.9'), 200, 'nobody is turned away';
};

subtest 'what is not understood' => sub {
    is code($ops->call(PUT => '/bans/127.0.0.9', undef, raw => $_)), 'bad-value', "body $_"
        for '', '{}', '{"for":7}', '{"for":"soon"}', '{"for":"10ms"}', '{"for":"1h","whose":"x"}', '{"for":"1h","why":7}', '[]', '{"for":"1h"', '[' x 1000;
    is code($ops->call(PUT => '/bans/127.0.0.9', undef, raw => '{"for":"1h","why":"' . 'x' x 1024 . '"}')), 'body-too-large', 'a long body';
    is code(ask("/usher-ban/bans/$_")), 'bad-value', "prefix $_" for 'x', '127.0.0.9/24', '127.0.0.9/33', '127.0.0', '2001:db8::1/64', '127.0.0.9/', '0.0.0.0/0', '127.0.0.9/32/1';
    is code(ask("/usher-ban/bans?$_")), 'bad-value', "parameter $_" for 'al=1', 'limit=x', 'limit=', 'all=2', 'within=7';
    is code(ask("/usher-ban/bans/$_")), 'unknown-path', "path $_" for '127.0.0%2E9', './127.0.0.9';
    is ask('/usher-ban/bans/127.0.0.9', 'POST', 'Content-Length: 0')->{status}, 405, 'POST';
    is ask('/usher-ban/bans', 'DELETE')->{status}, 405, 'DELETE of all';
    is ask('/usher-ban/bans', 'HEAD')->{status}, 200, 'HEAD';
};

subtest 'spared' => sub {
    my $client = Usher::Client->new(port => $httpd->port, from => '127.0.6.1') // die 'connect';
    $httpd->log->tolerate(qr/USHER8021/);
    $client->send("DELETE /index.html HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    is $client->answer->{status}, 405, 'a client with the headers of a proxy, that a rule would ban';
    my $message = sub { ask('/usher-ban/bans/127.0.6.1')->{json}{message} };
    ok +(wait_until { $message->() =~ /looks like a proxy that is not declared \(UsherBanUndeclared\)/ } 30), 'explained';
    is_deeply bans(''), [], 'it is not banned';
};

subtest 'banned, shown, freed' => sub {
    my $answer = $ops->call(PUT => '/bans/127.0.0.9', { for => '1h', why => "says\n\x{fc} <b>" });
    is $answer->{status}, 200, 'banned' or diag $answer->{body};
    my $ban = $answer->{json}{ban};
    is_deeply [@$ban{qw(prefix state by name times events why)}, $ban->{stored} ? 1 : 0],
        ['127.0.0.9', 'banned', 'hand', 'ops', 1, 0, 'says\x0a\xc3\xbc <b>', 1], 'and how';
    ok $ban->{left} > 3500 && $ban->{left} <= 3600, 'for how long';
    like $ban->{until}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/, 'until when';
    ok +(wait_until { page_from('127.0.0.9') eq 'closed' } 10), 'it is turned away';
    is page_from($_), 200, "its neighbour $_ is not" for qw(127.0.0.8 127.0.0.10 127.0.0.1);
    is_deeply bans(''), ['127.0.0.9'], 'it is in the list';
    my $explained = ask('/usher-ban/bans/127.0.0.9')->{json};
    is "$explained->{prefix} $explained->{message}", '127.0.0.9 is banned', 'and explained';
    is ask('/usher-ban/bans/127.0.0.8')->{json}{message}, 'is not banned', 'as is another';
    my $counts = ask('/usher-ban')->{json};
    ok $counts->{bans}{active} == 1 && $counts->{refused}{connections} >= 1 && $counts->{bans}{room} > 1, 'it is counted';
    is $ops->call(PUT => '/bans/127.0.0.9', { for => 'forever' })->{json}{ban}{until}, undef, 'now for ever';
    is ask('/usher-ban/bans/127.0.0.9')->{json}{ban}{left}, undef, 'and so it is';
    is signer('ops.2')->call(PUT => '/bans/127.0.0.9', { for => '2m' })->{json}{ban}{name}, 'ops-2', 'now shorter, by somebody else';
    is ask('/usher-ban/bans/127.0.0.9')->{json}{ban}{times}, 1, 'it is one ban still';
    is $ops->call(DELETE => '/bans/127.0.0.9')->{json}{message}, 'is free, and its past is forgotten', 'freed';
    ok +(wait_until { page_from('127.0.0.9') eq '200' } 10), 'it comes in again';
    is_deeply bans('?all=1'), [], 'nothing is left of it';
    ok +(grep { /127\.0\.0\.9\b.*key ops\b.*from 127\.0\.0\.1/ } $httpd->log->lines), 'the log tells who it was';
};

subtest 'prefixes' => sub {
    is $ops->call(PUT => "/bans/$_", { for => '1h', why => 'net' })->{status}, 200, $_ for '127.0.7.0/24', '2001:db8:7::/64', '192.0.2.1';
    is page_from('127.0.7.3'), 'closed', 'all of it is turned away';
    is ask('/usher-ban/bans/127.0.7.3')->{json}{ban}{prefix}, '127.0.7.0/24', 'as is explained';
    is ask('/usher-ban/bans/127.0.6.0/23')->{json}{inside}, 1, 'a wider one tells of it';
    like $ops->call(DELETE => '/bans/127.0.7.3')->{json}{error}{message}, qr{falls under the ban of 127\.0\.7\.0/24}, 'a part cannot be freed';
    is_deeply bans(''), ['127.0.7.0/24', '192.0.2.1', '2001:db8:7::/64'], 'the list';
    is_deeply bans('?within=127.0.0.0/8'), ['127.0.7.0/24'], 'of a prefix';
    is_deeply bans('?name=nobody'), [], 'of nobody';
    is_deeply bans('?name=ops&within=127.0.0.0/8'), ['127.0.7.0/24'], 'of somebody';
    my $some = ask('/usher-ban/bans?limit=2')->{json};
    is scalar @{ $some->{bans} } . ($some->{more} ? ' and more' : ''), '2 and more', 'some of it';
    ok !ask('/usher-ban/bans?limit=3')->{json}{more}, 'all of it';
    is $ops->call(DELETE => "/bans/$_")->{status}, 200, "$_ is freed" for @{ bans('') };
};

subtest 'who may not be banned' => sub {
    like $ops->call(PUT => '/bans/127.0.0.1', { for => '1h' })->{body}, qr/"never-banned".*UsherBanNever/, 'one of the never-list';
    is code($ops->call(PUT => "/bans/$_", { for => '1h' })), 'never-banned', "$_, which has one in it" for '127.0.0.0/30', '127.0.0.0/8';
    is code(signer('ops', from => '127.0.0.6')->call(PUT => "/bans/$_", { for => '1h' })), 'yourself', "oneself by $_" for '127.0.0.6', '127.0.0.6/31';
    like ask('/usher-ban/bans/127.0.0.1')->{json}{message}, qr/never banned/, 'explained';
    is_deeply bans('?all=1'), [], 'nobody is';
};

subtest 'usherctl' => sub {
    my @at = ('--url', $httpd->url('/usher-ban'));
    my @key = ('--key', $httpd->root . '/register.keys:ops');
    my ($code, $out, $err) = usherctl('bans', @at, @key, qw(add 127.0.0.9 1h), 'by hand');
    is "$code$err", '0', 'add';
    like $out, qr/^127\.0\.0\.9: is banned\nban\n.*^  why +by hand$/ms, 'is told';
    is page_from('127.0.0.9'), 'closed', 'and is so';
    like((usherctl('bans', @at))[1], qr/^127\.0\.0\.9 +banned .* hand +ops +by hand$/m, 'list');
    like((usherctl('bans', @at, qw(explain 127.0.0.9)))[1], qr/^127\.0\.0\.9: is banned\n  proxy +no\n/, 'explain');
    ($code, $out, $err) = usherctl('bans', @at, qw(remove 127.0.0.9));
    like "$code$out$err", qr/^1usherctl: unsigned: .*: --key\n$/, 'remove without a key';
    is((usherctl('bans', @at, @key, qw(remove 127.0.0.9)))[1], "127.0.0.9: is free, and its past is forgotten\n", 'remove');
    ok +(wait_until { page_from('127.0.0.9') eq '200' } 10), 'is so';
    is((usherctl('bans', @at))[1], "no bans\n", 'none');
};

subtest 'while the store is down' => sub {
    my $file = $httpd->root . '/state/store.journal';
    my $is = sub { (eval { ask('/usher-ban') } // {})->{json}{store}{up} ? 'up' : 'down' };

    is $ops->call(PUT => '/bans/127.0.0.9', { for => '1h' })->{status}, 200, 'one is banned';
    rename $file, "$file.away" or die "$file: $!";
    mkdir $file or die "$file: $!";
    kill KILL => $httpd->children; # who has it open goes on
    ok +(wait_until { $is->() eq 'down' } 30), 'it is down';
    my $answer = $ops->call(PUT => '/bans/127.0.0.8', { for => '1h' });
    is "$answer->{status} " . code($answer), '503 store-down', 'nobody can be banned by hand';
    ok +(grep { lc $_->[0] eq 'retry-after' } @{ $answer->{headers} }), 'but later';
    is code($ops->call(DELETE => '/bans/127.0.0.9')), 'store-down', 'nor freed';
    is_deeply bans(''), ['127.0.0.9'], 'what is, is so';
    rmdir $file or die "$file: $!";
    rename "$file.away", $file or die "$file: $!";
    ok +(wait_until { $is->() eq 'up' } 30), 'it is back';
    ok +(wait_until { code($ops->call(DELETE => '/bans/127.0.0.9')) =~ /^(?:|unknown-ban)$/ } 30), 'he is freed';
    ok +(wait_until { page_from('127.0.0.9') eq '200' } 10), 'and comes in';
    $httpd->log->tolerate(qr/USHER10(?:18|[67])|exit signal Killed|AH1039[23]/);
};
$httpd->finish('nothing alarming in the log');

subtest 'without keys' => sub {
    my $bare = ban_httpd($place . $never, 'usher_ban');
    $bare->log->tolerate(qr/usher-ban/);
    ok $bare->start, 'httpd without mod_usher_register' or diag $bare->console;
    ($httpd, my $was) = ($bare, $httpd);
    is code(signer('ops')->call(PUT => '/bans/127.0.0.9', { for => '1h' })), 'no-keys', 'no changes';
    is ask('/usher-ban/bans')->{status}, 200, 'looks';
    $bare->finish('nothing alarming in the log');
    $httpd = $was;
};

subtest 'without Require' => sub {
    my $open = ban_httpd("<Location /usher-ban>\nSetHandler usher-ban\n</Location>\n", 'usher_ban');
    my ($code, $out) = $open->configtest;
    isnt $code, 0, 'refused by configtest';
    like $out, qr/SetHandler usher-ban has to stand in a <Location> section with a Require of its own/, 'and why';
};

done_testing;
