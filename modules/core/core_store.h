/**
 * @file  core_store.h
 * @brief The store inside: its queue and thread, and the engines behind them.
 *
 * core_store.c        UsherStore; the kinds; store_put()
 * core_store_queue.c  changes on their way, in shared memory (piece "store")
 * core_store_thread.c the thread; which child's it is: a claim in the piece, as the tick's
 * core_store_claim.c  the claim
 * core_store_table.c  records in memory of one process, and what changes may be made
 * core_store_none.c   the engine "none": keeps nothing
 * core_store_file*.c  the engine "file:"
 * core_store_dbd*.c   the engine "dbd:"
 *
 * One thread of one child at a time calls an engine's commit() and poll(); the parent calls
 * start() before there are children. A child that had the claim may be killed at any
 * instruction: who takes it next gets the same changes once more where they were not
 * acknowledged.
 */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include "core_private.h"
#include "usher_store.h"

/**
 * Changes that belong together, as an engine gets them. Each change's version is set: to the one
 * that the record gets. No other change of this node ever has the same one, so an engine that
 * finds just this version has done the change already: for a thread that ended before it could
 * say so.
 */
typedef struct core_store_batch_t {
    usher_store_change_t *changes;
    int n;
    usher_store_result_e result; /**< the engine's answer: DONE, CONFLICT or DOWN */
} core_store_batch_t;

/** Told of a record; looks up its kind, calls its apply(). Kinds nobody keeps are let be. */
typedef void core_store_see_t(const char *kind, const usher_store_record_t *record, void *baton);

typedef struct core_store_engine_t {
    const char *scheme; /**< "file" */
    /** Read what follows "file:" in UsherStore. In check_config; nothing is opened for writing.
     * @param name  gets how the store is called in the log, without secrets; unchanged where
     *              the engine does not know better than what stands in UsherStore
     * @return NULL, or what is wrong with it, with the remedy */
    const char *(*configure)(const char *rest, const char **name, apr_pool_t *pconf,
                             server_rec *s);
    /** In the parent, in post_config of the first start (and where UsherStore has changed at a restart):
     * open, lock, read all.
     * @return NULL, or why it cannot work, with the remedy: httpd does not start */
    const char *(*start)(core_store_see_t *see, void *baton, apr_pool_t *pconf, server_rec *s);
    /** This child's thread has the claim now.
     * @return APR_SUCCESS; else the store is down, and it is asked again a second later */
    apr_status_t (*take)(core_store_see_t *see, void *baton, server_rec *s);
    /** Make changes durable, together as far as possible; see() is called for each that is
     * done or whose record is another one, before its result is set. */
    apr_status_t (*commit)(core_store_batch_t *batches, int n, core_store_see_t *see, void *baton,
                           server_rec *s);
    /** Once a second, and when it is asked to: what other nodes did; housekeeping.
     * @return APR_SUCCESS; else the store is down: take() is called until it goes well */
    apr_status_t (*poll)(core_store_see_t *see, void *baton, server_rec *s);
    /** The claim is given up, or the store is down: let go of files and connections. */
    void (*leave)(void);
} core_store_engine_t;

extern const core_store_engine_t core_store_file, core_store_dbd, core_store_none;

/* core_store_dbd_link.c */
/** In each post_config: an eye on calls of a database that do not return. */
void core_dbd_post_config(void);

/* core_store.c */
void core_store_pre_config(apr_pool_t *pconf);
const char *core_store_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
/** Late in post_config, when all have their memory: reads the store at the first start. */
int core_store_post_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);
int core_store_keep(const usher_store_kind_t *kind, server_rec *s);
usher_store_result_e core_store_put(usher_store_change_t *changes, int n,
                                    apr_interval_time_t wait);
void core_store_state(usher_store_state_t *state);
/** The kind of that name that somebody keeps, or NULL. */
const usher_store_kind_t *core_store_kind(const char *name);
/** Whether a record may be believed to be one: its lengths and characters. */
int core_store_is_sound(const char *kind, const char *key, const char *value);
/** Of core_store_see(). */
typedef struct core_store_seeing_t {
    server_rec *s;
    apr_pool_t *ptemp; /**< cleared after each */
} core_store_seeing_t;
/** What engines call. @param baton  a core_store_seeing_t */
void core_store_see(const char *kind, const usher_store_record_t *record, void *baton);
/** How the store is called. */
const char *core_store_name(void);

/* core_store_queue.c */

/** Most batches that are taken together. */
#define CORE_STORE_TAKE_MAX 128

/** How the store is, for all children; children can write anything there. */
typedef struct core_store_shm_t {
    _Atomic apr_uint64_t claim;      /**< whose thread works: pid and generation; 0: nobody's */
    _Atomic apr_uint32_t claimed;    /**< changes with the claim, and to wake those who wait for it */
    _Atomic apr_uint32_t work;       /**< changes when there is something to do */
    _Atomic apr_uint32_t generation; /**< the newest one that has a thread */
    _Atomic apr_uint32_t is_up;
    _Atomic apr_int64_t since;       /**< boot clock, ms */
    _Atomic apr_int64_t began;       /**< boot clock, ms: when the engine was called; 0: it is not at work */
    _Atomic apr_uint64_t version;    /**< the last one that was given */
    _Atomic apr_uint64_t commits, changes, refused;
} core_store_shm_t;

/** ms: an engine that is at work for longer hangs. */
#define CORE_STORE_STUCK_LIMIT 10000

/** Batches on their way through an engine, in memory of the thread. */
typedef struct core_store_taken_t core_store_taken_t;

void core_store_queue_declare(void);
/** @return NULL: there is no memory */
core_store_shm_t *core_store_queue_open(void);
usher_store_result_e core_store_queue_put(usher_store_change_t *changes, int n,
                                          apr_interval_time_t wait);
core_store_taken_t *core_store_taken_make(void);
void core_store_taken_free(core_store_taken_t *taken);
/** Take what waits. By who has the claim. @return how many */
int core_store_queue_take(core_store_taken_t *taken, core_store_batch_t **batches);
/** Tell the results of what was taken. */
void core_store_queue_answer(core_store_taken_t *taken);
/** What an earlier owner of the claim had taken waits again. By who has the claim. */
void core_store_queue_recover(void);
/** Free what processes hold that are gone. By who has the claim, now and then. */
void core_store_queue_sweep(void);
/** Free what a process holds that is gone. */
void core_store_queue_forget(pid_t pid);

/* core_store_claim.c */
void core_store_claim_child_init(core_store_shm_t *shm);
/** @return whether this child has it now */
int core_store_claim_take(core_store_shm_t *shm);
void core_store_claim_leave(core_store_shm_t *shm);
/** Whether this child may keep it: no, where there is a newer generation, or no parent any more. */
int core_store_claim_holds(const core_store_shm_t *shm);
/** The process is gone. */
void core_store_claim_disown(core_store_shm_t *shm, pid_t pid);
/** In the parent, now and then: mend what nobody else can. */
void core_store_claim_monitor(core_store_shm_t *shm);

/* core_store_thread.c */
void core_store_thread_post_config(core_store_shm_t *shm, const core_store_engine_t *engine);
void core_store_child_init(apr_pool_t *pchild, server_rec *s);
void core_store_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                             mpm_child_status state);
int core_store_monitor(apr_pool_t *p, server_rec *s);

#endif /* CORE_STORE_H */
