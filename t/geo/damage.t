# Databases that are damaged, old, or none: what configtest refuses, and that whatever happens to
# the file of a running httpd, it goes on with what it had, until there is a good one again.
use strict;
use warnings FATAL => 'all';

use POSIX ();
use Test::More;
use Usher::Client ();
use Usher::Httpd ();
use Usher::MMDB ();
use Usher::Wait;

my @modules = (modules => [qw(authz_host dir)], usher => [qw(usher usher_geo)]);
my $good = Usher::MMDB::bytes('country', ip_version => 4);
my $other = Usher::MMDB::bytes('country', ip_version => 4, networks => { '127.0.0.2/32' => Usher::MMDB::country('KR') });
my ($nodes) = $good =~ /node_count\xc1(.)/s or die 'another writer?';
my $tree = 6 * ord $nodes;
my $meta = rindex $good, "\xab\xcd\xefMaxMind.com";

sub with {
    my ($bytes, $at, $new) = @_;

    substr($bytes, $at, length $new) = $new;
    return $bytes;
}

# Another value of what it says of itself, as long as the one that was there.
sub telling {
    my ($name, $new) = @_;
    return with($good, rindex($good, $name) + length $name, $new);
}

# name => [bytes (undef: no file), what configtest says of it]
my %files = (
    'good' => [$good, undef],
    'no file' => [undef, qr/No such file|does not exist|cannot be opened/],
    'an empty one' => ['', qr/empty|no MaxMind mark/],
    'a page' => ["<html>Sign in to download GeoLite2</html>\n" x 50, qr/no MaxMind mark at its end: it is cut off/],
    'an archive' => ["\x1f\x8b\x08" . $good x 2 . "\0" x 200_000, qr/no MaxMind mark at its end/],
    'cut in its tree' => [substr($good, 0, $tree / 2), qr/no MaxMind mark/],
    'cut at its mark' => [substr($good, 0, $meta + 5), qr/no MaxMind mark/],
    'cut behind its mark' => [substr($good, 0, $meta + 14), qr/a value is cut off \(at byte \d+ of \d+\)/],
    'cut in what it says of itself' => [substr($good, 0, -5), qr/a value is cut off/],
    'without its first half' => [substr($good, $tree / 2), qr/its tree does not end where it says|does not fit/],
    'more nodes than there are' => [telling('node_count', "\xc1" . chr(1 + ord $nodes)), qr/its tree does not end where it says/],
    'nodes for gigabytes' => [$good =~ s/node_count\K\xc1./\xc4\x7f\xff\xff\xff/sr, qr/its tree does not fit into it/],
    'records of 32 bits' => [telling('record_size', "\xa1\x20"), qr/its tree does not end where it says/],
    'records of 7 bits' => [telling('record_size', "\xa1\x07"), qr/its node_count, record_size or ip_version is none/],
    'version 3' => [telling('binary_format_major_version', "\xa1\x03"), qr/it is not of version 2/],
    'a way with no end' => [with($good, 0, "\0\0\0\0\0\0"), qr/its tree has a way with no end \(at byte 0 of/],
    'a node to nowhere' => [with($good, 0, "\xff\xff\xff\xff\xff\xff"), qr/its tree points to no entry/],
    'zeros for data' => [with($good, $tree + 16, "\0" x ($meta - $tree - 16)), qr/a value is of no known type/],
);

for my $name (sort keys %files) {
    my ($bytes, $says) = @{ $files{$name} };
    my $httpd = Usher::Httpd->new(conf => "UsherGeoDatabase places \@ROOT\@/places.mmdb\n", @modules);
    my $file = $httpd->root . '/places.mmdb';

    Usher::MMDB::put($file, $bytes) if defined $bytes;
    my ($code, $out) = $httpd->configtest;
    if (!$says) {
        is $code, 0, "$name: taken" or diag $out;
        next;
    }
    isnt $code, 0, "$name: refused";
    like $out, qr/USHER7001: UsherGeoDatabase places: \Q$file\E cannot be used: .*$says.*optional/, "$name: and why";
    $httpd->conf("UsherGeoDatabase places \@ROOT\@/places.mmdb optional\n");
    ($code, $out) = $httpd->configtest;
    ok $code == 0 && $out =~ /USHER7002: UsherGeoDatabase places: .*$says/, "$name: httpd starts where it is optional" or diag $out;
}

my @lines = (
    ['UsherGeoDatabase', qr/takes a name, and the file of the database/],
    ['UsherGeoDatabase places', qr/takes a name, and the file of the database/],
    ['UsherGeoDatabase a/b @ROOT@/a.mmdb', qr{"a/b": a name has letters, digits, '-', '_' and '.'}],
    ['UsherGeoDatabase places @ROOT@/a.mmdb age=soon', qr/age=soon.*a time from 1d to 3650d, or off/],
    ['UsherGeoDatabase places @ROOT@/a.mmdb often', qr/often/],
    ["UsherGeoDatabase places \@ROOT\@/a.mmdb optional\nUsherGeoDatabase places \@ROOT\@/b.mmdb optional", qr/"places": there is a database of that name already: take another name/],
    ["<VirtualHost *>\nUsherGeoDatabase places \@ROOT\@/a.mmdb\n</VirtualHost>", qr/belongs outside of all sections/],
);
for my $case (@lines) {
    my ($code, $out) = Usher::Httpd->new(conf => "$case->[0]\n", @modules)->configtest;
    ok $code != 0 && $out =~ $case->[1], "refused: $case->[0]" or diag $out;
}

# --- while it runs

# name => what is done to the file of a database that is read from all the time
my %harm = (
    'cut off' => sub { truncate $_[0], $tree / 2 or die $! },
    'cut to nothing' => sub { truncate $_[0], 0 or die $! },
    'overwritten' => sub { open my $to, '+<:raw', $_[0] or die $!; print {$to} "\xff" x length $good; close $to },
    'a page' => sub { Usher::MMDB::put($_[0], $files{'a page'}[0]) },
);
my @names = sort keys %harm;
my $httpd = Usher::Httpd->new(@modules);
my @files = map { $httpd->root . "/$_.mmdb" } 0 .. $#names;

Usher::MMDB::put($_, $good) for @files;
Usher::MMDB::put($httpd->root . '/old.mmdb', Usher::MMDB::with_built($good, time - 40 * 86400));
$httpd->conf(join '', "UsherGeoDatabase old \@ROOT\@/old.mmdb age=30d\nUsherGeoDatabase old-but-said \@ROOT\@/old.mmdb age=60d\n",
    map { "UsherGeoDatabase d$_ $files[$_] age=30d\n<Location /$_>\nRequire usher-geo d$_/country/iso_code JP\n</Location>\n" } 0 .. $#files);
ok $httpd->start, 'httpd starts' or BAIL_OUT('no httpd');

# Somebody who asks for all of them without a pause as long as there is the file: tells how often he was let in, and was not.
my $asking = Usher::MMDB::put($httpd->root . '/asking', '');
sub asker {
    pipe my $from, my $to or die $!;
    my $pid = fork // die $!;

    return { pid => $pid, from => $from } if $pid;
    close $from;
    my ($rounds, %count) = (0);
    while (-e $asking || $rounds++ <= 10) {
        ++$count{ "$_ " . ask($_) } for 0 .. $#files;
        select undef, undef, undef, 0.005;
    }
    print {$to} map { "$_ $count{$_}\n" } keys %count;
    close $to;
    POSIX::_exit(0);
}

# What 127.0.0.2 is told: 404, where it is let in, as there is nothing.
sub ask {
    my ($n) = @_;
    my $client = Usher::Client->new(port => $httpd->port, from => '127.0.0.2') or return 'no connection';

    $client->send("GET /$n HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    return $client->answer->{status} || 0;
}

sub told {
    my ($asker) = @_;
    my %count;

    while (my $line = readline $asker->{from}) {
        $count{"$1 $2"} = $3 if $line =~ /^(\d+) (.*) (\d+)$/;
    }
    waitpid $asker->{pid}, 0;
    return \%count;
}

is ask($_), 404, "$names[$_]: let in at first" for 0 .. $#names;
my @askers = map { asker() } 1 .. 2;
$httpd->log->expect(map { qr/USHER1089: the database \Q$_\E, as it is now, is not used: .*What was there before stays/ } @files);
$harm{ $names[$_] }->($files[$_]) for 0 .. $#names;
ok $httpd->log->wait_for(qr/USHER1089: the database \Q$files[$_]\E/, 60), "$names[$_]: seen, and said" for 0 .. $#names;

# A restart does not take away what there was.
$httpd->log->tolerate(qr/USHER1090/, qr/USHER1089/);
ok $httpd->graceful, 'httpd goes on over a restart';
is ask($_), 404, "$names[$_]: what was there stays over a restart" for 0 .. $#names;
unlink $asking or die "$asking: $!";
for my $asker (@askers) {
    my $count = told($asker);
    my @wrong = grep { !/ 404$/ } keys %$count;

    is_deeply \@wrong, [], 'nobody was turned away meanwhile' or diag explain $count;
    cmp_ok $count->{'0 404'} // 0, '>', 10, 'and they did ask';
}

Usher::MMDB::put($_, $other) for @files;
for my $n (0 .. $#names) {
    ok wait_until(sub { ask($n) == 403 }, 60), "$names[$n]: a good one is used";
}

$httpd->log->tolerate(qr/AH01630/); # who is not let in
$httpd->log->expect(qr/USHER7003: UsherGeoDatabase old: .* was built 40 days ago, age= allows 30:/);
ok $httpd->log->wait_for(qr/USHER7003/, 60), 'an old one is warned of';
is scalar(grep { /USHER7003: UsherGeoDatabase (?!old:)/ } $httpd->log->lines), 0, 'others are not';
$httpd->finish('httpd ends well');

done_testing;
