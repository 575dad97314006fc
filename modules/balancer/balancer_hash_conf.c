/* UsherHashKey: what lbmethod=usher-hash tells requests apart by. */
#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

const char *balancer_hash_conf_set_key(cmd_parms *cmd, void *confv, const char *text)
{
    balancer_conf_t *conf = confv;
    const char *why = balancer_conf_why_not_here(cmd), *error = NULL;
    ap_expr_info_t *key;

    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    key = ap_expr_parse_cmd(cmd, text, AP_EXPR_FLAG_STRING_RESULT, &error, NULL);
    if (error) {
        return usher_conf_refuse(
            cmd, apr_psprintf(cmd->pool, "\"%s\" is no string expression (%s): write one such as "
                              "\"%%{req:X-User}\" or \"%%{REQUEST_URI}\"", text, error));
    }
    conf->hash.key = key;
    return NULL;
}

void balancer_hash_conf_merge(balancer_hash_conf_t *into, const balancer_hash_conf_t *base,
                              const balancer_hash_conf_t *add)
{
    into->key = add->key ? add->key : base->key;
}
