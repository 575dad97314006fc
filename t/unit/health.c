/* The health of a member: each step of its life, claims that expire, stale
 * outcomes, any contents, and many threads at once. */
#include "unit.h"
#include <pthread.h>
#include "usher_health.h"

#define NOW ((apr_int64_t)7200000)
#define SHARE(h, now) share_at(h, now, &params)

static const usher_health_params_t params = {
    .failures = 3, .within = 10000, .rest = 5000, .slowstart = 8000, .share = 50,
};

static unsigned int share_at(const usher_health_t *h, apr_int64_t now,
                             const usher_health_params_t *p)
{
    unsigned int share = 0;

    return usher_health_look(h, now, p, &share) == USHER_HEALTH_USABLE ? share : 0;
}

static int soft(usher_health_t *h, apr_int64_t now)
{
    return usher_health_failed(h, now, now, &params, 0, 1);
}

static int hard(usher_health_t *h, apr_int64_t now)
{
    return usher_health_failed(h, now, now, &params, 1, 1);
}

START_TEST(fresh)
{
    usher_health_t h = { 0 };

    ck_assert_uint_eq(SHARE(&h, NOW), USHER_HEALTH_SHARE);
    ck_assert_uint_eq(SHARE(&h, 1), USHER_HEALTH_SHARE);
    ck_assert_int_eq(usher_health_ok(&h, NOW, NOW, &params), 0);
    ck_assert_int_eq(usher_health_try(&h, NOW, &params), 0);
    usher_health_unknown(&h, NOW, NOW, &params);
    ck_assert_uint_eq(SHARE(&h, NOW), USHER_HEALTH_SHARE);
}
END_TEST

START_TEST(whole_life)
{
    usher_health_t h = { 0 };
    unsigned int share;
    apr_int64_t t = NOW;

    ck_assert_int_eq(hard(&h, t), 1);
    ck_assert_int_eq(hard(&h, t), 0); /* rests already */
    ck_assert_int_eq(usher_health_look(&h, t + 4999, &params, NULL), USHER_HEALTH_RESTING);
    t += 5000;
    ck_assert_int_eq(usher_health_look(&h, t, &params, NULL), USHER_HEALTH_DUE);
    /* looking claims nothing, trying does, once */
    ck_assert_int_eq(usher_health_look(&h, t, &params, NULL), USHER_HEALTH_DUE);
    ck_assert_int_eq(usher_health_verdict(&h, t, &params, &share), USHER_HEALTH_VERDICT_PROBE);
    ck_assert_int_eq(usher_health_verdict(&h, t, &params, &share), USHER_HEALTH_VERDICT_RESTING);
    /* it fails: another rest */
    ck_assert_int_eq(usher_health_failed(&h, t, t + 100, &params, 0, 1), 1);
    ck_assert_int_eq(usher_health_look(&h, t + 5000, &params, NULL), USHER_HEALTH_RESTING);
    t += 5100;
    ck_assert_int_eq(usher_health_try(&h, t, &params), 1);
    ck_assert_int_eq(usher_health_ok(&h, t, t, &params), 1);
    /* slow start */
    ck_assert_uint_eq(SHARE(&h, t), 50);
    ck_assert_uint_eq(SHARE(&h, t + 2000), 250);
    ck_assert_uint_eq(SHARE(&h, t + 4000), 500);
    ck_assert_uint_eq(SHARE(&h, t + 7999), 999);
    ck_assert_uint_eq(SHARE(&h, t + 8000), 1000);
    ck_assert_uint_eq(SHARE(&h, t + 100000000), 1000);
    ck_assert_uint_eq(h.rests, 2);
    ck_assert_uint_eq(h.probes, 2);
}
END_TEST

START_TEST(failures_in_a_time)
{
    usher_health_t h = { 0 };

    ck_assert_int_eq(soft(&h, NOW), 0);
    ck_assert_int_eq(soft(&h, NOW + 4000), 0);
    ck_assert_int_eq(soft(&h, NOW + 10001), 0); /* the first is over */
    ck_assert_int_eq(soft(&h, NOW + 10002), 1);
    ck_assert_int_eq(usher_health_look(&h, NOW + 10002, &params, NULL), USHER_HEALTH_RESTING);
}
END_TEST

