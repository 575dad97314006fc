/* What health checks tell of a member: every change of its state, claims, checkers that
 * are killed, other settings and kinds, any contents, and many threads at once. */
#include "unit.h"
#include "hammer.h"
#include <apr_general.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include "usher_check.h"

#define NOW ((apr_int64_t)7200000)
#define UTC ((apr_int64_t)1800000000000)

static const usher_check_params_t params = {
    .kind = USHER_CHECK_HTTP, .interval = 5000, .down_interval = 20000, .timeout = 2000,
    .rise = 2, .fall = 3, .spread = 7,
};

static const usher_check_turn_t no_turn = { -1, -1 };

static usher_check_state_e ended(usher_check_t *c, usher_check_result_e what, apr_int64_t utc)
{
    return usher_check_ended(c, &params, &no_turn, USHER_CHECK_RESULT(what, 0), 1500, utc);
}

/* A word of checks: '+' good, '-' failed, 'x' not made. @return what was told, as a word: 'u'
 * up, 'd' down, '.' nothing */
static const char *told(usher_check_t *c, const char *checks)
{
    static char word[64];
    char *at = word;

    for (; *checks; ++checks) {
        usher_check_state_e state = ended(c, *checks == '+' ? USHER_CHECK_PASSED
                                             : *checks == '-' ? USHER_CHECK_REFUSED
                                                              : USHER_CHECK_OURS, UTC);

        *at++ = ".ud"[state];
    }
    *at = '\0';
    return word;
}

/* Claims at a time. @return 1: won; and when the next one is due */
static int claim(usher_check_t *c, apr_int64_t now, apr_int64_t *due_at)
{
    usher_check_turn_t turn;
    int won = usher_check_claim(c, now, &params, &turn);

    *due_at = turn.held_until;
    return won;
}

START_TEST(changes)
{
    static const struct {
        const char *checks, *told;
    } rows[] = {
        { "+", "." },           /* nobody thought otherwise */
        { "-", "d" },           /* the first one decides */
        { "x-", ".d" },         /* if it was made */
        { "+--", "..." },
        { "+---", "...d" },
        { "+--+---", "......d" }, /* in a row */
        { "+--x-", "....d" },   /* what was not made counts neither way */
        { "-++", "d.u" },
        { "-+-++", "d...u" },
        { "-++---++", "d.u..d.u" },
        { "-----", "d...." },   /* told once */
        { "++++", "...." },
    };
    int i;

    for (i = 0; i < UNIT_COUNT(rows); ++i) {
        usher_check_t c = { 0 };
        const char *got = told(&c, rows[i].checks);

        ck_assert_msg(!strcmp(got, rows[i].told), "%s: %s, not %s", rows[i].checks, got,
                      rows[i].told);
    }
}
END_TEST

START_TEST(what_is_kept)
{
    usher_check_t c = { 0 };

    ck_assert_int_eq(usher_check_state(&c, params.kind), USHER_CHECK_UNKNOWN);
    ended(&c, USHER_CHECK_PASSED, UTC);
    ended(&c, USHER_CHECK_PASSED, UTC + 5);
    ck_assert_int_eq(usher_check_state(&c, params.kind), USHER_CHECK_UP);
    ck_assert_int_eq(c.changed_at, UTC);
    ck_assert_int_eq(c.last_at, UTC + 5);
    ck_assert_uint_eq(c.took, 1500);
    usher_check_ended(&c, &params, &no_turn, USHER_CHECK_RESULT(USHER_CHECK_STATUS, 503), 9, UTC + 9);
    ck_assert_uint_eq(USHER_CHECK_WHAT(c.result), USHER_CHECK_STATUS);
    ck_assert_int_eq(USHER_CHECK_DETAIL(c.result), 503);
    ck_assert_uint_eq(c.passed, 2);
    ck_assert_uint_eq(c.failed, 1);
}
END_TEST

START_TEST(claims)
{
    usher_check_t c = { 0 };
    apr_int64_t due_at = 0, second;

    ck_assert_int_eq(claim(&c, NOW, &due_at), 1);
    second = due_at;
    ck_assert_int_ge(second, NOW + 2000); /* not while it may go on */
    ck_assert_int_le(second, NOW + 7500);
    ck_assert_int_eq(claim(&c, NOW, &due_at), 0);
    ck_assert_int_eq(due_at, second);
    ck_assert_int_eq(claim(&c, second - 1, &due_at), 0);
    ended(&c, USHER_CHECK_PASSED, UTC);
    ck_assert_int_eq(claim(&c, second, &due_at), 1);
    ck_assert_int_eq(due_at, second + 5000);
    /* its winner is killed: it is left out */
    ck_assert_int_eq(claim(&c, second + 4999, &due_at), 0);
    ck_assert_int_eq(claim(&c, second + 5000, &due_at), 1);
    told(&c, "---");
    ck_assert_int_eq(claim(&c, second + 10000, &due_at), 1);
    ck_assert_int_eq(due_at, second + 30000);
}
END_TEST

