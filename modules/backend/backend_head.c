/* The head of the request that goes to a member: whose server that is, and what
 * holds for its head in both protocols. */
#include "usher_number.h"

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

    /* A tunnel through that proxy leads to one host only: not kept. */
    x->target = backend_target_get(r, &x->member, x->scheme, host, port, uds_path,
                                   !(x->remote_host && x->scheme->tls)
                                   && head_host_is_kept(x, host));
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

/* Nearly every URL is a host, a port, a path and a query, and no more: what
 * apr_uri_parse() does for the others costs more than all else here. */
static int head_uri_is_plain(backend_exchange_t *x)
{
    apr_pool_t *p = x->r->pool;
    const char *host = x->member.url + x->scheme->name_len + 3;
    const char *path = host + strcspn(host, "/?#@["), *query = ap_strchr_c(path, '?');
    char *name, *port;
    apr_uint64_t number = x->scheme->port;

    if (path == host || *path != '/' || ap_strchr_c(path, '#')) {
        return 0;
    }
    name = apr_pstrmemdup(p, host, (apr_size_t)(path - host));
    port = strchr(name, ':');
    if (port) {
        *port++ = '\0';
        if (usher_number_parse(&number, 65535, port, strlen(port)) != strlen(port) || !number) {
            return 0;
        }
    }
    x->uri = (apr_uri_t) {
        .hostname = name, .port_str = port, .port = (apr_port_t)number,
        .path = query ? apr_pstrmemdup(p, path, (apr_size_t)(query - path)) : (char *)path,
        .query = query ? (char *)query + 1 : NULL,
    };
    return 1;
}

static int head_uri(backend_exchange_t *x)
{
    request_rec *r = x->r;

    if (head_uri_is_plain(x)) {
        return OK;
    }
    if (apr_uri_parse(r->pool, x->member.url, &x->uri) != APR_SUCCESS || !x->uri.hostname) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(2010)
                      "the URL %s of a backend has no host, or cannot be understood",
                      x->member.url);
        return HTTP_BAD_REQUEST;
    }
    if (!x->uri.port) {
        x->uri.port = x->scheme->port;
    }
    return OK;
}

void backend_head_clear(apr_pool_t *p, apr_table_t *fields, const char *tokens, const char *kept)
{
    const char *token;

    while (*tokens) {
        if (*tokens == ',' || *tokens == ';') {
            ++tokens; /* elements may be empty */
            continue;
        }
        token = ap_get_token(p, &tokens, 0);
        if (ap_cstr_casecmp(token, kept) != 0) {
            apr_table_unset(fields, token);
        }
    }
}

apr_table_t *backend_head_fields(request_rec *r)
{
    const char *tokens = apr_table_get(r->headers_in, "Connection");
    apr_table_t *fields;

    if (!tokens) {
        return r->headers_in;
    }
    tokens = apr_table_getm(r->pool, r->headers_in, "Connection");
    if (backend_name_is(tokens, "keep-alive") || backend_name_is(tokens, "upgrade")) {
        return r->headers_in; /* nothing is named but what is never sent on */
    }
    fields = apr_table_copy(r->pool, r->headers_in);
    backend_head_clear(r->pool, fields, tokens, "Host"); /* no request is without it */
    return fields;
}

/* What asks for a connection of its own: a request within another one, one with
 * two lengths. */
static int head_wants_close(const backend_exchange_t *x)
{
    return x->target->transient || x->member.worker->s->disablereuse || x->body.both
           || (x->r->main && !x->r->kept_body);
}

int backend_head_make(backend_exchange_t *x)
{
    int rc = head_uri(x);

    if (rc == OK) {
        rc = head_target(x);
    }
    if (rc != OK) {
        return rc;
    }
    x->head_close = head_wants_close(x);
    return x->protocol->head(x);
}
