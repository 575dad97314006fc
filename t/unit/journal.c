/* The store's journal: what was written is read again; every cut of its tail, every wrong byte,
 * garbage. And the checksum that mends. */
#include "unit.h"
#include "usher_crc64.h"
#include "usher_journal.h"

#define FRAMES 4
#define ROOM 8192

static const usher_expiry_t stamp = { 0, 1795311611000000, 5000000,
                                      "11111111-2222-3333-4444-555555555555" };

static const usher_journal_record_t records[] = {
    { "member", "app/tc1", "{\"url\":\"ajp://10.0.0.5:8009\"}", 1795311611000, 0 },
    { "nonce", "key/0123456789abcdef", "", 1795311611001, 600000000 },
    { "member", "app/tc1", NULL, 1795311611002, 86400000000 },
    { "member", "app/tc2", "\xc3\xbc UFRM", 1795311611003, 0 },
    { "x", "y", "z", 1, 1 },
};

/* FRAMES frames of 1, 2, 1 and 1 records; ends[i]: behind frame i, ends[0] is that of the head. */
static unsigned char file[ROOM];
static apr_size_t ends[FRAMES + 1];
static const int firsts[FRAMES + 1] = { 0, 1, 3, 4, 5 };

static void setup(void)
{
    usher_journal_writer_t writer;
    int frame, i;

    usher_journal_head(file, 1);
    ends[0] = USHER_JOURNAL_HEAD_SIZE;
    for (frame = 0; frame < FRAMES; ++frame) {
        usher_journal_begin(&writer, file + ends[frame], ROOM - ends[frame], &stamp);
        for (i = firsts[frame]; i < firsts[frame + 1]; ++i) {
            ck_assert_int_eq(usher_journal_put(&writer, &records[i]), 1);
        }
        ends[frame + 1] = ends[frame] + usher_journal_end(&writer, (apr_uint64_t)frame + 1);
    }
}

/* How many frames there are, all of them as they were written; and how it ends. */
static int read_all(unsigned char *bytes, apr_size_t len, usher_journal_e *end,
                    usher_journal_t *journal)
{
    usher_journal_frame_t frame;
    usher_journal_record_t record;
    int frames = 0, n = 0;

    *end = USHER_JOURNAL_BAD;
    if (!usher_journal_open(journal, bytes, len)) {
        return -1;
    }
    while ((*end = usher_journal_next(journal, &frame)) == USHER_JOURNAL_FRAME) {
        ck_assert_str_eq(frame.stamp.boot_id, stamp.boot_id);
        ck_assert_int_eq(frame.stamp.utc_written, stamp.utc_written);
        ck_assert_int_eq(frame.stamp.boot_written, stamp.boot_written);
        for (; usher_journal_record(&frame, &record) == 1; ++n) {
            ck_assert_str_eq(record.kind, records[n].kind);
            ck_assert_str_eq(record.key, records[n].key);
            ck_assert_pstr_eq(record.value, records[n].value);
            ck_assert_uint_eq(record.version, records[n].version);
            ck_assert_int_eq(record.remaining, records[n].remaining);
        }
        ck_assert_int_eq(usher_journal_record(&frame, &record), 0);
        ck_assert_int_eq(n, firsts[++frames]);
    }
    return frames;
}

START_TEST(whole)
{
    usher_journal_t journal;
    usher_journal_e end;
    unsigned char *copy = (unsigned char *)unit_copy(file, ends[FRAMES]);

    ck_assert_int_eq(read_all(copy, ends[FRAMES], &end, &journal), FRAMES);
    ck_assert_int_eq(end, USHER_JOURNAL_END);
    ck_assert_uint_eq(journal.mended, 0);
    ck_assert_uint_eq(journal.at, ends[FRAMES]);
    free(copy);
}
END_TEST

