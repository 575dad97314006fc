/**
 * @file  usher_core.h
 * @brief What mod_usher offers to the other modules of the suite.
 *
 * No module calls a symbol of another one: it looks up this struct with
 * usher_core_lookup() in its check_config hook, so the modules may be loaded
 * in any order.
 */
#ifndef USHER_CORE_H
#define USHER_CORE_H

#include <ap_provider.h>

#include "usher_conf.h"
#include "usher_image.h"
#include "usher_registry.h"
#include "usher_roster.h"
#include "usher_store.h"

#define USHER_CORE_GROUP "usher"
#define USHER_CORE_NAME  "core"
/** The provider's version for httpd: never changes, so that a core of another
 * ABI is found and named. */
#define USHER_CORE_VERSION "0"
/** Changes with any change of usher_core_t or of a type that it uses. */
#ifndef USHER_CORE_ABI
#define USHER_CORE_ABI 6
#endif

/* Retained shared memory */

/** Longest name of a piece, without its NUL: small letters, digits, '-'. */
#define USHER_MEMORY_NAME_MAX 31
/** A size not bounded by the module. */
#define USHER_MEMORY_MAX (((apr_uint64_t)1 << 62))

/**
 * A piece of shared memory that outlives restarts; a handle to it in this
 * process. Belongs to the configuration pool.
 */
typedef struct usher_memory_t usher_memory_t;

/** How much of a piece's old contents came over into the new one. */
typedef struct usher_memory_carried_t {
    apr_uint64_t kept;    /**< records, as the module counts them */
    apr_uint64_t dropped; /**< records that did not fit or were not understood */
} usher_memory_carried_t;

/**
 * What a module says of a piece. Static: it is kept by reference.
 *
 * Its functions may be NULL. carry and repair also run in the parent, as root,
 * on contents that a hostile child may have written: they check every index
 * and count that they find there.
 */
typedef struct usher_memory_spec_t {
    const char *name;
    apr_uint32_t layout;  /**< changes with any change of what lies in it */
    apr_uint64_t size;    /**< bytes without a UsherMemory directive */
    apr_uint64_t size_min; /**< bytes, the least and the most it can work with */
    apr_uint64_t size_max;
    /**
     * Make new memory usable; it is all zeros. In the parent, before any
     * child sees it.
     */
    void (*init)(void *base, apr_uint64_t size);
    /**
     * Mend what a process left that ended while it held the lock. Under the
     * lock, in whichever process takes it next. May itself be killed: the next
     * one then starts it again. Never called on memory of another layout.
     */
    void (*repair)(void *base, apr_uint64_t size);
    /**
     * Take over an older piece of the same name into this one, after init. In
     * the parent, with the old piece's lock held; @a from may have another
     * size and layout.
     * @return APR_SUCCESS, or APR_ENOTIMPL for a layout it does not know:
     *         the new piece is then emptied again
     */
    apr_status_t (*carry)(void *to, apr_uint64_t to_size, const void *from,
                          apr_uint64_t from_size, apr_uint32_t from_layout,
                          usher_memory_carried_t *carried);
} usher_memory_spec_t;

/* The tick */

/** Which process does a piece of regular work. */
typedef enum {
    USHER_TICK_CHILD, /**< once a second, in exactly one child */
    USHER_TICK_EACH,  /**< every ten seconds, in each child: for what each must
                       * know itself */
    USHER_TICK_OFTEN, /**< once a second, in each child: to look whether something
                       * is new, no more */
    USHER_TICK_PARENT /**< about every ten seconds, in the parent: for what
                       * needs its rights; must never block, so it may not
                       * lock memory either */
} usher_tick_where_e;

/** Regular work; kept by reference until the configuration is read again. */
typedef struct usher_tick_work_t {
    const char *name; /**< as the log shall name it */
    usher_tick_where_e where;
    /**
     * @param baton  of this struct
     * @param s      the main server
     * @param ptemp  cleared after each tick
     */
    void (*run)(void *baton, server_rec *s, apr_pool_t *ptemp);
    void *baton;
} usher_tick_work_t;

