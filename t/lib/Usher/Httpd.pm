# An httpd of a test's own: its configuration is text, it can be broken,
# restarted and killed. Ends with the object; its error log is watched.
package Usher::Httpd;

use strict;
use warnings FATAL => 'all';

use parent 'Usher::Process';
use File::Path qw(make_path remove_tree);
use POSIX ();
use Usher::Env ();
use Usher::LogWatch ();
use Usher::Wait;

my $count = 0;

# Interrupted, a test still ends what it started.
$SIG{$_} //= sub { exit 1 } for qw(INT TERM HUP);

# new(conf => text, %options): options are
#   modules => [names of httpd's modules], beside the MPM and authz_core
#   usher   => [names of ours], default all that were built and can be; [] for none
#   mpm     => default the one t/TEST runs with
#   port    => default a free one; the text may use @PORT@, @ROOT@, @HTDOCS@
#   loglevel=> default "info"
#   args    => [more arguments of httpd], as "-X"
#   env     => { variables of httpd's environment }
#   preload => a library that httpd loads before all others
sub new {
    my ($class, %opt) = @_;
    my $name = $opt{name} // sprintf 'httpd-%d-%d', $$, ++$count;
    my $root = Usher::Env::builddir() . "/t/work/$name";
    my $self = bless { mpm => $ENV{USHER_MPM}, loglevel => 'info', modules => [], args => [], %opt, grouped => 1,
                       root => $root, owner => $$, port => $opt{port} // free_port() }, $class;

    remove_tree($root);
    make_path("$root/logs", "$root/htdocs");
    open my $fh, '>', "$root/htdocs/index.html" or die $!;
    print $fh "usher test\n";
    close $fh;
    $self->conf($opt{conf} // '');
    $self->{log} = Usher::LogWatch->new($self->error_log);
    return $self;
}

sub port      { $_[0]{port} }
sub root      { $_[0]{root} }
sub log       { $_[0]{log} }
sub error_log { "$_[0]{root}/logs/error_log" }
sub url       { "http://127.0.0.1:$_[0]{port}" . ($_[1] // '/') }

# Write another configuration; options as of new() change with it.
sub conf {
    my ($self, $text, %opt) = @_;

    @$self{ keys %opt } = values %opt;
    open my $fh, '>', "$self->{root}/httpd.conf" or die $!;
    print $fh $self->_frame($text);
    close $fh;
    return $self;
}

sub _frame {
    my ($self, $text) = @_;
    my $root = $self->{root};
    my $user = $> == 0 ? "User nobody\nGroup #" . (getpwnam 'nobody')[3] . "\n" : '';
    my @usher = $self->{usher} ? @{ $self->{usher} } : Usher::Env::usher_beside(@{ $self->{modules} });
    my $usher = @usher ? Usher::Env::load_usher(@usher) : '';
    my $modules = Usher::Env::load_modules("mpm_$self->{mpm}", 'authz_core', @{ $self->{modules} });

    # With the worker MPM a thread waits for so long, also at a stop.
    my $kept = $self->{mpm} eq 'worker' ? 5 : 5 * patience;
    # Nothing of another test's, or of this machine's.
    my $state = $usher =~ /LoadModule usher_module / ? "UsherStateDir $root/state\n" : '';

    $text =~ s/\@PORT\@/$self->{port}/g;
    $text =~ s/\@ROOT\@/$root/g;
    $text =~ s/\@HTDOCS\@/$root\/htdocs/g;
    return <<"EOT" . $text;
ServerRoot $root
DefaultRuntimeDir logs
PidFile logs/httpd.pid
ErrorLog logs/error_log
LogLevel $self->{loglevel}
$modules$usher
$state${user}ServerName localhost:$self->{port}
Listen 127.0.0.1:$self->{port}
DocumentRoot $root/htdocs
GracefulShutdownTimeout 5
KeepAlive On
KeepAliveTimeout $kept
EOT
}

# configtest: (exit code, what it printed)
sub configtest {
    my ($self) = @_;
    local %ENV = $self->_env;
    my $out = qx($ENV{USHER_HTTPD} -f $self->{root}/httpd.conf -t 2>&1);

    return ($? >> 8, $out);
}

sub _env {
    my ($self) = @_;

    return (%ENV, USHER_HTTPD_PRELOAD => $self->{preload} // '', %{ $self->{env} // {} });
}

# Starts httpd and waits until it serves; false where it ended instead.
sub start {
    my ($self) = @_;
    my $before = $self->_served;
    my $pid = fork // die "fork: $!";

    if (!$pid) {
        # A group of its own: the prefork MPM signals its whole group.
        setpgrp;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{root}/logs/console";
        open STDERR, '>&', \*STDOUT;
        %ENV = $self->_env;
        exec $ENV{USHER_HTTPD}, '-f', "$self->{root}/httpd.conf", '-D', 'FOREGROUND', @{ $self->{args} }
            or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    # With -X httpd does not say that it serves.
    my $served = wait_until {
        !$self->running || $self->_served > $before || (@{ $self->{args} } && port_answers($self->{port}));
    } 60;
    return $self->running && $served;
}

# How often httpd said that it is serving (once per start and restart).
sub _served {
    my ($self) = @_;

    open my $fh, '<', $self->error_log or return 0;
    return scalar grep { /resuming normal operations/ } <$fh>;
}

# What httpd printed before its log was open.
sub console {
    my ($self) = @_;

    open my $fh, '<', "$self->{root}/logs/console" or return '';
    local $/;
    return scalar <$fh> // '';
}

# graceful() and restart() return when the new generation serves, and no other takes new
# connections.
sub graceful { $_[0]->_again('USR1') }
sub restart  { $_[0]->_again('HUP') }

sub _again {
    my ($self, $signal) = @_;
    my $before = $self->_served;

    $self->_settle if $signal eq 'HUP';

    my @old = $self->children;
    kill $signal, $self->{pid};
    wait_until { !$self->running || $self->_served > $before } 60;
    wait_until { !_listening(@old) } 3;
    return $self->running;
}

# Those of these processes that have a socket to which one can connect.
sub _listening {
    my @pids = @_;
    my %listens;

    for my $file (qw(/proc/net/tcp /proc/net/tcp6)) {
        open my $fh, '<', $file or next;
        for (map { [split] } <$fh>) { $listens{"socket:[$_->[9]]"} = 1 if $_->[3] eq '0A' }
    }
    return grep { grep { $listens{ readlink($_) // '' } } glob "/proc/$_/fd/*" } @pids;
}

# A child of the event MPM that is told to end at once goes over the sockets of
# its workers, and crashes now and then (without Usher too) when one of them is
# just closing its connection: a test that did not come to see that waits until
# no connection is left, and no worker has anything to do.
sub _settle {
    my ($self) = @_;
    my $address = sprintf '0100007F:%04X', $self->{port};

    wait_until {
        open my $fh, '<', '/proc/net/tcp' or return 1;
        # but those listening (0A) and over (06)
        !grep { (split)[1] eq $address && (split)[3] !~ /^0[A6]$/ } <$fh>;
    } 1;
    select undef, undef, undef, 0.05;
    wait_until { !$self->busy } 2;
    return;
}

sub stop {
    my ($self) = @_;

    $self->_settle if $self->running;
    return $self->SUPER::stop;
}

# One test: httpd was there until now, ended well, and logged only what was
# announced.
sub finish {
    my ($self, $name) = @_;
    my @wrong;

    push @wrong, 'httpd has ended by itself' unless $self->running;
    push @wrong, 'httpd did not stop when told to' unless $self->stop;
    push @wrong, "httpd ended with wait status $self->{status}" if $self->{status};
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $self->{log}->finish($name, @wrong);
}

1;
