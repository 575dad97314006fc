#include "tlsstats.h"

static memory_t memory;

/* Some of everything. */
static void setup(void)
{
    apr_uint32_t i;

    memory_begin(&memory);
    usher_tlsstats_vhost(&memory.stats, "www.example.com:443");
    for (i = 0; i < 40; ++i) {
        shake(&memory.stats, i % 2 ? TLS13 : TLS10, i % 2 ? 0x1301 : 0xc013,
              i % 7 ? USHER_TLSSTATS_DONE : 5, i, NOW + i * HOUR);
        introduce(&memory.stats, TLS10, 0xc013, (apr_uint32_t)i, "agent");
        if (i % 7) {
            ask(&memory.stats, 1, i % 2 ? TLS13 : TLS10, i % 2 ? 0x1301 : 0xc013, NOW + i * HOUR);
        }
    }
}

static void teardown(void)
{
    free(memory.base);
}

static bytes_t saved(const memory_t *of)
{
    bytes_t bytes = { NULL, 0, 0 };

    ck_assert_int_eq(usher_tlsstats_save(&of->stats, NOW, bytes_put, &bytes), 1);
    return bytes;
}

START_TEST(there_and_back)
{
    bytes_t bytes = saved(&memory), again;
    apr_uint64_t dropped, size;
    apr_int64_t at;
    memory_t other;

    ck_assert_int_eq(usher_tlsstats_peek(bytes.bytes, bytes.len, &size, &at), 1);
    ck_assert_uint_eq(size, USHER_TLSSTATS_SIZE_MIN);
    ck_assert_int_eq(at, NOW);
    memory_make(&other, size);
    ck_assert_int_eq(usher_tlsstats_load(&other.stats, bytes.bytes, bytes.len, &dropped), 1);
    ck_assert_uint_eq(dropped, 0);
    again = saved(&other);
    ck_assert_uint_eq(bytes.len, again.len);
    ck_assert_mem_eq(bytes.bytes, again.bytes, again.len);
    free(bytes.bytes);
    free(again.bytes);
    free(other.base);
}
END_TEST

/* And a sketch that is not sparse. */
START_TEST(into_another_size)
{
    usher_tlsstats_row_t rows[8];
    usher_tlsstats_handshake_t handshake = { NOW, 1, USHER_TLSSTATS_DONE, TLS13, 0x1302, 29, NULL,
                                             NULL, USHER_TLSSTATS_FULL };
    unsigned char address[16];
    apr_uint64_t dropped;
    memory_t other;
    bytes_t bytes;
    apr_uint32_t i;

    handshake.address = address;
    for (i = 0; i < 20000; ++i) {
        client_address(address, i);
        usher_tlsstats_add(&memory.stats, &handshake);
    }
    bytes = saved(&memory);
    memory_make(&other, 2 * USHER_TLSSTATS_SIZE_MIN);
    ck_assert_int_eq(usher_tlsstats_load(&other.stats, bytes.bytes, bytes.len, &dropped), 1);
    ck_assert_uint_eq(dropped, 0);
    ck_assert_int_eq(usher_tlsstats_clients(&other.stats, TLS13, 0, &always),
                     usher_tlsstats_clients(&memory.stats, TLS13, 0, &always));
    ck_assert_uint_eq(usher_tlsstats_rows(&other.stats, USHER_TLSSTATS_VERSION, 1, 0, &always, rows, 8), 2);
    ck_assert_uint_eq(rows[0].connections, 20017);
    free(bytes.bytes);
    free(other.base);
}
END_TEST

/* Where there is less room than before, all clients and those of each version go before those of
 * its ciphers. */
START_TEST(into_less_room)
{
    static const apr_uint16_t versions[] = { 0, 0x0301, 0x0302, TLS12, TLS13 };
    apr_uint64_t dropped;
    memory_t great, small;
    bytes_t bytes;
    apr_uint32_t i;

    memory_make(&great, USHER_TLSSTATS_SIZE);
    for (i = 0; i < 48; ++i) {
        shake(&great.stats, versions[1 + i % 4], (apr_uint16_t)(0xc000 + i), USHER_TLSSTATS_DONE, i, NOW);
    }
    bytes = saved(&great);
    memory_make(&small, USHER_TLSSTATS_SIZE_MIN);
    ck_assert_int_eq(usher_tlsstats_load(&small.stats, bytes.bytes, bytes.len, &dropped), 1);
    ck_assert_uint_gt(dropped, 0);
    for (i = 0; i < sizeof(versions) / sizeof(*versions); ++i) {
        ck_assert_int_eq(usher_tlsstats_clients(&small.stats, versions[i], 0, &always),
                         usher_tlsstats_clients(&great.stats, versions[i], 0, &always));
    }
    free(bytes.bytes);
    free(great.base);
    free(small.base);
}
END_TEST

static int loads(const unsigned char *bytes, size_t len)
{
    static memory_t to;
    unsigned char *copy = (unsigned char *)unit_copy(bytes, len);
    apr_uint64_t dropped;
    int rc;

    if (!to.base) {
        memory_make(&to, USHER_TLSSTATS_SIZE_MIN);
    }
    rc = usher_tlsstats_load(&to.stats, copy, len, &dropped);
    free(copy);
    return rc;
}

START_TEST(cut_anywhere)
{
    bytes_t bytes = saved(&memory);
    size_t len;

    for (len = 0; len < bytes.len; ++len) {
        ck_assert_msg(!loads(bytes.bytes, len), "%zu of %zu bytes", len, bytes.len);
    }
    free(bytes.bytes);
}
END_TEST

