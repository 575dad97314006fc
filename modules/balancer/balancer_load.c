/* Requests in flight at each member and each cluster, and requests that wait: of all
 * children together, and true again within a tick when one is killed (usher_tally.h).
 *
 * The totals lie in the registry's records, the children's rows in a piece of their own;
 * the counters' numbers come from the records' places. Where the registry gets another
 * size, records change their places: rows from before then count no more. */
#include <ap_mpm.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "balancer_private.h"
#include "usher_tally.h"

APLOG_USE_MODULE(usher_balancer);

/* For what the registry has room for if nothing else is said. */
#define PLACES_DEFAULT 4352
#define PLACES_LEAST 16

/* The two counters of a record. The first two are of no record. */
enum { LOAD_IN_FLIGHT, LOAD_WAITING, LOAD_KINDS };
#define COUNTER_ALL_WAITING LOAD_WAITING
#define COUNTERS(places) (((places) + 1) * LOAD_KINDS)

typedef struct {
    _Atomic apr_uint32_t waiting; /* requests in all queues */
    _Atomic apr_uint32_t places;  /* of the registry, when rows were begun */
    _Atomic apr_uint32_t epoch;
    apr_uint32_t pad[13];
} load_shm_t;
_Static_assert(sizeof(load_shm_t) == 64, "part of the segment's layout");

static usher_memory_spec_t load_spec = {
    .name = "inflight",
    .layout = 1,
    .size_max = (apr_uint64_t)1 << 32,
};

static usher_memory_t *memory;
static load_shm_t *load_shm;
static usher_tally_t tally;
static int workers, threads; /* of all children, of one */

/* More than there can be children: old ones may still be about while new ones begin. */
static apr_uint32_t load_rows(void)
{
    int limit = 0;

    if (ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &limit) != APR_SUCCESS || limit < 1) {
        limit = 1;
    }
    return (apr_uint32_t)(limit + limit / 4 + 16);
}

void balancer_load_check_config(void)
{
    apr_uint32_t rows = load_rows();

    load_spec.size = sizeof(load_shm_t) + usher_tally_size(rows, COUNTERS(PLACES_DEFAULT));
    load_spec.size_min = sizeof(load_shm_t) + usher_tally_size(rows, COUNTERS(PLACES_LEAST));
    memory = balancer_core ? balancer_core->memory_declare(&load_spec) : NULL;
    load_shm = NULL;
}

/* What waits and goes */

static int load_is_gone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

/* In the parent: nobody that is no child of it. With -X that is this process. */
static int load_is_no_child(pid_t pid)
{
    siginfo_t info;

    return pid != getpid()
           && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0;
}

static apr_uint32_t load_counter(apr_uint32_t generation, apr_uint32_t place, int kind)
{
    if (!generation) {
        return USHER_TALLY_PRIVATE; /* the registry has no room for it */
    }
    return place < tally.counters / LOAD_KINDS && place + 1 < tally.counters / LOAD_KINDS
               ? COUNTERS(place) + (apr_uint32_t)kind : tally.counters;
}

static int load_mend_record(void *scan, usher_cluster_rec_t *cluster, usher_member_rec_t *member)
{
    apr_uint32_t generation = cluster ? cluster->generation : member->generation;
    apr_uint32_t place = cluster ? cluster->place : member->place;

    if (generation) {
        usher_tally_mend(&tally, scan, load_counter(generation, place, LOAD_IN_FLIGHT),
                         cluster ? &cluster->in_flight : &member->in_flight);
        usher_tally_mend(&tally, scan, load_counter(generation, place, LOAD_WAITING),
                         cluster ? &cluster->waiting : &member->waiting);
    }
    return 1;
}

static void load_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    usher_tally_scan_t *scan;

    usher_tally_left_all(&tally, load_is_gone);
    scan = usher_tally_scan(&tally, ptemp);
    usher_tally_mend(&tally, scan, COUNTER_ALL_WAITING, &load_shm->waiting);
    balancer_core->registry_each(load_mend_record, scan);
}

static void load_parent_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    usher_tally_left_all(&tally, load_is_no_child);
}

static const usher_tick_work_t load_work[] = {
    { "requests in flight", USHER_TICK_CHILD, load_tick, NULL },
    { "rows of children", USHER_TICK_PARENT, load_parent_tick, NULL },
};

static void load_query_mpm(void)
{
    int daemons = 0;

    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS || threads < 1) {
        threads = 1;
    }
    if (ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons) != APR_SUCCESS || daemons < 1) {
        daemons = 1;
    }
    workers = threads * daemons;
}

