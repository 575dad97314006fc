/* AJP13, what is written for a container, byte by byte. */
#include "unit.h"
#include "usher_ajp.h"

#include <stdio.h>

/* ---- FORWARD_REQUEST */

static const char request[] =
    "\x12\x34\x00\xf1" /* the frame: 241 bytes follow */
    "\x02" "\x04"      /* FORWARD_REQUEST, POST */
    "\x00\x08" "HTTP/1.1\x00"
    "\x00\x07" "/shop/a\x00"
    "\x00\x09" "192.0.2.7\x00"
    "\xff\xff"         /* no name of the client */
    "\x00\x0b" "example.com\x00"
    "\x01\xbb" "\x01"  /* port 443, TLS */
    "\x00\x05"         /* headers */
    "\xa0\x0b" "\x00\x0b" "example.com\x00"  /* Host */
    "\xa0\x08" "\x00\x01" "5\x00"            /* Content-Length */
    "\x00\x07" "X-Thing\x00" "\x00\x00\x00"
    "\xa0\x0e" "\x00\x04" "curl\x00"         /* User-Agent */
    "\x00\x0a" "X-Accepted\x00" "\x00\x03" "a\xe4" "b\x00"
    "\x03" "\x00\x03" "joe\x00"              /* remote user */
    "\x04" "\x00\x05" "Basic\x00"
    "\x05" "\x00\x03" "b=c\x00"              /* query string */
    "\x06" "\x00\x02" "r1\x00"
    "\x07" "\x00\x04" "CERT\x00"
    "\x08" "\x00\x06" "AES256\x00"
    "\x09" "\x00\x04" "5e55\x00"
    "\x0b" "\x01\x00"                        /* 256 bits */
    "\x0c" "\x00\x06" "sesame\x00"
    "\x0a" "\x00\x10" "JK_LB_ACTIVATION\x00" "\x00\x03" "ACT\x00"
    "\x0a" "\x00\x0f" "AJP_REMOTE_PORT\x00" "\x00\x05" "50000\x00"
    "\xff";
#define REQUEST_LEN (sizeof(request) - 1)

static void put_request(usher_ajp_writer_t *w, char *buf, size_t size)
{
    usher_ajp_begin(w, buf, size);
    usher_ajp_put_byte(w, USHER_AJP_FORWARD);
    usher_ajp_put_byte(w, usher_ajp_method("POST"));
    usher_ajp_put_string(w, "HTTP/1.1");
    usher_ajp_put_string(w, "/shop/a");
    usher_ajp_put_string(w, "192.0.2.7");
    usher_ajp_put_string(w, NULL);
    usher_ajp_put_string(w, "example.com");
    usher_ajp_put_int(w, 443);
    usher_ajp_put_byte(w, 1);
    usher_ajp_put_int(w, 5);
    usher_ajp_put_field(w, "Host", "example.com");
    usher_ajp_put_field(w, "Content-Length", "5");
    usher_ajp_put_field(w, "X-Thing", "");
    usher_ajp_put_field(w, "User-Agent", "curl");
    usher_ajp_put_field(w, "X-Accepted", "a\xe4" "b");
    usher_ajp_put_attribute(w, USHER_AJP_REMOTE_USER, "joe");
    usher_ajp_put_attribute(w, USHER_AJP_AUTH_TYPE, "Basic");
    usher_ajp_put_attribute(w, USHER_AJP_QUERY_STRING, "b=c");
    usher_ajp_put_attribute(w, USHER_AJP_ROUTE, "r1");
    usher_ajp_put_attribute(w, USHER_AJP_SSL_CERT, "CERT");
    usher_ajp_put_attribute(w, USHER_AJP_SSL_CIPHER, "AES256");
    usher_ajp_put_attribute(w, USHER_AJP_SSL_SESSION, "5e55");
    usher_ajp_put_byte(w, USHER_AJP_SSL_KEY_SIZE);
    usher_ajp_put_int(w, 256);
    usher_ajp_put_attribute(w, USHER_AJP_SECRET, "sesame");
    usher_ajp_put_named(w, "JK_LB_ACTIVATION", "ACT");
    usher_ajp_put_named(w, "AJP_REMOTE_PORT", "50000");
    usher_ajp_put_byte(w, USHER_AJP_ATTRIBUTES_END);
}

