/* mod_ushertest: the core's services over HTTP, for t/core.
 *
 *   SetHandler usher-test     ?pid ?set=N ?get ?wait=N ?move ?die ?hold=SECONDS
 *                             ?hammer=SECONDS ?check ?ticks ?smash
 *                             ?members=N ?member=ROUTE ?age
 *                             ?rest=CLUSTER,SERVER,ROUTE,URL ?up= ?garble= ?given=
 *   UsherTestLayout 1|2       layout of the piece "test"
 *   UsherTestTick duration    how long the work on the tick takes
 *   UsherTestMembers N        members asked for in post_config
 */
#include <ap_mpm.h>
#include <http_config.h>
#include <http_request.h>
#include <unistd.h>

#include "ushertest.h"
#include "usher_duration.h"

module AP_MODULE_DECLARE_DATA ushertest_module;

const usher_core_t *ushertest_core;
usher_memory_t *ushertest_memory;

static void *create_conf(apr_pool_t *p, server_rec *s)
{
    ushertest_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->layout = 1;
    return conf;
}

static ushertest_conf_t *conf_of(server_rec *s)
{
    return ap_get_module_config(s->module_config, &ushertest_module);
}

static const char *set_layout(cmd_parms *cmd, void *dummy, const char *arg)
{
    if (strcmp(arg, "1") && strcmp(arg, "2")) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": there are 1 and 2", arg));
    }
    conf_of(cmd->server)->layout = (apr_uint32_t)(*arg - '0');
    return NULL;
}

static const char *set_tick(cmd_parms *cmd, void *dummy, const char *arg)
{
    if (usher_duration_parse(&conf_of(cmd->server)->tick, arg, strlen(arg)) != APR_SUCCESS) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": a duration such as 500ms", arg));
    }
    return NULL;
}

static const char *set_members(cmd_parms *cmd, void *dummy, const char *arg)
{
    conf_of(cmd->server)->members = (int)apr_atoi64(arg);
    return NULL;
}

static int test_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s)
{
    int rc = usher_core_lookup(&ushertest_core, "mod_ushertest", s);

    if (ushertest_core) {
        ushertest_memory =
            ushertest_core->memory_declare(ushertest_ledger_spec(conf_of(s)->layout));
    }
    return rc;
}

static int test_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                            server_rec *s)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG && ushertest_core
        && ushertest_core->memory_base(ushertest_memory, NULL)) {
        ushertest_tick_add(conf_of(s));
        ushertest_members(ptemp, conf_of(s)->members);
    }
    return OK;
}

static const char *arg_of(request_rec *r, const char *name)
{
    apr_size_t n = strlen(name);

    if (!r->args || strncmp(r->args, name, n) || (r->args[n] && r->args[n] != '=')) {
        return NULL;
    }
    return r->args[n] ? r->args + n + 1 : "";
}

static void wait_for(request_rec *r, ushertest_shm_t *shm, apr_int64_t value)
{
    int i;

    for (i = 0; i < 2000 && atomic_load(&shm->value) != value; ++i) {
        apr_sleep(10000);
    }
    ap_rprintf(r, "pid=%d value=%" APR_INT64_T_FMT "\n", (int)getpid(), atomic_load(&shm->value));
}

static void hold(request_rec *r, int seconds)
{
    apr_time_t end = apr_time_now() + apr_time_from_sec(seconds);
    apr_status_t rv = ushertest_core->memory_lock(ushertest_memory);

    if (rv == APR_SUCCESS) {
        while (apr_time_now() < end) {
            apr_sleep(10000); /* a signal ends a longer sleep early */
        }
        ushertest_core->memory_unlock(ushertest_memory);
    }
    ap_rprintf(r, "rv=%d\n", rv);
}

