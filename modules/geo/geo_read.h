/**
 * @file  geo_read.h
 * @brief What a database says of an address. Needs no httpd.
 *
 * The bytes that are read must have been proved (geo_check.h).
 */
#ifndef GEO_READ_H
#define GEO_READ_H

#include <apr_pools.h>
#include <maxminddb.h>

#include "usher_cidr.h"

/** Most parts of a path: "subdivisions/0/names/en" has four. */
#define GEO_PATH_MAX 16

/** A place in a database's entries, in libmaxminddb's form. */
typedef struct geo_path_t {
    const char *parts[GEO_PATH_MAX + 1]; /**< NULL behind the last one; none: the entry itself */
} geo_path_t;

typedef enum {
    GEO_FOUND,   /**< the database has this address */
    GEO_NONE,    /**< it does not */
    GEO_UNUSABLE /**< there is no usable database, or what it says of this address is damaged */
} geo_result_e;

/** What is to be looked up, and what was found. */
typedef struct geo_value_t {
    const geo_path_t *path;
    const char *text; /**< gets the value, as mod_maxminddb writes it, control characters as spaces;
                           NULL: it is not there, or a map or array */
} geo_value_t;

/**
 * Look up an address.
 * @param prefix  gets how many bits of the address the answer is for, as of the address family; or NULL
 * @param p       of the texts
 */
geo_result_e geo_read(const MMDB_s *mmdb, usher_cidr_address_t address, geo_value_t *values, int n,
                      int *prefix, apr_pool_t *p);

/** Whether any entry may have such a key: there is such a text. @param key  of less than 29 bytes */
int geo_read_has_key(const MMDB_s *mmdb, const char *key);

#endif /* GEO_READ_H */
