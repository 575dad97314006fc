/* Members that are named by a host's name. Nobody here looks it up: a request would wait for the answer. So who of
 * them connects here may be banned, and that is said when the configuration is read. */
#include <mod_proxy.h>

#include "ban_private.h"

APLOG_USE_MODULE(usher_ban);

/* More than that are "and others". */
#define NAMES_MAX 8

typedef struct {
    const char *text;          /* "app1.example, app2.example"; NULL: none yet */
    apr_array_header_t *names; /* const char * */
    apr_pool_t *p;
} names_t;

static int names_has(const names_t *names, const char *host)
{
    int i;

    for (i = 0; i < names->names->nelts; ++i) {
        if (!ap_cstr_casecmp(APR_ARRAY_IDX(names->names, i, const char *), host)) {
            return 1;
        }
    }
    return 0;
}

/* A socket in the file system connects nowhere; localhost is loopback's; a name with "$1" in it is no name yet. */
static void names_add(names_t *names, const proxy_worker *worker)
{
    const char *host = worker->s->hostname_ex;
    usher_cidr_range_t range;

    if (*worker->s->uds_path || !*host || strchr(host, '$') || !ap_cstr_casecmp(host, "localhost")
        || usher_cidr_parse(&range, host, strlen(host)) || names_has(names, host)) {
        return;
    }
    APR_ARRAY_PUSH(names->names, const char *) = host;
    if (names->names->nelts <= NAMES_MAX) {
        names->text = names->text ? apr_pstrcat(names->p, names->text, ", ", host, NULL) : host;
    }
}

static void names_add_server(names_t *names, const proxy_server_conf *conf)
{
    int i, j;

    for (i = 0; i < conf->workers->nelts; ++i) {
        names_add(names, &APR_ARRAY_IDX(conf->workers, i, proxy_worker));
    }
    for (i = 0; i < conf->balancers->nelts; ++i) {
        const apr_array_header_t *workers = APR_ARRAY_IDX(conf->balancers, i, proxy_balancer).workers;

        for (j = 0; j < workers->nelts; ++j) {
            names_add(names, APR_ARRAY_IDX(workers, j, proxy_worker *));
        }
    }
}

void ban_names_check_config(apr_pool_t *ptemp, server_rec *s)
{
    const module *proxy = ap_find_linked_module("mod_proxy.c");
    names_t names = { NULL, apr_array_make(ptemp, 8, sizeof(const char *)), ptemp };
    const server_rec *server;

    for (server = s; proxy && server; server = server->next) {
        names_add_server(&names, ap_get_module_config(server->module_config, proxy));
    }
    if (names.text) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(8046)
                     "members that are named by a host's name may be banned as anybody else, as it is not looked up: "
                     "%s%s. If they connect to this httpd, say \"UsherBanNever\" with their addresses", names.text,
                     names.names->nelts > NAMES_MAX ? " and others" : "");
    }
}
