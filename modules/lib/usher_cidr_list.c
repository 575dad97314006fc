#include "usher_cidr_list.h"

static int list_is_between(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',';
}

/* The word that ends there. */
static void list_wrong(usher_cidr_wrong_t *wrong, const char *text, const char *end, int is_wide)
{
    const char *word = end, *at;
    apr_size_t i, len;

    while (word > text && !list_is_between(word[-1])) {
        --word;
    }
    for (wrong->line = 1, at = text; at < word; ++at) {
        wrong->line += *at == '\n';
    }
    len = (apr_size_t)(end - word);
    len = len < sizeof(wrong->text) ? len : sizeof(wrong->text) - 1;
    for (i = 0; i < len; ++i) {
        wrong->text[i] = word[i];
        if (word[i] < ' ' || word[i] > '~') {
            wrong->text[i] = '?';
        }
    }
    wrong->text[len] = '\0';
    wrong->is_wide = is_wide;
}

/* All of IPv4 is wide, also where it is a small part of IPv6. */
static int list_is_wide(const usher_cidr_range_t *range)
{
    static const usher_cidr_range_t v4 = {
        { 0, APR_UINT64_C(0xffff00000000) }, { 0, APR_UINT64_C(0xffffffffffff) }
    };

    if (usher_cidr_range_holds(range, &v4)) {
        return 1;
    }
    return usher_cidr_range_holds(&v4, range)
        ? (range->last.low - range->first.low) >> (32 - USHER_CIDR_WIDE_V4) != 0
        : (range->last.high - range->first.high) >> (64 - USHER_CIDR_WIDE_V6) != 0;
}

int usher_cidr_list_read(const char *text, apr_size_t len, int refuses_wide,
                         usher_cidr_range_t *ranges, apr_size_t *count, usher_cidr_wrong_t *wrong)
{
    const char *at = text;
    usher_cidr_range_t range;
    int found;

    for (*count = 0; (found = usher_cidr_next(&range, &at, &len)) == 1; ++*count) {
        if (refuses_wide && list_is_wide(&range)) {
            list_wrong(wrong, text, at, 1);
            return 0;
        }
        if (ranges) {
            ranges[*count] = range;
        }
    }
    if (found < 0) {
        list_wrong(wrong, text, at, 0);
    }
    return !found;
}
