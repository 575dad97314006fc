/* The statistics as JSON (RFC 8259). */
#include <http_protocol.h>

#include "tls_stats.h"

#define NUMBER "%" APR_UINT64_T_FMT

/* Valid whatever the bytes are: what is not printable ASCII is the character of that number. */
static const char *json_text(apr_pool_t *p, const char *bytes)
{
    char *text = apr_palloc(p, 6 * strlen(bytes) + 3), *at = text;

    *at++ = '"';
    for (; *bytes; ++bytes) {
        unsigned char c = (unsigned char)*bytes;

        if (c < ' ' || c > '~' || c == '"' || c == '\\') {
            at += apr_snprintf(at, 7, "\\u%04x", c);
        }
        else {
            *at++ = (char)c;
        }
    }
    *at++ = '"';
    *at = '\0';
    return text;
}

/* "-" and 0 are null. */
static const char *json_name(const tls_view_t *view, const char *name)
{
    return strcmp(name, "-") ? json_text(view->r->pool, name) : "null";
}

static const char *json_clients(const tls_view_t *view, apr_int64_t clients)
{
    return clients < 0 ? "null" : apr_psprintf(view->r->pool, "%" APR_INT64_T_FMT, clients);
}

static void json_row(const tls_view_t *view, unsigned int by, const usher_tlsstats_row_t *row)
{
    request_rec *r = view->r;

    if (by & USHER_TLSSTATS_VHOST) {
        ap_rprintf(r, "\"vhost\": %s, ", json_name(view, tls_view_vhost(view, row->vhost)));
    }
    if (by & USHER_TLSSTATS_OUTCOME) {
        ap_rprintf(r, "\"outcome\": \"%s\", ",
                   usher_tls_outcome_name((usher_tls_outcome_e)row->outcome));
    }
    if (by & USHER_TLSSTATS_VERSION) {
        ap_rprintf(r, "\"version\": %s, ", json_name(view, tls_view_version(view, row->version)));
    }
    if (by & USHER_TLSSTATS_CIPHER) {
        ap_rprintf(r, "\"cipher\": %s, \"cipher_number\": \"%04x\", ",
                   json_name(view, tls_view_cipher(view, row->cipher)), row->cipher);
    }
    if (by & USHER_TLSSTATS_GROUP) {
        ap_rprintf(r, "\"group\": %s, ", json_name(view, tls_view_group(view, row->group)));
    }
    ap_rprintf(r, "\"connections\": " NUMBER, row->connections);
}

/* A table of handshakes that ended well, or of those that did not. */
static void json_rows(const tls_view_t *view, const char *name, unsigned int by, int failed)
{
    usher_tlsstats_row_t *rows = apr_palloc(view->r->pool, TLS_VIEW_ROWS * sizeof(*rows));
    apr_uint32_t len = usher_tlsstats_rows(view->stats, by, view->vhost, failed, &view->span, rows,
                                           TLS_VIEW_ROWS), i;
    int distinct = !(by & ~(unsigned int)(USHER_TLSSTATS_VERSION | USHER_TLSSTATS_CIPHER));

    ap_rprintf(view->r, " \"%s\": [", name);
    for (i = 0; i < len; ++i) {
        ap_rputs(i ? ",\n  {" : "\n  {", view->r);
        json_row(view, by, &rows[i]);
        if (!failed) {
            ap_rprintf(view->r, ", \"requests\": " NUMBER, rows[i].requests);
        }
        if (distinct) {
            ap_rprintf(view->r, ", \"clients\": %s", json_clients(
                view, rows[i].version ? tls_view_distinct(view, rows[i].version, rows[i].cipher) : -1));
        }
        ap_rputs("}", view->r);
    }
    ap_rputs("],\n", view->r);
}

/* Each hour or day that anything was counted in, with its versions. */
static void json_history(const tls_view_t *view, const char *name, usher_tlsstats_unit_e unit,
                         apr_uint32_t slots)
{
    usher_tlsstats_span_t span = usher_tlsstats_last(unit, slots, view->now);
    usher_tlsstats_row_t rows[8];
    apr_uint32_t slot, len, i;
    const char *comma = "";

    ap_rprintf(view->r, " \"%s\": [", name);
    span.len = 1;
    for (slot = 0; slot < slots; ++slot, ++span.first) {
        usher_tlsstats_row_t failed = { 0 };

        len = usher_tlsstats_rows(view->stats, USHER_TLSSTATS_VERSION, view->vhost, 0, &span, rows, 8);
        if (!usher_tlsstats_rows(view->stats, 0, view->vhost, 1, &span, &failed, 1) && !len) {
            continue;
        }
        ap_rprintf(view->r, "%s\n  {\"time\": \"%s\", \"failed\": " NUMBER ", \"versions\": [", comma,
                   tls_view_time(view, span.first * (unit == USHER_TLSSTATS_BY_HOUR ? 3600 : 86400)),
                   failed.connections);
        for (i = 0; i < len; ++i) {
            ap_rputs(i ? ", {" : "{", view->r);
            json_row(view, USHER_TLSSTATS_VERSION, &rows[i]);
            ap_rprintf(view->r, ", \"requests\": " NUMBER "}", rows[i].requests);
        }
        ap_rputs("]}", view->r);
        comma = ",";
    }
    ap_rputs("],\n", view->r);
}

