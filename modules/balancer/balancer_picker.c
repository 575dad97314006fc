/* The picker of a request to a cluster: which member is next, and what each
 * outcome tells of it.
 *
 * Of a static member's worker only its count of elections is written. Its count
 * of busy requests is left alone: a child that is killed would leave requests
 * in it that nobody ever takes out. */
#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

/* An attempt that done() is to be told of. */
typedef struct {
    int index;
    int claimed; /* it is the one that tries a member whose rest is over */
    int good;    /* picker_good() has been told so */
    apr_uint32_t generation; /* of its record */
    apr_int64_t began_at;
} picker_attempt_t;

static void picker_choice(balancer_choice_t *choice, const balancer_request_t *request,
                          request_rec *r)
{
    memset(choice, 0, sizeof(*choice));
    choice->cluster = request->cluster;
    choice->r = r;
    choice->members = request->members;
    choice->tried = request->tried;
    choice->rest = &request->picker.rest;
    choice->now = balancer_now();
    choice->no_ajp = request->no_ajp;
    choice->again = request->attempts > 0;
    choice->full_too = 1;
}

static void picker_tell(const balancer_request_t *request, request_rec *r,
                        const proxy_worker *worker)
{
    const balancer_session_t *session = &request->session;
    /* The first one need not look for what is there. */
    int first = !apr_table_get(r->subprocess_env, "BALANCER_NAME")
                && !apr_table_get(r->subprocess_env, "BALANCER_WORKER_NAME")
                && !apr_table_get(r->subprocess_env, "BALANCER_WORKER_ROUTE");
    void (*put)(apr_table_t *, const char *, const char *) = first ? apr_table_addn
                                                                   : apr_table_setn;

    put(r->subprocess_env, "BALANCER_NAME", request->cluster->name);
    put(r->subprocess_env, "BALANCER_WORKER_NAME", apr_pstrdup(r->pool, worker->s->name_ex));
    put(r->subprocess_env, "BALANCER_WORKER_ROUTE", apr_pstrdup(r->pool, worker->s->route));
    if (session->route) {
        apr_table_setn(r->notes, "session-sticky", session->name);
        apr_table_setn(r->notes, "session-route", session->route);
        apr_table_setn(r->subprocess_env, "BALANCER_SESSION_STICKY", session->name);
        apr_table_setn(r->subprocess_env, "BALANCER_SESSION_ROUTE", session->route);
    }
}

/* Nobody is there but who has just signed in: a moment later there may be one. */
static int picker_is_deserted(const balancer_members_t *members)
{
    int i;

    for (i = 0; i < members->count && balancer_probe_is_awaited(&members->list[i]); ++i) {
    }
    return i == members->count;
}

static void picker_log_deserted(const balancer_request_t *request, request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Retry-After", "1");
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(3063)
                  "%s has no members: none has signed in yet and passed its first check, or all "
                  "have left. The client got 503 with Retry-After. Look at the servers that should "
                  "sign in, or write BalancerMember lines", request->cluster->name);
}

/* The handler's own log lines tell how the members that were tried ended. */
static void picker_log_none(const balancer_request_t *request, request_rec *r)
{
    if (request->held_by) {
        balancer_session_log_held(request, r);
        return;
    }
    if (picker_is_deserted(request->members)) {
        picker_log_deserted(request, r);
        return;
    }
    if (request->attempts) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, USHERLOGNO(3006)
                      "%s: no member is left after %d", request->cluster->name,
                      request->attempts);
        return;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(3007)
                  "%s: none of its %d members may have this request%s%s: usher-status and "
                  "balancer-manager tell why (switched off, disabled, stopped, draining, failed "
                  "health check)",
                  request->cluster->name, request->members->count,
                  request->session.route ? " of a session with route " : "",
                  request->session.route ? request->session.route : "");
}

/* Where all rest, or are down by their checks, a session tries its own member. */
static int picker_last_resort(const balancer_request_t *request, const balancer_choice_t *choice,
                              int i)
{
    int own = request->resting;

    return i >= 0 && own >= 0 && own != i && *choice->claimed < 0
           && balancer_pick_standing(choice, i, NULL) == BALANCER_STANDING_RESTING
           && balancer_pick_standing(choice, own, NULL) == BALANCER_STANDING_RESTING
               ? own : i;
}

/* The index of the next member; -1: none. A session may wait for its member.
 * @param session  gets whether it is the session's */
