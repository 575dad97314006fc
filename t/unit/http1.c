/* Heads and trailers of backends: well made ones, wholly and in pieces, and
 * malformed ones. */
#include "unit.h"
#include "usher_http1.h"

#include <stdio.h>

#define REFUSE USHER_HTTP1_BADLINE_REFUSE
#define SKIP USHER_HTTP1_BADLINE_SKIP
#define BODY USHER_HTTP1_BADLINE_BODY
#define DONE USHER_PARSE_DONE
#define MORE USHER_PARSE_MORE
#define BAD USHER_PARSE_BAD

#define OK "HTTP/1.1 200 OK\r\n"

static usher_http1_limits_t limits_with(usher_http1_badline_e badline)
{
    usher_http1_limits_t limits = { 8190, 65536, 100, badline };

    return limits;
}

/* The fields told, as "name=value|name=value|". */
static char *told(const char *buf, size_t end, size_t at, unsigned int *count)
{
    static char text[1024];
    usher_http1_field_t field;
    size_t len = 0;

    *count = 0;
    while (usher_http1_next_field(buf, end, &at, &field)) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s=%.*s|",
                                (int)field.name_len, field.name,
                                (int)field.value_len, field.value);
        ++*count;
    }
    text[len] = 0;
    return text;
}

/* Each text ends where its head does, but for BODY: with the line after it. */
static const struct {
    const char *text;
    usher_http1_badline_e badline;
    int minor;
    int status;
    const char *reason;
    const char *flags; /* h chunked, c close, u upgrade, k keep-alive */
    apr_int64_t content_length;
    apr_int64_t idle_max;
    const char *fields;
    const char *body; /* with BADLINE_BODY */
} heads[] = {
    { OK "\r\n", REFUSE, 1, 200, "OK", "", -1, -1, "", "" },
    { "HTTP/1.1 200 OK\n\n", REFUSE, 1, 200, "OK", "", -1, -1, "", "" },
    { "\r\n" OK "\r\n", REFUSE, 1, 200, "OK", "", -1, -1, "", "" },
    { "\nHTTP/1.1 200 OK\n\r\n", REFUSE, 1, 200, "OK", "", -1, -1, "", "" },
    { "HTTP/1.0 404\r\n\r\n", REFUSE, 0, 404, "", "c", -1, -1, "", "" },
    { "HTTP/1.0 404\n\n", REFUSE, 0, 404, "", "c", -1, -1, "", "" },
    { "HTTP/1.1 999 \r\n\r\n", REFUSE, 1, 999, "", "", -1, -1, "", "" },
    { "HTTP/1.9 100  a\t\xe4 \r\n\r\n", REFUSE, 1, 100, " a\t\xe4 ", "", -1, -1, "", "" },

    /* Fields */
    { OK "A: b\r\nc:d\n!#$%&'*+-.^_`|~09azAZ:\r\n\r\n", REFUSE, 1, 200, "OK", "", -1, -1,
      "A=b|c=d|!#$%&'*+-.^_`|~09azAZ=|", "" },
    { OK "A \t:\t b \t\r\nB::\r\nC: \t\r\n\r\n", REFUSE, 1, 200, "OK", "", -1, -1, "A=b|B=:|C=|", "" },
    { OK "A: b c\td\xff\"\r\n\r\n", REFUSE, 1, 200, "OK", "", -1, -1, "A=b c\td\xff\"|", "" },

    /* RFC 9112 5.2 */
    { OK "A: b\r\n c\r\n\td\n e:f\r\nG: h\r\n\r\n", REFUSE, 1, 200, "OK", "", -1, -1,
      "A=b   c  \td  e:f|G=h|", "" },
    { OK "A:\r\n b\r\n \r\n\r\n", REFUSE, 1, 200, "OK", "", -1, -1, "A=b|", "" },
    { OK "Content-Length:\r\n 5\r\n\r\n", REFUSE, 1, 200, "OK", "", 5, -1, "Content-Length=5|", "" },

    /* RFC 9110 8.6 */
    { OK "Content-Length: 0\r\n\r\n", REFUSE, 1, 200, "OK", "", 0, -1, "Content-Length=0|", "" },
    { OK "CONTENT-length:9223372036854775807\r\n\r\n", REFUSE, 1, 200, "OK", "",
      APR_INT64_C(9223372036854775807), -1, "CONTENT-length=9223372036854775807|", "" },
    { OK "Content-Length: 5 ,5,\t05\r\nContent-Length: 5\r\n\r\n", REFUSE, 1, 200, "OK", "", 5, -1,
      "Content-Length=5 ,5,\t05|Content-Length=5|", "" },

    /* RFC 9112 6.1 and 9.3 */
    { OK "transfer-encoding: CHUNKED \r\n\r\n", REFUSE, 1, 200, "OK", "h", -1, -1,
      "transfer-encoding=CHUNKED|", "" },
    { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", REFUSE,
      0, 200, "OK", "hck", -1, -1, "Connection=keep-alive|Transfer-Encoding=chunked|", "" },
    { OK "Connection: close,x\r\n\r\n", REFUSE, 1, 200, "OK", "c", -1, -1, "Connection=close,x|", "" },
    { OK "Connection: Keep-Alive, X\r\nconnection:, ,UPGRADE,,CLOSE\r\n\r\n", REFUSE, 1, 200,
      "OK", "cuk", -1, -1, "Connection=Keep-Alive, X|connection=, ,UPGRADE,,CLOSE|", "" },
    { OK "Connection:\r\n\r\n", REFUSE, 1, 200, "OK", "", -1, -1, "Connection=|", "" },
    { OK "Connection: closed,keep-alive-x\r\n\r\n", REFUSE, 1, 200, "OK", "", -1, -1,
      "Connection=closed,keep-alive-x|", "" },
    { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", REFUSE, 0, 200, "OK", "k", -1, -1,
      "Connection=keep-alive|", "" },
    { "HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n", REFUSE, 1, 101, "x", "u", -1, -1,
      "Connection=upgrade|", "" },

    { OK "Keep-Alive: timeout=5, max=100\r\n\r\n", REFUSE, 1, 200, "OK", "", -1, 5,
      "Keep-Alive=timeout=5, max=100|", "" },
    { OK "Keep-Alive: max=1,TIMEOUT=0,timeout=3\r\n\r\n", REFUSE, 1, 200, "OK", "", -1, 0,
      "Keep-Alive=max=1,TIMEOUT=0,timeout=3|", "" },
    { OK "Keep-Alive: timeout=7,timeout=6\r\nKeep-Alive: timeout=9\r\n\r\n", REFUSE, 1, 200, "OK",
      "", -1, 6, "Keep-Alive=timeout=7,timeout=6|Keep-Alive=timeout=9|", "" },
    { OK "Keep-Alive: timeout=99999999999999999999999\r\n\r\n", REFUSE, 1, 200, "OK", "", -1,
      APR_INT64_C(2147483648), "Keep-Alive=timeout=99999999999999999999999|", "" },
    { OK "Keep-Alive: timeout=2147483647\r\n\r\n", REFUSE, 1, 200, "OK", "", -1, 2147483647,
      "Keep-Alive=timeout=2147483647|", "" },
    { OK "Keep-Alive: timeout=,timeout=5s,timeout=-1,timeout 5,timeout\r\n\r\n", REFUSE, 1, 200,
      "OK", "", -1, -1, "Keep-Alive=timeout=,timeout=5s,timeout=-1,timeout 5,timeout|", "" },

    /* Lines without a colon */
    { OK "HTTP/1.1 200 OK\r\nA: b\r\nbad\n<\r\nC: d\r\n\r\n", SKIP, 1, 200, "OK", "", -1, -1,
      "A=b|C=d|", "" },
    { OK "A: b\r\nbad\r\n\r\n", SKIP, 1, 200, "OK", "", -1, -1, "A=b|", "" },
    { OK "A: b\r\n c\r\n<html>\r\n", BODY, 1, 200, "OK", "", -1, -1, "A=b   c|", "<html>\r\n" },
    { OK "Connection: close\r\n\x01\n", BODY, 1, 200, "OK", "c", -1, -1, "Connection=close|",
      "\x01\n" },
    { "HTTP/1.0 200 OK\n{\n", BODY, 0, 200, "OK", "c", -1, -1, "", "{\n" },
    { OK "A: b\r\n\r\n", BODY, 1, 200, "OK", "", -1, -1, "A=b|", "" },
};

