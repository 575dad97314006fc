/* After 101 Switching Protocols: bytes go both ways until both sides have ended.
 *
 * Neither side ever waits for the other one: what was read from one is all that
 * is held for the other, a piece in each direction, and as long as that has not
 * gone nothing more is read. The client's side goes through httpd's connection
 * filters (TLS); what they hold back is pushed when the socket takes more, never
 * flushed, as that would block. An HTTP/2 stream has a pipe that tells of input;
 * its output goes to mod_http2, which does block while the stream's window is
 * closed. */
#include <http_core.h>
#include <http_ssl.h>

#include "backend_tunnel.h"

APLOG_USE_MODULE(usher_backend);

/* What is read at once, and so held in each direction. The core's output filter
 * blocks when it holds more than FlushMaxThreshold (64 KB), TLS added. */
#define PIECE 32768
/* After so many bytes the other direction has a turn. */
#define TURN_MAX ((apr_size_t)262144)
/* A child that ends at once closes the clients' sockets beneath those who serve
 * them; that wakes nobody up who polls, so look now and then. */
#define LOOK_INTERVAL APR_USEC_PER_SEC
/* How long mod_http2 has, in milliseconds, to say that a stream that ended was reset. */
#define RESET_TOLD 20

/* The greater of both sides' time-outs, as mod_proxy_http has it. */
static apr_interval_time_t tunnel_idle_max(const backend_exchange_t *x)
{
    apr_interval_time_t backend = backend_attempt_io_max(x), client = x->r->server->timeout;

    return backend > client ? backend : client;
}

/* From the client to the backend */

/* Bytes of t->up that lie in memory, to be sent at once. */
static int tunnel_gather(backend_tunnel_t *t, struct iovec iov[BACKEND_PIECES_MAX],
                         apr_status_t *rv)
{
    apr_bucket *e = APR_BRIGADE_FIRST(t->up), *next;
    const char *data;
    apr_size_t len;
    int n = 0;

    for (*rv = APR_SUCCESS; e != APR_BRIGADE_SENTINEL(t->up) && n < BACKEND_PIECES_MAX; e = next) {
        *rv = apr_bucket_read(e, &data, &len, APR_BLOCK_READ);
        if (*rv != APR_SUCCESS) {
            return 0;
        }
        next = APR_BUCKET_NEXT(e);
        if (len) {
            iov[n].iov_base = (char *)data;
            iov[n++].iov_len = len;
        }
        else {
            apr_bucket_delete(e);
        }
    }
    return n;
}

static void tunnel_sent(backend_tunnel_t *t, apr_size_t n)
{
    apr_bucket *e;

    t->x->bytes_out += (apr_off_t)n;
    t->up_len -= n;
    while (n) {
        e = APR_BRIGADE_FIRST(t->up);
        if (n < e->length) {
            apr_bucket_split(e, n);
        }
        n -= e->length;
        apr_bucket_delete(e);
    }
}

/* The backend takes no more; what it says is still of use. */
static void tunnel_link_is_deaf(backend_tunnel_t *t, int error)
{
    t->error = apr_pstrdup(t->x->r->pool,
                           backend_tls_strerror(t->x->link, error, t->x->r->pool));
    t->link_deaf = t->link_shut = t->client_ended = 1;
    t->link_ready = 1;
    apr_brigade_cleanup(t->up);
    t->up_len = 0;
}

/* The client's end goes on once all before it has. A backend that cannot be told of
 * it any more has lost nothing by that: what it said last tells how it ended. */
static void tunnel_end_up(backend_tunnel_t *t)
{
    int error = 0;

    switch (backend_link_shutdown(t->x->link, &error)) {
    case BACKEND_IO_AGAIN:
        break;
    case BACKEND_IO_FAILED:
        t->link_ready = 1;
        t->link_shut = 1;
        break;
    default:
        t->link_shut = 1;
    }
}

