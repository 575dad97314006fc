/* Chunks of backends: well made ones, wholly and in pieces, and malformed ones. */
#include "unit.h"
#include "usher_http1.h"

#define DONE USHER_PARSE_DONE
#define MORE USHER_PARSE_MORE
#define BAD USHER_PARSE_BAD

static const struct {
    const char *text; /* up to the end of the last chunk */
    const char *data;
} chunked[] = {
    { "0\r\n", "" },
    { "0000000000000000\r\n", "" },
    { "0 ;a\r\n", "" },
    { "1\r\na\r\n0\r\n", "a" },
    { "5\r\nhello\r\n6\r\n world\r\n0\r\n", "hello world" },
    { "0000000000000003\r\n0\r\n\r\n00\r\n", "0\r\n" },
    { "b\r\n01234567890\r\nB\r\nabcdefghijk\r\n0\r\n", "01234567890abcdefghijk" },
    { "1 \t\r\na\r\n1;\r\nb\r\n1\t; a=\"b;\xff\\\"\" ;\tc\r\nc\r\n0;\r\n", "abc" },
};

/* Read in pieces, each in memory of exactly its size. */
static usher_parse_e read_chunks(usher_http1_chunks_t *chunks, const char *text, size_t len,
                                 size_t *used, char *data, size_t *data_len, const char **why)
{
    usher_parse_e rv = MORE;
    size_t end = *used + len;

    while (rv == MORE && *used < end) {
        char *copy = unit_copy(text + *used, end - *used);
        const char *piece;
        apr_size_t n, piece_len;

        rv = usher_http1_chunks(chunks, copy, end - *used, &n, &piece, &piece_len, why);
        ck_assert_uint_le(n, end - *used);
        ck_assert(n || rv != MORE);
        ck_assert(!piece_len || piece + piece_len == copy + n);
        memcpy(data + *data_len, piece, piece_len);
        *data_len += piece_len;
        *used += n;
        free(copy);
    }
    return rv;
}

static void check_chunks(int i, size_t first, size_t step)
{
    size_t len = strlen(chunked[i].text);
    usher_http1_chunks_t chunks = { 0 };
    usher_parse_e rv = MORE;
    const char *why = NULL;
    char data[64];
    size_t used = 0, data_len = 0, n = first;

    while (used + n < len) {
        rv = read_chunks(&chunks, chunked[i].text, n, &used, data, &data_len, &why);
        ck_assert_int_eq(rv, MORE);
        n = step < len - used ? step : len - used;
    }
    rv = read_chunks(&chunks, chunked[i].text, len - used, &used, data, &data_len, &why);
    ck_assert_int_eq(rv, DONE);
    ck_assert_ptr_null(why);
    ck_assert_uint_eq(used, len);
    ck_assert_uint_eq(data_len, strlen(chunked[i].data));
    ck_assert_mem_eq(data, chunked[i].data, data_len);
}

START_TEST(chunks_every_split)
{
    size_t split, len = strlen(chunked[_i].text);

    for (split = 0; split < len; ++split) {
        check_chunks(_i, split, len);
    }
    check_chunks(_i, 1, 1);
}
END_TEST

/* Trailers are left; a call after the end or without bytes takes nothing. */
START_TEST(chunks_end)
{
    usher_http1_chunks_t chunks = { 0 };
    apr_size_t used = 77, data_len = 77;
    const char *data, *why;

    ck_assert_int_eq(usher_http1_chunks(&chunks, NULL, 0, &used, &data, &data_len, &why), MORE);
    ck_assert_uint_eq(used, 0);
    ck_assert_uint_eq(data_len, 0);
    ck_assert_int_eq(usher_http1_chunks(&chunks, "0\r\nA: b", 7, &used, &data, &data_len, &why),
                     DONE);
    ck_assert_uint_eq(used, 3);
    ck_assert_uint_eq(data_len, 0);
    ck_assert_int_eq(usher_http1_chunks(&chunks, "A", 1, &used, &data, &data_len, &why), DONE);
    ck_assert_uint_eq(used, 0);
}
END_TEST

/* The largest chunk, of which little is there. */
START_TEST(chunks_largest)
{
    const char *text = "7fffFFFFffffFFFF\r\nab";
    usher_http1_chunks_t chunks = { 0 };
    apr_size_t used, data_len;
    const char *data, *why;

    ck_assert_int_eq(usher_http1_chunks(&chunks, text, 20, &used, &data, &data_len, &why), MORE);
    ck_assert_uint_eq(used, 20);
    ck_assert_uint_eq(data_len, 2);
    ck_assert_uint_eq(chunks.left, APR_UINT64_C(0x7ffffffffffffffd));
}
END_TEST

