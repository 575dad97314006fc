/* usherctl keys: makes and changes key files. */
#include <apr_getopt.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys.h"

static const char help[] =
    "usage: usherctl keys create [--group GROUP] FILE\n"
    "       usherctl keys list FILE\n"
    "       usherctl keys rotate [--keep N] FILE\n"
    "       usherctl keys add FILE\n"
    "       usherctl keys promote FILE ID\n"
    "       usherctl keys remove FILE ID\n"
    "\n"
    "Makes and changes the file that UsherStickyKeys names. Its first key seals\n"
    "sticky cookies, all of them open cookies. No command ever prints a key.\n"
    "\n"
    "    create   a new file with one key, which its owner alone can read\n"
    "    list     the ids of its keys, and what each is for\n"
    "    rotate   a new key seals; at most N keys stay, 3 if it is not said\n"
    "    add      a new key that only opens, for now\n"
    "    promote  the key of this id seals from now on\n"
    "    remove   takes the key of this id out\n"
    "\n"
    "    -g, --group GROUP   this group may read the new file as well\n"
    "    -k, --keep N        1 to 64\n"
    "    -h, --help          this text\n"
    "\n"
    "With several nodes: add, copy the file to all of them, and promote and copy\n"
    "again when all have it.\n"
    "\n"
    "Exit code: 0 done, 1 the file is as it was, 2 wrong usage. docs/usherctl.md\n"
    "tells more.\n";

static const apr_getopt_option_t options[] = {
    { "group", 'g', 1, NULL },
    { "keep", 'k', 1, NULL },
    { "help", 'h', 0, NULL },
    { NULL, 0, 0, NULL },
};

#define KEEP 3

/* What was asked for. */
typedef struct {
    const char *path;
    const char *id;
    const char *group;
    const char *keep;
} keys_asked_t;

typedef struct {
    const char *name;
    int takes_id;
    const char *option; /* the one that it has */
    int (*run)(apr_pool_t *p, keys_text_t *text, const keys_asked_t *asked);
} keys_verb_t;

int keys_fails(apr_pool_t *p, const char *path, const char *format, ...)
{
    va_list args;
    const char *what;

    va_start(args, format);
    what = apr_pvsprintf(p, format, args);
    va_end(args);
    fprintf(stderr, "usherctl keys: %s: %s\n", ctl_harmless(p, path), ctl_harmless(p, what));
    return CTL_FAILED;
}

static int keys_create(apr_pool_t *p, keys_text_t *text, const keys_asked_t *asked)
{
    struct group *group = asked->group ? getgrnam(asked->group) : NULL;

    if (asked->group && !group) {
        return keys_fails(p, asked->path, "there is no group \"%s\"", asked->group);
    }
    keys_text_begin(text, asked->path);
    return keys_text_add(p, text, 0) == CTL_DONE
               ? keys_write_new(p, text, group ? group->gr_gid : (gid_t)-1) : CTL_FAILED;
}

static int keys_list(apr_pool_t *p, keys_text_t *text, const keys_asked_t *asked)
{
    int i;

    for (i = 0; i < text->ring.count; ++i) {
        printf("%08x %s\n", text->ring.keys[i].id, i ? "opens" : "seals and opens");
    }
    return CTL_DONE;
}

static int keys_rotate(apr_pool_t *p, keys_text_t *text, const keys_asked_t *asked)
{
    char *end = NULL;
    long keep = asked->keep ? strtol(asked->keep, &end, 10) : KEEP;

    if (keep < 1 || keep > USHER_KEYS_MAX || (end && *end)) {
        fprintf(stderr, "usherctl keys: --keep takes 1 to %d\n", USHER_KEYS_MAX);
        return CTL_USAGE;
    }
    while (text->ring.count > 1 && text->ring.count >= keep) {
        if (keys_text_remove(p, text, text->ring.count - 1) != CTL_DONE) {
            return CTL_FAILED;
        }
    }
    if (keys_text_add(p, text, 0) != CTL_DONE
        || (keep == 1 && keys_text_remove(p, text, 1) != CTL_DONE)) {
        return CTL_FAILED;
    }
    return keys_write_again(p, text);
}

