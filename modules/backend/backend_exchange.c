/* The attempt loop: which member, how often, and what the client gets. The
 * rules are those of the page docs/mod_usher_backend.md:
 *
 * - of which nothing was sent goes on, whatever it is;
 * - what was sent goes on once more at most, if its method allows it, its body
 *   is still held and the budget has room;
 * - what has begun at the client is never begun again. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* No request has more deliveries than this. */
#define DELIVERIES_MAX 2

/* What happens after an attempt */
typedef enum {
    NEXT_NONE,   /* the client gets what there is */
    NEXT_FRESH,  /* the same member, a fresh connection */
    NEXT_MEMBER  /* another member */
} exchange_next_e;

void backend_exchange_release(backend_exchange_t *x, int whole)
{
    backend_link_t *link = x->link;
    apr_int64_t idle_max = x->answer.idle_max;

    if (!link) {
        return;
    }
    x->link = NULL;
    if (!whole && x->receiving != BACKEND_RECV_TUNNEL) {
        backend_link_abort(link);
        return;
    }
    if (!whole || x->link_close || x->in_len || x->sending != BACKEND_SEND_DONE
        || x->out_at < x->out_len || idle_max == 0) {
        backend_link_close(link);
        return;
    }
    /* The backend closes it then: be gone a second before. */
    link->leave_at = idle_max > 0 ? backend_now() + apr_time_from_sec(idle_max)
                                    - (idle_max > 1 ? APR_USEC_PER_SEC : APR_USEC_PER_SEC / 2)
                                  : 0;
    backend_link_release(link);
}

/* Members */

static void exchange_member_done(backend_exchange_t *x, int status)
{
    usher_outcome_e outcome = x->outcome;

    /* The proxy on the way (ProxyRemote) cannot be reached: no member's fault. */
    if (x->remote_host && (outcome == USHER_OUTCOME_REFUSED
                           || outcome == USHER_OUTCOME_UNREACHABLE)) {
        outcome = USHER_OUTCOME_LIMIT;
    }
    if (x->has_member) {
        x->has_member = 0;
        x->picker->done(x->picker, x->r, &x->member, outcome, status);
    }
}

/* What pickers tell the environment of a member. */
static const char *const exchange_env[] = {
    "BALANCER_WORKER_NAME", "BALANCER_WORKER_ROUTE", "BALANCER_ROUTE_CHANGED"
};

static void exchange_env_get(const backend_exchange_t *x, const char *values[])
{
    int i;

    for (i = 0; i < BACKEND_ENV_LEN; ++i) {
        values[i] = apr_table_get(x->r->subprocess_env, exchange_env[i]);
    }
}

static void exchange_env_set(const backend_exchange_t *x, const char *const values[])
{
    int i;

    for (i = 0; i < BACKEND_ENV_LEN; ++i) {
        if (values[i]) {
            apr_table_setn(x->r->subprocess_env, exchange_env[i], values[i]);
        }
        else {
            apr_table_unset(x->r->subprocess_env, exchange_env[i]);
        }
    }
}

static int exchange_member_next(backend_exchange_t *x)
{
    int rc = OK;

    if (x->has_next) {
        x->member = x->next_member;
        x->has_next = 0;
        exchange_env_set(x, x->next_env);
    }
    else {
        memset(&x->member, 0, sizeof(x->member));
        rc = x->picker->next(x->picker, x->r, &x->member);
    }
    x->has_member = rc == OK;
    x->fresh_only = 0;
    return rc;
}

/* Choose the next member before the present one is given up, if it is. */
static int exchange_member_ahead(backend_exchange_t *x)
{
    const char *env[BACKEND_ENV_LEN];

    if (!x->has_next) {
        exchange_env_get(x, env);
        memset(&x->next_member, 0, sizeof(x->next_member));
        x->has_next = x->picker->next(x->picker, x->r, &x->next_member) == OK;
        exchange_env_get(x, x->next_env);
        exchange_env_set(x, env);
    }
    return x->has_next;
}

int backend_exchange_has_other(backend_exchange_t *x)
{
    return !apr_table_get(x->r->notes, "session-route") && exchange_member_ahead(x)
           && !x->next_member.last_resort;
}

void backend_exchange_drop_body(backend_exchange_t *x)
{
    conn_rec *c = x->r->connection;

    if (!x->body.eos && !c->master) {
        c->keepalive = AP_CONN_CLOSE;
    }
}

/* Replays */

static int exchange_is_repeatable(const backend_exchange_t *x, unsigned int deliveries)
{
    return x->replayable && !x->passed && deliveries < DELIVERIES_MAX
           && backend_body_is_whole(x);
}

