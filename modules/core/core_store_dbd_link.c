/* The connection to the database: opened, asked, watched, closed.
 *
 * One at a time, of the store's thread, in memory of its own: a child that ends does not wait
 * for a call that hangs. No library of a database gives up on a server that is frozen, as its
 * kernel still answers for it. So another thread looks every ten seconds, and shuts the socket
 * under such a call, which then fails as any other.
 *
 * apr_dbd's own transactions are not used: its pgsql driver crashes where BEGIN fails. */
#include <apr_strings.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core_store_dbd.h"
#include "usher_clock.h"
#include "usher_duration.h"

APLOG_USE_MODULE(usher);

/* A call that takes longer is given up. */
#define CALL_LIMIT (10 * APR_USEC_PER_SEC)
/* How often it is tried to make the tables, and how much longer it is waited each time. */
#define MAKE_TRIES 3
#define MAKE_WAIT  100000

static struct {
    apr_pool_t *pool;  /* the handle's; NULL: not connected */
    apr_pool_t *pmade; /* in it, the statements' */
    apr_pool_t *ptemp; /* in that */
    apr_dbd_t *handle;
    apr_dbd_prepared_t *statements[CORE_DBD_STATEMENTS];
} db;

static char link_error[512];

/* Shared with the watching thread, under the lock. */
static struct {
    pthread_mutex_t lock;
    int fd;              /* of the connection; -1: none, or not known */
    apr_time_t since;    /* boot clock: when the call began; 0: there is none */
} watch = { PTHREAD_MUTEX_INITIALIZER, -1, 0 };

static void watch_socket(int fd)
{
    pthread_mutex_lock(&watch.lock);
    watch.fd = fd;
    watch.since = 0;
    pthread_mutex_unlock(&watch.lock);
}

static void watch_call(apr_time_t since)
{
    pthread_mutex_lock(&watch.lock);
    watch.since = since;
    pthread_mutex_unlock(&watch.lock);
}

static void watch_begin(void)
{
    watch_call(usher_clock_system()->boot_now());
}

static void watch_end(void)
{
    watch_call(0);
}

/* mod_watchdog's thread, every ten seconds. */
static void watch_look(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    apr_time_t now = usher_clock_system()->boot_now(), took = 0;
    char text[USHER_DURATION_SIZE];

    (void)baton;
    (void)ptemp;
    pthread_mutex_lock(&watch.lock);
    if (watch.fd >= 0 && watch.since && now - watch.since >= CALL_LIMIT) {
        took = now - watch.since;
        shutdown(watch.fd, SHUT_RDWR);
        watch.fd = -1; /* once */
    }
    pthread_mutex_unlock(&watch.lock);
    if (took) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(1082)
                     "store %s: the database has not answered for %s: this connection is given up, "
                     "the next one is tried each second", core_dbd_conf.name,
                     usher_duration_format(text, took / APR_USEC_PER_SEC * APR_USEC_PER_SEC));
    }
}

void core_dbd_post_config(void)
{
    static const usher_tick_work_t work = { "store-database", USHER_TICK_EACH, watch_look, NULL };

    if (core_dbd_conf.driver) {
        core_tick_add(&work);
    }
}

/* On one line, for the log. */
static apr_status_t link_fail(const char *what, const char *why)
{
    char *from, *to;

    apr_snprintf(link_error, sizeof(link_error), "%s%s", what, why && *why ? why : "no reason given");
    for (from = to = link_error; *from; ++from) {
        if ((unsigned char)*from > ' ') {
            *to++ = *from;
        }
        else if (to > link_error && to[-1] != ' ') {
            *to++ = ' ';
        }
    }
    *to = '\0';
    return APR_EGENERAL;
}

/* @param rv  the driver's own number; 0: it went well */
static apr_status_t link_result(int rv)
{
    return rv ? link_fail("", apr_dbd_error(core_dbd_conf.driver, db.handle, rv)) : APR_SUCCESS;
}

apr_status_t core_dbd_refuse(const char *why)
{
    return link_fail("", why);
}

const char *core_dbd_error(void)
{
    return link_error;
}

int core_dbd_is_open(void)
{
    return db.pool != NULL;
}

apr_pool_t *core_dbd_ptemp(void)
{
    return db.ptemp;
}

void core_dbd_done(void)
{
    if (db.ptemp) {
        apr_pool_clear(db.ptemp);
    }
}

apr_status_t core_dbd_say(const char *sql)
{
    int rows, rv;

    watch_begin();
    rv = apr_dbd_query(core_dbd_conf.driver, db.handle, &rows, sql);
    watch_end();
    return link_result(rv);
}

apr_status_t core_dbd_write(core_dbd_statement_e which, const char **values, int *rows)
{
    int rv;

    *rows = 0;
    watch_begin();
    rv = apr_dbd_pquery(core_dbd_conf.driver, db.ptemp, db.handle, rows,
                        db.statements[which], 0, values);
    watch_end();
    return link_result(rv);
}

static apr_status_t link_row(apr_dbd_row_t *row, int columns, core_dbd_row_t *see, void *baton)
{
    const char *values[CORE_DBD_COLUMNS];
    int i;

    for (i = 0; i < columns; ++i) {
        char *value = NULL;
        apr_status_t rv = apr_dbd_datum_get(core_dbd_conf.driver, row, i, APR_DBD_TYPE_STRING, &value);

        if (rv != APR_SUCCESS && rv != APR_ENOENT) {
            return core_dbd_refuse("a column cannot be read");
        }
        values[i] = rv == APR_SUCCESS ? value : NULL;
    }
    return see(values, baton);
}

