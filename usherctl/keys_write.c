/* Key files: writing them so that nobody ever sees half of one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keys.h"
#include "usher_secret.h"

/* Says what the last call failed with, and leaves nothing behind. */
static int write_fails(apr_pool_t *p, const char *path, int fd, const char *name)
{
    int error = errno;

    if (fd >= 0) {
        close(fd);
        unlink(name);
    }
    return keys_fails(p, path, "cannot be written: %s; nothing was changed", strerror(error));
}

int keys_write_new(apr_pool_t *p, const keys_text_t *text, gid_t group)
{
    int fd = open(text->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST) {
        return keys_fails(p, text->path, "is there already: \"usherctl keys rotate\" gives it a "
                          "new key");
    }
    if (fd < 0 || (group != (gid_t)-1 && (fchown(fd, (uid_t)-1, group) || fchmod(fd, 0640)))
        || !ctl_write_all(fd, text->bytes, text->len) || !ctl_sync_folder(p, text->path)) {
        return write_fails(p, text->path, fd, text->path);
    }
    close(fd);
    return CTL_DONE;
}

int keys_write_again(apr_pool_t *p, const keys_text_t *text)
{
    char *name = apr_pstrcat(p, text->path, ".XXXXXX", NULL);
    int fd = mkstemp(name);
    struct stat now;

    if (fd < 0 || fchown(fd, text->info.st_uid, text->info.st_gid)
        || fchmod(fd, text->info.st_mode & 07777) || !ctl_write_all(fd, text->bytes, text->len)) {
        return write_fails(p, text->path, fd, name);
    }
    if (stat(text->path, &now) || !usher_secret_is_same(&now, &text->info)) {
        close(fd);
        unlink(name);
        return keys_fails(p, text->path, "somebody else has changed it just now: try again");
    }
    if (rename(name, text->path)) {
        return write_fails(p, text->path, fd, name);
    }
    close(fd);
    if (!ctl_sync_folder(p, text->path)) {
        return keys_fails(p, text->path, "was written, but its folder not synced: %s",
                          strerror(errno));
    }
    return CTL_DONE;
}
