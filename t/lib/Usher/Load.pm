# Clients that ask without a pause, each a process with one kept connection,
# and write down what became of every request.
#
#   my $load = Usher::Load->new(port => 8080, paths => ['/a/'], clients => 16);
#   ... $load->wait_for(sub { $_->{end} eq 'ok' }, 5);    # a request as that has ended
#   $load->end;
#   my @failed = grep { $_->{end} ne 'ok' } $load->requests;
#
# A request is a hash:
#   id, method, path, began, ended (by now()), fresh (the first one of its
#   connection), status (0: no answer), by (the backend that answered)
#   end   'ok'        200, and complete
#         'error'     another status, and complete
#         'cut'       an answer that is not whole
#         'wrong'     whole, but not the answer to this request
#         'lost'      the connection ended without a byte of an answer
#         'refused'   no connection
#         'timeout'   nothing, or not all, within 15 s
# The next request after one that failed is a new one, a moment later. Paths
# take a query; see Usher::Load::Backend.
package Usher::Load;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use POSIX ();
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
use Usher::Client ();
use Usher::Env ();
use Usher::HTTP1;
use Usher::Wait;

our @EXPORT = qw(now);

my $count = 0;

# Seconds, the same in all processes, whatever happens to the wall clock.
sub now { return clock_gettime(CLOCK_MONOTONIC) }

# new(port => n, paths => [...], %options): begins. Options:
#   clients => how many, default 16
#   posts   => percent of requests that are POST, default 25
#   think   => seconds between two requests, on average, default 0.004
sub new {
    my ($class, %opt) = @_;
    my $file = sprintf '%s/t/work/requests-%d-%d', Usher::Env::builddir(), $$, ++$count;
    my $self = bless { clients => 16, posts => 25, think => 0.004, %opt, file => $file, owner => $$, pids => [],
                       read => [], at => 0 }, $class;

    unlink $file;
    for my $number (1 .. $self->{clients}) {
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            eval { $self->_client($number); 1 } or warn "client $number: $@";
            POSIX::_exit(1);
        }
        push @{ $self->{pids} }, $pid;
    }
    return $self;
}

# All requests that have ended so far, in the order of their ends.
sub requests {
    my ($self) = @_;

    if (open my $fh, '<', $self->{file}) {
        seek $fh, $self->{at}, 0;
        while (my $line = readline $fh) {
            last if $line !~ /\n\z/;
            $self->{at} += length $line;
            chomp $line;
            my %request;
            @request{qw(id method path began ended fresh status end by)} = split / /, $line, -1;
            push @{ $self->{read} }, \%request;
        }
    }
    return @{ $self->{read} };
}

# Until a request fits, of those that began after this call: it, or false.
sub wait_for {
    my ($self, $fits, $limit) = @_;
    my $from = now();
    my $at = $self->requests;

    return wait_until {
        my @all = $self->requests;
        for (; $at < @all; $at++) {
            local $_ = $all[$at];
            return $_ if $_->{began} >= $from && $fits->($_);
        }
        return;
    } $limit // 10;
}

# No more requests; returns when the last ones have ended. True where all
# clients came to their end.
sub end {
    my ($self) = @_;
    my $well = 1;

    kill 'TERM', @{ $self->{pids} };
    while (defined(my $pid = shift @{ $self->{pids} })) {
        waitpid $pid, 0;
        $well &&= !$?;
    }
    return $well;
}

sub _client {
    my ($self, $number) = @_;
    my $parent = getppid;
    my $stop = 0;
    my $n = 0;
    my $client;

    srand $number;
    @SIG{qw(INT HUP)} = ('IGNORE') x 2;
    $SIG{TERM} = sub { $stop = 1 };
    open my $out, '>>', $self->{file} or die "$self->{file}: $!\n";
    while (!$stop && getppid == $parent) {
        my $fresh = $client ? 0 : 1;
        my $id = sprintf '%d-%d', $number, ++$n;
        my $method = rand 100 < $self->{posts} ? 'POST' : 'GET';
        my $path = $self->{paths}[rand @{ $self->{paths} }];
        my $size = 50 + int rand 3000;
        my $uri = sprintf '%s?id=%s&size=%d&ms=%d&chunked=%d', $path, $id, $size, rand 4 < 1 ? 1 + rand 4 : 0, rand 2;
        my $began = now();
        my ($end, $answer) = ('refused', {});
        $client //= Usher::Client->new(port => $self->{port});
        if ($client) {
            my $body = $method eq 'POST' ? 'b' x (1 + int rand 2000) : undef;
            $client->send(http_request($method, $uri, [], $body, $method eq 'POST' && rand 4 < 1 ? (chunked => 1) : ()));
            $answer = $client->answer(timeout => 15);
            $end = _judge($answer, $id, $size);
        }
        my ($by) = ($answer->{body} // '') =~ / by=(\w+) /;
        # A short line, appended at once: the lines of all clients stay whole.
        syswrite $out, sprintf "%s %s %s %.6f %.6f %d %d %s %s\n", $id, $method, $path, $began, now(), $fresh,
            $answer->{status} // 0, $end, $by // '-';
        undef $client if ($answer->{end} // '') ne 'complete'
            || http_has_token($answer->{headers}, 'Connection', 'close');
        Time::HiRes::sleep($end eq 'ok' ? rand 2 * $self->{think} : 0.005);
    }
    POSIX::_exit(0);
}

sub _judge {
    my ($answer, $id, $size) = @_;

    return 'timeout' if $answer->{end} eq 'timeout';
    return length($answer->{head} // '') ? 'cut' : 'lost' unless defined $answer->{status};
    return 'cut' unless $answer->{complete};
    return 'error' if $answer->{status} != 200;
    return 'ok' if $answer->{body} =~ /^id=\Q$id\E by=/ && length $answer->{body} == $size;
    return 'wrong';
}

sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->end;
    unlink $self->{file} unless $ENV{USHER_KEEP_WORK};
    return;
}

1;
