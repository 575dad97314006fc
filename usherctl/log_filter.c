/* Which lines count. */
#include <apr_time.h>
#include <string.h>

#include "log.h"
#include "log_line_private.h"
#include "usher_duration.h"

void log_filter_init(log_filter_t *filter, apr_pool_t *p)
{
    memset(filter, 0, sizeof(*filter));
    filter->since = APR_INT64_MIN;
    filter->until = APR_INT64_MAX;
    filter->members = apr_array_make(p, 1, sizeof(const char *));
    filter->clusters = apr_array_make(p, 1, sizeof(const char *));
    filter->vhosts = apr_array_make(p, 1, sizeof(const char *));
    filter->states = apr_array_make(p, 1, sizeof(const char *));
}

/* What may stand behind a time: nothing (local time), Z, or +hh:mm. @return 0: else */
static int filter_zone(apr_int64_t *seconds, const char *text)
{
    int hours, minutes;

    if (!*text) {
        *seconds = log_zone_local(*seconds);
        return 1;
    }
    if (!strcmp(text, "Z")) {
        return 1;
    }
    if ((*text != '+' && *text != '-') || strlen(text) < 5) {
        return 0;
    }
    hours = log_digits(text + 1, 2);
    text[3] == ':' ? (minutes = strlen(text) == 6 ? log_digits(text + 4, 2) : -1)
                   : (minutes = strlen(text) == 5 ? log_digits(text + 3, 2) : -1);
    *seconds -= (*text == '+' ? 60 : -60) * (apr_int64_t)(60 * hours + minutes);
    return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

/* "2026-11-22", "2026-11-22T18:00", "2026-11-22 18:00:00" and a zone */
static int filter_date(apr_int64_t *at, const char *text)
{
    static const char form[] = "0000-00-00T00:00:00";
    static const apr_size_t whole[] = { 10, 16, 19 };
    int date[6] = { 0, 0, 0, 0, 0, 0 }, i;
    apr_int64_t seconds;
    apr_size_t len = 0;

    while (len < 19 && text[len]
           && (form[len] == '0' ? log_digits(text + len, 1) >= 0
                                : text[len] == form[len] || (form[len] == 'T' && text[len] == ' '))) {
        ++len;
    }
    if (len != whole[0] && len != whole[1] && len != whole[2]) {
        return 0;
    }
    date[0] = log_digits(text, 4);
    for (i = 1; i < 6 && 4 + 3 * i <= (int)len; ++i) {
        date[i] = log_digits(text + 2 + 3 * i, 2);
    }
    if (!log_civil(&seconds, date) || !filter_zone(&seconds, text + len)) {
        return 0;
    }
    *at = seconds * 1000000;
    return 1;
}

int log_filter_time(apr_int64_t *at, const char *text)
{
    apr_interval_time_t ago;

    if (filter_date(at, text)) {
        return 1;
    }
    if (usher_duration_parse(&ago, text, strlen(text)) != APR_SUCCESS) {
        return 0;
    }
    *at = apr_time_now() - ago;
    return 1;
}

/* "404", "5xx", "500-599" */
static int filter_statuses(log_filter_t *filter, const char *text, apr_size_t len)
{
    int from, to;

    if (len == 3 && !memcmp(text + 1, "xx", 2) && log_digits(text, 1) > 0) {
        from = 100 * log_digits(text, 1);
        to = from + 99;
    }
    else if (len == 3) {
        from = to = log_digits(text, 3);
    }
    else if (len == 7 && text[3] == '-') {
        from = log_digits(text, 3);
        to = log_digits(text + 4, 3);
    }
    else {
        return 0;
    }
    if (from < 100 || to < from) {
        return 0;
    }
    memset(filter->statuses + from, 1, (apr_size_t)(to - from) + 1);
    filter->by_status = 1;
    return 1;
}

int log_filter_status(log_filter_t *filter, const char *text)
{
    apr_size_t len;

    for (;; text += len + 1) {
        len = strcspn(text, ",");
        if (!filter_statuses(filter, text, len)) {
            return 0;
        }
        if (!text[len]) {
            return 1;
        }
    }
}

int log_filter_state(log_filter_t *filter, apr_pool_t *p, const char *text)
{
    static const char letters[] = "-?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    apr_size_t len;

    for (;; text += len + 1) {
        len = strcspn(text, ",");
        if (!len || len > LOG_STATE_SIZE || strspn(text, letters) < len) {
            return 0;
        }
        APR_ARRAY_PUSH(filter->states, const char *) = apr_pstrmemdup(p, text, len);
        if (!text[len]) {
            return 1;
        }
    }
}

/* "-" is those that have none. */
static int filter_named(const apr_array_header_t *names, const log_line_t *line,
                        const log_text_t *text)
{
    char decoded[LOG_NAME_MAX];
    static const log_text_t none = { "-", 1 };
    apr_size_t len = log_line_text(decoded, sizeof(decoded), line->kind, text->len ? text : &none);
    int i;

    for (i = 0; i < names->nelts; ++i) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        if (strlen(name) == len && !memcmp(name, decoded, len)) {
            return 1;
        }
    }
    return !names->nelts;
}

static int filter_state(const apr_array_header_t *states, const char *state)
{
    int i, letter;

    for (i = 0; i < states->nelts; ++i) {
        const char *wanted = APR_ARRAY_IDX(states, i, const char *);

        for (letter = 0; wanted[letter] && (wanted[letter] == '?' || wanted[letter] == state[letter]);
             ++letter) {
        }
        if (!wanted[letter]) {
            return 1;
        }
    }
    return !states->nelts;
}

int log_filter_passes(const log_filter_t *filter, const log_line_t *line, apr_int64_t at)
{
    return at >= filter->since && at < filter->until
           && (!filter->by_status || filter->statuses[line->status])
           && (!filter->states->nelts || filter_state(filter->states, line->state))
           && (!filter->members->nelts || filter_named(filter->members, line, &line->member))
           && (!filter->clusters->nelts || filter_named(filter->clusters, line, &line->cluster))
           && (!filter->vhosts->nelts || filter_named(filter->vhosts, line, &line->vhost));
}
