/* Settings of a virtual host, and what the lines of its requests say of it. */
#include "log_private.h"
#include "usher_text.h"

APLOG_USE_MODULE(usher_log);

void *log_conf_create(apr_pool_t *p, server_rec *s)
{
    return apr_pcalloc(p, sizeof(log_conf_t));
}

/* A virtual host with captures of its own has only those, as with CustomLog. */
void *log_conf_merge(apr_pool_t *p, void *basev, void *addv)
{
    const log_conf_t *base = basev, *add = addv;
    log_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->captures = add->captures ? add->captures : base->captures;
    conf->id_header = add->id_header ? add->id_header : base->id_header;
    return conf;
}

const log_conf_t *log_conf_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &usher_log_module);
}

const char *log_conf_why_not_here(const cmd_parms *cmd)
{
    return ap_check_cmd_context((cmd_parms *)cmd, NOT_IN_DIR_LOC_FILE)
        ? "belongs in the main server or in a virtual host, not in a section for paths: a line "
          "of the log is the virtual host's" : NULL;
}

static const char *conf_set_id_header(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    log_conf_t *conf = ap_get_module_config(cmd->server->module_config, &usher_log_module);
    const char *reason = log_conf_why_not_here(cmd);

    if (!reason && argc != 1) {
        reason = "takes one argument, the name of a header such as X-Request-Id, or Off";
    }
    if (!reason && (!usher_text_is_token(argv[0], strlen(argv[0]))
                    || !ap_cstr_casecmp(argv[0], "On"))) {
        reason = apr_psprintf(cmd->pool, "\"%s\": takes the name of a header, such as "
                              "X-Request-Id, or Off", argv[0]);
    }
    if (reason) {
        return usher_conf_refuse(cmd, reason);
    }
    conf->id_header = ap_cstr_casecmp(argv[0], "Off") ? argv[0] : "";
    return NULL;
}

const command_rec log_conf_cmds[] = {
    AP_INIT_TAKE_ARGV("UsherLogCapture", log_capture_set, NULL, RSRC_CONF | ACCESS_CONF,
        "what the lines of the log show: request header NAME len NUMBER, response header NAME "
        "len NUMBER, or cookie NAME len NUMBER"),
    AP_INIT_TAKE_ARGV("UsherLogIdHeader", conf_set_id_header, NULL, RSRC_CONF | ACCESS_CONF,
        "the header by which backends get the request's id: its name, or Off"),
    { NULL }
};

static usher_span_t conf_escaped(apr_pool_t *p, const char *name, usher_logtext_e where)
{
    apr_size_t len = strlen(name);
    usher_logtext_t to = { apr_palloc(p, 4 * len + 1), 4 * len, 0 };
    usher_span_t span;

    usher_logtext_escape(&to, name, len, where);
    span.text = to.text;
    span.len = to.len;
    return span;
}

static const char *conf_name(const server_rec *s)
{
    return s->server_hostname && *s->server_hostname ? s->server_hostname : "-";
}

const char *log_conf_name_port(apr_pool_t *p, const server_rec *s, apr_port_t port)
{
    return apr_psprintf(p, "%s:%u", conf_name(s), port);
}

apr_uint32_t log_conf_fill(apr_pool_t *p, server_rec *s)
{
    apr_uint32_t number = 0;

    for (; s; s = s->next, ++number) {
        /* A virtual host without a line of its own shares the main server's. */
        log_conf_t *conf = apr_pmemdup(p, log_conf_of(s), sizeof(*conf));
        const char *name = conf_name(s);

        conf->port = s->port ? s->port : s->addrs ? s->addrs->host_port : 0;
        conf->name_haproxy = conf_escaped(p, name, USHER_LOGTEXT_HAPROXY_BARE);
        conf->name_port = conf->port ? log_conf_name_port(p, s, conf->port) : NULL;
        conf->name = conf_escaped(p, conf->name_port ? conf->name_port : name, USHER_LOGTEXT_BARE);
        conf->number = number;
        ap_set_module_config(s->module_config, &usher_log_module, conf);
    }
    return number;
}
