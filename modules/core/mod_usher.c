/* mod_usher: the core of the suite. Wires its parts into httpd; core_private.h
 * tells which file does what. */
#include <ap_mpm.h>
#include <mpm_common.h>
#include <mod_watchdog.h>
#include <util_mutex.h>

#include "core_store.h"

static const usher_core_t core = {
    .abi = USHER_CORE_ABI,
    .memory_declare = core_memory_declare,
    .memory_base = core_memory_base,
    .memory_lock = core_memory_lock,
    .memory_unlock = core_memory_unlock,
    .tick_add = core_tick_add,
    .registry_cluster = core_registry_cluster,
    .registry_member = core_registry_member,
    .registry_places = core_registry_places,
    .registry_each = core_registry_each,
    .clock_skew = core_clock_skew,
    .state_dir = core_state_dir,
    .guard_check = core_guard_check,
    .guard_admits = core_guard_admits,
    .guard_knows_host = core_guard_knows_host,
    .store_keep = core_store_keep,
    .store_put = core_store_put,
    .store_state = core_store_state,
    .registry_leave = core_registry_leave,
    .registry_hold = core_registry_hold,
    .registry_release = core_registry_release,
    .roster_set = core_roster_set,
    .roster_remove = core_roster_remove,
    .roster_renew = core_roster_renew,
    .roster_get = core_roster_get,
    .roster_removed = core_roster_removed,
    .roster_each = core_roster_each,
    .roster_count = core_roster_count,
    .roster_changes = core_roster_changes,
    .roster_event = core_roster_event,
    .image_declare = core_image_declare,
    .image_room = core_image_room,
    .image_begin = core_image_begin,
    .image_end = core_image_end,
    .image_number = core_image_number,
    .image_state = core_image_state,
};

static int core_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    core_clock_pre_config();
    core_guard_pre_config(pconf);
    core_image_pre_config(pconf);
    core_memory_pre_config(pconf);
    core_memory_conf_pre_config();
    core_state_pre_config();
    core_store_pre_config(pconf);
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
    core_roster_check_config();
    core_image_follow_check_config();
    return rc;
}

/* After the modules have declared what they need. */
static int core_last_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                  server_rec *s)
{
    int rc = core_memory_check_config(pconf, plog, ptemp, s);
    int state_rc = core_state_check_config(ptemp, s);

    return rc == OK ? state_rc : rc;
}

/* Before all other modules of the suite: they find their memory there. */
static int core_memory_first_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                                         apr_pool_t *ptemp, server_rec *s)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    core_holds_first_post_config();
    core_registry_post_config();
    core_roster_post_config(s);
    if (core_state_post_config(ptemp, s) != OK || core_memory_post_config(s) != OK) {
        return !OK;
    }
    core_holds_post_config();
    return OK;
}

/* After all others, who add their work, and before mod_watchdog's own. */
static int core_tick_last_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                                      apr_pool_t *ptemp, server_rec *s)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    core_registry_sweep();
    core_image_post_config();
    core_image_follow_post_config();
    if (core_store_post_config(pconf, ptemp, s) != OK) {
        return !OK;
    }
    core_dbd_post_config();
    return core_tick_post_config(pconf, s);
}

static void core_child_init(apr_pool_t *pchild, server_rec *s)
{
    core_memory_child_init(s);
    core_holds_child_init(s);
    core_image_follow_child_init(pchild);
    core_tick_child_init(pchild);
}

/* After all others: its thread calls their functions. */
static void core_last_child_init(apr_pool_t *pchild, server_rec *s)
{
    core_store_child_init(pchild, s);
}

/* In the parent. */
static void core_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                              mpm_child_status state)
{
    core_tick_child_status(s, pid, gen, slot, state);
    if (state == MPM_CHILD_EXITED) {
        core_holds_child_gone(pid);
    }
}

static int core_monitor(apr_pool_t *p, server_rec *s)
{
    core_holds_monitor();
    return core_tick_monitor(p, s);
}

static const command_rec core_cmds[] = {
    AP_INIT_TAKE_ARGV("UsherMemory", core_memory_set, NULL, RSRC_CONF | ACCESS_CONF,
                  "name of a piece of shared memory, and its size such as 64K "
                  "or 16M; default as its module says"),
    AP_INIT_TAKE_ARGV("UsherClockSkew", core_clock_set_skew, NULL, RSRC_CONF | ACCESS_CONF,
                  "how far apart the clocks of machines may be, 0 to 1d; default 5m"),
    AP_INIT_TAKE_ARGV("UsherStateDir", core_state_set, NULL, RSRC_CONF | ACCESS_CONF,
                  "directory for what shall outlive httpd; default lib/usher below the "
                  "directory that configure calls localstatedir"),
    AP_INIT_TAKE_ARGV("UsherStore", core_store_set, NULL, RSRC_CONF | ACCESS_CONF,
                  "where modules keep what shall outlive httpd: file:, file:/directory, "
                  "dbd:driver:file or none; default file: in UsherStateDir"),
    { NULL }
};

static void core_register_hooks(apr_pool_t *p)
{
    static const char *const before_watchdog[] = { "mod_watchdog.c", NULL };

    ap_register_provider(p, USHER_CORE_GROUP, USHER_CORE_NAME, USHER_CORE_VERSION, &core);
    ap_hook_pre_config(core_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(core_declare_check_config, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_check_config(core_last_check_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_post_config(core_memory_first_post_config, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_post_config(core_tick_last_post_config, NULL, before_watchdog, APR_HOOK_LAST);
    ap_hook_child_init(core_child_init, NULL, before_watchdog, APR_HOOK_REALLY_FIRST);
    ap_hook_child_init(core_last_child_init, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_child_status(core_store_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(core_store_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(core_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(core_monitor, NULL, NULL, APR_HOOK_MIDDLE);
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
