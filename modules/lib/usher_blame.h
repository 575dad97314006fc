/**
 * @file  usher_blame.h
 * @brief The last thing that told against a backend server: when, and what. For people.
 *
 * Lies in shared memory, one word: zero is nothing so far, whatever stands there is
 * understood.
 */
#ifndef USHER_BLAME_H
#define USHER_BLAME_H

#include <apr.h>
#include <stdatomic.h>

typedef struct usher_blame_t {
    _Atomic apr_uint64_t word; /**< boot clock in ms, what in the lowest byte */
} usher_blame_t;
_Static_assert(sizeof(usher_blame_t) == 8, "part of a segment's layout");

/** @param now   boot clock, ms @param what  above 0; a usher_outcome_e */
static inline void usher_blame_note(usher_blame_t *blame, apr_int64_t now, unsigned int what)
{
    atomic_store_explicit(&blame->word, (apr_uint64_t)now << 8 | (what & 0xff),
                          memory_order_relaxed);
}

/** What it was; 0: nothing so far. @param at  gets when, boot clock in ms */
static inline unsigned int usher_blame_last(const usher_blame_t *blame, apr_int64_t *at)
{
    apr_uint64_t word = atomic_load_explicit(&blame->word, memory_order_relaxed);

    *at = (apr_int64_t)(word >> 8);
    return (unsigned int)(word & 0xff);
}

#endif /* USHER_BLAME_H */
