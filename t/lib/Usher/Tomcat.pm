# A Tomcat of a test's own, with one connector and the application of
# build/webapp. Ends with the object.
package Usher::Tomcat;

use strict;
use warnings FATAL => 'all';

use parent 'Usher::Process';
use File::Path qw(make_path remove_tree);
use IO::Socket::INET ();
use POSIX ();
use Test::More ();
use Usher::Certs ();
use Usher::Client ();
use Usher::Env ();
use Usher::Wait;

my $count = 0;

# What keeps a Tomcat from being started here, or nothing: for skip_all.
sub missing {
    my $out = qx('${\ Usher::Env::srcdir() }/build/tomcat' --find 2>&1);

    return $? ? $out =~ s/^build\/tomcat: //r =~ s/\n//r : undef;
}

# start(proto => 'http', 'https' or 'ajp', %options): options are
#   cert   => https: a name of Usher::Certs with a PKCS #12 file, default "good"
#   secret => AJP's, default a fixed one
#   route  => the jvmRoute, default none
#   port   => default a free one
#   webapp => a folder with the application, default build/webapp
#   AJP: packet_size => bytes; attributes => regular expression of request
#   attributes to take; drain_valve => 1 for a LoadBalancerDrainingValve
# Dies where Tomcat does not answer; its output is shown then.
sub start {
    my ($class, %opt) = @_;
    my $root = sprintf '%s/t/work/tomcat-%d-%d', Usher::Env::builddir(), $$, ++$count;
    my $self = bless { proto => 'http', secret => 'usher-test', route => '', %opt,
                       root => $root, owner => $$, port => $opt{port} // free_port() }, $class;

    remove_tree($root);
    make_path($root);
    my $umask = umask 077;
    open my $fh, '>', $self->secret_file or die "$root/secret: $!";
    umask $umask;
    print $fh $self->{secret};
    close $fh;
    $self->launch;
    $self->wait_up or die "Tomcat ($self->{proto}, port $self->{port}) does not answer\n";
    return $self;
}

sub proto       { $_[0]{proto} }
sub port        { $_[0]{port} }
sub route       { $_[0]{route} }
sub secret      { $_[0]{secret} }
sub secret_file { "$_[0]{root}/secret" }
sub console     { "$_[0]{root}/console" }
# What ProxyPass and BalancerMember take, without a path.
sub url         { "$_[0]{proto}://127.0.0.1:$_[0]{port}" }

# What Tomcat wrote: one line for each request that reached it.
sub access_log {
    my ($self) = @_;

    open my $fh, '<', "$self->{root}/base/logs/access_log" or return;
    chomp(my @lines = <$fh>);
    return @lines;
}

# Begin to start; wait_up() tells when it serves.
sub launch {
    my ($self) = @_;
    my $keystore = $self->{proto} eq 'https' ? Usher::Certs->new->pkcs12($self->{cert} // 'good') : undef;
    my $pid = fork // die "fork: $!";

    if (!$pid) {
        $ENV{JVM_ROUTE} = $self->{route};
        $ENV{WEBAPP} = $self->{webapp} // '';
        $ENV{ uc $_ } = $self->{$_} // '' for qw(packet_size attributes drain_valve);
        delete @ENV{qw(LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS)};
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $self->console;
        open STDERR, '>&', \*STDOUT;
        exec Usher::Env::srcdir() . '/build/tomcat', "$self->{root}/base", $self->{proto}, $self->{port},
            $self->{proto} eq 'ajp' ? $self->secret_file : $keystore // () or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    return $self;
}

# True when it answers; where it does not, the end of its output is shown.
sub wait_up {
    my ($self, $limit) = @_;

    wait_until { !$self->running || $self->answers } $limit // 60;
    return 1 if $self->running && $self->answers;
    if (open my $fh, '<', $self->console) {
        my @lines = <$fh>;
        Test::More::diag(@lines > 30 ? @lines[-30 .. -1] : @lines);
    }
    return 0;
}

# AJP: a CPING is answered with a CPONG. HTTP: a page is served.
sub answers {
    my ($self) = @_;

    return $self->_answers_tls if $self->{proto} eq 'https';
    my ($ask, $answer) = $self->{proto} eq 'ajp'
        ? ("\x12\x34\x00\x01\x0A", qr/^\x41\x42\x00\x01\x09\z/)
        : ("GET /error.jsp?code=200 HTTP/1.0\r\nHost: localhost\r\n\r\n", qr{^HTTP/1\.\d 200});
    my $sock = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Proto => 'tcp', Timeout => 2) or return 0;
    my $got = '';

    print $sock $ask;
    $sock->flush;
    $sock->blocking(0);
    wait_until {
        my $n = sysread $sock, $got, 512, length $got;
        $got =~ $answer || (defined $n && $n == 0);
    } 10;
    return $got =~ $answer ? 1 : 0;
}

sub _answers_tls {
    my ($self) = @_;
    my $client = eval { Usher::Client->new(port => $self->{port}, tls => {}) } // return 0;

    return ($client->request(GET => '/error.jsp?code=200')->{status} // 0) == 200;
}

# Stop and start on the same port; no session is kept.
sub restart {
    my ($self) = @_;

    $self->stop;
    return $self->launch->wait_up;
}

1;
