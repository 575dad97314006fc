/**
 * @file  usher_row.h
 * @brief Turns by weight, spread evenly, and repeated: smooth weighted round robin.
 *
 * With the weights 3, 1 and 1 the row is 0 1 0 2 0. In each step each index's turn
 * grows by its weight; who is furthest, the first of those, is next and goes back by
 * the sum of the weights.
 */
#ifndef USHER_ROW_H
#define USHER_ROW_H

#include <apr.h>
#include <stdatomic.h>

/** Atomic, as a row may be read while it is made anew: then it is a mixture of both. */
typedef _Atomic apr_uint32_t usher_row_cell_t;

/** Indexes of one weight, which take turns; scratch for usher_row_make(). */
typedef struct usher_row_group_t {
    apr_int64_t turn;
    apr_uint32_t weight;
    apr_uint32_t begin, end, at; /**< among the sorted indexes */
} usher_row_group_t;

/**
 * Make the row. It is exact where the weights, without their common divisor, make
 * together at most its size; else they are rounded.
 * @param row      size cells; gets indexes below n
 * @param size     at least n
 * @param weights  n, none of them 0
 * @param sorted   scratch, n
 * @param groups   scratch, n
 * @return how many cells are used: then it begins anew
 */
apr_uint32_t usher_row_make(usher_row_cell_t *row, apr_uint32_t size, const apr_uint32_t *weights,
                            apr_uint32_t n, apr_uint64_t *sorted, usher_row_group_t *groups);

#endif /* USHER_ROW_H */
