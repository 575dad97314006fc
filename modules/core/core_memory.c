/* Retained shared memory: named pieces that outlive restarts.
 *
 * A piece is an anonymous segment in the process pool, which httpd clears only
 * when it ends. Children of several generations may use one at the same time,
 * some with older code: so nothing in it points anywhere, and another layout
 * or size is always a new segment. Which segments there are is kept in this
 * process (memory_retained_t); children have the parent's copy of it by fork. */
#include <apr_shm.h>
#include <http_main.h>
#include <unistd.h>
#include <unixd.h>
#include <util_mutex.h>

#include "core_private.h"
#include "usher_size.h"

APLOG_USE_MODULE(usher);

#define MAGIC "USHERMEM"
#define SEGMENTS_MAX 64
/* What the base of a piece is aligned to; apr_shm_create() aligns to less. */
#define ALIGNMENT 64
/* How long a restart waits for the lock of a piece that it carries over. */
#define CARRY_LOCK_WAIT (2 * APR_USEC_PER_SEC)

/* One segment. Also read by newer code after a restart with another version of
 * this module: another layout of these structs needs another RETAINED_KEY. */
typedef struct {
    char name[USHER_MEMORY_NAME_MAX + 1];
    apr_pool_t *pool; /* of the segment and its lock; below the process pool */
    core_memory_header_t *header;
    apr_uint64_t size;
    apr_uint32_t layout;
    apr_global_mutex_t *lock;
} memory_segment_t;

typedef struct {
    memory_segment_t segments[SEGMENTS_MAX];
    unsigned int count;
    unsigned int made; /* ever; tells the lock files of old and new apart */
} memory_retained_t;

#define RETAINED_KEY "usher-memory-1"

static apr_array_header_t *memory_pieces; /* of usher_memory_t *, in pconf */
static pid_t memory_parent; /* who opened them */

static memory_retained_t *memory_retained(void)
{
    memory_retained_t *kept = ap_retained_data_get(RETAINED_KEY);

    return kept ? kept : ap_retained_data_create(RETAINED_KEY, sizeof(*kept));
}

void core_memory_pre_config(apr_pool_t *pconf)
{
    memory_pieces = apr_array_make(pconf, 8, sizeof(usher_memory_t *));
}

const apr_array_header_t *core_memory_all(void)
{
    return memory_pieces;
}

usher_memory_t *core_memory_find(const char *name)
{
    int i;

    for (i = 0; i < memory_pieces->nelts; ++i) {
        usher_memory_t *memory = APR_ARRAY_IDX(memory_pieces, i, usher_memory_t *);

        if (!strcmp(memory->spec->name, name)) {
            return memory;
        }
    }
    return NULL;
}

usher_memory_t *core_memory_declare(const usher_memory_spec_t *spec)
{
    usher_memory_t *memory;

    ap_assert(strlen(spec->name) <= USHER_MEMORY_NAME_MAX);
    if (core_memory_find(spec->name) || memory_pieces->nelts == SEGMENTS_MAX) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, ap_server_conf, USHERLOGNO(1019)
                     "memory \"%s\": two modules ask for it, or there are too "
                     "many pieces; the second one stays off. Please report this "
                     "with the list of loaded modules", spec->name);
        return NULL;
    }
    memory = apr_pcalloc(memory_pieces->pool, sizeof(*memory));
    memory->spec = spec;
    memory->wanted = spec->size;
    APR_ARRAY_PUSH(memory_pieces, usher_memory_t *) = memory;
    return memory;
}

void *core_memory_base(usher_memory_t *memory, apr_uint64_t *size)
{
    if (!memory || !memory->header) {
        return NULL;
    }
    if (size) {
        *size = memory->size;
    }
    return memory->header + 1;
}

static memory_segment_t *memory_find_segment(memory_retained_t *kept, const char *name)
{
    unsigned int i;

    for (i = 0; i < kept->count; ++i) {
        if (!strcmp(kept->segments[i].name, name)) {
            return &kept->segments[i];
        }
    }
    return NULL;
}

