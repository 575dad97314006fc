/**
 * @file  jk.h
 * @brief What the parts of `usherctl from-jk' share: mod_jk's files as they
 *        were read, and what they mean.
 */
#ifndef JK_H
#define JK_H

#include "usherctl.h"

/** One name=value of workers.properties, or of a JkWorkerProperty. */
typedef struct {
    const char *name;
    const char *value; /**< variables put in */
    ctl_place_t at;
    int told; /**< it is in the notes already */
} jk_property_t;

typedef struct {
    apr_pool_t *pool;
    ctl_notes_t *notes;
    apr_hash_t *by_name;
    apr_array_header_t *list; /**< jk_property_t *, in the order they came */
    apr_size_t made;          /**< bytes of values that were put together */
} jk_properties_t;

jk_properties_t *jk_properties_make(apr_pool_t *p, ctl_notes_t *notes);
/** All lines of a file's text. */
void jk_properties_read(jk_properties_t *props, const char *file, const char *text,
                        apr_size_t len);
/** One line. */
void jk_properties_line(jk_properties_t *props, const ctl_place_t *at, char *line);
jk_property_t *jk_properties_get(const jk_properties_t *props, const char *name);
/** Takes a line apart at its '=', a comment cut off: 1; 0 where nothing is
 *  left of it or its value, -1 where it has no '='. */
int jk_line_split(char *line, char **name, char **value);

/** Types of workers, as bits */
#define JK_AJP    1 /**< ajp13, named in worker.list or a member */
#define JK_LB     2
#define JK_STATUS 4
#define JK_OTHER  8 /**< ajp12, jni and the like */
#define JK_ANY    15

typedef enum {
    JK_TEXT,
    JK_NUMBER,
    JK_BOOL,
    JK_LIST /**< given twice it is one longer list */
} jk_kind_e;

/** What becomes of a key */
typedef enum {
    JK_TAKEN,  /**< it is in the configuration */
    JK_NEEDLESS, /**< nothing has to stand for it */
    JK_DECIDE  /**< somebody has to decide */
} jk_fate_e;

typedef struct {
    const char *name;
    jk_kind_e kind;
    int types;          /**< of the workers that it is for */
    jk_fate_e fate;
    const char *newer;  /**< the name that it has now, if it is an old one */
    const char *reason; /**< what is said where it is not taken */
} jk_key_t;

const jk_key_t *jk_key_find(const char *name);
/** The key at this place of the table; NULL behind the last one. */
const jk_key_t *jk_key_at(int i);

typedef struct {
    const char *name;
    const char *prefix; /**< "worker." and the name */
    ctl_place_t at;
    int type;
    const char *unsupported; /**< why there is nothing for it to become */
    const char *url;         /**< ajp://host:port or balancer://name */
    apr_array_header_t *members; /**< jk_worker_t *, of an lb */
    int told;                    /**< it is in the notes already */
} jk_worker_t;

typedef struct {
    apr_pool_t *pool;
    ctl_notes_t *notes;
    jk_properties_t *props;
    apr_hash_t *by_name;
    apr_array_header_t *list; /**< jk_worker_t * of worker.list, in its order */
} jk_workers_t;

jk_workers_t *jk_workers_make(jk_properties_t *props);
jk_worker_t *jk_worker_get(const jk_workers_t *workers, const char *name);
/** Is it in worker.list? */
int jk_worker_listed(const jk_workers_t *workers, const jk_worker_t *worker);

/** A value of a worker, its own or one that it has by reference=; NULL: none. */
jk_property_t *jk_value(const jk_workers_t *workers, const jk_worker_t *worker, const char *key);
const char *jk_text(const jk_workers_t *workers, const jk_worker_t *worker, const char *key);
/** A number from 0 on; what is none was noted by jk_workers_make(). */
int jk_number(const jk_workers_t *workers, const jk_worker_t *worker, const char *key, int otherwise);
int jk_bool(const jk_workers_t *workers, const jk_worker_t *worker, const char *key, int otherwise);
/** Its words, const char *; empty where there are none. */
apr_array_header_t *jk_words(apr_pool_t *p, const char *list);
/** The first letter of a value in lower case; otherwise that of `otherwise'. */
char jk_letter(const jk_workers_t *workers, const jk_worker_t *worker, const char *key, char otherwise);

