# Requests that must not be believed: forged, replayed, altered, too many, too large, or of somebody whom
# the policy does not allow it.
use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256);
use Test::More;
use Time::HiRes qw(clock_gettime);
use Usher::Certs;
use Usher::Client;
use Usher::RegisterTest;
use Usher::Signed;
use Usher::Wait;

my $certs = Usher::Certs->new;
my $tls_port = free_port();
my $policies = <<'EOT';
UsherRegisterPolicy own clusters=app ports=1-65535 schemes=ajp,http
UsherRegisterPolicy ownloop clusters=app loopback members=0
UsherRegisterPolicy ranges clusters=app addresses=169.254.7.0/24,10.0.0.0/8,2001:db8::/32 ports=8009,8080-8090
UsherRegisterPolicy wide clusters=* addresses=0.0.0.0/0,::/0
UsherRegisterCertificate ownloop proxy.test
UsherRegisterCertificate operators *.admin.test
UsherRegisterSecret ajp @ROOT@/ajp.secret
UsherRegisterSealKeys @ROOT@/seal.keys
EOT
my $tls = <<"EOT";
Listen 127.0.0.1:$tls_port https
<VirtualHost 127.0.0.1:$tls_port>
ServerName localhost:$tls_port
SSLEngine On
SSLCertificateFile @{[ $certs->cert('good') ]}
SSLCertificateKeyFile @{[ $certs->key('good') ]}
SSLCACertificateFile @{[ $certs->ca ]}
SSLVerifyClient optional
</VirtualHost>
EOT
my %keys = (own => 'own', loop => 'ownloop', ranges => 'ranges', wide => 'wide');

sub secret_of { return substr "secret of $_[0] " . 'x' x 40, 0, 32 }

sub write_file {
    my ($path, $text, $mode) = @_;

    unlink $path;
    open my $fh, '>', "$path.new" or die "$path: $!";
    print $fh $text;
    close $fh;
    chmod $mode // 0600, "$path.new";
    chown +(getpwnam 'nobody')[2], -1, "$path.new" if $> == 0;
    rename "$path.new", $path or die $!;
    return;
}

sub add_keys {
    my ($httpd, %more) = @_;
    my $file = $httpd->root . '/register.keys';

    open my $fh, '<', $file or die $!;
    my $text = join '', <$fh>;
    write_file($file, $text . join '', map { Usher::Signed::key_line($_, secret_of($_), $more{$_}) } sort keys %more);
    return;
}

my $httpd = register_httpd($policies . $tls, modules => ['ssl']);
add_keys($httpd, %keys);
write_file($httpd->root . '/ajp.secret', "of-the-file\n");
write_file($httpd->root . '/seal.keys', "0000000a AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n");
ok $httpd->start, 'httpd starts' or diag $httpd->console;
my $one = signer($httpd, 'one');
my $node = 0;

# A client of another address, so that failures of one test are not counted in another one.
sub elsewhere { my ($client, %opt) = @_; ++$node; return $client->with(from => '127.1.' . int($node / 250) . '.' . (1 + $node % 250), %opt) }
sub key { return Usher::Signed->new(port => $httpd->port, keyid => $_[0], secret => secret_of($_[0])) }
sub code { return Usher::Signed::code(@_) }
sub member { return { url => "http://127.0.0.1:$_[0]", lease => 3600 } }

sub refused {
    my ($name, $code, $answer) = @_;
    my $status = $code =~ /^(?:forbidden|not-yours|too-many-m)/ ? 403 : $code =~ /^bad-(?:value|url|json)$/ ? 400
        : $code =~ /failures/ ? 429 : 401;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(code($answer) . " $answer->{status}", "$code $status", $name) || diag explain $answer->{body};
}

sub taken {
    my ($name, $answer) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(code($answer), '', $name) || diag explain $answer->{body};
}

taken('what is right is accepted', $one->put('app', 'good', member(9001)));

