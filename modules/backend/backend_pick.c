/* The picker for what mod_proxy has chosen by itself: a plain worker, or a
 * member that a stock lbmethod found.
 *
 * A member that rests gives its place to another one of its balancer. When the
 * chosen one fails the others follow: usable ones in the order of lbset, then
 * hot spares and standbys, then those that rest or that mod_proxy believes in
 * error, as one of them may be back. No status of mod_proxy's is changed. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* Ranks: the greater, the later. */
#define RANK_SPARE    1
#define RANK_STANDBY  2
#define RANK_IN_ERROR 4
#define RANK_RESTING  8

/* A member that was handed out. */
typedef struct {
    proxy_worker *worker;
    usher_member_rec_t *record; /* NULL: a plain worker, or no memory */
    apr_int64_t began;          /* ms of the boot clock */
    int claimed;                /* it is the one that tries it after its rest */
    apr_uint32_t generation;    /* of the record */
} pick_try_t;

typedef struct {
    proxy_worker *first;      /* mod_proxy's choice */
    proxy_balancer *balancer; /* NULL: a plain worker */
    /* Its members as they are now: mod_proxy may add some, and move the array
     * (the old one stays where it is). The length is read first. */
    int workers_len;
    proxy_worker *const *workers;
    usher_cluster_rec_t *cluster; /* NULL: no memory */
    usher_picker_t picker;
    const char *url;          /* for the first one */
    const char *path;         /* what follows a worker's own URL; NULL: unknown */
    apr_array_header_t *tries; /* of pick_try_t * */
} pick_t;

static apr_int64_t pick_now(void)
{
    return backend_now() / 1000;
}

/* What follows the worker's URL in the request's: "/path?query". */
static const char *pick_path(const char *url, const proxy_worker *worker)
{
    apr_size_t len = strlen(worker->s->name_ex);
    const char *own, *path;

    if (!strncmp(url, worker->s->name_ex, len)) {
        return url + len;
    }
    /* The canonical form differs in host and port at most. */
    own = ap_strstr_c(worker->s->name_ex, "://");
    own = own ? ap_strchr_c(own + 3, '/') : NULL;
    path = ap_strstr_c(url, "://");
    path = path ? ap_strchr_c(path + 3, '/') : NULL;
    if (!path) {
        return NULL;
    }
    len = own ? strlen(own) : 0;
    return !len ? path : !strncmp(path, own, len) ? path + len : NULL;
}

/* Taken out by the administrator, or by a health check. */
static int pick_is_off(const proxy_worker *worker)
{
    return (worker->s->status & (PROXY_WORKER_IN_SHUTDOWN | PROXY_WORKER_DISABLED
                                 | PROXY_WORKER_STOPPED | PROXY_WORKER_HC_FAIL)) != 0;
}

/* Where a member stands by mod_proxy's status; -1: it must not be used. */
static int pick_rank(const proxy_worker *worker)
{
    unsigned int status;

    /* One that balancer-manager is just making. */
    if (!worker || !worker->s) {
        return -1;
    }
    status = worker->s->status;
    if (pick_is_off(worker) || status & PROXY_WORKER_DRAIN
        || !backend_scheme_named(worker->s->scheme, strlen(worker->s->scheme))) {
        return -1;
    }
    return (status & PROXY_WORKER_IN_ERROR ? RANK_IN_ERROR : 0)
           + (status & PROXY_WORKER_HOT_STANDBY ? RANK_STANDBY
              : status & PROXY_WORKER_HOT_SPARE ? RANK_SPARE : 0);
}

static int pick_was_tried(const pick_t *pick, const proxy_worker *worker)
{
    int i;

    for (i = 0; i < pick->tries->nelts; ++i) {
        if (APR_ARRAY_IDX(pick->tries, i, const pick_try_t *)->worker == worker) {
            return 1;
        }
    }
    return 0;
}

static usher_health_e pick_look(const pick_t *pick, const proxy_worker *worker, apr_int64_t now,
                                unsigned int *share)
{
    const usher_member_rec_t *record = backend_record_member(pick->cluster, worker);

    *share = USHER_HEALTH_SHARE;
    return record ? usher_health_look(&record->health, now, &pick->picker.rest, share)
                  : USHER_HEALTH_USABLE;
}

/* The best one that was not tried yet; *best_rank tells how good. */
static proxy_worker *pick_other(const pick_t *pick, apr_int64_t now, int *best_rank)
{
    proxy_worker *best = NULL;
    unsigned int share;
    int i;

    for (i = 0; i < pick->workers_len; ++i) {
        proxy_worker *worker = pick->workers[i];
        int rank = pick_rank(worker);

        if (rank < 0 || pick_was_tried(pick, worker)) {
            continue;
        }
        rank += pick_look(pick, worker, now, &share) != USHER_HEALTH_USABLE ? RANK_RESTING : 0;
        if (!best || rank < *best_rank
            || (rank == *best_rank
                && (worker->s->lbset < best->s->lbset
                    || (worker->s->lbset == best->s->lbset
                        && worker->s->lbstatus > best->s->lbstatus)))) {
            best = worker;
            *best_rank = rank;
        }
    }
    return best;
}

