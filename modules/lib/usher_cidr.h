/**
 * @file  usher_cidr.h
 * @brief Addresses, prefixes of them (CIDR), and sets of prefixes.
 *
 * IPv4 is the part ::ffff:0:0/96 of IPv6 here: an address is the same in either form. A set is
 * flat and without pointers, so that it may lie anywhere; a look into one of a million prefixes
 * takes some 20 comparisons, of which few leave the processor's caches.
 */
#ifndef USHER_CIDR_H
#define USHER_CIDR_H

#include <apr.h>

/** An address as a number, the first eight bytes and the last. */
typedef struct usher_cidr_address_t {
    apr_uint64_t high, low;
} usher_cidr_address_t;

/** All addresses from one to another, both of them in it. A prefix is one. */
typedef struct usher_cidr_range_t {
    usher_cidr_address_t first, last;
} usher_cidr_range_t;

/** An address from its 4 or 16 bytes. */
usher_cidr_address_t usher_cidr_address(const void *bytes, apr_size_t len);

static inline int usher_cidr_is_before(usher_cidr_address_t a, usher_cidr_address_t b)
{
    return a.high < b.high || (a.high == b.high && a.low < b.low);
}

static inline int usher_cidr_range_has(const usher_cidr_range_t *range, usher_cidr_address_t address)
{
    return !usher_cidr_is_before(address, range->first) && !usher_cidr_is_before(range->last, address);
}

/** Whether all of a range is in another one. */
static inline int usher_cidr_range_holds(const usher_cidr_range_t *range, const usher_cidr_range_t *inner)
{
    return usher_cidr_range_has(range, inner->first) && usher_cidr_range_has(range, inner->last);
}

/**
 * Read an address or a prefix: "10.0.0.5", "10.0.0.0/8", "2001:db8::/32", "::ffff:10.0.0.0/104".
 * The bits behind the prefix are zero.
 * @param text  not NUL-terminated
 * @return 1; 0: it is none
 */
int usher_cidr_parse(usher_cidr_range_t *range, const char *text, apr_size_t len);

/**
 * Read the next one of a list: between blanks, commas and line ends; what follows a '#' or a ';'
 * in a line means nothing.
 * @param text  moves behind what was read
 * @return 1; 0: there is no more; -1: it is none, @a text stands behind it
 */
int usher_cidr_next(usher_cidr_range_t *range, const char **text, apr_size_t *len);

/** A set; what follows its fields in memory belongs to it. */
typedef struct usher_cidr_set_t {
    apr_uint64_t count;  /**< ranges; those that overlapped or touched are one */
    apr_uint64_t marks;  /**< the firsts of each 32nd range, behind the ranges */
    usher_cidr_range_t ranges[];
} usher_cidr_set_t;

/** How much memory a set of so many prefixes takes, at most. */
apr_size_t usher_cidr_set_size(apr_size_t count);

/**
 * Make a set.
 * @param set     usher_cidr_set_size(count) bytes, aligned to 8
 * @param ranges  in any order; they are sorted
 */
void usher_cidr_set_make(usher_cidr_set_t *set, usher_cidr_range_t *ranges, apr_size_t count);

/** Whether what lies somewhere can be looked into: a set, whoever wrote it. What it says may be wrong. */
int usher_cidr_set_check(const void *bytes, apr_size_t len);

/** Whether an address is in a set. */
int usher_cidr_set_has(const usher_cidr_set_t *set, usher_cidr_address_t address);

/** Whether any address of a range is in a set. */
int usher_cidr_set_meets(const usher_cidr_set_t *set, const usher_cidr_range_t *range);

#endif /* USHER_CIDR_H */
