/* usherctl members: shows the members of a running httpd's clusters, and switches them. */
#include <apr_escape.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ctl_fetch.h"
#include "usher_status_text.h"

#define URL_DEFAULT "http://127.0.0.1/usher-status"

static const char help[] =
    "usage: usherctl members [options] [list]\n"
    "       usherctl members [options] drain|enable|off CLUSTER MEMBER\n"
    "       usherctl members [options] weight CLUSTER MEMBER 0..100|default\n"
    "\n"
    "Shows all members of a running httpd, or switches one, by its handler usher-status.\n"
    "CLUSTER is a name (app, balancer://app, app@www.example.com) or an id, MEMBER a\n"
    "route, a URL or an id.\n"
    "\n"
    "    -u, --url URL           of the handler [" URL_DEFAULT "]\n"
    "    -s, --unix-socket PATH  of httpd, in place of the URL's host\n"
    "    -n, --user NAME         log in; the password is asked for\n"
    "    -p, --password FILE     it is the first line of this file\n"
    "    -k, --insecure          any certificate will do\n"
    "    -j, --json              print JSON\n"
    "    -h, --help              this text\n"
    "\n"
    "Exit code: 0 done, 1 httpd cannot be asked or has refused it, 2 wrong usage.\n"
    "docs/usherctl.md tells more.\n";

static const apr_getopt_option_t options[] = {
    CTL_FETCH_OPTIONS,
    { "json", 'j', 0, NULL },
    { "help", 'h', 0, NULL },
    { NULL, 0, 0, NULL },
};

typedef struct {
    ctl_fetch_t from;
    int json;
    int argc; /* of what is to be done */
    const char *const *argv;
} members_t;

static void members_option(void *baton, int letter, const char *value)
{
    members_t *asked = baton;

    if (!ctl_fetch_option(&asked->from, letter, value)) {
        asked->json = 1;
    }
}

/* Whether what is to be done is complete. */
static int members_makes_sense(const members_t *asked)
{
    static const struct {
        const char *action;
        int argc;
    } actions[] = { { "list", 1 }, { "drain", 3 }, { "enable", 3 }, { "off", 3 }, { "weight", 4 } };
    apr_size_t i;

    for (i = 0; asked->argc && i < sizeof(actions) / sizeof(actions[0]); ++i) {
        if (!strcmp(asked->argv[0], actions[i].action)) {
            return asked->argc == actions[i].argc;
        }
    }
    return !asked->argc;
}

/* One request. @return NULL: there was no JSON, and it is told */
static json_t *members_ask(apr_pool_t *p, const members_t *asked, const ctl_request_t *request,
                           long *status)
{
    const char *body;
    json_t *answer;

    *status = ctl_fetch(p, &asked->from, request, &body);
    if (!*status) {
        return NULL;
    }
    answer = json_loads(body, 0, NULL);
    if (!json_is_object(answer)) {
        fprintf(stderr, "usherctl: %s answered %ld, and that is not the status of Usher%s\n",
                ctl_harmless(p, asked->from.url), *status,
                *status == 401 ? ": log in with --user"
                : *status == 403 ? ": it does not let you in (Require)"
                : *status == 404 ? ": name its place with --url" : "");
        json_decref(answer);
        return NULL;
    }
    return answer;
}

static int members_show(apr_pool_t *p, const members_t *asked, json_t *answer, long status)
{
    int failed = status != 200;

    json_object_del(answer, "token");
    if (asked->json) {
        json_dumpf(answer, stdout, JSON_INDENT(1) | JSON_ENSURE_ASCII | USHER_STATUS_DIGITS);
        putchar('\n');
    }
    else {
        fputs(usher_status_text(p, answer), failed ? stderr : stdout);
    }
    return failed ? CTL_FAILED : CTL_DONE;
}

/* What the server gave as its token is a value as the others are. */
static const char *members_form(apr_pool_t *p, const members_t *asked, const json_t *status)
{
    const char *token = json_string_value(json_object_get(status, "token"));

    return apr_pstrcat(p, "action=", asked->argv[0],
                       "&cluster=", apr_pescape_urlencoded(p, asked->argv[1]),
                       "&member=", apr_pescape_urlencoded(p, asked->argv[2]),
                       "&value=", asked->argc > 3 ? apr_pescape_urlencoded(p, asked->argv[3]) : "",
                       "&token=", apr_pescape_urlencoded(p, token ? token : ""), NULL);
}

static int members_do(apr_pool_t *p, const members_t *asked)
{
    long status;
    json_t *answer = members_ask(p, asked, NULL, &status);
    int code = CTL_FAILED;

    if (answer && asked->argc > 1 && status == 200) {
        ctl_request_t change = { .method = "POST", .body = members_form(p, asked, answer) };

        json_decref(answer);
        answer = members_ask(p, asked, &change, &status);
    }
    if (answer) {
        code = members_show(p, asked, answer, status);
    }
    json_decref(answer);
    return code;
}

static int members_run(apr_pool_t *p, int argc, const char *const *argv)
{
    members_t asked = { .from = { .url = URL_DEFAULT }, .argc = argc, .argv = argv };
    int code = ctl_options(p, &ctl_members, options, members_option, &asked, &asked.argc,
                           &asked.argv);

    if (code >= 0) {
        return code;
    }
    code = members_makes_sense(&asked) ? ctl_fetch_ready(p, &asked.from) : CTL_USAGE;
    if (code == CTL_USAGE) {
        fputs(help, stderr);
    }
    return code == CTL_DONE ? members_do(p, &asked) : code;
}

const ctl_command_t ctl_members = {
    "members", "shows the members of clusters, and drains or switches them", help, members_run
};
