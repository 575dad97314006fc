/* The tables of usherctl tls report. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tls.h"

const char *const tls_column_names[TLS_COLUMNS] = {
    [TLS_LINE_VERSION] = "version", [TLS_LINE_CIPHER] = "cipher",   [TLS_LINE_CLIENT] = "client",
    [TLS_LINE_AGENT] = "agent",     [TLS_LINE_VHOST] = "vhost",     [TLS_LINE_OUTCOME] = "outcome",
    [TLS_LINE_OFFERED] = "offered", [TLS_COLUMN_DAY] = "day",
};

const char *tls_time_text(apr_pool_t *p, apr_int64_t seconds)
{
    time_t at = (time_t)seconds;
    char text[32];
    struct tm date;

    return seconds && localtime_r(&at, &date)
                   && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &date)
               ? apr_pstrdup(p, text) : "-";
}

const char *tls_harmless(apr_pool_t *p, const char *bytes, apr_size_t len)
{
    char *text = apr_palloc(p, 4 * len + 1), *to = text;
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        if (bytes[i] >= ' ' && bytes[i] < 0x7f) {
            *to++ = bytes[i];
        }
        else {
            to += apr_snprintf(to, 5, "\\x%02x", (unsigned int)(unsigned char)bytes[i]);
        }
    }
    *to = '\0';
    return text;
}

/* The next text of a row's key */
static const char *key_next(apr_pool_t *p, const tls_row_t *row, apr_size_t *at)
{
    const char *from = row->key + *at;
    const char *end = memchr(from, TLS_TABLE_BREAK, row->len - *at);
    apr_size_t len = end ? (apr_size_t)(end - from) : row->len - *at;

    *at += len + 1;
    return tls_harmless(p, from, len);
}

static int shown(const tls_print_t *how, const apr_array_header_t *rows)
{
    return how->top && how->top < rows->nelts ? how->top : rows->nelts;
}

static void widths_of(apr_pool_t *p, const tls_print_t *how, const apr_array_header_t *rows,
                      int widths[TLS_COLUMNS])
{
    int i, k;

    for (k = 0; k < how->count; ++k) {
        widths[k] = (int)strlen(tls_column_names[how->columns[k]]);
    }
    for (i = 0; i < shown(how, rows); ++i) {
        apr_size_t at = 0;

        for (k = 0; k < how->count; ++k) {
            int len = (int)strlen(key_next(p, APR_ARRAY_IDX(rows, i, const tls_row_t *), &at));

            widths[k] = len > widths[k] ? len : widths[k];
        }
    }
}

static int has_column(const tls_print_t *how, int column)
{
    int k;

    for (k = 0; k < how->count; ++k) {
        if (how->columns[k] == column) {
            return 1;
        }
    }
    return 0;
}

/* No blanks at a line's end */
static void print_texts(const tls_print_t *how, const int *widths, const char *const *texts)
{
    int k, last = how->count - 1 + how->has_agent;

    for (k = 0; k <= last; ++k) {
        printf("  %-*s", k < last ? widths[k] : 0, texts[k]);
    }
    putchar('\n');
}

static void print_row(apr_pool_t *p, const tls_print_t *how, const int *widths,
                      const tls_row_t *row, int clients)
{
    const char *texts[TLS_COLUMNS + 1] = { NULL };
    apr_size_t at = 0;
    int k;

    for (k = 0; k < how->count; ++k) {
        texts[k] = key_next(p, row, &at);
    }
    texts[k] = row->agent ? tls_harmless(p, row->agent, row->agent_len) : "-";
    printf("%10" APR_UINT64_T_FMT " %6.2f%%", row->count,
           100.0 * (double)row->count / (double)how->total);
    if (clients) {
        printf(" %9" APR_UINT64_T_FMT, row->clients);
    }
    printf("  %-19s", tls_time_text(p, row->last_seen));
    print_texts(how, widths, texts);
}

void tls_print_table(apr_pool_t *p, const tls_print_t *how, const tls_table_t *table)
{
    apr_array_header_t *rows = tls_table_rows(table, 0);
    const char *names[TLS_COLUMNS + 1] = { NULL };
    int clients = !has_column(how, TLS_LINE_CLIENT), widths[TLS_COLUMNS + 1] = { 0 }, i;
    apr_uint64_t rest = 0;

    printf("\n%s\n\n", how->title);
    if (!rows->nelts) {
        puts("         0");
        return;
    }
    widths_of(p, how, rows, widths);
    for (i = 0; i < how->count; ++i) {
        names[i] = tls_column_names[how->columns[i]];
    }
    names[i] = "agent";
    printf("     count   share%s  %-19s", clients ? "   clients" : "", "last seen");
    print_texts(how, widths, names);
    for (i = 0; i < rows->nelts; ++i) {
        const tls_row_t *row = APR_ARRAY_IDX(rows, i, const tls_row_t *);

        if (i < shown(how, rows)) {
            print_row(p, how, widths, row, clients);
        }
        else {
            rest += row->count;
        }
    }
    if (rest) {
        printf("%10" APR_UINT64_T_FMT " %6.2f%%  in %d more rows: --top 0 shows them\n", rest,
               100.0 * (double)rest / (double)how->total, rows->nelts - shown(how, rows));
    }
}

void tls_print_uniq(apr_pool_t *p, const tls_table_t *table, int harmless)
{
    apr_array_header_t *rows = tls_table_rows(table, 1);
    char *text, *at;
    int i;

    for (i = 0; i < rows->nelts; ++i) {
        const tls_row_t *row = APR_ARRAY_IDX(rows, i, const tls_row_t *);

        text = apr_pmemdup(p, row->key, row->len);
        for (at = text; (at = memchr(at, TLS_TABLE_BREAK, row->len - (apr_size_t)(at - text))); ++at) {
            *at = ' ';
        }
        printf("%7" APR_UINT64_T_FMT " ", row->count);
        if (harmless) {
            fputs(tls_harmless(p, text, row->len), stdout);
        }
        else {
            fwrite(text, 1, row->len, stdout);
        }
        putchar('\n');
    }
}
