# What the tests in t/backend share: an httpd with mod_usher_backend, one with
# mod_proxy_http beside it, and what they logged of a request.
package Usher::BackendTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Usher::Client ();
use Usher::Httpd ();
use Usher::Wait;

our @EXPORT = qw(backend_httpd stock_httpd one_child pair_conf ask logged tells);

my @modules = qw(proxy proxy_balancer slotmem_shm lbmethod_byrequests log_config);

# Kept connections are a child's own: with one child a test knows who has them.
# (The prefork MPM cannot: there a request follows another one on the same
# connection of the client.)
sub one_child {
    return <<'EOT';
<IfModule mpm_prefork_module>
    StartServers 4
    MaxRequestWorkers 24
</IfModule>
<IfModule !mpm_prefork_module>
    StartServers 1
    ServerLimit 6
    ThreadLimit 40
    ThreadsPerChild 40
    MaxRequestWorkers 40
    MinSpareThreads 2
    MaxSpareThreads 40
</IfModule>
EOT
}

# Options as of Usher::Httpd->new; modules come in addition. What the log
# tells of a request is there for logged(), by its X-Id.
sub backend_httpd {
    my ($conf, %opt) = @_;
    my $more = $opt{modules} // [];

    # How the tests fare with mod_proxy_http, to look at by hand
    return stock_httpd($conf =~ s/^\s*Usher.*\n//mgr, %opt) if $ENV{USHER_STOCK};
    delete $opt{modules};
    return Usher::Httpd->new(modules => [@modules, @$more], conf => usher_log() . $conf, %opt);
}

# What such an httpd's configuration begins with.
sub usher_log {
    return one_child() . <<'EOT';
LogFormat "%{X-Id}i\t%>s\t%X\t%{state}^US\t%{attempts}^US\t%{times}^US\t%{USHER_STATE}e\t%{USHER_ATTEMPTS}e\t%{USHER_TIMES}e\t%{USHER_REPLAYS}e\t%{USHER_BYTES}e\t%{USHER_MEMBER}e\t%{USHER_STATE}n" usher
CustomLog logs/usher_log usher
EOT
}

sub stock_httpd {
    my ($conf, %opt) = @_;
    my $more = delete $opt{modules} // [];

    return Usher::Httpd->new(usher => [], modules => [@modules, 'proxy_http', @$more],
        conf => one_child() . "ProxyTimeout @{[ patience ]}\nTimeout @{[ 3 * patience ]}\n" . $conf, %opt);
}

# A balancer of two that serves /name/: the second backend has a turn when the
# first one was tried. $more: lines for its section.
sub pair_conf {
    my ($first, $second, $name, $more) = @_;

    return <<"EOT";
<Proxy balancer://$name>
    BalancerMember @{[ $first->url ]} retry=0
    BalancerMember @{[ $second->url ]} retry=0 lbset=1
    $more
</Proxy>
ProxyPass /$name/ balancer://$name/
EOT
}

# ask($httpd, GET => '/path', [headers], body, %options of request()): the
# answer, on a connection of its own that ends with it.
sub ask {
    my ($httpd, $method, $uri, $headers, $body, %opt) = @_;
    my $client = Usher::Client->new(port => $httpd->port) // die "connect: $!\n";

    return $client->request($method, $uri, $headers, $body, %opt);
}

my @items = qw(id status kept state attempts times env_state env_attempts env_times replays bytes member note_state);

# The line of the access log of the request with this X-Id, once it is there:
# { status, state, attempts, times, replays, bytes, member, ... }.
sub logged {
    my ($httpd, $id, $limit) = @_;

    return {} if $ENV{USHER_STOCK};
    my $found = wait_until {
        open my $log, '<', $httpd->root . '/logs/usher_log' or return;
        my ($line) = grep { /^\Q$id\E\t/ } <$log>;
        return unless defined $line && chomp $line;
        my %got;
        @got{@items} = split /\t/, $line, -1;
        # Most tests look at who ended a request and when, not at its session.
        ($got{state}, $got{session}) = unpack 'a2 a*', $got{state};
        return \%got;
    } $limit // 5;
    return $found // {};
}

# What of an answer most tests look at.
sub tells {
    my ($answer) = @_;

    return join ' ', $answer->{status} // 'nothing', $answer->{end} // 'none', $answer->{body} // '';
}

1;
