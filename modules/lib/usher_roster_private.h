/**
 * @file  usher_roster_private.h
 * @brief What the files of the roster's memory know of one another.
 *
 * usher_roster_table.c   where all lies; reading; heartbeats
 * usher_roster_change.c  changes, and memory of another size
 */
#ifndef USHER_ROSTER_PRIVATE_H
#define USHER_ROSTER_PRIVATE_H

#include <string.h>

#include "usher_roster_table.h"

enum { INDEX_EMPTY, INDEX_FREE, INDEX_USED }; /* EMPTY ends a search */

/** Removed members are remembered in the bucket that their id names. */
#define USHER_ROSTER_BUCKET 8

/* Words that heartbeats change: whose, and what. */
#define TAG(generation) ((apr_uint64_t)((generation) & 0xffff) << 48)
#define TAG_OF(word) ((word) & TAG(0xffff))
#define VALUE_MAX (((apr_uint64_t)1 << 48) - 1)
#define VALUE_OF(word) ((word) & VALUE_MAX)
/* The word `said': the load, one more than it is, and when the signature was made. */
#define LOAD_MAX 65000
#define SAID(load, created) ((apr_uint64_t)((apr_uint32_t)(load) + 1) << 32 | (created))
#define SAID_LOAD(word) ((apr_int32_t)((word) >> 32 & 0xffff) - 1)
#define SAID_CREATED(word) ((apr_uint32_t)(word))

/** An id. */
typedef struct usher_roster_id_t {
    apr_uint64_t word[2];
} usher_roster_id_t;
_Static_assert(sizeof(usher_roster_id_t) == USHER_ID_SIZE, "an id is two words");

static inline usher_roster_id_t usher_roster_id_of(const unsigned char *id)
{
    usher_roster_id_t words;

    memcpy(&words, id, sizeof(words));
    return words;
}

static inline apr_int32_t usher_roster_bound_load(apr_int32_t load)
{
    return load < -1 ? -1 : load > LOAD_MAX ? LOAD_MAX : load;
}

/** Give all texts their NULs. */
void usher_roster_terminate(usher_roster_entry_t *entry);

/** What lies in a slot, whoever writes there. */
void usher_roster_load(const usher_roster_slot_t *slot, usher_roster_entry_t *entry);

/** The place of a member; -1: it is not there. */
apr_int64_t usher_roster_find(const usher_roster_table_t *table, usher_roster_id_t id);

/** Change the word `said'. @param load  -1: it stays @param created  0: it stays
 * @return 0; -1: it is of another generation; -2: created is older */
int usher_roster_say(_Atomic apr_uint64_t *word, apr_uint32_t generation, apr_int32_t load,
                     apr_uint32_t created);

#endif /* USHER_ROSTER_PRIVATE_H */
