/* The threads beside the requests: the keeper, one in each child, closes idle
 * links that are not good any more; names are looked up by short-lived threads,
 * a few at a time, so that a name server that does not answer holds up neither
 * requests nor the keeper, nor the look-up of another name.
 *
 * All of them end before the child does. A lookup cannot be called off: when it
 * does not come back in time the child goes without it, and that thread, should
 * it come back, touches nothing any more. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

#define KEEPER_INTERVAL APR_USEC_PER_SEC
/* How long a child that ends waits for its threads. */
#define STOP_WAIT (2 * APR_USEC_PER_SEC)
/* So many names are looked up at once. */
#define LOOKUPS_MAX 8

static apr_thread_mutex_t *mutex;
static apr_thread_cond_t *wanted;  /* the keeper shall stop */
static apr_thread_cond_t *ended;   /* a thread is over */
static int stopping;               /* these three under the mutex */
static int keeping;                /* the keeper runs */
static int lookups;                /* threads that look names up */
static _Atomic int outlived;       /* the child did not wait for a lookup */

/* Signals are for the child's own threads: what a handler does there must not
 * happen here. */
static int keeper_thread(void *(*function)(void *), void *data)
{
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_t thread;
    int error;

    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attr, function, data);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return error;
}

/* A thread is over; its count too. */
static void keeper_ended(int *count)
{
    apr_thread_mutex_lock(mutex);
    --*count;
    apr_thread_cond_broadcast(ended);
    apr_thread_mutex_unlock(mutex);
}

static void *keeper_lookup(void *data)
{
    backend_target_lookup(data);
    keeper_ended(&lookups);
    return NULL;
}

int backend_keeper_lookup(backend_target_t *target)
{
    int begun;

    apr_thread_mutex_lock(mutex);
    begun = !stopping && lookups < LOOKUPS_MAX;
    lookups += begun;
    apr_thread_mutex_unlock(mutex);
    if (begun && keeper_thread(keeper_lookup, target) != 0) {
        keeper_ended(&lookups);
        begun = 0;
    }
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
        apr_thread_mutex_lock(mutex);
        if (!stopping) {
            apr_thread_cond_timedwait(wanted, mutex, KEEPER_INTERVAL);
        }
        stop = stopping;
        apr_thread_mutex_unlock(mutex);
    } while (!stop);
    keeper_ended(&keeping);
    return NULL;
}

void backend_keeper_outlived(void)
{
    while (outlived) {
        pause(); /* the memory that it would come back to is gone */
    }
}

/* Before pchild goes. */
static apr_status_t keeper_stop(void *data)
{
    apr_time_t until = backend_now() + STOP_WAIT;

    apr_thread_mutex_lock(mutex);
    stopping = 1;
    apr_thread_cond_signal(wanted);
    while ((keeping || lookups) && backend_now() < until) {
        apr_thread_cond_timedwait(ended, mutex, STOP_WAIT / 10);
    }
    outlived = keeping || lookups;
    apr_thread_mutex_unlock(mutex);
    return APR_SUCCESS;
}

void backend_keeper_child_init(apr_pool_t *pchild, server_rec *s)
{
    int error;

    stopping = lookups = 0;
    keeping = 1;
    apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pchild);
    apr_thread_cond_create(&wanted, pchild);
    apr_thread_cond_create(&ended, pchild);
    error = keeper_thread(keeper_main, NULL);
    if (error) {
        keeping = 0;
        ap_log_error(APLOG_MARK, APLOG_ERR, error, s, USHERLOGNO(2004)
                     "no thread could be started that looks after connections to "
                     "backends: they are closed when they are next used, and names "
                     "are not looked up again. Raise the limit of threads");
    }
    apr_pool_pre_cleanup_register(pchild, NULL, keeper_stop);
}