static int picker_choose(balancer_request_t *request, request_rec *r, balancer_choice_t *choice,
                         int *session)
{
    int i;

    balancer_pick_begin(choice);
    choice->queued = request->queue.step;
    choice->full_too = request->cluster->conf->load.wait > 0 && !request->queue.impatient
                       && !request->attempts;
    request->resting = -1;
    i = balancer_session_choose(request, r, choice);
    if (i == -1) {
        i = balancer_stick_find(request, r, choice);
    }
    choice->full_too = 0;
    *session = i >= 0;
    if (i >= 0 || i == BALANCER_SESSION_NOBODY) {
        return i;
    }
    if (balancer_queue_is_before(request)) {
        *choice->full = 1;
        return -1;
    }
    return picker_last_resort(request, choice, balancer_pick_next(choice));
}

/* Nobody will tell how the member did that was to be tried. */
static void picker_unclaim(const balancer_choice_t *choice)
{
    if (*choice->claimed >= 0) {
        usher_health_unknown(&choice->members->list[*choice->claimed].rec->health, choice->now,
                             choice->now, choice->rest);
        *choice->claimed = -1;
    }
}

/* No member for it now. @return OK: choose again; else what the client gets */
static int picker_wait(balancer_request_t *request, request_rec *r, balancer_choice_t *choice, int i)
{
    switch (balancer_queue_wait(request, r, i)) {
    case BALANCER_QUEUE_AGAIN:
        choice->now = balancer_now();
        return OK;
    case BALANCER_QUEUE_GONE:
        return DONE;
    default:
        if (i >= 0 && !request->queue.impatient) {
            request->queue.impatient = 1; /* another member may have it */
            return OK;
        }
        if (!request->attempts) {
            balancer_queue_refuse(request, r);
        }
        return HTTP_SERVICE_UNAVAILABLE;
    }
}

/* Choose a member and take a place there, waiting for it where that is allowed. */
static int picker_seat(balancer_request_t *request, request_rec *r, balancer_choice_t *choice,
                       int *index)
{
    int i, session, rc;

    do {
        *choice->full = 0;
        *choice->bound = 0;
        i = picker_choose(request, r, choice, &session);
        if (i >= 0 && balancer_load_take(request, i, *choice->bound)) {
            choice->full_too = 1;
            if (session) {
                balancer_pick_took(choice, i);
            }
            balancer_session_tell_changed(request, r, i);
            *index = i;
            return OK;
        }
        picker_unclaim(choice);
        if (i < 0 && !*choice->full) {
            picker_log_none(request, r);
            return HTTP_SERVICE_UNAVAILABLE;
        }
        /* Where others were faster at the method's choice it chooses again, as that
         * member is full now. */
        rc = i >= 0 && !session ? OK : picker_wait(request, r, choice, session ? i : -1);
    } while (rc == OK);
    return rc;
}

/* AJP cannot carry WebSockets: where other members are, only they may have one. */
static int picker_is_no_ajp(const balancer_request_t *request, request_rec *r)
{
    const char *upgrade = apr_table_get(r->headers_in, "Upgrade");

    return upgrade && !ap_cstr_casecmp(upgrade, "websocket") && request->members->has_others;
}

/* The first one of a request */
static void picker_begin(balancer_request_t *request, request_rec *r, apr_int64_t now)
{
    if (!request->counted) {
        request->counted = 1;
        usher_budget_request(&request->cluster->rec->budget, now);
        atomic_fetch_add(&request->cluster->rec->requests, 1);
        request->no_ajp = picker_is_no_ajp(request, r);
    }
}

static void picker_tell_joined(usher_member_t *member, balancer_joined_t *joined)
{
    if (joined) {
        memcpy(member->id, joined->id, sizeof(member->id));
        member->generation = joined->generation;
        member->kept = &joined->kept;
    }
}