/* When all members fail this would be said for each request. Of this child's requests. */
static int exchange_may_tell_budget(void)
{
    static _Atomic apr_int64_t told_at; /* s */
    apr_int64_t now = apr_time_sec(backend_now()) + 1;

    return atomic_exchange(&told_at, now) != now;
}

static int exchange_take_replay(backend_exchange_t *x)
{
    if (!x->picker->may_replay(x->picker, x->r)) {
        if (exchange_may_tell_budget()) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, x->r, USHERLOGNO(2011)
                          "%s: not sent again, as too many requests were within a short time "
                          "(UsherReplayBudget): the client gets the failure of the first attempt. "
                          "Look at the log of that server. This line comes once a second at most",
                          x->member.worker->s->name_ex);
        }
        return 0;
    }
    x->replays++;
    return 1;
}

/* Once more, on another member. */
static exchange_next_e exchange_on_another(backend_exchange_t *x)
{
    return exchange_is_repeatable(x, x->deliveries) && exchange_member_ahead(x)
           && exchange_take_replay(x) ? NEXT_MEMBER : NEXT_NONE;
}

int backend_exchange_wants_other(backend_exchange_t *x, int status)
{
    /* This delivery is not counted yet. */
    return status >= 400 && x->picker->is_failure
           && x->picker->is_failure(x->picker, x->r, status)
           && exchange_is_repeatable(x, x->deliveries + 1)
           && exchange_member_ahead(x) && exchange_take_replay(x);
}

/* Nothing but perhaps a head whose body was withheld has gone. */
static exchange_next_e exchange_after_nothing(backend_exchange_t *x)
{
    if (x->deliveries >= DELIVERIES_MAX || x->passed) {
        return NEXT_NONE;
    }
    return x->reused ? NEXT_FRESH : NEXT_MEMBER;
}

/* A kept connection may have been closed as an idle one: the same member then
 * gets the request over a fresh one. But when a server is killed its kept
 * connections are cut before its port is closed, and a fresh one would be cut as
 * well, with no delivery left: so a request that needs not stay goes to another
 * member, if there is a sound one. */
static exchange_next_e exchange_after_cut(backend_exchange_t *x)
{
    if (!x->reused || x->first_at || x->interims
        || (exchange_is_repeatable(x, x->deliveries) && backend_exchange_has_other(x))) {
        return exchange_on_another(x);
    }
    return exchange_is_repeatable(x, x->deliveries) && exchange_take_replay(x) ? NEXT_FRESH
                                                                              : NEXT_NONE;
}

static exchange_next_e exchange_judge(backend_exchange_t *x, backend_end_e end)
{
    switch (end) {
    case BACKEND_END_NO_LINK:
        return NEXT_MEMBER;
    case BACKEND_END_WITHHELD:
        x->outcome = x->reused && !x->something_sent ? USHER_OUTCOME_STALE
                     : x->state.who == 's' ? USHER_OUTCOME_TIMEOUT : USHER_OUTCOME_CUT;
        return exchange_after_nothing(x);
    case BACKEND_END_CUT:
        x->outcome = USHER_OUTCOME_CUT;
        return exchange_after_cut(x);
    case BACKEND_END_MALFORMED:
        x->outcome = USHER_OUTCOME_MALFORMED;
        return exchange_on_another(x);
    case BACKEND_END_UNWANTED:
        return NEXT_MEMBER;
    case BACKEND_END_TIMEOUT:
        x->outcome = USHER_OUTCOME_TIMEOUT;
        return NEXT_NONE;
    case BACKEND_END_CLIENT:
    case BACKEND_END_FILTERED:
        x->outcome = USHER_OUTCOME_CLIENT;
        return NEXT_NONE;
    default:
        x->outcome = USHER_OUTCOME_OK;
        return NEXT_NONE;
    }
}

/* What the client gets */

