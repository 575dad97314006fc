# What the numbers were taken on.
package Usher::Bench::Machine;

use strict;
use warnings FATAL => 'all';

use Usher::Bench::Daemon ();
use Usher::Env ();

# What a program says of its version: the first match in its output.
sub _version {
    my ($program, $arguments, $pattern) = @_;

    return unless Usher::Bench::Daemon::found($program) || $program =~ m{/};
    return qx('$program' $arguments 2>&1) =~ $pattern ? $1 : ();
}

sub _line {
    my ($file, $pattern) = @_;

    open my $fh, '<', $file or return '';
    return join('', <$fh>) =~ $pattern ? $1 : '';
}

sub text {
    my $makefile = Usher::Env::builddir() . '/Makefile';
    my @versions = (
        [httpd => _version($ENV{USHER_HTTPD}, '-v', qr{Apache/([\d.]+)})],
        [HAProxy => _version('haproxy', '-v', qr{version (\S+)})],
        [nginx => _version('nginx', '-v', qr{nginx/([\d.]+)})],
        [wrk => _version('wrk', '-v', qr{wrk (\S+)})],
        [curl => _version('curl', '-V', qr{curl ([\d.]+)})],
        [valgrind => _version('valgrind', '--version', qr{valgrind-(\S+)})],
        [strace => _version('strace', '-V', qr{version (\S+)})],
        map({ [$_->[0] => _version('dpkg-query', "-W -f '\${Version}' $_->[1]", qr{^(?:\d+:)?(\d[^-+\s]*)})] }
            ['mod_jk', 'libapache2-mod-jk'], ['Tomcat', 'libtomcat10-java']),
    );

    return join '',
        'Machine: ', _line('/proc/cpuinfo', qr/^model name\s*: (.*)$/m), ', ', scalar(qx(nproc)) =~ s/\n//r, " cores, Linux ",
        _line('/proc/sys/kernel/osrelease', qr/(\S+)/), ', TCP ',
        _line('/proc/sys/net/ipv4/tcp_congestion_control', qr/(\S+)/), "\n",
        'Versions: ', join(', ', map { "$_->[0] $_->[1]" } grep { defined $_->[1] } @versions), "\n",
        "Usher's compiler: ", _line($makefile, qr/^CC = (.*)$/m), ' ', _line($makefile, qr/^CFLAGS = (.*)$/m), "\n";
}

1;
