/* Backend servers as this child knows them: who they are, their addresses, and
 * the list that idle links hang on.
 *
 * Those of workers stay as long as the child. Those of a registered member hang on it, so
 * that a request which has the member finds them, and nobody else does: when the member is
 * gone, they are, but for a look-up or a link that still ends. The keeper, which alone walks
 * over all targets, is also the one to free them. So all lists are walked without a lock;
 * list_mutex is for changing them. What changes in a target is under its own mutex. */
#include <netdb.h>
#include <string.h>

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* How long an address that did not answer is tried after the others. */
#define DEAD_TIME (30 * APR_USEC_PER_SEC)
/* How often names are looked up again without addressttl=. */
#define ADDRESS_TTL (30 * APR_USEC_PER_SEC)
/* How long a request waits for a lookup that may save it. */
#define REFRESH_WAIT APR_USEC_PER_SEC

#define BUCKETS 256

static backend_target_t *_Atomic targets; /* newest first */
static backend_target_t *_Atomic buckets[BUCKETS]; /* those of workers, by their key */
static apr_thread_mutex_t *list_mutex;
/* Of targets and their mutexes; used under list_mutex only. */
static apr_pool_t *target_pool;

void backend_target_child_init(apr_pool_t *pchild, server_rec *s)
{
    int i;

    targets = NULL;
    for (i = 0; i < BUCKETS; ++i) {
        buckets[i] = NULL;
    }
    apr_pool_create(&target_pool, pchild);
    apr_pool_tag(target_pool, "usher_backend_targets");
    apr_thread_mutex_create(&list_mutex, APR_THREAD_MUTEX_DEFAULT, target_pool);
}

backend_target_t *backend_target_all(void)
{
    return targets;
}

static int target_is(const backend_target_t *target, const usher_member_t *member,
                     int tls, const char *host, apr_port_t port,
                     const char *uds_path)
{
    return target->key == member->worker && target->generation == member->generation
           && target->tls == tls
           && target->port == port && !memcmp(target->id, member->id, sizeof(target->id))
           && !strcmp(target->host, host)
           && (uds_path ? target->uds_path && !strcmp(target->uds_path, uds_path)
                        : !target->uds_path);
}

static unsigned int target_bucket(const usher_member_t *member)
{
    return (unsigned int)(((apr_uintptr_t)member->worker >> 6) + member->id[0]) % BUCKETS;
}

static backend_target_t *target_first(const usher_member_t *member)
{
    return member->kept ? atomic_load(member->kept) : buckets[target_bucket(member)];
}

static backend_target_t *target_find(const usher_member_t *member, int tls,
                                     const char *host, apr_port_t port, const char *uds_path)
{
    backend_target_t *target;

    for (target = target_first(member); target; target = target->next_of_key) {
        if (target_is(target, member, tls, host, port, uds_path)) {
            return target;
        }
    }
    return NULL;
}

static backend_target_t *target_make(apr_pool_t *p, const usher_member_t *member,
                                     int tls, const char *host, apr_port_t port,
                                     const char *uds_path)
{
    const proxy_worker_shared *s = member->worker->s;
    backend_target_t *target = apr_pcalloc(p, sizeof(*target));

    target->key = member->worker;
    memcpy(target->id, member->id, sizeof(target->id));
    target->generation = member->generation;
    target->tls = tls;
    target->host = apr_pstrdup(p, host);
    target->port = port;
    target->uds_path = uds_path ? apr_pstrdup(p, uds_path) : NULL;
    target->name = uds_path ? target->uds_path
                   : apr_psprintf(p, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
    target->links_max = s->hmax;
    target->idle_max = s->disablereuse ? 0
                       : s->smax > 0 && s->smax < s->hmax ? s->smax : s->hmax > 0 ? s->hmax : INT_MAX;
    target->idle_min = s->min;
    target->ttl = s->ttl;
    target->address_ttl = ADDRESS_TTL;
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 130)
    if (s->address_ttl_set) {
        target->address_ttl = s->address_ttl > 0 ? apr_time_from_sec(s->address_ttl) : 0;
    }
#endif
    return target;
}

/* Under list_mutex. */
static backend_target_t *target_add(const usher_member_t *member, int tls, const char *host,
                                    apr_port_t port, const char *uds_path)
{
    apr_pool_t *own = NULL;
    backend_target_t *target;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *freed, *resolved;

    if (member->kept) {
        apr_pool_create_unmanaged_ex(&own, NULL, NULL);
        apr_pool_tag(own, "usher_backend_target");
    }
    target = target_make(own ? own : target_pool, member, tls, host, port, uds_path);
    target->pool = own;
    apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, own ? own : target_pool);
    apr_thread_cond_create(&freed, own ? own : target_pool);
    apr_thread_cond_create(&resolved, own ? own : target_pool);
    target->mutex = mutex;
    target->freed = freed;
    target->resolved = resolved;
    target->next_of_key = target_first(member);
    target->next = targets;
    targets = target;
    if (member->kept) {
        atomic_store(member->kept, target);
    }
    else {
        buckets[target_bucket(member)] = target;
    }
    return target;
}

