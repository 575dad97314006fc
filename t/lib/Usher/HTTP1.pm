# HTTP/1 messages as exact bytes, and back.
#   http_answer(200, ['Content-Type' => 'text/plain'], 'hello')       length from the body
#   http_answer(200, [], $body, chunked => 5, trailers => ['X' => 1]) chunks of 5 bytes
#   http_request(POST => '/x', ['X-Id' => 7], 'body')                 adds Host
# What a test gives is sent as it is, sound or not.
package Usher::HTTP1;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT = qw(http_answer http_request http_chunks http_head_end http_parse_head http_value http_has_token);

my %reason = (100 => 'Continue', 200 => 'OK', 204 => 'No Content', 206 => 'Partial Content', 302 => 'Found',
    304 => 'Not Modified', 400 => 'Bad Request', 404 => 'Not Found', 413 => 'Content Too Large',
    500 => 'Internal Server Error', 502 => 'Bad Gateway', 503 => 'Service Unavailable');

# http_answer(status, [name => value, ...], body, options): the bytes of an
# answer. Without a body (undef) no Content-Length is added. Options:
#   chunked  => 1 for one chunk, or bytes per chunk; trailers => [name => value, ...]
#   length   => Content-Length to claim; undef for none (ends with the connection)
#   version  => default "1.1"; reason => default the usual one
sub http_answer {
    my ($status, $headers, $body, %opt) = @_;
    my $line = join ' ', 'HTTP/' . ($opt{version} // '1.1'), $status, $opt{reason} // $reason{$status} // 'Unknown';

    return _message($line, $headers, $body, %opt);
}

# http_request(method, uri, [name => value, ...], body, options as above):
# the bytes of a request; "Host: localhost" first unless another is given.
sub http_request {
    my ($method, $uri, $headers, $body, %opt) = @_;
    my @headers = @{ $headers // [] };
    my %given = map { lc $headers[ 2 * $_ ] => 1 } 0 .. @headers / 2 - 1;

    unshift @headers, Host => 'localhost' unless $given{host};
    return _message("$method $uri HTTP/" . ($opt{version} // '1.1'), \@headers, $body, %opt);
}

sub _message {
    my ($line, $headers, $body, %opt) = @_;
    my @headers = @{ $headers // [] };

    if ($opt{chunked}) {
        push @headers, 'Transfer-Encoding' => 'chunked';
        $body = http_chunks($body, $opt{chunked}, $opt{trailers});
    } else {
        my $length = exists $opt{length} ? $opt{length} : defined $body ? length $body : undef;
        push @headers, 'Content-Length' => $length if defined $length;
    }
    return "$line\r\n" . _lines(@headers) . "\r\n" . ($body // '');
}

sub _lines {
    my (@pairs) = @_;
    my $text = '';

    while (my ($name, $value) = splice @pairs, 0, 2) {
        $text .= "$name: $value\r\n";
    }
    return $text;
}

# A body in chunks of $size bytes (1 or less: one chunk) with the last chunk
# and trailers [name => value, ...].
sub http_chunks {
    my ($body, $size, $trailers) = @_;
    my $text = '';

    $size = length $body if $size <= 1;
    for (my $at = 0; $at < length $body; $at += $size) {
        my $piece = substr $body, $at, $size;
        $text .= sprintf "%x\r\n%s\r\n", length $piece, $piece;
    }
    return $text . "0\r\n" . _lines(@{ $trailers // [] }) . "\r\n";
}

# The length of the head at the start of $$bytes with its empty line; 0
# while it is incomplete.
sub http_head_end {
    my ($bytes) = @_;
    my $at = index $$bytes, "\r\n\r\n";

    return $at < 0 ? 0 : $at + 4;
}

# (first line, [[name, value], ...]) of a head; nothing where it is malformed.
sub http_parse_head {
    my ($head) = @_;
    my ($first, @lines) = split /\r\n/, $head;
    my @headers;

    for my $line (@lines) {
        $line =~ /^([^\s:]+):[ \t]*(.*?)[ \t]*$/s or return;
        push @headers, [$1, $2];
    }
    return (defined $first ? ($first, \@headers) : ());
}

# All values of a header joined by ", "; undef where it is absent.
sub http_value {
    my ($headers, $name) = @_;
    my @values = map { $_->[1] } grep { lc $_->[0] eq lc $name } @$headers;

    return @values ? join ', ', @values : undef;
}

# Whether a header that is a list has this token.
sub http_has_token {
    my ($headers, $name, $token) = @_;

    return !!grep { lc $_ eq lc $token } split /\s*,\s*/, http_value($headers, $name) // '';
}

# The body of a message while it comes in.
#   new('length', $bytes), new('chunked'), new('close'), new('none')
#   take(\$input, $max)   decoded bytes, removed from the input; '' if more is needed
# {done}: the end was seen; {bad}: why it is malformed; {trailers}: [[name, value], ...]
package Usher::HTTP1::Body;

sub new {
    my ($class, $kind, $length) = @_;

    return bless { kind => $kind, left => $length, done => $kind eq 'none' || ($kind eq 'length' && !$length),
                   trailers => [] }, $class;
}

sub take {
    my ($self, $in, $max) = @_;
    my $take = length $$in;

    return '' if $self->{done} || $self->{bad};
    if ($self->{kind} eq 'chunked' && !$self->{left}) {
        $self->_chunk_head($in) or return '';
        $take = length $$in;
    }
    $take = $max if defined $max && $max < $take;
    $take = $self->{left} if defined $self->{left} && $self->{left} < $take;
    my $bytes = substr $$in, 0, $take, '';
    $self->{left} -= $take if defined $self->{left};
    $self->{done} = 1 if $self->{kind} eq 'length' && !$self->{left};
    # The line after a chunk belongs to the next chunk's head.
    return $bytes;
}

# Reads up to the next chunk's data: true where there is any.
sub _chunk_head {
    my ($self, $in) = @_;

    if ($self->{inside}) {
        return 0 if length $$in < 2;
        return $self->_bad('no CR LF after a chunk') if substr($$in, 0, 2, '') ne "\r\n";
        $self->{inside} = 0;
    }
    if (!$self->{last}) {
        my $line = _line($in) // return length $$in > 8192 ? $self->_bad('chunk size too long') : 0;
        my ($hex) = $line =~ /^([0-9a-fA-F]{1,15})(?:[ \t]*;.*)?$/ or return $self->_bad("chunk size \"$line\"");
        $self->{left} = hex $hex;
        return $self->{inside} = 1 if $self->{left};
        $self->{last} = 1;
    }
    while (defined(my $line = _line($in))) {
        if ($line eq '') {
            $self->{done} = 1;
            return 0;
        }
        $line =~ /^([^\s:]+):[ \t]*(.*?)[ \t]*$/ or return $self->_bad("trailer \"$line\"");
        push @{ $self->{trailers} }, [$1, $2];
    }
    return 0;
}

# The next line without its CR LF, removed from the input; undef if incomplete.
sub _line {
    my ($in) = @_;
    my $at = index $$in, "\r\n";

    return $at < 0 ? undef : substr substr($$in, 0, $at + 2, ''), 0, $at;
}

sub _bad {
    my ($self, $why) = @_;

    $self->{bad} = $why;
    return 0;
}

1;
