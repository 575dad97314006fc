/* mod_ushertestabi: built for a core of another ABI, for t/core/restart.t. */
#include "usher_core.h"

static int test_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s)
{
    const usher_core_t *core;

    return usher_core_lookup(&core, "mod_ushertestabi", s);
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(test_check_config, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(ushertestabi) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks
};