/** Where a mount comes from, the weakest first */
typedef enum { JK_BY_WORKER, JK_BY_DIRECTIVE, JK_BY_FILE } jk_source_e;

/** One mount, of a pattern without '|'. */
typedef struct {
    const char *pattern;
    const char *worker;
    int excludes; /**< an unmount */
    jk_source_e source;
    ctl_place_t at;
    int reply_timeout; /**< ms; -1: not given */
    int server_errors; /**< from this status on httpd's own pages; 0: not given */
    int told;
} jk_rule_t;

/** Adds what a JkMount, or a line of uriworkermap.properties, means. */
void jk_rules_add(apr_array_header_t *rules, ctl_notes_t *notes, const char *pattern,
                  const char *worker, jk_source_e source, const ctl_place_t *at);
void jk_rules_read(apr_array_header_t *rules, ctl_notes_t *notes, const char *file,
                   const char *text);
/** The order in which mod_jk compares. */
void jk_rules_sort(apr_array_header_t *rules);
/** A regular expression for the paths that a pattern means. */
const char *jk_rule_regex(apr_pool_t *p, const char *pattern);
/** The beginning of all paths that a pattern means, where it means just that
 *  and can stand in a ProxyPass; else NULL. */
const char *jk_rule_prefix(apr_pool_t *p, const char *pattern);

/** The main server or a virtual host, as far as mod_jk has to do with it. */
typedef struct {
    ctl_place_t at;
    const char *addresses; /**< of a virtual host; NULL: the main server */
    const char *name;      /**< ServerName */
    const char *aliases;
    apr_array_header_t *rules; /**< jk_rule_t * */
    apr_array_header_t *remarks; /**< const char *: comments to print */
    int copies;            /**< JkMountCopy: 1 On, 2 All, 0 Off, -1 not given */
    int has_file;          /**< JkMountFile was given */
    int flush, close;      /**< JkOptions FlushPackets, DisableReuse */
} jk_server_t;

typedef struct {
    apr_pool_t *pool;
    ctl_notes_t *notes;
    jk_properties_t *props;      /**< gets what JkWorkerProperty says */
    const char *root;            /**< for names of files: --server-root or ServerRoot */
    apr_array_header_t *servers; /**< jk_server_t *, the main server first */
} jk_site_t;

jk_site_t *jk_site_make(apr_pool_t *p, ctl_notes_t *notes, jk_properties_t *props,
                        const char *root);
/** Takes the Jk directives out of a configuration of httpd. */
void jk_site_read(jk_site_t *site, const char *file, const char *text);
/** All rules that hold for a server, sorted. */
apr_array_header_t *jk_site_rules(const jk_site_t *site, const jk_server_t *server,
                                  const jk_workers_t *workers);

/** What becomes of a directive that is no mount. */
typedef struct {
    const char *name;
    jk_fate_e fate;
    const char *reason;
} jk_directive_t;

const jk_directive_t *jk_directive_find(const char *name);
/** The same for the options of JkOptions. */
const jk_directive_t *jk_option_find(const char *name);

/** A comment with a note on stderr. */
void jk_remark(ctl_conf_t *conf, ctl_notes_t *notes, const ctl_place_t *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/** One <Proxy> section for each lb worker, and for each server of a plain one. */
void jk_print_clusters(ctl_conf_t *conf, const jk_workers_t *workers, const jk_site_t *site);
void jk_print_plain(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *worker,
                    const jk_site_t *site);
/** The keys of a member or plain worker, as words: " ping=10s timeout=300". */
const char *jk_print_keys(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *worker,
                          const jk_site_t *site);
/** Comments for what is said of a worker and not taken. */
void jk_print_left(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *worker);
/** UsherReplay and UsherBackendRest, as far as the workers say something. */
void jk_print_failures(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *worker);
/** The ProxyPass lines of all servers. */
void jk_print_servers(ctl_conf_t *conf, const jk_workers_t *workers, const jk_site_t *site);

#endif /* JK_H */
