/* The table in shared memory: each operation, expiry, which entry goes when it is full,
 * the same as a simple map over a long random life, another size, and any contents. */
#include "unit.h"
#include <apr_time.h>
#include "usher_table.h"

#define NOW ((apr_int64_t)7200000)
#define MINUTE ((apr_int64_t)60000)
#define HOUR ((apr_int64_t)3600000)
#define DAY (24 * HOUR)

typedef struct {
    apr_uint64_t word[3];
} value_t;

typedef struct {
    usher_table_t table;
    usher_table_space_t space;
    void *memory;
    size_t size;
} unit_table_t;

static unsigned int seed; /* each test's own, so that it repeats */

/* Not one byte more than it says. */
static unit_table_t unit_table(size_t buckets)
{
    unit_table_t u;

    u.size = USHER_TABLE_HEADER_SIZE + buckets * USHER_TABLE_BUCKET_SIZE(sizeof(value_t));
    u.memory = aligned_alloc(64, u.size);
    memset(u.memory, 0, u.size);
    usher_table_open(&u.table, u.memory, u.size, sizeof(value_t), DAY);
    usher_table_init(&u.table, (const unsigned char *)"0123456789abcdef");
    u.space = usher_table_space(&u.table, "test", 4);
    return u;
}

static usher_table_key_t key_of(const unit_table_t *u, apr_uint64_t id)
{
    return usher_table_key(&u->space, &id, sizeof(id));
}

static usher_table_put_e put(const unit_table_t *u, apr_uint64_t id, apr_uint64_t value,
                             apr_int64_t now, apr_int64_t life)
{
    usher_table_key_t key = key_of(u, id);
    value_t v = { { value, ~value, id } };

    return usher_table_put(&u->table, &key, now, life, &v);
}

/* -1: none */
static apr_int64_t get(const unit_table_t *u, apr_uint64_t id, apr_int64_t now, apr_int64_t life)
{
    usher_table_key_t key = key_of(u, id);
    value_t v;

    if (!usher_table_get(&u->table, &key, now, life, &v)) {
        return -1;
    }
    ck_assert_uint_eq(v.word[1], ~v.word[0]);
    ck_assert_uint_eq(v.word[2], id);
    return (apr_int64_t)v.word[0];
}

static int take_out(const unit_table_t *u, apr_uint64_t id, apr_int64_t now)
{
    usher_table_key_t key = key_of(u, id);

    return usher_table_remove(&u->table, &key, now);
}

static apr_uint64_t used(const unit_table_t *u, apr_int64_t now)
{
    return usher_table_stats(&u->table, now).used;
}

START_TEST(one_entry)
{
    unit_table_t u = unit_table(64);

    ck_assert_int_eq(get(&u, 1, NOW, 0), -1);
    ck_assert_int_eq(take_out(&u, 1, NOW), 0);
    ck_assert_int_eq(put(&u, 1, 11, NOW, HOUR), USHER_TABLE_NEW);
    ck_assert_int_eq(get(&u, 1, NOW, 0), 11);
    ck_assert_int_eq(get(&u, 2, NOW, 0), -1);
    ck_assert_int_eq(put(&u, 1, 11, NOW, HOUR), USHER_TABLE_SAME);
    ck_assert_int_eq(put(&u, 1, 12, NOW, HOUR), USHER_TABLE_CHANGED);
    ck_assert_int_eq(get(&u, 1, NOW, 0), 12);
    ck_assert_uint_eq(used(&u, NOW), 1);
    ck_assert_int_eq(take_out(&u, 1, NOW), 1);
    ck_assert_int_eq(get(&u, 1, NOW, 0), -1);
    ck_assert_uint_eq(used(&u, NOW), 0);
    free(u.memory);
}
END_TEST

START_TEST(expiry)
{
    unit_table_t u = unit_table(64);

    put(&u, 1, 11, NOW, HOUR);
    ck_assert_int_eq(get(&u, 1, NOW + HOUR - 1, 0), 11);
    ck_assert_int_eq(get(&u, 1, NOW + HOUR, 0), -1);
    ck_assert_uint_eq(used(&u, NOW + HOUR), 0);
    ck_assert_int_eq(take_out(&u, 1, NOW + HOUR), 0);
    ck_assert_int_eq(put(&u, 1, 13, NOW + HOUR, HOUR), USHER_TABLE_NEW);
    ck_assert_int_eq(get(&u, 1, NOW + HOUR, 0), 13);
    /* never longer than the table's longest */
    put(&u, 2, 14, NOW, 5 * DAY);
    ck_assert_int_eq(get(&u, 2, NOW + DAY - 1, 5 * DAY), 14);
    ck_assert_int_eq(get(&u, 2, NOW + 2 * DAY - 2, 0), 14);
    ck_assert_int_eq(get(&u, 2, NOW + 2 * DAY - 1, 0), -1);
    free(u.memory);
}
END_TEST

