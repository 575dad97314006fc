/* Settings of a cluster. Its directives stand in <Proxy balancer://name>, and hold for
 * the balancer of exactly that name: httpd would apply the section to all whose names
 * begin so. */
#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

#define PREFIX "balancer://"

void *balancer_conf_create(apr_pool_t *p, char *dir)
{
    balancer_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    balancer_load_conf_init(&conf->load);
    conf->joined = balancer_joined_conf_none;
    return conf;
}

void *balancer_conf_merge(apr_pool_t *p, void *basev, void *addv)
{
    const balancer_conf_t *base = basev, *add = addv;
    balancer_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    balancer_sticky_conf_merge(&conf->sticky, &base->sticky, &add->sticky);
    conf->keys_file = add->keys_file ? add->keys_file : base->keys_file;
    conf->stick = add->stick ? add->stick : base->stick;
    balancer_hash_conf_merge(&conf->hash, &base->hash, &add->hash);
    balancer_load_conf_merge(p, &conf->load, &base->load, &add->load);
    balancer_probe_merge(&conf->probe, &base->probe, &add->probe);
    balancer_joined_conf_merge(&conf->joined, &base->joined, &add->joined);
    return conf;
}

const char *balancer_conf_why_not_here(const cmd_parms *cmd)
{
    return cmd->path && !ap_cstr_casecmpn(cmd->path, PREFIX, sizeof(PREFIX) - 1)
               ? NULL : "belongs into the section <Proxy balancer://name> of its cluster";
}

int balancer_conf_is_of(ap_conf_vector_t *of, const char *name)
{
    const proxy_dir_conf *section = ap_get_module_config(of, &proxy_module);
    apr_size_t len = strlen(name);

    return !section->r && section->p && !ap_cstr_casecmpn(section->p, name, len)
           && (!section->p[len] || !strcmp(section->p + len, "/"));
}

const balancer_conf_t *balancer_conf_of(const proxy_balancer *b, server_rec *s, apr_pool_t *p)
{
    static const balancer_conf_t none = {
        .load = BALANCER_LOAD_DEFAULTS,
    };
    const proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    ap_conf_vector_t *const *sections = (ap_conf_vector_t *const *)conf->sec_proxy->elts;
    balancer_conf_t *all = apr_pmemdup(p, &none, sizeof(none));
    int i;

    all->joined = balancer_joined_conf_none;
    for (i = 0; i < conf->sec_proxy->nelts; ++i) {
        /* NULL: none of our directives stands there. */
        void *add = ap_get_module_config(sections[i], &usher_balancer_module);

        if (add && balancer_conf_is_of(sections[i], b->s->name)) {
            all = balancer_conf_merge(p, all, add);
        }
    }
    return all;
}