static void check_head(int i, const usher_http1_head_t *head, const char *buf, size_t len)
{
    size_t body_len = strlen(heads[i].body);
    char flags[5];
    unsigned int fields;

    snprintf(flags, sizeof(flags), "%s%s%s%s", head->chunked ? "h" : "", head->close ? "c" : "",
             head->upgrade ? "u" : "", head->keep_alive ? "k" : "");
    ck_assert_str_eq(flags, heads[i].flags);
    ck_assert_int_eq(head->minor, heads[i].minor);
    ck_assert_int_eq(head->status, heads[i].status);
    ck_assert_uint_eq(head->reason_len, strlen(heads[i].reason));
    ck_assert_mem_eq(head->reason, heads[i].reason, head->reason_len);
    ck_assert(head->reason >= buf && head->reason + head->reason_len < buf + head->fields_at);
    ck_assert_int_eq(head->content_length, heads[i].content_length);
    ck_assert_int_eq(head->idle_max, heads[i].idle_max);
    ck_assert_uint_eq(head->len, len - body_len);
    ck_assert_mem_eq(buf + head->len, heads[i].body, body_len);
    ck_assert_str_eq(told(buf, head->len, head->fields_at, &fields), heads[i].fields);
    ck_assert_uint_eq(head->fields, fields);
}

