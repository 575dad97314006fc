/**
 * @file  log_line.h
 * @brief Reads one line of an access log: those that mod_usher_log writes, and HAProxy's
 *        httplog.
 *
 * Whoever sends requests has written much of such a line. Nothing is allocated; all
 * functions are pure and may be called from any thread. Texts are as they stand in the
 * line: log_line_text() decodes them.
 */
#ifndef LOG_LINE_H
#define LOG_LINE_H

#include <apr.h>

#include "usher_parse.h"

/** Bytes of the line, not NUL-terminated; a length of 0: not known. */
typedef struct {
    const char *at;
    apr_size_t len;
} log_text_t;

typedef enum {
    LOG_LINE_USHER,   /**< %{usher}^US: the combined line and key=value */
    LOG_LINE_HTTPLOG, /**< %{httplog}^US, or HAProxy's own */
    LOG_LINE_JSON     /**< %{json}^US */
} log_line_kind_e;

typedef enum {
    LOG_TIME_READ,
    LOG_TIME_QUEUE,
    LOG_TIME_CONNECT,
    LOG_TIME_FIRST,
    LOG_TIME_TOTAL,
    LOG_TIMES
} log_time_e;

/** How far the parts of a state are told: who ended it, when, session, cookie. */
#define LOG_STATE_SIZE 4

/** Times are microseconds below this; what is more is no time. */
#define LOG_TIME_MAX (APR_INT64_C(1) << 44)

typedef struct {
    log_line_kind_e kind;
    int zoned;          /**< 0: the line does not say in which time zone it was written */
    apr_int64_t at;     /**< microseconds since 1970 in UTC, or in the zone that is not told */
    log_text_t client;
    log_text_t method, uri;
    log_text_t vhost, id, cluster, member;
    char state[LOG_STATE_SIZE];     /**< '-' for letters that are not told */
    int status;                     /**< 100 to 999; 0: none was sent */
    int tries, replays;             /**< -1: not known; httplog has the tries alone, 1 for none */
    apr_int64_t times[LOG_TIMES];   /**< microseconds; -1: it did not come so far */
    apr_int64_t bytes_in, bytes_out; /**< -1: not known */
} log_line_t;

/**
 * Read a line.
 * @param line   is filled where it is DONE
 * @param bytes  without its LF; what syslog puts before a line is skipped
 * @return DONE or BAD: no line of these, or not whole
 */
usher_parse_e log_line_parse(log_line_t *line, const char *bytes, apr_size_t len);

/** The URI's path: the URI without its query. */
log_text_t log_line_path(const log_line_t *line);

/**
 * Decode a text of a line: \xNN and the like, or JSON's escapes.
 * @param to    gets the bytes, whatever they are; not NUL-terminated
 * @param room  what does not fit is left out
 * @return how many bytes it got
 */
apr_size_t log_line_text(char *to, apr_size_t room, log_line_kind_e kind, const log_text_t *text);

#endif /* LOG_LINE_H */
