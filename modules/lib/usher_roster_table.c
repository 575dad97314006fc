#include "usher_roster_private.h"

#include <apr_general.h>
#include <sched.h>
#include <stddef.h>

#define LINE 64
#define HEADER_SIZE APR_ALIGN(sizeof(usher_roster_header_t), LINE)
/* Twice as many removed ones as there can be members. */
#define MEMBERS_PER_BUCKET 4
#define MEMBER_SIZE (sizeof(usher_roster_slot_t) + sizeof(usher_roster_index_t))
#define BUCKET_SIZE (USHER_ROSTER_BUCKET * sizeof(usher_roster_removed_t))

/* Of looks at a slot that is written: a writer takes less than a microsecond, unless it has
 * to wait for a processor. */
#define LOOKS_MAX 200
#define LOOKS_BUSY 100

/* The memory */

static apr_uint32_t table_buckets(apr_uint32_t count)
{
    return (count + MEMBERS_PER_BUCKET - 1) / MEMBERS_PER_BUCKET;
}

static apr_uint64_t table_index_size(apr_uint32_t count)
{
    return APR_ALIGN(count * (apr_uint64_t)sizeof(usher_roster_index_t), LINE);
}

apr_uint64_t usher_roster_table_size(apr_uint32_t members)
{
    return HEADER_SIZE + table_index_size(members) + members * (apr_uint64_t)sizeof(usher_roster_slot_t)
           + table_buckets(members) * (apr_uint64_t)BUCKET_SIZE;
}

void usher_roster_table_open(usher_roster_table_t *table, void *base, apr_uint64_t size)
{
    apr_uint64_t count = (size - HEADER_SIZE) / (MEMBER_SIZE + BUCKET_SIZE / MEMBERS_PER_BUCKET);
    char *at = (char *)base + HEADER_SIZE;

    table->count = count < APR_INT32_MAX ? (apr_uint32_t)count : APR_INT32_MAX;
    while (table->count > 1 && usher_roster_table_size(table->count) > size) {
        --table->count; /* what alignment needs */
    }
    while (usher_roster_table_size(table->count + 1) <= size) {
        ++table->count;
    }
    table->buckets = table_buckets(table->count);
    table->header = base;
    table->index = (usher_roster_index_t *)at;
    at += table_index_size(table->count);
    table->slots = (usher_roster_slot_t *)at;
    table->removed = (usher_roster_removed_t *)(table->slots + table->count);
}

_Atomic apr_uint32_t *usher_roster_table_changes(const usher_roster_table_t *table,
                                                 const char *cluster)
{
    apr_uint32_t hash = 2166136261u; /* FNV-1a: all that matters is who shares a counter */
    const char *at;

    for (at = cluster; *at; ++at) {
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    }
    return &table->header->changes[(hash ^ hash >> 16) % USHER_ROSTER_CHANGES];
}

/* Reading */

void usher_roster_terminate(usher_roster_entry_t *entry)
{
    entry->cluster[sizeof(entry->cluster) - 1] = '\0';
    entry->route[sizeof(entry->route) - 1] = '\0';
    entry->url[sizeof(entry->url) - 1] = '\0';
    entry->owner[sizeof(entry->owner) - 1] = '\0';
    entry->check[sizeof(entry->check) - 1] = '\0';
    entry->labels[sizeof(entry->labels) - 1] = '\0';
    entry->secret[sizeof(entry->secret) - 1] = '\0';
}

/* What a word says, where it is of this generation; else what the entry itself says. */
static apr_int64_t table_word(const _Atomic apr_uint64_t *word, apr_uint32_t generation,
                              apr_int64_t otherwise)
{
    apr_uint64_t is = atomic_load(word);

    return TAG_OF(is) == TAG(generation) ? (apr_int64_t)VALUE_OF(is) : otherwise;
}

static void table_load_lease(const usher_roster_slot_t *slot, usher_roster_entry_t *entry)
{
    apr_uint64_t said = atomic_load(&slot->said);

    entry->expires_at = table_word(&slot->expires, entry->generation, entry->expires_at);
    entry->saved_at = table_word(&slot->saved, entry->generation, entry->saved_at);
    if (TAG_OF(said) == TAG(entry->generation)) {
        entry->load = SAID_LOAD(said);
        entry->created = SAID_CREATED(said);
    }
}

void usher_roster_load(const usher_roster_slot_t *slot, usher_roster_entry_t *entry)
{
    apr_size_t i;

    for (i = 0; i < USHER_ROSTER_WORDS; ++i) {
        apr_uint64_t word = atomic_load_explicit(&slot->words[i], memory_order_relaxed);

        memcpy((char *)entry + 8 * i, &word, sizeof(word));
    }
    usher_roster_terminate(entry);
    table_load_lease(slot, entry);
}

int usher_roster_table_at(const usher_roster_table_t *table, apr_uint32_t at,
                          usher_roster_entry_t *entry)
{
    const usher_roster_slot_t *slot = &table->slots[at];
    int looks;

    for (looks = 0; looks < LOOKS_MAX; ++looks) {
        apr_uint32_t before = atomic_load_explicit(&slot->sequence, memory_order_acquire);

        if (before & 1) {
            if (looks >= LOOKS_BUSY) {
                sched_yield();
            }
            continue;
        }
        if (atomic_load(&table->index[at].state) != INDEX_USED) {
            return 0;
        }
        usher_roster_load(slot, entry);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&slot->sequence, memory_order_relaxed) == before) {
            return 1;
        }
    }
    return USHER_ROSTER_BUSY;
}