subtest 'signatures' => sub {
    my $bad = elsewhere($one);
    my @all = ('@method', '@authority', '@path', '@query', 'content-digest');
    my @tests = (
        ['unsigned', 'unsigned', signature_input => undef, signature => undef],
        ['half signed', 'unsigned', signature => undef],
        ['the other half', 'unsigned', signature_input => undef],
        ['garbage', 'bad-signature', signature_input => 'sig=('],
        ['other garbage', 'bad-signature', signature => 'sig=:AAAA:'],
        ['another secret', 'bad-signature', secret => 'x' x 32],
        ['no secret', 'bad-signature', secret => ''],
        ['a bit of it', 'bad-signature', mac => sub { $_[0] ^ ("\0" x 31 . "\1") }],
        ['an unknown key', 'unknown-key', keyid => 'nobody'],
        ['an unknown key with another one\'s secret', 'unknown-key', keyid => 'One'],
        ['a key whose name is long', 'unknown-key', keyid => 'k' x 300],
        ['another one\'s key', 'bad-signature', keyid => 'two'],
        ['another algorithm', 'bad-signature', alg => 'hmac-sha512'],
        ['an algorithm of public keys', 'bad-signature', alg => 'ed25519'],
        ['no key id', 'bad-signature', keyid => undef],
        ['no time', 'bad-signature', created => undef],
        ['no nonce', 'bad-signature', nonce => undef],
        ['a short nonce', 'bad-signature', nonce => '0' x 15],
        ['a long nonce', 'bad-signature', nonce => '0' x 65],
        ['a nonce with blanks', 'bad-signature', nonce => 'a nonce with blanks'],
        ['two labels', 'bad-signature', label => 'a', signature_input => 'a=();created=1, b=()'],
        ['another label', 'bad-signature', signature => 'other=:' . 'A' x 43 . '=:'],
        ['a component that is none', 'bad-signature', covered => [@all, '@none']],
        ['a field that is not there', 'bad-signature', covered => [@all, 'x-none']],
        (map { my $left = $_; ["not covered: $left", 'bad-signature', covered => [grep { $_ ne $left } @all]] } @all),
        ['too old', 'stale', created => time - 400],
        ['of the future', 'stale', created => time + 4000],
        ['expired', 'stale', params => do {
            join ';', '("@method" "@authority" "@path" "@query" "content-digest")', 'created=' . (time - 20),
                'expires=' . (time - 10), 'nonce="0123456789abcdef-' . $$ . '"', 'keyid="one"' }],
    );
    for my $test (@tests) {
        my ($name, $code, @spoil) = @$test;
        my $answer = $bad->put('app', 'good', member(9002), @spoil);

        refused($name, $code, $answer);
        ok +(grep { $_->[0] eq 'Date' } @{ $answer->{headers} }), 'with the time' if $code eq 'stale';
        $bad = elsewhere($one) if $node % 2; # each has a limit
    }
    taken('without alg', elsewhere($one)->put('app', 'good', member(9001), alg => undef));
    taken('another label', elsewhere($one)->put('app', 'good', member(9001), label => 'x1'));
    taken('more fields covered', elsewhere($one)->put('app', 'good', member(9001), covered => [@all, 'host'],
        signed => { host => '127.0.0.1:' . $httpd->port }));
    taken('as old as may be', elsewhere($one)->list('', created => time - 200));
    is $one->show('app', 'good')->{json}{url}, 'http://127.0.0.1:9001', 'nothing was changed by those that were refused';
};

subtest 'altered on the way' => sub {
    my $bad = elsewhere($one);
    my $port = $httpd->port;
    my %signed = (
        method => ['bad-signature', method => 'DELETE'],
        path => ['bad-signature', target => '/usher-register/members/app/other'],
        query => ['bad-signature', target => '/usher-register/members/app/good?x=1'],
        'an empty query' => ['', target => '/usher-register/members/app/good?'],
        host => ['bad-signature', authority => "localhost:$port"],
        'another host' => ['bad-signature', authority => 'other.test'],
    );
    for my $what (sort keys %signed) {
        my ($code, @sent) = @{ $signed{$what} };
        my $answer = $bad->show('app', 'good', sent => {@sent});

        $code ? refused($what, $code, $answer) : taken("$what is the same", $answer);
    }
    my $text = $bad->text('PUT', '/members/app/good', member(9002));
    $text =~ s/9002/9003/;
    refused('the body', 'bad-digest', $bad->send($text));
    refused('body and digest', 'bad-signature', $bad->put('app', 'good', member(9002), signed => { 'content-digest' => 'sha-256=:' . 'A' x 43 . '=:' }));
    refused('a digest of another kind', 'bad-digest', $bad->put('app', 'good', member(9002), digest => 'sha-512=:AAAA:'));
    refused('no digest', 'bad-signature', $bad->put('app', 'good', member(9002), digest => undef));
    my $host = $bad->with(authority => "elsewhere.test:$port");
    refused('signed for another host', 'bad-signature', $host->show('app', 'good'));
    my $other = $bad->with(authority => "127.0.0.1:1");
    refused('signed for another port', 'bad-signature', $other->show('app', 'good'));
    taken('signed for its name', $bad->with(authority => "LocalHost:$port")->show('app', 'good'));
    isnt code($bad->show('app', 'good', sent => { target => "/usher-register/$_" })), '', "sent: $_" for './members/app/good', 'members/app//good';
    isnt code($bad->call('GET', $_)), '', "path $_" for '/members/../members/app/good', '/members//app/good', '/members/app/%67ood',
        '/members/app/good/', '/members/app/good%00', '/..%2f..%2fetc/passwd';
};

