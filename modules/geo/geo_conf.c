/* UsherGeoDatabase: databases by name, for all of httpd. */
#include "geo_private.h"
#include "usher_options.h"

APLOG_USE_MODULE(usher_geo);

#define DAY apr_time_from_sec(86400)

static apr_array_header_t *databases; /* geo_named_t */

void geo_conf_pre_config(apr_pool_t *pconf)
{
    databases = apr_array_make(pconf, 4, sizeof(geo_named_t));
}

const apr_array_header_t *geo_conf_databases(void)
{
    return databases;
}

geo_db_t *geo_conf_database(const char *name)
{
    int i;

    for (i = 0; i < databases->nelts; ++i) {
        const geo_named_t *named = &APR_ARRAY_IDX(databases, i, geo_named_t);

        if (!strcmp(named->name, name)) {
            return named->db;
        }
    }
    return NULL;
}

typedef struct {
    apr_int64_t age;
    int optional;
} conf_options_t;

static const char *conf_wrong(cmd_parms *cmd, int argc, char *const argv[], conf_options_t *given)
{
    static const usher_option_t options[] = {
        { "age", USHER_OPTION_DURATION, 1, DAY, 3650 * DAY, "a time from 1d to 3650d, or off",
          APR_OFFSETOF(conf_options_t, age), NULL },
        { "optional", USHER_OPTION_FLAG, 0, 0, 0, NULL, APR_OFFSETOF(conf_options_t, optional), NULL },
        { NULL }
    };

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return "belongs outside of all sections";
    }
    if (argc < 2) {
        return "takes a name, and the file of the database: country /var/lib/GeoIP/GeoLite2-Country.mmdb";
    }
    if (!*argv[0] || argv[0][strspn(argv[0], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789-_.")]) {
        return apr_psprintf(cmd->pool, "\"%s\": a name has letters, digits, '-', '_' and '.'", argv[0]);
    }
    if (geo_conf_database(argv[0])) {
        return apr_psprintf(cmd->pool, "\"%s\": there is a database of that name already: take "
                            "another name", argv[0]);
    }
    return argc == 2 ? NULL
           : usher_options_set(cmd->pool, given, sizeof(*given), options, argc - 2, argv + 2);
}

const char *geo_conf_set_database(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    conf_options_t given = { 0, 0 };
    const char *wrong = conf_wrong(cmd, argc, argv, &given);
    geo_db_t *db;

    if (wrong) {
        return usher_conf_refuse(cmd, wrong);
    }
    db = apr_pcalloc(cmd->pool, sizeof(*db));
    db->path = ap_server_root_relative(cmd->pool, argv[1]);
    db->age_max = given.age;
    if (!db->path) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": is no path", argv[1]));
    }
    APR_ARRAY_PUSH(databases, geo_named_t) = (geo_named_t) {
        apr_pstrdup(cmd->pool, argv[0]), db, given.optional
    };
    return NULL;
}

int geo_conf_check_config(server_rec *s)
{
    int may_refuse = usher_conf_may_refuse();
    int i, rc = OK;

    for (i = 0; i < databases->nelts; ++i) {
        const geo_named_t *named = &APR_ARRAY_IDX(databases, i, geo_named_t);
        const char *error;

        geo_db_declare(named->db, s, &error);
        if (!error) {
            continue;
        }
        if (!named->is_optional && may_refuse) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(7001) "UsherGeoDatabase %s: %s cannot "
                         "be used: %s; mend or replace the file, or let httpd start without it: "
                         "UsherGeoDatabase %s %s optional", named->name, named->db->path, error,
                         named->name, named->db->path);
            rc = !OK;
        }
        else {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(7002) "UsherGeoDatabase %s: %s cannot "
                         "be used: %s; what no other database tells is decided by UsherGeoMissing until there is a "
                         "good file",
                         named->name, named->db->path, error);
        }
    }
    return rc;
}
