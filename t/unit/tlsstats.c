#include "tlsstats.h"

#define ROWS 64

static usher_tlsstats_row_t rows[ROWS];

static memory_t memory;
#define STATS (&memory.stats)

static void setup(void)
{
    memory_begin(&memory);
}

static void teardown(void)
{
    free(memory.base);
}

START_TEST(rows_are_exact)
{
    usher_tlsstats_span_t hour = usher_tlsstats_last(USHER_TLSSTATS_BY_HOUR, 1, NOW);
    usher_tlsstats_span_t day = usher_tlsstats_last(USHER_TLSSTATS_BY_DAY, 1, NOW);
    usher_tlsstats_span_t week = usher_tlsstats_last(USHER_TLSSTATS_BY_DAY, 7, NOW);
    apr_uint32_t len, i;

    ck_assert_uint_eq(usher_tlsstats_vhost(STATS, "www.example.com:443"), 1);
    ck_assert_uint_eq(usher_tlsstats_vhost(STATS, "api.example.com:443"), 2);
    ck_assert_uint_eq(usher_tlsstats_vhost(STATS, "www.example.com:443"), 1);
    for (i = 0; i < 10; ++i) {
        shake(STATS, TLS13, 0x1301, USHER_TLSSTATS_DONE, i, NOW - (i < 4 ? DAY : 0));
        ask(STATS, 1, TLS13, 0x1301, NOW);
        ask(STATS, 2, TLS13, 0x1301, NOW);
    }
    for (i = 0; i < 3; ++i) {
        shake(STATS, TLS10, 0xc013, USHER_TLSSTATS_DONE, i, NOW);
        shake(STATS, TLS10, 0, 2, i, NOW);
    }
    len = usher_tlsstats_rows(STATS, USHER_TLSSTATS_VERSION, USHER_TLSSTATS_ALL, 0, &always, rows, ROWS);
    ck_assert_uint_eq(len, 2);
    ck_assert_uint_eq(rows[0].version, TLS13);
    ck_assert_uint_eq(rows[0].connections, 10);
    ck_assert_uint_eq(rows[0].requests, 20);
    ck_assert_uint_eq(rows[1].version, TLS10);
    ck_assert_uint_eq(rows[1].connections, 3);
    ck_assert_uint_eq(usher_tlsstats_rows(STATS, USHER_TLSSTATS_CIPHER, 2, 0, &hour, rows, ROWS), 1);
    ck_assert_uint_eq(rows[0].cipher, 0x1301);
    ck_assert_uint_eq(rows[0].connections, 0);
    ck_assert_uint_eq(rows[0].requests, 10);
    usher_tlsstats_rows(STATS, USHER_TLSSTATS_VERSION, 1, 0, &day, rows, ROWS);
    ck_assert_uint_eq(rows[0].connections, 6);
    usher_tlsstats_rows(STATS, USHER_TLSSTATS_VERSION, 1, 0, &week, rows, ROWS);
    ck_assert_uint_eq(rows[0].connections, 10);
    len = usher_tlsstats_rows(STATS, USHER_TLSSTATS_OUTCOME | USHER_TLSSTATS_VERSION,
                              USHER_TLSSTATS_ALL, 1, &day, rows, ROWS);
    ck_assert_uint_eq(len, 1);
    ck_assert_uint_eq(rows[0].outcome, 2);
    ck_assert_uint_eq(rows[0].version, TLS10);
    ck_assert_uint_eq(rows[0].connections, 3);
    ck_assert_int_eq(usher_tlsstats_clients(STATS, TLS13, 0, &always), 10);
    ck_assert_int_eq(usher_tlsstats_clients(STATS, TLS13, 0x1301, &day), 6);
    ck_assert_int_eq(usher_tlsstats_clients(STATS, TLS13, 0, &week), 10);
    ck_assert_int_eq(usher_tlsstats_clients(STATS, 0, 0, &week), 10);
    ck_assert_int_eq(usher_tlsstats_clients(STATS, 0x0302, 0, &week), -1);
}
END_TEST

