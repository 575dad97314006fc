/**
 * @file  usher_nonces.h
 * @brief Which numbers were used once, in shared memory, without locks.
 *
 * Of any number of threads and processes that use one number at the same moment exactly one is
 * told that it is new, or none where that one is killed meanwhile. A number that is known is never
 * forgotten before its time: where there is no room, no new one is taken.
 *
 * A place is one word: when it expires, in units of 32 s, and 49 bits of a keyed hash. A number
 * may lie in one of 128 places. That it is taken for another one of them happens once in a billion times.
 *
 * All times are milliseconds of the boot clock.
 */
#ifndef USHER_NONCES_H
#define USHER_NONCES_H

#include <apr.h>
#include <stdatomic.h>

#include "usher_siphash.h"

#define USHER_NONCES_ID_SIZE 16
/** Longest life of a number: it is kept up to 32 s longer than asked for. */
#define USHER_NONCES_LIFE_MAX (APR_INT64_C(50) * 3600 * 1000)
/** Places that one number may lie in. */
#define USHER_NONCES_PLACES 128

/** What the memory begins with. */
typedef struct usher_nonces_t {
    unsigned char secret[USHER_SIPHASH_KEY_SIZE];
    _Atomic apr_uint64_t cleared; /**< places that were taken and given back */
    char pad[40];
    _Atomic apr_uint64_t places[];
} usher_nonces_t;
_Static_assert(sizeof(usher_nonces_t) == 64, "part of a segment's layout");

#define USHER_NONCES_SIZE_MIN (sizeof(usher_nonces_t) + USHER_NONCES_PLACES * sizeof(apr_uint64_t))

typedef enum {
    USHER_NONCES_NEW,  /**< and it is known now */
    USHER_NONCES_USED, /**< it was known, or is being entered by somebody else */
    USHER_NONCES_FULL  /**< there is no room for it */
} usher_nonces_e;

/**
 * Use a number.
 * @param size  of the memory; at least USHER_NONCES_SIZE_MIN
 * @param life  for how long it is known; up to USHER_NONCES_LIFE_MAX
 */
usher_nonces_e usher_nonces_use(usher_nonces_t *nonces, apr_uint64_t size,
                                const unsigned char id[USHER_NONCES_ID_SIZE], apr_int64_t now,
                                apr_int64_t life);

/**
 * Take the secret and all numbers into other memory, which is all zeros.
 * @param kept     gets how many
 * @param dropped  gets how many there was no room for
 */
void usher_nonces_carry(usher_nonces_t *to, apr_uint64_t to_size, const usher_nonces_t *from,
                        apr_uint64_t from_size, apr_int64_t now, apr_uint64_t *kept,
                        apr_uint64_t *dropped);

/** How many are known now, and how many there is room for. */
apr_uint64_t usher_nonces_count(const usher_nonces_t *nonces, apr_uint64_t size, apr_int64_t now,
                                apr_uint64_t *places);

#endif /* USHER_NONCES_H */
