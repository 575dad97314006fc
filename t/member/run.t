# usher-member run: signs in, stays, and leaves in good order.
use strict;
use warnings FATAL => 'all';

use Cwd ();
use IO::Socket::INET ();
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes ();
use Usher::Env ();
use Usher::MemberServer;
use Usher::MemberTest;
use Usher::Wait;

my $key = secret_bytes();
my %keys = (keys => { tomcat1 => $key }, lease => 1);

sub methods {
    my ($server) = @_;

    return join ' ', map { $_->{method} . ($_->{uri} =~ m{/(heartbeat|drain)$} ? "-$1" : '') } $server->requests;
}

# From the application's start to the server's stop, with both shells
for my $shell (['dash'], ['busybox', 'sh']) {
    shell(@$shell);
    my $in = "@$shell";
    my $server = Usher::MemberServer->new(%keys);
    my $port = free_port();
    my $pidfile = member_file('pid', '');
    my $run = member_run(member_config(PROXY => $server->url, READY => "tcp://127.0.0.1:$port", DRAIN => 30), '-p', $pidfile);
    ok wait_until { $run->text =~ /waiting for the application: tcp:\/\/127.0.0.1:$port/ }, "$in: waits for the application";
    is methods($server), '', 'and has said nothing';
    my $application = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 8, ReuseAddr => 1) or die "port $port: $!";
    ok wait_until { methods($server) =~ /^PUT POST-heartbeat POST-heartbeat/ }, 'registers when it is up, and sends heartbeats' or diag methods($server), $run->text;
    open my $fh, '<', $pidfile or die;
    is <$fh>, $run->pid . "\n", 'its pid is in the file';
    $server->forget;
    ok wait_until { methods($server) =~ /heartbeat PUT POST-heartbeat/ }, 'registers anew where it is not known any more' or diag methods($server);
    $server->on(qr/heartbeat$/, status => 409, code => 'wrong-state', times => 1);
    ok wait_until { methods($server) =~ /PUT .*PUT .*PUT POST-heartbeat/ }, 'and when its lease had ended';
    $server->on(qr/heartbeat$/, status => 503, code => 'store-down', times => 1);
    ok wait_until { $run->text =~ /refused, store-down: .*; trying again\n(?:.*\n)*.*reached again/ }, 'goes on after what passes' or diag $run->text;

    $server->on(qr/./, sessions => 2);
    $run->signal('TERM');
    ok wait_until { methods($server) =~ /POST-drain (?:GET|POST-heartbeat)/ }, 'TERM: drains, and waits for sessions' or diag methods($server);
    unlike methods($server), qr/DELETE/, 'is still registered';
    $server->clear;
    is $run->code, 0, 'ends when nothing is left' or diag $run->text;
    like methods($server), qr/POST-drain .*DELETE$/, 'deregisters at last';
    is_deeply [grep { $_->{wrong} ne '' } $server->requests], [], 'each request was signed';
    ok !-e $pidfile, 'no pid file is left';
    like $run->text, qr/registered app\/tomcat1 ajp:\/\/self:8009 up.*deregistered app\/tomcat1\n\z/s, 'what changed was told';
}

# A shell cannot take a signal that was ignored when it began, as nohup leaves it.
$SIG{HUP} = 'DEFAULT';
shell('dash');

# By the script of init
{
    my $server = Usher::MemberServer->new(%keys);
    local $ENV{DAEMON} = Usher::Env::srcdir() . '/member/usher-member';
    local $ENV{CONFIG} = member_config(PROXY => $server->url);
    local $ENV{PIDFILE} = member_file('init.pid', '');
    my $init = sub { my $out = qx('@{[ Usher::Env::srcdir() ]}/member/usher-member.init' $_[0] 2>&1 </dev/null); return ($? >> 8) . " $out" };
    like $init->('status'), qr/^1 usher-member does not run/, 'init: status, with a pid file that is left';
    like $init->('start'), qr/^0 usher-member started \(\d+\)/, 'start';
    like $init->('start'), qr/^0 usher-member runs already/, 'start, once more';
    ok wait_until { methods($server) =~ /^PUT/ }, 'it registers';
    like $init->('status'), qr/^0 usher-member runs .*app\/tomcat1 .* up/s, 'status';
    is $init->('reload'), '0 ', 'reload';
    ok wait_until { methods($server) =~ /PUT.*PUT/ }, 'says it anew';
    is $init->('force-reload'), '0 ', 'force-reload';
    like $init->('restart'), qr/^0 usher-member drains .*started/s, 'restart';
    ok wait_until { methods($server) =~ /DELETE.*PUT/ }, 'with all that belongs to it' or diag methods($server);
    like $init->('stop'), qr/^0 usher-member drains/, 'stop';
    like methods($server), qr/DELETE$/, 'is over when it has signed out';
    like $init->('stop'), qr/^0 usher-member does not run/, 'stop, once more';
    like $init->('status'), qr/^3 /, 'status: does not run';
    like $init->('reload'), qr/^7 /, 'reload: does not run';
    like $init->('nothing'), qr/^2 usage: \S+ start\|stop\|status\|restart\|reload\|force-reload/, 'usage';
    is_deeply [grep { $_->{wrong} ne '' } $server->requests], [], 'all was signed';
}

