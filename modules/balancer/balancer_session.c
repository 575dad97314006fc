/* Sessions that stay with their member: stickysession= as mod_proxy_balancer
 * has it. The session's route is what follows the first separator in the value
 * of a parameter of the URL or of a cookie. */
#include <apr_lib.h>

#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

/* The value up to the first of the delimiters; NULL where it is empty. */
static char *session_value(apr_pool_t *p, const char *from, const char *delimiters)
{
    apr_size_t len = strcspn(from, delimiters);

    return len ? apr_pstrmemdup(p, from, len) : NULL;
}

/* name=value anywhere in the URL. */
static char *session_in_url(apr_pool_t *p, const char *url, const char *name, int semicolon)
{
    apr_size_t len = strlen(name);
    const char *at;

    for (at = url; len && (at = ap_strstr_c(at, name)) != NULL; ++at) {
        if (at[len] == '=' && at[len + 1]) {
            return session_value(p, at + len + 1, semicolon ? ";?&" : "?&");
        }
    }
    return NULL;
}

/* A cookie of that name, blanks allowed before its '='. */
static char *session_in_cookie(request_rec *r, const char *name)
{
    const char *cookies = apr_table_get(r->headers_in, "Cookie");
    const char *at;

    for (at = cookies; at && *name && (at = ap_strstr_c(at, name)) != NULL; ++at) {
        const char *value = at + strlen(name);

        if (at != cookies && at[-1] != ';' && at[-1] != ',' && !apr_isspace(at[-1])) {
            continue;
        }
        while (apr_isspace(*value)) {
            ++value;
        }
        if (*value == '=' && value[1]) {
            return session_value(r->pool, value + 1, ";,");
        }
    }
    return NULL;
}

void balancer_session_read(balancer_session_t *session, const proxy_balancer *b, request_rec *r,
                           const char *url)
{
    const char *value;

    session->route = session->name = NULL;
    if (!*b->s->sticky) {
        return;
    }
    /* Whether the URL has its query here depends on httpd's release. */
    if (r->args && !ap_strchr_c(url, '?')) {
        url = apr_pstrcat(r->pool, url, "?", r->args, NULL);
    }
    session->name = b->s->sticky_path;
    value = session_in_url(r->pool, url, b->s->sticky_path, b->s->scolonsep);
    if (!value) {
        session->name = b->s->sticky;
        value = session_in_cookie(r, b->s->sticky);
    }
    if (value && b->s->sticky_separator) {
        value = ap_strchr_c(value, b->s->sticky_separator);
        value = value ? value + 1 : NULL;
    }
    session->route = value;
}

/* Usable at once, or due and claimed. */
static int session_may_use(const balancer_choice_t *choice, int i)
{
    balancer_standing_e standing = balancer_pick_standing(choice, i, NULL);

    return standing == BALANCER_STANDING_USABLE
           || (standing == BALANCER_STANDING_DUE && balancer_pick_try(choice, i));
}

/* A member with this route that may be used; -1: none, and *redirect gets the
 * route that the first of them redirects to, or "". */
static int session_find(const balancer_choice_t *choice, const char *route, const char **redirect)
{
    int standbys, i;

    *redirect = "";
    for (standbys = 0; standbys <= 1; ++standbys) {
        for (i = balancer_clusters_by_route(choice->members, route, 0); i >= 0;
             i = balancer_clusters_by_route(choice->members, route, i + 1)) {
            const proxy_worker *worker = choice->members->list[i].worker;

            if (!PROXY_WORKER_IS_STANDBY(worker) != !standbys) {
                continue;
            }
            if (session_may_use(choice, i)) {
                return i;
            }
            if (!**redirect) {
                *redirect = worker->s->redirect;
            }
        }
    }
    return -1;
}

/* The member of a session, or the one that its member redirects to; -1: there is none that
 * can be used. Redirects may form a ring: no more steps than members. */
static int session_member(const balancer_choice_t *choice, const char *route)
{
    int step, i = -1;

    for (step = 0; i < 0 && *route && step < choice->members->count; ++step) {
        i = session_find(choice, route, &route);
    }
    return i;
}

