/* Databases that .htaccess files name, where UsherGeoHtaccessFiles lets them. Whoever writes there may cut
 * such a file short at any moment: it is read into memory of the child's own, proved, and kept for the next
 * requests, until the file is another one. One lock, and only requests with such lines take it; while a file
 * is read the others of them wait. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "geo_check.h"
#include "geo_private.h"
#include "usher_sealed.h"

APLOG_USE_MODULE(usher_geo);

/* In memory at a time, of a child. */
#define FILES_MAX 16

typedef struct file_t {
    struct file_t *next;
    char *path;
    struct stat info;
    MMDB_s mmdb;
    const char *wrong; /* constant; NULL: mmdb is open */
    int readers;       /* requests; and 1 while it is in the list */
} file_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static file_t *files; /* the last one used first; under the lock */

static int file_is(const file_t *file, const struct stat *info)
{
    return file->info.st_dev == info->st_dev && file->info.st_ino == info->st_ino
           && file->info.st_size == info->st_size
           && file->info.st_mtim.tv_sec == info->st_mtim.tv_sec
           && file->info.st_mtim.tv_nsec == info->st_mtim.tv_nsec
           && file->info.st_ctim.tv_sec == info->st_ctim.tv_sec
           && file->info.st_ctim.tv_nsec == info->st_ctim.tv_nsec;
}

static void file_leave(file_t *file)
{
    if (--file->readers) {
        return;
    }
    if (!file->wrong) {
        MMDB_close(&file->mmdb);
    }
    free(file->path);
    free(file);
}

static const char *file_read(int fd, char *bytes, apr_size_t size)
{
    apr_size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, bytes + done, size - done);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return n ? "it cannot be read" : "it was changed while it was read";
        }
        done += n > 0 ? (apr_size_t)n : 0;
    }
    return NULL;
}

/* Read it into memory that nobody else has, and have the library open that. */
static const char *file_load(file_t *file, int fd)
{
    apr_size_t size = (apr_size_t)file->info.st_size, at;
    const char *wrong;
    char path[32];
    struct stat after;
    void *room;
    int memory;

    if (!S_ISREG(file->info.st_mode) || !size || file->info.st_size > (off_t)GEO_CHECK_SIZE_MAX) {
        return "it is no file, or empty, or too large";
    }
    memory = usher_sealed_make("usher-htaccess", size, &room);
    if (memory < 0) {
        return "there is no memory for it";
    }
    wrong = file_read(fd, room, size);
    if (!wrong && (fstat(fd, &after) || !file_is(file, &after))) {
        wrong = "it was changed while it was read";
    }
    wrong = wrong ? wrong : geo_check_prove(room, size, &at);
    if (usher_sealed_seal(memory, room, size) && !wrong) {
        wrong = "its memory cannot be sealed";
    }
    apr_snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
    if (!wrong && MMDB_open(path, MMDB_MODE_MMAP, &file->mmdb) != MMDB_SUCCESS) {
        wrong = "libmaxminddb does not take it";
    }
    close(memory);
    return wrong;
}

static file_t *file_make(const char *path)
{
    file_t *file = calloc(1, sizeof(*file));
    int fd;

    if (!file || !(file->path = strdup(path))) {
        free(file);
        return NULL;
    }
    file->readers = 1;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &file->info)) {
        file->wrong = "it cannot be opened";
    }
    else {
        file->wrong = file_load(file, fd);
    }
    if (fd >= 0) {
        close(fd);
    }
    return file;
}

/* The one that nobody has asked for the longest makes room. */
static void files_drop(file_t **at)
{
    file_t *file = *at;

    *at = file->next;
    file_leave(file);
}

/* @return with a reader more; NULL: there is no memory */
static file_t *files_find(const char *path, const struct stat *info)
{
    file_t **at, *file;
    int n = 0;

    for (at = &files; (file = *at) && strcmp(file->path, path) != 0; at = &file->next) {
    }
    if (file && !file_is(file, info)) {
        files_drop(at);
        file = NULL;
    }
    else if (file) {
        *at = file->next;
    }
    file = file ? file : file_make(path);
    if (file) {
        file->next = files;
        files = file;
        ++file->readers;
        for (at = &files; *at && ++n <= FILES_MAX; at = &(*at)->next) {
        }
        if (*at) {
            files_drop(at);
        }
    }
    return file;
}

static apr_status_t files_cleanup(void *file)
{
    pthread_mutex_lock(&lock);
    file_leave(file);
    pthread_mutex_unlock(&lock);
    return APR_SUCCESS;
}

const char *geo_files_open(apr_pool_t *p, const char *path, const geo_db_t **made)
{
    struct stat info;
    geo_db_t *db;
    file_t *file;

    if (stat(path, &info)) {
        return apr_psprintf(p, "\"%s\": there is no such file, or httpd may not read it", path);
    }
    pthread_mutex_lock(&lock);
    file = files_find(path, &info);
    pthread_mutex_unlock(&lock);
    if (!file) {
        return "there is no memory for a database";
    }
    apr_pool_cleanup_register(p, file, files_cleanup, apr_pool_cleanup_null);
    if (file->wrong) {
        return apr_psprintf(p, "\"%s\" cannot be used: %s", path, file->wrong);
    }
    db = apr_pcalloc(p, sizeof(*db));
    db->path = path;
    db->own = &file->mmdb;
    *made = db;
    return NULL;
}
