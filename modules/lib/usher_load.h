/**
 * @file  usher_load.h
 * @brief How long a server takes to answer, as one number that forgets: it rises at
 *        once and falls slowly (a peak EWMA).
 *
 * Lies in shared memory: zeros are one that has not answered yet. Any number of
 * threads and processes may use one without a lock; an answer that is lost between
 * two of them changes nothing. Any contents are understood, and garbage is forgotten
 * within minutes.
 */
#ifndef USHER_LOAD_H
#define USHER_LOAD_H

#include <apr.h>
#include <stdatomic.h>

typedef struct usher_load_t {
    _Atomic apr_uint64_t word; /**< the time (upper half, 1/16 us) and when that was (ms) */
} usher_load_t;
_Static_assert(sizeof(usher_load_t) == 8, "part of a segment's layout");

/** A whole share. */
#define USHER_LOAD_SHARE 64
/** The least: who is slower than that gets a little all the same. */
#define USHER_LOAD_SHARE_MIN 4

/**
 * An answer came.
 * @param waited  microseconds
 * @param now     any clock that does not jump, ms
 */
void usher_load_answered(usher_load_t *load, apr_int64_t waited, apr_int64_t now);

/** How long it took at its last answer, in units that are comparable; 0: not known. */
static inline apr_uint32_t usher_load_time(const usher_load_t *load)
{
    return (apr_uint32_t)(atomic_load_explicit(&load->word, memory_order_relaxed) >> 32);
}

/**
 * What part of its requests a server shall have. Up to twice the time of the best one,
 * and 10 ms more, it is all of them, so that chance does not disturb the weights; from
 * there on the less the slower it is. What was long ago counts less and less.
 * @param best  the least usable usher_load_time() of those that share the requests
 * @return USHER_LOAD_SHARE_MIN to USHER_LOAD_SHARE
 */
unsigned int usher_load_share(const usher_load_t *load, apr_uint32_t best, apr_int64_t now);

#endif /* USHER_LOAD_H */
