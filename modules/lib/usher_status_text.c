/* Columns are a table; each is as wide as its widest cell in the cluster. */
#include "usher_status_text.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <string.h>

#include "usher_text.h"

typedef struct {
    const char *title;
    const char *field;
    int right; /* numbers */
    int optional; /* left out where no member has any */
} column_t;

static const column_t columns[] = {
    { "MEMBER", "url", 0 },
    { "ROUTE", "route", 0 },
    { "OWNER", "registration.owner", 0, 1 },
    { "LEASE", "registration.expires_in", 1, 1 },
    { "STATE", "state", 0 },
    { "WEIGHT", "weight", 1 },
    { "SHARE%", "share", 1 },
    { "NOW", "in_flight", 1 },
    { "SESSIONS", "sessions", 1 },
    { "ELECTED", "elected", 1 },
    { "ANSWERED", "answered", 1 },
    { "FAILED", "failed", 1 },
    { "RESTS", "rests", 1 },
    { "MS", "response_ms", 1 },
    { "CHECK", "check.last", 0 },
    { "SINCE", "since", 0 },
    { "WHY", "why", 0 },
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static const char *text_shown(apr_pool_t *p, const char *bytes)
{
    char *text = apr_palloc(p, USHER_TEXT_SHOWN_SIZE(strlen(bytes)));

    usher_text_show(text, bytes, strlen(bytes));
    return text;
}

/* A value that stands alone. */
static const char *text_of(apr_pool_t *p, const json_t *value)
{
    if (json_is_string(value) && *json_string_value(value)) {
        return text_shown(p, json_string_value(value));
    }
    if (json_is_integer(value)) {
        return apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(value));
    }
    if (json_is_real(value)) {
        return apr_psprintf(p, "%g", json_real_value(value));
    }
    return "-";
}

/* "url", or "check.last" */
static const char *text_field(apr_pool_t *p, const json_t *object, const char *field)
{
    const char *dot = strchr(field, '.');

    return dot ? text_of(p, json_object_get(json_object_get(object, apr_pstrmemdup(
                                p, field, (apr_size_t)(dot - field))), dot + 1))
               : text_of(p, json_object_get(object, field));
}

/* One line; there is none behind the last column, so nothing is put behind that. A column of
 * width 0 is left out. */
static const char *text_line(apr_pool_t *p, const char *const *cells, const int *widths)
{
    const char *line = "";
    apr_size_t i;

    for (i = 0; i < COLUMNS; ++i) {
        int width = i + 1 < COLUMNS ? widths[i] : 0;

        if (!widths[i]) {
            continue;
        }
        line = apr_psprintf(p, columns[i].right ? "%s  %*s" : "%s  %-*s", line, width, cells[i]);
    }
    return apr_pstrcat(p, line, "\n", NULL);
}

/* Titles of columns that are there after all. */
static void text_widen(int *widths)
{
    apr_size_t k;

    for (k = 0; k < COLUMNS; ++k) {
        int len = (int)strlen(columns[k].title);

        widths[k] = widths[k] && widths[k] < len ? len : widths[k];
    }
}

static void text_members(apr_pool_t *p, const json_t *members, apr_array_header_t *pieces)
{
    apr_size_t count = json_array_size(members), i, k;
    const char **cells = apr_palloc(p, (count + 1) * COLUMNS * sizeof(*cells));
    int widths[COLUMNS] = { 0 };

    for (i = 0; i <= count; ++i) {
        for (k = 0; k < COLUMNS; ++k) {
            const char *cell = i ? text_field(p, json_array_get(members, i - 1), columns[k].field)
                                 : columns[k].title;

            cells[i * COLUMNS + k] = cell;
            if ((!columns[k].optional || (i && strcmp(cell, "-") != 0) || widths[k])
                && (int)strlen(cell) > widths[k]) {
                widths[k] = (int)strlen(cell);
            }
        }
    }
    text_widen(widths);
    for (i = 0; i <= count; ++i) {
        APR_ARRAY_PUSH(pieces, const char *) = text_line(p, cells + i * COLUMNS, widths);
    }
}

