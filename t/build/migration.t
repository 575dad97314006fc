# docs/migration/mod_jk.md has a row for each name that usherctl from-jk knows,
# and none for others.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Env ();

my $src = Usher::Env::srcdir();

sub slurp {
    my ($file) = @_;

    open my $fh, '<', "$src/$file" or die "$file: $!";
    local $/;
    return scalar <$fh>;
}

# Names of a table in the code: name => what comes behind it
sub names {
    my ($file, $table) = @_;
    my ($body) = slurp($file) =~ /^static const \w+ \Q$table\E\[\] = \{\n(.*?)^\};/ms or die "$file: no $table";

    return [sort $body =~ /^    \{ "(\w+)"/gm];
}

# First columns of the rows under a heading
sub rows {
    my ($heading) = @_;
    my ($part) = slurp('docs/migration/mod_jk.md') =~ /^## \Q$heading\E\n(.*?)(?=^## |\z)/ms or die "no heading $heading";

    return [sort $part =~ /^\| `([\w.-]+)` \| \S/gm];
}

my %headings = (
    'Keys of workers.properties' => ['usherctl/jk_keys.c', 'keys', 'worker.list', 'worker.maintain'],
    'Extensions of mounts'       => ['usherctl/jk_rules.c', 'extensions', 'reply_timeout', 'use_server_errors'],
    'Directives'                 => ['usherctl/jk_directives.c', 'directives'],
    'Options of JkOptions'       => ['usherctl/jk_directives.c', 'options'],
);
for my $heading (sort keys %headings) {
    my ($file, $table, @more) = @{ $headings{$heading} };
    is_deeply rows($heading), [sort @{ names($file, $table) }, @more], "$heading: the names in $file";
}
# What mod_jk calls its variables, by groups
my @both = map { my $n = $_; map { "JK_LB_${_}_$n" } 'FIRST', 'LAST' }
    qw(NAME TYPE VALUE ACCESSED SESSIONS READ TRANSFERRED ERRORS BUSY ACTIVATION STATE);
is_deeply rows('Variables'), [sort @both, qw(no-jk JK_WORKER_NAME JK_WORKER_NAME JK_WORKER_TYPE JK_WORKER_ROUTE JK_REQUEST_DURATION
    JK_REPLY_TIMEOUT JK_STICKY_IGNORE JK_STATELESS JK_ROUTE JK_IGNORE_CL JK_REMOTE_ADDR JK_REMOTE_PORT JK_REMOTE_HOST
    JK_REMOTE_USER JK_AUTH_TYPE JK_LOCAL_NAME JK_LOCAL_ADDR JK_LOCAL_PORT)], 'Variables: those of mod_jk';

# Each key that the converter takes is one that it asks for somewhere.
my $code = join '', map { slurp("usherctl/$_") } qw(jk_workers.c jk_print_workers.c jk_print_keys.c jk_print_failures.c jk_site.c);
my ($table) = slurp('usherctl/jk_keys.c') =~ /^static const jk_key_t keys\[\] = \{\n(.*?)^\};/ms;
while ($table =~ /^    \{ "(\w+)", \w+, [^,]+, JK_TAKEN, NULL,/gm) {
    my $key = $1;
    ok $key eq 'reference' ? $code =~ /\.reference"/ : $code =~ /"$key"/, "$key is looked at";
}
done_testing;