subtest 'what the policy forbids' => sub {
    my $port = $httpd->port;
    my ($own, $loop, $ranges, $wide) = map { key($_) } qw(own loop ranges wide);
    my @tests = (
        ['loopback is not a usual address', 'forbidden-address', $own, 'http://127.0.0.1:9001'],
        ['not its own address', 'forbidden-address', $own, 'ajp://10.0.0.5:8009'],
        ['a name of it', 'forbidden-address', $own, 'ajp://localhost:8009'],
        ['no scheme of its', 'forbidden-scheme', $own, 'https://127.0.0.1:8443'],
        ['httpd itself', 'forbidden-address', $loop, "http://127.0.0.1:$port"],
        ['httpd itself, as IPv6', 'forbidden-address', $loop, "http://[::ffff:127.0.0.1]:$port"],
        ['not the loopback address that it comes from, and not from there', 'forbidden-address', $wide, 'http://127.0.0.2:9001'],
        ['link-local', 'forbidden-address', $wide, 'http://169.254.169.254:80'],
        ['link-local IPv6', 'forbidden-address', $wide, 'http://[fe80::1]:80'],
        ['multicast', 'forbidden-address', $wide, 'http://224.0.0.1:80'],
        ['multicast IPv6', 'forbidden-address', $wide, 'http://[ff02::1]:80'],
        ['no address', 'forbidden-address', $wide, 'http://0.0.0.0:80'],
        ['no IPv6 address', 'forbidden-address', $wide, 'http://[::]:80'],
        ['loopback IPv6', 'forbidden-address', $wide, 'http://[::1]:9001'],
        ['loopback as IPv4 in IPv6', 'forbidden-address', $wide, 'http://[::ffff:127.0.0.1]:9001'],
        ['loopback in another form', 'forbidden-address', $wide, 'http://[::127.0.0.1]:9001'],
        ['broadcast', 'forbidden-address', $wide, 'http://255.255.255.255:80'],
        ['a name that nobody knows', 'forbidden-address', $wide, 'http://no-such-host.invalid:80'],
        ['outside of its prefixes', 'forbidden-address', $ranges, 'http://11.0.0.1:8009'],
        ['outside of them, IPv6', 'forbidden-address', $ranges, 'http://[2001:db9::1]:8009'],
        ['a port before its', 'forbidden-port', $ranges, 'http://10.0.0.1:8079'],
        ['a port behind its', 'forbidden-port', $ranges, 'http://10.0.0.1:8091'],
    );
    refused($_->[0], $_->[1], $_->[2]->put('app', 'policy', { url => $_->[3] })) for @tests;
    taken('within its prefixes and ports: ' . $_, $ranges->put('app', 'policy', { url => $_ }))
        for 'http://10.1.2.3:8009', 'http://[2001:db8::1]:8090', 'http://[::ffff:10.2.3.4]:8080', 'http://169.254.7.9:8085';
    taken('its own loopback address', $loop->put('app', 'loop', { url => 'http://127.0.0.1:9001' }));
    taken('self', $loop->put('app', 'loop', { url => 'http://self:9001' }));
    refused('another cluster', 'forbidden-cluster', $own->put('other', 'x', { url => 'http://10.0.0.5:80' }));
    refused('too much weight', 'forbidden-weight', $one->put('app', 'good', { %{ member(9001) }, weight => 51 }));
    my $two = signer($httpd, 'two');
    refused("another one's: @$_[0, 1]", 'not-yours', $two->call(@$_)) for ['PUT', '/members/app/good', member(9009)],
        ['POST', '/members/app/good/heartbeat', {}], ['POST', '/members/app/good/drain', {}], ['DELETE', '/members/app/good'],
        ['GET', '/members/app/good'];
    my $few = signer($httpd, 'few');
    taken("its member $_", $few->put('app', "few$_", { url => "http://127.0.0.1:910$_" })) for 1, 2;
    refused('one too many', 'too-many-members', $few->put('app', 'few3', { url => 'http://127.0.0.1:9103' }));
    taken('one of them again', $few->put('app', 'few2', { url => 'http://127.0.0.1:9104' }));
};

