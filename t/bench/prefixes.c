/* What a file of prefixes costs, by how many it has: reading and judging it, the memory of its set,
 * and a look into that. Half of them are IPv4 /24 to /32, half IPv6 /48 and /64. A table for
 * docs/benchmarks.md; CPU time, the median of some rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "usher_cidr_list.h"

enum { ROUNDS = 9, LOOKS = 200000, LINE = 48 };

static volatile int sum;

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

static apr_uint64_t next(apr_uint64_t *seed)
{
    *seed += 0x9e3779b97f4a7c15;
    return (*seed ^ *seed >> 29) * 0xbf58476d1ce4e5b9;
}

/* @return bytes of the file */
static size_t write_file(char *text, size_t count)
{
    apr_uint64_t seed = 1;
    size_t i, len = 0;

    for (i = 0; i < count; ++i) {
        apr_uint64_t n = next(&seed);

        if (i % 2) {
            len += (size_t)snprintf(text + len, LINE, "2001:%x:%x:%s/%d\n", (unsigned int)(n >> 48),
                                    (unsigned int)(n >> 16 & 0xffff) | 1,
                                    n & 1 ? ":" : "1::", n & 1 ? 48 : 64);
        }
        else {
            len += (size_t)snprintf(text + len, LINE, "%d.%d.%d.0/24\n", (int)(n >> 56) % 223 + 1,
                                    (int)(n >> 40) & 255, (int)(n >> 24) & 255);
        }
    }
    return len;
}

/* @return of one, ns */
static double looks(const usher_cidr_set_t *set)
{
    static usher_cidr_address_t addresses[LOOKS];
    double times[ROUNDS], from;
    apr_uint64_t seed = 7;
    int i, round;

    for (i = 0; i < LOOKS; ++i) {
        apr_uint64_t n = next(&seed);

        /* Every other one is in it. */
        addresses[i] = i % 2 && set->count ? set->ranges[n % set->count].first
                     : i % 4 ? (usher_cidr_address_t) { n | (apr_uint64_t)0x2001 << 48, 1 }
                             : (usher_cidr_address_t) { 0, APR_UINT64_C(0xffff00000000) | n >> 32 };
    }
    for (round = 0; round < ROUNDS; ++round) {
        from = now_ns();
        for (i = 0; i < LOOKS; ++i) {
            sum += usher_cidr_set_has(set, addresses[i]);
        }
        times[round] = (now_ns() - from) / LOOKS;
    }
    qsort(times, ROUNDS, sizeof(*times), by_size);
    return times[ROUNDS / 2];
}

static void measure(size_t count)
{
    char *text = malloc(count * LINE + LINE);
    size_t len = write_file(text, count), read;
    usher_cidr_range_t *ranges = malloc(count * sizeof(*ranges));
    usher_cidr_set_t *set = malloc(usher_cidr_set_size(count));
    usher_cidr_wrong_t wrong;
    double from = now_ns(), took;

    if (!usher_cidr_list_read(text, len, 1, NULL, &read, &wrong)
        || !usher_cidr_list_read(text, len, 1, ranges, &read, &wrong)) {
        printf("line %d: %s\n", (int)wrong.line, wrong.text);
        exit(1);
    }
    usher_cidr_set_make(set, ranges, read);
    took = now_ns() - from;
    printf("| %d | %.1f | %.0f | %.1f | %.0f |\n", (int)count, (double)len / 1e6, took / 1e6,
           (double)usher_cidr_set_size((size_t)set->count) / 1e6, looks(set));
    free(set);
    free(ranges);
    free(text);
}

int main(void)
{
    static const size_t counts[] = { 100, 1000, 10000, 100000, 1000000 };
    size_t i;

    printf("| Prefixes | file, MB | read and judged, ms | set, MB | a look, ns |\n"
           "| ---: | ---: | ---: | ---: | ---: |\n");
    for (i = 0; i < sizeof(counts) / sizeof(*counts); ++i) {
        measure(counts[i]);
    }
    return 0;
}
