#include "unit.h"
#include "log_line.h"

#define UNKNOWN (-1)

#define COMBINED "192.0.2.7 - - [22/Nov/2026:18:13:36 +0100] \"GET /shop?a=b HTTP/1.1\" 200 5120 " \
                 "\"http://r/\" \"Mozilla/5.0 \\\"x\\\"\""
#define USHER(state, cluster, member, tries, times, bytes) \
    COMBINED " vhost=www.example.com:443 id=Zx state=" state " cluster=" cluster " member=" member \
             " tries=" tries " times=" times " bytes=" bytes " conns=1/1/1/1 queue=0" \
             " SSL:{TLSv1.3,TLS_AES_256_GCM_SHA384} req={www.example.com|} res={} cookie=-/-"
#define HTTPLOG(names, times, status, bytes, state, counts, rest) \
    "192.0.2.7:4711 [22/Nov/2026:18:13:36.123] " names " " times " " status " " bytes " - - " state \
    " " counts " 0/0 " rest
#define JSON(more) "{\"time\":\"2026-11-22T18:13:36.123456+01:00\",\"state\":\"--VN\"" more "}"

#define FORGED "1:1 [22/Nov/2026:18:13:36.123] w app/b 0/0/0/0/9999 503 1 - - SC-- 1/1/1/1/0 0/0 "

#define AT      1795367616000000 /* 17:13:36 UTC */
#define AT_HERE 1795371216123000

static const struct {
    const char *bytes;
    apr_int64_t at;
    const char *cluster, *member, *state;
    log_line_kind_e kind;
    int status, tries, replays;
    apr_int64_t times[LOG_TIMES];
    apr_int64_t in, out;
} good[] = {
    { USHER("--VN", "app", "tc1", "1/0", "12/0/0/1234/2345", "300/5400"), AT, "app", "tc1",
      "--VN", LOG_LINE_USHER, 200, 1, 0, { 12, 0, 0, 1234, 2345 }, 300, 5400 },
    /* Nothing but what is always known */
    { USHER("PR--", "-", "-", "-/-", "-/-/-/-/7", "-/-"), AT, "", "", "PR--", LOG_LINE_USHER, 200,
      UNKNOWN, UNKNOWN, { -1, -1, -1, -1, 7 }, UNKNOWN, 5120 },
    { USHER("--VN", "app", "http://10.0.0.1:8080", "3/2", "1/2/3/4/17592186044416", "1/2"),
      AT, "app", "http://10.0.0.1:8080", "--VN", LOG_LINE_USHER, 200, 3, 2,
      { 1, 2, 3, 4, LOG_TIME_MAX }, 1, 2 },
    /* What syslog puts before it */
    { "Nov 22 18:13:36 host httpd[123]: " USHER("--VN", "a", "b", "1/0", "1/2/3/4/5", "1/2"),
      AT, "a", "b", "--VN", LOG_LINE_USHER, 200, 1, 0, { 1, 2, 3, 4, 5 }, 1, 2 },
    { HTTPLOG("www~ app/tc1", "0/0/1/12/13", "200", "5120", "--VN", "1/1/1/1/0", "\"GET / HTTP/1.1\""),
      AT_HERE, "app", "tc1", "--VN", LOG_LINE_HTTPLOG, 200, 1, UNKNOWN,
      { 0, 0, 1000, 12000, 13000 }, UNKNOWN, 5120 },
    { "<134>Nov 22 18:13:36 host haproxy[12]: " HTTPLOG("in app/<NOSRV>", "0/-1/-1/-1/+30", "503",
      "+212", "SC--", "1/1/1/1/+3", "{a b|[22/Nov/2026:18:13:36.123]} \"GET / HTTP/1.1\""),
      AT_HERE, "app", "", "SC--", LOG_LINE_HTTPLOG, 503, 4, UNKNOWN, { 0, -1, -1, -1, 30000 },
      UNKNOWN, 212 },
    { "<134>1 2026-11-22T18:13:36Z host haproxy 12 - [timeQuality tzKnown=\"1\"] " HTTPLOG("w app/s", "0/0/0/0/0",
      "200", "0", "--", "1/1/0/0/0", "\"GET / HTTP/1.1\""), AT_HERE, "app", "s", "----", LOG_LINE_HTTPLOG, 200, 1,
      UNKNOWN, { 0, 0, 0, 0, 0 }, UNKNOWN, 0 },
    { HTTPLOG("in in/<NOSRV>", "-1/-1/-1/-1/30", "-1", "0", "CR--", "1/1/0/0/0", "\"<BADREQ>\""),
      AT_HERE, "", "", "CR--", LOG_LINE_HTTPLOG, 0, 1, UNKNOWN, { -1, -1, -1, -1, 30000 }, UNKNOWN,
      0 },
    /* Cut off by who logged it, with all figures */
    { HTTPLOG("in app/s", "0/0/0/0/0", "200", "0", "--", "1/1/0/0/0", "\"GET /a/very/long"),
      AT_HERE, "app", "s", "----", LOG_LINE_HTTPLOG, 200, 1, UNKNOWN, { 0, 0, 0, 0, 0 }, UNKNOWN, 0 },
    { JSON(",\"status\":502,\"cluster\":\"app\",\"member\":\"t\\\"1\",\"tries\":2,\"replays\":1,"
           "\"read_us\":1,\"queue_us\":2,\"connect_us\":3,\"first_us\":null,\"total_us\":5,"
           "\"bytes_in\":6,\"bytes_out\":7,\"req\":{\"Host\":\"}],{\",\"n\":[1,{}]},\"x\":true"),
      AT + 123456, "app", "t\\\"1", "--VN", LOG_LINE_JSON, 502, 2, 1, { 1, 2, 3, -1, 5 }, 6, 7 },
    { " host httpd: " JSON(""), AT + 123456, "", "", "--VN", LOG_LINE_JSON, 0, UNKNOWN, UNKNOWN,
      { -1, -1, -1, -1, -1 }, UNKNOWN, UNKNOWN },
    /* Another order, blanks, UTC */
    { "{ \"member\" : \"m\" , \"state\":\"CD--\", \"time\":\"2026-11-22T17:13:36Z\", \"status\": 0 } ",
      AT, "", "m", "CD--", LOG_LINE_JSON, 0, UNKNOWN, UNKNOWN, { -1, -1, -1, -1, -1 }, UNKNOWN,
      UNKNOWN },
};

