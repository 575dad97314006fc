/* What looking an address up in the jail takes: ban_bench BANS LENGTHS WHAT, with as many bans of LENGTHS different lengths
 * of IPv4 prefixes (1 to 4: /32, /24, /28, /20), and WHAT hit, miss or count (an event of a rule). Prints nanoseconds
 * of CPU time for one, the median of some rounds, and how many were measured. */
#include <stdio.h>
#include <time.h>

#include "bancore.h"
#include "usher_table.h"

enum { ROUNDS = 9, COUNT = 20000, HOUR = 3600000 };
enum { HIT, MISS, COUNTS, OPERATIONS };

static const char *const names[] = { "hit", "miss", "count" };
static const unsigned char lengths[] = { 128, 120, 124, 116 };

static usher_cidr_address_t addresses[COUNT];
static volatile apr_uint64_t sum;
static unsigned int seed = 1;

/* A function of its own: t/bench/ban has valgrind count in it alone. */
static __attribute__((noinline)) void measure(int what)
{
    ban_t ban;
    int i;

    for (i = 0; i < COUNT; ++i) {
        if (what == COUNTS) {
            ban_prefix_t prefix = ban_prefix_of(addresses[i], 128);

            sum += ban_count_add(1, &prefix, 1, HOUR);
        }
        else {
            sum += (apr_uint64_t)ban_jail_find(addresses[i], &ban);
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

/* The numbers below 2^24 are those that are banned: all in 16.0.0.0/4, one of each /20. */
static usher_cidr_address_t address_of(apr_uint64_t n)
{
    return (usher_cidr_address_t) { 0, APR_UINT64_C(0xffff10000000) + n * 16 % 0x10000000 };
}

static void fill(apr_uint64_t bans, unsigned int kinds)
{
    apr_uint64_t n;

    for (n = 0; n < bans; ++n) {
        ban_t ban = { .prefix = ban_prefix_of(address_of(n), n < kinds ? lengths[n] : 128), .since = unit_now,
                      .until = unit_now + HOUR, .forget_at = unit_now + 2 * HOUR, .events = 5, .times = 1,
                      .name = "bench", .why = "GET /wp-login.php 404 www.example.com" };

        if (ban_jail_put(&ban) == BAN_JAIL_FULL) {
            fprintf(stderr, "no room for %" APR_UINT64_T_FMT " bans\n", n);
            exit(1);
        }
    }
}

static double round_of(int what, apr_uint64_t bans)
{
    double from;
    int i;

    for (i = 0; i < COUNT; ++i) {
        apr_uint64_t n = (apr_uint64_t)rand_r(&seed) << 16 ^ (apr_uint64_t)rand_r(&seed);

        addresses[i] = address_of(n % bans);
        addresses[i].low |= what == HIT ? 0 : 1 + n % 15;
        addresses[i].low += what == HIT ? 0 : 0x40000000;
    }
    from = now_ns();
    measure(what);
    return (now_ns() - from) / COUNT;
}

int main(int argc, char **argv)
{
    apr_uint64_t bans = argc == 4 ? strtoull(argv[1], NULL, 10) : 0;
    unsigned int kinds = argc == 4 ? (unsigned int)atoi(argv[2]) : 0;
    int rounds = getenv("BENCH_ONCE") ? 1 : ROUNDS, round, what = 0;
    double took[ROUNDS];

    while (argc == 4 && what < OPERATIONS && strcmp(argv[3], names[what]) != 0) {
        ++what;
    }
    if (bans < 4 || !kinds || kinds > sizeof(lengths) || what == OPERATIONS) {
        fprintf(stderr, "usage: ban_bench BANS LENGTHS hit|miss|count\n");
        return 1;
    }
    unit_memory = unit_heap;
    unit_jail((bans * 200 + 1024 * 1024) / 64 * 64, 8 * 1024 * 1024);
    fill(bans, kinds);
    for (round = 0; round < rounds; ++round) {
        took[round] = round_of(what, bans);
    }
    qsort(took, (size_t)rounds, sizeof(*took), by_size);
    printf("%.0f %d\n", took[rounds / 2], COUNT);
    unit_jail_free();
    return 0;
}
