/* The URL as it may be sent: our own canon handler, for when mod_proxy_http
 * and its like are not loaded, and the same as theirs. A path that was decoded is encoded again; a
 * control character or blank must never reach a backend, where it would end
 * the request line. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* The path as it goes on, NULL: it cannot. *query is what follows it. */
static const char *canon_path(request_rec *r, char *path, const char **query)
{
    core_dir_config *core = ap_get_core_module_config(r->per_dir_config);

    *query = NULL;
    /* A forward proxy must not touch what the client wrote. */
    if (r->proxyreq == PROXYREQ_PROXY || apr_table_get(r->notes, "proxy-nocanon")) {
        return path;
    }
    *query = r->args;
    if (apr_table_get(r->notes, "proxy-noencode")) {
        return path;
    }
#ifdef PROXY_CANONENC_NOENCODEDSLASHENCODING
    return ap_proxy_canonenc_ex(r->pool, path, (int)strlen(path), enc_path,
                                core->allow_encoded_slashes && !core->decode_encoded_slashes
                                    ? PROXY_CANONENC_NOENCODEDSLASHENCODING : 0,
                                r->proxyreq);
#else
    (void)core;
    return ap_proxy_canonenc(r->pool, path, (int)strlen(path), enc_path, 0, r->proxyreq);
#endif
}

int backend_canon(request_rec *r, char *url)
{
    const char *error, *path, *query, *port_text = "", *colon = ap_strchr_c(url, ':');
    const backend_scheme_t *scheme =
        colon ? backend_scheme_named(url, (apr_size_t)(colon - url)) : NULL;
    apr_port_t port;
    char *host, *rest;

    if (!scheme || !backend_conf_is_on(r)) {
        return DECLINED;
    }
    port = scheme->port;
    rest = url + strlen(scheme->name) + 1;
    error = ap_proxy_canon_netloc(r->pool, &rest, NULL, NULL, &host, &port);
    if (error) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(2001)
                      "the URL %s of a backend cannot be understood: %s. Look at "
                      "ProxyPass, BalancerMember or RewriteRule", url, error);
        return HTTP_BAD_REQUEST;
    }
    path = canon_path(r, rest, &query);
    if (!path) {
        return HTTP_BAD_REQUEST;
    }
    if (*ap_scan_vchar_obstext(path) || (query && *ap_scan_vchar_obstext(query))) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(2002)
                      "refused: the path or query for the backend has blanks or "
                      "control characters in it. With nocanon or RewriteRule, "
                      "have it encoded");
        return HTTP_FORBIDDEN;
    }
    if (port != scheme->port) {
        port_text = apr_psprintf(r->pool, ":%d", port);
    }
    if (ap_strchr_c(host, ':')) {
        host = apr_pstrcat(r->pool, "[", host, "]", NULL); /* IPv6 */
    }
    r->filename = apr_pstrcat(r->pool, "proxy:", scheme->name, "://", host, port_text, "/", path,
                              query ? "?" : "", query, NULL);
    return OK;
}
