# The store in a database that two httpd share, each kind with a real one: both know the same, one
# change wins where two meet, and when the database is killed, frozen or put back, all that was
# acknowledged is there, httpd serves on, and both come to know the same again.
use strict;
use warnings FATAL => 'all';

use IO::Handle ();
use POSIX ();
use Test::More;
use Usher::CoreTest;
use Usher::SQL;
use Usher::Wait;

# On a slow machine much else runs meanwhile.
my $limit = 60;

sub put { return ask($_[0], "put=$_[1]") }
sub put_soon { return ask($_[0], "soon=$_[1]") }
sub is_up { return ask($_[0], 'store')->{up} }

# { k1 => [state, number, version] }
sub cells {
    my ($httpd) = @_;
    my $text = ask($httpd, 'cells')->{text} // '';

    return { map { my ($key, @cell) = split; ($key => [@cell[0 .. 2]]) } split /\n/, $text };
}

# { k1 => [state, number, version] } by the database itself
sub rows {
    my ($db) = @_;
    my $text = $db->sql("SELECT id, CASE WHEN value IS NULL THEN 2 ELSE 1 END, COALESCE(value, '0'), version "
            . "FROM usher_store WHERE kind = 'cell'");

    return { map { s/ +//gr =~ /^(k\d+)[\t|](\d)[\t|](\d+)[\t|](\d+)$/ ? ($1 => [$2, $3, $4]) : () } split /\n/, $text };
}

# One test: all know what the database has. A change that nobody waited for any longer may still
# be made.
sub all_same {
    my ($db, $name, @nodes) = @_;
    my $want;
    my $text = sub { my ($cells) = @_; join ' ', map { "$_=@{$cells->{$_}}" } sort keys %$cells };
    my ($differs) = ('');

    wait_until {
        $want = rows($db);
        ($differs) = grep { $text->(cells($_)) ne $text->($want) } @nodes;
        !$differs;
    } $limit;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok(!$differs, $name) || is_deeply(cells($differs), $want);
}

sub node {
    my ($db) = @_;

    return core_httpd("UsherTestStore\nUsherStore " . $db->url . "\n");
}

sub start {
    my (@nodes) = @_;

    for my $node (@nodes) {
        ok $node->start, 'starts' or diag $node->console;
    }
    return;
}

# In a process of its own, one change after another, of cells that a text with %d names, until the
# file is there: what became of each, { done => [[key, number, was]...] }. Another file, with
# ".done" behind its name, has a byte for each that was done.
sub writer {
    my ($httpd, $stop, $change) = @_;

    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        close $read;
        open my $done, '>', "$stop.done" or die "$stop.done: $!";
        for (my $n = 1; !-e $stop; ++$n) {
            my ($key, $number, @more) = $change->($n);
            my $answer = put_soon($httpd, join ',', $key, $number, @more);
            print $write join(' ', $answer->{result} // 'none', $key, $number, $answer->{was} // 0), "\n";
            $write->flush;
            syswrite $done, '.' if ($answer->{result} // '') eq 'done';
        }
        POSIX::_exit(0);
    }
    close $write;
    return { pid => $pid, from => $read };
}

sub written {
    my ($job) = @_;
    my %by;

    while (defined(my $line = readline $job->{from})) {
        my ($result, @what) = split ' ', $line;
        push @{ $by{$result} }, \@what;
    }
    waitpid $job->{pid}, 0;
    return \%by;
}

sub touch { open my $fh, '>', $_[0] or die "$_[0]: $!"; return }

sub basics {
    my ($db, $one, $two) = @_;

    is put($one, 'k1,5,0')->{result}, 'done', 'a new record';
    ok +(wait_until { cells($two)->{k1} } $limit), 'the other node hears of it';
    my $version = cells($two)->{k1}[2];
    is_deeply [@{ put($two, 'k1,6,0') }{qw(result version)}], ['conflict', $version], 'and cannot make it again';
    is put($two, "k1,6,$version")->{result}, 'done', 'but change it';
    is put($one, "k1,7,$version")->{result}, 'conflict', 'which the first one has not heard of';
    is cells($one)->{k1}[1], 6, 'and knows with the refusal';
    is put($one, 'k2,1,0;k3,1,0')->{result}, 'done', 'two together';
    is put($two, 'k4,1,0;k3,2,0')->{result}, 'conflict', 'or none';
    is put($one, 'k5,1,0,4096')->{result}, 'done', 'a long one';
    is put($one, 'k2,-')->{result}, 'done', 'deleted';
    all_same($db, 'both know all of it, and no more', $one, $two);
    is put($two, 'k2,9,0')->{result}, 'conflict', 'what was deleted is not new for the other one';
    is put($two, 'k2,9')->{result}, 'done', 'but can come back';
    is put($one, 'k6,-,0,0,1')->{result}, 'done', 'a tombstone';
    return;
}

# Both write to the same records.
sub races {
    my ($db, $one, $two) = @_;
    my $stop = $db->root . '/raced';
    my @jobs = map {
        my $node = $_;
        writer($node, $stop, sub { ('k' . (10 + $_[0] % 3), $_[0]) })
    } $one, $two;

    ok +(wait_until { !grep { ask($_, 'store')->{changes} < 20 } $one, $two } $limit),
        'both nodes write to the same records';
    touch($stop);
    my @done = map { @{ written($_)->{done} // [] } } @jobs;
    my %over;
    ++$over{"$_->[0] $_->[2]"} for @done;
    is_deeply [grep { $over{$_} > 1 } keys %over], [], 'each version was replaced once';
    all_same($db, 'and they end with the same', $one, $two);
    return;
}

# Something happens to the database while the first node writes; the second one is there.
sub amid_writes {
    my ($db, $one, $two, $from, $happens) = @_;
    my $stop = $db->root . "/amid$from";
    my $job = writer($one, $stop, sub { ('k' . ($from + $_[0]), $_[0], 0) });

    wait_until { (-s "$stop.done" // 0) > 5 } $limit;
    $happens->();
    touch($stop);
    my $by = written($job);
    my $rows = rows($db);
    cmp_ok scalar @{ $by->{done} // [] }, '>', 3, 'changes were made';
    is_deeply [grep { !$rows->{ $_->[0] } || $rows->{ $_->[0] }[1] != $_->[1] } @{ $by->{done} }], [],
        'and all that were acknowledged are there';
    all_same($db, 'both nodes know what is there', $one, $two);
    return;
}

sub wait_up {
    my (@nodes) = @_;

    return !grep { my $node = $_; !wait_until { is_up($node) } $limit } @nodes;
}

sub killed {
    my ($db, $one, $two) = @_;

    $_->log->expect(qr/USHER1080: store dbd:\w+: the database cannot be used/, qr/USHER1064/) for $one, $two;
    amid_writes($db, $one, $two, 100, sub {
        $db->kill;
        ok +(wait_until { !is_up($one) && !is_up($two) } $limit), 'killed: both nodes see it';
        is put($two, 'k99,1,0')->{result}, 'down', 'changes are refused';
        is cells($one)->{k1}[0], 1, 'what is known stays known';
        ok $db->launch->wait_up, 'it comes back';
        ok wait_up($one, $two), 'both nodes find it';
        is put($two, 'k99,1,0')->{result}, 'done', 'changes are made';
    });
    for my $node ($one, $two) {
        ok $node->log->wait_for(qr/USHER1081: store dbd:\w+: the database is there again after \d/), 'the log says for how long';
        is scalar(grep { /USHER1080/ } $node->log->lines), 1, 'and said once that it was away';
    }
    return;
}

sub frozen {
    my ($db, $one, $two) = @_;

    # How long it takes differs: it may be seen to hang, or not.
    $_->log->tolerate(qr/USHER10(?:64|67|80|82)/) for $one, $two;
    amid_writes($db, $one, $two, 300, sub {
        $db->freeze;
        is put_soon($two, 'k98,1,0')->{result}, 'down', 'frozen: who waits is told in time';
        is cells($two)->{k1}[0], 1, 'and the node serves on';
        if ($ENV{USHER_LONG}) {
            ok $_->log->wait_for(qr/USHER1082/, $limit), 'for long: the connection is given up' for $one, $two;
        }
        $db->thaw;
        ok +(wait_until { put($one, 'k97,1')->{result} eq 'done' } $limit), 'goes on when the database does';
    });
    return;
}

# What comes from outside: changes past Usher, what is no record, other tables.
sub tampered {
    my ($db, $one, $two) = @_;
    my $layout = 'UPDATE usher_store_state SET layout';

    $_->log->expect(qr/USHER1083/) for $one, $two;
    # Said at most once a minute, and then a kill was said just now.
    my @down = (qr/USHER1080: .* tables are of another release/, qr/USHER1064/);
    $_->log->tolerate(@down) for $one, $two;
    $db->sql("INSERT INTO usher_store (kind, id, version, value, gone_at, writer, changed) VALUES ('A b', 'x', 1, 'x', 0, 0, 1)");
    $db->sql("UPDATE usher_store SET value = '77', version = version + 1 WHERE id = 'k1'");
    $db->sql('UPDATE usher_store_state SET changed = 1');
    ok $_->log->wait_for(qr/USHER1084: .* has gone back/, $limit), 'a database that went back is seen' for $one, $two;
    all_same($db, 'and read anew, but for what is no record', $one, $two);
    is cells($one)->{k1}[1], 77, 'also what was changed by hand';
    $db->sql("$layout = 2");
    ok +(wait_until { !is_up($one) && !is_up($two) } $limit), 'tables of another release are let be';
    $db->sql("$layout = 1");
    ok wait_up($one, $two), 'until they are ours';
    return;
}

# A node is killed, and knows all when it starts, whatever was changed meanwhile.
sub restarted {
    my ($db, $one, $two) = @_;

    $two->log->tolerate(qr/AH00098/); # its pid file is still there
    $two->kill;
    is put($one, 'k1,-')->{result}, 'done', 'a node is away while a record is deleted';
    is put($one, 'k96,3,0')->{result}, 'done', 'and one made';
    start($two);
    is cells($two)->{k1}[0], 2, 'it knows the deletion at once';
    is_deeply cells($two)->{k96}[1], 3, 'and what is new';
    ok $two->graceful, 'a graceful restart';
    is put($two, 'k96,4')->{result}, 'done', 'and its children write';
    all_same($db, 'both know the same', $one, $two);
    return;
}

# The database is not there when httpd starts.
sub late {
    my ($db, $node) = @_;

    $db->stop;
    $node->log->expect(qr/USHER1080/, qr/USHER1064/);
    start($node);
    ok +(wait_until { !is_up($node) } $limit), 'starts without its database';
    ok $db->launch->wait_up, 'the database comes';
    ok wait_up($node), 'is found';
    is put($node, 'k1,5,0')->{result}, 'done', 'and used';
    $db->freeze;
    $node->stop;
    start($node);
    is_deeply cells($node), {}, 'nor waits long for one that is frozen, and knows nothing';
    $db->thaw;
    all_same($db, 'and hears it later', $node);
    return;
}

sub database {
    my ($driver) = @_;
    my $db = Usher::SQL->start($driver);
    my ($one, $two) = map { node($db) } 1, 2;

    start($one, $two);
    ok wait_up($one, $two), 'both make its tables, or find them';
    is sprintf('%o', (stat $db->params)[2] & 0777), 600, 'a file that nobody else can read' if $driver eq 'sqlite3';
    basics($db, $one, $two);
    races($db, $one, $two);
    if ($driver ne 'sqlite3') {
        killed($db, $one, $two);
        frozen($db, $one, $two);
    }
    tampered($db, $one, $two);
    restarted($db, $one, $two);
    $one->finish('the first node has said no more than it should');
    $two->finish('nor has the second one');
    return;
}

# The databases together, each in a process of its own, as they wait most of the time.
my $owner = $$;
my @jobs;

for my $job (['sqlite3', \&database], ['mysql', \&database], ['pgsql', \&database],
    ['a database that is not there', sub {
        my $db = Usher::SQL->start('pgsql');
        my $node = node($db);
        late($db, $node);
        $node->finish;
    }]) {
    my ($name, $code) = @$job;
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        close $read;
        my $builder = Test::More->builder;
        $builder->$_($write) for qw(output failure_output todo_output);
        $write->autoflush(1);
        my $passed = subtest $name => sub { $code->($name) };
        POSIX::_exit($passed ? 0 : 1);
    }
    close $write;
    push @jobs, { pid => $pid, name => $name, from => $read };
}

END { kill TERM => map { $_->{pid} } @jobs if $$ == $owner }

while (my $job = $jobs[0]) {
    my $said = do { local $/; readline $job->{from} } // '';

    waitpid $job->{pid}, 0;
    my $status = $?;
    shift @jobs;
    ok($status == 0 && $said !~ /^\s*not ok/m, $job->{name}) ? note($said) : diag($said);
}

subtest 'what configtest refuses' => sub {
    my $httpd = core_httpd('');
    my $file = $httpd->root . '/params';
    my $test = sub {
        my ($store, $params, $reason, $mode) = @_;

        unlink $file;
        if (defined $params) {
            open my $fh, '>', $file or die "$file: $!";
            print $fh $params;
            close $fh;
            chmod $mode // 0600, $file;
        }
        $httpd->conf(core_conf("UsherTestStore\nUsherStore $store\n"));
        my ($code, $out) = $httpd->configtest;
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        like $out, $reason, "refused: $store, " . ($params // 'no file') =~ s/\n/\\n/gr;
        isnt $code, 0, 'for that';
        unlike $out, qr/geheim/, 'no secret is shown';
    };

    $test->('dbd:oracle:params', '', qr/"oracle" is no database that Usher knows: sqlite3, mysql or pgsql/);
    $test->('dbd:pgsql', '', qr/names no file with the database's parameters: dbd:pgsql:/);
    $test->('dbd:pgsql:params', undef, qr/params": /);
    $test->('dbd:pgsql:params', 'host=x password=geheim', qr/is open to all users/, 0644);
    $test->('dbd:pgsql:params', "# nothing\n", qr/is empty/);
    $test->('dbd:pgsql:params', "password = 'geheim", qr/is not understood by libpq/);
    $test->('dbd:mysql:params', 'host=x,password=geheim,dbname=y', qr/must consist of key=value with the keys host/);
    $test->('dbd:mysql:params', 'host=x,pass=geheim', qr/must name the database: dbname=/);
    $test->('dbd:sqlite3:params', 'geheim', qr/path of the database, which begins with/);
};

done_testing;
