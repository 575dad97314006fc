/* A link for an attempt: a kept one, or a new one to one address after the
 * other, with TLS on it where the backend wants that. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* A request whose second delivery would do harm uses a kept link only if it
 * was in use so lately: the longer it was idle, the likelier the backend closes
 * it just now. With AJP it is asked first instead (CPING). */
#define RISKY_IDLE_MAX APR_USEC_PER_SEC
/* How often a request that waits for room looks after its client. */
#define ROOM_INTERVAL (250 * APR_TIME_C(1000))
/* For one address, where nothing else is configured. */
#define CONNECT_MAX (5 * APR_USEC_PER_SEC)

apr_interval_time_t backend_connect_max(const backend_exchange_t *x)
{
    return x->conf->connect_max != USHER_UNSET ? x->conf->connect_max
           : x->member.worker->s->conn_timeout_set ? x->member.worker->s->conn_timeout
           : CONNECT_MAX;
}

/* Why an address could not be used. */
typedef struct {
    int error;       /* errno; 0: it can */
    const char *why; /* NULL: what errno tells of a connect */
} connect_failure_t;

/* Too slow only if none of the addresses gave an answer at all. */
static backend_end_e connect_failed(backend_exchange_t *x, const connect_failure_t *failure)
{
    int error = failure->error;

    x->state.who = error == ETIMEDOUT ? 's' : 'S';
    /* EAGAIN: the queue of a unix socket is full; it is there and busy. */
    x->outcome = error == ETIMEDOUT ? USHER_OUTCOME_UNREACHABLE
                 : error == EAGAIN || x->name_refused ? USHER_OUTCOME_LIMIT
                 : USHER_OUTCOME_REFUSED;
    x->why = failure->why ? failure->why : error == 0 ? backend_target_was_looked_up(x->target)
                          ? "its name is not known (a typing mistake, /etc/hosts or the name server)" : "its name could not be looked up in time"
             : error == ETIMEDOUT ? "it did not answer the connect"
             : apr_psprintf(x->r->pool, "it could not be connected to: %s", strerror(error));
    return BACKEND_END_NO_LINK;
}

