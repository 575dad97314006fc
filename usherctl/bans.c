/* usherctl bans: shows whom a running httpd turns away, bans, frees, and explains. */
#include <apr_escape.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bans.h"
#include "ctl_fetch.h"
#include "ctl_sign.h"
#include "usher_cidr.h"

#define URL_DEFAULT "http://127.0.0.1/usher-ban"

static const char help[] =
    "usage: usherctl bans [options] [list [PREFIX]]\n"
    "       usherctl bans [options] explain ADDRESS|PREFIX\n"
    "       usherctl bans [options] --key FILE:KEYID add ADDRESS|PREFIX TIME|forever [WHY]\n"
    "       usherctl bans [options] --key FILE:KEYID remove ADDRESS|PREFIX\n"
    "\n"
    "Shows all bans of a running httpd, tells why an address is turned away or why it is\n"
    "not, bans and frees by hand, by its handler usher-ban. TIME is 30m, 12h, 7d.\n"
    "\n"
    "    -K, --key FILE:KEYID    sign with this key of UsherRegisterKeys\n"
    "    -a, --all               list: bans that are over, too, as long as they are known\n"
    "    -l, --limit N           list: so many, 0 for all [1000]\n"
    "    -r, --rule NAME         list: only of this rule, or by this hand\n"
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
    { "key", 'K', 1, NULL },
    { "all", 'a', 0, NULL },
    { "limit", 'l', 1, NULL },
    { "rule", 'r', 1, NULL },
    { "json", 'j', 0, NULL },
    { "help", 'h', 0, NULL },
    { NULL, 0, 0, NULL },
};

typedef struct {
    ctl_fetch_t from;
    const char *key, *limit, *rule;
    int all, json;
    int argc; /* of what is to be done */
    const char *const *argv;
} bans_t;

/* What may be done. */
typedef struct {
    const char *name;
    const char *method;
    int least, most; /* words, its own name among them */
    void (*print)(apr_pool_t *p, const json_t *answer);
} bans_action_t;

static const bans_action_t actions[] = {
    { "list", "GET", 1, 2, bans_print_list },
    { "explain", "GET", 2, 2, bans_print_one },
    { "add", "PUT", 3, 4, bans_print_one },
    { "remove", "DELETE", 2, 2, bans_print_one },
};
#define ACTIONS (sizeof(actions) / sizeof(actions[0]))

static void bans_option(void *baton, int letter, const char *value)
{
    bans_t *asked = baton;

    switch (letter) {
    case 'K':
        asked->key = value;
        break;
    case 'a':
        asked->all = 1;
        break;
    case 'l':
        asked->limit = value;
        break;
    case 'r':
        asked->rule = value;
        break;
    case 'j':
        asked->json = 1;
        break;
    default:
        ctl_fetch_option(&asked->from, letter, value);
    }
}

/* NULL: what is to be done is not complete. */
static const bans_action_t *bans_action(const bans_t *asked)
{
    apr_size_t i;

    if (!asked->argc) {
        return &actions[0];
    }
    for (i = 0; i < ACTIONS; ++i) {
        if (!strcmp(asked->argv[0], actions[i].name)) {
            return asked->argc >= actions[i].least && asked->argc <= actions[i].most ? &actions[i] : NULL;
        }
    }
    return NULL;
}

static const char *bans_list_url(apr_pool_t *p, const bans_t *asked)
{
    return apr_pstrcat(p, asked->from.url, "/bans?all=", asked->all ? "1" : "0",
                       asked->limit ? "&limit=" : "",
                       asked->limit ? apr_pescape_urlencoded(p, asked->limit) : "",
                       asked->rule ? "&name=" : "", asked->rule ? apr_pescape_urlencoded(p, asked->rule) : "",
                       asked->argc > 1 ? "&within=" : "", asked->argc > 1 ? asked->argv[1] : "", NULL);
}

/* @return "{...}"; NULL: a text is no UTF-8 */
static const char *bans_body(apr_pool_t *p, const bans_t *asked)
{
    json_t *json = json_pack("{s:s, s:s}", "for", asked->argv[2], "why", asked->argc > 3 ? asked->argv[3] : "");
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    const char *body = text ? apr_pstrdup(p, text) : NULL;

    free(text);
    json_decref(json);
    return body;
}

