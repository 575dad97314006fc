/* One attempt: connect, send, receive, on a link that never blocks. All that is
 * known between two steps lies in the exchange; only attempt_wait() waits.
 *
 * Sending and receiving go on side by side: a backend may answer before it has
 * read the request, and what it says then reaches the client even if it closes
 * the connection at once. */
#include <errno.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* How long a backend that was not asked with ping= may take for its 100
 * Continue, before the body is sent without (RFC 9110, 10.1.1). */
#define CONTINUE_WAIT APR_USEC_PER_SEC
/* How often an HTTP/2 stream is looked at, which cannot be polled. */
#define CLIENT_INTERVAL (250 * APR_TIME_C(1000))
/* A request whose second delivery would do harm uses a kept link only if it
 * was in use so lately: the longer it was idle, the likelier the backend closes
 * it just now. */
#define RISKY_IDLE_MAX APR_USEC_PER_SEC
#define CONNECT_MAX (5 * APR_USEC_PER_SEC)
#define IN_SIZE 8192
#define INTERIMS_MAX 10

/* What attempt_wait() waits for */
#define WANT_LINK_IN 1
#define WANT_LINK_OUT 2
#define WANT_BODY 4

/* Times */

static apr_interval_time_t attempt_io_max(const backend_exchange_t *x)
{
    const proxy_worker *worker = x->member.worker;

    return worker->s->timeout_set ? worker->s->timeout
           : x->sconf->timeout_set ? x->sconf->timeout : x->r->server->timeout;
}

static apr_interval_time_t attempt_connect_max(const backend_exchange_t *x)
{
    return x->conf->connect_max != USHER_UNSET ? x->conf->connect_max
           : x->member.worker->s->conn_timeout_set ? x->member.worker->s->conn_timeout
           : CONNECT_MAX;
}

/* When the present phase is over. */
static apr_time_t attempt_deadline(const backend_exchange_t *x)
{
    const backend_conf_t *conf = x->conf;
    const proxy_worker *worker = x->member.worker;
    apr_interval_time_t max;
    apr_time_t from = x->progress_at;

    if (x->receiving != BACKEND_RECV_HEAD) {
        max = conf->between_max;
    }
    else if (x->sending == BACKEND_SEND_AWAIT_100) {
        return from + (worker->s->ping_timeout_set && worker->s->ping_timeout > 0
                           ? worker->s->ping_timeout : CONTINUE_WAIT);
    }
    else if (x->client_at) {
        return x->client_at + x->r->server->timeout;
    }
    else if (x->sending < BACKEND_SEND_DONE) {
        max = conf->send_max;
    }
    else {
        max = conf->first_max;
        from = x->sent_at ? x->sent_at : from;
    }
    return from + (max != USHER_UNSET ? max : attempt_io_max(x));
}

/* How an attempt ends whose link broke; nothing may be known of it before. */
static backend_end_e attempt_cut(backend_exchange_t *x, const char *why)
{
    x->why = why;
    x->state.who = 'S';
    if (x->passed || x->receiving != BACKEND_RECV_HEAD) {
        return BACKEND_END_CUT;
    }
    if (!x->something_sent || (x->sending == BACKEND_SEND_AWAIT_100 && !x->in_len)) {
        return BACKEND_END_WITHHELD;
    }
    return BACKEND_END_CUT;
}

static backend_end_e attempt_timed_out(backend_exchange_t *x)
{
    const proxy_worker *worker = x->member.worker;

    if (x->total_deadline && backend_now() >= x->total_deadline) {
        x->why = "it took longer than the total time allowed";
    }
    else if (x->receiving != BACKEND_RECV_HEAD) {
        x->why = "the answer's body came to a halt";
    }
    else if (x->sending == BACKEND_SEND_AWAIT_100) {
        if (!worker->s->ping_timeout_set) {
            x->sending = BACKEND_SEND_BODY; /* it knows no 100 Continue */
            x->progress_at = 0;
            return BACKEND_END_NONE;
        }
        x->why = "no 100 Continue within ping=";
        x->state.who = 's';
        return BACKEND_END_WITHHELD;
    }
    else if (x->client_at) {
        x->why = "the client was too slow with the request's body";
        x->state.who = 'c';
        x->status = HTTP_REQUEST_TIME_OUT;
        return BACKEND_END_CLIENT;
    }
    else {
        x->why = x->sending < BACKEND_SEND_DONE ? "it did not read the request in time"
                                                : "it did not answer in time";
    }
    x->state.who = 's';
    return BACKEND_END_TIMEOUT;
}

