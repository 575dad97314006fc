/* AJP13, SEND_HEADERS: well made ones, cut off, with bytes changed, and malformed
 * ones. */
#include "unit.h"
#include "usher_ajp.h"

#include <stdio.h>

#define MAX USHER_AJP_PACKET_DEFAULT
#define TEXT_AND_LEN(text) text, sizeof(text) - 1

/* For loops: Check writes a file each time that an assertion holds. */
#define ASSERT(condition) \
    do { \
        if (!(condition)) { \
            ck_abort_msg("%s", #condition); \
        } \
    } while (0)

/* A packet of exactly its size. */
static char *framed(const char *payload, size_t len)
{
    char *packet = malloc(4 + len);

    packet[0] = 'A';
    packet[1] = 'B';
    packet[2] = (char)(len >> 8);
    packet[3] = (char)(len & 0xff);
    memcpy(packet + 4, payload, len);
    return packet;
}

static int inside(const char *text, const char *packet, size_t len)
{
    return text >= packet && text < packet + len && memchr(text, 0, len - (size_t)(text - packet));
}

/* No control characters; names have no blanks and colons either. */
static void check_text(const char *text, int name)
{
    ASSERT(*text || !name);
    for (; *text; ++text) {
        unsigned char c = (unsigned char)*text;

        ASSERT(c != 0x7f && (c >= ' ' || (c == '\t' && !name)));
        ASSERT(!name || (c < 0x7f && !memchr(" :\"(),/;<=>?@[\\]{}", c, 18)));
    }
}

/* The fields told, as "name=value|name=value|". */
static char *told(const char *packet, size_t len, const usher_ajp_head_t *head)
{
    static char text[2048];
    usher_ajp_field_t field;
    size_t text_len = 0;
    apr_size_t at = head->fields_at;
    unsigned int count = 0;

    while (usher_ajp_next_field(packet, len, &at, &field)) {
        ASSERT(!*field.value || inside(field.value, packet, len));
        check_text(field.name, 1);
        check_text(field.value, 0);
        text_len += (size_t)snprintf(text + text_len, sizeof(text) - text_len, "%s=%s|",
                                     field.name, field.value);
        ++count;
    }
    text[text_len] = 0;
    ASSERT(at == len);
    ASSERT(count == head->fields);
    return text;
}

/* Type, status 200, the reason OK */
#define OK "\x04\x00\xc8\x00\x02OK\x00"
#define LENGTH_5 "\xa0\x03\x00\x01" "5\x00"

static const struct {
    const char *payload;
    size_t len;
    int status;
    const char *reason;
    apr_int64_t content_length;
    const char *fields;
} heads[] = {
    { TEXT_AND_LEN(OK "\x00\x00"), 200, "OK", -1, "" },
    { TEXT_AND_LEN("\x04\x01\x94\xff\xff\x00\x00"), 404, "", -1, "" },
    { TEXT_AND_LEN("\x04\x03\xe7\x00\x00\x00\x00\x00"), 999, "", -1, "" },
    { TEXT_AND_LEN("\x04\x01\x2c\x00\x04\t \xe4~\x00\x00\x00"), 300, "\t \xe4~", -1, "" },

    /* Codes and names */
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x01\x00\x0atext/plain\x00"), 200, "OK", -1,
      "Content-Type=text/plain|" },
    { TEXT_AND_LEN(OK "\x00\x02\xa0\x07\x00\x03" "a=b\x00\xa0\x07\x00\x03" "c=d\x00"), 200, "OK",
      -1, "Set-Cookie=a=b|Set-Cookie=c=d|" },
    { TEXT_AND_LEN(OK "\x00\x02\x00\x08X-Powers\x00\x00\x03" "a\t\xff\x00"
                      "\xa0\x0b\x00\x05" "Basic\x00"), 200, "OK", -1,
      "X-Powers=a\t\xff|WWW-Authenticate=Basic|" },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x15!#$%&'*+-.^_`|~09azAZ\x00\x00\x01 \x00"), 200, "OK", -1,
      "!#$%&'*+-.^_`|~09azAZ= |" },

    /* Empty and null values */
    { TEXT_AND_LEN(OK "\x00\x02\x00\x01" "A\x00\x00\x00\x00\xa0\x06\x00\x00\x00"), 200, "OK", -1,
      "A=|Location=|" },
    { TEXT_AND_LEN(OK "\x00\x02\x00\x01" "A\x00\xff\xff\xa0\x06\xff\xff"), 200, "OK", -1,
      "A=|Location=|" },

    /* Lengths */
    { TEXT_AND_LEN(OK "\x00\x01" LENGTH_5), 200, "OK", 5, "Content-Length=5|" },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x0e" "cONTENT-length\x00\x00\x03" "005\x00"), 200, "OK", 5,
      "cONTENT-length=005|" },
    { TEXT_AND_LEN(OK "\x00\x02" LENGTH_5 "\x00\x0e" "Content-Length\x00\x00\x01" "5\x00"), 200,
      "OK", 5, "Content-Length=5|Content-Length=5|" },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x03\x00\x01" "0\x00"), 200, "OK", 0, "Content-Length=0|" },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x03\x00\x13" "9223372036854775807\x00"), 200, "OK",
      APR_INT64_MAX, "Content-Length=9223372036854775807|" },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x0f" "Content-Lengthy\x00\x00\x01" "x\x00"), 200, "OK", -1,
      "Content-Lengthy=x|" },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x0e" "Content-Lengty\x00\x00\x01" "x\x00"), 200, "OK", -1,
      "Content-Lengty=x|" },
};

