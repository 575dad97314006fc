/* Locks of the pieces: one each, robust against the death of its holder.
 *
 * httpd's global mutexes free themselves when their holder is killed, but do
 * not tell. So the holder marks the piece dirty before its first change and
 * clean after its last; who finds it dirty repairs it first. A mark left by a
 * repair that was itself killed makes the next one repair again. */
#include <http_main.h>
#include <unistd.h>

#include "core_private.h"
#include "usher_clock.h"

APLOG_USE_MODULE(usher);

/* At most one message in this time of each process about locks that fail. */
#define LOG_INTERVAL (60 * APR_USEC_PER_SEC)

/* Under the lock. APR_INCOMPLETE: half changed, and not ours to repair. */
static apr_status_t lock_enter(usher_memory_t *memory)
{
    core_memory_header_t *header = memory->header;
    const usher_memory_spec_t *spec = memory->spec;
    apr_uint32_t gone = atomic_load(&header->dirty);

    if (gone && memory->layout != spec->layout) {
        return APR_INCOMPLETE;
    }
    atomic_store(&header->dirty, (apr_uint32_t)getpid());
    if (gone) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, USHERLOGNO(1018)
                     "memory \"%s\": process %u ended while it changed it; the "
                     "contents are checked and mended. The lines above tell if "
                     "the process crashed", spec->name, gone);
        if (spec->repair) {
            spec->repair(header + 1, memory->size);
        }
    }
    return APR_SUCCESS;
}

static void lock_log_failure(const usher_memory_t *memory, apr_status_t rv)
{
    static _Atomic apr_int64_t logged_at; /* of this process */
    apr_int64_t now = usher_clock_system()->boot_now();
    apr_int64_t last = atomic_load(&logged_at);

    if ((!last || now - last >= LOG_INTERVAL)
        && atomic_compare_exchange_strong(&logged_at, &last, now)) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, ap_server_conf, USHERLOGNO(1025)
                     "memory \"%s\": its lock fails, nothing is changed there: "
                     "restart httpd gracefully, which makes a new one; if that "
                     "does not help, stop and start it",
                     memory->spec->name);
    }
}

apr_status_t core_memory_lock(usher_memory_t *memory)
{
    apr_status_t rv;

    if (!memory || !memory->header || !memory->lock) {
        return APR_ENOLOCK;
    }
    rv = apr_global_mutex_lock(memory->lock);
    if (rv != APR_SUCCESS) {
        lock_log_failure(memory, rv);
        return rv;
    }
    return lock_enter(memory); /* always succeeds: the layout is the module's */
}

apr_status_t core_memory_lock_within(usher_memory_t *memory, apr_interval_time_t limit)
{
    const apr_interval_time_t step = 10000;
    apr_status_t rv = apr_global_mutex_trylock(memory->lock);

    while (APR_STATUS_IS_EBUSY(rv) && limit > 0) {
        apr_sleep(step);
        limit -= step;
        rv = apr_global_mutex_trylock(memory->lock);
    }
    if (rv != APR_SUCCESS) {
        return APR_STATUS_IS_EBUSY(rv) ? APR_TIMEUP : rv;
    }
    rv = lock_enter(memory);
    if (rv != APR_SUCCESS) {
        apr_global_mutex_unlock(memory->lock);
    }
    return rv;
}

void core_memory_unlock(usher_memory_t *memory)
{
    atomic_store(&memory->header->dirty, 0);
    apr_global_mutex_unlock(memory->lock);
}
