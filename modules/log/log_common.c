/* What the lines have in common. */
#include "log_private.h"

APLOG_USE_MODULE(usher_log);

void log_put_text(usher_logtext_t *to, const char *text, usher_logtext_e where)
{
    if (text && *text) {
        usher_logtext_escape(to, text, strlen(text), where);
    }
    else {
        usher_logtext_char(to, '-');
    }
}

const char *log_request_line(request_rec *first)
{
    if (!first->the_request) {
        return NULL;
    }
    if (!first->parsed_uri.password) {
        return first->the_request;
    }
    return apr_pstrcat(first->pool, first->method, " ",
                       apr_uri_unparse(first->pool, &first->parsed_uri, 0),
                       first->assbackwards ? NULL : " ", first->protocol, NULL);
}

void log_put_request_line(usher_logtext_t *to, request_rec *first, usher_logtext_e where)
{
    log_put_text(to, log_request_line(first), where);
}

static char *put_zone(char *at, int offset)
{
    *at++ = ' ';
    *at++ = offset < 0 ? '-' : '+';
    offset = offset < 0 ? -offset : offset;
    return usher_logtext_two(usher_logtext_two(at, offset / 3600), offset % 3600 / 60);
}

static char *put_time(char *at, const apr_time_exp_t *exp)
{
    int year = exp->tm_year + 1900;

    at = usher_logtext_two(at, exp->tm_mday);
    *at++ = '/';
    memcpy(at, apr_month_snames[exp->tm_mon], 3);
    at += 3;
    *at++ = '/';
    at = usher_logtext_two(usher_logtext_two(at, year / 100), year);
    *at++ = ':';
    at = usher_logtext_two(at, exp->tm_hour);
    *at++ = ':';
    at = usher_logtext_two(at, exp->tm_min);
    *at++ = ':';
    return usher_logtext_two(at, exp->tm_sec);
}

#define TIME_LEN (sizeof("22/Nov/2026:18:13:36") - 1)
#define TIME_ZONE_LEN (sizeof("22/Nov/2026:18:13:36 +0000") - 1)

/* Of the last second that this thread has logged: many requests are of the same. */
typedef struct {
    apr_int64_t second; /* -1: none */
    char text[TIME_ZONE_LEN];
} put_second_t;

static _Thread_local put_second_t put_second = { .second = -1 };

static const char *put_second_of(apr_time_t at)
{
    put_second_t *cached = &put_second;
    apr_time_exp_t exp;

    if (cached->second != apr_time_sec(at)) {
        ap_explode_recent_localtime(&exp, at);
        put_zone(put_time(cached->text, &exp), exp.tm_gmtoff);
        cached->second = apr_time_sec(at);
    }
    return cached->text;
}

void log_put_time(usher_logtext_t *to, apr_time_t at)
{
    usher_logtext_put(to, put_second_of(at), TIME_LEN);
}

void log_put_time_zone(usher_logtext_t *to, apr_time_t at)
{
    usher_logtext_put(to, put_second_of(at), TIME_ZONE_LEN);
}

int log_put_captures(usher_logtext_t *to, const log_facts_t *facts, int of_answer,
                     usher_logtext_e where)
{
    const log_captures_t *captures = facts->conf->captures;
    int i, any = 0;

    for (i = 0; captures && i < captures->headers->nelts; ++i) {
        const log_capture_t *capture = &APR_ARRAY_IDX(captures->headers, i, log_capture_t);
        usher_span_t value;

        if (capture->of_answer != of_answer) {
            continue;
        }
        usher_logtext_char(to, any ? '|' : '{');
        any = 1;
        if (log_capture_header(&value, capture, facts->first, facts->last)) {
            usher_logtext_escape(to, value.text, value.len, where);
        }
    }
    if (any) {
        usher_logtext_char(to, '}');
    }
    return any;
}

void log_put_address(usher_logtext_t *to, const log_facts_t *facts)
{
    log_put_text(to, facts->first->useragent_ip, USHER_LOGTEXT_BARE);
}

void log_put_id(usher_logtext_t *to, const log_facts_t *facts)
{
    if (facts->id == facts->record->id) {
        usher_logtext_put(to, facts->id, LOG_ID_LEN);
    }
    else {
        log_put_text(to, facts->id, USHER_LOGTEXT_BARE);
    }
}

void log_put_times(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_number(to, facts->read);
    usher_logtext_char(to, '/');
    usher_logtext_number(to, facts->queue);
    usher_logtext_char(to, '/');
    usher_logtext_number(to, facts->connect);
    usher_logtext_char(to, '/');
    usher_logtext_number(to, facts->first_byte);
    usher_logtext_char(to, '/');
    usher_logtext_number(to, facts->total);
}

void log_put_tries(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_number(to, facts->backend_r ? facts->backend.attempts_len : -1);
    usher_logtext_char(to, '/');
    usher_logtext_number(to, facts->backend_r ? facts->backend.replays : -1);
}

void log_put_bytes(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_number(to, facts->bytes_in);
    usher_logtext_char(to, '/');
    usher_logtext_number(to, facts->bytes_out);
}

void log_put_conns(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_number(to, facts->conns);
    usher_logtext_char(to, '/');
    usher_logtext_number(to, facts->vhost_conns);
    usher_logtext_char(to, '/');
    usher_logtext_number(to, facts->cluster_conns);
    usher_logtext_char(to, '/');
    usher_logtext_number(to, facts->member_conns);
}

void log_put_tls(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_char(to, '{');
    log_put_text(to, facts->tls_version, USHER_LOGTEXT_BARE);
    usher_logtext_char(to, ',');
    log_put_text(to, facts->tls_cipher, USHER_LOGTEXT_BARE);
    usher_logtext_char(to, '}');
}

static void put_cookie(usher_logtext_t *to, const usher_span_t *value, int found)
{
    if (found && value->len) {
        usher_logtext_escape(to, value->text, value->len, USHER_LOGTEXT_COOKIE);
    }
    else {
        usher_logtext_char(to, '-');
    }
}

void log_put_cookie(usher_logtext_t *to, const log_facts_t *facts)
{
    const log_captures_t *captures = facts->conf->captures;
    usher_span_t value = { "", 0 };

    if (!captures || !captures->cookie.name) {
        USHER_LOGTEXT_LITERAL(to, "-/-");
        return;
    }
    put_cookie(to, &value, log_capture_cookie_sent(&value, captures, facts->first));
    usher_logtext_char(to, '/');
    put_cookie(to, &value, log_capture_cookie_set(&value, captures, facts->last));
}
