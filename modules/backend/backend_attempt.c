/* One attempt: connect, send, receive, on a link that never blocks. All that is
 * known between two steps lies in the exchange; only backend_attempt_wait()
 * waits.
 *
 * Sending and receiving go on side by side: a backend may answer before it has
 * read the request, and what it says then reaches the client even if it closes
 * the connection at once. */

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* How long a backend that was not asked with ping= may take for its 100
 * Continue, before the body is sent without (RFC 9110, 10.1.1). */
#define CONTINUE_WAIT APR_USEC_PER_SEC
/* The same for the CPONG of a connection that was idle. */
#define PONG_WAIT APR_USEC_PER_SEC
/* How long an answer's body is waited for that nobody gets. */
#define DROP_WAIT (100 * APR_TIME_C(1000))
/* And the end of one that is whole. */
#define END_WAIT APR_USEC_PER_SEC

/* Times */

apr_interval_time_t backend_attempt_io_max(const backend_exchange_t *x)
{
    const proxy_worker *worker = x->member.worker;

    return worker->s->timeout_set ? worker->s->timeout
           : x->sconf->timeout_set ? x->sconf->timeout : x->r->server->timeout;
}

static apr_interval_time_t attempt_ping_max(const backend_exchange_t *x)
{
    const proxy_worker *worker = x->member.worker;
    apr_interval_time_t connect_max;

    if (worker->s->ping_timeout_set && worker->s->ping_timeout > 0) {
        return worker->s->ping_timeout;
    }
    connect_max = backend_connect_max(x);
    return connect_max < PONG_WAIT ? connect_max : PONG_WAIT;
}

/* When the present phase is over. */
static apr_time_t attempt_deadline(const backend_exchange_t *x)
{
    const backend_conf_t *conf = x->conf;
    const proxy_worker *worker = x->member.worker;
    apr_interval_time_t max;
    apr_time_t from = x->progress_at;

    if (x->dropping) {
        return (x->first_at ? x->first_at : from) + DROP_WAIT;
    }
    if (x->client_done) {
        return from + END_WAIT;
    }
    if (x->client_at) {
        return x->client_at + x->r->server->timeout;
    }
    if (x->receiving != BACKEND_RECV_HEAD) {
        max = conf->between_max;
    }
    else if (x->sending == BACKEND_SEND_AWAIT_100) {
        return from + (worker->s->ping_timeout_set && worker->s->ping_timeout > 0
                           ? worker->s->ping_timeout : CONTINUE_WAIT);
    }
    else if (x->sending == BACKEND_SEND_AWAIT_PONG) {
        return from + attempt_ping_max(x);
    }
    else if (x->sending < BACKEND_SEND_DONE && x->sending != BACKEND_SEND_AWAIT_ASK) {
        max = conf->send_max;
    }
    else {
        max = conf->first_max;
        from = x->sent_at ? x->sent_at : from;
    }
    return from + (max != USHER_UNSET ? max : backend_attempt_io_max(x));
}

static int attempt_is_over(const backend_exchange_t *x)
{
    return x->total_deadline && backend_now() >= x->total_deadline;
}

/* How an attempt ends whose link broke; nothing may be known of it before. */
backend_end_e backend_attempt_cut(backend_exchange_t *x, const char *why)
{
    x->why = why;
    x->state.who = 'S';
    if (x->passed || x->receiving != BACKEND_RECV_HEAD) {
        return BACKEND_END_CUT;
    }
    if (!x->something_sent || (x->sending == BACKEND_SEND_AWAIT_100 && !x->in_len
                               && !x->interims)) {
        return BACKEND_END_WITHHELD;
    }
    return BACKEND_END_CUT;
}

/* Who kept us waiting: its body is awaited, or it does not take the answer that
 * is there. */
static int attempt_waits_for_client(const backend_exchange_t *x)
{
    return x->client_at || (x->receiving != BACKEND_RECV_HEAD && x->readable);
}