/* A member that is down is told of once, not with each request that finds it so. */
static void exchange_log(backend_exchange_t *x, backend_end_e end, exchange_next_e next,
                         int status)
{
    request_rec *r = x->r;
    const char *member = backend_note_member(x), *why = x->why ? x->why : "failed";

    if (next == NEXT_MEMBER && end == BACKEND_END_NO_LINK && x->member.failing) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(2020)
                      "%s: %s, and it failed before; the request (%s %s) goes on to another "
                      "member", member, why, r->method, r->unparsed_uri);
    }
    else if (next == NEXT_MEMBER) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, USHERLOGNO(2012)
                      "%s: %s; the request (%s %s) goes on to another member", member, why,
                      r->method, r->unparsed_uri);
    }
    else if (next == NEXT_FRESH) {
        /* A kept connection was closed just then: nothing to look at. */
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(2014)
                      "%s: %s; the request (%s %s) goes on over a fresh connection", member, why,
                      r->method, r->unparsed_uri);
    }
    else if (x->passed) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(2015)
                      "%s: %s; the client sees that its answer is cut (%s %s). Look at the "
                      "log of that server", member, why, r->method, r->unparsed_uri);
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(2016)
                      "%s: %s; the client got %d (%s %s). Look at that server and its log",
                      member, why, status, r->method, r->unparsed_uri);
    }
}

/* For an error page of httpd's: nothing of an answer is left. */
static void exchange_forget_answer(backend_exchange_t *x)
{
    request_rec *r = x->r;

    r->headers_out = x->headers_out;
    r->status = HTTP_OK;
    r->status_line = NULL;
    r->content_type = x->content_type_before;
    backend_exchange_drop_body(x);
}

/* The client is gone, or its request cannot be read to its end. */
static int exchange_client_ended(backend_exchange_t *x)
{
    request_rec *r = x->r;

    if (!x->client_gone) {
        if (x->passed) {
            backend_relay_break(x);
            return DONE;
        }
        if (x->status == AP_FILTER_ERROR) {
            backend_exchange_drop_body(x); /* its answer has a status, which is logged */
            return x->status;
        }
        exchange_forget_answer(x);
        return x->status ? x->status : HTTP_BAD_REQUEST;
    }
    r->connection->aborted = 1;
    r->connection->keepalive = AP_CONN_CLOSE;
    if (!x->passed) {
        r->status = 499; /* as other proxies log it; nobody gets it */
        r->status_line = "499 Client Closed Request";
    }
    return DONE;
}

static int exchange_failed(backend_exchange_t *x, backend_end_e end)
{
    request_rec *r = x->r;

    /* With failontimeout mod_proxy blames its own choice. */
    if (end == BACKEND_END_TIMEOUT && x->member.worker == x->chosen) {
        apr_table_setn(r->notes, "proxy_timedout", "1");
    }
    if (x->passed) {
        backend_relay_break(x);
        return DONE;
    }
    exchange_forget_answer(x);
    return end == BACKEND_END_TIMEOUT || x->state.who == 's' ? HTTP_GATEWAY_TIME_OUT
           : x->deliveries ? HTTP_BAD_GATEWAY : HTTP_SERVICE_UNAVAILABLE;
}

/* No member is there, the client has not waited for one, or the request is refused. */
static int exchange_no_member(backend_exchange_t *x, int rc, backend_end_e end)
{
    if (rc == HTTP_SERVICE_UNAVAILABLE) {
        x->state.who = 'S';
        x->state.phase = 'C';
        return exchange_failed(x, end);
    }
    if (rc == DONE) {
        x->state.who = 'C';
        x->state.phase = 'Q';
        x->client_gone = 1;
        return exchange_client_ended(x);
    }
    x->state.who = 'P';
    x->state.phase = 'R';
    return rc;
}

static int exchange_status(backend_exchange_t *x, backend_end_e end)
{
    switch (end) {
    case BACKEND_END_ANSWERED:
    case BACKEND_END_FILTERED:
        return OK;
    case BACKEND_END_OVERRIDE:
        return x->answer.status;
    case BACKEND_END_UPGRADED:
        return DONE;
    case BACKEND_END_CLIENT:
        return exchange_client_ended(x);
    default:
        return exchange_failed(x, end);
    }
}

/* One attempt and its accounts. */
static backend_end_e exchange_attempt(backend_exchange_t *x)
{
    apr_off_t sent = x->bytes_out, received = x->bytes_in;
    backend_end_e end = backend_attempt_run(x);

    if (end == BACKEND_END_UPGRADED) {
        x->receiving = BACKEND_RECV_TUNNEL;
        end = backend_tunnel_run(x);
    }
    backend_exchange_release(x, 0);
    x->deliveries += x->something_sent;
    x->member.worker->s->transferred += x->bytes_out - sent;
    x->member.worker->s->read += x->bytes_in - received;
    return end;
}

