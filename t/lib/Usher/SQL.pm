# A database of a test's own: a server that ends with the object, or a file.
package Usher::SQL;

use strict;
use warnings FATAL => 'all';

use parent 'Usher::Process';
use File::Path qw(make_path remove_tree);
use POSIX ();
use Test::More ();
use Usher::Env ();
use Usher::Wait;

my $count = 0;
my $password = 'usher-test';

# start(DRIVER): sqlite3, mysql or pgsql. Dies where the server does not answer; its output is
# shown then.
sub start {
    my ($class, $driver) = @_;
    my $root = sprintf '%s/t/work/sql-%s-%d-%d', Usher::Env::builddir(), $driver, $$, ++$count;
    my $self = bless { driver => $driver, root => $root, owner => $$, port => free_port() }, $class;

    remove_tree($root);
    make_path("$root/db");
    if ($> == 0) {
        chown +(getpwnam 'nobody')[2, 3], $root, "$root/db" or die "$root: $!";
    }
    $self->_write('console', '');
    $self->_write('params', $self->params);
    if ($driver ne 'sqlite3') {
        my $init = "_init_$driver";
        $self->$init;
        $self->launch;
        $self->wait_up or die "$driver, port $self->{port}, does not answer\n";
    }
    return $self;
}

sub driver { $_[0]{driver} }
sub port   { $_[0]{port} }
sub root   { $_[0]{root} }
# What UsherStore takes.
sub url    { "dbd:$_[0]{driver}:$_[0]{root}/params" }
sub console { "$_[0]{root}/console" }

# What stands in the file of parameters.
sub params {
    my ($self) = @_;

    return {
        sqlite3 => "$self->{root}/db/usher.sqlite",
        mysql => "host=127.0.0.1,port=$self->{port},user=usher,pass=$password,dbname=usher",
        pgsql => "host=127.0.0.1 port=$self->{port} user=usher password=$password dbname=postgres",
    }->{ $self->{driver} };
}

# One statement, by the database's own client: its output.
sub sql {
    my ($self, $sql) = @_;
    my @command = @{ {
        sqlite3 => ['sqlite3', '-cmd', '.timeout 60000', $self->params, $sql],
        mysql => ['mariadb', '--no-defaults', '-h127.0.0.1', "-P$self->{port}", '-uusher', "-p$password",
                  '-NBe', $sql, 'usher'],
        pgsql => ['psql', '-XAtqc', $sql, $self->params],
    }->{ $self->{driver} } };

    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        close $read;
        # A database that root had changed would be root's.
        _drop();
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $write;
        open STDERR, '>>', $self->console;
        _exec(@command);
    }
    close $write;
    my $out = do { local $/; <$read> } // '';
    waitpid $pid, 0;
    chomp $out;
    return $out;
}

# As the user that databases take: they refuse root.
sub _drop {
    return if $> != 0;
    my ($uid, $gid) = (getpwnam 'nobody')[2, 3];

    $) = "$gid $gid";
    POSIX::setgid($gid);
    POSIX::setuid($uid);
    return;
}

sub _exec {
    delete @ENV{qw(LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS), grep { /^(?:PG|MYSQL_|MARIADB_)/ } keys %ENV};
    # Debian has PostgreSQL's programs in a folder of each release.
    local $ENV{PATH} = join ':', (sort glob '/usr/lib/postgresql/*/bin'), $ENV{PATH}, '/usr/sbin';
    exec @_ or POSIX::_exit(127);
}

sub _write {
    my ($self, $name, $text) = @_;
    my $umask = umask 077;

    open my $fh, '>', "$self->{root}/$name" or die "$self->{root}/$name: $!";
    umask $umask;
    print $fh $text;
    close $fh;
    chown +(getpwnam 'nobody')[2, 3], "$self->{root}/$name" if $> == 0;
    return "$self->{root}/$name";
}

# Run something in the folder, its output in console; the pid.
sub _spawn {
    my ($self, @command) = @_;
    my $pid = fork // die "fork: $!";

    if (!$pid) {
        setpgrp;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $self->console;
        open STDERR, '>&', \*STDOUT;
        _drop();
        chdir $self->{root};
        # A MariaDB that starts removes all temporary tables there, another one's too.
        $ENV{TMPDIR} = $self->{root};
        _exec(@command);
    }
    return $pid;
}

sub _run {
    my ($self, @command) = @_;

    waitpid $self->_spawn(@command), 0;
    $? == 0 or $self->_show, die "$command[0] failed\n";
    return;
}

sub _show {
    my ($self) = @_;

    if (open my $fh, '<', $self->console) {
        my @lines = <$fh>;
        Test::More::diag(@lines > 30 ? @lines[-30 .. -1] : @lines);
    }
    return;
}

sub _init_mysql {
    my ($self) = @_;

    $self->_run('mariadb-install-db', '--no-defaults', "--datadir=$self->{root}/db", '--skip-test-db',
        '--auth-root-authentication-method=normal', '--innodb-log-file-size=4M');
    # Run at each start.
    $self->_write('init.sql', <<"EOT");
CREATE DATABASE IF NOT EXISTS usher;
CREATE USER IF NOT EXISTS usher\@127.0.0.1 IDENTIFIED BY '$password';
GRANT ALL ON usher.* TO usher\@127.0.0.1;
EOT
    return;
}

sub _init_pgsql {
    my ($self) = @_;

    $self->_run('initdb', '-D', "$self->{root}/db", '-U', 'usher', '--no-sync', '-A', 'scram-sha-256',
        '--pwfile=' . $self->_write('password', $password), '-E', 'UTF8', '--locale=C');
    return;
}

# Begin to start; wait_up() tells when it serves. What a killed server was told to keep it has
# without a sync, as the machine goes on.
sub launch {
    my ($self) = @_;
    my @command = @{ {
        mysql => ['mariadbd', '--no-defaults', "--datadir=$self->{root}/db", '--socket=socket',
                  '--bind-address=127.0.0.1', "--port=$self->{port}", '--skip-name-resolve',
                  '--skip-log-bin', '--innodb-buffer-pool-size=8M', '--innodb-log-file-size=4M',
                  '--innodb-flush-method=nosync', "--init-file=$self->{root}/init.sql"],
        pgsql => ['postgres', '-D', "$self->{root}/db", '-p', $self->{port}, '-h', '127.0.0.1', '-F',
                  '-c', 'unix_socket_directories=', '-c', 'log_statement=none'],
    }->{ $self->{driver} } };

    $self->{pid} = $self->_spawn(@command);
    return $self;
}

sub wait_up {
    my ($self, $limit) = @_;
    my $up = wait_until { !$self->running || $self->sql('SELECT 1') eq '1' } $limit // 60;

    $up &&= $self->running;
    $self->_show if !$up;
    return $up;
}

# Not even an answer, but its connections stay: until thaw().
sub freeze {
    my ($self) = @_;

    CORE::kill 'STOP', $self->{pid}, $self->children;
    return;
}

sub thaw {
    my ($self) = @_;

    CORE::kill 'CONT', $self->{pid}, $self->children;
    return;
}

1;
