/* Numbers that are used once: never twice, not forgotten before their time, whoever comes at the same time. */
#include "unit.h"

#include <pthread.h>

#include "usher_nonces.h"

#define SECOND 1000
#define DAY (APR_INT64_C(86400) * SECOND)

static usher_nonces_t *make(apr_uint64_t size)
{
    usher_nonces_t *nonces = aligned_alloc(64, (size + 63) / 64 * 64);

    memset(nonces, 0, size);
    memset(nonces->secret, 7, sizeof(nonces->secret));
    return nonces;
}

static usher_nonces_e use(usher_nonces_t *nonces, apr_uint64_t size, apr_uint64_t number, apr_int64_t now,
                          apr_int64_t life)
{
    unsigned char id[USHER_NONCES_ID_SIZE] = { 0 };

    memcpy(id, &number, sizeof(number));
    return usher_nonces_use(nonces, size, id, now, life);
}

START_TEST(once)
{
    apr_uint64_t size = 64 * 1024, i;
    usher_nonces_t *nonces = make(size);
    apr_int64_t now = 5 * DAY;

    for (i = 0; i < 1000; ++i) {
        ck_assert_int_eq(use(nonces, size, i, now, 600 * SECOND), USHER_NONCES_NEW);
    }
    for (; now < 5 * DAY + 600 * SECOND; now += 7 * SECOND) {
        for (i = 0; i < 1000; i += 37) {
            ck_assert_int_eq(use(nonces, size, i, now, 600 * SECOND), USHER_NONCES_USED);
        }
    }
    now += 40 * SECOND;
    ck_assert_int_eq(use(nonces, size, 1, now, 600 * SECOND), USHER_NONCES_NEW);
    ck_assert_int_eq(use(nonces, size, 1, now, 600 * SECOND), USHER_NONCES_USED);
    free(nonces);
}
END_TEST

/* Over all that the units count to, with the longest and the shortest life. */
START_TEST(years)
{
    apr_uint64_t size = USHER_NONCES_SIZE_MIN;
    usher_nonces_t *nonces = make(size);
    apr_int64_t now = 0, life = _i ? USHER_NONCES_LIFE_MAX : 0;

    for (; now < 400 * DAY; now += life + 66 * SECOND) {
        ck_assert_int_eq(use(nonces, size, 1, now, life), USHER_NONCES_NEW);
        ck_assert_int_eq(use(nonces, size, 1, now + life, life), USHER_NONCES_USED);
    }
    free(nonces);
}
END_TEST

/* A full table takes nothing new, and forgets nothing. */
START_TEST(full)
{
    apr_uint64_t size = USHER_NONCES_SIZE_MIN, i, places;
    usher_nonces_t *nonces = make(size);

    for (i = 0; i < USHER_NONCES_PLACES; ++i) {
        ck_assert_int_eq(use(nonces, size, i, 0, 60 * SECOND), USHER_NONCES_NEW);
    }
    ck_assert_uint_eq(usher_nonces_count(nonces, size, 0, &places), USHER_NONCES_PLACES);
    ck_assert_uint_eq(places, USHER_NONCES_PLACES);
    for (; i < 1000; ++i) {
        ck_assert_int_eq(use(nonces, size, i, 59 * SECOND, 60 * SECOND), USHER_NONCES_FULL);
    }
    for (i = 0; i < USHER_NONCES_PLACES; ++i) {
        ck_assert_int_eq(use(nonces, size, i, 59 * SECOND, 60 * SECOND), USHER_NONCES_USED);
    }
    ck_assert_int_eq(use(nonces, size, 1000, 100 * SECOND, 60 * SECOND), USHER_NONCES_NEW);
    free(nonces);
}
END_TEST

START_TEST(carried)
{
    static const apr_uint64_t sizes[] = { 1 << 16, 1 << 15, 1 << 20, 70000 };
    apr_uint64_t size = 1 << 16, to_size = sizes[_i], i, kept, dropped;
    usher_nonces_t *from = make(size), *to = make(to_size);

    memset(to->secret, 0, sizeof(to->secret));
    for (i = 0; i < 2000; ++i) {
        ck_assert_int_eq(use(from, size, i, 0, (i % 2 ? 1000 : 10) * SECOND), USHER_NONCES_NEW);
    }
    usher_nonces_carry(to, to_size, from, size, 100 * SECOND, &kept, &dropped);
    ck_assert_uint_eq(kept, 1000);
    ck_assert_uint_eq(dropped, 0);
    for (i = 0; i < 2000; ++i) {
        ck_assert_int_eq(use(to, to_size, i, 100 * SECOND, SECOND), i % 2 ? USHER_NONCES_USED : USHER_NONCES_NEW);
    }
    free(from);
    free(to);
}
END_TEST

/* Any contents do no more than to refuse. */
START_TEST(garbage)
{
    apr_uint64_t size = 1 << 14, i, places;
    usher_nonces_t *nonces = make(size);

    for (i = 0; i < size - sizeof(*nonces); ++i) {
        ((unsigned char *)nonces->places)[i] = (unsigned char)(i * i * 31 + (i >> 3) + (unsigned int)_i);
    }
    for (i = 0; i < 100; ++i) {
        use(nonces, size, i, (apr_int64_t)i * DAY, 60 * SECOND);
        ck_assert_int_ne(use(nonces, size, i, (apr_int64_t)i * DAY, 60 * SECOND), USHER_NONCES_NEW);
    }
    usher_nonces_count(nonces, size, 0, &places);
    free(nonces);
}
END_TEST

#define ROUNDS 4000
#define THREADS 4

static struct {
    usher_nonces_t *nonces;
    pthread_barrier_t begin;
    _Atomic int won[ROUNDS];
} race;

static void *race_run(void *baton)
{
    int i;

    for (i = 0; i < ROUNDS; ++i) {
        /* The first ones expire while the last ones are entered. */
        pthread_barrier_wait(&race.begin);
        if (use(race.nonces, 1 << 16, (apr_uint64_t)i, (apr_int64_t)i * 50, 60 * SECOND) == USHER_NONCES_NEW) {
            atomic_fetch_add(&race.won[i], 1);
        }
    }
    return NULL;
}

/* Exactly one wins, each time. */
START_TEST(raced)
{
    pthread_t threads[THREADS];
    int i;

    race.nonces = make(1 << 16);
    pthread_barrier_init(&race.begin, NULL, THREADS);
    for (i = 0; i < THREADS; ++i) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race_run, NULL), 0);
    }
    for (i = 0; i < THREADS; ++i) {
        pthread_join(threads[i], NULL);
    }
    for (i = 0; i < ROUNDS; ++i) {
        ck_assert_msg(race.won[i] == 1, "%d: %d times", i, race.won[i]);
    }
    pthread_barrier_destroy(&race.begin);
    free(race.nonces);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nonces");
    TCase *tests = tcase_create("nonces");

    tcase_add_test(tests, once);
    tcase_add_loop_test(tests, years, 0, 2);
    tcase_add_test(tests, full);
    tcase_add_loop_test(tests, carried, 0, 4);
    tcase_add_loop_test(tests, garbage, 0, 8);
    tcase_add_test(tests, raced);
    tcase_set_timeout(tests, 120);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
