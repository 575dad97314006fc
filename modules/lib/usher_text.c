#include "usher_text.h"

#include <string.h>

const unsigned char usher_text_tchars[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, /* ! # $ % & ' * + - . */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, /* 0-9 */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* A-Z */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, /* ^ _ */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* ` a-z */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, /* | ~ */
};

int usher_text_is_token(const char *text, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len && usher_text_tchars[(unsigned char)text[i]]; ++i) {
    }
    return len && i == len;
}

static int is_control(unsigned char c)
{
    return (c < ' ' && c != '\t') || c == 0x7f;
}

static int has_control(const char *text, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        if (is_control((unsigned char)text[i])) {
            return 1;
        }
    }
    return 0;
}

#define WORD sizeof(apr_uint64_t)
#define EACH_BYTE(c) ((apr_uint64_t)(c) * 0x0101010101010101u)

/* The high bit of each byte below n, with n <= 128; those behind the first one may have
 * it without reason. */
static inline apr_uint64_t bytes_below(apr_uint64_t word, unsigned int n)
{
    return (word - EACH_BYTE(n)) & ~word & EACH_BYTE(0x80);
}

/* Eight bytes at once: whether there is a control character among them, or a TAB. */
static inline apr_uint64_t word_has_control(const char *text)
{
    apr_uint64_t word;

    memcpy(&word, text, WORD);
    return bytes_below(word, ' ') | bytes_below(word ^ EACH_BYTE(0x7f), 1);
}

int usher_text_is_value(const char *text, apr_size_t len)
{
    apr_uint64_t found = 0;
    apr_size_t at;

    if (len < WORD) {
        return !has_control(text, len);
    }
    for (at = 0; at + WORD <= len; at += WORD) {
        found |= word_has_control(text + at);
    }
    found |= word_has_control(text + len - WORD); /* the last ones; some of them again */
    return !found || !has_control(text, len);
}

apr_size_t usher_text_show(char *to, const char *bytes, apr_size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char *at = to;
    apr_size_t i;

    for (i = 0; i < len && bytes[i]; ++i) {
        unsigned char c = (unsigned char)bytes[i];

        if (c >= ' ' && c < 0x7f) {
            *at++ = (char)c;
            continue;
        }
        *at++ = '\\';
        *at++ = 'x';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    *at = '\0';
    return (apr_size_t)(at - to);
}
