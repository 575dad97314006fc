# balancer-manager: what it changes of a cluster holds for the next request in
# all children; members that it adds serve; many requests at once share one row.
use strict;
use warnings FATAL => 'all';

use HTTP::Tiny ();
use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BalancerTest;
use Usher::CoreTest;
use Usher::Wait;

my ($a, $b, $c) = backends(qw(a b c));
my ($A, $B, $C) = map { $_->url } $a, $b, $c;

# balancer-manager takes nothing from elsewhere.
sub referer { return { Referer => $_[0]->url('/manager') } }

sub change {
    my ($httpd, %field) = @_;
    my $http = HTTP::Tiny->new(proxy => undef, keep_alive => 0);

    return $http->post_form($httpd->url('/manager'), { b => 'app', nonce => 'n0nce', %field },
        { headers => referer($httpd) })->{status};
}

# What balancer-manager shows of a member, in XML: { elected => , busy => }
sub shown {
    my ($httpd, $url) = @_;
    my $page = HTTP::Tiny->new(proxy => undef)->get($httpd->url('/manager?xml=1'), { headers => referer($httpd) })->{content};
    my ($worker) = $page =~ m{<httpd:name>\Q$url\E</httpd:name>(.*?)</httpd:worker>}s;

    return { ($worker // '') =~ m{<httpd:(\w+)>([^<]*)<}g };
}

for my $mode (modes()) {
    my $httpd = balancer_httpd($mode, <<"EOT", modules => [qw(proxy proxy_balancer slotmem_shm headers proxy_http)]);
<Proxy balancer://app>
    BalancerMember $A
    BalancerMember $B
    ProxySet lbmethod=usher-requests growth=3 nonce=n0nce
</Proxy>
<Location /manager>
    SetHandler balancer-manager
</Location>
ProxyPass /manager !
ProxyPass /t !
ProxyPass / balancer://app/
EOT
    ok $httpd->start, "$mode: starts" or diag $httpd->console;
    like row($httpd, 10), qr/^(?:ab)+$/, "$mode: both serve";
    is shown($httpd, $A)->{elected}, 5, "$mode: elections are counted";
    # The stock modules may count a request for a moment after its answer.
    ok((wait_until { (shown($httpd, $A)->{busy} // '') eq '0' }), "$mode: nobody is busy");

    is change($httpd, w => $A, w_status_D => 1), 200, "$mode: disabled";
    is row($httpd, 12), 'b' x 12, "$mode: for the next request of all children";
    change($httpd, w => $A, w_status_D => 0);
    ok((wait_until { row($httpd, 12) =~ /^(?:ab|ba)+$/ }), "$mode: enabled, soon for all");
    change($httpd, w => $A, w_lf => 3);
    ok((wait_until { counts($httpd, 16) eq 'a:12 b:4' }), "$mode: another load factor");

    is change($httpd, b_wyes => 1, b_nwrkr => $C), 200, "$mode: a member more";
    change($httpd, w => $C, w_status_D => 0);
    ok((wait_until { my %who = map { $_ => 1 } split //, row($httpd, 12); $who{c} }), "$mode: it serves");
    ok((wait_until { counts($httpd, 20) eq 'a:12 b:4 c:4' }), "$mode: with its share, from all children");

    if ($mode eq 'standin') {
        $httpd->log->expect(qr/USHER3012: balancer:\/\/app: its new member fcgi:\/\/127.0.0.1:9 gets no requests/);
        change($httpd, b_wyes => 1, b_nwrkr => 'fcgi://127.0.0.1:9');
        change($httpd, w => 'fcgi://127.0.0.1:9', w_status_D => 0);
        like counts($httpd, 20), qr/^a:12 b:4 c:4$/, "$mode: one of another scheme gets nothing";
    }

    # Requests at the same time, in several children: the shares are kept. Each child looks
    # once a second what was changed, and those above may not have come to all of them.
    my $changed = time;
    wait_until { time > $changed + 1.1 };
    for ($a, $b, $c) {
        $_->clear;
        $_->on(qr{.}, http_answer(200, [], 'x'));
    }
    my @clients = map {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            my $http = HTTP::Tiny->new(proxy => undef);
            my $bad = grep { $http->get($httpd->url("/$_"))->{status} != 200 } 1 .. 50;
            require POSIX;
            POSIX::_exit($bad ? 1 : 0);
        }
        $pid;
    } 1 .. 4;
    my $bad = 0;
    waitpid($_, 0), $bad += $? ? 1 : 0 for @clients;
    is $bad, 0, "$mode: 200 requests from four clients are answered";
    my @got = map { scalar(my @all = $_->requests) } $a, $b, $c;
    is_deeply [map { $_ >= 118 && $_ <= 122 ? 120 : $_ >= 38 && $_ <= 42 ? 40 : $_ } @got], [120, 40, 40],
        "$mode: in 3 : 1 : 1 (@got)";
    for (['a', $a], ['b', $b], ['c', $c]) {
        $_->[1]->clear;
        $_->[1]->on(qr{.}, http_answer(200, [], $_->[0]));
    }

    $httpd->finish("$mode: nothing alarming in the log");
}

done_testing;
