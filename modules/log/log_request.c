/* When a request began, and when its head was read; which virtual host counts it. */
#include "log_private.h"

APLOG_USE_MODULE(usher_log);

request_rec *log_request_first(request_rec *r)
{
    while (r->prev) {
        r = r->prev;
    }
    return r;
}

log_record_t *log_request_record(request_rec *first)
{
    log_record_t *record = ap_get_module_config(first->request_config, &usher_log_module);

    if (!record) {
        record = apr_pcalloc(first->pool, sizeof(*record));
        ap_set_module_config(first->request_config, &usher_log_module, record);
    }
    return record;
}

/* Of HTTP/1. With some MPMs this is when the last answer was sent, and the client has not
 * asked for anything yet. */
void log_request_pre_read(request_rec *r, conn_rec *c)
{
    if (log_check_is_used) {
        log_request_record(r)->began_at = log_now();
    }
}

/* The backends get it even where the client says in Connection that they must not. */
static void request_put_id(request_rec *r, const char *header)
{
    const char *tokens = apr_table_getm(r->pool, r->headers_in, "Connection"), *token;
    apr_array_header_t *kept;

    apr_table_setn(r->headers_in, header, log_id_of(r));
    if (!tokens || !ap_strcasestr(tokens, header)) {
        return;
    }
    kept = apr_array_make(r->pool, 4, sizeof(token));
    while (*tokens) {
        if (*tokens == ',' || *tokens == ';') {
            ++tokens; /* elements may be empty */
            continue;
        }
        token = ap_get_token(r->pool, &tokens, 0);
        if (ap_cstr_casecmp(token, header)) {
            APR_ARRAY_PUSH(kept, const char *) = token;
        }
    }
    apr_table_setn(r->headers_in, "Connection", apr_array_pstrcat(r->pool, kept, ','));
}

int log_request_post_read(request_rec *r)
{
    const char *header;
    log_record_t *record;

    if (!log_check_is_used || r->prev || r->main) {
        return DECLINED;
    }
    record = log_request_record(r);
    record->read_at = log_now();
    record->read_took = log_times_read(record, r);
    log_conns_count(r, record);
    header = log_conf_of(r->server)->id_header;
    if (header && *header) {
        request_put_id(r, header);
    }
    return DECLINED;
}

/* httpd makes the answer itself. Where that is a 400, it may be one of a client that went away;
 * those that get it may close their connection for that. */
void log_request_error(request_rec *r)
{
    log_record_t *record;

    if (log_check_is_used && !r->main) {
        record = log_request_record(log_request_first(r));
        record->refused = 1;
        if (r->status == HTTP_BAD_REQUEST) {
            record->client_gone |= log_state_client_is_gone(r->connection) != 0;
        }
    }
}
