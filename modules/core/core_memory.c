/* Retained shared memory: named pieces that outlive restarts.
 *
 * A piece is an anonymous segment in the process pool, which httpd clears only
 * when it ends. Children of several generations may use one at the same time,
 * some with older code: so nothing in it points anywhere, and another layout
 * or size is always a new segment. Which segments there are is kept in this
 * process (retained_t); children have the parent's copy of it by fork. */
#include <apr_shm.h>
#include <util_mutex.h>

#include "core_private.h"
#include "usher_size.h"

APLOG_USE_MODULE(usher);

#define MAGIC "USHERMEM"
#define PIECES_MAX 64
/* How long a restart waits for the lock of a piece that it carries over. */
#define CARRY_LOCK_WAIT (2 * APR_USEC_PER_SEC)

/* One segment. Also read by newer code after a restart with another version of
 * this module: another layout of these structs needs another RETAINED_KEY. */
typedef struct {
    char name[USHER_MEMORY_NAME_MAX + 1];
    apr_pool_t *pool; /* of the segment and its lock; below the process pool */
    core_memory_header_t *header;
    apr_global_mutex_t *lock;
} segment_t;

typedef struct {
    segment_t segments[PIECES_MAX];
    unsigned int count;
    unsigned int made; /* ever; tells the lock files of old and new apart */
} retained_t;

#define RETAINED_KEY "usher-memory-1"

static apr_array_header_t *pieces; /* of usher_memory_t *, in pconf */

static retained_t *retained(void)
{
    retained_t *kept = ap_retained_data_get(RETAINED_KEY);

    return kept ? kept : ap_retained_data_create(RETAINED_KEY, sizeof(*kept));
}

void core_memory_pre_config(apr_pool_t *pconf)
{
    pieces = apr_array_make(pconf, 8, sizeof(usher_memory_t *));
}

const apr_array_header_t *core_memory_all(void)
{
    return pieces;
}

usher_memory_t *core_memory_declare(const usher_memory_spec_t *spec)
{
    usher_memory_t *memory;
    int i;

    for (i = 0; i < pieces->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(pieces, i, usher_memory_t *)->spec->name, spec->name)) {
            return NULL;
        }
    }
    ap_assert(strlen(spec->name) <= USHER_MEMORY_NAME_MAX && pieces->nelts < PIECES_MAX);
    memory = apr_pcalloc(pieces->pool, sizeof(*memory));
    memory->spec = spec;
    memory->size = spec->size;
    APR_ARRAY_PUSH(pieces, usher_memory_t *) = memory;
    return memory;
}

void *core_memory_base(usher_memory_t *memory, apr_uint64_t *size)
{
    if (!memory || !memory->header) {
        return NULL;
    }
    if (size) {
        *size = memory->header->size;
    }
    return memory->header + 1;
}

static segment_t *find_segment(retained_t *kept, const char *name)
{
    unsigned int i;

    for (i = 0; i < kept->count; ++i) {
        if (!strcmp(kept->segments[i].name, name)) {
            return &kept->segments[i];
        }
    }
    return NULL;
}

static apr_status_t make_lock(segment_t *segment, server_rec *s, unsigned int number)
{
    apr_status_t rv = ap_global_mutex_create(
        &segment->lock, NULL, CORE_MUTEX_TYPE,
        apr_psprintf(segment->pool, "%s-%u", segment->name, number), s, segment->pool, 0);

    /* FACTS: its waiters never wake when the holder is killed. check_config
     * refuses it, so this is a restart with a changed Mutex directive. */
    if (rv == APR_SUCCESS && apr_global_mutex_mech(segment->lock) == APR_LOCK_POSIXSEM) {
        rv = APR_ENOTIMPL;
    }
    return rv;
}

static apr_status_t make_segment(segment_t *segment, const usher_memory_t *memory,
                                 server_rec *s, unsigned int number)
{
    const usher_memory_spec_t *spec = memory->spec;
    core_memory_header_t *header;
    apr_shm_t *shm;
    apr_status_t rv;

    apr_pool_create(&segment->pool, s->process->pool);
    apr_pool_tag(segment->pool, "usher_memory");
    apr_cpystrn(segment->name, spec->name, sizeof(segment->name));
    rv = apr_shm_create(&shm, (apr_size_t)(sizeof(*header) + memory->size), NULL, segment->pool);
    if (rv == APR_SUCCESS) {
        rv = make_lock(segment, s, number);
    }
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(segment->pool);
        return rv;
    }
    header = segment->header = apr_shm_baseaddr_get(shm);
    memcpy(header->magic, MAGIC, sizeof(header->magic));
    header->layout = spec->layout;
    header->size = memory->size;
    apr_cpystrn(header->name, spec->name, sizeof(header->name));
    if (spec->init) {
        spec->init(header + 1, header->size);
    }
    return APR_SUCCESS;
}

