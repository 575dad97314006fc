# What a request gets to know of its client: variables, Require lines, expressions; and who the client is.
use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path);
use Test::More;
use Usher::Client;
use Usher::H2;
use Usher::Httpd;
use Usher::MMDB;
use Usher::Wait;

my ($proxied_port, $inner_port, $mapped_port) = map { free_port() } 1 .. 3;
my $addresses;
my $has_v6 = open($addresses, '<', '/proc/net/if_inet6') ? grep { /^0{31}1 / } <$addresses> : 0;
my $has_h2 = $ENV{USHER_MPM} ne 'prefork'; # mod_http2 needs threads
my $show = join '', map { "Header always set x-\L$_\E \"expr=%{reqenv:$_}\"\n" }
    qw(CC NAME ASN NET OTHER OTHER_NET LOCAL_CC MMDB_ADDR MMDB_INFO CITY LAT BLOCKED);
my $vhost = $has_v6 ? "Listen [::]:$mapped_port\n" : '';
my $conf = <<"EOT";
Listen 127.0.0.1:$proxied_port
Listen 127.0.0.1:$inner_port
${vhost}Protocols h2c http/1.1
KeepAliveTimeout 60
MaxKeepAliveRequests 0
UsherGeoDatabase country \@ROOT\@/country.mmdb age=off
UsherGeoDatabase asn \@ROOT\@/asn.mmdb optional
UsherGeoDatabase gone \@ROOT\@/gone.mmdb optional
MaxMindDBEnable On
MaxMindDBFile COUNTRY \@ROOT\@/country.mmdb
MaxMindDBFile CITY \@ROOT\@/city.mmdb
MaxMindDBFile OTHER \@ROOT\@/other.mmdb
MaxMindDBEnv OTHER OTHER/country/iso_code
MaxMindDBNetworkEnv OTHER OTHER_NET
MaxMindDBEnv CC COUNTRY/country/iso_code
MaxMindDBEnv NAME COUNTRY/country/names/en
MaxMindDBEnv ASN asn/autonomous_system_number
MaxMindDBNetworkEnv COUNTRY NET
$show
Header always set x-notes "expr=%{note:CC}"
Header always set x-expr "expr=%{usher_geo:country/continent/code}"
Header always set x-nothing "expr=%{usher_geo:gone/continent/code}"
SetEnvIf CC ^(KP|US)\$ BLOCKED=yes
RewriteEngine On
RewriteCond %{ENV:CC} =DE
RewriteRule ^/rewrite\$ /german
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 127.0.0.1
<Directory \@HTDOCS\@>
    AllowOverride All
</Directory>
<Location /inner>
    MaxMindDBEnable On
    MaxMindDBFile COUNTRY \@ROOT\@/other.mmdb
    MaxMindDBEnv LOCAL_CC COUNTRY/country/iso_code
    MaxMindDBEnv CITY CITY/city/names/en
    MaxMindDBFile CITY \@ROOT\@/city.mmdb
</Location>
<Location /inner/more>
    MaxMindDBEnv LAT CITY/location/latitude
    MaxMindDBEnv CITY CITY/subdivisions/1/iso_code
</Location>
<Location /inner/off>
    MaxMindDBEnable Off
</Location>
<Location /jp>
    Require usher-country jp KR
</Location>
<Location /not-kp>
    <RequireAll>
        Require all granted
        Require not usher-country KP
    </RequireAll>
</Location>
<Location /none-kp>
    <RequireAll>
        Require all granted
        <RequireNone>
            Require usher-country KP
        </RequireNone>
    </RequireAll>
</Location>
<Location /eu>
    Require usher-continent EU
</Location>
<Location /asn>
    Require usher-asn 64500 AS64501
</Location>
<Location /tokyo>
    Require usher-geo CITY/city/names/en Tokyo "Saint-\xc3\x89tienne"
</Location>
<Location /expr>
    Require expr "usher_geo('country/country/iso_code') in {'FR', 'US'}"
</Location>
<Location /missing>
    Require usher-geo gone/country/iso_code JP
</Location>
<Location /missing-not>
    <RequireAll>
        Require all granted
        Require not usher-geo gone/country/iso_code JP
    </RequireAll>
