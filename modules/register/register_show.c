/* Members, and how the store is, for who may see them. */
#include <http_protocol.h>
#include <util_script.h>

#include "register_member.h"
#include "usher_clock.h"
#include "usher_text.h"

APLOG_USE_MODULE(usher_register);

/* A text that a child or another node may have written: JSON takes UTF-8 only. */
static json_t *show_text(apr_pool_t *p, const char *text)
{
    json_t *value = json_string(text);

    return value ? value : json_string(register_audit_text(p, text));
}

static json_t *show_seconds(apr_int64_t ms)
{
    return ms % 1000 ? json_real((double)ms / 1000) : json_integer(ms / 1000);
}

/* What is left until then, in whole seconds. */
static json_t *show_left(apr_int64_t until, apr_int64_t now)
{
    return json_integer(until > now ? (until - now + 999) / 1000 : 0);
}

static json_t *show_time(apr_pool_t *p, apr_int64_t utc)
{
    char *text = apr_palloc(p, USHER_UTC_SIZE + 1);

    /* Up to the year 9999, and in whole seconds. */
    usher_utc_format(text, utc > 0 && utc < APR_INT64_C(253402300800000) ? utc * 1000 : 0);
    memmove(text + 19, text + 26, strlen(text + 26) + 1);
    return json_string(text);
}

static json_t *show_labels(const usher_roster_entry_t *entry)
{
    json_t *labels = register_json_object(entry->labels, strlen(entry->labels));

    return labels ? labels : json_object();
}

static const char *show_state(const usher_roster_entry_t *entry, const usher_join_state_t *is,
                              const char **reason)
{
    static const char *const states[] = {
        [USHER_CHECK_UNKNOWN] = "checking", [USHER_CHECK_UP] = "up", [USHER_CHECK_DOWN] = "down",
    };

    *reason = is->reason;
    if (entry->drain_until) {
        return "draining";
    }
    if (is->check == USHER_CHECK_UP && is->rests) {
        *reason = "it rests after failures (UsherBackendRest)";
        return "down";
    }
    if (is->check == USHER_CHECK_UP) {
        *reason = "";
    }
    return is->check <= USHER_CHECK_DOWN ? states[is->check] : "checking";
}

json_t *register_show(apr_pool_t *p, const usher_roster_entry_t *entry)
{
    apr_int64_t now = usher_clock_system()->boot_now() / 1000;
    usher_join_state_t is = { .check = USHER_CHECK_UNKNOWN };
    const char *state, *reason;
    json_t *json;

    if (!register_join_state || !register_join_state(entry, &is)) {
        apr_cpystrn(is.reason, "this node has no such cluster", sizeof(is.reason));
    }
    state = show_state(entry, &is, &reason);
    json = json_pack("{s:o, s:o, s:o, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I}",
                     "cluster", show_text(p, entry->cluster), "route", show_text(p, entry->route),
                     "url", show_text(p, entry->url), "state", state, "reason", show_text(p, reason),
                     "weight", (int)entry->weight, "lease", show_seconds(entry->lease),
                     "expires_in", show_left(entry->expires_at, now),
                     "owner", show_text(p, entry->owner),
                     "registered", show_time(p, entry->registered_at),
                     "labels", show_labels(entry), "requests", (json_int_t)is.in_flight,
                     "sessions", (json_int_t)is.sessions, "version", (json_int_t)entry->version);
    if (json && *entry->check) {
        json_object_set_new(json, "check", show_text(p, entry->check));
    }
    if (json && entry->drain_until) {
        json_object_set_new(json, "drain_in", show_left(entry->drain_until, now));
    }
    if (json && entry->load >= 0) {
        json_object_set_new(json, "load", json_real(entry->load / 100.0));
    }
    return json;
}

int register_show_member(register_call_t *call)
{
    if (!register_call_is_his(call)) {
        return 0;
    }
    call->answer = register_show(call->r->pool, &call->entry);
    return HTTP_OK;
}

typedef struct {
    const register_call_t *call;
    const char *cluster; /* NULL: of all */
    json_t *members;
} show_list_t;

static int show_add(void *baton, const usher_roster_entry_t *entry)
{
    show_list_t *list = baton;
    const register_who_t *who = &list->call->who;

    if ((!list->cluster || !strcmp(entry->cluster, list->cluster))
        && (!strcmp(entry->owner, who->name) || register_policy_is_admin(who->policy))) {
        json_array_append_new(list->members, register_show(list->call->r->pool, entry));
    }
    return 1;
}

/* @return 0 to stop: it is none that is known */
static int show_knows(void *baton, const char *name, const char *value)
{
    return !strcmp(name, "cluster");
}

int register_show_list(register_call_t *call)
{
    show_list_t list = { .call = call };
    const char *canonical = NULL;
    apr_table_t *args;

    ap_args_to_table(call->r, &args);
    if (!apr_table_do(show_knows, NULL, args, NULL)) {
        return register_refuse(call, HTTP_BAD_REQUEST, "bad-value",
                               "cluster= is the only parameter");
    }
    list.cluster = apr_table_get(args, "cluster");
    if (list.cluster && register_may_join
        && register_may_join(list.cluster, NULL, NULL, &canonical) == USHER_JOIN_OK) {
        list.cluster = canonical;
    }
    list.members = json_array();
    register_core->roster_each(show_add, &list);
    call->answer = json_pack("{s:o}", "members", list.members);
    return HTTP_OK;
}

static int show_count(void *baton, const usher_roster_entry_t *entry)
{
    ++*(int *)baton;
    return 1;
}

int register_show_counts(register_call_t *call)
{
    register_shm_t *shm = register_count_shm();
    usher_store_state_t store = { 0 };
    json_t *counts = json_object();
    int i, members = 0;

    if (!register_policy_is_admin(call->who.policy)) {
        json_decref(counts);
        return register_refuse(call, HTTP_FORBIDDEN, "not-yours", "this is for admin");
    }
    register_core->store_state(&store);
    register_core->roster_each(show_count, &members);
    json_object_set_new(counts, "members", json_integer(members));
    for (i = 0; shm && i < REGISTER_COUNTS; ++i) {
        json_object_set_new(counts, register_count_name(i),
                            json_integer((json_int_t)atomic_load(&shm->counts[i])));
    }
    call->answer = json_pack("{s:{s:s, s:b, s:I, s:I, s:I}, s:o}", "store",
                             "name", store.name ? store.name : "none", "up", store.is_up,
                             "commits", (json_int_t)store.commits,
                             "changes", (json_int_t)store.changes,
                             "refused", (json_int_t)store.refused, "counts", counts);
    return HTTP_OK;
}
