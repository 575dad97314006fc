/* What mod_usher_register asks of members that sign themselves in: whether they may join, and
 * how they do. */
#include <apr_uri.h>

#include "balancer_private.h"

#define SCHEME_SIZE 16

/* All clusters, in an array that any thread may walk over. In pconf. */
static apr_array_header_t *clusters;

static void join_see(balancer_cluster_t *cluster)
{
    APR_ARRAY_PUSH(clusters, balancer_cluster_t *) = cluster;
}

int balancer_join_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                              server_rec *s)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        clusters = apr_array_make(pconf, 8, sizeof(balancer_cluster_t *));
        balancer_clusters_each(join_see);
    }
    return OK;
}

/* "app", or "app@" and the name of the server that defines it */
static int join_is_named(const balancer_cluster_t *cluster, const char *text)
{
    const char *name = cluster->name + sizeof(BALANCER_PREFIX) - 1;
    const char *at = ap_strchr_c(text, '@');
    apr_size_t len = at ? (apr_size_t)(at - text) : strlen(text);

    if (!cluster->joined_name || ap_cstr_casecmpn(name, text, len) || name[len]) {
        return 0;
    }
    return !at || (cluster->home->server_hostname
                   && !ap_cstr_casecmp(cluster->home->server_hostname, at + 1));
}

/* Of one name in the roster there may be several: the same virtual host at two ports. */
static usher_join_e join_find(const char *text, balancer_cluster_t **found)
{
    int i;

    *found = NULL;
    for (i = 0; clusters && i < clusters->nelts; ++i) {
        balancer_cluster_t *cluster = APR_ARRAY_IDX(clusters, i, balancer_cluster_t *);

        if (!join_is_named(cluster, text)) {
            continue;
        }
        if (*found && strcmp((*found)->joined_name, cluster->joined_name) != 0) {
            return USHER_JOIN_AMBIGUOUS;
        }
        *found = cluster;
    }
    return *found ? USHER_JOIN_OK : USHER_JOIN_NO_CLUSTER;
}

static int join_is_served(const balancer_cluster_t *cluster, const char *url)
{
    const char *end = ap_strstr_c(url, "://");
    char scheme[SCHEME_SIZE];

    if (!cluster->standin || !end || (apr_size_t)(end - url) >= sizeof(scheme)) {
        return 0;
    }
    apr_cpystrn(scheme, url, (apr_size_t)(end - url) + 1);
    return balancer_check_is_served(scheme)
           && (ap_ssl_has_outgoing_handlers()
               || (ap_cstr_casecmp(scheme, "https") && ap_cstr_casecmp(scheme, "wss")));
}

/* "http" and "ws" are one server at one port. */
static int join_is_same_scheme(const char *a, const char *b)
{
    int a_skip = !ap_cstr_casecmpn(a, "http", 4) ? 4 : !ap_cstr_casecmpn(a, "ws", 2) ? 2 : 0;
    int b_skip = !ap_cstr_casecmpn(b, "http", 4) ? 4 : !ap_cstr_casecmpn(b, "ws", 2) ? 2 : 0;

    return !a_skip == !b_skip && !ap_cstr_casecmp(a + a_skip, b + b_skip);
}

static int join_is_server(const proxy_worker *worker, const apr_uri_t *url)
{
    const proxy_worker_shared *s = worker->s;
    apr_port_t port = url->port ? url->port : ap_proxy_port_of_scheme(url->scheme);

    return url->scheme && url->hostname && !*s->uds_path && s->port == port
           && !ap_cstr_casecmp(s->hostname_ex, url->hostname)
           && join_is_same_scheme(s->scheme, url->scheme);
}

static usher_join_e join_compare(const balancer_members_t *members, const char *route,
                                 const apr_uri_t *url)
{
    usher_join_e join = USHER_JOIN_OK;
    int i;

    for (i = 0; i < members->count; ++i) {
        const balancer_member_t *member = &members->list[i];

        if (member->joined) {
            continue;
        }
        if (!strcmp(member->worker->s->route, route)) {
            return USHER_JOIN_ROUTE_TAKEN;
        }
        if (join_is_server(member->worker, url)) {
            join = USHER_JOIN_OWN_URL;
        }
    }
    return join;
}

/* In a child: those that balancer-manager added count as well. */
static usher_join_e join_look(balancer_cluster_t *cluster, const char *route, const char *url)
{
    const balancer_members_t *members;
    apr_uri_t uri = { 0 };
    usher_join_e join = USHER_JOIN_NO_SCHEME;
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    if (apr_uri_parse(pool, url, &uri) == APR_SUCCESS) {
        members = balancer_lists_hold(cluster, cluster->balancer, cluster->home, 0);
        join = join_compare(members, route, &uri);
        balancer_lists_drop(members);
    }
    apr_pool_destroy(pool);
    return join;
}

usher_join_e usher_balancer_may_join(const char *cluster, const char *route, const char *url,
                                     const char **canonical)
{
    balancer_cluster_t *found;
    usher_join_e join = join_find(cluster, &found);

    if (join != USHER_JOIN_OK) {
        return join;
    }
    *canonical = found->joined_name;
    if (!route || !url) {
        return USHER_JOIN_OK;
    }
    return join_is_served(found, url) ? join_look(found, route, url) : USHER_JOIN_NO_SCHEME;
}

static void join_tell(const balancer_cluster_t *cluster, const balancer_member_t *member,
                      usher_join_state_t *state)
{
    static const usher_health_params_t rest = USHER_PICKER_REST;
    usher_member_rec_t *rec = member->rec;
    apr_int64_t window = cluster->sticky ? cluster->sticky->window : 0, now = balancer_now();
    usher_health_told_t told;

    usher_health_tell(&rec->health, now, rest.within, &told);
    state->check = usher_check_is_down(&rec->check, now) ? USHER_CHECK_DOWN
                   : balancer_probe_is_awaited(member) ? USHER_CHECK_UNKNOWN : USHER_CHECK_UP;
    if (atomic_load(&rec->check.last_at)) {
        usher_check_reason(state->reason, atomic_load(&rec->check.result),
                           atomic_load(&rec->check.took));
    }
    state->rests = told.is != USHER_HEALTH_IS_UP && told.is != USHER_HEALTH_IS_SLOW;
    state->in_flight = atomic_load(&rec->in_flight);
    state->sessions = window > 0
        ? (apr_uint32_t)usher_sketch_count(&rec->sessions, now, window) : 0;
    state->elected = atomic_load(&rec->elected);
}

int usher_balancer_join_state(const usher_roster_entry_t *entry, usher_join_state_t *state)
{
    const balancer_members_t *members;
    balancer_cluster_t *cluster;
    int i;

    memset(state, 0, sizeof(*state));
    if (join_find(entry->cluster, &cluster) != USHER_JOIN_OK) {
        return 0;
    }
    members = balancer_lists_hold(cluster, cluster->balancer, cluster->home, 0);
    i = balancer_clusters_by_id(members, entry->id);
    if (i >= 0 && members->list[i].joined
        && members->list[i].joined->generation == entry->generation) {
        join_tell(cluster, &members->list[i], state);
    }
    balancer_lists_drop(members);
    return 1;
}
