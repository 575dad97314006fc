/* The summary as one JSON object, in ASCII alone. Times are microseconds. */
#include <inttypes.h>
#include <time.h>

#include "ctl_json.h"
#include "log.h"

static void json_at(const char *name, apr_int64_t at)
{
    time_t when = (time_t)(at / 1000000);
    struct tm tm;
    char text[64] = "";

    if (gmtime_r(&when, &tm)) {
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    }
    printf("\"%s\":\"%s.%06dZ\",", name, text, (int)(at % 1000000));
}

static void json_times(const log_group_t *group)
{
    int i, k;

    fputs("\"times_us\":{", stdout);
    for (i = 0; i < LOG_TIMES; ++i) {
        const log_histogram_t *times = &group->times[i];

        printf("%s\"%s\":{\"requests\":%" PRIu64, i ? "," : "", log_time_names[i], times->count);
        for (k = 0; times->count && k < LOG_PERCENTS; ++k) {
            printf(",\"p%d\":%" PRId64, log_percents[k],
                   log_histogram_percentile(times, log_percents[k]));
        }
        if (times->count) {
            printf(",\"max\":%" PRId64 ",\"sum\":%" PRIu64, times->max, times->sum);
        }
        putchar('}');
    }
    putchar('}');
}

static void json_group(const log_group_t *group)
{
    int i;

    printf("\"requests\":%" PRIu64 ",\"status_5xx\":%" PRIu64 ",\"status_4xx\":%" PRIu64
           ",\"aborted_by_client\":%" PRIu64 ",\"cut_by_server\":%" PRIu64 ",\"retries\":%" PRIu64
           ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"ended\":{",
           group->requests, group->classes[5], group->classes[4], group->by_client,
           group->by_server, group->retries, group->bytes_in, group->bytes_out);
    for (i = 0; i < group->ends_len; ++i) {
        printf("%s\"%c%c\":%" PRIu64, i ? "," : "", group->ends[i].who, group->ends[i].phase,
               group->ends[i].count);
    }
    if (group->ends_others) {
        printf(",\"others\":%" PRIu64, group->ends_others);
    }
    fputs("},", stdout);
    json_times(group);
}

static void json_statuses(const log_groups_t *groups)
{
    const char *between = "";
    int i;

    fputs("\"statuses\":{", stdout);
    for (i = 0; i < 1000; ++i) {
        if (groups->statuses[i]) {
            printf("%s\"%d\":%" PRIu64, between, i, groups->statuses[i]);
            between = ",";
        }
    }
    fputs("},", stdout);
}

static void json_groups(const log_summary_t *summary)
{
    log_groups_t *groups = summary->groups;
    int i;

    printf(",\"by\":\"%s\",\"groups\":[", summary->by);
    for (i = 0; i < groups->all->nelts && (!summary->top || i < summary->top); ++i) {
        log_group_t *group = APR_ARRAY_IDX(groups->all, i, log_group_t *);

        log_group_sort_ends(group);
        fputs(i ? ",\n{\"name\":" : "\n{\"name\":", stdout);
        ctl_json_text(group->name, group->name_len);
        putchar(',');
        json_group(group);
        putchar('}');
    }
    printf("],\"groups_in_all\":%d", groups->all->nelts);
    if (groups->others.requests) {
        log_group_sort_ends(&groups->others);
        fputs(",\"others\":{", stdout);
        json_group(&groups->others);
        putchar('}');
    }
}

static void json_slow(const log_slow_t *slow)
{
    int i, k;

    fputs(",\"slowest\":[", stdout);
    for (i = 0; i < slow->len; ++i) {
        const log_slow_one_t *one = slow->ones[i];
        const struct {
            const char *name;
            const log_text_t *text;
        } texts[] = { { "member", &one->member }, { "vhost", &one->vhost }, { "id", &one->id },
                      { "method", &one->method }, { "uri", &one->uri } };

        fputs(i ? ",\n{" : "\n{", stdout);
        json_at("time", one->at);
        for (k = 0; k < (int)(sizeof(texts) / sizeof(texts[0])); ++k) {
            printf("\"%s\":", texts[k].name);
            ctl_json_text(texts[k].text->at, texts[k].text->len);
            putchar(',');
        }
        printf("\"status\":%d,\"state\":\"%.4s\"", one->status, one->state);
        for (k = 0; k < LOG_TIMES; ++k) {
            if (one->times[k] >= 0) {
                printf(",\"%s_us\":%" PRId64, log_time_names[k], one->times[k]);
            }
        }
        putchar('}');
    }
    putchar(']');
}

void log_json(apr_pool_t *p, const log_summary_t *summary)
{
    const log_group_t *total = log_groups_total(summary->groups);

    printf("{\"lines\":%" PRIu64 ",\"not_understood\":%" PRIu64 ",\"left_out\":%" PRIu64 ",",
           summary->lines, summary->bad, summary->left_out);
    if (total->requests) {
        json_at("from", summary->groups->first_at);
        json_at("to", summary->groups->last_at);
    }
    json_statuses(summary->groups);
    json_group(total);
    json_groups(summary);
    json_slow(summary->slow);
    puts("}");
}
