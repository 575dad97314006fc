#include "unit.h"
#include "usher_number.h"

static const struct {
    const char *text;
    apr_uint64_t max;
    apr_size_t digits;
    apr_uint64_t number;
} cases[] = {
    { "", 10, 0, 7 },
    { "x", 10, 0, 7 },
    { "-1", 10, 0, 7 },
    { "+1", 10, 0, 7 },
    { " 1", 10, 0, 7 },
    { "0", 0, 1, 0 },
    { "1", 0, 0, 7 },
    { "10", 10, 2, 10 },
    { "11", 10, 0, 7 },
    { "0010", 10, 4, 10 },
    { "12ab", 100, 2, 12 },
    { "18446744073709551615", ~(apr_uint64_t)0, 20, ~(apr_uint64_t)0 },
    { "18446744073709551616", ~(apr_uint64_t)0, 0, 7 },
    { "99999999999999999999", ~(apr_uint64_t)0, 0, 7 },
};

START_TEST(parse)
{
    apr_size_t len = strlen(cases[_i].text);
    char *text = unit_copy(cases[_i].text, len);
    apr_uint64_t number = 7;

    ck_assert_uint_eq(usher_number_parse(&number, cases[_i].max, text, len), cases[_i].digits);
    ck_assert_uint_eq(number, cases[_i].number);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("number");
    TCase *tc = tcase_create("parse");

    tcase_add_loop_test(tc, parse, 0, UNIT_COUNT(cases));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
