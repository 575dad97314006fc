/* An expiry over restarts, boots and jumps of the wall clock, with a stubbed
 * clock; and its text. */
#include "unit.h"
#include <apr_strings.h>
#include "usher_duration.h"
#include "usher_expiry.h"

#define SEC APR_USEC_PER_SEC
#define BOOT_A "11111111-2222-3333-4444-555555555555"
#define BOOT_B "99999999-2222-3333-4444-555555555555"

static apr_time_t boot, utc;
static const char *id;

static apr_time_t stub_boot_now(void)
{
    return boot;
}

static apr_time_t stub_utc_now(void)
{
    return utc;
}

static void stub_boot_id(char text[USHER_BOOT_ID_SIZE])
{
    apr_cpystrn(text, id, USHER_BOOT_ID_SIZE);
}

static const usher_clock_t stub = { stub_boot_now, stub_utc_now, stub_boot_id };

/* Written at boot clock 1000 s, UTC 1,000,000 s, to expire in 90 s. */
static const struct {
    const char *what;
    const char *id_then;
    const char *id_now;
    apr_time_t boot_now;
    apr_time_t utc_now;
    apr_interval_time_t left; /* at loading */
} cases[] = {
    { "at once", BOOT_A, BOOT_A, 1000, 1000000, 90 },
    { "same boot, 30 s later", BOOT_A, BOOT_A, 1030, 1000030, 60 },
    { "same boot, UTC jumped a year ahead", BOOT_A, BOOT_A, 1030, 32536000, 60 },
    { "same boot, UTC jumped back", BOOT_A, BOOT_A, 1030, 5, 60 },
    { "same boot, over", BOOT_A, BOOT_A, 1090, 1000000, 0 },
    { "same boot, long over", BOOT_A, BOOT_A, 9000, 1000000, 0 },
    { "other boot, 30 s later", BOOT_A, BOOT_B, 10, 1000030, 60 },
    { "other boot, over", BOOT_A, BOOT_B, 10, 1000090, 0 },
    { "other boot, a year later", BOOT_A, BOOT_B, 10, 32536000, 0 },
    { "other boot, UTC jumped back: no more than remained", BOOT_A, BOOT_B, 10, 5, 90 },
    { "other boot with a later boot clock", BOOT_A, BOOT_B, 5000, 1000030, 60 },
    { "same id, boot clock behind (time namespace): UTC", BOOT_A, BOOT_A, 10, 1000030, 60 },
    { "no boot id on this system: UTC", "", "", 1030, 1000050, 40 },
};

START_TEST(load)
{
    usher_expiry_t expiry;

    boot = 1000 * SEC;
    utc = 1000000 * SEC;
    id = cases[_i].id_then;
    usher_expiry_save(&expiry, &stub, boot + 90 * SEC);
    boot = cases[_i].boot_now * SEC;
    utc = cases[_i].utc_now * SEC;
    id = cases[_i].id_now;
    ck_assert_msg(usher_expiry_load(&expiry, &stub) == boot + cases[_i].left * SEC,
                  "%s: %ld s left, not %ld", cases[_i].what,
                  (long)((usher_expiry_load(&expiry, &stub) - boot) / SEC), (long)cases[_i].left);
}
END_TEST

START_TEST(save_bounds)
{
    usher_expiry_t expiry;

    boot = 1000 * SEC;
    utc = 1000000 * SEC;
    id = BOOT_A;
    usher_expiry_save(&expiry, &stub, 5);
    ck_assert_int_eq(expiry.remaining, 0);
    usher_expiry_save(&expiry, &stub, boot + USHER_DURATION_MAX + 1);
    ck_assert_int_eq(expiry.remaining, USHER_DURATION_MAX);
}
END_TEST

#define TEXT "left=90000000us utc=1970-01-12T13:46:40.000000+00:00 up=1000000000us boot=" BOOT_A

START_TEST(text_both_ways)
{
    usher_expiry_t expiry, again;
    char text[USHER_EXPIRY_SIZE];

    boot = 1000 * SEC;
    utc = 1000000 * SEC;
    id = BOOT_A;
    usher_expiry_save(&expiry, &stub, boot + 90 * SEC);
    ck_assert_str_eq(usher_expiry_format(text, &expiry), TEXT);
    ck_assert_int_eq(usher_expiry_parse(&again, text, strlen(text)), APR_SUCCESS);
    ck_assert_int_eq(again.remaining, expiry.remaining);
    ck_assert_int_eq(again.utc_written, expiry.utc_written);
    ck_assert_int_eq(again.boot_written, expiry.boot_written);
    ck_assert_str_eq(again.boot_id, expiry.boot_id);
}
END_TEST

/* Of all prefixes only the one without a boot id is a record. */
START_TEST(text_every_prefix)
{
    const size_t no_id = sizeof(TEXT) - sizeof(BOOT_A);
    size_t len;

    for (len = 0; len < sizeof(TEXT) - 1; ++len) {
        char *copy = unit_copy(TEXT, len);
        usher_expiry_t expiry;

        ck_assert_int_eq(usher_expiry_parse(&expiry, copy, len),
                         len == no_id ? APR_SUCCESS : APR_EINVAL);
        free(copy);
    }
}
END_TEST

static const char *const bad[] = {
    TEXT "x",
    " " TEXT,
    "left=090us utc=1970-01-12T13:46:40.000000+00:00 up=1us boot=",
    "left=-1us utc=1970-01-12T13:46:40.000000+00:00 up=1us boot=",
    "left=3153600000000001us utc=1970-01-12T13:46:40.000000+00:00 up=1us boot=",
    "left=1us utc=1970-01-12T13:46:40.000000+01:00 up=1us boot=",
    "left=1us utc=1970-01-12T13:46:40.000000+00:00 up=us boot=",
    "left=1us utc=1970-01-12T13:46:40.000000+00:00 up=1us boot=zzzzzzzz-2222-3333-4444-555555555555",
    "left=1us utc=1970-01-12T13:46:40.000000+00:00 up=1us boot=1111",
};

START_TEST(text_refused)
{
    size_t len = strlen(bad[_i]);
    char *copy = unit_copy(bad[_i], len);
    usher_expiry_t expiry = { .remaining = 77 };

    ck_assert_int_eq(usher_expiry_parse(&expiry, copy, len), APR_EINVAL);
    ck_assert_int_eq(expiry.remaining, 77);
    free(copy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("expiry");
    TCase *tc = tcase_create("expiry");

    tcase_add_loop_test(tc, load, 0, UNIT_COUNT(cases));
    tcase_add_test(tc, save_bounds);
    tcase_add_test(tc, text_both_ways);
    tcase_add_test(tc, text_every_prefix);
    tcase_add_loop_test(tc, text_refused, 0, UNIT_COUNT(bad));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
