/* The handler usher-register: paths, methods, the body, the answer.
 *
 * A path counts as the client wrote it: what has to be decoded, merged or mapped before it
 * means anything here means nothing. A body is read before it is known who asks, as the
 * signature is over it; it is short, and nothing is held meanwhile. */
#include <http_protocol.h>
#include <http_request.h>
#include <openssl/crypto.h>

#include "register_member.h"

APLOG_USE_MODULE(usher_register);

#define HANDLER "usher-register"

static const usher_guard_spec_t spec = {
    .handler = HANDLER,
    .what = "the registration is",
    .reason = "lets servers into clusters",
};

/* A <Location> with the handler. */
typedef struct {
    const ap_expr_info_t *handler; /* of its SetHandler: tells requests of it */
    const char *path;              /* without a slash at its end; NULL: no plain path */
} handler_place_t;

static usher_guard_t *guard;
static apr_array_header_t *places; /* handler_place_t; in pconf */

/* A path, what may be done there, and by which method. */
typedef struct {
    int parts;        /* segments behind L */
    const char *last; /* of PARTS_MAX the last; NULL: any */
    int method;
    int has_body;
    register_verb_t *run;
} handler_route_t;

static const handler_route_t routes[] = {
    { 0, NULL, M_GET, 0, register_show_counts },
    { 1, NULL, M_GET, 0, register_show_list },
    { 3, NULL, M_GET, 0, register_show_member },
    { 3, NULL, M_PUT, 1, register_member_put },
    { 3, NULL, M_DELETE, 0, register_member_delete },
    { 4, "heartbeat", M_POST, 1, register_member_heartbeat },
    { 4, "drain", M_POST, 1, register_member_drain },
};

#define ROUTES (sizeof(routes) / sizeof(routes[0]))
#define PARTS_MAX 4

static void handler_learn(apr_pool_t *p, server_rec *s)
{
    for (; s; s = s->next) {
        const core_server_config *conf = ap_get_core_module_config(s->module_config);
        ap_conf_vector_t **sections = (ap_conf_vector_t **)conf->sec_url->elts;
        int i;

        for (i = 0; i < conf->sec_url->nelts; ++i) {
            const core_dir_config *section = ap_get_core_module_config(sections[i]);
            apr_size_t len = section->d ? strlen(section->d) : 0;

            if (section->expr_handler) {
                APR_ARRAY_PUSH(places, handler_place_t) = (handler_place_t) {
                    section->expr_handler, section->r || section->d_is_fnmatch || !len ? NULL
                        : apr_pstrmemdup(p, section->d, len - (section->d[len - 1] == '/')) };
            }
        }
    }
}

int register_handler_check_config(usher_guard_t **guarded, server_rec *s)
{
    int rc = register_core->guard_check(&guard, &spec, s);

    *guarded = guard;
    places = apr_array_make(s->process->pconf, 4, sizeof(handler_place_t));
    handler_learn(s->process->pconf, s);
    return rc;
}

/* L; NULL: it has none. */
static const char *handler_base(request_rec *r)
{
    const core_dir_config *merged = ap_get_core_module_config(r->per_dir_config);
    int i;

    for (i = 0; i < places->nelts; ++i) {
        const handler_place_t *place = &APR_ARRAY_IDX(places, i, handler_place_t);

        if (place->handler == merged->expr_handler) {
            return place->path;
        }
    }
    return NULL;
}

/* The path as the client wrote it, without its query; NULL: no path. */
static const char *handler_raw_path(request_rec *r)
{
    const char *path = r->unparsed_uri ? r->unparsed_uri : "";
    const char *authority = ap_strstr_c(path, "://");

    if (*path != '/' && authority) {
        path = ap_strchr_c(authority + 3, '/');
    }
    return path && *path == '/' ? apr_pstrmemdup(r->pool, path, strcspn(path, "?")) : NULL;
}