/* A line of counters, where some have counted: "stick table: found 7, missed 1". */
static void text_counters(apr_pool_t *p, const json_t *cluster, const char *field,
                          const char *title, apr_array_header_t *pieces)
{
    json_t *counters = json_object_get(cluster, field);
    const char *line = apr_psprintf(p, "  %s:", title), *name;
    const json_t *value;
    int counted = 0;
    void *at;

    for (at = json_object_iter(counters); at; at = json_object_iter_next(counters, at)) {
        name = json_object_iter_key(at);
        value = json_object_iter_value(at);
        counted |= json_integer_value(value) != 0;
        line = apr_psprintf(p, "%s%s %s %s", line, at == json_object_iter(counters) ? "" : ",",
                            text_shown(p, name), text_of(p, value));
    }
    if (counted) {
        APR_ARRAY_PUSH(pieces, const char *) = apr_pstrcat(p, line, "\n", NULL);
    }
}

static void text_cluster(apr_pool_t *p, const json_t *cluster, apr_array_header_t *pieces)
{
    const json_t *server = json_object_get(cluster, "server");

    APR_ARRAY_PUSH(pieces, const char *) = apr_psprintf(
        p, "\n%s (%s%s%s): %s requests, %s sent again, %s not sent again, "
        "%s wait, %s refused as all were full\n",
        text_field(p, cluster, "name"), text_field(p, cluster, "kind"),
        json_is_string(server) ? " of " : "", json_is_string(server) ? text_of(p, server) : "",
        text_field(p, cluster, "requests"), text_field(p, cluster, "replays"),
        text_field(p, cluster, "refused_replays"), text_field(p, cluster, "waiting"),
        text_field(p, cluster, "refused_full"));
    text_counters(p, cluster, "sticky", "sticky cookies", pieces);
    text_counters(p, cluster, "stick", "stick table", pieces);
    text_members(p, json_object_get(cluster, "members"), pieces);
}

/* What a change did, or why it did nothing. */
static const char *text_change(apr_pool_t *p, const json_t *status)
{
    const json_t *left = json_object_get(status, "left");
    const char *from, *to;
    int same;

    if (json_object_get(status, "error")) {
        return apr_psprintf(p, "%s: %s\n", text_field(p, status, "error"),
                            text_field(p, status, "text"));
    }
    from = text_field(p, status, "from");
    to = text_field(p, status, "to");
    same = !strcmp(from, to);
    return apr_psprintf(p, "%s, %s: %s%s%s; left: %s requests, %s sessions\n",
                        text_field(p, status, "cluster"), text_field(p, status, "member"),
                        same ? "was already" : from, same ? " " : " -> ", to,
                        text_field(p, left, "in_flight"), text_field(p, left, "sessions"));
}

const char *usher_status_text(apr_pool_t *p, const json_t *status)
{
    apr_array_header_t *pieces = apr_array_make(p, 16, sizeof(const char *));
    const json_t *clusters = json_object_get(status, "clusters");
    apr_size_t i;

    if (!clusters) {
        return text_change(p, status);
    }
    APR_ARRAY_PUSH(pieces, const char *) = apr_psprintf(
        p, "Usher on %s at %s\n", text_field(p, status, "server"), text_field(p, status, "time"));
    for (i = 0; i < json_array_size(clusters); ++i) {
        text_cluster(p, json_array_get(clusters, i), pieces);
    }
    if (json_object_get(status, "token")) {
        APR_ARRAY_PUSH(pieces, const char *) = apr_psprintf(p, "\ntoken=%s\n",
                                                            text_field(p, status, "token"));
    }
    return apr_array_pstrcat(p, pieces, 0);
}
