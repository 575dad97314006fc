/* usherctl tls show: what mod_usher_tls has counted. */
#include <apr_getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls.h"
#include "tls_show.h"

static const char help[] =
    "usage: usherctl tls show [options]\n"
    "\n"
    "Shows the statistics of mod_usher_tls, from the file that httpd saves once a minute.\n"
    "\n"
    "    -d, --days N      of the last N days (1 to 32, UTC), today is one of them\n"
    "    -t, --hours N     of the last N hours (1 to 48); without either: since counting began\n"
    "    -v, --vhost NAME  of this virtual host alone, as it is called in the tables\n"
    "    -f, --file FILE   the statistics; " TLS_STATS_FILE "\n"
    "                      if it is not said\n"
    "    -n, --top N       so many rows of a table, 0 for all; 20 if it is not said\n"
    "    -j, --json        print JSON\n"
    "    -h, --help        this text\n"
    "\n"
    "Exit code: 0 done, 1 failed, 2 wrong usage. docs/usherctl.md tells more.\n";

static const apr_getopt_option_t options[] = {
    { "days", 'd', 1, NULL },  { "hours", 't', 1, NULL }, { "vhost", 'v', 1, NULL },
    { "file", 'f', 1, NULL },  { "top", 'n', 1, NULL },   { "json", 'j', 0, NULL },
    { "help", 'h', 0, NULL },  { NULL, 0, 0, NULL },
};

typedef struct {
    const char *file, *vhost;
    int days, hours, top, json;
} asked_t;

const show_section_t show_sections[] = {
    { "By version", "versions", USHER_TLSSTATS_VERSION, 0 },
    { "By version and cipher", "ciphers", USHER_TLSSTATS_VERSION | USHER_TLSSTATS_CIPHER, 0 },
    { "By group of the key exchange", "groups", USHER_TLSSTATS_GROUP, 0 },
    { "By virtual host", "vhosts", USHER_TLSSTATS_VHOST | USHER_TLSSTATS_VERSION, 0 },
    { "Handshakes that failed, by reason and the greatest version that was offered", "failures",
      USHER_TLSSTATS_OUTCOME | USHER_TLSSTATS_VERSION, 1 },
};
const int show_sections_len = (int)(sizeof(show_sections) / sizeof(show_sections[0]));

show_rows_t show_rows(apr_pool_t *p, const show_t *show, const show_section_t *section)
{
    show_rows_t got = { NULL, 0, 0 };
    apr_uint32_t i;

    got.rows = apr_palloc(p, sizeof(*got.rows) * SHOW_ROWS_MAX);
    got.len = usher_tlsstats_rows(&show->snapshot->stats, section->by, show->vhost,
                                  section->failed, &show->span, got.rows, SHOW_ROWS_MAX);
    for (i = 0; i < got.len; ++i) {
        got.total += got.rows[i].connections;
    }
    return got;
}

apr_int64_t show_clients(const show_t *show, const show_section_t *section,
                         const usher_tlsstats_row_t *row)
{
    if (show->vhost != USHER_TLSSTATS_ALL || show->span.unit == USHER_TLSSTATS_BY_HOUR
        || !(section->by & USHER_TLSSTATS_VERSION) || !row->version || section->failed
        || (section->by & USHER_TLSSTATS_VHOST)) {
        return -1;
    }
    return usher_tlsstats_clients(&show->snapshot->stats, row->version, row->cipher, &show->span);
}

show_time_t show_time(const show_t *show, apr_uint32_t i)
{
    usher_tlsstats_span_t one = show->span;
    show_time_t sum = { 0 };
    usher_tlsstats_row_t row;

    one.first += i;
    one.len = 1;
    sum.at = one.first * (one.unit == USHER_TLSSTATS_BY_HOUR ? 3600 : 86400);
    if (usher_tlsstats_rows(&show->snapshot->stats, 0, show->vhost, 0, &one, &row, 1)) {
        sum.connections = row.connections;
        sum.requests = row.requests;
    }
    if (usher_tlsstats_rows(&show->snapshot->stats, 0, show->vhost, 1, &one, &row, 1)) {
        sum.failed = row.connections;
    }
    return sum;
}

typedef struct {
    apr_array_header_t *list; /* usher_tlsstats_client_t */
    apr_int64_t since;
} named_t;

static int see_client(void *baton, const usher_tlsstats_client_t *client)
{
    named_t *named = baton;

    if (client->last_seen >= named->since) {
        APR_ARRAY_PUSH(named->list, usher_tlsstats_client_t) = *client;
    }
    return 1;
}

