# What is wrong in a configuration is said by configtest, with directive, value
# and remedy; and on a running server a graceful restart into it does not end
# the site.
use strict;
use warnings FATAL => 'all';

use HTTP::Tiny ();
use Test::More;
use Usher::CoreTest;
use Usher::Wait;

my @good = (core_conf("UsherMemory test 128K\n"), usher => [qw(usher ushertest)]);

# name => [what configtest says, is /t served after a restart into it, the
#          configuration, options]
my @broken = (
    ['a size that is none',
        qr/UsherMemory test "12Q": a size is a number below/, 1,
        core_conf("UsherMemory test 12Q\n")],
    ['a size of nothing',
        qr/UsherMemory test "0": a size is/, 1,
        core_conf("UsherMemory test 0\n")],
    ['too small a size',
        qr/USHER1005: UsherMemory test 1K: the size must be 4K or more, up to/, 1,
        core_conf("UsherMemory test 1K\n")],
    ['a size of the core that is fixed',
        qr/USHER1005: UsherMemory core 64K: the size must be 64\b/, 1,
        core_conf("UsherMemory core 64K\n")],
    ['a piece that nobody has',
        qr/USHER1004: UsherMemory tset 64K: no loaded module has a piece of that name; there are: core, registry, holds, roster, images, test/, 1,
        core_conf("UsherMemory tset 64K\n")],
    ['too few words',
        qr/UsherMemory takes two arguments, the name of a piece/, 1,
        core_conf("UsherMemory test\n")],
    ['UsherMemory inside a directory',
        qr/UsherMemory belongs outside of all sections/, 1,
        core_conf("<Directory \"/\">\nUsherMemory test 64K\n</Directory>\n")],
    ['UsherMemory inside a vhost',
        qr/UsherMemory belongs outside of all sections/, 1,
        core_conf("<VirtualHost 127.0.0.1:*>\nUsherMemory test 64K\n</VirtualHost>\n")],
    ['a skew that is no time', qr/UsherClockSkew "soon": a time from 0 to 1d, such as 5m/, 1,
        core_conf("UsherMemory test 128K\nUsherClockSkew soon\n")],
    ['too large a skew', qr/UsherClockSkew "25h": a time from 0 to 1d/, 1,
        core_conf("UsherMemory test 128K\nUsherClockSkew 25h\n")],
    ['a skew in a vhost', qr/UsherClockSkew belongs outside of all sections/, 1,
        core_conf("UsherMemory test 128K\n<VirtualHost 127.0.0.1:*>\nUsherClockSkew 1m\n</VirtualHost>\n")],
    ['two skews', qr/UsherClockSkew takes one argument, a time such as 5m/, 1,
        core_conf("UsherMemory test 128K\nUsherClockSkew 1m 2m\n")],
    ['more memory than there is',
        qr/USHER1006: UsherMemory test 1048576T: the system does not give so much/, 1,
        core_conf("UsherMemory test 1048576T\n")],
    ['a lock that hangs',
        qr/USHER1007: Mutex posixsem: .* add "Mutex pthread usher"/, 1,
        core_conf("UsherMemory test 128K\nMutex posixsem usher\n")],
    ['a bad value of a module',
        qr/UsherTestLayout "3": there are 1 and 2/, 1,
        core_conf("UsherMemory test 128K\nUsherTestLayout 3\n")],
    ['no core',
        qr/USHER1002: mod_ushertest needs mod_usher: add "LoadModule usher_module/, 0,
        core_conf(), usher => ['ushertest']],
    ['a module of another release',
        qr/USHER1003: mod_ushertestabi was built for ABI 9999 of mod_usher, the one loaded has \d+: install all modules of one Usher release/, 1,
        core_conf("UsherMemory test 128K\n"), usher => [qw(usher ushertest ushertestabi)]],
);

my $httpd = core_httpd();
is_deeply [($httpd->configtest)[0]], [0], 'the good configuration passes' or diag(($httpd->configtest)[1]);
$httpd->conf(core_conf(), usher => [qw(ushertest usher)]);
is_deeply [($httpd->configtest)[0]], [0], 'in any order of LoadModule';
$httpd->conf(@good);

