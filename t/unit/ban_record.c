/* A ban as the store has it: written, read, read in another boot and by another clock; and
 * what is no ban is refused. */
#include "unit.h"

#include <apr_strings.h>

#include "ban_record.h"
#include "usher_duration.h"

#define BOOT_A "11111111-2222-3333-4444-555555555555"
#define BOOT_B "99999999-2222-3333-4444-555555555555"

static apr_time_t boot, utc; /* s */
static const char *id;

static apr_time_t stub_boot_now(void)
{
    return boot * APR_USEC_PER_SEC;
}

static apr_time_t stub_utc_now(void)
{
    return utc * APR_USEC_PER_SEC;
}

static void stub_boot_id(char text[USHER_BOOT_ID_SIZE])
{
    apr_cpystrn(text, id, USHER_BOOT_ID_SIZE);
}

static const usher_clock_t stub = { stub_boot_now, stub_utc_now, stub_boot_id };

static void at(const char *boot_id, apr_time_t boot_now, apr_time_t utc_now)
{
    id = boot_id;
    boot = boot_now;
    utc = utc_now;
}

/* Of an hour, a day remembered; the third one, begun ten minutes ago at 1000 s. */
static ban_t sample(const char *prefix)
{
    ban_t ban = { .since = 400000, .until = 4000000, .forget_at = 90400000, .version = 7, .events = 6,
                  .times = 3, .name = "wp", .why = "GET /wp-login.php 404 why=x \\xff" };

    ck_assert_int_eq(ban_prefix_parse(&ban.prefix, prefix, strlen(prefix)), 1);
    return ban;
}

static const struct {
    const char *text, *shown; /* NULL: it is none */
} prefixes[] = {
    { "192.0.2.1", "192.0.2.1" },
    { "192.0.2.1/32", "192.0.2.1" },
    { "::ffff:192.0.2.1", "192.0.2.1" },
    { "192.0.2.0/24", "192.0.2.0/24" },
    { "::ffff:192.0.2.0/120", "192.0.2.0/24" },
    { "10.0.0.0/8", "10.0.0.0/8" },
    { "2001:DB8:0:0::/64", "2001:db8::/64" },
    { "2001:db8::1", "2001:db8::1" },
    { "2001:db8::1/128", "2001:db8::1" },
    { "2001::/16", "2001::/16" },
    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127" },
    { "::/97", "::/97" },
    /* too wide */
    { "10.0.0.0/7", NULL },
    { "0.0.0.0/0", NULL },
    { "2000::/15", NULL },
    { "::/0", NULL },
    /* what holds all of IPv4 */
    { "::/16", NULL },
    { "::/64", NULL },
    { "::ffff:0:0/95", NULL },
    { "::fffe:0:0/95", NULL },
    { "::ffff:0:0/96", NULL },
    /* none at all */
    { "192.0.2.1/24", NULL },
    { "192.0.2.1/33", NULL },
    { "192.0.2", NULL },
    { "www.example.com", NULL },
    { "", NULL },
};

START_TEST(prefix)
{
    apr_size_t len = strlen(prefixes[_i].text);
    char *copy = unit_copy(prefixes[_i].text, len), text[BAN_PREFIX_SIZE];
    ban_prefix_t one;

    ck_assert_msg(ban_prefix_parse(&one, copy, len) == !!prefixes[_i].shown, "%s", prefixes[_i].text);
    if (prefixes[_i].shown) {
        ck_assert_str_eq(ban_prefix_format(text, &one), prefixes[_i].shown);
    }
    free(copy);
}
END_TEST

/* A child can write anything there. */
START_TEST(prefix_of_garbage)
{
    char text[BAN_PREFIX_SIZE];
    ban_prefix_t one;

    memset(&one, 0xff, sizeof(one));
    ck_assert_uint_lt(strlen(ban_prefix_format(text, &one)), BAN_PREFIX_SIZE);
}
END_TEST

#define WHO "by=rule name=wp times=3 events=6 "
#define TIMES "since=90000000 until=86400000 "
#define MOMENT "left=89400000000us utc=1970-01-12T13:46:40.000000+00:00 up=1000000000us boot=" BOOT_A
#define WHY " why=GET /wp-login.php 404 why=x \\xff"

START_TEST(both_ways)
{
    ban_t ban = sample("192.0.2.1"), again;
    char value[BAN_RECORD_SIZE], once_more[BAN_RECORD_SIZE];

    at(BOOT_A, 1000, 1000000);
    ck_assert_int_eq(ban_record_write(value, &ban, &stub), 1);
    ck_assert_str_eq(value, WHO TIMES MOMENT WHY);
    ck_assert_int_eq(ban_record_read(&again, "192.0.2.1", value, &stub), 1);
    ban.version = 0;
    ck_assert_mem_eq(&again, &ban, sizeof(ban));
    ck_assert_int_eq(ban_record_write(once_more, &again, &stub), 1);
    ck_assert_str_eq(once_more, value);
}
END_TEST

