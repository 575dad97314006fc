/* UsherBanRule: what it says, and which requests it is for. */
#include <ap_expr.h>
#include <apr_lib.h>

#include "ban_private.h"
#include "usher_crc64.h"
#include "usher_duration.h"
#include "usher_match.h"
#include "usher_number.h"
#include "usher_options.h"
#include "usher_size.h"

#define MS APR_TIME_C(1000)
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define EVENTS_MAX 1000000000

struct ban_match_t {
    ban_on_e on;
    const usher_match_statuses_t *statuses; /* NULL: any; so all below */
    const char *methods;
    ap_regex_t *path;
    ap_expr_info_t *expression;
};

/* What a line says, as it is written. */
typedef struct {
    int on, mode;
    const char *status, *path, *method, *expr, *max;
    apr_int64_t within, length, length_max, remember; /* microseconds */
    apr_int64_t bits_v4, bits_v6, wider;
} rule_line_t;

enum { MODE_LOG, MODE_ENFORCE, MODE_UNSET };

/* In the order of ban_on_e. */
static const char *const kinds[] = { "request", "handshake", "register", "auth", "rate", "bytes", NULL };
static const char *const modes[] = { "log", "enforce", NULL };

#define FIELD(f) APR_OFFSETOF(rule_line_t, f)
#define LENGTH SECOND, 3650 * DAY, "1s to 3650d"
static const usher_option_t keys[] = {
    { "on", USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(on), kinds },
    { "status", USHER_OPTION_TEXT, 0, 1, 1024, "statuses and ranges of them, as 404,500-599", FIELD(status) },
    { "path", USHER_OPTION_TEXT, 0, 1, 4096, "a regular expression", FIELD(path) },
    { "method", USHER_OPTION_TEXT, 0, 1, 1024, "methods, as GET,POST", FIELD(method) },
    { "expr", USHER_OPTION_TEXT, 0, 1, APR_INT32_MAX, "an expression", FIELD(expr) },
    { "max", USHER_OPTION_TEXT, 0, 1, 32, "a number", FIELD(max) },
    { "within", USHER_OPTION_DURATION, 0, SECOND, 7 * DAY, "1s to 7d", FIELD(within) },
    { "for", USHER_OPTION_DURATION, 0, LENGTH, FIELD(length) },
    { "for-max", USHER_OPTION_DURATION, 0, LENGTH, FIELD(length_max) },
    { "remember", USHER_OPTION_DURATION, 0, 0, 3650 * DAY, "0 to 3650d", FIELD(remember) },
    { "v4", USHER_OPTION_NUMBER, 0, 8, 32, "8 to 32, the bits of a prefix", FIELD(bits_v4) },
    { "v6", USHER_OPTION_NUMBER, 0, 16, 128, "16 to 128, the bits of a prefix", FIELD(bits_v6) },
    { "wider", USHER_OPTION_NUMBER, 1, 2, 255, "2 to 255, or off", FIELD(wider) },
    { "mode", USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(mode), modes },
    { NULL }
};

/* One subscriber has a /56 or a /48 of IPv6, and as many /64 as he likes. Neighbours in IPv4 are strangers. */
#define WIDER_UNSET (-1)
#define WIDER_V4 0
#define WIDER_V6 4

static const rule_line_t defaults = {
    .on = BAN_ON_REQUEST, .mode = MODE_UNSET, .within = 600 * SECOND, .length = HOUR,
    .remember = 30 * DAY, .bits_v4 = 32, .bits_v6 = 64, .wider = WIDER_UNSET,
};

static apr_array_header_t *names; /* of char *, in pconf */
static unsigned int wanted;       /* a bit for each ban_on_e */

void ban_rule_init(apr_pool_t *pconf)
{
    names = apr_array_make(pconf, 16, sizeof(char *));
    wanted = 0;
}

int ban_rule_wants(ban_on_e on)
{
    return (wanted & 1u << on) != 0;
}

int ban_rule_are_there(void)
{
    return wanted != 0;
}

ban_on_e ban_rule_on(const ban_rule_t *rule)
{
    return rule->match->on;
}

