/**
 * @file  usher_roster.h
 * @brief The roster: members that signed themselves in, in shared memory.
 *
 * mod_usher_register writes it (from requests, and as the store tells), mod_usher_balancer
 * makes the members of its clusters from it. Counts, health and sessions of a member are in
 * its record of the registry (usher_registry.h), as for static members.
 *
 * Readers get copies. A child can write anything there: copies have their NULs, but what they
 * say is checked by who uses it.
 */
#ifndef USHER_ROSTER_H
#define USHER_ROSTER_H

#include <apr.h>

#include "usher_registry.h"

#define USHER_ROSTER_CLUSTER_SIZE 128
#define USHER_ROSTER_OWNER_SIZE   64
#define USHER_ROSTER_CHECK_SIZE   128
#define USHER_ROSTER_LABELS_SIZE  512
#define USHER_ROSTER_SECRET_SIZE  256

/** A member that signed itself in. Times: ms of the boot clock. */
typedef struct usher_roster_entry_t {
    /** Of its cluster and route, usher_roster_id(): the same on every node. */
    unsigned char id[USHER_ID_SIZE];
    char cluster[USHER_ROSTER_CLUSTER_SIZE]; /**< "app"; "app@www.example.com" where two virtual
                                              * hosts define one name */
    char route[USHER_REGISTRY_ROUTE_SIZE];   /**< never empty */
    char url[USHER_REGISTRY_URL_SIZE];       /**< "ajp://10.0.0.5:8009" */
    char owner[USHER_ROSTER_OWNER_SIZE];     /**< whose key or certificate signed it in */
    char check[USHER_ROSTER_CHECK_SIZE];     /**< "" as the cluster's UsherCheck says; "tcp",
                                              * "cping", or the path of a GET: "/health" */
    char labels[USHER_ROSTER_LABELS_SIZE];   /**< a JSON object, or "" */
    char secret[USHER_ROSTER_SECRET_SIZE];   /**< of AJP: "name:NAME" of UsherRegisterSecret,
                                              * "sealed:TOKEN", or "" */
    apr_uint64_t version;      /**< of the record in the store */
    apr_int64_t registered_at; /**< UTC, ms */
    apr_uint32_t weight;       /**< 0 to 100, as loadfactor=; 0: its sessions only */
    apr_uint32_t lease;        /**< ms */
    apr_int64_t drain_until;   /**< then it is removed; 0: it does not drain */
    /* What heartbeats change, without a new version. */
    apr_int64_t expires_at;    /**< of the lease */
    apr_int64_t saved_at;      /**< when the store was told of the lease last */
    apr_int32_t load;          /**< per cent, as the member says; -1: it says nothing */
    apr_uint32_t created;      /**< of the newest signature that was accepted: UTC, seconds; 0: none */
    /* What the roster itself keeps. */
    apr_uint32_t generation;   /**< another one: its URL, check or secret changed, or it was gone
                                * meanwhile: links and checks begin anew */
} usher_roster_entry_t;

/** The id of a member: 128 bits of a SHA-256 of "balancer://" + cluster, NUL, "route", NUL, route:
 * as mod_usher_balancer makes those of static members, but where two virtual hosts define one
 * name, whose members are others. */
void usher_roster_id(unsigned char id[USHER_ID_SIZE], const char *cluster, const char *route);

#endif /* USHER_ROSTER_H */
