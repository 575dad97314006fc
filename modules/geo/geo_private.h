/**
 * @file  geo_private.h
 * @brief What the files of mod_usher_geo know of one another.
 *
 * geo_db.c         databases: their images, proved good before they are used
 * geo_check*.c     the proof (geo_check.h)
 * geo_prove.c      all of it
 * geo_age.c        warns of databases that nobody brings up to date
 * geo_lookup.c     values of an address from a database
 * geo_read.c       the same from bytes in memory (geo_read.h)
 * geo_conf.c       UsherGeoDatabase
 * geo_settings.c   what servers and directories have set
 * geo_place.c      "DB/path"
 * geo_files.c      databases that .htaccess files name
 * geo_maxmind.c    mod_maxminddb's directives
 * geo_cache.c      what is known of a connection's client
 * geo_env.c        variables and notes of a request
 * geo_require.c    Require usher-country and its sisters
 * geo_expr.c       the function for expressions
 * geo_question.c   questions of Require and of other modules
 * geo_country.c    codes of countries (geo_country.h)
 */
#ifndef GEO_PRIVATE_H
#define GEO_PRIVATE_H

#include "geo_read.h"
#include "usher_core.h"

extern module AP_MODULE_DECLARE_DATA usher_geo_module;

/** The core; NULL: all is off. */
extern const usher_core_t *geo_core;

/* geo_db.c */

/** A database that the configuration names. In pconf; may be shared by names with the same path. */
typedef struct geo_db_t {
    const char *path;
    usher_image_t *image;        /**< NULL: not declared (yet) */
    const MMDB_s *own;           /**< without an image: one of .htaccess, while the request lasts */
    apr_interval_time_t age_max; /**< older databases are warned of; 0: never */
    apr_time_t aged_at;          /**< when it was warned of; of this process, in its tick */
} geo_db_t;

/**
 * Declare a database; in check_config.
 * @param error  as image_declare()
 */
void geo_db_declare(geo_db_t *db, server_rec *s, const char **error);

/** Begin and end to read: as image_begin(). @return NULL: there is no usable database */
const MMDB_s *geo_db_begin(const geo_db_t *db, usher_image_hold_t *hold);
void geo_db_end(const geo_db_t *db, usher_image_hold_t *hold);

/** Of what a database has values. */
typedef enum { GEO_TELLS_COUNTRY, GEO_TELLS_CONTINENT, GEO_TELLS_ASN, GEO_TELLS } geo_tells_e;

/** Whether it has such values of any address. @return 1; 0; -1: it cannot be used */
int geo_db_tells(const geo_db_t *db, geo_tells_e what);

/* geo_age.c */

void geo_age_post_config(void);

/* geo_conf.c */

/** A line of UsherGeoDatabase. */
typedef struct geo_named_t {
    const char *name;
    geo_db_t *db;
    int is_optional; /**< httpd starts without it */
} geo_named_t;

/** The databases of UsherGeoDatabase, in the order of their lines: geo_named_t. All of httpd. */
const apr_array_header_t *geo_conf_databases(void);

/** The one of exactly that name. @return NULL: there is none */
geo_db_t *geo_conf_database(const char *name);

