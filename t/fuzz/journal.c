#include "fuzz.h"
#include "usher_crc64.h"
#include "usher_journal.h"

/* Any bytes are read to the end, and what is accepted can be written again. The first byte
 * tells whether checksums are put right first, so that what follows is looked at. */
static void seal(uint8_t *bytes, size_t size)
{
    size_t at = USHER_JOURNAL_HEAD_SIZE;

    if (size < at) {
        return;
    }
    usher_crc64_seal(bytes, 24);
    while (size - at >= 24) {
        size_t len = bytes[at + 4] | (size_t)bytes[at + 5] << 8;

        usher_crc64_seal(bytes + at, 16);
        at += 24;
        if (len < 64 || len > size - at) {
            return;
        }
        usher_crc64_seal(bytes + at, len - 8);
        at += len;
    }
}

static void check_frame(usher_journal_frame_t *frame)
{
    usher_journal_record_t record;
    usher_journal_writer_t writer;
    uint8_t *copy = malloc(frame->len + USHER_JOURNAL_FRAME_SIZE);
    int answer;

    usher_journal_begin(&writer, copy, frame->len + USHER_JOURNAL_FRAME_SIZE, &frame->stamp);
    while ((answer = usher_journal_record(frame, &record)) == 1) {
        FUZZ_ASSERT(strlen(record.kind) < 256 && strlen(record.key) < 256);
        FUZZ_ASSERT(usher_journal_put(&writer, &record));
    }
    FUZZ_ASSERT(answer == 0 || answer == -1);
    usher_journal_end(&writer, 1);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    usher_journal_t journal;
    usher_journal_frame_t frame;
    usher_journal_e end;
    uint8_t *copy;

    if (!size) {
        return 0;
    }
    copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    if (data[0] & 1) {
        seal(copy, size - 1);
    }
    if (usher_journal_open(&journal, copy, size - 1)) {
        while ((end = usher_journal_next(&journal, &frame)) == USHER_JOURNAL_FRAME) {
            FUZZ_ASSERT(journal.at <= size - 1);
            check_frame(&frame);
        }
        FUZZ_ASSERT(end == USHER_JOURNAL_TORN || end == USHER_JOURNAL_BAD || journal.at == size - 1);
    }
    free(copy);
    return 0;
}
