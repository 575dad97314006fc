/* Our cookie in an answer: put there when the answer begins its way to the client, for the member
 * that gave it. An answer that httpd makes itself gets none: httpd takes such filters out before it
 * makes one, and a redirect to an error page goes on without them. */
#include <mod_ssl.h>
#include <openssl/rand.h>

#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

#define FILTER_NAME "USHER_STICKY"

static ap_filter_rec_t *filter_rec;
static APR_OPTIONAL_FN_TYPE(ssl_is_https) *filter_is_https;

static int filter_is_secure(const balancer_sticky_t *sticky, request_rec *r)
{
    switch (sticky->conf->secure) {
    case BALANCER_SECURE_ON:
        return 1;
    case BALANCER_SECURE_OFF:
        return 0;
    default:
        return (filter_is_https && filter_is_https(r->connection))
               || !strcmp(ap_http_scheme(r), "https");
    }
}

/* @return NULL: it cannot be sealed */
static const char *filter_make(const balancer_request_t *request, request_rec *r, int i,
                               balancer_cookie_e state)
{
    const balancer_sticky_t *sticky = request->cluster->sticky;
    const usher_span_t *attributes = &sticky->attributes[filter_is_secure(sticky, r)];
    const usher_keys_t *keys = balancer_keys(request->cluster);
    usher_token_t token = request->cookie.token;
    char *text = apr_palloc(r->pool, sticky->name_len + 1 + USHER_TOKEN_SIZE + attributes->len + 1);
    char *to = text;

    memcpy(token.member, request->members->list[i].id, sizeof(token.member));
    token.last_seen = (apr_uint32_t)apr_time_sec(r->request_time);
    if (state != BALANCER_COOKIE_REFRESHED) {
        token.first_seen = token.last_seen;
    }
    if (!keys || (!request->cookie.opened
                  && RAND_bytes((unsigned char *)&token.session, sizeof(token.session)) != 1)) {
        return NULL;
    }
    memcpy(to, sticky->conf->name, sticky->name_len);
    to += sticky->name_len;
    *to++ = '=';
    if (usher_token_seal(to, &token, keys, sticky->aad, sizeof(sticky->aad)) != APR_SUCCESS) {
        return NULL;
    }
    to += USHER_TOKEN_SIZE;
    memcpy(to, attributes->text, attributes->len);
    to[attributes->len] = '\0';
    return text;
}

/* A search for cookies of our name among the application's. */
typedef struct {
    const balancer_sticky_t *sticky;
    apr_table_t *others; /* gets those of other names; or NULL */
    int found;
} filter_search_t;

static int filter_see(void *data, const char *key, const char *value)
{
    filter_search_t *search = data;

    if (usher_cookie_sets(value, strlen(value), search->sticky->conf->name,
                          search->sticky->name_len)) {
        search->found = 1;
    }
    else if (search->others) {
        apr_table_addn(search->others, key, value);
    }
    return 1;
}

/* Whether the application sets the cookie itself, and may. */
static int filter_is_preserved(const balancer_sticky_t *sticky, request_rec *r)
{
    filter_search_t search = { sticky, NULL, 0 };

    apr_table_do(filter_see, &search, r->headers_out, "Set-Cookie", NULL);
    if (!search.found || sticky->conf->preserve) {
        return search.found;
    }
    search.others = apr_table_make(r->pool, 4);
    apr_table_do(filter_see, &search, r->headers_out, "Set-Cookie", NULL);
    apr_table_unset(r->headers_out, "Set-Cookie");
    r->headers_out = apr_table_overlay(r->pool, r->headers_out, search.others);
    return 0;
}

/* No shared cache may keep what has one user's cookie. */
static void filter_keep_private(request_rec *r)
{
    const char *control = apr_table_get(r->headers_out, "Cache-Control");

    if (!ap_find_token(r->pool, control, "private")
        && !ap_find_token(r->pool, control, "no-store")) {
        apr_table_mergen(r->headers_out, "Cache-Control", "private");
    }
}

