/* mod_usher_linger: busy keep-alive connections stay on their thread. Wires its
 * parts into httpd; linger_private.h tells which file does what. */
#include "linger_private.h"

#include <mod_status.h>

static void linger_register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(linger_conf_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(linger_conf_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(linger_wait_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(linger_threads_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before all others: a thread is busy with a TLS handshake (mod_ssl) or a session
     * of HTTP/2 (mod_http2) as well. */
    ap_hook_process_connection(linger_wait_process_connection, NULL, NULL,
                               APR_HOOK_REALLY_FIRST);
    ap_hook_post_read_request(linger_wait_post_read_request, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(ap, status_hook, linger_count_status, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(usher_linger) = {
    STANDARD20_MODULE_STUFF,
    NULL, /* per-directory config */
    NULL,
    linger_conf_create,
    linger_conf_merge,
    linger_conf_cmds,
    linger_register_hooks
};
