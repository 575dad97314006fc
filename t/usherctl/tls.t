# usherctl tls: tables of log files, as the pipeline that they replace makes them; the statistics
# of mod_usher_tls; and whom other settings would cut off.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use IO::Compress::Gzip qw(gzip);
use JSON::PP ();
use POSIX qw(mkfifo);
use Test::More;
use Usher::Ctl;
use Usher::Env ();

$ENV{TZ} = 'UTC';
my $sample = ctl_data('haproxy-tls.log');

sub slurp {
    my ($file) = @_;
    open my $fh, '<:raw', $file or die "$file: $!";
    local $/;
    return scalar <$fh>;
}
sub tls { return usherctl('tls', @_) }
sub report { return tls('report', @_) }
# What administrators do today. Each line is one, whatever its bytes.
sub pipeline { return qx(LC_ALL=C grep -ao 'SSL:{[^}]*}' '$_[0]' | LC_ALL=C sort | uniq -c | LC_ALL=C sort -n) }
sub gz {
    my ($name, $text) = @_;
    my $out;
    gzip(\$text => \$out) or die;
    return ctl_file($name, $out);
}
sub json { return JSON::PP->new->decode($_[0]) }

subtest 'report: as the pipeline' => sub {
    my ($code, $out, $err) = report('--uniq', $sample);
    is "$code$err", '0', 'done';
    is $out, pipeline($sample), 'byte for byte';
    my $page = slurp(Usher::Env::srcdir() . '/docs/usherctl.md') =~ s/^    //mgr;
    ok index($page, "\$ usherctl tls report --uniq haproxy.log\n$out\n") > 0, 'as it is documented';
    like $out, qr/^      2 SSL:\{TLSv1,AES128-SHA\}\n      2 SSL:\{TLSv1,ECDHE-RSA-AES128-SHA\}\n/m, 'ties too';

    srand 7;
    my @texts = map { join '', map { chr(32 + rand 90) } 1 .. 1 + rand 12 } 1 .. 300;
    my $any = join '', map {
        my $line = join '', map { ('SSL:{', '}', ' ', '"', $texts[rand(rand @texts)], "SSL:{$texts[rand(rand @texts)]}", "\xff", "\e[1m", "\0")[rand 9] } 1 .. rand 12;
        "$line\n"
    } 1 .. 20_000;
    my $file = ctl_file('any.log', $any);
    cmp_ok pipeline($file) =~ tr/\n//, '>', 200, 'many different ones';
    is((report('-u', $file))[1], pipeline($file), 'of any bytes');
    my $zipped = gz('any.log.gz', $any);
    is((report('-u', $zipped))[1], pipeline($file), 'of a compressed file');
    my $twice = ctl_file('twice', slurp($sample) x 2);
    is((report('-u', $sample, $sample))[1], pipeline($twice), 'of several files');
    my $none = ctl_file('none', "nothing\n" x 5);
    is((report('-u', $none))[1], '', 'of a file without any');
    my $ctl = Usher::Env::builddir() . '/usherctl/usherctl';
    is qx($ctl tls report -u <'$file'), pipeline($file), 'of standard input';
    is qx($ctl tls report -u <'$zipped'), pipeline($file), 'that is compressed';
};

subtest 'report: the tables' => sub {
    my ($code, $out, $err) = report($sample);
    is "$code$err", '0', 'done';
    my $page = slurp(Usher::Env::srcdir() . '/docs/usherctl.md') =~ s/^    //mgr;
    ok index($page, "\$ usherctl tls report haproxy.log\n$out\n") > 0, 'as they are documented' or diag $out;
    ($code, $out) = report('--old', 'TLSv1.2', '--top', 2, $sample);
    like $out, qr/^Clients of TLSv1\.2 and older\n\n.*agent\n(.*\n){2} +9 +27\.27%  in 5 more rows: --top 0 shows them\n\z/m, '--old, --top';
    is((report('--by', 'version,day', '-u', $sample))[1], "      1 TLSv1.1 2026-11-21\n      5 TLSv1 2026-11-21\n     13 TLSv1.2 2026-11-21\n     14 TLSv1.3 2026-11-21\n", '--by, as uniq');
    ($code, $out) = report('--by', 'vhost,client', '--since', '2026-11-21 12:00', $sample);
    like $out, qr/^6 of 34 lines tell of TLS, from 2026-11-21 12:04:41 to 2026-11-21 12:30:58 \(those before --since not counted\)/, '--since';
    like $out, qr/^ +count +share  last seen +vhost  client\n(?:.*\n){2} +1 +16\.67%  2026-11-21 12:30:58  www    198\.51\.100\.9\n/m, 'a table of two columns';
    like((report('--since', '1h', $sample))[1], qr/^0 of 34 .*By version\n\n +0\n/s, 'nothing of the last hour');
};

