# What can break between a proxy and its backends, as rows: who asks, over
# which connections, and what breaks when. expected() says what has to come of
# each, from docs/mod_usher_backend.md and nothing else; Usher::Faults::Player plays them.
#
# A row: { kit, phase, kind, pool, layout, second, method, client, id }
#   kit     which members there are, see %kit
#   phase   when it breaks, see the @phases of Usher::Faults::HTTP and ::AJP
#   kind    how: cut, rst, stall, garble
#   pool    the connection to the member: fresh; kept (from a request before);
#           stale (kept, then closed by the member before this request);
#           aged (kept, idle for more than a second)
#   layout  see %layout. More: add_layout().
#   second  sound: what breaks breaks once; same: again wherever it is sent
#   method  see the %method of those two; client  see %client: old is HTTP/1.0, h2 HTTP/2
package Usher::Faults;

use strict;
use warnings FATAL => 'all';

use Usher::Faults::AJP ();
use Usher::Faults::HTTP ();
use Usher::Faults::TLS ();
use Usher::Wait;

my %client = (
    old  => { version => '1.0' },
    new  => { version => '1.1' },
    kept => { version => '1.1', kept => 1 },
    h2   => { h2 => 1 },
);
# What the members of a kit speak; a layout has one or two of them.
my %kit = (http => [qw(http http)], ajp => [qw(ajp ajp http)], https => [qw(https https)]);
my %protocol = (http => 'Usher::Faults::HTTP', ajp => 'Usher::Faults::AJP', https => 'Usher::Faults::TLS');

# What proxies the members, as a plain URL or as a balancer of two:
#   { members => which of the kit, conf => sub { (name, their URLs) }, kits => [...] }
my %layout;
add_layout(one => sub { my ($name, $url) = @_; return "ProxyPass /$name/ $url/ retry=0@{[ _keys($url) ]}\n" }, members => [0]);
add_layout(two => sub { return balancer('', '', @_) });
add_layout(mixed => sub { return balancer('', '', @_) }, members => [0, 2], kits => ['ajp']);
add_layout(mixedback => sub { return balancer('', '', @_) }, members => [2, 0], kits => ['ajp']);
# Another name of the same member, as keys are those of a worker.
my $ping = ' ping=' . 300 * patience . 'ms';
add_layout(ping => sub { my ($name, $url) = @_; return "ProxyPass /$name/ @{[ $url =~ s/127\.0\.0\.1/127.1/r ]}/ retry=0$ping\n" },
    members => [0], kits => ['ajp']);
add_layout(pingtwo => sub { return balancer('', $ping, @_) }, kits => ['ajp']);

sub _keys { return $_[0] =~ /^http/ ? ' upgrade=websocket' : '' }

# The second is taken when the first was tried, so that a row knows who is
# first. $more: lines for the section; $keys: for its members.
sub balancer {
    my ($more, $keys, $name, $first, $second) = @_;

    return <<"EOT";
<Proxy balancer://$name>
    BalancerMember $first retry=0@{[ _keys($first) ]}$keys
    BalancerMember $second retry=0 lbset=1@{[ _keys($second) ]}$keys
    $more
</Proxy>
ProxyPass /$name/ balancer://$name/
EOT
}

# add_layout(name, sub { (name, URL, URL) => configuration that serves /name/ }, %more as above)
sub add_layout {
    my ($name, $conf, %more) = @_;

    $layout{$name} = { members => [0, 1], kits => ['http', 'ajp', 'https'], %more, conf => $conf };
    return;
}

# The configuration of the $n-th player, whose members have these ports.
sub conf {
    my ($n, $ports, $kit) = @_;
    my @speaks = kit($kit);
    my @urls = map { "$speaks[$_]://127.0.0.1:$ports->[$_]" } 0 .. $#speaks;

    return join '', map { $layout{$_}{conf}->("$_$n", @urls[@{ $layout{$_}{members} }]) } _layouts($kit);
}

