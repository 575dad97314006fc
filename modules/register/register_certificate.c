/* UsherRegisterCertificate: a TLS client certificate that httpd has verified stands in for a key. */
#include "register_auth.h"

#include <apr_cstr.h>
#include <mod_ssl.h>

APLOG_USE_MODULE(usher_register);

#define NAMES_MAX 100 /* of a certificate */

typedef struct {
    const char *policy;
    const char *pattern;
} certificate_rule_t;

static apr_array_header_t *rules; /* certificate_rule_t, in pconf */
static APR_OPTIONAL_FN_TYPE(ssl_var_lookup) *certificate_lookup;

void register_certificate_init(apr_pool_t *pconf)
{
    rules = apr_array_make(pconf, 4, sizeof(certificate_rule_t));
}

/* A '*' is all of it, or the first part of a name. */
static int certificate_is_pattern(const char *pattern)
{
    const char *star = strchr(pattern, '*');

    if (!star) {
        return *pattern != '\0';
    }
    return star == pattern && !strchr(star + 1, '*') && (!star[1] || (star[1] == '.' && star[2]));
}

const char *register_certificate_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    const char *why = register_auth_why_not(cmd, argc, 2, 2, "the name of a policy, and that in certificates");

    if (!why && !certificate_is_pattern(argv[1])) {
        why = apr_psprintf(cmd->pool, "\"%s\": a name, or \"*.example.com\", or \"*\" for each certificate", argv[1]);
    }
    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    APR_ARRAY_PUSH(rules, certificate_rule_t) = (certificate_rule_t) { argv[0], argv[1] };
    return NULL;
}

int register_certificate_check_config(server_rec *s)
{
    int i, wrong = 0;

    certificate_lookup = APR_RETRIEVE_OPTIONAL_FN(ssl_var_lookup);
    for (i = 0; i < rules->nelts; ++i) {
        certificate_rule_t *rule = &APR_ARRAY_IDX(rules, i, certificate_rule_t);

        if (!register_policy_find(rule->policy)) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(6050)
                         "UsherRegisterCertificate %s %s: there is no UsherRegisterPolicy of this name",
                         rule->policy, rule->pattern);
            wrong = 1;
        }
    }
    if (rules->nelts && !certificate_lookup) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(6051)
                     "UsherRegisterCertificate needs mod_ssl, which is not loaded");
        wrong = 1;
    }
    return wrong && usher_conf_may_refuse() ? !OK : OK;
}

int register_certificate_are_there(void)
{
    return rules->nelts && certificate_lookup;
}

static const char *certificate_var(request_rec *r, const char *name)
{
    return certificate_lookup(r->pool, r->server, r->connection, r, (char *)name);
}

int register_certificate_is_shown(request_rec *r)
{
    const char *verified = register_certificate_are_there() ? certificate_var(r, "SSL_CLIENT_VERIFY") : NULL;

    return verified && !strcmp(verified, "SUCCESS");
}

static int certificate_fits(const char *pattern, const char *name)
{
    if (*pattern != '*') {
        return !apr_cstr_casecmp(pattern, name);
    }
    if (pattern[1]) {
        name = strchr(name, '.');
        return name && !apr_cstr_casecmp(pattern + 1, name);
    }
    return 1;
}

/* A name goes into the log and to the store: none with signs that mean something elsewhere. */
static int certificate_is_name(const char *name)
{
    apr_size_t len = strlen(name), i;

    for (i = 0; i < len; ++i) {
        if (name[i] <= ' ' || name[i] >= 0x7f || strchr("\"\\*,", name[i])) {
            return 0;
        }
    }
    return len && len <= REGISTER_NAME_MAX - strlen("cert:");
}

static int certificate_try(request_rec *r, const char *name, register_who_t *who)
{
    int i;

    if (!name || !certificate_is_name(name)) {
        return 0;
    }
    for (i = 0; i < rules->nelts; ++i) {
        const certificate_rule_t *rule = &APR_ARRAY_IDX(rules, i, certificate_rule_t);

        if (certificate_fits(rule->pattern, name)) {
            who->name = apr_pstrcat(r->pool, "cert:", name, NULL);
            who->policy = register_policy_find(rule->policy);
            return who->policy != NULL;
        }
    }
    return 0;
}

int register_certificate_find(request_rec *r, register_who_t *who)
{
    const char *name;
    int i;

    if (certificate_try(r, certificate_var(r, "SSL_CLIENT_S_DN_CN"), who)) {
        return 1;
    }
    for (i = 0; i < NAMES_MAX; ++i) {
        name = certificate_var(r, apr_psprintf(r->pool, "SSL_CLIENT_SAN_DNS_%d", i));
        if (!name || !*name) {
            return 0;
        }
        if (certificate_try(r, name, who)) {
            return 1;
        }
    }
    return 0;
}
