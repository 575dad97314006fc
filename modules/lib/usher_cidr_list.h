/**
 * @file  usher_cidr_list.h
 * @brief Files of prefixes, as others deliver them: all of one is good, or none.
 */
#ifndef USHER_CIDR_LIST_H
#define USHER_CIDR_LIST_H

#include "usher_cidr.h"

/** In a file of those to turn away a wider prefix than this is a mistake. */
#define USHER_CIDR_WIDE_V4 8
#define USHER_CIDR_WIDE_V6 16

/** What is wrong in a file. */
typedef struct usher_cidr_wrong_t {
    apr_size_t line;  /**< from 1 */
    int is_wide;      /**< it is a prefix */
    char text[50];    /**< its begin, printable */
} usher_cidr_wrong_t;

/**
 * Read a file of prefixes; its form is that of usher_cidr_next().
 * @param text          not NUL-terminated
 * @param refuses_wide  whether a prefix that is wider than those above is wrong
 * @param ranges        gets them; NULL: only to count
 * @param count         gets how many there are
 * @param wrong         gets what is wrong
 * @return 1; 0: it is wrong
 */
int usher_cidr_list_read(const char *text, apr_size_t len, int refuses_wide,
                         usher_cidr_range_t *ranges, apr_size_t *count, usher_cidr_wrong_t *wrong);

#endif /* USHER_CIDR_LIST_H */
