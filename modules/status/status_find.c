/* Which cluster and which member of it a change is meant for. */
#include "status_private.h"

/* "www.example.com:443 10.0.0.1:443", as a whole, without the addresses, or the name alone */
static int find_is_server(const status_cluster_t *cluster, const char *text)
{
    apr_size_t len = strlen(text);

    return !strcmp(cluster->server, text)
           || (len && !strncmp(cluster->server, text, len)
               && (cluster->server[len] == ' ' || cluster->server[len] == ':'));
}

int status_find_is_name(const status_cluster_t *cluster, const char *text)
{
    static const char prefix[] = "balancer://";
    const char *name = cluster->name;
    const char *at = strchr(text, '@');
    apr_size_t len = at ? (apr_size_t)(at - text) : strlen(text);

    if (!strncmp(name, prefix, sizeof(prefix) - 1) && strncmp(text, prefix, sizeof(prefix) - 1)) {
        name += sizeof(prefix) - 1;
    }
    return !ap_cstr_casecmpn(name, text, len) && !name[len]
           && (!at || find_is_server(cluster, at + 1));
}

static const status_cluster_t *find_cluster(const status_view_t *view, const char *text,
                                            status_problem_t *problem)
{
    const status_cluster_t *found = NULL;
    int i, count = 0;

    for (i = 0; i < view->clusters->nelts; ++i) {
        const status_cluster_t *cluster = APR_ARRAY_IDX(view->clusters, i, status_cluster_t *);

        if (!strcmp(cluster->id, text)) {
            return cluster;
        }
        if (status_find_is_name(cluster, text)) {
            found = cluster;
            ++count;
        }
    }
    if (count > 1) {
        *problem = (status_problem_t) { HTTP_CONFLICT, "ambiguous_cluster",
            "several virtual hosts have a cluster of this name: give its id, or name@server" };
        return NULL;
    }
    if (!found) {
        *problem = (status_problem_t) { HTTP_NOT_FOUND, "unknown_cluster",
                                        "there is no such cluster" };
    }
    return found;
}

static status_member_t *find_member(const status_cluster_t *cluster, const char *text,
                                    status_problem_t *problem)
{
    status_member_t *found = NULL;
    int i, count = 0;

    for (i = 0; i < cluster->members->nelts; ++i) {
        status_member_t *member = APR_ARRAY_IDX(cluster->members, i, status_member_t *);

        if (!strcmp(member->id, text)) {
            return member;
        }
        if (*text && (!strcmp(member->url, text) || !strcmp(member->route, text))) {
            found = member;
            ++count;
        }
    }
    if (count > 1) {
        *problem = (status_problem_t) { HTTP_CONFLICT, "ambiguous_member",
            "several members have this route: give the URL or the id of one" };
        return NULL;
    }
    if (!found) {
        *problem = (status_problem_t) { HTTP_NOT_FOUND, "unknown_member",
                                        "the cluster has no such member" };
    }
    return found;
}

status_member_t *status_find_member(const status_view_t *view, const status_form_t *form,
                                    status_problem_t *problem)
{
    const status_cluster_t *cluster;

    if (!form->cluster || !form->member) {
        *problem = (status_problem_t) { HTTP_UNPROCESSABLE_ENTITY, "missing_field",
            "the fields cluster, member and action are needed" };
        return NULL;
    }
    cluster = find_cluster(view, form->cluster, problem);
    if (cluster && !cluster->may_switch) {
        *problem = (status_problem_t) { HTTP_UNPROCESSABLE_ENTITY, "no_cluster",
            "only members of clusters (lbmethod=usher) can be switched: use balancer-manager" };
        return NULL;
    }
    return cluster ? find_member(cluster, form->member, problem) : NULL;
}
