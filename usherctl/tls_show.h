/**
 * @file  tls_show.h
 * @brief What `usherctl tls show` tells, for people and as JSON.
 */
#ifndef TLS_SHOW_H
#define TLS_SHOW_H

#include <apr_tables.h>

#include "tls_snapshot.h"

/** More rows are summed in the last one. */
#define SHOW_ROWS_MAX 10000

typedef struct {
    const tls_snapshot_t *snapshot;
    usher_tlsstats_span_t span;
    apr_uint32_t vhost; /**< or USHER_TLSSTATS_ALL */
    int top;            /**< rows of a table; 0: all */
} show_t;

/** A table. */
typedef struct {
    const char *title;
    const char *name; /**< in JSON */
    unsigned int by;  /**< as usher_tlsstats_rows() takes it */
    int failed;
} show_section_t;

extern const show_section_t show_sections[];
extern const int show_sections_len;

typedef struct {
    usher_tlsstats_row_t *rows;
    apr_uint32_t len;
    apr_uint64_t total; /**< connections */
} show_rows_t;

show_rows_t show_rows(apr_pool_t *p, const show_t *show, const show_section_t *section);

/** Distinct clients of a row; -1: they are not counted so. */
apr_int64_t show_clients(const show_t *show, const show_section_t *section,
                         const usher_tlsstats_row_t *row);

/** An hour or a day. */
typedef struct {
    apr_int64_t at; /**< when it begins */
    apr_uint64_t connections, requests, failed;
} show_time_t;

/** One of show->span. @param i  below its len */
show_time_t show_time(const show_t *show, apr_uint32_t i);

/** The named clients that were seen in show->span: usher_tlsstats_client_t, the most frequent
 * first. Of all virtual hosts. */
apr_array_header_t *show_named(apr_pool_t *p, const show_t *show);

/** "-": of other ones */
const char *show_vhost_name(apr_pool_t *p, const show_t *show, apr_uint32_t vhost);

/* tls_show_print.c */
void show_print(apr_pool_t *p, const show_t *show);
void show_json(apr_pool_t *p, const show_t *show);

#endif /* TLS_SHOW_H */
