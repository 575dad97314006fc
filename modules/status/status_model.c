/* The status as JSON: tables of fields. What other parts keep of a member or a cluster is
 * shown by a line of these. */
#include "status_private.h"

/* Longer than any setting may be: ten years. */
#define SESSION_WINDOW_MAX (APR_INT64_C(10) * 366 * 24 * 3600 * 1000)

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* A counter, which garbage may have made any number. */
static json_t *model_count(apr_uint64_t count)
{
    return json_integer((json_int_t)(count & APR_INT64_MAX));
}

/* Milliseconds: three digits of them, but all before the point. */
static json_t *model_ms(double ms)
{
    int per = ms < 1 ? 100 : ms < 100 ? 10 : 1;

    return json_real((double)(apr_int64_t)(ms * per + 0.5) / per);
}

/* "2026-11-22T01:25:39+00:00"; null where it is not known. */
static json_t *model_time(apr_time_t utc)
{
    char text[USHER_UTC_SIZE];
    apr_size_t seconds = sizeof("2026-11-22T01:25:39") - 1;

    if (utc <= 0) {
        return json_null();
    }
    usher_utc_format(text, utc);
    memmove(text + seconds, text + seconds + sizeof(".000000") - 1,
            strlen(text + seconds + sizeof(".000000") - 1) + 1);
    return json_string(text);
}

/* null where there is none */
static json_t *model_text(const char *text)
{
    return *text ? json_string(text) : json_null();
}

/* A member */

static json_t *member_id(const status_member_t *member)
{
    return json_string(member->id);
}

static json_t *member_url(const status_member_t *member)
{
    return model_text(member->url);
}

static json_t *member_route(const status_member_t *member)
{
    return model_text(member->route);
}

/* Named in the configuration or added by balancer-manager; or it signed itself in. */
static json_t *member_source(const status_member_t *member)
{
    return json_string(member->entry ? "registered" : "static");
}

/* What the configuration or balancer-manager gives it; null where mod_proxy knows nothing
 * of it. */
static json_t *member_loadfactor(const status_member_t *member)
{
    if (member->entry) {
        return json_real(status_roster_weight(member));
    }
    return member->worker ? json_real(member->worker->s->lbfactor / 100.0) : json_null();
}

static json_t *member_lbset(const status_member_t *member)
{
    return member->worker ? json_integer(member->worker->s->lbset) : json_null();
}

/* What counts, after what was said at run time. */
static json_t *member_weight(const status_member_t *member)
{
    if (member->entry) {
        return json_real(usher_admin_weight(&member->rec->admin,
                                            (int)status_roster_weight(member) * 100) / 100.0);
    }
    if (!member->worker) {
        return json_null();
    }
    return json_real((member->cluster->may_switch
                          ? usher_admin_weight(&member->rec->admin, member->worker->s->lbfactor)
                          : member->worker->s->lbfactor) / 100.0);
}

static json_t *member_share(const status_member_t *member)
{
    return json_real(member->health.share * 100.0 / USHER_HEALTH_SHARE);
}

/* What was said of it at run time; null: nothing so far. */
static json_t *member_admin(const status_member_t *member)
{
    apr_int64_t at = atomic_load(&member->rec->admin.changed_at);
    char who[USHER_ADMIN_WHO_SIZE];

    if (!at) {
        return json_null();
    }
    usher_admin_who(&member->rec->admin, who);
    return json_pack("{s:s, s:s, s:o}", "setting",
                     status_state_setting(member->view->pool, member->admin), "by",
                     status_view_text(member->view->pool, who, sizeof(who)), "since",
                     model_time(status_view_utc(member->view, at)));
}

static json_t *member_in_flight(const status_member_t *member)
{
    return json_integer(atomic_load(&member->rec->in_flight));
}

/* UsherMemberMax; null: as many as there are. */
static json_t *member_max(const status_member_t *member)
{
    apr_uint32_t max = status_state_max(member);

    return max ? json_integer(max) : json_null();
}

/* Sessions of sticky cookies, about; null: they are not counted. */
static json_t *member_sessions(const status_member_t *member)
{
    apr_int64_t window = atomic_load(&member->cluster->rec->sticky.window);

    return window > 0 && window <= SESSION_WINDOW_MAX
               ? model_count(usher_sketch_count(&member->rec->sessions, member->view->boot, window))
               : json_null();
}

