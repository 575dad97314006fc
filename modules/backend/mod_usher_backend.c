/* mod_usher_backend: carries requests to HTTP backends. Wires its parts into
 * httpd; backend_private.h tells which file does what. */
#include "backend_private.h"

static const usher_core_t *core;
static const usher_picker_provider_t *cluster;

const usher_picker_provider_t *backend_handler_cluster(void)
{
    return cluster;
}

static int usher_backend_serves(request_rec *r)
{
    return cluster && backend_conf_is_on(r);
}

/* A picker makes a request wait. */
static int usher_backend_is_client_gone(request_rec *r)
{
    backend_exchange_t *x = backend_handler_exchange(r);

    return x && backend_client_is_gone(x);
}

static apr_size_t usher_backend_canonical_server(const char *url)
{
    return backend_canon_server(url);
}

static int usher_backend_is_canonical(request_rec *r, const char *url, apr_size_t server_len)
{
    return backend_canon_is_done(r, url, server_len);
}

static void usher_backend_forget(void *kept)
{
    backend_target_forget(kept);
}

static int backend_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                server_rec *s)
{
    cluster = ap_lookup_provider(USHER_PICKER_GROUP, USHER_PICKER_NAME, USHER_PICKER_VERSION);
    if (cluster && cluster->abi != USHER_PICKER_ABI) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(2023)
                     "mod_usher_balancer is of another release than mod_usher_backend (ABI %u, "
                     "not %d): install all modules of one Usher release, then stop and start "
                     "httpd", cluster->abi, USHER_PICKER_ABI);
        cluster = NULL;
        if (usher_conf_may_refuse()) {
            return !OK;
        }
    }
    backend_tls_check_config(s);
    return usher_core_lookup(&core, "mod_usher_backend", s);
}

static void backend_child_init(apr_pool_t *pchild, server_rec *s)
{
    backend_record_child_init(pchild, core);
    backend_tls_child_init(pchild);
    backend_target_child_init(pchild, s);
    backend_keeper_child_init(pchild, s);
    backend_stop_child_init(pchild);
    backend_http_head_child_init();
}

static void backend_register_hooks(apr_pool_t *p)
{
    static const char *const clusters[] = { "mod_usher_balancer.c", NULL };

    APR_REGISTER_OPTIONAL_FN(usher_backend_serves);
    APR_REGISTER_OPTIONAL_FN(usher_backend_facts);
    APR_REGISTER_OPTIONAL_FN(usher_backend_canonical_server);
    APR_REGISTER_OPTIONAL_FN(usher_backend_is_canonical);
    APR_REGISTER_OPTIONAL_FN(usher_backend_forget);
    APR_REGISTER_OPTIONAL_FN(usher_backend_is_client_gone);
    backend_tls_register();
    backend_gulp_register();
    ap_hook_check_config(backend_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(backend_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_fixups(backend_handler_fixups, NULL, NULL, APR_HOOK_REALLY_FIRST);
    proxy_hook_canon_handler(backend_canon, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* A cluster's request is not for the stock balancer: no need to look for it. */
    proxy_hook_pre_request(backend_handler_pre_request, clusters, NULL, APR_HOOK_REALLY_FIRST);
    proxy_hook_scheme_handler(backend_handler_scheme, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

AP_DECLARE_MODULE(usher_backend) = {
    STANDARD20_MODULE_STUFF,
    backend_conf_create, /* per-directory config */
    backend_conf_merge,
    NULL,                /* per-server config */
    NULL,
    backend_conf_cmds,
    backend_register_hooks
};
