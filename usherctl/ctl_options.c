/* The options of a subcommand, and the words that it takes. */
#include <stdio.h>
#include <string.h>

#include "usherctl.h"

int ctl_options(apr_pool_t *p, const ctl_command_t *command, const apr_getopt_option_t *options,
                ctl_take_t *take, void *baton, int *argc, const char *const **argv)
{
    const char **all = apr_pcalloc(p, sizeof(*all) * ((apr_size_t)*argc + 2));
    apr_getopt_t *os;
    const char *value;
    apr_status_t rv;
    int letter;

    all[0] = apr_pstrcat(p, "usherctl ", command->name, NULL);
    memcpy(all + 1, *argv, sizeof(*all) * (apr_size_t)*argc);
    apr_getopt_init(&os, p, *argc + 1, all);
    os->interleave = 1;
    while ((rv = apr_getopt_long(os, options, &letter, &value)) == APR_SUCCESS) {
        if (letter == 'h') {
            fputs(command->help, stdout);
            return CTL_DONE;
        }
        take(baton, letter, value);
    }
    *argc = *argc + 1 - os->ind;
    *argv = os->argv + os->ind;
    return APR_STATUS_IS_EOF(rv) ? -1 : CTL_USAGE;
}
