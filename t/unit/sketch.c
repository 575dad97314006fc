#include "unit.h"
#include "usher_sketch.h"

#define WINDOW 1000

/* Evenly spread, and the same in each run. */
static apr_uint32_t number_of(apr_uint32_t i)
{
    i = (i ^ i >> 16) * 0x45d9f3bU;
    i = (i ^ i >> 16) * 0x45d9f3bU;
    return i ^ i >> 16;
}

/* Mean error and that of a single sketch, in thousandths: of 40 sketches. */
static const struct {
    unsigned int numbers;
    double mean, one;
} cases[] = {
    { 1, 0, 0 }, { 2, 0, 0.51 }, { 5, 0.1, 0.41 }, { 20, 0.05, 0.2 }, { 100, 0.03, 0.2 },
    { 500, 0.03, 0.25 }, { 640, 0.03, 0.25 }, { 1000, 0.03, 0.25 }, { 10000, 0.03, 0.25 },
    { 200000, 0.03, 0.25 }, { 1000000, 0.04, 0.25 },
};

START_TEST(error)
{
    double n = cases[_i].numbers, sum = 0;
    unsigned int round, i, rounds = cases[_i].numbers > 10000 ? 10 : 40;

    for (round = 0; round < rounds; ++round) {
        usher_sketch_t sketch = { { 0, 0 } };
        double count;

        for (i = 0; i < cases[_i].numbers; ++i) {
            usher_sketch_add(&sketch, number_of(round * 10000019U + i), 10 + i % 2, WINDOW);
        }
        count = (double)usher_sketch_count(&sketch, 20, WINDOW);
        ck_assert_double_le(count, n * (1 + cases[_i].one));
        ck_assert_double_ge(count, n * (1 - cases[_i].one));
        sum += count;
    }
    ck_assert_double_le(sum / rounds, n * (1 + cases[_i].mean + (rounds < 40 ? 0.03 : 0)));
    ck_assert_double_ge(sum / rounds, n * (1 - cases[_i].mean - (rounds < 40 ? 0.03 : 0)));
}
END_TEST

START_TEST(empty)
{
    usher_sketch_t sketch = { { 0, 0 } };

    ck_assert_uint_eq(usher_sketch_count(&sketch, 0, WINDOW), 0);
    ck_assert_uint_eq(usher_sketch_count(&sketch, 123456, WINDOW), 0);
}
END_TEST

START_TEST(the_same_one_counts_once)
{
    usher_sketch_t sketch = { { 0, 0 } };
    int i;

    for (i = 0; i < 1000; ++i) {
        usher_sketch_add(&sketch, number_of(7), 100 + i, WINDOW);
    }
    ck_assert_uint_eq(usher_sketch_count(&sketch, 1100, WINDOW), 1);
}
END_TEST

START_TEST(old_ones_are_forgotten)
{
    usher_sketch_t sketch = { { 0, 0 } };
    unsigned int i;

    for (i = 0; i < 10; ++i) {
        usher_sketch_add(&sketch, number_of(i), 499, WINDOW);
    }
    usher_sketch_add(&sketch, number_of(100), 500, WINDOW);
    ck_assert_uint_ge(usher_sketch_count(&sketch, 999, WINDOW), 9);
    ck_assert_uint_eq(usher_sketch_count(&sketch, 1000, WINDOW), 1);
    ck_assert_uint_eq(usher_sketch_count(&sketch, 1500, WINDOW), 0);
    usher_sketch_add(&sketch, number_of(101), 1500, WINDOW);
    ck_assert_uint_eq(usher_sketch_count(&sketch, 1500, WINDOW), 1);
}
END_TEST

/* Children may write anything there, and clocks may say anything. */
START_TEST(garbage)
{
    usher_sketch_t sketch;
    unsigned int i;

    memset(&sketch, 0xff, sizeof(sketch));
    usher_sketch_count(&sketch, -1, 0);
    usher_sketch_add(&sketch, 1, INT64_MAX, -5);
    usher_sketch_add(&sketch, 0, INT64_MIN, INT64_MAX);
    memset(&sketch, 0xff, sizeof(sketch));
    sketch.half[1] = 1;
    ck_assert_uint_gt(usher_sketch_count(&sketch, 10, WINDOW), 1000000);
    for (i = 0; i < 3; ++i) {
        usher_sketch_add(&sketch, number_of(i), 2000 + 500 * i, WINDOW);
    }
    ck_assert_uint_eq(usher_sketch_count(&sketch, 3000, WINDOW), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sketch");
    TCase *tc = tcase_create("numbers seen lately");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, error, 0, UNIT_COUNT(cases));
    tcase_add_test(tc, empty);
    tcase_add_test(tc, the_same_one_counts_once);
    tcase_add_test(tc, old_ones_are_forgotten);
    tcase_add_test(tc, garbage);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
