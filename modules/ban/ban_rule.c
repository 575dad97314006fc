/* UsherBanRule: rules of a place, and which requests each of them is for. */
#include <ap_expr.h>

#include "ban_private.h"
#include "ban_rule_line.h"
#include "usher_tls.h"

APLOG_USE_MODULE(usher_ban);

struct ban_match_t {
    ban_on_e on;
    const usher_match_statuses_t *statuses; /* NULL: any; so all below */
    const char *methods;
    ap_regex_t *path;
    ap_expr_info_t *expression;
};

/* A rule that counts handshakes. */
typedef struct {
    const char *name;
    const server_rec *s; /* where it stands */
} rule_handshake_t;

static apr_array_header_t *names;      /* of char *, in pconf */
static apr_array_header_t *handshakes; /* rule_handshake_t */
static unsigned int wanted;            /* a bit for each ban_on_e */

void ban_rule_init(apr_pool_t *pconf)
{
    names = apr_array_make(pconf, 16, sizeof(char *));
    handshakes = apr_array_make(pconf, 2, sizeof(rule_handshake_t));
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

/* A rule of the main server counts in all virtual hosts. */
static int rule_sees_handshakes(const rule_handshake_t *rule, const server_rec *main_server)
{
    APR_OPTIONAL_FN_TYPE(usher_tls_is_on) *is_on = APR_RETRIEVE_OPTIONAL_FN(usher_tls_is_on);
    const server_rec *s = rule->s->is_virtual ? rule->s : main_server;

    for (; s; s = rule->s->is_virtual ? NULL : s->next) {
        if (!is_on || is_on(s)) {
            return 1;
        }
    }
    return 0;
}

static void rule_check_handshakes(server_rec *s)
{
    int i;

    for (i = 0; i < handshakes->nelts; ++i) {
        const rule_handshake_t *rule = &APR_ARRAY_IDX(handshakes, i, rule_handshake_t);

        if (!rule_sees_handshakes(rule, s)) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(8064)
                         "UsherBanRule %s: on=handshake counts nothing where it stands, as nobody looks at handshakes "
                         "there: say \"UsherTLS On\", with mod_ssl loaded, or take the rule away", rule->name);
        }
    }
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
    rule_check_handshakes(s);
}

/* What its place says. */
static const char *rule_why_not_place(cmd_parms *cmd, const ban_rule_line_t *line)
{
    int i;

    if (line->on == BAN_ON_HANDSHAKE && ap_check_cmd_context(cmd, NOT_IN_DIR_LOC_FILE)) {
        return "on=handshake: there is no request yet: it belongs in the main server or in a virtual host";
    }
    for (i = 0; i < names->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(names, i, char *), line->name)) {
            return apr_psprintf(cmd->pool,
                                "\"%s\": there is a rule of this name already, and what they count would be "
                                "one: give it another name, or put one rule outside of the sections",
                                line->name);
        }
    }
    return NULL;
}

static const char *rule_match(cmd_parms *cmd, ban_match_t *match, const ban_rule_line_t *line)
{
    const char *why = NULL;

    match->methods = line->method;
    if (line->path && !(match->path = ap_pregcomp(cmd->pool, line->path, AP_REG_EXTENDED | AP_REG_NOSUB))) {
        return apr_psprintf(cmd->pool, "\"path=%s\": path takes a regular expression, and this is none", line->path);
    }
    if (line->expr) {
        match->expression = ap_expr_parse_cmd(cmd, line->expr, AP_EXPR_FLAG_DONT_VARY, &why, NULL);
    }
    return why ? apr_psprintf(cmd->pool, "\"expr=%s\": %s", line->expr, why) : NULL;
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
    rule->enforce = mode == BAN_MODE_ENFORCE;
    other->enforce = mode != BAN_MODE_LOG;
    entry->as[0] = rule;
    entry->as[1] = other;
    APR_ARRAY_PUSH(names, const char *) = rule->name;
    wanted |= 1u << rule->match->on;
}

const char *ban_rule_set(cmd_parms *cmd, void *dir, const char *args)
{
    apr_pool_t *p = cmd->pool;
    const apr_array_header_t *words = usher_conf_words(p, args);
    usher_match_statuses_t *statuses = apr_palloc(p, sizeof(*statuses));
    ban_match_t *match = apr_pcalloc(p, sizeof(*match));
    ban_rule_t *rule = apr_palloc(p, sizeof(*rule));
    ban_rule_line_t line;
    const char *why = ban_rule_line_read(p, &line, rule, statuses, words->nelts, (char *const *)words->elts);

    why = why ? why : rule_why_not_place(cmd, &line);
    why = why ? why : rule_match(cmd, match, &line);
    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    match->on = (ban_on_e)line.on;
    match->statuses = line.status ? statuses : NULL;
    rule->match = match;
    if (match->on == BAN_ON_HANDSHAKE) {
        APR_ARRAY_PUSH(handshakes, rule_handshake_t) = (rule_handshake_t){ rule->name, cmd->server };
    }
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
               || (r->method
                   && usher_match_list_has(match->methods, strlen(match->methods), r->method, strlen(r->method))))
           && (!match->path || (r->uri && !ap_regexec(match->path, r->uri, 0, NULL, 0)))
           && (!match->expression || rule_is_true(match->expression, r));
}
