/* Prefixes of addresses: what is one, and sets of them, up to a million. */
#include "unit.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "usher_cidr_list.h"

static usher_cidr_address_t address(const char *text)
{
    unsigned char bytes[16];

    if (inet_pton(AF_INET, text, bytes) == 1) {
        return usher_cidr_address(bytes, 4);
    }
    ck_assert_int_eq(inet_pton(AF_INET6, text, bytes), 1);
    return usher_cidr_address(bytes, 16);
}

static const struct {
    const char *text, *first, *last, *outside;
} good[] = {
    { "10.0.0.5", "10.0.0.5", "10.0.0.5", "10.0.0.6" },
    { "10.0.0.5/32", "10.0.0.5", "::ffff:10.0.0.5", "10.0.0.4" },
    { "10.0.0.0/8", "10.0.0.0", "10.255.255.255", "11.0.0.0" },
    { "0.0.0.0/0", "0.0.0.0", "255.255.255.255", "::1:0:0:0" },
    { "128.0.0.0/1", "128.0.0.0", "255.255.255.255", "127.255.255.255" },
    { "::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
    { "2001:db8::/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::" },
    { "2001:db8::/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::" },
    { "2001:db8::/65", "2001:db8::", "2001:db8::7fff:ffff:ffff:ffff", "2001:db8::8000:0:0:0" },
    { "fe80::/10", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::" },
    { "::1", "::1", "::1", "::2" },
    { "::ffff:10.0.0.0/104", "10.0.0.0", "10.255.255.255", "11.0.0.0" },
    { "::ffff:0:0/96", "0.0.0.0", "255.255.255.255", "::fffe:ffff:ffff" },
};

START_TEST(parse)
{
    apr_size_t len = strlen(good[_i].text);
    char *copy = unit_copy(good[_i].text, len);
    usher_cidr_range_t range;

    ck_assert(usher_cidr_parse(&range, copy, len));
    ck_assert(usher_cidr_range_has(&range, address(good[_i].first)));
    ck_assert(usher_cidr_range_has(&range, address(good[_i].last)));
    ck_assert(!good[_i].outside || !usher_cidr_range_has(&range, address(good[_i].outside)));
    free(copy);
}
END_TEST

static const char *const bad[] = {
    "", "/", "/8", "10", "10.0.0", "10.0.0.0.0", "10.0.0.256", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/8 ",
    " 10.0.0.0/8", "10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.1/8", "10.0.0.0/255.0.0.0", "0x0a.0.0.1", "010.0.0.1",
    "127.1", "::/129", "2001:db8::1/64", "2001:db8::8000:0:0:0/64", "fe80::1%lo", "[::1]", "::1::", "1:2:3:4:5:6:7:8:9",
    "::ffff:10.0.0.1/104", "localhost", "all", "2001:0db8:0000:0000:0000:0000:0000:0000:0000:0000:0000",
};

START_TEST(refused)
{
    apr_size_t len = strlen(bad[_i]);
    char *copy = unit_copy(bad[_i], len);
    usher_cidr_range_t range;

    ck_assert_msg(!usher_cidr_parse(&range, copy, len), "%s", bad[_i]);
    free(copy);
}
END_TEST

START_TEST(zero_byte)
{
    usher_cidr_range_t range;

    ck_assert(!usher_cidr_parse(&range, "10.0.0.1\0", 9));
    ck_assert(!usher_cidr_parse(&range, "10.0.0.1\0/8", 11));
}
END_TEST

START_TEST(list)
{
    static const char text[] = "# mine\n10.0.0.0/8,10.1.2.3 \t::1\r\n\n2001:db8::/32#x\n  #\nnone # 1.2.3.4\n"
                               "; 3.3.3.3\n1.1.1.1 ; 2.2.2.2";
    static const int results[] = { 1, 1, 1, 1, -1, 1, 0, 0 };
    apr_size_t len = strlen(text);
    char *copy = unit_copy(text, len);
    const char *at = copy;
    usher_cidr_range_t range;
    int i;

    for (i = 0; i < UNIT_COUNT(results); ++i) {
        ck_assert_int_eq(usher_cidr_next(&range, &at, &len), results[i]);
    }
    ck_assert(usher_cidr_range_has(&range, address("1.1.1.1")));
    free(copy);
}
END_TEST

static usher_cidr_set_t *set_of(const char *text)
{
    usher_cidr_range_t ranges[64];
    apr_size_t len = strlen(text), count = 0;
    usher_cidr_set_t *set;

    while (usher_cidr_next(&ranges[count], &text, &len) == 1) {
        ++count;
    }
    set = malloc(usher_cidr_set_size(count));
    usher_cidr_set_make(set, ranges, count);
    return set;
}

static const struct {
    const char *text;
    unsigned int count;
    const char *has[4], *has_not[4];
} sets[] = {
    { "", 0, { NULL }, { "0.0.0.0", "::", "255.255.255.255" } },
    { "10.0.0.0/8", 1, { "10.0.0.0", "10.9.8.7", "::ffff:10.1.1.1" }, { "9.255.255.255", "11.0.0.0", "::", "::10.1.1.1" } },
    { "10.0.0.0/8 10.1.0.0/16 10.1.2.3", 1, { "10.1.2.3", "10.2.0.0" }, { "11.0.0.0" } },
    { "10.1.2.3 10.1.0.0/16 10.0.0.0/8", 1, { "10.1.2.3", "10.200.0.0" }, { "11.0.0.0" } },
    { "10.0.0.1 10.0.0.0", 1, { "10.0.0.0", "10.0.0.1" }, { "10.0.0.2", "9.255.255.255" } },
    { "10.0.0.2 10.0.0.0", 2, { "10.0.0.0", "10.0.0.2" }, { "10.0.0.1", "10.0.0.3" } },
    { "::/0 10.0.0.1 ::1", 1, { "::", "10.0.0.0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" }, { NULL } },
    { "ffff::/16 ::1 ffff::1", 2, { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1" }, { "::", "fffe::" } },
    { "2001:db8:0:1::/64 2001:db8::/64", 1, { "2001:db8::1", "2001:db8:0:1::" }, { "2001:db8:0:2::" } },
};

START_TEST(small_sets)
{
    usher_cidr_set_t *set = set_of(sets[_i].text);
    int i;

    ck_assert_uint_eq(set->count, sets[_i].count);
    for (i = 0; i < 4; ++i) {
        ck_assert(!sets[_i].has[i] || usher_cidr_set_has(set, address(sets[_i].has[i])));
        ck_assert(!sets[_i].has_not[i] || !usher_cidr_set_has(set, address(sets[_i].has_not[i])));
    }
    free(set);
}
END_TEST

/* Each number of ranges up to some marks: every other address is in. */
START_TEST(sizes)
{
    apr_size_t count, i;

    for (count = 0; count < 200; ++count) {
        usher_cidr_range_t *ranges = malloc((count + 1) * sizeof(*ranges));
        usher_cidr_set_t *set = malloc(usher_cidr_set_size(count));

        for (i = 0; i < count; ++i) {
            ranges[count - 1 - i].first = ranges[count - 1 - i].last = (usher_cidr_address_t) { 7, 2 * i + 1 };
        }
        usher_cidr_set_make(set, ranges, count);
        ck_assert_uint_eq(set->count, count);
        for (i = 0; i < 2 * count + 3; ++i) {
            ck_assert_int_eq(usher_cidr_set_has(set, (usher_cidr_address_t) { 7, i }), i % 2 && i < 2 * count);
        }
        free(ranges);
        free(set);
    }
}
END_TEST

static apr_uint64_t scramble(apr_uint64_t x)
{
    x ^= x >> 31;
    x *= APR_UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 29;
}

/* A million, half of them IPv4: they are found, and their neighbours are not. */
START_TEST(million)
{
    enum { COUNT = 1000000 };
    usher_cidr_range_t *ranges = malloc(COUNT * sizeof(*ranges));
    usher_cidr_set_t *set = malloc(usher_cidr_set_size(COUNT));
    apr_uint64_t i;

    for (i = 0; i < COUNT; ++i) {
        /* /30 of IPv4, and /64: those of even numbers alone, so that none touches another one. */
        apr_uint64_t n = scramble(i) & ~(apr_uint64_t)1;

        if (i % 2) {
            ranges[i].first = (usher_cidr_address_t) { 0, APR_UINT64_C(0xffff00000000) | ((n << 2) & 0xffffffff) };
            ranges[i].last = ranges[i].first;
            ranges[i].last.low |= 3;
        }
        else {
            ranges[i].first = (usher_cidr_address_t) { n | APR_UINT64_C(0x2000) << 48, 0 };
            ranges[i].last = (usher_cidr_address_t) { ranges[i].first.high, ~(apr_uint64_t)0 };
        }
    }
    usher_cidr_set_make(set, ranges, COUNT);
    ck_assert_uint_gt(set->count, COUNT * 9 / 10);
    for (i = 0; i < COUNT; i += 7) {
        usher_cidr_address_t next = ranges[i].last;

        ck_assert(usher_cidr_set_has(set, ranges[i].first) && usher_cidr_set_has(set, ranges[i].last));
        ++next.low;
        next.high += !next.low;
        ck_assert(!usher_cidr_set_has(set, next));
    }
    free(ranges);
    free(set);
}
END_TEST

static const struct {
    const char *range;
    int meets;
} meetings[] = {
    { "10.0.0.0/8", 1 }, { "10.1.0.0/16", 1 }, { "10.1.2.0/24", 1 }, { "10.1.2.3", 1 }, { "10.1.2.4", 0 },
    { "10.1.4.0/22", 0 }, { "9.0.0.0/8", 0 }, { "0.0.0.0/0", 1 }, { "::/0", 1 }, { "::/16", 1 },
    { "192.0.2.128/25", 1 }, { "192.0.3.0/24", 0 }, { "2001:db8::/64", 1 }, { "2001:db8:1::/64", 0 },
    { "2001::/16", 1 }, { "ff00::/8", 0 },
};

START_TEST(meets)
{
    usher_cidr_set_t *set = set_of("10.1.2.3 192.0.2.0/24 2001:db8::/48"), *none = set_of("");
    usher_cidr_range_t range;

    ck_assert(usher_cidr_parse(&range, meetings[_i].range, strlen(meetings[_i].range)));
    ck_assert_int_eq(usher_cidr_set_meets(set, &range), meetings[_i].meets);
    ck_assert(!usher_cidr_set_meets(none, &range));
    free(set);
    free(none);
}
END_TEST

static const struct {
    const char *text;
    int count;           /* -1: wrong */
    int line, is_wide;
    const char *wrong;
} files[] = {
    { "", 0, 0, 0, NULL },
    { "# nobody\n; at all\n\n", 0, 0, 0, NULL },
    { "192.0.2.0/24 ; SBL1\n2001:db8::/32 ; SBL2\n", 2, 0, 0, NULL },
    { "10.0.0.0/8\n11.0.0.1\r\n2001::/16", 3, 0, 0, NULL },
    { "10.0.0.0/8\n\n10.0.0.1/8", -1, 3, 0, "10.0.0.1/8" },
    { "10.0.0.0/8\n<html>\n", -1, 2, 0, "<html>" },
    { "10.0.0.0/8 x\x01y\xff", -1, 1, 0, "x?y?" },
    { "#\n 0.0.0.0/0 1.1.1.1", -1, 2, 1, "0.0.0.0/0" },
    { "8.0.0.0/7", -1, 1, 1, "8.0.0.0/7" },
    { "::ffff:0:0/96", -1, 1, 1, "::ffff:0:0/96" },
    { "::/16", -1, 1, 1, "::/16" },
    { "2000::/15", -1, 1, 1, "2000::/15" },
    { "::/0", -1, 1, 1, "::/0" },
    { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", -1, 1, 0,
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
};

START_TEST(file)
{
    apr_size_t len = strlen(files[_i].text), count = 99;
    char *copy = unit_copy(files[_i].text, len);
    usher_cidr_range_t ranges[8];
    usher_cidr_wrong_t wrong;
    int is_good = usher_cidr_list_read(copy, len, 1, ranges, &count, &wrong);

    ck_assert_int_eq(is_good, files[_i].count >= 0);
    if (is_good) {
        ck_assert_uint_eq(count, files[_i].count);
    }
    else {
        ck_assert_uint_eq(wrong.line, files[_i].line);
        ck_assert_int_eq(wrong.is_wide, files[_i].is_wide);
        ck_assert_str_eq(wrong.text, files[_i].wrong);
        ck_assert_int_eq(usher_cidr_list_read(copy, len, 0, NULL, &count, &wrong), wrong.is_wide);
    }
    free(copy);
}
END_TEST

/* Whatever bytes are taken for one, no look into it leaves them. */
START_TEST(garbage)
{
    usher_cidr_set_t *set = set_of("10.1.2.3 192.0.2.0/24 2001:db8::/48");
    apr_size_t size = usher_cidr_set_size(3), len;
    usher_cidr_set_t *copy;
    int i;

    ck_assert(usher_cidr_set_check(set, size));
    ck_assert(usher_cidr_set_check(set, size + 5));
    for (len = 0; len < size; ++len) {
        copy = (usher_cidr_set_t *)unit_copy(set, len);
        ck_assert(!usher_cidr_set_check(copy, len));
        free(copy);
    }
    for (i = 0; i < 64; ++i) {
        copy = (usher_cidr_set_t *)unit_copy(set, size);
        copy->count = APR_UINT64_C(1) << i | (i & 1);
        ck_assert(!usher_cidr_set_check(copy, size) || copy->count <= 3);
        copy->count = 3;
        copy->marks = APR_UINT64_C(1) << i;
        ck_assert_int_eq(usher_cidr_set_check(copy, size), i == 0);
        free(copy);
    }
    free(set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cidr");
    TCase *tests = tcase_create("cidr");

    tcase_add_loop_test(tests, parse, 0, UNIT_COUNT(good));
    tcase_add_loop_test(tests, refused, 0, UNIT_COUNT(bad));
    tcase_add_test(tests, zero_byte);
    tcase_add_test(tests, list);
    tcase_add_loop_test(tests, small_sets, 0, UNIT_COUNT(sets));
    tcase_add_loop_test(tests, meets, 0, UNIT_COUNT(meetings));
    tcase_add_loop_test(tests, file, 0, UNIT_COUNT(files));
    tcase_add_test(tests, garbage);
    tcase_add_test(tests, sizes);
    tcase_add_test(tests, million);
    tcase_set_timeout(tests, 120);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