subtest 'too much' => sub {
    my $client = Usher::Client->new(port => $httpd->port, from => '127.0.4.1');
    my $head = "PUT /usher-register/members/app/good HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";

    $client->send($head . "Content-Length: 67108864\r\n\r\n");
    is $client->answer(timeout => 30)->{status}, 413, '64 MiB are refused before they come';
    $client = Usher::Client->new(port => $httpd->port, from => '127.0.4.1');
    $client->send($head . "Transfer-Encoding: chunked\r\n\r\n" . sprintf("%x\r\n%s\r\n", 65536, ' ' x 65536));
    is $client->answer(timeout => 30)->{status}, 413, 'and without a length';
    my @slow = map { Usher::Client->new(port => $httpd->port, from => '127.0.4.2') } 1 .. 5;
    $_->send($head . "Content-Length: 1000\r\n\r\n{") for @slow;
    taken('others go on beside slow bodies', $one->show('app', 'good'));
    $_->reset for @slow;
    my $long = elsewhere($one)->show('app', 'good', nonce => '0123456789abcdef', headers => ['X-Long' => 'x' x 8000], covered => [qw(@method @authority @path @query x-long)],
        signed => { 'x-long' => 'x' x 8000 });
    refused('a long field that is signed', 'bad-signature', $long);
};

# They are counted by minutes of the clock that runs since the boot.
sub minute { return int(clock_gettime(7) / 60) }    # CLOCK_BOOTTIME

# What has to be within one is done again where another one has begun meanwhile.
sub in_a_minute(&) {
    my ($try) = @_;
    my @got;

    for (1 .. 5) {
        my $began = minute();
        @got = $try->();
        last if minute() == $began;
    }
    return @got;
}

subtest 'many wrong signatures' => sub {
    my $bad = $one->with(from => '127.0.5.1');
    my $began = minute();
    my $good = $one->with(from => '127.0.5.2');
    my (%codes, %good);

    for my $i (1 .. 300) {
        my $answer = $bad->heartbeat('app', 'good', {}, secret => "wrong$i");
        $codes{ code($answer) }++;
        ok +(grep { $_->[0] eq 'Retry-After' } @{ $answer->{headers} }), 'told when to come again' if code($answer) eq 'too-many-failures' && $codes{'too-many-failures'} == 1;
        $good{ code($good->heartbeat('app', 'good', {})) }++ if $i % 30 == 0;
    }
    is_deeply [sort keys %codes], ['bad-signature', 'too-many-failures'], 'are refused, soon without a look';
    my $minutes = 1 + minute() - $began;
    cmp_ok $codes{'bad-signature'}, '<=', 60 * $minutes, 'soon';
    is_deeply \%good, { '' => 10 }, 'a good one elsewhere goes on';

    # Behind one address: a key that was good goes on, one that is attacked does not.
    my $at = 2;
    my ($before, @then) = in_a_minute {
        my @from = (from => '127.0.5.' . ++$at);
        my $two = signer($httpd, 'two', @from);
        my $good = $two->list;
        $bad = $one->with(@from);
        $bad->list('', secret => 'wrong') for 1 .. 65;
        return ($good, map { $_->list } $one->with(@from), $two, signer($httpd, 'boss', @from));
    };
    taken('good', $before);
    refused('the key that is attacked has to wait', 'too-many-failures', $then[0]);
    taken('the other one, at this address, need not', $then[1]);
    refused('one that was never seen there has to', 'too-many-failures', $then[2]);
    my @lines = grep { /USHER6060.*from 127[.]0[.]5[.]1 / } $httpd->log->lines;
    cmp_ok scalar @lines, '>=', 1, 'they are logged';
    cmp_ok scalar @lines, '<=', 6 * $minutes, 'but not each';
};

