/* mod_usher_status: shows clusters and their members, and lets administrators switch
 * them. Wires its parts into httpd; status_private.h tells which file does what. */
#include "status_private.h"

int status_handler(request_rec *r);

static void status_register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(status_guard_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(status_token_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before mod_proxy's: under "ProxyPass /" the status is not asked of a backend. */
    ap_hook_handler(status_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

AP_DECLARE_MODULE(usher_status) = {
    STANDARD20_MODULE_STUFF,
    NULL, /* per-directory config */
    NULL,
    NULL, /* per-server config */
    NULL,
    NULL, /* directives */
    status_register_hooks
};
