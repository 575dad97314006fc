/* Who holds which places: rows of processes that come and go, and processes that hold and give
 * back without a pause, while places are given away and they are killed. */
#include "unit.h"
#include "hammer.h"
#include <apr_general.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "usher_holds.h"

enum { ROWS = 5, PLACES = 1000, WORKERS = 4 };

/* A table whose places are given away, as the registry's are. */
typedef struct {
    _Atomic apr_uint32_t state, generation;
} place_t;
enum { FREE, USED };

typedef struct {
    _Atomic apr_uint64_t stolen, held;
    place_t places[8];
    char base[] __attribute__((aligned(64)));
} shared_t;

static shared_t *shared;
static usher_holds_t holds;
static apr_uint64_t size;

static void setup(void)
{
    size = usher_holds_size(ROWS, PLACES);
    shared = mmap(NULL, sizeof(*shared) + size, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    usher_holds_open(&holds, shared->base, size, ROWS);
}

static void teardown(void)
{
    munmap(shared, sizeof(*shared) + size);
}

START_TEST(rows)
{
    usher_holds_t other;

    ck_assert_uint_ge(holds.places, PLACES);
    ck_assert_int_eq(usher_holds_take(&holds, 3), 0); /* no row yet */
    ck_assert_int_eq(usher_holds_join(&holds, 100), 1);
    ck_assert_int_eq(usher_holds_take(&holds, 3), 1);
    ck_assert_int_eq(usher_holds_take(&holds, holds.places - 1), 1);
    ck_assert_int_eq(usher_holds_take(&holds, holds.places), 0);
    ck_assert_int_eq(usher_holds_has(&holds, 3), 1);
    ck_assert_int_eq(usher_holds_has(&holds, 4), 0);
    ck_assert_int_eq(usher_holds_has(&holds, holds.places - 1), 1);
    ck_assert_int_eq(usher_holds_has(&holds, holds.places), 0);

    usher_holds_open(&other, shared->base, size, ROWS);
    ck_assert_int_eq(usher_holds_join(&other, 200), 1);
    ck_assert_int_eq(usher_holds_take(&other, 3), 1);
    usher_holds_give(&holds, 3);
    ck_assert_int_eq(usher_holds_has(&holds, 3), 1); /* the other one's */
    usher_holds_left(&holds, 200);
    ck_assert_int_eq(usher_holds_has(&holds, 3), 0);
    ck_assert_int_eq(usher_holds_has(&holds, holds.places - 1), 1);

    /* the same pid again: what the dead process held is not this one's */
    ck_assert_int_eq(usher_holds_join(&other, 100), 1);
    ck_assert_int_eq(usher_holds_has(&other, holds.places - 1), 0);
}
END_TEST

static int is_odd(pid_t pid)
{
    return pid % 2;
}

START_TEST(full)
{
    usher_holds_t all[ROWS + 1];
    int i;

    for (i = 0; i <= ROWS; ++i) {
        usher_holds_open(&all[i], shared->base, size, ROWS);
        ck_assert_int_eq(usher_holds_join(&all[i], 100 + i), i < ROWS);
        ck_assert_int_eq(usher_holds_take(&all[i], (apr_uint32_t)i), i < ROWS);
    }
    usher_holds_left_all(&holds, is_odd);
    for (i = 0; i < ROWS; ++i) {
        ck_assert_int_eq(usher_holds_has(&holds, (apr_uint32_t)i), i % 2 == 0);
    }
    ck_assert_int_eq(usher_holds_join(&all[ROWS], 100 + ROWS), 1);
}
END_TEST

START_TEST(garbage)
{
    usher_holds_t own;
    unsigned int seed = 1, i;

    for (i = 0; i < size; ++i) {
        shared->base[i] = (char)rand_r(&seed);
    }
    usher_holds_left_all(&holds, is_odd);
    usher_holds_open(&own, shared->base, size, ROWS);
    usher_holds_left_all(&holds, is_odd);
    for (i = 0; i < 2 * holds.places; ++i) {
        usher_holds_has(&holds, i);
    }
    usher_holds_join(&own, 100);
    ck_assert_uint_lt(usher_holds_size(1, 1), usher_holds_size(1, 513));
    usher_holds_open(&own, shared->base, 3, ROWS);
    ck_assert_uint_eq(own.places, 0);
    ck_assert_int_eq(usher_holds_has(&own, 0), 0);
}
END_TEST

/* Holds a place, and looks whether it stays the same for as long as it does. */
static void work(unsigned int seed)
{
    usher_holds_t own;
    int i;

    usher_holds_open(&own, shared->base, size, ROWS);
    while (!usher_holds_join(&own, getpid())) {
    }
    for (;;) {
        apr_uint32_t at = (apr_uint32_t)rand_r(&seed) % UNIT_COUNT(shared->places);
        place_t *place = &shared->places[at];
        apr_uint32_t generation = atomic_load(&place->generation);

        usher_holds_take(&own, at);
        if (atomic_load(&place->state) == USED && atomic_load(&place->generation) == generation) {
            for (i = 0; i < 50; ++i) {
                atomic_fetch_add(&shared->stolen, atomic_load(&place->generation) != generation);
            }
            atomic_fetch_add(&shared->held, 1);
        }
        usher_holds_give(&own, at);
    }
}

/* As the registry's sweep: first nobody's, then a look at who holds it. */
static int give_away(place_t *place, apr_uint32_t at)
{
    atomic_store(&place->state, FREE);
    if (usher_holds_has(&holds, at)) {
        atomic_store(&place->state, USED);
        return 0;
    }
    atomic_fetch_add(&place->generation, 1);
    atomic_store(&place->state, USED);
    return 1;
}

/* Else it shows nothing. */
static int is_enough(apr_uint64_t given, apr_uint64_t refused)
{
    return given > 1000 && refused > 100 && shared->held > 1000;
}

START_TEST(kills)
{
    hammer_t until = hammer_begin(2, 30);
    apr_uint64_t given = 0, refused = 0;
    unsigned int seed = 1, i;
    pid_t workers[WORKERS];

    for (i = 0; i < UNIT_COUNT(shared->places); ++i) {
        atomic_store(&shared->places[i].state, USED);
    }
    for (i = 0; i < WORKERS; ++i) {
        workers[i] = hammer_start(work, seed++);
    }
    while (hammer_on(&until, is_enough(given, refused))) {
        i = (unsigned int)rand_r(&seed) % UNIT_COUNT(shared->places);
        if (give_away(&shared->places[i], i)) {
            ++given;
        }
        else {
            ++refused;
        }
        if (rand_r(&seed) % 20000 == 0) {
            i = (unsigned int)rand_r(&seed) % WORKERS;
            hammer_end(workers[i]);
            usher_holds_left(&holds, workers[i]);
            workers[i] = hammer_start(work, seed++);
        }
    }
    for (i = 0; i < WORKERS; ++i) {
        hammer_end(workers[i]);
        usher_holds_left(&holds, workers[i]);
    }
    ck_assert_msg(is_enough(given, refused), "%d given away, %d refused, %d held", (int)given,
                  (int)refused, (int)shared->held);
    ck_assert_uint_eq(shared->stolen, 0);
    for (i = 0; i < UNIT_COUNT(shared->places); ++i) {
        ck_assert_int_eq(usher_holds_has(&holds, i), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("holds");
    TCase *tests = tcase_create("holds");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, rows);
    tcase_add_test(tests, full);
    tcase_add_test(tests, garbage);
    tcase_add_test(tests, kills);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
