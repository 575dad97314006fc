/**
 * @file  tls_table.h
 * @brief Counts of lines by what they tell: what `sort | uniq -c` makes, in one pass.
 */
#ifndef TLS_TABLE_H
#define TLS_TABLE_H

#include <apr_pools.h>
#include <apr_tables.h>

#include "tls_line.h"

/** Behind those of tls_line_text_e */
#define TLS_COLUMN_DAY  TLS_LINE_TEXTS
#define TLS_COLUMNS     (TLS_LINE_TEXTS + 1)
/** Of a text no more than this counts: what is longer was made so. */
#define TLS_COLUMN_SIZE 256

/** What no text of a line has. */
#define TLS_TABLE_BREAK '\n'

typedef struct {
    apr_uint64_t hash;
    apr_uint64_t count;
    apr_uint64_t clients;  /**< distinct ones; of a table without a column of them */
    apr_int64_t last_seen; /**< seconds since 1970; 0: no line told */
    const char *key;       /**< its texts, with TLS_TABLE_BREAK between two */
    apr_size_t len;
    char *agent;           /**< the client's last one; not NUL-terminated */
    apr_size_t agent_len;
} tls_row_t;

typedef struct tls_table_t tls_table_t;

/** @param columns  of TLS_LINE_ and TLS_COLUMN_ ; @param count  at least 1 */
tls_table_t *tls_table_make(apr_pool_t *p, const int *columns, int count);

/**
 * Count a line.
 * @param may_be_new  0: its client is known to be none that its row has not seen
 * @return whether the client is new to its row
 */
int tls_table_add(tls_table_t *table, const tls_line_t *line, int may_be_new);
/** A text as a row's key, whole; of a table of one column. */
void tls_table_add_text(tls_table_t *table, const tls_text_t *text);

/** All rows. @param ascending  as `sort -n` has them; otherwise the most frequent first
 *  @return of const tls_row_t * */
apr_array_header_t *tls_table_rows(const tls_table_t *table, int ascending);

#endif /* TLS_TABLE_H */
