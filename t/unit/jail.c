/* The jail: which ban an address falls under, what is remembered, what goes when there is no room, another size,
 * and any contents. */
#include "banjail.h"
#include "usher_table.h"

#define MINUTE 60000
#define HOUR (60 * MINUTE)
#define MIB ((apr_uint64_t)1024 * 1024)

static void start(apr_uint64_t size)
{
    unit_memory = unit_heap;
    unit_now = 1000000;
    unit_jail(size, 65536);
}

static ban_t ban_of(const char *text, apr_int64_t length, const char *name)
{
    ban_t ban = { .prefix = unit_prefix(text), .since = unit_now, .until = unit_now + length,
                  .forget_at = unit_now + length + HOUR, .version = 7, .events = 5, .times = 2 };

    apr_cpystrn(ban.name, name, sizeof(ban.name));
    apr_cpystrn(ban.why, "GET /wp-login.php", sizeof(ban.why));
    return ban;
}

static ban_jail_put_e put(const char *text, apr_int64_t length, const char *name)
{
    ban_t ban = ban_of(text, length, name);

    return ban_jail_put(&ban);
}

/* The name of the ban that an address falls under; "-": none */
static const char *found(const char *address)
{
    static ban_t ban;

    return ban_jail_find(unit_address(address), &ban) ? ban.name : "-";
}

START_TEST(finds)
{
    start(MIB);
    ck_assert(ban_jail_is_empty());
    ck_assert_str_eq(found("192.0.2.1"), "-");
    ck_assert_int_eq(put("192.0.2.1", HOUR, "one"), BAN_JAIL_NEW);
    ck_assert(!ban_jail_is_empty());
    ck_assert_str_eq(found("192.0.2.1"), "one");
    ck_assert_str_eq(found("::ffff:192.0.2.1"), "one");
    ck_assert_str_eq(found("192.0.2.0"), "-");
    ck_assert_str_eq(found("192.0.2.2"), "-");
    put("198.51.100.0/24", HOUR, "net");
    ck_assert_str_eq(found("198.51.100.0"), "net");
    ck_assert_str_eq(found("198.51.100.255"), "net");
    ck_assert_str_eq(found("198.51.101.0"), "-");
    put("2001:db8:0:1::/64", HOUR, "v6");
    ck_assert_str_eq(found("2001:db8:0:1:ffff:ffff:ffff:ffff"), "v6");
    ck_assert_str_eq(found("2001:db8:0:2::"), "-");
    put("2001:db8:f::5", HOUR, "v6one");
    ck_assert_str_eq(found("2001:db8:f::5"), "v6one");
    ck_assert_str_eq(found("2001:db8:f::4"), "-");
    put("8000::/1", HOUR, "half");
    ck_assert_str_eq(found("ffff::"), "half");
    ck_assert_str_eq(found("7fff::"), "-");
    put("::/0", HOUR, "all");
    ck_assert_str_eq(found("7fff::"), "all");
    ck_assert_str_eq(found("203.0.113.1"), "all");
    put("192.0.0.0/2", 2 * HOUR, "quarter");
    put("::/64", 3 * HOUR, "zeros");
    ck_assert_str_eq(found("203.0.113.1"), "zeros");
    ck_assert_str_eq(found("::1"), "zeros");
    unit_now += 2 * HOUR - 1;
    ck_assert_str_eq(found("c000::"), "-");
    unit_jail_free();
}
END_TEST

START_TEST(longest)
{
    start(MIB);
    put("192.0.2.0/24", HOUR, "net");
    put("192.0.2.1", 2 * HOUR, "one");
    put("192.0.2.2", HOUR / 2, "two");
    ck_assert_str_eq(found("192.0.2.1"), "one");
    ck_assert_str_eq(found("192.0.2.2"), "net");
    unit_now += HOUR;
    ck_assert_str_eq(found("192.0.2.1"), "one");
    ck_assert_str_eq(found("192.0.2.2"), "-");
    unit_jail_free();
}
END_TEST

