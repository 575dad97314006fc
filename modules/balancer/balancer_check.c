/* What can be known from the configuration: a cluster that cannot work is
 * refused by configtest and at the first start. At a restart it is logged, and
 * the stock modules serve that balancer. */
#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

const usher_core_t *balancer_core;

int balancer_check_is_served(const char *scheme)
{
    static const char *const served[] = { "http", "https", "ws", "wss", "ajp", NULL };
    int i;

    for (i = 0; served[i]; ++i) {
        if (!ap_cstr_casecmp(scheme, served[i])) {
            return 1;
        }
    }
    return 0;
}

static const char *check_members(const proxy_balancer *b, apr_pool_t *p)
{
    int i;

    for (i = 0; i < b->workers->nelts; ++i) {
        const proxy_worker *worker = APR_ARRAY_IDX(b->workers, i, proxy_worker *);

        if (!balancer_check_is_served(worker->s->scheme)) {
            return apr_psprintf(p, "its member %s is no http, https, ws, wss or ajp server: "
                                "give this balancer another lbmethod", worker->s->name_ex);
        }
    }
    return NULL;
}

/* mod_proxy goes by the URL that it has, which is the cluster's. */
static int check_remote_fits(const struct proxy_remote *remote, const char *url)
{
    if (!strcmp(remote->scheme, "*")) {
        return 1;
    }
    if (remote->use_regex) {
        return !ap_regexec(remote->regexp, url, 0, NULL, 0);
    }
    if (!ap_strchr_c(remote->scheme, ':')) {
        return !ap_cstr_casecmp(remote->scheme, "balancer");
    }
    return !ap_cstr_casecmpn(url, remote->scheme, strlen(remote->scheme));
}

static const char *check_remotes(const proxy_balancer *b, server_rec *s, apr_pool_t *p)
{
    const proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    const char *url = apr_pstrcat(p, b->s->name, "/", NULL);
    int i;

    for (i = 0; i < conf->proxies->nelts; ++i) {
        const struct proxy_remote *remote = &APR_ARRAY_IDX(conf->proxies, i, struct proxy_remote);

        if (check_remote_fits(remote, url)) {
            return apr_psprintf(p, "\"ProxyRemote %s\" holds for it too, and a cluster's members "
                                "are reached directly: name the schemes or URLs that go through "
                                "that proxy, such as \"ProxyRemote http\"", remote->scheme);
        }
    }
    return NULL;
}

const char *balancer_check_why_not(const proxy_balancer *b, server_rec *s, apr_pool_t *p)
{
    int backend = ap_find_linked_module(BALANCER_BACKEND) != NULL;
    const char *why = check_members(b, p);

    if (!backend && !ap_find_linked_module(BALANCER_STOCK)) {
        return "no module carries its requests: load mod_usher_backend, or mod_proxy_balancer "
               "and mod_proxy_http";
    }

    /* Without the backend handler mod_proxy sees the member's URL. */
    return why || !backend ? why : check_remotes(b, s, p);
}

/* Whether it is the main server's cluster, inherited by a virtual host. */
static int check_is_copy(const proxy_balancer *b, server_rec *main_server)
{
    const proxy_server_conf *conf =
        ap_get_module_config(main_server->module_config, &proxy_module);
    const proxy_balancer *known = (const proxy_balancer *)conf->balancers->elts;
    int i;

    for (i = 0; i < conf->balancers->nelts; ++i) {
        if (known[i].workers == b->workers) {
            return balancer_clusters_is_ours(&known[i]);
        }
    }
    return 0;
}

static const char *check_cluster(const proxy_balancer *b, server_rec *s, server_rec *main_server,
                                 apr_pool_t *p)
{
    const void *conf = ap_get_module_config(s->module_config, &proxy_module);
    const void *main_conf = ap_get_module_config(main_server->module_config, &proxy_module);

    if (s != main_server && check_is_copy(b, main_server)) {
        /* All else is said of the original. */
        return ap_find_linked_module(BALANCER_BACKEND) && conf != main_conf
                   ? check_remotes(b, s, p) : NULL;
    }
    return balancer_clusters_is_ours(b) ? balancer_check_why_not(b, s, p) : NULL;
}

/* All that is wrong is said. */
static int check_clusters(server_rec *s, server_rec *main_server, apr_pool_t *ptemp)
{
    const proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    const proxy_balancer *b = (const proxy_balancer *)conf->balancers->elts;
    int i, wrong = 0;

    for (i = 0; i < conf->balancers->nelts; ++i) {
        const char *why = check_cluster(&b[i], s, main_server, ptemp);

        if (why) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(3001)
                         "%s cannot be a cluster (lbmethod=%s): %s", b[i].s->name,
                         balancer_method.name, why);
            wrong = 1;
        }
    }
    return wrong;
}

int balancer_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int rc = usher_core_lookup(&balancer_core, "mod_usher_balancer", s);
    server_rec *host;
    int wrong = 0;

    if (ap_find_linked_module("mod_proxy_cluster.c")) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(3002)
                     "mod_usher_balancer cannot work beside mod_proxy_cluster, which changes "
                     "all balancers: load one of them");
        balancer_core = NULL;
        wrong = 1;
    }
    for (host = s; host; host = host->next) {
        wrong |= check_clusters(host, s, ptemp);
    }
    return wrong && usher_conf_may_refuse() ? !OK : rc;
}
