/**
 * @file  usher_expiry.h
 * @brief A moment of expiry that leaves the process: in a file, a database,
 *        another node, or over a boot.
 *
 * It is kept as what remained when it was written. In the same boot the boot
 * clock tells how much of that is over, and no jump of the wall clock matters;
 * otherwise UTC does, never giving back more than remained and never less than
 * nothing.
 */
#ifndef USHER_EXPIRY_H
#define USHER_EXPIRY_H

#include "usher_clock.h"

/** What is written; plain data, may be copied. */
typedef struct usher_expiry_t {
    apr_interval_time_t remaining; /**< microseconds, >= 0 */
    apr_time_t utc_written;        /**< microseconds since 1970 */
    apr_time_t boot_written;       /**< microseconds since the boot */
    char boot_id[USHER_BOOT_ID_SIZE];
} usher_expiry_t;

/** Room for the text of usher_expiry_format(), with its NUL. */
#define USHER_EXPIRY_SIZE 144

/**
 * Take down when something expires.
 * @param expiry      filled in
 * @param clock       usher_clock_system(), or a test's
 * @param expires_at  on the boot clock; in the past counts as now
 */
void usher_expiry_save(usher_expiry_t *expiry, const usher_clock_t *clock,
                       apr_time_t expires_at);

/**
 * When it expires, on the boot clock of now.
 * @param expiry  as saved, or parsed
 * @param clock   usher_clock_system(), or a test's
 * @return a time on the boot clock, never before now, never later than now
 *         plus what remained when it was saved
 */
apr_time_t usher_expiry_load(const usher_expiry_t *expiry,
                             const usher_clock_t *clock);

/**
 * Write it as one line of text without a line end:
 * "left=90000000us utc=2026-11-22T01:25:39.000000+00:00 up=5000000us boot=UUID".
 * @param text    gets the text, NUL-terminated
 * @param expiry  as saved
 * @return @a text
 */
char *usher_expiry_format(char text[USHER_EXPIRY_SIZE],
                          const usher_expiry_t *expiry);

/**
 * Read what usher_expiry_format() wrote, and nothing else.
 * @param expiry  filled in; unchanged unless APR_SUCCESS is returned
 * @param text    not NUL-terminated
 * @param len     bytes in @a text
 * @return APR_SUCCESS; APR_EINVAL
 */
apr_status_t usher_expiry_parse(usher_expiry_t *expiry, const char *text,
                                apr_size_t len);

#endif /* USHER_EXPIRY_H */
