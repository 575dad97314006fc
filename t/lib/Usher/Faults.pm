# What can break between a proxy and its backends, as rows: who asks, over
# which connections, and what breaks when. expected() says what has to come of
# each, from docs/mod_usher_backend.md and nothing else; run() plays them.
#
# A row: { phase, kind, pool, layout, second, method, client, id }
#   phase   when it breaks, see @phases        kind    how: cut, rst, stall, garble
#   pool    the connection to the member: fresh; kept (from a request before);
#           stale (kept, then closed by the member before this request)
#   layout  one: a single member; two: another one stands by; cluster: the same
#           with lbmethod=usher, where the test has that module. More: add_layout().
#   second  sound: what breaks breaks once; same: again wherever it is sent
#   method  see %method                        client  see %client: old is HTTP/1.0, h2 HTTP/2
package Usher::Faults;

use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use POSIX ();
use Time::HiRes ();
use Usher::Backend;
use Usher::Client ();
use Usher::H2 ();
use Usher::Pattern;
use Usher::Wait;

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
my %about = map { $_->[0] => $_->[3] } @phases;

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
my %client = (
    old  => { version => '1.0' },
    new  => { version => '1.1' },
    kept => { version => '1.1', kept => 1 },
    h2   => { h2 => 1 },
);
# what proxies the members: plain URL, or balancer of two
my %layout = (
    one => sub { my ($n, $a) = @_; return "ProxyPass /one$n/ http://127.0.0.1:$a/ upgrade=websocket retry=0\n" },
    two => sub { my ($n, @ports) = @_; return balancer("two$n", '', @ports) },
);

# The second is taken when the first was tried, so that a row knows who is first.
sub balancer {
    my ($name, $more, $first, $second) = @_;

    return <<"EOT";
<Proxy balancer://$name>
    BalancerMember http://127.0.0.1:$first upgrade=websocket retry=0
    BalancerMember http://127.0.0.1:$second upgrade=websocket retry=0 lbset=1
    $more
</Proxy>
ProxyPass /$name/ balancer://$name/
EOT
}

# add_layout(name, sub { (n, port, port) => configuration that serves /name<n>/ })
sub add_layout { my ($name, $conf) = @_; $layout{$name} = $conf; return }

sub conf { my ($n, @ports) = @_; return join '', map { $layout{$_}->($n, @ports) } sort keys %layout }

sub about  { return $about{ $_[0] } }
sub phases { return map { $_->[0] } @phases }

# ---- the rows

# rows(clients): all that make sense; where there is no body nothing breaks in it.
sub rows {
    my @clients = @_ ? @_ : qw(kept new old);
    my @rows;

    for my $phase (@phases) {
        for my $kind (split ' ', $phase->[2]) {
            for my $pool (qw(fresh kept stale)) {
                for my $layout (sort keys %layout) {
                    for my $second (qw(sound same)) {
                        for my $method (sort keys %method) {
                            for my $client (@clients) {
                                my %row = (phase => $phase->[0], kind => $kind, pool => $pool, layout => $layout,
                                    second => $second, method => $method, client => $client);
                                push @rows, { %row, id => join '-', @row{qw(phase kind pool layout second method client)} }
                                    if makes_sense(\%row);
                            }
                        }
                    }
                }
            }
        }
    }
    return @rows;
}

