# usherctl keys: a key file through its life. Each change is there as a whole or not at
# all, keeps what people wrote beside the keys, owner and mode, and prints no key.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use Test::More;
use Usher::Ctl;

my $dir = dirname(ctl_file('here', ''));
my $file = "$dir/keys";

sub slurp {
    my ($path) = @_;
    open my $fh, '<:raw', $path or return '';
    local $/;
    return scalar <$fh> // '';
}

sub mode { return sprintf '%04o', (stat $_[0])[2] & 07777 }
sub left { return [grep { /^keys\./ } map { s{.*/}{}r } glob "$dir/*"] }

# [id, key], in the file's order
sub keys_of { return [map { /^([0-9a-f]{8}) (\S{43})$/ ? [$1, $2] : () } split /\n/, slurp($_[0] // $file)] }
sub ids { return join ' ', map { $_->[0] } @{ keys_of(@_) } }

my %seen; # all keys ever made
my $said = '';

sub done {
    my ($name, @args) = @_;
    my ($code, $out, $err) = usherctl('keys', @args);

    $said .= $out . $err;
    $seen{ $_->[1] } = 1 for @{ keys_of() };
    ok $code == 0 && $err eq '', $name or diag $err;
    return $out;
}

sub fails {
    my ($name, $says, @args) = @_;
    my $before = slurp($file);
    my ($code, $out, $err) = usherctl('keys', @args);

    $said .= $out . $err;
    is $code, 1, "$name: fails";
    is $out, '', "$name: nothing on standard output";
    like $err, $says, "$name: why";
    is slurp($file), $before, "$name: the file is as it was";
    return;
}

subtest 'create' => sub {
    umask 0;
    is done('a new one', 'create', $file), '', 'says nothing';
    is mode($file), '0600', 'for its owner alone, whatever the umask';
    is @{ keys_of() }, 1, 'with one key';
    fails('again', qr/keys: is there already: "usherctl keys rotate"/, 'create', $file);
    fails('in no folder', qr/cannot be written: No such file/, 'create', "$dir/none/keys");
    fails('for no group', qr/there is no group "no such group"/, 'create', '--group', 'no such group', "$dir/other");
    ok !-e "$dir/other", 'no file is left';
    my ($group, $gid) = (getgrgid((split ' ', $))[0]))[0, 2];
    done('for a group', 'create', "$dir/group", '--group', $group);
    is mode("$dir/group"), '0640', 'which may read it';
    is +(stat "$dir/group")[5], $gid, 'and is the one';
};

subtest 'several nodes: add, promote, remove' => sub {
    my $old = ids();
    done('add', 'add', $file);
    my ($first, $second) = split ' ', ids();
    is $first, $old, 'the old key still seals';
    is done('list', 'list', $file), "$first seals and opens\n$second opens\n", 'tells ids and what each is for';
    my $key = { map { @$_ } @{ keys_of() } };
    done('promote', 'promote', $file, uc $second);
    is ids(), "$second $first", 'the new key seals';
    is_deeply { map { @$_ } @{ keys_of() } }, $key, 'they are the same keys';
    done('promote the first', 'promote', $file, $second);
    is ids(), "$second $first", 'changes nothing';
    done('remove', 'remove', $file, $first);
    is ids(), $second, 'the old one is gone';
    fails('the last one', qr/this is its only key/, 'remove', $file, $second);
};

subtest 'one node: rotate' => sub {
    my $first = ids();
    done('rotate', 'rotate', $file);
    like ids(), qr/^\w{8} $first$/, 'a new key seals';
    done("rotate $_", 'rotate', $file) for 2 .. 4;
    is scalar(split ' ', ids()), 3, 'three are kept';
    unlike ids(), qr/$first/, 'the oldest is gone';
    my ($newest) = split ' ', ids();
    done('--keep 5', 'rotate', $file, '--keep', 5);
    is scalar(split ' ', ids()), 4, 'more';
    done('--keep 2', 'rotate', '-k', 2, $file);
    is scalar(split ' ', ids()), 2, 'fewer';
    done('--keep 1', 'rotate', $file, '--keep', 1);
    is scalar(split ' ', ids()), 1, 'the new one alone';
    is keys(%seen), 9, 'never the same key twice';
};

subtest 'what stands beside the keys' => sub {
    my ($key) = map { "@$_" } @{ keys_of() };
    my $text = "# of production\n\n  $key\r\n# the old one\n0000000a\tAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    open my $fh, '>', $file or die;
    print $fh $text;
    close $fh;
    chmod 0640, $file;
    symlink 'keys', "$dir/link" or die;
    done('promote over a link', 'promote', "$dir/link", '0000000a');
    is slurp($file), "# of production\n\n0000000a\tAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n  $key\r\n# the old one\n", 'only its line has moved';
    is mode($file), '0640', 'the mode stays';
    ok -l "$dir/link", 'and the link is one';
    is_deeply left(), [], 'no other file is left';
    if ($> == 0) {
        my ($uid, $gid) = (getpwnam 'nobody')[2, 3];
        chown $uid, $gid, $file;
        done('of another owner', 'add', $file);
        is_deeply [(stat $file)[4, 5]], [$uid, $gid], 'the owner stays';
        done('and back', 'remove', $file, (split ' ', ids())[-1]);
    }
};

subtest 'files that are none' => sub {
    my $key = 'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE';
    my %bad = (
        "0000000a $key\n0000000a $key\n" => qr/line 2: this id stands above already/,
        "\n$key\n" => qr/line 2: takes an id/,
        "0000000a ${key}x\n" => qr/line 1: the key is not 32 bytes long/,
        "# empty\n" => qr/has no key/,
        "# a\0b\n0000000a $key\n" => qr/zero bytes/,
        '# ' . 'x' x 20_000 . "\n0000000a $key\n" => qr/larger than 16384 bytes/,
        join('', map { sprintf "%08x %064x\n", $_, $_ } 1 .. 65) => qr/line 65: more than 64 keys/,
    );
    for my $text (sort keys %bad) {
        my $path = ctl_file('bad', $text);
        chmod 0600, $path;
        for my $verb (qw(list add rotate)) {
            my ($code, $out, $err) = usherctl('keys', $verb, $path);
            is $code, 1, "$verb: refused";
            like $err, $bad{$text}, 'and why';
            unlike $out . $err, qr/AQEB/, 'without the key';
            is slurp($path), $text, 'untouched';
        }
    }
    my $full = ctl_file('full', join '', map { sprintf "%08x %064x\n", $_, $_ } 1 .. 64);
    chmod 0600, $full;
    fails('a full one', qr/no room for one more key/, 'add', $full);
    chmod 0644, $full;
    fails('one that all can read', qr/is open to all users \(mode 0644\): chmod o= '.*full', and make new secrets/, 'list', $full);
    fails('none', qr/No such file/, 'list', "$dir/nothing");
    fails('a folder', qr/is no regular file/, 'list', $dir);
    fails('no such key', qr/has no key "1234567": "usherctl keys list"/, 'remove', $file, '1234567');
    fails('no such key either', qr/has no key "12345678"/, 'promote', $file, '12345678');
};

subtest 'wrong usage' => sub {
    for my $args ([], ['none'], ['list'], ['list', $file, 'x'], ['remove', $file], ['rotate', '--keep', 0, $file],
        ['rotate', '--keep', 65, $file], ['rotate', '--keep', 'x', $file], ['add', '--keep', 3, $file], ['list', '--what', $file]) {
        my ($code, $out, $err) = usherctl('keys', @$args);
        is $code, 2, "@$args";
        is $out, '', 'nothing on standard output';
        like $err, qr/usage: usherctl keys|--keep takes 1 to 64/, 'tells of the right one';
    }
    my ($code, $out) = usherctl(qw(keys --help));
    is $code, 0, '--help';
    like $out, qr/^usage: usherctl keys create/, 'is there';
};

unlike $said, qr/\Q$_\E/, 'no key was ever printed' for sort keys %seen;

done_testing;