/* Otherwise such rules would count nothing, and nobody would see it. */
void ban_rule_check_config(server_rec *s)
{
    static const struct {
        ban_on_e on;
        const char *word, *module;
    } tellers[] = { { BAN_ON_HANDSHAKE, "handshake", "tls" }, { BAN_ON_REGISTER, "register", "register" } };
    apr_size_t i;

    for (i = 0; i < sizeof(tellers) / sizeof(tellers[0]); ++i) {
        const char *name = tellers[i].module, *file = apr_pstrcat(s->process->pconf, "mod_usher_", name, ".c", NULL);

        if (ban_rule_wants(tellers[i].on) && !ap_find_linked_module(file)) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(8063)
                         "UsherBanRule on=%s counts nothing, as mod_usher_%s is not loaded: add \"LoadModule "
                         "usher_%s_module modules/mod_usher_%s.so\"", tellers[i].word, name, name, name);
        }
    }
}

static const char *rule_why_not_name(apr_pool_t *p, const char *name)
{
    apr_size_t len;
    int i;

    for (len = 0; apr_isalnum(name[len]) || name[len] == '-' || name[len] == '_'; ++len) {
    }
    if (!len || name[len] || len >= BAN_NAME_SIZE) {
        return apr_psprintf(p, "\"%s\": takes a name first, of 1 to %d letters, digits, '-' and '_', and key=value "
                            "after it", name, BAN_NAME_SIZE - 1);
    }
    for (i = 0; i < names->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(names, i, char *), name)) {
            return apr_psprintf(p, "\"%s\": there is a rule of this name already, and what they count would be one: "
                                "give it another name, or put one rule outside of the sections", name);
        }
    }
    return NULL;
}

/* What its place and its keys say together. */
static const char *rule_why_not_keys(cmd_parms *cmd, const rule_line_t *line)
{
    int has_match = line->status || line->path || line->method || line->expr;

    if (!line->max) {
        return "needs max=: how many are allowed, before the next one bans";
    }
    if (line->on == BAN_ON_HANDSHAKE && (has_match || ap_check_cmd_context(cmd, NOT_IN_DIR_LOC_FILE))) {
        return "on=handshake: there is no request yet: it takes no status=, path=, method= and expr=, and belongs in "
               "the main server or in a virtual host";
    }
    if (line->on == BAN_ON_REQUEST && !has_match) {
        return "needs status=, path=, method= or expr=: on=request would count every request, which on=rate is for";
    }
    if (line->length_max && line->length_max < line->length) {
        return "for-max= must not be less than for=";
    }
    return NULL;
}

static const char *rule_max(apr_pool_t *p, apr_uint64_t *max, const rule_line_t *line)
{
    apr_size_t len = strlen(line->max);

    if (line->on == BAN_ON_BYTES ? usher_size_parse(max, line->max, len) == APR_SUCCESS
                                 : usher_number_parse(max, EVENTS_MAX, line->max, len) == len) {
        return NULL;
    }
    return apr_psprintf(p, "\"max=%s\": max takes %s", line->max,
                        line->on == BAN_ON_BYTES ? "a size with on=bytes, as 100M" : "a number, 0 to 1000000000");
}

/* Methods differ by case: "post" would fit no request, and nobody would see it. */
static int rule_has_small(const char *methods)
{
    while (*methods && !apr_islower(*methods)) {
        ++methods;
    }
    return *methods != '\0';
}

static const char *rule_match(cmd_parms *cmd, ban_match_t *match, const rule_line_t *line)
{
    const char *why = NULL;

    if (line->status) {
        usher_match_statuses_t *statuses = apr_palloc(cmd->pool, sizeof(*statuses));

        if (!usher_match_statuses_parse(statuses, line->status, strlen(line->status))) {
            return apr_psprintf(cmd->pool, "\"status=%s\": status takes statuses and ranges of them, 100 to 599, as "
                                "404,500-599", line->status);
        }
        match->statuses = statuses;
    }
    if (line->method
        && (!usher_match_is_list(line->method, strlen(line->method)) || rule_has_small(line->method))) {
        return apr_psprintf(cmd->pool, "\"method=%s\": method takes methods with commas between them, in capitals, "
                            "as GET,POST", line->method);
    }
    match->methods = line->method;
    if (line->path && !(match->path = ap_pregcomp(cmd->pool, line->path, AP_REG_EXTENDED | AP_REG_NOSUB))) {
        return apr_psprintf(cmd->pool, "\"path=%s\": path takes a regular expression, and this is none", line->path);
    }
    if (line->expr) {
        match->expression = ap_expr_parse_cmd(cmd, line->expr, AP_EXPR_FLAG_DONT_VARY, &why, NULL);
    }
    return why ? apr_psprintf(cmd->pool, "\"expr=%s\": %s", line->expr, why) : NULL;
}

