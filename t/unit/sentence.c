/* Sentences: whom a rule's limit bans, how long, how wide; who is spared; who hears of it. */
#include "banjail.h"

#include <apr_general.h>

#define MINUTE 60000
#define HOUR ((apr_int64_t)60 * MINUTE)
#define DAY (24 * HOUR)

/* --- what the other files tell, and hear */

static const char *never, *proxy, *neighbour; /* addresses */
static usher_store_result_e store_says;
static int stored, exported, audits[BAN_AUDIT_SPARE + 1];
static ban_t last;
static char last_who[64], last_note[64];

static int is_address(const char *text, usher_cidr_address_t address)
{
    usher_cidr_address_t is = text ? unit_address(text) : (usher_cidr_address_t) { 0, 0 };

    return text && is.high == address.high && is.low == address.low;
}

const char *ban_never_why(usher_cidr_address_t address)
{
    return is_address(never, address) ? "loopback" : NULL;
}

int ban_never_overlaps(const ban_prefix_t *prefix)
{
    return neighbour && is_address(neighbour, prefix->bits < 128 ? unit_address(neighbour) : prefix->address)
           && ban_prefix_of(unit_address(neighbour), prefix->bits).address.low == prefix->address.low
           && ban_prefix_of(unit_address(neighbour), prefix->bits).address.high == prefix->address.high;
}

static void (*meanwhile)(void); /* another thread comes in between */

int ban_share_is_proxy(usher_cidr_address_t address, server_rec *s)
{
    void (*does)(void) = meanwhile;

    meanwhile = NULL;
    if (does) {
        does();
    }
    return is_address(proxy, address);
}

usher_store_result_e ban_store_put(const ban_t *ban, apr_interval_time_t wait)
{
    ck_assert_int_eq(wait, 0);
    ck_assert_uint_eq(ban->version, 0);
    ++stored;
    return store_says;
}

void ban_export_tell(const ban_prefix_t *prefix)
{
    ++exported;
}

void ban_audit(ban_audit_e what, const ban_t *ban, const char *who, const char *note, server_rec *s)
{
    ++audits[what];
    last = *ban;
    apr_cpystrn(last_who, who, sizeof(last_who));
    apr_cpystrn(last_note, note ? note : "", sizeof(last_note));
}

/* --- a rule, and what is asked */

static ban_rule_t rule;
static apr_pool_t *pool;

static void start(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    unit_memory = unit_heap;
    unit_now = 1000000;
    unit_jail(1024 * 1024, 65536);
    never = proxy = neighbour = NULL;
    store_says = USHER_STORE_HANDED;
    stored = exported = 0;
    memset(audits, 0, sizeof(audits));
    rule = (ban_rule_t) { .name = "wp", .number = 42, .max = 5, .within = 10 * MINUTE, .length = HOUR,
                          .length_max = 10 * HOUR, .remember = 30 * DAY, .bits_v4 = 128, .bits_v6 = 64, .enforce = 1 };
}

static void end(void)
{
    unit_jail_free();
    apr_pool_destroy(pool);
}

static void sentence_for(const char *address, const char *why)
{
    ban_case_t what = { &rule, unit_address(address), 6, why, NULL, pool };

    ban_sentence(&what);
}

static void sentence(const char *address)
{
    sentence_for(address, "GET /wp-login.php 404");
}

static int is_banned(const char *address)
{
    ban_t ban;

    return ban_jail_find(unit_address(address), &ban) && !ban.is_trial;
}

