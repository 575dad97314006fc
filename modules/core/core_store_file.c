/* The engine "file:": a journal in a directory, and all of it in memory of the process that
 * has the claim. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core_store_file.h"
#include "usher_clock.h"

APLOG_USE_MODULE(usher);

/* The journal is written anew when it is longer than this, and than so many times what it holds. */
#define REWRITE_MIN (1 << 20)
#define REWRITE_TIMES 3
/* When that failed, it is tried again so much later. */
#define REWRITE_PAUSE (60 * APR_USEC_PER_SEC)
/* How long a start waits for a child of an earlier httpd that is just ending. */
#define CLAIM_WAIT (5 * APR_USEC_PER_SEC)
/* How often, and how long in between, a child asks for a journal that another one has open. */
#define TAKE_TRIES 25
#define TAKE_PAUSE (20 * APR_TIME_C(1000))
/* Polls between two looks for records whose life is over. */
#define SWEEP_POLLS 10
/* At most one message in this time that the file is damaged. */
#define LOG_INTERVAL (600 * APR_USEC_PER_SEC)

#define REMEDY "Put a copy of it from before in its place, or rename it, and the store begins " \
               "empty: what it held has to be entered again"

static const char *file_dir; /* of UsherStore; NULL: UsherStateDir */
static core_store_file_t file = { -1, -1 };
static core_store_pending_t pending;

static const char *file_configure(const char *rest, const char **name, apr_pool_t *pconf,
                                  server_rec *s)
{
    const char *path = *rest ? ap_server_root_relative(pconf, rest) : core_state_dir();
    const char *wrong;

    if (!path) {
        return "is no path";
    }
    wrong = *rest ? core_state_judge(pconf, path) : NULL; /* UsherStateDir is looked at itself */
    file_dir = *rest ? path : NULL;
    *name = apr_pstrcat(pconf, "file:", path, NULL);
    return wrong ? apr_pstrcat(pconf, path, " ", wrong, NULL) : NULL;
}

static const char *file_path(void)
{
    return file_dir ? file_dir : core_state_dir();
}

static int file_open_dir(void)
{
    const char *path = file_path();

    return path ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
}

typedef struct {
    core_store_see_t *see;
    void *baton;
} file_tell_t;

static int file_tell_one(void *baton, const core_store_entry_t *entry)
{
    const file_tell_t *tell = baton;

    core_store_entry_tell(entry, tell->see, tell->baton);
    return 1;
}

static void file_tell_all(const core_store_table_t *table, core_store_see_t *see, void *baton)
{
    file_tell_t tell = { see, baton };

    core_store_table_each(table, file_tell_one, &tell);
}

static const char *file_why_bad(const core_store_found_t *found, apr_status_t rv, apr_pool_t *p)
{
    char text[120];

    if (rv != APR_EINVAL) {
        return apr_psprintf(p, CORE_STORE_FILE_NAME " cannot be read (%s)",
                            apr_strerror(rv, text, sizeof(text)));
    }
    if (!found->at) {
        return CORE_STORE_FILE_NAME " is no journal of this version of Usher, or its beginning is "
               "damaged. " REMEDY;
    }
    return apr_psprintf(p, CORE_STORE_FILE_NAME " is damaged at byte %" APR_SIZE_T_FMT " of %"
                        APR_SIZE_T_FMT ", and what follows cannot be believed. " REMEDY,
                        found->at, found->len);
}

/* A child of an httpd that was killed may still write for a moment. */
static int file_is_left(int fd)
{
    const apr_interval_time_t step = 50000;
    apr_interval_time_t limit = CLAIM_WAIT;

    while (core_store_file_is_claimed(fd)) {
        if (limit <= 0) {
            return 0;
        }
        apr_sleep(step);
        limit -= step;
    }
    return 1;
}