/* A month of it, then the slots of the first days are of later ones. */
START_TEST(days_and_hours_pass)
{
    usher_tlsstats_span_t span;
    apr_int64_t hour;

    for (hour = 0; hour < 24 * 40; ++hour) {
        shake(STATS, TLS12, 0xc02f, USHER_TLSSTATS_DONE, (apr_uint32_t)(hour / 24),
              NOW + hour * HOUR);
    }
    span = usher_tlsstats_last(USHER_TLSSTATS_BY_DAY, 31, NOW + 39 * DAY);
    usher_tlsstats_rows(STATS, USHER_TLSSTATS_VERSION, 1, 0, &span, rows, ROWS);
    ck_assert_uint_eq(rows[0].connections, 31 * 24);
    ck_assert_int_ge(usher_tlsstats_clients(STATS, TLS12, 0, &span), 31);
    ck_assert_int_le(usher_tlsstats_clients(STATS, TLS12, 0, &span), 32);
    span = usher_tlsstats_last(USHER_TLSSTATS_BY_DAY, 400, NOW + 40 * DAY - HOUR);
    usher_tlsstats_rows(STATS, USHER_TLSSTATS_VERSION, 1, 0, &span, rows, ROWS);
    ck_assert_uint_eq(rows[0].connections, 31 * 24 + 18); /* till 17:30 */
    span = usher_tlsstats_last(USHER_TLSSTATS_BY_HOUR, 48, NOW + 40 * DAY - HOUR);
    usher_tlsstats_rows(STATS, USHER_TLSSTATS_VERSION, 1, 0, &span, rows, ROWS);
    ck_assert_uint_eq(rows[0].connections, 48);
    usher_tlsstats_rows(STATS, USHER_TLSSTATS_VERSION, 1, 0, &always, rows, ROWS);
    ck_assert_uint_eq(rows[0].connections, 24 * 40);
}
END_TEST

/* Ten years ahead for one handshake, before 1970 for another one. */
START_TEST(clock_jumps)
{
    usher_tlsstats_span_t month = usher_tlsstats_last(USHER_TLSSTATS_BY_DAY, 31, NOW);
    int i;

    for (i = 0; i < 31; ++i) {
        shake(STATS, TLS12, 0xc02f, USHER_TLSSTATS_DONE, 1, NOW - i * DAY);
    }
    shake(STATS, TLS12, 0xc02f, USHER_TLSSTATS_DONE, 1, NOW + 3650 * DAY);
    shake(STATS, TLS12, 0xc02f, USHER_TLSSTATS_DONE, 1, -5);
    shake(STATS, TLS12, 0xc02f, USHER_TLSSTATS_DONE, 1, INT64_MAX);
    shake(STATS, TLS12, 0xc02f, USHER_TLSSTATS_DONE, 1, INT64_MIN);
    usher_tlsstats_rows(STATS, USHER_TLSSTATS_VERSION, 1, 0, &month, rows, ROWS);
    ck_assert_uint_ge(rows[0].connections, 28);
    ck_assert_uint_le(rows[0].connections, 31);
    usher_tlsstats_rows(STATS, USHER_TLSSTATS_VERSION, 1, 0, &always, rows, ROWS);
    ck_assert_uint_eq(rows[0].connections, 35);
    ck_assert_int_eq(usher_tlsstats_clients(STATS, TLS12, 0, &month), 1);
}
END_TEST