</Location>
<Location /missing-let>
    UsherGeoMissing allow
    Require usher-geo gone/country/iso_code JP
</Location>
<Location /missing-let/not>
    <RequireAll>
        Require all granted
        Require not usher-geo gone/country/iso_code JP
    </RequireAll>
</Location>
<Location /.well-known/>
    Require usher-country JP
</Location>
<Location /strict>
    UsherGeoExempt none
    Require usher-country JP
</Location>
<Location /exempt>
    UsherGeoExempt /exempt/this/ /exempt/that/
    FallbackResource /exempt/other/index.html
    <RequireAll>
        Require all granted
        Require not usher-country DE
    </RequireAll>
</Location>
<VirtualHost 127.0.0.1:$proxied_port>
    RemoteIPProxyProtocol On
    MaxMindDBSetNotes On
</VirtualHost>
<VirtualHost 127.0.0.1:$inner_port>
    MaxMindDBEnv CC COUNTRY/registered_country/names/en
    <Location /plain>
        MaxMindDBEnv LOCAL_CC COUNTRY/country/iso_code
    </Location>
    <Location /enabled>
        MaxMindDBEnable On
        MaxMindDBEnv LOCAL_CC country/country/iso_code
    </Location>
</VirtualHost>
EOT
my $httpd = Usher::Httpd->new(
    conf => $conf, modules => [qw(authz_host headers env setenvif rewrite remoteip alias dir), $has_h2 ? 'http2' : ()],
    usher => [qw(usher usher_geo)]);
my $root = $httpd->root;
Usher::MMDB::make("$root/$_.mmdb", $_) for qw(country city asn);
Usher::MMDB::make("$root/other.mmdb", 'country', ip_version => 4, record_size => 32,
    networks => { '127.0.0.2/32' => Usher::MMDB::country('KR') });
make_path(map { "$root/htdocs/$_" } qw(inner/more inner/off jp not-kp none-kp eu asn tokyo expr missing missing-not missing-let/not
    .well-known/acme-challenge .well-known/other strict/.well-known/acme-challenge exempt/this exempt/that exempt/other plain enabled ht ht2));

sub put {
    my ($path, $text) = @_;

    open my $to, '>', "$path.new" or die "$path: $!";
    print $to $text;
    close $to;
    rename "$path.new", $path or die "$path: $!";
    return;
}
put("$root/htdocs/german", 'Guten Tag');
put("$root/htdocs/.well-known/acme-challenge/token", 'proof');
put("$root/htdocs/.well-known/acme-challenge/token.html", 'no token');
put("$root/htdocs/.well-known/other/token", 'no proof');
$httpd->log->expect(qr/USHER7002.*gone/);
$httpd->log->tolerate(qr/authz_core:|USHER7031|AH01630|AH01797/);
ok $httpd->start, 'httpd starts' or diag $httpd->console;

