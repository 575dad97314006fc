/**
 * @file  bans.h
 * @brief What `usherctl bans' prints.
 */
#ifndef BANS_H
#define BANS_H

#include <jansson.h>

#include "usherctl.h"

/** A list of bans. Whatever the server wrote, only what can be printed is. */
void bans_print_list(apr_pool_t *p, const json_t *answer);
/** One ban, or what is known of an address; also of one that was changed. */
void bans_print_one(apr_pool_t *p, const json_t *answer);
/** Why it was refused. */
const char *bans_print_error(apr_pool_t *p, const json_t *answer);

#endif /* BANS_H */
