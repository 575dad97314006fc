/* Register, heartbeat, drain, deregister. Each looks at the roster, decides, and replaces
 * just that version in the store: who was faster is seen by a conflict. */
#include <openssl/crypto.h>

#include "register_member.h"
#include "register_record.h"

APLOG_USE_MODULE(usher_register);

#define REFUSE register_refuse

static apr_int64_t member_now(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

/* Read the body. @return 1; 0: error */
static int member_ask(register_call_t *call, register_ask_t *ask, unsigned int allowed)
{
    register_wrong_t wrong;

    if (register_json_read(ask, allowed, call->body, call->len, &wrong)) {
        return 1;
    }
    return REFUSE(call, HTTP_BAD_REQUEST, wrong.code, apr_pstrdup(call->r->pool, wrong.message));
}

static int member_may_join(register_call_t *call, const char *url)
{
    const char *canonical;
    usher_join_e join = call->join;

    if (join == USHER_JOIN_OK) {
        join = register_may_join(call->canonical, call->route, url, &canonical);
    }
    switch (join) {
    case USHER_JOIN_OK:
        return 1;
    case USHER_JOIN_AMBIGUOUS:
        return REFUSE(call, HTTP_NOT_FOUND, "unknown-cluster", "several virtual hosts have a "
                      "cluster of this name: app@www.example.com says which one");
    case USHER_JOIN_NO_SCHEME:
        return REFUSE(call, HTTP_BAD_REQUEST, "scheme-not-served", "nothing here carries requests to "
                      "such a URL: load mod_usher_backend, and mod_ssl for https and wss");
    case USHER_JOIN_ROUTE_TAKEN:
        return REFUSE(call, HTTP_CONFLICT, "route-taken", "a BalancerMember of the configuration "
                      "has this route");
    case USHER_JOIN_OWN_URL:
        return REFUSE(call, HTTP_CONFLICT, "route-taken", "a BalancerMember of the configuration "
                      "has this URL");
    default:
        return REFUSE(call, HTTP_NOT_FOUND, "unknown-cluster", "there is no cluster of this name: a "
                      "<Proxy balancer://...> section with one of Usher's lbmethods");
    }
}

static int member_url(register_call_t *call, register_ask_t *ask, usher_roster_entry_t *to)
{
    register_url_t *url = &ask->url;

    if (!(ask->has & REGISTER_HAS_URL)) {
        return REFUSE(call, HTTP_BAD_REQUEST, "bad-value", "url is needed");
    }
    if (!strcmp(url->host, "self")) {
        apr_cpystrn(url->host, call->r->useragent_ip, sizeof(url->host));
    }
    if (strchr(url->host, '%') || !register_url_format(to->url, sizeof(to->url), url)) {
        return REFUSE(call, HTTP_BAD_REQUEST, "bad-url", "its host is too long, or has a zone");
    }
    return member_may_join(call, to->url)
           && register_policy_check_server(call->who.policy, call->r, url->scheme, url->host,
                                           url->port, &call->error) == OK;
}

static int member_weight(register_call_t *call, apr_uint32_t weight, usher_roster_entry_t *to)
{
    unsigned int max = register_policy_weight_max(call->who.policy);

    to->weight = weight;
    return weight <= max
           || REFUSE(call, HTTP_FORBIDDEN, "forbidden-weight", apr_psprintf(call->r->pool,
                     "the policy of your key allows weights up to %u (weight=)", max));
}

static int member_lease(register_call_t *call, const register_ask_t *ask, usher_roster_entry_t *to)
{
    const register_settings_t *set = &register_settings;
    apr_int64_t lease = ask->has & REGISTER_HAS_LEASE ? ask->lease * APR_INT64_C(1000)
                                                      : set->lease_default;

    if (lease < set->lease_min || lease > set->lease_max) {
        return REFUSE(call, HTTP_BAD_REQUEST, "bad-value", apr_psprintf(call->r->pool,
            "lease is from %s to %s here (UsherRegisterLease)",
            register_audit_time(call->r->pool, set->lease_min / 1000),
            register_audit_time(call->r->pool, set->lease_max / 1000)));
    }
    to->lease = (apr_uint32_t)(lease / 1000);
    return 1;
}

static int member_check(register_call_t *call, const register_ask_t *ask, usher_roster_entry_t *to)
{
    if (!strcmp(ask->check, "cping") && strcmp(ask->url.scheme, "ajp") != 0) {
        return REFUSE(call, HTTP_BAD_REQUEST, "bad-value", "check cping is for ajp");
    }
    memcpy(to->check, ask->check, sizeof(to->check));
    memcpy(to->labels, ask->labels, sizeof(to->labels));
    return 1;
}

/* One that is sealed looks different each time: is it the one that he has? */
static int member_has_secret(const register_call_t *call, const char *secret)
{
    APR_OPTIONAL_FN_TYPE(usher_register_open_secret) *open_secret =
        APR_RETRIEVE_OPTIONAL_FN(usher_register_open_secret);
    char was[USHER_ROSTER_SECRET_SIZE];
    int same = call->is_known && *call->entry.secret && open_secret
               && open_secret(call->id, call->entry.secret, was, sizeof(was))
               && !strcmp(was, secret);

    OPENSSL_cleanse(was, sizeof(was));
    return same;
}

static int member_secret(register_call_t *call, register_ask_t *ask, usher_roster_entry_t *to)
{
    const char *text = "";

    if (!(ask->has & (REGISTER_HAS_SECRET | REGISTER_HAS_SECRET_NAME))) {
        return 1;
    }
    if (ask->has & REGISTER_HAS_SECRET && ask->has & REGISTER_HAS_SECRET_NAME) {
        return REFUSE(call, HTTP_BAD_REQUEST, "bad-value", "either secret or secret_name");
    }
    if (strcmp(ask->url.scheme, "ajp") != 0) {
        return REFUSE(call, HTTP_BAD_REQUEST, "bad-value", "a secret is for ajp");
    }
    if (ask->has & REGISTER_HAS_SECRET_NAME) {
        if (!register_secret_is_known(ask->secret_name)) {
            return REFUSE(call, HTTP_BAD_REQUEST, "bad-value", "secret_name is none that is known "
                          "here (UsherRegisterSecret)");
        }
        text = apr_pstrcat(call->r->pool, "name:", ask->secret_name, NULL);
    }
    else {
        text = register_secret_seal(call->r, call->id, ask->secret, &call->error);
        if (text && member_has_secret(call, ask->secret)) {
            text = call->entry.secret;
        }
    }
    if (text) {
        apr_cpystrn(to->secret, text, sizeof(to->secret));
    }
    return text != NULL;
}

/* @param more  that are about to come */
static int member_has_room(register_call_t *call, unsigned int more)
{
    unsigned int max = register_policy_members_max(call->who.policy);

    return !max || register_core->roster_count(call->who.name) + more <= max
           || REFUSE(call, HTTP_FORBIDDEN, "too-many-members", apr_psprintf(call->r->pool,
                     "the policy of your key allows %u members (members=)", max));
}

/* When the newest request of its owner was signed: clocks of others say nothing. */
static apr_uint32_t member_created(const register_call_t *call, const usher_roster_entry_t *of)
{
    return strcmp(of->owner, call->who.name) ? call->entry.created : call->who.created;
}

/* What the body says, as a member. */
static int member_make(register_call_t *call, register_ask_t *ask, usher_roster_entry_t *to)
{
    apr_int64_t now = member_now();

    memset(to, 0, sizeof(*to));
    memcpy(to->id, call->id, sizeof(to->id));
    apr_cpystrn(to->cluster, call->canonical, sizeof(to->cluster));
    apr_cpystrn(to->route, call->route, sizeof(to->route));
    apr_cpystrn(to->owner, call->is_known ? call->entry.owner : call->who.name, sizeof(to->owner));
    to->registered_at = call->is_known ? call->entry.registered_at
                                       : usher_clock_system()->utc_now() / 1000;
    to->created = member_created(call, to);
    if (!member_url(call, ask, to)
        || !member_weight(call, ask->has & REGISTER_HAS_WEIGHT ? ask->weight : 1, to)
        || !member_lease(call, ask, to) || !member_check(call, ask, to)
        || !member_secret(call, ask, to)) {
        return 0;
    }
    to->expires_at = now + to->lease;
    return 1;
}

static int member_is_same(const usher_roster_entry_t *a, const usher_roster_entry_t *b)
{
    return !strcmp(a->url, b->url) && !strcmp(a->check, b->check) && !strcmp(a->labels, b->labels)
           && !strcmp(a->secret, b->secret) && a->weight == b->weight && a->lease == b->lease
           && !a->drain_until && !b->drain_until;
}

/* The store hears of a lease when a third of it is over, and nobody waits for that. */
static void member_tell(register_call_t *call)
{
    char key[USHER_STORE_KEY_MAX + 1], value[USHER_STORE_VALUE_MAX + 1];
    usher_store_change_t change = {
        .kind = &register_member_kind,
        .key = register_record_key(key, call->canonical, call->route), .value = value,
        .was = call->entry.version,
    };

    if (register_record_write(value, &call->entry, usher_clock_system())) {
        register_core->store_put(&change, 1, 0);
    }
}

/* The lease counts from now on. @param load  -1: not told */
static int member_renew(register_call_t *call, apr_int32_t load)
{
    int is_owner = !strcmp(call->entry.owner, call->who.name);
    int rc = register_core->roster_renew(call->id, load, is_owner ? call->who.created : 0);

    if (rc == -1) {
        call->is_conflict = 1; /* just gone */
        return REFUSE(call, HTTP_NOT_FOUND, "unknown-member", "it has just been removed");
    }
    if (rc == -2) {
        return REFUSE(call, HTTP_UNAUTHORIZED, "stale",
                      "a newer request of this member was here before");
    }
    call->is_known = register_core->roster_get(call->id, &call->entry);
    if (rc == 1 && call->is_known) {
        member_tell(call);
    }
    return 1;
}

static int member_answer(register_call_t *call, int status)
{
    call->answer = register_show(call->r->pool, &call->entry);
    return status;
}

/* Several came at the same time, each of them the last one that had room. */
static int member_undo(register_call_t *call)
{
    register_error_t error = call->error;

    register_call_put(call, NULL);
    call->error = error;
    call->is_conflict = 0;
    return 0;
}

static int member_register(register_call_t *call, const usher_roster_entry_t *to)
{
    usher_roster_entry_t was = call->entry;
    int is_new = !call->is_known;
    const char *is = register_audit_member(call->r->pool, to);

    if ((is_new && !member_has_room(call, 1)) || !register_call_put(call, to)) {
        return 0;
    }
    if (is_new && !member_has_room(call, 0)) {
        return member_undo(call);
    }
    if (!is_new) {
        is = apr_pstrcat(call->r->pool, register_audit_member(call->r->pool, &was), " -> ", is, NULL);
    }
    register_audit(call, is_new ? "registered" : "changed", is);
    register_count(is_new ? REGISTER_COUNT_REGISTERED : REGISTER_COUNT_CHANGED);
    return member_answer(call, is_new ? HTTP_CREATED : HTTP_OK);
}

int register_member_put(register_call_t *call)
{
    usher_roster_entry_t to;
    register_ask_t ask;
    int fine = member_ask(call, &ask, REGISTER_HAS_URL | REGISTER_HAS_WEIGHT | REGISTER_HAS_LEASE
                          | REGISTER_HAS_CHECK | REGISTER_HAS_LABELS | REGISTER_HAS_SECRET
                          | REGISTER_HAS_SECRET_NAME)
               && register_call_find(call) && member_make(call, &ask, &to);

    OPENSSL_cleanse(&ask, sizeof(ask));
    if (!fine) {
        return 0;
    }
    if (call->is_known && member_is_same(&call->entry, &to)) {
        return member_renew(call, -1) ? member_answer(call, HTTP_OK) : 0;
    }
    return member_register(call, &to);
}

/* @return 1, also where it is as it was */
static int member_set_weight(register_call_t *call, const register_ask_t *ask)
{
    usher_roster_entry_t was = call->entry, to = was;

    if (!(ask->has & REGISTER_HAS_WEIGHT) || ask->weight == was.weight) {
        return 1;
    }
    if (!member_weight(call, ask->weight, &to) || !register_call_put(call, &to)) {
        return 0;
    }
    register_audit(call, "changed", apr_psprintf(call->r->pool, "weight %u -> %u", was.weight,
                                                 to.weight));
    register_count(REGISTER_COUNT_CHANGED);
    return 1;
}

int register_member_heartbeat(register_call_t *call)
{
    register_ask_t ask;

    if (!member_ask(call, &ask, REGISTER_HAS_LOAD | REGISTER_HAS_WEIGHT)
        || !register_call_is_his(call)) {
        return 0;
    }
    if (call->entry.drain_until && call->entry.expires_at <= member_now()) {
        return REFUSE(call, HTTP_CONFLICT, "wrong-state", "its lease had ended, so it drains: sign "
                      "it in again with PUT");
    }
    if (!member_renew(call, ask.has & REGISTER_HAS_LOAD ? ask.load : -1)
        || !member_set_weight(call, &ask)) {
        return 0;
    }
    register_count(REGISTER_COUNT_HEARTBEATS);
    return member_answer(call, HTTP_OK);
}

int register_member_drain(register_call_t *call)
{
    apr_int64_t deadline = register_settings.drain / 1000;
    usher_roster_entry_t to;
    register_ask_t ask;

    if (!member_ask(call, &ask, REGISTER_HAS_DEADLINE) || !register_call_is_his(call)) {
        return 0;
    }
    if (call->entry.drain_until && !(ask.has & REGISTER_HAS_DEADLINE)) {
        return member_answer(call, HTTP_OK);
    }
    if (ask.has & REGISTER_HAS_DEADLINE) {
        deadline = ask.deadline;
    }
    to = call->entry;
    to.drain_until = member_now() + deadline;
    to.created = member_created(call, &to);
    if (!register_call_put(call, &to)) {
        return 0;
    }
    register_audit(call, apr_psprintf(call->r->pool, "drains for %s,",
                                      register_audit_time(call->r->pool, deadline)), "");
    register_count(REGISTER_COUNT_DRAINED);
    return member_answer(call, HTTP_OK);
}

int register_member_delete(register_call_t *call)
{
    usher_roster_entry_t was;
    int was_known;

    if (!register_call_find(call)) {
        return 0;
    }
    was = call->entry;
    was_known = call->is_known;
    /* Another node may have signed it in just now: only the store knows. */
    if (!register_call_put(call, NULL)) {
        return 0;
    }
    if (was_known) {
        register_audit(call, "deregistered", register_audit_member(call->r->pool, &was));
        register_count(REGISTER_COUNT_DEREGISTERED);
    }
    return HTTP_NO_CONTENT;
}