/* Carries what an old segment holds into memory's new one. */
static void carry_over(usher_memory_t *memory, const segment_t *old, server_rec *s)
{
    const usher_memory_spec_t *spec = memory->spec;
    usher_memory_t from = { spec, 0, old->header, old->lock };
    usher_memory_carried_t carried = { 0, 0 };
    apr_status_t rv = APR_ENOTIMPL;
    char was[USHER_SIZE_SIZE], is[USHER_SIZE_SIZE];

    if (spec->carry) {
        rv = core_memory_lock_within(&from, CARRY_LOCK_WAIT);
    }
    if (rv == APR_SUCCESS) {
        rv = spec->carry(memory->header + 1, memory->header->size, old->header + 1,
                         old->header->size, old->header->layout, &carried);
        core_memory_unlock(&from);
    }
    usher_size_format(was, old->header->size);
    usher_size_format(is, memory->header->size);
    if (rv == APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(1010)
                     "memory \"%s\" was %s of layout %u and is %s of layout %u: "
                     "%" APR_UINT64_T_FMT " records carried over, "
                     "%" APR_UINT64_T_FMT " dropped", spec->name, was,
                     old->header->layout, is, memory->header->layout,
                     carried.kept, carried.dropped);
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s, USHERLOGNO(1011)
                     "memory \"%s\" was %s of layout %u and is %s of layout %u: "
                     "it begins empty, as its contents could not be carried over",
                     spec->name, was, old->header->layout, is, memory->header->layout);
    }
}

static int is_sound(const segment_t *segment)
{
    return !memcmp(segment->header->magic, MAGIC, sizeof(segment->header->magic))
           && !strcmp(segment->header->name, segment->name);
}

/* What to do when no new segment can be had: keep the old one where its layout
 * still fits, else do without; at the first start, refuse. */
static int do_without(usher_memory_t *memory, const segment_t *old,
                      apr_status_t rv, server_rec *s)
{
    const char *name = memory->spec->name;
    char text[USHER_SIZE_SIZE];

    usher_size_format(text, memory->size);
    if (old && old->header->layout == memory->spec->layout) {
        memory->header = old->header;
        memory->lock = old->lock;
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, USHERLOGNO(1012)
                     "memory \"%s\": cannot get %s, it keeps what it has: give "
                     "a smaller size with UsherMemory, and look at the Mutex "
                     "directive and the limits of memory", name, text);
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, USHERLOGNO(1013)
                 "memory \"%s\": cannot get %s%s: give a smaller size with "
                 "UsherMemory, and look at the Mutex directive and the limits "
                 "of memory", name, text,
                 usher_conf_may_refuse() ? "" : "; what needs it is off");
    return usher_conf_may_refuse() ? !OK : OK;
}

static int open_piece(usher_memory_t *memory, server_rec *s)
{
    retained_t *kept = retained();
    segment_t *old = find_segment(kept, memory->spec->name);
    segment_t fresh = { "" };
    apr_status_t rv;

    if (old && !is_sound(old)) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1014)
                     "memory \"%s\": its header was overwritten by something "
                     "in this httpd; it begins empty. Please report this with "
                     "the list of loaded modules", memory->spec->name);
        apr_pool_destroy(old->pool);
        *old = kept->segments[--kept->count];
        old = NULL;
    }
    if (!memory->size) {
        memory->size = old ? old->header->size : memory->spec->size;
    }
    if (old && old->header->layout == memory->spec->layout
        && old->header->size == memory->size) {
        memory->header = old->header;
        memory->lock = old->lock;
        return OK;
    }
    rv = old || kept->count < PIECES_MAX ? make_segment(&fresh, memory, s, kept->made++)
                                         : APR_ENOSPC;
    if (rv != APR_SUCCESS) {
        return do_without(memory, old, rv, s);
    }
    memory->header = fresh.header;
    memory->lock = fresh.lock;
    if (old) {
        carry_over(memory, old, s);
        /* Unmapped here; children of earlier generations still have it. What
         * they change there from now on is lost. */
        apr_pool_destroy(old->pool);
        *old = fresh;
    }
    else {
        kept->segments[kept->count++] = fresh;
    }
    return OK;
}

/* Segments that no module asked for any more: its LoadModule is gone. */
static void drop_unasked(server_rec *s)
{
    retained_t *kept = retained();
    unsigned int i = 0;

    while (i < kept->count) {
        segment_t *segment = &kept->segments[i];
        int asked = 0, j;

        for (j = 0; j < pieces->nelts && !asked; ++j) {
            asked = !strcmp(APR_ARRAY_IDX(pieces, j, usher_memory_t *)->spec->name, segment->name);
        }
        if (asked) {
            ++i;
            continue;
        }
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(1015)
                     "memory \"%s\" given up: the module that used it is not "
                     "loaded any more", segment->name);
        apr_pool_destroy(segment->pool);
        *segment = kept->segments[--kept->count];
    }
}

int core_memory_post_config(server_rec *s, apr_pool_t *ptemp)
{
    int i;

    drop_unasked(s);
    for (i = 0; i < pieces->nelts; ++i) {
        usher_memory_t *memory = APR_ARRAY_IDX(pieces, i, usher_memory_t *);
        char text[USHER_SIZE_SIZE];

        if (open_piece(memory, s) != OK) {
            return !OK;
        }
        if (memory->header) {
            ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, USHERLOGNO(1016)
                         "memory \"%s\": %s, lock %s", memory->spec->name,
                         usher_size_format(text, memory->header->size),
                         apr_global_mutex_name(memory->lock));
        }
    }
    return OK;
}

void core_memory_child_init(apr_pool_t *pchild, server_rec *s)
{
    int i;

    for (i = 0; i < pieces->nelts; ++i) {
        usher_memory_t *memory = APR_ARRAY_IDX(pieces, i, usher_memory_t *);
        apr_status_t rv;

        if (!memory->header) {
            continue;
        }
        rv = apr_global_mutex_child_init(&memory->lock, apr_global_mutex_lockfile(memory->lock),
                                         pchild);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, USHERLOGNO(1017)
                         "memory \"%s\": this child cannot use its lock %s, and "
                         "changes nothing there: look at the Mutex directive",
                         memory->spec->name, apr_global_mutex_name(memory->lock));
            memory->lock = NULL;
        }
    }
}
