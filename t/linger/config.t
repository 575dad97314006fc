# Each directive of mod_usher_linger: default, set, in virtual hosts, and what
# configtest refuses, which never ends a running site at a restart.
use strict;
use warnings FATAL => 'all';

use List::Util 'sum0';
use Test::More;
use Usher::Client ();
use Usher::Httpd ();
use Usher::LingerTest;
use Usher::Wait;

# name => [lines, what configtest says (undef: nothing), options]
my @cases = (
    ['nothing', '', undef],
    ['all of them', "UsherLinger On\nUsherLingerTime 1ms\nUsherLingerMaxHits 0\nUsherLingerIdleThreads 5%\n", undef],
    ['the other ends', "UsherLinger off\nUsherLingerTime 100ms\nUsherLingerMaxHits 1000000\nUsherLingerIdleThreads 95\n", undef],
    ['in a virtual host', "<VirtualHost *>\nUsherLinger On\nUsherLingerTime 5ms\nUsherLingerMaxHits 5\n</VirtualHost>\n", undef],
    ['a word', "UsherLinger perhaps\n", qr/UsherLinger "perhaps": takes On or Off/],
    ['no word', "UsherLinger\n", qr/UsherLinger takes one argument, On or Off/],
    ['two words', "UsherLinger On 2ms\n", qr/UsherLinger takes one argument, On or Off/],
    ['too short', "UsherLingerTime 0ms\n", qr/UsherLingerTime "0ms": takes a time from 1ms to 100ms, with its unit/],
    ['too long', "UsherLingerTime 101ms\n", qr/UsherLingerTime "101ms": takes a time from 1ms to 100ms/],
    ['seconds', "UsherLingerTime 2\n", qr/UsherLingerTime "2": takes a time from 1ms to 100ms, with its unit/],
    ['no time', "UsherLingerTime soon\n", qr/UsherLingerTime "soon": takes a time/],
    ['two times', "UsherLingerTime 1ms 2ms\n", qr/UsherLingerTime takes one argument, a time/],
    ['too many hits', "UsherLingerMaxHits 1000001\n", qr/UsherLingerMaxHits "1000001": takes a number from 1 to 1000000, or 0 for no limit/],
    ['fewer hits than none', "UsherLingerMaxHits -1\n", qr/UsherLingerMaxHits "-1": takes a number/],
    ['hits with a unit', "UsherLingerMaxHits 10k\n", qr/UsherLingerMaxHits "10k": takes a number/],
    ['no hits', "UsherLingerMaxHits\n", qr/UsherLingerMaxHits takes one argument, a number/],
    ['too few idle', "UsherLingerIdleThreads 4%\n", qr/UsherLingerIdleThreads "4%": takes 5% to 95%/],
    ['too many idle', "UsherLingerIdleThreads 96\n", qr/UsherLingerIdleThreads "96": takes 5% to 95%/],
    ['no percentage', "UsherLingerIdleThreads %\n", qr/UsherLingerIdleThreads "%": takes 5% to 95%/],
    ['idle threads of a virtual host', "<VirtualHost *>\nUsherLingerIdleThreads 50%\n</VirtualHost>\n",
        qr/UsherLingerIdleThreads belongs outside of all sections: virtual hosts share the threads/],
    (map { ["$_ for a path", "<Location /a>\n$_\n</Location>\n", qr/belongs in the main server or in a virtual host, not in a section for paths/] }
        'UsherLinger On', 'UsherLingerTime 2ms', 'UsherLingerMaxHits 2', 'UsherLingerIdleThreads 50%'),
    ['no core', "UsherLinger On\n", qr/USHER1002: mod_usher_linger needs mod_usher: add "LoadModule usher_module/, usher => ['usher_linger']],
);
for my $case (@cases) {
    my ($name, $conf, $says, @more) = @$case;
    my ($code, $out) = Usher::Httpd->new(conf => $conf, usher => [qw(usher usher_linger)], @more)->configtest;
    my $on = $conf =~ /UsherLinger On/;

    if ($says) {
        isnt $code, 0, "$name: refused";
        like $out, $says, "$name: and why";
    } else {
        is $code, 0, "$name: fine" or diag $out;
        is scalar($out =~ /USHER10001: UsherLinger On does nothing with the MPM $ENV{USHER_MPM}/), $on && !is_event() ? 1 : '',
            "$name: told where it does nothing";
    }
}

# A host: how many hits, and more, there are in twenty requests of one connection; so many of
# that at least where none of them is late.
sub hits {
    my ($httpd, $host, $what, $least) = @_;
    my ($answers, $counted);

    in_calm {
        my $before = counters($httpd);
        my $client = Usher::Client->new(port => $httpd->port);
        $answers = asks($client, 20, '/index.html', [Host => $host]);
        $client->close;
        $counted = counted($httpd, $before);
        !$what || !is_event() || ($counted->{$what} // 0) >= $least;
    };
    is $answers, 20, "$host: twenty answers";
    return $counted;
}

subtest 'off without the line' => sub {
    my $httpd = Usher::Httpd->new(conf => "<Location /server-status>\nSetHandler server-status\n</Location>\n", modules => ['status'],
        usher => [qw(usher usher_linger)]);
    ok $httpd->start, 'starts' or diag $httpd->console;
    is_deeply hits($httpd, 'localhost'), {}, 'nothing waits';
    $httpd->finish('and nothing is logged that alarms');
};

where_it_waits 'virtual hosts of one address' => sub {
    my $httpd = linger_httpd(<<'EOT');
UsherLinger Off
<VirtualHost *:@PORT@>
    ServerName first
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName on
    UsherLinger On
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName few
    UsherLinger On
    UsherLingerMaxHits 2
</VirtualHost>
EOT
    ok $httpd->start, 'starts' or diag $httpd->console;
    is_deeply hits($httpd, 'first'), {}, 'the main server says Off: inherited';
    my $got = hits($httpd, 'on', Hits => 3);
    cmp_ok $got->{Hits} // 0, '>=', 3, 'a host with its own On';
    ok !$got->{SkippedCap}, 'and the limit of the main server';
    $got = hits($httpd, 'few', SkippedCap => 1);
    cmp_ok $got->{SkippedCap} // 0, '>=', 1, 'a host with its own limit';

    # What became of a client of before may be counted meanwhile.
    my ($mixed, $then);
    in_calm {
        my $before = counters($httpd);
        my $client = Usher::Client->new(port => $httpd->port);
        asks($client, 15, '/index.html', [Host => 'on']);
        asks($client, 1, '/index.html', [Host => 'first']);
        $mixed = counted($httpd, $before);
        asks($client, 5, '/index.html', [Host => 'first']);
        $then = counted($httpd, $before);
        $mixed->{Hits} && sum0(values %$mixed) == sum0(values %$then);
    };
    cmp_ok $mixed->{Hits} // 0, '>=', 1, 'one connection for two hosts: lingers';
    is_deeply $then, $mixed, 'and no more after a request for the other';
    $httpd->finish('and nothing is logged that alarms');
};

subtest 'a restart into what configtest refuses' => sub {
    my $httpd = linger_httpd('');
    $httpd->log->expect(qr/USHER1001: .* UsherLingerTime "1h": takes a time .*: the site goes on without this line/);
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->conf(linger_conf("UsherLingerTime 1h\n"));
    ok $httpd->graceful, 'httpd goes on';
    my $got = hits($httpd, 'localhost', Hits => 3);
    cmp_ok $got->{Hits} // 0, '>=', 3, 'with what it had' if is_event();
    $httpd->finish('only the announced in the log');
};

subtest 'a restart without the core' => sub {
    my $httpd = linger_httpd('');
    $httpd->log->expect(qr/USHER1002: mod_usher_linger needs mod_usher/);
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->conf(linger_conf(''), usher => ['usher_linger']);
    ok $httpd->graceful, 'httpd goes on';
    is_deeply hits($httpd, 'localhost'), {}, 'and nothing waits or is counted';
    $httpd->conf(linger_conf(''), usher => [qw(usher usher_linger)]);
    ok $httpd->graceful, 'mended';
    my $got = hits($httpd, 'localhost', Hits => 3);
    cmp_ok $got->{Hits} // 0, '>=', 3, 'and all is well' if is_event();
    $httpd->finish('only the announced in the log');
};
done_testing;