static void memory_use(usher_memory_t *memory, const memory_segment_t *segment)
{
    memory->header = segment->header;
    memory->size = segment->size;
    memory->layout = segment->layout;
    memory->lock = segment->lock;
}

static apr_status_t memory_make_lock(memory_segment_t *segment, server_rec *s,
                                     unsigned int number)
{
    apr_status_t rv = ap_global_mutex_create(
        &segment->lock, NULL, CORE_MUTEX_TYPE,
        apr_psprintf(segment->pool, "%s-%u", segment->name, number), s, segment->pool, 0);

    /* When the holder of such a lock is killed its waiters never wake.
     * check_config refuses it; at a restart it comes so far. */
    if (rv == APR_SUCCESS && apr_global_mutex_mech(segment->lock) == APR_LOCK_POSIXSEM) {
        rv = APR_ENOTIMPL;
    }
    return rv;
}

static apr_status_t memory_make_segment(memory_segment_t *segment, const usher_memory_t *memory,
                                        server_rec *s, unsigned int number)
{
    const usher_memory_spec_t *spec = memory->spec;
    core_memory_header_t *header;
    apr_shm_t *shm;
    apr_status_t rv;

    memset(segment, 0, sizeof(*segment));
    apr_pool_create(&segment->pool, s->process->pool);
    apr_cpystrn(segment->name, spec->name, sizeof(segment->name));
    segment->layout = spec->layout;
    segment->size = memory->wanted;
    rv = apr_shm_create(&shm, (apr_size_t)(sizeof(core_memory_header_t) + segment->size) + ALIGNMENT,
                        NULL, segment->pool);
    if (rv == APR_SUCCESS) {
        rv = memory_make_lock(segment, s, number);
    }
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(segment->pool);
        return rv;
    }
    header = (core_memory_header_t *)APR_ALIGN((apr_uintptr_t)apr_shm_baseaddr_get(shm), ALIGNMENT);
    segment->header = header;
    /* The rest is zeros, and not written here: the system gives memory when it
     * is touched. */
    memcpy(header->magic, MAGIC, sizeof(header->magic));
    header->layout = segment->layout;
    header->size = segment->size;
    apr_cpystrn(header->name, segment->name, sizeof(header->name));
    if (spec->init) {
        spec->init(header + 1, segment->size);
    }
    return APR_SUCCESS;
}

/* Whether what stands in a segment is what this process knows of it. */
static int memory_is_sound(const memory_segment_t *segment)
{
    const core_memory_header_t *header = segment->header;

    return !memcmp(header->magic, MAGIC, sizeof(header->magic))
           && !strncmp(header->name, segment->name, sizeof(header->name))
           && header->size == segment->size && header->layout == segment->layout;
}

/* A lock that answers neither "yes" nor "busy" will never answer otherwise. */
static int memory_lock_works(const memory_segment_t *segment)
{
    apr_status_t rv = apr_global_mutex_trylock(segment->lock);

    if (rv == APR_SUCCESS) {
        apr_global_mutex_unlock(segment->lock);
    }
    return rv == APR_SUCCESS || APR_STATUS_IS_EBUSY(rv);
}

/* Takes what the old segment holds into the fresh one. APR_TIMEUP: its lock is
 * busy; other errors: the contents cannot be used, and the fresh one may hold
 * half of them. */
static apr_status_t memory_carry(const usher_memory_spec_t *spec, const memory_segment_t *old,
                                 const memory_segment_t *fresh, usher_memory_carried_t *carried)
{
    usher_memory_t from = { spec };
    apr_status_t rv;

    if (!spec->carry) {
        return APR_ENOTIMPL;
    }
    memory_use(&from, old);
    rv = core_memory_lock_within(&from, CARRY_LOCK_WAIT);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = spec->carry(fresh->header + 1, fresh->size, old->header + 1, old->size, old->layout,
                     carried);
    core_memory_unlock(&from);
    return rv;
}