/* Waits until the socket is connected, or sets *error. */
static backend_end_e connect_socket(backend_exchange_t *x, const backend_address_t *address,
                                    int *error)
{
    apr_time_t until = backend_now() + backend_connect_max(x);
    backend_io_e io = backend_link_connect(x->link, x->r, address, x->member.worker, error);
    backend_end_e end;
    int late;

    while (io == BACKEND_IO_AGAIN) {
        struct pollfd done;

        end = backend_attempt_wait(x, BACKEND_WANT_LINK_OUT, until, &late);
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
    if (io == BACKEND_IO_DONE) {
        *error = 0;
    }
    return BACKEND_END_NONE;
}

/* What comes before the request on a connected socket. Each step may take as long as
 * the connect. */
static backend_end_e connect_prelude(backend_exchange_t *x, connect_failure_t *failure)
{
    backend_end_e end = BACKEND_END_NONE;

    if (x->remote_host && !x->target->uds_path) {
        end = backend_connect_proxy(x, backend_now() + backend_connect_max(x),
                                    &failure->error, &failure->why);
    }
    if (end == BACKEND_END_NONE && !failure->error) {
        end = backend_tls_begin(x, backend_now() + backend_connect_max(x), &failure->error,
                                &failure->why);
    }
    return end;
}

/* One address. Waits until it is ready for the request, or sets *failure. */
static backend_end_e connect_one(backend_exchange_t *x, const backend_address_t *address,
                                 connect_failure_t *failure)
{
    backend_end_e end;

    failure->error = 0;
    failure->why = NULL;
    x->name_refused = 0;
    end = connect_socket(x, address, &failure->error);
    if (end == BACKEND_END_NONE && !failure->error && x->target->tls) {
        end = connect_prelude(x, failure);
    }
    /* With TLS a part of the answer may have come along with the handshake's end. */
    x->readable = x->target->tls != 0;
    if (end == BACKEND_END_NONE && failure->error && address->len
        && !x->name_refused && !(x->total_deadline && backend_now() >= x->total_deadline)) {
        backend_target_address_failed(x->target, address);
    }
    return end;
}

/* The addresses in list[from..to). *worst keeps what tells most. */
static backend_end_e connect_each(backend_exchange_t *x, int from, int to,
                                  connect_failure_t *worst)
{
    connect_failure_t failure;
    backend_end_e end;
    int i;

    for (i = from; i < to; ++i) {
        end = connect_one(x, &x->addresses[i], &failure);
        if (end != BACKEND_END_NONE) {
            return end;
        }
        if (!failure.error) {
            worst->error = 0;
            return BACKEND_END_NONE;
        }
        if (x->total_deadline && backend_now() >= x->total_deadline) {
            return backend_attempt_timed_out(x);
        }
        if (!worst->error || failure.error != ETIMEDOUT) {
            *worst = failure;
        }
    }
    return BACKEND_END_NONE;
}

/* All addresses in turn, then those that the name has got meanwhile. */
static backend_end_e connect_all(backend_exchange_t *x)
{
    static const backend_address_t none;
    connect_failure_t failure = { 0, NULL };
    backend_end_e end;
    int n = 1, more;

    if (x->target->uds_path) {
        x->addresses[0] = none;
    }
    else {
        n = backend_target_addresses(x->target, backend_connect_max(x), x->addresses);
    }
    end = connect_each(x, 0, n, &failure);
    if (end == BACKEND_END_NONE && (failure.error || !n)) {
        more = backend_target_refresh(x->target, x->addresses, n);
        if (!more) {
            return connect_failed(x, &failure);
        }
        end = connect_each(x, n, n + more, &failure);
    }
    return end == BACKEND_END_NONE && failure.error ? connect_failed(x, &failure) : end;
}

/* max= is reached: wait for a link to be given back, unless another member is
 * free for this request. */
static backend_end_e connect_await_room(backend_exchange_t *x, const char *id)
{
    const proxy_worker *worker = x->member.worker;
    apr_time_t now = backend_now(), until = now;

    x->link = backend_link_new(x->target, id, 0, !x->fresh_only);
    if (!x->link && !backend_exchange_has_other(x)) {
        until += worker->s->acquire_set ? worker->s->acquire : backend_attempt_io_max(x);
    }
    while (!x->link && now < until) {
        x->link = backend_link_new(x->target, id,
                                   until - now < ROOM_INTERVAL ? until - now : ROOM_INTERVAL,
                                   !x->fresh_only);
        now = backend_now();
        if (!x->link && backend_client_wait(x, now)) {
            x->why = "the client went away";
            x->state.who = 'C';
            return BACKEND_END_CLIENT;
        }
        if (x->total_deadline && now >= x->total_deadline) {
            return backend_attempt_timed_out(x);
        }
    }
    if (!x->link) {
        x->outcome = USHER_OUTCOME_LIMIT;
        x->why = "all connections that max= allows are in use";
        x->state.who = 'P';
        return BACKEND_END_NO_LINK;
    }
    return BACKEND_END_NONE;
}

backend_end_e backend_connect(backend_exchange_t *x)
{
    const char *id = x->target->tls ? backend_tls_id(x) : NULL;
    backend_end_e end;

    x->reused = 0;
    if (id) {
        end = backend_tls_is_loaded(x);
        if (end != BACKEND_END_NONE) {
            return end;
        }
    }
    if (!x->fresh_only) {
        x->link = backend_link_reuse(x->target, id,
                                     x->replayable || x->scheme->ajp ? APR_INT64_MAX
                                                                     : RISKY_IDLE_MAX);
    }
    if (!x->link) {
        end = connect_await_room(x, id);
        if (end != BACKEND_END_NONE) {
            return end;
        }
    }
    x->reused = x->link->fd >= 0;
    if (x->reused && id) {
        backend_tls_resume(x->link->tls, x);
    }
    return x->reused ? BACKEND_END_NONE : connect_all(x);
}
