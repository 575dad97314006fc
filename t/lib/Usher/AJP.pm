# AJP13 as exact bytes, and back, in both directions.
#   ajp_answer(200, ['Content-Type' => 'text/plain'], 'hello')   headers, body chunks, end
#   ajp_forward(method => 'GET', uri => '/x', headers => [Host => 'a'], secret => 's')
#   my $payload = ajp_take(\$input, 'AB') // need more; ajp_decode($payload)->{type}
# Decoding is strict and dies with "AJP: ..." on anything unsound; building
# sends what the test asks for, sound or not.
package Usher::AJP;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT = qw(ajp_answer ajp_send_headers ajp_body_chunk ajp_get_body ajp_end ajp_cpong ajp_cping
    ajp_forward ajp_body ajp_string ajp_frame ajp_take ajp_decode ajp_decode_forward);

# The first bytes of a frame say who sends it.
my $to_container = "\x12\x34";
my $from_container = 'AB';

# The most data that one packet of 8192 bytes can carry as a body chunk, and
# that may be asked for with ajp_get_body.
our $CHUNK_MAX = 8184;
our $GET_MAX = 8186;

my @methods = qw(OPTIONS GET HEAD POST PUT DELETE TRACE PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK ACL REPORT
    VERSION-CONTROL CHECKIN CHECKOUT UNCHECKOUT SEARCH MKWORKSPACE UPDATE LABEL MERGE BASELINE-CONTROL MKACTIVITY);
my @request_headers = qw(Accept Accept-Charset Accept-Encoding Accept-Language Authorization Connection Content-Type
    Content-Length Cookie Cookie2 Host Pragma Referer User-Agent);
my @answer_headers = qw(Content-Type Content-Language Content-Length Date Last-Modified Location Set-Cookie
    Set-Cookie2 Servlet-Engine Status WWW-Authenticate);
my %attribute = (context => 1, servlet_path => 2, remote_user => 3, auth_type => 4, query_string => 5, route => 6,
    ssl_cert => 7, ssl_cipher => 8, ssl_session => 9, ssl_key_size => 0x0B, secret => 0x0C, stored_method => 0x0D);

my %method_code = map { $methods[$_] => $_ + 1 } 0 .. $#methods;
my %request_code = map { lc $request_headers[$_] => 0xA001 + $_ } 0 .. $#request_headers;
my %answer_code = map { lc $answer_headers[$_] => 0xA001 + $_ } 0 .. $#answer_headers;
my %attribute_name = reverse %attribute;

# ---- building

