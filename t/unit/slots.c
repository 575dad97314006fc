/* Consistent hashing: who owns how much, and what moves when one comes, goes or gets
 * another weight: that one's share, and nothing else. */
#include "unit.h"
#include <math.h>
#include "usher_sample.h"
#include "usher_slots.h"

#define MANY 1000

static apr_uint32_t before[USHER_SLOTS], after[USHER_SLOTS];
static apr_uint64_t times[USHER_SLOTS], seeds[MANY];
static apr_uint32_t weights[MANY];

static void make(apr_uint32_t *owners, apr_uint32_t n)
{
    usher_slots_make(owners, times, seeds, weights, n);
}

static void members(apr_uint32_t n, apr_uint32_t spread)
{
    apr_uint32_t i;

    for (i = 0; i < n; ++i) {
        seeds[i] = usher_sample_chance(i + 1);
        weights[i] = 100 * (1 + i % spread);
    }
}

static const struct {
    apr_uint32_t n, spread;
} cases[] = { { 1, 1 }, { 2, 1 }, { 3, 3 }, { 10, 4 }, { 100, 1 }, { 1000, 5 } };

/* Each owns its share, but for what chance does with so many slots. */
START_TEST(shares)
{
    apr_uint32_t n = cases[_i].n, i;
    static int got[MANY];
    double sum = 0, off = 0;

    members(n, cases[_i].spread);
    make(before, n);
    memset(got, 0, sizeof(got));
    for (i = 0; i < USHER_SLOTS; ++i) {
        ck_assert_uint_lt(before[i], n);
        ++got[before[i]];
    }
    for (i = 0; i < n; ++i) {
        sum += weights[i];
    }
    for (i = 0; i < n; ++i) {
        double part = weights[i] / sum, chance = sqrt(USHER_SLOTS * part * (1 - part));

        off += n > 1 ? (got[i] - part * USHER_SLOTS) / chance * ((got[i] - part * USHER_SLOTS) / chance) : 0;
        ck_assert_double_eq_tol(got[i], part * USHER_SLOTS, 1 + 5 * chance);
        if (n <= 3) {
            ck_assert_double_eq_tol(got[i], part * USHER_SLOTS, part * USHER_SLOTS / 50);
        }
    }
    ck_assert_double_le(off, 3.0 * n + 5);
}
END_TEST

/* The last one goes: only its slots get others, and those are spread over all. */
START_TEST(one_goes)
{
    apr_uint32_t n = cases[_i].n, i;
    static int heirs[MANY];
    int moved = 0, different = 0;

    if (n < 2) {
        return;
    }
    members(n, cases[_i].spread);
    make(before, n);
    make(after, n - 1);
    memset(heirs, 0, sizeof(heirs));
    for (i = 0; i < USHER_SLOTS; ++i) {
        if (before[i] == n - 1) {
            ++moved;
            different += !heirs[after[i]]++;
        }
        else {
            ck_assert_uint_eq(after[i], before[i]);
        }
    }
    ck_assert_int_gt(moved, 0);
    ck_assert_int_ge(different, (int)(n - 1 < 9 ? n - 1 : 9));
}
END_TEST

/* More weight only takes, and only for the one that has it. */
START_TEST(weight)
{
    apr_uint32_t n = cases[_i].n, i;
    int taken = 0;

    if (n < 2) {
        return;
    }
    members(n, 1);
    make(before, n);
    weights[1] *= 3;
    make(after, n);
    for (i = 0; i < USHER_SLOTS; ++i) {
        if (after[i] != before[i]) {
            ck_assert_uint_eq(after[i], 1);
            ++taken;
        }
    }
    ck_assert_int_gt(taken, 0);
}
END_TEST

/* The order in which they stand means nothing. */
START_TEST(order)
{
    apr_uint32_t i;

    members(5, 2);
    make(before, 5);
    for (i = 0; i < 5; ++i) {
        seeds[i] = usher_sample_chance(5 - i);
        weights[i] = 100 * (1 + (4 - i) % 2);
    }
    make(after, 5);
    for (i = 0; i < USHER_SLOTS; ++i) {
        ck_assert_uint_eq(after[i], 4 - before[i]);
    }
}
END_TEST

/* The most different weights, and two that nobody can tell apart. */
START_TEST(odd)
{
    apr_uint32_t i, heavy = 0;

    members(2, 1);
    weights[0] = 1;
    weights[1] = 1 << 20;
    make(before, 2);
    for (i = 0; i < USHER_SLOTS; ++i) {
        heavy += before[i] == 1;
    }
    ck_assert_uint_gt(heavy, USHER_SLOTS - 10);
    seeds[1] = seeds[0];
    weights[1] = weights[0] = 10000;
    make(before, 2);
    for (i = 0; i < USHER_SLOTS; ++i) {
        ck_assert_uint_eq(before[i], 0);
    }
}
END_TEST

START_TEST(slot_of)
{
    apr_uint64_t hash;
    unsigned int again;
    int same = 0;

    for (hash = 0; hash < 10000; ++hash) {
        for (again = 0; again < 32; ++again) {
            ck_assert_uint_lt(usher_slots_of(hash << 40, again), USHER_SLOTS);
        }
        same += usher_slots_of(hash, 0) == usher_slots_of(hash, 1);
    }
    ck_assert_int_lt(same, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slots");
    TCase *tc = tcase_create("slots");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, shares, 0, UNIT_COUNT(cases));
    tcase_add_loop_test(tc, one_goes, 0, UNIT_COUNT(cases));
    tcase_add_loop_test(tc, weight, 0, UNIT_COUNT(cases));
    tcase_add_test(tc, order);
    tcase_add_test(tc, odd);
    tcase_add_test(tc, slot_of);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
