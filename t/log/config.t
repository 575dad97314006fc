# The directives of mod_usher_log: default, set, in virtual hosts, and what configtest refuses,
# which never ends a running site; ids; counts over restarts and killed children; and the module
# with the core alone.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::BackendTest ();
use Usher::Client ();
use Usher::Env ();
use Usher::Httpd ();
use Usher::Wait;

my $takes = qr/takes "request header NAME len NUMBER", "response header NAME len NUMBER" or "cookie NAME len NUMBER", with a NUMBER from 1 to 4096/;
my @all = map { "UsherLogCapture request header X-$_ len 1\n" } 1 .. 32;
# name => [lines, what configtest says (undef: nothing), options]
my @cases = (
    ['nothing', '', undef],
    ['all of them', "UsherLogCapture request header Host len 256\nUsherLogCapture Response Header Location LEN 80\nUsherLogCapture cookie SID len 4096\nUsherLogIdHeader X-Request-Id\n", undef],
    ['as many as may be', join('', @all), undef],
    ['off', "UsherLogIdHeader off\n", undef],
    ['in a virtual host', "<VirtualHost *>\nUsherLogCapture cookie SID len 1\nUsherLogIdHeader X-Id\n</VirtualHost>\n", undef],
    ['no arguments', "UsherLogCapture\n", qr/UsherLogCapture $takes/],
    ['no kind', "UsherLogCapture header Host len 5\n", qr/UsherLogCapture $takes/],
    ['another kind', "UsherLogCapture answer header Host len 5\n", qr/UsherLogCapture $takes/],
    ['no length', "UsherLogCapture request header Host\n", qr/UsherLogCapture $takes/],
    ['too much', "UsherLogCapture cookie SID len 5 6\n", qr/UsherLogCapture $takes/],
    ['no name', "UsherLogCapture request header \"a b\" len 5\n", qr/UsherLogCapture "a b": is no name of a header or a cookie; it $takes/],
    (map { ["a length of $_", "UsherLogCapture request header Host len $_\n", qr/UsherLogCapture "$_": $takes/] } 0, 4097, -1, '5k', 'long'),
    ['two cookies', "UsherLogCapture cookie A len 5\nUsherLogCapture cookie B len 5\n", qr/cookie B: a virtual host captures one cookie, which is A already; remove one of the two lines/],
    ['too many', join('', @all, "UsherLogCapture response header One-More len 5\n"), qr/header One-More: a virtual host captures up to 32 headers; remove some of the lines/],
    ['no header', "UsherLogIdHeader\n", qr/UsherLogIdHeader takes one argument, the name of a header such as X-Request-Id, or Off/],
    ['two headers', "UsherLogIdHeader A B\n", qr/UsherLogIdHeader takes one argument/],
    ['no name of one', "UsherLogIdHeader On\n", qr/UsherLogIdHeader "On": takes the name of a header, such as X-Request-Id, or Off/],
    ['an odd header', "UsherLogIdHeader X:Y\n", qr/UsherLogIdHeader "X:Y": takes the name of a header, such as X-Request-Id, or Off/],
    (map { ["$_ for a path", "<Location /a>\n$_\n</Location>\n", qr/belongs in the main server or in a virtual host, not in a section for paths: a line of the log is the virtual host's/] }
        'UsherLogCapture cookie SID len 5', 'UsherLogIdHeader X-Id'),
    (map { ["$_ with an item that is none", "$_ \"%h %{stat}^US %{state}^US\"" . ($_ eq 'LogFormat' ? " x\n" : "\n"), qr/USHER5001: .*httpd.conf:\d+: \w+: there is no item %\{stat\}\^US/] } 'LogFormat', 'CustomLog logs/x'),
    ['one in a virtual host, without its name', "<VirtualHost *>\nCustomLog logs/x \"%!200{}^US\"\n</VirtualHost>\n", qr/USHER5001: .*there is no item %\{\}\^US/],
    ['every item', 'LogFormat "' . join(' ', map { "%{$_}^US" } items()) . "\" x\n", undef],
    ['no core', '', qr/USHER1002: mod_usher_log needs mod_usher: add "LoadModule usher_module/, usher => ['usher_log']],
);

# As the page lists them
sub items {
    open my $page, '<', Usher::Env::srcdir() . '/docs/mod_usher_log.md' or die $!;
    my %items = map { $_ => 1 } map { /^\|/ ? /%\{(\w+)\}\^US/g : () } <$page>;

    delete $items{'...'};
    return sort keys %items, map { "${_}_ms" } qw(queue connect first);
}

my @items = items();
cmp_ok scalar(@items), '>', 35, 'the page lists the items';
for my $case (@cases) {
    my ($name, $conf, $says, @more) = @$case;
    my ($code, $out) = Usher::Httpd->new(conf => $conf, modules => ['log_config'], usher => [qw(usher usher_log)], @more)->configtest;

    if ($says) {
        isnt $code, 0, "$name: refused";
        like $out, $says, "$name: and why";
    } else {
        is $code, 0, "$name: fine" or diag $out;
    }
}

my ($second, $third) = map { free_port() } 1, 2;
my $backend = Usher::Backend->new;
my $answer = http_answer(200, [], 'ok');
$backend->on('/ok', $answer);
$backend->on('/wait', [stall]);
my $conf = Usher::BackendTest::one_child() . <<"EOT";
LogFormat "%{X-Id}i %{usher}^US" usher
CustomLog logs/usher usher
UsherLogCapture request header X-Id len 20
UsherLogCapture request header X-One len 5
UsherLogIdHeader X-Request-Id
ProxyPass / @{[ $backend->url('/') ]}
Listen 127.0.0.1:$second
Listen 127.0.0.1:$third
<VirtualHost 127.0.0.1:$second>
    ServerName second.example:4000
    ProxyPass / @{[ $backend->url('/') ]}
</VirtualHost>
<VirtualHost 127.0.0.1:$third>
    ServerName third.example
    UsherLogCapture request header X-Two len 5
    UsherLogIdHeader Off
    ProxyPass / @{[ $backend->url('/') ]}
</VirtualHost>
EOT
my @modules = qw(proxy proxy_http log_config);
my $httpd = Usher::Httpd->new(conf => $conf, modules => \@modules, usher => [qw(usher usher_log usher_backend)]);
ok $httpd->start, 'httpd starts' or BAIL_OUT($httpd->console);
my $n = 0;

# Lines of requests with this X-Id, once one is there.
sub lines_of {
    my ($id) = @_;

    return wait_until {
        open my $fh, '<', $httpd->root . '/logs/usher' or return;
        my @lines = grep { /^\Q$id\E / } <$fh>;
        @lines ? \@lines : undef;
    } 10;
}

sub logged {
    my ($port, $path, $headers) = @_;
    my $id = 'c' . ++$n;

    Usher::Client->get($port, $path, ['X-Id' => $id, @{ $headers // [] }]);
    return (lines_of($id) // [''])->[0];
}

subtest 'what a virtual host has of the main server' => sub {
    my @headers = ('X-One' => 'one-and-more', 'X-Two' => 'two', 'X-Request-Id' => 'the-client-s');
    my %req = ($httpd->port => "c1|one-a", $second => "c2|one-a", $third => 'two');
    for my $port ($httpd->port, $second, $third) {
        my $line = logged($port, '/ok', \@headers);
        like $line, qr/ req=\{\Q$req{$port}\E\} res=\{\} /, 'captures: the same, but where it has its own';
        my ($id) = $line =~ / id=(\S+) /;
        my ($sent) = map { lc $_->[0] eq 'x-request-id' ? $_->[1] : () } @{ ($backend->requests)[-1]{headers} };
        is $sent, $port == $third ? 'the-client-s' : $id, 'the id goes to the backend where that is said, and replaces the client\'s';
    }
    logged($httpd->port, '/ok', ['X-Request-Id' => 'the-client-s', Connection => 'close;x-Request-ID ,, X-Two x-request-id', 'X-Two' => 'two']);
    my %sent = map { lc $_->[0] => $_->[1] } @{ ($backend->requests)[-1]{headers} };
    like $sent{'x-request-id'}, qr/^[\w-]{20}$/, 'no client keeps it from the backend by naming it in Connection';
    ok !exists $sent{'x-two'}, 'what else it names there is not sent on';
    like logged($second, '/ok'), qr/ vhost=second\.example:4000 /, 'vhost: as ServerName has it';
    like logged($third, '/ok'), qr/ vhost=third\.example:$third /, 'or the port that it listens on';
};

# Clients that wait for their answers
sub waiting {
    my ($port, $count) = @_;

    return map {
        my $client = Usher::Client->new(port => $port);
        $client->send(http_request(GET => '/wait', ['X-Id' => "w$_"]));
        $client;
    } 1 .. $count;
}

# Those before may be counted for a moment more.
sub conns { return logged(@_, '/ok') =~ m{ conns=(\d+)/(\d+)/-/- } ? "$1/$2" : 'none' }

subtest 'requests in flight' => sub {
    ok((wait_until { conns($httpd->port) eq '1/1' }), 'one');
    my @one = waiting($httpd->port, 2);
    my @two = waiting($second, 3);
    ok((wait_until { conns($third) eq '6/1' }), 'of httpd, and of the virtual host');
    ok((wait_until { conns($second) eq '6/4' }), 'the second one has more');
    ok $httpd->graceful, 'a graceful restart';
    ok((wait_until { conns($httpd->port) eq '6/3' }), 'those of children that end are counted on');
    $_->close for @one, @two;
    ok((wait_until { conns($second) eq '1/1' } 10), 'and none is left when they are over');
    if ($ENV{USHER_MPM} ne 'prefork') {
        @two = waiting($second, 3);
        ok((wait_until { conns($third) eq '4/1' }), 'three more');
        $httpd->log->tolerate(qr/AH00052|AH00051|USHER2\d\d\d/);
        my ($line) = logged($httpd->port, '/ok');
        $httpd->kill_children;
        ok((wait_until { conns($third) eq '1/1' } 20), 'a child that is killed leaves nothing in the counts');
        $_->close for @two;
    }
};

subtest 'a mistake at a graceful restart' => sub {
    $httpd->conf("UsherLogCapture cookie\nUsherLogIdHeader a b\n" . $conf . "LogFormat \"%{X-Id}i %{nothing}^US\" odd\nCustomLog logs/odd odd\n");
    $httpd->log->expect(qr/USHER1001: .*UsherLogCapture takes.*: the site goes on without this line/, qr/USHER1001: .*UsherLogIdHeader takes/, qr/USHER5001: /);
    ok $httpd->graceful, 'does not end httpd';
    like logged($httpd->port, '/ok'), qr/ state=---- .* req=\{c\d+\|\} /, 'which logs as before';
    ok((wait_until { open my $odd, '<', $httpd->root . '/logs/odd' or return; grep { /^c\d+ -$/ } <$odd> }), 'and "-" for the item that is none');
    $httpd->conf($conf);
    ok $httpd->graceful, 'mended';
};

subtest 'ids' => sub {
    my %ids;
    for (1 .. 20) {
        my ($id) = logged($httpd->port, '/ok') =~ / id=([\w-]{20}) /;
        $ids{ $id // 'none' } = 1;
    }
    is scalar(keys %ids), 20, 'each request has its own';
    my $shown = $conf =~ s/(\^US)(" usher)/$1 unique=%{UNIQUE_ID}e log=%L$2/r;
    $httpd->conf($shown, modules => [@modules, 'unique_id']);
    ok $httpd->restart, 'with mod_unique_id';
    my ($id, $unique) = logged($httpd->port, '/ok') =~ / id=(\S+) .* unique=(\S+) /;
    is $id, $unique, 'it is the one';
};

$httpd->finish('httpd lives');

subtest 'the core alone' => sub {
    my $alone = Usher::Httpd->new(modules => ['log_config'], usher => [qw(usher usher_log)],
        conf => "CustomLog logs/usher \"%{usher}^US\"\nCustomLog logs/json \"%{json}^US\"\n");
    ok $alone->start, 'httpd starts' or diag $alone->console;
    Usher::Client->get($alone->port, '/index.html');
    ok((wait_until { open my $fh, '<', $alone->root . '/logs/usher' or return; my $line = <$fh> // ''; $line =~ m{ state=LR-- cluster=- member=- tries=-/- times=\d+/-/-/-/\d+ bytes=} }),
        'what is known of a file');
    $alone->finish('httpd lives');
};

subtest 'not asked for' => sub {
    my $idle = Usher::Httpd->new(modules => ['log_config'], usher => [qw(usher usher_log)], conf => "LogFormat \"%h\" x\nCustomLog logs/x x\n");
    ok $idle->start, 'httpd starts';
    is(Usher::Client->get($idle->port, '/index.html')->{status}, 200, 'and serves');
    $idle->finish('and has no reason to complain');
};

$backend->stop;
done_testing;
