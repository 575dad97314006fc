/* mod_maxminddb's directives, with its meaning: those of servers and those of directories are two
 * worlds, each merged for itself, and what is said further inside wins. */
#include "geo_private.h"

APLOG_USE_MODULE(usher_geo);

static apr_array_header_t *files; /* geo_maxmind_item_t: all lines of MaxMindDBFile but those in .htaccess */

void geo_maxmind_pre_config(apr_pool_t *pconf)
{
    files = apr_array_make(pconf, 4, sizeof(geo_maxmind_item_t));
}

static geo_maxmind_t *maxmind_of(cmd_parms *cmd, void *dirv)
{
    geo_dir_t *dir = dirv;
    geo_server_t *server = ap_get_module_config(cmd->server->module_config, &usher_geo_module);
    geo_maxmind_t **conf = cmd->path ? &dir->maxmind : &server->maxmind;

    if (!*conf) {
        *conf = apr_pcalloc(cmd->pool, sizeof(**conf));
        (*conf)->is_on = (*conf)->has_notes = USHER_UNSET;
    }
    return *conf;
}

/* One database has a name, a variable has one path in a database, a database has one variable for networks. */
static int maxmind_is_same(const geo_maxmind_item_t *a, const geo_maxmind_item_t *b)
{
    return a->kind == b->kind && !strcmp(a->database, b->database)
           && (a->kind != GEO_MAXMIND_VALUE || !strcmp(a->variable, b->variable));
}

static void maxmind_put(apr_array_header_t *items, const geo_maxmind_item_t *item)
{
    int i;

    for (i = 0; i < items->nelts; ++i) {
        geo_maxmind_item_t *other = &APR_ARRAY_IDX(items, i, geo_maxmind_item_t);

        if (maxmind_is_same(item, other)) {
            *other = *item;
            return;
        }
    }
    APR_ARRAY_PUSH(items, geo_maxmind_item_t) = *item;
}

static apr_array_header_t *maxmind_overlay(apr_pool_t *p, apr_array_header_t *base, apr_array_header_t *add)
{
    apr_array_header_t *items;
    int i;

    if (!base || !add) {
        return base ? base : add;
    }
    items = apr_array_copy(p, base);
    for (i = 0; i < add->nelts; ++i) {
        maxmind_put(items, &APR_ARRAY_IDX(add, i, geo_maxmind_item_t));
    }
    return items;
}

geo_maxmind_t *geo_maxmind_merge(apr_pool_t *p, geo_maxmind_t *base, geo_maxmind_t *add)
{
    geo_maxmind_t *conf;

    if (!base || !add) {
        return base ? base : add;
    }
    conf = apr_palloc(p, sizeof(*conf));
    conf->is_on = USHER_MERGE(is_on, base, add);
    conf->has_notes = USHER_MERGE(has_notes, base, add);
    conf->items = maxmind_overlay(p, base->items, add->items);
    return conf;
}

static const char *maxmind_add(cmd_parms *cmd, void *dir, const geo_maxmind_item_t *item)
{
    geo_maxmind_t *conf = maxmind_of(cmd, dir);

    if (!conf->items) {
        conf->items = apr_array_make(cmd->pool, 4, sizeof(geo_maxmind_item_t));
    }
    maxmind_put(conf->items, item);
    return NULL;
}

const char *geo_maxmind_set_enable(cmd_parms *cmd, void *dir, int is_on)
{
    maxmind_of(cmd, dir)->is_on = is_on;
    return NULL;
}

const char *geo_maxmind_set_notes(cmd_parms *cmd, void *dir, int is_on)
{
    maxmind_of(cmd, dir)->has_notes = is_on;
    return NULL;
}

/* The same file is the same database, whoever names it. */
static const geo_db_t *maxmind_db(apr_pool_t *p, const char *path)
{
    geo_db_t *db;
    int i;

    for (i = 0; i < files->nelts; ++i) {
        const geo_maxmind_item_t *file = &APR_ARRAY_IDX(files, i, geo_maxmind_item_t);

        if (!strcmp(file->db->path, path)) {
            return file->db;
        }
    }
    db = apr_pcalloc(p, sizeof(*db));
    db->path = path;
    return db;
}

