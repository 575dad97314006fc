/**
 * @file  balancer_probe.h
 * @brief Health checks in the background, as the rest of mod_usher_balancer knows them:
 *        UsherCheck.
 */
#ifndef BALANCER_PROBE_H
#define BALANCER_PROBE_H

#include <ap_expr.h>
#include <mod_proxy.h>

/** What UsherCheck says. */
typedef struct balancer_probe_conf_t {
    int set;    /**< it stands there */
    int kind;   /**< usher_check_kind_e, or one above: by each member's scheme */
    int method; /**< index among those that there are */
    const char *path;
    const char *host;   /**< NULL: the member's own */
    const char *expect; /**< NULL: status 200 to 399 */
    ap_expr_info_t *expression; /**< the same, parsed */
    apr_int64_t interval, down_interval, timeout; /**< microseconds */
    apr_int64_t rise, fall;
    apr_int64_t slowstart; /**< microseconds */
} balancer_probe_conf_t;

/** The directive's function. */
const char *balancer_probe_set(cmd_parms *cmd, void *dir, const char *line);
void balancer_probe_merge(balancer_probe_conf_t *conf, const balancer_probe_conf_t *base,
                          const balancer_probe_conf_t *add);

/**
 * How a member is checked that signed itself in.
 * @param cluster  what UsherCheck says
 * @param check    what it says itself: "", "tcp", "cping" or a path, which is kept by reference
 */
void balancer_probe_conf_join(balancer_probe_conf_t *conf, const balancer_probe_conf_t *cluster,
                              const char *check, const char *scheme);

/** What is wrong with a cluster's checks, for configtest; NULL: nothing. */
const char *balancer_probe_why_not(const proxy_balancer *b, server_rec *s, apr_pool_t *p);

int balancer_probe_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                               server_rec *s);
void balancer_probe_child_init(apr_pool_t *pchild, server_rec *s);

#endif /* BALANCER_PROBE_H */