START_TEST(failures_at_once)
{
    usher_health_t h = { 0 };

    ck_assert_int_eq(soft(&h, NOW), 0);
    ck_assert_int_eq(soft(&h, NOW), 0);
    ck_assert_int_eq(usher_health_ok(&h, NOW, NOW, &params), 0); /* forgives nothing */
    ck_assert_int_eq(soft(&h, NOW), 1);
}
END_TEST

START_TEST(failures_slowly)
{
    usher_health_t h = { 0 };
    int i;

    for (i = 0; i < 500; ++i) { /* two in ten seconds, always */
        ck_assert_int_eq(soft(&h, NOW + i * 5100), 0);
    }
}
END_TEST

START_TEST(failures_before_a_rest_are_forgotten)
{
    usher_health_t h = { 0 };
    apr_int64_t t = NOW;

    soft(&h, t);
    soft(&h, t);
    hard(&h, t);
    t += 5000;
    ck_assert_int_eq(usher_health_try(&h, t, &params), 1);
    usher_health_ok(&h, t, t, &params);
    ck_assert_int_eq(soft(&h, t + 1), 0);
    ck_assert_int_eq(soft(&h, t + 2), 0);
    ck_assert_int_eq(soft(&h, t + 3), 1);
}
END_TEST

START_TEST(a_claim_expires)
{
    usher_health_t h = { 0 };
    apr_int64_t t = NOW + 5000;

    hard(&h, NOW);
    ck_assert_int_eq(usher_health_try(&h, t, &params), 1); /* and is killed */
    ck_assert_int_eq(usher_health_try(&h, t + 4999, &params), 0);
    ck_assert_int_eq(usher_health_try(&h, t + 5000, &params), 1);
    /* The first one lives after all: its failure is not the second one's. */
    ck_assert_int_eq(usher_health_failed(&h, t, t + 5001, &params, 1, 1), 0);
    ck_assert_int_eq(usher_health_look(&h, t + 6000, &params, NULL), USHER_HEALTH_RESTING);
    ck_assert_int_eq(usher_health_ok(&h, t + 5000, t + 6000, &params), 1);
}
END_TEST

/* Each answer takes longer than a rest: who claims anew does not for ever make
 * the success of the one before a stale one. */
/* When somebody should look again: the end of a rest, or of a claim. */
START_TEST(due_at)
{
    usher_health_t h = { 0 };

    ck_assert_int_eq(usher_health_due_at(&h, NOW), APR_INT64_MAX);
    hard(&h, NOW);
    ck_assert_int_eq(usher_health_due_at(&h, NOW), NOW + 5000);
    ck_assert_int_eq(usher_health_due_at(&h, NOW + 4999), NOW + 5000);
    ck_assert_int_eq(usher_health_due_at(&h, NOW + 9000), NOW + 9000);
    ck_assert_int_eq(usher_health_try(&h, NOW + 9000, &params), 1);
    ck_assert_int_eq(usher_health_due_at(&h, NOW + 9001), NOW + 14000);
    ck_assert_int_eq(usher_health_ok(&h, NOW + 9000, NOW + 9500, &params), 1);
    ck_assert_int_eq(usher_health_due_at(&h, NOW + 9500), APR_INT64_MAX);
}
END_TEST

START_TEST(claims_grow)
{
    usher_health_params_t p = params;
    usher_health_t h = { 0 };
    apr_int64_t t = NOW + 5000;

    hard(&h, NOW);
    ck_assert_int_eq(usher_health_try(&h, t, &params), 1);
    ck_assert_int_eq(usher_health_try(&h, t + 5000, &params), 1);
    ck_assert_int_eq(usher_health_ok(&h, t, t + 6000, &params), 0);
    ck_assert_int_eq(usher_health_try(&h, t + 14999, &params), 0);
    ck_assert_int_eq(usher_health_ok(&h, t + 5000, t + 11000, &params), 1);
    /* the next rest begins with a short one */
    hard(&h, t + 11000);
    ck_assert_int_eq(usher_health_try(&h, t + 16000, &params), 1);
    ck_assert_int_eq(usher_health_try(&h, t + 21000, &params), 1);
    ck_assert_int_eq(usher_health_try(&h, t + 30999, &params), 0);
    ck_assert_int_eq(usher_health_try(&h, t + 31000, &params), 1);
    ck_assert_int_eq(usher_health_try(&h, t + 50999, &params), 0);
    /* never longer than there is */
    p.rest = USHER_HEALTH_TIME_MAX;
    t += 51000;
    ck_assert_int_eq(usher_health_try(&h, t, &p), 1);
    t += USHER_HEALTH_TIME_MAX;
    ck_assert_int_eq(usher_health_try(&h, t - 1, &p), 0);
    ck_assert_int_eq(usher_health_try(&h, t, &p), 1);
    ck_assert_int_eq(usher_health_try(&h, t + USHER_HEALTH_TIME_MAX, &p), 1);
}
END_TEST

