/* The store's thread: each child has one, and that of the child with the claim works.
 *
 * It calls the engine, which may hang for as long as a disk or a database does. Nobody waits
 * for it but who asked for a change, and he no longer than he wants; a child that ends waits
 * for a moment, then goes without it. So its memory is in no pool that goes with the child. */
#include <pthread.h>

#include "core_store.h"
#include "usher_clock.h"
#include "usher_duration.h"
#include "usher_futex.h"
#include "usher_thread.h"

APLOG_USE_MODULE(usher);

#define POLL_INTERVAL APR_USEC_PER_SEC
/* How often who has not got the claim looks by himself: its owner's end is told. */
#define CLAIM_INTERVAL (2 * APR_USEC_PER_SEC)
/* How long a child that ends waits for its thread. */
#define STOP_WAIT 2
/* At most one message in this time about the same. */
#define LOG_INTERVAL (60 * APR_USEC_PER_SEC)

static core_store_shm_t *shm;
static const core_store_engine_t *engine;

static pthread_t thread;
static int is_running;
static _Atomic int stopping;
/* The thread's own: */
static core_store_seeing_t seeing;
static core_store_taken_t *taken;
static int is_open;                /* the engine's take() went well */
static apr_time_t polled_at, tried_at;

static apr_int64_t thread_now_ms(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

void core_store_thread_post_config(core_store_shm_t *memory, const core_store_engine_t *used)
{
    shm = memory;
    engine = used;
}

/* When the engine is called, so that others see it hang. */
static void thread_begin(void)
{
    atomic_store(&shm->began, thread_now_ms());
}

static void thread_end(void)
{
    atomic_store(&shm->began, 0);
}

static void thread_set_up(int is_up, apr_status_t rv)
{
    static apr_time_t logged_at; /* of the thread */
    apr_time_t now = usher_clock_system()->boot_now();

    if (atomic_exchange(&shm->is_up, (apr_uint32_t)is_up) == (apr_uint32_t)is_up) {
        return;
    }
    atomic_store(&shm->since, now / 1000);
    if (is_up) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, seeing.s, USHERLOGNO(1063)
                     "store %s: works again", core_store_name());
    }
    else if (!logged_at || now - logged_at > LOG_INTERVAL) {
        logged_at = now;
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, seeing.s, USHERLOGNO(1064)
                     "store %s: does not work. What was kept before stays, all goes on with what is "
                     "known, and changes are refused until it works again: it is tried each second",
                     core_store_name());
    }
}

/* Nobody waits for a store that is down. */
static void thread_refuse_all(void)
{
    core_store_batch_t *batches;

    while (core_store_queue_take(taken, &batches)) {
        core_store_queue_answer(taken);
    }
}

static void thread_close(apr_status_t rv)
{
    engine->leave();
    is_open = 0;
    thread_set_up(0, rv);
    thread_refuse_all();
}

static void thread_open(void)
{
    apr_status_t rv;

    tried_at = polled_at = usher_clock_system()->boot_now();
    thread_begin();
    rv = engine->take(core_store_see, &seeing, seeing.s);
    is_open = rv == APR_SUCCESS;
    if (is_open) {
        thread_set_up(1, rv);
    }
    else {
        thread_close(rv);
    }
    thread_end();
}

/* All that waits together. @return 0: there was nothing */
static int thread_commit(void)
{
    core_store_batch_t *batches;
    int n = core_store_queue_take(taken, &batches);
    apr_status_t rv;

    if (!n) {
        return 0;
    }
    thread_begin();
    rv = engine->commit(batches, n, core_store_see, &seeing, seeing.s);
    atomic_fetch_add(&shm->commits, 1);
    core_store_queue_answer(taken);
    if (rv != APR_SUCCESS) {
        thread_close(rv);
    }
    thread_end();
    return 1;
}

static void thread_poll(apr_time_t now)
{
    apr_status_t rv;

    polled_at = now;
    core_store_queue_sweep();
    thread_begin();
    rv = engine->poll(core_store_see, &seeing, seeing.s);
    if (rv != APR_SUCCESS) {
        thread_close(rv);
    }
    thread_end();
}

