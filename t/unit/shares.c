#include "unit.h"
#include "usher_shares.h"

#define MINUTE 60000

static usher_shares_t shares;

static void setup(void)
{
    memset(&shares, 0, sizeof(shares));
    shares.key = 0x0123456789abcdef;
}

static void add(apr_uint64_t who, int times, apr_int64_t now)
{
    for (; times; --times) {
        usher_shares_add(&shares, who, now);
    }
}

START_TEST(nothing)
{
    apr_uint64_t all = 7;

    ck_assert_uint_eq(usher_shares_get(&shares, 1, 5 * MINUTE, &all), 0);
    ck_assert_uint_eq(all, 0);
}
END_TEST

/* One with a third of the traffic, among ten thousand others: never less than what is true, and hardly more. */
START_TEST(one_of_many)
{
    apr_uint64_t all, his;
    apr_uint64_t i;

    for (i = 0; i < 20000; ++i) {
        usher_shares_add(&shares, 1000 + i % 10000, 1000);
    }
    add(1, 10000, 2000);
    his = usher_shares_get(&shares, 1, 3000, &all);
    ck_assert_uint_eq(all, 30000);
    ck_assert_uint_ge(his, 10000);
    ck_assert_uint_le(his, 10300);
    his = usher_shares_get(&shares, 1234, 3000, &all);
    ck_assert_uint_ge(his, 2);
    ck_assert_uint_le(his, 300);
}
END_TEST

/* Ten minutes count, and no more. */
START_TEST(passes)
{
    apr_uint64_t all;
    int i;

    for (i = 0; i < 30; ++i) {
        add(1, 10, i * MINUTE + 1);
        add(2, 5, i * MINUTE + 59999);
        ck_assert_uint_eq(usher_shares_get(&shares, 1, i * MINUTE + 59999, &all), (i < 9 ? i + 1 : 10) * 10);
        ck_assert_uint_eq(all, (i < 9 ? i + 1 : 10) * 15);
    }
    ck_assert_uint_eq(usher_shares_get(&shares, 1, 34 * MINUTE, &all), 50);
    ck_assert_uint_eq(usher_shares_get(&shares, 1, 39 * MINUTE, &all), 0);
    ck_assert_uint_eq(all, 0);
}
END_TEST

/* What a hostile child may write: of the future, of no minute. */
START_TEST(garbage)
{
    apr_uint64_t all;

    memset(&shares, 0xff, sizeof(shares));
    ck_assert_uint_eq(usher_shares_get(&shares, 1, 5 * MINUTE, &all), 0);
    ck_assert_uint_eq(all, 0);
    add(1, 3, 5 * MINUTE);
    ck_assert_uint_eq(usher_shares_get(&shares, 1, 5 * MINUTE, &all), 3);
    ck_assert_uint_eq(all, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shares");
    TCase *tc = tcase_create("shares");

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, nothing);
    tcase_add_test(tc, one_of_many);
    tcase_add_test(tc, passes);
    tcase_add_test(tc, garbage);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