/* Segments behind L, if it is all plain. @return how many; -1: it is not */
static int handler_split(request_rec *r, const char *parts[PARTS_MAX])
{
    const char *base = handler_base(r), *path = handler_raw_path(r);
    apr_size_t len = base ? strlen(base) : 0;
    char *at, *slash;
    int n = 0;

    if (!base || !path || strcmp(path, r->uri) != 0 || strncmp(path, base, len) != 0) {
        return -1;
    }
    for (at = apr_pstrdup(r->pool, path + len); *at == '/' && at[1]; at = slash) {
        slash = at + 1 + strcspn(at + 1, "/");
        if (n == PARTS_MAX) {
            return -1;
        }
        parts[n] = apr_pstrmemdup(r->pool, at + 1, (apr_size_t)(slash - at - 1));
        if (!register_name_is_cluster(parts[n], strlen(parts[n]))) {
            return -1;
        }
        ++n;
    }
    return !*at || (!n && !strcmp(at, "/")) ? n : -1;
}

static int handler_fits(const handler_route_t *route, const char *const parts[], int n)
{
    return n == route->parts && (!n || !strcmp(parts[0], "members"))
           && (!route->last || !strcmp(parts[PARTS_MAX - 1], route->last));
}

/* Which verb it is. @return NULL: error, of the call */
static const handler_route_t *handler_route(register_call_t *call)
{
    request_rec *r = call->r;
    const char *parts[PARTS_MAX] = { "", "", "", "" };
    int n = handler_split(r, parts);
    apr_size_t i;

    r->allowed = 0;
    for (i = 0; i < ROUTES; ++i) {
        if (!handler_fits(&routes[i], parts, n)) {
            continue;
        }
        r->allowed |= AP_METHOD_BIT << routes[i].method;
        if (routes[i].method == r->method_number) {
            call->cluster = n > 2 ? parts[1] : NULL;
            call->route = n > 2 ? parts[2] : NULL;
            return &routes[i];
        }
    }
    if (!r->allowed) {
        register_refuse(call, HTTP_NOT_FOUND, "unknown-path", "there is members, "
                        "members/{cluster}/{route}, and behind that heartbeat and drain; without "
                        "percent-encoding, empty segments or dots");
        return NULL;
    }
    register_refuse(call, HTTP_METHOD_NOT_ALLOWED, "wrong-method", "Allow tells which are right");
    return NULL;
}

static int handler_too_large(register_call_t *call)
{
    return register_refuse(call, HTTP_REQUEST_ENTITY_TOO_LARGE, "body-too-large",
                           "a body has 16 KiB at most");
}

/* @return 1; 0: error; where that has no status, httpd answers by itself with *rc */
static int handler_read(register_call_t *call, int *rc)
{
    request_rec *r = call->r;
    char *body = apr_palloc(r->pool, REGISTER_BODY_MAX + 1);
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_size_t len;
    int seen_end = 0;

    call->body = body;
    *rc = OK;
    while (!seen_end) {
        apr_status_t rv = ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_BLOCK_READ,
                                         REGISTER_BODY_MAX + 1 - call->len);

        if (rv != APR_SUCCESS) {
            *rc = ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
            return 0;
        }
        seen_end = APR_BRIGADE_EMPTY(bb) || APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb));
        len = REGISTER_BODY_MAX + 1 - call->len;
        if (apr_brigade_flatten(bb, body + call->len, &len) != APR_SUCCESS) {
            *rc = HTTP_BAD_REQUEST;
            return 0;
        }
        call->len += len;
        apr_brigade_cleanup(bb);
        if (call->len > REGISTER_BODY_MAX) {
            return handler_too_large(call);
        }
    }
    return 1;
}

static int handler_is_json(request_rec *r)
{
    static const char json[] = "application/json";
    const char *type = apr_table_get(r->headers_in, "Content-Type");

    return type && !ap_cstr_casecmpn(type, json, sizeof(json) - 1)
           && (!type[sizeof(json) - 1] || strchr("; \t", type[sizeof(json) - 1]));
}

static int handler_may_have_body(register_call_t *call, const handler_route_t *route)
{
    if (!route->has_body) {
        return register_refuse(call, HTTP_BAD_REQUEST, "bad-value", "this request has no body");
    }
    return handler_is_json(call->r)
           || register_refuse(call, HTTP_UNSUPPORTED_MEDIA_TYPE, "wrong-type",
                              "a body is Content-Type: application/json");
}

/* A body's length and type are looked at before it is read: then it is not asked for. HTTP/2 need
 * not announce one. */
