/* Which balancers are clusters, and who their members are.
 *
 * It is decided once, in post_config, by the lbmethod of the configuration:
 * mod_proxy_balancer may change that field later (balancer-manager, or what
 * BalancerPersist kept), and it does not count any more then. */
#include <apr_hash.h>

#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

/* By the list of their members, which all copies of a balancer share. In pconf;
 * not changed after post_config. */
static apr_hash_t *clusters;

/* Of a child: guard the making of new lists of members. Taken after the
 * balancer's thread lock. */
static apr_thread_mutex_t *members_mutex;
static apr_pool_t *members_pool;

static void clusters_choice(balancer_choice_t *choice, balancer_cluster_t *cluster,
                            proxy_balancer *b)
{
    static const usher_health_params_t rest = USHER_PICKER_REST;

    memset(choice, 0, sizeof(*choice));
    choice->members = balancer_clusters_members(cluster, b, NULL, 1);
    choice->rest = &rest;
    choice->now = balancer_now();
    choice->stock = 1;
}

static proxy_worker *clusters_finder(proxy_balancer *b, request_rec *r)
{
    balancer_cluster_t *cluster = balancer_clusters_find(b);
    balancer_choice_t choice;
    int i;

    if (!cluster) {
        return NULL;
    }
    clusters_choice(&choice, cluster, b);
    i = balancer_pick_next(&choice);
    return i < 0 ? NULL : choice.members->list[i].worker;
}

static apr_status_t clusters_reset(proxy_balancer *b, server_rec *s)
{
    return APR_SUCCESS;
}

/* mod_proxy_balancer has found the member of a session. */
static apr_status_t clusters_update(proxy_balancer *b, proxy_worker *elected, server_rec *s)
{
    balancer_cluster_t *cluster = balancer_clusters_find(b);
    balancer_choice_t choice;
    int i;

    if (cluster) {
        clusters_choice(&choice, cluster, b);
        for (i = 0; i < choice.members->count; ++i) {
            if (choice.members->list[i].worker == elected) {
                balancer_pick_took(&choice, i);
            }
        }
    }
    return APR_SUCCESS;
}

const proxy_balancer_method balancer_method = {
    .name = "usher",
    .finder = clusters_finder,
    .reset = clusters_reset,
    .age = clusters_reset,
    .updatelbstatus = clusters_update,
};

int balancer_clusters_is_ours(const proxy_balancer *b)
{
    return b->lbmethod && b->lbmethod->finder == clusters_finder;
}

balancer_cluster_t *balancer_clusters_find(const proxy_balancer *b)
{
    return clusters ? apr_hash_get(clusters, &b->workers, sizeof(void *)) : NULL;
}

/* A member that the registry has no room for is known to this process alone. */
static usher_member_rec_t *clusters_record(const balancer_cluster_t *cluster,
                                           const proxy_worker *worker, apr_pool_t *p)
{
    usher_member_rec_t *rec = balancer_core
        ? balancer_core->registry_member(cluster->rec, worker->s->route, worker->s->name_ex)
        : NULL;

    return rec ? rec : apr_pcalloc(p, sizeof(*rec));
}

/* Nobody checks what balancer-manager adds. */
static int clusters_may_serve(const balancer_cluster_t *cluster, const proxy_worker *worker)
{
    if (!cluster->standin || balancer_check_is_served(worker->s->scheme)) {
        return 1;
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, USHERLOGNO(3012)
                 "%s: its new member %s gets no requests, as mod_usher_backend does not "
                 "serve its scheme: add members with http URLs", cluster->name,
                 worker->s->name_ex);
    return 0;
}

/* A worker that balancer-manager is just making is left out, and found by the
 * next request: then seen is not the length of the list. */
static balancer_members_t *clusters_make_members(const balancer_cluster_t *cluster,
                                                 const balancer_members_t *old, apr_pool_t *p)
{
    int nelts = cluster->workers->nelts;
    balancer_members_t *members =
        apr_pcalloc(p, sizeof(*members) + (apr_size_t)nelts * sizeof(balancer_member_t));
    int i;

    members->seen = nelts;
    for (i = 0; i < nelts; ++i) {
        proxy_worker *worker = APR_ARRAY_IDX(cluster->workers, i, proxy_worker *);
        balancer_member_t *member = &members->list[members->count];

        if (!worker || !worker->s) {
            members->seen = -1;
            continue;
        }
        if (!clusters_may_serve(cluster, worker)) {
            continue;
        }
        member->worker = worker;
        member->rec = old && members->count < old->count
                      && old->list[members->count].worker == worker
                          ? old->list[members->count].rec
                          : clusters_record(cluster, worker, p);
        ++members->count;
    }
    return members;
}

