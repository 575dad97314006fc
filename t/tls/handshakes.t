# Who connected how, and why it failed: each kind of handshake, good and bad, with the
# line that the handshake log has of it as text and as JSON, and the access log's items.
use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use Test::More;
use Usher::Client ();
use Usher::H2 ();
use Usher::HandshakeTest;
use Usher::Httpd ();
use Usher::TLSClient ();
use Usher::TLSHello;
use Usher::Wait;

my $httpd = handshake_httpd();
my %hello = (versions => [0x0304, 0x0303], groups => [0x1d, 0x17], ciphers => [0x1301, 0xc02b, 0xc02f]);
my $hello = hello(%hello);
my $records = records(22, $hello);
# One of before TLS 1.3
my $older = hello(groups => [0x17], ciphers => [0xc02b]);
my $large = hello(%hello, more => [ map { ($_, "\0" x 20000) } 0xff10, 0xff11 ]);
my $answer = { wait => 1 };
my ($close, $reset, $stay) = map { { end => $_ } } qw(close reset stay);

# ---- the rows: name, host, client, what its line must tell. A client is a hash, options
# of Usher::TLSClient, or an array: its ClientHello (undef: none that can be read), and
# the steps of raw_client(). What is not told here follows from what the client saw.
my @rows;

sub row { my ($name, $host, $client, %want) = @_; push @rows, { name => $name, host => $host, client => $client, want => \%want }; return }

row("TLS $_", any => { versions => $_, name => 'localhost' }) for qw(1.0 1.1 1.2 1.3);
row('all of a client', any => {});
row('TLS 1.3 with P-384', any => { versions => '1.3', groups => 'P-384' }, group => 'secp384r1');
row('TLS 1.3 with x25519', any => { versions => '1.3', groups => 'X25519' }, group => 'x25519');
row('TLS 1.3, asked for another share', any => { versions => '1.3', groups => 'brainpoolP256r1:P-521' }, group => 'secp521r1');
row('TLS 1.2 with P-256', any => { versions => '1.2', groups => 'P-256' }, group => 'secp256r1');
row('TLS 1.2, RSA key exchange', any => { versions => '1.2', ciphers => 'AES128-SHA' }, cipher => 'AES128-SHA', group => '-', sigalg => '-');
row('TLS 1.2, the RSA certificate', any => { versions => '1.2', ciphers => 'ECDHE-RSA-AES128-GCM-SHA256', sigalgs => 'RSA+SHA256' },
    sigalg => 'rsa_pkcs1_sha256');
row('TLS 1.3, the RSA certificate', any => { versions => '1.3', sigalgs => 'RSA-PSS+SHA256' }, sigalg => 'rsa_pss_rsae_sha256');
row('TLS 1.3, the EC certificate', any => { versions => '1.3', sigalgs => 'ECDSA+SHA256' }, sigalg => 'ecdsa_secp256r1_sha256');
row('TLS 1.0 with 3DES', any => { versions => '1.0', ciphers => 'AES128-SHA:DHE-RSA-AES128-SHA' });
# Which there is not with prefork
row('HTTP/2', any => { alpn => ['h2', 'http/1.1'] }, alpn => 'h2') if $ENV{USHER_MPM} ne 'prefork';
row('HTTP/1.1 by ALPN', any => { alpn => ['http/1.1'] }, alpn => 'http/1.1');
row("resumed by a ticket, TLS $_", any => { versions => $_, again => 1 }, resumed => 1) for qw(1.0 1.2 1.3);
row('resumed by id', any => { versions => '1.2', tickets => 0, again => 1 }, resumed => 1);
row('the name of an old host', names => { versions => '1.0', name => 'old.wild.test' }, vhost => 'old.wild.test', cipher => 'ECDHE-ECDSA-AES128-SHA');
row('the name of a new host', names => { name => 'named.test' }, vhost => 'named.test', version => 'TLSv1.3');
row('the name of the first host', names => { name => 'good.test' }, vhost => 'good.test');
row('a name in capitals', names => { name => 'Named.TEST' }, vhost => 'named.test', sni => 'named.test');
row('a name that nobody has', names => { name => 'nobody.test' }, vhost => 'good.test');
row("a client certificate, TLS $_", asks => { versions => $_, cert => 'client' }, cert => 1) for qw(1.0 1.2 1.3);
row("a client certificate that is asked for by a request, TLS $_", any => { versions => $_, cert => 'client', later => 1, path => '/later/' }, cert => 0)
    for qw(1.2 1.3);
