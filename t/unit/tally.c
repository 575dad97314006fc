/* Counts of many processes: bounds, what a dead process leaves, any contents, and
 * processes that count without a pause and are killed at any instruction. */
#include "unit.h"
#include "hammer.h"
#include <apr_general.h>
#include <apr_time.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "usher_tally.h"

#define ROWS 12
#define COUNTERS 40

typedef struct {
    _Atomic apr_uint32_t totals[COUNTERS];
    _Atomic apr_uint32_t inside;  /* the same as totals[0], of processes that are not killed */
    _Atomic apr_uint32_t most;
    _Atomic int stop;
    _Atomic int holder_waits;
    char base[] __attribute__((aligned(64)));
} shared_t;

static shared_t *shared;
static usher_tally_t tally;
static apr_pool_t *pool;
static apr_uint64_t size;

static void setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    size = usher_tally_size(ROWS, COUNTERS);
    shared = mmap(NULL, sizeof(*shared) + size, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    usher_tally_open(&tally, shared->base, size, ROWS, 1);
}

static void teardown(void)
{
    munmap(shared, sizeof(*shared) + size);
    apr_pool_destroy(pool);
    apr_terminate();
}

static apr_int64_t mend(apr_uint32_t counter)
{
    return usher_tally_mend(&tally, usher_tally_scan(&tally, pool), counter,
                            &shared->totals[counter]);
}

/* As another process sees it. */
static usher_tally_t other_process(pid_t pid, apr_uint32_t epoch)
{
    usher_tally_t other;

    usher_tally_open(&other, shared->base, size, ROWS, epoch);
    ck_assert(usher_tally_join(&other, pid));
    return other;
}

static int take(usher_tally_t *t, apr_uint32_t counter, apr_uint32_t max)
{
    return usher_tally_take(t, counter, &shared->totals[counter], max, 0);
}

START_TEST(bounds)
{
    usher_tally_t other = other_process(7, 1);
    int i;

    ck_assert_int_ge(tally.counters, COUNTERS);
    ck_assert(usher_tally_join(&tally, 5));
    for (i = 0; i < 3; ++i) {
        ck_assert(take(i == 1 ? &other : &tally, 2, 3));
    }
    ck_assert(!take(&tally, 2, 3));
    ck_assert(!take(&other, 2, 3));
    ck_assert(take(&tally, 2, 0));
    ck_assert_uint_eq(shared->totals[2], 4);
    ck_assert_int_eq(mend(2), 0);
    usher_tally_give(&tally, 2, &shared->totals[2]);
    ck_assert(!take(&tally, 2, 3));
    usher_tally_give(&other, 2, &shared->totals[2]);
    ck_assert(take(&tally, 2, 3));
    ck_assert_int_eq(mend(2), 0);
    /* Of this process's part */
    ck_assert(usher_tally_take(&tally, 3, &shared->totals[3], 9, 2));
    ck_assert(usher_tally_take(&tally, 3, &shared->totals[3], 9, 2));
    ck_assert(!usher_tally_take(&tally, 3, &shared->totals[3], 9, 2));
    ck_assert(usher_tally_take(&other, 3, &shared->totals[3], 9, 2));
    ck_assert_uint_eq(shared->totals[3], 3);
    ck_assert_int_eq(mend(3), 0);
}
END_TEST

START_TEST(who_is_not_counted)
{
    _Atomic apr_uint32_t own = 0;
    usher_tally_t other;
    int i;

    /* A process without a row, and a counter that there are no rows for */
    ck_assert(take(&tally, 1, 5));
    ck_assert_uint_eq(shared->totals[1], 0);
    ck_assert(usher_tally_join(&tally, 5));
    ck_assert(usher_tally_take(&tally, tally.counters, &own, 5, 0));
    usher_tally_give(&tally, tally.counters, &own);
    ck_assert_uint_eq(own, 0);
    ck_assert_int_eq(usher_tally_mend(&tally, usher_tally_scan(&tally, pool), tally.counters, &own), 0);
    /* What only this process knows */
    ck_assert(usher_tally_take(&tally, USHER_TALLY_PRIVATE, &own, 1, 0));
    ck_assert(!usher_tally_take(&tally, USHER_TALLY_PRIVATE, &own, 1, 0));
    usher_tally_give(&tally, USHER_TALLY_PRIVATE, &own);
    ck_assert_uint_eq(own, 0);
    for (i = 1; i < ROWS; ++i) {
        other_process(100 + i, 1);
    }
    usher_tally_open(&other, shared->base, size, ROWS, 1);
    ck_assert(!usher_tally_join(&other, 99));
    usher_tally_left(&tally, 105);
    ck_assert(usher_tally_join(&other, 99));
}
END_TEST

