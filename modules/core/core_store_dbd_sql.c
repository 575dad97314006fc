/* The statements of the engine "dbd:", and what differs between the databases.
 *
 * One row of usher_store_state counts the changes. Who writes takes the next number first, and
 * so has that row's lock until his transaction ends: changes become visible in the order of
 * their numbers, and what was compared in a transaction holds until its end. */
#include <dlfcn.h>
#include <string.h>

#include "core_store_dbd.h"

_Static_assert(USHER_STORE_KIND_MAX == 15 && USHER_STORE_KEY_MAX == 191 &&
               USHER_STORE_VALUE_MAX == 4096, "the tables have room for these");

#define COLUMNS "kind, id, version, value, gone_at, writer"

const char *const core_dbd_statements[CORE_DBD_STATEMENTS] = {
    [CORE_DBD_HEAD] = "SELECT layout, changed FROM usher_store_state WHERE one = 1",
    [CORE_DBD_NEXT] = "UPDATE usher_store_state SET changed = changed + 1 WHERE one = 1",
    [CORE_DBD_ALL] = "SELECT " COLUMNS " FROM usher_store",
    [CORE_DBD_SINCE] = "SELECT " COLUMNS " FROM usher_store WHERE changed > %lld",
    [CORE_DBD_ONE] = "SELECT " COLUMNS " FROM usher_store WHERE kind = %s AND id = %s",
    /* Parentheses: for compilers that miss a comma between two lines of text. */
    [CORE_DBD_INSERT] = ("INSERT INTO usher_store (" COLUMNS ", changed) "
                         "VALUES (%s, %s, %lld, %s, %lld, %lld, %lld)"),
    [CORE_DBD_UPDATE] = ("UPDATE usher_store SET version = %lld, value = %s, gone_at = %lld, "
                         "writer = %lld, changed = %lld "
                         "WHERE kind = %s AND id = %s AND version = %lld"),
    [CORE_DBD_OLD] = "SELECT COUNT(*) FROM usher_store WHERE gone_at > 0 AND gone_at < %lld",
    [CORE_DBD_FORGET] = "DELETE FROM usher_store WHERE gone_at > 0 AND gone_at < %lld",
};

/* The row comes last: where it is, all is. */
#define STATE "CREATE TABLE IF NOT EXISTS usher_store_state (one SMALLINT NOT NULL PRIMARY KEY, " \
              "layout INTEGER NOT NULL, changed BIGINT NOT NULL)"
#define STATE_ROW "INSERT INTO usher_store_state (one, layout, changed) VALUES (1, 1, 0)"

static const char *const create_any[] = {
    ("CREATE TABLE IF NOT EXISTS usher_store (kind VARCHAR(15) NOT NULL, id VARCHAR(191) NOT NULL, "
     "version BIGINT NOT NULL, value TEXT, gone_at BIGINT NOT NULL, writer BIGINT NOT NULL, "
     "changed BIGINT NOT NULL, PRIMARY KEY (kind, id))"),
    "CREATE INDEX IF NOT EXISTS usher_store_changed ON usher_store (changed)",
    "CREATE INDEX IF NOT EXISTS usher_store_gone ON usher_store (gone_at)",
    (STATE), STATE_ROW, NULL
};

/* Bytes: no character set is asked, and capitals differ from small letters. */
static const char *const create_mysql[] = {
    ("CREATE TABLE IF NOT EXISTS usher_store (kind VARBINARY(15) NOT NULL, id VARBINARY(191) NOT NULL, "
     "version BIGINT NOT NULL, value VARBINARY(4096), gone_at BIGINT NOT NULL, "
     "writer BIGINT NOT NULL, changed BIGINT NOT NULL, PRIMARY KEY (kind, id), "
     "KEY usher_store_changed (changed), KEY usher_store_gone (gone_at)) ENGINE=InnoDB"),
    (STATE " ENGINE=InnoDB"), STATE_ROW, NULL
};

/* A node that is stopped in the middle of a transaction must not hold up the others for long;
 * who waits for its lock gives up before that. */
static const char *const session_mysql[] = {
    "SET SESSION wait_timeout = 10, innodb_lock_wait_timeout = 3",
    "SET SESSION idle_write_transaction_timeout = 5", NULL
};
static const char *const session_pgsql[] = {
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET lock_timeout = 3000", "SET statement_timeout = 10000",
    "SET idle_in_transaction_session_timeout = 5000", NULL
};
static const char *const session_sqlite[] = {
    "PRAGMA busy_timeout = 500", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", NULL
};

/* One that the driver does not know would be ignored, as "password". */
static const char *judge_mysql(apr_pool_t *p, const char *params)
{
    static const char *const known[] = { "host", "user", "pass", "dbname", "port", "sock", "flags",
                                         "fldsz", "group", "reconnect", NULL };
    char *last, *word, *copy = apr_pstrdup(p, params);
    const char *wrong = NULL;
    int has_name = 0;

    for (word = apr_strtok(copy, " \r\n\t;|,", &last); word && !wrong;
         word = apr_strtok(NULL, " \r\n\t;|,", &last)) {
        char *value = strchr(word, '=');
        int i = 0;

        if (value) {
            *value = '\0';
            while (known[i] && strcmp(known[i], word)) {
                ++i;
            }
            has_name |= !strcmp(word, "dbname");
        }
        wrong = value && known[i] ? NULL
            : "must consist of key=value with the keys host, port, sock, user, pass, dbname and "
              "group, separated by commas, without blanks around \"=\" or in values";
    }
    memset(copy, 0, strlen(params));
    return wrong ? wrong : has_name ? NULL : "must name the database: dbname=...";
}

/* By libpq itself, which the driver has brought. Its own message could quote a password. */
static const char *judge_pgsql(apr_pool_t *p, const char *params)
{
    void *(*parse)(const char *, char **);
    void (*forget)(void *);
    void *options;

    (void)p;
    *(void **)&parse = dlsym(RTLD_DEFAULT, "PQconninfoParse");
    *(void **)&forget = dlsym(RTLD_DEFAULT, "PQconninfoFree");
    if (!parse || !forget) {
        return NULL;
    }
    options = parse(params, NULL);
    if (!options) {
        return "is not understood by libpq: it must consist of key=value, separated by blanks, with "
               "values that have blanks in single quotes, or be one postgresql:// URI";
    }
    forget(options);
    return NULL;
}

static const char *judge_sqlite(apr_pool_t *p, const char *params)
{
    (void)p;
    return *params == '/' ? NULL : "must consist of the path of the database, which begins with /";
}

static const core_dbd_dialect_t dialects[] = {
    { "sqlite3", "", "", "BEGIN IMMEDIATE", session_sqlite, create_any, NULL, 0, judge_sqlite },
    /* A connection that came back by itself would have lost half a transaction. */
    { "mysql", "", ",reconnect=0", "BEGIN", session_mysql, create_mysql, "mysql_get_socket", 0,
      judge_mysql },
    /* What comes later counts: the administrator's own limits. */
    { "pgsql", "connect_timeout=5 keepalives_idle=10 keepalives_interval=5 keepalives_count=3 "
               "tcp_user_timeout=15000 application_name=usher ", "",
      "BEGIN", session_pgsql, create_any, "PQsocket", 1, judge_pgsql },
};

const core_dbd_dialect_t *core_dbd_dialect(const char *driver)
{
    apr_size_t i;

    for (i = 0; i < sizeof(dialects) / sizeof(*dialects); ++i) {
        if (!strcmp(dialects[i].driver, driver)) {
            return &dialects[i];
        }
    }
    return NULL;
}
