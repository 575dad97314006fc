/* Changes: written down, then done, by this process or by the one that finds it killed. */
#include "usher_roster_private.h"

#define BUCKET USHER_ROSTER_BUCKET

enum { CHANGE_NONE, CHANGE_SET, CHANGE_REMOVE };

static void table_store(usher_roster_slot_t *slot, const usher_roster_entry_t *entry)
{
    apr_size_t i;

    for (i = 0; i < USHER_ROSTER_WORDS; ++i) {
        apr_uint64_t word;

        memcpy(&word, (const char *)entry + 8 * i, sizeof(word));
        atomic_store_explicit(&slot->words[i], word, memory_order_relaxed);
    }
}

/* A heartbeat may have come since the change was written down. */
static void table_store_lease(usher_roster_slot_t *slot, const usher_roster_entry_t *entry)
{
    apr_uint64_t tag = TAG(entry->generation);

    if (TAG_OF(atomic_load(&slot->said)) != tag
        || usher_roster_say(&slot->said, entry->generation, entry->load, entry->created) == -1) {
        atomic_store(&slot->said, tag | SAID(entry->load, entry->created));
    }
    if (TAG_OF(atomic_load(&slot->saved)) != tag) {
        atomic_store(&slot->saved, tag | ((apr_uint64_t)entry->saved_at & VALUE_MAX));
    }
    atomic_store(&slot->expires, tag | ((apr_uint64_t)entry->expires_at & VALUE_MAX));
}