/* With the claim. */
static void thread_step(void)
{
    apr_uint32_t work = atomic_load(&shm->work);
    apr_time_t now = usher_clock_system()->boot_now();
    int was_busy = 0;

    if (!is_open && (!tried_at || now - tried_at >= POLL_INTERVAL)) {
        thread_open();
        return;
    }
    if (is_open) {
        was_busy = thread_commit();
    }
    else {
        thread_refuse_all();
    }
    if (is_open && now - polled_at >= POLL_INTERVAL) {
        thread_poll(now);
    }
    if (!was_busy) {
        usher_futex_wait(&shm->work, work, POLL_INTERVAL / 2);
    }
}

/* This child has the claim now, and keeps it as long as it may. */
static void thread_work(void)
{
    core_store_queue_recover();
    tried_at = 0;
    while (!atomic_load(&stopping) && core_store_claim_holds(shm)) {
        thread_step();
    }
    thread_begin();
    engine->leave();
    is_open = 0;
    thread_end();
    core_store_claim_leave(shm);
}

static void *thread_main(void *data)
{
    taken = core_store_taken_make();
    while (taken && !atomic_load(&stopping)) {
        apr_uint32_t claimed = atomic_load(&shm->claimed);

        if (core_store_claim_take(shm)) {
            ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, seeing.s, USHERLOGNO(1065)
                         "store %s: this child works for it", core_store_name());
            thread_work();
        }
        else {
            usher_futex_wait(&shm->claimed, claimed, CLAIM_INTERVAL);
        }
    }
    core_store_taken_free(taken);
    return NULL;
}

/* Before pchild goes. With prefork this is a signal's handler. */
static apr_status_t thread_stop(void *data)
{
    struct timespec limit;

    atomic_store(&stopping, 1);
    if (is_running) {
        usher_futex_ring(&shm->claimed);
        usher_futex_ring(&shm->work);
        clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec += STOP_WAIT;
        if (!pthread_timedjoin_np(thread, NULL, &limit)) {
            apr_pool_destroy(seeing.ptemp);
        }
        is_running = 0;
    }
    return APR_SUCCESS;
}

void core_store_child_init(apr_pool_t *pchild, server_rec *s)
{
    int error;

    if (!shm) {
        return;
    }
    core_store_claim_child_init(shm);
    stopping = 0;
    seeing.s = s;
    apr_pool_create_unmanaged_ex(&seeing.ptemp, NULL, NULL);
    error = usher_thread_begin(&thread, thread_main, NULL);
    is_running = !error;
    if (error) {
        ap_log_error(APLOG_MARK, APLOG_ERR, error, s, USHERLOGNO(1066)
                     "store %s: no thread could be started for it in this child: if that is so "
                     "in all of them, changes are refused. Raise the limit of threads",
                     core_store_name());
    }
    apr_pool_pre_cleanup_register(pchild, NULL, thread_stop);
}

void core_store_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                             mpm_child_status state)
{
    if (state == MPM_CHILD_EXITED && shm) {
        core_store_claim_disown(shm, pid);
        core_store_queue_forget(pid);
    }
}

/* The parent, about every ten seconds. */
int core_store_monitor(apr_pool_t *p, server_rec *s)
{
    static apr_int64_t logged_at; /* only the parent's main thread is here */
    apr_int64_t now = thread_now_ms(), began;
    char since[USHER_DURATION_SIZE];

    if (!shm) {
        return OK;
    }
    core_store_claim_monitor(shm);
    began = atomic_load(&shm->began);
    if (began > 0 && began < now - CORE_STORE_STUCK_LIMIT
        && (!logged_at || now - logged_at > LOG_INTERVAL / 1000)) {
        logged_at = now;
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(1067)
                     "store %s: has been at work in child %d for %s: its disk, or its database, "
                     "hangs. Changes are refused until it comes back", core_store_name(),
                     (int)(apr_uint32_t)atomic_load(&shm->claim),
                     usher_duration_format(since, (now - began) / 1000 * APR_USEC_PER_SEC));
    }
    return OK;
}
