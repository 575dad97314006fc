/* Which paths go to which worker: JkMount, JkUnMount, mount= and the lines of
 * uriworkermap.properties. */
#include <apr_lib.h>
#include <stdlib.h>
#include <string.h>

#include "jk.h"

#define JK_RULES_MAX 5000

/* Extensions that are told and not taken: ;name=value behind the worker */
static const jk_directive_t extensions[] = {
    { "sticky_ignore", JK_DECIDE,
      "sessions of single paths cannot be passed over: give these paths a balancer of their own without stickysession" },
    { "stateless", JK_NEEDLESS, "sessions are not counted" },
    { "active", JK_DECIDE, "members have one status for all paths: give these paths a balancer of their own" },
    { "disabled", JK_DECIDE, "members have one status for all paths: give these paths a balancer of their own" },
    { "stopped", JK_DECIDE, "members have one status for all paths: give these paths a balancer of their own" },
    { "fail_on_status", JK_DECIDE, "failonstatus= is for a whole balancer" },
    { "session_cookie", JK_DECIDE, "stickysession= is for a whole balancer" },
    { "session_path", JK_DECIDE, "stickysession= is for a whole balancer" },
    { "set_session_cookie", JK_DECIDE, "stickysession= is for a whole balancer" },
    { "session_cookie_path", JK_DECIDE, "stickysession= is for a whole balancer" },
};

static int rules_number(ctl_notes_t *notes, const ctl_place_t *at, const char *name, const char *value)
{
    char *end;
    apr_int64_t number = apr_strtoi64(value, &end, 10);

    if (end == value || *end || number < 0 || number > APR_INT32_MAX) {
        ctl_error(notes, at, ";%s=%.60s is not a whole number from 0 on", name, value);
        return 0;
    }
    return (int)number;
}

static void rules_extension(jk_rule_t *rule, ctl_notes_t *notes, char *extension)
{
    char *value = strchr(extension, '=');
    apr_size_t i;

    if (value) {
        *value++ = '\0';
    }
    extension = ctl_trim(extension);
    if (value && !strcmp(extension, "reply_timeout")) {
        rule->reply_timeout = rules_number(notes, &rule->at, extension, ctl_trim(value));
        return;
    }
    if (value && !strcmp(extension, "use_server_errors")) {
        rule->server_errors = rules_number(notes, &rule->at, extension, ctl_trim(value));
        return;
    }
    for (i = 0; i < sizeof(extensions) / sizeof(extensions[0]); ++i) {
        if (!strcmp(extension, extensions[i].name)) {
            ctl_note(notes, &rule->at, "%s %s;%s=: %s", rule->pattern, rule->worker, extension,
                     extensions[i].reason);
            return;
        }
    }
    ctl_note(notes, &rule->at, "%s %s: ;%s is no extension that is known", rule->pattern,
             rule->worker, extension);
}

/* The same pattern twice in one place: the later one counts. */
static void rules_push(apr_array_header_t *rules, ctl_notes_t *notes, jk_rule_t *rule)
{
    int i;

    for (i = 0; i < rules->nelts; ++i) {
        jk_rule_t **old = &APR_ARRAY_IDX(rules, i, jk_rule_t *);

        if (!strcmp((*old)->pattern, rule->pattern) && (*old)->excludes == rule->excludes
            && (*old)->source == rule->source && rule->source != JK_BY_WORKER) {
            if (strcmp((*old)->worker, rule->worker)) {
                ctl_note(notes, &rule->at, "%s was given in line %d already: the later one counts",
                         rule->pattern, (*old)->at.line);
            }
            *old = rule;
            return;
        }
    }
    APR_ARRAY_PUSH(rules, jk_rule_t *) = rule;
}

static void rules_one(apr_array_header_t *rules, ctl_notes_t *notes, const char *pattern,
                      int excludes, char *worker, jk_source_e source, const ctl_place_t *at)
{
    jk_rule_t *rule = apr_pcalloc(rules->pool, sizeof(*rule));
    char *last, *extension = apr_strtok(worker, ";", &last);

    if (*pattern == '*' || *pattern == '?') {
        ctl_note(notes, at, "%s: mod_jk wants a '/' at the beginning, and passes this rule over; taken for /%s",
                 pattern, pattern);
        pattern = apr_pstrcat(rules->pool, "/", pattern, NULL);
    }
    if (*pattern != '/') {
        ctl_error(notes, at, "the pattern \"%.100s\" does not begin with '/'", pattern);
        return;
    }
    if (rules->nelts >= JK_RULES_MAX) {
        ctl_error(notes, at, "more than %d mounts", JK_RULES_MAX);
        return;
    }
    rule->pattern = pattern;
    rule->worker = ctl_trim(extension ? extension : worker);
    rule->excludes = excludes;
    rule->source = source;
    rule->at = *at;
    rule->reply_timeout = -1;
    if (ctl_conf_refuses(pattern)) {
        ctl_error(notes, at, "the pattern \"%.100s\" %s", pattern, ctl_conf_refuses(pattern));
        return;
    }
    while (extension && (extension = apr_strtok(NULL, ";", &last)) != NULL) {
        rules_extension(rule, notes, extension);
    }
    rules_push(rules, notes, rule);
}

