/* The head of the answer, as the client gets it: what mod_proxy promises of it
 * (ProxyPassReverse, Via, ProxyErrorOverride), what concerns only the link
 * removed, and how its body ends (RFC 9112, 6.3). */
#include <apr_date.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* What becomes of a field. */
typedef enum {
    ANSWER_PLAIN,
    ANSWER_HOP,        /* between the two neighbours only (RFC 9110, 7.6.1) */
    ANSWER_CONNECTION, /* so are those that it names */
    ANSWER_UPGRADE,
    ANSWER_LENGTH,
    ANSWER_DATE,
    ANSWER_URL,        /* ProxyPassReverse */
    ANSWER_COOKIE      /* ProxyPassReverseCookie* */
} answer_field_e;

/* By its length, as most are none of these. */
static answer_field_e answer_field(const char *name)
{
    switch (strlen(name)) {
    case 2:
        return backend_name_is(name, "TE") ? ANSWER_HOP : ANSWER_PLAIN;
    case 3:
        return backend_name_is(name, "URI") ? ANSWER_URL : ANSWER_PLAIN;
    case 4:
        return backend_name_is(name, "Date") ? ANSWER_DATE : ANSWER_PLAIN;
    case 7:
        return backend_name_is(name, "Expires") ? ANSWER_DATE
               : backend_name_is(name, "Upgrade") ? ANSWER_UPGRADE
               : backend_name_is(name, "Trailer") ? ANSWER_HOP : ANSWER_PLAIN;
    case 8:
        return backend_name_is(name, "Location") ? ANSWER_URL : ANSWER_PLAIN;
    case 10:
        return backend_name_is(name, "Connection") ? ANSWER_CONNECTION
               : backend_name_is(name, "Set-Cookie") ? ANSWER_COOKIE
               : backend_name_is(name, "Keep-Alive") ? ANSWER_HOP : ANSWER_PLAIN;
    case 11:
        return backend_name_is(name, "Destination") ? ANSWER_URL : ANSWER_PLAIN;
    case 13:
        return backend_name_is(name, "Last-Modified") ? ANSWER_DATE : ANSWER_PLAIN;
    case 14:
        return backend_name_is(name, "Content-Length") ? ANSWER_LENGTH : ANSWER_PLAIN;
    case 16:
        return backend_name_is(name, "Content-Location") ? ANSWER_URL
               : backend_name_is(name, "Proxy-Connection") ? ANSWER_HOP : ANSWER_PLAIN;
    case 17:
        return backend_name_is(name, "Transfer-Encoding") ? ANSWER_HOP : ANSWER_PLAIN;
    case 18:
        return backend_name_is(name, "Proxy-Authenticate") ? ANSWER_HOP : ANSWER_PLAIN;
    default:
        return ANSWER_PLAIN;
    }
}

/* Old forms of a date become today's. */
static const char *answer_date(apr_pool_t *p, const char *value)
{
    apr_time_t date;
    char *text;

    if (strlen(value) == APR_RFC822_DATE_LEN - 1 && value[3] == ',') {
        return value;
    }
    date = apr_date_parse_http(value);
    text = apr_palloc(p, APR_RFC822_DATE_LEN);
    return date && apr_rfc822_date(text, date) == APR_SUCCESS ? text : value;
}

/* Said more than once, or as a list, it is the same each time, or it was malformed. */
static const char *answer_length(const backend_exchange_t *x, const char *value)
{
    return *value == '0' || ap_strchr_c(value, ',')
               ? apr_off_t_toa(x->r->pool, (apr_off_t)x->answer.content_length) : value;
}

