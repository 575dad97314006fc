/* Lists of a cluster's members: its static ones, and those that signed themselves in. Each
 * child makes its own; a list is not changed any more, another one takes its place.
 *
 * A request holds the list that it began with, for hours where it has a tunnel, and with it
 * its members. Who takes one counts himself as entering while he reads which list is the
 * present one and counts himself as its holder: so when nobody enters, all who have seen an
 * older one are counted as holders, and the cluster's own hold on it may go. No request
 * waits for another one: who finds that the roster has changed makes the new list, the
 * others go on with the old one meanwhile. Who is the last to let go of a list only puts it
 * aside, as that may be a pool's cleanup; who makes the next one frees it, or the tick. */
#include <time.h>

#include <apr_thread_mutex.h>

#include "balancer_choose.h"

APLOG_USE_MODULE(usher_balancer);

/* A change of the roster makes at most one new list in this time, ms, and at most a tenth
 * of the time goes into that. */
#define LISTS_MS 20
#define LISTS_TIMES 9
/* Whose list nobody has made anew for so much longer, ms, is worth waiting for. */
#define LISTS_QUIET 100

/* Of a child: for the making and freeing of lists. Taken after the balancer's thread lock. */
static apr_thread_mutex_t *mutex;
static apr_pool_t *pool; /* of what stays, used under it */
static apr_uint32_t pass; /* counts the lists that were made, under it */
static balancer_members_t *_Atomic put_aside; /* nobody holds them */

/* For clusters that nobody can join. */
static const _Atomic apr_uint32_t no_changes;

/* A list that is being made. */
typedef struct {
    balancer_cluster_t *cluster;
    const balancer_members_t *old; /* NULL: none */
    apr_array_header_t *joined;    /* balancer_joined_t * */
    apr_pool_t *ptemp;
} lists_making_t;

/* A member that the registry has no room for is known to this process alone, as long as it
 * lives. */
static usher_member_rec_t *lists_record(const balancer_cluster_t *cluster,
                                        const proxy_worker *worker, apr_pool_t *p)
{
    usher_member_rec_t *rec = balancer_core
        ? balancer_core->registry_member(cluster->rec, worker->s->route, worker->s->name_ex)
        : NULL;

    return rec ? rec : apr_pcalloc(p, sizeof(*rec));
}

/* Nobody checks what balancer-manager adds. */
static int lists_may_serve(const balancer_cluster_t *cluster, const proxy_worker *worker)
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

static apr_uint32_t lists_server_len(const proxy_worker *worker)
{
    APR_OPTIONAL_FN_TYPE(usher_backend_canonical_server) *server_len =
        APR_RETRIEVE_OPTIONAL_FN(usher_backend_canonical_server);

    return server_len ? (apr_uint32_t)server_len(worker->s->name_ex) : 0;
}

static void lists_add(const balancer_cluster_t *cluster, balancer_members_t *members,
                      proxy_worker *worker, usher_member_rec_t *rec, balancer_joined_t *joined)
{
    balancer_member_t *member = &members->list[members->count];

    member->worker = worker;
    member->rec = rec;
    member->joined = joined;
    member->server_len = lists_server_len(worker);
    member->max = balancer_load_conf_max(&cluster->conf->load, worker);
    if (joined) {
        memcpy(member->id, joined->id, sizeof(member->id));
    }
    else {
        balancer_clusters_member_id(cluster, worker, member->id);
    }
    members->has_others |= ap_cstr_casecmp(worker->s->scheme, "ajp") != 0;
    balancer_index_id_add(members->ids, members, members->count++);
    /* For who shows them. */
    atomic_store(&rec->max, member->max);
    atomic_store(&rec->rise, (apr_uint32_t)balancer_probe_conf_of(cluster, member)->rise);
}

/* A worker that balancer-manager is just making is left out, and found by the
 * next request: then seen is not the length of the list. */
static void lists_add_static(const lists_making_t *making, balancer_members_t *members,
                             int nelts, apr_pool_t *keep)
{
    const balancer_cluster_t *cluster = making->cluster;
    const balancer_members_t *old = making->old;
    int i;

    members->seen = nelts;
    for (i = 0; i < nelts; ++i) {
        proxy_worker *worker = APR_ARRAY_IDX(cluster->workers, i, proxy_worker *);
        int at = members->count;

        if (!worker || !worker->s) {
            members->seen = -1;
        }
        else if (lists_may_serve(cluster, worker)) {
            lists_add(cluster, members, worker,
                      old && at < old->count && old->list[at].worker == worker
                          ? old->list[at].rec : lists_record(cluster, worker, keep), NULL);
        }
    }
}

