/**
 * @file  usher_hll.h
 * @brief How many different things were seen: about, in a few kilobytes (HyperLogLog).
 *
 * 2^bits registers of four bits. One standard deviation is 1.04 / 2^(bits/2) of the number:
 * 0.8 % with 14 bits (8 KiB), 1.6 % with 12 (2 KiB); for less than a tenth of 2^bits it is
 * 0.7 / 2^(bits/2). Good up to 2^(bits+13). Two sketches of the same size become that of
 * all that was seen by either: usher_hll_merge().
 *
 * Lies in shared memory, zeros are empty; all is atomic, and any contents are taken: then
 * the number is wrong.
 */
#ifndef USHER_HLL_H
#define USHER_HLL_H

#include <apr.h>
#include <stdatomic.h>

/** Greatest value of a register. */
#define USHER_HLL_RANK_MAX 15

/** Bytes of a sketch. */
#define USHER_HLL_SIZE(bits) ((apr_size_t)1 << (bits) >> 1)

/** Two registers. */
typedef _Atomic unsigned char usher_hll_pair_t;

/** Make a register at least so great. Any thread; two loads when it is. */
static inline void usher_hll_raise(usher_hll_pair_t *pairs, apr_uint32_t index, unsigned int rank)
{
    unsigned int shift = (index & 1) * 4;
    usher_hll_pair_t *pair = &pairs[index / 2];
    unsigned char old = atomic_load_explicit(pair, memory_order_relaxed);

    while ((unsigned int)(old >> shift & 15) < rank
           && !atomic_compare_exchange_weak(pair, &old,
                                            (unsigned char)((old & 0xf0 >> shift) | rank << shift))) {
    }
}

/** Something was seen. @param hash  keyed, so that nobody can choose what is counted */
static inline void usher_hll_add(usher_hll_pair_t *pairs, unsigned int bits, apr_uint64_t hash)
{
    apr_uint64_t rest = hash >> bits << bits;
    unsigned int rank = rest ? (unsigned int)__builtin_clzll(rest) + 1 : USHER_HLL_RANK_MAX;

    usher_hll_raise(pairs, (apr_uint32_t)(hash & (((apr_uint64_t)1 << bits) - 1)),
                    rank < USHER_HLL_RANK_MAX ? rank : USHER_HLL_RANK_MAX);
}

/** Take into a sketch what another one has seen. @param to  this thread's own */
void usher_hll_merge(unsigned char *to, const usher_hll_pair_t *from, unsigned int bits);

/** How many there were. @param pairs  this thread's own */
apr_uint64_t usher_hll_count(const unsigned char *pairs, unsigned int bits);

/**
 * Ertl's estimate (2017), which needs no tables and has no range where it is worse than
 * elsewhere.
 * @param with       how many registers have each value
 * @param registers  of all values
 * @return APR_UINT32_MAX where all are full
 */
apr_uint64_t usher_hll_estimate(const apr_uint32_t with[USHER_HLL_RANK_MAX + 1],
                                apr_uint32_t registers);

#endif /* USHER_HLL_H */
