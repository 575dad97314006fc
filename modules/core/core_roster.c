/* The roster: members that signed themselves in, in the piece "roster"; how they lie there is
 * usher_roster_table.h's business.
 *
 * Changes are made under the piece's lock; readers and heartbeats take it only where they find
 * a slot that stays half written, so that its writer is waited for, or its work is done if it
 * was killed. The parent waits for no lock for long. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core_private.h"
#include "usher_clock.h"
#include "usher_roster_table.h"

APLOG_USE_MODULE(usher);

#define ROSTER_MEMBERS 4096
#define ROSTER_MEMBERS_LEAST 16
#define EVENT_KEY "usher-roster-event-1"
/* How long a restart waits for the lock. */
#define PARENT_LOCK_WAIT (2 * APR_USEC_PER_SEC)

static usher_memory_t *memory;
static pid_t parent;
static int event = -1;

/* The memory as it is used: found anew in each call.
 * @return 0: there is none */
static int roster_open(usher_roster_table_t *table)
{
    apr_uint64_t size = 0;
    void *base = core_memory_base(memory, &size);

    if (base) {
        usher_roster_table_open(table, base, size);
    }
    return base != NULL;
}

static apr_int64_t roster_now(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

/* Whoever makes the checks looks at once. When nobody has read for 2^64 changes this fails,
 * and the descriptor is readable all the same. */
static void roster_signal(void)
{
    apr_uint64_t one = 1;

    if (event >= 0 && write(event, &one, sizeof(one)) < 0) {
        return;
    }
}

static void roster_repair(void *base, apr_uint64_t size)
{
    usher_roster_table_t table;

    usher_roster_table_open(&table, base, size);
    if (usher_roster_table_mend(&table)) {
        roster_signal();
    }
}

static apr_status_t roster_carry(void *to, apr_uint64_t to_size, const void *from,
                                 apr_uint64_t from_size, apr_uint32_t from_layout,
                                 usher_memory_carried_t *carried)
{
    usher_roster_table_t fresh, old;

    if (from_layout != 1) {
        return APR_ENOTIMPL;
    }
    usher_roster_table_open(&fresh, to, to_size);
    usher_roster_table_open(&old, (void *)from, from_size);
    usher_roster_table_carry(&fresh, &old, &carried->kept, &carried->dropped);
    return APR_SUCCESS;
}

static usher_memory_spec_t roster_spec = {
    .name = "roster",
    .layout = 1,
    .size_max = (apr_uint64_t)1 << 30,
    .repair = roster_repair,
    .carry = roster_carry,
};

void core_roster_check_config(void)
{
    roster_spec.size = APR_ALIGN(usher_roster_table_size(ROSTER_MEMBERS), 1024);
    roster_spec.size_min = APR_ALIGN(usher_roster_table_size(ROSTER_MEMBERS_LEAST), 1024);
    memory = core_memory_declare(&roster_spec);
}

/* One for all of httpd's life: children of earlier generations signal it as well. */
void core_roster_post_config(server_rec *s)
{
    int *kept = ap_retained_data_get(EVENT_KEY);

    parent = getpid();
    if (!kept) {
        kept = ap_retained_data_create(EVENT_KEY, sizeof(*kept));
        *kept = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (*kept < 0) {
            ap_log_error(APLOG_MARK, APLOG_ERR, APR_FROM_OS_ERROR(errno), s, USHERLOGNO(1095)
                         "roster: the system gives no descriptor for its events; new members "
                         "are checked a second later. Raise the limit of open files, and stop "
                         "and start httpd");
        }
    }
    event = *kept;
}

int core_roster_event(void)
{
    return event;
}

static apr_status_t roster_lock(void)
{
    return getpid() == parent ? core_memory_lock_within(memory, PARENT_LOCK_WAIT)
                              : core_memory_lock(memory);
}

apr_status_t core_roster_set(const usher_roster_entry_t *entry)
{
    usher_roster_table_t table;
    apr_status_t rv = roster_open(&table) ? roster_lock() : APR_ENOSHMAVAIL;
    int told = 0;

    if (rv == APR_SUCCESS) {
        rv = usher_roster_table_set(&table, entry, &told);
        core_memory_unlock(memory);
    }
    if (told) {
        roster_signal();
    }
    return rv;
}

apr_status_t core_roster_remove(const unsigned char *id, apr_uint64_t version)
{
    usher_roster_table_t table;
    apr_status_t rv = roster_open(&table) ? roster_lock() : APR_ENOSHMAVAIL;

    if (rv == APR_SUCCESS) {
        rv = usher_roster_table_remove(&table, id, version);
        core_memory_unlock(memory);
    }
    return rv;
}

int core_roster_renew(const unsigned char *id, apr_int32_t load, apr_uint32_t created)
{
    usher_roster_table_t table;
    int rc = roster_open(&table) ? usher_roster_table_renew(&table, id, load, created, roster_now())
                                 : -1;

    if (rc == USHER_ROSTER_BUSY && roster_lock() == APR_SUCCESS) {
        rc = usher_roster_table_renew(&table, id, load, created, roster_now());
        core_memory_unlock(memory);
    }
    return rc == USHER_ROSTER_BUSY ? -1 : rc;
}

int core_roster_get(const unsigned char *id, usher_roster_entry_t *entry)
{
    usher_roster_table_t table;
    int found = roster_open(&table) ? usher_roster_table_get(&table, id, entry) : 0;

    if (found == USHER_ROSTER_BUSY && roster_lock() == APR_SUCCESS) {
        found = usher_roster_table_get(&table, id, entry);
        core_memory_unlock(memory);
    }
    return found == 1;
}

apr_uint64_t core_roster_removed(const unsigned char *id)
{
    usher_roster_table_t table;
    apr_uint64_t version = 0;

    if (roster_open(&table) && roster_lock() == APR_SUCCESS) {
        version = usher_roster_table_removed(&table, id);
        core_memory_unlock(memory);
    }
    return version;
}

/* Under the lock nobody writes there: what is half written then is garbage. */
static int roster_at_locked(const usher_roster_table_t *table, apr_uint32_t at,
                            usher_roster_entry_t *entry)
{
    int found;

    if (roster_lock() != APR_SUCCESS) {
        return 0;
    }
    usher_roster_table_mend_slot(table, at);
    found = usher_roster_table_at(table, at, entry);
    core_memory_unlock(memory);
    return found;
}

void core_roster_each(int (*see)(void *baton, const usher_roster_entry_t *entry), void *baton)
{
    usher_roster_table_t table;
    usher_roster_entry_t entry;
    apr_uint32_t i;
    int go_on = 1;

    if (!roster_open(&table)) {
        return;
    }
    for (i = 0; i < table.count && go_on; ++i) {
        int found = usher_roster_table_at(&table, i, &entry);

        if (found == USHER_ROSTER_BUSY) {
            found = roster_at_locked(&table, i, &entry);
        }
        go_on = found != 1 || see(baton, &entry);
    }
}

apr_uint32_t core_roster_count(const char *owner)
{
    usher_roster_table_t table;

    return roster_open(&table) ? usher_roster_table_count(&table, owner) : 0;
}

const _Atomic apr_uint32_t *core_roster_changes(const char *cluster)
{
    static const _Atomic apr_uint32_t none;
    usher_roster_table_t table;

    return roster_open(&table) ? usher_roster_table_changes(&table, cluster) : &none;
}