const balancer_members_t *balancer_clusters_members(balancer_cluster_t *cluster,
                                                    proxy_balancer *b, request_rec *r, int locked)
{
    balancer_members_t *members = atomic_load(&cluster->members);
    int stale = !locked && b->storage && b->s->wupdated > b->wupdated;

    if (!stale && members->seen == cluster->workers->nelts) {
        return members;
    }
    if (!locked) {
        PROXY_THREAD_LOCK(b);
    }
    apr_thread_mutex_lock(members_mutex);
    if (stale) {
        /* All copies of the balancer share the list that this makes longer; each
         * has a thread lock of its own. */
        ap_proxy_sync_balancer(
            b, r->server, ap_get_module_config(r->server->module_config, &proxy_module));
    }
    members = atomic_load(&cluster->members);
    if (members->seen != cluster->workers->nelts) {
        members = clusters_make_members(cluster, members, members_pool);
        atomic_store(&cluster->members, members);
    }
    apr_thread_mutex_unlock(members_mutex);
    if (!locked) {
        PROXY_THREAD_UNLOCK(b);
    }
    return members;
}

/* What mod_proxy is given in place of a member: usable, never blamed, and in no
 * list of mod_proxy's, so that nobody else sees it. */
static proxy_worker *clusters_make_standin(const char *name, server_rec *s, apr_pool_t *pconf)
{
    proxy_worker *standin = NULL;
    const char *why = ap_proxy_define_worker(
        pconf, &standin, NULL, NULL,
        apr_pstrcat(pconf, "http://", name + strlen("balancer://"), NULL), 0);

    if (why) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(3003)
                     "%s is served by the stock modules, as mod_proxy takes no such "
                     "name for a worker (%s): give the balancer a name that could be "
                     "a host's", name, why);
        return NULL;
    }
    PROXY_STRNCPY(standin->s->name, name);
    PROXY_STRNCPY(standin->s->name_ex, name);
    PROXY_STRNCPY(standin->s->scheme, "balancer");
    standin->s->status |= PROXY_WORKER_IGNORE_ERRORS | PROXY_WORKER_INITIALIZED
                          | PROXY_WORKER_GENERIC;
    standin->local_status |= PROXY_WORKER_INITIALIZED;
    standin->s->retry_set = 1;
    return standin;
}

static void clusters_add(const proxy_balancer *b, server_rec *s, int is_main, apr_pool_t *pconf)
{
    balancer_cluster_t *cluster = apr_pcalloc(pconf, sizeof(*cluster));
    const char *why = balancer_check_why_not(b, s, pconf);

    cluster->name = apr_pstrdup(pconf, b->s->name);
    cluster->server = is_main ? "" : usher_picker_server(pconf, s);
    cluster->workers = b->workers;
    if (balancer_core && !why && ap_find_linked_module(BALANCER_BACKEND)) {
        cluster->standin = clusters_make_standin(cluster->name, s, pconf);
    }
    if (balancer_core) {
        cluster->rec = balancer_core->registry_cluster(cluster->name, cluster->server);
    }
    atomic_store(&cluster->members, clusters_make_members(cluster, NULL, pconf));
    if (!cluster->rec) {
        cluster->rec = apr_pcalloc(pconf, sizeof(*cluster->rec));
    }
    /* The array's address is the key, and lies in the cluster. */
    apr_hash_set(clusters, &cluster->workers, sizeof(void *), cluster);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, USHERLOGNO(3004)
                 "%s is a cluster of %d members; its requests are carried by %s",
                 cluster->name, cluster->workers->nelts,
                 cluster->standin ? "mod_usher_backend, except where UsherBackend is Off"
                                  : "the stock modules");
}

/* The main server's cluster, inherited by a virtual host that has a ProxyPass
 * to it, loses its lbmethod in mod_proxy's merge. */
static void clusters_mend_copy(proxy_balancer *b)
{
    b->lbmethod = (proxy_balancer_method *)&balancer_method;
    PROXY_STRNCPY(b->s->lbpname, balancer_method.name);
}

int balancer_clusters_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                  server_rec *main_server)
{
    server_rec *s;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    clusters = apr_hash_make(pconf);
    for (s = main_server; s; s = s->next) {
        proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
        proxy_balancer *b = (proxy_balancer *)conf->balancers->elts;
        int i;

        for (i = 0; i < conf->balancers->nelts; ++i) {
            balancer_cluster_t *cluster = balancer_clusters_find(&b[i]);

            if (!cluster && balancer_clusters_is_ours(&b[i])) {
                clusters_add(&b[i], s, s == main_server, pconf);
            }
            else if (cluster && !*cluster->server && !balancer_clusters_is_ours(&b[i])) {
                clusters_mend_copy(&b[i]);
            }
        }
    }
    return OK;
}

void balancer_clusters_child_init(apr_pool_t *pchild, server_rec *s)
{
    /* Not below pchild, which other threads use at the same time, and which goes
     * while requests of a child that ends at once still read their members. */
    apr_pool_create_unmanaged_ex(&members_pool, NULL, NULL);
    apr_thread_mutex_create(&members_mutex, APR_THREAD_MUTEX_DEFAULT, members_pool);
}
