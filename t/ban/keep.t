# Bans are kept: over restarts, a stop and a kill, by whatever the clock shows, and when the store
# does not work for a while; who comes back after all that is banned for longer. And who else is
# told: the log of bans, and a program.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::Local qw(timegm);
use Usher::BanKeep;
use Usher::Env ();
use Usher::Wait;

sub slurp {
    open my $fh, '<', $_[0] or return '';
    local $/;
    return scalar <$fh> // '';
}

# Who has ended does not, also before somebody asks how.
sub lives { return slurp("/proc/$_[0]/stat") =~ /\) [^XZ] [^)]*\z/ }

sub write_file {
    my ($path, $text) = @_;

    open my $fh, '>', "$path.new" or die "$path: $!";
    print $fh $text;
    close $fh;
    rename "$path.new", $path or die "$path: $!";
    return;
}

sub epoch { my @parts = ($_[0] // '0-0-0') =~ /\d+/g; return @parts > 5 ? timegm(@parts[5, 4, 3, 2], $parts[1] - 1, $parts[0]) : 0 }

# It is the ban that it was; its end may be a second's other side, or be told a moment late.
sub same_ban {
    my ($httpd, $was, $name) = @_;
    my $is = ban_of($httpd, $was->{prefix}) // {};
    my $until = abs(epoch($is->{until}) - epoch($was->{until})) <= 5 ? $was->{until} : $is->{until};

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_deeply [map({ $_ => $is->{$_} } qw(state times events by name why)), $until],
        [map({ $_ => $was->{$_} } qw(state times events by name why)), $was->{until}], $name;
}

subtest 'restarts' => sub {
    my $httpd = keep_httpd();
    ok $httpd->start, 'httpd starts' or diag $httpd->console;
    is scan($httpd, '127.0.0.9', 3), 404, 'a scanner';
    ok banned_is($httpd, '127.0.0.9', 'banned'), 'is banned';
    is scan($httpd, '127.0.0.9', 1, '/index.html'), 0, 'and turned away';
    is scan($httpd, '127.0.0.8', 1, '/index.html'), 200, 'his neighbour is not';
    is guard($httpd)->call(PUT => '/bans/2001:db8::/64', { for => 'forever', why => 'by hand' })->{status}, 200, 'another one by hand';
    ok stored($httpd, '127.0.0.9'), 'the store has it';
    my @was = map { ban_of($httpd, $_) } qw(127.0.0.9 2001:db8::/64);

    for my $how (
        ['a graceful restart', sub { $httpd->graceful }],
        ['a restart', sub { $httpd->restart }],
        ['a stop and a start', sub { $httpd->stop; $httpd->start }],
        ['a kill and a start', sub { $httpd->kill; $httpd->start }],
    ) {
        my ($name, $do) = @$how;
        ok $do->(), $name;
        same_ban($httpd, $was[0], 'he is banned until then, not longer');
        same_ban($httpd, $was[1], 'as is the other one');
        is scan($httpd, '127.0.0.9', 1, '/index.html'), 0, 'and turned away';
    }
    is guard($httpd)->call(DELETE => '/bans/127.0.0.9')->{status}, 200, 'he is freed';
    is scan($httpd, '127.0.0.9', 1, '/index.html'), 200, 'and served';
    $httpd->kill;
    ok $httpd->start, 'a kill and a start';
    is ban_of($httpd, '127.0.0.9'), undef, 'freed is freed';
    same_ban($httpd, $was[1], 'the other one is not');

    # What somebody says counts for more than a rule does, but not for longer.
    my $stored = sub { my $ban = ban_of($httpd, '127.0.0.9') // {}; $ban->{stored} ? "$ban->{state} $ban->{by} $ban->{times}" : '' };
    scan($httpd, '127.0.0.9', 3);
    ok +(wait_until { $stored->() eq 'banned rule 1' } 30), 'he is banned again';
    is guard($httpd)->call(PUT => '/bans/127.0.0.9', { for => '1s' })->{status}, 200, 'for a second only, somebody says';
    ok +(wait_until { $stored->() eq 'over hand 1' } 30), 'which ends';
    scan($httpd, '127.0.0.9', 3);
    ok +(wait_until { $stored->() eq 'banned rule 2' } 30), 'he comes back, and is banned by the rule' or diag $stored->();
    is scan($httpd, '127.0.0.9', 1, '/index.html'), 0, 'and turned away';
    $httpd->finish('nothing else in the log');
};

subtest 'who comes back' => sub {
    my $httpd = keep_httpd();
    ok $httpd->start, 'httpd starts' or diag $httpd->console;
    for my $times (1 .. 3) {
        scan($httpd, '127.0.0.9', 1, '/short');
        my $ban;
        ok +(wait_until { $ban = ban_of($httpd, '127.0.0.9'); $ban && $ban->{times} == $times && $ban->{stored} } 30), "is banned for the $times. time";
        cmp_ok abs(epoch($ban->{until}) - epoch($ban->{since}) - 2**($times - 1)), '<=', 1, 'each time for longer';
        ok banned_is($httpd, '127.0.0.9', 'over'), 'which ends';
        $times == 2 ? $httpd->kill : $httpd->stop;
        ok $httpd->start, 'httpd is ended and started';
    }
    $httpd->finish('nothing else in the log');
};

subtest 'the wall clock jumps' => sub {
    my $httpd = keep_httpd('', preload => Usher::Env::builddir() . '/.libs/ushertestclock.so');
    my $clock = $httpd->root . '/clock';
    $httpd->{env} = { USHERTEST_CLOCK => $clock };
    ok $httpd->start, 'httpd starts' or diag $httpd->console;
    scan($httpd, '127.0.0.9', 3);
    ok stored($httpd, '127.0.0.9'), 'a ban';
    for my $jump (86400, -86400) {
        write_file($clock, "$jump\n");
        for my $when ('before', 'after') {
            my $left = ban_of($httpd, '127.0.0.9')->{left};
            cmp_ok $left, '>', 2400, "$jump s, $when a restart: nobody is freed";
            cmp_ok $left, '<=', 3600, 'nor banned for longer';
            next if $when eq 'after';
            $httpd->kill;
            ok $httpd->start, 'a kill and a start' or return diag $httpd->console, join "\n", $httpd->log->lines;
        }
    }
    $httpd->finish('nothing else in the log');
};

subtest 'a store that hangs, fails and is full' => sub {
    my $httpd = keep_httpd("UsherBanLog \@ROOT\@/bans.log\n", preload => Usher::Env::builddir() . '/.libs/ushertestdisk.so');
    my $root = $httpd->root;
    $httpd->{env} = { USHERTEST_DISK => $root };
    $httpd->log->tolerate(qr/USHER10(?:6[347]|70)/);
    ok $httpd->start, 'httpd starts' or diag $httpd->console;
    my $from = 10;

    for my $fault ($ENV{USHER_LONG} ? qw(hang fail full) : 'full') {
        my @scanners = map { '127.0.0.' . $from++ } 1 .. 3;
        write_file("$root/$fault", '');
        for my $scanner (@scanners) {
            is scan($httpd, $scanner, 3), 404, "$fault: a scanner";
            ok banned_is($httpd, $scanner, 'banned'), 'is banned at once';
            is scan($httpd, $scanner, 1, '/index.html'), 0, 'and turned away';
        }
        is guard($httpd)->call(PUT => '/bans/192.0.2.1', { for => '1h' })->{status}, 503, 'who bans by hand is told' if $fault eq 'full';
        is scan($httpd, '127.0.0.8', 1, '/index.html'), 200, 'others are served';
        unlink "$root/$fault" or die "$fault: $!";
        is scalar(grep { stored($httpd, $_) } @scanners), 3, 'when it is over the store gets all';
    }
    $httpd->kill;
    ok $httpd->start, 'a kill and a start';
    is scalar(grep { ((ban_of($httpd, "127.0.0.$_") // {})->{state} // '') eq 'banned' } 10 .. $from - 1), $from - 10, 'all are banned';
    is scalar(() = slurp("$root/bans.log") =~ / ban 127\.0\.0\.\d+ /g), $from - 10, 'each was said once';
    $httpd->finish('nothing else in the log');
};

# A program that writes what it is told into a file, and says where it begins.
sub listener {
    my ($root) = @_;

    write_file("$root/listener", <<"EOT");
#!$^X
\$| = 1;
open my \$out, '>>', \$ARGV[0] or die;
select \$out;
\$| = 1;
print "started \$\$\\n";
print while <STDIN>;
EOT
    chmod 0755, "$root/listener";
    return;
}

# What it knows by now: who is banned since it was told to flush.
sub heard {
    my ($file) = @_;
    my %last;

    for (split /\n/, slurp($file)) {
        %last = () if /^(?:started|flush)/;
        $last{$1} = 1 if /^add (\S+) \d+$/;
        delete $last{$1} if /^remove (\S+)$/;
    }
    return join ' ', sort keys %last;
}

subtest 'a program, and the log' => sub {
    my $httpd = keep_httpd("UsherBanExport \"/bin/sh \@ROOT\@/listener\"\nUsherBanLog \"|\$echo \$\$ >>\@ROOT\@/loggers; exec cat >>\@ROOT\@/log\"\n");
    my $root = $httpd->root;
    my $heard = "$root/heard";
    listener($root);
    $httpd->conf($httpd->{conf} =~ s{/bin/sh \@ROOT\@/listener}{$root/listener $heard}r);
    ok $httpd->start, 'httpd starts' or diag $httpd->console;
    ok +(wait_until { slurp($heard) =~ /^started \d+\nflush\n/ } 30), 'the program is started, and told to begin with nothing';

    scan($httpd, '127.0.0.9', 3);
    ok +(wait_until { slurp("$root/log") =~ / ban 127\.0\.0\.9 / } 30), 'the log has a ban';
    is guard($httpd)->call(PUT => '/bans/2001:db8::/64', { for => 'forever', why => q(a "quoted" \ word) })->{status}, 200, 'somebody by hand';
    ok +(wait_until { heard($heard) eq '127.0.0.9 2001:db8::/64' } 30), 'it hears of bans' or diag slurp($heard);
    like slurp($heard), qr/^add 127\.0\.0\.9 3[56]\d\d$/m, 'for how long';
    like slurp($heard), qr{^add 2001:db8::/64 0$}m, '0: for ever';
    is guard($httpd)->call(DELETE => '/bans/127.0.0.9')->{status}, 200, 'he is freed';
    ok +(wait_until { heard($heard) eq '2001:db8::/64' } 30), 'it hears of that' or diag slurp($heard);

    $httpd->log->expect(qr/:warn\].*USHER8075: UsherBanExport ".*": has ended with 9,/);
    my ($pid) = slurp($heard) =~ /^started (\d+)/;
    kill KILL => $pid;
    scan($httpd, '127.0.0.10', 3);
    ok +(wait_until { slurp($heard) =~ /^started (?!$pid\n)\d+\nflush\n/m } 60), 'killed, it is started again';
    ok +(wait_until { heard($heard) eq '127.0.0.10 2001:db8::/64' } 30), 'and told all' or diag slurp($heard);

    ok +(wait_until { slurp("$root/log") =~ / ban 127\.0\.0\.10 / } 30), 'the log, too: its program will be ended';
    ok $httpd->graceful, 'a graceful restart';
    ok +(wait_until { (() = slurp($heard) =~ /^started/mg) == 3 && heard($heard) eq '127.0.0.10 2001:db8::/64' } 30), 'a new one is told all'
        or diag slurp($heard);
    ($pid) = slurp($heard) =~ /.*^started (\d+)/ms;
    scan($httpd, '127.0.0.11', 3);
    ok +(wait_until { heard($heard) eq '127.0.0.10 127.0.0.11 2001:db8::/64' } 30), 'and what comes then' or diag slurp($heard);
    ok +(wait_until { slurp("$root/log") =~ / ban 127\.0\.0\.11 / } 30), 'the log has it, too';
    # httpd ends programs of logs at a restart, and no longer knows them then: it does so with those of
    # CustomLog. That of UsherBanExport is none of these, but where it could not end within a second.
    my $lost = join '|', split(' ', slurp("$root/loggers")), patience > 1 ? slurp($heard) =~ /^started (\d+)/mg : ();
    $httpd->log->tolerate(qr/AH\d+: long lost child came home! \(pid (?:$lost)\)/);
    $httpd->finish('nothing else in the log');
    ok +(wait_until { !lives($pid) } 10), 'it ends with httpd';

    my @lines = split /\n/, slurp("$root/log");
    my $utc = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00/;
    like $lines[0], qr{^$utc ban 127\.0\.0\.9 by="rule scan" for=(?:1h|35\d\ds) until=$utc rule="scan" times=1 events=3 why="[^"]*/scan[^"]*"}, 'the log has a line of the ban';
    like $lines[1], qr{^$utc ban 2001:db8::/64 by="key guard" for=ever rule="" times=1 events=0 why="a \\"quoted\\" \\\\ word" note="from 127\.0\.0\.1"$}, 'of that by hand';
    like $lines[2], qr{^$utc remove 127\.0\.0\.9 by="key guard" }, 'of its end';
    is scalar(@lines), 5, 'and one of each other one' or diag join "\n", @lines;
};

subtest 'a program that ends by itself' => sub {
    my $httpd = keep_httpd("UsherBanExport \"/bin/sh -c 'exit 3'\"\n");

    $httpd->log->expect(qr/:warn\].*USHER8075: UsherBanExport "\/bin\/sh -c 'exit 3'": has ended with 3, its exit status or/);
    ok $httpd->start, 'httpd starts' or diag $httpd->console;
    ok $httpd->log->wait_for(qr/USHER8075/, 30), 'how it ended is told';
    $httpd->finish('nothing else in the log');
};

subtest 'what configtest refuses' => sub {
    for my $case (
        ['UsherBanLog', qr/UsherBanLog takes one argument: a file or/],
        ['UsherBanLog "|"', qr/a program must follow the \|/],
        ['UsherBanLog /nowhere/bans.log', qr{there is no folder /nowhere/; make it}],
        ['UsherBanLog /', qr{is a folder; name a file in it}],
        ["<VirtualHost *>\nUsherBanLog logs/bans\n</VirtualHost>", qr/UsherBanLog belongs outside of all sections/],
        ['UsherBanExport', qr/UsherBanExport takes one argument: a program/],
        ['UsherBanExport " "', qr/takes a program and its arguments/],
        ['UsherBanExport "cat -u"', qr{the program's path must begin with /}],
        ['UsherBanExport "/nowhere/program x"', qr{/nowhere/program is no program that can be run}],
        ["<VirtualHost *>\nUsherBanExport /bin/cat\n</VirtualHost>", qr/UsherBanExport belongs outside of all sections/],
    ) {
        my ($line, $says) = @$case;
        my ($code, $out) = Usher::Httpd->new(name => "ban-keep-$$", conf => "$line\n", usher => [qw(usher usher_ban)])->configtest;
        isnt $code, 0, "$line is refused";
        like $out, $says, 'with the remedy';
    }
};
done_testing;
