/* Bans as JSON, for who may see them. What comes from shared memory may have been written by
 * anybody, and is shown in ASCII alone. */
#include <http_protocol.h>
#include <util_script.h>

#include "ban_handler.h"
#include "usher_clock.h"
#include "usher_number.h"
#include "usher_text.h"

APLOG_USE_MODULE(usher_ban);

#define LIST_USUAL 1000

int ban_prefix_holds(const ban_prefix_t *prefix, const ban_prefix_t *inner)
{
    apr_uint64_t high = prefix->bits >= 64 ? ~APR_UINT64_C(0) : ~(~APR_UINT64_C(0) >> prefix->bits);
    apr_uint64_t low = prefix->bits <= 64 ? 0
                       : prefix->bits >= 128 ? ~APR_UINT64_C(0) : ~(~APR_UINT64_C(0) >> (prefix->bits - 64));

    return inner->bits >= prefix->bits && (inner->address.high & high) == prefix->address.high
           && (inner->address.low & low) == prefix->address.low;
}

/* A moment of the boot clock as people read it, in whole seconds. */
static json_t *json_moment(apr_int64_t boot)
{
    char text[USHER_UTC_SIZE];
    apr_int64_t utc;

    if (boot == BAN_FOREVER) {
        return json_null();
    }
    utc = usher_clock_system()->utc_now() / 1000 - ban_now() + boot;
    /* Up to the year 9999. */
    usher_utc_format(text, utc > 0 && utc < APR_INT64_C(253402300800000) ? utc * 1000 : 0);
    memmove(text + 19, text + 26, strlen(text + 26) + 1);
    return json_string(text);
}

static json_t *json_left(apr_int64_t until, apr_int64_t now)
{
    return until == BAN_FOREVER ? json_null() : json_integer(until > now ? (until - now + 999) / 1000 : 0);
}

static json_t *json_shown(const char *bytes, apr_size_t size)
{
    char text[USHER_TEXT_SHOWN_SIZE(BAN_WHY_SIZE)];

    usher_text_show(text, bytes, size);
    return json_string(text);
}

static json_t *json_prefix(const ban_prefix_t *prefix)
{
    char text[BAN_PREFIX_SIZE];

    return json_string(ban_prefix_format(text, prefix));
}

json_t *ban_json(const ban_t *ban)
{
    apr_int64_t now = ban_now();

    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:i, s:i, s:s, s:o, s:o, s:b}",
                     "prefix", json_prefix(&ban->prefix),
                     "state", ban->until <= now ? "over" : ban->is_trial ? "trial" : "banned",
                     "since", json_moment(ban->since), "until", json_moment(ban->until),
                     "left", json_left(ban->until, now), "forgotten", json_moment(ban->forget_at),
                     "times", (int)ban->times, "events", (int)ban->events,
                     "by", ban->origin == BAN_BY_HAND ? "hand" : "rule",
                     "name", json_shown(ban->name, sizeof(ban->name)),
                     "why", json_shown(ban->why, sizeof(ban->why)), "stored", ban->version != 0);
}

json_t *ban_json_of(const ban_prefix_t *prefix, const char *message, const ban_t *ban)
{
    return json_pack("{s:o, s:s, s:o}", "prefix", json_prefix(prefix), "message", message,
                     "ban", ban ? ban_json(ban) : json_null());
}

void ban_json_counts(ban_call_t *call)
{
    usher_store_state_t store = { 0 };
    ban_jail_stats_t stats = { 0 };

    ban_jail_stats(&stats);
    ban_core->store_state(&store);
    call->answer = json_pack(
        "{s:{s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I}, s:{s:b, s:s, s:I}}",
        "bans", "active", (json_int_t)stats.active, "trials", (json_int_t)stats.trials,
        "known", (json_int_t)stats.used, "room", (json_int_t)stats.room, "lost", (json_int_t)stats.lost,
        "refused", "connections", (json_int_t)ban_total(BAN_REFUSED_CONNECTION),
        "requests", (json_int_t)ban_total(BAN_REFUSED_REQUEST),
        "spared", "never", (json_int_t)ban_total(BAN_SPARED_NEVER),
        "proxies", (json_int_t)ban_total(BAN_SPARED_PROXY),
        "store", "up", store.is_up, "name", store.name ? store.name : "none",
        "lost", (json_int_t)ban_total(BAN_STORE_LOST));
}

/* Which bans are asked for, and how many were found. */
typedef struct {
    request_rec *r;
    int all;             /* those that are over, too */
    const char *name;    /* NULL: any */
    ban_prefix_t within;
    apr_uint64_t limit;  /* 0: none */
    apr_uint64_t count;
    apr_int64_t now;
} json_list_t;

/* @return 0 to stop: it is the first that is too many, or the client has gone */
static int list_add(void *baton, const ban_t *ban)
{
    json_list_t *list = baton;
    json_t *json;
    char *text;

    if ((!list->all && ban->until <= list->now) || !ban_prefix_holds(&list->within, &ban->prefix)
        || (list->name && strncmp(list->name, ban->name, sizeof(ban->name)) != 0)) {
        return 1;
    }
    if (++list->count > list->limit && list->limit) {
        return 0;
    }
    json = ban_json(ban);
    text = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(json);
    if (text) {
        ap_rputs(list->count > 1 ? ",\n" : "\n", list->r);
        ap_rputs(text, list->r);
        free(text);
    }
    return !list->r->connection->aborted;
}

