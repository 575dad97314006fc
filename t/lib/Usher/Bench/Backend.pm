# What stands behind the proxies of the benchmarks: one nginx that answers from
# memory and from files, and Tomcat for AJP, a second one for packets of 64 KiB.
# All answer the same requests:
#   /1k  /h30 (30 fields)  /1m  /100m  /post (reads all of the body)
#   /session (1k, and a cookie for who has none; HTTP alone)
# and the same below /b/, which the proxies send through a balancer.
package Usher::Bench::Backend;

use strict;
use warnings FATAL => 'all';

use File::Copy qw(copy);
use Usher::Bench::Daemon ();
use Usher::Certs ();
use Usher::Env ();
use Usher::Tomcat ();
use Usher::Wait;

our %size = ('1k' => 1024, 'h30' => 1024, session => 1024, '1m' => 1 << 20, '100m' => 100 << 20, post => 2);

# The name and value of the nth of thirty fields: about 45 bytes each.
sub field { sprintf('X-Bench-Field-%02d', $_[0]), sprintf('value-%02d-of-thirty', $_[0]) }

# Three ports, for the three members of a balancer, or members => so many addresses
# of the loopback network with one port; with tls => 1 another port with TLS.
sub nginx {
    my (%opt) = @_;
    my $port = free_port();
    my @addresses = ("127.0.0.1:$port", $opt{members}
        ? map { sprintf '127.77.%d.%d:%d', $_ / 250, 1 + $_ % 250, $port } 1 .. $opt{members} - 1
        : map { '127.0.0.1:' . free_port() } 1 .. 2);
    my $listen = join '', map { "listen $_ backlog=1024;\n" } @addresses;
    my $tls_port = free_port();
    my $certs = $opt{tls} ? Usher::Certs->new : undef;
    my $tls = $certs ? <<"EOT" : '';
listen 127.0.0.1:$tls_port ssl backlog=1024;
ssl_certificate ${\ $certs->cert('good') };
ssl_certificate_key ${\ $certs->key('good') };
EOT
    my $body = 'x' x $size{'1k'};
    my $fields = join '', map { sprintf "add_header %s %s;\n", field($_) } 1 .. 30;
    my $user = $> == 0 ? 'user nobody ' . getgrgid((getpwnam 'nobody')[3]) . ';' : '';
    my $self = Usher::Bench::Daemon->new(name => 'backend', files => { 'nginx.conf' => <<"EOT" });
$user
worker_processes 1;
pid \@ROOT\@/pid;
error_log \@ROOT\@/error_log warn;
events { worker_connections 16384; }
http {
    access_log off;
    client_body_temp_path \@ROOT\@/body;
    proxy_temp_path \@ROOT\@/proxy;
    fastcgi_temp_path \@ROOT\@/fastcgi;
    uwsgi_temp_path \@ROOT\@/uwsgi;
    scgi_temp_path \@ROOT\@/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_max_body_size 0;
    large_client_header_buffers 8 16k;
    client_body_buffer_size 16m;
    sendfile on;
    tcp_nopush on;
    default_type text/plain;
    map \$cookie_SID \$new_session { "" "SID=\$request_id; Path=/"; default ""; }
    upstream whole { server unix:\@ROOT\@/whole; keepalive 64; }
    server {
        $listen
        $tls
        location ~ ^/(b/)?1k\$ { return 200 "$body"; }
        location ~ ^/(b/)?session\$ { add_header Set-Cookie \$new_session; return 200 "$body"; }
        location ~ ^/(b/)?h30\$ { $fields return 200 "$body"; }
        location ~ ^/(b/)?(1m|100m)\$ { alias \@ROOT\@/\$2; }
        # Only a proxied request is read to its end before the answer.
        location ~ ^/(b/)?post\$ {
            proxy_pass http://whole;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }
    }
    server { listen unix:\@ROOT\@/whole; location / { return 200 "ok"; } }
}
EOT
    # Files without blocks: read from memory. httpd itself has all of them as files.
    for my $name ('1k', '1m', '100m') {
        open my $fh, '>', $self->root . "/$name" or die $!;
        truncate $fh, $size{$name} or die $!;
        close $fh;
    }
    $self->{addresses} = \@addresses;
    @$self{qw(tls_port ca)} = ($tls_port, $certs->ca) if $certs;
    return $self->start($port, 'nginx', '-c', '@ROOT@/nginx.conf', '-e', '@ROOT@/error_log', '-g', 'daemon off;');
}

# Tomcat with a page of its own below each of the paths. packet_size => bytes of
# its AJP packets, default Tomcat's
sub tomcat {
    my $self = Usher::Tomcat->start(proto => 'ajp', @_);
    my $webapp = "$self->{root}/base/webapps/ROOT";

    mkdir "$webapp/b";
    for my $dir ($webapp, "$webapp/b") {
        chmod 0755, $dir;
        copy(Usher::Env::srcdir() . '/t/bench/bench.jsp', "$dir/bench.jsp") or die "$dir/bench.jsp: $!";
        chmod 0644, "$dir/bench.jsp";
    }
    return $self;
}

# Where a request of the given name goes: at nginx or at Tomcat.
sub path {
    my ($name, $below, $ajp) = @_;

    return "$below/$name" unless $ajp;
    return sprintf '%s/bench.jsp?size=%d&fields=%d', $below, $size{$name}, $name eq 'h30' ? 30 : 0;
}

1;