START_TEST(whole)
{
    ban_t ban = { 0 }, put_in = ban_of("192.0.2.1", HOUR, "rule"), got;
    apr_uint32_t changes;

    start(MIB);
    ck_assert_int_eq(ban_jail_get(&put_in.prefix, &got), 0);
    put_in.forget_at = BAN_FOREVER;
    put_in.until = BAN_FOREVER;
    put_in.origin = BAN_BY_HAND;
    changes = ban_jail_changes();
    ck_assert_int_eq(ban_jail_put(&put_in), BAN_JAIL_NEW);
    ck_assert_uint_ne(ban_jail_changes(), changes);
    changes = ban_jail_changes();
    ck_assert(ban_jail_find(put_in.prefix.address, &ban));
    ck_assert(ban_jail_get(&put_in.prefix, &got));
    ck_assert(ban.until == got.until && !strcmp(ban.why, got.why));
    ck_assert_int_eq(got.since, put_in.since);
    ck_assert(got.until == BAN_FOREVER && got.forget_at == BAN_FOREVER);
    ck_assert_uint_eq(got.version, 7);
    ck_assert_uint_eq(got.events, 5);
    ck_assert_uint_eq(got.times, 2);
    ck_assert_int_eq(got.origin, BAN_BY_HAND);
    ck_assert_int_eq(got.is_trial, 0);
    ck_assert_str_eq(got.name, "rule");
    ck_assert_str_eq(got.why, "GET /wp-login.php");
    ck_assert_int_eq(ban_jail_put(&put_in), BAN_JAIL_SAME);
    ck_assert_uint_eq(ban_jail_changes(), changes);
    put_in.version = 8;
    put_in.why[0] = '\0';
    ck_assert_int_eq(ban_jail_put(&put_in), BAN_JAIL_CHANGED);
    ck_assert(ban_jail_get(&put_in.prefix, &got));
    ck_assert_str_eq(got.why, "");
    unit_now += (apr_int64_t)1000 * 365 * 24 * HOUR;
    ck_assert(ban_jail_find(put_in.prefix.address, NULL));
    changes = ban_jail_changes();
    ck_assert_int_eq(ban_jail_remove(&put_in.prefix), 1);
    ck_assert_uint_ne(ban_jail_changes(), changes);
    ck_assert_int_eq(ban_jail_remove(&put_in.prefix), 0);
    ck_assert_int_eq(ban_jail_get(&put_in.prefix, &got), 0);
    ck_assert_int_eq(ban_jail_find(put_in.prefix.address, NULL), 0);
    unit_jail_free();
}
END_TEST

/* What is over turns nobody away, but is known until it is forgotten. */
START_TEST(over)
{
    ban_prefix_t prefix = unit_prefix("192.0.2.1");
    ban_t ban;

    start(MIB);
    put("192.0.2.1", MINUTE, "one");
    unit_now += MINUTE - 1;
    ck_assert(ban_jail_find(prefix.address, NULL));
    unit_now += 1;
    ck_assert(!ban_jail_find(prefix.address, NULL));
    ck_assert(ban_jail_get(&prefix, &ban));
    ck_assert_int_eq(put("192.0.2.1", MINUTE, "again"), BAN_JAIL_NEW);
    ck_assert_str_eq(found("192.0.2.1"), "again");
    unit_now += MINUTE + HOUR - 1;
    ck_assert(ban_jail_get(&prefix, &ban));
    unit_now += 1;
    ck_assert(!ban_jail_get(&prefix, &ban));
    ck_assert_int_eq(put("192.0.2.1", -HOUR, "old"), BAN_JAIL_SAME);
    ck_assert(!ban_jail_get(&prefix, &ban));
    unit_jail_free();
}
END_TEST

/* A trial is seen only where there is no ban, and neither takes the other's place. */
START_TEST(trials)
{
    ban_t trial = ban_of("192.0.2.1", 2 * HOUR, "trial"), ban = ban_of("192.0.2.0/24", HOUR, "real"), got;

    start(MIB);
    trial.is_trial = 1;
    ck_assert_int_eq(ban_jail_put(&trial), BAN_JAIL_NEW);
    ck_assert(ban_jail_find(trial.prefix.address, &got) && got.is_trial);
    ck_assert_int_eq(ban_jail_put(&ban), BAN_JAIL_NEW);
    ck_assert(ban_jail_find(trial.prefix.address, &got) && !got.is_trial);
    ban.prefix = trial.prefix;
    ck_assert_int_eq(ban_jail_put(&ban), BAN_JAIL_NEW);
    ck_assert(ban_jail_get(&ban.prefix, &got) && !got.is_trial);
    ck_assert_int_eq(ban_jail_put(&trial), BAN_JAIL_SAME);
    unit_now += HOUR + 1;
    ck_assert(ban_jail_find(trial.prefix.address, &got) && got.is_trial);
    ck_assert(ban_jail_remove(&trial.prefix));
    ck_assert(!ban_jail_find(trial.prefix.address, &got));
    ck_assert(!ban_jail_get(&trial.prefix, &got));
    unit_jail_free();
}
END_TEST

