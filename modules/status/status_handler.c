/* The handler: which form of the status is asked for, and GET, HEAD or POST. */
#include <http_protocol.h>
#include <http_request.h>
#include <util_script.h>

#include "status_private.h"
#include "usher_status_text.h"

APLOG_USE_MODULE(usher_status);

static apr_status_t handler_free(void *model)
{
    json_decref(model);
    return APR_SUCCESS;
}

/* ?format=json or ?format=text, else what Accept names. */
static int handler_wants_json(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    const char *format;
    apr_table_t *args;

    ap_args_to_table(r, &args);
    format = apr_table_get(args, "format");
    if (format) {
        return !strcmp(format, "json");
    }
    return accept && ap_strcasestr(accept, "application/json");
}

static int handler_put(const char *bytes, size_t size, void *r)
{
    return ap_rwrite(bytes, (int)size, r) < 0 ? -1 : 0;
}

/* Neither form can be taken for a page of this site. */
static void handler_answer(request_rec *r, json_t *model)
{
    int json = handler_wants_json(r);

    apr_pool_cleanup_register(r->pool, model, handler_free, apr_pool_cleanup_null);
    ap_set_content_type(r, json ? "application/json" : "text/plain; charset=us-ascii");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "Vary", "Accept");
    if (r->header_only) {
        return;
    }
    if (json) {
        json_dump_callback(model, handler_put, r, JSON_INDENT(1) | JSON_ENSURE_ASCII | USHER_STATUS_DIGITS);
        ap_rputs("\n", r);
    }
    else {
        ap_rputs(usher_status_text(r->pool, model), r);
    }
}

static json_t *handler_foreign_host(request_rec *r)
{
    r->status = HTTP_FORBIDDEN;
    return json_pack("{s:s, s:s}", "error", "foreign_host", "text",
                     "the host's name in the URL is none of this virtual host: use an address, "
                     "localhost, or its ServerName or a ServerAlias");
}

int status_handler(request_rec *r)
{
    if (!r->handler || ap_cstr_casecmp(r->handler, STATUS_HANDLER) != 0) {
        return DECLINED;
    }
    if (!status_guard_admits(r)) {
        return HTTP_FORBIDDEN;
    }
    if (!status_guard_knows_host(r)) {
        handler_answer(r, handler_foreign_host(r));
        return OK;
    }
    r->allowed = (AP_METHOD_BIT << M_GET) | (AP_METHOD_BIT << M_POST);
    switch (r->method_number) {
    case M_GET:
        handler_answer(r, status_model_of(status_view_make(r), r, status_token_make(r)));
        return OK;
    case M_POST:
        handler_answer(r, status_change_run(r));
        return OK;
    default:
        return HTTP_METHOD_NOT_ALLOWED;
    }
}