/* Requests that wait until it is no longer full. */
static json_t *member_waiting(const status_member_t *member)
{
    return json_integer(atomic_load(&member->rec->waiting));
}

static json_t *member_elected(const status_member_t *member)
{
    return model_count(atomic_load(&member->rec->elected));
}

static json_t *member_answered(const status_member_t *member)
{
    return model_count(atomic_load(&member->rec->answered));
}

static json_t *member_failed(const status_member_t *member)
{
    return model_count(atomic_load(&member->rec->failed));
}

/* How long it takes to answer, a mean that forgets; null: it has not answered yet. */
static json_t *member_response(const status_member_t *member)
{
    apr_uint32_t time = usher_load_time(&member->rec->response);

    return time ? model_ms(time / 16000.0) : json_null();
}

static json_t *member_rests(const status_member_t *member)
{
    return json_integer(atomic_load(&member->rec->health.rests));
}

static json_t *member_tries(const status_member_t *member)
{
    return json_integer(atomic_load(&member->rec->health.probes));
}

/* What the health checks say; null: it is not checked. */
static json_t *member_check(const status_member_t *member)
{
    static const char *const states[] = { "unknown", "up", "down" };
    const usher_check_t *check = &member->rec->check;
    apr_uint32_t result = atomic_load(&check->result);
    apr_uint32_t took = atomic_load(&check->took);
    char reason[USHER_CHECK_REASON_SIZE];

    if (!atomic_load(&check->last_at)) {
        return json_null();
    }
    usher_check_reason(reason, result, took);
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "state",
                     states[status_state_check(member)], "last",
                     status_view_text(member->view->pool, reason, sizeof(reason)), "at",
                     model_time(status_view_time(atomic_load(&check->last_at))), "since",
                     model_time(status_view_time(atomic_load(&check->changed_at))), "ms",
                     model_ms(took / 1000.0), "passed", model_count(atomic_load(&check->passed)), "failed",
                     model_count(atomic_load(&check->failed)));
}

typedef struct {
    const char *name;
    json_t *(*make)(const status_member_t *member);
} model_field_t;

static const model_field_t member_fields[] = {
    { "id", member_id },
    { "url", member_url },
    { "route", member_route },
    { "source", member_source },
    { "registration", status_roster_model },
    { "loadfactor", member_loadfactor },
    { "weight", member_weight },
    { "share", member_share },
    { "lbset", member_lbset },
    { "admin", member_admin },
    { "elected", member_elected },
    { "answered", member_answered },
    { "failed", member_failed },
    { "response_ms", member_response },
    { "rests", member_rests },
    { "tries", member_tries },
    { "max", member_max },
    { "waiting", member_waiting },
    { "check", member_check },
};

/* What has to go before a drained member can be stopped. */
static const model_field_t left_fields[] = {
    { "in_flight", member_in_flight },
    { "sessions", member_sessions },
};

static void model_add(json_t *to, const model_field_t *fields, apr_size_t count,
                      const status_member_t *member)
{
    apr_size_t i;

    for (i = 0; i < count; ++i) {
        json_object_set_new(to, fields[i].name, fields[i].make(member));
    }
}

json_t *status_model_left(const status_member_t *member)
{
    json_t *left = json_object();

    model_add(left, left_fields, COUNT(left_fields), member);
    return left;
}

static json_t *model_member(const status_member_t *member)
{
    status_state_t state = status_state_of(member);
    json_t *made = json_object();

    model_add(made, member_fields, COUNT(member_fields), member);
    model_add(made, left_fields, COUNT(left_fields), member);
    json_object_set_new(made, "state", json_string(state.state));
    json_object_set_new(made, "why", json_string(state.why));
    json_object_set_new(made, "since", model_time(state.since));
    return made;
}

/* A cluster */

static json_t *cluster_id(const status_cluster_t *cluster)
{
    return json_string(cluster->id);
}

static json_t *cluster_name(const status_cluster_t *cluster)
{
    return json_string(cluster->name);
}

static json_t *cluster_server(const status_cluster_t *cluster)
{
    return model_text(cluster->server);
}

static json_t *cluster_kind(const status_cluster_t *cluster)
{
    return json_string(cluster->kind);
}