/* A field as the client shall have it; NULL: it shall not. */
static const char *answer_value(backend_exchange_t *x, const char *name, const char *value)
{
    request_rec *r = x->r;

    switch (answer_field(name)) {
    case ANSWER_HOP:
        return NULL;
    case ANSWER_CONNECTION:
        if (!backend_name_is(value, "keep-alive") && !backend_name_is(value, "upgrade")) {
            x->connection = x->connection
                                ? apr_pstrcat(r->pool, x->connection, ", ", value, NULL) : value;
        }
        return NULL;
    case ANSWER_UPGRADE:
        x->upgrade_to = x->upgrade_to ? x->upgrade_to : value;
        return NULL;
    case ANSWER_LENGTH:
        return apr_table_get(r->headers_out, name) ? NULL : answer_length(x, value);
    case ANSWER_DATE:
        return answer_date(r->pool, value);
    case ANSWER_URL:
        return backend_location(x, value);
    case ANSWER_COOKIE:
        return ap_proxy_cookie_reverse_map(r, x->dconf, value);
    default:
        return value;
    }
}

static int answer_add(void *table, const char *name, const char *value)
{
    apr_table_addn(table, name, value);
    return 1;
}

/* The fields into r->headers_out; cookies that httpd's modules have set stay.
 * The head is copied once; names and values lie in the copy. */
static void answer_fields(backend_exchange_t *x)
{
    request_rec *r = x->r;
    apr_size_t at = x->answer.fields_at;
    char *head = apr_pmemdup(r->pool, x->in, x->answer.len);
    const char *name, *value;

    r->headers_out = apr_table_make(r->pool, (int)x->answer.fields + 4);
    if (apr_table_get(x->headers_out, "Set-Cookie")) {
        apr_table_do(answer_add, r->headers_out, x->headers_out, "Set-Cookie", NULL);
    }
    x->connection = x->upgrade_to = NULL;
    while (x->protocol->next_field(x, head, &at, &name, &value)) {
        value = answer_value(x, name, value);
        if (value) {
            apr_table_addn(r->headers_out, name, value);
        }
    }
    if (x->connection) {
        /* Content-Length says how the body ends; it is ours to handle. */
        backend_head_clear(r->pool, r->headers_out, x->connection, "Content-Length");
    }
    if (!r->trailers_out || !apr_is_empty_table(r->trailers_out)) {
        r->trailers_out = apr_table_make(r->pool, 2);
    }
}

const char *backend_answer_port(request_rec *r)
{
    apr_port_t port = ap_get_server_port(r);

    return ap_is_default_port(port, r) ? "" : apr_psprintf(r->pool, ":%d", port);
}

const char *backend_answer_via(const backend_exchange_t *x)
{
    request_rec *r = x->r;
    const char *name, *comment = "";

    if (x->sconf->viaopt == via_off || x->sconf->viaopt == via_block) {
        return NULL;
    }
    name = ap_get_server_name(r);
    if (name == r->hostname) {
        name = r->server->server_hostname;
    }
    if (x->sconf->viaopt == via_full) {
        comment = apr_psprintf(r->pool, " (%s)", AP_SERVER_BASEVERSION);
    }
    return apr_psprintf(r->pool, "%d.%d %s%s%s", HTTP_VERSION_MAJOR(r->proto_num),
                        HTTP_VERSION_MINOR(r->proto_num), name, backend_answer_port(r), comment);
}

/* "200 OK". Tomcat says "200" for a reason over AJP. */
static const char *answer_status_line(const backend_exchange_t *x)
{
    const char *known = x->scheme->ajp ? ap_get_status_line(x->answer.status) : NULL;
    apr_size_t len = x->answer.reason_len;
    char *line = apr_palloc(x->r->pool, len + 5);

    line[0] = (char)('0' + x->answer.status / 100);
    line[1] = (char)('0' + x->answer.status / 10 % 10);
    line[2] = (char)('0' + x->answer.status % 10);
    line[3] = ' ';
    memcpy(line + 4, x->answer.reason, len);
    line[4 + len] = '\0';
    /* One that httpd does not know stays a number. */
    return known && (!len || (len == 3 && !strncmp(line + 4, line, 3)))
           && !strncmp(known, line, 3) ? known : line;
}

