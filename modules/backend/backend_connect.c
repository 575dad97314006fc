/* A link for an attempt: a kept one, or a new one to one address after the
 * other. */
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

/* Too slow only if none of the addresses gave an answer at all. */
static backend_end_e connect_failed(backend_exchange_t *x, int error)
{
    x->state.who = error == ETIMEDOUT ? 's' : 'S';
    /* EAGAIN: the queue of a unix socket is full; it is there and busy. */
    x->outcome = error == ETIMEDOUT ? USHER_OUTCOME_UNREACHABLE
                 : error == EAGAIN ? USHER_OUTCOME_LIMIT : USHER_OUTCOME_REFUSED;
    x->why = error == 0 ? backend_target_was_looked_up(x->target)
                          ? "its name is not known (a typing mistake, /etc/hosts or the name server)" : "its name could not be looked up in time"
             : error == ETIMEDOUT ? "it did not answer the connect"
             : apr_psprintf(x->r->pool, "it could not be connected to: %s", strerror(error));
    return BACKEND_END_NO_LINK;
}

/* One address. Waits until it is connected, or sets *error. */
static backend_end_e connect_one(backend_exchange_t *x,
                                         const backend_address_t *address, int *error)
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
    x->readable = 0;
    if (io == BACKEND_IO_DONE) {
        *error = 0;
    }
    else if (address->len && !(x->total_deadline && backend_now() >= x->total_deadline)) {
        backend_target_address_failed(x->target, address);
    }
    return BACKEND_END_NONE;
}

/* The addresses in list[from..to). *worst keeps what tells most. */
static backend_end_e connect_each(backend_exchange_t *x, int from, int to, int *worst)
{
    backend_end_e end;
    int error, i;

    for (i = from; i < to; ++i) {
        error = 0;
        end = connect_one(x, &x->addresses[i], &error);
        if (end != BACKEND_END_NONE) {
            return end;
        }
        if (!error) {
            *worst = 0;
            return BACKEND_END_NONE;
        }
        if (x->total_deadline && backend_now() >= x->total_deadline) {
            return backend_attempt_timed_out(x);
        }
        *worst = *worst && error == ETIMEDOUT ? *worst : error;
    }
    return BACKEND_END_NONE;
}

/* All addresses in turn, then those that the name has got meanwhile. */
static backend_end_e connect_all(backend_exchange_t *x)
{
    static const backend_address_t none;
    backend_end_e end;
    int error = 0, n = 1, more;

    if (x->target->uds_path) {
        x->addresses[0] = none;
    }
    else {
        n = backend_target_addresses(x->target, backend_connect_max(x), x->addresses);
    }
    end = connect_each(x, 0, n, &error);
    if (end == BACKEND_END_NONE && (error || !n)) {
        more = backend_target_refresh(x->target, x->addresses, n);
        if (!more) {
            return connect_failed(x, error);
        }
        end = connect_each(x, n, n + more, &error);
    }
    return end == BACKEND_END_NONE && error ? connect_failed(x, error) : end;
}

/* max= is reached: wait for a link to be given back, unless another member is
 * free for this request. */
static backend_end_e connect_await_room(backend_exchange_t *x)
{
    const proxy_worker *worker = x->member.worker;
    apr_time_t now = backend_now(), until = now;

    x->link = backend_link_new(x->target, 0, !x->fresh_only);
    if (!x->link && !backend_exchange_has_other(x)) {
        until += worker->s->acquire_set ? worker->s->acquire : backend_attempt_io_max(x);
    }
    while (!x->link && now < until) {
        x->link = backend_link_new(x->target, until - now < ROOM_INTERVAL ? until - now
                                                                         : ROOM_INTERVAL,
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
    backend_end_e end;

    x->reused = 0;
    if (!x->fresh_only) {
        x->link = backend_link_reuse(x->target, x->replayable || x->scheme->ajp ? APR_INT64_MAX : RISKY_IDLE_MAX);
    }
    if (!x->link) {
        end = connect_await_room(x);
        if (end != BACKEND_END_NONE) {
            return end;
        }
    }
    x->reused = x->link->fd >= 0;
    return x->reused ? BACKEND_END_NONE : connect_all(x);
}