static json_t *cluster_may_switch(const status_cluster_t *cluster)
{
    return json_boolean(cluster->may_switch);
}

static json_t *cluster_requests(const status_cluster_t *cluster)
{
    return model_count(atomic_load(&cluster->rec->requests));
}

static json_t *cluster_replays(const status_cluster_t *cluster)
{
    return model_count(atomic_load(&cluster->rec->replays));
}

static json_t *cluster_refused_replays(const status_cluster_t *cluster)
{
    return model_count(atomic_load(&cluster->rec->refused_replays));
}

static json_t *cluster_waiting(const status_cluster_t *cluster)
{
    return json_integer(atomic_load(&cluster->rec->waiting));
}

static json_t *cluster_refused_full(const status_cluster_t *cluster)
{
    return model_count(atomic_load(&cluster->rec->refused_full));
}

static json_t *cluster_stick(const status_cluster_t *cluster)
{
    const usher_stick_t *stick = &cluster->rec->stick;

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "found",
                     model_count(atomic_load(&stick->found)), "missed",
                     model_count(atomic_load(&stick->missed)), "learned",
                     model_count(atomic_load(&stick->learned)), "moved",
                     model_count(atomic_load(&stick->moved)), "removed",
                     model_count(atomic_load(&stick->removed)), "evicted",
                     model_count(atomic_load(&stick->evicted)));
}

static json_t *cluster_sticky(const status_cluster_t *cluster)
{
    static const char *const names[USHER_STICKY_COUNTS] = {
        [USHER_STICKY_VALID] = "valid",
        [USHER_STICKY_MALFORMED] = "malformed",
        [USHER_STICKY_UNKNOWN_KEY] = "unknown_key",
        [USHER_STICKY_FORGED] = "forged",
        [USHER_STICKY_EXPIRED] = "expired",
        [USHER_STICKY_EARLY] = "early",
        [USHER_STICKY_NEW] = "new",
        [USHER_STICKY_REFRESHED] = "refreshed",
        [USHER_STICKY_MOVED] = "moved",
        [USHER_STICKY_DOWN] = "down",
    };
    json_t *made = json_object();
    int i;

    for (i = 0; i < USHER_STICKY_COUNTS; ++i) {
        json_object_set_new(made, names[i],
                            model_count(atomic_load(&cluster->rec->sticky.counts[i])));
    }
    return made;
}

static const struct {
    const char *name;
    json_t *(*make)(const status_cluster_t *cluster);
} cluster_fields[] = {
    { "id", cluster_id },
    { "name", cluster_name },
    { "server", cluster_server },
    { "kind", cluster_kind },
    { "switches", cluster_may_switch },
    { "requests", cluster_requests },
    { "replays", cluster_replays },
    { "refused_replays", cluster_refused_replays },
    { "waiting", cluster_waiting },
    { "refused_full", cluster_refused_full },
    { "sticky", cluster_sticky },
    { "stick", cluster_stick },
};

static json_t *model_cluster(const status_cluster_t *cluster)
{
    json_t *made = json_object();
    json_t *members = json_array();
    apr_size_t i;
    int k;

    for (i = 0; i < COUNT(cluster_fields); ++i) {
        json_object_set_new(made, cluster_fields[i].name, cluster_fields[i].make(cluster));
    }
    for (k = 0; k < cluster->members->nelts; ++k) {
        json_array_append_new(members, model_member(APR_ARRAY_IDX(cluster->members, k,
                                                                  status_member_t *)));
    }
    json_object_set_new(made, "members", members);
    return made;
}

json_t *status_model_of(const status_view_t *view, request_rec *r, const char *token)
{
    json_t *made = json_object();
    json_t *clusters = json_array();
    int i;

    for (i = 0; i < view->clusters->nelts; ++i) {
        json_array_append_new(clusters, model_cluster(APR_ARRAY_IDX(view->clusters, i,
                                                                    status_cluster_t *)));
    }
    json_object_set_new(made, "server",
                        json_string(status_view_text(r->pool, ap_get_server_name(r), 256)));
    json_object_set_new(made, "time", model_time(view->utc));
    json_object_set_new(made, "clusters", clusters);
    json_object_set_new(made, "token", token ? json_string(token) : json_null());
    return made;
}
