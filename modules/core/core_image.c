/* Files of data: declared while the configuration is read, when the parent makes the image. It
 * outlives restarts, by the file's path: so a file that has not changed is not judged again, and
 * where the new one is bad, or gone, what was there stays.
 *
 * The parent opens what it made itself, never what children made: children may be hostile. */
#include <fcntl.h>
#ifdef __linux__
#include <sys/fsuid.h>
#endif
#include <unistd.h>
#include <unixd.h>

#include "core_image.h"
#include "usher_size.h"

APLOG_USE_MODULE(usher);

/* Another layout of core_image_kept_t or core_image_mail_t needs another one. */
#define KEPT_KEY "usher-images-1"

static apr_array_header_t *images; /* usher_image_t *, in pconf */

typedef struct {
    core_image_kept_t *first;
} image_list_t;

static image_list_t *image_kept_all(void)
{
    image_list_t *list = ap_retained_data_get(KEPT_KEY);

    return list ? list : ap_retained_data_create(KEPT_KEY, sizeof(*list));
}

void core_image_pre_config(apr_pool_t *pconf)
{
    core_image_kept_t *kept;

    images = apr_array_make(pconf, 8, sizeof(usher_image_t *));
    for (kept = image_kept_all()->first; kept; kept = kept->next) {
        kept->is_used = 0;
    }
}

const apr_array_header_t *core_image_all(void)
{
    return images;
}

/* What is kept of the file, or something fresh. */
static core_image_kept_t *image_keep(const usher_image_spec_t *spec, const char *path, apr_pool_t *ptemp)
{
    image_list_t *list = image_kept_all();
    core_image_kept_t *kept;
    const char *key = apr_pstrcat(ptemp, spec->what, "\n", path, NULL);

    for (kept = list->first; kept; kept = kept->next) {
        if (!kept->is_used && !strcmp(kept->key, key)) {
            kept->is_used = 1;
            return kept;
        }
    }
    kept = ap_calloc(1, sizeof(*kept));
    kept->key = ap_malloc(strlen(key) + 1);
    memcpy(kept->key, key, strlen(key) + 1);
    kept->is_used = 1;
    kept->fd = -1;
    kept->box.in = kept->box.out = -1;
    kept->next = list->first;
    list->first = kept;
    return kept;
}

/* What is kept is of no use for another version of its module. */
static void image_begin_anew(core_image_kept_t *kept)
{
    if (kept->fd >= 0) {
        close(kept->fd);
        kept->fd = -1;
    }
    usher_mailbox_close(&kept->box);
    memset(&kept->mail, 0, sizeof(kept->mail));
}

void core_image_post_config(void)
{
    core_image_kept_t **at = &image_kept_all()->first, *kept;

    while ((kept = *at) != NULL) {
        if (kept->is_used) {
            at = &kept->next;
        }
        else {
            *at = kept->next;
            image_begin_anew(kept);
            free(kept->key);
            free(kept);
        }
    }
}

/* Children run as another user: try it as that one. */
static int image_is_readable(const char *path)
{
#ifdef __linux__
    int fd;

    if (geteuid()) {
        return 1;
    }
    setfsgid(ap_unixd_config.group_id);
    setfsuid(ap_unixd_config.user_id);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    setfsuid(0);
    setfsgid(getegid());
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
#else
    return 1;
#endif
}

/* What the parent made is what counts, whatever letter children have left there. */
static const char *image_tell(usher_image_t *image)
{
    core_image_kept_t *kept = image->kept;
    int error = core_image_mail_put(image, &kept->mail, kept->fd);

    if (error) {
        /* A child has broken it. */
        usher_mailbox_close(&kept->box);
        error = usher_mailbox_make(&kept->box);
        if (!error) {
            error = core_image_mail_put(image, &kept->mail, kept->fd);
        }
    }
    return error ? apr_pstrcat(images->pool, "it cannot be handed to children: ", strerror(error), NULL)
                 : NULL;
}