START_TEST(head_good)
{
    size_t len = 4 + heads[_i].len;
    char *packet = framed(heads[_i].payload, heads[_i].len);
    char *copy = unit_copy(packet, len);
    usher_ajp_packet_t frame;
    usher_ajp_head_t head;
    const char *why = NULL;

    ck_assert_int_eq(usher_ajp_packet(packet, len, MAX, &frame, &why), USHER_PARSE_DONE);
    ck_assert_int_eq(frame.type, USHER_AJP_HEAD);
    ck_assert_uint_eq(frame.len, len);
    ck_assert_msg(usher_ajp_head(&head, packet, len, 100, &why), "%s", why);
    ck_assert_ptr_null(why);
    ck_assert_int_eq(head.status, heads[_i].status);
    ck_assert_str_eq(head.reason, heads[_i].reason);
    ck_assert_uint_eq(head.reason_len, strlen(heads[_i].reason));
    ck_assert(!head.reason_len || inside(head.reason, packet, len));
    ck_assert_int_eq(head.content_length, heads[_i].content_length);
    free(packet);
    ck_assert_str_eq(told(copy, len, &head), heads[_i].fields);
    free(copy);
}
END_TEST

START_TEST(head_every_prefix)
{
    size_t len;

    for (len = 0; len < 4 + heads[_i].len; ++len) {
        char *whole = framed(heads[_i].payload, heads[_i].len);
        char *packet = unit_copy(whole, len);
        usher_ajp_head_t head;
        usher_ajp_field_t field;
        apr_size_t at;
        const char *why = NULL;

        ck_assert_msg(!usher_ajp_head(&head, packet, len, 100, &why), "%d bytes", (int)len);
        ck_assert_ptr_nonnull(why);
        /* Nobody asks for its fields; and who does gets nothing from outside. */
        for (at = 0; at <= len; ++at) {
            apr_size_t next = at;

            while (usher_ajp_next_field(packet, len, &next, &field)) {
            }
            ASSERT(next <= len);
        }
        free(packet);
        free(whole);
    }
}
END_TEST

/* Each byte of the packet as each other one. */
START_TEST(head_every_byte)
{
    size_t len = 4 + heads[_i].len;
    size_t changed;
    int value;

    for (changed = 0; changed < len; ++changed) {
        char *packet = framed(heads[_i].payload, heads[_i].len);

        for (value = 0; value < 256; ++value) {
            usher_ajp_packet_t frame;
            usher_ajp_head_t head;
            const char *why = NULL;
            usher_parse_e rv;

            packet[changed] = (char)value;
            rv = usher_ajp_packet(packet, len, MAX, &frame, &why);
            ASSERT((rv == USHER_PARSE_BAD) == (why != NULL));
            if (rv == USHER_PARSE_DONE && frame.type == USHER_AJP_HEAD) {
                ASSERT(frame.len <= len);
                if (usher_ajp_head(&head, packet, frame.len, 100, &why)) {
                    check_text(head.reason, 0);
                    told(packet, frame.len, &head);
                }
            }
        }
        free(packet);
    }
}
END_TEST

