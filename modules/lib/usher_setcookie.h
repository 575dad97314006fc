/**
 * @file  usher_setcookie.h
 * @brief What a field Set-Cookie does to the cookie of a name: sets it, or clears it.
 */
#ifndef USHER_SETCOOKIE_H
#define USHER_SETCOOKIE_H

#include <apr.h>

#include "usher_cookie.h"

typedef enum {
    USHER_SETCOOKIE_OTHER, /**< it is another cookie's */
    USHER_SETCOOKIE_SETS,
    USHER_SETCOOKIE_CLEARS /**< Max-Age or Expires say that it is over, or its value is empty */
} usher_setcookie_e;

/**
 * Read a field as clients do (RFC 6265, 5.2): of attributes that are there twice the last one
 * counts, Max-Age more than Expires, and what is no number or date does not count.
 * @param value  gets the cookie's value without quotes around it; points into @a text
 * @param text   not NUL-terminated
 * @param name_len  at least 1
 * @param utc    now, in seconds since 1970
 */
usher_setcookie_e usher_setcookie(usher_span_t *value, const char *text, apr_size_t len,
                                  const char *name, apr_size_t name_len, apr_int64_t utc);

#endif /* USHER_SETCOOKIE_H */