START_TEST(cut_anywhere)
{
    apr_size_t len;

    for (len = 0; len <= ends[FRAMES]; ++len) {
        unsigned char *copy = (unsigned char *)unit_copy(file, len);
        usher_journal_t journal;
        usher_journal_e end;
        int frames = read_all(copy, len, &end, &journal), there = 0;

        while (there < FRAMES && ends[there + 1] <= len) {
            ++there;
        }
        if (len < ends[1]) {
            /* That much was there when the file got its name. */
            ck_assert_int_eq(end, USHER_JOURNAL_BAD);
        }
        else {
            ck_assert_int_eq(frames, there);
            ck_assert_int_eq(end, len == ends[there] ? USHER_JOURNAL_END : USHER_JOURNAL_TORN);
            ck_assert_uint_eq(journal.at, ends[there]);
        }
        free(copy);
    }
}
END_TEST

/* As a file system leaves it that had not written the last pages: zeros, or what was there. */
START_TEST(torn_with_garbage_behind)
{
    static const unsigned char fillings[] = { 0, 0xff, 'U' };
    apr_size_t from = ends[FRAMES - 1], cut;
    int f;

    for (f = 0; f < UNIT_COUNT(fillings); ++f) {
        for (cut = from; cut + 2 < ends[FRAMES]; ++cut) {
            unsigned char *copy = (unsigned char *)unit_copy(file, ends[FRAMES]);
            usher_journal_t journal;
            usher_journal_e end;
            int frames;

            memset(copy + cut, fillings[f], ends[FRAMES] - cut);
            frames = read_all(copy, ends[FRAMES], &end, &journal);
            /* Bytes that happen to be right may leave but one to be mended. */
            ck_assert_int_eq(end, frames == FRAMES ? USHER_JOURNAL_END : USHER_JOURNAL_TORN);
            ck_assert_int_ge(frames, FRAMES - 1);
            free(copy);
        }
    }
}
END_TEST

START_TEST(any_byte_wrong)
{
    static const unsigned char flips[] = { 1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x5a };
    apr_size_t at;
    int f;

    for (at = 0; at < ends[FRAMES]; ++at) {
        for (f = 0; f < UNIT_COUNT(flips); ++f) {
            unsigned char copy[ROOM];
            usher_journal_t journal;
            usher_journal_e end;

            memcpy(copy, file, ROOM);
            copy[at] ^= flips[f];
            ck_assert_int_eq(read_all(copy, ends[FRAMES], &end, &journal), FRAMES);
            ck_assert_int_eq(end, USHER_JOURNAL_END);
            ck_assert_uint_eq(journal.mended, 1);
            ck_assert_uint_eq(journal.mended_at, at);
            ck_assert_mem_eq(copy, file, ends[FRAMES]);
        }
    }
}
END_TEST

/* Two of them cannot be mended: in the last frame that is as if it were torn, before it is damage. */
START_TEST(two_bytes_wrong)
{
    int frame;

    for (frame = 0; frame < FRAMES; ++frame) {
        unsigned char *copy = (unsigned char *)unit_copy(file, ends[FRAMES]);
        usher_journal_t journal;
        usher_journal_e end;

        copy[ends[frame] + 30] ^= 1;
        copy[ends[frame] + 90] ^= 1;
        ck_assert_int_eq(read_all(copy, ends[FRAMES], &end, &journal), frame);
        ck_assert_int_eq(end, frame == FRAMES - 1 ? USHER_JOURNAL_TORN : USHER_JOURNAL_BAD);
        ck_assert_uint_eq(journal.at, ends[frame]);
        copy[ends[frame]] ^= 1;
        copy[ends[frame] + 9] ^= 1; /* the head as well */
        ck_assert_int_eq(read_all(copy, ends[FRAMES], &end, &journal), frame);
        ck_assert_int_eq(end, frame == FRAMES - 1 ? USHER_JOURNAL_TORN : USHER_JOURNAL_BAD);
        free(copy);
    }
}
END_TEST

