/* Who checks the members: a thread in the child that has the tick.
 *
 * Each tick lets it begin checks for a few seconds more. When the tick moves to
 * another child, that one's thread goes on, and this one's sleeps. Each check is
 * claimed in the member's record, so none is made twice meanwhile, and one whose child
 * is killed is just left out. All checks under way are driven by one poll(). */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "balancer_probe_private.h"
#include "usher_thread.h"

APLOG_USE_MODULE(usher_balancer);

/* So many checks are under way at once. */
#define PROBES_MAX 256
/* How long a tick lets the thread work, ms: until the next one, should that be late. */
#define WORK_MS 3000
/* The members are looked over at most so often, ms. */
#define SCAN_MS 20
#define STOP_SECONDS 2
/* At most one message in this time, ms, that checks cannot be made. */
#define LOG_MS 60000

/* A cluster that is checked, and with which of its members to go on when there was no
 * room for more checks. */
typedef struct {
    balancer_cluster_t *cluster;
    int from;
} probed_t;

/* Made in post_config; from is the checker's. */
static apr_array_header_t *probed;
static int probed_from;

/* The thread, of this child. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the next two */
static int checking;
static int stopping;
static pthread_t checker;
static int wake_pipe[2];
static _Atomic int stopped;           /* for the thread */
static _Atomic apr_int64_t works_until; /* boot clock, ms */

/* The thread's own */
static probe_t *probes[PROBES_MAX];
static struct pollfd fds[PROBES_MAX + 2]; /* the last two in use are the pipe and the roster's */
static int probes_len;
static int roster_fd; /* readable when a member has signed in; -1: there is none */
static apr_int64_t scan_at; /* boot clock, ms: when the next checks may be due */
static apr_int64_t scanned_at;
static apr_int64_t logged_at;

/* Members that get requests, but for one. */
static void probe_count_left(const probe_t *probe, apr_uint32_t *left, apr_uint32_t *others)
{
    static const usher_health_params_t rest = USHER_PICKER_REST;
    balancer_choice_t choice = { .cluster = probe->cluster, .rest = &rest,
                                 .members = probe->members, .now = balancer_now() };
    int i;

    *left = *others = 0;
    for (i = 0; i < choice.members->count; ++i) {
        if (choice.members->list[i].rec != probe->member->rec) {
            balancer_standing_e standing = balancer_pick_standing(&choice, i, NULL);

            *left += standing == BALANCER_STANDING_USABLE;
            ++*others;
        }
    }
}

static void probe_log_down(const probe_t *probe, const char *reason)
{
    apr_uint32_t left, others;

    probe_count_left(probe, &left, &others);
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, probe->cluster->home, USHERLOGNO(3045)
                 "%s: %s is down, as its health check (%s) failed: %s%s%s%s; %u of %u other members "
                 "get requests%s", probe->cluster->name, probe->member->worker->s->name_ex,
                 probe_conf_word(probe->params.kind), reason, probe->why ? " (" : "",
                 probe->why ? probe->why : "", probe->why ? ")" : "", left, others,
                 left ? ", it gets none. Look at that server; nothing need be done here"
                      : ". All are tried all the same, as there is no better one: look at those "
                        "servers, and whether UsherCheck asks them for the right thing");
}

static void probe_log_up(const probe_t *probe, const char *reason)
{
    if (probe->is_first) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, probe->cluster->home, USHERLOGNO(3060)
                     "%s: %s (route \"%s\"), which has signed in, gets requests from now on, as its "
                     "health check (%s) %s", probe->cluster->name,
                     probe->member->worker->s->name_ex, probe->member->worker->s->route,
                     probe_conf_word(probe->params.kind), reason);
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, probe->cluster->home, USHERLOGNO(3046)
                 "%s: %s is up again, as its health check (%s) %s, and gets more and more "
                 "requests", probe->cluster->name, probe->member->worker->s->name_ex,
                 probe_conf_word(probe->params.kind), reason);
}