static backend_tunnel_end_e tunnel_up(backend_tunnel_t *t, int *moved)
{
    struct iovec iov[BACKEND_PIECES_MAX];
    backend_tunnel_end_e end = BACKEND_TUNNEL_GOES_ON;
    apr_status_t rv;
    apr_size_t n, turn;
    int len, error = 0;

    for (turn = 0; turn < TURN_MAX && !t->link_shut; turn += n) {
        end = backend_tunnel_read(t);
        if (end != BACKEND_TUNNEL_GOES_ON || !t->up_len) {
            break;
        }
        len = tunnel_gather(t, iov, &rv);
        if (!len) {
            return backend_tunnel_client_broke(t, rv);
        }
        switch (backend_link_send(t->x->link, iov, len, &n, &error)) {
        case BACKEND_IO_DONE:
            tunnel_sent(t, n);
            *moved = 1;
            break;
        case BACKEND_IO_AGAIN:
            return BACKEND_TUNNEL_GOES_ON;
        default:
            tunnel_link_is_deaf(t, error);
        }
    }
    if (end == BACKEND_TUNNEL_GOES_ON && t->client_ended && !t->up_len && !t->link_shut) {
        tunnel_end_up(t);
    }
    return end;
}

/* From the backend to the client */

/* What came with the head goes first. */
static backend_io_e tunnel_recv(backend_tunnel_t *t, char *buf, apr_size_t *len, int *error)
{
    backend_exchange_t *x = t->x;
    backend_io_e io = BACKEND_IO_DONE;

    if (x->in_len) {
        *len = x->in_len < t->piece ? x->in_len : t->piece;
        memcpy(buf, x->in, *len);
        x->in_len -= *len;
        memmove(x->in, x->in + *len, x->in_len);
    }
    else {
        io = backend_link_recv(x->link, buf, t->piece, len, error);
        x->bytes_in += (apr_off_t)*len;
        t->link_ready = backend_link_has_more(x->link, t->piece, *len) || t->link_hup;
    }
    return io;
}

/* A read of the link into t->down. */
static backend_tunnel_end_e tunnel_read_link(backend_tunnel_t *t, apr_size_t *len)
{
    backend_exchange_t *x = t->x;
    char *buf = apr_bucket_alloc(t->piece, t->c->bucket_alloc);
    int error = 0;
    backend_io_e io = tunnel_recv(t, buf, len, &error);

    if (io == BACKEND_IO_DONE) {
        APR_BRIGADE_INSERT_TAIL(t->down, apr_bucket_heap_create(buf, *len, apr_bucket_free,
                                                                t->c->bucket_alloc));
        return BACKEND_TUNNEL_GOES_ON;
    }
    apr_bucket_free(buf);
    *len = 0;
    if (io == BACKEND_IO_AGAIN) {
        t->link_ready = 0;
    }
    else if (io == BACKEND_IO_EOF && !t->link_deaf) {
        t->link_ended = 1;
    }
    else {
        t->error = t->link_deaf ? t->error
                   : apr_pstrdup(x->r->pool, backend_tls_strerror(x->link, error, x->r->pool));
        return BACKEND_TUNNEL_BACKEND_BROKE;
    }
    return BACKEND_TUNNEL_GOES_ON;
}

static backend_tunnel_end_e tunnel_down(backend_tunnel_t *t, int *moved)
{
    backend_tunnel_end_e end = t->client_full ? backend_tunnel_push(t) : BACKEND_TUNNEL_GOES_ON;
    apr_size_t n, turn;

    for (turn = 0; end == BACKEND_TUNNEL_GOES_ON && turn < TURN_MAX; turn += n) {
        if (t->client_full || !t->link_ready || t->link_ended) {
            break;
        }
        end = tunnel_read_link(t, &n);
        if (n) {
            *moved = 1;
            end = backend_tunnel_pass(t);
        }
    }
    if (end == BACKEND_TUNNEL_GOES_ON && t->link_ended && !t->client_full && !t->client_shut) {
        end = backend_tunnel_shut(t);
    }
    return end;
}

/* Waiting */

/* One direction had its turn, and there is more to be read. */
static int tunnel_has_more(const backend_tunnel_t *t)
{
    return (t->link_ready && !t->link_ended && !t->client_full)
           || (t->client_ready && !t->client_ended && !t->up_len);
}

static int tunnel_poll_time(const backend_tunnel_t *t)
{
    apr_interval_time_t left = t->moved_at + t->idle_max - backend_now();
    apr_interval_time_t look = t->c->master ? BACKEND_CLIENT_INTERVAL : LOOK_INTERVAL;

    left = left < look ? left : look;
    return left > 0 && !tunnel_has_more(t) ? (int)((left + 999) / 1000) : 0;
}

