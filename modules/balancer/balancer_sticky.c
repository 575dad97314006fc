/* Our cookie in a request: whether it holds, and which member it names. */
#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

/* So many cookies of our name are looked at: a client may have some of other paths or domains,
 * each costs a decryption. */
#define TRIES 4

static const char *const sticky_words[] = {
    "none", "expired", "forged", "valid", "down", "new", "refreshed", "moved"
};

void balancer_sticky_tell(balancer_request_t *request, request_rec *r, balancer_cookie_e state)
{
    request->cookie.state = state;
    if (state <= BALANCER_COOKIE_DOWN) {
        request->cookie.came = state;
    }
    apr_table_setn(r->subprocess_env, "USHER_COOKIE", sticky_words[state]);
}

static apr_uint32_t sticky_now(const request_rec *r)
{
    return (apr_uint32_t)apr_time_sec(r->request_time);
}

/* Clocks of two nodes may differ by the skew, in either direction. A cookie that is used is
 * sealed anew only now and then, and lives that much longer. */
static usher_sticky_e sticky_age(const balancer_sticky_t *sticky, const usher_token_t *token,
                                 apr_int64_t now)
{
    apr_int64_t idle = (apr_int64_t)sticky->idle + sticky->refresh;

    if (token->first_seen > now + sticky->skew || token->last_seen > now + sticky->skew) {
        return USHER_STICKY_EARLY;
    }
    if ((sticky->idle && now > token->last_seen + idle + sticky->skew)
        || (sticky->life && now > token->first_seen + (apr_int64_t)sticky->life + sticky->skew)) {
        return USHER_STICKY_EXPIRED;
    }
    return USHER_STICKY_VALID;
}

/* One cookie of our name. */
static usher_sticky_e sticky_open(balancer_request_t *request, const request_rec *r,
                                  const usher_span_t *value)
{
    const balancer_sticky_t *sticky = request->cluster->sticky;
    const usher_keys_t *keys = balancer_keys(request->cluster);
    usher_token_t *token = &request->cookie.token;

    if (!keys) {
        return USHER_STICKY_UNKNOWN_KEY;
    }
    switch (usher_token_cache_open(balancer_keys_cache(request->cluster), token, keys, sticky->aad,
                                   sizeof(sticky->aad), value->text, value->len)) {
    case USHER_TOKEN_OK:
        request->cookie.old_key =
            keys->count > 1 && !usher_token_is_current(value->text, value->len, keys);
        return sticky_age(sticky, token, sticky_now(r));
    case USHER_TOKEN_MALFORMED:
        return USHER_STICKY_MALFORMED;
    case USHER_TOKEN_UNKNOWN_KEY:
        return USHER_STICKY_UNKNOWN_KEY;
    default:
        return USHER_STICKY_FORGED;
    }
}

/* The backend does not see it. */
static void sticky_hide(const balancer_sticky_t *sticky, request_rec *r, const char *field,
                        apr_size_t len)
{
    char *rest = apr_palloc(r->pool, len + 1);
    apr_size_t left = usher_cookie_without(rest, field, len, sticky->conf->name,
                                           sticky->name_len);

    rest[left] = '\0';
    if (left) {
        apr_table_setn(r->headers_in, "Cookie", rest);
    }
    else {
        apr_table_unset(r->headers_in, "Cookie");
    }
}

/* Whether a cookie is all of the field, as it mostly is. */
static int sticky_is_all(const balancer_sticky_t *sticky, const usher_span_t *value,
                         const char *field, apr_size_t len)
{
    return value->text == field + sticky->name_len + 1 && value->text + value->len == field + len;
}

