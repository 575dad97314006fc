/* The roster's memory: members that come, change, go and come again; leases; what is
 * remembered; another size; a writer that was killed at each of its steps; any contents. */
#include "unit.h"
#include <apr_general.h>
#include <apr_strings.h>
#include <stdio.h>
#include "usher_roster_table.h"

enum { MEMBERS = 20 };

static char *memory;
static apr_uint64_t size;
static usher_roster_table_t table;

static void setup(void)
{
    size = usher_roster_table_size(MEMBERS);
    ck_assert_int_eq(posix_memalign((void **)&memory, 64, size), 0);
    memset(memory, 0, size);
    usher_roster_table_open(&table, memory, size);
}

static void teardown(void)
{
    free(memory);
}

/* Ids whose searches begin at one place: they get into each other's way. */
static usher_roster_entry_t make(int number, apr_uint64_t version)
{
    usher_roster_entry_t entry;

    memset(&entry, 0, sizeof(entry));
    entry.id[0] = 1;
    entry.id[15] = (unsigned char)number;
    entry.id[8] = (unsigned char)(number + 1);
    snprintf(entry.cluster, sizeof(entry.cluster), "app");
    snprintf(entry.route, sizeof(entry.route), "r%d", number);
    snprintf(entry.url, sizeof(entry.url), "ajp://10.0.0.%d:8009", number);
    entry.version = version;
    entry.weight = 1;
    entry.lease = 30000;
    entry.expires_at = 1000000;
    entry.saved_at = 970000;
    entry.load = -1;
    return entry;
}

static int set(const usher_roster_entry_t *entry)
{
    int told = -1;
    apr_status_t rv = usher_roster_table_set(&table, entry, &told);

    return rv == APR_SUCCESS ? 1 + told : rv == APR_EEXIST ? 0 : -1;
}
enum { FULL = -1, OLDER, QUIET, TOLD };

static apr_uint32_t changes(const char *cluster)
{
    return atomic_load(usher_roster_table_changes(&table, cluster));
}

START_TEST(members)
{
    usher_roster_entry_t entry = make(1, 10), is;

    ck_assert_uint_eq(table.count, MEMBERS);
    ck_assert_int_eq(usher_roster_table_get(&table, entry.id, &is), 0);
    ck_assert_int_eq(set(&entry), TOLD);
    ck_assert_uint_eq(changes("app"), 1);
    ck_assert_int_eq(usher_roster_table_get(&table, entry.id, &is), 1);
    ck_assert_uint_eq(is.generation, 1);
    ck_assert_str_eq(is.url, "ajp://10.0.0.1:8009");
    entry.generation = 1;
    ck_assert_mem_eq(&is, &entry, sizeof(is));

    ck_assert_int_eq(set(&entry), OLDER);
    entry.version = 9;
    ck_assert_int_eq(set(&entry), OLDER);
    entry.version = 11;
    ck_assert_int_eq(set(&entry), QUIET); /* its version is all that changed */
    ck_assert_uint_eq(changes("app"), 1);
    entry.version = 12;
    entry.weight = 3;
    ck_assert_int_eq(set(&entry), TOLD);
    usher_roster_table_get(&table, entry.id, &is);
    ck_assert_uint_eq(is.generation, 1); /* links stay */
    ck_assert_uint_eq(is.weight, 3);
    entry.version = 13;
    strcpy(entry.url, "http://10.0.0.1:8080");
    ck_assert_int_eq(set(&entry), TOLD);
    usher_roster_table_get(&table, entry.id, &is);
    ck_assert_uint_eq(is.generation, 2);
    entry.version = 14;
    strcpy(entry.check, "/health");
    ck_assert_int_eq(set(&entry), TOLD);
    entry.version = 15;
    strcpy(entry.secret, "name:tc");
    ck_assert_int_eq(set(&entry), TOLD);
    usher_roster_table_get(&table, entry.id, &is);
    ck_assert_uint_eq(is.generation, 4);
    ck_assert_uint_eq(changes("app"), 5);
    entry.version = 16;
    entry.drain_until = 5;
    ck_assert_int_eq(set(&entry), TOLD);
}
END_TEST

