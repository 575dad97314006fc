/**
 * @file  balancer_private.h
 * @brief What the files of mod_usher_balancer know of one another.
 *
 * balancer_check.c     what configtest refuses of a cluster
 * balancer_conf.c      settings of a cluster: the directives in its <Proxy> section
 * balancer_clusters.c  which balancers are clusters
 * balancer_lists.c     lists of their members, and who holds them
 * balancer_join.c      what those who sign members in ask of a cluster (usher_join.h)
 * balancer_joined*.c   members that signed themselves in (balancer_joined.h)
 * balancer_keys.c      the keys of a cluster's tokens
 * balancer_pick.c      the choice of a member
 * balancer_stick*.c    the stick table: UsherStick, finding and learning
 * balancer_session.c   sessions that stay with their member
 * balancer_sticky.h    our own cookie, and the application's route
 * balancer_load.c      requests in flight, and how many a member may have
 * balancer_load_conf.c the directives for that
 * balancer_queue.c     requests that wait until a member has room
 * balancer_probe*.c    health checks in the background (balancer_probe.h)
 * balancer_request.c   mod_proxy's hooks: a request to a cluster begins
 * balancer_facts.c     what the access log is told of it
 * balancer_picker.c    the picker that the backend handler asks
 *
 * Each thread works on a request of its own. All children share the members'
 * records (usher_registry.h); a list of members is not changed any more once
 * requests can see it, and lives as long as any holds it.
 */
#ifndef BALANCER_PRIVATE_H
#define BALANCER_PRIVATE_H

#include <mod_proxy.h>
#include <stdatomic.h>

#include "balancer_hash.h"
#include "balancer_joined.h"
#include "balancer_load.h"
#include "balancer_probe.h"
#include "balancer_stick.h"
#include "usher_clock.h"
#include "usher_core.h"
#include "usher_join.h"
#include "usher_picker.h"
#include "usher_token_cache.h"

#include "balancer_sticky.h"

extern module AP_MODULE_DECLARE_DATA usher_balancer_module;

/** Who carries requests to members where it is loaded. */
#define BALANCER_BACKEND "mod_usher_backend.c"
/** Who takes the requests that it does not. */
#define BALANCER_STOCK "mod_proxy_balancer.c"

typedef struct balancer_member_t {
    proxy_worker *worker;
    /** Shared by all children; where the registry has no room, this process's. */
    usher_member_rec_t *rec;
    /** Its name in cookies and in the stick table, the same on every node: of the
     * cluster's name and its route, or its URL where it has none. */
    unsigned char id[USHER_ID_SIZE];
    apr_uint32_t max; /**< requests that it may have at a time; 0: no limit */
    apr_uint32_t server_len; /**< of its URL, see usher_backend_canonical_server() */
    balancer_joined_t *joined; /**< NULL: it is static */
} balancer_member_t;

/** The members as they were at one moment. */
typedef struct balancer_members_t {
    int count;
    int seen; /**< how long mod_proxy's list was then */
    int has_others; /**< than AJP members */
    struct balancer_views_t *views;   /**< balancer_choose.h */
    struct balancer_ids_t *ids;
    int lacks_secrets; /**< one of the registered ones has_no_secret */
    /* balancer_lists.c: */
    apr_pool_t *pool;    /**< NULL: that of the configuration */
    _Atomic int holders; /**< the cluster is one of them, as long as it is its list */
    struct balancer_members_t *next; /**< of lists that are to be freed */
    balancer_member_t list[];
} balancer_members_t;

/** What the <Proxy> section of a cluster says, and the defaults. */
typedef struct balancer_conf_t {
    balancer_sticky_conf_t sticky;
    const char *keys_file; /**< UsherStickyKeys; NULL: none */
    balancer_load_conf_t load;
    balancer_probe_conf_t probe;
    balancer_stick_conf_t *stick; /**< NULL: no UsherStick */
    balancer_hash_conf_t hash;
    balancer_joined_conf_t joined;
} balancer_conf_t;

/** The keys of a cluster's tokens. */
typedef struct balancer_keys_t balancer_keys_t;

