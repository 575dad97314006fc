#include "unit.h"
#include "usher_match.h"

static const struct {
    const char *text;
    int right;
    int has, has_not;
} statuses[] = {
    { "404", 1, 404, 403 },
    { "100", 1, 100, 101 },
    { "599", 1, 599, 598 },
    { "404,500-599", 1, 500, 499 },
    { "400-400", 1, 400, 401 },
    { "401,400-499,404", 1, 450, 500 },
    { "100-599", 1, 320, 600 },
    { "", 0, 0, 404 },
    { ",", 0, 0, 404 },
    { "404,", 0, 0, 404 },
    { ",404", 0, 0, 404 },
    { "404,,405", 0, 0, 404 },
    { "99", 0, 0, 99 },
    { "600", 0, 0, 600 },
    { "0404", 0, 0, 404 },
    { "4044", 0, 0, 404 },
    { "404 ", 0, 0, 404 },
    { " 404", 0, 0, 404 },
    { "404, 405", 0, 0, 404 },
    { "404-", 0, 0, 404 },
    { "-404", 0, 0, 404 },
    { "404-403", 0, 0, 404 },
    { "404-405-406", 0, 0, 404 },
    { "404-600", 0, 0, 404 },
    { "4xx", 0, 0, 404 },
};

START_TEST(status)
{
    size_t len = strlen(statuses[_i].text);
    char *text = unit_copy(statuses[_i].text, len);
    usher_match_statuses_t set;

    memset(&set, 0xff, sizeof(set));
    ck_assert_int_eq(usher_match_statuses_parse(&set, text, len), statuses[_i].right);
    ck_assert_int_eq(usher_match_statuses_has(&set, statuses[_i].has), statuses[_i].right);
    ck_assert_int_eq(usher_match_statuses_has(&set, statuses[_i].has_not), 0);
    free(text);
}
END_TEST

/* What is no status at all, in a set of all. */
START_TEST(status_outside)
{
    usher_match_statuses_t set;

    ck_assert(usher_match_statuses_parse(&set, "100-599", 7));
    ck_assert(!usher_match_statuses_has(&set, 0) && !usher_match_statuses_has(&set, -1));
    ck_assert(!usher_match_statuses_has(&set, 99) && !usher_match_statuses_has(&set, 1 << 30));
}
END_TEST

static const struct {
    const char *list;
    const char *token;
    int right;
    int has;
} lists[] = {
    { "GET", "GET", 1, 1 },
    { "GET,POST", "POST", 1, 1 },
    { "GET,POST", "GET", 1, 1 },
    { "GET,POST", "GE", 1, 0 },
    { "GET,POST", "GETS", 1, 0 },
    { "GET,POST", "get", 1, 0 },
    { "GET,POST", "GET,POST", 1, 0 },
    { "GET,POST", "", 1, 0 },
    { "", "", 0, 0 },
    { "GET,", "POST", 0, 0 },
    { ",GET", "POST", 0, 0 },
    { "GET,,POST", "PUT", 0, 0 },
    { "GET POST", "PUT", 0, 0 },
    { "G\xc3\xa9T", "PUT", 0, 0 },
};

START_TEST(list)
{
    size_t len = strlen(lists[_i].list), token_len = strlen(lists[_i].token);
    char *text = unit_copy(lists[_i].list, len), *token = unit_copy(lists[_i].token, token_len);

    ck_assert_int_eq(usher_match_is_list(text, len), lists[_i].right);
    ck_assert_int_eq(usher_match_list_has(text, len, token, token_len), lists[_i].has);
    free(text);
    free(token);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("match");
    TCase *tc = tcase_create("match");

    tcase_add_loop_test(tc, status, 0, UNIT_COUNT(statuses));
    tcase_add_test(tc, status_outside);
    tcase_add_loop_test(tc, list, 0, UNIT_COUNT(lists));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
