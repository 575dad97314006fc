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

static void put_two(usher_logtext_t *to, int number)
{
    char digits[2] = { (char)('0' + number / 10), (char)('0' + number % 10) };

    usher_logtext_put(to, digits, 2);
}

static void put_zone(usher_logtext_t *to, int offset)
{
    usher_logtext_char(to, ' ');
    usher_logtext_char(to, offset < 0 ? '-' : '+');
    offset = offset < 0 ? -offset : offset;
    put_two(to, offset / 3600 % 100);
    put_two(to, offset % 3600 / 60);
}

static void put_time(usher_logtext_t *to, const apr_time_exp_t *exp)
{
    put_two(to, exp->tm_mday);
    usher_logtext_char(to, '/');
    usher_logtext_put(to, apr_month_snames[exp->tm_mon], 3);
    usher_logtext_char(to, '/');
    usher_logtext_padded(to, (apr_uint64_t)exp->tm_year + 1900, 4);
    usher_logtext_char(to, ':');
    put_two(to, exp->tm_hour);
    usher_logtext_char(to, ':');
    put_two(to, exp->tm_min);
    usher_logtext_char(to, ':');
    put_two(to, exp->tm_sec);
}

/* "22/Nov/2026:18:13:36 +0000" */
#define TIME_SIZE 40
#define TIME_LEN (sizeof("22/Nov/2026:18:13:36") - 1)

/* Of the last second that this thread has logged: many requests are of the same. */
typedef struct {
    apr_int64_t second; /* 0: none */
    char text[TIME_SIZE];
    apr_size_t len;
} put_second_t;

static _Thread_local put_second_t put_second;

static const put_second_t *put_second_of(apr_time_t at)
{
    put_second_t *cached = &put_second;

    if (cached->second != apr_time_sec(at)) {
        usher_logtext_t to = { cached->text, sizeof(cached->text), 0 };
        apr_time_exp_t exp;

        ap_explode_recent_localtime(&exp, at);
        put_time(&to, &exp);
        put_zone(&to, exp.tm_gmtoff);
        cached->len = to.len < to.size ? to.len : to.size;
        cached->second = apr_time_sec(at);
    }
    return cached;
}

void log_put_time(usher_logtext_t *to, apr_time_t at)
{
    usher_logtext_put(to, put_second_of(at)->text, TIME_LEN);
}

void log_put_time_zone(usher_logtext_t *to, apr_time_t at)
{
    const put_second_t *cached = put_second_of(at);

    usher_logtext_put(to, cached->text, cached->len);
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