START_TEST(request_whole)
{
    char buf[USHER_AJP_PACKET_DEFAULT];
    usher_ajp_writer_t w;

    put_request(&w, buf, sizeof(buf));
    ck_assert(usher_ajp_end(&w));
    ck_assert_uint_eq(w.len, REQUEST_LEN);
    ck_assert_mem_eq(buf, request, REQUEST_LEN);
    ck_assert_uint_eq(((unsigned char)buf[2] << 8 | (unsigned char)buf[3]), REQUEST_LEN - 4);
}
END_TEST

/* In memory of exactly each size. */
START_TEST(request_every_size)
{
    size_t size;

    for (size = 5; size <= REQUEST_LEN + 1; ++size) {
        char *buf = malloc(size);
        usher_ajp_writer_t w;

        put_request(&w, buf, size);
        ck_assert_uint_le(w.len, size);
        ck_assert_int_eq(w.overflow, size < REQUEST_LEN);
        ck_assert_int_eq(usher_ajp_end(&w), size >= REQUEST_LEN);
        if (size >= REQUEST_LEN) {
            ck_assert_mem_eq(buf, request, REQUEST_LEN);
        }
        free(buf);
    }
}
END_TEST

/* A method without a code goes as an attribute. */
START_TEST(request_other_method)
{
    static const char bytes[] = "\x12\x34\x00\x0c" "\x02\xff" "\x0d\x00\x05PATCH\x00" "\xff";
    char buf[32];
    usher_ajp_writer_t w;

    usher_ajp_begin(&w, buf, sizeof(buf));
    usher_ajp_put_byte(&w, USHER_AJP_FORWARD);
    usher_ajp_put_byte(&w, usher_ajp_method("PATCH"));
    usher_ajp_put_attribute(&w, USHER_AJP_METHOD, "PATCH");
    usher_ajp_put_byte(&w, USHER_AJP_ATTRIBUTES_END);
    ck_assert(usher_ajp_end(&w));
    ck_assert_uint_eq(w.len, sizeof(bytes) - 1);
    ck_assert_mem_eq(buf, bytes, sizeof(bytes) - 1);
}
END_TEST

/* ---- Codes */

START_TEST(method_codes)
{
    static const char *const methods[] = {
        "OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "PROPFIND", "PROPPATCH",
        "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "ACL", "REPORT", "VERSION-CONTROL", "CHECKIN",
        "CHECKOUT", "UNCHECKOUT", "SEARCH", "MKWORKSPACE", "UPDATE", "LABEL", "MERGE",
        "BASELINE-CONTROL", "MKACTIVITY"
    };
    static const char *const others[] = {
        "", "PATCH", "get", "Get", "GETS", "GE", "G", "OPTION", "CONNECT", "PROP", "CHECK",
        "MKACTIVITYX", "VERSION_CONTROL", " GET", "GET "
    };
    int i;

    for (i = 0; i < UNIT_COUNT(methods); ++i) {
        ck_assert_uint_eq(usher_ajp_method(methods[i]), (unsigned int)i + 1);
    }
    ck_assert_int_eq(i, 27);
    for (i = 0; i < UNIT_COUNT(others); ++i) {
        ck_assert_msg(usher_ajp_method(others[i]) == USHER_AJP_METHOD_OTHER, "%s", others[i]);
    }
}
END_TEST

/* A header without a value: what is written of its name. */
static size_t put_name(char *buf, size_t size, const char *name)
{
    usher_ajp_writer_t w;

    usher_ajp_begin(&w, buf, size);
    usher_ajp_put_field(&w, name, NULL);
    ck_assert(usher_ajp_end(&w));
    ck_assert_mem_eq(buf + w.len - 2, "\xff\xff", 2);
    return w.len - 4 - 2;
}

