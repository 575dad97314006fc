/* Warns of databases that nobody brings up to date: networks move, and an old database lets in
 * and keeps out the wrong ones. In the tick of one child. */
#include "geo_private.h"

APLOG_USE_MODULE(usher_geo);

#define DAY apr_time_from_sec(86400)

/* When it was built: it says so itself, wherever and whenever it was copied. 0: there is none */
static apr_time_t age_built_at(const geo_db_t *db)
{
    usher_image_hold_t hold;
    const MMDB_s *mmdb = geo_db_begin(db, &hold);
    apr_time_t built_at = 0;

    if (mmdb) {
        apr_uint64_t seconds = mmdb->metadata.build_epoch;

        built_at = seconds < APR_INT64_MAX / APR_USEC_PER_SEC ? apr_time_from_sec((apr_int64_t)seconds) : 0;
        geo_db_end(db, &hold);
    }
    return built_at;
}

static void age_look(const geo_named_t *named, server_rec *s)
{
    geo_db_t *db = named->db;
    apr_time_t now = apr_time_now(), built_at;

    if (!db->age_max || (db->aged_at && now >= db->aged_at && now - db->aged_at < DAY)) {
        return;
    }
    built_at = age_built_at(db);
    if (built_at && now > built_at && now - built_at > db->age_max) {
        db->aged_at = now;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(7003) "UsherGeoDatabase %s: %s was built %"
                     APR_TIME_T_FMT " days ago, age= allows %" APR_TIME_T_FMT ": see whether what updates it "
                     "(geoipupdate, cron) still works", named->name, db->path, (now - built_at) / DAY,
                     db->age_max / DAY);
    }
}

static void age_run(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    const apr_array_header_t *databases = geo_conf_databases();
    int i;

    for (i = 0; i < databases->nelts; ++i) {
        age_look(&APR_ARRAY_IDX(databases, i, geo_named_t), s);
    }
}

void geo_age_post_config(void)
{
    static const usher_tick_work_t work = {
        .name = "age of databases", .where = USHER_TICK_CHILD, .run = age_run,
    };

    geo_core->tick_add(&work);
}
