/**
 * @file  usher_text.h
 * @brief What a name and a value of HTTP may consist of.
 */
#ifndef USHER_TEXT_H
#define USHER_TEXT_H

#include <apr.h>

/** Not 0 for those that a token may consist of: tchar, RFC 9110, 5.6.2. */
extern const unsigned char usher_text_tchars[256];

/** How many bytes of a token a text begins with. @param text  has a byte that is not one of
 * a token's, as an LF: it is not looked at beyond */
static inline apr_size_t usher_text_token_len(const char *text)
{
    const char *at = text;

    while (usher_text_tchars[(unsigned char)*at]) {
        ++at;
    }
    return (apr_size_t)(at - text);
}

/** Whether a text is a token (RFC 9110, 5.6.2): one tchar or more. */
int usher_text_is_token(const char *text, apr_size_t len);

/**
 * Whether all bytes may be part of a field's value or of a reason phrase:
 * VCHAR, SP, HTAB and obs-text (RFC 9110, 5.5). An empty text is fine.
 */
int usher_text_is_value(const char *text, apr_size_t len);

/** Room for the text of usher_text_show(), with its NUL. */
#define USHER_TEXT_SHOWN_SIZE(len) (4 * (apr_size_t)(len) + 1)

/**
 * Make a text of bytes that anybody may have written: up to the first NUL, what is not
 * printable ASCII as \xNN. To do it twice changes nothing more.
 * @param to     gets the text; has room for USHER_TEXT_SHOWN_SIZE(len)
 * @param bytes  not NUL-terminated
 * @return its length
 */
apr_size_t usher_text_show(char *to, const char *bytes, apr_size_t len);

#endif /* USHER_TEXT_H */
