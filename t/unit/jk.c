/* The parsers of usherctl from-jk: lines, words, properties, patterns. */
#include "jk.h"
#include "unit.h"

static apr_pool_t *pool;

static void setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
}

static void teardown(void)
{
    apr_pool_destroy(pool);
}

/* Lines: each followed by its number and '|'; "L" and "C" for those refused */
static const struct {
    const char *text;
    int careful;
    const char *lines;
} line_cases[] = {
    { "", 0, "" },
    { "a", 0, "1a|" },
    { "a\nb\n", 0, "1a|2b|" },
    { "\n\n", 0, "1|2|" },
    { "  a \t\r\n b", 0, "1a|2b|" },
    { "a\\\nb\nc", 0, "1ab|3c|" },
    { "a\\\r\nb", 0, "1ab|" },
    { "a\\", 0, "1a|" },
    { "a \\\n  b", 1, "1a   b|" },
    { "x=c:\\\ny=1", 1, "1x=c:\\|2y=1|" },
    { "x=\\\n\ny=1", 1, "1x=\\|2|3y=1|" },
    { "# \\\nb", 1, "1# \\|2b|" },
    { "# \\\nb", 0, "1# b|" },
    { "x=a,\\\n#b", 1, "1x=a,\\|2#b|" },
    { "a\\", 1, "1a\\|" },
    { "a\033\nb", 0, "1C|2b|" },
    { "a\177\nb", 0, "1C|2b|" },
};

START_TEST(lines)
{
    apr_size_t len = strlen(line_cases[_i].text);
    char *text = unit_copy(line_cases[_i].text, len);
    const char *got = "";
    ctl_lines_t all;
    ctl_lines_e result;
    char *line;

    ctl_lines_init(&all, pool, text, len);
    all.careful = line_cases[_i].careful;
    while ((result = ctl_lines_next(&all, &line)) != CTL_LINES_END) {
        got = apr_psprintf(pool, "%s%d%s|", got, all.first,
                           result == CTL_LINES_LINE ? line : result == CTL_LINES_LONG ? "L" : "C");
    }
    ck_assert_str_eq(got, line_cases[_i].lines);
    free(text);
}
END_TEST

START_TEST(long_lines)
{
    apr_size_t len = CTL_LINE_MAX + 3 + (apr_size_t)_i;
    char *text = malloc(len);
    ctl_lines_t all;
    char *line;

    memset(text, 'x', len);
    text[CTL_LINE_MAX + _i] = '\n';
    ctl_lines_init(&all, pool, text, len);
    ck_assert_int_eq(ctl_lines_next(&all, &line), _i ? CTL_LINES_LONG : CTL_LINES_LINE);
    ck_assert_int_eq(ctl_lines_next(&all, &line), CTL_LINES_LINE);
    ck_assert_str_eq(line, "xx");
    ck_assert_int_eq(ctl_lines_next(&all, &line), CTL_LINES_END);
    free(text);
}
END_TEST

static const struct {
    const char *line, *words;
} word_cases[] = {
    { "", "" },
    { "a", "a|" },
    { " a  b ", "a|b|" },
    { "\"a b\" c", "a b|c|" },
    { "'a \" b' c", "a \" b|c|" },
    { "\"a \\\" b\"c", "a \" b|c|" },
    { "\"a \\\\\" c", "a \\|c|" },
    { "\"a \\x\"", "a \\x|" },
    { "a\\\\b", "a\\b|" },
    { "\"a", "a|" },
    { "\"a\\", "a\\|" },
    { "\"a\\\"", "a\"|" },
    { "a\"b", "a\"b|" },
};

START_TEST(words)
{
    const char *line = word_cases[_i].line, *got = "";

    while (*line) {
        got = apr_pstrcat(pool, got, ctl_word(pool, &line), "|", NULL);
    }
    ck_assert_str_eq(got, word_cases[_i].words);
}
END_TEST

/* Whatever is quoted is one word again, the same one: all texts of four letters. */
START_TEST(quoting)
{
    static const char letters[] = "a \"'\\$#[<%";
    char text[5] = "";
    int n, i;

    for (n = 0; n < 10000; ++n) {
        const char *quoted, *rest;

        for (i = 0; i < 4; ++i) {
            static const int powers[] = { 1, 10, 100, 1000 };

            text[i] = letters[n / powers[i] % 10];
        }
        quoted = rest = ctl_conf_quote(pool, text);
        ck_assert_str_eq(ctl_word(pool, &rest), text);
        ck_assert_msg(!*rest, "%s is more than one word", quoted);
        ck_assert_int_ne(quoted[strlen(quoted) - 1], '\\');
    }
}
END_TEST

