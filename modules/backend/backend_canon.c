/* The URL as it may be sent: our own canon handler, for when mod_proxy_http
 * and its like are not loaded, and the same as theirs. A path that was decoded is encoded again; a
 * control character or blank must never reach a backend, where it would end
 * the request line. */
#include "usher_number.h"

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* What the canonical form of a path leaves as it is: ALPHA, DIGIT and ~$-_.+!*'(),;:@&=/ */
static const unsigned char path_chars[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* ! $ & ' ( ) * + , - . / */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, /* 0-9 : ; = */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* @ A-O */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, /* P-Z _ */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* a-o */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0, /* p-z ~ */
};

static int canon_is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* Whether a host of digits, dots and dashes is four numbers of at most three digits. */
static int canon_is_dotted(const char *host)
{
    int dots = 0, digits = 0;

    for (; *host == '.' || (*host >= '0' && *host <= '9'); ++host) {
        if (*host == '.') {
            ++dots;
            digits = 0;
        }
        else if (++digits > 3) {
            return 0;
        }
        if (!digits && host[1] == '.') {
            return 0;
        }
    }
    return dots == 3 && digits && *host != '-';
}

apr_size_t backend_canon_server(const char *url)
{
    const backend_scheme_t *scheme = backend_scheme_of(url);
    apr_size_t len = scheme ? scheme->name_len : 0, digits;
    const char *host = url + len + 3, *at = host;
    apr_uint64_t port;
    int is_name = 0;

    if (!scheme || strncmp(url, scheme->name, len) || strncmp(url + len, "://", 3)) {
        return 0;
    }
    while (canon_is_host_char(*at)) {
        is_name |= *at >= 'a';
        ++at;
    }
    if (at > host && *at == ':') {
        digits = usher_number_parse(&port, 65535, at + 1, 5);
        if (!digits || at[1] == '0' || port == scheme->port) {
            return 0;
        }
        at += 1 + digits;
    }
    /* Numbers must be addresses: mod_proxy looks. */
    return at > host && (*at == '/' || !*at) && (is_name || canon_is_dotted(host))
               ? (apr_size_t)(at - url) : 0;
}

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

int backend_canon_is_done(request_rec *r, const char *url, apr_size_t server_len)
{
    const char *at = url + server_len;

    if (!server_len || *at != '/' || r->proxyreq != PROXYREQ_REVERSE) {
        return 0;
    }
    while (path_chars[(unsigned char)*at]) {
        ++at;
    }
    return !*at && !apr_table_get(r->notes, "proxy-nocanon");
}

static int canon_refuse(request_rec *r)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(2002)
                  "refused: the path or query for the backend has blanks or "
                  "control characters in it. With nocanon or RewriteRule, "
                  "have it encoded");
    return HTTP_FORBIDDEN;
}

/* Take the URL apart and put it together again. */
static int canon_make(request_rec *r, const backend_scheme_t *scheme, char *url)
{
    const char *error, *path, *query, *port_text = "";
    apr_port_t port = scheme->port;
    char *host, *rest = url + scheme->name_len + 1;

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
        return canon_refuse(r);
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

int backend_canon(request_rec *r, char *url)
{
    const char *colon = ap_strchr_c(url, ':');
    const backend_scheme_t *scheme =
        colon ? backend_scheme_named(url, (apr_size_t)(colon - url)) : NULL;

    if (!scheme || !backend_conf_is_on(r)) {
        return DECLINED;
    }
    if (!backend_canon_is_done(r, url, backend_canon_server(url))) {
        return canon_make(r, scheme, url);
    }
    if (r->args && *ap_scan_vchar_obstext(r->args)) {
        return canon_refuse(r);
    }
    if (r->args || strcmp(url, r->filename + 6) != 0) {
        r->filename = apr_pstrcat(r->pool, "proxy:", url, r->args ? "?" : "", r->args, NULL);
    }
    return OK;
}