static void probe_log_ours(const probe_t *probe, const char *reason)
{
    apr_int64_t now = balancer_now();

    if (!logged_at || now - logged_at >= LOG_MS) {
        logged_at = now;
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, probe->cluster->home, USHERLOGNO(3047)
                     "%s: %s is not checked: %s. Look at the limits of open files and ports of "
                     "this machine", probe->cluster->name, probe->member->worker->s->name_ex,
                     reason);
    }
}

/* A check has ended: its result goes into the member's record. */
static void probe_tell(const probe_t *probe)
{
    usher_member_rec_t *rec = probe->member->rec;
    apr_uint32_t took = (apr_uint32_t)(usher_clock_system()->boot_now() - probe->began_at);
    char reason[USHER_CHECK_REASON_SIZE];
    usher_check_state_e become;

    if (rec->generation != probe->generation) {
        return; /* it is another member's by now */
    }
    become = usher_check_ended(&rec->check, &probe->params, &probe->turn, probe->result, took,
                               apr_time_as_msec(usher_clock_system()->utc_now()));
    scan_at = probe->turn.next_at < scan_at ? probe->turn.next_at : scan_at;
    usher_check_reason(reason, probe->result, took);
    if (USHER_CHECK_WHAT(probe->result) == USHER_CHECK_OURS) {
        probe_log_ours(probe, reason);
    }
    else if (become == USHER_CHECK_DOWN) {
        balancer_pick_changed(probe->cluster);
        probe_log_down(probe, reason);
    }
    else if (become == USHER_CHECK_UP) {
        usher_health_returned(&rec->health, balancer_now(),
                              (apr_uint32_t)apr_time_as_msec(probe->conf->slowstart));
        balancer_pick_changed(probe->cluster);
        probe_log_up(probe, reason);
    }
    ap_log_error(APLOG_MARK, APLOG_TRACE2, 0, probe->cluster->home, "%s: check of %s: %s",
                 probe->cluster->name, probe->member->worker->s->name_ex, reason);
}

static void probe_free(probe_t *probe)
{
    probe_run_close(probe);
    balancer_lists_drop(probe->members);
    free(probe);
}

/* The last one takes its place. */
static void probe_remove(int i)
{
    probe_free(probes[i]);
    probes[i] = probes[--probes_len];
    fds[i] = fds[probes_len];
}

static void probe_watch(int i)
{
    fds[i].fd = probes[i]->step == PROBE_LOOKUP ? -1 : probes[i]->fd;
    fds[i].events = probes[i]->events;
    fds[i].revents = 0;
}

static void probe_begin(balancer_cluster_t *cluster, const balancer_members_t *members,
                        const balancer_member_t *member, const usher_check_params_t *params,
                        const usher_check_turn_t *turn)
{
    probe_t *probe = calloc(1, sizeof(*probe));

    if (!probe) {
        return; /* the next one may have better luck */
    }
    probe->cluster = cluster;
    probe->conf = balancer_probe_conf_of(cluster, member);
    balancer_lists_hold_too(members);
    probe->members = members;
    probe->member = member;
    probe->is_first = balancer_probe_is_awaited(member);
    probe->generation = member->rec->generation;
    probe->params = *params;
    probe->turn = *turn;
    probe->began_at = usher_clock_system()->boot_now();
    probe->expires_at = probe->began_at / 1000 + params->timeout;
    probe_run_begin(probe);
    if (probe_run_go(probe)) {
        probe_tell(probe);
        probe_free(probe);
        return;
    }
    probes[probes_len] = probe;
    probe_watch(probes_len++);
}

/* Whoever has signed in begins anew where it is another server than before. */
static int probe_is_checked(const balancer_cluster_t *cluster, const balancer_member_t *member)
{
    if (!member->joined) {
        return cluster->conf->probe.kind != USHER_CHECK_OFF;
    }
    if (member->rec->generation
        && usher_check_meet(&member->rec->check, balancer_probe_server(member))) {
        usher_health_returned(&member->rec->health, balancer_now(), 0);
    }
    return !member->joined->has_no_secret;
}

