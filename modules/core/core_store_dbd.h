/**
 * @file  core_store_dbd.h
 * @brief The engine "dbd:" inside: records in a SQL database.
 *
 * core_store_dbd.c         the engine: what it does with changes and polls
 * core_store_dbd_commit.c  changes: compared, written, committed
 * core_store_dbd_conf.c    which driver, and the file with its parameters
 * core_store_dbd_link.c    the connection: opened, asked, watched, closed
 * core_store_dbd_sql.c     the statements, and what differs between databases
 * core_store_dbd_start.c   the first reading, in a process of its own
 *
 * All of it runs in the store's thread, but for conf and start (the parent) and the watch
 * (mod_watchdog's thread).
 */
#ifndef CORE_STORE_DBD_H
#define CORE_STORE_DBD_H

#include <apr_dbd.h>

#include "core_store.h"

/** Of the tables; a database with another one is let be. */
#define CORE_DBD_LAYOUT 1

typedef enum {
    CORE_DBD_HEAD,   /**< layout, number of the last change */
    CORE_DBD_NEXT,   /**< takes the next number, and locks out all other writers */
    CORE_DBD_ALL,    /**< all records */
    CORE_DBD_SINCE,  /**< those that changed after a number */
    CORE_DBD_ONE,    /**< one of a kind and id */
    CORE_DBD_INSERT,
    CORE_DBD_UPDATE,
    CORE_DBD_OLD,    /**< how many may be forgotten by a time */
    CORE_DBD_FORGET,
    CORE_DBD_STATEMENTS
} core_dbd_statement_e;

/** apr_dbd's text of each statement; the same for all databases. */
extern const char *const core_dbd_statements[CORE_DBD_STATEMENTS];

/** What differs between the databases. Lists end with NULL. */
typedef struct core_dbd_dialect_t {
    const char *driver;         /**< its name in apr_dbd, and in UsherStore */
    const char *before, *after; /**< go around the parameters */
    const char *begin;          /**< begins a transaction that will write */
    const char *const *session; /**< for each connection; what a server does not know is let be */
    const char *const *create;  /**< make the tables where they are missing */
    const char *socket;         /**< function of its library that tells a connection's descriptor */
    int random;                 /**< its driver sees errors of a query only so */
    /** @return NULL, or what is wrong with the parameters, without quoting them */
    const char *(*judge)(apr_pool_t *p, const char *params);
} core_dbd_dialect_t;

/** @return NULL: there is none of that name */
const core_dbd_dialect_t *core_dbd_dialect(const char *driver);

/* core_store_dbd_conf.c */

/** Where the database is. Of this reading of the configuration. */
typedef struct core_dbd_conf_t {
    const char *name; /**< "dbd:pgsql", for messages */
    const core_dbd_dialect_t *dialect;
    const apr_dbd_driver_t *driver;
    const char *params; /**< secret */
    apr_uint64_t node;  /**< by chance, the same as long as this httpd runs */
} core_dbd_conf_t;

extern core_dbd_conf_t core_dbd_conf;

const char *core_dbd_configure(const char *rest, const char **called, apr_pool_t *pconf,
                               server_rec *s);
/** Whom the children run as. */
void core_dbd_user(uid_t *uid, gid_t *gid);

/* core_store_dbd_link.c. After any error the connection is of no use any more: close it. */

/** One row of an answer; NULL: the column has no value. Valid during the call. */
typedef apr_status_t core_dbd_row_t(const char *const *columns, void *baton);

/** Connect, make what is missing, prepare the statements. */
apr_status_t core_dbd_open(void);
/** Does nothing where there is no connection. */
void core_dbd_close(void);
int core_dbd_is_open(void);
/** Why the last thing failed, for the log. */
const char *core_dbd_error(void);
/** Say something without parameters: BEGIN, COMMIT, ROLLBACK. */
apr_status_t core_dbd_say(const char *sql);
/** @param rows gets how many were changed */
apr_status_t core_dbd_write(core_dbd_statement_e which, const char **values, int *rows);
apr_status_t core_dbd_read(core_dbd_statement_e which, const char **values, int columns,
                           core_dbd_row_t *row, void *baton);
/** Say that, and not something of the driver's, is why. @return APR_EGENERAL */
apr_status_t core_dbd_refuse(const char *why);
/** For what belongs to one commit() or poll(): cleared by core_dbd_done(). While it is open. */
apr_pool_t *core_dbd_ptemp(void);
void core_dbd_done(void);

/* core_store_dbd.c */

/** A record with its kind, as its row has it. */
typedef struct core_dbd_record_t {
    const char *kind;
    usher_store_record_t record;
    apr_uint64_t writer; /* the node that wrote it */
} core_dbd_record_t;

/** Columns of CORE_DBD_ALL, _SINCE and _ONE. */
#define CORE_DBD_COLUMNS 6
/** @return 0: these are none of a record; it says so once for each connection */
int core_dbd_record(core_dbd_record_t *record, const char *const *columns);
/** @param changed  gets the number of the last change
 * @return APR_EINVAL: the tables are of another release */
apr_status_t core_dbd_head(apr_uint64_t *changed);

/* core_store_dbd_commit.c */
/** As the engine's commit(), on an open connection, once. Results are set where it is APR_SUCCESS. */
apr_status_t core_dbd_commit(core_store_batch_t *batches, int n, core_store_see_t *see, void *baton);
/** Forget what is over. */
apr_status_t core_dbd_forget(void);

/* core_store_dbd_start.c */
/** Read all, by @a read, in another process; nothing is said where that fails. */
void core_dbd_start(apr_status_t (*read)(core_store_see_t *see, void *baton), core_store_see_t *see,
                    void *baton, server_rec *s);

#endif /* CORE_STORE_DBD_H */
