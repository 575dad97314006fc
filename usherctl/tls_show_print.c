/* The statistics of mod_usher_tls, for people and as JSON. */
#include <stdio.h>
#include <string.h>

#include "ctl_json.h"
#include "tls.h"
#include "tls_show.h"
#include "usher_tls_names.h"

#define COUNT "%" APR_UINT64_T_FMT

/* What rows are told by, in this order */
static const struct {
    unsigned int by;
    const char *name;
} fields[] = {
    { USHER_TLSSTATS_VHOST, "vhost" },   { USHER_TLSSTATS_OUTCOME, "outcome" },
    { USHER_TLSSTATS_VERSION, "version" }, { USHER_TLSSTATS_CIPHER, "cipher" },
    { USHER_TLSSTATS_GROUP, "group" },
};
#define FIELDS ((int)(sizeof(fields) / sizeof(fields[0])))

static const char *field_text(apr_pool_t *p, const show_t *show, unsigned int by,
                              const usher_tlsstats_row_t *row)
{
    switch (by) {
    case USHER_TLSSTATS_VHOST:
        return show_vhost_name(p, show, row->vhost);
    case USHER_TLSSTATS_OUTCOME:
        return row->outcome < USHER_TLS_OUTCOMES
                   ? usher_tls_outcome_name((usher_tls_outcome_e)row->outcome) : "-";
    case USHER_TLSSTATS_VERSION:
        return tls_version_text(p, row->version);
    case USHER_TLSSTATS_CIPHER:
        return tls_cipher_text(p, row->cipher);
    default:
        return tls_group_text(p, row->group);
    }
}

static int shown(const show_t *show, int len)
{
    return show->top && show->top < len ? show->top : len;
}

static void widths_of(apr_pool_t *p, const show_t *show, unsigned int by, const show_rows_t *rows,
                      int widths[])
{
    int i, k;

    for (k = 0; k < FIELDS; ++k) {
        widths[k] = (int)strlen(fields[k].name);
        for (i = 0; (fields[k].by & by) && i < shown(show, (int)rows->len); ++i) {
            int len = (int)strlen(field_text(p, show, fields[k].by, &rows->rows[i]));

            widths[k] = len > widths[k] ? len : widths[k];
        }
    }
}

/* No blanks at a line's end. @param row  NULL: their names */
static void print_fields(apr_pool_t *p, const show_t *show, unsigned int by, const int *widths,
                         const usher_tlsstats_row_t *row)
{
    int k;

    for (k = 0; k < FIELDS; ++k) {
        int last = fields[k].by > by / 2;

        if (fields[k].by & by) {
            printf("  %-*s", last ? 0 : widths[k],
                   row ? field_text(p, show, fields[k].by, row) : fields[k].name);
        }
    }
    putchar('\n');
}

static void print_section(apr_pool_t *p, const show_t *show, const show_section_t *section)
{
    show_rows_t rows = show_rows(p, show, section);
    int widths[FIELDS], i;

    printf("\n%s\n\n connections   share    requests    clients", section->title);
    widths_of(p, show, section->by, &rows, widths);
    print_fields(p, show, section->by, widths, NULL);
    for (i = 0; i < shown(show, (int)rows.len); ++i) {
        const usher_tlsstats_row_t *row = &rows.rows[i];
        apr_int64_t clients = show_clients(show, section, row);

        printf("%12" APR_UINT64_T_FMT " %6.2f%% %11" APR_UINT64_T_FMT " %10s", row->connections,
               rows.total ? 100.0 * (double)row->connections / (double)rows.total : 0, row->requests,
               clients < 0 ? "-" : apr_psprintf(p, "%" APR_INT64_T_FMT, clients));
        print_fields(p, show, section->by, widths, row);
    }
    if (!rows.len) {
        puts("           0");
    }
    if (i < (int)rows.len) {
        printf("             and %d more: --top 0 shows them\n", (int)rows.len - i);
    }
}

static void print_times(apr_pool_t *p, const show_t *show)
{
    apr_uint32_t i;

    if (show->span.unit == USHER_TLSSTATS_ALWAYS) {
        return;
    }
    printf("\n%s\n\n connections      failed    requests  from\n",
           show->span.unit == USHER_TLSSTATS_BY_DAY ? "By day" : "By hour");
    for (i = 0; i < show->span.len; ++i) {
        show_time_t sum = show_time(show, i);

        printf("%12" APR_UINT64_T_FMT " %11" APR_UINT64_T_FMT " %11" APR_UINT64_T_FMT "  %s\n",
               sum.connections, sum.failed, sum.requests, tls_time_text(p, sum.at));
    }
}