subtest 'certificates' => sub {
    my %base = (port => $tls_port, authority => "127.0.0.1:$tls_port");
    my $client = sub {
        my ($name) = @_;
        return Usher::Signed->new(%base, tls => { ca => $certs->ca, $name ? (cert => $certs->cert($name), key => $certs->key($name)) : () });
    };
    my @unsigned = (signature_input => undef, signature => undef);

    taken('one that is mapped', $client->('client')->put('app', 'cert', { url => 'http://127.0.0.1:9201' }, @unsigned));
    is $client->('client')->show('app', 'cert', @unsigned)->{json}{owner}, 'cert:proxy.test', 'its name is the owner';
    refused('one that is not', 'unknown-key', $client->('client2')->list('', @unsigned));
    refused('none', 'unsigned', $client->(undef)->list('', @unsigned));
    my $other = eval { $client->('otherclient')->list('', @unsigned) };
    ok !$other || !$other->{status} || $other->{status} == 401, 'of another CA: refused';
    refused("another one's", 'not-yours', $client->('client')->remove('app', 'good', @unsigned));
    my $signed = signer($httpd, 'one')->with(%base, tls => { ca => $certs->ca, cert => $certs->cert('client2'), key => $certs->key('client2') });
    is code($signed->show('app', 'good')), '', 'a signature counts where there is one';
};

subtest 'secrets' => sub {
    my $url = { url => 'ajp://127.0.0.1:9301' };
    my $secret = 'by-value-0815';
    my $tls = signer($httpd, 'one')->with(port => $tls_port, authority => "127.0.0.1:$tls_port", tls => { ca => $certs->ca });

    taken('by name', $one->put('app', 'ajp', { %$url, secret_name => 'ajp' }));
    refused('by a name that is not known', 'bad-value', $one->put('app', 'ajp', { %$url, secret_name => 'none' }));
    taken('by value, over TLS', $tls->put('app', 'ajp2', { url => 'ajp://127.0.0.1:9302', secret => $secret }));
    my $shown = $one->show('app', 'ajp2')->{body};
    unlike $shown, qr/\Q$secret\E|sealed/, 'is not shown';
    my $store = join '', map { open my $fh, '<:raw', $_ or die $!; local $/; <$fh> } grep { -f } glob $httpd->root . '/state/*';
    like $store, qr/sealed:/, 'is in the store';
    unlike $store, qr/\Q$secret\E/, 'but sealed';
    unlike join("\n", $httpd->log->lines), qr/\Q$secret\E|of-the-file/, 'is not in the log';
};

# A request on several connections, its last byte at the same moment.
subtest 'the same at the same time' => sub {
    for my $round (1 .. 10) {
        my $text = $one->text('GET', '/members/app/good');
        my @clients = map { Usher::Client->new(port => $httpd->port, from => "127.0.7.$round") } 1 .. 8;

        $_->send(substr $text, 0, -1) for @clients;
        $_->send(substr $text, -1) for @clients;
        my %status;
        $status{ $_->answer(timeout => 30)->{status} }++ for @clients;
        is_deeply \%status, { 200 => 1, 401 => 7 }, 'one is accepted';
    }
};

subtest 'replayed' => sub {
    my $put = $one->text('PUT', '/members/app/again', member(9401));
    my $remove = $one->text('DELETE', '/members/app/again');

    taken('signed in', $one->send($put));
    taken('signed out', $one->send($remove));
    my $again = sub { refused($_[0], 'replayed', elsewhere($one)->send($put)) };
    $again->('at once');
    ok $httpd->graceful, 'graceful restart';
    $again->('after it');
    ok $httpd->stop && $httpd->start, 'stop and start';
    $again->('after them');
    my $held = $one->text('PUT', '/members/app/late', member(9403), created => time - 10);
    my $late = $one->text('PUT', '/members/app/late', member(9402));
    taken('signed in', $one->send($late));
    refused('one that was held back', 'stale', $one->send($held));
    $held = $one->text('PUT', '/members/app/late', member(9403), created => time + 10);
    taken('drained', elsewhere($one)->drain('app', 'late', undef, created => time + 20));
    refused('one that was held back before the drain', 'stale', elsewhere($one)->send($held));
    is $one->show('app', 'late')->{json}{state}, 'draining', 'does not end it';
    $_->() for map { my $pid = $_; sub { kill KILL => $pid } } $httpd->pid, $httpd->children;
    wait_until { !$httpd->running } 30;
    ok $httpd->start, 'start after kill -9';
    $again->('after it, the first one');
    refused('after it, the last one', 'replayed', $one->send($late));
    my $other = register_httpd($policies, modules => ['ssl']);
    add_keys($other, %keys);
    write_file($other->root . "/$_", $_ eq 'seal.keys' ? "0000000a AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n" : "x\n") for 'seal.keys', 'ajp.secret';
    ok $other->start, 'another node' or diag $other->console;
    refused('at another node', 'bad-signature', signer($other, 'one')->send($put));
    $other->log->tolerate(qr/USHER6060/, qr/AH\d+/);
    $other->finish('nothing else');
};

