# A backend server that does what a test says, down to the byte, and keeps a
# journal of what it got. HTTP/1 or AJP13; ends with the object or the test.
#
#   my $backend = Usher::Backend->new;                      # HTTP on a free port of 127.0.0.1
#   my $answer = http_answer(200, [], 'hello');
#   $backend->on('/hello', $answer);                        # bytes
#   $backend->on('POST /once', [at($answer, 17, cut)], $answer);   # first cut at byte 17, then whole
#   $backend->on('ACCEPT', [rst], []);                      # the first connection is reset unread
#   ... $backend->requests('/hello'), $backend->deliveries('id-7'), $backend->connections
#
# The steps of a play are in Usher::Backend::Play, the fields of what the
# journal returns in Usher::Backend::Journal.
package Usher::Backend;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Path qw(make_path remove_tree);
use File::Temp ();
use IO::Socket::IP ();
use IO::Socket::UNIX ();
use POSIX qw(WNOHANG);
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC SOL_SOCKET SO_RCVBUF SO_SNDBUF);
use Test::More ();
use Usher::AJP;
use Usher::Backend::AJP ();
use Usher::Backend::HTTP ();
use Usher::Backend::Journal ();
use Usher::Backend::Play;
use Usher::Backend::Script ();
use Usher::Backend::Server ();
use Usher::Client ();
use Usher::Env ();
use Usher::HTTP1;
use Usher::Wait;

our @EXPORT = (@Usher::Backend::Play::EXPORT, @Usher::HTTP1::EXPORT, @Usher::AJP::EXPORT);

my $count = 0;

