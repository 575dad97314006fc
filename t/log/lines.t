# The lines of mod_usher_log, for each way in which a request may be served and end: the
# whole line is matched, read back, and compared with what the two others say of it.
use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes ();
use Usher::Backend;
use Usher::BackendTest ();
use Usher::Client ();
use Usher::Env ();
use Usher::H2 ();
use Usher::Httpd ();
use Usher::Wait;
use Usher::WebSocket ();

my $has_h2 = $ENV{USHER_MPM} ne 'prefork' && Usher::Env::load_modules('http2');
my ($a, $b, $full) = map { Usher::Backend->new } 1 .. 3;
my $ajp = Usher::Backend->new(protocol => 'ajp');
my $down = Usher::Backend->new;
my $unsafe_port = free_port();
my $httpd = Usher::Httpd->new(usher => [qw(usher usher_backend usher_balancer ushertest)],
    modules => [qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests log_config alias reqtimeout env
        authn_core authn_anon auth_basic authz_user), $has_h2 ? 'http2' : ()]);
my $shipped = join '/', Usher::Env::srcdir(), 'docs/conf/usher-log.conf';
my $include = $httpd->root . '/usher-log.conf';

# As it is installed, but with the modules that were built.
{
    open my $from, '<', $shipped or die "$shipped: $!";
    open my $to, '>', $include or die "$include: $!";
    my $built = Usher::Env::builddir() . '/.libs';
    while (my $line = <$from>) {
        $line =~ s{/usr/lib/apache2/modules/}{$built/};
        print $to $line;
    }
}

$httpd->conf(Usher::BackendTest::one_child() . <<"EOT");
Include $include
CustomLog logs/usher usher
CustomLog logs/httplog httplog
CustomLog logs/json usher_json
LogFormat "%{X-Id}i %{state}^US %{cluster}^US %{member}^US %{tries}^US %{replays}^US %{read}^US/%{queue}^US/%{connect}^US/%{first}^US/%{total}^US %{total_ms}^US %{attempts}^US %{times}^US %{bytes}^US %{id}^US %{conns}^US %{queue_len}^US %{SSL}^US %{tls_version}^US %{tls_ja4}^US %{tls_resumed}^US %{req}^US %{res}^US %{cookie}^US %L" items
CustomLog logs/items items
ErrorLogFormat "[%{u}t] [%-m:%l] [pid %P:tid %T] [id\\ %L] %M"
UsherLogCapture request header X-Id len 60
UsherLogCapture response header X-Answer len 8
UsherLogCapture request header Host len 20
UsherLogCapture cookie SID len 10
RequestReadTimeout header=@{[ 2 * patience - 1 ]}
LimitRequestLine 1000
@{[ $has_h2 ? "Protocols h2c http/1.1\n" : '' ]}
UsherBackendTimeout connect=10s first=30s between=30s
<Location /one/slow>
    UsherBackendTimeout first=500ms
</Location>
UsherBackendRest Off
UsherReplayBudget percent=100 least=1000
<Proxy balancer://app>
    BalancerMember @{[ $a->url ]} route=m1
    BalancerMember @{[ $b->url ]} route=m2
    ProxySet lbmethod=usher
    UsherStickyCookie USHER
</Proxy>
<Proxy balancer://follow>
    BalancerMember @{[ $a->url ]} route=f1
    BalancerMember @{[ $b->url ]} route=f2
    ProxySet lbmethod=usher stickysession=JSESSIONID
</Proxy>
<Proxy balancer://queue>
    BalancerMember @{[ $full->url ]}
    ProxySet lbmethod=usher
    UsherMemberMax 1
    UsherQueue 30s
</Proxy>
<Proxy balancer://pair>
    BalancerMember @{[ $a->url ]} route=p1
    BalancerMember @{[ $b->url ]} route=p2 lbset=1
    ProxySet lbmethod=usher
</Proxy>
<Proxy balancer://stock>
    BalancerMember @{[ $a->url ]} route=s1
