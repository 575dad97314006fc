/* The engine "dbd:": records in a SQL database that several nodes share.
 *
 * Each node asks once a second which changes came after the last that it has seen, and reads all
 * once a minute: what was changed past Usher, or lies in a backup that was put back, comes
 * so. While the database is away the node goes on with what it knows; when it is back
 * all is read. */
#include <string.h>

#include "core_store_dbd.h"
#include "usher_clock.h"
#include "usher_duration.h"
#include "usher_number.h"

APLOG_USE_MODULE(usher);

#define READ_ALL_INTERVAL (60 * APR_USEC_PER_SEC)
/* Looked at once more, should a database show changes in another order than it was told. */
#define OVERLAP 8
/* Between two messages that the database is away. */
#define SAY_INTERVAL (60 * APR_USEC_PER_SEC)

/* All of it is the store thread's. */
static apr_uint64_t seen;          /* number of the last change */
static apr_time_t all_at;          /* boot clock: when all was read */
static apr_time_t said_at;         /* boot clock: when it was said last that it is down */
static int is_mute;                /* that was just now: no more of it */
static int said_odd;               /* on this connection */
static apr_uint32_t records;       /* that were read */

typedef struct {
    core_store_see_t *see;
    void *baton;
} dbd_seeing_t;

static int dbd_number(apr_uint64_t *number, const char *text)
{
    apr_size_t len = text ? strlen(text) : 0;

    return len && usher_number_parse(number, APR_INT64_MAX, text, len) == len;
}

int core_dbd_record(core_dbd_record_t *record, const char *const *columns)
{
    apr_int64_t now = usher_clock_system()->utc_now() / 1000;
    apr_uint64_t gone_at;

    if (!columns[0] || !columns[1]
        || !core_store_is_sound(columns[0], columns[1], columns[3])
        || !dbd_number(&record->record.version, columns[2]) || !record->record.version
        || !dbd_number(&gone_at, columns[4]) || !dbd_number(&record->writer, columns[5])) {
        if (!said_odd) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, USHERLOGNO(1083)
                         "store %s: a record in usher_store is none of Usher's and is left out: "
                         "look for kinds, ids and values that somebody else has written",
                         core_dbd_conf.name);
        }
        said_odd = 1;
        return 0;
    }
    record->kind = columns[0];
    record->record.key = columns[1];
    record->record.value = columns[3];
    record->record.life = !gone_at ? 0
        : (apr_int64_t)gone_at > now ? (apr_int64_t)gone_at - now : 1;
    return 1;
}

static apr_status_t dbd_see_row(const char *const *columns, void *baton)
{
    const dbd_seeing_t *seeing = baton;
    core_dbd_record_t record;

    if (core_dbd_record(&record, columns)) {
        seeing->see(record.kind, &record.record, seeing->baton);
        ++records;
    }
    return APR_SUCCESS;
}

typedef struct {
    apr_uint64_t layout, changed;
    int rows;
} dbd_head_t;

static apr_status_t dbd_head_row(const char *const *columns, void *baton)
{
    dbd_head_t *head = baton;

    head->rows += dbd_number(&head->layout, columns[0]) && dbd_number(&head->changed, columns[1]);
    return APR_SUCCESS;
}

apr_status_t core_dbd_head(apr_uint64_t *changed)
{
    dbd_head_t head = { 0, 0, 0 };
    apr_status_t rv = core_dbd_read(CORE_DBD_HEAD, NULL, 2, dbd_head_row, &head);

    *changed = head.changed;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (head.rows != 1) {
        return core_dbd_refuse("usher_store_state has not its one row: make the tables anew as "
                               "docs/store.md says");
    }
    if (head.layout != CORE_DBD_LAYOUT) {
        core_dbd_refuse("its tables are of another release of Usher (layout in usher_store_state): "
                        "docs/store.md says how to go over");
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t dbd_read_all(core_store_see_t *see, void *baton)
{
    dbd_seeing_t seeing = { see, baton };
    apr_uint64_t changed;
    apr_status_t rv = core_dbd_head(&changed);

    records = 0;
    if (rv == APR_SUCCESS) {
        rv = core_dbd_read(CORE_DBD_ALL, NULL, CORE_DBD_COLUMNS, dbd_see_row, &seeing);
    }
    if (rv == APR_SUCCESS) {
        seen = changed;
        all_at = usher_clock_system()->boot_now();
    }
    return rv;
}

static apr_status_t dbd_read_changes(core_store_see_t *see, void *baton, server_rec *s)
{
    dbd_seeing_t seeing = { see, baton };
    apr_uint64_t changed;
    apr_status_t rv = core_dbd_head(&changed);
    const char *after;

    if (rv != APR_SUCCESS || changed == seen) {
        return rv;
    }
    if (changed < seen) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(1084)
                     "store %s: the database has gone back (a backup was put back?): all is read anew",
                     core_dbd_conf.name);
        return dbd_read_all(see, baton);
    }
    after = apr_psprintf(core_dbd_ptemp(), "%" APR_UINT64_T_FMT, seen > OVERLAP ? seen - OVERLAP : 0);
    rv = core_dbd_read(CORE_DBD_SINCE, &after, CORE_DBD_COLUMNS, dbd_see_row, &seeing);
    if (rv == APR_SUCCESS) {
        seen = changed;
    }
    return rv;
}

