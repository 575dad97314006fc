/* The tick: regular work, once a second in exactly one child; and some that each
 * child does for itself.
 *
 * mod_watchdog gives each child a thread that calls once a second. Which child
 * does the work is decided by one word in shared memory: the claim, of pid,
 * generation and whether it is at work just now. It stays with a child as long
 * as that lives, so that work may keep things in its process; a child of a
 * newer generation takes it from an older one between two ticks. A child that
 * dies loses it at once: the parent sees its end (child_status), and the other
 * children see it as well, should the parent be late. */
#include <ap_mpm.h>
#include <errno.h>
#include <mod_watchdog.h>
#include <mpm_common.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core_private.h"
#include "usher_clock.h"
#include "usher_duration.h"

APLOG_USE_MODULE(usher);

#define TICK_INTERVAL APR_USEC_PER_SEC
/* Each child's own work is done with one of so many. */
#define EACH_TICKS 10
/* Work that takes longer than this delays the next tick: its name is logged. */
#define SLOW_LIMIT (APR_USEC_PER_SEC / 2)
/* Work that is at it for so long is named while it still runs. */
#define STUCK_LIMIT (10 * APR_USEC_PER_SEC)
/* At most one message in this time about the same work. */
#define LOG_INTERVAL (60 * APR_USEC_PER_SEC)
/* How long a child that ends waits for its work. */
#define STOP_WAIT APR_USEC_PER_SEC

#define CLAIM_RUNNING ((apr_uint64_t)1 << 63)
#define CLAIM(pid, gen) \
    ((apr_uint64_t)((gen) & 0x7fffffff) << 32 | (apr_uint32_t)(pid))
#define CLAIM_PID(claim) ((pid_t)(apr_uint32_t)(claim))
#define CLAIM_GEN(claim) ((apr_uint32_t)((claim) >> 32) & 0x7fffffff)

#define WORK_NAME_SIZE 48

typedef struct {
    _Atomic apr_uint64_t claim; /* 0: nobody */
    _Atomic apr_int64_t work_began; /* on the boot clock; 0: none under way */
    char work[WORK_NAME_SIZE]; /* its name; may be read torn, always ends in 0 */
} tick_shm_t;
_Static_assert(sizeof(tick_shm_t) == 64, "part of the segment's layout");

static const usher_memory_spec_t tick_spec = {
    .name = "core",
    .layout = 1,
    .size = sizeof(tick_shm_t),
    .size_min = sizeof(tick_shm_t),
    .size_max = sizeof(tick_shm_t),
};

/* Work and when something was last logged about it, by this process. */
typedef struct {
    const usher_tick_work_t *work;
    apr_time_t logged_at;
} tick_task_t;

static usher_memory_t *memory;    /* of this reading of the configuration */
static apr_array_header_t *tasks; /* of tick_task_t, in pconf */
static tick_shm_t *tick;
static apr_uint64_t self;         /* this child's claim */
static _Atomic int stopping;      /* this child ends */
static _Atomic int each_running;  /* its own work is under way */
static APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get_watchdog;
static APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *register_watchdog;

void core_tick_pre_config(apr_pool_t *pconf)
{
    tasks = apr_array_make(pconf, 8, sizeof(tick_task_t));
    memory = NULL;
    tick = NULL;
}

int core_tick_check_config(server_rec *s)
{
    get_watchdog = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    register_watchdog = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    memory = core_memory_declare(&tick_spec);
    if (!get_watchdog || !register_watchdog) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1008)
                     "mod_usher needs mod_watchdog: add \"LoadModule "
                     "watchdog_module modules/mod_watchdog.so\"");
        return usher_conf_may_refuse() ? !OK : OK;
    }
    return OK;
}

void core_tick_add(const usher_tick_work_t *work)
{
    tick_task_t task = { work, 0 };

    APR_ARRAY_PUSH(tasks, tick_task_t) = task;
}

static int tick_may_log(tick_task_t *task, apr_time_t now)
{
    if (task->logged_at && now - task->logged_at < LOG_INTERVAL) {
        return 0;
    }
    task->logged_at = now;
    return 1;
}

