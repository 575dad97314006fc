/**
 * @file  usher_tally.h
 * @brief Counts of what is going on now, kept by many processes, which no process that is
 *        killed spoils.
 *
 * Each counter has a total, wherever its user keeps it, and a word in the row of each
 * process. Who takes counts in its row first and in the total then, and gives back the
 * other way round: so a total is at most the sum of the rows, and what it has more than
 * the rows of living processes comes from dead ones. usher_tally_mend() takes that out.
 *
 * Rows lie in shared memory: fixed width, no pointers; zeros are fresh. There is no lock;
 * whatever stands there is understood.
 */
#ifndef USHER_TALLY_H
#define USHER_TALLY_H

#include <apr.h>
#include <apr_pools.h>
#include <stdatomic.h>
#include <unistd.h>

/** A counter for which no rows are kept: its total is this process's own. */
#define USHER_TALLY_PRIVATE APR_UINT32_MAX

/** No process's row counts as more. */
#define USHER_TALLY_ROW_MAX 65535

/** Whose a row is. */
typedef struct usher_tally_owner_t {
    _Atomic apr_uint64_t who;  /**< pid and how far it is; 0: nobody */
    apr_uint32_t epoch;        /**< what its counters are numbers of */
    apr_uint32_t pad;
} usher_tally_owner_t;
_Static_assert(sizeof(usher_tally_owner_t) == 16, "part of a segment's layout");

/** Where a process finds it all. Set by usher_tally_open(). */
typedef struct usher_tally_t {
    _Atomic apr_uint64_t *joins;   /**< grows after each process that comes in */
    usher_tally_owner_t *owners;
    _Atomic apr_uint64_t *words;   /**< row after row; the last row: what totals lacked */
    _Atomic apr_uint64_t *own;     /**< this process's row; NULL: it has none */
    _Atomic apr_uint64_t alone;    /**< its word for private counters */
    apr_uint32_t rows;
    apr_uint32_t counters;
    apr_uint32_t epoch;
} usher_tally_t;

/** Bytes for so many rows and counters. */
apr_uint64_t usher_tally_size(apr_uint32_t rows, apr_uint32_t counters);

/**
 * @param base   aligned to 64
 * @param rows   as many processes may be there at a time: the same in all of them
 * @param epoch  rows that were begun in another one do not count: for when the counters'
 *               numbers mean something else
 */
void usher_tally_open(usher_tally_t *tally, void *base, apr_uint64_t size, apr_uint32_t rows,
                      apr_uint32_t epoch);

/**
 * Take a row for this process, before its threads begin.
 * @return 0: all are taken. It then counts nothing, and bounds hold for what others count
 */
int usher_tally_join(usher_tally_t *tally, pid_t pid);

/** A process has ended: its row counts no more. */
void usher_tally_left(const usher_tally_t *tally, pid_t pid);

/** The same for all for whose pid this says so. */
void usher_tally_left_all(const usher_tally_t *tally, int (*is_gone)(pid_t pid));

/**
 * Count one.
 * @param total    of the counter
 * @param max      the total does not get above it, whoever counts at the same time; 0: no limit
 * @param own_max  the same for this process's part; 0: no limit
 * @return 0: there is no room
 */
int usher_tally_take(usher_tally_t *tally, apr_uint32_t counter, _Atomic apr_uint32_t *total,
                     apr_uint32_t max, apr_uint32_t own_max);

/**
 * Take it out again; after a successful usher_tally_take() by this process.
 * @param total  NULL: it is another counter's by now, only the row is mended
 */
void usher_tally_give(usher_tally_t *tally, apr_uint32_t counter, _Atomic apr_uint32_t *total);

/** The rows that count, for a row of calls of usher_tally_mend(). */
typedef struct usher_tally_scan_t {
    apr_uint64_t joins;
    apr_uint32_t count;
    apr_uint32_t *rows;
    apr_uint64_t *words;
} usher_tally_scan_t;

usher_tally_scan_t *usher_tally_scan(const usher_tally_t *tally, apr_pool_t *p);

/**
 * Make a total what the rows of living processes say; in one process at a time.
 *
 * What it has too much goes at once: that is exact, also while others count. What it
 * has too little may be a thread just between its row and the total: only what it lacked the
 * last time, too, is added.
 * @return what was added to it; may be negative
 */
apr_int64_t usher_tally_mend(const usher_tally_t *tally, usher_tally_scan_t *scan,
                             apr_uint32_t counter, _Atomic apr_uint32_t *total);

#endif /* USHER_TALLY_H */
