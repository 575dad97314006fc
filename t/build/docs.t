# The documents tell what the code does: each directive has its entry and its
# help, the list of log messages is current, every configuration that is shown
# passes `httpd -t', and no link leads nowhere.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(basename dirname);
use Test::More;
use Usher::Env ();
use Usher::Httpd ();

$ENV{USHER_MPM} ||= 'event';
my $src = Usher::Env::srcdir();
my @pages = sort(glob("$src/docs/*.md"), glob("$src/docs/*/*.md"));

sub slurp {
    my ($file) = @_;

    open my $fh, '<', $file or die "$file: $!";
    local $/;
    return scalar <$fh>;
}

# Directives in the code: name => help text
my %code;
for my $file (glob "$src/modules/*/*.c") {
    my $text = slurp($file);
    while ($text =~ /AP_INIT_\w+\(\s*"(\w+)",\s*((?:[^"]|"(?!\s*\)))*?)((?:"(?:[^"\\]|\\.)*"\s*)+)\)/g) {
        my ($name, $help) = ($1, $3);
        $help =~ s/"\s*"//g;
        $code{$name} = $help;
    }
}
# Directives in the documents: name => { Description, Syntax, ... }
my %docs;
for my $page (@pages) {
    my $text = slurp($page);
    while ($text =~ /^## (\w+) Directive\n(.*?)(?=^## |\z)/gms) {
        my ($name, $entry) = ($1, $2);
        my %field = $entry =~ /^\| (\w+) \| (.+?) \|$/gm;
        $docs{$name} = { %field, text => $entry };
    }
}
ok %code > 0, 'there are directives';
is_deeply [sort keys %docs], [sort keys %code], 'the documents have the directives of the code';
for my $name (sort keys %code) {
    cmp_ok length $code{$name}, '>', 10, "$name has a help text";
    for my $field (qw(Description Syntax Default Context Module)) {
        ok $docs{$name}{$field}, "$name: the page tells its $field";
    }
    like $docs{$name}{Syntax} // '', qr/^`$name\b/, "$name: its syntax begins with its name";
    like $docs{$name}{text} // '', qr/^```apache\n.*^\s*$name\b.*?^```/ms, "$name: its page shows it in use";
}

is slurp("$src/docs/log-messages.md"), scalar(qx($^X '$src/build/log-messages' '$src')),
    'docs/log-messages.md is current (make log-messages)';

my ($shown_example) = slurp("$src/README") =~ /^--- begin configuration ---\n(.*)^--- end configuration ---\n/ms;
is $shown_example =~ s/^    //mgr, slurp("$src/docs/conf/example.conf"), 'README shows docs/conf/example.conf';

# Every configuration shown or installed, in a frame with all of httpd's modules
my $httpd = Usher::Httpd->new(
    name => "docs-$$", loglevel => 'warn',
    modules => [qw(watchdog authz_host authn_core auth_basic authn_file authz_user mime alias dir headers env setenvif rewrite
        status remoteip socache_shmcb ssl http2 proxy proxy_http proxy_ajp proxy_wstunnel
        proxy_balancer slotmem_shm lbmethod_byrequests filter substitute)]);
my $root = $httpd->root;
mkdir "$root/modules";
for my $so (glob("$ENV{USHER_LIBEXEC}/*.so"), glob("'" . Usher::Env::builddir() . "'/.libs/mod_usher*.so")) {
    symlink $so, "$root/modules/" . basename($so);
}
qx(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout '$root/key.pem' -out '$root/cert.pem' 2>&1);
is $?, 0, 'a certificate for the configurations';
{
    my $umask = umask 077;
    open my $keys, '>', "$root/usher.keys" or die "$root/usher.keys: $!";
    print $keys '0000000a ', 'AQ' x 21, "A\n";
    open my $secret, '>', "$root/secret" or die "$root/secret: $!";
    print $secret "change-me\n";
    open my $register, '>', "$root/register.keys" or die "$root/register.keys: $!";
    print $register 'tomcat1 ', 'AQ' x 21, "A= tomcats\n";
    open my $params, '>', "$root/store.pgsql" or die "$root/store.pgsql: $!";
    print $params 'dbname=usher';
    umask $umask;
    open my $prefixes, '>', "$root/prefixes.txt" or die "$root/prefixes.txt: $!";
    print $prefixes "192.0.2.0/24\n";
}

# Where mod_usher_geo is built, MaxMind's writer is there to test it.
if (grep { $_ eq 'usher_geo' } Usher::Env::usher_modules()) {
    require Usher::MMDB;
    Usher::MMDB::make("$root/places.mmdb", 'city');
    Usher::MMDB::make("$root/networks.mmdb", 'asn');
}

my $shown = 0;
# What a file needs that is for a configuration that is there.
my %before = (
    'docs/conf/usher-register.conf' => "LoadModule proxy_module modules/mod_proxy.so\n"
        . join('', map { "LoadModule ${_}_module modules/mod_$_.so\n" } qw(usher usher_backend usher_balancer)),
);
for my $page ("$src/README", @pages, glob "$src/docs/conf/*.conf") {
    my $name = substr $page, length("$src/");
    my $text = slurp($page);
    my $number = 0;

    my @blocks = $name eq 'README' ? $text =~ /^--- begin configuration ---\n(.*?)^--- end configuration ---/gms
        : $name =~ /\.conf$/ ? ($before{$name} // '') . $text
        : $text =~ /^```apache\n(.*?)^```/gms;
    for my $block (@blocks) {
        ++$number;
        # Files and ports of a real machine, as far as this one has others
        $block =~ s/^(\s*SSLCertificateFile\s+).*/$1$root\/cert.pem/gm;
        $block =~ s/^(\s*SSLCertificateKeyFile\s+).*/$1$root\/key.pem/gm;
        $block =~ s/^(\s*SSLProxyCACertificateFile\s+).*/$1$root\/cert.pem/gm;
        $block =~ s/^(\s*(?:UsherStickyKeys|UsherRegisterSealKeys)\s+).*/$1$root\/usher.keys/gm;
        $block =~ s/^(\s*(?:UsherRegisterKeys|Define tomcat_keys)\s+)(?!\$).*/$1$root\/register.keys/gm;
        $block =~ s/^(\s*(?:UsherRegisterSecret \w+|Define tomcat_ajp_secret)\s+)(?!\$).*/$1$root\/secret/gm;
        $block =~ s/^(\s*LoadModule \w+ )\/usr\/lib\/apache2\/modules\//$1modules\//gm;
        $block =~ s/^(\s*(?:UsherGeoDatabase|MaxMindDBFile)\s+\S+\s+)\S+-ASN\.mmdb/$1$root\/networks.mmdb/gm;
        $block =~ s/^(\s*(?:UsherGeoDatabase|MaxMindDBFile)\s+\S+\s+)(?!\Q$root\E)\S+/$1$root\/places.mmdb/gm;
        $block =~ s/^(\s*UsherBanList\s+\S+\s+)\S+/$1$root\/prefixes.txt/gm;
        $block =~ s/^(\s*UsherBanExport\s+")[^"\s]+/$1\/bin\/true/gm;
        $block =~ s/^(\s*UsherStore\s+dbd:(\w+):).*/$1$root\/store.$2/gm;
        $block =~ s/^(\s*(?:CustomLog|ErrorLog|UsherTLSLog|UsherBanLog)\s+)"?[^"\s|]+"?/$1"$root\/logs\/shown"/gm;
        $block =~ s/^\s*DocumentRoot.*\n//gm;
        $block =~ s/^(\s*Define usher_modules ).*/$1$root\/modules/gm;
        $httpd->conf($block);
        my ($code, $out) = $httpd->configtest;
        is $code, 0, "$name: configuration $number passes httpd -t" or diag $out;
        # The frame has loaded what the configuration loads again.
        my @warnings = grep { /:(?:warn|error)\]/ && !/already loaded, skipping/ } split /\n/, $out;
        is_deeply \@warnings, [], "$name: configuration $number gives no warning";
        ++$shown;
    }
}
cmp_ok $shown, '>=', 3, "$shown configurations shown";

for my $page ("$src/README", @pages) {
    my $text = slurp($page);
    my @links = grep { !/^(?:https?:|#)/ } $text =~ /\]\(([^)\s]+)\)/g;
    my @missing = grep { my $file = s/#.*//r; !-e dirname($page) . "/$file" } @links;
    is_deeply \@missing, [], substr($page, length "$src/") . ': its links lead somewhere';
}
done_testing;