static void memory_log_carried(const memory_segment_t *old, const memory_segment_t *fresh,
                               apr_status_t rv, const usher_memory_carried_t *carried,
                               server_rec *s)
{
    char was[USHER_SIZE_SIZE], is[USHER_SIZE_SIZE];

    usher_size_format(was, old->size);
    usher_size_format(is, fresh->size);
    if (rv == APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(1010)
                     "memory \"%s\" was %s of layout %u and is %s of layout %u: "
                     "%" APR_UINT64_T_FMT " records carried over, "
                     "%" APR_UINT64_T_FMT " dropped", fresh->name, was, old->layout,
                     is, fresh->layout, carried->kept, carried->dropped);
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(1011)
                     "memory \"%s\" was %s of layout %u and is %s of layout %u: "
                     "it begins empty, as %s", fresh->name, was, old->layout, is,
                     fresh->layout,
                     APR_STATUS_IS_TIMEUP(rv) ? "a process held the lock of the old one"
                     : APR_STATUS_IS_INCOMPLETE(rv) ? "a process ended in the middle of "
                       "changing the old one"
                     : "this version cannot read the old one");
    }
}

/* Goes on with a segment from before this restart. */
static void memory_keep(usher_memory_t *memory, const memory_segment_t *old)
{
    ap_unixd_set_global_mutex_perms(old->lock); /* User may be another now */
    memory_use(memory, old);
}

/* What to do when no new segment can be had, or not filled: keep the old one
 * where its layout still fits, else do without; at the first start, refuse. */
static int memory_do_without(usher_memory_t *memory, const memory_segment_t *old,
                             apr_status_t rv, server_rec *s)
{
    const char *name = memory->spec->name;
    char text[USHER_SIZE_SIZE];

    usher_size_format(text, memory->wanted);
    if (old && old->layout == memory->spec->layout) {
        memory_keep(memory, old);
        ap_log_error(APLOG_MARK, APLOG_EMERG, APR_STATUS_IS_ENOTIMPL(rv) ? 0 : rv, s, USHERLOGNO(1012)
                     "memory \"%s\": cannot change to %s now, it keeps what it "
                     "has: look at UsherMemory, at the Mutex directive and at "
                     "the limits of memory, and restart again", name, text);
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, APR_STATUS_IS_ENOTIMPL(rv) ? 0 : rv, s, USHERLOGNO(1013)
                 "memory \"%s\": cannot get %s%s: look at UsherMemory, at the "
                 "Mutex directive and at the limits of memory", name, text,
                 usher_conf_may_refuse() ? "" : "; what needs it is off");
    return usher_conf_may_refuse() ? !OK : OK;
}

/* A segment that must not be used any more, for a reason that is logged here:
 * the piece begins anew. */
static int memory_is_lost(const memory_segment_t *segment, server_rec *s)
{
    if (!memory_is_sound(segment)) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1014)
                     "memory \"%s\": its header was overwritten by some child of "
                     "this httpd; it begins empty. Find out what runs in httpd's "
                     "children, and report it if it is Usher", segment->name);
        return 1;
    }
    if (!memory_lock_works(segment)) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1024)
                     "memory \"%s\": its lock does not work any more; it begins "
                     "empty, with a new lock. Please report this with the Mutex "
                     "directives and the MPM", segment->name);
        return 1;
    }
    return 0;
}

/* Carries the old segment over into the fresh one, and gives the old one up:
 * it is unmapped here, and what children of earlier generations change there
 * from now on is lost. Where that fails for now, the fresh one is given up. */
static apr_status_t memory_replace(const usher_memory_t *memory, const memory_segment_t *old,
                                   memory_segment_t *fresh, server_rec *s)
{
    usher_memory_carried_t carried = { 0, 0 };
    apr_status_t rv = memory_carry(memory->spec, old, fresh, &carried);

    if (APR_STATUS_IS_TIMEUP(rv) && old->layout == memory->spec->layout) {
        apr_pool_destroy(fresh->pool);
        return rv;
    }
    memory_log_carried(old, fresh, rv, &carried, s);
    if (rv != APR_SUCCESS) {
        /* Begun anew, instead of writing zeros over all of it. */
        apr_pool_destroy(fresh->pool);
        rv = memory_make_segment(fresh, memory, s, memory_retained()->made++);
    }
    if (rv == APR_SUCCESS) {
        apr_pool_destroy(old->pool);
    }
    return rv;
}

