/* An image in this process. Who begins to read counts himself as entering while he reads which
 * image is the present one and counts himself as its holder: so when nobody enters, all who have
 * seen an older one are its holders, and when it has none it is closed, by who looks for new
 * images. Readers wait for nobody, and nobody for them. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core_image.h"
#include "usher_sealed.h"

APLOG_USE_MODULE(usher);

void *core_image_begin(usher_image_t *image, usher_image_hold_t *hold)
{
    core_image_view_t *view;

    atomic_fetch_add(&image->entering, 1);
    view = atomic_load(&image->view);
    if (view) {
        atomic_fetch_add(&view->holders, 1);
    }
    atomic_fetch_sub(&image->entering, 1);
    hold->opaque = view;
    return view ? view->opened : NULL;
}

void core_image_end(usher_image_t *image, usher_image_hold_t *hold)
{
    core_image_view_t *view = hold->opaque;

    atomic_fetch_sub_explicit(&view->holders, 1, memory_order_release);
}

apr_uint32_t core_image_number(const usher_image_t *image)
{
    return atomic_load_explicit(&image->number, memory_order_acquire);
}

void core_image_state(const usher_image_t *image, usher_image_state_t *state)
{
    usher_image_t *own = (usher_image_t *)image; /* for the mutex */
    const core_image_view_t *view;

    memset(state, 0, sizeof(*state));
    pthread_mutex_lock(&own->mutex);
    view = atomic_load(&image->view);
    state->path = image->path;
    state->is_there = view != NULL;
    state->is_reread = image->is_reread;
    state->size = view ? view->size : 0;
    state->modified_at = view ? image->mail.made_of.modified[0] * APR_USEC_PER_SEC
                                + image->mail.made_of.modified[1] / 1000 : 0;
    state->loaded_at = view ? image->mail.loaded_at : 0;
    memcpy(state->wrong, image->mail.wrong, sizeof(state->wrong));
    pthread_mutex_unlock(&own->mutex);
}

static void view_close(usher_image_t *image, core_image_view_t *view)
{
    if (image->spec->close) {
        image->spec->close(view->opened, image->baton);
    }
    munmap(view->map, view->size);
    free(view);
}

/* @return NULL: errno says why, or the module has logged it */
static core_image_view_t *view_make(const usher_image_t *image, int fd, apr_uint64_t inode)
{
    core_image_view_t *view = calloc(1, sizeof(*view));
    char path[32];

    if (!view || !usher_sealed_check(fd, &view->size)) {
        free(view);
        return NULL;
    }
    view->inode = inode;
    view->map = mmap(NULL, view->size, PROT_READ, MAP_SHARED, fd, 0);
    if (view->map == MAP_FAILED) {
        free(view);
        return NULL;
    }
    apr_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    view->opened = image->spec->open(view->map, view->size, path, image->baton);
    if (!view->opened) {
        munmap(view->map, view->size);
        free(view);
        return NULL;
    }
    return view;
}

void core_image_view_reap(usher_image_t *image)
{
    core_image_view_t *view, **at;

    if (!atomic_load(&image->entering)) {
        for (view = image->replaced; view; view = view->next) {
            view->is_left = 1;
        }
    }
    for (at = &image->replaced; (view = *at) != NULL;) {
        if (view->is_left && !atomic_load(&view->holders)) {
            *at = view->next;
            view_close(image, view);
        }
        else {
            at = &view->next;
        }
    }
}

int core_image_view_open(usher_image_t *image, int fd)
{
    core_image_view_t *view = atomic_load(&image->view), *fresh;
    struct stat info;

    if (fstat(fd, &info) || (image->refused && image->refused == info.st_ino)) {
        return 0;
    }
    if (view && view->inode == info.st_ino) {
        return 1;
    }
    errno = 0;
    fresh = view_make(image, fd, info.st_ino);
    if (!fresh) {
        image->refused = info.st_ino;
        ap_log_error(APLOG_MARK, APLOG_ERR, APR_FROM_OS_ERROR(errno), ap_server_conf, USHERLOGNO(1086)
                     "%s %s: this process cannot open what was made of it; %s", image->spec->what,
                     image->path, view ? "it goes on with the one before"
                                       : "it does without");
        return 0;
    }
    image->refused = 0;
    view = atomic_exchange(&image->view, fresh);
    if (view) {
        view->next = image->replaced;
        image->replaced = view;
    }
    atomic_fetch_add_explicit(&image->number, 1, memory_order_release);
    core_image_view_reap(image);
    return 1;
}

void core_image_view_close_all(usher_image_t *image)
{
    core_image_view_t *view = atomic_exchange(&image->view, NULL), *next;

    if (view) {
        view->next = image->replaced;
        image->replaced = view;
    }
    for (view = image->replaced; view; view = next) {
        next = view->next;
        view_close(image, view);
    }
    image->replaced = NULL;
}
