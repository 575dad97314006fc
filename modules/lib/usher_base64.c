#include "usher_base64.h"

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#define BAD 0x80

/* What each character stands for. */
static const unsigned char base64_values[256] = {
#define X BAD
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, 62, X, X, /* - */
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X, X, X, X, X, X, /* 0-9 */
    X, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, /* A-Z */
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X, X, X, X, 63, /* _ */
    X, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, /* a-z */
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
#undef X
};

void usher_base64_encode(char *text, const unsigned char *bytes, apr_size_t len)
{
    apr_uint32_t three;

    for (; len >= 3; len -= 3, bytes += 3) {
        three = (apr_uint32_t)bytes[0] << 16 | (apr_uint32_t)bytes[1] << 8 | bytes[2];
        *text++ = base64_digits[three >> 18];
        *text++ = base64_digits[three >> 12 & 63];
        *text++ = base64_digits[three >> 6 & 63];
        *text++ = base64_digits[three & 63];
    }
    if (len) {
        three = (apr_uint32_t)bytes[0] << 16 | (len > 1 ? (apr_uint32_t)bytes[1] << 8 : 0);
        *text++ = base64_digits[three >> 18];
        *text++ = base64_digits[three >> 12 & 63];
        if (len > 1) {
            *text = base64_digits[three >> 6 & 63];
        }
    }
}

/* The one or two bytes behind the last three. */
static int base64_decode_rest(unsigned char *bytes, apr_size_t len, const unsigned char *text)
{
    unsigned int a = base64_values[text[0]], b = base64_values[text[1]];
    unsigned int c = len > 1 ? base64_values[text[2]] : 0;

    bytes[0] = (unsigned char)(a << 2 | b >> 4);
    if (len > 1) {
        bytes[1] = (unsigned char)(b << 4 | c >> 2);
        return !((a | b | c) & BAD) && !(c & 3);
    }
    return !((a | b) & BAD) && !(b & 15);
}

int usher_base64_decode(unsigned char *bytes, apr_size_t len, const char *text)
{
    const unsigned char *from = (const unsigned char *)text;
    unsigned int all = 0;

    for (; len >= 3; len -= 3, bytes += 3, from += 4) {
        unsigned int a = base64_values[from[0]], b = base64_values[from[1]];
        unsigned int c = base64_values[from[2]], d = base64_values[from[3]];

        all |= a | b | c | d;
        bytes[0] = (unsigned char)(a << 2 | b >> 4);
        bytes[1] = (unsigned char)(b << 4 | c >> 2);
        bytes[2] = (unsigned char)(c << 6 | d);
    }
    return !(all & BAD) && (!len || base64_decode_rest(bytes, len, from));
}
