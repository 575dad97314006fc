/* UsherRegisterLease and UsherRegisterDrain: one setting for all of httpd, as members are
 * the same for all of it. */
#include "register_member.h"
#include "usher_duration.h"
#include "usher_options.h"

APLOG_USE_MODULE(usher_register);

#define SECOND APR_INT64_C(1000000)
#define DAY    (86400 * SECOND)

register_settings_t register_settings;

void register_conf_init(void)
{
    register_settings = (register_settings_t) {
        .lease_default = 30 * SECOND,
        .lease_min = 5 * SECOND,
        .lease_max = 3600 * SECOND,
        .drain = 600 * SECOND,
    };
}

#define LEASE(key, field) \
    { key, USHER_OPTION_DURATION, 0, SECOND, DAY, "a time from 1s to 1d", \
      APR_OFFSETOF(register_settings_t, field), NULL }

const char *register_conf_set_lease(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    static const usher_option_t options[] = {
        LEASE("default", lease_default), LEASE("min", lease_min), LEASE("max", lease_max),
        { NULL }
    };
    register_settings_t set = register_settings;
    const char *reason;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections");
    }
    reason = usher_options_set(cmd->pool, &set, sizeof(set), options, argc, argv);
    if (!reason && (set.lease_min > set.lease_default || set.lease_default > set.lease_max)) {
        reason = "default= lies between min= and max=: by themselves they are default=30s min=5s "
                 "max=1h";
    }
    if (reason) {
        return usher_conf_refuse(cmd, reason);
    }
    register_settings = set;
    return NULL;
}

const char *register_conf_set_drain(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    apr_interval_time_t time;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections");
    }
    if (argc != 1) {
        return usher_conf_refuse(cmd, "takes one argument, a time such as 10m");
    }
    if (usher_duration_parse(&time, argv[0], strlen(argv[0])) != APR_SUCCESS || time < SECOND
        || time > DAY) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes a time from 1s to 1d",
                                                   argv[0]));
    }
    register_settings.drain = time;
    return NULL;
}