# A string with its length and NUL; undef is the null string. Options:
# length => claim another length, nul => 0 to leave the NUL out.
sub ajp_string {
    my ($string, %opt) = @_;

    return "\xFF\xFF" unless defined $string;
    return pack('n', $opt{length} // length $string) . $string . ($opt{nul} // 1 ? "\0" : '');
}

# A payload in a frame of the container (or of the proxy: to => 1). Options:
# length => claim another length, magic => two other bytes.
sub ajp_frame {
    my ($payload, %opt) = @_;
    my $magic = $opt{magic} // ($opt{to} ? $to_container : $from_container);

    return $magic . pack('n', $opt{length} // length $payload) . $payload;
}

# SEND_HEADERS (status, [name => value, ...]). Options: reason => text,
# coded => 0 to spell out all names, count => claim another number of headers.
sub ajp_send_headers {
    my ($status, $headers, %opt) = @_;
    my $payload = pack('Cn', 4, $status) . ajp_string($opt{reason} // 'OK');

    return ajp_frame($payload . _headers(\%answer_code, $headers, %opt));
}

# SEND_BODY_CHUNK with these bytes; none is a request to flush.
sub ajp_body_chunk { return ajp_frame(pack('Cn', 3, length $_[0]) . $_[0] . "\0") }

# GET_BODY_CHUNK: the container asks for $n bytes of the request's body.
sub ajp_get_body { return ajp_frame(pack 'Cn', 6, $_[0] // $GET_MAX) }

# END_RESPONSE; false: the connection is not to be used again.
sub ajp_end { return ajp_frame(pack 'CC', 5, $_[0] // 1) }

sub ajp_cpong { return ajp_frame("\x09") }
sub ajp_cping { return ajp_frame("\x0A", to => 1) }

# A whole answer (status, [name => value, ...], body). Options: reuse => 0,
# chunk => bytes per body chunk, and those of ajp_send_headers.
sub ajp_answer {
    my ($status, $headers, $body, %opt) = @_;
    my $size = $opt{chunk} // $CHUNK_MAX;
    my $bytes = ajp_send_headers($status, $headers, %opt);

    for (my $at = 0; $at < length($body // ''); $at += $size) {
        $bytes .= ajp_body_chunk(substr $body, $at, $size);
    }
    return $bytes . ajp_end($opt{reuse} // 1);
}

# A packet of the request's body; without bytes: its end.
sub ajp_body { return ajp_frame(ajp_string($_[0] // '', nul => 0), to => 1) }

# FORWARD_REQUEST of (method, proto, uri, remote_addr, remote_host,
# server_name, server_port, is_ssl, headers => [name => value, ...], any
# attribute by name, request_attributes => [name => value, ...]).
sub ajp_forward {
    my (%req) = @_;
    my $method = $req{method} // 'GET';
    my %attributes = map { $_ => $req{$_} } grep { defined $req{$_} } keys %attribute;
    my $payload = pack('CC', 2, $method_code{$method} // 0xFF)
        . join '', map { ajp_string($_) } $req{proto} // 'HTTP/1.1', $req{uri} // '/',
            $req{remote_addr} // '127.0.0.1', $req{remote_host}, $req{server_name} // 'localhost';

    $attributes{stored_method} //= $method unless $method_code{$method};
    $payload .= pack 'nC', $req{server_port} // 80, $req{is_ssl} ? 1 : 0;
    $payload .= _headers(\%request_code, $req{headers}, %req);
    for my $name (sort { $attribute{$a} <=> $attribute{$b} } keys %attributes) {
        $payload .= pack('C', $attribute{$name})
            . ($name eq 'ssl_key_size' ? pack 'n', $attributes{$name} : ajp_string($attributes{$name}));
    }
    my @more = @{ $req{request_attributes} // [] };
    while (my ($name, $value) = splice @more, 0, 2) {
        $payload .= "\x0A" . ajp_string($name) . ajp_string($value);
    }
    return ajp_frame("$payload\xFF", to => 1);
}

sub _headers {
    my ($code, $headers, %opt) = @_;
    my @headers = @{ $headers // [] };
    my $bytes = pack 'n', $opt{count} // @headers / 2;

    while (my ($name, $value) = splice @headers, 0, 2) {
        my $number = $opt{coded} // 1 ? $code->{ lc $name } : undef;
        $bytes .= ($number ? pack 'n', $number : ajp_string($name)) . ajp_string($value);
    }
    return $bytes;
}

# ---- decoding

# The payload of the next frame, removed from $$input; undef while it is
# incomplete. $magic: who must have sent it, "\x12\x34" (proxy) or "AB".
sub ajp_take {
    my ($input, $magic) = @_;
    my $have = substr $$input, 0, 2;

    die 'AJP: frame begins with ' . unpack('H*', $have) . "\n" if $have ne substr $magic, 0, length $have;
    return if length $$input < 4;
    my $length = unpack 'n', substr $$input, 2, 2;
    return if length $$input < 4 + $length;
    return substr substr($$input, 0, 4 + $length, ''), 4;
}

# What a container sent: { type => 'SEND_HEADERS', status, reason, headers },
# { type => 'SEND_BODY_CHUNK', body }, { type => 'GET_BODY_CHUNK', length },
# { type => 'END_RESPONSE', reuse }, { type => 'CPONG' }.
sub ajp_decode {
    my ($payload) = @_;
    my $in = { bytes => $payload, at => 0 };
    my $code = _byte($in);
    my %packet;

    if ($code == 3) {
        %packet = (type => 'SEND_BODY_CHUNK', body => _string($in));
    } elsif ($code == 4) {
        %packet = (type => 'SEND_HEADERS', status => _int($in), reason => _string($in));
        $packet{headers} = _take_headers($in, \@answer_headers);
    } elsif ($code == 5) {
        %packet = (type => 'END_RESPONSE', reuse => _byte($in));
    } elsif ($code == 6) {
        %packet = (type => 'GET_BODY_CHUNK', length => _int($in));
    } elsif ($code == 9) {
        %packet = (type => 'CPONG');
    } else {
        die "AJP: packet of type $code from a container\n";
    }
    _end($in);
    return \%packet;
}

# A FORWARD_REQUEST as a hash: what ajp_forward() takes, headers as
# [[name, value], ...], attributes => { name => value }, request_attributes
# => { name => value }, coded => number of headers that came as a code, and order
# => [names of all attributes].
sub ajp_decode_forward {
    my ($payload) = @_;
    my $in = { bytes => $payload, at => 0 };
    my $code = _byte($in);
    my %req;

    die "AJP: packet of type $code, not FORWARD_REQUEST\n" if $code != 2;
    my $method = _byte($in);
    die "AJP: method code $method\n" if $method != 0xFF && ($method < 1 || $method > @methods);
    $req{$_} = _string($in) for qw(proto uri remote_addr remote_host server_name);
    $req{server_port} = _int($in);
    $req{is_ssl} = _byte($in);
    $req{headers} = _take_headers($in, \@request_headers, \$req{coded});
    _take_attributes($in, \%req);
    _end($in);
    $req{method} = $method == 0xFF ? $req{attributes}{stored_method} : $methods[ $method - 1 ];
    die "AJP: method 0xFF without stored_method\n" unless defined $req{method};
    return \%req;
}

sub _take_attributes {
    my ($in, $req) = @_;

    @$req{qw(attributes request_attributes order)} = ({}, {}, []);
    while ((my $code = _byte($in)) != 0xFF) {
        if ($code == 0x0A) {
            my $name = _string($in) // die "AJP: request attribute without a name\n";
            $req->{request_attributes}{$name} = _string($in);
            push @{ $req->{order} }, $name;
            next;
        }
        my $name = $attribute_name{$code} // die "AJP: attribute code $code\n";
        die "AJP: attribute $name twice\n" if exists $req->{attributes}{$name};
        $req->{attributes}{$name} = $name eq 'ssl_key_size' ? _int($in) : _string($in);
        push @{ $req->{order} }, $name;
    }
    return;
}

sub _take_headers {
    my ($in, $names, $coded) = @_;
    my $count = _int($in);
    my @headers;

    $$coded = 0 if $coded;
    for (1 .. $count) {
        my $code = unpack 'n', substr($in->{bytes}, $in->{at}, 2) . "\0\0";
        my $name;
        if ($code >= 0xA000 && $code != 0xFFFF) {
            _int($in);
            my $number = $code - 0xA001;
            $name = $number >= 0 ? $names->[$number] : undef;
            $$coded++ if $coded;
            die sprintf "AJP: header code %04x\n", $code unless defined $name;
        } else {
            $name = _string($in) // die "AJP: header without a name\n";
        }
        push @headers, [$name, _string($in)];
    }
    return \@headers;
}

sub _bytes {
    my ($in, $count) = @_;

    die "AJP: packet ends too early\n" if $in->{at} + $count > length $in->{bytes};
    $in->{at} += $count;
    return substr $in->{bytes}, $in->{at} - $count, $count;
}

sub _byte { return unpack 'C', _bytes($_[0], 1) }
sub _int  { return unpack 'n', _bytes($_[0], 2) }

sub _string {
    my ($in) = @_;
    my $length = _int($in);

    return if $length == 0xFFFF;
    my $string = _bytes($in, $length);
    die "AJP: string without NUL\n" if _bytes($in, 1) ne "\0";
    return $string;
}

sub _end {
    my ($in) = @_;
    my $left = length($in->{bytes}) - $in->{at};

    die "AJP: $left bytes after the end of the packet\n" if $left;
    return;
}

1;
