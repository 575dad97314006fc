# A client of TLS whose handshake may fail, and that knows its own ClientHello.
#   my $client = Usher::TLSClient->new(port => 8443, versions => '1.0', from => '127.1.2.3');
#   $client->failed          '' or why
#   $client->told            { protocol, cipher, resumed, ... }
#   $client->hello           its first ClientHello: see Usher::TLSHello
#   $client->request(...)    as Usher::Client
#   $client->session         for another one's session => ...
# Options are those of Usher::Wire::TLS::context, and name (SNI), session, from; and split =>
# n: the ClientHello goes in records of n bytes, each a segment. Versions before 1.2, and
# ciphers that are weak, need no more than to be named.
package Usher::TLSClient;

use strict;
use warnings FATAL => 'all';

use parent 'Usher::Client';
use Net::SSLeay ();
use Usher::TLSHello ();
use Usher::Wait;
use Usher::Wire ();
use Usher::Wire::TLS ();

# Contexts cost more than handshakes.
my %context;
my @connection = qw(port host from name session split);

sub new {
    my ($class, %opt) = @_;
    my %mine = map { $_ => delete $opt{$_} } @connection;
    my $self = $class->SUPER::new(port => $mine{port}, host => $mine{host}, from => $mine{from})
        // die "connect to port $mine{port}: $!\n";

    my $wire = $self->{wire} = Usher::Wire::TLS->new($self->{wire}->sock, client => 1, name => $mine{name},
        session => $mine{session}, context => _context(%opt));
    Net::SSLeay::set_msg_callback($wire->{ssl}, sub {
        my ($written, undef, $type, $bytes) = @_;
        $self->{hello} //= $bytes if $written && $type == 22;
    });
    $self->_split($mine{split}) if $mine{split};
    $self->{failed} = $wire->handshake(patient(10));
    Net::SSLeay::set_msg_callback($wire->{ssl}, undef);
    return $self;
}

sub _context {
    my (%opt) = @_;
    my $key = join "\0", map { $_, ref $opt{$_} ? @{ $opt{$_} } : $opt{$_} // '' } sort keys %opt;

    $opt{ciphers} = ($opt{ciphers} // 'ALL') . ':@SECLEVEL=0';
    return $context{$key} //= Usher::Wire::TLS::context(%opt, client => 1);
}

sub _split {
    my ($self, $size) = @_;
    my $wire = $self->{wire};
    my $flight = $wire->flight;

    $wire->flown(length $flight);
    my $records = Usher::TLSHello::records(22, $self->{hello}, size => $size);
    for (my $at = 0; $at < length $records; $at += $size + 5) {
        $wire->Usher::Wire::write(substr($records, $at, $size + 5), 10);
        $wire->pause(0.001);
    }
    return;
}

sub failed { $_[0]{failed} }
sub told   { $_[0]{wire}->told }
sub hello  { $_[0]{hello} }
sub alpn   { Net::SSLeay::P_alpn_selected($_[0]{wire}{ssl}) // '' }

# In TLS 1.3 only after something was read.
sub session { Net::SSLeay::get1_session($_[0]{wire}{ssl}) }

1;
