/* The head of the request that goes to a member. mod_proxy builds most of it
 * (Host, Via, X-Forwarded-*, its fixups hook); the framing and what concerns
 * this connection are ours. */
#include <http_ssl.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* A worker's own host: what is known of it is kept, even where its connections
 * are not (disablereuse=, which mod_proxy takes for an address that changes).
 * Other hosts come from the request (ProxyPassMatch with $1): a client chooses
 * them, so nothing is kept for them. */
static int head_host_is_kept(const backend_exchange_t *x, const char *host)
{
    static const unsigned char none[sizeof(x->member.id)];
    const proxy_worker *worker = x->member.worker;

    return (worker->s->is_address_reusable && x->remote_host)
           || *worker->s->uds_path || memcmp(x->member.id, none, sizeof(none)) != 0
           || ap_cstr_casecmp(host, worker->s->hostname_ex) == 0;
}

/* Where to connect: the URL's host, or the proxy that stands before it. */
static int head_target(backend_exchange_t *x)
{
    request_rec *r = x->r;
    proxy_worker *worker = x->member.worker;
    const char *uds_path = *worker->s->uds_path ? worker->s->uds_path
                                                : apr_table_get(r->notes, "uds_path");
    const char *host = x->remote_host ? x->remote_host : x->uri.hostname;
    apr_port_t port = x->remote_host ? x->remote_port : x->uri.port;
    apr_sockaddr_t *address = NULL;

    x->target = backend_target_get(r, &x->member, host, port, uds_path,
                                   head_host_is_kept(x, host));
    if (x->sconf->noproxies->nelts && !uds_path) {
        if (!x->remote_host) {
            apr_sockaddr_info_get(&address, host, APR_UNSPEC, port, 0, r->pool);
        }
        if (ap_proxy_checkproxyblock2(r, x->sconf, x->uri.hostname, address) != OK) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, USHERLOGNO(2009)
                          "refused: %s is blocked by ProxyBlock", x->uri.hostname);
            return HTTP_FORBIDDEN;
        }
    }
    return OK;
}

static int head_uri(backend_exchange_t *x, char **path)
{
    request_rec *r = x->r;

    if (apr_uri_parse(r->pool, x->member.url, &x->uri) != APR_SUCCESS || !x->uri.hostname) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(2010)
                      "the URL %s of a backend has no host, or cannot be understood",
                      x->member.url);
        return HTTP_BAD_REQUEST;
    }
    if (!x->uri.port) {
        x->uri.port = x->scheme->port;
    }
    /* A proxy on the way needs to know where to. */
    *path = x->remote_host ? apr_pstrdup(r->pool, x->member.url)
            : apr_pstrcat(r->pool, x->uri.path ? x->uri.path : "/",
                          x->uri.query ? "?" : "", x->uri.query ? x->uri.query : "",
                          x->uri.fragment ? "#" : "", x->uri.fragment, NULL);
    return OK;
}

/* The lines about the body and the connection, and the empty one. */
static const char *head_own_lines(backend_exchange_t *x)
{
    apr_pool_t *p = x->r->pool;
    const char *body = "", *connection = "";

    if (x->body.framing == BACKEND_BODY_CHUNKED) {
        body = "Transfer-Encoding: chunked" CRLF;
    }
    else if (x->body.framing == BACKEND_BODY_LENGTH) {
        body = apr_psprintf(p, "Content-Length: %" APR_OFF_T_FMT CRLF, x->body.length);
    }
    if (!x->force_1_0) {
        connection = x->upgrade
            ? apr_pstrcat(p, "Connection: Upgrade" CRLF "Upgrade: ", x->upgrade, CRLF, NULL)
            : x->head_close ? "Connection: close" CRLF : "Connection: Keep-Alive" CRLF;
    }
    return apr_pstrcat(p, body, connection, CRLF, NULL);
}

static void head_flatten(backend_exchange_t *x, apr_bucket_brigade *bb, const char *lines)
{
    apr_off_t len = 0;
    apr_size_t at, lines_len = strlen(lines);

    apr_brigade_length(bb, 1, &len);
    x->head = apr_palloc(x->r->pool, (apr_size_t)len + lines_len);
    at = (apr_size_t)len;
    apr_brigade_flatten(bb, x->head, &at);
    memcpy(x->head + at, lines, lines_len);
    x->head_len = at + lines_len;
}

int backend_head_make(backend_exchange_t *x)
{
    request_rec *r = x->r;
    proxy_worker *worker = x->member.worker;
    proxy_conn_rec *conn = apr_pcalloc(r->pool, sizeof(*conn));
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    char portstr[32] = "", *path, *length, *coding;
    int rc = head_uri(x, &path);

    if (rc == OK) {
        rc = head_target(x);
    }
    if (rc != OK) {
        return rc;
    }
    if (!ap_is_default_port(ap_get_server_port(r), r)) {
        apr_snprintf(portstr, sizeof(portstr), ":%d", ap_get_server_port(r));
    }
    conn->worker = worker;
    conn->hostname = x->uri.hostname;
    conn->port = x->uri.port;
    rc = ap_proxy_create_hdrbrgd(r->pool, bb, r, conn, worker, x->sconf, &x->uri, path,
                                 portstr, &length, &coding);
    if (rc != OK) {
        return rc;
    }
    /* What asks for a connection of its own: a request within another one,
     * one with two lengths, an environment variable (in conn->close). */
    x->head_close = conn->close || x->target->transient || worker->s->disablereuse
                    || x->body.both
                    || (r->main && !r->kept_body);
    x->expects_100 = !x->force_1_0 && x->body.framing != BACKEND_BODY_NONE
                     && (apr_table_get(r->notes, "proxy-100-continue") != NULL
                         || PROXY_SHOULD_PING_100_CONTINUE(worker, r));
    head_flatten(x, bb, head_own_lines(x));
    apr_brigade_destroy(bb);
    return OK;
}