START_TEST(first_checks_at_once_then_spread)
{
    usher_check_params_t p = params;
    int buckets[10] = { 0 }, i;

    for (i = 0; i < 1000; ++i) {
        usher_check_t c = { 0 };
        usher_check_turn_t turn;

        p.spread = (apr_uint32_t)i;
        ck_assert_int_eq(usher_check_claim(&c, NOW, &p, &turn), 1);
        ck_assert_int_ge(turn.next_at, NOW + 2500);
        ++buckets[(turn.next_at - NOW - 2500) * 10 / 5001];
    }
    for (i = 0; i < 10; ++i) {
        ck_assert_int_ge(buckets[i], 60);
        ck_assert_int_le(buckets[i], 220);
    }
}
END_TEST

START_TEST(other_settings)
{
    usher_check_t c = { 0 };
    usher_check_params_t p = params;
    usher_check_turn_t turn;
    apr_int64_t due_at;

    p.interval = USHER_CHECK_TIME_MAX;
    ended(&c, USHER_CHECK_PASSED, UTC);
    ck_assert_int_eq(usher_check_claim(&c, NOW, &p, &turn), 1);
    ck_assert_int_eq(turn.next_at, NOW + USHER_CHECK_TIME_MAX);
    /* a check that was far away is not waited for with a short interval */
    ck_assert_int_eq(claim(&c, NOW + 10, &due_at), 1);
    ck_assert_int_eq(due_at, NOW + 5010);
}
END_TEST

/* A time-out that is longer than the interval: nobody makes a second check beside one that
 * takes long, but when it has ended the next one is due. */
START_TEST(long_timeout)
{
    usher_check_t c = { 0 };
    usher_check_params_t p = params;
    usher_check_turn_t turn, other;

    p.interval = 100;
    ended(&c, USHER_CHECK_PASSED, UTC);
    ck_assert_int_eq(usher_check_claim(&c, NOW, &p, &turn), 1);
    ck_assert_int_eq(usher_check_claim(&c, NOW + 1999, &p, &other), 0);
    usher_check_ended(&c, &p, &turn, USHER_CHECK_RESULT(USHER_CHECK_PASSED, 0), 1, UTC);
    ck_assert_int_eq(usher_check_claim(&c, NOW + 99, &p, &other), 0);
    ck_assert_int_eq(other.held_until, NOW + 100);
    ck_assert_int_eq(usher_check_claim(&c, NOW + 100, &p, &turn), 1);
    /* one that was stopped for longer than that changes nothing when it goes on */
    ck_assert_int_eq(usher_check_claim(&c, NOW + 2100, &p, &other), 1);
    usher_check_ended(&c, &p, &turn, USHER_CHECK_RESULT(USHER_CHECK_PASSED, 0), 1, UTC);
    ck_assert_int_eq(usher_check_claim(&c, NOW + 2200, &p, &turn), 0);
}
END_TEST

START_TEST(another_kind)
{
    usher_check_t c = { 0 };
    usher_check_params_t p = params;

    told(&c, "-");
    ck_assert_int_eq(usher_check_state(&c, USHER_CHECK_TCP), USHER_CHECK_UNKNOWN);
    p.kind = USHER_CHECK_TCP;
    ck_assert_int_eq(usher_check_ended(&c, &p, &no_turn, USHER_CHECK_RESULT(USHER_CHECK_PASSED, 0), 1,
                                       UTC), USHER_CHECK_UNKNOWN);
    ck_assert_int_eq(usher_check_state(&c, USHER_CHECK_TCP), USHER_CHECK_UP);
    usher_check_forget(&c, USHER_CHECK_TCP);
    ck_assert_int_eq(usher_check_state(&c, USHER_CHECK_TCP), USHER_CHECK_UP);
    usher_check_forget(&c, USHER_CHECK_HTTP);
    ck_assert_int_eq(usher_check_state(&c, USHER_CHECK_TCP), USHER_CHECK_UNKNOWN);
    told(&c, "-");
    usher_check_forget(&c, USHER_CHECK_HTTP);
    c.next_at = NOW;
    ck_assert_int_eq(usher_check_is_down(&c, NOW), 1);
    usher_check_forget(&c, USHER_CHECK_OFF);
    ck_assert_int_eq(usher_check_is_down(&c, NOW), 0);
}
END_TEST

