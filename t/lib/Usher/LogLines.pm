# Random requests, and the access-log lines that tell of them, in each of the forms that
# `usherctl log' reads. For tests that compute its figures anew, and for measuring it.
#
#   my $make = Usher::LogLines->new(kind => 'mixed', seed => 7, members => 3);
#   my $request = $make->request;          # a hash: status, state, member, times ...
#   print $make->line($request), "\n";
package Usher::LogLines;

use strict;
use warnings FATAL => 'all';

use POSIX qw(strftime);

my @months = qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec);
my @kinds = qw(usher httplog syslog json);

sub new {
    my ($class, %with) = @_;

    return bless { kind => 'usher', seed => 1, members => 3, start => 1_795_371_216, %with,
        x => ($with{seed} // 1) * 2_654_435_761 % 4_294_967_296, at => 0 }, $class;
}

# A generator of its own: the same on each machine, and whatever else asks Perl for numbers.
sub random {
    my ($self, $below) = @_;

    $self->{x} = ($self->{x} * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return int($below * $self->{x} / 4_294_967_296);
}

# As times are: many small ones, few large ones.
sub duration {
    my ($self, $typical) = @_;

    return int($typical * exp(($self->random(10_000) / 10_000 + $self->random(10_000) / 10_000
        + $self->random(10_000) / 10_000 - 1.5) * 4));
}

sub request {
    my ($self) = @_;
    my $n = $self->random(1000);
    my $member = 1 + $self->random($self->{members});
    my ($read, $connect, $first) = ($self->duration(50), $self->random(4) ? 0 : $self->duration(300),
        $self->duration(4000 * $member));
    my $queue = $self->random(50) ? 0 : $self->duration(20_000);
    my %r = (
        at => $self->{start} * 1_000_000 + ($self->{at} += $self->random(20_000)),
        client => '192.0.2.' . $self->random(250), port => 1024 + $self->random(60_000),
        method => $self->random(10) ? 'GET' : 'POST',
        uri => '/shop/' . $self->random(300) . ($self->random(3) ? '' : '?q=' . $self->random(1000)),
        status => $n < 900 ? 200 : $n < 940 ? 304 : $n < 970 ? 404 : $n < 980 ? 500 : 200,
        state => '--VN', cluster => 'app', member => "tc$member", tries => 1, replays => 0,
        vhost => $self->random(5) ? 'www.example.com' : 'shop.example.com',
        in => 200 + $self->random(800), out => 200 + $self->duration(8000), body => $self->random(60_000),
        times => [$read, $queue, $connect, $first, $read + $queue + $connect + $first + $self->duration(2000)],
    );
    if ($n >= 980 && $n < 985) {
        @r{qw(status state)} = (504, 'sHVN');
        $r{times}[3] = undef;
    }
    elsif ($n >= 985 && $n < 990) {
        @r{qw(status state)} = (503, 'SC--');
        @r{qw(member replays tries)} = (undef, 1, 2);
        @{ $r{times} }[2, 3] = (undef, undef);
    }
    elsif ($n >= 990) {
        $r{state} = 'CDVN';
    }
    return \%r;
}

sub _date {
    my ($at) = @_;
    my @t = gmtime int($at / 1_000_000);

    return sprintf '%02d/%s/%d:%02d:%02d:%02d', $t[3], $months[$t[4]], 1900 + $t[5], @t[2, 1, 0];
}

sub _usher {
    my ($self, $r) = @_;

    return sprintf '%s - - [%s +0000] "%s %s HTTP/1.1" %d %d "https://%s/" "%s" vhost=%s:443 id=%s'
        . ' state=%s cluster=%s member=%s tries=%d/%d times=%s bytes=%d/%d conns=12/7/5/2 queue=0'
        . ' SSL:{TLSv1.3,TLS_AES_256_GCM_SHA384} req={%s|} res={} cookie=-/-',
        $r->{client}, _date($r->{at}), @$r{qw(method uri status body vhost)},
        'Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0',
        $r->{vhost}, 'Z' . $r->{at}, $r->{state}, $r->{cluster}, $r->{member} // '-', @$r{qw(tries replays)},
        join('/', map { $_ // '-' } @{ $r->{times} }), @$r{qw(in out vhost)};
}

# Rounded as HAProxy does it: down.
sub _httplog {
    my ($self, $r) = @_;

    return sprintf '%s:%d [%s.%03d] %s~ %s/%s %s %d %d - - %s 12/7/5/2/%d 0/0 {%s} {} "%s %s HTTP/1.1"',
        $r->{client}, $r->{port}, _date($r->{at}), $r->{at} % 1_000_000 / 1000,
        $r->{vhost}, $r->{cluster}, $r->{member} // '<NOSRV>',
        join('/', map { defined $_ ? int($_ / 1000) : -1 } @{ $r->{times} }), @$r{qw(status out state replays vhost method uri)};
}

sub _json {
    my ($self, $r) = @_;
    my @names = qw(read queue connect first total);

    return sprintf '{"time":"%s.%06d+00:00","client":"%s","port":%d,"user":null,"method":"%s","uri":"%s",'
        . '"protocol":"HTTP/1.1","status":%d,"body_bytes":%d,"referer":"https://%s/","agent":"%s",'
        . '"vhost":"%s:443","id":"Z%s","state":"%s","cluster":"%s",%s"tries":%d,"replays":%d,%s,'
        . '"bytes_in":%d,"bytes_out":%d,"conns":12,"vhost_conns":7,"cluster_conns":5,"member_conns":2,'
        . '"queue":0,"tls_version":"TLSv1.3","tls_cipher":"TLS_AES_256_GCM_SHA384","tls_resumed":false,'
        . '"req":{"Host":"%s"},"res":{}}',
        strftime('%Y-%m-%dT%H:%M:%S', gmtime int($r->{at} / 1_000_000)), $r->{at} % 1_000_000,
        @$r{qw(client port method uri status body vhost)}, 'Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0',
        @$r{qw(vhost at state cluster)}, defined $r->{member} ? qq("member":"$r->{member}",) : '',
        @$r{qw(tries replays)}, join(',', map { sprintf '"%s_us":%s', $names[$_], $r->{times}[$_] // 'null' } 0 .. 4),
        @$r{qw(in out vhost)};
}

sub line {
    my ($self, $r) = @_;
    my $kind = $self->{kind} eq 'mixed' ? $kinds[$self->random(4)] : $self->{kind};

    $r->{kind} = $kind;
    return $kind eq 'usher' ? $self->_usher($r)
        : $kind eq 'json' ? $self->_json($r)
        : ($kind eq 'syslog' ? 'Nov 22 18:13:36 proxy haproxy[4711]: ' : '') . $self->_httplog($r);
}

1;
