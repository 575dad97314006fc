# Plays rows of Usher::Faults: several processes at a time, each with its own
# members behind the one proxy, and its own client.
package Usher::Faults::Player;

use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use POSIX ();
use Time::HiRes ();
use Usher::Backend;
use Usher::Client ();
use Usher::Faults ();
use Usher::H2 ();
use Usher::Pattern;
use Usher::Wait;

# play(port of the proxy, rows, %options): the rows with what came of each in
# {got}. Options:
#   ports   => [[port, ...], ...]  of the members, one list for each process
#   kit     => which members these are, see Usher::Faults
#   patient => seconds to wait for an answer
#   prefix  => sub { path for a row } where the proxy is another one
sub play {
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
    my @speaks = Usher::Faults::kit($opt{kit});
    my @members = map { Usher::Backend->new(protocol => $speaks[$_], port => $opt{ports}[$n][$_]) } 0 .. $#speaks;

    for my $row (@$rows) {
        my ($first, $second) = Usher::Faults::members($row);
        # Nobody asks the second one of a layout that has one only.
        my ($a, $b) = @members[$first, $second // 1];
        my $start = Time::HiRes::time();
        my $got = eval { _play($port, $n, $row, $a, $b, %opt) } // { error => "$@" };
        print $write JSON::PP::encode_json({ %$got, spent => Time::HiRes::time() - $start, id => $row->{id} }) . "\n";
        if ($got->{error} || $got->{left}) {
            # Whatever state that left them in.
            $_->stop, $_->start for $a, $b;
        }
    }
    undef $_ for @members;
    return;
}

sub _play {
    my ($port, $n, $row, $a, $b, %opt) = @_;
    my $client = Usher::Faults::client($row);
    my $prefix = $opt{prefix} ? $opt{prefix}->($row, $n) : "/$row->{layout}$n";
    my $conn = ($client->{h2} ? 'Usher::H2' : 'Usher::Client')->new(port => $port) // die "connect: $!\n";

    $_->clear for $a, $b;
    if ($client->{kept}) {
        my $first = $conn->request(GET => $opt{own} // '/index.html');
        die "the proxy's own file: $first->{status}\n" if ($first->{status} // 0) != 200;
    }
    _keep_one($conn, $port, $row, $prefix, $a) if $row->{pool} ne 'fresh';
    _arm($row, $a, $b);
    my @down = $row->{phase} eq 'refused' ? ($a, $row->{second} eq 'same' ? $b : ()) : ();
    $_->stop for @down;
    my $answer = ask($conn, $row, $prefix, $opt{patient} // 5);
    $answer->{complete} = $answer->{complete} ? 1 : 0;
    my $left = wait_until { !grep { $_->{state} ne 'closed' } $a->connections, $b->connections } 2;
    my %got = (map({ $_ => $answer->{$_} } qw(status end complete body_len time framing)),
        a => scalar $a->deliveries($row->{id}), b => scalar $b->deliveries($row->{id}),
        n => (map { $_->{n} } $a->deliveries($row->{id}))[0] // 0, left => $left ? 0 : 1,
        prefix => (!defined $answer->{body} || $answer->{body} eq pattern(0, length $answer->{body})) ? 1 : 0);
    $_->start for @down;
    $conn->close;
    return \%got;
}

# A request before, so that a connection to the first member is kept.
sub _keep_one {
    my ($conn, $port, $row, $prefix, $member) = @_;
    my $kept = Usher::Faults::client($row)->{kept};
    my $client = $kept ? $conn : Usher::Client->new(port => $port);

    $member->on('/warm', Usher::Faults::protocol($row)->warm);
    my $first = $client->request(GET => "$prefix/warm", [$kept ? () : (Connection => 'close')]);
    die "warm: " . ($first->{status} // $first->{end}) . "\n" if ($first->{body} // '') ne 'warm';
    return if $row->{pool} eq 'kept';
    wait_until { grep { $_->{state} eq 'idle' } $member->connections } 2 or die "no connection was kept\n";
    if ($row->{pool} eq 'aged') {
        my $end = Time::HiRes::time() + 1.3;
        wait_until { Time::HiRes::time() > $end } 3;
    } else {
        $member->close_idle;
    }
    return;
}

# Tells the members what to do.
sub _arm {
    my ($row, $a, $b) = @_;
    my ($first, $second) = (Usher::Faults::protocol($row), Usher::Faults::second_protocol($row));
    my $again = $row->{second} eq 'same';
    my @sound = map { $_->can('answer')->($row->{phase}) } $first, $second;
    my @moment = map { [$_->can('moment')->($row->{phase})] } $first, $second;

    if (@{ $moment[0] }) {
        my ($what, $well) = @{ $moment[0] };
        $a->on('/row', $sound[0]);
        $b->on('/row', $sound[1]);
        $a->on($what, $first->can('play')->($row), $again ? () : $well);
        $b->on($moment[1][0], $again ? $second->can('play')->($row) : $moment[1][1]) if @{ $moment[1] };
        return;
    }
    $a->on('/row', $first->can('play')->($row), $again ? () : $sound[0]);
    $b->on('/row', $again ? $second->can('play')->($row) : $sound[1]);
    return;
}

# Sends the row's request, and returns the answer.
sub ask {
    my ($conn, $row, $prefix, $patient) = @_;
    my $client = Usher::Faults::client($row);
    my $method = Usher::Faults::method($row);
    return ask_h2($conn, $row, $prefix, $patient) if $client->{h2};
    my %how = (version => $client->{version});
    my @headers = ('X-Id' => $row->{id}, @{ $method->{headers} // [] });
    my $count = $method->{body} // 0;
    my $uri = "$prefix/row" . (defined $method->{query} ? "?$method->{query}" : '');
    my $waits = $method->{expect} || $method->{waits};

    push @headers, Expect => '100-continue' if $waits;
    if ($method->{chunked}) {
        $conn->send(http_request($method->{verb} => $uri, \@headers, pattern(0, $count), %how, chunked => 1000));
    } else {
        push @headers, 'Content-Length' => $count if $count;
        $conn->send(http_request($method->{verb} => $uri, \@headers, undef, %how));
        if ($waits) {
            my $first = $conn->answer(timeout => $patient, interim => 1);
            return $first unless ($first->{status} // 0) == 100;
        }
        $conn->send_pattern($count, 10) if $count;
    }
    return $conn->answer(timeout => $patient, head => $method->{verb} eq 'HEAD');
}

sub ask_h2 {
    my ($conn, $row, $prefix, $patient) = @_;
    my $method = Usher::Faults::method($row);
    my $count = $method->{body} // 0;
    my $uri = "$prefix/row" . (defined $method->{query} ? "?$method->{query}" : '');
    my @headers = ('x-id' => $row->{id}, $count && !$method->{chunked} ? ('content-length' => $count) : ());
    my $stream = $conn->start($method->{verb} => $uri, \@headers, $count);

    $conn->send_pattern($stream, $count) if $count;
    return $conn->answer($stream, timeout => $patient);
}

1;
