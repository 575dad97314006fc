/* UsherStore, what modules keep in the store, and their changes. Who keeps nothing pays
 * nothing: without a kind there is no memory, no thread and no file. */
#include "core_store.h"
#include "usher_clock.h"

APLOG_USE_MODULE(usher);

#define TEXT_MAX 1023
#define DEFAULT_TEXT "file:"

static const core_store_engine_t *const engines[] = { &core_store_file, &core_store_dbd,
                                                      &core_store_none, NULL };

/* Which store this httpd has; outlives restarts. */
typedef struct {
    char text[TEXT_MAX + 1]; /* as in UsherStore */
    char name[TEXT_MAX + 1];
} store_retained_t;

#define RETAINED_KEY "usher-store-1"

static const char *store_text;     /* of the directive; NULL: none was given */
static const char *store_name;
static const core_store_engine_t *store_engine; /* NULL: the store is off */
static apr_array_header_t *store_kinds; /* of usher_store_kind_t *, in pconf */
static int store_is_configured;
static core_store_shm_t *store_shm;

void core_store_pre_config(apr_pool_t *pconf)
{
    store_text = NULL;
    store_name = "";
    store_engine = NULL;
    store_is_configured = 0;
    store_shm = NULL;
    store_kinds = apr_array_make(pconf, 4, sizeof(usher_store_kind_t *));
}

static store_retained_t *store_retained(void)
{
    store_retained_t *kept = ap_retained_data_get(RETAINED_KEY);

    return kept ? kept : ap_retained_data_create(RETAINED_KEY, sizeof(*kept));
}

/* "file:/dir" has the scheme "file", "none" the scheme "none". */
static const core_store_engine_t *store_find_engine(const char *text)
{
    apr_size_t len = strcspn(text, ":"), i;

    for (i = 0; engines[i]; ++i) {
        if (strlen(engines[i]->scheme) == len && !strncmp(engines[i]->scheme, text, len)) {
            return engines[i];
        }
    }
    return NULL;
}

/* Takes any number of arguments, and stands in any section, as UsherMemory. */
const char *core_store_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections");
    }
    if (argc != 1) {
        return usher_conf_refuse(cmd, "takes one argument, such as file: or none");
    }
    if (!store_find_engine(argv[0]) || strlen(argv[0]) > TEXT_MAX) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": is none of file:, "
            "file:/directory, dbd:driver:file and none", argv[0]));
    }
    store_text = argv[0];
    return NULL;
}

/* @return NULL, or why not */
static const char *store_configure(const char *text, apr_pool_t *pconf, server_rec *s)
{
    const core_store_engine_t *engine = store_find_engine(text);
    const char *rest = strchr(text, ':');
    const char *why;

    store_name = text;
    why = engine->configure(rest ? rest + 1 : "", &store_name, pconf, s);
    store_engine = why ? NULL : engine;
    return why;
}

/* A store that cannot be used. At a restart the one that there was goes on. */
static int store_refuse(const char *text, const char *why, apr_pool_t *pconf, server_rec *s)
{
    const store_retained_t *kept = store_retained();
    int refuse = usher_conf_may_refuse();

    store_engine = NULL;
    if (!refuse && *kept->text && store_find_engine(kept->text)) {
        store_configure(kept->text, pconf, s);
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1060)
                 "UsherStore %s: %s%s%s", text, why, refuse ? "" : store_engine
                 ? "; it goes on with " : "; it is off: changes are refused",
                 store_engine ? store_name : "");
    return refuse ? !OK : OK;
}

int core_store_keep(const usher_store_kind_t *kind, server_rec *s)
{
    const char *text = store_text ? store_text : DEFAULT_TEXT, *why;

    APR_ARRAY_PUSH(store_kinds, const usher_store_kind_t *) = kind;
    if (store_is_configured) {
        return OK;
    }
    store_is_configured = 1;
    core_store_queue_declare();
    why = store_configure(text, store_kinds->pool, s);
    return why ? store_refuse(text, why, store_kinds->pool, s) : OK;
}

