/**
 * @file  core_private.h
 * @brief What the files of mod_usher know of one another.
 *
 * core_clock.c        UsherClockSkew
 * core_guard.c        who may see handlers that show addresses
 * core_holds.c        which processes hold which records of the registry
 * core_image*.c       files of data that children share (core_image.h)
 * core_memory.c       pieces: declared, made, kept, carried over
 * core_memory_conf.c  UsherMemory, and what check_config refuses of memory
 * core_memory_lock.c  lock, unlock, repair
 * core_registry*.c    records of clusters and members (core_registry.h)
 * core_roster.c       members that signed themselves in
 * core_state.c        UsherStateDir: the directory for what outlives httpd
 * core_store*.c       the store (core_store.h)
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

/* core_clock.c */
void core_clock_pre_config(void);
const char *core_clock_set_skew(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
apr_interval_time_t core_clock_skew(void);

/* core_guard.c */
void core_guard_pre_config(apr_pool_t *pconf);
int core_guard_check(usher_guard_t **guard, const usher_guard_spec_t *spec, server_rec *s);
int core_guard_admits(const usher_guard_t *guard, request_rec *r);
int core_guard_knows_host(const usher_guard_t *guard, request_rec *r);

/* core_holds.c */
/** @param places  of the registry, if nothing else is said */
void core_holds_check_config(apr_uint32_t places);
/** @param places  of the registry, as configured; 0: as it has now */
void core_holds_follow(apr_uint32_t places);
/** Before there is memory, and when it is there. */
void core_holds_first_post_config(void);
void core_holds_post_config(void);
void core_holds_child_init(server_rec *s);
/** Hold a place, as often as it is given back. @return 0: it cannot be held */
int core_holds_take(apr_uint64_t place);
void core_holds_give(apr_uint64_t place);
/** Whether any process holds it. */
int core_holds_has(apr_uint64_t place);
/** What processes held that have ended. */
void core_holds_forget_gone(void);
/** In the parent: a child has ended. */
void core_holds_child_gone(pid_t pid);
/** In the parent, now and then: the children whose end went unseen. */
void core_holds_monitor(void);

/* core_image.c */
void core_image_pre_config(apr_pool_t *pconf);
/** What of earlier configurations nobody uses any more; last of post_config. */
void core_image_post_config(void);
usher_image_t *core_image_declare(const usher_image_spec_t *spec, const char *path, void *baton,
                                  server_rec *s, const char **error);

/* core_image_file.c */
void *core_image_room(usher_image_maker_t *maker, apr_size_t size, const char **path);

/* core_image_follow.c */
void core_image_follow_check_config(void);
/** Adds its work to the tick. */
void core_image_follow_post_config(void);
void core_image_follow_child_init(apr_pool_t *pchild);

/* core_image_view.c */
void *core_image_begin(usher_image_t *image, usher_image_hold_t *hold);
void core_image_end(usher_image_t *image, usher_image_hold_t *hold);
apr_uint32_t core_image_number(const usher_image_t *image);
void core_image_state(const usher_image_t *image, usher_image_state_t *state);

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
/** When it is known which size is wanted. */
void core_registry_sized(void);
void core_registry_post_config(void);
/** Give up the records that nobody asks for any more; last of post_config. */
void core_registry_sweep(void);
usher_cluster_rec_t *core_registry_cluster(const char *name, const char *server);
usher_member_rec_t *core_registry_member(const usher_cluster_rec_t *cluster,
                                         const char *route, const char *url);
apr_uint32_t core_registry_places(void);
void core_registry_each(int (*see)(void *baton, usher_cluster_rec_t *cluster,
                                   usher_member_rec_t *member), void *baton);

/* core_registry_leave.c */
void core_registry_leave(usher_member_rec_t *rec);
int core_registry_hold(usher_member_rec_t *rec, apr_uint32_t generation);
void core_registry_release(usher_member_rec_t *rec);

/* core_roster.c */
void core_roster_check_config(void);
void core_roster_post_config(server_rec *s);
apr_status_t core_roster_set(const usher_roster_entry_t *entry);
apr_status_t core_roster_remove(const unsigned char *id, apr_uint64_t version);
int core_roster_renew(const unsigned char *id, apr_int32_t load, apr_uint32_t created);
int core_roster_get(const unsigned char *id, usher_roster_entry_t *entry);
apr_uint64_t core_roster_removed(const unsigned char *id);
void core_roster_each(int (*see)(void *baton, const usher_roster_entry_t *entry), void *baton);
apr_uint32_t core_roster_count(const char *owner);
const _Atomic apr_uint32_t *core_roster_changes(const char *cluster);
int core_roster_event(void);

/* core_state.c */
void core_state_pre_config(void);
const char *core_state_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
const char *core_state_dir(void);
/** Last of check_config. */
int core_state_check_config(apr_pool_t *ptemp, server_rec *s);
/** Makes the directory, if anybody asked for it. */
int core_state_post_config(apr_pool_t *ptemp, server_rec *s);

/** Why a directory of that kind cannot be used, or made; NULL: it can. */
const char *core_state_judge(apr_pool_t *p, const char *path);
/** Make one, if it is not there. In the parent. */
apr_status_t core_state_make(apr_pool_t *p, const char *path);

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
