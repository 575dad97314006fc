# Clients of a balancer: every member is asked before anything is measured, and who is
# sticky gets his cookie.
package Usher::Bench::Sessions;

use strict;
use warnings FATAL => 'all';

use Usher::Bench::Client ();

# By what a member is chosen: title; sticky: by a cookie that answers set, of as many
# users; cookie: one that the client makes; page: another one than 1k; cold: each request
# has another cookie, which was not used before.
our @kinds = qw(turn hash route cookie users table);
our %kind = (
    turn   => { title => 'whose turn it is' },
    hash   => { title => 'hash of a cookie', cookie => sub { 'KEY=' . int rand 1e9 } },
    route  => { title => "sticky: the member's route in a cookie", sticky => 100 },
    cookie => { title => 'sticky: a cookie of the proxy', sticky => 100 },
    users  => { title => 'sticky: a cookie of the proxy, of who comes for the first time again', sticky => 1000, cold => 1 },
    table  => { title => "sticky: the application's cookie, in a stick table", sticky => 100, page => 'session' },
);

# So many requests, one after the other on one connection, each with the next one of
# these cookies, if there are any. Returns the cookies that were set.
sub requests {
    my ($contender, $path, $n, @cookies) = @_;
    my $client = Usher::Bench::Client->new($contender->port, path => $path);

    return map { $client->request(@cookies ? $cookies[$_ % @cookies] : undef) // () } 0 .. $n - 1;
}

# Has each of so many members asked, so that each has a connection that is kept (in eight
# rounds, as chance is not fair), and returns cookies for the requests to measure, not more
# than so many: those of members from the whole row.
sub warmed_up {
    my ($contender, $by, $path, $members) = @_;
    my $kind = $kind{$by};
    my %seen;

    if (!$kind->{sticky}) {
        my @cookies = $kind->{cookie} ? map({ $kind->{cookie}->() } 1 .. 8 * $members) : ();
        requests($contender, $path, 8 * $members, @cookies);
        return @cookies;
    }
    my $wanted = $kind->{cold} ? $kind->{sticky} : 0;
    my @cookies = grep { !$seen{$_}++ } requests($contender, $path, 2 * $members > $wanted ? 2 * $members : $wanted);
    die "no cookie was set\n" unless @cookies;
    my $step = @cookies > $kind->{sticky} ? @cookies / $kind->{sticky} : 1;
    @cookies = map { $cookies[$_ * $step] } 0 .. int(@cookies / $step) - 1;
    requests($contender, $path, 4 * @cookies, @cookies) unless $kind->{cold};
    return @cookies;
}

1;
