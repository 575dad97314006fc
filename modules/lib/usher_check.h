/**
 * @file  usher_check.h
 * @brief What health checks in the background tell of a member: whether it is up or
 *        down, since when, and how the last check ended.
 *
 * Lies in shared memory: fixed width, no pointers, zeros are a member that was never
 * checked. Any number of threads and processes may use one at the same time without
 * a lock, and be killed at any instruction; whatever stands there is understood, and
 * made good by the next checks.
 *
 * Times without another word are milliseconds of the boot clock.
 */
#ifndef USHER_CHECK_H
#define USHER_CHECK_H

#include <apr.h>
#include <stdatomic.h>

/** Longest interval and time-out: one hour. */
#define USHER_CHECK_TIME_MAX 3600000
/** Most checks in a row that a setting may ask for. */
#define USHER_CHECK_RUN_MAX 1000

typedef struct usher_check_t {
    _Atomic apr_uint64_t state;     /**< of whom, kind, up or down, how many in a row: usher_check.c */
    _Atomic apr_int64_t next_at;    /**< who changes it by compare-and-set makes that check */
    _Atomic apr_int64_t last_at;    /**< UTC, ms: when the last check ended; 0: never */
    _Atomic apr_int64_t changed_at; /**< UTC, ms: since when it is up or down */
    _Atomic apr_uint64_t passed;    /**< all checks, for statistics */
    _Atomic apr_uint64_t failed;
    _Atomic apr_uint32_t result;    /**< of the last one: USHER_CHECK_RESULT() */
    _Atomic apr_uint32_t took;      /**< of the last one: microseconds */
} usher_check_t;
_Static_assert(sizeof(usher_check_t) == 56, "part of a segment's layout");

/** What a check does. Its state belongs to its kind: another kind begins anew. */
typedef enum {
    USHER_CHECK_OFF,
    USHER_CHECK_TCP,
    USHER_CHECK_CPING,
    USHER_CHECK_HTTP,
    USHER_CHECK_HTTPS
} usher_check_kind_e;

typedef enum {
    USHER_CHECK_UNKNOWN, /**< no check has ended yet */
    USHER_CHECK_UP,
    USHER_CHECK_DOWN
} usher_check_state_e;

/** How a check ended. */
typedef enum {
    USHER_CHECK_NONE,
    USHER_CHECK_PASSED,
    USHER_CHECK_NO_NAME,     /**< its name has no address */
    USHER_CHECK_NAME_LATE,   /**< or is still looked up */
    USHER_CHECK_REFUSED,     /**< no connection; detail: the error's number */
    USHER_CHECK_UNREACHABLE, /**< no answer to the connect in time */
    USHER_CHECK_SILENT,      /**< no whole answer in time */
    USHER_CHECK_CLOSED,      /**< closed without a whole answer; detail: the error's number, or 0 */
    USHER_CHECK_MALFORMED,
    USHER_CHECK_STATUS,      /**< detail: the status */
    USHER_CHECK_UNEXPECTED,  /**< not as expect= says; detail: the status */
    USHER_CHECK_NO_CPONG,
    USHER_CHECK_TLS,         /**< the handshake failed */
    USHER_CHECK_OURS,        /**< it could not be made, by no fault of the member; detail: the
                              * error's number. Counts for nothing */
    USHER_CHECK_RESULTS      /**< their number */
} usher_check_result_e;

/** Result and detail in one word, so that they are never of two checks. */
#define USHER_CHECK_RESULT(what, detail) \
    ((apr_uint32_t)(what) << 16 | ((apr_uint32_t)(detail) & 0xFFFF))
#define USHER_CHECK_WHAT(result)   ((result) >> 16)
#define USHER_CHECK_DETAIL(result) ((int)((result) & 0xFFFF))

/**
 * Which server a member's state is of, one that signs itself in: its generation, of which
 * these bits are kept. 0: others, whose record belongs to one server.
 */
#define USHER_CHECK_SERVER(generation) ((apr_uint32_t)(generation) & 0xFFFFFF)

/** Settings; the caller's, the same for all who check a member. */
typedef struct usher_check_params_t {
    usher_check_kind_e kind;
    int proves;                 /**< it gets no requests before its first good check, which
                                 * therefore is news; until then they come quickly, and one is
                                 * enough */
    apr_uint32_t server;        /**< USHER_CHECK_SERVER() */
    apr_uint32_t interval;      /**< ms, from one begin to the next */
    apr_uint32_t down_interval; /**< the same while it is down */
    apr_uint32_t timeout;       /**< ms, of a whole check */
    apr_uint32_t rise, fall;    /**< so many in a row */
    apr_uint32_t spread;        /**< any number, another one for each member: when in the
                                 * interval the checks after the first one are */
} usher_check_params_t;

/** A check that is claimed. */
typedef struct usher_check_turn_t {
    apr_int64_t held_until; /**< nobody else makes one before that; then this one is left out */
    apr_int64_t next_at;    /**< when the next one is due, once this one has ended */
} usher_check_turn_t;

/**
 * Claim the next check, where it is due.
 * @param turn  gets the claim, which ended() needs; where there is none to be had,
 *              held_until is when to ask again
 * @return 1: the caller makes it
 */
int usher_check_claim(usher_check_t *check, apr_int64_t now, const usher_check_params_t *params,
                      usher_check_turn_t *turn);

/**
 * A check has ended.
 * @param result  USHER_CHECK_RESULT()
 * @param took    microseconds
 * @param utc     ms
 * @return what the member has become by it, for the log, told to one caller only;
 *         USHER_CHECK_UNKNOWN: nothing new. That the first check ever went well is nothing new
 */
usher_check_state_e usher_check_ended(usher_check_t *check, const usher_check_params_t *params,
                                      const usher_check_turn_t *turn, apr_uint32_t result,
                                      apr_uint32_t took, apr_int64_t utc);

/** What is known. @param kind  of the checks now; of another kind nothing is known */
usher_check_state_e usher_check_state(const usher_check_t *check, usher_check_kind_e kind);

/** How many of the last checks were good, in a row. */
apr_uint32_t usher_check_good(const usher_check_t *check);

/**
 * Whether a member is down, and somebody still looks whether it is. What nobody has
 * confirmed for a minute after its time is not believed.
 */
int usher_check_is_down(const usher_check_t *check, apr_int64_t now);

/** Nothing is known any more, of checks of another kind than this one. */
void usher_check_forget(usher_check_t *check, usher_check_kind_e kind);

/**
 * A member may be another server by now: then nothing is known of it, and its first check is
 * due. Checks of the one before it, which may still be under way, tell nothing any more.
 * Only for who makes the checks, and knows the newest.
 * @param server  USHER_CHECK_SERVER()
 * @return 1: it is another one
 */
int usher_check_meet(usher_check_t *check, apr_uint32_t server);

/** Whether a server has passed a check since usher_check_meet(). */
int usher_check_is_proven(const usher_check_t *check, apr_uint32_t server);

/** Room for any text of usher_check_reason(). */
#define USHER_CHECK_REASON_SIZE 160

/**
 * How the last check ended, in words that go on after "its check failed: ".
 * @param took  microseconds
 * @return text
 */
char *usher_check_reason(char text[USHER_CHECK_REASON_SIZE], apr_uint32_t result,
                         apr_uint32_t took);

#endif /* USHER_CHECK_H */
