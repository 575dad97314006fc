/* The bytes that the escapes of a line stand for. */
#include "log_line_private.h"

static int text_nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* @return -1: not so many hexadecimal digits are there */
static int text_hex(const char *at, const char *end, int count)
{
    int number = 0;

    for (; count > 0; --count, ++at) {
        int nibble = at < end ? text_nibble(*at) : -1;

        if (nibble < 0) {
            return -1;
        }
        number = 16 * number + nibble;
    }
    return number;
}

static int text_utf8(char *to, int c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* What is behind "\u". Up to U+00FF it is the byte: so a byte that was no UTF-8 is written. */
static const char *text_unicode(char *to, int *len, const char *at, const char *end)
{
    int c = text_hex(at, end, 4), low;

    if (c < 0) {
        to[0] = 'u';
        *len = 1;
        return at;
    }
    at += 4;
    if (c < 0x100) {
        to[0] = (char)c;
        *len = 1;
        return at;
    }
    if ((c & 0xfc00) == 0xd800 && end - at >= 6 && at[0] == '\\' && at[1] == 'u'
        && ((low = text_hex(at + 2, end, 4)) & 0xfc00) == 0xdc00) {
        c = 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff);
        at += 6;
    }
    *len = text_utf8(to, c);
    return at;
}

/* What is behind a backslash, or behind the '#' that HAProxy has in its place. */
static const char *text_escape(char *to, int *len, log_line_kind_e kind, const char *at,
                               const char *end)
{
    static const char names[] = "bfnrtv", bytes[] = "\b\f\n\r\t\v";
    const char *digits = kind == LOG_LINE_HTTPLOG ? at : *at == 'x' ? at + 1 : NULL;
    const char *name = *at ? strchr(names, *at) : NULL;
    int c;

    *len = 1;
    if (kind == LOG_LINE_JSON && *at == 'u') {
        return text_unicode(to, len, at + 1, end);
    }
    if (kind != LOG_LINE_JSON && digits && (c = text_hex(digits, end, 2)) >= 0) {
        *to = (char)c;
        return digits + 2;
    }
    if (kind == LOG_LINE_HTTPLOG) {
        *to = '#';
        return at;
    }
    if (name) {
        *to = bytes[name - names];
    }
    else {
        *to = *at;
    }
    return at + 1;
}

apr_size_t log_line_text(char *to, apr_size_t room, log_line_kind_e kind, const log_text_t *text)
{
    const char *at = text->at, *end = text->at + text->len;
    int mark = kind == LOG_LINE_HTTPLOG ? '#' : '\\';
    apr_size_t used = 0;

    while (at < end && used < room) {
        const char *next = memchr(at, mark, (apr_size_t)(end - at));
        apr_size_t plain = (apr_size_t)((next ? next : end) - at);
        char piece[4] = { (char)mark, 0, 0, 0 };
        int len = 1;

        plain = plain < room - used ? plain : room - used;
        memcpy(to + used, at, plain);
        used += plain;
        at += plain;
        if (at != next) {
            continue;
        }
        at = end - next < 2 ? end : text_escape(piece, &len, kind, next + 1, end);
        if ((apr_size_t)len > room - used) {
            break;
        }
        memcpy(to + used, piece, (apr_size_t)len);
        used += (apr_size_t)len;
    }
    return used;
}