/* Waiting */

static int attempt_poll_time(const backend_exchange_t *x, apr_time_t until, apr_time_t now)
{
    apr_interval_time_t time = until > now ? until - now : 0;

    if (x->r->connection->master && time > CLIENT_INTERVAL) {
        time = CLIENT_INTERVAL;
    }
    return (int)((time + 999) / 1000 < INT_MAX ? (time + 999) / 1000 : INT_MAX);
}

/* Wait for the link or the client. until: when this phase is over. Returns
 * CLIENT when the client is gone; else NONE, with *late set when it is over. */
static backend_end_e attempt_wait(backend_exchange_t *x, int want, apr_time_t until, int *late)
{
    struct pollfd fds[2] = { { .fd = x->link->fd } };
    apr_time_t now = backend_now();
    int n = 1, ready;

    *late = 0;
    if (x->total_deadline && x->total_deadline < until) {
        until = x->total_deadline;
    }
    fds[0].events = (want & WANT_LINK_IN ? POLLIN : 0) | (want & WANT_LINK_OUT ? POLLOUT : 0);
    if (x->client_fd >= 0) {
        fds[1].fd = x->client_fd;
        fds[1].events = backend_client_events(x, want & WANT_BODY);
        fds[1].revents = 0;
        n = 2;
    }
    ready = poll(fds, n, attempt_poll_time(x, until, now));
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
    if ((x->client_fd < 0 || fds[1].revents || x->r->connection->aborted)
        && backend_client_check(x, x->client_fd < 0 ? 0 : fds[1].revents)) {
        x->why = "the client went away";
        x->state.who = 'C';
        return BACKEND_END_CLIENT;
    }
    return BACKEND_END_NONE;
}

/* Connecting */

static backend_end_e attempt_not_connected(backend_exchange_t *x, int error)
{
    x->state.who = error == ETIMEDOUT ? 's' : 'S';
    x->outcome = error == ETIMEDOUT ? USHER_OUTCOME_UNREACHABLE : USHER_OUTCOME_REFUSED;
    x->why = error == 0 ? "its name is not known"
             : error == ETIMEDOUT ? "it did not answer the connect"
             : apr_psprintf(x->r->pool, "it could not be connected to: %s", strerror(error));
    return BACKEND_END_NO_LINK;
}

/* One address. Waits until it is connected, or sets *error. */
static backend_end_e attempt_connect_one(backend_exchange_t *x,
                                         const backend_address_t *address, int *error)
{
    apr_time_t until = backend_now() + attempt_connect_max(x);
    backend_io_e io = backend_link_connect(x->link, x->r, address, x->member.worker, error);
    backend_end_e end;
    int late;

    while (io == BACKEND_IO_AGAIN) {
        struct pollfd done;

        end = attempt_wait(x, WANT_LINK_OUT, until, &late);
        if (end != BACKEND_END_NONE) {
            return end;
        }
        done.fd = x->link->fd;
        done.events = POLLOUT;
        if (poll(&done, 1, 0) == 1) {
            io = backend_link_connected(x->link, error);
        }
        else if (late) {
            *error = ETIMEDOUT;
            io = BACKEND_IO_FAILED;
        }
    }
    x->readable = 0;
    if (io == BACKEND_IO_DONE) {
        *error = 0;
    }
    else if (address->len) {
        backend_target_address_failed(x->target, address);
    }
    return BACKEND_END_NONE;
}

/* All addresses in turn; once more when the name has got others meanwhile. */
static backend_end_e attempt_connect(backend_exchange_t *x)
{
    static const backend_address_t none;
    backend_end_e end = BACKEND_END_NONE;
    int error = 0, refreshed = 0, n, i;

    do {
        if (x->target->uds_path) {
            n = 1;
            x->addresses[0] = none;
        }
        else {
            n = backend_target_addresses(x->target, x->addresses);
        }
        for (i = 0; i < n; ++i) {
            end = attempt_connect_one(x, &x->addresses[i], &error);
            if (end != BACKEND_END_NONE || !error) {
                return end;
            }
            if (x->total_deadline && backend_now() >= x->total_deadline) {
                return attempt_timed_out(x);
            }
        }
    } while (!refreshed++ && backend_target_refresh(x->target));
    return attempt_not_connected(x, error);
}

