/* The keys of a cluster's tokens: those of UsherStickyKeys, or one of its own.
 *
 * The parent reads the file at start and restart, and keeps what it read: a file that is
 * bad at a restart changes nothing. What it keeps lies in memory of its own process, never
 * in shared memory. Where the children may read the file, each looks every ten seconds
 * whether it has changed. Keys that were replaced stay as they are until the child ends, as
 * requests may be using them. */
#include <ap_mpm.h>
#include <apr_hash.h>
#include <openssl/crypto.h>
#include <unixd.h>

#include "balancer_private.h"
#include "usher_secret.h"

APLOG_USE_MODULE(usher_balancer);

#define RETAINED "mod_usher_balancer:keys-1"
/* How often a child takes over a file that changed. */
#define CHANGES_MAX 100

struct balancer_keys_t {
    const balancer_cluster_t *cluster;
    const char *path;     /* NULL: no file */
    struct stat seen;     /* the file when it was looked at */
    int changes;
    usher_keyring_t ring; /* what the keys were made of */
    _Atomic(const usher_keys_t *) keys;
    usher_token_cache_t *cache;
};

/* Those of files that the children read, balancer_keys_t *. In pconf. */
static apr_array_header_t *watched;
/* Of a child; only mod_watchdog's thread uses it once requests come. */
static apr_pool_t *child_pool;

const char *balancer_keys_set(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *why = balancer_conf_why_not_here(cmd);
    balancer_conf_t *conf = dir;
    const char *path;

    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    if (argc != 1) {
        return usher_conf_refuse(cmd, "takes one argument, the name of a key file");
    }
    path = ap_server_root_relative(cmd->pool, argv[0]);
    if (!path) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": is no path", argv[0]));
    }
    conf->keys_file = path;
    return NULL;
}

static usher_secret_user_t keys_user(void)
{
    usher_secret_user_t user = { geteuid(), getegid() };

    if (user.uid == 0) {
        user.uid = ap_unixd_config.user_id;
        user.gid = ap_unixd_config.group_id;
    }
    return user;
}

/* Returns NULL, or why not. */
static const char *keys_read(apr_pool_t *p, usher_keyring_t *ring, struct stat *info,
                             const char *path)
{
    usher_secret_user_t user = keys_user();
    char text[USHER_KEYS_FILE_MAX];
    apr_size_t len = sizeof(text);
    const char *why = usher_secret_read(p, text, &len, info, path, &user);
    usher_keys_error_t error;

    if (!why && !usher_keys_parse(ring, &error, text, len)) {
        why = error.line ? apr_psprintf(p, "line %d: %s", error.line, error.reason)
                         : error.reason;
    }
    OPENSSL_cleanse(text, sizeof(text));
    return why;
}

static int keys_are_watched(const char *path)
{
    usher_secret_user_t user = keys_user();

    return usher_secret_can_read(path, &user);
}

static void keys_say_read(const usher_keyring_t *ring, const char *path, const char *name,
                          server_rec *s)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(3027)
                 "UsherStickyKeys %s: %d keys for %s, %08x seals; %s", path, ring->count, name,
                 ring->keys[0].id,
                 keys_are_watched(path)
                     ? "a change of the file takes effect by itself within ten seconds"
                     : "the user that httpd runs as cannot read it, so that a change takes "
                       "effect at the next restart");
}

/* What configtest and the first start refuse of one cluster. Returns 1 when it is wrong. */
static int keys_check(const proxy_balancer *b, server_rec *s, apr_pool_t *ptemp)
{
    const char *path = balancer_conf_of(b, s, ptemp)->keys_file;
    usher_keyring_t ring;
    struct stat info;
    const char *why;

    if (!path || !balancer_clusters_is_ours(b)) {
        return 0;
    }
    why = keys_read(ptemp, &ring, &info, path);
    if (why) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(3025)
                     "UsherStickyKeys %s: %s. \"usherctl keys\" makes and mends such files", path,
                     why);
        return 1;
    }
    if (ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST) {
        keys_say_read(&ring, path, b->s->name, s);
    }
    usher_keyring_wipe(&ring);
    return 0;
}

int balancer_keys_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                               server_rec *main_server)
{
    server_rec *s;
    int i, wrong = 0;

    watched = apr_array_make(pconf, 4, sizeof(balancer_keys_t *));
    for (s = main_server; s && usher_conf_may_refuse(); s = s->next) {
        proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);

        for (i = 0; i < conf->balancers->nelts; ++i) {
            wrong |= keys_check(&APR_ARRAY_IDX(conf->balancers, i, proxy_balancer), s, ptemp);
        }
    }
    return wrong ? !OK : OK;
}

/* What is known of earlier configurations under a name. Empty where it is new. */
static usher_keyring_t *keys_retained(const char *name, server_rec *s)
{
    apr_pool_t *pool = s->process->pool;
    apr_hash_t **rings = ap_retained_data_get(RETAINED);
    usher_keyring_t *ring;

    if (!rings) {
        rings = ap_retained_data_create(RETAINED, sizeof(void *));
        *rings = apr_hash_make(pool);
    }
    ring = apr_hash_get(*rings, name, APR_HASH_KEY_STRING);
    if (!ring) {
        ring = apr_pcalloc(pool, sizeof(*ring));
        apr_hash_set(*rings, apr_pstrdup(pool, name), APR_HASH_KEY_STRING, ring);
    }
    return ring;
}

