/* All clusters and members of the registry, each with the worker that mod_proxy has of it.
 * Nothing is entered by looking: workers are found by their names, not by asking the
 * registry for their records. */
#include <apr_escape.h>
#include <apr_hash.h>

#include "status_private.h"
#include "usher_text.h"

APLOG_USE_MODULE(usher_status);

static const module *proxy; /* NULL: not loaded */
static APR_OPTIONAL_FN_TYPE(usher_balancer_is_cluster) *is_cluster;

void status_view_post_config(apr_pool_t *pconf)
{
    proxy = ap_find_linked_module("mod_proxy.c");
    is_cluster = APR_RETRIEVE_OPTIONAL_FN(usher_balancer_is_cluster);
}

const char *status_view_text(apr_pool_t *p, const char *bytes, apr_size_t size)
{
    /* Another process may just be making it longer. */
    const char *copy = apr_pstrndup(p, bytes, size);
    apr_size_t len = strlen(copy);
    char *text = apr_palloc(p, USHER_TEXT_SHOWN_SIZE(len));

    usher_text_show(text, copy, len);
    return text;
}

apr_time_t status_view_utc(const status_view_t *view, apr_int64_t boot)
{
    /* What lies ahead nobody has written. */
    return boot <= 0 || boot > view->boot + 1000 ? 0 : view->utc - (view->boot - boot) * 1000;
}

apr_time_t status_view_time(apr_int64_t utc)
{
    /* Up to the year 9999. */
    return utc > 0 && utc < APR_INT64_C(253402300800000) ? utc * 1000 : 0;
}

static const char *view_id(apr_pool_t *p, const unsigned char *id)
{
    return apr_pescape_hex(p, id, USHER_ID_SIZE, 0);
}

/* A balancer and who defines it, as a record would name them. */
static const char *view_key(apr_pool_t *p, const char *name, const char *server)
{
    return apr_psprintf(p, "%.*s\n%.*s", USHER_REGISTRY_NAME_SIZE - 1, name,
                        USHER_REGISTRY_SERVER_SIZE - 1, server);
}

/* Clusters by their id, balancers by their key, and members until all clusters are known. */
typedef struct {
    status_view_t *view;
    apr_hash_t *clusters;
    apr_hash_t *balancers;
    apr_array_header_t *members; /* usher_member_rec_t * */
} view_walk_t;

static void view_balancers(view_walk_t *walk, server_rec *main_server)
{
    apr_pool_t *p = walk->view->pool;
    apr_hash_t *seen = apr_hash_make(p); /* lists of members, which copies share */
    server_rec *s;
    int i;

    for (s = proxy ? main_server : NULL; s; s = s->next) {
        const proxy_server_conf *conf = ap_get_module_config(s->module_config, proxy);

        for (i = 0; i < conf->balancers->nelts; ++i) {
            const proxy_balancer *b = &APR_ARRAY_IDX(conf->balancers, i, proxy_balancer);

            if (!apr_hash_get(seen, &b->workers, sizeof(void *))) {
                apr_hash_set(seen, &b->workers, sizeof(void *), b);
                apr_hash_set(walk->balancers,
                             view_key(p, b->s->name,
                                      s == main_server ? "" : usher_picker_server(p, s)),
                             APR_HASH_KEY_STRING, b);
            }
        }
    }
}

/* By URL, cut as in a record. mod_proxy may just be making the list longer. */
static apr_hash_t *view_workers(apr_pool_t *p, const proxy_balancer *b)
{
    apr_hash_t *workers = apr_hash_make(p);
    int len = __atomic_load_n(&b->workers->nelts, __ATOMIC_ACQUIRE), i;
    proxy_worker *const *list =
        (proxy_worker *const *)(const void *)__atomic_load_n(&b->workers->elts, __ATOMIC_RELAXED);

    for (i = 0; i < len; ++i) {
        if (list[i] && list[i]->s) {
            apr_hash_set(workers,
                         apr_pstrndup(p, list[i]->s->name_ex, USHER_REGISTRY_URL_SIZE - 1),
                         APR_HASH_KEY_STRING, list[i]);
        }
    }
    return workers;
}

