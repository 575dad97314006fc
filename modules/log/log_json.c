/* %{json}^US: the same as one object of JSON. What is not known is left out. */
#include "log_private.h"

APLOG_USE_MODULE(usher_log);

/* Inline, so that each name is put by a few stores: there are some 30 in a line. */
#define JSON_TEXT(to, name, value) \
    do { \
        const char *json_value = (value); \
        if (json_value && *json_value) { \
            USHER_LOGTEXT_LITERAL(to, ",\"" name "\":"); \
            usher_logtext_json(to, json_value, strlen(json_value)); \
        } \
    } while (0)
#define JSON_NUMBER(to, name, value) \
    do { \
        apr_int64_t json_value = (value); \
        if (json_value >= 0) { \
            USHER_LOGTEXT_LITERAL(to, ",\"" name "\":"); \
            usher_logtext_number(to, json_value); \
        } \
    } while (0)

static void json_put_time(usher_logtext_t *to, apr_time_t at)
{
    char text[] = "yyyy-mm-ddThh:mm:ss.uuuuuu+hh:mm";
    apr_time_exp_t exp;
    int year, offset;

    ap_explode_recent_localtime(&exp, at);
    year = exp.tm_year + 1900;
    usher_logtext_two(usher_logtext_two(text, year / 100), year);
    usher_logtext_two(text + 5, exp.tm_mon + 1);
    usher_logtext_two(text + 8, exp.tm_mday);
    usher_logtext_two(text + 11, exp.tm_hour);
    usher_logtext_two(text + 14, exp.tm_min);
    usher_logtext_two(text + 17, exp.tm_sec);
    usher_logtext_two(text + 20, exp.tm_usec / 10000);
    usher_logtext_two(text + 22, exp.tm_usec / 100);
    usher_logtext_two(text + 24, exp.tm_usec);
    offset = exp.tm_gmtoff < 0 ? -exp.tm_gmtoff : exp.tm_gmtoff;
    text[26] = exp.tm_gmtoff < 0 ? '-' : '+';
    usher_logtext_two(text + 27, offset / 3600);
    usher_logtext_two(text + 30, offset % 3600 / 60);
    usher_logtext_put(to, text, sizeof(text) - 1);
}

static void json_put_request(usher_logtext_t *to, const log_facts_t *facts)
{
    request_rec *first = facts->first, *last = facts->last;

    JSON_TEXT(to, "client", first->useragent_ip);
    if (first->useragent_addr) {
        JSON_NUMBER(to, "port", first->useragent_addr->port);
    }
    JSON_TEXT(to, "user", last->user);
    if (!facts->record->read_at
        && (first->method_number == M_INVALID || !first->unparsed_uri || !first->protocol)) {
        JSON_TEXT(to, "request", log_request_line(first));
    }
    else {
        JSON_TEXT(to, "method", first->method);
        JSON_TEXT(to, "uri", first->parsed_uri.password
                                 ? apr_uri_unparse(first->pool, &first->parsed_uri, 0)
                                 : first->unparsed_uri);
        JSON_TEXT(to, "protocol", first->protocol);
    }
    JSON_NUMBER(to, "status", last->status);
    JSON_NUMBER(to, "body_bytes", last->sent_bodyct ? last->bytes_sent : 0);
    JSON_TEXT(to, "referer", apr_table_get(first->headers_in, "Referer"));
    JSON_TEXT(to, "agent", apr_table_get(first->headers_in, "User-Agent"));
}

static void json_put_vhost(usher_logtext_t *to, const log_facts_t *facts)
{
    const char *name = facts->conf->name_port;

    JSON_TEXT(to, "vhost", name ? name : log_conf_name_port(facts->first->pool, facts->first->server,
                                                            facts->first->connection->local_addr->port));
    JSON_TEXT(to, "id", facts->id);
}

static void json_put_backend(usher_logtext_t *to, const log_facts_t *facts)
{
    USHER_LOGTEXT_LITERAL(to, ",\"state\":\"");
    usher_logtext_put(to, facts->state, sizeof(facts->state));
    usher_logtext_char(to, '"');
    JSON_TEXT(to, "cluster", facts->cluster);
    JSON_TEXT(to, "member", facts->member);
    JSON_NUMBER(to, "tries", facts->backend_r ? facts->backend.attempts_len : -1);
    JSON_NUMBER(to, "replays", facts->backend_r ? facts->backend.replays : -1);
}