</Proxy>
ProxyPass /app/ balancer://app/
ProxyPass /pair/ balancer://pair/
ProxyPass /follow/ balancer://follow/
ProxyPass /queue/ balancer://queue/
ProxyPass /one/ @{[ $a->url('/') ]} upgrade=websocket
ProxyPass /ajp/ @{[ $ajp->url('/') ]}
ProxyPass /down/ @{[ $down->url('/') ]}
<Location /stock/>
    UsherBackend Off
    ProxyPass @{[ $a->url('/') ]}
</Location>
<Location /stockdown/>
    UsherBackend Off
    ProxyPass @{[ $down->url('/') ]}
</Location>
<Location /stockbal/>
    UsherBackend Off
    ProxyPass balancer://stock/
</Location>
<Location /doc/>
    ProxyPass @{[ $a->url('/') ]}
    ErrorDocument 502 /index.html
</Location>
<Location /t>
    SetHandler usher-test
</Location>
<Location /forbidden>
    Require all denied
</Location>
<Location /user/>
    AuthType Basic
    AuthName test
    AuthBasicProvider anon
    Anonymous *
    Anonymous_MustGiveEmail Off
    Anonymous_VerifyEmail Off
    Require valid-user
    ProxyPass @{[ $a->url('/') ]}
</Location>
Redirect /moved http://localhost/elsewhere
Listen 127.0.0.1:$unsafe_port
<VirtualHost 127.0.0.1:$unsafe_port>
    ServerName unsafe.example:8443
    HttpProtocolOptions Unsafe
    UsherLogCapture request header X-Id len 60
</VirtualHost>
EOT
ok($httpd->start, 'httpd starts with the configuration that is shipped') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER[23]\d\d\d|AH00(?:135|957)|AH01114|AH00567|AH01102|AH01097|AH10508|AH02430|AH01079|AH00898|AH01630/);
my $answer = http_answer(200, ['X-Answer' => 'a|long answer', 'Set-Cookie' => 'SID=a/b c; Path=/'], 'hello');
my $ok = http_answer(200, [], 'ok');
$_->on('/ok', $answer) for $a, $b, $full;
$ajp->on('/ok', ajp_answer(200, [], 'hello'));

my $text = qr/(?:\\.|[^"\\])*/;
my $known = qr/-|\d+/;
my $line_like = qr/^
    (?<client>\S+)[ ]-[ ](?<user>\S+)[ ]\[(?<time>\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d[ ][+-]\d{4})\][ ]"(?<request>$text)"[ ]
    (?<status>\d{3})[ ](?<body>$known)[ ]"(?<referer>$text)"[ ]"(?<agent>$text)"[ ]
    vhost=(?<vhost>\S+:\d+)[ ]id=(?<id>\S+)[ ]state=(?<state>[-CSPcsL][-RQCHD][-NIDVEOU][-NIUPDR])[ ]
    cluster=(?<cluster>\S+)[ ]member=(?<member>\S+)[ ]tries=(?<tries>$known)\/(?<replays>$known)[ ]
    times=(?<read>$known)\/(?<queue>$known)\/(?<connect>$known)\/(?<first>$known)\/(?<total>\d+)[ ]
    bytes=(?<in>$known)\/(?<out>$known)[ ]conns=(?<conns>$known)\/(?<vhost_conns>$known)\/(?<cluster_conns>$known)\/(?<member_conns>$known)[ ]
    queue=(?<queue_len>$known)[ ]SSL:\{(?<version>[^ ,{}]+),(?<cipher>[^ ,{}]+)\}[ ]req=\{(?<req>[^ {}]*)\}[ ]res=\{(?<res>[^ {}]*)\}[ ]
    cookie=(?<cookie>[^ \/]+)\/(?<set_cookie>[^ \/]+)$/x;
my $httplog_like = qr/^[A-Z][a-z]{2}[ ]\d\d[ ]\d\d:\d\d:\d\d[ ]\S+[ ]haproxy\[\d+\]:[ ]
    (?<client>\S+):(?<port>\d+)[ ]\[(?<time>\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d\.\d{3})\][ ](?<frontend>\S+)[ ](?<cluster>[^ \/]+)\/(?<member>\S+)[ ]
    (?<read>-?\d+)\/(?<queue>-?\d+)\/(?<connect>-?\d+)\/(?<answer>-?\d+)\/(?<total>\d+)[ ](?<status>\d{3})[ ](?<out>\d+)[ ](?<cookie>\S+)[ ](?<set_cookie>\S+)[ ]
    (?<state>\S{4})[ ](?<conns>\d+)\/(?<vhost_conns>\d+)\/(?<cluster_conns>\d+)\/(?<member_conns>\d+)\/(?<retries>\d+)[ ](?<queue_len>\d+)\/\d+[ ]
    (?<captures>(?:\{[^ {}]*\}[ ])*)"(?<request>[^"]*)"$/x;