START_TEST(too_many_combinations_are_others)
{
    usher_tlsstats_row_t row;
    usher_tlsstats_handshake_t handshake = { NOW, 1, USHER_TLSSTATS_DONE, TLS12, 0, 29, NULL, NULL,
                                             USHER_TLSSTATS_FULL };
    apr_uint32_t i;

    for (i = 0; i < 60000; ++i) {
        handshake.cipher = (apr_uint16_t)i;
        usher_tlsstats_add(STATS, &handshake);
    }
    ck_assert_uint_eq(usher_tlsstats_rows(STATS, USHER_TLSSTATS_VERSION, USHER_TLSSTATS_ALL, 0,
                                          &always, &row, 1), 1);
    ck_assert_uint_eq(row.version, TLS12);
    ck_assert_uint_eq(row.connections, 60000);
    ck_assert_uint_eq(usher_tlsstats_rows(STATS, USHER_TLSSTATS_CIPHER, USHER_TLSSTATS_ALL, 0,
                                          &always, rows, 3), 3);
    ck_assert_uint_eq(rows[0].connections + rows[1].connections + rows[2].connections, 60000);
    for (i = 1; i < USHER_TLSSTATS_VHOSTS; ++i) {
        char name[16];

        snprintf(name, sizeof(name), "v%u:443", i);
        ck_assert_uint_eq(usher_tlsstats_vhost(STATS, name), i);
    }
    ck_assert_uint_eq(usher_tlsstats_vhost(STATS, "one more"), 0);
}
END_TEST

static usher_tlsstats_client_t clients[USHER_TLSSTATS_LISTS * USHER_TLSSTATS_CLIENTS];
static int clients_len;

static int see_client(void *baton, const usher_tlsstats_client_t *client)
{
    (void)baton;
    clients[clients_len++] = *client;
    return 1;
}

static void look(void)
{
    clients_len = 0;
    usher_tlsstats_each_client(STATS, see_client, NULL);
}

START_TEST(old_and_weak_are_named)
{
    unsigned char address[16];
    int i;

    shake(STATS, TLS13, 0x1301, USHER_TLSSTATS_DONE, 1, NOW);
    shake(STATS, TLS12, 0xc02f, USHER_TLSSTATS_DONE, 2, NOW);
    look();
    ck_assert_int_eq(clients_len, 0);
    shake(STATS, TLS12, 0x002f, USHER_TLSSTATS_DONE, 3, NOW);
    shake(STATS, TLS10, 0xc013, USHER_TLSSTATS_DONE, 4, NOW);
    introduce(STATS, TLS10, 0xc013, 4, "Mozilla/4.0 (compatible; MSIE 6.0)");
    introduce(STATS, TLS10, 0xc013, 4, "another one");
    shake(STATS, TLS10, 0, 3, 4, NOW + 5);
    look();
    ck_assert_int_eq(clients_len, 3);
    client_address(address, 4);
    for (i = 0; i < clients_len; ++i) {
        if (clients[i].version == TLS10) {
            break;
        }
    }
    ck_assert_int_lt(i, 3);
    ck_assert_mem_eq(clients[i].address, address, 16);
    ck_assert_int_eq(clients[i].first_seen, NOW);
    ck_assert_int_eq(clients[i].last_seen, NOW + 5);
    ck_assert_uint_eq(clients[i].count, 2);
    ck_assert_uint_eq(clients[i].failed, 1);
    ck_assert_uint_ne(clients[i].offer, 0);
    ck_assert_str_eq(clients[i].agent, "Mozilla/4.0 (compatible; MSIE 6.0)");
}
END_TEST

/* 20 customers, often; and ten thousand scanners, once each. */
START_TEST(frequent_clients_stay)
{
    apr_uint64_t sum = 0;
    int i, k, found = 0;

    for (i = 0; i < 10000; ++i) {
        shake(STATS, TLS10, 0xc02f, USHER_TLSSTATS_DONE, 100000 + (apr_uint32_t)i, NOW);
        shake(STATS, TLS10, 0xc02f, USHER_TLSSTATS_DONE, (apr_uint32_t)i % 20, NOW);
    }
    look();
    ck_assert_int_eq(clients_len, USHER_TLSSTATS_CLIENTS);
    for (k = 0; k < clients_len; ++k) {
        sum += clients[k].count;
        if (clients[k].address[13] == 0) {
            ck_assert_uint_ge(clients[k].count, 500);
            ck_assert_uint_le(clients[k].count - clients[k].over, 500);
            ++found;
        }
    }
    ck_assert_int_eq(found, 20);
    ck_assert_uint_eq(sum, 20000);
}
END_TEST

