# Servers that sign in and out by the hundred, played by one process (Usher::Asker): what each
# node was told of each of them and has confirmed, to be compared with what it then knows.
#
#   my $crowd = Usher::Crowd->new(ports => [$httpd->port], members => 100, urls => [...],
#       heartbeat => 5, key => { keyid => 'crowd', secret => $bytes }, admin => { ... });
#   $crowd->join_all;
#   $crowd->churn(10, 0.05);    # for 10 s, every 0.05 s somebody comes or goes; the first one stays
#   $crowd->settle;             # all is answered
#   my @wrong = $crowd->differences($port);
package Usher::Crowd;

use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use Usher::Asker ();
use Usher::Signed ();

# new(%options): ports of the nodes, members, urls that they share, heartbeat (s), lease (s), key
# of the servers, key of the administrator (admin); spread => 1: each server talks to one of the
# nodes, as these share a store; tries at a node that cannot be reached
sub new {
    my ($class, %opt) = @_;
    my $self = bless { lease => 30, tries => 50, %opt, counts => {}, wrong => [], times => [] }, $class;

    for my $who (qw(key admin)) {
        $self->{signed}{$who} = { map { $_ => Usher::Signed->new(port => $_, %{ $opt{$who} }) } @{ $opt{ports} } };
    }
    $self->{asker} = Usher::Asker->new(ports => $opt{ports}, connections => 16);
    my @ports = @{ $opt{ports} };
    $self->{members} = [map { {
        route => sprintf('m%04d', $_), url => $opt{urls}[$_ % @{ $opt{urls} }], in => 0, todo => {}, busy => {},
        ports => $opt{spread} ? [$ports[$_ % @ports]] : \@ports,
    } } 1 .. $opt{members}];
    return $self;
}

sub counts { $_[0]{counts} }
sub wrong  { @{ $_[0]{wrong} } }
sub times  { @{ $_[0]{times} } }
sub present { return grep { $_->{in} } @{ $_[0]{members} } }

sub join_all {
    my ($self) = @_;

    $self->_come($_) for @{ $self->{members} };
    return $self->settle;
}

sub churn {
    my ($self, $seconds, $pause) = @_;
    my $end = Usher::Asker::now() + $seconds;
    my $step;

    $step = sub {
        my $now = Usher::Asker::now();
        my $member = $self->{members}[1 + int rand @{ $self->{members} } - 1];
        $member->{in} ? $self->_go($member) : $self->_come($member);
        $self->{asker}->at($now + $pause, $step) if $now < $end;
    };
    $step->();
    $self->{asker}->turn while Usher::Asker::now() < $end;
    undef $step;
    return;
}

# For as long as $more says so; heartbeats go on.
sub idle {
    my ($self, $more) = @_;

    $self->{asker}->turn while $more->();
    return;
}

# Until every request is answered.
sub settle {
    my ($self) = @_;
    my $asker = $self->{asker};

    $asker->turn while grep { %{ $_->{busy} } } @{ $self->{members} };
    return;
}

# What a node knows otherwise than it was told, as texts; asks it as the administrator.
sub differences {
    my ($self, $port) = @_;
    my ($status, $text);

    $self->{asker}->ask($port, sub { $self->{signed}{admin}{$port}->text(GET => '/members') },
        sub { ($status, $text) = @_ });
    $self->{asker}->turn until defined $status;
    return "the list: $status $text" if $status != 200;
    my %there = map { $_->{route} => $_ } @{ JSON::PP::decode_json($text)->{members} };
    my @wrong;
    for my $member (@{ $self->{members} }) {
        my $is = delete $there{ $member->{route} };
        if (!$member->{in}) { push @wrong, "$member->{route}: a ghost, $is->{state}" if $is }
        elsif (!$is) { push @wrong, "$member->{route}: lost" }
        elsif ($is->{state} ne 'up') { push @wrong, "$member->{route}: $is->{state}" }
        elsif ($is->{url} ne $member->{url}) { push @wrong, "$member->{route}: $is->{url}" }
    }
    return (@wrong, map { "$_: never heard of" } sort keys %there);
}

sub _come {
    my ($self, $member) = @_;
    my $body = { url => $member->{url}, lease => $self->{lease}, weight => 1 };

    $member->{in} = 1;
    $self->_tell($member, sub { (PUT => '', $body) });
    return $self->_beat_later($member);
}

# In good order: drain, then out.
sub _go {
    my ($self, $member) = @_;

    $member->{in} = 0;
    delete $member->{beat};
    $self->_tell($member, sub { (POST => '/drain', { deadline => 60 }) }, sub { (DELETE => '') });
    return;
}

sub _beat_later {
    my ($self, $member) = @_;
    my $mark = $member->{beat} = {};    # of this stay: who left and came again has another one

    # Not all at once
    my $next = Usher::Asker::now() + rand $self->{heartbeat};
    my $beat;
    $beat = sub {
        return undef $beat if ($member->{beat} // 0) != $mark;
        $self->_tell($member, sub { (POST => '/heartbeat', {}) }) if !%{ $member->{busy} };
        $next += $self->{heartbeat};
        $self->{asker}->at($next, $beat);
    };
    $self->{asker}->at($next, $beat);
    return;
}

# Requests of a member, to each node one after the other.
sub _tell {
    my ($self, $member, @what) = @_;

    for my $port (@{ $member->{ports} }) {
        push @{ $member->{todo}{$port} }, @what;
        $self->_next($member, $port) if !$member->{busy}{$port}++;
    }
    return;
}

sub _next {
    my ($self, $member, $port) = @_;
    my $todo = $member->{todo}{$port};

    if (!@$todo) {
        delete $member->{busy}{$port};
        return;
    }
    my ($method, $what, $body) = $todo->[0]->();
    $self->{asker}->ask($port, sub { $self->{signed}{key}{$port}->text($method, "/members/app/$member->{route}$what", $body) }, sub {
        my ($status, $text, $seconds) = @_;
        my $kind = $method eq 'POST' ? substr $what, 1 : $method;
        ++$self->{counts}{"$kind $status"};
        # A connection that has ended, or a store that cannot now: once more
        if (($status == 0 || $status == 503 || $status == 409 && $text =~ /"conflict"/) && ++$member->{again} <= $self->{tries}) {
            return $self->{asker}->at(Usher::Asker::now() + 0.2, sub { $self->_next($member, $port) });
        }
        push @{ $self->{wrong} }, "$kind $member->{route}: $status $text" if $status !~ /^20[014]$/;
        $member->{again} = 0;
        push @{ $self->{times} }, $seconds if $kind ne 'heartbeat';
        shift @$todo;
        return $self->_next($member, $port);
    });
    return;
}

1;
