/* Who may use the store's directory, and who may write its journal.
 *
 * The directory is one httpd's: its parent holds a lock on store.lock until it ends. An fcntl
 * lock, which children do not inherit: those that outlive a killed parent do not keep the next
 * httpd from starting. Whoever writes the journal holds a lock on the file itself, so that never
 * two do, whatever stands in shared memory; one of the open file, which this process does not
 * lose when it closes another descriptor.
 *
 * The directory belongs to the user that children run as: anything may lie there under any name. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unixd.h>

#include "core_store_file.h"

#define LOCK_NAME "store.lock"
#define PATH_LEN 4095

/* The parent's lock; outlives restarts. */
typedef struct {
    int is_held;
    int fd;
    char path[PATH_LEN + 1];
} lock_retained_t;

#define RETAINED_KEY "usher-store-file-1"

int core_store_file_open(int dir, const char *name, int flags)
{
    int fd = openat(dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat info;

    if (fd >= 0 && (fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_nlink != 1)) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

int core_store_file_create(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd >= 0 && !geteuid() && fchown(fd, ap_unixd_config.user_id, ap_unixd_config.group_id)) {
        int error = errno;

        close(fd);
        unlinkat(dir, name, 0);
        errno = error;
        return -1;
    }
    return fd;
}

static int lock_open(int dir)
{
    int fd = core_store_file_open(dir, LOCK_NAME, O_RDWR);

    if (fd < 0 && errno == ENOENT) {
        fd = core_store_file_create(dir, LOCK_NAME);
    }
    return fd;
}

static const char *lock_why_not(int fd, int error, apr_pool_t *p)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char text[120];

    if (fd >= 0 && (error == EACCES || error == EAGAIN)) {
        fcntl(fd, F_GETLK, &lock);
        return apr_psprintf(p, "is used by another httpd, process %ld: give each one a directory of "
                            "its own, by UsherStateDir or UsherStore", (long)lock.l_pid);
    }
    return apr_psprintf(p, "its file " LOCK_NAME " cannot be opened and locked (%s): it has to be a "
                        "plain file, on a file system with locks, and belong to the user that "
                        "httpd's children run as", apr_strerror(error, text, sizeof(text)));
}

const char *core_store_file_own(int dir, const char *path, apr_pool_t *p)
{
    lock_retained_t *kept = ap_retained_data_get(RETAINED_KEY);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    const char *why;
    int fd;

    kept = kept ? kept : ap_retained_data_create(RETAINED_KEY, sizeof(*kept));
    if (kept->is_held && !strcmp(kept->path, path)) {
        return NULL;
    }
    fd = lock_open(dir);
    if (fd < 0 || fcntl(fd, F_SETLK, &lock)) {
        why = lock_why_not(fd, errno, p);
        if (fd >= 0) {
            close(fd);
        }
        return why;
    }
    if (kept->is_held) {
        close(kept->fd);
    }
    kept->is_held = 1;
    kept->fd = fd;
    apr_cpystrn(kept->path, path, sizeof(kept->path));
    return NULL;
}

apr_status_t core_store_file_claim(int fd)
{
#ifdef F_OFD_SETLK
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (fcntl(fd, F_OFD_SETLK, &lock)) {
        return errno == EACCES ? APR_EAGAIN : errno;
    }
#endif
    return APR_SUCCESS;
}

int core_store_file_is_claimed(int fd)
{
#ifdef F_OFD_GETLK
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
#else
    return 0;
#endif
}