START_TEST(head_whole)
{
    usher_http1_limits_t limits = limits_with(heads[_i].badline);
    size_t len = strlen(heads[_i].text);
    char *buf = unit_copy(heads[_i].text, len);
    usher_http1_head_t head = { 0 };
    const char *why = NULL;

    ck_assert_int_eq(usher_http1_head(&head, buf, len, &limits, &why), DONE);
    ck_assert_ptr_null(why);
    check_head(_i, &head, buf, len);
    free(buf);
}
END_TEST

/* Bytes after the head are not looked at. */
START_TEST(head_then_body)
{
    static const char body[] = { ' ', '\n', '\r' };
    usher_http1_limits_t limits = limits_with(heads[_i].badline);
    size_t len = strlen(heads[_i].text);
    char *buf = malloc(len + sizeof(body));
    usher_http1_head_t head = { 0 };
    const char *why;

    memcpy(buf, heads[_i].text, len);
    memcpy(buf + len, body, sizeof(body));
    ck_assert_int_eq(usher_http1_head(&head, buf, len + sizeof(body), &limits, &why), DONE);
    check_head(_i, &head, buf, len);
    free(buf);
}
END_TEST

START_TEST(head_every_prefix)
{
    usher_http1_limits_t limits = limits_with(heads[_i].badline);
    size_t len;

    for (len = 0; len < strlen(heads[_i].text); ++len) {
        char *buf = unit_copy(heads[_i].text, len);
        usher_http1_head_t head = { 0 };
        const char *why = "";

        ck_assert_msg(usher_http1_head(&head, buf, len, &limits, &why) == MORE,
                      "%d bytes of %s: %s", (int)len, heads[_i].text, why);
        free(buf);
    }
}
END_TEST

/* The bytes that an earlier call left, in memory elsewhere, and one piece more. */
static char *more_bytes(char *buf, size_t len, const char *text, size_t more)
{
    char *moved = malloc(len + more);

    memcpy(moved, buf, len);
    memcpy(moved + len, text + len, more);
    free(buf);
    return moved;
}

START_TEST(head_every_split)
{
    usher_http1_limits_t limits = limits_with(heads[_i].badline);
    size_t len = strlen(heads[_i].text);
    size_t split;

    for (split = 0; split < len; ++split) {
        char *buf = unit_copy(heads[_i].text, split);
        usher_http1_head_t head = { 0 };
        const char *why;

        ck_assert_int_eq(usher_http1_head(&head, buf, split, &limits, &why), MORE);
        buf = more_bytes(buf, split, heads[_i].text, len - split);
        ck_assert_int_eq(usher_http1_head(&head, buf, len, &limits, &why), DONE);
        check_head(_i, &head, buf, len);
        free(buf);
    }
}
END_TEST

