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
#include "usher_registry.h"

#define USHER_CORE_GROUP "usher"
#define USHER_CORE_NAME  "core"
/** The provider's version for httpd: never changes, so that a core of another
 * ABI is found and named. */
#define USHER_CORE_VERSION "0"
/** Changes with any change of usher_core_t or of a type that it uses. */
#ifndef USHER_CORE_ABI
#define USHER_CORE_ABI 2
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
