/* Variables and notes of a request, as mod_maxminddb sets them: first those of the server, then those
 * of the directory, each before mod_setenvif and mod_rewrite, which use them. */
#include <arpa/inet.h>

#include <http_protocol.h>

#include "geo_private.h"

typedef struct {
    request_rec *r;
    const geo_maxmind_t *conf;
    usher_cidr_address_t address;
} env_t;

/* @a name lives as long as the request. */
static void env_set(const env_t *env, const char *name, const char *value)
{
    apr_table_setn(env->r->subprocess_env, name, value);
    if (env->conf->has_notes == 1) {
        apr_table_setn(env->r->notes, name, value);
    }
}

static int env_is_v4(const env_t *env)
{
    return !env->address.high && env->address.low >> 32 == 0xffff;
}

static const char *env_network(const env_t *env, int prefix)
{
    unsigned char bytes[16];
    char text[INET6_ADDRSTRLEN];
    int i, len = env_is_v4(env) ? 4 : 16;

    for (i = 0; i < 16; ++i) {
        bytes[i] = (unsigned char)((i < 8 ? env->address.high : env->address.low) >> (56 - 8 * (i & 7)));
    }
    memmove(bytes, bytes + 16 - len, (size_t)len);
    for (i = 0; i < len; ++i) {
        int bits = prefix - 8 * i;

        bytes[i] = bits >= 8 ? bytes[i] : bits <= 0 ? 0 : (unsigned char)(bytes[i] & 0xff << (8 - bits));
    }
    inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, text, sizeof(text));
    return apr_psprintf(env->r->pool, "%s/%d", text, prefix);
}

/* What one database says. */
static void env_database(const env_t *env, const char *name, const geo_db_t *db)
{
    const geo_maxmind_item_t *items = (const geo_maxmind_item_t *)env->conf->items->elts;
    geo_value_t *values = apr_palloc(env->r->pool, sizeof(*values) * (apr_size_t)env->conf->items->nelts);
    const char **names = apr_palloc(env->r->pool, sizeof(*names) * (apr_size_t)env->conf->items->nelts);
    const char *network = NULL;
    int i, n = 0, prefix, is_kept = 1;
    geo_result_e result;

    for (i = 0; i < env->conf->items->nelts; ++i) {
        if (items[i].kind == GEO_MAXMIND_FILE || strcmp(items[i].database, name) != 0) {
            continue;
        }
        if (items[i].kind == GEO_MAXMIND_NETWORK) {
            network = items[i].variable;
        }
        else {
            values[n].path = items[i].path;
            names[n++] = items[i].variable;
            is_kept &= items[i].is_kept;
        }
    }
    if (!n) {
        return;
    }
    result = geo_cache_lookup(env->r->connection, env->address, db, is_kept, values, n, &prefix, env->r->pool);
    /* An address of IPv6 is in no network of a database of IPv4. */
    if (result == GEO_UNUSABLE || (result == GEO_NONE && !prefix && !env_is_v4(env))) {
        return;
    }
    env_set(env, "MMDB_INFO", result == GEO_FOUND ? "result found" : "lookup success");
    for (i = 0; i < n; ++i) {
        if (values[i].text) {
            env_set(env, names[i], apr_pstrdup(env->r->pool, values[i].text));
        }
    }
    if (network) {
        env_set(env, network, env_network(env, prefix));
    }
}

static int env_has_file(const geo_maxmind_t *conf, const char *name)
{
    int i;

    for (i = 0; i < conf->items->nelts; ++i) {
        const geo_maxmind_item_t *item = &APR_ARRAY_IDX(conf->items, i, geo_maxmind_item_t);

        if (item->kind == GEO_MAXMIND_FILE && !strcmp(item->database, name)) {
            return 1;
        }
    }
    return 0;
}

static void env_databases(const env_t *env)
{
    const apr_array_header_t *named = geo_conf_databases();
    int i;

    for (i = 0; i < env->conf->items->nelts; ++i) {
        const geo_maxmind_item_t *item = &APR_ARRAY_IDX(env->conf->items, i, geo_maxmind_item_t);

        if (item->kind == GEO_MAXMIND_FILE) {
            env_database(env, item->database, item->db);
        }
    }
    for (i = 0; i < named->nelts; ++i) {
        const geo_named_t *database = &APR_ARRAY_IDX(named, i, geo_named_t);

        if (!env_has_file(env->conf, database->name)) {
            env_database(env, database->name, database->db);
        }
    }
}

/* Whoever set MMDB_ADDR before has chosen another address. */
static int env_export(request_rec *r, const geo_maxmind_t *conf)
{
    env_t env = { r, conf, { 0, 0 } };
    const char *address;
    usher_cidr_range_t range;
    int is_address;

    if (!conf || conf->is_on != 1 || !geo_core) {
        return DECLINED;
    }
    address = apr_table_get(r->subprocess_env, "MMDB_ADDR");
    if (!address || address == r->useragent_ip) {
        address = r->useragent_ip;
        is_address = geo_cache_address(r, &env.address);
    }
    else {
        is_address = usher_cidr_parse(&range, address, strlen(address));
        env.address = range.first;
    }
    env_set(&env, "MMDB_ADDR", address);
    if (is_address && conf->items) {
        env_databases(&env);
    }
    return OK;
}

static int env_post_read_request(request_rec *r)
{
    const geo_server_t *server = ap_get_module_config(r->server->module_config, &usher_geo_module);

    return env_export(r, server->maxmind);
}

static int env_header_parser(request_rec *r)
{
    const geo_dir_t *dir = ap_get_module_config(r->per_dir_config, &usher_geo_module);

    return env_export(r, dir->maxmind);
}

void geo_env_hooks(void)
{
    static const char *const before[] = { "mod_remoteip.c", NULL };
    static const char *const after[] = { "mod_setenvif.c", "mod_rewrite.c", NULL };

    ap_hook_post_read_request(env_post_read_request, before, after, APR_HOOK_MIDDLE);
    ap_hook_header_parser(env_header_parser, NULL, after, APR_HOOK_MIDDLE);
}
