# What breaks between a proxy and a backend that speaks AJP13, for Usher::Faults.
package Usher::Faults::AJP;

use strict;
use warnings FATAL => 'all';

use Usher::Backend;
use Usher::Faults::HTTP ();
use Usher::Pattern;

# As in Usher::Faults::HTTP. Phases of the same name are the same.
my @phases = (
    # name       where    kinds                    what it is
    ['sound',    '',       'sound',                'nothing breaks'],
    ['refused',  'before', 'cut',                  'connections are refused'],
    ['accept',   'sent',   'cut rst',              'right after accept'],
    ['cping',    'ping',   'cut rst stall garble', 'a CPING was sent'],
    ['upload',   'sent',   'cut rst stall',        'the head of the request was read'],
    ['midway',   'sent',   'cut rst stall',        'a part of the body was read'],
    ['asking',   'head',   'cut rst stall',        'within a GET_BODY_CHUNK'],
    ['request',  'sent',   'cut rst stall garble', 'the request was read'],
    ['frame',    'head',   'cut rst stall garble', 'within the first bytes of a packet'],
    ['field',    'head',   'cut rst stall garble', 'within a field of SEND_HEADERS'],
    ['answered', 'begun',  'cut rst stall garble', 'after SEND_HEADERS'],
    ['atonce',   'begun',  'cut rst',              'within a body that came with the headers'],
    ['length',   'begun',  'cut rst stall',        'within a SEND_BODY_CHUNK, with Content-Length'],
    ['chunk',    'begun',  'cut rst stall',        'within a SEND_BODY_CHUNK'],
    ['between',  'begun',  'cut rst stall garble', 'between two packets'],
    ['flushed',  'begun',  'cut rst stall',        'after a packet that flushes'],
    ['early',    'begun',  'garble',               'END_RESPONSE comes too early for Content-Length'],
    ['last',     'begun',  'cut rst stall garble', 'before END_RESPONSE'],
    ['ended',    'begun',  'cut rst stall',        'before END_RESPONSE, after all of Content-Length'],
);
my %where = map { $_->[0] => $_->[1] } @phases;

# An upgrade is none over AJP, and Expect is the proxy's own matter.
my %http = map { $_ => { %{ Usher::Faults::HTTP::methods()->{$_} } } } grep { $_ ne 'Upgrade' } keys %{ Usher::Faults::HTTP::methods() };
$_->{waits} = delete $_->{expect} for values %http;
my %method = (
    %http,
    GETquery  => { verb => 'GET',   again => 1, query => 'a=b&c=%20d' },
    POSTquery => { verb => 'POST',  again => 0, query => 'a=b', body => 300 },
    PATCH     => { verb => 'PATCH', again => 0, body => 300 },
);

sub phases  { return @phases }
sub methods { return \%method }

# The data of a packet that is not whole may be held back, or passed on.
sub payload {
    my ($phase) = @_;
    my %bytes = (answered => [0, 0], atonce => [500, 600], length => [500, 600], chunk => [500, 600],
        between => [500, 500], flushed => [500, 500], early => [500, 500], last => [1000, 1000], ended => [1000, 1000]);

    return $bytes{$phase};
}

# ---- how a member plays it

my $text = pattern(0, 1000);

# Sound answers end their connection, so that none is kept for the next row.
sub answer {
    my ($phase) = @_;
    my $flush = $phase eq 'flushed' ? ajp_body_chunk('') : '';

    return _head($phase) . _chunks(0, 2) . $flush . _chunks(2, 4) . ajp_end(0);
}

sub _head {
    my ($phase) = @_;
    my @length = $phase =~ /^(?:chunk|between|flushed|last)$/ ? () : ('Content-Length' => 1000);

    return ajp_send_headers(200, ['Content-Type' => 'text/plain', 'X-Field' => 'in the middle of the head', @length]);
}

# The body comes in four packets: from which one to before which one.
sub _chunks {
    my ($from, $to) = @_;

    return join '', map { ajp_body_chunk(substr $text, 250 * $_, 250) } $from .. $to - 1;
}

# At which byte of the answer it breaks.
sub offset {
    my ($phase) = @_;
    my $head = length _head($phase);
    my $half = length _chunks(0, 2);

    return $phase eq 'frame' ? 3 : $phase eq 'field' ? index(answer($phase), 'middle') : $phase eq 'answered' ? $head
        : $phase =~ /^(?:atonce|length|chunk)$/ ? $head + $half + 107 : $phase =~ /^(?:between|early)$/ ? $head + $half
        : $phase eq 'flushed' ? $head + $half + length ajp_body_chunk('')
        : $phase =~ /^(?:last|ended)$/ ? $head + 2 * $half : 0;
}

# The play that breaks.
sub play {
    my ($row) = @_;
    my ($phase, $kind) = @$row{qw(phase kind)};
    my $break = $kind eq 'cut' ? cut : $kind eq 'rst' ? rst : stall;
    my $answer = answer($phase);

    return $answer if $kind eq 'sound';
    return $kind eq 'garble' ? ["\x16\x03\x01 no AJP at all", stall] : $break if $phase =~ /^(?:accept|cping)$/;
    return [leave_body, $break] if $phase eq 'upload';
    return [read_body(100_000), $break] if $phase eq 'midway';
    return [read_body(100_000), substr(ajp_get_body(), 0, 5), $break] if $phase eq 'asking';
    # A moment, for what came to reach the client
    my @moment = $where{$phase} eq 'begun' && $phase !~ /^(?:answered|atonce)$/ ? stall(0.1) : ();
    return [at($answer, offset($phase), @moment, $break)] if $kind ne 'garble';
    # Garbage alone: that it is an end is for the proxy to see.
    my %garbage = (
        request  => "\x16\x03\x01 no AJP at all",
        frame    => "AB\xFF\xFF" . substr($answer, 4),
        field    => garble($answer, offset('field'), "\0"),
        between  => "XY\x00\x01\x05",
        last     => ajp_frame("\x07"),
    );
    my $before = $where{$phase} eq 'begun' ? substr $answer, 0, offset($phase) : '';
    return [$before, @moment, $garbage{$phase} // ajp_end(), stall];
}

# The answer to the request before: its connection is kept.
sub warm { return ajp_answer(200, [], 'warm') }

# What else than a request the play is for, and what is sound there.
sub moment { return $_[0] eq 'accept' ? (ACCEPT => []) : $_[0] eq 'cping' ? (CPING => ajp_cpong()) : () }

1;
