/* The budget of replays: its share, its window, its bounds, any contents, and
 * many threads at once. */
#include "unit.h"
#include <pthread.h>
#include "usher_budget.h"

#define NOW ((apr_int64_t)5000000)

static int take_all(usher_budget_t *b, apr_int64_t now, unsigned percent, unsigned window,
                    unsigned least)
{
    int n = 0;

    while (n < 100000 && usher_budget_take(b, now, percent, window, least)) {
        ++n;
    }
    return n;
}

static void requests(usher_budget_t *b, apr_int64_t now, int n)
{
    while (n--) {
        usher_budget_request(b, now);
    }
}

static const struct {
    const char *what;
    int requests;
    unsigned percent, window, least;
    int replays;
} cases[] = {
    { "a fifth", 100, 20, 10, 3, 20 },
    { "the least", 10, 20, 10, 3, 3 },
    { "nothing at all", 1000, 0, 10, 0, 0 },
    { "no percent, but the least", 1000, 0, 10, 5, 5 },
    { "all", 50, 100, 10, 0, 50 },
    { "no requests", 0, 100, 10, 0, 0 },
    { "rounded down", 19, 10, 10, 0, 1 },
    { "a window of none is one second", 100, 20, 0, 0, 20 },
    { "a window of too many is a minute", 100, 20, 100000, 0, 20 },
};

START_TEST(share)
{
    usher_budget_t b = { { 0 } };

    requests(&b, NOW, cases[_i].requests);
    ck_assert_msg(take_all(&b, NOW, cases[_i].percent, cases[_i].window, cases[_i].least)
                  == cases[_i].replays, "%s", cases[_i].what);
}
END_TEST

START_TEST(window)
{
    usher_budget_t b = { { 0 } };
    unsigned s;

    requests(&b, NOW, 100);
    ck_assert_int_eq(take_all(&b, NOW, 20, 10, 0), 20);
    ck_assert_int_eq(take_all(&b, NOW + 9000, 20, 10, 0), 0);
    requests(&b, NOW + 9000, 50);
    ck_assert_int_eq(take_all(&b, NOW + 9000, 20, 10, 0), 10);
    /* The first second is out, requests and replays. */
    ck_assert_int_eq(take_all(&b, NOW + 10000, 20, 10, 0), 0);
    ck_assert_int_eq(usher_budget_count(&b, NOW + 10000, 10).requests, 50);
    ck_assert_int_eq(usher_budget_count(&b, NOW + 10000, 10).replays, 10);
    ck_assert_int_eq(usher_budget_count(&b, NOW + 10000, 60).requests, 150);
    /* The same word is another second's 64 seconds later. */
    ck_assert_int_eq(usher_budget_count(&b, NOW + 64000, 55).requests, 0);
    for (s = 0; s < 200; ++s) {
        usher_budget_request(&b, NOW + 64000 + s * 1000);
    }
    ck_assert_int_eq(usher_budget_count(&b, NOW + 64000 + 199000, 60).requests, 60);
    ck_assert_int_eq(usher_budget_count(&b, NOW + 64000 + 199000, 1).requests, 1);
}
END_TEST

START_TEST(clocks_that_differ)
{
    usher_budget_t b = { { 0 } };

    /* Threads whose now is a little apart, and the machine's first second. */
    requests(&b, NOW + 1000, 10);
    requests(&b, NOW, 10);
    ck_assert_int_eq(usher_budget_count(&b, NOW + 1000, 2).requests, 20);
    requests(&b, 0, 5);
    requests(&b, -7, 5);
    ck_assert_int_eq(usher_budget_count(&b, 0, 60).requests, 10);
}
END_TEST

START_TEST(full)
{
    usher_budget_t b = { { 0 } };
    apr_uint64_t tag = (apr_uint64_t)(NOW / 1000 / 64) << 44;

    b.seconds[NOW / 1000 % 64] = tag | 0xfffffeull << 20 | 0xffffe;
    requests(&b, NOW, 10);
    ck_assert_uint_le(usher_budget_count(&b, NOW, 1).requests, 0xffffff);
    take_all(&b, NOW, 100, 1, 0xffffffff);
    ck_assert_uint_eq(usher_budget_count(&b, NOW, 1).replays, 0xfffff);
    ck_assert_int_eq(usher_budget_take(&b, NOW, 100, 1, 0xffffffff), 0);
}
END_TEST

START_TEST(garbage)
{
    usher_budget_t b;
    unsigned seed = 4711, round, i;

    for (round = 0; round < 2000; ++round) {
        for (i = 0; i < sizeof(b); ++i) {
            ((unsigned char *)&b)[i] = (unsigned char)(seed = seed * 1103515245 + 12345) >> 3;
        }
        usher_budget_request(&b, NOW);
        usher_budget_take(&b, NOW, 20, 60, 3);
        ck_assert_uint_ge(usher_budget_count(&b, NOW, 60).requests, 1);
    }
}
END_TEST

#define THREADS 8
#define EACH 20000

static usher_budget_t shared;
static _Atomic int taken;

static void *worker(void *data)
{
    int i;

    for (i = 0; i < EACH; ++i) {
        apr_int64_t now = NOW + i / 1000 * 1000; /* 20 seconds pass */

        usher_budget_request(&shared, now);
        if (usher_budget_take(&shared, now, 10, 60, 0)) {
            atomic_fetch_add(&taken, 1);
        }
    }
    return data;
}

START_TEST(threads)
{
    pthread_t thread[THREADS];
    int i;

    memset(&shared, 0, sizeof(shared));
    taken = 0;
    for (i = 0; i < THREADS; ++i) {
        ck_assert_int_eq(pthread_create(&thread[i], NULL, worker, NULL), 0);
    }
    for (i = 0; i < THREADS; ++i) {
        pthread_join(thread[i], NULL);
    }
    ck_assert_uint_eq(usher_budget_count(&shared, NOW + 19000, 60).requests, THREADS * EACH);
    ck_assert_uint_eq(usher_budget_count(&shared, NOW + 19000, 60).replays, (unsigned)taken);
    ck_assert_int_le(taken, THREADS * EACH / 10);
    ck_assert_int_gt(taken, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("budget");
    TCase *tc = tcase_create("budget");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, share, 0, UNIT_COUNT(cases));
    tcase_add_test(tc, window);
    tcase_add_test(tc, clocks_that_differ);
    tcase_add_test(tc, full);
    tcase_add_test(tc, garbage);
    tcase_add_test(tc, threads);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
