# The roster: members that signed in are the same for all children, outlive restarts and
# another size, and writers that are killed; and a record of the registry that a process holds
# is nobody else's.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::CoreTest;
use Usher::Wait;

my $httpd = core_httpd("UsherMemory registry 64K\n");
ok $httpd->start, 'starts' or diag $httpd->console;

sub told { return ask($httpd, "$_[0]=$_[1]") }

sub wait_generation {
    my ($before) = @_;

    return wait_until { (ask($httpd, 'pid')->{generation} // -1) > $before };
}

subtest 'all children know the same' => sub {
    is told(get => 'app,a')->{none}, 1, 'nobody at first';
    my $changes = told(changes => 'app')->{changes};
    is told(enter => 'app,a,10')->{rv}, 'done', 'one signs in';
    is told(event => '')->{was}, 1, 'who makes the checks is told';
    my (%pids, $n);
    wait_until {
        my $is = told(get => 'app,a');
        $pids{ ask($httpd, 'pid')->{pid} } = 1;
        !is("$is->{version} $is->{whole}", '10 1', 'it is there') || ++$n >= 40 && keys %pids > 1;
    };
    cmp_ok scalar keys %pids, '>', 1, 'for several children';
    is told(enter => 'app,a,10')->{rv}, 'older', 'the same again changes nothing';
    is told(enter => 'app,a,9')->{rv}, 'older', 'nor does an older one';
    is told(changes => 'app')->{changes}, $changes + 1, 'one change';
    is told(renew => 'app,a,70,1000')->{rv}, 0, 'a heartbeat';
    is told(renew => 'app,a,80,999')->{rv}, -2, 'an older one is refused';
    is told(get => 'app,a')->{load}, 70, 'what it said';
    is told(changes => 'app')->{changes}, $changes + 1, 'that is no change';
    is told(event => '')->{was}, 0, 'nobody is told';
    is told(exit => 'app,a,10')->{rv}, 'none', 'a deletion that is not newer';
    is told(exit => 'app,a,11')->{rv}, 'done', 'one that is';
    is told(get => 'app,a')->{none}, 1, 'gone';
    is told(removed => 'app,a')->{version}, 11, 'and remembered';
    is told(renew => 'app,a,1,0')->{rv}, -1, 'it cannot renew its lease';
    is told(enter => 'app,a,11')->{rv}, 'older', 'nor come back with what is older';
    is told(enter => 'app,a,12')->{rv}, 'done', 'but with what is newer';
    is told(get => 'app,a')->{load}, -1, 'as another one';
};

subtest 'restarts and another size keep it' => sub {
    my $fd = told(event => '')->{fd};
    my $before = told(get => 'app,a');
    told(exit => 'app,gone,5');
    for my $conf ('', "UsherMemory roster 64K\n", "UsherMemory roster 16M\n") {
        my $generation = ask($httpd, 'pid')->{generation};
        $httpd->conf(core_conf("UsherMemory registry 64K\n$conf"));
        ok $httpd->graceful, $conf || 'graceful';
        wait_generation($generation);
        my $now = told(get => 'app,a');
        is_deeply [@$now{qw(version generation whole)}], [@$before{qw(version generation whole)}],
            'the member is the same';
        is told(removed => 'app,gone')->{version}, 5, 'what was removed is remembered';
        is told(event => '')->{fd}, $fd, 'the descriptor as well';
    }
    ok $httpd->log->wait_for(qr/USHER1010: memory "roster" was 64K of layout 1 and is 16M of layout 1: 1 records carried over, 0 dropped/),
        'the log says what came over';
    $httpd->conf(core_conf("UsherMemory registry 64K\nUsherMemory roster 64K\n"));
    my $generation = ask($httpd, 'pid')->{generation};
    $httpd->graceful;
    wait_generation($generation);
};

subtest 'full' => sub {
    my @answers = map { told(enter => "app,f$_,1")->{rv} } 1 .. 50;
    is $answers[10], 'done', 'there is room';
    is $answers[-1], 'full', 'until it is full';
    my $members = told(changes => 'app')->{members};
    is $members, 1 + grep({ $_ eq 'done' } @answers), 'all who were let in are there';
    is told(exit => 'app,f1,2')->{rv}, 'done', 'one goes';
    is told(enter => 'app,f50,1')->{rv}, 'done', 'another one comes';
    told(exit => "app,f$_,9") for 1 .. 50;
    is told(changes => 'app')->{members}, 1, 'they are gone';
};

subtest 'writers that are killed' => sub {
    $httpd->log->tolerate(qr/USHER1018|AH00052|AH1039[23]: children are killed successively/);
    my %version = map { $_ => 100 } 1 .. 3;
    my ($killed, $bad) = (0, 0);
    for my $round (1 .. 12) {
        my @writers = map { background($httpd, "enterdie=app,k$_,$version{$_}") } keys %version;
        for my $member (sort keys %version) {
            my $is = told(get => "app,k$member");
            ++$bad if ($is->{status} == 200 && !$is->{none})
                && (!$is->{whole} || $is->{version} < $version{$member});
        }
        $killed += (answer_of($_)->{status} // 0) == 599 for @writers;
        for my $member (sort keys %version) {
            my $is = told(get => "app,k$member");
            next if $is->{status} != 200 || $is->{none};
            ++$bad if !$is->{whole} || $is->{version} < $version{$member};
            $version{$member} = $is->{version};
        }
    }
    cmp_ok $killed, '>', 20, 'many were killed';
    is $bad, 0, 'no member is ever half of one version, or an older one';
    cmp_ok $version{1}, '>', 100, 'they wrote';
    is told(enter => "app,k$_,2000000000")->{rv}, 'done', 'all goes on' for 1 .. 3;
    is told(get => "app,k$_")->{whole}, 1, 'with whole members' for 1 .. 3;
};

subtest 'what a child may write there' => sub {
    for (1 .. 5) {
        is told(spoil => 50000)->{spoilt}, 1, 'garbage';
        is told($_->[0] => $_->[1])->{status}, 200, "$_->[0] answers"
            for [get => 'app,a'], [enter => 'app,a,2000000001'], [renew => 'app,a,1,1'],
                [removed => 'app,a'], [exit => 'app,a,2000000002'], [changes => 'app'];
    }
    $httpd->conf(core_conf("UsherMemory registry 64K\n"));
    my $generation = ask($httpd, 'pid')->{generation};
    ok $httpd->graceful, 'carried over by the parent';
    wait_generation($generation);
    is told(enter => 'app,after,2000000001')->{rv}, 'done', 'it serves';
};

subtest 'a record that a process holds' => sub {
    $httpd->log->expect(qr/USHER1027: registry: its 31 places are taken/);
    my $holder = told(keep => 'keeper');
    is $holder->{held}, 1, 'a child holds it';
    told(left => 'keeper');
    is ask($httpd, 'members=100')->{given}, 29, 'it has left, and is given to nobody';
    is ask($httpd, 'members=100')->{given}, 29, 'though there is no other room';
    my $again = told(keep => 'keeper');
    is $again->{generation}, $holder->{generation}, 'it may come back to it';
    $again->{pid} == $holder->{pid} or kill 'KILL', $again->{pid};
    told(left => 'keeper');
    kill 'KILL', $holder->{pid};
    ok wait_until { (ask($httpd, 'members=100')->{given} // 0) == 30 },
        'when the child is killed, it is given away';
    is told(keep => 'keeper')->{held}, 0, 'it has no record then';
    isnt ask($httpd, 'member=m30')->{generation}, $holder->{generation},
        'who got it has another generation';
};

$httpd->finish('only the announced in the log');

done_testing;