/** An lbmethod: balancer_choose.h. */
typedef struct balancer_method_t balancer_method_t;
#define BALANCER_METHODS 4

typedef struct balancer_cluster_t {
    const char *name;            /**< "balancer://app" */
    const balancer_conf_t *conf;
    const balancer_method_t *method;
    /** Of its name: keys of usher-hash meet the same member on every node. */
    unsigned char seed[USHER_ID_SIZE];
    const balancer_stick_t *stick; /**< NULL: it uses no stick table */
    const char *server;          /**< who defines it; "" for the main server */
    server_rec *home;            /**< the same */
    proxy_balancer *balancer;    /**< of that server */
    apr_array_header_t *workers; /**< mod_proxy's, of all copies of it */
    /** What mod_proxy is given in pre_request; NULL: the stock modules serve
     * this cluster, and only ask which member is next. */
    proxy_worker *standin;
    usher_cluster_rec_t *rec;    /**< as a member's */
    const balancer_sticky_t *sticky; /**< its cookie; NULL: none */
    apr_uint32_t generation;     /**< of the record when it was this cluster's */
    balancer_keys_t *keys; /**< NULL: nobody needs them */
    const char *joined_name;     /**< in the roster: "app" or "app@www.example.com" */
    /* balancer_lists.c: */
    _Atomic(balancer_members_t *) members;
    _Atomic int seen;            /**< that list's */
    const _Atomic apr_uint32_t *changes; /**< of those that sign in, the roster's */
    _Atomic apr_uint32_t made_of;        /**< what it was when the list was made */
    _Atomic apr_int64_t next_at; /**< boot clock, ms: earlier no such change makes another */
    _Atomic int entering;        /**< who is about to hold a list */
    balancer_members_t *replaced; /**< lists that the cluster still holds */
} balancer_cluster_t;

/** Boot clock, ms. */
static inline apr_int64_t balancer_now(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

/* balancer_check.c */

/**
 * Why a balancer with our lbmethod cannot be a cluster.
 * @param s  the server that has it
 * @return NULL: it can
 */
const char *balancer_check_why_not(const proxy_balancer *b, server_rec *s, apr_pool_t *p);
/** Whether mod_usher_backend serves members of this scheme. */
int balancer_check_is_served(const char *scheme);
int balancer_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* balancer_conf.c */

void *balancer_conf_create(apr_pool_t *p, char *dir);
void *balancer_conf_merge(apr_pool_t *p, void *basev, void *addv);

/** Whether a <Proxy> section names a balancer; a slash behind the name does no harm. */
int balancer_conf_is_of(ap_conf_vector_t *of, const char *name);

/** Settings of the sections that name a balancer exactly, with the defaults. */
const balancer_conf_t *balancer_conf_of(const proxy_balancer *b, server_rec *s, apr_pool_t *p);

/** Why a directive of clusters may not stand where it stands; NULL: it may. */
const char *balancer_conf_why_not_here(const cmd_parms *cmd);

/* balancer_clusters.c */

/** A member by its id. @return its index; -1: there is none */
int balancer_clusters_by_id(const balancer_members_t *members, const unsigned char *id);

/**
 * The next member with a route, which is not empty. A route that was changed in
 * balancer-manager is found a second later.
 * @param from  at this index or above
 * @return its index; -1: there is none
 */
int balancer_clusters_by_route(const balancer_members_t *members, const char *route, int from);

/** The core; NULL: all is off. */
extern const usher_core_t *balancer_core;
/** Registered when the module is loaded, so that they are there when lbmethod= is
 * read. */
extern const proxy_balancer_method balancer_providers[BALANCER_METHODS];

int balancer_clusters_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                  server_rec *s);
void balancer_clusters_child_init(apr_pool_t *pchild, server_rec *s);

/** Whether a balancer has our lbmethod, or shares its members with one. */
int balancer_clusters_is_ours(const proxy_balancer *b);

/** The cluster that a balancer is; NULL: none. */
balancer_cluster_t *balancer_clusters_find(const proxy_balancer *b);

/** The same for other modules. */
int usher_balancer_is_cluster(const proxy_balancer *b);