/* X|Y is X and XY. */
void jk_rules_add(apr_array_header_t *rules, ctl_notes_t *notes, const char *pattern,
                  const char *worker, jk_source_e source, const ctl_place_t *at)
{
    apr_pool_t *p = rules->pool;
    int excludes = 0;
    const char *bar;

    if (*pattern == '-') {
        ctl_note(notes, at, "%s %s: a rule that is switched off, left out", pattern, worker);
        return;
    }
    if (*pattern == '!') {
        excludes = 1;
        ++pattern;
    }
    bar = strchr(pattern, '|');
    if (bar) {
        const char *first = apr_pstrmemdup(p, pattern, (apr_size_t)(bar - pattern));

        if (*first) {
            rules_one(rules, notes, first, excludes, apr_pstrdup(p, worker), source, at);
        }
        pattern = apr_pstrcat(p, first, bar + 1, NULL);
    }
    rules_one(rules, notes, pattern, excludes, apr_pstrdup(p, worker), source, at);
}

void jk_rules_read(apr_array_header_t *rules, ctl_notes_t *notes, const char *file, const char *text)
{
    ctl_place_t at = { file, 0 };
    ctl_lines_t lines;
    ctl_lines_e result;
    char *line, *pattern, *worker;

    ctl_lines_init(&lines, rules->pool, text, strlen(text));
    lines.careful = 1;
    while ((result = ctl_lines_next(&lines, &line)) != CTL_LINES_END) {
        at.line = lines.first;
        if (result != CTL_LINES_LINE) {
            ctl_error(notes, &at, result == CTL_LINES_LONG ? "a line that is too long"
                                                           : "a line with a control character in it");
            continue;
        }
        switch (jk_line_split(line, &pattern, &worker)) {
        case 1:
            jk_rules_add(rules, notes, pattern, worker, JK_BY_FILE, &at);
            break;
        case -1:
            ctl_error(notes, &at, "neither a comment nor pattern=worker: %.60s", pattern);
            break;
        default:
            break;
        }
    }
}

static int rules_slashes(const char *text)
{
    int count = 0;

    for (; *text; ++text) {
        count += *text == '/';
    }
    return count;
}

/* Most slashes first, then the longest, then the strongest source. */
static int rules_compare(const void *one, const void *two)
{
    const jk_rule_t *a = *(const jk_rule_t *const *)one, *b = *(const jk_rule_t *const *)two;
    int slashes = rules_slashes(b->pattern) - rules_slashes(a->pattern);

    if (slashes) {
        return slashes;
    }
    if (strlen(a->pattern) != strlen(b->pattern)) {
        return strlen(a->pattern) < strlen(b->pattern) ? 1 : -1;
    }
    if (a->source != b->source) {
        return (int)b->source - (int)a->source;
    }
    return a->at.line - b->at.line;
}

void jk_rules_sort(apr_array_header_t *rules)
{
    qsort(rules->elts, (size_t)rules->nelts, sizeof(jk_rule_t *), rules_compare);
}

/* mod_jk takes what is behind a ';' out of every segment before it compares,
 * and so does Tomcat: "/app;x/admin/" is the same to them as "/app/admin/". */
const char *jk_rule_regex(apr_pool_t *p, const char *pattern)
{
    static const char parameters[] = "(;[^/]*)?";
    char *regex = apr_palloc(p, strlen(pattern) * (sizeof(parameters) + 1) + sizeof(parameters) + 4);
    char *to = regex;
    const char *c;

    *to++ = '^';
    for (c = pattern; *c; ++c) {
        if (*c == '/' && c > pattern && c[-1] != '*') {
            to = apr_cpystrn(to, parameters, sizeof(parameters));
        }
        if (*c == '*') {
            /* At the end anything goes anyway. */
            to = c[1] ? apr_cpystrn(to, ".*", 3) : to;
        }
        else if (*c == '?') {
            *to++ = '.';
        }
        else {
            if (strchr("\\^$.[]|()+{}", *c)) {
                *to++ = '\\';
            }
            *to++ = *c;
        }
    }
    *to = '\0';
    if (to[-1] != '^' && c[-1] != '*') {
        /* "/" alone has no segment that parameters could belong to. */
        apr_cpystrn(to, c[-1] == '/' ? "$" : "(;[^/]*)?$", sizeof(parameters) + 1);
    }
    return regex;
}

const char *jk_rule_prefix(apr_pool_t *p, const char *pattern)
{
    static const char plain[]
        = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-_.~@:+,";
    apr_size_t len = strspn(pattern, plain);

    if (len && pattern[len - 1] == '/' && pattern[len] == '*' && !pattern[len + 1]) {
        return apr_pstrmemdup(p, pattern, len);
    }
    return NULL;
}
