/* mod_usher_ban: turns away who misbehaves. Wires its parts into httpd; ban_private.h tells
 * which file does what. */
#include "ban_private.h"

#include <http_connection.h>
#include <http_protocol.h>
#include <http_request.h>

#include "usher_clock.h"

const usher_core_t *ban_core;

apr_int64_t ban_now(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

static int ban_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    ban_conf_init(pconf);
    ban_rule_init(pconf);
    ban_never_init(pconf);
    ban_share_init();
    ban_jail_init();
    ban_count_init();
    ban_audit_init();
    ban_export_init();
    ban_lists_init(pconf);
    ban_geo_init(pconf);
    return OK;
}

/* Whether the configuration has anybody turned away. */
static int ban_is_used(void)
{
    return ban_rule_are_there() || ban_lists_are_there() || ban_geo_is_there();
}

static int ban_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int rc = usher_core_lookup(&ban_core, "mod_usher_ban", s);

    if (ban_core) {
        ban_jail_check_config();
        ban_count_check_config();
        ban_share_check_config();
        ban_remoteip_check_config(s);
        ban_rule_check_config(s);
        rc = rc == OK ? ban_never_check_config(pconf, s) : rc;
        ban_export_check_config();
        rc = rc == OK ? ban_store_check_config(s) : rc;
        rc = rc == OK ? ban_handler_check_config(s) : rc;
        rc = rc == OK ? ban_lists_check_config(s) : rc;
        rc = rc == OK ? ban_geo_check_config(pconf, s) : rc;
        if (usher_conf_may_refuse() && ban_is_used() && ban_never_has_members()) {
            ban_names_check_config(ptemp, s);
        }
    }
    return rc;
}

static int ban_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    if (ban_core && ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        ban_jail_post_config();
        ban_proxied_post_config();
        ban_door_post_config();
        ban_near_post_config(pconf, ptemp, s);
        ban_store_post_config();
        ban_export_post_config(pconf, s);
    }
    return OK;
}

static int ban_last_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    if (ban_core) {
        ban_store_started(s);
    }
    return OK;
}

/* By now the members are known. */
static void ban_child_init(apr_pool_t *pchild, server_rec *s)
{
    if (ban_core) {
        ban_store_child_init();
        ban_export_child_init();
        ban_near_child_init(pchild, s);
    }
}

static const command_rec ban_cmds[] = {
    AP_INIT_TAKE_ARGV("UsherBan", ban_conf_set_on, NULL, RSRC_CONF | ACCESS_CONF,
        "whether clients are watched and turned away here: On (default) or Off"),
    AP_INIT_TAKE_ARGV("UsherBanAnswer", ban_conf_set_answer, NULL, RSRC_CONF | ACCESS_CONF,
        "what banned clients are answered where they are answered: 403 (default), 429 or close"),
    AP_INIT_TAKE_ARGV("UsherBanExempt", ban_exempt_set, NULL, RSRC_CONF,
        "paths that everybody may ask for (default /.well-known/acme-challenge/), or none"),
    AP_INIT_TAKE_ARGV("UsherBanGeo", ban_geo_set, NULL, RSRC_CONF | ACCESS_CONF,
        "whom to turn away by where he comes from: country KP, !country JP KR, asn 64500"),
    AP_INIT_TAKE_ARGV("UsherBanList", ban_lists_set, NULL, RSRC_CONF | ACCESS_CONF,
        "a name, and a file of addresses and prefixes to turn away; optional"),
    AP_INIT_TAKE_ARGV("UsherBanMode", ban_conf_set_mode, NULL, RSRC_CONF | ACCESS_CONF,
        "what rules do: log (default) whom they would ban, or enforce"),
    AP_INIT_TAKE_ARGV("UsherBanNever", ban_never_set, NULL, RSRC_CONF,
        "who is never banned: prefixes, and what is left out: -loopback -own -members -proxies"),
    AP_INIT_TAKE_ARGV("UsherBanProxies", ban_never_set_proxies, NULL, RSRC_CONF,
        "proxies, beside those that mod_remoteip is told: prefixes"),
    AP_INIT_TAKE_ARGV("UsherBanRefuse", ban_conf_set_refuse, NULL, RSRC_CONF,
        "how connections of banned clients end: close (default) or reset"),
    AP_INIT_RAW_ARGS("UsherBanRule", ban_rule_set, NULL, RSRC_CONF | ACCESS_CONF,
        "what clients are banned for: a name, and key=value"),
    AP_INIT_TAKE_ARGV("UsherBanUndeclared", ban_conf_set_undeclared, NULL, RSRC_CONF | ACCESS_CONF,
        "whether addresses that look like a proxy are banned: spare (default) or ban"),
    BAN_REMOTEIP_CMDS,
    AP_INIT_TAKE_ARGV("UsherBanLog", ban_audit_set, NULL, RSRC_CONF,
        "where each change of bans is logged: a file or \"|program\"; the error log by default"),
    AP_INIT_TAKE_ARGV("UsherBanExport", ban_export_set, NULL, RSRC_CONF,
        "a program that is told who is banned, line by line"),
    { NULL }
};

static void ban_hooks(apr_pool_t *p)
{
    static const char *const after_remoteip[] = { "mod_remoteip.c", NULL };
    static const char *const ssl[] = { "mod_ssl.c", NULL };

    ap_hook_pre_config(ban_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(ban_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ban_event_register();
    ap_hook_handler(ban_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_post_config(ban_post_config, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_pre_connection(ban_door_pre_connection, after_remoteip, ssl, APR_HOOK_FIRST);
    ap_hook_pre_connection(ban_door_after_ssl, ssl, NULL, APR_HOOK_LAST);
    ap_hook_quick_handler(ban_request_quick_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ban_proxied_register();
    ap_hook_post_config(ban_last_post_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_open_logs(ban_audit_open_logs, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(ban_child_init, NULL, NULL, APR_HOOK_LAST);
}

AP_DECLARE_MODULE(usher_ban) = {
    STANDARD20_MODULE_STUFF,
    ban_dir_create,
    ban_dir_merge,
    NULL, /* per-server config */
    NULL,
    ban_cmds,
    ban_hooks
};
