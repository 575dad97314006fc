/* Sliding windows in shared memory: the same as a list of all events, within an eighth; which key goes when there is
 * no room; another size; many who add at once; any contents. */
#include "unit.h"
#include <pthread.h>
#include "usher_windows.h"

#define NOW ((apr_int64_t)86400000)
#define MINUTE ((apr_int64_t)60000)

typedef struct {
    usher_windows_t *windows;
    size_t size;
} unit_windows_t;

/* Not one byte more than it says. */
static unit_windows_t unit_windows(size_t buckets)
{
    unit_windows_t u;

    u.size = sizeof(usher_windows_t) + buckets * sizeof(usher_windows_bucket_t);
    u.windows = aligned_alloc(64, u.size);
    memset(u.windows, 0, u.size);
    memcpy(u.windows->secret, "0123456789abcdef", USHER_SIPHASH_KEY_SIZE);
    return u;
}

static apr_uint64_t add(const unit_windows_t *u, apr_uint64_t key, apr_uint64_t amount, apr_int64_t now,
                        apr_int64_t within)
{
    return usher_windows_add(u->windows, u->size, &key, sizeof(key), amount, now, within);
}

START_TEST(counts)
{
    unit_windows_t u = unit_windows(4);
    apr_uint64_t key = 1;
    int i;

    for (i = 1; i <= 5; ++i) {
        ck_assert_uint_eq(add(&u, 1, 1, NOW + i * 1000, MINUTE), i);
    }
    ck_assert_uint_eq(add(&u, 2, 1, NOW, MINUTE), 1);
    ck_assert_uint_eq(add(&u, 1, 100, NOW + 6000, MINUTE), 105);
    ck_assert_uint_eq(add(&u, 1, 0, NOW + 6000, MINUTE), 105);
    usher_windows_clear(u.windows, u.size, &key, sizeof(key), NOW);
    ck_assert_uint_eq(add(&u, 1, 1, NOW + 6000, MINUTE), 1);
    ck_assert_uint_eq(add(&u, 2, 1, NOW, MINUTE), 2);
    free(u.windows);
}
END_TEST

/* Windows of all lengths against all events in a list: never more than there were within the window, never fewer than
 * within seven eighths of it. */
START_TEST(slides)
{
    static const apr_int64_t lengths[] = { 8, 100, 1000, 10000, MINUTE, 600000, 86400000, USHER_WINDOWS_MAX };
    enum { EVENTS = 2000 };
    unit_windows_t u = unit_windows(1);
    apr_int64_t within = lengths[_i], at[EVENTS], now = NOW * 100;
    apr_uint64_t amount[EVENTS];
    unsigned int seed = (unsigned int)_i + 1;
    int i, j;

    for (i = 0; i < EVENTS; ++i) {
        apr_uint64_t most = 0, least = 0, sum;

        now += (apr_int64_t)rand_r(&seed) % (within / 4 + 1) * (rand_r(&seed) % 30 ? 1 : 8);
        at[i] = now;
        amount[i] = (apr_uint64_t)rand_r(&seed) % 1000;
        sum = add(&u, 7, amount[i], now, within);
        for (j = i; j >= 0 && now - at[j] < within; --j) {
            most += amount[j];
            least += now - at[j] <= within / 8 * 7 ? amount[j] : 0;
        }
        ck_assert_msg(sum <= most && sum >= least, "%d: %llu, not %llu to %llu", i, (unsigned long long)sum,
                      (unsigned long long)least, (unsigned long long)most);
    }
    free(u.windows);
}
END_TEST

/* A key that was quiet has nothing left of what it did before, for whatever time it was quiet. */
START_TEST(forgets)
{
    unit_windows_t u = unit_windows(1);
    apr_int64_t quiet;

    add(&u, 1, 5, NOW, 1000);
    for (quiet = 1000; quiet < 60000; quiet += 10) {
        unit_windows_t copy = unit_windows(1);

        memcpy(copy.windows, u.windows, u.size);
        ck_assert_uint_eq(add(&copy, 1, 1, NOW + quiet, 1000), 1);
        free(copy.windows);
    }
    free(u.windows);
}
END_TEST

START_TEST(stays_at_most)
{
    unit_windows_t u = unit_windows(1);

    add(&u, 1, APR_UINT64_MAX, NOW, MINUTE);
    ck_assert_uint_eq(add(&u, 1, APR_UINT64_MAX, NOW, MINUTE), USHER_WINDOWS_PART_MAX);
    ck_assert_uint_eq(add(&u, 2, 1, NOW, MINUTE), 1);
    free(u.windows);
}
END_TEST

