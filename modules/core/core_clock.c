/* UsherClockSkew: how far apart the clocks of machines may be. */
#include "core_private.h"
#include "usher_duration.h"

APLOG_USE_MODULE(usher);

#define SKEW_DEFAULT (APR_TIME_C(5) * 60 * APR_USEC_PER_SEC)
#define SKEW_MAX     (APR_TIME_C(86400) * APR_USEC_PER_SEC)

/* Of this reading of the configuration. */
static apr_interval_time_t clock_skew = SKEW_DEFAULT;

void core_clock_pre_config(void)
{
    clock_skew = SKEW_DEFAULT;
}

/* Takes any number of arguments, and stands in any section, as UsherMemory. */
const char *core_clock_set_skew(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    apr_interval_time_t skew;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections");
    }
    if (argc != 1) {
        return usher_conf_refuse(cmd, "takes one argument, a time such as 5m");
    }
    if (usher_duration_parse(&skew, argv[0], strlen(argv[0])) != APR_SUCCESS || skew > SKEW_MAX) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool,
            "\"%s\": a time from 0 to 1d, such as 5m", argv[0]));
    }
    clock_skew = skew;
    return NULL;
}

apr_interval_time_t core_clock_skew(void)
{
    return clock_skew;
}