static void answer_status(backend_exchange_t *x)
{
    request_rec *r = x->r;

    r->status = x->answer.status;
    r->status_line = answer_status_line(x);
    apr_table_setn(r->notes, "proxy-status", apr_pstrmemdup(r->pool, r->status_line, 3));
    if (x->link->local_port) {
        apr_table_setn(r->notes, "proxy-source-port",
                       apr_itoa(r->pool, x->link->local_port));
    }
}

static int answer_has_no_body(const backend_exchange_t *x)
{
    int status = x->answer.status;

    return x->r->header_only || status == HTTP_NO_CONTENT || status == HTTP_NOT_MODIFIED
           || (x->scheme->ajp && status == HTTP_RESET_CONTENT); /* Tomcat swallows it */
}

static void answer_find_end(backend_exchange_t *x)
{
    if (x->scheme->ajp) {
        x->ends = BACKEND_ENDS_PACKET; /* whatever else is said */
        x->bodyless = answer_has_no_body(x);
        x->whole = x->bodyless || !x->answer.content_length;
    }
    else if (answer_has_no_body(x)) {
        x->ends = BACKEND_ENDS_NOW;
        if (x->r->header_only && strcmp(x->r->method, "HEAD") != 0) {
            x->link_close = 1; /* a body comes that nobody wants */
        }
    }
    else if (x->answer.chunked) {
        x->ends = BACKEND_ENDS_CHUNKED;
    }
    else if (x->answer.content_length >= 0) {
        x->ends = x->answer.content_length ? BACKEND_ENDS_LENGTH : BACKEND_ENDS_NOW;
    }
    else {
        x->ends = BACKEND_ENDS_CLOSE;
    }
    if (x->answer.status == HTTP_NO_CONTENT
        || (x->scheme->ajp && x->answer.status == HTTP_RESET_CONTENT)) {
        apr_table_unset(x->r->headers_out, "Content-Length");
    }
    if (x->answer.close || x->ends == BACKEND_ENDS_CLOSE) {
        x->link_close = 1;
    }
}

/* Bytes that came with a head which says that there are none to come. */
static void answer_check_rest(backend_exchange_t *x)
{
    if (x->ends == BACKEND_ENDS_NOW && x->in_len > x->answer.len) {
        x->link_close = 1;
    }
}

/* httpd's own page takes its place (ProxyErrorOverride). */
static backend_end_e answer_override(backend_exchange_t *x)
{
    request_rec *r = x->r;
    const char *challenge = apr_table_get(r->headers_out, "WWW-Authenticate");

    if (x->answer.status == HTTP_UNAUTHORIZED && challenge) {
        apr_table_set(r->err_headers_out, "WWW-Authenticate", challenge);
    }
    r->status = HTTP_OK; /* else ErrorDocument believes in a second error */
    r->status_line = NULL;
    apr_table_setn(r->notes, "proxy-error-override", "1");
    /* Its body is read only for a link that can be kept then. */
    x->dropping = !x->link_close && x->answer.content_length <= BACKEND_DROP_MAX;
    x->drop_until = x->bytes_in + BACKEND_DROP_MAX;
    return x->dropping ? BACKEND_END_NONE : BACKEND_END_OVERRIDE;
}

static backend_end_e answer_upgrade(backend_exchange_t *x, const char *upgrade)
{
    if (!upgrade || !x->upgrade || strcasecmp(upgrade, x->upgrade) != 0) {
        x->why = apr_psprintf(x->r->pool, "malformed answer: it switches to the protocol %s, "
                              "asked for was %s", upgrade ? upgrade : "(none)",
                              x->upgrade ? x->upgrade : "none");
        x->state.who = 'P';
        return BACKEND_END_MALFORMED;
    }
    if (x->sending != BACKEND_SEND_DONE) {
        return backend_attempt_malformed(x, "it switches protocols before it has read the request");
    }
    apr_table_setn(x->r->headers_out, "Connection", "Upgrade");
    apr_table_setn(x->r->headers_out, "Upgrade", upgrade);
    return BACKEND_END_UPGRADED;
}

