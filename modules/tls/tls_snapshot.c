/* The file that keeps the statistics while httpd is stopped.
 *
 * The directory belongs to the user that children run as, so anything may lie there under any name, and
 * the parent is root: it follows no link, opens nothing but plain files, and makes only
 * files that were not there. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unixd.h>

#include "tls_stats.h"
#include "usher_clock.h"

APLOG_USE_MODULE(usher_tls);

#define FILE_NAME    "tls.stats"
#define DAMAGED_NAME "tls.stats.damaged"
/* Numbers may take some more bytes than in memory. */
#define FILE_MAX     (USHER_TLSSTATS_SIZE_MAX + USHER_TLSSTATS_SIZE_MAX / 4)
/* At most one message in this time that it cannot be written. */
#define LOG_INTERVAL (APR_TIME_C(600) * APR_USEC_PER_SEC)

/* Bytes that are being collected. */
typedef struct {
    unsigned char *bytes;
    apr_size_t len, room;
} snapshot_bytes_t;

static int snapshot_put(void *baton, const void *bytes, apr_size_t len)
{
    snapshot_bytes_t *to = baton;

    if (to->room - to->len < len) {
        apr_size_t room = 2 * (to->len + len);
        unsigned char *more = realloc(to->bytes, room);

        if (!more) {
            return 0;
        }
        to->bytes = more;
        to->room = room;
    }
    memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
    return 1;
}

int tls_snapshot_carry(usher_tlsstats_t *to, const usher_tlsstats_t *from, apr_uint64_t *dropped)
{
    snapshot_bytes_t bytes = { NULL, 0, 0 };
    int done = usher_tlsstats_save(from, tls_stats_now(), snapshot_put, &bytes)
               && usher_tlsstats_load(to, bytes.bytes, bytes.len, dropped);

    free(bytes.bytes);
    return done;
}