static backend_end_e attempt_link(backend_exchange_t *x)
{
    const proxy_worker *worker = x->member.worker;

    x->reused = 0;
    if (!x->fresh_only) {
        x->link = backend_link_reuse(x->target, x->replayable ? APR_INT64_MAX : RISKY_IDLE_MAX);
        x->reused = x->link != NULL;
    }
    if (!x->link) {
        x->link = backend_link_new(x->target, worker->s->acquire_set ? worker->s->acquire
                                                                     : attempt_connect_max(x));
        if (!x->link) {
            x->outcome = USHER_OUTCOME_LIMIT;
            x->why = "all connections that max= allows are in use";
            x->state.who = 'P';
            return BACKEND_END_NO_LINK;
        }
        return attempt_connect(x);
    }
    return BACKEND_END_NONE;
}

/* Sending */

/* Put the next piece of the body behind what is in out[]. */
static backend_end_e attempt_queue_body(backend_exchange_t *x, int *want)
{
    struct iovec piece;
    int status;

    switch (backend_body_next(x, &piece, &status)) {
    case BACKEND_BODY_DATA:
        x->client_at = 0;
        if (x->body.framing == BACKEND_BODY_CHUNKED) {
            x->out[x->out_len].iov_base = x->chunk_line;
            x->out[x->out_len++].iov_len = apr_snprintf(x->chunk_line, sizeof(x->chunk_line),
                "%s%" APR_UINT64_T_HEX_FMT CRLF, x->body_at ? CRLF : "",
                (apr_uint64_t)piece.iov_len);
        }
        x->out[x->out_len++] = piece;
        x->body_at += piece.iov_len;
        return BACKEND_END_NONE;
    case BACKEND_BODY_WAIT:
        backend_answer_ask_body(x);
        x->client_at = x->client_at ? x->client_at : backend_now();
        *want |= WANT_BODY;
        return BACKEND_END_NONE;
    case BACKEND_BODY_END:
        x->client_at = 0;
        x->last_chunk = 1;
        if (x->body.framing == BACKEND_BODY_CHUNKED) {
            x->out[x->out_len].iov_base = x->chunk_line;
            x->out[x->out_len++].iov_len = apr_snprintf(x->chunk_line, sizeof(x->chunk_line),
                "%s0" CRLF CRLF, x->body_at ? CRLF : "");
        }
        return BACKEND_END_NONE;
    default:
        x->status = status;
        x->state.who = x->state.who == 'c' ? 'c' : 'C';
        x->why = x->why ? x->why : "the client's body could not be read";
        return BACKEND_END_CLIENT;
    }
}

/* Fill out[]. Nothing in it afterwards: all is sent, or something is wanted. */
static backend_end_e attempt_queue(backend_exchange_t *x, int *want)
{
    x->out_at = x->out_len = 0;
    if (x->sending == BACKEND_SEND_HEAD) {
        x->out[0].iov_base = x->head;
        x->out[0].iov_len = x->head_len;
        x->out_len = 1;
        x->sending = x->body.framing == BACKEND_BODY_NONE ? BACKEND_SEND_BODY
                     : x->expects_100 ? BACKEND_SEND_AWAIT_100 : BACKEND_SEND_BODY;
        x->last_chunk = x->body.framing == BACKEND_BODY_NONE;
        if (x->sending == BACKEND_SEND_AWAIT_100 || x->last_chunk) {
            return BACKEND_END_NONE;
        }
    }
    if (x->sending != BACKEND_SEND_BODY) {
        return BACKEND_END_NONE;
    }
    if (x->last_chunk) {
        x->sending = BACKEND_SEND_DONE;
        x->sent_at = backend_now();
        return BACKEND_END_NONE;
    }
    return attempt_queue_body(x, want);
}

static void attempt_sent(backend_exchange_t *x, apr_size_t n)
{
    x->something_sent = x->something_sent || n;
    x->bytes_out += n;
    while (x->out_at < x->out_len && n >= x->out[x->out_at].iov_len) {
        n -= x->out[x->out_at++].iov_len;
    }
    if (x->out_at < x->out_len) {
        x->out[x->out_at].iov_base = (char *)x->out[x->out_at].iov_base + n;
        x->out[x->out_at].iov_len -= n;
    }
    else {
        backend_body_sent(x);
    }
}