START_TEST(field_codes)
{
    static const char *const names[] = {
        "accept", "accept-charset", "accept-encoding", "accept-language", "authorization",
        "connection", "content-type", "content-length", "cookie", "cookie2", "host", "pragma",
        "referer", "user-agent"
    };
    int i;
    size_t letter;

    for (i = 0; i < UNIT_COUNT(names); ++i) {
        const char code[2] = { (char)0xa0, (char)(i + 1) };
        size_t len = strlen(names[i]);
        char buf[64], name[32];

        ck_assert_uint_eq(put_name(buf, sizeof(buf), names[i]), 2);
        ck_assert_mem_eq(buf + 4, code, 2);
        for (letter = 0; letter < len; ++letter) {
            int hyphen = names[i][letter] == '-', digit = names[i][letter] == '2';

            /* In other letters it is the same name, */
            memcpy(name, names[i], len + 1);
            name[letter] = (char)(hyphen || digit ? name[letter] : name[letter] - ('a' - 'A'));
            ck_assert_uint_eq(put_name(buf, sizeof(buf), name), 2);
            ck_assert_mem_eq(buf + 4, code, 2);
            /* with another one, shorter or longer it is not. */
            name[letter] = (char)(hyphen ? '\r' : digit ? '3' : '_');
            ck_assert_uint_eq(put_name(buf, sizeof(buf), name), 2 + len + 1);
            ck_assert_uint_eq((unsigned char)buf[5], len);
            ck_assert_str_eq(buf + 6, name);
        }
        snprintf(name, sizeof(name), "%ss", names[i]);
        ck_assert_uint_eq(put_name(buf, sizeof(buf), name), 2 + len + 2);
        ck_assert_str_eq(buf + 6, name);
        ck_assert_uint_eq(put_name(buf, sizeof(buf), names[i] + 1), 2 + len);
        ck_assert_str_eq(buf + 6, names[i] + 1);
    }
    ck_assert_int_eq(i, 14);
}
END_TEST

/* Names of every length, those of codes among them. */
START_TEST(field_lengths)
{
    char name[65], buf[128];
    size_t len;

    for (len = 0; len < sizeof(name); ++len) {
        memset(name, 'a', len);
        name[len] = 0;
        ck_assert_uint_eq(put_name(buf, sizeof(buf), name), 2 + len + 1);
        ck_assert_uint_eq((unsigned char)buf[4], 0);
        ck_assert_uint_eq((unsigned char)buf[5], len);
        ck_assert_str_eq(buf + 6, name);
    }
}
END_TEST

/* ---- Limits */

static char *long_text(size_t len)
{
    char *text = malloc(len + 1);

    memset(text, 'x', len);
    text[len] = 0;
    return text;
}

START_TEST(numbers_too_large)
{
    char buf[64];
    usher_ajp_writer_t w;

    usher_ajp_begin(&w, buf, sizeof(buf));
    usher_ajp_put_byte(&w, 0xff);
    usher_ajp_put_int(&w, 0xffff);
    ck_assert(usher_ajp_end(&w));
    ck_assert_uint_eq(w.len, 7);
    ck_assert_mem_eq(buf, "\x12\x34\x00\x03\xff\xff\xff", 7);
    usher_ajp_put_byte(&w, 0x100);
    ck_assert(!usher_ajp_end(&w));

    usher_ajp_begin(&w, buf, sizeof(buf));
    usher_ajp_put_int(&w, 0x10000);
    ck_assert(!usher_ajp_end(&w));
}
END_TEST

