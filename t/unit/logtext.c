#include <stdio.h>

#include "unit.h"
#include "usher_logtext.h"

#define SIZE 4096

typedef struct {
    const char *bytes;
    apr_size_t len;
    const char *quoted, *bare, *cookie, *haproxy, *haproxy_bare, *json;
} row_t;

#define BYTES(text) text, sizeof(text) - 1
#define SAME(text) text, text, text, text, text, "\"" text "\""

static const row_t rows[] = {
    { BYTES(""), SAME("") },
    { BYTES("abc-_.~:;,+=&%$!@()[]<>*?^`'"), SAME("abc-_.~:;,+=&%$!@()[]<>*?^`'") },
    { BYTES("a long text without anything special"),
      "a long text without anything special",
      "a\\x20long\\x20text\\x20without\\x20anything\\x20special",
      "a\\x20long\\x20text\\x20without\\x20anything\\x20special",
      "a long text without anything special",
      "a#20long#20text#20without#20anything#20special",
      "\"a long text without anything special\"" },
    { BYTES("\""), "\\\"", "\\\"", "\\\"", "#22", "#22", "\"\\\"\"" },
    { BYTES("\\"), "\\\\", "\\\\", "\\\\", "\\", "\\", "\"\\\\\"" },
    { BYTES("#"), "#", "#", "#", "#23", "#23", "\"#\"" },
    { BYTES("/"), "/", "/", "\\x2F", "/", "/", "\"/\"" },
    { BYTES("{|}"), "{|}", "\\x7B\\x7C\\x7D", "\\x7B\\x7C\\x7D", "{|}", "#7B#7C#7D", "\"{|}\"" },
    { BYTES("\0"), "\\x00", "\\x00", "\\x00", "#00", "#00", "\"\\u0000\"" },
    { BYTES("a\r\nb"), "a\\x0D\\x0Ab", "a\\x0D\\x0Ab", "a\\x0D\\x0Ab", "a#0D#0Ab", "a#0D#0Ab",
      "\"a\\u000D\\u000Ab\"" },
    { BYTES("\x1b[0m"), "\\x1B[0m", "\\x1B[0m", "\\x1B[0m", "#1B[0m", "#1B[0m", "\"\\u001B[0m\"" },
    { BYTES("\x7f"), "\\x7F", "\\x7F", "\\x7F", "#7F", "#7F", "\"\\u007F\"" },
    { BYTES("\xe9"), "\\xE9", "\\xE9", "\\xE9", "#E9", "#E9", "\"\\u00E9\"" },
    { BYTES("\xc3\xa9"), "\\xC3\\xA9", "\\xC3\\xA9", "\\xC3\\xA9", "#C3#A9", "#C3#A9",
      "\"\xc3\xa9\"" },
    { BYTES("1234567\x01"), "1234567\\x01", "1234567\\x01", "1234567\\x01", "1234567#01",
      "1234567#01", "\"1234567\\u0001\"" },
};

