# What a few lines of httpd's configuration add to a small GET, in user instructions: on a
# kept connection, which knows its client already, and on a new one for each.
package Usher::Bench::Requests;

use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path remove_tree);
use Usher::Bench::Profile ();
use Usher::Bench::Variants ();
use Usher::Client;
use Usher::Env ();

# A directory that httpd can read, gone at the end of the program: called once.
my $dir;
END { remove_tree($dir) if defined $dir && !$ENV{USHER_KEEP_WORK} }
sub directory {
    my ($name) = @_;

    $dir = Usher::Env::builddir() . "/t/work/$name-$$";
    make_path($dir);
    chmod 0777, $dir;
    return $dir;
}

my @browser = (
    'User-Agent' => 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
    Accept => 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'Accept-Language' => 'en-US,en;q=0.5',
    'Accept-Encoding' => 'gzip, deflate', Cookie => 'JSESSIONID=0123456789ABCDEF0123456789ABCDEF.m1', 'Cache-Control' => 'max-age=0',
);

# What sends so many.
sub _gets {
    my ($before, $is_kept) = @_;
    my $kept;

    return sub {
        my ($httpd, $n) = @_;
        $before->($httpd) if $before && !$kept;
        for (1 .. $n) {
            my $client = $is_kept && $kept || Usher::Client->new(port => $httpd->port, from => '127.0.0.2');
            my $answer = $client->request(GET => '/index.html', [ @browser, Connection => $is_kept ? 'keep-alive' : 'close' ]);
            die "$answer->{status} $answer->{end}\n" unless $answer->{status} eq '200';
            $kept = $client;
        }
    };
}

# compare([variants as of Usher::Bench::Variants, before => sub of an httpd, ...], how many requests, profile): prints a table, all
# compared with the first one
sub compare {
    my ($lines, $requests, $profile) = @_;
    my @counts = map { [Usher::Bench::Variants::instructions($dir, $_, $requests, map { _gets(@$_) } [$_->{before}, 1], [undef, 0])] } @$lines;

    print "| | kept connection | more | new connection | more |\n| --- | ---: | ---: | ---: | ---: |\n";
    for my $i (0 .. $#$lines) {
        my @total = map { $_->{inclusive}{total} } @{ $counts[$i] };
        my @base = map { $_->{inclusive}{total} } @{ $counts[0] };
        printf "| %s | %.0f | %+.0f | %.0f | %+.0f |\n", $lines->[$i]{title}, map { ($total[$_], $total[$_] - $base[$_]) } 0, 1;
    }
    for my $i ($profile ? 1 .. $#$lines : ()) {
        print Usher::Bench::Profile::text("$lines->[$i]{title}, more than $lines->[0]{title}, on a $_->[0] connection",
            Usher::Bench::Profile::per_request($counts[$i][$_->[1]], $counts[0][$_->[1]], 1), 25) for ['kept', 0], ['new', 1];
    }
    return;
}

1;
