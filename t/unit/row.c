/* Rows of smooth weighted round robin, beside the plain way of making them. */
#include "unit.h"
#include "usher_row.h"
#include "usher_sample.h"

#define MANY 1000
#define SIZE 20000

static usher_row_cell_t row[SIZE];
static apr_uint64_t sorted[MANY];
static usher_row_group_t groups[MANY];

static const struct {
    apr_uint32_t n, weights[5];
    const char *row;
} cases[] = {
    { 1, { 7 }, "a" },
    { 2, { 1, 1 }, "ab" },
    { 2, { 10, 50 }, "bbabbb" },
    { 3, { 3, 1, 1 }, "abaca" },
    { 3, { 300, 100, 100 }, "abaca" },
    { 3, { 5, 1, 1 }, "aabacaa" },
    { 3, { 1, 1, 1 }, "abc" },
    { 4, { 2, 1, 2, 1 }, "acbdac" },
    { 5, { 1, 1, 1, 1, 2 }, "eabcde" },
};

START_TEST(known)
{
    apr_uint32_t len = usher_row_make(row, SIZE, cases[_i].weights, cases[_i].n, sorted, groups), i;
    char text[64] = "";

    for (i = 0; i < len && i < sizeof(text) - 1; ++i) {
        text[i] = (char)('a' + atomic_load(&row[i]));
    }
    ck_assert_str_eq(text, cases[_i].row);
}
END_TEST

/* The textbook's loop over all. */
static apr_uint32_t plainly(apr_int64_t *turns, const apr_uint32_t *weights, apr_uint32_t n,
                            apr_int64_t sum)
{
    apr_uint32_t best = 0, i;

    for (i = 0; i < n; ++i) {
        turns[i] += weights[i];
    }
    for (i = 1; i < n; ++i) {
        best = turns[i] > turns[best] ? i : best;
    }
    turns[best] -= sum;
    return best;
}

START_TEST(same_as_plainly)
{
    apr_uint32_t round, i, cell, len;

    for (round = 0; round < 300; ++round) {
        apr_uint32_t n = 1 + (apr_uint32_t)usher_sample_chance(round) % 40;
        apr_uint32_t weights[40];
        apr_int64_t turns[40] = { 0 }, sum = 0;

        for (i = 0; i < n; ++i) {
            weights[i] = 1 + (apr_uint32_t)usher_sample_chance(round * 100 + i) % (1 + round / 10);
            sum += weights[i];
        }
        len = usher_row_make(row, SIZE, weights, n, sorted, groups);
        ck_assert_int_eq(sum % len, 0);
        for (cell = 0; cell < len; ++cell) {
            ck_assert_uint_eq(atomic_load(&row[cell]), plainly(turns, weights, n, sum));
        }
    }
}
END_TEST

/* Weights that do not fit are rounded, and each index has a turn. */
START_TEST(too_long)
{
    static apr_uint32_t weights[MANY];
    static int got[MANY];
    apr_uint32_t i, len;
    double sum = 0;

    for (i = 0; i < MANY; ++i) {
        weights[i] = 100 + (i * 7919) % 9901;
        sum += weights[i];
    }
    weights[0] = 1;
    len = usher_row_make(row, SIZE, weights, MANY, sorted, groups);
    ck_assert_uint_le(len, SIZE);
    ck_assert_uint_ge(len, SIZE * 9 / 10);
    for (i = 0; i < len; ++i) {
        ++got[atomic_load(&row[i])];
    }
    for (i = 0; i < MANY; ++i) {
        ck_assert_int_ge(got[i], 1);
        ck_assert_double_eq_tol(got[i], weights[i] / sum * len, 2);
    }
}
END_TEST

START_TEST(nothing)
{
    apr_uint32_t weights[1] = { 4000000000u };

    ck_assert_uint_eq(usher_row_make(row, SIZE, weights, 0, sorted, groups), 0);
    ck_assert_uint_eq(usher_row_make(row, 1, weights, 1, sorted, groups), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("row");
    TCase *tc = tcase_create("row");

    tcase_add_loop_test(tc, known, 0, UNIT_COUNT(cases));
    tcase_add_test(tc, same_as_plainly);
    tcase_add_test(tc, too_long);
    tcase_add_test(tc, nothing);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