START_TEST(privacy)
{
    unsigned char address[16] = { 0x20, 1, 0xd, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    unsigned char prefix[16] = { 0x20, 1, 0xd, 0xb8, 1, 2 };
    usher_tlsstats_handshake_t handshake = { NOW, 1, USHER_TLSSTATS_DONE, TLS10, 0xc02f, 29, NULL,
                                             address, USHER_TLSSTATS_OFF };
    unsigned int i;

    usher_tlsstats_add(STATS, &handshake);
    look();
    ck_assert_int_eq(clients_len, 0);
    handshake.keep = USHER_TLSSTATS_PREFIX;
    for (i = 0; i < 8; ++i) {
        address[9] = (unsigned char)i;
        address[7] = (unsigned char)(i / 4);
        usher_tlsstats_add(STATS, &handshake);
    }
    look();
    ck_assert_int_eq(clients_len, 1);
    ck_assert_mem_eq(clients[0].address, prefix, 16);
    ck_assert_int_eq(clients[0].is_prefix, 1);
    ck_assert_uint_eq(clients[0].count, 8);
    ck_assert_int_eq(usher_tlsstats_clients(STATS, TLS10, 0, &always), 3); /* by /64 */
    handshake.keep = USHER_TLSSTATS_FULL;
    usher_tlsstats_add(STATS, &handshake);
    look();
    ck_assert_int_eq(clients_len, 2);
    ck_assert_uint_eq(usher_tlsstats_forget(STATS, USHER_TLSSTATS_FULL, 7 * DAY, NOW + DAY), 0);
    /* A clock that has not been set yet tells nothing. */
    ck_assert_uint_eq(usher_tlsstats_forget(STATS, USHER_TLSSTATS_FULL, 7 * DAY, DAY), 0);
    ck_assert_uint_eq(usher_tlsstats_forget(STATS, USHER_TLSSTATS_FULL, 7 * DAY, NOW + DAY), 0);
    ck_assert_uint_eq(usher_tlsstats_forget(STATS, USHER_TLSSTATS_PREFIX, 7 * DAY, NOW), 1);
    ck_assert_uint_eq(usher_tlsstats_forget(STATS, USHER_TLSSTATS_PREFIX, 7 * DAY, NOW + 8 * DAY), 1);
    look();
    ck_assert_int_eq(clients_len, 0);
}
END_TEST

static usher_tlsstats_offer_t offers[4096];
static int offers_len;

static int see_offer(void *baton, const usher_tlsstats_offer_t *offer)
{
    (void)baton;
    offers[offers_len++] = *offer;
    return 1;
}

static void look_offers(void)
{
    offers_len = 0;
    usher_tlsstats_each_offer(STATS, see_offer, NULL);
}

START_TEST(offers_whatever_their_order)
{
    usher_hello_t hello = hello_of(TLS13, 0);
    unsigned char address[16];
    usher_tlsstats_handshake_t handshake = { NOW, 1, USHER_TLSSTATS_DONE, TLS13, 0x1301, 29, &hello,
                                             address, USHER_TLSSTATS_FULL };
    usher_tlsstats_span_t week = usher_tlsstats_last(USHER_TLSSTATS_BY_DAY, 7, NOW + DAY);
    usher_tlsstats_union_t both = { { 0 } };

    client_address(address, 1);
    usher_tlsstats_add(STATS, &handshake);
    hello.ciphers[0] = 0xc013;
    hello.ciphers[1] = 0xc02f;
    handshake.now += DAY;
    handshake.outcome = 4;
    client_address(address, 2);
    usher_tlsstats_add(STATS, &handshake);
    look_offers();
    ck_assert_int_eq(offers_len, 1);
    ck_assert_uint_eq(offers[0].connections, 2);
    ck_assert_uint_eq(offers[0].ciphers_len, 3);
    ck_assert_uint_eq(offers[0].ciphers[0], 0x8000);
    ck_assert_uint_eq(offers[0].ciphers[1], 0xc013);
    ck_assert_uint_eq(offers[0].ciphers[2], 0xc02f);
    ck_assert_uint_eq(offers[0].versions_len, 2);
    ck_assert_uint_eq(offers[0].groups[0], 29);
    ck_assert_uint_eq(offers[0].sigalgs[0], 0x0804);
    ck_assert_int_eq(offers[0].first_seen, NOW);
    ck_assert_int_eq(offers[0].last_seen, NOW + DAY);
    ck_assert_uint_eq(usher_tlsstats_offered(STATS, &offers[0], &week).connections, 2);
    ck_assert_uint_eq(usher_tlsstats_offered(STATS, &offers[0], &week).failed, 1);
    ck_assert_uint_eq(usher_tlsstats_offered(STATS, &offers[0], &always).connections, 2);
    week.first += 6;
    ck_assert_uint_eq(usher_tlsstats_offered(STATS, &offers[0], &week).connections, 1);
    usher_tlsstats_union_add(&both, STATS, &offers[0], &week);
    ck_assert_uint_eq(usher_tlsstats_union_count(&both), 1);
    usher_tlsstats_union_add(&both, STATS, &offers[0], &always);
    ck_assert_uint_eq(usher_tlsstats_union_count(&both), 2);
    hello.sigalgs[0] = 0x0401;
    usher_tlsstats_add(STATS, &handshake);
    look_offers();
    ck_assert_int_eq(offers_len, 2);
}
END_TEST

/* Every connection is in the table, or told to be lost. */
START_TEST(no_offer_is_lost_silently)
{
    usher_tlsstats_span_t day = usher_tlsstats_last(USHER_TLSSTATS_BY_DAY, 1, NOW);
    apr_uint64_t sum = 0, today = 0;
    unsigned int i;
    int k;

    for (i = 0; i < 5000; ++i) {
        usher_hello_t hello = hello_of(TLS12, i % 2 ? i : i % 20);
        usher_tlsstats_handshake_t handshake = { NOW, 1, USHER_TLSSTATS_DONE, TLS12, 0xc02f, 29,
                                                 &hello, NULL, USHER_TLSSTATS_FULL };

        usher_tlsstats_add(STATS, &handshake);
    }
    look_offers();
    ck_assert_int_lt(offers_len, 2000);
    for (k = 0; k < offers_len; ++k) {
        sum += offers[k].connections;
        today += usher_tlsstats_offered(STATS, &offers[k], &day).connections;
    }
    ck_assert_uint_eq(sum, today);
    ck_assert_uint_eq(sum + usher_tlsstats_lost(STATS, &always), 5000);
    ck_assert_uint_eq(today + usher_tlsstats_lost(STATS, &day), 5000);
    ck_assert_uint_ge(sum, 2500); /* the ten frequent ones stayed */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tlsstats");
    TCase *tc = tcase_create("statistics of TLS");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, rows_are_exact);
    tcase_add_test(tc, days_and_hours_pass);
    tcase_add_test(tc, clock_jumps);
    tcase_add_test(tc, too_many_combinations_are_others);
    tcase_add_test(tc, old_and_weak_are_named);
    tcase_add_test(tc, frequent_clients_stay);
    tcase_add_test(tc, privacy);
    tcase_add_test(tc, offers_whatever_their_order);
    tcase_add_test(tc, no_offer_is_lost_silently);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
