/**
 * @file  usher_rest.h
 * @brief Reading records that are lines of words and numbers: what is left of one.
 */
#ifndef USHER_REST_H
#define USHER_REST_H

#include <string.h>

#include "usher_number.h"

/** What is still to be read. */
typedef struct usher_rest_t {
    const char *text;
    apr_size_t len;
} usher_rest_t;

/** Go on behind so many bytes; there are as many. */
static inline void usher_rest_take(usher_rest_t *rest, apr_size_t n)
{
    rest->text += n;
    rest->len -= n;
}

/** Go on behind a text. @return 1; 0: another one stands there, nothing was read */
static inline int usher_rest_skip(usher_rest_t *rest, const char *literal)
{
    apr_size_t n = strlen(literal);

    if (rest->len < n || memcmp(rest->text, literal, n)) {
        return 0;
    }
    usher_rest_take(rest, n);
    return 1;
}

/** Read a number, without zeros before it. @return 1; 0: there is none, or it is greater than @a max */
static inline int usher_rest_number(usher_rest_t *rest, apr_uint64_t *number, apr_uint64_t max)
{
    apr_size_t n = usher_number_parse(number, max, rest->text, rest->len);

    if (!n || (n > 1 && *rest->text == '0')) {
        return 0;
    }
    usher_rest_take(rest, n);
    return 1;
}

#endif /* USHER_REST_H */