static void print_named(apr_pool_t *p, const show_t *show)
{
    apr_array_header_t *named = show_named(p, show);
    int i, width = (int)strlen("client"), why = (int)strlen("for");

    for (i = 0; i < shown(show, named->nelts); ++i) {
        const usher_tlsstats_client_t *client = &APR_ARRAY_IDX(named, i, usher_tlsstats_client_t);
        int len = (int)strlen(tls_address_text(p, client));

        width = len > width ? len : width;
        len = (int)strlen(tls_listed_for_text(p, client));
        why = len > why ? len : why;
    }
    printf("\nThe most frequent clients of old versions and weak ciphers\n\n connections      failed  "
           "last seen            %-*s  %-*s  agent\n", width, "client", why, "for");
    for (i = 0; i < shown(show, named->nelts); ++i) {
        const usher_tlsstats_client_t *client = &APR_ARRAY_IDX(named, i, usher_tlsstats_client_t);

        printf("%12" APR_UINT64_T_FMT " %11" APR_UINT64_T_FMT "  %-19s  %-*s  %-*s  %s\n",
               client->count, client->failed, tls_time_text(p, client->last_seen), width,
               tls_address_text(p, client), why, tls_listed_for_text(p, client),
               *client->agent ? tls_harmless(p, client->agent, strlen(client->agent)) : "-");
    }
    if (i < named->nelts) {
        printf("             and %d more: --top 0 shows them\n", named->nelts - i);
    }
}

void show_print(apr_pool_t *p, const show_t *show)
{
    int i;

    printf("%s: counted since %s, saved at %s\n", ctl_harmless(p, show->snapshot->name),
           tls_time_text(p, show->snapshot->begun), tls_time_text(p, show->snapshot->saved));
    if (show->span.unit != USHER_TLSSTATS_ALWAYS) {
        printf("Of the %s (UTC).\n", tls_span_text(p, &show->span));
    }
    printf("Numbers of clients are estimates: each is within %.1f %% of the truth in 95 of 100 "
           "cases.\n", 2 * TLS_CROWD_ERROR);
    for (i = 0; i < show_sections_len; ++i) {
        print_section(p, show, &show_sections[i]);
    }
    print_times(p, show);
    print_named(p, show);
}

static void json_string(const char *name, const char *text)
{
    printf("\"%s\":", name);
    ctl_json_text(text, strlen(text));
}

static void json_section(apr_pool_t *p, const show_t *show, const show_section_t *section)
{
    show_rows_t rows = show_rows(p, show, section);
    apr_uint32_t i;
    int k;

    printf(",\"%s\":[", section->name);
    for (i = 0; i < rows.len; ++i) {
        apr_int64_t clients = show_clients(show, section, &rows.rows[i]);

        printf("%s{", i ? "," : "");
        for (k = 0; k < FIELDS; ++k) {
            if (fields[k].by & section->by) {
                json_string(fields[k].name, field_text(p, show, fields[k].by, &rows.rows[i]));
                putchar(',');
            }
        }
        if (clients >= 0) {
            printf("\"clients\":%" APR_INT64_T_FMT ",", clients);
        }
        printf("\"connections\":" COUNT ",\"requests\":" COUNT "}", rows.rows[i].connections,
               rows.rows[i].requests);
    }
    putchar(']');
}

static void json_times(const show_t *show)
{
    apr_uint32_t i;

    if (show->span.unit == USHER_TLSSTATS_ALWAYS) {
        return;
    }
    fputs(",\"times\":[", stdout);
    for (i = 0; i < show->span.len; ++i) {
        show_time_t sum = show_time(show, i);

        printf("%s{\"from\":%" APR_INT64_T_FMT ",\"connections\":" COUNT ",\"requests\":" COUNT
               ",\"failed\":" COUNT "}", i ? "," : "", sum.at, sum.connections, sum.requests,
               sum.failed);
    }
    putchar(']');
}

static void json_named(apr_pool_t *p, const show_t *show)
{
    apr_array_header_t *named = show_named(p, show);
    int i;

    fputs(",\"named\":[", stdout);
    for (i = 0; i < named->nelts; ++i) {
        const usher_tlsstats_client_t *client = &APR_ARRAY_IDX(named, i, usher_tlsstats_client_t);

        printf("%s{\"connections\":" COUNT ",\"over\":" COUNT ",\"failed\":" COUNT
               ",\"first_seen\":%" APR_INT64_T_FMT ",\"last_seen\":%" APR_INT64_T_FMT ",",
               i ? "," : "", client->count, client->over, client->failed, client->first_seen,
               client->last_seen);
        json_string("client", tls_address_text(p, client));
        putchar(',');
        json_string("for", tls_listed_for_text(p, client));
        putchar(',');
        json_string("agent", client->agent);
        putchar('}');
    }
    puts("]}");
}

void show_json(apr_pool_t *p, const show_t *show)
{
    static const char *const units[] = { "always", "hours", "days" };
    int i;

    printf("{\"begun\":%" APR_INT64_T_FMT ",\"saved\":%" APR_INT64_T_FMT
           ",\"unit\":\"%s\",\"len\":%d,\"clients_error_percent\":%.1f",
           show->snapshot->begun, show->snapshot->saved, units[show->span.unit],
           (int)show->span.len, TLS_CROWD_ERROR);
    for (i = 0; i < show_sections_len; ++i) {
        json_section(p, show, &show_sections[i]);
    }
    json_times(show);
    json_named(p, show);
}
