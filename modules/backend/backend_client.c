/* The client's connection while its request is with a backend: is the client
 * still there?
 *
 * HTTP/1: its socket is polled together with the backend's. What is readable
 * there once the request is read is the connection's end, or the next request;
 * a speculative read through the filters tells, with TLS too. HTTP/2: streams
 * have no socket of their own; mod_http2 sets c->aborted, and where it has a
 * pipe for the request's body that is polled. */
#include <apr_portable.h>
#include <http_ssl.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* A pipe to be polled for an HTTP/2 stream's body; -1 where there is none. */
static int client_pipe(conn_rec *c, apr_pool_t *p)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 129)
    apr_pollfd_t poll = { .p = p, .desc_type = APR_NO_DESC };
    apr_os_file_t file;

    if (ap_get_pollfd_from_conn(c, &poll, NULL) == APR_SUCCESS
        && poll.desc_type == APR_POLL_FILE
        && apr_os_file_get(&file, poll.desc.f) == APR_SUCCESS) {
        return file;
    }
#endif
    return -1;
}

void backend_client_begin(backend_exchange_t *x)
{
    conn_rec *c = x->r->connection;
    apr_socket_t *socket = c->master ? NULL : ap_get_conn_socket(c);
    apr_os_sock_t fd;

    x->client_fd = -1;
    if (socket && apr_os_sock_get(&fd, socket) == APR_SUCCESS) {
        x->client_fd = fd;
    }
    else if (c->master) {
        x->client_fd = client_pipe(c, x->r->pool);
    }
}

apr_bucket_brigade *backend_client_brigade(backend_exchange_t *x)
{
    if (!x->read_bb) {
        x->read_bb = apr_brigade_create(x->r->pool, x->r->connection->bucket_alloc);
    }
    return x->read_bb;
}

/* Whether a bare end of the client's sending side ends the request. */
static int client_fin_means_gone(const backend_exchange_t *x)
{
    request_rec *r = x->r;
    const char *tokens;

    if (x->conf->client_fin != BACKEND_FIN_AUTO) {
        return x->conf->client_fin == BACKEND_FIN_GONE;
    }
    tokens = apr_table_get(r->headers_in, "Connection");
    return r->proto_num >= HTTP_VERSION(1, 1)
           && !(tokens && ap_find_token(r->pool, tokens, "close"));
}

/* Look at what comes after the request, and leave it there. */
static apr_status_t client_peek(conn_rec *c, apr_bucket_brigade *bb)
{
    apr_status_t rv = ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE,
                                     APR_NONBLOCK_READ, 1);

    if (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(bb)) {
        rv = APR_EAGAIN;
    }
    apr_brigade_cleanup(bb);
    return rv;
}

static int client_is_tls(const backend_exchange_t *x)
{
    return ap_ssl_conn_is_ssl(x->r->connection);
}

/* With POLLIN or an end on an HTTP/1 socket. */
static int client_judge(backend_exchange_t *x, short revents)
{
    apr_status_t rv;

    if (revents & (POLLERR | POLLHUP | POLLNVAL)) {
        return 1;
    }
    /* More than one request's worth waits there: only its end tells more. */
    if (x->client_pipelined) {
        return client_fin_means_gone(x) || client_is_tls(x) ? 1 : (x->client_fin = 1, 0);
    }
    rv = client_peek(x->r->connection, backend_client_brigade(x));
    /* TIMEUP: mod_reqtimeout, which takes this for the request's body. */
    if (APR_STATUS_IS_EAGAIN(rv) || APR_STATUS_IS_TIMEUP(rv)) {
        return 0;
    }
    if (rv == APR_SUCCESS) {
        x->client_pipelined = 1;
        return 0;
    }
    if (!APR_STATUS_IS_EOF(rv) || client_is_tls(x) || client_fin_means_gone(x)) {
        return 1;
    }
    x->client_fin = 1;
    return 0;
}

int backend_client_check(backend_exchange_t *x, short revents)
{
    conn_rec *c = x->r->connection;

    if (c->aborted) {
        x->client_gone = 1;
    }
    else if (c->master) {
        if (revents & (POLLERR | POLLHUP | POLLNVAL)) {
            x->client_fd = -1; /* the pipe has ended; c->aborted tells the rest */
        }
    }
    else if (!x->body.eos) {
        /* Its reader finds a mere end. */
        x->client_gone = (revents & (POLLERR | POLLNVAL)) != 0;
    }
    else if (revents) {
        x->client_gone = client_judge(x, revents);
    }
    return x->client_gone;
}

int backend_client_is_gone(backend_exchange_t *x)
{
    conn_rec *c = x->r->connection;
    struct pollfd fd = { .fd = x->client_fd, .events = POLLRDHUP };

    if (!c->aborted && !c->master && x->client_fd >= 0 && poll(&fd, 1, 0) > 0) {
        return (fd.revents & (POLLERR | POLLHUP | POLLNVAL)) || client_is_tls(x)
               || client_fin_means_gone(x);
    }
    return c->aborted != 0;
}

int backend_client_wait(backend_exchange_t *x, apr_time_t until)
{
    struct pollfd fd = { .fd = x->client_fd, .events = POLLIN };
    apr_time_t now = backend_now();
    apr_interval_time_t most = x->client_fd < 0 ? BACKEND_BODY_INTERVAL : BACKEND_CLIENT_INTERVAL;

    if (x->total_deadline && x->total_deadline < until) {
        until = x->total_deadline;
    }
    if (until - now < most) {
        most = until > now ? until - now : 0;
    }
    if (poll(&fd, x->client_fd >= 0, (int)((most + 999) / 1000)) <= 0) {
        fd.revents = 0;
    }
    return backend_client_check(x, (short)(fd.revents & ~POLLIN));
}

short backend_client_events(const backend_exchange_t *x, int wants_body)
{
    if (x->client_fd < 0 || x->client_fin) {
        return 0; /* a reset is told in any case */
    }
    if (!x->body.eos) {
        return wants_body ? POLLIN : 0;
    }
    if (x->r->connection->master) {
        return 0;
    }
    return x->client_pipelined ? POLLRDHUP : POLLIN | POLLRDHUP;
}