#define STATUS "invalid status"
#define REASON "malformed reason phrase"
#define REASON_CONTROL "control character in the reason phrase"
#define NAME_STRING "malformed name of a header, or an unknown code"
#define NAME "invalid field name"
#define VALUE "malformed value of a header"
#define CONTROL "control character in a header"
#define NUMBER "invalid Content-Length"
#define NUMBERS "two different Content-Length"
#define BEHIND "bytes behind the last header"

static const struct {
    const char *payload;
    size_t len;
    const char *why;
} bad_heads[] = {
    { TEXT_AND_LEN("\x04\x00\x00\xff\xff\x00\x00"), STATUS },
    { TEXT_AND_LEN("\x04\x00\x64\xff\xff\x00\x00"), STATUS }, /* 100 */
    { TEXT_AND_LEN("\x04\x00\x65\xff\xff\x00\x00"), STATUS },
    { TEXT_AND_LEN("\x04\x00\x67\xff\xff\x00\x00"), STATUS },
    { TEXT_AND_LEN("\x04\x00\xc7\xff\xff\x00\x00"), STATUS },
    { TEXT_AND_LEN("\x04\x03\xe8\xff\xff\x00\x00"), STATUS }, /* 1000 */
    { TEXT_AND_LEN("\x04\xff\xff\xff\xff\x00\x00"), STATUS },

    { TEXT_AND_LEN("\x04\x00\xc8\x00\x02OK\x01\x00\x00"), REASON }, /* no NUL */
    { TEXT_AND_LEN("\x04\x00\xc8\x00\x01OK\x00\x00\x00"), REASON },
    { TEXT_AND_LEN("\x04\x00\xc8\x00\x03OK\x00\x02\x00"), REASON },
    { TEXT_AND_LEN("\x04\x00\xc8\x00\x05OK\x00\x00\x00"), REASON }, /* NUL is outside */
    { TEXT_AND_LEN("\x04\x00\xc8\x00\x06OK\x00\x00\x00"), REASON },
    { TEXT_AND_LEN("\x04\x00\xc8\xff\xfeOK\x00\x00\x00"), REASON },
    { TEXT_AND_LEN("\x04\x00\xc8\x00\x02O\x00\x00\x00\x00"), REASON_CONTROL },
    { TEXT_AND_LEN("\x04\x00\xc8\x00\x02O\r\x00\x00\x00"), REASON_CONTROL },
    { TEXT_AND_LEN("\x04\x00\xc8\x00\x02\nK\x00\x00\x00"), REASON_CONTROL },

    { TEXT_AND_LEN(OK), "no number of headers" },
    { TEXT_AND_LEN(OK "\x00"), "no number of headers" },
    { TEXT_AND_LEN(OK "\x00\x00\x00"), BEHIND },
    { TEXT_AND_LEN(OK "\x00\x01" LENGTH_5 "\x00"), BEHIND },
    { TEXT_AND_LEN(OK "\x00\x01" LENGTH_5 LENGTH_5), BEHIND },
    { TEXT_AND_LEN(OK "\x00\x65"), "too many fields" },
    { TEXT_AND_LEN(OK "\xff\xff"), "too many fields" },

    { TEXT_AND_LEN(OK "\x00\x01"), NAME_STRING },
    { TEXT_AND_LEN(OK "\x00\x02" LENGTH_5), NAME_STRING },
    { TEXT_AND_LEN(OK "\x00\x01\xa0"), NAME_STRING },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x01" "A\x01\x00\x00\x00"), NAME_STRING }, /* no NUL */
    { TEXT_AND_LEN(OK "\x00\x01\x00\x05" "A\x00\x00\x00\x00"), NAME_STRING },
    { TEXT_AND_LEN(OK "\x00\x01\x9f\xff" "A\x00\x00\x00\x00"), NAME_STRING },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x00\x00\x00\x00\x00"), NAME },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x02" "A:\x00\x00\x00\x00"), NAME },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x02" "A \x00\x00\x00\x00"), NAME },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x02" "\xe4" "A\x00\x00\x00\x00"), NAME },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x01\x00\x00\x00\x00\x00"), NAME },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x03" "A\x00" "B\x00\x00\x00\x00"), NAME },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x03" "A\r\n\x00\x00\x00\x00"), NAME },

    { TEXT_AND_LEN(OK "\x00\x01\x00\x01" "A\x00"), VALUE },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x01\x00"), VALUE },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x01\x00\x00"), VALUE },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x01\x00\x01" "a"), VALUE },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x01\x00\x01" "ab"), VALUE },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x01\x00\x02" "a\x00"), VALUE },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x01\xa0\x01" "a\x00"), VALUE }, /* values have no codes */
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x01\xff\xfe" "a\x00"), VALUE },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x01\xff\xff" "a\x00"), BEHIND },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x06\x00\x0b" "a\r\nX-Evil: b\x00"), VALUE },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x06\x00\x0c" "a\r\nX-Evil: b\x00"), CONTROL },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x06\x00\x03" "a\x00" "b\x00"), CONTROL },

    { TEXT_AND_LEN(OK "\x00\x01\xa0\x03\xff\xff"), NUMBER },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x03\x00\x00\x00"), NUMBER },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x03\x00\x02" "-1\x00"), NUMBER },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x03\x00\x02" "+1\x00"), NUMBER },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x03\x00\x02" " 1\x00"), NUMBER },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x03\x00\x02" "1 \x00"), NUMBER },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x03\x00\x03" "1,1\x00"), NUMBER },
    { TEXT_AND_LEN(OK "\x00\x01\xa0\x03\x00\x13" "9223372036854775808\x00"), NUMBER },
    { TEXT_AND_LEN(OK "\x00\x01\x00\x0e" "content-lengtH\x00\x00\x01" "x\x00"), NUMBER },
    { TEXT_AND_LEN(OK "\x00\x02" LENGTH_5 "\x00\x0e" "Content-Length\x00\x00\x01" "6\x00"), NUMBERS },
    { TEXT_AND_LEN(OK "\x00\x02" LENGTH_5 "\xa0\x03\x00\x01" "0\x00"), NUMBERS },
    { TEXT_AND_LEN(OK "\x00\x02\xa0\x03\x00\x01" "0\x00" LENGTH_5), NUMBERS },
};