# Killed: nobody goes on for it.
{
    my $server = Usher::MemberServer->new(%keys);
    my $run = member_run(member_config(PROXY => $server->url));
    ok wait_until { methods($server) =~ /heartbeat/ }, 'runs';
    my @children = $run->children;
    $run->signal('KILL');
    # Not waited for: a dead process that nobody has asked for is dead as well.
    ok wait_until { !grep { kill 0, $_ } @children }, 'killed: its processes end, so that its lease does';
    is $run->code, -1, 'it was killed';
    unlike methods($server), qr/drain|DELETE/, 'nothing was signed out';
    my $again = member_run(member_config(PROXY => $server->url));
    ok wait_until { methods($server) =~ /PUT.*PUT POST/ }, 'started again it takes its place again';
    $again->signal('INT');
    is $again->code, 0, 'INT ends it as TERM';
}

# Several proxies, one of them dead, then back
{
    my ($first, $second) = map { Usher::MemberServer->new(%keys) } 1, 2;
    $second->stop;
    my $run = member_run(member_config(PROXY => [$first->url, $second->url]));
    ok wait_until { methods($first) =~ /heartbeat POST-heartbeat/ }, 'one proxy is dead: the other one is told';
    ok wait_until { $run->text =~ /@{[ $second->url ]}: cannot be reached.*; trying again/ }, 'and which one is dead';
    $second->start;
    ok +(wait_until { methods($second) =~ /^PUT POST-heartbeat/ } 40), 'when it is back it is told' or diag $run->text;
    is scalar(() = $run->text =~ /@{[ $second->url ]}: cannot be reached/g), 1, 'that it was dead was told once';
    $first->stop;
    ok wait_until { $run->text =~ /@{[ $first->url ]}: cannot be reached/ }, 'the other one dies';
    $run->signal('TERM');
    is $run->code, 4, 'not signed out everywhere';
    like methods($second), qr/drain .*DELETE$|drain DELETE$/, 'where it could it has';
}