static int compare_clients(const void *x, const void *y)
{
    const usher_tlsstats_client_t *a = x, *b = y;

    return a->count != b->count ? (a->count < b->count ? 1 : -1)
                                : memcmp(a->address, b->address, sizeof(a->address));
}

apr_array_header_t *show_named(apr_pool_t *p, const show_t *show)
{
    named_t named = { apr_array_make(p, 64, sizeof(usher_tlsstats_client_t)), 0 };

    if (show->span.unit != USHER_TLSSTATS_ALWAYS) {
        named.since = show->span.first
                      * (show->span.unit == USHER_TLSSTATS_BY_HOUR ? 3600 : 86400);
    }
    usher_tlsstats_each_client(&show->snapshot->stats, see_client, &named);
    qsort(named.list->elts, (size_t)named.list->nelts, sizeof(usher_tlsstats_client_t),
          compare_clients);
    return named.list;
}

const char *show_vhost_name(apr_pool_t *p, const show_t *show, apr_uint32_t vhost)
{
    char name[USHER_TLSSTATS_VHOST_SIZE];

    usher_tlsstats_vhost_name(&show->snapshot->stats, vhost, name);
    return *name ? tls_harmless(p, name, strlen(name)) : "-";
}

/* @return USHER_TLSSTATS_ALL: there is none of that name */
static apr_uint32_t vhost_of(apr_pool_t *p, const show_t *show, const char *name)
{
    apr_uint32_t i;

    for (i = 1; i < USHER_TLSSTATS_VHOSTS; ++i) {
        if (!strcmp(show_vhost_name(p, show, i), name)) {
            return i;
        }
    }
    return USHER_TLSSTATS_ALL;
}

static int show_all(apr_pool_t *p, const asked_t *asked)
{
    tls_snapshot_t snapshot;
    show_t show = { &snapshot };
    int code = tls_snapshot_read(p, &snapshot, asked->file);

    if (code != CTL_DONE) {
        return code;
    }
    show.span = asked->hours
                    ? tls_snapshot_span(&snapshot, USHER_TLSSTATS_BY_HOUR, (apr_uint32_t)asked->hours)
                    : tls_snapshot_span(&snapshot, USHER_TLSSTATS_BY_DAY, (apr_uint32_t)asked->days);
    show.vhost = asked->vhost ? vhost_of(p, &show, asked->vhost) : USHER_TLSSTATS_ALL;
    show.top = asked->top;
    if (asked->vhost && show.vhost == USHER_TLSSTATS_ALL) {
        return tls_fails(p, "there is no virtual host \"%s\" in %s", asked->vhost, asked->file);
    }
    if (asked->json) {
        show_json(p, &show);
    }
    else {
        show_print(p, &show);
    }
    return CTL_DONE;
}

/* @return 0: the value is none of the option */
static int show_option(asked_t *asked, int letter, const char *value)
{
    switch (letter) {
    case 'd':
        return tls_option_number(&asked->days, 1, USHER_TLSSTATS_DAYS, value);
    case 't':
        return tls_option_number(&asked->hours, 1, USHER_TLSSTATS_HOURS, value);
    case 'n':
        return tls_option_number(&asked->top, 0, 1000000, value);
    case 'v':
        asked->vhost = value;
        return 1;
    case 'f':
        asked->file = value;
        return 1;
    default:
        asked->json = 1;
        return 1;
    }
}

int tls_show(apr_pool_t *p, int argc, const char *const *argv)
{
    asked_t asked = { TLS_STATS_FILE, NULL, 0, 0, 20, 0 };
    const char **all = apr_pmemdup(p, argv, sizeof(*all) * ((apr_size_t)argc + 1));
    apr_getopt_t *os;
    const char *value = NULL;
    apr_status_t rv;
    int letter;

    all[0] = "usherctl tls show";
    apr_getopt_init(&os, p, argc, all);
    while ((rv = apr_getopt_long(os, options, &letter, &value)) == APR_SUCCESS) {
        if (letter == 'h') {
            fputs(help, stdout);
            return CTL_DONE;
        }
        if (!show_option(&asked, letter, value)) {
            return tls_wrong_value(p, options, letter, value, help);
        }
    }
    if (!APR_STATUS_IS_EOF(rv) || os->ind < argc) {
        fputs(help, stderr);
        return CTL_USAGE;
    }
    if (asked.days && asked.hours) {
        fprintf(stderr, "usherctl tls: either --days or --hours\n\n%s", help);
        return CTL_USAGE;
    }
    return show_all(p, &asked);
}
