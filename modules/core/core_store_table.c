/* Records in memory of the store's process: a hash table that grows, each record in a piece of
 * memory of its own, as they come and go. */
#include <stdlib.h>

#include "core_store_table.h"
#include "usher_clock.h"

#define CHAINS_MIN 256

struct core_store_table_t {
    core_store_entry_t **chains;
    apr_size_t mask; /* number of chains - 1 */
    apr_size_t count, size;
};

core_store_table_t *core_store_table_make(void)
{
    core_store_table_t *table = calloc(1, sizeof(*table));

    if (table) {
        table->mask = CHAINS_MIN - 1;
        table->chains = calloc(CHAINS_MIN, sizeof(core_store_entry_t *));
        if (!table->chains) {
            free(table);
            table = NULL;
        }
    }
    return table;
}

void core_store_table_free(core_store_table_t *table)
{
    apr_size_t i;

    if (!table) {
        return;
    }
    for (i = 0; i <= table->mask; ++i) {
        while (table->chains[i]) {
            core_store_entry_t *entry = table->chains[i];

            table->chains[i] = entry->next;
            free(entry);
        }
    }
    free(table->chains);
    free(table);
}

/* FNV-1a. Who knew keys that collide could make the table slow; those who name keys have
 * a key of their own, or could do worse. */
static apr_uint32_t table_hash(const char *kind, const char *key)
{
    apr_uint32_t hash = 2166136261u;

    for (; *kind; ++kind) {
        hash = (hash ^ (unsigned char)*kind) * 16777619u;
    }
    for (hash *= 16777619u; *key; ++key) {
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    }
    return hash;
}

core_store_entry_t *core_store_entry_make(const char *kind, const char *key, const char *value,
                                          apr_uint64_t version, apr_time_t expires_at)
{
    apr_size_t kind_size = strlen(kind) + 1, key_size = strlen(key) + 1;
    apr_size_t size = kind_size + key_size + (value ? strlen(value) + 1 : 0);
    core_store_entry_t *entry = malloc(sizeof(*entry) + size);
    char *text;

    if (!entry) {
        return NULL;
    }
    text = (char *)(entry + 1);
    entry->next = NULL;
    entry->hash = table_hash(kind, key);
    entry->version = version;
    entry->expires_at = expires_at;
    entry->size = size;
    entry->kind = memcpy(text, kind, kind_size);
    entry->key = memcpy(text + kind_size, key, key_size);
    entry->value = value ? memcpy(text + kind_size + key_size, value, size - kind_size - key_size)
                         : NULL;
    return entry;
}

static int table_is(const core_store_entry_t *entry, apr_uint32_t hash, const char *kind,
                    const char *key)
{
    return entry->hash == hash && !strcmp(entry->key, key) && !strcmp(entry->kind, kind);
}

/* Where the entry hangs, or the end of its chain. */
static core_store_entry_t **table_place(const core_store_table_t *table, apr_uint32_t hash,
                                        const char *kind, const char *key)
{
    core_store_entry_t **at = &table->chains[hash & table->mask];

    while (*at && !table_is(*at, hash, kind, key)) {
        at = &(*at)->next;
    }
    return at;
}

/* Without memory it stays as it is, and becomes slower. */
static void table_grow(core_store_table_t *table)
{
    apr_size_t mask = 2 * table->mask + 1, i;
    core_store_entry_t **chains = calloc(mask + 1, sizeof(core_store_entry_t *));

    if (!chains) {
        return;
    }
    for (i = 0; i <= table->mask; ++i) {
        while (table->chains[i]) {
            core_store_entry_t *entry = table->chains[i];

            table->chains[i] = entry->next;
            entry->next = chains[entry->hash & mask];
            chains[entry->hash & mask] = entry;
        }
    }
    free(table->chains);
    table->chains = chains;
    table->mask = mask;
}

static void table_remove(core_store_table_t *table, core_store_entry_t **at)
{
    core_store_entry_t *entry = *at;

    *at = entry->next;
    table->count--;
    table->size -= entry->size;
    free(entry);
}

void core_store_table_put(core_store_table_t *table, core_store_entry_t *entry)
{
    core_store_entry_t **at = table_place(table, entry->hash, entry->kind, entry->key);

    if (*at && (*at)->version > entry->version) {
        free(entry);
        return;
    }
    if (*at) {
        table_remove(table, at);
    }
    entry->next = *at;
    *at = entry;
    table->size += entry->size;
    if (++table->count > 2 * table->mask) {
        table_grow(table);
    }
}

static int table_lives(const core_store_entry_t *entry, apr_time_t now)
{
    return !entry->expires_at || entry->expires_at > now;
}

const core_store_entry_t *core_store_table_find(const core_store_table_t *table, const char *kind,
                                                const char *key)
{
    const core_store_entry_t *entry = *table_place(table, table_hash(kind, key), kind, key);

    return entry && table_lives(entry, usher_clock_system()->boot_now()) ? entry : NULL;
}