subtest 'keys' => sub {
    my $file = $httpd->root . '/register.keys';
    my $new = Usher::Signed->new(port => $httpd->port, keyid => 'fresh', secret => secret_of('fresh'), from => '127.0.6.1');

    refused('before it is there', 'unknown-key', $new->list);
    add_keys($httpd, fresh => 'own');
    ok +(wait_until { code(elsewhere($new)->list) eq '' } 60), 'a new key counts without a restart';
    if ($ENV{USHER_LONG}) {
        write_file($file, "fresh short own\n");
        ok $httpd->log->wait_for(qr/USHER6054.*line 1: the secret is not 16/, 60), 'a file that is wrong is told of';
        taken('and changes nothing', $new->list);
    }
    rename $file, "$file.away" or die "$file: $!";
    $httpd->kill_children;
    ok $httpd->log->wait_for(qr/USHER6054.*cannot be read: No such file.*the keys that were there count on/, 30), 'a child that begins while the file is away';
    taken('has the keys of the parent', elsewhere($one)->list);
    rename "$file.away", $file or die "$file: $!";
    my %bad = (
        'is open to all users' => sub { write_file($file, Usher::Signed::key_line('a', 'x' x 32, 'own'), 0644) },
        'line 1: there is no UsherRegisterPolicy of this name' => sub { write_file($file, Usher::Signed::key_line('a', 'x' x 32, 'none')) },
        'line 2: takes an id' => sub { write_file($file, "# x\na b\n") },
        'No such file' => sub { unlink $file },
    );
    for my $why (sort keys %bad) {
        $bad{$why}->();
        my ($exit, $out) = $httpd->configtest;
        isnt $exit, 0, "configtest: $why";
        like $out, qr/UsherRegisterKeys .*\Q$why\E/, 'and tells so';
    }
    ok $httpd->graceful, 'a graceful restart without the file';
    taken('goes on with the keys that it had', elsewhere($one)->list);
};

subtest 'configtest' => sub {
    my %bad = (
        'UsherRegisterPolicy a b' => 'takes key=value',
        'UsherRegisterPolicy a/b admin' => 'a name is 1 to 63',
        'UsherRegisterPolicy own admin' => 'a policy of this name already',
        'UsherRegisterPolicy a addresses=10.0.0.1/8' => 'bits behind the prefix are zero',
        'UsherRegisterPolicy a addresses=own,,10.0.0.0/8' => 'has an empty part',
        'UsherRegisterPolicy a ports=0' => 'ports takes',
        'UsherRegisterPolicy a ports=9-8' => 'ports takes',
        'UsherRegisterPolicy a schemes=ftp' => 'schemes takes',
        'UsherRegisterPolicy a weight=101' => 'weight takes',
        'UsherRegisterPolicy a clusters=' => 'clusters takes',
        'UsherRegisterPolicy' => 'takes a name',
        'UsherRegisterCertificate none x' => 'no UsherRegisterPolicy of this name',
        'UsherRegisterCertificate own a*b' => '"*" for each certificate',
        'UsherRegisterSecret a /none' => 'No such file',
        'UsherRegisterSecret a/b /none' => 'a name is 1 to 63',
        'UsherRegisterSealKeys /none' => 'No such file',
        '<Location /x>
UsherRegisterKeys x
</Location>' => 'belongs outside of all sections',
    );
    my $test = register_httpd('');
    my $conf = do { open my $fh, '<', $test->root . '/httpd.conf' or die $!; local $/; <$fh> };
    for my $line (sort keys %bad) {
        open my $fh, '>', $test->root . '/httpd.conf' or die $!;
        print $fh $conf, "UsherRegisterPolicy own\n$line\n";
        close $fh;
        my ($exit, $out) = $test->configtest;
        ok $exit && $out =~ /\Q$bad{$line}\E/, "$line: $bad{$line}" or diag $out;
    }
};

$httpd->log->tolerate(qr/USHER60(?:59|60)/, qr/USHER6054/, qr/USHER304[56]/, qr/AH\d+/);
$httpd->log->expect(qr/USHER6056.*the keys that it had count on/);
$httpd->finish('the log has refusals, and nothing else');
done_testing;
