/* Sessions that stay with their member: stickysession= as mod_proxy_balancer
 * has it. The session's route is what follows the first separator in the value
 * of a parameter of the URL or of a cookie. */
#include <apr_lib.h>

#include "balancer_private.h"

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
        for (i = 0; i < choice->members->count; ++i) {
            const proxy_worker *worker = choice->members->list[i].worker;

            if (!PROXY_WORKER_IS_STANDBY(worker) != !standbys || strcmp(worker->s->route, route)) {
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

/* Redirects may form a ring: no more steps than members. */
int balancer_session_member(const balancer_choice_t *choice, const char *route)
{
    int step, i = -1;

    for (step = 0; i < 0 && *route && step < choice->members->count; ++step) {
        i = session_find(choice, route, &route);
    }
    return i;
}

int balancer_session_is_ours(const balancer_members_t *members, const char *route)
{
    int i;

    for (i = 0; i < members->count; ++i) {
        const proxy_worker *worker = members->list[i].worker;

        if (*worker->s->route && !strcmp(worker->s->route, route)) {
            return 1;
        }
    }
    return 0;
}