subtest 'report: other logs, other bytes' => sub {
    my $file = ctl_file('mixed', join '', map { "$_\n" }
        '192.0.2.1 - - [22/Nov/2026:18:13:36 +0000] "GET /SSL:{TLSv1,a} HTTP/1.1" 200 5 "-" "old SSL:{TLSv1,b}" vhost=a:443 SSL:{TLSv1.3,C3} req={a|} cookie=-/-',
        "192.0.2.2 - - [22/Nov/2026:18:13:37 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"a\e[31m\x{7f}\" vhost=a:443 SSL:{TLSv1,\x{1}C1}",
        '{"time":"2026-11-22T18:13:38.5+00:00","client":"192.0.2.3","agent":"json","vhost":"b:443","tls_version":"TLSv1.1","tls_cipher":"C2"}',
        '[22/Nov/2026:18:13:39.000001 +0000] 192.0.2.4:99 443 vhost=b:443 outcome=no-shared-cipher SSL:{-,-} versions=TLSv1,SSLv3 reason="x"',
        'no date SSL:{TLSv1.3,C3}', "SSL:{TLSv1.2,C1}" . 'x' x 300_000, 'SSL:{TLSv1.3,C4}');
    my ($code, $out, $err) = report($file);
    is $code, 0, 'done';
    like $out, qr/^7 of 7 lines tell of TLS, from 2026-11-22 18:13:36 to 2026-11-22 18:13:39\n/, 'all of them';
    like $out, qr/^ +1 +14\.29%  2026-11-22 18:13:37  TLSv1    192\.0\.2\.2  a\\x1b\[31m\\x7f\n +1 +14\.29%  2026-11-22 18:13:38  TLSv1\.1  192\.0\.2\.3  json\n\z/m, 'the old ones, harmless';
    like $out, qr/ TLSv1    \\x01C1$/m, 'so are ciphers';
    like $err, qr/of 1 lines only the first 262144 bytes were looked at/, 'what was left out is told';
    is((report('-u', '--by', 'outcome,offered,version,vhost', $file))[1] =~ s/^.* - - .*\n//mgr, "      1 no-shared-cipher TLSv1 - b:443\n", 'of the handshake log');
    ($code, $out, $err) = report('--since', '2026-11-22 18:13:38', $file);
    like $out, qr/^2 of 7 lines/, '--since';
    like $err, qr/3 lines without a date are not counted/, 'and what has no date';
    is((report('-u', '--since', '2026-11-22 18:13:38', $file))[1], "      1 SSL:{-,-}\n", 'also as uniq: JSON has none');
};

subtest 'report: requests without TLS' => sub {
    my $text = join '', map { "$_\n" }
        '192.0.2.1 - - [22/Nov/2026:18:13:36 +0000] "GET / HTTP/1.1" 200 5 "-" "a" SSL:{TLSv1.3,C3}',
        ('192.0.2.2 - - [22/Nov/2026:18:13:40 +0000] "GET / HTTP/1.1" 200 5 "-" "a" SSL:{-,-}') x 2,
        '{"time":"2026-11-22T18:13:38.5+00:00","client":"192.0.2.3","agent":"json","vhost":"b:80"}',
        '{"time":"2026-11-22T18:13:38.5+00:00","level":"of another log"}';
    my $file = ctl_file('plain.log', $text);
    my ($code, $out, $err) = report($file);
    like $out, qr/^1 of 5 lines tell of TLS, from 2026-11-22 18:13:36 to 2026-11-22 18:13:36\n3 lines are of requests without TLS, and in no table\n/, 'are told';
    like $out, qr/^By version\n\n.*\n +1 100\.00% +1  2026-11-22 18:13:36  TLSv1\.3\n\nBy/m, 'and dilute no share';
    is((report('-u', $file))[1], pipeline($file), '--uniq has them, as grep has');
    like((report('--by', 'vhost', $file))[1], qr/^ +1 100\.00%/m, '--by has not');
};

subtest 'report: files that cannot be read' => sub {
    my $text = slurp($sample) x 500;
    my $zipped = slurp(gz('whole.gz', $text));
    my $cut = ctl_file('cut.gz', substr $zipped, 0, length($zipped) / 2);
    my ($code, $out, $err) = report('-u', $cut);
    is $code, 1, 'cut: failed';
    like $err, qr/cut\.gz: the compressed file is cut off/, 'why';
    my ($count) = $out =~ /^ *(\d+) SSL:\{TLSv1\.3,TLS_AES_256/m;
    ok $count > 0 && $count < 9 * 500, "what there was is counted ($count)";
    substr($zipped, length($zipped) / 2, 8) = "\xff" x 8;
    ($code, $out, $err) = report('-u', ctl_file('broken.gz', $zipped), $sample);
    is $code, 1, 'broken: failed';
    like $err, qr/broken\.gz: (?:cannot be uncompressed|the compressed file)/, 'why';
    like $out, qr/SSL:\{TLSv1\.3/, 'the other one is counted';
    for (["\xfd7zXZ\0\0", 'xz'], ['BZh91AY', 'bzip2'], ["\x28\xb5\x2f\xfd\x04", 'zstd']) {
        ($code, $out, $err) = report(ctl_file('packed', "$_->[0]\0\1\2"));
        is $code, 1, "$_->[1]: failed";
        like $err, qr/packed: is compressed by $_->[1]: $_->[1] -dc FILE \| usherctl tls report/, 'and what to do';
        ($code, $out, $err) = usherctl('log', ctl_file('packed', "$_->[0]\0\1\2"));
        is $code, 1, 'log: failed';
        like $err, qr/^usherctl log: \S*packed: is compressed by $_->[1]: $_->[1] -dc FILE \| usherctl log$/m, 'likewise';
    }
    for (['/nowhere', qr/No such file/], [dirname($sample), qr/is a directory/]) {
        ($code, $out, $err) = report($_->[0]);
        is $code, 1, "$_->[0]: failed";
        like $err, $_->[1], 'why';
    }
};

# The statistics of some days. NOW is the 22nd of November 2026, 18:13:36 UTC.
my $now = 1795371216;
my %offers = (
    new => '0303 0304,0303 1301,1302,c02f 001d,0017 0403,0804,0401',
    rsa => '0303 - 002f,009c - 0401',
    old => '0301 - 002f,c013 0017 -',
    java => '0301 - 002f,c013 0017 -',
    pos => '0302 - c013,c014 0017 -',
    gateway => '0303 - 002f - 0401',
);
my %chosen = (new => '304 1301 1d', rsa => '303 9c 0', old => '301 2f 0', java => '301 c013 17', pos => '302 c014 17', gateway => '303 2f 0');
sub handshake {
    my ($offer, $address, %o) = @_;
    my ($outcome, $chosen) = $o{outcome} ? ($o{outcome}, '0 0 0') : (1, $chosen{$offer});
    return join(' ', $now - ($o{ago} // 0), $o{vhost} // 'a:443', $outcome, $chosen, $address, $offers{$offer}, $o{agent} // "$offer/1") . "\n";
}
sub statistics {
    my ($text) = @_;
    my $file = ctl_file('tls.stats', '');
    my $input = ctl_file('handshakes', $text);
    my $tool = Usher::Env::builddir() . '/t/unit/tlsstatstool';
    is system("'$tool' '$file' $now <'$input'"), 0, 'statistics are made';
    return $file;
}
our $stats = statistics(join '',
    map({ handshake('old', '2001:db8::9', ago => 86400 * $_, vhost => 'b:443') } 8, 1, 1),
    map({ handshake('rsa', '192.0.2.7', ago => 86400 * $_, agent => "bank\e/2") } reverse 0 .. 5),
    map({ handshake('new', "10.0.0.$_", ago => 60 * (60 - $_)) } 1 .. 60),
    handshake('old', '192.0.2.8', outcome => 3));

subtest 'show' => sub {
    my ($code, $out, $err) = tls('show', '--file', $stats);
    is "$code$err", '0', 'done';
    like $out, qr/counted since 2001-09-09 01:46:40, saved at 2026-11-22 18:13:36\n.*within 1\.6 %/, 'since when, and how exactly';
    like $out, qr/^By version\n\n.*\n +60 +86\.96% +60 +60  TLSv1\.3\n +6 +8\.70% +6 +1  TLSv1\.2\n +3 +4\.35% +3 +1  TLSv1\n/m, 'versions';
    like $out, qr/^ +6 +8\.70% +6 +1  TLSv1\.2  AES128-GCM-SHA256\n/m, 'ciphers';
    like $out, qr/^ +60 +86\.96% +60 +-  x25519\n/m, 'groups';
    like $out, qr/^ +3 +4\.35% +3 +-  b:443  TLSv1\n/m, 'virtual hosts';
    like $out, qr/^ +1 100\.00% +0 +-  unsupported-version  TLSv1\n/m, 'failures';
    like $out, qr/^ +3 +0  2026-11-21 18:13:36  2001:db8::9  TLSv1 +old\/1\n/m, 'clients of an old version';
    like $out, qr/^ +6 +0  2026-11-22 18:13:36  192\.0\.2\.7 +AES128-GCM-SHA256  bank\\x1b\/2\n/m, 'and of a weak cipher';
    unlike $out, qr/By day/, 'no days';
    ($code, $out) = tls('show', '-f', $stats, '--days', 2, '--top', 1);
    like $out, qr/^Of the last 2 days \(UTC\)\.\n/m, '--days';
    like $out, qr/^By day\n\n.*\n +3 +0 +3  2026-11-21 00:00:00\n +61 +1 +61  2026-11-22 00:00:00\n/m, 'each of them';
    like $out, qr/^ +60 +93\.75% .*\n +and 2 more: --top 0 shows them\n/m, '--top';
    like((tls('show', '-f', $stats, '-t', 1))[1], qr/^Of the last hour \(UTC\)\.$/m, 'one hour');
    ($code, $out) = tls('show', '-f', $stats, '--hours', 2, '--vhost', 'a:443', '--json');
    my $got = json($out);
    is_deeply [map { $_->{from} - $now + 2016 } @{ $got->{times} }], [ -2400, 1200 ], '--hours' or diag $out;
    is $got->{versions}[0]{version}, 'TLSv1.3', '--vhost, --json';
    is @{ $got->{vhosts} } + 0, 2, 'no other host';
    is $got->{named}[0]{agent}, "bank\e/2", 'any bytes';
};

sub what_if {
    my ($code, $out, $err) = tls('what-if', '-f', $stats, '--json', @_);
    is $code, 0, "what-if @_" or diag $err;
    return json($out);
}
my @modern = ('SSLProtocol -all +TLSv1.2 +TLSv1.3');

subtest 'what-if' => sub {
    my $got = what_if(@modern);
    is_deeply $got->{connections}, { all => 69, fail => 3, failed_already => 1, lost => 0, cut => 0 }, 'connections of a week' or diag explain $got->{connections};
    is_deeply [@{ $got->{clients} }{qw(all fail)}], [63, 2], 'clients';
    is_deeply [map { [@$_{qw(alert reason connections clients)}, "@{ $_->{versions} }"] } @{ $got->{offers} }], [[70, 'unsupported protocol', 3, 2, 'TLSv1']], 'offers';
    is_deeply [map { [@$_{qw(client connections agent)}] } @{ $got->{named} }], [['2001:db8::9', 3, 'old/1'], ['192.0.2.8', 1, '']], 'named clients';
    is what_if('--days', 9, @modern)->{connections}{fail}, 4, '--days 9';
    is what_if('--days', 1, @modern)->{connections}{fail}, 1, '--days 1';
    is what_if('SSLProtocol all', 'SSLCipherSuite ALL:@SECLEVEL=0')->{connections}{fail}, 0, 'everybody may';
    $got = what_if(@modern, 'SSLCipherSuite ECDHE+AESGCM');
    is $got->{connections}{fail}, 9, 'no RSA key exchange';
    is_deeply [map { "$_->{alert} $_->{reason}" } @{ $got->{offers} }], ['40 no shared cipher', '70 unsupported protocol'], 'why';
    is $got->{named}[0]{client}, '192.0.2.7', 'who';
    is what_if('SSLProtocol TLSv1.3')->{connections}{fail}, 9, 'TLS 1.3 alone';
    is what_if('SSLOpenSSLConfCmd Groups P-384')->{connections}{fail}, 63, 'another group';

    my ($code, $out, $err) = tls('what-if', '-f', $stats, @modern, 'SSLHonorCipherOrder on');
    is $code, 0, 'for people';
    like $err, qr/SSLHonorCipherOrder: decides which cipher/, 'what was not looked at is told';
    like $out, qr/^connections +3 +69 +4\.35%\nclients +2 +63 +3\.17%  estimates: each is within 3\.2 %/m, 'sums';
    like $out, qr/^Of these 3 connections 1 have failed as it is\.$/m, 'what fails now';
    like $out, qr/^ +3 +1  70 protocol_version: unsupported protocol$/m, 'why';
    like $out, qr/^ +3 +2  2026-11-22 18:13:36  TLSv1  AES128-SHA,ECDHE-RSA-AES128-SHA  secp256r1$/m, 'offers';
    like $out, qr/^ +3  2026-11-21 18:13:36  2001:db8::9  TLSv1  unsupported protocol  old\/1$/m, 'clients';
};

subtest 'what-if: several clients behind one address' => sub {
    local $stats = statistics(join '', map { @$_ }
        [map { handshake('java', '127.0.0.9', ago => $_, agent => 'Java/1.6') } 1 .. 3],
        [handshake('pos', '127.0.0.9', agent => 'OldPOS/2')],
        [map { handshake('gateway', '127.0.0.9', ago => $_, agent => 'Gateway/3') } 1 .. 2]);
    my $got = what_if(@modern, 'SSLCipherSuite ECDHE+AESGCM');
    is_deeply [map { [@$_{qw(client for connections agent)}] } @{ $got->{named} }],
        [['127.0.0.9', 'TLSv1', 3, 'Java/1.6'], ['127.0.0.9', 'AES128-SHA', 2, 'Gateway/3'], ['127.0.0.9', 'TLSv1.1', 1, 'OldPOS/2']],
        'each is named, those in two lists once' or diag explain $got->{named};
};

subtest 'what-if: what nobody has said, nothing to judge by' => sub {
    my ($code, $out) = tls('what-if', '-f', $stats, 'SSLCipherSuite TLSv1.3 TLS_AES_128_GCM_SHA256');
    like $out, qr/^SSLCipherSuite TLSv1.*\nSSLProtocol is not given: .* all -SSLv3\nSSLCipherSuite is not given: .*\@SECLEVEL=\d; give that of the site/, 'what was assumed';
    ($code, $out) = tls('what-if', '-f', $stats, @modern, 'SSLCipherSuite ALL');
    unlike $out, qr/not given/, 'only what was not given';
    is scalar @{ what_if(@modern)->{assumed} }, 1, 'in JSON too';
    local $stats = statistics(handshake('old', '127.0.0.9', ago => 86400 * 9));
    ($code, $out) = tls('what-if', '-f', $stats, @modern);
    like $out, qr/^There is nothing to judge by: no offer is known of the last 7 days\.\nCounted since 2001-09-09 01:46:40\.\n\z/m, 'nothing was counted';
    unlike $out, qr/would fail/, 'so nothing is promised';
};

subtest 'what-if: the kind of certificate' => sub {
    my $dir = dirname($stats);
    my $make = sub { is system("openssl req -x509 -newkey $_[0] -nodes -days 2 -subj /CN=x -keyout /dev/null -out '$dir/$_[1].pem' 2>/dev/null"), 0, "a certificate: $_[1]" };
    $make->('rsa:2048', 'rsa');
    $make->('ec -pkeyopt ec_paramgen_curve:P-256', 'ec');
    my @all = ('SSLProtocol all', 'SSLCipherSuite ALL:@SECLEVEL=0');
    is what_if(@all, '--cert', "$dir/rsa.pem")->{connections}{fail}, 0, 'RSA';
    is what_if(@all, '--cert', "$dir/ec.pem")->{connections}{fail}, 9, 'ECDSA: not with ciphers of RSA alone';
    is what_if(@all, '-c', "$dir/ec.pem", '-c', "$dir/rsa.pem")->{connections}{fail}, 0, 'both';
    my ($code, $out, $err) = tls('what-if', '-f', $stats, '-c', $sample, @all);
    is "$code$out", '1', 'a file that is none';
    like $err, qr/haproxy-tls\.log: there is no certificate \(PEM\) in it/, 'why';
};

subtest 'statistics that are none, wrong directives' => sub {
    my $whole = slurp($stats);
    my %bad = (
        "$sample" => qr/is no file of statistics, or one of another release/,
        ctl_file('cut', substr $whole, 0, length($whole) - 9) => qr/is damaged/,
        ctl_file('changed', $whole =~ s/a:443/c:443/r) => qr/is damaged/,
        ctl_file('empty', '') => qr/is no file of statistics/,
        '/nowhere' => qr/No such file/,
        dirname($stats) => qr/is no file of statistics/,
    );
    for my $file (sort keys %bad) {
        for (['show'], ['what-if', @modern]) {
            my ($code, $out, $err) = tls($_->[0], '-f', $file, @$_[1 .. $#$_]);
            is "$code$out", '1', "$_->[0] $file: failed";
            like $err, $bad{$file}, 'why';
        }
    }
    for (['SSLProtocol TLSv9', qr/"TLSv9" is no version/], ['SSLProtocol -all', qr/no version is left/], ['SSLCipherSuite NONE', qr/no cipher match/],
        ['SSLEngine on', qr/knows SSLProtocol, SSLCipherSuite and SSLOpenSSLConfCmd/]) {
        my ($code, $out, $err) = tls('what-if', '-f', $stats, $_->[0]);
        is "$code$out", '1', "$_->[0]: refused";
        like $err, qr/^usherctl tls: \Q$_->[0]\E: .*$_->[1]/, 'why';
    }
    mkfifo("$stats.fifo", 0600) or die "$stats.fifo: $!";
    local $SIG{ALRM} = sub { die "usherctl waits for a FIFO\n" };
    alarm 30;
    my ($code, $out, $err) = tls('show', '-f', "$stats.fifo");
    alarm 0;
    is "$code$out", '1', 'a FIFO is not waited for';
    like $err, qr/is no file of statistics/, 'and said why';
    ($code, $out, $err) = tls('show', '-f', $stats, '--vhost', 'none');
    is "$code$out", '1', 'no such virtual host';
    like $err, qr/there is no virtual host "none" in /, 'why';
};

subtest 'wrong usage' => sub {
    for (['show --days 0', qr/"0" is no value of --days\n/], ['report -s x', qr/"x" is no value of --since\n/], ['what-if -n x', qr/"x" is no value of --top\n/],
        ['show -d 5 -t 3', qr/either --days or --hours\n/], ['what-if SSLProtocol +TLSv1.3', qr/in quotes: "SSLProtocol VALUE"\n/],
        ['what-if SSLProtocol -all +TLSv1.3', qr/in quotes: "SSLProtocol VALUE"\n/]) {
        my ($code, $out, $err) = tls(split ' ', $_->[0]);
        is "$code$out", '2', $_->[0];
        like $err, qr/^usherctl tls: .*$_->[1]/m, 'says why';
    }
    for my $args ([], ['none'], ['report', '--by', 'none'], ['report', '--by', 'version,version'], ['report', '--by', ''], ['report', '--since', 'x'],
        ['report', '--old', 'x'], ['report', '--top', -1], ['report', '--none'], ['show', 'x'], ['show', '--days', 0], ['show', '--days', 33],
        ['show', '--hours', 49], ['show', '--hours', 'x'], ['what-if'], ['what-if', '--days', 0, @modern], ['what-if', '--top', 'x', @modern]) {
        my ($code, $out, $err) = tls(@$args);
        is "$code$out", '2', "@$args";
        like $err, qr/^usage: usherctl tls/m, 'tells of the right one';
    }
    for my $args (['--help'], ['report', '--help'], ['show', '-h'], ['what-if', '--help']) {
        my ($code, $out) = tls(@$args);
        is $code, 0, "@$args";
        like $out, qr/^usage: usherctl tls/, 'is there';
    }
};

done_testing;
