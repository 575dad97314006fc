/* A new file is made an image by one child: the tick's, which looks at the files, and has those
 * that stay as they are for a second read and judged in a thread of its own. All children look
 * for letters: a number in shared memory says when there is one, and should its writer have been
 * killed before he counted it, they look every ten seconds all the same. */
#include <unistd.h>

#include "core_image.h"
#include "usher_clock.h"
#include "usher_size.h"
#include "usher_thread.h"

APLOG_USE_MODULE(usher);

/* What is no fault of the file is tried again so often. */
#define TRY_AGAIN (10 * APR_USEC_PER_SEC)
/* How long a child that ends waits for the thread, seconds. */
#define STOP_WAIT 2

typedef struct {
    _Atomic apr_uint32_t letters;
    apr_uint32_t pad[15];
} follow_shm_t;
_Static_assert(sizeof(follow_shm_t) == 64, "part of the segment's layout");

static const usher_memory_spec_t follow_spec = {
    .name = "images",
    .layout = 1,
    .size = sizeof(follow_shm_t),
    .size_min = sizeof(follow_shm_t),
    .size_max = sizeof(follow_shm_t),
};

static usher_memory_t *memory;
static follow_shm_t *shm; /* NULL: there is none, children look every ten seconds */
static apr_uint32_t letters; /* seen by this process */

static pthread_t thread;
static int is_begun;           /* it is to be joined */
static _Atomic int is_working; /* it has not come to its end */

void core_image_follow_check_config(void)
{
    shm = NULL;
    memory = core_memory_declare(&follow_spec);
}

void core_image_follow_ring(void)
{
    if (shm) {
        atomic_fetch_add(&shm->letters, 1);
    }
}

static void follow_one(usher_image_t *image)
{
    core_image_mail_t mail;
    int fd, found = core_image_mail_look(image, &mail, &fd);

    pthread_mutex_lock(&image->mutex);
    if (found) {
        image->mail = mail;
    }
    if (fd >= 0) {
        core_image_view_open(image, fd);
        close(fd);
    }
    core_image_view_reap(image);
    pthread_mutex_unlock(&image->mutex);
}

static void follow_all(void)
{
    const apr_array_header_t *images = core_image_all();
    int i;

    for (i = 0; i < images->nelts; ++i) {
        follow_one(APR_ARRAY_IDX(images, i, usher_image_t *));
    }
}

static void follow_often(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    apr_uint32_t now = shm ? atomic_load_explicit(&shm->letters, memory_order_acquire) : letters;

    if (now != letters) {
        letters = now;
        follow_all();
    }
}

static void follow_each(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    follow_all();
}

static void follow_log_told(usher_image_t *image, apr_size_t size, int error)
{
    char text[USHER_SIZE_SIZE];

    if (error) {
        atomic_store(&image->is_off, 1);
        ap_log_error(APLOG_MARK, APLOG_ERR, APR_FROM_OS_ERROR(error), ap_server_conf, USHERLOGNO(1087)
                     "%s %s: there is a new one, and the other children cannot be told of it: "
                     "restart httpd gracefully to have it used", image->spec->what, image->path);
    }
    else if (size) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, ap_server_conf, USHERLOGNO(1088)
                     "%s %s: the new one, of %s, is used from now on", image->spec->what,
                     image->path, usher_size_format(text, size));
    }
}

/* Whether the others have been told the same. */
static int follow_is_said(usher_image_t *image, const char *why)
{
    int is;

    pthread_mutex_lock(&image->mutex);
    is = !strncmp(image->mail.wrong, why, sizeof(image->mail.wrong) - 1);
    pthread_mutex_unlock(&image->mutex);
    return is;
}

static void follow_make(usher_image_t *image, apr_pool_t *p)
{
    core_image_made_t made;
    const char *why = core_image_file_make(image, &made, p);

    if (made.is_unsteady) {
        return; /* the next tick looks again */
    }
    if (made.is_denied) {
        why = "the user that httpd's children run as may not read it; it is taken at the next restart";
    }
    if (made.is_passing) {
        atomic_store(&image->again_at, usher_clock_system()->boot_now() + TRY_AGAIN);
        if (follow_is_said(image, why)) {
            return;
        }
    }
    if (why) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, USHERLOGNO(1089)
                     "%s %s, as it is now, is not used: %s. What was there before stays",
                     image->spec->what, image->path, why);
        follow_log_told(image, 0, core_image_mail_complain(image, made.is_passing ? NULL : &made.file, why));
    }
    else {
        follow_log_told(image, (apr_size_t)made.file.size,
                        core_image_mail_tell(image, &made));
        close(made.fd);
    }
    follow_one(image);
}

static void *follow_thread(void *data)
{
    apr_pool_t *p;

    apr_pool_create_unmanaged_ex(&p, NULL, NULL);
    follow_make(data, p);
    apr_pool_destroy(p);
    atomic_store(&is_working, 0);
    return NULL;
}

static void follow_begin(usher_image_t *image)
{
    if (is_begun) {
        pthread_join(thread, NULL);
    }
    atomic_store(&is_working, 1);
    is_begun = !usher_thread_begin(&thread, follow_thread, image);
    if (!is_begun) {
        atomic_store(&is_working, 0); /* the next tick tries again */
    }
}

/* Whether a file is another one than what is told of, and has been as it is for a tick. */
static int follow_is_new(usher_image_t *image)
{
    core_image_mail_t mail;
    core_image_file_t file;
    int fd, is_known, is_steady;

    if (!core_image_file_look(image->path, &file)) {
        return 0;
    }
    if (!core_image_mail_look(image, &mail, &fd)) {
        mail = image->kept->mail;
    }
    if (fd >= 0) {
        close(fd);
    }
    is_known = core_image_file_is(&file, &mail.judged);
    is_steady = core_image_file_is(&file, &image->seen);
    image->seen = file;
    return !is_known && is_steady;
}

/* One at a time: what is left for later is found again. */
static void follow_files(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    const apr_array_header_t *images = core_image_all();
    int i;

    for (i = 0; i < images->nelts && !atomic_load(&is_working); ++i) {
        usher_image_t *image = APR_ARRAY_IDX(images, i, usher_image_t *);

        if (!atomic_load(&image->is_off) && atomic_load(&image->again_at) <= usher_clock_system()->boot_now()
            && follow_is_new(image)) {
            follow_begin(image);
        }
    }
}

void core_image_follow_post_config(void)
{
    static const usher_tick_work_t files = {
        .name = "files", .where = USHER_TICK_CHILD, .run = follow_files,
    };
    static const usher_tick_work_t often = {
        .name = "images", .where = USHER_TICK_OFTEN, .run = follow_often,
    };
    static const usher_tick_work_t each = {
        .name = "images", .where = USHER_TICK_EACH, .run = follow_each,
    };

    shm = core_memory_base(memory, NULL);
    if (core_image_all()->nelts) {
        core_tick_add(&files);
        core_tick_add(&often);
        core_tick_add(&each);
    }
}

/* Before pchild goes. What the thread has not told by then somebody else makes again. */
static apr_status_t follow_stop(void *data)
{
    struct timespec limit;

    if (is_begun) {
        clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec += STOP_WAIT;
        pthread_timedjoin_np(thread, NULL, &limit);
        is_begun = 0;
    }
    return APR_SUCCESS;
}

void core_image_follow_child_init(apr_pool_t *pchild)
{
    letters = shm ? atomic_load(&shm->letters) : 0;
    follow_all();
    apr_pool_pre_cleanup_register(pchild, NULL, follow_stop);
}
