/* usherctl log: sums up access logs. */
#include <apr_getopt.h>
#include <string.h>

#include "ctl_read.h"
#include "log.h"
#include "usher_number.h"
#include "usher_text.h"

static const char help[] =
    "usage: usherctl log [options] [FILE ...]\n"
    "\n"
    "Sums up access logs: the lines of mod_usher_log (usher, httplog, json) and HAProxy's\n"
    "httplog, each known by itself, in files, compressed ones (gzip) too, or, without a\n"
    "file or for \"-\", from standard input.\n"
    "\n"
    "    -b, --by WHAT         divide by member, cluster, vhost, status, state, path [member]\n"
    "    -o, --sort WHAT       requests, errors (5xx and cut by the server), or a time: read,\n"
    "                          queue, connect, first, total, by 95 % of it [first]\n"
    "    -t, --top N           show so many of them; 0: all [20]\n"
    "    -s, --slowest N       list the slowest requests, at most 1000 [5]\n"
    "    -j, --json            print JSON\n"
    "\n"
    "Only those requests:\n"
    "    -f, --since TIME      2026-11-22, 2026-11-22T18:00:00Z, or how long ago: 2h, 30m\n"
    "    -u, --until TIME      and before this one\n"
    "    -m, --member NAME     of this member; several times: of any of them\n"
    "    -c, --cluster NAME    the same\n"
    "    -v, --vhost NAME      the same\n"
    "    -a, --status LIST     404,5xx,500-503\n"
    "    -e, --state LIST      how it begins: SH,C,?D (?: any letter)\n"
    "    -h, --help            this text\n"
    "\n"
    "Exit code: 0 done, 1 a file could not be read or none of its lines was understood,\n"
    "2 wrong usage. docs/usherctl.md tells more.\n";

static const apr_getopt_option_t options[] = {
    { "by", 'b', 1, NULL },      { "sort", 'o', 1, NULL },   { "top", 't', 1, NULL },
    { "slowest", 's', 1, NULL }, { "json", 'j', 0, NULL },   { "since", 'f', 1, NULL },
    { "until", 'u', 1, NULL },   { "member", 'm', 1, NULL }, { "cluster", 'c', 1, NULL },
    { "vhost", 'v', 1, NULL },   { "status", 'a', 1, NULL }, { "state", 'e', 1, NULL },
    { "help", 'h', 0, NULL },    { NULL, 0, 0, NULL },
};

/* In the order of log_by_e. */
static const char *const bys[] = { "member", "cluster", "vhost", "status", "state", "path", NULL };
static const char *const sorts[] = { "read",  "queue",    "connect", "first",
                                     "total", "requests", "errors",  NULL };

#define SORT_REQUESTS LOG_TIMES
#define SORT_ERRORS   (LOG_TIMES + 1)

typedef struct {
    apr_pool_t *pool;
    log_filter_t filter;
    int by, sort, top, slowest, json;
    log_slow_t slow;
    log_summary_t summary;
    int failed;
} log_run_t;

/* In place of "-", which APR takes for an option: known by its address. */
static const char standard_input[] = "standard input";

static int log_word_index(int *index, const char *const *words, const char *word)
{
    int i;

    for (i = 0; words[i]; ++i) {
        if (!strcmp(words[i], word)) {
            *index = i;
            return 1;
        }
    }
    return 0;
}

static int log_count(int *count, int max, const char *text)
{
    apr_uint64_t number;
    apr_size_t len = strlen(text);

    if (!len || usher_number_parse(&number, (apr_uint64_t)max, text, len) != len) {
        return 0;
    }
    *count = (int)number;
    return 1;
}

/* @return 0: the value is not allowed */
static int log_option(log_run_t *run, int letter, const char *value)
{
    log_filter_t *filter = &run->filter;

    switch (letter) {
    case 'b':
        return log_word_index(&run->by, bys, value);
    case 'o':
        return log_word_index(&run->sort, sorts, value);
    case 't':
        return log_count(&run->top, LOG_GROUPS_MAX, value);
    case 's':
        return log_count(&run->slowest, LOG_SLOW_MAX, value);
    case 'f':
        return log_filter_time(&filter->since, value);
    case 'u':
        return log_filter_time(&filter->until, value);
    case 'm':
        APR_ARRAY_PUSH(filter->members, const char *) = value;
        return 1;
    case 'c':
        APR_ARRAY_PUSH(filter->clusters, const char *) = value;
        return 1;
    case 'v':
        APR_ARRAY_PUSH(filter->vhosts, const char *) = value;
        return 1;
    case 'a':
        return log_filter_status(filter, value);
    case 'e':
        return log_filter_state(filter, run->pool, value);
    default:
        run->json = 1;
        return 1;
    }
}

/* CTL_DONE: --help was asked for; -1: go on with the arguments behind os->ind */
static int log_options(log_run_t *run, apr_getopt_t **os, int argc, const char *const *argv)
{
    const char **all = apr_pcalloc(run->pool, sizeof(*all) * ((apr_size_t)argc + 2));
    const char *value;
    apr_status_t rv;
    int letter, i;

    all[0] = "usherctl log";
    for (i = 0; i < argc; ++i) {
        all[i + 1] = strcmp(argv[i], "-") ? argv[i] : standard_input;
    }
    apr_getopt_init(os, run->pool, argc + 1, all);
    (*os)->interleave = 1;
    while ((rv = apr_getopt_long(*os, options, &letter, &value)) == APR_SUCCESS) {
        if (letter == 'h') {
            fputs(help, stdout);
            return CTL_DONE;
        }
        value = value == standard_input ? "-" : value;
        if (!log_option(run, letter, value)) {
            fprintf(stderr, "usherctl log: -%c does not take \"%s\": see --help\n", letter,
                    ctl_harmless(run->pool, value));
            return CTL_USAGE;
        }
    }
    return APR_STATUS_IS_EOF(rv) ? -1 : CTL_USAGE;
}

