/* The ledger in the piece "test": moves under the lock that survive a kill at
 * any instruction, a check that nothing was lost, and carrying over. */
#include <signal.h>
#include <unistd.h>

#include "ushertest.h"

#define COINS 1000 /* in each account at first */

static apr_uint64_t capacity(apr_uint64_t size)
{
    return (size - sizeof(ushertest_shm_t)) / sizeof(apr_int64_t);
}

static apr_int64_t unit(apr_uint32_t layout)
{
    return layout == 2 ? 100 : 1;
}

static void init(ushertest_shm_t *shm, apr_uint64_t size, apr_uint32_t layout)
{
    apr_uint64_t i, n = capacity(size);

    shm->layout = layout;
    for (i = 0; i < n; ++i) {
        shm->accounts[i] = COINS * unit(layout);
    }
}

static void init_1(void *base, apr_uint64_t size)
{
    init(base, size, 1);
}

static void init_2(void *base, apr_uint64_t size)
{
    init(base, size, 2);
}

/* A move that was not finished is taken back. The indexes may be anything: in
 * the parent this runs as root on what children wrote. */
static void repair(ushertest_shm_t *shm, apr_uint64_t size, apr_uint32_t layout)
{
    apr_uint64_t n = capacity(size);

    ap_assert(shm->layout == layout); /* the core's promise */
    if (atomic_load(&shm->active) && shm->from < n && shm->to < n) {
        shm->accounts[shm->from] = shm->from_was;
        shm->accounts[shm->to] = shm->to_was;
    }
    atomic_store(&shm->active, 0);
    atomic_fetch_add(&shm->repairs, 1);
}

static void repair_1(void *base, apr_uint64_t size)
{
    repair(base, size, 1);
}

static void repair_2(void *base, apr_uint64_t size)
{
    repair(base, size, 2);
}

/* Any size; hundredths understand whole coins, but not the other way. */
static apr_status_t carry(void *to, apr_uint64_t to_size, const void *from,
                          apr_uint64_t from_size, apr_uint32_t from_layout,
                          usher_memory_carried_t *carried)
{
    ushertest_shm_t *shm = to;
    const ushertest_shm_t *old = from;
    apr_uint64_t i, has = capacity(from_size), fits = capacity(to_size);

    if (from_layout > shm->layout) {
        return APR_ENOTIMPL;
    }
    atomic_store(&shm->value, old->value);
    atomic_store(&shm->ticks, old->ticks);
    for (i = 0; i < has && i < fits; ++i) {
        shm->accounts[i] = old->accounts[i] * unit(shm->layout) / unit(from_layout);
    }
    carried->kept = i;
    carried->dropped = has - i;
    return APR_SUCCESS;
}

static const usher_memory_spec_t specs[] = {
    { "test", 1, 65536, 4096, USHER_MEMORY_MAX, init_1, repair_1, carry },
    { "test", 2, 65536, 4096, USHER_MEMORY_MAX, init_2, repair_2, carry },
};

const usher_memory_spec_t *ushertest_ledger_spec(apr_uint32_t layout)
{
    return &specs[layout == 2];
}

static apr_uint32_t random_u32(void)
{
    apr_uint32_t number = 0;

    apr_generate_random_bytes((unsigned char *)&number, sizeof(number));
    return number;
}

apr_status_t ushertest_move(int die_half_way)
{
    apr_uint64_t size = 0, n;
    ushertest_shm_t *shm = ushertest_core->memory_base(ushertest_memory, &size);
    apr_time_t began = apr_time_now();
    apr_uint64_t waited;
    apr_int64_t amount = 1 + random_u32() % 10;
    apr_status_t rv = ushertest_core->memory_lock(ushertest_memory);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    waited = (apr_uint64_t)(apr_time_now() - began);
    if (waited > atomic_load(&shm->longest_wait)) {
        atomic_store(&shm->longest_wait, waited);
    }
    n = capacity(size);
    shm->from = random_u32() % n;
    shm->to = (shm->from + 1 + random_u32() % (n - 1)) % n;
    shm->from_was = shm->accounts[shm->from];
    shm->to_was = shm->accounts[shm->to];
    atomic_store(&shm->active, 1);
    shm->accounts[shm->from] -= amount;
    if (die_half_way) {
        kill(getpid(), SIGKILL);
    }
    /* Now and then take long, so that random kills hit the middle of a move. */
    if (amount <= 3) {
        apr_sleep(100);
    }
    shm->accounts[shm->to] += amount;
    atomic_store(&shm->active, 0);
    atomic_fetch_add(&shm->moves, 1);
    ushertest_core->memory_unlock(ushertest_memory);
    return APR_SUCCESS;
}

void ushertest_hammer(request_rec *r, int seconds)
{
    apr_time_t end = apr_time_now() + apr_time_from_sec(seconds);
    apr_uint64_t moves = 0;
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && apr_time_now() < end) {
        rv = ushertest_move(0);
        ++moves;
    }
    ap_rprintf(r, "pid=%d moves=%" APR_UINT64_T_FMT " rv=%d\n", (int)getpid(), moves, rv);
}

void ushertest_check(request_rec *r)
{
    apr_uint64_t size = 0, n, i;
    ushertest_shm_t *shm = ushertest_core->memory_base(ushertest_memory, &size);
    apr_int64_t sum = 0;
    apr_status_t rv = ushertest_core->memory_lock(ushertest_memory);

    n = capacity(size);
    for (i = 0; i < n; ++i) {
        sum += shm->accounts[i];
    }
    if (rv == APR_SUCCESS) {
        ushertest_core->memory_unlock(ushertest_memory);
    }
    ap_rprintf(r, "rv=%d layout=%u accounts=%" APR_UINT64_T_FMT " lost=%" APR_INT64_T_FMT
               " moves=%" APR_UINT64_T_FMT " repairs=%" APR_UINT64_T_FMT
               " longest_wait_us=%" APR_UINT64_T_FMT "\n", rv, shm->layout, n,
               (apr_int64_t)n * COINS * unit(shm->layout) - sum,
               atomic_load(&shm->moves), atomic_load(&shm->repairs),
               atomic_load(&shm->longest_wait));
}
