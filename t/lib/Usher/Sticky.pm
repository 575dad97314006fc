# Sticky cookies from outside: tokens as any node with the keys would make them, and what
# an answer says of its cookie. The formulas are a promise to other nodes and releases.
package Usher::Sticky;

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(sha256_hex);
use Exporter 'import';
use Usher::Client ();
use Usher::Env ();

our @EXPORT = qw(key_file key_line scope_of member_of seal unseal visit cookie_of);

my $keys = 0;

sub key_line { my ($id) = @_; return sprintf "%08x %s\n", $id, sha256_hex("key $id") }

# A file with the keys of these ids, the first one seals; readable by httpd's children.
sub key_file {
    my (@ids) = @_;
    my $path = Usher::Env::builddir() . "/t/work/keys-$$-" . ++$keys;

    write_keys($path, @ids);
    return $path;
}

sub write_keys {
    my ($path, @ids) = @_;

    unlink "$path.new";
    open my $fh, '>', "$path.new" or die "$path: $!";
    print $fh map { key_line($_) } @ids;
    close $fh;
    chmod 0600, "$path.new";
    rename "$path.new", $path;
    return;
}

END { unlink map { Usher::Env::builddir() . "/t/work/keys-$$-$_" } 1 .. $keys if $ENV{USHER_BUILDDIR} }

# What a token holds for.
sub scope_of {
    my ($cluster, $scope) = @_;

    $cluster = "balancer://$cluster";
    return sha256_hex(sprintf 'usher sticky %d:%s %d:%s', length $cluster, $cluster, length $scope, $scope);
}

# A member's id: of its route, or of its URL where it has none.
sub member_of {
    my ($cluster, $kind, $text) = @_;

    return substr sha256_hex("balancer://$cluster\0$kind\0$text"), 0, 32;
}

sub _tool {
    my $tool = Usher::Env::builddir() . '/t/unit/tokentool';

    open my $fh, '-|', $tool, @_ or die "$tool: $!";
    local $/;
    my $out = <$fh> // '';
    close $fh;
    $out =~ s{\n\z}{};
    return $out;
}

# seal(key file, scope_of(), member_of(), age => seconds, idle => seconds since it was used)
sub seal {
    my ($file, $scope, $member, %opt) = @_;
    my $age = $opt{age} // 0;

    return _tool('seal', $file, $scope, $member, time - $age, time - ($opt{idle} // $age), $opt{session} // 1);
}

# { member, first, last, session }; undef where it does not open.
sub unseal {
    my ($file, $scope, $token) = @_;
    my %token;

    @token{qw(member first last session)} = split ' ', _tool('open', $file, $scope, $token) or return;
    return \%token;
}

# The cookies that an answer sets, of a name: "value; attributes".
sub cookie_of {
    my ($answer, $name) = @_;

    return map { /^\Q$name\E=(.*)/ ? $1 : () } $answer->{head} =~ /^Set-Cookie: (.*?)\r$/mig;
}

# visit($httpd, $uri, cookie => the field Cookie, method, headers, body, name => USHER):
# the answer, with ->{who} (its body, or the status), ->{set} and ->{token} of the cookie.
sub visit {
    my ($httpd, $uri, %opt) = @_;
    my $client = Usher::Client->new(port => $opt{port} // $httpd->port, $opt{tls} ? (tls => $opt{tls}) : ()) // die "connect: $!";
    my $answer = $client->request($opt{method} // 'GET', $uri,
        [defined $opt{cookie} ? (Cookie => $opt{cookie}) : (), @{ $opt{headers} // [] }], $opt{body});

    ($answer->{set}, my @more) = cookie_of($answer, $opt{name} // 'USHER');
    $answer->{sets} = defined $answer->{set} ? 1 + @more : 0;
    ($answer->{token}) = ($answer->{set} // '') =~ /^([^;]*)/;
    $answer->{who} = ($answer->{status} // '') eq '200' ? $answer->{body} : $answer->{status} // $answer->{end};
    ($answer->{state}) = $answer->{head} =~ /^X-State: (.*?)\r$/m;
    return $answer;
}

1;
