/* The picker for what mod_proxy has chosen by itself: a plain worker, or a
 * member that a stock lbmethod found. When that one fails, the others of its
 * balancer follow: usable ones in the order of lbset, then hot spares and
 * standbys, then those that mod_proxy believes in error, as one of them may be
 * back. No status of mod_proxy's is changed here. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

typedef struct {
    proxy_worker *first;      /* mod_proxy's choice */
    proxy_balancer *balancer; /* NULL: a plain worker */
    const char *url;          /* for the first one */
    const char *path;         /* what follows a worker's own URL; NULL: unknown */
    apr_array_header_t *tried; /* of proxy_worker * */
} pick_t;

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

/* The last resort has the highest rank; -1: never. */
static int pick_rank(const proxy_worker *worker)
{
    unsigned int status = worker->s->status;

    if (status & (PROXY_WORKER_IN_SHUTDOWN | PROXY_WORKER_DISABLED | PROXY_WORKER_STOPPED
                  | PROXY_WORKER_HC_FAIL | PROXY_WORKER_DRAIN)
        || (ap_cstr_casecmp(worker->s->scheme, "http") != 0
            && ap_cstr_casecmp(worker->s->scheme, "ws") != 0)) {
        return -1;
    }
    return (status & PROXY_WORKER_IN_ERROR ? 4 : 0)
           + (status & PROXY_WORKER_HOT_STANDBY ? 2 : status & PROXY_WORKER_HOT_SPARE ? 1 : 0);
}

static int pick_was_tried(const pick_t *pick, const proxy_worker *worker)
{
    int i;

    for (i = 0; i < pick->tried->nelts; ++i) {
        if (APR_ARRAY_IDX(pick->tried, i, const proxy_worker *) == worker) {
            return 1;
        }
    }
    return 0;
}

static proxy_worker *pick_other(const pick_t *pick)
{
    proxy_worker *best = NULL;
    int best_rank = 0, i;

    for (i = 0; i < pick->balancer->workers->nelts; ++i) {
        proxy_worker *worker = APR_ARRAY_IDX(pick->balancer->workers, i, proxy_worker *);
        int rank = pick_rank(worker);

        if (rank < 0 || pick_was_tried(pick, worker)) {
            continue;
        }
        rank = rank * 1000 + worker->s->lbset;
        if (!best || rank < best_rank
            || (rank == best_rank && worker->s->lbstatus > best->s->lbstatus)) {
            best = worker;
            best_rank = rank;
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
           && !(s->max_attempts_set && pick->tried->nelts > s->max_attempts);
}

static void pick_tell(const pick_t *pick, request_rec *r, const proxy_worker *worker)
{
    apr_table_setn(r->subprocess_env, "BALANCER_WORKER_NAME", worker->s->name_ex);
    apr_table_setn(r->subprocess_env, "BALANCER_WORKER_ROUTE", worker->s->route);
    if (*pick->balancer->s->sticky) {
        apr_table_setn(r->subprocess_env, "BALANCER_ROUTE_CHANGED", "1");
    }
}

static int pick_next(usher_picker_t *picker, request_rec *r, usher_member_t *member)
{
    pick_t *pick = picker->data;
    proxy_worker *worker = NULL;

    if (!pick->tried->nelts) {
        worker = pick->first;
        member->url = pick->url;
    }
    else if (pick_may_go_on(pick, r) && (worker = pick_other(pick))) {
        worker->s->elected++;
        pick_tell(pick, r, worker);
        member->url = apr_pstrcat(r->pool, worker->s->name_ex, pick->path, NULL);
    }
    if (!worker) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    APR_ARRAY_PUSH(pick->tried, proxy_worker *) = worker;
    member->worker = worker;
    return OK;
}

static void pick_done(usher_picker_t *picker, request_rec *r, const usher_member_t *member,
                      usher_outcome_e outcome, int status)
{
}

static int pick_may_replay(usher_picker_t *picker, request_rec *r)
{
    return 1;
}

static int pick_is_failure(usher_picker_t *picker, request_rec *r, int status)
{
    const pick_t *pick = picker->data;
    int i;

    for (i = 0; pick->balancer && i < pick->balancer->errstatuses->nelts; ++i) {
        if (APR_ARRAY_IDX(pick->balancer->errstatuses, i, int) == status) {
            return 1;
        }
    }
    return 0;
}

usher_picker_t *backend_pick_stock(request_rec *r, const backend_conf_t *conf,
                                   proxy_worker *worker, proxy_balancer *balancer,
                                   const char *url)
{
    usher_picker_t *picker = apr_pcalloc(r->pool, sizeof(*picker));
    pick_t *pick = apr_pcalloc(r->pool, sizeof(*pick));

    pick->first = worker;
    pick->balancer = balancer;
    pick->url = url;
    pick->path = balancer ? pick_path(url, worker) : NULL;
    pick->tried = apr_array_make(r->pool, 4, sizeof(proxy_worker *));
    picker->next = pick_next;
    picker->done = pick_done;
    picker->may_replay = pick_may_replay;
    picker->is_failure = pick_is_failure;
    picker->data = pick;
    return picker;
}
