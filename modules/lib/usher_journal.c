#include "usher_journal.h"
#include "usher_crc64.h"

#include <string.h>

#define VERSION 1
#define HEAD_SIZE   24 /* of a frame */
#define STAMP_SIZE  56
#define BODY_MIN    (STAMP_SIZE + USHER_CRC64_SIZE)
#define FIELDS_SIZE 24 /* of a record, before its texts */
/* A frame found further on has a number close to that of the last good one. */
#define NUMBERS_AHEAD ((apr_uint64_t)1 << 24)

static const unsigned char file_magic[8] = { 'U', 'S', 'H', 'E', 'R', 'J', 'N', 'L' };
static const unsigned char frame_magic[4] = { 'U', 'F', 'R', 'M' };

static void put_number(unsigned char *to, apr_uint64_t number, int bytes)
{
    int i;

    for (i = 0; i < bytes; ++i) {
        to[i] = (unsigned char)(number >> 8 * i);
    }
}

static apr_uint64_t get_number(const unsigned char *from, int bytes)
{
    apr_uint64_t number = 0;

    while (bytes > 0) {
        number = number << 8 | from[--bytes];
    }
    return number;
}

void usher_journal_head(unsigned char head[USHER_JOURNAL_HEAD_SIZE], apr_uint64_t frames)
{
    memcpy(head, file_magic, sizeof(file_magic));
    put_number(head + 8, VERSION, 4);
    put_number(head + 12, 0, 4);
    put_number(head + 16, frames, 8);
    usher_crc64_seal(head, 24);
}

void usher_journal_begin(usher_journal_writer_t *writer, unsigned char *bytes, apr_size_t room,
                         const usher_expiry_t *stamp)
{
    unsigned char *body = bytes + HEAD_SIZE;

    writer->bytes = bytes;
    writer->room = room;
    writer->len = HEAD_SIZE + STAMP_SIZE;
    memset(body, 0, STAMP_SIZE);
    put_number(body, (apr_uint64_t)stamp->utc_written, 8);
    put_number(body + 8, (apr_uint64_t)stamp->boot_written, 8);
    memcpy(body + 16, stamp->boot_id, strlen(stamp->boot_id));
}

static unsigned char *put_text(unsigned char *to, const char *text, apr_size_t len)
{
    memcpy(to, text, len);
    to[len] = '\0';
    return to + len + 1;
}

int usher_journal_put(usher_journal_writer_t *writer, const usher_journal_record_t *record)
{
    const char *value = record->value ? record->value : "";
    apr_size_t kind_len = strlen(record->kind), key_len = strlen(record->key);
    apr_size_t value_len = strlen(value);
    apr_size_t len = USHER_JOURNAL_RECORD_SIZE + kind_len + key_len + value_len;
    unsigned char *to = writer->bytes + writer->len;

    if (kind_len > 255 || key_len > 255 || value_len > USHER_JOURNAL_BODY_MAX
        || len + USHER_CRC64_SIZE > writer->room - writer->len
        || len + writer->len + USHER_CRC64_SIZE > USHER_JOURNAL_BODY_MAX) {
        return 0;
    }
    to[0] = (unsigned char)kind_len;
    to[1] = (unsigned char)key_len;
    to[2] = record->value == NULL;
    to[3] = 0;
    put_number(to + 4, value_len, 4);
    put_number(to + 8, record->version, 8);
    put_number(to + 16, (apr_uint64_t)record->remaining, 8);
    to = put_text(to + FIELDS_SIZE, record->kind, kind_len);
    to = put_text(to, record->key, key_len);
    put_text(to, value, value_len);
    writer->len += len;
    return 1;
}

apr_size_t usher_journal_end(usher_journal_writer_t *writer, apr_uint64_t number)
{
    unsigned char *head = writer->bytes;

    usher_crc64_seal(head + HEAD_SIZE, writer->len - HEAD_SIZE);
    writer->len += USHER_CRC64_SIZE;
    memcpy(head, frame_magic, sizeof(frame_magic));
    put_number(head + 4, writer->len - HEAD_SIZE, 4);
    put_number(head + 8, number, 8);
    usher_crc64_seal(head, 16);
    return writer->len;
}

/* Checks a part that ends in its checksum, and mends one wrong byte. */
static int journal_check(usher_journal_t *journal, apr_size_t at, apr_size_t len)
{
    unsigned char *part = journal->bytes + at, value = 0;
    apr_size_t wrong;

    if (!usher_crc64_check(part, len, &wrong, &value)) {
        return 0;
    }
    if (wrong < len) {
        part[wrong] = value;
        journal->mended++;
        journal->mended_at = at + wrong;
    }
    return 1;
}

