#include "usher_hello.h"

#include <string.h>

#include "usher_bytes.h"

/* Numbers of extensions */
enum {
    EXT_SERVER_NAME = 0,
    EXT_GROUPS = 10,
    EXT_SIGALGS = 13,
    EXT_ALPN = 16,
    EXT_TICKET = 35,
    EXT_PSK = 41,
    EXT_EARLY_DATA = 42,
    EXT_VERSIONS = 43
};

#define RANDOM_LEN     32
#define SESSION_ID_MAX 32

/* A list of numbers with the most that is kept of it. */
typedef struct hello_list_t {
    apr_uint16_t *kept;
    unsigned int max;
    apr_uint16_t *all;
} hello_list_t;

#define HELLO_LIST(hello, name) \
    { (hello)->name, sizeof((hello)->name) / sizeof((hello)->name[0]), &(hello)->name##_all }

/* RFC 8701: 0x0A0A, 0x1A1A, ... 0xFAFA */
static int hello_is_grease(unsigned int number)
{
    return (number & 0x0F0F) == 0x0A0A && number >> 8 == (number & 0xFF);
}

static void hello_add(usher_hello_t *hello, const hello_list_t *list, unsigned int number)
{
    if (hello_is_grease(number)) {
        hello->greased = 1;
        return;
    }
    if (*list->all < list->max) {
        list->kept[*list->all] = (apr_uint16_t)number;
    }
    /* 65,535 of them are 128 KB: more than any message that TLS takes. */
    if (*list->all < APR_UINT16_MAX) {
        ++*list->all;
    }
}

/* A list of numbers of two bytes, which fills its place. @return 0: it does not */
static int hello_numbers(usher_hello_t *hello, const hello_list_t *list, usher_bytes_t *from,
                         apr_size_t bytes)
{
    usher_bytes_t part = usher_bytes_part(from, bytes);

    while (part.len > 1) {
        hello_add(hello, list, usher_bytes_number(&part, 2));
    }
    return !from->bad && !from->len && !part.len;
}

/* RFC 6066, 3: as servers do, what follows a name is not looked at. */
static int hello_sni(usher_hello_t *hello, usher_bytes_t *from)
{
    usher_bytes_t names = usher_bytes_part(from, 2);

    if (from->bad || from->len || !names.len) {
        return 0;
    }
    while (names.len && !hello->has_sni) {
        unsigned int type = usher_bytes_number(&names, 1);
        usher_bytes_t name = usher_bytes_part(&names, 2);

        if (names.bad) {
            return 0;
        }
        if (type == 0) {
            hello->has_sni = 1;
            hello->sni.at = name.at;
            hello->sni.len = name.len;
        }
    }
    return 1;
}

/* RFC 7301, 3.1 */
static int hello_alpn(usher_hello_t *hello, usher_bytes_t *from)
{
    usher_bytes_t names = usher_bytes_part(from, 2);

    if (from->bad || from->len || !names.len) {
        return 0;
    }
    while (names.len) {
        usher_bytes_t name = usher_bytes_part(&names, 1);

        if (names.bad || !name.len) {
            return 0;
        }
        if (name.len == 2 && hello_is_grease((unsigned int)name.at[0] << 8 | name.at[1])) {
            hello->greased = 1;
            continue;
        }
        if (hello->alpn_all < USHER_HELLO_ALPN_MAX) {
            hello->alpn[hello->alpn_all].at = name.at;
            hello->alpn[hello->alpn_all].len = name.len;
        }
        ++hello->alpn_all;
    }
    return 1;
}

static int hello_extension(usher_hello_t *hello, unsigned int type, usher_bytes_t body)
{
    const hello_list_t groups = HELLO_LIST(hello, groups);
    const hello_list_t sigalgs = HELLO_LIST(hello, sigalgs);
    const hello_list_t versions = HELLO_LIST(hello, versions);

    switch (type) {
    case EXT_SERVER_NAME:
        return hello_sni(hello, &body);
    case EXT_GROUPS:
        return hello_numbers(hello, &groups, &body, 2);
    case EXT_SIGALGS:
        return hello_numbers(hello, &sigalgs, &body, 2);
    case EXT_ALPN:
        return hello_alpn(hello, &body);
    case EXT_VERSIONS:
        return hello_numbers(hello, &versions, &body, 1);
    case EXT_TICKET:
        hello->has_ticket = body.len > 0;
        break;
    case EXT_PSK:
        hello->has_psk = 1;
        break;
    case EXT_EARLY_DATA:
        hello->has_early_data = 1;
        break;
    default:
        break;
    }
    return 1;
}

static usher_parse_e hello_extensions(usher_hello_t *hello, usher_bytes_t *from)
{
    const hello_list_t list = HELLO_LIST(hello, extensions);
    usher_bytes_t all = usher_bytes_part(from, 2);

    if (from->bad || from->len) {
        return USHER_PARSE_BAD;
    }
    while (all.len) {
        unsigned int type = usher_bytes_number(&all, 2);
        usher_bytes_t body = usher_bytes_part(&all, 2);

        if (all.bad || !hello_extension(hello, type, body)) {
            return USHER_PARSE_BAD;
        }
        hello_add(hello, &list, type);
    }
    return USHER_PARSE_DONE;
}

usher_parse_e usher_hello_read(usher_hello_t *hello, const unsigned char *message, apr_size_t len)
{
    usher_bytes_t from = { message, len, 0 };
    const hello_list_t ciphers = HELLO_LIST(hello, ciphers);
    usher_bytes_t part;

    memset(hello, 0, sizeof(*hello));
    hello->legacy_version = (apr_uint16_t)usher_bytes_number(&from, 2);
    usher_bytes_take(&from, RANDOM_LEN);
    part = usher_bytes_part(&from, 1);
    if (part.len > SESSION_ID_MAX) {
        return USHER_PARSE_BAD;
    }
    part = usher_bytes_part(&from, 2);
    while (part.len > 1) {
        hello_add(hello, &ciphers, usher_bytes_number(&part, 2));
    }
    if (part.len) {
        return USHER_PARSE_BAD;
    }
    part = usher_bytes_part(&from, 1); /* methods of compression */
    if (from.bad || !part.len) {
        return USHER_PARSE_BAD;
    }
    return from.len ? hello_extensions(hello, &from) : USHER_PARSE_DONE;
}

apr_uint16_t usher_hello_version_max(const usher_hello_t *hello)
{
    apr_uint16_t max = 0;
    unsigned int i;

    for (i = 0; i < hello->versions_all && i < USHER_HELLO_VERSIONS_MAX; ++i) {
        max = hello->versions[i] > max ? hello->versions[i] : max;
    }
    return hello->versions_all ? max : hello->legacy_version;
}
