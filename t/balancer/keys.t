# UsherStickyKeys: which key files are refused, that a bad one at a restart leaves the keys
# as they were, and that a change takes effect without a restart where it may be read.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Ctl;
use Usher::Wait;

my ($a) = backends('a');
my $dir = dirname(ctl_file('here', ''));
my $key = 'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE';
my $nobody = (getpwnam 'nobody')[2];

# A file that httpd may use.
sub key_file {
    my ($text, $mode) = @_;
    my $path = ctl_file('keys', $text);

    chmod $mode // 0600, $path;
    return $path;
}

# Its children may read it as well.
sub open_to_children {
    my ($path) = @_;

    chown $nobody, -1, $path if $> == 0;
    return $path;
}

# At once: who looks at any moment finds all of it, or what was there before.
sub spoil {
    my ($path) = @_;

    rename open_to_children(key_file("garbage\n")), $path or die "$path: $!";
    return;
}

sub cluster {
    my ($keys) = @_;
    return "<Proxy balancer://app>\nProxySet lbmethod=usher\nBalancerMember " . $a->url . "\n$keys\n</Proxy>\nProxyPass / balancer://app/\n";
}

my $good = key_file("0000000a $key\n");
my $gone = $good . '.gone';
symlink $good, "$good.link" or die;
my %bad = (
    'no such file' => ["UsherStickyKeys $gone", qr/USHER3025: UsherStickyKeys \Q$gone\E: cannot be read: No such file/],
    'a folder' => ["UsherStickyKeys $dir", qr/USHER3025: .*: is no regular file/],
    'open to all' => ['UsherStickyKeys ' . key_file("0000000a $key\n", 0644), qr/is open to all users \(mode 0644\): chmod o= '/],
    'no key' => ['UsherStickyKeys ' . key_file("# none\n"), qr/: has no key/],
    'a short key' => ['UsherStickyKeys ' . key_file("0000000a $key\n0000000b AQEB\n"), qr/: line 2: the key is not 32 bytes long/],
    'a key twice' => ['UsherStickyKeys ' . key_file("0000000a $key\n0000000b $key\n"), qr/: line 2: this key stands above already/],
    'no name' => ['UsherStickyKeys', qr/UsherStickyKeys takes one argument, the name of a key file/],
    'two names' => ["UsherStickyKeys $good $good", qr/UsherStickyKeys takes one argument/],
);
if ($> == 0) {
    my $path = key_file("0000000a $key\n");
    chown 12345, -1, $path;
    $bad{'of another user'} = ["UsherStickyKeys $path", qr/belongs to user 12345, neither to root nor to the user that httpd runs as: chown root '/];
    $path = key_file("0000000a $key\n", 0640);
    chown -1, 12345, $path;
    $bad{'open to another group'} = ["UsherStickyKeys $path", qr/is open to group 12345, which is not the one that httpd runs as \(mode 0640\): chmod g= '/];
}

subtest 'configtest' => sub {
    my $httpd = balancer_httpd('stock', cluster("UsherStickyKeys $good.link"));
    my ($code, $out) = $httpd->configtest;
    is $code, 0, 'a good file, and a link to it' or diag $out;
    like $out, qr/USHER3027: UsherStickyKeys \S+: 1 keys for balancer:\/\/app, 0000000a seals; /, 'says what is in it';
    for my $name (sort keys %bad) {
        my ($line, $says) = @{ $bad{$name} };
        $httpd->conf(balancer_conf(cluster($line)));
        ($code, $out) = $httpd->configtest;
        isnt $code, 0, "$name: refused";
        like $out, $says, "$name: and why";
        unlike $out, qr/AQEB/, "$name: without a key";
    }
    $httpd->conf(balancer_conf("UsherStickyKeys $good\n" . cluster('')));
    like +($httpd->configtest)[1], qr/UsherStickyKeys belongs into the section <Proxy balancer:\/\/name> of its cluster/, 'outside of a cluster: refused';
};

subtest 'a restart into what configtest refuses' => sub {
    my $file = key_file("0000000a $key\n");
    my $httpd = balancer_httpd('stock', cluster("UsherStickyKeys $file"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok $httpd->log->wait_for(qr/USHER3027: .* 1 keys for balancer:\/\/app, 0000000a seals/), 'says which keys';
    $httpd->log->expect(qr/USHER3055: .*: line 1: takes an id.*; balancer:\/\/app goes on with the keys that this file had/);
    $httpd->log->tolerate(qr/USHER3029: .*: line 1: takes an id/);
    spoil($file);
    ok $httpd->graceful, 'httpd goes on';
    is who($httpd), 'a', 'and answers';
    $httpd->log->expect(qr/USHER3055: .*No such file.*; balancer:\/\/app goes on with a key of its own/);
    $httpd->conf(balancer_conf(cluster("UsherStickyKeys $gone")));
    ok $httpd->graceful, 'so it does with a file that was never there';
    ok $httpd->log->wait_for(qr/USHER3026: balancer:\/\/app has made a key of its own for its sticky cookies/), 'which is said';
    is who($httpd), 'a', 'and answers';
    $httpd->finish('only the announced in the log');
};

subtest 'a change takes effect by itself' => sub {
    my $file = open_to_children(key_file("0000000a $key\n"));
    my $httpd = balancer_httpd('stock', cluster("UsherStickyKeys $file"));
    my $said = sub { my ($what) = @_; return scalar grep { /$what/ } $httpd->log->lines };

    ok $httpd->start, 'starts' or diag $httpd->console;
    ok $httpd->log->wait_for(qr/USHER3027: .* a change of the file takes effect by itself/), 'says that it will';
    is who($httpd), 'a', 'serves';
    my ($code) = usherctl(qw(keys rotate), $file);
    is $code, 0, 'rotated';
    my ($new) = +(usherctl(qw(keys list), $file))[1] =~ /^(\w{8}) seals/;
    ok((wait_until { $said->(qr/USHER3028: .*: changed, now 2 keys for balancer:\/\/app, $new seals/) >= 4 } 40), 'each child has the new key');
    $httpd->log->expect(qr/USHER3029: .*: changed, but line 1: takes an id.*; balancer:\/\/app goes on with the keys that it has/);
    spoil($file);
    ok((wait_until { $said->(qr/USHER3029: .*line 1: takes an id/) >= 4 } 40), 'a bad file is told, once by each child');
    is who($httpd), 'a', 'and nothing else happens';
    if ($ENV{USHER_LONG}) {
        ($code) = usherctl('keys', 'create', "$file.new");
        open_to_children("$file.new");
        rename "$file.new", $file or die;
        ok((wait_until { $said->(qr/USHER3028: .* now 1 keys /) >= 4 } 40), 'until it is good again');
    }
    $httpd->finish('only the announced in the log');
};

done_testing;
