/* AJP13, packets of a container: well made ones, wholly and in pieces, and
 * malformed ones. */
#include "unit.h"
#include "usher_ajp.h"

#define DONE USHER_PARSE_DONE
#define MORE USHER_PARSE_MORE
#define BAD USHER_PARSE_BAD

#define MAX USHER_AJP_PACKET_DEFAULT
#define TEXT_AND_LEN(text) text, sizeof(text) - 1

/* Frames included. */
static const struct {
    const char *bytes;
    size_t len;
    size_t data_len;
    usher_ajp_type_e type;
    unsigned int reuse;
} packets[] = {
    { TEXT_AND_LEN("AB\x00\x01\x09"), 0, USHER_AJP_PONG, 0 },
    { TEXT_AND_LEN("AB\x00\x02\x05\x00"), 0, USHER_AJP_END, 0 },
    { TEXT_AND_LEN("AB\x00\x02\x05\x01"), 0, USHER_AJP_END, 1 },
    { TEXT_AND_LEN("AB\x00\x02\x05\x02"), 0, USHER_AJP_END, 0 },
    { TEXT_AND_LEN("AB\x00\x02\x05\xff"), 0, USHER_AJP_END, 0 },
    { TEXT_AND_LEN("AB\x00\x03\x06\x00\x01"), 1, USHER_AJP_ASK, 0 },
    { TEXT_AND_LEN("AB\x00\x03\x06\x1f\xfa"), 8186, USHER_AJP_ASK, 0 },
    { TEXT_AND_LEN("AB\x00\x03\x06\xff\xff"), 65535, USHER_AJP_ASK, 0 },
    { TEXT_AND_LEN("AB\x00\x04\x03\x00\x00"), 0, USHER_AJP_BODY, 0 },
    { TEXT_AND_LEN("AB\x00\x05\x03\x00\x01"), 1, USHER_AJP_BODY, 0 },
    { TEXT_AND_LEN("AB\x01\x03\x03\x00\xff"), 255, USHER_AJP_BODY, 0 },
    { TEXT_AND_LEN("AB\x01\x04\x03\x01\x00"), 256, USHER_AJP_BODY, 0 },
    { TEXT_AND_LEN("AB\x1f\xfc\x03\x1f\xf8"), 8184, USHER_AJP_BODY, 0 },
    { TEXT_AND_LEN("AB\x00\x07\x04\x00\xc8\xff\xff\x00\x00"), 0, USHER_AJP_HEAD, 0 },
    /* Not looked into */
    { TEXT_AND_LEN("AB\x00\x08\x04???????"), 0, USHER_AJP_HEAD, 0 },
};

static void check_packet(int i, const char *buf, size_t len)
{
    usher_ajp_packet_t packet;
    const char *why = NULL;

    memset(&packet, 0xff, sizeof(packet));
    ck_assert_int_eq(usher_ajp_packet(buf, len, MAX, &packet, &why), DONE);
    ck_assert_ptr_null(why);
    ck_assert_int_eq(packet.type, packets[i].type);
    ck_assert_uint_eq(packet.len, packets[i].len);
    ck_assert_uint_eq(packet.data_len, packets[i].data_len);
    ck_assert_uint_eq(packet.reuse, packets[i].reuse);
}

/* It has no state: a split is a prefix, then all. */
START_TEST(packet_every_split)
{
    size_t len;
    char *buf;

    for (len = 0; len < packets[_i].len; ++len) {
        usher_ajp_packet_t packet, before;
        const char *why = "";

        memset(&packet, 0x55, sizeof(packet));
        before = packet;
        buf = unit_copy(packets[_i].bytes, len);
        ck_assert_msg(usher_ajp_packet(buf, len, MAX, &packet, &why) == MORE, "%d bytes: %s",
                      (int)len, why);
        ck_assert_mem_eq(&packet, &before, sizeof(packet));
        free(buf);
    }
    buf = unit_copy(packets[_i].bytes, len);
    check_packet(_i, buf, len);
    free(buf);
}
END_TEST

START_TEST(packet_then_another)
{
    static const char next[] = { 'A', 'x', 0 };
    size_t len = packets[_i].len;
    char *buf = malloc(len + sizeof(next));

    memcpy(buf, packets[_i].bytes, len);
    memcpy(buf + len, next, sizeof(next));
    check_packet(_i, buf, len + sizeof(next));
    free(buf);
}
END_TEST

START_TEST(packet_none)
{
    usher_ajp_packet_t packet;
    const char *why = NULL;

    ck_assert_int_eq(usher_ajp_packet(NULL, 0, MAX, &packet, &why), MORE);
    ck_assert_ptr_null(why);
}
END_TEST

#define MAGIC "packet that does not begin as one of a container"
#define TYPE "packet of an unknown type"
#define LENGTH "packet of a length that does not fit its type"
#define LONG "packet too long"
#define DATA "data of a length that does not fit its packet"

