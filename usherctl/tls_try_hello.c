/* A ClientHello (RFC 8446, 4.1.2) that offers what a list says. */
#include <string.h>

#include "tls_try.h"

#define EXTENSION_GROUPS        10
#define EXTENSION_POINT_FORMATS 11
#define EXTENSION_SIGALGS       13
#define EXTENSION_MASTER_SECRET 23
#define EXTENSION_VERSIONS      43
#define EXTENSION_PSK_MODES     45
#define EXTENSION_KEY_SHARE     51
#define EXTENSION_RENEGOTIATION 0xff01

/* All lists full, and what else there is */
_Static_assert(2 * (USHER_HELLO_CIPHERS_MAX + USHER_HELLO_GROUPS_MAX + USHER_HELLO_SIGALGS_MAX
                    + USHER_HELLO_VERSIONS_MAX) + 128 <= TLS_TRY_HELLO_MAX, "fits");

typedef struct {
    unsigned char *to;
    apr_size_t len;
} hello_t;

static void put8(hello_t *hello, unsigned int value)
{
    hello->to[hello->len++] = (unsigned char)value;
}

static void put16(hello_t *hello, unsigned int value)
{
    put8(hello, value >> 8);
    put8(hello, value & 0xff);
}

/* Lengths come before what they measure. */
static apr_size_t begin16(hello_t *hello)
{
    put16(hello, 0);
    return hello->len;
}

static void end16(hello_t *hello, apr_size_t from)
{
    apr_size_t len = hello->len - from;

    hello->to[from - 2] = (unsigned char)(len >> 8);
    hello->to[from - 1] = (unsigned char)len;
}

static void put_list(hello_t *hello, const apr_uint16_t *list, apr_size_t n)
{
    apr_size_t i;

    for (i = 0; i < n; ++i) {
        put16(hello, list[i]);
    }
}

/* How many of a list were kept. */
static apr_size_t kept(apr_uint16_t all, apr_size_t max)
{
    return all < max ? all : max;
}

static void put_extension(hello_t *hello, unsigned int type, const apr_uint16_t *list,
                          apr_size_t n)
{
    apr_size_t whole, inner;

    if (n) {
        put16(hello, type);
        whole = begin16(hello);
        inner = begin16(hello);
        put_list(hello, list, n);
        end16(hello, inner);
        end16(hello, whole);
    }
}

/* One byte behind a length of one byte. */
static void put_byte(hello_t *hello, unsigned int type, unsigned int value)
{
    put16(hello, type);
    put16(hello, 2);
    put8(hello, 1);
    put8(hello, value);
}

static void put_versions(hello_t *hello, const usher_hello_t *offer)
{
    apr_size_t n = kept(offer->versions_all, USHER_HELLO_VERSIONS_MAX);

    if (!n) {
        return;
    }
    put16(hello, EXTENSION_VERSIONS);
    put16(hello, (unsigned int)(1 + 2 * n));
    put8(hello, (unsigned int)(2 * n));
    put_list(hello, offer->versions, n);
    if (usher_hello_version_max(offer) >= 0x0304) {
        put_byte(hello, EXTENSION_PSK_MODES, 1);
        put16(hello, EXTENSION_KEY_SHARE);
        put16(hello, 2);
        put16(hello, 0);
    }
}

static void put_extensions(hello_t *hello, const usher_hello_t *offer)
{
    apr_size_t whole = begin16(hello);
    apr_size_t groups = kept(offer->groups_all, USHER_HELLO_GROUPS_MAX);

    put16(hello, EXTENSION_RENEGOTIATION);
    put16(hello, 1);
    put8(hello, 0);
    put16(hello, EXTENSION_MASTER_SECRET);
    put16(hello, 0);
    put_extension(hello, EXTENSION_GROUPS, offer->groups, groups);
    if (groups) {
        put_byte(hello, EXTENSION_POINT_FORMATS, 0);
    }
    put_extension(hello, EXTENSION_SIGALGS, offer->sigalgs,
                  kept(offer->sigalgs_all, USHER_HELLO_SIGALGS_MAX));
    put_versions(hello, offer);
    end16(hello, whole);
}

apr_size_t tls_try_hello(unsigned char *to, const usher_hello_t *offer)
{
    hello_t hello = { to, 0 };
    apr_uint16_t version = usher_hello_version_max(offer);
    apr_size_t record, message, ciphers;

    put8(&hello, 22);
    put16(&hello, version < 0x0301 ? 0x0300 : 0x0301);
    record = begin16(&hello);
    put16(&hello, 0x0100); /* client_hello, and the first of its length's three bytes */
    message = begin16(&hello);
    put16(&hello, version < 0x0303 ? version : 0x0303);
    memset(to + hello.len, 'u', 32);
    hello.len += 32;
    put8(&hello, 0);
    ciphers = begin16(&hello);
    put_list(&hello, offer->ciphers, kept(offer->ciphers_all, USHER_HELLO_CIPHERS_MAX));
    end16(&hello, ciphers);
    put16(&hello, 0x0100); /* one compression method: none */
    if (version > 0x0300) {
        put_extensions(&hello, offer);
    }
    end16(&hello, message);
    end16(&hello, record);
    return hello.len;
}
