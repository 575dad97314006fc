/* Who holds which record of the registry, in the piece "holds": a row of bits for each process.
 *
 * The piece has the size that the registry's needs. Where the registry gets another one, its
 * records change their places, and rows of older children name others: that keeps some from
 * being given away for longer than needed, and harms nothing. */
#include <ap_mpm.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core_private.h"
#include "usher_holds.h"

APLOG_USE_MODULE(usher);

#define ROWS_KEY "usher-holds-rows-1"
#define ROWS_MAX 65536

/* Whoever has a row in the old memory uses the registry's old memory as well. */
static apr_status_t holds_carry(void *to, apr_uint64_t to_size, const void *from,
                                apr_uint64_t from_size, apr_uint32_t from_layout,
                                usher_memory_carried_t *carried)
{
    return APR_SUCCESS;
}

static usher_memory_spec_t holds_spec = {
    .name = "holds",
    .layout = 1,
    .carry = holds_carry,
};

static usher_memory_t *memory;
static usher_holds_t holds; /* rows 0: there is none */

/* Of this process: how often each place is held. */
static apr_thread_mutex_t *mutex;
static apr_uint32_t *counts;

/* More than there can be children: old ones may still be about while new ones begin. Kept
 * from the first start on, as the rows' length depends on it. */
static apr_uint32_t holds_rows(void)
{
    const apr_uint32_t *kept = ap_retained_data_get(ROWS_KEY);
    int limit = 0;

    if (kept) {
        return *kept;
    }
    if (ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &limit) != APR_SUCCESS || limit < 1) {
        limit = 1;
    }
    limit = limit < ROWS_MAX / 2 ? limit : ROWS_MAX / 2;
    return (apr_uint32_t)(limit + limit / 4 + 16);
}

static void holds_bound(apr_uint64_t size)
{
    holds_spec.size = holds_spec.size_min = holds_spec.size_max = size;
}

void core_holds_check_config(apr_uint32_t places)
{
    holds_bound(usher_holds_size(holds_rows(), places));
    memory = core_memory_declare(&holds_spec);
    holds.rows = 0;
}

void core_holds_follow(apr_uint32_t places)
{
    if (memory) {
        memory->wanted = places ? usher_holds_size(holds_rows(), places) : 0;
        holds_bound(memory->wanted ? memory->wanted : holds_spec.size);
    }
}

void core_holds_first_post_config(void)
{
    if (!ap_retained_data_get(ROWS_KEY)) {
        apr_uint32_t rows = holds_rows();

        *(apr_uint32_t *)ap_retained_data_create(ROWS_KEY, sizeof(rows)) = rows;
    }
}

void core_holds_post_config(void)
{
    apr_uint64_t size = 0;
    void *base = core_memory_base(memory, &size);

    if (base) {
        usher_holds_open(&holds, base, size, holds_rows());
    }
}

static int holds_is_gone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

/* In the parent: nobody that is no child of it. With -X that is this process. */
static int holds_is_no_child(pid_t pid)
{
    siginfo_t info;

    return pid != getpid()
           && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0;
}

/* Not in pchild: its cleanups may give up what they hold. */
void core_holds_child_init(server_rec *s)
{
    apr_pool_t *pool = s->process->pool;

    if (!holds.rows
        || apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pool) != APR_SUCCESS) {
        holds.rows = 0;
        return;
    }
    counts = apr_pcalloc(pool, (apr_size_t)holds.places * sizeof(*counts));
    if (usher_holds_join(&holds, getpid())) {
        return;
    }
    usher_holds_left_all(&holds, holds_is_gone);
    if (!usher_holds_join(&holds, getpid())) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(1096)
                     "registry: too many children are about for this one to say which members "
                     "it uses: of those that signed themselves in it knows no checks and no "
                     "counts of others, and sends them requests unchecked. Look for children of "
                     "earlier generations that do not end");
    }
}

int core_holds_take(apr_uint64_t place)
{
    int taken;

    if (!holds.own || place >= holds.places) {
        return 0;
    }
    apr_thread_mutex_lock(mutex);
    taken = usher_holds_take(&holds, (apr_uint32_t)place);
    counts[place] += taken ? 1 : 0;
    apr_thread_mutex_unlock(mutex);
    return taken;
}

void core_holds_give(apr_uint64_t place)
{
    if (!holds.own || place >= holds.places) {
        return;
    }
    apr_thread_mutex_lock(mutex);
    if (counts[place] && !--counts[place]) {
        usher_holds_give(&holds, (apr_uint32_t)place);
    }
    apr_thread_mutex_unlock(mutex);
}

int core_holds_has(apr_uint64_t place)
{
    return holds.rows && place < holds.places && usher_holds_has(&holds, (apr_uint32_t)place);
}

void core_holds_forget_gone(void)
{
    if (holds.rows) {
        usher_holds_left_all(&holds, holds_is_gone);
    }
}

void core_holds_child_gone(pid_t pid)
{
    if (holds.rows) {
        usher_holds_left(&holds, pid);
    }
}

void core_holds_monitor(void)
{
    if (holds.rows) {
        usher_holds_left_all(&holds, holds_is_no_child);
    }
}
