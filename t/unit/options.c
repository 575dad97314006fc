/* key=value arguments: each kind, its bounds, and what is said of a wrong one. */
#include "unit.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stddef.h>

#include "usher_options.h"

static const char *const colours[] = { "red", "green", "blue", NULL };

typedef struct {
    apr_int64_t wait, room, count;
    int colour, flag;
    const char *text;
} into_t;

static const usher_option_t options[] = {
    { "wait", USHER_OPTION_DURATION, 1, 1000000, 60000000, "1s to 60s, or off", 0, NULL },
    { "room", USHER_OPTION_SIZE, 0, 1024, 1048576, "1K to 1M", offsetof(into_t, room), NULL },
    { "count", USHER_OPTION_NUMBER, 1, 1, 9, "1 to 9, or off", offsetof(into_t, count), NULL },
    { "colour", USHER_OPTION_WORD, 0, 0, 0, NULL, offsetof(into_t, colour), colours },
    { "flag", USHER_OPTION_FLAG, 0, 0, 0, NULL, offsetof(into_t, flag), NULL },
    { "text", USHER_OPTION_TEXT, 0, 1, 3, "1 to 3 characters", offsetof(into_t, text), NULL },
    { NULL, USHER_OPTION_FLAG, 0, 0, 0, NULL, 0, NULL },
};

#define ARGS 3
static const struct {
    const char *argv[ARGS];
    into_t into; /* -1, or NULL: as it was */
    const char *reason;
} cases[] = {
    { { "wait=5s" }, { 5000000, -1, -1, -1, -1, NULL }, NULL },
    { { "wait=1000ms" }, { 1000000, -1, -1, -1, -1, NULL }, NULL },
    { { "wait=1m" }, { 60000000, -1, -1, -1, -1, NULL }, NULL },
    { { "wait=off" }, { 0, -1, -1, -1, -1, NULL }, NULL },
    { { "wait=OFF" }, { 0, -1, -1, -1, -1, NULL }, NULL },
    { { "room=64K", "count=3" }, { -1, 65536, 3, -1, -1, NULL }, NULL },
    { { "count=off" }, { -1, -1, 0, -1, -1, NULL }, NULL },
    { { "colour=Green" }, { -1, -1, -1, 1, -1, NULL }, NULL },
    { { "flag", "colour=red" }, { -1, -1, -1, 0, 1, NULL }, NULL },
    { { "text=abc" }, { -1, -1, -1, -1, -1, "abc" }, NULL },
    { { "text=a=b" }, { -1, -1, -1, -1, -1, "a=b" }, NULL },
    { { "count=1", "count=2" }, { -1, -1, 2, -1, -1, NULL }, NULL },
    { { NULL }, { 0 }, "needs at least one of wait, room, count, colour, flag and text" },
    { { "wait=999ms" }, { 0 }, "\"wait=999ms\": wait takes 1s to 60s, or off" },
    { { "wait=61s" }, { 0 }, "\"wait=61s\": wait takes 1s to 60s, or off" },
    { { "wait=" }, { 0 }, "\"wait=\": wait takes 1s to 60s, or off" },
    { { "wait" }, { 0 },
      "\"wait\": takes key=value with the keys wait, room, count, colour, flag and text" },
    { { "Wait=5s" }, { 0 },
      "\"Wait=5s\": takes key=value with the keys wait, room, count, colour, flag and text" },
    { { "waits=5s" }, { 0 },
      "\"waits=5s\": takes key=value with the keys wait, room, count, colour, flag and text" },
    { { "=5s" }, { 0 },
      "\"=5s\": takes key=value with the keys wait, room, count, colour, flag and text" },
    { { "flag=1" }, { 0 },
      "\"flag=1\": takes key=value with the keys wait, room, count, colour, flag and text" },
    { { "room=off" }, { 0 }, "\"room=off\": room takes 1K to 1M" },
    { { "room=1023" }, { 0 }, "\"room=1023\": room takes 1K to 1M" },
    { { "count=" }, { 0 }, "\"count=\": count takes 1 to 9, or off" },
    { { "count=0" }, { 0 }, "\"count=0\": count takes 1 to 9, or off" },
    { { "count=-1" }, { 0 }, "\"count=-1\": count takes 1 to 9, or off" },
    { { "count=5x" }, { 0 }, "\"count=5x\": count takes 1 to 9, or off" },
    { { "count=99999999999999999999" }, { 0 },
      "\"count=99999999999999999999\": count takes 1 to 9, or off" },
    { { "colour=pink" }, { 0 }, "\"colour=pink\": colour takes red, green or blue" },
    { { "colour=" }, { 0 }, "\"colour=\": colour takes red, green or blue" },
    { { "text=" }, { 0 }, "\"text=\": text takes 1 to 3 characters" },
    { { "text=abcd" }, { 0 }, "\"text=abcd\": text takes 1 to 3 characters" },
    /* What is right before it is not taken either. */
    { { "count=3", "flag", "room=0" }, { 0 }, "\"room=0\": room takes 1K to 1M" },
};

START_TEST(set)
{
    const into_t untouched = { -1, -1, -1, -1, -1, NULL };
    into_t into = untouched;
    char *argv[ARGS];
    const char *reason;
    apr_pool_t *pool;
    int argc;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (argc = 0; argc < ARGS && cases[_i].argv[argc]; ++argc) {
        argv[argc] = apr_pstrdup(pool, cases[_i].argv[argc]);
    }
    reason = usher_options_set(pool, &into, sizeof(into), options, argc, argv);
    ck_assert_pstr_eq(reason, cases[_i].reason);
    if (reason) {
        ck_assert_int_eq(memcmp(&into, &untouched, sizeof(into)), 0);
    }
    else {
        ck_assert_pstr_eq(into.text, cases[_i].into.text);
        into.text = cases[_i].into.text;
        ck_assert_mem_eq(&into, &cases[_i].into, sizeof(into));
    }
    apr_pool_destroy(pool);
    apr_terminate();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tc = tcase_create("options");

    tcase_add_loop_test(tc, set, 0, UNIT_COUNT(cases));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
