/**
 * @file  core_registry.h
 * @brief What the two files of the registry, core_registry.c and core_registry_leave.c,
 *        know of each other: how it lies in memory. Nobody else includes it.
 */
#ifndef CORE_REGISTRY_H
#define CORE_REGISTRY_H

#include "core_private.h"

/** What becomes of an entry. EMPTY was never used: it ends a search. */
enum {
    CORE_REGISTRY_EMPTY,
    CORE_REGISTRY_FREE,
    CORE_REGISTRY_WRITING,
    CORE_REGISTRY_USED
};
/** What its record is. */
enum { CORE_REGISTRY_CLUSTER = 1, CORE_REGISTRY_MEMBER };

typedef struct core_registry_entry_t {
    _Atomic apr_uint32_t state;
    apr_uint32_t kind;
    _Atomic apr_uint32_t mark;     /**< the last configuration that asked for it */
    _Atomic apr_uint32_t has_left; /**< it is given up when nobody holds it */
    unsigned char id[USHER_ID_SIZE];
} core_registry_entry_t;
_Static_assert(sizeof(core_registry_entry_t) == 32, "part of the segment's layout");

typedef union core_registry_record_t {
    usher_cluster_rec_t cluster;
    usher_member_rec_t member;
    /** What both begin with. */
    struct {
        unsigned char id[USHER_ID_SIZE];
        apr_uint32_t generation;
        apr_uint32_t place;
        _Atomic apr_int64_t left_at; /**< boot clock, ms; 0: in use */
    } any;
    char size[USHER_REGISTRY_RECORD_SIZE];
} core_registry_record_t;
_Static_assert(sizeof(core_registry_record_t) == USHER_REGISTRY_RECORD_SIZE,
               "part of the segment's layout");

typedef struct core_registry_header_t {
    _Atomic apr_uint32_t generation; /**< of the record given away last */
    _Atomic apr_uint32_t full;       /**< the configuration for which "full" was logged */
    apr_uint32_t pad[14];
} core_registry_header_t;
_Static_assert(sizeof(core_registry_header_t) == 64, "part of the segment's layout");

/** The piece as it is used. */
typedef struct core_registry_table_t {
    core_registry_header_t *header;
    core_registry_entry_t *entries;
    core_registry_record_t *records;
    apr_uint64_t count;
} core_registry_table_t;

/** Find the piece: anew in each call. @return 0: there is none */
int core_registry_open(core_registry_table_t *table);

/** Its lock. The parent does not wait for ever for a stopped child. */
apr_status_t core_registry_lock(void);
void core_registry_unlock(void);

#endif /* CORE_REGISTRY_H */
