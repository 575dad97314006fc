# Bytes for large bodies that nobody has to keep: a pure function of their
# offset, so that both ends can make them, and lost or doubled bytes show.
#   pattern($offset, $length)   those bytes
#   pattern_sha1($length)       SHA-1 (hex) of the first $length bytes
package Usher::Pattern;

use strict;
use warnings FATAL => 'all';

use Digest::SHA ();
use Exporter 'import';

our @EXPORT = qw(pattern pattern_sha1);

# The length is prime: no power of two (a buffer's size) is a multiple of it.
my $period = 65521;
my $block = substr join('', map { sprintf "%07d\n", $_ } 0 .. $period / 8 + 1), 0, $period;

# $length bytes from $offset on.
sub pattern {
    my ($offset, $length) = @_;
    my $from = $offset % $period;

    return substr $block x (int(($from + $length) / $period) + 1), $from, $length;
}

# The SHA-1 of a body of $length bytes, in hex.
sub pattern_sha1 {
    my ($length) = @_;
    my $sha = Digest::SHA->new(1);

    for (my $at = 0; $at < $length; $at += $period) {
        my $left = $length - $at;
        $sha->add($left < $period ? substr $block, 0, $left : $block);
    }
    return $sha->hexdigest;
}

1;
