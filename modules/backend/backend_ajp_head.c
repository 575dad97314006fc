/* The head of the request that goes to an AJP container: one packet, with what is
 * known of the client beside its headers. */
#include <stdlib.h>

#include "usher_ajp.h"

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* Most heads fit into so much. */
#define FIRST_SIZE 4096

apr_size_t backend_ajp_packet_max(const backend_exchange_t *x)
{
    const proxy_worker *worker = x->member.worker;
    apr_size_t size = worker->s->io_buffer_size_set ? worker->s->io_buffer_size
                      : x->sconf->io_buffer_size_set ? x->sconf->io_buffer_size
                                                     : USHER_AJP_PACKET_DEFAULT;

    return size < USHER_AJP_PACKET_DEFAULT ? USHER_AJP_PACKET_DEFAULT
           : size > USHER_AJP_PACKET_MAX ? USHER_AJP_PACKET_MAX : APR_ALIGN(size, 1024);
}

apr_size_t backend_ajp_piece_max(const backend_exchange_t *x)
{
    return backend_ajp_packet_max(x) - USHER_AJP_BODY_FRAME;
}

/* Headers */

/* Those that concern only the client's connection, or that are ours to say. By the first
 * letter, as most are none of these. */
static int ajp_head_is_own(const char *name)
{
    switch (*name | 0x20) {
    case 'c':
        return backend_name_is(name, "Connection") || backend_name_is(name, "Content-Length");
    case 'e':
        return backend_name_is(name, "Expect");
    case 'k':
        return backend_name_is(name, "Keep-Alive");
    case 'p':
        return backend_name_is(name, "Proxy-Connection");
    case 't':
        return backend_name_is(name, "TE") || backend_name_is(name, "Trailer")
               || backend_name_is(name, "Transfer-Encoding");
    case 'u':
        return backend_name_is(name, "Upgrade");
    default:
        return 0;
    }
}

/* As ap_proxy_create_hdrbrgd() has it. */
static int ajp_head_hides(request_rec *r, const char *name)
{
    return (*name | 0x20) == 'p' && backend_name_is(name, "Proxy-Authorization") && r->user
           && !apr_table_get(r->subprocess_env, "Proxy-Chain-Auth");
}

/* The name that the member itself goes by. */
static const char *ajp_head_own_host(const backend_exchange_t *x)
{
    int ipv6 = ap_strchr_c(x->uri.hostname, ':') != NULL;
    int port = x->uri.port_str && x->uri.port != x->scheme->port;

    return apr_pstrcat(x->r->pool, ipv6 ? "[" : "", x->uri.hostname, ipv6 ? "]" : "",
                       port ? ":" : "", port ? x->uri.port_str : NULL, NULL);
}

/* @param fields  a copy of the client's */
static void ajp_head_forwarded(request_rec *r, apr_table_t *fields)
{
    const char *host = apr_table_get(r->headers_in, "Host");

    apr_table_mergen(fields, "X-Forwarded-For", r->useragent_ip);
    if (host) {
        apr_table_mergen(fields, "X-Forwarded-Host", host);
    }
    apr_table_mergen(fields, "X-Forwarded-Server", r->server->server_hostname);
}

/* The client's headers, as it sent them unless a directive asks for something else. */
static const apr_table_t *ajp_head_fields(backend_exchange_t *x)
{
    request_rec *r = x->r;
    int forwarded = x->dconf->add_forwarded_headers_set && x->dconf->add_forwarded_headers
                    && r->proxyreq == PROXYREQ_REVERSE;
    int own_host = x->dconf->preserve_host_set && !x->dconf->preserve_host;
    const char *via = backend_answer_via(x);
    apr_table_t *fields = backend_head_fields(r);

    if (fields == r->headers_in && (forwarded || own_host || x->sconf->viaopt != via_off)) {
        fields = apr_table_copy(r->pool, fields);
    }
    if (own_host) {
        apr_table_setn(fields, "Host", ajp_head_own_host(x));
    }
    if (forwarded) {
        ajp_head_forwarded(r, fields);
    }
    if (x->sconf->viaopt == via_block) {
        apr_table_unset(fields, "Via");
    }
    if (via) {
        apr_table_addn(fields, "Via", via);
    }
    return fields;
}

