/* A request to a cluster begins: mod_proxy gets the stand-in, and so calls a
 * handler without choosing, locking, blaming or repeating anything itself. */
#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

/* mod_proxy's since 2.4.6x, and in no installed header. Where it has none, a
 * URL is made canonical before a balancer chooses, not after. */
int ap_proxy_canon_url(request_rec *r) __attribute__((weak));

static APR_OPTIONAL_FN_TYPE(usher_backend_serves) *request_serves;
static APR_OPTIONAL_FN_TYPE(usher_backend_is_canonical) *request_is_canonical;
static int has_stock; /* mod_proxy_balancer */

int balancer_request_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                 server_rec *s)
{
    request_serves = APR_RETRIEVE_OPTIONAL_FN(usher_backend_serves);
    request_is_canonical = APR_RETRIEVE_OPTIONAL_FN(usher_backend_is_canonical);
    balancer_sticky_filter_post_config();
    balancer_queue_post_config();
    has_stock = ap_find_linked_module(BALANCER_STOCK) != NULL;
    return OK;
}

static apr_status_t request_end(void *data)
{
    balancer_lists_drop(((balancer_request_t *)data)->members);
    return APR_SUCCESS;
}

/* Read what the request says of its session. */
static balancer_request_t *request_begin(balancer_cluster_t *cluster, proxy_balancer *b,
                                         request_rec *r, const char *url)
{
    balancer_request_t *request = apr_pcalloc(r->pool, sizeof(*request));

    request->cluster = cluster;
    request->seat.member = -1;
    request->balancer = b;
    request->path = ap_strchr_c(url + sizeof(BALANCER_PREFIX) - 1, '/');
    request->members = balancer_lists_hold(cluster, b, r->server, 0);
    apr_pool_cleanup_register(r->pool, request, request_end, apr_pool_cleanup_null);
    if (cluster->sticky) {
        balancer_sticky_read(request, r);
    }
    ap_set_module_config(r->request_config, &usher_balancer_module, request);
    return request;
}

/* For the stock modules. Where there are none mod_proxy would answer 500. */
static int request_leave(balancer_cluster_t *cluster, proxy_balancer *b, request_rec *r,
                         const char *url)
{
    if (has_stock) {
        if (cluster->sticky) {
            balancer_sticky_watch(request_begin(cluster, b, r, url), r);
        }
        else if (cluster->conf->sticky.follow.cookie) {
            request_begin(cluster, b, r, url);
        }
        return DECLINED;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(3013)
                  "%s: no module carries this request: mod_usher_backend %s, and "
                  "mod_proxy_balancer is not loaded. %sload mod_proxy_balancer and mod_proxy_http",
                  cluster->name, cluster->standin ? "is told not to (UsherBackend Off)"
                                                  : "does not serve this cluster",
                  cluster->standin ? "Remove that line, or " : "See what the log says of the "
                                                               "last restart, or ");
    return HTTP_SERVICE_UNAVAILABLE;
}

/* As ap_proxy_get_balancer() finds it, by its name as it stands: that one makes a lower
 * copy of the URL and two hashes of it. */
static proxy_balancer *request_balancer(request_rec *r, proxy_server_conf *conf, const char *url)
{
    proxy_balancer *b = (proxy_balancer *)conf->balancers->elts;
    proxy_balancer *end = b + conf->balancers->nelts;

    for (; b < end; ++b) {
        apr_size_t len = strlen(b->s->name);

        if (!strncmp(url, b->s->name, len) && (url[len] == '/' || !url[len]) && !b->s->inactive) {
            return b;
        }
    }
    return ap_proxy_get_balancer(r->pool, conf, url, 1);
}

