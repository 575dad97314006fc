/* Numbers that are used once.
 *
 * Who finds no place with the number claims one, which says so; then looks at all places again, and
 * confirms his claim at last. Of two who claim at the same time, the one that came second sees the
 * other: if that one is confirmed, or lies before his own place, he gives up; if it lies behind
 * it, he takes it away, and the other one fails when he confirms. A claim whose process was killed stays until
 * it expires, and counts as used. */
#include "usher_nonces.h"

#include <string.h>

#define CLAIM (APR_UINT64_C(1) << 63)
#define HASH_BITS 49
#define HASH_MASK ((APR_UINT64_C(1) << HASH_BITS) - 1)
#define UNIT 32768 /* ms */
#define UNITS 0x3fff
#define LIFE_UNITS (USHER_NONCES_LIFE_MAX / UNIT + 2)
/* Others may take the place that was found free, over and over. */
#define TRIES 1000

_Static_assert(LIFE_UNITS < UNITS / 2, "what has expired is not taken for what lives");

/* One number's places, and what stands there when it is known. */
typedef struct {
    usher_nonces_t *nonces;
    _Atomic apr_uint64_t *places;
    apr_uint64_t word;
    unsigned int unit; /* now */
} nonces_try_t;

static unsigned int nonces_unit(apr_int64_t at)
{
    return (unsigned int)(at / UNIT) & UNITS;
}

static int nonces_is_live(apr_uint64_t word, unsigned int unit)
{
    unsigned int left = ((unsigned int)(word >> HASH_BITS) - unit) & UNITS;

    return word && left && left <= LIFE_UNITS;
}

static int nonces_is_same(const nonces_try_t *try, apr_uint64_t word)
{
    return !((word ^ try->word) & HASH_MASK) && nonces_is_live(word, try->unit);
}

static apr_uint64_t nonces_buckets(apr_uint64_t size)
{
    return (size - sizeof(usher_nonces_t)) / (USHER_NONCES_PLACES * sizeof(apr_uint64_t));
}

/* The bucket is in the upper bits of the hash, so that it is known where only the hash is. */
static _Atomic apr_uint64_t *nonces_places(usher_nonces_t *nonces, apr_uint64_t size, apr_uint64_t word)
{
    apr_uint64_t hash = (word & HASH_MASK) >> (HASH_BITS - 32);

    return nonces->places + (hash * nonces_buckets(size) >> 32) * USHER_NONCES_PLACES;
}

/* What stands in a place that was given back: no two of them are the same, so that nobody takes it for
 * what he saw there before. */
static apr_uint64_t nonces_cleared(nonces_try_t *try)
{
    return (apr_uint64_t)try->unit << HASH_BITS | (atomic_fetch_add(&try->nonces->cleared, 1) & HASH_MASK);
}

/* Claims a place. Returns its index, or -1: @a used tells whether the number is known. */
static int nonces_claim(nonces_try_t *try, int *used)
{
    int i, tries;

    *used = 0;
    for (tries = 0; tries < TRIES; ++tries) {
        apr_uint64_t was = 0;
        int free_place = -1;

        for (i = 0; i < USHER_NONCES_PLACES; ++i) {
            apr_uint64_t word = atomic_load(&try->places[i]);

            if (nonces_is_same(try, word)) {
                *used = 1;
                return -1;
            }
            if (free_place < 0 && !nonces_is_live(word, try->unit)) {
                free_place = i;
                was = word;
            }
        }
        if (free_place < 0) {
            return -1;
        }
        if (atomic_compare_exchange_strong(&try->places[free_place], &was, try->word | CLAIM)) {
            return free_place;
        }
    }
    return -1;
}

/* Whether somebody else has the number, or will: one who lies behind us will not. */
static int nonces_is_others(nonces_try_t *try, int mine)
{
    int i;

    for (i = 0; i < USHER_NONCES_PLACES; ++i) {
        apr_uint64_t word = atomic_load(&try->places[i]);

        while (i != mine && nonces_is_same(try, word)) {
            if (!(word & CLAIM) || i < mine) {
                return 1;
            }
            if (atomic_compare_exchange_strong(&try->places[i], &word, nonces_cleared(try))) {
                break;
            }
        }
    }
    return 0;
}

static usher_nonces_e nonces_enter(nonces_try_t *try)
{
    int used, mine = nonces_claim(try, &used);
    apr_uint64_t claim = try->word | CLAIM;

    if (mine < 0) {
        return used ? USHER_NONCES_USED : USHER_NONCES_FULL;
    }
    if (nonces_is_others(try, mine)) {
        atomic_compare_exchange_strong(&try->places[mine], &claim, nonces_cleared(try));
        return USHER_NONCES_USED;
    }
    return atomic_compare_exchange_strong(&try->places[mine], &claim, try->word) ? USHER_NONCES_NEW
                                                                                 : USHER_NONCES_USED;
}

usher_nonces_e usher_nonces_use(usher_nonces_t *nonces, apr_uint64_t size,
                                const unsigned char id[USHER_NONCES_ID_SIZE], apr_int64_t now,
                                apr_int64_t life)
{
    usher_siphash_t hash = usher_siphash(nonces->secret, id, USHER_NONCES_ID_SIZE);
    nonces_try_t try = { nonces, NULL, 0, nonces_unit(now) };

    life = life < 0 ? 0 : life > USHER_NONCES_LIFE_MAX ? USHER_NONCES_LIFE_MAX : life;
    try.word = (hash.word[0] & HASH_MASK) | (apr_uint64_t)((nonces_unit(now + life) + 1) & UNITS) << HASH_BITS;
    try.places = nonces_places(nonces, size, try.word);
    return nonces_enter(&try);
}

void usher_nonces_carry(usher_nonces_t *to, apr_uint64_t to_size, const usher_nonces_t *from,
                        apr_uint64_t from_size, apr_int64_t now, apr_uint64_t *kept,
                        apr_uint64_t *dropped)
{
    apr_uint64_t i, count = nonces_buckets(from_size) * USHER_NONCES_PLACES;

    memcpy(to->secret, from->secret, sizeof(to->secret));
    *kept = *dropped = 0;
    for (i = 0; i < count; ++i) {
        nonces_try_t try = { to, NULL, atomic_load(&from->places[i]) & ~CLAIM, nonces_unit(now) };

        if (nonces_is_live(try.word, try.unit)) {
            try.places = nonces_places(to, to_size, try.word);
            if (nonces_enter(&try) == USHER_NONCES_FULL) {
                ++*dropped;
            }
            else {
                ++*kept;
            }
        }
    }
}

apr_uint64_t usher_nonces_count(const usher_nonces_t *nonces, apr_uint64_t size, apr_int64_t now,
                                apr_uint64_t *places)
{
    apr_uint64_t i, count = 0;

    *places = nonces_buckets(size) * USHER_NONCES_PLACES;
    for (i = 0; i < *places; ++i) {
        count += (apr_uint64_t)nonces_is_live(atomic_load(&nonces->places[i]), nonces_unit(now));
    }
    return count;
}
