/* Backend servers as this child knows them: who they are, their addresses, and
 * the list that idle links hang on.
 *
 * The list of targets only grows, and a target lives as long as its child, so
 * it may be walked without a lock; list_mutex is for adding. There are as many
 * as there are workers. What changes in a target is under its own mutex. */
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
static backend_target_t *_Atomic buckets[BUCKETS]; /* the same, by their key */
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
                     const char *host, apr_port_t port, const char *uds_path)
{
    return target->key == member->worker && target->generation == member->generation
           && target->port == port && !memcmp(target->id, member->id, sizeof(target->id))
           && !strcmp(target->host, host)
           && (uds_path ? target->uds_path && !strcmp(target->uds_path, uds_path)
                        : !target->uds_path);
}

static unsigned int target_bucket(const usher_member_t *member)
{
    return (unsigned int)(((apr_uintptr_t)member->worker >> 6) + member->id[0]) % BUCKETS;
}

static backend_target_t *target_find(const usher_member_t *member, const char *host,
                                     apr_port_t port, const char *uds_path)
{
    backend_target_t *target;

    for (target = buckets[target_bucket(member)]; target; target = target->next_of_bucket) {
        if (target_is(target, member, host, port, uds_path)) {
            return target;
        }
    }
    return NULL;
}

static backend_target_t *target_make(apr_pool_t *p, const usher_member_t *member,
                                     const char *host, apr_port_t port,
                                     const char *uds_path)
{
    const proxy_worker_shared *s = member->worker->s;
    backend_target_t *target = apr_pcalloc(p, sizeof(*target));

    target->key = member->worker;
    memcpy(target->id, member->id, sizeof(target->id));
    target->generation = member->generation;
    target->host = apr_pstrdup(p, host);
    target->port = port;
    target->uds_path = uds_path ? apr_pstrdup(p, uds_path) : NULL;
    target->name = uds_path ? target->uds_path
                   : apr_psprintf(p, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
    target->links_max = s->hmax;
    target->idle_max = s->smax > 0 && s->smax < s->hmax ? s->smax : s->hmax > 0 ? s->hmax : INT_MAX;
    target->ttl = s->ttl;
    target->address_ttl = ADDRESS_TTL;
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 133)
    if (s->address_ttl_set) {
        target->address_ttl = s->address_ttl > 0 ? apr_time_from_sec(s->address_ttl) : 0;
    }
#endif
    return target;
}

backend_target_t *backend_target_get(request_rec *r, const usher_member_t *member,
                                     const char *host, apr_port_t port,
                                     const char *uds_path, int reusable)
{
    backend_target_t *target;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *freed, *resolved;

    if (!reusable) {
        target = target_make(r->pool, member, host, port, uds_path);
        target->transient = 1;
        return target;
    }
    target = target_find(member, host, port, uds_path);
    if (target) {
        return target;
    }
    apr_thread_mutex_lock(list_mutex);
    target = target_find(member, host, port, uds_path);
    if (!target) {
        target = target_make(target_pool, member, host, port, uds_path);
        apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, target_pool);
        apr_thread_cond_create(&freed, target_pool);
        apr_thread_cond_create(&resolved, target_pool);
        target->mutex = mutex;
        target->freed = freed;
        target->resolved = resolved;
        target->next = targets;
        targets = target;
        target->next_of_bucket = buckets[target_bucket(member)];
        buckets[target_bucket(member)] = target;
    }
    apr_thread_mutex_unlock(list_mutex);
    return target;
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
    target->lookups++;
    target->wants_lookup = 0;
}

void backend_target_lookup(backend_target_t *target)
{
    struct addrinfo hints, *info = NULL;
    backend_address_t list[BACKEND_ADDRESSES_MAX];
    char port[8];
    int n = 0, literal;

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    apr_snprintf(port, sizeof(port), "%d", target->port);
    literal = getaddrinfo(target->host, port, &hints, &info) == 0;
    if (!literal) {
        hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
        if (getaddrinfo(target->host, port, &hints, &info)) {
            info = NULL;
        }
    }
    if (info) {
        n = target_collect(list, info);
        freeaddrinfo(info);
    }
    backend_keeper_outlived();
    target_lock(target);
    target->literal = literal;
    target_keep(target, list, n);
    if (!target->transient) {
        apr_thread_cond_broadcast(target->resolved);
    }
    target_unlock(target);
}

int backend_target_addresses(backend_target_t *target,
                             backend_address_t list[BACKEND_ADDRESSES_MAX])
{
    apr_time_t now = 0;
    int n = 0, dead, i;

    target_lock(target);
    if (!target->looked_up_at) {
        target_unlock(target);
        backend_target_lookup(target);
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

void backend_target_address_failed(backend_target_t *target, const backend_address_t *address)
{
    int i;

    target_lock(target);
    for (i = 0; i < target->addresses_len; ++i) {
        if (address_same(&target->addresses[i], address)) {
            target->addresses[i].dead_until = backend_now() + DEAD_TIME;
        }
    }
    target_unlock(target);
}

int backend_target_lookup_is_due(backend_target_t *target)
{
    int due;

    if (target->uds_path) {
        return 0;
    }
    target_lock(target);
    due = !target->literal && target->looked_up_at
          && (target->wants_lookup
              || (target->address_ttl > 0
                  && backend_now() - target->looked_up_at >= target->address_ttl));
    target_unlock(target);
    return due;
}

int backend_target_refresh(backend_target_t *target)
{
    unsigned int lookups;
    apr_time_t until;
    int fresh;

    if (target->transient || target->uds_path) {
        return 0;
    }
    apr_thread_mutex_lock(target->mutex);
    if (target->literal) {
        apr_thread_mutex_unlock(target->mutex);
        return 0;
    }
    lookups = target->lookups;
    target->wants_lookup = 1;
    backend_keeper_wake();
    until = backend_now() + REFRESH_WAIT;
    while (target->lookups == lookups && backend_now() < until) {
        apr_thread_cond_timedwait(target->resolved, target->mutex, REFRESH_WAIT / 10);
    }
    fresh = target->lookups != lookups;
    apr_thread_mutex_unlock(target->mutex);
    return fresh;
}