#define SHOWN_MAX 200

/* Only the first one is shown: the others are of its kind, or many. */
static void log_bad(log_run_t *run, const char *name, const ctl_read_t *reader, const char *line,
                    apr_size_t len)
{
    char text[USHER_TEXT_SHOWN_SIZE(SHOWN_MAX)];

    if (!run->summary.bad++) {
        usher_text_show(text, line, len < SHOWN_MAX ? len : SHOWN_MAX);
        fprintf(stderr, "usherctl log: %s:%" APR_UINT64_T_FMT ": not understood: %s%s\n",
                ctl_harmless(run->pool, name), ctl_read_number(reader), text,
                len > SHOWN_MAX ? "..." : "");
    }
}

static void log_add(log_run_t *run, const log_line_t *line)
{
    apr_int64_t at = log_zone_utc(line);

    if (!log_filter_passes(&run->filter, line, at)) {
        ++run->summary.left_out;
        return;
    }
    log_groups_add(run->summary.groups, line, at);
    log_slow_add(&run->slow, line, at);
}

static void log_fails(log_run_t *run, const char *name, const char *why)
{
    fprintf(stderr, "usherctl log: %s: %s\n", ctl_harmless(run->pool, name),
            ctl_harmless(run->pool, why));
    run->failed = 1;
}

static void log_file(log_run_t *run, const char *name)
{
    const char *bytes, *packed, *why = NULL;
    ctl_read_t *reader = ctl_read_open(run->pool, name == standard_input ? "-" : name, &why);
    log_line_t line;
    apr_size_t len;
    ctl_read_e got;

    if (!reader) {
        log_fails(run, name, why);
        return;
    }
    while ((got = ctl_read_line(reader, &bytes, &len)) == CTL_READ_LINE || got == CTL_READ_LONG) {
        packed = ctl_read_number(reader) == 1 ? ctl_read_packed_by(bytes, len) : NULL;
        if (packed) {
            log_fails(run, name, apr_psprintf(run->pool, "is compressed by %s: %s -dc FILE | "
                                              "usherctl log", packed, packed));
            break;
        }
        if (!len) {
            continue;
        }
        ++run->summary.lines;
        if (got == CTL_READ_LONG || log_line_parse(&line, bytes, len) != USHER_PARSE_DONE) {
            log_bad(run, name, reader, bytes, len);
        }
        else {
            log_add(run, &line);
        }
    }
    if (got == CTL_READ_FAILED) {
        log_fails(run, name, ctl_read_why(reader));
    }
    ctl_read_close(reader);
}

static void log_show(log_run_t *run)
{
    log_summary_t *summary = &run->summary;
    int timed = run->sort < LOG_TIMES;

    log_groups_sort(summary->groups, timed ? LOG_SORT_TIME
                    : run->sort == SORT_REQUESTS ? LOG_SORT_REQUESTS : LOG_SORT_ERRORS,
                    timed ? (log_time_e)run->sort : LOG_TIME_TOTAL);
    summary->by = bys[run->by];
    summary->sort = timed ? apr_psprintf(run->pool, "slowest first (95 %% of \"%s\")",
                                         log_time_names[run->sort])
                    : apr_psprintf(run->pool, "most %s first", sorts[run->sort]);
    summary->top = run->top;
    summary->slow = &run->slow;
    (run->json ? log_json : log_print)(run->pool, summary);
    if (summary->bad) {
        fprintf(stderr, "usherctl log: %" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT
                " lines were not understood\n", summary->bad, summary->lines);
    }
}

static int log_run(apr_pool_t *p, int argc, const char *const *argv)
{
    log_run_t *run = apr_pcalloc(p, sizeof(*run));
    apr_getopt_t *os;
    int code, i;

    run->pool = p;
    run->by = LOG_BY_MEMBER;
    run->sort = -1;
    run->top = 20;
    run->slowest = 5;
    log_filter_init(&run->filter, p);
    code = log_options(run, &os, argc, argv);
    if (code >= 0) {
        return code;
    }
    if (run->sort < 0) {
        run->sort = run->by == LOG_BY_STATUS || run->by == LOG_BY_STATE ? SORT_REQUESTS
                                                                       : LOG_TIME_FIRST;
    }
    run->summary.groups = log_groups_make(p, (log_by_e)run->by);
    log_slow_init(&run->slow, p, run->slowest);
    for (i = os->ind; i < os->argc; ++i) {
        log_file(run, os->argv[i]);
    }
    if (os->ind == os->argc) {
        log_file(run, standard_input);
    }
    log_show(run);
    return run->failed || (run->summary.bad && run->summary.bad == run->summary.lines) ? CTL_FAILED
                                                                                      : CTL_DONE;
}

const ctl_command_t ctl_log = {
    "log", "sums up access logs: slowest members, errors, who cut connections", help, log_run
};
