# A small certificate authority for tests: made once per build directory, with
# the openssl command, in t/work/certs. EC keys, as those are cheap to make.
#   my $certs = Usher::Certs->new;
#   $certs->ca               the CA's certificate;  $certs->otherca: another one's
#   $certs->cert('good')     a certificate (with its chain, where it has one), PEM
#   $certs->key('good')      its key;  $certs->pair('good'): both in one file
#   $certs->pkcs12('good')   the same for Java ("good" and "rsa"), the password is "usher"
#   $certs->crl              the CA's list of revoked certificates
# Which certificates there are: see %certs.
package Usher::Certs;

use strict;
use warnings FATAL => 'all';

use Fcntl qw(LOCK_EX);
use File::Path qw(make_path remove_tree);
use Usher::Env ();

# A change of what is made below needs another number: then all are made anew.
my $version = 3;
# mod_ssl compares an address with the common name only.
my $here = 'DNS:localhost,IP:127.0.0.1,IP:::1';
# cn, san (none: no subjectAltName), issuer (default "ca"), use (default serverAuth)
my %certs = (
    good        => { cn => '127.0.0.1',         san => "$here,DNS:good.test,DNS:*.wild.test" },
    good2       => { cn => '127.0.0.1',         san => $here },
    named       => { cn => 'named.test',        san => 'DNS:named.test' },
    cn          => { cn => '127.0.0.1' },
    wrong       => { cn => 'elsewhere.example', san => 'DNS:elsewhere.example' },
    expired     => { cn => '127.0.0.1',         san => $here, from => '200101000000Z', to => '210101000000Z' },
    future      => { cn => '127.0.0.1',         san => $here, from => '400101000000Z', to => '490101000000Z' },
    revoked     => { cn => '127.0.0.1',         san => $here },
    rsa         => { cn => '127.0.0.1',         san => $here, rsa => 1 },
    other       => { cn => '127.0.0.1',         san => $here, issuer => 'otherca' },
    selfsigned  => { cn => '127.0.0.1',         san => $here, issuer => 'selfsigned' },
    # By an intermediate CA; "unchained" does not send that one's certificate.
    chained     => { cn => '127.0.0.1',         san => $here, issuer => 'middle', chain => 1 },
    unchained   => { cn => '127.0.0.1',         san => $here, issuer => 'middle' },
    client      => { cn => 'proxy.test',        use => 'clientAuth' },
    client2     => { cn => 'proxy2.test',       use => 'clientAuth' },
    chainclient => { cn => 'chained.test',      use => 'clientAuth', issuer => 'middle', chain => 1 },
    expiredclient => { cn => 'proxy.test',      use => 'clientAuth', from => '200101000000Z', to => '210101000000Z' },
    otherclient => { cn => 'proxy.test',        use => 'clientAuth', issuer => 'otherca' },
);

sub new {
    my ($class) = @_;
    my $work = Usher::Env::builddir() . '/t/work';
    my $self = bless { dir => "$work/certs" }, $class;

    make_path($work);
    open my $lock, '>', "$self->{dir}.lock" or die "$self->{dir}.lock: $!\n";
    flock $lock, LOCK_EX or die "$self->{dir}.lock: $!\n";
    $self->_make unless -e "$self->{dir}/done-$version";
    return $self;
}

sub ca      { return "$_[0]{dir}/ca.pem" }
sub otherca { return "$_[0]{dir}/otherca.pem" }
sub crl     { return "$_[0]{dir}/crl.pem" }
sub cert    { return $_[0]->_file($_[1], 'pem') }
sub key     { return $_[0]->_file($_[1], 'key') }
sub pair    { return $_[0]->_file($_[1], 'pair') }
sub pkcs12  { return $_[0]->_file($_[1], 'p12') }

sub _file {
    my ($self, $name, $kind) = @_;

    die "no such certificate: $name\n" unless $certs{$name};
    return "$self->{dir}/$name.$kind";
}

# ---- making them

