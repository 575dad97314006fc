# What usherctl from-jk printed serves requests as mod_jk did: which path goes to
# which server, sessions, the secret, members that are switched off. Where mod_jk
# is installed it is asked the same.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::Client ();
use Usher::Ctl;
use Usher::Env ();
use Usher::Httpd ();
use Usher::Wait;

my %backend;
for my $name (qw(one two off plain)) {
    $backend{$name} = Usher::Backend->new(protocol => 'ajp');
    $backend{$name}->on(qr{.}, ajp_answer(200, ['Content-Type' => 'text/plain'], $name));
    $backend{$name}->on('/fail', ajp_answer(500, [], 'failed'));
    $backend{$name}->on('/redirect', ajp_answer(302, [Location => 'http://www.example.com/app/x'], ''));
}
my %port = map { $_ => $backend{$_}->port } keys %backend;

my $properties = ctl_file('workers.properties', <<"EOT");
worker.list=lb,plain,status
worker.lb.type=lb
worker.lb.balance_workers=one,two
worker.lb.balance_workers=off
worker.lb.secret=for "all" of them
worker.one.reference=worker.template
worker.one.port=$port{one}
worker.one.route=r1
worker.two.reference=worker.template
worker.two.port=$port{two}
worker.two.lbfactor=3
worker.off.reference=worker.template
worker.off.port=$port{off}
worker.off.activation=disabled
worker.template.host=127.0.0.1
worker.template.ping_mode=P
worker.template.reply_timeout=20000
worker.plain.host=127.0.0.1
worker.plain.port=$port{plain}
worker.plain.secret=its own
worker.status.type=status
EOT
my $map = ctl_file('uriworkermap.properties', <<'EOT');
/map|/*=plain
/app/report/*=plain
!/app/secret/*=lb
!/*.html=*
EOT
my $jk = <<"EOT";
JkMountFile $map
JkMount /app|/* lb
JkMount /exact lb
JkMount /*.do lb
JkMount /a?c/*/x plain
JkMount /status status
JkUnMount /app/*.gif lb
JkUnMount /map/no/* lb
JkUnMount /map/no/* plain
JkUnMount /no/* lb
<VirtualHost *:*>
    ServerName copy.example.com
    JkMountCopy On
    JkMount /app/more/* plain
</VirtualHost>
<VirtualHost *:*>
    ServerName none.example.com
</VirtualHost>
<VirtualHost *:*>
    ServerName own.example.com
    JkMount /* plain
    JkUnMount /x/* plain
</VirtualHost>
EOT
my ($code, $conf, $err) = usherctl('from-jk', $properties, ctl_file('httpd.conf', $jk));
is $code, 0, 'printed' or diag $err;

# A virtual host without mounts needs no lines, but has to be there.
my $httpd = Usher::Httpd->new(modules => [qw(authz_host proxy proxy_balancer slotmem_shm)],
    conf => "$conf<VirtualHost *:*>\nServerName none.example.com\n</VirtualHost>\n");
ok($httpd->start, 'httpd starts with it') or diag $httpd->console;

# mod_jk itself, with the files as they are
my $old;
if (-e "$ENV{USHER_LIBEXEC}/mod_jk.so") {
    $old = Usher::Httpd->new(usher => [], modules => ['authz_host'], conf => <<"EOT");
LoadModule jk_module $ENV{USHER_LIBEXEC}/mod_jk.so
JkWorkersFile $properties
JkLogFile \@ROOT\@/logs/jk.log
JkShmFile \@ROOT\@/logs/jk.shm
$jk
EOT
    ok($old->start, 'httpd starts with mod_jk') or diag $old->console;
}

# Who answered: a name, or "local" where httpd did
sub who {
    my ($httpd, $uri, @headers) = @_;
    my ($host) = $uri =~ s{^(\w+):}{} ? "$1.example.com" : die $uri;
    my $answer = Usher::Client->get($httpd->port, $uri, [Host => $host, @headers]);
    my $status = $answer->{status} // $answer->{end};

    return $status eq '200' && $answer->{body} =~ /^(?:one|two|off|plain)$/ ? $answer->{body} =~ s/^(?:one|two)$/lb/r
        : $status =~ /^(?:200|400|403|404)$/ ? 'local' : $status;
}

# host:URI => who answers
my %who = (
    'own:/' => 'plain', 'own:/app/x' => 'plain', 'own:/x/' => 'local', 'own:/x/y' => 'local', 'own:/x' => 'plain', 'own:/x;p/y' => 'local',
    'none:/app/' => 'local', 'none:/map/' => 'local', 'none:/' => 'local',
    map { my ($uri, $answers) = @$_; ("copy:$uri" => $answers) }
        ['/app' => 'lb'], ['/app/' => 'lb'], ['/app/x/y' => 'lb'], ['/app2' => 'local'], ['/' => 'local'], ['/app;jsessionid=1' => 'lb'],
        ['/app/more/x' => 'plain'], ['/app/more' => 'lb'], ['/app/report/x' => 'plain'], ['/app/report' => 'lb'],
        ['/exact' => 'lb'], ['/exact/' => 'local'], ['/exact;a=b' => 'lb'], ['/exactly' => 'local'],
        ['/x.do' => 'lb'], ['/x/y.do' => 'lb'], ['/x/y.do;jsessionid=1.r1' => 'lb'], ['/x.dont' => 'local'], ['/x.do/y' => 'local'],
        ['/abc/1/2/x' => 'plain'], ['/abc/x' => 'local'], ['/abbc/1/x' => 'local'],
        ['/app/x.gif' => 'local'], ['/app/x/y.gif' => 'local'], ['/app/x.gif;a=b' => 'local'], ['/app/x.gifs' => 'lb'], ['/app/report/x.gif' => 'plain'],
        ['/app/secret/x' => 'local'], ['/app/secret/' => 'local'], ['/app/secret' => 'lb'], ['/app/secret/x.do' => 'local'],
        ['/app;x/secret/y' => 'local'], ['/app/secret;x/y' => 'local'], ['/app//secret/y' => 'local'], ['/app/./secret/y' => 'local'],
        ['/app/x/../secret/y' => 'local'], ['/app/%73ecret/y' => 'local'], ['/app/x/..;y/secret/z' => 'local'],
        ['/map' => 'plain'], ['/map/x' => 'plain'], ['/map/no/x' => 'local'], ['/map/no/x.do' => 'local'], ['/no/x.do' => 'local'], ['/yes/x.do' => 'lb'],
        ['/x.html' => 'local'], ['/app/x.html' => 'local'], ['/map/x.html' => 'local'], ['/app/x.html/y' => 'lb'],
        ['/status' => 'local'],
);
for my $uri (sort keys %who) {
    is who($httpd, $uri), $who{$uri}, "$uri: $who{$uri}";
}
if ($old) {
    my @other = grep { who($old, $_) ne $who{$_} } sort keys %who;
    is_deeply \@other, [], 'mod_jk decides the same' or diag map { "$_: " . who($old, $_) . "\n" } @other;
}

# Turns and sessions
my $body = sub { Usher::Client->get($httpd->port, $_[0], [Host => 'copy.example.com', @_[1 .. $#_]])->{body} };
my $factors = qr/^one:(?:9|1[01]) two:(?:29|3[01])$/;
my $turns;
# Who has been slow for a moment gets less for some seconds.
in_calm {
    my ($began, %count) = time;
    $count{ $body->('/app/') }++ for 1 .. 40;
    $turns = join ' ', map { "$_:$count{$_}" } sort keys %count;
    $turns =~ $factors || !wait_until { time > $began + 5 };
};
like $turns, $factors, 'load factors; nothing new for a disabled member';
is $body->('/app/', Cookie => "JSESSIONID=abc.$_->[0]"), $_->[1], "a session of $_->[0]" for ['r1', 'one'], ['two', 'two'], ['off', 'off'];
is $body->("/app/x;jsessionid=abc.$_->[0]"), $_->[1], "a session of $_->[0] in the URL" for ['r1', 'one'], ['two', 'two'];

# What the servers were told
$body->('/app/x?a=b', 'X-Id' => 'lb', Cookie => 'JSESSIONID=abc.two');
$body->('/map/x', 'X-Id' => 'plain');
$body->('/app/x', 'X-Id' => 'off', Cookie => 'JSESSIONID=abc.off');
my ($got) = $backend{two}->deliveries('lb');
is_deeply [$got->{uri}, $got->{ajp}{attributes}{secret}, $got->{ajp}{server_name}], ['/app/x?a=b', 'for "all" of them', 'copy.example.com'], 'of an lb: the URI, the secret, the name';
my ($plain) = $backend{plain}->deliveries('plain');
is_deeply [$plain->{uri}, $plain->{ajp}{attributes}{secret}], ['/map/x', 'its own'], 'of a plain worker: the URI, its secret';
my ($off) = $backend{off}->deliveries('off');
is_deeply [map { $_->{ajp}{request_attributes}{JK_LB_ACTIVATION} // 'nothing' } $got, $off], ['ACT', 'DIS'], 'how the member stands';
like +Usher::Client->get($httpd->port, '/status', [Host => 'copy.example.com', Referer => 'http://copy.example.com/'])->{body}, qr/Load Balancer Manager.*balancer:\/\/lb/s, 'the status worker: balancer-manager';
is +Usher::Client->get($httpd->port, '/fail', [Host => 'own.example.com'])->{body}, 'failed', 'a 500 arrives as it is';

$backend{two}->stop;
is $body->('/app/', Cookie => 'JSESSIONID=abc.two'), 'one', 'a session whose member is gone goes on elsewhere';
$httpd->log->tolerate(qr/USHER\d+|AH10187/); # a member is gone; balancer-manager asked for from elsewhere
$httpd->finish('no surprises in the log');
if ($old) {
    $old->log->tolerate(qr/jk|File does not exist|AH00128/);
    $old->finish('mod_jk: no surprises in the log');
}
done_testing;