sub lines_of {
    my ($name) = @_;

    open my $fh, '<', $httpd->root . "/logs/$name" or return;
    my @lines = <$fh>;
    return @lines;
}

# The lines of requests that end at the same time are in any order in each log: the number $at,
# but where there is an id.
sub line_at {
    my ($name, $at, $id) = @_;
    my @lines = lines_of($name);
    my ($line) = ref $id ? () : grep { /[{ ]\Q$id\E[|}]|"X-Id":"\Q$id\E"/ } @lines;

    $line //= $lines[$at];
    chomp $line;
    return $line;
}

# The three lines of the request with an X-Id, or of that whose line matches, once they are
# there. They are one another's check.
my %seen;
sub told {
    my ($id) = @_;
    my $like = ref $id ? $id : qr/\breq=\{\Q$id\E[|}]/;
    my $at = wait_until {
        my @lines = lines_of('usher');
        my ($found) = grep { $lines[$_] =~ $like && !$seen{$_} } 0 .. $#lines;
        defined $found && @lines == lines_of('json') && @lines == lines_of('httplog') ? \"$found" : undef;
    } 10;
    return fail("$id: it is logged") && {} unless $at;
    $at = $$at;
    $seen{$at} = 1;
    my ($line, $http, $json) = map { line_at($_, $at, $id) } qw(usher httplog json);
    like($line, $line_like, 'usher: the whole line') or return {};
    my %got = (%+, line => $line);
    $line =~ $line_like;
    %got = (%+, line => $line);
    like($http, $httplog_like, 'httplog: the whole line') or return \%got;
    $http =~ $httplog_like;
    $got{http} = { %+ };
    $got{json} = eval { JSON::PP->new->utf8->decode($json) } // {};
    is($@, '', 'json: an object');
    same(\%got);
    return \%got;
}

sub unescaped { return $_[0] =~ s/\\(?:x([0-9A-F]{2})|(.))/defined $1 ? chr hex $1 : $2/ger }

# The three say the same.
sub same {
    my ($got) = @_;
    my ($http, $json) = @$got{qw(http json)};
    my $ms = sub { $_[0] eq '-' ? -1 : int($_[0] / 1000) };
    my $or = sub { $_[0] eq '-' ? undef : $_[0] };

    is("$http->{status} $http->{state} $http->{client}", "$got->{status} $got->{state} $got->{client}", 'httplog: status, state and client');
    is($http->{$_}, $ms->($got->{$_}), "httplog: $_") for qw(read queue connect total);
    is($http->{out}, $got->{out} eq '-' ? 0 : $got->{out}, 'httplog: bytes');
    is($http->{$_}, $got->{$_} eq '-' ? 0 : $got->{$_}, "httplog: $_") for qw(conns vhost_conns cluster_conns member_conns queue_len);
    is($http->{retries}, $got->{tries} eq '-' || !$got->{tries} ? 0 : $got->{tries} - 1, 'httplog: retries');
    is($http->{member}, $got->{member} eq '-' ? '<NOSRV>' : $got->{member}, 'httplog: server');
    is($http->{cluster}, $got->{cluster} eq '-' ? $http->{frontend} : $got->{cluster}, 'httplog: backend');
    my %names = (read => 'read_us', queue => 'queue_us', connect => 'connect_us', first => 'first_us', total => 'total_us', in => 'bytes_in',
        out => 'bytes_out', queue_len => 'queue', map { $_ => $_ } qw(conns vhost_conns cluster_conns member_conns tries replays cluster member
        state id status client vhost));
    is($json->{ $names{$_} }, $or->($got->{$_}), "json: $names{$_}") for sort keys %names;
    is($json->{body_bytes}, $got->{body} eq '-' ? 0 : $got->{body}, 'json: body_bytes');
    like($json->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d$/, 'json: time');
    my $request = $json->{request} // "$json->{method} $json->{uri} $json->{protocol}";
    utf8::encode($request) if grep { ord > 255 } split //, $request;
    is($request, unescaped($got->{request}), 'json: the request') unless $got->{request} =~ /\\x[89A-F]/;
    return;
}

