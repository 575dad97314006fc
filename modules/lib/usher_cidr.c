/* Sets of addresses. A lookup goes through the marks, which are few enough to stay in a
 * processor's cache, and then through the 32 ranges between two of them. */
#include "usher_cidr.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "usher_number.h"

#define MARK_EACH 32
#define ALL_BITS 128
#define V4_BITS 32
#define TEXT_MAX 45 /* of an address: INET6_ADDRSTRLEN - 1 */

static const apr_uint64_t v4_low = APR_UINT64_C(0xffff) << 32;

static apr_uint64_t cidr_word(const unsigned char *bytes, apr_size_t len)
{
    apr_uint64_t word = 0;

    while (len--) {
        word = word << 8 | *bytes++;
    }
    return word;
}

usher_cidr_address_t usher_cidr_address(const void *bytes, apr_size_t len)
{
    const unsigned char *at = bytes;
    usher_cidr_address_t address = { 0, v4_low };

    if (len == 4) {
        address.low |= cidr_word(at, 4);
    }
    else {
        address.high = cidr_word(at, 8);
        address.low = cidr_word(at + 8, 8);
    }
    return address;
}

/* The bits of a word that lie behind its first so many. */
static apr_uint64_t cidr_behind(unsigned int bits)
{
    return bits >= 64 ? 0 : ~APR_UINT64_C(0) >> bits;
}

/* Returns how many bits all addresses of its kind have, 0: it is none. */
static unsigned int cidr_parse_address(usher_cidr_address_t *address, const char *text, apr_size_t len)
{
    unsigned char bytes[16];
    char copy[TEXT_MAX + 1];

    if (!len || len > TEXT_MAX || memchr(text, '\0', len)) {
        return 0;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(AF_INET, copy, bytes) == 1) {
        *address = usher_cidr_address(bytes, 4);
        return V4_BITS;
    }
    if (inet_pton(AF_INET6, copy, bytes) == 1) {
        *address = usher_cidr_address(bytes, 16);
        return ALL_BITS;
    }
    return 0;
}

int usher_cidr_parse(usher_cidr_range_t *range, const char *text, apr_size_t len)
{
    const char *slash = len ? memchr(text, '/', len) : NULL;
    apr_size_t address_len = slash ? (apr_size_t)(slash - text) : len;
    unsigned int all = cidr_parse_address(&range->first, text, address_len), bits;
    apr_uint64_t number = all, high, low;

    if (!all) {
        return 0;
    }
    if (slash) {
        apr_size_t digits = len - address_len - 1;

        if (!digits || usher_number_parse(&number, all, slash + 1, digits) != digits
            || (digits > 1 && slash[1] == '0')) {
            return 0;
        }
    }
    bits = (unsigned int)number + ALL_BITS - all;
    high = cidr_behind(bits);
    low = cidr_behind(bits < 64 ? 0 : bits - 64);
    range->last.high = range->first.high | high;
    range->last.low = range->first.low | low;
    return !(range->first.high & high) && !(range->first.low & low);
}

static int cidr_is_between(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',';
}

static int cidr_is_comment(char c)
{
    return c == '#' || c == ';';
}

/* Blanks and comments. */
static void cidr_skip(const char **text, apr_size_t *len)
{
    int comment = 0;

    for (; *len && (comment || cidr_is_comment(**text) || cidr_is_between(**text)); ++*text, --*len) {
        comment = **text != '\n' && (comment || cidr_is_comment(**text));
    }
}

int usher_cidr_next(usher_cidr_range_t *range, const char **text, apr_size_t *len)
{
    const char *word;

    cidr_skip(text, len);
    if (!*len) {
        return 0;
    }
    for (word = *text; *len && !cidr_is_between(**text) && !cidr_is_comment(**text); ++*text, --*len) {
    }
    return usher_cidr_parse(range, word, (apr_size_t)(*text - word)) ? 1 : -1;
}

apr_size_t usher_cidr_set_size(apr_size_t count)
{
    return sizeof(usher_cidr_set_t) + count * sizeof(usher_cidr_range_t)
           + (count + MARK_EACH - 1) / MARK_EACH * sizeof(usher_cidr_address_t);
}

static int cidr_compare(const void *a, const void *b)
{
    const usher_cidr_range_t *left = a, *right = b;

    return usher_cidr_is_before(left->first, right->first) ? -1
           : usher_cidr_is_before(right->first, left->first) ? 1 : 0;
}

/* Whether nothing lies between the end of one range and the begin of a later one. */
static int cidr_touches(usher_cidr_address_t last, usher_cidr_address_t first)
{
    ++last.low;
    last.high += !last.low;
    return !usher_cidr_is_before(last, first) || (!last.high && !last.low);
}

static usher_cidr_address_t *cidr_marks(const usher_cidr_set_t *set)
{
    return (usher_cidr_address_t *)(set->ranges + set->count);
}

void usher_cidr_set_make(usher_cidr_set_t *set, usher_cidr_range_t *ranges, apr_size_t count)
{
    usher_cidr_address_t *marks;
    apr_size_t i;

    if (count) {
        qsort(ranges, count, sizeof(*ranges), cidr_compare);
    }
    set->count = 0;
    for (i = 0; i < count; ++i) {
        usher_cidr_range_t *end = set->count ? &set->ranges[set->count - 1] : NULL;

        if (!end || !cidr_touches(end->last, ranges[i].first)) {
            set->ranges[set->count++] = ranges[i];
        }
        else if (usher_cidr_is_before(end->last, ranges[i].last)) {
            end->last = ranges[i].last;
        }
    }
    marks = cidr_marks(set);
    for (set->marks = 0, i = 0; i < set->count; i += MARK_EACH) {
        marks[set->marks++] = set->ranges[i].first;
    }
}

int usher_cidr_set_check(const void *bytes, apr_size_t len)
{
    const usher_cidr_set_t *set = bytes;
    apr_size_t most = len / sizeof(usher_cidr_range_t);

    return len >= sizeof(*set) && set->count <= most && usher_cidr_set_size((apr_size_t)set->count) <= len
           && set->marks == (set->count + MARK_EACH - 1) / MARK_EACH;
}

/* The last range that does not begin behind an address. NULL: all do. */
static const usher_cidr_range_t *cidr_last(const usher_cidr_set_t *set, usher_cidr_address_t address)
{
    const usher_cidr_address_t *marks = cidr_marks(set);
    apr_uint64_t at = 0, end = set->marks;

    /* The last mark, and then the last range, that does not begin behind the address. */
    while (end > at) {
        apr_uint64_t middle = at + (end - at) / 2;

        if (usher_cidr_is_before(address, marks[middle])) {
            end = middle;
        }
        else {
            at = middle + 1;
        }
    }
    if (!at) {
        return NULL;
    }
    at = (at - 1) * MARK_EACH;
    end = set->count - at < MARK_EACH ? set->count : at + MARK_EACH;
    while (end - at > 1) {
        apr_uint64_t middle = at + (end - at) / 2;

        if (usher_cidr_is_before(address, set->ranges[middle].first)) {
            end = middle;
        }
        else {
            at = middle;
        }
    }
    return &set->ranges[at];
}

int usher_cidr_set_has(const usher_cidr_set_t *set, usher_cidr_address_t address)
{
    const usher_cidr_range_t *last = cidr_last(set, address);

    return last && usher_cidr_range_has(last, address);
}

int usher_cidr_set_meets(const usher_cidr_set_t *set, const usher_cidr_range_t *range)
{
    const usher_cidr_range_t *last = cidr_last(set, range->last);

    return last && !usher_cidr_is_before(last->last, range->first);
}
