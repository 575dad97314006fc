#include "unit.h"

#include <math.h>

#include "usher_hll.h"

#define BITS_MAX 14

/* Evenly spread, and the same in each run. */
static apr_uint64_t number_of(apr_uint64_t i)
{
    i = (i ^ i >> 30) * 0xbf58476d1ce4e5b9u;
    i = (i ^ i >> 27) * 0x94d049bb133111ebu;
    return i ^ i >> 31;
}

static apr_uint64_t count_of(const usher_hll_pair_t *pairs, unsigned int bits)
{
    unsigned char copy[USHER_HLL_SIZE(BITS_MAX)] = { 0 };

    usher_hll_merge(copy, pairs, bits);
    return usher_hll_count(copy, bits);
}

static const struct {
    unsigned int bits, things, rounds;
} sizes[] = {
    { 14, 1, 20 }, { 14, 10, 20 }, { 14, 100, 40 }, { 14, 1000, 60 }, { 14, 4000, 40 },
    { 14, 16384, 40 }, { 14, 41000, 40 }, { 14, 100000, 20 }, { 14, 1000000, 10 },
    { 12, 1, 20 }, { 12, 20, 20 }, { 12, 1000, 60 }, { 12, 10240, 60 }, { 12, 300000, 20 },
};

/* What the header promises, as one standard deviation over many sketches; no bias. */
START_TEST(error)
{
    double n = (double)sizes[_i].things, sum = 0, squares = 0, promised;
    unsigned int bits = sizes[_i].bits, round;
    apr_uint64_t i;

    promised = (n < (1 << bits) / 10.0 ? 0.75 : 1.04) / sqrt(1 << bits);
    for (round = 0; round < sizes[_i].rounds; ++round) {
        usher_hll_pair_t pairs[USHER_HLL_SIZE(BITS_MAX)] = { 0 };
        double off;

        for (i = 0; i < sizes[_i].things; ++i) {
            usher_hll_add(pairs, bits, number_of(i + (apr_uint64_t)round * 1000000007));
        }
        off = (double)count_of(pairs, bits) / n - 1;
        sum += off;
        squares += off * off;
        ck_assert_double_le(fabs(off), 5 * promised + 0.5 / n);
    }
    ck_assert_double_le(sqrt(squares / round), 1.5 * promised + 0.5 / n);
    ck_assert_double_le(fabs(sum / round), promised + 0.5 / n);
}
END_TEST

START_TEST(union_of_two)
{
    usher_hll_pair_t one[USHER_HLL_SIZE(14)] = { 0 }, other[USHER_HLL_SIZE(14)] = { 0 };
    unsigned char both[USHER_HLL_SIZE(14)] = { 0 };
    apr_uint64_t i;

    for (i = 0; i < 3000; ++i) {
        usher_hll_add(i < 2000 ? one : other, 14, number_of(i));
        usher_hll_add(other, 14, number_of(i % 1000));
    }
    usher_hll_merge(both, one, 14);
    usher_hll_merge(both, other, 14);
    ck_assert_double_le(fabs((double)usher_hll_count(both, 14) - 3000), 90);
    usher_hll_merge(both, one, 14);
    ck_assert_double_le(fabs((double)usher_hll_count(both, 14) - 3000), 90);
}
END_TEST

START_TEST(any_contents)
{
    unsigned char pairs[USHER_HLL_SIZE(12)];

    memset(pairs, 0xff, sizeof(pairs));
    ck_assert_uint_eq(usher_hll_count(pairs, 12), APR_UINT32_MAX);
    memset(pairs, 0, sizeof(pairs));
    ck_assert_uint_eq(usher_hll_count(pairs, 12), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hll");
    TCase *tc = tcase_create("distinct things");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, error, 0, UNIT_COUNT(sizes));
    tcase_add_test(tc, union_of_two);
    tcase_add_test(tc, any_contents);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
