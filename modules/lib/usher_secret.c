#include "usher_secret.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *usher_secret_why_not(apr_pool_t *p, const struct stat *info, const char *path,
                                 const usher_secret_user_t *user)
{
    if (!S_ISREG(info->st_mode)) {
        return "is no regular file";
    }
    if (info->st_uid != 0 && info->st_uid != user->uid) {
        return apr_psprintf(p, "belongs to user %lu, neither to root nor to the user that httpd "
                            "runs as: chown root '%s'", (unsigned long)info->st_uid, path);
    }
    if (info->st_mode & S_IRWXO) {
        return apr_psprintf(p, "is open to all users (mode %04o): chmod o= '%s', and make new "
                            "secrets", (unsigned int)info->st_mode & 07777, path);
    }
    if (info->st_mode & S_IRWXG && info->st_gid != user->gid) {
        return apr_psprintf(p, "is open to group %lu, which is not the one that httpd runs as "
                            "(mode %04o): chmod g= '%s', and make new secrets",
                            (unsigned long)info->st_gid, (unsigned int)info->st_mode & 07777,
                            path);
    }
    return NULL;
}

static void secret_wipe(char *bytes, apr_size_t len)
{
    volatile char *at = bytes;

    while (len--) {
        *at++ = 0;
    }
}

/* Up to len bytes. Returns an errno, or 0. */
static int secret_bytes(int fd, char *bytes, apr_size_t *len)
{
    apr_size_t room = *len;
    ssize_t n = 1;

    for (*len = 0; n && *len < room; *len += (apr_size_t)n) {
        do {
            n = read(fd, bytes + *len, room - *len);
        } while (n < 0 && errno == EINTR);
        if (n < 0) {
            return errno;
        }
    }
    return 0;
}

static const char *secret_error(apr_pool_t *p, int error)
{
    char text[128];

    return apr_psprintf(p, "cannot be read: %s%s", apr_strerror(error, text, sizeof(text)),
                        error == EACCES ? " (run this as the user that starts httpd)" : "");
}

const char *usher_secret_read(apr_pool_t *p, char *bytes, apr_size_t *len, struct stat *info,
                              const char *path, const usher_secret_user_t *user)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    apr_size_t room = *len;
    const char *why;
    int error;

    if (fd < 0 || fstat(fd, info) != 0) {
        why = secret_error(p, errno);
    }
    else {
        why = usher_secret_why_not(p, info, path, user);
    }
    if (!why && info->st_size > (off_t)room) {
        why = apr_psprintf(p, "is larger than %lu bytes: is this the right file?",
                           (unsigned long)room);
    }
    if (!why && (error = secret_bytes(fd, bytes, len)) != 0) {
        why = secret_error(p, error);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (why) {
        secret_wipe(bytes, room);
    }
    return why;
}

int usher_secret_is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size
           && a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid
           && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec
           && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Of the owner's three bits, those that hold for the user. */
static int secret_may(const char *path, const usher_secret_user_t *user, mode_t bits)
{
    struct stat info;

    if (stat(path, &info) != 0) {
        return 0;
    }
    if (user->uid != 0 && info.st_uid != user->uid) {
        bits >>= info.st_gid == user->gid ? 3 : 6;
    }
    return user->uid == 0 || (info.st_mode & bits) != 0;
}

int usher_secret_can_read(const char *path, const usher_secret_user_t *user)
{
    char real[PATH_MAX];
    char *slash;

    if (!realpath(path, real) || !secret_may(real, user, S_IRUSR)) {
        return 0;
    }
    while ((slash = strrchr(real, '/')) != NULL && slash != real) {
        *slash = '\0';
        if (!secret_may(real, user, S_IXUSR)) {
            return 0;
        }
    }
    return secret_may("/", user, S_IXUSR);
}
