/* A disk with faults, for LD_PRELOAD (t/core/store.t): fdatasync(), pread(), pwrite() and fallocate(),
 * which are Usher's only, do what files in the directory $USHERTEST_DISK say:
 *
 *     hang  fdatasync() comes back when the file is gone
 *     fail  fdatasync() fails
 *     torn  pread() fails
 *     full  pwrite() writes half of it, then nothing; fallocate() finds no room
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd);
ssize_t pread(int fd, void *bytes, size_t len, off_t at);
ssize_t pread64(int fd, void *bytes, size_t len, off_t at);
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at);
int fallocate(int fd, int mode, off_t at, off_t len);
int fallocate64(int fd, int mode, off_t at, off_t len);

static int disk_is(const char *what)
{
    const char *dir = getenv("USHERTEST_DISK");
    char path[PATH_MAX];

    return dir && snprintf(path, sizeof(path), "%s/%s", dir, what) < (int)sizeof(path)
           && !access(path, F_OK);
}

int fdatasync(int fd)
{
    while (disk_is("hang")) {
        usleep(10000);
    }
    if (disk_is("fail")) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
    if (disk_is("torn")) {
        errno = EIO;
        return -1;
    }
    return (ssize_t)syscall(SYS_pread64, fd, bytes, len, at);
}

ssize_t pread64(int fd, void *bytes, size_t len, off_t at)
{
    return pread(fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (disk_is("full")) {
        if (len < 16) {
            errno = ENOSPC;
            return -1;
        }
        len /= 2;
    }
    return (ssize_t)syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    return pwrite(fd, bytes, len, at);
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
    if (disk_is("full")) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_fallocate, fd, mode, at, len);
}

int fallocate64(int fd, int mode, off_t at, off_t len)
{
    return fallocate(fd, mode, at, len);
}
