/* UsherStore dbd:DRIVER:FILE: which driver, and the file with its parameters, which is secret. */
#include <openssl/crypto.h>
#include <string.h>
#include <unixd.h>

#include "core_store_dbd.h"
#include "usher_secret.h"

#define PARAMS_MAX 4096
#define RETAINED "usher-store-dbd-1"

core_dbd_conf_t core_dbd_conf;

void core_dbd_user(uid_t *uid, gid_t *gid)
{
    *uid = geteuid() ? geteuid() : ap_unixd_config.user_id;
    *gid = geteuid() ? getegid() : ap_unixd_config.group_id;
}

static apr_status_t conf_wipe(void *params)
{
    OPENSSL_cleanse(params, strlen(params));
    return APR_SUCCESS;
}

/* Lines that begin with # are left out; the others become one. */
static char *conf_join(apr_pool_t *p, const char *text, apr_size_t len)
{
    const char *line = text, *end = text + len, *next;
    char *params = apr_pcalloc(p, len + 1), *to = params;

    for (; line < end; line = next) {
        next = memchr(line, '\n', (apr_size_t)(end - line));
        next = next ? next + 1 : end;
        if (*line != '#') {
            memcpy(to, line, (apr_size_t)(next - line));
            to += next - line;
        }
    }
    while (to > params && strchr(" \t\r\n", to[-1])) {
        *--to = '\0';
    }
    return params;
}

/* Returns what is wrong with the file, or NULL. */
static const char *conf_read(const char **params, const char *path, const core_dbd_dialect_t *dialect,
                             apr_pool_t *p)
{
    usher_secret_user_t user;
    char text[PARAMS_MAX];
    apr_size_t len = sizeof(text);
    struct stat info;
    const char *why;
    char *joined;

    core_dbd_user(&user.uid, &user.gid);
    why = usher_secret_read(p, text, &len, &info, path, &user);
    if (!why && memchr(text, '\0', len)) {
        why = "has a NUL byte";
    }
    if (!why) {
        joined = conf_join(p, text, len);
        apr_pool_cleanup_register(p, joined, conf_wipe, apr_pool_cleanup_null);
        why = !*joined ? "is empty: docs/store.md has an example for each database"
                       : dialect->judge(p, joined);
        *params = joined;
    }
    OPENSSL_cleanse(text, sizeof(text));
    return why;
}

static const char *conf_driver(const core_dbd_dialect_t *dialect, apr_pool_t *p)
{
    apr_status_t rv = apr_dbd_init(p);

    if (rv == APR_SUCCESS) {
        rv = apr_dbd_get_driver(p, dialect->driver, &core_dbd_conf.driver);
    }
    return rv == APR_SUCCESS ? NULL
        : apr_psprintf(p, "the driver %s of APR cannot be loaded: install it (Debian's package "
                          "libaprutil1-dbd-%s)", dialect->driver, dialect->driver);
}

/* The same for all children, also of later generations. */
static apr_uint64_t conf_node(void)
{
    apr_uint64_t *node = ap_retained_data_get(RETAINED);

    if (!node) {
        node = ap_retained_data_create(RETAINED, sizeof(*node));
        ap_random_insecure_bytes(node, sizeof(*node));
        *node &= APR_INT64_MAX;
    }
    return *node;
}

const char *core_dbd_configure(const char *rest, const char **called, apr_pool_t *pconf,
                               server_rec *s)
{
    const char *colon = strchr(rest, ':');
    const char *name = colon ? apr_pstrmemdup(pconf, rest, (apr_size_t)(colon - rest)) : rest;
    const core_dbd_dialect_t *dialect = core_dbd_dialect(name);
    const char *path, *params, *why;
    char *whole;

    (void)s;
    memset(&core_dbd_conf, 0, sizeof(core_dbd_conf));
    if (!dialect) {
        return apr_psprintf(pconf, "\"%s\" is no database that Usher knows: sqlite3, mysql or pgsql",
                            name);
    }
    if (!colon || !colon[1]) {
        return apr_psprintf(pconf, "names no file with the database's parameters: dbd:%s:/path/to/file",
                            name);
    }
    path = ap_server_root_relative(pconf, colon + 1);
    if (!path) {
        return apr_psprintf(pconf, "\"%s\": is no path", colon + 1);
    }
    why = conf_driver(dialect, pconf);
    if (why) {
        return why;
    }
    why = conf_read(&params, path, dialect, pconf);
    if (why) {
        return apr_psprintf(pconf, "\"%s\": %s", path, why);
    }
    core_dbd_conf.name = *called = apr_pstrcat(pconf, "dbd:", name, NULL);
    /* What goes before would not fit a URI, which has limits of its own. */
    whole = apr_pstrcat(pconf, strstr(params, "://") ? "" : dialect->before, params, dialect->after,
                        NULL);
    apr_pool_cleanup_register(pconf, whole, conf_wipe, apr_pool_cleanup_null);
    core_dbd_conf.params = whole;
    core_dbd_conf.node = conf_node();
    core_dbd_conf.dialect = dialect;
    return NULL;
}
