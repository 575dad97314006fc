/* Settings of servers and of directories, and the directives of Usher's own among them. */
#include "geo_private.h"
#include "usher_acme.h"

APLOG_USE_MODULE(usher_geo);

void *geo_settings_create_server(apr_pool_t *p, server_rec *s)
{
    geo_server_t *server = apr_pcalloc(p, sizeof(*server));

    server->may_htaccess_files = USHER_UNSET;
    return server;
}

void *geo_settings_merge_server(apr_pool_t *p, void *basev, void *addv)
{
    const geo_server_t *base = basev, *add = addv;
    geo_server_t *server = apr_palloc(p, sizeof(*server));

    server->may_htaccess_files = USHER_MERGE(may_htaccess_files, base, add);
    server->maxmind = geo_maxmind_merge(p, base->maxmind, add->maxmind);
    return server;
}

void *geo_settings_create_dir(apr_pool_t *p, char *path)
{
    geo_dir_t *dir = apr_pcalloc(p, sizeof(*dir));

    dir->allows_missing = USHER_UNSET;
    return dir;
}

static int settings_is_empty(const geo_dir_t *dir)
{
    return dir->allows_missing == USHER_UNSET && !dir->exempt && !dir->maxmind;
}

/* Per request, and mostly there is nothing to merge. */
void *geo_settings_merge_dir(apr_pool_t *p, void *basev, void *addv)
{
    geo_dir_t *base = basev, *add = addv, *dir;

    if (settings_is_empty(add)) {
        return base;
    }
    if (settings_is_empty(base)) {
        return add;
    }
    dir = apr_palloc(p, sizeof(*dir));
    dir->allows_missing = USHER_MERGE(allows_missing, base, add);
    dir->exempt = add->exempt ? add->exempt : base->exempt;
    dir->maxmind = geo_maxmind_merge(p, base->maxmind, add->maxmind);
    return dir;
}

int geo_settings_is_htaccess(const cmd_parms *cmd)
{
    return cmd->pool == cmd->temp_pool;
}

/* A bad line in .htaccess ends nothing but the request, at any time. */
const char *geo_settings_refuse(cmd_parms *cmd, const char *reason)
{
    return geo_settings_is_htaccess(cmd) ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", reason, NULL)
                                         : usher_conf_refuse(cmd, reason);
}

const char *geo_settings_set_missing(cmd_parms *cmd, void *dirv, const char *what)
{
    geo_dir_t *dir = dirv;

    if (ap_cstr_casecmp(what, "deny") && ap_cstr_casecmp(what, "allow")) {
        return geo_settings_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes deny or allow", what));
    }
    dir->allows_missing = !ap_cstr_casecmp(what, "allow");
    return NULL;
}

const char *geo_settings_set_exempt(cmd_parms *cmd, void *dirv, int argc, char *const argv[])
{
    geo_dir_t *dir = dirv;
    apr_array_header_t *exempt = apr_array_make(cmd->pool, argc ? argc : 1, sizeof(const char *));
    int i;

    if (!argc) {
        return geo_settings_refuse(cmd, "takes path prefixes, such as " USHER_ACME_PATH ", or none");
    }
    for (i = 0; i < argc; ++i) {
        if (argc == 1 && !ap_cstr_casecmp(argv[0], "none")) {
            break;
        }
        if (*argv[i] != '/') {
            return geo_settings_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": a path begins with /; or none, "
                                                         "alone", argv[i]));
        }
        APR_ARRAY_PUSH(exempt, const char *) = apr_pstrdup(cmd->pool, argv[i]);
    }
    dir->exempt = exempt;
    return NULL;
}

const char *geo_settings_set_htaccess_files(cmd_parms *cmd, void *dir, int is_on)
{
    geo_server_t *server = ap_get_module_config(cmd->server->module_config, &usher_geo_module);

    if (ap_check_cmd_context(cmd, NOT_IN_DIR_LOC_FILE)) {
        return usher_conf_refuse(cmd, "belongs in the main server or in a virtual host, not in a section for "
                                 "paths");
    }
    server->may_htaccess_files = is_on;
    return NULL;
}

/* What may mean another path to whom the request goes on to is not exempt. */
static int settings_is_plain(const char *rest)
{
    return !strstr(rest, "..") && !strpbrk(rest, "%\\;");
}

/* That path is for one kind of request only, of whatever the client's was in the beginning. */
static int settings_is_challenge(const request_rec *r)
{
    const request_rec *first = r;

    while (first->main || first->prev) {
        first = first->main ? first->main : first->prev;
    }
    return first->method_number == M_GET && usher_acme_is_challenge(r->uri, first->unparsed_uri);
}

static int settings_begins(const request_rec *r, const char *prefix)
{
    apr_size_t len = strlen(prefix);

    return !strncmp(r->uri, prefix, len) && settings_is_plain(r->uri + len)
           && (strcmp(prefix, USHER_ACME_PATH) != 0 || settings_is_challenge(r));
}

int geo_settings_is_exempt(const request_rec *r, const geo_dir_t *dir)
{
    int i;

    if (!r->uri || !dir->exempt) {
        return r->uri && settings_begins(r, USHER_ACME_PATH);
    }
    for (i = 0; i < dir->exempt->nelts; ++i) {
        if (settings_begins(r, APR_ARRAY_IDX(dir->exempt, i, const char *))) {
            return 1;
        }
    }
    return 0;
}