static int seen;

static int see(void *baton, const ban_t *ban)
{
    ck_assert_ptr_eq(baton, &seen);
    ck_assert_str_eq(ban->name, "each");
    ck_assert_str_eq(ban->why, "GET /wp-login.php");
    return ++seen < 150;
}

START_TEST(each)
{
    ban_jail_stats_t stats = { 0 };
    char text[32];
    int i;

    start(MIB);
    seen = 0;
    ban_jail_each(see, &seen);
    ck_assert_int_eq(seen, 0);
    for (i = 0; i < 100; ++i) {
        ban_t ban;

        apr_snprintf(text, sizeof(text), "198.51.100.%d", i);
        ban = ban_of(text, i < 60 ? HOUR : MINUTE, "each");
        ban.is_trial = i < 20;
        ban_jail_put(&ban);
    }
    unit_now += MINUTE;
    ban_jail_each(see, &seen);
    ck_assert_int_eq(seen, 100);
    ban_jail_each(see, &seen);
    ck_assert_int_eq(seen, 150);
    ban_jail_stats(&stats);
    ck_assert_uint_eq(stats.used, 100);
    ck_assert_uint_eq(stats.trials, 20);
    ck_assert_uint_eq(stats.active, 40);
    ck_assert_uint_eq(stats.lost, 0);
    ck_assert_uint_gt(stats.room, 4000);
    unit_jail_free();
}
END_TEST

/* @return how many got in */
static int fill_remembered(int from, int count, apr_int64_t length, apr_int64_t remember)
{
    ban_t ban = ban_of("10.0.0.0", length, "many");
    apr_uint64_t first = ban.prefix.address.low;
    int i, in = 0;

    ban.forget_at = ban.until + remember;

    for (i = from; i < from + count; ++i) {
        ban.prefix.address.low = first + (apr_uint64_t)i;
        in += ban_jail_put(&ban) != BAN_JAIL_FULL;
    }
    return in;
}

static int fill(int from, int count, apr_int64_t length)
{
    return fill_remembered(from, count, length, HOUR);
}

static int active(void)
{
    ban_jail_stats_t stats = { 0 };

    ban_jail_stats(&stats);
    return (int)stats.active;
}

/* Those that last longest stay; it is said once, and all that are lost are counted. */
START_TEST(full)
{
    ban_jail_stats_t stats = { 0 };
    int room, in;

    start(65536);
    ban_jail_stats(&stats);
    room = (int)stats.room;
    fill(0, 2 * room, 10 * HOUR);
    ck_assert_int_gt(active(), room * 9 / 10);
    ck_assert_int_eq(unit_logged, 1);
    in = active();
    fill(100000, 10 * room, HOUR);
    ck_assert_int_eq(unit_logged, 1);
    ban_jail_stats(&stats);
    ck_assert_uint_ge(stats.lost, 10 * (apr_uint64_t)room);
    unit_now += HOUR;
    ck_assert_int_eq(active(), room); /* a place that is left is taken by anybody */
    unit_now += HOUR;
    ck_assert_int_ge(active(), in);
    fill(200000, 10 * room, 20 * HOUR);
    ck_assert_int_eq(unit_logged, 2);
    unit_now += 19 * HOUR;
    ck_assert_int_gt(active(), room * 9 / 10);
    unit_jail_free();
}
END_TEST

/* What is over gives way to what is not, however long it would be remembered, and never the other way round. */
START_TEST(full_of_the_past)
{
    ban_jail_stats_t stats = { 0 };
    int room, in;

    start(65536);
    ban_jail_stats(&stats);
    room = (int)stats.room;
    fill_remembered(0, 3 * room, MINUTE, 100 * HOUR);
    unit_now += MINUTE;
    ck_assert_int_eq(active(), 0);
    in = fill_remembered(100000, room / 2, MINUTE, 0);
    ck_assert_int_eq(in, room / 2);
    ck_assert_int_gt(active(), in * 9 / 10);
    fill_remembered(200000, 10 * room, MINUTE, 0);
    ck_assert_int_gt(active(), room * 9 / 10);
    in = active();
    fill_remembered(300000, 10 * room, -1, 100 * HOUR);
    ck_assert_int_eq(active(), in);
    unit_jail_free();
}
END_TEST

