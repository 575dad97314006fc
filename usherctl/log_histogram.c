/* Histograms with a relative error. */
#include "log_histogram.h"

#define STEPS_BITS 5 /* LOG_HISTOGRAM_STEPS is 2 to this */

static int histogram_shift(apr_int64_t value)
{
    int power = 63 - __builtin_clzll((unsigned long long)value | 1);

    return power > STEPS_BITS ? power - STEPS_BITS : 0;
}

static apr_uint64_t *histogram_chunk(log_histogram_t *histogram, apr_pool_t *p, int chunk)
{
    if (!histogram->chunks[chunk]) {
        histogram->chunks[chunk] = apr_pcalloc(p, LOG_HISTOGRAM_STEPS * sizeof(apr_uint64_t));
    }
    return histogram->chunks[chunk];
}

void log_histogram_add(log_histogram_t *histogram, apr_pool_t *p, apr_int64_t value)
{
    int shift = histogram_shift(value);
    int chunk = value < LOG_HISTOGRAM_STEPS ? 0 : shift + 1;

    ++histogram_chunk(histogram, p, chunk)[value >> shift & (LOG_HISTOGRAM_STEPS - 1)];
    ++histogram->count;
    histogram->sum += (apr_uint64_t)value;
    histogram->max = value > histogram->max ? value : histogram->max;
}

void log_histogram_merge(log_histogram_t *into, apr_pool_t *p, const log_histogram_t *from)
{
    int chunk, step;

    for (chunk = 0; chunk < LOG_HISTOGRAM_CHUNKS; ++chunk) {
        for (step = 0; from->chunks[chunk] && step < LOG_HISTOGRAM_STEPS; ++step) {
            histogram_chunk(into, p, chunk)[step] += from->chunks[chunk][step];
        }
    }
    into->count += from->count;
    into->sum += from->sum;
    into->max = from->max > into->max ? from->max : into->max;
}

/* The middle of the values that fall into a step. */
static apr_int64_t histogram_middle(int chunk, int step)
{
    apr_int64_t width = chunk ? APR_INT64_C(1) << (chunk - 1) : 1;

    return chunk ? (LOG_HISTOGRAM_STEPS + step) * width + (width - 1) / 2 : step;
}

apr_int64_t log_histogram_percentile(const log_histogram_t *histogram, int percent)
{
    /* The nearest rank, without what multiplying would run over */
    apr_uint64_t rank = histogram->count / 100 * (apr_uint64_t)percent
                        + (histogram->count % 100 * (apr_uint64_t)percent + 99) / 100;
    apr_uint64_t seen = 0;
    int chunk, step;

    for (chunk = 0; chunk < LOG_HISTOGRAM_CHUNKS; ++chunk) {
        for (step = 0; histogram->chunks[chunk] && step < LOG_HISTOGRAM_STEPS; ++step) {
            seen += histogram->chunks[chunk][step];
            if (seen && seen >= rank) {
                apr_int64_t value = histogram_middle(chunk, step);

                return value < histogram->max ? value : histogram->max;
            }
        }
    }
    return histogram->max;
}