/* One of the roster's members. Where it is known it is taken over. */
static int lists_see(void *baton, const usher_roster_entry_t *entry)
{
    const lists_making_t *making = baton;
    int i;
    balancer_joined_t *joined, *before;

    if (strcmp(entry->cluster, making->cluster->joined_name) != 0) {
        return 1;
    }
    i = balancer_clusters_by_id(making->old, entry->id);
    before = i < 0 ? NULL : making->old->list[i].joined;
    if (i >= 0 && !before) {
        return 1; /* its route is a static member's, as usher_balancer_may_join() says */
    }
    if (before && balancer_joined_is(before, entry)) {
        joined = before;
        balancer_joined_change(joined, entry);
    }
    else {
        joined = balancer_joined_make(making->cluster, entry, before, making->ptemp);
    }
    if (joined && joined->pass != pass) {
        joined->pass = pass;
        APR_ARRAY_PUSH(making->joined, balancer_joined_t *) = joined;
    }
    return 1;
}

static void lists_add_joined(const lists_making_t *making, balancer_members_t *members)
{
    int i;

    for (i = 0; i < making->joined->nelts; ++i) {
        balancer_joined_t *joined = APR_ARRAY_IDX(making->joined, i, balancer_joined_t *);

        ++joined->lists;
        members->lacks_secrets |= joined->has_no_secret;
        lists_add(making->cluster, members, &joined->worker, joined->rec, joined);
    }
}

static balancer_members_t *lists_make(const lists_making_t *making, apr_pool_t *p,
                                      apr_pool_t *keep)
{
    int nelts = making->cluster->workers->nelts;
    int size = nelts + (making->joined ? making->joined->nelts : 0);
    balancer_members_t *members =
        apr_pcalloc(p, sizeof(*members) + (apr_size_t)size * sizeof(balancer_member_t));

    members->ids = balancer_index_ids(size, p);
    lists_add_static(making, members, nelts, keep);
    if (making->joined) {
        lists_add_joined(making, members);
    }
    members->views = balancer_views_create(making->cluster->method, members, p);
    atomic_store(&members->holders, 1); /* the cluster */
    return members;
}

/* The first request would do that, while all others look at all members themselves. */
static void lists_prepare(balancer_cluster_t *cluster, const balancer_members_t *members)
{
    static const usher_health_params_t rest = USHER_PICKER_REST;
    balancer_choice_t choice = { .cluster = cluster, .members = members, .rest = &rest,
                                 .now = balancer_now() };

    balancer_pick_begin(&choice);
}

/* Under the mutex */

static void lists_free(balancer_members_t *members)
{
    int i;

    for (i = 0; i < members->count; ++i) {
        balancer_joined_t *joined = members->list[i].joined;

        if (joined && !--joined->lists) {
            balancer_joined_free(joined);
        }
    }
    if (members->pool) {
        apr_pool_destroy(members->pool);
    }
}

static void lists_reap(balancer_cluster_t *cluster)
{
    balancer_members_t *members, *next;

    if (!atomic_load(&cluster->entering)) {
        for (members = cluster->replaced; members; members = next) {
            next = members->next;
            balancer_lists_drop(members);
        }
        cluster->replaced = NULL;
    }
    for (members = atomic_exchange(&put_aside, NULL); members; members = next) {
        next = members->next;
        lists_free(members);
    }
}

