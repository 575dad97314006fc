/* UsherStick: by which value of a request its member is found in the stick table, and from
 * what it is learned. */
#include <stddef.h>

#include "balancer_private.h"
#include "usher_cookie.h"
#include "usher_options.h"

APLOG_USE_MODULE(usher_balancer);

#define MS APR_TIME_C(1000)
#define LIFE (30 * 60 * 1000) /* ms */

/* What may follow the value */
typedef struct {
    const char *learn;
    apr_int64_t expire; /* microseconds */
} stick_options_t;

static const usher_option_t options[] = {
    { "learn", USHER_OPTION_TEXT, 0, 1, 256, "cookie:NAME, header:NAME, request or off",
      offsetof(stick_options_t, learn), NULL },
    { "expire", USHER_OPTION_DURATION, 0, APR_USEC_PER_SEC, BALANCER_STICK_LIFE_MAX * MS,
      "a time from 1s to 30d", offsetof(stick_options_t, expire), NULL },
    { NULL, USHER_OPTION_TEXT, 0, 0, 0, NULL, 0, NULL },
};

/* "cookie:NAME" or "header:NAME" */
static int stick_named(balancer_stick_e *kind, const char **name, const char *text)
{
    *kind = !ap_cstr_casecmpn(text, "cookie:", 7) ? BALANCER_STICK_COOKIE
            : !ap_cstr_casecmpn(text, "header:", 7) ? BALANCER_STICK_HEADER : BALANCER_STICK_OFF;
    *name = text + 7;
    return *kind != BALANCER_STICK_OFF && usher_cookie_is_name(*name, strlen(*name));
}

/* @return what is wrong, or NULL */
static const char *stick_value(balancer_stick_rule_t *rule, cmd_parms *cmd, const char *text)
{
    const char *why = NULL;

    rule->text = text;
    if (stick_named(&rule->kind, &rule->name, text)) {
        return NULL;
    }
    if (ap_cstr_casecmpn(text, "expr:", 5) || !text[5]) {
        return apr_psprintf(cmd->pool, "\"%s\": takes cookie:NAME, header:NAME or "
                            "\"expr:EXPRESSION\" first", text);
    }
    rule->kind = BALANCER_STICK_EXPR;
    rule->name = NULL;
    rule->expr = ap_expr_parse_cmd(cmd, text + 5, AP_EXPR_FLAG_STRING_RESULT, &why, NULL);
    return why ? apr_psprintf(cmd->pool, "\"%s\": httpd cannot read the expression: %s", text, why)
               : NULL;
}

/* @param text  NULL: the default */
static const char *stick_learn(balancer_stick_rule_t *rule, cmd_parms *cmd, const char *text)
{
    if (!text) {
        int cookie = rule->kind == BALANCER_STICK_COOKIE;

        rule->learn = cookie ? BALANCER_STICK_COOKIE : BALANCER_STICK_REQUEST;
        rule->learn_name = rule->name;
    }
    else if (!ap_cstr_casecmp(text, "off")) {
        rule->learn = BALANCER_STICK_OFF;
    }
    else if (!ap_cstr_casecmp(text, "request")) {
        rule->learn = BALANCER_STICK_REQUEST;
    }
    else if (!stick_named(&rule->learn, &rule->learn_name, text)) {
        return apr_psprintf(cmd->pool, "\"learn=%s\": learn takes cookie:NAME, header:NAME, "
                            "request or off", text);
    }
    return NULL;
}

static const char *stick_rule(balancer_stick_rule_t *rule, cmd_parms *cmd, int argc,
                              char *const argv[])
{
    stick_options_t set = { NULL, LIFE * MS };
    const char *why = argc ? stick_value(rule, cmd, argv[0])
                           : "takes cookie:NAME, header:NAME or \"expr:EXPRESSION\", and maybe "
                             "learn= and expire=";

    if (!why && argc > 1) {
        why = usher_options_set(cmd->pool, &set, sizeof(set), options, argc - 1, argv + 1);
    }
    rule->life = set.expire / MS;
    return why ? why : stick_learn(rule, cmd, set.learn);
}

const char *balancer_stick_set(cmd_parms *cmd, void *confv, int argc, char *const argv[])
{
    balancer_conf_t *conf = confv;
    const char *why = balancer_conf_why_not_here(cmd);
    balancer_stick_rule_t rule = { NULL };

    if (!why && conf->stick && conf->stick->count == BALANCER_STICK_RULES) {
        why = "stands there more than " APR_STRINGIFY(BALANCER_STICK_RULES) " times";
    }
    if (!why) {
        why = stick_rule(&rule, cmd, argc, argv);
    }
    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    if (!conf->stick) {
        conf->stick = apr_pcalloc(cmd->pool, sizeof(*conf->stick));
    }
    conf->stick->rules[conf->stick->count++] = rule;
    return NULL;
}