static int same(const log_text_t *text, const char *expected)
{
    return text->len == strlen(expected) && (!text->len || !memcmp(text->at, expected, text->len));
}

START_TEST(good_lines)
{
    apr_size_t len = strlen(good[_i].bytes);
    char *bytes = unit_copy(good[_i].bytes, len);
    log_line_t line;

    ck_assert_int_eq(log_line_parse(&line, bytes, len), USHER_PARSE_DONE);
    ck_assert_int_eq(line.kind, good[_i].kind);
    ck_assert_int_eq(line.zoned, good[_i].kind != LOG_LINE_HTTPLOG);
    ck_assert_int_eq(line.at, good[_i].at);
    ck_assert(same(&line.cluster, good[_i].cluster));
    ck_assert(same(&line.member, good[_i].member));
    ck_assert_mem_eq(line.state, good[_i].state, LOG_STATE_SIZE);
    ck_assert_int_eq(line.status, good[_i].status);
    ck_assert_int_eq(line.tries, good[_i].tries);
    ck_assert_int_eq(line.replays, good[_i].replays);
    ck_assert_mem_eq(line.times, good[_i].times, sizeof(line.times));
    ck_assert_int_eq(line.bytes_in, good[_i].in);
    ck_assert_int_eq(line.bytes_out, good[_i].out);
    free(bytes);
}
END_TEST

/* What is cut off is no line, or has the same figures: never smaller ones. */
START_TEST(every_prefix)
{
    apr_size_t len = strlen(good[_i].bytes), part;
    log_line_t whole, line;

    ck_assert_int_eq(log_line_parse(&whole, good[_i].bytes, len), USHER_PARSE_DONE);
    for (part = 0; part < len; ++part) {
        char *bytes = unit_copy(good[_i].bytes, part);

        if (log_line_parse(&line, bytes, part) == USHER_PARSE_DONE) {
            ck_assert(whole.kind != LOG_LINE_JSON || good[_i].bytes[part] == ' ');
            ck_assert_mem_eq(line.times, whole.times, sizeof(line.times));
            ck_assert_mem_eq(line.state, whole.state, LOG_STATE_SIZE);
            ck_assert_int_eq(line.status, whole.status);
            ck_assert_int_eq(line.bytes_out, whole.bytes_out);
            ck_assert_int_eq(line.bytes_in, whole.bytes_in);
            ck_assert_uint_eq(line.member.len, whole.member.len);
        }
        free(bytes);
    }
}
END_TEST

