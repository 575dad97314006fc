/* A journal into a table: all that is in it, in its order, the later one counts. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core_store_file.h"
#include "usher_clock.h"
#include "usher_duration.h"

/* The boot's id is asked for once, not for each record. */
static char load_boot[USHER_BOOT_ID_SIZE];

static void load_boot_id(char id[USHER_BOOT_ID_SIZE])
{
    apr_cpystrn(id, load_boot, USHER_BOOT_ID_SIZE);
}

/* @return NULL: errno tells why not */
static unsigned char *load_read(int fd, apr_size_t *len)
{
    unsigned char *bytes;
    struct stat info;
    ssize_t n = 1;

    if (fstat(fd, &info) || info.st_size > CORE_STORE_FILE_MAX) {
        errno = errno ? errno : EFBIG;
        return NULL;
    }
    bytes = malloc((apr_size_t)info.st_size + 1);
    *len = 0;
    while (bytes && *len < (apr_size_t)info.st_size && n > 0) {
        n = pread(fd, bytes + *len, (apr_size_t)info.st_size - *len, (off_t)*len);
        *len += n > 0 ? (apr_size_t)n : 0;
        n = n < 0 && errno == EINTR ? 1 : n;
    }
    if (bytes && n < 0) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

/* @return 0: what is there is no record, or there is no memory */
static int load_frame(core_store_table_t *table, usher_journal_frame_t *frame,
                      const usher_clock_t *clock)
{
    usher_journal_record_t record;
    int answer;

    while ((answer = usher_journal_record(frame, &record)) > 0) {
        core_store_entry_t *entry;
        apr_time_t expires_at = 0;

        if (record.remaining) {
            frame->stamp.remaining = record.remaining < USHER_DURATION_MAX ? record.remaining
                                                                           : USHER_DURATION_MAX;
            expires_at = usher_expiry_load(&frame->stamp, clock);
        }
        entry = core_store_entry_make(record.kind, record.key, record.value, record.version,
                                      expires_at);
        if (!entry) {
            return 0;
        }
        core_store_table_put(table, entry);
    }
    return !answer;
}

static void load_all(usher_journal_t *journal, core_store_table_t *table,
                     core_store_found_t *found)
{
    usher_clock_t clock = *usher_clock_system();
    usher_journal_frame_t frame;

    clock.boot_id(load_boot);
    clock.boot_id = load_boot_id;
    do {
        found->at = journal->at;
        found->number = journal->number;
        found->end = usher_journal_next(journal, &frame);
        if (found->end == USHER_JOURNAL_FRAME && !load_frame(table, &frame, &clock)) {
            found->end = USHER_JOURNAL_BAD;
        }
    } while (found->end == USHER_JOURNAL_FRAME);
    core_store_table_sweep(table);
}

apr_status_t core_store_file_load(int fd, core_store_table_t *table, core_store_found_t *found)
{
    usher_journal_t journal;
    unsigned char *bytes;

    memset(found, 0, sizeof(*found));
    errno = 0;
    bytes = load_read(fd, &found->len);
    if (!bytes) {
        return errno ? errno : APR_ENOMEM;
    }
    found->end = USHER_JOURNAL_BAD;
    if (usher_journal_open(&journal, bytes, found->len)) {
        load_all(&journal, table, found);
        found->mended = journal.mended;
        found->mended_at = journal.mended_at;
    }
    free(bytes);
    return found->end == USHER_JOURNAL_BAD ? APR_EINVAL : APR_SUCCESS;
}
