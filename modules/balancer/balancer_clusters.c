/* Which balancers are clusters.
 *
 * It is decided once, in post_config, by the lbmethod of the configuration:
 * mod_proxy_balancer may change that field later (balancer-manager, or what
 * BalancerPersist kept), and it does not count any more then. */
#include <apr_hash.h>
#include <openssl/sha.h>

#include "balancer_choose.h"

APLOG_USE_MODULE(usher_balancer);

/* By the list of their members, which all copies of a balancer share. In pconf;
 * not changed after post_config. */
static apr_hash_t *clusters;

/* Holds the members: balancer_lists_drop(). */
static void clusters_choice(balancer_choice_t *choice, balancer_cluster_t *cluster,
                            proxy_balancer *b, request_rec *r)
{
    static const usher_health_params_t rest = USHER_PICKER_REST;

    memset(choice, 0, sizeof(*choice));
    choice->cluster = cluster;
    choice->members = balancer_lists_hold(cluster, b, NULL, 1);
    choice->rest = &rest;
    choice->now = balancer_now();
    choice->stock = 1;
    choice->r = r;
    choice->full_too = 1;
}

static proxy_worker *clusters_finder(proxy_balancer *b, request_rec *r)
{
    balancer_cluster_t *cluster = balancer_clusters_find(b);
    balancer_choice_t choice;
    proxy_worker *worker;
    int i;

    if (!cluster) {
        return NULL;
    }
    clusters_choice(&choice, cluster, b, r);
    i = balancer_session_choose_stock(cluster, r, &choice);
    if (i == -1) {
        i = balancer_pick_next(&choice);
    }
    /* A static one: a registered one is never chosen for the stock modules. */
    worker = i < 0 ? NULL : choice.members->list[i].worker;
    balancer_lists_drop(choice.members);
    return worker;
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
        clusters_choice(&choice, cluster, b, NULL);
        for (i = 0; i < choice.members->count; ++i) {
            if (choice.members->list[i].worker == elected) {
                balancer_pick_took(&choice, i);
            }
        }
        balancer_lists_drop(choice.members);
    }
    return APR_SUCCESS;
}

#define PROVIDER(lbmethod)                                                     \
    {                                                                          \
        .name = (lbmethod), .finder = clusters_finder, .reset = clusters_reset, \
        .age = clusters_reset, .updatelbstatus = clusters_update               \
    }

/* In the order of balancer_method_at(). */
const proxy_balancer_method balancer_providers[BALANCER_METHODS] = {
    PROVIDER("usher"), PROVIDER("usher-requests"), PROVIDER("usher-busyness"),
    PROVIDER("usher-hash")
};

int balancer_clusters_is_ours(const proxy_balancer *b)
{
    return b->lbmethod && b->lbmethod->finder == clusters_finder;
}

balancer_cluster_t *balancer_clusters_find(const proxy_balancer *b)
{
    return clusters ? apr_hash_get(clusters, &b->workers, sizeof(void *)) : NULL;
}

int usher_balancer_is_cluster(const proxy_balancer *b)
{
    return balancer_clusters_find(b) != NULL;
}

void balancer_clusters_each(void (*see)(balancer_cluster_t *cluster))
{
    apr_hash_index_t *at = clusters ? apr_hash_first(NULL, clusters) : NULL;

    for (; at; at = apr_hash_next(at)) {
        see(apr_hash_this_val(at));
    }
}