const usher_store_kind_t *core_store_kind(const char *name)
{
    int i;

    for (i = 0; i < store_kinds->nelts; ++i) {
        const usher_store_kind_t *kind = APR_ARRAY_IDX(store_kinds, i, const usher_store_kind_t *);

        if (!strcmp(kind->name, name)) {
            return kind;
        }
    }
    return NULL;
}

const char *core_store_name(void)
{
    return store_name;
}

/* Whether all bytes lie between two, and there are neither none nor too many. */
static int store_is_within(const char *text, apr_size_t max, int first, int last)
{
    apr_size_t len = 0;

    while (text[len] >= first && text[len] <= last && len < max) {
        ++len;
    }
    return len && !text[len];
}

int core_store_is_sound(const char *kind, const char *key, const char *value)
{
    return store_is_within(kind, USHER_STORE_KIND_MAX, 'a', 'z')
           && store_is_within(key, USHER_STORE_KEY_MAX, '!', '~')
           && (!value || strlen(value) <= USHER_STORE_VALUE_MAX);
}

void core_store_see(const char *kind, const usher_store_record_t *record, void *baton)
{
    core_store_seeing_t *seeing = baton;
    const usher_store_kind_t *known = core_store_kind(kind);

    if (known && core_store_is_sound(kind, record->key, record->value)) {
        known->apply(record, seeing->s, seeing->ptemp);
        apr_pool_clear(seeing->ptemp);
    }
}

/* The first start, or another store than before. @return NULL, or why not */
static const char *store_start(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    core_store_seeing_t seeing = { s };
    store_retained_t *kept = store_retained();
    const char *why;

    apr_pool_create(&seeing.ptemp, ptemp);
    why = store_engine->start(core_store_see, &seeing, pconf, s);
    apr_pool_destroy(seeing.ptemp);
    if (!why) {
        apr_cpystrn(kept->text, store_text ? store_text : DEFAULT_TEXT, sizeof(kept->text));
        apr_cpystrn(kept->name, store_name, sizeof(kept->name));
        atomic_store(&store_shm->is_up, 1);
        atomic_store(&store_shm->since, usher_clock_system()->boot_now() / 1000);
    }
    return why;
}

int core_store_post_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    const char *text = store_text ? store_text : DEFAULT_TEXT, *why;

    store_shm = store_engine ? core_store_queue_open() : NULL;
    if (store_shm && strcmp(store_retained()->name, store_name)) {
        why = store_start(pconf, ptemp, s);
        if (why && store_refuse(text, why, pconf, s) != OK) {
            return !OK;
        }
    }
    core_store_thread_post_config(store_engine ? store_shm : NULL, store_engine);
    return OK;
}

void core_store_state(usher_store_state_t *state)
{
    memset(state, 0, sizeof(*state));
    state->name = store_name;
    if (store_engine && store_shm) {
        apr_int64_t began = atomic_load(&store_shm->began);
        /* What hangs is as good as down. */
        int hangs = began > 0 && usher_clock_system()->boot_now() / 1000 - began
                                 > CORE_STORE_STUCK_LIMIT;

        state->is_up = atomic_load(&store_shm->is_up) && !hangs;
        state->since = hangs ? began : atomic_load(&store_shm->since);
        state->commits = atomic_load(&store_shm->commits);
        state->changes = atomic_load(&store_shm->changes);
        state->refused = atomic_load(&store_shm->refused);
    }
}

usher_store_result_e core_store_put(usher_store_change_t *changes, int n, apr_interval_time_t wait)
{
    usher_store_state_t state;
    usher_store_result_e result;

    core_store_state(&state);
    if (!state.is_up || n < 1 || n > USHER_STORE_TOGETHER_MAX) {
        return USHER_STORE_DOWN;
    }
    result = core_store_queue_put(changes, n, wait);
    if (result == USHER_STORE_BUSY) {
        atomic_fetch_add(&store_shm->refused, (apr_uint64_t)n);
    }
    return result;
}
