/**
 * @file  usher_table.h
 * @brief A table of entries that expire, in shared memory, without locks.
 *
 * Any number of threads and processes may read and change it at the same time, and be
 * killed at any instruction: what a killed writer leaves is a place without an entry,
 * which is given away again a second later. Whatever stands in the memory is
 * understood; an entry that others have written over is not found.
 *
 * An entry may lie in one of 16 places, which its key's hash names. When they are all
 * taken, the entry among them that expires first goes. A table may have an opinion of what
 * its entries are worth: there the one that is worth least goes, if the new one is worth as much.
 *
 * Keys are hashed to 128 bits with a secret of the table's own, so that nobody outside
 * can choose keys whose entries get into each other's way.
 *
 * All times are milliseconds of the boot clock.
 */
#ifndef USHER_TABLE_H
#define USHER_TABLE_H

#include <apr.h>
#include <stdatomic.h>

#include "usher_siphash.h"

/** Longest value. */
#define USHER_TABLE_VALUE_MAX 128

#define USHER_TABLE_SECRET_SIZE USHER_SIPHASH_KEY_SIZE

/** Entries that share a first line of memory. */
#define USHER_TABLE_PLACES 8

/** Bytes of such a bucket, by the size of its values. */
#define USHER_TABLE_BUCKET_SIZE(value_size) \
    ((64 + USHER_TABLE_PLACES * (24 + (apr_size_t)(value_size)) + 63) / 64 * 64)

#define USHER_TABLE_HEADER_SIZE 128

/** The least memory for a table. */
#define USHER_TABLE_SIZE_MIN(value_size) \
    (USHER_TABLE_HEADER_SIZE + 2 * USHER_TABLE_BUCKET_SIZE(value_size))

/** What the memory begins with; its fields are the table's own. */
typedef struct usher_table_header_t {
    unsigned char secret[USHER_TABLE_SECRET_SIZE];
    _Atomic apr_uint64_t evicted;
    char pad[USHER_TABLE_HEADER_SIZE - USHER_TABLE_SECRET_SIZE - 8];
} usher_table_header_t;
_Static_assert(sizeof(usher_table_header_t) == USHER_TABLE_HEADER_SIZE,
               "part of a segment's layout");

/** A table as one process sees it; not changed after usher_table_open(). */
typedef struct usher_table_t {
    usher_table_header_t *header;
    char *buckets;
    apr_uint32_t count;       /**< buckets */
    apr_uint32_t bucket_size; /**< bytes */
    apr_uint32_t value_size;
    apr_int64_t life_max;
    /**
     * NULL; or, set after it was opened, what an entry is worth: no entry goes for one that is worth less. May be
     * asked of any bytes.
     */
    apr_int64_t (*worth)(const void *value, apr_int64_t now);
} usher_table_t;

/** An entry's key, hashed. */
typedef usher_siphash_t usher_table_key_t;

/** A space of keys: the same bytes are different keys in different spaces. */
typedef struct usher_table_space_t {
    unsigned char key[USHER_SIPHASH_KEY_SIZE];
} usher_table_space_t;

/**
 * Look at memory as a table. Writes nothing.
 * @param base        aligned to 64; zeros are an empty table
 * @param size        bytes; at least USHER_TABLE_SIZE_MIN
 * @param value_size  a multiple of 8, up to USHER_TABLE_VALUE_MAX
 * @param life_max    no entry lives longer; what says that it does is garbage
 */
void usher_table_open(usher_table_t *table, void *base, apr_uint64_t size,
                      apr_uint32_t value_size, apr_int64_t life_max);

/**
 * Give a new table its secret: before others see it.
 * @param secret  USHER_TABLE_SECRET_SIZE random bytes
 */
void usher_table_init(usher_table_t *table, const unsigned char *secret);

/** A space of keys, by its name. */
usher_table_space_t usher_table_space(const usher_table_t *table, const void *name,
                                      apr_size_t len);

/** The key that bytes are in a space. */
static inline usher_table_key_t usher_table_key(const usher_table_space_t *space,
                                                const void *bytes, apr_size_t len)
{
    return usher_siphash(space->key, bytes, len);
}

/**
 * Find an entry.
 * @param life   0: how long it lives stays as it is; else it lives so long from now on, which
 *               is written only when an eighth of that time has passed
 * @param value  gets its value, as many bytes as the table's values have
 * @return 1: found; 0: there is none that has not expired
 */
int usher_table_get(const usher_table_t *table, const usher_table_key_t *key, apr_int64_t now,
                    apr_int64_t life, void *value);

/** Say that a key is asked for soon: for several at once, their memory comes at the same time. */
void usher_table_prefetch(const usher_table_t *table, const usher_table_key_t *key);

/** What usher_table_put() did. */
typedef enum {
    USHER_TABLE_SAME,    /**< it was there with this value; lives longer now */
    USHER_TABLE_CHANGED, /**< it had another value */
    USHER_TABLE_NEW,
    USHER_TABLE_EVICTED, /**< the same, and another entry had to go before its time */
    USHER_TABLE_BUSY,    /**< nothing: others write this very key, or all of its places, now */
    USHER_TABLE_FULL     /**< nothing: all others are worth more */
} usher_table_put_e;

/**
 * Enter a value, or change the one that is there. While it is changed, it is not found.
 * Of several who do that with one key at the same time any may win.
 * @param life  how long it lives from now on, up to the table's longest
 */
usher_table_put_e usher_table_put(const usher_table_t *table, const usher_table_key_t *key,
                                  apr_int64_t now, apr_int64_t life, const void *value);

/**
 * Take an entry out.
 * @return 1: it was there
 */
int usher_table_remove(const usher_table_t *table, const usher_table_key_t *key, apr_int64_t now);

/** What a walk over all of a table finds; some microseconds for a thousand entries. */
typedef struct usher_table_stats_t {
    apr_uint64_t places;
    apr_uint64_t used;    /**< entries that have not expired */
    apr_uint64_t evicted; /**< since it was made: those that had to go before their time */
} usher_table_stats_t;

usher_table_stats_t usher_table_stats(const usher_table_t *table, apr_int64_t now);

/**
 * Walk over all entries that have not expired, in no order. What others enter or take out meanwhile
 * may be seen or not.
 * @param see  its value is a copy, valid during the call; returns 0 to stop
 */
void usher_table_each(const usher_table_t *table, apr_int64_t now,
                      int (*see)(void *baton, const void *value), void *baton);

/**
 * Take all entries and the secret into another table, which is empty, and whose values
 * have the same size. From memory that others may write to meanwhile.
 * @param kept     gets how many
 * @param dropped  gets how many had to go for others
 */
void usher_table_carry(usher_table_t *to, const usher_table_t *from, apr_int64_t now,
                       apr_uint64_t *kept, apr_uint64_t *dropped);

#endif /* USHER_TABLE_H */
