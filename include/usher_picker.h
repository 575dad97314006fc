/**
 * @file  usher_picker.h
 * @brief How the backend handler's attempt loop learns which member is next,
 *        and tells how each attempt ended.
 *
 * The handler brings a picker of its own for plain workers and for balancers
 * with a stock lbmethod. A cluster's picker comes from mod_usher_balancer,
 * through the provider below, so that neither module needs the other's symbols.
 */
#ifndef USHER_PICKER_H
#define USHER_PICKER_H

#include <apr_optional.h>
#include <mod_proxy.h>
#include <stdatomic.h>

#include "usher_conf.h"
#include "usher_health.h"

#define USHER_PICKER_GROUP   "usher"
#define USHER_PICKER_NAME    "picker"
#define USHER_PICKER_VERSION "0"
/** Changes with any change of the types below. */
#define USHER_PICKER_ABI 4

/** How an attempt ended, as far as the member can be judged by it. */
typedef enum {
    USHER_OUTCOME_OK,          /**< a complete answer, whatever its status */
    USHER_OUTCOME_REFUSED,     /**< no connection: refused, reset, no such name */
    USHER_OUTCOME_UNREACHABLE, /**< no answer to the connect in time */
    USHER_OUTCOME_STALE,       /**< a kept connection was found closed */
    USHER_OUTCOME_CUT,         /**< closed or reset before the answer was whole */
    USHER_OUTCOME_TIMEOUT,     /**< too slow after the connection was made */
    USHER_OUTCOME_MALFORMED,   /**< an answer that must not be passed on */
    USHER_OUTCOME_CLIENT,      /**< ended by the client, or by its fault: tells
                                * nothing of the member */
    USHER_OUTCOME_LIMIT        /**< no connection was free: tells nothing either */
} usher_outcome_e;

/** A member that shall serve one attempt. */
typedef struct usher_member_t {
    /**
     * The static member's worker; its keys (timeout=, max= ...) count. For a
     * registered member one with the cluster's settings.
     */
    proxy_worker *worker;
    /** "http://host:port", with a path where the worker has one. In r->pool or
     * longer. */
    const char *url;
    /** Same id and generation: same backend, whose kept connections may be
     * used. Registered members only; all zeros for a static one, for which the
     * worker is the key. */
    unsigned char id[16];
    apr_uint32_t generation;
    /**
     * Where the handler keeps what it knows of a registered member's server (addresses, idle
     * connections): NULL at first, and later given to usher_backend_forget(). It lives, as
     * the worker does, until all requests are over that the member was given to. NULL for a
     * static member.
     */
    void *_Atomic *kept;
    unsigned int last_resort : 1; /**< it rests, or is believed in error: there is
                                   * no better one left */
    unsigned int failing : 1;     /**< its failures are known already: another one
                                   * is no news for the log */
    void *data; /**< the picker's own */
} usher_member_t;

/** How many requests may be sent a second time: UsherReplayBudget. */
typedef struct usher_replay_budget_t {
    unsigned int percent;
    unsigned int window; /**< seconds */
    unsigned int least;
} usher_replay_budget_t;

/** What the directives' pages give as their defaults. */
#define USHER_PICKER_REST   { 3, 10000, 10000, 10000, 50 }
#define USHER_PICKER_BUDGET { 20, 10, 3 }

typedef struct usher_picker_t usher_picker_t;

/** One request's picker. In r->pool; used by one thread at a time. */
struct usher_picker_t {
    /**
     * Choose the next member: one that this request has not tried. Sets the
     * member's environment (BALANCER_*) and notes on r, counts it as elected.
     * May wait until a member has room.
     * @return OK; HTTP_SERVICE_UNAVAILABLE where none is left; another status
     *         where the request itself must be refused; DONE: the client went away
     *         while it waited
     */
    int (*next)(usher_picker_t *picker, request_rec *r, usher_member_t *member);
    /**
     * Told when the head of a member's answer has come and is a good one: a
     * member that was tried has proved itself, however long its body or its
     * tunnel may last. Before the head goes to the output filters: they may still be
     * added to. done() follows. May be NULL.
     * @param waited  microseconds between the end of sending the request (its
     *                beginning, where the answer came earlier) and the head
     */
    void (*answered)(usher_picker_t *picker, request_rec *r,
                     const usher_member_t *member, int status,
                     apr_interval_time_t waited);
    /**
     * Told once for each member that next() gave, when its last attempt is
     * over; from a cleanup of r->pool at the latest, where a request ends
     * early.
     * @param status  of the answer; 0 where there was none
     */
    void (*done)(usher_picker_t *picker, request_rec *r,
                 const usher_member_t *member, usher_outcome_e outcome,
                 int status);
    /**
     * Whether this request may be sent a second time: within the budget, it is
     * then counted. May be asked once per request.
     */
    int (*may_replay)(usher_picker_t *picker, request_rec *r);
    /**
     * Whether an answer with this status is a failure of its member
     * (failonstatus=), and should rather come from another one. May be NULL.
     */
    int (*is_failure)(usher_picker_t *picker, request_rec *r, int status);
    /** How members rest (UsherBackendRest), and how much may be replayed
     * (UsherReplayBudget): set by the handler before its first next(). */
    usher_health_params_t rest;
    usher_replay_budget_t budget;
    void *data; /**< the picker's own */
};

