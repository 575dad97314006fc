/* mod_usher_log: what the access log can tell of a request. Wires its parts into httpd;
 * log_private.h tells which file does what. */
#include "log_private.h"

const usher_core_t *log_core;

static int log_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    log_items_pre_config(pconf);
    return OK;
}

static int log_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int rc = usher_core_lookup(&log_core, "mod_usher_log", s);
    apr_uint32_t servers = log_conf_fill(pconf, s);
    int wrong = log_check_formats(ptemp, s);

    log_conns_check_config(servers);
    return rc == OK ? wrong : rc;
}

static int log_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    log_facts_post_config();
    log_tls_post_config();
    log_bytes_post_config(ptemp);
    return log_conns_post_config(pconf, plog, ptemp, s);
}

static void log_child_init(apr_pool_t *pchild, server_rec *s)
{
    log_id_child_init(pchild);
    log_conns_child_init(pchild, s);
}

static void log_register_hooks(apr_pool_t *p)
{
    static const char *const after_log_config[] = { "mod_log_config.c", NULL };
    static const char *const after_unique_id[] = { "mod_unique_id.c", NULL };

    /* mod_log_config's function to register items is there once its own hooks are. */
    ap_hook_pre_config(log_pre_config, after_log_config, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(log_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(log_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(log_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(log_conns_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_read_request(log_request_pre_read, NULL, NULL, APR_HOOK_FIRST);
    /* Its id is mod_unique_id's where that is loaded. */
    ap_hook_post_read_request(log_request_post_read, after_unique_id, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_error_filter(log_request_error, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_generate_log_id(log_id_generate, after_unique_id, NULL, APR_HOOK_LAST);
}

AP_DECLARE_MODULE(usher_log) = {
    STANDARD20_MODULE_STUFF,
    NULL, /* per-directory config */
    NULL,
    log_conf_create,
    log_conf_merge,
    log_conf_cmds,
    log_register_hooks
};