static int is_seven(pid_t pid)
{
    return pid == 7;
}

START_TEST(a_dead_process)
{
    usher_tally_t other = other_process(7, 1), again;
    int i;

    ck_assert(usher_tally_join(&tally, 5));
    for (i = 0; i < 5; ++i) {
        ck_assert(take(&tally, 4, 0) && take(&other, 4, 0));
    }
    ck_assert_int_eq(mend(4), 0);
    if (_i) {
        usher_tally_left(&tally, 7);
    }
    else {
        usher_tally_left_all(&tally, is_seven);
    }
    ck_assert_int_eq(mend(4), -5);
    ck_assert_uint_eq(shared->totals[4], 5);
    /* Its row is another one's now, its pid too. */
    ck_assert(take(&tally, 4, 0));
    again = other_process(7, 1);
    ck_assert(take(&again, 4, 0));
    again = other_process(7, 1);
    ck_assert_int_eq(mend(4), -1);
    ck_assert_uint_eq(shared->totals[4], 6);
    /* Killed between its row and the total, either way */
    ck_assert(take(&again, 4, 0));
    shared->totals[4]--;
    usher_tally_left(&tally, 7);
    ck_assert_int_eq(mend(4), 0);
    ck_assert_uint_eq(shared->totals[4], 6);
}
END_TEST

START_TEST(another_epoch)
{
    usher_tally_t other = other_process(7, 0);

    ck_assert(usher_tally_join(&tally, 5));
    ck_assert(take(&tally, 4, 0));
    ck_assert(take(&other, 4, 0));
    ck_assert_int_eq(mend(4), -1);
    ck_assert_uint_eq(shared->totals[4], 1);
    /* It gives back what is in nobody's total. */
    usher_tally_give(&other, 4, NULL);
    ck_assert_uint_eq(shared->totals[4], 1);
    ck_assert_int_eq(mend(4), 0);
}
END_TEST

START_TEST(too_little)
{
    ck_assert(usher_tally_join(&tally, 5));
    ck_assert(take(&tally, 4, 0) && take(&tally, 4, 0));
    shared->totals[4] = 0;
    ck_assert_int_eq(mend(4), 0); /* may be a thread on its way */
    ck_assert_int_eq(mend(4), 2);
    ck_assert_uint_eq(shared->totals[4], 2);
    ck_assert_int_eq(mend(4), 0);
    /* Never below zero, however often it is given back */
    shared->totals[4] = 1;
    usher_tally_give(&tally, 4, &shared->totals[4]);
    usher_tally_give(&tally, 4, &shared->totals[4]);
    usher_tally_give(&tally, 4, &shared->totals[4]);
    ck_assert_uint_eq(shared->totals[4], 0);
    ck_assert_int_eq(mend(4), 0);
    ck_assert_int_eq(mend(4), 0);
}
END_TEST

START_TEST(any_contents)
{
    unsigned seed = 4711;
    int round, i;

    for (round = 0; round < 200; ++round) {
        for (i = 0; i < (int)size; ++i) {
            shared->base[i] = (char)(round ? rand_r(&seed) : 0xff);
        }
        shared->totals[5] = (apr_uint32_t)rand_r(&seed);
        usher_tally_left(&tally, 3);
        take(&tally, 5, 7);
        usher_tally_give(&tally, 5, &shared->totals[5]);
        mend(5);
        mend(5);
        /* All owners are gone: whatever they left, the truth comes back. */
        usher_tally_left_all(&tally, is_seven);
        for (i = 0; i < ROWS; ++i) {
            usher_tally_left(&tally, (pid_t)(apr_uint32_t)tally.owners[i].who);
        }
        ck_assert(usher_tally_join(&tally, 5));
        ck_assert(take(&tally, 5, 0));
        mend(5);
        mend(5);
        ck_assert_uint_eq(shared->totals[5], 1);
        usher_tally_left(&tally, 5);
    }
    usher_tally_open(&tally, shared->base, 0, ROWS, 1);
    ck_assert_uint_eq(tally.counters, 0);
}
END_TEST