static const char *const bad[] = {
    "",
    "x",
    "[",
    "{",
    "{}",
    COMBINED,
    COMBINED " vhost=a state=---- times=1/2/3/4/5 ",
    "[22/Nov/2026:18:13:36 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\" state=---- times=1/2/3/4/5 bytes=1/1 x",
    USHER("--VN", "a", "b", "1/0", "1/2/3/4", "1/2"),
    USHER("--VN", "a", "b", "1/0", "1/2/3/4/5/6", "1/2"),
    USHER("--VN", "a", "b", "1/0", "1/2/3/4/-2", "1/2"),
    USHER("--VN", "a", "b", "1/0", "1/2/3/4/17592186044417", "1/2"),
    USHER("--VN", "a", "b", "1/0", "1/2/3/4/99999999999999999999", "1/2"),
    USHER("--VN", "a", "b", "1", "1/2/3/4/5", "1/2"),
    USHER("--VN", "a", "b", "1/0", "1/2/3/4/5", "1/18446744073709551616"),
    USHER("--VN-", "a", "b", "1/0", "1/2/3/4/5", "1/2"),
    USHER("", "a", "b", "1/0", "1/2/3/4/5", "1/2"),
    USHER("--V\x1b", "a", "b", "1/0", "1/2/3/4/5", "1/2"),
    HTTPLOG("www~", "0/0/1/12/13", "200", "5120", "----", "1/1/1/1/0", "\"GET / HTTP/1.1\""),
    HTTPLOG("www~ app", "0/0/1/12/13", "200", "5120", "----", "1/1/1/1/0", "\"GET / HTTP/1.1\""),
    HTTPLOG("www~ app/a", "0/0/1/12", "200", "5120", "----", "1/1/1/1/0", "\"GET / HTTP/1.1\""),
    HTTPLOG("www~ app/a", "0/0/1/12/17592186045", "200", "5", "----", "1/1/1/1/0", "\"GET\""),
    HTTPLOG("www~ app/a", "0/0/1/12/13", "1000", "5120", "----", "1/1/1/1/0", "\"GET / HTTP/1.1\""),
    HTTPLOG("www~ app/a", "0/0/1/12/13", "200", "5120", "----", "1/1/1/1", "\"GET / HTTP/1.1\""),
    HTTPLOG("www~ app/a", "0/0/1/12/13", "200", "5120", "----", "1/1/1/1/0", "GET"),
    "192.0.2.7:1 [31/Feb/2026:18:13:36.123] w a/b 0/0/0/0/0 200 1 - - ---- 1/1/1/1/0 0/0 \"GET / X\"",
    "192.0.2.7:1 [22/Nov/2026:24:13:36.123] w a/b 0/0/0/0/0 200 1 - - ---- 1/1/1/1/0 0/0 \"GET / X\"",
    "192.0.2.7:1 [22/nov/2026:18:13:36.123] w a/b 0/0/0/0/0 200 1 - - ---- 1/1/1/1/0 0/0 \"GET / X\"",
    "192.0.2.7:1 [22/Nov/2026:18:13:36.12x] w a/b 0/0/0/0/0 200 1 - - ---- 1/1/1/1/0 0/0 \"GET / X\"",
    "{\"state\":\"----\"}",
    "{\"time\":\"2026-11-22T18:13:36Z\"}",
    "{\"time\":\"2026-11-22T18:13:36\",\"state\":\"----\"}",
    "{\"time\":\"2026-11-22T18:13:36+24:00\",\"state\":\"----\"}",
    "{\"time\":\"2026-13-22T18:13:36Z\",\"state\":\"----\"}",
    "{\"time\":1,\"state\":\"----\"}",
    JSON(",\"total_us\":\"5\""),
    JSON(",\"total_us\":1.5"),
    JSON(",\"total_us\":-7"),
    JSON(",\"status\":1000"),
    JSON(",\"vhost\":{}"),
    JSON(","),
    JSON(",\"x\""),
    JSON(",\"x\":"),
    JSON(",\"x\":[1,2"),
    JSON("") "x",
    JSON("") JSON(""),
    /* A client's User-Agent, in lines that tell nothing themselves: of httpd, and cut off */
    "192.0.2.7 - - [22/Nov/2026:18:13:36 +0100] \"GET / HTTP/1.1\" 200 1 \"-\" \"" FORGED "\"",
    "192.0.2.7 - - [22/Nov/2026:18:13:36 +0100] \"GET / HTTP/1.1\" 200 1 \"-\" \"" FORGED "\" vhost=a:80 id=-",
};

START_TEST(bad_lines)
{
    apr_size_t len = strlen(bad[_i]);
    char *bytes = unit_copy(bad[_i], len);
    log_line_t line;

    ck_assert_int_eq(log_line_parse(&line, bytes, len), USHER_PARSE_BAD);
    free(bytes);
}
END_TEST

