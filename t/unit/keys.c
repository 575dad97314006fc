/* Key files: what is read, what is refused, where, and that no reason tells of keys. */
#include "unit.h"

#include <apr_general.h>
#include <stdio.h>

#include "usher_keys.h"

#define URL "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"   /* 32 times 1 */
#define STD "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="  /* 32 times 2 */
#define HEX "03030303030303030303030303030303030303030303030303030303030303" "03"
#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static const struct {
    const char *text;
    int count;
    apr_uint32_t first;
    unsigned char byte; /* the first key's first */
} good[] = {
    { "0000000a " URL, 1, 0xa, 1 },
    { "0000000a " URL "\n", 1, 0xa, 1 },
    { "# what\n\n \t\ndeadBEEF\t " STD " \r\n#0000000a\n0000000a " HEX "\n", 2, 0xdeadbeef, 2 },
    { "ffffffff " HEX "\n00000000 " URL "\n00000001 " STD "\n", 3, 0xffffffff, 3 },
    { "00000001 +/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/8\n", 1, 1, 0xfb },
    { "00000001 -_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8=\n", 1, 1, 0xfb },
};

START_TEST(parse)
{
    char *text = unit_copy(good[_i].text, strlen(good[_i].text));
    usher_keys_error_t error = { 0, "" };
    usher_keyring_t ring;

    ck_assert_msg(usher_keys_parse(&ring, &error, text, strlen(good[_i].text)), "line %d: %s",
                  error.line, error.reason);
    ck_assert_int_eq(ring.count, good[_i].count);
    ck_assert_uint_eq(ring.keys[0].id, good[_i].first);
    ck_assert_uint_eq(ring.keys[0].bytes[0], good[_i].byte);
    free(text);
}
END_TEST

static const struct {
    const char *text;
    int line;
    const char *reason; /* begins so */
} bad[] = {
    { "", 0, "has no key" },
    { "# nothing\n\n", 0, "has no key" },
    { "0000000a", 1, "takes an id" },
    { "0000000a ", 1, "takes an id" },
    { URL, 1, "takes an id" },
    { "0000000 " URL, 1, "takes an id" },
    { "0000000g " URL, 1, "takes an id" },
    { "0000000a" URL, 1, "takes an id" },
    { "\n0000000a\n", 2, "takes an id" },
    { "0000000a AQEB", 1, "the key is not 32 bytes" },
    { "0000000a " URL "A", 1, "the key is not 32 bytes" },
    { "0000000a " URL "==", 1, "the key is not 32 bytes" },
    { "0000000a " URL " x", 1, "the key is not 32 bytes" },
    { "0000000a " URL URL, 1, "the key is not 32 bytes" },
    { "0000000a " HEX "0", 1, "the key is not 32 bytes" },
    { "0000000a AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF", 1, "the key is neither" },
    { "0000000a AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBA*E", 1, "the key is neither" },
    { "0000000a =QEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE", 1, "the key is neither" },
    { "0000000a g3030303030303030303030303030303030303030303030303030303030303" "03", 1,
      "the key is neither" },
    { "0000000a " ZEROS, 1, "the key is all zeros" },
    { "0000000a " URL "\n0000000A " STD, 2, "this id stands above" },
    { "0000000a " URL "\n#\n0000000b 0101010101010101010101010101010101010101010101010101010101"
      "010101", 3, "this key stands above" },
};

START_TEST(refused)
{
    static const usher_keyring_t none;
    apr_size_t len = strlen(bad[_i].text);
    char *text = unit_copy(bad[_i].text, len);
    usher_keys_error_t error = { -1, NULL };
    usher_keyring_t ring;

    ck_assert_int_eq(usher_keys_parse(&ring, &error, text, len), 0);
    ck_assert_int_eq(error.line, bad[_i].line);
    ck_assert_msg(!strncmp(error.reason, bad[_i].reason, strlen(bad[_i].reason)), "%s",
                  error.reason);
    ck_assert_mem_eq(&ring, &none, sizeof(ring));
    free(text);
}
END_TEST

/* Every prefix is read as it stands, never beyond; and a NUL is no character of a key. */
START_TEST(prefixes)
{
    static const char text[] = "# x\n0000000a " URL "\n0000000b " STD "\n0000000c " HEX "\n";
    apr_size_t len;
    int most = 0;

    for (len = 0; len < sizeof(text); ++len) {
        char *copy = unit_copy(text, len);
        usher_keys_error_t error = { -1, NULL };
        usher_keyring_t ring;

        if (usher_keys_parse(&ring, &error, copy, len)) {
            ck_assert_int_ge(ring.count, most);
            most = ring.count;
        }
        else {
            ck_assert_ptr_nonnull(error.reason);
        }
        free(copy);
    }
    ck_assert_int_eq(most, 3);
}
END_TEST

START_TEST(bounds)
{
    char text[(USHER_KEYS_MAX + 1) * 80 + 1], *at = text;
    char *large = malloc(USHER_KEYS_FILE_MAX + 1);
    usher_keys_error_t error;
    usher_keyring_t ring;
    int i;

    for (i = 0; i < USHER_KEYS_MAX; ++i) {
        at += sprintf(at, "%08x %064x\n", i, i + 1);
    }
    ck_assert_int_eq(usher_keys_parse(&ring, &error, text, (apr_size_t)(at - text)), 1);
    ck_assert_int_eq(ring.count, USHER_KEYS_MAX);
    at += sprintf(at, "%08x %064x\n", i, i + 1);
    ck_assert_int_eq(usher_keys_parse(&ring, &error, text, (apr_size_t)(at - text)), 0);
    ck_assert_int_eq(error.line, USHER_KEYS_MAX + 1);
    ck_assert_int_eq(strncmp(error.reason, "more than 64", 12), 0);

    memset(large, '\n', USHER_KEYS_FILE_MAX + 1);
    memcpy(large, "0000000a " URL, sizeof("0000000a " URL) - 1);
    ck_assert_int_eq(usher_keys_parse(&ring, &error, large, USHER_KEYS_FILE_MAX), 1);
    ck_assert_int_eq(usher_keys_parse(&ring, &error, large, USHER_KEYS_FILE_MAX + 1), 0);
    free(large);
}
END_TEST

START_TEST(rings)
{
    usher_keyring_t a, b;
    usher_keys_t *keys;
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    ck_assert_int_eq(usher_keyring_make(&a), 1);
    ck_assert_int_eq(usher_keyring_make(&b), 1);
    ck_assert_int_eq(usher_keyring_is_same(&a, &a), 1);
    ck_assert_int_eq(usher_keyring_is_same(&a, &b), 0);
    keys = usher_keys_make(pool, &a);
    ck_assert_ptr_nonnull(keys);
    ck_assert_ptr_nonnull(usher_keys_find(keys, a.keys[0].id));
    ck_assert_ptr_null(usher_keys_find(keys, a.keys[0].id + 1));
    usher_keyring_wipe(&b);
    ck_assert_ptr_null(usher_keys_make(pool, &b));
    apr_pool_destroy(pool);
    apr_terminate();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keys");
    TCase *tc = tcase_create("keys");

    tcase_add_loop_test(tc, parse, 0, UNIT_COUNT(good));
    tcase_add_loop_test(tc, refused, 0, UNIT_COUNT(bad));
    tcase_add_test(tc, prefixes);
    tcase_add_test(tc, bounds);
    tcase_add_test(tc, rings);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
