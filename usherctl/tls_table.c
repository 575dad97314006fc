/* Rows and how often each came. */
#include <apr_general.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls_table.h"
#include "usher_siphash.h"

/* Two tables in one: rows by their keys, and the clients that each row has seen. Both have
 * free places at least half, and no row is ever taken out. */
struct tls_table_t {
    apr_pool_t *pool;
    int columns[TLS_COLUMNS];
    int count;
    int of_clients; /* one of them is the client: rows have its agent, others how many there are */
    tls_row_t **rows;
    apr_size_t rows_size, rows_used;
    apr_uint64_t *seen; /* hashes of row and client; 0: free */
    apr_size_t seen_size, seen_used;
    /* Of whoever has written the lines nobody knows this: they cannot be made to collide. */
    unsigned char secret[USHER_SIPHASH_KEY_SIZE];
};

static void *table_alloc(apr_size_t count, apr_size_t size)
{
    void *got = calloc(count, size);

    if (!got) {
        fputs("usherctl: no memory for so many different lines\n", stderr);
        exit(EXIT_FAILURE);
    }
    return got;
}

static apr_status_t table_free(void *data)
{
    tls_table_t *table = data;

    free(table->rows);
    free(table->seen);
    return APR_SUCCESS;
}

tls_table_t *tls_table_make(apr_pool_t *p, const int *columns, int count)
{
    tls_table_t *table = apr_pcalloc(p, sizeof(*table));
    int i;

    table->pool = p;
    memcpy(table->columns, columns, sizeof(*columns) * (apr_size_t)count);
    table->count = count;
    for (i = 0; i < count; ++i) {
        table->of_clients |= columns[i] == TLS_LINE_CLIENT;
    }
    table->rows_size = table->seen_size = 1024;
    table->rows = table_alloc(table->rows_size, sizeof(tls_row_t *));
    table->seen = table_alloc(table->seen_size, sizeof(*table->seen));
    apr_generate_random_bytes(table->secret, sizeof(table->secret));
    apr_pool_cleanup_register(p, table, table_free, apr_pool_cleanup_null);
    return table;
}

/* The place of a key's row, or of where it is to be. */
static tls_row_t **row_place(tls_row_t **rows, apr_size_t size, apr_uint64_t hash, const char *key,
                             apr_size_t len)
{
    apr_size_t i = hash & (size - 1);

    while (rows[i] && (rows[i]->hash != hash || rows[i]->len != len
                       || memcmp(rows[i]->key, key, len))) {
        i = (i + 1) & (size - 1);
    }
    return &rows[i];
}

static void rows_grow(tls_table_t *table)
{
    apr_size_t size = 2 * table->rows_size, i;
    tls_row_t **rows = table_alloc(size, sizeof(tls_row_t *));

    for (i = 0; i < table->rows_size; ++i) {
        tls_row_t *row = table->rows[i];

        if (row) {
            *row_place(rows, size, row->hash, row->key, row->len) = row;
        }
    }
    free(table->rows);
    table->rows = rows;
    table->rows_size = size;
}

static tls_row_t *row_of(tls_table_t *table, const char *key, apr_size_t len)
{
    apr_uint64_t hash = usher_siphash(table->secret, key, len).word[0];
    tls_row_t **place = row_place(table->rows, table->rows_size, hash, key, len);

    if (!*place) {
        *place = apr_pcalloc(table->pool, sizeof(**place));
        (*place)->hash = hash;
        (*place)->key = apr_pmemdup(table->pool, key, len);
        (*place)->len = len;
        if (2 * ++table->rows_used > table->rows_size) {
            rows_grow(table);
            place = row_place(table->rows, table->rows_size, hash, key, len);
        }
    }
    return *place;
}

/* @return whether it was not there */
static int seen_add(apr_uint64_t *seen, apr_size_t size, apr_uint64_t hash)
{
    apr_size_t i = hash & (size - 1);

    while (seen[i] && seen[i] != hash) {
        i = (i + 1) & (size - 1);
    }
    if (seen[i]) {
        return 0;
    }
    seen[i] = hash;
    return 1;
}

static void seen_grow(tls_table_t *table)
{
    apr_size_t size = 2 * table->seen_size, i;
    apr_uint64_t *seen = table_alloc(size, sizeof(*seen));

    for (i = 0; i < table->seen_size; ++i) {
        if (table->seen[i]) {
            seen_add(seen, size, table->seen[i]);
        }
    }
    free(table->seen);
    table->seen = seen;
    table->seen_size = size;
}

