# One connection of a backend, in a process of its own: reads requests, lets
# the script choose a play for each, and performs it. What depends on the
# protocol is in Usher::Backend::HTTP and ::AJP:
#   read_request      { method, uri, headers, ... } of the next request
#   body_piece($max)  more bytes of its body; '' when it is complete
#   default_play      for a request that no rule matches
#   answer(...)       the bytes of an answer (status, headers, body)
#   says_close        whether request or answer end the connection
package Usher::Backend::Connection;

use strict;
use warnings FATAL => 'all';

use Digest::SHA ();
use IO::Socket::INET ();
use Time::HiRes ();
use Usher::Backend::Play ();
use Usher::Wire ();

# How a connection ended; thrown by whatever notices or does it.
sub _over {
    my ($by, $how) = @_;

    return bless { by => $by, how => $how }, 'Usher::Backend::Over';
}

sub new {
    my ($class, %opt) = @_;

    return bless { %opt, n => 0 }, $class;
}

# Serve this connection until it ends.
sub run {
    my ($self) = @_;
    my $over;

    eval {
        $self->{commands} = $self->commands;
        $self->moment('ACCEPT');
        $self->secure if $self->{wire}->can('handshake');
        1 while $self->serve;
        1;
    } or $over = $@;
    if (!ref $over) {
        print STDERR "connection $self->{id}: $over";
        $over = _over('backend', 'closed');
    }
    $self->note_body if $self->{sha} && !$self->{request}{complete};
    $over->{how} eq 'reset' && $over->{by} eq 'backend' ? $self->{wire}->reset : $self->{wire}->close;
    # After the close: where it is noted, no request can slip in any more.
    return $self->note('closed', by => $over->{by}, how => $over->{how});
}

sub note {
    my ($self, $event, %fields) = @_;

    return $self->{journal}->write($event, $self->{id}, %fields);
}

# What the script has for a moment that is no request.
sub moment {
    my ($self, $name) = @_;
    my ($play) = $self->{script}->choose({ method => $name, uri => '', n => 0 });

    $self->perform($play) if defined $play;
    # What it left unread in a stall is for nobody: the next moment is of a connection
    # that lives.
    die _over('peer', $self->{gone}) if $self->{gone};
    return;
}

# The handshake of TLS: 'HELLO' is when the client's first message was read,
# 'SECURE' when all is agreed on.
sub secure {
    my ($self) = @_;
    my $wire = $self->{wire};
    my $why = $wire->hello;

    $self->bad('no TLS') if $why eq 'no TLS';
    die _over('peer', $why) if $why;
    $self->moment('HELLO');
    $why = $wire->handshake;
    $self->note('tls', %{ $wire->told });
    die _over($wire->{by} eq 'peer' ? 'peer' : 'backend', $why eq 'reset' ? 'reset' : 'closed') if $why;
    return $self->moment('SECURE');
}

# ---- one request after another

# One request; false when the connection is not kept after it.
sub serve {
    my ($self) = @_;
    my $wire = $self->{wire};

    $self->wait_for_request;
    delete @$self{qw(sha body gone idle)};
    $self->{request} = { method => '?', uri => '', complete => 0 };
    my $req = $self->{request} = $self->read_request;
    $req->{n} = $self->{n} + 1;
    my ($play, $rule, $nth) = $self->{script}->choose($req);
    $self->{sha} = Digest::SHA->new(1);
    $req->{body_len} = 0;
    if ($req->{method} eq 'CPING') {
        $self->note('ping');
    } else {
        ++$self->{n};
        $self->note('request', %$req, rule => $rule, nth => $nth, sha1 => $self->{sha}->clone->hexdigest);
    }
    $play //= $self->default_play;
    @$self{qw(sent_head sent_tail)} = ('', '');
    my $before = $wire->{sent};
    $self->read_all_body unless $req->{complete} || Usher::Backend::Play::reads_itself($play);
    $self->perform($play);
    $self->note('answered', sent => $wire->{sent} - $before) unless $req->{method} eq 'CPING';
    die _over('backend', 'closed') if !$req->{complete} || $self->says_close;
    return 1;
}

