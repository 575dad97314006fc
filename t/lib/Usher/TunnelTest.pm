# What the tests of tunnels share: clients and a backend that know each other by
# the X-Id of the request that became one.
#   tunnels($httpd, $backend);
#   on('/chat', @echo);                    # at /<any place>/chat of the backend
#   my $ws = ws('/ws/chat', my $id = new_id());
#   my $client = upgraded('/any/bytes', $id = new_id());
#   ok(is_closed($id));                    # the backend's connection
package Usher::TunnelTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Test::More ();
use Usher::Backend;
use Usher::Client ();
use Usher::HTTP1;
use Usher::Wait;
use Usher::WebSocket ();

our @EXPORT = qw(tunnels on new_id client ws upgraded request connection_of is_closed @echo);

our @echo = (switch_to, websocket_echo, cut);

my ($httpd, $backend);
my $ids = 0;

# Which httpd and which backend the others mean.
sub tunnels { return ($httpd, $backend) = @_ }

sub new_id { return 't' . ++$ids }

sub client { return Usher::Client->new(port => $httpd->port) // die "connect: $!\n" }

# The places' names are in the backends' URLs: else they would share one worker.
sub on {
    my ($path, @plays) = @_;

    return $backend->on(qr{^/[\w-]+\Q$path\E$}, @plays);
}

sub ws {
    my ($path, $id, %opt) = @_;

    return Usher::WebSocket->open($opt{client} // client(), $path, ['X-Id' => $id // new_id()], %opt);
}

# Another protocol, of which httpd knows nothing: a client that has its 101.
sub upgraded {
    my ($path, $id, $client, $behind) = @_;

    $client //= client();
    $client->send(http_request(GET => $path, ['X-Id' => $id, 'Connection' => 'Upgrade', 'Upgrade' => 'raw/1']) . ($behind // ''));
    my $answer = $client->answer;
    Test::More::is($answer->{status}, 101, "$path: 101") or Test::More::diag(Test::More::explain($answer));
    return $client;
}

sub request { return ($backend->deliveries($_[0]))[0] // {} }

sub connection_of {
    my ($id) = @_;
    my $conn = request($id)->{conn} // return {};

    return (grep { $_->{id} eq $conn } $backend->connections)[0] // {};
}

# The backend's connection for this request is closed.
sub is_closed {
    my ($id, $limit) = @_;

    return wait_until { (connection_of($id)->{state} // '') eq 'closed' } $limit // 3;
}

1;
