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

static int check_refuse(const proxy_balancer *b, server_rec *s, const char *why)
{
    if (why) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(3023)
                     "<Proxy %s>: %s", b->s->name, why);
    }
    return why != NULL;
}

/* What does nothing as it stands. It may be there for another day: it is not refused. */
static void check_idle(const proxy_balancer *b, server_rec *s, const balancer_conf_t *conf)
{
    if (conf->hash.key && strcmp(b->lbmethod->name, "usher-hash") != 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(3057)
                     "<Proxy %s>: UsherHashKey means nothing with lbmethod=%s: write \"ProxySet "
                     "lbmethod=usher-hash\", or take it out", b->s->name, b->lbmethod->name);
    }
    if (conf->stick && !ap_find_linked_module(BALANCER_BACKEND)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(3058)
                     "<Proxy %s>: UsherStick means nothing without mod_usher_backend: load it, or "
                     "take UsherStick out", b->s->name);
    }
}

/* What its directives say that does not fit; of a copy it is said once, of the original. */
static int check_settings(const proxy_balancer *b, server_rec *s, server_rec *main_server,
                          apr_pool_t *p)
{
    const balancer_conf_t *conf;
    int wrong;

    if (!balancer_clusters_is_ours(b) || (s != main_server && check_is_copy(b, main_server))) {
        return 0;
    }
    conf = balancer_conf_of(b, s, p);
    balancer_sticky_check(&conf->sticky, b->s->name, s);
    check_idle(b, s, conf);
    wrong = check_refuse(b, s, balancer_load_conf_why_not(&conf->load, b, p));
    return check_refuse(b, s, balancer_probe_why_not(b, s, p)) || wrong;
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
                         balancer_clusters_is_ours(&b[i]) ? b[i].lbmethod->name
                                                         : balancer_providers[0].name, why);
            wrong = 1;
        }
        wrong |= check_settings(&b[i], s, main_server, ptemp);
    }
    return wrong;
}

/* Whether a section is the main server's, which virtual hosts have as well. */
static int check_is_inherited(const ap_conf_vector_t *section, server_rec *main_server)
{
    const proxy_server_conf *conf =
        ap_get_module_config(main_server->module_config, &proxy_module);
    int i;

    for (i = 0; i < conf->sec_proxy->nelts; ++i) {
        if (APR_ARRAY_IDX(conf->sec_proxy, i, ap_conf_vector_t *) == section) {
            return 1;
        }
    }
    return 0;
}

/* Of any server: a virtual host may make a cluster of the main server's balancer. */
static int check_is_clusters(ap_conf_vector_t *section, server_rec *main_server)
{
    const server_rec *s;
    int i;

    for (s = main_server; s; s = s->next) {
        const proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
        const proxy_balancer *b = (const proxy_balancer *)conf->balancers->elts;

        for (i = 0; i < conf->balancers->nelts; ++i) {
            if (balancer_clusters_is_ours(&b[i]) && balancer_conf_is_of(section, b[i].s->name)) {
                return 1;
            }
        }
    }
    return 0;
}

/* Our directives in the section of a balancer that is no cluster: a lbmethod that was
 * forgotten, or that was changed to go back to the stock balancer. So it is not refused. */
static void check_sections(server_rec *s, server_rec *main_server)
{
    const proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    int i;

    for (i = 0; i < conf->sec_proxy->nelts; ++i) {
        ap_conf_vector_t *section = APR_ARRAY_IDX(conf->sec_proxy, i, ap_conf_vector_t *);
        const proxy_dir_conf *named = ap_get_module_config(section, &proxy_module);

        if (ap_get_module_config(section, &usher_balancer_module)
            && (s == main_server || !check_is_inherited(section, main_server))
            && !check_is_clusters(section, main_server)) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(3056)
                         "<Proxy %s>: its Usher directives mean nothing, as no balancer of this "
                         "name has lbmethod=usher or one of its sisters: add \"ProxySet "
                         "lbmethod=usher\", or take them out", named->p ? named->p : "");
        }
    }
}

int balancer_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int rc = usher_core_lookup(&balancer_core, "mod_usher_balancer", s);
    server_rec *host;
    int wrong = 0;

    balancer_load_check_config();
    balancer_stick_check_config();
    if (ap_find_linked_module("mod_proxy_cluster.c")) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(3002)
                     "mod_usher_balancer cannot work beside mod_proxy_cluster, which changes "
                     "all balancers: load one of them");
        balancer_core = NULL;
        wrong = 1;
    }
    for (host = s; host; host = host->next) {
        wrong |= check_clusters(host, s, ptemp);
        if (host == s || ap_get_module_config(host->module_config, &proxy_module)
                         != ap_get_module_config(s->module_config, &proxy_module)) {
            check_sections(host, s);
        }
    }
    return wrong && usher_conf_may_refuse() ? !OK : rc;
}
