/**
 * @file  register_private.h
 * @brief What the files of mod_usher_register know of one another.
 *
 * register_conf.c      directives
 * register_handler.c   paths, methods, the body
 * register_json.c      what requests say and answers tell
 * register_call.c      which member a request is about, and how a change of it is made
 * register_member.c    register, heartbeat, drain, deregister
 * register_show.c      list, show
 * register_url.c       the URL of a member
 * register_address.c   addresses that no member may have
 * register_record.c    a member as the store has it
 * register_lease.c     leases that end, drains that end: in the tick
 * register_audit.c     a line for each change
 * register_auth.c      who it is: signature or certificate
 * register_keys.c      the key file
 * register_certificate.c  client certificates
 * register_policy.c    what he may
 * register_nonce.c     nonces that were used (piece "nonces", kind "nonce")
 * register_failures.c  refused requests: log, counts, limits
 * register_count.c     what is counted (piece "register")
 * register_secret.c    secrets of AJP: by name, or sealed
 * register_signed.c    who has signed it, for other modules' handlers
 */
#ifndef REGISTER_PRIVATE_H
#define REGISTER_PRIVATE_H

#include "usher_ban.h"
#include "usher_core.h"

extern module AP_MODULE_DECLARE_DATA usher_register_module;

/** Largest body of a request. */
#define REGISTER_BODY_MAX 16384

/** The core; NULL: all is off. */
extern const usher_core_t *register_core;

/** mod_usher_ban's; NULL: it is not there. */
extern APR_OPTIONAL_FN_TYPE(usher_ban_event) *register_ban_event;

/** Why a request is refused: of r->pool or static. */
typedef struct register_error_t {
    int status;          /**< of HTTP; 0: none */
    const char *code;    /**< "unknown-cluster": for programs */
    const char *message; /**< for people: what is wrong, and the remedy */
} register_error_t;

/** UsherRegisterPolicy. In pconf. */
typedef struct register_policy_t register_policy_t;

/** Who asks. */
typedef struct register_who_t {
    const char *name;                /**< id of his key, or "cert:" and the name in his certificate */
    const register_policy_t *policy; /**< never NULL once he is known */
    apr_uint32_t created;            /**< of the signature, UTC, seconds; 0: a certificate */
    const char *nonce_key;           /**< key of the nonce's record in the store; NULL: a certificate */
    apr_int64_t nonce_life;          /**< ms */
} register_who_t;

/* register_auth.c: its own part of each step of httpd's life. It calls those of keys, policy,
 * nonce, failures and secret; the core is known by then (NULL: nothing works). */

void register_auth_pre_config(apr_pool_t *pconf);
/** @return OK; at `httpd -t` and the first start !OK, and it is logged why */
int register_auth_check_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);
void register_auth_post_config(apr_pool_t *pconf, server_rec *s);
void register_auth_child_init(apr_pool_t *pchild, server_rec *s);

/* Directives; outside of all sections, RSRC_CONF. */
/** UsherRegisterKeys, AP_INIT_TAKE_ARGV */
const char *register_keys_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
/** UsherRegisterPolicy, AP_INIT_TAKE_ARGV */
const char *register_policy_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
/** UsherRegisterCertificate, AP_INIT_TAKE_ARGV */
const char *register_certificate_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
/** UsherRegisterSecret, AP_INIT_TAKE_ARGV */
const char *register_secret_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
/** UsherRegisterSealKeys, AP_INIT_TAKE_ARGV */
const char *register_secret_set_keys(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);

/**
 * Learn who asks. The nonce is used up.
 * @param body  as it was received
 * @return OK; else @a error is filled in, and it is logged and counted
 */
int register_auth(request_rec *r, const char *body, apr_size_t len, register_who_t *who,
                  register_error_t *error);

/* register_failures.c */

/**
 * A request is refused: a warning in the log, not too many of them, and counted; mod_usher_ban hears of it. Not for those that
 * register_auth() refuses itself: it has done so.
 * @param who  his name; NULL: not known
 */
void register_failures_log(request_rec *r, const char *who, const register_error_t *error);

/* register_nonce.c */

/** The kind "nonce": for usher_store_change_t. */
extern const usher_store_kind_t register_nonce_kind;
/** A request that changes nothing durable: the store hears of its nonce when it can. */
void register_nonce_tell(const register_who_t *who);

/* register_policy.c */

/** Whether it may see and change what others signed in. */
int register_policy_is_admin(const register_policy_t *policy);
/** How many members one registrant may have; 0: any number. */
unsigned int register_policy_members_max(const register_policy_t *policy);
/** Whether it may ban and free clients (mod_usher_ban). */
int register_policy_may_ban(const register_policy_t *policy);
/** Whether a cluster is his. */
int register_policy_has_cluster(const register_policy_t *policy, const char *cluster);
/** Longest and shortest that its member may ask for are the module's; weight: its own. */
unsigned int register_policy_weight_max(const register_policy_t *policy);

/**
 * Whether a member may have this address: the source address of the request (mod_remoteip's), or what
 * the policy lists; the scheme and port that it lists.
 * @param host  a name or address without brackets; names are looked up, all addresses must do
 * @return OK; else @a error
 */
int register_policy_check_server(const register_policy_t *policy, request_rec *r,
                                 const char *scheme, const char *host, apr_port_t port,
                                 register_error_t *error);

/* register_signed.c */

/** Others may ask who has signed a request: usher_signed_by(). When hooks are registered. */
void register_signed_offer(void);

/* register_secret.c */

/** Others may ask for secrets: usher_register_open_secret(). When hooks are registered. */
void register_secret_offer(void);

/**
 * A secret that came by value, as the roster and the store shall have it.
 * @return "sealed:..." in r->pool; NULL: @a error (no TLS, no keys to seal with, too long)
 */
const char *register_secret_seal(request_rec *r, const unsigned char *id, const char *secret,
                                 register_error_t *error);
/** Whether UsherRegisterSecret has this name. */
int register_secret_is_known(const char *name);

#endif /* REGISTER_PRIVATE_H */
