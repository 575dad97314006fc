# A stream socket with TLS: Usher::Wire whose read_more() and write() are those
# of the data inside. OpenSSL works on memory only, so each byte that goes out
# can be held, cut or replaced. Until handshake() all is as without TLS.
#   my $context = Usher::Wire::TLS::context(cert => file, key => file, ...);
#   my $wire = Usher::Wire::TLS->new($socket, context => $context);
#   $wire->handshake($seconds)   '' or why it failed
#   $wire->told                  { protocol, cipher, resumed, sni, client, ... }
#   $wire->notify                close_notify; close() sends it too, but not after abrupt()
package Usher::Wire::TLS;

use strict;
use warnings FATAL => 'all';

use parent 'Usher::Wire';
use Net::SSLeay ();
use Time::HiRes ();

my %version = ('1.0' => Net::SSLeay::TLS1_VERSION(), '1.1' => Net::SSLeay::TLS1_1_VERSION(), '1.2' => Net::SSLeay::TLS1_2_VERSION(), '1.3' => Net::SSLeay::TLS1_3_VERSION());
my ($want_read, $closed) = (Net::SSLeay::ERROR_WANT_READ(), Net::SSLeay::ERROR_ZERO_RETURN());

# SSL_CTRL_SET_SIGALGS_LIST, SSL_MODE_SEND_FALLBACK_SCSV
my ($set_sigalgs, $send_fallback) = (98, 0x80);

# Which errors the peer told by an alert.
my $alerts_from = 1000;