START_TEST(bans)
{
    start();
    sentence("192.0.2.1");
    ck_assert(is_banned("192.0.2.1") && !is_banned("192.0.2.0") && !is_banned("192.0.2.2"));
    ck_assert_int_eq(audits[BAN_AUDIT_BAN], 1);
    ck_assert(stored == 1 && exported == 1);
    ck_assert_str_eq(last_who, "rule wp");
    ck_assert_str_eq(last_note, "");
    ck_assert_str_eq(last.name, "wp");
    ck_assert_str_eq(last.why, "GET /wp-login.php 404");
    ck_assert(last.times == 1 && last.events == 6 && last.prefix.bits == 128 && !last.is_trial);
    ck_assert(last.since == unit_now && last.until == unit_now + HOUR && last.forget_at == last.until + 30 * DAY);
    sentence("2001:db8::1:2:3:4");
    ck_assert(is_banned("2001:db8::ffff:ffff:ffff:ffff") && !is_banned("2001:db8:0:1::"));
    ck_assert_int_eq(audits[BAN_AUDIT_BAN], 2);
    rule.bits_v4 = 120;
    sentence("198.51.100.7");
    ck_assert(is_banned("198.51.100.255") && !is_banned("198.51.101.0"));

    /* Another child comes to the same sentence, or a request of his is still on its way. */
    sentence("192.0.2.1");
    ck_assert_int_eq(audits[BAN_AUDIT_BAN], 3);
    ck_assert(stored == 3 && exported == 3);
    end();
}
END_TEST

static void another_sentence(void)
{
    sentence("192.0.2.1");
}

/* Two threads come to the same sentence: it is one ban, which is no longer for that. */
START_TEST(at_once)
{
    ban_t ban;

    start();
    meanwhile = another_sentence;
    sentence("192.0.2.1");
    ck_assert(ban_jail_find(unit_address("192.0.2.1"), &ban));
    ck_assert(ban.times == 1 && ban.until == unit_now + HOUR);
    ck_assert(audits[BAN_AUDIT_BAN] == 1 && stored == 1 && exported == 1);
    end();
}
END_TEST

/* "::/64" has all of IPv4 in it, as "::ffff:192.0.2.1". */
START_TEST(not_all_of_v4)
{
    start();
    rule.wider_v4 = rule.wider_v6 = 2;
    sentence("::2");
    sentence("::1:0:0:2");
    sentence("::ffff:0:192.0.2.9");
    ck_assert(is_banned("::2") && !is_banned("::3"));
    sentence("0:0:0:1::2");
    sentence("0:0:0:2::2");
    sentence("0:0:0:100::2");
    sentence("0:0:0:101::2");
    ck_assert(is_banned("0:0:0:1::3") && is_banned("0:0:0:102::2"));
    rule.bits_v6 = 16;
    sentence("0:1::1");
    ck_assert(!is_banned("192.0.2.1") && !is_banned("203.0.113.1"));
    end();
}
END_TEST

/* What was counted is done with: the next ban needs as many again. */
START_TEST(begins_anew)
{
    ban_prefix_t one = unit_prefix("192.0.2.1"), two = unit_prefix("192.0.2.2");

    start();
    ban_count_add(rule.number, &one, 6, rule.within);
    ban_count_add(rule.number, &two, 4, rule.within);
    sentence("192.0.2.1");
    ck_assert_uint_eq(ban_count_add(rule.number, &one, 1, rule.within), 1);
    ck_assert_uint_eq(ban_count_add(rule.number, &two, 1, rule.within), 5);
    end();
}
END_TEST

START_TEST(longer_each_time)
{
    static const apr_int64_t hours[] = { 1, 2, 4, 8, 10, 10, 10 };
    int i;

    start();
    for (i = 0; i < UNIT_COUNT(hours); ++i) {
        sentence("192.0.2.1");
        ck_assert_int_eq(last.times, i + 1);
        ck_assert_int_eq(last.until - unit_now, hours[i] * HOUR);
        unit_now = last.until - 1;
        ck_assert(is_banned("192.0.2.1"));
        unit_now = last.forget_at - 1;
        ck_assert(!is_banned("192.0.2.1"));
    }
    unit_now = last.forget_at;
    sentence("192.0.2.1");
    ck_assert(last.times == 1 && last.until - unit_now == HOUR);

    rule.length = rule.length_max = BAN_FOREVER;
    sentence("192.0.2.2");
    ck_assert(last.until == BAN_FOREVER && last.forget_at == BAN_FOREVER);
    rule.length = HOUR;
    for (i = 0; i < 50; ++i) {
        sentence("192.0.2.3");
        ck_assert_int_ge(last.until - unit_now, HOUR);
        unit_now = last.until < BAN_FOREVER / 2 ? last.until : unit_now;
    }
    end();
}
END_TEST

