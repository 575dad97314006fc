/* What the access log is told of a request to a cluster (usher_facts.h). */
#include "balancer_private.h"
#include "usher_facts.h"

APLOG_USE_MODULE(usher_balancer);

/* Whether the route that a request came with is that of the member which got it; where it is
 * not, whether it is any member's. */
static char facts_route(const balancer_request_t *request)
{
    const char *route = request->session.route;

    if (request->seat.member >= 0
        && !strcmp(request->members->list[request->seat.member].worker->s->route, route)) {
        return 'V';
    }
    return *route && balancer_clusters_by_route(request->members, route, 0) >= 0 ? 'D' : 'I';
}

static char facts_session(const balancer_request_t *request)
{
    static const char letters[] = {
        [BALANCER_COOKIE_NONE] = 'N',    [BALANCER_COOKIE_EXPIRED] = 'E',
        [BALANCER_COOKIE_FORGED] = 'I',  [BALANCER_COOKIE_VALID] = 'V',
        [BALANCER_COOKIE_DOWN] = 'D',
    };
    const balancer_cluster_t *cluster = request->cluster;

    if (cluster->sticky && request->cookie.came != BALANCER_COOKIE_NONE) {
        return letters[request->cookie.came];
    }
    if (request->session.route) {
        return facts_route(request);
    }
    if (balancer_stick_was_found(request)) {
        return 'V';
    }
    return cluster->sticky || cluster->stick || cluster->conf->sticky.follow.cookie
           || *request->balancer->s->sticky ? 'N' : '-';
}

static int facts_see_cookie(void *data, const char *key, const char *text)
{
    const char *name = data;

    return !usher_cookie_sets(text, strlen(text), name, strlen(name));
}

/* Whether the answer sets the application's cookie of the session. */
static int facts_is_set(const request_rec *r, const char *name)
{
    return !apr_table_do(facts_see_cookie, (void *)name, r->headers_out, "Set-Cookie", NULL);
}

static char facts_cookie(const balancer_request_t *request, const request_rec *r)
{
    const char *name = request->balancer->s->sticky;

    if (request->cluster->sticky) {
        switch (request->cookie.set) {
        case BALANCER_COOKIE_NEW:
        case BALANCER_COOKIE_MOVED:
            return 'I';
        case BALANCER_COOKIE_REFRESHED:
            return 'U';
        case BALANCER_COOKIE_VALID:
            return 'P';
        default:
            return 'N';
        }
    }
    if (!*name) {
        name = request->cluster->conf->sticky.follow.cookie;
    }
    if (!name || !*name) {
        return '-';
    }
    return facts_is_set(r, name) ? 'P' : 'N';
}

int usher_balancer_facts(request_rec *r, usher_balancer_facts_t *facts)
{
    const balancer_request_t *request = ap_get_module_config(r->request_config,
                                                             &usher_balancer_module);
    const proxy_worker *worker;

    if (!request) {
        return 0;
    }
    memset(facts, 0, sizeof(*facts));
    facts->cluster = request->cluster->name + sizeof(BALANCER_PREFIX) - 1;
    if (request->seat.member >= 0) {
        worker = request->members->list[request->seat.member].worker;
        facts->member = *worker->s->route ? worker->s->route : worker->s->name_ex;
    }
    facts->queued = request->queue.waited;
    facts->queue_len = request->queue.before;
    facts->session = facts_session(request);
    facts->cookie = facts_cookie(request, r);
    facts->cluster_in_flight = request->seat.cluster_in_flight;
    facts->member_in_flight = request->seat.member_in_flight;
    return 1;
}
