/* Work on the tick: counts, in the child that does it and in the parent. */
#include <signal.h>
#include <unistd.h>

#include "ushertest.h"

static void work(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    const ushertest_conf_t *conf = baton;
    ushertest_shm_t *shm = ushertest_core->memory_base(ushertest_memory, NULL);
    apr_uint32_t pid = (apr_uint32_t)getpid();
    apr_uint32_t other = atomic_exchange(&shm->in_tick, pid);

    /* Another one that is alive and at it: two children tick. */
    if (other && other != pid) {
        atomic_fetch_add(kill((pid_t)other, 0) == 0 ? &shm->overlaps : &shm->cuts, 1);
    }
    atomic_fetch_add(&shm->ticks, 1);
    atomic_store(&shm->last_pid, pid);
    /* Changes memory as well, at each tick: a child that ends must not end in
     * the middle of that. */
    if (conf->tick >= 0) {
        ushertest_move(0);
    }
    if (conf->tick > 0) {
        apr_sleep(conf->tick);
    }
    atomic_store(&shm->in_tick, 0);
}

static void parent_work(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    ushertest_shm_t *shm = ushertest_core->memory_base(ushertest_memory, NULL);

    atomic_fetch_add(&shm->parent_ticks, 1);
}

void ushertest_tick_add(const ushertest_conf_t *conf)
{
    static usher_tick_work_t child = { "counting", USHER_TICK_CHILD, work, NULL };
    static const usher_tick_work_t parent = { "parent's counting", USHER_TICK_PARENT, parent_work, NULL };

    child.baton = (void *)conf;
    ushertest_core->tick_add(&child);
    ushertest_core->tick_add(&parent);
}