for my $case (@broken) {
    my ($name, $says, undef, @conf) = @$case;

    subtest "configtest: $name" => sub {
        $httpd->conf(@conf);
        my ($code, $out) = $httpd->configtest;
        isnt $code, 0, 'refused';
        like $out, $says, 'and why';
        unlike $out, qr/Syntax OK/, 'not OK';
    };
}

subtest 'the first start refuses as well' => sub {
    $httpd->conf(core_conf("UsherMemory test 1048576T\n"), usher => [qw(usher ushertest)]);
    ok !$httpd->start, 'does not start';
    like $httpd->console, qr/USHER1006/, 'and says why';
};

# At a size that is not the default, so that losing it would be seen.
$httpd->conf(@good);
ok $httpd->start, 'starts' or diag $httpd->console;
ask($httpd, 'set=42');

for my $case (@broken) {
    my ($name, $says, $served, @conf) = @$case;

    subtest "graceful restart of a running server into: $name" => sub {
        my $before = ask($httpd, 'pid');

        $httpd->conf(@conf);
        # What configtest says is in the log; of memory that cannot be had it
        # is said when it is asked for. A directive adds its place.
        my $logged = $says =~ /USHER1006/ ? qr/USHER1012: memory "test": cannot change to 1048576T now/
            : $says =~ /USHER/ ? $says : qr/USHER1001: .*httpd\.conf:\d+: $says.*the site goes on/;
        $httpd->log->expect($logged);
        ok $httpd->graceful, 'httpd goes on';
        my $page = HTTP::Tiny->new(proxy => undef)->get($httpd->url('/index.html'));
        is $page->{content}, "usher test\n", 'and answers';
        my $now;
        wait_until(sub { $now = ask($httpd, 'pid'); ($now->{pid} // 0) != $before->{pid} });
        if ($served) {
            is $now->{value}, 42, 'the part that was wrong keeps what it had';
            is $now->{size}, 131072, 'in its size';
        } else {
            is $now->{status}, 503, 'the part without a core is off';
        }
        $httpd->conf(@good);
        ok $httpd->graceful, 'mended';
        ok((wait_until { ask($httpd, 'pid')->{status} == 200 }), 'and all is on again');
        is ask($httpd, 'pid')->{value}, 42, 'with its contents';
        $httpd->log->finish("said in the log, and nothing else");
    };
}

subtest 'how far clocks may be apart' => sub {
    is ask($httpd, 'skew')->{ms}, 300_000, 'five minutes, if nothing is said';
    $httpd->conf(core_conf("UsherMemory test 128K\nUsherClockSkew 1h\nUsherClockSkew 30s\n"));
    ok $httpd->graceful, 'another one';
    ok((wait_until { (ask($httpd, 'skew')->{ms} // 0) == 30_000 }), 'is known to the modules');
    $httpd->conf(@good);
    ok $httpd->graceful, 'none again';
    ok((wait_until { (ask($httpd, 'skew')->{ms} // 0) == 300_000 }), 'is the default again');
    $httpd->log->finish('nothing is said of it');
};

subtest 'a new layout for which there is no memory' => sub {
    $httpd->conf(core_conf("UsherTestLayout 2\nUsherMemory test 1048576T\n"));
    $httpd->log->expect(qr/USHER1013: memory "test": cannot get 1048576T; what needs it is off/);
    ok $httpd->graceful, 'httpd goes on';
    ok((wait_until { ask($httpd, 'pid')->{status} == 503 }), 'the part is off');
    $httpd->conf(@good);
    ok $httpd->graceful, 'mended';
    ok((wait_until { (ask($httpd, 'pid')->{value} // '') eq '42' }), 'and it has its contents still');
};

subtest 'one process for debugging (-X) ends well' => sub {
    my $single = core_httpd('', args => ['-X']);
    ok $single->start, 'starts' or diag $single->console;
    is ask($single, 'move')->{rv}, 0, 'its memory works';
    ok((wait_until { ask($single, 'ticks')->{ticks} > 1 }), 'it ticks');
    $single->finish('and stops with status 0');
};

$httpd->finish('only the announced in the log');
done_testing;
