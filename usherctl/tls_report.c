/* usherctl tls report: who connects how, from log files. */
#include <apr_getopt.h>
#include <apr_time.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl_read.h"
#include "tls.h"
#include "usher_duration.h"

static const char help[] =
    "usage: usherctl tls report [options] [FILE ...]\n"
    "\n"
    "Counts the lines of log files that tell of TLS, of HAProxy, httpd or Usher: each\n"
    "with SSL:{version,cipher} in it, and JSON. Files may be compressed by gzip; without\n"
    "one standard input is read.\n"
    "\n"
    "    -b, --by COLUMNS      one table of these: version, cipher, client, agent, vhost,\n"
    "                          day; of handshake logs also outcome, offered\n"
    "    -o, --old VERSION     this version and older ones are old: TLSv1.1 if it is not said\n"
    "    -s, --since WHEN      lines since then: 7d, 12h, 2026-11-22, \"2026-11-22 18:00\"\n"
    "    -n, --top N           so many rows of a table, 0 for all; 20 if it is not said\n"
    "    -u, --uniq            only counts and texts, the least first, as\n"
    "                          grep -o 'SSL:{[^}]*}' | sort | uniq -c | sort -n\n"
    "    -h, --help            this text\n"
    "\n"
    "Exit code: 0 done, 1 something could not be read (the rest was counted), 2 wrong\n"
    "usage. docs/usherctl.md tells more.\n";

static const apr_getopt_option_t options[] = {
    { "by", 'b', 1, NULL },   { "old", 'o', 1, NULL },  { "since", 's', 1, NULL },
    { "top", 'n', 1, NULL },  { "uniq", 'u', 0, NULL }, { "help", 'h', 0, NULL },
    { NULL, 0, 0, NULL },
};

typedef struct {
    int columns[TLS_COLUMNS];
    int count;         /* of them; 0: the three tables */
    int uniq, top, old;
    const char *old_name;
    apr_int64_t since; /* 0: all */
    apr_uint64_t lines, told, plain, undated, cut;
    apr_int64_t first, last;
    tls_table_t *versions, *ciphers, *clients; /* of the three tables */
    tls_table_t *table;                        /* or the one */
} report_t;

static const int by_version[] = { TLS_LINE_VERSION };
static const int by_cipher[] = { TLS_LINE_VERSION, TLS_LINE_CIPHER };
static const int by_client[] = { TLS_LINE_VERSION, TLS_LINE_CLIENT };

static int column_of(const char *name, apr_size_t len)
{
    int i;

    for (i = 0; i < TLS_COLUMNS; ++i) {
        if (strlen(tls_column_names[i]) == len && !memcmp(tls_column_names[i], name, len)) {
            return i;
        }
    }
    return -1;
}

/* @return 0: a name is none, or stands there twice */
static int report_columns(report_t *report, const char *names)
{
    unsigned int seen = 0;

    for (report->count = 0;; ++names) {
        apr_size_t len = strcspn(names, ",");
        int column = column_of(names, len);

        if (column < 0 || (seen & 1u << column)) {
            return 0;
        }
        seen |= 1u << column;
        report->columns[report->count++] = column;
        names += len;
        if (!*names) {
            return 1;
        }
    }
}

static int report_since(report_t *report, const char *value)
{
    apr_interval_time_t ago;

    report->since = tls_line_rfc3339(value, value + strlen(value));
    if (!report->since && usher_duration_parse(&ago, value, strlen(value)) == APR_SUCCESS) {
        report->since = apr_time_sec(apr_time_now() - ago);
    }
    return report->since > 0;
}

/* @return 0: the value is none of the option */
static int report_option(report_t *report, int letter, const char *value)
{
    tls_text_t text = { value, strlen(value) };

    switch (letter) {
    case 'b':
        return report_columns(report, value);
    case 'o':
        report->old_name = value;
        report->old = tls_line_age(&text);
        return report->old >= 0;
    case 's':
        return report_since(report, value);
    case 'n':
        return tls_option_number(&report->top, 0, 1000000, value);
    default:
        report->uniq = 1;
        return 1;
    }
}

