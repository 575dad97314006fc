#include "unit.h"
#include "usher_size.h"

#include <errno.h>

static const struct {
    const char *text;
    apr_status_t rv;
    apr_uint64_t size;
} cases[] = {
    { "0", APR_SUCCESS, 0 },
    { "1", APR_SUCCESS, 1 },
    { "1B", APR_SUCCESS, 1 },
    { "64K", APR_SUCCESS, 65536 },
    { "64k", APR_SUCCESS, 65536 },
    { "64kB", APR_SUCCESS, 65536 },
    { "16M", APR_SUCCESS, 16777216 },
    { "2G", APR_SUCCESS, APR_UINT64_C(2147483648) },
    { "1T", APR_SUCCESS, APR_UINT64_C(1099511627776) },
    { "9223372036854775807", APR_SUCCESS, APR_UINT64_C(9223372036854775807) },
    { "9223372036854775808", ERANGE, 7 },
    { "8388608T", ERANGE, 7 },
    { "", APR_EINVAL, 7 },
    { "K", APR_EINVAL, 7 },
    { "B", APR_EINVAL, 7 },
    { "1X", APR_EINVAL, 7 },
    { "1KK", APR_EINVAL, 7 },
    { "1BK", APR_EINVAL, 7 },
    { "-1", APR_EINVAL, 7 },
    { "1 K", APR_EINVAL, 7 },
    { "1.5M", APR_EINVAL, 7 },
};

START_TEST(parse)
{
    apr_size_t len = strlen(cases[_i].text);
    char *text = unit_copy(cases[_i].text, len);
    apr_uint64_t size = 7;

    ck_assert_int_eq(usher_size_parse(&size, text, len), cases[_i].rv);
    ck_assert_uint_eq(size, cases[_i].size);
    free(text);
}
END_TEST

/* A NUL after the digits is no unit. */
START_TEST(nul_is_no_unit)
{
    apr_uint64_t size = 7;

    ck_assert_int_eq(usher_size_parse(&size, "1\0", 2), APR_EINVAL);
}
END_TEST

static const struct {
    apr_uint64_t size;
    const char *text;
} written[] = {
    { 0, "0" },
    { 1, "1" },
    { 1023, "1023" },
    { 1024, "1K" },
    { 1025, "1025" },
    { 65536, "64K" },
    { 16777216, "16M" },
    { APR_UINT64_C(5497558138880), "5T" },
    { APR_UINT64_C(1) << 62, "4194304T" },
    { APR_UINT64_C(18446744073709551615), "18446744073709551615" },
};

START_TEST(format)
{
    char text[USHER_SIZE_SIZE];

    ck_assert_str_eq(usher_size_format(text, written[_i].size), written[_i].text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("size");
    TCase *tc = tcase_create("parse and format");

    tcase_add_loop_test(tc, parse, 0, UNIT_COUNT(cases));
    tcase_add_test(tc, nul_is_no_unit);
    tcase_add_loop_test(tc, format, 0, UNIT_COUNT(written));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