row('a ClientHello in records of 7 bytes', any => { split => 7 });
# What these begin with is for "openssl s_client"
row('a ClientHello of 23 KB', any => { s_client => ['-alpn', join ',', ('x' x 255) x 90, 'http/1.1'] }, alpn => 'http/1.1');

row('early data', any => { versions => '1.3', early => 1 }, resumed => 1, early => 1);

# ---- refused by us
row('TLS 1.1 where 1.2 is needed', modern => { versions => '1.1' }, outcome => 'unsupported-version', alert => 'sent:70:protocol_version');
row('TLS 1.0 where another name has it', names => { versions => '1.0', name => 'named.test' }, outcome => 'unsupported-version',
    alert => 'sent:70:protocol_version');
row('TLS 1.3 where only old is spoken', names => { versions => '1.3', name => 'old.wild.test' }, outcome => 'unsupported-version',
    alert => 'sent:70:protocol_version');
row('versions that do not exist', any => [ hello(%hello, versions => [0x7f1c, 0x0399]) ], outcome => 'unsupported-version',
    alert => 'sent:70:protocol_version');
row('a cipher that is not here', modern => { versions => '1.2', ciphers => 'ECDHE-RSA-AES128-SHA' }, outcome => 'no-shared-cipher',
    alert => 'sent:40:handshake_failure');
row('none of TLS 1.3 where 1.3 it is', any => [ hello(%hello, versions => [0x0304], ciphers => [0xc02b]) ], outcome => 'no-shared-cipher',
    alert => 'sent:40:handshake_failure');
row('a group that is not here', any => [ hello(%hello, versions => [0x0304], groups => [0x1a], shares => []) ], outcome => 'no-shared-group',
    alert => 'sent:40:handshake_failure');
row('signatures that this certificate cannot, TLS 1.3', modern => { versions => '1.3', sigalgs => 'RSA-PSS+SHA256' }, outcome => 'no-shared-sigalg',
    alert => 'sent:40:handshake_failure');
row('a group that is not here, TLS 1.2', modern => [ hello(groups => [0x1a], ciphers => [0xc02c]) ], outcome => 'no-shared-group',
    alert => 'sent:40:handshake_failure');
row('signatures that this certificate cannot, TLS 1.2', modern => [ hello(groups => [0x17], ciphers => [0xc02c], sigalgs => [0x0804]) ],
    outcome => 'no-shared-sigalg', alert => 'sent:40:handshake_failure');
row('signatures that nobody can, TLS 1.2', modern => [ hello(groups => [0x17], ciphers => [0xc02c], sigalgs => [0xfe01]) ],
    outcome => 'no-shared-sigalg', alert => 'sent:40:handshake_failure');
row('a protocol that nobody speaks', any => { alpn => ['refused/1'] }, outcome => 'no-shared-alpn', alert => 'sent:120:no_application_protocol');
row('a name with a NUL', any => [ hello(%hello, name => "a\0b") ], outcome => 'bad-sni', alert => 'sent:112:unrecognized_name');
row('a name that is too long', any => [ hello(%hello, name => 'a' x 300) ], outcome => 'bad-sni', alert => 'sent:112:unrecognized_name');
row('no client certificate, TLS 1.2', asks => { versions => '1.2' }, outcome => 'cert-missing', alert => 'sent:40:handshake_failure');
row('no client certificate, TLS 1.3', asks => { versions => '1.3' }, outcome => 'cert-missing', alert => 'sent:116:certificate_required');
row("a client of another CA, TLS $_", asks => { versions => $_, cert => 'otherclient' }, outcome => 'cert-refused', alert => 'sent:48:unknown_ca', cert => 1)
    for qw(1.2 1.3);
row("an expired client, TLS $_", asks => { versions => $_, cert => 'expiredclient' }, outcome => 'cert-refused', alert => 'sent:45:certificate_expired', cert => 1)
    for qw(1.2 1.3);