static backend_end_e attempt_send(backend_exchange_t *x, int *want)
{
    backend_end_e end;
    apr_size_t n;
    int error = 0;

    while (x->sending < BACKEND_SEND_DONE) {
        if (x->out_at == x->out_len) {
            if (x->sending == BACKEND_SEND_AWAIT_100) {
                return BACKEND_END_NONE;
            }
            end = attempt_queue(x, want);
            if (end != BACKEND_END_NONE) {
                return end;
            }
            if (!x->out_len) {
                if (*want & WANT_BODY) {
                    return BACKEND_END_NONE;
                }
                continue;
            }
        }
        switch (backend_link_send(x->link, x->out + x->out_at, x->out_len - x->out_at,
                                  &n, &error)) {
        case BACKEND_IO_DONE:
            attempt_sent(x, n);
            x->progress_at = 0; /* now: see attempt_run() */
            break;
        case BACKEND_IO_AGAIN:
            *want |= WANT_LINK_OUT;
            return BACKEND_END_NONE;
        default:
            /* It may have answered before it closed. */
            x->sending = BACKEND_SEND_STOPPED;
            x->link_close = 1;
            x->readable = 1;
            x->client_at = 0;
        }
    }
    return BACKEND_END_NONE;
}

/* Receiving */

static int attempt_in_room(backend_exchange_t *x)
{
    apr_size_t most = (apr_size_t)x->conf->head_max + IN_SIZE, size;
    char *in;

    if (x->in_len < x->in_size) {
        return 1;
    }
    if (x->in_size >= most) {
        return 0;
    }
    size = x->in_size ? x->in_size * 2 : IN_SIZE;
    in = apr_palloc(x->r->pool, size);
    if (x->in_len) {
        memcpy(in, x->in, x->in_len);
    }
    x->in = in;
    x->in_size = size;
    return 1;
}

static backend_end_e attempt_malformed(backend_exchange_t *x, const char *why)
{
    x->why = apr_pstrcat(x->r->pool, "malformed answer: ", why, NULL);
    x->state.who = 'P';
    return BACKEND_END_MALFORMED;
}

static void attempt_limits(const backend_exchange_t *x, usher_http1_limits_t *limits)
{
    const proxy_worker *worker = x->member.worker;

    limits->line_max = worker->s->response_field_size_set ? worker->s->response_field_size
                                                          : HUGE_STRING_LEN;
    limits->head_max = (apr_size_t)x->conf->head_max;
    limits->fields_max = (unsigned int)x->conf->fields_max;
    limits->badline = x->sconf->badopt == bad_ignore ? USHER_HTTP1_BADLINE_SKIP
                      : x->sconf->badopt == bad_body ? USHER_HTTP1_BADLINE_BODY
                                                     : USHER_HTTP1_BADLINE_REFUSE;
}

/* A final answer that comes while the request is still being sent. */
static void attempt_early_answer(backend_exchange_t *x)
{
    if (x->sending >= BACKEND_SEND_DONE) {
        return;
    }
    x->link_close = 1;
    if (x->answer.status >= 400 || x->sending == BACKEND_SEND_AWAIT_100) {
        x->sending = BACKEND_SEND_STOPPED;
        x->client_at = 0;
    }
}

/* After an interim answer: the next one begins behind it. */
static backend_end_e attempt_interim(backend_exchange_t *x)
{
    apr_size_t len = x->answer.len;
    backend_end_e end;

    if (++x->interims > INTERIMS_MAX) {
        return attempt_malformed(x, "too many interim answers");
    }
    end = backend_answer_interim(x);
    if (x->answer.status == HTTP_CONTINUE && x->sending == BACKEND_SEND_AWAIT_100
        && x->out_at == x->out_len) {
        x->sending = BACKEND_SEND_BODY;
        x->out_at = x->out_len = 0;
    }
    memmove(x->in, x->in + len, x->in_len - len);
    x->in_len -= len;
    memset(&x->answer, 0, sizeof(x->answer));
    return end;
}

