/* mod_proxy's hooks: which requests are ours, and their exchange.
 *
 * mod_proxy may call a scheme handler more than once for a request: after a 503
 * with another member of a stock balancer, after a 502 of a ProxyRemote
 * directly. All that may be tried was tried in the first call, so the others
 * get its result. */
#include <stddef.h>
#include <string.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

typedef struct {
    proxy_balancer *balancer; /* of the first member; NULL: none */
    backend_exchange_t *exchange;
    const char *mapped; /* the URL as it was when <Proxy> sections were looked for */
} handler_record_t;

static handler_record_t *handler_record(request_rec *r)
{
    handler_record_t *record = ap_get_module_config(r->request_config, &usher_backend_module);

    if (!record) {
        record = apr_pcalloc(r->pool, sizeof(*record));
        ap_set_module_config(r->request_config, &usher_backend_module, record);
    }
    return record;
}

int backend_handler_fixups(request_rec *r)
{
    const proxy_server_conf *conf = ap_get_module_config(r->server->module_config, &proxy_module);

    if (r->proxyreq && conf->sec_proxy->nelts && r->filename
        && !strncmp(r->filename, "proxy:", 6)) {
        /* A copy: what makes it canonical writes into it (some releases of httpd, and unix
         * sockets), and half a URL would fit the wrong sections. */
        handler_record(r)->mapped = apr_pstrdup(r->pool, r->filename + 6);
    }
    return DECLINED;
}

const char *backend_handler_mapped(request_rec *r)
{
    return handler_record(r)->mapped;
}

backend_exchange_t *backend_handler_exchange(request_rec *r)
{
    const handler_record_t *record = ap_get_module_config(r->request_config,
                                                          &usher_backend_module);

    return record ? record->exchange : NULL;
}

/* Before the stock balancer replaces its URL by a member's: which one it is. */
int backend_handler_pre_request(proxy_worker **worker, proxy_balancer **balancer,
                                request_rec *r, proxy_server_conf *conf, char **url)
{
    if (!*balancer && !ap_cstr_casecmpn(*url, "balancer://", 11)) {
        handler_record(r)->balancer = ap_proxy_get_balancer(r->pool, conf, *url, 1);
    }
    return DECLINED;
}

/* Whether the balancer has a member that only another handler can serve. */
static int handler_is_mixed(const proxy_balancer *balancer)
{
    int i;

    for (i = 0; balancer && i < balancer->workers->nelts; ++i) {
        const proxy_worker *worker = APR_ARRAY_IDX(balancer->workers, i, const proxy_worker *);

        if (worker && worker->s /* else balancer-manager is just making it */
            && !backend_scheme_named(worker->s->scheme, strlen(worker->s->scheme))) {
            return 1;
        }
    }
    return 0;
}

/* A 503 would make mod_proxy mark its choice as in error for a minute and try
 * the others, which was done. The note ends its loop, and nobody is blamed. Only
 * where a member is left that we cannot serve it shall go on. */
static int handler_answer(request_rec *r, const handler_record_t *record)
{
    if (record->exchange->status == HTTP_SERVICE_UNAVAILABLE
        && !handler_is_mixed(record->balancer)) {
        apr_table_setn(r->notes, "proxy-error-override", "1");
    }
    return record->exchange->status;
}

int backend_handler_scheme(request_rec *r, proxy_worker *worker, proxy_server_conf *conf,
                           char *url, const char *proxyhost, apr_port_t proxyport)
{
    const usher_picker_provider_t *cluster = backend_handler_cluster();
    const backend_scheme_t *scheme;
    handler_record_t *record;
    backend_exchange_t *x;
    usher_picker_t *picker;

    if (!backend_conf_is_on(r)) {
        return DECLINED;
    }
    picker = cluster ? cluster->find(r, worker) : NULL;
    scheme = backend_scheme_of(url);
    if (!picker && !scheme) {
        return DECLINED;
    }
    record = handler_record(r);
    if (record->exchange) {
        return handler_answer(r, record);
    }
    x = apr_palloc(r->pool, sizeof(*x));
    memset(x, 0, offsetof(backend_exchange_t, out));
    record->exchange = x;
    x->r = r;
    x->sconf = conf;
    x->dconf = ap_get_module_config(r->per_dir_config, &proxy_module);
    x->conf = backend_conf_of(r);
    x->chosen = worker;
    /* No proxy understands AJP, and none shall see its secret. */
    x->remote_host = scheme && scheme->ajp ? NULL : proxyhost;
    x->remote_port = proxyport;
    x->picker = picker ? picker : backend_pick_stock(r, worker, record->balancer, url);
    backend_conf_picker(x->conf, x->picker);
    x->status = backend_exchange_run(x);
    backend_note_finish(x);
    return handler_answer(r, record);
}