/* Whether another member may serve the request at all. */
static int pick_may_go_on(const pick_t *pick, request_rec *r)
{
    const proxy_balancer_shared *s = pick->balancer ? pick->balancer->s : NULL;

    return s && pick->path
           && !(s->sticky_force && apr_table_get(r->notes, "session-route"))
           && !(s->max_attempts_set && pick->tries->nelts > s->max_attempts);
}

/* A session stays where it is, also in a slow start. */
static int pick_is_of_session(const pick_t *pick, request_rec *r)
{
    const char *route = apr_table_get(r->notes, "session-route");

    return route && !strcmp(route, pick->first->s->route);
}

/* mod_proxy's choice, or another one in its place while it rests or has not its
 * whole share yet. */
static proxy_worker *pick_first(const pick_t *pick, request_rec *r, apr_int64_t now, int *claimed)
{
    usher_member_rec_t *record;
    proxy_worker *other;
    unsigned int share;
    int rank;

    if (!pick->balancer && pick_is_off(pick->first)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(2019)
                      "%s is switched off (status=D or S, or a failed health check): the "
                      "client got 503", pick->first->s->name_ex);
        return NULL;
    }
    if (!pick->cluster || !pick_may_go_on(pick, r)) {
        return pick->first;
    }
    record = backend_record_member(pick->cluster, pick->first);
    if (!record) {
        return pick->first;
    }
    switch (usher_health_verdict(&record->health, now, &pick->picker.rest, &share)) {
    case USHER_HEALTH_VERDICT_PROBE:
        *claimed = 1;
        return pick->first;
    case USHER_HEALTH_VERDICT_USABLE:
        if (share == USHER_HEALTH_SHARE || pick_is_of_session(pick, r)
            || (apr_uint32_t)((apr_uint64_t)backend_now() * 2654435761u) >> 22 < share) {
            return pick->first;
        }
        break;
    default:
        break;
    }
    APR_ARRAY_PUSH(pick->tries, pick_try_t *) = &(pick_try_t){ .worker = pick->first };
    other = pick_other(pick, now, &rank);
    apr_array_pop(pick->tries);
    return other && rank < RANK_IN_ERROR ? other : pick->first;
}

/* In place of mod_proxy's choice. */
static void pick_tell(const pick_t *pick, request_rec *r, proxy_worker *worker)
{
    worker->s->elected++;
    apr_table_setn(r->subprocess_env, "BALANCER_WORKER_NAME", worker->s->name_ex);
    apr_table_setn(r->subprocess_env, "BALANCER_WORKER_ROUTE", worker->s->route);
    if (*pick->balancer->s->sticky) {
        apr_table_setn(r->subprocess_env, "BALANCER_ROUTE_CHANGED", "1");
    }
}

static int pick_next(usher_picker_t *picker, request_rec *r, usher_member_t *member)
{
    pick_t *pick = picker->data;
    apr_int64_t now = pick_now();
    proxy_worker *worker = NULL;
    pick_try_t *try;
    int rank = 0, claimed = 0;

    if (!pick->tries->nelts) {
        worker = pick_first(pick, r, now, &claimed);
    }
    else if (pick_may_go_on(pick, r)) {
        worker = pick_other(pick, now, &rank);
    }
    if (!worker) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    try = apr_pcalloc(r->pool, sizeof(*try));
    try->worker = worker;
    try->began = now;
    try->claimed = claimed;
    try->record = pick->balancer ? backend_record_member(pick->cluster, worker) : NULL;
    try->generation = try->record ? try->record->generation : 0;
    APR_ARRAY_PUSH(pick->tries, pick_try_t *) = try;
    member->worker = worker;
    member->data = try;
    member->last_resort = rank >= RANK_IN_ERROR;
    member->failing = try->record && usher_health_is_failing(&try->record->health, now,
                                                             &picker->rest);
    member->url = pick->url;
    if (worker != pick->first) {
        pick_tell(pick, r, worker);
        member->url = apr_pstrcat(r->pool, worker->s->name_ex, pick->path, NULL);
    }
    return OK;
}

/* How it went */

static int pick_is_failure(usher_picker_t *picker, request_rec *r, int status)
{
    const pick_t *pick = picker->data;

    return pick->balancer && usher_picker_lists_status(pick->balancer, status);
}

/* Whether so few others rest that this one may, too. */
static int pick_may_rest(const pick_t *pick, const proxy_worker *worker, apr_int64_t now,
                         int no_link)
{
    apr_uint32_t members = 1, others = 0;
    unsigned int share;
    int i, rank;

    for (i = 0; i < pick->workers_len; ++i) {
        const proxy_worker *other = pick->workers[i];

        rank = other == worker ? -1 : pick_rank(other);
        if (rank >= 0 && rank < RANK_IN_ERROR) {
            ++members;
            others += pick_look(pick, other, now, &share) != USHER_HEALTH_USABLE;
        }
    }
    return usher_health_may_rest(members, others, no_link, &pick->picker.rest);
}

