/* What an operation of the table takes: table_bench PLACES FILL WHAT, with FILL in percent and
 * WHAT hit, miss, touch, put or hash. Prints nanoseconds of CPU time for one, the median of
 * some rounds, and how many were measured. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "usher_table.h"

enum { VALUE = 16, ROUNDS = 9, ID_SIZE = 32 };
enum { HIT, MISS, TOUCH, PUT, HASH, OPERATIONS };

static const char *const names[] = { "hit", "miss", "touch", "put", "hash" };

#define NOW ((apr_int64_t)7200000)
#define HOUR ((apr_int64_t)3600000)

static usher_table_t table;
static usher_table_space_t space;
static usher_table_key_t *keys;
static apr_int64_t life = HOUR;
static volatile apr_uint64_t sum;
static unsigned int seed;

/* As session ids are: 32 digits, none like the other */
static usher_table_key_t key_of(apr_uint64_t n)
{
    char text[ID_SIZE + 1];

    apr_uint64_t spread = n * 0x9e3779b97f4a7c15;

    snprintf(text, sizeof(text), "%016" APR_UINT64_T_HEX_FMT "%016" APR_UINT64_T_HEX_FMT, spread,
             n);
    return usher_table_key(&space, text, ID_SIZE);
}

/* A function of its own: t/bench/table has valgrind count in it alone. */
static __attribute__((noinline)) void measure(int what, apr_uint64_t count)
{
    char value[VALUE] = { 0 }, id[ID_SIZE] = { 0 };
    apr_uint64_t i;

    for (i = 0; i < count; ++i) {
        if (what == HASH) {
            id[i % ID_SIZE] = (char)i;
            sum += usher_table_key(&space, id, ID_SIZE).word[0];
        }
        else if (what == PUT) {
            usher_table_put(&table, &keys[i], NOW, life, value);
        }
        else {
            sum += (apr_uint64_t)usher_table_get(&table, &keys[i], NOW, life, value);
        }
    }
}

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* One in fifty of the places, so that entering them changes little. */
static double round_of(int what, apr_uint64_t entries, apr_uint64_t count)
{
    apr_uint64_t i;
    double from;

    for (i = 0; i < count; ++i) {
        apr_uint64_t n = (apr_uint64_t)rand_r(&seed) << 24 ^ (apr_uint64_t)rand_r(&seed);

        keys[i] = key_of(what == MISS || what == PUT ? entries + n : n % entries);
    }
    life += what == TOUCH ? HOUR : 0;
    from = now_ns();
    measure(what, count);
    from = now_ns() - from;
    for (i = 0; i < count && what == PUT; ++i) {
        usher_table_remove(&table, &keys[i], NOW);
    }
    return from / (double)count;
}

static void fill(apr_uint64_t places, apr_uint64_t entries)
{
    apr_uint64_t size = USHER_TABLE_HEADER_SIZE
                        + places / USHER_TABLE_PLACES * USHER_TABLE_BUCKET_SIZE(VALUE), n;
    void *memory = aligned_alloc(64, size);
    char value[VALUE] = { 0 };

    memset(memory, 0, size);
    usher_table_open(&table, memory, size, VALUE, 24 * HOUR);
    usher_table_init(&table, (const unsigned char *)"0123456789abcdef");
    space = usher_table_space(&table, "bench", 5);
    for (n = 0; n < entries; ++n) {
        usher_table_key_t key = key_of(n);

        usher_table_put(&table, &key, NOW, life, value);
    }
}

int main(int argc, char **argv)
{
    apr_uint64_t places = argc == 4 ? strtoull(argv[1], NULL, 10) : 0, count = places / 50;
    apr_uint64_t entries = argc == 4 ? places * strtoull(argv[2], NULL, 10) / 100 : 0;
    int rounds = getenv("BENCH_ONCE") ? 1 : ROUNDS, round, what = 0;
    double took[ROUNDS];

    while (argc == 4 && what < OPERATIONS && strcmp(argv[3], names[what]) != 0) {
        ++what;
    }
    if (!count || !entries || what == OPERATIONS) {
        fprintf(stderr, "usage: table_bench PLACES FILL hit|miss|touch|put|hash\n");
        return 1;
    }
    fill(places, entries);
    keys = calloc(count, sizeof(*keys));
    seed = 1;
    for (round = 0; round < rounds; ++round) {
        took[round] = round_of(what, entries, count);
    }
    qsort(took, (size_t)rounds, sizeof(*took), by_size);
    printf("%.0f %llu\n", took[rounds / 2], (unsigned long long)count);
    return 0;
}
