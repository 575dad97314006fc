/* The head of the request that goes to an HTTP member, written in one piece and in
 * one pass over the client's fields. What it says is what mod_proxy says
 * (ap_proxy_create_hdrbrgd), which makes a table, a text and a bucket of each field
 * for it; where a module has a hook on that, mod_proxy does it. */
#include <apu.h>
#include <apr_optional_hooks.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* Most heads fit into so much. */
#define FIRST_SIZE 1024

/* Modules have hooks on it. Set before the child has threads. */
static int head_is_hooked;

void backend_http_head_child_init(void)
{
    const apr_array_header_t *hooks = apr_optional_hook_get("fixups"); /* mod_proxy's */

    head_is_hooked = hooks && hooks->nelts;
}

/* A text that grows. */
typedef struct {
    apr_pool_t *p;
    char *buf;
    apr_size_t len;
    apr_size_t size;
} head_text_t;

static void head_grow(head_text_t *text, apr_size_t n)
{
    char *buf;

    text->size = (text->len + n) * 2;
    buf = apr_palloc(text->p, text->size);
    if (text->len) {
        memcpy(buf, text->buf, text->len);
    }
    text->buf = buf;
}

static inline void head_put(head_text_t *text, const char *part, apr_size_t n)
{
    if (!n) {
        return;
    }
    if (n > text->size - text->len) {
        head_grow(text, n);
    }
    memcpy(text->buf + text->len, part, n);
    text->len += n;
}

#define HEAD_PUT(text, literal) head_put(text, literal, sizeof(literal) - 1)

static void head_put_text(head_text_t *text, const char *part)
{
    head_put(text, part, strlen(part));
}

/* What becomes of a client's field. */
typedef enum {
    FIELD_VIA, /* those up to FIELD_ADDED_LEN get something added, in this order */
    FIELD_EXPECT,
    FIELD_FORWARDED_FOR,
    FIELD_FORWARDED_HOST,
    FIELD_FORWARDED_SERVER,
    FIELD_AUTHORIZATION,
    FIELD_ADDED_LEN,
    FIELD_PLAIN = FIELD_ADDED_LEN,
    FIELD_CONDITION, /* dropped from requests within another one */
    FIELD_DROPPED
} head_field_e;

static const char *const head_names[FIELD_ADDED_LEN] = {
    "Via", "Expect", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server",
    "Proxy-Authorization"
};

typedef struct {
    const char *add[FIELD_ADDED_LEN]; /* NULL: nothing, or it was added */
    unsigned int drop;                /* bits of head_field_e */
    const apr_table_t *fields;        /* the client's, without those that Connection names */
} head_plan_t;

/* By its length, as most are none of these. */
static head_field_e head_field(const char *name, apr_size_t len)
{
    switch (len) {
    case 2:
        return backend_name_is(name, "TE") ? FIELD_DROPPED : FIELD_PLAIN;
    case 3:
        return backend_name_is(name, "Via") ? FIELD_VIA : FIELD_PLAIN;
    case 4:
        return backend_name_is(name, "Host") ? FIELD_DROPPED : FIELD_PLAIN; /* it goes first */
    case 6:
        return backend_name_is(name, "Expect") ? FIELD_EXPECT : FIELD_PLAIN;
    case 7:
        return backend_name_is(name, "Upgrade") || backend_name_is(name, "Trailer")
                   ? FIELD_DROPPED : FIELD_PLAIN;
    case 8:
        return backend_name_is(name, "If-Match") || backend_name_is(name, "If-Range")
                   ? FIELD_CONDITION : FIELD_PLAIN;
    case 10:
        return backend_name_is(name, "Connection") || backend_name_is(name, "Keep-Alive")
                   ? FIELD_DROPPED : FIELD_PLAIN;
    case 13:
        return backend_name_is(name, "If-None-Match") ? FIELD_CONDITION : FIELD_PLAIN;
    case 14:
        return backend_name_is(name, "Content-Length") ? FIELD_DROPPED : FIELD_PLAIN;
    case 15:
        return backend_name_is(name, "X-Forwarded-For") ? FIELD_FORWARDED_FOR : FIELD_PLAIN;
    case 16:
        return backend_name_is(name, "X-Forwarded-Host") ? FIELD_FORWARDED_HOST
               : backend_name_is(name, "Proxy-Connection") ? FIELD_DROPPED : FIELD_PLAIN;
    case 17:
        return backend_name_is(name, "Transfer-Encoding") ? FIELD_DROPPED
               : backend_name_is(name, "If-Modified-Since") ? FIELD_CONDITION : FIELD_PLAIN;
    case 18:
        return backend_name_is(name, "X-Forwarded-Server") ? FIELD_FORWARDED_SERVER : FIELD_PLAIN;
    case 19:
        return backend_name_is(name, "Proxy-Authorization") ? FIELD_AUTHORIZATION
               : backend_name_is(name, "If-Unmodified-Since") ? FIELD_CONDITION : FIELD_PLAIN;
    default:
        return FIELD_PLAIN;
    }
}

