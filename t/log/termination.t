# Who cut the connection: each state of docs/termination.md is provoked, and the line that
# the page shows for it is the one that the log has, but for times and the like; what it
# shows of `usherctl log' is what that prints of the line. USHER_EXAMPLES=file: the lines go
# there, for the page.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BackendTest qw(one_child);
use Usher::Client ();
use Usher::Ctl;
use Usher::Env ();
use Usher::Httpd ();
use Usher::Wait;

my $member = Usher::Backend->new(rcvbuf => 65536, sndbuf => 65536);
my $one = Usher::Backend->new;
my $full = Usher::Backend->new(backlog => 1);
my $closed = free_port();
# So many milliseconds, more where the machine stalls.
sub ms { return $_[0] * patience . 'ms' }

my $httpd = Usher::Httpd->new(
    usher => [qw(usher usher_backend usher_balancer usher_log)],
    modules => [qw(proxy proxy_balancer slotmem_shm log_config alias reqtimeout)],
    conf => one_child() . <<"EOT");
ServerName www.example.com
Timeout @{[ patience ]}
SendBufferSize 65536
LogFormat "%{usher}^US" usher
CustomLog logs/access_log usher
UsherReplay off
UsherBackendRest Off
UsherBackendTimeout connect=@{[ ms(500) ]} first=@{[ ms(500) ]} between=@{[ ms(500) ]}
RequestReadTimeout header=@{[ patience ]} body=0
Redirect /old /shop
ProxyPass /old !
ProxyPass /files !
<Proxy balancer://app>
    ProxySet lbmethod=usher
    BalancerMember @{[ $member->url ]} route=tc1 timeout=@{[ patience ]} upgrade=ANY
</Proxy>
<Proxy balancer://down>
    ProxySet lbmethod=usher
    BalancerMember http://127.0.0.1:$closed route=tc2
</Proxy>
<Proxy balancer://far>
    ProxySet lbmethod=usher
    BalancerMember @{[ $full->url ]} route=tc3
</Proxy>
<Proxy balancer://busy>
    ProxySet lbmethod=usher
    BalancerMember @{[ $one->url ]} route=tc4
    UsherMemberMax 1
    UsherQueue @{[ ms(400) ]}
</Proxy>
<Location /busy/>
    UsherBackendTimeout first=@{[ ms(5000) ]}
</Location>
ProxyPass /down/ balancer://down/
ProxyPass /far/ balancer://far/
ProxyPass /busy/ balancer://busy/
ProxyPass /one/ @{[ $one->url('/') ]} max=1 acquire=100 timeout=@{[ 5 * patience ]}
ProxyPass / balancer://app/
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER\d{4}|AH\d{5}/);