/* One key more than there is room for: the one goes that was quiet longest, and what it had is not the other one's. */
START_TEST(full)
{
    unit_windows_t u = unit_windows(1);
    apr_uint64_t key;

    for (key = 0; key < USHER_WINDOWS_PLACES; ++key) {
        add(&u, key, 10, NOW + (apr_int64_t)key * 2000, MINUTE);
    }
    ck_assert_uint_eq(u.windows->evicted, 0);
    add(&u, 0, 10, NOW + 40000, MINUTE);
    ck_assert_uint_eq(add(&u, 100, 1, NOW + 40000, MINUTE), 1);
    ck_assert_uint_eq(u.windows->evicted, 1);
    ck_assert_uint_eq(add(&u, 0, 1, NOW + 40000, MINUTE), 21);
    ck_assert_uint_eq(add(&u, 2, 1, NOW + 40000, MINUTE), 11);
    ck_assert_uint_eq(add(&u, 1, 1, NOW + 40000, MINUTE), 1);
    ck_assert_uint_eq(u.windows->evicted, 2);

    /* Windows that are over make room, and nothing is said. */
    for (key = 200; key < 200 + USHER_WINDOWS_PLACES; ++key) {
        ck_assert_uint_eq(add(&u, key, 1, NOW + 300000, MINUTE), 1);
    }
    ck_assert_uint_eq(u.windows->evicted, 2);
    free(u.windows);
}
END_TEST

START_TEST(carries)
{
    unit_windows_t u = unit_windows(64), to = unit_windows((size_t)_i);
    apr_uint64_t kept, dropped, key, same = 0;

    for (key = 0; key < 200; ++key) {
        add(&u, key, key, NOW, MINUTE);
        add(&u, key, 1, NOW + 20000, MINUTE);
    }
    for (key = 200; key < 250; ++key) {
        add(&u, key, 1, NOW - 100000, MINUTE);
    }
    memset(to.windows->secret, 0, sizeof(to.windows->secret));
    usher_windows_carry(to.windows, to.size, u.windows, u.size, NOW + 20000, &kept, &dropped);
    ck_assert_uint_eq(kept + dropped, 200);
    for (key = 0; key < 200; ++key) {
        same += add(&to, key, 0, NOW + 20000, MINUTE) == key + 1;
    }
    if (_i >= 64) {
        ck_assert_uint_eq(dropped, 0);
        ck_assert_uint_eq(same, 200);
    }
    else {
        ck_assert_uint_gt(dropped, 0);
        ck_assert_uint_le(same, (apr_uint64_t)_i * USHER_WINDOWS_PLACES);
    }
    free(to.windows);
    free(u.windows);
}
END_TEST

enum { THREADS = 6, ADDS = 40000 };

static unit_windows_t shared;
static _Atomic apr_uint64_t highest;

static void *add_all(void *unused)
{
    int i;

    for (i = 0; i < ADDS; ++i) {
        apr_uint64_t sum = add(&shared, (apr_uint64_t)i % 10, 1, NOW, MINUTE), was = highest;

        while (sum > was && !atomic_compare_exchange_weak(&highest, &was, sum)) {
        }
    }
    return unused;
}

/* Many begin with the same keys at once, in buckets that have room for all: none of what they add is lost, and somebody
 * sees the last sum. */
START_TEST(at_once)
{
    int round, i, key;

    for (round = 0; round < 5; ++round) {
        pthread_t threads[THREADS];

        shared = unit_windows(1);
        highest = 0;
        for (i = 0; i < THREADS; ++i) {
            ck_assert_int_eq(pthread_create(&threads[i], NULL, add_all, NULL), 0);
        }
        for (i = 0; i < THREADS; ++i) {
            pthread_join(threads[i], NULL);
        }
        ck_assert_uint_eq(highest, (apr_uint64_t)THREADS * ADDS / 10);
        for (key = 0; key < 10; ++key) {
            ck_assert_uint_eq(add(&shared, (apr_uint64_t)key, 0, NOW, MINUTE), (apr_uint64_t)THREADS * ADDS / 10);
        }
        ck_assert_uint_eq(shared.windows->evicted, 0);
        free(shared.windows);
    }
}
END_TEST

/* Whatever another child wrote there: a window later all is as it should be. */
START_TEST(garbage)
{
    unsigned int seed = 5;
    int round;
    size_t i;

    for (round = 0; round < 50; ++round) {
        unit_windows_t u = unit_windows(3), to = unit_windows(2);
        apr_uint64_t kept, dropped, key;
        apr_int64_t now = NOW;

        for (i = sizeof(usher_windows_t); i < u.size; ++i) {
            ((unsigned char *)u.windows)[i] = round == 1 ? 0xff : (unsigned char)rand_r(&seed);
        }
        usher_windows_carry(to.windows, to.size, u.windows, u.size, now, &kept, &dropped);
        for (i = 0; i < 2000; ++i) {
            key = (apr_uint64_t)rand_r(&seed) % 100;
            add(&u, key, 1, now, MINUTE);
            now += rand_r(&seed) % 100;
            usher_windows_clear(u.windows, u.size, &key, sizeof(key), now);
        }
        key = 1000;
        add(&u, key, 1, now, MINUTE);
        ck_assert_uint_ge(add(&u, key, 1, now, MINUTE), 2);
        ck_assert_uint_eq(add(&u, key, 1, now + MINUTE, MINUTE), 1);
        free(to.windows);
        free(u.windows);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("windows");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, counts);
    tcase_add_loop_test(tests, slides, 0, 8);
    tcase_add_test(tests, forgets);
    tcase_add_test(tests, stays_at_most);
    tcase_add_test(tests, full);
    tcase_add_loop_test(tests, carries, 1, 3);
    tcase_add_loop_test(tests, carries, 64, 66);
    tcase_add_test(tests, at_once);
    tcase_add_test(tests, garbage);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
