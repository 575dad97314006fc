/* The registry's records of balancers and workers, as this child has found
 * them: one look-up of a pointer per request instead of a hash of names.
 *
 * Chains only grow, and what hangs there does not change, so they are walked
 * without a lock; record_mutex is for adding. */
#include <apr_thread_mutex.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

#define BUCKETS 256

typedef struct record_t {
    const void *key; /* proxy_balancer's workers, or proxy_worker */
    void *record;    /* usher_cluster_rec_t or usher_member_rec_t; NULL: none */
    struct record_t *next;
} record_t;

static record_t *_Atomic buckets[BUCKETS];
static apr_thread_mutex_t *record_mutex;
static apr_pool_t *record_pool; /* under record_mutex */
static const usher_core_t *core; /* NULL after a restart without it: no records */

void backend_record_child_init(apr_pool_t *pchild, const usher_core_t *from)
{
    int i;

    for (i = 0; i < BUCKETS; ++i) {
        buckets[i] = NULL;
    }
    core = from;
    apr_pool_create(&record_pool, pchild);
    apr_pool_tag(record_pool, "usher_backend_records");
    apr_thread_mutex_create(&record_mutex, APR_THREAD_MUTEX_DEFAULT, record_pool);
}

static unsigned int record_bucket(const void *key)
{
    return (unsigned int)((apr_uintptr_t)key >> 6) % BUCKETS;
}

static const record_t *record_find(const void *key)
{
    const record_t *record = buckets[record_bucket(key)];

    while (record && record->key != key) {
        record = record->next;
    }
    return record;
}

/* Two threads may find the same record at once; the first one's stays. */
static void *record_add(const void *key, void *found)
{
    unsigned int i = record_bucket(key);
    const record_t *record;
    record_t *added;

    apr_thread_mutex_lock(record_mutex);
    record = record_find(key);
    if (!record) {
        added = apr_palloc(record_pool, sizeof(*added));
        added->key = key;
        added->record = found;
        added->next = buckets[i];
        buckets[i] = added;
        record = added;
    }
    apr_thread_mutex_unlock(record_mutex);
    return record->record;
}

/* A balancer that a vhost inherits is the main server's: both have the same
 * array of workers. */
static const char *record_server(request_rec *r, const proxy_balancer *balancer)
{
    proxy_server_conf *conf = ap_get_module_config(ap_server_conf->module_config, &proxy_module);
    const proxy_balancer *known = (const proxy_balancer *)conf->balancers->elts;
    int i;

    for (i = 0; i < conf->balancers->nelts; ++i) {
        if (known[i].workers == balancer->workers) {
            return "";
        }
    }
    return usher_picker_server(r->pool, r->server);
}

usher_cluster_rec_t *backend_record_cluster(request_rec *r, const proxy_balancer *balancer,
                                            const proxy_worker *worker)
{
    const void *key = balancer ? (const void *)balancer->workers : worker;
    const record_t *record = record_find(key);

    if (record) {
        return record->record;
    }
    return record_add(key, core ? core->registry_cluster(balancer ? balancer->s->name
                                                                  : worker->s->name_ex,
                                                         balancer ? record_server(r, balancer)
                                                                  : "") : NULL);
}

usher_member_rec_t *backend_record_member(const usher_cluster_rec_t *cluster,
                                          const proxy_worker *worker)
{
    const record_t *record = record_find(worker);

    if (record) {
        return record->record;
    }
    return record_add(worker, core ? core->registry_member(cluster, worker->s->route,
                                                           worker->s->name_ex) : NULL);
}
