/* The summary for people. What stands in it of the log is printable ASCII, whatever the
 * log has. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "usher_text.h"

const char *const log_time_names[LOG_TIMES] = { "read", "queue", "connect", "first", "total" };
const int log_percents[LOG_PERCENTS] = { 50, 90, 95, 99 };

static const char *print_text(apr_pool_t *p, const char *bytes, apr_size_t len)
{
    char *text = apr_palloc(p, USHER_TEXT_SHOWN_SIZE(len));

    usher_text_show(text, bytes, len);
    return text;
}

/* Three digits, which is more than a histogram knows. */
static const char *print_time(apr_pool_t *p, apr_int64_t us)
{
    static const struct {
        const char *unit;
        double size;
    } units[] = { { "us", 1 }, { "ms", 1e3 }, { "s", 1e6 } };
    int i = us < 1000 ? 0 : us < 1000000 ? 1 : 2;
    double value = (double)us / units[i].size;

    return apr_psprintf(p, "%.*f %s", !i || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2, value,
                        units[i].unit);
}

static const char *print_at(apr_pool_t *p, apr_int64_t at, int millis)
{
    apr_int64_t seconds = at / 1000000;
    time_t when = (time_t)seconds;
    struct tm tm;
    char text[64] = "?";

    if (gmtime_r(&when, &tm)) {
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    }
    return millis ? apr_psprintf(p, "%s.%03d", text, (int)(at % 1000000 / 1000))
                  : apr_pstrdup(p, text);
}

static const char *print_share(apr_pool_t *p, apr_uint64_t count, apr_uint64_t of)
{
    return apr_psprintf(p, "%" PRIu64 " (%.2f %%)", count,
                        of ? 100.0 * (double)count / (double)of : 0.0);
}

static void print_errors(apr_pool_t *p, const log_group_t *group)
{
    apr_uint64_t all = group->requests;

    printf("5xx %s, 4xx %s, aborted by client %s, cut by server %s",
           print_share(p, group->classes[5], all), print_share(p, group->classes[4], all),
           print_share(p, group->by_client, all), print_share(p, group->by_server, all));
    if (group->retries) {
        printf(", retries %" PRIu64, group->retries);
    }
    putchar('\n');
}

static void print_ends(const log_group_t *group)
{
    int i;

    fputs("  ended    ", stdout);
    for (i = 0; i < group->ends_len; ++i) {
        printf("%s%c%c %" PRIu64, i ? ", " : "", group->ends[i].who, group->ends[i].phase,
               group->ends[i].count);
    }
    if (group->ends_others) {
        printf(", others %" PRIu64, group->ends_others);
    }
    putchar('\n');
}

static void print_times(apr_pool_t *p, const log_group_t *group)
{
    int i, k;

    printf("  %-9s%10s", "time", "requests");
    for (k = 0; k < LOG_PERCENTS; ++k) {
        printf("%8d %%", log_percents[k]);
    }
    printf("%10s\n", "max");
    for (i = 0; i < LOG_TIMES; ++i) {
        const log_histogram_t *times = &group->times[i];

        printf("  %-9s%10" PRIu64, log_time_names[i], times->count);
        for (k = 0; times->count && k < LOG_PERCENTS; ++k) {
            printf("%10s", print_time(p, log_histogram_percentile(times, log_percents[k])));
        }
        if (times->count) {
            printf("%10s", print_time(p, times->max));
        }
        putchar('\n');
    }
}

static void print_statuses(const log_groups_t *groups)
{
    const char *between = "";
    int i;

    fputs("  statuses ", stdout);
    for (i = 100; i < 1000; ++i) {
        if (groups->statuses[i]) {
            printf("%s%d %" PRIu64, between, i, groups->statuses[i]);
            between = ", ";
        }
    }
    if (groups->statuses[0]) {
        printf("%snone %" PRIu64, between, groups->statuses[0]);
    }
    putchar('\n');
}

static void print_total(apr_pool_t *p, const log_summary_t *summary, const log_group_t *total)
{
    const log_groups_t *groups = summary->groups;
    apr_int64_t took = (groups->last_at - groups->first_at) / 1000000;

    printf("%" PRIu64 " requests, %s to %s +0000", total->requests,
           print_at(p, groups->first_at, 0), print_at(p, groups->last_at, 0));
    if (took > 0) {
        printf(", %.1f a second", (double)total->requests / (double)took);
    }
    printf("\n%" PRIu64 " bytes in, %" PRIu64 " out\n\n", total->bytes_in, total->bytes_out);
    print_statuses(groups);
    fputs("  errors   ", stdout);
    print_errors(p, total);
    print_ends(total);
    print_times(p, total);
}

static void print_group(apr_pool_t *p, const log_group_t *group, apr_uint64_t all)
{
    printf("\n%s: %s requests\n  errors   ", print_text(p, group->name, group->name_len),
           print_share(p, group->requests, all));
    print_errors(p, group);
    print_ends(group);
    print_times(p, group);
}

static void print_groups(apr_pool_t *p, const log_summary_t *summary, apr_uint64_t all)
{
    log_groups_t *groups = summary->groups;
    int len = groups->all->nelts, i;
    int shown = summary->top && summary->top < len ? summary->top : len;
    apr_pool_t *pool;

    printf("\nBy %s: %d%s, %s\n", summary->by, len, groups->others.requests ? " and others" : "",
           summary->sort);
    apr_pool_create(&pool, p);
    for (i = 0; i < shown; ++i) {
        log_group_t *group = APR_ARRAY_IDX(groups->all, i, log_group_t *);

        log_group_sort_ends(group);
        print_group(pool, group, all);
        apr_pool_clear(pool);
    }
    if (shown < len) {
        printf("\n%d more: --top 0 shows all of them\n", len - shown);
    }
    if (groups->others.requests) {
        log_group_sort_ends(&groups->others);
        print_group(p, &groups->others, all);
        printf("  (those that were seen after the first %d)\n", LOG_GROUPS_MAX);
    }
}

static void print_slow_one(apr_pool_t *p, const log_slow_one_t *one)
{
    int i;

    printf("  %9s  %s  %03d %.4s  %s  %s", print_time(p, one->times[LOG_TIME_TOTAL]),
           print_at(p, one->at, 1), one->status, one->state,
           print_text(p, one->member.at, one->member.len),
           print_text(p, one->method.at, one->method.len));
    printf("%s%s %s\n             ", one->method.len ? " " : "",
           one->vhost.len ? print_text(p, one->vhost.at, one->vhost.len) : "-",
           print_text(p, one->uri.at, one->uri.len));
    for (i = 0; i < LOG_TIME_TOTAL; ++i) {
        printf("%s%s %s", i ? ", " : "", log_time_names[i],
               one->times[i] < 0 ? "-" : print_time(p, one->times[i]));
    }
    if (one->id.len) {
        printf(", id %s", print_text(p, one->id.at, one->id.len));
    }
    putchar('\n');
}

static void print_slow(apr_pool_t *p, const log_slow_t *slow)
{
    apr_pool_t *pool;
    int i;

    if (!slow->len) {
        return;
    }
    fputs("\nSlowest requests\n", stdout);
    apr_pool_create(&pool, p);
    for (i = 0; i < slow->len; ++i) {
        print_slow_one(pool, slow->ones[i]);
        apr_pool_clear(pool);
    }
}

void log_print(apr_pool_t *p, const log_summary_t *summary)
{
    const log_group_t *total = log_groups_total(summary->groups);

    if (!total->requests) {
        puts("no requests");
        return;
    }
    print_total(p, summary, total);
    print_groups(p, summary, total->requests);
    print_slow(p, summary->slow);
}