/* Begin the checks of members that are due. @return 0: there is no room for more */
static int probe_scan_members(probed_t *of, const balancer_members_t *members, apr_int64_t now,
                              apr_int64_t *due_at)
{
    balancer_cluster_t *cluster = of->cluster;
    usher_check_params_t params;
    usher_check_turn_t turn;
    int n;

    for (n = 0; n < members->count; ++n) {
        int i = (of->from + n) % members->count;
        const balancer_member_t *member = &members->list[i];

        if (!probe_is_checked(cluster, member)) {
            continue;
        }
        if (probes_len == PROBES_MAX) {
            of->from = i;
            *due_at = now;
            return 0;
        }
        probe_conf_params(balancer_probe_conf_of(cluster, member), member, &params);
        if (usher_check_claim(&member->rec->check, now, &params, &turn)) {
            probe_begin(cluster, members, member, &params, &turn);
        }
        *due_at = turn.held_until < *due_at ? turn.held_until : *due_at;
    }
    return 1;
}

static int probe_scan_cluster(probed_t *of, apr_int64_t now, apr_int64_t *due_at)
{
    balancer_cluster_t *cluster = of->cluster;
    const balancer_members_t *members =
        balancer_lists_hold(cluster, cluster->balancer, cluster->home, 0);
    int room = probe_scan_members(of, members, now, due_at);

    balancer_lists_drop(members);
    if (balancer_lists_is_old(cluster)) {
        *due_at = now; /* the next list is not to be had yet */
    }
    return room;
}

/* Begin what is due, and know when there is more. */
static void probe_scan(apr_int64_t now)
{
    probed_t *all = (probed_t *)probed->elts;
    apr_int64_t due_at = now + WORK_MS;
    int n;

    scanned_at = now;
    scan_at = due_at; /* checks that end at once make it earlier */
    for (n = 0; n < probed->nelts; ++n) {
        int i = (probed_from + n) % probed->nelts;

        if (!probe_scan_cluster(&all[i], now, &due_at)) {
            probed_from = i;
            break;
        }
    }
    due_at = scan_at < due_at ? scan_at : due_at;
    scan_at = due_at > now + SCAN_MS ? due_at : now + SCAN_MS;
}

/* When the first one's time is over. */
static apr_int64_t probe_first_expiry(apr_int64_t limit)
{
    int i;

    for (i = 0; i < probes_len; ++i) {
        limit = probes[i]->step_expires_at < limit ? probes[i]->step_expires_at : limit;
    }
    return limit;
}

static void probe_go_on(int woken)
{
    apr_int64_t now = balancer_now();
    int i;

    for (i = probes_len - 1; i >= 0; --i) {
        probe_t *probe = probes[i];
        int ended = 0;

        if (fds[i].revents || (woken && probe->step == PROBE_LOOKUP)) {
            ended = probe_run_go(probe);
        }
        if (!ended && now >= probe->step_expires_at) {
            ended = probe_run_expired(probe);
        }
        if (ended) {
            probe_tell(probe);
            probe_remove(i);
        }
        else {
            probe_watch(i);
        }
    }
}

static void probe_watch_more(int i, int fd)
{
    fds[i].fd = fd;
    fds[i].events = POLLIN;
    fds[i].revents = 0;
}