/* In the parent, who only reads: what is to be mended the store's thread mends. */
static const char *file_read(int dir, core_store_see_t *see, void *baton, apr_pool_t *p)
{
    int fd = core_store_file_open(dir, CORE_STORE_FILE_NAME, O_RDONLY);
    core_store_table_t *table;
    core_store_found_t found;
    const char *why = NULL;
    apr_status_t rv;

    if (fd < 0) {
        return errno == ENOENT ? NULL : CORE_STORE_FILE_NAME " cannot be opened: it has to be a plain "
               "file, with one name, and belong to the user that httpd's children run as";
    }
    table = core_store_table_make();
    if (!table) {
        why = "there is no memory";
    }
    else if (!file_is_left(fd)) {
        why = "children of an httpd whose parent was killed still write there: end them";
    }
    else {
        rv = core_store_file_load(fd, table, &found);
        why = rv == APR_SUCCESS ? NULL : file_why_bad(&found, rv, p);
    }
    if (!why) {
        file_tell_all(table, see, baton);
    }
    core_store_table_free(table);
    close(fd);
    return why;
}

static const char *file_start(core_store_see_t *see, void *baton, apr_pool_t *pconf, server_rec *s)
{
    const char *path = file_path(), *why = NULL;
    apr_status_t rv;
    char text[120];
    int dir;

    if (!path) {
        return "needs UsherStateDir, which cannot be used: name another directory there, or in "
               "UsherStore";
    }
    if (file_dir) {
        rv = core_state_make(pconf, path);
        why = rv == APR_SUCCESS ? core_state_judge(pconf, path) : apr_pstrcat(pconf,
              "cannot be made: ", apr_strerror(rv, text, sizeof(text)), NULL);
    }
    dir = why ? -1 : file_open_dir();
    if (dir < 0) {
        return apr_pstrcat(pconf, path, " ", why ? why : "cannot be opened", NULL);
    }
    why = core_store_file_own(dir, path, pconf);
    why = why ? why : file_read(dir, see, baton, pconf);
    close(dir);
    return why ? apr_pstrcat(pconf, path, ": ", why, NULL) : NULL;
}

static void file_leave(void)
{
    if (file.fd >= 0) {
        close(file.fd);
    }
    if (file.dir >= 0) {
        close(file.dir);
    }
    file.fd = file.dir = -1;
    core_store_table_free(file.table);
    free(file.buffer);
    file.table = NULL;
    file.buffer = NULL;
}

/* Whether the file that is open is the one of that name. */
static int file_is_there(void)
{
    struct stat opened, named;

    return !fstat(file.fd, &opened) && opened.st_nlink == 1
           && !fstatat(file.dir, CORE_STORE_FILE_NAME, &named, AT_SYMLINK_NOFOLLOW)
           && opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/* @return APR_SUCCESS, also where there is none yet */
static apr_status_t file_open(void)
{
    apr_status_t rv;

    usher_clock_system()->boot_id(file.boot_id);
    file.dir = file_open_dir();
    file.table = core_store_table_make();
    file.buffer = malloc(CORE_STORE_FILE_BUFFER);
    if (file.dir < 0 || !file.table || !file.buffer) {
        return file.dir < 0 ? errno : APR_ENOMEM;
    }
    file.fd = core_store_file_open(file.dir, CORE_STORE_FILE_NAME, O_RDWR);
    if (file.fd < 0) {
        return errno == ENOENT ? APR_SUCCESS : errno;
    }
    rv = core_store_file_claim(file.fd);
    return rv == APR_SUCCESS && !file_is_there() ? APR_EAGAIN : rv;
}

/* Says what was found, and mends it. */
static apr_status_t file_mend(const core_store_found_t *found, server_rec *s)
{
    const char *path = file_path();

    file.len = (apr_int64_t)found->at;
    file.number = found->number;
    if (found->mended) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(1069)
                     "store %s/store.journal: wrong bytes that were found and mended: %u, the last "
                     "one at %" APR_SIZE_T_FMT "; nothing is lost. Look after the disk, and the "
                     "memory", path, found->mended, found->mended_at);
    }
    if (found->end == USHER_JOURNAL_TORN) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(1070)
                     "store %s/store.journal: the last %" APR_SIZE_T_FMT " bytes were "
                     "being written when httpd was ended, and are cut off: nobody was told that "
                     "they were kept", path, found->len - found->at);
        if (ftruncate(file.fd, (off_t)found->at)) {
            return errno;
        }
    }
    /* The end may be of one who was killed before his fdatasync(): it is in the file, not yet
     * on the disk, and who waits for it is answered from now on. */
    if (fdatasync(file.fd)) {
        return errno;
    }
    return found->mended ? core_store_file_rewrite(&file) : APR_SUCCESS;
}