START_TEST(a_claim_given_back)
{
    usher_health_t h = { 0 };
    apr_int64_t t = NOW + 5000;

    hard(&h, NOW);
    usher_health_try(&h, t, &params);
    usher_health_unknown(&h, NOW, t, &params); /* not the one that tries */
    ck_assert_int_eq(usher_health_look(&h, t, &params, NULL), USHER_HEALTH_RESTING);
    usher_health_unknown(&h, t, t + 10, &params);
    ck_assert_int_eq(usher_health_look(&h, t + 10, &params, NULL), USHER_HEALTH_DUE);
    ck_assert_int_eq(usher_health_try(&h, t + 10, &params), 1);
}
END_TEST

START_TEST(stale_outcomes)
{
    usher_health_t h = { 0 };

    hard(&h, NOW);
    /* A long download from before the rest ends well. */
    ck_assert_int_eq(usher_health_ok(&h, NOW - 60000, NOW + 10, &params), 0);
    ck_assert_int_eq(usher_health_look(&h, NOW + 10, &params, NULL), USHER_HEALTH_RESTING);
    /* All rest, so it was used although it rests, and it answered. */
    ck_assert_int_eq(usher_health_ok(&h, NOW + 10, NOW + 20, &params), 1);
    ck_assert_uint_eq(SHARE(&h, NOW + 20), 50);
    /* A time-out of a request from before. */
    ck_assert_int_eq(usher_health_failed(&h, NOW - 60000, NOW + 30, &params, 1, 1), 0);
    ck_assert_int_eq(usher_health_failed(&h, NOW + 25, NOW + 30, &params, 1, 1), 1);
}
END_TEST

START_TEST(settings)
{
    usher_health_params_t p = params;
    usher_health_t h = { 0 };

    ck_assert_int_eq(usher_health_failed(&h, NOW, NOW, &p, 1, 0), 0); /* may not */
    ck_assert_uint_eq(SHARE(&h, NOW), 1000);
    p.failures = 0; /* off: also for one that rests */
    ck_assert_int_eq(usher_health_failed(&h, NOW, NOW, &p, 1, 1), 0);
    ck_assert_int_eq(hard(&h, NOW), 1);
    ck_assert_uint_eq(share_at(&h, NOW, &p), 1000);
    p = params;
    p.slowstart = 0;
    ck_assert_int_eq(usher_health_ok(&h, NOW, NOW, &p), 1);
    ck_assert_uint_eq(share_at(&h, NOW, &p), 1000);
    p.rest = p.slowstart = p.within = 0xffffffff; /* as long as there is */
    ck_assert_int_eq(usher_health_failed(&h, NOW, NOW, &p, 1, 1), 1);
    ck_assert_int_eq(usher_health_look(&h, NOW + USHER_HEALTH_TIME_MAX - 1, &p, NULL), USHER_HEALTH_RESTING);
    ck_assert_int_eq(usher_health_look(&h, NOW + USHER_HEALTH_TIME_MAX, &p, NULL), USHER_HEALTH_DUE);
}
END_TEST