/* What did not fit is not followed by what would. */
START_TEST(overflow_stays)
{
    char buf[16];
    usher_ajp_writer_t w;

    usher_ajp_begin(&w, buf, sizeof(buf));
    usher_ajp_put_string(&w, "0123456789abcdef");
    ck_assert(w.overflow);
    ck_assert_uint_eq(w.len, 4);
    usher_ajp_put_byte(&w, 1);
    usher_ajp_put_string(&w, NULL);
    ck_assert_uint_eq(w.len, 4);
    ck_assert(!usher_ajp_end(&w));
    usher_ajp_begin(&w, buf, sizeof(buf));
    usher_ajp_put_byte(&w, 1);
    ck_assert(usher_ajp_end(&w));
}
END_TEST

/* The packet has a greatest size however large the buffer is. */
START_TEST(packet_max)
{
    const size_t size = 2 * USHER_AJP_PACKET_MAX;
    const size_t longest = USHER_AJP_PACKET_MAX - 4 - 2 - 1;
    size_t len;

    for (len = longest - 1; len < 0x10002; ++len) {
        char *text = long_text(len);
        char *buf = malloc(size);
        usher_ajp_writer_t w;

        usher_ajp_begin(&w, buf, size);
        usher_ajp_put_string(&w, text);
        ck_assert_int_eq(usher_ajp_end(&w), len <= longest);
        if (len <= longest) {
            ck_assert_uint_eq(w.len, 4 + 2 + len + 1);
            ck_assert_str_eq(buf + 6, text);
        }
        free(buf);
        free(text);
    }
}
END_TEST

/* A longer name would be taken for a code. */
START_TEST(name_max)
{
    char *name = long_text(0xa000);
    char *buf = malloc(USHER_AJP_PACKET_MAX);
    usher_ajp_writer_t w;

    usher_ajp_begin(&w, buf, USHER_AJP_PACKET_MAX);
    usher_ajp_put_field(&w, name, "");
    ck_assert(!usher_ajp_end(&w));
    name[0x9fff] = 0;
    ck_assert_uint_eq(put_name(buf, USHER_AJP_PACKET_MAX, name), 2 + 0x9fff + 1);
    ck_assert_mem_eq(buf + 4, "\x9f\xff", 2);
    free(buf);
    free(name);
}
END_TEST

/* ---- Packets of their own */

static const struct {
    size_t n;
    const char *frame;
} body_frames[] = {
    { 0, "\x12\x34\x00\x02\x00\x00" },
    { 1, "\x12\x34\x00\x03\x00\x01" },
    { 253, "\x12\x34\x00\xff\x00\xfd" },
    { 254, "\x12\x34\x01\x00\x00\xfe" },
    { 8186, "\x12\x34\x1f\xfc\x1f\xfa" },
    { USHER_AJP_PACKET_MAX - USHER_AJP_BODY_FRAME, "\x12\x34\xff\xfc\xff\xfa" },
};

START_TEST(body_frame)
{
    char *frame = malloc(USHER_AJP_BODY_FRAME);

    usher_ajp_body_frame(frame, body_frames[_i].n);
    ck_assert_mem_eq(frame, body_frames[_i].frame, USHER_AJP_BODY_FRAME);
    free(frame);
}
END_TEST

START_TEST(ping)
{
    ck_assert_uint_eq(sizeof(usher_ajp_ping), 5);
    ck_assert_mem_eq(usher_ajp_ping, "\x12\x34\x00\x01\x0a", 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ajp_write");
    TCase *tc = tcase_create("packets for a container");

    tcase_add_test(tc, request_whole);
    tcase_add_test(tc, request_every_size);
    tcase_add_test(tc, request_other_method);
    tcase_add_test(tc, method_codes);
    tcase_add_test(tc, field_codes);
    tcase_add_test(tc, field_lengths);
    tcase_add_test(tc, numbers_too_large);
    tcase_add_test(tc, overflow_stays);
    tcase_add_test(tc, packet_max);
    tcase_add_test(tc, name_max);
    tcase_add_loop_test(tc, body_frame, 0, UNIT_COUNT(body_frames));
    tcase_add_test(tc, ping);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