sub _make {
    my ($self) = @_;
    my $dir = $self->{dir};
    my $umask = umask 022;

    remove_tree($dir);
    make_path("$dir/new");
    for my $name ('ca', 'otherca') {
        $self->_key($name);
        $self->_self_signed($name, "/CN=Usher test $name", 'ca');
        _write("$dir/$name.index", '');
        _write("$dir/$name.conf", _ca_conf($dir, $name));
    }
    $self->_sign('middle', { cn => 'Usher test middle', issuer => 'ca', extensions => 'middle' });
    _write("$dir/middle.index", '');
    _write("$dir/middle.conf", _ca_conf($dir, 'middle'));
    $self->_leaf($_, $certs{$_}) for sort keys %certs;
    _openssl('ca', '-config', "$dir/ca.conf", '-revoke', "$dir/revoked.pem");
    _openssl('ca', '-config', "$dir/ca.conf", '-gencrl', '-crldays', 36500, '-out', "$dir/crl.pem");
    remove_tree("$dir/new");
    unlink glob "'$dir'/*.csr '$dir'/*.old '$dir'/*.attr";
    _write("$dir/done-$version", '');
    umask $umask;
    return;
}

sub _leaf {
    my ($self, $name, $cert) = @_;
    my $dir = $self->{dir};

    if (($cert->{issuer} // '') eq $name) {
        $self->_key($name);
        $self->_self_signed($name, "/CN=$cert->{cn}", 'leaf', $cert->{san});
    } else {
        $self->_sign($name, $cert);
    }
    _write("$dir/$name.pem", _read("$dir/$name.pem") . _read("$dir/$cert->{issuer}.pem")) if $cert->{chain};
    my $umask = umask 077;
    _write("$dir/$name.pair", _read("$dir/$name.pem") . _read("$dir/$name.key"));
    _openssl('pkcs12', '-export', '-in', "$dir/$name.pem", '-inkey', "$dir/$name.key", '-out', "$dir/$name.p12",
        '-passout', 'pass:usher', '-name', $name) if $cert->{rsa} || $name eq 'good';
    umask $umask;
    return;
}

# In the older format, as that is what SSLProxyMachineCertificateFile takes.
sub _key {
    my ($self, $name, $rsa) = @_;
    my $umask = umask 077;

    _openssl($rsa ? ('genrsa', '-traditional', '-out', "$self->{dir}/$name.key", 2048)
        : ('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', "$self->{dir}/$name.key"));
    umask $umask;
    return;
}

sub _self_signed {
    my ($self, $name, $subject, $extensions, $san) = @_;
    my $dir = $self->{dir};

    _write("$dir/req.conf", _extensions($san));
    return _openssl('req', '-x509', '-new', '-config', "$dir/req.conf", '-extensions', $extensions, '-days', 36500,
        '-key', "$dir/$name.key", '-subj', $subject, '-out', "$dir/$name.pem");
}

# "openssl ca" is the one that can make certificates of the past and the
# future in all releases of OpenSSL.
sub _sign {
    my ($self, $name, $cert) = @_;
    my $dir = $self->{dir};
    my $issuer = $cert->{issuer} // 'ca';

    $self->_key($name, $cert->{rsa});
    _write("$dir/req.conf", _extensions($cert->{san}, $cert->{use}));
    _openssl('req', '-new', '-config', "$dir/req.conf", '-key', "$dir/$name.key", '-subj', "/CN=$cert->{cn}",
        '-out', "$dir/$name.csr");
    return _openssl('ca', '-batch', '-notext', '-config', "$dir/$issuer.conf", '-extfile', "$dir/req.conf",
        '-extensions', $cert->{extensions} // 'leaf', '-startdate', $cert->{from} // '200101000000Z',
        '-enddate', $cert->{to} // '491231235959Z', '-in', "$dir/$name.csr", '-out', "$dir/$name.pem");
}

sub _extensions {
    my ($san, $use) = @_;
    my $names = $san ? "subjectAltName = $san" : '';

    $use //= 'serverAuth';
    return <<"EOT";
[req]
distinguished_name = name
prompt = no
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[middle]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = $use
$names
EOT
}

sub _ca_conf {
    my ($dir, $name) = @_;

    return <<"EOT";
[ca]
default_ca = this
[this]
certificate = $dir/$name.pem
private_key = $dir/$name.key
database = $dir/$name.index
new_certs_dir = $dir/new
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = supplied
EOT
}

sub _write {
    my ($file, $text) = @_;

    open my $fh, '>', $file or die "$file: $!\n";
    print $fh $text;
    return close $fh;
}

sub _read {
    my ($file) = @_;

    open my $fh, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$fh>;
}

# Its messages are only of interest where it fails.
sub _openssl {
    my @command = ('openssl', @_);
    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        delete @ENV{qw(LD_PRELOAD OPENSSL_CONF)};
        exec @command or die "openssl: $!\n";
    }
    my @lines = <$out>;
    close $out or die "@command\n", @lines;
    return;
}

1;
