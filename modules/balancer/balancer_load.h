/**
 * @file  balancer_load.h
 * @brief Requests in flight at each member, of all children together; how many it may
 *        have, and requests that wait until one has room.
 */
#ifndef BALANCER_LOAD_H
#define BALANCER_LOAD_H

#include <mod_proxy.h>
#include <mpm_common.h>

#include "usher_conf.h"

struct balancer_request_t;

/** Of a cluster: UsherMemberMax and UsherQueue. */
typedef struct balancer_load_conf_t {
    apr_array_header_t *maxima; /**< the lines of UsherMemberMax; NULL: none */
    apr_int64_t wait;           /**< microseconds; 0: nobody waits */
    int most;                   /**< percent of the threads that may */
} balancer_load_conf_t;

#define BALANCER_LOAD_DEFAULTS { NULL, 0, 25 }

/** How far a request is that found its member full, or all of them. */
typedef enum {
    BALANCER_QUEUE_NEW,    /**< who waits goes before it */
    BALANCER_QUEUE_BEGUN,  /**< it waits, too: who waited before goes before it */
    BALANCER_QUEUE_WAITED  /**< it takes what there is */
} balancer_queue_step_e;

/** A request's place in the queue; all zeros: it is not there. */
typedef struct balancer_queue_place_t {
    balancer_queue_step_e step;
    int waits;           /**< it counts as waiting */
    int member;          /**< for which; -1: any */
    int impatient;       /**< it does not wait for its session's member any more */
    apr_uint32_t seen;   /**< of the record's released, before it looked for room */
    apr_time_t since;    /**< boot clock */
    /* For the access log: */
    apr_uint32_t before;        /**< how many waited when it came */
    apr_interval_time_t waited; /**< in all */
} balancer_queue_place_t;

/* balancer_load_conf.c */

void balancer_load_conf_init(balancer_load_conf_t *conf);
void balancer_load_conf_merge(apr_pool_t *p, balancer_load_conf_t *conf,
                              const balancer_load_conf_t *base, const balancer_load_conf_t *add);
const char *balancer_load_conf_set_max(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *balancer_load_conf_set_queue(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

/** What a member may have; 0: no limit. */
apr_uint32_t balancer_load_conf_max(const balancer_load_conf_t *conf, const proxy_worker *worker);

/** What is wrong with the settings of a cluster; NULL: nothing. */
const char *balancer_load_conf_why_not(const balancer_load_conf_t *conf, const proxy_balancer *b,
                                       apr_pool_t *p);

/* balancer_load.c */

void balancer_load_check_config(void);
int balancer_load_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                              server_rec *s);
void balancer_load_child_init(apr_pool_t *pchild, server_rec *s);
void balancer_load_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                                mpm_child_status state);

/**
 * Count a request at a member, and at its cluster.
 * @param bound  the member gets no more than these, whoever counts at the same time; 0: no
 *               more than UsherMemberMax allows
 * @return 0: the member is full
 */
int balancer_load_take(struct balancer_request_t *request, int i, apr_uint32_t bound);

/**
 * It is there no longer.
 * @param generation  of the member's record when it was counted
 */
void balancer_load_release(struct balancer_request_t *request, int i, apr_uint32_t generation);

/**
 * Count a request that waits.
 * @param i  the member that it waits for; -1: any
 * @return 0: enough of them wait
 */
int balancer_load_wait_begin(struct balancer_request_t *request, int i);
void balancer_load_wait_end(struct balancer_request_t *request, int i);

/* balancer_queue.c */

typedef enum {
    BALANCER_QUEUE_AGAIN, /**< there may be room now */
    BALANCER_QUEUE_OVER,  /**< its time is over, or it may not wait */
    BALANCER_QUEUE_GONE   /**< the client went away */
} balancer_queue_e;

void balancer_queue_post_config(void);

/**
 * Wait until there may be room. Begins with a second look, as a waiting request.
 * @param i  the member that it is to be; -1: any
 */
balancer_queue_e balancer_queue_wait(struct balancer_request_t *request, request_rec *r, int i);

/** Whether others wait for any member, whose turn it is before this request's. */
int balancer_queue_is_before(const struct balancer_request_t *request);

/** It waits no longer. */
void balancer_queue_leave(struct balancer_request_t *request, request_rec *r);

/** A place at a member is free: who waits longest for it is woken. */
void balancer_queue_wake(struct balancer_request_t *request, int i);

/** Members are full, and it does not wait: Retry-After, and the log from time to time. */
void balancer_queue_refuse(struct balancer_request_t *request, request_rec *r);

#endif /* BALANCER_LOAD_H */
