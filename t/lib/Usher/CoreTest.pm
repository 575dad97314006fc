# What the tests in t/core share: an httpd with mod_ushertest, and its answers.
package Usher::CoreTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use HTTP::Tiny ();
use Usher::Httpd ();
use Usher::Wait;

our @EXPORT = qw(core_conf core_httpd ask background answer_of);

# Several children whatever the MPM, so that they have something to share; and room for more than
# there are clients in any test, also while some of those that were killed still count.
sub core_conf {
    my ($more) = @_;

    return <<"EOT" . ($more // '');
<IfModule mpm_prefork_module>
    StartServers 4
    MinSpareServers 4
    MaxSpareServers 24
    MaxRequestWorkers 24
</IfModule>
<IfModule !mpm_prefork_module>
    StartServers 4
    ServerLimit 24
    ThreadLimit 4
    ThreadsPerChild 4
    MinSpareThreads 16
    MaxSpareThreads 48
    MaxRequestWorkers 48
</IfModule>
<Location "/t">
    SetHandler usher-test
</Location>
EOT
}

sub core_httpd {
    my ($more, %opt) = @_;

    return Usher::Httpd->new(conf => core_conf($more), usher => [qw(usher ushertest)], %opt);
}

# POST /t?command: { name => value } of its "name=value" words, with "status";
# a connection that is cut has status 599.
sub ask {
    my ($httpd, $command, $timeout) = @_;
    # POST, as HTTP::Tiny sends a GET again when its connection was cut
    my $res = HTTP::Tiny->new(timeout => $timeout // 30 * patience, keep_alive => 0, proxy => undef)
        ->post($httpd->url("/t?$command"));

    return { status => $res->{status}, text => $res->{content}, $res->{content} =~ /(\w+)=(-?\w+)/g };
}

# The same in a process of its own; answer_of() waits for it.
sub background {
    my ($httpd, $command, $timeout) = @_;

    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        close $read;
        my $answer = ask($httpd, $command, $timeout);
        print $write "status=$answer->{status} $answer->{text}";
        close $write;
        require POSIX;
        POSIX::_exit(0);
    }
    close $write;
    return { pid => $pid, from => $read };
}

sub answer_of {
    my ($job) = @_;

    my $text = do { local $/; readline $job->{from} } // '';
    waitpid $job->{pid}, 0;
    return { text => $text, $text =~ /(\w+)=(-?\w+)/g };
}

1;
