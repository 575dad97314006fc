/* Changes in the database: compared, written, committed.
 *
 * One transaction for all that wait. It begins by taking the next number, and so the lock that
 * all writers need: nobody else changes what it has compared. So each batch is looked at
 * first, then written whole or not at all; one that is refused undoes no other one. */
#include <string.h>

#include "core_store_dbd.h"
#include "usher_clock.h"

/* What the database has for a change. No two changes of a node have one version, but those of two
 * nodes may: so each record says who wrote it. */
typedef struct {
    int is_there, is_done;     /* done: by a transaction whose end was not heard of */
    core_dbd_record_t found;   /* where it is there; in ptemp */
} commit_look_t;

static const char *commit_number(apr_uint64_t number)
{
    return apr_psprintf(core_dbd_ptemp(), "%" APR_UINT64_T_FMT, number);
}

static apr_status_t commit_row(const char *const *columns, void *baton)
{
    commit_look_t *look = baton;
    apr_pool_t *p = core_dbd_ptemp();

    if (!core_dbd_record(&look->found, columns)) {
        return core_dbd_refuse("a record in usher_store is none of Usher's, and in the way of a change");
    }
    look->is_there = 1;
    look->found.kind = apr_pstrdup(p, look->found.kind);
    look->found.record.key = apr_pstrdup(p, look->found.record.key);
    look->found.record.value = apr_pstrdup(p, look->found.record.value);
    return APR_SUCCESS;
}

static apr_status_t commit_look(commit_look_t *look, const usher_store_change_t *change)
{
    const char *values[] = { change->kind->name, change->key };
    const usher_store_record_t *found = &look->found.record;
    apr_status_t rv = core_dbd_read(CORE_DBD_ONE, values, CORE_DBD_COLUMNS, commit_row, look);

    look->is_done = rv == APR_SUCCESS && look->is_there && found->version == change->version &&
                    look->found.writer == core_dbd_conf.node;
    return rv;
}

/* @param number  of this transaction */
static apr_status_t commit_write(const usher_store_change_t *change, const char *number)
{
    apr_int64_t now = usher_clock_system()->utc_now() / 1000;
    const char *version = commit_number(change->version);
    const char *gone_at = commit_number(change->life ? (apr_uint64_t)(now + change->life) : 0);
    const char *writer = commit_number(core_dbd_conf.node);
    const char *insert[] = { change->kind->name, change->key, version, change->value, gone_at, writer,
                             number };
    const char *update[] = { version, change->value, gone_at, writer, number, change->kind->name,
                             change->key, commit_number(change->was) };
    int rows;
    apr_status_t rv = change->was ? core_dbd_write(CORE_DBD_UPDATE, update, &rows)
                                  : core_dbd_write(CORE_DBD_INSERT, insert, &rows);

    return rv != APR_SUCCESS || rows == 1 ? rv
        : core_dbd_refuse("somebody else writes to usher_store without its lock");
}

/* @param looks    one for each change of the batch
 * @param written  is counted up */
static apr_status_t commit_batch(core_store_batch_t *batch, commit_look_t *looks, const char *number,
                                 int *written)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    batch->result = USHER_STORE_DONE;
    for (i = 0; i < batch->n && rv == APR_SUCCESS; ++i) {
        const usher_store_change_t *change = &batch->changes[i];

        rv = commit_look(&looks[i], change);
        if (!looks[i].is_done &&
            (looks[i].is_there ? looks[i].found.record.version : 0) != change->was) {
            batch->result = USHER_STORE_CONFLICT;
        }
    }
    for (i = 0; i < batch->n && rv == APR_SUCCESS && batch->result == USHER_STORE_DONE; ++i) {
        if (!looks[i].is_done) {
            rv = commit_write(&batch->changes[i], number);
            ++*written;
        }
    }
    return rv;
}

/* What is true now. */
static void commit_tell(core_store_batch_t *batch, const commit_look_t *looks, core_store_see_t *see,
                        void *baton)
{
    int i;

    for (i = 0; i < batch->n; ++i) {
        usher_store_change_t *change = &batch->changes[i];
        usher_store_record_t record = { change->key, change->value, change->version, change->life };

        if (batch->result == USHER_STORE_DONE) {
            see(change->kind->name, &record, baton);
            continue;
        }
        change->version = looks[i].is_there ? looks[i].found.record.version : 0;
        if (looks[i].is_there) {
            see(looks[i].found.kind, &looks[i].found.record, baton);
        }
    }
}

/* The batches between BEGIN and COMMIT. */
static apr_status_t commit_all(core_store_batch_t *batches, int n, commit_look_t *looks, int *written)
{
    apr_uint64_t number;
    const char *text;
    int i, rows;
    apr_status_t rv = core_dbd_write(CORE_DBD_NEXT, NULL, &rows);

    if (rv == APR_SUCCESS) {
        rv = core_dbd_head(&number);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    text = commit_number(number);
    for (i = 0; i < n && rv == APR_SUCCESS; ++i) {
        rv = commit_batch(&batches[i], &looks[i * USHER_STORE_TOGETHER_MAX], text, written);
    }
    return rv;
}

apr_status_t core_dbd_commit(core_store_batch_t *batches, int n, core_store_see_t *see, void *baton)
{
    commit_look_t *looks = apr_pcalloc(core_dbd_ptemp(),
                                       (apr_size_t)n * USHER_STORE_TOGETHER_MAX * sizeof(*looks));
    apr_status_t rv = core_dbd_say(core_dbd_conf.dialect->begin);
    int i, written = 0;

    if (rv == APR_SUCCESS) {
        rv = commit_all(batches, n, looks, &written);
    }
    if (rv == APR_SUCCESS) {
        rv = core_dbd_say(written ? "COMMIT" : "ROLLBACK");
    }
    for (i = 0; i < n; ++i) {
        if (rv == APR_SUCCESS) {
            commit_tell(&batches[i], &looks[i * USHER_STORE_TOGETHER_MAX], see, baton);
        }
        else {
            batches[i].result = USHER_STORE_DOWN;
        }
    }
    return rv;
}

typedef struct {
    int some;
} commit_old_t;

static apr_status_t commit_old_row(const char *const *columns, void *baton)
{
    commit_old_t *old = baton;

    old->some = columns[0] && strcmp(columns[0], "0");
    return APR_SUCCESS;
}

/* By our clock, which may be before those of others: as much later. Under the lock, as two that
 * remove in another order would wait for each other. */
apr_status_t core_dbd_forget(void)
{
    apr_time_t until = usher_clock_system()->utc_now() - core_clock_skew();
    const char *values[] = { commit_number((apr_uint64_t)(until / 1000)) };
    commit_old_t old = { 0 };
    int rows;
    apr_status_t rv = core_dbd_read(CORE_DBD_OLD, values, 1, commit_old_row, &old);

    if (rv != APR_SUCCESS || !old.some) {
        return rv;
    }
    rv = core_dbd_say(core_dbd_conf.dialect->begin);
    if (rv == APR_SUCCESS) {
        rv = core_dbd_write(CORE_DBD_NEXT, NULL, &rows);
    }
    if (rv == APR_SUCCESS) {
        rv = core_dbd_write(CORE_DBD_FORGET, values, &rows);
    }
    return rv == APR_SUCCESS ? core_dbd_say("COMMIT") : rv;
}