/* An error page that is itself proxied keeps the error's status. */
static void answer_keep_error(backend_exchange_t *x)
{
    request_rec *r = x->r;

    if (ap_proxy_should_override(x->dconf, x->status_before)) {
        r->status = x->status_before;
        r->status_line = x->status_line_before;
    }
}

backend_end_e backend_answer_final(backend_exchange_t *x)
{
    request_rec *r = x->r;
    const char *upgrade, *type, *via = backend_answer_via(x);
    int status = x->answer.status;

    answer_fields(x);
    answer_status(x);
    upgrade = x->upgrade_to;
    type = apr_table_get(r->headers_out, "Content-Type");
    if (type) {
        ap_set_content_type(r, type);
    }
    if (via) {
        apr_table_addn(r->headers_out, "Via", via);
    }
    if (status == HTTP_SWITCHING_PROTOCOLS) {
        return answer_upgrade(x, upgrade);
    }
    if (upgrade && ap_proxy_worker_can_upgrade(r->pool, x->member.worker, upgrade,
                                               x->scheme->upgrade)) {
        apr_table_setn(r->headers_out, "Connection", "Upgrade");
        apr_table_setn(r->headers_out, "Upgrade", upgrade);
    }
    answer_find_end(x);
    answer_check_rest(x);
    if (backend_exchange_wants_other(x, status)) {
        x->why = apr_psprintf(r->pool, "it answered %d, which failonstatus= names", status);
        return BACKEND_END_UNWANTED;
    }
    if (x->ends == BACKEND_ENDS_NOW) {
        x->receiving = BACKEND_RECV_DONE;
    }
    if (ap_proxy_should_override(x->dconf, status)) {
        return answer_override(x);
    }
    answer_keep_error(x);
    return BACKEND_END_NONE;
}

/* Interim answers */

/* Pass it on as the policy says (proxy-interim-response). */
static int answer_passes_interim(request_rec *r, int status)
{
    const char *policy = apr_table_get(r->subprocess_env, "proxy-interim-response");

    if (!policy) {
        return 1;
    }
    if (!ap_cstr_casecmp(policy, "RFC")) {
        if (status == HTTP_CONTINUE) {
            r->expecting_100 = 1;
        }
        return 1;
    }
    return 0;
}

backend_end_e backend_answer_interim(backend_exchange_t *x)
{
    request_rec *r = x->r;
    int saved_status = r->status;
    const char *saved_line = r->status_line;

    if (answer_passes_interim(r, x->answer.status)) {
        answer_fields(x);
        r->status = x->answer.status;
        r->status_line = answer_status_line(x);
        ap_send_interim_response(r, 1);
        r->headers_out = apr_table_copy(r->pool, x->headers_out);
        r->status = saved_status;
        r->status_line = saved_line;
    }
    return BACKEND_END_NONE;
}

void backend_answer_ask_body(backend_exchange_t *x)
{
    request_rec *r = x->r;
    int saved_status = r->status;
    const char *saved_line = r->status_line;

    if (r->expecting_100 && r->proto_num >= HTTP_VERSION(1, 1) && !x->passed) {
        r->status = HTTP_CONTINUE;
        r->status_line = NULL;
        ap_send_interim_response(r, 0);
        r->status = saved_status;
        r->status_line = saved_line;
    }
}

void backend_answer_trailers(backend_exchange_t *x, const char *text, apr_size_t n)
{
    request_rec *r = x->r;
    usher_http1_field_t field;
    apr_size_t at = 0;

    while (usher_http1_next_field(text, n, &at, &field)) {
        apr_table_addn(r->trailers_out, apr_pstrmemdup(r->pool, field.name, field.name_len),
                       apr_pstrmemdup(r->pool, field.value, field.value_len));
    }
}
