# Leases and drains: what time does to members, and that no clock, no restart and no fault of the
# store ends a lease that heartbeats could have kept.
use strict;
use warnings FATAL => 'all';

use POSIX qw(strftime);
use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Env ();
use Usher::HTTP1;
use Usher::RegisterTest;
use Usher::SQL;
use Usher::Wait;

my ($a, $b) = backends(qw(a b));
my ($A, $B) = map { $_->url } $a, $b;

sub code { return Usher::Signed::code(@_) }

subtest 'a lease ends, a drain ends' => sub {
    my $httpd = register_httpd("UsherStore none\nUsherRegisterLease min=1s default=10m\nUsherRegisterDrain 1h\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my ($one, $boss) = map { signer($httpd, $_) } qw(one boss);

    is code($one->put('app', 'a', { url => $A })), '', 'one with a lease of ten minutes';
    is code($one->put('app', 'b', { url => $B, lease => 1 })), '', 'one with a lease of 1 s';
    ok state_is($one, 'b', 'draining'), 'drains when it is over';
    ok $httpd->log->wait_for(qr{usher-register: app/b has sent no heartbeat for 1s: it drains for 1h}), 'and the log says so';
    cmp_ok $one->show('app', 'b')->{json}{drain_in}, '>', 3500, 'for as long as it is configured';
    my $late = $one->heartbeat('app', 'b');
    is "$late->{status} " . code($late), '409 wrong-state', 'a heartbeat comes too late';
    is $one->put('app', 'b', { url => $B })->{json}{state} =~ /^(?:checking|up)$/ ? 'back' : '', 'back', 'PUT brings it back';
    ok state_is($one, 'b', 'up'), 'and it serves';

    my $left = sub { $one->show('app', 'a')->{json}{expires_in} };
    ok wait_until(sub { $left->() < 599 }, 30), 'a lease grows shorter';
    ok wait_until(sub { $one->heartbeat('app', 'a')->{json}{expires_in} == 600 }), 'and is whole after a heartbeat';
    my $version = $one->put('app', 'c', { url => $A, lease => 4 * patience })->{json}{version};
    ok wait_until(sub { ($one->heartbeat('app', 'c')->{json}{version} // 0) > $version }, 30), 'the store would be told of heartbeats, not of each';
    is code($boss->drain('app', 'b', { deadline => 1 })), '', 'one drains for 1 s';
    ok wait_until(sub { code($one->show('app', 'b')) eq 'unknown-member' }, 30), 'and is removed then';
    ok $httpd->log->wait_for(qr{usher-register: app/b is removed: its drain is over}), 'as the log says';
    is code($one->put('app', 'b', { url => $B })), '', 'it may come again';
    is state_of($one, 'a'), 'up', 'and the first has been up all the time';
    my $count = sub { $boss->call('GET', '/')->{json}{counts}{ $_[0] } };
    ok wait_until(sub { $count->('expired') >= 1 }), 'counted: leases that ended';
    ok wait_until(sub { $count->('removed') >= 1 }), 'and drains';
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

subtest 'after a start' => sub {
    my $httpd = register_httpd("UsherRegisterLease min=1s default=2s\nUsherRegisterDrain 1s\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my ($one, $boss) = map { signer($httpd, $_) } qw(one boss);

    is code($one->put('app', 'a', { url => $A, lease => '1h' })), '', 'one with a long lease';
    is code($one->put('app', 'b', { url => $B, lease => 20 })), '', 'one with a short lease';
    ok $httpd->stop && $httpd->start, 'a stop and a start';
    my $from = time;
    cmp_ok $one->show('app', 'b')->{json}{expires_in} // 0, '>', 30, 'the short one has a minute';
    cmp_ok $one->show('app', 'a')->{json}{expires_in} // 0, '>', 3500, 'the long one its own';
    is code($one->put('app', 'c', { url => $B })), '', 'one that comes later';
    ok wait_until(sub { code($one->show('app', 'c')) eq 'unknown-member' }, 30), 'has just its own lease: drains, and is removed';
    # Else the machine stood still, and its minute is over as well.
    like state_of($one, 'b'), qr/^(?:checking|up)$/, 'the one that was there has not' if time - $from < 40;
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

subtest 'while the store is down' => sub {
    my $httpd = register_httpd("UsherRegisterLease min=1s default=1h\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my ($one, $boss) = map { signer($httpd, $_) } qw(one boss);
    my $file = $httpd->root . '/state/store.journal';
    my $is = sub { (eval { $boss->call('GET', '/') } // {})->{json}{store}{up} ? 'up' : 'down' };

    is code($one->put('app', 'a', { url => $A })), '', 'one with a long lease';
    is code($one->put('app', 'b', { url => $B, lease => 3 * patience })), '', 'one with a short lease';
    rename $file, "$file.away" or die "$file: $!";
    mkdir $file or die "$file: $!";
    my @old = $httpd->children;
    kill KILL => @old; # who has it open goes on
    ok wait_until(sub { $is->() eq 'down' }, 30), 'the store is down';
    # One that is killed may take a connection with it.
    wait_until(sub { !grep { kill 0, $_ } @old });
    my $put = $one->put('app', 'c', { url => $A });
    is +($put->{status} // $put->{end}) . ' ' . code($put), '503 store-down', 'nobody can sign in';
    cmp_ok http_value($put->{headers}, 'Retry-After') // 0, '>', 0, 'but later';
    is code($one->$_('app', 'a')), 'store-down', "nor $_" for qw(drain remove);
    is code($one->put('app', 'a', { url => $A })), '', 'what changes nothing goes well';
    is code($one->heartbeat('app', 'a')), '', 'heartbeats do';
    is code($one->list), '', 'and lists';
    ok wait_until(sub { $one->show('app', 'b')->{json}{expires_in} == 0 }, 30), 'a lease is over';
    rmdir $file or die "$file: $!";
    rename "$file.away", $file or die "$file: $!";
    ok wait_until(sub { $is->() eq 'up' }, 30), 'the store is back';
    ok !wait_until(sub { state_of($one, 'b') eq 'draining' }, 2.5), 'whose lease was over has time for a heartbeat';
    is code($one->heartbeat('app', 'b')), '', 'which is accepted';
    is code($one->put('app', 'c', { url => $A })), '', 'and others can sign in';
    $httpd->log->tolerate(qr/USHER10[67]|exit signal Killed|AH1039[23]/);
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

subtest 'the wall clock jumps' => sub {
    my $httpd = register_httpd("UsherRegisterLease min=1s default=20s\nUsherRegisterDrain 20s\n",
        preload => Usher::Env::builddir() . '/.libs/ushertestclock.so');
    my $clock = $httpd->root . '/clock';
    $httpd->{env} = { USHERTEST_CLOCK => $clock };
    ok $httpd->start, 'starts' or diag $httpd->console;
    my ($one, $boss) = map { signer($httpd, $_) } qw(one boss);

    is code($one->put('app', 'a', { url => $A, lease => 600 })), '', 'a member';
    is code($one->put('app', 'b', { url => $B, lease => 600 })), '', 'another one';
    is code($one->drain('app', 'b', { deadline => 600 })), '', 'that drains';
    for my $jump (86400, -86400) {
        open my $fh, '>', "$clock.new" or die $!;
        print $fh "$jump\n";
        close $fh;
        rename "$clock.new", $clock or die $!;
        my $later = sub { (created => time + $jump) };
        is code($one->show('app', 'a')), 'stale', "$jump s: signatures of the other time do not do";
        is code($one->put('app', 'canary', { url => $B, lease => 1 }, $later->())), '', 'a new one' if $jump > 0;
        ok wait_until(sub { ($one->show('app', 'canary', $later->())->{json}{state} // '') eq 'draining' }, 30), 'leases are looked at' if $jump > 0;
        my ($first, $second) = map { $one->show('app', $_, $later->())->{json} } qw(a b);
        like $first->{state}, qr/^(?:checking|up)$/, 'nobody has lost his lease';
        cmp_ok $first->{expires_in}, '>', 400, 'nor a part of it';
        cmp_ok $first->{expires_in}, '<=', 600, 'nor got more';
        cmp_ok $second->{drain_in}, '>', 400, 'a drain goes on as it did';
        cmp_ok $second->{drain_in}, '<=', 600, 'not longer';
    }
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

# As it is when this node had lost the store, and the member told nobody else.
subtest 'another node says that a lease has ended' => sub {
    my $db = Usher::SQL->start('sqlite3');
    my $httpd = register_httpd('UsherStore ' . $db->url . "\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $one = signer($httpd, 'one');

    ok +(wait_until { code($one->put('app', 'a', { url => $A, lease => 600 })) eq '' } 30), 'a member';
    is code($one->heartbeat('app', 'a')), '', 'whose heartbeats come here';
    my $drain = '"drain":"left=600000000us utc=' . strftime('%Y-%m-%dT%H:%M:%S', gmtime) . '.000000+00:00 up=0us boot=","ended":true';
    $db->sql("UPDATE usher_store SET value = replace(value, '}', ',$drain}'), version = version + 1, writer = 1, changed = 1000000 WHERE id = 'app/a'");
    $db->sql('UPDATE usher_store_state SET changed = 1000000');
    ok state_is($one, 'a', 'draining'), 'drains, as the other node has it';
    my $late = $one->heartbeat('app', 'a');
    is "$late->{status} " . code($late), '409 wrong-state', 'its next heartbeat is told';
    like $one->put('app', 'a', { url => $A, lease => 600 })->{json}{state}, qr/^(?:checking|up)$/, 'so that it signs in again';
    is code($one->heartbeat('app', 'a')), '', 'and goes on';
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

subtest 'records that are none' => sub {
    my $db = Usher::SQL->start('sqlite3');
    my $httpd = register_httpd('UsherStore ' . $db->url . "\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $one = signer($httpd, 'one');

    ok +(wait_until { code($one->put('app', 'a', { url => $A, lease => 600 })) eq '' } 30), 'a member';
    $db->sql('INSERT INTO usher_store (kind, id, version, value, gone_at, writer, changed) VALUES '
        . join ',', map { "('member', 'app/bad$_', 5, '{}', 0, 1, 1000000)" } 1 .. 100);
    $db->sql(q{INSERT INTO usher_store (kind, id, version, value, gone_at, writer, changed) SELECT kind, 'app/last', version + 1, value, 0, 1, 1000000 FROM usher_store WHERE id = 'app/a'});
    $db->sql('UPDATE usher_store_state SET changed = 1000000');
    ok +(wait_until { code($one->show('app', 'last')) eq '' } 30), 'written by somebody else, among records that are no members: is taken';
    is code($one->show('app', 'bad1')), 'unknown-member', 'those are not';
    is code($one->remove('app', 'never')), '', 'one that never was is removed';
    my $left = $db->sql("SELECT gone_at / 1000 - strftime('%s', 'now') FROM usher_store WHERE id = 'app/never'");
    like $left, qr/^-?\d+\s*$/, 'which is kept';
    cmp_ok $left, '<', 3600, 'but not for long';
    is code($one->remove('app', 'a')), '', 'one that was';
    cmp_ok $db->sql("SELECT gone_at / 1000 - strftime('%s', 'now') FROM usher_store WHERE id = 'app/a'"), '>', 86400, 'for longer than any lease';
    my @said = grep { /USHER6020/ } $httpd->log->lines;
    like $said[0], qr/the store has a member "app\/bad\d+" that no Usher of this release has written/, 'the log says so';
    cmp_ok scalar(@said), '<=', 20, 'and ends to do so';
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

done_testing;