static void answer(request_rec *r, ushertest_shm_t *shm, apr_uint64_t size)
{
    const char *arg;
    int generation = 0;

    if ((arg = arg_of(r, "set")) != NULL) {
        atomic_store(&shm->value, apr_atoi64(arg));
        ap_rputs("set\n", r);
    }
    else if ((arg = arg_of(r, "wait")) != NULL) {
        wait_for(r, shm, apr_atoi64(arg));
    }
    else if (arg_of(r, "move")) {
        ap_rprintf(r, "rv=%d\n", ushertest_move(0));
    }
    else if (arg_of(r, "die")) {
        ushertest_move(1);
    }
    else if ((arg = arg_of(r, "hold")) != NULL) {
        hold(r, (int)apr_atoi64(arg));
    }
    else if ((arg = arg_of(r, "hammer")) != NULL) {
        ushertest_hammer(r, (int)apr_atoi64(arg));
    }
    else if (arg_of(r, "smash")) {
        memset((char *)shm - 128, 'x', 64); /* the core's header, as a bug would */
        ap_rputs("smashed\n", r);
    }
    else if ((arg = arg_of(r, "members")) != NULL) {
        ap_rprintf(r, "given=%d\n", ushertest_members(r->pool, (int)apr_atoi64(arg)));
    }
    else if ((arg = arg_of(r, "member")) != NULL) {
        ushertest_member(r, shm, arg);
    }
    else if (arg_of(r, "age")) {
        ushertest_age(r, shm);
    }
    else if ((arg = arg_of(r, "rest")) != NULL) {
        ushertest_health(r, arg, USHERTEST_REST);
    }
    else if ((arg = arg_of(r, "up")) != NULL) {
        ushertest_health(r, arg, USHERTEST_UP);
    }
    else if ((arg = arg_of(r, "garble")) != NULL) {
        ushertest_health(r, arg, USHERTEST_GARBLE);
    }
    else if ((arg = arg_of(r, "given")) != NULL) {
        ushertest_health(r, arg, USHERTEST_GIVEN);
    }
    else if (arg_of(r, "check")) {
        ushertest_check(r);
    }
    else if (arg_of(r, "ticks")) {
        ap_rprintf(r, "ticks=%" APR_UINT64_T_FMT " parent_ticks=%" APR_UINT64_T_FMT
                   " overlaps=%u cuts=%u last_pid=%u\n", atomic_load(&shm->ticks),
                   atomic_load(&shm->parent_ticks), atomic_load(&shm->overlaps),
                   atomic_load(&shm->cuts), atomic_load(&shm->last_pid));
    }
    else {
        ap_mpm_query(AP_MPMQ_GENERATION, &generation);
        ap_rprintf(r, "pid=%d generation=%d base=%pp size=%" APR_UINT64_T_FMT
                   " value=%" APR_INT64_T_FMT "\n", (int)getpid(), generation, (void *)shm, size,
                   atomic_load(&shm->value));
    }
}

static int test_handler(request_rec *r)
{
    apr_uint64_t size = 0;
    ushertest_shm_t *shm;

    if (!r->handler || strcmp(r->handler, "usher-test")) {
        return DECLINED;
    }
    shm = ushertest_core ? ushertest_core->memory_base(ushertest_memory, &size) : NULL;
    if (!shm) {
        return HTTP_SERVICE_UNAVAILABLE; /* off, as a part of the suite would be */
    }
    ap_set_content_type(r, "text/plain");
    answer(r, shm, size);
    return OK;
}

static const command_rec test_cmds[] = {
    AP_INIT_TAKE1("UsherTestLayout", set_layout, NULL, RSRC_CONF, "1 or 2"),
    AP_INIT_TAKE1("UsherTestMembers", set_members, NULL, RSRC_CONF, "a number"),
    AP_INIT_TAKE1("UsherTestTick", set_tick, NULL, RSRC_CONF, "a duration"),
    { NULL }
};

static void register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(test_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(test_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(test_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

AP_DECLARE_MODULE(ushertest) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, create_conf, NULL, test_cmds, register_hooks
};