sub makes_sense {
    my ($row) = @_;
    my ($phase, $pool, $kind) = @$row{qw(phase pool kind)};
    my $method = $method{ $row->{method} };
    my $body = $method->{body} // 0;

    # An end that came while the connection was kept is "stale".
    return 0 if $pool eq 'kept' && $phase =~ /^(?:refused|accept)$/;
    # Only something that breaks can break again.
    return 0 if $row->{second} eq 'same' && $where{$phase} !~ /^(?:before|sent|head)$/;
    # A body must be larger than what goes out with the head.
    return 0 if $phase =~ /^(?:upload|midway)$/ && ($body < 100_000 && !$method->{expect});
    return 0 if $method->{expect} && $phase eq 'midway';
    # An answer to HEAD has no body, nor has one that is an upgrade.
    return 0 if $method->{verb} eq 'HEAD' && $where{$phase} eq 'begun';
    # HTTP/1.0 knows none of these.
    return 0 if $row->{client} eq 'h2' && ($method->{expect} || $row->{method} eq 'Upgrade');
    return 0 if $row->{client} eq 'old' && ($method->{chunked} || $method->{expect} || $row->{method} eq 'Upgrade');
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
        my $every = $row->{kind} eq 'stall' ? 29 : $where{ $row->{phase} } eq 'begun' ? 8 : 6;
        $every *= 2 if $layout{cluster} && $row->{layout} ne 'one';    # much the same twice
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
    my $method = $method{ $row->{method} };
    my $two = $row->{layout} ne 'one';
    my $where = $where{$phase};
    my $gone = qr/[^,]*=(?:stale|refused)[^,]*,/;    # a kept one that was found closed may be told, too
    my $before = $pool eq 'stale' ? qr/(?:$gone)?/ : qr//;
    my $ended = $kind eq 'stall' ? 'timeout' : $kind eq 'garble' ? 'malformed' : 'cut';
    my $try = sub { my $list = join ',', map { "[^,=]*=$_\[^,]*" } @_; return qr/^$before$list$/ };

    # Its whole answer.
    return { status => 200, cut => 0, a => 1, b => 0, state => qr/^--$/, attempts => $try->('ok') } if !$where;

    # Nothing was sent: it goes on, whatever it is.
    if ($where eq 'before') {
        return { status => 200, cut => 0, a => 0, b => 1, state => qr/^--$/, attempts => $try->('refused', 'ok') }
            if $two && $second eq 'sound';
        return { status => 503, cut => 0, a => 0, b => 0, state => qr/^SC$/, attempts => $try->(('refused') x ($two ? 2 : 1)) };
    }

    # The client has begun to get it: it sees that it is cut. Of a head alone,
    # or of what breaks at once, it need not have got anything yet.
    my @may_be;
    if ($where eq 'begun') {
        my $state = $kind eq 'stall' ? qr/^sD$/ : $kind eq 'garble' ? qr/^PD$/ : qr/^SD$/;
        push @may_be, { status => 200, cut => 1, bytes => _payload($phase), a => 1, b => 0, state => $state, attempts => $try->($ended) };
        return @may_be if $phase !~ /^(?:answered|atonce)$/;
    }

    # It was sent. Too slow: not again.
    my $first = $phase eq 'accept' ? 0 : 1;    # nothing of it is in the journal then
    my $state = $kind eq 'stall' ? qr/^s[HDR]$/ : $kind eq 'garble' ? qr/^PH$/
        : $phase =~ /^(?:upload|midway)$/ ? qr/^S[HDR]$/ : $phase eq 'accept' ? qr/^S[CH]$/ : $phase =~ /^(?:answered|atonce)$/ ? qr/^S[HD]$/ : qr/^SH$/;
    my $failed = sub {
        my ($a, $b, @outcomes) = @_;
        my $status = $kind eq 'stall' ? 504 : 502;
        return { status => $phase eq 'accept' ? qr/^50[23]$/ : $status, cut => 0, a => $a, b => $b, state => $state,
            attempts => $try->(@outcomes) };
    };
    my $went = sub {
        my ($a, $b, @outcomes) = @_;
        return { status => 200, cut => 0, a => $a, b => $b, state => qr/^--$/, attempts => $try->(@outcomes) };
    };
    my $cut = $phase eq 'accept' ? '(?:cut|refused|stale)' : $ended;
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
    push @may_be, $replayed if $phase eq 'accept';
    push @may_be, $replayed if $method->{again} && $method->{unheld} && $phase =~ /^(?:upload|midway)$/;
    return @may_be;
}

