# usherctl from-jk: files of mod_jk as people have them become the configuration
# that means the same, which httpd starts with; what has no counterpart is told;
# files that are broken, or mean harm, are refused with a reason.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Ctl;
use Usher::Env ();
use Usher::Httpd ();

my $httpd = Usher::Httpd->new(modules => [qw(authz_host headers setenvif proxy proxy_balancer slotmem_shm)]);
my $dots = 'ProxyPassMatch /\.\.?; !';
my $segment = '(;[^/]*)?';

# httpd -t of what was printed
sub passes {
    my ($conf, $name) = @_;

    $httpd->conf($conf);
    my ($code, $out) = $httpd->configtest;
    ok $code == 0 && $out !~ /:(?:warn|error|emerg)\]/, "$name: passes httpd -t" or diag $out, $conf;
    return;
}

# name => [files beside the properties, sections of the output, patterns of stderr]
my %good = (
    minimal => [[ctl_data('minimal.conf')], {
        '' => [$dots, "ProxyPassMatch ^/static$segment/ !", "ProxyPassMatch ^/.*\\.png$segment\$ !", 'ProxyPass / ajp://localhost:8009/'],
    }, [qr/minimal\.conf:3: JkLogFile logs\/mod_jk\.log: messages go to ErrorLog/, qr/minimal\.conf:4: JkLogLevel info: /]],
    template => [['--server-root', ctl_data(''), ctl_data('template.conf')], {
        'Proxy balancer://balancer' => [
            'BalancerMember ajp://localhost:8109 route=node1 connectiontimeout=5000ms timeout=300 ping=10000ms smax=0 ttl=600 keepalive=On secret=s3cret "of" two words',
            'BalancerMember ajp://localhost:8209 route=node2 status=+N connectiontimeout=5000ms timeout=300 ping=10000ms smax=0 ttl=600 keepalive=On secret=s3cret "of" two words',
            'ProxySet lbmethod=usher stickysession=JSESSIONID|jsessionid scolonpathdelim=On',
            'UsherReplay off',
            'UsherBackendRest failures=11 within=60s rest=30s',
        ],
        '' => [$dots, "ProxyPassMatch ^/shop$segment/images$segment/ !", 'ProxyPassMatch ^/.*\.gif(;[^/]*)?$ !',
            'ProxyPass /shop/report/ balancer://balancer/shop/report/', 'ProxyPass /admin/ balancer://balancer/admin/',
            'ProxyPass /shop/ balancer://balancer/shop/', "ProxyPassMatch ^/jk-manager$segment\$ !",
            "ProxyPassMatch ^/jk-status$segment\$ !", 'ProxyPassMatch ^/.*\.jsp(;[^/]*)?$ balancer://balancer',
            "ProxyPassMatch ^/shop$segment\$ balancer://balancer"],
        "LocationMatch ^/jk-status$segment\$" => ['SetHandler balancer-manager', 'Require local'],
        "LocationMatch ^/jk-manager$segment\$" => ['SetHandler balancer-manager', 'Require local'],
        "LocationMatch ^/shop$segment/report$segment/" => ['UsherBackendTimeout first=600s between=600s',
            'ProxyErrorOverride On 500 501 502 503 504 505'],
    }, [qr/:7: worker\.status\.read_only=true: balancer-manager can always change/,
        qr/:11: worker\.balancer\.error_escalation_time=0: .*UsherBackendRest/, qr/template\.conf:6: JkOptions \+RejectUnsafeURI/,
        qr/template\.conf:16: SetEnvIf .*no-proxy/, qr{uriworkermap\.properties:9: -/old/\*}]],
    jboss => [[ctl_data('jboss.conf')], {
        'Proxy balancer://loadbalancer' => [
            'BalancerMember ajp://node1.example.com:8009 route=node1 loadfactor=1 max=10 ttl=600 flushpackets=On',
            'BalancerMember ajp://192.0.2.12:8009 route=two loadfactor=100 flushpackets=On',
            'BalancerMember ajp://[2001:db8::3]:8009 route=node3 loadfactor=1 status=+S ping=2500ms flushpackets=On',
            'ProxySet lbmethod=usher stickysession=JSESSIONID|jsessionid scolonpathdelim=On',
        ],
        '' => [$dots, 'ProxyPass /jmx-console/ balancer://loadbalancer/jmx-console/',
            'ProxyPass /application/ balancer://loadbalancer/application/', "ProxyPassMatch ^/application$segment\$ balancer://loadbalancer"],
    }, [qr/:27: mod_jk does not join lines/, qr/:13: worker\.node1\.local_worker=1: /, qr/:20: worker\.node2\.recycle_timeout=300: /,
        qr/jboss\.conf:3: JkRequestLogFormat/, qr/load factors go up to 100/]],
    coldfusion => [[ctl_data('coldfusion.conf')], {
        'Proxy ajp://localhost:8018' => ['ProxySet connectiontimeout=120 timeout=120 max=500 ttl=60 iobuffersize=20480'],
        'Proxy ajp://localhost:8019' => ['ProxySet connectiontimeout=120 timeout=120 ping=4000ms max=500 ttl=60 acquire=3000ms iobuffersize=20480'],
        # What is taken from one worker's mounts is left to those of the other.
        '' => [$dots, "ProxyPassMatch ^/CFIDE$segment/main$segment/ide\\.cfm ajp://localhost:8018",
            "ProxyPassMatch ^(?=/.*\\.cfc$segment\$)/reports$segment/ !", 'ProxyPass /reports/ ajp://localhost:8019/reports/',
            "ProxyPassMatch ^/.*\\.cfml$segment/ ajp://localhost:8018", 'ProxyPassMatch ^/my"app' . $segment . '/ ajp://localhost:8018',
            "ProxyPassMatch ^(?=/.*\\.cfc$segment\$)/reports$segment\$ !", "ProxyPassMatch ^/reports$segment\$ ajp://localhost:8019",
            "ProxyPassMatch ^/.*\\.cfm$segment\$ ajp://localhost:8018", "ProxyPassMatch ^/.*\\.cfc$segment\$ ajp://localhost:8018"],
    }, [qr/:7: worker\.cfusion\.max_reuse_connections=250: no key that is known/, qr/:13: worker\.reports\.connect_timeout=4000: ping= asks/]],
    liferay => [[ctl_data('liferay.conf')], {
        'Proxy balancer://portal' => [
            'BalancerMember ajp://10.0.0.1:8009 route=liferay-1 redirect=liferay-spare timeout=61 secret=between-us',
            'BalancerMember ajp://10.0.0.2:9009 route=second timeout=61 secret=its-own',
            'BalancerMember ajp://10.0.0.3:8009 route=liferay-spare lbset=1 status=+N timeout=61 secret=between-us',
            'ProxySet lbmethod=usher stickysession=PORTALID|portalid scolonpathdelim=On nofailover=On failonstatus=500,503',
            'Header add Set-Cookie PORTALID=.%{BALANCER_WORKER_ROUTE}e; path=/web env=BALANCER_ROUTE_CHANGED',
            'UsherReplay safe',
            'UsherBackendRest failures=4 within=30s',
        ],
        'Proxy balancer://app' => ['BalancerMember ajp://app1.example.com:8009 route=app1', 'ProxySet lbmethod=usher'],
        '' => [],
        'VirtualHost _default_:*' => [$dots, "ProxyPassMatch ^/portal$segment/theme$segment/ !", 'ProxyPass /portal/ balancer://portal/portal/', 'ProxyPass /api/ balancer://app/api/'],
        'VirtualHost www.example.com' => ['ServerName www.example.com', 'ServerAlias example.com *.example.org', $dots,
            'ProxyPass /portal/app/ balancer://app/portal/app/', "ProxyPassMatch ^/portal$segment/theme$segment/ !",
            'ProxyPass /portal/ balancer://portal/portal/', 'ProxyPass /api/ balancer://app/api/'],
        'VirtualHost api.example.com' => ['ServerName api.example.com', $dots, 'ProxyPass / balancer://app/'],
    }, [qr/:23: worker\.common\.fail_on_status=/, qr/:32: worker\.liferay-2\.domain=east: /, qr/:16: worker\.portal\.method=Session/,
        qr/:44: worker\.app1\.busy_limit=20: /, qr/liferay\.conf:12: JkStripSession/, qr/liferay\.conf:16: .*sticky_ignore/,
        qr/liferay\.conf:17: JkEnvVar/, qr/recovery_options of the members differ/, qr/worker\.maintain/]],
);
for my $name (sort keys %good) {
    my ($files, $sections, $told) = @{ $good{$name} };
    my @options = grep { /^--/ } @$files;
    my ($code, $out, $err) = @options ? usherctl('from-jk', @$files[0, 1], ctl_data("$name.properties"), $files->[2])
        : usherctl('from-jk', ctl_data("$name.properties"), @$files);

    is $code, 0, "$name: printed" or diag $err;
    is_deeply sections($out), $sections, "$name: means the same" or diag explain sections($out);
    like $err, $_, "$name: told: $_" for @$told;
    # What is told of a line of a file stands in the configuration, too.
    unlike $err, qr/s3cret|its-own|between-us/, "$name: no secret is told";
    passes($out, $name);
}

