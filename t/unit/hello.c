#include "unit.h"
#include "usher_hello.h"

#include <stdio.h>

/* version 0x0303, random, no session, two ciphers (and GREASE), no compression */
#define RANDOM "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEAD   "0303" RANDOM "00" "0006" "0a0a1301c02b" "01" "00"

/* Without its last byte it is whole. */
#define MORE "more after the extensions"

static const struct {
    const char *name;
    const char *hex;
    const char *shown; /* NULL: bad */
} cases[] = {
    { "no extensions", HEAD, "0303 c=1301,c02b" },
    { "an empty list of them", HEAD "0000", "0303 c=1301,c02b" },
    { "no ciphers", "0301" RANDOM "00" "0000" "0100", "0301" },
    { "a session of 32 bytes", "0303" RANDOM "20" RANDOM "0002c02b" "0100", "0303 c=c02b" },
    { "a session of 33 bytes", "0303" RANDOM "21" RANDOM "00" "0002c02b" "0100", NULL },
    { "half a cipher", "0303" RANDOM "00" "0003c02b13" "0100", NULL },
    { "no compression, not even none", "0303" RANDOM "00" "0002c02b" "00", NULL },
    { "two methods of compression", "0303" RANDOM "00" "0002c02b" "020100", "0303 c=c02b" },
    { "all that is looked at",
      HEAD "005a"
      "0000000e000c000009" "6c6f63616c686f7374"
      "000a00080006" "9a9a001d0017"
      "000d00080006" "040308045a5a"
      "0010000e000c" "026832" "08687474702f312e31"
      "00230001" "aa"
      "002b0007" "06" "0a0a03040303"
      "002a0000"
      "1a1a0000"
      "00290002" "0000",
      "0303 c=1301,c02b e=0000,000a,000d,0010,0023,002b,002a,0029 g=001d,0017 s=0403,0804 "
      "v=0304,0303 a=h2,http/1.1 n=localhost early psk ticket" },
    { "an empty ticket", HEAD "0004" "00230000", "0303 c=1301,c02b e=0023" },
    { "an unknown extension with anything in it", HEAD "0007" "12340003ffffff", "0303 c=1301,c02b e=1234" },
    { "GREASE among the protocols", HEAD "000c" "00100008" "0006" "020a0a" "026832",
      "0303 c=1301,c02b e=0010 a=h2" },
    { "a name of another type before the host's",
      HEAD "0010" "0000000c" "000a" "01000378797a" "00000161", "0303 c=1301,c02b e=0000 n=a" },
    { "only a name of another type", HEAD "000a" "00000006" "0004" "01000178",
      "0303 c=1301,c02b e=0000" },
    { "anything after a name", HEAD "000b" "00000007" "0005" "000001" "61" "ff",
      "0303 c=1301,c02b e=0000 n=a" },
    { "an empty name", HEAD "0009" "00000005" "0003" "000000", "0303 c=1301,c02b e=0000 n=" },
    { "no name", HEAD "0006" "00000002" "0000", NULL },
    { "a name that is longer than its list", HEAD "000a" "00000006" "0004" "00000261", NULL },
    { "a list of names that does not fill its place", HEAD "000b" "00000007" "0004" "00000161" "00", NULL },
    { "half a group", HEAD "0009" "000a0005" "0003" "001d17", NULL },
    { "more after the groups", HEAD "0009" "000a0005" "0002" "001d00", NULL },
    { "groups that are not there", HEAD "0008" "000a0004" "0004" "001d", NULL },
    { "no groups", HEAD "0006" "000a0002" "0000", "0303 c=1301,c02b e=000a" },
    { "half a version", HEAD "0008" "002b0004" "03" "030403", NULL },
    { "no protocols", HEAD "0006" "00100002" "0000", NULL },
    { "an empty protocol", HEAD "0007" "00100003" "0001" "00", NULL },
    { "a protocol that is not there", HEAD "0008" "00100004" "0002" "0268", NULL },
    { "an extension beyond the end", HEAD "0005" "1234000200", NULL },
    { "half an extension's head", HEAD "0003" "123400", NULL },
    { MORE, HEAD "0004" "12340000" "00", NULL },
    { "fewer extensions than said", HEAD "0005" "12340000", NULL },
};

static void show_list(char *to, const char *name, const apr_uint16_t *numbers, int len)
{
    int i;

    if (len) {
        sprintf(to + strlen(to), " %s=", name);
    }
    for (i = 0; i < len; ++i) {
        sprintf(to + strlen(to), "%s%04x", i ? "," : "", numbers[i]);
    }
}

