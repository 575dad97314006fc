/* The letter about an image. The mailbox is the truth for all children; where it is empty, or
 * has what is no such letter, what the parent made is. */
#include <apr_general.h>
#include <apr_lib.h>
#include <fcntl.h>
#include <unistd.h>

#include "core_image.h"
#include "usher_clock.h"
#include "usher_sealed.h"

static const char magic[8] = "USHERIMG";

/* It may come from a child that has gone wrong. */
static int mail_is_sound(const usher_image_t *image, core_image_mail_t *mail, int fd)
{
    apr_size_t size;
    char *c;

    if (memcmp(mail->magic, magic, sizeof(magic)) != 0 || mail->layout != image->spec->layout
        || (fd >= 0 && !usher_sealed_check(fd, &size))) {
        return 0;
    }
    mail->wrong[sizeof(mail->wrong) - 1] = '\0';
    for (c = mail->wrong; *c; ++c) {
        if (!apr_isprint(*c)) {
            *c = '?';
        }
    }
    return 1;
}

int core_image_mail_look(const usher_image_t *image, core_image_mail_t *mail, int *fd)
{
    int found;

    memset(mail, 0, sizeof(*mail));
    found = usher_mailbox_look(&image->kept->box, mail, sizeof(*mail), fd);
    if (found == 1 && mail_is_sound(image, mail, *fd)) {
        return 1;
    }
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return 0;
}

static void mail_begin(const usher_image_t *image, core_image_mail_t *mail)
{
    memcpy(mail->magic, magic, sizeof(magic));
    mail->layout = image->spec->layout;
}

int core_image_mail_put(const usher_image_t *image, const core_image_mail_t *mail, int fd)
{
    core_image_mail_t marked = *mail;
    int error;

    apr_generate_random_bytes((unsigned char *)&marked.mark, sizeof(marked.mark));
    error = usher_mailbox_put(&image->kept->box, &marked, sizeof(marked), fd);
    if (!error) {
        core_image_follow_ring();
    }
    return error;
}

void core_image_mail_write(const usher_image_t *image, core_image_mail_t *mail, const core_image_made_t *made)
{
    memset(mail, 0, sizeof(*mail));
    mail_begin(image, mail);
    mail->made_of = mail->judged = made->file;
    mail->loaded_at = usher_clock_system()->utc_now();
}

int core_image_mail_tell(const usher_image_t *image, const core_image_made_t *made)
{
    core_image_mail_t mail;

    core_image_mail_write(image, &mail, made);
    return core_image_mail_put(image, &mail, made->fd);
}

int core_image_mail_complain(const usher_image_t *image, const core_image_file_t *file, const char *why)
{
    core_image_mail_t mail;
    int fd, error;

    if (!core_image_mail_look(image, &mail, &fd)) {
        mail = image->kept->mail;
        fd = image->kept->fd < 0 ? -1 : fcntl(image->kept->fd, F_DUPFD_CLOEXEC, 0);
    }
    mail_begin(image, &mail);
    if (file) {
        mail.judged = *file;
    }
    apr_cpystrn(mail.wrong, why, sizeof(mail.wrong));
    error = core_image_mail_put(image, &mail, fd);
    if (fd >= 0) {
        close(fd);
    }
    return error;
}
