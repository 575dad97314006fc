# The statistics of mod_usher_tls, as an administrator sees them: who may, what is shown, privacy;
# and that restarts, a stop, kill -9 of everything, damaged files and full disks leave them right.
use strict;
use warnings FATAL => 'all';

use Fcntl qw(S_IMODE);
use HTTP::Tiny ();
use JSON::PP ();
use List::Util 'sum0';
use Test::More;
use Usher::Ctl;
use Usher::Env ();
use Usher::HandshakeTest;
use Usher::Httpd ();
use Usher::TLSClient ();
use Usher::TLSTest 'quiet';
use Usher::Wait;

my $port = free_port();
my $place = "<Location /tls>\nSetHandler usher-tls\nRequire local\n</Location>\n";

sub conf {
    my (@more) = @_;

    return join "\n", "Listen 127.0.0.1:$port", 'SSLSessionCache none', $place, @more, '',
        tls_host($port, 'www.test', weak(), certificate('good', 'rsa'));
}

sub stats_httpd {
    my ($conf, %opt) = @_;

    my $httpd = quiet(Usher::Httpd->new(usher => [qw(usher usher_tls)], modules => [qw(ssl authz_host dir)], conf => $conf, %opt));
    $httpd->log->tolerate(qr/AH01909/); # the certificate is none of www.test
    return $httpd;
}

