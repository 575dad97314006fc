/* HyperLogLog over two half windows. */
#include "usher_sketch.h"

#include "usher_hll.h"

#define REGISTERS USHER_SKETCH_REGISTERS
#define RANK_MAX  USHER_HLL_RANK_MAX

/* Never 0, which is an empty sketch's. */
static apr_uint32_t sketch_half(apr_int64_t now, apr_int64_t window)
{
    apr_int64_t half = window > 1 ? window / 2 : 1;

    return (apr_uint32_t)(now > 0 ? now / half : 0) + 1;
}

/* Empty before it is named: who is killed in between leaves it to the next one. What others add
 * meanwhile may be lost; their sessions come again. */
static void sketch_begin(usher_sketch_t *sketch, apr_uint32_t half)
{
    int i;

    for (i = 0; i < REGISTERS / 2; ++i) {
        atomic_store_explicit(&sketch->registers[half & 1][i], 0, memory_order_relaxed);
    }
    atomic_store(&sketch->half[half & 1], half);
}

/* How many zeros the number begins with, below the bits that choose the register; from 1. */
static unsigned int sketch_rank(apr_uint32_t bits)
{
    unsigned int rank = bits ? (unsigned int)__builtin_clz(bits) + 1 : RANK_MAX;

    return rank < RANK_MAX ? rank : RANK_MAX;
}

void usher_sketch_add(usher_sketch_t *sketch, apr_uint32_t number, apr_int64_t now,
                      apr_int64_t window)
{
    apr_uint32_t half = sketch_half(now, window);
    unsigned int index = number & (REGISTERS - 1);
    unsigned int rank = sketch_rank(number & ~(apr_uint32_t)(REGISTERS - 1));

    if (atomic_load_explicit(&sketch->half[half & 1], memory_order_relaxed) != half) {
        sketch_begin(sketch, half);
    }
    usher_hll_raise(sketch->registers[half & 1], index, rank);
}

/* The greater one of both halves; 0 where a half is over. */
static unsigned int sketch_register(const usher_sketch_t *sketch, const int *counts, int i)
{
    unsigned int greatest = 0, value;
    int side;

    for (side = 0; side < 2; ++side) {
        value = counts[side] ? atomic_load_explicit(&sketch->registers[side][i / 2],
                                                    memory_order_relaxed) >> (i & 1) * 4 & 15 : 0;
        greatest = value > greatest ? value : greatest;
    }
    return greatest;
}

apr_uint64_t usher_sketch_count(const usher_sketch_t *sketch, apr_int64_t now, apr_int64_t window)
{
    apr_uint32_t half = sketch_half(now, window);
    apr_uint32_t with[RANK_MAX + 1] = { 0 };
    int counts[2], i;

    counts[half & 1] = atomic_load(&sketch->half[half & 1]) == half;
    counts[~half & 1] = half > 1 && atomic_load(&sketch->half[~half & 1]) == half - 1;
    for (i = 0; i < REGISTERS; ++i) {
        ++with[sketch_register(sketch, counts, i)];
    }
    return usher_hll_estimate(with, REGISTERS);
}
