# Files of data that all children read in one copy: a new one is taken without a restart, and
# whatever happens to the file, or to a child, nobody ever reads half of one, or nothing.
use strict;
use warnings FATAL => 'all';

use File::Temp ();
use Test::More;
use Usher::CoreTest;
use Usher::Env ();
use Usher::Wait;

my $size = 200_000;
my $dir = File::Temp->newdir;
chmod 0755, $dir;
my $file = "$dir/data";

sub content { return 'good' . $_[0] x $size }

# Another file takes its place.
sub deliver {
    my ($bytes, $mode) = @_;

    open my $fh, '>:raw', "$file.new" or die "$file.new: $!";
    print $fh $bytes;
    chmod $mode // 0644, "$file.new";
    close $fh or die "$file.new: $!";
    rename "$file.new", $file or die "$file: $!";
    return;
}

# The file itself is written anew, in pieces.
sub overwrite {
    my ($bytes) = @_;

    open my $fh, '+<:raw', $file or die "$file: $!";
    truncate $fh, 0;
    $fh->autoflush(1);
    print $fh substr($bytes, $_ * 20_000, 20_000) for 0 .. length($bytes) / 20_000;
    close $fh or die "$file: $!";
    return;
}

my $disk = File::Temp->newdir;
chmod 0755, $disk;
local $ENV{USHERTEST_DISK} = "$disk";
my $httpd = core_httpd("UsherTestImage $file\n", preload => Usher::Env::builddir() . '/.libs/ushertestdisk.so');

sub put { open my $fh, '>', $_[0] or die "$_[0]: $!"; close $fh; return }

# All children agree: at least three of them, and nobody says otherwise.
sub all_say {
    my ($right, $name) = @_;
    my ($last, %pids);

    my $ok = wait_until {
        $last = ask($httpd, 'image');
        %pids = () unless $right->($last);
        ++$pids{ $last->{pid} } if $right->($last);
        3 <= grep { $_ > 1 } values %pids;
    } 40;
    return ok($ok, $name) || diag $last->{text};
}

sub all_read {
    my ($letter, $name) = @_;

    return all_say(sub { ($_[0]{is} // 0) == ord $letter && $_[0]{text} =~ /^wrong: \.$/m }, $name);
}

# Of children that are killed, some in the middle of a change.
$httpd->log->tolerate(qr/USHER1018|AH1039[23]: children are killed successively/);

sub lines { return scalar grep { /$_[0]/ } $httpd->log->lines }

sub ticker { return ask($httpd, 'ticks')->{last_pid} }

ok $httpd->start, 'starts without the file' or diag $httpd->console;
all_say(sub { ($_[0]{there} // 1) == 0 && $_[0]{text} =~ /^wrong: cannot be opened: No such file/m },
        'all know that there is none');
like ask($httpd, 'image')->{text}, qr/^error: cannot be opened: No such file/m, 'its module was told';

deliver(content('a'));
all_read('a', 'the file has come: all read it');

subtest 'new files, while it is read' => sub {
    my @readers = map { background($httpd, 'reads=e', 130) } 1 .. 3;
    ok((wait_until { (ask($httpd, 'image')->{readers} // 0) == 3 } 40), 'three read it');
    $httpd->log->tolerate(qr/USHER1089.*not good/);
    deliver(content('b'));
    all_read('b', 'renamed over it');
    overwrite(content('e'));
    all_read('e', 'written in place');
    for my $answer (map { answer_of($_) } @readers) {
        cmp_ok $answer->{reads}, '>', 10, 'it was read';
        is $answer->{torn}, 0, 'never half of one';
        is $answer->{none}, 0, 'never nothing';
        cmp_ok $answer->{changes}, '>', 1, 'the reader saw another one';
    }
};

subtest 'a bad one' => sub {
    my $before = lines(qr/USHER1089/);
    $httpd->log->tolerate(qr/USHER1089/);
    deliver('bad');
    all_say(sub { ($_[0]{is} // 0) == ord 'e' && $_[0]{text} =~ /^wrong: its first byte is 98/m },
            'the old one stays, and all know why');
    is lines(qr/USHER1089/), $before + 1, 'one warning';
    ok kill('KILL', ticker()), 'the child is killed that had read it';
    my $now = wait_until { my $t = ask($httpd, 'ticks'); ($t->{ticks} // 0) > 0 && $t };
    wait_until { (ask($httpd, 'ticks')->{ticks} // 0) > $now->{ticks} + 3 } 30;
    is lines(qr/USHER1089/), $before + 1, 'its heir does not say it again';
    all_say(sub { ($_[0]{is} // 0) == ord 'e' && $_[0]{text} =~ /^wrong: its first byte is 98/m },
            'who takes its place knows it, too');
};

subtest 'children are killed all the time' => sub {
    for my $letter ($ENV{USHER_LONG} ? ('g' .. 'z', 'j') : 'j') {
        deliver(content($letter));
        for (1 .. 3) {
            my $pid = ticker() || next;
            kill KILL => $pid;
            select undef, undef, undef, rand 0.5;
        }
        all_read($letter, "$letter came through");
    }
};

# It takes some ten seconds until it is tried again.
subtest 'it is no fault of the file' => sub {
    put("$disk/torn");
    deliver(content('x'));
    ok $httpd->log->wait_for(qr/USHER1089.*cannot be read: Input\/output error/, 40), 'its disk has failed';
    all_say(sub { $_[0]{is} == ord 'j' && $_[0]{text} =~ /^wrong: cannot be read/m }, 'all know why the old one stays');
    unlink "$disk/torn" or die "$disk/torn: $!";
    all_read('x', 'it is taken when that is over');
    is lines(qr/USHER1089.*cannot be read/), 1, 'one warning';
    deliver(content('j'));
    all_read('j', 'as others are');
} if $ENV{USHER_LONG};

subtest 'restarts' => sub {
    my $number = lines(qr/USHER1088/);
    ok $httpd->graceful, 'with what the children have made';
    all_read('j', 'it is there');
    $httpd->log->tolerate(qr/USHER1090/);
    deliver('bad');
    ok $httpd->graceful, 'with a bad file';
    all_say(sub { ($_[0]{is} // 0) == ord 'j' && $_[0]{text} =~ /^wrong: its first byte is 98/m }, 'the old one stays');
    like ask($httpd, 'image')->{text}, qr/^error: \.$/m, 'which is no error';
    is lines(qr/USHER1090/), 1, 'one warning';
    unlink $file;
    ok $httpd->graceful, 'without it';
    all_say(sub { ($_[0]{is} // 0) == ord 'j' }, 'the same');
    deliver(content('k'));
    ok $httpd->graceful, 'with a new one';
    is ask($httpd, 'image')->{is}, ord 'k', 'it is taken at once';
    all_read('k', 'by all');
};

if (!$>) {
    subtest 'children may not read it' => sub {
        $httpd->log->tolerate(qr/USHER1089.*may not read it; it is taken at the next restart/);
        deliver(content('m'), 0600);
        all_say(sub { ($_[0]{is} // 0) == ord 'k' && $_[0]{text} =~ /^wrong: .*may not read it/m },
                'it is not taken, and they say why');
        ok $httpd->graceful, 'restart';
        all_read('m', 'it is taken');
        is ask($httpd, 'image')->{reread}, 0, 'known that it is so';
        ok lines(qr/USHER1091/), 'and said';
        like join('', $httpd->configtest), qr/USHER1091: .*may not read it: .*Let him read it/, 'by configtest, too, and what to do';
    };
}

$httpd->finish('only the announced in the log');
done_testing;