static void exchange_begin(backend_exchange_t *x)
{
    request_rec *r = x->r;
    const char *upgrade = apr_table_get(r->headers_in, "Upgrade");
    int method = r->method_number;
    int safe = method == M_GET || method == M_OPTIONS || method == M_TRACE;

    x->arrived_at = backend_now();
    x->total_deadline = x->conf->total_max > 0 ? x->arrived_at + x->conf->total_max : 0;
    x->headers_out = r->headers_out;
    x->status_before = r->status;
    x->status_line_before = r->status_line;
    x->content_type_before = r->content_type;
    x->state.who = x->state.phase = '-';
    x->force_1_0 = apr_table_get(r->subprocess_env, "force-proxy-request-1.0") != NULL;
    x->replayable = x->conf->replay != BACKEND_REPLAY_OFF
                    && (safe || (x->conf->replay == BACKEND_REPLAY_IDEMPOTENT
                                 && (method == M_PUT || method == M_DELETE)))
                    && !upgrade && !apr_table_get(r->subprocess_env, "usher-no-replay");
    x->relay_bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    backend_client_begin(x);
}

/* What depends on the member: the protocol it may switch to, and its head. */
static int exchange_prepare(backend_exchange_t *x)
{
    request_rec *r = x->r;
    proxy_worker *worker = x->member.worker;
    const char *upgrade = apr_table_get(r->headers_in, "Upgrade");
    int rc = OK;

    x->scheme = backend_scheme_of(x->member.url);
    if (!x->scheme) {
        /* Pickers hand out none of these. */
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(2026)
                      "%s: no http, https, ws, wss or ajp server; the client got 502. Give it "
                      "another URL, or its balancer another lbmethod", x->member.url);
        return HTTP_BAD_GATEWAY;
    }
    x->protocol = x->scheme->ajp ? &backend_ajp : &backend_http;
    x->upgrade = upgrade && !x->force_1_0 && !x->scheme->ajp
                 && (x->scheme->upgrade || *worker->s->upgrade)
                 && ap_proxy_worker_can_upgrade(r->pool, worker, upgrade, x->scheme->upgrade)
                     ? upgrade : NULL;
    if (!x->body.begun) {
        rc = backend_body_begin(x);
        if (rc == OK && x->body.withheld) {
            apr_table_setn(r->notes, "proxy-100-continue", "1");
        }
    }
    if (rc != OK) {
        x->state.phase = 'R';
        if (x->state.who == '-') {
            x->state.who = 'C';
        }
        x->outcome = USHER_OUTCOME_CLIENT;
        return rc;
    }
    if (apr_table_get(r->subprocess_env, "proxy-initial-not-pooled")
        && r->proxyreq == PROXYREQ_REVERSE && !r->connection->keepalives) {
        x->fresh_only = 1;
    }
    x->outcome = USHER_OUTCOME_CLIENT; /* should the head be refused */
    rc = backend_head_make(x);
    if (rc != OK) {
        x->state.who = 'P';
        x->state.phase = 'R';
    }
    return rc;
}

/* Attempts until one is answered, or none may follow. */
static int exchange_loop(backend_exchange_t *x)
{
    exchange_next_e next = NEXT_MEMBER;
    backend_end_e end = BACKEND_END_NO_LINK;
    int rc = OK;

    for (;;) {
        if (next == NEXT_MEMBER) {
            rc = exchange_member_next(x);
            if (rc != OK) {
                return exchange_no_member(x, rc, end);
            }
            rc = exchange_prepare(x);
            if (rc != OK) {
                backend_exchange_drop_body(x);
                return rc;
            }
        }
        x->state.who = x->state.phase = '-';
        end = exchange_attempt(x);
        next = exchange_judge(x, end);
        backend_note_attempt(x, end);
        if (next == NEXT_MEMBER && !exchange_member_ahead(x)) {
            next = NEXT_NONE;
        }
        if (next == NEXT_NONE) {
            rc = exchange_status(x, end);
        }
        if (end > BACKEND_END_UPGRADED && end != BACKEND_END_CLIENT
            && end != BACKEND_END_FILTERED) {
            exchange_log(x, end, next, rc);
        }
        if (next == NEXT_NONE) {
            return rc;
        }
        x->fresh_only = next == NEXT_FRESH;
        if (next == NEXT_MEMBER) {
            exchange_member_done(x, end == BACKEND_END_UNWANTED ? x->answer.status : 0);
        }
    }
}

int backend_exchange_run(backend_exchange_t *x)
{
    int rc;

    exchange_begin(x);
    rc = exchange_loop(x);
    backend_gulp_end(x->r->connection);
    exchange_member_done(x, x->outcome == USHER_OUTCOME_OK ? x->answer.status : 0);
    if (x->has_next) {
        /* It was not needed. */
        x->picker->done(x->picker, x->r, &x->next_member, USHER_OUTCOME_LIMIT, 0);
    }
    return rc;
}
