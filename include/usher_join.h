/**
 * @file  usher_join.h
 * @brief What mod_usher_balancer and mod_usher_register ask each other of members that sign
 *        themselves in: optional functions, so that neither needs the other's symbols.
 */
#ifndef USHER_JOIN_H
#define USHER_JOIN_H

#include <apr_optional.h>
#include <httpd.h>

#include "usher_check.h"
#include "usher_roster.h"

/** Whether a member may join. */
typedef enum {
    USHER_JOIN_OK,
    USHER_JOIN_NO_CLUSTER,  /**< no cluster has this name */
    USHER_JOIN_AMBIGUOUS,   /**< several virtual hosts have it: "app@www.example.com" */
    USHER_JOIN_NO_SCHEME,   /**< nobody serves this scheme, or the stock modules serve the cluster */
    USHER_JOIN_ROUTE_TAKEN, /**< a BalancerMember has this route */
    USHER_JOIN_OWN_URL      /**< a BalancerMember has this URL, with another route or none */
} usher_join_e;

/**
 * Whether a member may join; mod_usher_balancer's.
 * @param cluster    "app" or "app@www.example.com"
 * @param route,url  NULL: only the cluster is asked for
 * @param canonical  gets the cluster's one name in the roster; of pconf
 */
APR_DECLARE_OPTIONAL_FN(usher_join_e, usher_balancer_may_join,
                        (const char *cluster, const char *route, const char *url,
                         const char **canonical));

/** How a registered member does. */
typedef struct usher_join_state_t {
    usher_check_state_e check;
    char reason[USHER_CHECK_REASON_SIZE]; /**< of the last check; may be empty */
    int rests;               /**< its failures keep requests away (UsherBackendRest) */
    apr_uint32_t in_flight;  /**< requests, of all children */
    apr_uint32_t sessions;   /**< about */
    apr_uint64_t elected;
} usher_join_state_t;

/** mod_usher_balancer's. @return 1; 0: no such cluster on this node */
APR_DECLARE_OPTIONAL_FN(int, usher_balancer_join_state,
                        (const usher_roster_entry_t *entry, usher_join_state_t *state));

/**
 * What a member's secret is in clear; mod_usher_register's.
 * @param secret  of a roster's entry
 * @param text    gets it with its NUL; wipe it (OPENSSL_cleanse) when it is not needed any more
 * @return 1; 0: not known, or sealed with a key that is gone
 */
APR_DECLARE_OPTIONAL_FN(int, usher_register_open_secret,
                        (const unsigned char *id, const char *secret, char *text, apr_size_t size));

#endif /* USHER_JOIN_H */