START_TEST(owners)
{
    int number;

    for (number = 1; number <= 5; ++number) {
        usher_roster_entry_t entry = make(number, 10);

        snprintf(entry.owner, sizeof(entry.owner), number < 4 ? "one" : "on");
        ck_assert_int_eq(set(&entry), TOLD);
    }
    ck_assert_uint_eq(usher_roster_table_count(&table, "one"), 3);
    ck_assert_uint_eq(usher_roster_table_count(&table, "on"), 2);
    ck_assert_uint_eq(usher_roster_table_count(&table, "o"), 0);
    ck_assert_int_eq(usher_roster_table_remove(&table, make(2, 0).id, 11), APR_SUCCESS);
    ck_assert_uint_eq(usher_roster_table_count(&table, "one"), 2);
}
END_TEST

/* Of each length: as long as a word, one more, one less. */
START_TEST(names_of_owners)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    usher_roster_entry_t entry = make(1, 10);
    char name[USHER_ROSTER_OWNER_SIZE + 1];
    int len, other;

    for (len = 0; len < USHER_ROSTER_OWNER_SIZE; ++len) {
        entry.version++;
        memset(entry.owner, 0xee, sizeof(entry.owner)); /* what stands behind the NUL means nothing */
        snprintf(entry.owner, sizeof(entry.owner), "%.*s", len, letters);
        set(&entry);
        for (other = 0; other <= USHER_ROSTER_OWNER_SIZE; ++other) {
            snprintf(name, sizeof(name), "%.*s", other, letters);
            ck_assert_uint_eq(usher_roster_table_count(&table, name), other == len);
        }
        snprintf(name, sizeof(name), "%.*s", len, letters);
        if (len) {
            name[len - 1] = '!';
            ck_assert_uint_eq(usher_roster_table_count(&table, name), 0);
        }
    }
}
END_TEST

START_TEST(removal)
{
    usher_roster_entry_t entry = make(1, 10), is;

    ck_assert_int_eq(usher_roster_table_remove(&table, entry.id, 5), APR_NOTFOUND);
    ck_assert_uint_eq(usher_roster_table_removed(&table, entry.id), 5);
    entry.version = 5;
    ck_assert_int_eq(set(&entry), OLDER);
    entry.version = 10;
    ck_assert_int_eq(set(&entry), TOLD);
    ck_assert_uint_eq(usher_roster_table_removed(&table, entry.id), 0);
    ck_assert_int_eq(usher_roster_table_remove(&table, entry.id, 10), APR_NOTFOUND);
    ck_assert_int_eq(usher_roster_table_get(&table, entry.id, &is), 1);
    ck_assert_int_eq(usher_roster_table_remove(&table, entry.id, 11), APR_SUCCESS);
    ck_assert_uint_eq(changes("app"), 2);
    ck_assert_int_eq(usher_roster_table_get(&table, entry.id, &is), 0);
    ck_assert_uint_eq(usher_roster_table_removed(&table, entry.id), 11);
    ck_assert_int_eq(usher_roster_table_remove(&table, entry.id, 8), APR_NOTFOUND);
    ck_assert_uint_eq(usher_roster_table_removed(&table, entry.id), 11);
    entry.version = 11;
    ck_assert_int_eq(set(&entry), OLDER);
    entry.version = 12;
    ck_assert_int_eq(set(&entry), TOLD);
    usher_roster_table_get(&table, entry.id, &is);
    ck_assert_uint_eq(is.generation, 2); /* it was gone meanwhile */
}
END_TEST

