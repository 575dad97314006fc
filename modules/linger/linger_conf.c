/* The module's directives, and whether it has anything to do. */
#include <ap_mpm.h>

#include "linger_private.h"
#include "usher_duration.h"
#include "usher_number.h"

APLOG_USE_MODULE(usher_linger);

#define MS APR_TIME_C(1000)

int linger_conf_is_on;

static const usher_core_t *conf_core;
static usher_memory_t *conf_memory;

void *linger_conf_create(apr_pool_t *p, server_rec *s)
{
    static const linger_conf_t unset = { USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET };

    return apr_pmemdup(p, &unset, sizeof(unset));
}

void *linger_conf_merge(apr_pool_t *p, void *basev, void *addv)
{
    const linger_conf_t *base = basev, *add = addv;
    linger_conf_t *conf = apr_palloc(p, sizeof(*conf));

    conf->on = USHER_MERGE(on, base, add);
    conf->time = USHER_MERGE(time, base, add);
    conf->hits_max = USHER_MERGE(hits_max, base, add);
    conf->idle_percent = USHER_MERGE(idle_percent, base, add);
    return conf;
}

const linger_conf_t *linger_conf_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &usher_linger_module);
}

/* A directive of a server with one argument. Returns its settings, or NULL: it is
 * refused for *reason. */
static linger_conf_t *conf_place(cmd_parms *cmd, int argc, const char *argument,
                                 const char **reason)
{
    if (ap_check_cmd_context(cmd, NOT_IN_DIR_LOC_FILE)) {
        *reason = "belongs in the main server or in a virtual host, not in a section for "
                  "paths: one connection carries requests for many";
        return NULL;
    }
    if (argc != 1) {
        *reason = apr_pstrcat(cmd->pool, "takes one argument, ", argument, NULL);
        return NULL;
    }
    return ap_get_module_config(cmd->server->module_config, &usher_linger_module);
}

static const char *conf_set_on(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    const char *reason = NULL;
    linger_conf_t *conf = conf_place(cmd, argc, "On or Off", &reason);

    if (!conf) {
        return usher_conf_refuse(cmd, reason);
    }
    if (ap_cstr_casecmp(argv[0], "On") && ap_cstr_casecmp(argv[0], "Off")) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes On or Off", argv[0]));
    }
    conf->on = !ap_cstr_casecmp(argv[0], "On");
    return NULL;
}

static const char *conf_set_time(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    const char *reason = NULL;
    linger_conf_t *conf = conf_place(cmd, argc, "a time", &reason);
    apr_interval_time_t time;

    if (!conf) {
        return usher_conf_refuse(cmd, reason);
    }
    if (usher_duration_parse(&time, argv[0], strlen(argv[0])) != APR_SUCCESS
        || time < MS || time > 100 * MS) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes a time from 1ms to "
                                                   "100ms, with its unit", argv[0]));
    }
    conf->time = time;
    return NULL;
}

static const char *conf_set_hits(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    const char *reason = NULL;
    linger_conf_t *conf = conf_place(cmd, argc, "a number", &reason);
    apr_size_t len;
    apr_uint64_t number;

    if (!conf) {
        return usher_conf_refuse(cmd, reason);
    }
    len = strlen(argv[0]);
    if (!len || usher_number_parse(&number, 1000000, argv[0], len) != len) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes a number from 1 to "
                                                   "1000000, or 0 for no limit", argv[0]));
    }
    conf->hits_max = (int)number;
    return NULL;
}

static const char *conf_set_idle(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    const char *reason = NULL;
    linger_conf_t *conf = conf_place(cmd, argc, "a percentage", &reason);
    apr_size_t len;
    apr_uint64_t number;

    if (conf && ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        conf = NULL;
        reason = "belongs outside of all sections: virtual hosts share the threads";
    }
    if (!conf) {
        return usher_conf_refuse(cmd, reason);
    }
    len = strlen(argv[0]);
    if (len && argv[0][len - 1] == '%') {
        --len;
    }
    if (!len || usher_number_parse(&number, 95, argv[0], len) != len || number < 5) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes 5%% to 95%%", argv[0]));
    }
    conf->idle_percent = (int)number;
    return NULL;
}

const command_rec linger_conf_cmds[] = {
    AP_INIT_TAKE_ARGV("UsherLinger", conf_set_on, NULL, RSRC_CONF | ACCESS_CONF,
        "whether busy keep-alive connections stay on their thread: On or Off (default)"),
    AP_INIT_TAKE_ARGV("UsherLingerIdleThreads", conf_set_idle, NULL, RSRC_CONF | ACCESS_CONF,
        "how many of a process's threads must be idle for one to wait: percentage"),
    AP_INIT_TAKE_ARGV("UsherLingerMaxHits", conf_set_hits, NULL, RSRC_CONF | ACCESS_CONF,
        "how many requests in a row a connection stays on its thread: number, 0 for no limit"),
    AP_INIT_TAKE_ARGV("UsherLingerTime", conf_set_time, NULL, RSRC_CONF | ACCESS_CONF,
        "how long a thread waits for the next request of its connection"),
    { NULL }
};

/* Set in the main server what no line has set; virtual hosts are merged already. */
static void conf_fill(apr_pool_t *p, server_rec *s)
{
    static linger_conf_t defaults = {
        .on = 0, .time = 5 * MS, .hits_max = 100, .idle_percent = 25,
    };

    for (; s; s = s->next) {
        linger_conf_t *conf = linger_conf_merge(p, &defaults,
            ap_get_module_config(s->module_config, &usher_linger_module));

        ap_set_module_config(s->module_config, &usher_linger_module, conf);
        linger_conf_is_on |= conf->on;
    }
}

int linger_conf_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s)
{
    int rc = usher_core_lookup(&conf_core, "mod_usher_linger", s);
    int async = 0;

    linger_conf_is_on = 0;
    conf_fill(pconf, s);
    if (linger_conf_is_on && (ap_mpm_query(AP_MPMQ_IS_ASYNC, &async) != APR_SUCCESS || !async)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(10001)
                     "UsherLinger On does nothing with the MPM %s, whose threads wait for the "
                     "next request anyway: remove it, or load mpm_event", ap_show_mpm());
        linger_conf_is_on = 0;
    }
    conf_memory = conf_core ? conf_core->memory_declare(&linger_count_spec) : NULL;
    linger_conf_is_on &= conf_core != NULL;
    return rc;
}

int linger_conf_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                            server_rec *s)
{
    linger_count_use(conf_memory ? conf_core->memory_base(conf_memory, NULL) : NULL);
    return OK;
}
