# The same configuration with mod_proxy_http and with mod_usher_backend: whether
# the same bytes have the same effect through both, line by line in order.
#   my $pair = Usher::SameTest->new($conf, backends => [$backend, ...], modules => [...]);
#   $pair->play(http_answer(200, [], 'x'));     # what all backends answer from now on
#   $pair->same($name, $bytes);                 # one test
#   my $got = $pair->through('usher', $bytes);  # to look at what came of it
#   $pair->finish;
# In bytes @PORT@ is httpd's port; it is PORT in what is compared.
package Usher::SameTest;

use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Env ();
use Usher::HTTP1;

my @who = qw(stock usher);

# Options: backends, modules (of httpd), more => modules of the tests, files =>
# { name below htdocs => text }.
sub new {
    my ($class, $conf, %opt) = @_;
    my ($modules, @more) = ($opt{modules}, @{ $opt{more} // [] });
    my $self = bless { backends => $opt{backends}, client => {}, seen => {}, httpd => {
        stock => stock_httpd($conf, modules => $modules, usher => \@more),
        usher => backend_httpd($conf, modules => $modules, usher => [Usher::Env::usher_beside(@{ $modules // [] }), @more]),
    } }, $class;

    for my $who (@who) {
        my $httpd = $self->{httpd}{$who};
        _write($httpd->root . '/htdocs', $opt{files} // {});
        ok($httpd->start, "$who: httpd starts") or BAIL_OUT($httpd->console);
        $httpd->log->tolerate($who eq 'stock' ? qr/./ : qr/USHER2\d\d\d|AH\d+/);
    }
    return $self;
}

# Of one age, as it is told to clients.
sub _write {
    my ($dir, $files) = @_;

    for my $name (keys %$files) {
        open my $fh, '>', "$dir/$name" or die "$dir/$name: $!\n";
        print $fh $files->{$name};
        close $fh;
        utime 1_000_000_000, 1_000_000_000, "$dir/$name";
    }
    return;
}

# What was noted so far is forgotten: a journal is not to grow long.
sub play {
    my ($self, @play) = @_;

    @$self{qw(play tests)} = (\@play, 0);
    for my $backend (@{ $self->{backends} }) {
        $backend->clear;
        $backend->on(qr{}, @play > 1 || ref $play[0] ? [@play] : @play);
    }
    $self->{seen} = {};
    return;
}

# These bytes have the same effect through both. Options:
#   reaches => whether a backend gets a request: 1 (default), 0 or undef (as may be)
#   but => sub that takes from a result what may differ
sub same {
    my ($self, $name, $bytes, %opt) = @_;
    my $reaches = exists $opt{reaches} ? $opt{reaches} : 1;

    $self->play(@{ $self->{play} }) if ++$self->{tests} > 50;
    my ($stock, $usher) = map { $self->through($_, $bytes, %opt) } @who;
    # Both use their client's connection for as many requests.
    $self->{client} = {} if keys %{ $self->{client} } < @who;
    $opt{but}->($_) for grep { $opt{but} } $stock, $usher;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return fail("$name: " . ($reaches ? 'reaches a backend' : 'reaches none')) || diag explain $stock
        if defined $reaches && !$reaches != !@{ $stock->{requests} };
    return is_deeply($usher, $stock, $name) || diag explain { usher => $usher, stock => $stock };
}

# What came of these bytes through one of them:
#   requests   of each the lines of its head, and its body
#   answer     the lines of its head; body, end, interim (heads), trailers
# Clients' connections are kept as long as they go.
sub through {
    my ($self, $who, $bytes, %opt) = @_;
    my $port = $self->{httpd}{$who}->port;
    my $client = delete $self->{client}{$who} // Usher::Client->new(port => $port) // die "connect: $!\n";

    $client->send($bytes =~ s/\@PORT\@/$port/gr);
    my $answer = $client->answer(timeout => 5, head => scalar($bytes =~ /^HEAD /));
    $self->{client}{$who} = $client if $answer->{end} eq 'complete' && $answer->{head} =~ m{^HTTP/1.1}
        && $bytes !~ m{^\S+ \S+ HTTP/1\.0} && !http_has_token($answer->{headers}, 'Connection', 'close');
    return { requests => [map { _request($port, $_) } $self->_new_requests],
        answer => _head($port, $answer->{head}), body => _hide($port, $answer->{body} // ''), end => $answer->{end},
        interim => [map { _head($port, $_->{head}) } @{ $answer->{interim} // [] }], trailers => $answer->{trailers} };
}

sub _new_requests {
    my ($self) = @_;
    my @new;

    for my $backend (@{ $self->{backends} }) {
        my @all = $backend->requests;
        push @new, @all[($self->{seen}{$backend} // 0) .. $#all];
        $self->{seen}{$backend} = @all;
    }
    return @new;
}

sub _hide {
    my ($port, $text) = @_;

    return $text =~ s/:$port\b/:PORT/gr =~ s/ Port $port\b/ Port PORT/gir;
}

sub _head {
    my ($port, $head) = @_;

    # The time is not the same for both; a backend's is of another century. Nor is
    # how often the client's connection was used.
    return [map { s/^((?:Date|Expires): ).* 20\d\d .*/$1now/r =~ s/^(Keep-Alive: timeout=\d+, max=)\d+$/$1n/r } split /\r\n/, _hide($port, $head)];
}

sub _request {
    my ($port, $request) = @_;

    return [@{ _head($port, $request->{raw}) },
        "body: $request->{body_len} " . ($request->{sha1} // '') . " $request->{complete}"];
}

sub finish {
    my ($self) = @_;

    $self->{client} = {};
    $self->{httpd}{$_}->finish("$_: httpd lives") for @who;
    return;
}

1;
