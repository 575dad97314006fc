/* After 101 Switching Protocols: bytes go both ways until one side ends.
 * mod_proxy's tunnel does it; it wants a conn_rec for the backend's side. */
#include <apr_portable.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* What the backend has said already behind its head goes first. */
static apr_status_t tunnel_pass_rest(backend_exchange_t *x)
{
    conn_rec *c = x->r->connection;
    apr_bucket_brigade *bb;
    apr_status_t rv;

    if (!x->in_len) {
        return APR_SUCCESS;
    }
    bb = apr_brigade_create(x->r->pool, c->bucket_alloc);
    apr_brigade_write(bb, NULL, NULL, x->in, x->in_len);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(c->bucket_alloc));
    rv = ap_pass_brigade(c->output_filters, bb);
    apr_brigade_destroy(bb);
    x->in_len = 0;
    return rv;
}

/* The greater of both sides' time-outs, as mod_proxy_http has it. */
static apr_interval_time_t tunnel_timeout(const backend_exchange_t *x)
{
    const proxy_worker *worker = x->member.worker;
    apr_interval_time_t backend = worker->s->timeout_set ? worker->s->timeout
                                  : x->sconf->timeout_set ? x->sconf->timeout
                                                          : x->r->server->timeout;

    return backend > x->r->server->timeout ? backend : x->r->server->timeout;
}

static apr_status_t tunnel_origin(backend_exchange_t *x, apr_pool_t *p, conn_rec **origin)
{
    proxy_conn_rec *conn = apr_pcalloc(p, sizeof(*conn));
    apr_os_sock_t fd = x->link->fd;
    apr_status_t rv = apr_os_sock_put(&conn->sock, &fd, p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_socket_addr_get(&conn->addr, APR_REMOTE, conn->sock);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_socket_timeout_set(conn->sock, tunnel_timeout(x));
    conn->worker = x->member.worker;
    conn->hostname = x->target->host;
    conn->pool = conn->scpool = p;
    if (ap_proxy_connection_create_ex("USHER", conn, x->r) != OK) {
        return APR_EGENERAL;
    }
    *origin = conn->connection;
    return APR_SUCCESS;
}

backend_end_e backend_tunnel_run(backend_exchange_t *x)
{
    request_rec *r = x->r;
    proxy_tunnel_rec *tunnel;
    conn_rec *origin = NULL;
    apr_status_t rv;
    apr_pool_t *p;

    x->passed = 1;
    ap_send_interim_response(r, 1);
    rv = tunnel_pass_rest(x);
    if (rv != APR_SUCCESS) {
        x->client_gone = 1;
        x->state.who = 'C';
        x->why = "the client went away";
        return BACKEND_END_CLIENT;
    }
    apr_pool_create(&p, r->pool);
    rv = tunnel_origin(x, p, &origin);
    if (rv == APR_SUCCESS) {
        rv = ap_proxy_tunnel_create(&tunnel, r, origin, x->upgrade);
    }
    if (rv == APR_SUCCESS) {
        tunnel->timeout = tunnel_timeout(x);
        if (ap_proxy_tunnel_run(tunnel) == HTTP_GATEWAY_TIME_OUT) {
            x->state.who = 's';
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(2021)
                          "%s: neither side of the tunnel (%s) said anything for %d seconds: "
                          "closed. Raise timeout= of the backend for longer silences",
                          x->member.url, x->upgrade, (int)apr_time_sec(tunnel->timeout));
        }
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r, USHERLOGNO(2013)
                      "%s: no tunnel could be made for the protocol %s; the "
                      "connection is closed", x->member.url, x->upgrade);
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    apr_pool_destroy(p);
    x->link_close = 1;
    return BACKEND_END_UPGRADED;
}
