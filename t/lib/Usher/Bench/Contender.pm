# The proxies that are compared, each configured to do the same: keep
# connections on both sides, tell the backend who asked (X-Forwarded-*), write no
# access log, pass bodies on as they come. Each has one process with threads, or
# one event loop. And httpd without a proxy, which no handler can be faster than.
package Usher::Bench::Contender;

use strict;
use warnings FATAL => 'all';

use Usher::Bench::Backend ();
use Usher::Bench::Cpu ();
use Usher::Bench::Daemon ();
use Usher::Env ();
use Usher::Httpd ();
use Usher::Tomcat ();
use Usher::Wait;

my $large = qr/^(?:1m|100m|post)$/;

# Name => how it is started, and what it takes part in: ajp, tls (requests over
# AJP, over TLS to the backend), balances (only where three members are compared
# with one), pages (only requests of these names, and no balancer), by (what
# t/bench/balance may have a request's member chosen, see there; only_by: it is
# compared only there); with: options for start.
my %contender = (
    proxy_http => { title => 'mod_proxy_http', by => [qw(turn route)], start => \&_proxy_http },
    usher      => { title => 'Usher', start => \&_usher },
    # The same with UsherLinger On.
    proxy_http_linger => { title => 'mod_proxy_http, linger', pages => qr/^1k$/, with => { linger => 1 }, start => \&_proxy_http },
    usher_linger => { title => 'Usher, linger', pages => qr/^1k$/, with => { linger => 1 }, start => \&_usher },
    # A cluster of Usher's.
    usher_balancer => { title => 'Usher, lbmethod=usher', balances => 1, by => [qw(turn cookie users route table)],
                        with => { lbmethod => 'usher' }, start => \&_usher_balancer },
    usher_requests => { title => 'Usher, lbmethod=usher-requests', only_by => 1, by => [qw(turn)],
                        with => { lbmethod => 'usher-requests' }, start => \&_usher_balancer },
    usher_busyness => { title => 'Usher, lbmethod=usher-busyness', only_by => 1, by => [qw(turn)],
                        with => { lbmethod => 'usher-busyness' }, start => \&_usher_balancer },
    usher_hash => { title => 'Usher, lbmethod=usher-hash', only_by => 1, by => [qw(hash)],
                    with => { lbmethod => 'usher-hash' }, start => \&_usher_balancer },
    proxy_http_tls => { title => 'mod_proxy_http, TLS', tls => 1, start => \&_proxy_http },
    usher_tls  => { title => 'Usher, TLS', tls => 1, start => \&_usher },
    proxy_ajp  => { title => 'mod_proxy_ajp', ajp => 1, start => \&_proxy_ajp },
    usher_ajp  => { title => 'Usher, AJP', ajp => 1, start => \&_usher_ajp },
    jk         => { title => 'mod_jk', ajp => 1, by => [qw(turn route)], start => \&_jk },
    # The same with packets of 64 KiB instead of 8, to a Tomcat that has them.
    usher_ajp64 => { title => 'Usher, AJP, 64 KiB', ajp => 64, pages => $large, start => \&_usher_ajp },
    proxy_ajp64 => { title => 'mod_proxy_ajp, 64 KiB', ajp => 64, pages => $large, start => \&_proxy_ajp },
    jk64        => { title => 'mod_jk, 64 KiB', ajp => 64, pages => $large, start => \&_jk },
    # With buffers of 64 KiB instead of 8 and 16, and without any.
    proxy_http64 => { title => 'mod_proxy_http, 64 KiB', pages => $large, with => { buffer => 65536 }, start => \&_proxy_http },
    haproxy    => { title => 'HAProxy', by => [qw(turn cookie table hash)], start => \&_haproxy },
    haproxy_least => { title => 'HAProxy, leastconn', only_by => 1, by => [qw(turn)], with => { balance => 'leastconn' }, start => \&_haproxy },
    haproxy64  => { title => 'HAProxy, 64 KiB', pages => $large, with => { buffer => 65536 }, start => \&_haproxy },
    haproxy_splice => { title => 'HAProxy, splice', pages => $large, with => { splice => 1 }, start => \&_haproxy },
    nginx      => { title => 'nginx', by => [qw(turn hash)], start => \&_nginx },
    static     => { title => 'httpd itself', pages => qr/^(?:1k|1m|100m)$/, start => \&_static },
);

sub all {
    return qw(proxy_http proxy_http64 proxy_http_linger usher usher_linger usher_balancer proxy_http_tls usher_tls proxy_ajp proxy_ajp64 usher_ajp usher_ajp64
        jk jk64 haproxy haproxy64 haproxy_splice nginx static usher_requests usher_busyness usher_hash haproxy_least);
}