static backend_end_e attempt_head(backend_exchange_t *x)
{
    usher_http1_limits_t limits;
    const char *why = "";
    backend_end_e end = BACKEND_END_NONE;

    attempt_limits(x, &limits);
    while (end == BACKEND_END_NONE) {
        switch (usher_http1_head(&x->answer, x->in, x->in_len, &limits, &why)) {
        case USHER_PARSE_BAD:
            return attempt_malformed(x, why);
        case USHER_PARSE_MORE:
            return BACKEND_END_NONE;
        case USHER_PARSE_DONE:
            break;
        }
        if (x->answer.status >= 200 || x->answer.status == HTTP_SWITCHING_PROTOCOLS) {
            attempt_early_answer(x);
            x->receiving = BACKEND_RECV_BODY;
            end = backend_answer_final(x);
            memmove(x->in, x->in + x->answer.len, x->in_len - x->answer.len);
            x->in_len -= x->answer.len;
            return end;
        }
        end = attempt_interim(x);
    }
    return end;
}

static backend_end_e attempt_receive_head(backend_exchange_t *x)
{
    apr_size_t n;
    int error = 0;

    if (!attempt_in_room(x)) {
        return attempt_malformed(x, "its head is too long");
    }
    switch (backend_link_recv(x->link, x->in + x->in_len, x->in_size - x->in_len, &n, &error)) {
    case BACKEND_IO_AGAIN:
        x->readable = 0;
        return x->sending == BACKEND_SEND_STOPPED && !x->in_len
                   ? attempt_cut(x, "it closed the connection") : BACKEND_END_NONE;
    case BACKEND_IO_EOF:
        return attempt_cut(x, x->in_len ? "it closed the connection within the answer's head"
                                        : "it closed the connection before it answered");
    case BACKEND_IO_FAILED:
        return attempt_cut(x, apr_psprintf(x->r->pool, "the connection broke before the "
                                           "answer's head was there: %s", strerror(error)));
    default:
        break;
    }
    if (!x->first_at) {
        x->first_at = backend_now();
    }
    x->progress_at = 0;
    x->bytes_in += n;
    x->readable = n == x->in_size - x->in_len;
    x->in_len += n;
    return attempt_head(x);
}

static backend_end_e attempt_receive(backend_exchange_t *x, int *want)
{
    backend_end_e end = BACKEND_END_NONE;

    while (end == BACKEND_END_NONE && x->readable && x->receiving == BACKEND_RECV_HEAD) {
        end = attempt_receive_head(x);
    }
    if (end == BACKEND_END_NONE && x->receiving > BACKEND_RECV_HEAD) {
        end = backend_relay_step(x);
    }
    *want |= WANT_LINK_IN;
    return end;
}

/* The whole */

static void attempt_begin(backend_exchange_t *x)
{
    x->link = NULL;
    x->out_len = x->out_at = 0;
    x->out_body = 0;
    x->body_at = 0;
    x->last_chunk = x->something_sent = x->readable = 0;
    x->sending = BACKEND_SEND_HEAD;
    x->receiving = BACKEND_RECV_HEAD;
    x->in_len = 0;
    x->interims = 0;
    memset(&x->answer, 0, sizeof(x->answer));
    memset(&x->chunks, 0, sizeof(x->chunks));
    x->body_received = 0;
    x->connected_at = x->sent_at = x->first_at = x->progress_at = x->client_at = 0;
    x->began_at = backend_now();
    x->r->content_type = x->content_type_before;
    x->why = NULL;
    x->outcome = USHER_OUTCOME_OK;
}

static backend_end_e attempt_exchange(backend_exchange_t *x)
{
    backend_end_e end;
    int want, late;

    for (;;) {
        want = 0;
        end = attempt_send(x, &want);
        if (end == BACKEND_END_NONE) {
            end = attempt_receive(x, &want);
        }
        if (end != BACKEND_END_NONE) {
            return end;
        }
        if (!x->progress_at) {
            x->progress_at = backend_now();
        }
        if (x->readable || (x->sending == BACKEND_SEND_BODY && x->out_at == x->out_len
                            && !(want & WANT_BODY))) {
            continue; /* the answer asked for the body just now */
        }
        end = attempt_wait(x, want, attempt_deadline(x), &late);
        if (end == BACKEND_END_NONE && late) {
            end = attempt_timed_out(x);
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
    end = attempt_link(x);
    x->connected_at = backend_now();
    if (end == BACKEND_END_NONE) {
        backend_body_connected(x);
        end = attempt_exchange(x);
    }
    return end;
}