static void json_listed(const tls_view_t *view)
{
    const apr_array_header_t *clients = tls_view_clients(view);
    int i;

    ap_rputs(" \"listed\": [", view->r);
    for (i = 0; i < clients->nelts; ++i) {
        const usher_tlsstats_client_t *client = &APR_ARRAY_IDX(clients, i, usher_tlsstats_client_t);

        ap_rprintf(view->r, "%s\n  {\"version\": %s, \"cipher\": %s, \"address\": \"%s\", ", i ? "," : "",
                   json_name(view, tls_view_version(view, client->version)),
                   json_name(view, tls_view_cipher(view, client->cipher)),
                   tls_view_address(view, client));
        ap_rprintf(view->r, "\"first_seen\": \"%s\", \"last_seen\": \"%s\", \"connections\": " NUMBER
                   ", \"of_others\": " NUMBER ", \"failed\": " NUMBER ", \"agent\": %s, \"offer\": "
                   "\"%016" APR_UINT64_T_HEX_FMT "\"}", tls_view_time(view, client->first_seen),
                   tls_view_time(view, client->last_seen), client->count, client->over,
                   client->failed, json_text(view->r->pool, client->agent), client->offer);
    }
    ap_rputs("],\n", view->r);
}

static void json_numbers(const tls_view_t *view, const char *name, const apr_uint16_t *numbers,
                         apr_uint16_t len)
{
    apr_uint16_t i;

    ap_rprintf(view->r, ", \"%s\": [", name);
    for (i = 0; i < len; ++i) {
        ap_rprintf(view->r, "%s\"%04x\"", i ? ", " : "", numbers[i]);
    }
    ap_rputs("]", view->r);
}

/* Days alone are known of offers. */
static usher_tlsstats_span_t json_offer_span(const tls_view_t *view)
{
    return view->span.unit == USHER_TLSSTATS_BY_HOUR
               ? usher_tlsstats_last(USHER_TLSSTATS_BY_DAY, (view->span.len + 23) / 24 + 1, view->now)
               : view->span;
}

static void json_offer(const tls_view_t *view, const usher_tlsstats_offer_t *offer,
                       const usher_tlsstats_span_t *span, const char *comma)
{
    usher_tlsstats_offered_t offered = usher_tlsstats_offered(view->stats, offer, span);
    usher_tlsstats_union_t *clients = apr_pcalloc(view->r->pool, sizeof(*clients));

    usher_tlsstats_union_add(clients, view->stats, offer, span);
    ap_rprintf(view->r, "%s\n  {\"id\": \"%016" APR_UINT64_T_HEX_FMT "\", \"connections\": " NUMBER
               ", \"failed\": " NUMBER ", \"clients\": " NUMBER, comma, offer->id,
               offered.connections, offered.failed, usher_tlsstats_union_count(clients));
    ap_rprintf(view->r, ", \"first_seen\": \"%s\", \"last_seen\": \"%s\", \"legacy_version\": \"%04x\"",
               tls_view_time(view, offer->first_seen), tls_view_time(view, offer->last_seen),
               offer->legacy_version);
    json_numbers(view, "versions", offer->versions, offer->versions_len);
    json_numbers(view, "ciphers", offer->ciphers, offer->ciphers_len);
    json_numbers(view, "groups", offer->groups, offer->groups_len);
    json_numbers(view, "sigalgs", offer->sigalgs, offer->sigalgs_len);
    ap_rputs("}", view->r);
}

static void json_offers(const tls_view_t *view)
{
    const apr_array_header_t *offers = tls_view_offers(view);
    usher_tlsstats_span_t span = json_offer_span(view);
    int i;

    ap_rputs(" \"offers\": [", view->r);
    for (i = 0; i < offers->nelts; ++i) {
        json_offer(view, &APR_ARRAY_IDX(offers, i, usher_tlsstats_offer_t), &span, i ? "," : "");
    }
    ap_rprintf(view->r, "],\n \"offers_lost\": " NUMBER "\n", usher_tlsstats_lost(view->stats, &span));
}

void tls_json_print(const tls_view_t *view)
{
    ap_rprintf(view->r, "{\"server\": %s, \"time\": \"%s\", \"begun\": \"%s\", \"span\": \"%s\", "
               "\"vhost\": %s, \"clients\": %s, \"clients_error_percent\": 0.8,\n",
               json_text(view->r->pool, view->r->server->server_hostname),
               tls_view_time(view, view->now),
               tls_view_time(view, (apr_int64_t)atomic_load(&view->stats->header->begun)),
               view->span_name,
               view->vhost_name ? json_text(view->r->pool, view->vhost_name) : "null",
               json_clients(view, tls_view_distinct(view, 0, 0)));
    json_rows(view, "versions", USHER_TLSSTATS_VERSION, 0);
    json_rows(view, "ciphers", USHER_TLSSTATS_VERSION | USHER_TLSSTATS_CIPHER, 0);
    json_rows(view, "groups", USHER_TLSSTATS_GROUP, 0);
    json_rows(view, "failures", USHER_TLSSTATS_OUTCOME | USHER_TLSSTATS_VERSION, 1);
    json_rows(view, "vhosts", USHER_TLSSTATS_VHOST, 0);
    json_history(view, "hours", USHER_TLSSTATS_BY_HOUR, USHER_TLSSTATS_HOURS);
    json_history(view, "days", USHER_TLSSTATS_BY_DAY, USHER_TLSSTATS_DAYS - 1);
    json_listed(view);
    json_offers(view);
    ap_rputs("}\n", view->r);
}
