# The side of the proxy for tests of usher-member: an endpoint as mod_usher_register's that
# checks each signature (RFC 9421, RFC 9530) on its own, remembers members, and answers
# otherwise where a test says so.
#   my $server = Usher::MemberServer->new(keys => { tomcat1 => $bytes });
#   $server->on(qr/^PUT/, status => 503, code => 'store-down', times => 2);
#   $server->requests(qr/^PUT /);         # what came: method, uri, body, status, wrong, ...
package Usher::MemberServer;

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256 sha256);
use File::Path qw(make_path remove_tree);
use IO::Socket::IP ();
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use POSIX qw(WNOHANG strftime);
use Time::HiRes ();
use Usher::Env ();
use Usher::Wait;

my $json = JSON::PP->new->canonical->allow_nonref;
my $count = 0;

# new(keys => { id => bytes }): more options are
#   lease   => what it is where a member does not say; sessions, requests => what is left
sub new {
    my ($class, %opt) = @_;
    my $dir = Usher::Env::builddir() . "/t/work/memberserver-$$-" . ++$count;
    my $self = bless { lease => 30, requests => 0, sessions => 0, %opt, dir => $dir, owner => $$ }, $class;

    remove_tree($dir);
    make_path($dir);
    $self->{rules} = [];
    $self->{port} ||= free_port();
    $self->start;
    return $self;
}

sub port { $_[0]{port} }
sub url  { return "http://127.0.0.1:$_[0]{port}/usher-register" }

# on(regex of "METHOD uri", what is answered): status, code, message, date (the header),
# after (Retry-After), hold (a file: answered once it is there), raw (all bytes), requests,
# sessions (left of the member), state; times => how often, default always. Newer rules go first.
sub on {
    my ($self, $match, %answer) = @_;

    unshift @{ $self->{rules} }, { match => "$match", id => ++$count, %answer };
    return $self->_say;
}

sub clear {
    my ($self) = @_;

    $self->{rules} = [];
    return $self->_say;
}

# The member is not known any more.
sub forget {
    my ($self) = @_;

    return $self->on(qr{}, forget => 1, times => 1);
}

sub _say {
    my ($self) = @_;

    open my $fh, '>', "$self->{dir}/rules.new" or die "rules: $!\n";
    print $fh $json->encode($self->{rules});
    close $fh;
    return rename "$self->{dir}/rules.new", "$self->{dir}/rules";
}

# Requests so far, as hashes, all or those whose "METHOD uri" matches.
sub requests {
    my ($self, $match) = @_;

    open my $fh, '<', "$self->{dir}/journal" or return;
    # A line that is being written has no end yet.
    my @found = grep { !$match || "$_->{method} $_->{uri}" =~ $match } map { $json->decode($_) } grep { /\n\z/ } <$fh>;
    return @found;
}

sub start {
    my ($self) = @_;
    my $listener = wait_until {
        IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $self->{port}, ReuseAddr => 1, Listen => 64)
    } 10 or die "listen on port $self->{port}: $!\n";

    $self->{pid} = fork // die "fork: $!\n";
    return $self if $self->{pid};
    $SIG{TERM} = 'DEFAULT';
    $SIG{PIPE} = 'IGNORE';
    eval {
        while (1) {
            my $peer = $listener->accept or next;
            $self->_serve($peer);
            close $peer;
            POSIX::_exit(0) if getppid() != $self->{owner};
        }
    };
    print STDERR "Usher::MemberServer: $@";
    POSIX::_exit(1);
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} // return;

    kill 'TERM', $pid;
    return waitpid $pid, 0;
}

sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->stop;
    remove_tree($self->{dir}) unless $ENV{USHER_KEEP_WORK};
    return;
}

# ---- in the server's process

sub _serve {
    my ($self, $peer) = @_;
    my $request = _read($peer) or return;
    my $rule = $self->_rule("$request->{method} $request->{uri}");

    $request->{wrong} = $self->_wrong($request);
    my ($status, $answer) = $request->{wrong} ne '' ? (401, _error('bad-signature', $request->{wrong})) : $self->_answer($request, $rule);
    wait_until { -e $rule->{hold} } 60 if $rule->{hold};
    my $text = defined $answer ? $json->encode($answer) : '';
    my $bytes = $rule->{raw} // join "\r\n", "HTTP/1.1 $status Whatever", 'Date: ' . ($rule->{date} // strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime)),
        ($rule->{after} ? "Retry-After: $rule->{after}" : ()), 'Content-Type: application/json', 'Content-Length: ' . length $text,
        'Connection: close', '', $text;
    open my $fh, '>>', "$self->{dir}/journal" or die "journal: $!\n";
    syswrite $fh, $json->encode({ %$request, status => $status, at => Time::HiRes::time() }) . "\n";
    close $fh;
    print {$peer} $bytes;
    $peer->flush;
    return;
}

