# Where a program's instructions are: what callgrind wrote, by function.
package Usher::Bench::Profile;

use strict;
use warnings FATAL => 'all';

# What a run counted: { inclusive => by function with what it calls, own => of it
# alone }, each { "function\tsource file or object" => n, total => n }.
sub of {
    my ($out) = @_;

    return { inclusive => functions($out, 'yes'), own => functions($out, 'no') };
}

sub functions {
    my ($out, $inclusive) = @_;
    my %count;

    open my $annotated, '-|', "callgrind_annotate --auto=no --inclusive=$inclusive --threshold=100 --show-percs=no '$out'"
        or die "callgrind_annotate: $!";
    while (my $line = <$annotated>) {
        $count{total} = $1 =~ s/,//gr if $line =~ /^\s*([\d,]+)\s+PROGRAM TOTALS/;
        # The call tables between modules have lines of their own without object.
        my ($cost, $file, $function, $object) = $line =~ /^\s*([\d,]+)\s+(\S+):(\S+)(?: \[(\S+)\])?/ or next;
        my $where = $file =~ m{(modules/\w+/\w+\.[ch])$} ? $1 : ($object // next) =~ s{^.*/}{}r;
        $cost =~ s/,//g;
        my $name = "$function\t$where";
        # With code of several files in it a function has several lines.
        $count{$name} = $inclusive eq 'yes' ? ($cost > ($count{$name} // 0) ? $cost : $count{$name}) : ($count{$name} // 0) + $cost;
    }
    close $annotated;
    die "valgrind counted nothing\n" unless $count{total};
    return \%count;
}

# What one has more than the other, for each of n requests.
sub per_request {
    my ($many, $few, $n) = @_;
    my %count;

    for my $kind (keys %$many) {
        my %all = (%{ $many->{$kind} }, %{ $few->{$kind} });
        $count{$kind}{$_} = (($many->{$kind}{$_} // 0) - ($few->{$kind}{$_} // 0)) / $n for keys %all;
    }
    return \%count;
}

# The functions with the greatest part, for people to read.
sub text {
    my ($title, $count, $top) = @_;

    return join "\n", '', "$title: instructions per request", map({
        my ($of, $which) = @$_;
        ("  $of, with what they call", _list($count->{inclusive}, $which, $top), "  $of alone", _list($count->{own}, $which, $top))
    } ["modules' functions", qr{\tmodules/}], ['other functions', qr{\t(?!modules/|mod_usher)}]), '';
}

sub _list {
    my ($count, $which, $top) = @_;
    my @names = grep { $_ ne 'total' && abs $count->{$_} >= 50 && /$which/ } keys %$count;

    @names = sort { $count->{$b} <=> $count->{$a} } @names;
    splice @names, $top if @names > $top;
    return join '', map { my ($function, $file) = split /\t/; sprintf "    %8.0f  %-40s %s\n", $count->{$_}, $function, $file } @names;
}

1;
