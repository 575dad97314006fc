# Which play a request gets: rules in a file that the test replaces and every
# request reads anew. The newest rule that matches decides; it counts its
# matches, and plays its n-th play for the n-th, the last one ever after.
package Usher::Backend::Script;

use strict;
use warnings FATAL => 'all';

use Fcntl qw(LOCK_EX);
use Storable ();

sub new {
    my ($class, $dir) = @_;

    return bless { dir => $dir, rules => [], id => 0 }, $class;
}

# add(what to match, plays): see Usher::Backend::on(). Returns the rule's id.
sub add {
    my ($self, $match, @plays) = @_;

    # Of two rules for the same only the newer can ever match.
    my $what = join "\0", map { "$_=$match->{$_}" } sort keys %$match;
    @{ $self->{rules} } = grep { $_->{what} ne $what } @{ $self->{rules} };
    push @{ $self->{rules} }, { %$match, what => $what, id => ++$self->{id}, plays => \@plays };
    $self->_save;
    return $self->{id};
}

# Forget all rules.
sub clear {
    my ($self) = @_;

    $self->{rules} = [];
    return $self->_save;
}

sub _save {
    my ($self) = @_;

    Storable::nstore($self->{rules}, "$self->{dir}/script.new");
    return rename "$self->{dir}/script.new", "$self->{dir}/script" || die "$self->{dir}/script: $!\n";
}

# choose({ method, uri, n }): (play, rule's id, how many times it matched
# with this one); nothing where no rule matches.
sub choose {
    my ($self, $req) = @_;
    my $rules = Storable::retrieve("$self->{dir}/script");

    for my $rule (reverse @$rules) {
        next unless _matches($rule, $req);
        my $nth = count_up("$self->{dir}/rule-$rule->{id}");
        my $last = @{ $rule->{plays} };
        return ($rule->{plays}[ ($nth < $last ? $nth : $last) - 1 ], $rule->{id}, $nth);
    }
    return;
}

sub _matches {
    my ($rule, $req) = @_;

    # A moment, not a request: only where the rule names it.
    return 0 if $req->{method} =~ /^(?:ACCEPT|HELLO|SECURE|CPING)$/ && ($rule->{method} // '') ne $req->{method};
    return 0 if defined $rule->{method} && $rule->{method} ne $req->{method};
    return 0 if defined $rule->{reused} && !$rule->{reused} != ($req->{n} <= 1);
    return 0 if defined $rule->{path} && $req->{uri} !~ /^\Q$rule->{path}\E(?:\?|\z)/;
    return 0 if defined $rule->{uri} && $req->{uri} !~ $rule->{uri};
    return 1;
}

# One more than the last process got that asked for this file.
sub count_up {
    my ($file) = @_;

    open my $fh, '>>', $file or die "$file: $!\n";
    flock $fh, LOCK_EX or die "$file: $!\n";
    syswrite $fh, '+';
    return -s $fh;
}

1;