START_TEST(flipped_anywhere)
{
    bytes_t bytes = saved(&memory);
    size_t at;

    for (at = 0; at < bytes.len; ++at) {
        bytes.bytes[at] ^= (unsigned char)(1 << at % 8);
        ck_assert_msg(!loads(bytes.bytes, bytes.len), "byte %zu of %zu", at, bytes.len);
        bytes.bytes[at] ^= (unsigned char)(1 << at % 8);
    }
    free(bytes.bytes);
}
END_TEST

static int see_client(void *baton, const usher_tlsstats_client_t *client)
{
    ck_assert_uint_lt(strlen(client->agent), USHER_TLSSTATS_AGENT_SIZE);
    return ++*(int *)baton > 0;
}

static int see_offer(void *baton, const usher_tlsstats_offer_t *offer)
{
    usher_tlsstats_union_t clients = { { 0 } };

    usher_tlsstats_offered(baton, offer, &always);
    usher_tlsstats_union_add(&clients, baton, offer, &always);
    usher_tlsstats_union_count(&clients);
    return 1;
}

/* Children may write anything there: it is read, counted in and saved all the same. */
START_TEST(garbage)
{
    static const unsigned char fill[] = { 0xff, 0x80, 0x01 };
    usher_tlsstats_span_t spans[] = { always, { USHER_TLSSTATS_BY_HOUR, INT64_MAX, 48 },
                                      { USHER_TLSSTATS_BY_DAY, INT64_MIN, UINT32_MAX },
                                      { USHER_TLSSTATS_BY_DAY, 0xffffff, UINT32_MAX },
                                      { USHER_TLSSTATS_BY_DAY, -3, 9 } };
    usher_tlsstats_row_t rows[16];
    char name[USHER_TLSSTATS_VHOST_SIZE];
    apr_uint64_t *words = memory.base, dropped, seed = 88172645463325252;
    memory_t other;
    bytes_t bytes;
    apr_size_t i;
    int count = 0;

    memory_make(&other, USHER_TLSSTATS_SIZE_MIN);
    for (i = 0; i < memory.stats.size / 8 && _i == 3; ++i) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        words[i] = seed;
    }
    if (_i < 3) {
        memset(memory.base, fill[_i], memory.stats.size);
    }
    for (i = 0; i < 100; ++i) {
        shake(&memory.stats, TLS10, 0xc013, USHER_TLSSTATS_DONE, (apr_uint32_t)i, NOW);
        introduce(&memory.stats, TLS10, 0xc013, (apr_uint32_t)i, "agent");
        ask(&memory.stats, (apr_uint32_t)i * 1000, TLS10, 0xc013, NOW);
    }
    for (i = 0; i < sizeof(spans) / sizeof(*spans); ++i) {
        usher_tlsstats_rows(&memory.stats, 31, USHER_TLSSTATS_ALL, _i % 2, &spans[i], rows, 16);
        usher_tlsstats_clients(&memory.stats, TLS10, 0, &spans[i]);
        usher_tlsstats_lost(&memory.stats, &spans[i]);
    }
    usher_tlsstats_vhost_name(&memory.stats, 7, name);
    ck_assert_uint_lt(strlen(name), sizeof(name));
    usher_tlsstats_each_client(&memory.stats, see_client, &count);
    usher_tlsstats_each_offer(&memory.stats, see_offer, &memory.stats);
    bytes = saved(&memory);
    ck_assert_int_eq(usher_tlsstats_load(&other.stats, bytes.bytes, bytes.len, &dropped), 1);
    usher_tlsstats_forget(&memory.stats, USHER_TLSSTATS_PREFIX, DAY, NOW);
    usher_tlsstats_vhost(&memory.stats, "name");
    free(bytes.bytes);
    free(other.base);
}
END_TEST

/* One wrong word costs what it belongs to, not all that is saved. */
START_TEST(one_wrong_word)
{
    apr_uint64_t *words = memory.base, dropped;
    apr_size_t end = (apr_size_t)((char *)memory.stats.crowd_pairs - (char *)memory.base) / 8, i;
    const usher_tlsstats_t *stats = &memory.stats;
    unsigned int used = 0;

    for (i = (apr_size_t)((char *)stats->header->vhosts - (char *)memory.base) / 8; i < end; ++i) {
        apr_uint64_t right = words[i];
        bytes_t bytes;
        memory_t other;

        if (!right || used++ % 5) {
            continue;
        }
        words[i] = _i ? APR_UINT64_MAX : right ^ (apr_uint64_t)1 << 63;
        bytes = saved(&memory);
        words[i] = right;
        memory_make(&other, USHER_TLSSTATS_SIZE_MIN);
        ck_assert_msg(usher_tlsstats_load(&other.stats, bytes.bytes, bytes.len, &dropped),
                      "word %zu", i);
        free(bytes.bytes);
        free(other.base);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tlsstats_snapshot");
    TCase *tc = tcase_create("snapshot");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, there_and_back);
    tcase_add_test(tc, into_another_size);
    tcase_add_test(tc, into_less_room);
    tcase_add_test(tc, cut_anywhere);
    tcase_add_test(tc, flipped_anywhere);
    tcase_add_loop_test(tc, one_wrong_word, 0, 2);
    tcase_add_loop_test(tc, garbage, 0, 4);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
