# What the client gets, and how often a member is asked, whatever breaks between
# httpd and members that speak TLS, the handshake included: Usher::Faults::Test
# has the whole of it.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Usher::Faults::Test;

faults_test('https');
done_testing;