static void json_put_numbers(usher_logtext_t *to, const log_facts_t *facts)
{
    JSON_NUMBER(to, "read_us", facts->read);
    JSON_NUMBER(to, "queue_us", facts->queue);
    JSON_NUMBER(to, "connect_us", facts->connect);
    JSON_NUMBER(to, "first_us", facts->first_byte);
    JSON_NUMBER(to, "total_us", facts->total);
    JSON_NUMBER(to, "bytes_in", facts->bytes_in);
    JSON_NUMBER(to, "bytes_out", facts->bytes_out);
    JSON_NUMBER(to, "conns", facts->conns);
    JSON_NUMBER(to, "vhost_conns", facts->vhost_conns);
    JSON_NUMBER(to, "cluster_conns", facts->cluster_conns);
    JSON_NUMBER(to, "member_conns", facts->member_conns);
    JSON_NUMBER(to, "queue", facts->queue_len);
}

static void json_put_tls(usher_logtext_t *to, const log_facts_t *facts)
{
    const usher_tls_facts_t *tls = facts->tls;

    JSON_TEXT(to, "tls_version", facts->tls_version);
    JSON_TEXT(to, "tls_cipher", facts->tls_cipher);
    if (tls) {
        JSON_TEXT(to, "tls_group", tls->group);
        JSON_TEXT(to, "tls_sni", tls->sni);
        JSON_TEXT(to, "tls_alpn", tls->alpn);
        JSON_NUMBER(to, "tls_resumed", tls->resumed);
        JSON_TEXT(to, "ja4", log_tls_ja4(facts));
    }
}

/* @param i  of all captures @return 0: not of this object, or not known */
static int json_put_capture(usher_logtext_t *to, const log_facts_t *facts, int i, int of_answer,
                            int any)
{
    const log_capture_t *capture = &APR_ARRAY_IDX(facts->conf->captures->headers, i, log_capture_t);
    usher_span_t value;

    if (capture->of_answer != of_answer
        || !log_capture_header(&value, capture, facts->first, facts->last)) {
        return 0;
    }
    if (any) {
        usher_logtext_char(to, ',');
    }
    usher_logtext_json(to, capture->name, strlen(capture->name));
    usher_logtext_char(to, ':');
    usher_logtext_json(to, value.text, value.len);
    return 1;
}

static void json_put_captures(usher_logtext_t *to, const log_facts_t *facts, int of_answer)
{
    int i, any = 0;

    if (of_answer) {
        USHER_LOGTEXT_LITERAL(to, ",\"res\":{");
    }
    else {
        USHER_LOGTEXT_LITERAL(to, ",\"req\":{");
    }
    for (i = 0; i < facts->conf->captures->headers->nelts; ++i) {
        any |= json_put_capture(to, facts, i, of_answer, any);
    }
    usher_logtext_char(to, '}');
}

static void json_put_cookie(usher_logtext_t *to, const log_facts_t *facts)
{
    const log_captures_t *captures = facts->conf->captures;
    usher_span_t value;

    USHER_LOGTEXT_LITERAL(to, ",\"cookie\":{\"name\":");
    usher_logtext_json(to, captures->cookie.name, strlen(captures->cookie.name));
    if (log_capture_cookie_sent(&value, captures, facts->first)) {
        USHER_LOGTEXT_LITERAL(to, ",\"request\":");
        usher_logtext_json(to, value.text, value.len);
    }
    if (log_capture_cookie_set(&value, captures, facts->last)) {
        USHER_LOGTEXT_LITERAL(to, ",\"response\":");
        usher_logtext_json(to, value.text, value.len);
    }
    usher_logtext_char(to, '}');
}

void log_json_put(usher_logtext_t *to, const log_facts_t *facts)
{
    USHER_LOGTEXT_LITERAL(to, "{\"time\":\"");
    json_put_time(to, facts->first->request_time);
    usher_logtext_char(to, '"');
    json_put_request(to, facts);
    json_put_vhost(to, facts);
    json_put_backend(to, facts);
    json_put_numbers(to, facts);
    json_put_tls(to, facts);
    if (facts->conf->captures) {
        json_put_captures(to, facts, 0);
        json_put_captures(to, facts, 1);
        if (facts->conf->captures->cookie.name) {
            json_put_cookie(to, facts);
        }
    }
    usher_logtext_char(to, '}');
}
