# What breaks between a proxy and a backend that speaks HTTP/1 over TLS, for
# Usher::Faults: all that breaks without TLS, and the handshake.
package Usher::Faults::TLS;

use strict;
use warnings FATAL => 'all';

use Usher::Backend;
use Usher::Faults::HTTP ();

# As in Usher::Faults::HTTP. While there is no handshake nothing was sent.
my @handshake = (
    # name       where     kinds                    what it is
    ['deaf',     'before', 'stall',                'connections are accepted, and nothing is read'],
    ['accept',   'before', 'cut rst',              'right after accept'],
    ['hello',    'before', 'cut rst stall garble', 'the first message of the handshake was read'],
    ['flight',   'before', 'cut rst stall garble', 'within the answer to it'],
    ['alert',    'before', 'cut',                  'the handshake is refused by an alert'],
    ['name',     'before', 'garble',               'the certificate is of another name'],
    ['expired',  'before', 'garble',               'the certificate has expired'],
    ['issuer',   'before', 'garble',               'the certificate is of an unknown CA'],
    ['secure',   'sent',   'cut rst',              'right after the handshake'],
);
my %handshake = map { $_->[0] => 1 } @handshake;
my %certificate = (name => 'wrong', expired => 'expired', issuer => 'other');
# Without close_notify a body that ends with the connection is cut.
my %kinds = (until => 'cut rst stall');

my @phases = (@handshake, map { [@$_[0, 1], $kinds{ $_->[0] } // $_->[2], $_->[3]] } grep { !$handshake{ $_->[0] } } Usher::Faults::HTTP::phases());

sub phases  { return @phases }
sub methods { return Usher::Faults::HTTP::methods() }
sub payload { return Usher::Faults::HTTP::payload(@_) }
sub answer  { return Usher::Faults::HTTP::answer(@_) }
sub warm    { return Usher::Faults::HTTP::warm() }

# The play that breaks.
sub play {
    my ($row) = @_;
    my ($phase, $kind) = @$row{qw(phase kind)};
    my $break = $kind eq 'cut' ? cut : $kind eq 'rst' ? rst : stall;

    return Usher::Faults::HTTP::play($row) unless $handshake{$phase};
    return [certificate($certificate{$phase})] if $certificate{$phase};
    return [alert(40), cut] if $phase eq 'alert';
    return $kind eq 'garble' ? ["HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", stall] : $break if $phase eq 'hello';
    return [flight(100), $kind eq 'garble' ? ('x' x 1000, stall) : $break] if $phase eq 'flight';
    return $break;
}

# What else than a request the play is for, and what is sound there.
sub moment {
    my ($phase) = @_;

    return () unless $handshake{$phase};
    return (($phase =~ /^(?:deaf|accept)$/ ? 'ACCEPT' : $phase eq 'secure' ? 'SECURE' : 'HELLO') => []);
}

1;