static const char *show(char *to, const usher_hello_t *h)
{
    int i;

    sprintf(to, "%04x", h->legacy_version);
    show_list(to, "c", h->ciphers, h->ciphers_all);
    show_list(to, "e", h->extensions, h->extensions_all);
    show_list(to, "g", h->groups, h->groups_all);
    show_list(to, "s", h->sigalgs, h->sigalgs_all);
    show_list(to, "v", h->versions, h->versions_all);
    for (i = 0; i < h->alpn_all; ++i) {
        sprintf(to + strlen(to), "%s%.*s", i ? "," : " a=", (int)h->alpn[i].len,
                (const char *)h->alpn[i].at);
    }
    if (h->has_sni) {
        sprintf(to + strlen(to), " n=%.*s", (int)h->sni.len, (const char *)h->sni.at);
    }
    sprintf(to + strlen(to), "%s%s%s", h->has_early_data ? " early" : "", h->has_psk ? " psk" : "",
            h->has_ticket ? " ticket" : "");
    return to;
}

START_TEST(read_all)
{
    unsigned char bytes[512];
    size_t len = unit_bytes(bytes, cases[_i].hex);
    unsigned char *message = (unsigned char *)unit_copy(bytes, len);
    usher_hello_t hello;
    char text[2048];

    ck_assert_msg(usher_hello_read(&hello, message, len)
                      == (cases[_i].shown ? USHER_PARSE_DONE : USHER_PARSE_BAD),
                  "%s", cases[_i].name);
    if (cases[_i].shown) {
        ck_assert_str_eq(show(text, &hello), cases[_i].shown);
        ck_assert_int_eq(hello.greased, strstr(cases[_i].hex, "0a0a1301") != NULL);
    }
    free(message);
}
END_TEST

/* A whole one ends where its extensions would begin, or with them: no other prefix is one. */
START_TEST(prefixes)
{
    unsigned char bytes[512];
    size_t len = unit_bytes(bytes, cases[_i].hex), i;
    size_t head = strncmp(cases[_i].hex, HEAD, strlen(HEAD)) ? len : strlen(HEAD) / 2;
    size_t whole = strcmp(cases[_i].name, MORE) ? len : len - 1;
    usher_hello_t hello;

    for (i = 0; i < len; ++i) {
        unsigned char *message = (unsigned char *)unit_copy(bytes, i);

        ck_assert_msg(usher_hello_read(&hello, message, i)
                          == (i == head || i == whole ? USHER_PARSE_DONE : USHER_PARSE_BAD),
                      "%s, %d bytes", cases[_i].name, (int)i);
        free(message);
    }
}
END_TEST

/* Many of each list: all are counted, the first ones kept. */
START_TEST(more_than_fit)
{
    unsigned char message[8192] = { 0x03, 0x03 };
    size_t at = 35, i;
    usher_hello_t hello;

    message[at++] = 0x07; /* 1,000 ciphers */
    message[at++] = 0xd0;
    for (i = 0; i < 1000; ++i) {
        message[at++] = 0xc0;
        message[at++] = (unsigned char)i;
    }
    message[at++] = 1;
    message[at++] = 0;
    message[at++] = 0x0f; /* 1,000 extensions */
    message[at++] = 0xa0;
    for (i = 0; i < 1000; ++i) {
        message[at++] = 0x20;
        message[at++] = (unsigned char)i;
        message[at++] = 0;
        message[at++] = 0;
    }
    ck_assert_int_eq(usher_hello_read(&hello, message, at), USHER_PARSE_DONE);
    ck_assert_uint_eq(hello.ciphers_all, 1000);
    ck_assert_uint_eq(hello.ciphers[USHER_HELLO_CIPHERS_MAX - 1], 0xc000 + USHER_HELLO_CIPHERS_MAX - 1);
    ck_assert_uint_eq(hello.extensions_all, 1000);
    ck_assert_uint_eq(hello.extensions[USHER_HELLO_EXTENSIONS_MAX - 1],
                      0x2000 + USHER_HELLO_EXTENSIONS_MAX - 1);
    ck_assert_uint_eq(hello.extensions[0], 0x2000);
    ck_assert_uint_eq(hello.groups_all, 0);
}
END_TEST

START_TEST(greatest_version)
{
    usher_hello_t hello;

    memset(&hello, 0, sizeof(hello));
    hello.legacy_version = 0x0302;
    ck_assert_uint_eq(usher_hello_version_max(&hello), 0x0302);
    hello.versions_all = 3;
    hello.versions[0] = 0x0301;
    hello.versions[1] = 0x0304;
    hello.versions[2] = 0x0303;
    ck_assert_uint_eq(usher_hello_version_max(&hello), 0x0304);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hello");
    TCase *tc = tcase_create("ClientHello");

    tcase_add_loop_test(tc, read_all, 0, UNIT_COUNT(cases));
    tcase_add_loop_test(tc, prefixes, 0, UNIT_COUNT(cases));
    tcase_add_test(tc, more_than_fit);
    tcase_add_test(tc, greatest_version);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