static int memory_open(usher_memory_t *memory, server_rec *s)
{
    memory_retained_t *kept = memory_retained();
    memory_segment_t *old = memory_find_segment(kept, memory->spec->name);
    memory_segment_t fresh = { "" };
    apr_status_t rv;

    if (old && memory_is_lost(old, s)) {
        apr_pool_destroy(old->pool);
        *old = kept->segments[--kept->count];
        old = NULL;
    }
    if (!memory->wanted) {
        memory->wanted = old ? old->size : memory->spec->size;
    }
    if (old && old->layout == memory->spec->layout && old->size == memory->wanted) {
        memory_keep(memory, old);
        return OK;
    }
    rv = old || kept->count < SEGMENTS_MAX ? memory_make_segment(&fresh, memory, s, kept->made++)
                                           : APR_ENOSPC;
    if (rv != APR_SUCCESS) {
        return memory_do_without(memory, old, rv, s);
    }
    if (!old) {
        old = &kept->segments[kept->count++];
    }
    else {
        rv = memory_replace(memory, old, &fresh, s);
        if (rv != APR_SUCCESS) {
            return memory_do_without(memory, old, rv, s);
        }
    }
    *old = fresh;
    memory_use(memory, &fresh);
    return OK;
}

/* A segment of a module that is not loaded any more, or that found no core to
 * its liking, is kept: the line may come back, and find its contents. */
static void memory_log_unused(server_rec *s)
{
    const memory_retained_t *kept = memory_retained();
    unsigned int i;

    for (i = 0; i < kept->count; ++i) {
        const memory_segment_t *segment = &kept->segments[i];
        char text[USHER_SIZE_SIZE];

        if (!core_memory_find(segment->name)) {
            ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, USHERLOGNO(1015)
                         "memory \"%s\" (%s) is used by no module now; it is kept "
                         "until httpd is stopped", segment->name,
                         usher_size_format(text, segment->size));
        }
    }
}

int core_memory_post_config(server_rec *s)
{
    int i;

    memory_parent = getpid();
    for (i = 0; i < memory_pieces->nelts; ++i) {
        usher_memory_t *memory = APR_ARRAY_IDX(memory_pieces, i, usher_memory_t *);
        char text[USHER_SIZE_SIZE];

        if (memory_open(memory, s) != OK) {
            return !OK;
        }
        if (memory->header) {
            ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, USHERLOGNO(1016)
                         "memory \"%s\": %s, lock %s", memory->spec->name,
                         usher_size_format(text, memory->size),
                         apr_global_mutex_name(memory->lock));
        }
    }
    memory_log_unused(s);
    return OK;
}

/* Not in pchild: APR counts who uses a pthread lock, counts down in a child's
 * pool cleanup, and once more for a holder that ended without unlocking. A
 * child that ends while one of its threads holds the lock would be counted
 * twice, and with some of those the lock is destroyed under all others. The
 * process pool is not cleared in a child. With -X this is the parent as well,
 * which has its lock already, and clears that pool at its end. */
void core_memory_child_init(server_rec *s)
{
    int i;

    for (i = 0; i < memory_pieces->nelts && getpid() != memory_parent; ++i) {
        usher_memory_t *memory = APR_ARRAY_IDX(memory_pieces, i, usher_memory_t *);
        apr_status_t rv;

        if (!memory->header) {
            continue;
        }
        rv = apr_global_mutex_child_init(&memory->lock, apr_global_mutex_lockfile(memory->lock),
                                         s->process->pool);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, USHERLOGNO(1017)
                         "memory \"%s\": this child cannot use its lock %s, and "
                         "changes nothing there: look at the Mutex directive and "
                         "at who may enter the folder of the lock files, then "
                         "stop and start httpd",
                         memory->spec->name, apr_global_mutex_name(memory->lock));
            memory->lock = NULL;
        }
    }
}
