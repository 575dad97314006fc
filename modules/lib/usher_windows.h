/**
 * @file  usher_windows.h
 * @brief How often something happened lately, by key: sliding windows in shared memory, without locks.
 *
 * Any number of threads and processes add at the same time, and are killed at any instruction: each
 * amount is added by one atomic change. Any contents are taken; then sums are wrong until a window
 * has passed.
 *
 * A window is eight parts of its time: the one that passes and the seven before it. So nothing counts that is
 * older than the window, and what is younger than seven eighths of it always does. A key lies in one of 16
 * places, which its hash names; where they are all taken, the one goes whose window is over first.
 *
 * All times are milliseconds of the boot clock.
 */
#ifndef USHER_WINDOWS_H
#define USHER_WINDOWS_H

#include <apr.h>
#include <stdatomic.h>

#include "usher_siphash.h"

#define USHER_WINDOWS_PLACES 16
#define USHER_WINDOWS_PARTS 8
/** A part's sum stays at this: 64 GiB. */
#define USHER_WINDOWS_PART_MAX ((APR_UINT64_C(1) << 36) - 1)
/** The shortest and the longest window. */
#define USHER_WINDOWS_MIN 8
#define USHER_WINDOWS_MAX (APR_INT64_C(30) * 24 * 3600 * 1000)

/** Places that one key may lie in. */
typedef struct usher_windows_bucket_t {
    _Atomic apr_uint64_t keys[USHER_WINDOWS_PLACES];
    _Atomic apr_uint64_t parts[USHER_WINDOWS_PLACES][USHER_WINDOWS_PARTS];
} usher_windows_bucket_t;

/** What the memory begins with. */
typedef struct usher_windows_t {
    unsigned char secret[USHER_SIPHASH_KEY_SIZE];
    _Atomic apr_uint64_t evicted; /**< keys that had to go before their windows were over */
    _Atomic apr_uint64_t told;    /**< how many of them people know of, and since when: of who tells them */
    _Atomic apr_int64_t told_at;
    char pad[24];
    usher_windows_bucket_t buckets[];
} usher_windows_t;
_Static_assert(sizeof(usher_windows_t) == 64, "part of a segment's layout");

#define USHER_WINDOWS_SIZE_MIN (sizeof(usher_windows_t) + sizeof(usher_windows_bucket_t))

/**
 * Add to a key's window.
 * @param size    of the memory, aligned to 64, which begins with zeros and a secret; at least USHER_WINDOWS_SIZE_MIN
 * @param within  the window, as always with this key; between the shortest and the longest
 * @return the sum with this one
 */
apr_uint64_t usher_windows_add(usher_windows_t *windows, apr_uint64_t size, const void *key,
                               apr_size_t len, apr_uint64_t amount, apr_int64_t now,
                               apr_int64_t within);

/** The sum is 0 again. What others add meanwhile may be in it or not. */
void usher_windows_clear(usher_windows_t *windows, apr_uint64_t size, const void *key, apr_size_t len,
                         apr_int64_t now);

/**
 * Take the secret and all windows that are not over into other memory, which is all zeros.
 * @param kept     gets how many
 * @param dropped  gets how many had to go for others
 */
void usher_windows_carry(usher_windows_t *to, apr_uint64_t to_size, const usher_windows_t *from,
                         apr_uint64_t from_size, apr_int64_t now, apr_uint64_t *kept,
                         apr_uint64_t *dropped);

#endif /* USHER_WINDOWS_H */
