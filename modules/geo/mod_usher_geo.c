/* mod_usher_geo: where clients come from, by MaxMind databases. Wires its parts into httpd;
 * geo_private.h tells which file does what. */
#include "geo_private.h"

const usher_core_t *geo_core;

static int geo_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    geo_conf_pre_config(pconf);
    geo_place_pre_config(pconf);
    geo_maxmind_pre_config(pconf);
    geo_question_pre_config(pconf);
    geo_expr_pre_config(pconf);
    return OK;
}

static int geo_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int rc = usher_core_lookup(&geo_core, "mod_usher_geo", s);

    if (geo_core) {
        int databases = geo_conf_check_config(s), files = geo_maxmind_check_config(s);
        int questions = geo_question_check_config(pconf, s), expressions = geo_expr_check_config(pconf, s);

        rc = databases != OK ? databases : files != OK ? files : questions != OK ? questions : expressions;
    }
    return rc;
}

static int geo_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    if (geo_core && ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        geo_age_post_config();
    }
    return OK;
}

static const command_rec geo_cmds[] = {
    AP_INIT_TAKE_ARGV("UsherGeoDatabase", geo_conf_set_database, NULL, RSRC_CONF,
        "a name, a database's file in MaxMind's format, and: age=30d, optional"),
    AP_INIT_TAKE1("UsherGeoMissing", geo_settings_set_missing, NULL, RSRC_CONF | OR_AUTHCFG,
        "what Require usher-country and the like do without a usable database: deny (the default) or allow"),
    AP_INIT_TAKE_ARGV("UsherGeoExempt", geo_settings_set_exempt, NULL, RSRC_CONF | ACCESS_CONF,
        "path prefixes that pass Require usher-country and the like (default /.well-known/acme-challenge/), or none"),
    AP_INIT_FLAG("UsherGeoHtaccessFiles", geo_settings_set_htaccess_files, NULL, RSRC_CONF,
        "whether .htaccess files may name databases by MaxMindDBFile (On or Off, default Off)"),
    AP_INIT_FLAG("MaxMindDBEnable", geo_maxmind_set_enable, NULL, OR_ALL,
        "whether variables of a request are set from databases (On or Off)"),
    AP_INIT_FLAG("MaxMindDBSetNotes", geo_maxmind_set_notes, NULL, OR_ALL,
        "whether the variables are set as notes too (On or Off)"),
    AP_INIT_TAKE2("MaxMindDBFile", geo_maxmind_set_file, NULL, OR_ALL,
        "a name, and the file of the database"),
    AP_INIT_TAKE2("MaxMindDBEnv", geo_maxmind_set_env, NULL, OR_ALL,
        "a variable, and where its value is: a database's name and a path, as COUNTRY_DB/country/iso_code"),
    AP_INIT_TAKE2("MaxMindDBNetworkEnv", geo_maxmind_set_network, NULL, OR_ALL,
        "a database's name, and the variable that gets the client's network"),
    { NULL }
};

static void geo_hooks(apr_pool_t *p)
{
    ap_hook_pre_config(geo_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(geo_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(geo_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    geo_env_hooks();
    geo_require_hooks(p);
    geo_expr_hooks();
    geo_question_hooks();
}

AP_DECLARE_MODULE(usher_geo) = {
    STANDARD20_MODULE_STUFF,
    geo_settings_create_dir,
    geo_settings_merge_dir,
    geo_settings_create_server,
    geo_settings_merge_server,
    geo_cmds,
    geo_hooks
};