sub ask {
    my ($from, $uri, %opt) = @_;
    my $client = Usher::Client->new(port => $opt{port} // $httpd->port, from => $from);

    $client->send($opt{before}) if $opt{before};
    return $client->request(GET => $uri, $opt{headers});
}

sub header {
    my ($answer, $name) = @_;
    my ($value) = map { $_->[1] } grep { lc $_->[0] eq "x-$name" } @{ $answer->{headers} // [] };

    return $value // '';
}
sub status { return ask(@_)->{status} // '' }
sub headers { my $answer = shift; return join ' ', map { "$_=" . header($answer, $_) } @_ }

subtest 'variables' => sub {
    my $answer = ask('127.0.0.2', '/');
    is headers($answer, qw(cc name asn net mmdb_addr mmdb_info)),
        'cc=JP name=Japan asn=64500 net=127.0.0.2/32 mmdb_addr=127.0.0.2 mmdb_info=result found', 'of an address';
    is headers($answer, qw(expr nothing notes)), 'expr=AS nothing= notes=', 'in expressions; no notes';
    is headers(ask('127.0.0.77', '/'), qw(cc asn mmdb_addr mmdb_info)), 'cc= asn= mmdb_addr=127.0.0.77 mmdb_info=lookup success',
        'an address that no database has';
    is header(ask('127.0.0.9', '/'), 'blocked'), 'yes', 'mod_setenvif sees them';
    is ask('127.0.0.4', '/rewrite')->{body}, 'Guten Tag', 'mod_rewrite sees them';
    is status('127.0.0.2', '/rewrite'), 404, 'and others are not rewritten';
    is headers(ask('127.0.0.2', '/', headers => [ 'MMDB_ADDR' => '127.0.0.4', 'CC' => 'DE' ]), 'cc'), 'cc=JP', 'a client cannot set them';
};

subtest 'directories, and how they merge' => sub {
    is headers(ask('127.0.0.2', '/inner/'), qw(cc local_cc city lat)), 'cc=JP local_cc=KR city=Tokyo lat=', 'another database, the server\'s too';
    is headers(ask('127.0.0.2', '/inner/more/'), qw(cc local_cc city lat)), 'cc=JP local_cc=KR city=JP-2 lat=35.68950', 'further inside';
    is headers(ask('127.0.0.2', '/inner/off/'), qw(cc local_cc city)), 'cc=JP local_cc= city=', 'off';
    is headers(ask('127.0.0.3', '/', port => $inner_port), qw(cc name)), 'cc=South Korea name=South Korea', 'a virtual host, and what it inherits';
    is headers(ask('127.0.0.3', '/plain/', port => $inner_port), qw(cc local_cc)), 'cc=South Korea local_cc=', 'a directory inherits nothing of its server';
    is headers(ask('127.0.0.3', '/enabled/', port => $inner_port), qw(local_cc)), 'local_cc=KR', 'and has the databases of UsherGeoDatabase';
    is header(ask('127.0.0.1', '/', port => $proxied_port, before => "PROXY TCP4 127.0.0.5 127.0.0.1 1 2\r\n"), 'notes'), 'US', 'notes';
};

subtest '.htaccess' => sub {
    put("$root/htdocs/ht/.htaccess", "MaxMindDBEnable On\nMaxMindDBEnv LOCAL_CC country/registered_country/iso_code\n");
    is headers(ask('127.0.0.4', '/ht/'), qw(cc local_cc)), 'cc=DE local_cc=DE', 'variables';
    put("$root/htdocs/ht/.htaccess", "Require usher-country FR DE\n");
    put("$root/htdocs/ht/index.html", 'here');
    is join(' ', map { status("127.0.0.$_", '/ht/') } 2, 4), '403 200', 'Require';
    $httpd->log->expect(qr/usher-country takes countries/);
    put("$root/htdocs/ht/.htaccess", "Require usher-country\n");
    is status('127.0.0.4', '/ht/'), 500, 'a wrong line';
    put("$root/htdocs/ht/.htaccess", "MaxMindDBFile COUNTRY $root/country.mmdb\n");
    $httpd->log->expect(qr/MaxMindDBFile in .htaccess takes UsherGeoHtaccessFiles On/);
    is status('127.0.0.4', '/ht/'), 500, 'files only where they are allowed';
};

my %require = (
    '/jp/' => '2 3', '/not-kp/' => '2 3 4 5', '/none-kp/' => '2 3 4 5', '/eu/' => '4', '/asn/' => '2 3', '/tokyo/' => '2',
    '/expr/' => '5', '/missing/' => '', '/missing-not/' => '', '/missing-let/' => '2 3 4 5 9 77', '/missing-let/not/' => '2 3 4 5 9 77',
    '/.well-known/acme-challenge/token' => '2 3 4 5 9 77', '/.well-known/other/token' => '2', '/exempt/this/' => '2 3 4 5 9 77',
    '/exempt/other/' => '2 3 5 9', '/exempt/that/..;/other/' => '2 3 5 9', '/exempt/this/..%2fother/' => '',
    '/exempt/this/%2e%2e/other/' => '2 3 5 9', '/exempt/this/leads-to-other' => '2 3 5 9',
    '/.well-known/acme-challenge/token?page=admin' => '2', '/.well-known/acme-challenge/token.html' => '2', '/.well-known/acme-challenge/../other/token' => '2',
);
put("$root/htdocs/$_/index.html", 'here') for map { m{(.*)/$} ? $1 : () } grep { !/\.\.|%/ } keys %require;
put("$root/htdocs/exempt/other/index.html", 'here');
make_path("$root/htdocs/exempt/that/..;/other");
put("$root/htdocs/exempt/that/..;/other/index.html", 'here');
# 127.0.0.77 is in no database that is there; the one that is gone might have had it.
subtest 'Require' => sub {
    for my $uri (sort keys %require) {
        is join(' ', grep { status("127.0.0.$_", $uri) eq '200' } 2, 3, 4, 5, 9, 77), $require{$uri}, $uri;
    }
    is +Usher::Client->new(port => $httpd->port, from => '127.0.0.4')->request(POST => '/.well-known/acme-challenge/token')->{status},
        403, 'who looks at a challenge sends nothing';
    is status('127.0.0.4', '/strict/.well-known/acme-challenge/x'), 403, 'nothing is exempt with none';
};

subtest 'who the client is' => sub {
    my $xff = sub { return [ 'X-Forwarded-For' => $_[0] ] };
    is header(ask('127.0.0.1', '/', headers => $xff->('127.0.0.3')), 'cc'), 'KR', 'behind a trusted proxy';
    is header(ask('127.0.0.1', '/', headers => $xff->('2001:db8:2::7')), 'net'), '2001:db8:2::/48', 'of IPv6';
    is headers(ask('127.0.0.1', '/', headers => $xff->('2001:db8:2::7')), qw(cc other other_net mmdb_info)), 'cc=DE other= other_net= mmdb_info=result found',
        'and nothing of a database of IPv4';
    is header(ask('127.0.0.1', '/', headers => $xff->('::ffff:192.0.2.9')), 'net'), '192.0.2.0/24', 'mapped';
    is header(ask('127.0.0.5', '/', headers => $xff->('127.0.0.3')), 'cc'), 'US', 'who is not trusted is the client himself';
    is status('127.0.0.1', '/jp/', headers => $xff->('127.0.0.3')), 200, 'Require behind it';
    is status('127.0.0.1', '/jp/', headers => $xff->('127.0.0.4')), 403, 'and another client';
    for my $line ("PROXY TCP4 203.0.113.5 127.0.0.1 1 2\r\n", "PROXY TCP6 2001:db8:1::1 ::1 1 2\r\n") {
        is header(ask('127.0.0.1', '/', port => $proxied_port, before => $line), 'cc'), $line =~ /TCP4/ ? 'US' : 'JP', "PROXY protocol: $line" =~ s/\s+$//r;
    }
    is header(ask('127.0.0.2', '/', port => $mapped_port), 'cc'), 'JP', 'a socket of IPv6 for both' if $has_v6;
    is header(Usher::Client->new(port => $mapped_port, host => '::1')->request(GET => '/'), 'cc'), 'FR', 'and a client of IPv6' if $has_v6;
};

subtest 'one connection, many clients' => sub {
    my $client = Usher::Client->new(port => $httpd->port, from => '127.0.0.1');
    my $got = join ' ', map {
        my $answer = $client->request(GET => '/inner/', [ 'X-Forwarded-For' => "127.0.0.$_" ]);
        headers($answer, 'cc', 'asn', 'city')
    } 2, 2, 3, 2, 77, 4;
    is $got, 'cc=JP asn=64500 city=Tokyo cc=JP asn=64500 city=Tokyo cc=KR asn=64501 city=Seoul cc=JP asn=64500 city=Tokyo '
        . 'cc= asn= city= cc=DE asn=64502 city=Cologne', 'each request has its own';
    return if !$has_h2;
    my $h2 = Usher::H2->new(port => $httpd->port, from => '127.0.0.1');
    my @ids = map { $h2->start(GET => '/jp/', [ 'x-forwarded-for' => "127.0.0.$_" ]) } 2, 4, 3, 9;
    is join(' ', map { $h2->answer($_)->{body} eq 'here' ? 'yes' : 'no' } @ids), 'yes no yes no', 'streams of HTTP/2';
};

subtest 'a new database' => sub {
    my $client = Usher::Client->new(port => $httpd->port, from => '127.0.0.2');
    is header($client->request(GET => '/'), 'asn'), '64500', 'what a connection knows';
    Usher::MMDB::make("$root/asn.mmdb", 'asn', networks => { '127.0.0.2/32' => Usher::MMDB::asn(64511, 'Another Net') });
    ok wait_until(sub { header($client->request(GET => '/'), 'asn') eq '64511' }, 60), 'is taken without a restart, and by an open connection';
    ok wait_until(sub { header(ask('127.0.0.2', '/'), 'asn') eq '64511' }, 60), 'and by others';
};

subtest 'files that .htaccess names' => sub {
    put("$root/htdocs/ht/.htaccess", "MaxMindDBEnable On\nMaxMindDBFile MINE $root/htdocs/ht/mine.mmdb\nMaxMindDBEnv LOCAL_CC MINE/country/iso_code\n");
    Usher::MMDB::make("$root/htdocs/ht/mine.mmdb", 'country', networks => { '127.0.0.4/32' => Usher::MMDB::country('FR') });
    Usher::MMDB::make("$root/gone.mmdb", 'anonymous');
    $httpd->conf($conf . "UsherGeoHtaccessFiles On\n");
    ok $httpd->graceful, 'are allowed';
    is headers(ask('127.0.0.4', '/ht/'), qw(cc local_cc)), 'cc=DE local_cc=FR', 'are read';
    Usher::MMDB::make("$root/htdocs/ht/mine.mmdb", 'country', networks => { '127.0.0.4/32' => Usher::MMDB::country('US') });
    is headers(ask('127.0.0.4', '/ht/'), qw(cc local_cc)), 'cc=DE local_cc=US', 'and again when they change';
    $httpd->log->expect(qr/mine.mmdb" cannot be used/);
    truncate "$root/htdocs/ht/mine.mmdb", 1000;
    is status('127.0.0.4', '/ht/'), 500, 'one that is cut short is not used';
    my $endless = Usher::MMDB::bytes('country');
    substr $endless, 0, 6, "\0" x 6;
    Usher::MMDB::put("$root/htdocs/ht/mine.mmdb", $endless);
    is status('127.0.0.4', '/ht/'), 500, 'nor one that the library would open';
    is status('127.0.0.4', '/'), 200, 'and hurts nobody else';
};

subtest 'all databases are there' => sub {
    is join(' ', map { status('127.0.0.77', "/$_/") } qw(not-kp none-kp exempt/other jp missing missing-not missing-let missing-let/not)),
        '200 200 200 403 403 200 403 200', 'who is in none of them is nowhere';
};

$httpd->finish;

subtest 'delivered files are put in their places' => sub {
    my ($from, $to) = map { make_path("$root/$_"); "$root/$_" } qw(delivered taken);
    my $install = sub { my $said = qx('$ENV{USHER_SRCDIR}/docs/conf/usher-geo-install' '$from' '$to' 2>&1); return ($? >> 8) . ": $said" };
    my $taken = sub { open my $fh, '<:raw', "$to/$_[0]" or return ''; local $/; return scalar <$fh> };
    my $good = Usher::MMDB::bytes('country');

    Usher::MMDB::put("$from/a.mmdb", $good);
    is $install->(), "0: usher-geo-install: $to/a.mmdb is new\n", 'a new one';
    ok $taken->('a.mmdb') eq $good, 'is there';
    is $install->(), '0: ', 'nothing is to be done';
    Usher::MMDB::put("$from/a.mmdb", substr $good, 0, -100);
    Usher::MMDB::make("$from/b.mmdb", 'asn');
    like $install->(), qr/^1: .*a.mmdb cannot be read, \S+a.mmdb stays as it is.*b.mmdb is new/s, 'one that is cut off, and a good one';
    ok $taken->('a.mmdb') eq $good, 'the old one stays';
    is_deeply [map { s{.*/}{}r } glob "$to/{*,.*.mmdb*}"], [qw(a.mmdb b.mmdb)], 'and nothing else is left';
};

# What configtest says of wrong lines.
my %wrong = (
    'MaxMindDBFile X @ROOT@/nowhere.mmdb' => qr/USHER7033.*MaxMindDBFile X: \S+nowhere.mmdb cannot be used/,
    'MaxMindDBEnv X /' => qr/MaxMindDBEnv "\/": takes the name of a database/,
    'MaxMindDBEnv X D/' . join('/', 1 .. 17) => qr/a path has 16 parts at most/,
    'UsherGeoMissing perhaps' => qr/UsherGeoMissing "perhaps": takes deny or allow/,
    'UsherGeoExempt well-known' => qr/UsherGeoExempt "well-known": a path begins with \//,
    "<Location />\nRequire usher-country JPN\n</Location>" => qr/Require usher-country "JPN": takes countries, two letters/,
    "<Location />\nRequire usher-continent XX\n</Location>" => qr/takes continents: AF/,
    "<Location />\nRequire usher-asn 4294967296\n</Location>" => qr/takes numbers of autonomous systems/,
    "<Location />\nRequire usher-geo country/country\n</Location>" => qr/takes a place in a database, and values/,
    "<Location />\nRequire usher-geo nobody/country/iso_code JP\n</Location>" => qr/USHER7030.*there is no database "nobody": name it by UsherGeoDatabase/,
    "<Location />\nRequire usher-geo A/country/iso_code JP\n</Location>\nMaxMindDBFile A \@ROOT\@/city.mmdb\n<Location /x>\nMaxMindDBFile A \@ROOT\@/asn.mmdb\n</Location>"
        => qr/USHER7030.*"A" is the name of several files/,
    "Header set x \"expr=%{usher_geo:nobody/country/iso_code}\"" => qr/USHER7037: usher_geo\('nobody\/...'\) in an expression: there is no database "nobody": name it by UsherGeoDatabase/,
    "<If \"usher_geo('nobody/country/iso_code') == 'JP'\">\n</If>" => qr/USHER7037: usher_geo\('nobody/,
    "<Directory />\nUsherGeoHtaccessFiles On\n</Directory>" => qr/UsherGeoHtaccessFiles/,
);
for my $line (sort keys %wrong) {
    $httpd->conf("UsherGeoDatabase country \@ROOT\@/country.mmdb\n$line\n");
    my ($code, $out) = $httpd->configtest;
    isnt $code, 0, 'configtest refuses ' . $line =~ s/\n/ /gr;
    like $out, $wrong{$line}, 'and says why';
}
# What it warns of, or not.
my %doubtful = (
    "Require usher-country JP UK" => qr/USHER7035: \S+:\d+: Require usher-country JP UK: "UK" is no country's code, .*: write GB/,
    "Require not usher-country eu" => qr/USHER7035: .*"EU" is no country's code.*Europe is a continent/,
    "Require usher-country JX" => qr/USHER7035: .*"JX" is no country's code.*ISO 3166-1 alpha-2/,
    "Require usher-country JP XK" => undef,
    "Require usher-continent AS" => undef,
    "Require usher-asn 64500" => qr/USHER7036: \S+:\d+: Require usher-asn 64500: no database has .*autonomous_system_number.*such as GeoLite2-ASN/,
    "Require usher-geo country/country/iso_code UK" => undef,
);
for my $line (sort keys %doubtful) {
    $httpd->conf("UsherGeoDatabase country \@ROOT\@/country.mmdb\n<Location />\n<RequireAll>\nRequire all granted\n$line\n</RequireAll>\n</Location>\n");
    my ($code, $out) = $httpd->configtest;
    is $code, 0, "configtest lets pass $line" or diag $out;
    $doubtful{$line} ? like($out, $doubtful{$line}, 'and warns of it') : unlike($out, qr/USHER/, 'and says nothing');
}
for (['asn.mmdb', ''], ['nowhere.mmdb', ' optional']) {
    $httpd->conf("UsherGeoDatabase country \@ROOT\@/country.mmdb\nUsherGeoDatabase other \@ROOT\@/$_->[0]$_->[1]\n<Location />\nRequire usher-asn 64500\n</Location>\n");
    unlike +($httpd->configtest)[1], qr/USHER7036/, "$_->[0] may tell of it";
}
$httpd->conf("<Location />\nRequire usher-country JP\n</Location>\n");
like +($httpd->configtest)[1], qr/USHER7030.*there is no database: name one by UsherGeoDatabase/, 'a question needs a database';
done_testing;
