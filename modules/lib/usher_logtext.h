/**
 * @file  usher_logtext.h
 * @brief Lines of a log, put together in one buffer: any bytes in, one clean line out.
 *
 * What does not fit is counted and not written: a caller that finds len above size gets a
 * buffer of that length and writes it all once more.
 */
#ifndef USHER_LOGTEXT_H
#define USHER_LOGTEXT_H

#include <apr.h>
#include <string.h>

typedef struct usher_logtext_t {
    char *text;      /**< not NUL-terminated */
    apr_size_t size;
    apr_size_t len;  /**< of all that was put; above size: the text is not whole */
} usher_logtext_t;

/** Where a text by somebody else stands: which of its bytes are escaped. */
typedef enum {
    USHER_LOGTEXT_QUOTED, /**< between quotes: \", \\, and \xNN for what is not printable ASCII */
    USHER_LOGTEXT_BARE,   /**< a field of its own: space, '|', '{', '}' as well */
    USHER_LOGTEXT_COOKIE, /**< one of two values with a '/' between them: '/' as well */
    USHER_LOGTEXT_HAPROXY, /**< between quotes, as HAProxy writes it: '"', '#' and what is not
                            * printable ASCII as #NN */
    USHER_LOGTEXT_HAPROXY_BARE /**< and a field: space, '|', '{', '}' as well */
} usher_logtext_e;

static inline void usher_logtext_put(usher_logtext_t *to, const char *text, apr_size_t len)
{
    apr_size_t from = to->len;

    to->len += len;
    if (to->len <= to->size) {
        memcpy(to->text + from, text, len);
    }
}

static inline void usher_logtext_char(usher_logtext_t *to, char c)
{
    if (to->len < to->size) {
        to->text[to->len] = c;
    }
    ++to->len;
}

/** "000102" ... "99" */
extern const char usher_logtext_pairs[];

/** Two digits of a number, where there is room for them. @return what is behind them */
static inline char *usher_logtext_two(char *at, int number)
{
    memcpy(at, usher_logtext_pairs + (unsigned int)number % 100 * 2, 2);
    return at + 2;
}

/** A text that stands in the code. */
#define USHER_LOGTEXT_LITERAL(to, literal) usher_logtext_put(to, literal, sizeof(literal) - 1)

/** At least so many digits, with zeros before them. @param digits  at most 20 */
void usher_logtext_padded(usher_logtext_t *to, apr_uint64_t number, unsigned int digits);

/** A number in decimal digits; "-" for a negative one: it is not known. */
static inline void usher_logtext_number(usher_logtext_t *to, apr_int64_t number)
{
    if (number < 10) {
        usher_logtext_char(to, number < 0 ? '-' : (char)('0' + number));
    }
    else {
        usher_logtext_padded(to, (apr_uint64_t)number, 1);
    }
}

/** A text that anybody may have written. */
void usher_logtext_escape(usher_logtext_t *to, const char *text, apr_size_t len,
                          usher_logtext_e where);

/**
 * The same as a string of JSON (RFC 8259), with its quotes. Valid UTF-8 stays as it is, but for
 * control characters; any other byte is taken for the character of its number: \u00NN.
 */
void usher_logtext_json(usher_logtext_t *to, const char *text, apr_size_t len);

#endif /* USHER_LOGTEXT_H */
