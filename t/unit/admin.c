#include "unit.h"
#include "usher_admin.h"
#include "usher_blame.h"
#include "usher_text.h"

static usher_admin_setting_t setting(usher_admin_e state, int weight)
{
    usher_admin_setting_t made = { state, weight };

    return made;
}

START_TEST(nothing_said)
{
    usher_admin_t admin = { 0 };
    char who[USHER_ADMIN_WHO_SIZE];

    ck_assert_int_eq(usher_admin_get(&admin).state, USHER_ADMIN_ENABLED);
    ck_assert_int_eq(usher_admin_get(&admin).weight, USHER_ADMIN_WEIGHT_NONE);
    ck_assert(!usher_admin_is_off(&admin) && !usher_admin_is_draining(&admin));
    ck_assert_int_eq(usher_admin_weight(&admin, 250), 250);
    ck_assert_str_eq(usher_admin_who(&admin, who), "");
}
END_TEST

static const struct {
    usher_admin_e state;
    int weight, off, draining, counts;
} cases[] = {
    { USHER_ADMIN_ENABLED, USHER_ADMIN_WEIGHT_NONE, 0, 0, 250 },
    { USHER_ADMIN_ENABLED, 0, 0, 1, 0 },
    { USHER_ADMIN_ENABLED, 1, 0, 0, 100 },
    { USHER_ADMIN_ENABLED, 100, 0, 0, 10000 },
    { USHER_ADMIN_DRAIN, USHER_ADMIN_WEIGHT_NONE, 0, 1, 250 },
    { USHER_ADMIN_DRAIN, 7, 0, 1, 700 },
    { USHER_ADMIN_OFF, USHER_ADMIN_WEIGHT_NONE, 1, 0, 250 },
    { USHER_ADMIN_OFF, 0, 1, 1, 0 },
};

START_TEST(said)
{
    usher_admin_t admin = { 0 };
    usher_admin_setting_t to = setting(cases[_i].state, cases[_i].weight);
    char who[USHER_ADMIN_WHO_SIZE];

    ck_assert_int_eq(usher_admin_change(&admin, usher_admin_get(&admin), to, 5, "anna"), 1);
    ck_assert_int_eq(usher_admin_get(&admin).state, to.state);
    ck_assert_int_eq(usher_admin_get(&admin).weight, to.weight);
    ck_assert_int_eq(usher_admin_is_off(&admin), cases[_i].off);
    ck_assert_int_eq(usher_admin_is_draining(&admin), cases[_i].draining);
    ck_assert_int_eq(usher_admin_weight(&admin, 250), cases[_i].counts);
    ck_assert_str_eq(usher_admin_who(&admin, who), "anna");
    ck_assert_int_eq(admin.changed_at, 5);
}
END_TEST

START_TEST(somebody_was_faster)
{
    usher_admin_t admin = { 0 };
    usher_admin_setting_t before = usher_admin_get(&admin);
    char who[USHER_ADMIN_WHO_SIZE];

    ck_assert_int_eq(usher_admin_change(&admin, before, setting(USHER_ADMIN_OFF, 3), 5, "a"), 1);
    ck_assert_int_eq(usher_admin_change(&admin, before, setting(USHER_ADMIN_DRAIN, 4), 6, "b"), 0);
    ck_assert_int_eq(usher_admin_get(&admin).state, USHER_ADMIN_OFF);
    ck_assert_str_eq(usher_admin_who(&admin, who), "a");
}
END_TEST

START_TEST(garbage)
{
    static const apr_uint32_t words[] = { 3, 0xff, 0x6600, 0xff00, 0x10000, 0xffffffff };
    usher_admin_t admin;
    char who[USHER_ADMIN_WHO_SIZE];

    memset(&admin, 'x', sizeof(admin));
    admin.word = words[_i];
    ck_assert(!usher_admin_is_off(&admin) && !usher_admin_is_draining(&admin));
    ck_assert_int_eq(usher_admin_weight(&admin, 250), 250);
    ck_assert_uint_eq(strlen(usher_admin_who(&admin, who)), USHER_ADMIN_WHO_SIZE - 1);
    ck_assert_int_eq(usher_admin_change(&admin, usher_admin_get(&admin),
                                        setting(USHER_ADMIN_OFF, USHER_ADMIN_WEIGHT_NONE), 1,
                                        "somebody with a name that is longer than what there "
                                        "is room for in a record"), 1);
    ck_assert(usher_admin_is_off(&admin));
    ck_assert_uint_eq(strlen(usher_admin_who(&admin, who)), USHER_ADMIN_WHO_SIZE - 1);
}
END_TEST

START_TEST(blame)
{
    usher_blame_t last = { 0 };
    apr_int64_t at;

    ck_assert_uint_eq(usher_blame_last(&last, &at), 0);
    usher_blame_note(&last, 123456789, 3);
    ck_assert_uint_eq(usher_blame_last(&last, &at), 3);
    ck_assert_int_eq(at, 123456789);
}
END_TEST

static const struct {
    const char *bytes;
    apr_size_t len;
    const char *shown;
} texts[] = {
    { "", 0, "" },
    { "http://a:1/", 11, "http://a:1/" },
    { "ab\0cd", 5, "ab" },
    { "abcd", 2, "ab" },
    { "a\x1b[2Jb\n", 7, "a\\x1b[2Jb\\x0a" },
    { "<b>\"\\", 5, "<b>\"\\" },
    { "\xc3\xa4\x7f\xff", 4, "\\xc3\\xa4\\x7f\\xff" },
};

START_TEST(shown)
{
    char *bytes = unit_copy(texts[_i].bytes, texts[_i].len);
    char *to = malloc(USHER_TEXT_SHOWN_SIZE(texts[_i].len));

    ck_assert_uint_eq(usher_text_show(to, bytes, texts[_i].len), strlen(texts[_i].shown));
    ck_assert_str_eq(to, texts[_i].shown);
    free(to);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admin");
    TCase *tc = tcase_create("admin");

    tcase_add_test(tc, nothing_said);
    tcase_add_loop_test(tc, said, 0, UNIT_COUNT(cases));
    tcase_add_test(tc, somebody_was_faster);
    tcase_add_loop_test(tc, garbage, 0, 6);
    tcase_add_test(tc, blame);
    tcase_add_loop_test(tc, shown, 0, UNIT_COUNT(texts));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
