/**
 * @file  usher_clock.h
 * @brief The two clocks of the suite and the identity of the boot.
 *
 * Inside one boot everything counts on the boot clock, which never jumps and
 * goes on while the machine is suspended. UTC is for what leaves the machine
 * or outlives the boot (usher_expiry.h), and for what people read.
 */
#ifndef USHER_CLOCK_H
#define USHER_CLOCK_H

#include <apr_time.h>

/** A boot id: 36 characters of a UUID and a NUL. */
#define USHER_BOOT_ID_SIZE 37

/** "2026-11-22T01:25:39.000000+00:00" and a NUL. */
#define USHER_UTC_SIZE 33

/** Where the time comes from; tests put their own functions here. */
typedef struct usher_clock_t {
    /** Microseconds since the machine started, suspended time included. */
    apr_time_t (*boot_now)(void);
    /** Microseconds since 1970-01-01 UTC; may jump in either direction. */
    apr_time_t (*utc_now)(void);
    /** Fills in this boot's id; an empty one where the system has none. */
    void (*boot_id)(char id[USHER_BOOT_ID_SIZE]);
} usher_clock_t;

/**
 * The clocks of this machine. May be called anywhere, by any thread.
 * @return never NULL; static
 */
const usher_clock_t *usher_clock_system(void);

/**
 * Write a time for people and records: RFC 3339 in UTC with its offset.
 * @param text  gets the text, NUL-terminated
 * @param utc   microseconds since 1970, up to the year 9999
 * @return @a text
 */
char *usher_utc_format(char text[USHER_UTC_SIZE], apr_time_t utc);

/**
 * Read what usher_utc_format() wrote, and nothing else.
 * @param utc   gets microseconds since 1970; unchanged unless APR_SUCCESS is
 *              returned
 * @param text  not NUL-terminated
 * @param len   bytes in @a text
 * @return APR_SUCCESS; APR_EINVAL
 */
apr_status_t usher_utc_parse(apr_time_t *utc, const char *text, apr_size_t len);

#endif /* USHER_CLOCK_H */