/* Handlers that show addresses */

/** A handler that must not be reachable without a Require. Static. */
typedef struct usher_guard_spec_t {
    const char *handler; /**< "usher-status": of SetHandler, and in messages */
    const char *what;    /**< "the status is": not shown */
    const char *reason;  /**< what it does that not everybody may see: "shows addresses" */
} usher_guard_spec_t;

/** Who may see it; of this reading of the configuration. */
typedef struct usher_guard_t usher_guard_t;

typedef struct usher_core_t {
    /** USHER_CORE_ABI of the core. Stays the first field for ever. */
    unsigned int abi;

    /**
     * Ask for a piece of memory. Only in check_config; there it is refused if
     * the configured size cannot be had.
     * @param spec  static
     * @return the handle; NULL (it is logged) where another module has the name
     */
    usher_memory_t *(*memory_declare)(const usher_memory_spec_t *spec);

    /**
     * Where the piece lies. From the post_config hooks on (not those at
     * APR_HOOK_REALLY_FIRST), in every process; the same address in all.
     * @param memory  of this reading of the configuration
     * @param size    gets its size in bytes, without the core's header; or NULL
     * @return its first byte, aligned to 64; NULL where there is none (it is
     *         logged why): the part that needs it must stay off
     */
    void *(*memory_base)(usher_memory_t *memory, apr_uint64_t *size);

    /**
     * Lock the piece for a change. Excludes all threads of all processes, the
     * children of earlier generations as well. Not recursive; never from a
     * pool's cleanup, which may run while this thread holds the lock.
     * @return APR_SUCCESS, else the memory must not be changed
     */
    apr_status_t (*memory_lock)(usher_memory_t *memory);

    /** Unlock it, in the thread that locked it. */
    void (*memory_unlock)(usher_memory_t *memory);

    /**
     * Have work done regularly. Only in post_config.
     * @param work  static or in pconf
     */
    void (*tick_add)(const usher_tick_work_t *work);

    /**
     * The record of a cluster; made when it is asked for first. From the
     * post_config hooks on (not those at APR_HOOK_REALLY_FIRST), in every
     * process, by any thread. Ask once and keep the answer for as long as the
     * configuration lives: records that no post_config and no child has asked
     * for since a restart are given up later.
     * @param name    "balancer://app", or the URL of a plain backend
     * @param server  who defines it, usher_picker_server(); "" for the main server
     * @return NULL where there is none (it is logged once): the caller goes on
     *         with what its process knows
     */
    usher_cluster_rec_t *(*registry_cluster)(const char *name, const char *server);

    /**
     * The record of a cluster's member. As above.
     * @param cluster  NULL: the answer is NULL
     * @param route    NULL or "" where it has none; several members may have one
     *                 route (a standby has that of the member it stands in for)
     * @param url      its id is made of this: what is known of one server is
     *                 never believed of another. NULL for a member that signs
     *                 itself in, whose route is its id, wherever it runs
     */
    usher_member_rec_t *(*registry_member)(const usher_cluster_rec_t *cluster,
                                           const char *route, const char *url);

    /** How many records the registry has room for; their places are below it. As above. */
    apr_uint32_t (*registry_places)(void);

    /**
     * Walk over the records that are in use, in the order of their places. Without a
     * lock: one that is entered or given up meanwhile may be missed.
     * @param see  is given either a cluster or a member, the other one is NULL; only of
     *             configurations since the last restart. Returns 0 to stop
     */
    void (*registry_each)(int (*see)(void *baton, usher_cluster_rec_t *cluster,
                                     usher_member_rec_t *member), void *baton);

    /**
     * How far the clock of another machine may be from ours, in either direction:
     * UsherClockSkew. From check_config on, in every process.
     * @return microseconds
     */
    apr_interval_time_t (*clock_skew)(void);

    /**
     * The directory for what shall outlive httpd: UsherStateDir. It belongs to the user that
     * children run as, who can put any files, links too, into it: who works there as root opens
     * files in it by openat() with O_NOFOLLOW, and makes them with O_EXCL.
     * Ask for it in check_config, so that it is made; its path is known there already. NULL, from the
     * post_config hooks on (not those at APR_HOOK_REALLY_FIRST), where there is none (it is
     * logged why): what would be kept there is lost when httpd is stopped.
     */
    const char *(*state_dir)(void);

    /**
     * Learn who may see a handler: each SetHandler of it must stand in a <Location> section
     * with a Require of its own. Only in check_config; refuses others there.
     * @param guard  gets whom to ask
     * @return OK; at `httpd -t` and the first start !OK where somebody else could see it
     */
    int (*guard_check)(usher_guard_t **guard, const usher_guard_spec_t *spec, server_rec *s);

    /** Whether a request may see it; it is logged why not. */
    int (*guard_admits)(const usher_guard_t *guard, request_rec *r);

    /** Whether the host that a request names is one of ours, and no trick (DNS rebinding);
     * it is logged why not. */
    int (*guard_knows_host)(const usher_guard_t *guard, request_rec *r);

    /**
     * Give up a member's record (registry_member() with a route): it has left. It is used for
     * another member only when no child holds it any more; the same member may come back to it
     * before. Each process does that when it gives up such a member, in whatever order.
     */
    void (*registry_leave)(usher_member_rec_t *rec);

    /**
     * Say that this process uses a member's record, or no more: between the two nobody else gets
     * it, also when this process is killed. Counted by the process: as many releases as holds.
     * @return 1; 0: it is another member's by now, or there is no room: do not use it
     */
    int (*registry_hold)(usher_member_rec_t *rec, apr_uint32_t generation);
    void (*registry_release)(usher_member_rec_t *rec);

    /**
     * Enter a member into the roster, or change the one with this id, where @a entry has a
     * greater version than what was there (also than what was removed, as long as that is
     * remembered). In the parent before there are children, or any thread of a child.
     * @param entry  its generation is the roster's own business; expires_at, load and created
     *               count where the member is new, else the later ones stay
     * @return APR_SUCCESS; APR_EEXIST: what is there is as new; APR_ENOSPC: the roster is full
     *         (UsherMemory roster); another status: there is no roster
     */
    apr_status_t (*roster_set)(const usher_roster_entry_t *entry);

    /** Take a member out. @param version  of its deletion: what is not older stays
     * @return APR_SUCCESS; APR_NOTFOUND: nothing was changed; the version is remembered */
    apr_status_t (*roster_remove)(const unsigned char *id, apr_uint64_t version);

    /**
     * A heartbeat: the lease counts from now on.
     * @param load     -1: not told
     * @param created  of its signature; 0: it had none
     * @return 1: and the store shall be told of it (a third of the lease is over); 0; -1: there is no
     *         such member; -2: @a created is older than that of an accepted one
     */
    int (*roster_renew)(const unsigned char *id, apr_int32_t load, apr_uint32_t created);

    /** A copy. @return 1; 0: there is no such member */
    int (*roster_get)(const unsigned char *id, usher_roster_entry_t *entry);

    /** The version of a member that was removed; 0: not known, or it is there. */
    apr_uint64_t (*roster_removed)(const unsigned char *id);

    /** Walk over all, in no order; each is given as a copy, valid during the call.
     * @param see  returns 0 to stop */
    void (*roster_each)(int (*see)(void *baton, const usher_roster_entry_t *entry), void *baton);

    /** How many members somebody has signed in; one that is written just now may be counted or not. */
    apr_uint32_t (*roster_count)(const char *owner);

    /**
     * The number of changes of a cluster's members (not of heartbeats); clusters may share one.
     * From post_config on; keep the pointer. Changed after the roster itself.
     * @param cluster  as in usher_roster_entry_t
     * @return never NULL
     */
    const _Atomic apr_uint32_t *(*roster_changes)(const char *cluster);

    /**
     * A descriptor, the same in all children, that is readable when a member has come or changed: who makes the
     * health checks polls it, and reads 8 bytes of it. -1: there is none.
     */
    int (*roster_event)(void);

    /** Keep something in the store. Only in check_config.
     * @return OK; at `httpd -t` and the first start !OK where the store cannot work (it is logged) */
    int (*store_keep)(const usher_store_kind_t *kind, server_rec *s);

    /**
     * Ask for changes, all or none. In a child, any thread. In a pool's cleanup only without waiting: that takes
     * a place in shared memory and rings, allocates nothing and needs no thread of this child, which may
     * be ending; who waited there would hold up its end.
     * @param changes  copied
     * @param n        at most USHER_STORE_TOGETHER_MAX
     * @param wait     microseconds; 0: do not wait, and nothing is lost that matters if it fails
     */
    usher_store_result_e (*store_put)(usher_store_change_t *changes, int n,
                                      apr_interval_time_t wait);

    /** How it is. From post_config on. */
    void (*store_state)(usher_store_state_t *state);

    /**
     * Have a file of data read, judged and shared. Only in check_config; there it is read and judged,
     * which is what `httpd -t` tells of it. One path declared twice with one spec and baton is one image.
     * @param path   absolute
     * @param baton  for the spec's functions; in pconf
     * @param error  gets why there is no image of it now, in pconf; NULL: there is one. Whether that is
     *               refused is the caller's business: a file that comes later is taken then
     * @return never NULL
     */
    usher_image_t *(*image_declare)(const usher_image_spec_t *spec, const char *path, void *baton,
                                    server_rec *s, const char **error);

    /**
     * Room for the image that is being made; only from usher_image_spec_t.make, once.
     * @param size  bytes, more than 0
     * @param path  gets a name under which the image can be opened while it is made; or NULL
     * @return zeros, to write into; NULL: there is no memory (return a text that says so)
     */
    void *(*image_room)(usher_image_maker_t *maker, apr_size_t size, const char **path);

    /**
     * Begin to read: what open() made of the newest image in this process. In a child, or the parent
     * from post_config on; any thread; takes no lock. Not for long: a lookup, not a request.
     * @return NULL: there is none; image_end() is not called then
     */
    void *(*image_begin)(usher_image_t *image, usher_image_hold_t *hold);
    void (*image_end)(usher_image_t *image, usher_image_hold_t *hold);

    /** Changes with each new image in this process; 0: there never was one. For caches: an image that was
     * read under this number may be used for as long as it stays. */
    apr_uint32_t (*image_number)(const usher_image_t *image);

    /** How it is. As image_begin(). */
    void (*image_state)(const usher_image_t *image, usher_image_state_t *state);
} usher_core_t;

/**
 * Find the core, in check_config.
 * @param core    gets the core; NULL where there is none that fits
 * @param needs   who needs it, "mod_usher_..."
 * @param s       the main server
 * @return OK; at `httpd -t` and the first start !OK without a core that fits,
 *         which the hook shall return. At a restart OK with *core NULL: the
 *         module must then stay off.
 */
static inline int usher_core_lookup(const usher_core_t **core,
                                    const char *needs, server_rec *s)
{
    const usher_core_t *found =
        ap_lookup_provider(USHER_CORE_GROUP, USHER_CORE_NAME, USHER_CORE_VERSION);

    *core = found && found->abi == USHER_CORE_ABI ? found : NULL;
    if (!found) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1002)
                     "%s needs mod_usher: add \"LoadModule usher_module "
                     "modules/mod_usher.so\"", needs);
    }
    else if (!*core) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1003)
                     "%s was built for ABI %d of mod_usher, the one loaded has "
                     "%u: install all modules of one Usher release, then stop "
                     "and start httpd", needs, USHER_CORE_ABI, found->abi);
    }
    return *core || !usher_conf_may_refuse() ? OK : !OK;
}

#endif /* USHER_CORE_H */
