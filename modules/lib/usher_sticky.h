/**
 * @file  usher_sticky.h
 * @brief What became of a cluster's sticky cookies, counted in its record.
 */
#ifndef USHER_STICKY_H
#define USHER_STICKY_H

#include <apr.h>
#include <stdatomic.h>

typedef enum {
    USHER_STICKY_VALID,       /**< came, and hold; those that follow are others */
    USHER_STICKY_MALFORMED,   /**< came, and are no token at all */
    USHER_STICKY_UNKNOWN_KEY, /**< sealed with a key that is not there (any more) */
    USHER_STICKY_FORGED,      /**< changed, or of another cluster or scope */
    USHER_STICKY_EXPIRED,     /**< past idle= or life= */
    USHER_STICKY_EARLY,       /**< from the future, by more than the clocks may differ */
    USHER_STICKY_NEW,         /**< set for a session that had none */
    USHER_STICKY_REFRESHED,   /**< set anew for the same member */
    USHER_STICKY_MOVED,       /**< set anew for another member */
    USHER_STICKY_DOWN,        /**< valid ones whose member could not serve */
    USHER_STICKY_COUNTS
} usher_sticky_e;

/** Zeros are fresh. */
typedef struct usher_sticky_t {
    _Atomic apr_uint64_t counts[USHER_STICKY_COUNTS];
    _Atomic apr_int64_t window; /**< ms in which a session counts as seen, for usher_sketch.h;
                                 * 0: there are no cookies */
} usher_sticky_t;
_Static_assert(sizeof(usher_sticky_t) == 88, "part of a segment's layout");

static inline void usher_sticky_count(usher_sticky_t *sticky, usher_sticky_e what)
{
    atomic_fetch_add_explicit(&sticky->counts[what], 1, memory_order_relaxed);
}

#endif /* USHER_STICKY_H */
