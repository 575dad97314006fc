/* The application's own session, whose id ends with its member's route (jvmRoute): in its
 * cookie, else in the URL. Only a route that some member has counts. */
#include "balancer_private.h"

/* The route of a session's id. @return NULL: no member has it */
static const char *follow_known(const balancer_request_t *request, const usher_span_t *session)
{
    const balancer_members_t *members = request->members;
    char route[PROXY_WORKER_MAX_ROUTE_SIZE + 1];
    usher_span_t span;
    int i;

    if (!usher_cookie_route(&span, session, request->cluster->conf->sticky.follow.separator)
        || span.len >= sizeof(route)) {
        return NULL;
    }
    memcpy(route, span.text, span.len);
    route[span.len] = '\0';
    i = balancer_clusters_by_route(members, route, 0);
    return i < 0 ? NULL : members->list[i].worker->s->route;
}

/* The first cookie with a route that is known. */
static const char *follow_cookie(const balancer_request_t *request, request_rec *r)
{
    const char *field = apr_table_get(r->headers_in, "Cookie");
    const char *name = request->cluster->conf->sticky.follow.cookie, *route = NULL;
    apr_size_t len = field ? strlen(field) : 0, name_len = strlen(name), at = 0;
    usher_span_t value;

    while (!route && len && usher_cookie_next(&value, &at, field, len, name, name_len)) {
        route = follow_known(request, &value);
    }
    return route;
}

/* Whether the path has its query, depends on httpd's release. */
static const char *follow_url(const balancer_request_t *request, request_rec *r)
{
    const char *name = request->cluster->conf->sticky.follow.url;
    apr_size_t name_len = strlen(name);
    usher_span_t value;

    if (request->path && usher_cookie_in_path(&value, request->path, strlen(request->path), name,
                                              name_len)) {
        const char *route = follow_known(request, &value);

        if (route) {
            return route;
        }
    }
    return r->args && usher_cookie_in_query(&value, r->args, strlen(r->args), name, name_len)
               ? follow_known(request, &value) : NULL;
}

const char *balancer_follow_route(const balancer_request_t *request, request_rec *r,
                                  const char **name)
{
    const balancer_follow_conf_t *conf = &request->cluster->conf->sticky.follow;
    const char *route;

    if (!*conf->cookie) {
        return NULL;
    }
    *name = conf->cookie;
    route = follow_cookie(request, r);
    if (!route && conf->url) {
        *name = conf->url;
        route = follow_url(request, r);
    }
    return route ? apr_pstrdup(r->pool, route) : NULL;
}