static void view_add_cluster(view_walk_t *walk, usher_cluster_rec_t *rec)
{
    apr_pool_t *p = walk->view->pool;
    status_cluster_t *cluster = apr_pcalloc(p, sizeof(*cluster));
    const proxy_balancer *b;

    cluster->rec = rec;
    cluster->id = view_id(p, rec->id);
    cluster->name = status_view_text(p, rec->name, sizeof(rec->name));
    cluster->server = status_view_text(p, rec->server, sizeof(rec->server));
    cluster->members = apr_array_make(p, 4, sizeof(status_member_t *));
    b = apr_hash_get(walk->balancers,
                     view_key(p, apr_pstrndup(p, rec->name, sizeof(rec->name) - 1),
                              apr_pstrndup(p, rec->server, sizeof(rec->server) - 1)),
                     APR_HASH_KEY_STRING);
    cluster->may_switch = b && is_cluster && is_cluster(b);
    cluster->kind = cluster->may_switch ? "cluster"
                    : !strncmp(cluster->name, "balancer://", 11) ? "balancer" : "backend";
    cluster->workers = b ? view_workers(p, b) : NULL;
    APR_ARRAY_PUSH(walk->view->clusters, status_cluster_t *) = cluster;
    apr_hash_set(walk->clusters, apr_pmemdup(p, rec->id, USHER_ID_SIZE), USHER_ID_SIZE, cluster);
}

static int view_see(void *baton, usher_cluster_rec_t *cluster, usher_member_rec_t *member)
{
    view_walk_t *walk = baton;

    if (cluster) {
        view_add_cluster(walk, cluster);
    }
    else {
        APR_ARRAY_PUSH(walk->members, usher_member_rec_t *) = member;
    }
    return 1;
}

status_member_t *status_view_add(const status_view_t *view, status_cluster_t *cluster,
                                 usher_member_rec_t *rec)
{
    static const usher_health_params_t rest = USHER_PICKER_REST;
    apr_pool_t *p = view->pool;
    status_member_t *member = apr_pcalloc(p, sizeof(*member));

    member->view = view;
    member->cluster = cluster;
    member->rec = rec;
    member->id = view_id(p, rec->id);
    member->url = status_view_text(p, rec->url, sizeof(rec->url));
    member->route = status_view_text(p, rec->route, sizeof(rec->route));
    usher_health_tell(&rec->health, view->boot, rest.within, &member->health);
    member->admin = usher_admin_get(&rec->admin);
    APR_ARRAY_PUSH(cluster->members, status_member_t *) = member;
    return member;
}

/* A static one. Those that sign themselves in have no URL in the registry: the roster tells
 * which of them are members. */
static void view_add_member(view_walk_t *walk, usher_member_rec_t *rec)
{
    unsigned char id[USHER_ID_SIZE];
    status_cluster_t *cluster;
    status_member_t *member;

    memcpy(id, rec->cluster_id, sizeof(id));
    cluster = apr_hash_get(walk->clusters, id, sizeof(id));
    if (!cluster || !*rec->url) {
        return;
    }
    member = status_view_add(walk->view, cluster, rec);
    if (cluster->workers) {
        member->worker = apr_hash_get(cluster->workers,
                                      apr_pstrndup(walk->view->pool, rec->url,
                                                   sizeof(rec->url) - 1),
                                      APR_HASH_KEY_STRING);
    }
}

static int view_by_name(const void *av, const void *bv)
{
    const status_cluster_t *a = *(status_cluster_t *const *)av;
    const status_cluster_t *b = *(status_cluster_t *const *)bv;
    int by = strcmp(a->name, b->name);

    return by ? by : strcmp(a->server, b->server);
}

static int view_by_url(const void *av, const void *bv)
{
    const status_member_t *a = *(status_member_t *const *)av;
    const status_member_t *b = *(status_member_t *const *)bv;

    return strcmp(a->url, b->url);
}

/* The registry's order tells nothing. */
static void view_sort(status_view_t *view)
{
    int i;

    qsort(view->clusters->elts, (size_t)view->clusters->nelts, sizeof(void *), view_by_name);
    for (i = 0; i < view->clusters->nelts; ++i) {
        const status_cluster_t *cluster = APR_ARRAY_IDX(view->clusters, i, status_cluster_t *);

        qsort(cluster->members->elts, (size_t)cluster->members->nelts, sizeof(void *),
              view_by_url);
    }
}

status_view_t *status_view_make(request_rec *r)
{
    status_view_t *view = apr_pcalloc(r->pool, sizeof(*view));
    view_walk_t walk = { view, apr_hash_make(r->pool), apr_hash_make(r->pool),
                         apr_array_make(r->pool, 16, sizeof(usher_member_rec_t *)) };
    int i;

    view->pool = r->pool;
    view->boot = usher_clock_system()->boot_now() / 1000;
    view->utc = usher_clock_system()->utc_now();
    view->clusters = apr_array_make(r->pool, 4, sizeof(status_cluster_t *));
    view_balancers(&walk, ap_server_conf);
    if (status_core) {
        status_core->registry_each(view_see, &walk);
    }
    for (i = 0; i < walk.members->nelts; ++i) {
        view_add_member(&walk, APR_ARRAY_IDX(walk.members, i, usher_member_rec_t *));
    }
    status_roster_view(view);
    view_sort(view);
    return view;
}
