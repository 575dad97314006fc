/**
 * @file  core_store_file.h
 * @brief The engine "file:" inside: one journal file (usher_journal.h) in a directory.
 *
 * core_store_file.c       the engine
 * core_store_file_load.c  a journal into a table
 * core_store_file_write.c adding to the journal, and writing it anew
 * core_store_file_lock.c  who may use the directory, and who may write
 */
#ifndef CORE_STORE_FILE_H
#define CORE_STORE_FILE_H

#include "core_store_table.h"
#include "usher_journal.h"

#define CORE_STORE_FILE_NAME "store.journal"
/** Longer ones are none of ours. */
#define CORE_STORE_FILE_MAX ((apr_int64_t)1 << 30)

/** The journal that this process writes, and what is in it. */
typedef struct core_store_file_t {
    int dir, fd;             /**< -1: not open */
    apr_int64_t len;         /**< up to here all is good, and on the disk */
    apr_uint64_t number;     /**< of the last frame */
    core_store_table_t *table;
    unsigned char *buffer;   /**< for a frame */
    char boot_id[USHER_BOOT_ID_SIZE]; /**< asked for once, not for each frame */
} core_store_file_t;

/** Room for the frame of one commit. */
#define CORE_STORE_FILE_BUFFER \
    (USHER_JOURNAL_FRAME_SIZE \
     + CORE_STORE_TAKE_MAX * USHER_STORE_TOGETHER_MAX \
       * (USHER_JOURNAL_RECORD_SIZE + USHER_STORE_KIND_MAX + USHER_STORE_KEY_MAX \
          + USHER_STORE_VALUE_MAX))

/** What was found while a journal was read. */
typedef struct core_store_found_t {
    usher_journal_e end;     /**< END, TORN or BAD */
    apr_size_t at, len;      /**< up to there it is good; of how many bytes */
    apr_uint64_t number;
    apr_uint32_t mended;
    apr_size_t mended_at;
} core_store_found_t;

/* core_store_file_load.c */
/**
 * Read all of it into a table.
 * @return APR_SUCCESS; APR_EINVAL: it is no journal, or damaged (@a found tells where); another
 *         status where it cannot be read
 */
apr_status_t core_store_file_load(int fd, core_store_table_t *table, core_store_found_t *found);

/* core_store_file_write.c */
/** Make what is pending durable: one write, one fdatasync. Where that fails the journal is as
 * it was, or must be opened anew. */
apr_status_t core_store_file_append(core_store_file_t *file, const core_store_pending_t *pending);
/** Write the journal anew, with nothing but what lives; or make it. Where that fails the old
 * one stays. */
apr_status_t core_store_file_rewrite(core_store_file_t *file);
/** Have some room behind the end, so that it is known before it is needed. */
apr_status_t core_store_file_reserve(const core_store_file_t *file);

/* core_store_file_lock.c */
/**
 * The directory is this httpd's as long as this process, the parent, lives.
 * @return NULL, or why it cannot be
 */
const char *core_store_file_own(int dir, const char *path, apr_pool_t *p);
/** Nobody else writes to the journal, or waits for a moment.
 * @return APR_SUCCESS; APR_EAGAIN */
apr_status_t core_store_file_claim(int fd);
/** Whether somebody else may write to it. */
int core_store_file_is_claimed(int fd);

/** Open a plain file that has one name, in a directory where anything may lie.
 * @param flags  O_RDONLY or O_RDWR @return -1: errno tells why */
int core_store_file_open(int dir, const char *name, int flags);
/** Make a file that was not there, for the user that children run as. */
int core_store_file_create(int dir, const char *name);

#endif /* CORE_STORE_FILE_H */
