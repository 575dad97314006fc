/* UsherBanExempt: paths that everybody may ask for. Renewals of certificates are checked from addresses that
 * nobody knows in advance. */
#include "ban_private.h"
#include "usher_acme.h"

#include <http_protocol.h>

const char *ban_exempt_set(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    apr_array_header_t *paths = apr_array_make(cmd->pool, argc, sizeof(const char *));
    int i, is_none = argc == 1 && !ap_cstr_casecmp(argv[0], "none");

    if (!argc) {
        return usher_conf_refuse(cmd, "takes paths, or none");
    }
    for (i = 0; i < argc && !is_none; ++i) {
        if (argv[i][0] != '/' || strpbrk(argv[i], "%;\\") || strstr(argv[i], "..")) {
            return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes paths that begin with a slash, "
                                                       "decoded, as /.well-known/acme-challenge/, or none alone",
                                                       argv[i]));
        }
        APR_ARRAY_PUSH(paths, const char *) = argv[i];
    }
    ((ban_dir_t *)dir)->exempt = paths;
    return NULL;
}

int ban_exempt_is_there(const server_rec *s)
{
    const ban_dir_t *dir = ban_dir_of_server(s);

    return !dir->exempt || dir->exempt->nelts;
}

static int exempt_begins(const char *path, const char *with)
{
    apr_size_t len = strlen(with);

    return !strncmp(path, with, len) && (with[len - 1] == '/' || path[len] == '/' || !path[len]);
}

/* Backends make another path of what has "..", or parameters, in it. */
static int exempt_is_plain(const char *path)
{
    return !strpbrk(path, "%;\\") && !strstr(path, "..");
}

/* The path of renewals is for one kind of request only, of whatever the client's was in the beginning. */
static int exempt_is_meant(const request_rec *r, const char *path, const char *with)
{
    if (strcmp(with, USHER_ACME_PATH) != 0) {
        return exempt_is_plain(path);
    }
    while (r->main || r->prev) {
        r = r->main ? r->main : r->prev;
    }
    return r->method_number == M_GET && usher_acme_is_challenge(path, r->unparsed_uri);
}

int ban_exempt_has(const request_rec *r, const char *path)
{
    const ban_dir_t *dir = ban_dir_of_server(r->server);
    int i;

    if (!dir->exempt) {
        return exempt_is_meant(r, path, USHER_ACME_PATH);
    }
    for (i = 0; i < dir->exempt->nelts; ++i) {
        const char *with = APR_ARRAY_IDX(dir->exempt, i, const char *);

        if (exempt_begins(path, with) && exempt_is_meant(r, path, with)) {
            return 1;
        }
    }
    return 0;
}

char *ban_exempt_path(request_rec *r)
{
    char *path = r->uri ? apr_pstrdup(r->pool, r->uri) : NULL;

    if (!path || path[0] != '/' || !ap_normalize_path(path, AP_NORMALIZE_DECODE_UNRESERVED | AP_NORMALIZE_MERGE_SLASHES)
        || ap_unescape_url(path) != OK) {
        return NULL;
    }
    return path;
}