/* With nofailover= a session's member that rests is better than none. */
static int session_resting_member(const balancer_choice_t *choice, const char *route)
{
    int i;

    for (i = balancer_clusters_by_route(choice->members, route, 0); i >= 0;
         i = balancer_clusters_by_route(choice->members, route, i + 1)) {
        if (balancer_pick_standing(choice, i, NULL) != BALANCER_STANDING_OFF) {
            return i;
        }
    }
    return BALANCER_SESSION_NOBODY;
}

int balancer_session_serves(const balancer_choice_t *choice, int own)
{
    const proxy_worker *worker = choice->members->list[own].worker;

    /* A standby serves only where no other one of its route can. */
    if (!PROXY_WORKER_IS_STANDBY(worker) && session_may_use(choice, own)) {
        return own;
    }
    return *worker->s->route ? session_member(choice, worker->s->route)
           : session_may_use(choice, own) ? own : -1;
}

int balancer_session_rests(const balancer_choice_t *choice, int own)
{
    const proxy_worker *worker = choice->members->list[own].worker;

    return *worker->s->route ? session_resting_member(choice, worker->s->route)
           : balancer_pick_standing(choice, own, NULL) != BALANCER_STANDING_OFF
               ? own : BALANCER_SESSION_NOBODY;
}

/* By the application's route. */
static int session_by_route(balancer_request_t *request, request_rec *r,
                            const balancer_choice_t *choice)
{
    balancer_session_t *session = &request->session;
    int i;

    if (!request->followed && request->cluster->conf->sticky.follow.cookie) {
        const char *name, *route = balancer_follow_route(request, r, &name);

        if (route) {
            session->route = route;
            session->name = name;
        }
        request->followed = 1;
    }
    if (!session->route) {
        return -1;
    }
    i = session_member(choice, session->route);
    if (i < 0 && request->resting < 0) {
        request->resting = session_resting_member(choice, session->route);
    }
    return i < 0 && request->balancer->s->sticky_force
           && balancer_clusters_by_route(request->members, session->route, 0) >= 0
               ? session_resting_member(choice, session->route) : i;
}

int balancer_session_choose(balancer_request_t *request, request_rec *r,
                            const balancer_choice_t *choice)
{
    int i = -1;

    request->cookie.answered = -1;
    if (request->cookie.opened) {
        i = balancer_sticky_member(request, r, choice);
    }
    return i == -1 ? session_by_route(request, r, choice) : i;
}

int balancer_session_choose_stock(const balancer_cluster_t *cluster, request_rec *r,
                                  const balancer_choice_t *choice)
{
    balancer_request_t *request = ap_get_module_config(r->request_config, &usher_balancer_module);
    int i;

    if (!request || request->cluster != cluster) {
        return -1;
    }
    balancer_lists_change(&request->members, choice->members);
    request->held_by = NULL; /* it may have been of the list before */
    balancer_pick_begin(choice);
    i = balancer_session_choose(request, r, choice);
    if (i >= 0) {
        balancer_pick_took(choice, i);
    }
    else if (request->held_by) {
        balancer_session_log_held(request, r);
    }
    return i;
}

void balancer_session_log_held(const balancer_request_t *request, request_rec *r)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(3030)
                  "%s: 503, as %s, which this session belongs to, cannot serve, and nofailover= "
                  "lets no other do so. Bring that member back, or take nofailover off",
                  request->cluster->name, request->held_by->s->name_ex);
}

void balancer_session_answered(balancer_request_t *request, request_rec *r, int i)
{
    if (request->cluster->sticky) {
        balancer_sticky_answered(request, r, i);
    }
}

void balancer_session_tell_changed(const balancer_request_t *request, request_rec *r, int i)
{
    const char *route = request->session.route;

    if ((route || *request->balancer->s->sticky)
        && (!route || strcmp(route, request->members->list[i].worker->s->route) != 0)) {
        apr_table_setn(r->subprocess_env, "BALANCER_ROUTE_CHANGED", "1");
    }
}
