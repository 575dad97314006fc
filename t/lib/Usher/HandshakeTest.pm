# What the tests in t/tls share: an httpd whose virtual hosts fail in all ways, each on
# ports of its own, and what its logs say of a handshake.
package Usher::HandshakeTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Open3 'open3';
use MIME::Base64 'encode_base64';
use Net::SSLeay ();
use Usher::Certs ();
use Usher::Client ();
use Usher::Wait;

our @EXPORT = qw(certs certificate weak tls_host raw_client s_client early_session text_line file_lines);

my $certs;

sub certs { return $certs //= Usher::Certs->new }

sub certificate { return join '', map { "SSLCertificateFile @{[ certs()->cert($_) ]}\nSSLCertificateKeyFile @{[ certs()->key($_) ]}\n" } @_ }

# All that this OpenSSL can.
sub weak { return "SSLProtocol all -SSLv3 +TLSv1 +TLSv1.1\nSSLCipherSuite ALL:\@SECLEVEL=0\n" }

# A virtual host of this port and name.
sub tls_host {
    my ($port, $name, @lines) = @_;

    return "<VirtualHost 127.0.0.1:$port>\nServerName $name\nSSLEngine On\n" . join('', map { s/\n?\z/\n/r } @lines) . "</VirtualHost>\n";
}

sub file_lines {
    my ($file) = @_;

    open my $fh, '<', $file or return;
    return <$fh>;
}

# raw_client(port, from, steps): bytes to be sent; { wait => 1 }: for an answer (all that
# has come is added to {came}); { pause => seconds }; { end => 'close' | 'reset' | 'stay' },
# the default is to wait until the server has closed. Returns { came, how, left }.
sub raw_client {
    my ($port, $from, @steps) = @_;
    my $client = Usher::Client->new(port => $port, from => $from) // die "connect to port $port: $!\n";
    my $wire = $client->wire;
    my $end = 'server';

    for my $step (@steps) {
        if (!ref $step) { $client->send($step) }
        elsif ($step->{wait}) { $wire->read_more(patient(10)) }
        elsif ($step->{pause}) { $wire->pause($step->{pause}) }
        else { $end = $step->{end} }
    }
    my $how = $end;
    if ($end eq 'server') {
        do { $how = $wire->read_more(patient(10)) } while $how eq 'data';
        $client->close;
    } elsif ($end ne 'stay') {
        $client->$end;
    }
    return { came => $wire->{in}, how => $how, left => $end eq 'stay' ? $client : undef };
}

# s_client(port, from, arguments, input): what "openssl s_client" said of a handshake as
# Usher::TLSClient's told() does, with hello and alpn.
sub s_client {
    my ($port, $from, @more) = @_;
    my $input = pop @more;
    open my $silent, '>', '/dev/null' or die "/dev/null: $!\n";
    my $pid = open3(my $in, my $out, '>&' . fileno $silent,
        'openssl', 's_client', '-connect', "127.0.0.1:$port", '-bind', "$from:0", '-msg', '-ign_eof', @more);

    print $in $input;
    close $in;
    my $text = do { local $/; <$out> };
    waitpid $pid, 0;
    my ($hello) = $text =~ /^>>> .*ClientHello\n((?:    .*\n)+)/m;
    my ($protocol, $cipher) = $text =~ /^(?:New|Reused), (\S+), Cipher is (\S+)/m;
    return { hello => pack('H*', ($hello // '') =~ s/\s//gr), protocol => $protocol, cipher => $cipher, text => $text,
        alpn => $text =~ /^ALPN protocol: (\S+)/m ? $1 : '', resumed => $text =~ /^Reused/m ? 1 : 0 };
}

# A session for "s_client -sess_in" of which the client believes that the server takes
# early data: no server here does. Its field is number 15 of the sequence.
sub early_session {
    my ($session, $file) = @_;
    my $rest = _der(Net::SSLeay::i2d_SSL_SESSION($session));
    my ($before, $after) = ('', '');

    while (length $rest) {
        my ($value, $length) = _der($rest);
        my $tag = ord $rest;
        (($tag & 0xe0) == 0xa0 && ($tag & 31) > 15 ? $after : $before) .= substr $rest, 0, $length, '';
    }
    $rest = "$before\xaf\x04\x02\x02\x40\x00$after";
    open my $fh, '>', $file or die "$file: $!\n";
    print $fh "-----BEGIN SSL SESSION PARAMETERS-----\n", encode_base64("\x30\x82" . pack('n/a', $rest)), "-----END SSL SESSION PARAMETERS-----\n";
    close $fh;
    return $file;
}

# What the first of some DER objects holds, and its whole length.
sub _der {
    my ($length, $head) = (ord(substr $_[0], 1), 2);

    if ($length & 128) {
        $head += $length & 127;
        $length = unpack 'N', substr "\0\0\0\0" . substr($_[0], 2, $head - 2), -4;
    }
    my $value = substr $_[0], $head, $length;
    return wantarray ? ($value, $head + $length) : $value;
}

# A line of the handshake log as a hash: time, client, client_port, port, and its keys.
sub text_line {
    my ($line) = @_;
    my ($time, $client, $client_port, $port, $rest) =
        $line =~ /^[ -~]+\n\z/ && $line =~ m{^\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{6} [-+]\d{4})\] ([0-9a-f.:]+):(\d+) (\d+) (.*)\n?\z} or return;
    my %got = (time => $time, client => $client, client_port => $client_port, port => $port);

    while ($rest =~ s/^([\w-]+)=("(?:[^"\\]|\\.)*"|[^ "][^ ]*|)(?: |\z)// || $rest =~ s/^(SSL):(\{[^ ,{}]*,[^ ,{}]*\})(?: |\z)//) {
        return if exists $got{$1};
        $got{$1} = $2;
    }
    return $rest eq '' ? \%got : undef;
}

1;