/* It tells nothing of the member. */
static void pick_unknown(const pick_t *pick, const pick_try_t *try)
{
    if (try->claimed) {
        usher_health_unknown(&try->record->health, try->began, pick_now(), &pick->picker.rest);
    }
}

static void pick_failed(const pick_t *pick, request_rec *r, const pick_try_t *try,
                        usher_outcome_e outcome)
{
    int hard = outcome == USHER_OUTCOME_REFUSED || outcome == USHER_OUTCOME_UNREACHABLE;
    apr_int64_t now = pick_now();

    atomic_fetch_add_explicit(&try->record->failed, 1, memory_order_relaxed);
    usher_blame_note(&try->record->blame, now, (unsigned int)outcome + 1);
    if (try->worker->s->status & PROXY_WORKER_IGNORE_ERRORS) {
        pick_unknown(pick, try);
    }
    else if (usher_health_failed(&try->record->health, try->began, now, &pick->picker.rest, hard,
                                 pick_may_rest(pick, try->worker, now, hard))) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, USHERLOGNO(2017)
                      "%s: member %s gets no requests for %u ms: %s (UsherBackendRest)",
                      pick->balancer->s->name, try->worker->s->name_ex, pick->picker.rest.rest,
                      hard ? "no connection could be made"
                           : "it failed too often within a short time");
    }
}

static void pick_good(const pick_t *pick, request_rec *r, pick_try_t *try)
{
    apr_int64_t now = pick_now();

    if (usher_health_ok(&try->record->health, try->began, now, &pick->picker.rest)) {
        try->began = now; /* how it goes on tells of the member as it is now */
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, USHERLOGNO(2018)
                      "%s: member %s is back", pick->balancer->s->name,
                      try->worker->s->name_ex);
    }
}

/* Some attempts, those with a tunnel for one, outlive the configuration; their
 * record may be another member's then. */
static int pick_is_judged(const pick_try_t *try)
{
    return try->record && try->record->generation == try->generation;
}

static void pick_answered(usher_picker_t *picker, request_rec *r, const usher_member_t *member,
                          int status, apr_interval_time_t waited)
{
    pick_try_t *try = member->data;

    if (pick_is_judged(try) && !pick_is_failure(picker, r, status)) {
        pick_good(picker->data, r, try);
    }
}

static void pick_done(usher_picker_t *picker, request_rec *r, const usher_member_t *member,
                      usher_outcome_e outcome, int status)
{
    const pick_t *pick = picker->data;
    pick_try_t *try = member->data;

    if (!pick_is_judged(try)) {
        return;
    }
    switch (outcome) {
    case USHER_OUTCOME_OK:
        if (pick_is_failure(picker, r, status)) {
            pick_failed(pick, r, try, outcome);
        }
        else {
            pick_good(pick, r, try);
        }
        break;
    case USHER_OUTCOME_REFUSED:
    case USHER_OUTCOME_UNREACHABLE:
    case USHER_OUTCOME_CUT:
    case USHER_OUTCOME_TIMEOUT:
    case USHER_OUTCOME_MALFORMED:
        pick_failed(pick, r, try, outcome);
        break;
    default:
        pick_unknown(pick, try);
    }
}

static int pick_may_replay(usher_picker_t *picker, request_rec *r)
{
    const pick_t *pick = picker->data;

    return !pick->cluster
           || usher_budget_take(&pick->cluster->budget, pick_now(), picker->budget.percent,
                                picker->budget.window, picker->budget.least);
}

usher_picker_t *backend_pick_stock(request_rec *r, proxy_worker *worker,
                                   proxy_balancer *balancer, const char *url)
{
    pick_t *pick = apr_pcalloc(r->pool, sizeof(*pick));

    pick->first = worker;
    pick->balancer = balancer;
    if (balancer) {
        pick->workers_len = __atomic_load_n(&balancer->workers->nelts, __ATOMIC_ACQUIRE);
        pick->workers = (proxy_worker *const *)
            (const void *)__atomic_load_n(&balancer->workers->elts, __ATOMIC_RELAXED);
    }
    pick->url = url;
    pick->path = balancer ? pick_path(url, worker) : NULL;
    pick->tries = apr_array_make(r->pool, 2, sizeof(pick_try_t *));
    pick->cluster = backend_record_cluster(r, balancer, worker);
    if (pick->cluster) {
        usher_budget_request(&pick->cluster->budget, pick_now());
    }
    pick->picker.next = pick_next;
    pick->picker.answered = pick_answered;
    pick->picker.done = pick_done;
    pick->picker.may_replay = pick_may_replay;
    pick->picker.is_failure = pick_is_failure;
    pick->picker.data = pick;
    return &pick->picker;
}