/* What went wrong is said once: not where the store is down already, as another child or another
 * failure has told. */
static apr_status_t dbd_down(apr_status_t rv, server_rec *s)
{
    apr_time_t now = usher_clock_system()->boot_now();
    usher_store_state_t state;

    core_dbd_close();
    core_store_state(&state);
    if (state.is_up) {
        is_mute = said_at && now - said_at < SAY_INTERVAL;
    }
    if (state.is_up && !is_mute) {
        said_at = now;
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(1080)
                     "store %s: the database cannot be used: %s", core_dbd_conf.name,
                     core_dbd_error());
    }
    return rv;
}

/* A database that can only be read is down as well: the trial takes back what it does. */
static apr_status_t dbd_try_to_write(void)
{
    int rows;
    apr_status_t rv = core_dbd_say(core_dbd_conf.dialect->begin);

    if (rv == APR_SUCCESS) {
        rv = core_dbd_write(CORE_DBD_NEXT, NULL, &rows);
    }
    return rv == APR_SUCCESS ? core_dbd_say("ROLLBACK") : rv;
}

/* A new connection. All is read. */
static apr_status_t dbd_begin(core_store_see_t *see, void *baton)
{
    apr_status_t rv;

    core_dbd_close();
    said_odd = 0;
    rv = core_dbd_open();
    if (rv == APR_SUCCESS) {
        rv = dbd_read_all(see, baton);
    }
    if (rv == APR_SUCCESS) {
        rv = dbd_try_to_write();
    }
    core_dbd_done();
    return rv;
}

static apr_status_t dbd_take(core_store_see_t *see, void *baton, server_rec *s)
{
    apr_status_t rv = dbd_begin(see, baton);
    char text[USHER_DURATION_SIZE];
    usher_store_state_t state;

    if (rv != APR_SUCCESS) {
        return dbd_down(rv, s);
    }
    core_store_state(&state);
    if (!state.is_up && !is_mute) {
        apr_time_t took = usher_clock_system()->boot_now() / 1000 - state.since;

        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(1081)
                     "store %s: the database is there again after %s: %u records", core_dbd_conf.name,
                     usher_duration_format(text, took / 1000 * APR_USEC_PER_SEC), records);
    }
    return rv;
}

/* Those that failed together, each alone, on a new connection: one that was lost is no outage, and
 * a change that the database does not take hurts no other one. Two in a row are enough. */
static apr_status_t dbd_commit_each(core_store_batch_t *batches, int n, core_store_see_t *see,
                                    void *baton)
{
    int i, failed = 0;
    apr_status_t rv = APR_SUCCESS;

    for (i = 0; i < n && failed < 2; ++i) {
        if (!core_dbd_is_open()) {
            rv = dbd_begin(see, baton);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (core_dbd_commit(&batches[i], 1, see, baton) == APR_SUCCESS) {
            failed = 0;
        }
        else {
            core_dbd_close();
            ++failed;
        }
    }
    return failed < 2 ? APR_SUCCESS : APR_EGENERAL;
}

static apr_status_t dbd_commit(core_store_batch_t *batches, int n, core_store_see_t *see, void *baton,
                               server_rec *s)
{
    apr_status_t rv = core_dbd_is_open() ? core_dbd_commit(batches, n, see, baton) : APR_EGENERAL;

    if (rv != APR_SUCCESS) {
        core_dbd_close();
        rv = dbd_commit_each(batches, n, see, baton);
    }
    core_dbd_done();
    return rv == APR_SUCCESS ? rv : dbd_down(rv, s);
}

static apr_status_t dbd_poll(core_store_see_t *see, void *baton, server_rec *s)
{
    apr_time_t now = usher_clock_system()->boot_now();
    int is_all = now - all_at >= READ_ALL_INTERVAL;
    apr_status_t rv = APR_EGENERAL;

    if (core_dbd_is_open()) {
        rv = is_all ? dbd_read_all(see, baton) : dbd_read_changes(see, baton, s);
        if (rv == APR_SUCCESS && is_all) {
            rv = core_dbd_forget();
        }
    }
    if (rv != APR_SUCCESS) {
        rv = dbd_begin(see, baton);
    }
    core_dbd_done();
    return rv == APR_SUCCESS ? rv : dbd_down(rv, s);
}

/* In the process that reads for the parent. */
static apr_status_t dbd_read_once(core_store_see_t *see, void *baton)
{
    apr_status_t rv = core_dbd_open();

    return rv == APR_SUCCESS ? dbd_read_all(see, baton) : rv;
}

static const char *dbd_start(core_store_see_t *see, void *baton, apr_pool_t *pconf, server_rec *s)
{
    (void)pconf;
    core_dbd_start(dbd_read_once, see, baton, s);
    return NULL;
}

const core_store_engine_t core_store_dbd = {
    "dbd", core_dbd_configure, dbd_start, dbd_take, dbd_commit, dbd_poll, core_dbd_close
};
