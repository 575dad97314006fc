# Programs under valgrind's callgrind, which counts the instructions that they
# execute outside the kernel: a number that repeats to about one in a thousand,
# however busy the machine is.
package Usher::Callgrind;

use strict;
use warnings FATAL => 'all';

# What keeps valgrind from being used, or nothing: for skip_all.
sub missing {
    return 'valgrind is not installed' unless grep { -x "$_/valgrind" } split /:/, $ENV{PATH};
    return;
}

# command($out, @more options): what goes before the program's own. It writes $out.
sub command {
    my ($out, @more) = @_;

    return ('valgrind', '--tool=callgrind', '--vgdb=no', @more, "--callgrind-out-file=$out");
}

# An option: with each OPTIONS that httpd answers itself the counts so far go into
# $out.1, $out.2 ... and begin anew. That is when it calls this function, and nothing
# else does.
sub marked { return '--dump-before=ap_send_http_options' }

# Writes a script to use as USHER_HTTPD: valgrind wants httpd itself, not the
# script that starts it.
sub httpd_script {
    my ($script, @command) = @_;
    my ($httpd) = _text($ENV{USHER_HTTPD}) =~ /^exec (\S+)/m;

    open my $fh, '>', $script or die "$script: $!\n";
    print $fh "#!/bin/sh\nexec @command $httpd \"\$@\"\n";
    close $fh or die "$script: $!\n";
    chmod 0755, $script;
    return $script;
}

# All instructions in such a file.
sub total {
    my ($file) = @_;
    my ($total) = _text($file) =~ /^totals: (\d+)/m;

    return $total // die "$file: callgrind counted nothing\n";
}

sub _text {
    my ($file) = @_;

    open my $fh, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$fh>;
}

1;