/* Two clients with one hash of 64 bits there are not. @return whether it is new to the row */
static int row_client(tls_table_t *table, tls_row_t *row, const tls_text_t *client)
{
    apr_uint64_t hash = usher_siphash(table->secret, client->at, client->len).word[1] ^ row->hash;

    if (!client->len || !seen_add(table->seen, table->seen_size, hash ? hash : 1)) {
        return 0;
    }
    ++row->clients;
    if (2 * ++table->seen_used > table->seen_size) {
        seen_grow(table);
    }
    return 1;
}

/* A row's agent changes with few lines: its room is made once. */
static void row_agent(tls_table_t *table, tls_row_t *row, const tls_text_t *agent)
{
    if (agent->len <= 1) { /* "-" */
        return;
    }
    if (!row->agent) {
        row->agent = apr_palloc(table->pool, TLS_COLUMN_SIZE);
    }
    row->agent_len = agent->len < TLS_COLUMN_SIZE ? agent->len : TLS_COLUMN_SIZE;
    memcpy(row->agent, agent->at, row->agent_len);
}

/* Days begin where quarters of an hour do, in all zones. One thread. */
static tls_text_t day_of(apr_int64_t seconds)
{
    static char text[16];
    static apr_int64_t quarter = -1;
    tls_text_t day = { text, 10 };
    time_t at = (time_t)seconds;
    struct tm date;

    if (!seconds || (quarter != seconds / 900
                     && (!localtime_r(&at, &date)
                         || strftime(text, sizeof(text), "%Y-%m-%d", &date) != 10))) {
        day.len = 0;
    }
    else {
        quarter = seconds / 900;
    }
    return day;
}

static apr_size_t key_make(const tls_table_t *table, const tls_line_t *line, char *to)
{
    apr_size_t len = 0;
    int i;

    for (i = 0; i < table->count; ++i) {
        tls_text_t text = table->columns[i] == TLS_COLUMN_DAY ? day_of(line->time)
                                                              : line->texts[table->columns[i]];
        apr_size_t used = text.len < TLS_COLUMN_SIZE ? text.len : TLS_COLUMN_SIZE;

        if (i) {
            to[len++] = TLS_TABLE_BREAK;
        }
        memcpy(to + len, used ? text.at : "-", used ? used : 1);
        len += used ? used : 1;
    }
    return len;
}

int tls_table_add(tls_table_t *table, const tls_line_t *line, int may_be_new)
{
    char key[TLS_COLUMNS * (TLS_COLUMN_SIZE + 1)];
    tls_row_t *row = row_of(table, key, key_make(table, line, key));

    ++row->count;
    row->last_seen = line->time > row->last_seen ? line->time : row->last_seen;
    if (table->of_clients && line->time >= row->last_seen) {
        row_agent(table, row, &line->texts[TLS_LINE_AGENT]);
    }
    return !table->of_clients && may_be_new
           && row_client(table, row, &line->texts[TLS_LINE_CLIENT]);
}

void tls_table_add_text(tls_table_t *table, const tls_text_t *text)
{
    ++row_of(table, text->at, text->len)->count;
}

/* As the rows are printed: with a blank between two columns. */
static int compare_keys(const tls_row_t *a, const tls_row_t *b)
{
    apr_size_t i, len = a->len < b->len ? a->len : b->len;

    for (i = 0; i < len; ++i) {
        unsigned char x = (unsigned char)a->key[i], y = (unsigned char)b->key[i];

        if (x != y) {
            return (x == TLS_TABLE_BREAK ? ' ' : x) - (y == TLS_TABLE_BREAK ? ' ' : y);
        }
    }
    return (a->len > b->len) - (a->len < b->len);
}

static int compare_up(const void *x, const void *y)
{
    const tls_row_t *a = *(const tls_row_t *const *)x, *b = *(const tls_row_t *const *)y;

    return a->count != b->count ? (a->count > b->count ? 1 : -1) : compare_keys(a, b);
}

static int compare_down(const void *x, const void *y)
{
    const tls_row_t *a = *(const tls_row_t *const *)x, *b = *(const tls_row_t *const *)y;

    return a->count != b->count ? (a->count < b->count ? 1 : -1) : compare_keys(a, b);
}

apr_array_header_t *tls_table_rows(const tls_table_t *table, int ascending)
{
    apr_array_header_t *rows = apr_array_make(table->pool, (int)table->rows_used + 1,
                                              sizeof(const tls_row_t *));
    apr_size_t i;

    for (i = 0; i < table->rows_size; ++i) {
        if (table->rows[i]) {
            APR_ARRAY_PUSH(rows, const tls_row_t *) = table->rows[i];
        }
    }
    qsort(rows->elts, (size_t)rows->nelts, sizeof(const tls_row_t *),
          ascending ? compare_up : compare_down);
    return rows;
}
