/* The head of the request that goes to an HTTP member. mod_proxy builds most of
 * it (Host, Via, X-Forwarded-*, its fixups hook); the framing and what concerns
 * this connection are ours. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

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

/* A proxy on the way needs to know where to. */
static char *head_path(backend_exchange_t *x)
{
    return x->remote_host && !x->scheme->tls ? apr_pstrdup(x->r->pool, x->member.url)
           : apr_pstrcat(x->r->pool, x->uri.path ? x->uri.path : "/",
                         x->uri.query ? "?" : "", x->uri.query ? x->uri.query : "",
                         x->uri.fragment ? "#" : "", x->uri.fragment, NULL);
}

int backend_http_head_make(backend_exchange_t *x)
{
    request_rec *r = x->r;
    proxy_worker *worker = x->member.worker;
    proxy_conn_rec *conn = apr_pcalloc(r->pool, sizeof(*conn));
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    char portstr[32] = "", *length, *coding;
    const char *creds = NULL;
    int rc;

    if (!ap_is_default_port(ap_get_server_port(r), r)) {
        apr_snprintf(portstr, sizeof(portstr), ":%d", ap_get_server_port(r));
    }
    conn->worker = worker;
    conn->hostname = x->uri.hostname;
    conn->port = x->uri.port;
    if (x->remote_host && x->scheme->tls) {
        /* What the proxy on the way asks for is not for the backend behind it. */
        creds = apr_table_get(r->notes, "proxy-basic-creds");
        apr_table_unset(r->notes, "proxy-basic-creds");
    }
    rc = ap_proxy_create_hdrbrgd(r->pool, bb, r, conn, worker, x->sconf, &x->uri,
                                 head_path(x),
                                 portstr, &length, &coding);
    if (creds) {
        apr_table_setn(r->notes, "proxy-basic-creds", creds);
    }
    if (rc != OK) {
        return rc;
    }
    x->head_close = x->head_close || conn->close; /* an environment variable */
    x->expects_100 = !x->force_1_0 && x->body.framing != BACKEND_BODY_NONE
                     && (apr_table_get(r->notes, "proxy-100-continue") != NULL
                         || PROXY_SHOULD_PING_100_CONTINUE(worker, r));
    head_flatten(x, bb, head_own_lines(x));
    apr_brigade_destroy(bb);
    return OK;
}