sub slurp { open my $fh, '<:raw', $_[0] or return ''; local $/; return scalar <$fh> // '' }
sub lines { return split /\n/, slurp($httpd->root . '/logs/access_log') }

sub client { return Usher::Client->new(port => $httpd->port) // die "connect: $!\n" }

# A request is on its way, and the member has it.
sub begun {
    my ($backend, $bytes, $path) = @_;
    my $client = client();
    my $before = () = $backend->requests($path);

    $client->send($bytes);
    wait_until { $before < (() = $backend->requests($path)) } 3;
    return $client;
}

sub answered {
    my ($bytes) = @_;
    my $client = client();

    $client->send($bytes);
    return $client->answer(timeout => 5);
}

my $page = 'x' x 5000;
my $whole = http_answer(200, ['Content-Type' => 'text/html'], $page);
$member->on('/shop', $whole);

# The member has a request, and holds it until release().
my $held = 0;
sub begun_held {
    my ($path) = @_;

    $one->on($path =~ s{^/\w+}{}r, [hold('held' . ++$held), $whole]);
    return begun($one, http_request(GET => $path), $path =~ s{^/\w+}{}r);
}

sub release {
    my ($client) = @_;

    $one->release("held$held");
    return $client->answer;
}

# State, what to look for in the request line, and how it is made to end so.
my @provoked = (
    ['--', 'GET /shop ', sub { answered(http_request(GET => '/shop')) }],
    ['LR', 'GET /old ', sub { answered(http_request(GET => '/old')) }],
    ['PR', 'GET /bad ', sub { answered("GET /bad HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n") }],
    ['PR', 'GET /files/none ', sub { answered(http_request(GET => '/files/none')) }],
    ['CR', 'GET /half ', sub { my $client = client(); $client->send("GET /half HTTP/1.1\r\nHost: a"); $client->close }],
    ['cR', 'GET /slow ', sub { my $client = client(); $client->send("GET /slow HTTP/1.1\r\nHost: a"); $client->answer(timeout => 5) }],
    ['SC', 'GET /down/shop ', sub { answered(http_request(GET => '/down/shop')) }],
    ['sC', 'GET /far/shop ', sub { $full->full; answered(http_request(GET => '/far/shop')) }],
    ['CC', 'GET /far/gone ', sub { my $client = client(); $client->send(http_request(GET => '/far/gone')); wait_until { 0 } 0.05; $client->reset }],
    ['CQ', 'GET /busy/gone ', sub {
        my $first = begun_held('/busy/busy1');
        my $second = client();
        my $before = () = lines();
        $second->send(http_request(GET => '/busy/gone'));
        wait_until { 0 } 0.1;
        $second->reset;
        wait_until { my @lines = lines(); grep { /busy\/gone/ } @lines[$before .. $#lines] } 3;
        release($first);
    }],
    ['SC', 'GET /busy/late ', sub {
        my $first = begun_held('/busy/busy2');
        answered(http_request(GET => '/busy/late'));
        release($first);
    }],
    ['PC', 'GET /one/late ', sub {
        my $first = begun_held('/one/busy3');
        answered(http_request(GET => '/one/late'));
        release($first);
    }],
    ['CH', 'GET /shop/gone ', sub { $member->on('/shop/gone', [stall]); begun($member, http_request(GET => '/shop/gone'), '/shop/gone')->reset }],
    ['cH', 'POST /shop/upload ', sub {
        $member->on('/shop/upload', [read_body, $whole]);
        begun($member, http_request(POST => '/shop/upload', ['Content-Length' => 200_000]) . 'x' x 100_000, '/shop/upload')->answer(timeout => 5);
    }],
    ['SH', 'POST /shop/cut ', sub { $member->on('/shop/cut', [cut]); answered(http_request(POST => '/shop/cut', [], 'order=1')) }],
    ['sH', 'GET /shop/slow ', sub { $member->on('/shop/slow', [stall]); answered(http_request(GET => '/shop/slow')) }],
    ['PH', 'GET /shop/garbled ', sub { $member->on('/shop/garbled', ["HTTP/1.1 200 OK\r\nno colon\r\n\r\n"]); answered(http_request(GET => '/shop/garbled')) }],
    ['CD', 'GET /shop/left ', sub {
        $member->on('/shop/left', [http_answer(200, [], undef, length => 10_000_000), fill(10_000_000)]);
        my $client = begun($member, http_request(GET => '/shop/left'), '/shop/left');
        $client->until(sub { ${ $_[0] } =~ /\r\n\r\n/ || undef }, 5);
        $client->reset;
    }],
    ['cD', 'GET /shop/feed ', sub {
        $member->on('/shop/feed', [switch_to('raw/1'), fill(20_000_000)]);
        my $client = begun($member, http_request(GET => '/shop/feed', [Connection => 'Upgrade', Upgrade => 'raw/1']), '/shop/feed');
        wait_until { grep { /shop\/feed/ } lines() } 8;
    }],
    ['SD', 'GET /shop/part ', sub { $member->on('/shop/part', [at($whole, length($whole) - 1000, stall(0.1), cut)]); answered(http_request(GET => '/shop/part')) }],
    ['sD', 'GET /shop/halt ', sub { $member->on('/shop/halt', [at($whole, length($whole) - 1000, stall)]); answered(http_request(GET => '/shop/halt')) }],
    ['PD', 'GET /shop/chunks ', sub { $member->on('/shop/chunks', [http_answer(200, ['Transfer-Encoding' => 'chunked'], undef, length => undef) . "5\r\nhello\r\nxyz\r\n"]); answered(http_request(GET => '/shop/chunks')) }],
);

# Connections are bounded for each process: with prefork one never needs two.
@provoked = grep { $_->[0] ne 'PC' } @provoked if $ENV{USHER_MPM} eq 'prefork';

# What differs from one time to the next.
sub plain {
    my ($line) = @_;

    return $line =~ s/\[[^]]*\]/[TIME]/r =~ s/" (\d{3}) [\d-]+ "/" $1 N "/r =~ s/ id=\S+/ id=ID/r =~ s{:\d+(?=[ /])}{:PORT}gr
        =~ s{ times=(\S+)}{ ' times=' . $1 =~ s/\d+/N/gr }er =~ s{ (bytes|conns)=(\S+)}{ " $1=" . $2 =~ s/\d+/N/gr }ger;
}

my $text = slurp(Usher::Env::srcdir() . '/docs/termination.md');
my @shown;
while ($text =~ /^    (\S+ - \S+ \[.* vhost=.* state=(..).*)\n\n    \$ usherctl log .*\n((?:      .*\n)+)/mg) {
    next if $2 eq 'PC' && $ENV{USHER_MPM} eq 'prefork';
    push @shown, { line => $1, state => $2, summary => $3 };
}
my @examples;

for my $try (@provoked) {
    my ($state, $request, $provoke) = @$try;
    my ($line, $shown);

    in_calm {
        my $before = () = lines();
        $line = '';
        $provoke->();
        wait_until { my @lines = lines(); ($line) = grep { /"\Q$request\E/ } @lines[$before .. $#lines]; $line } 5;
        $line //= '';
        $shown = grep { plain($_->{line}) eq plain($line) } @shown;
        return $shown == 1 && $line =~ / state=\Q$state\E/;
    };
    push @examples, $line;
    like $line, qr/ state=\Q$state\E/, "$request: $state";
    is $shown, 1, "$request: the page shows it" or diag plain($line);
}

is_deeply [sort map { plain($_->{line}) } @shown], [sort map { plain($_) } @examples], 'it shows no others';
my %section = map { $_ => 1 } $text =~ /^## `(..)`/mg;
is_deeply [sort keys %section], [sort keys %{ { map { $_->[0] => 1 } @provoked } }], 'each state has its section, and no other';

for my $shown (@shown) {
    my ($code, $out) = usherctl('log', ctl_file('line', "$shown->{line}\n"));
    my $lines = join '', map { "    $_\n" } (grep { /^  (?:statuses|errors|ended) / } split /\n/, $out)[0 .. 2];
    is $shown->{summary}, $lines, "$shown->{state}: what usherctl log shows";
}

if ($ENV{USHER_EXAMPLES}) {
    open my $fh, '>', $ENV{USHER_EXAMPLES} or die $!;
    print $fh "$_\n" for @examples;
    close $fh;
}
$httpd->finish('the log has nothing else');
done_testing;
