/* UsherBanGeo: whole countries, continents and networks are turned away, or all but some. Who is
 * not known to be one of them is let in. */
#include "ban_private.h"
#include "usher_geo.h"

APLOG_USE_MODULE(usher_ban);

typedef struct {
    const char *text;  /* as it was written */
    const char *what;
    int is_all_but;    /* '!' */
    int argc;
    const char **argv;
    const usher_geo_question_t *question;
} geo_rule_t;

static apr_array_header_t *rules; /* geo_rule_t, in pconf */
static APR_OPTIONAL_FN_TYPE(usher_geo_ask) *ask; /* NULL: nobody is asked for */

void ban_geo_init(apr_pool_t *pconf)
{
    rules = apr_array_make(pconf, 4, sizeof(geo_rule_t));
    ask = NULL;
}

const char *ban_geo_set(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    geo_rule_t rule = { "", NULL, 0, argc - 1, NULL, NULL };
    int i;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections");
    }
    if (argc < 2) {
        return usher_conf_refuse(cmd, "takes a question and values: country KP, !country JP KR, "
                                 "asn 64500, continent AN");
    }
    rule.is_all_but = argv[0][0] == '!';
    rule.what = apr_pstrdup(cmd->pool, argv[0] + rule.is_all_but);
    rule.text = apr_pstrdup(cmd->pool, argv[0]);
    rule.argv = apr_palloc(cmd->pool, (apr_size_t)rule.argc * sizeof(*rule.argv));
    for (i = 0; i < rule.argc; ++i) {
        rule.argv[i] = apr_pstrdup(cmd->pool, argv[i + 1]);
        rule.text = apr_pstrcat(cmd->pool, rule.text, " ", rule.argv[i], NULL);
    }
    APR_ARRAY_PUSH(rules, geo_rule_t) = rule;
    return NULL;
}

static const char *geo_understand(apr_pool_t *pconf, geo_rule_t *rule)
{
    APR_OPTIONAL_FN_TYPE(usher_geo_question) *understand =
        APR_RETRIEVE_OPTIONAL_FN(usher_geo_question);

    ask = APR_RETRIEVE_OPTIONAL_FN(usher_geo_ask);
    if (!understand || !ask) {
        return "mod_usher_geo is not loaded: add \"LoadModule usher_geo_module "
               "modules/mod_usher_geo.so\"";
    }
    return understand(pconf, apr_pstrcat(pconf, "UsherBanGeo ", rule->text, NULL), rule->what, rule->argc, rule->argv,
                      &rule->question);
}

/* Nobody is in two countries: what two such lines spare each is turned away by the other one.
 * @return what is wrong; NULL: nothing */
static const char *geo_why_not_twice(int which)
{
    const geo_rule_t *rule = &APR_ARRAY_IDX(rules, which, geo_rule_t);
    int i;

    for (i = 0; i < which && rule->is_all_but; ++i) {
        const geo_rule_t *other = &APR_ARRAY_IDX(rules, i, geo_rule_t);

        if (other->is_all_but && !strcmp(other->what, rule->what)) {
            return "there is a line with the same ! question already, and together they turn away "
                   "everybody: name all in one line";
        }
    }
    return NULL;
}

/* Now, as the other module may be loaded after this one. */
int ban_geo_check_config(apr_pool_t *pconf, server_rec *s)
{
    int i, rc = OK;

    for (i = 0; i < rules->nelts; ++i) {
        geo_rule_t *rule = &APR_ARRAY_IDX(rules, i, geo_rule_t);
        const char *wrong = geo_understand(pconf, rule);

        wrong = wrong ? wrong : geo_why_not_twice(i);
        if (wrong) {
            rule->question = NULL;
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(8062)
                         "UsherBanGeo %s: %s%s", rule->text, wrong,
                         usher_conf_may_refuse() ? "" : "; the site goes on without this line");
            rc = usher_conf_may_refuse() ? !OK : OK;
        }
    }
    return rc;
}

int ban_geo_is_there(void)
{
    return rules->nelts > 0;
}

const char *ban_geo_find(usher_cidr_address_t address)
{
    int i;

    for (i = 0; i < rules->nelts; ++i) {
        const geo_rule_t *rule = &APR_ARRAY_IDX(rules, i, geo_rule_t);
        int is = rule->question ? ask(rule->question, address) : -1;

        if (is == !rule->is_all_but) {
            return rule->text;
        }
    }
    return NULL;
}