int usher_journal_open(usher_journal_t *journal, unsigned char *bytes, apr_size_t len)
{
    memset(journal, 0, sizeof(*journal));
    journal->bytes = bytes;
    journal->len = len;
    if (len < USHER_JOURNAL_HEAD_SIZE || !journal_check(journal, 0, USHER_JOURNAL_HEAD_SIZE)
        || memcmp(bytes, file_magic, sizeof(file_magic)) || get_number(bytes + 8, 4) != VERSION) {
        return 0;
    }
    journal->settled = get_number(bytes + 16, 8);
    journal->at = USHER_JOURNAL_HEAD_SIZE;
    return 1;
}

static int is_head(const unsigned char *head)
{
    apr_uint64_t len = get_number(head + 4, 4);

    return !memcmp(head, frame_magic, sizeof(frame_magic)) && len >= BODY_MIN && len <= USHER_JOURNAL_BODY_MAX;
}

/* Whether there is a frame further on. No text can look like one: in all heads that are accepted here
 * there are NULs in a row, that of no text. */
static int journal_goes_on(const usher_journal_t *journal)
{
    apr_size_t at = journal->at + 1, wrong;
    unsigned char value;

    for (; at + HEAD_SIZE <= journal->len; ++at) {
        const unsigned char *head = journal->bytes + at;

        if (*head == *frame_magic && is_head(head)
            && get_number(head + 8, 8) - journal->number - 1 < NUMBERS_AHEAD
            && usher_crc64_check(head, HEAD_SIZE, &wrong, &value) && wrong == HEAD_SIZE) {
            return 1;
        }
    }
    return 0;
}

/* @return the body's length; 0: it is no good frame */
static apr_size_t journal_find_frame(usher_journal_t *journal)
{
    const unsigned char *head = journal->bytes + journal->at;
    apr_size_t left = journal->len - journal->at, len;

    if (left < HEAD_SIZE || !journal_check(journal, journal->at, HEAD_SIZE) || !is_head(head)
        || get_number(head + 8, 8) != journal->number + 1) {
        return 0;
    }
    len = (apr_size_t)get_number(head + 4, 4);
    return len <= left - HEAD_SIZE && journal_check(journal, journal->at + HEAD_SIZE, len) ? len : 0;
}

usher_journal_e usher_journal_next(usher_journal_t *journal, usher_journal_frame_t *frame)
{
    apr_uint32_t mended = journal->mended;
    apr_size_t mended_at = journal->mended_at, len;

    if (journal->at == journal->len && journal->number >= journal->settled) {
        return USHER_JOURNAL_END;
    }
    len = journal_find_frame(journal);
    if (!len) {
        journal->mended = mended; /* of a torn frame nothing counts */
        journal->mended_at = mended_at;
        return journal->number < journal->settled || journal_goes_on(journal) ? USHER_JOURNAL_BAD
                                                                              : USHER_JOURNAL_TORN;
    }
    frame->bytes = journal->bytes + journal->at + HEAD_SIZE;
    frame->len = len - USHER_CRC64_SIZE;
    frame->at = STAMP_SIZE;
    memset(&frame->stamp, 0, sizeof(frame->stamp));
    frame->stamp.utc_written = (apr_time_t)get_number(frame->bytes, 8);
    frame->stamp.boot_written = (apr_time_t)get_number(frame->bytes + 8, 8);
    memcpy(frame->stamp.boot_id, frame->bytes + 16, USHER_BOOT_ID_SIZE - 1);
    journal->at += HEAD_SIZE + len;
    journal->number++;
    return USHER_JOURNAL_FRAME;
}

/* A text of that length, with a NUL behind it and none before. */
static const char *get_text(usher_journal_frame_t *frame, apr_size_t len)
{
    const char *text = (const char *)frame->bytes + frame->at;

    if (frame->len - frame->at <= len || memchr(text, '\0', len) || text[len]) {
        return NULL;
    }
    frame->at += len + 1;
    return text;
}

int usher_journal_record(usher_journal_frame_t *frame, usher_journal_record_t *record)
{
    const unsigned char *fields = frame->bytes + frame->at;
    const char *value;

    if (frame->at == frame->len) {
        return 0;
    }
    if (frame->len - frame->at < FIELDS_SIZE) {
        return -1;
    }
    frame->at += FIELDS_SIZE;
    record->version = get_number(fields + 8, 8);
    record->remaining = (apr_interval_time_t)get_number(fields + 16, 8);
    record->kind = get_text(frame, fields[0]);
    record->key = record->kind ? get_text(frame, fields[1]) : NULL;
    value = record->key ? get_text(frame, (apr_size_t)get_number(fields + 4, 4)) : NULL;
    record->value = fields[2] ? NULL : value;
    return value && record->remaining >= 0 ? 1 : -1;
}