apr_status_t core_dbd_read(core_dbd_statement_e which, const char **values, int columns,
                           core_dbd_row_t *see, void *baton)
{
    const apr_dbd_driver_t *driver = core_dbd_conf.driver;
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    apr_status_t rv;
    int got;

    watch_begin();
    got = apr_dbd_pselect(driver, db.ptemp, db.handle, &results, db.statements[which],
                          core_dbd_conf.dialect->random, 0, values);
    watch_end();
    if (got) {
        return link_result(got);
    }
    if (apr_dbd_num_cols(driver, results) != columns) {
        return core_dbd_refuse("an answer has other columns than were asked for");
    }
    /* The drivers have the whole answer by now: nothing waits here. */
    do {
        got = apr_dbd_get_row(driver, db.ptemp, results, &row, -1);
        rv = got ? APR_SUCCESS : link_row(row, columns, see, baton);
    } while (!got && rv == APR_SUCCESS);
    return got > 0 ? link_result(got) : rv;
}

static apr_status_t link_prepare(int first, int end)
{
    int i, rv = 0;

    watch_begin();
    for (i = first; i < end && !rv; ++i) {
        db.statements[i] = NULL;
        rv = apr_dbd_prepare(core_dbd_conf.driver, db.pmade, db.handle, core_dbd_statements[i],
                             apr_psprintf(db.pmade, "usher_%d", i), &db.statements[i]);
    }
    watch_end();
    return link_result(rv);
}

/* @return what went wrong first, but for that the row of usher_store_state was there */
static apr_status_t link_create(void)
{
    const char *const *sql;
    apr_status_t rv = APR_SUCCESS;

    for (sql = core_dbd_conf.dialect->create; *sql && rv == APR_SUCCESS; ++sql) {
        rv = core_dbd_say(*sql);
        if (rv != APR_SUCCESS && !sql[1]) {
            rv = APR_SUCCESS;
        }
    }
    return rv;
}

/* SQLite would make its file for all to read. */
static void link_make_file(const core_dbd_conf_t *conf)
{
    int fd = strcmp(conf->dialect->driver, "sqlite3") ? -1
             : open(conf->params, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd >= 0) {
        close(fd);
    }
}

static apr_status_t link_connect(void)
{
    const core_dbd_conf_t *conf = &core_dbd_conf;
    const char *why = NULL, *const *sql;
    void *function;
    int fd = -1;

    apr_pool_create_unmanaged_ex(&db.pool, NULL, NULL);
    apr_pool_create(&db.pmade, db.pool);
    apr_pool_create(&db.ptemp, db.pmade);
    link_make_file(conf);
    if (apr_dbd_open_ex(conf->driver, db.pool, conf->params, &db.handle, &why) != APR_SUCCESS) {
        link_fail("cannot connect: ", why);
        apr_pool_destroy(db.pool);
        db.pool = db.pmade = db.ptemp = NULL;
        return APR_EGENERAL;
    }
    function = conf->dialect->socket ? dlsym(RTLD_DEFAULT, conf->dialect->socket) : NULL;
    if (function) {
        int (*socket_of)(void *);

        *(void **)&socket_of = function;
        fd = socket_of(apr_dbd_native_handle(conf->driver, db.handle));
    }
    watch_socket(fd);
    for (sql = conf->dialect->session; *sql; ++sql) {
        core_dbd_say(*sql);
    }
    return APR_SUCCESS;
}

/* Connect, and look whether there are tables that we know.
 * @return APR_EINVAL: others; APR_EGENERAL: there are none, or it failed */
static apr_status_t link_find_tables(void)
{
    apr_uint64_t changed;
    apr_status_t rv;

    core_dbd_close();
    rv = link_connect();
    if (rv == APR_SUCCESS) {
        rv = link_prepare(CORE_DBD_HEAD, CORE_DBD_HEAD + 1);
    }
    return rv == APR_SUCCESS ? core_dbd_head(&changed) : rv;
}

/* Another node may be making them as well, and be in the way. */
static apr_status_t link_make_tables(void)
{
    char why[sizeof(link_error) / 2];
    apr_status_t made, rv = APR_EGENERAL;
    int i;

    for (i = 0; i < MAKE_TRIES && rv == APR_EGENERAL && db.pool; ++i) {
        apr_sleep(i * MAKE_WAIT);
        made = link_create();
        apr_cpystrn(why, link_error, sizeof(why));
        rv = link_find_tables();
        if (rv == APR_EGENERAL && made != APR_SUCCESS && db.pool) {
            link_fail("its tables are not there and cannot be made: create them as docs/store.md "
                      "says, or grant its user to create tables: ", why);
        }
    }
    return rv;
}

apr_status_t core_dbd_open(void)
{
    apr_status_t rv = link_find_tables();

    if (rv == APR_EGENERAL && db.pool) {
        rv = link_make_tables();
    }
    if (rv == APR_SUCCESS) {
        rv = link_prepare(CORE_DBD_HEAD + 1, CORE_DBD_STATEMENTS);
    }
    if (rv != APR_SUCCESS) {
        core_dbd_close();
    }
    return rv;
}

void core_dbd_close(void)
{
    if (!db.pool) {
        return;
    }
    watch_socket(-1);
    /* Statements go before the connection that they belong to. */
    apr_pool_destroy(db.pmade);
    apr_dbd_close(core_dbd_conf.driver, db.handle);
    apr_pool_destroy(db.pool);
    db.pool = db.pmade = db.ptemp = NULL;
}
