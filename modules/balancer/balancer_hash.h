/**
 * @file  balancer_hash.h
 * @brief Settings of lbmethod=usher-hash.
 */
#ifndef BALANCER_HASH_H
#define BALANCER_HASH_H

#include <ap_expr.h>
#include <http_config.h>

typedef struct balancer_hash_conf_t {
    const ap_expr_info_t *key; /**< NULL: the client's address */
} balancer_hash_conf_t;

/** UsherHashKey */
const char *balancer_hash_conf_set_key(cmd_parms *cmd, void *confv, const char *text);

void balancer_hash_conf_merge(balancer_hash_conf_t *into, const balancer_hash_conf_t *base,
                              const balancer_hash_conf_t *add);

#endif /* BALANCER_HASH_H */