/* Reading makes it live longer, but writes only once an eighth of the time is over. */
START_TEST(touch)
{
    unit_table_t u = unit_table(64);
    void *before = malloc(u.size);

    put(&u, 1, 11, NOW, HOUR);
    memcpy(before, u.memory, u.size);
    ck_assert_int_eq(get(&u, 1, NOW + HOUR / 8, HOUR), 11);
    ck_assert_mem_eq(u.memory, before, u.size);
    ck_assert_int_eq(get(&u, 1, NOW + HOUR / 8 + 1, 0), 11);
    ck_assert_mem_eq(u.memory, before, u.size);
    ck_assert_int_eq(get(&u, 1, NOW + HOUR / 8 + 1, HOUR), 11);
    ck_assert_int_eq(get(&u, 1, NOW + HOUR + HOUR / 8, 0), 11);
    ck_assert_int_eq(get(&u, 1, NOW + HOUR + HOUR / 8 + 1, 0), -1);
    /* the same value again does it as well; a shorter life does not cut it */
    put(&u, 2, 22, NOW, HOUR);
    ck_assert_int_eq(put(&u, 2, 22, NOW + HOUR / 2, HOUR), USHER_TABLE_SAME);
    ck_assert_int_eq(put(&u, 2, 22, NOW + HOUR / 2, 1000), USHER_TABLE_SAME);
    ck_assert_int_eq(get(&u, 2, NOW + HOUR + HOUR / 2 - 1, 0), 22);
    free(before);
    free(u.memory);
}
END_TEST

START_TEST(spaces)
{
    unit_table_t u = unit_table(64);
    usher_table_space_t other = usher_table_space(&u.table, "othe", 4);
    apr_uint64_t id = 1;
    usher_table_key_t key = usher_table_key(&other, &id, sizeof(id));
    value_t v;

    put(&u, id, 11, NOW, HOUR);
    ck_assert_int_eq(usher_table_get(&u.table, &key, NOW, 0, &v), 0);
    free(u.memory);
}
END_TEST

/* Two buckets: every key may be anywhere. */
START_TEST(eviction)
{
    unit_table_t u = unit_table(2);
    apr_uint64_t id;

    for (id = 0; id < 16; ++id) {
        /* 5 expires first */
        ck_assert_int_eq(put(&u, id, id, NOW, id == 5 ? HOUR : 2 * HOUR + (apr_int64_t)id), USHER_TABLE_NEW);
    }
    for (id = 0; id < 16; ++id) {
        ck_assert_int_eq(get(&u, id, NOW, 0), (apr_int64_t)id);
    }
    ck_assert_uint_eq(usher_table_stats(&u.table, NOW).evicted, 0);
    ck_assert_uint_eq(used(&u, NOW), 16);
    ck_assert_uint_eq(usher_table_stats(&u.table, NOW).places, 16);
    ck_assert_int_eq(put(&u, 16, 16, NOW, 3 * HOUR), USHER_TABLE_EVICTED);
    ck_assert_int_eq(get(&u, 5, NOW, 0), -1);
    ck_assert_int_eq(get(&u, 16, NOW, 0), 16);
    ck_assert_uint_eq(usher_table_stats(&u.table, NOW).evicted, 1);
    /* one that has expired is no loss */
    ck_assert_int_eq(put(&u, 17, 17, NOW + 2 * HOUR, HOUR), USHER_TABLE_NEW);
    ck_assert_uint_eq(usher_table_stats(&u.table, NOW).evicted, 1);
    ck_assert_int_eq(get(&u, 1, NOW + 2 * HOUR, 0), 1);
    free(u.memory);
}
END_TEST

