/* In which order groups are told. */
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* A group, and by what it is sorted. */
typedef struct {
    log_group_t *group;
    apr_uint64_t weight;
} sort_item_t;

/* A member that never came so far is slower than any other; what needed none is not slow. */
static apr_uint64_t sort_time(const log_group_t *group, log_time_e time)
{
    const log_histogram_t *times = &group->times[time];

    if (!times->count && group->name_len == 1 && *group->name == '-') {
        return 0;
    }
    return times->count ? (apr_uint64_t)log_histogram_percentile(times, 95) : APR_UINT64_MAX;
}

static apr_uint64_t sort_weight(const log_group_t *group, log_sort_e sort, log_time_e time)
{
    switch (sort) {
    case LOG_SORT_REQUESTS:
        return group->requests;
    case LOG_SORT_ERRORS:
        return group->classes[5] + group->by_server;
    default:
        return sort_time(group, time);
    }
}

static int sort_compare(const void *a, const void *b)
{
    const sort_item_t *one = a, *other = b;
    apr_size_t len;
    int order;

    if (one->weight != other->weight) {
        return one->weight < other->weight ? 1 : -1;
    }
    if (one->group->requests != other->group->requests) {
        return one->group->requests < other->group->requests ? 1 : -1;
    }
    len = one->group->name_len < other->group->name_len ? one->group->name_len
                                                         : other->group->name_len;
    order = memcmp(one->group->name, other->group->name, len);
    return order ? order : one->group->name_len < other->group->name_len ? -1 : 1;
}

void log_groups_sort(log_groups_t *groups, log_sort_e sort, log_time_e time)
{
    int len = groups->all->nelts, i;
    log_group_t **all = (log_group_t **)(void *)groups->all->elts;
    sort_item_t *items = apr_palloc(groups->pool, sizeof(*items) * ((apr_size_t)len + 1));

    for (i = 0; i < len; ++i) {
        items[i].group = all[i];
        items[i].weight = sort_weight(all[i], sort, time);
    }
    qsort(items, (size_t)len, sizeof(*items), sort_compare);
    for (i = 0; i < len; ++i) {
        all[i] = items[i].group;
    }
}

static int sort_compare_ends(const void *a, const void *b)
{
    const log_end_t *one = a, *other = b;

    if (one->count != other->count) {
        return one->count < other->count ? 1 : -1;
    }
    return one->who != other->who ? one->who - other->who : one->phase - other->phase;
}

void log_group_sort_ends(log_group_t *group)
{
    qsort(group->ends, (size_t)group->ends_len, sizeof(group->ends[0]), sort_compare_ends);
}
