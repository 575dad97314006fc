# Members that sign themselves in: their whole life with requests through the cluster, what is
# refused and why, who sees what, and that nothing is lost when httpd or its children end.
use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use POSIX ();
use Test::More;
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::HTTP1;
use Usher::RegisterTest;
use Usher::Wait;

my ($a, $b, $c) = backends(qw(a b c));
my ($A, $B, $C) = map { $_->url } $a, $b, $c;

sub code { return Usher::Signed::code(@_) }

# Those of the children that are there no more. (New ones come when many are busy.)
sub gone {
    my ($httpd, @before) = @_;
    my %is = map { $_ => 1 } $httpd->children;

    return grep { !$is{$_} } @before;
}

# Who answers, of so many.
sub answers { return join '', sort keys %{ { map { $_ => 1 } map { who($_[0]) } 1 .. ($_[1] // 12) } } }

# Nobody sends heartbeats all the time, so leases are long.
my $long = "UsherRegisterLease default=10m\n";

subtest 'from its registration to its end' => sub {
    my $httpd = register_httpd($long);
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $one = signer($httpd, 'one');
    my @children = $httpd->children;

    is who($httpd), 503, 'nobody is there';
    my $put = $one->put('app', 'a', { url => "$A/", weight => 2, lease => '1m', labels => { zone => 'x' } });
    is $put->{status}, 201, 'signs in' or diag $put->{body};
    is http_value($put->{headers}, 'content-type') // '', 'application/json', 'answered as JSON';
    is http_value($put->{headers}, 'cache-control') // '', 'no-store', 'that no cache keeps';
    my %member = %{ $put->{json} };
    (my $url = $A) =~ s{/$}{};
    is_deeply [@member{qw(cluster route url weight lease owner)}], ['app', 'a', $url, 2, 60, 'one'], 'as it said';
    is_deeply $member{labels}, { zone => 'x' }, 'with its labels';
    like $member{registered}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/, 'and the time';
    cmp_ok $member{expires_in}, '>', 50, 'and a lease';
    ok state_is($one, 'a', 'up'), 'it is up after a check';
    ok wait_until(sub { who($httpd) eq 'a' }), 'and gets requests';

    is $one->put('app', 'b', { url => $B })->{status}, 201, 'another one';
    ok state_is($one, 'b', 'up'), 'is up';
    ok wait_until(sub { answers($httpd) eq 'ab' }), 'both serve';

    my $again = $one->put('app', 'a', { url => $A, weight => 2, lease => 60, labels => { zone => 'x' } });
    is "$again->{status} $again->{json}{version}", "200 $member{version}", 'the same once more changes nothing';
    my $beat = $one->heartbeat('app', 'a', { load => 0.7 });
    is $beat->{status}, 200, 'a heartbeat';
    is $beat->{json}{load}, 0.7, 'with its load';
    is $one->heartbeat('app', 'a')->{status}, 200, 'one without a body';
    my $heavier = $one->heartbeat('app', 'a', { weight => 5 });
    is $heavier->{json}{weight}, 5, 'one with another weight';
    cmp_ok $heavier->{json}{version}, '>', $member{version}, 'is a change';

    my $drain = $one->drain('app', 'a', { deadline => 300 });
    is "$drain->{status} $drain->{json}{state}", '200 draining', 'drains';
    cmp_ok $drain->{json}{drain_in}, '>', 290, 'for a while';
    ok wait_until(sub { answers($httpd) eq 'b' }), 'gets no new sessions';
    is $one->put('app', 'a', { url => $A })->{status}, 200, 'and is back by PUT';
    ok wait_until(sub { answers($httpd) eq 'ab' }), 'and serves';

    is $one->remove('app', 'a')->{status}, 204, 'signs out';
    is $one->remove('app', 'a')->{status}, 204, 'which can be said twice';
    is code($one->show('app', 'a')), 'unknown-member', 'is not there any more';
    is code($one->heartbeat('app', 'a')), 'unknown-member', 'nor for a heartbeat';
    ok wait_until(sub { answers($httpd) eq 'b' }), 'nor for requests';
    is $one->put('app', 'a', { url => $C })->{status}, 201, 'the route is there again, elsewhere';
    ok wait_until(sub { answers($httpd) eq 'bc' }), 'and it is nobody else who serves';
    is_deeply [gone($httpd, @children)], [], 'all by the same children, without a reload';

    my @log = grep { m{usher-register: app/} } $httpd->log->lines;
    my @want = ("a registered by one from 127.0.0.1: $url weight 2 lease 1m labels {\"zone\":\"x\"}",
        "b registered by one", 'a changed by one from 127.0.0.1: weight 2 -> 5', 'a drains for 5m, by one from 127.0.0.1',
        'a changed by one', 'a deregistered by one', 'a registered by one');
    for my $want (@want) {
        my $line = shift @log // '';
        ok index($line, "usher-register: app/$want") >= 0, "log: $want" or diag $line;
    }
    is scalar @log, 0, 'and no line more' or diag @log;
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

subtest 'what is refused' => sub {
    my $httpd = register_httpd("<Proxy balancer://app>\nProxySet lbmethod=usher\nBalancerMember $C route=fixed\n</Proxy>\n"
        . "UsherRegisterLease default=100s min=50s max=200s\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my ($one, $two, $few, $far, $boss) = map { signer($httpd, $_) } qw(one two few far boss);
    my $dead = 'http://127.0.0.1:' . free_port();

    quiet($httpd);
    is code($one->put('app', 'a', { url => $dead })), '', 'one to begin with';
    my @bad = (
        [400, 'bad-json', [$one, 'PUT', '/members/app/x', undef, raw => '{"url":']],
        [400, 'bad-json', [$one, 'PUT', '/members/app/x', undef, raw => '{"url":"http://127.0.0.1:8","url":"http://127.0.0.1:8"}']],
        [400, 'bad-json', [$one, 'PUT', '/members/app/x', undef, raw => '[' x 5000]],
        [400, 'bad-value', [$one, 'PUT', '/members/app/x', {}]],
        [400, 'bad-value', [$one, 'PUT', '/members/app/x', { url => $dead, colour => 'red' }]],
        [400, 'bad-value', [$one, 'PUT', '/members/app/x', { url => $dead, weight => 101 }]],
        [400, 'bad-value', [$one, 'PUT', '/members/app/x', { url => $dead, lease => 49 }]],
        [400, 'bad-value', [$one, 'PUT', '/members/app/x', { url => $dead, lease => 201 }]],
        [400, 'bad-value', [$one, 'PUT', '/members/app/x', { url => $dead, check => 'cping' }]],
        [400, 'bad-value', [$one, 'PUT', '/members/app/x', { url => $dead, secret_name => 'x' }]],
        [400, 'bad-value', [$one, 'PUT', '/members/app/' . 'r' x 64, { url => $dead }]],
        [400, 'bad-value', [$one, 'DELETE', '/members/app/a', {}]],
        [400, 'bad-value', [$one, 'GET', '/members?route=a']],
        [400, 'bad-value', [$one, 'POST', '/members/app/a/heartbeat', { deadline => 1 }]],
        [400, 'bad-value', [$one, 'POST', '/members/app/a/drain', { deadline => 86401 }]],
        [400, 'bad-url', [$one, 'PUT', '/members/app/x', { url => "$dead/path" }]],
        [400, 'bad-url', [$one, 'PUT', '/members/app/x', { url => 'fcgi://127.0.0.1:9000' }]],
        [403, 'forbidden-address', [$one, 'PUT', '/members/app/x', { url => 'http://192.0.2.1:8080' }]],
        [403, 'forbidden-address', [$far, 'PUT', '/members/app/x', { url => 'ajp://self:8009' }]],
        [403, 'forbidden-port', [$one, 'PUT', '/members/app/x', { url => 'http://127.0.0.1:80' }]],
        [403, 'forbidden-scheme', [$few, 'PUT', '/members/app/x', { url => 'ajp://127.0.0.1:8009' }]],
        [403, 'forbidden-cluster', [$one, 'PUT', '/members/other/x', { url => $dead }]],
        [403, 'forbidden-weight', [$one, 'PUT', '/members/app/x', { url => $dead, weight => 51 }]],
        [403, 'forbidden-weight', [$one, 'POST', '/members/app/a/heartbeat', { weight => 51 }]],
        [403, 'not-yours', [$two, 'PUT', '/members/app/a', { url => $dead }]],
        [403, 'not-yours', [$two, 'POST', '/members/app/a/heartbeat']],
        [403, 'not-yours', [$two, 'POST', '/members/app/a/drain']],
        [403, 'not-yours', [$two, 'DELETE', '/members/app/a']],
        [403, 'not-yours', [$two, 'GET', '/members/app/a']],
        [403, 'not-yours', [$one, 'GET', '/']],
        [404, 'unknown-cluster', [$far, 'PUT', '/members/other/x', { url => 'ajp://192.0.2.1:8009' }]],
        [404, 'unknown-member', [$one, 'POST', '/members/app/x/drain']],
        [404, 'unknown-path', [$one, 'GET', '/member']],
        [404, 'unknown-path', [$one, 'GET', '/members/app']],
        [404, 'unknown-path', [$one, 'GET', '/members/']],
        [404, 'unknown-path', [$one, 'GET', '/members/app/a/']],
        [404, 'unknown-path', [$one, 'POST', '/members/app/a/heartbeat/x']],
        [404, 'unknown-path', [$one, 'GET', '/members//app/a']],
        [404, 'unknown-path', [$one, 'GET', '/members/app/%61']],
        [404, 'unknown-path', [$one, 'GET', '/members/app/./a']],
        [404, 'unknown-path', [$one, 'GET', '/members/app/b/../a']],
        [404, 'unknown-path', [$one, 'GET', '/members/app/b/..;/a']],
        [404, 'unknown-path', [$one, 'GET', '/members/app/a;x=y']],
        [404, 'unknown-path', [$one, 'GET', '/../usher-register/members/app/a']],
        [404, 'unknown-path', [$one, 'GET', '//members/app/a']],
        [405, 'wrong-method', [$one, 'POST', '/members/app/a', {}]],
        [405, 'wrong-method', [$one, 'GET', '/members/app/a/drain']],
        [405, 'wrong-method', [$one, 'OPTIONS', '/members']],
        [409, 'route-taken', [$one, 'PUT', '/members/app/fixed', { url => $dead }]],
        [409, 'route-taken', [$one, 'PUT', '/members/app/x', { url => $C }]],
        [415, 'wrong-type', [$one, 'PUT', '/members/app/x', { url => $dead }, type => 'text/plain']],
        [415, 'wrong-type', [$one, 'PUT', '/members/app/x', { url => $dead }, type => 'application/jsonx']],
    );
    for (@bad) {
        my ($status, $code, $call) = @$_;
        my ($signer, @args) = @$call;
        my $answer = $signer->call(@args);
        is "$answer->{status} " . code($answer), "$status $code", substr "$code: $args[0] $args[1]", 0, 60 or diag $answer->{body};
        like eval { $answer->{json}{error}{message} } // '', qr/\S{2}.{10}/, 'and why';
    }
    is http_value($one->call('POST', '/members/app/a', {})->{headers}, 'Allow'), 'GET, HEAD, PUT, DELETE', 'which methods there are';
    isnt $one->call('GET', '/members/app/%2e%2e/a')->{status}, 200, 'nor an encoded way up';
    isnt $one->call('GET', '/members%2fapp/a')->{status}, 200, 'nor an encoded slash';
    isnt $one->call('GET', '/members/app/a%00')->{status}, 200, 'nor a NUL';

    my $large = $one->text('PUT', '/members/app/x', { url => $dead });
    my $client = Usher::Client->new(port => $httpd->port);
    $client->send($large =~ s/Content-Length: \d+/"Content-Length: " . (64 << 20)/er);
    is $client->answer->{status}, 413, 'a large body is refused before it comes';
    is code($one->call('PUT', '/members/app/x', undef, raw => ' ' x 16385)), 'body-too-large', 'one that is a little too large';
    $client = Usher::Client->new(port => $httpd->port);
    $client->send($large =~ s/Content-Length: \d+/Transfer-Encoding: chunked/r =~ s/\r\n\r\n.*/\r\n\r\n5000\r\n/sr . 'x' x 0x5000 . "\r\n");
    is $client->answer->{status}, 413, 'in chunks as well';
    is code($one->call('PUT', '/members/app/x', undef, raw => ' ' x 16300 . '{}')), 'bad-value', 'one that just fits is read';

    is code($few->put('app', "f$_", { url => 'http://self:' . free_port() })), '', "the member $_ of two" for 1, 2;
    is code($few->put('app', 'f3', { url => $dead })), 'too-many-members', 'not a third one';
    is $few->put('app', 'f2', { url => $dead })->{status}, 200, 'a change is none';
    is $few->remove('app', 'f1')->{status}, 204, 'one leaves';
    is $few->put('app', 'f3', { url => $dead })->{status}, 201, 'then there is room';
    my $foreign = $one->call('POST', '/members/app/a/drain', undef, headers => [Origin => 'http://evil.example']);
    is $foreign->{status}, 403, 'a page of another site changes nothing';
    ok state_is($boss, 'a', 'down'), 'nobody listens there: down';
    like $boss->show('app', 'a')->{json}{reason}, qr/^no connection: Connection refused/, 'and why';
    is code($boss->show('app', 'x')), 'unknown-member', 'nothing of all that has been entered';
    is who($httpd), 'c', 'the static member serves';
    $httpd->finish('nothing alarming in the log');
};

subtest 'who sees what' => sub {
    my $httpd = register_httpd($long);
    ok $httpd->start, 'starts' or diag $httpd->console;
    my ($one, $two, $boss) = map { signer($httpd, $_) } qw(one two boss);
    my $routes = sub { join ' ', sort map { $_->{route} } @{ $_[0]->{json}{members} } };

    is code($one->put('app', 'a', { url => $A })), '', 'one of the first';
    is code($two->put('app', $_, { url => $_ eq 'b' ? $B : $C })), '', 'and of the second' for qw(b c);
    is $routes->($one->list), 'a', 'the first sees his';
    is $routes->($two->list), 'b c', 'the second his';
    is $routes->($boss->list), 'a b c', 'an administrator all';
    is $routes->($boss->list('?cluster=app')), 'a b c', 'of a cluster';
    is $routes->($boss->list('?cluster=other')), '', 'of another one none';
    is $boss->show('app', 'b')->{json}{owner}, 'two', 'and whose each is';
    is $boss->call('HEAD', '/members')->{status}, 200, 'HEAD';
    is $boss->drain('app', 'b')->{json}{state}, 'draining', 'he drains those of others';
    is $boss->remove('app', 'c')->{status}, 204, 'and removes them';
    is $routes->($two->list), 'b', 'so that they are gone';
    my $all = $boss->call('GET', '/')->{json};
    is_deeply [@{ $all->{counts} }{qw(members registered drained deregistered)}], [2, 3, 1, 1], 'counts';
    ok $all->{store}{up}, 'the store is up';
    like $all->{store}{name}, qr/^file:/, 'and which it is';
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

# The answers' codes of a call, by so many processes at once.
sub at_once {
    my ($n, $call) = @_;
    my @pipes;

    for my $i (1 .. $n) {
        pipe my $read, my $write or die "pipe: $!";
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            syswrite $write, eval { join ' ', $call->($i) } // "died: $@";
            POSIX::_exit(0);
        }
        push @pipes, [$read, $pid];
    }
    return map { my $text = readline $_->[0]; waitpid $_->[1], 0; $text // '' } @pipes;
}

subtest 'many at once' => sub {
    my $httpd = register_httpd("${long}UsherMemory roster 64K\n");
    ok $httpd->start, 'starts' or diag $httpd->console;
    my ($one, $few, $boss) = map { signer($httpd, $_) } qw(one few boss);

    $httpd->log->tolerate(qr/AH00161/); # prefork has twelve children, and some may be late
    my $now = time; # of all: one that is overtaken by a later one would be stale
    my @codes = at_once(8, sub { map { code($one->put('app', 'same', { url => $A, weight => 1 + ($_[0] + $_) % 50 }, created => $now)) } 1 .. 8 });
    is join(' ', grep { $_ && $_ ne 'conflict' } map { split / /, $_, -1 } @codes), '', 'changes of one member: done, or a conflict';
    is $one->show('app', 'same')->{status}, 200, 'it is there';
    @codes = at_once(8, sub { map { code($few->put('app', "f$_[0]", { url => $B })) } 1 .. 2 });
    is scalar(grep { !/^(?:too-many-members)?(?: (?:too-many-members)?)?$/ } @codes), 0, 'members of one who may have two: that, or too many' or diag "@codes";
    cmp_ok scalar(@{ $few->list->{json}{members} }), '<=', 2, 'and never more';

    my ($n, $code) = (0, '');
    ++$n until $n >= 200 || ($code = code($one->put('app', "m$n", { url => $A })));
    is $code, 'table-full', "no room for another one after $n";
    is code($one->show('app', "m$n")), 'unknown-member', 'it is not there';
    is $one->put('app', 'm0', { url => $B })->{status}, 200, 'others can be changed';
    is $one->remove('app', 'm0')->{status}, 204, 'one leaves';
    ok wait_until(sub { $one->put('app', "m$n", { url => $A })->{status} == 201 }, 30), 'then there is room';
    is_deeply [$boss->list('?cluster=app')->{status}], [200], 'the list is whole';
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

subtest 'a secret of AJP' => sub {
    my $httpd = register_httpd("UsherRegisterSealKeys \@ROOT\@/seal.keys\nUsherRegisterSecret named \@ROOT\@/secret\n");
    my $umask = umask 077;
    for (['seal.keys', '0000000a ' . 'AQ' x 21 . "A\n"], ['secret', "by-its-name\n"]) {
        my $file = $httpd->root . "/$_->[0]";
        open my $fh, '>', $file or die "$file: $!";
        print $fh $_->[1];
        close $fh;
    }
    umask $umask;
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $one = signer($httpd, 'one');
    my $url = 'ajp://127.0.0.1:' . free_port();
    my %by_value = (url => $url, secret => 'known-to-two');

    my $put = $one->put('app', 'a', \%by_value);
    is $put->{status}, 201, 'by value' or diag $put->{body};
    is $one->put('app', 'a', \%by_value)->{json}{version}, $put->{json}{version}, 'the same again is no change';
    isnt $one->put('app', 'a', { %by_value, secret => 'another' })->{json}{version}, $put->{json}{version}, 'another one is';
    is $one->put('app', 'b', { url => $url, secret_name => 'named' })->{status}, 201, 'by name';
    is code($one->put('app', 'c', { url => $url, secret_name => 'other' })), 'bad-value', 'not by a name that nobody knows';
    is code($one->put('app', 'c', { url => $A, secret => 'x' })), 'bad-value', 'nor for HTTP';
    is code($one->put('app', 'c', { %by_value, secret_name => 'named' })), 'bad-value', 'nor both';
    my $seen = $put->{body} . $one->list->{body} . join '', map { slurp($_) } $httpd->error_log, glob $httpd->root . '/state/*';
    unlike $seen, qr/known-to-two|another|by-its-name/, 'it is in no answer, not in the log, and not in the store';
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

sub slurp {
    my ($file) = @_;

    open my $fh, '<', $file or die "$file: $!";
    local $/;
    return scalar <$fh> // '';
}

subtest 'the shell function of the page' => sub {
    my ($function) = grep { /^usher\(\) \{/m } slurp("$ENV{USHER_SRCDIR}/docs/mod_usher_register.md") =~ /^```sh\n(.*?)^```/msg;
    my $httpd = register_httpd('');
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $key = $httpd->root . '/curl.key';
    my ($secret) = slurp($httpd->root . '/register.keys') =~ /^one (\S+)/m;

    open my $fh, '>', $key or die "$key: $!";
    print $fh "$secret\n";
    close $fh;
    $function =~ s{^L=\S+}{L=http://127.0.0.1:@{[ $httpd->port ]}/usher-register}m;
    $function =~ s{^KEYID=\S+}{KEYID=one}m;
    $function =~ s{^KEYFILE=\S+}{KEYFILE='$key'}m;
    open my $sh, '>', "$key.sh" or die "$key.sh: $!";
    print $sh $function;
    close $sh;
    # Without a sanitizer in openssl and curl.
    my @out = do { delete local @ENV{qw(LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS)}; split /\n/, qx(sh '$key.sh' 2>&1) };
    is scalar @out, 5, 'an answer to each request but DELETE' or diag join "\n", @out;
    my @json = map { eval { JSON::PP::decode_json($_) } // {} } @out;
    is $json[0]{url}, 'ajp://127.0.0.1:8009', 'registers itself';
    is $json[1]{route}, 'tomcat1', 'sends a heartbeat';
    is $json[$_]{state}, 'draining', 'drains' for 2, 3;
    is_deeply $json[4], { members => [] }, 'and has left';
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

subtest 'nothing is lost' => sub {
    my $httpd = register_httpd($long);
    ok $httpd->start, 'starts' or diag $httpd->console;
    my $one = signer($httpd, 'one');

    is code($one->put('app', 'a', { url => $A })), '', 'one';
    is code($one->put('app', 'b', { url => $B, weight => 7 })), '', 'two';
    is code($one->drain('app', 'b', { deadline => 3600 })), '', 'of whom one drains';
    is code($one->put('app', 'gone', { url => $C })), '', 'three';
    is code($one->remove('app', 'gone')), '', 'of whom one leaves';
    ok state_is($one, 'a', 'up'), 'up';
    ok $httpd->graceful, 'a graceful restart';
    is state_of($one, 'a'), 'up', 'touches nobody';
    is who($httpd), 'a', 'and it serves';
    ok $httpd->stop && $httpd->start, 'a stop and a start';
    ok wait_until(sub { who($httpd) eq 'a' }, 30), 'it is there again, after a check';
    my $b = $one->show('app', 'b')->{json};
    is "$b->{state} $b->{weight}", 'draining 7', 'the other one drains still';
    cmp_ok $b->{drain_in}, '<=', 3600, 'for what was left';
    cmp_ok $b->{drain_in}, '>', 3000, 'not less';
    is code($one->show('app', 'gone')), 'unknown-member', 'and who left does not come back';

    $httpd->log->tolerate(qr/exit signal Killed|AH1039[23]/);
    my (%there, @killed);
    for my $n (1 .. 40) {
        my ($child) = $n % 5 ? () : $httpd->children;
        kill KILL => $child if $child;
        push @killed, $child // ();
        my $answer = eval { $one->put('app', "k$n", { url => $C }) } // {};
        $there{"k$n"} = 1 if ($answer->{status} // 0) == 201;
        my $removed = $n % 3 ? {} : eval { $one->remove('app', "k$n") } // {};
        my $is_out = ($removed->{status} // 0) == 204;
        delete $there{"k$n"} if $is_out;
        $there{"k$n"} = 'perhaps' if $n % 3 == 0 && !$is_out;
    }
    # One that is killed may take a connection with it.
    wait_until(sub { !grep { kill 0, $_ } @killed }, 30);
    cmp_ok scalar(keys %there), '>', 15, 'children are killed amid registrations';
    my $check = sub {
        my ($when) = @_;
        my %is = map { $_->{route} => 1 } @{ $one->list->{json}{members} };
        is_deeply [grep { $there{$_} eq '1' && !$is{$_} } sort keys %there], [], "$when: all that were signed in are there";
        is_deeply [grep { /^k/ && $_ =~ /(\d+)/ && $1 % 3 == 0 && !$there{$_} && $is{$_} } sort keys %is], [], "$when: none that was signed out";
    };
    $check->('then');
    ok $httpd->stop && $httpd->start, 'a stop and a start';
    $check->('after a start');
    quiet($httpd);
    $httpd->finish('nothing alarming in the log');
};

done_testing;
