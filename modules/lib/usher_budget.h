/**
 * @file  usher_budget.h
 * @brief How many requests may be sent a second time: a share of those that
 *        came in the last seconds, so that replays never become a storm.
 *
 * Lies in shared memory: fixed width, no pointers, zeros are a fresh one. Any
 * number of threads and processes may use one at the same time without a lock,
 * and be killed at any instruction; whatever stands there is understood.
 */
#ifndef USHER_BUDGET_H
#define USHER_BUDGET_H

#include <apr.h>
#include <stdatomic.h>

/** Longest window, in seconds. */
#define USHER_BUDGET_WINDOW_MAX 60

/** One word per second of the last minute, and a few to spare. */
#define USHER_BUDGET_SECONDS 64

typedef struct usher_budget_t {
    /** Which second it is of, requests and replays in it: usher_budget.c. */
    _Atomic apr_uint64_t seconds[USHER_BUDGET_SECONDS];
} usher_budget_t;
_Static_assert(sizeof(usher_budget_t) == 512, "part of a segment's layout");

/** Requests and replays of a window. */
typedef struct usher_budget_count_t {
    apr_uint64_t requests;
    apr_uint64_t replays;
} usher_budget_count_t;

/**
 * Count a request; once for each, however often it is sent.
 * @param now  milliseconds of the boot clock
 */
void usher_budget_request(usher_budget_t *budget, apr_int64_t now);

/**
 * Take a replay out of the budget.
 * @param now      milliseconds of the boot clock
 * @param percent  of the window's requests may be replayed
 * @param window   seconds, 1 to USHER_BUDGET_WINDOW_MAX; what is over it counts
 *                 as that
 * @param least    so many may be in any case
 * @return 1: the replay is counted and may be done; 0: over the budget
 */
int usher_budget_take(usher_budget_t *budget, apr_int64_t now,
                      unsigned int percent, unsigned int window,
                      unsigned int least);

/**
 * What a window holds; for the log and for people.
 * @param window  seconds, as above
 */
usher_budget_count_t usher_budget_count(const usher_budget_t *budget,
                                        apr_int64_t now, unsigned int window);

#endif /* USHER_BUDGET_H */