# The names in such a list, default all; those that cannot take part are named
# to the reader.
sub chosen {
    my ($list) = @_;
    my @names;

    for my $name (defined $list ? split(/,/, $list) : all()) {
        my $why = missing($name);
        print "Left out: $name ($why)\n" if $why;
        push @names, $name unless $why;
    }
    return @names;
}

# Why one cannot take part, or nothing.
sub missing {
    my ($name) = @_;

    return "$name: there is no such proxy" unless $contender{$name};
    return 'mod_jk is not installed' if $name =~ /^jk/ && !-e "$ENV{USHER_LIBEXEC}/mod_jk.so";
    return "$1 is not installed" if $name =~ /^(haproxy|nginx)/ && !Usher::Bench::Daemon::found($1);
    my $module = $name =~ /^usher_(?:balancer|requests|busyness|hash)$/ ? 'usher_balancer' : $name =~ /_linger$/ ? 'usher_linger' : 'usher_backend';
    return "mod_$module is not built" if $name =~ /^usher|_linger$/ && !grep { $_ eq $module } Usher::Env::usher_modules();
    return 'TLS needs mod_ssl and the openssl command'
        if $contender{$name}{tls} && !(Usher::Env::load_modules('ssl') && Usher::Bench::Daemon::found('openssl'));
    if ($contender{$name}{ajp}) {
        my $why = Usher::Tomcat::missing();
        return "no Tomcat: $why" if $why;
    }
    return;
}