static apr_status_t file_load(server_rec *s)
{
    static apr_time_t logged_at; /* only the store's thread is here */
    apr_time_t now = usher_clock_system()->boot_now();
    core_store_found_t found;
    apr_status_t rv = core_store_file_load(file.fd, file.table, &found);

    if (rv == APR_SUCCESS) {
        return file_mend(&found, s);
    }
    if (!logged_at || now - logged_at > LOG_INTERVAL) {
        apr_pool_t *p;

        logged_at = now;
        apr_pool_create_unmanaged_ex(&p, NULL, NULL);
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(1071)
                     "store %s: %s", file_path(), file_why_bad(&found, rv, p));
        apr_pool_destroy(p);
    }
    return rv;
}

static apr_status_t file_take(core_store_see_t *see, void *baton, server_rec *s)
{
    apr_status_t rv;
    int tries = 0;

    /* A process that is ending may be about to close it. */
    while ((rv = file_open()) == APR_EAGAIN && ++tries < TAKE_TRIES) {
        file_leave();
        apr_sleep(TAKE_PAUSE);
    }
    if (rv == APR_SUCCESS) {
        rv = file.fd < 0 ? core_store_file_rewrite(&file) : file_load(s);
    }
    /* The name, and not only the file, has to be on the disk. */
    if (rv == APR_SUCCESS && fsync(file.dir)) {
        rv = errno;
    }
    if (rv == APR_SUCCESS) {
        rv = core_store_file_reserve(&file);
    }
    if (rv == APR_SUCCESS) {
        file_tell_all(file.table, see, baton);
    }
    return rv;
}

static apr_status_t file_commit(core_store_batch_t *batches, int n, core_store_see_t *see,
                                void *baton, server_rec *s)
{
    apr_status_t rv = APR_SUCCESS;

    core_store_table_judge(file.table, batches, n, 0, &pending);
    if (pending.n) {
        rv = core_store_file_append(&file, &pending);
    }
    if (rv == APR_SUCCESS) {
        core_store_table_settle(file.table, batches, n, &pending, see, baton);
    }
    else {
        core_store_table_drop(batches, n, &pending);
    }
    return rv;
}

static int file_is_long(void)
{
    apr_size_t holds = core_store_table_size(file.table)
                       + core_store_table_count(file.table) * USHER_JOURNAL_RECORD_SIZE;

    return file.len > REWRITE_MIN && (apr_size_t)file.len / REWRITE_TIMES > holds;
}

/* Where that cannot be done the old one stays, and grows. */
static apr_status_t file_shorten(server_rec *s)
{
    static apr_time_t failed_at; /* only the store's thread is here */
    apr_time_t now = usher_clock_system()->boot_now();
    apr_int64_t was = file.len;
    int fd = file.fd;
    apr_status_t rv;

    if (failed_at && now - failed_at < REWRITE_PAUSE) {
        return APR_SUCCESS;
    }
    core_store_table_sweep(file.table);
    rv = core_store_file_rewrite(&file);
    failed_at = 0;
    if (rv == APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, USHERLOGNO(1073)
                     "store %s/store.journal: written anew, without what is over: %" APR_INT64_T_FMT
                     " bytes, %" APR_INT64_T_FMT " before", file_path(), file.len, was);
    }
    else {
        failed_at = now;
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s, USHERLOGNO(1074)
                     "store %s/store.journal: could not be written anew, without what is over: it "
                     "grows, has %" APR_INT64_T_FMT " bytes, and this is tried again in a minute",
                     file_path(), was);
    }
    return file.fd == fd ? APR_SUCCESS : rv;
}

static apr_status_t file_poll(core_store_see_t *see, void *baton, server_rec *s)
{
    static unsigned int polls; /* only the store's thread is here */

    if (++polls % SWEEP_POLLS == 0) {
        core_store_table_sweep(file.table);
    }
    if (file_is_there()) {
        return file_is_long() ? file_shorten(s) : APR_SUCCESS;
    }
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(1072)
                 "store %s/store.journal: was removed, or replaced, while httpd works with "
                 "it: it is written anew with what this process knows. To put another one there, "
                 "stop httpd first", file_path());
    return core_store_file_rewrite(&file);
}

const core_store_engine_t core_store_file = {
    .scheme = "file",
    .configure = file_configure,
    .start = file_start,
    .take = file_take,
    .commit = file_commit,
    .poll = file_poll,
    .leave = file_leave,
};
