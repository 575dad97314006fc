/* Sliding windows.
 *
 * A key's word has 40 bits of its keyed hash and 24 of when its window is over, in seconds (of 1,024 ms). A part's word
 * has which part of time it is of (16 bits), 12 bits of the key's hash, and the sum: so what is left of
 * an older part, or of the key that had the place before, is no part of the sum, and nobody has to wipe
 * it. Two who enter one key at the same time may take two places: amounts go to the first, sums are of both. */
#include "usher_windows.h"

#include <string.h>

#define OVER_BITS 24
#define OVER_MASK ((APR_UINT64_C(1) << OVER_BITS) - 1)
#define SECOND 1024 /* ms */
#define SUM_BITS 36
#define SUM_MASK USHER_WINDOWS_PART_MAX
#define OWNER(hash) ((hash) >> OVER_BITS & 0xfff)
/* Others may take the place that was chosen: so often another one is looked for. */
#define TRIES 16

_Static_assert(USHER_WINDOWS_MAX / SECOND < (1 << OVER_BITS) / 4, "what is over is told from what is not");

/* One key at one time. */
typedef struct {
    usher_windows_bucket_t *bucket;
    apr_uint64_t hash;   /* 40 bits, in their place */
    apr_uint64_t second; /* now */
} windows_try_t;

static windows_try_t windows_try(usher_windows_t *windows, apr_uint64_t size, apr_uint64_t hash, apr_int64_t now)
{
    apr_uint64_t count = (size - sizeof(usher_windows_t)) / sizeof(usher_windows_bucket_t);
    windows_try_t try = { NULL, hash & ~OVER_MASK, (apr_uint64_t)now / SECOND };

    /* By the upper bits, which are known where only the word is. */
    try.bucket = &windows->buckets[(hash >> 32) * count >> 32];
    return try;
}

/* Seconds until a window is over; 0: it is */
static apr_uint64_t windows_left(apr_uint64_t word, apr_uint64_t second)
{
    apr_uint64_t left = (word - second) & OVER_MASK;

    return word && left <= OVER_MASK / 2 ? left : 0;
}

static int windows_is_mine(const windows_try_t *try, apr_uint64_t word)
{
    return word && (word & ~OVER_MASK) == try->hash;
}

/* A new key, where a window is over, or is first. @return its place; -1: others are faster all the time */
static int windows_claim(const windows_try_t *try, apr_uint64_t over, int *evicts)
{
    int i, tries;

    for (tries = 0; tries < TRIES; ++tries) {
        apr_uint64_t best_left = OVER_MASK, best_word = 0;
        int best = 0;

        for (i = 0; i < USHER_WINDOWS_PLACES; ++i) {
            apr_uint64_t word = atomic_load(&try->bucket->keys[i]), left = windows_left(word, try->second);

            if (windows_is_mine(try, word)) {
                *evicts = 0;
                return i;
            }
            if (left < best_left) {
                best = i;
                best_left = left;
                best_word = word;
            }
        }
        *evicts = best_left > 0;
        if (atomic_compare_exchange_strong(&try->bucket->keys[best], &best_word, try->hash | (over & OVER_MASK))) {
            return best;
        }
    }
    return -1;
}

/* The key's first place; its window is over later now. Written when an eighth of the window has passed, or
 * a second. Who changed it meanwhile has done the same, or taken the place. */
static int windows_find(const windows_try_t *try, apr_uint64_t over, apr_int64_t within)
{
    int i;

    for (i = 0; i < USHER_WINDOWS_PLACES; ++i) {
        apr_uint64_t word = atomic_load_explicit(&try->bucket->keys[i], memory_order_relaxed);

        if (windows_is_mine(try, word)) {
            apr_uint64_t gained = (over - word) & OVER_MASK;

            if (gained && gained >= (apr_uint64_t)within / SECOND / USHER_WINDOWS_PARTS) {
                atomic_compare_exchange_strong(&try->bucket->keys[i], &word, try->hash | (over & OVER_MASK));
            }
            return i;
        }
    }
    return -1;
}

/* What a part's word begins with at a time. */
static apr_uint64_t windows_part(const windows_try_t *try, apr_int64_t part)
{
    return ((apr_uint64_t)(part / USHER_WINDOWS_PARTS) & 0xffff) << 48 | OWNER(try->hash) << SUM_BITS;
}

