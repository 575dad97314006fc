/**
 * @file  balancer_stick.h
 * @brief The stick table: which member a client belongs to, learned from answers.
 *
 * balancer_stick_conf.c  UsherStick
 * balancer_stick.c       the table, its memory, and requests
 */
#ifndef BALANCER_STICK_H
#define BALANCER_STICK_H

#include <ap_expr.h>

#include "usher_table.h"

/** Rules of a cluster. */
#define BALANCER_STICK_RULES 8
/** Longest value that is a key, bytes. */
#define BALANCER_STICK_VALUE_MAX 1024
/** Longest expire=, ms. */
#define BALANCER_STICK_LIFE_MAX ((apr_int64_t)30 * 24 * 3600 * 1000)

typedef enum {
    BALANCER_STICK_OFF,
    BALANCER_STICK_COOKIE, /**< of the request; learned: a Set-Cookie of the answer */
    BALANCER_STICK_HEADER, /**< of the request; learned: of the answer */
    BALANCER_STICK_EXPR,
    BALANCER_STICK_REQUEST /**< learned: the value that the request had */
} balancer_stick_e;

/** One UsherStick line. */
typedef struct balancer_stick_rule_t {
    const char *text; /**< "cookie:NAME", as it stands there */
    balancer_stick_e kind;
    const char *name; /**< of the cookie or header */
    const ap_expr_info_t *expr;
    balancer_stick_e learn; /**< never EXPR */
    const char *learn_name;
    apr_int64_t life; /**< ms */
} balancer_stick_rule_t;

typedef struct balancer_stick_conf_t {
    int count;
    balancer_stick_rule_t rules[BALANCER_STICK_RULES];
} balancer_stick_conf_t;

/** The rules of a cluster and their spaces of keys in the table. */
typedef struct balancer_stick_t {
    const balancer_stick_conf_t *conf;
    usher_table_space_t spaces[BALANCER_STICK_RULES];
} balancer_stick_t;

/** What is known of a request's values. */
typedef struct balancer_stick_request_t balancer_stick_request_t;

const char *balancer_stick_set(cmd_parms *cmd, void *conf, int argc, char *const argv[]);

/** Ask for the table's memory; in check_config. */
void balancer_stick_check_config(void);

/** Open the table; in post_config, before the clusters are made. */
void balancer_stick_post_config(void);

/**
 * What a cluster needs for its rules; in post_config.
 * @return NULL: it has none, or there is no table
 */
const balancer_stick_t *balancer_stick_of(const balancer_stick_conf_t *conf, const char *name,
                                          const char *server, apr_pool_t *p);

#endif /* BALANCER_STICK_H */
