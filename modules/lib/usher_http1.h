/**
 * @file  usher_http1.h
 * @brief Reads what an HTTP/1 backend answers: heads, chunks and trailers
 *        (RFC 9112, RFC 9110).
 *
 * Backends are hostile here: what is doubtful is refused, so that two readers
 * of one answer never disagree about where it ends. Nothing is allocated; all
 * functions are pure and may be called from any thread.
 */
#ifndef USHER_HTTP1_H
#define USHER_HTTP1_H

#include <apr.h>

#include "usher_parse.h"

/**
 * What to do with a header line that has no colon (ProxyBadHeader). A folded
 * line after it continues no field: that is refused in any case.
 */
typedef enum {
    USHER_HTTP1_BADLINE_REFUSE,
    USHER_HTTP1_BADLINE_SKIP, /**< as if it were not there */
    USHER_HTTP1_BADLINE_BODY  /**< the head ends before it, the body begins with it */
} usher_http1_badline_e;

/** How much a head may be; what is over it is bad, not cut off. */
typedef struct usher_http1_limits_t {
    apr_size_t line_max;   /**< bytes of a line, folded ones together, without its end */
    apr_size_t head_max;   /**< bytes of a head or of a trailer section */
    unsigned int fields_max; /**< those of skipped lines not counted */
    usher_http1_badline_e badline;
} usher_http1_limits_t;

/**
 * The head of an answer. Zeroed before its first bytes are parsed; means
 * something once it is done.
 */
typedef struct usher_http1_head_t {
    int minor;                /**< of HTTP/1.minor: 0 or 1; greater counts as 1 */
    int status;               /**< 100 to 999 */
    const char *reason;       /**< in the buffer, not terminated; may be empty */
    apr_size_t reason_len;
    apr_size_t fields_at;     /**< where its first field line begins */
    apr_size_t len;           /**< its bytes with the empty line; the body is at buf + len */
    unsigned int fields;      /**< how many usher_http1_next_field() will tell */
    apr_int64_t content_length; /**< bytes; -1 where none is said */
    apr_int64_t idle_max;     /**< seconds of "Keep-Alive: timeout="; -1 where none */
    unsigned int chunked : 1; /**< Transfer-Encoding: chunked */
    unsigned int close : 1;   /**< Connection: close, or HTTP/1.0 without keep-alive */
    unsigned int upgrade : 1; /**< Connection: upgrade */
    unsigned int keep_alive : 1; /**< Connection: keep-alive; close overrules it */
    apr_size_t scanned;       /**< the parser's own: what an earlier call has seen */
} usher_http1_head_t;

/** A field line. Both in the buffer, not terminated; the value is trimmed. */
typedef struct usher_http1_field_t {
    const char *name;
    apr_size_t name_len;
    const char *value;
    apr_size_t value_len;
} usher_http1_field_t;

/**
 * Parse the head of an answer. One empty line before it is skipped. A folded
 * field is unfolded in the buffer: its line ends become spaces.
 * @param head    zeroed; for a later call of the same head as this one left it
 * @param buf     the answer from its first byte; for a later call the same
 *                bytes as this one left them, and more: the buffer may have
 *                moved
 * @param len     bytes in buf
 * @param limits  the same for all calls
 * @param why     gets a phrase for a log when it is bad: static
 */
usher_parse_e usher_http1_head(usher_http1_head_t *head, char *buf,
                               apr_size_t len,
                               const usher_http1_limits_t *limits,
                               const char **why);

/**
 * Tell the next field of a head or of trailers that were parsed well. Lines
 * that the limits say to skip are not told.
 * @param buf    as parsed
 * @param end    bytes of the section: head->len, or the trailers' length
 * @param at     head->fields_at for the first one (0 for trailers); moves on
 * @param field  gets it
 * @return 1, or 0 after the last one
 */
int usher_http1_next_field(const char *buf, apr_size_t end, apr_size_t *at,
                           usher_http1_field_t *field);

/** Where a reader of chunks is. Zeroed before the first byte. */
typedef struct usher_http1_chunks_t {
    int state;            /**< the decoder's own */
    unsigned int line_len;
    apr_uint64_t left;    /**< bytes of the chunk not yet told */
} usher_http1_chunks_t;

/**
 * Read chunks. Tells one piece of data at a time, without copying it.
 * @param chunks    zeroed before the first call
 * @param buf       what follows the bytes used so far
 * @param len       bytes in buf; 0 is allowed
 * @param used      gets how many of them were understood
 * @param data      gets a piece of the body: the last of the used bytes
 * @param data_len  gets its length; 0 where there is none
 * @param why       gets a phrase for a log when it is bad: static
 * @return DONE after the last chunk: trailers begin at buf + *used. MORE with
 *         *used > 0: call again with the rest; with *used 0: with new bytes.
 */
usher_parse_e usher_http1_chunks(usher_http1_chunks_t *chunks, const char *buf,
                                 apr_size_t len, apr_size_t *used,
                                 const char **data, apr_size_t *data_len,
                                 const char **why);

/**
 * Find the end of the trailer section that follows the last chunk. Folded
 * fields are unfolded as in a head. Lines without a colon are refused. What
 * the fields are called is not looked at: none says anything about the frame.
 * @param buf       from its first byte on; as for a head for a later call,
 *                  which begins anew
 * @param len       bytes in buf
 * @param used      gets its length with the empty line, when done
 * @param fields    gets how many fields it has, when done
 */
usher_parse_e usher_http1_trailers(char *buf, apr_size_t len,
                                   const usher_http1_limits_t *limits,
                                   apr_size_t *used, unsigned int *fields,
                                   const char **why);

#endif /* USHER_HTTP1_H */