/** The name of a member in cookies and in the stick table. */
void balancer_clusters_member_id(const balancer_cluster_t *cluster, const proxy_worker *worker,
                                 unsigned char id[USHER_ID_SIZE]);

/* balancer_lists.c */

/**
 * The members of now, with those that balancer-manager added meanwhile; those that sign in
 * and out are known some 20 ms later. Held until balancer_lists_drop().
 * @param locked  the caller has the balancer's thread lock, and mod_proxy has
 *                just looked for new ones
 */
const balancer_members_t *balancer_lists_hold(balancer_cluster_t *cluster, proxy_balancer *b,
                                              server_rec *s, int locked);
/** The same list once more. */
void balancer_lists_hold_too(const balancer_members_t *held);
/** May be called from a pool's cleanup. */
void balancer_lists_drop(const balancer_members_t *held);
/** Hold another list, which somebody else holds, in place of this one. */
void balancer_lists_change(const balancer_members_t **held, const balancer_members_t *members);

/** Whether members have signed in or out since the list was made. */
static inline int balancer_lists_is_old(const balancer_cluster_t *cluster)
{
    return atomic_load_explicit(cluster->changes, memory_order_relaxed)
           != atomic_load_explicit(&cluster->made_of, memory_order_relaxed);
}

/** The first list of a cluster: its static members. In post_config. */
void balancer_lists_begin(balancer_cluster_t *cluster, apr_pool_t *pconf);
/** From now on others may join it; its joined_name is known. In post_config. */
void balancer_lists_open(balancer_cluster_t *cluster);
void balancer_lists_post_config(void);
void balancer_lists_child_init(void);

/* balancer_join.c: usher_join.h */

int balancer_join_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                              server_rec *s);
usher_join_e usher_balancer_may_join(const char *cluster, const char *route, const char *url,
                                     const char **canonical);
int usher_balancer_join_state(const usher_roster_entry_t *entry, usher_join_state_t *state);

/* balancer_keys.c */

/** UsherStickyKeys. */
const char *balancer_keys_set(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

/** Refuses key files that cannot be used; at a restart the cluster keeps what it had. */
int balancer_keys_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                               server_rec *s);

/** Give a cluster its keys: those of its file, or one of its own. In post_config. */
void balancer_keys_need(balancer_cluster_t *cluster, server_rec *s, apr_pool_t *pconf);

void balancer_keys_child_init(apr_pool_t *pchild, server_rec *s);

/**
 * The keys of now: ask for each token. Valid until the process ends.
 * @return NULL: it has none, as nobody needs them or libcrypto failed
 */
const usher_keys_t *balancer_keys(const balancer_cluster_t *cluster);

/** Tokens of a cluster that has keys, as they were opened lately; for one aad. */
usher_token_cache_t *balancer_keys_cache(const balancer_cluster_t *cluster);
/** See each cluster, in the order of nothing. In post_config. */
void balancer_clusters_each(void (*see)(balancer_cluster_t *cluster));

/* balancer_probe.c */

/** How a member of a cluster is checked. */
static inline const balancer_probe_conf_t *balancer_probe_conf_of(
    const balancer_cluster_t *cluster, const balancer_member_t *member)
{
    return member->joined ? &member->joined->probe : &cluster->conf->probe;
}

/** Which server a registered member is, for what its checks tell; 0: that is not asked, as it
 * is static, or not in the registry. */
static inline apr_uint32_t balancer_probe_server(const balancer_member_t *member)
{
    return member->joined && member->rec->generation
               ? USHER_CHECK_SERVER(member->joined->generation) : 0;
}

/** Whether a member has signed in and not proved yet that it serves. */
static inline int balancer_probe_is_awaited(const balancer_member_t *member)
{
    return member->joined && member->rec->generation
           && !usher_check_is_proven(&member->rec->check, balancer_probe_server(member));
}

/** Whether a member's health checks say that it is down. @param now  boot clock, ms */
static inline int balancer_probe_is_down(const balancer_member_t *member, apr_int64_t now)
{
    return usher_check_is_down(&member->rec->check, now);
}

/* balancer_pick.c */

