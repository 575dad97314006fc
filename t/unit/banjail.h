/* What the jail's tests share. */
#ifndef UNIT_BANJAIL_H
#define UNIT_BANJAIL_H

#include "bancore.h"
#include "unit.h"

static inline ban_prefix_t unit_prefix(const char *text)
{
    usher_cidr_range_t range;

    ck_assert(usher_cidr_parse(&range, text, strlen(text)));
    return ban_prefix_of(range.first, 128 - (unsigned int)__builtin_popcountll(range.first.high ^ range.last.high)
                                      - (unsigned int)__builtin_popcountll(range.first.low ^ range.last.low));
}

static inline usher_cidr_address_t unit_address(const char *text)
{
    return unit_prefix(text).address;
}

#endif /* UNIT_BANJAIL_H */
