# A program in the foreground that the benchmarks started: nginx, haproxy.
# Its folder is removed with the object.
package Usher::Bench::Daemon;

use strict;
use warnings FATAL => 'all';

use parent 'Usher::Process';
use File::Path qw(make_path remove_tree);
use POSIX ();
use Usher::Env ();
use Usher::Wait;

my $count = 0;

$ENV{PATH} .= ':/usr/local/sbin:/usr/sbin';

# Whether a program is there.
sub found {
    my ($program) = @_;

    return grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

# new(name => ..., files => { name => text }): makes its folder; in the texts
# @ROOT@ is that folder.
sub new {
    my ($class, %opt) = @_;
    my $root = sprintf '%s/t/work/bench-%s-%d-%d', Usher::Env::builddir(), $opt{name}, $$, ++$count;
    my $self = bless { %opt, grouped => 1, root => $root, owner => $$ }, $class;

    remove_tree($root);
    make_path($root);
    chmod 0755, $root;
    for my $name (sort keys %{ $opt{files} }) {
        open my $fh, '>', "$root/$name" or die "$root/$name: $!";
        print $fh $opt{files}{$name} =~ s/\@ROOT\@/$root/gr;
        close $fh or die "$root/$name: $!";
    }
    return $self;
}

sub root { $_[0]{root} }

# Starts the command, and waits until the port answers; dies where it does not.
# It ends with this process, however that ends.
sub start {
    my ($self, $port, @command) = @_;
    my $pid = fork // die "fork: $!";

    if (!$pid) {
        setpgrp;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{root}/console";
        open STDERR, '>&', \*STDOUT;
        exec 'setpriv', '--pdeathsig', 'TERM', '--', map { s/\@ROOT\@/$self->{root}/gr } @command
            or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    wait_until { !$self->running || port_answers($port) } 30;
    return $self if $self->running && port_answers($port);
    open my $fh, '<', "$self->{root}/console";
    die "$self->{name} does not answer:\n", <$fh>;
}

# An nginx of one process does not notice a signal that comes between its look for
# one and its wait for events, for which a valgrind leaves much time: told again.
sub stop {
    my ($self) = @_;

    for (1 .. 10) {
        return 1 unless $self->running;
        kill 'TERM', $self->{pid};
        return 1 if wait_until { !$self->running } 1;
    }
    return $self->SUPER::stop;
}

1;
