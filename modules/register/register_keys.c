/* UsherRegisterKeys: the keys of those who sign their requests.
 *
 * The parent reads the file at start and restart; a file that is bad at a restart changes nothing. Where
 * the children may read it, each looks every ten seconds whether it has changed. Keys that
 * were replaced stay as they are until the child ends, as requests may be using them. All lies in memory of
 * the process, never in shared memory. */
#include <openssl/crypto.h>

#include "register_auth.h"

APLOG_USE_MODULE(usher_register);

#define RETAINED "mod_usher_register:keys-1"
/* How often a child takes over a file that changed. */
#define CHANGES_MAX 100

/* What one look at a file found. */
typedef struct {
    apr_size_t count;
    usher_regkey_t *keys;
    const register_policy_t **policies; /* of each key */
} keys_set_t;

/* Those of the last file that was good, for a restart with one that is not. */
typedef struct {
    apr_size_t count;
    usher_regkey_t *keys;
    apr_pool_t *pool;
} keys_retained_t;

static const char *path; /* NULL: there is no file */
static struct stat seen;
static int changes;
static int is_watched; /* by the tick, also where the file may not be read any more meanwhile */
static _Atomic(const keys_set_t *) current;
static const unsigned char nobody[32]; /* what an unknown key's signature is compared with: never good */
static apr_pool_t *child_pool;   /* only the tick's thread uses it */

void register_keys_init(void)
{
    path = NULL;
    changes = is_watched = 0;
    atomic_store(&current, NULL);
}

const char *register_keys_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    return register_auth_set_path(cmd, argc, argv, &path);
}

static apr_status_t keys_wipe(void *data)
{
    keys_set_t *set = data;

    OPENSSL_cleanse(set->keys, set->count * sizeof(*set->keys));
    return APR_SUCCESS;
}

/* Each key gets its policy. Returns a reason, or NULL. */
static const char *keys_join(keys_set_t *set, apr_pool_t *p)
{
    apr_size_t i;

    set->policies = apr_palloc(p, set->count * sizeof(const register_policy_t *));
    for (i = 0; i < set->count; ++i) {
        set->policies[i] = register_policy_find(set->keys[i].policy);
        if (!set->policies[i]) {
            return apr_psprintf(p, "line %d: there is no UsherRegisterPolicy of this name", set->keys[i].line);
        }
    }
    return NULL;
}

/* Of a text in memory. */
static const char *keys_parse(keys_set_t *set, apr_pool_t *p, const char *text, apr_size_t len)
{
    usher_regkeys_error_t error;
    apr_size_t room = usher_regkeys_room(text, len) * sizeof(*set->keys);
    usher_regkey_t *keys = apr_pcalloc(p, room);
    const char *why = NULL;

    set->count = usher_regkeys_parse(keys, &error, text, len);
    if (set->count) {
        set->keys = apr_palloc(p, set->count * sizeof(*keys));
        memcpy(set->keys, keys, set->count * sizeof(*keys));
        apr_pool_cleanup_register(p, set, keys_wipe, apr_pool_cleanup_null);
    }
    else {
        why = error.line ? apr_psprintf(p, "line %d: %s", error.line, error.reason) : error.reason;
    }
    OPENSSL_cleanse(keys, room);
    return why;
}

/* Reads the file. @return NULL: it is none, @a why tells */
static keys_set_t *keys_read(apr_pool_t *p, apr_pool_t *ptemp, struct stat *info, const char **why)
{
    usher_secret_user_t user = register_auth_user();
    struct stat before;
    keys_set_t *set = apr_pcalloc(p, sizeof(*set));
    apr_size_t room = stat(path, &before) == 0 && before.st_size < USHER_REGKEYS_FILE_MAX
                          ? (apr_size_t)before.st_size + 4096 : USHER_REGKEYS_FILE_MAX;
    apr_size_t len = room;
    char *text = apr_palloc(ptemp, room);

    *why = usher_secret_read(ptemp, text, &len, info, path, &user);
    if (!*why) {
        *why = keys_parse(set, p, text, len);
    }
    if (!*why) {
        *why = keys_join(set, p);
    }
    OPENSSL_cleanse(text, room);
    return *why ? NULL : set;
}

static int keys_are_watched(void)
{
    usher_secret_user_t user = register_auth_user();

    return usher_secret_can_read(path, &user);
}

static void keys_say_read(const keys_set_t *set, server_rec *s)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(6052)
                 "UsherRegisterKeys %s: %" APR_SIZE_T_FMT " keys; %s", path, set->count,
                 keys_are_watched()
                     ? "a change of the file takes effect by itself within ten seconds"
                     : "the user that httpd runs as cannot read it, so that a change takes "
                       "effect at the next restart");
}