static void ajp_head_put_fields(backend_exchange_t *x, usher_ajp_writer_t *w,
                                const apr_table_t *table)
{
    request_rec *r = x->r;
    const apr_array_header_t *fields = apr_table_elts(table);
    apr_size_t count_at = w->len;
    unsigned int count = 0;
    int i;

    usher_ajp_put_int(w, 0);
    if (x->body.framing == BACKEND_BODY_LENGTH) {
        usher_ajp_put_field(w, "Content-Length", apr_off_t_toa(r->pool, x->body.length));
        ++count;
    }
    for (i = 0; i < fields->nelts; ++i) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(fields, i, apr_table_entry_t);

        if (!ajp_head_is_own(field->key) && !ajp_head_hides(r, field->key)) {
            usher_ajp_put_field(w, field->key, field->val);
            ++count;
        }
    }
    if (!w->overflow) {
        w->buf[count_at] = (char)(count >> 8);
        w->buf[count_at + 1] = (char)count;
    }
}

/* Attributes */

static void ajp_head_put(usher_ajp_writer_t *w, usher_ajp_attribute_e code, const char *value)
{
    if (value && *value) {
        usher_ajp_put_attribute(w, code, value);
    }
}

/* The client's certificate and, where it is exported, the chain that came with it. */
static const char *ajp_head_certificates(request_rec *r)
{
    const char *all = ap_proxy_ssl_val(r->pool, r->server, r->connection, r, "SSL_CLIENT_CERT");
    const char *next;
    int i;

    for (i = 0; all && *all; ++i) {
        next = apr_table_get(r->subprocess_env,
                             apr_psprintf(r->pool, "SSL_CLIENT_CERT_CHAIN_%d", i));
        if (!next || !*next) {
            break;
        }
        all = apr_pstrcat(r->pool, all, next, NULL);
    }
    return all;
}

static void ajp_head_put_tls(request_rec *r, usher_ajp_writer_t *w)
{
    conn_rec *c = r->connection;
    const char *size;

    ajp_head_put(w, USHER_AJP_SSL_CERT, ajp_head_certificates(r));
    ajp_head_put(w, USHER_AJP_SSL_CIPHER,
                 ap_proxy_ssl_val(r->pool, r->server, c, r, "SSL_CIPHER"));
    ajp_head_put(w, USHER_AJP_SSL_SESSION,
                 ap_proxy_ssl_val(r->pool, r->server, c, r, "SSL_SESSION_ID"));
    size = ap_proxy_ssl_val(r->pool, r->server, c, r, "SSL_CIPHER_USEKEYSIZE");
    if (size && *size) {
        usher_ajp_put_byte(w, USHER_AJP_SSL_KEY_SIZE);
        usher_ajp_put_int(w, (unsigned int)strtoul(size, NULL, 10) & 0xFFFF);
    }
}

/* How a balancer's member stands, for Tomcat's LoadBalancerDrainingValve. */
static const char *ajp_head_activation(const backend_exchange_t *x)
{
    unsigned int status = x->member.worker->s->status;

    return status & (PROXY_WORKER_STOPPED | PROXY_WORKER_IN_SHUTDOWN) ? "STP"
           : status & (PROXY_WORKER_DISABLED | PROXY_WORKER_DRAIN) ? "DIS" : "ACT";
}

static void ajp_head_put_named(const backend_exchange_t *x, usher_ajp_writer_t *w, int tls)
{
    request_rec *r = x->r;
    const apr_array_header_t *env = apr_table_elts(r->subprocess_env);
    const char *protocol;
    int i;

    if (tls) {
        protocol = ap_proxy_ssl_val(r->pool, r->server, r->connection, r, "SSL_PROTOCOL");
        if (protocol && *protocol) {
            usher_ajp_put_named(w, "AJP_SSL_PROTOCOL", protocol);
        }
    }
    usher_ajp_put_named(w, "AJP_REMOTE_PORT", apr_itoa(r->pool, r->useragent_addr->port));
    usher_ajp_put_named(w, "AJP_LOCAL_ADDR", r->connection->local_ip);
    if (apr_table_get(r->subprocess_env, "BALANCER_NAME")
        && !apr_table_get(r->subprocess_env, "AJP_JK_LB_ACTIVATION")) {
        usher_ajp_put_named(w, "JK_LB_ACTIVATION", ajp_head_activation(x));
    }
    for (i = 0; i < env->nelts; ++i) {
        const apr_table_entry_t *entry = &APR_ARRAY_IDX(env, i, apr_table_entry_t);

        if (*entry->key == 'A' && !strncmp(entry->key, "AJP_", 4)) {
            usher_ajp_put_named(w, entry->key + 4, entry->val);
        }
    }
}