/* A process: two threads that count without a pause. */
static void *hammer(void *data)
{
    int careful = data != NULL;
    unsigned seed = (unsigned)getpid();

    while (!atomic_load(&shared->stop)) {
        apr_uint32_t counter = (apr_uint32_t)rand_r(&seed) % 4;

        if (!take(&tally, counter, 3)) {
            continue;
        }
        if (careful && counter == 0) {
            apr_uint32_t now = atomic_fetch_add(&shared->inside, 1) + 1;

            if (now > atomic_load(&shared->most)) {
                atomic_store(&shared->most, now);
            }
            atomic_fetch_sub(&shared->inside, 1);
        }
        usher_tally_give(&tally, counter, &shared->totals[counter]);
    }
    return NULL;
}

static pid_t start(int careful, int holds)
{
    pthread_t thread;
    pid_t pid = fork();

    if (pid) {
        return pid;
    }
    if (!usher_tally_join(&tally, getpid())) {
        _exit(1);
    }
    while (holds-- > 0) {
        if (!take(&tally, 3, 0)) {
            _exit(1);
        }
    }
    pthread_create(&thread, NULL, hammer, careful ? &tally : NULL);
    hammer(careful ? &tally : NULL);
    pthread_join(thread, NULL);
    if (careful < 0) { /* goes on to hold what it holds, till it is killed */
        atomic_store(&shared->holder_waits, 1);
        pause();
    }
    _exit(0);
}

static void end(pid_t pid, int sig)
{
    int status;

    if (sig) {
        kill(pid, sig);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(sig || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    usher_tally_left(&tally, pid);
}

START_TEST(never_above_the_maximum)
{
    hammer_t until = hammer_begin(1, 10);
    apr_int64_t added[4] = { 0 };
    pid_t pids[5];
    int i, j;

    for (i = 0; i < 5; ++i) {
        pids[i] = start(1, 0);
    }
    while (hammer_on(&until, shared->most > 0)) {
        for (j = 0; j < 4; ++j) {
            /* Nobody has died: only what was added for a thread on its way is too much. */
            added[j] += mend(j);
            ck_assert_int_ge(added[j], 0);
        }
        apr_sleep(100);
        apr_pool_clear(pool);
    }
    atomic_store(&shared->stop, 1);
    for (i = 0; i < 5; ++i) {
        end(pids[i], 0);
    }
    ck_assert_uint_le(shared->most, 3);
    ck_assert_uint_ge(shared->most, 1);
    for (j = 0; j < 4; ++j) {
        mend(j);
        ck_assert_uint_eq(shared->totals[j], 0);
    }
}
END_TEST

START_TEST(killed_at_any_instruction)
{
    hammer_t until = hammer_begin(2, 60);
    pid_t pids[6], holder;
    unsigned seed = 42, kills = 0;
    int i, j;

    holder = start(-1, 2);
    for (i = 0; i < 6; ++i) {
        pids[i] = start(0, 0);
    }
    while (hammer_on(&until, kills > 5)) {
        apr_sleep(rand_r(&seed) % 3000);
        i = (int)(rand_r(&seed) % 6);
        end(pids[i], SIGKILL);
        pids[i] = start(0, 0);
        if (++kills % 8 == 0) {
            for (j = 0; j < 4; ++j) {
                mend(j);
            }
        }
        apr_pool_clear(pool);
    }
    for (i = 0; i < 3; ++i) {
        end(pids[i], SIGKILL);
    }
    atomic_store(&shared->stop, 1);
    for (; i < 6; ++i) {
        end(pids[i], 0);
    }
    while (!atomic_load(&shared->holder_waits)) { /* both of its threads have ended */
        apr_sleep(1000);
    }
    for (j = 0; j < 4; ++j) {
        mend(j);
        ck_assert_msg(shared->totals[j] == (j == 3 ? 2 : 0), "counter %d: %u after %u kills", j,
                      shared->totals[j], kills);
    }
    end(holder, SIGKILL);
    ck_assert_int_eq(mend(3), -2);
    ck_assert_uint_gt(kills, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tally");
    TCase *tc = tcase_create("tally");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, bounds);
    tcase_add_test(tc, who_is_not_counted);
    tcase_add_loop_test(tc, a_dead_process, 0, 2);
    tcase_add_test(tc, another_epoch);
    tcase_add_test(tc, too_little);
    tcase_add_test(tc, any_contents);
    tcase_add_test(tc, never_above_the_maximum);
    tcase_add_test(tc, killed_at_any_instruction);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
