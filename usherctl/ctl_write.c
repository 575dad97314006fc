/* Writing files so that they are there after a power cut. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <unistd.h>

#include "usherctl.h"

int ctl_write_all(int fd, const char *bytes, apr_size_t len)
{
    apr_size_t done = 0;

    while (done < len) {
        ssize_t n = write(fd, bytes + done, len - done);

        if (n < 0 && errno != EINTR) {
            return 0;
        }
        done += n > 0 ? (apr_size_t)n : 0;
    }
    return fsync(fd) == 0;
}

int ctl_sync_folder(apr_pool_t *p, const char *path)
{
    int fd = open(dirname(apr_pstrdup(p, path)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}
