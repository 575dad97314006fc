# The harness for TLS: the certificates of Usher::Certs, and Usher::Backend with
# TLS, which can break at any byte of the handshake and of an answer. Without
# httpd, as backends.t; its client here is that of the same library, and
# "openssl s_client".
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Backend;
use Usher::Certs ();
use Usher::Pattern;
use Usher::Wait;

my $certs = Usher::Certs->new;

# What openssl says of a certificate.
sub verify {
    my ($name, @more) = @_;
    my $out = qx(openssl verify -purpose any @more -CAfile '${\ $certs->ca }' '${\ $certs->cert($name) }' 2>&1);

    return $out =~ /: OK$/m ? 'OK' : $out =~ /lookup: (.*)/ ? $1 : $out;
}

subtest 'certificates' => sub {
    my %says = (good => 'OK', named => 'OK', wrong => 'OK', client => 'OK', rsa => 'OK', expired => 'certificate has expired',
        future => 'certificate is not yet valid', other => 'unable to get local issuer certificate',
        unchained => 'unable to get local issuer certificate', selfsigned => 'self-signed certificate');
    # The words of older releases
    is(verify($_) =~ s/self signed/self-signed/r, $says{$_}, $_) for sort keys %says;
    is(verify('chained', '-untrusted', $certs->cert('chained')), 'OK', 'chained');
    is(verify('revoked', '-crl_check', '-CRLfile', $certs->crl), 'certificate revoked', 'revoked');
    is(verify('good', '-crl_check', '-CRLfile', $certs->crl), 'OK', 'which "good" is not');
    my $before = (stat $certs->cert('good'))[9] . (stat $certs->cert('good'))[1];
    Usher::Certs->new;
    is((stat $certs->cert('good'))[9] . (stat $certs->cert('good'))[1], $before, 'made once');
};

# What of a handshake fails; '' where it does not. The client stays where asked for.
sub fails {
    my ($backend, %tls) = @_;

    return eval { $backend->client(%tls)->close; 1 } ? '' : $@ =~ s/^handshake: //r =~ s/\n//r;
}

sub last_tls { return +($_[0]->connections)[-1]{tls} }

