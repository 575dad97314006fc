# What names mean to an httpd of a test's own: getaddrinfo() is the real one but
# for names that end in .test, whose addresses the test sets and changes.
#   my $names = Usher::Names->new('app.test' => ['127.0.0.1', '127.0.0.2']);
#   my $httpd = Usher::Httpd->new($names->options, conf => ...);
#   $names->set('app.test' => ['::1']);         # from the next lookup on
#   $names->set('app.test' => undef);           # not known
#   $names->hang('app.test'); ... $names->answer('app.test');
#   $names->asked('app.test');                  # how often it was looked up
package Usher::Names;

use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path remove_tree);
use Usher::Env ();
use Usher::Wait;

my $count = 0;

sub new {
    my ($class, %addresses) = @_;
    my $root = Usher::Env::builddir() . "/t/work/names-$$-" . ++$count;
    my $self = bless { root => $root, owner => $$, names => {}, hung => {} }, $class;

    -e $self->library or die $self->library . ": make it with \"make ushertestnames.la\"\n";
    remove_tree($root);
    make_path($root);
    open my $fh, '>', "$root/hosts.asked" or die $!;
    close $fh;
    # httpd's children may run as another user.
    chmod 0666, "$root/hosts.asked";
    return $self->set(%addresses);
}

sub library { Usher::Env::builddir() . '/.libs/ushertestnames.so' }

# For Usher::Httpd->new.
sub options {
    my ($self) = @_;

    return (preload => $self->library, env => { USHERTEST_NAMES => "$self->{root}/hosts" });
}

# Addresses of names, in the order in which lookups give them; of the others
# nothing changes.
sub set {
    my ($self, %addresses) = @_;

    $self->{names}{$_} = $addresses{$_} for keys %addresses;
    return $self->_write;
}

# Lookups of these names do not end until answer().
sub hang   { my ($self, @names) = @_; $self->{hung}{$_} = 1 for @names; return $self->_write }
sub answer { my ($self, @names) = @_; delete $self->{hung}{$_} for @names; return $self->_write }

sub _write {
    my ($self) = @_;
    my $file = "$self->{root}/hosts";
    my ($names, $hung) = @$self{qw(names hung)};

    open my $fh, '>', "$file.new" or die "$file.new: $!\n";
    print $fh join(' ', $_, $hung->{$_} ? 'wait' : (), @{ $names->{$_} }), "\n"
        for sort grep { $names->{$_} } keys %$names;
    close $fh;
    rename "$file.new", $file or die "$file: $!\n";
    return $self;
}

sub asked {
    my ($self, $name) = @_;

    open my $fh, '<', "$self->{root}/hosts.asked" or return 0;
    return scalar grep { $_ eq "$name\n" } <$fh>;
}

# A lookup that began after this was called; and its answer is used a moment
# later.
sub wait_asked {
    my ($self, $name, $limit) = @_;
    my $before = $self->asked($name);

    return wait_until { $self->asked($name) > $before } $limit;
}

sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;
    # What still hangs then finds nothing, and ends.
    remove_tree($self->{root});
    return;
}

1;