static const struct {
    const char *text, *name, *value; /* NULL: it is not there */
    int errors, notes;
} property_cases[] = {
    { "a=b", "a", "b", 0, 0 },
    { " a = b # c", "a", "b", 0, 0 },
    { "a=b=c", "a", "b=c", 0, 0 },
    { "#a=b", "a", NULL, 0, 0 },
    { "a=", "a", NULL, 0, 0 },
    { "=a", "a", NULL, 0, 0 },
    { "a", "a", NULL, 1, 0 },
    { "a=b\na=c", "a", "c", 0, 1 },
    { "a=b\na=b", "a", "b", 0, 0 },
    { "worker.l.mount=/a /b\nworker.l.mount=/c", "worker.l.mount", "/a /b,/c", 0, 0 },
    { "worker.list=a\nworker.list=b", "worker.list", "a,b", 0, 0 },
    { "v=x\na=1$(v)2$(v)", "a", "1x2x", 0, 0 },
    { "v=$(w\na=b", "a", "b", 1, 0 },
    { "a=$(v)\nv=x", "a", "", 1, 0 },
    { "v=$x\na=$(v)", "a", "$x", 0, 0 },
    { "w=y\nv=$\na=$(v)(w)", "a", "$(w)", 0, 0 },
    { "v=${\na=b", "v", NULL, 1, 0 },
    { "worker.a b.port=1", "worker.a b.port", NULL, 1, 0 },
    { "a=b\tc", "a", "b c", 0, 0 },
};

START_TEST(properties)
{
    apr_size_t len = strlen(property_cases[_i].text);
    char *text = unit_copy(property_cases[_i].text, len);
    ctl_notes_t *notes = ctl_notes_make(pool);
    jk_properties_t *props = jk_properties_make(pool, notes);
    const jk_property_t *property;

    jk_properties_read(props, "file", text, len);
    property = jk_properties_get(props, property_cases[_i].name);
    ck_assert_int_eq(property != NULL, property_cases[_i].value != NULL);
    if (property && property_cases[_i].value) {
        ck_assert_str_eq(property->value, property_cases[_i].value);
    }
    ck_assert_int_eq(notes->errors->nelts, property_cases[_i].errors);
    ck_assert_int_eq(notes->notes->nelts, property_cases[_i].notes);
    free(text);
}
END_TEST

static const struct {
    const char *pattern, *regex, *prefix;
} pattern_cases[] = {
    { "/", "^/$", NULL },
    { "/*", "^/", "/" },
    { "/a", "^/a(;[^/]*)?$", NULL },
    { "/a/*", "^/a(;[^/]*)?/", "/a/" },
    { "/a/b/*", "^/a(;[^/]*)?/b(;[^/]*)?/", "/a/b/" },
    { "/a*", "^/a", NULL },
    { "/a/*.jsp", "^/a(;[^/]*)?/.*\\.jsp(;[^/]*)?$", NULL },
    { "/*/x/*", "^/.*/x(;[^/]*)?/", NULL },
    { "/a?/*", "^/a.(;[^/]*)?/", NULL },
    { "/a/", "^/a(;[^/]*)?/$", NULL },
    { "/a b/*", "^/a b(;[^/]*)?/", NULL },
    { "/$1/*", "^/\\$1(;[^/]*)?/", NULL },
    { "/(a|b)[c]{2}^+\\/*", "^/\\(a\\|b\\)\\[c\\]\\{2\\}\\^\\+\\\\(;[^/]*)?/", NULL },
};

START_TEST(patterns)
{
    const char *prefix = jk_rule_prefix(pool, pattern_cases[_i].pattern);

    ck_assert_str_eq(jk_rule_regex(pool, pattern_cases[_i].pattern), pattern_cases[_i].regex);
    ck_assert_str_eq(prefix ? prefix : "none",
                     pattern_cases[_i].prefix ? pattern_cases[_i].prefix : "none");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jk");
    TCase *tc = tcase_create("jk");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, lines, 0, UNIT_COUNT(line_cases));
    tcase_add_loop_test(tc, long_lines, 0, 2);
    tcase_add_loop_test(tc, words, 0, UNIT_COUNT(word_cases));
    tcase_add_test(tc, quoting);
    tcase_add_loop_test(tc, properties, 0, UNIT_COUNT(property_cases));
    tcase_add_loop_test(tc, patterns, 0, UNIT_COUNT(pattern_cases));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
