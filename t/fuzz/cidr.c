#include "fuzz.h"

#include "usher_cidr_list.h"

#define MOST 64

/* What counts the prefixes of a file, and what reads them, agree. */
static void fuzz_list(const uint8_t *data, size_t size)
{
    usher_cidr_range_t *ranges;
    usher_cidr_wrong_t wrong = { 0, 0, "" };
    apr_size_t count, again;

    if (usher_cidr_list_read((const char *)data, size, 1, NULL, &count, &wrong)) {
        ranges = malloc(count ? count * sizeof(*ranges) : 1);
        FUZZ_ASSERT(usher_cidr_list_read((const char *)data, size, 0, ranges, &again, &wrong));
        FUZZ_ASSERT(again == count);
        free(ranges);
    }
    else {
        FUZZ_ASSERT(wrong.line > 0 && strlen(wrong.text) < sizeof(wrong.text));
    }
}

/* What passes for a set can be looked into. */
static void fuzz_set(const uint8_t *data, size_t size)
{
    void *copy = malloc(size ? size : 1);
    usher_cidr_range_t range = { { 0, 5 }, { 7, 9 } };

    memcpy(copy, data, size);
    if (usher_cidr_set_check(copy, size)) {
        memcpy(&range.first, (char *)copy + size - sizeof(range.first), sizeof(range.first));
        usher_cidr_set_has(copy, range.first);
        usher_cidr_set_meets(copy, &range);
    }
    free(copy);
}

/* What a set says of an address is what its prefixes say one by one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    usher_cidr_range_t ranges[MOST], sorted[MOST];
    union {
        usher_cidr_set_t set;
        char room[sizeof(usher_cidr_set_t) + MOST * 64];
    } to;
    const char *at = (const char *)data;
    size_t left = size, count = 0, i, j;
    int got = 1;

    fuzz_list(data, size);
    fuzz_set(data, size);
    while (got && count < MOST) {
        got = usher_cidr_next(&ranges[count], &at, &left);
        FUZZ_ASSERT(at + left == (const char *)data + size);
        if (got > 0) {
            FUZZ_ASSERT(!usher_cidr_is_before(ranges[count].last, ranges[count].first));
            ++count;
        }
    }
    FUZZ_ASSERT(usher_cidr_set_size(count) <= sizeof(to));
    memcpy(sorted, ranges, count * sizeof(*ranges));
    usher_cidr_set_make(&to.set, sorted, count);
    FUZZ_ASSERT(to.set.count <= count);
    for (i = 0; i < count; ++i) {
        usher_cidr_address_t behind = ranges[i].last;
        int has = 0;

        FUZZ_ASSERT(usher_cidr_set_has(&to.set, ranges[i].first) && usher_cidr_set_has(&to.set, ranges[i].last));
        ++behind.low;
        for (j = 0; j < count; ++j) {
            has |= usher_cidr_range_has(&ranges[j], behind);
        }
        FUZZ_ASSERT(usher_cidr_set_has(&to.set, behind) == has);
    }
    return 0;
}