static apr_uint32_t table_begin_slot(usher_roster_slot_t *slot)
{
    apr_uint32_t odd = atomic_load(&slot->sequence) | 1;

    atomic_store_explicit(&slot->sequence, odd, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return odd;
}

static void table_end_slot(usher_roster_slot_t *slot, apr_uint32_t odd)
{
    atomic_store_explicit(&slot->sequence, odd + 1, memory_order_release);
}

static void table_enter(const usher_roster_table_t *table, apr_uint32_t at,
                        const usher_roster_entry_t *entry)
{
    usher_roster_index_t *index = &table->index[at];
    usher_roster_slot_t *slot = &table->slots[at];
    usher_roster_id_t id = usher_roster_id_of(entry->id);
    apr_uint32_t odd = table_begin_slot(slot);

    table_store(slot, entry);
    table_store_lease(slot, entry);
    atomic_store_explicit(&index->id[0], id.word[0], memory_order_relaxed);
    atomic_store_explicit(&index->id[1], id.word[1], memory_order_relaxed);
    atomic_store(&index->state, INDEX_USED);
    table_end_slot(slot, odd);
}

/* Places before one that ends searches end them as well. */
static void table_free(const usher_roster_table_t *table, apr_uint32_t at)
{
    usher_roster_slot_t *slot = &table->slots[at];
    apr_uint32_t odd = table_begin_slot(slot);
    apr_uint32_t i;

    atomic_store(&table->index[at].state, INDEX_FREE);
    table_end_slot(slot, odd);
    for (i = 0; i < table->count; ++i) {
        apr_uint32_t next = at + 1 == table->count ? 0 : at + 1;

        if (atomic_load(&table->index[at].state) != INDEX_FREE
            || atomic_load(&table->index[next].state) != INDEX_EMPTY) {
            return;
        }
        atomic_store(&table->index[at].state, INDEX_EMPTY);
        at = at ? at - 1 : table->count - 1;
    }
}

static usher_roster_removed_t *table_bucket(const usher_roster_table_t *table, usher_roster_id_t id)
{
    return table->removed + id.word[1] % table->buckets * BUCKET;
}

static usher_roster_removed_t *table_find_removed(const usher_roster_table_t *table, usher_roster_id_t id)
{
    usher_roster_removed_t *bucket = table_bucket(table, id);
    int i;

    for (i = 0; i < BUCKET; ++i) {
        if (bucket[i].version && !memcmp(bucket[i].id, id.word, sizeof(id))) {
            return &bucket[i];
        }
    }
    return NULL;
}

/* The one that was removed first makes room. */
static void table_remember(const usher_roster_table_t *table, usher_roster_id_t id, apr_uint64_t version)
{
    usher_roster_removed_t *bucket = table_bucket(table, id);
    usher_roster_removed_t *place = table_find_removed(table, id);
    int i;

    for (i = 0; i < BUCKET && !place; ++i) {
        place = bucket[i].version ? NULL : &bucket[i];
    }
    if (!place) {
        place = bucket;
        for (i = 1; i < BUCKET; ++i) {
            place = bucket[i].serial < place->serial ? &bucket[i] : place;
        }
    }
    place->version = 0;
    memcpy(place->id, id.word, sizeof(id));
    place->serial = ++table->header->serial;
    place->version = version;
}

/* What is written down; may be begun again at any instruction, and again. From a copy, as
 * texts could lose their NULs meanwhile, and the parent is here as well. */
static void table_commit(const usher_roster_table_t *table)
{
    usher_roster_header_t *header = table->header;
    apr_uint32_t change = atomic_load(&header->change), at = header->at;
    usher_roster_entry_t entry = header->entry;
    usher_roster_id_t id = usher_roster_id_of(entry.id);
    usher_roster_removed_t *removed;

    usher_roster_terminate(&entry);
    if (at < table->count && change == CHANGE_SET) {
        table_enter(table, at, &entry);
        removed = table_find_removed(table, id);
        if (removed) {
            removed->version = 0;
        }
    }
    else if (at < table->count && change == CHANGE_REMOVE) {
        table_free(table, at);
        table_remember(table, id, header->version);
    }
    if (change != CHANGE_NONE && header->told) {
        atomic_fetch_add(usher_roster_table_changes(table, entry.cluster), 1);
    }
    atomic_store(&header->change, CHANGE_NONE);
}

int usher_roster_table_mend(const usher_roster_table_t *table)
{
    if (atomic_load(&table->header->change) == CHANGE_NONE) {
        return 0;
    }
    table_commit(table);
    return 1;
}

void usher_roster_table_mend_slot(const usher_roster_table_t *table, apr_uint32_t at)
{
    if (atomic_load(&table->slots[at].sequence) & 1) {
        table_free(table, at);
    }
}

static apr_uint32_t table_next_generation(const usher_roster_table_t *table)
{
    apr_uint32_t next = atomic_fetch_add(&table->header->generation, 1) + 1;

    return next ? next : atomic_fetch_add(&table->header->generation, 1) + 1;
}

/* The first place of an id's search that is nobody's. -1: full */
static apr_int64_t table_room(const usher_roster_table_t *table, usher_roster_id_t id)
{
    apr_uint32_t i, at = (apr_uint32_t)(id.word[0] % table->count);

    for (i = 0; i < table->count; ++i) {
        if (atomic_load(&table->index[at].state) != INDEX_USED) {
            return at;
        }
        at = at + 1 == table->count ? 0 : at + 1;
    }
    return -1;
}

/* What heartbeats said of it stays; a lease of another length counts from now on. So does one that begins to
 * drain: where it has ended, as another node says, who sends heartbeats to this one has to hear of it, and
 * sign in again. */
static void table_keep_lease(usher_roster_entry_t *entry, const usher_roster_entry_t *was)
{
    int begins_to_drain = entry->drain_until && !was->drain_until;

    if (was->lease == entry->lease && was->expires_at > entry->expires_at && !begins_to_drain) {
        entry->expires_at = was->expires_at;
    }
    if (was->saved_at > entry->saved_at) {
        entry->saved_at = was->saved_at;
    }
    if (was->created > entry->created) {
        entry->created = was->created;
    }
    entry->load = was->load;
}

/* Whether links to it, and checks of it, begin anew. */
static int table_is_elsewhere(const usher_roster_entry_t *entry, const usher_roster_entry_t *was)
{
    return strcmp(entry->url, was->url) || strcmp(entry->check, was->check)
           || strcmp(entry->secret, was->secret) || strcmp(entry->route, was->route)
           || strcmp(entry->cluster, was->cluster);
}

static int table_is_other(const usher_roster_entry_t *entry, const usher_roster_entry_t *was)
{
    return entry->generation != was->generation || entry->weight != was->weight
           || entry->drain_until != was->drain_until || strcmp(entry->owner, was->owner)
           || strcmp(entry->labels, was->labels);
}

static void table_bound(usher_roster_entry_t *entry)
{
    usher_roster_terminate(entry);
    entry->load = usher_roster_bound_load(entry->load);
    if (entry->expires_at < 0 || entry->expires_at > (apr_int64_t)VALUE_MAX) {
        entry->expires_at = entry->expires_at < 0 ? 0 : (apr_int64_t)VALUE_MAX;
    }
    if (entry->saved_at < 0 || entry->saved_at > (apr_int64_t)VALUE_MAX) {
        entry->saved_at = 0;
    }
}

/* The place of a member, and what it was there; without a version where it is new. -1: full */
static apr_int64_t table_was(const usher_roster_table_t *table, usher_roster_id_t id,
                             usher_roster_entry_t *was)
{
    apr_int64_t at = usher_roster_find(table, id);

    if (at >= 0) {
        usher_roster_load(&table->slots[at], was);
        if (memcmp(was->id, &id, sizeof(id))) {
            was->version = 0; /* somebody wrote there who should not */
        }
        return at;
    }
    memset(was, 0, sizeof(*was));
    return table_room(table, id);
}

apr_status_t usher_roster_table_set(const usher_roster_table_t *table,
                                    const usher_roster_entry_t *entry, int *told)
{
    apr_uint64_t removed = usher_roster_table_removed(table, entry->id);
    usher_roster_entry_t next = *entry, was;
    apr_int64_t at = table_was(table, usher_roster_id_of(entry->id), &was);
    int is_new = !was.version;

    *told = 0;
    if ((removed && removed >= entry->version) || (!is_new && was.version >= entry->version)) {
        return APR_EEXIST;
    }
    if (at < 0) {
        return APR_ENOSPC;
    }
    table_bound(&next);
    if (!is_new) {
        table_keep_lease(&next, &was);
    }
    next.generation = is_new || table_is_elsewhere(&next, &was) ? table_next_generation(table)
                                                                : was.generation;
    *told = is_new || table_is_other(&next, &was);
    table->header->entry = next;
    table->header->at = (apr_uint32_t)at;
    table->header->told = (apr_uint32_t)*told;
    atomic_store(&table->header->change, CHANGE_SET);
    table_commit(table);
    return APR_SUCCESS;
}

apr_status_t usher_roster_table_remove(const usher_roster_table_t *table, const unsigned char *id,
                                       apr_uint64_t version)
{
    usher_roster_header_t *header = table->header;
    apr_int64_t at = usher_roster_find(table, usher_roster_id_of(id));

    if (at >= 0) {
        usher_roster_load(&table->slots[at], &header->entry);
        if (header->entry.version >= version) {
            return APR_NOTFOUND;
        }
        memcpy(header->entry.id, id, USHER_ID_SIZE);
        header->at = (apr_uint32_t)at;
        header->told = 1;
        header->version = version;
        atomic_store(&header->change, CHANGE_REMOVE);
        table_commit(table);
        return APR_SUCCESS;
    }
    if (usher_roster_table_removed(table, id) < version) {
        table_remember(table, usher_roster_id_of(id), version);
    }
    return APR_NOTFOUND;
}

apr_uint64_t usher_roster_table_removed(const usher_roster_table_t *table,
                                        const unsigned char *id)
{
    const usher_roster_removed_t *removed = table_find_removed(table, usher_roster_id_of(id));

    return removed ? removed->version : 0;
}

/* Into memory of another size */

/* Where an id may be entered; -1: full, or it is there. Another child could have written one
 * id everywhere: no more than *steps, from which those are taken that were needed. */
static apr_int64_t table_carry_room(const usher_roster_table_t *to, usher_roster_id_t id,
                                    apr_uint64_t *steps)
{
    apr_uint32_t i, at = (apr_uint32_t)(id.word[0] % to->count);

    for (i = 0; i < to->count && *steps; ++i, --*steps) {
        const usher_roster_index_t *index = &to->index[at];

        if (atomic_load(&index->state) != INDEX_USED) {
            return at;
        }
        if (atomic_load(&index->id[0]) == id.word[0] && atomic_load(&index->id[1]) == id.word[1]) {
            return -1;
        }
        at = at + 1 == to->count ? 0 : at + 1;
    }
    return -1;
}

static void table_carry_members(const usher_roster_table_t *to, const usher_roster_table_t *from,
                                apr_uint64_t *kept, apr_uint64_t *dropped)
{
    apr_uint64_t steps = (apr_uint64_t)256 * to->count;
    apr_uint32_t i;

    for (i = 0; i < from->count; ++i) {
        usher_roster_entry_t entry;
        apr_int64_t at;

        if (atomic_load(&from->index[i].state) != INDEX_USED) {
            continue;
        }
        usher_roster_load(&from->slots[i], &entry);
        table_bound(&entry);
        at = table_carry_room(to, usher_roster_id_of(entry.id), &steps);
        if (at < 0) {
            ++*dropped;
            continue;
        }
        table_enter(to, (apr_uint32_t)at, &entry);
        ++*kept;
    }
}

void usher_roster_table_carry(const usher_roster_table_t *to, const usher_roster_table_t *from,
                              apr_uint64_t *kept, apr_uint64_t *dropped)
{
    apr_uint64_t i;

    atomic_store(&to->header->generation, atomic_load(&from->header->generation));
    for (i = 0; i < USHER_ROSTER_CHANGES; ++i) {
        atomic_store(&to->header->changes[i], atomic_load(&from->header->changes[i]) + 1);
    }
    table_carry_members(to, from, kept, dropped);
    for (i = 0; i < (apr_uint64_t)from->buckets * BUCKET; ++i) {
        usher_roster_removed_t removed = from->removed[i];
        usher_roster_id_t id;

        memcpy(id.word, removed.id, sizeof(id));
        if (removed.version) {
            table_remember(to, id, removed.version);
        }
    }
}