/* Somebody has signed in, or several. */
static void probe_met(void)
{
    apr_uint64_t count;

    if (read(roster_fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
        scan_at = scanned_at + SCAN_MS < scan_at ? scanned_at + SCAN_MS : scan_at;
    }
}

/* Until something is to be done. @return whether the pipe said so */
static int probe_wait(apr_int64_t until)
{
    apr_int64_t now = balancer_now(), wait = until - now;
    char bytes[64];
    int woken;

    probe_watch_more(probes_len, wake_pipe[0]);
    /* Only where this is the child that makes the checks. */
    probe_watch_more(probes_len + 1, now < atomic_load(&works_until) ? roster_fd : -1);
    if (poll(fds, (nfds_t)probes_len + 2, wait > 0 ? (int)wait : 0) < 0) {
        return 0;
    }
    woken = fds[probes_len].revents != 0;
    while (woken && read(wake_pipe[0], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes)) {
    }
    if (fds[probes_len + 1].revents) {
        probe_met();
    }
    return woken;
}

static void *probe_main(void *data)
{
    apr_int64_t now;
    int woken;

    scan_at = scanned_at = 0;
    roster_fd = balancer_core->roster_event();
    while (!atomic_load(&stopped)) {
        now = balancer_now();
        if (now >= atomic_load(&works_until)) {
            scan_at = now + USHER_CHECK_TIME_MAX; /* sleep, until a tick wakes us */
        }
        else if (now >= scan_at) {
            probe_scan(now);
        }
        woken = probe_wait(probe_first_expiry(scan_at));
        probe_go_on(woken);
        if (woken) {
            scan_at = 0; /* a tick: there may be new members */
        }
    }
    while (probes_len) {
        probe_remove(probes_len - 1);
    }
    probe_tls_stop();
    return NULL;
}

/* From any thread. A full pipe wakes as well. */
static void probe_wake(void)
{
    if (write(wake_pipe[1], "", 1) < 0) {
        return;
    }
}

/* Under the mutex. */
static int probe_start(server_rec *s)
{
    int error;

    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK)) {
        error = errno;
    }
    else {
        probe_names_start(probe_wake);
        error = usher_thread_begin(&checker, probe_main, NULL);
        if (!error) {
            return 1;
        }
        close(wake_pipe[0]);
        close(wake_pipe[1]);
    }
    if (!logged_at || balancer_now() - logged_at >= LOG_MS) {
        logged_at = balancer_now();
        ap_log_error(APLOG_MARK, APLOG_ERR, error, s, USHERLOGNO(3048)
                     "no thread could be started that checks members: their states are not "
                     "believed any more after a minute. Raise the limit of threads");
    }
    return 0;
}

static void probe_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    atomic_store(&works_until, balancer_now() + WORK_MS);
    pthread_mutex_lock(&mutex);
    if (!checking && !stopping) {
        checking = probe_start(s);
    }
    if (checking && !stopping) {
        probe_wake();
    }
    pthread_mutex_unlock(&mutex);
}

/* Before pchild goes, and the code with it. */
static apr_status_t probe_stop(void *data)
{
    struct timespec limit;

    pthread_mutex_lock(&mutex);
    stopping = 1;
    pthread_mutex_unlock(&mutex);
    if (!checking) {
        return APR_SUCCESS;
    }
    atomic_store(&stopped, 1);
    probe_wake();
    /* It never waits for long; but with prefork this is a signal's handler, which may
     * have stopped who holds what it waits for. */
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += STOP_SECONDS;
    if (!pthread_timedjoin_np(checker, NULL, &limit)) {
        checking = 0;
        probe_names_stop();
        close(wake_pipe[0]);
        close(wake_pipe[1]);
    }
    return APR_SUCCESS;
}

void balancer_probe_child_init(apr_pool_t *pchild, server_rec *s)
{
    stopping = 0;
    atomic_store(&stopped, 0);
    atomic_store(&works_until, 0);
    apr_pool_pre_cleanup_register(pchild, NULL, probe_stop);
}

/* What is known by checks of another kind, or of a cluster that is not checked any more,
 * is forgotten. */
static void probe_prepare(balancer_cluster_t *cluster)
{
    const balancer_members_t *members = atomic_load(&cluster->members);
    const balancer_probe_conf_t *conf = &cluster->conf->probe;
    int i;

    for (i = 0; i < members->count; ++i) {
        usher_check_forget(&members->list[i].rec->check,
                           probe_conf_kind(conf, members->list[i].worker));
    }
    if (conf->kind != USHER_CHECK_OFF || cluster->standin) {
        probed_t *of = apr_array_push(probed);

        of->cluster = cluster;
        of->from = 0;
    }
}

int balancer_probe_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                               server_rec *s)
{
    static const usher_tick_work_t work = {
        .name = "health checks", .where = USHER_TICK_CHILD, .run = probe_tick,
    };

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    probed = apr_array_make(pconf, 4, sizeof(probed_t));
    balancer_clusters_each(probe_prepare);
    if (balancer_core && probed->nelts) {
        balancer_core->tick_add(&work);
    }
    return OK;
}