/* Bad with the last byte, and not before. */
static const struct {
    const char *bytes;
    size_t len;
    const char *why;
} bad_packets[] = {
    { TEXT_AND_LEN("\x00"), MAGIC },
    { TEXT_AND_LEN("\x12"), MAGIC }, /* of a web server */
    { TEXT_AND_LEN("a"), MAGIC },
    { TEXT_AND_LEN("H"), MAGIC },
    { TEXT_AND_LEN("AA"), MAGIC },
    { TEXT_AND_LEN("A\x00"), MAGIC },
    { TEXT_AND_LEN("AB\x20"), LONG },
    { TEXT_AND_LEN("AB\xff"), LONG },
    { TEXT_AND_LEN("AB\x1f\xfd"), LONG },
    { TEXT_AND_LEN("AB\x00\x00"), "empty packet" },
    { TEXT_AND_LEN("AB\x00\x01\x00"), TYPE },
    { TEXT_AND_LEN("AB\x00\x08\x02"), TYPE },
    { TEXT_AND_LEN("AB\x00\x01\x07"), TYPE },
    { TEXT_AND_LEN("AB\x00\x01\x08"), TYPE },
    { TEXT_AND_LEN("AB\x00\x01\x0a"), TYPE },
    { TEXT_AND_LEN("AB\x00\x01\xff"), TYPE },
    { TEXT_AND_LEN("AB\x00\x01\x83"), TYPE },
    { TEXT_AND_LEN("AB\x00\x02\x09"), LENGTH },
    { TEXT_AND_LEN("AB\x00\x01\x05"), LENGTH },
    { TEXT_AND_LEN("AB\x00\x03\x05"), LENGTH },
    { TEXT_AND_LEN("AB\x00\x02\x06"), LENGTH },
    { TEXT_AND_LEN("AB\x00\x04\x06"), LENGTH },
    { TEXT_AND_LEN("AB\x00\x01\x03"), LENGTH },
    { TEXT_AND_LEN("AB\x00\x03\x03"), LENGTH },
    { TEXT_AND_LEN("AB\x00\x01\x04"), LENGTH },
    { TEXT_AND_LEN("AB\x00\x06\x04"), LENGTH },
    { TEXT_AND_LEN("AB\x00\x03\x06\x00\x00"), "request for none of the body" },
    { TEXT_AND_LEN("AB\x00\x04\x03\xff"), DATA },
    { TEXT_AND_LEN("AB\x00\x04\x03\x00\x01"), DATA },
    { TEXT_AND_LEN("AB\x00\x05\x03\x00\x00"), DATA },
    { TEXT_AND_LEN("AB\x01\x04\x03\x00"), DATA },
    { TEXT_AND_LEN("AB\x01\x04\x03\x01\x01"), DATA },
    { TEXT_AND_LEN("AB\x01\x04\x03\x02"), DATA },
};

START_TEST(packet_bad)
{
    size_t len;

    for (len = 0; len <= bad_packets[_i].len; ++len) {
        char *buf = unit_copy(bad_packets[_i].bytes, len);
        usher_ajp_packet_t packet;
        const char *why = "";

        ck_assert_int_eq(usher_ajp_packet(buf, len, MAX, &packet, &why),
                         len < bad_packets[_i].len ? MORE : BAD);
        ck_assert_str_eq(why, len < bad_packets[_i].len ? "" : bad_packets[_i].why);
        free(buf);
    }
}
END_TEST

/* Each at its limit and one over it. */
static const struct {
    const char *bytes;
    size_t len;
    size_t max;
    usher_parse_e rv;
} limited[] = {
    { TEXT_AND_LEN("AB\x00\x01\x09"), 5, DONE },
    { TEXT_AND_LEN("AB\x00\x01"), 4, BAD },
    { TEXT_AND_LEN("AB\x00\x04\x03\x00\x00"), 8, DONE },
    { TEXT_AND_LEN("AB\x00\x04"), 7, BAD },
    { TEXT_AND_LEN("AB\x1f\xfc\x03\x1f\xf8"), 8192, DONE },
    { TEXT_AND_LEN("AB\x1f\xfc"), 8191, BAD },
    { TEXT_AND_LEN("AB\xff\xfc\x03\xff\xf8"), USHER_AJP_PACKET_MAX, DONE },
    { TEXT_AND_LEN("AB\xff\xfc\x04"), USHER_AJP_PACKET_MAX, MORE },
    { TEXT_AND_LEN("AB\xff\xfc"), USHER_AJP_PACKET_MAX - 1, BAD },
    { TEXT_AND_LEN("AB\xff\xfd"), USHER_AJP_PACKET_MAX, BAD },
    { TEXT_AND_LEN("AB\xff\xff\x03\xff\xfb"), SIZE_MAX, DONE },
};

START_TEST(packet_limits)
{
    char *buf = unit_copy(limited[_i].bytes, limited[_i].len);
    usher_ajp_packet_t packet;
    const char *why = "";

    ck_assert_int_eq(usher_ajp_packet(buf, limited[_i].len, limited[_i].max, &packet, &why),
                     limited[_i].rv);
    ck_assert_str_eq(why, limited[_i].rv == BAD ? LONG : "");
    free(buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ajp_packet");
    TCase *tc = tcase_create("packets of a container");

    tcase_add_loop_test(tc, packet_every_split, 0, UNIT_COUNT(packets));
    tcase_add_loop_test(tc, packet_then_another, 0, UNIT_COUNT(packets));
    tcase_add_test(tc, packet_none);
    tcase_add_loop_test(tc, packet_bad, 0, UNIT_COUNT(bad_packets));
    tcase_add_loop_test(tc, packet_limits, 0, UNIT_COUNT(limited));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
