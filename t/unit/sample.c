/* Sampling by weight: shares are exact, in a row as by chance; a table that is made
 * anew meanwhile, or is garbage, gives indexes in range. */
#include "unit.h"
#include <math.h>
#include <pthread.h>
#include "usher_sample.h"

#define MANY 1000

static usher_sample_cell_t cells[MANY];
static apr_uint32_t weights[MANY];
static apr_uint64_t scratch[2 * MANY];

/* How often each index comes in so many tickets. */
static void count(int *got, apr_uint32_t n, int tickets, int even)
{
    int i;

    memset(got, 0, n * sizeof(*got));
    for (i = 0; i < tickets; ++i) {
        apr_uint64_t ticket = (apr_uint64_t)i;
        apr_uint32_t at = usher_sample_at(cells, n, even ? usher_sample_even(ticket)
                                                         : usher_sample_chance(ticket));

        ck_assert_uint_lt(at, n);
        ++got[at];
    }
}

static const struct {
    apr_uint32_t n, weights[8];
} cases[] = {
    { 1, { 5 } },
    { 2, { 1, 1 } },
    { 2, { 1, 1000 } },
    { 3, { 3, 1, 1 } },
    { 4, { 1, 2, 3, 4 } },
    { 8, { 640000, 1, 640000, 17, 3, 99, 640000, 1000 } },
    { 8, { 1, 1, 1, 1, 1, 1, 1, 100 } },
};

/* In a row no index is further from its share than the few parts that it has in the
 * table; by chance not further than chance may be. */
START_TEST(shares)
{
    static const int tickets[] = { 20, 100, 1000, 100000 };
    apr_uint32_t n = cases[_i].n, i;
    double sum = 0;
    int got[8], round;

    for (i = 0; i < n; ++i) {
        sum += cases[_i].weights[i];
    }
    usher_sample_make(cells, cases[_i].weights, n, scratch);
    for (round = 0; round < UNIT_COUNT(tickets); ++round) {
        count(got, n, tickets[round], 1);
        for (i = 0; i < n; ++i) {
            ck_assert_double_eq_tol(got[i], 1.0 * cases[_i].weights[i] * tickets[round] / sum,
                                   3.0 * n);
        }
    }
    count(got, n, 100000, 0);
    for (i = 0; i < n; ++i) {
        double part = cases[_i].weights[i] / sum;

        ck_assert_double_eq_tol(got[i], part * 100000, 1 + 5 * sqrt(100000 * part * (1 - part)));
    }
}
END_TEST

START_TEST(thousand)
{
    static int got[MANY];
    double sum = 0;
    int i;

    for (i = 0; i < MANY; ++i) {
        weights[i] = 1 + (apr_uint32_t)i % 10;
        sum += weights[i];
    }
    usher_sample_make(cells, weights, MANY, scratch);
    count(got, MANY, 1000000, 1);
    for (i = 0; i < MANY; ++i) {
        ck_assert_double_eq_tol(got[i], weights[i] * 1e6 / sum, weights[i] * 1e6 / sum / 50 + 6);
    }
}
END_TEST

START_TEST(garbage)
{
    apr_uint32_t i;

    for (i = 0; i < 8; ++i) {
        atomic_store(&cells[i], usher_sample_chance(i + 77));
    }
    for (i = 0; i < 100000; ++i) {
        ck_assert_uint_lt(usher_sample_at(cells, 8, usher_sample_chance(i)), 8);
    }
}
END_TEST

static atomic_int done;

static void *reader(void *unused)
{
    apr_uint64_t ticket = 0;

    while (!atomic_load(&done)) {
        if (usher_sample_at(cells, MANY, usher_sample_chance(ticket++)) >= MANY) {
            return reader;
        }
    }
    return NULL;
}

START_TEST(made_meanwhile)
{
    pthread_t thread;
    void *wrong;
    int round, i;

    ck_assert_int_eq(pthread_create(&thread, NULL, reader, NULL), 0);
    for (round = 0; round < 300; ++round) {
        for (i = 0; i < MANY; ++i) {
            weights[i] = 1 + (apr_uint32_t)usher_sample_chance((apr_uint64_t)i * (apr_uint64_t)round) % 100;
        }
        usher_sample_make(cells, weights, MANY, scratch);
    }
    atomic_store(&done, 1);
    pthread_join(thread, &wrong);
    ck_assert_ptr_null(wrong);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sample");
    TCase *tc = tcase_create("sample");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, shares, 0, UNIT_COUNT(cases));
    tcase_add_test(tc, thousand);
    tcase_add_test(tc, garbage);
    tcase_add_test(tc, made_meanwhile);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
