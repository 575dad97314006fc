/* The table under eight processes that enter, change, read and remove, while a ninth kills
 * them at random and starts others, and stops some for longer than a claim is believed. No
 * value is ever found that does not belong to its key, and in the end nothing is stuck.
 * Six seconds at least; a minute with USHER_LONG=1. */
#include "unit.h"
#include "hammer.h"
#include <apr_errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "usher_clock.h"
#include "usher_table.h"

enum { WORKERS = 8, KEYS = 3000, BUCKETS = 256, HOUR = 3600000 };

typedef struct {
    apr_uint64_t id, version, product, end;
} value_t;

typedef struct {
    _Atomic apr_uint64_t wrong, found, entered;
} result_t;

static usher_table_t table;
static usher_table_space_t space;
static result_t *result;

static apr_int64_t now_ms(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

static value_t value_of(apr_uint64_t id, apr_uint64_t version)
{
    return (value_t){ id, version, (id + 1) * (version + 1), ~id ^ version };
}

static usher_table_key_t key_of(apr_uint64_t id)
{
    return usher_table_key(&space, &id, sizeof(id));
}

/* @return whether it is there; counted where it is not its own */
static int look(apr_uint64_t id, apr_int64_t now)
{
    usher_table_key_t key = key_of(id);
    value_t v, expected;

    if (!usher_table_get(&table, &key, now, id % 2 ? HOUR : 0, &v)) {
        return 0;
    }
    expected = value_of(id, v.version);
    result->wrong += memcmp(&v, &expected, sizeof(v)) != 0;
    ++result->found;
    return 1;
}

static int enter(apr_uint64_t id, apr_uint64_t version, apr_int64_t now)
{
    usher_table_key_t key = key_of(id);
    value_t v = value_of(id, version);

    return usher_table_put(&table, &key, now, HOUR, &v) != USHER_TABLE_BUSY;
}

static void work(unsigned int seed)
{
    for (;;) {
        apr_uint64_t id = (apr_uint64_t)rand_r(&seed) % KEYS;
        apr_int64_t now = now_ms();

        switch (rand_r(&seed) % 8) {
        case 0: {
            usher_table_key_t key = key_of(id);

            usher_table_remove(&table, &key, now);
            break;
        }
        case 1:
        case 2:
        case 3:
            result->entered += (apr_uint64_t)enter(id, (apr_uint64_t)rand_r(&seed), now);
            break;
        default:
            look(id, now);
        }
    }
}

/* Places whose writer was killed. */
static int claimed(void)
{
    int i, n = 0;

    for (i = 0; i < BUCKETS * USHER_TABLE_PLACES; ++i) {
        const _Atomic apr_uint64_t *words =
            (const void *)(table.buckets + (size_t)(i / USHER_TABLE_PLACES) * table.bucket_size);

        n += (words[i % USHER_TABLE_PLACES] >> 46 & 3) == 2;
    }
    return n;
}

/* Some were killed while they wrote: else this shows nothing. */
static int is_enough(int kills, int left)
{
    return kills > 20 && left > 0 && result->entered > 10000 && result->found > 10000;
}

static void hammer(void)
{
    hammer_t until = hammer_begin(6, 60);
    pid_t workers[WORKERS], stopped = 0;
    apr_int64_t stopped_at = 0;
    unsigned int seed = 1;
    int i, kills = 0, left = 0, n;

    for (i = 0; i < WORKERS; ++i) {
        workers[i] = hammer_start(work, seed++);
    }
    while (hammer_on(&until, is_enough(kills, left))) {
        usleep((useconds_t)rand_r(&seed) % 4000);
        i = rand_r(&seed) % WORKERS;
        if (stopped && now_ms() - stopped_at > 1200) {
            kill(stopped, SIGCONT);
            stopped = 0;
        }
        if (workers[i] == stopped) {
            continue;
        }
        if (!stopped) {
            stopped = workers[i];
            stopped_at = now_ms();
            kill(stopped, SIGSTOP);
            continue;
        }
        hammer_end(workers[i]);
        workers[i] = hammer_start(work, seed++);
        ++kills;
        n = claimed();
        left = n > left ? n : left;
    }
    for (i = 0; i < WORKERS; ++i) {
        hammer_end(workers[i]);
    }
    ck_assert_msg(is_enough(kills, left), "%d killed, %d claims left, %d entered, %d found", kills,
                  left, (int)result->entered, (int)result->found);
}

START_TEST(kills)
{
    size_t size = USHER_TABLE_HEADER_SIZE + BUCKETS * USHER_TABLE_BUCKET_SIZE(sizeof(value_t));
    char *memory = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    apr_int64_t now;
    apr_uint64_t id, entered = 0, there = 0;

    ck_assert_ptr_ne(memory, MAP_FAILED);
    result = (void *)memory;
    usher_table_open(&table, memory + 4096, size, sizeof(value_t), HOUR);
    usher_table_init(&table, (const unsigned char *)"0123456789abcdef");
    space = usher_table_space(&table, "hammer", 6);

    hammer();
    now = now_ms();
    for (id = 0; id < KEYS; ++id) {
        there += (apr_uint64_t)look(id, now);
    }
    ck_assert_uint_gt(there, KEYS / 10);
    ck_assert_uint_eq(result->wrong, 0);

    /* A second later all places serve again. */
    now += 1001;
    for (id = KEYS; id < KEYS + 100000; ++id) {
        entered += (apr_uint64_t)enter(id, id, now);
        there = (apr_uint64_t)look(id, now);
        ck_assert_uint_eq(there, 1);
    }
    ck_assert_uint_eq(entered, 100000);
    ck_assert_uint_eq(usher_table_stats(&table, now).used, BUCKETS * USHER_TABLE_PLACES);
    ck_assert_uint_eq(result->wrong, 0);
    munmap(memory, size + 4096);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("table_hammer");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, kills);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
