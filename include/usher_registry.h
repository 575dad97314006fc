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

#include "usher_budget.h"
#include "usher_health.h"

/** Bytes of an id: the first of a SHA-256. */
#define USHER_ID_SIZE 16

#define USHER_REGISTRY_NAME_SIZE   96
#define USHER_REGISTRY_SERVER_SIZE 256
#define USHER_REGISTRY_ROUTE_SIZE  64
#define USHER_REGISTRY_URL_SIZE    384

/** A cluster: a balancer of some server, or a backend of a plain ProxyPass. */
typedef struct usher_cluster_rec_t {
    unsigned char id[USHER_ID_SIZE];
    apr_uint32_t generation; /**< another one: the record was given away anew */
    apr_uint32_t pad;
    _Atomic apr_int64_t left_at; /**< the registry's own */
    _Atomic apr_uint64_t requests;
    _Atomic apr_uint64_t replays;
    _Atomic apr_uint64_t refused_replays; /**< over the budget */
    apr_uint64_t spare[7];
    usher_budget_t budget;
    char name[USHER_REGISTRY_NAME_SIZE];     /**< "balancer://app"; may be cut */
    char server[USHER_REGISTRY_SERVER_SIZE]; /**< may be cut */
} usher_cluster_rec_t;

/** A member of a cluster. */
typedef struct usher_member_rec_t {
    unsigned char id[USHER_ID_SIZE];
    apr_uint32_t generation; /**< another one: the record was given away anew */
    apr_uint32_t pad;
    _Atomic apr_int64_t left_at; /**< the registry's own */
    unsigned char cluster_id[USHER_ID_SIZE];
    usher_health_t health;
    _Atomic apr_int64_t turn;    /**< the balancer's: who is next */
    _Atomic apr_uint64_t elected;
    _Atomic apr_uint64_t answered;
    _Atomic apr_uint64_t failed; /**< outcomes that tell against it */
    apr_uint64_t spare[8];
    char route[USHER_REGISTRY_ROUTE_SIZE]; /**< may be empty */
    char url[USHER_REGISTRY_URL_SIZE];     /**< may be cut */
} usher_member_rec_t;

#endif /* USHER_REGISTRY_H */
