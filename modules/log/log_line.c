/* %{usher}^US: the line of the "combined" format, and key=value after it. */
#include "log_private.h"

APLOG_USE_MODULE(usher_log);

static void line_put_combined(usher_logtext_t *to, const log_facts_t *facts)
{
    request_rec *first = facts->first, *last = facts->last;

    log_put_address(to, facts);
    USHER_LOGTEXT_LITERAL(to, " - ");
    log_put_text(to, last->user, USHER_LOGTEXT_BARE);
    USHER_LOGTEXT_LITERAL(to, " [");
    log_put_time_zone(to, first->request_time);
    USHER_LOGTEXT_LITERAL(to, "] \"");
    log_put_request_line(to, first, USHER_LOGTEXT_QUOTED);
    USHER_LOGTEXT_LITERAL(to, "\" ");
    usher_logtext_padded(to, (apr_uint64_t)last->status, 3);
    usher_logtext_char(to, ' ');
    usher_logtext_number(to, last->sent_bodyct && last->bytes_sent ? last->bytes_sent : -1);
    USHER_LOGTEXT_LITERAL(to, " \"");
    log_put_text(to, apr_table_get(first->headers_in, "Referer"), USHER_LOGTEXT_QUOTED);
    USHER_LOGTEXT_LITERAL(to, "\" \"");
    log_put_text(to, apr_table_get(first->headers_in, "User-Agent"), USHER_LOGTEXT_QUOTED);
    usher_logtext_char(to, '"');
}

static void line_put_vhost(usher_logtext_t *to, const log_facts_t *facts)
{
    USHER_LOGTEXT_LITERAL(to, " vhost=");
    usher_logtext_put(to, facts->conf->name.text, facts->conf->name.len);
    if (!facts->conf->port) {
        usher_logtext_char(to, ':');
        usher_logtext_number(to, facts->first->connection->local_addr->port);
    }
}

static void line_put_backend(usher_logtext_t *to, const log_facts_t *facts)
{
    USHER_LOGTEXT_LITERAL(to, " state=");
    usher_logtext_put(to, facts->state, sizeof(facts->state));
    USHER_LOGTEXT_LITERAL(to, " cluster=");
    log_put_text(to, facts->cluster, USHER_LOGTEXT_BARE);
    USHER_LOGTEXT_LITERAL(to, " member=");
    log_put_text(to, facts->member, USHER_LOGTEXT_BARE);
    USHER_LOGTEXT_LITERAL(to, " tries=");
    log_put_tries(to, facts);
}

static void line_put_captures(usher_logtext_t *to, const log_facts_t *facts)
{
    USHER_LOGTEXT_LITERAL(to, " req=");
    if (!log_put_captures(to, facts, 0, USHER_LOGTEXT_BARE)) {
        USHER_LOGTEXT_LITERAL(to, "{}");
    }
    USHER_LOGTEXT_LITERAL(to, " res=");
    if (!log_put_captures(to, facts, 1, USHER_LOGTEXT_BARE)) {
        USHER_LOGTEXT_LITERAL(to, "{}");
    }
    USHER_LOGTEXT_LITERAL(to, " cookie=");
    log_put_cookie(to, facts);
}

void log_line_put(usher_logtext_t *to, const log_facts_t *facts)
{
    line_put_combined(to, facts);
    line_put_vhost(to, facts);
    USHER_LOGTEXT_LITERAL(to, " id=");
    log_put_id(to, facts);
    line_put_backend(to, facts);
    USHER_LOGTEXT_LITERAL(to, " times=");
    log_put_times(to, facts);
    USHER_LOGTEXT_LITERAL(to, " bytes=");
    log_put_bytes(to, facts);
    USHER_LOGTEXT_LITERAL(to, " conns=");
    log_put_conns(to, facts);
    USHER_LOGTEXT_LITERAL(to, " queue=");
    usher_logtext_number(to, facts->queue_len);
    USHER_LOGTEXT_LITERAL(to, " SSL:");
    log_put_tls(to, facts);
    line_put_captures(to, facts);
}