sub _read {
    my ($peer) = @_;
    my ($bytes, %field) = '';

    until ($bytes =~ /\r\n\r\n/) { sysread($peer, $bytes, 65536, length $bytes) or return }
    my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
    my ($line, @lines) = split /\r\n/, $head;
    for (@lines) { $field{ lc $1 } = $2 if /^([^:]+):\s*(.*)$/ }
    while (length $body < ($field{'content-length'} // 0)) { sysread($peer, $body, 65536, length $body) or return }
    my ($method, $uri) = split / /, $line;
    return { method => $method, uri => $uri, field => \%field, body => $body };
}

sub _rule {
    my ($self, $what) = @_;
    my $rules = [];

    if (open my $fh, '<', "$self->{dir}/rules") {
        local $/;
        $rules = $json->decode(scalar <$fh>);
    }
    for my $rule (@$rules) {
        next if $what !~ /$rule->{match}/ || ($rule->{times} && ($self->{used}{ $rule->{id} } // 0) >= $rule->{times});
        ++$self->{used}{ $rule->{id} };
        return $rule;
    }
    return {};
}

# Why the signature is none; '' for a good one.
sub _wrong {
    my ($self, $request) = @_;
    my $field = $request->{field};
    my ($path, $query) = split /\?/, $request->{uri}, 2;
    my %value = ('@method' => $request->{method}, '@authority' => lc($field->{host} // ''), '@path' => $path, '@query' => '?' . ($query // ''),
        'content-digest' => $field->{'content-digest'} // '');

    my ($label, $params, $list) = ($field->{'signature-input'} // '') =~ /^(\w+)=((\([^)]*\)).*)$/ or return 'no Signature-Input';
    my ($mac) = ($field->{signature} // '') =~ m{^\Q$label\E=:([A-Za-z0-9+/]+=*):$} or return 'no Signature';
    my %param = $params =~ /;(\w+)=("[^"]*"|\d+)/g;
    s/^"|"$//g for values %param;
    my $secret = $self->{keys}{ $param{keyid} // '' } // return 'unknown key';
    my @covered = $list =~ /"([^"]+)"/g;
    my %covered = map { $_ => 1 } @covered;
    for my $name (qw(@method @authority @path @query), length $request->{body} ? 'content-digest' : ()) {
        return "$name is not covered" unless $covered{$name};
    }
    return 'digest' if length $request->{body} && $value{'content-digest'} ne 'sha-256=:' . encode_base64(sha256($request->{body}), '') . ':';
    return 'no JSON' if length $request->{body} && (!eval { $json->decode($request->{body}) } || ($field->{'content-type'} // '') ne 'application/json');
    return 'nonce' if ($param{nonce} // '') !~ /^[ -~]{16,64}$/ || $self->{nonces}{ $param{nonce} }++;
    return 'created' if abs(($param{created} // 0) - time) > 300;
    my $base = join '', map { qq("$_": ) . ($value{$_} // return "unknown component $_") . "\n" } @covered;
    return 'mac' if encode_base64(hmac_sha256($base . qq("\@signature-params": $params), $secret), '') ne $mac;
    return '';
}

sub _error { return { error => { code => $_[0], message => $_[1] } } }

sub _answer {
    my ($self, $request, $rule) = @_;
    my ($id, $verb) = $request->{uri} =~ m{^/usher-register/members/([^/]+/[^/?]+)(?:/(heartbeat|drain))?$} or return (404, _error('unknown-path', 'no such path'));

    return ($rule->{status}, _error($rule->{code}, $rule->{message} // 'because of the test')) if $rule->{code};
    delete $self->{members}{$id} if $rule->{forget};
    my $member = $self->{members}{$id};
    my $body = length $request->{body} ? $json->decode($request->{body}) : {};
    if ($request->{method} eq 'PUT') {
        $self->{members}{$id} = { weight => 1, lease => $self->{lease}, %$body, state => 'up' };
        return ($member ? 200 : 201, $self->_shown($id, $rule));
    }
    return (204) if $request->{method} eq 'DELETE' && (delete $self->{members}{$id} || 1);
    return (404, _error('unknown-member', "$id is not signed in")) unless $member;
    @$member{qw(state drain_in)} = ('draining', $body->{deadline}) if ($verb // '') eq 'drain';
    return (200, $self->_shown($id, $rule));
}

sub _shown {
    my ($self, $id, $rule) = @_;
    my ($cluster, $route) = split m{/}, $id;

    return { cluster => $cluster, route => $route, expires_in => 20, owner => 'tomcat1', %{ $self->{members}{$id} },
             (map { $_ => $rule->{$_} // $self->{$_} } qw(requests sessions)), (map { defined $rule->{$_} ? ($_ => $rule->{$_}) : () } 'state') };
}

1;
