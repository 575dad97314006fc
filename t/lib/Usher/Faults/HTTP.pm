# What breaks between a proxy and a backend that speaks HTTP/1, for Usher::Faults.
package Usher::Faults::HTTP;

use strict;
use warnings FATAL => 'all';

use Usher::Backend;
use Usher::Pattern;

# Where: before = nothing of the request was sent; sent = no byte of an answer;
# head = a part of its head; begun = the client has got some of it.
my @phases = (
    # name       where   kinds                    what it is
    ['sound',    '',       'sound',                'nothing breaks'],
    ['refused',  'before', 'cut',                  'connections are refused'],
    ['accept',   'sent',   'cut rst',              'right after accept'],
    ['upload',   'sent',   'cut rst stall',        'the head of the request was read'],
    ['midway',   'sent',   'cut rst stall',        'a part of the body was read'],
    ['request',  'sent',   'cut rst stall garble', 'the request was read'],
    ['status',   'head',   'cut rst stall garble', 'within the status line'],
    ['field',    'head',   'cut rst stall garble', 'within a field of the head'],
    ['answered', 'begun',  'cut rst stall',        'after the head'],
    ['atonce',   'begun',  'cut rst',              'within a body that came with the head'],
    ['length',   'begun',  'cut rst stall',        'within a body with Content-Length'],
    ['chunk',    'begun',  'cut rst stall',        'within a chunk'],
    ['between',  'begun',  'cut rst stall garble', 'between two chunks'],
    ['last',     'begun',  'cut rst stall garble', 'before the last chunk'],
    ['until',    'begun',  'rst stall',            'within a body that ends with the connection'],
);
my %where = map { $_->[0] => $_->[1] } @phases;

# body: bytes; again: may it be sent twice; held: is the body held for that
my %method = (
    GET       => { verb => 'GET',    again => 1 },
    HEAD      => { verb => 'HEAD',   again => 1 },
    DELETE    => { verb => 'DELETE', again => 1 },
    PUT       => { verb => 'PUT',    again => 1, body => 300 },
    PUTlarge  => { verb => 'PUT',    again => 1, body => 400_000 },
    PUThuge   => { verb => 'PUT',    again => 1, body => 3_000_000, unheld => 1 },
    POST      => { verb => 'POST',   again => 0, body => 300 },
    POSTlarge => { verb => 'POST',   again => 0, body => 1_048_576 },
    POSTchunk => { verb => 'POST',   again => 0, body => 5_000, chunked => 1 },
    POSTwait  => { verb => 'POST',   again => 0, body => 300, expect => 1 },
    PUTwait   => { verb => 'PUT',    again => 1, body => 300, expect => 1 },
    Upgrade   => { verb => 'GET',    again => 0, headers => [Connection => 'Upgrade', Upgrade => 'websocket'] },
);

sub phases  { return @phases }
sub methods { return \%method }

# The bytes of the body that are out when it breaks: [least, most].
sub payload {
    my ($phase) = @_;
    my %bytes = (answered => 0, atonce => 600, length => 600, chunk => 350, between => 500, last => 1000, until => 600);

    return [$bytes{$phase}, $bytes{$phase}];
}

# ---- how a member plays it

my $text = pattern(0, 1000);

# Sound answers end their connection, so that none is kept for the next row.
sub answer {
    my ($phase) = @_;
    my @headers = ('Content-Type' => 'text/plain', 'X-Field' => 'in the middle of the head', Connection => 'close');

    return http_answer(200, \@headers, $text, chunked => 250) if $phase =~ /^(?:chunk|between|last)$/;
    return http_answer(200, \@headers, $text, length => undef) if $phase eq 'until';
    return http_answer(200, \@headers, $text);
}

sub _head {
    my ($phase) = @_;
    my $answer = answer($phase);

    return substr $answer, 0, http_head_end(\$answer);
}

# At which byte of the answer it breaks.
sub offset {
    my ($phase) = @_;
    my $answer = answer($phase);
    my $head = length _head($phase);
    my $chunk = length "fa\r\n" . 'x' x 250 . "\r\n";

    return $phase eq 'status' ? 10 : $phase eq 'field' ? index($answer, 'middle') : $phase eq 'answered' ? $head
        : $phase =~ /^(?:atonce|length|until)$/ ? $head + 600 : $phase eq 'chunk' ? $head + $chunk + length("fa\r\n") + 100
        : $phase eq 'between' ? $head + 2 * $chunk : $phase eq 'last' ? $head + 4 * $chunk : 0;
}

# The play that breaks.
sub play {
    my ($row) = @_;
    my ($phase, $kind) = @$row{qw(phase kind)};
    my $break = $kind eq 'cut' ? cut : $kind eq 'rst' ? rst : stall;
    my $answer = answer($phase);

    return $answer if $kind eq 'sound';
    return $break if $phase eq 'accept';
    return [leave_body, $break] if $phase eq 'upload';
    return [read_body(100_000), $break] if $phase eq 'midway';
    # A moment, for what came to reach the client
    my @moment = $where{$phase} eq 'begun' && $phase !~ /^(?:answered|atonce)$/ ? stall(0.1) : ();
    return [at($answer, offset($phase), @moment, $break)] if $kind ne 'garble';
    # Garbage alone: that it is an end is for the proxy to see.
    return ["\x16\x03\x01 no HTTP at all\r\n\r\n", stall] if $phase eq 'request';
    return [garble($answer, 9, '2x0'), stall] if $phase eq 'status';
    return [garble($answer, offset($phase), "\0"), stall] if $phase eq 'field';
    return [substr($answer, 0, offset($phase)), @moment, "zz\r\n", stall];
}

# The answer to the request before: its connection is kept.
sub warm { return http_answer(200, [], 'warm') }

# What else than a request the play is for, and what is sound there.
sub moment { return $_[0] eq 'accept' ? (ACCEPT => []) : () }

1;