/**
 * Whether mod_usher_backend will serve this request (UsherBackend) if it is
 * given a cluster's stand-in. mod_usher_backend registers it; without it all
 * requests count as served by it. Asked in pre_request.
 */
APR_DECLARE_OPTIONAL_FN(int, usher_backend_serves, (request_rec *r));

/**
 * How many bytes of a member's URL are its scheme, host and port, when these are as its canon
 * handler would write them; 0: it would write them in another way.
 */
APR_DECLARE_OPTIONAL_FN(apr_size_t, usher_backend_canonical_server, (const char *url));

/**
 * Whether "proxy:" and this URL of a member, without a query, is what its canon handler would
 * make of it: so that need not be asked again for each member that is tried.
 * @param server_len  what usher_backend_canonical_server() says of it
 */
APR_DECLARE_OPTIONAL_FN(int, usher_backend_is_canonical,
                        (request_rec *r, const char *url, apr_size_t server_len));

/**
 * A member is gone, and no request has it any more: forget what was kept of it. From any
 * thread. @param kept  what stands in usher_member_t's kept; may be NULL
 */
APR_DECLARE_OPTIONAL_FN(void, usher_backend_forget, (void *kept));

/**
 * Whether the client of a request, of which only the head was read, has gone. Asked while the
 * request waits, within next().
 */
APR_DECLARE_OPTIONAL_FN(int, usher_backend_is_client_gone, (request_rec *r));

/**
 * Whether a balancer is a cluster: what was decided at the start, whatever its lbmethod is
 * now. mod_usher_balancer registers it.
 */
APR_DECLARE_OPTIONAL_FN(int, usher_balancer_is_cluster, (const proxy_balancer *b));

/**
 * Who defines a balancer, for registry_cluster(): the same text from whoever
 * asks. Hosts may have one name, as those of port 80 and 443 do, so their
 * addresses belong to it, as they are configured.
 * @param s  the virtual host. For the main server it is "", not this
 */
static inline const char *usher_picker_server(apr_pool_t *p, const server_rec *s)
{
    const char *text = apr_psprintf(p, "%s:%u", s->server_hostname ? s->server_hostname : "",
                                    s->port);
    const char *last = "";
    const server_addr_rec *addr;

    /* A name that stands for several addresses is there once for each. What is
     * too long for an id is cut, between two addresses. */
    for (addr = s->addrs; addr && strlen(text) < 512; addr = addr->next) {
        const char *one = apr_psprintf(p, " %.255s:%u", addr->virthost ? addr->virthost : "",
                                       addr->host_port);

        if (strcmp(one, last)) {
            text = apr_pstrcat(p, text, one, NULL);
            last = one;
        }
    }
    return text;
}

/** Whether failonstatus= of a balancer lists a status. */
static inline int usher_picker_lists_status(const proxy_balancer *balancer, int status)
{
    const apr_array_header_t *statuses = balancer->errstatuses; /* NULL: none */
    int i;

    for (i = 0; statuses && i < statuses->nelts; ++i) {
        if (APR_ARRAY_IDX(statuses, i, int) == status) {
            return 1;
        }
    }
    return 0;
}

/** What mod_usher_balancer registers. */
typedef struct usher_picker_provider_t {
    unsigned int abi; /**< USHER_PICKER_ABI; stays the first field */
    /**
     * The picker of a request whose pre_request hook gave mod_proxy a
     * cluster's stand-in. The same one when it is asked again.
     * @param worker  as the scheme handler got it
     * @return NULL where the worker is no stand-in
     */
    usher_picker_t *(*find)(request_rec *r, proxy_worker *worker);
} usher_picker_provider_t;

#endif /* USHER_PICKER_H */
