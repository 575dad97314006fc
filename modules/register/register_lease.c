/* What the store tells of members, and what time does to them: leases end, drains end.
 *
 * Each node looks at all leases, in its tick; who says so first in the store has done it, as
 * the change names the version that it replaces. Nobody's lease ends while heartbeats could
 * not have come, or could not be kept: not before a whole lease has passed since then. */
#include "register_member.h"
#include "register_record.h"

APLOG_USE_MODULE(usher_register);

/* Nor before that, where leases are shorter. ms */
#define GRACE_MIN 60000
/* The tick comes each second: it, and so all of httpd, stood still. ms */
#define GAP 10000
/* Changes of one tick: the queue of the store is for others as well. */
#define TICK_MAX 256
/* Tombstones: longer than any lease. ms */
#define LIFE (2 * (apr_int64_t)REGISTER_TIME_MAX)

/* At most so many lines in this time about records that cannot be taken: they come again and
 * again, as often as all of a database is read. ms */
#define LINES_MAX 20
#define LINES_TIME 600000

/* In the parent, before there are children: the members of an earlier life of httpd. */
static int is_child;

/* Only one thread of a process is here: the store's, or the parent. */
static int lease_may_log(apr_int64_t now)
{
    static apr_int64_t since;
    static int lines;

    if (!since || now - since >= LINES_TIME) {
        since = now;
        lines = 0;
    }
    return lines < LINES_MAX && ++lines;
}

static void lease_apply(const usher_store_record_t *record, server_rec *s, apr_pool_t *ptemp)
{
    const usher_clock_t *clock = usher_clock_system();
    apr_int64_t now = clock->boot_now() / 1000;
    usher_roster_entry_t entry = { .load = -1 };
    apr_status_t rv;

    if (!record->value) {
        if (register_record_read_key(&entry, record->key)) {
            register_core->roster_remove(entry.id, record->version);
        }
        return;
    }
    if (!register_record_read(&entry, record->key, record->value, clock)) {
        if (lease_may_log(now)) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(6020)
                         "usher-register: the store has a member \"%s\" that no Usher of this "
                         "release has written: it is left out; find out who writes there",
                         register_audit_text(ptemp, record->key));
        }
        return;
    }
    entry.version = record->version;
    if (!is_child && entry.lease < GRACE_MIN && entry.expires_at > now) {
        entry.expires_at = now + GRACE_MIN;
    }
    rv = register_core->roster_set(&entry);
    if (APR_STATUS_IS_ENOSPC(rv) && lease_may_log(now)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(6021)
                     "usher-register: there is no room for member %s/%s: give more with "
                     "\"UsherMemory roster\"", entry.cluster, entry.route);
    }
}

const usher_store_kind_t register_member_kind = { "member", lease_apply };

typedef struct {
    apr_pool_t *pool;
    server_rec *s;
    register_shm_t *shm;
    apr_int64_t now;
    apr_int64_t unsafe_at;     /* 0: it was never */
    apr_array_header_t *due; /* usher_roster_entry_t * */
} lease_walk_t;

static int lease_has_ended(const lease_walk_t *walk, const usher_roster_entry_t *entry)
{
    apr_int64_t grace = entry->lease < GRACE_MIN ? GRACE_MIN : (apr_int64_t)entry->lease;

    return !entry->drain_until && walk->now >= entry->expires_at
           && (!walk->unsafe_at || walk->now - walk->unsafe_at >= grace);
}

static int lease_see(void *baton, const usher_roster_entry_t *entry)
{
    lease_walk_t *walk = baton;

    if (lease_has_ended(walk, entry) || (entry->drain_until && walk->now >= entry->drain_until)) {
        APR_ARRAY_PUSH(walk->due, usher_roster_entry_t *) =
            apr_pmemdup(walk->pool, entry, sizeof(*entry));
    }
    return walk->due->nelts < TICK_MAX;
}