START_TEST(failing)
{
    usher_health_params_t off = params;
    usher_health_t h = { 0 };
    apr_int64_t t = NOW;

    off.failures = 0;
    ck_assert_int_eq(usher_health_is_failing(&h, t, &params), 0);
    ck_assert_int_eq(usher_health_failed(&h, t, t, &params, 1, 0), 0);
    ck_assert_int_eq(usher_health_is_failing(&h, t, &params), 1);
    ck_assert_int_eq(usher_health_is_failing(&h, t + 9000, &params), 1);
    ck_assert_int_eq(usher_health_is_failing(&h, t + 10001, &params), 0);
    t += 20000; /* it is known of one that never rests, too */
    ck_assert_int_eq(usher_health_failed(&h, t, t, &off, 1, 1), 0);
    ck_assert_uint_eq(SHARE(&h, t), USHER_HEALTH_SHARE);
    ck_assert_int_eq(usher_health_is_failing(&h, t, &off), 1);
    hard(&h, t);
    ck_assert_int_eq(usher_health_is_failing(&h, t + 60000, &params), 1);
    ck_assert_int_eq(usher_health_try(&h, t + 60000, &params), 1);
    ck_assert_int_eq(usher_health_is_failing(&h, t + 60000, &params), 1);
    usher_health_ok(&h, t + 60000, t + 60000, &params);
    ck_assert_int_eq(usher_health_is_failing(&h, t + 60000, &params), 0);
}
END_TEST

START_TEST(shares)
{
    ck_assert_int_eq(usher_health_may_rest(1, 0, 0, &params), 0);
    ck_assert_int_eq(usher_health_may_rest(2, 0, 0, &params), 1);
    ck_assert_int_eq(usher_health_may_rest(2, 1, 0, &params), 0);
    ck_assert_int_eq(usher_health_may_rest(3, 0, 0, &params), 1);
    ck_assert_int_eq(usher_health_may_rest(3, 1, 0, &params), 0);
    ck_assert_int_eq(usher_health_may_rest(4, 1, 0, &params), 1);
    ck_assert_int_eq(usher_health_may_rest(0xffffffff, 0xffffffff, 0, &params), 0);
    /* no connection: all but one */
    ck_assert_int_eq(usher_health_may_rest(0, 0, 1, &params), 0);
    ck_assert_int_eq(usher_health_may_rest(1, 0, 1, &params), 0);
    ck_assert_int_eq(usher_health_may_rest(3, 1, 1, &params), 1);
    ck_assert_int_eq(usher_health_may_rest(3, 2, 1, &params), 0);
    ck_assert_int_eq(usher_health_may_rest(0xffffffff, 0xffffffff, 1, &params), 0);
}
END_TEST

/* Whatever stands there, a member is usable or due within the longest time. */
START_TEST(returned)
{
    usher_health_t h = { 0 };

    hard(&h, NOW);
    usher_health_returned(&h, NOW + 10, 8000);
    ck_assert_uint_lt(SHARE(&h, NOW + 10), USHER_HEALTH_SHARE / 4);
    ck_assert_uint_gt(SHARE(&h, NOW + 4010), USHER_HEALTH_SHARE / 4);
    ck_assert_uint_eq(SHARE(&h, NOW + 8010), USHER_HEALTH_SHARE);
    ck_assert_int_eq(hard(&h, NOW + 8020), 1);
    usher_health_returned(&h, NOW + 8030, 0);
    ck_assert_uint_eq(SHARE(&h, NOW + 8030), USHER_HEALTH_SHARE);
}
END_TEST

START_TEST(garbage)
{
    usher_health_t h;
    unsigned seed = 4711, round, i;

    for (round = 0; round < 20000; ++round) {
        for (i = 0; i < sizeof(h); ++i) {
            ((unsigned char *)&h)[i] = (unsigned char)((seed = seed * 1103515245 + 12345) >> 16);
        }
        ck_assert_int_ne(usher_health_look(&h, NOW + USHER_HEALTH_TIME_MAX + 20000, &params, NULL),
                         USHER_HEALTH_RESTING);
        usher_health_verdict(&h, NOW, &params, &i);
        ck_assert_uint_le(i, 1000);
        ck_assert_uint_ge(i, 1);
        soft(&h, NOW);
        hard(&h, NOW);
        usher_health_ok(&h, NOW, NOW, &params);
        usher_health_unknown(&h, NOW, NOW, &params);
        ck_assert_int_ne(usher_health_look(&h, NOW + USHER_HEALTH_TIME_MAX + 20000, &params, NULL),
                         USHER_HEALTH_RESTING);
    }
}
END_TEST

