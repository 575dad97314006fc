/* The client's side of a tunnel: httpd's connection filters. */
#include <apr_portable.h>
#include <http_ssl.h>

#include "backend_tunnel.h"

void backend_tunnel_filters(request_rec *r)
{
    conn_rec *c = r->connection;

    /* It holds back small writes, to make larger records of them. */
    ap_remove_output_filter_byhandle(c->output_filters, "SSL/TLS Coalescing Filter");
    /* It would take a tunnel for a request that is slow to come. */
    ap_remove_input_filter_byhandle(c->input_filters, "reqtimeout");
    r->input_filters = r->proto_input_filters = c->input_filters;
    r->output_filters = r->proto_output_filters = c->output_filters;
    c->keepalive = AP_CONN_CLOSE;
}

int backend_tunnel_is_cut_off(const backend_tunnel_t *t)
{
    apr_os_sock_t fd = -1;

    return t->socket && (apr_os_sock_get(&fd, t->socket) != APR_SUCCESS
                         || fd != t->x->client_fd);
}

backend_tunnel_end_e backend_tunnel_client_broke(backend_tunnel_t *t, apr_status_t rv)
{
    char text[120];

    if (backend_tunnel_is_cut_off(t)) {
        return BACKEND_TUNNEL_STOPPED;
    }
    if (APR_STATUS_IS_TIMEUP(rv)) {
        t->client_full = 1;
        return BACKEND_TUNNEL_IDLE; /* HTTP/2: no window for so long */
    }
    t->error = t->c->master || rv == APR_SUCCESS || rv == APR_ECONNABORTED
                   ? "its connection or stream was reset"
                   : apr_pstrdup(t->x->r->pool, apr_strerror(rv, text, sizeof(text)));
    return BACKEND_TUNNEL_CLIENT_BROKE;
}

/* What MPMs do in the same case. */
backend_tunnel_end_e backend_tunnel_push(backend_tunnel_t *t)
{
    ap_filter_t *last = t->c->output_filters;
    apr_status_t rv;

    while (last->next) {
        last = last->next;
    }
    rv = last->frec->filter_func.out_func(last, NULL);
    t->client_full = t->c->data_in_output_filters;
    return rv == APR_SUCCESS && !t->c->aborted ? BACKEND_TUNNEL_GOES_ON
                                               : backend_tunnel_client_broke(t, rv);
}

backend_tunnel_end_e backend_tunnel_pass(backend_tunnel_t *t)
{
    apr_status_t rv;

    if (t->c->master) { /* else it waits for more before it sends */
        APR_BRIGADE_INSERT_TAIL(t->down, apr_bucket_flush_create(t->c->bucket_alloc));
    }
    rv = ap_pass_brigade(t->c->output_filters, t->down);
    apr_brigade_cleanup(t->down);
    if (rv != APR_SUCCESS || t->c->aborted) {
        return backend_tunnel_client_broke(t, rv);
    }
    return backend_tunnel_push(t);
}

/* Keep what has bytes. The end of a request is none of the stream's: mod_http2
 * says one where the request had no body. But it says that once. */
static void tunnel_take(backend_tunnel_t *t, apr_bucket_brigade *bb)
{
    apr_bucket *e, *next;
    int data = 0, mark = 0;

    for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb); e = next) {
        next = APR_BUCKET_NEXT(e);
        if (APR_BUCKET_IS_METADATA(e)) {
            mark = 1;
            apr_bucket_delete(e);
        }
        else if (e->length) {
            data = 1;
            t->up_len += e->length;
            apr_bucket_setaside(e, t->x->r->pool); /* mod_ssl lends its buffer */
        }
    }
    t->client_ended = mark && !data && t->marked;
    t->marked = mark && !data;
    if (!data && !mark) {
        t->client_ready = 0;
    }
    APR_BRIGADE_CONCAT(t->up, bb);
}

backend_tunnel_end_e backend_tunnel_read(backend_tunnel_t *t)
{
    apr_bucket_brigade *bb = backend_client_brigade(t->x);
    apr_status_t rv;

    while (t->client_ready && !t->client_ended && t->up_len < t->piece) {
        rv = ap_get_brigade(t->c->input_filters, bb, AP_MODE_READBYTES, APR_NONBLOCK_READ,
                            (apr_off_t)(t->piece - t->up_len));
        if (rv == APR_SUCCESS) {
            tunnel_take(t, bb);
        }
        else if (APR_STATUS_IS_EAGAIN(rv)) {
            t->client_ready = 0;
        }
        else if (APR_STATUS_IS_EOF(rv)) {
            t->client_ended = 1;
        }
        apr_brigade_cleanup(bb);
        if (t->c->aborted || (rv != APR_SUCCESS && t->client_ready && !t->client_ended)) {
            return backend_tunnel_client_broke(t, rv);
        }
    }
    return BACKEND_TUNNEL_GOES_ON;
}

/* Only a bare TCP connection can be closed halfway: in TLS before 1.3 the other
 * half ends with it, httpd cannot send its close_notify and go on reading, and
 * mod_http2 resets a stream that was ended before its client has. */
backend_tunnel_end_e backend_tunnel_shut(backend_tunnel_t *t)
{
    if (!t->socket || ap_ssl_conn_is_ssl(t->c)) {
        return BACKEND_TUNNEL_OVER;
    }
    if (!backend_tunnel_is_cut_off(t)) {
        apr_socket_shutdown(t->socket, APR_SHUTDOWN_WRITE);
    }
    t->client_shut = 1;
    return BACKEND_TUNNEL_GOES_ON;
}