static backend_end_e attempt_client_is_slow(backend_exchange_t *x, int over)
{
    x->why = over ? "the client was so slow that the total time was over"
                  : "the client was too slow with the request's body";
    x->state.who = 'c';
    x->status = over ? HTTP_GATEWAY_TIME_OUT : HTTP_REQUEST_TIME_OUT;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, USHERLOGNO(2022)
                  "%s: it got %d, or sees that its answer is cut", x->why, x->status);
    return BACKEND_END_CLIENT;
}

backend_end_e backend_attempt_timed_out(backend_exchange_t *x)
{
    int over = attempt_is_over(x);

    if (x->dropping) {
        return BACKEND_END_OVERRIDE;
    }
    if (x->client_done) {
        x->receiving = BACKEND_RECV_DONE;
        x->link_close = 1;
        return BACKEND_END_NONE;
    }
    if (attempt_waits_for_client(x)) {
        return attempt_client_is_slow(x, over);
    }
    x->state.who = 's';
    if (over) {
        x->why = "it took longer than UsherBackendTimeout total= allows";
    }
    else if (x->receiving != BACKEND_RECV_HEAD) {
        x->why = "the answer's body came to a halt";
    }
    else if (x->sending == BACKEND_SEND_AWAIT_100) {
        if (!x->member.worker->s->ping_timeout_set) {
            x->state.who = '-';
            x->sending = BACKEND_SEND_BODY; /* it knows no 100 Continue */
            x->progress_at = 0;
            return BACKEND_END_NONE;
        }
        x->why = "no 100 Continue within ping=";
        return BACKEND_END_WITHHELD;
    }
    else if (x->sending == BACKEND_SEND_AWAIT_PONG) {
        x->why = "no CPONG in time";
        return BACKEND_END_WITHHELD;
    }
    else {
        x->why = x->sending < BACKEND_SEND_DONE && x->sending != BACKEND_SEND_AWAIT_ASK
                     ? "it did not read the request in time" : "it did not answer in time";
    }
    return BACKEND_END_TIMEOUT;
}

backend_end_e backend_attempt_malformed(backend_exchange_t *x, const char *why)
{
    x->why = apr_pstrcat(x->r->pool, "malformed answer: ", why, NULL);
    x->state.who = 'P';
    return BACKEND_END_MALFORMED;
}

/* Waiting */

static int attempt_poll_time(const backend_exchange_t *x, int want, apr_time_t until,
                             apr_time_t now)
{
    apr_interval_time_t time = until > now ? until - now : 0, most;

    if (x->r->connection->master) {
        most = x->client_fd < 0 && want & BACKEND_WANT_BODY ? BACKEND_BODY_INTERVAL
                                                            : BACKEND_CLIENT_INTERVAL;
        time = time < most ? time : most;
    }
    return (int)((time + 999) / 1000 < INT_MAX ? (time + 999) / 1000 : INT_MAX);
}

/* Wait for the link or the client. until: when this phase is over. Returns
 * CLIENT when the client is gone; else NONE, with *late set when it is over. */
backend_end_e backend_attempt_wait(backend_exchange_t *x, int want, apr_time_t until, int *late)
{
    struct pollfd fds[2] = { { .fd = x->link->fd } };
    apr_time_t now = backend_now();
    int n = 1, ready;

    *late = 0;
    if (x->total_deadline && x->total_deadline < until) {
        until = x->total_deadline;
    }
    fds[0].events = (short)((want & BACKEND_WANT_LINK_IN ? POLLIN : 0)
                            | (want & BACKEND_WANT_LINK_OUT ? POLLOUT : 0));
    if (x->client_fd >= 0 && !x->client_done) {
        fds[1].fd = x->client_fd;
        fds[1].events = backend_client_events(x, want & BACKEND_WANT_BODY);
        fds[1].revents = 0;
        n = 2;
    }
    ready = poll(fds, n, attempt_poll_time(x, want, until, now));
    if (ready <= 0) {
        *late = ready == 0 && backend_now() >= until;
        fds[0].revents = fds[1].revents = 0;
    }
    else if (x->total_deadline) {
        *late = backend_now() >= x->total_deadline; /* however much still comes */
    }
    if (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) {
        x->readable = 1;
    }
    /* A client that has all may go. */
    if (!x->client_done && (x->client_fd < 0 || fds[1].revents || x->r->connection->aborted)
        && backend_client_check(x, fds[1].revents)) {
        x->why = "the client went away";
        x->state.who = 'C';
        return BACKEND_END_CLIENT;
    }
    return BACKEND_END_NONE;
}

