/**
 * @file  register_auth.h
 * @brief What the files that find out who asks know of one another.
 */
#ifndef REGISTER_AUTH_H
#define REGISTER_AUTH_H

#include "register_private.h"
#include "usher_cidr.h"
#include "usher_cookie.h"
#include "usher_regkeys.h"
#include "usher_secret.h"

/** Longest name of who asks; a roster's entry has room for it. */
#define REGISTER_NAME_MAX (USHER_ROSTER_OWNER_SIZE - 1)

/** Now, milliseconds of the boot clock. */
apr_int64_t register_auth_now(void);

/** Whom httpd's children run as. */
usher_secret_user_t register_auth_user(void);

/** Why a directive may not stand where it does, or has a wrong number of arguments; NULL: it is right. */
const char *register_auth_why_not(cmd_parms *cmd, int argc, int least, int most, const char *takes);

/** A directive that names a key file: @a path gets it. @return why it is refused; NULL: it is right */
const char *register_auth_set_path(cmd_parms *cmd, int argc, char *const argv[], const char **path);

/** The address of who asks, mod_remoteip's. */
usher_cidr_address_t register_auth_address(const apr_sockaddr_t *address);

/** Whether it is this machine itself that asks, and nothing between that could have changed or read it. */
int register_auth_is_local(const request_rec *r);

/* register_policy.c */

void register_policy_init(apr_pool_t *pconf);
/** @return NULL: there is none of this name */
const register_policy_t *register_policy_find(const char *name);

/* register_address.c: which addresses no member may have */

/** What httpd listens on is known from now on. */
void register_address_learn(apr_pool_t *pconf);
/** Why an address is none for a member, whatever a policy says; NULL: it may be one. */
const char *register_address_why_never(usher_cidr_address_t address, apr_port_t port);
/** "a loopback address": it has to be allowed as such; NULL: it is a usual one. */
const char *register_address_special(usher_cidr_address_t address);
/** Whether all of a range are special ones of one kind. */
int register_address_is_special_range(const usher_cidr_range_t *range);
int register_address_is_loopback(usher_cidr_address_t address);

/* register_keys.c */

/** A key, ready for use; as long as the request lives. */
typedef struct register_key_t {
    const unsigned char *secret;
    apr_size_t secret_len;
    const char *id;
    const register_policy_t *policy;
} register_key_t;

void register_keys_init(void);
int register_keys_check_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);
void register_keys_post_config(apr_pool_t *pconf, server_rec *s);
void register_keys_child_init(apr_pool_t *pchild, server_rec *s);
/** Whether there are any. */
int register_keys_are_there(void);
/** @return 1; 0: there is no such key, and @a key is one that nobody knows */
int register_keys_find(register_key_t *key, usher_span_t id);

/* register_certificate.c */

void register_certificate_init(apr_pool_t *pconf);
/** @return OK; at `httpd -t` and the first start !OK, and it is logged why */
int register_certificate_check_config(server_rec *s);
int register_certificate_are_there(void);
/** Whether the client has shown a certificate that httpd has verified. */
int register_certificate_is_shown(request_rec *r);
/** @return 1, and @a who is filled in; 0: it is not mapped */
int register_certificate_find(request_rec *r, register_who_t *who);

/* register_nonce.c */

void register_nonce_init(void);
int register_nonce_check_config(server_rec *s);
/**
 * Use the nonce of a signature that is right.
 * @param who  gets nonce_key and nonce_life
 * @return 1; 0: @a error
 */
int register_nonce_use(request_rec *r, register_who_t *who, usher_span_t keyid, usher_span_t nonce,
                       register_error_t *error);

/* register_failures.c */

void register_failures_init(void);
void register_failures_check_config(void);
void register_failures_post_config(void);
/** Who fails: his address, and the key that he names. */
typedef struct register_failer_t {
    const request_rec *r;
    usher_span_t keyid; /**< text NULL: he names none */
} register_failer_t;
/** Whether he has failed too often lately; nothing else is looked at then. */
int register_failures_too_many(const register_failer_t *failer);
/** He has failed to show who he is. */
void register_failures_count(const register_failer_t *failer);
/** He has shown who he is. */
void register_failures_good(const register_failer_t *failer);

/* register_secret.c */

void register_secret_init(apr_pool_t *pconf);
int register_secret_check_config(apr_pool_t *ptemp, server_rec *s);
void register_secret_post_config(apr_pool_t *pconf, server_rec *s);

#endif /* REGISTER_AUTH_H */