int balancer_load_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                              server_rec *s)
{
    apr_uint32_t places, rows = load_rows();
    apr_uint64_t size = 0;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    memset(&tally, 0, sizeof(tally));
    load_query_mpm();
    load_shm = memory ? balancer_core->memory_base(memory, &size) : NULL;
    if (!load_shm) {
        return OK; /* the core has told */
    }
    places = balancer_core->registry_places();
    if (atomic_exchange(&load_shm->places, places) != places) {
        atomic_fetch_add(&load_shm->epoch, 1);
    }
    usher_tally_open(&tally, load_shm + 1, size - sizeof(*load_shm), rows,
                     atomic_load(&load_shm->epoch));
    if (tally.counters < COUNTERS(places)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(3020)
                     "inflight: there is room for %u of the registry's %u members and clusters; "
                     "requests of the others are not counted, nor bounded by UsherMemberMax. "
                     "Write UsherMemory inflight %" APR_UINT64_T_FMT "K, and restart gracefully",
                     tally.counters / LOAD_KINDS, places,
                     (sizeof(*load_shm) + usher_tally_size(rows, COUNTERS(places))) / 1024 + 1);
    }
    balancer_core->tick_add(&load_work[0]);
    balancer_core->tick_add(&load_work[1]);
    return OK;
}

void balancer_load_child_init(apr_pool_t *pchild, server_rec *s)
{
    if (load_shm && !usher_tally_join(&tally, getpid())) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(3021)
                     "inflight: its %u rows are taken, so the requests of child %d are not "
                     "counted. There are more children than ServerLimit allows: end those that "
                     "hang, then restart gracefully", tally.rows, (int)getpid());
    }
}

void balancer_load_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                                mpm_child_status state)
{
    if (state == MPM_CHILD_EXITED && load_shm) {
        usher_tally_left(&tally, pid);
    }
}

/* Of a request */

int balancer_load_take(balancer_request_t *request, int i, apr_uint32_t bound)
{
    const balancer_member_t *member = &request->members->list[i];
    usher_cluster_rec_t *rec = request->cluster->rec;
    apr_uint32_t max = bound && (!member->max || bound < member->max) ? bound : member->max;

    if (balancer_load_is_full(member, request->queue.step)
        || !usher_tally_take(&tally, load_counter(member->rec->generation, member->rec->place,
                                                  LOAD_IN_FLIGHT),
                             &member->rec->in_flight, max, 0)) {
        return 0;
    }
    usher_tally_take(&tally, load_counter(rec->generation, rec->place, LOAD_IN_FLIGHT),
                     &rec->in_flight, 0, 0);
    return 1;
}

void balancer_load_release(balancer_request_t *request, int i, apr_uint32_t generation)
{
    usher_member_rec_t *member = request->members->list[i].rec;
    usher_cluster_rec_t *rec = request->cluster->rec;

    usher_tally_give(&tally, load_counter(rec->generation, rec->place, LOAD_IN_FLIGHT),
                     rec->generation == request->cluster->generation ? &rec->in_flight : NULL);
    usher_tally_give(&tally, load_counter(generation, member->place, LOAD_IN_FLIGHT),
                     member->generation == generation ? &member->in_flight : NULL);
    if (request->cluster->conf->load.wait > 0
        && (atomic_load(&rec->waiting) || atomic_load(&member->waiting))) {
        balancer_queue_wake(request, i);
    }
}

static apr_uint32_t load_share(int of, int percent)
{
    return of * percent / 100 > 0 ? (apr_uint32_t)(of * percent / 100) : 1;
}

static apr_uint32_t load_waiting(const balancer_request_t *request, int i,
                                 _Atomic apr_uint32_t **total)
{
    usher_cluster_rec_t *rec = request->cluster->rec;
    usher_member_rec_t *member = i < 0 ? NULL : request->members->list[i].rec;

    *total = member ? &member->waiting : &rec->waiting;
    return member ? load_counter(member->generation, member->place, LOAD_WAITING)
                  : load_counter(rec->generation, rec->place, LOAD_WAITING);
}

int balancer_load_wait_begin(balancer_request_t *request, int i)
{
    int most = request->cluster->conf->load.most;
    _Atomic apr_uint32_t *total;
    apr_uint32_t counter = load_waiting(request, i, &total);

    /* Without rows nobody knows how many wait. */
    if (!tally.own || !usher_tally_take(&tally, COUNTER_ALL_WAITING, &load_shm->waiting,
                                        load_share(workers, most), load_share(threads, most))) {
        return 0;
    }
    usher_tally_take(&tally, counter, total, 0, 0);
    return 1;
}

void balancer_load_wait_end(balancer_request_t *request, int i)
{
    _Atomic apr_uint32_t *total;
    apr_uint32_t counter = load_waiting(request, i, &total);

    usher_tally_give(&tally, counter, total);
    usher_tally_give(&tally, COUNTER_ALL_WAITING, &load_shm->waiting);
}
