/* The keeper: a thread in each child that closes idle links which are not good
 * any more, and looks names up, so that no request waits for either.
 *
 * It ends before the child does. A lookup may take long where the name server
 * does not answer, and cannot be called off: then the child goes without
 * waiting, and the thread, once it comes back, touches nothing any more. */
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>
#include <unistd.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

#define KEEPER_INTERVAL APR_USEC_PER_SEC
/* How long a child that ends waits for a lookup. */
#define STOP_WAIT (2 * APR_USEC_PER_SEC)

static apr_thread_mutex_t *mutex;
static apr_thread_cond_t *wanted;  /* there is something to do, or it shall stop */
static apr_thread_cond_t *stopped;
static int awake;                  /* these three under the mutex */
static int stopping;
static int running;
static _Atomic int outlived;       /* the child did not wait for a lookup */

static int keeper_is_stopping(void)
{
    int answer;

    apr_thread_mutex_lock(mutex);
    answer = stopping;
    apr_thread_mutex_unlock(mutex);
    return answer;
}

static void keeper_visit(backend_target_t *target)
{
    backend_link_sweep(target);
    if (backend_target_lookup_is_due(target)) {
        backend_target_lookup(target);
    }
}

static void *APR_THREAD_FUNC keeper_main(apr_thread_t *thread, void *data)
{
    backend_target_t *target;

    for (;;) {
        for (target = backend_target_all(); target && !keeper_is_stopping();
             target = target->next) {
            keeper_visit(target);
        }
        apr_thread_mutex_lock(mutex);
        if (!stopping && !awake) {
            apr_thread_cond_timedwait(wanted, mutex, KEEPER_INTERVAL);
        }
        awake = 0;
        if (stopping) {
            running = 0;
            apr_thread_cond_signal(stopped);
            apr_thread_mutex_unlock(mutex);
            return NULL;
        }
        apr_thread_mutex_unlock(mutex);
    }
}

void backend_keeper_wake(void)
{
    apr_thread_mutex_lock(mutex);
    awake = 1;
    apr_thread_cond_signal(wanted);
    apr_thread_mutex_unlock(mutex);
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
    while (running && backend_now() < until) {
        apr_thread_cond_timedwait(stopped, mutex, STOP_WAIT / 10);
    }
    outlived = running;
    apr_thread_mutex_unlock(mutex);
    return APR_SUCCESS;
}

void backend_keeper_child_init(apr_pool_t *pchild, server_rec *s)
{
    apr_threadattr_t *attr;
    apr_thread_t *thread;
    apr_status_t rv;

    awake = stopping = 0;
    running = 1;
    apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pchild);
    apr_thread_cond_create(&wanted, pchild);
    apr_thread_cond_create(&stopped, pchild);
    apr_threadattr_create(&attr, pchild);
    apr_threadattr_detach_set(attr, 1);
    rv = apr_thread_create(&thread, attr, keeper_main, s, pchild);
    if (rv != APR_SUCCESS) {
        running = 0;
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s, USHERLOGNO(2004)
                     "no thread could be started that looks after connections to "
                     "backends: they are closed when they are next used, and names "
                     "are not looked up again. Raise the limit of threads");
        return;
    }
    apr_pool_pre_cleanup_register(pchild, NULL, keeper_stop);
}
