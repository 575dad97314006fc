# A backend server for tests under load: one process that serves all of its
# connections, so that a kill -9 ends everything at once, and notes each
# delivery on disk before it answers.
#
#   my $backend = Usher::Load::Backend->new('one');
#   $backend->crash;                          # kill -9
#   my $at = $backend->start;                 # listens again; since when, by Usher::Load::now()
#   $backend->leave;                          # as a server that is being restarted
#   my %times = $backend->deliveries;         # id => how often it was delivered
#
# What it is asked for tells what it does: /?id=7-1&size=100&ms=3 is answered
# after 3 ms with 100 bytes, in chunks with chunked=1. The body begins with
# "id=7-1 by=one ". A request's body is read to its end first.
package Usher::Load::Backend;

use strict;
use warnings FATAL => 'all';

use parent 'Usher::Process';
use Errno qw(EAGAIN EINTR);
use File::Path qw(make_path remove_tree);
use IO::Socket::INET ();
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Usher::Env ();
use Usher::Load ();
use Usher::Wait;

my $count = 0;

sub new {
    my ($class, $name) = @_;
    my $root = sprintf '%s/t/work/load-%d-%d', Usher::Env::builddir(), $$, ++$count;

    remove_tree($root);
    make_path($root);
    return bless { name => $name, root => $root, owner => $$, port => free_port() }, $class;
}

sub name { $_[0]{name} }
sub port { $_[0]{port} }
sub url  { "http://127.0.0.1:$_[0]{port}" }

# Begin to serve: the moment from which it listened. Connections that hang in
# the kernel from the last time do not keep it from that.
sub start {
    my ($self) = @_;

    pipe my $listens, my $tell or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        close $listens;
        eval { $self->_serve($tell); 1 } or warn "backend $self->{name}: $@";
        POSIX::_exit(1);
    }
    $self->{pid} = $pid;
    close $tell;
    return scalar(readline $listens) // die "backend $self->{name} does not listen on port $self->{port}\n";
}

# kill -9
sub crash { return $_[0]->kill }

# As a server that is told to end: refuses new connections, closes idle ones,
# answers what it has got, and is gone.
sub leave { return $_[0]->stop }

# All that was ever delivered: id => how often.
sub deliveries {
    my ($self) = @_;
    my %times;

    open my $fh, '<', "$self->{root}/deliveries" or return;
    while (my $id = readline $fh) {
        chomp $id;
        $times{$id}++;
    }
    return %times;
}

# ---- its process

my (%conn, @later, $reads, $leaving);

sub _serve {
    my ($self, $tell) = @_;
    my $parent = getppid;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $self->{port}, ReuseAddr => 1,
        Listen => 512, Proto => 'tcp') or die "port $self->{port}: $!\n";

    open my $journal, '>>', "$self->{root}/deliveries" or die "deliveries: $!\n";
    syswrite $tell, Usher::Load::now();
    close $tell;
    $listener->blocking(0);
    (%conn, @later) = ();
    ($reads, $leaving) = ('', 0);
    @SIG{qw(INT HUP PIPE)} = ('IGNORE') x 3;
    $SIG{TERM} = sub { $leaving = 1 };
    vec($reads, fileno $listener, 1) = 1;
    @$self{qw(journal listener)} = ($journal, $listener);

    while (1) {
        my $wait = @later ? $later[0][0] - Usher::Load::now() : 0.5;
        my $found = select my $ready = $reads, undef, undef, $leaving ? 0.001 : $wait > 0 ? $wait : 0;
        POSIX::_exit(0) if getppid != $parent;
        $self->_answer_due;
        $self->_leave if $leaving;
        next unless $found > 0;
        my $bits = unpack 'b*', $ready;
        for (my $fd = index $bits, '1'; $fd >= 0; $fd = index $bits, '1', $fd + 1) {
            my $is_listener = $self->{listener} && $fd == fileno $self->{listener};
            $is_listener ? _accept($self->{listener}) : $conn{$fd} && $self->_read($fd);
        }
    }
}

sub _accept {
    my ($listener) = @_;

    while (my $sock = $listener->accept) {
        $sock->blocking(0);
        setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, pack 'i', 1;
        $conn{ fileno $sock } = { sock => $sock, in => '' };
        vec($reads, fileno $sock, 1) = 1;
    }
    return;
}

sub _close {
    my ($fd) = @_;

    vec($reads, $fd, 1) = 0;
    delete $conn{$fd};
    return;
}

# Done with what is idle; gone when all is answered.
sub _leave {
    my ($self) = @_;

    if (my $listener = delete $self->{listener}) {
        vec($reads, fileno $listener, 1) = 0;
        close $listener;
    }
    _close($_) for grep { !$conn{$_}{uri} && !length $conn{$_}{in} } keys %conn;
    POSIX::_exit(0) unless %conn;
    return;
}

sub _read {
    my ($self, $fd) = @_;
    my $conn = $conn{$fd};
    my $got = sysread $conn->{sock}, $conn->{in}, 65536, length $conn->{in};

    return if !defined $got && ($! == EAGAIN || $! == EINTR);
    return _close($fd) unless $got;
    if (!$conn->{uri}) {
        my $end = index $conn->{in}, "\r\n\r\n";
        return if $end < 0;
        my $head = substr $conn->{in}, 0, $end + 4, '';
        my ($uri) = $head =~ m{^\S+ (\S+) HTTP/1\.} or return _close($fd);
        my ($id) = $uri =~ /[?&]id=([\w-]+)/ or return _close($fd);
        # Whatever becomes of it: it was delivered.
        syswrite $self->{journal}, "$id\n";
        @$conn{qw(uri id)} = ($uri, $id);
        $conn->{chunked} = $head =~ /^Transfer-Encoding:\s*chunked/mi;
        $conn->{left} = $head =~ /^Content-Length:\s*(\d+)/mi ? $1 : 0;
    }
    return if $conn->{chunked} ? $conn->{in} !~ /(?:^|\r\n)0\r\n\r\n\z/ : length $conn->{in} < $conn->{left};
    $conn->{in} = '';
    my $ms = $conn->{uri} =~ /[?&]ms=(\d+)/ ? $1 : 0;
    return $self->_answer($fd, $conn) unless $ms;
    push @later, [Usher::Load::now() + $ms / 1000, $fd, $conn];
    @later = sort { $a->[0] <=> $b->[0] } @later;
    return;
}

sub _answer_due {
    my ($self) = @_;
    my $now = Usher::Load::now();

    while (@later && $later[0][0] <= $now) {
        my (undef, $fd, $conn) = @{ shift @later };
        $self->_answer($fd, $conn) if $conn{$fd} && $conn{$fd} == $conn;
    }
    return;
}

# Written at once: whoever got the first byte has all.
sub _answer {
    my ($self, $fd, $conn) = @_;
    my ($size) = $conn->{uri} =~ /[?&]size=(\d+)/;
    my $body = "id=$conn->{id} by=$self->{name} ";
    my $head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" . ($leaving ? "Connection: close\r\n" : '');

    $body .= '.' x (($size // 0) - length $body) if length $body < ($size // 0);
    my $bytes = $conn->{uri} =~ /[?&]chunked=1/
        ? sprintf "%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", $head, length $body, $body
        : sprintf "%sContent-Length: %d\r\n\r\n%s", $head, length $body, $body;
    syswrite $conn->{sock}, $bytes;
    delete $conn->{uri};
    _close($fd) if $leaving;
    return;
}

1;
