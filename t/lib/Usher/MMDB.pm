# Databases in MaxMind's format, made by MaxMind's own writer: like those that one can buy, but
# of loopback and documentation addresses.
#   Usher::MMDB::make($path, 'country');
#   Usher::MMDB::make($path, 'asn', ip_version => 4, record_size => 28, built => time - 86400,
#                     networks => { '192.0.2.0/24' => Usher::MMDB::asn(64500, 'Example Net') });
# Kinds: country, city, asn, anonymous, types (one value of each type). What they say by themselves:
#   127.0.0.2 JP   127.0.0.3 KR   127.0.0.4 DE   127.0.0.5 US   127.0.0.9 KP   ::1 FR   127.0.0.1 nothing
#   192.0.2.0/24 JP   198.51.100.0/24 DE   203.0.113.0/24 US   2001:db8:1::/48 JP   2001:db8:2::/48 DE
# asn: 64500 (JP), 64501 (KR), 64502 (DE), 64503 (US), 64504 (KP), 64505 (FR), "Example Net JP"
# anonymous: 127.0.0.5 and 203.0.113.0/24 are Tor exits, 127.0.0.9 a hosting provider.
package Usher::MMDB;

use strict;
use warnings FATAL => 'all';

use Math::Int128 qw(string_to_uint128);
use MaxMind::DB::Writer::Tree ();

my %countries = (
    JP => [ 'Asia',          'AS', 'Japan',         64500, 'Tokyo',         35.6895, 139.6917 ],
    KR => [ 'Asia',          'AS', 'South Korea',   64501, 'Seoul',         37.5985, 126.9783 ],
    DE => [ 'Europe',        'EU', 'Germany',       64502, 'Cologne',       50.9333, 6.95 ],
    US => [ 'North America', 'NA', 'United States', 64503, 'Minneapolis',   44.9733, -93.2323 ],
    KP => [ 'Asia',          'AS', 'North Korea',   64504, 'Pyongyang',     39.0339, 125.7543 ],
    FR => [ 'Europe',        'EU', 'France',        64505, "Saint-\x{c9}tienne", 45.4339, 4.39 ],
);

my %where = (
    '127.0.0.2/32' => 'JP', '127.0.0.3/32' => 'KR', '127.0.0.4/32' => 'DE', '127.0.0.5/32' => 'US',
    '127.0.0.9/32' => 'KP', '192.0.2.0/24' => 'JP', '198.51.100.0/24' => 'DE', '203.0.113.0/24' => 'US',
    '::1/128' => 'FR', '2001:db8:1::/48' => 'JP', '2001:db8:2::/48' => 'DE',
);

my %types = (
    accuracy_radius => 'uint16', autonomous_system_number => 'uint32', geoname_id => 'uint32',
    latitude => 'double', longitude => 'double', subdivisions => [ 'array', 'map' ],
    (map { $_ => 'map' } qw(city continent country location names postal registered_country traits within)),
    (map { $_ => 'boolean' } qw(is_anonymous is_anonymous_vpn is_hosting_provider is_in_european_union
                                is_tor_exit_node boolean)),
    array => [ 'array', 'uint32' ], maps => [ 'array', 'map' ], bytes => 'bytes', double => 'double',
    float => 'float', int32 => 'int32', uint16 => 'uint16', uint32 => 'uint32', uint64 => 'uint64',
    uint128 => 'uint128',
);

# What a database says of one place.
sub country {
    my ($code) = @_;
    my ($continent, $continent_code, $name) = @{ $countries{$code} };

    return { continent => { code => $continent_code, geoname_id => 6255000, names => { en => $continent } },
             country => { iso_code => $code, geoname_id => 1000000, names => { en => $name, de => "$name (de)" },
                          ($continent_code eq 'EU' ? (is_in_european_union => 1) : ()) },
             registered_country => { iso_code => $code, names => { en => $name } } };
}