#define OWNER_WORDS (USHER_ROSTER_OWNER_SIZE / 8)

/* An owner's name as words, and which of their bits count: up to its NUL. */
typedef struct {
    apr_uint64_t words[OWNER_WORDS], bits[OWNER_WORDS];
    apr_size_t count;
} table_owner_t;

static table_owner_t table_owner(const char *owner)
{
    apr_size_t size = strlen(owner) + 1;
    table_owner_t name = { { 0 }, { 0 }, (size + 7) / 8 };

    if (size > USHER_ROSTER_OWNER_SIZE) {
        name.count = OWNER_WORDS + 1; /* nobody's */
        return name;
    }
    memcpy(name.words, owner, size);
    memset(name.bits, 0xff, size);
    return name;
}

/* Without a copy: most names differ, or end, in the first words. */
static int table_is_owner(const usher_roster_slot_t *slot, const table_owner_t *name)
{
    enum { FIRST = offsetof(usher_roster_entry_t, owner) / 8 };
    _Static_assert(offsetof(usher_roster_entry_t, owner) % 8 == 0, "read by words");
    apr_uint64_t differs = name->count > OWNER_WORDS;
    apr_size_t i;

    for (i = 0; i < name->count && !differs; ++i) {
        differs = (atomic_load_explicit(&slot->words[FIRST + i], memory_order_relaxed) ^ name->words[i])
                  & name->bits[i];
    }
    return !differs;
}

apr_uint32_t usher_roster_table_count(const usher_roster_table_t *table, const char *owner)
{
    table_owner_t name = table_owner(owner);
    apr_uint32_t at, count = 0;

    for (at = 0; at < table->count; ++at) {
        count += atomic_load_explicit(&table->index[at].state, memory_order_relaxed) == INDEX_USED
                 && table_is_owner(&table->slots[at], &name);
    }
    return count;
}

apr_int64_t usher_roster_find(const usher_roster_table_t *table, usher_roster_id_t id)
{
    apr_uint32_t i, at = (apr_uint32_t)(id.word[0] % table->count);

    for (i = 0; i < table->count; ++i) {
        const usher_roster_index_t *index = &table->index[at];
        apr_uint32_t state = atomic_load(&index->state);

        if (state == INDEX_EMPTY) {
            break;
        }
        if (state == INDEX_USED
            && atomic_load_explicit(&index->id[0], memory_order_relaxed) == id.word[0]
            && atomic_load_explicit(&index->id[1], memory_order_relaxed) == id.word[1]) {
            return at;
        }
        at = at + 1 == table->count ? 0 : at + 1;
    }
    return -1;
}

int usher_roster_table_get(const usher_roster_table_t *table, const unsigned char *id,
                           usher_roster_entry_t *entry)
{
    apr_int64_t at = usher_roster_find(table, usher_roster_id_of(id));
    int found = at < 0 ? 0 : usher_roster_table_at(table, (apr_uint32_t)at, entry);

    return found == 1 && memcmp(entry->id, id, USHER_ID_SIZE) ? 0 : found;
}

/* Heartbeats */

/* @return 0: it is of another generation, or later than that already */
static int table_later(_Atomic apr_uint64_t *word, apr_uint32_t generation, apr_int64_t value)
{
    apr_uint64_t was = atomic_load(word), is = TAG(generation) | ((apr_uint64_t)value & VALUE_MAX);

    while (TAG_OF(was) == TAG(generation) && was < is) {
        if (atomic_compare_exchange_weak(word, &was, is)) {
            return 1;
        }
    }
    return 0;
}

int usher_roster_say(_Atomic apr_uint64_t *word, apr_uint32_t generation, apr_int32_t load,
                     apr_uint32_t created)
{
    apr_uint64_t was = atomic_load(word), is;

    do {
        if (TAG_OF(was) != TAG(generation)) {
            return -1;
        }
        if (created && created < SAID_CREATED(was)) {
            return -2;
        }
        is = TAG(generation) | SAID(load < 0 ? SAID_LOAD(was) : load,
                                    created ? created : SAID_CREATED(was));
    } while (!atomic_compare_exchange_weak(word, &was, is));
    return 0;
}

int usher_roster_table_renew(const usher_roster_table_t *table, const unsigned char *id,
                             apr_int32_t load, apr_uint32_t created, apr_int64_t now)
{
    apr_int64_t at = usher_roster_find(table, usher_roster_id_of(id));
    usher_roster_slot_t *slot = &table->slots[at < 0 ? 0 : at];
    usher_roster_entry_t entry;
    int rc = at < 0 ? 0 : usher_roster_table_at(table, (apr_uint32_t)at, &entry);

    if (rc != 1) {
        return rc == 0 ? -1 : rc;
    }
    if (memcmp(entry.id, id, USHER_ID_SIZE)) {
        return -1;
    }
    rc = usher_roster_say(&slot->said, entry.generation, usher_roster_bound_load(load), created);
    if (rc != 0) {
        return rc;
    }
    table_later(&slot->expires, entry.generation, now + entry.lease);
    return now - entry.saved_at >= entry.lease / 3
           && table_later(&slot->saved, entry.generation, now);
}

