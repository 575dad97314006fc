/**
 * @file  tls_line.h
 * @brief What a line of a log tells of TLS: any line with "SSL:{TLSv1.2,ECDHE-...}", as HAProxy
 *        and httpd write it where a log format says so, and the lines of Usher's own logs.
 *
 * Much of a line was written by whoever sent a request: nothing of it is trusted. The functions
 * allocate nothing.
 */
#ifndef TLS_LINE_H
#define TLS_LINE_H

#include <apr.h>

/** Bytes of the line; len 0: not known. */
typedef struct {
    const char *at;
    apr_size_t len;
} tls_text_t;

typedef enum {
    TLS_LINE_VERSION,
    TLS_LINE_CIPHER,
    TLS_LINE_CLIENT,
    TLS_LINE_AGENT,
    TLS_LINE_VHOST,   /**< of HAProxy: the frontend */
    TLS_LINE_OUTCOME, /**< of a handshake log */
    TLS_LINE_OFFERED, /**< of a handshake log: the greatest version that the client offered */
    TLS_LINE_TEXTS
} tls_line_text_e;

typedef struct {
    tls_text_t texts[TLS_LINE_TEXTS];
    apr_int64_t time; /**< seconds since 1970; 0: not known */
} tls_line_t;

/**
 * The next "SSL:{...}", as `grep -o 'SSL:{[^}]*}'` finds it.
 * @param bytes  of one line
 * @param found  gets it
 * @return 0: there is none
 */
int tls_line_next(const char *bytes, apr_size_t len, tls_text_t *found);

/**
 * Read a line. Of several SSL:{...} the last one outside of quotes counts, as clients write
 * between them; if there is none, the last one.
 * @return 0: it tells nothing of TLS, not even that there was none
 */
int tls_line_read(tls_line_t *line, const char *bytes, apr_size_t len);

/** Whether a line that was read is of a request without TLS. */
int tls_line_is_plain(const tls_line_t *line);

/** The date of a line: [22/Nov/2026:18:13:36 +0000], also with fractions; without a zone it is
 * the local time. @param at  behind the bracket. @return 0: it is none */
apr_int64_t tls_line_date(const char *at, const char *end);
/** 2026-11-22T18:13:36.123456+00:00, and what of it is there: at least the day. */
apr_int64_t tls_line_rfc3339(const char *at, const char *end);

/** How old a version is: 0 for SSLv2, 5 for TLSv1.3; -1: it is none. */
int tls_line_age(const tls_text_t *version);

#endif /* TLS_LINE_H */