void balancer_clusters_member_id(const balancer_cluster_t *cluster, const proxy_worker *worker,
                                 unsigned char id[USHER_ID_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char text[PROXY_BALANCER_MAX_NAME_SIZE + PROXY_WORKER_RFC1035_NAME_SIZE + 8];
    int len = apr_snprintf(text, sizeof(text), "%s%c%s%c%s", cluster->name, 0,
                           *worker->s->route ? "route" : "url", 0,
                           *worker->s->route ? worker->s->route : worker->s->name_ex);

    SHA256((const unsigned char *)text, (size_t)len, digest);
    memcpy(id, digest, USHER_ID_SIZE);
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

static void clusters_add(proxy_balancer *b, server_rec *s, int is_main, apr_pool_t *pconf)
{
    balancer_cluster_t *cluster = apr_pcalloc(pconf, sizeof(*cluster));
    unsigned char digest[SHA256_DIGEST_LENGTH];
    const char *why = balancer_check_why_not(b, s, pconf);

    cluster->name = apr_pstrdup(pconf, b->s->name);
    cluster->server = is_main ? "" : usher_picker_server(pconf, s);
    cluster->home = s;
    cluster->balancer = b;
    cluster->conf = balancer_conf_of(b, s, pconf);
    cluster->sticky = balancer_sticky_make(&cluster->conf->sticky, cluster->name, s, pconf);
    cluster->method = balancer_method_at((int)(b->lbmethod - balancer_providers));
    SHA256((const unsigned char *)cluster->name, strlen(cluster->name), digest);
    memcpy(cluster->seed, digest, sizeof(cluster->seed));
    cluster->stick = balancer_stick_of(cluster->conf->stick, cluster->name, cluster->server, pconf);
    cluster->workers = b->workers;
    if (balancer_core && !why && ap_find_linked_module(BALANCER_BACKEND)) {
        cluster->standin = clusters_make_standin(cluster->name, s, pconf);
    }
    if (balancer_core) {
        cluster->rec = balancer_core->registry_cluster(cluster->name, cluster->server);
    }
    balancer_lists_begin(cluster, pconf);
    if (!cluster->rec) {
        cluster->rec = apr_pcalloc(pconf, sizeof(*cluster->rec));
    }
    atomic_store(&cluster->rec->sticky.window, cluster->sticky ? cluster->sticky->window : 0);
    if (cluster->sticky || cluster->conf->keys_file) {
        balancer_keys_need(cluster, s, pconf);
    }
    cluster->generation = cluster->rec->generation;
    /* The array's address is the key, and lies in the cluster. */
    apr_hash_set(clusters, &cluster->workers, sizeof(void *), cluster);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, USHERLOGNO(3004)
                 "%s is a cluster of %d members%s; its requests are carried by %s",
                 cluster->name, cluster->workers->nelts,
                 cluster->workers->nelts || !cluster->standin ? "" : " (others may sign in)",
                 cluster->standin ? "mod_usher_backend, except where UsherBackend is Off"
                                  : "the stock modules");
}

/* As the roster calls a cluster: with its server where several define the name. */
static void clusters_name(balancer_cluster_t *cluster)
{
    const char *name = cluster->name + sizeof(BALANCER_PREFIX) - 1;
    apr_pool_t *p = apr_hash_pool_get(clusters);
    apr_hash_index_t *at = apr_hash_first(p, clusters); /* the caller has the hash's own */
    int same = 0;

    for (; at; at = apr_hash_next(at)) {
        const balancer_cluster_t *other = apr_hash_this_val(at);

        same += !strcmp(other->name, cluster->name);
    }
    cluster->joined_name = same == 1 || !cluster->home->server_hostname ? name
        : apr_pstrcat(p, name, "@", cluster->home->server_hostname, NULL);
    balancer_lists_open(cluster);
}

/* The main server's cluster, inherited by a virtual host that has a ProxyPass
 * to it, loses its lbmethod in mod_proxy's merge. */
static void clusters_mend_copy(proxy_balancer *b, const balancer_cluster_t *cluster)
{
    int i;

    for (i = 0; i < BALANCER_METHODS; ++i) {
        if (balancer_method_at(i) == cluster->method) {
            b->lbmethod = (proxy_balancer_method *)&balancer_providers[i];
            PROXY_STRNCPY(b->s->lbpname, balancer_providers[i].name);
        }
    }
}

int balancer_clusters_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                  server_rec *main_server)
{
    server_rec *s;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    clusters = apr_hash_make(pconf);
    balancer_stick_post_config();
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
                clusters_mend_copy(&b[i], cluster);
            }
        }
    }
    if (balancer_core) {
        balancer_clusters_each(clusters_name);
        balancer_lists_post_config();
    }
    return OK;
}

void balancer_clusters_child_init(apr_pool_t *pchild, server_rec *s)
{
    balancer_lists_child_init();
}
