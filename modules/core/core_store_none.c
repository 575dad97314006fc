/* UsherStore none: versions are compared, and nothing is kept beyond the process that does
 * it. What shared memory knows stays until httpd is stopped. */
#include "core_store_table.h"

APLOG_USE_MODULE(usher);

static core_store_table_t *table; /* the thread's */

static const char *none_configure(const char *rest, const char **name, apr_pool_t *pconf,
                                  server_rec *s)
{
    return *rest ? "takes nothing after \"none\"" : NULL;
}

static const char *none_start(core_store_see_t *see, void *baton, apr_pool_t *pconf, server_rec *s)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(1061)
                 "UsherStore none: what modules would keep in the store is lost when httpd is "
                 "stopped");
    return NULL;
}

static apr_status_t none_take(core_store_see_t *see, void *baton, server_rec *s)
{
    table = core_store_table_make();
    return table ? APR_SUCCESS : APR_ENOMEM;
}

static apr_status_t none_commit(core_store_batch_t *batches, int n, core_store_see_t *see,
                                void *baton, server_rec *s)
{
    static core_store_pending_t pending; /* only one thread is here */

    core_store_table_judge(table, batches, n, 1, &pending);
    core_store_table_settle(table, batches, n, &pending, see, baton);
    return APR_SUCCESS;
}

static apr_status_t none_poll(core_store_see_t *see, void *baton, server_rec *s)
{
    core_store_table_sweep(table);
    return APR_SUCCESS;
}

static void none_leave(void)
{
    core_store_table_free(table);
    table = NULL;
}

const core_store_engine_t core_store_none = {
    .scheme = "none",
    .configure = none_configure,
    .start = none_start,
    .take = none_take,
    .commit = none_commit,
    .poll = none_poll,
    .leave = none_leave,
};