static int handler_body(register_call_t *call, const handler_route_t *route, int *rc)
{
    request_rec *r = call->r;
    const char *length = apr_table_get(r->headers_in, "Content-Length");
    int comes = apr_table_get(r->headers_in, "Transfer-Encoding")
                || (length && strcmp(length, "0") != 0);
    apr_off_t size;

    call->body = "";
    if (!comes && (length || r->proto_num < HTTP_VERSION(2, 0))) {
        return 1;
    }
    if (length && (!ap_parse_strict_length(&size, length) || size > REGISTER_BODY_MAX)) {
        return handler_too_large(call);
    }
    if ((comes && !handler_may_have_body(call, route)) || !handler_read(call, rc)) {
        return 0;
    }
    return !call->len || handler_may_have_body(call, route);
}

/* A page of another site, in the browser of somebody with a certificate: what changes
 * something is never asked for by a browser. */
static int handler_is_foreign(request_rec *r)
{
    return r->method_number != M_GET && (apr_table_get(r->headers_in, "Origin")
                                         || apr_table_get(r->headers_in, "Sec-Fetch-Site"));
}

/* @return the status; 0: error */
static int handler_run(register_call_t *call, const handler_route_t *route)
{
    int status;

    if (register_auth(call->r, call->body, call->len, &call->who, &call->error) != OK) {
        return 0;
    }
    if (call->cluster && !register_name_is_route(call->route, strlen(call->route))) {
        status = register_refuse(call, HTTP_BAD_REQUEST, "bad-value",
                                 "a route is 1 to 63 of A-Z a-z 0-9 . _ -");
    }
    else {
        status = route->run(call);
    }
    if (!status && call->is_conflict) { /* once */
        call->is_conflict = 0;
        status = route->run(call);
    }
    if (!status) {
        register_failures_log(call->r, call->who.name, &call->error);
    }
    if (call->who.nonce_key && !call->is_kept) {
        register_nonce_tell(&call->who);
    }
    return status;
}

static void handler_send(request_rec *r, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    if (text) {
        ap_set_content_type(r, "application/json");
        if (!r->header_only) {
            ap_rputs(text, r);
            ap_rputs("\n", r);
        }
    }
    free(text);
    json_decref(json);
}

static void handler_refuse(register_call_t *call)
{
    request_rec *r = call->r;

    r->status = call->error.status;
    register_count(REGISTER_COUNT_REFUSED);
    if (r->status == HTTP_METHOD_NOT_ALLOWED) {
        apr_table_setn(r->headers_out, "Allow",
                       r->allowed & AP_METHOD_BIT << M_PUT ? "GET, HEAD, PUT, DELETE"
                       : r->allowed & AP_METHOD_BIT << M_POST ? "POST" : "GET, HEAD");
    }
    if (r->status == HTTP_UNAUTHORIZED) {
        apr_table_setn(r->headers_out, "WWW-Authenticate", "Signature");
    }
    if ((r->status == HTTP_SERVICE_UNAVAILABLE || call->is_conflict)
        && !apr_table_get(r->headers_out, "Retry-After")) {
        apr_table_setn(r->headers_out, "Retry-After", call->is_conflict ? "1" : "5");
    }
    handler_send(r, json_pack("{s:{s:s, s:s}}", "error", "code", call->error.code, "message",
                              register_audit_text(r->pool, call->error.message)));
}

int register_handler(request_rec *r)
{
    register_call_t *call;
    const handler_route_t *route;
    int rc = OK, status = 0;

    if (!r->handler || ap_cstr_casecmp(r->handler, HANDLER) != 0) {
        return DECLINED;
    }
    if (!guard || !register_core->guard_admits(guard, r) || handler_is_foreign(r)) {
        return HTTP_FORBIDDEN;
    }
    call = apr_pcalloc(r->pool, sizeof(*call));
    call->r = r;
    route = handler_route(call);
    if (route && handler_body(call, route, &rc)) {
        status = handler_run(call, route);
        OPENSSL_cleanse((char *)call->body, call->len); /* there may be a secret in it */
    }
    if (rc != OK) {
        return rc;
    }
    if (!status) {
        handler_refuse(call);
        return OK;
    }
    r->status = status;
    handler_send(r, call->answer);
    return OK;
}
