/* A request: which member it is about, whether he may, and how a change of it becomes
 * durable. */
#include "register_member.h"
#include "register_record.h"

APLOG_USE_MODULE(usher_register);

/* A request waits so long for the store. */
#define WAIT_MAX (5 * APR_USEC_PER_SEC)
/* Tombstones: longer than any lease. ms */
#define LIFE (2 * (apr_int64_t)REGISTER_TIME_MAX)
/* Of what was never there, as far as all know: there is nothing that could come back. ms */
#define LIFE_OF_NOTHING 60000

int register_refuse(register_call_t *call, int status, const char *code, const char *message)
{
    call->error = (register_error_t) { status, code, message };
    return 0;
}

static int call_find_cluster(register_call_t *call)
{
    call->canonical = call->cluster;
    call->join = register_may_join
        ? register_may_join(call->cluster, NULL, NULL, &call->canonical) : USHER_JOIN_NO_CLUSTER;
    if (!call->canonical || call->join == USHER_JOIN_NO_CLUSTER) {
        call->canonical = call->cluster; /* that of a member which was there before a restart */
    }
    return register_policy_has_cluster(call->who.policy, call->canonical)
           || register_refuse(call, HTTP_FORBIDDEN, "forbidden-cluster",
                              "the policy of your key does not have this cluster (clusters=)");
}

int register_call_find(register_call_t *call)
{
    if (!call_find_cluster(call)) {
        return 0;
    }
    usher_roster_id(call->id, call->canonical, call->route);
    call->is_known = register_core->roster_get(call->id, &call->entry);
    if (call->is_known && strcmp(call->entry.owner, call->who.name) != 0
        && !register_policy_is_admin(call->who.policy)) {
        return register_refuse(call, HTTP_FORBIDDEN, "not-yours",
                               "somebody else has signed this member in");
    }
    return 1;
}

int register_call_is_his(register_call_t *call)
{
    return register_call_find(call)
           && (call->is_known
               || register_refuse(call, HTTP_NOT_FOUND, "unknown-member",
                                  "there is no such member (any more): sign it in with PUT"));
}

/* Of the same signer: clocks of others say nothing. */
static int call_is_late(const register_call_t *call)
{
    return call->is_known && call->who.created && !strcmp(call->entry.owner, call->who.name)
           && call->who.created < call->entry.created;
}

/* What is there now, apply() has told the roster: the next look sees it. If nothing is there, the
 * store has lost it (an older copy was put in its place, say), and gets it anew. */
static int call_conflict(register_call_t *call, const usher_store_change_t *member,
                         const usher_store_change_t *nonce)
{
    if (call->who.nonce_key && !call->is_kept && nonce->version) {
        return register_refuse(call, HTTP_UNAUTHORIZED, "replayed",
                               "the nonce of this signature was used before");
    }
    call->is_conflict = 1;
    call->is_lost = member->was && !member->version;
    return register_refuse(call, HTTP_CONFLICT, "conflict",
                           "somebody else changes this member at the same time: ask again");
}

static int call_down(register_call_t *call)
{
    return register_refuse(call, HTTP_SERVICE_UNAVAILABLE, "store-down",
                           "the store could not keep it in time: ask again, with a new signature");
}

/* It is durable, but the roster has no room for it: take it back. */
static int call_full(register_call_t *call, apr_uint64_t version)
{
    char key[USHER_STORE_KEY_MAX + 1];
    usher_store_change_t change = {
        .kind = &register_member_kind,
        .key = register_record_key(key, call->canonical, call->route), .was = version,
        .life = LIFE,
    };

    register_core->store_put(&change, 1, 0);
    return register_refuse(call, HTTP_SERVICE_UNAVAILABLE, "table-full",
                           "there is no room for more members: \"UsherMemory roster\" gives more");
}

int register_call_put(register_call_t *call, const usher_roster_entry_t *to)
{
    char key[USHER_STORE_KEY_MAX + 1], value[USHER_STORE_VALUE_MAX + 1];
    usher_store_change_t changes[USHER_STORE_TOGETHER_MAX] = {
        { .kind = &register_member_kind,
          .key = register_record_key(key, call->canonical, call->route),
          .value = to ? value : NULL, .life = to ? 0 : LIFE },
        { .kind = &register_nonce_kind, .key = call->who.nonce_key, .value = "",
          .life = call->who.nonce_life },
    };

    if (call_is_late(call)) {
        return register_refuse(call, HTTP_UNAUTHORIZED, "stale",
                               "a newer request of this member was here before");
    }
    if (to && !register_record_write(value, to, usher_clock_system())) {
        return register_refuse(call, HTTP_BAD_REQUEST, "bad-value",
                               "all of it together is too long");
    }
    changes[0].was = call->is_lost ? 0 : call->is_known ? call->entry.version
                     : register_core->roster_removed(call->id);
    if (!to && !call->is_known && !changes[0].was) {
        changes[0].life = LIFE_OF_NOTHING;
    }
    switch (register_core->store_put(changes, call->who.nonce_key && !call->is_kept ? 2 : 1,
                                     WAIT_MAX)) {
    case USHER_STORE_DONE:
        call->is_kept = 1;
        call->is_known = register_core->roster_get(call->id, &call->entry);
        return !to || call->is_known || call_full(call, changes[0].version);
    case USHER_STORE_CONFLICT:
        return call_conflict(call, &changes[0], &changes[1]);
    default:
        return call_down(call);
    }
}