/* With nothing to be asked a broken connection still tells so. One that has
 * told it would do so again and again: it is not asked any more. */
static void tunnel_poll_fds(const backend_tunnel_t *t, struct pollfd fds[2])
{
    fds[0].fd = t->link_hup ? -1 : t->x->link->fd;
    fds[0].events = (short)((t->link_ready || t->link_ended || t->client_full ? 0 : POLLIN)
                            | (t->up_len || (t->client_ended && !t->link_shut) ? POLLOUT : 0));
    fds[1].fd = t->client_hup ? -1 : t->x->client_fd;
    fds[1].events = (short)((t->client_ready || t->client_ended || t->up_len ? 0 : POLLIN)
                            | (t->client_full && t->socket ? POLLOUT : 0));
    fds[0].revents = fds[1].revents = 0;
}

/* The client's connection was reset. What it sent before still goes on, as far as
 * the backend takes it. */
static backend_tunnel_end_e tunnel_last_words(backend_tunnel_t *t)
{
    backend_tunnel_end_e end;
    int moved;

    t->client_ready = 1;
    end = tunnel_up(t, &moved);
    return end == BACKEND_TUNNEL_GOES_ON ? backend_tunnel_client_broke(t, APR_SUCCESS) : end;
}

static backend_tunnel_end_e tunnel_wait(backend_tunnel_t *t)
{
    struct pollfd fds[2];

    tunnel_poll_fds(t, fds);
    if (poll(fds, 2, tunnel_poll_time(t)) < 0) {
        fds[0].revents = fds[1].revents = 0; /* a signal */
    }
    if (backend_stop_is_due() || backend_tunnel_is_cut_off(t)) {
        return BACKEND_TUNNEL_STOPPED;
    }
    if (t->c->aborted || (t->socket && fds[1].revents & (POLLERR | POLLNVAL))) {
        return tunnel_last_words(t);
    }
    if (t->client_full && fds[1].revents & POLLOUT) {
        t->moved_at = backend_now(); /* it took some */
    }
    t->link_hup = t->link_hup || (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL));
    t->client_hup = t->client_hup || (fds[1].revents & (POLLHUP | POLLERR | POLLNVAL));
    t->link_ready = t->link_ready || fds[0].revents & POLLIN || t->link_hup;
    t->client_ready = t->client_ready || fds[1].revents & POLLIN || t->client_hup;
    return BACKEND_TUNNEL_GOES_ON;
}

/* The whole */

static int tunnel_is_over(const backend_tunnel_t *t)
{
    return t->no_half ? (t->link_shut && !t->link_deaf) || (t->link_ended && !t->client_full)
                      : t->link_ended && t->link_shut && !t->client_full;
}

/* mod_http2 ends the input of a stream that is reset as one that its client has ended, and
 * tells of the reset a moment later, from the thread of its connection. */
static int tunnel_was_reset(const backend_tunnel_t *t)
{
    int ms;

    for (ms = 0; t->c->master && t->client_ended && !t->c->aborted && ms < RESET_TOLD; ++ms) {
        poll(NULL, 0, 1);
    }
    return t->c->master && t->c->aborted;
}

/* One round: what can be done, and whether there is more to be done at once. */
static backend_tunnel_end_e tunnel_round(backend_tunnel_t *t, int *moved)
{
    backend_tunnel_end_e end = tunnel_up(t, moved);

    if (end == BACKEND_TUNNEL_GOES_ON) {
        end = tunnel_down(t, moved);
    }
    end = end == BACKEND_TUNNEL_GOES_ON && tunnel_is_over(t) ? BACKEND_TUNNEL_OVER : end;
    return end == BACKEND_TUNNEL_OVER && tunnel_was_reset(t)
               ? backend_tunnel_client_broke(t, APR_ECONNABORTED) : end;
}

static backend_tunnel_end_e tunnel_loop(backend_tunnel_t *t)
{
    backend_tunnel_end_e end;
    int moved;

    for (;;) {
        moved = 0;
        end = tunnel_round(t, &moved);
        if (end != BACKEND_TUNNEL_GOES_ON) {
            return end;
        }
        if (moved) {
            t->moved_at = backend_now();
        }
        else if (backend_now() - t->moved_at >= t->idle_max) {
            return BACKEND_TUNNEL_IDLE;
        }
        end = tunnel_wait(t);
        if (end != BACKEND_TUNNEL_GOES_ON) {
            return end;
        }
    }
}

