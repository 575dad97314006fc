/**
 * @file  usher_cookie.h
 * @brief Cookies as RFC 6265 has them, in the request's field Cookie and in the answer's
 *        Set-Cookie; and the session's route in a cookie's value or in a URL.
 *
 * Names are compared as they are, byte by byte. Only ';' parts cookies, so a value may
 * have commas in it.
 */
#ifndef USHER_COOKIE_H
#define USHER_COOKIE_H

#include <apr.h>

/** A piece of somebody else's text; not NUL-terminated. */
typedef struct usher_span_t {
    const char *text;
    apr_size_t len;
} usher_span_t;

/**
 * The value of the next cookie of a name; quotes around it are left out.
 * @param value     points into @a text
 * @param at        where to go on; 0 at first
 * @param text      the value of a field Cookie, not NUL-terminated
 * @param name_len  at least 1
 * @return 1; 0: there is none from there on
 */
int usher_cookie_next(usher_span_t *value, apr_size_t *at, const char *text, apr_size_t len,
                      const char *name, apr_size_t name_len);

/**
 * Copy a field Cookie without the cookies of a name; the others stay byte for byte.
 * @param to  room for @a len bytes; may be @a text itself
 * @return how long the copy is; 0: no cookie is left
 */
apr_size_t usher_cookie_without(char *to, const char *text, apr_size_t len, const char *name,
                                apr_size_t name_len);

/** Whether a field Set-Cookie sets, or clears, the cookie of a name. */
int usher_cookie_sets(const char *text, apr_size_t len, const char *name, apr_size_t name_len);

/** Whether a text can be a cookie's name: a token of HTTP. */
int usher_cookie_is_name(const char *text, apr_size_t len);

/** Whether a text can be an attribute of Set-Cookie, or its value: no control characters and
 * no ';'. */
int usher_cookie_is_attribute(const char *text, apr_size_t len);

/** Whether a text can be the value of Domain: labels of letters, digits and '-', maybe with a
 * dot before them. */
int usher_cookie_is_domain(const char *text, apr_size_t len);

/**
 * The route that a session's id ends with: what follows the first separator.
 * @return 1; 0: it has none
 */
int usher_cookie_route(usher_span_t *route, const usher_span_t *session, char separator);

/**
 * The value of a parameter in a URL's path, "/a;name=value/b"; the first one that is not empty.
 * @param text  the path, not NUL-terminated; it ends at a '?'
 * @return 1; 0: there is none
 */
int usher_cookie_in_path(usher_span_t *value, const char *text, apr_size_t len, const char *name,
                         apr_size_t name_len);

/** The same in a query, "a=1&name=value", without its '?'. */
int usher_cookie_in_query(usher_span_t *value, const char *text, apr_size_t len,
                          const char *name, apr_size_t name_len);

#endif /* USHER_COOKIE_H */