static int keys_add(apr_pool_t *p, keys_text_t *text, const keys_asked_t *asked)
{
    return keys_text_add(p, text, text->ring.count) == CTL_DONE ? keys_write_again(p, text)
                                                                : CTL_FAILED;
}

/* The key's index; -1 after it said that there is none. */
static int keys_find(apr_pool_t *p, const keys_text_t *text, const char *id)
{
    char *end;
    unsigned long number = strtoul(id, &end, 16);
    int i;

    for (i = 0; strlen(id) == 8 && !*end && i < text->ring.count; ++i) {
        if (text->ring.keys[i].id == number) {
            return i;
        }
    }
    keys_fails(p, text->path, "has no key \"%s\": \"usherctl keys list\" tells which it has", id);
    return -1;
}

static int keys_promote(apr_pool_t *p, keys_text_t *text, const keys_asked_t *asked)
{
    int i = keys_find(p, text, asked->id);

    return i >= 0 && keys_text_promote(p, text, i) == CTL_DONE ? keys_write_again(p, text)
                                                               : CTL_FAILED;
}

static int keys_remove(apr_pool_t *p, keys_text_t *text, const keys_asked_t *asked)
{
    int i = keys_find(p, text, asked->id);

    if (i >= 0 && text->ring.count == 1) {
        return keys_fails(p, text->path, "this is its only key: \"usherctl keys rotate\" gives "
                          "it another one");
    }
    return i >= 0 && keys_text_remove(p, text, i) == CTL_DONE ? keys_write_again(p, text)
                                                              : CTL_FAILED;
}

static const keys_verb_t verbs[] = {
    { "create", 0, "group", keys_create },   { "list", 0, NULL, keys_list },
    { "rotate", 0, "keep", keys_rotate },    { "add", 0, NULL, keys_add },
    { "promote", 1, NULL, keys_promote },    { "remove", 1, NULL, keys_remove },
};

static const keys_verb_t *keys_verb(const char *name)
{
    apr_size_t i;

    for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); ++i) {
        if (!strcmp(verbs[i].name, name)) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* Options stand anywhere behind the verb. CTL_DONE: --help; -1: go on */
static int keys_options(apr_pool_t *p, const keys_verb_t *verb, keys_asked_t *asked, int argc,
                        const char *const *argv)
{
    const char **all = apr_pmemdup(p, argv, sizeof(*all) * ((apr_size_t)argc + 1));
    apr_getopt_t *os;
    const char *value;
    apr_status_t rv;
    int letter, wrong = 0;

    all[0] = "usherctl keys";
    apr_getopt_init(&os, p, argc, all);
    os->interleave = 1;
    while ((rv = apr_getopt_long(os, options, &letter, &value)) == APR_SUCCESS) {
        if (letter == 'h') {
            fputs(help, stdout);
            return CTL_DONE;
        }
        wrong |= !verb->option || *verb->option != letter;
        *(letter == 'g' ? &asked->group : &asked->keep) = value;
    }
    if (!APR_STATUS_IS_EOF(rv) || wrong || argc - os->ind != 1 + verb->takes_id) {
        fputs(help, stderr);
        return CTL_USAGE;
    }
    asked->path = os->argv[os->ind];
    asked->id = verb->takes_id ? os->argv[os->ind + 1] : NULL;
    return -1;
}

static int keys_run(apr_pool_t *p, int argc, const char *const *argv)
{
    const keys_verb_t *verb = argc > 0 ? keys_verb(argv[0]) : NULL;
    keys_asked_t asked = { NULL, NULL, NULL, NULL };
    keys_text_t text;
    int code;

    if (!verb) {
        fputs(help, stderr);
        return CTL_USAGE;
    }
    code = keys_options(p, verb, &asked, argc, argv);
    if (code >= 0) {
        return code;
    }
    code = verb->run == keys_create ? CTL_DONE : keys_text_read(p, &text, asked.path);
    if (code == CTL_DONE) {
        code = verb->run(p, &text, &asked);
    }
    keys_text_wipe(&text);
    return code;
}

const ctl_command_t ctl_keys = {
    .name = "keys",
    .summary = "makes and changes the keys of sticky cookies",
    .help = help,
    .run = keys_run,
};
