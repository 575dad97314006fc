/**
 * @file  ban_export.h
 * @brief UsherBanExport inside: the parent, which runs the program; the tick, which feeds it;
 *        everybody, who says what has changed.
 *
 * Any child can write anything into the piece "ban-export". The worst that comes of it: the
 * program is told a ban once more, or all of them again.
 */
#ifndef BAN_EXPORT_H
#define BAN_EXPORT_H

#include "ban_private.h"

/** Changes that may wait for the tick; when there are more, all bans are told again. */
#define BAN_EXPORT_RING 4096

/** A prefix that something has happened to. */
typedef struct ban_export_slot_t {
    _Atomic apr_uint64_t turn; /**< which it is, from 1: all of it is there */
    _Atomic apr_uint64_t high, low;
    _Atomic apr_uint32_t bits;
    apr_uint32_t pad;
} ban_export_slot_t;

typedef struct ban_export_shm_t {
    _Atomic apr_uint32_t generation; /**< of the configuration: whose children feed the program */
    _Atomic apr_uint32_t started;    /**< how often a program was */
    _Atomic apr_uint32_t whole;      /**< the start that was told all bans */
    apr_uint32_t pad;
    _Atomic apr_uint64_t head, tail; /**< turns that were given, and told */
    ban_export_slot_t slots[BAN_EXPORT_RING];
} ban_export_shm_t;
_Static_assert(sizeof(ban_export_shm_t) == 32 + 32 * BAN_EXPORT_RING, "part of a segment's layout");

/* ban_export.c */

/** NULL: there is no UsherBanExport, or no memory. */
ban_export_shm_t *ban_export_shm(void);
/** The next prefix that waits, without taking it. @return 1; 0: none; -1: some were lost */
int ban_export_peek(ban_prefix_t *prefix);
/** What was peeked at has been told. */
void ban_export_pop(void);
/** All that waits need not be told. */
void ban_export_skip(void);

/* ban_export_program.c */

/** In the parent, in post_config. */
void ban_export_program_start(const char *command, apr_pool_t *pconf, server_rec *s);
/** Where the program reads from, in children; never blocks. -1: there is none */
int ban_export_program_fd(void);

/* ban_export_feed.c */

void ban_export_feed_start(void); /**< in post_config */

#endif /* BAN_EXPORT_H */
