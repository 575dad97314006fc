/**
 * @file  usher_facts.h
 * @brief What the modules know of a request once it is over, for the access log.
 *
 * Each module offers its part as an optional function, which mod_usher_log retrieves in
 * post_config: any of them may be missing. They are called in log_transaction, by the
 * thread that logs; what they give lives as long as the request.
 */
#ifndef USHER_FACTS_H
#define USHER_FACTS_H

#include <apr_optional.h>
#include <httpd.h>

#include "usher_picker.h"

/** One attempt. Times in microseconds; -1: it did not come so far. */
typedef struct usher_attempt_facts_t {
    const char *member;          /**< URL without a path */
    usher_outcome_e outcome;
    apr_interval_time_t connect; /**< 0 on a kept connection */
    apr_interval_time_t send;
    apr_interval_time_t first;   /**< from the request's last byte to the answer's first */
    apr_interval_time_t body;
} usher_attempt_facts_t;

/** What the backend handler knows of a request. */
typedef struct usher_backend_facts_t {
    char who;                    /**< HAProxy's first letter: '-', 'C', 'S', 'P', 'c', 's' */
    char phase;                  /**< the second one: '-', 'R', 'C', 'H', 'D' */
    apr_time_t arrived_at;       /**< boot clock: the handler got it */
    apr_time_t connected_at;     /**< of the last attempt; 0: it did not come so far */
    apr_time_t first_at;         /**< its answer's first byte; 0: none came */
    apr_time_t ended_at;         /**< the handler was done with it */
    apr_off_t bytes_out;         /**< to the backends, heads and all */
    apr_off_t bytes_in;          /**< from them */
    int replays;
    int attempts_len;
    const usher_attempt_facts_t *attempts;
} usher_backend_facts_t;

/**
 * @param facts  is filled
 * @return 0: the handler did not serve this request; nothing is set
 */
APR_DECLARE_OPTIONAL_FN(int, usher_backend_facts, (request_rec *r, usher_backend_facts_t *facts));

/** What a cluster knows of a request. */
typedef struct usher_balancer_facts_t {
    const char *cluster;         /**< without "balancer://" */
    const char *member;          /**< its route, or its URL where it has none; NULL: none was chosen */
    apr_interval_time_t queued;  /**< microseconds in UsherQueue; 0: not at all */
    apr_uint32_t queue_len;      /**< those that waited before it */
    char session;                /**< HAProxy's third letter: N I D V E O U, '-' without sessions */
    char cookie;                 /**< the fourth one: N I U P D R, '-' */
    apr_uint32_t cluster_in_flight; /**< with this one, over all children */
    apr_uint32_t member_in_flight;
} usher_balancer_facts_t;

/** As above; 0: the request was for no cluster. */
APR_DECLARE_OPTIONAL_FN(int, usher_balancer_facts, (request_rec *r, usher_balancer_facts_t *facts));

#endif /* USHER_FACTS_H */