static int picker_next(usher_picker_t *picker, request_rec *r, usher_member_t *member)
{
    balancer_request_t *request = picker->data;
    picker_attempt_t *attempt;
    proxy_worker *worker;
    usher_member_rec_t *rec;
    balancer_choice_t choice;
    int i = -1, rc, claimed = -1, full = 0;
    apr_uint32_t bound = 0;

    picker_choice(&choice, request, r);
    choice.claimed = &claimed;
    choice.full = &full;
    choice.bound = &bound;
    picker_begin(request, r, choice.now);
    choice.no_ajp = request->no_ajp;
    rc = picker_seat(request, r, &choice, &i);
    balancer_queue_leave(request, r);
    if (rc != OK) {
        return rc;
    }
    worker = request->members->list[i].worker;
    rec = request->members->list[i].rec;
    memset(member, 0, sizeof(*member));
    member->last_resort = balancer_pick_standing(&choice, i, NULL) != BALANCER_STANDING_USABLE;
    /* Most have never failed. */
    member->failing = atomic_load_explicit(&rec->failed, memory_order_relaxed)
                      && usher_health_is_failing(&rec->health, choice.now, choice.rest);
    request->tried[i] = 1;
    rc = balancer_request_url(request, r, &request->members->list[i], &member->url);
    if (rc != OK) {
        picker_unclaim(&choice); /* done() will not be called */
        balancer_load_release(request, i, rec->generation);
        return rc;
    }
    ++request->attempts;
    atomic_fetch_add(&rec->elected, 1);
    __atomic_fetch_add(&worker->s->elected, 1, __ATOMIC_RELAXED);
    picker_tell(request, r, worker);
    attempt = apr_palloc(r->pool, sizeof(*attempt));
    attempt->index = i;
    attempt->claimed = claimed == i;
    attempt->good = 0;
    attempt->generation = rec->generation;
    attempt->began_at = choice.now;
    member->worker = worker;
    member->data = attempt;
    picker_tell_joined(member, request->members->list[i].joined);
    return OK;
}

/* What an outcome tells. */
typedef enum {
    PICKER_NOTHING,
    PICKER_GOOD,
    PICKER_SOFT,   /* counted */
    PICKER_HARD,   /* enough to rest */
    PICKER_NO_LINK /* the same, and no request can do for it */
} picker_verdict_e;

static picker_verdict_e picker_judge(const proxy_balancer *b, usher_outcome_e outcome, int status,
                                     const char **why)
{
    switch (outcome) {
    case USHER_OUTCOME_OK:
        *why = "its answer's status is in failonstatus";
        return usher_picker_lists_status(b, status) ? PICKER_SOFT : PICKER_GOOD;
    case USHER_OUTCOME_REFUSED:
        *why = "no connection could be made to it";
        return PICKER_NO_LINK;
    case USHER_OUTCOME_UNREACHABLE:
        *why = "it did not answer a connect";
        return PICKER_NO_LINK;
    case USHER_OUTCOME_CUT:
        *why = "it cut connections";
        return PICKER_SOFT;
    case USHER_OUTCOME_TIMEOUT:
        *why = "it was too slow";
        return b->failontimeout ? PICKER_HARD : PICKER_SOFT;
    case USHER_OUTCOME_MALFORMED:
        *why = "its answers were malformed";
        return PICKER_SOFT;
    default:
        return PICKER_NOTHING;
    }
}

static void picker_failed(const balancer_request_t *request, request_rec *r,
                          const picker_attempt_t *attempt, picker_verdict_e verdict,
                          const char *why)
{
    const balancer_member_t *member = &request->members->list[attempt->index];
    balancer_choice_t choice;
    balancer_standing_e before;
    apr_uint32_t on, resting;

    picker_choice(&choice, request, r);
    choice.no_ajp = 0;
    choice.tried = NULL; /* how they stand for all, not for this request */
    before = balancer_pick_standing(&choice, attempt->index, NULL);
    balancer_pick_count(&choice, attempt->index, &on, &resting);
    if (!usher_health_failed(&member->rec->health, attempt->began_at, choice.now, choice.rest,
                             verdict != PICKER_SOFT,
                             usher_health_may_rest(on, resting, verdict == PICKER_NO_LINK,
                                                   choice.rest))) {
        return;
    }
    balancer_pick_changed(request->cluster);
    if (before == BALANCER_STANDING_USABLE) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, USHERLOGNO(3008)
                      "%s: %s gets no requests for a while (UsherBackendRest), as %s; %u of %u "
                      "other members rest. Look at that server; nothing need be done here",
                      request->cluster->name, member->worker->s->name_ex, why, resting,
                      on ? on - 1 : 0);
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(3009)
                      "%s: %s was tried again, and rests on, as %s", request->cluster->name,
                      member->worker->s->name_ex, why);
    }
}

static void picker_good(const balancer_request_t *request, request_rec *r,
                        picker_attempt_t *attempt)
{
    const balancer_member_t *member = &request->members->list[attempt->index];
    apr_int64_t now;

    if (attempt->good) {
        return; /* its answer's head has said so */
    }
    attempt->good = 1;
    now = balancer_now();
    if (usher_health_ok(&member->rec->health, attempt->began_at, now, &request->picker.rest)) {
        attempt->began_at = now; /* how it goes on tells of the member as it is now */
        balancer_pick_changed(request->cluster);
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, USHERLOGNO(3010)
                      "%s: %s answers again, and gets more and more requests",
                      request->cluster->name, member->worker->s->name_ex);
    }
}

/* Whether its outcome tells anything. Some attempts, those with a tunnel for one,
 * outlive the configuration; their record may be another member's then. */