static void ajp_head_put_attributes(const backend_exchange_t *x, usher_ajp_writer_t *w,
                                    unsigned int method, int tls)
{
    request_rec *r = x->r;

    ajp_head_put(w, USHER_AJP_SECRET, x->member.worker->s->secret);
    if (r->user) {
        usher_ajp_put_attribute(w, USHER_AJP_REMOTE_USER, r->user);
    }
    if (r->ap_auth_type) {
        usher_ajp_put_attribute(w, USHER_AJP_AUTH_TYPE, r->ap_auth_type);
    }
    if (x->uri.query) {
        usher_ajp_put_attribute(w, USHER_AJP_QUERY_STRING, x->uri.query);
    }
    ajp_head_put(w, USHER_AJP_ROUTE, apr_table_get(r->notes, "session-route"));
    if (tls) {
        ajp_head_put_tls(r, w);
    }
    if (method == USHER_AJP_METHOD_OTHER) {
        usher_ajp_put_attribute(w, USHER_AJP_METHOD, r->method);
    }
    ajp_head_put_named(x, w, tls);
    usher_ajp_put_byte(w, USHER_AJP_ATTRIBUTES_END);
}

/* The whole */

static int ajp_head_write(backend_exchange_t *x, usher_ajp_writer_t *w, const apr_table_t *fields)
{
    request_rec *r = x->r;
    unsigned int method = usher_ajp_method(r->method);
    int tls = ap_proxy_conn_is_https(r->connection) != 0;

    usher_ajp_put_byte(w, USHER_AJP_FORWARD);
    usher_ajp_put_byte(w, method);
    usher_ajp_put_string(w, r->protocol);
    usher_ajp_put_string(w, x->uri.path ? x->uri.path : "/");
    usher_ajp_put_string(w, r->useragent_ip);
    usher_ajp_put_string(w, ap_get_useragent_host(r, REMOTE_HOST, NULL));
    usher_ajp_put_string(w, ap_get_server_name(r));
    usher_ajp_put_int(w, r->connection->local_addr->port);
    usher_ajp_put_byte(w, (unsigned int)tls);
    ajp_head_put_fields(x, w, fields);
    ajp_head_put_attributes(x, w, method, tls);
    return usher_ajp_end(w);
}

/* The client's fault, or the configuration's; no member's. */
static int ajp_head_too_large(const backend_exchange_t *x, apr_size_t max)
{
    request_rec *r = x->r;
    int by_url = strlen(r->unparsed_uri) > max / 2;

    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, USHERLOGNO(2025)
                  "refused: %s of the request do not fit an AJP packet of %" APR_SIZE_T_FMT
                  " bytes. ProxyIOBufferSize or iobuffersize= makes it larger, up to 65536, "
                  "with the same packetSize at Tomcat's connector",
                  by_url ? "the URL and headers" : "the headers", max);
    return by_url ? HTTP_REQUEST_URI_TOO_LARGE : HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
}

int backend_ajp_head_make(backend_exchange_t *x)
{
    const apr_table_t *fields = ajp_head_fields(x);
    apr_size_t max = backend_ajp_packet_max(x), size = FIRST_SIZE;
    usher_ajp_writer_t w;

    x->expects_100 = 0;
    if (apr_table_get(x->r->subprocess_env, "proxy-nokeepalive")) {
        x->head_close = 1;
    }
    for (;;) {
        usher_ajp_begin(&w, apr_palloc(x->r->pool, size), size);
        if (ajp_head_write(x, &w, fields)) {
            x->head = w.buf;
            x->head_len = w.len;
            return OK;
        }
        if (size == max) {
            return ajp_head_too_large(x, max);
        }
        size = size * 4 < max ? size * 4 : max;
    }
}
