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

const char usher_logtext_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

#define DIGITS_MAX 20

static unsigned int logtext_digits(apr_uint64_t number)
{
    apr_uint64_t limit = 10;
    unsigned int digits = 1;

    for (; digits < DIGITS_MAX && number >= limit; limit *= 10) {
        ++digits;
    }
    return digits;
}

void usher_logtext_padded(usher_logtext_t *to, apr_uint64_t number, unsigned int digits)
{
    unsigned int len = logtext_digits(number);
    char *at;

    len = len < digits ? digits : len;
    to->len += len;
    if (to->len > to->size) {
        return;
    }
    for (at = to->text + to->len; len > 1; len -= 2, number /= 100) {
        at -= 2;
        memcpy(at, usher_logtext_pairs + number % 100 * 2, 2);
    }
    if (len) {
        at[-1] = (char)('0' + number % 10);
    }
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

#define EACH(byte) (~(apr_uint64_t)0 / 255 * (unsigned char)(byte))
#define WORD sizeof(apr_uint64_t)

/* Whether eight bytes may all stand as they are: in each byte's highest bit, whether it is below
 * the first one that may or above the last one, a quote, a backslash, or another one that may not.
 * Where that is too strict ('~', and a backslash for HAProxy), the bytes are looked at one by one. */
static inline int logtext_is_plain(apr_uint64_t bytes, char first, char last, char other)
{
    apr_uint64_t marked = bytes | (bytes - EACH(first)) | (bytes + EACH(0x7f - last))
                          | ((bytes ^ EACH('"')) - EACH(1)) | ((bytes ^ EACH('\\')) - EACH(1));

    marked |= other ? (bytes ^ EACH(other)) - EACH(1) : 0;
    return !(marked & EACH(0x80));
}

/* Copies eights up to the first one that may not stand as it is, or all. @return how many bytes */
static inline apr_size_t logtext_copy(char *to, const char *text, apr_size_t len, char first,
                                      char last, char other)
{
    apr_size_t run = 0;
    apr_uint64_t bytes;

    for (; len - run >= WORD; run += WORD) {
        memcpy(&bytes, text + run, WORD);
        if (!logtext_is_plain(bytes, first, last, other)) {
            return run;
        }
        memcpy(to + run, &bytes, WORD);
    }
    if (run && run < len) { /* the last ones; some of them again */
        memcpy(&bytes, text + len - WORD, WORD);
        if (logtext_is_plain(bytes, first, last, other)) {
            memcpy(to + len - WORD, &bytes, WORD);
            run = len;
        }
    }
    return run;
}

static apr_size_t logtext_copy_plain(char *to, const char *text, apr_size_t len,
                                     unsigned char plain)
{
    apr_size_t run;

    switch (plain) {
    case B:
        run = logtext_copy(to, text, len, '!', 'z', 0);
        break;
    case C:
        run = logtext_copy(to, text, len, '!', 'z', '/');
        break;
    case H:
        run = logtext_copy(to, text, len, ' ', '~', '#');
        break;
    case I:
        run = logtext_copy(to, text, len, '!', 'z', '#');
        break;
    default:
        run = logtext_copy(to, text, len, ' ', '~', 0);
    }
    for (; run < len && (logtext_plain[(unsigned char)text[run]] & plain); ++run) {
        to[run] = text[run];
    }
    return run;
}

/* What stands as it is goes in one piece. @return how many bytes */
static apr_size_t logtext_run(usher_logtext_t *to, const char *text, apr_size_t len,
                              unsigned char plain)
{
    apr_size_t run = 0;

    if (to->len <= to->size && len <= to->size - to->len) {
        run = logtext_copy_plain(to->text + to->len, text, len, plain);
        to->len += run;
        return run;
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