# What is broken: [what, the file, what is said]; nothing is printed then.
my $w = "worker.list=a\n";
my @broken = (
    ['a worker that is not there', "worker.list=a,b\nworker.a.port=8009\n", qr/:1: there is no worker b/],
    ['a member that is not there', "${w}worker.a.type=lb\nworker.a.balance_workers=x\n", qr/:3: there is no worker x/],
    ['an lb without members', "${w}worker.a.type=lb\n", qr/:2: worker a: an lb without balance_workers/],
    ['an lb as a member', "${w}worker.a.type=lb\nworker.a.balance_workers=a\n", qr/:3: .*its member a is no server/],
    ['a reference to nothing', "${w}worker.a.reference=worker.b\n", qr/:2: .*there is nothing of that name/],
    ['a reference without "worker."', "${w}worker.a.reference=b\nworker.b.port=1\n", qr/:2: .*"worker\." belongs to it/],
    ['a ring of references', "${w}worker.a.reference=worker.b\nworker.b.reference=worker.a\n", qr/:2: the references of worker a go round/],
    ['a type that is none', "${w}worker.a.type=ajp15\n", qr/:2: worker a: type=ajp15 is none/],
    ['a number that is none', "${w}worker.a.port=80x9\n", qr/:2: worker\.a\.port=80x9 is not a whole number/],
    ['a negative number', "${w}worker.a.port=8009\nworker.a.reply_timeout=-1\n", qr/:3: worker\.a\.reply_timeout=-1 is not/],
    ['a number that is too large', "${w}worker.a.reply_timeout=99999999999\n", qr/:2: .* is not a whole number/],
    ['a port that is none', "${w}worker.a.port=70000\n", qr/with port 70000 is no address/],
    ['a truth that is none', "${w}worker.a.socket_keepalive=maybe\n", qr/:2: .*neither true nor false/],
    ['a host that is none', "${w}worker.a.host=ho st\n", qr/:2: .*"ho st" with port 8009 is no address/],
    ['a status that is none', "worker.list=l\nworker.l.type=lb\nworker.l.balance_workers=a\nworker.a.fail_on_status=many\n", qr/:4: .*many is no status/],
    ['a line that says nothing', "${w}worker.a.port 8009\n", qr/:2: neither a comment nor name=value/],
    ['a variable that is not there', "${w}worker.a.host=\$(nowhere)\n", qr/:2: \$\(nowhere\) is neither in the file/],
    ['a variable without an end', "${w}worker.a.host=\$(nowhere\n", qr/:2: "\$\(" without its/],
    ['a line that is too long', "${w}worker.a.host=" . 'x' x 9000 . "\n", qr/:2: a line of more than 8192 bytes/],
    ['a control character', "${w}worker.a.secret=a\eb\n", qr/:2: a line with a control character/],
    ['garbage', join('', map { chr($_ * 7 % 256) } 1 .. 4000), qr/zero bytes/],
    ['UTF-16', join("\0", split //, $w), qr/zero bytes/],
    ['a file that is too large', "# x\n" x 300_000, qr/more than 1048576 bytes/],
    ['nothing', '', qr/there is no worker ajp13/],
    ['a variable of httpd', "${w}worker.a.secret=x\${PATH}y\n", qr/:2: .* has "\$\{" in it/],
    ['a long secret', "${w}worker.a.mount=/a\nworker.a.secret=" . 'x' x 64 . "\n", qr/:3: worker\.a\.secret: httpd takes secrets of up to 63 bytes/],
    ['a long route', "worker.list=l\nworker.l.type=lb\nworker.l.balance_workers=a\nworker.a.route=" . 'x' x 64 . "\n", qr/route=x+ is longer/],
    ['a name with a quote', "worker.list=\"a\nworker.\"a.port=1\n", qr/:2: the name .* has something else/],
    ['a name of sessions', "worker.list=l\nworker.l.type=lb\nworker.l.balance_workers=a\nworker.a.port=1\nworker.l.session_cookie=A B\n", qr/no names for sessions/],
    ['lists that grow', "worker.list=a\n" . "worker.list=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n" x 9000, qr/becomes too long/],
    ['variables that grow', join('', "v0=" . 'x' x 1000 . "\n", map { my $v = $_ - 1; "v$_=\$(v$v)\$(v$v)\n" } 1 .. 60), qr/becomes too long/],
);
for my $case (@broken) {
    my ($name, $text, $says) = @$case;
    my ($code, $out, $err) = usherctl('from-jk', ctl_file('broken', $text));

    is "$code $out", '1 ', "$name: refused";
    like $err, $says, "$name: and said what and where";
}
my $sound = ctl_file('sound', "${w}worker.a.port=8009\n");
my @broken_conf = (
    ['a mount without a worker', "JkMount /x\n", qr/:1: a mount needs a path and a worker/],
    ['a mount without a slash', "JkMount x a\n", qr/:1: the pattern "x" does not begin/],
    ['a mount file that is not there', "ServerRoot /nowhere\nJkMountFile x.properties\n", qr/nowhere\/x\.properties: /],
    ['a mount file of somewhere', "JkMountFile x.properties\n", qr/--server-root/],
    ['a mount file that is a directory', "JkMountFile /\n", qr/is a directory/],
    ['a mount copy that is none', "JkMountCopy perhaps\n", qr/JkMountCopy is On, Off or All/],
    ['a reply_timeout that is none', "JkMount /x a;reply_timeout=soon\n", qr/:1: ;reply_timeout=soon is not/],
    ['a property that is none', "JkWorkerProperty worker.a.host\n", qr/:1: neither a comment nor name=value/],
);
for my $case (@broken_conf) {
    my ($name, $text, $says) = @$case;
    my ($code, $out, $err) = usherctl('from-jk', $sound, ctl_file('conf', $text));

    is "$code $out", '1 ', "$name: refused";
    like $err, $says, "$name: and said what and where";
}
{
    # As in the files that come with mod_jk.
    my ($code, $out, $err) = usherctl('from-jk', $sound, ctl_file('conf', "JkMount /x nobody\nJkMount /y a\n"));
    is $code, 0, 'a mount of nobody: no error';
    like $err, qr/:1: \/x nobody is left out: there is no worker of this name/, 'but told';
    unlike $out, qr/^[^#\n]*\/x/m, 'and not printed';
    like $out, qr{^ProxyPassMatch "\^/y}m, 'the others are';
}
is((usherctl('from-jk', @$_))[0], 1, "refused: @$_") for ['/nowhere/workers.properties'], ['/'], [$sound, '/nowhere/httpd.conf'], [$sound, '/'];

# Values that try to be more than values: what is printed has no line that a
# sound file would not have, and httpd takes it.
my @hostile = ('a"', "a' b", 'a\\', 'a\\\\"', '"', '\\"', 'x" route=evil', 'x</Proxy>', '%{env}', '$1', '[', 'a;b', '<!--', "\xff\xfe", '!', '"#"' =~ s/#.*//r);
for my $value (@hostile) {
    my $file = ctl_file('hostile', <<"EOT");
worker.list=l,p
worker.l.type=lb
worker.l.balance_workers=a
worker.a.route=$value
worker.a.secret=$value
worker.a.domain=$value
worker.l.redirect=$value
worker.p.secret=$value
worker.p.mount=/mounted
worker.p.unknown=$value
EOT
    my $conf = ctl_file('hostile.conf', join '', map { "$_\n" }
        "JkMount '/" . ($value =~ s/[\\']/\\$&/gr) . "/*' p", 'JkMount "/x/*' . ($value =~ s/[\\"]/\\$&/gr) . '" l', "JkLogFile $value .",
        'JkLogLevel x', "<VirtualHost *:1>\nServerName vhost", "JkShmFile $value .", '</VirtualHost>');
    my ($code, $out, $err) = usherctl('from-jk', $file, $conf);

    is $code, 0, "value $value: printed" or diag $err;
    my $text = join "\n", map { @$_ } values %{ sections($out) };
    is_deeply [sort map { /^(\w+)/ } split /\n/, $text], [sort qw(BalancerMember ProxySet ProxySet ProxyPassMatch ProxyPassMatch ProxyPassMatch),
        ($out =~ /ProxyPass \// ? 'ProxyPass' : 'ProxyPassMatch'), qw(ServerName)], "value $value: is a value"
        or diag $out;
    passes($out, "value $value");
}

# Other ways to say the same
my ($code, $out, $err) = usherctl('from-jk', ctl_file('dos', "\xef\xbb\xbfworker.list = a\r\n\tworker.a.port=8010\t\r\nworker.a.mount=/x/*"));
is_deeply [$code, sections($out)->{''}[1]], [0, 'ProxyPass /x/ ajp://localhost:8010/x/'], 'line ends of Windows, a BOM, no last line end';
($code, $out, $err) = usherctl('from-jk', $sound, ctl_file('conf', <<'EOT'));
jkmount "/a b/*" a
JKMOUNT /more?/* \
    a
JkWorkerProperty worker.list=b
JkWorkerProperty worker.b.port=8010
JkMount /b/* b
JkMount /?.do b
EOT
is_deeply sections($out)->{''}, [$dots, "ProxyPassMatch ^/more.$segment/ ajp://localhost:8009", "ProxyPassMatch ^/a b$segment/ ajp://localhost:8009",
    'ProxyPass /b/ ajp://localhost:8010/b/', "ProxyPassMatch ^/.\\.do$segment\$ ajp://localhost:8010"],
    'names of directives in any letters, lines that go on, JkWorkerProperty' or diag $err, $out;
passes($out, 'that');
($code, $out, $err) = usherctl('from-jk', '--mounts', ctl_file('map', "/m/*=a # comment\n"), $sound);
is_deeply [$code, sections($out)->{''}[1]], [0, 'ProxyPass /m/ ajp://localhost:8009/m/'], '--mounts';
($code, $out, $err) = usherctl('from-jk', ctl_file('old', <<'EOT'));
worker.list=Lb,LB
worker.Lb.type=lb
worker.Lb.balance_workers=a,b
worker.LB.type=lb
worker.LB.balance_workers=a,b,c
worker.a.type=ajp12
worker.a.cmd_line=java
worker.b.lb_factor=2
worker.c.port=8009
EOT
is_deeply sections($out), { '' => [],
    'Proxy balancer://lb' => ['BalancerMember ajp://localhost:8009 route=b loadfactor=2', 'ProxySet lbmethod=usher stickysession=JSESSIONID|jsessionid scolonpathdelim=On'],
    'Proxy balancer://lb-2' => ['BalancerMember ajp://localhost:8009 route=b loadfactor=2', 'ProxySet lbmethod=usher stickysession=JSESSIONID|jsessionid scolonpathdelim=On'],
}, 'names that differ in their letters only, old types, the same server twice' or diag explain sections($out);
like $err, $_, "told: $_" for qr/:6: worker a is left out: type=ajp12/, qr/:9: worker c is left out: it is the same server as b/, qr/:8: .*taken for lbfactor/;

# The command itself
($code, $out, $err) = usherctl('--help');
like $out, qr/from-jk/, '--help names the commands';
is $code, 0, '--help';
($code, $out, $err) = usherctl('--version');
like $out, qr/^usherctl \d+\.\d+\.\d+$/, '--version';
($code, $out, $err) = usherctl('from-jk', '--help');
like $out, qr/^usage: usherctl from-jk/, 'from-jk --help';
is((usherctl(@$_))[0], 2, "wrong usage: @$_") for [], ['nothing'], ['from-jk'], ['from-jk', '--nothing', $sound], ['from-jk', '--mounts'];
done_testing;
