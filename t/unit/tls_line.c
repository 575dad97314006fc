/* What lines of logs tell of TLS, and what their clients would like them to tell. */
#include <apr_strings.h>
#include <stdio.h>
#include <time.h>

#include "tls_line.h"
#include "unit.h"

#define SSL "SSL:{TLSv1.2,AES128-SHA}"
#define HTTPD "192.0.2.1 - - [22/Nov/2026:18:13:36 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl/8\" "
#define HAPROXY "192.0.2.1:4000 [22/Nov/2026:18:13:36.123] www~ app/one 1/2/3/4/5 200 5 - - ---- 1/1/1/1/0 0/0 "
#define JSON "{\"time\":\"2026-11-22T18:13:36.123456+00:00\",\"client\":\"192.0.2.1\","
#define SHAKE "[22/Nov/2026:18:13:36.123456 +0000] 192.0.2.1:4000 443 vhost=www outcome="

/* "version cipher client agent vhost outcome offered", "-" for what is not told; "": nothing of TLS */
static const struct {
    const char *line, *tells;
} cases[] = {
    { HTTPD SSL, "TLSv1.2|AES128-SHA|192.0.2.1|curl/8|-|-|-|+" },
    { HTTPD "vhost=a.example:443 id=1 " SSL " req={x|} cookie=-/-",
      "TLSv1.2|AES128-SHA|192.0.2.1|curl/8|a.example:443|-|-|+" },
    { "www:443 " HTTPD SSL, "TLSv1.2|AES128-SHA|192.0.2.1|curl/8|-|-|-|+" },
    { "Nov 22 18:13:36 host httpd[1]: " HTTPD SSL, "TLSv1.2|AES128-SHA|192.0.2.1|curl/8|-|-|-|+" },
    { HAPROXY "{} {} \"GET / HTTP/1.1\" " SSL, "TLSv1.2|AES128-SHA|192.0.2.1|-|www|-|-|+" },
    { "Nov 22 18:13:36 lb haproxy[1]: " HAPROXY "{www.example.com|Mozilla/5.0 (X11; a)|x} {} \"GET / HTTP/1.1\" " SSL,
      "TLSv1.2|AES128-SHA|192.0.2.1|Mozilla/5.0 (X11; a)|www|-|-|+" },
    { HAPROXY SSL " \"GET / HTTP/1.1\"", "TLSv1.2|AES128-SHA|192.0.2.1|-|www|-|-|+" },
    { "2001:db8::1:4000 [22/Nov/2026:18:13:36.123] www~ " SSL, "TLSv1.2|AES128-SHA|2001:db8::1|-|www|-|-|+" },
    { SHAKE "done " SSL " versions=TLSv1.3,TLSv1.2 reason=\"\"", "TLSv1.2|AES128-SHA|192.0.2.1|-|www|done|TLSv1.3|+" },
    { SHAKE "no-shared-cipher SSL:{-,-} versions=TLSv1", "-|-|192.0.2.1|-|www|no-shared-cipher|TLSv1|+" },
    { "[22/Nov/2026:18:13:36 +0000] [2001:db8::1]:4000 443 SSL:{-,-}", "-|-|2001:db8::1|-|-|-|-|+" },
    { JSON "\"agent\":\"a\\\"b\",\"vhost\":\"v\",\"tls_version\":\"TLSv1.3\",\"tls_cipher\":\"C\"}",
      "TLSv1.3|C|192.0.2.1|a\\\"b|v|-|-|+" },
    { JSON "\"outcome\":\"client-gone\",\"SSL\":\"{-,-}\",\"versions\":\"TLSv1.1,TLSv1\"}", "-|-|192.0.2.1|-|-|client-gone|TLSv1.1|+" },
    { JSON "\"outcome\":\"done\",\"SSL\":\"{TLSv1.3,C}\",\"versions\":\"TLSv1.3\"}", "TLSv1.3|C|192.0.2.1|-|-|done|TLSv1.3|+" },
    { JSON "\"SSL\":\"\",\"outcome\":\"\"}", "-|-|192.0.2.1|-|-|-|-|+" },
    { "{\"a\":1} " SSL, "TLSv1.2|AES128-SHA|-|-|-|-|-|-" },
    { SSL, "TLSv1.2|AES128-SHA|-|-|-|-|-|-" },
    { "192.0.2.1:4000 " SSL, "TLSv1.2|AES128-SHA|192.0.2.1|-|-|-|-|-" },
    { "2001:db8::5 " SSL, "TLSv1.2|AES128-SHA|2001:db8::5|-|-|-|-|-" },
    { "x SSL:{TLSv1.2}", "TLSv1.2|-|-|-|-|-|-|-" },
    { "x SSL:{}", "-|-|-|-|-|-|-|-" },
    { "", "" },
    { "{", "" },
    { "SSL:{", "" },
    { "SSL:{TLSv1", "" },
    { "SSL{TLSv1.2,x}", "" },
    { HTTPD, "" },
    { JSON "\"agent\":\"x\"}", "-|-|192.0.2.1|x|-|-|-|+" }, /* a request without TLS */
    { "{\"client\":\"192.0.2.1\"}", "" },
    /* Clients write, too. */
    { "192.0.2.1 - - [22/Nov/2026:18:13:36 +0000] \"GET /SSL:{TLSv1,a} HTTP/1.1\" 200 5 \"-\" \"SSL:{TLSv1,b} \\\" SSL:{TLSv1,c}\" " SSL,
      "TLSv1.2|AES128-SHA|192.0.2.1|SSL:{TLSv1,b} \\\" SSL:{TLSv1,c}|-|-|-|+" },
    { HAPROXY SSL " \"GET /SSL:{TLSv1,a} HTTP/1.1\"", "TLSv1.2|AES128-SHA|192.0.2.1|-|www|-|-|+" },
    { "192.0.2.1 - a 9.9.9.9:1 [22/Nov/2026:18:13:36 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\" " SSL,
      "TLSv1.2|AES128-SHA|192.0.2.1|-|-|-|-|+" },
    { "192.0.2.1 - [01/Jan/2000:00:00:00 [22/Nov/2026:18:13:36 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\" " SSL,
      "TLSv1.2|AES128-SHA|192.0.2.1|-|-|-|-|-" },
    { JSON "\"agent\":\"\\\"tls_version\\\":\\\"TLSv1\\\"\",\"tls_version\":\"TLSv1.3\"}",
      "TLSv1.3|-|192.0.2.1|\\\"tls_version\\\":\\\"TLSv1\\\"|-|-|-|+" },
    { "x \"SSL:{TLSv1,a}\"", "TLSv1|a|-|-|-|-|-|-" }, /* there is no other */
};