static void tick_run_task(tick_task_t *task, server_rec *s, apr_pool_t *ptemp)
{
    const usher_clock_t *clock = usher_clock_system();
    apr_time_t began = clock->boot_now(), ended;
    char took[USHER_DURATION_SIZE];

    if (task->work->where == USHER_TICK_CHILD) {
        apr_cpystrn(tick->work, task->work->name, sizeof(tick->work));
        atomic_store(&tick->work_began, began);
    }
    task->work->run(task->work->baton, s, ptemp);
    if (task->work->where == USHER_TICK_CHILD) {
        atomic_store(&tick->work_began, 0);
    }
    ended = clock->boot_now();
    if (ended - began >= SLOW_LIMIT && tick_may_log(task, ended)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(1020)
                     "tick: \"%s\" took %s; all other regular work of Usher "
                     "waited for it. Look at what it depends on (disk, "
                     "database, a busy machine)", task->work->name,
                     usher_duration_format(took, (ended - began) / 1000 * 1000));
    }
}

static void tick_run_tasks(usher_tick_where_e where, server_rec *s, apr_pool_t *ptemp)
{
    int i;

    for (i = 0; i < tasks->nelts; ++i) {
        tick_task_t *task = &APR_ARRAY_IDX(tasks, i, tick_task_t);

        if (task->work->where == where && !atomic_load(&stopping)) {
            tick_run_task(task, s, ptemp);
        }
    }
}

/* Another user's process of that pid (EPERM) is no child of ours, or one from
 * before a change of User: the parent knows which, see core_tick_monitor. */
static int tick_is_dead(pid_t pid)
{
    return pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH);
}

static int tick_may_take(apr_uint64_t claim)
{
    /* Asked by the only thread that works in this child: a claim of this child
     * is not at work, whatever it says. */
    if (!claim || CLAIM_PID(claim) == CLAIM_PID(self)) {
        return 1;
    }
    if (!(claim & CLAIM_RUNNING)
        && (apr_int32_t)((CLAIM_GEN(self) - CLAIM_GEN(claim)) << 1) > 0) {
        return 1;
    }
    return tick_is_dead(CLAIM_PID(claim));
}

/* Called by mod_watchdog's thread of this child; STOPPING when that thread
 * ends, which it may before the child does, or, with -X, after tick is gone. */
static apr_status_t tick_watchdog(int state, void *data, apr_pool_t *ptemp)
{
    static unsigned int ticks; /* only this thread is here */
    server_rec *s = data;
    apr_uint64_t idle = self;
    apr_uint64_t claim;

    if (atomic_load(&stopping)) {
        return APR_SUCCESS;
    }
    if (state == AP_WATCHDOG_STATE_STOPPING) {
        atomic_store(&stopping, 1);
        atomic_compare_exchange_strong(&tick->claim, &idle, 0);
        return APR_SUCCESS;
    }
    if (state == AP_WATCHDOG_STATE_RUNNING) {
        atomic_store(&each_running, 1);
        tick_run_tasks(USHER_TICK_OFTEN, s, ptemp);
        if (++ticks % EACH_TICKS == 0) {
            tick_run_tasks(USHER_TICK_EACH, s, ptemp);
        }
        atomic_store(&each_running, 0);
    }
    claim = atomic_load(&tick->claim);
    if (state == AP_WATCHDOG_STATE_RUNNING && tick_may_take(claim)
        && atomic_compare_exchange_strong(&tick->claim, &claim, self | CLAIM_RUNNING)) {
        if (CLAIM_PID(claim) != CLAIM_PID(self)) {
            ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, s, USHERLOGNO(1021)
                         "tick: taken over by this child from %d",
                         (int)CLAIM_PID(claim));
        }
        tick_run_tasks(USHER_TICK_CHILD, s, ptemp);
        claim = self | CLAIM_RUNNING;
        atomic_compare_exchange_strong(&tick->claim, &claim,
                                       atomic_load(&stopping) ? 0 : self);
    }
    return APR_SUCCESS;
}

static int tick_has_tasks(usher_tick_where_e where)
{
    int i;

    for (i = 0; i < tasks->nelts; ++i) {
        if (APR_ARRAY_IDX(tasks, i, tick_task_t).work->where == where) {
            return 1;
        }
    }
    return 0;
}

