/**
 * @file  usher_options.h
 * @brief Directives that take key=value arguments, from a table of the keys.
 */
#ifndef USHER_OPTIONS_H
#define USHER_OPTIONS_H

#include <apr.h>
#include <apr_pools.h>
#include <apr_time.h>

/** What a key's value is, and the type of its field. */
typedef enum {
    USHER_OPTION_DURATION, /**< apr_int64_t, microseconds: "30m" */
    USHER_OPTION_SIZE,     /**< apr_int64_t, bytes: "64K" */
    USHER_OPTION_NUMBER,   /**< apr_int64_t */
    USHER_OPTION_WORD,     /**< int: the index among words */
    USHER_OPTION_FLAG,     /**< int, 1: the key stands alone, without a value */
    USHER_OPTION_TEXT      /**< const char *: kept as it is; min and max are of its length */
} usher_option_kind_e;

typedef struct usher_option_t {
    const char *name; /**< NULL ends the table */
    usher_option_kind_e kind;
    int may_be_off;       /**< "off" is allowed, and means 0 */
    apr_int64_t min, max; /**< of the value, both allowed */
    const char *allowed;  /**< for the message; NULL: made from words */
    apr_size_t field;     /**< its offset in the struct */
    const char *const *words; /**< of a WORD, with a NULL behind the last */
} usher_option_t;

/**
 * Set the fields that a directive's arguments name: all of them or none.
 * @param p        for texts; lives as long as the struct
 * @param into     the struct whose fields the table names
 * @param size     of that struct
 * @param options  ends with a NULL name
 * @param argv     its texts are kept where an option is a text
 * @return NULL; else what is wrong and what is allowed, and nothing is set
 */
const char *usher_options_set(apr_pool_t *p, void *into, apr_size_t size,
                              const usher_option_t *options, int argc, char *const argv[]);

#endif /* USHER_OPTIONS_H */