# Whether it takes part in a scenario { page => name of the request, below => a
# balancer's path, tls => over TLS to the backend; or by => how the balancer chooses }.
sub takes {
    my ($name, $scenario) = @_;
    my $self = $contender{$name};

    return scalar grep { $_ eq $scenario->{by} } @{ $self->{by} // [] } if $scenario->{by};
    return if $self->{only_by} || !$self->{tls} != !$scenario->{tls};
    return if $self->{balances} && !$scenario->{below};
    return !$self->{pages} || (!$scenario->{below} && $scenario->{page} =~ $self->{pages});
}

# The backends that the named ones need, as start() takes them. Of the HTTP one as
# many addresses as said, default three.
sub backends {
    my $members = ref $_[0] ? shift->{members} : undef;
    my @needs = map { $contender{$_} } @_;
    my %backend = (nginx => Usher::Bench::Backend::nginx(members => $members, tls => scalar grep { $_->{tls} } @needs));

    $backend{tomcat} = Usher::Bench::Backend::tomcat() if grep { ($_->{ajp} // 0) == 1 } @needs;
    $backend{tomcat64} = Usher::Bench::Backend::tomcat(packet_size => 65536) if grep { ($_->{ajp} // 0) == 64 } @needs;
    return %backend;
}

# start(name, nginx => the HTTP backend, tomcat and tomcat64 => the AJP ones,
# httpd => { more options of Usher::Httpd }, wrap => [what others run in],
# by => what the balancer chooses). The balancer below /b/ is of all addresses
# that the HTTP backend has; over AJP of as many names for the one Tomcat.
sub start {
    my ($class, $name, %opt) = @_;
    my $self = bless { name => $name, %{ $contender{$name} } }, $class;

    %opt = (%opt, tls => $self->{tls}, %{ $self->{with} // {} });
    if (($self->{ajp} // 0) == 64) {
        $opt{tomcat} = $opt{tomcat64};
        $opt{packet} = 65536;
    }
    $self->{process} = delete($self->{start})->(%opt);
    $self->{port} = $self->{process}{port};
    return $self;
}

# Whether it is one, with whatever modules.
sub is_httpd { return $_[0] !~ /^(?:haproxy|nginx)/ }

sub name  { $_[0]{name} }
sub title { $_[0]{title} }
sub title_of { $contender{ $_[0] }{title} }
sub ajp   { $_[0]{ajp} }
sub ajp_of { $contender{ $_[0] }{ajp} }
sub balances { $_[0]{balances} }
sub port  { $_[0]{port} }
sub stop  { $_[0]{process}->stop }
sub pid   { $_[0]{process}->pid }

# Its pids, the first one's descendants too.
sub pids { return Usher::Bench::Cpu::pids($_[0]->pid) }

# User and system seconds that they have used so far.
sub cpu { return Usher::Bench::Cpu::seconds($_[0]->pid) }

# httpd

# What no httpd passes on.
our $own_path = '/bench/own';

sub _httpd {
    my ($opt, $modules, $usher, $conf) = @_;
    my $own = grep({ $_ eq 'proxy' } @$modules) ? "ProxyPass $own_path !" : '';
    if ($opt->{linger}) {
        $modules = ['watchdog', grep { $_ ne 'watchdog' } @$modules];
        $usher = ['usher_linger', 'usher', grep { $_ ne 'usher' } @$usher];
        $conf = "UsherLinger On\n$conf";
    }
    my $httpd = Usher::Httpd->new(
        loglevel => 'warn', modules => $modules, usher => $usher, mpm => 'event', %{ $opt->{httpd} // {} },
        conf => <<"EOT");
ServerLimit 1
StartServers 1
ThreadLimit 128
ThreadsPerChild 128
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
MaxKeepAliveRequests 0
KeepAliveTimeout 60
Timeout 60
$own
$conf
EOT
    $httpd->start or die "httpd does not start: ", $httpd->console;
    return $httpd;
}

my @proxy = qw(proxy proxy_balancer slotmem_shm lbmethod_byrequests);

# The modules for such a backend.
sub _proxy_modules {
    my (%opt) = @_;

    return (@proxy, $opt{tls} ? 'ssl' : (), ($opt{by} // '') eq 'route' ? 'headers' : ());
}

# What a balancer needs to choose by such a thing; and the header that tells the client
# his route, which is the stock balancer's way.
my %in_cluster = (
    route  => "ProxySet stickysession=ROUTEID\n",
    cookie => "UsherStickyCookie ID\n",
    users  => "UsherStickyCookie ID\n",
    table  => "UsherStick cookie:SID\n",
    hash   => qq(UsherHashKey "%{HTTP:Cookie}"\n),
);
my $set_route = qq(Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED\n);

sub _http_conf {
    my (%opt) = @_;
    my @addresses = @{ $opt{nginx}{addresses} };
    my $n = 0;

    return _tls_conf(%opt) if $opt{tls};
    return join '', $opt{buffer} ? "ProxyIOBufferSize $opt{buffer}\n" : '', "<Proxy balancer://all>\n",
        (map { ++$n; "BalancerMember http://$_" . ($opt{by} ? " route=m$n\n" : "\n") } @addresses),
        $opt{lbmethod} ? "ProxySet lbmethod=$opt{lbmethod}\n" : '', $in_cluster{ $opt{by} // '' } // '', "</Proxy>\n",
        ($opt{by} // '') eq 'route' ? $set_route : '',
        "ProxyPass /b/ balancer://all/b/\nProxyPass / http://$addresses[0]/\n";
}


sub _tls_conf {
    my (%opt) = @_;

    return <<"EOT";
SSLProxyEngine On
SSLProxyVerify require
SSLProxyCACertificateFile $opt{nginx}{ca}
ProxyPass / https://127.0.0.1:$opt{nginx}{tls_port}/
EOT
}

sub _proxy_http {
    my (%opt) = @_;

    return _httpd(\%opt, [_proxy_modules(%opt), 'proxy_http'], [], _http_conf(%opt));
}

sub _usher {
    my (%opt) = @_;

    return _httpd(\%opt, ['watchdog', _proxy_modules(%opt)], [qw(usher usher_backend)], _http_conf(%opt));
}

# The small page from its configuration, large ones as the files that the HTTP
# backend has, too.
sub _static {
    my (%opt) = @_;
    my $small = 'x' x $Usher::Bench::Backend::size{'1k'};

    return _httpd(\%opt, ['alias'], [], <<"EOT");
Redirect 200 /1k
ErrorDocument 200 $small
DocumentRoot $opt{nginx}{root}
<Directory />
AllowOverride None
</Directory>
EOT
}

sub _usher_balancer {
    my (%opt) = @_;

    return _httpd(\%opt, [qw(watchdog proxy), ($opt{by} // '') eq 'route' ? 'headers' : ()], [qw(usher usher_backend usher_balancer)],
        _http_conf(%opt));
}

# Three members need three names of the one Tomcat.
sub _ajp_conf {
    my (%opt) = @_;
    my ($port, $secret) = ($opt{tomcat}->port, $opt{tomcat}->secret);
    my @members = map { "BalancerMember ajp://$_:$port secret=$secret\n" } qw(127.0.0.1 127.1 localhost);

    return join '', "<Proxy balancer://all>\n", @members, "</Proxy>\n",
        $opt{packet} ? "ProxyIOBufferSize $opt{packet}\n" : '',
        "ProxyPass /b/ balancer://all/b/\nProxyPass / ajp://127.0.0.1:$port/ secret=$secret\n";
}

sub _proxy_ajp {
    my (%opt) = @_;

    return _httpd(\%opt, [@proxy, 'proxy_ajp'], [], _ajp_conf(%opt));
}

sub _usher_ajp {
    my (%opt) = @_;

    return _httpd(\%opt, ['watchdog', @proxy], [qw(usher usher_backend)], _ajp_conf(%opt));
}

sub _jk {
    my (%opt) = @_;
    my ($port, $secret) = ($opt{tomcat}->port, $opt{tomcat}->secret);
    my @members = map { "m$_" } 1 .. @{ $opt{nginx}{addresses} };
    my @workers = map { my $n = $_; map { "JkWorkerProperty worker.$n.$_\n" }
        'type=ajp13', 'host=127.0.0.1', "port=$port", "secret=$secret",
        $opt{packet} ? "max_packet_size=$opt{packet}" : () } 'one', @members;
    my @lb = ('type=lb', map({ "balance_workers=$_" } @members),
        ($opt{by} // '') eq 'route' ? ('set_session_cookie=true', 'session_cookie=ROUTEID') : 'sticky_session=false');

    return _httpd(\%opt, [], [], join '', "LoadModule jk_module $ENV{USHER_LIBEXEC}/mod_jk.so\n",
        "JkLogFile logs/jk.log\nJkLogLevel error\nJkShmFile logs/jk.shm\n", @workers,
        "JkWorkerProperty worker.list=one,all\n", map({ "JkWorkerProperty worker.all.$_\n" } @lb),
        "JkMount /b/* all\nJkMount /* one\nJkUnMount $own_path one\n");
}

# Others

sub _haproxy {
    my (%opt) = @_;
    my $port = free_port();
    my $by = $opt{by} // '';
    my @addresses = @{ $opt{nginx}{addresses} };
    my $user = $> == 0 ? 'user nobody group ' . getgrgid((getpwnam 'nobody')[3]) : '';
    my $n = 0;
    my $members = join '', map { ++$n; "    server m$n $_" . ($by eq 'cookie' ? " cookie m$n" : '') . "\n" } @addresses;
    my $balance = join "\n    ", $by eq 'hash' ? ('balance hdr(Cookie)', 'hash-type consistent') : "balance ${\ ($opt{balance} // 'roundrobin') }",
        $by eq 'cookie' ? 'cookie ID insert indirect nocache' : (),
        $by eq 'table' ? ('stick-table type string len 64 size 100k expire 30m', 'stick on req.cook(SID)', 'stick store-response res.cook(SID)') : ();
    my $buffer = $opt{buffer} ? "tune.bufsize $opt{buffer}" : '';
    my $splice = $opt{splice} ? join("\n    ", 'option splice-request', 'option splice-response') : '';
    my $daemon = Usher::Bench::Daemon->new(name => 'haproxy', files => { 'haproxy.cfg' => <<"EOT" });
global
    nbthread 1
    maxconn 9000
    $buffer
    ${\ ($user ? join("\n    ", $user =~ /(user \S+) (group \S+)/) : '') }
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option forwardfor
    http-reuse always
    default-server pool-purge-delay 1h
    $splice
frontend in
    bind 127.0.0.1:$port
    use_backend all if { path_beg /b/ }
    default_backend one
backend one
    server m1 $addresses[0]
backend all
    $balance
$members
EOT
    $daemon->{port} = $port;
    return $daemon->start($port, @{ $opt{wrap} // [] }, 'haproxy', '-db', '-f', '@ROOT@/haproxy.cfg');
}

sub _nginx {
    my (%opt) = @_;
    my $port = free_port();
    my @addresses = @{ $opt{nginx}{addresses} };
    my $kept = 128 + @addresses;
    my $members = join ' ', ($opt{by} // '') eq 'hash' ? 'hash $http_cookie consistent;' : (), map { "server $_;" } @addresses;
    my $user = $> == 0 ? 'user nobody ' . getgrgid((getpwnam 'nobody')[3]) . ';' : '';
    my $daemon = Usher::Bench::Daemon->new(name => 'nginx', files => { 'nginx.conf' => <<"EOT" });
$user
worker_processes 1;
pid \@ROOT\@/pid;
error_log \@ROOT\@/error_log warn;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path \@ROOT\@/body;
    proxy_temp_path \@ROOT\@/proxy;
    fastcgi_temp_path \@ROOT\@/fastcgi;
    uwsgi_temp_path \@ROOT\@/uwsgi;
    scgi_temp_path \@ROOT\@/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 60s;
    client_max_body_size 0;
    large_client_header_buffers 8 16k;
    upstream one { server $addresses[0]; keepalive 128; keepalive_requests 1000000000; }
    upstream all { $members keepalive $kept; keepalive_requests 1000000000; keepalive_timeout 600s; }
    server {
        listen 127.0.0.1:$port backlog=1024;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Host \$http_host;
        proxy_set_header X-Forwarded-Server localhost;
        proxy_request_buffering off;
        proxy_max_temp_file_size 0;
        location /b/ { proxy_pass http://all; }
        location / { proxy_pass http://one; }
    }
}
EOT
    $daemon->{port} = $port;
    # What it runs in sees one process.
    return $daemon->start($port, @{ $opt{wrap} // [] }, 'nginx', '-c', '@ROOT@/nginx.conf', '-e', '@ROOT@/error_log', '-g',
        'daemon off;' . ($opt{wrap} ? ' master_process off;' : ''));
}

1;