/* Nobody hears of trials but the audit, and once; whom a rule bans then, he is banned for the first time. */
START_TEST(trials)
{
    ban_t ban;

    start();
    rule.enforce = 0;
    sentence("192.0.2.1");
    sentence("192.0.2.1");
    ck_assert(audits[BAN_AUDIT_TRIAL] == 1 && audits[BAN_AUDIT_BAN] == 0 && !stored && !exported);
    ck_assert(!is_banned("192.0.2.1"));
    ck_assert(ban_jail_find(unit_address("192.0.2.1"), &ban) && ban.is_trial);
    unit_now += HOUR;
    sentence("192.0.2.1");
    ck_assert(audits[BAN_AUDIT_TRIAL] == 2 && last.times == 2);
    rule.enforce = 1;
    sentence("192.0.2.1");
    ck_assert(is_banned("192.0.2.1") && audits[BAN_AUDIT_BAN] == 1 && last.times == 1 && stored == 1);
    rule.enforce = 0;
    sentence("192.0.2.1");
    ck_assert(audits[BAN_AUDIT_TRIAL] == 2 && is_banned("192.0.2.1"));
    end();
}
END_TEST

/* Those that are never banned are not; it is said once in an hour. */
START_TEST(spares)
{
    int i;

    start();
    never = "192.0.2.1";
    proxy = "192.0.2.2";
    for (i = 0; i < 10; ++i) {
        sentence(never);
        sentence(proxy);
        unit_now += 5 * MINUTE;
    }
    ck_assert(!is_banned(never) && !is_banned(proxy) && !stored && !exported);
    ck_assert_int_eq(audits[BAN_AUDIT_SPARE], 2);
    ck_assert_uint_eq(ban_total(BAN_SPARED_NEVER), 10);
    ck_assert_uint_eq(ban_total(BAN_SPARED_PROXY), 10);
    unit_now += HOUR;
    sentence(never);
    ck_assert_int_eq(audits[BAN_AUDIT_SPARE], 3);
    ck_assert_str_eq(last_note, "loopback");
    sentence("192.0.2.3");
    ck_assert(is_banned("192.0.2.3"));

    /* One in his network is never banned: he alone is. */
    neighbour = "2001:db8::1";
    sentence("2001:db8::2");
    ck_assert(is_banned("2001:db8::2") && !is_banned("2001:db8::1"));
    end();
}
END_TEST

static void several(const char *before, const char *after, int from, int count)
{
    char address[64];
    int i;

    for (i = from; i < from + count; ++i) {
        apr_snprintf(address, sizeof(address), "%s%d%s", before, i, after);
        sentence(address);
    }
}

/* Several of one network, each banned for the first time, ban the network. */
START_TEST(wider)
{
    start();
    several("198.51.100.", "", 1, 9);
    ck_assert(!is_banned("198.51.100.200"));
    rule.wider_v4 = rule.wider_v6 = 4;
    several("192.0.2.", "", 1, 3);
    ck_assert(!is_banned("192.0.2.200"));
    unit_now += 2 * HOUR; /* who comes back is not one more */
    several("192.0.2.", "", 1, 3);
    ck_assert(!is_banned("192.0.2.200"));
    several("192.0.2.", "", 4, 1);
    ck_assert(is_banned("192.0.2.200") && is_banned("192.0.2.0") && !is_banned("192.0.3.0"));
    ck_assert_str_eq(last_note, "several of this network");
    ck_assert_int_eq(last.prefix.bits, 120);
    end();
}
END_TEST

