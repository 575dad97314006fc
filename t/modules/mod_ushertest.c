/* mod_ushertest: the core's services over HTTP, for t/core.
 *
 *   SetHandler usher-test     ?pid ?set=N ?get ?wait=N ?move ?die ?hold=SECONDS
 *                             ?hammer=SECONDS ?check ?ticks ?smash
 *                             ?members=N ?member=ROUTE ?age
 *                             ?rest=CLUSTER,SERVER,ROUTE,URL ?up= ?garble= ?hostile= ?given=
 *                             ?skew ?join=CLUSTER,ROUTE,URL,key=value... ?leave=CLUSTER,ROUTE
 *                             ?churn=ROUNDS,MEMBERS,CLUSTER,URL
 *                             ?may=CLUSTER,ROUTE,URL and more: ushertest_seat.c
 *                             ?put=KEY,NUMBER[,WAS[,LENGTH[,LIFE]]][;...] ?soon= ?hand= ?cells
 *                             ?store ?image ?reads=LETTER
 *   UsherTestSecrets On       opens secrets of registered members: ushertest_roster.c
 *   UsherTestLayout 1|2       layout of the piece "test"
 *   UsherTestTick duration    how long the work on the tick takes; off: it changes nothing
 *   UsherTestMembers N        members asked for in post_config
 *   UsherTestStore            keeps cells in the store
 *   UsherTestImage PATH       a file of data: ushertest_image.c
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
    if (!strcmp(arg, "off")) {
        conf_of(cmd->server)->tick = -1;
        return NULL;
    }
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

static const char *set_store(cmd_parms *cmd, void *dummy)
{
    conf_of(cmd->server)->store = 1;
    return NULL;
}

static const char *set_image(cmd_parms *cmd, void *dummy, const char *arg)
{
    conf_of(cmd->server)->image = arg;
    return NULL;
}

static const char *set_secrets(cmd_parms *cmd, void *dummy, int on)
{
    if (on) {
        ushertest_roster_register();
    }
    return NULL;
}

static int test_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s)
{
    int rc = usher_core_lookup(&ushertest_core, "mod_ushertest", s);

    if (ushertest_core) {
        ushertest_memory =
            ushertest_core->memory_declare(ushertest_ledger_spec(conf_of(s)->layout));
        ushertest_image_declare(conf_of(s)->image, s);
        if (conf_of(s)->store) {
            return ushertest_store_check(s);
        }
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

static int answer_store(request_rec *r)
{
    static const char *const names[] = { "put", "soon", "hand", "cells", "store" };
    apr_size_t i;

    for (i = 0; i < sizeof(names) / sizeof(*names); ++i) {
        if (arg_of(r, names[i])) {
            ushertest_store(r, names[i], arg_of(r, names[i]));
            return 1;
        }
    }
    return 0;
}

static int answer_roster(request_rec *r)
{
    const char *arg;

    if ((arg = arg_of(r, "join")) != NULL) {
        ushertest_join(r, arg);
    }
    else if ((arg = arg_of(r, "leave")) != NULL) {
        ushertest_leave(r, arg);
    }
    else if ((arg = arg_of(r, "churn")) != NULL) {
        ushertest_churn(r, arg);
    }
    return arg != NULL;
}

static int answer_image(request_rec *r)
{
    const char *what = arg_of(r, "image") ? "image" : "reads", *arg = arg_of(r, what);

    if (arg) {
        ushertest_image(r, what, arg);
    }
    return arg != NULL;
}

static void answer(request_rec *r, ushertest_shm_t *shm, apr_uint64_t size)
{
    const char *arg;
    int generation = 0;

    if (answer_store(r) || answer_roster(r) || answer_image(r)) {
        return;
    }
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
    else if ((arg = arg_of(r, "hostile")) != NULL) {
        ushertest_health(r, arg, USHERTEST_HOSTILE);
    }
    else if ((arg = arg_of(r, "given")) != NULL) {
        ushertest_health(r, arg, USHERTEST_GIVEN);
    }
    else if (arg_of(r, "skew")) {
        ap_rprintf(r, "ms=%" APR_TIME_T_FMT "\n", ushertest_core->clock_skew() / 1000);
    }
    else if ((arg = arg_of(r, "look")) != NULL) {
        ushertest_health(r, arg, USHERTEST_LOOK);
    }
    else if ((arg = arg_of(r, "miscount")) != NULL) {
        ushertest_health(r, arg, USHERTEST_MISCOUNT);
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
    else if (!r->args || !ushertest_seat(r, r->args)) {
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
    AP_INIT_TAKE1("UsherTestImage", set_image, NULL, RSRC_CONF, "a path"),
    AP_INIT_FLAG("UsherTestSecrets", set_secrets, NULL, RSRC_CONF, "On"),
    AP_INIT_TAKE1("UsherTestLayout", set_layout, NULL, RSRC_CONF, "1 or 2"),
    AP_INIT_TAKE1("UsherTestMembers", set_members, NULL, RSRC_CONF, "a number"),
    AP_INIT_NO_ARGS("UsherTestStore", set_store, NULL, RSRC_CONF, "nothing"),
    AP_INIT_TAKE1("UsherTestTick", set_tick, NULL, RSRC_CONF, "a duration, or off"),
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