sub get {
    my ($httpd, $query, %opt) = @_;
    my $answer = HTTP::Tiny->new(proxy => undef, keep_alive => 0, $opt{from} ? (local_address => $opt{from}) : ())
        ->request($opt{method} // 'GET', $httpd->url("/tls$query"), { headers => $opt{headers} // {} });

    $answer->{json} = eval { JSON::PP->new->decode($answer->{content}) };
    return $answer;
}

sub stats { return get($_[0], '?format=json' . ($_[1] // ''))->{json} // {} }

# One connection with requests; the answer to the last one.
sub visit {
    my ($from, $requests, %tls) = @_;
    my $agent = delete $tls{agent} // 'test';
    my $client = Usher::TLSClient->new(port => $port, from => $from, %tls);
    my $answer;

    if (!$client->failed) {
        $answer = $client->request(GET => '/', [Host => 'www.test', 'User-Agent' => $agent]) for 1 .. $requests;
    }
    $client->close;
    return $answer;
}

my %old = (versions => '1.0', ciphers => 'ECDHE-RSA-AES128-SHA');
my %new = (versions => '1.3', ciphersuites => 'TLS_AES_256_GCM_SHA384', groups => 'X25519');

sub versions { return { map { $_->{version} => $_->{connections} } @{ $_[0]{versions} } } }

# Polls until so many connections were counted, which is done when one ends, and so many
# requests, when they are logged: the client has its answer before.
sub counted {
    my ($httpd, $n, $requests) = @_;
    my $all;

    wait_until {
        my $stats = stats($httpd);
        $all = sum0(map { $_->{connections} } @{ $stats->{versions} // [] }, @{ $stats->{failures} // [] });
        $all >= $n && sum0(map { $_->{requests} } @{ $stats->{versions} // [] }) >= ($requests // 0);
    } 10;
    return $all;
}

# How many connections a file knows of.
sub saved {
    my ($file) = @_;
    my ($code, $out) = usherctl('tls', 'show', '--json', '--file', $file);
    my $all = 0;

    $all += $_->{connections} for @{ (eval { JSON::PP->new->decode($out) } // {})->{versions} // [] };
    return $all;
}

subtest 'what is shown' => sub {
    my $hour = int(time / 3600);
    my $httpd = stats_httpd(conf());
    ok $httpd->start, 'starts' or diag $httpd->console;
    visit('127.0.0.2', 2, %old, agent => "Till \"4\"\\") for 1 .. 3;
    visit('127.0.0.3', 1, %new);
    visit('127.0.0.4', 1, %new);
    visit('127.0.0.5', 1, versions => '1.3', ciphersuites => 'TLS_AES_128_CCM_SHA256');
    is counted($httpd, 6, 8), 6, 'each connection once';

    my $stats = stats($httpd);
    is_deeply [map { [@$_{qw(version connections requests clients)}] } @{ $stats->{versions} }],
        [['TLSv1', 3, 6, 1], ['TLSv1.3', 2, 2, 2]], 'connections, requests and clients by version';
    is_deeply [map { [@$_{qw(version cipher cipher_number connections clients)}] } @{ $stats->{ciphers} }],
        [['TLSv1', 'ECDHE-RSA-AES128-SHA', 'c013', 3, 1], ['TLSv1.3', 'TLS_AES_256_GCM_SHA384', '1302', 2, 2]], 'by cipher';
    is $stats->{clients}, 3, 'distinct clients in all';
    is((grep { $_->{group} eq 'x25519' } @{ $stats->{groups} })[0]{connections} // 0, $stats->{groups}[1] ? 2 : 5, 'by group');
    is_deeply [map { [@$_{qw(outcome version connections)}] } @{ $stats->{failures} }], [['no-shared-cipher', 'TLSv1.3', 1]], 'failures by reason';
    is_deeply [map { [@$_{qw(vhost connections)}] } @{ $stats->{vhosts} }], [["www.test:$port", 5]], 'by virtual host';
    # One, or two where another one has begun meanwhile.
    for my $unit (qw(hours days)) {
        my %by;
        $by{ $_->{version} } += $_->{connections} for map { @{ $_->{versions} } } @{ $stats->{$unit} };
        is_deeply \%by, { TLSv1 => 3, 'TLSv1.3' => 2 }, "and by $unit" or diag explain $stats->{$unit};
        is sum0(map { $_->{failed} } @{ $stats->{$unit} }), 1, 'failures too';
    }
    is_deeply [map { [@$_{qw(version cipher address connections failed agent)}] } @{ $stats->{listed} }],
        [[undef, 'ECDHE-RSA-AES128-SHA', '127.0.0.2', 3, 0, "Till \"4\"\\"], ['TLSv1', undef, '127.0.0.2', 3, 0, "Till \"4\"\\"]],
        'who uses the old version, and the weak cipher';
    my ($offer) = grep { $_->{connections} == 3 && grep { $_ eq 'c013' } @{ $_->{ciphers} } } @{ $stats->{offers} };
    ok $offer, 'what it offered' or diag explain $stats->{offers};
    is $offer->{id}, $stats->{listed}[0]{offer}, 'of this client';
    is_deeply [@$offer{qw(clients failed versions legacy_version)}], [1, 0, [], '0301'], 'with its clients';
    is $stats->{offers_lost}, 0, 'none fell out of the table';

    my $last = stats($httpd, '&hours=1');
    is_deeply versions($last), versions($stats), 'the last hour' if int(time / 3600) == $hour;
    is_deeply versions(stats($httpd, '&days=7')), versions($stats), 'the last week';
    is_deeply versions(stats($httpd, "&vhost=www.test:$port")), versions($stats), 'one virtual host';
    is get($httpd, '?vhost=other.test:443')->{status}, 404, 'not one that there is not';
    for (['hours=49', 'hours is a number from 1 to 48'], ['days=0', 'days is a number from 1 to 31'], ['days=x', 'days is a number from 1 to 31'],
        ['days=1&hours=1', 'either days or hours can be asked for, not both'], ['format=xml', 'format is json or text'],
        ['dais=1%3Cb%0a', '"dais" is no parameter: format, days, hours and vhost are'],
        ['%3Cb%0a', '"<b\x0a" is no parameter: format, days, hours and vhost are']) {
        my $answer = get($httpd, "?$_->[0]");
        is_deeply [$answer->{status}, $answer->{content}, $answer->{headers}{'content-type'}], [400, "$_->[1]\n", 'text/plain; charset=us-ascii'], "$_->[0] is no question, and why";
    }

    my $text = get($httpd, '');
    is $text->{headers}{'content-type'}, 'text/plain; charset=us-ascii', 'as text';
    is $text->{headers}{'cache-control'}, 'no-store', 'that no cache keeps';
    like $text->{content}, qr/^TLSv1 +3 +6 +1$/m, 'with versions';
    like $text->{content}, qr/^no-shared-cipher +TLSv1\.3 +1$/m, 'failures';
    like $text->{content}, qr/^TLSv1 +127\.0\.0\.2 +3 +0  \S+\+00:00 +\S+\+00:00  Till "4"\\$/m, 'and clients';
    is get($httpd, '', headers => { Accept => 'application/json' })->{headers}{'content-type'}, 'application/json', 'JSON by Accept';
    is get($httpd, '', method => 'POST')->{status}, 405, 'nothing can be changed';
    like raw_client($httpd->port, '127.0.0.1', "GET /tls HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")->{came}, qr/^HTTP\/1\.1 403/, 'not for a page of another site';
    $httpd->log->expect(qr/USHER1056: \/tls: the statistics are not shown/);
    $httpd->finish('');
};

subtest 'virtual hosts without a line of the module' => sub {
    my $httpd = stats_httpd(conf() . join '', map { tls_host($port, $_, weak(), certificate('good', 'rsa')) } qw(b.test c.test));
    ok $httpd->start, 'starts';
    visit('127.0.0.2', 1, %new, name => $_) for qw(www.test b.test b.test);
    is counted($httpd, 3), 3, 'connections';
    is_deeply [map { [@$_{qw(vhost connections)}] } @{ stats($httpd)->{vhosts} }], [["b.test:$port", 2], ["www.test:$port", 1]], 'are each of their own';
    $httpd->finish('');
};

subtest 'who may see them' => sub {
    my $httpd = stats_httpd(conf() . "<Location /open>\nSetHandler usher-tls\n</Location>\n");
    my ($code, $out) = $httpd->configtest;
    isnt $code, 0, 'without a Require configtest refuses';
    like $out, qr/USHER1053: \S+:\d+: SetHandler usher-tls has to stand in a <Location> section with a Require of its own/, 'and says why';
    $httpd->conf(conf() =~ s/Require local/Require ip 127.0.0.9/r);
    ok $httpd->start, 'starts';
    is get($httpd, '')->{status}, 403, 'not everybody';
    is get($httpd, '', from => '127.0.0.9')->{status}, 200, 'but whom Require lets in';
    $httpd->log->tolerate(qr/AH01630/);
    $httpd->finish('');
};

subtest 'privacy' => sub {
    my $httpd = stats_httpd(conf('UsherTLSClients prefix'));
    ok $httpd->start, 'starts';
    visit("127.0.1.$_", 1, %old) for 1 .. 3;
    counted($httpd, 3);
    my $stats = stats($httpd);
    is_deeply [map { [@$_{qw(address connections)}] } @{ $stats->{listed} }], [(['127.0.1.0/24', 3]) x 2], 'prefixes alone';
    is $stats->{clients}, 3, 'distinct clients are counted all the same';
    $httpd->conf(conf('UsherTLSClients off'));
    $httpd->graceful;
    visit('127.0.1.9', 1, %old);
    counted($httpd, 4);
    $stats = stats($httpd);
    is_deeply $stats->{listed}, [], 'off: those that are there are forgotten, and none is noted';
    is $stats->{clients}, 4, 'but counted';
    $httpd->conf(conf('UsherTLSStats Off'));
    $httpd->stop;
    ok $httpd->start, 'without statistics';
    is visit('127.0.1.9', 1, %old)->{status}, 200, 'TLS goes on';
    is get($httpd, '')->{status}, 503, 'there is nothing to see';
    $httpd->finish('');
};

subtest 'restarts, stops and crashes' => sub {
    my $httpd = stats_httpd(conf('UsherTLSStats On 1s'));
    my $file = $httpd->root . '/state/tls.stats';
    ok $httpd->start, 'starts';
    visit("127.0.2.$_", 1, %old) for 1 .. 5;
    counted($httpd, 5);
    $httpd->graceful;
    visit('127.0.2.9', 1, %new);
    is counted($httpd, 6), 6, 'a graceful restart keeps them';
    $httpd->restart;
    visit('127.0.2.9', 1, %new);
    is counted($httpd, 7), 7, 'a restart too';
    $httpd->conf(conf('UsherTLSStats On 1s', 'UsherMemory tls 24M'));
    $httpd->graceful;
    is counted($httpd, 7), 7, 'and one with another size';
    $httpd->log->wait_for(qr/USHER1010: memory "tls" was 64M/);
    my $before = stats($httpd);
    $httpd->stop;
    my @stat = stat $file;
    is S_IMODE($stat[2]), 0600, 'a stop leaves a file, for nobody else';
    is $stat[4], (stat $httpd->root . '/state')[4], 'of the user that children run as';
    is S_IMODE((stat $httpd->root . '/state')[2]), 0700, 'as the directory';
    # A child that takes too long to write must end in the middle of it: what it leaves goes at the start.
    is_deeply [grep { !/\.\d+\.new\z/ } glob $httpd->root . '/state/*'], [$file], 'and nothing else';
    ok $httpd->start, 'starts again';
    my $after = stats($httpd);
    is_deeply [map { delete $_->{time}; $_ } $after], [map { delete $_->{time}; $_ } $before], 'and goes on from there';

    # The process that ticks writes it each second.
    visit('127.0.2.10', 1, %new);
    counted($httpd, 8);
    ok +(wait_until { saved($file) == 8 } 10), 'what is counted is saved soon';
    $httpd->kill;
    ok $httpd->start, 'starts after kill -9 of all processes';
    is counted($httpd, 8), 8, 'and knows all until the last save';
    $httpd->log->tolerate(qr/AH00098|AH00052/);

    # Damaged
    $httpd->stop;
    open my $fh, '+<', $file or die "$file: $!";
    seek $fh, 300, 0;
    print $fh 'damage';
    close $fh;
    ok $httpd->start, 'a damaged file does not keep httpd from starting';
    is counted($httpd, 0), 0, 'counting begins anew';
    ok -e "$file.damaged", 'the file is set aside';
    $httpd->log->expect(qr/:error\].*USHER4031: TLS statistics: \S+\/state\/tls\.stats is damaged/);
    $httpd->stop;

    # A link where the file should be: nothing behind it is read or written.
    my $else = $httpd->root . '/else';
    open $fh, '>', $else or die "$else: $!";
    print $fh 'mine';
    close $fh;
    unlink $file;
    symlink $else, $file or die "$file: $!";
    ok $httpd->start, 'nor does a link';
    visit('127.0.2.11', 1, %new);
    counted($httpd, 1);
    $httpd->stop;
    is -s $else, 4, 'what it points to stays as it is';
    ok -f $file && !-l $file, 'the file is there again';
    $httpd->log->finish('');
};

subtest 'a disk that is full' => sub {
    my $httpd = stats_httpd(conf('UsherTLSStats On 1s'));
    my $dir = $httpd->root . '/small';
    mkdir $dir;
    SKIP: {
        $> == 0 && system("mount -t tmpfs -o size=64k,mode=755 none $dir 2>/dev/null") == 0 or last SKIP;
        open my $fh, '>', "$dir/filler" or die "$dir: $!";
        $fh->autoflush(1);
        1 while syswrite $fh, 'x' x 4096;
        close $fh;
        $httpd->conf(conf('UsherTLSStats On 1s') =~ s/^/UsherStateDir $dir\/state\n/r);
        ok $httpd->start, 'starts' or diag $httpd->console;
        visit('127.0.3.1', 1, %new);
        is counted($httpd, 1), 1, 'counts';
        ok $httpd->log->wait_for(qr/USHER4033/), 'says that it cannot write';
        $httpd->log->expect(qr/:error\].*USHER4033: TLS statistics: \S+ could not be written/);
        $httpd->log->tolerate(qr/USHER4033/);
        unlink "$dir/filler";
        ok +(wait_until { (-s "$dir/state/tls.stats") // 0 } 10), "tries again";
        $httpd->stop;
        is_deeply [map { s/.*\///r } glob "$dir/state/*"], ['tls.stats'], 'and writes when there is room again';
        system "umount $dir";
    }
    $httpd->log->finish('');
};

subtest 'the directory' => sub {
    my $httpd = stats_httpd(conf());
    my $root = $httpd->root;
    my $refused = sub {
        my ($dir, $reason, $name) = @_;

        $httpd->conf("UsherStateDir $dir\n" . conf());
        my ($code, $out) = $httpd->configtest;
        isnt $code, 0, "$name: refused";
        like $out, qr/USHER1050: UsherStateDir \Q$dir\E: $reason/, 'with the reason' or diag $out;
    };
    mkdir "$root/open";
    chown((stat $root)[4] || scalar getpwnam('nobody'), -1, "$root/open") if $> == 0;
    chmod 0777, "$root/open";
    $refused->("$root/open", 'may be written to by others: chmod 700', 'writable for all');
    $refused->("$root/open/state", 'the directory that should hold it may be written to by all', 'to be made where all may write');
    $refused->("$root/httpd.conf", 'is no directory', 'a file');
    symlink "$root/logs", "$root/link";
    $refused->("$root/link", 'is a symbolic link', 'a link');
    if ($> == 0) {
        $refused->("$root/logs", 'belongs to user 0, not to the one', "root's");
    }
    for (['UsherStateDir', 'takes one argument'], ['UsherTLSStats maybe', '"maybe": takes On or Off'], ['UsherTLSStats On 2m', '"2m": they are saved each 1s to 1m'],
         ['UsherTLSClients some', '"some": takes full, prefix or off'], ['UsherTLSClients full 40d', '"40d": addresses are kept for 1h to 31d']) {
        $httpd->conf(conf($_->[0]));
        my ($code, $out) = $httpd->configtest;
        isnt $code, 0, "$_->[0]: refused";
        like $out, qr/\Q$_->[1]\E/, 'with the reason';
    }
};

done_testing;
