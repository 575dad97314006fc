/* The commands that ask a running httpd, where a library that they need was not there when
 * usherctl was built. */
#include <stdio.h>

#include "usherctl.h"

static const char summary[] = "not in this build: it needs libcurl and jansson";

static const char help[] =
    "usherctl was built without libcurl or jansson, which this command needs: install\n"
    "their headers (Debian: libcurl4-openssl-dev libjansson-dev) and build it again, or\n"
    "ask httpd with curl (docs/mod_usher_status.md, docs/mod_usher_ban.md).\n";

static int absent_run(apr_pool_t *p, int argc, const char *const *argv)
{
    fputs(help, stderr);
    return CTL_FAILED;
}

const ctl_command_t ctl_bans = { "bans", summary, help, absent_run };
const ctl_command_t ctl_members = { "members", summary, help, absent_run };
