/**
 * @file  usher_journal.h
 * @brief The store's journal: a file's head, then frames, each with the records that became
 *        durable together.
 *
 * A frame is only written when the one before it is on the disk. So after a crash only the last
 * one can be torn, and a bad frame with a good one after it tells that the file was damaged.
 * Head, frames' heads and frames' bodies each end in a checksum, which mends one wrong byte.
 *
 * Numbers are little-endian. Head (32 bytes): "USHERJNL", version (4), 0 (4), how many frames
 * were there when the file got its name (8), checksum (8). Frame's head (24): "UFRM", the body's
 * length (4), number in the file from 1 (8), checksum (8). Body: UTC (8) and boot clock (8) when
 * it was written, us; boot id (36), 0 (4); records; checksum (8). Record: lengths of kind (1) and
 * key (1), 1 if it was deleted (1), 0 (1), length of the value (4), version (8), remaining life
 * in us, 0 without end (8); kind, key and value, each with a NUL.
 *
 * Nothing here allocates memory; reading mends in the bytes themselves.
 */
#ifndef USHER_JOURNAL_H
#define USHER_JOURNAL_H

#include "usher_expiry.h"

#define USHER_JOURNAL_HEAD_SIZE 32
/** Longest body of a frame. */
#define USHER_JOURNAL_BODY_MAX ((apr_size_t)3 << 20)
/** Bytes of a frame without its records. */
#define USHER_JOURNAL_FRAME_SIZE (24 + 56 + 8)
/** Bytes of a record without the bytes of its texts. */
#define USHER_JOURNAL_RECORD_SIZE (24 + 3)

typedef struct usher_journal_record_t {
    const char *kind, *key;
    const char *value; /**< NULL: it was deleted */
    apr_uint64_t version;
    apr_interval_time_t remaining; /**< us, when the frame was written; 0: without end */
} usher_journal_record_t;

/* Writing */

void usher_journal_head(unsigned char head[USHER_JOURNAL_HEAD_SIZE], apr_uint64_t frames);

/** A frame being written. */
typedef struct usher_journal_writer_t {
    unsigned char *bytes;
    apr_size_t room, len;
} usher_journal_writer_t;

/** @param room   at least USHER_JOURNAL_FRAME_SIZE
 * @param stamp  its remaining time does not count */
void usher_journal_begin(usher_journal_writer_t *writer, unsigned char *bytes, apr_size_t room,
                         const usher_expiry_t *stamp);

/** @return 0: there is no room for it; the frame is as it was */
int usher_journal_put(usher_journal_writer_t *writer, const usher_journal_record_t *record);

/** @return the length of the frame */
apr_size_t usher_journal_end(usher_journal_writer_t *writer, apr_uint64_t number);

/* Reading */

typedef struct usher_journal_t {
    unsigned char *bytes;
    apr_size_t len;
    apr_size_t at;         /**< up to here all is good */
    apr_uint64_t settled;  /**< so many frames must be there */
    apr_uint64_t number;   /**< of the last good frame */
    apr_uint32_t mended;   /**< bytes that were wrong */
    apr_size_t mended_at;  /**< where the last one was */
} usher_journal_t;

typedef struct usher_journal_frame_t {
    const unsigned char *bytes;
    apr_size_t len, at;
    usher_expiry_t stamp;  /**< when it was written */
} usher_journal_frame_t;

typedef enum {
    USHER_JOURNAL_FRAME, /**< a good one */
    USHER_JOURNAL_END,
    USHER_JOURNAL_TORN,  /**< what follows was being written: cut it off */
    USHER_JOURNAL_BAD    /**< damaged: what follows was acknowledged */
} usher_journal_e;

/** @return 0: it is no journal, or of another version */
int usher_journal_open(usher_journal_t *journal, unsigned char *bytes, apr_size_t len);

/** The next frame. */
usher_journal_e usher_journal_next(usher_journal_t *journal, usher_journal_frame_t *frame);

/** The next record of a frame; its texts lie in the bytes.
 * @return 1; 0: there are no more; -1: what is there is no record */
int usher_journal_record(usher_journal_frame_t *frame, usher_journal_record_t *record);

#endif /* USHER_JOURNAL_H */
