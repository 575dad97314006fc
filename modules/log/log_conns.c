/* Requests in flight, of httpd and of each virtual host: of all children together, and true again
 * within a second or two when one is killed (usher_tally.h). A request counts from when its head
 * was read until its pool ends.
 *
 * The totals lie at the front of the piece, the children's rows behind them. With another
 * number of virtual hosts it is another piece; with others of the same number it is another
 * epoch, and what old children give back then leaves the totals alone. */
#include <ap_mpm.h>
#include <apr_hash.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_private.h"
#include "usher_tally.h"

APLOG_USE_MODULE(usher_log);

typedef struct {
    _Atomic apr_uint64_t hosts; /* a hash of their names */
    _Atomic apr_uint32_t epoch;
    apr_uint32_t pad[13];
    _Atomic apr_uint32_t totals[]; /* of httpd, then of each virtual host */
} conns_shm_t;
_Static_assert(sizeof(conns_shm_t) == 64, "part of the segment's layout");

static usher_memory_spec_t conns_spec = {
    .name = "requests",
    .layout = 1,
    .size_max = (apr_uint64_t)1 << 32,
};

static usher_memory_t *conns_memory;
static conns_shm_t *conns_shm; /* NULL: nothing is counted */
static usher_tally_t conns_tally;
static apr_uint32_t conns_counters;

/* More than there can be children: old ones may still be about while new ones begin. */
static apr_uint32_t conns_rows(void)
{
    int limit = 0;

    if (ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &limit) != APR_SUCCESS || limit < 1) {
        limit = 1;
    }
    return (apr_uint32_t)(limit + limit / 4 + 16);
}

static apr_uint64_t conns_head(void)
{
    return sizeof(conns_shm_t) + APR_ALIGN((apr_uint64_t)conns_counters * sizeof(apr_uint32_t), 64);
}

void log_conns_check_config(apr_uint32_t servers)
{
    conns_counters = 1 + servers;
    conns_spec.size = conns_head() + usher_tally_size(conns_rows(), conns_counters);
    conns_spec.size_min = conns_spec.size;
    conns_memory = log_core && log_check_is_used ? log_core->memory_declare(&conns_spec) : NULL;
    conns_shm = NULL;
}

/* What waits and goes */

static int conns_is_gone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

/* In the parent: nobody that is no child of it. With -X that is this process. */
static int conns_is_no_child(pid_t pid)
{
    siginfo_t info;

    return pid != getpid()
           && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0;
}

static void conns_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    usher_tally_scan_t *scan;
    apr_uint32_t i;

    usher_tally_left_all(&conns_tally, conns_is_gone);
    scan = usher_tally_scan(&conns_tally, ptemp);
    for (i = 0; i < conns_counters; ++i) {
        usher_tally_mend(&conns_tally, scan, i, &conns_shm->totals[i]);
    }
}

static void conns_parent_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    usher_tally_left_all(&conns_tally, conns_is_no_child);
}

static const usher_tick_work_t conns_work[] = {
    { "requests in flight, for the log", USHER_TICK_CHILD, conns_tick, NULL },
    { "rows of children, for the log", USHER_TICK_PARENT, conns_parent_tick, NULL },
};

/* Which virtual hosts the numbers stand for. */
static apr_uint64_t conns_hosts(const server_rec *s)
{
    apr_uint64_t hash = 0;

    for (; s; s = s->next) {
        const log_conf_t *conf = log_conf_of(s);
        apr_ssize_t len = (apr_ssize_t)conf->name.len;

        hash = hash * 31 + apr_hashfunc_default(conf->name.text, &len) + conf->port;
    }
    return hash;
}

int log_conns_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_uint64_t hosts, size = 0;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    conns_shm = conns_memory ? log_core->memory_base(conns_memory, &size) : NULL;
    if (conns_shm && size < conns_head() + usher_tally_size(1, conns_counters)) {
        conns_shm = NULL; /* an older piece that had to stay; the core has told */
    }
    if (!conns_shm) {
        return OK;
    }
    hosts = conns_hosts(s);
    if (atomic_exchange(&conns_shm->hosts, hosts) != hosts) {
        atomic_fetch_add(&conns_shm->epoch, 1);
    }
    usher_tally_open(&conns_tally, (char *)conns_shm + conns_head(), size - conns_head(),
                     conns_rows(), atomic_load(&conns_shm->epoch));
    log_core->tick_add(&conns_work[0]);
    log_core->tick_add(&conns_work[1]);
    return OK;
}

void log_conns_child_init(apr_pool_t *pchild, server_rec *s)
{
    if (conns_shm && !usher_tally_join(&conns_tally, getpid())) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(5002)
                     "requests: its %u rows are taken, so the requests of child %d are missing in "
                     "the log's counts of requests in flight. There are more children than "
                     "ServerLimit allows: end those that hang, then restart gracefully",
                     conns_tally.rows, (int)getpid());
    }
}

void log_conns_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                            mpm_child_status state)
{
    if (state == MPM_CHILD_EXITED && conns_shm) {
        usher_tally_left(&conns_tally, pid);
    }
}

/* Of a request */

static apr_status_t conns_cleanup(void *data)
{
    const log_record_t *record = data;
    int same = atomic_load_explicit(&conns_shm->epoch, memory_order_relaxed) == conns_tally.epoch;
    apr_uint32_t host = 1 + record->number;

    usher_tally_give(&conns_tally, host, same ? &conns_shm->totals[host] : NULL);
    usher_tally_give(&conns_tally, 0, same ? &conns_shm->totals[0] : NULL);
    return APR_SUCCESS;
}

void log_conns_count(request_rec *r, log_record_t *record)
{
    if (!conns_shm) {
        return;
    }
    record->number = log_conf_of(r->server)->number;
    record->counted = 1;
    usher_tally_take(&conns_tally, 0, &conns_shm->totals[0], 0, 0);
    usher_tally_take(&conns_tally, 1 + record->number, &conns_shm->totals[1 + record->number], 0, 0);
    apr_pool_cleanup_register(r->pool, record, conns_cleanup, apr_pool_cleanup_null);
}

/* With this one, which may have been lost where a process writes there that must not. */
static apr_int64_t conns_total(apr_uint32_t counter, int counted)
{
    apr_int64_t total = atomic_load_explicit(&conns_shm->totals[counter], memory_order_relaxed);

    total += !counted;
    return total > 0 ? total : 1;
}

void log_conns_get(const log_record_t *record, apr_uint32_t number, apr_int64_t *all,
                   apr_int64_t *vhost)
{
    *all = *vhost = -1;
    if (conns_shm) {
        *all = conns_total(0, record->counted);
        *vhost = conns_total(1 + number, record->counted && record->number == number);
    }
}