START_TEST(a_frame_is_missing)
{
    unsigned char *copy = (unsigned char *)unit_copy(file, ends[FRAMES]);
    usher_journal_t journal;
    usher_journal_e end;

    memmove(copy + ends[1], copy + ends[2], ends[FRAMES] - ends[2]);
    ck_assert_int_eq(read_all(copy, ends[FRAMES] - (ends[2] - ends[1]), &end, &journal), 1);
    ck_assert_int_eq(end, USHER_JOURNAL_BAD);
    free(copy);
}
END_TEST

START_TEST(garbage)
{
    unsigned int seed = 1, round;

    for (round = 0; round < 2000; ++round) {
        apr_size_t len = round % 600, i;
        unsigned char *copy = malloc(ends[FRAMES] + len);
        usher_journal_t journal;
        usher_journal_e end;

        memcpy(copy, file, ends[FRAMES]);
        for (i = 0; i < len; ++i) {
            seed = seed * 1103515245 + 12345;
            copy[ends[FRAMES] + i] = (unsigned char)(seed >> 16);
        }
        ck_assert_int_eq(read_all(copy, ends[FRAMES] + len, &end, &journal), FRAMES);
        ck_assert_int_eq(end, len ? USHER_JOURNAL_TORN : USHER_JOURNAL_END);
        ck_assert_int_eq(usher_journal_open(&journal, copy + ends[FRAMES], len), 0);
        free(copy);
    }
}
END_TEST

START_TEST(no_room)
{
    unsigned char small[USHER_JOURNAL_FRAME_SIZE + USHER_JOURNAL_RECORD_SIZE + 3];
    static char long_text[300];
    usher_journal_record_t record = { "x", "y", "z", 1, 0 }, long_key = { "x", long_text, "", 1, 0 };
    usher_journal_writer_t writer;

    memset(long_text, 'k', sizeof(long_text) - 1);
    usher_journal_begin(&writer, small, sizeof(small), &stamp);
    ck_assert_int_eq(usher_journal_put(&writer, &record), 1);
    ck_assert_int_eq(usher_journal_put(&writer, &record), 0);
    ck_assert_uint_eq(usher_journal_end(&writer, 1), sizeof(small));
    usher_journal_begin(&writer, file, sizeof(file), &stamp);
    ck_assert_int_eq(usher_journal_put(&writer, &long_key), 0);
}
END_TEST

START_TEST(checksum)
{
    unsigned char bytes[3000 + USHER_CRC64_SIZE], value = 0;
    apr_size_t len, wrong;

    ck_assert_uint_eq(usher_crc64((const unsigned char *)"123456789", 9), APR_UINT64_C(0x995dc9bbdf1939fa));
    for (len = 0; len < sizeof(bytes); ++len) {
        bytes[len] = (unsigned char)(len * 7);
    }
    for (len = 0; len <= 3000; len += 750) {
        usher_crc64_seal(bytes, len);
        ck_assert_int_eq(usher_crc64_check(bytes, len + 8, &wrong, &value), 1);
        ck_assert_uint_eq(wrong, len + 8);
        bytes[len + 3] ^= 0x81;
        ck_assert_int_eq(usher_crc64_check(bytes, len + 8, &wrong, &value), 1);
        ck_assert_uint_eq(wrong, len + 3);
        ck_assert_uint_eq(value, bytes[len + 3] ^ 0x81);
        bytes[len + 5] ^= 1;
        ck_assert_int_eq(usher_crc64_check(bytes, len + 8, &wrong, &value), 0);
    }
    ck_assert_int_eq(usher_crc64_check(bytes, 7, &wrong, &value), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal");
    TCase *tcase = tcase_create("journal");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, whole);
    tcase_add_test(tcase, cut_anywhere);
    tcase_add_test(tcase, torn_with_garbage_behind);
    tcase_add_test(tcase, any_byte_wrong);
    tcase_add_test(tcase, two_bytes_wrong);
    tcase_add_test(tcase, a_frame_is_missing);
    tcase_add_test(tcase, garbage);
    tcase_add_test(tcase, no_room);
    tcase_add_test(tcase, checksum);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
