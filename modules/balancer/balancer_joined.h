/**
 * @file  balancer_joined.h
 * @brief Members that signed themselves in (usher_roster.h), as a child has them.
 */
#ifndef BALANCER_JOINED_H
#define BALANCER_JOINED_H

#include <mod_proxy.h>
#include <stdatomic.h>

#include "balancer_probe.h"
#include "usher_registry.h"
#include "usher_roster.h"

struct balancer_cluster_t;

/** UsherMembers: what a BalancerMember line would say. USHER_UNSET, NULL: it says nothing. */
typedef struct balancer_joined_conf_t {
    apr_int64_t timeout, connectiontimeout, ping, addressttl; /**< microseconds */
    apr_int64_t ttl;                                          /**< the same */
    apr_int64_t flushwait;                                    /**< ms */
    apr_int64_t smax, min, lbset;
    apr_int64_t iobuffersize, receivebuffersize, responsefieldsize; /**< bytes */
    int keepalive, disablereuse, flushpackets;                /**< indices of words */
    const char *upgrade, *secret;
} balancer_joined_conf_t;

/**
 * A member of one generation. Lists of members that follow one another share it; it is freed
 * with the last of them, and so lives as long as any request that has it.
 *
 * Made, changed and freed under the mutex of the lists. Requests see its load factor and its
 * status change, as those of static members.
 */
typedef struct balancer_joined_t {
    proxy_worker worker;       /**< in no list of mod_proxy's */
    proxy_worker_shared shared;
    usher_member_rec_t *rec;
    int is_held;               /**< the record; else it is our own */
    unsigned char id[USHER_ID_SIZE];
    apr_uint32_t generation;   /**< the roster's */
    int has_no_secret;         /**< its AJP secret is not known: it gets no requests */
    balancer_probe_conf_t probe;
    char check[USHER_ROSTER_CHECK_SIZE]; /**< probe.path may lie there */
    void *_Atomic kept;        /**< the backend handler's: usher_picker.h */
    int lists;                 /**< how many have it */
    apr_uint32_t pass;         /**< of the list that took it last: none takes it twice */
} balancer_joined_t;

/* balancer_joined_conf.c */

extern const balancer_joined_conf_t balancer_joined_conf_none;

/** UsherMembers. */
const char *balancer_joined_set(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
void balancer_joined_conf_merge(balancer_joined_conf_t *conf, const balancer_joined_conf_t *base,
                                const balancer_joined_conf_t *add);
/** Give a worker these settings, and mod_proxy's defaults. */
void balancer_joined_conf_apply(const balancer_joined_conf_t *conf, proxy_worker_shared *s);

/* balancer_joined.c */

/** A member of the roster's; nothing that stands there is believed.
 * @param before  the same of another generation, or without its secret; NULL: there is none
 * @param ptemp   for what is not kept
 * @return NULL: it cannot be one, which is logged */
balancer_joined_t *balancer_joined_make(const struct balancer_cluster_t *cluster,
                                        const usher_roster_entry_t *entry,
                                        const balancer_joined_t *before, apr_pool_t *ptemp);
/** Whether it is still what the roster says, but for what balancer_joined_change() takes over. */
int balancer_joined_is(const balancer_joined_t *joined, const usher_roster_entry_t *entry);
void balancer_joined_change(balancer_joined_t *joined, const usher_roster_entry_t *entry);
void balancer_joined_free(balancer_joined_t *joined);

#endif /* BALANCER_JOINED_H */