sub city {
    my ($code) = @_;
    my (undef, undef, undef, undef, $city, $latitude, $longitude) = @{ $countries{$code} };

    return { %{ country($code) }, city => { geoname_id => 2000000, names => { en => $city } },
             location => { latitude => $latitude, longitude => $longitude, accuracy_radius => 20,
                           time_zone => 'Etc/UTC' },
             postal => { code => '12345' },
             subdivisions => [ { iso_code => "$code-1", names => { en => "First of $code" } },
                               { iso_code => "$code-2", names => { en => "Second of $code" } } ] };
}

sub asn {
    my ($number, $name) = @_;
    return { autonomous_system_number => $number, autonomous_system_organization => $name };
}

# A value of each type; texts that nobody should send on as they are.
sub types {
    return { array => [ 1, 2, 300 ], boolean => 1, bytes => "a\0b", double => 42.123456, float => 1.5,
             int32 => -268435456, maps => [ { name => 'first' }, { name => 'second' } ], uint16 => 100,
             uint32 => 4294967295, uint64 => string_to_uint128('1152921504606846976'),
             uint128 => string_to_uint128('1329227995784915872903807060280344576'),
             utf8_string => "\x{263a}", lines => "one\r\ntwo: 3", empty => '', within => { names => { en => 'deep' } } };
}

# The networks of a kind, without those of IPv6 where the database has none.
sub networks {
    my ($kind, $ip_version) = @_;
    my %of = (
        country => \&country,
        city => \&city,
        asn => sub { asn($countries{ $_[0] }[3], "Example Net $_[0]") },
        anonymous => sub {
            return { US => { is_anonymous => 1, is_tor_exit_node => 1 },
                     KP => { is_anonymous => 1, is_hosting_provider => 1 } }->{ $_[0] };
        },
        types => \&types,
    );
    my $say = $of{$kind} or die "no kind of database: $kind\n";

    return { map { $_->[1] ? ($_->[0] => $_->[1]) : () } map { [ $_, $say->($where{$_}) ] }
             grep { $ip_version == 6 || !/:/ } keys %where };
}

# The bytes of a database. Options: ip_version (6), record_size (24), networks (those of the kind; all with "/32" or the like),
# built (now; seconds), alias (whether mapped addresses are in the tree as well).
sub bytes {
    my ($kind, %option) = @_;
    my $version = $option{ip_version} // 6;
    my $tree = MaxMind::DB::Writer::Tree->new(
        ip_version => $version, record_size => $option{record_size} // 24, database_type => "Usher-Test-$kind",
        languages => ['en'], description => { en => "Usher's test database" },
        alias_ipv6_to_ipv4 => $option{alias} ? 1 : 0, remove_reserved_networks => 0,
        map_key_type_callback => sub { $types{ $_[0] } // 'utf8_string' });
    my $networks = $option{networks} // networks($kind, $version);
    my $length = sub { my (undef, $bits) = split m{/}, $_[0]; $_[0] =~ /:/ ? $bits : 96 + $bits };

    # What is inserted later wins: the narrower one.
    for my $network (sort { $length->($a) <=> $length->($b) || $a cmp $b } keys %$networks) {
        $tree->insert_network($network, $networks->{$network});
    }
    open my $to, '>:raw', \my $bytes or die $!;
    $tree->write_tree($to);
    close $to;
    return defined $option{built} ? with_built($bytes, $option{built}) : $bytes;
}

# The same bytes, built at another time (seconds, four bytes in the file).
sub with_built {
    my ($bytes, $built) = @_;
    my $at = rindex($bytes, 'build_epoch') + length 'build_epoch';

    substr($bytes, $at, 2) eq "\x04\x02" or die "build_epoch is not a number of four bytes\n";
    substr($bytes, $at + 2, 4) = pack 'N', $built;
    return $bytes;
}

# Put bytes in a file's place, as one should: renamed over it.
sub put {
    my ($path, $bytes) = @_;

    open my $to, '>:raw', "$path.new" or die "$path.new: $!\n";
    print {$to} $bytes;
    close $to or die "$path.new: $!\n";
    rename "$path.new", $path or die "$path: $!\n";
    return $path;
}

sub make {
    my ($path, $kind, %option) = @_;
    return put($path, bytes($kind, %option));
}

1;
