/**
 * @file  tls.h
 * @brief What the verbs of `usherctl tls` share.
 */
#ifndef TLS_H
#define TLS_H

#include <apr_getopt.h>

#include "tls_table.h"
#include "usherctl.h"

/** Says what is wrong. @return CTL_FAILED */
int tls_fails(apr_pool_t *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** A time as it is told, local: "2026-11-22 18:13:36", "-" for 0. */
const char *tls_time_text(apr_pool_t *p, apr_int64_t seconds);

/** Bytes of somebody else, harmless for a terminal. */
const char *tls_harmless(apr_pool_t *p, const char *bytes, apr_size_t len);

/** An option's number. @return 0: it is none, or out of bounds */
int tls_option_number(int *number, int min, int max, const char *value);
/** Says that an option's value is none, and how it is used. @return CTL_USAGE */
int tls_wrong_value(apr_pool_t *p, const apr_getopt_option_t *options, int letter,
                    const char *value, const char *help);

/** Where httpd saves its statistics, unless UsherStateDir says another place. */
#define TLS_STATS_FILE USHER_STATE_DIR "/tls.stats"

/* The verbs; argv[0] is the verb. @return as ctl_command_t.run */
int tls_report(apr_pool_t *p, int argc, const char *const *argv);
int tls_show(apr_pool_t *p, int argc, const char *const *argv);
int tls_what_if(apr_pool_t *p, int argc, const char *const *argv);

/** Tables of rows, as `usherctl tls report` prints them. */
typedef struct {
    const char *title;
    const int *columns;
    int count;
    int has_agent;         /**< the last user agent stands behind the columns */
    apr_uint64_t total;    /**< what shares are of */
    int top;               /**< so many rows; 0: all */
} tls_print_t;

void tls_print_table(apr_pool_t *p, const tls_print_t *how, const tls_table_t *table);
/** As `uniq -c | sort -n` does. @param harmless  it goes to a terminal */
void tls_print_uniq(apr_pool_t *p, const tls_table_t *table, int harmless);
/** What the columns are called: "version". */
extern const char *const tls_column_names[TLS_COLUMNS];

#endif /* TLS_H */
