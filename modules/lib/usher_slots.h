/**
 * @file  usher_slots.h
 * @brief Consistent hashing: which of many a key belongs to, so that hardly any key
 *        moves when one of them comes or goes.
 *
 * A table of slots, each owned by one index. A key has a slot; the owner changes only
 * where the owner goes, or where a new one takes the slot, in the measure of its
 * weight: it depends on nothing but the indexes' seeds and weights.
 *
 * How: each index throws at random slots, its own row of them, as often as its weight
 * says. Who hits a slot first owns it. The throws of others do not change whether it
 * was first against those that stay.
 */
#ifndef USHER_SLOTS_H
#define USHER_SLOTS_H

#include <apr.h>

/** A power of two. */
#define USHER_SLOTS 65536

/**
 * Fill the table. Takes a few milliseconds, however many indexes there are.
 * @param owners   USHER_SLOTS; gets indexes below n
 * @param times    scratch, USHER_SLOTS
 * @param seeds    n: who is who, the same for ever, each another one
 * @param weights  n, none of them 0, each at most 2^20
 * @param n        at least 1
 */
void usher_slots_make(apr_uint32_t *owners, apr_uint64_t *times, const apr_uint64_t *seeds,
                      const apr_uint32_t *weights, apr_uint32_t n);

/** The slot of a key's hash; of the next try if its owner cannot be had. */
static inline apr_uint32_t usher_slots_of(apr_uint64_t hash, unsigned int again)
{
    hash += again * (apr_uint64_t)0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    return (apr_uint32_t)((hash ^ hash >> 31) & (USHER_SLOTS - 1));
}

#endif /* USHER_SLOTS_H */
