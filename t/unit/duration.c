#include "unit.h"
#include "usher_duration.h"

#include <errno.h>

static const struct {
    const char *text;
    apr_status_t rv;
    apr_interval_time_t usec;
} cases[] = {
    { "0", APR_SUCCESS, 0 },
    { "5", APR_SUCCESS, 5000000 },
    { "500ms", APR_SUCCESS, 500000 },
    { "2s", APR_SUCCESS, 2000000 },
    { "30m", APR_SUCCESS, APR_TIME_C(1800000000) },
    { "30min", APR_SUCCESS, APR_TIME_C(1800000000) },
    { "1h", APR_SUCCESS, APR_TIME_C(3600000000) },
    { "7d", APR_SUCCESS, APR_TIME_C(604800000000) },
    { "36500d", APR_SUCCESS, USHER_DURATION_MAX },
    { "36501d", ERANGE, -1 },
    { "99999999999999999999s", ERANGE, -1 },
    { "", APR_EINVAL, -1 },
    { "s", APR_EINVAL, -1 },
    { "-1s", APR_EINVAL, -1 },
    { "1.5s", APR_EINVAL, -1 },
    { "1 s", APR_EINVAL, -1 },
    { "1S", APR_EINVAL, -1 },
    { "1ss", APR_EINVAL, -1 },
    { "1mi", APR_EINVAL, -1 },
    { "1h30m", APR_EINVAL, -1 },
    { "0x10", APR_EINVAL, -1 },
};

START_TEST(parse)
{
    apr_size_t len = strlen(cases[_i].text);
    char *text = unit_copy(cases[_i].text, len);
    apr_interval_time_t usec = -1;

    ck_assert_int_eq(usher_duration_parse(&usec, text, len), cases[_i].rv);
    ck_assert_int_eq(usec, cases[_i].usec);
    free(text);
}
END_TEST

static const struct {
    apr_interval_time_t usec;
    const char *text;
} written[] = {
    { 0, "0s" },
    { 999, "0ms" },
    { 1500000, "1500ms" },
    { 1000000, "1s" },
    { APR_TIME_C(90000000), "90s" },
    { APR_TIME_C(1800000000), "30m" },
    { APR_TIME_C(86400000000), "1d" },
    { USHER_DURATION_MAX, "36500d" },
    { USHER_DURATION_MAX - 1000, "3153599999999ms" },
};

START_TEST(format)
{
    char text[USHER_DURATION_SIZE];
    apr_interval_time_t again;

    ck_assert_str_eq(usher_duration_format(text, written[_i].usec), written[_i].text);
    ck_assert_int_eq(usher_duration_parse(&again, text, strlen(text)), APR_SUCCESS);
    ck_assert_int_eq(again, written[_i].usec / 1000 * 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("duration");
    TCase *tc = tcase_create("parse and format");

    tcase_add_loop_test(tc, parse, 0, UNIT_COUNT(cases));
    tcase_add_loop_test(tc, format, 0, UNIT_COUNT(written));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
