#include "usher_sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef F_ADD_SEALS

static const int all_seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

int usher_sealed_make(const char *name, apr_size_t size, void **room)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), error;

    if (fd < 0) {
        return -1;
    }
    do {
        error = posix_fallocate(fd, 0, (off_t)size);
    } while (error == EINTR); /* the parent is sent signals at any time */
    if (!error) {
        *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (*room != MAP_FAILED) {
            return fd;
        }
        error = errno;
    }
    close(fd);
    errno = error;
    return -1;
}

/* The seal on writing is refused while there is a mapping that may write. */
int usher_sealed_seal(int fd, void *room, apr_size_t size)
{
    return munmap(room, size) ? -1 : fcntl(fd, F_ADD_SEALS, all_seals);
}

int usher_sealed_check(int fd, apr_size_t *size)
{
    struct stat info;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & all_seals) != all_seals || fstat(fd, &info) || info.st_size <= 0) {
        return 0;
    }
    *size = (apr_size_t)info.st_size;
    return 1;
}

#else

int usher_sealed_make(const char *name, apr_size_t size, void **room)
{
    errno = ENOSYS;
    return -1;
}

int usher_sealed_seal(int fd, void *room, apr_size_t size)
{
    errno = ENOSYS;
    return -1;
}

int usher_sealed_check(int fd, apr_size_t *size)
{
    return 0;
}

#endif
