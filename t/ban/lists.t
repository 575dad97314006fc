# Lists of prefixes and countries: what configtest refuses; who is turned away; that a new file is used without a
# restart, and a bad one never.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Client;
use Usher::Env ();
use Usher::Httpd;
use Usher::Wait;

my $has_geo = grep { $_ eq 'usher_geo' } Usher::Env::usher_modules();
my @ours = (qw(usher usher_ban), $has_geo ? 'usher_geo' : ());

sub httpd_of { return Usher::Httpd->new(usher => \@ours, modules => ['remoteip'], @_) }

sub spew {
    my ($file, $text) = @_;

    open my $fh, '>:raw', "$file.new" or die "$file.new: $!";
    print $fh $text;
    close $fh or die "$file.new: $!";
    chmod 0644, "$file.new";
    rename "$file.new", $file or die "$file: $!";
    return;
}

# name => [lines, what is in the file, what configtest says (undef: nothing)]
my @cases = (
    ['a list', 'UsherBanList a @ROOT@/list', "192.0.2.0/24, 10.1.2.3 # x\n2001:db8::/32 ; y\n", undef],
    ['a list of nobody', 'UsherBanList a @ROOT@/list', "# nobody\n", undef],
    ['one without anything in it', 'UsherBanList a @ROOT@/list', '', qr/USHER8060: .*it is empty, as after a failed download: a list of nobody has a comment line/],
    ['relative to ServerRoot', 'UsherBanList a list', '10.0.0.0/8', undef],
    ['optional', 'UsherBanList a @ROOT@/gone optional', '', qr/USHER8061: UsherBanList: .*gone cannot be used: cannot be opened: No such file/, 1],
    ['optional and bad', 'UsherBanList a @ROOT@/list optional', 'x', qr/USHER8061: .*line 1: "x" is no address or prefix/, 1],
    ['nothing', 'UsherBanList', '', qr/UsherBanList takes a name and a file/],
    ['no file', 'UsherBanList a', '', qr/UsherBanList takes a name and a file/],
    ['too much', 'UsherBanList a @ROOT@/list perhaps', '', qr/UsherBanList "perhaps": only "optional" may follow the file/],
    ['a name with a slash', 'UsherBanList a/b @ROOT@/list', '', qr/UsherBanList "a\/b": a name has letters, digits/],
    ['a long name', 'UsherBanList ' . 'x' x 24 . ' @ROOT@/list', '', qr/a name has letters, digits, '-' and '_', at most 23/],
    ['the same name', "UsherBanList a \@ROOT\@/list\nUsherBanList a \@ROOT\@/list", '', qr/there is a list of that name already/],
    ['too many', join('', map { "UsherBanList l$_ \@ROOT\@/list\n" } 0 .. 32), '', qr/"l32": there are 32 lists already/],
    ['in a section', "<Location /x>\nUsherBanList a \@ROOT\@/list\n</Location>", '', qr/UsherBanList belongs outside of all sections/],
    ['not there', 'UsherBanList a @ROOT@/gone', '', qr/USHER8060: UsherBanList: .*gone cannot be used: cannot be opened: No such file.*say "optional"/],
    ['a directory', 'UsherBanList a @ROOT@', '', qr/USHER8060: .*it is no file/],
    ['an error page', 'UsherBanList a @ROOT@/list', "10.0.0.0/8\n\n<html>", qr/USHER8060: .*line 3: "<html>" is no address or prefix/],
    ['cut in the middle', 'UsherBanList a @ROOT@/list', "10.0.0.0/8\n192.0.2.", qr/line 2: "192\.0\.2\." is no address/],
    ['bits behind the prefix', 'UsherBanList a @ROOT@/list', "10.0.0.1/8\n", qr/line 1: "10\.0\.0\.1\/8" is no address or prefix, .*zeros behind its bits/],
    ['all', 'UsherBanList a @ROOT@/list', "::/0\n", qr/line 1: "::\/0" is more than a list may have at once/],
    ['all of IPv4', 'UsherBanList a @ROOT@/list', '0.0.0.0/0', qr/"0\.0\.0\.0\/0" is more than a list may have at once: .*at least 8 bits/],
    ['binary', 'UsherBanList a @ROOT@/list', "\0\1\e[2J\n", qr/line 1: "\?\?\?\[2J" is no address/],
    ['geo without values', 'UsherBanGeo country', '', qr/UsherBanGeo takes a question and values/],
    ['geo in a section', "<Location /x>\nUsherBanGeo country JP\n</Location>", '', qr/UsherBanGeo belongs outside of all sections/],
    $has_geo ? (['an unknown question', 'UsherBanGeo planet Mars', '', qr/USHER8062: UsherBanGeo planet Mars: /])
             : (['geo without its module', 'UsherBanGeo country JP', '', qr/USHER8062: .*mod_usher_geo is not loaded/]),
);
for my $case (@cases) {
    my ($name, $conf, $text, $says, $passes) = @$case;
    my $httpd = httpd_of(name => "ban-lists-$$", conf => "$conf\n");

    spew($httpd->root . '/list', $text);
    my ($code, $out) = $httpd->configtest;
    is !!$code, !!($says && !$passes), "$name: " . ($says && !$passes ? 'refused' : 'fine') or diag $out;
    like $out, $says, "$name: says what and why" if $says;
}
if ($has_geo) {
    require Usher::MMDB;
    my $all_but = sub {
        my $httpd = httpd_of(name => "ban-lists-$$", conf => "UsherGeoDatabase geo \@ROOT\@/geo.mmdb optional\n" . join '', map { "UsherBanGeo $_\n" } @_);
        my ($code, $out) = $httpd->configtest;
        return "$code: $out";
    };
    like $all_but->('!country JP', '!country KR'), qr/^[1-9].*USHER8062: UsherBanGeo !country KR: .*turn away everybody: name all in one line/s,
        'all but one country, and all but another one: refused, with the remedy';
    like $all_but->('!country JP KR', '!continent AS', 'country KP', 'country CN'), qr/^0/, 'other questions: fine';
    for (['UsherBanGeo !country UK', qr/USHER7035: UsherBanGeo !country UK: "UK" is no country's code.*: write GB/],
         ['UsherBanNever geo:country:JP,EU', qr/USHER7035: UsherBanNever geo:country:JP,EU: "EU" is no country's code/],
         ['UsherBanGeo asn 64500', qr/USHER7036: UsherBanGeo asn 64500: no database has a value of that kind \(autonomous_system_number\).*GeoLite2-ASN/],
         ['UsherBanGeo country xk', undef]) {
        my ($line, $says) = @$_;
        for my $ours ([qw(usher usher_ban usher_geo)], [qw(usher usher_geo usher_ban)]) {
            my $httpd = httpd_of(name => "ban-lists-$$", conf => "UsherGeoDatabase geo \@ROOT\@/geo.mmdb\n$line\n", usher => $ours);
            Usher::MMDB::make($httpd->root . '/geo.mmdb', 'country');
            my ($code, $out) = $httpd->configtest;
            is $code, 0, "$line: fine" or diag $out;
            $says ? like($out, $says, 'but warned of') : unlike($out, qr/USHER/, 'nothing is wrong');
        }
    }
    my $httpd = httpd_of(name => "ban-lists-$$", conf => "UsherBanGeo country JP\n", usher => [qw(usher usher_ban)]);
    my ($code, $out) = $httpd->configtest;
    ok $code, 'geo without its module: refused';
    like $out, qr/USHER8062: UsherBanGeo country JP: mod_usher_geo is not loaded: add "LoadModule/, 'with the remedy';
}

my $httpd = httpd_of(conf => <<'EOT');
UsherBanNever -loopback 127.0.0.1 file:@ROOT@/never
UsherBanExempt none
UsherBanList first @ROOT@/list
UsherBanList second @ROOT@/second optional
EOT
my $list = $httpd->root . '/list';
my $never = $httpd->root . '/never';

# How he is answered; 0: his connection is closed
sub status {
    my ($n) = @_;
    my $client = Usher::Client->new(port => $httpd->port, from => "127.0.0.$n") or return 0;

    $client->send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    return $client->answer->{status} || 0;
}

sub statuses { return join ' ', map { "$_:" . (status($_) =~ /^[24]0[04]$/ ? 'in' : 'out') } @_ }

sub become {
    my ($right, $name) = @_;
    my @who = map { s/:.*//r } split / /, $right;
    my $in_row = 0;

    # Several children, each of which has to know.
    my $ok = wait_until { ($in_row = statuses(@who) eq $right ? $in_row + 1 : 0) >= 12 } 40;
    return ok($ok, $name) || diag statuses(@who);
}

# After a graceful restart an old child may still take some.
sub serves {
    my ($right, $name) = @_;
    my @who = map { s/:.*//r } split / /, $right;

    return ok +(wait_until { statuses(@who) eq $right } 40), $name;
}

spew($list, "127.0.0.9\n127.0.0.16/28 ; a network\n");
spew($never, "# nobody\n");
$httpd->log->tolerate(qr/USHER80(?:43|61)/);
ok $httpd->start, 'starts' or BAIL_OUT($httpd->console);
is statuses(1, 9, 10, 15, 16, 31, 32), '1:in 9:out 10:in 15:in 16:out 31:out 32:in', 'who is in the list is turned away';

spew($list, "127.0.0.10\n");
become('1:in 9:in 10:out 16:in', 'a new list, without a restart');
$httpd->log->tolerate(qr/USHER1089.*list of bans.*line 2: "<html>" is no address or prefix/);
spew($list, "127.0.0.9\n<html>\n");
ok $httpd->log->wait_for(qr/USHER1089/, 40), 'a bad one is named';
is statuses(1, 9, 10), '1:in 9:in 10:out', 'and the old one stays';
$httpd->log->tolerate(qr/USHER1090.*list of bans.*line 2/);
ok $httpd->graceful, 'also over a restart';
is statuses(1, 9, 10), '1:in 9:in 10:out', 'it is still there';
spew($httpd->root . '/second', "127.0.0.11 127.0.0.10\n");
spew($never, "127.0.0.12/30, 127.0.0.10\n");
become('9:in 10:in 11:out 13:in', 'a second list comes; who is in the file of UsherBanNever is let in');

if ($ENV{USHER_LONG}) {
    my $began = time;
    spew($list, join '', map { sprintf "10.%d.%d.%d\n2001:db8:%x:%x::/64\n", $_ >> 16, $_ >> 8 & 255, $_ & 255,
        $_ >> 16, $_ & 65535 } map { 2 * $_ } 0 .. 499_999);
    spew($list, do { local (@ARGV, $/) = $list; <> } . "127.0.0.9\n");
    become('9:out 10:in', 'a million prefixes');
    soon($began, 40, 'in seconds');
}

if ($has_geo) {
    Usher::MMDB::make($httpd->root . '/country.mmdb', 'country');
    spew($list, "# nobody\n");
    $httpd->conf(<<'EOT');
UsherBanNever -loopback 127.0.0.1
UsherBanList first @ROOT@/list
UsherGeoDatabase country @ROOT@/country.mmdb
UsherBanGeo country KP DE
UsherBanExempt none
EOT
    ok $httpd->graceful, 'with countries';
    serves('1:in 2:in 4:out 9:out 11:in', 'two of them are turned away');
    is status(4), 0, 'before anything is read';
    $httpd->conf(<<'EOT');
UsherBanNever -loopback 127.0.0.1
UsherGeoDatabase country @ROOT@/country.mmdb
UsherBanGeo !country JP KR
EOT
    ok $httpd->graceful, 'all but two';
    ok wait_until(sub { status(4) eq 403 }, 40), 'as some paths are exempt his request is read first';
    serves('1:in 2:in 3:in 4:out 11:out', 'others, and who is in no country, are turned away');
    $httpd->conf(<<'EOT');
UsherBanNever -loopback 127.0.0.1
UsherGeoDatabase country @ROOT@/gone.mmdb optional
UsherBanGeo !country JP KR
UsherBanGeo country DE
EOT
    $httpd->log->tolerate(qr/USHER7002.*gone/);
    ok $httpd->graceful, 'without a database';
    serves('1:in 2:in 4:in 11:in', 'nobody is turned away');
}

$httpd->finish('only the announced in the log');
done_testing;