/* The one that has been over for longest is the first to go. */
START_TEST(oldest_past_first)
{
    ban_jail_stats_t stats = { 0 };
    ban_prefix_t prefix = unit_prefix("10.0.0.0");
    apr_uint64_t first = prefix.address.low;
    int room, i, left[2] = { 0, 0 };
    ban_t ban;

    start(65536);
    ban_jail_stats(&stats);
    room = (int)stats.room;
    for (i = 0; i < 2; ++i) {
        fill_remembered(i * 100000, room / 2, MINUTE, 100 * HOUR);
        unit_now += HOUR;
    }
    fill_remembered(200000, room / 4, MINUTE, 0);
    for (i = 0; i < room; ++i) {
        prefix.address.low = first + (apr_uint64_t)(i % 2 * 100000 + i / 2);
        left[i % 2] += ban_jail_get(&prefix, &ban);
    }
    ck_assert_int_lt(left[0], room / 2 - room / 8);
    ck_assert_int_gt(left[1], room / 2 - room / 32);
    unit_jail_free();
}
END_TEST

/* Of bans that are on those stay that last longer, not those that are remembered for longer. */
START_TEST(full_of_longer_ones)
{
    int in;

    start(65536);
    fill_remembered(0, 20000, 2 * HOUR, 0);
    in = active();
    fill_remembered(100000, 20000, HOUR, 100 * HOUR);
    unit_now += HOUR;
    ck_assert_int_eq(active(), in);
    unit_jail_free();
}
END_TEST

START_TEST(carries)
{
    static const apr_uint64_t sizes[] = { 65536, MIB, 2 * MIB };
    usher_memory_carried_t carried = { 0, 0 };
    usher_memory_t from;
    apr_uint32_t changes;

    start(MIB);
    fill(0, 2000, HOUR);
    put("2001:db8:0:1::/64", HOUR, "v6");
    ban_total_add(BAN_REFUSED_REQUEST);
    changes = ban_jail_changes();
    from = unit_pieces[0];
    free(unit_pieces[1].base);
    unit_jail(sizes[_i], 65536);
    ck_assert_int_eq(from.spec->carry(unit_pieces[0].base, unit_pieces[0].size, from.base, from.size, 2, &carried),
                     APR_ENOTIMPL);
    ck_assert_int_eq(from.spec->carry(unit_pieces[0].base, unit_pieces[0].size, from.base, from.size, 1, &carried),
                     APR_SUCCESS);
    ban_jail_post_config();
    ck_assert_uint_eq(carried.kept + carried.dropped, 2001);
    ck_assert(_i == 0 || carried.dropped == 0);
    ck_assert_int_eq(active(), (int)carried.kept);
    ck_assert(_i == 0 || !strcmp(found("2001:db8:0:1::5"), "v6"));
    ck_assert(_i == 0 || !strcmp(found("10.0.7.1"), "many"));
    ck_assert_str_eq(found("10.1.0.0"), "-");
    ck_assert_uint_eq(ban_total(BAN_REFUSED_REQUEST), 1);
    ck_assert_uint_eq(ban_total(BAN_REFUSED_CONNECTION), 0);
    ck_assert_uint_eq(ban_jail_changes(), changes);
    free(from.base);
    unit_jail_free();
}
END_TEST

static int see_printable(void *baton, const ban_t *ban)
{
    const char *at;

    ck_assert_uint_le(ban->prefix.bits, 128);
    ck_assert_uint_lt(strlen(ban->name), sizeof(ban->name));
    ck_assert_uint_lt(strlen(ban->why), sizeof(ban->why));
    for (at = ban->name; *at; ++at) {
        ck_assert(*at >= ' ' && *at <= '~');
    }
    for (at = ban->why; *at; ++at) {
        ck_assert(*at >= ' ' && *at <= '~');
    }
    ++*(int *)baton;
    return 1;
}

/* Another child has written anything into entries that are right otherwise, or anywhere. */
START_TEST(garbage)
{
    unsigned int seed = 3;
    ban_t ban;
    int round, i, n = 0;

    for (round = 0; round < 30; ++round) {
        start(65536);
        fill(0, 300, HOUR);
        for (i = 0; i < 65536; ++i) {
            if (round < 3 || rand_r(&seed) % 1000 < round) {
                ((unsigned char *)unit_pieces[0].base)[i] = round ? (unsigned char)rand_r(&seed) : 0xff;
            }
        }
        ban_jail_post_config();
        ban_jail_each(see_printable, &n);
        for (i = 0; i < 300; ++i) {
            usher_cidr_address_t address = unit_address("10.0.0.0");

            address.low += (apr_uint64_t)i;
            ban_jail_find(address, &ban);
            ban_jail_find(unit_address("2001:db8::"), &ban);
        }
        fill(1000, 100, HOUR);
        unit_jail_free();
    }
    ck_assert_int_gt(n, 1000);

    /* Texts without an end, and with anything in them */
    start(65536);
    ban = ban_of("192.0.2.1", HOUR, "");
    memset(ban.name, '\n', sizeof(ban.name));
    memset(ban.why, '\x80', sizeof(ban.why));
    ban_jail_put(&ban);
    n = 0;
    ban_jail_each(see_printable, &n);
    ck_assert_int_eq(n, 1);
    unit_jail_free();
}
END_TEST

