/**
 * @file  usher_health.h
 * @brief What the outcomes of its requests tell of a backend server: whether it
 *        may get some, rests, or shall be tried by one.
 *
 * A member is up; after failures it rests; when the rest is over exactly one
 * request tries it; when that goes well its share of the requests grows slowly
 * (slow start) until it is up again.
 *
 * Lies in shared memory: fixed width, no pointers, zeros are a member that is
 * up. Any number of threads and processes may use one at the same time without
 * a lock, and be killed at any instruction; whatever stands there is understood,
 * and no garbage lasts longer than USHER_HEALTH_TIME_MAX.
 *
 * All times are milliseconds of the boot clock.
 */
#ifndef USHER_HEALTH_H
#define USHER_HEALTH_H

#include <apr.h>
#include <stdatomic.h>

/** Longest time of a setting: one hour. What is longer counts as that. */
#define USHER_HEALTH_TIME_MAX 3600000

/** Into so many parts the time is divided in which failures are counted. */
#define USHER_HEALTH_PARTS 16

typedef struct usher_health_t {
    _Atomic apr_uint64_t state; /**< what, since when, how long: usher_health.c */
    _Atomic apr_uint64_t failures[USHER_HEALTH_PARTS];
    _Atomic apr_uint32_t rests;  /**< how often it began to rest */
    _Atomic apr_uint32_t probes; /**< how often it was tried after a rest */
} usher_health_t;
_Static_assert(sizeof(usher_health_t) == 144, "part of a segment's layout");

/** Settings; the caller's, the same for all who use a member. */
typedef struct usher_health_params_t {
    apr_uint32_t failures;  /**< so many... 0: it never rests */
    apr_uint32_t within;    /**< ...in this time, ms, and it rests */
    apr_uint32_t rest;      /**< ms */
    apr_uint32_t slowstart; /**< ms; 0: its whole share at once */
    apr_uint32_t share;     /**< percent of the members that may rest when they
                             * could be connected to: usher_health_may_rest() */
} usher_health_params_t;

typedef enum {
    USHER_HEALTH_USABLE,  /**< for its share of the requests */
    USHER_HEALTH_RESTING, /**< for none, or another request tries it just now */
    USHER_HEALTH_DUE      /**< its rest is over: who wins usher_health_try() */
} usher_health_e;

/** A whole share. */
#define USHER_HEALTH_SHARE 1000

/**
 * Look at a member. Changes nothing, so it may be asked for all members before
 * one is chosen.
 * @param share  gets how much of its requests it shall have, 1 to
 *               USHER_HEALTH_SHARE; less than that in a slow start. Or NULL
 */
usher_health_e usher_health_look(const usher_health_t *health, apr_int64_t now,
                                 const usher_health_params_t *params,
                                 unsigned int *share);

/** When somebody should try a member that rests, or is tried; others: for ever. */
apr_int64_t usher_health_due_at(const usher_health_t *health, apr_int64_t now);

/**
 * Claim the right to try a member that is due. Who wins must use it for its
 * next attempt and tell how that ended. The claim lasts as long as a rest:
 * then, should the winner have been killed, somebody else may try, with a claim
 * twice as long, should the winner still wait for its answer.
 * @return 1: won; 0: another one tries it, or it is not due any more
 */
int usher_health_try(usher_health_t *health, apr_int64_t now,
                     const usher_health_params_t *params);

/** What usher_health_verdict() says. */
typedef enum {
    USHER_HEALTH_VERDICT_USABLE,
    USHER_HEALTH_VERDICT_RESTING,
    USHER_HEALTH_VERDICT_PROBE /**< this caller tries it */
} usher_health_verdict_e;

/** Look, and try it where it is due: for who uses the member if he may. */
usher_health_verdict_e usher_health_verdict(usher_health_t *health,
                                            apr_int64_t now,
                                            const usher_health_params_t *params,
                                            unsigned int *share);

/**
 * An attempt went well.
 * @param began  when the attempt began: one from before a rest says nothing of
 *               the member as it is now
 * @return 1: this ended a rest (for the log)
 */
int usher_health_ok(usher_health_t *health, apr_int64_t began, apr_int64_t now,
                    const usher_health_params_t *params);

/**
 * An attempt failed.
 * @param began     as above
 * @param hard      no connection could be had: it rests at once
 * @param may_rest  0: too many others rest; the failure is counted all the same
 * @return 1: it begins to rest now (for the log)
 */
int usher_health_failed(usher_health_t *health, apr_int64_t began,
                        apr_int64_t now, const usher_health_params_t *params,
                        int hard, int may_rest);

/**
 * The member was known to be down in another way, by its health checks, and is back:
 * whatever it was, it is usable now, for a share that grows.
 * @param slowstart  ms; 0: its whole share at once
 */
void usher_health_returned(usher_health_t *health, apr_int64_t now, apr_uint32_t slowstart);

/**
 * Whether a member's next failure is nothing new: it rests or is tried, or has
 * failed within the time in which failures count.
 */
int usher_health_is_failing(const usher_health_t *health, apr_int64_t now,
                            const usher_health_params_t *params);

/**
 * An attempt that had the claim ended and tells nothing of the member: it gives
 * the claim back, and the next request tries. Not for an attempt without: it
 * would give away somebody else's.
 * @param began  as above
 */
void usher_health_unknown(usher_health_t *health, apr_int64_t began,
                          apr_int64_t now, const usher_health_params_t *params);

/** How a member stands, for people. */
typedef enum {
    USHER_HEALTH_IS_UP,
    USHER_HEALTH_IS_RESTING,
    USHER_HEALTH_IS_DUE,
    USHER_HEALTH_IS_TRIED,
    USHER_HEALTH_IS_SLOW /**< in its slow start */
} usher_health_is_e;

typedef struct usher_health_told_t {
    usher_health_is_e is;
    apr_int64_t since; /**< 0: always */
    apr_int64_t left;  /**< ms until the rest or the slow start is over */
    unsigned int share;
    apr_uint64_t failures; /**< that count still */
} usher_health_told_t;

/** @param within  ms: in which time failures count */
void usher_health_tell(const usher_health_t *health, apr_int64_t now, apr_int64_t within,
                       usher_health_told_t *told);

/**
 * Whether one more may rest. What fails after a connection was made may be the
 * requests' fault, and must not stop a whole balancer, so the share counts. Where
 * there is no connection to be had nothing is lost as long as another member is
 * left.
 * @param members  of the balancer that are switched on, this one too
 * @param others   of them that rest, are due or are tried, without this one
 * @param no_link  there was no connection
 * @return 1 or 0
 */
static inline int usher_health_may_rest(apr_uint32_t members, apr_uint32_t others, int no_link,
                                        const usher_health_params_t *params)
{
    if (no_link) {
        return (apr_uint64_t)others + 1 < members;
    }
    return ((apr_uint64_t)others + 1) * 100 <= (apr_uint64_t)members * params->share;
}

#endif /* USHER_HEALTH_H */
