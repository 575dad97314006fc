/* Key files of registration: what is read, what is refused, where, and that no reason tells of keys. */
#include "unit.h"

#include <stdio.h>

#include "usher_regkeys.h"

#define K32 "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=" /* 32 times 1 */
#define K16 "AgICAgICAgICAgICAgICAg"                       /* 16 times 2 */
#define K64 "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"

static const struct {
    const char *text;
    apr_size_t count;
    const char *id;
    apr_uint32_t len;
    unsigned char byte;
    const char *policy;
} good[] = {
    { "tomcat1 " K32 " tomcats", 1, "tomcat1", 32, 1, "tomcats" },
    { "# all\n\n b\t" K32 "  p \r\na " K16 " q\n", 2, "a", 16, 2, "q" },
    { "# all\n\n b\t" K32 "  p \r\na " K16 " q\n", 2, "b", 32, 1, "p" },
    { "A.b_c-9 " K64 "== x\n#", 1, "A.b_c-9", 64, 3, "x" },
    { "a " K16 "== q", 1, "a", 16, 2, "q" },
    { "a -_-_-_-_-_-_-_-_-_-_-w q", 1, "a", 16, 0xfb, "q" },
    { "a +/+/+/+/+/+/+/+/+/+/+w== q", 1, "a", 16, 0xfb, "q" },
};

START_TEST(parse)
{
    apr_size_t len = strlen(good[_i].text), count;
    char *text = unit_copy(good[_i].text, len);
    usher_regkeys_error_t error = { -1, "" };
    usher_regkey_t *keys = malloc(usher_regkeys_room(text, len) * sizeof(*keys));
    const usher_regkey_t *key;

    count = usher_regkeys_parse(keys, &error, text, len);
    ck_assert_msg(count == good[_i].count, "line %d: %s", error.line, error.reason);
    key = usher_regkeys_find(keys, count, good[_i].id, strlen(good[_i].id));
    ck_assert_ptr_nonnull(key);
    ck_assert_uint_eq(key->secret_len, good[_i].len);
    ck_assert_uint_eq(key->secret[0], good[_i].byte);
    ck_assert_str_eq(key->policy, good[_i].policy);
    ck_assert_ptr_null(usher_regkeys_find(keys, count, "other", 5));
    ck_assert_ptr_null(usher_regkeys_find(keys, count, good[_i].id, strlen(good[_i].id) - 1));
    free(keys);
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
    { "a", 1, "takes an id" },
    { "a " K32, 1, "takes an id" },
    { "\na " K32 " p q", 2, "takes an id" },
    { "a/b " K32 " p", 1, "the id" },
    { "a:b " K32 " p", 1, "the id" },
    { "0123456789012345678901234567890123456789012345678901234567890123 " K32 " p", 1, "the id" },
    { "a " K32 " p=q", 1, "the policy" },
    { "a AQEB p", 1, "the secret is not 16" },
    { "a " K32 K64 " p", 1, "the secret is not 16" },
    { "a " K64 "AwMD p", 1, "the secret is not 16" },
    { "a " K16 "= p", 1, "the secret is not 16" },
    { "a AgICAgICAgICAgICAgICAh p", 1, "the secret is not base64" },
    { "a Ag*CAgICAgICAgICAgICAg p", 1, "the secret is not base64" },
    { "a " K32 " p\nb " K16 " p\na " K16 " p", 3, "this id stands above" },
};

START_TEST(refused)
{
    apr_size_t len = strlen(bad[_i].text);
    char *text = unit_copy(bad[_i].text, len);
    usher_regkey_t *keys = malloc(usher_regkeys_room(text, len) * sizeof(*keys));
    usher_regkeys_error_t error = { -1, NULL };

    ck_assert_uint_eq(usher_regkeys_parse(keys, &error, text, len), 0);
    ck_assert_int_eq(error.line, bad[_i].line);
    ck_assert_msg(!strncmp(error.reason, bad[_i].reason, strlen(bad[_i].reason)), "%s", error.reason);
    free(keys);
    free(text);
}
END_TEST

START_TEST(many)
{
    apr_size_t room = (USHER_REGKEYS_MAX + 1) * 40, len = 0, i;
    char *text = malloc(room);
    usher_regkey_t *keys = malloc(USHER_REGKEYS_MAX * sizeof(*keys));
    usher_regkeys_error_t error;

    for (i = 0; i < USHER_REGKEYS_MAX; ++i) {
        len += (apr_size_t)snprintf(text + len, room - len, "k%u %s p\n", (unsigned int)(i * 7919 % USHER_REGKEYS_MAX), K16);
    }
    ck_assert_uint_eq(usher_regkeys_parse(keys, &error, text, len), USHER_REGKEYS_MAX);
    ck_assert_ptr_nonnull(usher_regkeys_find(keys, USHER_REGKEYS_MAX, "k4711", 5));
    len += (apr_size_t)snprintf(text + len, room - len, "more %s p\n", K16);
    ck_assert_uint_eq(usher_regkeys_room(text, len), USHER_REGKEYS_MAX);
    ck_assert_uint_eq(usher_regkeys_parse(keys, &error, text, len), 0);
    ck_assert_int_eq(error.line, USHER_REGKEYS_MAX + 1);
    free(keys);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("regkeys");
    TCase *tests = tcase_create("regkeys");

    tcase_add_loop_test(tests, parse, 0, UNIT_COUNT(good));
    tcase_add_loop_test(tests, refused, 0, UNIT_COUNT(bad));
    tcase_add_test(tests, many);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