#define THREADS 8
#define ROUNDS 2000

static usher_health_t shared;
static _Atomic int probes[ROUNDS], rests[ROUNDS];
static pthread_barrier_t barrier;

/* In each round all fail, all ask, and who tries says that it went well. */
static void *worker(void *data)
{
    int i;

    for (i = 0; i < ROUNDS; ++i) {
        apr_int64_t t = NOW + i * (apr_int64_t)20000;

        pthread_barrier_wait(&barrier);
        if (hard(&shared, t)) {
            atomic_fetch_add(&rests[i], 1);
        }
        pthread_barrier_wait(&barrier);
        if (usher_health_verdict(&shared, t + 5000, &params, NULL) == USHER_HEALTH_VERDICT_PROBE) {
            atomic_fetch_add(&probes[i], 1);
        }
        pthread_barrier_wait(&barrier);
        usher_health_ok(&shared, t + 5000, t + 5000, &params);
    }
    return data;
}

START_TEST(told_to_people)
{
    static const usher_health_params_t as_told = { 1, 10000, 4000, 4000, 100 };
    const apr_int64_t t = 1000000;
    usher_health_t health = { 0 };
    usher_health_told_t told;

    usher_health_tell(&health, t, 10000, &told);
    ck_assert(told.is == USHER_HEALTH_IS_UP && !told.since && !told.left && !told.failures
              && told.share == USHER_HEALTH_SHARE);
    usher_health_failed(&health, t, t, &as_told, 1, 1);
    usher_health_tell(&health, t + 1000, 10000, &told);
    ck_assert(told.is == USHER_HEALTH_IS_RESTING && told.since == t && told.left == 3000);
    usher_health_tell(&health, t + 4000, 10000, &told);
    ck_assert(told.is == USHER_HEALTH_IS_DUE && !told.left);
    usher_health_try(&health, t + 4000, &as_told);
    usher_health_tell(&health, t + 4000, 10000, &told);
    ck_assert(told.is == USHER_HEALTH_IS_TRIED && told.since == t + 4000);
    usher_health_ok(&health, t + 4001, t + 5000, &as_told);
    usher_health_tell(&health, t + 7000, 10000, &told);
    ck_assert(told.is == USHER_HEALTH_IS_SLOW && told.share == 500 && told.left == 2000);
    usher_health_tell(&health, t + 9000, 10000, &told);
    ck_assert(told.is == USHER_HEALTH_IS_UP && told.since == t + 5000
              && told.share == USHER_HEALTH_SHARE);
    memset(&health, 0xff, sizeof(health));
    usher_health_tell(&health, t, 10000, &told);
    ck_assert(told.left >= 0 && told.left <= USHER_HEALTH_TIME_MAX);
}
END_TEST

START_TEST(threads)
{
    pthread_t thread[THREADS];
    int i;

    memset(&shared, 0, sizeof(shared));
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (i = 0; i < THREADS; ++i) {
        ck_assert_int_eq(pthread_create(&thread[i], NULL, worker, NULL), 0);
    }
    for (i = 0; i < THREADS; ++i) {
        pthread_join(thread[i], NULL);
    }
    for (i = 0; i < ROUNDS; ++i) {
        ck_assert_msg(rests[i] == 1 && probes[i] == 1, "round %d: %d rests, %d probes", i,
                      rests[i], probes[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("health");
    TCase *tc = tcase_create("health");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, fresh);
    tcase_add_test(tc, whole_life);
    tcase_add_test(tc, failures_in_a_time);
    tcase_add_test(tc, failures_at_once);
    tcase_add_test(tc, failures_slowly);
    tcase_add_test(tc, failures_before_a_rest_are_forgotten);
    tcase_add_test(tc, a_claim_expires);
    tcase_add_test(tc, due_at);
    tcase_add_test(tc, claims_grow);
    tcase_add_test(tc, a_claim_given_back);
    tcase_add_test(tc, stale_outcomes);
    tcase_add_test(tc, settings);
    tcase_add_test(tc, failing);
    tcase_add_test(tc, shares);
    tcase_add_test(tc, returned);
    tcase_add_test(tc, garbage);
    tcase_add_test(tc, told_to_people);
    tcase_add_test(tc, threads);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
