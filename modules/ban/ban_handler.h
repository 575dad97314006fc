/**
 * @file  ban_handler.h
 * @brief What the files of the handler usher-ban know of one another.
 *
 * ban_handler.c  paths, methods, the body, who may
 * ban_hand.c     bans and ends of bans by hand
 * ban_json.c     what it says
 */
#ifndef BAN_HANDLER_H
#define BAN_HANDLER_H

#include <jansson.h>

#include "ban_private.h"
#include "usher_signed.h"

/** Largest body of a request. */
#define BAN_BODY_MAX 1024

/** A request. */
typedef struct ban_call_t {
    request_rec *r;
    ban_prefix_t prefix;    /**< that it is about */
    const char *body;
    apr_size_t len;
    usher_signed_t by;      /**< who has signed it */
    int status;             /**< of the answer */
    json_t *answer;         /**< NULL: it is refused, or written already */
    const char *code;       /**< "bad-value": why it is refused, for programs; static */
    const char *message;    /**< for people; of r->pool or static */
} ban_call_t;

/** Refuse it. */
void ban_refuse(ban_call_t *call, int status, const char *code, const char *message);

/* Answers; each fills in answer or refuses. */

/** GET L: how many bans there are, and what became of them. */
void ban_json_counts(ban_call_t *call);
/** GET L/bans: written as it is made, as there may be many. */
void ban_json_list(ban_call_t *call);
/** GET L/bans/{prefix}: whether it is turned away, and why. */
void ban_json_explain(ban_call_t *call);
/** PUT L/bans/{prefix} */
void ban_hand_add(ban_call_t *call);
/** DELETE L/bans/{prefix} */
void ban_hand_remove(ban_call_t *call);

/** A ban. */
json_t *ban_json(const ban_t *ban);
/** What is known of a prefix, with a sentence about it. */
json_t *ban_json_of(const ban_prefix_t *prefix, const char *message, const ban_t *ban);

/** Whether all addresses of a prefix are in another one. */
int ban_prefix_holds(const ban_prefix_t *prefix, const ban_prefix_t *inner);

#endif /* BAN_HANDLER_H */
