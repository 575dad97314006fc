#include "usher_ja4.h"

#include <openssl/evp.h>
#include <string.h>

#define EXT_SERVER_NAME 0
#define EXT_ALPN        16

/* Of a hash so many hexadecimal digits are shown. */
#define HASH_LEN 12

/* The longest that is hashed: all extensions and signature algorithms, "0000," each. */
#define LIST_SIZE (5 * (USHER_HELLO_CIPHERS_MAX + USHER_HELLO_EXTENSIONS_MAX + USHER_HELLO_SIGALGS_MAX))

static const char ja4_hex[] = "0123456789abcdef";

static char *ja4_put_two(char *to, unsigned int number)
{
    number = number < 99 ? number : 99;
    *to++ = (char)('0' + number / 10);
    *to++ = (char)('0' + number % 10);
    return to;
}

/* "002f,0035" */
static char *ja4_put_list(char *to, const apr_uint16_t *numbers, unsigned int len)
{
    unsigned int i;

    for (i = 0; i < len; ++i) {
        if (i) {
            *to++ = ',';
        }
        *to++ = ja4_hex[numbers[i] >> 12];
        *to++ = ja4_hex[numbers[i] >> 8 & 15];
        *to++ = ja4_hex[numbers[i] >> 4 & 15];
        *to++ = ja4_hex[numbers[i] & 15];
    }
    return to;
}

static char *ja4_put_hash(char *to, const char *list, apr_size_t len)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    int i;

    if (!len || !EVP_Digest(list, len, hash, NULL, EVP_sha256(), NULL)) {
        memset(to, '0', HASH_LEN);
        return to + HASH_LEN;
    }
    for (i = 0; i < HASH_LEN / 2; ++i) {
        *to++ = ja4_hex[hash[i] >> 4];
        *to++ = ja4_hex[hash[i] & 15];
    }
    return to;
}

/* Few, and clients have them nearly sorted or not at all. */
static void ja4_sort(apr_uint16_t *numbers, unsigned int len)
{
    unsigned int i, j;

    for (i = 1; i < len; ++i) {
        apr_uint16_t number = numbers[i];

        for (j = i; j && numbers[j - 1] > number; --j) {
            numbers[j] = numbers[j - 1];
        }
        numbers[j] = number;
    }
}

static const char *ja4_version(apr_uint16_t version)
{
    switch (version) {
    case 0x0304:
        return "13";
    case 0x0303:
        return "12";
    case 0x0302:
        return "11";
    case 0x0301:
        return "10";
    case 0x0300:
        return "s3";
    case 0x0002:
        return "s2";
    default:
        return "00";
    }
}

static int ja4_is_alphanumeric(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The ends of the first protocol's name, or of its hexadecimal form. */
static char *ja4_put_alpn(char *to, const usher_hello_t *hello)
{
    const usher_hello_bytes_t *name = &hello->alpn[0];
    unsigned char first, last;

    if (!hello->alpn_all) {
        *to++ = '0';
        *to++ = '0';
        return to;
    }
    first = name->at[0];
    last = name->at[name->len - 1];
    if (ja4_is_alphanumeric(first) && ja4_is_alphanumeric(last)) {
        *to++ = (char)first;
        *to++ = (char)last;
        return to;
    }
    *to++ = ja4_hex[first >> 4];
    *to++ = ja4_hex[last & 15];
    return to;
}

static char *ja4_put_ciphers(char *to, const usher_hello_t *hello)
{
    apr_uint16_t sorted[USHER_HELLO_CIPHERS_MAX];
    char list[LIST_SIZE];

    memcpy(sorted, hello->ciphers, sizeof(sorted));
    ja4_sort(sorted, hello->ciphers_all);
    return ja4_put_hash(to, list,
                        (apr_size_t)(ja4_put_list(list, sorted, hello->ciphers_all) - list));
}

static char *ja4_put_extensions(char *to, const usher_hello_t *hello)
{
    apr_uint16_t sorted[USHER_HELLO_EXTENSIONS_MAX];
    char list[LIST_SIZE], *end;
    unsigned int i, len = 0;

    for (i = 0; i < hello->extensions_all; ++i) {
        if (hello->extensions[i] != EXT_SERVER_NAME && hello->extensions[i] != EXT_ALPN) {
            sorted[len++] = hello->extensions[i];
        }
    }
    ja4_sort(sorted, len);
    end = ja4_put_list(list, sorted, len);
    if (len && hello->sigalgs_all) {
        *end++ = '_';
        end = ja4_put_list(end, hello->sigalgs, hello->sigalgs_all);
    }
    return ja4_put_hash(to, list, (apr_size_t)(end - list));
}

char *usher_ja4(char text[USHER_JA4_SIZE], const usher_hello_t *hello)
{
    const char *version = ja4_version(usher_hello_version_max(hello));
    unsigned int i, named = 0;
    char *to = text;

    *to = '\0';
    if (hello->ciphers_all > USHER_HELLO_CIPHERS_MAX
        || hello->extensions_all > USHER_HELLO_EXTENSIONS_MAX
        || hello->sigalgs_all > USHER_HELLO_SIGALGS_MAX
        || hello->versions_all > USHER_HELLO_VERSIONS_MAX) {
        return text;
    }
    for (i = 0; i < hello->extensions_all; ++i) {
        named |= hello->extensions[i] == EXT_SERVER_NAME;
    }
    *to++ = 't';
    *to++ = version[0];
    *to++ = version[1];
    *to++ = named ? 'd' : 'i';
    to = ja4_put_two(to, hello->ciphers_all);
    to = ja4_put_two(to, hello->extensions_all);
    to = ja4_put_alpn(to, hello);
    *to++ = '_';
    to = ja4_put_ciphers(to, hello);
    *to++ = '_';
    to = ja4_put_extensions(to, hello);
    *to = '\0';
    return text;
}