row('a client that could do better', any => { versions => '1.1', fallback => 1 }, outcome => 'server-alert', alert => 'sent:86:inappropriate_fallback');

# ---- refused by the client
row("a client that does not know our CA, TLS $_", any => { versions => $_, verify => 1, ca => 'otherca' }, outcome => 'cert-unknown-ca',
    alert => 'received:48:unknown_ca') for qw(1.2 1.3);
row("our certificate has expired, TLS $_", expired => { versions => $_, verify => 1, ca => 'ca' }, outcome => 'cert-expired',
    alert => 'received:45:certificate_expired') for qw(1.2 1.3);
row("our certificate has another name, TLS $_", any => { versions => $_, verify => 'nowhere.test', ca => 'ca' }, outcome => 'cert-unfit',
    alert => 'received:42:bad_certificate') for qw(1.2 1.3);
my %alerts = (42 => 'bad_certificate', 43 => 'unsupported_certificate', 44 => 'certificate_revoked', 45 => 'certificate_expired',
    46 => 'certificate_unknown', 48 => 'unknown_ca', 40 => 'handshake_failure', 80 => 'internal_error', 49 => 'access_denied');
for my $number (sort keys %alerts) {
    my $outcome = $number == 45 ? 'cert-expired' : $number == 48 ? 'cert-unknown-ca' : $number =~ /^4[2346]$/ ? 'cert-unfit' : 'client-alert';
    row("the alert $alerts{$number} after " . ($_ eq $older ? 'TLS 1.2' : 'TLS 1.3'), any => [ $_, $answer, alert($number) ],
        outcome => $outcome, alert => "received:$number:$alerts{$number}") for $older, $hello;
}
row('a client that cancels', any => [ $older, $answer, alert(90) ], outcome => 'client-alert', alert => 'received:90:user_canceled');