/* Against a map of 4,000 keys: no entry is lost where there is room, none comes back. */
START_TEST(as_a_map)
{
    enum { KEYS = 4000, STEPS = 400000 };
    static struct { apr_uint64_t value; apr_int64_t expires_at; } map[KEYS];
    unit_table_t u = unit_table(KEYS / 8 * 2);
    apr_int64_t now = NOW;
    int step;

    seed = 7;
    for (step = 0; step < STEPS; ++step) {
        apr_uint64_t id = (apr_uint64_t)rand_r(&seed) % KEYS;
        int there = map[id].expires_at > now;
        usher_table_put_e did;

        switch (rand_r(&seed) % 4) {
        case 0:
            did = put(&u, id, (apr_uint64_t)step, now, 20000);
            ck_assert_int_eq(did, there ? USHER_TABLE_CHANGED : USHER_TABLE_NEW);
            map[id].value = (apr_uint64_t)step;
            map[id].expires_at = now + 20000;
            break;
        case 1:
            ck_assert_int_eq(take_out(&u, id, now), there);
            map[id].expires_at = 0;
            break;
        default:
            ck_assert_int_eq(get(&u, id, now, 0), there ? (apr_int64_t)map[id].value : -1);
        }
        now += rand_r(&seed) % 4;
    }
    ck_assert_uint_eq(usher_table_stats(&u.table, now).evicted, 0);
    free(u.memory);
}
END_TEST

START_TEST(full_to_four_fifths)
{
    unit_table_t u = unit_table(20000);
    apr_uint64_t places = usher_table_stats(&u.table, NOW).places, id, lost = 0;

    for (id = 0; id < places * 8 / 10; ++id) {
        put(&u, id, id, NOW, HOUR);
    }
    for (id = 0; id < places * 8 / 10; ++id) {
        lost += get(&u, id, NOW, 0) != (apr_int64_t)id;
    }
    ck_assert_uint_eq(lost, usher_table_stats(&u.table, NOW).evicted);
    ck_assert_uint_lt(lost, places / 2000);
    free(u.memory);
}
END_TEST

/* The walk of a table that keeps what lasts longer. */
static int see(void *baton, const void *value)
{
    const value_t *v = value;

    ck_assert_uint_eq(v->word[1], ~v->word[0]);
    return ++*(int *)baton != 10;
}

/* The first word's last digit. */
static apr_int64_t worth(const void *value, apr_int64_t now)
{
    const value_t *v = value;

    ck_assert_int_ge(now, NOW);
    return (apr_int64_t)(v->word[0] % 10);
}

/* Who is worth more stays, however long it lives; among equals who lives longer does not matter. */
START_TEST(worth_more)
{
    unit_table_t u = unit_table(2);
    apr_uint64_t id;
    int seen = 0;

    u.table.worth = worth;
    for (id = 0; id < 16; ++id) {
        ck_assert_int_eq(put(&u, id, 10 * id + 5 + id % 3, NOW, HOUR + (apr_int64_t)id), USHER_TABLE_NEW);
    }
    ck_assert_int_eq(put(&u, 100, 4, NOW, 100 * HOUR), USHER_TABLE_FULL);
    ck_assert_int_eq(get(&u, 100, NOW, 0), -1);
    ck_assert_int_eq(put(&u, 5, 3, NOW, 100 * HOUR), USHER_TABLE_CHANGED);
    ck_assert_int_eq(put(&u, 100, 4, NOW, MINUTE), USHER_TABLE_EVICTED);
    ck_assert_int_eq(get(&u, 5, NOW, 0), -1);
    ck_assert_int_eq(put(&u, 101, 14, NOW, MINUTE), USHER_TABLE_EVICTED);
    ck_assert_int_eq(get(&u, 100, NOW, 0), -1);
    for (id = 200; id < 205; ++id) { /* in place of 101, and of those that are worth 5 */
        ck_assert_int_eq(put(&u, id, 9, NOW, MINUTE), USHER_TABLE_EVICTED);
    }
    for (id = 0; id < 16; ++id) {
        ck_assert(id == 5 || id % 3 == 0 || get(&u, id, NOW, 0) != -1);
        seen += id % 3 == 0 && get(&u, id, NOW, 0) != -1;
    }
    ck_assert_int_eq(seen, 2);
    ck_assert_int_eq(put(&u, 300, 1, NOW + MINUTE, MINUTE), USHER_TABLE_NEW);
    seen = 0;
    usher_table_each(&u.table, NOW, see, &seen);
    ck_assert_int_eq(seen, 10);
    seen = 20;
    usher_table_each(&u.table, NOW + HOUR + 10, see, &seen);
    ck_assert_int_ge(seen, 20);
    free(u.memory);
}
END_TEST

