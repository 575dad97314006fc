/**
 * @file  usher_shares.h
 * @brief Which part of all that happened in the last ten minutes was somebody's.
 *
 * Count-min sketches of one minute each, without locks: what is told of somebody is never less than
 * what is true, and more than that by half a percent of all at most (in 98 of 100 cases). The minute that
 * passes and the nine before count.
 *
 * Lies in shared memory; zeros are empty, and any contents are taken: then the shares are wrong till ten
 * minutes have passed.
 */
#ifndef USHER_SHARES_H
#define USHER_SHARES_H

#include <apr.h>
#include <stdatomic.h>

#define USHER_SHARES_MINUTES 10
#define USHER_SHARES_ROWS    4
#define USHER_SHARES_COLUMNS 512

typedef struct usher_shares_minute_t {
    _Atomic apr_uint64_t minute; /**< from 1; 0: none */
    _Atomic apr_uint64_t all;
    _Atomic apr_uint32_t cells[USHER_SHARES_ROWS][USHER_SHARES_COLUMNS];
} usher_shares_minute_t;

typedef struct usher_shares_t {
    apr_uint64_t key; /**< chance: nobody outside can choose who shares cells with whom */
    apr_uint64_t pad;
    usher_shares_minute_t minutes[USHER_SHARES_MINUTES];
} usher_shares_t;
_Static_assert(sizeof(usher_shares_t) == 16 + 10 * (16 + 4 * 512 * 4), "part of a segment's layout");

/**
 * Something happened that is somebody's.
 * @param who  a number for him
 * @param now  ms, of a clock that does not jump
 */
void usher_shares_add(usher_shares_t *shares, apr_uint64_t who, apr_int64_t now);

/** @param all  gets how much happened @return how much of it was his */
apr_uint64_t usher_shares_get(const usher_shares_t *shares, apr_uint64_t who, apr_int64_t now, apr_uint64_t *all);

#endif /* USHER_SHARES_H */
