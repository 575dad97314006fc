/* Tells the program of UsherBanExport what is banned: one line for each change, and all bans
 * anew when it was started or lines got lost. In the tick's child, which never waits for it:
 * what does not fit into the pipe is told at the next tick. */
#include "ban_export.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* How long a tick waits for a program that reads, ms. */
#define WAIT_MAX 200
#define LINE_SIZE (BAN_PREFIX_SIZE + 32)

/* One thread of one child is here. A child that gets the tick from another one goes on, or
 * begins again where that one has not told all. */
static struct {
    apr_uint32_t generation; /* of this child */
    apr_uint32_t start;      /* that the text is for */
    char *text;              /* NULL: there is none to tell */
    apr_size_t len, size, told;
    int failed;              /* no memory */
} feed;

static void feed_drop(void)
{
    free(feed.text);
    feed.text = NULL;
    feed.len = feed.size = feed.told = 0;
}

/* What is to be said of a prefix. A ban of those who are never banned would shut them out here. */
static int feed_line(char line[LINE_SIZE], const ban_prefix_t *prefix, const ban_t *ban)
{
    apr_int64_t now = ban_now();
    char text[BAN_PREFIX_SIZE];

    ban_prefix_format(text, prefix);
    if (!ban || ban->is_trial || ban->until <= now || ban_never_overlaps(prefix)
        || ban_never_why(prefix->address)) {
        return apr_snprintf(line, LINE_SIZE, "remove %s\n", text);
    }
    return apr_snprintf(line, LINE_SIZE, "add %s %" APR_INT64_T_FMT "\n", text,
                        ban->until == BAN_FOREVER ? 0 : (ban->until - now + 999) / 1000);
}

static int feed_append(const char *line, apr_size_t len)
{
    if (feed.len + len > feed.size) {
        apr_size_t size = 2 * feed.size + 65536;
        char *text = realloc(feed.text, size);

        if (!text) {
            return 0;
        }
        feed.text = text;
        feed.size = size;
    }
    memcpy(feed.text + feed.len, line, len);
    feed.len += len;
    return 1;
}

static int feed_see(void *baton, const ban_t *ban)
{
    char line[LINE_SIZE];
    int len = feed_line(line, &ban->prefix, ban);

    if (*line == 'a' && !feed_append(line, (apr_size_t)len)) {
        feed.failed = 1;
    }
    return !feed.failed;
}

/* All bans. What changes from now on is told after them. */
static void feed_begin(apr_uint32_t start)
{
    static const char flush[] = "flush\n";

    feed_drop();
    feed.start = start;
    ban_export_skip();
    feed.failed = !feed_append(flush, sizeof(flush) - 1);
    if (!feed.failed) {
        ban_jail_each(feed_see, NULL);
    }
    if (feed.failed) {
        feed_drop(); /* the next tick tries again */
    }
}

/* Whole lines, which a pipe takes whole or not at all, so that two children's never mix. */
static apr_size_t feed_piece(const char *text, apr_size_t len)
{
    if (len > PIPE_BUF) {
        for (len = PIPE_BUF; text[len - 1] != '\n'; --len) {
        }
    }
    return len;
}

/* @return 0: the pipe is full */
static int feed_write(int fd, const char *text, apr_size_t len)
{
    ssize_t written;

    do {
        written = write(fd, text, len);
    } while (written < 0 && errno == EINTR);
    return written == (ssize_t)len;
}

/* @return 1: all of it was told */
static int feed_text(int fd)
{
    apr_int64_t until = ban_now() + WAIT_MAX;
    struct pollfd wait = { fd, POLLOUT, 0 };

    while (feed.told < feed.len) {
        apr_size_t piece = feed_piece(feed.text + feed.told, feed.len - feed.told);
        apr_int64_t left = until - ban_now();

        if (feed_write(fd, feed.text + feed.told, piece)) {
            feed.told += piece;
        }
        else if (left <= 0 || poll(&wait, 1, (int)left) <= 0) {
            return 0;
        }
    }
    return 1;
}

static void feed_changes(int fd, ban_export_shm_t *shm)
{
    char line[LINE_SIZE];
    ban_prefix_t prefix;
    int is_there = 1, tries;
    ban_t ban;

    for (tries = 0; tries < BAN_EXPORT_RING && (is_there = ban_export_peek(&prefix)) > 0; ++tries) {
        int len = feed_line(line, &prefix, ban_jail_get(&prefix, &ban) ? &ban : NULL);

        if (!feed_write(fd, line, (apr_size_t)len)) {
            return;
        }
        ban_export_pop();
    }
    if (is_there < 0) {
        atomic_store(&shm->whole, 0);
        feed.start = 0;
    }
}

static void feed_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    ban_export_shm_t *shm = ban_export_shm();
    apr_uint32_t start = shm ? atomic_load(&shm->started) : 0;
    int fd = ban_export_program_fd();

    if (!start || fd < 0 || atomic_load(&shm->generation) != feed.generation) {
        return;
    }
    if (atomic_load(&shm->whole) != start && (!feed.text || feed.start != start)) {
        feed_begin(start);
    }
    if (feed.text) {
        if (atomic_load(&shm->whole) != start && !feed_text(fd)) {
            return;
        }
        feed_drop();
        atomic_store(&shm->whole, start);
    }
    feed_changes(fd, shm);
}

void ban_export_feed_start(void)
{
    static const usher_tick_work_t work = {
        .name = "what UsherBanExport is told", .where = USHER_TICK_CHILD, .run = feed_tick,
    };

    feed_drop();
    feed.generation = (apr_uint32_t)ap_state_query(AP_SQ_CONFIG_GEN);
    ban_core->tick_add(&work);
}
