/**
 * @file  core_store_table.h
 * @brief The store's records in memory of one process, for engines that keep them there: which
 *        version is there, and what a change would do. One thread.
 */
#ifndef CORE_STORE_TABLE_H
#define CORE_STORE_TABLE_H

#include "core_store.h"

typedef struct core_store_table_t core_store_table_t;

/** A record. Its texts follow in the same piece of memory. */
typedef struct core_store_entry_t {
    struct core_store_entry_t *next;
    apr_uint32_t hash;
    apr_uint64_t version;
    apr_time_t expires_at;   /**< boot clock; 0: never */
    const char *kind, *key, *value; /**< value NULL: it was deleted */
    apr_size_t size;         /**< bytes of all texts */
} core_store_entry_t;

/** What a commit would change, in its order; not yet in the table. */
typedef struct core_store_pending_t {
    core_store_entry_t *entries[CORE_STORE_TAKE_MAX * USHER_STORE_TOGETHER_MAX];
    int n;
} core_store_pending_t;

/** @return NULL: no memory */
core_store_table_t *core_store_table_make(void);
void core_store_table_free(core_store_table_t *table);

/** @return NULL: no memory */
core_store_entry_t *core_store_entry_make(const char *kind, const char *key, const char *value,
                                          apr_uint64_t version, apr_time_t expires_at);

/** Put an entry in, where no greater version is there; it is the table's, or freed. */
void core_store_table_put(core_store_table_t *table, core_store_entry_t *entry);

/** @return NULL: there is none, or its life is over */
const core_store_entry_t *core_store_table_find(const core_store_table_t *table, const char *kind,
                                                const char *key);

/** Forget those whose life is over. */
void core_store_table_sweep(core_store_table_t *table);

/** Each entry that lives, in no order. @param see  returns 0 to stop */
int core_store_table_each(const core_store_table_t *table,
                          int (*see)(void *baton, const core_store_entry_t *entry), void *baton);

/** How many there are, and the bytes of their texts. */
apr_size_t core_store_table_count(const core_store_table_t *table);
apr_size_t core_store_table_size(const core_store_table_t *table);

/**
 * Decide which batches can be done, one after another: their results are DONE or CONFLICT, or
 * DOWN without memory. Nothing is changed yet.
 * @param is_lax  a record that is not there may be replaced, whatever it was: of a table that
 *                does not outlive its process
 */
void core_store_table_judge(const core_store_table_t *table, core_store_batch_t *batches, int n,
                            int is_lax, core_store_pending_t *pending);

/** They are durable: put them in, and tell of all; versions of conflicts are set. */
void core_store_table_settle(core_store_table_t *table, core_store_batch_t *batches, int n,
                             core_store_pending_t *pending, core_store_see_t *see, void *baton);

/** They are not: all batches are refused with DOWN. */
void core_store_table_drop(core_store_batch_t *batches, int n, core_store_pending_t *pending);

/** Tell of an entry. */
void core_store_entry_tell(const core_store_entry_t *entry, core_store_see_t *see, void *baton);

#endif /* CORE_STORE_TABLE_H */