/** What a choice depends on. */
typedef struct balancer_choice_t {
    balancer_cluster_t *cluster;
    request_rec *r;
    const balancer_members_t *members;
    const unsigned char *tried; /**< one for each member, not 0: not again. Or NULL */
    const usher_health_params_t *rest;
    apr_int64_t now;
    int *claimed; /**< gets the member that balancer_pick_try() won; or NULL */
    /** The stock modules carry the request and judge its outcome: nobody will
     * tell us how it went. */
    int stock;
    int no_ajp; /**< AJP members cannot carry it, and there are others */
    int again;  /**< it was at a member already, and has had its turn */
    int full_too; /**< members that have all the requests that they may have count as others */
    balancer_queue_step_e queued; /**< others that wait may go before it */
    int *full;    /**< gets 1 when a member was left out as it is full; or NULL */
    /** Gets how many the method lets the chosen member have in flight, this request
     * counted; 0: as many as it may; or NULL */
    apr_uint32_t *bound;
} balancer_choice_t;

/** How a member stands for one request. */
typedef enum {
    BALANCER_STANDING_OFF,     /**< disabled, stopped, failed mod_proxy_hcheck, tried, full */
    BALANCER_STANDING_RESTING, /**< or down by its checks, or marked in error by the stock modules */
    BALANCER_STANDING_DUE,     /**< its rest is over, somebody shall try it */
    BALANCER_STANDING_USABLE
} balancer_standing_e;

/** @param share  gets its share of the requests, in thousandths; or NULL */
balancer_standing_e balancer_pick_standing(const balancer_choice_t *choice, int i,
                                           unsigned int *share);

/** Whether it gets requests of its sessions only. */
int balancer_pick_is_draining(const balancer_member_t *member);

/** Its load factor in hundredths, as it is now; at most this, at least 1. */
#define BALANCER_FACTOR_MAX 10000
apr_uint32_t balancer_pick_factor(const balancer_member_t *member);

/** Whether a member that cannot be chosen stands well, and only this request cannot go there:
 * it is full, or AJP does not carry WebSockets. Then its session stays with it. */
int balancer_pick_is_passing(const balancer_choice_t *choice, int i);

/** Claim a member that is due. @return 1: this request tries it */
int balancer_pick_try(const balancer_choice_t *choice, int i);

/** Members that are switched on, and how many of them do not get their requests
 * now, without the one given. */
void balancer_pick_count(const balancer_choice_t *choice, int without, apr_uint32_t *on,
                         apr_uint32_t *resting);

/* balancer_choose.c */

/** Before all other choosing of a request: what is prepared is brought up to date. */
void balancer_pick_begin(const balancer_choice_t *choice);
/** A member has begun or ended to rest: all children prepare anew. */
void balancer_pick_changed(const balancer_cluster_t *cluster);

/**
 * The member that the cluster's method gives a request to.
 * @return its index; -1: none is left
 */
int balancer_pick_next(const balancer_choice_t *choice);

/**
 * A member serves a request of a session: that is its turn.
 * @param taken  its index
 */
void balancer_pick_took(const balancer_choice_t *choice, int taken);

/* balancer_method.c */

const balancer_method_t *balancer_method_at(int i);

/* balancer_session.c */

/** The session that a request says it belongs to. */
typedef struct balancer_session_t {
    const char *route; /**< NULL: none */
    const char *name;  /**< of the cookie or parameter that says so */
} balancer_session_t;

void balancer_session_read(balancer_session_t *session, const proxy_balancer *b, request_rec *r,
                           const char *url);

/* balancer_load.c: balancer_load.h */

/**
 * Whether a member has all the requests that it may have, or its next place is another's.
 * @param step  how far it is in the queue
 */
static inline int balancer_load_is_full(const balancer_member_t *member, balancer_queue_step_e step)
{
    return member->max && (atomic_load(&member->rec->in_flight) >= member->max
                           || (step != BALANCER_QUEUE_WAITED
                               && atomic_load(&member->rec->waiting) > (apr_uint32_t)step));
}

/* balancer_request.c */

