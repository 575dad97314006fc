/* mod_usher_tls: who connects how by TLS, and who fails to. Wires its parts into httpd;
 * tls_private.h tells which file does what. */
#include "tls_stats.h"

static const usher_tls_facts_t *usher_tls_facts(conn_rec *c)
{
    return tls_record_facts(c);
}

static const char *usher_tls_ja4(conn_rec *c, apr_pool_t *p)
{
    return tls_record_ja4_of(c, p);
}

static const command_rec tls_cmds[] = {
    AP_INIT_TAKE_ARGV("UsherTLS", tls_conf_set_on, NULL, RSRC_CONF | ACCESS_CONF,
        "whether handshakes of clients are watched: On (default) or Off"),
    AP_INIT_TAKE_ARGV("UsherTLSLog", tls_conf_set_log, NULL, RSRC_CONF | ACCESS_CONF,
        "where handshakes are logged: off, or a file or \"|program\", failed (default) or all, "
        "text (default) or json"),
    AP_INIT_TAKE_ARGV("UsherTLSStats", tls_stats_conf_set_on, NULL, RSRC_CONF | ACCESS_CONF,
        "whether statistics are made: On (default) or Off; and how often they are saved, 1s to 1m "
        "(default)"),
    AP_INIT_TAKE_ARGV("UsherTLSClients", tls_stats_conf_set_clients, NULL, RSRC_CONF | ACCESS_CONF,
        "what is kept of addresses in the statistics: full (default), prefix or off; and for how "
        "long, 1h to 31d, default 7d"),
    { NULL }
};

static void tls_register_hooks(apr_pool_t *p)
{
    static const char *const after_ssl[] = { "mod_ssl.c", NULL };
    static const char *const before_h2[] = { "mod_http2.c", NULL };

    ap_hook_pre_config(tls_conf_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_config(tls_stats_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(tls_conf_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(tls_stats_check_config, NULL, NULL, APR_HOOK_LAST);
    ap_hook_open_logs(tls_log_open_logs, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(tls_stats_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before mod_proxy's: under "ProxyPass /" the statistics are not asked of a backend. */
    ap_hook_handler(tls_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* mod_ssl has made the handshake; mod_http2 does not come back. */
    ap_hook_process_connection(tls_record_process_connection, after_ssl, before_h2,
                               APR_HOOK_MIDDLE);
    ap_hook_log_transaction(tls_record_log_transaction, NULL, NULL, APR_HOOK_MIDDLE);
    tls_watch_register();
    tls_vhost_register();
    tls_ban_register();
    APR_REGISTER_OPTIONAL_FN(usher_tls_facts);
    APR_REGISTER_OPTIONAL_FN(usher_tls_ja4);
    APR_REGISTER_OPTIONAL_FN(usher_tls_is_on);
}

AP_DECLARE_MODULE(usher_tls) = {
    STANDARD20_MODULE_STUFF,
    NULL, /* per-directory config */
    NULL,
    tls_conf_create,
    tls_conf_merge,
    tls_cmds,
    tls_register_hooks
};
