/* Count-min sketches, one for each minute. */
#include "usher_shares.h"

#define MINUTE 60000

static apr_uint64_t shares_minute(apr_int64_t now)
{
    return (now > 0 ? (apr_uint64_t)now / MINUTE : 0) + 1;
}

/* 16 bits of it for each row. */
static apr_uint64_t shares_hash(const usher_shares_t *shares, apr_uint64_t who)
{
    who ^= shares->key;
    who = (who ^ who >> 32) * 0xd6e8feb86659fd93u;
    who = (who ^ who >> 32) * 0xd6e8feb86659fd93u;
    return who ^ who >> 32;
}

static unsigned int shares_column(apr_uint64_t hash, int row)
{
    return (unsigned int)(hash >> 16 * row) % USHER_SHARES_COLUMNS;
}

/* Empty before it is named: who is killed in between leaves it to the next one. What others add
 * meanwhile may be lost. */
static void shares_begin(usher_shares_minute_t *part, apr_uint64_t minute)
{
    int row, column;

    atomic_store_explicit(&part->all, 0, memory_order_relaxed);
    for (row = 0; row < USHER_SHARES_ROWS; ++row) {
        for (column = 0; column < USHER_SHARES_COLUMNS; ++column) {
            atomic_store_explicit(&part->cells[row][column], 0, memory_order_relaxed);
        }
    }
    atomic_store(&part->minute, minute);
}

void usher_shares_add(usher_shares_t *shares, apr_uint64_t who, apr_int64_t now)
{
    apr_uint64_t minute = shares_minute(now), hash = shares_hash(shares, who);
    usher_shares_minute_t *part = &shares->minutes[minute % USHER_SHARES_MINUTES];
    int row;

    if (atomic_load_explicit(&part->minute, memory_order_relaxed) != minute) {
        shares_begin(part, minute);
    }
    atomic_fetch_add_explicit(&part->all, 1, memory_order_relaxed);
    for (row = 0; row < USHER_SHARES_ROWS; ++row) {
        atomic_fetch_add_explicit(&part->cells[row][shares_column(hash, row)], 1, memory_order_relaxed);
    }
}

/* The least of his cells: others can only have made them greater. */
static apr_uint32_t shares_least(const usher_shares_minute_t *part, apr_uint64_t hash)
{
    apr_uint32_t least = ~(apr_uint32_t)0;
    int row;

    for (row = 0; row < USHER_SHARES_ROWS; ++row) {
        apr_uint32_t count = atomic_load_explicit(&part->cells[row][shares_column(hash, row)], memory_order_relaxed);

        least = count < least ? count : least;
    }
    return least;
}

apr_uint64_t usher_shares_get(const usher_shares_t *shares, apr_uint64_t who, apr_int64_t now, apr_uint64_t *all)
{
    apr_uint64_t minute = shares_minute(now), hash = shares_hash(shares, who), his = 0;
    int i;

    *all = 0;
    for (i = 0; i < USHER_SHARES_MINUTES; ++i) {
        const usher_shares_minute_t *part = &shares->minutes[i];
        apr_uint64_t named = atomic_load_explicit(&part->minute, memory_order_relaxed);

        if (named && named <= minute && minute - named < USHER_SHARES_MINUTES) {
            *all += atomic_load_explicit(&part->all, memory_order_relaxed);
            his += shares_least(part, hash);
        }
    }
    return his;
}