/* Whether the next receive may wait by itself: poll() would watch the client as well, but
 * a fast answer is there before that matters. */
static int attempt_may_await(const backend_exchange_t *x, int want)
{
    apr_time_t until = x->progress_at + BACKEND_AWAIT;

    return x->link->waits && !x->awaited && want == BACKEND_WANT_LINK_IN
           && x->receiving == BACKEND_RECV_HEAD && attempt_deadline(x) > until
           && (!x->total_deadline || x->total_deadline > until);
}

/* The whole */

static void attempt_begin(backend_exchange_t *x)
{
    x->link = NULL;
    x->link_close = x->head_close;
    x->out_len = x->out_at = 0;
    x->out_buckets = 0;
    x->body_at = 0;
    x->body_ended = x->something_sent = x->readable = 0;
    x->pinged = 0;
    x->asked = x->packet_left = 0;
    x->sending = BACKEND_SEND_HEAD;
    x->receiving = BACKEND_RECV_HEAD;
    x->in_len = 0;
    x->interims = 0;
    memset(&x->answer, 0, sizeof(x->answer));
    memset(&x->chunks, 0, sizeof(x->chunks));
    x->body_received = 0;
    x->awaits = x->awaited = 0;
    x->in_fresh = x->bodyless = x->whole = x->dropping = 0;
    x->client_done = x->drop_body = 0;
    x->barren = 0;
    x->connected_at = x->sent_at = x->first_at = x->progress_at = x->client_at = 0;
    x->began_at = backend_now();
    x->r->content_type = x->content_type_before;
    x->why = NULL;
    x->outcome = USHER_OUTCOME_OK;
}

/* The backend has asked for it in this turn. */
static int attempt_has_to_send(const backend_exchange_t *x, int want)
{
    return x->sending < BACKEND_SEND_DONE && !backend_send_is_awaiting(x)
           && x->out_at == x->out_len && !(want & (BACKEND_WANT_BODY | BACKEND_WANT_LINK_OUT));
}

static backend_end_e attempt_exchange(backend_exchange_t *x)
{
    backend_end_e end;
    int want, late;

    for (;;) {
        want = 0;
        end = backend_send_step(x, &want);
        if (end == BACKEND_END_NONE) {
            end = backend_receive_step(x, &want);
        }
        if (end != BACKEND_END_NONE) {
            return end;
        }
        if (!x->progress_at) {
            x->progress_at = backend_now();
        }
        late = 0;
        if (x->readable || attempt_has_to_send(x, want)) {
            late = attempt_is_over(x); /* there is more to do at once */
        }
        else if (attempt_may_await(x, want)) {
            x->readable = x->awaits = 1;
        }
        else {
            end = backend_attempt_wait(x, want, attempt_deadline(x), &late);
        }
        if (end == BACKEND_END_NONE && late) {
            end = backend_attempt_timed_out(x);
        }
        if (end != BACKEND_END_NONE) {
            return end;
        }
    }
}

backend_end_e backend_attempt_run(backend_exchange_t *x)
{
    backend_end_e end;

    attempt_begin(x);
    end = backend_connect(x);
    x->connected_at = backend_now();
    if (end == BACKEND_END_NONE) {
        backend_body_connected(x);
        end = attempt_exchange(x);
    }
    return end;
}
