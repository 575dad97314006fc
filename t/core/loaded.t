# On the shared server, with all of httpd's modules that the tests use: loading
# Usher answers no request and changes no answer.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Apache::TestRequest qw(GET);
use Usher::Httpd ();
use Usher::LogWatch ();

plan tests => 4, need_module('usher');

my $log = Usher::LogWatch->new(Apache::Test::vars('t_logs') . '/error_log');

# The headers that do not tell time, port or file.
sub shown {
    my ($response) = @_;

    return { map { $_ => scalar $response->header($_) } grep { !/^(?:Date|Last-Modified|ETag|Client-.*|Content-.*)$/i }
        $response->header_field_names };
}

my $with = GET '/index.html';
is $with->code, 200, 'a file is served';
is GET('/usher-status')->code, 404, 'no address is taken';

my $stock = Usher::Httpd->new(usher => [], conf => 'ServerTokens Full');
$stock->start or die $stock->console;
my $without = GET $stock->url('/index.html');
my ($shown, $plain) = (shown($with), shown($without));
# The shared server has more of httpd's own modules, which sign here.
delete @$_{qw(Server)} for $shown, $plain;
is_deeply $shown, $plain, 'with the same headers as without Usher';

$log->finish('and nothing is logged that alarms');
