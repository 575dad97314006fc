/* What a lookup in a database takes: geo_bench FILE PATH..., with paths such as country/iso_code.
 * Asks for addresses of IPv4 that the database has. Prints nanoseconds of CPU time for one, the
 * median of some rounds, and how many were measured. */
#include <apr_general.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "geo_read.h"

enum { ADDRESSES = 20000, ROUNDS = 9, VALUES = 16 };

static MMDB_s mmdb;
static usher_cidr_address_t addresses[ADDRESSES];
static geo_path_t paths[VALUES];
static int count;
static apr_pool_t *pool;
static volatile int sum;

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* A function of its own: t/bench/geo has valgrind count in it alone. */
static __attribute__((noinline)) void measure(int n)
{
    geo_value_t values[VALUES];
    int i;

    for (i = 0; i < count; ++i) {
        values[i].path = &paths[i];
    }
    for (i = 0; i < n; ++i) {
        sum += (int)geo_read(&mmdb, addresses[i], values, count, NULL, pool);
        apr_pool_clear(pool);
    }
}

static int by_number(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static int choose(void)
{
    apr_uint64_t seed = 1;
    int n = 0, tries;

    for (tries = 0; n < ADDRESSES && tries < 100 * ADDRESSES; ++tries) {
        seed = seed * APR_UINT64_C(6364136223846793005) + APR_UINT64_C(1442695040888963407);
        addresses[n].high = 0;
        addresses[n].low = APR_UINT64_C(0xffff00000000) | seed >> 32;
        n += geo_read(&mmdb, addresses[n], NULL, 0, NULL, pool) == GEO_FOUND;
    }
    return n;
}

int main(int argc, char **argv)
{
    double rounds[ROUNDS], before;
    int i, n;

    if (argc < 2 || argc > 2 + VALUES || apr_initialize()
        || MMDB_open(argv[1], MMDB_MODE_MMAP, &mmdb) != MMDB_SUCCESS) {
        return 1;
    }
    apr_pool_create(&pool, NULL);
    for (count = 0; count < argc - 2; ++count) {
        char *part = strtok(argv[2 + count], "/");

        for (i = 0; part && i < GEO_PATH_MAX; ++i) {
            paths[count].parts[i] = part;
            part = strtok(NULL, "/");
        }
    }
    n = choose();
    if (!n) {
        return 1;
    }
    measure(n);
    for (i = 0; i < (getenv("BENCH_ONCE") ? 0 : ROUNDS); ++i) {
        before = now_ns();
        measure(n);
        rounds[i] = (now_ns() - before) / n;
    }
    qsort(rounds, (size_t)i, sizeof(rounds[0]), by_number);
    printf("%.0f %d\n", i ? rounds[i / 2] : 0.0, n);
    return 0;
}