static void tunnel_begin(backend_tunnel_t *t, backend_exchange_t *x)
{
    conn_rec *c = x->r->connection;
    core_server_config *core = ap_get_core_module_config(c->base_server->module_config);

    memset(t, 0, sizeof(*t));
    t->x = x;
    t->c = c;
    t->socket = c->master ? NULL : ap_get_conn_socket(c);
    t->piece = core->flush_max_threshold / 2 < PIECE ? core->flush_max_threshold / 2 + 1 : PIECE;
    t->idle_max = tunnel_idle_max(x);
    t->moved_at = backend_now();
    t->no_half = apr_table_get(x->r->subprocess_env, "proxy-nohalfclose") != NULL;
    t->up = apr_brigade_create(x->r->pool, c->bucket_alloc);
    t->down = apr_brigade_create(x->r->pool, c->bucket_alloc);
    /* What came behind the heads is in the filters, or in TLS. */
    t->client_ready = t->link_ready = 1;
}

static void tunnel_log(const backend_tunnel_t *t, backend_tunnel_end_e end)
{
    request_rec *r = t->x->r;
    const char *url = t->x->member.url, *upgrade = t->x->upgrade;
    int ms = (int)apr_time_as_msec(t->idle_max);

    if (end == BACKEND_TUNNEL_CLIENT_BROKE) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(2040)
                      "%s: the client broke the tunnel (%s): %s", url, upgrade, t->error);
    }
    else if (end == BACKEND_TUNNEL_BACKEND_BROKE) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(2041)
                      "%s: the backend broke the tunnel (%s): %s", url, upgrade, t->error);
    }
    else if (end == BACKEND_TUNNEL_STOPPED) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(2042)
                      "%s: httpd stops, so the tunnel (%s) was closed", url, upgrade);
    }
    else if (end == BACKEND_TUNNEL_IDLE && t->client_full) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(2043)
                      "%s: the client took nothing of what came through the tunnel (%s) for %d "
                      "ms: closed", url, upgrade, ms);
    }
    else if (end == BACKEND_TUNNEL_IDLE) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(2021)
                      "%s: nothing went through the tunnel (%s) for %d ms: closed. Raise "
                      "timeout= of the backend for longer silences", url, upgrade, ms);
    }
}

/* Tell who ended it, and leave the client's connection as it deserves. */
static void tunnel_finish(backend_tunnel_t *t, backend_tunnel_end_e end)
{
    backend_exchange_t *x = t->x;

    tunnel_log(t, end);
    switch (end) {
    case BACKEND_TUNNEL_IDLE:
        x->state.who = t->client_full ? 'c' : 's';
        t->c->aborted = t->c->aborted || t->client_full; /* nobody waits for it again */
        break;
    case BACKEND_TUNNEL_CLIENT_BROKE:
    case BACKEND_TUNNEL_STOPPED:
        x->state.who = end == BACKEND_TUNNEL_STOPPED ? 'P' : 'C';
        t->c->aborted = 1;
        if (t->up_len) { /* it would not learn of an end behind what it does not take */
            backend_link_abort(x->link);
            x->link = NULL;
        }
        break;
    case BACKEND_TUNNEL_BACKEND_BROKE:
        x->state.who = 'S';
        if (t->c->master) {
            backend_relay_break(x); /* the stream can be reset behind its last bytes */
        }
        else if (ap_ssl_conn_is_ssl(t->c)) {
            t->c->aborted = 1; /* no close_notify: it is no end in good order */
        }
        break;
    default:
        break;
    }
    apr_brigade_destroy(t->up);
    apr_brigade_destroy(t->down);
}

backend_end_e backend_tunnel_run(backend_exchange_t *x)
{
    backend_tunnel_t t;

    x->passed = 1;
    x->link_close = 1;
    ap_send_interim_response(x->r, 1);
    backend_tunnel_filters(x->r);
    tunnel_begin(&t, x);
    backend_stop_is_due(); /* from now on */
    tunnel_finish(&t, tunnel_loop(&t));
    return BACKEND_END_UPGRADED;
}