/* @return the first file's place; -1: usage was wrong; 0: help was asked for */
static int report_options(apr_pool_t *p, report_t *report, int argc, const char *const *argv)
{
    const char **all = apr_pmemdup(p, argv, sizeof(*all) * ((apr_size_t)argc + 1));
    apr_getopt_t *os;
    const char *value = NULL;
    apr_status_t rv;
    int letter;

    all[0] = "usherctl tls report";
    apr_getopt_init(&os, p, argc, all);
    while ((rv = apr_getopt_long(os, options, &letter, &value)) == APR_SUCCESS) {
        if (letter == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (!report_option(report, letter, value ? value : "")) {
            tls_wrong_value(p, options, letter, value, help);
            return -1;
        }
    }
    if (!APR_STATUS_IS_EOF(rv)) {
        fputs(help, stderr);
        return -1;
    }
    return os->ind;
}

static void report_count(report_t *report, const tls_line_t *line)
{
    int age = tls_line_age(&line->texts[TLS_LINE_VERSION]);

    if (report->table) {
        tls_table_add(report->table, line, 1);
        return;
    }
    tls_table_add(report->versions, line, tls_table_add(report->ciphers, line, 1));
    if (age >= 0 && age <= report->old) {
        tls_table_add(report->clients, line, 1);
    }
}

/* As grep -o counts: each of a line. */
static void report_matches(report_t *report, const char *bytes, apr_size_t len)
{
    const char *end = bytes + len;
    tls_text_t found;

    while (tls_line_next(bytes, (apr_size_t)(end - bytes), &found)) {
        tls_table_add_text(report->table, &found);
        bytes = found.at + found.len;
    }
}

static void report_line(report_t *report, const char *bytes, apr_size_t len)
{
    tls_line_t line;

    ++report->lines;
    if (report->uniq && !report->count && !report->since) {
        report_matches(report, bytes, len);
        return;
    }
    if (!tls_line_read(&line, bytes, len)) {
        return;
    }
    report->undated += !line.time;
    if (line.time < report->since) {
        return;
    }
    if (!(report->uniq && !report->count) && tls_line_is_plain(&line)) {
        ++report->plain;
        return;
    }
    ++report->told;
    if (line.time) {
        report->first = !report->first || line.time < report->first ? line.time : report->first;
        report->last = line.time > report->last ? line.time : report->last;
    }
    if (report->uniq && !report->count) {
        report_matches(report, bytes, len);
        return;
    }
    report_count(report, &line);
}

static int report_lines(apr_pool_t *p, report_t *report, ctl_read_t *reader, const char *name)
{
    const char *bytes, *program;
    apr_size_t len;
    ctl_read_e what;

    while ((what = ctl_read_line(reader, &bytes, &len)) == CTL_READ_LINE || what == CTL_READ_LONG) {
        report->cut += what == CTL_READ_LONG;
        program = ctl_read_number(reader) == 1 ? ctl_read_packed_by(bytes, len) : NULL;
        if (program) {
            return tls_fails(p, "%s: is compressed by %s: %s -dc FILE | usherctl tls report", name,
                             program, program);
        }
        report_line(report, bytes, len);
    }
    return what == CTL_READ_END ? CTL_DONE : tls_fails(p, "%s: %s", name, ctl_read_why(reader));
}

static int report_file(apr_pool_t *p, report_t *report, const char *name)
{
    const char *why = "";
    ctl_read_t *reader = ctl_read_open(p, name, &why);
    int code;

    if (!reader) {
        return tls_fails(p, "%s: %s", name, why);
    }
    code = report_lines(p, report, reader, strcmp(name, "-") ? name : "standard input");
    ctl_read_close(reader);
    return code;
}

static void report_begin(apr_pool_t *p, report_t *report)
{
    if (report->count || report->uniq) {
        report->table = tls_table_make(p, report->columns, report->count);
        return;
    }
    report->versions = tls_table_make(p, by_version, 1);
    report->ciphers = tls_table_make(p, by_cipher, 2);
    report->clients = tls_table_make(p, by_client, 2);
}

static void report_print(apr_pool_t *p, const report_t *report)
{
    tls_print_t how = { NULL, report->columns, report->count, 0, report->told, report->top };

    printf("%" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT " lines tell of TLS", report->told,
           report->lines);
    if (report->last) {
        printf(", from %s to %s", tls_time_text(p, report->first), tls_time_text(p, report->last));
    }
    puts(report->since ? " (those before --since not counted)" : "");
    if (report->plain) {
        printf("%" APR_UINT64_T_FMT " lines are of requests without TLS, and in no table\n",
               report->plain);
    }
    if (report->table) {
        how.title = "Lines";
        tls_print_table(p, &how, report->table);
        return;
    }
    how = (tls_print_t){ "By version", by_version, 1, 0, report->told, report->top };
    tls_print_table(p, &how, report->versions);
    how = (tls_print_t){ "By version and cipher", by_cipher, 2, 0, report->told, report->top };
    tls_print_table(p, &how, report->ciphers);
    how = (tls_print_t){ apr_pstrcat(p, "Clients of ", report->old_name, " and older", NULL),
                         by_client, 2, 1, report->told, report->top };
    tls_print_table(p, &how, report->clients);
}

static void report_end(apr_pool_t *p, const report_t *report)
{
    if (report->uniq) {
        tls_print_uniq(p, report->table, isatty(STDOUT_FILENO));
    }
    else {
        report_print(p, report);
    }
    if (report->cut) {
        fprintf(stderr, "usherctl tls report: of %" APR_UINT64_T_FMT " lines only the first %d "
                "bytes were looked at\n", report->cut, CTL_READ_LINE_MAX);
    }
    if (report->since && report->undated) {
        fprintf(stderr, "usherctl tls report: %" APR_UINT64_T_FMT " lines without a date are "
                "not counted\n", report->undated);
    }
}

int tls_report(apr_pool_t *p, int argc, const char *const *argv)
{
    report_t report = { .top = 20, .old = 3, .old_name = "TLSv1.1" };
    int at = report_options(p, &report, argc, argv), code = CTL_DONE;

    if (at <= 0) {
        return at ? CTL_USAGE : CTL_DONE;
    }
    report_begin(p, &report);
    if (at == argc) {
        code = report_file(p, &report, "-");
    }
    for (; at < argc; ++at) {
        int one = report_file(p, &report, argv[at]);

        code = code == CTL_DONE ? one : code;
    }
    report_end(p, &report);
    return code;
}
