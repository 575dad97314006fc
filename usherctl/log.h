/**
 * @file  log.h
 * @brief What the parts of `usherctl log' share.
 */
#ifndef LOG_H
#define LOG_H

#include <apr_tables.h>
#include <stdio.h>

#include "log_histogram.h"
#include "log_line.h"
#include "usherctl.h"

/* ---- Which lines count (log_filter.c) */

typedef struct {
    apr_int64_t since, until;    /**< microseconds in UTC; APR_INT64_MIN and MAX: no limit */
    apr_array_header_t *members; /**< const char *: any of them; empty: all */
    apr_array_header_t *clusters;
    apr_array_header_t *vhosts;
    apr_array_header_t *states;  /**< const char *: how it begins, with '?' for any letter */
    unsigned char statuses[1000]; /**< not 0: it counts */
    int by_status;
} log_filter_t;

void log_filter_init(log_filter_t *filter, apr_pool_t *p);
/** "2026-11-22", "2026-11-22T18:00", "... 18:00:00Z", or how long ago: "2h".
 *  @return 0: it is none of these */
int log_filter_time(apr_int64_t *at, const char *text);
/** "404", "5xx", "500-599", several with commas. @return 0: it is none of these */
int log_filter_status(log_filter_t *filter, const char *text);
/** "SH", "C", "?D", several with commas. @return 0: it is none of these */
int log_filter_state(log_filter_t *filter, apr_pool_t *p, const char *text);
/** @param at  microseconds in UTC of the line */
int log_filter_passes(const log_filter_t *filter, const log_line_t *line, apr_int64_t at);

/** Turns a line's time into UTC: of a line without a zone it is in this machine's. */
apr_int64_t log_zone_utc(const log_line_t *line);
/** Of what people type. */
apr_int64_t log_zone_local(apr_int64_t seconds);

/* ---- What is counted (log_groups.c) */

typedef enum {
    LOG_BY_MEMBER,
    LOG_BY_CLUSTER,
    LOG_BY_VHOST,
    LOG_BY_STATUS,
    LOG_BY_STATE,
    LOG_BY_PATH
} log_by_e;

/** Kinds of ends that one group is told of; clients cannot make more, but a file may. */
#define LOG_ENDS_MAX 48
/** Groups that are told apart; the others are one. */
#define LOG_GROUPS_MAX 4096
/** Bytes of a group's name; what differs only behind them is one group. */
#define LOG_NAME_MAX 256

typedef struct {
    char who, phase;
    apr_uint64_t count;
} log_end_t;

typedef struct log_group_t {
    struct log_group_t *next; /**< with the same hash */
    const char *name;         /**< bytes of any kind */
    apr_size_t name_len;
    apr_uint64_t requests;
    apr_uint64_t classes[10]; /**< of statuses: 2 is 2xx, 0 none */
    apr_uint64_t by_client;   /**< aborted by it */
    apr_uint64_t by_server;   /**< cut by it */
    apr_uint64_t retries;     /**< tries after the first one */
    apr_uint64_t bytes_in, bytes_out;
    log_end_t ends[LOG_ENDS_MAX];
    int ends_len;
    apr_uint64_t ends_others;
    log_histogram_t times[LOG_TIMES];
} log_group_t;

#define LOG_BUCKETS 8192

typedef struct {
    apr_pool_t *pool;
    log_by_e by;
    unsigned char key[16];   /**< of the hash: names are made by strangers */
    log_group_t *buckets[LOG_BUCKETS];
    apr_array_header_t *all; /**< log_group_t *, without the others */
    log_group_t others;
    apr_uint64_t statuses[1000];
    apr_int64_t first_at, last_at;
} log_groups_t;

log_groups_t *log_groups_make(apr_pool_t *p, log_by_e by);
void log_groups_add(log_groups_t *groups, const log_line_t *line, apr_int64_t at);
/** Everything in one. */
const log_group_t *log_groups_total(const log_groups_t *groups);

/** Ends, the most frequent first. */
void log_group_sort_ends(log_group_t *group);

typedef enum {
    LOG_SORT_TIME, /**< slowest first; and with it which time */
    LOG_SORT_REQUESTS,
    LOG_SORT_ERRORS
} log_sort_e;

/** Sorts groups->all. */
void log_groups_sort(log_groups_t *groups, log_sort_e sort, log_time_e time);

/* ---- The slowest requests (log_slow.c) */

#define LOG_SLOW_MAX 1000

typedef struct {
    apr_int64_t at;
    apr_int64_t times[LOG_TIMES];
    int status;
    char state[LOG_STATE_SIZE];
    log_text_t member, vhost, id, method, uri; /**< decoded: bytes of any kind */
    char text[1024];
} log_slow_one_t;

typedef struct {
    int max;
    int len;
    log_slow_one_t **ones; /**< the slowest first */
} log_slow_t;

void log_slow_init(log_slow_t *slow, apr_pool_t *p, int max);
void log_slow_add(log_slow_t *slow, const log_line_t *line, apr_int64_t at);

/** "cluster/member", decoded. @return its length */
apr_size_t log_member_name(char *to, apr_size_t room, const log_line_t *line);

/* ---- What is printed (log_print.c, log_json.c) */

typedef struct {
    log_groups_t *groups;
    const log_slow_t *slow;
    const char *by;          /**< as it was asked for */
    const char *sort;
    int top;
    apr_uint64_t lines;      /**< read, with those that could not be understood */
    apr_uint64_t bad;
    apr_uint64_t left_out;   /**< by the filter */
} log_summary_t;

extern const char *const log_time_names[LOG_TIMES];
extern const int log_percents[4];
#define LOG_PERCENTS 4

void log_print(apr_pool_t *p, const log_summary_t *summary);
void log_json(apr_pool_t *p, const log_summary_t *summary);

#endif /* LOG_H */
