# What Usher adds to a small request in instructions, over what httpd needs to
# answer by itself: a guard of the speed that was reached. callgrind counts, and
# what it counts repeats to one in a hundred on any machine, however busy; what is
# compared is the difference between two requests of the same httpd, as httpd's own
# part is another one in each release.
use strict;
use warnings FATAL => 'all';

use Test::More;
use File::Path qw(make_path remove_tree);
use List::Util qw(min);
use POSIX ();
use Usher::Backend;
use Usher::Callgrind ();
use Usher::Client ();
use Usher::Env ();
use Usher::Httpd ();
use Usher::Wait;

# At most so many instructions per request. To take them anew:
# t/TEST t/backend/instructions.t in a build as it is installed (-O2) prints what they
# are; the limits are 8 % above that, in hundreds.
my %limit = (
    http     => 12_700,  # GET of 5 bytes, more than httpd's own answer
    ajp      => 13_400,
    balancer => 3_000,   # a cluster of three, more than without one
    # Of a thousand. More than t/bench/balance says: a new connection each time, and names
    # (below) that have to be written anew for each request.
    many     => 7_000,
    sticky   => 3_900,   # with the cookie of UsherStickyCookie
);

# Of each kind, and in how many parts: enough for the odd one that is dearer not to matter.
my $requests = 100;
my $parts = 50;

# A thousand names of one address, as no test needs a thousand servers.
sub many {
    my ($port) = @_;

    return map { sprintf "BalancerMember http://127.%s0.%s0.%s1:%d route=m%d disablereuse=On\n",
        '0' x ($_ / 100), '0' x ($_ / 10 % 10), '0' x ($_ % 10), $port, $_ } 0 .. 999;
}

sub leave_out {
    pass "nothing is measured: $_[0]";
    done_testing;
    exit;
}

leave_out("the $ENV{USHER_MPM} MPM is not the one that was measured") if $ENV{USHER_MPM} ne 'event';
leave_out('another processor is not the one that was measured') if (POSIX::uname())[4] ne 'x86_64';
leave_out("built with $_") for Usher::Env::slowed();
my $missing = Usher::Callgrind::missing();
plan skip_all => $missing if $missing;

my $dir = Usher::Env::builddir() . "/t/work/instructions-$$";
END { remove_tree($dir) if defined $dir && !$ENV{USHER_KEEP_WORK} }
make_path($dir);
chmod 0777, $dir; # httpd's child is another user

my @http = map { Usher::Backend->new } 1 .. 3;
my $ajp = Usher::Backend->new(protocol => 'ajp');
$_->on('/', http_answer(200, [], 'hello')) for @http;
$ajp->on('/', ajp_answer(200, ['Content-Length' => 5], 'hello'));

my $script = Usher::Callgrind::httpd_script("$dir/httpd",
    Usher::Callgrind::command("$dir/count", Usher::Callgrind::marked()));
Usher::Env::builtin(); # before httpd is replaced by a slow one
my ($httpd, $client, $files, $between);

sub ask {
    my ($request, $status, $cookie) = @_;

    $client->send("$request HTTP/1.1\r\nHost: localhost\r\nUser-Agent: instructions\r\nAccept: */*\r\n"
            . (defined $cookie ? "Cookie: $cookie\r\n" : '') . "\r\n");
    my $answer = $client->answer(timeout => 20);
    return $answer->{end} eq 'complete' && $answer->{status} == $status ? $answer : undef;
}

# Closes a file; its instructions.
sub mark {
    ask('OPTIONS /mark', 200) or die "no answer to OPTIONS\n";
    return Usher::Callgrind::total("$dir/count." . ++$files);
}

# Instructions of one of such requests; the rest is what there is between two marks.
sub measured {
    my ($path, $status, $cookie) = @_;

    ask("GET $path", $status, $cookie) or die "no answer to $path\n" for 1 .. 5; # connections, and tables that grow
    mark();
    my ($good, @counts) = (0);
    # In short parts, of which the least counts: what is done once a second is not in all of
    # them, even where little of each second is left to us.
    for (1 .. $parts) {
        $good += grep { ask("GET $path", $status, $cookie) } 1 .. $requests / $parts;
        push @counts, mark();
    }
    is $good, $requests, "$path is answered";
    return (min(@counts) - $between) / ($requests / $parts);
}

# What is measured in an httpd of such a configuration; ends it.
sub within {
    my ($conf, $measure) = @_;

    unlink glob "'$dir/count'*";
    local $ENV{USHER_HTTPD} = $script;
    $httpd = Usher::Httpd->new(args => ['-X'], loglevel => 'warn',
        modules => [qw(watchdog proxy proxy_balancer slotmem_shm alias)], conf => "MaxKeepAliveRequests 0\n$conf");
    ok $httpd->start, 'httpd starts in valgrind' or diag $httpd->console;
    $client = Usher::Client->new(port => $httpd->port, timeout => 20);
    $files = 0;
    mark() for 1 .. 3;
    $between = min(map { mark() } 1 .. 5);
    my %count = $measure->();
    $client->close;
    # Its exit status would be valgrind's.
    ok $httpd->stop, 'httpd ends';
    $httpd->log->finish('only what was announced in the log');
    return %count;
}

my %count = within(<<"EOT", sub { map { $_ => measured("/$_/", $_ eq 'alone' ? 410 : 200) } qw(alone http ajp balancer) });
<Proxy balancer://three>
@{[ map { "BalancerMember " . $_->url . "\n" } @http ]}
ProxySet lbmethod=usher
</Proxy>
ProxyPass /balancer/ balancer://three/
ProxyPass /http/ @{[ $http[0]->url('/') ]}
ProxyPass /ajp/ @{[ $ajp->url('/') ]}
Redirect gone /alone/
ErrorDocument 410 hello
EOT

# Without kept connections, as a thousand would have to be made first; what a member costs
# when it is asked for the first time is none of this.
my $conf = <<"EOT";
<Proxy balancer://many>
@{[ many($http[0]->port) ]}
ProxySet lbmethod=usher stickysession=ROUTE
</Proxy>
<Proxy balancer://sticky>
@{[ many($http[0]->port) ]}
ProxySet lbmethod=usher
UsherStickyCookie ID
</Proxy>
ProxyPass /many/ balancer://many/
ProxyPass /sticky/ balancer://sticky/
ProxyPass /plain/ @{[ $http[0]->url('/') ]} disablereuse=On
EOT
%count = (%count, within($conf, sub {
    my $met = grep { ask('GET /many/', 200, "ROUTE=.m$_") } 0 .. 999;
    is $met, 1000, 'a thousand members are met';
    my ($id) = ask('GET /sticky/', 200)->{head} =~ /^Set-Cookie: (ID=[^;]+)/im;
    ok $id, 'a cookie is set';
    return (plain => measured('/plain/', 200), many => measured('/many/', 200),
        plain_id => measured('/plain/', 200, $id), sticky => measured('/sticky/', 200, $id));
}));

my %over = (http => 'alone', ajp => 'alone', balancer => 'http', many => 'plain', sticky => 'plain_id');
diag sprintf 'httpd alone: %.0f instructions', $count{alone};
for my $name (sort keys %over) {
    my $more = $count{$name} - $count{ $over{$name} };
    diag sprintf '%s: %.0f, %.0f more than %s', $name, $count{$name}, $more, $over{$name};
    cmp_ok $more, '<=', $limit{$name}, "$name: no more than $limit{$name} over $over{$name}";
}
done_testing;