# The bytes of the body that are out when it breaks.
sub _payload {
    my ($phase) = @_;
    my %bytes = (answered => 0, atonce => 600, length => 600, chunk => 350, between => 500, last => 1000, until => 600);

    return $bytes{$phase};
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

# ---- playing it

# run(port of the proxy, rows, %options): the rows with what came of each in
# {got}, played by several processes at a time. Options:
#   ports   => [[a, b], ...]  of the members, one pair for each process
#   patient => seconds to wait for an answer
#   prefix  => sub { path for a row } where the proxy is another one
sub run {
    my ($port, $rows, %opt) = @_;
    my $many = @{ $opt{ports} };
    my @kids;

    for my $n (0 .. $many - 1) {
        my @mine = map { $rows->[ $_ * $many + $n ] // () } 0 .. @$rows / $many;
        pipe my $read, my $write or die "pipe: $!\n";
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            close $read;
            my $ok = eval { _play_all($port, $n, $write, \@mine, %opt); 1 };
            print STDERR "rows: $@" unless $ok;
            close $write;
            POSIX::_exit($ok ? 0 : 1);
        }
        close $write;
        push @kids, { pid => $pid, from => $read };
    }
    my (%got, @wrong);
    for my $kid (@kids) {
        while (my $line = readline $kid->{from}) {
            my $got = JSON::PP::decode_json($line);
            $got{ $got->{id} } = $got;
        }
        waitpid $kid->{pid}, 0;
        push @wrong, "a process that plays rows ended with $?" if $?;
    }
    die "@wrong\n" if @wrong;
    $_->{got} = $got{ $_->{id} } for @$rows;
    return @$rows;
}

sub _play_all {
    my ($port, $n, $write, $rows, %opt) = @_;
    my ($a, $b) = map { Usher::Backend->new(port => $_) } @{ $opt{ports}[$n] };

    for my $row (@$rows) {
        my $start = Time::HiRes::time();
        my $got = eval { _play($port, $n, $row, $a, $b, %opt) } // { error => "$@" };
        print $write JSON::PP::encode_json({ %$got, spent => Time::HiRes::time() - $start, id => $row->{id} }) . "\n";
        if ($got->{error} || $got->{left}) {
            # Whatever state that left them in.
            $_->stop, $_->start for $a, $b;
        }
    }
    undef $_ for $a, $b;
    return;
}

sub _play {
    my ($port, $n, $row, $a, $b, %opt) = @_;
    my $client = $client{ $row->{client} };
    my $method = $method{ $row->{method} };
    my $prefix = $opt{prefix} ? $opt{prefix}->($row, $n) : "/$row->{layout}$n";
    my $conn = ($client->{h2} ? 'Usher::H2' : 'Usher::Client')->new(port => $port) // die "connect: $!\n";

    $_->clear for $a, $b;
    if ($client->{kept}) {
        my $first = $conn->request(GET => $opt{own} // '/index.html');
        die "the proxy's own file: $first->{status}\n" if ($first->{status} // 0) != 200;
    }
    if ($row->{pool} ne 'fresh') {
        $a->on('/warm', http_answer(200, [], 'warm'));
        my $warm = $client->{kept} ? $conn : Usher::Client->new(port => $port);
        my $first = $warm->request(GET => "$prefix/warm", [$client->{kept} ? () : (Connection => 'close')]);
        die "warm: " . ($first->{status} // $first->{end}) . "\n" if ($first->{body} // '') ne 'warm';
    }
    if ($row->{pool} eq 'stale') {
        wait_until { grep { $_->{state} eq 'idle' } $a->connections } 2 or die "no connection was kept\n";
        $a->close_idle;
    }
    my @plays = (play($row), $row->{second} eq 'same' ? () : answer($row->{phase}));
    my $what = $row->{phase} eq 'accept' ? 'ACCEPT' : '/row';
    if ($what eq 'ACCEPT') {
        $_->on('/row', answer($row->{phase})) for $a, $b;
        $plays[1] = [] if @plays > 1;
    }
    $a->on($what, @plays);
    $b->on($what, $plays[-1]);
    if ($row->{phase} eq 'refused') {
        $_->stop for $a, $row->{second} eq 'same' ? $b : ();
    }
    my $answer = ask($conn, $row, $prefix, $opt{patient} // 5);
    $answer->{complete} = $answer->{complete} ? 1 : 0;
    my $left = wait_until { !grep { $_->{state} ne 'closed' } $a->connections, $b->connections } 2;
    my %got = (map({ $_ => $answer->{$_} } qw(status end complete body_len time framing)),
        a => scalar $a->deliveries($row->{id}), b => scalar $b->deliveries($row->{id}),
        n => (map { $_->{n} } $a->deliveries($row->{id}))[0] // 0, left => $left ? 0 : 1,
        prefix => (!defined $answer->{body} || $answer->{body} eq substr $text, 0, length $answer->{body}) ? 1 : 0);
    if ($row->{phase} eq 'refused') {
        $_->start for $a, $row->{second} eq 'same' ? $b : ();
    }
    $conn->close;
    return \%got;
}

# Sends the row's request, and returns the answer.
sub ask {
    my ($conn, $row, $prefix, $patient) = @_;
    my $client = $client{ $row->{client} };
    my $method = $method{ $row->{method} };
    return ask_h2($conn, $row, $prefix, $patient) if $client->{h2};
    my %how = (version => $client->{version});
    my @headers = ('X-Id' => $row->{id}, @{ $method->{headers} // [] });
    my ($count, $whole) = ($method->{body} // 0, '');

    push @headers, Expect => '100-continue' if $method->{expect};
    if ($method->{chunked}) {
        $conn->send(http_request($method->{verb} => "$prefix/row", \@headers, pattern(0, $count), %how, chunked => 1000));
    } else {
        push @headers, 'Content-Length' => $count if $count;
        $conn->send(http_request($method->{verb} => "$prefix/row", \@headers, undef, %how));
        if ($method->{expect}) {
            my $first = $conn->answer(timeout => $patient, interim => 1);
            return $first unless ($first->{status} // 0) == 100;
        }
        $conn->send_pattern($count, 10) if $count;
    }
    return $conn->answer(timeout => $patient, head => $method->{verb} eq 'HEAD');
}

sub ask_h2 {
    my ($conn, $row, $prefix, $patient) = @_;
    my $method = $method{ $row->{method} };
    my $count = $method->{body} // 0;
    my @headers = ('x-id' => $row->{id}, $count && !$method->{chunked} ? ('content-length' => $count) : ());
    my $stream = $conn->start($method->{verb} => "$prefix/row", \@headers, $count);

    $conn->send_pattern($stream, $count) if $count;
    return $conn->answer($stream, timeout => $patient);
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
        my $bytes = $got->{body_len} // -1;
        push @not, "$bytes bytes of $want->{bytes}"
            if $got->{end} eq 'closed' ? $bytes != $want->{bytes} : $bytes > $want->{bytes};
    }
    push @not, 'other bytes than the member sent' if $status eq '200' && !$got->{prefix};
    push @not, "deliveries $got->{a}+$got->{b} instead of $want->{a}+$want->{b}"
        if $got->{a} != $want->{a} || $got->{b} != $want->{b};
    push @not, 'the kept connection was not used' if $row->{pool} eq 'kept' && $got->{n} < 2;
    push @not, 'a connection to the member was left open' if $got->{left};
    push @not, "state $got->{state}" if defined $got->{state} && $got->{state} !~ $want->{state};
    push @not, "attempts $got->{attempts}" if defined $got->{attempts} && $got->{attempts} !~ $want->{attempts};
    return @not;
}

1;
