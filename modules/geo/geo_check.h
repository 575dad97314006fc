/**
 * @file  geo_check.h
 * @brief Proves that a database can be read: before libmaxminddb is let at its bytes.
 *
 * Many damaged databases are opened by libmaxminddb without an error, and fail, or take for ever,
 * at some address. So all is looked at once: each way through the tree ends within the bits of an
 * address, at nothing or at an entry; each entry is whole, and small enough to be searched.
 * What cannot be found is damage that makes another good database of it: it has no checksum.
 *
 * A pure function of bytes, which may be anything; time and memory grow with them alone.
 */
#ifndef GEO_CHECK_H
#define GEO_CHECK_H

#include <apr.h>

/** A larger file is refused. */
#define GEO_CHECK_SIZE_MAX APR_UINT64_C(0x7fffffff)
/** A map or array with more values in it, at any depth, is refused: each lookup would walk over them. */
#define GEO_CHECK_VALUES_MAX 16384

/** A part of the file that has values. */
typedef struct geo_check_part_t {
    const unsigned char *bytes;
    apr_size_t len;
    unsigned char *proved; /**< a bit for each byte: a good value begins there; NULL: not kept */
    apr_uint64_t budget;   /**< values that may still be looked at */
} geo_check_part_t;

/** A database, and what is wrong with it. */
typedef struct geo_check_t {
    const unsigned char *bytes;
    apr_size_t len;
    apr_uint32_t nodes;  /**< of the tree */
    apr_uint32_t bits;   /**< of a record, half a node: 24, 28 or 32 */
    apr_uint32_t levels; /**< bits of an address: 32 or 128 */
    geo_check_part_t data;
    apr_size_t wrong_at; /**< the byte of the file where it is wrong */
} geo_check_t;

/**
 * Find what the database says of itself, and see that it is so as far as that can be seen there.
 * @return NULL; else what is wrong
 */
const char *geo_check_meta(geo_check_t *check, const void *bytes, apr_size_t len);

/** Bytes of memory that geo_check_all() needs. */
apr_size_t geo_check_room(const geo_check_t *check);

/**
 * Walk over all of it; after geo_check_meta().
 * @param room  geo_check_room() bytes, zeros
 * @return NULL; else what is wrong
 */
const char *geo_check_all(geo_check_t *check, unsigned char *room);

/* geo_prove.c */

/**
 * Both of them, in memory of its own.
 * @param wrong_at  gets the byte where it is wrong
 * @return NULL; else what is wrong
 */
const char *geo_check_prove(const void *bytes, apr_size_t len, apr_size_t *wrong_at);

/* geo_check_value.c */

/** The types of values. */
typedef enum {
    GEO_CHECK_POINTER = 1,
    GEO_CHECK_TEXT = 2,
    GEO_CHECK_DOUBLE = 3,
    GEO_CHECK_BYTES = 4,
    GEO_CHECK_UINT16 = 5,
    GEO_CHECK_UINT32 = 6,
    GEO_CHECK_MAP = 7,
    GEO_CHECK_INT32 = 8,
    GEO_CHECK_UINT64 = 9,
    GEO_CHECK_UINT128 = 10,
    GEO_CHECK_ARRAY = 11,
    GEO_CHECK_BOOLEAN = 14,
    GEO_CHECK_FLOAT = 15
} geo_check_type_e;

/** A value's first bytes. */
typedef struct geo_check_head_t {
    geo_check_type_e type;
    apr_uint32_t size;    /**< bytes; of a map: pairs, of an array: values; of a boolean: its value */
    apr_uint32_t pointer; /**< where it points to, from the part's first byte */
    apr_size_t body;      /**< where it goes on, or its elements begin */
    apr_size_t next;      /**< behind it; of a map or array the same as body */
} geo_check_head_t;

/**
 * Read a value's first bytes; all of it lies within the part, but for what maps and arrays have.
 * @return NULL; else what is wrong
 */
const char *geo_check_head(const geo_check_part_t *part, apr_size_t at, geo_check_head_t *head);

/**
 * Prove a value, all that is in it, and all that it points to.
 * @param at  where it begins; gets where it is wrong
 * @return NULL; else what is wrong
 */
const char *geo_check_value(geo_check_part_t *part, apr_size_t *at);

#endif /* GEO_CHECK_H */
