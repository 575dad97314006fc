#include "unit.h"
#include "usher_cookie.h"

#include <stdio.h>

/* All values of the name "SID", and the field without them. */
static const struct {
    const char *text;
    const char *values; /* each with a '|' behind it */
    const char *without;
} fields[] = {
    { "", "", "" },
    { "SID=a", "a|", "" },
    { "SID=", "|", "" },
    { "SID", "", "SID" },
    { "SID;x=1", "", "SID;x=1" },
    { " SID = a ; x=1", "a|", "x=1" },
    { "SID=\"a b\"", "a b|", "" },
    { "SID=\"a", "\"a|", "" },
    { "SID=\"", "\"|", "" },
    { "SID=\"\"", "|", "" },
    { "SID=a=b", "a=b|", "" },
    { "SID=a,b", "a,b|", "" },
    { "x=1, SID=a", "", "x=1, SID=a" },
    { "XSID=1; SID=2; SIDX=3; sid=4", "2|", "XSID=1; SIDX=3; sid=4" },
    { "SID=1; SID=2;SID=3", "1|2|3|", "" },
    { "a=1; SID=2; b=3", "2|", "a=1; b=3" },
    { "SID=2; b=3;c=\"x;y\"", "2|", "b=3;c=\"x;y\"" },
    { "a=1;b=2 ; SID=3", "3|", "a=1;b=2 " },
    { ";;SID=1;;", "1|", "" },
    { "a=SID=1; b", "", "a=SID=1; b" },
    { "\tSID\t=\t1\t", "1|", "" },
    { "=SID; SID=1", "1|", "=SID" },
};

static void values_of(char *all, const char *text, apr_size_t len)
{
    usher_span_t value;
    apr_size_t at = 0;

    *all = 0;
    while (usher_cookie_next(&value, &at, text, len, "SID", 3)) {
        snprintf(all + strlen(all), 100 - strlen(all), "%.*s|", (int)value.len, value.text);
    }
}

START_TEST(field)
{
    apr_size_t len = strlen(fields[_i].text), left;
    char *text = unit_copy(fields[_i].text, len), *to = unit_copy(fields[_i].text, len), all[100];

    values_of(all, text, len);
    ck_assert_str_eq(all, fields[_i].values);
    left = usher_cookie_without(to, text, len, "SID", 3);
    snprintf(all, sizeof(all), "%.*s", (int)left, to);
    ck_assert_str_eq(all, fields[_i].without);
    left = usher_cookie_without(text, text, len, "SID", 3);
    snprintf(all, sizeof(all), "%.*s", (int)left, text);
    ck_assert_str_eq(all, fields[_i].without);
    free(text);
    free(to);
}
END_TEST

START_TEST(every_prefix)
{
    apr_size_t len = strlen(fields[_i].text), n;
    char all[100];

    for (n = 0; n <= len; ++n) {
        char *text = unit_copy(fields[_i].text, n);

        values_of(all, text, n);
        ck_assert_uint_le(usher_cookie_without(text, text, n, "SID", 3), n);
        free(text);
    }
}
END_TEST

static const struct {
    const char *text;
    int sets;
} answers[] = {
    { "SID=a; Path=/", 1 }, { "SID=", 1 }, { " SID =a", 1 }, { "SID", 0 }, { "", 0 },
    { "SIDX=a", 0 }, { "XSID=a", 0 }, { "sid=a", 0 }, { "x=1; SID=a", 0 },
};

START_TEST(sets)
{
    apr_size_t len = strlen(answers[_i].text);
    char *text = unit_copy(answers[_i].text, len);

    ck_assert_int_eq(usher_cookie_sets(text, len, "SID", 3), answers[_i].sets);
    free(text);
}
END_TEST

static const struct {
    const char *text;
    int name, attribute, domain;
} words[] = {
    { "", 0, 0, 0 }, { "USHER", 1, 1, 1 }, { "__Host-a", 1, 1, 0 }, { "a b", 0, 1, 0 },
    { "a=b", 0, 1, 0 }, { "a;b", 0, 0, 0 }, { "a,b", 0, 1, 0 }, { "a\r\nb", 0, 0, 0 },
    { "a\tb", 0, 0, 0 }, { "\x7f", 0, 0, 0 }, { "\xc3\xa4", 0, 1, 0 }, { "a\"b", 0, 1, 0 },
    { ".example.com", 0 + 1, 1, 1 }, { "example.com", 1, 1, 1 }, { "ex-ample.com", 1, 1, 1 },
    { "..com", 1, 1, 0 }, { "a..com", 1, 1, 0 }, { "com.", 1, 1, 0 }, { "-a.com", 1, 1, 0 },
    { "a-.com", 1, 1, 0 }, { "a.com-", 1, 1, 0 }, { ".", 1, 1, 0 }, { "a.com:80", 0, 1, 0 },
    { "127.0.0.1", 1, 1, 1 }, { "a_b.com", 1, 1, 0 },
};

