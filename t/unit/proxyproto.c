/* The PROXY protocol's header: what is one, what it says, and each beginning of it. */
#include "unit.h"

#include <arpa/inet.h>

#include "usher_proxyproto.h"

#define SIGNATURE "0d0a0d0a000d0a515549540a"

static usher_cidr_address_t address(const char *text)
{
    usher_cidr_range_t range;

    ck_assert(usher_cidr_parse(&range, text, strlen(text)));
    return range.first;
}

static const struct {
    const char *line, *client; /* NULL: it tells of none */
    unsigned int port;
} good[] = {
    { "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1", 56324 },
    { "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", 65535 },
    { "PROXY TCP6 2001:db8::1 2001:db8::2 0 443\r\n", "2001:db8::1", 0 },
    { "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535 },
    { "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1", 1 },
    { "PROXY UNKNOWN\r\n", NULL, 0 },
    { "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", NULL, 0 },
};

static const struct {
    const char *hex, *client;
    unsigned int port;
    size_t needed; /* bytes that tell the client */
} good_v2[] = {
    { SIGNATURE "2111000cc0000201c6336401dc0401bb", "192.0.2.1", 56324, 28 },
    /* with 5 bytes of further fields */
    { SIGNATURE "21110011c0000201c6336401dc0401bb0400020000", "192.0.2.1", 56324, 28 },
    { SIGNATURE "2121002420010db800000000000000000000000120010db8000000000000000000000002000101bb", "2001:db8::1", 1, 52 },
    { SIGNATURE "20000000", NULL, 0, 16 },
    { SIGNATURE "2011000cc0000201c6336401dc0401bb", NULL, 0, 16 },
};

static void check(const void *bytes, size_t len, size_t needed, const char *client, unsigned int port)
{
    usher_proxyproto_t header;
    size_t i;

    for (i = 0; i <= len; ++i) {
        char *copy = unit_copy(bytes, i);
        usher_parse_e got = usher_proxyproto_read(&header, copy, i);

        ck_assert_int_eq(got, i < needed ? USHER_PARSE_MORE : USHER_PARSE_DONE);
        free(copy);
    }
    ck_assert_uint_eq(header.len, len);
    ck_assert_int_eq(header.has_client, client != NULL);
    if (client) {
        usher_cidr_address_t wanted = address(client);

        ck_assert(!memcmp(&header.client, &wanted, sizeof(wanted)));
        ck_assert_uint_eq(header.port, port);
    }
}

START_TEST(version_1)
{
    char with_data[160];
    size_t len = strlen(good[_i].line);
    usher_proxyproto_t header;

    check(good[_i].line, len, len, good[_i].client, good[_i].port);
    memcpy(with_data, good[_i].line, len);
    memset(with_data + len, '\r', sizeof(with_data) - len);
    ck_assert_int_eq(usher_proxyproto_read(&header, with_data, sizeof(with_data)), USHER_PARSE_DONE);
    ck_assert_uint_eq(header.len, len);
}
END_TEST

START_TEST(version_2)
{
    unsigned char bytes[128];
    size_t len = unit_bytes(bytes, good_v2[_i].hex);

    check(bytes, len, good_v2[_i].needed, good_v2[_i].client, good_v2[_i].port);
}
END_TEST

static const char *const bad[] = {
    "G", "GET / HTTP/1.1\r\n", "PROXY\r\n", "PROXY \r\n", "proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
    "PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n", "PROXY TCP4\r\n", "PROXY TCP4 192.0.2.1\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n", "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
    "PROXY TCP4 192.0.2.1/32 198.51.100.1 1 2\r\n", "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
    "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.1 1 -2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\rx",
    "PROXY TCP4 localhost 198.51.100.1 1 2\r\n",
    "PROXY TCP6 2001:db8::1%eth0 2001:db8::2 1 2\r\n",
    /* no end within 107 bytes */
    "PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
};

START_TEST(refused)
{
    size_t len = strlen(bad[_i]);
    char *copy = unit_copy(bad[_i], len);
    usher_proxyproto_t header;

    ck_assert_int_eq(usher_proxyproto_read(&header, copy, len), USHER_PARSE_BAD);
    free(copy);
}
END_TEST

static const char *const bad_v2[] = {
    SIGNATURE "1111000cc0000201c6336401dc0401bb", /* version 1 */
    SIGNATURE "2211000cc0000201c6336401dc0401bb", /* no such command */
    SIGNATURE "2112000cc0000201c6336401dc0401bb", /* UDP */
    SIGNATURE "2131000cc0000201c6336401dc0401bb", /* a unix socket */
    SIGNATURE "2111000bc0000201c6336401dc0401bb", /* too short for its addresses */
    SIGNATURE "2121000cc0000201c6336401dc0401bb",
    "0d0a0d0a000d0a515549540b2111000cc0000201c6336401dc0401bb",
};

START_TEST(refused_2)
{
    unsigned char bytes[128];
    size_t len = unit_bytes(bytes, bad_v2[_i]);
    char *copy = unit_copy(bytes, len);
    usher_proxyproto_t header;

    ck_assert_int_eq(usher_proxyproto_read(&header, copy, len), USHER_PARSE_BAD);
    free(copy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("PROXY protocol");
    TCase *tcase = tcase_create("headers");

    tcase_add_loop_test(tcase, version_1, 0, UNIT_COUNT(good));
    tcase_add_loop_test(tcase, version_2, 0, UNIT_COUNT(good_v2));
    tcase_add_loop_test(tcase, refused, 0, UNIT_COUNT(bad));
    tcase_add_loop_test(tcase, refused_2, 0, UNIT_COUNT(bad_v2));
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