/** Where a request was, as the access log tells it. */
typedef struct balancer_seat_t {
    int member;                     /**< the last one that it was sent to; -1: none */
    apr_uint32_t cluster_in_flight; /**< when it left that one, with it */
    apr_uint32_t member_in_flight;
} balancer_seat_t;

/** What this module knows of a request; in its request_config. */
typedef struct balancer_request_t {
    balancer_cluster_t *cluster;
    proxy_balancer *balancer;
    const balancer_members_t *members;
    const char *path; /**< what follows the cluster's name in the URL, as it came */
    unsigned char *tried;
    int attempts; /**< members that it was sent to */
    balancer_seat_t seat;
    balancer_queue_place_t queue;
    balancer_session_t session;
    balancer_cookie_t cookie;
    int followed; /**< the application's route was looked for */
    const proxy_worker *held_by; /**< nofailover=: it cannot serve, and no other may */
    balancer_stick_request_t *stick; /**< NULL: not asked yet */
    int counted; /**< in the budget */
    int no_ajp;  /**< as in balancer_choice_t */
    int resting; /**< the session's member, which only rests or is down; -1: it is not so */
    usher_picker_t picker;
} balancer_request_t;

int balancer_request_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                 server_rec *s);
int balancer_request_pre_request(proxy_worker **worker, proxy_balancer **balancer, request_rec *r,
                                 proxy_server_conf *conf, char **url);
int balancer_request_canon(request_rec *r, char *url);

/**
 * The URL to ask a member for, as its scheme would have it; r->filename is that
 * from then on.
 * @return OK, or an HTTP status: nothing may be sent
 */
int balancer_request_url(const balancer_request_t *request, request_rec *r,
                         const balancer_member_t *member, const char **url);

/* balancer_session.c: of a request */

/** No other member may serve this session (nofailover=). */
#define BALANCER_SESSION_NOBODY (-2)

/**
 * The member that a request belongs to.
 * @return its index; -1: none, the method decides; BALANCER_SESSION_NOBODY
 */
int balancer_session_choose(balancer_request_t *request, request_rec *r,
                            const balancer_choice_t *choice);

/**
 * The same for the stock modules, which found no session of their own.
 * @return as balancer_session_choose()
 */
int balancer_session_choose_stock(const balancer_cluster_t *cluster, request_rec *r,
                                  const balancer_choice_t *choice);

/** Say why nobody serves a request whose held_by is set. */
void balancer_session_log_held(const balancer_request_t *request, request_rec *r);

/** A member's answer is there, and its head has not gone to the output filters. */
void balancer_session_answered(balancer_request_t *request, request_rec *r, int i);

/**
 * Who serves for a member: itself, one with its route, or whom it redirects to.
 * @return an index; -1: nobody can
 */
int balancer_session_serves(const balancer_choice_t *choice, int own);

/** One of them that rests: better than none. @return BALANCER_SESSION_NOBODY: all are off */
int balancer_session_rests(const balancer_choice_t *choice, int own);

/** Set BALANCER_ROUTE_CHANGED where the member that was chosen is not the session's. */
void balancer_session_tell_changed(const balancer_request_t *request, request_rec *r, int i);

/* balancer_stick.c: of a request */

/**
 * The member that the stick table has for a request; its entry lives longer then.
 * @return its index; -1: none that may be used; BALANCER_SESSION_NOBODY
 */
int balancer_stick_find(balancer_request_t *request, request_rec *r,
                        const balancer_choice_t *choice);

/**
 * Learn from the head of an answer that goes to the client.
 * @param i  the member that answered
 */
void balancer_stick_answered(balancer_request_t *request, request_rec *r, int i);

/** Whether the stick table had an entry for a request. */
int balancer_stick_was_found(const balancer_request_t *request);

/* balancer_facts.c */

/** usher_facts.h */
struct usher_balancer_facts_t;
int usher_balancer_facts(request_rec *r, struct usher_balancer_facts_t *facts);

/* balancer_picker.c */

extern const usher_picker_provider_t balancer_picker_provider;
void balancer_picker_init(balancer_request_t *request);

#endif /* BALANCER_PRIVATE_H */
