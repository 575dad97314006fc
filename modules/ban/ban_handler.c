/* The handler usher-ban: paths, methods, the body, the answer.
 *
 * Who may see it is a matter of Require; what changes something is signed. A path counts as the
 * client wrote it: what has to be decoded or merged before it means anything here means nothing. */
#include <http_protocol.h>
#include <http_request.h>

#include "ban_handler.h"

APLOG_USE_MODULE(usher_ban);

#define HANDLER "usher-ban"
#define SEGMENT "/bans"

static const usher_guard_spec_t spec = {
    .handler = HANDLER,
    .what = "the bans are",
    .reason = "shows addresses",
};

static usher_guard_t *guard; /* NULL: there is no core, nobody is let in */
static APR_OPTIONAL_FN_TYPE(usher_signed_by) *signed_by;

int ban_handler_check_config(server_rec *s)
{
    guard = NULL;
    signed_by = APR_RETRIEVE_OPTIONAL_FN(usher_signed_by);
    return ban_core->guard_check(&guard, &spec, s);
}

void ban_refuse(ban_call_t *call, int status, const char *code, const char *message)
{
    call->status = status;
    call->code = code;
    call->message = message;
}

/* What is behind the last "/bans", as the client wrote it: "" or "/192.0.2.0/24". @return NULL: there
 * is none, it is about L itself */
static const char *handler_rest(const request_rec *r)
{
    const char *found = NULL, *at = r->uri;

    while ((at = ap_strstr_c(at, SEGMENT))) {
        at += sizeof(SEGMENT) - 1;
        found = *at == '/' || !*at ? at : found;
    }
    return found && !strcmp(found, "/") ? "" : found;
}

/* The path as the client wrote it, decoded, and merged is one and the same. */
static int handler_is_plain(const request_rec *r)
{
    apr_size_t len = strlen(r->uri);

    return r->unparsed_uri && !strncmp(r->unparsed_uri, r->uri, len)
           && (!r->unparsed_uri[len] || r->unparsed_uri[len] == '?');
}

/* A prefix, or one address. */
static int handler_prefix(ban_call_t *call, const char *text)
{
    if (ban_prefix_parse(&call->prefix, text, strlen(text))) {
        return 1;
    }
    ban_refuse(call, HTTP_BAD_REQUEST, "bad-value",
               "behind bans/ is an address, or a prefix whose other bits are zero, of at least /8 (IPv6: /16): "
               "192.0.2.7, 192.0.2.0/24, 2001:db8::/64");
    return 0;
}

/* @return 1; 0: refused, or *rc is for httpd to answer */
static int handler_read(ban_call_t *call, int *rc)
{
    request_rec *r = call->r;
    char *body = apr_palloc(r->pool, BAN_BODY_MAX + 1);
    long got = 0;

    call->body = body;
    *rc = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);
    if (*rc != OK) {
        return 0;
    }
    if (ap_should_client_block(r)) {
        while (call->len <= BAN_BODY_MAX
               && (got = ap_get_client_block(r, body + call->len, BAN_BODY_MAX + 1 - call->len)) > 0) {
            call->len += (apr_size_t)got;
        }
    }
    if (got < 0) {
        *rc = HTTP_BAD_REQUEST;
    }
    else if (call->len > BAN_BODY_MAX) {
        ban_refuse(call, HTTP_REQUEST_ENTITY_TOO_LARGE, "body-too-large", "a body has 1 KiB at most");
    }
    return *rc == OK && !call->code;
}

/* A page of another site, in the browser of somebody with a certificate: what changes something is
 * never asked for by a browser. */
static int handler_is_foreign(const request_rec *r)
{
    return apr_table_get(r->headers_in, "Origin") || apr_table_get(r->headers_in, "Sec-Fetch-Site");
}

/* Whether it is signed by somebody who may. */
static int handler_may(ban_call_t *call)
{
    if (!signed_by) {
        ban_refuse(call, HTTP_SERVICE_UNAVAILABLE, "no-keys",
                   "changes are signed with keys of mod_usher_register (UsherRegisterKeys), which is not loaded");
        return 0;
    }
    signed_by(call->r, call->body, call->len, &call->by);
    if (call->by.status != OK) {
        ban_refuse(call, call->by.status, call->by.code, call->by.message);
        return 0;
    }
    if (!call->by.may_ban) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, call->r, USHERLOGNO(8085)
                      "usher-ban: %s may not ban or free anybody: \"bans\" in its UsherRegisterPolicy would allow it",
                      ap_escape_logitem(call->r->pool, call->by.who));
        ban_refuse(call, HTTP_FORBIDDEN, "forbidden-bans", "the policy of your key does not have \"bans\"");
        return 0;
    }
    return 1;
}

static void handler_change(ban_call_t *call, int *rc)
{
    if (handler_is_foreign(call->r)) {
        *rc = HTTP_FORBIDDEN;
        return;
    }
    if (handler_read(call, rc) && handler_may(call)) {
        (call->r->method_number == M_PUT ? ban_hand_add : ban_hand_remove)(call);
    }
}

/* @return OK; else httpd answers by itself */
static int handler_run(ban_call_t *call)
{
    request_rec *r = call->r;
    const char *rest = handler_rest(r);
    int is_one = rest && *rest, rc = OK;

    r->allowed = AP_METHOD_BIT << M_GET;
    if (is_one) {
        r->allowed |= AP_METHOD_BIT << M_PUT | AP_METHOD_BIT << M_DELETE;
    }
    if (!(r->allowed & AP_METHOD_BIT << r->method_number)) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    if (!handler_is_plain(r)) {
        ban_refuse(call, HTTP_NOT_FOUND, "unknown-path", "a path is written without percent-encoding and dots");
    }
    else if (is_one && !handler_prefix(call, rest + 1)) {
        return OK;
    }
    else if (r->method_number != M_GET) {
        handler_change(call, &rc);
    }
    else {
        (is_one ? ban_json_explain : rest ? ban_json_list : ban_json_counts)(call);
    }
    return rc;
}

static void handler_head(request_rec *r)
{
    ap_set_content_type(r, "application/json");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
}

static void handler_send(ban_call_t *call)
{
    request_rec *r = call->r;
    char *text;

    if (call->code) {
        call->answer = json_pack("{s:{s:s, s:s}}", "error", "code", call->code, "message", call->message);
        if (call->status == HTTP_UNAUTHORIZED) {
            apr_table_setn(r->headers_out, "WWW-Authenticate", "Signature");
        }
        if (call->status == HTTP_SERVICE_UNAVAILABLE) {
            apr_table_setn(r->headers_out, "Retry-After", "5");
        }
    }
    r->status = call->status;
    text = call->answer ? json_dumps(call->answer, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    if (text && !r->header_only) {
        ap_rputs(text, r);
        ap_rputs("\n", r);
    }
    free(text);
    json_decref(call->answer);
}

int ban_handler(request_rec *r)
{
    ban_call_t *call;
    int rc;

    if (!r->handler || ap_cstr_casecmp(r->handler, HANDLER) != 0) {
        return DECLINED;
    }
    if (!guard || !ban_core->guard_admits(guard, r) || !ban_core->guard_knows_host(guard, r)) {
        return HTTP_FORBIDDEN;
    }
    call = apr_pcalloc(r->pool, sizeof(*call));
    call->r = r;
    call->status = HTTP_OK;
    handler_head(r);
    rc = handler_run(call);
    if (rc == OK) {
        handler_send(call);
    }
    return rc;
}
