# ClientHellos byte by byte, as no library would send them, and what lies in one.
#   my $hello = hello(versions => [0x0304], ciphers => [0x1301], groups => [0x1d]);
#   $client->send(records(22, $hello));        # or records(..., size => 100)
#   offer($hello)->{ciphers}                   # lists of numbers, without GREASE
#   ja4($hello)                                # FoxIO's fingerprint
#   answers($bytes)                            # ['alert', 2, 40], ['server_hello', 0x0303, 0xc02f], ...
package Usher::TLSHello;

use strict;
use warnings FATAL => 'all';

use Digest::SHA ();
use Exporter 'import';

our @EXPORT = qw(hello hello_of records alert offer ja4 answers);

# Extensions that may not be empty
my %usual = (5 => "\1\0\0\0\0", 0xff01 => "\0");
my @sigalgs = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601);

sub _grease { return $_[0] % 16 * 0x1010 + 0x0a0a }

sub _vector8  { return pack 'C/a', $_[0] }
sub _vector16 { return pack 'n/a', $_[0] }
sub _numbers  { return pack 'n*', @_ }
sub _extension { my ($type, $body) = @_; return pack('n', $type) . _vector16($body) }

# A message with its header. Options, each of which can be left out (then that
# extension is, but for ciphers):
#   legacy      version of the message, default 0x0303
#   versions    supported_versions;  ciphers;  groups;  sigalgs (default: some)
#   shares      groups of key_share, default the first of groups with 0x0304
#   name        of SNI, any bytes;  alpn => [names]
#   early       offers early data
#   grease      numbers by RFC 8701 in each list
#   order       extensions' numbers in the order wanted; empty ones are made up
#   more        [number => bytes, ...]: extensions as given
sub hello {
    my (%opt) = @_;
    my @grease = $opt{grease} ? map { _grease($_) } 1 .. 5 : ();
    my %body = _bodies(\%opt, @grease);
    my @more = @{ $opt{more} // [] };
    my @order = $opt{order} ? @{ $opt{order} } : sort { $a <=> $b } keys %body;
    my $extensions = join '', map { _extension($_, $body{$_} // $usual{$_} // '') } @order;

    while (my ($type, $bytes) = splice @more, 0, 2) { $extensions .= _extension($type, $bytes) }
    $extensions = _extension($grease[0], '') . $extensions . _extension($grease[1], "\0") if @grease;
    my @ciphers = (@grease ? $grease[2] : (), @{ $opt{ciphers} // [ 0x1301, 0xc02b, 0xc02f ] });
    return hello_of(pack('n', $opt{legacy} // 0x0303) . join('', map { chr int rand 256 } 1 .. 32)
        . _vector8($opt{session} // '') . _vector16(_numbers(@ciphers)) . _vector8("\0")
        . (length $extensions ? _vector16($extensions) : ''));
}

# A ClientHello's header before its body, whatever that is.
sub hello_of { return "\1" . substr(pack('N', length $_[0]), 1) . $_[0] }

sub _bodies {
    my ($opt, @grease) = @_;
    my @versions = @{ $opt->{versions} // [] };
    my @shares = @{ $opt->{shares} // [ grep { defined } $opt->{groups} && (grep { $_ == 0x0304 } @versions) ? $opt->{groups}[0] : undef ] };
    my %body;

    $body{0} = _vector16("\0" . _vector16($opt->{name})) if defined $opt->{name};
    $body{10} = _vector16(_numbers(@grease ? $grease[3] : (), @{ $opt->{groups} })) if $opt->{groups};
    $body{11} = _vector8("\0") if $opt->{groups};
    $body{13} = _vector16(_numbers(@{ $opt->{sigalgs} // \@sigalgs })) if $opt->{sigalgs} || @versions || $opt->{groups};
    $body{16} = _vector16(join '', map { _vector8($_) } @{ $opt->{alpn} }) if $opt->{alpn};
    $body{42} = '' if $opt->{early};
    $body{43} = _vector8(_numbers(@grease ? $grease[4] : (), @versions)) if @versions;
    $body{45} = _vector8("\1") if grep { $_ == 0x0304 } @versions;
    $body{51} = _vector16(join '', map { pack('n', $_) . _vector16(_share($_)) } @shares) if grep { $_ == 0x0304 } @versions;
    return %body;
}

# A share whose secret nobody knows: fine for x25519, else bytes only.
sub _share {
    my ($group) = @_;

    return "\x09" . "\0" x 31 if $group == 0x1d;
    return "\4" . 'x' x 64;
}

# Bytes as records of a type, size => bytes in each at most (default 16 KiB).
sub records {
    my ($type, $bytes, %opt) = @_;
    my $size = $opt{size} // 16384;
    my $out = '';

    for (my $at = 0; $at < length $bytes; $at += $size) {
        $out .= pack('Cn', $type, $opt{version} // 0x0301) . _vector16(substr $bytes, $at, $size);
    }
    return $out;
}

sub alert {
    my ($number, $level) = @_;

    return records(21, pack('CC', $level // 2, $number), version => 0x0303);
}

# What a server sent without encryption.
sub answers {
    my ($bytes) = @_;
    my @found;

    while (length $bytes >= 5) {
        my ($type, undef, $length) = unpack 'Cnn', substr $bytes, 0, 5;
        my $body = substr $bytes, 5, $length;
        $bytes = length $bytes > 5 + $length ? substr $bytes, 5 + $length : '';
        push @found, ['alert', unpack 'CC', $body] if $type == 21 && length $body == 2;
        next unless $type == 22 && ord $body == 2;
        my ($version, $random, $session) = unpack 'x4 n a32 C/a', $body;
        push @found, ['server_hello', $version, unpack 'n', substr $body, 39 + length $session];
    }
    return @found;
}

# ---- reading one

sub _is_grease { return ($_[0] & 0x0f0f) == 0x0a0a && $_[0] >> 8 == ($_[0] & 0xff) }
sub _list { return [ grep { !_is_grease($_) } unpack 'n*', $_[0] ] }

# { legacy, ciphers, extensions, versions, groups, sigalgs, alpn, sni }
sub offer {
    my ($hello) = @_;
    my ($legacy, undef, $ciphers, undef, $extensions) = unpack 'x4 n x32 C/a n/a C/a n/a', $hello . ("\0\0" x 2);
    my %offer = (legacy => $legacy, ciphers => _list($ciphers), map { $_ => [] } qw(extensions versions groups sigalgs alpn));

    while (length $extensions >= 4) {
        my ($type, $body) = unpack 'n n/a', $extensions;
        $extensions = substr $extensions, 4 + length $body;
        next if _is_grease($type);
        push @{ $offer{extensions} }, $type;
        $offer{sni} = unpack 'x3 n/a', $body if $type == 0;
        $offer{groups} = _list(substr $body, 2) if $type == 10;
        $offer{sigalgs} = _list(substr $body, 2) if $type == 13;
        $offer{alpn} = [ unpack '(C/a)*', substr $body, 2 ] if $type == 16;
        $offer{versions} = _list(substr $body, 1) if $type == 43;
    }
    return \%offer;
}

my %two = (0x0304 => '13', 0x0303 => '12', 0x0302 => '11', 0x0301 => '10', 0x0300 => 's3', 2 => 's2');

sub _hash { return @_ && length $_[0] ? substr(Digest::SHA::sha256_hex($_[0]), 0, 12) : '0' x 12 }
sub _hex { return join ',', map { sprintf '%04x', $_ } @_ }
sub _count { return sprintf '%02d', $_[0] > 99 ? 99 : $_[0] }

# https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md
sub ja4 {
    my $offer = offer($_[0]);
    my ($version) = sort { $b <=> $a } @{ $offer->{versions} };
    my $alpn = $offer->{alpn}[0] // '';
    my @extensions = sort { $a <=> $b } grep { $_ != 0 && $_ != 16 } @{ $offer->{extensions} };
    my $ends = !length $alpn ? '00' : $alpn =~ /^[0-9A-Za-z](?:.*[0-9A-Za-z])?$/s ? substr($alpn, 0, 1) . substr($alpn, -1)
        : substr(unpack('H*', $alpn), 0, 1) . substr(unpack('H*', $alpn), -1);

    return join '_', 't' . ($two{ $version // $offer->{legacy} } // '00') . (defined $offer->{sni} ? 'd' : 'i')
        . _count(scalar @{ $offer->{ciphers} }) . _count(scalar @{ $offer->{extensions} }) . $ends,
        _hash(_hex(sort { $a <=> $b } @{ $offer->{ciphers} })),
        @{ $offer->{extensions} } ? _hash(_hex(@extensions) . (@{ $offer->{sigalgs} } ? '_' . _hex(@{ $offer->{sigalgs} }) : '')) : '0' x 12;
}

1;
