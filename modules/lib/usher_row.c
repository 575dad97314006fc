#include "usher_row.h"

#include <stdlib.h>

static apr_uint32_t row_divisor(apr_uint32_t a, apr_uint32_t b)
{
    while (b) {
        apr_uint32_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static int row_compare(const void *a, const void *b)
{
    apr_uint64_t one = *(const apr_uint64_t *)a, other = *(const apr_uint64_t *)b;

    return one < other ? -1 : one > other;
}

/* Sorts the indexes by their reduced weights, and by themselves. */
static apr_uint32_t row_sort(apr_uint64_t *sorted, const apr_uint32_t *weights, apr_uint32_t n,
                             apr_uint32_t size)
{
    apr_uint64_t sum = 0, reduced = 0;
    apr_uint32_t divisor = 0, i;

    for (i = 0; i < n; ++i) {
        divisor = row_divisor(weights[i], divisor);
        sum += weights[i];
    }
    for (i = 0; i < n && divisor; ++i) {
        apr_uint64_t weight = sum / divisor <= size ? weights[i] / divisor
                                                    : 1 + weights[i] * (apr_uint64_t)(size - n) / sum;

        reduced += weight;
        sorted[i] = weight << 32 | i;
    }
    qsort(sorted, n, sizeof(*sorted), row_compare);
    return (apr_uint32_t)reduced;
}

static apr_uint32_t row_group(usher_row_group_t *groups, const apr_uint64_t *sorted, apr_uint32_t n)
{
    apr_uint32_t count = 0, i;

    for (i = 0; i < n; ++i) {
        apr_uint32_t weight = (apr_uint32_t)(sorted[i] >> 32);

        if (!count || groups[count - 1].weight != weight) {
            usher_row_group_t group = { 0, weight, i, i, i };

            groups[count++] = group;
        }
        groups[count - 1].end = i + 1;
    }
    return count;
}

/* Of one weight the next one of the group is furthest: so it is enough to look at one
 * of each group. */
apr_uint32_t usher_row_make(usher_row_cell_t *row, apr_uint32_t size, const apr_uint32_t *weights,
                            apr_uint32_t n, apr_uint64_t *sorted, usher_row_group_t *groups)
{
    apr_uint32_t len = row_sort(sorted, weights, n, size);
    apr_uint32_t count = row_group(groups, sorted, n), cell, i;

    for (cell = 0; cell < len; ++cell) {
        usher_row_group_t *best = groups;

        for (i = 0; i < count; ++i) {
            usher_row_group_t *group = &groups[i];

            group->turn += group->weight;
            if (group->turn > best->turn
                || (group->turn == best->turn
                    && (apr_uint32_t)sorted[group->at] < (apr_uint32_t)sorted[best->at])) {
                best = group;
            }
        }
        atomic_store_explicit(&row[cell], (apr_uint32_t)sorted[best->at], memory_order_relaxed);
        if (++best->at == best->end) { /* the first one has had a turn more than is seen here */
            best->at = best->begin;
            best->turn -= len;
        }
    }
    return len;
}