START_TEST(word)
{
    apr_size_t len = strlen(words[_i].text);
    char *text = unit_copy(words[_i].text, len);

    ck_assert_int_eq(usher_cookie_is_name(text, len), words[_i].name);
    ck_assert_int_eq(usher_cookie_is_attribute(text, len), words[_i].attribute);
    ck_assert_int_eq(usher_cookie_is_domain(text, len), words[_i].domain);
    free(text);
}
END_TEST

/* A NUL is no character of a name. */
START_TEST(nul)
{
    ck_assert_int_eq(usher_cookie_is_name("a\0b", 3), 0);
    ck_assert_int_eq(usher_cookie_is_attribute("a\0b", 3), 0);
}
END_TEST

static const struct {
    const char *text;
    const char *path, *query, *route; /* NULL: none */
} urls[] = {
    { "", NULL, NULL, NULL },
    { "/a;sid=x.r1/b", "x.r1", "x.r1/b", "r1/b" },
    { "/a;sid=x.r1?sid=y.r2", "x.r1", "x.r1?sid=y.r2", "r1?sid=y.r2" },
    { "/a;x=1;sid=2;y=3", "2", "2", NULL },
    { "/a?x;sid=2", NULL, "2", NULL },
    { "/a;sid=;sid=2", "2", "2", NULL },
    { "/a;xsid=1;sidx=2;SID=3", NULL, NULL, NULL },
    { "/sid=1", NULL, NULL, NULL },
    { "sid=1", NULL, "1", NULL },
    { "a=1&sid=2.r3.r4&b=5", NULL, "2.r3.r4", "r3.r4" },
    { "a=1&sid", NULL, NULL, NULL },
    { "a=1&sid=", NULL, NULL, NULL },
    { "&&sid=.r", NULL, ".r", "r" },
    { "sid=x.", NULL, "x.", NULL },
};

START_TEST(url)
{
    apr_size_t len = strlen(urls[_i].text), n;
    usher_span_t value, route = { NULL, 0 };
    char *text = unit_copy(urls[_i].text, len), got[50];

    ck_assert_int_eq(usher_cookie_in_path(&value, text, len, "sid", 3), urls[_i].path != NULL);
    if (urls[_i].path) {
        snprintf(got, sizeof(got), "%.*s", (int)value.len, value.text);
        ck_assert_str_eq(got, urls[_i].path);
    }
    ck_assert_int_eq(usher_cookie_in_query(&value, text, len, "sid", 3), urls[_i].query != NULL);
    if (urls[_i].query) {
        snprintf(got, sizeof(got), "%.*s", (int)value.len, value.text);
        ck_assert_str_eq(got, urls[_i].query);
        ck_assert_int_eq(usher_cookie_route(&route, &value, '.'), urls[_i].route != NULL);
    }
    if (urls[_i].route) {
        snprintf(got, sizeof(got), "%.*s", (int)route.len, route.text);
        ck_assert_str_eq(got, urls[_i].route);
    }
    free(text);
    for (n = 0; n < len; ++n) {
        text = unit_copy(urls[_i].text, n);
        usher_cookie_in_path(&value, text, n, "sid", 3);
        usher_cookie_in_query(&value, text, n, "sid", 3);
        free(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cookie");
    TCase *tc = tcase_create("cookies and routes");

    tcase_add_loop_test(tc, field, 0, UNIT_COUNT(fields));
    tcase_add_loop_test(tc, every_prefix, 0, UNIT_COUNT(fields));
    tcase_add_loop_test(tc, sets, 0, UNIT_COUNT(answers));
    tcase_add_loop_test(tc, word, 0, UNIT_COUNT(words));
    tcase_add_test(tc, nul);
    tcase_add_loop_test(tc, url, 0, UNIT_COUNT(urls));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
