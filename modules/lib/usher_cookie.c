/* The fields Cookie and Set-Cookie, and a session's route. */
#include "usher_cookie.h"

#include <string.h>

static int cookie_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void cookie_trim(usher_span_t *span)
{
    while (span->len && cookie_is_blank(*span->text)) {
        ++span->text;
        --span->len;
    }
    while (span->len && cookie_is_blank(span->text[span->len - 1])) {
        --span->len;
    }
}

/* From *at to the next ';' or the end; *at goes behind it. @return 0: all is read */
static int cookie_piece(usher_span_t *piece, apr_size_t *at, const char *text, apr_size_t len)
{
    const char *end;

    if (*at >= len) {
        return 0;
    }
    end = memchr(text + *at, ';', len - *at);
    piece->text = text + *at;
    piece->len = end ? (apr_size_t)(end - piece->text) : len - *at;
    *at += piece->len + 1;
    return 1;
}

/* Whether a piece is "name=value". @param value  gets what is there, blanks and all */
static int cookie_is(usher_span_t *value, const usher_span_t *piece, const char *name,
                     apr_size_t name_len)
{
    const char *at = piece->text, *end = at + piece->len;

    while (at < end && cookie_is_blank(*at)) {
        ++at;
    }
    if ((apr_size_t)(end - at) <= name_len || *at != *name || memcmp(at, name, name_len) != 0) {
        return 0;
    }
    at += name_len;
    while (at < end && cookie_is_blank(*at)) {
        ++at;
    }
    if (at == end || *at != '=') {
        return 0;
    }
    value->text = at + 1;
    value->len = (apr_size_t)(end - value->text);
    return 1;
}

int usher_cookie_next(usher_span_t *value, apr_size_t *at, const char *text, apr_size_t len,
                      const char *name, apr_size_t name_len)
{
    usher_span_t piece;

    while (cookie_piece(&piece, at, text, len)) {
        if (cookie_is(value, &piece, name, name_len)) {
            cookie_trim(value);
            if (value->len >= 2 && *value->text == '"' && value->text[value->len - 1] == '"') {
                ++value->text;
                value->len -= 2;
            }
            return 1;
        }
    }
    return 0;
}

apr_size_t usher_cookie_without(char *to, const char *text, apr_size_t len, const char *name,
                                apr_size_t name_len)
{
    usher_span_t piece, value;
    apr_size_t at = 0, out = 0;

    while (cookie_piece(&piece, &at, text, len)) {
        if (cookie_is(&value, &piece, name, name_len)) {
            continue;
        }
        if (!out) { /* what stood before it is gone */
            cookie_trim(&piece);
        }
        else {
            to[out++] = ';';
        }
        memmove(to + out, piece.text, piece.len);
        out += piece.len;
    }
    return out;
}

int usher_cookie_sets(const char *text, apr_size_t len, const char *name, apr_size_t name_len)
{
    usher_span_t piece, value;
    apr_size_t at = 0;

    return cookie_piece(&piece, &at, text, len) && cookie_is(&value, &piece, name, name_len);
}

static int cookie_is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int usher_cookie_is_name(const char *text, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        if (!cookie_is_alnum(text[i]) && (!text[i] || !strchr("!#$%&'*+-.^_`|~", text[i]))) {
            return 0;
        }
    }
    return len > 0;
}

int usher_cookie_is_attribute(const char *text, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == ';') {
            return 0;
        }
    }
    return len > 0;
}

int usher_cookie_is_domain(const char *text, apr_size_t len)
{
    apr_size_t i, label = 0;

    if (len && *text == '.') {
        ++text;
        --len;
    }
    for (i = 0; i < len; ++i) {
        if (text[i] == '.') {
            if (!label || text[i - 1] == '-') {
                return 0;
            }
            label = 0;
        }
        else if (!cookie_is_alnum(text[i]) && (text[i] != '-' || !label)) {
            return 0;
        }
        else {
            ++label;
        }
    }
    return label > 0 && text[len - 1] != '-';
}

int usher_cookie_route(usher_span_t *route, const usher_span_t *session, char separator)
{
    const char *at = session->len ? memchr(session->text, separator, session->len) : NULL;

    if (!at || at + 1 == session->text + session->len) {
        return 0;
    }
    route->text = at + 1;
    route->len = (apr_size_t)(session->text + session->len - route->text);
    return 1;
}

/* The first byte of either kind; the end where there is none. */
static const char *cookie_find(const char *at, const char *end, char one, char other)
{
    while (at < end && *at != one && *at != other) {
        ++at;
    }
    return at;
}

/* "name=value" from here to the end. */
static int cookie_param(usher_span_t *value, const char *at, const char *end, const char *name,
                        apr_size_t name_len)
{
    if ((apr_size_t)(end - at) <= name_len + 1 || at[name_len] != '='
        || memcmp(at, name, name_len) != 0) {
        return 0;
    }
    value->text = at + name_len + 1;
    value->len = (apr_size_t)(end - value->text);
    return 1;
}

int usher_cookie_in_path(usher_span_t *value, const char *text, apr_size_t len, const char *name,
                         apr_size_t name_len)
{
    const char *end = len ? memchr(text, '?', len) : NULL, *at, *next;

    end = end ? end : text + len;
    for (at = cookie_find(text, end, ';', ';'); at < end; at = cookie_find(next, end, ';', ';')) {
        next = cookie_find(++at, end, ';', '/');
        if (cookie_param(value, at, next, name, name_len)) {
            return 1;
        }
    }
    return 0;
}

int usher_cookie_in_query(usher_span_t *value, const char *text, apr_size_t len,
                          const char *name, apr_size_t name_len)
{
    const char *at = text, *end = text + len, *next;

    for (; at < end; at = next + 1) {
        next = cookie_find(at, end, '&', ';');
        if (cookie_param(value, at, next, name, name_len)) {
            return 1;
        }
    }
    return 0;
}
