/* URLs in an answer, as the client shall have them (ProxyPassReverse). mod_proxy does that,
 * but for the cluster of a member that has signed in, which it does not know. */
#include <string.h>

#include "backend_private.h"

static const apr_array_header_t *location_aliases(request_rec *r, const proxy_dir_conf *conf)
{
    const proxy_req_conf *own = conf->interpolate_env == 1
        ? ap_get_module_config(r->request_config, &proxy_module) : NULL;

    return own ? own->raliases : conf->raliases;
}

/* What follows the cluster's name in an alias; NULL: it is of something else. */
static const char *location_path(const char *real, const char *cluster)
{
    apr_size_t len = cluster ? strlen(cluster) : 0;

    return len && !ap_cstr_casecmpn(real, cluster, len) && (!real[len] || real[len] == '/')
               ? real + len : NULL;
}

/* The bytes of url that are the member's and the path behind it; 0: it is not that. The
 * member's end where its host and port do: port 80 is not that of 8080. */
static apr_size_t location_match(const char *url, const char *member, const char *path)
{
    apr_size_t len = strlen(member), path_len = !strcmp(path, "/") ? 0 : strlen(path);

    if (!len || ap_cstr_casecmpn(url, member, len)
        || (member[len - 1] != '/' && !strchr("/?#", url[len]))) {
        return 0;
    }
    len -= path_len && member[len - 1] == '/';
    return !strncmp(url + len, path, path_len) ? len + path_len : 0;
}

const char *backend_location(backend_exchange_t *x, const char *url)
{
    request_rec *r = x->r;
    const apr_array_header_t *aliases = x->member.kept && r->proxyreq == PROXYREQ_REVERSE
        ? location_aliases(r, x->dconf) : NULL;
    const char *cluster = aliases ? apr_table_get(r->subprocess_env, "BALANCER_NAME") : NULL;
    int i;

    for (i = 0; cluster && i < aliases->nelts; ++i) {
        const struct proxy_alias *alias = &APR_ARRAY_IDX(aliases, i, struct proxy_alias);
        const char *path = location_path(alias->real, cluster);
        apr_size_t len = path ? location_match(url, x->member.worker->s->name_ex, path) : 0;
        const char *mapped;

        if (len) {
            /* "/" and "/x" are no "//x". */
            mapped = !strcmp(alias->fake, "/") && url[len] == '/'
                         ? url + len : apr_pstrcat(r->pool, alias->fake, url + len, NULL);
            return ap_is_url(mapped) ? mapped : ap_construct_url(r->pool, mapped, r);
        }
    }
    return ap_proxy_location_reverse_map(r, x->dconf, url);
}