static apr_int64_t lists_cpu_time(void)
{
    struct timespec time = { 0 };

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (apr_int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void lists_replace(balancer_cluster_t *cluster)
{
    apr_int64_t began = lists_cpu_time(), took;
    apr_uint32_t changes = atomic_load(cluster->changes);
    lists_making_t making = { .cluster = cluster, .old = atomic_load(&cluster->members) };
    balancer_members_t *members, *old;
    apr_pool_t *p;

    ++pass;
    apr_pool_create_unmanaged_ex(&making.ptemp, NULL, NULL);
    apr_pool_create_unmanaged_ex(&p, NULL, NULL);
    apr_pool_tag(p, "usher_balancer_members");
    making.joined = apr_array_make(making.ptemp, 16, sizeof(balancer_joined_t *));
    if (cluster->changes != &no_changes) {
        balancer_core->roster_each(lists_see, &making);
    }
    members = lists_make(&making, p, pool);
    members->pool = p;
    apr_pool_destroy(making.ptemp);
    lists_prepare(cluster, members);
    old = atomic_exchange(&cluster->members, members);
    old->next = cluster->replaced;
    cluster->replaced = old;
    atomic_store(&cluster->seen, members->seen);
    atomic_store(&cluster->made_of, changes);
    lists_reap(cluster);
    took = (lists_cpu_time() - began) / 1000;
    /* Who is the first to sign in has users that wait. */
    atomic_store(&cluster->next_at, balancer_now() + (members->count ? LISTS_MS : 1)
                                    + took * LISTS_TIMES);
}

/* What balancer-manager has added is in effect at once. */
static void lists_sync(balancer_cluster_t *cluster, proxy_balancer *b, server_rec *s, int stale,
                       int locked)
{
    if (!locked) {
        PROXY_THREAD_LOCK(b);
    }
    apr_thread_mutex_lock(mutex);
    if (stale) {
        /* All copies of the balancer share the list that this makes longer; each
         * has a thread lock of its own. */
        ap_proxy_sync_balancer(
            b, s, ap_get_module_config(s->module_config, &proxy_module));
    }
    if (atomic_load(&cluster->seen) != cluster->workers->nelts) {
        lists_replace(cluster);
    }
    apr_thread_mutex_unlock(mutex);
    if (!locked) {
        PROXY_THREAD_UNLOCK(b);
    }
}

/* Members have come or gone, some time ago. While one request makes the new list the others go
 * by the old one, but not in a child that has had no request for a while: its old list may
 * have nobody who is still there. */
static void lists_follow(balancer_cluster_t *cluster)
{
    apr_int64_t late = balancer_now() - atomic_load(&cluster->next_at);

    if (late < 0) {
        return;
    }
    if (late >= LISTS_QUIET) {
        apr_thread_mutex_lock(mutex);
    }
    else if (apr_thread_mutex_trylock(mutex) != APR_SUCCESS) {
        return;
    }
    if (balancer_lists_is_old(cluster)) {
        lists_replace(cluster);
    }
    apr_thread_mutex_unlock(mutex);
}

const balancer_members_t *balancer_lists_hold(balancer_cluster_t *cluster, proxy_balancer *b,
                                              server_rec *s, int locked)
{
    int stale = !locked && b->storage && b->s->wupdated > b->wupdated;
    balancer_members_t *members;

    if (stale || atomic_load_explicit(&cluster->seen, memory_order_relaxed)
                     != cluster->workers->nelts) {
        lists_sync(cluster, b, s, stale, locked);
    }
    if (balancer_lists_is_old(cluster)) {
        lists_follow(cluster);
    }
    atomic_fetch_add(&cluster->entering, 1);
    members = atomic_load(&cluster->members);
    atomic_fetch_add(&members->holders, 1);
    atomic_fetch_sub(&cluster->entering, 1);
    return members;
}

void balancer_lists_hold_too(const balancer_members_t *held)
{
    atomic_fetch_add(&((balancer_members_t *)held)->holders, 1);
}

void balancer_lists_drop(const balancer_members_t *held)
{
    balancer_members_t *members = (balancer_members_t *)held; /* all but this is constant */

    if (atomic_fetch_sub(&members->holders, 1) == 1) {
        members->next = atomic_load(&put_aside);
        while (!atomic_compare_exchange_weak(&put_aside, &members->next, members)) {
        }
    }
}

void balancer_lists_change(const balancer_members_t **held, const balancer_members_t *members)
{
    if (*held != members) {
        balancer_lists_hold_too(members);
        balancer_lists_drop(*held);
        *held = members;
    }
}

void balancer_lists_begin(balancer_cluster_t *cluster, apr_pool_t *pconf)
{
    lists_making_t making = { .cluster = cluster };
    balancer_members_t *members = lists_make(&making, pconf, pconf);

    atomic_store(&cluster->members, members);
    atomic_store(&cluster->seen, members->seen);
    cluster->changes = &no_changes;
}

void balancer_lists_open(balancer_cluster_t *cluster)
{
    if (cluster->standin) {
        cluster->changes = balancer_core->roster_changes(cluster->joined_name);
    }
}

/* No request may come for long. */
static void lists_tick_one(balancer_cluster_t *cluster)
{
    apr_thread_mutex_lock(mutex);
    if (balancer_lists_is_old(cluster) || atomic_load(&cluster->members)->lacks_secrets) {
        lists_replace(cluster);
    }
    lists_reap(cluster);
    apr_thread_mutex_unlock(mutex);
}

static void lists_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    balancer_clusters_each(lists_tick_one);
}

void balancer_lists_post_config(void)
{
    static const usher_tick_work_t work = {
        .name = "members", .where = USHER_TICK_EACH, .run = lists_tick,
    };

    balancer_core->tick_add(&work);
}

void balancer_lists_child_init(void)
{
    /* Not below pchild, which other threads use at the same time, and which goes
     * while requests of a child that ends at once still read their members. */
    apr_pool_create_unmanaged_ex(&pool, NULL, NULL);
    apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    balancer_clusters_each(lists_tick_one);
}