int register_keys_check_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    const keys_set_t *set;
    struct stat info;
    const char *why;

    if (!path || !usher_conf_may_refuse()) {
        return OK;
    }
    set = keys_read(ptemp, ptemp, &info, &why);
    if (!set) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(6053)
                     "UsherRegisterKeys %s: %s. \"usherctl register-key\" makes the lines of such a file",
                     path, why);
        return !OK;
    }
    if (ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST) {
        keys_say_read(set, s);
    }
    return OK;
}

/* What is good now is kept for a restart that finds another file. */
static void keys_retain(const keys_set_t *set, server_rec *s)
{
    keys_retained_t *kept = ap_retained_data_get(RETAINED);

    if (!kept) {
        kept = ap_retained_data_create(RETAINED, sizeof(*kept));
    }
    if (kept->pool) {
        OPENSSL_cleanse(kept->keys, kept->count * sizeof(*kept->keys));
        apr_pool_destroy(kept->pool);
    }
    apr_pool_create(&kept->pool, s->process->pool);
    kept->count = set->count;
    kept->keys = apr_pmemdup(kept->pool, set->keys, set->count * sizeof(*set->keys));
}

/* NULL: there is nothing, or a policy is gone. */
static keys_set_t *keys_of_before(apr_pool_t *p)
{
    const keys_retained_t *kept = ap_retained_data_get(RETAINED);
    keys_set_t *set = apr_pcalloc(p, sizeof(*set));

    if (!kept || !kept->count) {
        return NULL;
    }
    set->count = kept->count;
    set->keys = apr_pmemdup(p, kept->keys, kept->count * sizeof(*kept->keys));
    apr_pool_cleanup_register(p, set, keys_wipe, apr_pool_cleanup_null);
    return keys_join(set, p) ? NULL : set;
}

/* Takes over what the file says now. */
static void keys_look(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    const keys_set_t *set = NULL;
    struct stat now;
    const char *why;

    memset(&now, 0, sizeof(now)); /* not there */
    if ((stat(path, &now) == 0 && usher_secret_is_same(&now, &seen)) || (!now.st_ino && !seen.st_ino)) {
        return;
    }
    seen = now; /* said once, if it is wrong */
    if (changes == CHANGES_MAX) {
        why = "it has changed so often that this child takes no more of it: restart gracefully";
    }
    else {
        set = keys_read(child_pool, ptemp, &now, &why);
    }
    if (!set) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(6054)
                     "UsherRegisterKeys %s: changed, but %s; the keys that were there count on", path, why);
        return;
    }
    seen = now;
    ++changes;
    atomic_store_explicit(&current, set, memory_order_release);
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(6055)
                 "UsherRegisterKeys %s: changed, now %" APR_SIZE_T_FMT " keys", path, set->count);
}

static const usher_tick_work_t keys_work = {
    .name = "keys of registration",
    .where = USHER_TICK_EACH,
    .run = keys_look,
};

void register_keys_post_config(apr_pool_t *pconf, server_rec *s)
{
    keys_set_t *set;
    const char *why;
    apr_pool_t *ptemp;

    if (!path) {
        return;
    }
    apr_pool_create(&ptemp, pconf);
    set = keys_read(pconf, ptemp, &seen, &why);
    if (set) {
        keys_retain(set, s);
        keys_say_read(set, s);
    }
    else {
        set = keys_of_before(pconf);
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(6056)
                     "UsherRegisterKeys %s: %s; %s: mend it, run configtest, and restart gracefully", path, why,
                     set ? "the keys that it had count on" : "nobody may register with a key");
    }
    apr_pool_destroy(ptemp);
    atomic_store(&current, set);
    is_watched = keys_are_watched();
    if (is_watched) {
        register_core->tick_add(&keys_work);
    }
}

/* A child may begin long after the parent has read the file. */
void register_keys_child_init(apr_pool_t *pchild, server_rec *s)
{
    apr_pool_t *ptemp;

    if (is_watched) {
        apr_pool_create_unmanaged_ex(&child_pool, NULL, NULL);
        apr_pool_create(&ptemp, pchild);
        keys_look(NULL, s, ptemp);
        apr_pool_destroy(ptemp);
    }
}

int register_keys_are_there(void)
{
    return atomic_load_explicit(&current, memory_order_acquire) != NULL;
}

int register_keys_find(register_key_t *key, usher_span_t id)
{
    const keys_set_t *set = atomic_load_explicit(&current, memory_order_acquire);
    const usher_regkey_t *found = set ? usher_regkeys_find(set->keys, set->count, id.text, id.len) : NULL;

    if (!found) {
        *key = (register_key_t) { nobody, sizeof(nobody), "", NULL };
        return 0;
    }
    *key = (register_key_t) { found->secret, found->secret_len, found->id, set->policies[found - set->keys] };
    return 1;
}
