/* Require usher-country, usher-continent, usher-asn, usher-geo. */
#include <http_request.h>
#include <mod_auth.h>

#include "geo_private.h"
#include "usher_geo.h"

APLOG_USE_MODULE(usher_geo);

typedef struct {
    const usher_geo_question_t *question;
    int is_negated; /* what is granted here is refused in the end */
} require_t;

/* "Require not ...", and each <RequireNone> around it, turn the answer round. */
static int require_is_negated(const cmd_parms *cmd)
{
    const ap_directive_t *directive = cmd->directive;
    const char *args = directive->args ? directive->args : "";
    int is_negated = !ap_cstr_casecmp(ap_getword_conf(cmd->temp_pool, &args), "not");

    for (directive = directive->parent; directive; directive = directive->parent) {
        is_negated ^= !ap_cstr_casecmp(directive->directive, "<RequireNone");
    }
    return is_negated;
}

/* The line, for what is logged of it; NULL in .htaccess, whose lines are read for each request. */
static const char *require_from(const cmd_parms *cmd)
{
    const ap_directive_t *directive = cmd->directive;

    return geo_settings_is_htaccess(cmd) ? NULL
           : apr_psprintf(cmd->pool, "%s:%d: %s %s", directive->filename, directive->line_num, directive->directive,
                          directive->args ? directive->args : "");
}

static const char *require_parse(cmd_parms *cmd, const char *line, const void **parsed, const char *what)
{
    apr_array_header_t *words = apr_array_make(cmd->temp_pool, 8, sizeof(const char *));
    require_t *require = apr_pcalloc(cmd->pool, sizeof(*require));
    const char *wrong;

    while (*line) {
        APR_ARRAY_PUSH(words, const char *) = ap_getword_conf(cmd->temp_pool, &line);
    }
    wrong = geo_question_make(cmd->pool, require_from(cmd), what, words->nelts,
                              (const char *const *)words->elts, &require->question);
    if (wrong) {
        return geo_settings_refuse(cmd, apr_psprintf(cmd->pool, "usher-%s %s", what, wrong));
    }
    require->is_negated = require_is_negated(cmd);
    *parsed = require;
    return NULL;
}

static const char *require_parse_country(cmd_parms *cmd, const char *line, const void **parsed)
{
    return require_parse(cmd, line, parsed, "country");
}

static const char *require_parse_continent(cmd_parms *cmd, const char *line, const void **parsed)
{
    return require_parse(cmd, line, parsed, "continent");
}

static const char *require_parse_asn(cmd_parms *cmd, const char *line, const void **parsed)
{
    return require_parse(cmd, line, parsed, "asn");
}

static const char *require_parse_geo(cmd_parms *cmd, const char *line, const void **parsed)
{
    return require_parse(cmd, line, parsed, "geo");
}

static authz_status require_let(const require_t *require, int is_let)
{
    return is_let != require->is_negated ? AUTHZ_GRANTED : AUTHZ_DENIED;
}

/* What is let in for its path is let in for no other: httpd asks no more where an internal redirect (mod_rewrite,
 * FallbackResource) leads, if the sections for it are the same. Those of a copy never are. */
static void require_ask_again(request_rec *r)
{
    r->per_dir_config = ap_merge_per_dir_configs(r->pool, r->per_dir_config, ap_create_per_dir_config(r->pool));
}

static authz_status require_check(request_rec *r, const char *line, const void *parsed)
{
    const require_t *require = parsed;
    const geo_dir_t *dir = ap_get_module_config(r->per_dir_config, &usher_geo_module);
    usher_cidr_address_t address;
    int answer = -1;

    if (!require) {
        /* A line that was refused at a restart, and let the site go on: closed, however it is negated. */
        return AUTHZ_GENERAL_ERROR;
    }
    if (geo_settings_is_exempt(r, dir)) {
        require_ask_again(r);
        return require_let(require, 1);
    }
    if (geo_core && geo_cache_address(r, &address)) {
        answer = geo_question_answer(require->question, r->connection, address, r->pool);
    }
    if (answer < 0) {
        int is_let = dir->allows_missing == 1;

        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(7031) "Require usher-...: no usable database tells "
                      "where %s is: %s, by UsherGeoMissing", r->useragent_ip, is_let ? "allowed" : "denied");
        return require_let(require, is_let);
    }
    return answer ? AUTHZ_GRANTED : AUTHZ_DENIED;
}

void geo_require_hooks(apr_pool_t *p)
{
    static const authz_provider country = { require_check, require_parse_country };
    static const authz_provider continent = { require_check, require_parse_continent };
    static const authz_provider asn = { require_check, require_parse_asn };
    static const authz_provider geo = { require_check, require_parse_geo };
    static const struct {
        const char *name;
        const authz_provider *provider;
    } all[] = { { "usher-country", &country }, { "usher-continent", &continent }, { "usher-asn", &asn },
                { "usher-geo", &geo } };
    size_t i;

    for (i = 0; i < sizeof(all) / sizeof(*all); ++i) {
        ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, all[i].name, AUTHZ_PROVIDER_VERSION,
                                  all[i].provider, AP_AUTH_INTERNAL_PER_CONF);
    }
}
