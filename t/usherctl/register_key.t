# usherctl register-key: a line in the key file and two for the server, or nothing at all.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use MIME::Base64 qw(decode_base64);
use Test::More;
use Usher::Ctl;

my $dir = dirname(ctl_file('here', ''));
my $file = "$dir/register.keys";

sub slurp {
    my ($path) = @_;
    open my $fh, '<:raw', $path or return '';
    local $/;
    return scalar <$fh> // '';
}
sub mode { return sprintf '%04o', (stat $_[0])[2] & 07777 }
sub left { return [grep { /register[.]keys[.]/ } glob "$dir/*"] }

sub fails {
    my ($name, $says, @args) = @_;
    my $before = slurp($file);
    my ($code, $out, $err) = usherctl('register-key', @args);

    is $code, 1, "$name: fails";
    is $out, '', "$name: nothing on standard output";
    like $err, $says, "$name: why";
    is slurp($file), $before, "$name: the file is as it was";
    is_deeply left(), [], "$name: nothing is left";
    return;
}

umask 0;
my ($code, $out, $err) = usherctl('register-key', $file, 'tomcat1', 'tomcats');
is "$code$err", '0', 'a new file';
is mode($file), '0600', 'for its owner alone, whatever the umask';
like $out, qr{\AKEY_ID=tomcat1\nKEY=[A-Za-z0-9+/]{43}=\n\z}, 'the lines for the server';
my ($key) = $out =~ /KEY=(.*)/;
is length decode_base64($key), 32, '256 bits';
like slurp($file), qr/^tomcat1 \Q$key\E tomcats$/m, 'and that of the proxy';

chmod 0640, $file;
symlink 'register.keys', "$dir/link" or die;
my $before = slurp($file) . "# mine\n\n";
open my $fh, '>', $file or die;
print $fh $before;
close $fh;
my (undef, $second) = usherctl('register-key', "$dir/link", 'tomcat2', 'tomcats');
isnt $second =~ s/.*KEY=//sr, $out =~ s/.*KEY=//sr, 'another key each time';
like slurp($file), qr/\A\Q$before\Etomcat2 \S{44} tomcats\n\z/, 'is added, the rest stays';
is mode($file), '0640', 'the mode stays';
ok -l "$dir/link", 'and a link is one';
is_deeply left(), [], 'nothing is left';

my $group = (getgrgid((split ' ', $))[0]))[0];
is +(usherctl('register-key', '--group', $group, "$dir/group", 'a', 'b'))[0], 0, 'for a group';
is mode("$dir/group"), '0640', 'which may read it';

fails('an id that is there', qr/this id stands above already/, $file, 'tomcat1', 'tomcats');
fails('a bad id', qr/1 to 63 of/, $file, 'a b', 'tomcats');
fails('a bad policy', qr/1 to 63 of/, $file, 'a', "p\n");
fails('no folder', qr/cannot be written|No such file/, "$dir/none/keys", 'a', 'p');
fails('no group', qr/no group/, '--group', 'no such group', "$dir/new", 'a', 'p');
ok !-e "$dir/new", 'no file is made';
chmod 0644, $file;
fails('a file for all', qr/is open to all users/, $file, 'a', 'p');
chmod 0600, $file;
open $fh, '>', $file or die;
print $fh "broken\n";
close $fh;
fails('a broken file', qr/line 1: takes an id/, $file, 'a', 'p');

for my $args ([], [$file], [$file, 'a'], [$file, 'a', 'p', 'x'], ['--what', $file, 'a', 'p']) {
    ($code, $out, $err) = usherctl('register-key', @$args);
    is $code, 2, "@$args";
    like $err, qr/usage: usherctl register-key/, 'tells of the right usage';
}
is +(usherctl('register-key', '--help'))[0], 0, '--help';
done_testing;
