/* HAProxy's httplog, its own and that of %{httplog}^US. */
#include "log_line_private.h"

#define RETRIES_MAX 1000000

/* ".123] " @return 0: it is not that */
static int httplog_millis(log_line_t *line, log_rest_t *rest)
{
    int millis;

    if (rest->end - rest->at < 6 || rest->at[0] != '.' || rest->at[4] != ']' || rest->at[5] != ' ') {
        return 0;
    }
    millis = log_digits(rest->at + 1, 3);
    line->at += APR_INT64_C(1000) * millis;
    rest->at += 6;
    return millis >= 0;
}

/* FRONTEND~ CLUSTER/MEMBER: the first slash divides them, "<NOSRV>" is no member. */
static int httplog_names(log_line_t *line, log_rest_t *rest)
{
    log_text_t both;
    const char *slash;

    if (!log_word(rest, &line->vhost) || !log_word(rest, &both)) {
        return 0;
    }
    line->vhost.len -= line->vhost.at[line->vhost.len - 1] == '~';
    line->vhost = log_known(line->vhost);
    slash = memchr(both.at, '/', both.len);
    if (!slash) {
        return 0;
    }
    line->cluster.at = both.at;
    line->cluster.len = (apr_size_t)(slash - both.at);
    line->cluster = log_known(line->cluster);
    line->member.at = slash + 1;
    line->member.len = both.len - line->cluster.len - 1;
    line->member = log_known(line->member);
    if (line->member.len && *line->member.at == '<') {
        line->member.len = 0;
    }
    /* Where there is none the frontend stands in its place. */
    if (!line->member.len && line->cluster.len == line->vhost.len
        && !memcmp(line->cluster.at, line->vhost.at, line->vhost.len)) {
        line->cluster.len = 0;
    }
    return 1;
}

/* TR/Tw/Tc/Tr/Ta STATUS BYTES */
static int httplog_figures(log_line_t *line, log_rest_t *rest)
{
    log_text_t times, status, bytes;
    apr_int64_t number;
    int i;

    if (!log_word(rest, &times) || !log_word(rest, &status) || !log_word(rest, &bytes)
        || !log_slashed(line->times, LOG_TIMES, LOG_TIME_MAX / 1000, times)
        || !log_number(&number, 999, status)
        || !log_slashed(&line->bytes_out, 1, APR_INT64_MAX, bytes)) {
        return 0;
    }
    line->status = number < 100 ? 0 : (int)number;
    for (i = 0; i < LOG_TIMES; ++i) {
        line->times[i] *= line->times[i] > 0 ? 1000 : 1;
    }
    return 1;
}

/* REQCOOKIE RESCOOKIE STATE ACT/FE/BE/SRV/RETRIES SRVQ/BEQ */
static int httplog_state(log_line_t *line, log_rest_t *rest)
{
    log_text_t cookie, state, conns, queues;
    apr_int64_t numbers[5];

    if (!log_word(rest, &cookie) || !log_word(rest, &cookie) || !log_word(rest, &state)
        || !log_word(rest, &conns) || !log_word(rest, &queues) || !log_state(line, state)
        || !log_slashed(numbers, 5, APR_INT64_MAX, conns)) {
        return 0;
    }
    line->tries = 1 + (numbers[4] > RETRIES_MAX ? RETRIES_MAX : numbers[4] < 0 ? 0 : (int)numbers[4]);
    return log_slashed(numbers, 2, APR_INT64_MAX, queues);
}

/* [{REQ} [{RES}]] "REQUEST": whatever the texts are, a quote in them is written as #22.
 * A line that its logger has cut off in the request is good for all but that. */
int log_line_httplog(log_line_t *line, log_rest_t rest)
{
    log_text_t request;
    const char *quote;

    line->kind = LOG_LINE_HTTPLOG;
    line->replays = -1;
    line->bytes_in = -1;
    if (!httplog_millis(line, &rest) || !httplog_names(line, &rest) || !httplog_figures(line, &rest)
        || !httplog_state(line, &rest)) {
        return 0;
    }
    quote = memchr(rest.at, '"', (apr_size_t)(rest.end - rest.at));
    if (!quote) {
        return 0;
    }
    request.at = quote + 1;
    quote = memchr(request.at, '"', (apr_size_t)(rest.end - request.at));
    request.len = (apr_size_t)((quote ? quote : rest.end) - request.at);
    log_request(line, request);
    return 1;
}