/* 22/Nov/2026 18:13:36 UTC */
#define MOMENT 1795371216

static const char *told(apr_pool_t *p, const tls_line_t *line)
{
    const char *text = "";
    int i;

    for (i = 0; i < TLS_LINE_TEXTS; ++i) {
        const tls_text_t *one = &line->texts[i];

        text = apr_psprintf(p, "%s%s|", text, one->len ? apr_pstrmemdup(p, one->at, one->len) : "-");
    }
    return apr_pstrcat(p, text, line->time == MOMENT ? "+" : "-", NULL);
}

START_TEST(lines)
{
    apr_size_t len = strlen(cases[_i].line);
    char *copy = unit_copy(cases[_i].line, len);
    apr_pool_t *p;
    tls_line_t line;
    int read;

    apr_initialize();
    apr_pool_create(&p, NULL);
    read = tls_line_read(&line, copy, len);
    ck_assert_str_eq(read ? told(p, &line) : "", cases[_i].tells);
    free(copy);
    apr_terminate();
}
END_TEST

/* All that stands in braces, as grep finds it */
static const struct {
    const char *line, *found;
} greps[] = {
    { "", "" },
    { "SSL:{a}SSL:{b}", "SSL:{a},SSL:{b}," },
    { "SSL:{SSL:{a}}", "SSL:{SSL:{a}," },
    { "{SSL:{}", "SSL:{}," },
    { "SSL:SSL:{a", "" },
    { "SSL {a} SSL:{b} {c}", "SSL:{b}," },
};

START_TEST(as_grep)
{
    apr_size_t len = strlen(greps[_i].line);
    char *copy = unit_copy(greps[_i].line, len), all[100] = "";
    const char *at = copy;
    tls_text_t found;

    while (tls_line_next(at, (apr_size_t)(copy + len - at), &found)) {
        strncat(all, found.at, found.len);
        strncat(all, ",", 2);
        at = found.at + found.len;
    }
    ck_assert_str_eq(all, greps[_i].found);
    free(copy);
}
END_TEST

static const struct {
    const char *text;
    int rfc3339;
    apr_int64_t seconds; /* UTC; 0: it is no date */
} dates[] = {
    { "22/Nov/2026:18:13:36 +0000]", 0, MOMENT },
    { "22/Nov/2026:18:13:36.123456 +0000]", 0, MOMENT },
    { "22/Nov/2026:20:13:36 +0200]", 0, MOMENT },
    { "22/Nov/2026:14:43:36 -0330]", 0, MOMENT },
    { "22/Nov/2026:18:13:36.123]", 0, MOMENT - 3600 }, /* here */
    { "22/Nov/2026:18:13:36]", 0, MOMENT - 3600 },
    { "22/Nov/2026:18:13:36", 0, MOMENT - 3600 },
    { "22/Jul/2026:18:13:36", 0, MOMENT - 123 * 86400 - 7200 },
    { "22/Jul/2026:18:28:36", 0, MOMENT - 123 * 86400 - 7200 + 900 },
    { "22/Nov/2026:18:13:3", 0, 0 },
    { "22/Nob/2026:18:13:36", 0, 0 },
    { "32/Nov/2026:18:13:36", 0, 0 },
    { "22/Nov/2026:24:13:36", 0, 0 },
    { "22/Nov/1969:18:13:36", 0, 0 },
    { "xx/Nov/2026:18:13:36", 0, 0 },
    { "2026-11-22T18:13:36.123456+00:00", 1, MOMENT },
    { "2026-11-22T18:13:36Z", 1, MOMENT },
    { "2026-11-22T19:13:36+01:00", 1, MOMENT },
    { "2026-11-22 18:13:36", 1, MOMENT - 3600 },
    { "2026-11-22 18:13", 1, MOMENT - 3600 - 36 },
    { "2026-11-22", 1, MOMENT - 3600 - 36 - 13 * 60 - 18 * 3600 },
    { "2026-11-2", 1, 0 },
    { "2026-13-22", 1, 0 },
    { "2026-11-22x", 1, 0 },
    { "7d", 1, 0 },
};

START_TEST(date)
{
    apr_size_t len = strlen(dates[_i].text);
    char *copy = unit_copy(dates[_i].text, len);

    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    ck_assert_int_eq((dates[_i].rfc3339 ? tls_line_rfc3339 : tls_line_date)(copy, copy + len),
                     dates[_i].seconds);
    free(copy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_line");
    TCase *tests = tcase_create("all");

    tcase_add_loop_test(tests, lines, 0, UNIT_COUNT(cases));
    tcase_add_loop_test(tests, as_grep, 0, UNIT_COUNT(greps));
    tcase_add_loop_test(tests, date, 0, UNIT_COUNT(dates));
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
