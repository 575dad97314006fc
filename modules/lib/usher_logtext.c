#include "usher_logtext.h"

/* Where a byte may stand as it is: bits by usher_logtext_e, and one more for JSON. */
enum {
    Q = 1 << USHER_LOGTEXT_QUOTED,
    B = 1 << USHER_LOGTEXT_BARE,
    C = 1 << USHER_LOGTEXT_COOKIE,
    H = 1 << USHER_LOGTEXT_HAPROXY,
    I = 1 << USHER_LOGTEXT_HAPROXY_BARE,
    J = I << 1,
    A = Q | B | C | H | I | J,
    S = Q | H | J /* a space, and what parts captures */
};

static const unsigned char logtext_plain[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    S, A, 0, Q | B | C | J, A, A, A, A, A, A, A, A, A, A, A, A & ~C,
    A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,
    A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,
    A, A, A, A, A, A, A, A, A, A, A, A, H | I, A, A, A,
    A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,
    A, A, A, A, A, A, A, A, A, A, A, S, S, S, A, 0,
    /* and zeros up to 255 */
};

static const char logtext_hex[] = "0123456789ABCDEF";

#define DIGITS_MAX 20

void usher_logtext_padded(usher_logtext_t *to, apr_uint64_t number, unsigned int digits)
{
    char digit[DIGITS_MAX];
    char *end = digit + DIGITS_MAX, *at = end;

    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number || at > end - digits);
    usher_logtext_put(to, at, (apr_size_t)(end - at));
}

static void logtext_special(usher_logtext_t *to, unsigned char c, usher_logtext_e where)
{
    char escaped[4] = { '\\', 'x', logtext_hex[c >> 4], logtext_hex[c & 15] };

    if (where >= USHER_LOGTEXT_HAPROXY) {
        escaped[1] = '#';
        usher_logtext_put(to, escaped + 1, 3);
    }
    else if (c == '"' || c == '\\') {
        escaped[1] = (char)c;
        usher_logtext_put(to, escaped, 2);
    }
    else {
        usher_logtext_put(to, escaped, 4);
    }
}

#define EACH(byte) (~(apr_uint64_t)0 / 255 * (byte))

/* Whether eight bytes may all stand between quotes: in each byte's highest bit, whether it is
 * less than a space, a quote, a backslash, or above '~'. */
static int logtext_is_plain(const char *text)
{
    apr_uint64_t bytes, quotes, backslashes;

    memcpy(&bytes, text, sizeof(bytes));
    quotes = bytes ^ EACH('"');
    backslashes = bytes ^ EACH('\\');
    return !((((bytes - EACH(' ')) | (quotes - EACH(1)) | (backslashes - EACH(1))
               | (bytes + EACH(1)) | bytes) & EACH(0x80)));
}

/* What stands as it is goes in one piece. */
static apr_size_t logtext_run(usher_logtext_t *to, const char *text, apr_size_t len,
                              unsigned char plain)
{
    apr_size_t run = 0;

    if (plain & (Q | J)) {
        while (len - run >= 8 && logtext_is_plain(text + run)) {
            run += 8;
        }
    }
    while (run < len && (logtext_plain[(unsigned char)text[run]] & plain)) {
        ++run;
    }
    usher_logtext_put(to, text, run);
    return run;
}

void usher_logtext_escape(usher_logtext_t *to, const char *text, apr_size_t len,
                          usher_logtext_e where)
{
    unsigned char plain = (unsigned char)(1 << where);
    apr_size_t at = 0;

    for (;;) {
        at += logtext_run(to, text + at, len - at, plain);
        if (at == len) {
            return;
        }
        logtext_special(to, (unsigned char)text[at++], where);
    }
}

/* The bytes of a character that is valid UTF-8 (RFC 3629) and no ASCII; 0: none is there. */
static apr_size_t logtext_utf8(const unsigned char *at, apr_size_t len)
{
    apr_size_t need = at[0] >= 0xc2 && at[0] <= 0xdf ? 2
                      : (at[0] & 0xf0) == 0xe0 ? 3
                      : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4 : 0;
    /* Of the second byte: nothing longer than it need be, no surrogates, nothing above
     * U+10FFFF. */
    unsigned char least = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char most = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    apr_size_t i;

    if (!need || need > len || at[1] < least || at[1] > most) {
        return 0;
    }
    for (i = 2; i < need; ++i) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return need;
}

static void logtext_json_number(usher_logtext_t *to, unsigned char c)
{
    char escaped[6] = { '\\', 'u', '0', '0', logtext_hex[c >> 4], logtext_hex[c & 15] };

    usher_logtext_put(to, escaped, sizeof(escaped));
}

/* One character that does not stand as it is. @return its bytes */
static apr_size_t logtext_json_special(usher_logtext_t *to, const char *text, apr_size_t len)
{
    unsigned char c = (unsigned char)*text;
    apr_size_t bytes = c < 0x80 ? 0 : logtext_utf8((const unsigned char *)text, len);

    if (c == '"' || c == '\\') {
        usher_logtext_char(to, '\\');
        usher_logtext_char(to, (char)c);
        return 1;
    }
    if (!bytes) {
        logtext_json_number(to, c);
        return 1;
    }
    /* Terminals obey the control characters U+0080 to U+009F. */
    if (c == 0xc2 && (unsigned char)text[1] < 0xa0) {
        logtext_json_number(to, (unsigned char)text[1]);
    }
    else {
        usher_logtext_put(to, text, bytes);
    }
    return bytes;
}

void usher_logtext_json(usher_logtext_t *to, const char *text, apr_size_t len)
{
    apr_size_t at = 0;

    usher_logtext_char(to, '"');
    for (;;) {
        at += logtext_run(to, text + at, len - at, J);
        if (at == len) {
            break;
        }
        at += logtext_json_special(to, text + at, len - at);
    }
    usher_logtext_char(to, '"');
}
