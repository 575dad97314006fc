#include "fuzz.h"

#include "usher_match.h"

/* What is a list has each of its items; a set that is none has nothing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    usher_match_statuses_t set;
    int right = usher_match_statuses_parse(&set, text, size), some = 0, status;
    size_t from, to;

    for (status = 0; status <= 1000; ++status) {
        some |= usher_match_statuses_has(&set, status);
    }
    FUZZ_ASSERT(right == some);
    if (usher_match_is_list(text, size)) {
        for (from = 0; from < size; from = to + 1) {
            for (to = from; to < size && text[to] != ','; ++to) {
            }
            FUZZ_ASSERT(to > from && usher_match_list_has(text, size, text + from, to - from));
        }
    }
    return 0;
}