/* UTF-8 that is none, and what is valid but obeyed by terminals */
static const struct {
    const char *bytes;
    apr_size_t len;
    const char *json;
} utf8[] = {
    { BYTES("\xe2\x82\xac"), "\"\xe2\x82\xac\"" },
    { BYTES("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\"" },
    { BYTES("\xf4\x8f\xbf\xbf"), "\"\xf4\x8f\xbf\xbf\"" },
    { BYTES("\xf4\x90\x80\x80"), "\"\\u00F4\\u0090\\u0080\\u0080\"" },
    { BYTES("\xf5\x80\x80\x80"), "\"\\u00F5\\u0080\\u0080\\u0080\"" },
    { BYTES("\xc0\xaf"), "\"\\u00C0\\u00AF\"" },
    { BYTES("\xc1\xbf"), "\"\\u00C1\\u00BF\"" },
    { BYTES("\xe0\x9f\xbf"), "\"\\u00E0\\u009F\\u00BF\"" },
    { BYTES("\xe0\xa0\x80"), "\"\xe0\xa0\x80\"" },
    { BYTES("\xed\x9f\xbf"), "\"\xed\x9f\xbf\"" },
    { BYTES("\xed\xa0\x80"), "\"\\u00ED\\u00A0\\u0080\"" },
    { BYTES("\xf0\x8f\xbf\xbf"), "\"\\u00F0\\u008F\\u00BF\\u00BF\"" },
    { BYTES("\xe2\x82"), "\"\\u00E2\\u0082\"" },
    { BYTES("\xe2\x82x"), "\"\\u00E2\\u0082x\"" },
    { BYTES("\xc3"), "\"\\u00C3\"" },
    { BYTES("\x80"), "\"\\u0080\"" },
    { BYTES("\xc2\x9b" "0m"), "\"\\u009B0m\"" },
    { BYTES("\xc2\xa0"), "\"\xc2\xa0\"" },
};

static void is_text(const usher_logtext_t *to, const char *expected)
{
    ck_assert_uint_eq(to->len, strlen(expected));
    ck_assert_int_eq(memcmp(to->text, expected, to->len), 0);
}

static void is_escaped(const row_t *row, usher_logtext_e where, const char *expected)
{
    char text[SIZE];
    usher_logtext_t to = { text, sizeof(text), 0 };
    char *bytes = unit_copy(row->bytes, row->len);

    usher_logtext_escape(&to, bytes, row->len, where);
    is_text(&to, expected);
    free(bytes);
}

START_TEST(escape)
{
    const row_t *row = &rows[_i];
    char text[SIZE];
    usher_logtext_t to = { text, sizeof(text), 0 };

    is_escaped(row, USHER_LOGTEXT_QUOTED, row->quoted);
    is_escaped(row, USHER_LOGTEXT_BARE, row->bare);
    is_escaped(row, USHER_LOGTEXT_COOKIE, row->cookie);
    is_escaped(row, USHER_LOGTEXT_HAPROXY, row->haproxy);
    is_escaped(row, USHER_LOGTEXT_HAPROXY_BARE, row->haproxy_bare);
    usher_logtext_json(&to, row->bytes, row->len);
    is_text(&to, row->json);
}
END_TEST

START_TEST(json)
{
    char text[SIZE];
    usher_logtext_t to = { text, sizeof(text), 0 };
    char *bytes = unit_copy(utf8[_i].bytes, utf8[_i].len);

    usher_logtext_json(&to, bytes, utf8[_i].len);
    is_text(&to, utf8[_i].json);
    free(bytes);
}
END_TEST

static void escape_all(usher_logtext_t *to, const char *bytes, apr_size_t len, int where)
{
    if (where > USHER_LOGTEXT_HAPROXY_BARE) {
        usher_logtext_json(to, bytes, len);
    }
    else {
        usher_logtext_escape(to, bytes, len, (usher_logtext_e)where);
    }
}

/* Each byte alone and at each place of texts that are looked at in eights: what it becomes hangs
 * on nothing beside it. The last one is JSON. */
START_TEST(every_byte)
{
    char bytes[17], alone[8] = { 0 }, whole[SIZE] = { 0 };
    apr_size_t len, at, quotes = _i > USHER_LOGTEXT_HAPROXY_BARE;
    int c;

    for (c = 0; c < 256; ++c) {
        usher_logtext_t one = { alone, sizeof(alone), 0 };
        char byte = (char)c;

        escape_all(&one, &byte, 1, _i);
        for (len = 1; len <= 17; ++len) {
            for (at = 0; at < len; ++at) {
                usher_logtext_t to = { whole, sizeof(whole), 0 };
                char *copy;

                memset(bytes, 'x', sizeof(bytes));
                bytes[at] = byte;
                copy = unit_copy(bytes, len);
                escape_all(&to, copy, len, _i);
                ck_assert_uint_eq(to.len, len - 1 + one.len);
                ck_assert(!memcmp(to.text + at + quotes, alone + quotes, one.len - 2 * quotes));
                ck_assert(!memcmp(to.text + quotes, bytes, at));
                ck_assert(!memcmp(to.text + at + one.len - quotes, bytes + at + 1, len - 1 - at));
                free(copy);
            }
        }
    }
}
END_TEST

START_TEST(quoted_bytes)
{
    char alone[8] = { 0 };
    int c;

    for (c = 0; c < 256; ++c) {
        usher_logtext_t one = { alone, sizeof(alone), 0 };
        char byte = (char)c;

        usher_logtext_escape(&one, &byte, 1, USHER_LOGTEXT_QUOTED);
        ck_assert_uint_eq(one.len, c == '"' || c == '\\' ? 2 : c >= ' ' && c <= '~' ? 1 : 4);
    }
}
END_TEST

static const apr_int64_t numbers[] = {
    0, 1, 9, 10, 11, 99, 100, 101, 12345, 999999, 1000000, 4294967296, APR_INT64_MAX,
};

START_TEST(number)
{
    char text[64], expected[64];
    usher_logtext_t to = { text, sizeof(text), 0 };

    usher_logtext_number(&to, numbers[_i]);
    snprintf(expected, sizeof(expected), "%" APR_INT64_T_FMT, numbers[_i]);
    is_text(&to, expected);
    to.len = 0;
    usher_logtext_padded(&to, (apr_uint64_t)numbers[_i], 6);
    snprintf(expected, sizeof(expected), "%06" APR_INT64_T_FMT, numbers[_i]);
    is_text(&to, expected);
    to.len = 0;
    usher_logtext_number(&to, -1 - numbers[_i]);
    is_text(&to, "-");
}
END_TEST

/* Into buffers that are too small: all is counted, nothing is written behind the end. */
START_TEST(small)
{
    static const char bytes[] = "a \"quoted\" text \x01 and \xc3\xa9";
    char whole[SIZE];
    usher_logtext_t all = { whole, sizeof(whole), 0 };
    apr_size_t size;

    usher_logtext_json(&all, bytes, sizeof(bytes) - 1);
    usher_logtext_number(&all, 12345);
    usher_logtext_char(&all, '!');
    for (size = 0; size <= all.len; ++size) {
        char *text = malloc(size ? size : 1);
        usher_logtext_t to = { text, size, 0 };

        usher_logtext_json(&to, bytes, sizeof(bytes) - 1);
        usher_logtext_number(&to, 12345);
        usher_logtext_char(&to, '!');
        ck_assert_uint_eq(to.len, all.len);
        ck_assert(size < all.len || !memcmp(text, whole, size));
        free(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("logtext");
    TCase *tc = tcase_create("logtext");

    tcase_add_loop_test(tc, escape, 0, UNIT_COUNT(rows));
    tcase_add_loop_test(tc, json, 0, UNIT_COUNT(utf8));
    tcase_add_loop_test(tc, every_byte, 0, USHER_LOGTEXT_HAPROXY_BARE + 2);
    tcase_add_test(tc, quoted_bytes);
    tcase_add_loop_test(tc, number, 0, UNIT_COUNT(numbers));
    tcase_add_test(tc, small);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
