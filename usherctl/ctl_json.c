/* Text in JSON. */
#include <stdio.h>

#include "ctl_json.h"

/* The length of the UTF-8 sequence at the front, and its code point; 0: it is none. */
static int json_utf8(const unsigned char *at, apr_size_t len, unsigned int *code)
{
    int more = at[0] >= 0xc2 && at[0] < 0xe0 ? 1 : (at[0] & 0xf0) == 0xe0 ? 2
               : at[0] >= 0xf0 && at[0] < 0xf5 ? 3 : 0;
    int i;

    if (!more || (apr_size_t)more >= len) {
        return 0;
    }
    *code = at[0] & (0x3fu >> more);
    for (i = 1; i <= more; ++i) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | (at[i] & 0x3fu);
    }
    if ((more == 2 && *code < 0x800) || (more == 3 && *code < 0x10000) || *code > 0x10ffff
        || (*code >= 0xd800 && *code < 0xe000)) {
        return 0;
    }
    return more + 1;
}

void ctl_json_text(const char *bytes, apr_size_t len)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + len;

    putchar('"');
    while (at < end) {
        unsigned int code = *at;
        int used = code < 0x80 ? 1 : json_utf8(at, (apr_size_t)(end - at), &code);

        at += used ? used : 1;
        if (code == '"' || code == '\\') {
            printf("\\%c", (int)code);
        }
        else if (code >= ' ' && code < 0x7f) {
            putchar((int)code);
        }
        else if (code < 0x10000) {
            printf("\\u%04x", code);
        }
        else {
            code -= 0x10000;
            printf("\\u%04x\\u%04x", 0xd800 | code >> 10, 0xdc00 | (code & 0x3ff));
        }
    }
    putchar('"');
}
