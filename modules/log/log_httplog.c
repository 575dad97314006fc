/* %{httplog}^US: the line that HAProxy writes with "option httplog", field by field, for programs
 * that read those. */
#include "log_private.h"

APLOG_USE_MODULE(usher_log);

/* Milliseconds; -1: it did not come so far. */
static void httplog_put_time(usher_logtext_t *to, apr_interval_time_t time)
{
    if (time < 0) {
        USHER_LOGTEXT_LITERAL(to, "-1");
    }
    else {
        usher_logtext_number(to, apr_time_as_msec(time));
    }
}

static void httplog_put_number(usher_logtext_t *to, apr_int64_t number)
{
    usher_logtext_number(to, number < 0 ? 0 : number);
}

static void httplog_put_names(usher_logtext_t *to, const log_facts_t *facts)
{
    const usher_span_t *vhost = &facts->conf->name_haproxy;

    usher_logtext_put(to, vhost->text, vhost->len);
    if (facts->tls_version) {
        usher_logtext_char(to, '~');
    }
    usher_logtext_char(to, ' ');
    if (facts->cluster) {
        log_put_text(to, facts->cluster, USHER_LOGTEXT_HAPROXY_BARE);
    }
    else {
        usher_logtext_put(to, vhost->text, vhost->len);
    }
    usher_logtext_char(to, '/');
    if (facts->member) {
        log_put_text(to, facts->member, USHER_LOGTEXT_HAPROXY_BARE);
    }
    else {
        USHER_LOGTEXT_LITERAL(to, "<NOSRV>");
    }
}

/* TR/Tw/Tc/Tr/Ta. Tr begins when the connection is there, so sending is a part of it. */
static void httplog_put_times(usher_logtext_t *to, const log_facts_t *facts)
{
    apr_interval_time_t answer = facts->first_byte < 0 ? -1
                                 : facts->first_byte + (facts->send > 0 ? facts->send : 0);

    httplog_put_time(to, facts->read);
    usher_logtext_char(to, '/');
    httplog_put_time(to, facts->queue);
    usher_logtext_char(to, '/');
    httplog_put_time(to, facts->connect);
    usher_logtext_char(to, '/');
    httplog_put_time(to, answer);
    usher_logtext_char(to, '/');
    httplog_put_time(to, facts->total);
}

/* NAME=VALUE */
static void httplog_put_cookie(usher_logtext_t *to, const log_facts_t *facts, int of_answer)
{
    const log_captures_t *captures = facts->conf->captures;
    usher_span_t value = { "", 0 };

    if (captures && captures->cookie.name
        && (of_answer ? log_capture_cookie_set(&value, captures, facts->last)
                      : log_capture_cookie_sent(&value, captures, facts->first))) {
        log_put_text(to, captures->cookie.name, USHER_LOGTEXT_HAPROXY_BARE);
        usher_logtext_char(to, '=');
        usher_logtext_escape(to, value.text, value.len, USHER_LOGTEXT_HAPROXY_BARE);
    }
    else {
        usher_logtext_char(to, '-');
    }
}

static void httplog_put_counts(usher_logtext_t *to, const log_facts_t *facts)
{
    httplog_put_number(to, facts->conns);
    usher_logtext_char(to, '/');
    httplog_put_number(to, facts->vhost_conns);
    usher_logtext_char(to, '/');
    httplog_put_number(to, facts->cluster_conns);
    usher_logtext_char(to, '/');
    httplog_put_number(to, facts->member_conns);
    usher_logtext_char(to, '/');
    httplog_put_number(to, facts->backend_r ? facts->backend.attempts_len - 1 : 0);
    /* One queue for all members: what waited there is given for both. */
    usher_logtext_char(to, ' ');
    httplog_put_number(to, facts->queue_len);
    usher_logtext_char(to, '/');
    httplog_put_number(to, facts->queue_len);
}

static void httplog_put_captures(usher_logtext_t *to, const log_facts_t *facts)
{
    if (log_put_captures(to, facts, 0, USHER_LOGTEXT_HAPROXY_BARE)) {
        usher_logtext_char(to, ' ');
    }
    if (log_put_captures(to, facts, 1, USHER_LOGTEXT_HAPROXY_BARE)) {
        usher_logtext_char(to, ' ');
    }
}

void log_httplog_put(usher_logtext_t *to, const log_facts_t *facts)
{
    const request_rec *first = facts->first, *last = facts->last;

    log_put_address(to, facts);
    usher_logtext_char(to, ':');
    usher_logtext_number(to, first->useragent_addr ? first->useragent_addr->port : 0);
    USHER_LOGTEXT_LITERAL(to, " [");
    log_put_time(to, first->request_time);
    usher_logtext_char(to, '.');
    usher_logtext_padded(to, (apr_uint64_t)apr_time_msec(first->request_time), 3);
    USHER_LOGTEXT_LITERAL(to, "] ");
    httplog_put_names(to, facts);
    usher_logtext_char(to, ' ');
    httplog_put_times(to, facts);
    usher_logtext_char(to, ' ');
    usher_logtext_padded(to, (apr_uint64_t)last->status, 3);
    usher_logtext_char(to, ' ');
    httplog_put_number(to, facts->bytes_out);
    usher_logtext_char(to, ' ');
    httplog_put_cookie(to, facts, 0);
    usher_logtext_char(to, ' ');
    httplog_put_cookie(to, facts, 1);
    usher_logtext_char(to, ' ');
    usher_logtext_put(to, facts->state, sizeof(facts->state));
    usher_logtext_char(to, ' ');
    httplog_put_counts(to, facts);
    usher_logtext_char(to, ' ');
    httplog_put_captures(to, facts);
    usher_logtext_char(to, '"');
    log_put_request_line(to, facts->first, USHER_LOGTEXT_HAPROXY);
    usher_logtext_char(to, '"');
}
