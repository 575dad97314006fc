/**
 * @file  balancer_sticky.h
 * @brief Sticky sessions: our own cookie, and the application's route.
 *
 * balancer_sticky_conf.c    their directives
 * balancer_sticky.c         a request's cookie, and the member that it names
 * balancer_sticky_filter.c  the answer's cookie
 * balancer_follow.c         the route in the application's cookie or URL
 */
#ifndef BALANCER_STICKY_H
#define BALANCER_STICKY_H

#include <httpd.h>

#include "usher_cookie.h"
#include "usher_sticky.h"
#include "usher_token.h"

struct balancer_choice_t;
struct balancer_cluster_t;
struct balancer_request_t;

typedef enum { BALANCER_SECURE_AUTO, BALANCER_SECURE_ON, BALANCER_SECURE_OFF } balancer_secure_e;
typedef enum {
    BALANCER_SAME_SITE_LAX, BALANCER_SAME_SITE_STRICT, BALANCER_SAME_SITE_NONE,
    BALANCER_SAME_SITE_OFF
} balancer_same_site_e;

/** UsherStickyCookie; the switches are 1 or 0. */
typedef struct balancer_cookie_conf_t {
    const char *name; /**< NULL: not said; "": off */
    const char *path, *domain, *attribute; /**< NULL: none */
    int secure, same_site;
    int httponly, indirect, nocache, postonly, preserve;
    apr_int64_t idle, life; /**< microseconds; 0: off */
} balancer_cookie_conf_t;

/** UsherStickyFollow */
typedef struct balancer_follow_conf_t {
    const char *cookie; /**< NULL: not said; "": off */
    const char *url;    /**< NULL: the URL is not looked at */
    char separator;
} balancer_follow_conf_t;

/** What a section says of sessions. */
typedef struct balancer_sticky_conf_t {
    balancer_cookie_conf_t cookie;
    balancer_follow_conf_t follow;
    const char *scope; /**< NULL: not said */
} balancer_sticky_conf_t;

#define BALANCER_STICKY_AAD_SIZE 32

/** Our cookie, ready for requests. In pconf. */
typedef struct balancer_sticky_t {
    const balancer_cookie_conf_t *conf;
    apr_size_t name_len;
    usher_span_t attributes[2]; /**< what follows the value: on a plain connection, on TLS */
    unsigned char aad[BALANCER_STICKY_AAD_SIZE]; /**< of the cluster's name and the scope */
    apr_uint32_t idle, life;    /**< seconds; 0: no limit */
    apr_uint32_t refresh;       /**< a token of that age is sealed anew; 0: none is */
    apr_int64_t window;         /**< ms in which a session counts as seen */
    apr_uint32_t skew;          /**< what clocks of nodes may differ */
} balancer_sticky_t;

/** What became of a request's cookie: USHER_COOKIE. */
typedef enum {
    BALANCER_COOKIE_NONE,
    BALANCER_COOKIE_EXPIRED,
    BALANCER_COOKIE_FORGED,
    BALANCER_COOKIE_VALID,
    BALANCER_COOKIE_DOWN,
    BALANCER_COOKIE_NEW,
    BALANCER_COOKIE_REFRESHED,
    BALANCER_COOKIE_MOVED
} balancer_cookie_e;

/** Of a request. */
typedef struct balancer_cookie_t {
    balancer_cookie_e state;
    balancer_cookie_e came; /**< as it came with the request */
    balancer_cookie_e set;  /**< what the answer does: NEW, REFRESHED, MOVED; VALID: the
                             * application set it itself, and may */
    int opened;   /**< the token is good */
    int old_key;  /**< but sealed with another key than is used now */
    int stays;    /**< this request goes elsewhere, the session does not */
    int answered; /**< whose answer goes to the client; -1: nobody's yet */
    int filtered; /**< our filter is there */
    int watched;  /**< the stock modules carry the request */
    usher_token_t token;
} balancer_cookie_t;

/* balancer_sticky_conf.c */

const char *balancer_sticky_set_cookie(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *balancer_sticky_set_follow(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *balancer_sticky_set_scope(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

void balancer_sticky_conf_merge(balancer_sticky_conf_t *to, const balancer_sticky_conf_t *base,
                                const balancer_sticky_conf_t *add);

/** Warn of what cannot be known to be right. In check_config. */
void balancer_sticky_check(const balancer_sticky_conf_t *conf, const char *cluster, server_rec *s);

/**
 * Our cookie of a cluster, in post_config.
 * @param s  who defines the cluster
 * @return NULL: it has none
 */
const balancer_sticky_t *balancer_sticky_make(const balancer_sticky_conf_t *conf,
                                              const char *cluster, server_rec *s, apr_pool_t *p);

/* balancer_sticky.c */

/** Read the request's cookie, in pre_request; with indirect=on it is then gone. */
void balancer_sticky_read(struct balancer_request_t *request, request_rec *r);

/**
 * The member that a valid cookie names, or one that stands in for it.
 * @return its index; -1: none can serve; BALANCER_SESSION_NOBODY: none, and no other may
 */
int balancer_sticky_member(struct balancer_request_t *request, request_rec *r,
                           const struct balancer_choice_t *choice);

/**
 * What is to be done with the cookie in a member's answer.
 * @param i  who answered
 * @return NEW, REFRESHED, MOVED; NONE: nothing
 */
balancer_cookie_e balancer_sticky_due(const struct balancer_request_t *request,
                                      const request_rec *r, int i);

/** Set the state, and USHER_COOKIE. */
void balancer_sticky_tell(struct balancer_request_t *request, request_rec *r,
                          balancer_cookie_e state);

/* balancer_sticky_filter.c */

void balancer_sticky_filter_register(void);
void balancer_sticky_filter_post_config(void);

/** A member's answer is there: see to it that its cookie is set, where one is due. */
void balancer_sticky_answered(struct balancer_request_t *request, request_rec *r, int i);

/** The stock modules will tell nobody who answers: our filter looks. */
void balancer_sticky_watch(struct balancer_request_t *request, request_rec *r);

/* balancer_follow.c */

/** The route of the application's session, of some member. @return NULL: none;
 * *name gets what cookie or parameter says so */
const char *balancer_follow_route(const struct balancer_request_t *request, request_rec *r,
                                  const char **name);

#endif /* BALANCER_STICKY_H */