START_TEST(head_bad)
{
    char *packet = framed(bad_heads[_i].payload, bad_heads[_i].len);
    usher_ajp_head_t head;
    const char *why = "";

    ck_assert(!usher_ajp_head(&head, packet, 4 + bad_heads[_i].len, 100, &why));
    ck_assert_str_eq(why, bad_heads[_i].why);
    free(packet);
}
END_TEST

/* Every code that there could be, the null string among them. */
START_TEST(head_codes)
{
    static const char *const names[] = {
        "Content-Type", "Content-Language", "Content-Length", "Date", "Last-Modified", "Location",
        "Set-Cookie", "Set-Cookie2", "Servlet-Engine", "Status", "WWW-Authenticate"
    };
    static const char payload[] = OK "\x00\x01\xa0\x01\x00\x01" "7"; /* and its NUL */
    unsigned int code;

    for (code = 0xa000; code <= 0xffff; ++code) {
        char *packet = framed(payload, sizeof(payload));
        usher_ajp_head_t head;
        const char *why = NULL;
        char field[40];

        packet[14] = (char)(code >> 8);
        packet[15] = (char)(code & 0xff);
        if (code >= 0xa001 && code <= 0xa00b) {
            ASSERT(usher_ajp_head(&head, packet, 4 + sizeof(payload), 1, &why));
            snprintf(field, sizeof(field), "%s=7|", names[code - 0xa001]);
            ASSERT(!strcmp(told(packet, 4 + sizeof(payload), &head), field));
            ASSERT(head.content_length == (code == 0xa003 ? 7 : -1));
        }
        else {
            ASSERT(!usher_ajp_head(&head, packet, 4 + sizeof(payload), 1, &why));
            ASSERT(!strcmp(why, NAME_STRING));
        }
        free(packet);
    }
}
END_TEST

