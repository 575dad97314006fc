/**
 * @file  core_private.h
 * @brief What the files of mod_usher know of one another.
 *
 * core_memory.c       pieces: declared, made, kept, carried over
 * core_memory_conf.c  UsherMemory, and what check_config refuses of memory
 * core_memory_lock.c  lock, unlock, repair
 * core_registry.c     records of clusters and members
 * core_tick.c         who ticks, and what hangs on the tick
 */
#ifndef CORE_PRIVATE_H
#define CORE_PRIVATE_H

#include <ap_mpm.h>
#include <apr_global_mutex.h>
#include <stdatomic.h>

#include "usher_core.h"

extern module AP_MODULE_DECLARE_DATA usher_module;

/** Type name of our locks in the Mutex directive. */
#define CORE_MUTEX_TYPE "usher"

/** Begins each segment. Children may write to all of it, so the parent, who is
 * root, believes nothing that stands here but compares: what counts is in
 * usher_memory_t, in memory of its own. */
typedef struct core_memory_header_t {
    char magic[8];
    apr_uint32_t layout; /* the module's */
    apr_uint32_t pad;
    apr_uint64_t size; /* of the body, bytes */
    char name[USHER_MEMORY_NAME_MAX + 1];
    /* The pid of who is changing the body, 0 at rest. Written under the lock;
     * found set by who takes the lock: that process ended meanwhile. */
    _Atomic apr_uint32_t dirty;
    apr_uint32_t pad2[17];
} core_memory_header_t;
_Static_assert(sizeof(core_memory_header_t) == 128, "part of the segment's layout");

struct usher_memory_t {
    const usher_memory_spec_t *spec;
    apr_uint64_t wanted;          /* bytes; 0: what it has now, or the default */
    core_memory_header_t *header; /* NULL: there is none. The body follows. */
    apr_uint64_t size;            /* of the body */
    apr_uint32_t layout;          /* of the body */
    apr_global_mutex_t *lock;     /* this process's handle */
};

/* core_memory.c */
void core_memory_pre_config(apr_pool_t *pconf);
int core_memory_post_config(server_rec *s);
void core_memory_child_init(server_rec *s);
usher_memory_t *core_memory_declare(const usher_memory_spec_t *spec);
void *core_memory_base(usher_memory_t *memory, apr_uint64_t *size);
/** All pieces of this reading of the configuration: usher_memory_t *. */
const apr_array_header_t *core_memory_all(void);
/** The piece of that name, or NULL. */
usher_memory_t *core_memory_find(const char *name);

/* core_memory_conf.c */
void core_memory_conf_pre_config(void);
void *core_memory_create_conf(apr_pool_t *p, server_rec *s);
const char *core_memory_set(cmd_parms *cmd, void *dummy, int argc,
                            char *const argv[]);
int core_memory_check_config(apr_pool_t *pconf, apr_pool_t *plog,
                             apr_pool_t *ptemp, server_rec *s);

/* core_memory_lock.c */
apr_status_t core_memory_lock(usher_memory_t *memory);
/** As core_memory_lock, for the parent: gives up after @a limit microseconds
 * with APR_TIMEUP, as a restart must not wait for a stopped child. Takes memory
 * of any layout; APR_INCOMPLETE where it is half changed and of another layout
 * than the module's, whose repair would not understand it. */
apr_status_t core_memory_lock_within(usher_memory_t *memory,
                                     apr_interval_time_t limit);
void core_memory_unlock(usher_memory_t *memory);

/* core_registry.c */
void core_registry_check_config(void);
void core_registry_post_config(void);
/** Give up the records that nobody asks for any more; last of post_config. */
void core_registry_sweep(void);
usher_cluster_rec_t *core_registry_cluster(const char *name, const char *server);
usher_member_rec_t *core_registry_member(const usher_cluster_rec_t *cluster,
                                         const char *route, const char *url);

/* core_tick.c */
void core_tick_pre_config(apr_pool_t *pconf);
int core_tick_check_config(server_rec *s);
int core_tick_post_config(apr_pool_t *pconf, server_rec *s);
void core_tick_child_init(apr_pool_t *pchild);
void core_tick_add(const usher_tick_work_t *work);
void core_tick_child_status(server_rec *s, pid_t pid, ap_generation_t gen,
                            int slot, mpm_child_status state);
int core_tick_monitor(apr_pool_t *p, server_rec *s);

#endif /* CORE_PRIVATE_H */
