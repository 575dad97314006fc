/* The registry: a record for each cluster and each member, in shared memory.
 *
 * A hash table of ids with open addressing. Finding needs no lock: an entry is
 * complete before its state says so. Entering needs the piece's lock. Nothing
 * is removed but by the sweep. It gives up what has left (core_registry_leave.c),
 * and what the present configuration has not asked for, ten minutes after it found
 * that: by then hardly a child of an older one is left that uses it, and if one
 * is, it spoils a count. What a process holds (core_holds.c) is never given up.
 *
 * The parent runs as root: it believes nothing that it reads here but compares,
 * and the number of places is reckoned from the size as the parent knows it. */
#include <openssl/sha.h>
#include <unistd.h>

#include "core_registry.h"
#include "usher_clock.h"

APLOG_USE_MODULE(usher);

#define GRACE (10 * 60 * 1000) /* ms */
#define REGISTRY_LAYOUT 2
#define CARRY_STEPS 256 /* of searching, for each place */
/* How long a restart waits for the lock. */
#define PARENT_LOCK_WAIT (2 * APR_USEC_PER_SEC)

/* Those of layout 1 were shorter, and began as these do. */
#define RECORD_SIZE_1 1024
_Static_assert(offsetof(usher_cluster_rec_t, left_at) == 24
               && offsetof(usher_member_rec_t, left_at) == 24, "both begin the same");

#define PLACE_SIZE (sizeof(core_registry_entry_t) + sizeof(core_registry_record_t))
#define OVERHEAD (2 * sizeof(core_registry_header_t)) /* the header, and alignment */

/* What an older layout's records are copied from. */
typedef struct {
    const core_registry_header_t *header;
    const core_registry_entry_t *entries;
    const char *records;
    apr_size_t record_size;
    apr_uint64_t count;
} registry_old_t;

/* Who is asked for. The texts are cut to what a record has room for. */
typedef struct {
    apr_uint32_t kind;
    unsigned char id[USHER_ID_SIZE];
    const char *name;   /* or the route */
    const char *server; /* or the URL */
    const unsigned char *cluster_id;
} registry_key_t;

static usher_memory_t *memory;
static apr_uint32_t configuration; /* its number */
static pid_t parent;
static int lock_failed; /* in the parent: it is not waited for again */

static apr_uint32_t registry_count(apr_uint64_t size)
{
    return (apr_uint32_t)((size - OVERHEAD) / PLACE_SIZE);
}

static core_registry_table_t registry_table(void *base, apr_uint64_t size)
{
    core_registry_table_t table = { base };

    table.count = (size - OVERHEAD) / PLACE_SIZE;
    table.entries = (core_registry_entry_t *)(table.header + 1);
    table.records = (core_registry_record_t *)APR_ALIGN(
        (apr_uintptr_t)(table.entries + table.count), 64);
    return table;
}

int core_registry_open(core_registry_table_t *table)
{
    apr_uint64_t size = 0;
    void *base = core_memory_base(memory, &size);

    if (base) {
        *table = registry_table(base, size);
    }
    return base != NULL;
}

static registry_old_t registry_old(const void *base, apr_uint64_t size, apr_uint32_t layout)
{
    registry_old_t old = { base };

    old.record_size = layout == 1 ? RECORD_SIZE_1 : sizeof(core_registry_record_t);
    old.count = (size - OVERHEAD) / (sizeof(core_registry_entry_t) + old.record_size);
    old.entries = (const core_registry_entry_t *)(old.header + 1);
    old.records = (const char *)APR_ALIGN((apr_uintptr_t)(old.entries + old.count), 64);
    return old;
}

static apr_uint64_t registry_home(const unsigned char *id, apr_uint64_t count)
{
    apr_uint64_t number;

    memcpy(&number, id, sizeof(number));
    return number % count;
}

/* What a killed process was writing is nobody's. Its entry may be anywhere. */
static void registry_repair(void *base, apr_uint64_t size)
{
    core_registry_table_t table = registry_table(base, size);
    apr_uint64_t i;

    for (i = 0; i < table.count; ++i) {
        if (atomic_load(&table.entries[i].state) >= CORE_REGISTRY_WRITING
            && atomic_load(&table.entries[i].state) != CORE_REGISTRY_USED) {
            atomic_store(&table.entries[i].state, CORE_REGISTRY_FREE);
        }
    }
}

/* The first place of an id's search that is nobody's; -1: there is none, or no
 * *steps are left, from which those are taken that were needed. */