# What is wrong is told once, also where its words have the time.
{
    my $server = Usher::MemberServer->new(%keys);
    $server->on(qr/^PUT/, status => 401, code => 'stale');
    my $run = member_run(member_config(PROXY => $server->url));
    ok +(wait_until { methods($server) =~ /PUT PUT PUT PUT/ } 30), 'a proxy that refuses it is asked again and again';
    is scalar(() = $run->text =~ /refused, stale: .* \(here it is /g), 1, 'and the log has that once' or diag $run->text;
    $run->signal('TERM');
    is $run->code, 0, 'ends';
}

# The configuration is changed.
{
    my ($first, $second) = map { Usher::MemberServer->new(%keys) } 1, 2;
    my @both = (PROXY => [$first->url, $second->url], DRAIN => 5);
    my $config = member_config(@both);
    my $run = member_run($config);
    ok wait_until { methods($first) =~ /heartbeat/ && methods($second) =~ /heartbeat/ }, 'runs at two';
    member_config(@both, file => $config, WEIGHT => 'x');
    $run->signal('HUP');
    ok wait_until { $run->text =~ /WEIGHT=x is no number.*is not good: going on/s }, 'HUP: a bad configuration is not taken';
    member_config(PROXY => $first->url, file => $config, WEIGHT => 7);
    $run->signal('HUP');
    ok wait_until { ($first->requests(qr/^PUT/))[-1]{body} =~ /"weight":7/ }, 'HUP: what is new is said';
    ok wait_until { methods($second) =~ /drain .*DELETE$|drain DELETE$/ }, 'and the proxy that is not named any more is left' or diag methods($second);
    unlike methods($first), qr/drain|DELETE/, 'the other one is not left for that';
    ok wait_until { $run->text =~ /was read anew/ }, 'told';
    is((() = $run->text =~ /was read anew/g), 1, 'once') or diag $run->text;
    $run->signal('TERM');
    is $run->code, 0, 'ends' or diag $run->text;
}

# Told to leave at any moment while it reads its configuration anew, it leaves in good order.
for my $shell (['dash'], ['busybox', 'sh']) {
    shell(@$shell);
    for my $later (0, 0.03, 0.06, 0.1, 0.2) {
        my $server = Usher::MemberServer->new(%keys);
        my $run = member_run(member_config(PROXY => $server->url));
        wait_until { methods($server) =~ /heartbeat/ };
        $run->signal('STOP') if !$later; # both at once
        $run->signal('HUP');
        Time::HiRes::sleep($later) if $later;
        $run->signal('TERM');
        $run->signal('CONT');
        is $run->code, 0, "@$shell: TERM $later s after HUP: ends" or diag $run->text;
        # A heartbeat that was under way at HUP may come last, and does nothing then.
        like methods($server), qr/drain (?:.* )?DELETE(?: POST-heartbeat)?$/, 'drained and signed out' or diag $run->text;
    }
}
shell('dash');

# An administrator drains and removes it: it stays out until it is told otherwise.
{
    my $server = Usher::MemberServer->new(%keys);
    my $run = member_run(member_config(PROXY => $server->url));
    ok wait_until { methods($server) =~ /heartbeat/ }, 'runs';
    $server->on(qr/heartbeat$/, state => 'draining');
    ok wait_until { $run->text =~ / draining,/ }, 'somebody else drains it: that is told';
    $server->forget;
    ok wait_until { $run->text =~ /was drained and removed by somebody else/ }, 'and removes it';
    is scalar($server->requests(qr/^PUT/)), 1, 'it does not come back by itself';
    $run->signal('HUP');
    ok wait_until { $server->requests(qr/^PUT/) == 2 }, 'but when it is told to';
    $run->signal('TERM');
    is $run->code, 0, 'ends';
}

# The keys are seen by nobody: not in arguments, nor in the environment, of any command.
{
    my $server = Usher::MemberServer->new(%keys);
    my $tools = Cwd::abs_path(Usher::Env::builddir()) . "/t/work/member-tools-$$";
    mkdir $tools or die "$tools: $!";
    my $seen = member_file('seen', '');
    for my $tool (qw(curl openssl od sed tr head date sleep ls id uname printf cat)) {
        chomp(my $real = qx(command -v /usr/bin/$tool || command -v /bin/$tool));
        next unless $real;
        member_file("$tools/$tool", qq(#!/bin/sh\n{ printf '%s\\n' "\$0 \$*"; /usr/bin/env; } >>'$seen'\nexec $real "\$\@"\n), 0755);
    }
    my @hidden = ('hidden ajp secret', encode_base64($key, ''), $key, unpack('H*', $key),
        join(' ', map { sprintf '%02x', ord } split //, $key), map { my $x = $_; join '', map { sprintf '\\%03o', $x ^ ord } split //, $key } 0x36, 0x5c);
    # Other names for what is hidden do no harm.
    my @names = qw(key key_hex ipad opad secret member body line value out reply byte);
    local @ENV{@names} = ('exported') x @names;
    local $ENV{PATH} = "$tools:$ENV{PATH}";
    my $go = member_file('go', '');
    unlink $go;
    $server->on(qr/./, hold => $go);
    my $run = member_run(member_config(PROXY => $server->url, SECRET => $hidden[0]), 'register');
    my $lines = 0;
    while ($run->running) {
        member_file($go, '') if $lines; # it has been looked at
        for my $file (glob '/proc/[0-9]*/cmdline /proc/[0-9]*/environ') {
            open my $fh, '<', $file or next;
            my $text = do { local $/; <$fh> } // '';
            ++$lines if $text =~ /^curl/ || $text =~ m{/curl\0};
            for my $word (@hidden) { fail "$file shows a secret" if index($text, $word) >= 0 }
        }
    }
    cmp_ok $lines, '>', 0, 'curl was seen while it ran';
    is +(grep { $_->{method} eq 'PUT' } $server->requests)[0]{wrong}, '', 'registered';
    like +($server->requests)[0]{body}, qr/"secret":"hidden ajp secret"/, 'with a secret';
    open my $fh, '<:raw', $seen or die;
    my $all = do { local $/; <$fh> };
    like $all, qr{/$_}, "the commands were seen: $_" for 'curl ', 'openssl dgst';
    is scalar(grep { index($all, $_) >= 0 } @hidden), 0, 'none of them had a secret in its arguments or environment';
    unlink glob "$tools/*";
    rmdir $tools;
}

done_testing;