START_TEST(wider_v6)
{
    start();
    rule.wider_v4 = rule.wider_v6 = 4;
    several("2001:db8:0:", "::1", 0, 3);
    ck_assert(!is_banned("2001:db8:0:ff::1"));
    several("2001:db8:0:", "::1", 3, 1);
    ck_assert(is_banned("2001:db8:0:ff::1") && !is_banned("2001:db8:0:100::1"));
    several("2001:db8:0:10", "::1", 0, 4);
    several("2001:db8:0:20", "::1", 0, 4);
    ck_assert(!is_banned("2001:db8:0:ffff::"));
    several("2001:db8:0:30", "::1", 0, 4);
    ck_assert(is_banned("2001:db8:0:ffff::") && !is_banned("2001:db8:1::"));
    end();
}
END_TEST

/* A network is not banned with one in it who never is; nor are a trial's. */
START_TEST(not_wider)
{
    start();
    rule.wider_v4 = rule.wider_v6 = 2;
    neighbour = "192.0.2.200";
    several("192.0.2.", "", 1, 9);
    ck_assert(is_banned("192.0.2.1") && !is_banned("192.0.2.200") && !is_banned("192.0.2.100"));
    neighbour = NULL;
    rule.enforce = 0;
    several("198.51.100.", "", 1, 1);
    rule.enforce = 1;
    several("198.51.100.", "", 2, 1);
    ck_assert(!is_banned("198.51.100.100"));
    several("198.51.100.", "", 3, 1);
    ck_assert(is_banned("198.51.100.100"));
    end();
}
END_TEST

/* What a client sent is cut and escaped, and no escape is cut. */
START_TEST(why)
{
    char text[400], cut[4 * BAN_WHY_SIZE];
    int i;

    start();
    sentence_for("192.0.2.1", NULL);
    ck_assert_str_eq(last.why, "");
    sentence_for("192.0.2.2", "GET /\n\x1b[31m\"\\\xff");
    ck_assert_ptr_null(strpbrk(last.why, "\n\x1b\xff"));
    ck_assert_ptr_nonnull(strstr(last.why, "[31m"));
    for (i = 0; i < 4; ++i) {
        memset(text, '\n', sizeof(text));
        memset(text, 'a', (size_t)i);
        text[sizeof(text) - 1] = '\0';
        sentence_for(apr_psprintf(pool, "192.0.2.%d", 10 + i), text);
        ck_assert_uint_lt(strlen(last.why), BAN_WHY_SIZE);
        ck_assert_uint_gt(strlen(last.why), BAN_WHY_SIZE - 6);
        ck_assert_uint_eq((strlen(last.why) - (size_t)i) % strlen("\\x0A"), 0);
    }
    memset(cut, 'b', sizeof(cut));
    cut[BAN_WHY_SIZE - 1] = '\0';
    sentence_for("192.0.2.20", cut);
    ck_assert_str_eq(last.why, cut);
    end();
}
END_TEST

START_TEST(store_down)
{
    start();
    store_says = USHER_STORE_DOWN;
    sentence("192.0.2.1");
    ck_assert(is_banned("192.0.2.1") && exported == 1);
    ck_assert_uint_eq(ban_total(BAN_STORE_LOST), 1);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sentence");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, bans);
    tcase_add_test(tests, at_once);
    tcase_add_test(tests, not_all_of_v4);
    tcase_add_test(tests, begins_anew);
    tcase_add_test(tests, longer_each_time);
    tcase_add_test(tests, trials);
    tcase_add_test(tests, spares);
    tcase_add_test(tests, wider);
    tcase_add_test(tests, wider_v6);
    tcase_add_test(tests, not_wider);
    tcase_add_test(tests, why);
    tcase_add_test(tests, store_down);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