/* The first one that holds counts. */
static void sticky_look(balancer_request_t *request, request_rec *r, const char *field,
                        apr_size_t len)
{
    const balancer_sticky_t *sticky = request->cluster->sticky;
    balancer_cookie_t *cookie = &request->cookie;
    apr_size_t at = 0;
    usher_span_t value;
    int found = 0;

    while (!cookie->opened && found < TRIES
           && usher_cookie_next(&value, &at, field, len, sticky->conf->name, sticky->name_len)) {
        usher_sticky_e what = sticky_open(request, r, &value);

        usher_sticky_count(&request->cluster->rec->sticky, what);
        cookie->opened = what == USHER_STICKY_VALID;
        if (cookie->opened) {
            cookie->state = BALANCER_COOKIE_VALID;
        }
        else if (!found) {
            cookie->state = what == USHER_STICKY_EXPIRED ? BALANCER_COOKIE_EXPIRED
                                                         : BALANCER_COOKIE_FORGED;
        }
        ++found;
    }
    if (!found || !sticky->conf->indirect) {
        return;
    }
    if (found == 1 && sticky_is_all(sticky, &value, field, len)) {
        apr_table_unset(r->headers_in, "Cookie");
    }
    else {
        sticky_hide(sticky, r, field, len);
    }
}

/* An error page or another place where httpd goes on with a request: the cookie that it came with
 * may be hidden already. */
static void sticky_inherit(balancer_request_t *request, const request_rec *r)
{
    const request_rec *from;

    for (from = r->prev ? r->prev : r->main; from; from = from->prev ? from->prev : from->main) {
        const balancer_request_t *before =
            ap_get_module_config(from->request_config, &usher_balancer_module);

        if (before && before->cluster == request->cluster && before->cookie.opened) {
            request->cookie.token = before->cookie.token;
            request->cookie.opened = 1;
            request->cookie.state = BALANCER_COOKIE_VALID;
            return;
        }
    }
}

void balancer_sticky_read(balancer_request_t *request, request_rec *r)
{
    const char *field = apr_table_get(r->headers_in, "Cookie");

    request->cookie.answered = -1;
    if (field) {
        sticky_look(request, r, field, strlen(field));
    }
    if (!request->cookie.opened && (r->prev || r->main)) {
        sticky_inherit(request, r);
    }
    balancer_sticky_tell(request, r, request->cookie.state);
}

int balancer_sticky_member(balancer_request_t *request, request_rec *r,
                           const balancer_choice_t *choice)
{
    balancer_cookie_t *cookie = &request->cookie;
    int own = balancer_clusters_by_id(choice->members, cookie->token.member);
    int i = own < 0 ? -1 : balancer_session_serves(choice, own);

    if (i >= 0) {
        return i;
    }
    cookie->stays = own >= 0 && balancer_pick_is_passing(choice, own);
    if (cookie->state != BALANCER_COOKIE_DOWN) {
        usher_sticky_count(&request->cluster->rec->sticky, USHER_STICKY_DOWN);
        balancer_sticky_tell(request, r, BALANCER_COOKIE_DOWN);
    }
    if (own >= 0) {
        request->resting = balancer_session_rests(choice, own);
    }
    if (own < 0 || !request->balancer->s->sticky_force) {
        return -1;
    }
    i = balancer_session_rests(choice, own);
    if (i < 0) {
        request->held_by = choice->members->list[own].worker;
    }
    return i;
}

balancer_cookie_e balancer_sticky_due(const balancer_request_t *request, const request_rec *r,
                                      int i)
{
    const balancer_sticky_t *sticky = request->cluster->sticky;
    const usher_token_t *token = &request->cookie.token;

    if (r->status == HTTP_SWITCHING_PROTOCOLS
        || (sticky->conf->postonly && r->method_number != M_POST)) {
        return BALANCER_COOKIE_NONE;
    }
    if (!request->cookie.opened) {
        return BALANCER_COOKIE_NEW;
    }
    if (memcmp(token->member, request->members->list[i].id, USHER_ID_SIZE) != 0) {
        return request->cookie.stays ? BALANCER_COOKIE_NONE : BALANCER_COOKIE_MOVED;
    }
    return request->cookie.old_key
           || (sticky->refresh
               && sticky_now(r) >= (apr_int64_t)token->last_seen + sticky->refresh)
               ? BALANCER_COOKIE_REFRESHED : BALANCER_COOKIE_NONE;
}