static apr_int64_t registry_room(const core_registry_table_t *table, const unsigned char *id,
                                 apr_uint64_t *steps)
{
    apr_uint64_t home = registry_home(id, table->count);
    apr_uint64_t i;

    for (i = 0; i < table->count && *steps; ++i, --*steps) {
        apr_uint64_t at = (home + i) % table->count;

        if (atomic_load(&table->entries[at].state) != CORE_REGISTRY_USED) {
            return (apr_int64_t)at;
        }
    }
    return -1;
}

static void registry_enter(const core_registry_table_t *table, apr_uint64_t at, apr_uint32_t kind,
                           apr_uint32_t mark, const core_registry_record_t *record)
{
    core_registry_entry_t *entry = &table->entries[at];

    atomic_store(&entry->state, CORE_REGISTRY_WRITING);
    memcpy(&table->records[at], record, sizeof(*record));
    table->records[at].any.place = (apr_uint32_t)at;
    memcpy(entry->id, record->any.id, USHER_ID_SIZE);
    atomic_store(&entry->has_left, 0);
    entry->kind = kind;
    atomic_store(&entry->mark, mark);
    atomic_store(&entry->state, CORE_REGISTRY_USED);
}

/* Into memory of another size. Each record is copied before it is looked at: a
 * child may write to the old one meanwhile. */
static apr_status_t registry_carry(void *to, apr_uint64_t to_size, const void *from,
                                   apr_uint64_t from_size, apr_uint32_t from_layout,
                                   usher_memory_carried_t *carried)
{
    core_registry_table_t fresh = registry_table(to, to_size);
    registry_old_t old = registry_old(from, from_size, from_layout);
    /* More than a full table needs. A child could have written one id into all
     * records, whose searches would hold up the parent for ever. */
    apr_uint64_t steps = CARRY_STEPS * fresh.count;
    apr_uint64_t i;

    if (from_layout != 1 && from_layout != REGISTRY_LAYOUT) {
        return APR_ENOTIMPL;
    }
    atomic_store(&fresh.header->generation, atomic_load(&old.header->generation));
    for (i = 0; i < old.count; ++i) {
        apr_uint32_t kind = old.entries[i].kind;
        core_registry_record_t record;
        apr_int64_t at;

        if (atomic_load(&old.entries[i].state) != CORE_REGISTRY_USED
            || (kind != CORE_REGISTRY_CLUSTER && kind != CORE_REGISTRY_MEMBER)) {
            continue;
        }
        memset(&record, 0, sizeof(record));
        memcpy(&record, old.records + i * old.record_size, old.record_size);
        at = registry_room(&fresh, record.any.id, &steps);
        if (at < 0) {
            ++carried->dropped;
            continue;
        }
        registry_enter(&fresh, (apr_uint64_t)at, kind, atomic_load(&old.entries[i].mark), &record);
        ++carried->kept;
    }
    return APR_SUCCESS;
}

static const usher_memory_spec_t registry_spec = {
    .name = "registry",
    .layout = REGISTRY_LAYOUT,
    .size = 8704 * 1024, /* 4096 members and a hundred clusters */
    .size_min = 64 * 1024,
    .size_max = (apr_uint64_t)1 << 30,
    .repair = registry_repair,
    .carry = registry_carry,
};

void core_registry_check_config(void)
{
    memory = core_memory_declare(&registry_spec);
    core_holds_check_config(registry_count(registry_spec.size));
}

void core_registry_sized(void)
{
    core_holds_follow(memory && memory->wanted ? registry_count(memory->wanted) : 0);
}

void core_registry_post_config(void)
{
    configuration = (apr_uint32_t)ap_state_query(AP_SQ_CONFIG_GEN);
    parent = getpid();
    lock_failed = 0;
}