static void lease_tell(const lease_walk_t *walk, const usher_roster_entry_t *entry, int ended)
{
    const char *cluster = register_audit_text(walk->pool, entry->cluster);
    const char *route = register_audit_text(walk->pool, entry->route);

    if (ended) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, walk->s, USHERLOGNO(6011)
                     "usher-register: %s/%s has sent no heartbeat for %s: it drains for %s",
                     cluster, route, register_audit_time(walk->pool, entry->lease),
                     register_audit_time(walk->pool, register_settings.drain / 1000));
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, walk->s, USHERLOGNO(6012)
                     "usher-register: %s/%s is removed: its drain is over", cluster, route);
    }
    register_count(ended ? REGISTER_COUNT_EXPIRED : REGISTER_COUNT_REMOVED);
}

/* Whether this is the first time that it is tried: else the store is slow, or has lost the record. */
static int lease_is_first(const lease_walk_t *walk, const usher_roster_entry_t *entry)
{
    apr_uint64_t key;

    memcpy(&key, entry->id, sizeof(key));
    key ^= entry->version;
    return atomic_exchange(&walk->shm->told[key % REGISTER_TOLD], key) != key;
}

/* Nobody waits for it: if it fails, the next tick does it. @return 0: the store takes no more */
static int lease_change(const lease_walk_t *walk, const usher_roster_entry_t *entry)
{
    char key[USHER_STORE_KEY_MAX + 1], value[USHER_STORE_VALUE_MAX + 1];
    usher_store_change_t change = {
        .kind = &register_member_kind,
        .key = register_record_key(key, entry->cluster, entry->route), .was = entry->version,
        .life = LIFE,
    };
    usher_roster_entry_t to = *entry, checked;
    int ended = !entry->drain_until, first = lease_is_first(walk, entry);

    if (!first && walk->now / 1000 % 2) {
        change.was = 0;
    }
    if (!register_record_read_key(&checked, key)) {
        return 1; /* a child has written garbage */
    }
    if (ended) {
        to.drain_until = walk->now + register_settings.drain / 1000;
        change.value = value;
        change.life = 0;
        if (!register_record_write(value, &to, usher_clock_system())) {
            return 1;
        }
    }
    if (register_core->store_put(&change, 1, 0) != USHER_STORE_HANDED) {
        return 0;
    }
    if (first) {
        lease_tell(walk, entry, ended);
    }
    return 1;
}

static void lease_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    register_shm_t *shm = register_count_shm();
    lease_walk_t walk = { .pool = ptemp, .s = s, .shm = shm };
    usher_store_state_t store = { 0 };
    apr_int64_t was;
    int i;

    if (!shm) {
        return;
    }
    walk.now = usher_clock_system()->boot_now() / 1000;
    was = atomic_exchange(&shm->ticked_at, walk.now);
    register_core->store_state(&store);
    if (!store.is_up || (was && walk.now - was > GAP)) {
        atomic_store(&shm->unsafe_at, walk.now);
    }
    if (!store.is_up) {
        return;
    }
    walk.unsafe_at = atomic_load(&shm->unsafe_at);
    walk.unsafe_at = walk.unsafe_at > walk.now ? walk.now : walk.unsafe_at;
    walk.due = apr_array_make(ptemp, 16, sizeof(usher_roster_entry_t *));
    register_core->roster_each(lease_see, &walk);
    for (i = 0; i < walk.due->nelts
                && lease_change(&walk, APR_ARRAY_IDX(walk.due, i, usher_roster_entry_t *)); ++i) {
    }
}

void register_lease_post_config(void)
{
    static const usher_tick_work_t work = {
        .name = "leases of members", .where = USHER_TICK_CHILD, .run = lease_tick,
    };

    is_child = ap_state_query(AP_SQ_CONFIG_GEN) > 1;
    register_core->tick_add(&work);
}

void register_lease_child_init(void)
{
    is_child = 1;
}
