# What happened at a backend: lines of JSON, appended by the processes that
# serve its connections and put together by the test that asks.
package Usher::Backend::Journal;

use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use Time::HiRes ();

my $json = JSON::PP->new->ascii->canonical;

sub new {
    my ($class, $file) = @_;

    return bless { file => $file, from => 0, connections => {}, requests => [] }, $class;
}

# ---- the writing side

# One event of a connection; one write to a file opened for appending, so
# lines of several processes do not mix.
sub write {
    my ($self, $event, $conn, %fields) = @_;

    open my $fh, '>>', $self->{file} or die "$self->{file}: $!\n";
    syswrite $fh, $json->encode({ event => $event, conn => $conn, at => Time::HiRes::time(), %fields }) . "\n";
    return close $fh;
}

# ---- the reading side

# All connections, in order, each a hash:
#   id, peer, from (port and address of the proxy, or ''), opened_at, requests (count),
#   state     'open', 'idle' (waits for a request) or 'closed'
#   closed_at, closed_by ('peer' or 'backend'), how ('closed' or 'reset')
#   pings     [when each CPING came] (AJP)
#   holding   name of the hold() it is in, '' in a stall() without end
#   partial   bytes of a request head that never became complete
#   bad       why a request could not be understood
#   tls       { sni, protocol, cipher, resumed, client } with TLS; client: the common
#             name of its certificate; { sni, failed } where the handshake failed
sub connections {
    my ($self) = @_;

    $self->_read;
    return sort { $a->{id} <=> $b->{id} } values %{ $self->{connections} };
}

# All requests whose head arrived, in order, each a hash:
#   tls       as of its connection
#   conn, n (1 for the first on its connection), at, method, uri, proto
#   headers   [[name, value], ...], header: { lower-case name => joined values }
#   raw       the head's bytes (HTTP); ajp: the decoded FORWARD_REQUEST
#   body_len, sha1, complete, trailers   of the body as far as it was read
#   rule, nth which rule matched and how often before plus 1
#   answered_at, sent (bytes)     when the play was over
#   gone_at, gone ('closed' or 'reset')   the peer went away before that
sub requests {
    my ($self) = @_;

    $self->_read;
    return @{ $self->{requests} };
}

# Forget requests and closed connections.
sub clear {
    my ($self) = @_;

    $self->_read;
    $self->{requests} = [];
    delete @{ $self->{connections} }{ map { $_->{id} } grep { $_->{state} eq 'closed' } $self->connections };
    return;
}

# Lines that came since the last call; an incomplete one is left for the next.
sub _read {
    my ($self) = @_;

    open my $fh, '<', $self->{file} or return;
    seek $fh, $self->{from}, 0;
    while (defined(my $line = <$fh>)) {
        last unless $line =~ /\n\z/;
        $self->{from} += length $line;
        $self->_apply($json->decode($line));
    }
    return;
}

sub _apply {
    my ($self, $e) = @_;
    my $event = delete $e->{event};
    my $conn = $self->{connections}{ $e->{conn} } //= { id => $e->{conn}, state => 'open', requests => 0, pings => [],
        opened_at => $e->{at} };
    my $req = $conn->{request} // {};

    if ($event eq 'open') {
        @$conn{qw(peer from)} = @$e{qw(peer from)};
    } elsif ($event eq 'tls') {
        $conn->{tls} = { map { $_ => $e->{$_} } grep { !/^(?:conn|at)$/ } keys %$e };
    } elsif ($event eq 'idle') {
        $conn->{state} = 'idle';
    } elsif ($event eq 'request') {
        push @{ $e->{header}{ lc $_->[0] } }, $_->[1] // '' for @{ $e->{headers} };
        $_ = join ', ', @$_ for values %{ $e->{header} };
        utf8::downgrade($e->{raw}) if defined $e->{raw};
        $e->{n} = ++$conn->{requests};
        $conn->{state} = 'open';
        $e->{tls} = $conn->{tls} if $conn->{tls};
        $conn->{request} = $e;
        push @{ $self->{requests} }, $e;
    } elsif ($event eq 'ping') {
        push @{ $conn->{pings} }, $e->{at};
    } elsif ($event eq 'body') {
        @$req{qw(body_len sha1 complete trailers)} = @$e{qw(body_len sha1 complete trailers)};
    } elsif ($event eq 'gone') {
        @$req{qw(gone_at gone)} = @$e{qw(at gone)};
    } elsif ($event eq 'answered') {
        @$req{qw(answered_at sent)} = @$e{qw(at sent)};
    } elsif ($event eq 'holding') {
        $conn->{holding} = $e->{name};
    } elsif ($event eq 'bad') {
        @$conn{qw(bad partial)} = @$e{qw(bad partial)};
    } elsif ($event eq 'closed') {
        @$conn{qw(state closed_at closed_by how)} = ('closed', @$e{qw(at by how)});
        delete @$conn{qw(request holding)};
    }
    return;
}

1;