START_TEST(another_size)
{
    unit_table_t u = unit_table(100), larger = unit_table(400), smaller = unit_table(30);
    apr_uint64_t id, kept, dropped, found = 0;

    memset(larger.memory, 0, larger.size);
    memset(smaller.memory, 0, smaller.size);
    for (id = 0; id < 500; ++id) {
        put(&u, id, id, NOW, HOUR + (apr_int64_t)id);
    }
    put(&u, 999, 9, NOW - HOUR, HOUR);
    usher_table_carry(&larger.table, &u.table, NOW, &kept, &dropped);
    ck_assert_uint_eq(kept, 500);
    ck_assert_uint_eq(dropped, 0);
    for (id = 0; id < 500; ++id) {
        ck_assert_int_eq(get(&larger, id, NOW + HOUR + (apr_int64_t)id - 1, 0), (apr_int64_t)id);
        ck_assert_int_eq(get(&larger, id, NOW + HOUR + (apr_int64_t)id, 0), -1);
    }
    usher_table_carry(&smaller.table, &u.table, NOW, &kept, &dropped);
    ck_assert_uint_eq(kept + dropped, 500);
    ck_assert_uint_eq(used(&smaller, NOW), kept);
    ck_assert_uint_gt(kept, 200);
    for (id = 0; id < 500; ++id) {
        found += get(&smaller, id, NOW, 0) == (apr_int64_t)id;
    }
    ck_assert_uint_eq(found, kept);
    free(u.memory);
    free(larger.memory);
    free(smaller.memory);
}
END_TEST

/* A writer that was killed: its place is taken over a second later, not before. */
START_TEST(killed_while_writing)
{
    unit_table_t u = unit_table(2);
    _Atomic apr_uint64_t *words = (void *)(u.table.buckets);
    apr_uint64_t id;
    int i;

    for (id = 0; id < 16; ++id) {
        put(&u, id, id, NOW, DAY);
    }
    for (i = 0; i < 16; ++i) {
        /* WRITING, begun now, of nobody's tag */
        words[i / 8 * (int)(u.table.bucket_size / 8) + i % 8] = (apr_uint64_t)2 << 46 | NOW;
    }
    ck_assert_uint_eq(used(&u, NOW), 0);
    ck_assert_int_eq(put(&u, 1, 1, NOW + 999, HOUR), USHER_TABLE_BUSY);
    ck_assert_int_eq(put(&u, 1, 1, NOW + 1000, HOUR), USHER_TABLE_NEW);
    ck_assert_int_eq(get(&u, 1, NOW + 1000, 0), 1);
    /* one that wrote over an entry that is another's by now: the entry is lost, not wrong */
    for (i = 0; i < 16; ++i) {
        char *entry = u.table.buckets + i / 8 * (int)u.table.bucket_size + 64 + i % 8 * 48;

        ((apr_uint64_t *)(void *)entry)[4] ^= 1;
    }
    ck_assert_int_eq(get(&u, 1, NOW + 1000, 0), -1);
    ck_assert_int_eq(put(&u, 1, 1, NOW + 1000, HOUR), USHER_TABLE_NEW);
    free(u.memory);
}
END_TEST

/* What children write is never believed: no entry comes of it, and nothing lasts. */
START_TEST(garbage)
{
    unit_table_t u = unit_table(16), to = unit_table(32);
    apr_uint64_t kept, dropped, id;
    size_t i;
    int round;

    seed = 3;
    for (round = 0; round < 200; ++round) {
        unsigned char *bytes = u.memory;

        for (i = 0; i < u.size; ++i) {
            bytes[i] = round == 0 ? 0xff : (unsigned char)rand_r(&seed);
        }
        u.space = usher_table_space(&u.table, "test", 4);
        for (id = 0; id < 200; ++id) {
            ck_assert_int_eq(get(&u, id, NOW, HOUR), -1);
            take_out(&u, id, NOW);
            put(&u, id, id, NOW, HOUR);
        }
        memset(to.memory, 0, to.size);
        usher_table_carry(&to.table, &u.table, NOW, &kept, &dropped);
        ck_assert_uint_le(kept, 128);
        /* an hour and more later it serves as a fresh one does */
        for (id = 1000; id < 1064; ++id) {
            ck_assert_int_eq(put(&u, id, id, NOW + 3 * DAY, HOUR), USHER_TABLE_NEW);
        }
        for (id = 1000; id < 1064; ++id) {
            ck_assert_int_eq(get(&u, id, NOW + 3 * DAY, 0), (apr_int64_t)id);
        }
    }
    free(u.memory);
    free(to.memory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("table");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, one_entry);
    tcase_add_test(tests, expiry);
    tcase_add_test(tests, touch);
    tcase_add_test(tests, spaces);
    tcase_add_test(tests, eviction);
    tcase_add_test(tests, as_a_map);
    tcase_add_test(tests, full_to_four_fifths);
    tcase_add_test(tests, worth_more);
    tcase_add_test(tests, another_size);
    tcase_add_test(tests, killed_while_writing);
    tcase_add_test(tests, garbage);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
