#include "unit.h"
#include <apr_general.h>
#include <apr_pools.h>

#include "log_histogram.h"

static apr_pool_t *pool;

static void setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
}

static void teardown(void)
{
    apr_terminate();
}

static int compare(const void *a, const void *b)
{
    const apr_int64_t *one = a, *other = b;

    return *one < *other ? -1 : *one > *other;
}

static const int percents[] = { 1, 50, 90, 95, 99, 100 };

static void check(log_histogram_t *histogram, apr_int64_t *values, int count)
{
    int i;

    qsort(values, (size_t)count, sizeof(*values), compare);
    ck_assert_uint_eq(histogram->count, (apr_uint64_t)count);
    ck_assert_int_eq(histogram->max, values[count - 1]);
    for (i = 0; i < UNIT_COUNT(percents); ++i) {
        apr_int64_t exact = values[(count * percents[i] + 99) / 100 - 1];
        apr_int64_t told = log_histogram_percentile(histogram, percents[i]);

        ck_assert_msg(llabs(told - exact) * 64 <= exact, "%d %%: %lld, told %lld", percents[i],
                      (long long)exact, (long long)told);
    }
}

/* What it tells is off by a 64th at most, over all sizes. */
START_TEST(error)
{
    static apr_int64_t values[20000];
    log_histogram_t histogram = { 0 }, merged = { 0 }, half = { 0 };
    apr_uint64_t x = 7;
    int i;

    for (i = 0; i < 20000; ++i) {
        x = x * APR_UINT64_C(6364136223846793005) + 1;
        values[i] = (apr_int64_t)((x >> 20) >> (x >> 58) % (unsigned int)(1 + _i));
        log_histogram_add(&histogram, pool, values[i]);
        log_histogram_add(i % 2 ? &merged : &half, pool, values[i]);
    }
    log_histogram_merge(&merged, pool, &half);
    check(&histogram, values, 20000);
    check(&merged, values, 20000);
    ck_assert_uint_eq(merged.sum, histogram.sum);
}
END_TEST

START_TEST(borders)
{
    static const apr_int64_t edges[] = { 0, 1, 31, 32, 33, 63, 64, 65, 1000, APR_INT64_C(1) << 44 };
    int i;

    for (i = 0; i < UNIT_COUNT(edges); ++i) {
        log_histogram_t histogram = { 0 };
        apr_int64_t value = edges[i];

        log_histogram_add(&histogram, pool, value);
        check(&histogram, &value, 1);
    }
}
END_TEST

START_TEST(empty)
{
    log_histogram_t histogram = { 0 };

    ck_assert_int_eq(log_histogram_percentile(&histogram, 99), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_histogram");
    TCase *tc = tcase_create("percentiles");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, error, 0, 40);
    tcase_add_test(tc, borders);
    tcase_add_test(tc, empty);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