/* Every byte in each place where a string is, also where texts are long. */
START_TEST(head_characters)
{
    static const char payload[] = "\x04\x00\xc8\x00\x14reason reason reason\x00\x00\x01"
                                  "\x00\x14name-name-name-name-\x00\x00\x14value value value va";
    static const char token[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz";
    static const size_t reason_at = 9, name_at = 34, value_at = 57;
    size_t i;
    int c;

    for (c = 0; c < 256; ++c) {
        int fits_value = c == '\t' || (c >= ' ' && c != 0x7f);
        int fits_name = c && strchr(token, c) != NULL;

        for (i = 0; i < 20; ++i) {
            char *packet = framed(payload, sizeof(payload));
            usher_ajp_head_t head;
            const char *why;

            packet[reason_at + i] = (char)c;
            ASSERT(usher_ajp_head(&head, packet, 4 + sizeof(payload), 1, &why) == fits_value);
            packet[reason_at + i] = 'x';
            packet[name_at + i] = (char)c;
            ASSERT(usher_ajp_head(&head, packet, 4 + sizeof(payload), 1, &why) == fits_name);
            packet[name_at + i] = 'x';
            packet[value_at + i] = (char)c;
            ASSERT(usher_ajp_head(&head, packet, 4 + sizeof(payload), 1, &why) == fits_value);
            free(packet);
        }
    }
}
END_TEST

START_TEST(head_limit)
{
    static const char payload[] = OK "\x00\x02\xa0\x01\x00\x00\x00\xa0\x01\x00\x00"; /* and a NUL */
    char *packet = framed(payload, sizeof(payload));
    usher_ajp_head_t head;
    const char *why = "";

    ck_assert(usher_ajp_head(&head, packet, 4 + sizeof(payload), 2, &why));
    ck_assert(!usher_ajp_head(&head, packet, 4 + sizeof(payload), 1, &why));
    ck_assert_str_eq(why, "too many fields");
    free(packet);
}
END_TEST

/* A packet as large as can be, of one header whose value fills it. */
static char *packet_of_name(size_t name_len, size_t *value_len)
{
    static const unsigned char begin[7] = { 4, 0, 200, 0xff, 0xff, 0, 1 };
    char *payload = calloc(1, USHER_AJP_PACKET_MAX - 4);
    char *at = payload, *packet;

    *value_len = USHER_AJP_PACKET_MAX - 4 - sizeof(begin) - 2 - name_len - 1 - 2 - 1;
    memcpy(at, begin, sizeof(begin));
    at += sizeof(begin);
    *at++ = (char)(name_len >> 8);
    *at++ = (char)(name_len & 0xff);
    memset(at, 'n', name_len);
    at += name_len + 1;
    *at++ = (char)(*value_len >> 8);
    *at++ = (char)(*value_len & 0xff);
    memset(at, 'v', *value_len);
    packet = framed(payload, USHER_AJP_PACKET_MAX - 4);
    free(payload);
    return packet;
}

START_TEST(head_longest)
{
    size_t name_len, value_len;

    for (name_len = 0x9ffe; name_len < 0xa110; ++name_len) {
        char *packet = packet_of_name(name_len, &value_len);
        usher_ajp_head_t head;
        usher_ajp_field_t field;
        apr_size_t at;
        const char *why = "";

        if (name_len < 0xa000) {
            ck_assert_msg(usher_ajp_head(&head, packet, USHER_AJP_PACKET_MAX, 1, &why), "%s", why);
            at = head.fields_at;
            ck_assert(usher_ajp_next_field(packet, USHER_AJP_PACKET_MAX, &at, &field));
            ck_assert_uint_eq(strlen(field.name), name_len);
            ck_assert_uint_eq(strlen(field.value), value_len);
            ck_assert(!usher_ajp_next_field(packet, USHER_AJP_PACKET_MAX, &at, &field));
        }
        else {
            /* A code, known or not */
            ASSERT(!usher_ajp_head(&head, packet, USHER_AJP_PACKET_MAX, 1, &why));
        }
        free(packet);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ajp_head");
    TCase *tc = tcase_create("SEND_HEADERS");

    tcase_add_loop_test(tc, head_good, 0, UNIT_COUNT(heads));
    tcase_add_loop_test(tc, head_every_prefix, 0, UNIT_COUNT(heads));
    tcase_add_loop_test(tc, head_every_byte, 0, UNIT_COUNT(heads));
    tcase_add_loop_test(tc, head_bad, 0, UNIT_COUNT(bad_heads));
    tcase_add_test(tc, head_codes);
    tcase_add_test(tc, head_characters);
    tcase_add_test(tc, head_limit);
    tcase_add_test(tc, head_longest);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
