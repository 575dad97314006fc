# Health checks in the background (UsherCheck): what is asked, which answers are good,
# who is down and up again when, and that one child checks for all.
use strict;
use warnings FATAL => 'all';

use HTTP::Tiny ();
use IO::Socket::INET ();
use List::Util qw(max min);
use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::CoreTest ();
use Usher::Names ();
use Usher::Tomcat ();
use Usher::Wait;

my ($a, $b) = backends(qw(a b));
my ($A, $B) = map { $_->url } $a, $b;

# For those without time to lose
my $fast = 'interval=200ms timeout=20s rise=2 fall=2 slowstart=0';

sub members { return join '', map { "BalancerMember $_\n" } @_ }

sub cluster {
    my ($check, $members, $more) = @_;

    return "<Proxy balancer://app>\nProxySet lbmethod=usher-requests nonce=n0nce growth=3\n" . ($members // members($A, $B))
        . "UsherCheck $check\n</Proxy>\nProxyPass /t !\nProxyPass /manager !\nProxyPass / balancer://app/\n" . ($more // '');
}

sub checked_httpd {
    my ($conf, %opt) = @_;

    return balancer_httpd('standin', $conf, loglevel => 'info usher_balancer:trace2', %opt);
}

# Put the usual answers back.
sub calm {
    for (['a', $a], ['b', $b]) {
        $_->[1]->start if !$_->[1]{pid};
        $_->[1]->clear;
        $_->[1]->on(qr{.}, http_answer(200, ['Content-Type' => 'text/plain'], $_->[0]));
    }
    return;
}

# The results of checks of a member, in the order of the log.
sub results {
    my ($httpd, $url) = @_;

    return map { /check of \Q$url\E: (.*)$/ ? $1 : () } $httpd->log->lines;
}

# The last of them until a line tells that the member stands otherwise: that of the last check
# comes just after it.
sub results_until {
    my ($httpd, $url, $changed, $count) = @_;
    my @found;

    wait_until {
        my $has_changed;
        @found = ();
        for my $line ($httpd->log->lines) {
            $has_changed ||= $line =~ $changed;
            next if $line !~ /check of \Q$url\E: (.*?)(?: after .*)?$/;
            push @found, $1;
            return 1 if $has_changed;
        }
        return;
    };
    return join ' ', @found > $count ? @found[-$count .. -1] : @found;
}

sub down { my ($url, $reason) = @_; return qr/USHER3045: balancer:\/\/app: \Q$url\E is down, .* failed: $reason/ }
sub up { return qr/USHER3046: balancer:\/\/app: \Q$_[0]\E is up again/ }

sub children {
    my ($httpd) = @_;

    open my $fh, '<', "/proc/$httpd->{pid}/task/$httpd->{pid}/children" or return;
    return split ' ', scalar <$fh>;
}

subtest 'what configtest says' => sub {
    my $fine = members($A);
    my $ajp = members('ajp://127.0.0.1:8009');
    my @cases = (
        ['nothing', '', $fine, qr/takes off alone; or auto, tcp, cping, http or https/],
        ['no kind', 'ping', $fine, qr/UsherCheck "ping": takes off alone/],
        ['off with more', 'off rise=2', $fine, qr/UsherCheck "off rise=2": takes off alone/],
        ['an unknown key', 'tcp rises=2', $fine, qr/UsherCheck "rises=2": takes key=value with the keys path, /],
        ['rise', 'tcp rise=0', $fine, qr/UsherCheck "rise=0": rise takes 1 to 1000/],
        ['interval', 'tcp interval=1ms', $fine, qr/UsherCheck "interval=1ms": interval takes 100ms to 1h/],
        ['down-interval', 'tcp down-interval=2h', $fine, qr/UsherCheck "down-interval=2h": down-interval takes 100ms to 1h/],
        ['timeout', 'tcp timeout=1ms', $fine, qr/UsherCheck "timeout=1ms": timeout takes 10ms to 1h/],
        ['method', 'http method=POST', $fine, qr/UsherCheck "method=POST": method takes GET, HEAD or OPTIONS/],
        ['keys of HTTP for tcp', 'tcp path=/x', $fine, qr/UsherCheck tcp: path=, host=, method= and expect= are for checks over HTTP/],
        ['keys of HTTP for cping', 'cping host=x', $ajp, qr/UsherCheck cping: path=,/],
        ['a path without a slash', 'http path=x', $fine, qr/UsherCheck "path=x": a path begins with a slash/],
        ['a path with a blank', 'http path="/a b"', $fine, qr/UsherCheck "path=\/a b": a path begins with a slash, and has neither blanks/],
        ['a host that is a URL', 'http host=http://x', $fine, qr/UsherCheck "host=http:\/\/x": takes a name/],
        ['no expression', 'http expect="%{REQUEST_STATUS} ="', $fine, qr/UsherCheck "expect=%\{REQUEST_STATUS\} =": syntax error/],
        ['a subrequest', q(http expect="-U '/x'"), $fine, qr/UsherCheck "expect=-U '\/x'": .*-U, -F and -A ask for another request/],
        ['cping of an http member', 'cping', $fine, qr/USHER3023: <Proxy balancer:\/\/app>: "UsherCheck cping" does not fit its member \Q$A\E: take auto, or tcp/],
        ['http of an ajp member', 'http', $ajp, qr/"UsherCheck http" does not fit its member ajp:/],
        ['https of an http member', 'https', $fine, qr/"UsherCheck https" does not fit its member http:/],
        ['http of an https member', 'http', members('https://127.0.0.1:8443'), qr/"UsherCheck http" does not fit/],
        (map { ["$_, where it fits", $_->[0], $_->[1]] } ['tcp', "$fine$ajp"], ['cping', $ajp], ['http', $fine . members('ws://127.0.0.1:81')],
            ['https', members('https://127.0.0.1:8443', 'wss://127.0.0.1:8444')], ['off', $fine], ['Auto', "$fine$ajp"],
            [q(auto "path=/x?y=z" host=[::1]:80 method=HEAD expect="%{REQUEST_STATUS} in { '200', '204' } && resp('X') =~ /y z/" interval=1s down-interval=10s timeout=1s rise=1 fall=1000 slowstart=1m), $fine]),
    );
    for my $case (@cases) {
        my ($name, $check, $members, $says) = @$case;
        my ($code, $out) = checked_httpd(cluster($check, $members))->configtest;
        $name = "fits: $check" if !$says;
        $says ? like $out, $says, $name : is $code, 0, $name or diag $out;
        isnt $code, 0, "$name: refused" if $says;
    }
    my ($code, $out) = checked_httpd("UsherCheck tcp\n")->configtest;
    like $out, qr/UsherCheck belongs into the section <Proxy balancer:\/\/name> of its cluster/, 'elsewhere';
};

subtest 'what the backend gets' => sub {
    my $httpd = checked_httpd(cluster(q(http path=/health?x=1 host=app.example.com:81 ) . $fast));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok((wait_until { $a->requests('/health') && $b->requests('/health') } 5), 'both are asked, without any request');
    my ($request) = $a->requests('/health');
    is "$request->{method} $request->{uri}", 'GET /health?x=1', 'method and path';
    is $request->{header}{host}, 'app.example.com:81', 'Host';
    like $request->{header}{'user-agent'}, qr{^Usher-Check/\d+\.\d+}, 'User-Agent';
    is $request->{header}{connection}, 'close', 'and that the connection ends';
    ok((wait_until { (my @n = $a->requests('/health')) >= 4 } 5), 'again and again');
    is +(results($httpd, $A))[0] =~ s/ after .*//r, 'passed', 'it is up';
    $httpd->finish('nothing alarming in the log');

    $httpd = checked_httpd(cluster("auto method=HEAD $fast"));
    calm();
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok((wait_until { $a->requests('/') } 5), 'it is asked');
    ($request) = $a->requests('/');
    is $request->{method}, 'HEAD', 'another method';
    is $request->{header}{host}, '127.0.0.1:' . $a->port, 'the Host of the member';
    $httpd->finish('nothing alarming in the log');
};

subtest 'down after fall, up after rise' => sub {
    calm();
    my $httpd = checked_httpd(cluster("http path=/health interval=200ms timeout=20s rise=3 fall=2 slowstart=0"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok((wait_until { results($httpd, $A) && results($httpd, $B) } 5), 'the first checks');
    like row($httpd, 6), qr/^(?:ab|ba)+$/, 'both serve';
    $httpd->log->expect(down($A, qr/status 503 after [\d.]+ms; 1 of 1 other members get requests/), up($A));
    $a->on('/health', http_answer(503, [], 'no'), http_answer(200, [], 'a'), http_answer(503, [], 'no'), http_answer(503, [], 'no'));
    ok $httpd->log->wait_for(down($A, qr/status 503/)), 'down';
    is results_until($httpd, $A, down($A, qr/status 503/), 4), 'status 503 passed status 503 status 503', 'by two failures in a row';
    is row($httpd, 8), 'b' x 8, 'and gets no requests, whatever it would answer';
    is scalar(() = grep { /USHER3008/ } $httpd->log->lines), 0, 'as no request has found out';
    $a->on('/health', http_answer(200, [], 'a'));
    ok $httpd->log->wait_for(up($A)), 'up';
    is results_until($httpd, $A, up($A), 4), 'status 503 passed passed passed', 'by three good ones';
    like row($httpd, 6), qr/^(?:ab|ba)+$/, 'and serves again';
    is scalar(grep { /USHER3045/ } $httpd->log->lines), 1, 'said once';
    $httpd->finish('nothing else in the log');
};

subtest 'a member that is dead when httpd starts' => sub {
    calm();
    $a->stop;
    my $httpd = checked_httpd(cluster('tcp interval=1m timeout=20s fall=5'));
    $httpd->log->expect(down($A, qr/no connection: Connection refused/));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok $httpd->log->wait_for(down($A, qr//), 5), 'the first check comes at once and is enough';
    is row($httpd, 8), 'b' x 8, 'no request goes there';
    $httpd->finish('nothing else in the log');
};


# Clusters of one member each, all checked by one httpd: name => what UsherCheck says.
sub clusters {
    my ($url, %checks) = @_;

    return join '', map {
        "<Proxy balancer://$_>\nProxySet lbmethod=usher-requests\nBalancerMember $url\nUsherCheck $checks{$_}\n</Proxy>\nProxyPass /$_ balancer://$_/\n"
    } sort keys %checks;
}

# The first result in a cluster.
sub first_result {
    my ($httpd, $name, $limit) = @_;
    my $line = $httpd->log->wait_for(qr/balancer:\/\/$name: check of/, $limit) or return 'none';

    return $line =~ /: check of \S+ (.*?)(?: after [\d.]+ms)?$/ ? $1 : $line;
}

subtest 'answers over HTTP' => sub {
    calm();
    my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    my $wide = "HTTP/1.1 200 OK\r\nX-Ready: yes\r\nContent-Type: text/plain\r\nContent-Length: 1000000000\r\n\r\n";
    my $time = 'timeout=300ms';
    my @variables = qw(HTTP_ACCEPT HTTP_COOKIE HTTP_HOST HTTP_USER_AGENT REQUEST_METHOD REQUEST_SCHEME REQUEST_URI REQUEST_FILENAME
        REMOTE_ADDR REMOTE_PORT REMOTE_HOST REMOTE_USER REMOTE_IDENT SERVER_NAME SERVER_PORT SERVER_ADMIN SERVER_PROTOCOL DOCUMENT_ROOT
        AUTH_TYPE CONTENT_TYPE HANDLER HTTPS IPV6 REQUEST_LOG_ID CONN_LOG_ID CONN_REMOTE_ADDR CONTEXT_PREFIX CONTEXT_DOCUMENT_ROOT
        SCRIPT_FILENAME PATH_INFO QUERY_STRING IS_SUBREQ THE_REQUEST SERVER_SOFTWARE API_VERSION TIME TIME_YEAR REQUEST_STATUS);
    # name => [what the backend does, how the check ends, more keys]
    my %cases = (
        status399 => [http_answer(399, [], ''), 'passed'],
        status400 => [http_answer(400, [], ''), 'status 400'],
        status304 => ["HTTP/1.1 304 Not Modified\r\n\r\n", 'passed'],
        interim => ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n$ok", 'passed'],
        switching => ["HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 'status 101'],
        pieces => [trickle($ok, 7, 0.01), 'passed'],
        bodyless => [[$wide, stall()], 'passed'],
        garbage => ["nonsense\r\n\r\n", 'malformed answer'],
        binary => [join('', map { chr } 0 .. 255), 'malformed answer'],
        long => ["HTTP/1.1 200 OK\r\nX: " . 'y' x 20_000, 'malformed answer'],
        interims => ["HTTP/1.1 100 Continue\r\n\r\n" x 5000, 'malformed answer'],
        nothing => [[cut()], 'closed without a whole answer'],
        half => [["HTTP/1.1 200 OK\r\nX: ", cut()], 'closed without a whole answer'],
        reset => [[rst()], 'closed without a whole answer: Connection reset by peer'],
        silent => [[stall()], 'no whole answer', $time],
        slow => [trickle("HTTP/1.1 200 OK\r\n" . "X: y\r\n" x 50 . "\r\n", 1, 0.05), 'no whole answer', $time],
        expected => [$wide, 'passed', q(expect="resp('X-Ready') == 'yes' && %{CONTENT_TYPE} == 'text/plain'")],
        unexpected => [$ok, 'not as expect= says: status 200', q(expect="resp('X-Ready') == 'yes'")],
        teapot => [http_answer(418, [], ''), 'passed', q(expect="%{REQUEST_STATUS} == 418")],
        # Whatever an expression asks for, there is an answer to it.
        variables => [$ok, 'passed', 'expect="\'' . join(' ', map { "%{$_}" } @variables) . q(' =~ m#GET .*200#")],
    );
    $a->on("/$_", $cases{$_}[0]) for keys %cases;
    my $httpd = checked_httpd(clusters($A, map { $_ => "http path=/$_ interval=1h timeout=30s " . ($cases{$_}[2] // '') } keys %cases));
    $httpd->log->tolerate(qr/USHER3045/);
    ok $httpd->start, 'starts' or diag $httpd->console;
    for my $name (sort keys %cases) {
        my $got = first_result($httpd, $name);
        my ($want) = $cases{$name}[1];
        is $got, $want, $name;
    }
    my ($why) = grep { /USHER3045: balancer:\/\/garbage:/ } $httpd->log->lines;
    like $why, qr/malformed answer after [\d.]+ms \(.+\); 0 of 0 other members/, 'the log says what was wrong with it';
    is who($httpd, '/status400'), 'a', 'a member without others gets requests also when it is down';
    $httpd->finish('nothing else in the log');
};

subtest 'connections' => sub {
    calm();
    my $full = Usher::Backend->new(backlog => 1);
    my $unix = Usher::Backend->new(unix => 1);
    my $gone = Usher::Backend->new(unix => 1);
    $_->on(qr{.}, http_answer(200, [], 'u')) for $unix, $gone;
    $full->full;
    $gone->stop;
    my $httpd = checked_httpd(
        clusters($full->url, full => 'tcp timeout=300ms')
        . clusters($unix->url, unix => 'http timeout=20s', unixtcp => 'tcp timeout=20s') . clusters($gone->url, gone => 'tcp timeout=20s')
        . clusters($A, listens => 'tcp timeout=20s'));
    $httpd->log->tolerate(qr/USHER3045/);
    ok $httpd->start, 'starts' or diag $httpd->console;
    is first_result($httpd, 'full'), 'no answer to the connect', 'a full backlog';
    is first_result($httpd, 'unix'), 'passed', 'a unix socket';
    my ($request) = $unix->requests('/');
    is $request->{header}{host}, 'localhost', 'with the Host of its URL';
    is first_result($httpd, 'unixtcp'), 'passed', 'the same with tcp';
    like first_result($httpd, 'gone'), qr/^no connection: (?:No such file|Connection refused)/, 'a unix socket that is gone';
    is first_result($httpd, 'listens'), 'passed', 'a port';
    is scalar(my @none = $a->requests), 0, 'of which nothing is asked';
    $httpd->finish('nothing else in the log');
};

subtest 'CPING' => sub {
    calm();
    my %plays = (pong => ajp_cpong(), other => ajp_get_body(10), garbage => 'HTTP/1.1 400 Bad Request', half => ["AB\0", cut()], silent => [stall()]);
    my %says = (pong => 'passed', other => 'no CPONG, but another packet', garbage => 'malformed answer',
        half => 'closed without a whole answer', silent => 'no whole answer');
    my %backends = map { $_ => Usher::Backend->new(protocol => 'ajp') } keys %plays;
    $backends{$_}->on('CPING', $plays{$_}) for keys %plays;
    my $httpd = checked_httpd(join '', map { clusters($backends{$_}->url, $_ => ($_ eq 'pong' ? 'auto' : 'cping') . ($_ eq 'silent' ? ' timeout=500ms' : ' timeout=20s')) } keys %plays);
    $httpd->log->tolerate(qr/USHER3045/);
    ok $httpd->start, 'starts' or diag $httpd->console;
    is first_result($httpd, $_), $says{$_}, $_ for sort keys %plays;
    $httpd->finish('nothing else in the log');
};

if (!Usher::Tomcat->missing) {
    subtest 'a real Tomcat over AJP' => sub {
        my $tomcat = Usher::Tomcat->start(proto => 'ajp');
        my $url = 'ajp://127.0.0.1:' . $tomcat->port;
        my $httpd = checked_httpd(clusters($url, app => "auto interval=200ms timeout=20s rise=2 fall=2"));
        $httpd->log->expect(down($url, qr/no connection: Connection refused|closed without/));
        ok $httpd->start, 'starts' or diag $httpd->console;
        is first_result($httpd, 'app'), 'passed', 'it answers CPING, without its secret';
        $tomcat->stop;
        ok $httpd->log->wait_for(down($url, qr//)), 'stopped: down';
        $httpd->finish('nothing else in the log');
    };
}

subtest 'TLS' => sub {
    calm();
    my %opt = (good => {}, other => {}, expired => { tls => { cert => 'expired' } }, old => { tls => { versions => ['1.0'], ciphers => 'ALL:@SECLEVEL=0' } }, stalled => {}, closed => {}, refuses => {}, slow => {});
    my %backends = map { $_ => Usher::Backend->new(protocol => 'https', %{ $opt{$_} }) } keys %opt;
    $_->on(qr{.}, http_answer(200, [], 'ok')) for values %backends;
    $backends{stalled}->on('HELLO', [stall()]);
    $backends{closed}->on('HELLO', [cut()]);
    $backends{refuses}->on('HELLO', [alert(40), cut()]);
    $backends{slow}->on(qr{.}, trickle(http_answer(200, [], 'ok'), 5, 0.005));
    my $plain = Usher::Backend->new;
    $plain->on('ACCEPT', [http_answer(400, [], 'TLS?'), cut()]);
    my %checks = map { $_ => 'auto timeout=20s' } keys %opt;
    $checks{other} = 'https host=app.example.com:8443 timeout=20s';
    my $httpd = checked_httpd((join '', map { clusters($backends{$_}->url, $_ => $checks{$_} =~ s/20s/300ms/r) } 'stalled')
        . (join '', map { clusters($backends{$_}->url, $_ => $checks{$_}) } grep { $_ ne 'stalled' } keys %opt)
        . clusters($plain->url =~ s/^http/https/r, plain => 'https timeout=20s'), modules => [qw(proxy proxy_balancer slotmem_shm headers ssl socache_shmcb)]);
    $httpd->log->tolerate(qr/USHER3045|ssl/);
    ok $httpd->start, 'starts' or diag $httpd->console;
    is first_result($httpd, $_), 'passed', $_ for qw(good other expired old slow);
    is first_result($httpd, 'stalled'), 'no whole answer', 'a handshake that does not go on';
    is first_result($httpd, $_), 'TLS handshake failed', $_ for qw(closed refuses plain);
    my ($good) = $backends{good}->requests('/');
    ok !$good->{tls}{sni}, 'no name is said for an address';
    my ($other) = $backends{other}->requests('/');
    is $other->{tls}{sni}, 'app.example.com', 'but that of host=';
    is $other->{header}{host}, 'app.example.com:8443', 'which is the Host as well';
    my ($why) = grep { /USHER3045: balancer:\/\/refuses:/ } $httpd->log->lines;
    like $why, qr/TLS handshake failed after [\d.]+ms \(.*handshake failure\)/, 'the log says what was wrong with it';
    $httpd->finish('nothing else in the log');
};

subtest 'names' => sub {
    calm();
    my $names = Usher::Names->new('good.test' => ['127.0.0.1'], 'two.test' => ['127.0.0.9', '127.0.0.1'], 'hangs.test' => ['127.0.0.1'], 'none.test' => undef);
    my $port = $a->port;
    # Without IPv6 100:: is no address to connect to, with it there is no way there.
    $names->set('six.test' => ['100::', '127.0.0.1'], 'refuses.test' => ['127.0.0.9', '100::'], 'ours.test' => ['100::']);
    $names->hang('hangs.test');
    my $began = time;
    my $httpd = checked_httpd((join '', map { clusters("http://$_.test:$port", $_ => "auto path=/$_ interval=300ms rise=1 fall=1 timeout=" . ($_ eq 'hangs' ? '200ms' : '20s')) } qw(good two hangs none six refuses ours)), $names->options);
    $httpd->log->tolerate(qr/USHER304[56]|AH|USHER3047: balancer:\/\/ours: .* is not checked: the check could not be made: Cannot assign/);
    ok $httpd->start, 'starts' or diag $httpd->console;
    is first_result($httpd, $_), 'passed', $_ for qw(good two six);
    like first_result($httpd, 'refuses'), qr/^no connection: (?:Connection refused|Network is unreachable)/, 'an address that cannot be tried hides no dead member';
    like first_result($httpd, 'ours'), qr/^(?:the check could not be made: Cannot assign requested address|no connection: Network is unreachable)/, 'but when none can be it is not the member';
    is first_result($httpd, 'none'), 'its name has no address', 'a name that is not known';
    is first_result($httpd, 'hangs'), 'its name was not looked up in time', 'a name server that does not answer';
    is scalar(my @others = grep { /balancer:\/\/(?:good|two): check of/ && !/: passed after/ } $httpd->log->lines), 0, 'holds up no other checks';
    $names->answer('hangs.test');
    ok $httpd->log->wait_for(qr/USHER3046: balancer:\/\/hangs: .* is up again/), 'when it answers again the member is up';
    $names->set('none.test' => ['127.0.0.1']);
    ok $httpd->log->wait_for(qr/USHER3046: balancer:\/\/none: .* is up again/), 'a name that has come to be known as well';
    cmp_ok $names->asked('good.test'), '<=', 4 + (time - $began) / 30, 'no name is looked up for each check';
    $names->hang('none.test');
    $httpd->finish('nothing else in the log, and a look-up that hangs does not keep httpd from ending');
};

subtest 'all are down: a session tries its own member' => sub {
    calm();
    $_->on('/health', http_answer(500, [], 'no')) for $a, $b;
    $a->on('/login', http_answer(200, ['Set-Cookie' => 'SID=x1.ra'], 'a'));
    $b->on('/login', http_answer(200, ['Set-Cookie' => 'SID=x2.rb'], 'b'));
    my %by = (cookie => 'UsherStickyCookie US', route => 'ProxySet stickysession=SID', table => 'UsherStick cookie:SID');
    my $httpd = checked_httpd(join '', map {
        "<Proxy balancer://$_>\nProxySet lbmethod=usher-requests\nBalancerMember $A route=ra\nBalancerMember $B route=rb\n"
            . "UsherCheck http path=/health $fast\n$by{$_}\n</Proxy>\nProxyPass /$_ balancer://$_\n"
    } sort keys %by);
    $httpd->log->tolerate(qr/USHER3026/); # the cookie's key is its own
    $httpd->log->expect(map { my $by = $_; map { qr/USHER3045: balancer:\/\/$by: \Q$_\E is down/ } $A, $B } sort keys %by);
    ok $httpd->start, 'starts' or diag $httpd->console;
    for my $by (sort keys %by) {
        ok $httpd->log->wait_for(qr/USHER3045: balancer:\/\/$by: \Q$_\E is down/), "$by: down" for $A, $B;
        for (1, 2) {
            my $first = Usher::Client->get($httpd->port, "/$by/login");
            my $set = join '; ', $first->{head} =~ /^Set-Cookie: ([^;\r]*)/mg;
            is row($httpd, 6, "/$by/", [Cookie => $set]), $first->{body} x 6, "$by: stays";
        }
    }
    $httpd->finish('nothing else in the log');
};

subtest 'all are down: the last resort' => sub {
    calm();
    $_->on('/health', http_answer(500, [], 'no')) for $a, $b;
    my $httpd = checked_httpd(cluster("http path=/health $fast"));
    $httpd->log->expect(down($A, qr/status 500/), down($B, qr/status 500/));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok $httpd->log->wait_for(down($_, qr//)), 'down' for $A, $B;
    ok scalar(grep { /0 of 1 other members get requests/ } $httpd->log->lines), 'nobody is left';
    like row($httpd, 6), qr/^[ab]{6}$/, 'requests are served all the same';
    $httpd->log->expect(up($B));
    $b->on('/health', http_answer(200, [], 'yes'));
    ok $httpd->log->wait_for(up($B)), 'one is up';
    is row($httpd, 6), 'b' x 6, 'and has them all';
    $httpd->finish('nothing else in the log');
};

subtest 'sessions, draining members, and those that never rest' => sub {
    calm();
    my ($c, $d) = backends(qw(c d));
    my ($C, $D) = map { $_->url } $c, $d;
    my $httpd = checked_httpd(cluster("http path=/health $fast", "BalancerMember $A route=one\nBalancerMember $B route=two\n"
        . "BalancerMember $C route=three status=+N\nBalancerMember $D route=four status=+I\nProxySet stickysession=S\n"));
    $_->on('/health', http_answer(500, [], 'no')) for $a, $c, $d;
    $httpd->log->expect(down($A, qr/status 500/), down($C, qr/status 500/), down($D, qr/status 500/), up($C));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok $httpd->log->wait_for(down($_, qr//)), 'down' for $A, $C, $D;
    like row($httpd, 4, '/', [Cookie => 'S=x.one']), qr/^[bd]{4}$/, 'a session leaves a member that is down';
    like row($httpd, 4, '/', [Cookie => 'S=x.three']), qr/^[bd]{4}$/, 'also a draining one';
    is row($httpd, 4, '/', [Cookie => 'S=x.four']), 'dddd', 'but not one that never rests';
    $c->on('/health', http_answer(200, [], 'yes'));
    ok $httpd->log->wait_for(up($C)), 'the draining one is up';
    is row($httpd, 4, '/', [Cookie => 'S=x.three']), 'cccc', 'its sessions are back';
    $httpd->finish('nothing else in the log');
};

subtest 'checks and requests are two witnesses' => sub {
    calm();
    my $httpd = checked_httpd(cluster("http path=/health $fast", undef, "UsherBackendRest failures=1 rest=1h share=50 slowstart=0\n"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok((wait_until { results($httpd, $A) }), 'checked');
    $a->on('/cut', [cut()]);
    $httpd->log->expect(qr/USHER3008: balancer:\/\/app: \Q$A\E gets no requests/);
    $httpd->log->tolerate(qr/usher_backend:/);
    row($httpd, 4, '/cut');
    ok $httpd->log->wait_for(qr/USHER3008/), 'it rests, as its requests failed';
    my $n = () = results($httpd, $A);
    ok((wait_until { (() = results($httpd, $A)) >= $n + 4 }), 'its checks go well');
    is row($httpd, 4), 'bbbb', 'but they do not end its rest';
    $httpd->log->expect(down($A, qr/status 500/), up($A));
    $a->on('/health', http_answer(500, [], 'no'));
    ok $httpd->log->wait_for(down($A, qr//)), 'it is down, too';
    $a->on('/health', http_answer(200, [], 'yes'));
    ok $httpd->log->wait_for(up($A)), 'and up';
    like row($httpd, 4), qr/^(?:ab|ba)+$/, 'then its rest is over as well';
    $httpd->finish('nothing else in the log');
};

# Who looks at all members for each request takes no account of sessions.
subtest 'a member that is down by both is not looked for with each request' => sub {
    calm();
    my ($c) = backends('c');
    my $C = $c->url;
    my $httpd = checked_httpd(cluster("http path=/health $fast", "BalancerMember $A route=one\nBalancerMember $B route=two\nBalancerMember $C route=three\n"
        . "ProxySet stickysession=S\n", "UsherBackendRest failures=1 rest=1s share=50 slowstart=0\n"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok((wait_until { results($httpd, $C) }), 'checked');
    $c->on('/cut', [cut()]);
    $httpd->log->expect(qr/USHER3008: balancer:\/\/app: \Q$C\E gets no requests/, down($C, qr/status 500/));
    $httpd->log->tolerate(qr/usher_backend:/);
    row($httpd, 1, '/cut', [Cookie => 'S=x.three']);
    $c->on('/health', http_answer(500, [], 'no'));
    ok $httpd->log->wait_for(down($C, qr//)), 'it rests, and is down';
    my $since = time;
    wait_until { time > $since + 2 };
    like row($httpd, 4), qr/^(?:ab|ba)+$/, 'its rest is over, its checks go on to fail';
    is row($httpd, 2, '/', [Cookie => 'S=x.one']), 'aa', 'a session';
    like row($httpd, 4), qr/^bb(?:ab|ba)$/, 'whose requests were turns';
    $httpd->finish('nothing else in the log');
};

subtest 'slow start' => sub {
    calm();
    $a->on('/health', http_answer(500, [], 'no'));
    my $httpd = checked_httpd(cluster('http path=/health interval=100ms timeout=20s rise=1 fall=1 slowstart=' . 30 * patience . 's'));
    $httpd->log->expect(down($A, qr/status 500/), up($A));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok $httpd->log->wait_for(down($A, qr//)), 'down';
    $a->on('/health', http_answer(200, [], 'yes'));
    ok $httpd->log->wait_for(up($A)), 'up';
    my $count = () = row($httpd, 80) =~ /a/g;
    cmp_ok $count, '<=', 20, "a small share: $count of 80";
    cmp_ok $count, '>=', 1, 'but some';
    $httpd->finish('nothing else in the log');
};

subtest 'one child checks for all, and another one goes on' => sub {
    calm();
    my $httpd = checked_httpd(cluster("http path=/health interval=500ms timeout=20s rise=2 fall=2"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $count = sub { my @n = $a->requests('/health'); scalar @n };
    ok((wait_until { $count->() >= 6 }), 'checks');
    my %pids = map { /\[pid (\d+)/ ? ($1 => 1) : () } grep { /check of/ } $httpd->log->lines;
    is scalar(keys %pids), 1, 'by one child';
    my ($checker) = keys %pids;
    $httpd->log->tolerate(qr/AH00052|AH1039[23]|AH00060/);
    kill 'KILL', $checker;
    my $before = $count->();
    # A check that was under way counts as such until its timeout is over.
    ok((wait_until { $count->() >= $before + 3 } 40), 'it is killed: another one goes on');
    my @others = map { /\[pid (\d+)/ && $1 != $checker ? $1 : () } grep { /check of/ } $httpd->log->lines;
    ok scalar(@others), 'which says so';
    $httpd->finish('nothing else in the log');
};

subtest 'what is known over restarts' => sub {
    calm();
    $a->on('/health', http_answer(500, [], 'no'));
    my $httpd = checked_httpd(cluster("http path=/health $fast"));
    $httpd->log->expect(down($A, qr/status 500/));
    $httpd->log->tolerate(qr/AH/);
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok $httpd->log->wait_for(down($A, qr//)), 'down';
    for my $how (qw(graceful restart)) {
        ok $httpd->$how, "$how";
        my $n = () = results($httpd, $A);
        is row($httpd, 8), 'b' x 8, 'still down';
        # Where a check was just under way the next one is made when its timeout is over.
        ok((wait_until { (() = results($httpd, $A)) >= $n + 4 } 40), 'and checked');
        is row($httpd, 8), 'b' x 8, 'still down';
    }
    is scalar(grep { /USHER3045/ } $httpd->log->lines), 1, 'said once';
    my $to = sub {
        my $before = Usher::CoreTest::ask($httpd, 'pid')->{generation};
        $httpd->conf(balancer_conf(cluster($_[0])));
        return $httpd->graceful && wait_until { (Usher::CoreTest::ask($httpd, 'pid')->{generation} // -1) > $before };
    };
    ok $to->('off'), 'checks off';
    like row($httpd, 6), qr/^(?:ab|ba)+$/, 'forgotten';
    ok $to->("http path=/health $fast"), 'on again';
    ok((wait_until { (grep { /USHER3045/ } $httpd->log->lines) == 2 }), 'down again');
    is row($httpd, 4), 'bbbb', 'it gets nothing';
    ok $to->("tcp $fast"), 'another kind of check';
    ok((wait_until { row($httpd, 4) =~ /a/ } 3), 'begins anew');
    ok !(grep { /USHER3046/ } $httpd->log->lines), 'which is no news';
    $httpd->finish('nothing else in the log');
};

subtest 'balancer-manager adds a member' => sub {
    calm();
    my $c = Usher::Backend->new;
    my $C = $c->url;
    $c->on(qr{.}, http_answer(500, [], 'no'));
    my $httpd = checked_httpd(cluster('http interval=1m timeout=20s', undef, "<Location /manager>\nSetHandler balancer-manager\n</Location>\n"));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok((wait_until { results($httpd, $A) }), 'checked');
    my $http = HTTP::Tiny->new(proxy => undef, keep_alive => 0);
    is $http->post_form($httpd->url('/manager'), { b => 'app', nonce => 'n0nce', b_wyes => 1, b_nwrkr => $C },
        { headers => { Referer => $httpd->url('/manager') } })->{status}, 200, 'added';
    $httpd->log->expect(down($C, qr/status 500/));
    ok $httpd->log->wait_for(down($C, qr//), 6), 'it is checked at once, before any request';
    $httpd->finish('nothing else in the log');
};

subtest 'a thousand members' => sub {
    calm();
    # Connections that nobody accepts count as good; they are taken away now and then.
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 4096, Proto => 'tcp', ReuseAddr => 1) or die $!;
    my $port = $listener->sockport;
    my $httpd = balancer_httpd('standin', cluster('tcp interval=1s timeout=10s', members(map { sprintf "http://127.0.0.1:$port/m%04d", $_ } 1 .. 1000)), loglevel => 'info usher_balancer:trace2');
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $take = sub { $listener->blocking(0); 1 while $listener->accept };
    my %times;
    my $each = sub {
        $take->();
        %times = ();
        $times{$_}++ for map { /check of \S+\/m(\d+): passed/ ? $1 : () } $httpd->log->lines;
        return keys %times == 1000 && !grep { $_ < 3 } values %times;
    };
    ok((wait_until { $each->() } 30), 'each is checked three times') or diag scalar keys %times;
    my ($least, $most) = (min(values %times), max(values %times));
    cmp_ok $most - $least, '<=', 3, "none much more often than another ($least to $most)";
    $httpd->finish('nothing alarming in the log');
};

subtest 'with the stock modules as carriers' => sub {
    calm();
    $a->on('/health', http_answer(500, [], 'no'));
    my $httpd = balancer_httpd('stock', cluster("http path=/health $fast"));
    $httpd->log->expect(down($A, qr/status 500/), up($A));
    ok $httpd->start, 'starts' or diag $httpd->console;
    ok $httpd->log->wait_for(down($A, qr//)), 'down';
    is row($httpd, 6), 'b' x 6, 'it gets no requests';
    $a->on('/health', http_answer(200, [], 'yes'));
    ok $httpd->log->wait_for(up($A)), 'up';
    like row($httpd, 6), qr/a/, 'it serves';
    $httpd->finish('nothing else in the log');
};

done_testing;