# Of three digits each: what differs is not the length of a request.
my $n = 100;

# Asks, and tells what was logged. A request counts as one in flight until its connection is closed or
# waits for the next one.
sub asked {
    my ($path, %how) = @_;
    my $id = 'r' . ++$n;
    my $client = $how{client} // Usher::Client->new(port => $httpd->port);
    my $answer = $client->request($how{method} // 'GET', $path, ['X-Id' => $id, @{ $how{headers} // [] }], $how{body});
    my $told = told($id);

    if (!$how{client}) {
        $client->half_close;
        $client->read_all;
    }
    return ($told, $answer);
}

# A row: name, path, expected fields
sub is_told {
    my ($got, %want) = @_;

    for my $field (sort keys %want) {
        my $value = $got->{$field};
        ref $want{$field} ? like($value, $want{$field}, $field) : is($value, $want{$field}, $field);
    }
    return;
}

my $time = qr/^\d+$/;
my %reached = (read => $time, queue => 0, connect => $time, first => $time);
my %not_reached = (queue => '-', connect => '-', first => '-');
my %alone = (conns => 1, vhost_conns => 1);

subtest 'the backend handler' => sub {
    my ($got, $answered) = asked('/one/ok?a="b\\', headers => [Referer => 'http://a.example/"x"', 'User-Agent' => 'a test/1.0', Cookie => 'a=b; SID=0123456789abc']);
    my $size = length $answered->{raw} // '';
    is_told($got, %reached, %alone, status => 200, state => '----', cluster => '-', member => $a->url, tries => 1, replays => 0, body => 5,
        request => 'GET /one/ok?a=\\"b\\\\ HTTP/1.1', referer => 'http://a.example/\\"x\\"', agent => 'a test/1.0', user => '-', client => '127.0.0.1',
        vhost => 'localhost:' . $httpd->port, version => '-', cipher => '-', cluster_conns => '-', member_conns => '-', queue_len => '-',
        req => qr/^r\d+\|localhost/, res => 'a\\x7Clong\\x20a', cookie => '0123456789', set_cookie => 'a\\x2Fb\\x20c',
        in => qr/^\d{3}$/, out => qr/^\d{3}$/);
    cmp_ok($got->{total}, '>=', $got->{read} + $got->{connect} + $got->{first}, 'the total is no less than the sum');
    is($got->{http}{cookie}, 'SID=0123456789', 'httplog: the cookie with its name');
    is($got->{http}{captures}, "{$got->{req}} {a#7Clong#20a} ", 'httplog: captures, request and answer');
    is_deeply($got->{json}{req}, { 'X-Id' => "r$n", Host => $got->{json}{req}{Host} }, 'json: captures by name');
    is_deeply([@{ $got->{json} }{qw(res cookie agent)}], [{ 'X-Answer' => 'a|long a' }, { name => 'SID', request => '0123456789', response => 'a/b c' }, 'a test/1.0'], 'json: the others');
    ($got) = asked('/ajp/ok');
    is_told($got, %reached, state => '----', member => $ajp->url, tries => 1, body => 5, res => '', cookie => '-', set_cookie => '-');
};

subtest 'a cluster, and its sessions' => sub {
    my ($got, $answered) = asked('/app/ok');
    is_told($got, %reached, %alone, state => '--NI', cluster => 'app', member => qr/^m[12]$/, tries => 1, cluster_conns => 1, member_conns => 1, queue_len => 0);
    my ($cookie) = map { /^(USHER=[^;]+)/ ? $1 : () } values_of($answered, 'Set-Cookie');
    my $member = $got->{member};
    ($got) = asked('/app/ok', headers => [Cookie => $cookie]);
    is_told($got, state => '--VN', member => $member);
    ($got) = asked('/app/ok', headers => [Cookie => 'USHER=' . 'x' x 74]);
    is_told($got, state => '--II');
    my ($own, $other) = $member eq 'm1' ? ($a, $b) : ($b, $a);
    $own->stop;
    ($got) = asked('/app/ok', headers => [Cookie => $cookie]);
    is_told($got, state => '--DI', member => $member eq 'm1' ? 'm2' : 'm1', tries => 2, replays => 0);
    $own->start;
    ($got) = asked('/follow/ok');
    is_told($got, state => '--NN', cluster => 'follow', member => qr/^f[12]$/);
    $_->on('/login', http_answer(200, ['Set-Cookie' => 'JSESSIONID=1.f2; Path=/'], 'in')) for $a, $b;
    ($got) = asked('/follow/login');
    is_told($got, state => '--NP');
    ($got) = asked('/follow/ok', headers => [Cookie => 'JSESSIONID=1.f2']);
    is_told($got, state => '--VN', member => 'f2');
    ($got) = asked('/follow/ok', headers => [Cookie => 'JSESSIONID=1.nobody']);
    is_told($got, state => '--IN');
};

sub values_of { my ($answer, $name) = @_; return map { lc $_->[0] eq lc $name ? $_->[1] : () } @{ $answer->{headers} // [] } }

subtest 'stock handlers' => sub {
    my ($got) = asked('/stock/ok');
    is_told($got, %not_reached, %alone, state => '----', cluster => '-', member => $a->url, tries => '-', replays => '-', read => $time, status => 200);
    ($got) = asked('/stockbal/ok');
    is_told($got, state => '----', cluster => 'stock', member => 's1');
    $down->stop;
    ($got) = asked('/stockdown/ok');
    is_told($got, state => 'SC--', status => 503, member => $down->url);
    $a->on('/cut', cut);
    ($got) = asked('/stock/cut', method => 'POST', body => 'x');
    is_told($got, state => 'SH--', status => 502);
    $a->on('/bad', http_answer(502, [], 'by itself'));
    ($got) = asked('/stock/bad');
    is_told($got, state => '----', status => 502);
};

subtest 'what httpd answers itself' => sub {
    my ($got) = asked('/index.html');
    is_told($got, %not_reached, %alone, status => 200, state => 'LR--', cluster => '-', member => '-', tries => '-', read => $time, body => 11);
    ($got) = asked('/moved');
    is_told($got, status => 302, state => 'LR--');
    ($got) = asked('/nope');
    is_told($got, %not_reached, status => 404, state => 'PR--');
    ok($httpd->log->wait_for(qr/\[id \Q$got->{id}\E\].*AH00128/, 5), 'its id leads to the line of the error log');
    ($got) = asked('/forbidden');
    is_told($got, status => 403, state => 'PR--');
    ($got) = asked('/user/ok');
    is_told($got, %not_reached, status => 401, state => 'PR--', cluster => '-', member => '-', tries => '-');
};

# Sends bytes, maybe ends, and tells the line that matches.
sub sent {
    my ($bytes, $like, %how) = @_;
    my $client = Usher::Client->new(port => $how{port} // $httpd->port);

    $client->send($bytes);
    my $end = $how{end};
    $client->$end if $end;
    $client->read_all unless $end && $end ne 'half_close';
    return told($like);
}

subtest 'errors before a handler ran' => sub {
    my %none = (%not_reached, read => '-', member => '-');
    my $got = sent("GET /ctl\x01 HTTP/1.1\r\n\r\n", qr{/ctl});
    is_told($got, %none, status => 400, state => 'PR--', request => 'GET /ctl\\x01 HTTP/1.1');
    $got = sent("GET /long" . 'x' x 2000 . " HTTP/1.1\r\n\r\n", qr{ 414 });
    is_told($got, %none, state => 'PR--', status => 414);
    $got = sent("GET /late HTTP/1.1\r\nHost: a\r\n", qr{/late});
    is_told($got, %none, state => 'cR--', status => 408);
    cmp_ok($got->{total}, '>=', 900_000, 'its time is that since the first line');
    $got = sent("GET /went HTTP/1.1\r\nHost: a\r\nX: ", qr{/went}, end => 'half_close');
    is_told($got, %none, state => 'CR--', status => 400);
    for my $case (['', '0/0', '-'], ["2710\r\n" . 'x' x 10_000 . "\r\n", '1/0', $a->url]) {
        my ($chunks, $tries, $member) = @$case;
        my $id = 'chunk' . ++$n;
        $got = sent("POST /one/ok HTTP/1.1\r\nHost: a\r\nX-Id: $id\r\nTransfer-Encoding: chunked\r\n\r\n" . $chunks x 15 . "ZZ\r\n", qr/\b$id\b/);
        is_told($got, status => 400, state => 'PR--', member => $member);
        is("$got->{tries}/$got->{replays}", $tries, 'tries');
    }
    $got = sent("GET /nohost HTTP/1.1\r\n\r\n", qr{/nohost});
    is_told($got, state => 'PR--', status => 400);
};

subtest 'clients that go away' => sub {
    my $large = 100_000_000;
    $a->on('/wait', [stall]);
    $a->on('/large', [http_answer(200, [], undef, length => $large), fill($large)]);
    my %moments = ('/one/wait' => ['CH--', 499], '/app/wait' => ['CHN', 499], '/one/large' => ['CD--', 200], '/stock/large' => ['CD--', 200]);
    $b->on('/wait', [stall]);
    for my $path (sort keys %moments) {
        my ($state, $status) = @{ $moments{$path} };
        my $id = 'gone' . ++$n;
        my $client = Usher::Client->new(port => $httpd->port);
        $client->send(http_request(GET => $path, ['X-Id' => $id]));
        $path =~ /large/ ? $client->until(sub { ${ $_[0] } =~ /\r\n\r\n/ || undef }, 5)
            : wait_until { grep { scalar $_->deliveries($id) } $a, $b };
        $client->reset;
        my $got = told($id);
        is_told($got, state => qr/^\Q$state\E/, status => $status);
        cmp_ok($got->{out}, '<', $large, "$path: not all went out") if $path =~ /large/;
    }
    # Within its own body
    my $id = 'body' . ++$n;
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send("POST /one/ok HTTP/1.1\r\nHost: a\r\nX-Id: $id\r\nContent-Length: 1000\r\n\r\nsome");
    $client->reset;
    is_told(told($id), state => qr/^C[RH]--/);
};

subtest 'backends that fail' => sub {
    my $sound = http_answer(200, [], 'a sound answer');
    my @cases = (
        ['/one/cut', cut, 'SH--', 502], ['/one/slow', [stall], 'sH--', 504], ['/one/half', [at($sound, length($sound) - 3, stall(patience > 1 ? 3 : 0.1), rst)], 'SD--', 200],
        ['/one/odd', ["no HTTP\r\n\r\n", stall], 'PH--', 502], ['/doc/cut', cut, 'SH--', 502],
    );
    for my $case (@cases) {
        my ($path, $play, $state, $status) = @$case;
        $a->on($path =~ s{^/\w+}{}r, $play);
        my ($got) = asked($path, method => 'POST', body => 'x');
        is_told($got, state => $state, status => $status, tries => qr/^[12]$/, member => $a->url);
    }
    $down->stop;
    my ($got) = asked('/down/ok');
    is_told($got, state => 'SC--', status => 503, first => '-', member => $down->url, tries => 1);
    $a->on('/twice', cut);
    $b->on('/twice', $ok);
    ($got) = asked('/pair/twice');
    is_told($got, status => 200, state => '----', cluster => 'pair', member => 'p2', tries => qr/^[23]$/, replays => 1);
};

# The first request is held until both others wait. Which of those has its turn first is not said.
subtest 'a queue' => sub {
    $full->on("/slow$_", [hold("queue$_"), $ok]) for 0 .. 2;
    my @clients;
    # Over when that has asked it: it is in flight no more.
    my $waiting = sub {
        my $client = Usher::Client->new(port => $httpd->port);
        $client->send(http_request(GET => '/t?look=balancer://queue,-,-,' . $full->url, [Connection => 'close']));
        my ($all) = $client->read_all;
        return $all =~ / cluster_waiting=(\d+)/ ? $1 : -1;
    };
    for my $i (0 .. 2) {
        $clients[$i] = Usher::Client->new(port => $httpd->port);
        $clients[$i]->send(http_request(GET => "/queue/slow$i", ['X-Id' => "queue$i"]));
        ok((wait_until { $i ? $waiting->() == $i : $full->holding('queue0') }), $i ? "$i wait" : 'one is at the member');
    }
    my $from = Time::HiRes::time();
    select undef, undef, undef, 0.1;
    my $held = int(1e6 * (Time::HiRes::time() - $from));
    $full->release('queue0');
    my @got = (told('queue0'));
    $full->release("queue$_") for 1, 2;
    $_->answer for @clients;
    push @got, map { told("queue$_") } 1, 2;
    is_told($got[0], queue => 0, queue_len => 0, member => $full->url, cluster => 'queue');
    cmp_ok($got[$_]{queue}, '>=', $held, 'the others have waited') for 1, 2;
    is("$got[1]{queue_len} $got[2]{queue_len}", '0 1', 'who was there before');
    is("$got[0]{conns} $got[0]{vhost_conns} $got[0]{cluster_conns}", '3 3 1', 'in flight: all three, one at the member');
    ok((wait_until { my ($got) = asked('/queue/ok'); "$got->{conns} $got->{cluster_conns} $got->{member_conns}" eq '1 1 1' }), 'and none is left counted');
};

subtest 'a kept connection' => sub {
    my $client = Usher::Client->new(port => $httpd->port);
    asked('/one/ok', client => $client);
    my ($first) = asked('/one/ok', client => $client);
    select undef, undef, undef, 0.5;
    my $from = Time::HiRes::time();
    my ($got) = asked('/one/ok', client => $client);
    my $took = int(1e6 * (Time::HiRes::time() - $from));
    cmp_ok($got->{read}, '<', $took, 'the time between two requests is neither one\'s');
    cmp_ok($got->{total}, '<', $took, 'nor in the total');
    is($got->{in}, $first->{in}, 'bytes are of the request');
    isnt($got->{id}, $first->{id}, 'each has an id of its own');
};

subtest 'a tunnel' => sub {
    $a->on('/ws', [upgraded_answer()]);
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send("GET /one/ws HTTP/1.1\r\nHost: a\r\nX-Id: ws\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    $client->until(sub { ${ $_[0] } =~ /bytes$/ || undef }, 5);
    $client->close;
    is_told(told('ws'), status => 101, state => '----', tries => 1, member => $a->url);
};

sub upgraded_answer { return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nbytes", cut }

if ($has_h2) {
    subtest 'HTTP/2' => sub {
        my $h2 = Usher::H2->new(port => $httpd->port);
        my @streams = map { $h2->start(GET => '/app/ok', ['x-id' => "h2-$_"]) } 1, 2;
        $h2->answer($_) for @streams;
        # mod_http2 may let go of a request, which is logged then, as late as its connection is idle
        # for too long, or ends.
        $h2->close;
        my @got = map { told("h2-$_") } 1, 2;
        is_told($_, status => 200, state => '--NI', read => $time, first => $time, request => 'GET /app/ok HTTP/2.0') for @got;
        $h2 = Usher::H2->new(port => $httpd->port);
        my $stream = $h2->start(GET => '/one/wait', ['x-id' => 'h2-gone']);
        wait_until { scalar $a->deliveries('h2-gone') };
        $h2->cancel($stream);
        is_told(told('h2-gone'), state => 'CH--', status => 499);
    };
}

subtest 'hostile bytes' => sub {
    my $evil = "\x1b]0;owned\x07\x9b31m\r\n127.0.0.1 - - [x] \"GET /forged HTTP/1.1\" 200\0{|}";
    my $basic = encode_base64("a b\x1b[31m\"\n:x", '');
    my ($got) = asked('/user/ok', headers => [Authorization => "Basic $basic"]);
    is_told($got, user => 'a\\x20b\\x1B[31m\\"\\x0A', status => 200);
    is($got->{json}{user}, "a b\x1b[31m\"\n", 'json: the user');
    ($got) = asked("/one/ok?\xc3\xa9\xe9\xc2\x9b", headers => ['User-Agent' => "caf\xc3\xa9 \xff\xc2\x9b", Cookie => "SID=\x80\x9b|{/}"]);
    is_told($got, agent => 'caf\\xC3\\xA9 \\xFF\\xC2\\x9B', cookie => '\\x80\\x9B\\x7C\\x7B\\x2F\\x7D');
    is($got->{json}{agent}, "caf\x{e9} \x{ff}\x{9b}", 'json: what is UTF-8 is, the rest by its number') if $got->{status} == 200;
    # What the strict parser refuses, as the logs have it; and where httpd is told to take it.
    for my $byte (map { chr } 0 .. 9, 11, 12, 14 .. 31, 34, 92, 123 .. 127, 128, 155, 192, 237, 255) {
        for my $port ($httpd->port, $unsafe_port) {
            my $client = Usher::Client->new(port => $port);
            $client->send("GET /byte$byte HTTP/1.0\r\nX-Id: b$byte\r\nUser-Agent: ${byte}u\r\nReferer: r$byte\r\nCookie: SID=$byte\r\nHost: h$byte\r\n\r\n");
            $client->read_all;
        }
    }
    sent("$evil\r\n\r\n", qr/owned/, port => $unsafe_port);
    my ($forged) = grep { m{^127\.0\.0\.1 - - \[x\]} } lines_of('usher');
    is($forged, undef, 'nobody forges a line');
    my @wrong = grep { /[^\x20-\x7e\n]/ || $_ !~ $line_like } lines_of('usher');
    is_deeply(\@wrong, [], 'usher: printable ASCII, and each line can be read');
    @wrong = grep { /[^\x20-\x7e\n]/ || $_ !~ $httplog_like } lines_of('httplog');
    is_deeply(\@wrong, [], 'httplog: the same');
    @wrong = grep { /[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]/ || !eval { JSON::PP->new->utf8->decode($_) } } lines_of('json');
    is_deeply(\@wrong, [], 'json: no control characters, and each line can be decoded');
    ok((wait_until { lines_of('usher') == lines_of('json') }), 'as many lines in each');
};

subtest 'single items' => sub {
    for my $case (['/app/ok', 'app'], ['/index.html', '-']) {
        my ($got) = asked($case->[0], headers => [Cookie => 'SID=x']);
        my $line;
        wait_until { ($line) = grep { /^r$n / } lines_of('items') };
        my @items = split ' ', $line;
        is_deeply([@items[1 .. 5]], [@$got{qw(state cluster member)}, "$got->{tries}/$got->{replays}", $got->{replays}], 'state, cluster, member, tries and replays');
        is($items[6], join('/', @$got{qw(read queue connect first total)}), 'times');
        is($items[7], int($got->{total} / 1000), 'milliseconds');
        is($items[8] ne '-', $case->[1] ne '-', 'attempts, where there were some');
        is_deeply([@items[10 .. 12]], ["$got->{in}/$got->{out}", $got->{id}, join '/', @$got{qw(conns vhost_conns cluster_conns member_conns)}], 'bytes, id, conns');
        is_deeply([@items[14 .. 17]], ['{-,-}', '-', '-', '-'], 'nothing of TLS');
        is_deeply([@items[18 .. 20]], ["{$got->{req}}", "{$got->{res}}", "$got->{cookie}/$got->{set_cookie}"], 'captures');
    }
};

# HAProxy's own reader
my ($halog) = grep { -x } map { "$_/halog" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/bin';
if ($halog) {
    my %want;
    for (lines_of('httplog')) {
        next unless $_ =~ $httplog_like;
        my ($name, $class) = ("$+{cluster}/$+{member}", substr $+{status}, 0, 1);
        $want{$name}[$_]++ for $class, 6;
    }
    my $file = $httpd->root . '/logs/httplog';
    my %got = map { my ($name, @counts) = split ' '; $name =~ m{/} ? ($name => [undef, map { $_ || undef } @counts[0 .. 4, 6]]) : () }
        qx($halog -srv <$file 2>/dev/null);
    is_deeply({ map { $_ => [@{ $got{$_} }[1 .. 6]] } keys %got }, { map { $_ => [@{ $want{$_} }[1 .. 6]] } keys %want }, 'halog counts the same for each server');
}

$_->stop for $a, $b, $full, $ajp;
$httpd->finish('httpd lives');
done_testing;
