/* The journal on the disk. Nothing is acknowledged before fdatasync() has said that it is there;
 * what could not be written is cut off again. The journal is written anew under another name,
 * and gets its own when it is whole and on the disk: whatever ends in between, there is
 * either the old one or the new one. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core_store_file.h"
#include "usher_clock.h"

#define NEW_NAME CORE_STORE_FILE_NAME ".new"
/* So much room is asked for behind the end. */
#define RESERVE 16384
/* A frame of a journal that is written anew. */
#define PART_SIZE 65536

/* @return 0, or an error number */
static int write_at(int fd, const unsigned char *bytes, apr_size_t len, apr_int64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, len, (off_t)at);

        if (n <= 0 && errno != EINTR) {
            return n < 0 ? errno : ENOSPC;
        }
        if (n > 0) {
            bytes += n;
            at += n;
            len -= (apr_size_t)n;
        }
    }
    return 0;
}

static void write_begin(usher_journal_writer_t *writer, core_store_file_t *file, apr_size_t room)
{
    const usher_clock_t *clock = usher_clock_system();
    usher_expiry_t stamp = { .boot_written = clock->boot_now(), .utc_written = clock->utc_now() };

    memcpy(stamp.boot_id, file->boot_id, sizeof(stamp.boot_id));
    usher_journal_begin(writer, file->buffer, room, &stamp);
}

static int write_put(usher_journal_writer_t *writer, const core_store_entry_t *entry)
{
    apr_time_t now = usher_clock_system()->boot_now();
    usher_journal_record_t record = { entry->kind, entry->key, entry->value, entry->version, 0 };

    if (entry->expires_at) {
        record.remaining = entry->expires_at > now ? entry->expires_at - now : 1;
    }
    return usher_journal_put(writer, &record);
}

apr_status_t core_store_file_append(core_store_file_t *file, const core_store_pending_t *pending)
{
    usher_journal_writer_t writer;
    apr_size_t len;
    int error = 0, i;

    write_begin(&writer, file, CORE_STORE_FILE_BUFFER);
    for (i = 0; i < pending->n; ++i) {
        write_put(&writer, pending->entries[i]); /* there is room for all that can be taken */
    }
    len = usher_journal_end(&writer, file->number + 1);
    if (file->len + (apr_int64_t)len > CORE_STORE_FILE_MAX) {
        return EFBIG; /* nobody could read it any more */
    }
    error = write_at(file->fd, file->buffer, len, file->len);
    if (!error && fdatasync(file->fd)) {
        error = errno;
    }
    if (error) {
        /* Where this fails as well, the next one who opens it cuts it off, or takes it. */
        (void)!ftruncate(file->fd, (off_t)file->len);
        return error;
    }
    file->len += (apr_int64_t)len;
    file->number++;
    return APR_SUCCESS;
}

apr_status_t core_store_file_reserve(const core_store_file_t *file)
{
#ifdef FALLOC_FL_KEEP_SIZE
    if (fallocate(file->fd, FALLOC_FL_KEEP_SIZE, (off_t)file->len, RESERVE)
        && (errno == ENOSPC || errno == EDQUOT)) {
        return errno;
    }
#endif
    return APR_SUCCESS;
}

/* A journal being written. */
typedef struct {
    core_store_file_t *from;
    int fd;
    int error;
    apr_int64_t len;
    apr_uint64_t number;
    usher_journal_writer_t writer;
} rewrite_t;

static void rewrite_flush(rewrite_t *to)
{
    apr_size_t len = usher_journal_end(&to->writer, ++to->number);

    to->error = write_at(to->fd, to->from->buffer, len, to->len);
    to->len += (apr_int64_t)len;
    write_begin(&to->writer, to->from, PART_SIZE);
}

static int rewrite_entry(void *baton, const core_store_entry_t *entry)
{
    rewrite_t *to = baton;

    if (!write_put(&to->writer, entry)) {
        rewrite_flush(to);
        write_put(&to->writer, entry);
    }
    return !to->error;
}

static int rewrite_fill(rewrite_t *to)
{
    unsigned char head[USHER_JOURNAL_HEAD_SIZE];

    to->len = USHER_JOURNAL_HEAD_SIZE;
    write_begin(&to->writer, to->from, PART_SIZE);
    if (core_store_table_each(to->from->table, rewrite_entry, to)) {
        rewrite_flush(to);
    }
    if (!to->error) {
        usher_journal_head(head, to->number);
        to->error = write_at(to->fd, head, sizeof(head), 0);
    }
    if (!to->error && fsync(to->fd)) {
        to->error = errno;
    }
    return to->error;
}

apr_status_t core_store_file_rewrite(core_store_file_t *file)
{
    rewrite_t to = { file, -1 };
    apr_status_t rv;

    unlinkat(file->dir, NEW_NAME, 0); /* of one who was killed */
    to.fd = core_store_file_create(file->dir, NEW_NAME);
    if (to.fd < 0) {
        return errno;
    }
    rv = core_store_file_claim(to.fd);
    rv = rv == APR_SUCCESS ? rewrite_fill(&to) : rv;
    if (rv == APR_SUCCESS && renameat(file->dir, NEW_NAME, file->dir, CORE_STORE_FILE_NAME)) {
        rv = errno;
    }
    if (rv != APR_SUCCESS) {
        close(to.fd);
        unlinkat(file->dir, NEW_NAME, 0);
        return rv;
    }
    if (file->fd >= 0) {
        close(file->fd);
    }
    file->fd = to.fd;
    file->len = to.len;
    file->number = to.number;
    return fsync(file->dir) ? errno : APR_SUCCESS;
}
