/* The roster under processes that sign members in and out, renew and read, while some are
 * stopped at random, and killed, most of them in the middle of a change. No copy is ever of two
 * members or of two versions, no member goes back to an older version, and no change that was
 * done is lost. Three seconds at least; half a minute with USHER_LONG=1. */
#include "unit.h"
#include "hammer.h"
#include <apr_errno.h>
#include <apr_time.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "usher_clock.h"
#include "usher_roster_table.h"

enum { WORKERS = 5, IDS = 64, MEMBERS = 64 };

typedef struct {
    pthread_mutex_t lock; /* robust, as httpd's are */
    _Atomic apr_uint64_t version;
    _Atomic apr_uint64_t done[IDS]; /* the version up to which all was done */
    _Atomic apr_uint64_t wrong, backwards, read, sets, removals, renewals, mended;
} shared_t;

static shared_t *shared;
static usher_roster_table_t table;

/* No macros of Check's here and in all else that workers do: they write to the runner, and who
 * is killed meanwhile would leave half of that. */
static void lock(void)
{
    int rc = pthread_mutex_lock(&shared->lock);

    if (rc == EOWNERDEAD) {
        shared->mended += (apr_uint64_t)usher_roster_table_mend(&table);
        pthread_mutex_consistent(&shared->lock);
    }
    else {
        shared->wrong += rc != 0;
    }
}

static void unlock(void)
{
    pthread_mutex_unlock(&shared->lock);
}

static usher_roster_entry_t make(int number, apr_uint64_t version)
{
    usher_roster_entry_t entry;

    memset(&entry, 0, sizeof(entry));
    entry.id[0] = (unsigned char)(number / 3); /* some get into each other's way */
    entry.id[8] = (unsigned char)number;
    /* Texts that tell whose and of which version they are, and are made fast. */
    memset(entry.cluster, 'a' + number % 5, 8);
    memset(entry.route, 'a' + number % 26, sizeof(entry.route) - 1);
    memset(entry.url, 'a' + (int)(version / 4 % 26), sizeof(entry.url) - 1);
    memset(entry.labels, 'a' + (int)(version % 26), sizeof(entry.labels) - 1);
    memset(entry.secret, 'A' + (int)(version % 26), sizeof(entry.secret) - 1);
    entry.version = version;
    entry.lease = 30000;
    entry.load = -1;
    return entry;
}

static apr_int64_t now_ms(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

/* @return its version; 0: it is not there */
static apr_uint64_t look(int number)
{
    usher_roster_entry_t is, expected = make(number, 0);
    int found = usher_roster_table_get(&table, expected.id, &is);

    if (found == USHER_ROSTER_BUSY) {
        lock();
        found = usher_roster_table_get(&table, expected.id, &is);
        unlock();
        shared->wrong += found == USHER_ROSTER_BUSY;
    }
    if (found != 1) {
        return 0;
    }
    expected = make(number, is.version);
    expected.generation = is.generation;
    expected.expires_at = is.expires_at;
    expected.saved_at = is.saved_at;
    expected.load = is.load;
    shared->wrong += memcmp((const char *)&is, (const char *)&expected, sizeof(is)) != 0
                     || (is.load != -1 && is.load != number);
    ++shared->read;
    return is.version;
}

static void did(int number, apr_uint64_t version)
{
    apr_uint64_t was = shared->done[number];

    while (was < version && !atomic_compare_exchange_weak(&shared->done[number], &was, version)) {
    }
}

/* Under the lock. */
static void change(int number, int is_removal)
{
    apr_uint64_t version = atomic_fetch_add(&shared->version, 1) + 1;
    usher_roster_entry_t entry = make(number, version);
    apr_status_t rv;
    int told;

    if (is_removal) {
        usher_roster_table_remove(&table, entry.id, version);
        ++shared->removals;
    }
    else {
        rv = usher_roster_table_set(&table, &entry, &told);
        shared->sets += rv == APR_SUCCESS;
        shared->wrong += rv != APR_SUCCESS && rv != APR_EEXIST;
    }
    did(number, version);
}

/* Changes until it is killed, which is soon, and most probably in one of them. */
static void change_to_death(unsigned int *seed)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
    struct itimerspec soon = { .it_value.tv_nsec = 1000 + rand_r(seed) % 100000 };
    timer_t timer;

    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
        return;
    }
    lock();
    timer_settime(timer, 0, &soon, NULL);
    for (;;) {
        change(rand_r(seed) % IDS, rand_r(seed) % 3 == 0);
    }
}

static void work(unsigned int seed)
{
    apr_uint64_t seen[IDS] = { 0 }, version;

    int steps = 200 + rand_r(&seed) % 2000;

    while (--steps) {
        int number = rand_r(&seed) % IDS, what = rand_r(&seed) % 8;

        if (what < 3) {
            lock();
            change(number, what == 0);
            unlock();
        }
        else if (what == 3) {
            shared->renewals += usher_roster_table_renew(&table, make(number, 0).id, number, 0,
                                                         now_ms()) >= 0;
        }
        else {
            version = look(number);
            shared->backwards += version && version < seen[number];
            seen[number] = version ? version : seen[number];
        }
    }
    change_to_death(&seed);
}

/* Else it shows nothing. */
static int is_enough(void)
{
    return shared->mended > 10 && shared->sets > 1000 && shared->removals > 300
           && shared->renewals > 300 && shared->read > 3000;
}

static void hammer(void)
{
    hammer_t until = hammer_begin(3, 30);
    pid_t workers[WORKERS];
    unsigned int seed = 1;
    int i;

    for (i = 0; i < WORKERS; ++i) {
        workers[i] = hammer_start(work, seed++);
    }
    while (hammer_on(&until, is_enough())) {
        i = rand_r(&seed) % WORKERS;
        if (rand_r(&seed) % 20 == 0) {
            kill(workers[i], SIGSTOP);
            usleep((useconds_t)rand_r(&seed) % 3000);
            kill(workers[i], SIGCONT);
        }
        usleep((useconds_t)rand_r(&seed) % 300);
        if (waitpid(workers[i], NULL, WNOHANG) == workers[i]) {
            workers[i] = hammer_start(work, seed++);
        }
    }
    for (i = 0; i < WORKERS; ++i) {
        hammer_end(workers[i]);
    }
}

static void make_lock(void)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

START_TEST(kills)
{
    apr_uint64_t size = usher_roster_table_size(MEMBERS);
    char *memory = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                        -1, 0);
    int i, there = 0;

    ck_assert_ptr_ne(memory, MAP_FAILED);
    shared = (void *)memory;
    make_lock();
    usher_roster_table_open(&table, memory + 4096, size);
    hammer();

    lock(); /* what the last one left */
    unlock();
    ck_assert_msg(is_enough(), "%d mended, %d sets, %d removals, %d renewals, %d read",
                  (int)shared->mended, (int)shared->sets, (int)shared->removals,
                  (int)shared->renewals, (int)shared->read);
    ck_assert_uint_eq(shared->wrong, 0);
    ck_assert_uint_eq(shared->backwards, 0);
    for (i = 0; i < IDS; ++i) {
        apr_uint64_t is = look(i), removed = usher_roster_table_removed(&table, make(i, 0).id);

        ck_assert_uint_ge(is > removed ? is : removed, shared->done[i]);
        ck_assert(!is || !removed);
        there += is != 0;
    }
    ck_assert_int_gt(there, 10);
    ck_assert_uint_eq(shared->wrong, 0);
    munmap(memory, size + 4096);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("roster_hammer");
    TCase *tests = tcase_create("kills");

    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, kills);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
