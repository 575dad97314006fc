/**
 * @file  register_member.h
 * @brief A request, once it is known who asks: what the files that serve it share.
 */
#ifndef REGISTER_MEMBER_H
#define REGISTER_MEMBER_H

#include <jansson.h>

#include "register_json.h"
#include "register_private.h"
#include "usher_join.h"

/** UsherRegisterLease, UsherRegisterDrain: microseconds. Of this reading of the configuration. */
typedef struct register_settings_t {
    apr_int64_t lease_default, lease_min, lease_max;
    apr_int64_t drain;
} register_settings_t;

extern register_settings_t register_settings;

/** mod_usher_balancer's; NULL: it is not loaded. */
extern APR_OPTIONAL_FN_TYPE(usher_balancer_may_join) *register_may_join;
extern APR_OPTIONAL_FN_TYPE(usher_balancer_join_state) *register_join_state;

/* register_count.c */

/** What is counted, over all children, since httpd was started. */
typedef enum {
    REGISTER_COUNT_REGISTERED,
    REGISTER_COUNT_CHANGED,
    REGISTER_COUNT_HEARTBEATS,
    REGISTER_COUNT_DRAINED,
    REGISTER_COUNT_DEREGISTERED,
    REGISTER_COUNT_EXPIRED, /**< leases that ended */
    REGISTER_COUNT_REMOVED, /**< by the end of a drain */
    REGISTER_COUNT_REFUSED,
    REGISTER_COUNTS
} register_count_e;

/** So many members, whose lease or drain is over, are known to have been told of. */
#define REGISTER_TOLD 256

/** The module's memory, piece "register". Garbage in it does no harm. */
typedef struct register_shm_t {
    _Atomic apr_uint64_t counts[REGISTER_COUNTS];
    /* Boot clock, ms. */
    _Atomic apr_int64_t ticked_at;  /**< leases were looked at last */
    _Atomic apr_int64_t unsafe_at;  /**< heartbeats could not come, or could not be kept, last */
    _Atomic apr_uint64_t told[REGISTER_TOLD]; /**< of whose end the log has been told */
} register_shm_t;

void register_count_check_config(void);
/** NULL where there is no memory. From post_config on. */
register_shm_t *register_count_shm(void);
void register_count(register_count_e what);
/** "registered": as they are shown. */
const char *register_count_name(register_count_e what);

/* register_call.c */

/** A request and its answer. */
typedef struct register_call_t {
    request_rec *r;
    const char *cluster; /**< as it was asked for; NULL: a list */
    const char *route;
    const char *body;
    apr_size_t len;
    register_who_t who;
    const char *canonical; /**< the cluster's name in the roster */
    usher_join_e join;     /**< of the cluster alone */
    unsigned char id[USHER_ID_SIZE];
    int is_known;               /**< it is in the roster: */
    usher_roster_entry_t entry; /**< as it was then */
    register_error_t error;
    int is_kept;     /**< the nonce is in the store, with a change */
    int is_conflict; /**< somebody was faster: look again */
    int is_lost;     /**< the roster has it, the store has not */
    json_t *answer;  /**< NULL: none */
} register_call_t;

/** Does what was asked for. @return the status; 0: the call's error is filled in */
typedef int register_verb_t(register_call_t *call);

/** Refuse. @return 0 */
int register_refuse(register_call_t *call, int status, const char *code, const char *message);

/** Find the cluster and the member, and whether he may. @return 1; 0: error */
int register_call_find(register_call_t *call);
/** Whether it is in the roster, and his. @return 1; 0: error */
int register_call_is_his(register_call_t *call);

/**
 * Make it durable, with the nonce.
 * @param to  the member as it shall be; NULL: gone
 * @return 1; 0: error
 */
int register_call_put(register_call_t *call, const usher_roster_entry_t *to);

/* register_member.c */

register_verb_t register_member_put, register_member_heartbeat, register_member_drain,
    register_member_delete;

/* register_show.c */

register_verb_t register_show_list, register_show_member, register_show_counts;
/** A member, for people and programs. */
json_t *register_show(apr_pool_t *p, const usher_roster_entry_t *entry);

/* register_audit.c */

/** A member in a line of the log. */
const char *register_audit_member(apr_pool_t *p, const usher_roster_entry_t *entry);
/** A change that was made for a request. @param what  "registered" @param more  or "" */
void register_audit(const register_call_t *call, const char *what, const char *more);
/** A text of somebody else's, as the log may have it. */
const char *register_audit_text(apr_pool_t *p, const char *text);
/** ms, as in directives. */
const char *register_audit_time(apr_pool_t *p, apr_int64_t ms);

/* register_lease.c */

extern const usher_store_kind_t register_member_kind;
void register_lease_post_config(void);
/** Members come from the store's file no more. */
void register_lease_child_init(void);

/* register_handler.c */

/** @param guard  gets who may come at all @return OK; !OK: it is logged why not */
int register_handler_check_config(usher_guard_t **guard, server_rec *s);
int register_handler(request_rec *r);

/* register_conf.c */

void register_conf_init(void);
const char *register_conf_set_lease(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *register_conf_set_drain(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

#endif /* REGISTER_MEMBER_H */
