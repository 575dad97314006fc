/* The slowest requests: few, in order. */
#include <string.h>

#include "log.h"

void log_slow_init(log_slow_t *slow, apr_pool_t *p, int max)
{
    log_slow_one_t *ones = apr_palloc(p, sizeof(*ones) * ((apr_size_t)max + 1));
    int i;

    slow->max = max;
    slow->len = 0;
    slow->ones = apr_palloc(p, sizeof(log_slow_one_t *) * ((apr_size_t)max + 1));
    for (i = 0; i < max; ++i) {
        slow->ones[i] = ones + i;
    }
}

static void slow_text(log_slow_one_t *one, apr_size_t *used, log_text_t *to, const log_line_t *line,
                      const log_text_t *from, apr_size_t room)
{
    to->at = one->text + *used;
    to->len = log_line_text(one->text + *used, room, line->kind, from);
    *used += to->len;
}

/* The line goes away; what is told of it is kept. */
static void slow_keep(log_slow_one_t *one, const log_line_t *line, apr_int64_t at)
{
    apr_size_t used;

    one->at = at;
    memcpy(one->times, line->times, sizeof(one->times));
    memcpy(one->state, line->state, sizeof(one->state));
    one->status = line->status;
    one->member.at = one->text;
    used = one->member.len = log_member_name(one->text, 128, line);
    slow_text(one, &used, &one->vhost, line, &line->vhost, 128);
    slow_text(one, &used, &one->id, line, &line->id, 64);
    slow_text(one, &used, &one->method, line, &line->method, 32);
    slow_text(one, &used, &one->uri, line, &line->uri, sizeof(one->text) - used);
}

void log_slow_add(log_slow_t *slow, const log_line_t *line, apr_int64_t at)
{
    apr_int64_t total = line->times[LOG_TIME_TOTAL];
    log_slow_one_t *one;
    int i;

    if (!slow->max || total < 0
        || (slow->len == slow->max && total <= slow->ones[slow->len - 1]->times[LOG_TIME_TOTAL])) {
        return;
    }
    slow->len += slow->len < slow->max;
    i = slow->len - 1;
    one = slow->ones[i];
    for (; i > 0 && slow->ones[i - 1]->times[LOG_TIME_TOTAL] < total; --i) {
        slow->ones[i] = slow->ones[i - 1];
    }
    slow->ones[i] = one;
    slow_keep(one, line, at);
}