void geo_conf_pre_config(apr_pool_t *pconf);
int geo_conf_check_config(server_rec *s);
const char *geo_conf_set_database(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

/* geo_lookup.c */

/** Look up an address, as geo_read(). Any thread; takes no lock. */
geo_result_e geo_lookup(const geo_db_t *db, usher_cidr_address_t address, geo_value_t *values, int n,
                        int *prefix, apr_pool_t *p);

/* geo_place.c */

/** What "DB/path" names. */
typedef struct geo_place_t {
    const char *database;
    const geo_path_t *path;
    int is_kept; /**< lives as long as the configuration, and is the same pointer wherever it is the same path */
} geo_place_t;

void geo_place_pre_config(apr_pool_t *pconf);

/**
 * Understand it; without a path it is the entry itself.
 * @param is_kept  while the configuration is read; 0 in .htaccess and per request
 * @return NULL; else why it is none, with the remedy
 */
const char *geo_place_read(apr_pool_t *p, const char *text, int is_kept, geo_place_t *place);

/* geo_maxmind.c */

typedef enum { GEO_MAXMIND_FILE, GEO_MAXMIND_VALUE, GEO_MAXMIND_NETWORK } geo_maxmind_kind_e;

/** A line of MaxMindDBFile, MaxMindDBEnv or MaxMindDBNetworkEnv. */
typedef struct geo_maxmind_item_t {
    geo_maxmind_kind_e kind;
    const char *database;   /**< its name */
    const char *variable;   /**< of a VALUE and a NETWORK */
    const geo_path_t *path; /**< of a VALUE */
    int is_kept;            /**< of a VALUE: as geo_place_t's */
    const geo_db_t *db;     /**< of a FILE */
} geo_maxmind_item_t;

/** What a server or a directory has of mod_maxminddb's directives. */
typedef struct geo_maxmind_t {
    int is_on;                 /**< or USHER_UNSET */
    int has_notes;             /**< or USHER_UNSET */
    apr_array_header_t *items; /**< geo_maxmind_item_t, or NULL */
} geo_maxmind_t;

void geo_maxmind_pre_config(apr_pool_t *pconf);

/** Either may be NULL. Changes neither. */
geo_maxmind_t *geo_maxmind_merge(apr_pool_t *p, geo_maxmind_t *base, geo_maxmind_t *add);

int geo_maxmind_check_config(server_rec *s);

/** The databases of MaxMindDBFile, all of httpd: const geo_db_t *. */
void geo_maxmind_add_databases(apr_array_header_t *databases);

/**
 * The database of a name.
 * @param is_ambiguous  gets whether several files have it, in different servers or directories
 * @return NULL: there is none, or several
 */
const geo_db_t *geo_maxmind_database(const char *name, int *is_ambiguous);

const char *geo_maxmind_set_enable(cmd_parms *cmd, void *dir, int is_on);
const char *geo_maxmind_set_notes(cmd_parms *cmd, void *dir, int is_on);
const char *geo_maxmind_set_file(cmd_parms *cmd, void *dir, const char *name, const char *path);
const char *geo_maxmind_set_env(cmd_parms *cmd, void *dir, const char *variable, const char *place);
const char *geo_maxmind_set_network(cmd_parms *cmd, void *dir, const char *name, const char *variable);

/* geo_files.c */

/**
 * Open a database that a .htaccess file names; in a child.
 * @param p  of the request, which keeps it open
 * @return NULL; else why it cannot be used
 */
const char *geo_files_open(apr_pool_t *p, const char *path, const geo_db_t **db);

/* geo_settings.c */

typedef struct geo_server_t {
    geo_maxmind_t *maxmind; /**< or NULL */
    int may_htaccess_files; /**< or USHER_UNSET, as 0 */
} geo_server_t;

typedef struct geo_dir_t {
    geo_maxmind_t *maxmind;     /**< or NULL */
    int allows_missing;         /**< or USHER_UNSET, as 0 */
    apr_array_header_t *exempt; /**< const char *; NULL: the default */
} geo_dir_t;

void *geo_settings_create_server(apr_pool_t *p, server_rec *s);
void *geo_settings_merge_server(apr_pool_t *p, void *basev, void *addv);
void *geo_settings_create_dir(apr_pool_t *p, char *path);
void *geo_settings_merge_dir(apr_pool_t *p, void *basev, void *addv);

int geo_settings_is_htaccess(const cmd_parms *cmd);

/** As usher_conf_refuse(); a line in .htaccess is refused at any time. */
const char *geo_settings_refuse(cmd_parms *cmd, const char *reason);

/** Whether UsherGeoExempt lets a request pass all Require usher-.... */
int geo_settings_is_exempt(const request_rec *r, const geo_dir_t *dir);

const char *geo_settings_set_missing(cmd_parms *cmd, void *dir, const char *what);
const char *geo_settings_set_exempt(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *geo_settings_set_htaccess_files(cmd_parms *cmd, void *dir, int is_on);

/* geo_cache.c */

/** The address of a request's client. @return 0: it has none */
int geo_cache_address(const request_rec *r, usher_cidr_address_t *address);

/**
 * As geo_lookup(), for the client of a connection; what is known of it already is not looked up again.
 * @param is_kept  the values' paths are kept (geo_place_t); else they are looked up
 * @param values   copy their texts before the next call
 */
geo_result_e geo_cache_lookup(conn_rec *c, usher_cidr_address_t address, const geo_db_t *db, int is_kept,
                              geo_value_t *values, int n, int *prefix, apr_pool_t *p);

/* geo_env.c, geo_require.c, geo_expr.c */

void geo_env_hooks(void);
void geo_require_hooks(apr_pool_t *p);
void geo_expr_hooks(void);
void geo_expr_pre_config(apr_pool_t *pconf);
/** After geo_question_check_config(). */
int geo_expr_check_config(apr_pool_t *pconf, server_rec *s);

/* geo_question.c */

struct usher_geo_question_t;

void geo_question_pre_config(apr_pool_t *pconf);
int geo_question_check_config(apr_pool_t *pconf, server_rec *s);
void geo_question_hooks(void);

/**
 * The database of a name, of whichever directive; in check_config or later.
 * @param db  gets it; NULL: there is none
 * @return NULL; else why not, with the remedy
 */
const char *geo_question_database(apr_pool_t *p, const char *name, const geo_db_t **db);

/**
 * Understand a question. What is doubtful in one of the configuration is logged, now or in check_config.
 * @param from  the line that asks, for what is logged; NULL in .htaccess
 * @return NULL; else why it is none, with the remedy
 */
const char *geo_question_make(apr_pool_t *p, const char *from, const char *what, int argc, const char *const *argv,
                              const struct usher_geo_question_t **made);

/** Ask it of the client of a connection; without one nothing is kept. @return 1, 0; -1: not known */
int geo_question_answer(const struct usher_geo_question_t *question, conn_rec *c, usher_cidr_address_t address,
                        apr_pool_t *p);

#endif /* GEO_PRIVATE_H */
