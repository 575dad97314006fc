# A certificate authority of a test's own: Debian's pebble, its name server (which says 127.0.0.1
# to every name), and certbot as its client. Ends with the object.
package Usher::ACME;

use strict;
use warnings FATAL => 'all';

use parent 'Usher::Process';
use File::Path qw(make_path remove_tree);
use Usher::Env ();
use Usher::Wait;

# new(http_port => N): where the authority asks for challenges.
sub new {
    my ($class, %opt) = @_;
    my $root = Usher::Env::builddir() . "/t/work/acme-$$";
    my $self = bless { %opt, root => $root, owner => $$, port => free_port() }, $class;
    my ($dns, $manage) = (free_port(), free_port());

    remove_tree($root);
    make_path($root);
    system "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        . " -addext 'subjectAltName=DNS:localhost' -keyout '$root/key.pem' -out '$root/cert.pem' 2>/dev/null";
    open my $fh, '>', "$root/pebble.json" or die "$root/pebble.json: $!";
    print $fh qq({"pebble":{"listenAddress":"127.0.0.1:$self->{port}","managementListenAddress":"127.0.0.1:$manage",)
        . qq("certificate":"$root/cert.pem","privateKey":"$root/key.pem",)
        . qq("httpPort":$opt{http_port},"tlsPort":$opt{http_port},"ocspResponderURL":""}}\n);
    close $fh;
    $self->{names} = Usher::ACME::Names->new($root, $dns);
    $self->{pid} = _spawn("$root/pebble.log", 'pebble', '-config', "$root/pebble.json", '-dnsserver', "127.0.0.1:$dns");
    wait_until { port_answers($self->{port}) } 30 or die "pebble does not answer: $root/pebble.log\n";
    return $self;
}

sub _spawn {
    my ($log, @command) = @_;
    my $pid = fork // die "fork: $!";

    return $pid if $pid;
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', $log;
    open STDERR, '>&', \*STDOUT;
    # No pauses, and no nonces that are refused for practice.
    @ENV{qw(PEBBLE_VA_NOSLEEP PEBBLE_WFE_NONCEREJECT)} = (1, 0);
    exec @command or POSIX::_exit(127);
}

# certbot(webroot, @arguments): (exit code, what it said).
sub certbot {
    my ($self, $webroot, @arguments) = @_;
    my $root = $self->{root};
    local $ENV{REQUESTS_CA_BUNDLE} = "$root/cert.pem";
    my $command = join ' ', 'certbot', @arguments, '-n --agree-tos --register-unsafely-without-email',
        "--server https://localhost:$self->{port}/dir --webroot -w '$webroot'",
        map { "--$_-dir '$root/$_'" } qw(config work logs);
    my $said = qx($command 2>&1);

    return ($? >> 8, $said);
}

# Of the certificate for a name: its serial number, '' where there is none.
sub serial {
    my ($self, $name) = @_;
    my $file = "$self->{root}/config/live/$name/cert.pem";

    return -e $file ? qx(openssl x509 -noout -serial -in '$file') : '';
}

package Usher::ACME::Names;

use parent -norequire, 'Usher::Process';

sub new {
    my ($class, $root, $port) = @_;

    return bless { root => "$root/names", owner => $$, pid => Usher::ACME::_spawn("$root/names.log",
        'pebble-challtestsrv', '-dns01', "127.0.0.1:$port", '-defaultIPv6', '', '-http01', '', '-https01', '',
        '-tlsalpn01', '', '-management', '127.0.0.1:' . Usher::Wait::free_port()) }, $class;
}

1;