static apr_int64_t registry_now(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

/* Whether this configuration, or a newer one if this is an old child, has asked
 * for an entry before: then nobody gives it up. */
static int registry_is_marked(const core_registry_table_t *table, apr_uint64_t at)
{
    return (apr_int32_t)(atomic_load(&table->entries[at].mark) - configuration) >= 0;
}

/* Under the lock: whether a record's time is over, or it is noted that it begins. */
static int registry_is_over(const core_registry_table_t *table, apr_uint64_t at, apr_int64_t now)
{
    apr_int64_t left_at = atomic_load(&table->records[at].any.left_at);

    if (atomic_load(&table->entries[at].has_left)) {
        return 1;
    }
    if (registry_is_marked(table, at)) {
        return 0;
    }
    if (left_at <= 0 || left_at > now) {
        atomic_store(&table->records[at].any.left_at, now);
        return 0;
    }
    return now - left_at >= GRACE;
}

/* Under the lock: gives up what nobody wants any more. First it is nobody's, then
 * it is looked who holds it: who begins to do so does it the other way round. */
static void registry_sweep(const core_registry_table_t *table)
{
    apr_int64_t now = registry_now();
    apr_uint64_t i;

    core_holds_forget_gone();
    for (i = 0; i < table->count; ++i) {
        if (atomic_load(&table->entries[i].state) == CORE_REGISTRY_USED
            && registry_is_over(table, i, now)) {
            atomic_store(&table->entries[i].state, CORE_REGISTRY_FREE);
            if (core_holds_has(i)) {
                atomic_store(&table->entries[i].state, CORE_REGISTRY_USED);
            }
        }
    }
}

apr_status_t core_registry_lock(void)
{
    apr_status_t rv;

    if (getpid() != parent) {
        return core_memory_lock(memory);
    }
    if (lock_failed) {
        return APR_TIMEUP;
    }
    rv = core_memory_lock_within(memory, PARENT_LOCK_WAIT);
    if (rv != APR_SUCCESS) {
        lock_failed = 1;
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, ap_server_conf, USHERLOGNO(1026)
                     "registry: a process holds its lock; members that are new in "
                     "this configuration are entered when they are used first");
    }
    return rv;
}

void core_registry_unlock(void)
{
    core_memory_unlock(memory);
}

/* After all modules have asked for theirs. */
void core_registry_sweep(void)
{
    core_registry_table_t table;

    if (core_registry_open(&table) && core_registry_lock() == APR_SUCCESS) {
        registry_sweep(&table);
        core_registry_unlock();
    }
}

static apr_int64_t registry_find(const core_registry_table_t *table, const registry_key_t *key)
{
    apr_uint64_t home = registry_home(key->id, table->count);
    apr_uint64_t i;

    for (i = 0; i < table->count; ++i) {
        apr_uint64_t at = (home + i) % table->count;
        const core_registry_entry_t *entry = &table->entries[at];
        apr_uint32_t state = atomic_load(&entry->state);

        if (state == CORE_REGISTRY_EMPTY) {
            return -1;
        }
        if (state == CORE_REGISTRY_USED && entry->kind == key->kind
            && !memcmp(entry->id, key->id, USHER_ID_SIZE)) {
            return (apr_int64_t)at;
        }
    }
    return -1;
}

static void registry_texts(core_registry_record_t *record, const registry_key_t *key)
{
    if (key->kind == CORE_REGISTRY_CLUSTER) {
        apr_cpystrn(record->cluster.name, key->name, USHER_REGISTRY_NAME_SIZE);
        apr_cpystrn(record->cluster.server, key->server, USHER_REGISTRY_SERVER_SIZE);
    }
    else {
        apr_cpystrn(record->member.route, key->name, USHER_REGISTRY_ROUTE_SIZE);
        apr_cpystrn(record->member.url, key->server, USHER_REGISTRY_URL_SIZE);
    }
}

static void registry_fill(core_registry_record_t *record, const registry_key_t *key,
                          apr_uint32_t generation)
{
    memset(record, 0, sizeof(*record));
    memcpy(record->any.id, key->id, USHER_ID_SIZE);
    record->any.generation = generation;
    if (key->kind == CORE_REGISTRY_MEMBER) {
        memcpy(record->member.cluster_id, key->cluster_id, USHER_ID_SIZE);
    }
    registry_texts(record, key);
}

/* Under the lock. -1: full. */
static apr_int64_t registry_add(const core_registry_table_t *table, const registry_key_t *key)
{
    core_registry_record_t record;
    apr_uint64_t steps = 2 * table->count;
    apr_int64_t at = registry_room(table, key->id, &steps);

    if (at < 0) {
        registry_sweep(table);
        at = registry_room(table, key->id, &steps);
    }
    if (at >= 0) {
        registry_fill(&record, key, atomic_fetch_add(&table->header->generation, 1) + 1);
        registry_enter(table, (apr_uint64_t)at, key->kind, configuration, &record);
    }
    return at;
}

/* Once for each reading of the configuration, whichever process it is. */
static void registry_log_full(const core_registry_table_t *table)
{
    if (atomic_exchange(&table->header->full, configuration + 1) != configuration + 1) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, ap_server_conf, USHERLOGNO(1027)
                     "registry: its %" APR_UINT64_T_FMT " places are taken; children "
                     "do not share what they know of the members that have none. "
                     "Give it more with UsherMemory registry, 2K for each member "
                     "and cluster, and restart gracefully", table->count);
    }
}