static void filter_set(balancer_request_t *request, request_rec *r, int i)
{
    static const usher_sticky_e counts[] = {
        [BALANCER_COOKIE_NEW] = USHER_STICKY_NEW,
        [BALANCER_COOKIE_REFRESHED] = USHER_STICKY_REFRESHED,
        [BALANCER_COOKIE_MOVED] = USHER_STICKY_MOVED,
    };
    const balancer_sticky_t *sticky = request->cluster->sticky;
    balancer_cookie_e state = balancer_sticky_due(request, r, i);
    const char *text;

    if (state == BALANCER_COOKIE_NONE) {
        return;
    }
    if (filter_is_preserved(sticky, r)) {
        request->cookie.set = BALANCER_COOKIE_VALID;
        return;
    }
    text = filter_make(request, r, i, state);
    if (!text) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(3031)
                      "%s: libcrypto cannot seal the cookie %s: the client gets none. Look at "
                      "OpenSSL's configuration on this machine", request->cluster->name,
                      sticky->conf->name);
        return;
    }
    apr_table_addn(r->headers_out, "Set-Cookie", text);
    request->cookie.set = state;
    if (sticky->conf->nocache) {
        filter_keep_private(r);
    }
    /* A refused cookie stays in the log as what it was. */
    if (state != BALANCER_COOKIE_NEW || request->cookie.state == BALANCER_COOKIE_NONE) {
        balancer_sticky_tell(request, r, state);
    }
    usher_sticky_count(&request->cluster->rec->sticky, counts[state]);
}

/* Who answers in the stock modules' hands; -1: nobody that we know. */
static int filter_answered(const balancer_request_t *request, const request_rec *r)
{
    const char *name = apr_table_get(r->subprocess_env, "BALANCER_WORKER_NAME");
    int i;

    for (i = 0; name && i < request->members->count; ++i) {
        if (!strcmp(request->members->list[i].worker->s->name_ex, name)) {
            return i;
        }
    }
    return -1;
}

static void filter_count(balancer_request_t *request, int i)
{
    if (i >= 0 && request->cookie.opened) {
        usher_sketch_add(&request->members->list[i].rec->sessions, request->cookie.token.session,
                         balancer_now(), request->cluster->sticky->window);
    }
}

static apr_status_t filter_run(ap_filter_t *f, apr_bucket_brigade *bb)
{
    balancer_request_t *request = f->ctx;
    request_rec *r = f->r;
    int i = request->cookie.answered;

    ap_remove_output_filter(f);
    if (request->cookie.watched) {
        i = filter_answered(request, r);
        filter_count(request, i);
    }
    if (i >= 0) {
        filter_set(request, r, i);
    }
    return ap_pass_brigade(f->next, bb);
}

static void filter_add(balancer_request_t *request, request_rec *r)
{
    if (!request->cookie.filtered) {
        request->cookie.filtered = 1;
        ap_add_output_filter_handle(filter_rec, request, r, r->connection);
    }
}

void balancer_sticky_answered(balancer_request_t *request, request_rec *r, int i)
{
    request->cookie.answered = i;
    filter_count(request, i);
    if (request->cookie.state == BALANCER_COOKIE_DOWN
        && !memcmp(request->cookie.token.member, request->members->list[i].id, USHER_ID_SIZE)) {
        balancer_sticky_tell(request, r, BALANCER_COOKIE_VALID); /* as the last resort */
    }
    if (balancer_sticky_due(request, r, i) != BALANCER_COOKIE_NONE) {
        filter_add(request, r);
    }
}

void balancer_sticky_watch(balancer_request_t *request, request_rec *r)
{
    request->cookie.watched = 1;
    filter_add(request, r);
}

void balancer_sticky_filter_register(void)
{
    /* Before mod_headers and all others that look at the answer's fields. */
    filter_rec = ap_register_output_filter(FILTER_NAME, filter_run, NULL, AP_FTYPE_CONTENT_SET - 1);
}

void balancer_sticky_filter_post_config(void)
{
    filter_is_https = APR_RETRIEVE_OPTIONAL_FN(ssl_is_https);
}
