/* mod_usher: the core of the suite. Wires its parts into httpd; core_private.h
 * tells which file does what. */
#include <ap_mpm.h>
#include <mpm_common.h>
#include <mod_watchdog.h>
#include <util_mutex.h>

#include "core_private.h"

static const usher_core_t core = {
    .abi = USHER_CORE_ABI,
    .memory_declare = core_memory_declare,
    .memory_base = core_memory_base,
    .memory_lock = core_memory_lock,
    .memory_unlock = core_memory_unlock,
    .tick_add = core_tick_add,
    .registry_cluster = core_registry_cluster,
    .registry_member = core_registry_member,
};

static int core_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    core_memory_pre_config(pconf);
    core_memory_conf_pre_config();
    core_tick_pre_config(pconf);
    return ap_mutex_register(pconf, CORE_MUTEX_TYPE, NULL, APR_LOCK_DEFAULT, 0)
                   == APR_SUCCESS ? OK : !OK;
}

/* First, so that the core's own pieces are declared before the others'. */
static int core_declare_check_config(apr_pool_t *pconf, apr_pool_t *plog,
                                     apr_pool_t *ptemp, server_rec *s)
{
    int rc = core_tick_check_config(s);

    core_registry_check_config();
    return rc;
}

/* Before all other modules of the suite: they find their memory there. */
static int core_memory_first_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                                         apr_pool_t *ptemp, server_rec *s)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    core_registry_post_config();
    return core_memory_post_config(s);
}

/* After all others, who add their work, and before mod_watchdog's own. */
static int core_tick_last_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                                      apr_pool_t *ptemp, server_rec *s)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    core_registry_sweep();
    return core_tick_post_config(pconf, s);
}

static void core_child_init(apr_pool_t *pchild, server_rec *s)
{
    core_memory_child_init(s);
    core_tick_child_init(pchild);
}

static const command_rec core_cmds[] = {
    AP_INIT_TAKE_ARGV("UsherMemory", core_memory_set, NULL, RSRC_CONF | ACCESS_CONF,
                  "name of a piece of shared memory, and its size such as 64K "
                  "or 16M; default as its module says"),
    { NULL }
};

static void core_register_hooks(apr_pool_t *p)
{
    static const char *const before_watchdog[] = { "mod_watchdog.c", NULL };

    ap_register_provider(p, USHER_CORE_GROUP, USHER_CORE_NAME, USHER_CORE_VERSION, &core);
    ap_hook_pre_config(core_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(core_declare_check_config, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* After the modules have declared their pieces. */
    ap_hook_check_config(core_memory_check_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_post_config(core_memory_first_post_config, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_post_config(core_tick_last_post_config, NULL, before_watchdog, APR_HOOK_LAST);
    ap_hook_child_init(core_child_init, NULL, before_watchdog, APR_HOOK_REALLY_FIRST);
    ap_hook_child_status(core_tick_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(core_tick_monitor, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(usher) = {
    STANDARD20_MODULE_STUFF,
    NULL, /* per-directory config */
    NULL,
    core_memory_create_conf, /* per-server config; only the main server's counts */
    NULL,
    core_cmds,
    core_register_hooks
};
