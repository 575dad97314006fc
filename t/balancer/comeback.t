# How members come back: the head of a good answer is enough, however long its
# body takes; with a cluster and with a stock lbmethod behind mod_usher_backend.
# And requests that are refused hinder nobody's coming back.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::Backend;
use Usher::BalancerTest;
use Usher::Client ();
use Usher::CoreTest ();
use Usher::Wait;

plan skip_all => 'mod_usher_backend is not there' if !grep { $_ eq 'standin' } modes();

my ($a, $b) = backends(qw(a b));
my ($A, $B) = map { $_->url } $a, $b;

sub httpd_with {
    my ($method, $rest) = @_;

    return balancer_httpd('standin', "UsherBackendRest $rest\n<Proxy balancer://app>\nBalancerMember $A\nBalancerMember $B\n"
        . "ProxySet lbmethod=$method\n</Proxy>\nProxyPass /t !\nProxyPass / balancer://app/\n",
        modules => [qw(proxy proxy_balancer slotmem_shm lbmethod_byrequests headers)]);
}

my $asked = 0;

# A client whose request for $uri has reached a.
sub client_at_a {
    my ($httpd, $uri) = @_;
    my $client;

    wait_until {
        my $id = 'c' . ++$asked;
        $client = Usher::Client->new(port => $httpd->port);
        $client->send(http_request(GET => $uri, ['X-Id' => $id]));
        # Who has an answer, or a part of one, has been somewhere.
        wait_until { $a->deliveries($id) || $client->wire->ready('r', 0) };
        scalar $a->deliveries($id);
    } 20 or return;
    return $client;
}

my $head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
my %back = ('usher-requests' => qr/USHER3010/, byrequests => qr/USHER2018/);
my %rests = ('usher-requests' => qr/USHER3008/, byrequests => qr/USHER2017/);

for my $method (qw(usher-requests byrequests)) {
    subtest "$method: answers that take longer than a rest" => sub {
        my $httpd = httpd_with($method, 'rest=4s slowstart=0');
        ok $httpd->start, 'starts' or diag $httpd->console;
        $httpd->log->tolerate(qr/usher_backend:|USHER3009/);
        $httpd->log->expect($back{$method}, $rests{$method});
        $a->stop;
        is row($httpd, 4), 'bbbb', 'one rests';
        $a->start;
        $a->on('/long', [$head, hold("long-$method"), 'x']);
        my $client = client_at_a($httpd, '/long');
        ok $client, 'it is tried';
        my $start = time;
        ok((wait_until { who($httpd) eq 'a' } 10), 'and gets others');
        soon($start, 3.5, 'while the first answer is on its way');
        $a->release("long-$method");
        is $client->answer->{body}, 'x', 'which ends well';
        $httpd->finish('nothing else in the log');
    };

    subtest "$method: a cut after that is a failure" => sub {
        my $httpd = httpd_with($method, 'failures=1 rest=' . 3 * patience . 's slowstart=0');
        ok $httpd->start, 'starts' or diag $httpd->console;
        $httpd->log->tolerate(qr/usher_backend:|USHER3009/);
        $httpd->log->expect($back{$method}, $rests{$method});
        $a->stop;
        is row($httpd, 4), 'bbbb', 'one rests';
        $a->start;
        $a->on('/short', [$head, hold("short-$method"), cut]);
        my $client = client_at_a($httpd, '/short');
        ok $client, 'it is tried';
        ok((wait_until { who($httpd) eq 'a' } 2.8), 'and is back');
        $a->release("short-$method");
        is $client->answer->{complete}, '', 'the answer is cut';
        ok((wait_until { 2 == grep { $_ =~ $rests{$method} } $httpd->log->lines } 2), 'so it rests again, as the log says');
        is row($httpd, 4), 'bbbb', 'and it does';
        $a->clear;
        $a->on(qr{.}, http_answer(200, [], 'a'));
        $httpd->finish('nothing else in the log');
    };
}

for my $method (qw(usher-requests byrequests)) {
    subtest "$method: the outcome of a request that outlived its member's record" => sub {
        my $httpd = httpd_with($method, 'failures=1 rest=1h');
        ok $httpd->start, 'starts' or diag $httpd->console;
        $httpd->log->tolerate(qr/usher_backend:/);
        $a->on('/old', [hold("old-$method"), cut]);
        my $client = client_at_a($httpd, '/old');
        Usher::CoreTest::ask($httpd, "given=balancer://app,-,-,$A");
        $a->release("old-$method");
        $client->answer;
        like row($httpd, 4), qr/^(?:ab|ba){2}$/, 'is not held against the member that has it now';
        $httpd->finish('nothing else in the log');
    };
}

subtest 'a request with a bad URL' => sub {
    my $httpd = balancer_httpd('standin', "UsherBackendRest rest=4s slowstart=0\n<Proxy balancer://app>\nBalancerMember $A\nBalancerMember $B\n"
        . "ProxySet lbmethod=usher-requests\n</Proxy>\nRewriteEngine On\nRewriteRule ^/bad/(.*) balancer://app/\$1 [P,NE]\nProxyPass / balancer://app/\n",
        modules => [qw(proxy rewrite headers)]);
    ok $httpd->start, 'starts' or diag $httpd->console;
    $httpd->log->tolerate(qr/usher_backend:/);
    $httpd->log->expect($rests{'usher-requests'}, $back{'usher-requests'});
    $a->stop;
    is row($httpd, 4), 'bbbb', 'one rests';
    $a->start;
    select undef, undef, undef, 4.1;
    is who($httpd, '/bad/a%20b'), 403, 'the first request after its rest is refused';
    is who($httpd), 'a', 'the next one tries it';
    $httpd->finish('nothing else in the log');
};

($a, $b) = ();
done_testing;
