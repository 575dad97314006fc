/* Who is let in: the core's guard decides. */
#include "status_private.h"

APLOG_USE_MODULE(usher_status);

const usher_core_t *status_core;

static const usher_guard_spec_t spec = {
    .handler = STATUS_HANDLER,
    .what = "the status is",
    .reason = "shows addresses and switches members",
};

static usher_guard_t *guard; /* NULL: there is no core, nobody is let in */

int status_guard_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                              server_rec *s)
{
    int rc = usher_core_lookup(&status_core, "mod_usher_status", s);

    guard = NULL;
    status_view_post_config(pconf);
    return status_core ? status_core->guard_check(&guard, &spec, s) : rc;
}

int status_guard_admits(request_rec *r)
{
    return guard && status_core->guard_admits(guard, r);
}

int status_guard_knows_host(request_rec *r)
{
    return status_core->guard_knows_host(guard, r);
}