/* One that signs itself in: it proves itself once, and again when it is another server. */
START_TEST(proves_itself)
{
    usher_check_t c = { 0 };
    usher_check_params_t p = params, other;
    usher_check_turn_t turn;

    p.proves = 1;
    p.server = USHER_CHECK_SERVER(0x1000007);
    ck_assert_uint_eq(p.server, 7);
    ck_assert_int_eq(usher_check_meet(&c, p.server), 1);
    ck_assert_int_eq(usher_check_meet(&c, p.server), 0);
    ck_assert_int_eq(usher_check_is_proven(&c, p.server), 0);
    ck_assert_int_eq(usher_check_claim(&c, NOW, &p, &turn), 1);
    ck_assert_int_eq(turn.next_at, NOW + 1000); /* soon again, also with a long interval */
    ck_assert_int_eq(usher_check_ended(&c, &p, &turn, USHER_CHECK_RESULT(USHER_CHECK_REFUSED, 0), 1,
                                       UTC), USHER_CHECK_DOWN);
    ck_assert_int_eq(usher_check_is_proven(&c, p.server), 0);
    /* one good check is enough, and is news */
    ck_assert_int_eq(usher_check_ended(&c, &p, &no_turn, USHER_CHECK_RESULT(USHER_CHECK_PASSED, 0),
                                       1, UTC), USHER_CHECK_UP);
    ck_assert_int_eq(usher_check_is_proven(&c, p.server), 1);
    ck_assert_int_eq(usher_check_claim(&c, NOW + 1000, &p, &turn), 1);
    ck_assert_int_eq(turn.next_at, NOW + 1000 + (apr_int64_t)p.interval);
    /* another kind of check: still the same server */
    other = p;
    other.kind = USHER_CHECK_TCP;
    ck_assert_int_eq(usher_check_ended(&c, &other, &no_turn,
                                       USHER_CHECK_RESULT(USHER_CHECK_PASSED, 0), 1, UTC),
                     USHER_CHECK_UNKNOWN);
    ck_assert_int_eq(usher_check_is_proven(&c, p.server), 1);
    /* another server: due at once, and checks of the one before tell nothing */
    ck_assert_int_eq(usher_check_meet(&c, 8), 1);
    ck_assert_int_eq(usher_check_is_proven(&c, 8), 0);
    ck_assert_int_eq(usher_check_is_proven(&c, 7), 0);
    ck_assert_int_eq(usher_check_ended(&c, &p, &turn, USHER_CHECK_RESULT(USHER_CHECK_PASSED, 0), 1,
                                       UTC), USHER_CHECK_UNKNOWN);
    ck_assert_int_eq(usher_check_is_proven(&c, 8), 0);
    other.server = 8;
    ck_assert_int_eq(usher_check_claim(&c, NOW + 1001, &other, &turn), 1);
}
END_TEST

START_TEST(is_down)
{
    usher_check_t c = { 0 };
    apr_int64_t due_at;

    ck_assert_int_eq(usher_check_is_down(&c, NOW), 0);
    claim(&c, NOW, &due_at);
    told(&c, "-");
    ck_assert_int_eq(usher_check_is_down(&c, NOW), 1);
    ck_assert_int_eq(usher_check_is_down(&c, due_at + 59999), 1);
    ck_assert_int_eq(usher_check_is_down(&c, due_at + 60000), 0); /* nobody checks any more */
    told(&c, "+");
    ck_assert_int_eq(usher_check_is_down(&c, NOW), 1);
    told(&c, "+");
    ck_assert_int_eq(usher_check_is_down(&c, NOW), 0);
}
END_TEST

/* Whatever stands there: after rise or fall checks it is as they say, and the next check is
 * never far away. */
START_TEST(garbage)
{
    unsigned int seed = 1;
    int round, i;

    for (round = 0; round < 20000; ++round) {
        usher_check_t c;
        apr_int64_t due_at;
        char text[USHER_CHECK_REASON_SIZE];
        int good = round & 1;

        for (i = 0; i < (int)sizeof(c); ++i) {
            ((unsigned char *)&c)[i] = (unsigned char)(round % 3 ? rand_r(&seed) : rand_r(&seed) % 4);
        }
        usher_check_is_down(&c, NOW);
        ck_assert_uint_lt(strlen(usher_check_reason(text, c.result, c.took)), sizeof(text) - 1);
        claim(&c, NOW, &due_at);
        ck_assert_int_le(due_at, NOW + 40000);
        for (i = 0; i < 3; ++i) {
            ended(&c, good ? USHER_CHECK_PASSED : USHER_CHECK_REFUSED, UTC);
        }
        ck_assert_int_eq(usher_check_state(&c, params.kind),
                         good ? USHER_CHECK_UP : USHER_CHECK_DOWN);
        ck_assert_int_eq(usher_check_is_down(&c, NOW), !good && c.next_at > NOW - 60000);
    }
}
END_TEST

