/* mod_usher_register: backend servers sign themselves in to clusters and out of them. Wires
 * its parts into httpd; register_private.h tells which file does what. */
#include "register_member.h"

const usher_core_t *register_core;

APR_OPTIONAL_FN_TYPE(usher_balancer_may_join) *register_may_join;
APR_OPTIONAL_FN_TYPE(usher_balancer_join_state) *register_join_state;
APR_OPTIONAL_FN_TYPE(usher_ban_event) *register_ban_event;

static usher_guard_t *guard; /* NULL: there is no core, nobody is let in */

static int register_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    register_conf_init();
    register_auth_pre_config(pconf);
    return OK;
}

static int register_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                 server_rec *s)
{
    int rc = usher_core_lookup(&register_core, "mod_usher_register", s);

    guard = NULL;
    register_may_join = APR_RETRIEVE_OPTIONAL_FN(usher_balancer_may_join);
    register_ban_event = APR_RETRIEVE_OPTIONAL_FN(usher_ban_event);
    register_join_state = APR_RETRIEVE_OPTIONAL_FN(usher_balancer_join_state);
    if (register_core) {
        register_count_check_config();
        rc = register_handler_check_config(&guard, s);
        rc = rc == OK ? register_core->store_keep(&register_member_kind, s) : rc;
        rc = rc == OK ? register_auth_check_config(pconf, ptemp, s) : rc;
    }
    return rc;
}

static int register_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                server_rec *s)
{
    if (register_core && ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        register_auth_post_config(pconf, s);
        register_lease_post_config();
    }
    return OK;
}

static void register_child_init(apr_pool_t *pchild, server_rec *s)
{
    if (register_core) {
        register_lease_child_init();
        register_auth_child_init(pchild, s);
    }
}

static const command_rec register_cmds[] = {
    AP_INIT_TAKE_ARGV("UsherRegisterDrain", register_conf_set_drain, NULL, RSRC_CONF | ACCESS_CONF,
        "how long a member drains before it is removed, 1s to 1d; default 10m"),
    AP_INIT_TAKE_ARGV("UsherRegisterLease", register_conf_set_lease, NULL, RSRC_CONF | ACCESS_CONF,
        "how long members live without a heartbeat: default=30s min=5s max=1h"),
    AP_INIT_TAKE_ARGV("UsherRegisterKeys", register_keys_set, NULL, RSRC_CONF | ACCESS_CONF,
        "the file with the keys of those who may sign members in"),
    AP_INIT_TAKE_ARGV("UsherRegisterPolicy", register_policy_set, NULL, RSRC_CONF | ACCESS_CONF,
        "what the holder of a key or certificate may sign in: a name, and key=value"),
    AP_INIT_TAKE_ARGV("UsherRegisterCertificate", register_certificate_set, NULL,
        RSRC_CONF | ACCESS_CONF,
        "a policy, and the name in the TLS client certificates that it is for"),
    AP_INIT_TAKE_ARGV("UsherRegisterSecret", register_secret_set, NULL, RSRC_CONF | ACCESS_CONF,
        "a name, and the file with the AJP secret that members name by it"),
    AP_INIT_TAKE_ARGV("UsherRegisterSealKeys", register_secret_set_keys, NULL,
        RSRC_CONF | ACCESS_CONF,
        "the file with the keys that seal AJP secrets which members send"),
    { NULL }
};

static void register_hooks(apr_pool_t *p)
{
    register_secret_offer();
    register_signed_offer();
    ap_hook_pre_config(register_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(register_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(register_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(register_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before mod_proxy's: under "ProxyPass /" a backend is not asked. */
    ap_hook_handler(register_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

AP_DECLARE_MODULE(usher_register) = {
    STANDARD20_MODULE_STUFF,
    NULL, /* per-directory config */
    NULL,
    NULL, /* per-server config */
    NULL,
    register_cmds,
    register_hooks
};
