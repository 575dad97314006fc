#include "unit.h"
#include "usher_base64.h"

/* RFC 4648, 10, and what tells the alphabets apart. */
static const struct {
    const char *bytes;
    const char *text;
} cases[] = {
    { "", "" },
    { "f", "Zg" },
    { "fo", "Zm8" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg" },
    { "fooba", "Zm9vYmE" },
    { "foobar", "Zm9vYmFy" },
    { "\xfb\xff\xbf", "-_-_" },
    { "\xff\xff", "__8" },
};

START_TEST(both_ways)
{
    apr_size_t len = strlen(cases[_i].bytes), size = USHER_BASE64_SIZE(len);
    char *text = malloc(size + 1);
    unsigned char *bytes = malloc(len + 1);

    ck_assert_uint_eq(size, strlen(cases[_i].text));
    usher_base64_encode(text, (const unsigned char *)cases[_i].bytes, len);
    ck_assert_mem_eq(text, cases[_i].text, size);
    ck_assert_int_eq(usher_base64_decode(bytes, len, text), 1);
    ck_assert_mem_eq(bytes, cases[_i].bytes, len);
    free(text);
    free(bytes);
}
END_TEST

static const struct {
    apr_size_t len;
    const char *text;
} bad[] = {
    { 1, "Zh" }, { 1, "Zo" }, { 1, "Z=" }, { 1, "Z\xff" }, { 1, "Z\0" }, { 1, " Z" },
    { 2, "Zm9" }, { 2, "Zm=" }, { 2, "m8Z" },
    { 3, "Zm9+" }, { 3, "Zm/v" }, { 3, "Z 9v" }, { 3, "=m9v" }, { 3, "Zm9\n" }, { 3, "Zm\x80v" },
};

START_TEST(refused)
{
    unsigned char bytes[3];
    apr_size_t size = USHER_BASE64_SIZE(bad[_i].len);
    char *text = unit_copy(bad[_i].text, size);

    ck_assert_int_eq(usher_base64_decode(bytes, bad[_i].len, text), 0);
    free(text);
}
END_TEST

/* No two texts give the same bytes. */
START_TEST(canonical)
{
    unsigned char bytes[2];
    char text[3], again[3];
    int a, b, c, good = 0;

    for (a = 0; a < 256; ++a) {
        for (b = 0; b < 256; b += 3) {
            for (c = 0; c < 256; ++c) {
                text[0] = (char)a;
                text[1] = (char)b;
                text[2] = (char)c;
                if (usher_base64_decode(bytes, 2, text)) {
                    ++good;
                    usher_base64_encode(again, bytes, 2);
                    ck_assert_mem_eq(again, text, 3);
                }
            }
        }
    }
    ck_assert_int_gt(good, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base64");
    TCase *tc = tcase_create("base64");

    tcase_add_loop_test(tc, both_ways, 0, UNIT_COUNT(cases));
    tcase_add_loop_test(tc, refused, 0, UNIT_COUNT(bad));
    tcase_add_test(tc, canonical);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
