/* Response times: rise, fall, what share they mean, and any contents. */
#include "unit.h"
#include "usher_load.h"
#include "usher_sample.h"

#define NOW ((apr_int64_t)900000)

/* So many answers, one each ms. @return the time then */
static apr_int64_t answers(usher_load_t *load, apr_int64_t now, int n, int ms)
{
    while (n--) {
        usher_load_answered(load, ms * 1000, now++);
    }
    return now;
}

static unsigned share(int best_ms, int ms)
{
    usher_load_t best = { 0 }, load = { 0 };

    answers(&best, NOW, 50, best_ms);
    return usher_load_share(&load, usher_load_time(&best), answers(&load, NOW, 50, ms));
}

START_TEST(shares)
{
    int ms;

    /* Up to twice as slow and a little is nothing. */
    ck_assert_uint_eq(share(0, 9), USHER_LOAD_SHARE);
    ck_assert_uint_eq(share(1, 10), USHER_LOAD_SHARE);
    ck_assert_uint_eq(share(100, 200), USHER_LOAD_SHARE);
    /* Then in proportion. */
    ck_assert_uint_eq(share(1, 78), USHER_LOAD_SHARE / 4);
    ck_assert_uint_eq(share(90, 390), USHER_LOAD_SHARE / 2);
    ck_assert_uint_eq(share(1, 100000), USHER_LOAD_SHARE_MIN);
    for (ms = 1; ms < 1000; ++ms) {
        ck_assert_uint_ge(share(20, ms), share(20, ms + 1));
    }
}
END_TEST

START_TEST(rises)
{
    usher_load_t load = { 0 };
    apr_int64_t now = answers(&load, NOW, 1000, 20);
    apr_uint32_t usual = usher_load_time(&load);

    /* One slow page: hardly less. */
    usher_load_answered(&load, 30000000, now++);
    ck_assert_uint_ge(usher_load_share(&load, usual, now), USHER_LOAD_SHARE / 2);
    /* Ten of them: a slow server; also for who has an older time. */
    answers(&load, now, 10, 30000);
    ck_assert_uint_eq(usher_load_share(&load, usual, now), USHER_LOAD_SHARE_MIN);
}
END_TEST

START_TEST(falls)
{
    usher_load_t load = { 0 };
    apr_int64_t now = answers(&load, NOW, 20, 500);
    apr_uint32_t best = 16 * 1000;
    int second, last = 0;

    ck_assert_uint_eq(usher_load_share(&load, best, now), USHER_LOAD_SHARE_MIN);
    /* Without any answer it is forgotten. */
    for (second = 0; second < 60; ++second) {
        int one = (int)usher_load_share(&load, best, now + second * 1000);

        ck_assert_int_ge(one, last);
        last = one;
    }
    ck_assert_int_eq(last, USHER_LOAD_SHARE);
    /* With quick answers as well. */
    for (second = 0; second < 1200; ++second) {
        usher_load_answered(&load, 1000, now += 100);
    }
    ck_assert_uint_le(usher_load_time(&load), best * 11);
    ck_assert_uint_ge(usher_load_time(&load), best);
}
END_TEST

START_TEST(steady)
{
    usher_load_t load = { 0 };
    apr_int64_t now = answers(&load, NOW, 10000, 40);

    ck_assert_uint_eq(usher_load_time(&load), 16 * 40000);
    answers(&load, now, 10000, 40);
    ck_assert_uint_eq(usher_load_time(&load), 16 * 40000);
}
END_TEST

START_TEST(any_contents)
{
    int i;

    for (i = 0; i < 10000; ++i) {
        usher_load_t load = { usher_sample_chance((apr_uint64_t)i) };
        unsigned part = usher_load_share(&load, (apr_uint32_t)i, NOW);
        apr_int64_t now;

        ck_assert_uint_ge(part, USHER_LOAD_SHARE_MIN);
        ck_assert_uint_le(part, USHER_LOAD_SHARE);
        usher_load_answered(&load, -5, NOW);
        usher_load_answered(&load, (apr_int64_t)1 << 62, NOW);
        for (now = NOW; now < NOW + 300000; now += 1000) {
            usher_load_answered(&load, 1000, now);
        }
        ck_assert_uint_lt(usher_load_time(&load), 16 * 2000);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load");
    TCase *tc = tcase_create("load");

    tcase_add_test(tc, shares);
    tcase_add_test(tc, rises);
    tcase_add_test(tc, falls);
    tcase_add_test(tc, steady);
    tcase_add_test(tc, any_contents);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
