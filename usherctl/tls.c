/* usherctl tls: which of its verbs is meant. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tls.h"
#include "usher_number.h"

static const char help[] =
    "usage: usherctl tls report [options] [FILE ...]\n"
    "       usherctl tls show [options]\n"
    "       usherctl tls what-if [options] DIRECTIVE ...\n"
    "\n"
    "    report    who connects how: tables of log files\n"
    "    show      the same from the statistics of mod_usher_tls\n"
    "    what-if   whom other settings of TLS would cut off\n"
    "\n"
    "usherctl tls report --help tells of the first, and so on. Exit code: 0 done, 1 failed, 2 wrong usage.\n"
    "docs/usherctl.md tells more.\n";

static const struct {
    const char *name;
    int (*run)(apr_pool_t *p, int argc, const char *const *argv);
} verbs[] = {
    { "report", tls_report },
    { "show", tls_show },
    { "what-if", tls_what_if },
};

int tls_fails(apr_pool_t *p, const char *format, ...)
{
    va_list args;
    const char *what;

    va_start(args, format);
    what = apr_pvsprintf(p, format, args);
    va_end(args);
    fprintf(stderr, "usherctl tls: %s\n", ctl_harmless(p, what));
    return CTL_FAILED;
}

int tls_option_number(int *number, int min, int max, const char *value)
{
    apr_size_t len = strlen(value);
    apr_uint64_t got = 0;

    if (!len || usher_number_parse(&got, (apr_uint64_t)max, value, len) != len
        || got < (apr_uint64_t)min) {
        return 0;
    }
    *number = (int)got;
    return 1;
}

int tls_wrong_value(apr_pool_t *p, const apr_getopt_option_t *options, int letter,
                    const char *value, const char *help_text)
{
    while (options->name && options->optch != letter) {
        ++options;
    }
    fprintf(stderr, "usherctl tls: \"%s\" is no value of --%s\n\n%s", ctl_harmless(p, value),
            options->name, help_text);
    return CTL_USAGE;
}

static int tls_run(apr_pool_t *p, int argc, const char *const *argv)
{
    apr_size_t i;

    for (i = 0; argc > 0 && i < sizeof(verbs) / sizeof(verbs[0]); ++i) {
        if (!strcmp(argv[0], verbs[i].name)) {
            return verbs[i].run(p, argc, argv);
        }
    }
    fputs(help, stderr);
    return CTL_USAGE;
}

const ctl_command_t ctl_tls = {
    .name = "tls",
    .summary = "tells which TLS versions and ciphers clients use, and whom a change cuts off",
    .help = help,
    .run = tls_run,
};
