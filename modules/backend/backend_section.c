/* Which <Proxy> sections hold for a request. Their SSLProxy* directives make a
 * connection what it is: one that was made for a section with a client certificate
 * must not serve a request for which another section holds. mod_proxy has applied them
 * already, but keeps no note of it. */
#include <apr_fnmatch.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* As mod_proxy goes by it. */
static int section_holds(const proxy_dir_conf *section, const char *url)
{
    return section->r ? !ap_regexec(section->r, url, 0, NULL, 0)
           : section->p_is_fnmatch ? apr_fnmatch(section->p, url, 0) == APR_SUCCESS
                                   : !strncmp(url, section->p, strlen(section->p));
}

apr_uint64_t backend_section_key(request_rec *r, const proxy_server_conf *conf)
{
    const char *url = backend_handler_mapped(r);
    apr_uint64_t key = 0;
    int i;

    for (i = 0; url && i < conf->sec_proxy->nelts; ++i) {
        const proxy_dir_conf *section =
            ap_get_module_config(APR_ARRAY_IDX(conf->sec_proxy, i, ap_conf_vector_t *),
                                 &proxy_module);

        if (section_holds(section, url)) {
            key = (key + (apr_uint64_t)i + 1) * 1099511628211u; /* FNV's prime */
        }
    }
    return key;
}
