# A client of mod_usher_register: signs requests by RFC 9421 and RFC 9530, and spoils any
# part of them when told to.
#   my $s = Usher::Signed->new(port => 8080, keyid => 'tomcat1', secret => $bytes);
#   my $a = $s->put('app', 'tomcat1', { url => 'ajp://self:8009' });
#   $a->{status}; $a->{json}{state}; $a->{json}{error}{code};
#   $s->call('POST', '/members/app/tomcat1/drain', { deadline => 5 }, %spoilt);
package Usher::Signed;

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256 sha256);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Time::HiRes ();
use Usher::Client;

my $json = JSON::PP->new->canonical->utf8;
my $count = 0;

# new(port => n, keyid => id, secret => bytes): more options are
#   location  => '/usher-register'
#   authority => what Host says, default 127.0.0.1:PORT
#   host, from, tls => as Usher::Client's
sub new {
    my ($class, %opt) = @_;

    return bless { location => '/usher-register', authority => "127.0.0.1:$opt{port}", %opt }, $class;
}

# Another one, with other options.
sub with {
    my ($self, %opt) = @_;

    return bless { %$self, %opt }, ref $self;
}

sub put       { my ($s, $cluster, $route, $member, @spoil) = @_; return $s->call('PUT', "/members/$cluster/$route", $member, @spoil) }
sub heartbeat { my ($s, $cluster, $route, $body, @spoil) = @_; return $s->call('POST', "/members/$cluster/$route/heartbeat", $body, @spoil) }
sub drain     { my ($s, $cluster, $route, $body, @spoil) = @_; return $s->call('POST', "/members/$cluster/$route/drain", $body, @spoil) }
sub remove    { my ($s, $cluster, $route, @spoil) = @_; return $s->call('DELETE', "/members/$cluster/$route", undef, @spoil) }
sub show      { my ($s, $cluster, $route, @spoil) = @_; return $s->call('GET', "/members/$cluster/$route", undef, @spoil) }
sub list      { my ($s, $query, @spoil) = @_; return $s->call('GET', '/members' . ($query // ''), undef, @spoil) }

# A request as text; the path is below the location. What is spoilt:
#   created, expires, nonce, keyid, alg, secret, label => another value; undef: left out
#   covered  => [components], instead of those that are needed
#   params   => text instead of all of Signature-Input's list and parameters
#   signed   => { component => value that is signed instead of the true one }
#   sent     => { method, target, authority, body => what is sent instead of what was signed }
#   headers  => [name => value, ...]: more fields; signature_input, signature, digest => the whole field;
#               undef: without it
#   mac      => sub { spoils the 32 bytes }
#   type     => Content-Type; raw => the body as it is
sub text {
    my ($self, $method, $path, $body, %spoil) = @_;
    my %o = (created => time, nonce => $self->nonce, keyid => $self->{keyid}, alg => 'hmac-sha256',
        secret => $self->{secret}, label => 'sig', %spoil);
    my $target = $self->{location} . $path;
    my $sent = $o{sent} // {};
    my $bytes = $o{raw} // (defined $body ? $json->encode($body) : undef);
    my $digest = exists $o{digest} ? $o{digest} : defined $bytes ? 'sha-256=:' . encode_base64(sha256($bytes), '') . ':' : undef;
    my ($uri, $query) = split /\?/, $target, 2;
    my %true = ('@method' => $method, '@authority' => lc $self->{authority}, '@path' => $uri,
        '@query' => '?' . ($query // ''), 'content-digest' => $digest, %{ $o{signed} // {} });
    my @covered = @{ $o{covered} // ['@method', '@authority', '@path', '@query', defined $digest ? 'content-digest' : ()] };
    my $params = $o{params} // join '', '(', join(' ', map { qq("$_") } @covered), ')',
        map { defined $o{$_} ? ";$_=" . (/created|expires/ ? $o{$_} : qq("$o{$_}")) : () } qw(created expires nonce keyid alg tag);
    my $base = join '', (map { qq("$_": ) . ($true{$_} // '') . "\n" } @covered), qq("\@signature-params": $params);
    my $mac = hmac_sha256($base, $o{secret} // '');

    $mac = $o{mac}->($mac) if $o{mac};
    my $input = exists $o{signature_input} ? $o{signature_input} : "$o{label}=$params";
    my $signature = exists $o{signature} ? $o{signature} : "$o{label}=:" . encode_base64($mac, '') . ':';
    $bytes = $sent->{body} if exists $sent->{body};
    my @more = @{ $o{headers} // [] };
    my @lines = (($sent->{method} // $method) . ' ' . ($sent->{target} // $target) . ' HTTP/1.1',
        'Host: ' . ($sent->{authority} // $self->{authority}),
        defined $input ? "Signature-Input: $input" : (), defined $signature ? "Signature: $signature" : (),
        defined $digest ? "Content-Digest: $digest" : (),
        defined $bytes ? ('Content-Type: ' . ($o{type} // 'application/json'), 'Content-Length: ' . length $bytes) : ());
    push @lines, shift(@more) . ': ' . shift @more while @more;
    return join("\r\n", @lines, '', '') . ($bytes // '');
}

# One that nobody has had.
sub nonce { return sprintf 'n-%d-%d-%.6f-%06d', $$, ++$count, Time::HiRes::time(), int rand 1e6 }

# The answer as Usher::Client's, with {json} where it is one.
sub call {
    my ($self, $method, $path, $body, %spoil) = @_;

    return $self->send($self->text($method, $path, $body, %spoil), $method);
}

# Sends what text() made, as often as one likes.
sub send {
    my ($self, $text, $method) = @_;
    my $client = Usher::Client->new(port => $self->{port}, map { $self->{$_} ? ($_ => $self->{$_}) : () } qw(host from tls))
        // die "connect to port $self->{port}: $!\n";

    $client->send($text);
    my $answer = $client->answer(head => ($method // '') eq 'HEAD', timeout => 30);
    $answer->{json} = eval { $json->decode($answer->{body}) };
    return $answer;
}

# The code of a refusal, "" of what was accepted; "no answer" of none.
sub code {
    my ($answer) = @_;

    return 'no answer' unless $answer->{status};
    return $answer->{status} < 400 ? '' : eval { $answer->{json}{error}{code} } // "HTTP $answer->{status}";
}

# A line of a key file.
sub key_line {
    my ($keyid, $secret, $policy) = @_;

    return "$keyid " . encode_base64($secret, '') . " $policy\n";
}

# key_file($file, [$keyid, $secret, $policy], ...): a key file, for its owner alone.
sub key_file {
    my ($file, @keys) = @_;
    my $umask = umask 077;

    open my $fh, '>', $file or die "$file: $!";
    print $fh map { key_line(@$_) } @keys;
    close $fh;
    umask $umask;
    return;
}

1;
