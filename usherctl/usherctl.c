/* usherctl, the command for administrators: which subcommand is meant. */
#include <stdio.h>
#include <string.h>

#include "usherctl.h"

static const ctl_command_t *const commands[] = {
    &ctl_bans, &ctl_from_jk, &ctl_keys, &ctl_log, &ctl_members, &ctl_register_key, &ctl_tls,
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
    apr_size_t i;

    fputs("usage: usherctl command [options] [files]\n\n", to);
    for (i = 0; i < COMMANDS; ++i) {
        fprintf(to, "    %-12s %s\n", commands[i]->name, commands[i]->summary);
    }
    fputs("\nusherctl command --help tells of one of them, usherctl --version which\n"
          "release this is.\n",
          to);
}

static int asked(int argc, const char *const *argv, const char *option, const char *letter)
{
    return argc > 0 && (!strcmp(argv[0], option) || !strcmp(argv[0], letter));
}

static int run(apr_pool_t *p, int argc, const char *const *argv)
{
    apr_size_t i;

    if (asked(argc, argv, "--help", "-h")) {
        usage(stdout);
        return CTL_DONE;
    }
    if (asked(argc, argv, "--version", "-V")) {
        puts("usherctl " USHERCTL_VERSION);
        return CTL_DONE;
    }
    for (i = 0; argc > 0 && i < COMMANDS; ++i) {
        if (strcmp(argv[0], commands[i]->name)) {
            continue;
        }
        if (asked(argc - 1, argv + 1, "--help", "-h")) {
            fputs(commands[i]->help, stdout);
            return CTL_DONE;
        }
        return commands[i]->run(p, argc - 1, argv + 1);
    }
    if (argc > 0) {
        fprintf(stderr, "usherctl: no command \"%s\"\n\n", ctl_harmless(p, argv[0]));
    }
    usage(stderr);
    return CTL_USAGE;
}

int main(int argc, const char *const *argv)
{
    apr_pool_t *pool;
    int code;

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        fputs("usherctl: no memory\n", stderr);
        return CTL_FAILED;
    }
    code = run(pool, argc - 1, argv + 1);
    /* Also what is still in stdio's buffer has to have arrived. */
    if (fflush(stdout) || ferror(stdout)) {
        perror("usherctl: standard output");
        code = CTL_FAILED;
    }
    apr_terminate();
    return code;
}