static const char *maxmind_htaccess_db(cmd_parms *cmd, const char *path, const geo_db_t **db)
{
    const geo_server_t *server = ap_get_module_config(cmd->server->module_config, &usher_geo_module);

    if (server->may_htaccess_files != 1) {
        return "in .htaccess takes UsherGeoHtaccessFiles On in the server's configuration, where the database "
               "can be named as well";
    }
    return geo_files_open(cmd->pool, path, db);
}

const char *geo_maxmind_set_file(cmd_parms *cmd, void *dir, const char *name, const char *path)
{
    geo_maxmind_item_t item = { .kind = GEO_MAXMIND_FILE, .database = name };
    const char *full = ap_server_root_relative(cmd->pool, path), *wrong = NULL;

    if (!full) {
        return geo_settings_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": is no path", path));
    }
    if (geo_settings_is_htaccess(cmd)) {
        wrong = maxmind_htaccess_db(cmd, full, &item.db);
    }
    else {
        item.db = maxmind_db(cmd->pool, full);
        APR_ARRAY_PUSH(files, geo_maxmind_item_t) = item;
    }
    return wrong ? geo_settings_refuse(cmd, wrong) : maxmind_add(cmd, dir, &item);
}

const char *geo_maxmind_set_env(cmd_parms *cmd, void *dir, const char *variable, const char *text)
{
    geo_maxmind_item_t item = { .kind = GEO_MAXMIND_VALUE, .variable = variable };
    geo_place_t place;
    const char *wrong = geo_place_read(cmd->pool, text, !geo_settings_is_htaccess(cmd), &place);

    if (wrong) {
        return geo_settings_refuse(cmd, wrong);
    }
    item.database = place.database;
    item.path = place.path;
    item.is_kept = place.is_kept;
    return maxmind_add(cmd, dir, &item);
}

const char *geo_maxmind_set_network(cmd_parms *cmd, void *dir, const char *name, const char *variable)
{
    geo_maxmind_item_t item = { .kind = GEO_MAXMIND_NETWORK, .database = name, .variable = variable };

    return maxmind_add(cmd, dir, &item);
}

void geo_maxmind_add_databases(apr_array_header_t *databases)
{
    int i, j;

    for (i = 0; i < files->nelts; ++i) {
        const geo_db_t *db = APR_ARRAY_IDX(files, i, geo_maxmind_item_t).db;

        for (j = 0; j < databases->nelts && APR_ARRAY_IDX(databases, j, const geo_db_t *) != db; ++j) {
        }
        if (j == databases->nelts) {
            APR_ARRAY_PUSH(databases, const geo_db_t *) = db;
        }
    }
}

const geo_db_t *geo_maxmind_database(const char *name, int *is_ambiguous)
{
    const geo_db_t *db = NULL;
    int i;

    *is_ambiguous = 0;
    for (i = 0; i < files->nelts; ++i) {
        const geo_maxmind_item_t *file = &APR_ARRAY_IDX(files, i, geo_maxmind_item_t);

        if (!strcmp(file->database, name)) {
            *is_ambiguous |= db && db != file->db;
            db = file->db;
        }
    }
    return *is_ambiguous ? NULL : db;
}

int geo_maxmind_check_config(server_rec *s)
{
    int may_refuse = usher_conf_may_refuse(), rc = OK, i;

    if (ap_find_linked_module("mod_maxminddb.c")) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(7032) "mod_maxminddb is loaded as well, and has "
                     "directives of the same names: take out its LoadModule line, so that the work is not done "
                     "twice");
    }
    for (i = 0; i < files->nelts; ++i) {
        const geo_maxmind_item_t *file = &APR_ARRAY_IDX(files, i, geo_maxmind_item_t);
        geo_db_t *db = (geo_db_t *)file->db; /* ours: each once */
        const char *error = NULL;

        if (!db->image) {
            geo_db_declare(db, s, &error);
        }
        if (error && may_refuse) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(7033) "MaxMindDBFile %s: %s cannot be used: %s; "
                         "mend or replace the file, or let httpd start without it: UsherGeoDatabase %s %s optional",
                         file->database, db->path, error, file->database, db->path);
            rc = !OK;
        }
        else if (error) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(7034) "MaxMindDBFile %s: %s cannot be used: %s; "
                         "its variables are not set, and what needs it is decided by UsherGeoMissing, until there "
                         "is a good file", file->database, db->path, error);
        }
    }
    return rc;
}
