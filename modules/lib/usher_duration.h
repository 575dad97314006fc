/**
 * @file  usher_duration.h
 * @brief Durations as people write them in a configuration: "500ms", "30m".
 */
#ifndef USHER_DURATION_H
#define USHER_DURATION_H

#include <apr_errno.h>
#include <apr_time.h>

/** No duration is longer: 100 years, so that sums never overflow. */
#define USHER_DURATION_MAX (APR_TIME_C(100) * 365 * 86400 * APR_USEC_PER_SEC)

/** Room for any duration as usher_duration_format() writes it, with its NUL. */
#define USHER_DURATION_SIZE 24

/**
 * Read a duration: a whole number and a unit, ms, s, min or m, h, d; without a
 * unit it is seconds, as in httpd's own directives.
 * @param duration  gets microseconds, 0 to USHER_DURATION_MAX; unchanged
 *                  unless APR_SUCCESS is returned
 * @param text      not NUL-terminated
 * @param len       bytes in @a text
 * @return APR_SUCCESS; APR_EINVAL: no such form; APR_ERANGE (ERANGE): too long
 */
apr_status_t usher_duration_parse(apr_interval_time_t *duration,
                                  const char *text, apr_size_t len);

/**
 * Write a duration in the largest unit that holds it exactly, down to ms;
 * fractions of a millisecond are cut off.
 * @param text      gets the text, NUL-terminated
 * @param duration  microseconds, 0 to USHER_DURATION_MAX
 * @return @a text
 */
char *usher_duration_format(char text[USHER_DURATION_SIZE],
                            apr_interval_time_t duration);

#endif /* USHER_DURATION_H */