START_TEST(full)
{
    usher_roster_entry_t entry, is;
    int i, round;

    for (round = 0; round < 3; ++round) {
        apr_uint64_t version = (apr_uint64_t)round * 10 + 1;

        for (i = 0; i <= MEMBERS; ++i) {
            entry = make(i, version);
            ck_assert_int_eq(set(&entry), i < MEMBERS ? TOLD : FULL);
        }
        for (i = 0; i < MEMBERS; ++i) {
            entry = make(i, 0);
            ck_assert_int_eq(usher_roster_table_get(&table, entry.id, &is), 1);
            ck_assert_str_eq(is.route, entry.route);
        }
        for (i = MEMBERS - 1; i >= 0; --i) {
            int at = (i + round * 7) % MEMBERS;

            entry = make(at, 0);
            ck_assert_int_eq(usher_roster_table_remove(&table, entry.id, version + 1), APR_SUCCESS);
        }
    }
    /* a place that was used is no longer searched past once all behind it are empty */
    for (i = 0; i < MEMBERS; ++i) {
        ck_assert_int_eq(usher_roster_table_at(&table, (apr_uint32_t)i, &is), 0);
    }
}
END_TEST

/* As many as there is room for; of those the last. */
START_TEST(remembered)
{
    int i, known = 0;

    for (i = 0; i < 200; ++i) {
        usher_roster_entry_t entry = make(i, 0);

        usher_roster_table_remove(&table, entry.id, (apr_uint64_t)i + 1);
        ck_assert_uint_eq(usher_roster_table_removed(&table, entry.id), (apr_uint64_t)i + 1);
    }
    for (i = 0; i < 200; ++i) {
        usher_roster_entry_t entry = make(i, 0);

        known += usher_roster_table_removed(&table, entry.id) != 0;
        ck_assert(i < 160 || usher_roster_table_removed(&table, entry.id));
    }
    ck_assert_int_eq(known, 2 * MEMBERS);
}
END_TEST

START_TEST(leases)
{
    usher_roster_entry_t entry = make(1, 10), is;
    const unsigned char *id = entry.id;

    ck_assert_int_eq(usher_roster_table_renew(&table, id, -1, 0, 975000), -1);
    set(&entry);
    ck_assert_int_eq(usher_roster_table_renew(&table, id, 70, 100, 975000), 0);
    usher_roster_table_get(&table, id, &is);
    ck_assert_int_eq(is.expires_at, 1005000);
    ck_assert_int_eq(is.saved_at, 970000);
    ck_assert_int_eq(is.load, 70);
    ck_assert_uint_eq(is.created, 100);
    ck_assert_uint_eq(is.version, 10);

    ck_assert_int_eq(usher_roster_table_renew(&table, id, 90, 99, 976000), -2);
    ck_assert_int_eq(usher_roster_table_renew(&table, id, -1, 100, 980000), 1); /* a third */
    ck_assert_int_eq(usher_roster_table_renew(&table, id, -1, 0, 980001), 0);
    usher_roster_table_get(&table, id, &is);
    ck_assert_int_eq(is.expires_at, 1010001);
    ck_assert_int_eq(is.saved_at, 980000);
    ck_assert_int_eq(is.load, 70);
    ck_assert_uint_eq(changes("app"), 1);

    /* What comes back from the store is not newer than what heartbeats said. */
    entry.version = 11;
    entry.created = 5;
    ck_assert_int_eq(set(&entry), QUIET);
    usher_roster_table_get(&table, id, &is);
    ck_assert_int_eq(is.expires_at, 1010001);
    ck_assert_int_eq(is.saved_at, 980000);
    ck_assert_uint_eq(is.created, 100);
    /* At another place they go on. */
    entry.version = 12;
    strcpy(entry.url, "ajp://10.9.9.9:8009");
    set(&entry);
    usher_roster_table_get(&table, id, &is);
    ck_assert_int_eq(is.expires_at, 1010001);
    ck_assert_uint_eq(is.created, 100);
    ck_assert_int_eq(is.load, 70);
    /* A shorter lease counts at once. */
    entry.version = 13;
    entry.lease = 5000;
    entry.expires_at = 990000;
    set(&entry);
    usher_roster_table_get(&table, id, &is);
    ck_assert_int_eq(is.expires_at, 990000);
    ck_assert_int_eq(usher_roster_table_renew(&table, id, 2000000000, 0, 989000), 1);
    usher_roster_table_get(&table, id, &is);
    ck_assert_int_eq(is.load, 65000);
    /* So does its end, whatever heartbeats this node has heard. */
    entry.version = 14;
    entry.drain_until = 1500000;
    entry.expires_at = 988000;
    ck_assert_int_eq(set(&entry), TOLD);
    usher_roster_table_get(&table, id, &is);
    ck_assert_int_eq(is.expires_at, 988000);
    /* Who drains goes on with what heartbeats say. */
    usher_roster_table_renew(&table, id, -1, 0, 989000);
    entry.version = 15;
    entry.weight = 2;
    ck_assert_int_eq(set(&entry), TOLD);
    usher_roster_table_get(&table, id, &is);
    ck_assert_int_eq(is.expires_at, 994000);
    /* Who comes again has nothing of it. */
    usher_roster_table_remove(&table, id, 16);
    entry = make(1, 17);
    set(&entry);
    usher_roster_table_get(&table, id, &is);
    ck_assert_int_eq(is.expires_at, 1000000);
    ck_assert_int_eq(is.load, -1);
    ck_assert_uint_eq(is.created, 0);
}
END_TEST

