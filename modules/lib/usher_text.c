#include "usher_text.h"

/* tchar, RFC 9110 5.6.2 */
static const unsigned char token_chars[256] = {
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

    for (i = 0; i < len && token_chars[(unsigned char)text[i]]; ++i) {
    }
    return len && i == len;
}

#define TEXT_BLOCK 16

static inline unsigned int is_control(unsigned char c)
{
    return (unsigned int)((c < ' ') & (c != '\t')) | (unsigned int)(c == 0x7f);
}

/* No early end: compilers make it many bytes at a time. */
int usher_text_is_value(const char *text, apr_size_t len)
{
    unsigned int bad = 0;
    apr_size_t i;

    /* Compilers make vectors only of a count that they know. */
    for (; len >= TEXT_BLOCK; text += TEXT_BLOCK, len -= TEXT_BLOCK) {
        for (i = 0; i < TEXT_BLOCK; ++i) {
            bad |= is_control((unsigned char)text[i]);
        }
    }
    for (i = 0; i < len; ++i) {
        bad |= is_control((unsigned char)text[i]);
    }
    return !bad;
}
