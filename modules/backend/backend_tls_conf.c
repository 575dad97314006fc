/* Whether the configuration has what backends with TLS need. mod_ssl's own settings cannot be
 * looked at from here; that it is loaded can. */
#include <http_ssl.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

static int tls_is_wanted(const proxy_worker *worker)
{
    const backend_scheme_t *scheme = backend_scheme_named(worker->s->scheme,
                                                          strlen(worker->s->scheme));

    return scheme && scheme->tls;
}

/* The name of a backend with TLS; NULL: this server has none. */
static const char *tls_worker(const proxy_server_conf *conf)
{
    const proxy_worker *workers = (const proxy_worker *)conf->workers->elts;
    const proxy_balancer *balancers = (const proxy_balancer *)conf->balancers->elts;
    int i, j;

    for (i = 0; i < conf->workers->nelts; ++i) {
        if (tls_is_wanted(&workers[i])) {
            return workers[i].s->name_ex;
        }
    }
    for (i = 0; i < conf->balancers->nelts; ++i) {
        for (j = 0; j < balancers[i].workers->nelts; ++j) {
            const proxy_worker *worker = APR_ARRAY_IDX(balancers[i].workers, j, proxy_worker *);

            if (tls_is_wanted(worker)) {
                return worker->s->name_ex;
            }
        }
    }
    return NULL;
}

void backend_tls_check_config(server_rec *s)
{
    const char *worker = NULL;

    for (; s && !worker && !ap_ssl_has_outgoing_handlers(); s = s->next) {
        worker = tls_worker(ap_get_module_config(s->module_config, &proxy_module));
        if (worker) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(2030)
                         "requests to %s will be answered with 503: no module is loaded for TLS "
                         "to backends. Add \"LoadModule ssl_module modules/mod_ssl.so\" and "
                         "SSLProxyEngine On", worker);
        }
    }
}
