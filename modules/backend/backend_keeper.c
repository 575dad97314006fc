/* The threads beside the requests: the keeper, one in each child, closes idle
 * links that are not good any more and frees targets whose member is gone; names
 * are looked up by short-lived threads, a few at a time, so that a name server
 * that does not answer holds up neither requests nor the keeper, nor the look-up
 * of another name.
 *
 * All of them end before the child does. A lookup cannot be called off: when it
 * does not come back in time the child goes without it, and that thread, should
 * it come back, touches nothing any more. */
#include <pthread.h>

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#include "backend_private.h"
#include "usher_thread.h"

APLOG_USE_MODULE(usher_backend);

#define KEEPER_INTERVAL APR_USEC_PER_SEC
/* How long a child that ends waits for its threads. */
#define STOP_WAIT (2 * APR_USEC_PER_SEC)
/* So many names are looked up at once. */
#define LOOKUPS_MAX 8

typedef struct {
    enum { LOOKUP_NONE, LOOKUP_RUNS, LOOKUP_OVER } state;
    pthread_t thread; /* to be joined once it is over */
    backend_target_t *target;
} lookup_t;

static apr_thread_mutex_t *mutex;
static apr_thread_cond_t *wanted;  /* the keeper shall stop */
static apr_thread_cond_t *ended;   /* a lookup is over */
static int stopping;               /* under the mutex, and these: */
static lookup_t lookups[LOOKUPS_MAX];
static pthread_t keeper;
static int keeping;                /* there is a keeper; not changed while it runs */
static _Atomic int outlived;       /* the child did not wait for a lookup */

static void *keeper_lookup(void *data)
{
    lookup_t *lookup = data;

    backend_target_lookup(lookup->target);
    apr_thread_mutex_lock(mutex);
    lookup->state = LOOKUP_OVER;
    apr_thread_cond_broadcast(ended);
    apr_thread_mutex_unlock(mutex);
    return NULL;
}

/* Under the mutex. A thread that is over has done all but return. */
static void keeper_join(lookup_t *lookup)
{
    if (lookup->state == LOOKUP_OVER) {
        pthread_join(lookup->thread, NULL);
        lookup->state = LOOKUP_NONE;
    }
}

int backend_keeper_lookup(backend_target_t *target)
{
    lookup_t *lookup = lookups, *end = lookups + LOOKUPS_MAX;
    int begun = 0;

    apr_thread_mutex_lock(mutex);
    while (lookup < end && lookup->state == LOOKUP_RUNS) {
        ++lookup;
    }
    if (lookup < end && !stopping) {
        keeper_join(lookup);
        lookup->target = target;
        begun = usher_thread_begin(&lookup->thread, keeper_lookup, lookup) == 0;
        lookup->state = begun ? LOOKUP_RUNS : LOOKUP_NONE;
    }
    apr_thread_mutex_unlock(mutex);
    return begun;
}

static int keeper_is_stopping(void)
{
    int answer;

    apr_thread_mutex_lock(mutex);
    answer = stopping;
    apr_thread_mutex_unlock(mutex);
    return answer;
}

static void *keeper_main(void *data)
{
    backend_target_t *target;
    int stop;

    do {
        for (target = backend_target_all(); target && !keeper_is_stopping();
             target = target->next) {
            backend_link_sweep(target);
            backend_target_lookup_if_due(target);
        }
        backend_target_sweep();
        apr_thread_mutex_lock(mutex);
        if (!stopping) {
            apr_thread_cond_timedwait(wanted, mutex, KEEPER_INTERVAL);
        }
        stop = stopping;
        apr_thread_mutex_unlock(mutex);
    } while (!stop);
    return NULL;
}

void backend_keeper_outlived(void)
{
    while (outlived) {
        pause(); /* the memory that it would come back to is gone */
    }
}

/* Under the mutex. */
static int keeper_looks_up(void)
{
    int i;

    for (i = 0; i < LOOKUPS_MAX && lookups[i].state != LOOKUP_RUNS; ++i) {
    }
    return i < LOOKUPS_MAX;
}

/* Before pchild goes, and the code with it: threads are joined, as one that has only said
 * that it is over may still be on its way out. */
static apr_status_t keeper_stop(void *data)
{
    apr_time_t until = backend_now() + STOP_WAIT;
    struct timespec limit;
    int i;

    apr_thread_mutex_lock(mutex);
    stopping = 1;
    apr_thread_cond_signal(wanted);
    while (keeper_looks_up() && backend_now() < until) {
        apr_thread_cond_timedwait(ended, mutex, STOP_WAIT / 10);
    }
    outlived = keeper_looks_up();
    for (i = 0; i < LOOKUPS_MAX; ++i) {
        keeper_join(&lookups[i]);
    }
    apr_thread_mutex_unlock(mutex);
    if (keeping) {
        /* It never waits for long; but with prefork this is a signal's handler, which may
         * have stopped who holds what it waits for. */
        clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec += apr_time_sec(STOP_WAIT);
        pthread_timedjoin_np(keeper, NULL, &limit);
        keeping = 0;
    }
    return APR_SUCCESS;
}

void backend_keeper_child_init(apr_pool_t *pchild, server_rec *s)
{
    int error;

    stopping = 0;
    memset(lookups, 0, sizeof(lookups));
    apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pchild);
    apr_thread_cond_create(&wanted, pchild);
    apr_thread_cond_create(&ended, pchild);
    error = usher_thread_begin(&keeper, keeper_main, NULL);
    keeping = !error;
    if (error) {
        ap_log_error(APLOG_MARK, APLOG_ERR, error, s, USHERLOGNO(2004)
                     "no thread could be started that looks after connections to "
                     "backends: they are closed when they are next used, and names "
                     "are not looked up again. Raise the limit of threads");
    }
    apr_pool_pre_cleanup_register(pchild, NULL, keeper_stop);
}
