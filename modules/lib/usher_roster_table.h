/**
 * @file  usher_roster_table.h
 * @brief The roster's memory: a hash table of members, read without a lock.
 *
 * Who changes members holds a lock, which is not this file's business; each slot has a
 * sequence, odd while it is written, by which readers know that their copy is whole. Each
 * change is written down before it is begun: when its writer is killed, who takes the lock
 * next carries it to its end (usher_roster_table_mend()). Heartbeats change nothing but
 * words that say whose they are: without the lock, and without a look at the sequence.
 *
 * Fixed width, no pointers; zeros are an empty table; whatever stands there is understood.
 * Times are ms of the boot clock.
 */
#ifndef USHER_ROSTER_TABLE_H
#define USHER_ROSTER_TABLE_H

#include <apr_errno.h>
#include <stdatomic.h>

#include "usher_roster.h"

/** Counters of changes; clusters share them by their names' hash. */
#define USHER_ROSTER_CHANGES 256

/** Others have such a slot in hand, or had when they were killed: lock, mend, try again. */
#define USHER_ROSTER_BUSY (-3)

/** The words of an entry, so that a copy that is just changed is no undefined behaviour. */
#define USHER_ROSTER_WORDS (sizeof(usher_roster_entry_t) / 8)
_Static_assert(sizeof(usher_roster_entry_t) % 8 == 0, "copied by words");

typedef struct usher_roster_slot_t {
    _Atomic apr_uint32_t sequence;
    apr_uint32_t pad;
    /* What heartbeats change: the lowest 16 bits of the generation, and what it is. */
    _Atomic apr_uint64_t expires, saved, said;
    _Atomic apr_uint64_t words[USHER_ROSTER_WORDS];
    apr_uint64_t spare[2];
} usher_roster_slot_t;
_Static_assert(sizeof(usher_roster_slot_t) % 64 == 0, "part of a segment's layout");

/** Where an id is; slot for slot. */
typedef struct usher_roster_index_t {
    _Atomic apr_uint64_t id[2];
    _Atomic apr_uint32_t state;
    apr_uint32_t pad;
} usher_roster_index_t;

/** A member that was taken out. */
typedef struct usher_roster_removed_t {
    apr_uint64_t id[2];
    apr_uint64_t version; /**< 0: nobody */
    apr_uint64_t serial;  /**< the greater, the later */
} usher_roster_removed_t;

typedef struct usher_roster_header_t {
    _Atomic apr_uint32_t generation; /**< given last */
    /* The change under way. */
    _Atomic apr_uint32_t change;
    apr_uint32_t at;
    apr_uint32_t told; /**< it goes into changes[] */
    apr_uint64_t version;
    apr_uint64_t serial; /**< of removed members */
    apr_uint64_t spare[4];
    _Atomic apr_uint32_t changes[USHER_ROSTER_CHANGES];
    usher_roster_entry_t entry;
} usher_roster_header_t;

/** Where a process finds it all. Set by usher_roster_table_open(). */
typedef struct usher_roster_table_t {
    usher_roster_header_t *header;
    usher_roster_index_t *index;
    usher_roster_slot_t *slots;
    usher_roster_removed_t *removed;
    apr_uint32_t count;   /**< slots */
    apr_uint32_t buckets; /**< of removed */
} usher_roster_table_t;

/** Bytes for so many members. */
apr_uint64_t usher_roster_table_size(apr_uint32_t members);

/** @param base  aligned to 64
 * @param size  at least usher_roster_table_size(1) */
void usher_roster_table_open(usher_roster_table_t *table, void *base, apr_uint64_t size);

/** The counter of changes of a cluster. */
_Atomic apr_uint32_t *usher_roster_table_changes(const usher_roster_table_t *table,
                                                 const char *cluster);

/* Without the lock */

/** @return 1; 0: there is no such member; USHER_ROSTER_BUSY */
int usher_roster_table_get(const usher_roster_table_t *table, const unsigned char *id,
                           usher_roster_entry_t *entry);

/** The member in a slot. @param at  below count
 * @return 1; 0: it has none; USHER_ROSTER_BUSY */
int usher_roster_table_at(const usher_roster_table_t *table, apr_uint32_t at,
                          usher_roster_entry_t *entry);

/** How many members somebody has signed in, without copying them: one that is written just now may
 * be counted or not. */
apr_uint32_t usher_roster_table_count(const usher_roster_table_t *table, const char *owner);

/** A heartbeat. @return as usher_core_t's roster_renew(); USHER_ROSTER_BUSY */
int usher_roster_table_renew(const usher_roster_table_t *table, const unsigned char *id,
                             apr_int32_t load, apr_uint32_t created, apr_int64_t now);

/* Under the lock */

/** Carry a change to its end whose writer was killed. @return 1: there was one */
int usher_roster_table_mend(const usher_roster_table_t *table);

/** The same for a slot that is nobody's work: garbage; it is emptied. */
void usher_roster_table_mend_slot(const usher_roster_table_t *table, apr_uint32_t at);

/** Enter or change a member. @param told  gets 1 where it is new, or more of it changed than
 * what belongs to its lease
 * @return as usher_core_t's roster_set() */
apr_status_t usher_roster_table_set(const usher_roster_table_t *table,
                                    const usher_roster_entry_t *entry, int *told);

/** Take a member out. @return as usher_core_t's roster_remove() */
apr_status_t usher_roster_table_remove(const usher_roster_table_t *table, const unsigned char *id,
                                       apr_uint64_t version);

/** @return the version of a removed member; 0: not known */
apr_uint64_t usher_roster_table_removed(const usher_roster_table_t *table,
                                        const unsigned char *id);

/** Take all over into an empty table. From memory that others may write to meanwhile. */
void usher_roster_table_carry(const usher_roster_table_t *to, const usher_roster_table_t *from,
                              apr_uint64_t *kept, apr_uint64_t *dropped);

#endif /* USHER_ROSTER_TABLE_H */