static void windows_add_part(_Atomic apr_uint64_t *at, apr_uint64_t part, apr_uint64_t amount)
{
    apr_uint64_t word = atomic_load_explicit(at, memory_order_relaxed), sum;

    do {
        sum = (word & ~SUM_MASK) == part ? word & SUM_MASK : 0;
        sum = amount < SUM_MASK - sum ? sum + amount : SUM_MASK;
    } while (!atomic_compare_exchange_weak(at, &word, part | sum));
}

static apr_uint64_t windows_sum(const windows_try_t *try, apr_int64_t part)
{
    apr_uint64_t sum = 0;
    apr_int64_t at;
    int i;

    for (i = 0; i < USHER_WINDOWS_PLACES; ++i) {
        if (windows_is_mine(try, atomic_load_explicit(&try->bucket->keys[i], memory_order_relaxed))) {
            for (at = part; at > part - USHER_WINDOWS_PARTS && at >= 0; --at) {
                apr_uint64_t word = atomic_load(&try->bucket->parts[i][at % USHER_WINDOWS_PARTS]);

                sum += (word & ~SUM_MASK) == windows_part(try, at) ? word & SUM_MASK : 0;
            }
        }
    }
    return sum;
}

apr_uint64_t usher_windows_add(usher_windows_t *windows, apr_uint64_t size, const void *key,
                               apr_size_t len, apr_uint64_t amount, apr_int64_t now,
                               apr_int64_t within)
{
    usher_siphash_t hash = usher_siphash(windows->secret, key, len);
    windows_try_t try = windows_try(windows, size, hash.word[0], now);
    apr_uint64_t over = (apr_uint64_t)(now + within) / SECOND + 1;
    apr_int64_t part = now / (within / USHER_WINDOWS_PARTS);
    int evicts = 0, place = windows_find(&try, over, within);

    if (place < 0) {
        place = windows_claim(&try, over, &evicts);
    }
    if (evicts) {
        atomic_fetch_add_explicit(&windows->evicted, 1, memory_order_relaxed);
    }
    if (place < 0) {
        return amount;
    }
    windows_add_part(&try.bucket->parts[place][part % USHER_WINDOWS_PARTS], windows_part(&try, part), amount);
    return windows_sum(&try, part);
}

void usher_windows_clear(usher_windows_t *windows, apr_uint64_t size, const void *key, apr_size_t len,
                         apr_int64_t now)
{
    usher_siphash_t hash = usher_siphash(windows->secret, key, len);
    windows_try_t try = windows_try(windows, size, hash.word[0], now);
    int i, part;

    for (i = 0; i < USHER_WINDOWS_PLACES; ++i) {
        if (windows_is_mine(&try, atomic_load_explicit(&try.bucket->keys[i], memory_order_relaxed))) {
            for (part = 0; part < USHER_WINDOWS_PARTS; ++part) {
                atomic_store(&try.bucket->parts[i][part], 0);
            }
        }
    }
}

/* The other place's parts: nobody else sees the new memory yet. */
static void windows_copy(const windows_try_t *to, int place, const usher_windows_bucket_t *from, int from_place)
{
    int part;

    for (part = 0; part < USHER_WINDOWS_PARTS; ++part) {
        atomic_store(&to->bucket->parts[place][part], atomic_load(&from->parts[from_place][part]));
    }
}

void usher_windows_carry(usher_windows_t *to, apr_uint64_t to_size, const usher_windows_t *from,
                         apr_uint64_t from_size, apr_int64_t now, apr_uint64_t *kept,
                         apr_uint64_t *dropped)
{
    apr_uint64_t i, places = (from_size - sizeof(usher_windows_t)) / sizeof(usher_windows_bucket_t)
                             * USHER_WINDOWS_PLACES;

    memcpy(to->secret, from->secret, sizeof(to->secret));
    *kept = *dropped = 0;
    for (i = 0; i < places; ++i) {
        const usher_windows_bucket_t *bucket = &from->buckets[i / USHER_WINDOWS_PLACES];
        apr_uint64_t word = atomic_load(&bucket->keys[i % USHER_WINDOWS_PLACES]);
        windows_try_t try = windows_try(to, to_size, word, now);
        int evicts = 0, place;

        place = windows_left(word, try.second) ? windows_claim(&try, word, &evicts) : -1;
        if (place >= 0) {
            windows_copy(&try, place, bucket, (int)(i % USHER_WINDOWS_PLACES));
            *kept += !evicts;
            *dropped += (apr_uint64_t)evicts;
        }
    }
}