START_TEST(sizes)
{
    static const int counts[] = { 1, MEMBERS, 200 };
    usher_roster_entry_t entry, is;
    int i, n;

    for (i = 0; i < MEMBERS; ++i) {
        entry = make(i, 10);
        set(&entry);
    }
    usher_roster_table_renew(&table, entry.id, 7, 77, 980000);
    for (i = 100; i < 110; ++i) {
        entry = make(i, 0);
        usher_roster_table_remove(&table, entry.id, 30);
    }
    for (n = 0; n < UNIT_COUNT(counts); ++n) {
        apr_uint64_t to_size = usher_roster_table_size((apr_uint32_t)counts[n]);
        char *other = NULL;
        usher_roster_table_t to;
        apr_uint64_t kept = 0, dropped = 0;

        ck_assert_int_eq(posix_memalign((void **)&other, 64, to_size), 0);
        memset(other, 0, to_size);
        usher_roster_table_open(&to, other, to_size);
        usher_roster_table_carry(&to, &table, &kept, &dropped);
        ck_assert_uint_eq(kept, (apr_uint64_t)(counts[n] < MEMBERS ? counts[n] : MEMBERS));
        ck_assert_uint_eq(kept + dropped, MEMBERS);
        entry = make(MEMBERS - 1, 0);
        if (!dropped) {
            ck_assert_int_eq(usher_roster_table_get(&to, entry.id, &is), 1);
            ck_assert_uint_eq(is.generation, MEMBERS);
            ck_assert_int_eq(is.expires_at, 1010000);
            ck_assert_uint_eq(is.created, 77);
            entry = make(109, 0);
            ck_assert_uint_eq(usher_roster_table_removed(&to, entry.id), 30);
        }
        ck_assert_uint_ne(atomic_load(usher_roster_table_changes(&to, "app")), changes("app"));
        free(other);
    }
}
END_TEST

START_TEST(half_written)
{
    usher_roster_entry_t entry = make(1, 10), is;
    apr_uint32_t at;

    set(&entry);
    for (at = 0; usher_roster_table_at(&table, at, &is) != 1; ++at) {
    }
    /* written down, killed before, in the middle of and after the slot */
    for (int odd = 0; odd <= 1; ++odd) {
        entry = is;
        ++entry.version;
        apr_cpystrn(entry.url, odd ? "http://b" : "http://a", sizeof(entry.url));
        table.header->entry = entry;
        table.header->at = at;
        table.header->told = 1;
        atomic_store(&table.header->change, 1);
        if (odd) {
            atomic_fetch_add(&table.slots[at].sequence, 1);
            atomic_store(&table.slots[at].words[3], 0x4141414141414141);
            ck_assert_int_eq(usher_roster_table_get(&table, entry.id, &is), USHER_ROSTER_BUSY);
            ck_assert_int_eq(usher_roster_table_renew(&table, entry.id, 1, 1, 980000),
                             USHER_ROSTER_BUSY);
        }
        ck_assert_int_eq(usher_roster_table_mend(&table), 1);
        ck_assert_int_eq(usher_roster_table_get(&table, entry.id, &is), 1);
        ck_assert_mem_eq(&is, &entry, sizeof(is));
        ck_assert_int_eq(usher_roster_table_mend(&table), 0);
    }
    /* a removal */
    table.header->version = 99;
    atomic_store(&table.header->change, 2);
    ck_assert_int_eq(usher_roster_table_mend(&table), 1);
    ck_assert_int_eq(usher_roster_table_get(&table, entry.id, &is), 0);
    ck_assert_uint_eq(usher_roster_table_removed(&table, entry.id), 99);
    /* what nobody writes is emptied */
    entry.version = 100;
    set(&entry);
    atomic_fetch_add(&table.slots[at].sequence, 1);
    usher_roster_table_mend_slot(&table, at);
    ck_assert_int_eq(usher_roster_table_at(&table, at, &is), 0);
    entry.version = 101;
    ck_assert_int_eq(set(&entry), TOLD);
}
END_TEST

