/**
 * @file  status_private.h
 * @brief What the files of mod_usher_status know of one another.
 *
 * status_guard.c    who is let in: the section of the handler has a Require
 * status_handler.c  the handler: which form is asked for, GET and POST
 * status_view.c     all clusters and members, with mod_proxy's workers
 * status_roster.c   members that signed themselves in
 * status_state.c    how a member stands, and why
 * status_model.c    the same as JSON, of which the text is made as well
 * status_change.c   POST: drain, enable, off, weight
 * status_find.c     which cluster and member are meant
 * status_token.c    against forged requests
 *
 * Everything is made for one request, in its pool, by its thread. What comes from
 * the registry may have been written by a hostile child.
 */
#ifndef STATUS_PRIVATE_H
#define STATUS_PRIVATE_H

#include <jansson.h>
#include <mod_proxy.h>

#include "usher_clock.h"
#include "usher_core.h"
#include "usher_picker.h"

extern module AP_MODULE_DECLARE_DATA usher_status_module;

#define STATUS_HANDLER "usher-status"

/** The core; NULL: there is nothing to show. */
extern const usher_core_t *status_core;

/* status_guard.c */

int status_guard_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                              server_rec *s);

/** Whether a request came by a section that has a Require. */
int status_guard_admits(request_rec *r);

/** Whether it was sent to an address, to localhost, or to a name of its virtual host. */
int status_guard_knows_host(request_rec *r);

/* status_handler.c */

int status_handler(request_rec *r);

/* status_view.c */

struct status_member_t;

/** A cluster, a balancer with a stock lbmethod, or a backend of a plain ProxyPass. */
typedef struct status_cluster_t {
    usher_cluster_rec_t *rec;
    const char *id; /* texts are bounded and printable */
    const char *name;
    const char *server; /* who defines it; "" for the main server */
    const char *kind;
    int may_switch; /* its members may be drained, ... */
    apr_hash_t *workers; /* by URL; NULL where mod_proxy has none of it */
    apr_array_header_t *members; /* struct status_member_t * */
} status_cluster_t;

typedef struct status_view_t {
    apr_pool_t *pool;
    apr_int64_t boot; /* ms */
    apr_time_t utc;
    apr_array_header_t *clusters; /* status_cluster_t * */
} status_view_t;

typedef struct status_member_t {
    const status_view_t *view;
    const status_cluster_t *cluster;
    usher_member_rec_t *rec;
    const char *id;
    const char *url;
    const char *route;
    const proxy_worker *worker; /* NULL: this process knows none */
    const usher_roster_entry_t *entry; /* NULL: it is static */
    usher_health_told_t health;
    usher_admin_setting_t admin;
} status_member_t;

void status_view_post_config(apr_pool_t *pconf);

/** All of now. Changes nothing. */
status_view_t *status_view_make(request_rec *r);

/** Show a member of a cluster. */
status_member_t *status_view_add(const status_view_t *view, status_cluster_t *cluster,
                                 usher_member_rec_t *rec);

/** A text of the registry: bounded and printable. */
const char *status_view_text(apr_pool_t *p, const char *bytes, apr_size_t size);

/** A moment of the boot clock (ms) as UTC; 0 stays 0. */
apr_time_t status_view_utc(const status_view_t *view, apr_int64_t boot);

/** UTC in ms, as others wrote it, where it may be right; else 0. */
apr_time_t status_view_time(apr_int64_t utc);

/* status_roster.c */

/** The members of all clusters that signed themselves in. */
void status_roster_view(status_view_t *view);

/** The weight that it has signed in with. */
apr_uint32_t status_roster_weight(const status_member_t *member);

/** What its registration says, as JSON; null: it is static. */
json_t *status_roster_model(const status_member_t *member);

/* status_state.c */

/** How a member stands. */
typedef struct status_state_t {
    const char *state; /* a word or two */
    const char *why;   /* may be "" */
    apr_time_t since;  /* UTC; 0: not known */
} status_state_t;

/** What its health checks say. */
usher_check_state_e status_state_check(const status_member_t *member);

/** Whether it is a registered member that has not passed a check yet. */
int status_state_is_awaited(const status_member_t *member);

/** Requests that it may have at a time; 0: no limit. */
apr_uint32_t status_state_max(const status_member_t *member);

status_state_t status_state_of(const status_member_t *member);

/** What was said of it, for people: "drain, weight 3". */
const char *status_state_setting(apr_pool_t *p, usher_admin_setting_t setting);

/* status_model.c */

json_t *status_model_of(const status_view_t *view, request_rec *r, const char *token);

/** What is left at a member: requests in flight, sessions. */
json_t *status_model_left(const status_member_t *member);

/* status_token.c */

int status_token_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s);

/** For changes by this user from this address in the next minutes. */
const char *status_token_make(request_rec *r);
int status_token_fits(request_rec *r, const char *token);

/** Whether a browser says that the request comes from another site. */
int status_token_is_foreign(request_rec *r);

/* status_find.c */

/** Why a change is refused. */
typedef struct status_problem_t {
    int status; /* of HTTP; 0: none */
    const char *code; /* for programs */
    const char *text; /* for people */
} status_problem_t;

/** What was asked for; NULL: not given. */
typedef struct status_form_t {
    const char *cluster, *member, *action, *value, *token;
} status_form_t;

/** Whether a cluster is called so: "app", "balancer://app", or with "@" and who defines it. */
int status_find_is_name(const status_cluster_t *cluster, const char *text);

/** The member that is meant. @return NULL: the problem tells why */
status_member_t *status_find_member(const status_view_t *view, const status_form_t *form,
                                    status_problem_t *problem);

/* status_change.c */

/**
 * Do what a POST asks for, and log it.
 * @return what to answer; r->status is set
 */
json_t *status_change_run(request_rec *r);

#endif /* STATUS_PRIVATE_H */
