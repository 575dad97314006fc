/* UsherTLSStats and UsherTLSClients: one setting for all of httpd, as the statistics are one. */
#include "tls_stats.h"
#include "usher_duration.h"

APLOG_USE_MODULE(usher_tls);

#define DAY (APR_TIME_C(86400) * APR_USEC_PER_SEC)

static tls_stats_conf_t stats_conf;

void tls_stats_conf_pre_config(void)
{
    stats_conf = (tls_stats_conf_t) { 1, APR_TIME_C(60) * APR_USEC_PER_SEC, USHER_TLSSTATS_FULL, 7 * DAY };
}

const tls_stats_conf_t *tls_stats_conf(void)
{
    return &stats_conf;
}

/* A duration in bounds. */
static int conf_is_between(apr_interval_time_t *duration, const char *text, apr_interval_time_t min,
                           apr_interval_time_t max)
{
    return usher_duration_parse(duration, text, strlen(text)) == APR_SUCCESS && *duration >= min
           && *duration <= max;
}

const char *tls_stats_conf_set_on(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    apr_interval_time_t save = stats_conf.save;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections: the statistics are one for "
                                      "all of httpd");
    }
    if (argc < 1 || argc > 2) {
        return usher_conf_refuse(cmd, "takes On or Off, and with On how often they are saved, such "
                                      "as 10s");
    }
    if (ap_cstr_casecmp(argv[0], "On") && ap_cstr_casecmp(argv[0], "Off")) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes On or Off", argv[0]));
    }
    if (argc > 1 && !conf_is_between(&save, argv[1], APR_USEC_PER_SEC, 60 * APR_USEC_PER_SEC)) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool,
            "\"%s\": they are saved each 1s to 1m", argv[1]));
    }
    stats_conf.on = !ap_cstr_casecmp(argv[0], "On");
    stats_conf.save = save;
    return NULL;
}

const char *tls_stats_conf_set_clients(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    static const char *const words[] = { "full", "prefix", "off" };
    apr_interval_time_t keep_for = stats_conf.keep_for;
    int i;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections: the statistics are one for "
                                      "all of httpd");
    }
    if (argc < 1 || argc > 2) {
        return usher_conf_refuse(cmd, "takes full, prefix or off, and how long addresses are kept, "
                                      "such as 7d");
    }
    if (argc > 1 && !conf_is_between(&keep_for, argv[1], DAY / 24, 31 * DAY)) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool,
            "\"%s\": addresses are kept for 1h to 31d", argv[1]));
    }
    for (i = 0; i < 3; ++i) {
        if (!ap_cstr_casecmp(argv[0], words[i])) {
            stats_conf.keep = (usher_tlsstats_keep_e)i;
            stats_conf.keep_for = keep_for;
            return NULL;
        }
    }
    return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes full, prefix or off",
                                               argv[0]));
}