for my $version ('1.2', '1.3') {
    subtest "TLS $version" => sub {
        my $backend = Usher::Backend->new(tls => { versions => $version, ask => 'ask', names => { 'named.test' => 'named' } });
        my $size = 20_000_000;
        like($backend->url('/x'), qr{^https://127\.0\.0\.1:\d+/x$}, 'its URL');
        $backend->on('/ok', http_answer(200, [], 'hello'));
        $backend->on('/down', [http_answer(200, [], undef, length => $size), fill($size)]);
        $backend->on('POST /up', echo);
        my $client = $backend->client(name => 'good.test', cert => $certs->cert('client'), key => $certs->key('client'));
        is($client->request(GET => '/ok')->{body}, 'hello', 'an answer');
        $client->send(http_request(GET => '/down'));
        is($client->answer(discard => 1, timeout => 60)->{sha1}, pattern_sha1($size), 'a large one');
        $client->send(http_request(POST => '/up', ['Content-Length' => $size]));
        is($client->send_pattern($size), $size, 'a large request');
        is($client->answer->{body}, "POST /up $size " . pattern_sha1($size) . "\n", 'arrives');
        my %told = %{ ($backend->requests)[-1]{tls} };
        is("$told{sni} $told{protocol} $told{client} $told{resumed}", "good.test TLSv$version proxy.test 0", 'the journal tells of the session');
        ok($told{cipher}, "and of its cipher, $told{cipher}");
        is($backend->connections + 0, 1, 'all over one connection');

        my $until = http_answer(200, [Connection => 'close'], 'hello', length => undef);
        $backend->on('/whole', $until);
        $backend->on('/cut', [at($until, length($until) - 2, cut)]);
        $backend->on('/notified', [at($until, length($until) - 2, notify, cut)]);
        $backend->on('/rst', [at($until, length($until) - 2, rst)]);
        for my $case (['whole', 'hello closed', 1], ['cut', 'hel closed', 0], ['notified', 'hel closed', 1], ['rst', 'hel reset', 0]) {
            my $c = $backend->client;
            my $answer = $c->request(GET => "/$case->[0]");
            is("$answer->{body} $answer->{end}", $case->[1], $case->[0]);
            is($c->wire->{notified} ? 1 : 0, $case->[2], $case->[2] ? 'with close_notify' : 'without close_notify');
        }
        $backend->on('/small', [records(1), http_answer(200, [], 'in small records')]);
        is($backend->client->request(GET => '/small')->{body}, 'in small records', 'records of one byte');
        $backend->on('/garbage', [at(http_answer(200, [], 'hello'), 30, raw("no TLS at all, not even a bit of it"))]);
        my $c = $backend->client;
        is($c->request(GET => '/garbage')->{end}, 'reset', 'garbage within: an error of TLS');
        ok($c->wire->{tls_error}, $c->wire->{tls_error} // 'no error');
        if ($version eq '1.2') {
            $backend->on('/again', [renegotiate, http_answer(200, [], 'after it')]);
            is($backend->client->request(GET => '/again')->{body}, 'after it', 'a new handshake is asked for');
        }
    };
}

subtest 'handshakes that break' => sub {
    my $backend = Usher::Backend->new(tls => { late_tickets => 1 });
    $backend->on('/ok', http_answer(200, [], 'hello'));
    for my $case (['cut', [flight(50), cut], 'closed'], ['reset', [flight(50), rst], 'reset'], ['alert', [alert(40)], 'sslv3 alert handshake failure'],
        ['plain HTTP', ["HTTP/1.1 400 Bad Request\r\n\r\n", cut], 'wrong version number'], ['cut after all of its flight', [flight, cut], '']) {
        my ($name, $play, $why) = @$case;
        $backend->on('HELLO', $play, []);
        is(fails($backend, versions => '1.3'), $why, $name);
        is(fails($backend), '', 'the next one is well');
    }
    $backend->on('HELLO', [flight(undef, 200, 0.005)]);
    is($backend->client->request(GET => '/ok')->{body}, 'hello', 'byte by byte');
    my $plain = Usher::Client->new(port => $backend->port);
    $plain->send("GET / HTTP/1.0\r\n\r\n");
    is(($plain->read_all)[1], 'closed', 'a client without TLS: closed');
    ok((wait_until { (($backend->connections)[-1]{bad} // '') eq 'no TLS' }), 'and in the journal');

    my %refused = (versions => Usher::Backend->new(tls => { versions => '1.3' }), require => Usher::Backend->new(tls => { ask => 'require', versions => '1.2' }),
        rsa => Usher::Backend->new(tls => { cert => 'rsa', versions => '1.2' }));
    like(fails($refused{versions}, versions => '1.2'), qr/protocol version/, 'no version in common');
    ok((wait_until { (last_tls($refused{versions}) // {})->{failed} }), 'the journal tells why: ' . (last_tls($refused{versions})->{failed} // ''));
    like(fails($refused{require}), qr/handshake failure|certificate required/, 'no certificate');
    like(fails($refused{rsa}, ciphers => 'ECDHE-ECDSA-AES128-GCM-SHA256', versions => '1.2'), qr/handshake failure/, 'no cipher in common');
};

subtest 'openssl s_client' => sub {
    my $backend = Usher::Backend->new(tls => { names => { 'named.test' => 'named' } });
    my $session = $certs->ca =~ s{[^/]+$}{session-$$}r;
    # It goes on until the backend has answered.
    my $run = sub { return qx(printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -ign_eof -connect 127.0.0.1:${\ $backend->port } -CAfile '${\ $certs->ca }' $_[0] 2>&1) };
    like($run->('-verify_return_error -servername named.test -verify_hostname named.test'), qr/Verify return code: 0 \(ok\)/, 'by name, the certificate is another one');
    for my $version ('1_2', '1_3') {
        $run->("-tls$version -sess_out '$session'");
        ok(-s $session, "$version: a session");
        like($run->("-tls$version -sess_in '$session'"), qr/Reused/, 'is resumed');
        ok((wait_until { (last_tls($backend) // {})->{resumed} }), 'so says the journal');
        unlink $session;
    }
};

done_testing;