/* @return 0 to stop: it is none that we know */
static int list_argument(void *baton, const char *name, const char *value)
{
    json_list_t *list = baton;

    if (!strcmp(name, "all")) {
        list->all = !strcmp(value, "1");
        return list->all || !strcmp(value, "0");
    }
    if (!strcmp(name, "name")) {
        list->name = value;
        return 1;
    }
    if (!strcmp(name, "within")) {
        return ban_prefix_parse(&list->within, value, strlen(value));
    }
    return !strcmp(name, "limit") && *value
           && usher_number_parse(&list->limit, APR_INT64_MAX, value, strlen(value)) == strlen(value);
}

void ban_json_list(ban_call_t *call)
{
    json_list_t list = { .r = call->r, .limit = LIST_USUAL, .now = ban_now() };
    apr_table_t *args;

    ap_args_to_table(call->r, &args);
    if (!apr_table_do(list_argument, &list, args, NULL)) {
        ban_refuse(call, HTTP_BAD_REQUEST, "bad-value",
                   "parameters are all=1, name, within=192.0.2.0/24 and limit, a number, 0 for all");
        return;
    }
    if (call->r->header_only) {
        return;
    }
    ap_rputs("{\"bans\":[", call->r);
    ban_jail_each(list_add, &list);
    ap_rprintf(call->r, "],\"more\":%s}\n", list.limit && list.count > list.limit ? "true" : "false");
}

typedef struct {
    const ban_prefix_t *prefix;
    apr_int64_t now;
    apr_uint64_t count;
} json_inside_t;

static int inside_add(void *baton, const ban_t *ban)
{
    json_inside_t *inside = baton;

    inside->count += ban->until > inside->now && !ban->is_trial && ban->prefix.bits > inside->prefix->bits
                     && ban_prefix_holds(inside->prefix, &ban->prefix);
    return 1;
}

/* A ban that all of the prefix falls under; else what is known of itself. */
static int explain_find(const ban_prefix_t *prefix, ban_t *ban)
{
    return (ban_jail_find(prefix->address, ban) && ban_prefix_holds(&ban->prefix, prefix))
           || ban_jail_get(prefix, ban);
}

/* In one sentence. */
static const char *explain_message(const ban_verdict_t *verdict, const ban_t *ban, const char *never, int is_spared)
{
    int is_on = ban && ban->until > ban_now();

    if (never) {
        return is_on && !ban->is_trial ? "is banned, but never turned away (UsherBanNever)"
                                       : "is never banned (UsherBanNever)";
    }
    switch (verdict->kind) {
    case BAN_LIST:
        return "is turned away: it is in a list (UsherBanList)";
    case BAN_GEO:
        return "is turned away for where it is (UsherBanGeo)";
    default:
        return is_on ? ban->is_trial ? "would be banned, but the rule only logs (UsherBanMode log)" : "is banned"
               : is_spared ? "is not banned, as it looks like a proxy that is not declared (UsherBanUndeclared)"
               : ban ? "is not banned (any more)" : "is not banned";
    }
}

static void explain_set(json_t *answer, const char *name, const char *text)
{
    if (text) {
        json_object_set_new(answer, name, json_shown(text, BAN_WHY_SIZE - 1));
    }
}

/* Of a prefix it is told what all of it falls under, and how many bans are inside it. */
void ban_json_explain(ban_call_t *call)
{
    const ban_prefix_t *prefix = &call->prefix;
    int is_address = prefix->bits == 128;
    ban_verdict_t verdict = { .kind = BAN_NOT };
    json_inside_t inside = { prefix, ban_now(), 0 };
    const char *never = is_address ? ban_never_why(prefix->address)
                        : ban_never_overlaps(prefix) ? "some of its addresses" : NULL;
    ban_t ban;
    int is_known = explain_find(prefix, &ban);
    int is_spared = is_address && ban_share_is_proxy(prefix->address, call->r->server);

    if (is_address) {
        ban_judge(prefix->address, &verdict);
    }
    call->answer = ban_json_of(prefix, explain_message(&verdict, is_known ? &ban : NULL, is_address ? never : NULL,
                                                       is_spared),
                               is_known ? &ban : NULL);
    explain_set(call->answer, "never", never);
    explain_set(call->answer, "list", verdict.kind == BAN_LIST ? verdict.name : NULL);
    explain_set(call->answer, "geo", verdict.kind == BAN_GEO ? verdict.name : NULL);
    if (is_address) {
        json_object_set_new(call->answer, "proxy", json_boolean(ban_never_is_proxy(prefix->address)));
    }
    else {
        ban_jail_each(inside_add, &inside);
        json_object_set_new(call->answer, "inside", json_integer((json_int_t)inside.count));
    }
}