static int snapshot_open_dir(const char *dir)
{
    return open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* All of a file, as long as it is when this begins. @return 0: errno tells why not */
static int snapshot_read(int dir, snapshot_bytes_t *bytes)
{
    int fd = openat(dir, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat info;
    ssize_t n = 1;

    if (fd < 0) {
        return 0;
    }
    if (fstat(fd, &info) || !S_ISREG(info.st_mode) || (apr_uint64_t)info.st_size > FILE_MAX) {
        close(fd);
        errno = EINVAL;
        return 0;
    }
    bytes->room = (apr_size_t)info.st_size + 1;
    bytes->bytes = malloc(bytes->room);
    while (bytes->bytes && bytes->len < bytes->room && n > 0) {
        n = read(fd, bytes->bytes + bytes->len, bytes->room - bytes->len);
        bytes->len += n > 0 ? (apr_size_t)n : 0;
    }
    close(fd);
    return bytes->bytes && n >= 0;
}

/* Somebody may want to look at it; counting begins anew. */
static void snapshot_set_aside(int dir, const char *path, server_rec *s)
{
    apr_status_t rv = renameat(dir, FILE_NAME, dir, DAMAGED_NAME) ? errno : 0;

    ap_log_error(APLOG_MARK, APLOG_ERR, rv, s, USHERLOGNO(4031)
                 "TLS statistics: %s/tls.stats is damaged, or of another release: counting begins "
                 "anew, and the file %s", path,
                 rv ? "could not be renamed" : "is now tls.stats.damaged; it may be removed");
}

/* What processes left that were killed while they wrote. */
static void snapshot_clear(const char *dir, int fd, apr_pool_t *p)
{
    apr_finfo_t info;
    apr_dir_t *all;

    if (apr_dir_open(&all, dir, p) != APR_SUCCESS) {
        return;
    }
    while (apr_dir_read(&info, APR_FINFO_NAME, all) == APR_SUCCESS) {
        apr_size_t len = strlen(info.name);

        if (!strncmp(info.name, FILE_NAME ".", sizeof(FILE_NAME)) && len > 4
            && !strcmp(info.name + len - 4, ".new")) {
            unlinkat(fd, info.name, 0);
        }
    }
    apr_dir_close(all);
}

/* @return 0: it is damaged */
static int snapshot_parse(usher_tlsstats_t *stats, const snapshot_bytes_t *bytes, server_rec *s)
{
    unsigned char secret[USHER_TLSSTATS_SECRET_SIZE];
    apr_uint64_t dropped = 0, size;
    apr_int64_t saved = 0;
    char when[USHER_UTC_SIZE];

    if (!usher_tlsstats_is_whole(bytes->bytes, bytes->len)) {
        return 0; /* before anything is written, as the system would give memory for it */
    }
    if (!usher_tlsstats_load(stats, bytes->bytes, bytes->len, &dropped)) {
        memset(stats->header, 0, stats->size);
        apr_generate_random_bytes(secret, sizeof(secret));
        usher_tlsstats_init(stats, secret, tls_stats_now());
        return 0;
    }
    usher_tlsstats_peek(bytes->bytes, bytes->len, &size, &saved);
    usher_utc_format(when, tls_stats_utc(saved));
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, USHERLOGNO(4032)
                 "TLS statistics: go on from those of %s; for %" APR_UINT64_T_FMT
                 " records there was no room", when, dropped);
    return 1;
}

void tls_snapshot_load(usher_tlsstats_t *stats, const char *dir, apr_pool_t *ptemp, server_rec *s)
{
    snapshot_bytes_t bytes = { NULL, 0, 0 };
    int fd = snapshot_open_dir(dir), found;

    if (fd < 0) {
        return;
    }
    snapshot_clear(dir, fd, ptemp);
    found = snapshot_read(fd, &bytes);
    if (found ? !snapshot_parse(stats, &bytes, s) : errno != ENOENT) {
        snapshot_set_aside(fd, dir, s);
    }
    free(bytes.bytes);
    close(fd);
}

/* A file being written. */
typedef struct {
    int fd;
    apr_size_t len;
    unsigned char buffer[65536];
} snapshot_file_t;

static int snapshot_flush(snapshot_file_t *file)
{
    apr_size_t done = 0;

    while (done < file->len) {
        ssize_t n = write(file->fd, file->buffer + done, file->len - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return 0;
        }
        done += (apr_size_t)n;
    }
    file->len = 0;
    return 1;
}

/* @param len  at most that of the buffer */
static int snapshot_write(void *baton, const void *bytes, apr_size_t len)
{
    snapshot_file_t *file = baton;

    if (sizeof(file->buffer) - file->len < len && !snapshot_flush(file)) {
        return 0;
    }
    memcpy(file->buffer + file->len, bytes, len);
    file->len += len;
    return 1;
}

/* What is there under this process's name was left by a dead one. */
static int snapshot_create(int dir, const char *name)
{
    int fd, tries;

    for (tries = 0; tries < 2; ++tries) {
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
        unlinkat(dir, name, 0);
    }
    return -1;
}

/* Whole and on the disk before it has its name. @return 0: errno tells why not */
static int snapshot_make(const usher_tlsstats_t *stats, int dir, const char *name)
{
    snapshot_file_t *file = malloc(sizeof(*file));
    int done;

    if (!file) {
        return 0;
    }
    file->len = 0;
    file->fd = snapshot_create(dir, name);
    done = file->fd >= 0
           && (geteuid() || !fchown(file->fd, ap_unixd_config.user_id, ap_unixd_config.group_id))
           && usher_tlsstats_save(stats, tls_stats_now(), snapshot_write, file)
           && snapshot_flush(file) && !fsync(file->fd);
    if (file->fd >= 0) {
        done = !close(file->fd) && done;
    }
    free(file);
    return done && !renameat(dir, name, dir, FILE_NAME) && !fsync(dir);
}

int tls_snapshot_save(const usher_tlsstats_t *stats, const char *dir, server_rec *s)
{
    static apr_time_t logged_at; /* the tick's thread, or the parent's, is alone here */
    apr_time_t now = usher_clock_system()->boot_now();
    char name[sizeof(FILE_NAME) + 16];
    int fd = snapshot_open_dir(dir), error = 0;

    apr_snprintf(name, sizeof(name), FILE_NAME ".%d.new", (int)getpid());
    if (fd < 0 || !snapshot_make(stats, fd, name)) {
        error = errno;
    }
    if (fd >= 0) {
        if (error) {
            unlinkat(fd, name, 0);
        }
        close(fd);
    }
    if (error && (!logged_at || now - logged_at > LOG_INTERVAL)) {
        logged_at = now;
        ap_log_error(APLOG_MARK, APLOG_ERR, error, s, USHERLOGNO(4033)
                     "TLS statistics: %s/tls.stats could not be written; the last one that was "
                     "stays. Counting goes on, and it is tried again", dir);
    }
    return !error;
}