sub _layouts {
    my ($kit) = @_;

    return grep { grep { $_ eq ($kit // 'http') } @{ $layout{$_}{kits} } } sort keys %layout;
}

sub kit     { return @{ $kit{ $_[0] // 'http' } } }
sub members { return @{ $layout{ $_[0]{layout} }{members} } }
sub client  { return $client{ $_[0]{client} } }
sub method  { return protocol($_[0])->methods->{ $_[0]{method} } }

# What the first member of a row speaks, and the second: the packages.
sub protocol        { my ($row) = @_; return $protocol{ (kit($row->{kit}))[(members($row))[0]] } }
sub second_protocol { my ($row) = @_; return $protocol{ (kit($row->{kit}))[(members($row))[-1]] } }

# Each phase of the members of a kit, or of all: [name, where, kinds, what it is]
sub _phases {
    my %seen;

    return grep { !$seen{ $_->[0] }++ } map { $_->phases } @protocol{ grep { $_ } @_ ? @_ : qw(http ajp https) };
}

# What a phase is, to the members of a kit.
sub about {
    my ($phase, $kit) = @_;

    return (map { $_->[3] } grep { $_->[0] eq $phase } _phases(defined $kit ? $kit : ()), _phases())[0];
}

sub phases { return map { $_->[0] } _phases() }

sub _where {
    my ($row) = @_;

    return (map { $_->[1] } grep { $_->[0] eq $row->{phase} } protocol($row)->phases)[0];
}

# Whether the client has certainly got a part of the answer.
sub has_begun { my ($row) = @_; return _where($row) eq 'begun' && $row->{phase} !~ /^(?:answered|atonce)$/ }

# ---- the rows

# rows(kit => 'http', clients => [...]): all that make sense; where there is no
# body nothing breaks in it.
sub rows {
    my (%opt) = @_;
    my $kit = $opt{kit} // 'http';
    my @clients = @{ $opt{clients} // [qw(kept new old)] };
    my @rows = { kit => $kit };

    my $each = sub {
        my ($key, $values) = @_;
        @rows = map { my $row = $_; map { { %$row, $key => $_ } } $values->($row) } @rows;
        return;
    };
    $each->(layout => sub { return _layouts($kit) });
    $each->(phase => sub { return map { $_->[0] } protocol($_[0])->phases });
    $each->(kind => sub { my ($row) = @_; return map { split ' ', $_->[2] } grep { $_->[0] eq $row->{phase} } protocol($row)->phases });
    $each->(pool => sub { return (qw(fresh kept stale), $kit eq 'ajp' ? 'aged' : ()) });
    $each->(second => sub { return qw(sound same) });
    $each->(method => sub { return sort keys %{ protocol($_[0])->methods } });
    $each->(client => sub { return @clients });
    @rows = grep { makes_sense($_) } @rows;
    $_->{id} = join '-', @$_{qw(phase kind pool layout second method client)} for @rows;
    return @rows;
}

sub makes_sense {
    my ($row) = @_;
    my ($phase, $pool, $kind, $layout) = @$row{qw(phase pool kind layout)};
    my $method = method($row);
    my $where = _where($row);
    my $body = $method->{body} // 0;
    my $ajp = protocol($row) eq $protocol{ajp};

    # An end that came while the connection was kept is "stale".
    return 0 if $pool eq 'kept' && ($where eq 'before' || $phase =~ /^(?:accept|secure)$/);
    # Only something that breaks can break again.
    return 0 if $row->{second} eq 'same' && $where !~ /^(?:before|ping|sent|head)$/;
    # A body must be larger than what goes out with the head.
    return 0 if $phase =~ /^(?:upload|midway|asking)$/ && $body < ($ajp && $phase eq 'upload' ? 1 : 100_000) && !($method->{expect} && $phase eq 'upload');
    # An answer to HEAD has no body, nor has one that is an upgrade.
    return 0 if $method->{verb} eq 'HEAD' && $where eq 'begun';
    # HTTP/1.0 knows none of these.
    my $waits = $method->{expect} || $method->{waits};
    return 0 if $row->{client} eq 'h2' && ($waits || $row->{method} eq 'Upgrade');
    return 0 if $row->{client} eq 'old' && ($method->{chunked} || $waits || $row->{method} eq 'Upgrade');
    # A CPING is sent with ping=, or over a connection that was idle for long:
    # for a second where the request must not be sent twice.
    my $ping = $layout =~ /^ping/;
    return 0 if $ping && $phase !~ /^(?:sound|cping|request)$/;
    return 0 if $pool eq 'aged' && ($ping || !$ajp || $method->{again} || $phase !~ /^(?:sound|cping|request)$/);
    return 0 if $phase eq 'cping' && ($pool eq 'aged' ? $row->{second} eq 'same' : !$ping || $pool eq 'stale');
    # What only one protocol has does not break in the other one.
    return 0 if $layout =~ /^mixed/ && $row->{second} eq 'same' && !grep { $_->[0] eq $phase && $_->[2] =~ $kind } second_protocol($row)->phases;
    return 1;
}

# Every row has a turn, but not in each run: those that differ in the client
# alone share one, and so do bodies and orders that change little. With
# USHER_LONG all of them.
sub sample {
    my (@rows) = @_;
    my (%turn, @taken);

    return @rows if $ENV{USHER_LONG};
    for my $row (@rows) {
        my $turn = $turn{ join '-', @$row{qw(phase kind pool layout second)} }++;
        my $every = $row->{kind} eq 'stall' ? 29 : _where($row) eq 'begun' ? 8 : 6;
        $every *= 2 if $row->{kit} eq 'ajp' && $row->{kind} ne 'stall';
        # Much the same in several layouts.
        $every *= $row->{kit} eq 'ajp' ? 3 : 2 if $layout{cluster} && $row->{layout} ne 'one';
        # Another start for each group, that all methods and clients have a turn.
        my $start = unpack('%32C*', join '-', @$row{qw(phase kind pool layout second)}) % $every;
        push @taken, $row if $turn % $every == $start;
    }
    return @taken;
}

# ---- what the page promises

# All that may come of a row, any of:
#   { status => 200, cut => 0 | bytes that may come, a => n, b => n, state => regex, attempts => regex }
# a, b: how often the first and the second member got the request.
sub expected {
    my ($row) = @_;
    my ($phase, $kind, $pool, $second) = @$row{qw(phase kind pool second)};
    my $method = method($row);
    my $two = members($row) > 1;
    my $where = _where($row);
    my $gone = qr/[^,]*=(?:stale|refused)[^,]*,/;    # a kept one that was found closed may be told, too
    my $before = $pool eq 'stale' ? qr/(?:$gone)?/ : qr//;
    # An END_RESPONSE that comes too early is a cut as well as a malformed answer.
    my $short = $kind eq 'garble' && $phase =~ /^(?:answered|early)$/;
    my $ended = $short ? '(?:malformed|cut)' : $kind eq 'stall' ? 'timeout' : $kind eq 'garble' ? 'malformed' : 'cut';
    my $try = sub { my $list = join ',', map { "[^,=]*=$_\[^,]*" } @_; return qr/^$before$list$/ };

    # Its whole answer.
    return { status => 200, cut => 0, a => 1, b => 0, state => qr/^--$/, attempts => $try->('ok') } if !$where;

    # Nothing was sent: it goes on, whatever it is.
    if ($where eq 'before') {
        my $refused = $kind eq 'stall' ? 'unreachable' : 'refused';
        return { status => 200, cut => 0, a => 0, b => 1, state => qr/^--$/, attempts => $try->($refused, 'ok') }
            if $two && $second eq 'sound';
        return { status => $kind eq 'stall' ? 504 : 503, cut => 0, a => 0, b => 0, state => $kind eq 'stall' ? qr/^sC$/ : qr/^SC$/,
            attempts => $try->(($refused) x ($two ? 2 : 1)) };
    }

    return _expected_of_ping($row, $try) if $where eq 'ping';

    # The client has begun to get it: it sees that it is cut. Of a head alone,
    # or of what breaks at once, it need not have got anything yet.
    my @may_be;
    if ($where eq 'begun') {
        my $state = $short ? qr/^[SP]D$/ : $kind eq 'stall' ? qr/^sD$/ : $kind eq 'garble' ? qr/^PD$/ : qr/^SD$/;
        push @may_be, { status => 200, cut => 1, bytes => protocol($row)->can('payload')->($phase), a => 1, b => 0, state => $state, attempts => $try->($ended) };
        # All that was announced may be out: then it is whole.
        push @may_be, { %{ $may_be[0] }, cut => 0, state => qr/./, attempts => qr/./ } if $phase eq 'ended';
        return @may_be if has_begun($row);
    }

    # It was sent. Too slow: not again.
    my $bare = $phase =~ /^(?:accept|secure)$/;
    my $first = $bare ? 0 : 1;    # nothing of it is in the journal then
    my $state = $kind eq 'stall' ? qr/^s[HDR]$/ : $short ? qr/^[SP][HD]$/ : $kind eq 'garble' ? qr/^PH$/
        : $phase =~ /^(?:upload|midway|asking)$/ ? qr/^S[HDR]$/ : $bare ? qr/^S[CH]$/ : $phase =~ /^(?:answered|atonce)$/ ? qr/^S[HD]$/ : qr/^SH$/;
    my $failed = sub {
        my ($a, $b, @outcomes) = @_;
        my $status = $kind eq 'stall' ? 504 : 502;
        return { status => $bare ? qr/^50[23]$/ : $status, cut => 0, a => $a, b => $b, state => $state,
            attempts => $try->(@outcomes) };
    };
    my $went = sub {
        my ($a, $b, @outcomes) = @_;
        return { status => 200, cut => 0, a => $a, b => $b, state => qr/^--$/, attempts => $try->(@outcomes) };
    };
    my $cut = $bare ? '(?:cut|refused|stale)' : $ended;
    return (@may_be, $failed->(1, 0, $cut)) if $kind eq 'stall';

    # Again at another member; where there is none and no byte of an answer
    # came, the kept connection may just have been unlucky.
    my $asked = $method->{expect} && $phase eq 'request';    # "100 Continue" was a byte
    my $again_a = $pool eq 'kept' && $where eq 'sent' && $kind ne 'garble' && !$asked && !$two;
    my $again_b = !$again_a && $two;
    my $replayed = !$again_a && !$again_b ? $failed->($first, 0, $cut)
        : $second eq 'sound' ? $went->($first + ($again_a ? 1 : 0), $again_b ? 1 : 0, $cut, 'ok')
        : $failed->($first * ($again_a ? 2 : 1), $again_b ? $first : 0, $cut, $cut);
    my $may = $method->{again} && !$method->{unheld};
    # Without its body nothing can be done with it.
    $may = 1 if $method->{expect} && $phase eq 'upload';
    push @may_be, $may ? $replayed : $failed->($first, 0, $cut);

    # On which connection it goes on then is not said.
    push @may_be, $second eq 'sound' ? $went->(2, 0, $cut, 'ok') : $failed->(2, 0, $cut, $cut)
        if $method->{expect} && $phase eq 'upload' && $pool eq 'kept';
    # A reset can come before anything was sent, and a connection can break when
    # what was read of a large body is still held.
    push @may_be, $replayed if $bare;
    push @may_be, $replayed if $method->{again} && $method->{unheld} && $phase =~ /^(?:upload|midway|asking)$/;
    # AJP: a member may or may not have had a part of the body by then.
    push @may_be, $replayed if $method->{waits} && $phase eq 'upload';
    # Half a packet that asks for more of the body: a byte, but of no answer.
    push @may_be, $went->(2, 0, $cut, 'ok') if $phase eq 'asking' && $method->{again} && $second eq 'sound';
    push @may_be, $failed->(2, 0, $cut, $cut) if $phase eq 'asking' && $method->{again} && $second eq 'same';
    return @may_be;
}

# A CPING that is not answered as it should be: nothing of the request was sent,
# so it goes on, over a fresh connection and then to the next member. What an
# attempt is called that came no further is not said.
sub _expected_of_ping {
    my ($row, $try) = @_;
    my $two = members($row) > 1;
    my @sound = { status => 200, cut => 0, a => 1, b => 0, state => qr/^--$/, attempts => qr/^(?:[^,]*,)?[^,=]*=ok[^,]*$/ };

    return { status => qr/^50[234]$/, cut => 0, a => 0, b => 0, state => qr/^[sSP][CH]$/, attempts => qr/^(?!.*=ok)/ }
        if $row->{second} eq 'same';
    return @sound if $row->{pool} ne 'fresh';
    # Over a connection that was fresh already.
    return (@sound, $two ? { %{ $sound[0] }, a => 0, b => 1 }
        : { status => qr/^50[234]$/, cut => 0, a => 0, b => 0, state => qr/^[sSP][CH]$/, attempts => qr/^(?!.*=ok)/ });
}

# ---- whether it came so

# Why a row did not come out as it should; nothing where it did.
sub wrong {
    my ($row) = @_;
    my $got = $row->{got} or return 'was not played';
    my @why;

    return $got->{error} if $got->{error};
    for my $want (expected($row)) {
        my @not = _differs($row, $got, $want) or return;
        push @why, join ', ', @not;
    }
    return join '; nor: ', @why;
}

sub _differs {
    my ($row, $got, $want) = @_;
    my $status = $got->{status} // "none ($got->{end})";
    my @not;

    # A stream may be reset before its head is out.
    my $reset = $want->{cut} && $row->{client} eq 'h2' && $got->{end} eq 'reset';
    push @not, "status $status" 
        unless $reset || (ref $want->{status} ? $status =~ $want->{status} : $status eq $want->{status});
    push @not, "$got->{end} instead of complete" if !$want->{cut} && !$got->{complete};
    if ($want->{cut}) {
        push @not, 'the client takes it for complete' if $got->{complete};
        push @not, "end $got->{end}" if $got->{end} !~ ($row->{client} =~ /^(?:old|h2)$/ ? qr/^reset$/ : qr/^(?:closed|reset)$/);
        my ($bytes, $least, $most) = ($got->{body_len} // -1, @{ $want->{bytes} });
        push @not, "$bytes bytes of $most" if $bytes > $most || $got->{end} eq 'closed' && $bytes < $least;
    }
    push @not, 'other bytes than the member sent' if $status eq '200' && !$got->{prefix};
    push @not, "deliveries $got->{a}+$got->{b} instead of $want->{a}+$want->{b}"
        if $got->{a} != $want->{a} || $got->{b} != $want->{b};
    push @not, 'the kept connection was not used' if $row->{pool} =~ /^(?:kept|aged)$/ && $got->{n} < 2 && $row->{phase} ne 'cping';
    push @not, 'a connection to the member was left open' if $got->{left};
    push @not, "state $got->{state}" if defined $got->{state} && $got->{state} !~ $want->{state};
    push @not, "attempts $got->{attempts}" if defined $got->{attempts} && $got->{attempts} !~ $want->{attempts};
    return @not;
}

1;