#define SIZE "invalid chunk size"
#define LARGE "chunk too large"
#define NO_CRLF "chunk line that does not end in CRLF"
#define LONGER "chunk longer than its size"
#define EXTENSION "control character in a chunk extension"

#define TEXT_AND_LEN(text) text, sizeof(text) - 1

/* Bad with the last byte, and not before. */
static const struct {
    const char *text;
    size_t len;
    const char *why;
} bad_chunks[] = {
    { TEXT_AND_LEN("\r"), SIZE },
    { TEXT_AND_LEN("\n"), SIZE },
    { TEXT_AND_LEN(" "), SIZE },
    { TEXT_AND_LEN(";"), SIZE },
    { TEXT_AND_LEN("+"), SIZE },
    { TEXT_AND_LEN("-"), SIZE },
    { TEXT_AND_LEN("g"), SIZE },
    { TEXT_AND_LEN("\0"), SIZE },
    { TEXT_AND_LEN("0x"), SIZE },
    { TEXT_AND_LEN("5 5"), SIZE },
    { TEXT_AND_LEN("1 \0"), SIZE },
    { TEXT_AND_LEN("1\n"), SIZE },
    { TEXT_AND_LEN("1\r\r"), NO_CRLF },
    { TEXT_AND_LEN("1;a\n"), EXTENSION },
    { TEXT_AND_LEN("1;a\0"), EXTENSION },
    { TEXT_AND_LEN("1;a\x7f"), EXTENSION },
    { TEXT_AND_LEN("1\r\na\n"), LONGER },
    { TEXT_AND_LEN("1\r\nab"), LONGER },
    { TEXT_AND_LEN("1\r\na\r\r"), LONGER },
    { TEXT_AND_LEN("1\r\na\r\n\r"), SIZE },
    { TEXT_AND_LEN("8000000000000000"), LARGE },
    { TEXT_AND_LEN("ffffffffffffffff"), LARGE },
    { TEXT_AND_LEN("00000000000000001"), LARGE },
};

START_TEST(chunks_bad)
{
    const char *text = bad_chunks[_i].text;
    size_t len = bad_chunks[_i].len;
    usher_http1_chunks_t whole = { 0 }, bytes = { 0 };
    const char *why = "";
    char data[64];
    size_t used = 0, data_len = 0, n;

    ck_assert_int_eq(read_chunks(&whole, text, len, &used, data, &data_len, &why), BAD);
    ck_assert_str_eq(why, bad_chunks[_i].why);
    used = data_len = 0;
    for (n = 1; n < len; ++n) {
        ck_assert_int_eq(read_chunks(&bytes, text, 1, &used, data, &data_len, &why), MORE);
    }
    ck_assert_int_eq(read_chunks(&bytes, text, 1, &used, data, &data_len, &why), BAD);
    ck_assert_str_eq(why, bad_chunks[_i].why);
}
END_TEST

/* Extensions are limited, each line on its own. */
START_TEST(chunks_line_limit)
{
    usher_http1_chunks_t chunks = { 0 };
    char line[4098], data[8];
    const char *why = "";
    size_t used = 0, data_len = 0;

    memset(line, 'x', sizeof(line));
    line[0] = '1';
    line[1] = ';';
    line[4094] = '\r';
    line[4095] = '\n';
    ck_assert_int_eq(read_chunks(&chunks, line, 4097, &used, data, &data_len, &why), MORE);
    ck_assert_uint_eq(data_len, 1);
    used = 0;
    ck_assert_int_eq(read_chunks(&chunks, "\r\n", 2, &used, data, &data_len, &why), MORE);
    line[4094] = line[4095] = 'x';
    used = 0;
    ck_assert_int_eq(read_chunks(&chunks, line, 4096, &used, data, &data_len, &why), MORE);
    ck_assert_int_eq(read_chunks(&chunks, line, 1, &used, data, &data_len, &why), BAD);
    ck_assert_str_eq(why, "chunk line too long");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http1_chunks");
    TCase *tc = tcase_create("chunks");

    tcase_add_loop_test(tc, chunks_every_split, 0, UNIT_COUNT(chunked));
    tcase_add_test(tc, chunks_end);
    tcase_add_test(tc, chunks_largest);
    tcase_add_loop_test(tc, chunks_bad, 0, UNIT_COUNT(bad_chunks));
    tcase_add_test(tc, chunks_line_limit);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
