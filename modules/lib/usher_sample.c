#include "usher_sample.h"

#define WHOLE ((apr_uint64_t)1 << 32)

static apr_uint64_t sample_cell(apr_uint64_t part, apr_uint32_t other)
{
    return (part < WHOLE ? part : WHOLE - 1) << 32 | other;
}

/* Each index has its weight as a part of a column's height, which is 1: what a big one
 * has too much fills up the columns of small ones (Vose's way). The small ones wait at
 * the scratch's beginning, the big ones at the end of its first half. */
void usher_sample_make(usher_sample_cell_t *cells, const apr_uint32_t *weights, apr_uint32_t n,
                       apr_uint64_t *scratch)
{
    apr_uint64_t *waiting = scratch, *part = scratch + n, sum = 0;
    apr_uint32_t small = 0, big = n, i;

    for (i = 0; i < n; ++i) {
        sum += weights[i];
    }
    for (i = 0; i < n && sum; ++i) {
        /* Up to n * 2^32: the product needs more than 64 bits. */
        part[i] = (apr_uint64_t)((double)weights[i] * n / (double)sum * (double)WHOLE);
        waiting[part[i] < WHOLE ? small++ : --big] = i;
    }
    while (small > 0 && big < n) {
        apr_uint32_t one = (apr_uint32_t)waiting[--small], other = (apr_uint32_t)waiting[big];

        atomic_store_explicit(&cells[one], sample_cell(part[one], other), memory_order_relaxed);
        part[other] -= WHOLE - part[one];
        if (part[other] < WHOLE) {
            ++big;
            waiting[small++] = other;
        }
    }
    /* Whole, but for what rounding took. */
    while (small > 0) {
        i = (apr_uint32_t)waiting[--small];
        atomic_store_explicit(&cells[i], sample_cell(WHOLE, i), memory_order_relaxed);
    }
    while (big < n) {
        i = (apr_uint32_t)waiting[big++];
        atomic_store_explicit(&cells[i], sample_cell(WHOLE, i), memory_order_relaxed);
    }
}