static ban_rule_t *rule_make(apr_pool_t *p, const char *name, const ban_match_t *match, const rule_line_t *line)
{
    ban_rule_t *rule = apr_pcalloc(p, sizeof(*rule));

    rule->name = name;
    rule->number = usher_crc64((const unsigned char *)name, strlen(name));
    rule->match = match;
    rule->within = line->within / MS;
    rule->length = line->length / MS;
    rule->length_max = (line->length_max ? line->length_max : 30 * DAY) / MS;
    rule->length_max = rule->length_max > rule->length ? rule->length_max : rule->length;
    rule->remember = line->remember / MS;
    rule->bits_v4 = (unsigned char)(96 + line->bits_v4);
    rule->bits_v6 = (unsigned char)line->bits_v6;
    rule->wider_v4 = (unsigned char)(line->wider == WIDER_UNSET ? WIDER_V4 : line->wider);
    rule->wider_v6 = (unsigned char)(line->wider == WIDER_UNSET ? WIDER_V6 : line->wider);
    return rule;
}

/* The rule where UsherBanMode says log, and where it says enforce. */
static void rule_enter(apr_pool_t *p, ban_dir_t *dir, ban_rule_t *rule, int mode)
{
    ban_rule_t *other = apr_pmemdup(p, rule, sizeof(*rule));
    ban_rule_entry_t *entry;

    if (!dir->rules) {
        dir->rules = apr_array_make(p, 4, sizeof(ban_rule_entry_t));
    }
    entry = apr_array_push(dir->rules);
    rule->enforce = mode == MODE_ENFORCE;
    other->enforce = mode != MODE_LOG;
    entry->as[0] = rule;
    entry->as[1] = other;
    APR_ARRAY_PUSH(names, const char *) = rule->name;
    wanted |= 1u << rule->match->on;
}

const char *ban_rule_set(cmd_parms *cmd, void *dir, const char *args)
{
    apr_pool_t *p = cmd->pool;
    const apr_array_header_t *words = usher_conf_words(p, args);
    char *const *word = (char *const *)words->elts;
    ban_match_t *match = apr_pcalloc(p, sizeof(*match));
    rule_line_t line = defaults;
    apr_uint64_t max = 0;
    ban_rule_t *rule;
    const char *why = rule_why_not_name(p, words->nelts ? word[0] : "");

    why = why ? why : usher_options_set(p, &line, sizeof(line), keys, words->nelts - 1, word + 1);
    why = why ? why : rule_why_not_keys(cmd, &line);
    why = why ? why : rule_max(p, &max, &line);
    why = why ? why : rule_match(cmd, match, &line);
    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    match->on = (ban_on_e)line.on;
    rule = rule_make(p, word[0], match, &line);
    rule->max = max;
    rule_enter(p, dir, rule, line.mode);
    return NULL;
}

/* An expression that cannot be evaluated (it is logged by httpd) is not true. */
static int rule_is_true(const ap_expr_info_t *expression, request_rec *r)
{
    const char *error = NULL;

    return ap_expr_exec(r, expression, &error) > 0;
}

int ban_rule_matches(const ban_rule_t *rule, request_rec *r, int status)
{
    const ban_match_t *match = rule->match;

    /* A request that was not read as far as that has neither method nor path. */
    return (!match->statuses || usher_match_statuses_has(match->statuses, status))
           && (!match->methods
               || (r->method && usher_match_list_has(match->methods, strlen(match->methods), r->method, strlen(r->method))))
           && (!match->path || (r->uri && !ap_regexec(match->path, r->uri, 0, NULL, 0)))
           && (!match->expression || rule_is_true(match->expression, r));
}