# context(%options), of a server or (client => 1) a client:
#   cert, key   files, PEM; a certificate's chain follows it
#   versions    '1.0', '1.1' (with ciphers 'ALL:@SECLEVEL=0'), '1.2', '1.3'; default the last two
#   ciphers     of TLS 1.2; ciphersuites: of TLS 1.3
#   groups      as 'X25519:P-256';  sigalgs: as 'RSA+SHA256'
#   alpn        [names] that a client offers
#   verify      a client's: 1, or the server's name that must be in the certificate
#   later       a client that may be asked for its certificate after the handshake (TLS 1.3)
#   fallback    a client that says that it could do better (RFC 7507)
#   ask         'ask' or 'require': the client's certificate; ca: the CA's file
#   tickets     how many for a session of TLS 1.3; 0: none in TLS 1.2 either
#   names       { name => { cert, key } }: other certificates for these names
sub context {
    my (%opt) = @_;

    Net::SSLeay::initialize();
    my $ctx = Net::SSLeay::CTX_new_with_method($opt{client} ? Net::SSLeay::TLS_client_method() : Net::SSLeay::TLS_server_method())
        // _die('context');
    # A peer that closes without close_notify is no error but an end.
    Net::SSLeay::CTX_set_options($ctx, Net::SSLeay::OP_ALL());
    Net::SSLeay::CTX_set_mode($ctx, Net::SSLeay::MODE_ENABLE_PARTIAL_WRITE() | Net::SSLeay::MODE_ACCEPT_MOVING_WRITE_BUFFER());
    my @versions = sort { $a <=> $b } ref $opt{versions} ? @{ $opt{versions} } : $opt{versions} // ('1.2', '1.3');
    Net::SSLeay::CTX_set_min_proto_version($ctx, $version{ $versions[0] } // die "TLS version $versions[0]\n");
    Net::SSLeay::CTX_set_max_proto_version($ctx, $version{ $versions[-1] } // die "TLS version $versions[-1]\n");
    Net::SSLeay::CTX_set_cipher_list($ctx, $opt{ciphers}) || _die($opt{ciphers}) if $opt{ciphers};
    Net::SSLeay::CTX_set_ciphersuites($ctx, $opt{ciphersuites}) || _die($opt{ciphersuites}) if $opt{ciphersuites};
    _certificate($ctx, $opt{cert}, $opt{key});
    Net::SSLeay::CTX_load_verify_locations($ctx, $opt{ca}, '') || _die($opt{ca}) if $opt{ca};
    Net::SSLeay::CTX_set1_groups_list($ctx, $opt{groups}) || _die($opt{groups}) if $opt{groups};
    Net::SSLeay::CTX_ctrl($ctx, $set_sigalgs, 0, $opt{sigalgs}) || _die($opt{sigalgs}) if $opt{sigalgs};
    $opt{client} ? _client($ctx, \%opt) : _server($ctx, \%opt);
    return $ctx;
}

sub _certificate {
    my ($ctx, $cert, $key) = @_;

    return unless $cert;
    Net::SSLeay::CTX_use_certificate_chain_file($ctx, $cert) || _die($cert);
    return Net::SSLeay::CTX_use_PrivateKey_file($ctx, $key, Net::SSLeay::FILETYPE_PEM()) || _die($key);
}

sub _client {
    my ($ctx, $opt) = @_;

    Net::SSLeay::CTX_set_alpn_protos($ctx, $opt->{alpn}) if $opt->{alpn};
    Net::SSLeay::CTX_set_post_handshake_auth($ctx, 1) if $opt->{later};
    Net::SSLeay::CTX_set_mode($ctx, $send_fallback) if $opt->{fallback};
    Net::SSLeay::CTX_set_options($ctx, Net::SSLeay::OP_NO_TICKET()) if defined $opt->{tickets} && !$opt->{tickets};
    return unless $opt->{verify};
    Net::SSLeay::CTX_set_verify($ctx, Net::SSLeay::VERIFY_PEER(), undef);
    Net::SSLeay::X509_VERIFY_PARAM_set1_host(Net::SSLeay::CTX_get0_param($ctx), $opt->{verify}) if $opt->{verify} ne '1';
    return;
}

sub _server {
    my ($ctx, $opt) = @_;

    Net::SSLeay::CTX_set_session_id_context($ctx, 'usher', 5);
    if (defined $opt->{tickets}) {
        Net::SSLeay::CTX_set_num_tickets($ctx, $opt->{tickets});
        if (!$opt->{tickets}) {
            Net::SSLeay::CTX_set_options($ctx, Net::SSLeay::OP_NO_TICKET());
            Net::SSLeay::CTX_set_session_cache_mode($ctx, Net::SSLeay::SESS_CACHE_OFF());
        }
    }
    if ($opt->{ask}) {
        my $mode = Net::SSLeay::VERIFY_PEER() | ($opt->{ask} eq 'require' ? Net::SSLeay::VERIFY_FAIL_IF_NO_PEER_CERT() : 0);
        Net::SSLeay::CTX_set_verify($ctx, $mode, undef);
    }
    my %named = map { $_ => context(%$opt, names => undef, %{ $opt->{names}{$_} }) } keys %{ $opt->{names} // {} };
    Net::SSLeay::CTX_set_tlsext_servername_callback($ctx, sub {
        my ($ssl) = @_;
        my $other = $named{ Net::SSLeay::get_servername($ssl) // '' };
        Net::SSLeay::set_SSL_CTX($ssl, $other) if $other;
        return 0;    # that is: go on
    });
    return;
}

sub _die { die "TLS: $_[0]: ", Net::SSLeay::ERR_error_string(Net::SSLeay::ERR_get_error()), "\n" }

# new(connected socket, context => ..., %options): those of Usher::Wire, and
#   client       => 1 for that side; name => the server's, for SNI; session => one to resume
#   late_tickets => hold a session's tickets back until something is sent
sub new {
    my ($class, $sock, %opt) = @_;
    my $self = $class->SUPER::new($sock, %opt);
    my $ssl = $self->{ssl} = Net::SSLeay::new($self->{context}) || _die('new');

    @$self{qw(from to out)} = (Net::SSLeay::BIO_new(Net::SSLeay::BIO_s_mem()), Net::SSLeay::BIO_new(Net::SSLeay::BIO_s_mem()), '');
    Net::SSLeay::set_bio($ssl, $self->{from}, $self->{to});
    Net::SSLeay::set_tlsext_host_name($ssl, $self->{name}) if $self->{client} && $self->{name};
    Net::SSLeay::set_session($ssl, $self->{session}) if $self->{session};
    $self->{client} ? Net::SSLeay::set_connect_state($ssl) : Net::SSLeay::set_accept_state($ssl);
    return $self;
}

# ---- the handshake

# Read the client's first message: '' once it is there, 'closed', 'reset', or
# 'no TLS' where it is something else (then it is in $wire->{in}).
sub hello {
    my ($self) = @_;

    until (length $self->{in} >= 5 && length $self->{in} >= 5 + unpack 'n', substr $self->{in}, 3, 2) {
        return 'no TLS' if length $self->{in} && $self->{in} !~ /^\x16(?:\x03|\z)/;
        my $how = $self->Usher::Wire::read_more(undef);
        return $how if $how ne 'data';
    }
    Net::SSLeay::BIO_write($self->{from}, $self->{in});
    $self->{in} = '';
    return '';
}

# What we answer to what has come so far, to be sent by the caller.
sub flight {
    my ($self) = @_;

    $self->_step;
    return $self->{out};
}

# That much of it was sent: the next flight() is what follows.
sub flown { my ($self, $n) = @_; substr $self->{out}, 0, $n, ''; return }

sub _step {
    my ($self) = @_;

    Net::SSLeay::ERR_clear_error();
    my $done = Net::SSLeay::do_handshake($self->{ssl});
    my $error = $done > 0 ? 0 : Net::SSLeay::get_error($self->{ssl}, $done);
    $self->_collect;
    return $error;
}

# To its end: '' or why not. {by} is then who ended it: 'peer' or 'us'.
sub handshake {
    my ($self, $seconds) = @_;
    my $end = defined $seconds ? Time::HiRes::time() + $seconds : undef;

    while (1) {
        my $error = $self->_step;
        last if !$error;
        $self->_flush(5);
        if ($error != $want_read) {
            my $code = Net::SSLeay::ERR_get_error();
            $self->{by} = ($code & 0xfff) > $alerts_from ? 'peer' : 'us';
            return $self->{failed} = $self->_reason($code);
        }
        my $how = $self->_pull(defined $end ? _left($end) : undef);
        next if $how eq 'data';
        $self->{by} = 'peer';
        return $self->{failed} = $how;
    }
    $self->{secure} = 1;
    $self->_flush(5) unless $self->{late_tickets};
    return '';
}

sub _left {
    my ($end) = @_;
    my $left = $end - Time::HiRes::time();

    return $left > 0 ? $left : 0;
}

sub _reason {
    my ($self, $code) = @_;
    my $text = Net::SSLeay::ERR_error_string($code);

    return $text =~ /([^:]+)\z/ ? $1 : $text;
}

sub told {
    my ($self) = @_;
    my $ssl = $self->{ssl};
    my %told = (sni => Net::SSLeay::get_servername($ssl) // '');

    if ($self->{secure}) {
        my $cert = Net::SSLeay::get_peer_certificate($ssl);
        $told{client} = $cert ? Net::SSLeay::X509_NAME_get_text_by_NID(Net::SSLeay::X509_get_subject_name($cert), Net::SSLeay::NID_commonName()) : '';
        Net::SSLeay::X509_free($cert) if $cert;
        @told{qw(protocol cipher resumed)} = (Net::SSLeay::get_version($ssl), Net::SSLeay::get_cipher($ssl),
            Net::SSLeay::session_reused($ssl) ? 1 : 0);
    }
    $told{failed} = $self->{failed} if $self->{failed};
    return \%told;
}

# ---- the data

# Ciphertext in; 'data', 'closed', 'reset' or 'timeout'.
sub _pull {
    my ($self, $seconds) = @_;
    my $received = $self->{received};
    local $self->{in} = '';
    my $how = $self->SUPER::read_more($seconds);

    $self->{received} = $received;
    Net::SSLeay::BIO_write($self->{from}, $self->{in}) if length $self->{in};
    return $how;
}

# What OpenSSL has to send.
sub _collect {
    my ($self) = @_;

    while (Net::SSLeay::BIO_pending($self->{to})) {
        $self->{out} .= Net::SSLeay::BIO_read($self->{to}, 65536) // last;
    }
    return;
}

# Send it: true where all of it went out within $seconds.
sub _flush {
    my ($self, $seconds) = @_;
    my $sent = $self->{sent};

    $self->_collect;
    return 1 unless length $self->{out};
    my $put = $self->SUPER::write($self->{out}, $seconds);
    $self->{sent} = $sent;
    substr $self->{out}, 0, $put, '';
    return !length $self->{out};
}

# As of Usher::Wire. 'closed' with close_notify sets {notified}; an error of
# TLS is 'reset' with {tls_error}.
sub read_more {
    my ($self, $seconds, $max) = @_;
    my $end = defined $seconds ? Time::HiRes::time() + $seconds : undef;

    return $self->SUPER::read_more($seconds, $max) unless $self->{secure};
    while (1) {
        Net::SSLeay::ERR_clear_error();
        my ($bytes, $done) = Net::SSLeay::read($self->{ssl}, $max // 65536);
        if (defined $bytes && length $bytes) {
            $self->{in} .= $bytes;
            $self->{received} += length $bytes;
            return 'data';
        }
        my $error = Net::SSLeay::get_error($self->{ssl}, $done);
        if ($error == $closed) {
            $self->{notified} = 1;
            return 'closed';
        }
        # A message of the handshake may ask for an answer.
        $self->_flush(5) unless $self->{late_tickets};
        if ($error != $want_read) {
            $self->{tls_error} = $self->_reason(Net::SSLeay::ERR_get_error());
            return 'reset';
        }
        my $how = $self->_pull(defined $end ? _left($end) : undef);
        return $how if $how ne 'data';
    }
}

# As of Usher::Wire. With {record} each record has so many bytes.
sub write {
    my ($self, $bytes, $seconds) = @_;
    my $end = defined $seconds ? Time::HiRes::time() + $seconds : undef;
    my ($done, $handed) = (0, 0);

    return $self->SUPER::write($bytes, $seconds) unless $self->{secure};
    $self->_flush(defined $end ? _left($end) : undef) or return 0;
    while ($done < length $bytes) {
        # Many small records go out with one call.
        while ($handed < length $bytes && $handed - $done < 65536) {
            my $put = Net::SSLeay::write($self->{ssl}, substr $bytes, $handed, $self->{record} // 65536);
            return $done if $put <= 0;
            $handed += $put;
        }
        $self->_flush(defined $end ? _left($end) : undef) or return $done;
        $self->{sent} += $handed - $done;
        $done = $handed;
    }
    return $done;
}

sub notify {
    my ($self) = @_;

    return 0 unless $self->{secure};
    Net::SSLeay::ERR_clear_error();
    Net::SSLeay::shutdown($self->{ssl}) unless $self->{notifying}++;
    return $self->_flush(1);
}

# Another one than the context's, before the handshake.
sub certificate {
    my ($self, $cert, $key) = @_;

    Net::SSLeay::use_certificate_file($self->{ssl}, $cert, Net::SSLeay::FILETYPE_PEM()) || _die($cert);
    return Net::SSLeay::use_PrivateKey_file($self->{ssl}, $key, Net::SSLeay::FILETYPE_PEM()) || _die($key);
}

# The server asks for a new handshake (TLS 1.2).
sub renegotiate {
    my ($self) = @_;

    Net::SSLeay::renegotiate($self->{ssl}) > 0 or _die('renegotiate');
    Net::SSLeay::do_handshake($self->{ssl});
    return $self->_flush(5);
}

# The server asks for the client's certificate (TLS 1.3).
sub ask_certificate {
    my ($self) = @_;

    Net::SSLeay::set_verify($self->{ssl}, Net::SSLeay::VERIFY_PEER(), sub { 1 });
    Net::SSLeay::verify_client_post_handshake($self->{ssl}) > 0 or return 0;
    Net::SSLeay::do_handshake($self->{ssl});
    return $self->_flush(5);
}

# Bytes that are no TLS, whatever has been sent before.
sub raw {
    my ($self, $bytes) = @_;

    $self->_flush(5);
    return $self->SUPER::write($bytes, 5);
}

# close() will be without close_notify.
sub abrupt { return $_[0]{notifying} = 1 }

sub half_close {
    my ($self) = @_;

    $self->notify;
    return $self->SUPER::half_close;
}

sub close {
    my ($self) = @_;

    $self->notify;
    return $self->SUPER::close;
}

sub DESTROY {
    my ($self) = @_;

    Net::SSLeay::free(delete $self->{ssl}) if $self->{ssl};
    return;
}

1;