static void *no_memory(size_t size)
{
    return NULL;
}

START_TEST(without_memory)
{
    ban_t ban = ban_of("192.0.2.1", HOUR, "one");
    ban_jail_stats_t stats = { 0 };

    unit_memory = no_memory;
    unit_jail(MIB, 65536);
    ck_assert(ban_jail_is_empty());
    ck_assert_int_eq(ban_jail_put(&ban), BAN_JAIL_FULL);
    ck_assert(!ban_jail_find(ban.prefix.address, &ban));
    ck_assert(!ban_jail_get(&ban.prefix, &ban));
    ck_assert(!ban_jail_remove(&ban.prefix));
    ban_jail_each(see, &seen);
    ban_jail_stats(&stats);
    ck_assert_uint_eq(stats.room, 0);
    ban_total_add(BAN_REFUSED_REQUEST);
    ck_assert_uint_eq(ban_total(BAN_REFUSED_REQUEST), 0);
    ck_assert_uint_eq(ban_jail_changes(), 0);
    ck_assert_uint_eq(ban_count_add(1, &ban.prefix, 3, HOUR), 3);
    ban_count_clear(1, &ban.prefix, HOUR);
}
END_TEST

START_TEST(counts)
{
    ban_prefix_t one = unit_prefix("192.0.2.1"), net = unit_prefix("192.0.2.0/24");

    start(MIB);
    ck_assert_uint_eq(ban_count_add(1, &one, 1, MINUTE), 1);
    ck_assert_uint_eq(ban_count_add(1, &one, 1, MINUTE), 2);
    ck_assert_uint_eq(ban_count_add(1, &net, 1, MINUTE), 1);
    ck_assert_uint_eq(ban_count_add(2, &one, 1, MINUTE), 1);
    ck_assert_uint_eq(ban_count_add(1, &one, 1, HOUR), 1);
    ck_assert_uint_eq(ban_count_add(1, &one, 1, 1), 1);
    ck_assert_uint_eq(ban_count_add(1, &one, 1, APR_INT64_MAX), 1);
    ban_count_clear(1, &one, MINUTE);
    ck_assert_uint_eq(ban_count_add(1, &one, 1, MINUTE), 1);
    ck_assert_uint_eq(ban_count_add(1, &net, 1, MINUTE), 2);
    unit_now += MINUTE;
    ck_assert_uint_eq(ban_count_add(1, &net, 1, MINUTE), 1);
    unit_jail_free();
}
END_TEST

/* That clients are forgotten is said once in a while, not for each. */
START_TEST(counts_full)
{
    ban_prefix_t prefix = unit_prefix("10.0.0.0");
    int i;

    start(MIB);
    for (i = 0; i < 200; ++i, ++prefix.address.low) {
        ban_count_add(1, &prefix, 1, MINUTE);
    }
    ck_assert_int_eq(unit_logged, 0);
    for (i = 0; i < 5000; ++i, ++prefix.address.low) {
        ban_count_add(1, &prefix, 1, MINUTE);
    }
    ck_assert_int_eq(unit_logged, 1);
    unit_now += HOUR;
    for (i = 0; i < 5000; ++i, ++prefix.address.low) {
        ban_count_add(1, &prefix, 1, MINUTE);
    }
    ck_assert_int_eq(unit_logged, 2);
    unit_jail_free();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jail");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, finds);
    tcase_add_test(tests, longest);
    tcase_add_test(tests, whole);
    tcase_add_test(tests, over);
    tcase_add_test(tests, trials);
    tcase_add_test(tests, each);
    tcase_add_test(tests, full);
    tcase_add_test(tests, full_of_the_past);
    tcase_add_test(tests, oldest_past_first);
    tcase_add_test(tests, full_of_longer_ones);
    tcase_add_loop_test(tests, carries, 0, 3);
    tcase_add_test(tests, garbage);
    tcase_add_test(tests, without_memory);
    tcase_add_test(tests, counts);
    tcase_add_test(tests, counts_full);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