# ---- what is no handshake
row('HTTP', any => [ undef, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" ], outcome => 'plain-http');
row('HTTP by POST', any => [ undef, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n" ], outcome => 'plain-http');
row('HTTP by a proxy', any => [ undef, "CONNECT localhost:80 HTTP/1.1\r\n\r\n" ], outcome => 'plain-http');
row('HTTP by OPTIONS', any => [ undef, "OPTIONS * HTTP/1.1\r\n\r\n" ], outcome => 'plain-http');
row('HTTP/2 without TLS', any => [ undef, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" ], outcome => 'plain-http');
row('noise', any => [ undef, "\xde\xad\xbe\xef" x 20 ], outcome => 'garbage');
row('zeros', any => [ undef, "\0" x 200 ], outcome => 'garbage');
row('two bytes', any => [ undef, 'xy', $close ], outcome => 'garbage|client-gone');
row('SSH', any => [ undef, "SSH-2.0-OpenSSH_9.2\r\n" ], outcome => 'garbage');
row('SSL 2.0', any => [ undef, sslv2(2, "\1\0\x80\7\0\xc0\5\0\x80") ], outcome => 'garbage|malformed|unsupported-version');
row('a ClientHello cut', any => [ hello_of(substr $hello, 4, 30) ], outcome => 'malformed', alert => 'sent:50:decode_error', unread => 1);
row('lengths that lie', any => [ substr($hello, 0, 38) . "\xff" . substr($hello, 39) ], outcome => 'malformed', alert => 'sent:50:decode_error', unread => 1);
row('another message first', any => [ undef, records(22, "\2" . substr $hello, 1) ], outcome => 'malformed', alert => 'sent:10:unexpected_message');
row('data first', any => [ undef, records(23, 'hello hello') ], outcome => 'malformed', alert => 'sent:10:unexpected_message');
row('a record that is too long', any => [ undef, pack('Cnn', 22, 0x0301, 20000) . 'x' x 20000 ], outcome => 'malformed', alert => 'sent:22:record_overflow');
row('a ClientHello of 140 KB', any => [ undef, records(22, hello_of('x' x 140_000)) ], outcome => 'malformed', alert => 'sent:47:illegal_parameter');
row('an empty name of a protocol', any => [ hello(%hello, alpn => ['']) ], outcome => 'malformed', alert => 'sent:50:decode_error', unread => 1);
row('TLS 1.3 without signature algorithms', any => [ hello(%hello, order => [10, 43, 51]) ], outcome => 'malformed', alert => 'sent:109:missing_extension');

# ---- who went away
row('nothing', any => [ undef, $close ], outcome => 'nothing');
row('nothing, and a reset', any => [ undef, $reset ], outcome => 'nothing');
row('a byte', any => [ undef, "\x16", $close ], outcome => 'client-gone');
row('half a ClientHello', any => [ undef, substr($records, 0, 60), $close ], outcome => 'client-gone');
row('half a ClientHello, and a reset', any => [ undef, substr($records, 0, 60), $reset ], outcome => 'client-gone');
row('gone after our answer', any => [ $hello, $answer, $close ], outcome => 'client-gone');
row('reset after our answer', any => [ $older, $answer, $reset ], outcome => 'client-gone');
row('gone although asked for a share', any => [ hello(%hello, groups => [0x17], shares => []), $answer, $close ], outcome => 'client-gone');
row('byte by byte', any => [ undef, segments($hello, 1), $answer, $close ], outcome => 'client-gone', hello => $hello);
row('a ClientHello of 16 KiB', any => [ hello(%hello, more => [21, "\0" x 16100]), $answer, $close ], outcome => 'client-gone');
row('a ClientHello of 40 KB', any => [ $large, $answer, $close ], outcome => 'client-gone');
row('the same in records and segments of 100 bytes', any => [ undef, segments($large, 100), $answer, $close ], outcome => 'client-gone', hello => $large);
row('1,000 extensions', any => [ hello(%hello, more => [ map { ($_, '') } 0x5000 .. 0x53e8 ]), $answer, $close ], outcome => 'client-gone', cut => 1);
row('a browser', any => [ hello(versions => [0x0304, 0x0303], groups => [0x1d, 0x17, 0x18], name => 'localhost', alpn => ['h2', 'http/1.1'], grease => 1,
    ciphers => [ map { hex } qw(1301 1302 1303 c02b c02f c02c c030 cca9 cca8 c013 c014 009c 009d 002f 0035) ],
    order => [ map { hex } qw(1b 00 33 10 4469 17 2d 0d 05 23 12 2b ff01 0b 0a 15) ]), $answer, $close ],
    outcome => 'client-gone', ja4 => 't13d1516h2_8daaf6152771_e5627efa2ab1');    # as FoxIO has published it
row('a name to break logs with', any => [ hello(%hello, name => qq(a"\\ \e[31m\r\nb\xff|{})), $answer, $close ], outcome => 'client-gone', sni => { text => 'a\"\\\\\\x20\\x1B[31m\\x0D\\x0Ab\\xFF\\x7C\\x7B\\x7D', json => qq(a"\\ \e[31m\r\nb\xff|{}) });
row('early data that is only offered', any => [ hello(%hello, early => 1), $answer, $close ], outcome => 'client-gone', early => 1);
row('nothing for too long', slow => [ undef, $stay ], outcome => 'timeout');
row('half a ClientHello for too long', slow => [ undef, substr($records, 0, 60), $stay ], outcome => 'timeout');
row('no end for too long', slow => [ $hello, $stay ], outcome => 'timeout');

sub sslv2 { my ($version, $ciphers) = @_; my $body = pack('C n n n n', 1, $version, length $ciphers, 0, 16) . $ciphers . 'c' x 16; return pack('n', 0x8000 | length $body) . $body }
sub segments { my ($bytes, $size) = @_; return map { ($_, { pause => 0.001 }) } unpack "(a@{[ $size + 5 ]})*", records(22, $bytes, size => $size) }

row('refused by another module', any => [ undef, $records, $stay ], outcome => 'stopped', net => 66);

# ---- the httpd

# Two of each host, as logs are of a server: one writes text, one JSON.
sub handshake_httpd {
    my %port = map { my $format = $_; map { ("$format $_" => free_port()) } qw(any modern asks expired slow names) } qw(text json);
    my $items = join '\t', '%a', map { "%{$_}^US" } @{ items() };
    my $httpd = Usher::Httpd->new(usher => [qw(usher usher_tls usher_log ushertesttls)],
        modules => [qw(ssl socache_shmcb reqtimeout log_config http2 dir alias authz_host)], conf => <<"EOC");
@{[ map { "Listen 127.0.0.1:$_\n" } values %port ]}
# Also who says nothing is accepted
AcceptFilter http none
AcceptFilter https none
Protocols h2 http/1.1 refused/1
SSLSessionCache shmcb:logs/sessions(512000)
LogFormat "$items" items
<Location /tls>
    SetHandler usher-tls
    Require ip 127.0.0.1
</Location>
@{[ map { hosts($_, \%port) } qw(text json) ]}
EOC
    $httpd->{ports} = \%port;
    return $httpd;
}

sub hosts {
    my ($format, $port) = @_;
    my $log = "UsherTLSLog logs/tls_$format all $format\nCustomLog logs/items_$format items";
    my $host = sub { my ($name, @lines) = @_; return tls_host($port->{"$format $name"}, 'localhost', $log, @lines) };
    my $name = sub { my ($name, @lines) = @_; return tls_host($port->{"$format names"}, $name, $log, @lines) };

    return $host->(any => weak(), certificate('good', 'rsa'), 'SSLCACertificateFile ' . certs()->ca,
            '<Location /later/>', 'SSLVerifyClient require', '</Location>', "Alias /later/ \@HTDOCS\@/")
        . $host->(modern => "SSLProtocol +TLSv1.2 +TLSv1.3\nSSLCipherSuite ECDHE-ECDSA-AES256-GCM-SHA384\n", certificate('good'))
        . $host->(asks => weak(), certificate('good'), 'SSLVerifyClient require', 'SSLCACertificateFile ' . certs()->ca)
        . $host->(expired => weak(), certificate('expired'))
        . $host->(slow => weak(), certificate('good'), 'RequestReadTimeout handshake=' . (2 * patience - 1))
        . $name->('good.test', weak(), certificate('good'))
        . $name->('named.test', 'SSLProtocol TLSv1.3', certificate('named'))
        . $name->('old.wild.test', "SSLProtocol TLSv1\nSSLCipherSuite ECDHE-ECDSA-AES128-SHA:\@SECLEVEL=0", certificate('good'));
}

sub items { return [qw(tls_version tls_cipher tls_group tls_sigalg tls_sni tls_alpn tls_resumed tls_early tls_cert tls_ja4 SSL)] }

# ---- the clients

# The client's address tells its row.
sub from {
    my ($format, $number) = @_;

    return join '.', 127, $rows[$number]{want}{net} // 1, $format eq 'text' ? 1 : 2, 1 + $number;
}

sub play {
    my ($row, $port, $from) = @_;

    if (ref $row->{client} eq 'ARRAY') {
        my ($hello, @steps) = @{ $row->{client} };
        unshift @steps, records(22, $hello) if defined $hello;
        return { hello => $hello // $row->{want}{hello}, %{ raw_client($port, $from, @steps) } };
    }
    return s_client($port, $from, @{ $row->{client}{s_client} }, "GET / HTTP/1.0\r\n\r\n") if $row->{client}{s_client};
    my %opt = (%{ $row->{client} }, port => $port, from => $from);
    my ($again, $early, $path) = delete @opt{qw(again early path)};
    @opt{qw(cert key)} = (certs()->cert($opt{cert}), certs()->key($opt{cert})) if $opt{cert};
    $opt{ca} = certs()->$_ for $opt{ca} // ();
    if ($again || $early) {
        # The session's first connection is of somebody else.
        my $first = Usher::TLSClient->new(%opt, from => '127.0.0.1');
        $first->request(GET => '/');
        $opt{session} = $first->session;
        $first->close;
    }
    my $session = $httpd->root . "/session";
    return s_client($port, $from, '-tls1_3', '-sess_in', early_session($opt{session}, $session), '-early_data', $session,
        "GET / HTTP/1.0\r\n\r\n") if $early;
    my $client = Usher::TLSClient->new(%opt);
    my %seen = (hello => $client->hello, failed => $client->failed);
    if (!$seen{failed}) {
        %seen = (%seen, %{ $client->told }, alpn => $client->alpn);
        $seen{status} = $client->alpn eq 'h2' ? h2_status($client) : $client->request(GET => $path // '/', [Host => $opt{name} // 'localhost'])->{status} // 'none';
    }
    $client->close;
    return \%seen;
}

sub h2_status {
    my ($client) = @_;
    my $h2 = Usher::H2->new(client => $client, scheme => 'https');

    return $h2->answer($h2->start(GET => '/'))->{status};
}

# ---- what its line must tell

my %names = (0x0300 => 'SSLv3', 0x0301 => 'TLSv1', 0x0302 => 'TLSv1.1', 0x0303 => 'TLSv1.2', 0x0304 => 'TLSv1.3');

sub expected {
    my ($row, $seen) = @_;
    my %want = (outcome => 'done', %{ $row->{want} });
    my $good = $want{outcome} eq 'done';

    if ($good) {
        my ($version, $cipher) = ($want{version} // $seen->{protocol}, delete $want{cipher} // $seen->{cipher});
        delete $want{version};
        %want = (alert => '-', SSL => "{$version,$cipher}", resumed => 0, early => 0, cert => 0,
            alpn => $seen->{alpn} || '-', %want);
    }
    my ($cut, $unread) = delete @want{qw(cut unread hello net)};
    $want{sni} //= $row->{client}{name} // '-' if ref $row->{client} eq 'HASH';
    return { ja4 => '-', versions => '-', ciphers => '-', groups => '-', %want } if $unread || !defined $seen->{hello};
    my $offer = offer($seen->{hello});
    my @versions = @{ $offer->{versions} } ? @{ $offer->{versions} } : $offer->{legacy};
    %want = (ja4 => ja4($seen->{hello}), versions => join(',', map { $names{$_} // sprintf '%04x', $_ } @versions),
        ciphers => join(',', map { sprintf '%04x', $_ } @{ $offer->{ciphers} }), %want);
    delete $want{ja4} if $cut;
    return \%want;
}

# Of several outcomes that are right any.
sub matches { my ($got, $want) = @_; return scalar grep { $_ eq $got } $want, split /\|/, $want }

sub check {
    my ($format, $row, $seen, $got) = @_;
    my $want = expected($row, $seen);
    $_ = $_->{$format} for grep { ref } values %$want;
    my @wrong = map { "$_: '" . ($got->{$_} // 'none') . "', not '$want->{$_}'" } grep { !matches($got->{$_} // 'none', $want->{$_}) } sort keys %$want;

    push @wrong, "status: $seen->{status}" if $want->{outcome} eq 'done' && ($seen->{status} // 200) ne '200';
    push @wrong, 'the client saw: ' . ($seen->{failed} // '-') if @wrong && $seen->{failed};
    return @wrong;
}

sub text_lines { return map { text_line($_) // do { fail("no line of ours: $_"); () } } file_lines($_[0]) }

# As of text, but for what has a type.
sub json_lines {
    return map {
        my $line = eval { JSON::PP->new->utf8->decode($_) } // {};
        fail("no JSON: $_") unless %$line && /^[^\x00-\x1f\x7f]+\n\z/;
        $line;
    } file_lines($_[0]);
}

# What the access log has of a request must be what the handshake log has of its
# connection, but for what the client has shown since.
sub items_wrong {
    my ($line, $items, $later) = @_;
    my %got;

    return 'no line in the access log' unless $items;
    @got{ @{ items() } } = @$items;
    $line = { %$line, cert => 1 } if $later;
    my @wrong = map { (my $key = $_) =~ s/^tls_//; $got{$_} eq $line->{$key} ? () : "access log: $_: '$got{$_}'" } grep { !/^tls_(?:version|cipher)$/ } @{ items() };
    push @wrong, "access log: version and cipher: $got{tls_version},$got{tls_cipher}" if $line->{SSL} ne "{$got{tls_version},$got{tls_cipher}}";
    return @wrong;
}

# All rows, one after the other; in between other things happen.
sub play_all {
    my ($format, %between) = @_;
    my @seen;

    for my $n (0 .. $#rows) {
        $between{$n}->($format, $n) if $between{$n};
        push @seen, play($rows[$n], $httpd->{ports}{"$format $rows[$n]{host}"}, from($format, $n));
    }
    return @seen;
}

# So many rows are in the logs: what a client asked is in the access log after it has its answer.
sub all_logged {
    my ($format, $rows) = @_;
    my $logs = $httpd->root . '/logs';
    my @asked = map { from($format, $_) } grep { !$rows[$_]{want}{outcome} } 0 .. $rows - 1;

    return wait_until {
        my %served = map { (split /\t/)[0] => 1 } file_lines("$logs/items_$format");
        (grep { /127\.\d+\.[12]\./ } file_lines("$logs/tls_$format")) >= $rows && !grep { !$served{$_} } @asked;
    } 5;
}

# What has ended is not lost.
sub kill_children {
    my ($format, $rows) = @_;

    all_logged($format, $rows);
    $httpd->kill_children;
    return;
}

sub check_all {
    my ($format, @seen) = @_;
    my $logs = $httpd->root . '/logs';
    my $others = grep { ref $_->{client} eq 'HASH' && ($_->{client}{again} || $_->{client}{early}) } @rows;
    my (%got, %items);

    all_logged($format, scalar @rows);
    push @{ $got{ $_->{client} } }, $_ for $format eq 'text' ? text_lines("$logs/tls_text") : json_lines("$logs/tls_json");
    for (file_lines("$logs/items_$format")) {
        chomp;
        my ($client, @values) = split /\t/, $_, -1;
        $items{$client} = \@values;
    }
    is(scalar @{ delete $got{'127.0.0.1'} // [] }, $others, 'those that were resumed later');
    for my $n (0 .. $#rows) {
        my $from = from($format, $n);
        my ($line, @more) = @{ delete $got{$from} // [] };
        my @wrong = !$line ? 'no line' : @more ? 'more than one line' : check($format, $rows[$n], $seen[$n], $line);
        push @wrong, items_wrong($line, $items{$from}, ref $rows[$n]{client} eq 'HASH' && $rows[$n]{client}{later}) if $line && ($line->{outcome} // '') eq 'done';
        ok(!@wrong, $rows[$n]{name}) or diag(join "\n", @wrong, map { explain($_) } $line // ());
    }
    is(join(' ', %got), '', 'of nobody else');
    return;
}

ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console . join "\n", $httpd->log->lines);
for my $format (qw(text json)) {
    my @seen = play_all($format, $format eq 'text' ? (30 => sub { $httpd->graceful }) : (40 => \&kill_children, 60 => sub { $httpd->graceful }, 80 => \&kill_children));
    subtest "handshakes as $format" => sub { check_all($format, @seen) };
    $_->{left} and $_->{left}->close for @seen;
}
# The counters have what the logs have.
my @lines = (text_lines($httpd->root . '/logs/tls_text'), json_lines($httpd->root . '/logs/tls_json'));
my %counted = (done => 0);
my $stats = JSON::PP->new->utf8->decode(Usher::Client->get($httpd->port, '/tls?format=json')->{body});
$counted{ $_->{outcome} } += $_->{connections} for @{ $stats->{failures} };
$counted{done} += $_->{connections} for @{ $stats->{versions} };
my %logged;
$logged{ $_->{outcome} }++ for @lines;
is_deeply(\%counted, \%logged, 'what is counted');
my %versions = map { $_->{version} => $_->{connections} } @{ $stats->{versions} };
%logged = ();
$logged{ $_->{SSL} =~ /^\{(.*),/ ? $1 : '' }++ for grep { $_->{outcome} eq 'done' } @lines;
is_deeply(\%versions, \%logged, 'by version');
my @missing = grep { !$counted{$_} } qw(done no-shared-cipher unsupported-version no-shared-group no-shared-sigalg no-shared-alpn bad-sni
    cert-missing cert-refused cert-unknown-ca cert-expired cert-unfit client-alert server-alert plain-http garbage malformed client-gone
    nothing timeout stopped);
is("@missing", '', 'each end of a handshake was seen');
# mod_ssl built with a newer OpenSSL; a name that its certificate has not; mod_http2 with prefork; those killed
$httpd->log->tolerate(qr/ssl:warn.*AH0(?:1882|1909)/, qr/AH(?:00052|1039[23]|10034)/);
# The protocol that nobody speaks
$httpd->log->expect(qr/AH02907/, qr/AH02908/);
$httpd->finish('the error log has nothing else');
done_testing;
