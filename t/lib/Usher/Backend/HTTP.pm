# A backend's connection that speaks HTTP/1.
package Usher::Backend::HTTP;

use strict;
use warnings FATAL => 'all';

use parent qw(Usher::Backend::Connection Usher::Backend::Tunnel);
use Usher::HTTP1;

sub read_request {
    my ($self) = @_;
    my $wire = $self->{wire};
    my $length;

    $self->more(8192) until $length = http_head_end(\$wire->{in});
    my $raw = substr $wire->{in}, 0, $length;
    my ($line, $headers) = http_parse_head($raw);
    my ($method, $uri, $proto) = ($line // '') =~ m{^(\S+) (\S+) (HTTP/1\.[01])$}
        or $self->bad('request head');
    substr $wire->{in}, 0, $length, '';
    my $body = $self->{body} = _body($headers) // $self->bad('Content-Length');
    return { method => $method, uri => $uri, proto => $proto, headers => $headers, raw => $raw,
             complete => $body->{done} ? 1 : 0 };
}

sub _body {
    my ($headers) = @_;
    my $length = http_value($headers, 'Content-Length');

    return Usher::HTTP1::Body->new('chunked') if http_has_token($headers, 'Transfer-Encoding', 'chunked');
    return Usher::HTTP1::Body->new('none') unless defined $length;
    return $length =~ /^\d+$/ ? Usher::HTTP1::Body->new('length', $length) : undef;
}

sub body_piece {
    my ($self, $max) = @_;
    my $body = $self->{body};

    while (1) {
        my $bytes = $body->take(\$self->{wire}{in}, $max);
        $self->bad($body->{bad}) if $body->{bad};
        if ($body->{done}) {
            @{ $self->{request} }{qw(complete trailers)} = (1, $body->{trailers});
            return $bytes;
        }
        return $bytes if length $bytes;
        $self->more($max < 64 ? 64 : $max);
    }
}

# As a server does that wants the whole request: also what the client waits for.
sub read_all_body {
    my ($self) = @_;

    $self->step_say_continue if http_has_token($self->{request}{headers}, 'Expect', '100-continue');
    return $self->take_body;
}

sub step_say_continue {
    my ($self) = @_;

    return $self->{wire}->write("HTTP/1.1 100 Continue\r\n\r\n");
}

sub step_ask_body { die "ask_body() is for AJP\n" }

sub answer {
    my ($self, @answer) = @_;

    return http_answer(@answer);
}

sub default_play {
    my ($self) = @_;

    return http_answer(404, ['Content-Type' => 'text/plain'],
        "no rule for $self->{request}{method} $self->{request}{uri}\n");
}

sub says_close {
    my ($self) = @_;
    my $req = $self->{request};

    return 1 if $self->{switched};
    return 1 if http_has_token($req->{headers}, 'Connection', 'close');
    return 1 if $req->{proto} eq 'HTTP/1.0' && !http_has_token($req->{headers}, 'Connection', 'keep-alive');
    my ($head) = $self->{sent_head} =~ /^(HTTP.*?\r\n)\r\n/s or return 0;
    return $head =~ /\r\nConnection:[ \t]*close[ \t]*\r\n/i;
}

1;
