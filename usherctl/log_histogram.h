/**
 * @file  log_histogram.h
 * @brief How times are spread: exact below 32, else in steps of a 32nd of the power of two
 *        below, so that what it tells is off by 1.6 % at most. Count, sum and maximum are exact.
 */
#ifndef LOG_HISTOGRAM_H
#define LOG_HISTOGRAM_H

#include <apr_pools.h>

#define LOG_HISTOGRAM_STEPS 32
/** One for the values below 32, and one for each power of two up to 2^44. */
#define LOG_HISTOGRAM_CHUNKS 41

/** Zeroed before the first value. */
typedef struct {
    apr_uint64_t count;
    apr_uint64_t sum;
    apr_int64_t max;
    apr_uint64_t *chunks[LOG_HISTOGRAM_CHUNKS]; /**< NULL: no value fell there yet */
} log_histogram_t;

/** @param value  0 to 2^44 */
void log_histogram_add(log_histogram_t *histogram, apr_pool_t *p, apr_int64_t value);

void log_histogram_merge(log_histogram_t *into, apr_pool_t *p, const log_histogram_t *from);

/** The value that so many percent of all values do not exceed; 0 where there is none. */
apr_int64_t log_histogram_percentile(const log_histogram_t *histogram, int percent);

#endif /* LOG_HISTOGRAM_H */
