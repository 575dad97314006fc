# usherctl log: its figures are those that Perl computes from the same requests, in each
# form of the line and with each filter; what is not a line is counted, shown once and
# harms nothing.
use strict;
use warnings FATAL => 'all';

use Compress::Zlib ();
use File::Basename qw(dirname);
use JSON::PP ();
use Test::More;
use Usher::Ctl;
use Usher::Env ();
use Usher::LogLines;

my @times = qw(read queue connect first total);
my @percents = (50, 90, 95, 99);
$ENV{TZ} = 'UTC';

sub summary {
    my @args = @_;
    my ($code, $out, $err) = usherctl('log', '--json', @args);

    return ($code, eval { JSON::PP::decode_json($out) } // {}, $err);
}

# A sample: its requests as they are told, and the file.
sub sample {
    my ($kind, $lines, $seed) = @_;
    my $make = Usher::LogLines->new(kind => $kind, seed => $seed, members => 4);
    my (@requests, $text);

    for (1 .. $lines) {
        my $r = $make->request;
        $text .= $make->line($r) . "\n";
        if ($r->{kind} =~ /httplog|syslog/) {
            $_ = defined $_ ? 1000 * int($_ / 1000) : undef for @{ $r->{times} };
            $r->{in} = 0;
            $r->{at} -= $r->{at} % 1000;
        }
        elsif ($r->{kind} eq 'usher') {
            $r->{at} -= $r->{at} % 1_000_000;
        }
        $r->{host} = $r->{vhost} . ($r->{kind} =~ /usher|json/ ? ':443' : '');
        push @requests, $r;
    }
    return (\@requests, ctl_file("$kind.log", $text));
}

sub sum { my $sum = 0; $sum += $_ for @_; return $sum }
sub count { my ($is, @of) = @_; return scalar grep { $is->() } @of }

# What --json has to say of these requests; times as sorted lists.
sub expected {
    my @of = @_;
    my %group = (
        requests => scalar @of,
        status_5xx => count(sub { $_->{status} >= 500 }, @of),
        status_4xx => count(sub { $_->{status} =~ /^4/ }, @of),
        aborted_by_client => count(sub { $_->{state} =~ /^[cC]/ }, @of),
        cut_by_server => count(sub { $_->{state} =~ /^[sS]/ }, @of),
        retries => sum(map { $_->{tries} - 1 } @of),
        bytes_in => sum(map { $_->{in} } @of),
        bytes_out => sum(map { $_->{out} } @of),
        ended => {},
    );
    ++$group{ended}{ substr $_->{state}, 0, 2 } for @of;
    return \%group;
}

sub sorted {
    my ($i, @of) = @_;
    return [sort { $a <=> $b } grep { defined } map { $_->{times}[$i] } @of];
}

sub percentile {
    my ($percent, $sorted) = @_;
    return $sorted->[int((@$sorted * $percent + 99) / 100) - 1];
}

# '' or what is wrong with the times that are told
sub wrong_times {
    my ($told, @of) = @_;

    for my $i (0 .. 4) {
        my ($is, $sorted) = ($told->{ $times[$i] }, sorted($i, @of));
        return "$times[$i]: $is->{requests}, not " . @$sorted if $is->{requests} != @$sorted;
        next unless @$sorted;
        return "$times[$i]: max $is->{max}, not $sorted->[-1]" if $is->{max} != $sorted->[-1];
        return "$times[$i]: sum" if $is->{sum} != sum(@$sorted);
        for my $percent (@percents) {
            my $exact = percentile($percent, $sorted);
            return "$times[$i]: $percent % is $exact, told $is->{\"p$percent\"}"
                if abs($is->{"p$percent"} - $exact) > 0.016 * $exact;
        }
    }
    return '';
}

sub agrees {
    my ($name, $told, @of) = @_;
    my $expected = expected(@of);

    is_deeply +{ map { $_ => $told->{$_} } keys %$expected }, $expected, "$name: counts";
    is wrong_times($told->{times_us}, @of), '', "$name: times within 1.6 %";
}

sub member { my ($r) = @_; return "$r->{cluster}/" . ($r->{member} // '-') }

sub groups_agree {
    my ($name, $told, $of, $name_of) = @_;
    my %requests;

    push @{ $requests{ $name_of->($_) } }, $_ for @$of;
    is_deeply [sort map { $_->{name} } @{ $told->{groups} }], [sort keys %requests], "$name: all groups";
    for my $group (@{ $told->{groups} }) {
        my @of = @{ $requests{ $group->{name} } // [] };
        my $expected = expected(@of);
        my @wrong = grep { !ref $expected->{$_} && $expected->{$_} != $group->{$_} } keys %$expected;
        is_deeply [@wrong, wrong_times($group->{times_us}, @of) || ()], [], "$name: $group->{name}";
    }
    return;
}

for my $kind (qw(usher httplog syslog json mixed)) {
    my ($requests, $file) = sample($kind, 2500, 11);
    my ($code, $told, $err) = summary($file);

    is "$code $err", '0 ', "$kind: is read";
    is "$told->{lines} $told->{not_understood}", '2500 0', "$kind: each line";
    agrees($kind, $told, @$requests);
    my %statuses;
    ++$statuses{ $_->{status} } for @$requests;
    is_deeply $told->{statuses}, \%statuses, "$kind: statuses";
    groups_agree("$kind by member", $told, $requests, \&member);
}

my ($requests, $file) = sample('mixed', 3000, 5);

# Of one httpd that had all three: the same, but for what has whole milliseconds or is not told.
subtest 'lines that httpd has written' => sub {
    my %told;
    for my $kind (qw(usher httplog json)) {
        my ($code, $told, $err) = summary(Usher::Env::srcdir() . "/t/log/samples/$kind.log");
        is "$code $told->{not_understood} $err", '0 0 ', "$kind: all understood";
        $told{$kind} = { map { $_ => $told->{$_} } qw(requests status_5xx status_4xx aborted_by_client cut_by_server retries bytes_out ended statuses) };
        $told{$kind}{members} = [sort map { "$_->{name} $_->{requests}" =~ s{^[^/]*/(?=\w+://)}{}r } @{ $told->{groups} }];
        $told{$kind}{times} = join ' ', map { $told->{times_us}{$_}{requests} } @times;
    }
    is_deeply $told{usher}, $told{json}, 'usher and json: the same figures';
    is_deeply $told{httplog}, $told{usher}, 'and httplog';
};

subtest 'what groups are made by' => sub {
    my %by = (
        cluster => sub { $_[0]{cluster} }, vhost => sub { $_[0]{host} },
        status => sub { $_[0]{status} }, state => sub { $_[0]{state} },
        path => sub { $_[0]{uri} =~ s/\?.*//r },
    );
    for my $by (sort keys %by) {
        my ($code, $told) = summary('--by', $by, '--top', 0, $file);
        groups_agree("by $by", $told, $requests, $by{$by});
    }
};

subtest 'order, and how many are shown' => sub {
    my $p95 = sub { $_[0]{times_us}{first}{p95} // 9e9 };
    my ($code, $told) = summary($file);
    my @weights = map { $p95->($_) } @{ $told->{groups} };
    is_deeply \@weights, [sort { $b <=> $a } @weights], 'slowest first';
    is $told->{groups}[0]{name}, 'app/-', 'those that never answered before them';
    my $own = '192.0.2.1:1 [22/Nov/2026:18:00:00.500] w w/<NOSRV> 0/-1/-1/-1/9 200 1 - - LR-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"';
    ($code, $told) = summary($file, ctl_file('own', "$own\n"));
    is $told->{groups}[-1]{name}, '-', 'what httpd has answered itself behind all';
    ($code, $told) = summary(qw(--sort requests --top 2), $file);
    my @requests = map { $_->{requests} } @{ $told->{groups} };
    is "@requests[0, 1]", join(' ', (sort { $b <=> $a } @requests)[0, 1]), 'by requests';
    is scalar @{ $told->{groups} } . " of $told->{groups_in_all}", '2 of 5', '--top';
    ($code, $told) = summary(qw(--sort errors), $file);
    my @errors = map { $_->{status_5xx} + $_->{cut_by_server} } @{ $told->{groups} };
    is_deeply \@errors, [sort { $b <=> $a } @errors], 'by errors';
};

subtest 'slowest requests' => sub {
    my ($code, $told) = summary('--slowest', 7, $file);
    my @slowest = (sort { $b->{times}[4] <=> $a->{times}[4] } @$requests)[0 .. 6];
    is_deeply [map { [@$_{qw(total_us status state uri method)}] } @{ $told->{slowest} }],
        [map { [$_->{times}[4], @$_{qw(status state uri method)}] } @slowest], 'as they were';
    ($code, $told) = summary('--slowest', 0, $file);
    is_deeply $told->{slowest}, [], 'none';
};

subtest 'filters' => sub {
    my $middle = $requests->[1500]{at};
    my @t = gmtime($middle / 1_000_000);
    my $when = sprintf '%d-%02d-%02dT%02d:%02d:%02d', $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0];
    my $from = 1_000_000 * int($middle / 1_000_000);
    my %filter = (
        "--since ${when}Z" => sub { $_->{at} >= $from },
        "--until $when+00:00" => sub { $_->{at} < $from },
        "--since $when" => sub { $_->{at} >= $from },
        '--since 2026-11-22 --until 2026-11-23' => sub { 1 },
        '--member tc2' => sub { ($_->{member} // '') eq 'tc2' },
        '--member tc2 --member tc4' => sub { ($_->{member} // '') =~ /^tc[24]$/ },
        '--cluster app --vhost shop.example.com:443' => sub { $_->{host} eq 'shop.example.com:443' },
        '--member -' => sub { !defined $_->{member} },
        '--cluster other' => sub { 0 },
        '--status 404,5xx' => sub { $_->{status} == 404 || $_->{status} >= 500 },
        '--status 500-503' => sub { $_->{status} >= 500 && $_->{status} <= 503 },
        '--state SC,C' => sub { $_->{state} =~ /^(?:SC|C)/ },
        '--state ?D?N' => sub { $_->{state} =~ /^.D.N/ },
        '--member tc1 --status 2xx --state CD' => sub { ($_->{member} // '') eq 'tc1' && $_->{state} =~ /^CD/ && $_->{status} =~ /^2/ },
    );
    for my $options (sort keys %filter) {
        my ($code, $told) = summary(split(/ /, $options), $file);
        my @of = grep { $filter{$options}->() } @$requests;
        agrees($options, $told, @of);
        is $told->{left_out}, 3000 - @of, "$options: the others are counted";
    }
};

subtest 'times of day' => sub {
    my $httplog = '192.0.2.1:1 [22/Nov/2026:18:00:00.500] w a/b 0/0/0/0/1 200 1 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1"' . "\n";
    local $ENV{TZ} = 'XYZ-9';
    my ($code, $told) = summary(ctl_file('zone', $httplog));
    is $told->{from}, '2026-11-22T09:00:00.500000Z', 'without a zone it is the one of this machine';
    ($code, $told) = summary('--since', '2026-11-22 18:00', ctl_file('zone', $httplog));
    is $told->{requests}, 1, 'what is typed, too';
    ($code, $told) = summary('--until', '2026-11-22T18:00', ctl_file('zone', $httplog));
    is $told->{requests}, 0, 'until: not with it';
    ($code, $told) = summary('--since', '1h', ctl_file('zone', $httplog));
    is $told->{requests} // 'none', time - 3600 > 1_795_338_000 ? 0 : 1, 'how long ago';
};

sub slurp { open my $fh, '<:raw', $_[0] or die $!; local $/; return scalar <$fh> }

subtest 'where it is read from' => sub {
    my $text = slurp($file);
    my $gz = ctl_file('log', Compress::Zlib::memGzip($text) . Compress::Zlib::memGzip($text));
    my ($code, $told, $err) = summary($gz);
    is "$code $told->{lines} $err", '0 6000 ', 'compressed, in two pieces';
    my ($many, $twice) = summary($file, $gz);
    is $twice->{lines}, 9000, 'several files';
    my $ctl = Usher::Env::builddir() . '/usherctl/usherctl';
    is JSON::PP::decode_json(scalar qx($ctl log -j <'$file'))->{lines}, 3000, 'standard input';
    is JSON::PP::decode_json(scalar qx(cat '$gz' | $ctl log -j -))->{lines}, 6000, 'compressed, by a pipe';
    is scalar qx(head -c 20000 '$file' | $ctl log -j 2>/dev/null) =~ /"not_understood":1,/ ? 1 : 0, 1,
        'the line where the pipe was closed is told';
    is scalar qx(cat /dev/null | $ctl log), "no requests\n", 'nothing';
    ($code, $told, $err) = summary(ctl_file('cr', "\r\n\n" . $text =~ s/\n/\r\n/gr =~ s/\r\n\z//r));
    is "$code $told->{lines} $err", '0 3000 ', 'lines of Windows, empty ones, none at the end';
};

subtest 'what cannot be read' => sub {
    my ($code, $told, $err) = summary('/nonexistent', dirname($file), $file);
    is "$code $told->{lines}", '1 3000', 'the other files are read';
    like $err, qr{^usherctl log: /nonexistent: No such file.*^usherctl log: /.*is a directory}ms, 'it is told';
    my $gz = Compress::Zlib::memGzip(slurp($file));
    ($code, $told, $err) = summary(ctl_file('cut', substr $gz, 0, length($gz) - 2000));
    is "$code", '1', 'a compressed file that is cut off';
    like $err, qr{the compressed file is cut off}, 'is told';
    cmp_ok $told->{lines}, '>', 1000, 'what is there is read';
    ($code, $told, $err) = summary(ctl_file('bad', substr($gz, 0, 500) . 'x' x 500 . substr $gz, 1000));
    is $code, 1, 'a compressed file that is broken';
    like $err, qr{cannot be uncompressed}, 'is told';
};

subtest 'hostile bytes' => sub {
    my $nasty = join '', map { chr } 0 .. 255;
    my $long = 'y' x 900_000;
    my @good = (split /\n/, slurp($file))[0 .. 9];
    my $escape = $good[0] =~ s/(member=|"member":"|app\/)/$1\\u001b[31m\\x1b[31m#1b/r;
    my ($code, $told, $err) = summary(ctl_file('nasty', join "\n", "\e[31m" . $nasty, @good, $long, $long, $escape, $nasty x 50, substr($good[3], 0, -30)));
    is "$code $told->{not_understood}", '0 ' . ($told->{lines} - 11), 'what is a line is read';
    is $told->{requests}, 11, 'all of them';
    like $err, qr/^usherctl log: \S+nasty:1: not understood: \\x1b\[31m[\x20-\x7e]*\n.* lines were not understood\n\z/, 'the first other one is shown, clean';
    my ($again, $out) = usherctl('log', ctl_file('nasty', join "\n", $escape, @good));
    unlike $out . $err, qr/[^\n\x20-\x7e]/, 'nothing but printable ASCII comes out';
    my ($bad, $none, $said) = usherctl('log', ctl_file('other', "$nasty\n" x 3));
    is "$bad $none", "1 no requests\n", 'a file with no line at all: exit code 1';
    like $said, qr/[1-9] of [1-9]\d* lines were not understood/, 'and how many';
    my $name = "a\x9b\xc2\x9b2J\xc3\xbc\xe2\x82\xac\xc2\xb5\xc3";
    (undef, undef, $said) = usherctl('log', $name);
    is $said, "usherctl log: a?\xc2?2J\xc3\xbc\xe2\x82\xac\xc2\xb5\xc3: No such file or directory\n", 'no terminal is told anything by a name, also in its own characters';
};

subtest 'more members than are told apart' => sub {
    my $line = '192.0.2.1:1 [22/Nov/2026:18:00:00.500] w a/%d 0/0/0/0/%d 200 1 - - %s%s-- 1/1/1/1/0 0/0 "GET / HTTP/1.1"' . "\n";
    my @letters = ('A' .. 'Z');
    my ($code, $told) = summary('--top', 0, ctl_file('many', join '', map { sprintf $line, $_ % 5000, $_, $letters[$_ / 26 % 26], $letters[$_ % 26] } 0 .. 9999));
    is $told->{requests}, 10_000, 'all are counted';
    is $told->{groups_in_all}, 4096, 'so many groups';
    is $told->{others}{requests}, 2 * (5000 - 4096), 'and the others in one';
    is sum(map { $_->{requests} } @{ $told->{groups} }), 2 * 4096, 'each in its place';
    is sum(values %{ $told->{ended} }), 10_000, 'ends: with their own others';
    is $told->{times_us}{total}{max}, 9_999_000, 'the times of all';
    is scalar(keys %{ $told->{ended} }), 49, 'and no more';
};

subtest 'a reader that goes away' => sub {
    my $ctl = Usher::Env::builddir() . '/usherctl/usherctl';
    my $log = ctl_file('exit', '');
    my $got = qx(($ctl log --by path --top 0 '$file' 2>&1; echo \$? >'$log') | head -c 10);
    is length $got, 10, 'it got its bytes';
    like slurp($log), qr/^(?:141|1)$/, 'and the command ends, not well';
    my ($code) = (system("$ctl log '$file' >/dev/full 2>'$log'") >> 8);
    is $code, 1, 'a full disk';
    like slurp($log), qr/No space left/, 'is told';
};

subtest 'usage' => sub {
    for my $wrong (['--by', 'x'], ['--top', '-1'], ['--top', '1x'], ['--slowest', '1001'], ['--since', 'x'],
        ['--since', '2026-02-30'], ['--since', '2026-11-22T18:00+99:00'], ['--until', '2026-11-22T1'],
        ['--status', '99'], ['--status', '404,'], ['--status', '600-500'], ['--state', 'SHVNX'], ['--state', 'S.'],
        ['--sort', 'x'], ['--nonsense'], ['--by']) {
        my ($code, $out, $err) = usherctl('log', @$wrong, $file);
        is "$code $out", '2 ', "@$wrong";
        isnt $err, '', "@$wrong: it is told";
    }
    my ($code, $out) = usherctl('log', '--help');
    is $code, 0, '--help';
    like $out, qr/^usage: usherctl log /, 'tells how';
};

subtest 'for people' => sub {
    my ($code, $out, $err) = usherctl('log', '--slowest', 1, $file);
    is "$code $err", '0 ', 'is printed';
    like $out, qr/^3000 requests, 2026-11-22 18:13:36 to 2026-11-22 18:14:\d\d \+0000, /, 'how many, when';
    my $e = expected(@$requests);
    my $share = sub { sprintf '%d (%.2f %%)', $_[0], $_[0] / 30 };
    like $out, qr/^  errors   5xx \Q@{[ $share->($e->{status_5xx}) ]}\E, 4xx \Q@{[ $share->($e->{status_4xx}) ]}\E, aborted by client \Q@{[ $share->($e->{aborted_by_client}) ]}\E, cut by server \Q@{[ $share->($e->{cut_by_server}) ]}\E/m, 'shares';
    like $out, qr/^  ended    -- $e->{ended}{'--'}, CD $e->{ended}{CD}/m, 'ends';
    like $out, qr{^By member: 5, slowest first \(95 % of "first"\)\n\napp/-: }m, 'members';
    like $out, qr/^Slowest requests\n +\d/m, 'slowest';
};

subtest 'what the page shows' => sub {
    my $page = slurp(Usher::Env::srcdir() . '/docs/usherctl.md');
    my $log = ctl_file('access.log', scalar qx($^X '@{[ Usher::Env::srcdir() ]}/t/bench/loglines' --kind mixed --lines 20000 --members 2));
    my $shown = 0;

    while ($page =~ m{^    \$ usherctl log (.*)/var/log/apache2/access\.log\n((?:    .+\n|\n(?=    [^\$]))+)}mg) {
        my ($options, $expected) = ($1, $2);
        $expected =~ s/^    //mg;
        next if $expected =~ /^\$/m;
        my ($code, $out) = usherctl('log', split(/ /, $options), $log);
        is $out, $expected, "usherctl log $options";
        ++$shown;
    }
    is $shown, 2, 'two examples';
};

done_testing;
