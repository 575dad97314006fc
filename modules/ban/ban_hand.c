/* Bans, and ends of bans, by hand: who asks waits until the store has them. */
#include <apr_lib.h>
#include <http_protocol.h>

#include "ban_handler.h"
#include "usher_duration.h"
#include "usher_text.h"

APLOG_USE_MODULE(usher_ban);

/* A request waits so long for the store. */
#define WAIT_MAX (5 * APR_USEC_PER_SEC)

/* What a body asks for. */
typedef struct {
    apr_int64_t until; /* boot clock */
    char why[BAN_WHY_SIZE];
} hand_ask_t;

static int hand_time(hand_ask_t *ask, const json_t *value)
{
    const char *text = json_string_value(value);
    apr_interval_time_t length;

    if (text && !strcmp(text, "forever")) {
        ask->until = BAN_FOREVER;
        return 1;
    }
    if (!text || usher_duration_parse(&length, text, json_string_length(value)) != APR_SUCCESS
        || length < APR_USEC_PER_SEC) {
        return 0;
    }
    ask->until = ban_now() + length / 1000;
    return 1;
}

static void hand_why(hand_ask_t *ask, apr_pool_t *p, const char *why)
{
    char *shown = apr_palloc(p, USHER_TEXT_SHOWN_SIZE(strlen(why)));

    usher_text_show(shown, why, strlen(why));
    apr_cpystrn(ask->why, shown, sizeof(ask->why));
}

static int hand_read(ban_call_t *call, hand_ask_t *ask)
{
    json_t *json = json_loadb(call->body, call->len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *why = json_object_get(json, "why");
    int right = json_object_size(json) == 1U + (why != NULL) && hand_time(ask, json_object_get(json, "for"))
                && (!why || json_is_string(why));

    if (right) {
        hand_why(ask, call->r->pool, why ? json_string_value(why) : "");
    }
    else {
        ban_refuse(call, HTTP_BAD_REQUEST, "bad-value",
                   "a body is {\"for\":\"1h\",\"why\":\"...\"}: at least 1s, or \"forever\"");
    }
    json_decref(json);
    return right;
}

/* Nobody locks out those whom everything depends on, nor himself. */
static int hand_may(ban_call_t *call)
{
    const ban_prefix_t own = { ban_address(call->r->useragent_addr), 128 };
    const ban_prefix_t *prefix = &call->prefix;
    const char *never = prefix->bits == 128 ? ban_never_why(prefix->address)
                        : ban_never_overlaps(prefix) ? "some of its addresses are in UsherBanNever" : NULL;

    if (never) {
        ban_refuse(call, HTTP_CONFLICT, "never-banned",
                   apr_psprintf(call->r->pool, "it may never be banned: %s", never));
    }
    else if (ban_prefix_holds(prefix, &own)) {
        ban_refuse(call, HTTP_CONFLICT, "yourself", "the request comes from there: you would lock yourself out");
    }
    return !call->code;
}

/* Who did it, as a ban has it: a key's id, its other characters replaced. */
static void hand_name(char name[BAN_NAME_SIZE], const char *who)
{
    char *at = name;

    for (apr_cpystrn(name, who, BAN_NAME_SIZE); *at; ++at) {
        *at = (char)(apr_isalnum(*at) || *at == '-' || *at == '_' ? *at : '-');
    }
}

/* In place of what is known of the prefix; its past goes on. */
static void hand_make(ban_call_t *call, const hand_ask_t *ask, ban_t *ban)
{
    ban_t was = { .times = 0 };
    int is_known = ban_jail_get(&call->prefix, &was) && !was.is_trial;
    apr_int64_t now = ban_now();

    *ban = (ban_t) {
        .prefix = call->prefix, .since = now, .until = ask->until, .forget_at = ask->until,
        .version = is_known ? was.version : 0, .times = 1, .origin = BAN_BY_HAND,
    };
    if (is_known) {
        ban->forget_at = was.until != BAN_FOREVER && was.forget_at > ask->until ? was.forget_at : ask->until;
        ban->times = (apr_uint16_t)(was.times + (was.until <= now && was.times < APR_UINT16_MAX));
    }
    hand_name(ban->name, call->by.who);
    apr_cpystrn(ban->why, ask->why, sizeof(ban->why));
}

static void hand_refuse(ban_call_t *call, usher_store_result_e result)
{
    if (result == USHER_STORE_CONFLICT) {
        ban_refuse(call, HTTP_CONFLICT, "conflict", "somebody else changes this ban at the same time: ask again");
    }
    else {
        ban_refuse(call, HTTP_SERVICE_UNAVAILABLE, "store-down",
                   "the store could not keep it in time: ask again, with a new signature");
    }
}

static void hand_audit(const ban_call_t *call, ban_audit_e what, const ban_t *ban)
{
    request_rec *r = call->r;

    ban_audit(what, ban, apr_pstrcat(r->pool, "key ", call->by.who, NULL),
              apr_pstrcat(r->pool, "from ", r->useragent_ip, NULL), r->server);
}

void ban_hand_add(ban_call_t *call)
{
    usher_store_result_e result;
    hand_ask_t ask;
    ban_t ban;

    if (!hand_read(call, &ask) || !hand_may(call)) {
        return;
    }
    hand_make(call, &ask, &ban);
    result = ban_store_put(&ban, WAIT_MAX);
    if (result != USHER_STORE_DONE) {
        hand_refuse(call, result);
    }
    else if (!ban_jail_get(&call->prefix, &ban)) {
        ban_refuse(call, HTTP_SERVICE_UNAVAILABLE, "table-full",
                   "the store has it, but here is no room for more bans: \"UsherMemory bans\" gives more");
    }
    else {
        hand_audit(call, BAN_AUDIT_BAN, &ban);
        call->answer = ban_json_of(&call->prefix, "is banned", &ban);
    }
}

/* The store never hears of bans of rules that only log. Of others it does, and tells the jail. */
static usher_store_result_e hand_delete(const ban_t *ban)
{
    if (!ban->is_trial) {
        return ban_store_delete(&ban->prefix, ban->version, WAIT_MAX);
    }
    ban_jail_remove(&ban->prefix);
    return USHER_STORE_DONE;
}

/* What to remove instead. */
static void hand_unknown(ban_call_t *call)
{
    char text[BAN_PREFIX_SIZE];
    ban_t wider;

    if (ban_jail_find(call->prefix.address, &wider) && ban_prefix_holds(&wider.prefix, &call->prefix)) {
        ban_refuse(call, HTTP_NOT_FOUND, "unknown-ban",
                   apr_psprintf(call->r->pool, "it falls under the ban of %s: remove that one",
                                ban_prefix_format(text, &wider.prefix)));
    }
    else {
        ban_refuse(call, HTTP_NOT_FOUND, "unknown-ban", "there is no ban of exactly this prefix");
    }
}

void ban_hand_remove(ban_call_t *call)
{
    usher_store_result_e result;
    ban_t ban;

    if (!ban_jail_get(&call->prefix, &ban)) {
        hand_unknown(call);
        return;
    }
    result = hand_delete(&ban);
    if (result != USHER_STORE_DONE) {
        hand_refuse(call, result);
    }
    else {
        hand_audit(call, BAN_AUDIT_REMOVE, &ban);
        call->answer = ban_json_of(&call->prefix, "is free, and its past is forgotten", NULL);
    }
}