/* A new image of the parent's own. */
static const char *image_take(usher_image_t *image, const core_image_made_t *made)
{
    core_image_kept_t *kept = image->kept;

    core_image_mail_write(image, &kept->mail, made);
    if (kept->fd >= 0) {
        close(kept->fd);
    }
    kept->fd = made->fd;
    return image_tell(image);
}

/* Why a file is not used, which is an error only where there is nothing else. */
static const char *image_spare(usher_image_t *image, const core_image_made_t *made, const char *why,
                               server_rec *s)
{
    core_image_mail_t mail;
    int fd, is_there = image->kept->fd >= 0;

    if (core_image_mail_look(image, &mail, &fd) && fd >= 0) {
        is_there = 1;
        close(fd);
    }
    core_image_mail_complain(image, made->is_passing ? NULL : &made->file, why);
    if (!is_there) {
        return apr_pstrdup(images->pool, why);
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(1090)
                 "%s %s, as it is now, is not used: %s. What was there before the restart stays",
                 image->spec->what, image->path, why);
    return NULL;
}

/* Read the file, if it is another one than what is there. @return why there is no image */
static const char *image_read(usher_image_t *image, server_rec *s)
{
    core_image_kept_t *kept = image->kept;
    core_image_made_t made;
    core_image_file_t file;
    apr_pool_t *ptemp;
    const char *why;
    int error;

    if (kept->box.in >= 0 && kept->mail.layout != image->spec->layout) {
        image_begin_anew(kept);
    }
    error = kept->box.in < 0 ? usher_mailbox_make(&kept->box) : 0;
    if (error) {
        return apr_pstrcat(images->pool, "it cannot be shared with children: ", strerror(error), NULL);
    }
    kept->mail.layout = image->spec->layout;
    if (kept->fd >= 0 && core_image_file_look(image->path, &file)
        && core_image_file_is(&file, &kept->mail.made_of)) {
        return image_tell(image);
    }
    apr_pool_create(&ptemp, images->pool);
    why = core_image_file_make(image, &made, ptemp);
    why = why ? image_spare(image, &made, why, s) : image_take(image, &made);
    apr_pool_destroy(ptemp);
    return why;
}

static apr_status_t image_close(void *data)
{
    core_image_view_close_all(data);
    return APR_SUCCESS;
}

static usher_image_t *image_find(const usher_image_spec_t *spec, const char *path, const void *baton)
{
    int i;

    for (i = 0; i < images->nelts; ++i) {
        usher_image_t *image = APR_ARRAY_IDX(images, i, usher_image_t *);

        if (image->spec == spec && image->baton == baton && !strcmp(image->path, path)) {
            return image;
        }
    }
    return NULL;
}

/* In the parent: children have by fork what it has opened. */
static void image_begin(usher_image_t *image, server_rec *s)
{
    image->error = image_read(image, s);
    image->mail = image->kept->mail;
    if (image->kept->fd >= 0 && !image->error
        && !core_image_view_open(image, image->kept->fd)) {
        image->error = "it cannot be opened";
    }
    image->is_reread = image_is_readable(image->path);
    if (!image->is_reread && !image->error) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(1091)
                     "%s %s: the user that httpd's children run as may not read it: a new one is "
                     "taken at restarts only. Let him read it, to have it taken at once",
                     image->spec->what, image->path);
    }
}

usher_image_t *core_image_declare(const usher_image_spec_t *spec, const char *path, void *baton,
                                  server_rec *s, const char **error)
{
    usher_image_t *image = image_find(spec, path, baton);

    if (!image) {
        image = apr_pcalloc(images->pool, sizeof(*image));
        image->spec = spec;
        image->path = apr_pstrdup(images->pool, path);
        image->baton = baton;
        image->kept = image_keep(spec, path, images->pool);
        pthread_mutex_init(&image->mutex, NULL);
        APR_ARRAY_PUSH(images, usher_image_t *) = image;
        apr_pool_cleanup_register(images->pool, image, image_close, apr_pool_cleanup_null);
        image_begin(image, s);
    }
    *error = image->error;
    return image;
}
