/**
 * @file  balancer_private.h
 * @brief What the files of mod_usher_balancer know of one another.
 *
 * balancer_check.c     what configtest refuses of a cluster
 * balancer_clusters.c  which balancers are clusters; their members
 * balancer_pick.c      the choice of a member
 * balancer_session.c   sessions that stay with their member
 * balancer_request.c   mod_proxy's hooks: a request to a cluster begins
 * balancer_picker.c    the picker that the backend handler asks
 *
 * Each thread works on a request of its own. All children share the members'
 * records (usher_registry.h); a list of members is not changed any more once
 * requests can see it.
 */
#ifndef BALANCER_PRIVATE_H
#define BALANCER_PRIVATE_H

#include <mod_proxy.h>
#include <stdatomic.h>

#include "usher_clock.h"
#include "usher_core.h"
#include "usher_picker.h"

extern module AP_MODULE_DECLARE_DATA usher_balancer_module;

/** Who carries requests to members where it is loaded. */
#define BALANCER_BACKEND "mod_usher_backend.c"
/** Who takes the requests that it does not. */
#define BALANCER_STOCK "mod_proxy_balancer.c"

typedef struct balancer_member_t {
    proxy_worker *worker;
    /** Shared by all children; where the registry has no room, this process's. */
    usher_member_rec_t *rec;
} balancer_member_t;

/** The members as they were at one moment. */
typedef struct balancer_members_t {
    int count;
    int seen; /**< how long mod_proxy's list was then */
    balancer_member_t list[];
} balancer_members_t;

typedef struct balancer_cluster_t {
    const char *name;            /**< "balancer://app" */
    const char *server;          /**< who defines it; "" for the main server */
    apr_array_header_t *workers; /**< mod_proxy's, of all copies of it */
    /** What mod_proxy is given in pre_request; NULL: the stock modules serve
     * this cluster, and only ask which member is next. */
    proxy_worker *standin;
    usher_cluster_rec_t *rec;    /**< as a member's */
    _Atomic(balancer_members_t *) members;
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

/* balancer_clusters.c */

/** The core; NULL: all is off. */
extern const usher_core_t *balancer_core;
/** Registered when the module is loaded, so that it is there when lbmethod= is
 * read. */
extern const proxy_balancer_method balancer_method;

int balancer_clusters_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                  server_rec *s);
void balancer_clusters_child_init(apr_pool_t *pchild, server_rec *s);

/** Whether a balancer has our lbmethod, or shares its members with one. */
int balancer_clusters_is_ours(const proxy_balancer *b);

/** The cluster that a balancer is; NULL: none. */
balancer_cluster_t *balancer_clusters_find(const proxy_balancer *b);

/**
 * Its members of now, with those that balancer-manager added meanwhile.
 * @param locked  the caller has the balancer's thread lock, and mod_proxy has
 *                just looked for new ones
 */
const balancer_members_t *balancer_clusters_members(balancer_cluster_t *cluster,
                                                    proxy_balancer *b, request_rec *r,
                                                    int locked);

/* balancer_pick.c */

/** What a choice depends on. */
typedef struct balancer_choice_t {
    const balancer_members_t *members;
    const unsigned char *tried; /**< one for each member, not 0: not again. Or NULL */
    const usher_health_params_t *rest;
    apr_int64_t now;
    int *claimed; /**< gets the member that balancer_pick_try() won; or NULL */
    /** The stock modules carry the request and judge its outcome: nobody will
     * tell us how it went. */
    int stock;
} balancer_choice_t;

/** How a member stands for one request. */
typedef enum {
    BALANCER_STANDING_OFF,     /**< disabled, stopped, failed its check, tried */
    BALANCER_STANDING_RESTING, /**< or marked in error by the stock modules */
    BALANCER_STANDING_DUE,     /**< its rest is over, somebody shall try it */
    BALANCER_STANDING_USABLE
} balancer_standing_e;

/** @param share  gets its share of the requests, in thousandths; or NULL */
balancer_standing_e balancer_pick_standing(const balancer_choice_t *choice, int i,
                                           unsigned int *share);

/** Claim a member that is due. @return 1: this request tries it */
int balancer_pick_try(const balancer_choice_t *choice, int i);

/**
 * The member whose turn it is.
 * @return its index; -1: none is left
 */
int balancer_pick_next(const balancer_choice_t *choice);

/**
 * A member serves a request of a session: that is its turn.
 * @param taken  its index
 */
void balancer_pick_took(const balancer_choice_t *choice, int taken);

/** Members that are switched on, and how many of them do not get their requests
 * now, without the one given. */
void balancer_pick_count(const balancer_choice_t *choice, int without, apr_uint32_t *on,
                         apr_uint32_t *resting);

/* balancer_session.c */

/** The session that a request says it belongs to. */
typedef struct balancer_session_t {
    const char *route; /**< NULL: none */
    const char *name;  /**< of the cookie or parameter that says so */
} balancer_session_t;

void balancer_session_read(balancer_session_t *session, const proxy_balancer *b, request_rec *r,
                           const char *url);

/**
 * The member of a session, or the one that its member redirects to.
 * @return its index; -1: there is none that can be used
 */
int balancer_session_member(const balancer_choice_t *choice, const char *route);

/** Whether some member has this route: nofailover= then lets no other serve. */
int balancer_session_is_ours(const balancer_members_t *members, const char *route);

/* balancer_request.c */

/** What this module knows of a request; in its request_config. */
typedef struct balancer_request_t {
    balancer_cluster_t *cluster;
    proxy_balancer *balancer;
    const balancer_members_t *members;
    const char *path; /**< what follows the cluster's name in the URL, as it came */
    unsigned char *tried;
    int attempts; /**< members that it was sent to */
    balancer_session_t session;
    int counted; /**< in the budget */
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
                         const proxy_worker *worker, const char **url);

/* balancer_picker.c */

extern const usher_picker_provider_t balancer_picker_provider;
void balancer_picker_init(balancer_request_t *request);

#endif /* BALANCER_PRIVATE_H */
