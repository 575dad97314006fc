/* Locks of the pieces: one each, robust against the death of its holder.
 *
 * httpd's global mutexes free themselves when their holder is killed, but do
 * not tell. So the holder marks the piece dirty before its first change and
 * clean after its last; who finds it dirty repairs it first. A mark left by a
 * repair that was itself killed makes the next one repair again. */
#include <http_main.h>
#include <unistd.h>

#include "core_private.h"

APLOG_USE_MODULE(usher);

static void enter(usher_memory_t *memory)
{
    core_memory_header_t *header = memory->header;
    apr_uint32_t dead = atomic_exchange(&header->dirty, (apr_uint32_t)getpid());

    if (dead) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, USHERLOGNO(1018)
                     "memory \"%s\": process %u died while it changed it; the "
                     "contents are checked and mended. Look above for why the "
                     "process died", header->name, dead);
        if (memory->spec->repair) {
            memory->spec->repair(header + 1, header->size);
        }
    }
}

apr_status_t core_memory_lock(usher_memory_t *memory)
{
    apr_status_t rv;

    if (!memory || !memory->header || !memory->lock) {
        return APR_ENOLOCK;
    }
    rv = apr_global_mutex_lock(memory->lock);
    if (rv == APR_SUCCESS) {
        enter(memory);
    }
    return rv;
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
    if (rv == APR_SUCCESS) {
        enter(memory);
    }
    return APR_STATUS_IS_EBUSY(rv) ? APR_TIMEUP : rv;
}

void core_memory_unlock(usher_memory_t *memory)
{
    atomic_store(&memory->header->dirty, 0);
    apr_global_mutex_unlock(memory->lock);
}
