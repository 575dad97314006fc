/**
 * @file  usher_sample.h
 * @brief One of many by weight, in the same few instructions however many there are:
 *        an alias table.
 *
 * The cells are atomics, and each of them is valid by itself: who reads a table while
 * another thread makes it anew gets an index that is in range, of the old weights or
 * of the new ones.
 */
#ifndef USHER_SAMPLE_H
#define USHER_SAMPLE_H

#include <apr.h>
#include <stdatomic.h>

/** A column: up to which part of it it is its own index's (upper half), and whose the
 * rest is (lower half). */
typedef _Atomic apr_uint64_t usher_sample_cell_t;

/**
 * Make the table.
 * @param cells    n of them
 * @param weights  n, none of them 0
 * @param scratch  2 * n
 */
void usher_sample_make(usher_sample_cell_t *cells, const apr_uint32_t *weights, apr_uint32_t n,
                       apr_uint64_t *scratch);

/**
 * The index at a point of the table.
 * @param n      at least 1
 * @param point  evenly spread over all values: so are the indexes by their weights
 * @return below n
 */
static inline apr_uint32_t usher_sample_at(const usher_sample_cell_t *cells, apr_uint32_t n,
                                           apr_uint64_t point)
{
    apr_uint64_t at = (point >> 32) * n;
    apr_uint32_t column = (apr_uint32_t)(at >> 32);
    apr_uint64_t cell = atomic_load_explicit(&cells[column], memory_order_relaxed);
    apr_uint32_t other = (apr_uint32_t)cell;

    return (apr_uint32_t)at < (apr_uint32_t)(cell >> 32) || other >= n ? column : other;
}

/** Points for tickets 0, 1, 2 ...: any number of them in a row are spread more evenly
 * than chance would (multiples of the golden ratio). */
static inline apr_uint64_t usher_sample_even(apr_uint64_t ticket)
{
    return ticket * 0x9e3779b97f4a7c15u;
}

/** A point that looks like chance; another one for each ticket. */
static inline apr_uint64_t usher_sample_chance(apr_uint64_t ticket)
{
    ticket = (ticket ^ ticket >> 31) * 0xd6e8feb86659fd93u;
    ticket = (ticket ^ ticket >> 32) * 0xd6e8feb86659fd93u;
    return ticket ^ ticket >> 32;
}

#endif /* USHER_SAMPLE_H */
