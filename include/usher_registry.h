/**
 * @file  usher_registry.h
 * @brief The registry: what all children know together of each cluster and of
 *        each of its members.
 *
 * A record is got from usher_core_t: registry_cluster(), registry_member(). It
 * lies in shared memory, is the same for all children, and outlives restarts.
 * Any thread may read and change its atomic fields without a lock, through the
 * functions of usher_budget.h and usher_health.h where those have some. All
 * children can write there: what stands there is believed by nobody who has
 * more rights than they, and texts may lack their NUL.
 */
#ifndef USHER_REGISTRY_H
#define USHER_REGISTRY_H

#include <apr.h>
#include <stdatomic.h>

#include "usher_admin.h"
#include "usher_blame.h"
#include "usher_budget.h"
#include "usher_check.h"
#include "usher_health.h"
#include "usher_load.h"
#include "usher_sketch.h"
#include "usher_sticky.h"
#include "usher_stick.h"

/** Bytes of an id: the first of a SHA-256. */
#define USHER_ID_SIZE 16

#define USHER_REGISTRY_NAME_SIZE   96
#define USHER_REGISTRY_SERVER_SIZE 256
#define USHER_REGISTRY_ROUTE_SIZE  64
#define USHER_REGISTRY_URL_SIZE    384

/** Bytes of any record. */
#define USHER_REGISTRY_RECORD_SIZE 2048

/** A cluster: a balancer of some server, or a backend of a plain ProxyPass. */
typedef struct usher_cluster_rec_t {
    unsigned char id[USHER_ID_SIZE];
    apr_uint32_t generation; /**< another one: the record was given away anew */
    apr_uint32_t place;      /**< which record of the registry it is, from 0 */
    _Atomic apr_int64_t left_at; /**< the registry's own */
    _Atomic apr_uint64_t requests;
    _Atomic apr_uint64_t replays;
    _Atomic apr_uint64_t refused_replays; /**< over the budget */
    _Atomic apr_uint32_t in_flight; /**< attempts at its members, of all children */
    _Atomic apr_uint32_t waiting;   /**< requests that wait for any member */
    _Atomic apr_uint32_t released;  /**< changes when who waits may have a place */
    apr_uint32_t spare_word;
    _Atomic apr_uint64_t refused_full; /**< 503, as all members were full */
    _Atomic apr_int64_t full_told_at;  /**< boot clock, ms: when the log said so last */
    apr_uint64_t spare[3];
    usher_budget_t budget;
    char name[USHER_REGISTRY_NAME_SIZE];     /**< "balancer://app"; may be cut */
    char server[USHER_REGISTRY_SERVER_SIZE]; /**< may be cut */
    usher_stick_t stick;
    _Atomic apr_uint64_t turns;   /**< choices that were made */
    _Atomic apr_uint32_t changes; /**< goes on when a member begins or ends to rest, or
                                   * is switched */
    apr_uint32_t spare_word2;
    usher_sticky_t sticky;
} usher_cluster_rec_t;

/** A member of a cluster. */
typedef struct usher_member_rec_t {
    unsigned char id[USHER_ID_SIZE];
    apr_uint32_t generation; /**< another one: the record was given away anew */
    apr_uint32_t place;      /**< which record of the registry it is, from 0 */
    _Atomic apr_int64_t left_at; /**< the registry's own */
    unsigned char cluster_id[USHER_ID_SIZE];
    usher_health_t health;
    _Atomic apr_int64_t debt;    /**< turns that its sessions took (usher-requests) */
    _Atomic apr_uint64_t elected;
    _Atomic apr_uint64_t answered;
    _Atomic apr_uint64_t failed; /**< outcomes that tell against it */
    _Atomic apr_uint32_t in_flight; /**< requests, of all children */
    _Atomic apr_uint32_t waiting;   /**< requests that wait for this member */
    _Atomic apr_uint32_t released;  /**< as the cluster's */
    apr_uint32_t spare_word;
    apr_uint64_t spare[6];
    char route[USHER_REGISTRY_ROUTE_SIZE]; /**< may be empty */
    char url[USHER_REGISTRY_URL_SIZE];     /**< may be cut */
    usher_admin_t admin; /**< what the administrator said of it at run time */
    usher_blame_t blame; /**< usher_outcome_e + 1 of the last failure */
    usher_check_t check;
    usher_load_t response; /**< how long it takes to answer */
    usher_sketch_t sessions; /**< whose cookies came lately */
    _Atomic apr_uint32_t max;  /**< requests that it may have at a time; 0: no limit. For people:
                                * what counts is each child's own configuration */
    _Atomic apr_uint32_t rise; /**< good checks in a row that make it up again, as max */
} usher_member_rec_t;

#endif /* USHER_REGISTRY_H */
