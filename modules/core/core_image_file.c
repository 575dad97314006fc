/* A file is read into memory of our own, judged by its module, and what that makes of it is
 * sealed. Never mapped: who cuts a mapped file short ends all that read it. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core_image.h"
#include "usher_sealed.h"
#include "usher_size.h"

struct usher_image_maker_t {
    int fd;
    void *room;
    apr_size_t size;
    int is_refused; /* there is no room */
    char path[32];
};

static void file_of(core_image_file_t *file, const struct stat *info)
{
    memset(file, 0, sizeof(*file));
    file->device = info->st_dev;
    file->inode = info->st_ino;
    file->size = (apr_uint64_t)info->st_size;
    file->modified[0] = info->st_mtim.tv_sec;
    file->modified[1] = info->st_mtim.tv_nsec;
    file->changed[0] = info->st_ctim.tv_sec;
    file->changed[1] = info->st_ctim.tv_nsec;
}

int core_image_file_look(const char *path, core_image_file_t *file)
{
    struct stat info;

    memset(file, 0, sizeof(*file));
    if (!stat(path, &info)) {
        file_of(file, &info);
        return 1;
    }
    return errno == ENOENT || errno == ENOTDIR;
}

void *core_image_room(usher_image_maker_t *maker, apr_size_t size, const char **path)
{
    ap_assert(maker->fd < 0 && size);
    maker->fd = usher_sealed_make("usher-image", size, &maker->room);
    if (maker->fd < 0) {
        maker->is_refused = 1;
        return NULL;
    }
    maker->size = size;
    if (path) {
        apr_snprintf(maker->path, sizeof(maker->path), "/proc/self/fd/%d", maker->fd);
        *path = maker->path;
    }
    return maker->room;
}

static const char *file_error(apr_pool_t *p, const char *what, int error)
{
    char text[120];

    return apr_psprintf(p, "%s: %s", what, apr_strerror(error, text, sizeof(text)));
}

/* The spec makes an image of the bytes. */
static const char *file_judge(const usher_image_t *image, core_image_made_t *made, const char *bytes,
                              apr_pool_t *ptemp)
{
    usher_image_maker_t maker = { .fd = -1 };
    const char *why = image->spec->make(bytes, (apr_size_t)made->file.size, &maker, image->baton,
                                        ptemp);

    if (!why && maker.fd < 0) {
        why = "nothing could be made of it";
    }
    if (maker.fd >= 0 && usher_sealed_seal(maker.fd, maker.room, maker.size) && !why) {
        why = file_error(ptemp, "cannot be sealed", errno);
        maker.is_refused = 1;
    }
    made->is_passing = maker.is_refused;
    if (why && maker.fd >= 0) {
        close(maker.fd);
        maker.fd = -1;
    }
    made->fd = maker.fd;
    return why;
}

/* @return 0: all is read; -1: it became shorter; or an error number */
static int file_read(int fd, char *bytes, apr_size_t size)
{
    apr_size_t done = 0;

    while (done < size) {
        ssize_t n = pread(fd, bytes + done, size - done, (off_t)done);

        if (n == 0) {
            return -1;
        }
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        done += n > 0 ? (apr_size_t)n : 0;
    }
    return 0;
}

static const char *file_take(const usher_image_t *image, core_image_made_t *made, int fd,
                             apr_pool_t *ptemp)
{
    char *bytes = malloc(made->file.size ? (apr_size_t)made->file.size : 1);
    int error = bytes ? file_read(fd, bytes, (apr_size_t)made->file.size) : ENOMEM;
    const char *why = NULL;
    core_image_file_t after;
    struct stat info;

    if (error > 0) {
        why = file_error(ptemp, "cannot be read", error);
        made->is_passing = 1;
    }
    else {
        memset(&after, 0, sizeof(after));
        if (!fstat(fd, &info)) {
            file_of(&after, &info);
        }
        if (error || !core_image_file_is(&after, &made->file)) {
            made->is_unsteady = 1;
            why = "it was changed while it was read";
        }
        else {
            why = file_judge(image, made, bytes, ptemp);
        }
    }
    free(bytes);
    return why;
}

const char *core_image_file_make(const usher_image_t *image, core_image_made_t *made, apr_pool_t *ptemp)
{
    int fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *why;
    struct stat info;
    char most[USHER_SIZE_SIZE];

    memset(made, 0, sizeof(*made));
    made->fd = -1;
    if (fd < 0) {
        int error = errno;

        made->is_denied = error == EACCES || error == EPERM;
        made->is_passing = error == EMFILE || error == ENFILE || error == ENOMEM || error == EIO || error == ESTALE;
        core_image_file_look(image->path, &made->file);
        return file_error(ptemp, "cannot be opened", error);
    }
    if (fstat(fd, &info)) {
        why = file_error(ptemp, "cannot be looked at", errno);
        made->is_passing = 1;
        close(fd);
        return why;
    }
    file_of(&made->file, &info);
    if (!S_ISREG(info.st_mode)) {
        why = "it is no file";
    }
    else if (made->file.size > image->spec->size_max) {
        why = apr_psprintf(ptemp, "it has %" APR_UINT64_T_FMT " bytes, and %s is the most",
                           made->file.size, usher_size_format(most, image->spec->size_max));
    }
    else {
        why = file_take(image, made, fd, ptemp);
    }
    close(fd);
    return why;
}
