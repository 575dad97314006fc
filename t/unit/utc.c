#include "unit.h"
#include "usher_clock.h"

static const struct {
    apr_time_t utc;
    const char *text;
} cases[] = {
    { 0, "1970-01-01T00:00:00.000000+00:00" },
    { 1, "1970-01-01T00:00:00.000001+00:00" },
    { APR_TIME_C(951827696789012), "2000-02-29T12:34:56.789012+00:00" },
    { APR_TIME_C(1795310739000000), "2026-11-22T01:25:39.000000+00:00" },
    { APR_TIME_C(253402300799999999), "9999-12-31T23:59:59.999999+00:00" },
};

START_TEST(both_ways)
{
    char text[USHER_UTC_SIZE];
    char *copy = unit_copy(cases[_i].text, USHER_UTC_SIZE - 1);
    apr_time_t utc = -1;

    ck_assert_str_eq(usher_utc_format(text, cases[_i].utc), cases[_i].text);
    ck_assert_int_eq(usher_utc_parse(&utc, copy, USHER_UTC_SIZE - 1), APR_SUCCESS);
    ck_assert_int_eq(utc, cases[_i].utc);
    free(copy);
}
END_TEST

static const char *const bad[] = {
    "",
    "2026-11-22",
    "2026-11-22T01:25:39.000000Z",
    "2026-11-22T01:25:39.000000+01:00",
    "2026-11-22 01:25:39.000000+00:00",
    "2026-02-29T01:25:39.000000+00:00",
    "2026-13-01T01:25:39.000000+00:00",
    "2026-00-01T01:25:39.000000+00:00",
    "2026-11-31T01:25:39.000000+00:00",
    "2026-11-22T24:00:00.000000+00:00",
    "2026-11-22T01:60:39.000000+00:00",
    "2026-11-22T01:25:39.000000+00:0x",
    "0026-11-22T01:25:39.000000+00:00",
    "20261-1-22T01:25:39.000000+00:00",
    "2026-11-22T01:25:39.00000+00:000",
};

START_TEST(refused)
{
    size_t len = strlen(bad[_i]);
    char *copy = unit_copy(bad[_i], len);
    apr_time_t utc = -1;

    ck_assert_int_eq(usher_utc_parse(&utc, copy, len), APR_EINVAL);
    ck_assert_int_eq(utc, -1);
    free(copy);
}
END_TEST

START_TEST(every_prefix_refused)
{
    const char *text = cases[3].text;
    size_t len;

    for (len = 0; len < USHER_UTC_SIZE - 1; ++len) {
        char *copy = unit_copy(text, len);
        apr_time_t utc;

        ck_assert_int_eq(usher_utc_parse(&utc, copy, len), APR_EINVAL);
        free(copy);
    }
}
END_TEST

START_TEST(system_clock)
{
    const usher_clock_t *clock = usher_clock_system();
    apr_time_t first = clock->boot_now();
    char id[USHER_BOOT_ID_SIZE];

    ck_assert_int_gt(first, 0);
    ck_assert_int_ge(clock->boot_now(), first);
    ck_assert_int_gt(clock->utc_now(), APR_TIME_C(1700000000000000));
    clock->boot_id(id);
#ifdef __linux__
    ck_assert_uint_eq(strlen(id), USHER_BOOT_ID_SIZE - 1);
#endif
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("utc");
    TCase *tc = tcase_create("text and clocks");

    tcase_add_loop_test(tc, both_ways, 0, UNIT_COUNT(cases));
    tcase_add_loop_test(tc, refused, 0, UNIT_COUNT(bad));
    tcase_add_test(tc, every_prefix_refused);
    tcase_add_test(tc, system_clock);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