/* Last of all post_config hooks: without work no thread is asked for. */
int core_tick_post_config(apr_pool_t *pconf, server_rec *s)
{
    ap_watchdog_t *watchdog;
    apr_status_t rv;

    tick = core_memory_base(memory, NULL);
    if (!tick || !get_watchdog || !register_watchdog
        || !(tick_has_tasks(USHER_TICK_CHILD) || tick_has_tasks(USHER_TICK_EACH)
             || tick_has_tasks(USHER_TICK_OFTEN))) {
        return OK;
    }
    rv = get_watchdog(&watchdog, "usher-tick", 0, 0, pconf);
    if (rv == APR_SUCCESS) {
        rv = register_watchdog(watchdog, TICK_INTERVAL, s, tick_watchdog);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, USHERLOGNO(1022)
                     "tick: mod_watchdog gives no thread%s",
                     usher_conf_may_refuse() ? "" : "; regular work of Usher is off "
                     "until httpd is stopped and started");
        return usher_conf_may_refuse() ? !OK : OK;
    }
    return OK;
}

/* Gives up the claim of a process that is gone. */
static void tick_disown(pid_t pid)
{
    apr_uint64_t claim = tick ? atomic_load(&tick->claim) : 0;

    if (claim && CLAIM_PID(claim) == pid) {
        if (atomic_compare_exchange_strong(&tick->claim, &claim, 0)) {
            atomic_store(&tick->work_began, 0);
        }
    }
}

/* Before pchild goes, and exit() with it, which would cut work at any place:
 * no new work is begun, and what is under way may take a second more. */
static apr_status_t tick_child_exit(void *data)
{
    const apr_interval_time_t step = 10000;
    apr_interval_time_t limit = STOP_WAIT;
    apr_uint64_t idle = self;

    atomic_store(&stopping, 1);
    while ((atomic_load(&tick->claim) == (self | CLAIM_RUNNING) || atomic_load(&each_running))
           && limit > 0) {
        apr_sleep(step);
        limit -= step;
    }
    atomic_compare_exchange_strong(&tick->claim, &idle, 0);
    return APR_SUCCESS;
}

/* Before the watchdog's threads start. */
void core_tick_child_init(apr_pool_t *pchild)
{
    int generation = 0;

    if (!tick) {
        return;
    }
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    self = CLAIM(getpid(), generation);
    tick_disown(getpid()); /* a dead child's pid, given to this one */
    apr_pool_pre_cleanup_register(pchild, NULL, tick_child_exit);
}

void core_tick_child_status(server_rec *s, pid_t pid, ap_generation_t gen,
                            int slot, mpm_child_status state)
{
    if (state == MPM_CHILD_EXITED) {
        tick_disown(pid);
    }
}

static void tick_name_stuck_work(server_rec *s)
{
    static apr_time_t logged_at; /* only the parent's main thread is here */
    apr_time_t began = atomic_load(&tick->work_began);
    apr_time_t now = usher_clock_system()->boot_now();
    char name[WORK_NAME_SIZE], since[USHER_DURATION_SIZE];

    /* Children can write there: it may be any number. */
    if (began <= 0 || began > now || now - began < STUCK_LIMIT
        || (logged_at && now - logged_at < LOG_INTERVAL)) {
        return;
    }
    logged_at = now;
    apr_cpystrn(name, tick->work, sizeof(name));
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(1023)
                 "tick: \"%s\" has been at work in child %d for %s; all other "
                 "regular work of Usher waits. Look at what it depends on; if "
                 "that child is ended, another one goes on", name,
                 (int)CLAIM_PID(atomic_load(&tick->claim)),
                 usher_duration_format(since, (now - began) / APR_USEC_PER_SEC * APR_USEC_PER_SEC));
}

/* The parent, about every ten seconds. */
int core_tick_monitor(apr_pool_t *p, server_rec *s)
{
    apr_uint64_t claim = tick ? atomic_load(&tick->claim) : 0;
    siginfo_t info;
    apr_pool_t *ptemp;

    /* The last resort for a claim whose owner's end went unseen, and whose pid
     * some other process has now, or that is no pid at all: whoever is no child
     * of ours. With -X the owner is this process. */
    if (claim && CLAIM_PID(claim) != getpid()
        && waitid(P_PID, (id_t)CLAIM_PID(claim), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
        tick_disown(CLAIM_PID(claim));
    }
    if (tick) {
        tick_name_stuck_work(s);
    }
    apr_pool_create(&ptemp, p);
    tick_run_tasks(USHER_TICK_PARENT, s, ptemp);
    apr_pool_destroy(ptemp);
    return OK;
}