backend_target_t *backend_target_get(request_rec *r, const usher_member_t *member,
                                     const backend_scheme_t *scheme, const char *host,
                                     apr_port_t port, const char *uds_path, int reusable)
{
    int tls = scheme->tls;
    backend_target_t *target;

    if (!reusable) {
        target = target_make(r->pool, member, tls, host, port, uds_path);
        target->transient = 1;
        return target;
    }
    target = target_find(member, tls, host, port, uds_path);
    if (target) {
        return target;
    }
    apr_thread_mutex_lock(list_mutex);
    target = target_find(member, tls, host, port, uds_path);
    if (!target) {
        target = target_add(member, tls, host, port, uds_path);
    }
    apr_thread_mutex_unlock(list_mutex);
    return target;
}

void backend_target_forget(void *kept)
{
    backend_target_t *target = kept, *next;

    for (; target; target = next) {
        next = target->next_of_key;
        atomic_store(&target->gone, 1); /* the keeper may free it from now on */
    }
}

/* Whether nobody has anything of a target any more; its idle links are closed. */
static int target_is_over(backend_target_t *target)
{
    int over;

    backend_link_sweep(target);
    apr_thread_mutex_lock(target->mutex);
    over = !target->links_len && !target->looking_up;
    apr_thread_mutex_unlock(target->mutex);
    return over;
}

void backend_target_sweep(void)
{
    backend_target_t *target = targets, *next, *before = NULL;

    for (; target; target = next) {
        next = target->next;
        if (!atomic_load(&target->gone) || !target_is_over(target)) {
            before = target;
            continue;
        }
        apr_thread_mutex_lock(list_mutex);
        if (!before && targets != target) { /* newer ones have come meanwhile */
            for (before = targets; before->next != target; before = before->next) {
            }
        }
        if (before) {
            before->next = next;
        }
        else {
            targets = next;
        }
        apr_thread_mutex_unlock(list_mutex);
        apr_pool_destroy(target->pool);
    }
}

static void target_lock(backend_target_t *target)
{
    if (!target->transient) {
        apr_thread_mutex_lock(target->mutex);
    }
}

static void target_unlock(backend_target_t *target)
{
    if (!target->transient) {
        apr_thread_mutex_unlock(target->mutex);
    }
}

/* Addresses */

static int address_same(const backend_address_t *a, const backend_address_t *b)
{
    return a->len == b->len && !memcmp(&a->addr, &b->addr, a->len);
}

/* What getaddrinfo() told, without doubles. */
static int target_collect(backend_address_t *list, const struct addrinfo *info)
{
    int n = 0, i;

    for (; info && n < BACKEND_ADDRESSES_MAX; info = info->ai_next) {
        backend_address_t *address = &list[n];

        if (info->ai_addrlen > sizeof(address->addr)) {
            continue;
        }
        memset(address, 0, sizeof(*address));
        memcpy(&address->addr, info->ai_addr, info->ai_addrlen);
        address->len = info->ai_addrlen;
        for (i = 0; i < n && !address_same(&list[i], address); ++i) {
        }
        n += i == n;
    }
    return n;
}

/* A name that cannot be looked up just now keeps the addresses it had. */
static void target_keep(backend_target_t *target, backend_address_t *list, int n)
{
    int i, j;

    for (i = 0; i < n; ++i) {
        for (j = 0; j < target->addresses_len; ++j) {
            if (address_same(&list[i], &target->addresses[j])) {
                list[i].dead_until = target->addresses[j].dead_until;
            }
        }
    }
    if (n) {
        memcpy(target->addresses, list, n * sizeof(*list));
        target->addresses_len = n;
    }
    target->looked_up_at = backend_now();
}