/* What it wants of the client's Expect; NULL: nothing is to be added. */
static const char *head_expect(apr_pool_t *p, const apr_table_t *fields)
{
    const char *said = apr_table_get(fields, "Expect");

    return said && (backend_name_is(said, "100-Continue") || ap_find_token(p, said, "100-Continue"))
               ? NULL : "100-Continue";
}

static void head_plan(const backend_exchange_t *x, int asks_100, const char *creds,
                      head_plan_t *plan)
{
    request_rec *r = x->r;

    memset(plan, 0, sizeof(*plan));
    plan->fields = backend_head_fields(r);
    plan->add[FIELD_VIA] = backend_answer_via(x);
    if (asks_100) {
        plan->add[FIELD_EXPECT] = head_expect(r->pool, plan->fields);
    }
    if (x->dconf->add_forwarded_headers && r->proxyreq == PROXYREQ_REVERSE) {
        plan->add[FIELD_FORWARDED_FOR] = r->useragent_ip;
        plan->add[FIELD_FORWARDED_HOST] = apr_table_get(r->headers_in, "Host");
        plan->add[FIELD_FORWARDED_SERVER] = r->server->server_hostname;
    }
    plan->add[FIELD_AUTHORIZATION] = creds;
    plan->drop = 1 << FIELD_DROPPED | (x->sconf->viaopt == via_block) << FIELD_VIA
                 | !asks_100 << FIELD_EXPECT | (r->main != NULL) << FIELD_CONDITION
                 | (r->user && !apr_table_get(r->subprocess_env, "Proxy-Chain-Auth"))
                       << FIELD_AUTHORIZATION;
}

static void head_put_fields(head_text_t *text, head_plan_t *plan)
{
    const apr_array_header_t *fields = apr_table_elts(plan->fields);
    const apr_table_entry_t *field = (const apr_table_entry_t *)fields->elts;
    const apr_table_entry_t *end = field + fields->nelts;
    int i;

    for (; field < end; ++field) {
        apr_size_t len = field->key && field->val ? strlen(field->key) : 0;
        head_field_e kind = len ? head_field(field->key, len) : FIELD_DROPPED;

        if (plan->drop >> kind & 1) {
            continue;
        }
        head_put(text, field->key, len);
        HEAD_PUT(text, ": ");
        head_put_text(text, field->val);
        if (kind < FIELD_ADDED_LEN && plan->add[kind]) {
            HEAD_PUT(text, ", ");
            head_put_text(text, plan->add[kind]);
            plan->add[kind] = NULL;
        }
        HEAD_PUT(text, CRLF);
    }
    for (i = 0; i < FIELD_ADDED_LEN; ++i) {
        if (plan->add[i]) {
            head_put_text(text, head_names[i]);
            HEAD_PUT(text, ": ");
            head_put_text(text, plan->add[i]);
            HEAD_PUT(text, CRLF);
        }
    }
}

/* A proxy on the way needs to know where to. */
static void head_put_path(const backend_exchange_t *x, head_text_t *text)
{
    if (x->remote_host && !x->scheme->tls) {
        head_put_text(text, x->member.url);
        return;
    }
    head_put_text(text, x->uri.path ? x->uri.path : "/");
    if (x->uri.query) {
        HEAD_PUT(text, "?");
        head_put_text(text, x->uri.query);
    }
    if (x->uri.fragment) {
        HEAD_PUT(text, "#");
        head_put_text(text, x->uri.fragment);
    }
}

static void head_put_host(const backend_exchange_t *x, head_text_t *text)
{
    request_rec *r = x->r;
    const char *host = x->dconf->preserve_host ? apr_table_get(r->headers_in, "Host") : NULL;

    HEAD_PUT(text, "Host: ");
    if (x->dconf->preserve_host) {
        head_put_text(text, host ? host : r->server->server_hostname);
    }
    else if (ap_strchr_c(x->uri.hostname, ':')) {
        HEAD_PUT(text, "["); /* IPv6 */
        head_put_text(text, x->uri.hostname);
        HEAD_PUT(text, "]");
    }
    else {
        head_put_text(text, x->uri.hostname);
    }
    if (!x->dconf->preserve_host && x->uri.port_str && x->uri.port != DEFAULT_HTTP_PORT) {
        HEAD_PUT(text, ":");
        head_put_text(text, x->uri.port_str);
    }
    HEAD_PUT(text, CRLF);
}

