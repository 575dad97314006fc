/* Images as a module of the suite has them. A file is good that begins with "good" and whose
 * other bytes are all the same; so readers see at once when they are given half of one.
 *
 *   ?image            the state, and what is in it
 *   ?reads=LETTER     read all of it, again and again, until it has that one */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ushertest.h"

/* Not for ever. */
#define READS_LIMIT (120 * APR_USEC_PER_SEC)

static usher_image_t *image;
static const char *declare_error;

typedef struct {
    const char *bytes;
    apr_size_t len;
} test_opened_t;

static const char *test_make(const char *bytes, apr_size_t len, usher_image_maker_t *maker,
                             void *baton, apr_pool_t *ptemp)
{
    const char *path;
    struct stat info;
    char *room;
    apr_size_t i;

    if (len < 5 || memcmp(bytes, "good", 4) != 0) {
        return apr_psprintf(ptemp, "its first byte is %d, which is not good", len ? *bytes : -1);
    }
    for (i = 5; i < len; ++i) {
        if (bytes[i] != bytes[4]) {
            return apr_psprintf(ptemp, "byte %d is another one", (int)i);
        }
    }
    room = ushertest_core->image_room(maker, len, &path);
    if (!room || stat(path, &info) || (apr_size_t)info.st_size != len) {
        return "there is no memory";
    }
    memcpy(room, bytes, len);
    return NULL;
}

static void *test_open(const void *bytes, apr_size_t len, const char *path, void *baton)
{
    test_opened_t *opened = malloc(sizeof(*opened));
    int fd = open(path, O_RDONLY);

    if (!opened || fd < 0) {
        abort();
    }
    close(fd);
    opened->bytes = bytes;
    opened->len = len;
    return opened;
}

/* Who still reads it now sees other bytes, or none. */
static void test_close(void *data, void *baton)
{
    memset(data, 0, sizeof(test_opened_t));
    free(data);
}

static const usher_image_spec_t test_spec = {
    .what = "test file", .size_max = 64 << 20, .layout = 1, .make = test_make, .open = test_open,
    .close = test_close,
};

void ushertest_image_declare(const char *path, server_rec *s)
{
    image = path ? ushertest_core->image_declare(&test_spec, path, NULL, s, &declare_error) : NULL;
}

static char sum(const test_opened_t *opened)
{
    apr_size_t i;
    char is = opened->bytes[4];

    for (i = 5; i < opened->len; ++i) {
        if (opened->bytes[i] != is) {
            return '!';
        }
    }
    return is;
}

static void show(request_rec *r)
{
    usher_image_state_t state;
    usher_image_hold_t hold;
    const ushertest_shm_t *shm = ushertest_core->memory_base(ushertest_memory, NULL);
    const test_opened_t *opened = ushertest_core->image_begin(image, &hold);

    ushertest_core->image_state(image, &state);
    ap_rprintf(r, "pid=%d is=%d there=%d number=%u size=%d reread=%d readers=%u\n"
               "wrong: %s.\nerror: %s.\n", (int)getpid(), opened ? sum(opened) : 0, state.is_there,
               ushertest_core->image_number(image), (int)state.size, state.is_reread,
               atomic_load(&shm->readers), state.wrong, declare_error ? declare_error : "");
    if (opened) {
        ushertest_core->image_end(image, &hold);
    }
}

static void reads(request_rec *r, char until)
{
    ushertest_shm_t *shm = ushertest_core->memory_base(ushertest_memory, NULL);
    apr_time_t end = apr_time_now() + READS_LIMIT;
    int n = 0, torn = 0, none = 0, changes = 0;
    char was = 0;

    atomic_fetch_add(&shm->readers, 1);
    while (apr_time_now() < end && was != until) {
        usher_image_hold_t hold;
        const test_opened_t *opened = ushertest_core->image_begin(image, &hold);
        char is = '\0';

        if (opened) {
            is = sum(opened);
        }
        none += !opened;
        torn += is == '!';
        changes += is != was;
        was = is;
        ++n;
        if (opened) {
            ushertest_core->image_end(image, &hold);
        }
    }
    atomic_fetch_sub(&shm->readers, 1);
    ap_rprintf(r, "reads=%d torn=%d none=%d changes=%d\n", n, torn, none, changes);
}

void ushertest_image(request_rec *r, const char *what, const char *arg)
{
    if (!image) {
        ap_rputs("none\n", r);
    }
    else if (!strcmp(what, "reads")) {
        reads(r, *arg);
    }
    else {
        show(r);
    }
}