/* Returns 1 when getaddrinfo() has found something. */
static int target_resolve(backend_target_t *target, int flags,
                          backend_address_t *list, int *n)
{
    struct addrinfo hints = { .ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    struct addrinfo *info = NULL;
    char port[8];

    apr_snprintf(port, sizeof(port), "%d", target->port);
    if (getaddrinfo(target->host, port, &hints, &info) != 0) {
        return 0;
    }
    *n = target_collect(list, info);
    freeaddrinfo(info);
    return 1;
}

void backend_target_lookup(backend_target_t *target)
{
    backend_address_t list[BACKEND_ADDRESSES_MAX];
    unsigned int served;
    int n = 0;

    target_lock(target);
    served = target->wanted;
    target_unlock(target);
    if (!target_resolve(target, AI_ADDRCONFIG, list, &n)) {
        target_resolve(target, 0, list, &n); /* only the loopback has addresses */
    }
    backend_keeper_outlived();
    target_lock(target);
    target_keep(target, list, n);
    target->served = served;
    target->looking_up = 0;
    if (!target->transient) {
        apr_thread_cond_broadcast(target->resolved);
    }
    target_unlock(target);
}

/* Under the target's mutex: have a thread look it up, unless one does. */
static void target_begin_lookup(backend_target_t *target)
{
    if (!target->looking_up) {
        target->looking_up = backend_keeper_lookup(target);
    }
}

void backend_target_lookup_if_due(backend_target_t *target)
{
    if (target->uds_path) {
        return;
    }
    target_lock(target);
    if (!target->literal
        && (target->wanted != target->served
            || (target->looked_up_at && target->address_ttl > 0
                && backend_now() - target->looked_up_at >= target->address_ttl))) {
        target_begin_lookup(target);
    }
    target_unlock(target);
}

/* Under the mutex: wait until a lookup that began from now on is over. */
static int target_await_lookup(backend_target_t *target, apr_interval_time_t wait_max)
{
    apr_time_t until = backend_now() + wait_max;
    unsigned int wanted = ++target->wanted;

    target_begin_lookup(target);
    while ((int)(target->served - wanted) < 0 && backend_now() < until) {
        apr_thread_cond_timedwait(target->resolved, target->mutex, wait_max / 10 + 1000);
        if ((int)(target->served - wanted) < 0) {
            target_begin_lookup(target); /* one that had begun before is over */
        }
    }
    return (int)(target->served - wanted) >= 0;
}

/* Before its first use. An address needs no name server. */
static void target_first_lookup(backend_target_t *target, apr_interval_time_t wait_max)
{
    backend_address_t list[BACKEND_ADDRESSES_MAX];
    apr_time_t until;
    int n = 0;

    if (target_resolve(target, AI_NUMERICHOST, list, &n)) {
        target_lock(target);
        target->literal = 1;
        target_keep(target, list, n);
        target_unlock(target);
    }
    else if (target->transient) {
        backend_target_lookup(target);
    }
    else {
        target_lock(target);
        until = backend_now() + wait_max;
        while (!target->looked_up_at && backend_now() < until) {
            target_begin_lookup(target);
            apr_thread_cond_timedwait(target->resolved, target->mutex, wait_max / 10 + 1000);
        }
        target_unlock(target);
    }
}

int backend_target_addresses(backend_target_t *target, apr_interval_time_t wait_max,
                             backend_address_t list[BACKEND_ADDRESSES_MAX])
{
    apr_time_t now = 0;
    int n = 0, dead, i;

    target_lock(target);
    if (!target->looked_up_at) {
        target_unlock(target);
        target_first_lookup(target, wait_max);
        target_lock(target);
    }
    if (target->addresses_len > 1) {
        now = backend_now();
    }
    for (dead = 0; dead <= 1; ++dead) {
        for (i = 0; i < target->addresses_len; ++i) {
            if ((target->addresses[i].dead_until > now) == dead) {
                list[n++] = target->addresses[i];
            }
        }
    }
    target_unlock(target);
    return n;
}

int backend_target_was_looked_up(backend_target_t *target)
{
    int was;

    target_lock(target);
    was = target->looked_up_at != 0;
    target_unlock(target);
    return was;
}

void backend_target_address_failed(backend_target_t *target, const backend_address_t *address)
{
    int i;

    target_lock(target);
    for (i = 0; i < target->addresses_len; ++i) {
        if (address_same(&target->addresses[i], address)) {
            target->addresses[i].dead_until = backend_now() + DEAD_TIME;
            target->wanted++; /* the keeper has it looked up again */
        }
    }
    target_unlock(target);
}

int backend_target_refresh(backend_target_t *target, backend_address_t list[BACKEND_ADDRESSES_MAX],
                           int tried)
{
    int n = 0, fresh, i, j;

    if (target->transient || target->uds_path) {
        return 0;
    }
    apr_thread_mutex_lock(target->mutex);
    fresh = !target->literal && target_await_lookup(target, REFRESH_WAIT);
    for (i = 0; fresh && i < target->addresses_len && tried + n < BACKEND_ADDRESSES_MAX; ++i) {
        for (j = 0; j < tried && !address_same(&list[j], &target->addresses[i]); ++j) {
        }
        if (j == tried) {
            list[tried + n++] = target->addresses[i];
        }
    }
    apr_thread_mutex_unlock(target->mutex);
    return n;
}
