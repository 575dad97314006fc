# The statistics count: a thousand handshakes of a known mix, in between children that are
# killed and restarts, and all is in the tables; and what would happen with other
# SSLProtocol and SSLCipherSuite is what happens.
use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use List::Util 'sum0';
use Test::More;
use Time::HiRes ();
use Usher::Client ();
use Usher::Ctl;
use Usher::H2 ();
use Usher::HandshakeTest;
use Usher::Httpd ();
use Usher::TLSClient ();
use Usher::TLSHello;
use Usher::Wait;

my $port = free_port();

# By the names that OpenSSL has for its clients and the registry for all
my %group = ('P-256' => 'secp256r1', 'P-384' => 'secp384r1', 'X25519' => 'x25519');

# ---- the mix: connections of each kind, from so many addresses; requests on each
# connection, over HTTP/2 all at once. "as" has the addresses of that kind.
my @kinds = (
    { name => 'tills', n => 70, clients => 35, requests => 2, tls => { versions => '1.0', ciphers => 'ECDHE-RSA-AES128-SHA', groups => 'P-256' } },
    { name => 'scanners', n => 40, clients => 2, requests => 0, tls => { versions => '1.0', ciphers => 'AES128-SHA' } },
    { name => 'phones', n => 50, clients => 50, requests => 1, tls => { versions => '1.1', ciphers => 'ECDHE-ECDSA-AES256-SHA', groups => 'P-256' } },
    { name => 'static', n => 80, clients => 40, requests => 1, tls => { versions => '1.2', ciphers => 'AES256-GCM-SHA384' } },
    { name => 'cbc', n => 60, clients => 60, requests => 3, tls => { versions => '1.2', ciphers => 'ECDHE-ECDSA-AES128-SHA256', groups => 'P-256' } },
    { name => 'usual', n => 150, clients => 100, requests => 1, tls => { versions => '1.2', ciphers => 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256', groups => 'X25519:P-256' } },
    { name => 'browsers', n => 220, clients => 200, requests => 4, tls => { groups => 'X25519:P-256', alpn => ['h2', 'http/1.1'] } },
    { name => 'both', n => 100, clients => 100, as => 'usual', requests => 1, tls => { versions => ['1.2', '1.3'], groups => 'P-384' } },
    { name => 'newest', n => 80, clients => 80, requests => 1, tls => { versions => '1.3', ciphersuites => 'TLS_CHACHA20_POLY1305_SHA256', groups => 'X25519' } },
    # Those that do not come so far
    { name => 'null', n => 30, clients => 10, fails => 'no-shared-cipher', hello => hello(ciphers => [0x0002, 0x003b], groups => [0x17]) },
    { name => 'ssl3', n => 30, clients => 3, fails => 'unsupported-version', hello => hello(legacy => 0x0300, ciphers => [0x2f]) },
    { name => 'strangers', n => 30, clients => 30, fails => 'cert-unknown-ca', tls => { versions => '1.2', ciphers => 'ECDHE-ECDSA-AES256-GCM-SHA384', verify => 1, ca => certs()->otherca } },
    { name => 'plain', n => 30, clients => 30, fails => 'plain-http', bytes => "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { name => 'noise', n => 16, clients => 16, fails => 'garbage', bytes => "\xde\xad\xbe\xef" x 20 },
    { name => 'shy', n => 14, clients => 14, fails => 'nothing', bytes => '' },
);
my %kind = map { $_->{name} => $_ } @kinds;

my $count = 0;
for my $kind (@kinds) { $kind->{net} = ++$count; $kind->{from} = 0 }

# The address of a kind's connection number $i: each of its clients as often as the others.
sub address {
    my ($kind, $i) = @_;
    my $net = ($kind->{as} ? $kind{ $kind->{as} } : $kind)->{net};

    $i %= $kind->{clients};
    return sprintf '127.%d.%d.%d', 10 + $net, $i / 200, 1 + $i % 200;
}

# One connection: '' or how the client says that it failed. What it agreed on is
# the same for all of a kind.
sub connect_once {
    my ($kind, $port, $from, $requests) = @_;

    if (!$kind->{tls}) {
        my $bytes = $kind->{hello} ? records(22, $kind->{hello}) : $kind->{bytes};
        my $came = raw_client($port, $from, length $bytes ? $bytes : { end => 'close' })->{came};
        my ($answer) = answers($came);
        return $answer && $answer->[0] eq 'server_hello' ? '' : 'refused';
    }
    my $client = Usher::TLSClient->new(port => $port, from => $from, %{ $kind->{tls} });
    my $failed = $client->failed;
    if (!$failed) {
        my $told = $client->told;
        @$kind{qw(version cipher)} = @$told{qw(protocol cipher)};
        if ($client->alpn eq 'h2') {
            my $h2 = Usher::H2->new(client => $client, scheme => 'https');
            my @streams = map { $h2->start(GET => '/') } 1 .. $requests;
            $h2->answer($_)->{status} == 200 or die "HTTP/2\n" for @streams;
        } else {
            $client->request(GET => '/', ['User-Agent' => $kind->{name}])->{status} == 200 or die "no answer\n" for 1 .. $requests;
        }
    }
    $client->close;
    return $failed;
}

# The connections of each kind up to this share, as they would come: in turns.
sub play_to {
    my ($share) = @_;
    my @due;

    for my $kind (@kinds) {
        my $n = int($kind->{n} * $share) - $kind->{from};
        push @due, map { [$kind, $kind->{from} + $_, $_ / $n] } 0 .. $n - 1;
        $kind->{from} += $n;
    }
    for my $one (sort { $a->[2] <=> $b->[2] } @due) {
        my ($kind, $i) = @$one;
        my $failed = connect_once($kind, $port, address($kind, $i), $kind->{requests});
        push @{ $kind->{odd} }, $failed || 'it did not fail' if !!$failed ne !!$kind->{fails};
    }
    return;
}

# ---- what would happen, and what happens

my @ideas = (
    ['SSLProtocol -all +TLSv1.2 +TLSv1.3'],
    ['SSLProtocol -all +TLSv1.3'],
    ['SSLProtocol all -SSLv3 -TLSv1.3'],
    ['SSLProtocol TLSv1.2 TLSv1.3'],
    ['SSLProtocol all -SSLv3', 'SSLCipherSuite HIGH:!aNULL:!kRSA'],
    ['SSLProtocol all -SSLv3', 'SSLCipherSuite ECDHE+AESGCM'],
    ['SSLProtocol all -SSLv3', 'SSLCipherSuite ECDHE-ECDSA-AES128-GCM-SHA256'],
    ['SSLProtocol all -SSLv3', 'SSLCipherSuite TLSv1.3 TLS_AES_128_GCM_SHA256'],
    ['SSLProtocol all -SSLv3 +TLSv1 +TLSv1.1', 'SSLCipherSuite ALL:@SECLEVEL=0'],
    ['SSLProtocol all -SSLv3 +TLSv1 +TLSv1.1', 'SSLCipherSuite AES128-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0'],
);

# The kinds that an httpd so configured refuses.
sub refused_for_real {
    my @ports = map { free_port() } @ideas;
    my @hosts = map { tls_host($ports[$_], 'localhost', @{ $ideas[$_] }, certificate('good', 'rsa')) } 0 .. $#ideas;
    my $httpd = Usher::Httpd->new(usher => [], modules => [qw(ssl dir)], conf => join '', "SSLSessionCache none\n", map({ "Listen 127.0.0.1:$_\n" } @ports), @hosts);
    my @refused;

    $httpd->start or BAIL_OUT($httpd->console . join "\n", $httpd->log->lines);
    for my $port (@ports) {
        push @refused, [ grep { connect_once($_, $port, '127.0.0.1', 0) =~ /alert|refused/ } grep { $_->{tls} || $_->{hello} } @kinds ];
    }
    $httpd->stop;
    return @refused;
}

# ---- what is counted

# Unordered rows as a hash: "TLSv1 AES128-SHA" => [connections, requests]
sub table {
    my ($data, $name, @by) = @_;

    return +{ map { join(' ', map { $_ // '-' } @$_{@by}) => [ $_->{connections}, $_->{requests} // 0 ] } @{ $data->{$name} } };
}

sub expected {
    my ($failed, $key) = @_;
    my %table;

    for my $kind (grep { !!$_->{fails} eq !!$failed && $_->{from} } @kinds) {
        my $row = $table{ $key->($kind) } //= [0, 0];
        $row->[0] += $kind->{from};
        $row->[1] += $kind->{from} * ($kind->{requests} // 0);
    }
    return \%table;
}

# Addresses of those that came well.
sub clients_of {
    my ($which) = @_;
    my %seen;

    for my $kind (grep { $which->($_) } @kinds) { $seen{ address($kind, $_) } = 1 for 0 .. $kind->{from} - 1 }
    return scalar keys %seen;
}

sub near { my ($got, $want, $share) = @_; my $off = abs($got - $want); return $off <= $want * $share || $off <= 1 }

sub group_of { my ($kind) = @_; my ($first) = split /:/, $kind->{tls}{groups} // ''; return $first ? $group{$first} : '-' }

sub offered_max {
    my ($kind) = @_;
    return '-' unless $kind->{hello} || $kind->{tls};
    return $kind->{hello} && offer($kind->{hello})->{legacy} == 0x0300 ? 'SSLv3' : 'TLSv1.2';
}

sub told {
    my ($file, @more) = @_;
    my ($code, $out, $err) = usherctl('tls', @more[0 .. 0], '--json', '--file', $file, @more[1 .. $#more]);

    diag($err) if $code;
    return $code ? {} : JSON::PP->new->utf8->decode($out);
}

sub check_tables {
    my ($name, $data) = @_;

    subtest $name => sub {
        my %by = (versions => [ sub { $_[0]{version} }, 'version' ], ciphers => [ sub { "$_[0]{version} $_[0]{cipher}" }, qw(version cipher) ],
            groups => [ \&group_of, 'group' ]);
        for my $table (sort keys %by) {
            my ($key, @by) = @{ $by{$table} };
            is_deeply(table($data, $table, @by), expected(0, $key), $table) or diag(explain($data->{$table}));
        }
        is_deeply(table($data, 'failures', 'outcome', 'version'), expected(1, sub { "$_[0]{fails} " . offered_max($_[0]) }), 'failures');
        for my $row (@{ $data->{versions} }, @{ $data->{ciphers} }) {
            my $want = clients_of(sub { $_[0]{version} && !$_[0]{fails} && $_[0]{version} eq $row->{version} && (!$row->{cipher} || $_[0]{cipher} eq $row->{cipher}) });
            ok(near($row->{clients}, $want, 0.03), "clients of $row->{version} " . ($row->{cipher} // '')) or diag("$row->{clients}, not $want");
        }
    };
    return;
}

# ---- counting

my $httpd = Usher::Httpd->new(usher => [qw(usher usher_tls)], modules => [qw(ssl socache_shmcb log_config http2 dir authz_host)], conf => <<"EOC");
Listen 127.0.0.1:$port
AcceptFilter http none
AcceptFilter https none
Protocols h2 http/1.1
SSLSessionCache shmcb:logs/sessions(512000)
UsherStateDir \@ROOT\@/state
UsherTLSStats On 1s
<Location /tls>
    SetHandler usher-tls
    Require ip 127.0.0.1
</Location>
@{[ tls_host($port, 'localhost', weak(), certificate('good', 'rsa')) ]}
EOC
my $file = $httpd->root . '/state/tls.stats';
mkdir $httpd->root . '/state';
chown((getpwnam 'nobody')[2, 3], $httpd->root . '/state') if $> == 0;

# What is there by now, as httpd itself tells it.
sub live {
    my $answer = Usher::Client->get($httpd->port, '/tls?format=json');

    return $answer->{complete} ? JSON::PP->new->utf8->decode($answer->{body}) : diag(explain($answer)) && {};
}

# Connections, and requests: those are counted when they are logged, after the client has its answer.
sub sum { my ($data) = @_; my $n = 0; $n += $_->{connections} + ($_->{requests} // 0) for @{ $data->{versions} }, @{ $data->{failures} }; return $n }
sub played { my $n = 0; $n += $_->{from} * (1 + ($_->{requests} // 0)) for @kinds; return $n }
sub all_there { return wait_until { sum(live()) >= played() } 5 }

# The file is another one each time; its inode may be that of the last but one.
sub all_saved {
    my $looked_at = '';

    return wait_until {
        my $this = join ' ', (Time::HiRes::stat $file)[1, 9];
        return 0 if $this eq $looked_at;
        $looked_at = $this;
        return sum(told($file, 'show')) >= played();
    } 5;
}


ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console . join "\n", $httpd->log->lines);
# mod_ssl built with a newer OpenSSL, mod_http2 with prefork, and what is killed
$httpd->log->tolerate(qr/ssl:warn.*AH01882/, qr/AH(?:00052|1039[23]|00098|10034)/);
play_to(0.25);
ok(all_there(), 'a quarter is counted');
$httpd->kill_children(($httpd->children)[0, 1]);
play_to(0.5);
ok(all_there(), 'the second one too, after a kill -9 of children');
$httpd->graceful;
play_to(0.75);
ok(all_there(), 'the third one, after a graceful restart');
$httpd->kill_children;
$httpd->graceful;
play_to(1);
is_deeply([ map { "$_->{name}: @{ $_->{odd} }" } grep { $_->{odd} } @kinds ], [], 'all clients saw what they should');
is(sum0(map { $_->{from} } @kinds), 1000, 'a thousand handshakes');
all_there();
check_tables('httpd tells them', live());
ok(all_saved(), 'they are saved');
check_tables('usherctl tells them', told($file, 'show'));

# ---- kept

my $tills = address($kind{tills}, 0);
my ($till) = grep { $_->{client} eq $tills && $_->{for} eq 'TLSv1' } @{ told($file, 'show')->{named} };
is_deeply([ @$till{qw(for agent connections)} ], ['TLSv1', 'tills', 2], 'a till is named, with its user agent') or diag(explain($till));
my $begun = live()->{begun};
ok($httpd->stop && $httpd->start, 'httpd stops and starts');
check_tables('nothing is lost', live());
is(live()->{begun}, $begun, 'counted since the same time');
play_to(1.1);
ok(all_saved(), 'a tenth more is counted and saved');
$httpd->kill;
ok($httpd->start, 'httpd is killed with all children, and started');
check_tables('nothing that was saved is lost', live());
check_tables('nor in the file', told($file, 'show'));

# ---- what would happen, and what happens

my @real = refused_for_real();
my @offering = grep { $_->{tls} || $_->{hello} } @kinds;
my $all = 0;
$all += $_->{from} for @offering;
for my $i (0 .. $#ideas) {
    my %refused = map { $_->{name} => 1 } @{ $real[$i] };
    my $found = told($file, 'what-if', '--cert', certs()->cert('good'), '--cert', certs()->cert('rsa'), @{ $ideas[$i] });
    my ($fail, @wrong) = (0);
    $fail += $_->{from} for @{ $real[$i] };
    push @wrong, "connections: $found->{connections}{fail} of $found->{connections}{all}, not $fail of $all"
        if $found->{connections}{fail} != $fail || $found->{connections}{all} != $all;
    my %seen = map { my $kind = $_; map { (address($kind, $_) => 1) } 0 .. $kind->{from} - 1 } @{ $real[$i] };
    push @wrong, "clients: $found->{clients}{fail}, not " . keys %seen unless near($found->{clients}{fail}, scalar keys %seen, 0.08);
    for my $name (qw(tills scanners static)) {
        my $address = address($kind{$name}, 0);
        push @wrong, "$name are " . ($refused{$name} ? 'not ' : '') . 'named'
            if !!$refused{$name} ne !!(grep { $_->{client} eq $address } @{ $found->{named} });
    }
    ok(!@wrong, "what if: @{ $ideas[$i] }") or diag(join "\n", @wrong, 'refused for real: ' . join ' ', sort keys %refused);
}
$httpd->finish('the error log has nothing else');
done_testing;
