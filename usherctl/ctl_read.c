/* The lines of large files. */
#include <apr_errno.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

#include "ctl_read.h"

/* Small enough to stay in the processor's cache, large enough that moving the piece of a
 * line at its end costs nothing. */
#define READ_SIZE (2 * CTL_READ_LINE_MAX)

struct ctl_read_t {
    apr_pool_t *pool;
    int fd;
#ifdef HAVE_ZLIB
    gzFile gz; /* also of a file that is not compressed: then it only reads */
#endif
    const char *why;
    apr_uint64_t number, bytes;
    apr_size_t from, to; /* what of the buffer is not yet told */
    int over;            /* the file is read to its end */
    int skips;           /* the rest of a long line is still to be dropped */
    char buf[READ_SIZE];
};

static const char *read_error(apr_pool_t *p, int error)
{
    char text[128];

    return apr_pstrdup(p, apr_strerror(APR_FROM_OS_ERROR(error), text, sizeof(text)));
}

#ifdef HAVE_ZLIB
static int read_begin(ctl_read_t *reader)
{
    reader->gz = gzdopen(reader->fd, "rb");
    if (!reader->gz) {
        reader->why = "no memory";
        return 0;
    }
    gzbuffer(reader->gz, 128 * 1024);
    return 1;
}

static long read_some(ctl_read_t *reader, char *to, apr_size_t room)
{
    int got = gzread(reader->gz, to, (unsigned int)room), error = Z_OK;
    const char *why;

    if (got <= 0) {
        why = gzerror(reader->gz, &error);
        /* Z_BUF_ERROR: the file ends within what is compressed; all before it was told. */
        reader->why = error == Z_OK ? NULL
                      : error == Z_ERRNO ? read_error(reader->pool, errno)
                      : error == Z_BUF_ERROR ? "the compressed file is cut off"
                      : apr_pstrcat(reader->pool, "cannot be uncompressed: ", why, NULL);
        return reader->why ? -1 : 0;
    }
    return got;
}

static void read_end(ctl_read_t *reader)
{
    gzclose(reader->gz);
}
#else
static int read_begin(ctl_read_t *reader)
{
    return 1;
}

static long read_some(ctl_read_t *reader, char *to, apr_size_t room)
{
    ssize_t got;

    do {
        got = read(reader->fd, to, room);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        reader->why = read_error(reader->pool, errno);
    }
    else if (!reader->bytes && got > 1 && !memcmp(to, "\x1f\x8b", 2)) {
        reader->why = "is compressed, and usherctl was built without zlib";
        return -1;
    }
    return got;
}

static void read_end(ctl_read_t *reader)
{
    close(reader->fd);
}
#endif

static apr_status_t read_cleanup(void *data)
{
    ctl_read_t *reader = data;

    if (reader->fd >= 0) {
        read_end(reader);
        reader->fd = -1;
    }
    return APR_SUCCESS;
}

/* Standard input as a descriptor of our own, which can be closed. */
static int read_descriptor(const char *name, const char **why, apr_pool_t *p)
{
    int fd = strcmp(name, "-") ? open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY)
                               : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    struct stat st;

    if (fd < 0) {
        *why = read_error(p, errno);
    }
    else if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        *why = "is a directory";
        close(fd);
        fd = -1;
    }
    return fd;
}

ctl_read_t *ctl_read_open(apr_pool_t *p, const char *name, const char **why)
{
    int fd = read_descriptor(name, why, p);
    ctl_read_t *reader;

    if (fd < 0) {
        return NULL;
    }
    reader = apr_palloc(p, sizeof(*reader));
    memset(reader, 0, offsetof(ctl_read_t, buf));
    reader->pool = p;
    reader->fd = fd;
    if (!read_begin(reader)) {
        *why = reader->why;
        close(fd);
        return NULL;
    }
    apr_pool_cleanup_register(p, reader, read_cleanup, apr_pool_cleanup_null);
    return reader;
}

/* More bytes behind those that are there. @return 0: there are none */
static int read_more(ctl_read_t *reader)
{
    long got;

    if (reader->over || reader->fd < 0) {
        return 0;
    }
    if (reader->from) {
        memmove(reader->buf, reader->buf + reader->from, reader->to - reader->from);
        reader->to -= reader->from;
        reader->from = 0;
    }
    got = read_some(reader, reader->buf + reader->to, READ_SIZE - reader->to);
    if (got <= 0) {
        reader->over = 1;
        return 0;
    }
    reader->to += (apr_size_t)got;
    reader->bytes += (apr_uint64_t)got;
    return 1;
}

/* Drops what follows of a line that is too long. */
static void read_skip(ctl_read_t *reader)
{
    const char *end;

    do {
        end = memchr(reader->buf + reader->from, '\n', reader->to - reader->from);
        reader->from = end ? (apr_size_t)(end + 1 - reader->buf) : reader->to;
    } while (!end && read_more(reader));
}

/* A long line is told at once, its rest dropped by the next call: its bytes are where
 * that one reads to. */
ctl_read_e ctl_read_line(ctl_read_t *reader, const char **line, apr_size_t *len)
{
    apr_size_t seen = 0;
    const char *end = NULL;

    if (reader->skips) {
        reader->skips = 0;
        read_skip(reader);
    }
    for (;;) {
        apr_size_t there = reader->to - reader->from;

        end = memchr(reader->buf + reader->from + seen, '\n', there - seen);
        seen = there;
        if (end || there > CTL_READ_LINE_MAX || !read_more(reader)) {
            break;
        }
    }
    *line = reader->buf + reader->from;
    *len = end ? (apr_size_t)(end - *line) : reader->to - reader->from;
    if (!end && !*len) {
        return reader->why ? CTL_READ_FAILED : CTL_READ_END;
    }
    ++reader->number;
    if (*len > CTL_READ_LINE_MAX) {
        *len = CTL_READ_LINE_MAX;
        reader->from += *len;
        reader->skips = 1;
        return CTL_READ_LONG;
    }
    reader->from += *len + (end != NULL);
    *len -= *len && (*line)[*len - 1] == '\r';
    return CTL_READ_LINE;
}

apr_uint64_t ctl_read_number(const ctl_read_t *reader)
{
    return reader->number;
}

const char *ctl_read_why(const ctl_read_t *reader)
{
    return reader->why;
}

void ctl_read_close(ctl_read_t *reader)
{
    apr_pool_cleanup_run(reader->pool, reader, read_cleanup);
}

const char *ctl_read_packed_by(const char *bytes, apr_size_t len)
{
    static const struct {
        const char *magic, *program;
    } kinds[] = {
        { "\xfd" "7zXZ", "xz" }, { "BZh", "bzip2" }, { "\x28\xb5\x2f\xfd", "zstd" },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); ++i) {
        apr_size_t size = strlen(kinds[i].magic);

        if (len >= size && !memcmp(bytes, kinds[i].magic, size)) {
            return kinds[i].program;
        }
    }
    return NULL;
}