START_TEST(head_byte_by_byte)
{
    usher_http1_limits_t limits = limits_with(heads[_i].badline);
    size_t len = strlen(heads[_i].text);
    char *buf = unit_copy("", 0);
    usher_http1_head_t head = { 0 };
    const char *why;
    size_t n;

    for (n = 0; n < len; ++n) {
        ck_assert_int_eq(usher_http1_head(&head, buf, n, &limits, &why), MORE);
        buf = more_bytes(buf, n, heads[_i].text, 1);
    }
    ck_assert_int_eq(usher_http1_head(&head, buf, len, &limits, &why), DONE);
    check_head(_i, &head, buf, len);
    free(buf);
}
END_TEST

#define NO_STATUS "no status line of HTTP/1"
#define NO_COLON "header line without a colon"
#define NO_FIELD "folded line that continues no field"
#define CONTROL "control character in a header line"
#define NAME "invalid field name"
#define LENGTH "invalid Content-Length"
#define LENGTHS "two different Content-Length"
#define CODING "Transfer-Encoding other than chunked"
#define BOTH "both Content-Length and Transfer-Encoding"
#define TEXT_AND_LEN(text) text, sizeof(text) - 1

/* No empty line at the end where it is bad without one. */
static const struct {
    const char *text;
    size_t len;
    usher_http1_badline_e badline;
    const char *why;
} bad_heads[] = {
    { TEXT_AND_LEN("h"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("\n\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("\r\n\r"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("\rH"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN(" HTTP"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("http/1.1 200 OK"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/2"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("<html>"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("\0"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1 20\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1 099 OK\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1 2000\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1 20x OK\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1  200 OK\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1\t200 OK\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1 200\tOK\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.10 200 OK\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.x 200 OK\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1 200 O\rK\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1 200 OK\r\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1 200 O\0K\r\n"), REFUSE, NO_STATUS },
    { TEXT_AND_LEN("HTTP/1.1 200 O\x7fK\r\n"), REFUSE, NO_STATUS },

    { TEXT_AND_LEN(OK " A: b\r\n"), REFUSE, NO_FIELD },
    { TEXT_AND_LEN(OK "\t\r\n"), REFUSE, NO_FIELD },
    { TEXT_AND_LEN(OK " \r\n"), SKIP, NO_FIELD },
    { TEXT_AND_LEN(OK " x\r\n"), BODY, NO_FIELD },
    { TEXT_AND_LEN(OK "bad\r\n : b\r\n"), SKIP, NO_FIELD },
    { TEXT_AND_LEN(OK "bad\r\n : b\r\n"), REFUSE, NO_COLON },
    { TEXT_AND_LEN(OK "A: b\r\nbad\r\n"), REFUSE, NO_COLON },
    { TEXT_AND_LEN(OK "ba\rd\r\n"), SKIP, CONTROL },
    { TEXT_AND_LEN(OK "HTTP/1.1 200 a:b\r\n\r\n"), SKIP, NAME },
    { TEXT_AND_LEN(OK ": b\r\n\r\n"), REFUSE, NAME },
    { TEXT_AND_LEN(OK " : b\r\n\r\n"), REFUSE, NO_FIELD },
    { TEXT_AND_LEN(OK "A b: c\r\n\r\n"), REFUSE, NAME },
    { TEXT_AND_LEN(OK "A\"b: c\r\n\r\n"), BODY, NAME },
    { TEXT_AND_LEN(OK "A\xe4: c\r\n\r\n"), REFUSE, NAME },
    { TEXT_AND_LEN(OK "A\0: c\r\n\r\n"), REFUSE, CONTROL },
    { TEXT_AND_LEN(OK "A: b\0c\r\n\r\n"), REFUSE, CONTROL },
    { TEXT_AND_LEN(OK "A: b\rC: d\r\n\r\n"), REFUSE, CONTROL },
    { TEXT_AND_LEN(OK "A: b\r\r\n\r\n"), REFUSE, CONTROL },
    { TEXT_AND_LEN(OK "A: b\r\r\n c\r\n\r\n"), REFUSE, CONTROL },
    { TEXT_AND_LEN(OK "A: b\x0b\r\n\r\n"), REFUSE, CONTROL },
    { TEXT_AND_LEN(OK "A: b\x7f\r\n\r\n"), REFUSE, CONTROL },

    { TEXT_AND_LEN(OK "Content-Length:\r\n\r\n"), REFUSE, LENGTH },
    { TEXT_AND_LEN(OK "Content-Length: +5\r\n\r\n"), REFUSE, LENGTH },
    { TEXT_AND_LEN(OK "Content-Length: -5\r\n\r\n"), REFUSE, LENGTH },
    { TEXT_AND_LEN(OK "Content-Length: 0x5\r\n\r\n"), REFUSE, LENGTH },
    { TEXT_AND_LEN(OK "Content-Length: 5 5\r\n\r\n"), REFUSE, LENGTH },
    { TEXT_AND_LEN(OK "Content-Length: 5,\r\n\r\n"), REFUSE, LENGTH },
    { TEXT_AND_LEN(OK "Content-Length: 9223372036854775808\r\n\r\n"), REFUSE, LENGTH },
    { TEXT_AND_LEN(OK "Content-Length: 5, 6\r\n\r\n"), REFUSE, LENGTHS },
    { TEXT_AND_LEN(OK "Content-Length: 5\r\nContent-Length: 0\r\n\r\n"), REFUSE, LENGTHS },

    { TEXT_AND_LEN(OK "Transfer-Encoding:\r\n\r\n"), REFUSE, CODING },
    { TEXT_AND_LEN(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), REFUSE, CODING },
    { TEXT_AND_LEN(OK "Transfer-Encoding: identity\r\n\r\n"), REFUSE, CODING },
    { TEXT_AND_LEN(OK "Transfer-Encoding: chunked, chunked\r\n\r\n"), REFUSE, CODING },
    { TEXT_AND_LEN(OK "Transfer-Encoding: chunked,\r\n\r\n"), REFUSE, CODING },
    { TEXT_AND_LEN(OK "Transfer-Encoding: chunked;a=b\r\n\r\n"), REFUSE, CODING },
    { TEXT_AND_LEN(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), REFUSE,
      "Transfer-Encoding twice" },
    { TEXT_AND_LEN(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), REFUSE, BOTH },
    { TEXT_AND_LEN(OK "Content-Length: 0\r\nTransfer-Encoding : chunked\r\n\r\n"), REFUSE, BOTH },

    { TEXT_AND_LEN(OK "Connection: close keep-alive\r\n\r\n"), REFUSE, "invalid Connection" },
    { TEXT_AND_LEN(OK "Connection: close;\r\n\r\n"), REFUSE, "invalid Connection" },
};

START_TEST(head_bad)
{
    usher_http1_limits_t limits = limits_with(bad_heads[_i].badline);
    char *buf = unit_copy(bad_heads[_i].text, bad_heads[_i].len);
    usher_http1_head_t head = { 0 };
    const char *why = "";

    ck_assert_int_eq(usher_http1_head(&head, buf, bad_heads[_i].len, &limits, &why), BAD);
    ck_assert_str_eq(why, bad_heads[_i].why);
    free(buf);
}
END_TEST

START_TEST(head_bad_byte_by_byte)
{
    usher_http1_limits_t limits = limits_with(bad_heads[_i].badline);
    size_t len = 0;
    char *buf = unit_copy("", 0);
    usher_http1_head_t head = { 0 };
    usher_parse_e rv;
    const char *why = "";

    while ((rv = usher_http1_head(&head, buf, len, &limits, &why)) == MORE
           && len < bad_heads[_i].len) {
        buf = more_bytes(buf, len, bad_heads[_i].text, 1);
        ++len;
    }
    ck_assert_int_eq(rv, BAD);
    ck_assert_str_eq(why, bad_heads[_i].why);
    free(buf);
}
END_TEST

/* Each at its limit and one over it; over it also without an end of the line
 * or of the head. */
static const struct {
    const char *text;
    usher_http1_limits_t limits;
    usher_parse_e rv;
    const char *why;
} limited[] = {
    { OK "A: 4567890123456\r\n\r\n", { 16, 99, 9, REFUSE }, DONE, "" },
    { OK "A: 4567890123456\r", { 16, 99, 9, REFUSE }, MORE, "" },
    { OK "A: 45678901234567\r\n\r\n", { 16, 99, 9, REFUSE }, BAD, "line too long" },
    { OK "A: 45678901234567", { 16, 99, 9, REFUSE }, BAD, "line too long" },
    { OK "A: 45678901234567", { 16, 99, 9, SKIP }, BAD, "line too long" },
    { OK "45678901234567890", { 16, 99, 9, BODY }, BAD, "line too long" },
    { OK "A: 4567\r\n 123456\r\n\r\n", { 16, 99, 9, REFUSE }, DONE, "" },
    { OK "A: 4567\r\n 1234567\r\n\r\n", { 16, 99, 9, REFUSE }, BAD, "line too long" },
    { OK "A: 4567\r\n 1234567", { 16, 99, 9, REFUSE }, BAD, "line too long" },
    { "HTTP/1.1 200 OKAY", { 16, 99, 9, REFUSE }, BAD, "line too long" },
    { OK "A: b\r\n\r\n", { 99, 25, 9, REFUSE }, DONE, "" },
    { OK "A: b\r\n\r\nbody", { 99, 25, 9, REFUSE }, DONE, "" },
    { OK "A: b\r\n\r", { 99, 25, 9, REFUSE }, MORE, "" },
    { OK "A: b\r\n\r\n", { 99, 24, 9, REFUSE }, BAD, "head too long" },
    { OK "A: bc\r\nD", { 99, 25, 9, REFUSE }, BAD, "head too long" },
    { OK "A: b\r\nC\r\n", { 99, 26, 9, BODY }, DONE, "" },
    { OK "A: b\r\nC\r\n", { 99, 25, 9, BODY }, BAD, "head too long" },
    { OK "A: b\r\nC: d\r\n\r\n", { 99, 99, 2, REFUSE }, DONE, "" },
    { OK "A: b\r\nC: d\r\nx\r\n\r\n", { 99, 99, 2, SKIP }, DONE, "" },
    { OK "A: b\r\nC: d\r\nx\r\n", { 99, 99, 2, BODY }, DONE, "" },
    { OK "A: b\r\nC: d\r\nE: f\r\n\r\n", { 99, 99, 2, REFUSE }, BAD, "too many fields" },
    { OK "A: b\r\nC: d\r\nE: f\r\n\r", { 99, 99, 2, REFUSE }, BAD, "too many fields" },
    { OK "\r\n", { 99, 99, 0, REFUSE }, DONE, "" },
};

START_TEST(head_limits)
{
    size_t len = strlen(limited[_i].text);
    char *buf = unit_copy(limited[_i].text, len);
    usher_http1_head_t head = { 0 };
    const char *why = "";

    ck_assert_int_eq(usher_http1_head(&head, buf, len, &limited[_i].limits, &why), limited[_i].rv);
    ck_assert_str_eq(why, limited[_i].why);
    free(buf);
}
END_TEST

/* A head that comes byte by byte is not searched from its beginning each time:
 * what lies behind is not read, so it may be anything. */
START_TEST(head_resumes)
{
    usher_http1_limits_t limits = limits_with(REFUSE);
    char buf[] = OK "A: b\r\nC: d\r\n\r\n";
    const size_t len = sizeof(buf) - 1, second = sizeof(OK) - 1 + 6;
    usher_http1_head_t head = { 0 };
    const char *why;

    ck_assert_int_eq(usher_http1_head(&head, buf, len - 3, &limits, &why), MORE);
    ck_assert_uint_eq(head.scanned, len - 3);
    memset(buf + sizeof(OK) - 1, '\n', second - (sizeof(OK) - 1));
    ck_assert_int_eq(usher_http1_head(&head, buf, len, &limits, &why), DONE);
    ck_assert_uint_eq(head.fields, 2);
}
END_TEST

static const struct {
    const char *text;
    const char *fields;
} trailers[] = {
    { "\r\n", "" },
    { "\n", "" },
    { "A: b\r\nC : d\n\r\n", "A=b|C=d|" },
    { "A: b\r\n\tc\n d\r\n\r\n", "A=b  \tc  d|" },
    { "Content-Length: x\r\nTransfer-Encoding: y\r\nConnection: ;\r\n\r\n",
      "Content-Length=x|Transfer-Encoding=y|Connection=;|" },
};

START_TEST(trailers_whole)
{
    usher_http1_limits_t limits = limits_with(REFUSE);
    size_t len = strlen(trailers[_i].text);
    char *buf = unit_copy(trailers[_i].text, len);
    apr_size_t used = 0;
    unsigned int fields = 77, count;
    const char *why = NULL;

    ck_assert_int_eq(usher_http1_trailers(buf, len, &limits, &used, &fields, &why), DONE);
    ck_assert_uint_eq(used, len);
    ck_assert_str_eq(told(buf, used, 0, &count), trailers[_i].fields);
    ck_assert_uint_eq(fields, count);
    ck_assert_ptr_null(why);
    free(buf);
}
END_TEST

/* At each length, and again with all of it: folds are undone only once. */
START_TEST(trailers_every_prefix_and_split)
{
    usher_http1_limits_t limits = limits_with(REFUSE);
    size_t len = strlen(trailers[_i].text);
    size_t split;

    for (split = 0; split < len; ++split) {
        char *buf = unit_copy(trailers[_i].text, split);
        apr_size_t used = 77;
        unsigned int fields, count;
        const char *why;

        ck_assert_int_eq(usher_http1_trailers(buf, split, &limits, &used, &fields, &why), MORE);
        ck_assert_uint_eq(used, 77);
        buf = more_bytes(buf, split, trailers[_i].text, len - split);
        ck_assert_int_eq(usher_http1_trailers(buf, len, &limits, &used, &fields, &why), DONE);
        ck_assert_uint_eq(used, len);
        ck_assert_str_eq(told(buf, used, 0, &count), trailers[_i].fields);
        ck_assert_uint_eq(fields, count);
        free(buf);
    }
}
END_TEST

static const struct {
    const char *text;
    usher_http1_limits_t limits;
    const char *why;
} bad_trailers[] = {
    { "bad\r\n", { 99, 99, 9, REFUSE }, NO_COLON },
    { "bad\r\n", { 99, 99, 9, SKIP }, NO_COLON },
    { "bad\r\n", { 99, 99, 9, BODY }, NO_COLON },
    { " A: b\r\n", { 99, 99, 9, REFUSE }, NO_FIELD },
    { "A: \x01\r\n\r\n", { 99, 99, 9, REFUSE }, CONTROL },
    { "A b: c\r\n\r\n", { 99, 99, 9, REFUSE }, NAME },
    { "A: bcdef", { 7, 99, 9, REFUSE }, "line too long" },
    { "A: b\r\nC: ", { 99, 9, 9, REFUSE }, "trailers too long" },
    { "A: b\r\nC: d\r\n\r\n", { 99, 99, 1, REFUSE }, "too many fields" },
};

START_TEST(trailers_bad)
{
    size_t len = strlen(bad_trailers[_i].text);
    char *buf = unit_copy(bad_trailers[_i].text, len);
    apr_size_t used;
    unsigned int fields;
    const char *why = "";

    ck_assert_int_eq(usher_http1_trailers(buf, len, &bad_trailers[_i].limits, &used, &fields, &why),
                     BAD);
    ck_assert_str_eq(why, bad_trailers[_i].why);
    free(buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http1");
    TCase *tc = tcase_create("heads and trailers");

    tcase_add_loop_test(tc, head_whole, 0, UNIT_COUNT(heads));
    tcase_add_loop_test(tc, head_then_body, 0, UNIT_COUNT(heads));
    tcase_add_loop_test(tc, head_every_prefix, 0, UNIT_COUNT(heads));
    tcase_add_loop_test(tc, head_every_split, 0, UNIT_COUNT(heads));
    tcase_add_loop_test(tc, head_byte_by_byte, 0, UNIT_COUNT(heads));
    tcase_add_loop_test(tc, head_bad, 0, UNIT_COUNT(bad_heads));
    tcase_add_loop_test(tc, head_bad_byte_by_byte, 0, UNIT_COUNT(bad_heads));
    tcase_add_loop_test(tc, head_limits, 0, UNIT_COUNT(limited));
    tcase_add_test(tc, head_resumes);
    tcase_add_loop_test(tc, trailers_whole, 0, UNIT_COUNT(trailers));
    tcase_add_loop_test(tc, trailers_every_prefix_and_split, 0, UNIT_COUNT(trailers));
    tcase_add_loop_test(tc, trailers_bad, 0, UNIT_COUNT(bad_trailers));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
