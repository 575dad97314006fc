/**
 * @file  ban_rule_line.h
 * @brief What a line of UsherBanRule says, as far as that needs no httpd: all but whether its regular expression and
 *        its expression are some.
 */
#ifndef BAN_RULE_LINE_H
#define BAN_RULE_LINE_H

#include "ban_private.h"
#include "usher_match.h"

typedef enum { BAN_MODE_LOG, BAN_MODE_ENFORCE, BAN_MODE_UNSET } ban_mode_e;

/** Its words. Texts are those that were given; NULL: not there. */
typedef struct ban_rule_line_t {
    const char *name;
    int on, mode; /**< ban_on_e, ban_mode_e */
    const char *status, *path, *method, *expr, *max;
    apr_int64_t within, length, length_max, remember; /**< microseconds */
    apr_int64_t bits_v4, bits_v6, wider;
} ban_rule_line_t;

/**
 * Read the words of a line, the name first.
 * @param p     for reasons
 * @param rule  gets all but match and enforce
 * @return NULL; else what is wrong and what is allowed
 */
const char *ban_rule_line_read(apr_pool_t *p, ban_rule_line_t *line, ban_rule_t *rule,
                               usher_match_statuses_t *statuses, int argc, char *const argv[]);

#endif /* BAN_RULE_LINE_H */
