/* mod_usher_balancer: clusters. Wires its parts into httpd and mod_proxy;
 * balancer_private.h tells which file does what. */
#include "balancer_private.h"

static void balancer_register_hooks(apr_pool_t *p)
{
    static const char *const before_balancer[] = { BALANCER_STOCK, NULL };

    ap_register_provider(p, PROXY_LBMETHOD, balancer_method.name, "0", &balancer_method);
    ap_register_provider(p, USHER_PICKER_GROUP, USHER_PICKER_NAME, USHER_PICKER_VERSION,
                         &balancer_picker_provider);
    ap_hook_check_config(balancer_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before BalancerPersist brings back what lbmethod was set to at run time. */
    ap_hook_post_config(balancer_clusters_post_config, NULL, before_balancer, APR_HOOK_FIRST);
    ap_hook_post_config(balancer_request_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(balancer_clusters_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    /* The stock balancer's is APR_HOOK_FIRST, and takes all balancer: URLs. */
    proxy_hook_pre_request(balancer_request_pre_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    proxy_hook_canon_handler(balancer_request_canon, NULL, NULL, APR_HOOK_LAST);
}

AP_DECLARE_MODULE(usher_balancer) = {
    STANDARD20_MODULE_STUFF,
    NULL, /* per-directory config */
    NULL,
    NULL, /* per-server config */
    NULL,
    NULL,
    balancer_register_hooks
};