int balancer_request_pre_request(proxy_worker **worker, proxy_balancer **balancer, request_rec *r,
                                 proxy_server_conf *conf, char **url)
{
    balancer_request_t *request;
    balancer_cluster_t *cluster;
    proxy_balancer *b;

    /* With a balancer set it is the stock modules' next attempt. */
    if (*balancer || ap_cstr_casecmpn(*url, BALANCER_PREFIX, sizeof(BALANCER_PREFIX) - 1)) {
        return DECLINED;
    }
    b = request_balancer(r, conf, *url);
    cluster = b ? balancer_clusters_find(b) : NULL;
    if (!cluster) {
        return DECLINED;
    }
    if (!cluster->standin || (request_serves && !request_serves(r))) {
        return request_leave(cluster, b, r, *url);
    }
    request = request_begin(cluster, b, r, *url);
    request->tried = apr_pcalloc(r->pool, (apr_size_t)request->members->count + 1);
    balancer_session_read(&request->session, b, r, *url);
    balancer_picker_init(request);
    *worker = cluster->standin;
    return OK;
}

/* A name in lower case and a path without control characters: nothing is to be changed. */
static int request_is_plain(const char *url)
{
    const char *at = url + sizeof(BALANCER_PREFIX) - 1;

    if (strncmp(url, BALANCER_PREFIX, sizeof(BALANCER_PREFIX) - 1)) {
        return 0;
    }
    while ((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || *at == '-') {
        ++at;
    }
    if (*at != '/' || at[-1] == '/') {
        return 0;
    }
    while ((unsigned char)*at >= 0x20 && *at != 0x7f) {
        ++at;
    }
    return !*at;
}

/* Without mod_proxy_balancer nobody else knows balancer: URLs, and a path that
 * nobody has looked at would go out as it is, line ends and all. Which of its
 * characters are encoded is the matter of the member's own scheme, where mod_proxy
 * asks that later. */
int balancer_request_canon(request_rec *r, char *url)
{
    const unsigned char *at;
    const char *why;
    apr_port_t port = 0;
    char *host;

    if (ap_cstr_casecmpn(url, "balancer:", 9)) {
        return DECLINED;
    }
    if (ap_proxy_canon_url && request_is_plain(url)) {
        return OK;
    }
    url += 9;
    why = ap_proxy_canon_netloc(r->pool, &url, NULL, NULL, &host, &port);
    for (at = (const unsigned char *)url; !why && *at; ++at) {
        if (*at < 0x20 || *at == 0x7f) {
            why = "there are control characters in its path";
        }
    }
    if (why) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(3005)
                      "a URL of a cluster is refused: %s. If the client may ask for it, look "
                      "at the RewriteRule or ProxyPass that made it", why);
        return HTTP_BAD_REQUEST;
    }
    if (!ap_proxy_canon_url && !apr_table_get(r->notes, "proxy-nocanon")) {
        url = ap_proxy_canonenc(r->pool, url, (int)strlen(url), enc_path, 0, r->proxyreq);
        if (!url) {
            return HTTP_BAD_REQUEST;
        }
    }
    r->filename = apr_pstrcat(r->pool, "proxy:" BALANCER_PREFIX, host, "/", url, NULL);
    return OK;
}

/* Most URLs are canonical once the query is there. Others are left as they are. */
static int request_make_plain(request_rec *r, const balancer_member_t *member)
{
    if (!ap_proxy_canon_url || !request_is_canonical
        || !request_is_canonical(r, r->filename + strlen("proxy:"), member->server_len)
        || (r->args && *ap_scan_vchar_obstext(r->args))) {
        return 0;
    }
    if (r->args) {
        r->filename = apr_pstrcat(r->pool, r->filename, "?", r->args, NULL);
    }
    return 1;
}

int balancer_request_url(const balancer_request_t *request, request_rec *r,
                         const balancer_member_t *member, const char **url)
{
    int rc;

    r->filename = apr_pstrcat(r->pool, "proxy:", member->worker->s->name_ex,
                              request->path ? request->path : "/", NULL);
    if (request_make_plain(r, member)) {
        *url = r->filename + strlen("proxy:");
        return OK;
    }
    rc = ap_proxy_canon_url ? ap_proxy_canon_url(r) : OK;
    if (rc == DECLINED) {
        /* The path must not go out as it is. */
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(3011)
                      "%s: no module knows how a URL of %s has to look; the request is "
                      "refused. Please report this with the list of loaded modules",
                      request->cluster->name, member->worker->s->name_ex);
        rc = HTTP_SERVICE_UNAVAILABLE;
    }
    *url = r->filename + strlen("proxy:");
    return rc;
}