/* The whole request, signed where there is a key. */
static int bans_request(apr_pool_t *p, bans_t *asked, const bans_action_t *action, ctl_request_t *request)
{
    request->method = action->method;
    request->headers = apr_array_make(p, 4, sizeof(const char *));
    if (action == &actions[0]) {
        asked->from.url = bans_list_url(p, asked);
        return CTL_DONE;
    }
    asked->from.url = apr_pstrcat(p, asked->from.url, "/bans/", asked->argv[1], NULL);
    if (!strcmp(action->method, "PUT")) {
        request->body = bans_body(p, asked);
        APR_ARRAY_PUSH(request->headers, const char *) = "Content-Type: application/json";
        if (!request->body) {
            fputs("usherctl: the reason is not UTF-8\n", stderr);
            return CTL_FAILED;
        }
    }
    return asked->key ? ctl_sign(p, request, asked->from.url, asked->key) : CTL_DONE;
}

static int bans_show(apr_pool_t *p, const bans_t *asked, const bans_action_t *action, const json_t *answer, long status)
{
    int failed = status != 200 && status != 201;

    if (asked->json) {
        json_dumpf(answer, stdout, JSON_INDENT(1) | JSON_ENSURE_ASCII);
        putchar('\n');
    }
    else if (failed) {
        fprintf(stderr, "usherctl: %s%s\n", bans_print_error(p, answer), status == 401 && !asked->key ? ": --key" : "");
    }
    else {
        action->print(p, answer);
    }
    return failed ? CTL_FAILED : CTL_DONE;
}

/* Other handlers have objects, too, which are no list of nobody. */
static int bans_is_answer(const json_t *answer, const bans_action_t *action)
{
    return json_is_object(json_object_get(answer, "error"))
           || (action == &actions[0] ? json_is_array(json_object_get(answer, "bans"))
                                     : json_is_string(json_object_get(answer, "prefix")));
}

static int bans_do(apr_pool_t *p, bans_t *asked, const bans_action_t *action)
{
    ctl_request_t request = { .method = "GET" };
    const char *body;
    json_t *answer;
    long status;
    int code = bans_request(p, asked, action, &request);

    status = code == CTL_DONE ? ctl_fetch(p, &asked->from, &request, &body) : 0;
    if (!status) {
        return CTL_FAILED;
    }
    answer = json_loads(body, 0, NULL);
    if (bans_is_answer(answer, action)) {
        code = bans_show(p, asked, action, answer, status);
    }
    else {
        fprintf(stderr, "usherctl: %s answered %ld, and that is not usher-ban%s\n",
                ctl_harmless(p, asked->from.url), status,
                status == 401 ? ": log in with --user"
                : status == 403 ? ": it does not let you in (Require)"
                : status == 404 || status == 200 ? ": name its place with --url" : "");
        code = CTL_FAILED;
    }
    json_decref(answer);
    return code;
}

/* It becomes part of a URL. */
static int bans_is_prefix(apr_pool_t *p, const char *text)
{
    usher_cidr_range_t range;

    if (usher_cidr_parse(&range, text, strlen(text))) {
        return 1;
    }
    fprintf(stderr, "usherctl: \"%s\" is no address and no prefix whose other bits are zero: 192.0.2.7, "
            "192.0.2.0/24, 2001:db8::/64\n", ctl_harmless(p, text));
    return 0;
}

static int bans_run(apr_pool_t *p, int argc, const char *const *argv)
{
    bans_t asked = { .from = { .url = URL_DEFAULT }, .argc = argc, .argv = argv };
    int code = ctl_options(p, &ctl_bans, options, bans_option, &asked, &asked.argc, &asked.argv);
    const bans_action_t *action;
    apr_size_t len;

    if (code == CTL_DONE) {
        return code;
    }
    action = code < 0 ? bans_action(&asked) : NULL;
    if (action && asked.argc > 1 && !bans_is_prefix(p, asked.argv[1])) {
        return CTL_USAGE;
    }
    code = action ? ctl_fetch_ready(p, &asked.from) : CTL_USAGE;
    if (code != CTL_DONE) {
        fputs(code == CTL_USAGE ? help : "", stderr);
        return code;
    }
    len = strlen(asked.from.url);
    asked.from.url = apr_pstrmemdup(p, asked.from.url, len - (asked.from.url[len - 1] == '/'));
    return bans_do(p, &asked, action);
}

const ctl_command_t ctl_bans = {
    "bans", "shows and explains bans of clients, bans and frees by hand", help, bans_run
};