/* Under the lock. A member may have another route in this configuration. */
static void registry_mark(const core_registry_table_t *table, apr_int64_t at,
                          const registry_key_t *key)
{
    if (!registry_is_marked(table, (apr_uint64_t)at)) {
        registry_texts(&table->records[at], key);
        atomic_store(&table->entries[at].mark, configuration);
    }
    atomic_store(&table->records[at].any.left_at, 0);
    atomic_store(&table->entries[at].has_left, 0);
}

/* Whether an entry must be entered or marked before it is used. */
static int registry_is_missing(const core_registry_table_t *table, apr_int64_t at)
{
    return at < 0 || !registry_is_marked(table, (apr_uint64_t)at)
           || atomic_load(&table->entries[at].has_left);
}

static core_registry_record_t *registry_get(const registry_key_t *key)
{
    core_registry_table_t table;
    apr_int64_t at;

    if (!core_registry_open(&table)) {
        return NULL;
    }
    at = registry_find(&table, key);
    if (registry_is_missing(&table, at)) {
        if (core_registry_lock() != APR_SUCCESS) {
            return at < 0 ? NULL : table.records + at;
        }
        at = registry_find(&table, key);
        if (at < 0) {
            at = registry_add(&table, key);
        }
        if (at >= 0) {
            registry_mark(&table, at, key);
        }
        core_registry_unlock();
    }
    if (at < 0) {
        registry_log_full(&table);
        return NULL;
    }
    return table.records + at;
}

/* Texts with their NULs, so that no two lists of texts are the same bytes. */
static int registry_id(unsigned char *id, const unsigned char *cluster_id, const char *a,
                       const char *b)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    unsigned char text[USHER_ID_SIZE + 2 * 1024];
    apr_size_t a_size = strlen(a) + 1, b_size = strlen(b) + 1, len = 0;

    if (a_size > 1024 || b_size > 1024) {
        return 0;
    }
    if (cluster_id) {
        memcpy(text, cluster_id, USHER_ID_SIZE);
        len = USHER_ID_SIZE;
    }
    memcpy(text + len, a, a_size);
    memcpy(text + len + a_size, b, b_size);
    if (!SHA256(text, len + a_size + b_size, digest)) {
        return 0;
    }
    memcpy(id, digest, USHER_ID_SIZE);
    return 1;
}

usher_cluster_rec_t *core_registry_cluster(const char *name, const char *server)
{
    registry_key_t key = { CORE_REGISTRY_CLUSTER, .name = name, .server = server ? server : "" };
    core_registry_record_t *record;

    if (!registry_id(key.id, NULL, key.name, key.server)) {
        return NULL;
    }
    record = registry_get(&key);
    return record ? &record->cluster : NULL;
}

usher_member_rec_t *core_registry_member(const usher_cluster_rec_t *cluster, const char *route,
                                         const char *url)
{
    registry_key_t key = { CORE_REGISTRY_MEMBER, .name = route ? route : "",
                           .server = url ? url : "" };
    unsigned char cluster_id[USHER_ID_SIZE];
    core_registry_record_t *record;

    if (!cluster) {
        return NULL;
    }
    memcpy(cluster_id, cluster->id, USHER_ID_SIZE);
    key.cluster_id = cluster_id;
    if (!registry_id(key.id, cluster_id, url ? "url" : "route", url ? url : key.name)) {
        return NULL;
    }
    record = registry_get(&key);
    return record ? &record->member : NULL;
}

apr_uint32_t core_registry_places(void)
{
    core_registry_table_t table;

    return core_registry_open(&table) ? (apr_uint32_t)table.count : 0;
}

void core_registry_each(int (*see)(void *baton, usher_cluster_rec_t *cluster,
                                   usher_member_rec_t *member), void *baton)
{
    core_registry_table_t table;
    apr_uint64_t i;
    int go_on = 1;

    if (!core_registry_open(&table)) {
        return;
    }
    for (i = 0; i < table.count && go_on; ++i) {
        core_registry_record_t *record = &table.records[i];

        if (atomic_load(&table.entries[i].state) == CORE_REGISTRY_USED
            && registry_is_marked(&table, i)
            && (!atomic_load(&table.entries[i].has_left) || core_holds_has(i))) {
            int is_member = table.entries[i].kind == CORE_REGISTRY_MEMBER;

            go_on = see(baton, is_member ? NULL : &record->cluster,
                        is_member ? &record->member : NULL);
        }
    }
}
