# The directives of mod_usher_tls, what configtest refuses, and where the handshake log goes:
# files and pipes, of the main server and of virtual hosts, before and after restarts.
use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use Test::More;
use Usher::HandshakeTest;
use Usher::Httpd ();
use Usher::TLSClient ();
use Usher::Wait;

my @modules = qw(ssl socache_shmcb);

# name => [lines, what configtest says (undef: nothing), options]
my @cases = (
    ['nothing', '', undef],
    ['all of them', "UsherTLS On\nUsherTLSLog logs/tls_log all json\n", undef],
    ['the other ends', "UsherTLS off\nUsherTLSLog logs/tls_log JSON ALL\n", undef],
    ['no log', "UsherTLSLog logs/tls_log failed text\n<VirtualHost *>\nUsherTLSLog Off\nUsherTLS Off\n</VirtualHost>\n", undef],
    ['a pipe', "UsherTLSLog \"|/bin/cat >/dev/null\" all\n", undef],
    ['a word', "UsherTLS perhaps\n", qr/UsherTLS "perhaps": takes On or Off/],
    ['no word', "UsherTLS\n", qr/UsherTLS takes one argument, On or Off/],
    ['two words', "UsherTLS On Off\n", qr/UsherTLS takes one argument, On or Off/],
    ['a log of nothing', "UsherTLSLog\n", qr/UsherTLSLog takes a file or "\|program", maybe failed or all/],
    ['too much of a log', "UsherTLSLog logs/tls_log all text json\n", qr/UsherTLSLog takes a file or/],
    ['another format', "UsherTLSLog logs/tls_log all xml\n", qr/UsherTLSLog "xml": after the file come failed or all, and text or json/],
    ['a folder', "UsherTLSLog logs\n", qr/UsherTLSLog "logs": is a folder; name a file in it/],
    ['a folder that is not there', "UsherTLSLog nowhere/tls_log\n", qr{UsherTLSLog "nowhere/tls_log": there is no folder \S+/nowhere/; make it}],
    ['no name', "UsherTLSLog \"\"\n", qr/UsherTLSLog takes a file or/],
    ['no program', "UsherTLSLog \"| \"\n", qr/UsherTLSLog "\|": a program must follow/],
    (map { ["$_ for a path", "<Location /a>\n$_\n</Location>\n", qr/belongs in the main server or in a virtual host, not in a section for paths/] }
        'UsherTLS On', 'UsherTLSLog logs/tls_log'),
    ['no mod_ssl', '', qr/USHER4001: mod_usher_tls needs mod_ssl, whose handshakes it tells of: add "LoadModule ssl_module/, modules => []],
    ['no core', '', qr/USHER1002: mod_usher_tls needs mod_usher: add "LoadModule usher_module/, usher => ['usher_tls']],
);
for my $case (@cases) {
    my ($name, $conf, $says, @more) = @$case;
    my ($code, $out) = Usher::Httpd->new(conf => $conf, usher => [qw(usher usher_tls)], modules => [@modules], @more)->configtest;

    if ($says) {
        isnt $code, 0, "$name: refused";
        like $out, $says, "$name: and why";
    } else {
        is $code, 0, "$name: fine" or diag $out;
    }
}

# What only opening it shows: a name that no file system takes.
my $long = 'UsherTLSLog logs/' . 'x' x 300 . "\n";
{
    my $refused = Usher::Httpd->new(conf => $long, usher => [qw(usher usher_tls)], modules => [@modules]);

    ok !$refused->start, 'a log that cannot be opened: httpd does not start';
    like join('', $refused->console, $refused->log->lines), qr/USHER4002: UsherTLSLog "logs\/x+" could not be opened/, 'and says why';
}

# ---- where lines go: hosts by name, and on a port of its own one that inherits

my ($names, $alone) = map { free_port() } 1 .. 2;
my $program = 'pipe.pl';

sub conf {
    my (%opt) = @_;
    my $host = sub { my ($name, @lines) = @_; return tls_host($names, $name, weak(), certificate('good'), @lines) };

    return "Listen 127.0.0.1:$names\nListen 127.0.0.1:$alone\nUsherTLSLog logs/main all\n" . ($opt{main} // '')
        . $host->('first.test', 'UsherTLSLog logs/first all json')
        . $host->('failed.test', 'UsherTLSLog logs/failed')
        . $host->('quiet.test', 'UsherTLSLog off')
        . $host->('off.test', 'UsherTLS Off')
        . $host->('pipe.test', qq(UsherTLSLog "|$^X \@ROOT\@/$program \@ROOT\@/logs/piped" all))
        . tls_host($alone, 'alone.test', weak(), certificate('good'), 'SSLProtocol TLSv1.2');
}

my $httpd = Usher::Httpd->new(usher => [qw(usher usher_tls)], modules => [@modules], conf => conf());
my $logs = $httpd->root . '/logs';
# mod_ssl built with a newer OpenSSL; and what the MPM says of a pipe's program that ends at a
# restart, CustomLog's too
$httpd->log->tolerate(qr/AH0(?:1873|1882|1909)|AH00488/);
open my $fh, '>', $httpd->root . "/$program" or die $!;
print $fh 'open F, ">>", shift or die; $| = 1; select F; $| = 1; print while <STDIN>;';
close $fh;

sub lines { my ($log) = @_; return scalar(() = file_lines("$logs/$log")) }

# A handshake, and the last line of that log, which grows by one.
sub logged {
    my ($log, $port, %client) = @_;
    my $before = lines($log);

    Usher::TLSClient->new(port => $port, %client)->close;
    ok((wait_until { lines($log) > $before } 5), "$log: " . join ' ', %client);
    my @lines = file_lines("$logs/$log");
    is scalar @lines, $before + 1, 'a line';
    return $lines[-1] // '';
}

# The same after a restart: a process of before may have the first ones.
sub fresh {
    my ($log, $port, %client) = @_;
    my $before = lines($log);

    ok((wait_until { Usher::TLSClient->new(port => $port, %client)->close; lines($log) > $before } 5), "$log, after a restart");
    return text_line((file_lines("$logs/$log"))[-1] // '') // {};
}

sub host { return logged($_[0], $names, name => "$_[0].test") }

ok $httpd->start, 'httpd starts' or BAIL_OUT($httpd->console);
my $line = JSON::PP->new->utf8->decode(host('first'));
is "$line->{vhost} $line->{outcome} $line->{sni}", 'first.test done first.test', 'a host with JSON';
$line = text_line(logged('piped', $names, name => 'pipe.test'));
is "$line->{vhost} $line->{outcome}", 'pipe.test done', 'a host with a pipe';
$line = text_line(logged('main', $alone));
is "$line->{vhost} $line->{outcome}", 'alone.test done', 'a host that inherits';
is $line->{port}, $alone, 'and its port';

my @all = map { lines($_) } qw(main first failed piped);
for my $name (qw(failed quiet off)) {
    is(Usher::TLSClient->new(port => $names, name => "$name.test")->failed // '', '', "$name.test: served");
}
# Its line comes after theirs.
host('first');
$all[1]++;
is_deeply [map { lines($_) } qw(main first failed piped)], \@all, 'hosts that log failures only, nothing, and are off';
isnt(Usher::TLSClient->new(port => $alone, versions => '1.3')->failed, '', 'a client that fails');
ok((wait_until { grep { /outcome=unsupported-version/ } file_lines("$logs/main") } 5), "told");

# ---- rotation: the files are moved away, and a graceful restart makes new ones
rename "$logs/$_", "$logs/$_.1" or die $! for qw(main first);
@all = map { lines("$_.1") } qw(main first);
$line = text_line(do { Usher::TLSClient->new(port => $alone)->close; wait_until { lines('main.1') > $all[0] } 5; (file_lines("$logs/main.1"))[-1] });
is $line->{outcome}, 'done', 'until then lines go to the old file';
ok $httpd->graceful, 'a graceful restart';
ok -e "$logs/main", 'makes new files';
is fresh('main', $alone)->{outcome}, 'done', 'and lines go there';
is fresh('piped', $names, name => 'pipe.test')->{outcome}, 'done', 'a pipe goes on';

# ---- a restart into what configtest refuses
$httpd->log->expect(qr/USHER1001: .* UsherTLS "maybe": takes On or Off: the site goes on without this line/);
$httpd->conf(conf(main => "UsherTLS maybe\n"));
ok $httpd->graceful, 'a restart into what configtest refuses';
is fresh('main', $alone)->{outcome}, 'done', 'goes on';
$httpd->log->expect(qr/USHER4002: .* could not be opened: handshakes are not logged there/);
$httpd->conf(conf() . $long);
ok $httpd->graceful, 'a restart with a log that cannot be opened';
is(Usher::TLSClient->new(port => $alone)->failed // '', '', 'goes on without it');
$httpd->log->expect(qr/USHER4001: mod_usher_tls needs mod_ssl/);
# The ports stay: old processes may have them still.
$httpd->conf("Listen 127.0.0.1:$names\nListen 127.0.0.1:$alone\n", modules => []);
ok $httpd->graceful, 'a restart without mod_ssl';
$httpd->conf(conf(), modules => [@modules]);
ok $httpd->graceful, 'and with it again';
is fresh('main', $alone)->{outcome}, 'done', 'tells of handshakes again';
$httpd->finish('the error log has nothing else');
done_testing;