START_TEST(garbage)
{
    char *before = malloc(size), *other = NULL;
    unsigned int seed = 1;
    usher_roster_entry_t entry, is;
    int round, i;

    ck_assert_int_eq(posix_memalign((void **)&other, 64, size), 0);
    for (i = 0; i < MEMBERS; ++i) {
        entry = make(i, 10);
        set(&entry);
    }
    memcpy(before, memory, size);
    for (round = 0; round < 3000; ++round) {
        apr_uint64_t kept = 0, dropped = 0;
        usher_roster_table_t to;

        memcpy(memory, before, size);
        for (i = 0; i < 1 + round % 2000; ++i) {
            memory[(apr_uint64_t)rand_r(&seed) % size] = (char)rand_r(&seed);
        }
        if (round % 100 == 99) {
            memset(memory, rand_r(&seed), size);
        }
        usher_roster_table_mend(&table);
        entry = make(rand_r(&seed) % 30, (apr_uint64_t)rand_r(&seed));
        for (i = 0; i < MEMBERS; ++i) {
            if (usher_roster_table_at(&table, (apr_uint32_t)i, &is) == 1) {
                ck_assert_uint_lt(strlen(is.url) + strlen(is.secret) + strlen(is.labels), size);
            }
            usher_roster_table_mend_slot(&table, (apr_uint32_t)i);
        }
        usher_roster_table_renew(&table, entry.id, 1, 1, 1);
        usher_roster_table_get(&table, entry.id, &is);
        set(&entry);
        usher_roster_table_remove(&table, make(rand_r(&seed) % 30, 0).id,
                                  (apr_uint64_t)rand_r(&seed));
        memset(other, 0, size);
        usher_roster_table_open(&to, other, size);
        usher_roster_table_carry(&to, &table, &kept, &dropped);
        ck_assert_uint_le(kept, MEMBERS);
    }
    free(before);
    free(other);
}
END_TEST

/* As docs tell, and as static members have theirs. */
START_TEST(ids)
{
    unsigned char id[USHER_ID_SIZE], expected[USHER_ID_SIZE], other[USHER_ID_SIZE];

    unit_bytes(expected, "a1875fbe7efa5689b1a9b3bf98891ffe");
    usher_roster_id(id, "app", "tc1");
    ck_assert_mem_eq(id, expected, sizeof(id));
    usher_roster_id(other, "app@www.example.com", "tc1");
    ck_assert_mem_ne(id, other, sizeof(id));
    usher_roster_id(other, "app", "tc2");
    ck_assert_mem_ne(id, other, sizeof(id));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("roster");
    TCase *tests = tcase_create("roster");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, members);
    tcase_add_test(tests, owners);
    tcase_add_test(tests, names_of_owners);
    tcase_add_test(tests, removal);
    tcase_add_test(tests, full);
    tcase_add_test(tests, remembered);
    tcase_add_test(tests, leases);
    tcase_add_test(tests, sizes);
    tcase_add_test(tests, half_written);
    tcase_add_test(tests, garbage);
    tcase_add_test(tests, ids);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
