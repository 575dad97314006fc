/* mod_usher_balancer: clusters. Wires its parts into httpd and mod_proxy;
 * balancer_private.h tells which file does what. */
#include "balancer_private.h"

#include <mpm_common.h>

#include "usher_facts.h"

static const command_rec balancer_cmds[] = {
    AP_INIT_TAKE1("UsherHashKey", balancer_hash_conf_set_key, NULL, ACCESS_CONF,
                  "what lbmethod=usher-hash chooses by: a string expression"),
    AP_INIT_TAKE_ARGV("UsherStickyCookie", balancer_sticky_set_cookie, NULL,
                      ACCESS_CONF | RSRC_CONF,
                      "a cookie that keeps a session with its member: off, or its name and "
                      "path=path domain=name secure=auto|on|off httponly=on|off "
                      "samesite=Lax|Strict|None|off attribute=text indirect=on|off "
                      "nocache=on|off postonly=on|off preserve=on|off idle=time life=time"),
    AP_INIT_TAKE_ARGV("UsherStickyFollow", balancer_sticky_set_follow, NULL,
                      ACCESS_CONF | RSRC_CONF,
                      "the application's session whose route is followed: off, or its cookie and "
                      "url=name|off separator=character"),
    AP_INIT_TAKE_ARGV("UsherStickyKeys", balancer_keys_set, NULL, ACCESS_CONF | RSRC_CONF,
                      "file with the keys of a cluster's sticky cookies"),
    AP_INIT_TAKE_ARGV("UsherStickyScope", balancer_sticky_set_scope, NULL,
                      ACCESS_CONF | RSRC_CONF,
                      "where a cluster's sticky cookies hold: a text, the same on all nodes"),
    AP_INIT_TAKE_ARGV("UsherMemberMax", balancer_load_conf_set_max, NULL, RSRC_CONF | ACCESS_CONF,
        "requests that a member of the cluster may have at a time: number or Off, and "
        "the routes or URLs of the members that it holds for"),
    AP_INIT_TAKE_ARGV("UsherMembers", balancer_joined_set, NULL, RSRC_CONF | ACCESS_CONF,
        "key=value for the members of the cluster that sign themselves in, as for BalancerMember"),
    AP_INIT_TAKE_ARGV("UsherQueue", balancer_load_conf_set_queue, NULL, RSRC_CONF | ACCESS_CONF,
        "how long a request waits for a member with room: a time or 0, most=percent"),
    AP_INIT_RAW_ARGS("UsherCheck", balancer_probe_set, NULL, RSRC_CONF | ACCESS_CONF,
                     "how the members of a cluster are checked in the background: off, auto, tcp, "
                     "cping, http or https, and key=value"),
    AP_INIT_TAKE_ARGV("UsherStick", balancer_stick_set, NULL, RSRC_CONF | ACCESS_CONF,
        "which value of a request tells its member: cookie:NAME, header:NAME or "
        "\"expr:EXPRESSION\", and maybe learn= and expire="),
    { NULL }
};

static void balancer_register_hooks(apr_pool_t *p)
{
    static const char *const before_balancer[] = { BALANCER_STOCK, NULL };
    int i;

    for (i = 0; i < BALANCER_METHODS; ++i) {
        ap_register_provider(p, PROXY_LBMETHOD, balancer_providers[i].name, "0",
                             &balancer_providers[i]);
    }
    ap_register_provider(p, USHER_PICKER_GROUP, USHER_PICKER_NAME, USHER_PICKER_VERSION,
                         &balancer_picker_provider);
    balancer_sticky_filter_register();
    APR_REGISTER_OPTIONAL_FN(usher_balancer_is_cluster);
    APR_REGISTER_OPTIONAL_FN(usher_balancer_facts);
    APR_REGISTER_OPTIONAL_FN(usher_balancer_may_join);
    APR_REGISTER_OPTIONAL_FN(usher_balancer_join_state);
    ap_hook_check_config(balancer_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(balancer_keys_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before BalancerPersist brings back what lbmethod was set to at run time. */
    ap_hook_post_config(balancer_clusters_post_config, NULL, before_balancer, APR_HOOK_FIRST);
    ap_hook_post_config(balancer_join_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(balancer_request_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(balancer_load_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(balancer_probe_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(balancer_clusters_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(balancer_keys_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(balancer_load_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(balancer_probe_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(balancer_load_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    /* The stock balancer's is APR_HOOK_FIRST, and takes all balancer: URLs. */
    proxy_hook_pre_request(balancer_request_pre_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    proxy_hook_canon_handler(balancer_request_canon, NULL, NULL, APR_HOOK_LAST);
}

AP_DECLARE_MODULE(usher_balancer) = {
    STANDARD20_MODULE_STUFF,
    balancer_conf_create, /* per-directory config */
    /* httpd merges sections for each request. What these say of a cluster nobody looks for
     * there: balancer_conf_of() has merged it at the start. */
    NULL,
    NULL, /* per-server config */
    NULL,
    balancer_cmds,
    balancer_register_hooks
};