static int picker_is_judged(const balancer_member_t *member, const picker_attempt_t *attempt)
{
    return member->rec->generation == attempt->generation
           && !(member->worker->s->status & PROXY_WORKER_IGNORE_ERRORS);
}

static void picker_answered(usher_picker_t *picker, request_rec *r, const usher_member_t *given,
                            int status, apr_interval_time_t waited)
{
    balancer_request_t *request = picker->data;
    picker_attempt_t *attempt = given->data;
    const balancer_member_t *member = &request->members->list[attempt->index];

    balancer_session_answered(request, r, attempt->index);
    if (usher_picker_lists_status(request->balancer, status)) {
        return;
    }
    if (picker_is_judged(member, attempt)) {
        picker_good(request, r, attempt);
        /* Who fails fast is not fast. */
        if (status < HTTP_INTERNAL_SERVER_ERROR) {
            usher_load_answered(&member->rec->response, waited, attempt->began_at);
        }
    }
    balancer_stick_answered(request, r, attempt->index);
}

/* What the access log tells. A member that was chosen ahead and then not needed is given back
 * with LIMIT: the one before it counts. */
static void picker_leave(balancer_request_t *request, int i, usher_outcome_e outcome)
{
    balancer_seat_t *seat = &request->seat;

    if (seat->member < 0 || outcome != USHER_OUTCOME_LIMIT) {
        seat->member = i;
        seat->cluster_in_flight = atomic_load_explicit(&request->cluster->rec->in_flight,
                                                       memory_order_relaxed);
        seat->member_in_flight = atomic_load_explicit(&request->members->list[i].rec->in_flight,
                                                      memory_order_relaxed);
    }
}

static void picker_done(usher_picker_t *picker, request_rec *r, const usher_member_t *given,
                        usher_outcome_e outcome, int status)
{
    balancer_request_t *request = picker->data;
    picker_attempt_t *attempt = given->data;
    const balancer_member_t *member = &request->members->list[attempt->index];
    const char *why = NULL;
    picker_verdict_e verdict = picker_judge(request->balancer, outcome, status, &why);

    picker_leave(request, attempt->index, outcome);
    balancer_load_release(request, attempt->index, attempt->generation);
    if (verdict >= PICKER_SOFT) {
        atomic_fetch_add(&member->rec->failed, 1);
        usher_blame_note(&member->rec->blame, balancer_now(), (unsigned int)outcome + 1);
    }
    else if (verdict == PICKER_GOOD) {
        atomic_fetch_add(&member->rec->answered, 1);
    }
    if (!picker_is_judged(member, attempt)) {
        return;
    }
    if (verdict == PICKER_NOTHING) {
        if (attempt->claimed) {
            usher_health_unknown(&member->rec->health, attempt->began_at, balancer_now(),
                                 &picker->rest);
        }
    }
    else if (verdict != PICKER_GOOD) {
        picker_failed(request, r, attempt, verdict, why);
    }
    else {
        picker_good(request, r, attempt);
    }
}

static int picker_may_replay(usher_picker_t *picker, request_rec *r)
{
    balancer_request_t *request = picker->data;
    usher_cluster_rec_t *rec = request->cluster->rec;

    if (usher_budget_take(&rec->budget, balancer_now(), picker->budget.percent,
                          picker->budget.window, picker->budget.least)) {
        atomic_fetch_add(&rec->replays, 1);
        return 1;
    }
    atomic_fetch_add(&rec->refused_replays, 1);
    return 0;
}

static int picker_is_failure(usher_picker_t *picker, request_rec *r, int status)
{
    const balancer_request_t *request = picker->data;

    return usher_picker_lists_status(request->balancer, status);
}

void balancer_picker_init(balancer_request_t *request)
{
    static const usher_health_params_t rest = USHER_PICKER_REST;
    static const usher_replay_budget_t budget = USHER_PICKER_BUDGET;

    request->picker.next = picker_next;
    request->picker.answered = picker_answered;
    request->picker.done = picker_done;
    request->picker.may_replay = picker_may_replay;
    request->picker.is_failure = picker_is_failure;
    request->picker.data = request;
    request->picker.rest = rest;
    request->picker.budget = budget;
}

static usher_picker_t *picker_find(request_rec *r, proxy_worker *worker)
{
    balancer_request_t *request = ap_get_module_config(r->request_config, &usher_balancer_module);

    return request && worker && request->cluster->standin == worker ? &request->picker : NULL;
}

const usher_picker_provider_t balancer_picker_provider = {
    .abi = USHER_PICKER_ABI,
    .find = picker_find,
};
