#include "usher_hll.h"

#include <math.h>

#define RANK_MAX USHER_HLL_RANK_MAX

void usher_hll_merge(unsigned char *to, const usher_hll_pair_t *from, unsigned int bits)
{
    apr_size_t i;

    for (i = 0; i < USHER_HLL_SIZE(bits); ++i) {
        unsigned char pair = atomic_load_explicit(&from[i], memory_order_relaxed);
        unsigned char high = to[i] & 0xf0, low = to[i] & 0x0f;

        to[i] = (unsigned char)(((pair & 0xf0) > high ? pair & 0xf0 : high)
                                | ((pair & 0x0f) > low ? pair & 0x0f : low));
    }
}

apr_uint64_t usher_hll_count(const unsigned char *pairs, unsigned int bits)
{
    apr_uint32_t with[RANK_MAX + 1] = { 0 };
    apr_size_t i;

    for (i = 0; i < USHER_HLL_SIZE(bits); ++i) {
        ++with[pairs[i] >> 4];
        ++with[pairs[i] & 15];
    }
    return usher_hll_estimate(with, (apr_uint32_t)1 << bits);
}

/* What registers that are still 0 stand for. @param x  their part of all, below 1 */
static double hll_sigma(double x)
{
    double y = 1, z = x, before;

    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z > before);
    return z;
}

/* What registers that are full stand for. @param x  the part of the others */
static double hll_tau(double x)
{
    double y = 1, z = 1 - x, before;

    if (x <= 0 || x >= 1) {
        return 0;
    }
    do {
        x = sqrt(x);
        before = z;
        y /= 2;
        z -= (1 - x) * (1 - x) * y;
    } while (z < before);
    return z / 3;
}

apr_uint64_t usher_hll_estimate(const apr_uint32_t with[RANK_MAX + 1], apr_uint32_t registers)
{
    double m = registers, z;
    int i;

    if (with[0] == registers) {
        return 0;
    }
    z = m * hll_tau(1 - with[RANK_MAX] / m);
    for (i = RANK_MAX - 1; i > 0; --i) {
        z = (z + with[i]) / 2;
    }
    z += m * hll_sigma(with[0] / m);
    /* There are no more things than that; all registers full is garbage. */
    return z > 1e-5 ? (apr_uint64_t)(m * m / (2 * M_LN2) / z + 0.5) : APR_UINT32_MAX;
}