# Until the first byte of a request is there. Ends when the connection was
# idle for as long as the last play said; or when told to, also if that was
# while the last play was on: a client may have its answer before we are here.
sub wait_for_request {
    my ($self) = @_;
    my $wire = $self->{wire};
    my ($seconds, $how) = @{ $self->{idle} // [] };
    my $end = defined $seconds ? Time::HiRes::time() + $seconds : undef;

    $self->note('idle') unless length $wire->{in};
    while (!length $wire->{in}) {
        die _over('backend', $self->command) if $self->{commands} != $self->commands;
        die _over('backend', ($how // '') eq 'rst' ? 'reset' : 'closed') if $end && Time::HiRes::time() >= $end;
        my $got = $wire->read_more(0.02, 8192);
        die _over('peer', $got) if $got =~ /^(?:closed|reset)$/;
    }
    $self->{commands} = $self->commands;
    return;
}

# How often the test has told connections to close when idle: a file with a
# letter for each time, "c" for cut or "r" for reset.
sub commands { return -s "$_[0]{dir}/idle" // 0 }

sub command {
    my ($self) = @_;

    open my $fh, '<', "$self->{dir}/idle" or return 'closed';
    return (<$fh> // '') =~ /r\z/ ? 'reset' : 'closed';
}

# More of the request's head; ends the connection where the peer does.
sub more {
    my ($self, $max) = @_;
    my $got = $self->{wire}->read_more(undef, $max);

    return if $got eq 'data';
    my $wire = $self->{wire};
    $self->note('bad', bad => 'incomplete', partial => substr $wire->{in}, 0, 65536)
        if length $wire->{in} && $self->{request}{method} eq '?';
    die _over('peer', $got);
}

# The request makes no sense: say why, and close.
sub bad {
    my ($self, $why) = @_;

    $self->note('bad', bad => $why, partial => substr $self->{wire}{in}, 0, 65536);
    die _over('backend', 'closed');
}

# ---- the request's body

# Read $limit bytes more (undef: all), $size at a time, $pause seconds between.
sub take_body {
    my ($self, $limit, $size, $pause) = @_;
    my $req = $self->{request};

    while (!$req->{complete} && (!defined $limit || $limit > 0)) {
        my $max = $size // 65536;
        $max = $limit if defined $limit && $limit < $max;
        my $bytes = $self->body_piece($max);
        $req->{body_len} += length $bytes;
        $self->{sha}->add($bytes);
        $limit -= length $bytes if defined $limit;
        $self->wait($pause) if $pause && !$req->{complete};
    }
    return $self->note_body;
}

sub read_all_body { return $_[0]->take_body }

sub note_body {
    my ($self) = @_;
    my $req = $self->{request};

    return $self->note('body', sha1 => $self->{sha}->clone->hexdigest, map { $_ => $req->{$_} }
        grep { defined $req->{$_} } qw(body_len complete trailers));
}

# ---- performing

sub perform {
    my ($self, $play) = @_;

    for my $step (Usher::Backend::Play::steps($play)) {
        if (!ref $step) {
            $self->put($step);
            next;
        }
        my $do = "step_$step->{do}";
        $self->$do(@{ $step->{with} });
    }
    return;
}

# Send bytes; ends the connection where the peer has gone.
sub put {
    my ($self, $bytes) = @_;

    $self->{sent_head} .= substr $bytes, 0, 8192 if length($self->{sent_head} // '') < 8192;
    $self->{sent_tail} = substr +($self->{sent_tail} // '') . substr($bytes, -6), -6 if length $bytes;
    return 1 if $self->{wire}->write($bytes) == length $bytes;
    $self->note_gone('reset');
    die _over('peer', 'reset');
}

# Let seconds pass (undef: until the peer has gone), or until the sub says so.
sub wait {
    my ($self, $seconds, $until) = @_;

    return $self->{wire}->pause($seconds, sub {
        return 1 if $until && $until->();
        return $self->see_peer && !defined $seconds;
    });
}

# Whether the peer has gone; noted once per request.
sub see_peer {
    my ($self) = @_;
    my $gone = $self->{gone} || $self->{wire}->peer_gone;

    $self->note_gone($gone) if $gone;
    return $gone;
}

sub note_gone {
    my ($self, $how) = @_;

    $self->note('gone', gone => $how) unless $self->{gone};
    $self->{gone} = $how;
    return;
}

sub step_cut {
    my ($self) = @_;

    $self->{wire}->abrupt if $self->{wire}->can('abrupt');
    die _over('backend', 'closed');
}

sub step_rst { die _over('backend', 'reset') }

sub step_half_close {
    my ($self) = @_;
    my $wire = $self->{wire};

    $wire->half_close;
    while ((my $got = $wire->read_more(undef)) ne 'closed') {
        die _over('peer', $got) if $got ne 'data';
        $wire->{in} = '';
    }
    die _over('peer', 'closed');
}

# As a proxy does that was asked to CONNECT; ends with whoever ends first.
sub step_tunnel {
    my ($self) = @_;
    my $near = $self->{wire};
    my $sock = IO::Socket::INET->new(PeerAddr => $self->{request}{uri}, Timeout => 5) or die _over('backend', 'closed');
    my $far = Usher::Wire->new($sock, watch => $near->{watch}, watched => $near->{watched});

    while (1) {
        my $moved = 0;
        for my $pair ([$near, $far], [$far, $near]) {
            my ($from, $to) = @$pair;
            my $got = length $from->{in} ? 'data' : $from->read_more(0);
            if ($got eq 'data') {
                $to->write(substr $from->{in}, 0, length $from->{in}, '');
                $moved = 1;
            } elsif ($got ne 'timeout') {
                $got eq 'reset' ? $far->reset : $far->close;
                die _over($from == $near ? 'peer' : 'backend', $got);
            }
        }
        $near->ready_either($far, 1) unless $moved;
    }
}

sub step_stall {
    my ($self, $seconds) = @_;

    return defined $seconds ? $self->wait($seconds) : $self->step_hold('');
}

sub step_hold {
    my ($self, $name) = @_;

    $self->note('holding', name => $name);
    $self->wait(undef, sub { -e "$self->{dir}/go-$name" });
    return $self->note('holding');
}

sub step_trickle {
    my ($self, $bytes, $size, $seconds) = @_;

    for (my $at = 0; $at < length $bytes; $at += $size) {
        $self->wait($seconds) if $at;
        $self->put(substr $bytes, $at, $size);
    }
    return;
}

sub step_fill {
    my ($self, $fill) = @_;

    return Usher::Backend::Play::each_fill($fill, sub { $self->see_peer; return $self->put($_[0]) });
}

sub step_echo {
    my ($self) = @_;
    my $req = $self->{request};

    $self->read_all_body unless $req->{complete};
    return $self->put($self->answer(200, ['Content-Type' => 'text/plain'],
        join(' ', $req->{method}, $req->{uri}, $req->{body_len}, $self->{sha}->clone->hexdigest) . "\n"));
}

# A part of what the server answers to the client's first message.
sub step_flight {
    my ($self, $n, $size, $seconds) = @_;
    my $wire = $self->{wire};
    my $bytes = $wire->flight;

    $bytes = substr $bytes, 0, $n if defined $n;
    for (my $at = 0; $at < length $bytes; $at += $size // length $bytes) {
        $self->wait($seconds) if $at;
        $self->put(substr $bytes, $at, $size // length $bytes);
    }
    return $wire->flown(length $bytes);
}

sub step_alert           { my ($self, $number) = @_; return $self->{wire}->raw("\x15\3\3\0\2\2" . chr $number) }
sub step_certificate     { my ($self, @files) = @_; return $self->{wire}->certificate(@files) }
sub step_raw             { my ($self, $bytes) = @_; return $self->{wire}->raw($bytes) }
sub step_notify          { return $_[0]{wire}->notify }
sub step_renegotiate     { return $_[0]{wire}->renegotiate }
sub step_ask_certificate { return $_[0]{wire}->ask_certificate }
sub step_records         { my ($self, $n) = @_; return $self->{wire}{record} = $n }

sub step_idle        { my ($self, @how) = @_; $self->{idle} = \@how; return }
sub step_read_body   { my ($self, $n) = @_; return $self->take_body($n) }
sub step_read_slowly { my ($self, $n, $seconds) = @_; return $self->take_body(undef, $n, $seconds) }
sub step_leave_body  { return }

1;