void core_store_table_sweep(core_store_table_t *table)
{
    apr_time_t now = usher_clock_system()->boot_now();
    apr_size_t i;

    for (i = 0; i <= table->mask; ++i) {
        core_store_entry_t **at = &table->chains[i];

        while (*at) {
            if (table_lives(*at, now)) {
                at = &(*at)->next;
            }
            else {
                table_remove(table, at);
            }
        }
    }
}

int core_store_table_each(const core_store_table_t *table,
                          int (*see)(void *baton, const core_store_entry_t *entry), void *baton)
{
    apr_time_t now = usher_clock_system()->boot_now();
    const core_store_entry_t *entry;
    apr_size_t i;

    for (i = 0; i <= table->mask; ++i) {
        for (entry = table->chains[i]; entry; entry = entry->next) {
            if (table_lives(entry, now) && !see(baton, entry)) {
                return 0;
            }
        }
    }
    return 1;
}

apr_size_t core_store_table_count(const core_store_table_t *table)
{
    return table->count;
}

apr_size_t core_store_table_size(const core_store_table_t *table)
{
    return table->size;
}

void core_store_entry_tell(const core_store_entry_t *entry, core_store_see_t *see, void *baton)
{
    apr_time_t now = usher_clock_system()->boot_now();
    usher_store_record_t record = { entry->key, entry->value, entry->version, 0 };

    if (entry->expires_at) {
        record.life = entry->expires_at > now + 1000 ? (entry->expires_at - now) / 1000 : 1;
    }
    see(entry->kind, &record, baton);
}

/* What would be there after all that is pending. */
static const core_store_entry_t *table_foresee(const core_store_table_t *table,
                                               const core_store_pending_t *pending,
                                               const usher_store_change_t *change)
{
    apr_uint32_t hash = table_hash(change->kind->name, change->key);
    int i;

    for (i = pending->n - 1; i >= 0; --i) {
        if (table_is(pending->entries[i], hash, change->kind->name, change->key)) {
            return pending->entries[i];
        }
    }
    return core_store_table_find(table, change->kind->name, change->key);
}

static void pending_cut(core_store_pending_t *pending, int n)
{
    while (pending->n > n) {
        free(pending->entries[--pending->n]);
    }
}

/* @return 0: no memory */
static int pending_add(core_store_pending_t *pending, const usher_store_change_t *change)
{
    apr_time_t expires_at = change->life
                            ? usher_clock_system()->boot_now() + change->life * 1000 : 0;
    core_store_entry_t *entry = core_store_entry_make(change->kind->name, change->key,
                                                      change->value, change->version, expires_at);

    if (entry) {
        pending->entries[pending->n++] = entry;
    }
    return entry != NULL;
}

static usher_store_result_e table_judge_batch(const core_store_table_t *table,
                                              core_store_batch_t *batch, int is_lax,
                                              core_store_pending_t *pending)
{
    int first = pending->n, i;

    for (i = 0; i < batch->n; ++i) {
        const usher_store_change_t *change = &batch->changes[i];
        const core_store_entry_t *there = table_foresee(table, pending, change);

        if (there && there->version == change->version) {
            continue; /* done by a thread that ended before it could say so */
        }
        if (there ? there->version != change->was : change->was && !is_lax) {
            pending_cut(pending, first);
            return USHER_STORE_CONFLICT;
        }
        if (!pending_add(pending, change)) {
            pending_cut(pending, first);
            return USHER_STORE_DOWN;
        }
    }
    return USHER_STORE_DONE;
}

void core_store_table_judge(const core_store_table_t *table, core_store_batch_t *batches, int n,
                            int is_lax, core_store_pending_t *pending)
{
    int i;

    pending->n = 0;
    for (i = 0; i < n; ++i) {
        batches[i].result = table_judge_batch(table, &batches[i], is_lax, pending);
    }
}

void core_store_table_settle(core_store_table_t *table, core_store_batch_t *batches, int n,
                             core_store_pending_t *pending, core_store_see_t *see, void *baton)
{
    int i, c;

    for (i = 0; i < pending->n; ++i) {
        core_store_table_put(table, pending->entries[i]);
    }
    for (i = 0; i < n; ++i) {
        for (c = 0; c < batches[i].n; ++c) {
            usher_store_change_t *change = &batches[i].changes[c];
            /* Also where its life is over by now. */
            const core_store_entry_t *there =
                *table_place(table, table_hash(change->kind->name, change->key),
                             change->kind->name, change->key);

            if (there) {
                core_store_entry_tell(there, see, baton);
            }
            if (batches[i].result == USHER_STORE_CONFLICT) {
                change->version = there ? there->version : 0;
            }
        }
    }
    pending->n = 0;
}

void core_store_table_drop(core_store_batch_t *batches, int n, core_store_pending_t *pending)
{
    int i;

    pending_cut(pending, 0);
    for (i = 0; i < n; ++i) {
        batches[i].result = USHER_STORE_DOWN;
    }
}
