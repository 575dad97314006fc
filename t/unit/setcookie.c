/* What a field Set-Cookie does. */
#include "unit.h"
#include "usher_setcookie.h"

#include <stdio.h>

#define UTC 1000000000 /* Sun, 09 Sep 2001 01:46:40 GMT */

static const struct {
    const char *text;
    int does;
    const char *value;
} fields[] = {
    { "SID=a1", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Path=/; HttpOnly", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=\"a 1\";Path=/", USHER_SETCOOKIE_SETS, "a 1" },
    { " SID = a1 ; Secure", USHER_SETCOOKIE_SETS, "a1" },
    { "", USHER_SETCOOKIE_OTHER, "" },
    { "SID", USHER_SETCOOKIE_OTHER, "" },
    { "SIDX=a1", USHER_SETCOOKIE_OTHER, "" },
    { "X=1; SID=a1", USHER_SETCOOKIE_OTHER, "" },
    { "sid=a1", USHER_SETCOOKIE_OTHER, "" },
    { "SID=", USHER_SETCOOKIE_CLEARS, "" },
    { "SID=; Path=/", USHER_SETCOOKIE_CLEARS, "" },
    { "SID=\"\"", USHER_SETCOOKIE_CLEARS, "" },
    { "SID=a1; Max-Age=0", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1;max-age = 00 ;Path=/", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1; Max-Age=-1", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1; Max-Age=10", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Max-Age=99999999999999999999999", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Max-Age=0; Max-Age=10", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Max-Age=", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Max-Age=-", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Max-Age=0x", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Max-Age", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; XMax-Age=0", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1; Expires=Thu, 01-Jan-1970 00:00:10 GMT; Path=/", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1; expires=Thursday, 01-Jan-70 00:00:00 GMT", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1; Expires=Thu Jan  1 00:00:00 1970", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1; Expires=Sun, 09 Sep 2001 01:46:40 GMT", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1; Expires=Sun, 09 Sep 2001 01:46:41 GMT", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Sun, 9-sep-01 1:46:41 GMT", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Fri, 31 Dec 9999 23:59:59 GMT", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Mon, 01 Jan 1601 00:00:00 GMT", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1; Expires=Mon, 01 Jan 1600 00:00:00 GMT", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=0", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=-1", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Thu, 01 Jan 1970 24:00:00 GMT", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Thu, 01 Jan 1970 00:00 GMT", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Thu, 01 Jan 1970 00:000:00 GMT", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Thu, 32 Jan 1970 00:00:00 GMT", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Thu, 01 Ja 1970 00:00:00 GMT", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Thu, 01 Jan 19701 00:00:00 GMT", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", USHER_SETCOOKIE_SETS, "a1" },
    { "SID=a1; Max-Age=0; Expires=Fri, 31 Dec 9999 23:59:59 GMT", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1; Max-Age=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", USHER_SETCOOKIE_CLEARS, "a1" },
    { "SID=a1;;;=;Expires", USHER_SETCOOKIE_SETS, "a1" },
};

START_TEST(field)
{
    apr_size_t len = strlen(fields[_i].text);
    char *text = unit_copy(fields[_i].text, len), got[100];
    usher_span_t value = { "", 0 };

    ck_assert_msg((int)usher_setcookie(&value, text, len, "SID", 3, UTC) == fields[_i].does,
                  "%s", fields[_i].text);
    snprintf(got, sizeof(got), "%.*s", (int)value.len, value.text);
    ck_assert_str_eq(got, fields[_i].value);
    free(text);
}
END_TEST

/* No byte behind the end is read. */
START_TEST(prefixes)
{
    const char *whole = "SID=a1; Max-Age=10; Expires=Thu, 01-Jan-1970 00:00:10 GMT; Path=/";
    apr_size_t len;

    for (len = 0; len <= strlen(whole); ++len) {
        char *text = unit_copy(whole, len);
        usher_span_t value;

        usher_setcookie(&value, text, len, "SID", 3, UTC);
        free(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("setcookie");
    TCase *tests = tcase_create("all");

    tcase_add_loop_test(tests, field, 0, UNIT_COUNT(fields));
    tcase_add_test(tests, prefixes);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
