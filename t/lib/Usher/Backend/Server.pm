# The processes of a backend: one accepts, and each connection has its own.
# They end by themselves when the test does, however it ends: its end of the
# control socket closes, the acceptor sees that and goes, and with it the
# write end of a pipe that all connections watch.
package Usher::Backend::Server;

use strict;
use warnings FATAL => 'all';

use IO::Handle ();
use POSIX qw(WNOHANG);
use Usher::Backend::Script ();
use Usher::Wait;
use Usher::Wire ();

# serve(listener, control, dir, class, journal, script, tls): never returns.
sub serve {
    my (%self) = @_;
    my $code = eval {
        _detach("$self{dir}/errors", $self{listener}, $self{control});
        pipe my $watch, my $alive or die "pipe: $!\n";
        @self{qw(watch alive children)} = ($watch, $alive, {});
        # One for all connections, so that sessions go from one to the other.
        $self{context} = Usher::Wire::TLS::context(%{ $self{tls} }) if $self{tls};
        _accept_all(\%self);
        1;
    } ? 0 : 1;

    print STDERR "acceptor: $@" if $code;
    POSIX::_exit($code);
}

# Nothing of the test's must live on in here: a copy of a client's socket
# would keep its connection open, a copy of STDOUT the harness waiting.
# Perl counts who uses a descriptor: closed behind its back, the number would
# come again with a wrong count, and never be closed. So it stays taken.
sub _detach {
    my ($errors, @keep) = @_;
    my %keep = map { fileno $_ => 1 } @keep;

    open STDIN, '<', '/dev/null' or die $!;
    open STDOUT, '>', '/dev/null' or die $!;
    open STDERR, '>>', $errors or die $!;
    STDERR->autoflush(1);
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP CHLD ALRM __DIE__ __WARN__);
    $SIG{PIPE} = 'IGNORE';
    opendir my $dir, '/proc/self/fd';
    my @open = $dir ? grep { /^\d+$/ && $_ > 2 } readdir $dir : (3 .. 255);
    closedir $dir if $dir;
    POSIX::dup2(fileno STDIN, $_) for grep { !$keep{$_} } @open;
    return;
}

# Until the test closes the control socket. A line on it is a command:
# "pause" or "resume" accepting; the answer is "ok".
sub _accept_all {
    my ($self) = @_;
    my ($listener, $control) = @$self{qw(listener control)};
    my $paused = 0;

    $listener->blocking(0);
    while (1) {
        my $reads = '';
        vec($reads, fileno $listener, 1) = 1 unless $paused;
        vec($reads, fileno $control, 1) = 1;
        my $found = select $reads, undef, undef, 1;
        _reap($self);
        next if $found <= 0;
        if (vec $reads, fileno $control, 1) {
            my $got = sysread $control, my $command, 64;
            last unless $got;
            $paused = $command =~ /pause/;
            syswrite $control, "ok\n";
        }
        next unless !$paused && vec $reads, fileno $listener, 1;
        my $sock = $listener->accept or next;
        _serve_one($self, $sock);
    }
    return _end($self);
}

sub _serve_one {
    my ($self, $sock) = @_;
    my $id = Usher::Backend::Script::count_up("$self->{dir}/connections");
    my ($peer, $from) = $sock->can('peerport') ? ($sock->peerport, $sock->peerhost) : ('', '');

    $self->{journal}->write('open', $id, peer => $peer, from => $from);
    my $pid = fork // die "fork: $!\n";
    if ($pid) {
        $self->{children}{$pid} = 1;
        return;
    }
    CORE::close $self->{$_} for qw(listener control alive);
    my @watch = (watch => $self->{watch}, watched => sub { POSIX::_exit(0) });
    my $wire = $self->{tls}
        ? Usher::Wire::TLS->new($sock, @watch, context => $self->{context}, late_tickets => $self->{tls}{late_tickets})
        : Usher::Wire->new($sock, @watch);
    my $ok = eval {
        $self->{class}->new(id => $id, wire => $wire, map { $_ => $self->{$_} } qw(dir journal script))->run;
        1;
    };
    print STDERR "connection $id: $@" unless $ok;
    POSIX::_exit(0);
}

sub _reap {
    my ($self) = @_;

    while ((my $pid = waitpid -1, WNOHANG) > 0) {
        delete $self->{children}{$pid};
        print STDERR "a connection died with status $?\n" if $?;
    }
    return;
}

# All connections go; those that do not go by themselves are killed.
sub _end {
    my ($self) = @_;

    CORE::close $self->{$_} for qw(listener alive);
    wait_until { _reap($self); !%{ $self->{children} } } 5;
    if (my @left = keys %{ $self->{children} }) {
        print STDERR "connections that did not end: @left\n";
        kill 'KILL', @left;
        waitpid $_, 0 for @left;
    }
    return;
}

1;
