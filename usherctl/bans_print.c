/* Bans for people, as the handler usher-ban tells of them. */
#include "bans.h"

#include <stdio.h>
#include <string.h>

#include "usher_text.h"

typedef struct {
    const char *title;
    const char *field;
    int right; /* numbers */
} column_t;

static const column_t columns[] = {
    { "PREFIX", "prefix", 0 },
    { "STATE", "state", 0 },
    { "UNTIL", "until", 0 },
    { "SECONDS", "left", 1 },
    { "TIMES", "times", 1 },
    { "EVENTS", "events", 1 },
    { "BY", "by", 0 },
    { "NAME", "name", 0 },
    { "WHY", "why", 0 },
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* A value that stands alone; "-": none. */
static const char *print_value(apr_pool_t *p, const json_t *value)
{
    const char *text = json_string_value(value);
    char *shown;

    if (json_is_integer(value)) {
        return apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(value));
    }
    if (!text || !*text) {
        return json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-";
    }
    shown = apr_palloc(p, USHER_TEXT_SHOWN_SIZE(strlen(text)));
    usher_text_show(shown, text, strlen(text));
    return shown;
}

static const char *print_field(apr_pool_t *p, const json_t *object, const char *field)
{
    return print_value(p, json_object_get(object, field));
}

/* There is nothing behind the last column, so that one is as long as it is. */
static void print_row(const char *const cells[COLUMNS], const int widths[COLUMNS])
{
    apr_size_t i;

    for (i = 0; i + 1 < COLUMNS; ++i) {
        printf("%*s  ", columns[i].right ? widths[i] : -widths[i], cells[i]);
    }
    puts(cells[i]);
}

static void print_table(apr_pool_t *p, const json_t *bans)
{
    const char *titles[COLUMNS], **cells;
    apr_size_t count = json_array_size(bans), i, k;
    int widths[COLUMNS];

    cells = apr_palloc(p, count * COLUMNS * sizeof(*cells) + 1);
    for (k = 0; k < COLUMNS; ++k) {
        titles[k] = columns[k].title;
        widths[k] = (int)strlen(titles[k]);
        for (i = 0; i < count; ++i) {
            const char *cell = print_field(p, json_array_get(bans, i), columns[k].field);
            int width = (int)strlen(cell);

            cells[i * COLUMNS + k] = cell;
            widths[k] = width > widths[k] ? width : widths[k];
        }
    }
    print_row(titles, widths);
    for (i = 0; i < count; ++i) {
        print_row(cells + i * COLUMNS, widths);
    }
}

void bans_print_list(apr_pool_t *p, const json_t *answer)
{
    const json_t *bans = json_object_get(answer, "bans");

    if (!json_array_size(bans)) {
        puts("no bans");
        return;
    }
    print_table(p, bans);
    if (json_is_true(json_object_get(answer, "more"))) {
        puts("and more: --limit");
    }
}

/* "  until    2026-11-22T18:13:36+00:00" */
static void print_fields(apr_pool_t *p, const json_t *object, const char *const *fields)
{
    for (; *fields; ++fields) {
        const json_t *value = json_object_get(object, *fields);

        if (value && !json_is_null(value)) {
            printf("  %-10s %s\n", *fields, print_value(p, value));
        }
    }
}

void bans_print_one(apr_pool_t *p, const json_t *answer)
{
    static const char *const of_all[] = { "never", "list", "geo", "proxy", "inside", NULL };
    static const char *const of_ban[] = { "prefix", "state", "since", "until", "left", "forgotten", "times",
                                          "events", "by", "name", "why", "stored", NULL };
    const json_t *ban = json_object_get(answer, "ban");

    printf("%s: %s\n", print_field(p, answer, "prefix"), print_field(p, answer, "message"));
    print_fields(p, answer, of_all);
    if (json_is_object(ban)) {
        puts("ban");
        print_fields(p, ban, of_ban);
    }
}

const char *bans_print_error(apr_pool_t *p, const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");

    return apr_pstrcat(p, print_field(p, error, "code"), ": ", print_field(p, error, "message"), NULL);
}
