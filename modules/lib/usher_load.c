#include "usher_load.h"

#define UNITS 16 /* of a microsecond */
#define TIME_MAX (((apr_uint64_t)1 << 32) - 1)

/* After so many ms a time counts half. */
#define HALF_LIFE 8192
#define AHEAD_MAX 10000

/* Times below this are alike, whatever the server does. */
#define ALIKE ((apr_uint64_t)10000 * UNITS)

/* One answer raises the time to its own, but not further than to twice of it and this:
 * one slow page does not condemn its server, a slow server is known after a few. */
#define RISE (2 * ALIKE)

/* What is left of a time: half after each half-life, in a straight line between. */
static apr_uint64_t load_left(apr_uint64_t time, apr_uint32_t age)
{
    apr_uint32_t halves = age / HALF_LIFE;

    if (halves >= 32) {
        return 0;
    }
    time >>= halves;
    return time - time * (age % HALF_LIFE) / ((apr_uint64_t)2 * HALF_LIFE);
}

/* How old a word is, ms. Threads that read the clock and then waited for a processor
 * see words from a little ahead of them. */
static apr_uint32_t load_age(apr_uint64_t word, apr_int64_t now)
{
    apr_uint32_t age = (apr_uint32_t)now - (apr_uint32_t)word;

    return age > (apr_uint32_t)-AHEAD_MAX ? 0 : age;
}

void usher_load_answered(usher_load_t *load, apr_int64_t waited, apr_int64_t now)
{
    apr_uint64_t word = atomic_load_explicit(&load->word, memory_order_relaxed);
    apr_uint64_t time = word >> 32, next = waited > 0 ? (apr_uint64_t)waited : 0;
    apr_uint32_t age = load_age(word, now);

    next = next < TIME_MAX / UNITS ? next * UNITS : TIME_MAX;
    if (next > time) {
        next = next < 2 * time + RISE ? next : 2 * time + RISE;
    }
    else {
        next = load_left(time, age) + next - load_left(next, age);
    }
    if (next > TIME_MAX) {
        next = TIME_MAX;
    }
    /* Who was faster has said as much. */
    atomic_compare_exchange_strong_explicit(&load->word, &word, next << 32 | (apr_uint32_t)now,
                                            memory_order_relaxed, memory_order_relaxed);
}

unsigned int usher_load_share(const usher_load_t *load, apr_uint32_t best, apr_int64_t now)
{
    apr_uint64_t word = atomic_load_explicit(&load->word, memory_order_relaxed);
    apr_uint64_t time = word >> 32, share;

    if (time <= best) {
        return USHER_LOAD_SHARE;
    }
    time = best + load_left(time - best, load_age(word, now));
    share = 2 * USHER_LOAD_SHARE * (best + ALIKE) / (time + ALIKE);
    return share > USHER_LOAD_SHARE ? USHER_LOAD_SHARE
           : share < USHER_LOAD_SHARE_MIN ? USHER_LOAD_SHARE_MIN : (unsigned int)share;
}