/* The lines about the body and the connection, and the empty one. */
static void head_put_own(const backend_exchange_t *x, head_text_t *text)
{
    if (x->body.framing == BACKEND_BODY_CHUNKED) {
        HEAD_PUT(text, "Transfer-Encoding: chunked" CRLF);
    }
    else if (x->body.framing == BACKEND_BODY_LENGTH) {
        HEAD_PUT(text, "Content-Length: ");
        head_put_text(text, apr_off_t_toa(x->r->pool, x->body.length));
        HEAD_PUT(text, CRLF);
    }
    if (x->force_1_0) {
        /* nothing: it closes */
    }
    else if (x->upgrade) {
        HEAD_PUT(text, "Connection: Upgrade" CRLF "Upgrade: ");
        head_put_text(text, x->upgrade);
        HEAD_PUT(text, CRLF);
    }
    else if (x->head_close) {
        HEAD_PUT(text, "Connection: close" CRLF);
    }
    else {
        HEAD_PUT(text, "Connection: Keep-Alive" CRLF);
    }
    HEAD_PUT(text, CRLF);
}

/* All but the own lines, by mod_proxy. */
static int head_by_mod_proxy(const backend_exchange_t *x, head_text_t *text)
{
    request_rec *r = x->r;
    proxy_worker *worker = x->member.worker;
    proxy_conn_rec *conn = apr_pcalloc(r->pool, sizeof(*conn));
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    char *length, *coding, *lines;
    head_text_t path = { .p = r->pool };
    apr_uri_t uri = x->uri;
    apr_size_t len;
    int rc;

    conn->worker = worker;
    conn->hostname = x->uri.hostname;
    conn->port = x->uri.port;
    head_put_path(x, &path);
    head_put(&path, "", 1);
    rc = ap_proxy_create_hdrbrgd(r->pool, bb, r, conn, worker, x->sconf, &uri, path.buf,
                                 apr_pstrdup(r->pool, backend_answer_port(r)), &length, &coding);
    if (rc == OK) {
        apr_brigade_pflatten(bb, &lines, &len, r->pool);
        head_put(text, lines, len);
    }
    apr_brigade_destroy(bb);
    return rc;
}

static void head_by_ourselves(const backend_exchange_t *x, int asks_100, const char *creds,
                              head_text_t *text)
{
    head_plan_t plan;

    head_plan(x, asks_100, creds, &plan);
    head_put_text(text, x->r->method);
    HEAD_PUT(text, " ");
    head_put_path(x, text);
    if (x->force_1_0) {
        HEAD_PUT(text, " HTTP/1.0" CRLF);
    }
    else {
        HEAD_PUT(text, " HTTP/1.1" CRLF);
    }
    head_put_host(x, text);
    head_put_fields(text, &plan);
}

int backend_http_head_make(backend_exchange_t *x)
{
    request_rec *r = x->r;
    const char *creds = apr_table_get(r->notes, "proxy-basic-creds");
    int asks_100 = !x->force_1_0 && (apr_table_get(r->notes, "proxy-100-continue")
                                     || PROXY_SHOULD_PING_100_CONTINUE(x->member.worker, r));
    /* What the proxy on the way asks for is not for the backend behind it. */
    int hides_creds = creds && x->remote_host && x->scheme->tls, rc = OK;
    head_text_t text = { .p = r->pool, .buf = apr_palloc(r->pool, FIRST_SIZE), .size = FIRST_SIZE };

    if (head_is_hooked) {
        if (hides_creds) {
            apr_table_unset(r->notes, "proxy-basic-creds");
        }
        rc = head_by_mod_proxy(x, &text);
        if (hides_creds) {
            apr_table_setn(r->notes, "proxy-basic-creds", creds);
        }
    }
    else {
        head_by_ourselves(x, asks_100, hides_creds ? NULL : creds, &text);
    }
    if (x->force_1_0 || apr_table_get(r->subprocess_env, "proxy-nokeepalive")) {
        x->head_close = 1;
    }
    x->expects_100 = asks_100 && x->body.framing != BACKEND_BODY_NONE;
    head_put_own(x, &text);
    x->head = text.buf;
    x->head_len = text.len;
    return rc;
}