/* Written at boot clock 1000 s, UTC 1,000,000 s: 3000 s of the ban are left. */
static const struct {
    const char *what, *id;
    apr_time_t boot, utc;
    apr_int64_t left; /* s, of the ban */
    int keeps;        /* it is still to be remembered: all distances are what they were */
} clocks[] = {
    { "same boot, 1000 s later", BOOT_A, 2000, 1001000, 2000, 1 },
    { "same boot, UTC a year ahead", BOOT_A, 2000, 32536000, 2000, 1 },
    { "same boot, UTC far behind", BOOT_A, 2000, 5, 2000, 1 },
    { "same boot, over, but remembered", BOOT_A, 5000, 1000000, -1000, 1 },
    { "other boot, 1000 s later", BOOT_B, 10, 1001000, 2000, 1 },
    { "other boot, UTC behind: not longer than it was", BOOT_B, 10, 5, 3000, 1 },
    { "other boot, over, but remembered", BOOT_B, 10, 1010000, -7000, 1 },
    { "other boot, a year later: all is over", BOOT_B, 10, 32536000, -86400, 0 },
};

START_TEST(other_clock)
{
    ban_t ban = sample("192.0.2.1"), again;
    char value[BAN_RECORD_SIZE];

    at(BOOT_A, 1000, 1000000);
    ck_assert_int_eq(ban_record_write(value, &ban, &stub), 1);
    at(clocks[_i].id, clocks[_i].boot, clocks[_i].utc);
    ck_assert_int_eq(ban_record_read(&again, "192.0.2.1", value, &stub), 1);
    ck_assert_msg(again.until - boot * 1000 == clocks[_i].left * 1000, "%s: %ld ms left", clocks[_i].what,
                  (long)(again.until - boot * 1000));
    ck_assert_int_eq(again.forget_at - again.until, 86400000);
    ck_assert_int_eq(again.until - again.since, 3600000);
    ck_assert_int_eq(again.forget_at > boot * 1000, clocks[_i].keeps);
}
END_TEST

START_TEST(forever)
{
    ban_t ban = sample("2001:db8::/64"), again;
    char value[BAN_RECORD_SIZE];

    ban.origin = BAN_BY_HAND;
    ban.until = ban.forget_at = BAN_FOREVER;
    *ban.why = '\0';
    at(BOOT_A, 1000, 1000000);
    ck_assert_int_eq(ban_record_write(value, &ban, &stub), 1);
    at(BOOT_B, 50, 1001000);
    ck_assert_int_eq(ban_record_read(&again, "2001:db8::/64", value, &stub), 1);
    ck_assert_int_eq(again.until, BAN_FOREVER);
    ck_assert_int_eq(again.forget_at, BAN_FOREVER);
    ck_assert_int_eq(again.since, 50000 - 1000000 - 600000);
    ck_assert_int_eq(again.origin, BAN_BY_HAND);
    ck_assert_str_eq(again.why, "");
}
END_TEST

/* Remembered for ever is remembered for as long as anything is. */
START_TEST(long_memory)
{
    ban_t ban = sample("192.0.2.1"), again;
    char value[BAN_RECORD_SIZE];

    ban.forget_at = BAN_FOREVER;
    at(BOOT_A, 1000, 1000000);
    ck_assert_int_eq(ban_record_write(value, &ban, &stub), 1);
    ck_assert_int_eq(ban_record_read(&again, "192.0.2.1", value, &stub), 1);
    ck_assert_int_eq(again.until, ban.until);
    ck_assert_int_eq(again.forget_at, 1000000 + USHER_DURATION_MAX / 1000);
}
END_TEST

/* What a child has made of shared memory is not written. */
static void spoil(ban_t *ban, int how)
{
    switch (how) {
    case 0: ban->is_trial = 1; break;
    case 1: memset(ban->name, 'x', sizeof(ban->name)); break;
    case 2: memset(ban->why, 'x', sizeof(ban->why)); break;
    case 3: apr_cpystrn(ban->name, "a b", sizeof(ban->name)); break;
    case 4: apr_cpystrn(ban->why, "a\nb", sizeof(ban->why)); break;
    case 5: ban->prefix.bits = 200; break;
    case 6: ban->prefix.bits = 120; break; /* with bits behind it */
    case 7: ban->origin = 9; break;
    case 8: ban->times = 0; break;
    case 9: ban->since = ban->until + 1; break;
    case 10: ban->forget_at = ban->until - 1; break;
    case 11: ban->since = -APR_INT64_MAX; break;
    case 12: ban->since = ban->until = ban->forget_at = BAN_FOREVER; break;
    case 13: ban->since = ban->until = ban->forget_at = -APR_INT64_MAX; break;
    case 14: *ban->name = '\0'; break;
    default: memset(ban, 0xff, sizeof(*ban)); break;
    }
}