# new(%options): listens and serves. Options:
#   protocol => 'http' (default), 'https' (the same with tls => {}) or 'ajp'
#   port     => default a free one; host => default 127.0.0.1, or "::1"
#   unix     => 1: on a unix socket instead, path() tells where
#   backlog  => connections that wait to be accepted, default 128
#   tls      => { %options of Usher::Wire::TLS }; cert => a name of Usher::Certs, default "good",
#               ca => default that of Usher::Certs; names => { 'a.test' => 'named', ... }
#   rcvbuf, sndbuf => bytes of the kernel's buffers, to make them fill early
sub new {
    my ($class, %opt) = @_;
    my $dir = Usher::Env::builddir() . "/t/work/backend-$$-" . ++$count;
    my $self = bless { protocol => 'http', host => '127.0.0.1', backlog => 128, %opt,
                       dir => $dir, owner => $$, fillers => {}, filled => {} }, $class;

    if ($self->{protocol} eq 'https') {
        $self->{protocol} = 'http';
        $self->{tls} //= {};
    }
    die "Usher::Backend: protocol $self->{protocol}\n" unless $self->{protocol} =~ /^(?:http|ajp)$/;
    $self->{tls} = _tls(%{ $self->{tls} }) if $self->{tls};
    remove_tree($dir);
    make_path($dir);
    $self->{journal} = Usher::Backend::Journal->new("$dir/journal");
    $self->{script} = Usher::Backend::Script->new($dir);
    $self->{script}->clear;
    if ($self->{unix}) {
        # The address of a unix socket has room for some 100 bytes only.
        $self->{socket_dir} = File::Temp->newdir(CLEANUP => 0) if length $dir > 90;
        chmod 0755, "$self->{socket_dir}" if $self->{socket_dir};
        $self->{path} = ($self->{socket_dir} // $dir) . '/socket';
    }
    $self->start;
    return $self;
}

# Names of certificates become their files. Loaded only where it is needed, as
# is Net::SSLeay.
sub _tls {
    my (%opt) = @_;

    require Usher::Certs;
    require Usher::Wire::TLS;
    my $certs = Usher::Certs->new;
    my $files = sub { return (cert => $certs->cert($_[0]), key => $certs->key($_[0])) };
    my $names = $opt{names} // {};

    return { ca => $certs->ca, %opt, $files->($opt{cert} // 'good'),
             names => { map { $_ => { $files->($names->{$_}) } } keys %$names } };
}

sub port { $_[0]{port} }
sub path { $_[0]{path} }
sub host { $_[0]{host} }

# The URL for ProxyPass or BalancerMember.
sub url {
    my ($self, $path) = @_;
    my $host = $self->{host} =~ /:/ ? "[$self->{host}]" : $self->{host};
    my $scheme = $self->{protocol} . ($self->{tls} ? 's' : '');

    return "unix:$self->{path}|$scheme://localhost" . ($path // '') if $self->{unix};
    return "$scheme://$host:$self->{port}" . ($path // '');
}

# A client connected to this backend directly; with TLS, options of
# Usher::Wire::TLS::context and the name that is asked for.
sub client {
    my ($self, %tls) = @_;

    return Usher::Client->new($self->{unix} ? (unix => $self->{path}) : (host => $self->{host}, port => $self->{port}),
        $self->{tls} ? (tls => \%tls) : ());
}

# ---- the script

# on(what, plays): the n-th request that matches gets the n-th play, all later
# ones the last. A play is a string of bytes, a step, or [a list of both].
# Newer rules go before older ones. What to match:
#   '/path'          any method, without the query;  'POST /path'
#   qr{regex}        any method, on the URI with the query
#   'ACCEPT'         the moment of accept, before any byte is read
#   'HELLO'          TLS: the client's first message was read, nothing answered; bytes are in clear
#   'SECURE'         TLS: the handshake is over, no request was read
#   'CPING'          AJP's ping
#   { method =>, path =>, uri => qr{}, reused => 0 | 1 }   1: not the first on its connection
# Returns a number that requests have as {rule}.
sub on {
    my ($self, $what, @plays) = @_;
    my %match = ref $what eq 'HASH' ? %$what : ref $what ? (uri => $what)
        : $what =~ m{^(?:([A-Z-]+)(?: |$))?(/.*)?$}
        ? (map { defined $_->[1] ? ($_->[0] => $_->[1]) : () } [method => $1], [path => $2])
        : die "on: $what\n";

    for my $key (keys %match) {
        die "on: no such key: $key\n" unless $key =~ /^(?:method|path|uri|reused)$/;
    }
    for my $step (map { Usher::Backend::Play::steps($_) } @plays) {
        die "on: a play has bytes and steps only\n"
            unless defined $step && (!ref $step || ref $step eq 'Usher::Backend::Step');
    }
    $match{uri} = "$match{uri}" if defined $match{uri};
    return $self->{script}->add(\%match, @plays);
}

# Forget all rules (what remains is 404, and CPONG) and all that was noted.
sub clear {
    my ($self) = @_;

    $self->{script}->clear;
    return $self->{journal}->clear;
}

# Let go on whoever is or comes into hold($name).
sub release {
    my ($self, $name) = @_;

    open my $fh, '>', "$self->{dir}/go-$name" or die "hold $name: $!\n";
    return close $fh;
}

# Close the connections that wait for a request ('rst': with RST), and those
# with a play going on when it is over. Returns when that is done, with their
# number; those in a hold() or an endless stall() are not waited for.
sub close_idle {
    my ($self, $how) = @_;
    my @open = grep { $_->{state} ne 'closed' && !defined $_->{holding} } $self->connections;

    open my $fh, '>>', "$self->{dir}/idle" or die "idle: $!\n";
    syswrite $fh, ($how // '') eq 'rst' ? 'r' : 'c';
    close $fh;
    wait_until { $self->connections; !grep { $_->{state} ne 'closed' } @open };
    return scalar grep { ($_->{closed_by} // '') eq 'backend' } @open;
}

# ---- the server

# Listen again after stop(), on the same port.
sub start {
    my ($self) = @_;
    my $listener = $self->_listen;

    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        Usher::Backend::Server::serve(listener => $listener, control => $theirs, dir => $self->{dir},
            class => $self->{protocol} eq 'ajp' ? 'Usher::Backend::AJP' : 'Usher::Backend::HTTP',
            journal => $self->{journal}, script => $self->{script}, tls => $self->{tls});
    }
    @$self{qw(pid control)} = ($pid, $ours);
    return $self;
}

sub _listen {
    my ($self) = @_;
    my $listener;

    if ($self->{unix}) {
        unlink $self->{path};
        $listener = IO::Socket::UNIX->new(Local => $self->{path}, Listen => $self->{backlog}, Type => SOCK_STREAM)
            or die "listen on $self->{path}: $!\n";
        # httpd's children may run as another user.
        chmod 0777, $self->{path};
    } else {
        my $listen = sub {
            return IO::Socket::IP->new(LocalHost => $self->{host}, LocalPort => $_[0], ReuseAddr => 1,
                Listen => $self->{backlog}, Type => SOCK_STREAM);
        };
        # A port that is given may be on loan: another test looks for a free one.
        $listener = wait_until { $listen->($self->{port}) } 3 if $self->{port};
        for (1 .. ($self->{port} ? 0 : 20)) {
            my $port = free_port();
            $listener = $listen->($port) or next;
            $self->{port} = $port;
            last;
        }
        die "listen on $self->{host}: $!\n" unless $listener;
    }
    setsockopt $listener, SOL_SOCKET, SO_RCVBUF, pack 'i', $self->{rcvbuf} if $self->{rcvbuf};
    setsockopt $listener, SOL_SOCKET, SO_SNDBUF, pack 'i', $self->{sndbuf} if $self->{sndbuf};
    return $listener;
}

# The backend is down: connections are closed, new ones refused. Anything
# that went wrong in its processes fails the test.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} // return;

    delete $self->{waiting};
    close delete $self->{control};
    if (!wait_until { waitpid($pid, WNOHANG) } 15) {
        Test::More::fail('backend on ' . $self->url . ' ends');
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
    $self->{journal}->write('closed', $_->{id}, by => 'backend', how => 'closed')
        for grep { $_->{state} ne 'closed' } $self->{journal} ? $self->{journal}->connections : ();
    unlink $self->{path} if $self->{unix};
    open my $fh, '<', "$self->{dir}/errors" or return;
    my @errors = <$fh>;
    unlink "$self->{dir}/errors";
    Test::More::fail("backend on " . $self->url . " is sound") || Test::More::diag(@errors) if @errors;
    return;
}

# Do not accept: connections wait in the backlog.
sub pause {
    my ($self) = @_;

    return $self->_tell('pause');
}

# Do not accept, and have the backlog full: connecting hangs. (Not on unix sockets.)
sub full {
    my ($self) = @_;

    $self->pause;
    for (0 .. $self->{backlog} + 1) {
        my $client = Usher::Client->new(host => $self->{host}, port => $self->{port}, timeout => 0.2) // return 1;
        push @{ $self->{waiting} }, $client;
        $self->{fillers}{ $client->port } = 1;
    }
    die "the backlog of $self->{backlog} does not fill\n";
}

# Accept again, also what waited.
sub resume {
    my ($self) = @_;

    delete $self->{waiting};
    return $self->_tell('resume');
}

sub _tell {
    my ($self, $command) = @_;

    syswrite $self->{control}, "$command\n";
    return sysread $self->{control}, my $answer, 64;
}

# ---- the journal

# Requests in order, all or those whose URI matches: qr{regex}, or '/path'
# without the query. In scalar context their number.
sub requests {
    my ($self, $uri) = @_;
    my $regex = !defined $uri ? qr{} : ref $uri ? $uri : qr{^\Q$uri\E(?:\?|\z)};
    my @found = grep { $_->{uri} =~ $regex } $self->{journal}->requests;

    return @found;
}

# Requests that carry this id in the header X-Id or as id= in the query:
# how often a request was delivered.
sub deliveries {
    my ($self, $id) = @_;
    my @found = grep { ($_->{header}{'x-id'} // '') eq $id || $_->{uri} =~ /[?&]id=\Q$id\E(?:&|\z)/ }
        $self->{journal}->requests;

    return @found;
}

# Connections in order, without those of full(); in scalar context their number.
sub connections {
    my ($self) = @_;
    my @all = $self->{journal}->connections;

    # A port may come again later: only the first connection from it was ours.
    for my $conn (@all) {
        $self->{filled}{ $conn->{id} } = 1 if delete $self->{fillers}{ $conn->{peer} // '' };
    }
    my @found = grep { !$self->{filled}{ $_->{id} } } @all;
    return @found;
}

# How many connections are in hold($name) now.
sub holding {
    my ($self, $name) = @_;

    return scalar grep { ($_->{holding} // '') eq $name } $self->connections;
}

sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->stop;
    return if $ENV{USHER_KEEP_WORK};
    remove_tree("$_") for grep { defined } @$self{qw(dir socket_dir)};
    return;
}

1;
