/* Members that leave the registry: the record of one is given up once nobody holds it. */
#include "core_registry.h"

/* The place that a record has; no less than count: it is none of them. */
static apr_uint64_t registry_place(const core_registry_table_t *table,
                                   const usher_member_rec_t *rec)
{
    apr_uintptr_t from = (apr_uintptr_t)table->records, at = (apr_uintptr_t)rec;

    return at >= from && (at - from) % sizeof(core_registry_record_t) == 0
               ? (at - from) / sizeof(core_registry_record_t) : table->count;
}

/* The table, and where a record lies in it. @return 0: it is none of its records */
static int registry_open_at(core_registry_table_t *table, const usher_member_rec_t *rec,
                            apr_uint64_t *at)
{
    if (!core_registry_open(table)) {
        return 0;
    }
    *at = registry_place(table, rec);
    return *at < table->count;
}

void core_registry_leave(usher_member_rec_t *rec)
{
    core_registry_table_t table;
    apr_uint64_t at;

    if (registry_open_at(&table, rec, &at) && core_registry_lock() == APR_SUCCESS) {
        atomic_store(&table.entries[at].has_left, 1);
        core_registry_unlock();
    }
}

static int registry_is_it(const core_registry_table_t *table, apr_uint64_t at,
                          apr_uint32_t generation)
{
    return atomic_load(&table->entries[at].state) == CORE_REGISTRY_USED
           && table->entries[at].kind == CORE_REGISTRY_MEMBER
           && table->records[at].any.generation == generation;
}

int core_registry_hold(usher_member_rec_t *rec, apr_uint32_t generation)
{
    core_registry_table_t table;
    apr_uint64_t at;
    int is_it;

    if (!registry_open_at(&table, rec, &at) || !core_holds_take(at)) {
        return 0;
    }
    is_it = registry_is_it(&table, at, generation);
    /* A sweep may just be looking who holds it. */
    if (!is_it && core_registry_lock() == APR_SUCCESS) {
        is_it = registry_is_it(&table, at, generation);
        core_registry_unlock();
    }
    if (!is_it) {
        core_holds_give(at);
    }
    return is_it;
}

void core_registry_release(usher_member_rec_t *rec)
{
    core_registry_table_t table;
    apr_uint64_t at;

    if (registry_open_at(&table, rec, &at)) {
        core_holds_give(at);
    }
}
