# What the tests in t/linger share: an httpd where connections linger, its
# counters, and clients that ask on one connection.
package Usher::LingerTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Test::More;
use Time::HiRes ();
use Usher::BackendTest ();
use Usher::Client ();
use Usher::Httpd ();
use Usher::Wait;

our @EXPORT = qw(linger_httpd linger_conf server_status counters counted asks is_event
    where_it_waits where_there_is_http2);

sub is_event { return $ENV{USHER_MPM} eq 'event' }

# Subtests that mean nothing with other MPMs are left out there. (CI counts one that is
# skipped as failed.)
sub where_it_waits {
    my ($name, $code) = @_;

    return is_event() ? subtest($name, $code) : ();
}

sub where_there_is_http2 {
    my ($name, $code) = @_;

    return $ENV{USHER_MPM} eq 'prefork' ? () : subtest($name, $code);
}

# Requests come in time on a slow machine as well.
sub linger_conf {
    my ($conf) = @_;

    return Usher::BackendTest::one_child() . <<"EOT";
UsherLinger On
UsherLingerTime 100ms
<Location /server-status>
    SetHandler server-status
</Location>
$conf
EOT
}

# Options as of Usher::Httpd->new; modules come in addition.
sub linger_httpd {
    my ($conf, %opt) = @_;
    my $more = delete $opt{modules} // [];
    my $httpd = Usher::Httpd->new(modules => ['status', @$more], conf => linger_conf($conf),
        usher => ['usher', 'usher_linger', (grep { $_ eq 'proxy' } @$more) ? 'usher_backend' : ()], %opt);

    $httpd->log->expect(qr/USHER10001: UsherLinger On does nothing with the MPM \w+,.*load mpm_event/)
        unless is_event() || $conf =~ /^UsherLinger Off$/m;
    return $httpd;
}

# mod_status's page for programs; a request on a connection of its own.
sub server_status {
    my ($httpd) = @_;

    return Usher::Client->get($httpd->port, '/server-status?auto', [Connection => 'close'])->{body};
}

# { Hits => n, ... }; this changes none.
sub counters {
    my ($httpd) = @_;

    return { server_status($httpd) =~ /^UsherLinger(\w+): (\d+)$/mg };
}

# What was counted since then: a hash of those that are not 0.
sub counted {
    my ($httpd, $before) = @_;
    my $now = counters($httpd);

    return { map { my $n = $now->{$_} - $before->{$_}; $n ? ($_ => $n) : () } keys %$now };
}

# $n requests one after the other: how many were answered 200. What has come before httpd is done
# with the request before is a pipelined request, that nobody waits for; where two share a
# processor this is so for any client that asks at once.
sub asks {
    my ($client, $n, $uri, @more) = @_;
    my $good = 0;

    for (1 .. $n) {
        Time::HiRes::sleep(0.01);
        ++$good if ($client->request('GET', $uri // '/index.html', @more)->{status} // 0) == 200;
    }
    return $good;
}

1;