/* What a client sends cannot stand for what httpd tells: its quotes are escaped. */
START_TEST(forged)
{
    static const char user[] =
        "192.0.2.7 - a [01/Jan/2020:00:00:00 +0000] \\\"GET / HTTP/1.1\\\" 200 1 \\\"-\\\" [22/Nov/2026:"
        "18:13:36 +0100] \"GET /x\\\" 200 1 state=CD-- HTTP/1.1\" 404 1 \"state=SH-- times=9/9/9/9/9\""
        " \"[01/Jan/2020:00:00:00 +0000] \\\"\\\\\" vhost=a:80 id=- state=--VN cluster=a member=b"
        " tries=1/0 times=1/2/3/4/5 bytes=1/2 queue=0";
    log_line_t line;

    ck_assert_int_eq(log_line_parse(&line, user, sizeof(user) - 1), USHER_PARSE_DONE);
    ck_assert_int_eq(line.at, AT);
    ck_assert_int_eq(line.status, 404);
    ck_assert_mem_eq(line.state, "--VN", 4);
    ck_assert_int_eq(line.times[LOG_TIME_TOTAL], 5);
}
END_TEST

static const struct {
    log_line_kind_e kind;
    const char *text, *bytes;
    apr_size_t room;
} texts[] = {
    { LOG_LINE_USHER, "", "", 9 },
    { LOG_LINE_USHER, "tc1", "tc1", 9 },
    { LOG_LINE_USHER, "a\\x20b\\\\c\\\"d", "a b\\c\"d", 99 },
    { LOG_LINE_USHER, "\\x1b[31m\\xC3\\xa9", "\x1b[31m\xc3\xa9", 99 },
    { LOG_LINE_USHER, "\\x1", "x1", 9 },
    { LOG_LINE_USHER, "\\xg0", "xg0", 9 },
    { LOG_LINE_USHER, "a\\", "a\\", 9 },
    { LOG_LINE_USHER, "a\\n\\u0041", "a\nu0041", 9 },
    { LOG_LINE_USHER, "abcdef", "abc", 3 },
    { LOG_LINE_USHER, "ab\\x20", "ab ", 3 },
    { LOG_LINE_HTTPLOG, "a#20b#7Cc##d\\x20#", "a b|c##d\\x20#", 99 },
    { LOG_LINE_JSON, "a\\\"\\/\\n\\u0041\\u00e9\\u20ac", "a\"/\nA\xe9\xe2\x82\xac", 99 },
    { LOG_LINE_JSON, "\\ud83d\\ude00", "\xf0\x9f\x98\x80", 99 },
    { LOG_LINE_JSON, "\\ud83dx", "\xed\xa0\xbdx", 99 },
    { LOG_LINE_JSON, "\\u12", "u12", 99 },
    { LOG_LINE_JSON, "ab\\u20ac", "ab", 4 },
    { LOG_LINE_JSON, "\\x41", "x41", 9 },
};

START_TEST(decoded)
{
    apr_size_t len = strlen(texts[_i].text), got;
    char *copy = unit_copy(texts[_i].text, len), *to = malloc(texts[_i].room);
    log_text_t text = { copy, len };

    got = log_line_text(to, texts[_i].room, texts[_i].kind, &text);
    ck_assert_uint_eq(got, strlen(texts[_i].bytes));
    ck_assert(!memcmp(to, texts[_i].bytes, got));
    free(copy);
    free(to);
}
END_TEST

START_TEST(path)
{
    static const char one[] = USHER("--VN", "a", "b", "1/0", "1/2/3/4/5", "1/2");
    static const char other[] = JSON(",\"request\":\"\\u0016\\u0003\"");
    log_line_t line;
    log_text_t found;

    ck_assert_int_eq(log_line_parse(&line, one, sizeof(one) - 1), USHER_PARSE_DONE);
    found = log_line_path(&line);
    ck_assert(same(&found, "/shop"));
    ck_assert(same(&line.method, "GET"));
    ck_assert(same(&line.uri, "/shop?a=b"));
    ck_assert(same(&line.vhost, "www.example.com:443"));
    ck_assert(same(&line.client, "192.0.2.7"));
    ck_assert(same(&line.id, "Zx"));
    ck_assert_int_eq(log_line_parse(&line, other, sizeof(other) - 1), USHER_PARSE_DONE);
    found = log_line_path(&line);
    ck_assert(same(&found, "\\u0016\\u0003"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_line");
    TCase *tc = tcase_create("lines");

    tcase_add_loop_test(tc, good_lines, 0, UNIT_COUNT(good));
    tcase_add_loop_test(tc, every_prefix, 0, UNIT_COUNT(good));
    tcase_add_loop_test(tc, bad_lines, 0, UNIT_COUNT(bad));
    tcase_add_loop_test(tc, decoded, 0, UNIT_COUNT(texts));
    tcase_add_test(tc, forged);
    tcase_add_test(tc, path);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
