/* How many threads of this child have a connection to serve. Idle ones are what
 * all other connections hope for: a kept one whose request finds none is closed by
 * the MPM. So who waits leaves enough of them, and none waits for a while after
 * they were few.
 *
 * The MPM also counts them where it decides whether the child may accept one more
 * connection: each idle one is worth AsyncRequestWorkerFactor connections. So none
 * waits either for a while after the child has stopped accepting. */
#include <ap_mpm.h>
#include <scoreboard.h>
#include <stdatomic.h>

#include "linger_private.h"
#include "usher_clock.h"

/* How long after threads were few. */
#define THREADS_PAUSE APR_USEC_PER_SEC

static int threads_busy_max;
static int threads_limit; /* of a child: connections are numbered by it */
static atomic_int threads_busy;
static _Atomic apr_int64_t threads_pause_until; /* boot clock; 0: none */

void linger_threads_child_init(apr_pool_t *pchild, server_rec *s)
{
    int threads = 0;

    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_THREADS, &threads_limit);
    threads_busy_max = threads * (100 - linger_conf_of(s)->idle_percent) / 100;
}

static void threads_pause(void)
{
    atomic_store_explicit(&threads_pause_until, usher_clock_system()->boot_now() + THREADS_PAUSE,
                          memory_order_relaxed);
}

void linger_threads_enter(int queued)
{
    int busy = atomic_fetch_add_explicit(&threads_busy, 1, memory_order_relaxed) + 1;

    if (queued && busy > threads_busy_max) {
        threads_pause();
    }
}

void linger_threads_leave(void)
{
    atomic_fetch_sub_explicit(&threads_busy, 1, memory_order_relaxed);
}

static int threads_may_accept(long id)
{
    const process_score *child = threads_limit > 0
        ? ap_get_scoreboard_process((int)(id / threads_limit)) : NULL;

    return !child || !child->not_accepting;
}

int linger_threads_may_wait(long id)
{
    apr_int64_t until;

    if (!threads_may_accept(id)) {
        threads_pause();
        return 0;
    }
    until = atomic_load_explicit(&threads_pause_until, memory_order_relaxed);
    return atomic_load_explicit(&threads_busy, memory_order_relaxed) <= threads_busy_max
        && (!until || usher_clock_system()->boot_now() >= until);
}
