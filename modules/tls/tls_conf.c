/* The module's directives, and whether it has anything to do. */
#include "tls_private.h"

APLOG_USE_MODULE(usher_tls);

static const usher_core_t *conf_core;
static int conf_is_on;

void *tls_conf_create(apr_pool_t *p, server_rec *s)
{
    tls_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->on = conf->log_set = USHER_UNSET;
    return conf;
}

void *tls_conf_merge(apr_pool_t *p, void *basev, void *addv)
{
    const tls_conf_t *base = basev, *add = addv;
    tls_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->on = USHER_MERGE(on, base, add);
    conf->log_set = USHER_MERGE(log_set, base, add);
    conf->log = add->log_set != USHER_UNSET ? add->log : base->log;
    return conf;
}

const tls_conf_t *tls_conf_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &usher_tls_module);
}

const usher_core_t *tls_conf_core(void)
{
    return conf_core;
}

int tls_conf_is_on(void)
{
    return conf_is_on;
}

/* Others may ask before tls_conf_check_config(): what no line has set is on. */
int usher_tls_is_on(const server_rec *s)
{
    return tls_conf_of(s)->on != 0 && ap_find_linked_module("mod_ssl.c");
}

/* The settings of the server that a directive stands in; NULL: it stands elsewhere. */
static tls_conf_t *conf_place(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, NOT_IN_DIR_LOC_FILE)
               ? NULL
               : ap_get_module_config(cmd->server->module_config, &usher_tls_module);
}

#define CONF_MISPLACED "belongs in the main server or in a virtual host, not in a section for " \
                       "paths: at a handshake no path is known"

const char *tls_conf_set_on(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    tls_conf_t *conf = conf_place(cmd);

    if (!conf) {
        return usher_conf_refuse(cmd, CONF_MISPLACED);
    }
    if (argc != 1) {
        return usher_conf_refuse(cmd, "takes one argument, On or Off");
    }
    if (ap_cstr_casecmp(argv[0], "On") && ap_cstr_casecmp(argv[0], "Off")) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes On or Off", argv[0]));
    }
    conf->on = !ap_cstr_casecmp(argv[0], "On");
    return NULL;
}

const char *tls_conf_set_log(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    tls_conf_t *conf = conf_place(cmd);
    const char *reason = NULL;
    const tls_log_t *log;

    if (!conf) {
        return usher_conf_refuse(cmd, CONF_MISPLACED);
    }
    log = tls_log_declare(cmd->pool, argc, argv, &reason);
    if (reason) {
        return usher_conf_refuse(cmd, reason);
    }
    conf->log = log;
    conf->log_set = 1;
    return NULL;
}

int tls_conf_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    conf_core = NULL;
    conf_is_on = 0;
    tls_log_pre_config();
    tls_vhost_pre_config(pconf);
    return OK;
}

/* httpd gives a virtual host without any of the directives the main server's settings themselves. But
 * each has a number in the statistics. */
static tls_conf_t *conf_own(apr_pool_t *p, server_rec *s, const tls_conf_t *main_conf)
{
    tls_conf_t *conf = ap_get_module_config(s->module_config, &usher_tls_module);

    if (conf == main_conf) {
        conf = apr_pmemdup(p, conf, sizeof(*conf));
        ap_set_module_config(s->module_config, &usher_tls_module, conf);
    }
    return conf;
}

/* Set what no line has set; virtual hosts are merged already. */
static void conf_fill(apr_pool_t *pconf, server_rec *s)
{
    const tls_conf_t *main_conf = tls_conf_of(s);

    for (; s; s = s->next) {
        tls_conf_t *conf = conf_own(pconf, s, main_conf);

        if (conf->on == USHER_UNSET) {
            conf->on = 1;
        }
        conf_is_on |= conf->on;
    }
}

/* Without mod_ssl there would be nothing to tell of, and nobody would know why. */
static int conf_check_ssl(server_rec *s)
{
    if (ap_find_linked_module("mod_ssl.c")) {
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(4001)
                 "mod_usher_tls needs mod_ssl, whose handshakes it tells of: add \"LoadModule "
                 "ssl_module modules/mod_ssl.so\", or remove the LoadModule line of "
                 "usher_tls_module");
    return usher_conf_may_refuse() ? !OK : OK;
}

int tls_conf_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int rc = usher_core_lookup(&conf_core, "mod_usher_tls", s);

    conf_fill(pconf, s);
    return rc == OK ? conf_check_ssl(s) : rc;
}