/* A key that nobody else has; the same one after a graceful restart. */
static const usher_keyring_t *keys_own(const balancer_cluster_t *cluster, server_rec *s,
                                       apr_pool_t *p)
{
    usher_keyring_t *ring =
        keys_retained(apr_pstrcat(p, "own ", cluster->name, " ", cluster->server, NULL), s);

    if (!ring->count && usher_keyring_make(ring)) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(3026)
                     "%s has made a key of its own for its sticky cookies: they mean nothing to "
                     "other nodes, nor to this one once httpd was stopped. For both, "
                     "\"usherctl keys create FILE\", and \"UsherStickyKeys FILE\" in its section",
                     cluster->name);
    }
    return ring;
}

static const usher_keyring_t *keys_of_file(balancer_keys_t *keys, server_rec *s, apr_pool_t *p)
{
    usher_keyring_t *kept = keys_retained(apr_pstrcat(p, "file ", keys->path, NULL), s);
    usher_keyring_t read;
    const char *why = keys_read(p, &read, &keys->seen, keys->path);

    if (!why) {
        *kept = read;
        usher_keyring_wipe(&read);
        keys_say_read(kept, keys->path, keys->cluster->name, s);
        return kept;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(3055)
                 "UsherStickyKeys %s: %s; %s goes on with %s: mend it, run configtest, and restart "
                 "gracefully", keys->path, why, keys->cluster->name,
                 kept->count ? "the keys that this file had" : "a key of its own");
    return kept->count ? kept : keys_own(keys->cluster, s, p);
}

static apr_status_t keys_wipe(void *data)
{
    balancer_keys_t *keys = data;

    usher_keyring_wipe(&keys->ring);
    return APR_SUCCESS;
}

static void keys_look_all(void *baton, server_rec *s, apr_pool_t *ptemp);
static const usher_tick_work_t keys_work = {
    .name = "key files",
    .where = USHER_TICK_EACH,
    .run = keys_look_all,
};

void balancer_keys_need(balancer_cluster_t *cluster, server_rec *s, apr_pool_t *pconf)
{
    balancer_keys_t *keys = apr_pcalloc(pconf, sizeof(*keys));

    keys->cluster = cluster;
    keys->path = cluster->conf->keys_file;
    apr_pool_cleanup_register(pconf, keys, keys_wipe, apr_pool_cleanup_null);
    keys->ring = *(keys->path ? keys_of_file(keys, s, pconf) : keys_own(cluster, s, pconf));
    keys->cache = usher_token_cache_make(pconf);
    atomic_init(&keys->keys, usher_keys_make(pconf, &keys->ring));
    cluster->keys = keys;
    if (keys->path && balancer_core && keys_are_watched(keys->path)) {
        if (!watched->nelts) {
            balancer_core->tick_add(&keys_work);
        }
        APR_ARRAY_PUSH(watched, balancer_keys_t *) = keys;
    }
}

/* Takes over what a file says now. Returns NULL, or why not. */
static const char *keys_change(balancer_keys_t *keys, const usher_keyring_t *ring)
{
    const usher_keys_t *next;

    if (keys->changes == CHANGES_MAX) {
        return "has changed so often that this child takes no more of it: restart gracefully";
    }
    next = usher_keys_make(child_pool, ring);
    if (!next) {
        return "libcrypto takes no keys";
    }
    keys->ring = *ring;
    ++keys->changes;
    atomic_store_explicit(&keys->keys, next, memory_order_release);
    return NULL;
}

static void keys_look(balancer_keys_t *keys, server_rec *s, apr_pool_t *ptemp)
{
    usher_keyring_t ring;
    struct stat now;
    const char *why;

    memset(&now, 0, sizeof(now)); /* not there */
    if (stat(keys->path, &now) == 0 && usher_secret_is_same(&now, &keys->seen)) {
        return;
    }
    if (!now.st_ino && !keys->seen.st_ino) {
        return;
    }
    keys->seen = now; /* said once, if it is wrong */
    why = keys_read(ptemp, &ring, &now, keys->path);
    if (!why && usher_keyring_is_same(&ring, &keys->ring)) {
        keys->seen = now;
    }
    else if (!why && !(why = keys_change(keys, &ring))) {
        keys->seen = now;
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(3028)
                     "UsherStickyKeys %s: changed, now %d keys for %s, %08x seals", keys->path,
                     ring.count, keys->cluster->name, ring.keys[0].id);
    }
    if (why) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(3029)
                     "UsherStickyKeys %s: changed, but %s; %s goes on with the keys that it has",
                     keys->path, why, keys->cluster->name);
    }
    usher_keyring_wipe(&ring);
}

static void keys_look_all(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    int i;

    for (i = 0; i < watched->nelts; ++i) {
        keys_look(APR_ARRAY_IDX(watched, i, balancer_keys_t *), s, ptemp);
    }
}

/* A child may begin long after the parent has read the files. */
void balancer_keys_child_init(apr_pool_t *pchild, server_rec *s)
{
    apr_pool_t *ptemp;

    if (watched && watched->nelts) {
        apr_pool_create_unmanaged_ex(&child_pool, NULL, NULL);
        apr_pool_create(&ptemp, pchild);
        keys_look_all(NULL, s, ptemp);
        apr_pool_destroy(ptemp);
    }
}

const usher_keys_t *balancer_keys(const balancer_cluster_t *cluster)
{
    return cluster->keys ? atomic_load_explicit(&cluster->keys->keys, memory_order_acquire)
                         : NULL;
}

usher_token_cache_t *balancer_keys_cache(const balancer_cluster_t *cluster)
{
    return cluster->keys->cache;
}
