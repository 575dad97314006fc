#include "unit.h"
#include "usher_ja4.h"

#define COUNT(list) ((apr_uint16_t)(sizeof(list) / sizeof((list)[0])))
#define SET(hello, name, list) \
    ((hello)->name##_all = COUNT(list), memcpy((hello)->name, list, sizeof(list)))

/* The example of FoxIO's specification, in the client's order:
 * https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md */
static const apr_uint16_t ciphers[] = {
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
    0x009d, 0x002f, 0x0035,
};
static const apr_uint16_t extensions[] = {
    0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
    0xff01, 0x000b, 0x000a, 0x0015,
};
static const apr_uint16_t sigalgs[] = {
    0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
};
/* A newer Chrome's, as browserleaks.com shows them with its JA4 */
static const apr_uint16_t newer[] = {
    0x002d, 0x0033, 0x0010, 0xfe0d, 0x0017, 0x44cd, 0x0000, 0x000b, 0x000a, 0x002b, 0xff01, 0x0023,
    0x0012, 0x0005, 0x000d, 0x001b,
};
static const apr_uint16_t versions[] = { 0x0303, 0x0304 };

static void example(usher_hello_t *hello)
{
    memset(hello, 0, sizeof(*hello));
    hello->legacy_version = 0x0303;
    SET(hello, versions, versions);
    SET(hello, ciphers, ciphers);
    SET(hello, extensions, extensions);
    SET(hello, sigalgs, sigalgs);
    hello->has_sni = 1;
    hello->alpn_all = 1;
    hello->alpn[0].at = (const unsigned char *)"h2";
    hello->alpn[0].len = 2;
}

START_TEST(published)
{
    usher_hello_t hello;
    char text[USHER_JA4_SIZE];

    example(&hello);
    ck_assert_str_eq(usher_ja4(text, &hello), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    SET(&hello, extensions, newer);
    ck_assert_str_eq(usher_ja4(text, &hello), "t13d1516h2_8daaf6152771_d8a2da3f94cd");
    SET(&hello, extensions, extensions);
    hello.sigalgs_all = 0; /* the specification's, without signature algorithms */
    ck_assert_str_eq(usher_ja4(text, &hello), "t13d1516h2_8daaf6152771_6d807ffa2a79");
}
END_TEST

/* The specification's examples of names that are not alphanumeric at both ends */
static const struct {
    const char *name;
    apr_size_t len;
    const char *shown;
} names[] = {
    { "h2", 2, "h2" },
    { "http/1.1", 8, "h1" },
    { "a", 1, "aa" },
    { "\xab", 1, "ab" },
    { "\xab\xcd", 2, "ad" },
    { "\x30\xab", 2, "3b" },
    { "\x30\x31\xab\xcd", 4, "3d" },
    { "\x30\xab\xcd\x31", 4, "01" },
};

START_TEST(alpn)
{
    usher_hello_t hello;
    char text[USHER_JA4_SIZE];

    example(&hello);
    hello.alpn[0].at = (const unsigned char *)names[_i].name;
    hello.alpn[0].len = names[_i].len;
    usher_ja4(text, &hello);
    ck_assert_mem_eq(text + 8, names[_i].shown, 2);
    hello.alpn_all = 0;
    ck_assert_mem_eq(usher_ja4(text, &hello) + 8, "00", 2);
}
END_TEST

static const struct {
    apr_uint16_t version;
    const char *shown;
} old[] = {
    { 0x0304, "13" }, { 0x0303, "12" }, { 0x0302, "11" }, { 0x0301, "10" }, { 0x0300, "s3" },
    { 0x0002, "s2" }, { 0x7f1c, "00" },
};

START_TEST(little)
{
    usher_hello_t hello;
    char text[USHER_JA4_SIZE], wanted[USHER_JA4_SIZE] = "txxi000000_000000000000_000000000000";

    memset(&hello, 0, sizeof(hello));
    hello.legacy_version = old[_i].version;
    memcpy(wanted + 1, old[_i].shown, 2);
    ck_assert_str_eq(usher_ja4(text, &hello), wanted);
    hello.extensions_all = 1; /* the name alone is not hashed */
    wanted[3] = 'd';
    wanted[7] = '1';
    ck_assert_str_eq(usher_ja4(text, &hello), wanted);
}
END_TEST

START_TEST(many)
{
    usher_hello_t hello;
    char text[USHER_JA4_SIZE];

    example(&hello);
    hello.ciphers_all = 100;
    ck_assert_mem_eq(usher_ja4(text, &hello), "t13d9916h2_", 11);
    hello.ciphers_all = USHER_HELLO_CIPHERS_MAX + 1;
    ck_assert_str_eq(usher_ja4(text, &hello), "");
    example(&hello);
    hello.extensions_all = USHER_HELLO_EXTENSIONS_MAX + 1;
    ck_assert_str_eq(usher_ja4(text, &hello), "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ja4");
    TCase *tc = tcase_create("fingerprints");

    tcase_add_test(tc, published);
    tcase_add_loop_test(tc, alpn, 0, UNIT_COUNT(names));
    tcase_add_loop_test(tc, little, 0, UNIT_COUNT(old));
    tcase_add_test(tc, many);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