START_TEST(reasons)
{
    static const struct {
        usher_check_result_e what;
        int detail;
        const char *text;
    } rows[] = {
        { USHER_CHECK_NONE, 7, "not checked yet" },
        { USHER_CHECK_PASSED, 200, "passed after 12.3ms" },
        { USHER_CHECK_REFUSED, ECONNREFUSED, "no connection: Connection refused after 12.3ms" },
        { USHER_CHECK_CLOSED, 0, "closed without a whole answer after 12.3ms" },
        { USHER_CHECK_STATUS, 503, "status 503 after 12.3ms" },
        { USHER_CHECK_UNEXPECTED, 200, "not as expect= says: status 200 after 12.3ms" },
        { USHER_CHECK_RESULTS, 0, "not checked yet" },
    };
    char text[USHER_CHECK_REASON_SIZE];
    int i;

    for (i = 0; i < UNIT_COUNT(rows); ++i) {
        ck_assert_str_eq(usher_check_reason(text, USHER_CHECK_RESULT(rows[i].what, rows[i].detail),
                                            12345), rows[i].text);
    }
}
END_TEST

/* No more digits than tell something. */
START_TEST(times)
{
    static const struct {
        apr_uint32_t took;
        const char *text;
    } rows[] = {
        { 0, "passed after 0.0ms" },
        { 7749, "passed after 7.7ms" },
        { 7751, "passed after 7.8ms" },
        { 99949, "passed after 99.9ms" },
        { 99950, "passed after 100ms" },
        { 1002090, "passed after 1002ms" },
        { APR_UINT32_MAX, "passed after 4294967ms" },
    };
    char text[USHER_CHECK_REASON_SIZE];
    int i;

    for (i = 0; i < UNIT_COUNT(rows); ++i) {
        ck_assert_str_eq(usher_check_reason(text, USHER_CHECK_RESULT(USHER_CHECK_PASSED, 200),
                                            rows[i].took), rows[i].text);
    }
}
END_TEST

/* As many as are really at it at the same time. Where they have one processor, a round takes as
 * long as others let them wait for it: then there are fewer. */
#define THREADS 2
#define ROUNDS 100000

static usher_check_t shared[ROUNDS];
static int claimed[ROUNDS];
static int changes_told[ROUNDS];
static _Atomic int arrived, rounds = ROUNDS;

/* @param data  of one of them: the time that it has */
static void *worker(void *data)
{
    apr_int64_t due_at;
    int i, spins;

    for (i = 0; i < rounds; ++i) {
        if (data && i > 100 && !hammer_on(data, 1)) {
            rounds = i + 1;
        }
        atomic_fetch_add(&arrived, 1);
        for (spins = 0; atomic_load(&arrived) < THREADS * (i + 1); ++spins) {
            if (spins > 10000) {
                sched_yield();
            }
        }
        if (claim(&shared[i], NOW, &due_at)) {
            __atomic_fetch_add(&claimed[i], 1, __ATOMIC_RELAXED);
        }
        if (ended(&shared[i], USHER_CHECK_REFUSED, UTC) == USHER_CHECK_DOWN) {
            __atomic_fetch_add(&changes_told[i], 1, __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

START_TEST(threads)
{
    hammer_t until = hammer_begin(10, 10);
    pthread_t thread[THREADS];
    int i;

    for (i = 0; i < THREADS; ++i) {
        ck_assert_int_eq(pthread_create(&thread[i], NULL, worker, i ? NULL : &until), 0);
    }
    for (i = 0; i < THREADS; ++i) {
        pthread_join(thread[i], NULL);
    }
    for (i = 0; i < rounds; ++i) {
        ck_assert_msg(claimed[i] == 1 && changes_told[i] == 1, "round %d: %d claims, told %d times",
                      i, claimed[i], changes_told[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check");
    TCase *tc = tcase_create("check");

    apr_initialize();
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, changes);
    tcase_add_test(tc, what_is_kept);
    tcase_add_test(tc, claims);
    tcase_add_test(tc, first_checks_at_once_then_spread);
    tcase_add_test(tc, other_settings);
    tcase_add_test(tc, long_timeout);
    tcase_add_test(tc, another_kind);
    tcase_add_test(tc, proves_itself);
    tcase_add_test(tc, is_down);
    tcase_add_test(tc, garbage);
    tcase_add_test(tc, reasons);
    tcase_add_test(tc, times);
    tcase_add_test(tc, threads);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
