# Large bodies over AJP: packets of the request's body are as large as they were asked
# for, and those of the answer's, up to 64 KiB, come through whole whatever their sizes;
# what is wrong with one is seen behind any number of good ones.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);
use Usher::AJP;
use Usher::Backend;
use Usher::BackendTest;
use Usher::Client ();
use Usher::Pattern;
use Usher::Wait;

my $backend = Usher::Backend->new(protocol => 'ajp');
my $httpd = backend_httpd(<<"EOT");
Timeout 20
ProxyPass /a/ @{[ $backend->url('/') ]}
ProxyPass /big/ ajp://127.1:@{[ $backend->port ]}/ iobuffersize=65536
EOT
ok($httpd->start, 'httpd starts') or BAIL_OUT($httpd->console);
$httpd->log->tolerate(qr/USHER2\d\d\d/);

my $most = 65_536 - 8;    # of data in a packet
my $ok = ajp_answer(200, [], 'ok');

subtest 'packets of the request\'s body' => sub {
    my %case = (
        '8 KiB'                  => ['a', 8186],
        '8 KiB, asked for less'  => ['a', 1000],
        '64 KiB'                 => ['big', 65_530],
        '64 KiB, asked for less' => ['big', 20_000],
    );
    for my $name (sort keys %case) {
        my ($base, $size) = @{ $case{$name} };
        for my $chunked (0, 1) {
            my $asks = $size > 60_000 ? 2 : 10;
            my $id = "$base-$size-$chunked";
            my $data = pattern(0, 65_530 + 10 * $size);
            my ($answer, $got);
            in_calm {
                $backend->close_idle;
                $backend->clear;
                # By then the client's bytes are there.
                $backend->on('/up', [stall(0.2), ask_body($asks, undef, $size), $ok, stall(0.2)]);
                my $client = Usher::Client->new(port => $httpd->port);
                $client->send(http_request(POST => "/$base/up", ['X-Id' => $id .= 'x'], $data, $chunked ? (chunked => 30_000) : ()), 5);
                $answer = $client->answer(timeout => 5);
                ($got) = map { $_->{body_len} } $backend->deliveries($id);
                ($got // 0) == $asks * $size;
            };
            is($answer->{status}, 200, "$name" . ($chunked ? ', chunked' : ''));
            is($got, $asks * $size, 'each is as large as was asked for');
        }
    }
};

# So much time passes; there is nothing to wait for.
sub pass_time { my $end = time + $_[0]; wait_until { time >= $end } $_[0] + 1; return }

# SEND_BODY_CHUNKs of these sizes in turn, until all is told.
sub packets {
    my ($count, @sizes) = @_;
    my ($at, @all) = (0);

    for (my $i = 0; $at < $count; $i++) {
        my $size = $sizes[$i % @sizes];
        $size = $count - $at if $size > $count - $at;
        push @all, ajp_body_chunk(pattern($at, $size));
        $at += $size;
    }
    return @all;
}

my $size = 5_000_003;
my $sum = pattern_sha1($size);

sub headers { return ajp_send_headers(200, ['Content-Length' => $size]) }

subtest 'packets of the answer' => sub {
    for my $sizes ([$most], [60_000], [40_000], [$most, 1], [$most, 8184, 0, 33_000], [32_768, 32_769, 4096, 4097], [1, 2, 3, $most]) {
        for my $end (ajp_end(), ajp_end(0)) {
            for my $pause (0, 1) {
                $backend->clear;
                my @packets = packets($size, @$sizes);
                $backend->on('/down', [headers(), join('', @packets[0 .. 3]), $pause ? stall(0.05) : (), join('', @packets[4 .. $#packets]), $end]);
                $backend->on('/ok', $ok);
                my $client = Usher::Client->new(port => $httpd->port);
                $client->send(http_request(GET => '/big/down'));
                pass_time(0.1) if $pause;    # a slow reader
                my $answer = $client->answer(timeout => 10, discard => 1);
                ok($answer->{complete}, "of @$sizes bytes: to its end");
                is($answer->{sha1}, $sum, 'as it was sent');
                is(tells($client->request(GET => '/big/ok')), '200 complete ok', 'the next one over the same connection');
            }
        }
    }
};

subtest 'cut anywhere' => sub {
    my @packets = packets($size, $most);
    my $all = join '', headers(), @packets, ajp_end();
    my $second = length(headers()) + 2 * length $packets[0];
    for my $at ($second - 1, $second, $second + 1, $second + 4, $second + 7, $second + 8, $second + 30_000,
        $second + 62_000, length($all) - length(ajp_end()) - 1, length($all) - 3000) {
        $backend->clear;
        $backend->on('/down', [substr($all, 0, $at), cut]);
        my $id = "cut-$at";
        my $client = Usher::Client->new(port => $httpd->port);
        $client->send(http_request(GET => '/big/down', ['X-Id' => $id]));
        my $answer = $client->answer(timeout => 10, discard => 1);
        my $whole = $at >= length($all) - length(ajp_end()) - 1;
        is(!!$answer->{complete}, !!$whole, "after $at bytes");
        is(logged($httpd, $id)->{state}, $whole ? '--' : 'SD', 'state');
    }
};

subtest 'malformed behind good ones' => sub {
    my @packets = packets($size, $most);
    my $good = join '', headers(), @packets[0 .. 3];
    my %bad = (
        'no NUL'              => substr($good, 0, -1) . 'x' . join('', @packets[4 .. $#packets]),
        'another magic'       => $good . 'HT' . substr($packets[4], 2),
        'a second head'       => $good . headers() . $packets[4],
        'too long a packet'   => $good . "AB\xFF\xFF\x03\xFF\xFB" . 'x' x 65_540,
        'a CPONG'             => $good . ajp_cpong() . $packets[4],
        'an early end'        => $good . ajp_end(),
        'more than its length' => join('', headers(), @packets, ajp_body_chunk('more' x 10_000)),
        'much too much'       => join('', headers(), @packets[0 .. $#packets - 1], ajp_body_chunk('x' x $most), ajp_end()),
    );
    for my $name (sort keys %bad) {
        $backend->clear;
        my $id = "bad-$name" =~ s/\W/-/gr;
        $backend->on('/down', [$bad{$name}, stall(1)]);
        $backend->on('/ok', $ok);
        my $client = Usher::Client->new(port => $httpd->port);
        $client->send(http_request(GET => '/big/down', ['X-Id' => $id]));
        my $answer = $client->answer(timeout => 10, discard => 1);
        my $whole = $name eq 'more than its length';
        is(!!$answer->{complete}, !!$whole, $name);
        is(logged($httpd, $id)->{state}, $name eq 'an early end' ? 'SD' : 'PD', 'state');
        is(tells(ask($httpd, GET => '/big/ok')), '200 complete ok', 'the next request gets its own answer');
    }
};

$httpd->finish('httpd lives');
$backend->stop;
done_testing;
