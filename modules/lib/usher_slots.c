#include "usher_slots.h"

/* An index throws for the nth time at the time n / weight, in these parts. */
#define PARTS_BITS 24

/* Rounds are so long that about a quarter of the slots' number of throws is made in
 * each. After so many a slot without an owner would be a wonder (e^-100). */
#define ROUNDS_MAX 400

#define NOBODY ((apr_uint32_t)-1)

static apr_uint32_t slots_throw(apr_uint64_t seed, apr_uint64_t n)
{
    apr_uint64_t at = seed + n * 0x9e3779b97f4a7c15u;

    at = (at ^ at >> 30) * 0xbf58476d1ce4e5b9u;
    at = (at ^ at >> 27) * 0x94d049bb133111ebu;
    return (apr_uint32_t)((at ^ at >> 31) & (USHER_SLOTS - 1));
}

/* The throws of one index between two times. @return how many slots are new */
static apr_uint32_t slots_round(apr_uint32_t *owners, apr_uint64_t *times, const apr_uint64_t *seeds,
                                apr_uint32_t i, apr_uint64_t weight, apr_uint64_t begin,
                                apr_uint64_t end)
{
    apr_uint64_t n = (begin * weight >> PARTS_BITS) + 1, last = end * weight >> PARTS_BITS;
    apr_uint32_t filled = 0;

    for (; n <= last; ++n) {
        apr_uint32_t slot = slots_throw(seeds[i], n);
        apr_uint64_t time = (n << PARTS_BITS) / weight;

        filled += owners[slot] == NOBODY;
        if (owners[slot] == NOBODY || time < times[slot]
            || (time == times[slot] && seeds[i] < seeds[owners[slot]])) {
            owners[slot] = i;
            times[slot] = time;
        }
    }
    return filled;
}

void usher_slots_make(apr_uint32_t *owners, apr_uint64_t *times, const apr_uint64_t *seeds,
                      const apr_uint32_t *weights, apr_uint32_t n)
{
    apr_uint64_t sum = 0, step, round;
    apr_uint32_t filled = 0, i;

    for (i = 0; i < USHER_SLOTS; ++i) {
        owners[i] = NOBODY;
    }
    for (i = 0; i < n; ++i) {
        sum += weights[i];
    }
    step = ((apr_uint64_t)USHER_SLOTS / 4 << PARTS_BITS) / sum + 1;
    for (round = 0; filled < USHER_SLOTS && round < ROUNDS_MAX; ++round) {
        for (i = 0; i < n; ++i) {
            filled += slots_round(owners, times, seeds, i, weights[i], round * step,
                                  (round + 1) * step);
        }
    }
    for (i = 0; filled < USHER_SLOTS && i < USHER_SLOTS; ++i) {
        owners[i] = owners[i] == NOBODY ? i % n : owners[i];
    }
}