START_TEST(unsound)
{
    ban_t ban = sample("192.0.2.1");
    char value[BAN_RECORD_SIZE];

    at(BOOT_A, 1000, 1000000);
    spoil(&ban, _i);
    ck_assert_int_eq(ban_record_write(value, &ban, &stub), 0);
}
END_TEST

/* The end of a ban is told as any other state of it. */
START_TEST(over)
{
    ban_t ban = sample("192.0.2.1"), again;
    char value[BAN_RECORD_SIZE];

    at(BOOT_A, 100000, 1000000);
    ck_assert_int_eq(ban_record_write(value, &ban, &stub), 1);
    ck_assert_int_eq(ban_record_read(&again, "192.0.2.1", value, &stub), 1);
    ck_assert_int_eq(again.forget_at, 100000000);
    ck_assert_int_eq(again.until, 100000000 - 86400000);
}
END_TEST

START_TEST(every_prefix)
{
    const size_t whole = strlen(WHO TIMES MOMENT " why=");
    size_t len;

    at(BOOT_A, 1000, 1000000);
    for (len = 0; len < strlen(WHO TIMES MOMENT WHY); ++len) {
        char *copy = apr_cpystrn(malloc(len + 1), WHO TIMES MOMENT WHY, len + 1) - len;
        ban_t ban;

        ck_assert_int_eq(ban_record_read(&ban, "192.0.2.1", copy, &stub), len >= whole);
        free(copy);
    }
}
END_TEST

static const struct {
    const char *key, *value;
} bad[] = {
    { "192.0.2.1/24", WHO TIMES MOMENT WHY },
    { "0.0.0.0/0", WHO TIMES MOMENT WHY },
    { "::/0", WHO TIMES MOMENT WHY },
    { "", WHO TIMES MOMENT WHY },
    { "192.0.2.1", "by=dog name=wp times=3 events=6 " TIMES MOMENT WHY },
    { "192.0.2.1", "by=rule name= times=3 events=6 " TIMES MOMENT WHY },
    { "192.0.2.1", "by=rule name=a-name-that-is-too-long- times=3 events=6 " TIMES MOMENT WHY },
    { "192.0.2.1", "by=rule name=w\np times=3 events=6 " TIMES MOMENT WHY },
    { "192.0.2.1", "by=rule name=wp times=0 events=6 " TIMES MOMENT WHY },
    { "192.0.2.1", "by=rule name=wp times=65536 events=6 " TIMES MOMENT WHY },
    { "192.0.2.1", "by=rule name=wp times=3 events=4294967296 " TIMES MOMENT WHY },
    { "192.0.2.1", "by=rule name=wp times=03 events=6 " TIMES MOMENT WHY },
    { "192.0.2.1", WHO "since=1 until=2 " MOMENT WHY },
    { "192.0.2.1", WHO "since=-1 until=never " MOMENT WHY },
    { "192.0.2.1", WHO "since=99999999999999999999 until=1 " MOMENT WHY },
    { "192.0.2.1", WHO TIMES "left=1us utc=x up=1us boot=" WHY },
    { "192.0.2.1", WHO TIMES MOMENT " why=a\tb" },
    { "192.0.2.1", WHO TIMES MOMENT " why=\xc3\xa4" },
    { "192.0.2.1", WHO TIMES MOMENT " why=012345678901234567890123456789012345678901234567890123456789"
                   "01234567890123456789012345678901234567890123456789012345678901234567" },
    { "192.0.2.1", " " WHO TIMES MOMENT WHY },
};

START_TEST(refused)
{
    ban_t ban;

    at(BOOT_A, 1000, 1000000);
    ck_assert_msg(!ban_record_read(&ban, bad[_i].key, bad[_i].value, &stub), "%s: %s", bad[_i].key,
                  bad[_i].value);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ban_record");
    TCase *tc = tcase_create("ban_record");

    tcase_add_loop_test(tc, prefix, 0, UNIT_COUNT(prefixes));
    tcase_add_test(tc, prefix_of_garbage);
    tcase_add_test(tc, both_ways);
    tcase_add_loop_test(tc, other_clock, 0, UNIT_COUNT(clocks));
    tcase_add_test(tc, forever);
    tcase_add_test(tc, long_memory);
    tcase_add_loop_test(tc, unsound, 0, 16);
    tcase_add_test(tc, over);
    tcase_add_test(tc, every_prefix);
    tcase_add_loop_test(tc, refused, 0, UNIT_COUNT(bad));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
